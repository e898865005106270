/**
 * The browser client of channels-demultiplexer: any number of WebSockets in one.
 *
 * @module
 */

export { Demultiplexer } from "./socket.js";
export { Stream } from "./stream.js";
