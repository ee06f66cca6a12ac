// Enclaves, their zygote and their simulated TEE die, alone and together: every app comes back by itself, under a new epoch.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, serving } from "../support/invariants.mjs";

const BOUND_MS = 10000;
const source = "export default { fetch: () => new Response('ok') }";
let stack, made;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  made = [await stack.deploy("first", source), await stack.deploy("second", source)];
});
after(async () => { await stack?.close(); });

const epochs = (name) => stack.sql(`SELECT l.epoch FROM leases l JOIN apps a USING (app_id) JOIN lease_status s USING (instance_id, epoch)
  WHERE a.name = '${name}' AND l.live AND s.phase = 4`).flat().join();
const kill = (pids) => { for (const pid of pids) try { process.kill(pid, "SIGKILL"); } catch { /* gone by itself */ } };

// Kills what victims() names at one moment; both apps serve again, answer, and neither counts as failed.
async function comesBack(victims) {
  const old = [epochs("first"), epochs("second")];
  const pids = victims();
  assert.ok(pids.length > 0);
  kill(pids);
  await until("newer epochs serve", () => ["first", "second"].every((name, i) => epochs(name) && epochs(name) !== old[i]), BOUND_MS);
  for (const { app } of made) await until("it answers", async () => (await stack.invoke(app)).status === 200, BOUND_MS);
  await until("both rollouts are healthy", () => stack.sql("SELECT 1 FROM rollouts r JOIN apps a USING (app_id) WHERE r.state = 2").length === 2, BOUND_MS);
  await until("each serves once", () => serving(stack, "first") === 1 && serving(stack, "second") === 1);
  checkInvariants(stack);
}

test("every enclave", () => comesBack(() => stack.enclavePids()));
for (let round = 1; round <= 3; round++) {
  test(`the zygote and every enclave at once, ${round}`, () => comesBack(() => [...stack.zygotePids(), ...stack.enclavePids()]));
}
test("the simulated TEE with all below it", () => comesBack(() => [...stack.simulatorPids(), ...stack.zygotePids(), ...stack.enclavePids()]));

// The host cannot launch for a while: that is no fault of the releases, which are tried again until it can.
test("a zygote that does not stay up for some seconds", async () => {
  const old = [epochs("first"), epochs("second")];
  const isTriedOften = () => stack.sql("SELECT 1 FROM rollouts JOIN apps USING (app_id) WHERE name = 'first' AND reason->>'summary' ~ '[3-9] launches failed'").length > 0;
  await until("launches failed as often as a new release may", () => { kill([...stack.zygotePids(), ...stack.enclavePids()]); return isTriedOften(); }, 60000);
  await until("newer epochs serve", () => ["first", "second"].every((name, i) => epochs(name) && epochs(name) !== old[i]), 60000);
  for (const { app } of made) await until("it answers", async () => (await stack.invoke(app)).status === 200, BOUND_MS);
  checkInvariants(stack);
});

test("the zygote alone harms nothing that serves", async () => {
  const old = [epochs("first"), epochs("second")];
  const zygotes = stack.zygotePids();
  kill(zygotes);
  for (const { app } of made) assert.equal((await stack.invoke(app)).status, 200);
  await until("another zygote runs", () => stack.zygotePids().some((pid) => !zygotes.includes(pid)), BOUND_MS);
  await stack.deploy("third", source);
  assert.deepEqual([epochs("first"), epochs("second")], old);
  checkInvariants(stack);
});

// What the quoting enclave makes is no evidence any more: noticed at the refill, before any caller asks, and named.
test("a simulated TEE whose quoter is broken makes no blank ready, and log and status say why", async () => {
  const chain = join(stack.dir, "agents", "1", "platform", "pck-chain.pem"), good = readFileSync(chain);
  const status = () => JSON.parse(readFileSync(join(stack.dir, "agents", "1", "status.json"), "utf8"));
  await until("blanks are ready", () => status().blanks > 0 && status().blank_refused === "");
  const restart = () => kill([...stack.simulatorPids(), ...stack.zygotePids()]);
  appendFileSync(chain, "\n".repeat(16 << 10)); // a quote carries it, and is too large then
  restart();
  await until("the status says it", () => status().blanks === 0 && status().blank_refused.startsWith("too_large: evidence of a blank: quote of "));
  assert.match(stack.agent(1).log(), /"event":"blank_failed".*"reason":"too_large"/);
  for (const { app } of made) await stack.answers(app); // what serves goes on
  writeFileSync(chain, good);
  restart();
  await until("blanks are ready again", () => status().blanks > 0 && status().blank_refused === "");
  await stack.deploy("fourth", source);
  checkInvariants(stack);
});
