// The quick start as a person uses it: Ctrl-C, a second start that keeps the data, kill -9, a taken port, no terminal.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn, execFileSync, execFile } from "node:child_process";
import { createServer } from "node:net";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { BIN, ROOT, freePort } from "../support/stack.mjs";

const READY_MS = 90000;
let dir, state, socketsDir, port;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "rd quick "));
  chmodSync(dir, 0o755); // the account that PostgreSQL runs under passes through
  state = join(dir, "state folder");
  socketsDir = mkdtempSync(join(tmpdir(), "rdq-"));
  port = await freePort(3); // the API's, the apps' and the links'
});

after(() => {
  for (const pid of processes()) try { process.kill(pid, "SIGKILL"); } catch { /* it has ended */ }
  for (const folder of [dir, socketsDir]) rmSync(folder, { recursive: true, force: true });
});

// The processes that know the state folder or its sockets, by their command lines.
function processes() {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid).filter((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return line.includes(state + "/") || line.includes(socketsDir + "/");
    } catch { return false; }
  });
}

function sockets() {
  const below = (folder) => readdirSync(folder, { withFileTypes: true }).flatMap((entry) => entry.isDirectory() ? below(join(folder, entry.name)) : entry.isSocket() ? [join(folder, entry.name)] : []);
  return [state, socketsDir].filter((folder) => existsSync(folder)).flatMap(below);
}

class QuickStart {
  constructor(...flags) {
    this.output = "";
    const env = { ...process.env, REDOUBT_BUILD_DIR: dirname(BIN), REDOUBT_RUN_DIR: socketsDir };
    for (const name of ["REDOUBT_PROFILE", "REDOUBT_API", "REDOUBT_TOKEN"]) delete env[name];
    this.child = spawn(join(ROOT, "deploy", "quickstart"), ["--no-install", "--state", state, "--hosts", "1", ...flags], { env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (data) => { this.output += data; this.look?.(); });
    this.exited = once(this.child, "exit").then(([code, signal]) => { this.look?.(); return code ?? signal; });
  }
  // Until a line is there, or it has ended.
  async says(pattern) {
    const timer = setTimeout(() => this.child.kill("SIGTERM"), READY_MS);
    await Promise.race([this.exited, new Promise((done) => { this.look = () => { if (pattern.test(this.output)) done(); }; this.look(); })]);
    clearTimeout(timer);
    assert.match(this.output, pattern);
    return this;
  }
  // As the terminal does it: to the whole group.
  interrupt() { process.kill(-this.child.pid, "SIGINT"); return this.exited; }
}

const RUNNING = /^Running\. Ctrl-C/m;
const cli = (...args) => promisify(execFile)(join(BIN, "redoubt"), [...args, "--profile", join(state, "profile.json")], { timeout: 60000 });

test("Ctrl-C stops all of it: exit 130, no process, no socket; off a terminal no escape sequence", async () => {
  const run = await new QuickStart("--port", String(port)).says(RUNNING);
  assert.ok(processes().length >= 4, "it runs");
  await cli("deploy", join(ROOT, "examples", "echo"), "--yes");
  assert.equal(await run.interrupt(), 130);
  assert.match(run.output, /everything is stopped; the data is kept/);
  assert.doesNotMatch(run.output, /[\x00-\x08\x0b-\x1f\x7f]/);
  assert.deepEqual(processes(), []);
  assert.deepEqual(sockets(), []);
});

test("a part that ends while all runs ends the run, by its name", async () => {
  const run = await new QuickStart().says(RUNNING);
  const [scheduler] = processes().filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0].endsWith("redoubt-scheduler"));
  process.kill(Number(scheduler), "SIGKILL");
  assert.equal(await run.exited, 1);
  assert.match(run.output, /scheduler ended/);
  assert.deepEqual(processes(), []);
});

test("a second start keeps the data; its commands work as they are printed; kill -9 leaves nothing that stops the next", async () => {
  const run = await new QuickStart().says(RUNNING);
  await cli("deployments", "list", "echo");
  await cli("deploy", join(ROOT, "examples", "echo"), "--yes");
  assert.match((await cli("invoke", "echo", "--data", "kept")).stdout, /"text":"kept"/);
  const printed = run.output.split("\n").filter((line) => /^ +\S.*redoubt (invoke|verify) /.test(line) && !line.includes("try:"));
  assert.equal(printed.length, 2, run.output);
  const env = { ...process.env };
  for (const name of Object.keys(env)) if (name.startsWith("REDOUBT_")) delete env[name];
  for (const line of printed) execFileSync("bash", ["-c", line], { cwd: ROOT, env, stdio: "ignore", timeout: 60000 });
  run.child.kill("SIGKILL");
  await run.exited;
  assert.ok(processes().length >= 4, "its children outlived it");
});

test("the start after kill -9 cleans up; with its port taken it says so or takes another, and the hosts follow", async () => {
  const first = await new QuickStart().says(RUNNING);
  await first.interrupt();
  const other = createServer().listen(port, "127.0.0.1");
  await once(other, "listening");
  const refused = new QuickStart("--port", String(port));
  assert.equal(await refused.exited, 1);
  assert.match(refused.output, new RegExp(`port ${port} is in use`));
  const moved = await new QuickStart().says(RUNNING);
  assert.doesNotMatch(moved.output, new RegExp(`:${port}\\b`));
  const [agent] = readFileSync(join(state, "pids"), "utf8").trim().split("\n").slice(-1).map((line) => Number(line.split(" ")[0]));
  process.kill(agent, "SIGKILL");
  assert.equal(await moved.exited, 1, "a part that ends ends the run");
  assert.match(moved.output, /error: agent-1 ended/);
  other.close();
  assert.deepEqual(processes(), []);
  assert.ok(!existsSync(join(state, "pids")));
});
