import { backoff } from "./backoff.js";
import { LONGEST, systemClock } from "./clock.js";
import { closeEvent, event, Target, WebSocketState } from "./events.js";
import { Codec } from "./frames.js";
import { onWake } from "./page.js";
import { checkedClose, Stream } from "./stream.js";
import { Streams } from "./streams.js";
import { socketURL, webSocketClass } from "./websocket.js";

/** The WebSocket subprotocol that stands for version 1 of the protocol. */
const SUBPROTOCOL = "channels-demultiplexer.v1";

/** The bytes that may wait for a stream that isn't open, where nothing else is said. */
const BUFFER = 1 << 20;

/**
 * @typedef {object} DemultiplexerOptions
 * @property {Partial<import("./frames.js").Keys>} [keys] the keys of frames, as the server's settings
 *   have them.
 * @property {string[]} [protocols] the subprotocols to offer; by default `channels-demultiplexer.v1`.
 * @property {number} [minDelay] the longest wait before the first attempt to reconnect, in
 *   milliseconds; doubles with each attempt; 500 by default.
 * @property {number} [maxDelay] the longest wait of all, in milliseconds; 30000 by default.
 * @property {number} [minUptime] how long a connection lasts, in milliseconds, before its loss counts
 *   as a first one; 5000 by default.
 * @property {number} [handshakeTimeout] how long a handshake may take, in milliseconds; 10000 by
 *   default.
 * @property {number} [heartbeat] the silence after which a `ping` is sent, in milliseconds; 30000 by
 *   default.
 * @property {number} [pongTimeout] how long any answer to it may take, in milliseconds; 10000 by
 *   default.
 * @property {typeof WebSocket} [WebSocket] the class to connect with.
 * @property {import("./clock.js").Clock} [clock]
 * @property {() => number} [random] a number from 0 to 1.
 */

/**
 * @typedef {object} StreamOptions
 * @property {string[]} [subprotocols] what the consumer may select from.
 * @property {import("./life.js").Query} [query] the consumer's query string, without `?`, or what
 *   returns it: asked anew at each opening. By default that of the name, or of the socket.
 * @property {number} [buffer] how many bytes may wait while the stream isn't open; 1048576 by default.
 *   With 0 nothing is kept, and `send()` throws then.
 */

/**
 * - `connecting`: the handshake is under way.
 * - `open`: the connection is there.
 * - `reconnecting`: it was lost, or the handshake failed; waits for the next attempt.
 * - `closed`: for good.
 *
 * @typedef {"connecting" | "open" | "reconnecting" | "closed"} SocketState
 */

/**
 * Options without those that are undefined, which stands for the default.
 *
 * @template {object} T
 * @param {T} [options]
 * @returns {T}
 */
const given = (options) =>
  /** @type {any} */ (Object.fromEntries(Object.entries({ ...options }).filter(([, value]) => value !== undefined)));

/** What a socket hears of while it has been dropped: a socket that closes early says so. */
const deaf = () => {};

/**
 * One WebSocket that carries any number of streams, and is replaced where it is lost.
 *
 * @fires connecting when an attempt begins.
 * @fires open when a connection is there.
 * @fires reconnecting when it is lost, or an attempt has failed: has `attempt` (from 1), `delay`
 *   (milliseconds until it begins), `code` and `reason`.
 * @fires close a `CloseEvent`, when the socket has ended for good: by `close()`, or because the server
 *   closed it with a code from 4400 to 4499.
 * @fires refused when the server has refused a frame: has `status`, `error` and `stream` (the name, or
 *   undefined).
 * @fires frame for each message that passes: has `direction` (`"in"` or `"out"`), `stream` (the name,
 *   or undefined) and `data` (the message: a string, an ArrayBuffer, a Uint8Array or a Blob).
 */
export class Demultiplexer extends Target {
  /** @type {SocketState} */
  #state = "connecting";
  #attempt = 0;
  /** @type {WebSocket | undefined} */
  #socket;
  /** When the connection was made. */
  #openedAt = 0;
  /** When the last message came. */
  #heardAt = 0;
  /**
   * When the ping went out that has not been answered by anything; null where there is none.
   *
   * @type {number | null}
   */
  #pingedAt = null;
  #roundTrip = NaN;
  /**
   * The timer of the state: the handshake's, the wait's or the heartbeat's.
   *
   * @type {any}
   */
  #timer;
  #unwatch;
  #streams;
  #options;
  #codec;

