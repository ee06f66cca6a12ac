// Receipts that the plane keeps: what stands in them, who sees them, that they verify without the plane, and that nothing can be
// changed or taken out unseen.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { H } from "../integration/api_fixture.mjs";

const source = `export default { fetch: async (request) => {
  const text = await request.text();
  return new Response("said " + text, { status: text === "teapot" ? 418 : 200 });
} };`;
const offline = { env: { REDOUBT_API: "http://127.0.0.1:9" } };

let stack, app, list;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  app = (await stack.deploy("kept", source)).app;
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

const listed = (...args) => stack.json("receipts", "list", "kept", ...args);
const kept = (count) => until(`${count} receipts are kept`, async () => { const all = await listed("--limit", "500"); return all.length >= count && all; }, 30000);
const file = (name) => join(stack.dir, name);
const read = (name) => JSON.parse(readFileSync(file(name), "utf8"));
const saved = (name) => JSON.parse(Buffer.from(read(name).receipt, "base64url"));
const verify = (name, ...args) => stack.cli("receipts", "verify", file(name), "--json", ...args, offline);

test("each answer's receipt is kept: of a plain one its claims, of a sealed one its leaf alone", { timeout: 180000 }, async () => {
  await stack.cli("invoke", "kept", "--data", "teapot", "--save", file("sealed.json"));
  await stack.cli("invoke", "kept", "--data", "teapot", "--plain", "--save", file("plain.json"));
  for (const text of ["a", "b", "c"]) await stack.json("invoke", "kept", "--data", text, "--plain");
  list = await kept(5);
  assert.deepEqual(list.map((one) => one.seq), [5, 4, 3, 2, 1], "newest first, numbered by the enclave");
  const byFile = Object.fromEntries(["sealed", "plain"].map((name) => [name, saved(name + ".json").claims]));
  const sealed = list.find((one) => one.seq === byFile.sealed.seq), plain = list.find((one) => one.seq === byFile.plain.seq);
  assert.deepEqual(plain.claims, byFile.plain);
  assert.equal(plain.claims.status, 418);
  assert.equal(sealed.sealed, true);
  assert.equal(sealed.claims, null);
  const leaf = "sha256:" + H("receipt-leaf-v1", Buffer.from(JSON.stringify(byFile.sealed))).toString("hex");
  assert.equal(sealed.leaf, leaf, "who has the receipt finds it among those that are kept");
  const records = stack.sql("SELECT encode(record, 'hex') FROM receipt_log ORDER BY first").map(([hex]) => Buffer.from(hex, "hex").toString("latin1"));
  for (const word of [byFile.sealed.request, byFile.sealed.response, byFile.sealed.nonce].filter(Boolean))
    assert.ok(!records.join().includes(word), "no commitment of a sealed answer");
  assert.ok(!records[0].includes('"status"'), "nor its status");
  assert.ok(records[1].includes('"status":418'));
});

test("filters: instance, time and number; what is malformed is refused", async () => {
  const { instance } = list[0];
  assert.equal((await listed("--instance", instance)).length, 5);
  assert.equal((await listed("--limit", "2")).length, 2);
  assert.equal((await listed("--since", "2099-01-01T00:00:00Z")).length, 0);
  assert.equal((await listed("--since", list[4].kept_at)).length, 5);
  assert.equal((await stack.cli("receipts", "list", "kept", "--limit", "0")).code, 2);
  assert.equal((await stack.cli("receipts", "list", "kept", "--since", "yesterday")).code, 1);
  for (const query of ["instance=x", "since=x", "limit=0"]) assert.equal((await stack.request("GET", `/v1/apps/${app}/receipts?${query}`)).status, 422, query);
  for (const query of ["epoch=0", "from=-1", "from=x"]) assert.equal((await stack.request("GET", `/v1/instances/${instance}/receipts?${query}`)).status, 422, query);
  for (const path of [`/v1/apps/${app}/receipts`, `/v1/instances/${instance}/receipts`]) assert.equal((await stack.request("GET", path + "?cursor=x")).status, 400);
  const seen = [];
  for (let cursor = ""; cursor !== null;) {
    const page = await stack.rest("GET", `/v1/instances/${instance}/receipts?limit=2${cursor && "&cursor=" + cursor}`);
    seen.push(...page.items.map((item) => item.first));
    cursor = page.next;
  }
  assert.deepEqual(seen, [1, 2, 3, 4, 5]);
});

