/** Libraries that know nothing of this one run over streams, unmodified. `SERVER` is a real server. */

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, describe, test } from "node:test";

import { createClient } from "graphql-ws";
import ReconnectingWebSocket from "reconnecting-websocket";
import { webSocket } from "rxjs/webSocket";
import WebSocket from "ws";

import { Demultiplexer } from "../../channels_demultiplexer/static/channels_demultiplexer/demultiplexer.js";

const url = `${process.env.SERVER}/main/`;
const options = { timeout: 60_000 };
const client = new Demultiplexer(url, { WebSocket, minDelay: 10 });
after(() => client.close());

/** The next event of a type. */
const next = (target, type) => new Promise((resolve) => target.addEventListener(type, resolve, { once: true }));

describe("the client itself", () => {
  test("exchanges text and binary data in order", options, async () => {
    const stream = client.stream("echo");
    stream.binaryType = "arraybuffer";
    const values = stream.values();
    stream.send("text");
    stream.send(new Blob(["blob"]));
    stream.send(Uint8Array.of(1, 2));
    stream.sendJSON({ a: 1 });
    const found = [];
    for await (const value of values) if (found.push(value) === 4) break;
    const text = (buffer) => new TextDecoder().decode(buffer);
    assert.deepEqual([found[0], text(found[1]), text(found[2]), found[3]], ["text", "blob", "\x01\x02", { a: 1 }]);
  });

  test("sends more than the consumer takes at once", options, async () => {
    const stream = client.stream("echo/#many");
    const values = stream.values({ capacity: 1000 });
    for (let number = 0; number < 1000; number++) stream.sendJSON(number);
    for (let number = 0; number < 1000; number++) assert.equal((await values.next()).value, number);
    stream.close();
    assert.equal((await values.next()).done, true);
  });

  test("holds the frames of a stalled consumer, while another answers", options, async () => {
    const stuck = client.stream("stuck");
    await next(stuck, "open");
    assert.equal(stuck.credit, 100);
    for (let number = 0; number < 10000; number++) stuck.send("12345");
    assert.ok(stuck.bufferedAmount >= 5 * 9800, `${stuck.bufferedAmount}`);
    const other = client.stream("echo");
    other.send("still there");
    assert.equal((await next(other, "message")).data, "still there");
    assert.equal(stuck.readyState, 1);
    assert.ok(stuck.bufferedAmount >= 5 * 9800, `${stuck.bufferedAmount}`);
    client.reconnect(); // A consumer that is stuck takes no leave.
    await next(client, "open");
  });

  test("makes requests", options, async () => {
    const stream = client.stream("articles#1");
    const pushed = next(stream, "push");
    const answer = await stream.request("double", 21);
    assert.deepEqual([answer.ok, answer.status, answer.payload, answer.headers], [true, 200, 42, { a: 1 }]);
    const refusal = await stream.sendAndWait("refuse", "no");
    assert.deepEqual([refusal.ok, refusal.status, refusal.payload], [false, 403, "no"]);
    await assert.rejects(stream.request("stuck", null, { timeout: 50 }), { name: "TimeoutError" });
    const { route, payload } = await pushed;
    assert.deepEqual([route, payload], ["welcome", { to: "you" }]);
  });

  test("hands a constructor's path, query and subprotocols to the consumer", options, async () => {
    const Socket = client.webSocketClass();
    const stream = new Socket("/scope/caf%C3%A9%20au%20lait/?v=2", ["a", "b"]);
    const { data } = await next(stream, "message");
    assert.deepEqual(JSON.parse(data), { path: "/scope/café au lait/", query: "v=2", subprotocols: ["a", "b"] });
    assert.equal(stream.protocol, "b");
    stream.close(3000, "bye");
    const { code, reason, wasClean } = await next(stream, "close");
    assert.deepEqual([code, reason, wasClean], [3000, "bye", true]);
  });
});

describe("graphql-ws", () => {
  test("queries and subscribes, and its connection comes back", options, async () => {
    let connections = 0;
    const graphql = createClient({
      url: new URL("/ws/graphql/?v=2", url).href,
      webSocketImpl: client.webSocketClass(),
      retryAttempts: 5,
      retryWait: () => new Promise((resolve) => setTimeout(resolve, 10)),
      on: { connected: () => connections++ },
      lazy: false,
    });
    const results = async (query) => {
      const found = [];
      for await (const { data } of graphql.iterate({ query })) found.push(data);
      return found;
    };
    assert.deepEqual(await results('{ hello(name: "Ann") }'), [{ hello: "Hello, Ann!" }]);
    assert.deepEqual(await results("subscription { count(to: 3) }"), [{ count: 0 }, { count: 1 }, { count: 2 }]);
    client.reconnect();
    assert.deepEqual(await results('{ hello(name: "Bob") }'), [{ hello: "Hello, Bob!" }]);
    assert.ok(connections >= 2);
    await graphql.dispose();
  });
});

describe("reconnecting-websocket", () => {
  test("speaks, and reconnects by itself", options, async () => {
    const socket = new ReconnectingWebSocket(new URL("/echo/", url).href, [], {
      WebSocket: client.webSocketClass(),
      minReconnectionDelay: 10,
      maxReconnectionDelay: 20,
    });
    socket.send("early");
    assert.equal((await next(socket, "message")).data, "early");
    const opened = next(socket, "open");
    client.reconnect();
    await opened;
    socket.send("again");
    assert.equal((await next(socket, "message")).data, "again");
    socket.close();
  });
});

describe("RxJS", () => {
  test("makes a subject of a stream", options, async () => {
    const subject = webSocket({
      url: new URL("/echo/", url).href,
      WebSocketCtor: client.webSocketClass(),
    });
    const found = [];
    const completed = new Promise((resolve, reject) => {
      subject.subscribe({
        next(value) {
          if (found.push(value) === 2) subject.complete();
        },
        error: reject,
        complete: resolve,
      });
    });
    subject.next({ a: 1 });
    subject.next({ b: 2 });
    await completed;
    assert.deepEqual(found, [{ a: 1 }, { b: 2 }]);
  });
});

describe("django-channels", () => {
  test("speaks to the server by itself, stream by stream", options, async () => {
    // It takes the WebSocket of the page.
    Object.assign(globalThis, { window: globalThis, WebSocket, location: new URL("http://page/") });
    const { WebSocketBridge } = createRequire(import.meta.url)("django-channels");
    const bridge = new WebSocketBridge();
    bridge.connect(url);
    const found = next(bridge.stream("echo"), "message");
    await next(bridge.socket, "open");
    bridge.stream("echo").send({ a: 1 });
    const { data, origin } = await found;
    assert.deepEqual([data, origin], [{ a: 1 }, "echo"]);
    bridge.socket.close(1000, "", { keepClosed: true });
  });
});
