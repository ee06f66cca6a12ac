// The second engine: a release with "engine":"jsc" runs on a program with a measurement of its own, and on no other.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";

const missing = !existsSync(join(BIN, "redoubt-enclave-jsc")) && "redoubt-enclave-jsc was not built: no libjavascriptcoregtk-4.1-dev";
const source = `
const wasm = Uint8Array.fromHex("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b");
let served = 0;
const kept = [];
export default { async fetch(request, env) {
  served++;
  const path = new URL(request.url).pathname;
  if (path === "/intl") return new Response(new Intl.NumberFormat("de-DE", { style: "currency", currency: "EUR" }).format(1234.5));
  if (path === "/wasm") return new Response(String((await WebAssembly.instantiate(wasm)).instance.exports.add(40, 2)));
  if (path === "/loop") for (;;);
  if (path === "/bomb") for (;;) kept.push(new Array(1000).fill(Math.random()));
  if (path === "/leak") { globalThis.leaked = served; Array.prototype.leaked = 1; kept.push(served); }
  return Response.json({ served, kept: kept.length, global: typeof globalThis.leaked, array: typeof [].leaked, name: env.NAME });
} };`;

let stack, app;
before(async () => {
  if (missing) return;
  stack = await Stack.start({ hosts: 1, jsc: true });
  app = (await stack.deploy("fast", source, { engine: "jsc", env: { NAME: "value" }, limits: { time_ms: 1000, heap_bytes: 32 << 20 } })).app;
}, { timeout: 120000 });
after(async () => { await stack?.close(); });

const text = async (path) => {
  const answer = await stack.invoke(app, path);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
};

test("Intl and WebAssembly are there, and what a request leaves behind is gone in the next", { skip: missing }, async () => {
  assert.equal(await text("/intl"), "1.234,50\u00a0€");
  assert.equal(await text("/wasm"), "42");
  const fresh = { served: 1, kept: 0, global: "undefined", array: "undefined", name: "value" };
  await text("/leak");
  for (let n = 0; n < 3; n++) assert.deepEqual(JSON.parse(await text("/")), fresh);
});

const instances = async () => (await stack.json("status", "fast")).deployment.instances.map((one) => one.id + "." + one.epoch);

test("an endless loop ends at its limit, and the same instance serves the next request", { skip: missing }, async () => {
  const before = await instances();
  const answer = await stack.invoke(app, "/loop");
  assert.equal(answer.status, 504, answer.body);
  assert.equal(JSON.parse(answer.body).code, "function_timeout");
  assert.equal(JSON.parse(await text("/")).served, 1);
  assert.deepEqual(await instances(), before);
});

test("the receipt verifies, under evidence of the other program", { skip: missing }, async () => {
  const result = await stack.json("invoke", "fast", "--plain", "--path", "/intl");
  assert.equal(result.verified, true);
  const runtime = result.steps.find((step) => step.name === "runtime");
  assert.ok(runtime.ok && runtime.detail.includes(stack.jscMeasurement.slice(0, 12)), JSON.stringify(runtime));
  assert.notEqual(stack.jscMeasurement, stack.measurement);
});

test("a memory bomb ends its instance alone; the app is served again, by a newer lease", { skip: missing }, async () => {
  const other = (await stack.deploy("other", "export default () => new Response('other')", { engine: "jsc" })).app;
  const before = await instances();
  const answer = await stack.invoke(app, "/bomb");
  assert.ok(answer.status >= 500, `${answer.status} ${answer.body}`);
  assert.equal((await stack.invoke(other, "/")).body, "other");
  await until("the app serves again", async () => (await stack.invoke(app, "/")).status === 200, 60000);
  assert.notDeepEqual(await instances(), before);
});

test("a host without the engine is not asked: the deployment says what is missing", { skip: missing }, async () => {
  const dir = stack.dir;
  await stack.agent(1).stop();
  stack.options.jsc = false;
  stack.startAgent(1);
  await stack.hostsReady(1);
  const made = await stack.cli("deploy", "src-other", "--yes", "--detach", "--json", { cwd: dir });
  assert.equal(made.code, 0, made.stderr);
  const summary = await until("the scheduler says why", async () => {
    const status = await stack.json("status", "other");
    const counts = status.deployment.reason?.counts || [];
    return counts.find((one) => one.constraint.includes("engine.jsc"));
  }, 60000);
  assert.equal(summary.hosts, 1);
});
