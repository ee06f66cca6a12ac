// The second engine: a release with "engine":"jsc" runs on a program with a measurement of its own, and on no other.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
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
  if (path === "/stream") return new Response(new ReadableStream({ pull(c) { c.enqueue(new TextEncoder().encode(served + ";")); if (++served === 4) c.close(); } }));
  if (path === "/garbage") { let n = 0; for (let i = 0; i < 4000; i++) { n += new Uint8Array(1 << 18).fill(i).length; if (i % 16 === 0) await new Promise((done) => setTimeout(done, 1)); } return new Response(String(n)); }
  if (path === "/loop") for (;;);
  if (path === "/bomb") for (;;) kept.push(new Uint8Array(1 << 24).fill(served));
  if (path === "/leak") { globalThis.leaked = served; Array.prototype.leaked = 1; kept.push(served); }
  return Response.json({ served, kept: kept.length, global: typeof globalThis.leaked, array: typeof [].leaked, name: env.NAME });
} };`;

let stack, app;
before(async () => {
  if (missing) return;
  stack = await Stack.start({ hosts: 1, jsc: true });
  app = (await stack.deploy("fast", source, { engine: "jsc", env: { NAME: "value" }, limits: { time_ms: 1000, heap_bytes: 32 << 20 } })).app;
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

const text = async (path) => {
  const answer = await stack.invoke(app, path);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return answer.body;
};

test("a host says which engines it has", { skip: missing, timeout: 180000 }, async () => {
  const [host] = (await stack.rest("GET", "/v1/hosts")).items;
  assert.deepEqual(host.engines, ["quickjs", "jsc"]);
  assert.match((await stack.cli("hosts", "show", host.id)).stdout, /engines.*quickjs.*jsc/s);
});

test("Intl and WebAssembly are there, and what a request leaves behind is gone in the next", { skip: missing }, async () => {
  assert.equal(await text("/intl"), "1.234,50\u00a0€");
  assert.equal(await text("/wasm"), "42");
  const fresh = { served: 1, kept: 0, global: "undefined", array: "undefined", name: "value" };
  await text("/leak");
  for (let n = 0; n < 3; n++) assert.deepEqual(JSON.parse(await text("/")), fresh);
});

test("an answer that is streamed comes whole, with its receipt behind it", { skip: missing }, async () => {
  for (let n = 0; n < 2; n++) assert.equal(await text("/stream"), "1;2;3;");
  const result = await stack.json("invoke", "fast", "--plain", "--path", "/stream");
  assert.equal(result.verified, true);
});

test("what is measured takes nothing from the environment it is started with", { skip: missing }, async () => {
  const pipe = join(stack.dir, "options");
  execFileSync("mkfifo", [pipe]); // whoever opens it to read its options waits for ever
  for (const program of ["redoubt-enclave", "redoubt-enclave-jsc"])
    execFileSync(join(BIN, program), ["--self-check", "--insecure-unsandboxed"], { env: { OPENSSL_CONF: pipe }, timeout: 20000 });
});

const instances = async (name = "fast") => (await stack.json("status", name)).deployment.instances.map((one) => one.id + "." + one.epoch);

test("garbage of a gigabyte is collected by a thread of the engine's, in its small heap", { skip: missing, timeout: 180000 }, async () => {
  const roomy = (await stack.deploy("garbage", source, { engine: "jsc", limits: { time_ms: 20000, heap_bytes: 32 << 20 } })).app;
  for (let n = 0; n < 2; n++) {
    const answer = await stack.invoke(roomy, "/garbage");
    assert.equal(answer.body, String(4000 << 18));
  }
});

test("an endless loop ends at its limit, and the same instance serves the next request", { skip: missing }, async () => {
  const before = await instances();
  const answer = await stack.invoke(app, "/loop");
  assert.equal(answer.status, 504, answer.body);
  assert.equal(JSON.parse(answer.body).code, "function_timeout");
  assert.equal(JSON.parse(await text("/")).served, 1);
  assert.deepEqual(await instances(), before);
});

test("a release may keep its machine: its requests are as fresh, and whoever looks is told", { skip: missing, timeout: 180000 }, async () => {
  const warm = (await stack.deploy("warm", source, { engine: "jsc", machine: "kept", env: { NAME: "value" }, limits: { time_ms: 1000, heap_bytes: 32 << 20 } })).app;
  const get = async (path) => (await stack.invoke(warm, path)).body;
  for (let n = 0; n < 20; n++) {
    await get(["/leak", "/intl", "/wasm", "/stream"][n % 4]);
    assert.deepEqual(JSON.parse(await get("/")), { served: 1, kept: 0, global: "undefined", array: "undefined", name: "value" });
  }
  assert.equal((await stack.invoke(warm, "/loop")).status, 504);
  assert.equal(JSON.parse(await get("/")).served, 1);
  assert.match((await stack.cli("apps", "show", "warm")).stdout, /engine jsc, its machine kept between requests/);
  assert.equal((await stack.json("invoke", "warm", "--plain", "--path", "/intl")).verified, true);
});

test("a release may share its machine: its globals live on, a failure ends them, and whoever looks is told", { skip: missing, timeout: 180000 }, async () => {
  const members = { engine: "jsc", machine: "shared", env: { NAME: "value" }, limits: { time_ms: 1000, heap_bytes: 32 << 20 } };
  const one = (await stack.deploy("shared", source, members)).app;
  const get = async (path) => (await stack.invoke(one, path)).body;
  const seen = async () => JSON.parse(await get("/"));
  assert.deepEqual(await seen(), { served: 1, kept: 0, global: "undefined", array: "undefined", name: "value" });
  await get("/leak");
  for (let n = 3; n < 9; n++) assert.deepEqual(await seen(), { served: n, kept: 1, global: "number", array: "number", name: "value" });
  assert.equal(await get("/wasm"), "42");
  assert.equal((await stack.json("invoke", "shared", "--plain", "--path", "/intl")).verified, true);
  assert.equal((await seen()).served, 11);
  const before = await instances("shared");
  assert.equal((await stack.invoke(one, "/loop")).status, 504);
  for (let n = 1; n < 4; n++) assert.equal((await seen()).served, n);
  assert.deepEqual(await instances("shared"), before);
  assert.match((await stack.cli("apps", "show", "shared")).stdout, /engine jsc, ONE MACHINE FOR ALL CALLERS/);
  const release = (await stack.json("verify", "shared"))[0].steps.find((step) => step.name === "release");
  assert.match(release.detail, /signed by the owner, .*ONE MACHINE FOR ALL CALLERS/);
  const plan = await stack.cli("deploy", join(stack.dir, "src-shared"), "--plan", "--json");
  assert.match(plan.stderr, /SHARED: one for all callers; what the handler keeps of one can reach another/);
  assert.equal(JSON.parse(plan.stdout).machine, "shared");
  assert.equal((await stack.cli("apps", "delete", "shared", "--yes")).code, 0); // its memory is wanted
});

test("the receipt verifies, under evidence of the other program", { skip: missing }, async () => {
  const result = await stack.json("invoke", "fast", "--plain", "--path", "/intl");
  assert.equal(result.verified, true);
  const runtime = result.steps.find((step) => step.name === "runtime");
  assert.ok(runtime.ok && runtime.detail.includes(stack.jscMeasurement.slice(0, 12)), JSON.stringify(runtime));
  assert.notEqual(stack.jscMeasurement, stack.measurement);
});

test("a memory bomb ends its instance alone; the app is served again, by a newer lease", { skip: missing }, async () => {
  const other = (await stack.deploy("other", source, { engine: "jsc", limits: { time_ms: 30000, heap_bytes: 32 << 20 } })).app;
  const [mine, before] = [await instances(), await instances("other")];
  const answer = await stack.invoke(other, "/bomb");
  assert.ok(answer.status >= 500, `${answer.status} ${answer.body}`);
  assert.equal(JSON.parse(await text("/")).served, 1);
  await until("the app serves again", async () => (await stack.invoke(other, "/")).status === 200, 60000);
  assert.notDeepEqual(await instances("other"), before);
  assert.deepEqual(await instances(), mine);
});

test("redoubt dev goes on as the program with that engine, and follows changes", { skip: missing }, async () => {
  const dir = join(stack.dir, "dev"), write = (name, content) => writeFileSync(join(dir, name), content);
  mkdirSync(dir);
  write("redoubt.json", JSON.stringify({ name: "trial", engine: "jsc", env: { NAME: "x" } }));
  write("index.js", "export default (request, env) => new Response(env.NAME + new Intl.NumberFormat('de').format(1.5));");
  const dev = spawn(join(BIN, "redoubt"), ["dev", dir, "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    const url = String((await once(dev.stdout, "data"))[0]).trim();
    const get = async () => (await fetch(url, { headers: { connection: "close" } })).text();
    assert.equal(await get(), "x1,5");
    write("index.js", "let n = 0; export default () => new Response(`changed ${++n}`);");
    await until("the new code answers", async () => (await get()) === "changed 1");
    assert.equal(await get(), "changed 1");
    write("redoubt.json", JSON.stringify({ name: "trial", engine: "jsc", machine: "shared" }));
    await until("its globals stay", async () => (await get()) === "changed 2");
    assert.equal(await get(), "changed 3");
    write("redoubt.json", JSON.stringify({ name: "trial" }));
    await until("it says that it has to be started again", async () => /the engine is quickjs now/.test(await get()));
  } finally {
    dev.kill();
    if (dev.exitCode === null && dev.signalCode === null) await once(dev, "exit");
  }
});

const restartAgent = async (jsc) => {
  await stack.agent(1).stop();
  stack.options.jsc = jsc;
  stack.startAgent(1);
  await stack.hostsReady(1);
};

test("an enclave of the other engine refuses the release, and says so", { skip: missing }, async () => {
  await restartAgent(join(BIN, "redoubt-enclave"));
  const line = await until("it is refused", () => stack.agent(1).log().split("\n").find((one) => one.includes("engine_mismatch")), 60000);
  assert.match(line, /it asks for engine jsc, and this is quickjs/);
});

test("a host without the engine is not asked: the deployment says what is missing", { skip: missing }, async () => {
  await restartAgent(false);
  const made = await stack.cli("deploy", "src-other", "--yes", "--detach", "--json", { cwd: stack.dir });
  assert.equal(made.code, 0, made.stderr);
  const summary = await until("the scheduler says why", async () => {
    const status = await stack.json("status", "other");
    const counts = status.deployment.reason?.counts || [];
    return counts.find((one) => one.constraint.includes("engine.jsc"));
  }, 60000);
  assert.equal(summary.hosts, 1);
});
