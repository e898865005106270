/** The socket: its states, its reconnection, its heartbeat. */

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";

import { Demultiplexer } from "../../channels_demultiplexer/static/channels_demultiplexer/demultiplexer.js";
import { accept, fake, FakeSocket, opened, record, settled, types } from "./fakes.js";

describe("the address", () => {
  for (const [given, found] of [
    ["ws://test/ws/", "ws://test/ws/"],
    ["http://test/ws/", "ws://test/ws/"],
    ["https://test/ws/?a=b", "wss://test/ws/?a=b"],
    [new URL("wss://test/"), "wss://test/"],
  ]) {
    test(`${given} is ${found}`, () => {
      const client = new Demultiplexer(given, { WebSocket: FakeSocket });
      assert.equal(client.url, found);
      assert.equal(FakeSocket.made.at(-1).url, found);
      client.close();
    });
  }

  test("is relative to the page", () => {
    globalThis.location = { href: "https://test/page/" };
    try {
      const client = new Demultiplexer("/ws/", { WebSocket: FakeSocket });
      assert.equal(client.url, "wss://test/ws/");
      client.close();
    } finally {
      delete globalThis.location;
    }
  });

  for (const url of ["http://[", "/ws/", "ftp://test/", "ws://test/#a"]) {
    test(`${url} is none, which a WebSocket would refuse in the same way`, () => {
      const constructor = DOMException;
      assert.throws(() => new Demultiplexer(url, { WebSocket: FakeSocket }), { constructor, name: "SyntaxError" });
    });
  }

  test("the protocol's subprotocol is offered, unless others are", () => {
    assert.deepEqual(fake().wire.protocols, ["channels-demultiplexer.v1"]);
    assert.deepEqual(fake({ protocols: [] }).wire.protocols, []);
  });
});

describe("connecting", () => {
  test("to open when the handshake is done", () => {
    const { client, connect, events } = fake();
    assert.equal(client.state, "connecting");
    connect();
    assert.equal(client.state, "open");
    assert.deepEqual(types(events), ["open"]);
  });

  test("to reconnecting when the handshake fails", () => {
    const { client, wire, events } = fake();
    wire.end(1006);
    assert.equal(client.state, "reconnecting");
    const [{ type, attempt, delay, code }] = events;
    assert.deepEqual([type, attempt, delay, code], ["reconnecting", 1, 500, 1006]);
  });

  test("to reconnecting when the handshake hangs", () => {
    const { client, clock, wire } = fake();
    clock.pass(9999);
    assert.equal(client.state, "connecting");
    clock.pass(1);
    assert.equal(client.state, "reconnecting");
    assert.deepEqual(wire.closed, [undefined, undefined]);
  });

  test("to closed when it is closed", () => {
    const { client, wire, events } = fake();
    client.close(3000, "enough");
    assert.equal(client.state, "closed");
    assert.deepEqual(wire.closed, [3000, "enough"]);
    const [{ type, code, reason, wasClean }] = events;
    assert.deepEqual([type, code, reason, wasClean], ["close", 3000, "enough", true]);
  });

  test("to closed when the server does not want it", () => {
    const { client, wire } = fake();
    wire.end(4400);
    assert.equal(client.state, "closed");
  });
});

