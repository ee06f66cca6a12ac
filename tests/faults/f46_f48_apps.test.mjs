// Rows 46 and 48: deployments that never start or ask for too much, and apps that are deleted in the middle of everything.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, serving } from "../support/invariants.mjs";

const source = "export default { fetch: () => new Response('ok') }";
let stack, neighbour;
before(async () => {
  stack = await Stack.start({ hosts: 2 });
  neighbour = await stack.deploy("neighbour", source);
});
after(async () => { await stack?.close(); });

const granted = (name) => stack.sql(`SELECT 1 FROM leases l JOIN apps a USING (app_id) WHERE a.name = '${name}'`).length;
const remove = (id) => stack.request("DELETE", `/v1/apps/${id}`, undefined, { "if-match": "*" });
const used = () => stack.sql("SELECT sum(inst_used), sum(cpu_m_used), sum(mem_used) FROM org_quota")[0];

test("row 46: a release that always crashes is given up after a few launches; its neighbours do not notice", async () => {
  await assert.rejects(stack.deploy("crashing", "throw new Error('never')"));
  await until("it is given up", () => stack.sql("SELECT 1 FROM rollouts r JOIN apps a USING (app_id) WHERE a.name = 'crashing' AND r.state = 6").length === 1, 30000);
  const tries = granted("crashing");
  assert.ok(tries <= 3, `${tries} launches`);
  const [[reason]] = stack.sql("SELECT r.reason->>'summary' FROM rollouts r JOIN apps a USING (app_id) WHERE a.name = 'crashing'");
  assert.match(reason, /engine_load.*deploy a release that starts/);
  await stack.deploy("beside", source);
  assert.equal((await stack.invoke(neighbour.app)).status, 200);
  assert.equal(granted("crashing"), tries);
  await until("no evaluation is left", () => stack.sql("SELECT 1 FROM evaluations").length === 0);
  await stack.deploy("crashing", source); // a release that starts is all it takes
  checkInvariants(stack);
});

test("row 46: a million instances are refused, and nobody notices", async () => {
  const answer = await stack.request("POST", `/v1/apps/${neighbour.app}/deployments`, { release: neighbour.release, min: 1000000, max: 1000000, kind: "scale" }, { "idempotency-key": "million" });
  assert.ok([409, 422].includes(answer.status), `${answer.status} ${JSON.stringify(answer.body)}`);
  assert.equal((await stack.invoke(neighbour.app)).status, 200);
  checkInvariants(stack);
});

test("row 48: deleted while it is made, launched, scaled: it ends deleted, and its quota is given back once", async () => {
  await until("all is settled", () => stack.sql("SELECT 1 FROM rollouts WHERE state = 1").length === 0);
  const before_ = used();
  for (let round = 0; round < 6; round++) {
    const name = `gone-${round}`;
    const made = stack.deploy(name, source, { instances: { min: 2, max: 2 } }).catch(() => null);
    const app = await until("it has an id", () => stack.sql(`SELECT encode(app_id, 'hex') FROM apps WHERE name = '${name}' AND state = 1`)[0]?.[0]);
    if (round % 3 > 0) await until("it is placed", () => granted(name) > 0);
    if (round % 3 > 1) await until("it serves", () => serving(stack, name) > 0);
    const apps = (await stack.rest("GET", "/v1/apps?limit=100")).items;
    const id = apps.find((one) => one.name === name).id;
    const scale = (min, key) => stack.request("POST", `/v1/apps/${id}/deployments`, { release: neighbour.release, min, max: min, kind: "scale" }, { "idempotency-key": `${name}-${key}` });
    const [, deleted, again] = await Promise.all([scale(1, "a"), remove(id), remove(id), scale(3, "b")]);
    assert.ok([deleted, again].some((answer) => answer.status < 300), `${deleted.status} ${again.status}`);
    assert.ok([deleted, again].every((answer) => answer.status < 300 || [404, 409].includes(answer.status)), `${deleted.status} ${again.status}`);
    await made;
    assert.ok(app);
  }
  await until("nothing of them lives", () => stack.sql("SELECT 1 FROM leases l JOIN apps a USING (app_id) WHERE a.name LIKE 'gone-%' AND (live OR held)").length === 0, 30000);
  await until("the quota is back", () => String(used()) === String(before_), 15000);
  assert.equal(stack.sql("SELECT 1 FROM apps WHERE name LIKE 'gone-%' AND state = 1").length, 0);
  checkInvariants(stack);
});
