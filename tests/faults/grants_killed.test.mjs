// A process dies by SIGKILL while a grant is on its way: control plane, agent and key service, before and behind each step. The app
// is served afterwards, with the keys and the secret that it had.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, launchedOnce, serving } from "../support/invariants.mjs";

const source = `export default async (request, env) => new Response(env.TOKEN + " " + [...await redoubt.deriveKey("k")].join("."));`;
let stack, app, release, first, count = 1;
before(async () => {
  stack = await Stack.start({ kms: true });
  const trusted = await stack.cli("kms", "trust", await stack.kmsId(), "--yes");
  assert.equal(trusted.code, 0, trusted.stderr);
  await stack.deploy("keeper", source);
  const set = await stack.cli("secrets", "set", "keeper", "TOKEN", { input: "swordfish" });
  assert.equal(set.code, 0, set.stderr);
  ({ app, release } = await stack.deploy("keeper", source));
  // Behind a deployment the instance from before may answer a little longer.
  first = await until("it has the secret", async () => { const { body } = await stack.invoke(app); return /^swordfish \d/.test(body) && body; });
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

// One instance more is wanted: it needs a grant of its own.
async function another() {
  count++;
  await until("the wish is accepted", async () => (await stack.request("POST", `/v1/apps/${app}/deployments`, { release, min: count, max: count, kind: "scale" })).status === 202, 30000);
}
async function allServe() {
  await until(`${count} serve`, () => serving(stack, "keeper") === count, 60000);
  await until("it answers as before", async () => (await stack.invoke(app)).body === first);
  launchedOnce(stack);
  checkInvariants(stack);
}
const attached = () => stack.sql("SELECT 1 FROM host_links JOIN hosts USING (host_id) WHERE host_links.state = 1 AND session = reconciled_session AND hosts.state = 3").length === 1;
async function diesAt(name, point, then) {
  const { signal } = await Promise.race([stack.processes.get(name).exited, new Promise((_, failed) => setTimeout(() => failed(new Error(`${point} was never reached`)), 120000).unref())]);
  assert.equal(signal, "SIGKILL");
  checkInvariants(stack);
  await stack.restart(name, then);
}

for (const [name, points] of [["api", ["grant.given"]], ["agent-1", ["agent.before_grant", "agent.after_grant"]]]) {
  test(`${name} is killed at ${points.join(" and at ")}`, { timeout: 180000 }, async () => {
    await stack.restart(name, `${points[0]}:kill`);
    await stack.apiReady();
    await until("the host is back", attached, 30000);
    await another();
    for (const [i, point] of points.entries()) await diesAt(name, point, i + 1 < points.length ? `${points[i + 1]}:kill` : "");
    await allServe();
  });
}

// Stopped, it holds the question; killed, it never answers.
for (const [part, name] of [[2, "what holds the root"], [3, "what serves"]]) {
  test(`the key service: ${name} is killed with a grant asked`, { timeout: 180000 }, async () => {
    const launches = () => stack.agent(1).log().split('"phase":"launching"').length, known = launches();
    const old = stack.kmsPids();
    assert.equal(old.length, 4);
    process.kill(old[3], "SIGSTOP");
    await another();
    await until("the instance waits for its grant", () => launches() > known, 30000);
    process.kill(old[part], "SIGKILL");
    if (part !== 3) process.kill(old[3], "SIGCONT");
    await until("it is another process", () => stack.kmsPids().length === 4 && stack.kmsPids()[0] !== old[0], 30000);
    await allServe();
  });
}
