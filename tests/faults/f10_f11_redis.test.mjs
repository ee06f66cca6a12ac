// Rows 10 and 11: Redis is wiped, and loses its last second.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, readdirSync, truncateSync, statSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, converges, serving } from "../support/invariants.mjs";

let stack;
before(async () => { stack = await Stack.start({ hosts: 2 }); });
after(async () => { await stack?.close(); });

const source = "export default { fetch: (request) => new Response('ok ' + new URL(request.url).pathname) }";
const redis = (...args) => execFileSync("redis-cli", ["-s", stack.redis, ...args], { encoding: "utf8" });

test("row 10: killed and started empty: what serves goes on, what is new is placed", async (t) => {
  const first = await stack.deploy("before-wipe", source);
  await stack.processes.get("redis").kill();
  rmSync(join(stack.dir, "redis"), { recursive: true, force: true });
  assert.equal((await stack.invoke(first.app, "/still")).status, 200);
  const accepted = await stack.cli("deploy", join(stack.dir, "src-before-wipe"), "--yes", "--detach", "--json");
  assert.equal(accepted.code, 0, accepted.stderr);
  const { mkdirSync } = await import("node:fs");
  mkdirSync(join(stack.dir, "redis"), { mode: 0o700 });
  stack.processes.get("redis").start();
  await converges(t, 10000, "what was accepted meanwhile serves", () => stack.sql("SELECT 1 FROM rollouts WHERE state = 1").length === 0 && serving(stack, "before-wipe") === 1);
  await stack.deploy("after-wipe", source);
  checkInvariants(stack);
});

test("row 11: the last second is lost, and a job's hint with it", async (t) => {
  const folder = join(stack.dir, "redis", "appendonlydir");
  const log = () => join(folder, readdirSync(folder).filter((name) => name.endsWith(".incr.aof")).sort().at(-1));
  const hints = () => redis("--scan", "--pattern", "jobs:*").split("\n").filter(Boolean).reduce((sum, key) => sum + Number(redis("XLEN", key)), 0);
  stack.scheduler().signal("SIGSTOP");
  const dir = join(stack.dir, "src-before-wipe");
  assert.equal((await stack.cli("deploy", dir, "--yes", "--detach", "--json")).code, 0);
  stack.apiProcess.signal("SIGSTOP"); // it shall not read the hint
  const size = statSync(log()).size, told = hints();
  stack.scheduler().signal("SIGCONT");
  await until("the hint is in the log", () => hints() > told && statSync(log()).size > size, 10000, 10);
  stack.scheduler().signal("SIGSTOP"); // nor shall it be told again yet
  await stack.processes.get("redis").kill();
  truncateSync(log(), size);
  stack.processes.get("redis").start();
  await until("Redis answers", () => redis("ping").includes("PONG"));
  assert.equal(hints(), told, "the hint is gone");
  stack.apiProcess.signal("SIGCONT");
  stack.scheduler().signal("SIGCONT");
  await converges(t, 10000, "it serves", () => stack.sql("SELECT 1 FROM rollouts WHERE state = 1").length === 0 && serving(stack, "before-wipe") === 1);
  await stack.deploy("after-loss", source);
  checkInvariants(stack);
});
