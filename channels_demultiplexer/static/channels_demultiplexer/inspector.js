/**
 * A panel that shows what passes over a socket, for use while developing: `inspect(socket)`.
 *
 * @module
 */

import { Recording, hex, hueOf, whole } from "./inspector-record.js";
import { styleSheet } from "./inspector-style.js";

export { hueOf };

/** @typedef {import("./demultiplexer.js").Demultiplexer} Demultiplexer */
/** @typedef {import("./inspector-record.js").Entry} Entry */
/** @typedef {import("./frames.js").Keys} Keys */
/** @typedef {import("./stream.js").Stream} Stream */

/** Characters of a frame's content in its line. */
const PREVIEW = 200;
/** Milliseconds between two looks at the streams, which change without a frame too. */
const INTERVAL = 500;
/** What streams are, by their `readyState`. */
const STATES = ["away", "open", "closing", "closed"];

/**
 * Draw a panel with every frame that passes from now on, and with the streams that there are.
 *
 * The latest 500 frames are kept, and of each the first 16 KiB. What a frame contains is shown as
 * text and never as markup. The panel takes its fonts from the custom properties
 * `--inspector-font` and `--inspector-mono`.
 *
 * @param {Demultiplexer} socket
 * @param {object} [options]
 * @param {Element} [options.parent] what the panel is appended to; the page's body by default.
 * @param {Partial<Keys>} [options.keys] the keys of frames, as they were given to the socket.
 * @returns {{ element: HTMLElement, recording: Recording, stop: () => void }} the panel, the frames
 *   that it knows, and what takes it away again.
 */
export function inspect(socket, { parent = document.body, keys } = {}) {
  const element = document.createElement("section");
  element.setAttribute("aria-label", "Frames of the socket");
  const names = { stream: "stream", payload: "payload", text: "text", event: "event", ...keys };
  const recording = new Recording(names);
  const panel = new Panel(socket, recording, element.attachShadow({ mode: "open" }));
  parent.append(element);
  return {
    element,
    recording,
    stop() {
      panel.stop();
      element.remove();
    },
  };
}

/** The panel: a recording, and what is drawn of it. */
class Panel {
  #socket;
  #recording;
  #listening = new AbortController();
  /** @type {ReturnType<typeof setInterval>} */
  #timer;
  #drawing = 0;
  /** The number of the latest frame that is drawn. */
  #drawn = 0;
  /** What the recording was when it was paused. @type {Entry[] | null} */
  #paused = null;

  #state = make("small", "none");
  #rows = make("tbody");
  #frames = make("div", "frames");
  #filter = make("input");
  #pause = button("Pause", () => this.#togglePause());

