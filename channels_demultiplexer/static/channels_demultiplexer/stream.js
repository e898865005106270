import { closeEvent, event, Target, WebSocketState } from "./events.js";
import { byteLength, isName, wellFormed } from "./frames.js";
import { Life } from "./life.js";
import { Requests } from "./request.js";
import { values } from "./values.js";

/** The longest reason of a close, in bytes (RFC 6455, section 5.5). */
const MAX_REASON = 123;

/**
 * A stream: a `WebSocket` that shares the socket of its `Demultiplexer`. It has all that the
 * standard's has, and is used in the same way. Make one by `Demultiplexer.stream()`.
 *
 * Where the connection is lost, the stream is `CONNECTING` until it has been opened again;
 * `open` tells of each opening, `reconnecting` of each loss, and `close` of the end only.
 *
 * @fires open when the stream has been opened, and each time that it has been opened again.
 * @fires message a `MessageEvent`: `data` is what the consumer sent.
 * @fires json a `MessageEvent` besides, where that was JSON: `data` is the value.
 * @fires push where that is a push of a route-style consumer: has `route`, `payload`, `headers`.
 * @fires reconnecting when the connection is lost, and the stream will be opened again.
 * @fires refused when the server has refused a frame: has `status`, `error`.
 * @fires error before the `close` of a stream that could not be opened.
 * @fires close a `CloseEvent`, when the stream has ended for good.
 */
export class Stream extends Target {
  static CONNECTING = WebSocketState.CONNECTING;
  static OPEN = WebSocketState.OPEN;
  static CLOSING = WebSocketState.CLOSING;
  static CLOSED = WebSocketState.CLOSED;

  CONNECTING = WebSocketState.CONNECTING;
  OPEN = WebSocketState.OPEN;
  CLOSING = WebSocketState.CLOSING;
  CLOSED = WebSocketState.CLOSED;

  #life;
  #requests;
  #origin;
  /** @type {BinaryType} */
  #binaryType = "blob";

