/** Requests to route-style consumers, and their pushes. */

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, test } from "node:test";

import { accept, opened, fake, record, settled } from "./fakes.js";

const answer = (wire, fields) =>
  wire.say({ stream: "echo", payload: { route: "get", headers: {}, payload: null, status: 200, ...fields } });

/** What has become of a promise. */
async function outcome(promise) {
  let found = "waits";
  promise.then(
    () => (found = "answered"),
    (error) => (found = error.name),
  );
  await settled();
  return found;
}

describe("a request", () => {
  test("is answered by uuid, in any order", async () => {
    const { stream, wire } = opened();
    const requests = [stream.request("get", { id: 1 }), stream.request("get", undefined, { headers: { a: 1 } })];
    const sent = wire.take().map(({ payload }) => payload);
    assert.deepEqual(sent, [
      { route: "get", uuid: "1", payload: { id: 1 } },
      { route: "get", uuid: "2", headers: { a: 1 }, payload: null },
    ]);
    answer(wire, { uuid: "2", payload: "b" });
    answer(wire, { uuid: "1", payload: "a", headers: { x: 1 } });
    const [first, second] = await Promise.all(requests);
    assert.deepEqual(first, { ok: true, status: 200, payload: "a", headers: { x: 1 }, route: "get", uuid: "1" });
    assert.equal(second.payload, "b");
  });

  for (const [status, ok] of [[200, true], [204, true], [399, true], [400, false], [404, false], [500, false]]) {
    test(`with status ${status} is ${ok ? "" : "not "}ok`, async () => {
      const { stream, wire } = opened();
      const request = stream.request("get");
      answer(wire, { uuid: "1", status });
      const found = await request;
      assert.deepEqual([found.ok, found.status], [ok, status]);
    });
  }

  test("goes by the name sendAndWait too", async () => {
    const { stream, wire } = opened();
    const request = stream.sendAndWait("get", { id: 1 }, { timeout: 5 });
    assert.deepEqual(wire.take()[0].payload, { route: "get", uuid: "1", payload: { id: 1 } });
    answer(wire, { uuid: "1" });
    assert.equal((await request).ok, true);
  });

  test("may be a message, as sendAndWait has it", async () => {
    const { stream, wire, clock } = opened();
    const message = { route: "get", payload: { id: 1 }, headers: { a: 1 }, status: 200, uuid: "other" };
    const request = stream.sendAndWait(message, { timeout: 5 });
    stream.sendAndWait({ route: "get" }).catch(() => {});
    assert.deepEqual(wire.take().map(({ payload }) => payload), [
      { route: "get", uuid: "1", headers: { a: 1 }, payload: { id: 1 } },
      { route: "get", uuid: "2", payload: null },
    ]);
    clock.pass(5);
    assert.equal(await outcome(request), "TimeoutError");
    wire.end(4400);
  });

  test("leaves no listener on its signal", async () => {
    const { stream, wire } = opened();
    const { signal } = new AbortController();
    const request = stream.request("get", null, { signal });
    assert.equal(getEventListeners(signal, "abort").length, 1);
    answer(wire, { uuid: "1" });
    await request;
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  test("is given up after its time", async () => {
    const { stream, clock, wire } = opened();
    const request = stream.request("get", null, { timeout: 5000 });
    clock.pass(4999);
    assert.equal(await outcome(request), "waits");
    clock.pass(1);
    assert.equal(await outcome(request), "TimeoutError");
    answer(wire, { uuid: "1" });
    assert.equal(clock.timers, 1);
  });

  test("is given up after 30 seconds where nothing else is said", async () => {
    const { stream, clock, wire } = opened();
    const request = stream.request("get");
    clock.pass(29999);
    wire.say({ event: "pong" });
    assert.equal(await outcome(request), "waits");
    clock.pass(1);
    assert.equal(await outcome(request), "TimeoutError");
  });

  for (const timeout of [null, Infinity, 2 ** 31]) {
    test(`has no limit where that is ${timeout}`, async () => {
      const { stream, wire, clock } = opened();
      const request = stream.request("get", null, { timeout });
      assert.equal(clock.timers, 1);
      answer(wire, { uuid: "1" });
      assert.equal((await request).ok, true);
    });
  }

  test("may have the longest limit of a timer", async () => {
    const { stream, wire, clock } = opened({ heartbeat: 2 ** 31 });
    const request = stream.request("get", null, { timeout: 2 ** 31 - 1 });
    clock.pass(2 ** 31 - 2);
    assert.equal(await outcome(request), "waits");
    clock.pass(1);
    assert.equal(await outcome(request), "TimeoutError");
  });

  test("is given up when its signal aborts", async () => {
    const { stream, clock } = opened();
    const controller = new AbortController();
    const request = stream.request("get", null, { signal: controller.signal });
    controller.abort(new RangeError("enough"));
    assert.equal(await outcome(request), "RangeError");
    assert.equal(clock.timers, 1);
  });

  test("is given up when its signal aborts as it goes out", async () => {
    const { client, stream } = opened();
    const controller = new AbortController();
    client.addEventListener("frame", () => controller.abort());
    assert.equal(await outcome(stream.request("get", null, { signal: controller.signal })), "AbortError");
  });

  test("is not sent where its signal has aborted", async () => {
    const { stream, wire } = opened();
    assert.equal(await outcome(stream.request("get", null, { signal: AbortSignal.abort() })), "AbortError");
    assert.deepEqual(wire.take(), []);
  });

  test("that has gone out is lost with the connection", async () => {
    const { stream, wire } = opened();
    const request = stream.request("get");
    wire.end();
    assert.equal(await outcome(request), "NetworkError");
  });

  test("that waits to go out outlives the connection", async () => {
    const parts = opened({}, {}, { credit: 0 });
    const request = parts.stream.request("get");
    parts.wire.end();
    assert.equal(await outcome(request), "waits");
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo", { credit: 1 });
    assert.equal(wire.take()[1].payload.uuid, "1");
    answer(wire, { uuid: "1" });
    assert.equal((await request).ok, true);
  });

  test("that is given up while it waits is never sent", async () => {
    const { stream, wire, clock } = opened({}, {}, { credit: 0 });
    const request = stream.request("get", null, { timeout: 10 });
    stream.send("1");
    clock.pass(10);
    assert.equal(await outcome(request), "TimeoutError");
    assert.equal(stream.bufferedAmount, 1);
    wire.say({ stream: "echo", event: "credit", credit: 5 });
    assert.deepEqual(wire.take(), [{ stream: "echo", payload: 1 }]);
  });

  test("that is given up by whoever hears that the stream is open is never sent", async () => {
    const { client, connect } = fake();
    const stream = client.stream("echo");
    const controller = new AbortController();
    const request = stream.request("get", null, { signal: controller.signal });
    stream.onopen = () => controller.abort();
    const wire = connect();
    accept(wire, "echo");
    assert.equal(await outcome(request), "AbortError");
    assert.deepEqual(wire.take().map(({ event }) => event), ["open"]);
  });

  test("that finds the connection dead waits for the next", async () => {
    const parts = opened();
    parts.clock.pass(30000);
    parts.clock.sleep(10000);
    const request = parts.stream.request("get");
    assert.equal(parts.client.state, "reconnecting");
    assert.equal(await outcome(request), "waits");
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo");
    assert.equal(wire.take()[1].payload.uuid, "1");
    answer(wire, { uuid: "1" });
    assert.equal((await request).ok, true);
  });

  test("that goes out as the connection is replaced is lost with it", async () => {
    const { client, stream } = opened();
    client.addEventListener("frame", () => client.reconnect(), { once: true });
    assert.equal(await outcome(stream.request("get")), "NetworkError");
  });

  test("whose payload closes the stream as it is written is lost with it", async () => {
    const { stream, wire } = opened();
    const request = stream.request("get", { toJSON: () => stream.close() });
    assert.equal(wire.take().length, 1);
    wire.say({ stream: "echo", event: "close", code: 1000, reason: "" });
    assert.equal(await outcome(request), "NetworkError");
  });

  test("that is given up lets a close go on that waited for it", async () => {
    const { stream, wire, clock } = opened({}, {}, { credit: 0 });
    const request = stream.request("get", null, { timeout: 10 });
    stream.close();
    clock.pass(10);
    assert.equal(await outcome(request), "TimeoutError");
    assert.equal(wire.take()[0].event, "close");
  });

  for (const [how, end] of [
    ["closes it", ({ wire }) => wire.say({ stream: "echo", event: "close", code: 1011, reason: "" })],
    ["closes the socket", ({ wire }) => wire.end(4403)],
    ["is told that the socket is closed", ({ client }) => client.close()],
  ]) {
    test(`is lost with its stream when the server ${how}`, async () => {
      const parts = opened({}, {}, { credit: 1 });
      const requests = [parts.stream.request("get"), parts.stream.request("get")];
      end(parts);
      assert.deepEqual(await Promise.all(requests.map(outcome)), ["NetworkError", "NetworkError"]);
      assert.equal(parts.clock.timers, parts.client.state === "open" ? 1 : 0);
    });
  }

  test("to a stream that is closed is refused", async () => {
    const { stream } = opened();
    stream.close();
    assert.equal(await outcome(stream.request("get")), "NetworkError");
  });

  test("to a stream that keeps nothing is refused while away", async () => {
    const { client, clock } = fake();
    const stream = client.stream("echo", { buffer: 0 });
    assert.equal(await outcome(stream.request("get")), "InvalidStateError");
    assert.equal(clock.timers, 1);
  });

  test("to a stream that keeps nothing is lost with what waits", async () => {
    const { stream, wire } = opened({}, { buffer: 0 }, { credit: 0 });
    const request = stream.request("get");
    wire.end();
    assert.equal(await outcome(request), "NetworkError");
  });

  test("is answered as a message too", async () => {
    const { stream, wire } = opened();
    const events = record(stream, ["message", "push"]);
    const request = stream.request("get");
    answer(wire, { uuid: "1" });
    await request;
    answer(wire, { uuid: "unknown" });
    assert.deepEqual(events.map(({ type }) => type), ["message", "message"]);
  });
});

describe("a push", () => {
  test("is a message with a route that answers nothing", () => {
    const { stream, wire } = opened();
    const events = record(stream, ["push"]);
    wire.say({ stream: "echo", payload: { route: "news", headers: { a: 1 }, payload: [1] } });
    for (const payload of [{ route: 1 }, null, "route", [], { payload: 1 }]) wire.say({ stream: "echo", payload });
    assert.deepEqual(events.map((e) => [e.route, e.headers, e.payload]), [["news", { a: 1 }, [1]]]);
  });

  test("may come from a consumer that knows nothing of routes", () => {
    const { stream, wire } = opened();
    const events = record(stream, ["push"]);
    wire.say({ stream: "echo", payload: { route: "42", type: "bus", target: null } });
    assert.deepEqual(events.map((e) => [e.type, e.route]), [["push", "42"]]);
  });
});
