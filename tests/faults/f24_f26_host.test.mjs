// Rows 24 and 26: the agent dies at each step of a launch; a host is cut off and comes back.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, serving } from "../support/invariants.mjs";

let stack;
before(async () => { stack = await Stack.start({ hosts: 1 }); });
after(async () => { await stack?.close(); });

const source = "export default { fetch: () => new Response('ok') }";
const hostOf = (name) => stack.sql(`SELECT l.host_id FROM leases l JOIN apps a USING (app_id) WHERE a.name = '${name}' AND l.live`)[0][0];

for (const point of ["agent.before_journal", "agent.after_journal", "agent.before_launch", "agent.after_launch", "agent.before_event"]) {
  test(`row 24: agent killed at ${point}`, async (t) => {
    const stack = await Stack.start({ hosts: 1 }); // its own: a host that comes back too often is quarantined
    t.after(() => stack.close());
    const name = "k-" + point.replace(/[^a-z]/g, "-");
    await stack.restart("agent-1", `${point}:kill`);
    const made = stack.deploy(name, source);
    await Promise.race([stack.agent().exited, new Promise((_, failed) => setTimeout(() => failed(new Error(`${point} was never reached`)), 30000).unref())]);
    await stack.restart("agent-1");
    await made;
    await until("it serves", () => serving(stack, name) === 1);
    checkInvariants(stack);
  });
}

test("row 24: an agent killed while serving adopts its instances: same epoch, no second launch", async () => {
  const made = await stack.deploy("adopted", source);
  const before_ = stack.sql("SELECT l.instance_id, l.epoch FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'adopted'");
  const receipt = async () => JSON.parse(Buffer.from((await stack.invoke(made.app)).headers["redoubt-receipt"], "base64url")).claims.instance;
  const key = await receipt();
  await stack.restart("agent-1");
  await until("it answers again", async () => (await stack.invoke(made.app)).status === 200);
  assert.deepEqual(stack.sql("SELECT l.instance_id, l.epoch FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'adopted'"), before_);
  assert.equal(await receipt(), key, "the very same enclave answers");
  checkInvariants(stack);
});

test("enclave killed: a new epoch serves by itself", async () => {
  const made = await stack.deploy("crashing", "export default { fetch: () => new Response('ok') }");
  const [[instance, epoch]] = stack.sql("SELECT l.instance_id, l.epoch FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'crashing' AND l.live");
  const before_ = new Set(stack.enclavePids());
  // Every instance of this host dies; each app comes back.
  assert.ok(before_.size > 0);
  for (const pid of before_) { try { process.kill(pid, "SIGKILL"); } catch { /* gone */ } }
  await until("a newer epoch serves", () => {
    const rows = stack.sql("SELECT l.epoch FROM leases l JOIN apps a USING (app_id) JOIN lease_status s USING (instance_id, epoch) WHERE a.name = 'crashing' AND l.live AND s.phase = 4");
    return rows.length === 1 && rows[0][0] !== epoch;
  }, 40000);
  assert.ok(instance);
  await until("and answers", async () => (await stack.invoke(made.app)).status === 200);
  checkInvariants(stack);
});

test("row 26: a host is cut off, its instance moves, and on return the old epoch is stopped and never routed to", async () => {
  const made = await stack.deploy("moving", source);
  const old = hostOf("moving");
  await stack.addHost(2);
  await stack.hostsReady(2);
  stack.agent(1).signal("SIGSTOP");
  try {
    await until("the instance moved", () => hostOf("moving") !== old && serving(stack, "moving") === 1, 40000);
    await until("and answers", async () => (await stack.invoke(made.app)).status === 200);
    checkInvariants(stack);
  } finally {
    stack.agent(1).signal("SIGCONT");
  }
  await until("the old epoch ended", () => Number(stack.sql("SELECT count(*) FROM leases l JOIN lease_status s USING (instance_id, epoch) JOIN apps a USING (app_id) WHERE a.name = 'moving' AND NOT l.live AND s.phase IN (7, 8, 9)")[0][0]) >= 1, 30000);
  const keys = new Set();
  for (let i = 0; i < 20; i++) {
    const answer = await stack.invoke(made.app);
    assert.equal(answer.status, 200);
    keys.add(JSON.parse(Buffer.from(answer.headers["redoubt-receipt"], "base64url")).claims.instance);
  }
  assert.equal(keys.size, 1, "one enclave answers");
  checkInvariants(stack);
});
