// A hostile plane and a hostile agent between an instance and its key service: each move is refused by the enclave or the KMS, by name.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { createServer, connect } from "node:net";
import { randomBytes, sign } from "node:crypto";
import { once } from "node:events";
import { readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { HostileRelay } from "../support/hostile_relay.mjs";
import { Stack, until } from "../support/stack.mjs";
import { H, Owner, appIdOf, b64u, bundle, canonical, digestText, frame as framed, head, headDigest, release, releaseDigest, sha256 } from "../integration/api_fixture.mjs";

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
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

// An app whose owner this test is, so that it can sign what no command line would.
class App {
  static async make(name, text = source) {
    const app = new App();
    app.owner = new Owner();
    const genesis = app.owner.genesis();
    app.id = appIdOf(genesis);
    app.code = bundle(text);
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
    const of = `l.app_id = '${raw(this)}'`;
    return until(`an instance fails with ${reason}`, () => sql(`SELECT DISTINCT s.reason FROM lease_status s JOIN leases l USING (instance_id, epoch) WHERE ${of} AND s.phase IN (7, 8)`).flat().includes(reason)
      || Promise.reject(new Error(JSON.stringify(sql(`SELECT s.phase, s.reason, s.detail FROM lease_status s JOIN leases l USING (instance_id, epoch) WHERE ${of}`)))), 30000);
  }
  serves() { return until("it serves", async () => (await stack.rest("GET", `/v1/apps/${this.id}/instances`)).items.some((i) => i.serving), 30000); }
}
// The 32 bytes of an id in text.
function base32Bytes(id) {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567", out = [];
  let bits = 0, value = 0;
  for (const c of id.slice(4)) { value = (value << 5) | alphabet.indexOf(c); bits += 5; if (bits >= 8) { out.push((value >>> (bits - 8)) & 255); bits -= 8; value &= (1 << bits) - 1; } }
  return Buffer.from(out.slice(0, 32));
}
const sql = (text) => stack.sql(text);
const raw = (app) => "\\x" + base32Bytes(app.id).toString("hex");

// The records of an app's grants and refusals, when one is there that is looked for.
const onRecord = (app, is) => until("a record is kept", async () => { const rows = await stack.json("records", "grants", app.id); return rows.some(is) && rows; });

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

test("R2: a plane that swaps genesis, evidence or seal key of the key service gets nothing that is sealed", { timeout: 180000 }, async () => {
  const victim = await victims(), other = await stack.deploy("other", source);
  const relay = await HostileRelay.start(stack);
  const json = (answer, change) => { answer.body = Buffer.from(JSON.stringify({ ...JSON.parse(answer.body), ...change })); };
  const keyOf = (app) => stack.rest("GET", `/v1/kms/${kms}/seal-key?app=${app}&version=1`);
  const recorded = await (await fetch(`${stack.api}/v1/kms/${kms}/evidence?nonce=${b64u(randomBytes(32))}`, { headers: { authorization: "Bearer " + stack.token } })).arrayBuffer();
  const genesis = Buffer.from((await stack.rest("GET", `/v1/kms/${kms}`)).genesis, "base64url").toString();
  const instance = await stack.invoke(other.app, "/.well-known/redoubt/evidence?nonce=" + b64u(randomBytes(32)));
  const [true_, others] = [await keyOf(victim.id), await keyOf(other.app)], mine = { key: b64u(randomBytes(32)) };
  for (const [what, path, change, said] of [
    ["a key of its own", /seal-key/, (answer) => json(answer, mine), /signature/],
    ["another app's key", /seal-key/, (answer) => json(answer, others), /signature/],
    ["the right key, another's signature", /seal-key/, (answer) => json(answer, { ...true_, signature: others.signature }), /signature/],
    ["evidence that was recorded", /\/evidence/, (answer) => { answer.body = Buffer.from(recorded); }, /nonce/],
    ["evidence of an instance", /\/evidence/, (answer) => { answer.body = Buffer.from(instance.body); }, /attest_measurement/],
    ["a genesis with recovery keys", /kms_[a-z2-7]+$/, (answer) => json(answer, { genesis: b64u(genesis.replace('"recovery":null', `"recovery":{"keys":["${mine.key}"],"threshold":1}`)) }), /kms_unknown/],
  ]) {
    let hits = 0;
    relay.reset({ onAnswer: (x, answer) => { if (x.method === "GET" && x.path.startsWith("/v1/kms/") && path.test(x.path.split("?")[0])) { hits++; change(answer); } } });
    const refused = await stack.cli("secrets", "set", "victim", "C", { input: "the third value", env: { REDOUBT_PROFILE: relay.profile } });
    assert.ok(hits > 0, `${what}: ${refused.stderr} ${relay.seen.map((x) => x.path)}`);
    assert.equal(refused.code, 6, `${what}: ${refused.stderr}`);
    assert.match(refused.stderr, said, what);
    assert.equal(relay.seen.some((x) => x.method !== "GET"), false, what);
  }
  await relay.close();
});

test("R68: another app's secret does not open in this one, nor under another name", { timeout: 180000 }, async () => {
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

test("R4: a plane that swaps, drops or ages a secret behind the head gets no grant", { timeout: 180000 }, async () => {
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

test("R4: a plane that brings an older head back gets no grant under it", { timeout: 180000 }, async () => {
  const app = await App.make("aged");
  await app.publish([]);
  const withdrawn = app.release;
  await app.addRelease();
  await app.publish([]);
  await app.deploy();
  await app.serves();
  await app.stop();
  sql(`SET session_replication_role = replica; DELETE FROM heads WHERE app_id = '${raw(app)}' AND seq = 2`);
  app.release = withdrawn;
  await app.deploy();
  await app.fails("head_rollback");
  await app.stop();
  // Grant and refusal are the key service's word, and the owner reads both.
  const shown = await onRecord(app, (row) => row.reason === "head_rollback");
  assert.ok(shown.every((row) => row.verified || row.instance === null) && shown.some((row) => row.kind === "grant"), JSON.stringify(shown));
  assert.match(shown.find((row) => row.reason === "head_rollback").words, /^a grant was refused \(head_rollback\)/);
  // A plane that does not show the key service's genesis makes no record a bad one: it is asked once, and that is its failure.
  const relay = await HostileRelay.start(stack);
  let asked = 0;
  relay.reset({ onAnswer: (x, answer) => { if (x.path.startsWith("/v1/kms/")) { asked++; answer.status = 503; answer.body = Buffer.from(JSON.stringify({ code: "unavailable", detail: "not now" })); } } });
  const unanswered = await stack.cli("records", "grants", app.id, "--json", { env: { REDOUBT_PROFILE: relay.profile } });
  await relay.close();
  assert.deepEqual([unanswered.code, unanswered.stdout, asked], [8, "", 1], unanswered.stderr);
  assert.equal(JSON.parse(unanswered.stderr).code, "unavailable");
});

test("R52: an app's rows altered behind its owner's signatures start nothing", { timeout: 180000 }, async () => {
  const other = await App.make("unaltered", source + " // another");
  await other.publish([]);
  const flip = (column) => `${column} = set_byte(${column}, length(${column}) / 2, get_byte(${column}, length(${column}) / 2) # 1)`;
  const take = (table, column) => `${column} = (SELECT ${column} FROM ${table} WHERE app_id = '${raw(other)}')`;
  const altered = [];
  for (const [what, table, change, reason] of [
    ["another app's genesis", "apps", take("apps", "genesis"), "genesis_mismatch"],
    ["a bit of the genesis", "apps", flip("genesis"), "genesis_mismatch"],
    ["another app's head", "heads", take("heads", "envelope"), "signature"],
    ["a bit of the head", "heads", flip("envelope"), "signature"],
    ["no key service", "heads", "kms = NULL", "kms_set"],
    ["another app's release", "releases", take("releases", "envelope"), "signature"],
    ["a bit of the release", "releases", flip("envelope"), "signature"],
    ["another app's code", "releases", take("releases", "code_digest"), "code_mismatch"],
  ]) {
    const app = await App.make("altered-" + altered.length, source + " // " + what);
    await app.publish([]);
    sql(`SET session_replication_role = replica; UPDATE ${table} SET ${change} WHERE app_id = '${raw(app)}'`);
    await app.deploy();
    altered.push([app, reason]);
  }
  for (const [app, reason] of altered) {
    await app.fails(reason);
    await app.stop();
  }
  // The host itself says no: no enclave is taken for any of them, and the owner reads why.
  const seen = sql(`SELECT l.instance_id, s.detail FROM lease_status s JOIN leases l USING (instance_id, epoch) WHERE s.phase = 8 AND l.app_id IN (${altered.map(([app]) => `'${raw(app)}'`).join(", ")})`);
  assert.ok(seen.length >= altered.length && seen.every(([, detail]) => detail.startsWith("before launch: ")), JSON.stringify(seen));
  const phases = stack.agent(1).log().split("\n").filter((line) => line.includes('"before launch: '));
  assert.ok(phases.length >= altered.length);
  const names = phases.map((line) => /ins_[a-z2-7]+/.exec(line)[0]);
  assert.deepEqual(stack.agent(1).log().split("\n").filter((line) => /launching/.test(line) && names.some((name) => line.includes(name))), []);
  const told = await stack.cli("logs", "altered-0");
  assert.match(told.stdout, /error not started: genesis_mismatch: before launch: /, told.stderr);
  await other.deploy();
  await other.serves();
  await other.stop();
});

// The agent's side of the pipe to the key service: frames pass, each answer to a wish for a grant through bend().
async function between() {
  const path = await until("the key service's socket", () => sockets(join(stack.dir, "agents", "1"))[0]);
  renameSync(path, path + ".true");
  const open = new Set(), pipe = { bend: (frame) => frame, request: null };
  const server = createServer((from) => {
    const to = connect(path + ".true");
    for (const one of [from, to]) { open.add(one); one.on("error", () => {}); }
    frames(from, (frame) => { if (frame[4] === 5) pipe.request = frame; to.write(frame); });
    frames(to, (frame) => from.write(frame[4] === 0x85 ? pipe.bend(frame) : frame));
    to.on("close", () => from.destroy());
    from.on("close", () => to.destroy());
  }).listen(path);
  await once(server, "listening");
  pipe.close = () => { for (const one of open) one.destroy(); server.close(); };
  return pipe;
}

const sockets = (folder) => readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? sockets(join(folder, e.name)) : e.isSocket() && e.name.startsWith("kms") ? [join(folder, e.name)] : []));

function frames(socket, each) {
  let waiting = Buffer.alloc(0);
  socket.on("data", (data) => {
    waiting = Buffer.concat([waiting, data]);
    while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
      const size = 4 + waiting.readUInt32BE(0);
      each(Buffer.from(waiting.subarray(0, size)));
      waiting = waiting.subarray(size);
    }
  });
}

// Of a frame with a grant: where its parts lie (docs/protocol/kms.md).
function parts(frame) {
  const size = frame.readUInt32BE(5), certificate = 9 + size + 64;
  return { sealed: frame.subarray(9, 9 + size), signature: frame.subarray(9 + size, certificate), rest: certificate + 2 + frame.readUInt16BE(certificate) };
}
const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16BE(n); return b; };
const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };

