// Row 60, short: API, scheduler, agents, enclaves and Redis are killed at random moments while apps are deployed, scaled and called.
// The seed is printed; REDOUBT_SEED replays the order of the victims.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, converges, launchedOnce, serving } from "../support/invariants.mjs";

const ROUNDS = 14, BOUND_MS = 15000;
const seed = Number(process.env.REDOUBT_SEED || Date.now() % 2 ** 31);
const source = "export default { fetch: () => new Response('ok') }";
let stack;
before(async () => { stack = await Stack.start({ hosts: 2, schedulers: 2 }); });
after(async () => { await stack?.close(); });

// mulberry32
function randomOf(state) {
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

test("killed at any moment, everything converges and nothing accepted is lost", { timeout: 300000 }, async (t) => {
  t.diagnostic(`seed ${seed}`);
  const random = randomOf(seed), accepted = [];
  const made = [await stack.deploy("one", source, { instances: { min: 2, max: 2 } }), await stack.deploy("two", source)];
  let runs = true;
  const traffic = (async () => {
    for (let i = 0; runs; i++) {
      const { app, release } = made[i % 2];
      const answer = await stack.request("POST", `/v1/apps/${app}/deployments`, { release, min: 1 + i % 2, max: 2, kind: "scale" }, { "idempotency-key": `soup-${i}` }).catch(() => null);
      if (answer?.status === 202) accepted.push(answer.body.id);
      await stack.invoke(app, "/", { timeout: 3000 }).catch(() => null);
      await new Promise((done) => setTimeout(done, 150));
    }
  })();
  for (let round = 0; round < ROUNDS; round++) {
    await new Promise((done) => setTimeout(done, random(1200)));
    const victim = ["api", "scheduler-1", "scheduler-2", "agent-1", "agent-2", "redis", "enclave"][random(7)];
    t.diagnostic(`kills ${victim}`);
    const enclaves = stack.enclavePids();
    if (victim !== "enclave") await stack.processes.get(victim).restart();
    else if (enclaves.length) try { process.kill(enclaves[random(enclaves.length)], "SIGKILL"); } catch { /* gone by itself */ }
    checkInvariants(stack);
  }
  runs = false;
  await traffic;
  await stack.apiReady();
  for (const { app, release } of made)
    await until("the last wish is accepted", async () => (await stack.request("POST", `/v1/apps/${app}/deployments`, { release, min: 2, max: 2, kind: "scale" }, { "idempotency-key": `last-${app}` })).status === 202);
  await converges(t, BOUND_MS, "both serve twice", () => serving(stack, "one") === 2 && serving(stack, "two") === 2);
  for (const { app } of made) await until("it answers", async () => (await stack.invoke(app)).status === 200);
  await stack.hostsReady(2);
  assert.ok(accepted.length > 0);
  for (const id of accepted) assert.equal((await stack.request("GET", `/v1/deployments/${id}`)).status, 200, `I1: ${id}`);
  launchedOnce(stack);
  checkInvariants(stack);
});
