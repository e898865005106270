/**
 * Random scripts in which whoever is told of something acts at once: they break no promise of a
 * stream. The server is a small one of this file's; what real ones do is in `model.test.js`.
 */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Demultiplexer } from "../../channels_demultiplexer/static/channels_demultiplexer/demultiplexer.js";
import { Clock, settled } from "./fakes.js";

const RUNS = Number(process.env.RUNS ?? 300);
const SEED = Number(process.env.SEED ?? 1);
const NAMES = ["a", "b", "c"];
/** The frames that may wait for a child. */
const CAPACITY = 3;
const OPTIONS = [
  ...Array(6).fill({}),
  { buffer: 0 },
  { query: () => settled().then(() => "token=1") },
  { query: () => Promise.reject(new Error("offline")) },
  { query: () => new Promise(() => {}) },
];
/** How streams end here: left, refused or ended by the server, lost, without a query, with the socket. */
const CODES = [3000, 4403, 4429, 1011, 1006, 4400, 4000];
/** The values of `readyState` that the listeners of a stream may find. */
const STATES = { open: [1], message: [1], reconnecting: [0, 2], refused: [0, 1, 2], error: [3], close: [3] };

/** Draws from 0 to 1, the same for the same seed. */
function generator(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let value = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    value ^= value + Math.imul(value ^ (value >>> 7), 61 | value);
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A connection, and what the server has for it. */
class Connection {
  readyState = 0;
  /** What is on the way to the server, and from it. */
  #up = [];
  #down = [];
  /** By name: `left` is the `close` that is being carried out, `later` what came after it. */
  #lives = new Map();
  #run;

  constructor(run) {
    this.#run = run;
  }

  send(data) {
    if (!this.readyState) this.#run.faults.push("sent while connecting");
    if (this.readyState === 1) this.#up.push(JSON.parse(data));
  }

  close() {
    this.readyState = 3;
  }

  open() {
    this.readyState = 1;
    this.onopen();
  }

  lose(code) {
    this.readyState = 3;
    this.onclose({ code, reason: "" });
  }

  /** Something happens between the two sides, or in a child. */
  step() {
    const { chance, pick } = this.#run;
    if (chance(2) && this.#up.length) this.#take(this.#up.shift());
    else if (chance(2) && this.#down.length) this.onmessage({ data: JSON.stringify(this.#down.shift()) });
    else if (this.#lives.size) this.#live(...pick([...this.#lives]));
  }

  /** The streams that the server has. */
  get names() {
    return [...this.#lives.keys()];
  }

  #say(stream, event, fields) {
    this.#down.push({ stream, event, ...fields });
  }

  #refuse(stream, status) {
    this.#say(stream, "error", { status, payload: { error: "no" } });
  }

  #take(frame) {
    const { stream, event, payload } = frame;
    const life = this.#lives.get(stream);
    if (event === "ping") this.#down.push({ event: "pong", payload });
    else if (life?.left && (event === "open" || life.later.length)) life.later.push(frame);
    else if (event === "open") this.#open(stream);
    else if (!life || life.left) this.#refuse(stream, 409);
    else if (event === "close") life.left = frame;
    else {
      life.waiting += 1;
      if (life.waiting > CAPACITY) this.#run.faults.push("more than the credit");
      this.#run.arrived.push(payload);
    }
  }

  #open(stream) {
    const { chance } = this.#run;
    if (chance(10)) this.#refuse(stream, 429);
    else if (chance(10)) this.#say(stream, "close", { code: 4403, reason: "" });
    else {
      this.#lives.set(stream, { waiting: 0, taken: 0, later: [] });
      this.#say(stream, "open", { credit: CAPACITY });
    }
  }

  #live(stream, life) {
    const { chance } = this.#run;
    if (life.left) {
      const { code, reason } = life.left;
      this.#lives.delete(stream);
      this.#say(stream, "close", { code, reason });
      for (const frame of life.later) this.#take(frame);
    } else if (chance(20)) {
      this.#lives.delete(stream);
      this.#say(stream, "close", { code: 1011, reason: "" });
    } else if (chance(2)) {
      this.#down.push({ stream, payload: { route: "news" } });
    } else if (life.waiting) {
      life.waiting -= 1;
      life.taken += 1;
      if (life.taken < CAPACITY / 2) return;
      this.#say(stream, "credit", { credit: life.taken });
      life.taken = 0;
    }
  }
}

/** A client, what acts on it, and what is known of its streams. */
class Run {
  clock = new Clock();
  arrived = [];
  /** What went wrong where a failure would only be reported, as in a listener. */
  faults = [];
  /** Whether nobody acts any more, and no connection is lost. */
  calm = false;
  connections = [];
  /**
   * Of each stream: what was sent, whether it was left, and that while it was away with nothing to
   * send, its end, and its events.
   */
  records = new Map();
  requests = [];
  #sent = 0;
  #depth = 0;

