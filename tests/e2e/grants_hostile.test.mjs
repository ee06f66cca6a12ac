// A hostile plane and a hostile agent between an instance and its key service: each move is refused by the enclave or the KMS, by name.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { createServer, connect } from "node:net";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, renameSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { H, Owner, appIdOf, b64u, bundle, canonical, digestText, head, headDigest, release, releaseDigest, sha256 } from "../integration/api_fixture.mjs";

const octets = { "content-type": "application/octet-stream" };
const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; };
const rootOf = (list) => digestText(H("secrets-v1", ...[...list].sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((s) => [Buffer.from(s.name), u64(s.version), sha256(s.sealed)])));
const source = "export default (request, env) => new Response(env.A ? 'a' + env.A.length : 'none');";

let stack, kms;
before(async () => {
  stack = await Stack.start({ kms: true });
  kms = await stack.kmsId();
  const trusted = await stack.cli("kms", "trust", kms, "--yes");
  assert.equal(trusted.code, 0, trusted.stderr);
}, { timeout: 120000 });
after(async () => { await stack?.close(); });

// An app whose owner this test is, so that it can sign what no command line would.
class App {
  static async make(name) {
    const app = new App();
    app.owner = new Owner();
    const genesis = app.owner.genesis();
    app.id = appIdOf(genesis);
    app.code = bundle(source);
    app.number = 0;
    await stack.rest("POST", "/v1/apps", { name, genesis: b64u(genesis) });
    await stack.rest("PUT", "/v1/blobs/" + sha256(app.code).toString("hex"), app.code, octets);
    await app.addRelease();
    return app;
  }
  async addRelease() {
    const document = release(this.id, ++this.number, this.code, { plain: true });
    await stack.rest("POST", `/v1/apps/${this.id}/releases`, this.owner.envelope(document, "release-v1"));
    this.release = releaseDigest(document);
  }
  put(one) { return stack.rest("PUT", `/v1/apps/${this.id}/secrets/${one.name}/${one.version}`, one.sealed, octets); }
  async publish(list, change = {}) {
    const policy = { type: "redoubt/policy/v1", simulated: true, tees: ["tdx"], tcb: ["UpToDate", "SWHardeningNeeded"], measurements: [{ mrtd: stack.measurement }], debug: false, max_collateral_age_s: 604800 };
    const document = head(this.id, (this.head?.seq || 0) + 1, this.head ? headDigest(this.head) : null, [this.release], { policy, kms: [kms],
      secrets: { count: list.length, root: list.length ? rootOf(list) : digestText(H("secrets-v1")) }, ...change });
    await stack.rest("POST", `/v1/apps/${this.id}/heads`, { ...this.owner.envelope(document, "head-v1"), secrets: list.map(({ name, version }) => ({ name, version })) });
    this.head = document;
  }
  deploy() { return stack.rest("POST", `/v1/apps/${this.id}/deployments`, { release: this.release, min: 1, max: 1, kind: "deploy" }); }
  stop() { return stack.rest("POST", `/v1/apps/${this.id}/deployments`, { kind: "stop" }); }
  // The reason with which an instance of the app failed, as the events tell it.
  async fails(reason) {
    const id = Buffer.from(this.idBytes()).toString("hex");
    return until(`an instance fails with ${reason}`, () => sql(`SELECT DISTINCT s.reason FROM lease_status s JOIN leases l USING (instance_id, epoch) WHERE l.app_id = '\\x${id}' AND s.phase IN (7, 8)`).flat().includes(reason)
      || Promise.reject(new Error(JSON.stringify(sql(`SELECT s.phase, s.reason, s.detail FROM lease_status s JOIN leases l USING (instance_id, epoch) WHERE l.app_id = '\\x${id}'`)))), 30000);
  }
  serves() { return until("it serves", async () => (await stack.rest("GET", `/v1/apps/${this.id}/instances`)).items.some((i) => i.serving), 30000); }
  idBytes() {
    const alphabet = "abcdefghijklmnopqrstuvwxyz234567", out = [];
    let bits = 0, value = 0;
    for (const c of this.id.slice(4)) { value = (value << 5) | alphabet.indexOf(c); bits += 5; if (bits >= 8) { out.push((value >>> (bits - 8)) & 255); bits -= 8; value &= (1 << bits) - 1; } }
    return out.slice(0, 32);
  }
}
const sql = (text) => stack.sql(text);

// A secret sealed by the real command line for an app of its own owner, so that there is a true ciphertext to abuse.
let victim;
async function victims() {
  if (victim) return victim;
  const made = await stack.deploy("victim", source);
  for (const [name, value] of [["A", "the first value"], ["B", "another value"]]) assert.equal((await stack.cli("secrets", "set", "victim", name, { input: value })).code, 0);
  victim = { id: made.app, sealed: {} };
  for (const name of ["A", "B"])
    victim.sealed[name] = Buffer.from(await (await fetch(`${stack.api}/v1/apps/${made.app}/secrets/${name}/1`, { headers: { authorization: "Bearer " + stack.token } })).arrayBuffer());
  return victim;
}