// Of a frame that asks for a grant.
const statementOf = (request) => Buffer.from(JSON.parse(request.subarray(9, 9 + request.readUInt32BE(5))).statement, "base64url");

// What somebody on the way who has keys of his own makes of it: another message, signed over the very statement that asked, with a certificate in the key service's name.
function forge(frame, request) {
  const thief = new Owner(), root = new Owner(), record = frame.subarray(parts(frame).rest);
  const statement = statementOf(request);
  const true_ = JSON.parse(frame.subarray(9 + parts(frame).sealed.length + 64 + 2, parts(frame).rest));
  const certificate = Buffer.from(canonical(root.envelope({ ...JSON.parse(Buffer.from(true_.document, "base64url")), key: thief.key }, "kms-replica-v1")));
  const sealed = randomBytes(parts(frame).sealed.length);
  const message = Buffer.concat([base32Bytes(kms), H("statement-v1", statement), sha256(sealed)]);
  const signature = sign(null, framed("sign", "grant-v1", message), thief.privateKey);
  const body = Buffer.concat([Buffer.from([0x85]), u32(sealed.length), sealed, signature, u16(certificate.length), certificate, record]);
  return Buffer.concat([u32(body.length), body]);
}

// A refusal in the place of a grant, on record under a key of whoever carries the key service.
function refuse(frame) {
  const thief = new Owner(), grant = JSON.parse(frame.subarray(parts(frame).rest)), code = Buffer.from("tcb_status");
  const document = { ...JSON.parse(Buffer.from(grant.document, "base64url")), replica: thief.key, number: 1, prev: null, kind: "refusal", reason: "tcb_status", until: null };
  const body = Buffer.concat([Buffer.from([0xff]), u16(code.length), code, u16(0), Buffer.from(canonical(thief.envelope(document, "record-v1")))]);
  return Buffer.concat([u32(body.length), body]);
}