  constructor(seed) {
    const run = this;
    const random = generator(seed);
    this.chance = (of) => random() * of < 1;
    this.pick = (all) => all[Math.floor(random() * all.length)];
    const WebSocket = class extends Connection {
      constructor() {
        super(run);
        run.connections.push(this);
      }
    };
    this.client = new Demultiplexer("ws://test/", { WebSocket, random, clock: this.clock });
    this.Strict = this.client.webSocketClass();
    for (const type of ["open", "reconnecting"]) this.client.addEventListener(type, () => this.#react());
    // What goes out does so while a stream is made, when nobody can listen to it.
    this.client.addEventListener("frame", ({ direction }) => direction === "in" && this.#react());
  }

  get wire() {
    return this.connections.at(-1);
  }

  get live() {
    return [...this.records.keys()].filter(({ readyState }) => readyState < 2);
  }

  /** Do anything that an application may do. */
  act() {
    const { chance, client, pick } = this;
    if (this.calm || client.state === "closed") return;
    const stream = pick(this.live);
    if (!stream || chance(4)) this.#watch(client.stream(pick(NAMES), pick(OPTIONS)));
    else if (chance(10)) this.#watch(new this.Strict(`/${pick(NAMES)}`));
    else if (chance(2)) this.#send(stream);
    else if (chance(3)) this.leave(stream);
    else if (chance(3)) this.#request(stream);
    else if (chance(2)) pick(this.requests)?.controller.abort();
    else if (chance(5)) client.reconnect();
    else if (chance(50)) client.close(4000);
  }

  leave(stream) {
    const record = this.records.get(stream);
    record.left = true;
    record.away = this.client.state !== "open" && !(stream instanceof this.Strict) && !stream.bufferedAmount;
    stream.close(3000);
  }

  /** Let something happen outside of the application. */
  async step() {
    const { calm, chance, clock, pick, wire } = this;
    if (chance(20)) await settled();
    else if (chance(20)) clock.pass(1000);
    else if (!wire.readyState) wire.open();
    else if (!calm && chance(100)) clock.sleep(50000);
    else if (!calm && wire.readyState < 3 && chance(50)) wire.lose(pick([1006, 1012]));
    else if (!calm && wire.readyState === 1 && chance(50)) wire.readyState = 2;
    else if (wire.readyState === 1) for (let count = 0; count < 5; count++) wire.step();
  }

  #react() {
    if (this.#depth > 1 || !this.chance(6)) return;
    this.#depth += 1;
    this.act();
    this.#depth -= 1;
  }

  #watch(stream) {
    if (this.records.has(stream)) return;
    const record = { sent: [], left: false, away: false, end: null, events: [] };
    this.records.set(stream, record);
    for (const type of Object.keys(STATES)) {
      stream.addEventListener(type, (event) => {
        const { readyState } = stream;
        record.events.push(`${type} in ${readyState}`);
        const { end, events, left } = record;
        const wrong =
          !STATES[type].includes(readyState) ||
          end !== null ||
          (left && ["open", "message", "error"].includes(type)) ||
          (stream instanceof this.Strict && type === "reconnecting");
        if (wrong) this.faults.push(`${stream.name}: ${events}`);
        if (type === "close") record.end = event;
        this.#react();
      });
    }
  }

  #send(stream) {
    const number = (this.#sent += 1);
    try {
      stream.sendJSON(number);
      this.records.get(stream).sent.push(number);
    } catch ({ name }) {
      if (name !== "InvalidStateError" || stream.readyState) this.faults.push(`${name} in ${stream.readyState}`);
    }
  }

  #request(stream) {
    const controller = new AbortController();
    const request = { controller, settled: false };
    const timeout = this.pick([null, 2000]);
    stream.request("get", null, { signal: controller.signal, timeout }).finally(() => (request.settled = true)).catch(() => {});
    this.requests.push(request);
  }
}

async function check(seed) {
  const run = new Run(seed);
  const { client, clock } = run;
  for (let count = 0; count < 200; count++) {
    if (run.chance(2)) run.act();
    else await run.step();
  }
  run.calm = true;
  for (const stream of run.live) run.leave(stream);
  for (let count = 0; count < 3000 && [...client.streams].length; count++) await run.step();
  await settled();

  assert.deepEqual(run.faults, []);
  for (const [stream, { away, end, events, left, sent }] of run.records) {
    assert.notEqual(end, null, `${stream.name} has not ended: ${events}`);
    assert.ok(CODES.includes(end.code), `${end.code}`);
    if (end.code === 3000) assert.ok(left, "only what was left ends so");
    if (away) assert.ok(end.wasClean || end.code === 4400, "what is left while away knows no loss");
    const arrived = run.arrived.filter((number) => sent.includes(number));
    assert.deepEqual(arrived, [...new Set(arrived)].sort((a, b) => a - b), "in order, and once");
  }
  assert.ok(run.requests.every(({ settled }) => settled), "each request has an end");
  for (let count = 0; client.state === "open" && run.wire.names.length; count++) {
    assert.ok(count < 5000, "the server has no stream that the client hasn't");
    run.wire.step();
  }
  client.close();
  assert.equal(clock.timers, 0);
}

test("random scripts break no promise of a stream", async () => {
  for (let seed = SEED; seed < SEED + RUNS; seed++) {
    await check(seed).catch((error) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
});