describe("open", () => {
  for (const code of [1000, 1001, 1006, 1012, 4399, 4500]) {
    test(`to reconnecting when it is lost with ${code}`, () => {
      const { client, connect, events } = fake();
      connect().end(code, "why");
      assert.equal(client.state, "reconnecting");
      assert.equal(events.at(-1).code, code);
      assert.equal(events.at(-1).reason, "why");
    });
  }

  for (const code of [4400, 4403, 4499]) {
    test(`to closed when the server closes it with ${code}`, () => {
      const { client, connect, clock, events } = fake();
      connect().end(code, "why");
      assert.equal(client.state, "closed");
      assert.equal(events.at(-1).code, code);
      assert.equal(clock.timers, 0);
    });
  }

  test("to closed when it is closed", () => {
    const parts = opened();
    const ends = record(parts.stream, ["error", "close"]);
    parts.client.close();
    assert.equal(parts.client.state, "closed");
    assert.deepEqual(parts.wire.closed, [1000, ""]);
    assert.equal(parts.clock.timers, 0);
    assert.equal(parts.stream.readyState, 3);
    assert.deepEqual(types(ends), ["close"]);
  });

  test("opens the streams in order, those that the event makes last", () => {
    const parts = opened();
    parts.client.stream("second");
    parts.client.addEventListener("open", () => parts.client.stream("third"), { once: true });
    parts.client.reconnect();
    assert.deepEqual(parts.connect().take().map(({ stream }) => stream), ["echo", "second", "third"]);
    parts.client.stream("fourth");
    assert.deepEqual(parts.wire.take().map(({ stream }) => stream), ["fourth"]);
  });

  for (const [act, state] of [["reconnect", "connecting"], ["close", "closed"]]) {
    test(`opens no stream where its event leads to ${act}()`, () => {
      const parts = opened();
      parts.client.addEventListener("open", () => parts.client[act](), { once: true });
      parts.client.reconnect();
      const wire = parts.connect();
      assert.equal(parts.client.state, state);
      parts.client.stream("other");
      assert.deepEqual([...wire.take(), ...parts.wire.take()], []);
    });
  }

  test("to connecting when it is replaced", () => {
    const { client, connect, events } = fake();
    const wire = connect();
    types(events);
    client.reconnect();
    assert.equal(client.state, "connecting");
    assert.notEqual(wire.closed, null);
    assert.deepEqual(types(events), ["reconnecting", "connecting"]);
  });
});

describe("reconnecting", () => {
  test("to connecting when the delay is over", () => {
    const parts = fake();
    parts.connect().end();
    parts.clock.pass(499);
    assert.equal(parts.connections, 1);
    parts.clock.pass(1);
    assert.equal(parts.connections, 2);
    assert.equal(parts.client.state, "connecting");
    assert.deepEqual(types(parts.events), ["open", "reconnecting", "connecting"]);
  });

  test("to connecting when it is told to", () => {
    const parts = fake();
    parts.connect().end();
    parts.client.reconnect();
    assert.equal(parts.client.state, "connecting");
    parts.clock.pass(5000);
    assert.equal(parts.connections, 2);
  });

  test("to closed when it is closed", () => {
    const parts = fake();
    const wire = parts.connect();
    wire.end();
    parts.client.close();
    assert.equal(parts.client.state, "closed");
    assert.equal(wire.closes, 1);
    parts.clock.pass(100000);
    assert.equal(parts.connections, 1);
  });

  test("waits longer from attempt to attempt, up to a bound, and never gives up", () => {
    const parts = fake();
    const delays = [];
    for (let attempt = 1; attempt <= 100; attempt++) {
      parts.wire.end();
      assert.equal(parts.events.at(-1).attempt, attempt);
      delays.push(parts.events.at(-1).delay);
      parts.clock.pass(delays.at(-1));
    }
    assert.deepEqual(delays.slice(0, 8), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]);
    assert.equal(delays.at(-1), 30000);
  });

  test("draws the wait anew each time, from nothing on", () => {
    const draws = [0, 0.5, 0.25];
    const parts = fake({ random: () => draws.shift() });
    for (const delay of [0, 500, 500]) {
      parts.wire.end();
      assert.equal(parts.events.at(-1).delay, delay);
      parts.clock.pass(delay);
    }
  });

  test("counts anew only after a connection that has lasted", () => {
    const parts = fake();
    const attempts = [];
    for (const uptime of [0, 4999, 5000, 0]) {
      parts.connect();
      parts.clock.pass(uptime);
      parts.wire.end();
      attempts.push(parts.events.at(-1).attempt);
      parts.clock.pass(parts.events.at(-1).delay);
    }
    assert.deepEqual(attempts, [1, 2, 1, 2]);
  });

  test("a handshake that takes long is no connection that has lasted", () => {
    const parts = fake();
    parts.clock.pass(9000);
    parts.wire.end();
    parts.clock.pass(500);
    parts.clock.pass(9000);
    parts.wire.end();
    assert.equal(parts.events.at(-1).attempt, 2);
  });

  test("may close the socket from the event itself", () => {
    const parts = opened();
    parts.client.addEventListener("reconnecting", () => parts.client.close());
    const ends = record(parts.stream, ["close", "reconnecting"]);
    parts.wire.end();
    assert.equal(parts.client.state, "closed");
    assert.deepEqual(types(ends), ["close"]);
    assert.equal(parts.clock.timers, 0);
  });

  test("may reconnect from the event itself", () => {
    const parts = opened();
    parts.client.addEventListener("reconnecting", () => parts.client.reconnect(), { once: true });
    parts.wire.end();
    parts.connect();
    assert.equal(parts.connections, 2);
    assert.deepEqual(parts.wire.take(), [{ stream: "echo", event: "open", credit: true }]);
  });

  for (const target of ["client", "stream"]) {
    for (const [act, state] of [["reconnect", "connecting"], ["close", "closed"]]) {
      test(`is left once where the event of the ${target}, at a replacement, leads to ${act}()`, () => {
        const parts = opened();
        parts[target].addEventListener("reconnecting", () => parts.client[act](), { once: true });
        parts.client.reconnect();
        assert.equal(parts.client.state, state);
        assert.equal(parts.connections, act === "reconnect" ? 2 : 1);
      });
    }
  }
});

