// Row 39: the agent's journal is damaged on disk. What runs goes on under its epoch, new work is refused until somebody has
// looked and restarted the agent.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, serving } from "../support/invariants.mjs";

let stack;
before(async () => { stack = await Stack.start({ hosts: 1 }); });
after(async () => { await stack?.close(); });

const source = "export default { fetch: () => new Response('ok') }";
const leases = () => stack.sql("SELECT l.instance_id, l.epoch FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'kept' AND l.live");

test("row 39: a flipped byte is found; the instance serves on; new work waits for a restart", async () => {
  const made = await stack.deploy("kept", source);
  const before_ = leases();
  stack.agent().signal("SIGKILL");
  await stack.agent().exited;
  const folder = join(stack.dir, "agents", "1");
  const journal = readFileSync(join(folder, "journal"));
  journal[120] ^= 1;
  writeFileSync(join(folder, "journal"), journal);

  await stack.restart("agent-1");
  await until("the damage is found", () => stack.agent().log().includes("journal_damaged"));
  await until("it serves under the new journal", () => serving(stack, "kept") === 1 && stack.agent().log().includes('"phase":"serving"'));
  await until("it answers again", async () => (await stack.invoke(made.app)).status === 200);
  assert.deepEqual(leases(), before_, "the same lease");
  assert.ok(readdirSync(folder).some((name) => name.startsWith("journal.damaged-")), "the damaged file is kept");

  const second = stack.deploy("later", source);
  await until("new work is refused", () => stack.agent().log().includes('"phase":"refused","reason":"spool_corrupt"'), 20000);
  await stack.restart("agent-1");
  await second;
  await until("new work serves", () => serving(stack, "later") === 1);
  assert.deepEqual(leases(), before_, "still the same lease");
  checkInvariants(stack);
});
