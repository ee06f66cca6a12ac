// From an empty database to a receipt: documents signed by the owner go in over REST, a simulated host serves them, the
// apps origin answers, and what comes back is checked by node's own crypto. Needs all programs in build/bin (REDOUBT_BIN).
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, createHmac, createPublicKey, hkdfSync, randomBytes, verify } from "node:crypto";
import { answersNonce } from "../../web-static/formats.js";
import { Stack, until } from "../support/stack.mjs";
import { Owner, appIdOf, b64u, bundle, canonical, frame, head, headDigest, release, releaseDigest, sha256, H } from "../integration/api_fixture.mjs";

const source = `export default { async fetch(request) {
  return new Response("hello " + (await request.text()), { headers: { "content-type": "text/plain" } });
} };`;

let stack;
before(async () => { stack = await Stack.start({ hosts: 1 }); }, { timeout: 180000 });
after(async () => { await stack?.close(); });

// P(parts) of docs/protocol/formats.md.
function parts(...values) {
  return Buffer.concat(values.flatMap((value) => {
    const bytes = Buffer.from(value), size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(bytes.length));
    return [size, bytes];
  }));
}
function commitment(salt, which, ...values) {
  const key = Buffer.from(hkdfSync("sha256", salt, Buffer.alloc(0), frame("kdf", "commit-v1", Buffer.from(which)), 32));
  return b64u(createHmac("sha256", key).update(parts(...values)).digest());
}
const fromB64u = (text) => Buffer.from(text, "base64url");
const digestText = (bytes) => "sha256:" + bytes.toString("hex");

// The receipt's claims, after its signature and its place in the burst's tree were checked under the key in the evidence.
function openReceipt(text, receiptKey) {
  const receipt = JSON.parse(fromB64u(text));
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: receiptKey }, format: "jwk" });
  assert.ok(verify(null, Buffer.from(receipt.root.protected + "." + receipt.root.payload), key, fromB64u(receipt.root.signature)), "signature");
  const root = JSON.parse(fromB64u(receipt.root.payload));
  let node = H("receipt-leaf-v1", Buffer.from(canonical(receipt.claims)));
  let index = receipt.index, width = root.count, at = 0;
  for (; width > 1; index >>= 1, width = (width + 1) >> 1) {
    if (!(index & 1) && index + 1 === width) continue; // carried up
    const sibling = Buffer.from(receipt.path[at++].slice("sha256:".length), "hex");
    node = index & 1 ? H("receipt-node-v1", sibling, node) : H("receipt-node-v1", node, sibling);
  }
  assert.equal(at, receipt.path.length);
  assert.equal(digestText(node), root.root);
  return receipt.claims;
}

// Where a nonce leads along the path in its bundle: the nonce of the statement.
function nonceRoot(nonce, { siblings, sides }) {
  return siblings.map((text) => Buffer.from(text.slice("sha256:".length), "hex")).reduce((node, sibling, k) => (sides >> k) & 1 ? H("nonce-node-v1", sibling, node) : H("nonce-node-v1", node, sibling), H("nonce-leaf-v1", nonce));
}
const statementOf = (bundle) => JSON.parse(fromB64u(bundle.statement));

const made = {};

test("owner's documents become a serving instance", { timeout: 180000 }, async () => {
  const owner = new Owner();
  const genesis = owner.genesis();
  made.app = appIdOf(genesis);
  const code = bundle(source);
  await stack.rest("POST", "/v1/apps", { name: "first", genesis: b64u(genesis) }, { "idempotency-key": "app" });
  await stack.rest("PUT", "/v1/blobs/" + sha256(code).toString("hex"), code, { "content-type": "application/octet-stream" });
  made.release = release(made.app, 1, code);
  await stack.rest("POST", `/v1/apps/${made.app}/releases`, owner.envelope(made.release, "release-v1"), { "idempotency-key": "release" });
  made.head = head(made.app, 1, null, [releaseDigest(made.release)], {
    policy: { ...head(made.app, 1, null, []).policy, measurements: [{ mrtd: stack.measurement }] },
  });
  await stack.rest("POST", `/v1/apps/${made.app}/heads`, owner.envelope(made.head, "head-v1"), { "idempotency-key": "head" });
  const started = performance.now();
  const deployment = await stack.rest("POST", `/v1/apps/${made.app}/deployments`, { release: releaseDigest(made.release), min: 1, max: 1, kind: "deploy" }, { "idempotency-key": "deploy" });
  const instances = await until("an instance serves", async () => {
    const list = (await stack.rest("GET", `/v1/apps/${made.app}/instances`)).items;
    return list.some((i) => i.serving) && list;
  }, 30000, 5);
  console.log(`accept to serving, seen from outside: ${Math.round(performance.now() - started)} ms`);
  made.instance = instances.find((i) => i.serving);
  assert.equal(made.instance.verdict.result, "accepted");
  assert.equal(made.instance.verdict.simulated, true);
  const view = await until("the deployment is healthy", async () => {
    const d = await stack.rest("GET", `/v1/deployments/${deployment.id}`);
    return d.state === "healthy" && d;
  });
  assert.ok(view.stages.every((stage) => stage.at), JSON.stringify(view.stages));
});