describe("closed", () => {
  test("stays so", () => {
    const parts = fake();
    const wire = parts.connect();
    parts.client.close();
    types(parts.events);
    parts.client.close(3000);
    wire.end();
    wire.open();
    parts.clock.pass(100000);
    assert.equal(parts.client.state, "closed");
    assert.equal(parts.connections, 1);
    assert.deepEqual(types(parts.events), []);
    assert.throws(() => parts.client.reconnect(), { name: "InvalidStateError" });
  });

  test("a stream that is made then ends, when it can be heard", async () => {
    const parts = fake();
    parts.client.close();
    const stream = parts.client.stream("echo");
    const ends = record(stream, ["error", "close"]);
    await settled();
    assert.deepEqual(ends.map(({ type, code }) => [type, code]), [["error", undefined], ["close", 1006]]);
    assert.deepEqual([...parts.client.streams], []);
  });

  for (const [code, reason, name] of [
    [1001, "", "InvalidAccessError"],
    [2999, "", "InvalidAccessError"],
    [5000, "", "InvalidAccessError"],
    [NaN, "", "InvalidAccessError"],
    [1000, "é".repeat(62), "SyntaxError"],
  ]) {
    test(`refuses to close with ${code} and ${reason.length} characters`, () => {
      const { client } = fake();
      assert.throws(() => client.close(code, reason), { name });
      assert.equal(client.state, "connecting");
    });
  }
});

describe("an old connection", () => {
  test("is deaf once it has been replaced", () => {
    const parts = opened();
    const [old] = FakeSocket.made;
    const messages = record(parts.stream, ["message", "close"]);
    parts.client.reconnect();
    types(parts.events);
    old.say({ stream: "echo", payload: 1 });
    old.say({ stream: "echo", event: "close", code: 1000, reason: "" });
    old.open();
    old.end(4400);
    assert.deepEqual(types(messages), []);
    assert.deepEqual(types(parts.events), []);
    assert.equal(parts.client.state, "connecting");
  });

  test("may fail without anybody to hear", () => {
    const { client, wire } = fake();
    client.close();
    assert.equal(typeof wire.onerror, "function");
    wire.onerror();
  });
});

describe("a page", () => {
  afterEach(() => {
    delete globalThis.document;
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  });

  function page() {
    const window = new EventTarget();
    const document = Object.assign(new EventTarget(), { visibilityState: "hidden" });
    globalThis.document = document;
    globalThis.addEventListener = window.addEventListener.bind(window);
    globalThis.removeEventListener = window.removeEventListener.bind(window);
    return {
      online: () => window.dispatchEvent(new Event("online")),
      turn(visibility) {
        document.visibilityState = visibility;
        document.dispatchEvent(new Event("visibilitychange"));
      },
    };
  }

  test("that is online again connects at once", () => {
    const { online } = page();
    const parts = fake();
    parts.connect().end();
    online();
    assert.equal(parts.client.state, "connecting");
    assert.equal(parts.connections, 2);
  });

  test("that becomes visible connects at once, and does not when it is hidden", () => {
    const { turn } = page();
    const parts = fake();
    parts.connect().end();
    turn("hidden");
    assert.equal(parts.connections, 1);
    turn("visible");
    assert.equal(parts.connections, 2);
  });

  test("that wakes asks whether the connection lives, and holds data until it knows", () => {
    const { turn } = page();
    const parts = opened();
    turn("visible");
    const [{ event, payload }] = parts.wire.take();
    assert.equal(event, "ping");
    parts.stream.send("1");
    assert.deepEqual(parts.wire.take(), []);
    parts.wire.say({ event: "pong", payload });
    assert.deepEqual(parts.wire.take(), [{ stream: "echo", payload: 1 }]);
  });

  test("that wakes from a long sleep replaces a connection that has not answered", () => {
    const { online } = page();
    const parts = opened();
    parts.clock.pass(30000);
    parts.clock.sleep(3600000);
    online();
    assert.equal(parts.client.state, "reconnecting");
  });

  test("that wakes while it connects leaves it at that", () => {
    const { online } = page();
    const parts = fake();
    online();
    assert.equal(parts.connections, 1);
    assert.equal(parts.client.state, "connecting");
    assert.deepEqual(parts.wire.take(), []);
  });

  test("is not listened to where the class can't connect to the address", () => {
    page();
    const listened = [];
    const add = globalThis.addEventListener;
    globalThis.addEventListener = (...args) => listened.push(args) && add(...args);
    const WebSocket = class {
      constructor() {
        throw new DOMException("no", "SyntaxError");
      }
    };
    assert.throws(() => fake({ WebSocket }), { name: "SyntaxError" });
    assert.deepEqual(listened, []);
  });

  test("is not listened to any more when the socket has been closed", () => {
    const { online, turn } = page();
    const parts = fake();
    parts.client.close();
    online();
    turn("visible");
    assert.equal(parts.connections, 1);
  });
});

