/** Events, targets that know whether anybody listens, and the states that they are in. */

/** The values of `readyState`. */
export const WebSocketState = /** @type {const} */ ({ CONNECTING: 0, OPEN: 1, CLOSING: 2, CLOSED: 3 });

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

/**
 * How a stream or a socket has ended.
 *
 * @param {number} code the close code.
 * @param {string} reason the close reason.
 * @param {boolean} wasClean whether the other side knows.
 * @returns {CloseEvent}
 */
export function closeEvent(code, reason, wasClean) {
  const init = { code, reason, wasClean };
  // Node has no `CloseEvent` before version 23.
  return globalThis.CloseEvent ? new CloseEvent("close", init) : event("close", init);
}

/** An `EventTarget` that knows which events have ever been listened to. */
export class Target extends EventTarget {
  /** @type {Set<string>} */
  #wanted = new Set();
  /** @type {Map<string, (event: any) => void>} */
  #handlers = new Map();
  /** @param {Event} event */
  #call = (event) => this.#handlers.get(event.type)?.call(this, event);

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
    if (typeof handler === "function") {
      this.#handlers.set(type, handler);
      // Added once, however often: a handler that replaces another takes its turn.
      this.addEventListener(type, this.#call);
    } else {
      this.#handlers.delete(type);
      this.removeEventListener(type, this.#call);
    }
  }
}
