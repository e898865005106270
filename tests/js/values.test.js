/** Iteration over what a stream receives. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { accept, opened, settled } from "./fakes.js";

const say = (wire, payload) => wire.say({ stream: "echo", payload });
const end = (wire, code = 1000) => wire.say({ stream: "echo", event: "close", code, reason: "" });

describe("values()", () => {
  test("are those that come from the call on, decoded", async () => {
    const { stream, wire } = opened();
    stream.binaryType = "arraybuffer";
    say(wire, "before");
    const values = stream.values();
    say(wire, { a: 1 });
    wire.say({ stream: "echo", text: "1" });
    wire.say(Uint8Array.of(4, 101, 99, 104, 111, 9).buffer);
    const found = [(await values.next()).value, (await values.next()).value, (await values.next()).value];
    assert.deepEqual(found, [{ a: 1 }, "1", Uint8Array.of(9).buffer]);
    const next = values.next();
    await settled();
    say(wire, null);
    assert.deepEqual(await next, { value: null, done: false });
  });

  for (const code of [1000, 1001]) {
    test(`end with the stream that ends with ${code}, after what waits`, async () => {
      const { stream, wire } = opened();
      const values = stream.values();
      say(wire, 1);
      end(wire, code);
      const found = [];
      for await (const value of values) found.push(value);
      assert.deepEqual(found, [1]);
    });
  }

  for (const [code, outcome] of [[1000, "done"], [3000, "NetworkError"]]) {
    test(`end as with any other end where this side closes the stream with ${code}`, async () => {
      const { stream, wire } = opened();
      const next = stream.values().next();
      stream.close(code);
      end(wire, code);
      const found = await next.then(({ done }) => done && "done", ({ name }) => name);
      assert.equal(found, outcome);
    });
  }

  test("throw where the stream fails, after what waits", async () => {
    const { stream, wire } = opened();
    const values = stream.values();
    say(wire, 1);
    end(wire, 1011);
    assert.equal((await values.next()).value, 1);
    await assert.rejects(values.next(), { name: "NetworkError" });
    assert.equal((await values.next()).done, true);
  });

  test("throw where more wait than may", async () => {
    const { stream, wire } = opened();
    const values = stream.values({ capacity: 2 });
    for (const value of [1, 2, 3, 4]) say(wire, value);
    assert.equal((await values.next()).value, 1);
    assert.equal((await values.next()).value, 2);
    await assert.rejects(values.next(), { name: "QuotaExceededError" });
  });

  test("are a thousand at most where nothing else is said", async () => {
    const { stream, wire } = opened();
    const values = stream.values();
    for (let value = 0; value < 1000; value++) say(wire, value);
    for (let value = 0; value < 1000; value++) assert.equal((await values.next()).value, value);
    for (let value = 0; value < 1001; value++) say(wire, value);
    for (let value = 0; value < 1000; value++) await values.next();
    await assert.rejects(values.next(), { name: "QuotaExceededError" });
  });

  test("go on over a reconnection", async () => {
    const parts = opened();
    const values = parts.stream.values();
    const next = values.next();
    await settled();
    parts.wire.end();
    parts.clock.pass(500);
    const wire = parts.connect();
    accept(wire, "echo");
    say(wire, 5);
    assert.equal((await next).value, 5);
  });

  test("of a stream that has ended are none", async () => {
    const { stream, wire } = opened();
    end(wire, 1011);
    assert.deepEqual(await stream.values().next(), { value: undefined, done: true });
  });

  test("keep nothing when the loop is left", async () => {
    const { stream, wire } = opened();
    say(wire, 0);
    const values = stream.values({ capacity: 1 });
    say(wire, 1);
    for await (const value of values) {
      assert.equal(value, 1);
      break;
    }
    for (const value of [1, 2, 3]) say(wire, value);
    assert.deepEqual(await values.next(), { value: undefined, done: true });
    assert.equal(stream.readyState, 1);
  });

  test("keep nothing when they are left before they have begun", async () => {
    const { stream, wire } = opened();
    const values = stream.values({ capacity: 1 });
    await values.return();
    for (const value of [1, 2, 3]) say(wire, value);
    assert.deepEqual(await values.next(), { value: undefined, done: true });
  });

  test("may be iterated over by two at once", async () => {
    const { stream, wire } = opened();
    const both = [stream.values(), stream.values()];
    say(wire, 1);
    for (const values of both) assert.equal((await values.next()).value, 1);
  });
});
