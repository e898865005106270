/**
 * The life of a stream: when it opens, what it may send, how it ends.
 *
 * | phase | leaves it |
 * |---|---|
 * | `AWAY`: no `open` is out on this connection | by its `open` (`ASKED`); by `close()` where nothing waits (`ENDED`) |
 * | `ASKED`: `open` is out | by its answer (`OPEN` or `ENDED`), the client's `close` (`LEAVING`), a loss (`AWAY`, or `ENDED` if it doesn't reopen) |
 * | `OPEN`: the server has accepted | by the client's `close` (`LEAVING`), the server's (`ENDED`), a loss |
 * | `LEAVING`: `close` is out | by its answer or a loss (`ENDED`) |
 * | `ENDED` | never |
 */

import { WebSocketState } from "./events.js";
import { byteLength } from "./frames.js";

export const AWAY = 0;
export const ASKED = 1;
export const OPEN = 2;
export const LEAVING = 3;
export const ENDED = 4;

/** How long a `close()` waits for frames that have no credit, in milliseconds. */
const CLOSE_TIMEOUT = 5000;

/**
 * A message that waits.
 *
 * @typedef {{message: string | Uint8Array | Blob, size: number}} Entry
 */

/**
 * What is sent as `query` with each `open`.
 *
 * @typedef {string | Promise<string> | (() => string | Promise<string>)} Query
 */

/**
 * @typedef {object} LifeOptions
 * @property {string[]} [subprotocols]
 * @property {Query} [query]
 * @property {number} buffer the bytes that may wait while the stream isn't open.
 * @property {boolean} reopen whether the stream outlives its connection.
 */

/**
 * Whom a life tells.
 *
 * @typedef {object} Face
 * @property {() => void} onOpen
 * @property {(data: string | ArrayBuffer, json: boolean) => void} onData
 * @property {() => void} onLoss
 * @property {(status: number, error: string) => void} onRefusal
 * @property {(code: number, reason: string, wasClean: boolean, failed: boolean) => void} onEnd
 */

export class Life {
  phase = AWAY;
  /** Whether an `open` is out that has not been answered. */
  asking = false;
  /** How many data frames may go out. */
  credit = 0;
  /** The bytes of what waits, and of what was sent when it was too late. */
  bufferedAmount = 0;
  protocol = "";
  /** Milliseconds from the last `open` to its answer; NaN before. */
  roundTrip = NaN;

  /**
   * What waits, in order.
   *
   * @type {Set<Entry>}
   */
  #queue = new Set();
  /** How many data frames have gone out since the last `open`. */
  #sent = 0;
  #askedAt = 0;
  /**
   * What came before the answer to `open`, as an eager child may send. It is what such a child
   * sends in one round trip, because one that has not accepted yet can't send.
   *
   * @type {[string | ArrayBuffer, boolean][]}
   */
  #early = [];
  /**
   * What `close()` was called with.
   *
   * @type {{code: number, reason: string} | null}
   */
  #leave = null;
  /** @type {any} */
  #timer;
  /**
   * Identifies the connection that a pending query is for; null before `open()`.
   *
   * @type {object | null}
   */
  #turn = null;
  #options;
  #streams;
  #connection;
  #face;

  /**
   * @param {string} name
   * @param {LifeOptions} options
   * @param {import("./streams.js").Streams} streams
   * @param {Face} face
   */
  constructor(name, options, streams, face) {
    this.name = name;
    this.#options = options;
    this.#streams = streams;
    this.#connection = streams.connection;
    this.#face = face;
    // A promise that fails before the stream opens is told of when it does: until then it is handled.
    Promise.resolve(options.query).catch(() => {});
  }

