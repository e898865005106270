/** Events, targets that know whether anybody listens, and the states that they are in. */

/** The values of `readyState`. */
export const WebSocketState = /** @type {const} */ ({ CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });

/**
 * Node has no `CloseEvent` before version 23.
 *
 * @type {typeof CloseEvent}
 */
const CloseEventClass = globalThis.CloseEvent ?? class extends Event {
  /** @param {string} type @param {CloseEventInit} init */
  constructor(type, { code = 0, reason = "", wasClean = false }) {
    super(type);
    Object.assign(this, { code, reason, wasClean });
  }
};

/**
 * How a stream or a socket has ended.
 *
 * @param {number} code the close code.
 * @param {string} reason the close reason.
 * @param {boolean} wasClean whether the other side knows.
 * @returns {CloseEvent}
 */
export function closeEvent(code, reason, wasClean) {
  return new CloseEventClass("close", { code, reason, wasClean });
}

/**
 * An event with properties.
 *
 * @template {object} T
 * @param {string} type
 * @param {T} properties
 * @returns {Event & T}
 */
export function event(type, properties) {
  return Object.assign(new Event(type), properties);
}

/** An `EventTarget` that knows which events have ever been listened to. */
export class Target extends EventTarget {
  /** @type {Set<string>} */
  #wanted = new Set();
  /** @type {Map<string, (event: any) => void>} */
  #handlers = new Map();

  /**
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   * @param {AddEventListenerOptions | boolean} [options]
   */
  addEventListener(type, listener, options) {
    this.#wanted.add(type);
    super.addEventListener(type, listener, options);
  }

  /**
   * Whether anybody has listened to events of a type; they cost nothing where not.
   *
   * @param {string} type
   * @protected
   */
  wants(type) {
    return this.#wanted.has(type);
  }

  /**
   * The `on...` property of a type.
   *
   * @param {string} type
   * @returns {((event: any) => void) | null}
   * @protected
   */
  handler(type) {
    return this.#handlers.get(type) ?? null;
  }

  /**
   * Set the `on...` property of a type.
   *
   * @param {string} type
   * @param {((event: any) => void) | null} handler
   * @protected
   */
  setHandler(type, handler) {
    if (typeof handler !== "function") {
      this.#handlers.delete(type);
      return;
    }
    if (!this.#wanted.has(`on${type}`)) {
      this.#wanted.add(`on${type}`);
      // One listener for good, so that a handler that replaces another takes its turn.
      this.addEventListener(type, (event) => this.#handlers.get(type)?.call(this, event));
    }
    this.#handlers.set(type, handler);
  }
}
