/** What the inspector keeps. What it draws is tested in a browser. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import {
  CONTENT,
  FRAMES,
  hueOf,
  Recording,
  whole,
} from "../../channels_demultiplexer/static/channels_demultiplexer/inspector-record.js";

const KEYS = { stream: "stream", payload: "payload", text: "text", event: "event" };

/** Record one message; return what is kept of it. */
function kept(data, keys = KEYS) {
  const recording = new Recording(keys);
  recording.add("in", "echo", data, 5);
  return recording.entries[0];
}

describe("a recording", () => {
  test("keeps what is known of a frame", () => {
    const data = '{"stream":"echo","payload":"é"}';
    assert.deepEqual(kept(data), {
      number: 1,
      time: 5,
      direction: "in",
      stream: "echo",
      kind: "payload",
      size: 32,
      content: data,
    });
  });

  for (const [data, kind] of [
    ['{"stream":"echo","payload":null}', "payload"],
    ['{"stream":"echo","text":""}', "text"],
    ['{"stream":"echo","event":"open"}', "open"],
    ['{"stream":"echo","event":1}', "payload"],
    ["null", "text"],
    ["{", "text"],
    [Uint8Array.of(0), "bytes"],
    [Uint8Array.of(0).buffer, "bytes"],
  ]) {
    test(`calls ${data} ${kind}`, () => assert.equal(kept(data).kind, kind));
  }

  test("knows the keys of the settings", () => {
    const keys = { stream: "s", payload: "p", text: "t", event: "e" };
    assert.equal(kept('{"s":"echo","e":"close"}', keys).kind, "close");
    assert.equal(kept('{"s":"echo","t":""}', keys).kind, "text");
  });

  test("keeps nothing of a file that can't be read", async () => {
    const blob = new Blob(["a"]);
    blob.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException("gone", "NotReadableError")) });
    const entry = kept(blob);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([entry.size, entry.content], [1, ""]);
  });

  test("keeps the latest frames", () => {
    const recording = new Recording(KEYS);
    for (let number = 0; number < FRAMES + 2; number++) recording.add("out", "", "{}", number);
    assert.equal(recording.entries.length, FRAMES);
    assert.deepEqual([recording.entries[0].number, recording.entries.at(-1).number], [3, FRAMES + 2]);
  });

  test("keeps the beginning of a long frame, and its size", () => {
    const text = kept("x".repeat(CONTENT + 1));
    assert.deepEqual([text.content.length, text.size], [CONTENT, CONTENT + 1]);
    const bytes = kept(new Uint8Array(CONTENT + 1));
    assert.deepEqual([bytes.content.length, bytes.size], [CONTENT, CONTENT + 1]);
    assert.equal(bytes.content.buffer.byteLength, CONTENT, "a view would keep the whole");
  });

  test("reads a Blob when it can", async () => {
    const entry = kept(new Blob([Uint8Array.of(4, 5)]));
    assert.deepEqual([entry.kind, entry.size, entry.content], ["bytes", 2, ""]);
    while (entry.content === "") await new Promise(setImmediate);
    assert.deepEqual([...entry.content], [4, 5]);
  });

  test("is emptied", () => {
    const recording = new Recording(KEYS);
    recording.add("in", "echo", "1", 1);
    const { entries } = recording;
    recording.clear();
    assert.deepEqual(entries, []);
    recording.add("in", "echo", "2", 2);
    assert.equal(entries[0].number, 2, "numbers go on");
  });
});

describe("a frame that unfolds", () => {
  for (const [kind, data, text] of [
    ["JSON", '{"stream":"echo","payload":[1]}', '{\n  "stream": "echo",\n  "payload": [\n    1\n  ]\n}'],
    ["other text", "{", "{"],
    ["bytes", Uint8Array.of(1, 255), "01 ff"],
  ]) {
    test(`shows ${kind}`, () => assert.equal(whole(kept(data)), text));
  }

  test("says where it is cut", () => {
    assert.equal(whole(kept("x".repeat(CONTENT + 1))), `${"x".repeat(CONTENT)}\n… the first ${CONTENT} bytes`);
  });

  test("shows JSON that is nested too deep to be indented as it is", () => {
    for (const depth of [2000, 8000]) {
      const data = `${"[".repeat(depth)}${"]".repeat(depth)}`;
      assert.equal(whole(kept(data)), data);
    }
    const flat = `[${"1,".repeat(8000)}1]`;
    assert.equal(whole(kept(flat)).split("\n").length, 8003);
  });
});

test("a stream's hue is that of its path", () => {
  assert.equal(hueOf("room/5/"), hueOf("room/5/?as=ann#2"));
  assert.notEqual(hueOf("room/5/"), hueOf("room/6/"));
  for (let number = 0; number < 500; number++) {
    const hue = hueOf(`${number}`);
    assert.ok(Number.isInteger(hue) && hue >= 0 && hue < 360);
  }
});
