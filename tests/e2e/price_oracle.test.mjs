// The example price-oracle, as it is shipped, against sources of our own: quorum, median, and a signature that recovers to its key.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BIN, ROOT, until } from "../support/stack.mjs";

let dir, dev, url, server;
const answers = { "/a": { data: { amount: "3000.01" } }, "/b": { result: { X: { c: ["3010.5"] } } }, "/c": { last: "2990" } };

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "rd-oracle-"));
  cpSync(join(ROOT, "examples", "price-oracle", "index.js"), join(dir, "index.js"));
  server = createServer((request, response) => (answers[request.url] ? response.end(JSON.stringify(answers[request.url])) : response.writeHead(500).end())).listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = `http://127.0.0.1:${server.address().port}`;
  const sources = [{ name: "a", url: at + "/a", path: ["data", "amount"] }, { name: "b", url: at + "/b", path: ["result", "X", "c", 0] }, { name: "c", url: at + "/c", path: ["last"] }];
  writeFileSync(join(dir, "redoubt.json"), JSON.stringify({ name: "oracle", env: { PAIR: "ETH-USD", SOURCES: JSON.stringify(sources) }, egress: [at] }));
  dev = spawn(join(BIN, "redoubt"), ["dev", dir, "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] });
  dev.stdout.on("data", (text) => { url ??= String(text).trim(); });
  await until("it listens", () => url);
}, { timeout: 180000 });
after(async () => {
  if (dev?.exitCode === null) { dev.kill(); await once(dev, "exit"); }
  server?.close();
  if (dir) rmSync(dir, { recursive: true });
});
const get = async () => { const got = await fetch(url, { headers: { connection: "close" } }); return { status: got.status, body: await got.json() }; };

test("the median of three, signed", async () => {
  const { status, body } = await get();
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual([body.pair, body.cents], ["ETH-USD", "300001"]);
  assert.match(body.message, /^redoubt price oracle v1\nETH-USD\n300001\n/);
  assert.match(body.signature, /^0x[0-9a-f]{128}1[bc]$/);
  assert.match(body.key, /^0x[0-9a-f]{128}$/);
});
test("a source that fails is named; below the quorum there is no price", async () => {
  delete answers["/a"];
  const two = await get();
  assert.deepEqual([two.status, two.body.cents, two.body.sources[0]], [200, "300025", { name: "a", error: "status 500" }]);
  delete answers["/b"];
  const one = await get();
  assert.deepEqual([one.status, one.body.error], [502, "fewer than 2 sources answered"]);
});
