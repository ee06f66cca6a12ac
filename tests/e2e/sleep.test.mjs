// Scale to zero: an app with min 0 goes when it is left alone, and the first call after that waits while it wakes.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { Stack, until } from "../support/stack.mjs";

const source = "let n = 0; export default { fetch() { return new Response('awake ' + ++n); } }";
let stack, app;
before(async () => {
  stack = await Stack.start({ hosts: 2, schedulers: 2 });
  app = (await stack.deploy("sleeper", source, { instances: { min: 0, max: 2, idle_s: 10 } })).app;
});
after(async () => { await stack?.close(); });

const shown = () => stack.rest("GET", `/v1/apps/${app}`);
const isLetGo = async () => (await shown()).instances.wanted === 0;
const live = async () => (await stack.rest("GET", `/v1/apps/${app}/instances`)).items.filter((one) => one.live);
const asleep = () => until("the app sleeps", async () => (await isLetGo()) && (await live()).length === 0, 40000);
const metric = async (name) => Number(new RegExp(`^${name} (\\d+)`, "m").exec(await (await fetch(stack.api + "/metrics", { headers: { authorization: "Bearer " + stack.token } })).text())?.[1]);

test("deployed, it is tried out: one instance serves and answers at once", async () => {
  assert.equal((await shown()).instances.serving, 1);
  assert.equal((await stack.invoke(app)).status, 200);
});

test("left alone for idle_s it is drained, and its deployment stays healthy", async () => {
  await asleep();
  const { deployment } = await shown();
  assert.equal(deployment.state, "healthy");
  assert.equal(deployment.min, 0);
  assert.equal(deployment.idle_s, 10);
  assert.match((await stack.cli("apps", "show", "sleeper")).stdout + (await stack.cli("apps", "show", "sleeper")).stderr, /asleep.*first call/i);
});

test("calls to a sleeping app are held, all of them, and answered by the instance that wakes", async () => {
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => stack.invoke(app, `/${n}`)));
  assert.deepEqual([...new Set(answers.map((one) => one.status))], [200]);
  assert.ok(answers.every((one) => one.body === "awake 1" && one.headers["redoubt-receipt"]));
  assert.ok((await metric("redoubt_relay_calls_woken_total")) >= 1);
  assert.equal(await metric("redoubt_relay_calls_held"), 0);
});

test("a call that comes while it is let go is not lost", async () => {
  await until("it is let go", isLetGo, 40000, 5);
  assert.equal((await stack.invoke(app)).status, 200);
});

test("it wakes without Redis, and over schedulers that are killed while a call is held", async () => {
  await asleep();
  await stack.processes.get("redis").kill();
  const held = stack.invoke(app, "/", { timeout: 30000 });
  await Promise.all(["scheduler-1", "scheduler-2"].map((name) => stack.restart(name)));
  assert.equal((await held).status, 200);
  await stack.startRedis();
});
