/** A stream: a WebSocket that shares a socket. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { Stream } from "../../channels_demultiplexer/static/channels_demultiplexer/demultiplexer.js";
import { accept, fake, FakeSocket, opened, record, settled, types } from "./fakes.js";

const EVENTS = ["open", "message", "reconnecting", "error", "close"];
const open = (stream, fields = {}) => ({ stream, event: "open", credit: true, ...fields });
const data = (stream, payload) => ({ stream, payload });
const closing = (stream, code = 1000, reason = "") => ({ stream, event: "close", code, reason });
const error = (stream, status, text = "no") => ({ event: "error", status, stream, payload: { error: text } });
const binary = (bytes) => Uint8Array.from([4, ...new TextEncoder().encode("echo"), ...bytes]);

describe("a stream is a WebSocket", () => {
  test("with its constants on class and instance", () => {
    const { client } = fake();
    const stream = client.stream("echo");
    for (const [index, name] of ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].entries()) {
      assert.equal(Stream[name], index);
      assert.equal(stream[name], index);
    }
    assert.ok(stream instanceof EventTarget);
  });

  test("with its attributes", () => {
    const { client, connect } = fake();
    const stream = client.stream("room/5/?as=ann#2", { subprotocols: ["a", "b"] });
    assert.equal(stream.name, "room/5/?as=ann#2");
    assert.equal(stream.url, "ws://test/room/5/?as=ann#2");
    assert.deepEqual(
      [stream.readyState, stream.protocol, stream.extensions, stream.bufferedAmount, stream.binaryType],
      [0, "", "", 0, "blob"],
    );
    const wire = connect();
    assert.deepEqual(wire.take(), [open(stream.name, { subprotocols: ["a", "b"] })]);
    accept(wire, stream.name, { subprotocol: "b" });
    assert.deepEqual([stream.readyState, stream.protocol], [1, "b"]);
  });

  test("with handlers that are called in their turn, and can be replaced and removed", () => {
    const { client, connect } = fake();
    const stream = client.stream("echo");
    const calls = [];
    assert.equal(stream.onopen, null);
    stream.addEventListener("open", () => calls.push(1));
    stream.onopen = () => assert.fail("was replaced");
    const handler = function ({ type }) {
      calls.push(type, this === stream);
    };
    stream.onopen = handler;
    assert.equal(stream.onopen, handler);
    stream.addEventListener("open", () => calls.push(2));
    accept(connect(), "echo");
    assert.deepEqual(calls, [1, "open", true, 2]);
    stream.onopen = null;
    stream.onmessage = stream.onclose = stream.onerror = 5;
    assert.deepEqual([stream.onopen, stream.onmessage, stream.onclose, stream.onerror], [null, null, null, null]);
    stream.onmessage = stream.onclose = stream.onerror = handler;
    assert.deepEqual([stream.onmessage, stream.onclose, stream.onerror], [handler, handler, handler]);
  });

  test("with handlers that come last where they have been removed and are set again", () => {
    const { stream, wire } = opened();
    const calls = [];
    stream.onmessage = () => assert.fail("was removed");
    stream.addEventListener("message", () => calls.push("listener"));
    stream.onmessage = null;
    wire.say(data("echo", 1));
    assert.deepEqual(calls, ["listener"]);
    stream.onmessage = () => calls.push("handler");
    wire.say(data("echo", 2));
    assert.deepEqual(calls.slice(1), ["listener", "handler"]);
  });

  test("that receives text as it was written", () => {
    const { stream, wire } = opened();
    const messages = record(stream, ["message"]);
    wire.say('{"stream":"echo","payload":{"a": 1.0, "a":12345678901234567890}}');
    wire.say({ stream: "echo", text: "<p>" });
    assert.deepEqual(messages.map((e) => [e.data, e.origin]), [
      ['{"a": 1.0, "a":12345678901234567890}', "ws://test"],
      ["<p>", "ws://test"],
    ]);
  });

  test("that receives binary data as a Blob or an ArrayBuffer", async () => {
    const { stream, wire } = opened();
    const messages = record(stream, ["message"]);
    wire.say(binary([1, 2]).buffer);
    stream.binaryType = "arraybuffer";
    wire.say(binary([3]).buffer);
    stream.binaryType = "other";
    assert.equal(stream.binaryType, "arraybuffer");
    wire.say(binary([]).buffer);
    assert.deepEqual(new Uint8Array(await messages[0].data.arrayBuffer()), Uint8Array.of(1, 2));
    assert.deepEqual(messages[1].data, Uint8Array.of(3).buffer);
    assert.deepEqual(messages[2].data, new ArrayBuffer(0));
  });

  test("that sends text as JSON where it is JSON, and else as text", () => {
    const { stream, wire } = opened();
    for (const text of ['{"a": 1.0}', "hello", "", " 1", "1 ", "NaN", '"}', '1,"stream":"x"', "null"]) {
      stream.send(text);
    }
    stream.send(5);
    stream.send(null);
    assert.deepEqual(wire.sent, [
      '{"stream":"echo","payload":{"a": 1.0}}',
      '{"stream":"echo","text":"hello"}',
      '{"stream":"echo","text":""}',
      '{"stream":"echo","text":" 1"}',
      '{"stream":"echo","text":"1 "}',
      '{"stream":"echo","text":"NaN"}',
      '{"stream":"echo","text":"\\"}"}',
      '{"stream":"echo","text":"1,\\"stream\\":\\"x\\""}',
      '{"stream":"echo","payload":null}',
      '{"stream":"echo","payload":5}',
      '{"stream":"echo","payload":null}',
    ]);
  });

  test("that sends nothing that has no text", () => {
    const { stream, wire } = opened();
    for (const value of [Symbol("a"), Object.create(null)]) assert.throws(() => stream.send(value), TypeError);
    assert.deepEqual([wire.sent, stream.bufferedAmount], [[], 0]);
  });

  test("that sends binary data of every kind, in order", async () => {
    const { stream, wire } = opened();
    const bytes = Uint8Array.of(0, 1, 2, 3);
    stream.send(bytes.buffer);
    stream.send(new DataView(bytes.buffer, 1, 2));
    stream.send(new Blob([bytes]));
    stream.send(bytes);
    const [first, second, blob, last] = wire.take();
    assert.deepEqual(first, binary([0, 1, 2, 3]));
    assert.deepEqual(second, binary([1, 2]));
    assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), binary([0, 1, 2, 3]));
    assert.deepEqual(last, binary([0, 1, 2, 3]));
  });

  test("that sends binary data as it was when it was given", () => {
    const { stream, wire } = opened({}, {}, { credit: 0 });
    const bytes = Uint8Array.of(1);
    stream.send(bytes);
    bytes[0] = 2;
    wire.say({ stream: "echo", event: "credit", credit: 1 });
    assert.deepEqual(wire.take(), [binary([1])]);
  });

  test("whose name may have any characters", () => {
    const { client, connect } = fake();
    const wire = connect();
    const stream = client.stream('é"\\ 中');
    accept(wire, stream.name);
    const messages = record(stream, ["message"]);
    stream.send("1");
    stream.send(Uint8Array.of(1));
    wire.say({ stream: stream.name, payload: 2 });
    const [, text, bytes] = wire.take();
    assert.deepEqual(text, data(stream.name, 1));
    wire.say(bytes.buffer);
    assert.equal(messages.length, 2);
  });

  for (const name of ["", "a".repeat(256), "é".repeat(128), "\ud800", 5]) {
    test(`that cannot be named ${JSON.stringify(name).slice(0, 9)}, which the server would not answer`, () => {
      const { client } = fake();
      assert.throws(() => client.stream(name), { name: "SyntaxError" });
      assert.deepEqual([...client.streams], []);
    });
  }

  test("whose name may begin with a byte order mark", () => {
    const { client, connect } = fake();
    const wire = connect();
    const stream = client.stream("\ufeffa");
    accept(wire, stream.name);
    const messages = record(stream, ["message"]);
    wire.say(Uint8Array.of(4, 0xef, 0xbb, 0xbf, 0x61, 1).buffer);
    assert.equal(messages.length, 1);
  });

  test("whose URL is that of the path", () => {
    const { client } = fake();
    const urls = ["/", "//x", "a b", "é"].map((name) => client.stream(name).url);
    assert.deepEqual(urls, ["ws://test/", "ws://test///x", "ws://test/a%20b", "ws://test/%C3%A9"]);
  });

  for (const name of ["a".repeat(255), "é".repeat(127), "/"]) {
    test(`that can be named with ${name.length} characters ${name.slice(0, 1)}`, () => {
      assert.equal(fake().client.stream(name).name, name);
    });
  }
});

describe("close()", () => {
  for (const [code, reason, name] of [
    [1001, "", "InvalidAccessError"],
    [999, "", "InvalidAccessError"],
    [5000, "", "InvalidAccessError"],
    [3000, "a".repeat(124), "SyntaxError"],
  ]) {
    test(`refuses ${code} with ${reason.length} characters`, () => {
      const { stream, wire } = opened();
      assert.throws(() => stream.close(code, reason), { name });
      assert.equal(stream.readyState, 1);
      assert.deepEqual(wire.take(), []);
    });
  }

  for (const code of [1000, 3000, 4999]) {
    test(`takes ${code} with 123 bytes`, () => {
      const { stream, wire } = opened();
      stream.close(code, "a".repeat(123));
      assert.deepEqual(wire.take(), [closing("echo", code, "a".repeat(123))]);
    });
  }

  for (const [code, reason, ...sent] of [
    ["3000", 42, 3000, "42"],
    [3000.6, null, 3001, "null"],
    [undefined, "\ud800", 1000, "\ufffd"],
  ]) {
    test(`makes of ${code} and ${JSON.stringify(reason)} what a server takes`, () => {
      const { stream, wire } = opened();
      stream.close(code, reason);
      assert.deepEqual(wire.take(), [closing("echo", ...sent)]);
    });
  }

  test("of an open stream is answered by the server", () => {
    const { stream, wire, client } = opened();
    const events = record(stream, EVENTS);
    stream.close(3001, "bye");
    assert.equal(stream.readyState, 2);
    assert.deepEqual(wire.take(), [closing("echo", 3001, "bye")]);
    wire.say({ stream: "echo", payload: "late" });
    wire.say(closing("echo", 3001, "bye"));
    assert.equal(stream.readyState, 3);
    assert.deepEqual(events.map((e) => [e.type, e.code, e.reason, e.wasClean]), [["close", 3001, "bye", true]]);
    assert.deepEqual([...client.streams], []);
  });

  test("twice is once", () => {
    const { stream, wire } = opened();
    stream.close(3000);
    stream.close(3001);
    assert.deepEqual(wire.take(), [closing("echo", 3000)]);
    wire.say(closing("echo", 3000));
    stream.close();
    assert.deepEqual(wire.take(), []);
  });

  test("before the answer to its open is answered too", () => {
    const { client, connect } = fake();
    const wire = connect();
    const stream = client.stream("echo");
    const events = record(stream, EVENTS);
    stream.close();
    accept(wire, "echo");
    wire.say(closing("echo"));
    assert.deepEqual(wire.take(), [open("echo"), closing("echo")]);
    assert.deepEqual(types(events), ["close"]);
  });

  test("while away ends the stream, when it can be heard", async () => {
    const { client, connect } = fake();
    const stream = client.stream("echo");
    const events = record(stream, EVENTS);
    stream.close(3000);
    assert.equal(stream.readyState, 2);
    assert.deepEqual(types(events), []);
    const wire = connect();
    await settled();
    assert.deepEqual(events.map((e) => [e.type, e.code, e.wasClean]), [["close", 3000, true]]);
    assert.deepEqual(wire.take(), []);
  });

  for (const listener of ["the socket", "another stream"]) {
    test(`where ${listener} tells of a loss ends the stream as while away`, async () => {
      const { client, connect } = fake();
      const wire = connect();
      const [first, stream] = [client.stream("first"), client.stream("echo")];
      for (const { name } of [first, stream]) accept(wire, name);
      const events = record(stream, EVENTS);
      const frames = record(client, ["frame"]);
      const states = [];
      (listener === "the socket" ? client : first).addEventListener("reconnecting", () => {
        states.push(stream.readyState);
        stream.close(3000, "bye");
        states.push(stream.readyState);
      });
      wire.end();
      assert.deepEqual(states, [0, 2]);
      await settled();
      assert.deepEqual(events.map((e) => [e.type, e.code, e.reason, e.wasClean]), [["close", 3000, "bye", true]]);
      assert.deepEqual(frames, []);
    });
  }

  test("where another stream tells of a loss is that of a WebSocket without connection", () => {
    const { client, connect } = fake();
    const wire = connect();
    const first = client.stream("first");
    const strict = new (client.webSocketClass())("/echo");
    for (const { name } of [first, strict]) accept(wire, name);
    const events = record(strict, EVENTS);
    first.addEventListener("reconnecting", () => {
      client.reconnect();
      strict.close(3000);
    });
    wire.end();
    assert.deepEqual(events.map((e) => [e.type, e.code, e.wasClean]), [["close", 1006, false]]);
    assert.deepEqual(FakeSocket.made.at(-1).take(), []);
  });

  test("shows no frame where there is no connection", () => {
    const { client, stream, wire } = opened();
    const frames = record(client, ["frame"]);
    const events = record(stream, EVENTS);
    client.addEventListener("close", () => stream.close(3000));
    wire.end(4401);
    assert.deepEqual(events.map((e) => [e.type, e.code]), [["close", 4401]]);
    assert.deepEqual(frames, []);
  });

  test("comes after what waits", () => {
    const { stream, wire, clock } = opened({}, {}, { credit: 1 });
    stream.send("1");
    stream.send("2");
    stream.close();
    stream.close(3001);
    stream.send("too late");
    assert.deepEqual(wire.take(), [data("echo", 1)]);
    assert.equal(stream.readyState, 2);
    wire.say({ stream: "echo", event: "credit", credit: 1 });
    assert.deepEqual(wire.take(), [data("echo", 2), closing("echo")]);
    wire.say(closing("echo"));
    assert.equal(stream.readyState, 3);
    assert.equal(clock.timers, 1);
  });

  test("waits no longer than five seconds for credit", () => {
    const { stream, wire, clock } = opened({}, {}, { credit: 0 });
    stream.send("1");
    stream.close();
    clock.pass(4999);
    assert.deepEqual(wire.take(), []);
    clock.pass(1);
    assert.deepEqual(wire.take(), [closing("echo")]);
  });

  test("after send() while away sends first", () => {
    const { client, connect } = fake();
    const stream = client.stream("echo");
    const events = record(stream, EVENTS);
    stream.send("1");
    stream.close();
    const wire = connect();
    accept(wire, "echo");
    assert.deepEqual(wire.take(), [open("echo"), data("echo", 1), closing("echo")]);
    wire.say(closing("echo"));
    assert.deepEqual(types(events), ["close"]);
  });

  test("gives what is sent then to nobody, and counts it", () => {
    const { stream, wire } = opened();
    stream.close();
    wire.take();
    stream.send("12");
    assert.equal(stream.bufferedAmount, 2);
    wire.say(closing("echo"));
    stream.send("é");
    assert.equal(stream.bufferedAmount, 4);
    assert.deepEqual(wire.take(), []);
  });

  test("is over when the connection is lost", () => {
    const { stream, wire } = opened();
    const events = record(stream, EVENTS);
    stream.close();
    wire.end();
    assert.deepEqual(events.map((e) => [e.type, e.code, e.wasClean]), [["close", 1006, false]]);
  });
});

describe("the server ends a stream", () => {
  test("by closing it", () => {
    const { stream, wire } = opened();
    const events = record(stream, EVENTS);
    wire.say(closing("echo", 1011, "crash"));
    assert.equal(stream.readyState, 3);
    assert.deepEqual(events.map((e) => [e.type, e.code, e.reason, e.wasClean]), [["close", 1011, "crash", true]]);
  });

  test("by not accepting it", () => {
    const { client, connect } = fake();
    const wire = connect();
    const events = record(client.stream("echo"), EVENTS);
    wire.say(closing("echo", 4403, "no"));
    assert.deepEqual(events.map((e) => [e.type, e.code, e.reason, e.wasClean]), [
      ["error", undefined, undefined, undefined],
      ["close", 4403, "no", false],
    ]);
  });

  for (const status of [400, 404, 429]) {
    test(`by refusing to open it with ${status}`, () => {
      const { client, connect } = fake();
      const wire = connect();
      const stream = client.stream("echo");
      const events = record(stream, [...EVENTS, "refused"]);
      wire.say(error("echo", status, "because"));
      assert.deepEqual(events.map((e) => [e.type, e.code, e.reason, e.wasClean]), [
        ["refused", undefined, undefined, undefined],
        ["error", undefined, undefined, undefined],
        ["close", 4000 + status, "because", false],
      ]);
      assert.deepEqual([...client.streams], []);
    });
  }

  test("and tells nothing of a refusal after its end", () => {
    const { client, stream, wire } = opened();
    const events = record(stream, [...EVENTS, "refused"]);
    client.addEventListener("refused", () => client.close());
    wire.say(error("echo", 429));
    assert.deepEqual(types(events), ["close"]);
  });

  test("not by refusing data", () => {
    const { stream, wire } = opened();
    for (const status of [400, 409, 413, 429]) wire.say(error("echo", status));
    assert.equal(stream.readyState, 1);
  });

  test("and all of them when it closes the socket for good", () => {
    const { stream, wire, client } = opened();
    const events = record(stream, EVENTS);
    wire.end(4401, "expired");
    assert.deepEqual(events.map((e) => [e.type, e.code, e.reason]), [["close", 4401, "expired"]]);
    assert.deepEqual([...client.streams], []);
  });
});

describe("lives of one name", () => {
  function left() {
    const parts = opened();
    const before = parts.stream;
    const ends = [record(before, EVENTS)];
    before.close();
    const after = parts.client.stream("echo");
    ends.push(record(after, EVENTS));
    return { ...parts, wire: parts.wire, before, after, ends };
  }

  test("are told apart by counting, where a stream is left and opened again at once", () => {
    const { before, after, wire, ends } = left();
    assert.notEqual(before, after);
    assert.deepEqual(wire.take(), [closing("echo"), open("echo")]);
    wire.say(data("echo", "of the first"));
    wire.say(closing("echo"));
    assert.deepEqual([before.readyState, after.readyState], [3, 0]);
    accept(wire, "echo", { credit: 3 });
    wire.say(data("echo", "of the second"));
    assert.deepEqual(ends[0].map((e) => e.type), ["close"]);
    assert.deepEqual(ends[1].map((e) => e.data), [undefined, '"of the second"']);
    assert.equal(after.credit, 3);
  });

  test("the second begins when the close of the first has gone out, though that has to wait", () => {
    const { stream, wire, client } = opened({}, {}, { credit: 0 });
    stream.send("1");
    stream.close();
    const after = client.stream("echo");
    after.send("2");
    assert.deepEqual(wire.take(), []);
    wire.say({ stream: "echo", event: "credit", credit: 1 });
    assert.deepEqual(wire.take(), [data("echo", 1), closing("echo"), open("echo")]);
    wire.say(closing("echo"));
    accept(wire, "echo");
    assert.deepEqual(wire.take(), [data("echo", 2)]);
  });

  test("the second begins when the server ends the first, whose close has to wait", () => {
    const { stream, wire, client } = opened({}, {}, { credit: 0 });
    stream.send("1");
    stream.close();
    const after = client.stream("echo");
    wire.say(closing("echo", 1011));
    assert.deepEqual(wire.take(), [open("echo")]);
    accept(wire, "echo");
    assert.equal(after.readyState, 1);
  });

  test("the second begins on a new connection after the first", () => {
    const { client, connect } = fake();
    const first = client.stream("echo");
    first.send("1");
    first.close();
    client.stream("echo").send("2");
    const wire = connect();
    assert.deepEqual(wire.take(), [open("echo")]);
    accept(wire, "echo");
    assert.deepEqual(wire.take(), [data("echo", 1), closing("echo"), open("echo")]);
  });

  test("a grant to the first is none to the second", () => {
    const { after, wire } = left();
    wire.say({ stream: "echo", event: "credit", credit: 5 });
    wire.say(closing("echo"));
    wire.say({ stream: "echo", event: "credit", credit: 5 });
    assert.equal(after.credit, 0);
  });

  test("the server's close may cross the client's", () => {
    const { before, after, wire, ends } = left();
    wire.say(closing("echo", 4000, "first"));
    wire.say(error("echo", 409));
    accept(wire, "echo");
    assert.deepEqual([before.readyState, after.readyState], [3, 1]);
    assert.equal(ends[0][0].code, 4000);
  });

  test("a 409 ends nothing, whenever it comes, and is not about the second", () => {
    const { client, before, after, wire } = left();
    const refusals = record(after, ["refused"]);
    const all = record(client, ["refused"]);
    wire.say(error("echo", 409));
    assert.deepEqual([before.readyState, after.readyState], [2, 0]);
    wire.say(closing("echo"));
    wire.say(error("echo", 409));
    assert.equal(after.readyState, 0);
    assert.deepEqual(refusals, []);
    assert.equal(all.length, 2);
  });

  test("a 429 that comes before the end of the first ends the second", () => {
    const { before, after, wire, ends } = left();
    wire.say(error("echo", 429));
    assert.deepEqual([before.readyState, after.readyState], [2, 3]);
    wire.say(closing("echo"));
    assert.equal(before.readyState, 3);
    assert.deepEqual(ends[1].map((e) => [e.type, e.code]), [["error", undefined], ["close", 4429]]);
  });

  test("each that is left before the answer to its open has one end", () => {
    const { client, connect } = fake();
    const wire = connect();
    const streams = [];
    for (let life = 0; life < 3; life++) {
      streams.push(client.stream("echo"));
      streams[life].close(3000 + life);
    }
    assert.deepEqual(wire.take().map(({ event }) => event), ["open", "close", "open", "close", "open", "close"]);
    accept(wire, "echo");
    wire.say(closing("echo", 3000));
    wire.say(closing("echo", 4403));
    accept(wire, "echo");
    assert.deepEqual(streams.map((s) => s.readyState), [3, 3, 2]);
    wire.say(closing("echo", 3002));
    assert.equal(streams[2].readyState, 3);
  });

  test("that are refused one after the other end one after the other", () => {
    const { client, connect } = fake();
    const wire = connect();
    const first = client.stream("echo");
    first.close();
    const second = client.stream("echo");
    wire.say(error("echo", 404));
    assert.deepEqual([first.readyState, second.readyState], [3, 0]);
    wire.say(error("echo", 404));
    wire.say(error("echo", 404));
    assert.deepEqual([first.readyState, second.readyState], [3, 3]);
  });

  test("an eager one that had ended before it was asked for is left again", () => {
    const { client, connect } = fake();
    const wire = connect();
    const first = client.stream("echo");
    wire.say(closing("echo", 1011));
    assert.equal(first.readyState, 3);
    wire.take();
    accept(wire, "echo");
    assert.deepEqual(wire.take(), [{ stream: "echo", event: "close" }]);
    const second = client.stream("echo");
    wire.say(closing("echo"));
    assert.equal(second.readyState, 0);
    accept(wire, "echo");
    assert.equal(second.readyState, 1);
  });

  test("an eager one may send before its answer: it is heard after", () => {
    const { client, connect } = fake();
    const wire = connect();
    const stream = client.stream("echo");
    const events = record(stream, EVENTS);
    wire.say(data("echo", 1));
    wire.say(data("echo", 2));
    assert.deepEqual(events, []);
    accept(wire, "echo");
    wire.say(data("echo", 3));
    assert.deepEqual(events.map((e) => [e.type, e.data]), [
      ["open", undefined],
      ["message", "1"],
      ["message", "2"],
      ["message", "3"],
    ]);
  });

  test("what an eager one sent before its answer is gone with its connection", () => {
    const parts = fake();
    const stream = parts.client.stream("echo");
    const messages = record(stream, ["message"]);
    parts.connect().say(data("echo", 1));
    parts.wire.end();
    parts.clock.pass(500);
    accept(parts.connect(), "echo");
    assert.deepEqual(messages, []);
  });

  test("an open one is shared by those who ask for it", () => {
    const { client, stream, wire } = opened();
    assert.equal(client.stream("echo"), stream);
    assert.deepEqual(wire.take(), []);
    assert.deepEqual([...client.streams], [stream]);
  });
});

describe("credit", () => {
  test("is asked for, and where it is used up the stream holds its frames, and others go on", () => {
    const { client, connect } = fake();
    const wire = connect();
    const [slow, other] = [client.stream("slow"), client.stream("other")];
    accept(wire, "slow", { credit: 2 });
    accept(wire, "other", { credit: 2 });
    wire.take();
    for (let number = 0; number < 5; number++) slow.send(String(number));
    other.send("9");
    assert.deepEqual(wire.take(), [data("slow", 0), data("slow", 1), data("other", 9)]);
    assert.deepEqual([slow.bufferedAmount, slow.credit, other.bufferedAmount, other.credit], [3, 0, 0, 1]);
    wire.say({ stream: "slow", event: "credit", credit: 2 });
    assert.deepEqual(wire.take(), [data("slow", 2), data("slow", 3)]);
    wire.say({ stream: "slow", event: "credit", credit: 2 });
    assert.deepEqual(wire.take(), [data("slow", 4)]);
    assert.equal(slow.credit, 1);
  });

  test("is unlimited where the server does not count", () => {
    const { stream, wire } = opened();
    assert.equal(stream.credit, Infinity);
    for (let number = 0; number < 500; number++) stream.send("1");
    assert.equal(wire.take().length, 500);
  });

  test("begins anew with each answer, less what has gone out since its open", () => {
    const { client, connect } = fake();
    const wire = connect();
    client.stream("echo");
    wire.say(closing("echo", 1011)); // of an eager life, before our open came
    const stream = client.stream("echo");
    accept(wire, "echo", { credit: 3 }); // in truth the answer to the first open
    wire.take();
    stream.send("1");
    wire.say({ stream: "echo", event: "credit", credit: 7 }); // void
    accept(wire, "echo", { credit: 3 });
    assert.equal(stream.credit, 2);
    assert.equal(stream.readyState, 1);
  });

  test("of a lost connection is void", () => {
    const parts = opened({}, {}, { credit: 1 });
    parts.wire.end();
    assert.equal(parts.stream.credit, 0);
    parts.stream.send("1");
    parts.stream.send("2");
    parts.clock.pass(500);
    const wire = parts.connect();
    wire.say({ stream: "echo", event: "credit", credit: 5 });
    assert.equal(wire.take().length, 1);
    accept(wire, "echo", { credit: 1 });
    assert.deepEqual(wire.take(), [data("echo", 1)]);
  });
});

describe("a reconnection", () => {
  test("opens the streams again, in order", () => {
    const parts = fake();
    const names = ["c", "a", "b"];
    const streams = names.map((name) => parts.client.stream(name));
    assert.deepEqual([...parts.client.streams], streams);
    let wire = parts.connect();
    for (const name of names) accept(wire, name);
    wire.take();
    const events = streams.map((stream) => record(stream, EVENTS));
    wire.end();
    assert.deepEqual(streams.map((stream) => stream.readyState), [0, 0, 0]);
    parts.clock.pass(500);
    wire = parts.connect();
    assert.deepEqual(wire.take(), names.map((name) => open(name)));
    for (const name of names) accept(wire, name);
    for (const seen of events) assert.deepEqual(types(seen), ["reconnecting", "open"]);
  });

  test("does not open those that have ended", () => {
    const parts = opened();
    parts.wire.say(closing("echo"));
    parts.wire.end();
    parts.clock.pass(500);
    assert.deepEqual(parts.connect().take(), []);
  });

  test("sends what was kept, and nothing twice", () => {
    const parts = opened({}, {}, { credit: 1 });
    parts.stream.send("1");
    parts.stream.send("2");
    assert.deepEqual(parts.wire.take(), [data("echo", 1)]);
    parts.wire.end();
    parts.stream.send("3");
    assert.equal(parts.stream.bufferedAmount, 2);
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo", { credit: 10 });
    assert.deepEqual(wire.take(), [open("echo"), data("echo", 2), data("echo", 3)]);
    assert.equal(parts.stream.bufferedAmount, 0);
  });

  test("sends what was given while the server closed the connection", () => {
    const parts = opened();
    parts.wire.readyState = Stream.CLOSING;
    parts.stream.send("1");
    assert.deepEqual(parts.wire.take(), []);
    assert.equal(parts.stream.bufferedAmount, 1);
    parts.wire.end(1012);
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo");
    assert.deepEqual(wire.take(), [open("echo"), data("echo", 1)]);
  });

  test("does not wait for ever for a server that closes the connection", () => {
    const parts = opened();
    parts.wire.readyState = Stream.CLOSING;
    parts.stream.send("1");
    parts.clock.pass(40000);
    assert.equal(parts.client.state, "reconnecting");
  });

  test("keeps no more than the bound", () => {
    const parts = fake();
    const stream = parts.client.stream("echo", { buffer: 5 });
    stream.send("éé");
    assert.throws(() => stream.send("ab"), { name: "QuotaExceededError" });
    stream.send(Uint8Array.of(1));
    assert.throws(() => stream.send(new Blob(["a"])), { name: "QuotaExceededError" });
    assert.equal(stream.bufferedAmount, 5);
    const wire = parts.connect();
    accept(wire, "echo");
    assert.equal(wire.take().length, 3);
    assert.equal(stream.bufferedAmount, 0);
  });

  test("keeps a mebibyte where nothing else is said", () => {
    const { client } = fake();
    const stream = client.stream("echo");
    stream.send("a".repeat(1 << 20));
    assert.throws(() => stream.send("a"), { name: "QuotaExceededError" });
  });

  test("keeps nothing of a stream that refuses to", () => {
    const parts = opened({}, { buffer: 0 }, { credit: 0 });
    parts.stream.send("held");
    parts.wire.end();
    assert.equal(parts.stream.bufferedAmount, 0);
    assert.throws(() => parts.stream.send("1"), { name: "InvalidStateError" });
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo", { credit: 5 });
    parts.stream.send("2");
    assert.deepEqual(wire.take(), [open("echo"), data("echo", 2)]);
  });

  test("that the socket tells of is known to a stream that refuses to keep", () => {
    const { client, stream, wire } = opened({}, { buffer: 0 });
    const names = [];
    client.addEventListener("reconnecting", () => {
      try {
        stream.send("1");
      } catch ({ name }) {
        names.push(name);
      }
    });
    wire.end();
    assert.deepEqual(names, ["InvalidStateError"]);
  });

  test("keeps the close of a stream with what waits for it", () => {
    const parts = opened({}, {}, { credit: 0 });
    parts.stream.send("1");
    parts.stream.close();
    parts.wire.end();
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo", { credit: 5 });
    assert.deepEqual(wire.take(), [open("echo"), data("echo", 1), closing("echo")]);
  });

  test("ends a stream that is being left and keeps nothing", async () => {
    const parts = opened({}, { buffer: 0 }, { credit: 0 });
    const events = record(parts.stream, EVENTS);
    parts.stream.send("1");
    parts.stream.close(3000);
    parts.wire.end();
    await settled();
    assert.deepEqual(events.map((e) => [e.type, e.code, e.wasClean]), [["close", 3000, true]]);
    assert.equal(parts.clock.timers, 1);
  });
});

describe("the query", () => {
  test("is sent with each open", () => {
    const parts = opened({}, { query: "token=1" });
    parts.wire.end();
    parts.clock.pass(500);
    assert.deepEqual(parts.connect().take(), [open("echo", { query: "token=1" })]);
  });

  test("is asked for anew at each opening", () => {
    let count = 0;
    const parts = fake();
    parts.client.stream("echo", { query: () => `token=${++count}` });
    for (const round of [1, 2, 3]) {
      assert.deepEqual(parts.connect().take(), [open("echo", { query: `token=${round}` })]);
      parts.wire.end();
      parts.clock.pass(parts.events.at(-1).delay);
    }
  });

  test("may be promised, and keeps no other stream waiting", async () => {
    const { client, connect } = fake();
    client.stream("slow", { query: async () => "token=1" });
    client.stream("slower", { query: Promise.resolve("token=2") });
    client.stream("quick");
    const wire = connect();
    assert.deepEqual(wire.take(), [open("quick")]);
    await settled();
    assert.deepEqual(wire.take(), [open("slow", { query: "token=1" }), open("slower", { query: "token=2" })]);
  });

  test("that comes too late is not used", async () => {
    const promises = [];
    const parts = fake();
    parts.client.stream("echo", { query: () => new Promise((resolve) => promises.push(resolve)) });
    parts.connect().end();
    parts.clock.pass(500);
    const wire = parts.connect();
    promises[0]("old");
    await settled();
    assert.deepEqual(wire.take(), []);
    promises[1]("new");
    await settled();
    assert.deepEqual(wire.take(), [open("echo", { query: "new" })]);
  });

  test("is not used where the stream has been left meanwhile", async () => {
    const { client, connect } = fake();
    const stream = client.stream("echo", { query: async () => "token=1" });
    const wire = connect();
    stream.close();
    await settled();
    assert.deepEqual(wire.take(), []);
    assert.equal(stream.readyState, 3);
  });

  for (const [kind, query] of [
    ["throws", () => { throw new Error("offline"); }],
    ["is rejected", async () => { throw new Error("offline"); }],
  ]) {
    test(`that ${kind} ends the stream`, async () => {
      const { client, connect } = fake();
      connect();
      const stream = client.stream("echo", { query });
      const events = record(stream, EVENTS);
      await settled();
      assert.deepEqual(events.map((e) => [e.type, e.code, e.reason]), [
        ["error", undefined, undefined],
        ["close", 4400, "the query failed: Error: offline"],
      ]);
    });
  }

  test("that is rejected before there is a connection ends the stream when there is one", async () => {
    const { client, connect } = fake();
    const stream = client.stream("echo", { query: Promise.reject(new Error("offline")) });
    const events = record(stream, EVENTS);
    await settled();
    assert.deepEqual(types(events), []);
    const wire = connect();
    await settled();
    assert.deepEqual(types(events), ["error", "close"]);
    assert.deepEqual(wire.take(), []);
  });

  test("that is rejected too late does nothing", async () => {
    const parts = fake();
    let count = 0;
    const stream = parts.client.stream("echo", {
      query: async () => {
        if (!count++) throw new Error("offline");
        return "token=1";
      },
    });
    parts.connect().end();
    await settled();
    assert.equal(stream.readyState, 0);
    parts.clock.pass(500);
    const wire = parts.connect();
    await settled();
    assert.deepEqual(wire.take(), [open("echo", { query: "token=1" })]);
  });
});

describe("JSON", () => {
  test("is sent by value", () => {
    const { stream, wire } = opened();
    for (const value of [{ a: [1] }, "text", null, 0, false]) stream.sendJSON(value);
    assert.deepEqual(wire.take().map(({ payload }) => payload), [{ a: [1] }, "text", null, 0, false]);
    assert.throws(() => stream.sendJSON(undefined), TypeError);
    assert.throws(() => stream.sendJSON(() => 1), TypeError);
  });

  for (const [last, ...before] of [["message"], ["json", "message"], ["push", "json", "message"]]) {
    test(`and what comes with it ends where its ${last} ends the stream`, () => {
      const { client, stream, wire } = opened();
      const events = record(stream, ["message", "json", "push", "close"]);
      stream.addEventListener(last, () => client.close());
      wire.say(data("echo", { route: "a", payload: 1 }));
      assert.deepEqual(types(events), [...before.reverse(), last, "close"]);
    });
  }

  test("comes as an event besides the message", () => {
    const { stream, wire } = opened();
    const events = record(stream, ["message", "json"]);
    wire.say(data("echo", { a: 1 }));
    wire.say({ stream: "echo", text: "1" });
    wire.say(binary([49]).buffer);
    assert.deepEqual(events.map(({ type }) => type), ["message", "json", "message", "message"]);
    assert.deepEqual(events[1].data, { a: 1 });
    // A child that writes its envelope itself, under MANAGE_ENVELOPE = False.
    wire.say('{ "payload": {"b": 1}, "stream": "echo" }');
    assert.deepEqual(events.slice(4).map((e) => e.data), ['{"b":1}', { b: 1 }]);
  });
});

describe("an envelope that a child writes itself, under MANAGE_ENVELOPE = False,", () => {
  for (const [message, text] of [
    ['{"stream":"echo","payload":{"a": 1.0}}', '{"a": 1.0}'],
    ['{"stream":"echo","payload":{"a":1},"id":5}', '{"a":1}'],
    ['{"stream":"echo","payload":[{"a":1},2],"id":{"b":5}}', '[{"a":1},2]'],
    ['{"stream":"echo","payload":1,"payload":2}', "2"],
    ['{"stream":"echo","payload":1}\n', "1"],
    ['{"stream":"echo","payload": 1 }', "1"],
    ['{"stream":"echo","payload":"a","text":"b"', undefined],
  ]) {
    test(`is read for its payload: ${JSON.stringify(message)}`, () => {
      const { stream, wire } = opened();
      const messages = record(stream, ["message"]);
      wire.say(message);
      assert.equal(messages[0]?.data, text);
    });
  }
});

describe("the time of a round trip", () => {
  test("is that of the answer to the open", () => {
    const { client, connect, clock } = fake();
    const stream = client.stream("echo");
    clock.pass(50);
    const wire = connect();
    assert.ok(Number.isNaN(stream.roundTrip));
    clock.pass(30);
    accept(wire, "echo");
    assert.equal(stream.roundTrip, 30);
  });
});

describe("the class for libraries", () => {
  test("opens the stream of the path, under a label of its own", () => {
    const { client, connect } = fake();
    const wire = connect();
    const Socket = client.webSocketClass();
    const first = new Socket("/ws/graphql/?v=2", ["graphql-transport-ws"]);
    const second = new Socket(new URL("wss://other/ws/graphql/"), "a");
    const third = new Socket("ws://test/");
    const fourth = new Socket("/a%20b/%C3%A9%3F%23");
    assert.deepEqual(wire.take(), [
      open("ws/graphql/#1", { subprotocols: ["graphql-transport-ws"], query: "v=2" }),
      open("ws/graphql/#2", { subprotocols: ["a"], query: "" }),
      open("/#3", { subprotocols: [], query: "" }),
      open("a b/é%3F%23#4", { subprotocols: [], query: "" }),
    ]);
    assert.deepEqual([first.url, second.url], ["ws://test/ws/graphql/?v=2", "wss://other/ws/graphql/"]);
    assert.ok(first instanceof Stream && third instanceof Socket && fourth.readyState === Socket.CONNECTING);
    assert.equal(Socket.CLOSED, 3);
  });

  test("leaves what is no UTF-8 of a path as it was written", () => {
    const { client } = fake();
    const Socket = client.webSocketClass();
    const names = ["/a%FF", "/%C3%A9%ff/b%20c/", "/100%"].map((path) => new Socket(path).name);
    assert.deepEqual(names, ["a%FF#1", "%C3%A9%ff/b c/#2", "100%#3"]);
  });

  for (const url of ["http://[", "ftp://test/echo", "mailto:echo", "/echo#part", "/echo#"]) {
    test(`refuses ${url}, which is no URL of a WebSocket`, () => {
      const { client } = fake();
      const Socket = client.webSocketClass();
      assert.throws(() => new Socket(url), { constructor: DOMException, name: "SyntaxError" });
      assert.deepEqual([...client.streams], []);
    });
  }

  test("has the URLs that a WebSocket would have", () => {
    const { client } = fake();
    const Socket = client.webSocketClass();
    const urls = ["?a=b", "http://test/echo", "https://test"].map((url) => new Socket(url).url);
    assert.deepEqual(urls, ["ws://test/ws/?a=b", "ws://test/echo", "wss://test/"]);
  });

  test("refuses a path that is too long for a name", () => {
    const { client } = fake();
    const StreamSocket = client.webSocketClass();
    assert.throws(() => new StreamSocket(`/${"a".repeat(254)}`), { name: "SyntaxError" });
  });

  test("passes over labels that are taken", () => {
    const { client } = fake();
    client.stream("echo#1");
    const Socket = client.webSocketClass();
    assert.equal(new Socket("/echo").name, "echo#2");
  });

  test("is strict: nothing is kept, and a lost connection is the end", () => {
    const parts = fake();
    const Socket = parts.client.webSocketClass();
    const stream = new Socket("/echo");
    const events = record(stream, EVENTS);
    assert.throws(() => stream.send("1"), { name: "InvalidStateError" });
    parts.wire.end();
    assert.equal(stream.readyState, 0);
    parts.clock.pass(500);
    accept(parts.connect(), "echo#1");
    parts.wire.end();
    assert.deepEqual(events.map((e) => [e.type, e.code, e.wasClean]), [
      ["open", undefined, undefined],
      ["close", 1006, false],
    ]);
    parts.clock.pass(1000);
    assert.deepEqual(parts.connect().take(), []);
  });

  test("fails where the connection is lost before the stream is open", () => {
    const { client, connect } = fake();
    const Socket = client.webSocketClass();
    const wire = connect();
    const events = record(new Socket("/echo"), EVENTS);
    wire.end();
    assert.deepEqual(events.map((e) => [e.type, e.code]), [["error", undefined], ["close", 1006]]);
  });
});
