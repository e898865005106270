/**
 * The latest frames of a socket, within bounds.
 *
 * @module
 */

/** Frames that are kept. */
export const FRAMES = 500;
/** Bytes of a frame's content that are kept. */
export const CONTENT = 16_384;
/** Characters that JSON may have when it is indented, which of deep nesting makes any number. */
const INDENTED = 16 * CONTENT;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * A frame that has passed.
 *
 * @typedef {object} Entry
 * @property {number} number counts from 1.
 * @property {number} time milliseconds since 1970.
 * @property {"in" | "out"} direction
 * @property {string} stream its name; `""` for a frame of the socket itself.
 * @property {string} kind `payload`, `text`, `bytes`, or a control frame's event.
 * @property {number} size in bytes.
 * @property {string | Uint8Array} content the first `CONTENT` bytes.
 */

/** @typedef {import("./frames.js").Keys} Keys */

/** Keeps the latest frames. */
export class Recording {
  /** @type {Entry[]} */
  entries = [];
  #count = 0;
  #keys;

  /** @param {Keys} keys */
  constructor(keys) {
    this.#keys = keys;
  }

  /**
   * Keep a frame, and forget the oldest where there are too many.
   *
   * @param {"in" | "out"} direction
   * @param {string} stream its name; `""` for a frame of the socket itself.
   * @param {string | ArrayBuffer | Uint8Array | Blob} data the message.
   * @param {number} time milliseconds since 1970.
   */
  add(direction, stream, data, time) {
    const number = ++this.#count;
    const entry = { number, time, direction, stream, kind: "bytes", size: 0, content: "" };
    this.entries.push(this.#read(entry, data));
    if (this.entries.length > FRAMES) this.entries.shift();
  }

  /** Forget all. */
  clear() {
    this.entries.length = 0;
  }

  /**
   * @param {Entry} entry
   * @param {string | ArrayBuffer | Uint8Array | Blob} data
   * @returns {Entry}
   */
  #read(entry, data) {
    if (data instanceof Blob) {
      entry.size = data.size;
      const head = data.slice(0, CONTENT).arrayBuffer();
      // A file that has changed since it was chosen can't be read: its content stays empty.
      head.then((bytes) => (entry.content = new Uint8Array(bytes)), () => {});
      return entry;
    }
    const text = typeof data === "string";
    const bytes = text ? encoder.encode(data) : new Uint8Array(data);
    // A copy: a part of a string, or a view of bytes, would keep the whole in memory.
    const head = bytes.slice(0, CONTENT);
    entry.size = bytes.length;
    entry.content = text ? decoder.decode(head) : head;
    if (text) entry.kind = this.#kind(data);
    return entry;
  }

  /** @param {string} data */
  #kind(data) {
    try {
      const frame = JSON.parse(data);
      const event = frame[this.#keys.event];
      return typeof event === "string" ? event : this.#keys.text in frame ? "text" : "payload";
    } catch {
      return "text";
    }
  }
}

/**
 * Return what is kept of a frame, to be read: JSON indented, bytes in hexadecimal.
 *
 * @param {Entry} entry
 */
export function whole({ content, size }) {
  const text = typeof content === "string" ? indented(content) : hex(content, " ");
  return size > CONTENT ? `${text}\n… the first ${CONTENT} bytes` : text;
}

/** @param {string} text */
function indented(text) {
  try {
    const lines = JSON.stringify(JSON.parse(text), null, 2);
    return lines.length > INDENTED ? text : lines;
  } catch {
    return text;
  }
}

/**
 * @param {Uint8Array} content
 * @param {string} between
 */
export function hex(content, between) {
  return Array.from(content, (byte) => byte.toString(16).padStart(2, "0")).join(between);
}

/**
 * Return a stream's hue: the same in every window, and for all streams to the same place.
 *
 * @param {string} name the stream's name.
 * @returns {number} degrees, 0 to 359.
 */
export function hueOf(name) {
  let hash = 27_787;
  for (const byte of encoder.encode(name.replace(/[?#].*/s, ""))) {
    hash = Math.imul(hash ^ byte, 16_777_619) >>> 0;
  }
  return ((hash ^ (hash >>> 15)) >>> 0) % 360;
}
