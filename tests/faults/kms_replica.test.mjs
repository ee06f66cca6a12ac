// Two hosts carry one key service: the second joins, the first is lost for good, and apps have their keys and secrets.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";

const SECRET = "a secret that outlives its host";
const source = "export default (request, env) => new Response(String((env.API_KEY || '').length));";
const kmsFlags = {};
let stack, kms, app;
before(async () => {
  stack = await Stack.start({ hosts: 2, kms: (n) => kmsFlags[n] || [] });
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

const folder = (n) => join(stack.dir, "kms-" + n);
const status = (n) => JSON.parse(execFileSync(join(BIN, "redoubt-agent"), ["status", "--json", "--state", join(stack.dir, "agents", String(n))], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
const carriers = async () => (await stack.rest("GET", "/v1/kms")).items.find((k) => k.id === kms)?.linked || 0;
const live = async () => (await stack.rest("GET", `/v1/apps/${app}/instances`)).items.filter((one) => one.live);
const ask = async () => {
  const answer = await stack.invoke(app, "/", { timeout: 60000 });
  assert.equal(answer.status, 200, answer.body);
  return answer.body;
};

const holder = (n) => join(stack.dir, "cli", `holder-${n}.json`);
const shares = () => join(stack.dir, "cli", "shares.json");

async function carry(n, ...flags) {
  kmsFlags[n] = ["--kms-dir", folder(n), "--kms-ticket-key", stack.recordKey, ...flags];
  await stack.agent(n).stop();
  stack.startAgent(n);
  await stack.hostsReady(2);
}

test("the first host makes a key service whose genesis lists both machines", { timeout: 180000 }, async () => {
  const hosts = await stack.hosts();
  const second = (await stack.json("hosts", "show", hosts.find((h) => h.name === "sim-2").id)).platform;
  assert.match(second, /^[0-9a-f]{64}$/);
  const keys = [];
  for (const n of [1, 2, 3]) keys.push((await stack.json("kms", "recovery-key", holder(n))).public);
  await carry(1, "--kms-platforms", second, "--kms-recovery-keys", keys.join(","), "--kms-recovery-threshold", "2");
  kms = await stack.kmsId();
  copyFileSync(join(folder(1), "recovery.json"), shares());
  assert.match((await stack.cli("kms", "show", kms)).stderr, /any 2 of 3 holders/);
  assert.equal((await stack.cli("kms", "trust", kms, "--yes")).code, 0);
  await stack.deploy("kept", source, { instances: { min: 0, max: 2, idle_s: 10 } });
  assert.equal((await stack.cli("secrets", "set", "kept", "API_KEY", { input: SECRET })).code, 0);
  app = (await stack.deploy("kept", source, { instances: { min: 0, max: 2, idle_s: 10 } })).app;
  assert.equal(await ask(), String(SECRET.length));
});

test("the second waits, and joins by one verb that holds out while plane and first host are away", { timeout: 180000 }, async () => {
  await carry(2, "--kms-join", kms);
  const { kms: word, kms_socket: socket } = await until("it waits", async () => { const s = status(2); return /waiting/.test(s.kms) && s; });
  assert.match(word, /redoubt kms join/);
  assert.equal(await carriers(), 1);
  assert.equal(existsSync(join(folder(2), "root.sealed")), false);
  const nowhere = await stack.cli("kms", "join", kms, "--socket", join(stack.dir, "nothing.sock"));
  assert.equal(nowhere.code, 8, nowhere.stderr);
  const joining = (...more) => stack.cli("kms", "join", kms, "--socket", socket, "--json", ...more);
  await stack.apiProcess.kill();
  const late = await joining("--timeout", "1");
  assert.equal(late.code, 8, late.stderr);
  assert.match(late.stderr, /nothing is lost: the same command begins again/);

  // Plane and peer are away when it begins, and come back one after the other.
  await stack.agent(1).stop();
  let told = "";
  const ending = joining("--timeout", "90", { timeout: 120000, onError: (text) => { told += text; } });
  await until("it is told that the plane is away", () => /Not yet: /.test(told), 30000);
  stack.apiProcess.start();
  await until("it is told that the other host is away", () => /Not yet: .*no link/.test(told), 30000);
  stack.agent(1).start();
  const joined = await ending;
  assert.equal(joined.code, 0, joined.stderr);
  assert.deepEqual(JSON.parse(joined.stdout), { kms, joined: true, already: false });
  const reasons = told.match(/Not yet: .*\. Trying/g);
  assert.equal(new Set(reasons).size, reasons.length, told);
  await until("two hosts carry it", async () => (await carriers()) === 2, 30000);
  await stack.hostsReady(2);

  // As after a join whose last answer was lost.
  const again = await joining();
  assert.deepEqual(JSON.parse(again.stdout), { kms, joined: true, already: true }, again.stderr);
  const other = await stack.cli("kms", "join", kms.replace(/_./, (c) => (c === "_a" ? "_b" : "_a")), "--socket", socket);
  assert.equal(other.code, 6, other.stderr);
});

test("the first is lost with its disk: the app wakes on the other host with its secret", { timeout: 180000 }, async () => {
  await until("the app sleeps", async () => (await live()).length === 0, 60000);
  await stack.loseHost(1);
  rmSync(folder(1), { recursive: true });
  assert.equal(await ask(), String(SECRET.length));
  const [one] = await live();
  assert.equal(one.host, (await stack.hosts()).find((h) => h.name === "sim-2").id);
  assert.equal((await stack.json("kms", "show", kms)).verified, true);
  assert.equal((await stack.cli("secrets", "set", "kept", "OTHER", { input: "x" })).code, 0);
});

test("the second is lost with its folder, too: two of three holders bring the root back, one does not", { timeout: 180000 }, async () => {
  await stack.agent(2).stop();
  rmSync(folder(2), { recursive: true });
  stack.startAgent(2);
  const socket = await until("it waits", async () => { const s = status(2); return /waiting/.test(s.kms) && s.kms_socket; });
  const give = (n, file = shares()) => stack.cli("kms", "recover", kms, "--socket", socket, "--shares", file, "--key", holder(n), "--json");
  const first = await give(1);
  assert.equal(first.code, 0, first.stderr);
  assert.deepEqual(JSON.parse(first.stdout), { kms, share: 1, given: 1, needed: 2, recovered: false });
  await until("no host carries it", async () => (await carriers()) === 0);

  const twice = await give(1);
  assert.equal(twice.code, 0, "given again, as after a lost answer, it counts once: " + twice.stderr);
  assert.deepEqual(JSON.parse(twice.stdout), { kms, share: 1, given: 1, needed: 2, recovered: false });
  const spoiled = join(stack.dir, "cli", "spoiled.json"), document = JSON.parse(readFileSync(shares(), "utf8"));
  document.shares[2] = document.shares[1];
  writeFileSync(spoiled, JSON.stringify(document));
  assert.match((await give(3, spoiled)).stderr, /spoiled, or another key's/);
  await stack.json("kms", "recovery-key", holder(4));
  assert.match((await give(4)).stderr, /none of the 3/);
  assert.match((await stack.cli("kms", "recovery-key", holder(4))).stderr, /never written over/);

  const third = await give(3);
  assert.equal(third.code, 0, third.stderr);
  const { recovered, records } = JSON.parse(third.stdout);
  assert.equal(recovered, true);
  assert.deepEqual(records.map((one) => [one.number, one.words, one.reason]), [[1, "the root was put together out of recovery shares", null]]);
  const kept = join(stack.dir, "cli", "record.json");
  writeFileSync(kept, JSON.stringify(records[0].record));
  const shown = await stack.cli("records", "show", kept);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(shown.stdout, /record 1 of a key service's replica: the root was put\s+together/);
  writeFileSync(kept, JSON.stringify({ ...records[0].record, document: records[0].record.document.replace(/.$/, "A") }));
  assert.notEqual((await stack.cli("records", "show", kept)).code, 0);
  await until("a host carries it again", async () => (await carriers()) === 1, 30000);
  assert.equal((await stack.json("kms", "show", kms)).verified, true);
  assert.equal((await stack.cli("secrets", "set", "kept", "THIRD", { input: "y" })).code, 0);
  await stack.deploy("kept", source, { instances: { min: 0, max: 2, idle_s: 10 }, env: { ROUND: "2" } });
  assert.equal(await ask(), String(SECRET.length));
});
