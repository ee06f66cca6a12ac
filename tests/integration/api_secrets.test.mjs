// Sealed secrets and key services as the plane keeps them: ciphertext by version, and heads that name exactly what is stored.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Plane, H, b64u, base32, canonical, digestText, head, headDigest, sha256 } from "./api_fixture.mjs";

let plane;
before(async () => { plane = await Plane.start(); }, { timeout: 180000 });
after(async () => { await plane?.close(); });

const octets = { "content-type": "application/octet-stream" };
const u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; };
const rootOf = (list) => digestText(H("secrets-v1", ...[...list].sort((a, b) => (a.name < b.name ? -1 : 1)).flatMap((s) => [Buffer.from(s.name), u64(s.version), sha256(s.sealed)])));
const names = (list) => list.map(({ name, version }) => ({ name, version }));

// A key service that some host of the plane has brought in.
function addKms() {
  const genesis = Buffer.from(`{"n":"${randomBytes(8).toString("hex")}"}`);
  const raw = H("kms-genesis-v1", genesis);
  plane.sql(`INSERT INTO kms (kms_id, genesis, class, host_id) VALUES ('\\x${raw.toString("hex")}', '\\x${genesis.toString("hex")}', 'simulated', gen_random_uuid())`);
  return "kms_" + base32(raw);
}

const put = (app, secret, sealed = secret.sealed) => plane.request("PUT", `/v1/apps/${app}/secrets/${secret.name}/${secret.version}`, sealed, octets);
const post = (app, document, list, change = {}) =>
  plane.request("POST", `/v1/apps/${app.app}/heads`, { ...app.owner.envelope(document, "head-v1"), ...(list ? { secrets: names(list) } : {}), ...change });
const next = (app, last, kms, list, change = {}) =>
  head(app.app, last.seq + 1, headDigest(last), [app.release], { kms: [kms], secrets: { count: list.length, root: list.length ? rootOf(list) : digestText(H("secrets-v1")) }, ...change });
const secret = (name, version = 1, size = 320) => ({ name, version, sealed: randomBytes(size) });

test("a sealed secret is kept by version, and is never another one", async () => {
  const app = await plane.makeApp("keeps");
  const one = secret("API_KEY");
  assert.equal((await put(app.app, one)).status, 201);
  assert.equal((await put(app.app, one)).status, 200);
  const other = await put(app.app, one, randomBytes(320));
  assert.deepEqual([other.status, other.body.code], [409, "secret_exists"]);
  assert.equal((await put(app.app, { ...one, version: 2 }, randomBytes(320))).status, 201);
  assert.deepEqual((await plane.request("GET", `/v1/apps/${app.app}/secrets/API_KEY/1`)).bytes, one.sealed);
  const { items } = (await plane.request("GET", `/v1/apps/${app.app}/secrets`)).body;
  assert.deepEqual(items.map((s) => [s.name, s.version, s.current]), [["API_KEY", 2, false], ["API_KEY", 1, false]]);
  assert.equal(items[1].digest, digestText(sha256(one.sealed)));
});

test("names, versions and sizes have bounds", async () => {
  const app = await plane.makeApp("bounds");
  for (const [path, size, status] of [["lower/1", 320, 422], ["1A/1", 320, 422], ["A%3DB/1", 320, 422], ["A/0", 320, 422], ["A/x", 320, 422], ["A/9007199254740992", 320, 422],
    ["redoubt.code.00/1", 320, 422], ["A/1", 0, 413], ["A/1", 33073, 413], ["A/1", 41000, 413], ["redoubt.code." + "0f".repeat(32) + "/1", 320, 201]]) {
    const answer = await plane.request("PUT", `/v1/apps/${app.app}/secrets/${path}`, randomBytes(size), octets);
    assert.equal(answer.status, status, path + " " + JSON.stringify(answer.body));
  }
  plane.sql(`INSERT INTO secrets (org_id, app_id, name, version, sealed, digest) SELECT a.org_id, a.app_id, 'FULL', n, 'x', sha256('x') FROM apps a, generate_series(1, 255) n WHERE a.name = 'bounds'`);
  const full = await put(app.app, secret("MORE"));
  assert.deepEqual([full.status, full.body.code], [409, "quota_exceeded"]);
});