  /**
   * @param {Demultiplexer} socket
   * @param {Recording} recording
   * @param {ShadowRoot} root
   */
  constructor(socket, recording, root) {
    this.#socket = socket;
    this.#recording = recording;
    root.adoptedStyleSheets = [styleSheet()];
    root.append(this.#header(), this.#body());
    const { signal } = this.#listening;
    socket.addEventListener("frame", (event) => this.#note(event), { signal });
    this.#timer = setInterval(() => this.#drawStreams(), INTERVAL);
    this.#drawStreams();
  }

  /** Listen no more. */
  stop() {
    this.#listening.abort();
    clearInterval(this.#timer);
    cancelAnimationFrame(this.#drawing);
  }

  /** @param {Event} event */
  #note(event) {
    const { direction, stream = "", data } = /** @type {any} */ (event);
    this.#recording.add(direction, stream, data, Date.now());
    this.#drawSoon();
  }

  // What is drawn.

  #header() {
    const header = make("header");
    const title = make("h2", "", "Inspector");
    title.append(this.#state);
    const label = make("label", "", "Filter ");
    this.#filter.type = "search";
    this.#filter.placeholder = "stream or content";
    this.#filter.addEventListener("input", () => this.#drawAnew());
    label.append(this.#filter);
    this.#pause.setAttribute("aria-pressed", "false");
    const clear = button("Clear", () => this.#clear());
    const save = button("Export", () => this.#export());
    header.append(title, label, this.#pause, clear, save);
    return header;
  }

  #body() {
    const body = make("div", "body");
    const streams = make("div", "streams");
    const table = make("table");
    const head = make("tr");
    for (const name of ["stream", "state", "credit", "waiting", "round trip"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const top = make("thead");
    top.append(head);
    table.append(top, this.#rows);
    streams.append(table);
    for (const [box, name] of /** @type {const} */ ([
      [streams, "Streams"],
      [this.#frames, "Frames, the latest first"],
    ])) {
      // What scrolls has to be reached by keyboard.
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", name);
    }
    body.append(streams, this.#frames);
    return body;
  }

  #drawSoon() {
    this.#drawing ||= requestAnimationFrame(() => {
      this.#drawing = 0;
      this.#drawFrames();
      this.#drawStreams();
    });
  }

  /** Draw the frames that have come since. */
  #drawFrames() {
    const entries = this.#paused ?? this.#recording.entries;
    const lines = [];
    for (let at = entries.length - 1; at >= 0; at--) {
      const entry = entries[at];
      if (entry === undefined || entry.number <= this.#drawn) break;
      if (this.#wanted(entry)) lines.push(frameLine(entry));
    }
    this.#frames.prepend(...lines);
    const oldest = entries[0]?.number ?? Infinity;
    let last = this.#frames.lastElementChild;
    while (last !== null && Number(/** @type {HTMLElement} */ (last).dataset.number) < oldest) {
      last.remove();
      last = this.#frames.lastElementChild;
    }
    this.#drawn = entries.at(-1)?.number ?? this.#drawn;
  }

  #drawAnew() {
    this.#drawn = 0;
    this.#frames.replaceChildren();
    this.#drawFrames();
  }

  #drawStreams() {
    const { roundTrip, state, streams } = this.#socket;
    setText(this.#state, `${state}, ${milliseconds(roundTrip)}`);
    const all = [...streams];
    while (this.#rows.rows.length > all.length) this.#rows.deleteRow(-1);
    all.forEach((stream, at) => drawRow(this.#rows.rows[at] ?? this.#rows.insertRow(), stream));
  }

  /** @param {Entry} entry */
  #wanted({ stream, content }) {
    const wanted = this.#filter.value.toLowerCase();
    if (wanted === "" || stream.toLowerCase().includes(wanted)) return true;
    return typeof content === "string" && content.toLowerCase().includes(wanted);
  }

  // What the buttons do.

  #togglePause() {
    this.#paused = this.#paused === null ? [...this.#recording.entries] : null;
    this.#pause.setAttribute("aria-pressed", String(this.#paused !== null));
    this.#drawFrames();
  }

  #clear() {
    this.#recording.clear();
    if (this.#paused !== null) this.#paused = [];
    this.#drawAnew();
  }

  #export() {
    const frames = (this.#paused ?? this.#recording.entries)
      .filter((entry) => this.#wanted(entry))
      .map(({ number: _, time, content, ...rest }) => ({
        time: new Date(time).toISOString(),
        ...rest,
        ...(typeof content === "string" ? { text: content } : { hex: hex(content, "") }),
      }));
    const blob = new Blob([JSON.stringify(frames, null, 1)], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = "frames.json";
    link.click();
    URL.revokeObjectURL(link.href);
  }
}

/**
 * A frame in one line, which unfolds.
 *
 * @param {Entry} entry
 */
function frameLine(entry) {
  const line = make("details", "frame");
  line.dataset["number"] = String(entry.number);
  const summary = make("summary");
  const direction = make("span", "stream", entry.direction === "out" ? "↑" : "↓");
  direction.setAttribute("role", "img");
  direction.setAttribute("aria-label", entry.direction === "out" ? "sent" : "received");
  const name = make("span", entry.stream ? "stream" : "none", entry.stream || "socket");
  summary.append(
    make("span", "time", new Date(entry.time).toISOString().slice(11, 23)),
    direction,
    name,
    make("span", "kind", entry.kind),
    make("span", "size", bytes(entry.size)),
    make("span", "", preview(entry)),
  );
  paint(line, entry.stream);
  line.append(summary);
  line.addEventListener("toggle", () => {
    if (line.open) line.append(make("pre", "", whole(entry)));
    else line.querySelector("pre")?.remove();
  });
  return line;
}

/**
 * @param {HTMLTableRowElement} line
 * @param {Stream} stream
 */
function drawRow(line, { name, readyState, credit, bufferedAmount, roundTrip }) {
  const state = STATES[readyState] ?? "";
  const cells = [
    name,
    state,
    Number.isFinite(credit) ? String(credit) : "–",
    bytes(bufferedAmount),
    milliseconds(roundTrip),
  ];
  line.className = state;
  paint(line, name);
  cells.forEach((text, at) => setText(line.cells[at] ?? line.insertCell(), text));
  /** @type {Element} */ (line.cells[0]).className = "stream";
}

/** @param {Entry} entry */
function preview({ content }) {
  return typeof content === "string" ? content.slice(0, PREVIEW) : hex(content.slice(0, 32), " ");
}

/** @param {number} size */
function bytes(size) {
  if (size < 1000) return `${size} B`;
  return size < 1e6 ? `${(size / 1e3).toFixed(1)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}

/** @param {number} time */
function milliseconds(time) {
  return Number.isNaN(time) ? "–" : `${Math.round(time)} ms`;
}

/**
 * @param {HTMLElement} element
 * @param {string} stream
 */
function paint(element, stream) {
  element.style.setProperty("--hue", String(hueOf(stream)));
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElementTagNameMap[T]}
 */
function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  // Never as markup: it may be what somebody has put into a frame.
  element.textContent = text;
  return element;
}

/**
 * @param {string} text
 * @param {() => void} onClick
 */
function button(text, onClick) {
  const element = make("button", "", text);
  element.type = "button";
  element.addEventListener("click", onClick);
  return element;
}

/**
 * Set a text only where it has changed, so that what is selected stays so.
 *
 * @param {Element} element
 * @param {string} text
 */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