describe("an option", () => {
  test("that is undefined has its default", () => {
    const names = ["protocols", "minDelay", "minUptime", "handshakeTimeout", "heartbeat", "pongTimeout", "keys"];
    const parts = fake(Object.fromEntries(names.map((name) => [name, undefined])));
    assert.deepEqual(parts.wire.protocols, ["channels-demultiplexer.v1"]);
    parts.connect();
    parts.clock.pass(30000);
    assert.equal(parts.wire.take()[0].event, "ping");
    parts.clock.pass(10000);
    assert.equal(parts.events.at(-1).delay, 500);
  });

  test("that is an undefined key has its default", () => {
    const { client, connect } = fake({ keys: { stream: undefined, event: "e" } });
    client.stream("echo");
    assert.deepEqual(connect().take(), [{ stream: "echo", e: "open", credit: true }]);
  });
});

describe("a limit of time", () => {
  for (const time of [Infinity, 2 ** 31]) {
    test(`may be ${time}, longer than any timer of a browser can wait`, () => {
      const delays = [];
      const clock = {
        now: () => 0,
        setTimeout: (_, delay) => delays.push(delay),
        clearTimeout() {},
      };
      const names = ["minDelay", "maxDelay", "handshakeTimeout", "heartbeat"];
      const { client, connect } = fake({ clock, ...Object.fromEntries(names.map((name) => [name, time])) });
      connect().end();
      client.close();
      assert.deepEqual(delays, [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1]);
    });
  }
});

describe("the heartbeat", () => {
  test("asks after silence", () => {
    const { clock, connect } = fake();
    const wire = connect();
    clock.pass(29999);
    assert.deepEqual(wire.take(), []);
    clock.pass(1);
    assert.equal(wire.take()[0].event, "ping");
  });

  test("any frame is a sign of life", () => {
    const { clock, connect } = fake();
    const wire = connect();
    clock.pass(20000);
    wire.say({ stream: "unknown", payload: 1 });
    clock.pass(29999);
    assert.deepEqual(wire.take(), []);
    clock.pass(1);
    assert.equal(wire.take().length, 1);
  });

  test("a connection that answers stays", () => {
    const { client, clock, connect } = fake();
    const wire = connect();
    for (let round = 0; round < 5; round++) {
      clock.pass(30000);
      const [{ event, payload }] = wire.take();
      assert.equal(event, "ping");
      clock.pass(9999);
      wire.say({ event: "pong", payload });
      assert.equal(client.roundTrip, 9999);
    }
    assert.equal(client.state, "open");
  });

  test("a connection that answers nothing is replaced, and not waited for", () => {
    const { client, clock, connect, events } = fake();
    const wire = connect();
    clock.pass(39999);
    assert.equal(client.state, "open");
    clock.pass(1);
    assert.equal(client.state, "reconnecting");
    assert.equal(events.at(-1).code, 1006);
    assert.notEqual(wire.closed, null);
  });

  test("a timer that is early is set again", () => {
    const { client, clock, connect } = fake();
    connect();
    clock.pass(30000);
    clock.sleep(-1);
    clock.pass(10000);
    assert.equal(client.state, "open");
    clock.pass(1);
    assert.equal(client.state, "reconnecting");
  });

  for (const [when, before] of [["before", 0], ["after", 30000]]) {
    test(`a clock that is set back ${when} the ping hides no dead connection`, () => {
      const { client, clock, connect } = fake();
      connect();
      clock.pass(before);
      clock.set(-3600000);
      clock.pass(70000);
      assert.notEqual(client.state, "open");
    });
  }

  test("after a sleep, data waits for a sign of life", () => {
    const { clock, stream, wire } = opened();
    clock.sleep(100000);
    stream.send("1");
    const [{ event }, ...others] = wire.take();
    assert.equal(event, "ping");
    assert.deepEqual(others, []);
    assert.equal(stream.bufferedAmount, 1);
    wire.say({ stream: "other", payload: 2 });
    assert.deepEqual(wire.take(), [{ stream: "echo", payload: 1 }]);
    assert.equal(stream.bufferedAmount, 0);
  });

  test("after a sleep, what cannot go out is sent over the next connection", () => {
    const parts = opened();
    parts.clock.sleep(100000);
    parts.stream.send("1");
    parts.clock.pass(10000);
    assert.equal(parts.client.state, "reconnecting");
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo");
    assert.deepEqual(wire.take().at(-1), { stream: "echo", payload: 1 });
  });

  test("a ping that has waited too long is no answer, whatever timers do", () => {
    const parts = opened();
    parts.clock.pass(30000);
    parts.clock.sleep(10000);
    parts.stream.send("1");
    assert.equal(parts.client.state, "reconnecting");
  });
});

