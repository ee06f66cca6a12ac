// Row 24, past its launch: an agent that is killed while instances serve adopts them (its steps before that: failpoints).
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants } from "../support/invariants.mjs";

let stack;
before(async () => { stack = await Stack.start({ hosts: 1 }); });
after(async () => { await stack?.close(); });

const source = "export default { fetch: () => new Response('ok') }";

test("row 24: an agent killed while serving adopts its instances: same epoch, no second launch", async () => {
  const made = await stack.deploy("adopted", source);
  const before_ = stack.sql("SELECT l.instance_id, l.epoch FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'adopted'");
  const receipt = async () => JSON.parse(Buffer.from((await stack.invoke(made.app)).headers["redoubt-receipt"], "base64url")).claims.instance;
  const key = await receipt();
  await stack.restart("agent-1");
  await stack.answers(made.app);
  assert.deepEqual(stack.sql("SELECT l.instance_id, l.epoch FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'adopted'"), before_);
  assert.equal(await receipt(), key, "the very same enclave answers");
  checkInvariants(stack);
});