// J8 : of another tenant, and under names that look alike or lead elsewhere (above).
test("another organisation's secrets are not there", async () => {
  const app = await plane.makeApp("mine");
  const one = secret("A");
  await put(app.app, one);
  const foreign = { authorization: "Bearer " + plane.bootstrap("foreign").token };
  for (const [method, path] of [["GET", ""], ["GET", "/A/1"], ["DELETE", "/A"]])
    assert.equal((await plane.request(method, `/v1/apps/${app.app}/secrets${path}`, undefined, foreign)).status, 404, method + path);
  assert.equal((await plane.request("PUT", `/v1/apps/${app.app}/secrets/B/1`, randomBytes(320), { ...octets, ...foreign })).status, 404);
  assert.equal((await plane.request("GET", `/v1/apps/${app.app}/secrets`)).body.items.length, 1);
});

test("R4: a head is taken only with exactly the secrets that its root is over", async () => {
  const app = await plane.makeApp("exact");
  const kms = addKms();
  const list = [secret("B"), secret("A", 3), secret("redoubt.code." + "ab".repeat(32))];
  for (const one of list) await put(app.app, one);
  await put(app.app, { ...list[0], version: 2 }, randomBytes(320));
  const good = next(app, app.head, kms, list);
  const refused = async (sent, code = "secrets_incomplete", status = 409) => {
    const answer = await post(app, good, sent);
    assert.deepEqual([answer.status, answer.body.code], [status, code]);
  };
  await refused(undefined);
  await refused(list.slice(1));
  await refused([{ ...list[0], version: 2 }, ...list.slice(1)]);
  await refused([...list, secret("C")]);
  await refused([list[0], list[0], list[1]]);
  await refused([{ name: "", version: 1 }], "json_range", 422);
  const taken = await post(app, good, [list[2], list[0], list[1]]);
  assert.equal(taken.status, 201, JSON.stringify(taken.body));
  assert.equal(taken.body.kms, kms);
  assert.deepEqual(taken.body.secrets.map((s) => [s.name, s.version]), [["A", 3], ["B", 1], [list[2].name, 1]]);
  assert.equal((await post(app, good, list)).status, 200);
  const current = (await plane.request("GET", `/v1/apps/${app.app}/heads/current`)).body;
  assert.deepEqual(current.secrets, taken.body.secrets);
  assert.deepEqual((await plane.request("GET", `/v1/apps/${app.app}/heads`)).body.items[1].secrets, []);
});

test("a head without secrets needs no list, and one that names an unknown key service is refused", async () => {
  const app = await plane.makeApp("unknown");
  const answer = await post(app, next(app, app.head, "kms_" + "a".repeat(52), []));
  assert.deepEqual([answer.status, answer.body.code], [422, "kms_unknown"]);
  assert.equal((await post(app, next(app, app.head, addKms(), []))).status, 201);
  const release = await plane.request("POST", `/v1/apps/${app.app}/releases`, { ...app.owner.envelope(app.releaseDocument, "release-v1"), secrets: [] });
  assert.equal(release.status, 422, "releases list none");
});

