/** Requests to route-style consumers: a Promise for each answer. */

import { LONGEST } from "./clock.js";

/**
 * An answer.
 *
 * @typedef {object} Answer
 * @property {boolean} ok whether the status is below 400.
 * @property {number} status
 * @property {any} payload
 * @property {Record<string, any>} headers
 * @property {string} route
 * @property {string} uuid
 */

/**
 * @typedef {object} RequestOptions
 * @property {number | null} [timeout] milliseconds until the request is given up, 30000 by default;
 *   no limit where that is null, `Infinity` or more than a timer can wait (2147483647).
 * @property {AbortSignal} [signal] gives the request up when it aborts.
 * @property {Record<string, any>} [headers]
 */

/** @typedef {import("./life.js").Entry} Entry */

/** How long a request waits for its answer where nothing else is said, in milliseconds. */
export const REQUEST_TIMEOUT = 30000;

/** The requests of a stream that wait for their answers. */
export class Requests {
  #count = 0;
  #life;
  #clock;
  /** @type {Map<string, {entry: Entry, resolve(answer: Answer): void, reject(error: unknown): void}>} */
  #pending = new Map();

  /**
   * @param {import("./life.js").Life} life
   * @param {import("./clock.js").Clock} clock
   */
  constructor(life, clock) {
    this.#life = life;
    this.#clock = clock;
  }

  get size() {
    return this.#pending.size;
  }

  /**
   * Send a request.
   *
   * @param {string} route
   * @param {unknown} payload
   * @param {RequestOptions} options
   * @returns {Promise<Answer>}
   */
  async send(route, payload, { timeout = REQUEST_TIMEOUT, signal, headers }) {
    signal?.throwIfAborted();
    if (this.#life.readyState > 1) throw networkError("the stream has been closed");
    const uuid = `${++this.#count}`;
    const text = JSON.stringify({ route, uuid, headers, payload });
    const entry = /** @type {Entry} */ ({});
    /** @type {any} */
    let timer;
    let abort = () => {};
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(uuid, { entry, resolve, reject });
        /** @param {unknown} error */
        const giveUp = (error) => {
          // What is given up is not to be sent any more, by whatever is under way.
          this.#life.cancel(entry);
          reject(error);
        };
        if (timeout !== null && timeout <= LONGEST) {
          timer = this.#clock.setTimeout(() => {
            giveUp(new DOMException(`no answer to ${route} in ${timeout} ms`, "TimeoutError"));
          }, timeout);
        }
        abort = () => giveUp(signal?.reason);
        signal?.addEventListener("abort", abort);
        this.#life.send(text, true, entry);
      });
    } finally {
      this.#pending.delete(uuid);
      this.#clock.clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Take the answer to a request.
   *
   * @param {any} value a message.
   */
  receive(value) {
    this.#pending.get(value.uuid)?.resolve({ ...value, ok: value.status < 400 });
  }

  /**
   * Give up the requests that have gone out: their answers are lost.
   *
   * @param {string} why
   */
  lost(why) {
    for (const { entry, reject } of this.#pending.values()) {
      if (!this.#life.holds(entry)) reject(networkError(why));
    }
  }
}

/** @param {string} message */
const networkError = (message) => new DOMException(message, "NetworkError");
