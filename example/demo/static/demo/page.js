// The demo page: one socket, and a stream of it for each panel.

import { Demultiplexer } from "../channels_demultiplexer/demultiplexer.js";
import { hueOf, inspect } from "../channels_demultiplexer/inspector.js";
import { articles } from "./articles.js";
import { board } from "./board.js";
import { Cable } from "./cable.js";
import { chart } from "./chart.js";
import { chat } from "./chat.js";
import { trouble } from "./trouble.js";
import { drawWire } from "./wire.js";

const socket = new Demultiplexer("/ws/demo/", { WebSocket: Cable });
const { recording } = inspect(socket, { parent: document.querySelector("#inspector") });

// A panel says which stream it shows, in the stream's colour, and whether it is open.
const panels = [...document.querySelectorAll(".panel")];
for (const panel of panels) {
  const { stream } = panel.dataset;
  panel.style.setProperty("--hue", hueOf(stream));
  const name = document.createElement("span");
  name.className = "name";
  name.textContent = stream;
  panel.querySelector("header").append(name);
}

for (const panel of document.querySelectorAll(".chat")) {
  chat(panel, socket.stream(panel.dataset.stream));
}
chart(document.querySelector(".chart"), socket.stream("ticker"));
articles(document.querySelector(".articles"), socket.stream("articles"));
board(document.querySelector(".board"), socket.stream("board"));
trouble(document.querySelector(".trouble"), socket);

// htmx believes that it has a socket of its own. Its extension asks for it when the page is complete.
const HtmxSocket = socket.webSocketClass();
window.htmx.createWebSocket = (url) => new HtmxSocket(url);
document.addEventListener("htmx:wsAfterSend", ({ target }) => target.reset());

drawWire(document.querySelector("#wire"), recording);

const [state, open, count] = ["#state", "#streams", "#frames"].map((id) => document.querySelector(id));
let frames = 0;
socket.addEventListener("frame", () => (frames += 1));
setInterval(() => {
  const streams = [...socket.streams];
  if (state.textContent !== socket.state) state.textContent = socket.state;
  state.dataset.state = socket.state;
  open.textContent = streams.filter(({ readyState }) => readyState === WebSocket.OPEN).length;
  count.textContent = frames.toLocaleString("en");
  for (const panel of panels) {
    // htmx's has a label: each socket that it makes is a stream of its own.
    const stream = streams.findLast(({ name }) => name.split("#")[0] === panel.dataset.stream);
    panel.classList.toggle("away", stream?.readyState !== WebSocket.OPEN);
  }
}, 200);
