import { Stream } from "./stream.js";

/**
 * Return a URL as the constructor of `WebSocket` takes it.
 *
 * @param {string | URL} url
 * @param {string} [base] what it is relative to.
 * @throws {DOMException} `SyntaxError` if it is none of a WebSocket.
 */
export function socketURL(url, base) {
  try {
    const parsed = new URL(new URL(url, base).href.replace(/^http/, "ws"));
    if (/^wss?:[^#]*$/.test(parsed.href)) return parsed;
  } catch {}
  throw new DOMException(`${url} is no URL of a WebSocket`, "SyntaxError");
}

/**
 * The text of percent-encoded bytes, which stay as they are where that is no UTF-8.
 *
 * @param {string} encoded
 */
function decoded(encoded) {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

/**
 * Return a class whose instances are streams, to be made as a `WebSocket` is.
 *
 * @param {import("./streams.js").Streams} streams
 * @param {string} base what a URL is relative to.
 * @returns {{new (url: string | URL, protocols?: string | string[]): Stream} & Omit<typeof Stream, "prototype">}
 */
export function webSocketClass(streams, base) {
  let labels = 0;
  /** @param {string} path */
  const label = (path) => {
    let name;
    do name = `${path}#${++labels}`;
    while (streams.find(name));
    return name;
  };
  return class extends Stream {
    /**
     * @param {string | URL} url of which the path is the stream's name, and the query the consumer's.
     * @param {string | string[]} [protocols]
     * @throws {DOMException} `SyntaxError` if it is none, or its path has more than a name may have.
     */
    constructor(url, protocols = []) {
      const { pathname, search, href } = socketURL(url, base);
      // Routing sees what a socket of this path would have; `?` and `#` would end a name's path.
      const path = pathname.slice(1).replace(/(%(?!3f|23)[\da-f]{2})+/gi, decoded);
      const options = {
        subprotocols: [protocols].flat(),
        query: search.slice(1),
        buffer: 0,
        reopen: false,
      };
      super(streams, label(path || "/"), options, href);
    }
  };
}