test("what the current head lists cannot be deleted; what it does not goes, and the old head's list stays", async () => {
  const app = await plane.makeApp("deletes");
  const kms = addKms();
  const old = secret("A"), fresh = { ...secret("A"), version: 2 };
  await put(app.app, old);
  await put(app.app, fresh);
  const first = next(app, app.head, kms, [old]);
  assert.equal((await post(app, first, [old])).status, 201);
  const remove = (query = "") => plane.request("DELETE", `/v1/apps/${app.app}/secrets/A${query}`);
  const kept = await remove("?version=1");
  assert.deepEqual([kept.status, kept.body.code], [409, "secret_in_use"]);
  const second = next(app, first, kms, [fresh]);
  assert.equal((await post(app, second, [fresh])).status, 201);
  assert.equal((await remove()).status, 204);
  assert.deepEqual((await plane.request("GET", `/v1/apps/${app.app}/secrets`)).body.items.map((s) => [s.version, s.current]), [[2, true]]);
  assert.deepEqual((await plane.request("GET", `/v1/apps/${app.app}/heads`)).body.items[1].secrets.map((s) => s.version), [1]);
  assert.equal((await remove()).status, 409);
  assert.equal((await plane.request("DELETE", `/v1/apps/${app.app}/secrets/NONE`)).status, 404);
});

test("secrets go with their app", async () => {
  const app = await plane.makeApp("goes");
  await put(app.app, secret("A"));
  assert.equal((await plane.request("DELETE", `/v1/apps/${app.app}`, undefined, { "if-match": "*" })).status, 204);
  assert.deepEqual(plane.sql(`SELECT count(*) FROM secrets s JOIN apps a USING (app_id) WHERE a.name = 'goes'`), ["0"]);
});

test("key services are listed without their hosts; one that no link leads to answers 503", async () => {
  const kms = addKms();
  const { items } = (await plane.request("GET", "/v1/kms")).body;
  const one = items.find((k) => k.id === kms);
  assert.deepEqual([one.class, one.hosts, one.linked], ["simulated", 0, 0]);
  assert.equal("kms_" + base32(H("kms-genesis-v1", Buffer.from(one.genesis, "base64url"))), kms);
  assert.deepEqual((await plane.request("GET", `/v1/kms/${kms}`)).body, one);
  assert.equal((await plane.request("GET", "/v1/kms/kms_x")).status, 404);
  const nonce = b64u(randomBytes(32));
  for (const [path, status] of [[`/evidence?nonce=${nonce}`, 503], ["/evidence", 400], ["/evidence?nonce=AA", 400], [`/seal-key?app=app_${"a".repeat(52)}`, 503], ["/seal-key", 422],
    [`/seal-key?app=app_${"a".repeat(52)}&version=0`, 422]])
    assert.equal((await plane.request("GET", `/v1/kms/${kms}${path}`)).status, status, path);
  assert.equal(canonical(one).includes("host_id"), false);
});

test("a head that gives instances something else tells the scheduler, and no other does", async () => {
  const app = await plane.makeApp("leaves");
  const kms = addKms(), other = addKms();
  const key = secret("KEY"), rotated = secret("KEY", 2), extra = secret("EXTRA"), code = secret("redoubt.code." + "cd".repeat(32));
  for (const one of [key, rotated, extra, code]) assert.equal((await put(app.app, one)).status, 201);
  let last = app.head;
  const told = () => Number(plane.sql(`SELECT count(*) FROM evaluations WHERE cause = 'head' AND subject = (SELECT app_id FROM apps WHERE name = 'leaves')`));
  for (const [what, service, list, leaves] of [
    ["a key service", kms, [], true], ["a first secret", kms, [key], true], ["the same again", kms, [key], false], ["a key of code", kms, [key, code], false],
    ["another version", kms, [rotated, code], true], ["one more", kms, [extra, rotated, code], true], ["without the key of code", kms, [extra, rotated], false],
    ["one less", kms, [rotated], true], ["another key service", other, [rotated], true]]) {
    const before = told();
    last = next(app, last, service, list);
    const answer = await post(app, last, list);
    assert.equal(answer.status, 201, what + JSON.stringify(answer.body));
    assert.equal((await post(app, last, list)).status, 200);
    const from = Number(plane.sql(`SELECT seq - fits_from FROM heads h JOIN apps a USING (app_id) WHERE a.name = 'leaves' ORDER BY seq DESC LIMIT 1`));
    assert.deepEqual([told() - before, from === 0], [leaves ? 1 : 0, leaves], what);
  }
});
