// Measured figures as ratios against a named peer or limit in the same run; medians of several rounds; asserts nothing.
// node tests/bench/run.mjs [NAME…] [--json FILE] [--rounds N]
import { writeFileSync, readFileSync, mkdirSync } from "node:fs";
import { spawn, execFileSync, spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { join } from "node:path";
import { Stack, until, freePort } from "../support/stack.mjs";

const args = process.argv.slice(2);
const option = (name, fallback) => { const at = args.indexOf(name); return at < 0 ? fallback : args.splice(at, 2)[1]; };
const jsonFile = option("--json", null);
const rounds = Number(option("--rounds", 5));
const wanted = new Set(args);
const runs = (...names) => wanted.size === 0 || names.some((name) => wanted.has(name));

const results = [];
const quantile = (values, q) => { const sorted = [...values].sort((a, b) => a - b); return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]; };
const median = (values) => quantile(values, 0.5);
function report(name, values, unit, against, peer) {
  const value = median(values);
  const ratio = peer === undefined ? null : value / median([].concat(peer));
  results.push({ name, value, unit, against, ratio, rounds: values.length, min: Math.min(...values), max: Math.max(...values) });
  console.log(`${name.padEnd(28)} ${value.toFixed(2).padStart(11)} ${unit.padEnd(6)} [${Math.min(...values).toFixed(2)} .. ${Math.max(...values).toFixed(2)}]  ${ratio === null ? "" : `${ratio.toFixed(2)}x `}${against ?? ""}`);
}

const hello = "export default { fetch: () => new Response('hello') }";
const timeOf = (deployment, name) => Date.parse(deployment.stages.find((stage) => stage.name === name).at);
// Stage times carry microseconds, which Date drops.
const micros = (text) => Date.parse(text) * 1000 + Number((/\.\d{3}(\d{3})Z$/.exec(text) || [0, 0])[1]);
const span = (deployment, from, to) => (micros(deployment.stages.find((s) => s.name === to).at) - micros(deployment.stages.find((s) => s.name === from).at)) / 1000;

// wrk's own summary of one second at 8 connections.
function wrk(url, headers, connections = 8) {
  const lua = headers.flatMap((line) => ["-H", line]);
  const out = spawnSync("wrk", ["-t1", `-c${connections}`, "-d2s", "--latency", ...lua, url], { encoding: "utf8", timeout: 20000 }).stdout || "";
  const ms = (text) => { const [, n, unit] = /([\d.]+)(us|ms|s)/.exec(text) || [0, NaN, "ms"]; return Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit]; };
  return { rps: Number((/Requests\/sec:\s+([\d.]+)/.exec(out) || [0, NaN])[1]), p50: ms((/50%\s+(\S+)/.exec(out) || [])[1]), p99: ms((/99%\s+(\S+)/.exec(out) || [])[1]), errors: /Non-2xx/.test(out) };
}

async function nodePeer() {
  const port = await freePort();
  const child = spawn(process.execPath, ["-e", `require("node:http").createServer((q, r) => r.end("hello")).listen(${port}, "127.0.0.1")`], { stdio: "ignore" });
  await until("the peer answers", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok);
  return { url: `http://127.0.0.1:${port}/`, stop: () => child.kill("SIGKILL") };
}

// From exec to the first answer, for a handler that a node process serves.
async function nodeColdStart() {
  const port = await freePort();
  const started = performance.now();
  const child = spawn(process.execPath, ["-e", `require("node:http").createServer((q, r) => r.end("hello")).listen(${port}, "127.0.0.1")`], { stdio: "ignore" });
  await until("it answers", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok, 10000, 1);
  const took = performance.now() - started;
  child.kill("SIGKILL");
  return took;
}

