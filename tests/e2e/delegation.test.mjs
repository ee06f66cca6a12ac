// Daily work without the owner's key (R10): a key that the owner delegated to signs releases, heads and secrets for a time, within what the owner's own last
// head says; each verifier holds it to that, and what the plane brings back of older rights is refused.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { canonical, frame, openGenesis, openSigned } from "../../web-static/formats.js";

const source = (word) => `export default { fetch: (request, env) => new Response("${word} " + (env.WORD ?? "nothing")) };`;
const open64 = (text) => JSON.parse(Buffer.from(text, "base64url"));

let stack, app, worker;
before(async () => {
  stack = await Stack.start({ hosts: 1, kms: true });
  assert.equal((await stack.cli("kms", "trust", await stack.kmsId(), "--yes")).code, 0);
  app = (await stack.deploy("daily", source("first"), { resources: { cpu_m: 1000 } })).app;
  worker = await holder("worker");
}, { timeout: 180000 });
after(() => stack?.close());

// A machine with a key of its own: {key, with(...flags)}, which has the owner delegate and answers options for the command line.
async function holder(name) {
  const path = (kind) => join(stack.dir, `${name}.${kind}`);
  const { key } = await stack.json("keys", "new", path("pem"));
  return { key, async with(...flags) {
    const made = await stack.cli("keys", "delegate", "daily", key, "--save", path("json"), ...flags);
    assert.equal(made.code, 0, made.stderr);
    writeFileSync(path("profile"), JSON.stringify({ ...JSON.parse(readFileSync(stack.profile, "utf8")), key_file: path("pem"), delegation_file: path("json"), state_dir: path("state") }), { mode: 0o600 });
    const options = { env: { REDOUBT_PROFILE: path("profile") } };
    assert.equal((await stack.cli("kms", "trust", await stack.kmsId(), "--yes", options)).code, 0);
    return options;
  } };
}

const heads = () => stack.rest("GET", `/v1/apps/${app}/heads`).then((list) => list.items.map((one) => ({ ...open64(one.document), signature: one.signatures[0] })));
function write(word) {
  writeFileSync(join(stack.dir, "src-daily", "index.js"), source(word));
  return join(stack.dir, "src-daily");
}
const said = async (word) => until(`the app says ${word}`, async () => (await stack.cli("invoke", "daily")).stdout.includes(word), 60000);
const refused = async (code, ...args) => {
  const before = (await heads()).length, result = await stack.cli(...args);
  assert.notEqual(result.code, 0, result.stdout);
  assert.match(result.stdout + result.stderr, code);
  assert.equal((await heads()).length, before, "nothing was published");
};

test("a delegated key deploys, sets a secret and rolls back; callers see whose word it is", { timeout: 240000 }, async () => {
  const by = await worker.with("--days", "2");
  const set = await stack.cli("secrets", "set", "daily", "WORD", { ...by, input: "sealed-word" });
  assert.equal(set.code, 0, set.stderr);
  const deployed = await stack.cli("deploy", write("second"), "--yes", by);
  assert.equal(deployed.code, 0, deployed.stderr);
  assert.match(deployed.stderr, /This head ends with the delegation, \d{4}-/);
  await said("second sealed-word");
  const [newest, , first] = await heads();
  assert.equal(newest.seq, 3);
  assert.deepEqual([newest.policy, newest.kms, newest.limits], [first.policy, first.kms, first.limits]);
  assert.ok(Date.parse(newest.expires) < Date.now() + 2 * 86400e3 + 1000, "it ends with the delegation");
  assert.equal(newest.signature.key, worker.key);
  assert.equal(open64(open64(newest.signature.base).document).seq, 1, "built upon the owner's own head");
  const verified = await stack.cli("verify", "daily", "--json");
  assert.equal(verified.code, 0, verified.stdout);
  assert.match(verified.stdout, /a key that the owner delegated to.*, until \d{4}-/);
  const back = await stack.cli("rollback", "daily", "--yes", by);
  assert.equal(back.code, 0, back.stderr);
  await said("first sealed-word");
});

test("what the delegation does not give is refused before anything is sent", { timeout: 180000 }, async () => {
  const secrets = await worker.with("--may", "head,secret");
  await refused(/delegation/, "deploy", write("third"), "--yes", secrets);
  const releases = await worker.with("--may", "head,release");
  await refused(/may not change secrets/, "secrets", "set", "daily", "OTHER", { ...releases, input: "x" });
  await (await holder("stranger")).with();
  const text = readFileSync(join(stack.dir, "stranger.json"));
  writeFileSync(join(stack.dir, "worker.json"), text);
  await refused(/another key/, "deploy", write("third"), "--yes", releases);
  assert.equal((await stack.cli("keys", "delegate", "daily", "x")).code, 2);
  assert.equal((await stack.cli("keys", "delegate", "daily", worker.key, "--may", "all")).code, 2);
  assert.equal((await stack.cli("keys", "delegate", "daily", worker.key, "--days", "0")).code, 2);
});

