// A WebSocket whose cable can be cut, to see what becomes of the page without a network.

let cut = false;
const connected = new Set();

export class Cable extends WebSocket {
  constructor(url, protocols) {
    if (cut) return new Unreachable();
    super(url, protocols);
    connected.add(this);
    this.addEventListener("close", () => connected.delete(this));
  }

  static get cut() {
    return cut;
  }

  static set cut(value) {
    cut = value;
    if (!cut) {
      // As a browser does when the network is back.
      window.dispatchEvent(new Event("online"));
      return;
    }
    for (const socket of connected) {
      socket.dispatchEvent(new CloseEvent("close", { code: 1006 }));
      socket.close();
    }
  }
}

/** A WebSocket that finds no network. */
class Unreachable {
  #failing = setTimeout(() => {
    this.onerror?.(new Event("error"));
    this.onclose?.(new CloseEvent("close", { code: 1006 }));
  }, 500);

  close() {
    clearTimeout(this.#failing);
  }
}
