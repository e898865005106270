/** The package: its size, its types, what is in it. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

import { buildSync } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const folder = fileURLToPath(
  new URL("../../channels_demultiplexer/static/channels_demultiplexer/", import.meta.url),
);
const { version, scripts } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));

/** The bytes that the client may have, minified and compressed. */
const BOUND = 6000;

/** Run the TypeScript compiler; it has nothing to say where all is well. */
function tsc(...args) {
  const compiler = join(here, "node_modules/typescript/bin/tsc");
  const { stdout } = spawnSync(process.execPath, [compiler, ...args], { encoding: "utf8" });
  assert.equal(stdout, "");
}

/** Do something in a folder that is there no longer than that. */
function inFolder(act) {
  const path = mkdtempSync(join(tmpdir(), "client-"));
  try {
    return act(path);
  } finally {
    rmSync(path, { recursive: true });
  }
}

describe("the package", () => {
  test(`has at most ${BOUND} bytes, minified and compressed`, () => {
    const entryPoints = [join(folder, "demultiplexer.js")];
    const [{ contents }] = buildSync({ entryPoints, bundle: true, minify: true, format: "esm", write: false }).outputFiles;
    const [brotli, gzip] = [brotliCompressSync(contents).length, gzipSync(contents, { level: 9 }).length];
    const kB = (bytes) => `${(bytes / 1000).toFixed(2)} kB`;
    console.log(`the client: ${kB(contents.length)} minified, ${kB(gzip)} with gzip, ${kB(brotli)} with brotli`);
    assert.ok(gzip <= BOUND, `${gzip} bytes`);
  });

  test("has sound types", () => {
    tsc("-p", here);
  });

  test("publishes types that a strict project can use", () => {
    inFolder((path) => {
      const flagsOfPrepack = scripts.prepack.split(" ").filter((word) => word !== "types").slice(4, -1);
      tsc(join(folder, "demultiplexer.js"), ...flagsOfPrepack, "--outDir", path);
      writeFileSync(
        join(path, "use.ts"),
        `
        import { Demultiplexer, Stream } from "./demultiplexer.js";
        const socket = new Demultiplexer("/ws/", { keys: { stream: "s" }, heartbeat: 5 });
        const stream: Stream = socket.stream("room/5/", { query: async () => "token=1", buffer: 0 });
        stream.onmessage = ({ data }: MessageEvent) => console.log(data);
        const Class: typeof WebSocket = socket.webSocketClass();
        const Socket: new (url: string) => EventTarget = socket.webSocketClass();
        async function use(): Promise<boolean> {
          for await (const value of stream.values({ capacity: 5 })) console.log(value, Socket, Class);
          const { ok, status } = await stream.request("get", { id: 1 }, { timeout: 5, signal: AbortSignal.timeout(5) });
          return ok && status < 300 && socket.state === "open" && stream.readyState === Stream.OPEN;
        }
        use();
        `,
      );
      const flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--lib", "es2023,dom"];
      tsc(join(path, "use.ts"), ...flags);
    });
  });

  test("has the version of the Python package", () => {
    const [, found] = /^version = (.+)$/m.exec(readFileSync(join(here, "../../setup.cfg"), "utf8"));
    assert.equal(version, found);
  });
});