test("R68: another app's secret does not open in this one, nor under another name", { timeout: 120000 }, async () => {
  const { sealed } = await victims();
  for (const [label, list] of [["moved", [{ name: "A", version: 1, sealed: sealed.A }]], ["renamed", [{ name: "B", version: 1, sealed: sealed.A }]]]) {
    const thief = await App.make("thief-" + label);
    for (const one of list) await thief.put(one);
    await thief.publish(list);
    await thief.deploy();
    await thief.fails("seal_context");
    await thief.stop();
  }
});

test("R4: a plane that swaps, drops or ages a secret behind the head gets no grant", { timeout: 120000 }, async () => {
  await victims();
  const set = (change) => sql(`SET session_replication_role = replica; ${change}`);
  const where = `app_id = (SELECT app_id FROM apps WHERE name = 'victim')`;
  sql(`CREATE TABLE kept AS SELECT * FROM secrets WHERE ${where}; CREATE TABLE kept_list AS SELECT * FROM head_secrets WHERE ${where}`);
  const start = async () => {
    const result = await stack.cli("deploy", join(stack.dir, "src-victim"), "--yes", "--timeout", "20");
    assert.notEqual(result.code, 0, "it served");
    return result.stderr + result.stdout;
  };
  const restore = () => set(`DELETE FROM secrets WHERE ${where} AND name IN ('A', 'B'); INSERT INTO secrets SELECT * FROM kept WHERE name IN ('A', 'B')`);
  for (const [what, change] of [
    ["swapped", `UPDATE secrets s SET sealed = k.sealed FROM kept k WHERE s.${where} AND ((s.name = 'A' AND k.name = 'B') OR (s.name = 'B' AND k.name = 'A'))`],
    ["dropped", `DELETE FROM secrets WHERE ${where} AND name = 'B'`],
  ]) {
    // The head is signed first: what is stored is bent in the moment before the start, as a database's administrator could.
    set(`CREATE OR REPLACE FUNCTION bend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN SET LOCAL session_replication_role = replica; ${change}; RETURN NULL; END $$`);
    sql(`CREATE TRIGGER bend AFTER INSERT ON deployments FOR EACH ROW EXECUTE FUNCTION bend(); ALTER FUNCTION bend() SECURITY DEFINER`);
    const said = await start();
    assert.match(said, /secrets_incomplete/, what);
    sql("DROP TRIGGER bend ON deployments");
    restore();
  }
  const good = await stack.cli("deploy", join(stack.dir, "src-victim"), "--yes", "--timeout", "60");
  assert.equal(good.code, 0, good.stderr);
});

// The agent's side of the pipe to the key service: frames pass, answers to grants are bent.
async function between(bend) {
  const dir = join(stack.dir, "agents", "1");
  const find = (folder) => readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? find(join(folder, e.name)) : e.name.startsWith("kms") && e.isSocket() ? [join(folder, e.name)] : []));
  const path = find(dir)[0] || find(process.env.REDOUBT_RUN_DIR || "/tmp").find((p) => p.includes("kms"));
  assert.ok(path, "the key service's socket");
  renameSync(path, path + ".true");
  const sockets = new Set();
  const server = createServer((from) => {
    const to = connect(path + ".true");
    let waiting = Buffer.alloc(0);
    for (const one of [from, to]) { sockets.add(one); one.on("error", () => {}); }
    from.pipe(to);
    to.on("data", (data) => {
      waiting = Buffer.concat([waiting, data]);
      while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
        const frame = Buffer.from(waiting.subarray(0, 4 + waiting.readUInt32BE(0)));
        waiting = waiting.subarray(frame.length);
        from.write(frame[4] === 0x85 ? bend(frame) : frame);
      }
    });
    to.on("close", () => from.destroy());
    from.on("close", () => to.destroy());
  }).listen(path);
  return () => { for (const one of sockets) one.destroy(); server.close(); try { unlinkSync(path); } catch { /* closed with the server */ } renameSync(path + ".true", path); };
}

test("R1: an answer that the key service did not seal for this very instance is refused by the enclave", { timeout: 180000 }, async () => {
  const app = await App.make("receiver");
  await app.publish([]);
  let recorded = null;
  // First a true one, recorded on its way: it is another instance's for all that follow.
  let stop = await between((frame) => { recorded ||= Buffer.from(frame); return frame; });
  await stack.agent(1).restart?.();
  await stack.kmsId();
  await app.deploy();
  await app.serves();
  stop();
  await app.stop();
  assert.ok(recorded, "a grant went by");
  const size = recorded.readUInt32BE(5 + 32);
  const bends = {
    "a sibling's grant": () => recorded,
    "a changed ciphertext": (frame) => { frame[5 + 32 + 4 + 8] ^= 1; return frame; },
    "a message of the agent's own in its place": (frame) => { randomBytes(32 + 4).copy(frame, 5, 0, 32); randomBytes(size).copy(frame, 5 + 32 + 4); return frame; },
    "a changed signature": (frame) => { frame[5 + 32 + 4 + size + 3] ^= 1; return frame; },
  };
  for (const [what, bend] of Object.entries(bends)) {
    const next = await App.make("bent-" + createHash("sha256").update(what).digest("hex").slice(0, 8));
    await next.publish([]);
    stop = await between(bend);
    await next.deploy();
    await next.fails("grant_signature");
    await next.stop();
    stop();
  }
});
