// Rows 10, 11 and 15: Redis is wiped, loses its last second, and delivers twice and in the wrong order.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync, readdirSync, truncateSync, statSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, serving } from "../support/invariants.mjs";

let stack;
before(async () => { stack = await Stack.start({ hosts: 2 }); });
after(async () => { await stack?.close(); });

const source = "export default { fetch: (request) => new Response('ok ' + new URL(request.url).pathname) }";
const redis = (...args) => execFileSync("redis-cli", ["-s", stack.redis, ...args], { encoding: "utf8" });

test("row 10: killed and started empty: what serves goes on, what is new is placed", async () => {
  const first = await stack.deploy("before-wipe", source);
  await stack.processes.get("redis").kill();
  rmSync(join(stack.dir, "redis"), { recursive: true, force: true });
  assert.equal((await stack.invoke(first.app, "/still")).status, 200);
  const accepted = await stack.cli("deploy", join(stack.dir, "src-before-wipe"), "--yes", "--detach", "--json");
  assert.equal(accepted.code, 0, accepted.stderr);
  const { mkdirSync } = await import("node:fs");
  mkdirSync(join(stack.dir, "redis"), { mode: 0o700 });
  stack.processes.get("redis").start();
  await stack.deploy("after-wipe", source);
  await until("both serve", () => serving(stack, "after-wipe") === 1 && serving(stack, "before-wipe") === 1);
  checkInvariants(stack);
});

test("row 11: the last second is lost", async () => {
  await stack.processes.get("redis").kill();
  const folder = join(stack.dir, "redis", "appendonlydir");
  for (const name of readdirSync(folder).filter((n) => n.endsWith(".incr.aof"))) {
    const path = join(folder, name);
    truncateSync(path, Math.max(0, statSync(path).size - 200));
  }
  stack.processes.get("redis").start();
  await until("Redis answers", () => redis("ping").includes("PONG"));
  await stack.deploy("after-loss", source);
  checkInvariants(stack);
});

test("row 15: every hint again, newest first: nothing is launched twice", async () => {
  const made = await stack.deploy("hinted", source);
  const pids = stack.enclavePids().length;
  for (const key of redis("--scan", "--pattern", "jobs:*").split("\n").filter(Boolean)) {
    const lines = redis("XRANGE", key, "-", "+").split("\n");
    const entries = [];
    for (const line of lines) {
      if (/^\d+-\d+$/.test(line)) entries.push([]);
      else if (entries.length) entries.at(-1).push(line);
    }
    for (const fields of entries.reverse()) {
      const pairs = fields.filter((f, i) => i < fields.length - (fields.length % 2));
      if (pairs.length) redis("XADD", key, "*", ...pairs);
    }
  }
  for (let i = 0; i < 20; i++) assert.equal((await stack.invoke(made.app, `/${i}`)).status, 200);
  await stack.deploy("after-hints", source);
  checkInvariants(stack);
  assert.ok(stack.enclavePids().length <= pids + 3, "no process was launched for an old hint");
});
