// Rows 15 and 26: the link between agents and plane loses, repeats, reorders and delays; a host is cut off and comes back.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, converges, launchedOnce, serving } from "../support/invariants.mjs";

const source = "export default { fetch: () => new Response('ok') }";
let stack, link;
before(async () => {
  stack = await Stack.start({ hosts: 1, hasLinkProxies: true });
  link = stack.linkProxies[1];
});
after(async () => { await stack?.close(); });

const redis = (...args) => execFileSync("redis-cli", ["-s", stack.redis, ...args], { encoding: "utf8" });
const lease = (name) => stack.sql(`SELECT l.instance_id, l.epoch, l.job_seq, l.host_id FROM leases l JOIN apps a USING (app_id) WHERE a.name = '${name}' AND l.live`)[0];
const phases = (name) => stack.sql(`SELECT e.body->>'phase', e.body->>'reason', e.body->>'epoch' FROM events e JOIN apps a USING (app_id) WHERE a.name = '${name}' AND e.kind = 'instance' ORDER BY e.xid, e.id`).map((row) => row.join(" ").trim());
const told = (name) => phases(name).filter((phase) => phase.startsWith("serving")).length;
const lines = (pattern) => (stack.agent(1).log().match(pattern) || []).length;
const enclaveOf = async (made) => JSON.parse(Buffer.from((await stack.invoke(made.app)).headers["redoubt-receipt"], "base64url")).claims.instance;

// Deploys over a slow link and drops it at the moment named; whatever was on the way is lost and comes again.
async function survivesDrop(t, name, what, moment) {
  link.delay(200);
  const made = stack.deploy(name, source);
  await until(what, () => lease(name) && moment(lease(name)), 30000, 10);
  link.drop();
  link.delay(0);
  await made;
  await converges(t, 5000, "it serves", () => serving(stack, name) === 1);
  const [, epoch] = lease(name);
  assert.equal(stack.sql(`SELECT 1 FROM leases l JOIN apps a USING (app_id) WHERE a.name = '${name}'`).length, 1, "under its first epoch");
  assert.equal(lines(new RegExp(`"event":"instance_phase","instance":"\\w+","epoch":${epoch},"phase":"launching"`, "g")), 1, "launched once");
  // A machine without time to spare may hold its instance for unhealthy a while; that is told, and so is its end.
  const seen = phases(name).map((phase) => phase.split(" ")[0]).filter((phase, i, all) => phase !== "unhealthy" && !(phase === "serving" && all[i - 1] === "unhealthy"));
  assert.equal(new Set(seen).size, seen.length, `each phase told once: ${phases(name).join(", ")}`);
  checkInvariants(stack);
}

test("row 15: the answer to a job is lost: the job comes twice", (t) =>
  survivesDrop(t, "job-twice", "the job is journaled", ([, , seq]) => lines(new RegExp(`"event":"job","job_seq":${seq},`, "g")) > 0));
test("row 15: a report is lost on the way: it comes late", (t) =>
  survivesDrop(t, "report-late", "the agent has said that it serves", ([, epoch]) => lines(new RegExp(`"epoch":${epoch},"phase":"serving"`, "g")) > 0));
test("row 15: the acknowledgement of a report is lost: the report comes twice", (t) =>
  survivesDrop(t, "report-twice", "it is in PostgreSQL", () => told("report-twice") === 1));

test("row 15: every hint again, newest first, and again after the next ones", async () => {
  const made = await stack.deploy("hinted", source);
  const key = redis("--scan", "--pattern", "jobs:*").split("\n").filter(Boolean)[0];
  const entries = JSON.parse(redis("--json", "XRANGE", key, "-", "+")).map(([, fields]) => fields);
  assert.ok(entries.length >= 4, "there were hints");
  const again = () => { for (const fields of [...entries].reverse()) redis("XADD", key, "*", ...fields); };
  again();
  await stack.deploy("after-hints", source);
  again();
  await until("all were read", async () => (await stack.deploy("after-late-hints", source)) && serving(stack, "after-late-hints") === 1);
  assert.equal((await stack.invoke(made.app)).status, 200);
  assert.equal(lines(/"event":"instance_phase","instance":"\w+","epoch":\d+,"phase":"launching"/g), stack.sql("SELECT 1 FROM leases").length, "a launch a lease");
  launchedOnce(stack);
  checkInvariants(stack);
});

test("row 26: a host is cut off and reassigned; on return its old epoch is stopped, and was never routed to", async (t) => {
  const made = await stack.deploy("moving", source);
  const [instance, oldEpoch, , oldHost] = lease("moving"), oldEnclave = await enclaveOf(made);
  await stack.addHost(2);
  await stack.hostsReady(2);
  link.cut();
  await converges(t, 11000, "it serves elsewhere", () => { const now = lease("moving"); return now && now[3] !== oldHost && serving(stack, "moving") === 1; });
  assert.equal(lease("moving")[0], instance);
  await stack.answers(made.app);
  const newEnclave = await enclaveOf(made);
  assert.notEqual(newEnclave, oldEnclave);
  assert.equal(lines(new RegExp(`"epoch":${oldEpoch},"phase":"stopp`, "g")), 0, "a replicated app keeps running on the host that was cut off");
  checkInvariants(stack);

  link.open();
  await until("the host is back", async () => (await stack.hosts()).some((h) => h.name === "sim-1" && h.link === "up"), 60000);
  await converges(t, 2000, "its old epoch has ended", () => stack.sql(`SELECT 1 FROM lease_status WHERE epoch = ${oldEpoch} AND phase IN (7, 8, 9)`).length > 0);
  for (let i = 0; i < 20; i++) assert.equal(await enclaveOf(made), newEnclave, "only the newest epoch answers");
  await stack.hostsReady(2);
  launchedOnce(stack);
  checkInvariants(stack);
});