function pgCommits(stack) {
  const script = join(stack.dir, "insert.sql");
  stack.sql("CREATE TABLE IF NOT EXISTS bench_insert (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)");
  writeFileSync(script, "INSERT INTO bench_insert (body) VALUES (repeat('x', 300));\n");
  const bin = execFileSync("sh", ["-c", "ls -d /usr/lib/postgresql/*/bin | tail -n 1"], { encoding: "utf8" }).trim();
  const out = execFileSync(join(bin, "pgbench"), ["-h", stack.pgSockets, "-U", "rd_admin", "-n", "-c", "8", "-j", "1", "-T", "2", "-M", "prepared", "-f", script, "redoubt"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return Number(/tps = ([\d.]+)/.exec(out)[1]);
}

async function benchAccepts(stack) {
  const apps = [];
  for (let i = 0; i < 16; i++) apps.push(await stack.deploy(`accept-${i}`, hello));
  const rates = [], peers = [];
  for (let round = 0; round < rounds; round++) {
    const total = 16 * 8;
    const started = performance.now();
    const answers = await Promise.all(apps.flatMap((app, a) => Array.from({ length: 8 }, (_, i) =>
      stack.request("POST", `/v1/apps/${app.app}/deployments`, { release: app.release, min: 1, max: 1, kind: "scale" }, { "idempotency-key": `bench-${round}-${a}-${i}` }))));
    const good = answers.filter((answer) => answer.status === 202).length;
    rates.push(good / ((performance.now() - started) / 1000));
    if (good < total) console.log(`  (${total - good} of ${total} refused: ${[...new Set(answers.map((a) => a.status))].join(", ")})`);
    peers.push(pgCommits(stack));
    await new Promise((done) => setTimeout(done, 7000)); // the accept limit of an app refills
  }
  report("accepts_per_s", rates, "1/s", "PostgreSQL single-row insert commits, 8 connections", peers);
}

async function benchServing(stack, name, count) {
  const spans = [];
  for (let i = 0; i < count; i++) {
    const made = await stack.deploy(`${name}-${i}`, hello);
    spans.push(span(made.deployment, "accepted", "serving"));
  }
  return spans;
}

async function benchStart() {
  const stack = await Stack.start({ hosts: 1, fsync: "on" });
  try {
    const cold = [];
    for (let i = 0; i < rounds; i++) cold.push(await nodeColdStart());
    await benchServing(stack, "warm-up", 2);
    const warm = await benchServing(stack, "warm", 40);
    report("accept_to_serving_ms_p50", [median(warm)], "ms", "node, exec to first answer", cold);
    report("accept_to_serving_ms_p99", [quantile(warm, 0.99)], "ms", "node, exec to first answer", cold);
    if (runs("accepts_per_s")) await benchAccepts(stack);
    if (runs("idle_instance_mb")) idleMemory(stack);
  } finally {
    await stack.close();
  }
}

async function benchCold() {
  const stack = await Stack.start({ hosts: 1, fsync: "on", agentFlags: ["--pool", "0"] });
  try {
    const peer = [];
    for (let i = 0; i < rounds; i++) peer.push(await nodeColdStart());
    const spans = [];
    for (let i = 0; i < 15; i++) spans.push(span((await stack.deploy(`cold-${i}`, hello)).deployment, "accepted", "serving"));
    report("cold_launch_ms_p50", [median(spans)], "ms", "node, exec to first answer", peer);
  } finally {
    await stack.close();
  }
}

// Memory that one instance alone holds: private pages of each enclave process.
function idleMemory(stack) {
  const sizes = [];
  for (const pid of stack.enclavePids()) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("redoubt-enclave")) continue;
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
      sizes.push((Number(/Private_Dirty:\s+(\d+)/.exec(rollup)[1]) + Number(/Private_Clean:\s+(\d+)/.exec(rollup)[1])) / 1000);
    } catch { /* it ended meanwhile */ }
  }
  const node = spawn(process.execPath, ["-e", "require('node:http').createServer((q, r) => r.end('hello')).listen(0); setTimeout(() => {}, 60000)"], { stdio: "ignore" });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 700);
  const pss = Number(/Pss:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/smaps_rollup`, "utf8"))[1]) / 1000;
  node.kill("SIGKILL");
  if (sizes.length) report("idle_instance_mb", sizes, "MB", "an idle node process serving the same", pss);
}

async function benchInvoke() {
  const stack = await Stack.start({ hosts: 1 });
  const peer = await nodePeer();
  try {
    const made = await stack.deploy("invoked", hello, { open: true });
    const url = `http://127.0.0.1:${stack.ports.apps}/`;
    const headers = [`Host: ${made.app.replace("_", "-")}.localhost`];
    const ours = [], theirs = [];
    wrk(url, headers);
    for (let round = 0; round < rounds; round++) { ours.push(wrk(url, headers)); theirs.push(wrk(peer.url, [])); }
    if (ours.some((o) => o.errors)) console.log("  (some answers were not 2xx)");
    for (const [name, key, unit] of [["invoke_rps", "rps", "1/s"], ["invoke_ms_p50", "p50", "ms"], ["invoke_ms_p99", "p99", "ms"]])
      report(name, ours.map((o) => o[key]), unit, "node http, no proxy, same handler, 8 connections", theirs.map((o) => o[key]));
    const ours64 = [], theirs64 = [];
    for (let round = 0; round < rounds; round++) { ours64.push(wrk(url, headers, 64).rps); theirs64.push(wrk(peer.url, [], 64).rps); }
    report("invoke_rps_c64", ours64, "1/s", "node http, no proxy, same handler, 64 connections", theirs64);
  } finally {
    peer.stop();
    await stack.close();
  }
}

async function benchLinks() {
  const count = 12;
  const stack = await Stack.start({ hosts: 1, agentFlags: ["--pool", "0"] });
  try {
    const memory = () => { const rollup = readFileSync(`/proc/${stack.apiProcess.pid}/smaps_rollup`, "utf8"); return Number(/Private_Dirty:\s+(\d+)/.exec(rollup)[1]); };
    await until("quiet", async () => true);
    const before = memory();
    for (let n = 2; n <= count + 1; n++) await stack.addHost(n);
    await stack.hostsReady(count + 1, 60000);
    report("link_kb", [(memory() - before) / count], "kB", "an idle mutual TLS link with nghttp2, naive arrangement (60.4 kB)", 60.4);
  } finally {
    await stack.close();
  }
}

console.log(`${"name".padEnd(28)} ${"median".padStart(11)} unit   [min .. max]  ratio against`);
if (runs("accepts_per_s", "accept_to_serving_ms_p50", "accept_to_serving_ms_p99", "idle_instance_mb")) await benchStart();
if (runs("cold_launch_ms_p50")) await benchCold();
if (runs("invoke_rps", "invoke_ms_p50", "invoke_ms_p99", "invoke_rps_c64")) await benchInvoke();
if (runs("link_kb")) await benchLinks();
if (jsonFile) writeFileSync(jsonFile, JSON.stringify(results, null, 1) + "\n");
