// Every registered fail point (common/base/failpoints.def): a process dies there by SIGKILL while an app is deployed; after its next
// start everything converges, once. Rows 1, 2, 4, 5, 9, 24 and 37 of the fault matrix; a new point is walked without a line here.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, Stack, until } from "../support/stack.mjs";
import { checkInvariants, launchedOnce, serving, converges } from "../support/invariants.mjs";

const ROWS = {
  "accept.before_commit": "row 1", "accept.after_commit": "row 2", "plan.evaluated": "row 4", "plan.before_commit": "row 5", "plan.after_commit": "row 5",
  publish: "row 9", "status.before_commit": "row 37", "status.after_commit": "row 37",
};
const PROCESSES = { API: "api", scheduler: "scheduler-1", agent: "agent", KMS: "agent" };
const BOUND_MS = 5000;

const text = readFileSync(join(ROOT, "common/base/failpoints.def"), "utf8");
// A deployment reaches all but these, which collateral_refresh.test.mjs and test_kms.c in tests/integration and grants_killed.test.mjs walk.
const ELSEWHERE = ["refresh.fetched", "refresh.adopted", "kms.before_state", "kms.after_state", "grant.given", "agent.before_grant", "agent.after_grant"];
const points = [...text.matchAll(/^RD_FAILPOINT\(\w+,\s+"([^"]+)",\s+"(\w+): ([^"]+)"\)/gm)].map(([, name, where, what]) => ({ name, where, what }));

test("the list was read whole", () => {
  assert.equal(points.length, text.match(/^RD_FAILPOINT\(/gm).length);
  for (const { name, where } of points) assert.ok(PROCESSES[where], `${name} is in a process that this test knows: ${where}`);
});

const source = "export default { fetch: () => new Response('ok') }";
let stack;
// All apps stay: a machine of two cores would be full by them, and a full host gets no work to die at.
before(async () => { stack = await Stack.start({ hosts: 2, agentFlags: ["--cpu-m", "20000"] }); });
after(async () => { isOver = true; await stack?.close(); });

const sessions = () => Number(stack.sql("SELECT sum(session) FROM host_links")[0][0]);
const areAttached = () => stack.sql("SELECT 1 FROM host_links JOIN hosts USING (host_id) WHERE host_links.state = 1 AND session = reconciled_session AND hosts.state = 3").length === 2;

// Deploys until it succeeds; what is refused or cut meanwhile is the point of it.
let isOver = false, lastRefusal;
async function deploysAtLast(name) {
  for (;;) {
    try { return await stack.deploy(name, source, { instances: { min: 2, max: 2 } }); } catch (error) {
      if (isOver) throw error;
      lastRefusal = error.message.slice(0, 300);
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

// What a point that nobody came to is to be explained by: one line, for it may be all that is left of a run elsewhere.
const facts = (app, process_) => JSON.stringify({
  hosts: stack.sql("SELECT i.name, h.state, k.state, session, reconciled_session, used_cpu_m, granted_cpu_m, coalesce(m.mark, 0) FROM hosts h JOIN host_identity i USING (host_id) JOIN host_links k USING (host_id) LEFT JOIN host_marks m USING (host_id) ORDER BY 1"),
  leases: stack.sql(`SELECT i.name, l.epoch, l.live, l.want, s.phase FROM leases l JOIN apps a USING (app_id) JOIN host_identity i USING (host_id) LEFT JOIN lease_status s USING (instance_id, epoch) WHERE a.name = '${app}'`),
  deployments: stack.sql(`SELECT d.kind, d.gen, d.min, d.at FROM deployments d JOIN apps a USING (app_id) WHERE a.name = '${app}'`), lastRefusal,
  log: stack.processes.get(process_).log().split("\n").slice(-6),
});

function dies(victim, name, why) {
  let timer;
  const late = new Promise((_, failed) => { timer = setTimeout(() => failed(new Error(`${name} was never reached: ${why()}`)), 120000); });
  return Promise.race([victim.exited, late]).finally(() => clearTimeout(timer));
}

for (const [i, { name, where, what }] of points.filter((p) => !ELSEWHERE.includes(p.name)).entries()) {
  test(`${ROWS[name] || (where === "agent" ? "row 24" : "walk")}: ${name}: ${what}`, { timeout: 240000 }, async (t) => {
    const app = `walked-${i}`, process_ = where === "agent" ? `agent-${i % 2 + 1}` : PROCESSES[where]; // in turn: a host that comes back too often is quarantined
    const before_ = sessions();
    const victim = await stack.restart(process_, `${name}:kill`);
    if (where === "agent") await until("its host is back", () => sessions() > before_ && areAttached(), 60000); // or both instances go to the other; an agent whose links to a killed API lasted less than 2 s waits longer each time
    const made = deploysAtLast(app), death = dies(victim, name, () => facts(app, process_));
    // The scheduler may look before it has heard that the host is back: then all of the app is elsewhere, and another one brings work.
    let more = made;
    if (where === "agent") {
      for (let k = 1; k <= 2 && await Promise.race([death, more.then(() => null)]) === null; k++) {
        t.diagnostic(`nothing came there: ${facts(app, process_)}`);
        more = deploysAtLast(`${app}-${k}`);
      }
    }
    assert.equal((await death).signal, "SIGKILL");
    checkInvariants(stack);
    await stack.restart(process_);
    const { app: id } = await made;
    await more;
    await converges(t, BOUND_MS, "it serves twice", () => serving(stack, app) === 2);
    await until("it answers", async () => (await stack.invoke(id)).status === 200);
    assert.equal(Number(stack.sql(`SELECT count(*) FROM leases l JOIN apps a USING (app_id) WHERE a.name = '${app}' AND live`)[0][0]), 2);
    launchedOnce(stack);
    checkInvariants(stack);
  });
}
