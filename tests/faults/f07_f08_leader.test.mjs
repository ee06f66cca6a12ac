// Rows 4, 7 and 8: of two schedulers the leader is killed, or paused inside a plan and woken when another leads.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, converges, serving } from "../support/invariants.mjs";

const source = "export default { fetch: () => new Response('ok') }";
let stack;
before(async () => { stack = await Stack.start({ hosts: 2 }); });
after(async () => { await stack?.close(); });

const fence = () => stack.sql("SELECT epoch, holder FROM shard_fence")[0];
const leads = (n, times) => until(`scheduler ${n} leads`, () => (stack.scheduler(n).log().match(/"event":"leading"/g) || []).length >= times, 20000);

test("rows 7 and 8: a leader paused inside a plan wakes up deposed and writes nothing", async () => {
  await stack.restart("scheduler-1", "plan.before_commit:sleep:1400");
  await leads(1, 2);
  stack.startScheduler(2);
  const made = stack.deploy("paused", source);
  await until("a plan with a lease is open", () => stack.sql(`SELECT 1 FROM pg_locks k JOIN pg_class c ON c.oid = k.relation JOIN pg_stat_activity a USING (pid)
    WHERE a.application_name = 'redoubt-scheduler-committer' AND c.relname = 'leases' AND k.mode = 'RowExclusiveLock'`).length > 0, 30000, 10);
  stack.scheduler(1).signal("SIGSTOP");
  let deposed;
  try {
    assert.equal(stack.sql("SELECT 1 FROM leases").length, 0, "it had something to write");
    await made; // by the other one
    deposed = fence();
  } finally {
    stack.scheduler(1).signal("SIGCONT");
  }
  await until("it learns that it leads no more", () => stack.scheduler(1).log().includes('"event":"not_leading"'), 20000);
  assert.deepEqual(fence(), deposed, "the fence is the other one's");
  assert.equal(stack.sql("SELECT 1 FROM leases").length, 1, "one lease was ever granted");
  await stack.deploy("after-return", source);
  assert.equal(fence()[0], deposed[0], "it does not take the lead back while the other one lives");
  await stack.restart("scheduler-1"); // without the pauses
  checkInvariants(stack);
});

test("row 4: the leader is killed, the other one goes on", async (t) => {
  const made = stack.deploy("orphaned", source);
  await stack.scheduler(2).kill();
  await converges(t, 3000, "another epoch leads", () => fence()[1] !== null && (stack.scheduler(1).log().match(/"event":"leading"/g) || []).length >= 3);
  await made;
  await until("it serves", () => serving(stack, "orphaned") === 1);
  checkInvariants(stack);
});
