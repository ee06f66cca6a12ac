// Rows 6, 16, 20 and 22: PostgreSQL cuts a COMMIT's answer, dies under load, has no connection left, and sees conflicting updates.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { connect } from "node:net";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { checkInvariants, converges, serving } from "../support/invariants.mjs";

const source = "export default { fetch: () => new Response('ok') }";
let stack, made;
before(async () => {
  stack = await Stack.start({ hosts: 2, hasDatabaseProxy: true });
  made = await stack.deploy("steady", source);
});
after(async () => { await stack?.close(); });

const live = (name) => Number(stack.sql(`SELECT count(*) FROM leases l JOIN apps a USING (app_id) WHERE a.name = '${name}' AND live`)[0][0]);
const scale = (key, headers = {}) => stack.request("POST", `/v1/apps/${made.app}/deployments`, { release: made.release, min: 1, max: 1, kind: "scale" }, { "idempotency-key": key, ...headers });

test("row 6: the answer to a plan's COMMIT is lost: it is looked for, not repeated", async (t) => {
  const cut = stack.databaseProxy.deafen("sched_fence", "rd_commit"); // names of prepared statements: a plan's pipeline
  const made = stack.deploy("unknown", source);
  await cut;
  await until("it is committed", () => live("unknown") === 1);
  stack.databaseProxy.drop();
  await made;
  assert.match(stack.scheduler().log(), /"event":"plan_outcome_unknown"/);
  await converges(t, 2000, "it serves once", () => serving(stack, "unknown") === 1 && live("unknown") === 1);
  assert.equal(stack.sql("SELECT l.epoch FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'unknown'").length, 1, "one lease was ever granted");
  checkInvariants(stack);
});

test("row 16: PostgreSQL is killed under load: what was accepted is there, the rest was told 503", async (t) => {
  const accepted = [], refused = [];
  let runs = true;
  t.after(() => { runs = false; });
  const client = async (n) => {
    for (let i = 0; runs; i++) {
      const answer = await scale(`load-${n}-${i}`).catch(() => null);
      if (answer?.status === 202) accepted.push(answer.body.id);
      else if (answer) refused.push(answer);
    }
  };
  const clients = [1, 2, 3, 4].map(client);
  await until("some were accepted", () => accepted.length >= 8);
  const postmaster = Number(readFileSync(join(stack.pgData, "postmaster.pid"), "utf8").split("\n")[0]);
  process.kill(postmaster, "SIGKILL");
  await until("some were refused", () => refused.some((answer) => answer.status === 503));
  // Longer than the caller's token is believed without a look.
  for (const end = Date.now() + 6000; Date.now() < end;) {
    const answer = await stack.invoke(made.app);
    assert.equal(answer.status, 200, `what serves goes on without it: ${answer.body}`);
  }
  const before_ = accepted.length;
  await until("it starts again", () => { stack.startPostgres(); return true; }, 30000, 200);
  await converges(t, 3000, "deployments are accepted", () => accepted.length > before_ + 2);
  runs = false;
  await Promise.all(clients);
  for (const answer of refused) {
    assert.ok([409, 429, 503].includes(answer.status), `${answer.status} ${JSON.stringify(answer.body)}`);
    if (answer.status !== 409) assert.ok(Number(answer.headers.get("retry-after")) >= 1, `${answer.status} says when to come back`);
  }
  for (const id of accepted) assert.equal((await stack.request("GET", `/v1/deployments/${id}`)).status, 200, id);
  await converges(t, 3000, "it serves", () => serving(stack, "steady") === 1);
  await stack.deploy("after-crash", source);
  checkInvariants(stack);
});

// Opens a connection of PostgreSQL and keeps it (protocol 3.0: length, version, name and value pairs).
function hold() {
  const fields = Buffer.from("user\0rd_admin\0database\0redoubt\0application_name\0holder\0\0");
  const start = Buffer.alloc(8);
  start.writeInt32BE(8 + fields.length, 0);
  start.writeInt32BE(196608, 4);
  const socket = connect(join(stack.pgSockets, ".s.PGSQL.5432"));
  socket.write(Buffer.concat([start, fields]));
  return new Promise((done) => socket.once("data", (bytes) => done({ socket, isOpen: bytes[0] === 0x52 })).once("error", () => done({ socket, isOpen: false })));
}

test("row 20: no connection is left: the control loop goes on with what it has", async () => {
  const held = [];
  for (;;) {
    const one = await hold();
    held.push(one.socket);
    if (!one.isOpen) break;
    assert.ok(held.length < 300, "there is a limit");
  }
  try {
    await stack.deploy("crowded", source);
    assert.equal((await stack.request("GET", "/v1/apps?limit=5")).status, 200);
  } finally {
    for (const socket of held) socket.destroy();
  }
  await until("there is room again", async () => { const one = await hold(); one.socket.destroy(); return one.isOpen; });
  await until("it serves", () => serving(stack, "crowded") === 1);
  checkInvariants(stack);
});

test("row 22: conflicting updates of one app: each is accepted or refused plainly, and counted once", async () => {
  const before_ = Number(stack.sql("SELECT count(*) FROM deployments d JOIN apps a USING (app_id) WHERE a.name = 'steady'")[0][0]);
  const answers = await Promise.all(Array.from({ length: 24 }, (_, i) => scale(`conflict-${i}`)));
  for (const answer of answers) assert.ok([202, 409, 429].includes(answer.status), `${answer.status} ${JSON.stringify(answer.body)}`);
  const accepted = answers.filter((answer) => answer.status === 202).length;
  assert.ok(accepted > 0);
  assert.equal(Number(stack.sql("SELECT count(*) FROM deployments d JOIN apps a USING (app_id) WHERE a.name = 'steady'")[0][0]), before_ + accepted);
  await until("it is settled", () => serving(stack, "steady") === 1 && live("steady") === 1);
  checkInvariants(stack);
});
