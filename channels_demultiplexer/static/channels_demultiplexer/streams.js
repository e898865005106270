import { WebSocketState } from "./events.js";
import { ASKED, LEAVING, Life } from "./life.js";

/**
 * What the streams need of their socket.
 *
 * @typedef {object} Connection
 * @property {import("./frames.js").Codec} codec
 * @property {import("./clock.js").Clock} clock
 * @property {() => import("./socket.js").SocketState} state
 * @property {() => boolean} ready whether the connection takes data now.
 * @property {(message: string | Uint8Array | Blob, stream: string) => void} transmit
 * @property {(details: {status: number, error: string, stream: string | undefined}) => void} refuse
 *   tell that the server has refused a frame.
 */

/** @typedef {import("./stream.js").Stream} Stream */

/** The streams of a socket, and which of them a frame is about. */
export class Streams {
  /**
   * All that have not ended, in the order in which they were made.
   *
   * @type {Map<Life, Stream>}
   */
  #all = new Map();
  /**
   * The lives of each name that the server has begun, or will, on this connection, and whose `close`
   * has not come. It answers in order, so that a frame is about the first of them.
   *
   * @type {Map<string, Life[]>}
   */
  #lives = new Map();
  /** Whether streams may open: not yet where the socket only tells that it is open. */
  #mayOpen = false;

  /** @param {Connection} connection */
  constructor(connection) {
    this.connection = connection;
  }

  /** All that have not ended, in the order in which they were made. */
  values() {
    return this.#all.values();
  }

  /**
   * Return the stream of a name that is not closing.
   *
   * @param {string} name
   */
  find(name) {
    for (const stream of this.#all.values()) {
      if (stream.name === name && stream.readyState < WebSocketState.CLOSING) return stream;
    }
    return undefined;
  }

  /**
   * Add a new stream.
   *
   * @param {Life} life
   * @param {Stream} stream
   */
  add(life, stream) {
    this.#all.set(life, stream);
    this.#begin(life.name);
    if (this.connection.state() === "closed") {
      // Not at once: whoever makes a stream shall be able to listen to it first.
      queueMicrotask(() => life.end(1006, "the socket is closed", false));
    }
  }

  /** Open all streams, on a new connection, unless whoever was told of it has ended that. */
  open() {
    this.#mayOpen = this.connection.state() === "open";
    for (const { name } of [...this.#all.keys()]) this.#begin(name);
  }

  /** Send what may be sent. */
  flush() {
    for (const life of [...this.#all.keys()]) life.flush();
  }

  /**
   * Forget the connection.
   *
   * @returns {Life[]} all lives.
   */
  disconnect() {
    this.#mayOpen = false;
    this.#lives.clear();
    return [...this.#all.keys()];
  }

  // What a life says.

  /**
   * Send the `open` of a life, and count it.
   *
   * @param {Life} life
   * @param {object} fields
   */
  ask(life, fields) {
    this.#count(life);
    this.control(life.name, "open", fields);
  }

  /**
   * Send the `close` of a life, and begin the name's next.
   *
   * @param {Life} life
   * @param {object} fields
   */
  leave(life, fields) {
    this.control(life.name, "close", fields);
    this.#begin(life.name);
  }

  /**
   * Forget a life that has ended.
   *
   * @param {Life} life
   */
  forget(life) {
    this.#all.delete(life);
    this.#begin(life.name);
  }

  /**
   * @param {string} name
   * @param {string} event
   * @param {object} fields
   */
  control(name, event, fields) {
    this.connection.transmit(this.connection.codec.control(name, event, fields), name);
  }

  /**
   * Open the first stream of a name that is not being left, and so no later one before the `close`
   * of an earlier one has gone out: to the server, both would be one life.
   *
   * @param {string} name
   */
  #begin(name) {
    if (!this.#mayOpen) return;
    for (const life of this.#all.keys()) {
      if (life.name !== name || life.phase >= LEAVING) continue;
      life.open();
      return;
    }
  }

  /** @param {Life} life */
  #count(life) {
    const lives = this.#lives.get(life.name);
    if (lives) lives.push(life);
    else this.#lives.set(life.name, [life]);
  }

  // What the server says.

  /**
   * Give a frame to whom it is about.
   *
   * @param {import("./frames.js").Frame} frame
   */
  handle(frame) {
    const { stream = "", event, data, json = false, fields = {} } = frame;
    const lives = this.#lives.get(stream) ?? [];
    const [life] = lives;
    if (data !== undefined) life?.received(data, json);
    else if (event === "open") this.#answer(life, stream, fields);
    else if (event === "credit") life?.granted(fields.credit);
    else if (event === "close") this.#end(life, fields.code, fields.reason, life?.phase !== ASKED);
    else if (event === "error") this.#refuse(lives, frame, fields.status);
  }

  /**
   * @param {Life | undefined} life
   * @param {string} name
   * @param {any} fields
   */
  #answer(life, name, fields) {
    if (life) {
      life.opened(fields);
      return;
    }
    // An eager stream had ended before our `open` came, which has opened it again after we took
    // its end for the answer. Nobody wants it now.
    const stranger = new Life(name, { buffer: 0, reopen: false }, this, nobody);
    stranger.phase = LEAVING;
    this.#count(stranger);
    this.leave(stranger, {});
  }

  /**
   * @param {Life | undefined} life
   * @param {number} code
   * @param {string} reason
   * @param {boolean} wasClean
   */
  #end(life, code, reason, wasClean) {
    if (!life) return;
    const lives = this.#lives.get(life.name) ?? [];
    lives.splice(lives.indexOf(life), 1);
    if (!lives.length) this.#lives.delete(life.name);
    life.end(code, reason, wasClean);
  }

  /**
   * An error frame. One that refuses an `open` ends that life; there will be no other answer. A 409
   * is about none: it answers a `close`, or data, that has crossed the end of an earlier one.
   *
   * @param {Life[]} lives
   * @param {import("./frames.js").Frame} frame
   * @param {number} status
   */
  #refuse(lives, frame, status) {
    const error = this.connection.codec.payload(frame)?.error;
    this.connection.refuse({ status, error, stream: frame.stream });
    if (status === 409) return;
    const asking = lives.find((life) => life.asking);
    (asking ?? lives[0])?.refused(status, error);
    this.#end(asking, 4000 + status, error, false);
  }
}

/** @type {import("./life.js").Face} */
const nobody = { onOpen() {}, onData() {}, onLoss() {}, onRefusal() {}, onEnd() {} };
