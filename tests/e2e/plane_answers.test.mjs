// What the plane says when it is asked: long polls of deployments, its signed decisions, stored evidence by digest.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { H, digestText, frame } from "../integration/api_fixture.mjs";

const source = "export default { fetch: () => new Response('ok') }";
let stack, app, deployment;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  app = (await stack.deploy("asked", source)).app;
  deployment = (await stack.rest("GET", `/v1/apps/${app}/deployments`)).items[0].id;
});
after(async () => { await stack?.close(); });

const etagOf = (answer) => answer.headers.get("etag").replaceAll('"', "");
const wait = (query, id = deployment) => stack.request("GET", `/v1/deployments/${id}/wait${query}`);
const looks = async () => Number(/redoubt_wait_looks_total (\d+)/.exec((await stack.request("GET", "/metrics")).body)[1]);

test("a state that is reached answers at once, as does a version that is outdated", async () => {
  const now = await wait("");
  assert.equal(now.status, 200);
  assert.equal(now.body.state, "healthy");
  assert.equal((await wait("?state=healthy,failed")).body.state, "healthy");
  assert.equal((await wait("?version=1.000000000000000000000000&timeout_s=60")).body.id, deployment);
  assert.equal(etagOf(now), etagOf(await stack.request("GET", "/v1/deployments/" + deployment)), "the same resource, the same ETag");
});

test("a change answers the caller who waits, by an event and not by looking again and again", { timeout: 180000 }, async () => {
  const version = etagOf(await stack.request("GET", "/v1/deployments/" + deployment));
  const before_ = await looks();
  const waiting = wait(`?version=${version}&timeout_s=60`);
  await until("it waits", async () => (await looks()) > before_);
  const next = await stack.rest("POST", `/v1/apps/${app}/deployments`, { kind: "scale", min: 2, max: 2 });
  const answer = await waiting;
  assert.equal(answer.status, 200);
  assert.notEqual(etagOf(answer), version);
  const settled = await wait("?timeout_s=60", next.id);
  assert.equal(settled.body.state, "healthy");
  assert.equal(settled.body.instances.filter((one) => one.serving).length, 1, "one is new; the other is of the deployment before");
  assert.ok(await looks() - before_ < 40, "looks follow events");
});

test("when the time is up it is answered as it stands; what is asked wrongly is refused", async () => {
  const before_ = await looks();
  const late = await wait("?state=failed&timeout_s=1");
  assert.equal(late.status, 200);
  assert.notEqual(late.body.state, "failed");
  assert.ok(await looks() - before_ <= 2);
  for (const [query, pointer] of [["?timeout_s=0", "?timeout_s"], ["?timeout_s=61", "?timeout_s"], ["?state=green", "?state"], ["?state=", "?state"], ["?state=healthy,", "?state"], ["?version=", "?version"]]) {
    const answer = await wait(query);
    assert.equal(answer.status, 422, query);
    assert.equal(answer.body.pointer, pointer, query);
  }
  assert.equal((await wait("", "dep_" + "a".repeat(26))).status, 404);
  const foreign = stack.secondOrganisation();
  assert.equal((await stack.request("GET", `/v1/deployments/${deployment}/wait`, undefined, { authorization: "Bearer " + foreign.token })).status, 404);
});

test("one organisation's waits are bounded, others' are not touched; who leaves is forgotten when the time is over", { timeout: 180000 }, async () => {
  const waiting = async () => Number(/redoubt_waits (\d+)/.exec((await stack.request("GET", "/metrics")).body)[1]);
  const leave = new AbortController();
  const path = `${stack.api}/v1/deployments/${deployment}/wait?state=failed&timeout_s=15`;
  const calls = Array.from({ length: 256 }, () => fetch(path, { headers: { authorization: "Bearer " + stack.token }, signal: leave.signal }).catch(() => null));
  await until("all wait", async () => (await waiting()) === 256);
  const refused = await wait("?state=failed&timeout_s=3");
  assert.equal(refused.status, 429);
  assert.ok(refused.headers.get("retry-after"));
  leave.abort();
  await Promise.all(calls);
  await until("nobody waits", async () => (await waiting()) === 0, 20000);
});

test("a plane that stops answers who waits", { timeout: 180000 }, async () => {
  const before_ = await looks();
  const waiting = wait("?state=failed&timeout_s=60");
  await until("it waits", async () => (await looks()) > before_);
  const process_ = stack.processes.get("api");
  await process_.stop();
  assert.equal((await waiting).status, 503);
  process_.start();
  await stack.apiReady();
  await stack.answers(app); // what it says of its hosts may be of before
});