test("a launch's receipts verify without the plane", async () => {
  const { instance, epoch } = list[0];
  assert.equal((await stack.cli("receipts", "get", `${instance}.${epoch}`, "--save", file("launch.json"))).code, 0);
  const result = await verify("launch.json", "--complete");
  assert.equal(result.code, 0, result.stdout + result.stderr);
  const verdict = JSON.parse(result.stdout);
  assert.deepEqual([verdict.verified, verdict.simulated, verdict.complete, verdict.receipts, verdict.gaps], [true, true, true, 5, []]);
  assert.equal((await stack.json("receipts", "verify", `${instance}.${epoch}`)).receipts, 5);
  await stack.json("receipts", "get", list[2].id, "--save", file("one.json"));
  const one = JSON.parse((await verify("one.json")).stdout);
  assert.deepEqual([one.verified, one.complete, one.receipts], [true, false, 1], "one receipt says nothing of the others");
  assert.equal((await verify("one.json", "--complete")).code, 2);
  writeFileSync(file("two.json"), JSON.stringify({ ...read("one.json"), records: read("launch.json").records.slice(2, 4) }));
  assert.equal((await verify("two.json")).code, 6, "more than was asked for");
  assert.equal((await stack.cli("receipts", "get", `${instance}.${epoch}.999`, "--save", file("none.json"))).code, 3);
  assert.equal((await stack.cli("receipts", "get", `${instance}.99`, "--save", file("none.json"))).code, 3);
  assert.equal((await stack.cli("receipts", "get", "ins_x.1", "--save", file("none.json"))).code, 2);
  assert.equal((await stack.cli("receipts", "get", list[2].id)).code, 2);
  assert.match((await verify("sealed.json")).stderr, /redoubt verify checks it/, "the other kind of file");
  assert.match((await stack.cli("verify", file("one.json"), "--json", offline)).stderr, /redoubt receipts verify checks them/);
});

test("R42: nothing in a file can be changed, moved or doubled; what is taken out is told", async () => {
  const good = read("launch.json"), [first, second, third, ...rest] = good.records;
  const spoil = async (change) => { writeFileSync(file("spoiled.json"), JSON.stringify({ ...good, ...change })); return verify("spoiled.json"); };
  const flip = (text, at) => text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  for (const at of [0, 20, 200, second.length - 30])
    assert.equal((await spoil({ records: [first, flip(second, at), third, ...rest] })).code, 6, `a changed character ${at}`);
  assert.equal((await spoil({ records: [second, first, third, ...rest] })).code, 6, "another order");
  assert.equal((await spoil({ records: [first, second, second, third, ...rest] })).code, 6, "one twice");
  assert.equal((await spoil({ evidence: flip(good.evidence, 900) })).code, 6, "other evidence");
  assert.equal((await spoil({ instance: "ins_" + "a".repeat(26) })).code, 6, "another instance");
  assert.equal((await spoil({ epoch: good.epoch + 1 })).code, 6, "another launch");
  const holed = await spoil({ records: [first, ...rest] });
  assert.equal(holed.code, 0, holed.stdout + holed.stderr);
  const verdict = JSON.parse(holed.stdout);
  assert.deepEqual([verdict.verified, verdict.complete, verdict.gaps], [true, false, [{ first: 2, last: 3 }]]);
  assert.match(verdict.steps.find((step) => step.name === "gaps").detail, /2 to 3/);
  assert.equal((await verify("spoiled.json", "--complete")).code, 6);
  assert.deepEqual(JSON.parse((await spoil({ records: rest })).stdout).gaps, [{ first: 1, last: 3 }], "the first ones are missing, too");
});

