// Two hosts carry one key service: the second joins, the first is lost for good, and apps have their keys and secrets.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";

const SECRET = "a secret that outlives its host";
const source = "export default (request, env) => new Response(String((env.API_KEY || '').length));";
const kmsFlags = {};
let stack, kms, app;
before(async () => {
  stack = await Stack.start({ hosts: 2, kms: (n) => kmsFlags[n] || [] });
}, { timeout: 120000 });
after(async () => { await stack?.close(); });

const folder = (n) => join(stack.dir, "kms-" + n);
const status = (n) => JSON.parse(execFileSync(join(BIN, "redoubt-agent"), ["status", "--json", "--state", join(stack.dir, "agents", String(n))], { encoding: "utf8" }));
const carriers = async () => (await stack.rest("GET", "/v1/kms")).items.find((k) => k.id === kms)?.linked || 0;
const live = async () => (await stack.rest("GET", `/v1/apps/${app}/instances`)).items.filter((one) => one.live);
const ask = async () => {
  const answer = await stack.invoke(app, "/", { timeout: 60000 });
  assert.equal(answer.status, 200, answer.body);
  return answer.body;
};

async function carry(n, ...flags) {
  kmsFlags[n] = ["--kms-dir", folder(n), "--kms-ticket-key", stack.recordKey, ...flags];
  await stack.agent(n).stop();
  stack.startAgent(n);
  await stack.hostsReady(2);
}

test("the first host makes a key service whose genesis lists both machines", { timeout: 120000 }, async () => {
  const hosts = await stack.hosts();
  const second = (await stack.json("hosts", "show", hosts.find((h) => h.name === "sim-2").id)).platform;
  assert.match(second, /^[0-9a-f]{64}$/);
  await carry(1, "--kms-platforms", second);
  kms = await stack.kmsId();
  assert.equal((await stack.cli("kms", "trust", kms, "--yes")).code, 0);
  await stack.deploy("kept", source, { instances: { min: 0, max: 2, idle_s: 10 } });
  assert.equal((await stack.cli("secrets", "set", "kept", "API_KEY", { input: SECRET })).code, 0);
  app = (await stack.deploy("kept", source, { instances: { min: 0, max: 2, idle_s: 10 } })).app;
  assert.equal(await ask(), String(SECRET.length));
});

test("the second waits, and joins by one verb", { timeout: 120000 }, async () => {
  await carry(2, "--kms-join", kms);
  const { kms: word, kms_socket: socket } = await until("it waits", async () => { const s = status(2); return /waiting/.test(s.kms) && s; });
  assert.match(word, /redoubt kms join/);
  assert.equal(await carriers(), 1);
  assert.equal(existsSync(join(folder(2), "root.sealed")), false);
  const nowhere = await stack.cli("kms", "join", kms, "--socket", join(stack.dir, "nothing.sock"));
  assert.equal(nowhere.code, 8, nowhere.stderr);
  const joined = await stack.json("kms", "join", kms, "--socket", socket);
  assert.deepEqual(joined, { kms, joined: true });
  await until("two hosts carry it", async () => (await carriers()) === 2, 30000);
  const again = await stack.cli("kms", "join", kms, "--socket", socket);
  assert.match(again.stderr, /has its root already/);
  assert.notEqual(again.code, 0);
});

test("the first is lost with its disk: the app wakes on the other host with its secret", { timeout: 120000 }, async () => {
  await until("the app sleeps", async () => (await live()).length === 0, 60000);
  await stack.loseHost(1);
  rmSync(folder(1), { recursive: true });
  assert.equal(await ask(), String(SECRET.length));
  const [one] = await live();
  assert.equal(one.host, (await stack.hosts()).find((h) => h.name === "sim-2").id);
  assert.equal((await stack.json("kms", "show", kms)).verified, true);
  assert.equal((await stack.cli("secrets", "set", "kept", "OTHER", { input: "x" })).code, 0);
});