test("decisions are listed, fetched by digest, and verify by the plane's key alone", async () => {
  const { items } = await stack.rest("GET", `/v1/apps/${app}/records`);
  const accepted = items.find((one) => one.result === "accepted");
  assert.ok(items.length >= 1 && accepted.reason === "" && accepted.evidence);
  const response = await fetch(`${stack.api}/v1/records/${accepted.digest}`, { headers: { authorization: "Bearer " + stack.token } });
  const bytes = Buffer.from(await response.arrayBuffer());
  assert.equal("sha256:" + createHash("sha256").update(bytes).digest("hex"), accepted.digest);
  const envelope = JSON.parse(bytes), { record_key } = await stack.rest("GET", "/v1/version");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: record_key }, format: "jwk" });
  const document = Buffer.from(envelope.document, "base64url");
  assert.ok(verify(null, frame("sign", "record-v1", document), key, Buffer.from(envelope.signatures[0].signature, "base64url")));
  assert.equal(JSON.parse(document).instance, accepted.instance);
  const one = await stack.rest("GET", `/v1/apps/${app}/records?instance=${accepted.instance}&limit=1`);
  assert.equal(one.items[0].instance, accepted.instance);
  assert.equal((await stack.request("GET", `/v1/apps/${app}/records?instance=x`)).status, 422);
  const seen = [];
  for (let cursor = ""; cursor !== null;) {
    const page = await stack.rest("GET", `/v1/apps/${app}/records?limit=1${cursor && "&cursor=" + cursor}`);
    seen.push(...page.items.map((item) => item.digest));
    cursor = page.next;
  }
  assert.deepEqual(seen, (await stack.rest("GET", `/v1/apps/${app}/records`)).items.map((item) => item.digest));
});

test("redoubt records: list, show, and a saved record that verifies offline and not when it is spoiled", async () => {
  const listed = await stack.json("records", "list", "asked");
  const digest = listed.find((one) => one.result === "accepted").digest;
  const file = join(stack.dir, "record.json"), offline = { env: { REDOUBT_API: "http://127.0.0.1:9" } };
  const shown = await stack.json("records", "show", digest, "--save", file);
  assert.equal(shown.verified, true);
  assert.equal(shown.record.result, "accepted");
  assert.deepEqual(shown.steps.map((step) => step.name), ["digest", "form", "key", "signature"]);
  const { record_key } = await stack.rest("GET", "/v1/version");
  assert.equal((await stack.cli("records", "show", file, "--key", record_key, offline)).code, 0);
  const good = readFileSync(file, "utf8"), spoiled = join(stack.dir, "spoiled-record.json");
  const flip = (text) => (text[9] === "A" ? "B" : "A");
  const envelope = JSON.parse(good);
  for (const change of [{ document: envelope.document.slice(0, 40) + flip(envelope.document) + envelope.document.slice(41) }, { signatures: [{ ...envelope.signatures[0], signature: "A".repeat(86) }] }]) {
    writeFileSync(spoiled, JSON.stringify({ ...envelope, ...change }));
    assert.equal((await stack.cli("records", "show", spoiled, "--key", record_key, offline)).code, 6);
  }
  assert.equal((await stack.cli("records", "show", file, "--key", "A".repeat(43), offline)).code, 6, "another plane's key");
  assert.equal((await stack.cli("records", "show", "sha256:" + "0".repeat(64))).code, 3);
});

test("evidence is found by its own digest and by that of its statement, which receipts name; its file verifies offline", async () => {
  const file = join(stack.dir, "receipt.json");
  assert.equal((await stack.cli("invoke", "asked", "--plain", "--save", file)).code, 0);
  const saved = JSON.parse(readFileSync(file, "utf8"));
  const named = JSON.parse(Buffer.from(saved.receipt, "base64url")).claims.evidence;
  const get = (digest, token = stack.token) => stack.request("GET", "/v1/evidence/by-digest/" + digest, undefined, { authorization: "Bearer " + token });
  const bundle = await get(named);
  assert.equal(bundle.status, 200);
  assert.equal(digestText(H("statement-v1", Buffer.from(bundle.body.statement, "base64url"))), named);
  assert.deepEqual(JSON.parse(Buffer.from(saved.evidence, "base64url")), bundle.body, "the saved file carries the evidence that its receipt names");
  const raw = Buffer.from(saved.evidence, "base64url"), own = createHash("sha256").update(raw).digest("hex");
  assert.deepEqual((await get("sha256:" + own)).body, bundle.body);
  assert.deepEqual((await get(own)).body, bundle.body);
  assert.equal((await get("sha256:" + "0".repeat(64))).status, 404);
  assert.equal((await get(named, stack.secondOrganisation("strangers").token)).status, 404, "another organisation's is not there");
  const verified = await stack.cli("verify", file, "--json", { env: { REDOUBT_API: "http://127.0.0.1:9" } });
  assert.equal(verified.code, 0);
  assert.ok(JSON.parse(verified.stdout).steps.some((step) => step.name === "evidence" && step.ok), "the receipt's own evidence was verified, not a later one");
});