describe("frames", () => {
  test("that are none of ours are ignored", () => {
    const { client, connect } = fake();
    const wire = connect();
    for (const message of ["", "[]", "null", "no JSON", '{"event":"new"}', "{}", new ArrayBuffer(0)]) {
      wire.say(message);
    }
    assert.equal(client.state, "open");
  });

  test("are shown as they pass", () => {
    const parts = opened();
    const frames = record(parts.client, ["frame"]);
    parts.stream.send(new Uint8Array([7]));
    parts.wire.say('{"stream":"echo","payload":1}');
    parts.wire.say({ event: "pong" });
    assert.deepEqual(
      frames.map(({ direction, stream, data }) => [direction, stream, data]),
      [
        ["out", "echo", new Uint8Array([4, 101, 99, 104, 111, 7])],
        ["in", "echo", '{"stream":"echo","payload":1}'],
        ["in", undefined, '{"event":"pong"}'],
      ],
    );
  });

  test("are nothing to the connection that whoever is shown them makes", () => {
    const parts = fake();
    const wire = parts.connect();
    parts.client.addEventListener("frame", () => parts.client.reconnect(), { once: true });
    wire.say({ stream: "echo", event: "open", subprotocol: null });
    assert.equal(parts.connections, 2);
    assert.deepEqual(parts.wire.take(), []);
    const stream = parts.client.stream("echo");
    parts.connect();
    accept(parts.wire, "echo");
    assert.equal(stream.readyState, 1);
  });

  test("are written and read with other keys", () => {
    const keys = { stream: "s", payload: "p.*é", text: "t", event: "e" };
    const { client, connect } = fake({ keys });
    const wire = connect();
    const stream = client.stream("echo");
    const messages = record(stream, ["message"]);
    wire.say({ s: "echo", e: "open", subprotocol: null });
    stream.send("1");
    stream.send("text");
    wire.say('{"s":"echo","p.*é":[1.0]}');
    wire.say({ s: "echo", t: "text" });
    wire.say('{"s":"echo","pxxé":1}');
    assert.deepEqual(wire.take(), [
      { s: "echo", e: "open", credit: true },
      { s: "echo", "p.*é": 1 },
      { s: "echo", t: "text" },
    ]);
    assert.deepEqual(messages.slice(0, 2).map(({ data }) => data), ["[1.0]", "text"]);
  });

  test("errors are told", () => {
    const parts = opened();
    const socket = record(parts.client, ["refused"]);
    const stream = record(parts.stream, ["refused", "close"]);
    parts.wire.say({ event: "error", status: 400, payload: { error: "what" } });
    parts.wire.say({ event: "error", status: 429, stream: "echo", payload: { error: "full" } });
    assert.deepEqual(socket.map((e) => [e.status, e.error, e.stream]), [[400, "what", undefined], [429, "full", "echo"]]);
    assert.deepEqual(stream.map((e) => [e.type, e.status, e.error]), [["refused", 429, "full"]]);
  });
});