test("R1: an answer that the key service did not seal for this very instance is refused by the enclave", { timeout: 180000 }, async () => {
  // From here on the way leads past this test: the socket is bent first, then the agent links anew.
  const pipe = await between();
  await stack.linkAnew(1);
  let recorded = null;
  const told = {};
  const flip = (frame, part) => { parts(frame)[part][3] ^= 1; return frame; };
  const serve = async (name, bend) => {
    const app = await App.make(name);
    await app.publish([]);
    told[app.id] = bend; // also of one that is tried again later
    pipe.bend = (frame) => (told[JSON.parse(statementOf(pipe.request)).app] ?? ((frame) => frame))(frame);
    await app.deploy();
    return app;
  };
  const first = await serve("receiver", (frame) => { recorded = Buffer.from(frame); return frame; });
  await first.serves();
  await first.stop();
  assert.ok(recorded, "a grant went by");
  const bends = {
    "sibling": () => recorded,
    "ciphertext": (frame) => flip(frame, "sealed"),
    "signature": (frame) => flip(frame, "signature"),
    "forged": (frame) => forge(frame, pipe.request),
  };
  const apps = {};
  for (const [what, bend] of Object.entries(bends)) {
    const bent = (apps[what] = await serve("bent-" + what, bend));
    await bent.fails("grant_signature");
    await bent.stop();
  }
  // Nor does the plane lead a caller by what is not the key service's own record of that very grant.
  const unproven = stack.processes.get("api").log().split("\n").filter((line) => line.includes("grant_unproven"));
  assert.deepEqual(new Set(unproven.map((line) => /grant_mismatch|grant_signature/.exec(line)?.[0])), new Set(["grant_mismatch", "grant_signature"]), "sibling and forged");
  const refused = await serve("refused", refuse);
  await refused.fails("tcb_status");
  await refused.stop();
  const shown = await onRecord(refused, (row) => row.reason === "tcb_status");
  assert.deepEqual([...new Set(shown.map((row) => row.verification))], ["unknown"], "nobody certified the key that refused");
  // What was no grant of this question is not kept; one that was only spoiled on its way was given.
  const kept = (what) => sql(`SELECT 1 FROM grant_log WHERE app_id = '${raw(apps[what])}'`).length > 0;
  assert.deepEqual(Object.keys(bends).map((what) => [what, kept(what)]), [["sibling", false], ["ciphertext", true], ["signature", true], ["forged", false]]);
  const last = await serve("unbent", (frame) => frame);
  await last.serves();
  await last.stop();
  pipe.close();
});
