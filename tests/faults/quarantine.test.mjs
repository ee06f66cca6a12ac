// A host that is to blame is quarantined: nothing new is placed there, what runs moves away, and it stays so until its operator releases it.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";
import { checkInvariants } from "../support/invariants.mjs";

const source = "export default { fetch: () => new Response('ok') }";
let stack;
before(async () => { stack = await Stack.start({ hosts: 2 }); });
after(async () => { await stack?.close(); });

const hostOf = async (name) => (await stack.json("apps", "show", name)).instance_list.find((i) => i.serving)?.host;
const host = (id) => stack.rest("GET", "/v1/hosts/" + id);
const uuidOf = async (id) => stack.sql(`SELECT host_id FROM host_identity WHERE name = '${(await host(id)).name}'`)[0][0];
const numberOf = async (id) => Number((await host(id)).name.split("-")[1]);
// What ingest does with refused evidence that is the host's own fault (tests/integration/test_links.c shows that it does).
const fault = (uuid) => stack.sql(`SET ROLE rd_ingest; SELECT host_fault('${uuid}', 'quote_sig', 'the quote is not signed by its key', 3, false)`)[0][0];

test("R55: a copied key: two agents fight for one link; both are cut, the app moves, an operator releases", { timeout: 180000 }, async (t) => {
  const made = await stack.deploy("fought", source);
  const id = await hostOf("fought"), n = await numberOf(id);
  const copy = join(stack.dir, "agents", "copy");
  mkdirSync(copy, { mode: 0o700 });
  for (const name of ["ca.pem", "certificate.pem", "host.json", "key.pem", "platform"]) cpSync(join(stack.dir, "agents", String(n), name), join(copy, name), { recursive: true });
  const log = openSync(join(stack.dir, "logs", "agent-copy.log"), "a");
  const thief = spawn(join(BIN, "redoubt-agent"), ["run", "--state", copy, "--enclave", join(BIN, "redoubt-enclave"), "--dial-jitter", "100ms"], { stdio: ["ignore", log, log] });
  t.after(() => thief.kill("SIGKILL"));
  const marked = await until("it is quarantined", async () => { const now = await host(id); return now.quarantine && now; }, 60000);
  assert.equal(marked.quarantine.code, "host_sessions");
  await until("the link is cut", async () => (await host(id)).link === "down");
  await until("the app moved", async () => { const now = await hostOf("fought"); return now && now !== id; }, 30000);
  assert.equal((await stack.invoke(made.app)).status, 200);
  const listed = await stack.cli("hosts", "list");
  assert.match(listed.stdout, /quarantined/);
  assert.match(listed.stderr, /host_sessions.*redoubt hosts release hst_/s);
  assert.match((await stack.cli("hosts", "show", id)).stderr, /QUARANTINED/);
  thief.kill("SIGKILL");
  assert.equal((await host(id)).link, "down", "it stays cut when the copy is gone");
  assert.equal((await stack.cli("hosts", "release", id)).code, 0);
  await until("it is ready again", async () => { const now = await host(id); return now.state === "ready" && now.quarantine === null; }, 90000);
  assert.equal(stack.sql("SELECT count(*) FROM audit WHERE action = 'host.release'")[0][0], "1");
  checkInvariants(stack);
});

test("refused evidence: two faults are counted, the third is a mark; what runs moves without a failed request", { timeout: 180000 }, async () => {
  const made = await stack.deploy("moved", source);
  const id = await hostOf("moved"), uuid = await uuidOf(id);
  assert.deepEqual([fault(uuid), fault(uuid)], ["f", "f"]);
  assert.equal((await host(id)).faults, 2);
  assert.equal((await host(id)).state, "ready");
  assert.equal(fault(uuid), "t");
  await until("it moved", async () => {
    assert.equal((await stack.invoke(made.app)).status, 200);
    const now = await hostOf("moved");
    return now && now !== id;
  }, 40000);
  const now = await host(id);
  assert.equal(now.state, "quarantined");
  assert.equal(now.link, "up", "its link stays: stops go over it");
  assert.equal(now.quarantine.code, "quote_sig");
  assert.equal(fault(uuid), "f", "while it is marked nothing is counted");
  const cut = () => stack.sql(`SET ROLE rd_ingest; SELECT host_fault('${uuid}', 'host_sessions', 'its key is used twice', 1, true)`)[0][0];
  assert.deepEqual([cut(), cut(), fault(uuid)], ["t", "f", "f"], "a key in use twice is a mark of its own, and stays one");
  assert.deepEqual(stack.sql(`SELECT code, is_cut FROM host_marks WHERE host_id = '${uuid}'`), [["host_sessions", "t"]]);
  assert.equal((await stack.cli("hosts", "release", id)).code, 0);
  await until("it is ready again", async () => (await host(id)).state === "ready");
  checkInvariants(stack);
});

test("a quarantined host that dies gives its leases up; back, it is quarantined still", { timeout: 180000 }, async () => {
  const made = await stack.deploy("held", source);
  const id = await hostOf("held"), uuid = await uuidOf(id), n = await numberOf(id);
  const other = (await stack.hosts()).find((one) => one.id !== id).id;
  assert.equal((await stack.cli("hosts", "cordon", other)).code, 0); // so that nothing can move
  for (let i = 0; i < 3; i++) fault(uuid);
  await until("it is quarantined", async () => (await host(id)).state === "quarantined");
  assert.equal((await stack.invoke(made.app)).status, 200, "with no room elsewhere what is verified serves on");
  await stack.agent(n).kill();
  await until("it is lost", async () => (await host(id)).state === "lost", 30000);
  assert.deepEqual(stack.sql(`SELECT count(*) FROM leases WHERE host_id = '${uuid}' AND held`), [["0"]]);
  assert.equal((await stack.cli("hosts", "uncordon", other)).code, 0);
  await until("it serves elsewhere", async () => (await hostOf("held")) === other, 30000);
  stack.agent(n).start();
  await until("it is back, and quarantined", async () => { const now = await host(id); return now.state === "quarantined" && now.link === "up"; }, 40000);
  assert.equal((await stack.cli("hosts", "release", id)).code, 0);
  await until("it is ready again", async () => (await host(id)).state === "ready", 30000);
  checkInvariants(stack);
});
