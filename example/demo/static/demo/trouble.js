// Buttons that break something, and say what has come of it.

import { Cable } from "./cable.js";
import { say } from "./say.js";

export function trouble(panel, socket) {
  const outcome = panel.querySelector(".statuses ol");
  const told = (good, what, about) => say(outcome, good, what, about);

  /** Open a stream for one go, beside those of earlier goes. Its end is told. */
  let goes = 0;
  function once(name) {
    const stream = socket.stream(`${name}#${++goes}`);
    stream.addEventListener("close", ({ code, reason }) => {
      told(code === 1000, `closed ${code}`, `${name} ${reason}`);
    });
    return stream;
  }

  const deeds = {
    crash() {
      once("crash").send("crash!");
    },
    refuse() {
      once("refuse");
    },
    stall() {
      const stream = once("stall");
      stream.sendJSON({ sleep: 5 });
      for (let number = 0; number < 998; number++) stream.sendJSON({ number });
      stream.sendJSON({ count: true });
      const waiting = `${stream.bufferedAmount.toLocaleString("en")} bytes`;
      told(false, "stalled", `for 5 s: ${waiting} wait here`);
      stream.addEventListener("json", ({ data }) => {
        told(true, `${data.taken} frames`, "stall has taken them all");
        stream.close();
      });
    },
    block() {
      const stream = once("block");
      stream.sendJSON({ seconds: 3 });
      stream.addEventListener("json", ({ data: { blocked } }) => {
        if (blocked) told(false, "blocked", "for 3 s: sync code has one thread");
        else stream.close();
      });
    },
    cut(button) {
      Cable.cut = !Cable.cut;
      button.setAttribute("aria-pressed", String(Cable.cut));
      told(!Cable.cut, Cable.cut ? "cut" : "mended", "the network, as far as this page goes");
    },
  };

  panel.addEventListener("click", ({ target }) => deeds[target.dataset.trouble]?.(target));
}
