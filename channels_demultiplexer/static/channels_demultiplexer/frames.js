/** The wire format: write messages, and read them. Pure. */

/**
 * What a frame is about.
 *
 * @typedef {object} Frame
 * @property {string} [stream] the stream's name.
 * @property {string} [event] what a control frame is; data frames have none.
 * @property {string | ArrayBuffer} [data] what a data frame brings.
 * @property {boolean} [json] whether `data` is JSON text.
 * @property {Record<string, any>} [fields] the frame as it was read, of a control frame.
 */

/**
 * The keys of frames, as the server's settings have them.
 *
 * @typedef {{stream: string, payload: string, text: string, event: string}} Keys
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The longest name of a stream, in bytes. */
const MAX_NAME = 255;

/**
 * @param {string} text
 * @returns {number} its length in bytes of UTF-8.
 */
export const byteLength = (text) => encoder.encode(text).length;

/**
 * The conversion of the standard, to a string that can be UTF-8.
 *
 * @param {string} text
 */
export const wellFormed = (text) => decoder.decode(encoder.encode(text));

/**
 * Whether a stream can have this name.
 *
 * @param {string} name
 */
export function isName(name) {
  const length = byteLength(name);
  return length > 0 && length <= MAX_NAME && wellFormed(name) === name;
}

/** @param {string} text */
function isJSON(text) {
  try {
    JSON.parse(text);
    // Space around a value would be lost with the envelope.
    return text.trim() === text;
  } catch {
    return false;
  }
}

/** Writes and reads messages with certain key names. */
export class Codec {
  #keys;
  #envelope;

  /** @param {Keys} keys */
  constructor(keys) {
    this.#keys = keys;
    const [stream, payload] = [keys.stream, keys.payload].map((key) =>
      JSON.stringify(key).replace(/\W/g, "\\$&"),
    );
    // The payload is cut out and not decoded, so that the text stays as the child wrote it.
    this.#envelope = new RegExp(`^\\{${stream}:("(?:[^"\\\\]|\\\\.)*"),${payload}:`);
  }

  /**
   * Write a data frame. Binary data is copied.
   *
   * @param {string} stream
   * @param {string | ArrayBuffer | ArrayBufferView | Blob} data
   * @param {boolean} [json] whether `data` is known to be JSON text.
   * @returns {string | Uint8Array | Blob} the message.
   */
  data(stream, data, json = false) {
    if (typeof data === "string") {
      const keys = this.#keys;
      const [key, value] = json || isJSON(data) ? [keys.payload, data] : [keys.text, JSON.stringify(data)];
      return `{${JSON.stringify(keys.stream)}:${JSON.stringify(stream)},${JSON.stringify(key)}:${value}}`;
    }
    const name = encoder.encode(stream);
    const head = new Uint8Array([name.length, ...name]);
    if (data instanceof Blob) return new Blob([head, data]);
    const bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    const message = new Uint8Array(head.length + bytes.length);
    message.set(head);
    message.set(bytes, head.length);
    return message;
  }

  /**
   * Write a control frame.
   *
   * @param {string | undefined} stream the stream's name, if it is about one.
   * @param {string} event
   * @param {object} fields
   * @returns {string} the message.
   */
  control(stream, event, fields) {
    return JSON.stringify({ [this.#keys.stream]: stream, [this.#keys.event]: event, ...fields });
  }

  /**
   * Write a ping.
   *
   * @param {unknown} payload what the pong shall repeat.
   */
  ping(payload) {
    return this.control(undefined, "ping", { [this.#keys.payload]: payload });
  }

  /**
   * Read a message of the server.
   *
   * @param {string | ArrayBuffer} message
   * @returns {Frame} an empty one where it is none.
   */
  read(message) {
    if (typeof message !== "string") {
      const start = 1 + new Uint8Array(message)[0];
      const stream = decoder.decode(message.slice(1, start));
      return { stream, data: message.slice(start) };
    }
    const keys = this.#keys;
    const match = this.#envelope.exec(message);
    if (match) {
      const data = message.slice(match[0].length, -1);
      // A child that writes its envelope itself writes it as it likes, with more keys too.
      if (isJSON(data)) return { stream: JSON.parse(match[1]), data, json: true };
    }
    try {
      const fields = JSON.parse(message);
      const stream = fields[keys.stream];
      const event = fields[keys.event];
      if (event !== undefined) return { stream, event, fields };
      const text = fields[keys.text];
      if (text === undefined) return { stream, data: JSON.stringify(fields[keys.payload]), json: true };
      return { stream, data: text };
    } catch {
      return {};
    }
  }

  /**
   * The payload of a control frame.
   *
   * @param {Frame} frame
   */
  payload(frame) {
    return frame.fields?.[this.#keys.payload];
  }
}
