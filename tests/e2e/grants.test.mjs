// Secrets and sealed code from the owner's machine to the function: read there, and nowhere on the way.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { canonical } from "../../web-static/formats.js";
import { Stack, until } from "../support/stack.mjs";

const SECRET = "secret-marker-" + randomBytes(12).toString("hex");
const CODE = "code-marker-" + randomBytes(12).toString("hex");
// What the function read is told by its length and a short sum: the secret itself crosses no wire in the test either.
const sum = (text) => [...text].reduce((n, c) => (n * 31 + c.charCodeAt(0)) % 65521, 7);
const source = (mark = CODE) => `const mark = "${mark}";
const sum = ${sum};
export default (request, env) => new Response(JSON.stringify({ has: env.API_KEY ? env.API_KEY.length : 0, sum: env.API_KEY ? sum(env.API_KEY) : 0, mark: mark.length, greeting: env.GREETING }));`;

let stack, kms, app;
before(async () => {
  stack = await Stack.start({ kms: true });
  kms = await stack.kmsId();
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

// Behind a deployment the instance from before may answer a little longer.
const settles = (what, is) => until(what, async () => is(await ask()));
const ask = async (id = app) => {
  const answer = await stack.invoke(id);
  assert.equal(answer.status, 200, answer.body);
  return JSON.parse(answer.body);
};

test("an app without a key service works as before, and a key service counts once it is trusted", { timeout: 180000 }, async () => {
  const plain = await stack.deploy("plain", source("nothing"));
  const head = await stack.rest("GET", `/v1/apps/${plain.app}/heads/current`);
  assert.deepEqual([head.kms, head.secrets], [null, []]);
  assert.equal((await ask(plain.app)).has, 0);
  const refused = await stack.cli("secrets", "set", "plain", "API_KEY", { input: SECRET });
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /kms_unknown/);
  const shown = await stack.json("kms", "show", kms);
  assert.deepEqual([shown.verified, shown.trusted, shown.class], [true, false, "simulated"]);
  const trusted = await stack.cli("kms", "trust", kms, "--yes");
  assert.equal(trusted.code, 0, trusted.stderr);
  assert.match(trusted.stderr, /recovery/);
  assert.equal((await stack.json("kms", "list")).find((k) => k.id === kms).trusted, true);
});

test("code is sealed by default, a secret is read by the function, and an argument is no way in", { timeout: 180000 }, async () => {
  const first = await stack.deploy("private", source(), { env: { GREETING: "hello" } });
  app = first.app;
  assert.deepEqual(await ask(), { has: 0, sum: 0, mark: CODE.length, greeting: "hello" });
  const release = JSON.parse(Buffer.from((await stack.rest("GET", `/v1/apps/${app}/releases/${first.release}`)).document, "base64url"));
  assert.deepEqual([release.public_code, release.code.sealed], [false, true]);
  const given = await stack.cli("secrets", "set", "private", "API_KEY", "value");
  assert.equal(given.code, 2);
  assert.match(given.stderr, /pipe it in/);
  const set = await stack.cli("secrets", "set", "private", "API_KEY", "--json", { input: SECRET + "\n" });
  assert.equal(set.code, 0, set.stderr);
  assert.equal(JSON.parse(set.stdout).version, 1);
  await stack.deploy("private", source(), { env: { GREETING: "hello" } });
  await settles("it has the secret", ({ has }) => has > 0);
  assert.deepEqual(await ask(), { has: SECRET.length, sum: sum(SECRET), mark: CODE.length, greeting: "hello" });
  assert.deepEqual((await stack.json("secrets", "list", "private")).filter((s) => !s.code).map((s) => [s.name, s.version]), [["API_KEY", 1]]);
  await assert.rejects(stack.deploy("private", source(), { env: { API_KEY: "hello" } }), /env.API_KEY is the name of a secret/);
  const verified = await stack.cli("verify", "private");
  assert.equal(verified.code, 0, verified.stderr + verified.stdout);
});

test("names of key services that nobody carries take no place for good", { timeout: 180000 }, async () => {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  for (let i = 0; i < 300; i++) {
    const id = "kms_" + [...randomBytes(51)].map((byte) => alphabet[byte % 32]).join("") + "a";
    const answer = await stack.request("GET", `/v1/kms/${id}/seal-key?app=${app}&version=1`);
    assert.deepEqual([answer.status, answer.body.detail], [503, "no link leads to the key service"]);
  }
  assert.equal((await stack.json("kms", "show", kms)).verified, true);
});

test("a rotated secret is what the next start reads; one that is unset is gone", { timeout: 180000 }, async () => {
  const next = SECRET.split("").reverse().join("");
  const rotated = await stack.cli("secrets", "rotate", "private", "API_KEY", "--json", { input: next });
  assert.equal(JSON.parse(rotated.stdout).version, 2);
  await stack.deploy("private", source(), {});
  await settles("it has the new one", ({ has, sum: of }) => has === SECRET.length && of === sum(next));
  const unset = await stack.cli("secrets", "unset", "private", "API_KEY");
  assert.equal(unset.code, 0, unset.stderr);
  await stack.deploy("private", source(), {});
  await settles("it has none", ({ has }) => has === 0);
  const listed = await stack.rest("GET", `/v1/apps/${app}/secrets`);
  assert.equal(listed.items.some((s) => s.name === "API_KEY"), false);
  assert.notEqual((await stack.cli("secrets", "rotate", "private", "API_KEY", { input: "x" })).code, 0);
});

test("a secret that is set while calls run is soon in use, without a deploy, and no call fails", { timeout: 180000 }, async () => {
  const next = "set while it ran " + SECRET, running = () => stack.sql(`SELECT l.instance_id, l.deployment_gen FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'private' AND l.live AND l.want = 1`);
  const [[before, generation]] = running(), first = (await ask()).sum;
  let isOver = false;
  const sums = [];
  const calls = async () => { while (!isOver) sums.push((await ask()).sum); };
  const loops = Promise.all([calls(), calls(), calls()]);
  loops.catch(() => {}); // told when they are awaited
  try {
    const set = await stack.cli("secrets", "set", "private", "API_KEY", { input: next });
    assert.equal(set.code, 0, set.stderr);
    assert.match(set.stderr, /serving after [0-9.]+ ms: ins_/);
    // It has waited: this machine, which knows the newer head, is answered at once.
    assert.deepEqual(JSON.parse((await stack.json("invoke", "private")).body).sum, sum(next));
    await until("the instance from before is gone", () => stack.sql(`SELECT 1 FROM leases WHERE instance_id = '${before}' AND NOT held AND end_reason = 'stopped'`).length === 1, 60000);
    const from = sums.length;
    await until("calls go on", () => sums.length > from + 20, 60000);
    assert.deepEqual(new Set(sums.slice(from + 3)), new Set([sum(next)])); // three may have been on their way
    assert.deepEqual(JSON.parse((await stack.json("invoke", "private")).body).sum, sum(next));
  } finally {
    isOver = true;
    await loops;
  }
  assert.deepEqual(new Set(sums), new Set([first, sum(next)]));
  const [[after, same]] = running();
  assert.notEqual(after, before);
  assert.equal(same, generation);
  assert.equal((await stack.cli("secrets", "unset", "private", "API_KEY")).code, 0);
  await until("one that is unset is gone without a deploy, too", async () => (await ask()).has === 0, 60000);
});

test("a call that wakes an app is led there by the grant, and a large one comes whole", { timeout: 300000 }, async () => {
  const made = await stack.deploy("woken", `export default { async fetch(request) { const text = await request.text(); return new Response(text.length + " " + text.slice(-3)); } }`, { instances: { min: 0, max: 1, idle_s: 10 } });
  const led = async () => Number(/^redoubt_grants_led_total (\d+)/m.exec(await (await fetch(stack.api + "/metrics", { headers: { authorization: "Bearer " + stack.token } })).text())[1]);
  const before = await led();
  // The grant's proof and the plane's verdict run side by side: on a busy machine the verdict may be first now and then.
  for (let tries = 0; tries < 5 && (await led()) === before; tries++) {
    await until("it sleeps", async () => !(await stack.rest("GET", `/v1/apps/${made.app}/instances`)).items.some((one) => one.live));
    // Beside the large call, which waits at the relay for its pipe to open, a small one, which goes ahead of that.
    const [large, small] = await Promise.all([stack.invoke(made.app, "/", { body: "x".repeat(200000) + "end" }), stack.invoke(made.app, "/", { body: "end" })]);
    assert.deepEqual([large.status, large.body, small.status, small.body], [200, "200003 end", 200, "3 end"]);
    assert.ok(large.headers["redoubt-receipt"] && small.headers["redoubt-receipt"]);
  }
  assert.ok((await led()) > before, "callers were led by a grant");
});

test("R25 what the key service put on record about an app is kept and verified; what was changed in the database is noticed", { timeout: 180000 }, async () => {
  const of = (name) => `app_id = (SELECT app_id FROM apps WHERE name = '${name}')`, show = (...words) => stack.cli("records", "grants", "private", ...words);
  const leases = stack.sql(`SELECT DISTINCT instance_id, epoch FROM leases WHERE ${of("private")} AND held`);
  await until("each instance's grant is kept", () => leases.every(([instance, epoch]) => stack.sql(`SELECT 1 FROM grant_log WHERE instance_id = '${instance}' AND epoch = ${epoch}`).length));
  // Refusals may lie between, and grants come later: what is compared are the grants of now.
  const listed = async (...words) => (await stack.json("records", "grants", "private", ...words)).filter((one) => one.kind === "grant");
  const rows = await listed(), name = (one) => `${one.replica} ${one.number}`;
  const among = (list) => { const names = new Map(list.map((one) => [name(one), one])); return rows.map((one) => names.get(name(one))); };
  assert.ok(rows.length >= 4 && rows.every((one) => one.verified && one.trusted && one.kms === kms && one.problem === null), JSON.stringify(rows));
  assert.equal(new Set(rows.map(name)).size, rows.length, "no number twice");
  const ofOne = await listed("--instance", rows[0].instance);
  assert.ok(ofOne.length > 0 && ofOne.every((one) => one.instance === rows[0].instance), JSON.stringify(ofOne));
  const table = await show();
  assert.match(table.stdout, /^AT +KIND +INSTANCE +NUMBER +REASON +VERIFIED\n/);
  assert.match(table.stdout, new RegExp(`grant +${rows[0].instance} +${rows[0].number} +- +verified\n`));
  assert.match((await stack.cli("records", "grants", "plain")).stderr, /No key service has put anything on record about plain yet/);
  const list = join(stack.dir, "cli", "state", "kms.json"), trusted = readFileSync(list, "utf8");
  const asStranger = async (...words) => {
    writeFileSync(list, JSON.stringify({ trusted: ["kms_" + "a".repeat(52)] }));
    const shown = await show(...words);
    writeFileSync(list, trusted);
    return shown;
  };
  const stranger = await asStranger();
  assert.match(stranger.stdout, / not trusted\n/);
  assert.match(stranger.stderr, new RegExp(`${kms} is not trusted on this machine`));
  // What the plane says beside a record is not what is shown.
  const those = `${of("private")} AND number IN (${rows.map((one) => one.number).join(", ")})`;
  stack.sql(`UPDATE grant_log SET is_grant = false, reason = 'tcb_status' WHERE ${those}`);
  assert.deepEqual(among(await listed()), rows);
  stack.sql(`UPDATE grant_log SET is_grant = true, reason = NULL WHERE ${those}`);
  const one = `${of("private")} AND number = ${rows[1].number}`;
  for (const [what, code, change, back] of [
    ["a bit of it", 6, ...Array(2).fill("record = set_byte(record, 400, get_byte(record, 400) # 1)")],
    ["another app's in its place", 0, `record = (SELECT record FROM grant_log WHERE ${of("woken")} AND is_grant LIMIT 1)`, `record = decode('${Buffer.from(rows[1].record, "base64url").toString("hex")}', 'hex')`],
  ]) {
    stack.sql(`UPDATE grant_log SET ${change} WHERE ${one}`);
    const noticed = await show("--json"), found = JSON.parse(noticed.stdout);
    assert.equal(noticed.code, 6, `${what}: ${noticed.stderr}`);
    assert.match(noticed.stderr, new RegExp(`1 of ${found.length} records do not hold`), what);
    assert.equal(found.filter((row) => row.verification === "failed").length, 1, what);
    assert.deepEqual(among(found).filter((_, i) => i !== 1), rows.filter((_, i) => i !== 1), what);
    // What somebody's key service signed is no alarm where it is not trusted; what cannot be read is nobody's but the plane's.
    assert.equal((await asStranger()).code, code, what);
    stack.sql(`UPDATE grant_log SET ${back} WHERE ${one}`);
  }
  assert.deepEqual(among(await listed()), rows);
});

test("a plane that hides the trusted key service makes no code public, and a list that cannot be read trusts nobody", { timeout: 180000 }, async () => {
  const list = join(stack.dir, "cli", "state", "kms.json"), kept = readFileSync(list, "utf8");
  writeFileSync(list, JSON.stringify({ trusted: ["kms_" + "a".repeat(52)] }));
  await assert.rejects(stack.deploy("hidden", source()), /the code would be public/);
  assert.equal((await stack.rest("GET", "/v1/apps?name=hidden")).items.length, 0);
  writeFileSync(list, kept.slice(0, -3));
  for (const words of [["kms", "show", kms], ["verify", "private"], ["secrets", "set", "private", "OTHER"]]) {
    const refused = await stack.cli(...words, { input: SECRET });
    assert.notEqual(refused.code, 0);
    assert.match(refused.stdout + refused.stderr, /not the list of trusted key services/);
  }
  rmSync(list);
  const refused = await stack.cli("secrets", "set", "private", "OTHER", "--yes", { input: SECRET });
  assert.match(refused.stderr, /no key service is trusted here yet/);
  writeFileSync(list, kept);
});

test("nothing is sealed to an app of several owners that the plane names for us", { timeout: 180000 }, async () => {
  const response = await fetch(`${stack.api}/v1/apps/${app}/genesis`, { headers: { authorization: "Bearer " + stack.token } });
  const genesis = await response.json();
  const other = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x;
  genesis.owners = [...genesis.owners, { ...genesis.owners[0], key: other }].sort((a, b) => (a.key < b.key ? -1 : 1));
  const { id } = await stack.rest("POST", "/v1/apps", { name: "shared", genesis: Buffer.from(canonical(genesis)).toString("base64url") });
  const refused = await stack.cli("secrets", "set", "shared", "API_KEY", { input: SECRET });
  assert.equal(refused.code, 6, refused.stderr);
  assert.match(refused.stderr, /has 2 owners/);
  const named = await stack.cli("secrets", "set", id, "API_KEY", { input: SECRET });
  assert.doesNotMatch(named.stderr, /has 2 owners/);
});
