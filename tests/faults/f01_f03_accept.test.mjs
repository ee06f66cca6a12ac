// Rows 1-3: a deploy is accepted once and for ever, or not at all.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants } from "../support/invariants.mjs";

let stack, made;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  made = await stack.deploy("accepting", "export default { fetch: () => new Response('ok') }");
});
after(async () => { await stack?.close(); });

const count = () => Number(stack.sql("SELECT count(*) FROM deployments")[0][0]);
const body = () => ({ release: made.release, min: 1, max: 1, kind: "scale" });
const accept = (key, api = "") => stack.request("POST", `${api}/v1/apps/${made.app}/deployments`, body(), { "idempotency-key": key });

test("row 1: API killed before commit leaves nothing, and a retry is accepted", async () => {
  const before_ = count();
  await stack.restart("api", "accept.before_commit:kill");
  await stack.apiReady();
  await assert.rejects(accept("row-1"));
  await stack.restart("api");
  await stack.apiReady();
  assert.equal(count(), before_);
  assert.equal((await accept("row-1")).status, 202);
  assert.equal(count(), before_ + 1);
});

test("row 2: API killed after commit, before the reply: the key answers with the same id", async () => {
  const before_ = count();
  await stack.restart("api", "accept.after_commit:kill");
  await stack.apiReady();
  await assert.rejects(accept("row-2"));
  await stack.restart("api");
  await stack.apiReady();
  assert.equal(count(), before_ + 1);
  const again = await accept("row-2");
  assert.equal(again.status, 202);
  assert.equal(count(), before_ + 1);
  assert.equal(again.body.id, stack.sql("SELECT resource FROM idempotency WHERE key = 'row-2'")[0][0], "the id that was committed");
  assert.equal((await stack.request("GET", `/v1/deployments/${again.body.id}`)).status, 200);
  assert.equal((await accept("row-2")).body.id, again.body.id);
});

test("row 3: two identical POSTs race on two API processes: one deployment", async () => {
  const second = await stack.addApi(2);
  for (let round = 0; round < 5; round++) {
    const before_ = count();
    const answers = await Promise.all([accept(`row-3-${round}`), accept(`row-3-${round}`, second), accept(`row-3-${round}`), accept(`row-3-${round}`, second)]);
    assert.equal(count(), before_ + 1);
    const ids = new Set(answers.filter((a) => a.status === 202).map((a) => a.body.id));
    assert.equal(ids.size, 1);
    assert.ok(answers.every((a) => a.status === 202 || a.status === 409), answers.map((a) => a.status).join());
  }
  checkInvariants(stack);
});

test("a key with another body is refused", async () => {
  const answer = await stack.request("POST", `/v1/apps/${made.app}/deployments`, { ...body(), max: 2 }, { "idempotency-key": "row-2" });
  assert.equal(answer.status, 422);
});