test("a delegation builds upon the owner's newest head; what the owner withdrew comes back for nobody", { timeout: 240000 }, async () => {
  const by = await worker.with();
  assert.equal((await stack.cli("deploy", write("fourth"), "--yes", by)).code, 0);
  const [delegated] = await heads();
  assert.equal(open64(open64(delegated.signature.base).document).seq, 1);
  assert.equal((await stack.cli("deploy", write("fifth"), "--yes")).code, 0, "the owner's own again");
  await said("fifth");
  const [owners] = await heads();
  assert.equal(owners.signature.delegation, undefined);
  assert.equal((await stack.cli("deploy", write("sixth"), "--yes", by)).code, 0, "the same delegation, upon the owner's new head");
  const [newest] = await heads();
  assert.equal(open64(open64(newest.signature.base).document).seq, owners.seq);
  await said("sixth");
  const shown = await stack.rest("GET", `/v1/apps/${app}/heads/current`);
  const data = Buffer.from(canonical({ ...open64(shown.document), seq: newest.seq + 1, prev: shown.digest }));
  const signature = sign(null, frame("sign", "head-v1", data), createPrivateKey(readFileSync(join(stack.dir, "worker.pem")))).toString("base64url");
  const send = (base) => stack.request("POST", `/v1/apps/${app}/heads`, { document: data.toString("base64url"), secrets: shown.secrets.map(({ name, version }) => ({ name, version })), signatures: [{ ...newest.signature, signature, base }] });
  const refused = await send(delegated.signature.base);
  assert.deepEqual([refused.status, refused.body.code], [409, "head_rollback"], JSON.stringify(refused.body));
  assert.equal((await send(newest.signature.base)).status, 201);
});

test("a changed delegation, base or signature verifies nowhere", { timeout: 180000 }, async () => {
  const [newest] = await heads(), flip = (text, at) => text.slice(0, at) + (text[at] === "A" ? "B" : "A") + text.slice(at + 1);
  const document = (await stack.rest("GET", `/v1/apps/${app}/heads/current`)).document;
  const next = Buffer.from(JSON.stringify({ ...open64(document), seq: newest.seq + 1 })).toString("base64url");
  for (const signature of [
    { ...newest.signature }, { ...newest.signature, delegation: flip(newest.signature.delegation, 200) }, { ...newest.signature, base: flip(newest.signature.base, 200) },
    { key: newest.signature.key, signature: newest.signature.signature }, { ...newest.signature, base: undefined }, { ...newest.signature, delegation: undefined }]) {
    const { status, body } = await stack.request("POST", `/v1/apps/${app}/heads`, { document: next, signatures: [signature] });
    assert.ok(status === 422 || status === 400, JSON.stringify(body));
  }
  // The dashboard's reader says the same.
  const genesis = await openGenesis(new Uint8Array(await (await fetch(`${stack.api}/v1/apps/${app}/genesis`, { headers: { authorization: `Bearer ${stack.token}` } })).arrayBuffer()), app);
  const opened = await openSigned({ document, signatures: [newest.signature] }, "head-v1", genesis, app);
  assert.equal(opened.delegation.key, newest.signature.key);
  for (const change of [{ delegation: flip(newest.signature.delegation, 200) }, { base: flip(newest.signature.base, 200) }, { delegation: undefined }, { base: undefined }, { key: open64(newest.signature.base).signatures[0].key }, { delegation: newest.signature.base }])
    await assert.rejects(openSigned({ document, signatures: [{ ...newest.signature, ...change }] }, "head-v1", genesis, app));
  await assert.rejects(openSigned({ document, signatures: [newest.signature, newest.signature] }, "head-v1", genesis, app));
});

test("how long grants hold is the owner's, stays until he says otherwise, and reaches what runs", { timeout: 180000 }, async () => {
  const by = await worker.with(), manifest = (limits) => writeFileSync(join(stack.dir, "src-daily", "redoubt.json"), JSON.stringify({ name: "daily", main: "index.js", plain: true, resources: { cpu_m: 1000 }, ...limits }));
  manifest({ limits: { grant_s: 900, grant_requests: 5000 } });
  await refused(/owners' to change/, "deploy", write("terms"), "--yes", by);
  const deployed = await stack.cli("deploy", write("terms"), "--yes");
  assert.equal(deployed.code, 0, deployed.stderr);
  assert.match(deployed.stderr, /limits\.grant_s {2}0 -> 900\n +limits\.grant_requests {2}0 -> 5000/);
  await said("terms");
  manifest({});
  assert.equal((await stack.cli("deploy", write("kept"), "--yes", by)).code, 0);
  assert.equal((await stack.cli("rollback", "daily", "--yes")).code, 0);
  for (const head of (await heads()).slice(0, 3)) assert.deepEqual(head.limits, { grant_requests: 5000, grant_s: 900 });
  await said("terms");
});