  /**
   * Connect.
   *
   * @param {string | URL} url relative to the page; `http` stands for `ws`, and `https` for `wss`.
   * @param {DemultiplexerOptions} [options]
   * @throws {DOMException} as `new WebSocket()`.
   */
  constructor(url, options = {}) {
    super();
    /** The address, as a WebSocket has it. */
    this.url = socketURL(url, globalThis.location?.href).href;
    this.#options = {
      protocols: [SUBPROTOCOL],
      minDelay: 500,
      maxDelay: 30000,
      minUptime: 5000,
      handshakeTimeout: 10000,
      heartbeat: 30000,
      pongTimeout: 10000,
      WebSocket: globalThis.WebSocket,
      random: Math.random,
      clock: systemClock,
      ...given(options),
    };
    this.#codec = new Codec({
      stream: "stream",
      payload: "payload",
      text: "text",
      event: "event",
      ...given(options.keys),
    });
    this.#streams = new Streams({
      codec: this.#codec,
      clock: this.#options.clock,
      state: () => this.#state,
      ready: () => this.#check(),
      transmit: (message, stream) => this.#transmit(message, stream),
      refuse: (details) => this.dispatchEvent(event("refused", details)),
    });
    this.#connect();
    this.#unwatch = onWake(() => this.#wake());
  }

  /** @returns {SocketState} */
  get state() {
    return this.#state;
  }

  /** Milliseconds from the last ping to its pong; `NaN` before. */
  get roundTrip() {
    return this.#roundTrip;
  }

  /** The streams that have not ended, in the order in which they were made. */
  get streams() {
    return this.#streams.values();
  }

  /**
   * Return the stream of a name: a new one, unless there is one that isn't closing.
   *
   * @param {string} name `path[?query][#label]`, 1 to 255 bytes of UTF-8.
   * @param {StreamOptions} [options] count where the stream is a new one.
   * @throws {DOMException} `SyntaxError` if the name is no string that can be sent, or too long.
   */
  stream(name, { subprotocols, query, buffer = BUFFER } = {}) {
    const known = this.#streams.find(name);
    if (known) return known;
    // The name "/" is the empty path.
    const url = new URL(`${new URL(this.url).origin}/${name === "/" ? "" : name}`).href;
    const options = { subprotocols, query, buffer, reopen: true };
    return new Stream(this.#streams, name, options, url);
  }

  /**
   * Return a class to be given to libraries that want to make a `WebSocket`. Its instances are
   * streams, each under a label of its own. As a WebSocket does, they end with 1006 when the
   * connection is lost, and keep nothing that is sent before they are open.
   */
  webSocketClass() {
    return webSocketClass(this.#streams, this.url);
  }

  /**
   * Replace the connection at once; where there is none, do not wait for the next attempt.
   *
   * @throws {DOMException} `InvalidStateError` if the socket has been closed.
   */
  reconnect() {
    if (this.#state === "closed") throw new DOMException("the socket is closed", "InvalidStateError");
    if (this.#state !== "reconnecting") this.#lose(1006, "replaced");
    // Whoever was told of the loss may have connected or closed.
    if (this.#state === "reconnecting") this.#connect();
  }

  /**
   * Close the socket and all streams, for good.
   *
   * @param {number} [code] 1000 (the default), or 3000 to 4999.
   * @param {string} [reason] at most 123 bytes of UTF-8.
   * @throws {DOMException} as `Stream.close()`.
   */
  close(code = 1000, reason = "") {
    const end = checkedClose(code, reason);
    if (this.#state === "closed") return;
    this.#drop(...end);
    this.#end(...end);
  }

  // The connection.

  #connect() {
    const socket = new this.#options.WebSocket(this.url, this.#options.protocols);
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#lose(code, reason);
    socket.onerror = deaf;
    this.#enter("connecting", this.#options.handshakeTimeout, new Event("connecting"));
  }

  #opened() {
    this.#openedAt = this.#heardAt = this.#options.clock.now();
    this.#pingedAt = null;
    this.#enter("open", this.#options.heartbeat, new Event("open"));
    this.#streams.open();
  }

  /**
   * Give up the connection, without waiting for its end.
   *
   * @param {number} [code]
   * @param {string} [reason]
   */
  #drop(code, reason) {
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = deaf;
    socket.close(code, reason);
  }

  /**
   * The connection is lost, or was not made.
   *
   * @param {number} code
   * @param {string} reason
   */
  #lose(code, reason) {
    this.#drop();
    if (code >= 4400 && code < 4500) {
      this.#end(code, reason);
      return;
    }
    const { clock, minUptime, random } = this.#options;
    if (this.#state === "open" && clock.now() - this.#openedAt >= minUptime) this.#attempt = 0;
    const attempt = ++this.#attempt;
    const delay = backoff(attempt, this.#options, random);
    const lives = this.#streams.disconnect().filter((life) => life.disconnect());
    this.#enter("reconnecting", delay, event("reconnecting", { attempt, delay, code, reason }));
    for (const life of lives) life.lost();
  }

  /**
   * The socket has ended for good.
   *
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    this.#unwatch();
    const lives = this.#streams.disconnect();
    this.#enter("closed", 0, closeEvent(code, reason, true));
    for (const life of lives) life.end(code, reason, true);
  }

  /**
   * The one place where the state changes.
   *
   * @param {SocketState} state
   * @param {number} limit how long it lasts at most, in milliseconds; a closed socket has none.
   * @param {Event} change
   */
  #enter(state, limit, change) {
    this.#state = state;
    this.#schedule(limit);
    this.dispatchEvent(change);
  }

  /** @param {number} delay */
  #schedule(delay) {
    const { clock } = this.#options;
    clock.clearTimeout(this.#timer);
    if (this.#state === "closed") return;
    this.#timer = clock.setTimeout(() => this.#tick(), Math.min(delay, LONGEST));
  }

  /** The time of the state is over. */
  #tick() {
    if (this.#state === "connecting") this.#lose(1006, "the handshake took too long");
    else if (this.#state === "reconnecting") this.#connect();
    else this.#check();
  }

  /** The page has the network again, or is visible: nothing that was true before need be. */
  #wake() {
    if (this.#state === "reconnecting") this.#connect();
    else if (this.#check()) this.#ping();
  }

  // Whether it lives.

  /**
   * Whether data may go out: not where the connection may be dead. Time that has passed counts,
   * because timers do not run in a machine that sleeps, and late in a hidden page.
   *
   * @returns {boolean}
   */
  #check() {
    if (this.#state !== "open") return false;
    const { clock, heartbeat, pongTimeout } = this.#options;
    const now = clock.now();
    // Where the clock has been set back, the count begins anew: else a dead connection would stay that long.
    this.#heardAt = Math.min(this.#heardAt, now);
    if (this.#pingedAt !== null) {
      this.#pingedAt = Math.min(this.#pingedAt, now);
      const rest = this.#pingedAt + pongTimeout - now;
      if (rest <= 0) this.#lose(1006, "no answer to a ping");
      else this.#schedule(rest);
      return false;
    }
    const rest = this.#heardAt + heartbeat - now;
    if (rest <= 0) this.#ping();
    else this.#schedule(rest);
    // What is sent while the server closes the connection would go nowhere.
    return rest > 0 && this.#socket?.readyState !== WebSocketState.CLOSING;
  }

  #ping() {
    this.#pingedAt = this.#options.clock.now();
    this.#transmit(this.#codec.ping(this.#pingedAt), undefined);
    this.#schedule(this.#options.pongTimeout);
  }

  // Frames.

  /**
   * @param {string | Uint8Array | Blob} message
   * @param {string | undefined} stream
   */
  #transmit(message, stream) {
    // A stream that is about to be told of the connection's end may be left by whoever is told before.
    if (this.#state !== "open") return;
    this.#socket?.send(/** @type {any} */ (message));
    this.#show("out", stream, message);
  }

  /**
   * @param {"in" | "out"} direction
   * @param {string | undefined} stream
   * @param {string | ArrayBuffer | Uint8Array | Blob} data
   */
  #show(direction, stream, data) {
    if (this.wants("frame")) this.dispatchEvent(event("frame", { direction, stream, data }));
  }

  /** @param {string | ArrayBuffer} message */
  #receive(message) {
    this.#heardAt = this.#options.clock.now();
    const frame = this.#codec.read(message);
    this.#show("in", frame.stream, message);
    // Whoever was shown it may have replaced the connection.
    if (this.#state !== "open") return;
    if (frame.event === "pong") this.#roundTrip = this.#heardAt - this.#codec.payload(frame);
    else this.#streams.handle(frame);
    if (this.#pingedAt === null) return;
    // Any message is a sign of life, and what has waited for one can go.
    this.#pingedAt = null;
    this.#check();
    this.#streams.flush();
  }
}
