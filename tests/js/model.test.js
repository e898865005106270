/**
 * The client against the real server: random scripts of opens, sends, closes and drops end in the
 * state that the server has. `SERVER` is its address.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import fc from "fast-check";
import WebSocket from "ws";

import { Demultiplexer } from "../../channels_demultiplexer/static/channels_demultiplexer/demultiplexer.js";

const NAMES = ["eager", "refused", "unknown", "model/1/", "model/2/", "model/1/?a=b#2"];
/**
 * How streams end that never open. Nobody can tell the end of an eager one that refuses at once
 * from the answer to its `open`, so that a life may get the answer that was meant for another.
 */
const ENDS = { refused: [4001], unknown: [4404] };
/** Milliseconds that nothing takes, however busy the machine is and however long it stands still. */
const PATIENCE = 60_000;

const name = fc.constantFrom(...NAMES);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ act: fc.constant("open"), name }) },
  { weight: 8, arbitrary: fc.record({ act: fc.constant("send"), name, count: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("close"), name }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constantFrom("end", "crash"), name }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant("drop") }) },
  { weight: 3, arbitrary: fc.record({ act: fc.constant("wait"), turns: fc.integer({ min: 1, max: 20 }) }) },
);

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Let others run until a condition holds. */
async function until(condition, what) {
  const end = Date.now() + PATIENCE;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `in vain waited for ${what}`);
    await turn();
  }
}

let clients = 0;

/** Carries out a script, and keeps what it did. */
class Run {
  drops = 0;
  #newest;
  #messages = 0;
  /** All streams with what was sent to each, what came back, and how it ended. */
  all = new Map();

  constructor() {
    const run = this;
    class Tracked extends WebSocket {
      constructor(...args) {
        super(...args);
        run.#newest = this;
      }
    }
    this.client = new Demultiplexer(`${process.env.SERVER}/models/${++clients}-${process.pid}/`, {
      WebSocket: Tracked,
      minDelay: 1,
      maxDelay: 1,
    });
  }

  stream(name) {
    const stream = this.client.stream(name);
    if (!this.all.has(stream)) {
      const record = { sent: [], back: [], close: null, left: false, dropped: false };
      this.all.set(stream, record);
      stream.addEventListener("message", ({ data }) => record.back.push(data));
      stream.addEventListener("reconnecting", () => (record.dropped = true));
      stream.addEventListener("close", (event) => {
        assert.equal(record.close, null);
        record.close = event;
      });
    }
    return [stream, this.all.get(stream)];
  }

  async take({ act, name, count = 1, turns }) {
    if (act === "wait") {
      for (let count = 0; count < turns; count++) await turn();
    } else if (act === "drop") {
      this.drops += 1;
      this.#newest.terminate();
    } else {
      const [stream, record] = this.stream(name);
      if (act === "close") {
        record.left = true;
        stream.close(3000);
      } else if (act !== "open") {
        for (let number = 0; number < count; number++) {
          const text = JSON.stringify(`${act} ${++this.#messages}`);
          record.sent.push(text);
          stream.send(text);
        }
      }
    }
  }

  /** Wait until all that has begun is done. */
  async quiet() {
    await until(
      () =>
        this.client.state === "open" &&
        [...this.client.streams].every((stream) => stream.readyState === 1 && !stream.bufferedAmount),
      () => [...this.client.streams].map((s) => [s.name, s.readyState, s.bufferedAmount, s.credit]),
    );
  }

  /** What the server knows of the lives. */
  async ask() {
    const state = this.client.stream("state");
    const answer = new Promise((resolve) => {
      state.addEventListener("message", ({ data }) => resolve(JSON.parse(data)), { once: true });
    });
    state.send("?");
    return answer;
  }
}

/** Whether `part` has members of `whole` only, in order and each at most once. */
function isSubsequence(part, whole) {
  let index = 0;
  for (const item of part) {
    index = whole.indexOf(item, index) + 1;
    if (!index) return false;
  }
  return true;
}

/** What the server has got of what was sent to a stream. */
function arrived(lives, { name }, { sent }) {
  const mine = lives.filter((life) => life.name === name).flatMap(({ got }) => got);
  return mine.filter((text) => sent.includes(text));
}

/** Whether the server has what the client has: the open streams, and all that had to arrive. */
function agrees(lives, run) {
  // An eager stream lives without being asked for.
  const names = (all) => all.map(({ name }) => name).filter((name) => name !== "eager" && name !== "state");
  const live = new Set(names(lives.filter(({ live }) => live)));
  if ([...live].sort().join() !== names([...run.client.streams]).sort().join()) return false;
  return [...run.all].every(([stream, record]) => {
    const { close, dropped, sent } = record;
    const lossless = !dropped && (close === null || (close.code === 3000 && close.wasClean));
    // What comes after the message that ends the consumer arrives nowhere.
    const end = sent.findIndex((text) => /"(end|crash)/.test(text));
    const due = end < 0 ? sent.length : end + 1;
    return stream.name === "refused" || !lossless || arrived(lives, stream, record).length >= due;
  });
}

async function check(script) {
  const run = new Run();
  try {
    for (const step of script) await run.take(step);
    await run.quiet();
    let lives = [];
    // The server learns of a drop, and takes what was sent, in its own time.
    await until(async () => {
      lives = await run.ask();
      return agrees(lives, run);
    }, "the server to have what the client has");

    const got = lives.flatMap(({ got }) => got);
    assert.equal(new Set(got).size, got.length, "nothing is sent twice");
    for (const [stream, record] of run.all) {
      const { sent, back, close, left } = record;
      assert.ok(isSubsequence(arrived(lives, stream, record), sent), "what arrives is in order");
      assert.ok(isSubsequence(back, sent), "what comes back is of this life");
      if (close === null) assert.equal(stream.readyState, 1);
      else if (close.code === 3000) assert.ok(left || stream.name === "refused");
      else if (!run.drops) assert.ok((ENDS[stream.name] ?? [1011, 4002]).includes(close.code), `${close.code}`);
    }
    // Neither side has anything of the other that it does not know of.
    for (const stream of [...run.client.streams]) stream.close();
    await until(() => [...run.client.streams].length === 0, "the streams to end");
  } finally {
    run.client.close();
  }
}

test("random scripts end in the state that the server has", { timeout: 10 * PATIENCE }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), check),
    { seed: Number(process.env.SEED ?? 11), numRuns: Number(process.env.RUNS ?? 60), includeErrorInReport: true, endOnFailure: true },
  );
});
