// Rows 4, 5 and 9: the scheduler dies at every point of a plan; another start finishes the work, once.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, serving } from "../support/invariants.mjs";

let stack;
before(async () => { stack = await Stack.start({ hosts: 2 }); });
after(async () => { await stack?.close(); });

const source = "export default { fetch: () => new Response('ok') }";

async function survives(point, name) {
  await stack.restart("scheduler-1", `${point}:kill`);
  const made = stack.deploy(name, source, { instances: { min: 2, max: 2 } });
  await Promise.race([stack.scheduler().exited, new Promise((_, failed) => setTimeout(() => failed(new Error(`${point} was never reached`)), 20000).unref())]);
  assert.equal(stack.scheduler().result.signal, "SIGKILL");
  checkInvariants(stack);
  await stack.restart("scheduler-1");
  await made;
  await until(`${name} serves twice`, () => serving(stack, name) === 2);
  checkInvariants(stack);
  assert.equal(Number(stack.sql(`SELECT count(*) FROM leases l JOIN apps a USING (app_id) WHERE a.name = '${name}' AND live`)[0][0]), 2);
}

test("row 4: killed after evaluation", () => survives("plan.evaluated", "killed-evaluated"));
test("row 5: killed before COMMIT", () => survives("plan.before_commit", "killed-before"));
test("row 5: killed after COMMIT", () => survives("plan.after_commit", "killed-after"));
test("row 9: killed between two jobs of a publication", () => survives("publish", "killed-publish"));

test("rows 7 and 8: a paused leader wakes up deposed and writes nothing", async () => {
  stack.startScheduler(2);
  await until("the second scheduler runs", () => stack.scheduler(2).isRunning());
  stack.scheduler(1).signal("SIGSTOP");
  try {
    await stack.deploy("after-pause", source);
  } finally {
    stack.scheduler(1).signal("SIGCONT");
  }
  await stack.deploy("after-return", source);
  checkInvariants(stack);
});