  /** The `readyState`. */
  get readyState() {
    if (this.phase === ENDED) return WebSocketState.CLOSED;
    if (this.#leave) return WebSocketState.CLOSING;
    return this.phase === OPEN ? WebSocketState.OPEN : WebSocketState.CONNECTING;
  }

  // What the application does.

  /**
   * Send a message, or keep it until it can be sent.
   *
   * @param {string | ArrayBuffer | ArrayBufferView | Blob} data
   * @param {boolean} [json]
   * @param {Entry} [entry] becomes what waits, for `holds()` and `cancel()`.
   */
  send(data, json, entry = /** @type {any} */ ({})) {
    const size =
      typeof data === "string" ? byteLength(data) : data instanceof Blob ? data.size : data.byteLength;
    const state = this.readyState;
    if (state === WebSocketState.CONNECTING) {
      const { buffer } = this.#options;
      if (!buffer) throw new DOMException("the stream is not open", "InvalidStateError");
      if (this.bufferedAmount + size > buffer) {
        throw new DOMException(
          `a message of ${size} bytes does not fit: ${this.bufferedAmount} of ${buffer} wait already`,
          "QuotaExceededError",
        );
      }
    }
    this.bufferedAmount += size;
    if (state >= WebSocketState.CLOSING) return;
    entry.message = this.#connection.codec.data(this.name, data, json);
    entry.size = size;
    this.#queue.add(entry);
    this.flush();
  }

  /**
   * Whether a message still waits.
   *
   * @param {Entry} entry
   */
  holds(entry) {
    return this.#queue.has(entry);
  }

  /**
   * Take back a message, if it still waits.
   *
   * @param {Entry} entry
   */
  cancel(entry) {
    if (!this.#queue.delete(entry)) return;
    this.bufferedAmount -= entry.size;
    this.#leaveIfEmpty();
  }

  /**
   * Leave, once what waits has been sent, or after `CLOSE_TIMEOUT`.
   *
   * @param {number} code
   * @param {string} reason
   */
  close(code, reason) {
    if (this.#leave || this.phase === ENDED) return;
    this.#leave = { code, reason };
    this.#timer = this.#connection.clock.setTimeout(() => {
      this.#queue.clear();
      this.#leaveIfEmpty();
    }, CLOSE_TIMEOUT);
    this.#leaveIfEmpty();
  }

  /** Send what may be sent. */
  flush() {
    for (const entry of this.#queue) {
      if (this.phase !== OPEN || this.credit <= 0 || !this.#connection.ready()) break;
      const { message, size } = entry;
      this.#queue.delete(entry);
      this.bufferedAmount -= size;
      this.credit -= 1;
      this.#sent += 1;
      this.#connection.transmit(message, this.name);
    }
    this.#leaveIfEmpty();
  }

  #leaveIfEmpty() {
    const leave = this.#leave;
    if (!leave || this.#queue.size) return;
    if (this.phase === AWAY) {
      queueMicrotask(() => this.end(leave.code, leave.reason, true));
    } else if (this.phase < LEAVING) {
      this.phase = LEAVING;
      this.#streams.leave(this, leave);
    }
  }

  // What the socket does.

  /** Open the stream on this connection. Only the first call counts. */
  open() {
    if (this.#turn) return;
    const turn = (this.#turn = {});
    /** @param {string} [query] */
    const ask = (query) => {
      // Meanwhile the connection may have gone, or the application may have left.
      if (turn !== this.#turn || this.phase !== AWAY) return;
      if (this.#leave && !this.#queue.size) return;
      this.phase = ASKED;
      this.asking = true;
      this.#sent = 0;
      this.#askedAt = this.#connection.clock.now();
      this.#streams.ask(this, { subprotocols: this.#options.subprotocols, query, credit: true });
    };
    /** @param {unknown} error */
    const fail = (error) => {
      if (turn === this.#turn) this.end(4400, `the query failed: ${error}`, false);
    };
    try {
      const { query } = this.#options;
      const value = typeof query === "function" ? query() : query;
      if (typeof value === "object") value.then(ask, fail);
      else ask(value);
    } catch (error) {
      // Not at once: whoever makes a stream shall be able to listen to it first.
      queueMicrotask(() => fail(error));
    }
  }

  /**
   * The server accepts.
   *
   * @param {{subprotocol?: string | null, credit?: number}} answer without `credit`, the server
   *   does not count.
   */
  opened({ subprotocol, credit = Infinity }) {
    this.asking = false;
    if (this.phase === LEAVING) return;
    // The count begins with the `open` that is answered, and so does that of what was sent.
    this.credit = credit - this.#sent;
    if (this.phase === ASKED) {
      this.phase = OPEN;
      this.protocol = subprotocol ?? "";
      this.roundTrip = this.#connection.clock.now() - this.#askedAt;
      if (!this.#leave) this.#face.onOpen();
      for (const early of this.#early.splice(0)) this.received(...early);
    }
    this.flush();
  }

  /**
   * The server grants more credit.
   *
   * @param {number} credit
   */
  granted(credit) {
    if (this.phase !== OPEN) return;
    this.credit += credit;
    this.flush();
  }

  /**
   * The child has sent a message.
   *
   * @param {string | ArrayBuffer} data
   * @param {boolean} json
   */
  received(data, json) {
    if (this.phase === ASKED) this.#early.push([data, json]);
    else if (this.phase === OPEN && !this.#leave) this.#face.onData(data, json);
  }

  /**
   * The server has refused a frame of this stream.
   *
   * @param {number} status
   * @param {string} error
   */
  refused(status, error) {
    this.#face.onRefusal(status, error);
  }

  /**
   * The connection is lost: all streams know it before anybody is told.
   *
   * @returns {boolean} whether `lost()` is to tell of it.
   */
  disconnect() {
    this.#turn = null;
    if (this.phase === AWAY) return false;
    this.#early = [];
    this.credit = 0;
    if (this.phase < LEAVING && this.#options.reopen) {
      this.phase = AWAY;
      if (!this.#options.buffer) {
        this.#queue.clear();
        this.bufferedAmount = 0;
      }
    }
    return true;
  }

  /** Tell of the loss. */
  lost() {
    if (this.phase !== AWAY) {
      this.end(1006, "", false);
      return;
    }
    if (!this.#leave || this.#queue.size) this.#face.onLoss();
    this.#leaveIfEmpty();
  }

  /**
   * The stream has ended for good.
   *
   * @param {number} code
   * @param {string} reason
   * @param {boolean} wasClean
   */
  end(code, reason, wasClean) {
    if (this.phase === ENDED) return;
    // As a browser does: a failure is an error where it kept the stream from opening, and else
    // just an end, which libraries recover from.
    const failed = !wasClean && this.phase <= ASKED && !this.#leave;
    this.phase = ENDED;
    this.credit = 0;
    this.#queue.clear();
    this.#connection.clock.clearTimeout(this.#timer);
    this.#streams.forget(this);
    this.#face.onEnd(code, reason, wasClean, failed);
  }
}