test("the instance answers on the apps origin with a receipt that holds", { timeout: 180000 }, async () => {
  const evidence = await stack.rest("GET", `/v1/instances/${made.instance.id}/evidence`);
  const statement = JSON.parse(fromB64u(evidence.statement));
  assert.equal(statement.app, made.app);
  assert.equal(statement.release, releaseDigest(made.release));
  assert.equal(statement.head, headDigest(made.head));
  const salt = randomBytes(32), nonce = b64u(randomBytes(32));
  const answer = await stack.invoke(made.app, "/some?where=1", {
    body: "world", headers: { "content-type": "text/plain", "content-length": 5, "redoubt-salt": b64u(salt), "redoubt-nonce": nonce },
  });
  assert.equal(answer.status, 200, answer.body);
  assert.equal(answer.body, "hello world");
  assert.equal(answer.headers["x-content-type-options"], "nosniff");
  assert.equal(answer.headers["redoubt-instance"], `${made.instance.id}.${made.instance.epoch}`);
  const claims = openReceipt(answer.headers["redoubt-receipt"], statement.keys.receipt);
  assert.equal(claims.app, made.app);
  assert.equal(claims.release, releaseDigest(made.release));
  assert.equal(claims.nonce, nonce);
  assert.equal(claims.evidence, digestText(H("statement-v1", fromB64u(evidence.statement))));
  assert.equal(claims.request, commitment(salt, "request", "POST", "/some?where=1", "text/plain", "world"));
  assert.equal(claims.response, commitment(salt, "response", "200", answer.headers["content-type"], answer.body));
});

test("the same over the API's origin, and fresh evidence for a caller's nonce", { timeout: 180000 }, async () => {
  const wrapped = await stack.rest("POST", `/v1/apps/${made.app}/invoke?path=/x`, "again", { "content-type": "text/plain" });
  assert.equal(wrapped.status, 200);
  assert.equal(Buffer.from(wrapped.body, "base64").toString(), "hello again");
  assert.ok(wrapped.receipt && wrapped.salt);
  const nonce = randomBytes(32);
  const evidence = await stack.rest("GET", `/v1/instances/${made.instance.id}/evidence?nonce=${b64u(nonce)}`);
  const statement = statementOf(evidence);
  assert.deepEqual(evidence.nonce_path, { sides: 0, siblings: [] }, "who asks alone has a quote of his own");
  assert.equal(statement.nonce, b64u(nonceRoot(nonce, evidence.nonce_path)));
  assert.equal(statement.purpose, "client");
  const docs = await stack.rest("GET", `/v1/instances/${made.instance.id}/docs`);
  assert.equal(createHash("sha256").update(frame("hash", "app-genesis-v1", fromB64u(docs.genesis))).digest("hex").length, 64);
  assert.equal(appIdOf(fromB64u(docs.genesis)), made.app);
});

// The enclave makes one quote, pauses for 100 ms, and makes the next: however many ask, time is all that counts.
test("R48: a thousand callers at once share a quote a window, and each finds his own nonce in it", { timeout: 180000 }, async () => {
  const nonces = Array.from({ length: 1000 }, () => randomBytes(32)), started = performance.now();
  const answers = await Promise.all(nonces.map((nonce) => stack.invoke(made.app, `/.well-known/redoubt/evidence?nonce=${b64u(nonce)}`, { timeout: 120000 })));
  const windows = 1 + Math.ceil((performance.now() - started) / 100);
  assert.ok(answers.every((answer) => answer.status === 200), JSON.stringify(answers.find((answer) => answer.status !== 200)));
  const bundles = answers.map((answer) => JSON.parse(answer.body)), quotes = new Map();
  bundles.forEach((bundle, i) => quotes.set(bundle.quote, [...(quotes.get(bundle.quote) ?? []), i]));
  console.log(`1,000 nonces: ${quotes.size} quotes in ${windows} windows`);
  assert.ok(quotes.size <= windows, `${quotes.size} quotes in ${windows} windows`);
  bundles.forEach((bundle, i) => assert.equal(statementOf(bundle).nonce, b64u(nonceRoot(nonces[i], bundle.nonce_path))));
  // Another's path in the same tree, the root as a nonce, the nonce as a root: the second implementation takes none of them.
  const [shared, other] = [...quotes.values()].sort((a, b) => b.length - a.length)[0], statement = statementOf(bundles[shared]);
  assert.equal(await answersNonce(bundles[shared], statement, nonces[shared]), true);
  assert.equal(await answersNonce(bundles[other], statement, nonces[shared]), false, "the path of another");
  assert.equal(await answersNonce(bundles[shared], statement, nonces[other]), false, "the nonce of another");
  assert.equal(await answersNonce({ nonce_path: { sides: 0, siblings: [] } }, statement, fromB64u(statement.nonce)), false, "the root");
  assert.equal(await answersNonce({}, { ...statement, nonce: b64u(nonces[shared]) }, nonces[shared]), false, "a nonce without a path");
  await assert.rejects(answersNonce({ nonce_path: { sides: 0, siblings: Array(21).fill(digestText(nonces[0])) } }, statement, nonces[shared]));
  await assert.rejects(answersNonce({ nonce_path: { sides: 1, siblings: [] } }, statement, nonces[shared]));
});

test("strangers are refused, and a stopped app answers 503", { timeout: 180000 }, async () => {
  assert.equal((await stack.invoke(made.app, "/", { headers: { authorization: "Bearer rdt_nothing" } })).status, 401);
  const other = stack.secondOrganisation();
  assert.equal((await stack.invoke(made.app, "/", { headers: { authorization: "Bearer " + other.token } })).status, 403);
  assert.equal((await stack.invoke("app_" + "a".repeat(52), "/")).status, 404);
  await stack.rest("POST", `/v1/apps/${made.app}/deployments`, { kind: "stop" }, { "idempotency-key": "stop" });
  await until("nothing serves", async () => (await stack.invoke(made.app, "/")).status === 503, 30000);
});