test("another organisation sees nothing of it", async () => {
  const other = { authorization: "Bearer " + stack.secondOrganisation().token };
  assert.equal((await stack.request("GET", `/v1/apps/${app}/receipts`, undefined, other)).status, 404);
  const chain = await stack.request("GET", `/v1/instances/${list[0].instance}/receipts`, undefined, other);
  assert.deepEqual(chain.body.items, []);
  assert.equal((await stack.request("GET", `/v1/apps/${app}/receipts`, undefined, { authorization: "Bearer nobody" })).status, 401);
});

test("records that the plane had not written when it died come again; those that nobody has stay a hole", { timeout: 180000 }, async () => {
  const open = (await stack.deploy("late", source, { open: true })).app;
  const call = async () => assert.equal((await stack.invoke(open, "/", { body: "x" })).status, 200);
  const listed = () => stack.json("receipts", "list", "late");
  await call();
  await until("the first one is kept", async () => (await listed()).length === 1);
  stack.stopPostgres("immediate");
  for (let i = 0; i < 4; i++) await call();
  await stack.apiProcess.kill();
  stack.startPostgres();
  await stack.apiProcess.start();
  await stack.apiReady();
  const all = await until("all are kept", async () => { const some = await listed(); return some.length === 5 && some; }, 30000);
  const { instance, epoch } = all[0], rows = `instance_id = (SELECT instance_id FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'late')`;
  const whole = await stack.json("receipts", "verify", `${instance}.${epoch}`, "--complete");
  assert.deepEqual([whole.receipts, whole.gaps], [5, []]);
  stack.sql(`INSERT INTO receipt_log (org_id, app_id, instance_id, epoch, first, count, record) SELECT org_id, app_id, instance_id, epoch, first, count, record FROM receipt_log WHERE first = 4 AND ${rows}`);
  assert.deepEqual((await listed()).filter((one) => one.seq === 4).length, 1, "what two replicas wrote at once is one");
  assert.equal((await stack.json("receipts", "verify", `${instance}.${epoch}`, "--complete")).receipts, 5);
  stack.sql(`DELETE FROM receipt_log WHERE first = 3 AND ${rows}`);
  const shown = await stack.cli("receipts", "list", "late");
  assert.match(shown.stderr, /\.\d+: 3 to 3 are missing/);
  assert.deepEqual((await stack.json("receipts", "verify", `${instance}.${epoch}`)).gaps, [{ first: 3, last: 3 }]);
  assert.equal((await stack.cli("receipts", "verify", `${instance}.${epoch}`, "--complete")).code, 6);
});

test("what agent and replica had in memory when both were killed is a hole, and the chain goes on behind it", { timeout: 180000 }, async () => {
  const open = (await stack.deploy("lossy", source, { open: true })).app;
  const call = async (text) => assert.equal((await stack.invoke(open, "/", { body: text })).status, 200);
  const all = () => stack.json("receipts", "list", "lossy");
  await call("kept");
  const [{ instance, epoch }] = await until("the first one is kept", async () => { const some = await all(); return some.length && some; });
  stack.stopPostgres("immediate");
  for (const text of ["x", "y", "z"]) await call(text);
  await stack.agent().kill();
  await stack.apiProcess.kill();
  stack.startPostgres();
  await stack.apiProcess.start();
  await stack.apiReady();
  await stack.agent().start();
  await until("it serves again", async () => (await stack.invoke(open, "/", { body: "kept" })).status === 200, 30000);
  await until("a later one is kept", async () => (await all()).some((one) => one.seq > 4), 30000);
  const verdict = await stack.json("receipts", "verify", `${instance}.${epoch}`);
  assert.deepEqual([verdict.verified, verdict.complete, verdict.gaps], [true, false, [{ first: 2, last: 4 }]]);
});
