/** What stands for time, the network and the page in the tests of the browser client. */

import { Demultiplexer } from "../../channels_demultiplexer/static/channels_demultiplexer/demultiplexer.js";

/** A clock that stands still until it is told to go on. */
export class Clock {
  #now = 1000;
  #timers = new Map();
  #count = 0;

  now = () => this.#now;

  setTimeout = (callback, delay) => {
    this.#timers.set(++this.#count, { callback, at: this.#now + delay });
    return this.#count;
  };

  clearTimeout = (timer) => this.#timers.delete(timer);

  /** How many timers run. */
  get timers() {
    return this.#timers.size;
  }

  /** Let milliseconds pass, with the timers that they bring. */
  pass(milliseconds) {
    const end = this.#now + milliseconds;
    while (true) {
      const due = [...this.#timers].filter(([, { at }]) => at <= end);
      if (!due.length) break;
      const [timer, { callback, at }] = due.reduce((a, b) => (b[1].at < a[1].at ? b : a));
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, at);
      callback();
    }
    this.#now = end;
  }

  /** Let milliseconds pass while no timer runs, as in a machine that sleeps. */
  sleep(milliseconds) {
    this.#now += milliseconds;
  }

  /** Set the clock, which timers do not notice. */
  set(milliseconds) {
    this.#now += milliseconds;
    for (const timer of this.#timers.values()) timer.at += milliseconds;
  }
}

/** A WebSocket whose other side is the test. */
export class FakeSocket {
  readyState = 0;
  binaryType = "blob";
  sent = [];
  closed = null;
  closes = 0;
  onopen = null;
  onmessage = null;
  onclose = null;
  onerror = null;

  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
    FakeSocket.made.push(this);
  }

  static made = [];

  send(data) {
    if (!this.readyState) throw new DOMException("the socket is connecting", "InvalidStateError");
    this.sent.push(data);
  }

  close(...args) {
    this.closed = args;
    this.closes += 1;
  }

  // What the test does.

  open() {
    this.readyState = 1;
    this.onopen?.({ type: "open" });
  }

  /** The server sends a frame, or a message as it is. */
  say(frame) {
    const raw = typeof frame === "string" || frame instanceof ArrayBuffer;
    this.onmessage?.({ data: raw ? frame : JSON.stringify(frame) });
  }

  /** The connection ends. */
  end(code = 1006, reason = "") {
    this.onclose?.({ code, reason });
  }

  /** Take what was sent, decoded. */
  take() {
    return this.sent.splice(0).map((data) => (typeof data === "string" ? JSON.parse(data) : data));
  }
}

/** A demultiplexer on a fake network; `random` is 1, so that waits are the longest. */
export function fake(options = {}) {
  FakeSocket.made = [];
  const clock = new Clock();
  const client = new Demultiplexer("ws://test/ws/", {
    WebSocket: FakeSocket,
    clock,
    random: () => 1,
    ...options,
  });
  const events = record(client, ["connecting", "open", "reconnecting", "close"]);
  return {
    client,
    clock,
    events,
    /** The newest connection. */
    get wire() {
      return FakeSocket.made.at(-1);
    },
    get connections() {
      return FakeSocket.made.length;
    },
    /** The connection is made. */
    connect() {
      FakeSocket.made.at(-1).open();
      return FakeSocket.made.at(-1);
    },
  };
}

/** Keep the events of a target. */
export function record(target, types) {
  const events = [];
  for (const type of types) target.addEventListener(type, (event) => events.push(event));
  return events;
}

/** The types of events, taken out. */
export const types = (events) => events.splice(0).map(({ type }) => type);

/** The server accepts a stream. */
export const accept = (wire, stream, fields = {}) =>
  wire.say({ stream, event: "open", subprotocol: null, ...fields });

/** A stream that is open, and its parts. */
export function opened(options = {}, streamOptions = {}, answer = {}) {
  const parts = fake(options);
  const wire = parts.connect();
  const stream = parts.client.stream("echo", streamOptions);
  accept(wire, "echo", answer);
  wire.take();
  return Object.assign(parts, { stream });
}

/** Let promises and microtasks go on. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));