  /**
   * @internal
   * @param {import("./streams.js").Streams} streams
   * @param {string} name
   * @param {import("./life.js").LifeOptions} options
   * @param {string} url
   */
  constructor(streams, name, options, url) {
    super();
    if (!isName(name)) {
      throw new DOMException(`a name is a string of 1 to 255 bytes of UTF-8, not ${name}`, "SyntaxError");
    }
    /** The URL that the stream stands for. */
    this.url = url;
    this.#origin = new URL(url).origin;
    this.#life = new Life(name, options, streams, {
      onOpen: () => this.dispatchEvent(new Event("open")),
      onData: (data, json) => this.#receive(data, json),
      onRefusal: (status, error) => this.#tell(event("refused", { status, error })),
      onLoss: () => {
        this.#requests.lost("the connection was lost");
        this.dispatchEvent(new Event("reconnecting"));
      },
      onEnd: (code, reason, wasClean, failed) => {
        this.#requests.lost(`the stream has ended with ${code} ${reason}`);
        if (failed) this.dispatchEvent(new Event("error"));
        this.dispatchEvent(closeEvent(code, reason, wasClean));
      },
    });
    this.#requests = new Requests(this.#life, streams.connection.clock);
    streams.add(this.#life, this);
  }

  /** The name on the wire. */
  get name() {
    return this.#life.name;
  }

  /** `CONNECTING` (0), `OPEN` (1), `CLOSING` (2) or `CLOSED` (3). */
  get readyState() {
    return this.#life.readyState;
  }

  /** The subprotocol that the consumer has selected, or `""`. */
  get protocol() {
    return this.#life.protocol;
  }

  /** There are none. */
  get extensions() {
    return "";
  }

  /** The bytes that wait, because the stream isn't open or the consumer has enough to do. */
  get bufferedAmount() {
    return this.#life.bufferedAmount;
  }

  /** How many messages the consumer takes at once now; `Infinity` where the server does not say. */
  get credit() {
    return this.#life.credit;
  }

  /** Milliseconds from the last `open` frame to its answer; `NaN` before. */
  get roundTrip() {
    return this.#life.roundTrip;
  }

  /**
   * What `data` of binary messages is: `"blob"` (the default) or `"arraybuffer"`.
   *
   * @returns {BinaryType}
   */
  get binaryType() {
    return this.#binaryType;
  }

  set binaryType(type) {
    // As for any enumeration of the platform, other values are ignored.
    if (type === "blob" || type === "arraybuffer") this.#binaryType = type;
  }

  /** @returns {((event: Event) => void) | null} */
  get onopen() {
    return this.handler("open");
  }

  set onopen(handler) {
    this.setHandler("open", handler);
  }

  /** @returns {((event: MessageEvent) => void) | null} */
  get onmessage() {
    return this.handler("message");
  }

  set onmessage(handler) {
    this.setHandler("message", handler);
  }

  /** @returns {((event: Event) => void) | null} */
  get onerror() {
    return this.handler("error");
  }

  set onerror(handler) {
    this.setHandler("error", handler);
  }

  /** @returns {((event: CloseEvent) => void) | null} */
  get onclose() {
    return this.handler("close");
  }

  set onclose(handler) {
    this.setHandler("close", handler);
  }

  /**
   * Send a message. It waits where the stream isn't open, up to the option `buffer`, and where the
   * consumer has enough to do (see `bufferedAmount`). A message is sent once at most.
   *
   * @param {string | ArrayBuffer | ArrayBufferView | Blob} data
   * @throws {DOMException} `InvalidStateError` if the stream isn't open and keeps nothing;
   *   `QuotaExceededError` if it isn't, and what waits would be more than `buffer`.
   */
  send(data) {
    const binary = data instanceof ArrayBuffer || ArrayBuffer.isView(data) || data instanceof Blob;
    this.#life.send(binary ? data : `${data}`);
  }

  /**
   * Send a value as JSON.
   *
   * @param {unknown} value
   * @throws {TypeError} if JSON can't express it.
   * @throws {DOMException} as `send()`.
   */
  sendJSON(value) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`JSON can't express ${typeof value}`);
    this.#life.send(text, true);
  }

  /**
   * Leave the stream for good, after what waits. The consumer is told.
   *
   * @param {number} [code] 1000 (the default), or 3000 to 4999.
   * @param {string} [reason] at most 123 bytes of UTF-8.
   * @throws {DOMException} `InvalidAccessError` for another code, `SyntaxError` for a longer reason.
   */
  close(code = 1000, reason = "") {
    this.#life.close(...checkedClose(code, reason));
  }

  /**
   * Send a request to a route-style consumer.
   *
   * @param {string} route
   * @param {unknown} [payload]
   * @param {import("./request.js").RequestOptions} [options]
   * @returns {Promise<import("./request.js").Answer>} the answer, whatever its status; rejects with a
   *   `DOMException`: `TimeoutError`, the signal's reason, or `NetworkError` where the connection was
   *   lost or the stream has ended.
   */
  request(route, payload = null, options = {}) {
    return this.#requests.send(route, payload, options);
  }

  /**
   * `request()` by the name, and with the message, that users of `observable-socket` know.
   *
   * @param {string | {route: string, payload?: unknown, headers?: Record<string, any>}} message
   *   the message, or as `request()`.
   * @param {any} [payload] the options, or as `request()`.
   * @param {import("./request.js").RequestOptions} [options]
   * @returns {Promise<import("./request.js").Answer>}
   */
  sendAndWait(message, payload, options) {
    if (typeof message === "string") return this.request(message, payload, options);
    return this.request(message.route, message.payload, { headers: message.headers, ...payload });
  }

  /**
   * Iterate over what is received: values of JSON, other text and binary data as they are.
   *
   * @param {object} [options]
   * @param {number} [options.capacity] how many may wait to be taken; 1000 by default.
   * @returns {AsyncGenerator<any, void, void>} throws a `QuotaExceededError` where more wait, and a
   *   `NetworkError` where the stream ends with a code that isn't 1000 or 1001.
   */
  values({ capacity = 1000 } = {}) {
    return values(this, capacity);
  }

  /**
   * @param {string | ArrayBuffer} raw
   * @param {boolean} json
   */
  #receive(raw, json) {
    const blob = typeof raw !== "string" && this.#binaryType === "blob";
    const data = blob ? new Blob([raw]) : raw;
    const message = new MessageEvent("message", { data, origin: this.#origin });
    this.dispatchEvent(Object.assign(message, { json }));
    if (!json || !(this.#requests.size || this.wants("json") || this.wants("push"))) return;
    const value = JSON.parse(/** @type {string} */ (raw));
    this.#tell(new MessageEvent("json", { data: value, origin: this.#origin }));
    if (typeof value?.route !== "string") return;
    const { route, payload, headers, uuid } = value;
    if (uuid !== undefined) this.#requests.receive(value);
    else this.#tell(event("push", { route, payload, headers }));
  }

  /**
   * Dispatch an event that follows another, whose listeners may have ended the stream: nothing comes
   * after `close`.
   *
   * @param {Event} event
   */
  #tell(event) {
    if (this.readyState < this.CLOSED) this.dispatchEvent(event);
  }
}

/**
 * The conversions and checks of the standard.
 *
 * @param {number} code
 * @param {string} reason
 * @returns {[code: number, reason: string]}
 */
export function checkedClose(code, reason) {
  code = Math.round(code);
  reason = wellFormed(reason);
  if (code !== 1000 && !(code >= 3000 && code <= 4999)) {
    throw new DOMException(`a close code is 1000 or 3000 to 4999, not ${code}`, "InvalidAccessError");
  }
  if (byteLength(reason) > MAX_REASON) {
    throw new DOMException(`a close reason has at most ${MAX_REASON} bytes`, "SyntaxError");
  }
  return [code, reason];
}
