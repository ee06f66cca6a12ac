// The REST API with a real database: the good path, then every way to ask badly, each with the code that it must get.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { randomBytes } from "node:crypto";
import { gunzipSync } from "node:zlib";
import { until } from "../support/stack.mjs";
import { Plane, Owner, appIdOf, b64u, bundle, canonical, digestText, head, headDigest, release, releaseDigest, sha256 } from "./api_fixture.mjs";

let plane, app, viewer, other;

before(async () => {
  plane = await Plane.start();
  app = await plane.makeApp("base");
  viewer = (await plane.request("POST", "/v1/tokens", { name: "v", role: "viewer" })).body.token;
  other = plane.bootstrap("other").token;
}, { timeout: 180000 });
after(async () => { await plane?.close(); });

function check(answer, status, code, pointer) {
  assert.equal(answer.status, status, JSON.stringify(answer.body));
  if (!code) return answer;
  assert.match(answer.type, /^application\/problem\+json/);
  assert.equal(answer.body.code, code, JSON.stringify(answer.body));
  assert.equal(answer.body.type, "/problems/" + code);
  assert.match(answer.headers.get("request-id"), /^req_[a-z2-7]{26}$/);
  assert.equal(answer.body.request_id, answer.headers.get("request-id"));
  if (pointer) assert.equal(answer.body.pointer, pointer);
  return answer;
}
const post = (path, body, headers) => plane.request("POST", path, body, headers);

// One raw exchange: bytes out, status line and text back.
function raw(text) {
  return new Promise((done, failed) => {
    const socket = connect(plane.port, "127.0.0.1");
    let got = "";
    socket.setTimeout(5000, () => socket.destroy());
    socket.on("data", (d) => { got += d.toString("latin1"); });
    socket.on("close", () => done(got));
    socket.on("error", failed);
    socket.write(text);
  });
}

test("a deployment is accepted, named, and waits for a scheduler", async () => {
  const made = check(await post(`/v1/apps/${app.app}/deployments`, { release: app.release, min: 1, max: 2 }), 202);
  assert.equal(made.headers.get("location"), "/v1/deployments/" + made.body.id);
  assert.equal(made.body.state, "accepted");
  assert.equal(made.body.kind, "deploy");
  const got = check(await plane.request("GET", "/v1/deployments/" + made.body.id), 200);
  assert.equal(got.body.release, app.release);
  const shown = check(await plane.request("GET", "/v1/apps/" + app.app), 200);
  assert.equal(shown.body.deployment.id, made.body.id);
  assert.equal(plane.sql(`SELECT count(*) FROM evaluations WHERE kind = 1`)[0] >= 1, true);
  assert.equal(plane.sql(`SELECT count(*) FROM events WHERE kind = 'deployment' AND subject = uuid_send((SELECT deployment_id FROM deployments ORDER BY gen DESC LIMIT 1))`)[0], "1");
  const scaled = check(await post(`/v1/apps/${app.app}/deployments`, { kind: "scale", min: 2, max: 3 }), 202);
  assert.equal(scaled.body.release, app.release);
  assert.equal(scaled.body.generation, made.body.generation + 1);
  const stopped = check(await post(`/v1/apps/${app.app}/deployments`, { kind: "stop" }), 202);
  assert.deepEqual([stopped.body.release, stopped.body.max], [null, 0]);
});

test("genesis, head and release come back as they were signed", async () => {
  const genesis = check(await plane.request("GET", `/v1/apps/${app.app}/genesis`), 200);
  assert.equal(genesis.bytes.toString(), app.genesis);
  const current = check(await plane.request("GET", `/v1/apps/${app.app}/heads/current`), 200);
  assert.equal(current.body.digest, headDigest(app.head));
  assert.equal(Buffer.from(current.body.document, "base64url").toString(), canonical(app.head));
  const rel = check(await plane.request("GET", `/v1/apps/${app.app}/releases/${app.release}`), 200);
  assert.equal(rel.body.number, 1);
  const code = check(await plane.request("GET", "/v1/blobs/" + sha256(app.code).toString("hex")), 200);
  assert.deepEqual(code.bytes, app.code);
});

test("bad requests are refused, each by its own code", async (t) => {
  const deep = "[".repeat(17) + "]".repeat(17);
  const rows = [
    ["no token", "GET", "/v1/apps", undefined, { authorization: null }, 401, "unauthenticated"],
    ["not a bearer", "GET", "/v1/apps", undefined, { authorization: "Basic eDp5" }, 401, "unauthenticated"],
    ["unknown token", "GET", "/v1/apps", undefined, { authorization: "Bearer rdt_" + b64u(randomBytes(32)) }, 401, "token_invalid"],
    ["unknown session", "GET", "/v1/apps", undefined, { authorization: null, cookie: "__Host-redoubt=" + b64u(randomBytes(32)) }, 401, "token_invalid"],
    ["viewer may not create", "POST", "/v1/apps", { name: "x", genesis: "AA" }, { authorization: () => "Bearer " + viewer }, 403, "forbidden"],
    ["viewer may not enrol", "POST", "/v1/enrol-tokens", {}, { authorization: () => "Bearer " + viewer }, 403, "forbidden"],
    ["viewer may not audit", "GET", "/v1/audit", undefined, { authorization: () => "Bearer " + viewer }, 403, "forbidden"],
    ["unknown path", "GET", "/v1/nothing.here", undefined, {}, 404, "not_found"],
    ["unknown path without a dot", "POST", "/v1/nothing", {}, {}, 405, "method_not_allowed"],
    ["wrong method", "PUT", "/v1/apps", {}, {}, 405, "method_not_allowed"],
    ["encoded slash in a segment", "GET", "/v1/apps/a%2Fb", undefined, {}, 404, "not_found"],
    ["dots in a path", "GET", "/v1/apps/%2e%2e", undefined, {}, 404, "not_found"],
    ["no content type", "POST", "/v1/apps", "{}", { "content-type": "text/plain" }, 415, "content_type"],
    ["other charset", "POST", "/v1/apps", "{}", { "content-type": "application/json; charset=latin1" }, 415, "content_type"],
    ["encoded body", "POST", "/v1/apps", "{}", { "content-encoding": "gzip" }, 415, "content_type"],
    ["empty body", "POST", "/v1/apps", undefined, {}, 400, "truncated"],
    ["broken JSON", "POST", "/v1/apps", "{,}", {}, 400, "json_syntax"],
    ["JSON cut short", "POST", "/v1/apps", "{", {}, 400, "truncated"],
    ["trailing bytes", "POST", "/v1/apps", "{} {}", {}, 400, "trailing_bytes"],
    ["not an object", "POST", "/v1/apps", "[]", {}, 422, "json_type"],
    ["not UTF-8", "POST", "/v1/apps", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), {}, 400, "encoding"],
    ["too deep", "POST", "/v1/apps", deep, {}, 422, "json_depth"],
    ["member twice", "POST", "/v1/apps", '{"name":"a","name":"b","genesis":"AA"}', {}, 400, "json_duplicate_member"],
    ["unknown member", "POST", "/v1/apps", { name: "a", genesis: "AA", colour: 1 }, {}, 422, "json_unknown_member", "/colour"],
    ["missing member", "POST", "/v1/apps", { name: "a" }, {}, 422, "json_missing_member", "/genesis"],
    ["wrong type", "POST", "/v1/apps", { name: 7, genesis: "AA" }, {}, 422, "json_type", "/name"],
    ["name out of its alphabet", "POST", "/v1/apps", { name: "Nope", genesis: b64u("{}") }, {}, 422, "json_range", "/name"],
    ["padding in base64url", "POST", "/v1/apps", { name: "a", genesis: "AA==" }, {}, 400, "encoding", "/genesis"],
    ["too large by its length", "POST", "/v1/apps", "x".repeat(70000), {}, 413, "too_large"],
    ["limit 0", "GET", "/v1/apps?limit=0", undefined, {}, 422, "json_range", "?limit"],
    ["limit 201", "GET", "/v1/apps?limit=201", undefined, {}, 422, "json_range"],
    ["foreign cursor", "GET", "/v1/apps?cursor=abcd", undefined, {}, 400, "cursor"],
    ["no such app", "GET", "/v1/apps/app_" + "a".repeat(52), undefined, {}, 404, "not_found"],
    ["no such deployment", "GET", "/v1/deployments/dep_" + "a".repeat(26), undefined, {}, 404, "not_found"],
    ["id of another kind", "GET", "/v1/deployments/hst_" + "a".repeat(26), undefined, {}, 404, "not_found"],
    ["blob name not hex", "GET", "/v1/blobs/" + "g".repeat(64), undefined, {}, 404, "not_found"],
    ["blob name in capitals", "GET", "/v1/blobs/" + "A".repeat(64), undefined, {}, 404, "not_found"],
    ["blob of another digest", "PUT", "/v1/blobs/" + "0".repeat(64), "bytes", { "content-type": "application/octet-stream" }, 422, "digest_mismatch"],
    ["delete without If-Match", "DELETE", () => "/v1/apps/" + app.app, undefined, {}, 428, "if_match_required"],
    ["patch with a stale If-Match", "PATCH", () => "/v1/apps/" + app.app, { paused: true }, { "if-match": '"999.aa"' }, 412, "if_match_failed"],
    ["deployment: null kind", "POST", () => `/v1/apps/${app.app}/deployments`, { kind: "sideways" }, {}, 422, "json_range", "/kind"],
    ["deployment: min above max", "POST", () => `/v1/apps/${app.app}/deployments`, () => ({ release: app.release, min: 3, max: 2 }), {}, 422, "json_range", "/min"],
    ["deployment: too many", "POST", () => `/v1/apps/${app.app}/deployments`, () => ({ release: app.release, min: 1, max: 1001 }), {}, 422, "json_range", "/max"],
    ["deployment: unknown release", "POST", () => `/v1/apps/${app.app}/deployments`, { release: "sha256:" + "0".repeat(64) }, {}, 404, "not_found", "/release"],
    ["deployment: digest without prefix", "POST", () => `/v1/apps/${app.app}/deployments`, { release: "0".repeat(64) }, {}, 400, "encoding", "/release"],
    ["deployment: stale If-Match", "POST", () => `/v1/apps/${app.app}/deployments`, () => ({ release: app.release }), { "if-match": '"77.x"' }, 412, "if_match_failed"],
    ["deployment: quota", "POST", () => `/v1/apps/${app.app}/deployments`, () => ({ release: app.release, min: 1, max: 1000 }), {}, 409, "quota_exceeded"],
    ["login: both", "POST", "/v1/login", { code: "a", token: "b" }, { authorization: null }, 422, "json_missing_member"],
    ["login: wrong code", "POST", "/v1/login", { code: "nope" }, { authorization: null }, 401, "login_code"],
    ["login: other origin", "POST", "/v1/login", { code: "nope" }, { authorization: null, origin: "https://evil.example" }, 403, "csrf"],
    ["enrol: bad CSR", "POST", "/v1/enroll", { token: "x", csr: "x", evidence: "AA", capacity: { cpu_m: 1, memory_bytes: 1, slots: 1 }, name: "n" }, { authorization: null }, 422, null],
    ["enrol token: too many uses", "POST", "/v1/enrol-tokens", { uses: 10001 }, {}, 422, "json_range", "/uses"],
    ["token: unknown role", "POST", "/v1/tokens", { name: "n", role: "king" }, {}, 422, null],
    ["key too long", "POST", "/v1/enrol-tokens", {}, { "idempotency-key": "k".repeat(256) }, 400, "idempotency_key"],
    ["key with a space", "POST", "/v1/enrol-tokens", {}, { "idempotency-key": "a b" }, 400, "idempotency_key"],
  ];
  for (const [name, method, path, body, headers, status, code, pointer] of rows) {
    await t.test(name, async () => {
      const own = Object.fromEntries(Object.entries(headers).map(([k, v]) => [k, typeof v === "function" ? v() : v]));
      const answer = await plane.request(method, typeof path === "function" ? path() : path, typeof body === "function" ? body() : body, own);
      check(answer, status, code, pointer);
      if (status === 405) assert.ok(answer.headers.get("allow"));
      if (status === 401) assert.match(answer.headers.get("www-authenticate"), /^Bearer/);
    });
  }
});

test("signed documents are verified before they are kept", async (t) => {
  const owner = new Owner(), thief = new Owner();
  const genesis = owner.genesis(), id = appIdOf(genesis), code = bundle("export default 1");
  check(await post("/v1/apps", { name: "signed", genesis: b64u(genesis) }), 201);
  const path = `/v1/apps/${id}`;
  const good = release(id, 1, code);
  await t.test("code not uploaded", async () => check(await post(path + "/releases", owner.envelope(good, "release-v1")), 422, "blob_missing"));
  check(await plane.request("PUT", "/v1/blobs/" + sha256(code).toString("hex"), code, { "content-type": "application/octet-stream" }), 201);
  check(await plane.request("PUT", "/v1/blobs/" + sha256(code).toString("hex"), code, { "content-type": "application/octet-stream" }), 200);
  const text = Buffer.from("no bundle");
  check(await plane.request("PUT", "/v1/blobs/" + sha256(text).toString("hex"), text, { "content-type": "application/octet-stream" }), 201);
  const spoiled = owner.envelope(good, "release-v1");
  spoiled.signatures[0].signature = b64u(randomBytes(64));
  const twice = owner.envelope(good, "release-v1");
  twice.signatures.push(twice.signatures[0]);
  const rows = [
    ["signed by another", "/releases", thief.envelope(good, "release-v1"), 422, "signature"],
    ["spoiled signature", "/releases", spoiled, 422, "signature"],
    ["one signature twice", "/releases", twice, 422, null],
    ["no signature", "/releases", { ...owner.envelope(good, "release-v1"), signatures: [] }, 422, null],
    ["signed as a head", "/releases", owner.envelope(good, "head-v1"), 422, "signature"],
    ["a head sent as a release", "/releases", owner.envelope(head(id, 1, null, []), "release-v1"), 422, null],
    ["a release sent as a head", "/heads", owner.envelope(good, "head-v1"), 422, null],
    ["of another app", "/releases", owner.envelope(release(app.app, 1, code), "release-v1"), 422, "genesis_mismatch"],
    ["not canonical", "/releases", owner.envelope(JSON.stringify(good, null, 1), "release-v1"), 422, "not_canonical"],
    ["unknown member inside", "/releases", owner.envelope({ ...good, extra: 1 }, "release-v1"), 422, "json_unknown_member"],
    ["code of another size", "/releases", owner.envelope(release(id, 1, code, { code: { digest: digestText(sha256(code)), size: 5 } }), "release-v1"), 422, "code_bundle"],
    ["code that is no bundle", "/releases", owner.envelope(release(id, 1, text), "release-v1"), 422, "code_bundle"],
    ["head out of turn", "/heads", owner.envelope(head(id, 2, digestText(sha256("x")), []), "head-v1"), 409, "head_chain"],
    ["head of mixed class", "/heads", owner.envelope(head(id, 1, null, [], { class: "hardware" }), "head-v1"), 422, "class_mismatch"],
    ["expired head", "/heads", owner.envelope(head(id, 1, null, [], { expires: "2026-01-02T00:00:00Z" }), "head-v1"), 422, "head_time"],
    ["unknown envelope member", "/heads", { ...owner.envelope(head(id, 1, null, []), "head-v1"), more: 1 }, 422, "json_unknown_member"],
  ];
  for (const [name, where, envelope, status, expected] of rows)
    await t.test(name, async () => { check(await post(path + where, envelope), status, expected); });

  await t.test("no head yet: nothing may run", async () => {
    check(await post(path + "/releases", owner.envelope(good, "release-v1")), 201);
    check(await post(path + "/deployments", { release: releaseDigest(good) }), 409, "head_missing");
  });
  await t.test("the same release again is the same", async () => {
    const again = check(await post(path + "/releases", owner.envelope(good, "release-v1")), 200);
    assert.equal(again.body.digest, releaseDigest(good));
  });
  await t.test("another release of that number", async () => {
    check(await post(path + "/releases", owner.envelope(release(id, 1, code, { env: { A: "b" } }), "release-v1")), 409, "release_exists");
  });
  const first = head(id, 1, null, []);
  const second = head(id, 2, headDigest(first), [releaseDigest(good)]);
  await t.test("a head that does not list the release", async () => {
    check(await post(path + "/heads", owner.envelope(first, "head-v1")), 201);
    check(await post(path + "/deployments", { release: releaseDigest(good) }), 422, "release_not_allowed");
  });
  await t.test("the next head, and the same again", async () => {
    check(await post(path + "/heads", owner.envelope(second, "head-v1")), 201);
    check(await post(path + "/heads", owner.envelope(second, "head-v1")), 200);
    check(await post(path + "/deployments", { release: releaseDigest(good) }), 202);
  });
  await t.test("an older head", async () => check(await post(path + "/heads", owner.envelope(first, "head-v1")), 409, "head_rollback"));
  await t.test("a fork is kept and refused", async () => {
    const fork = head(id, 2, headDigest(first), []);
    check(await post(path + "/heads", owner.envelope(fork, "head-v1")), 409, "head_fork");
    assert.equal(plane.sql(`SELECT encode(digest, 'hex') FROM head_forks`)[0], headDigest(fork).slice(7));
  });
  await t.test("a head with a wrong prev", async () => {
    check(await post(path + "/heads", owner.envelope(head(id, 3, headDigest(first), []), "head-v1")), 409, "head_chain");
  });
});

test("another organisation's objects do not exist", async (t) => {
  const mine = check(await post(`/v1/apps/${app.app}/deployments`, { release: app.release }), 202);
  const foreign = { authorization: "Bearer " + other };
  for (const [method, path, body] of [
    ["GET", `/v1/apps/${app.app}`], ["GET", `/v1/apps/${app.app}/genesis`], ["GET", `/v1/apps/${app.app}/deployments`],
    ["GET", `/v1/apps/${app.app}/instances`], ["GET", `/v1/apps/${app.app}/grants`], ["GET", `/v1/apps/${app.app}/heads/current`], ["GET", `/v1/apps/${app.app}/releases/${app.release}`],
    ["GET", `/v1/deployments/${mine.body.id}`], ["GET", "/v1/blobs/" + sha256(app.code).toString("hex")],
    ["POST", `/v1/apps/${app.app}/deployments`, { release: app.release }], ["POST", `/v1/apps/${app.app}/heads`, app.owner.envelope(app.head, "head-v1")],
    ["PATCH", `/v1/apps/${app.app}`, { paused: true }], ["DELETE", `/v1/apps/${app.app}`],
  ])
    await t.test(`${method} ${path.slice(0, 40)}`, async () => check(await plane.request(method, path, body, { ...foreign, "if-match": method === "GET" || method === "POST" ? null : "*" }), 404, "not_found"));
  await t.test("lists are empty", async () => {
    assert.deepEqual((await plane.request("GET", "/v1/apps", undefined, foreign)).body.items, []);
    assert.deepEqual((await plane.request("GET", `/v1/apps/${app.app}/releases`, undefined, foreign)).body.items, []);
  });
  await t.test("the genesis cannot be taken", async () => check(await post("/v1/apps", { name: "mine", genesis: b64u(app.genesis) }, foreign), 409, "app_exists"));
});

test("Idempotency-Key", async (t) => {
  const path = `/v1/apps/${app.app}/deployments`;
  const body = { release: app.release, min: 1, max: 1 };
  const first = check(await post(path, body, { "idempotency-key": "one" }), 202);
  await t.test("the same again is the first answer", async () => {
    const again = check(await post(path, body, { "idempotency-key": "one" }), 202);
    assert.equal(again.body.id, first.body.id);
  });
  await t.test("another body with it", async () => check(await post(path, { ...body, max: 2 }, { "idempotency-key": "one" }), 422, "idempotency_mismatch"));
  await t.test("another path with it", async () => check(await post("/v1/enrol-tokens", {}, { "idempotency-key": "one" }), 422, "idempotency_mismatch"));
  await t.test("another organisation's key is its own", async () => check(await post("/v1/enrol-tokens", {}, { "idempotency-key": "one", authorization: "Bearer " + other }), 201));
  await t.test("a refused request leaves the key free", async () => {
    check(await post(path, { ...body, min: 5 }, { "idempotency-key": "two" }), 422);
    check(await post(path, body, { "idempotency-key": "two" }), 202);
  });
  await t.test("a race makes one", async () => {
    const answers = await Promise.all(Array.from({ length: 12 }, () => post(path, body, { "idempotency-key": "race" })));
    const ids = new Set();
    for (const answer of answers) {
      if (answer.status === 409) { check(answer, 409, "idempotency_in_flight"); assert.ok(answer.headers.get("retry-after")); } else ids.add(check(answer, 202).body.id);
    }
    assert.equal(ids.size, 1);
    assert.equal(plane.sql(`SELECT count(*) FROM idempotency WHERE key = 'race'`)[0], "1");
  });
  await t.test("in flight", async () => {
    const holder = plane.sql.bind(plane);
    const hash = "\\x" + "00".repeat(32);
    const slow = new Promise((done) => setTimeout(() => done(holder(
      `BEGIN; INSERT INTO idempotency (org_id, principal, key, op, req_hash) SELECT org_id, principal, 'held', op, '${hash}' FROM idempotency WHERE key = 'race'; SELECT pg_sleep(0); COMMIT`)), 0));
    await slow;
    check(await post(path, body, { "idempotency-key": "held" }), 422, "idempotency_mismatch");
  });
  await t.test("a secret is not shown twice", async () => {
    const made = check(await post("/v1/tokens", { name: "once", role: "viewer" }, { "idempotency-key": "secret" }), 201);
    assert.match(made.body.token, /^rdt_/);
    const again = check(await post("/v1/tokens", { name: "once", role: "viewer" }, { "idempotency-key": "secret" }), 201);
    assert.deepEqual([again.body.id, again.body.token], [made.body.id, null]);
  });
  await t.test("secrets are stored as digests", async () => {
    const made = (await post("/v1/tokens", { name: "hashed", role: "viewer" })).body.token;
    assert.equal(plane.sql(`SELECT count(*) FROM tokens WHERE hash = sha256('${made}'::bytea)`)[0], "1");
  });
});

test("accepted is durable: killed right after the answer, it is there after the start", async () => {
  const path = `/v1/apps/${app.app}/deployments`;
  const made = check(await post(path, { release: app.release }, { "idempotency-key": "durable" }), 202);
  await plane.stopApi("SIGKILL");
  await plane.startApi();
  const again = check(await post(path, { release: app.release }, { "idempotency-key": "durable" }), 202);
  assert.equal(again.body.id, made.body.id);
});

test("pages hold each item once while items are made and deleted", async () => {
  const names = [];
  for (let i = 0; i < 7; i++) {
    const name = "page-" + i;
    names.push(name);
    check(await post("/v1/apps", { name, genesis: b64u(new Owner().genesis()) }), 201);
  }
  const seen = [];
  let cursor = null;
  do {
    const page = check(await plane.request("GET", `/v1/apps?limit=2${cursor ? "&cursor=" + cursor : ""}`), 200).body;
    seen.push(...page.items.map((a) => a.name));
    cursor = page.next;
    check(await post("/v1/apps", { name: "late-" + seen.length, genesis: b64u(new Owner().genesis()) }), 201);
  } while (cursor);
  for (const name of names) assert.equal(seen.filter((n) => n === name).length, 1, name);
});

test("ETag, If-None-Match, If-Match", async () => {
  const path = "/v1/apps/" + app.app;
  const first = check(await plane.request("GET", path), 200);
  const etag = first.headers.get("etag");
  check(await plane.request("GET", path, undefined, { "if-none-match": etag }), 304);
  const patched = check(await plane.request("PATCH", path, { paused: true }, { "if-match": etag }), 200);
  assert.equal(patched.body.paused, true);
  check(await plane.request("PATCH", path, { paused: false }, { "if-match": etag }), 412, "if_match_failed");
  check(await plane.request("PATCH", path, { paused: false }, { "if-match": patched.headers.get("etag") }), 200);
  check(await plane.request("GET", path, undefined, { "if-none-match": etag }), 200);
});

test("sessions of the dashboard", async (t) => {
  const login = (body, headers = {}) => post("/v1/login", body, { authorization: null, ...headers });
  const link = check(await post("/v1/login-links", undefined), 201).body;
  const opened = check(await login({ code: link.code }), 200);
  const setCookie = opened.headers.get("set-cookie");
  for (const part of ["__Host-redoubt=", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"]) assert.ok(setCookie.includes(part), part);
  const cookie = setCookie.split(";")[0];
  const own = { authorization: null, cookie };
  await t.test("a code works once", async () => check(await login({ code: link.code }), 401, "login_code"));
  await t.test("reads need the cookie alone", async () => {
    const session = check(await plane.request("GET", "/v1/session", undefined, own), 200).body;
    assert.equal(session.csrf, opened.body.csrf);
  });
  const change = (headers) => post("/v1/enrol-tokens", {}, { ...own, ...headers });
  await t.test("a change without CSRF", async () => check(await change({ origin: plane.url }), 403, "csrf"));
  await t.test("a change with another's CSRF", async () => check(await change({ origin: plane.url, "redoubt-csrf": b64u(randomBytes(32)) }), 403, "csrf"));
  await t.test("a change without Origin", async () => check(await change({ "redoubt-csrf": opened.body.csrf }), 403, "csrf"));
  await t.test("a change from elsewhere", async () => check(await change({ origin: "http://evil.example", "redoubt-csrf": opened.body.csrf }), 403, "csrf"));
  await t.test("a change", async () => check(await change({ origin: plane.url, "redoubt-csrf": opened.body.csrf }), 201));
  await t.test("a narrower token does not widen itself", async () => check(await login({ token: viewer }), 403, "forbidden"));
  await t.test("logout ends it", async () => {
    check(await post("/v1/logout", undefined, { ...own, origin: plane.url, "redoubt-csrf": opened.body.csrf }), 204);
    check(await plane.request("GET", "/v1/session", undefined, own), 401, "token_invalid");
  });
  await t.test("a token is rotated: the new one works, the old one for the overlap", async () => {
    const made = check(await post("/v1/tokens", { name: "turning", role: "viewer", expires_in_s: 7200 }), 201).body;
    const as = (token) => ({ authorization: "Bearer " + token });
    const own = check(await post(`/v1/tokens/${made.id}/rotate`, undefined, as(made.token)), 201).body;
    assert.notEqual(own.id, made.id);
    assert.deepEqual([own.name, own.role], ["turning", "viewer"]);
    assert.ok(Math.abs(Date.parse(own.expires) - Date.parse(made.expires)) < 120000);
    check(await plane.request("GET", "/v1/apps", undefined, as(own.token)), 200);
    check(await plane.request("GET", "/v1/apps", undefined, as(made.token)), 200);
    const old = (await plane.request("GET", "/v1/tokens")).body.items.find((one) => one.id === made.id);
    assert.ok(Date.parse(old.expires) - Date.now() <= 3600 * 1000);
    assert.ok(old.last_used_at);
    const second = check(await post(`/v1/tokens/${own.id}/rotate`, { overlap_s: 0 }, { "idempotency-key": "turn" }), 201).body;
    check(await plane.request("GET", "/v1/apps", undefined, as(own.token)), 401, "token_invalid");
    check(await plane.request("GET", "/v1/apps", undefined, as(second.token)), 200);
    const again = check(await post(`/v1/tokens/${own.id}/rotate`, { overlap_s: 0 }, { "idempotency-key": "turn" }), 201).body;
    assert.deepEqual([again.id, again.token], [second.id, null]);
    check(await post(`/v1/tokens/${own.id}/rotate`, undefined), 404, "not_found");
    check(await post(`/v1/tokens/${second.id}/rotate`, undefined, as(viewer)), 403, "forbidden");
    check(await post(`/v1/tokens/${second.id}/rotate`, undefined, as(other)), 404, "not_found");
    check(await post(`/v1/tokens/${second.id}/rotate`, { overlap_s: -1 }), 422, "json_range", "/overlap_s");
  });
  // J1 : and none, a foreign one, a broken one (above).
  await t.test("a revoked token ends at once", async () => {
    const made = check(await post("/v1/tokens", { name: "short", role: "viewer" }), 201).body;
    const as = { authorization: "Bearer " + made.token };
    check(await plane.request("GET", "/v1/apps", undefined, as), 200);
    check(await plane.request("DELETE", "/v1/tokens/" + made.id, undefined, { "if-match": "*" }), 204);
    check(await plane.request("GET", "/v1/apps", undefined, as), 401, "token_invalid");
  });
});

test("HEAD, OPTIONS, request ids, streams of bytes", async (t) => {
  await t.test("HEAD", async () => {
    const answer = await plane.request("HEAD", "/v1/apps");
    assert.equal(answer.status, 200);
    assert.equal(answer.bytes.length, 0);
  });
  await t.test("HEAD of a blob that is not there", async () => assert.equal((await plane.request("HEAD", "/v1/blobs/" + "0".repeat(64))).status, 404));
  await t.test("OPTIONS", async () => {
    const answer = check(await plane.request("OPTIONS", "/v1/apps"), 204);
    assert.match(answer.headers.get("allow"), /^POST, GET, HEAD, OPTIONS$/);
  });
  await t.test("a well formed request id is echoed", async () => {
    const id = "req_" + "a".repeat(26);
    assert.equal((await plane.request("GET", "/livez", undefined, { "request-id": id })).headers.get("request-id"), id);
    assert.notEqual((await plane.request("GET", "/livez", undefined, { "request-id": "mine" })).headers.get("request-id"), "mine");
  });
  await t.test("a chunked body past the cap", async () => {
    const answer = await new Promise((done, failed) => {
      const outgoing = httpRequest(plane.url + "/v1/apps", { method: "POST", headers: { authorization: "Bearer " + plane.token, "content-type": "application/json" } }, (response) => {
        response.resume();
        response.on("end", () => done(response.statusCode));
      });
      outgoing.on("error", (error) => (["ECONNRESET", "EPIPE"].includes(error.code) ? done(413) : failed(error)));
      for (let i = 0; i < 20; i++) outgoing.write("x".repeat(8192));
      outgoing.end();
    });
    assert.equal(answer, 413);
  });
  await t.test("large blobs go through, larger ones do not", async () => {
    const big = randomBytes((8 << 20) - 5);
    check(await plane.request("PUT", "/v1/blobs/" + sha256(big).toString("hex"), big, { "content-type": "application/octet-stream" }), 201);
    const got = await plane.request("GET", "/v1/blobs/" + sha256(big).toString("hex"));
    assert.equal(Buffer.compare(got.bytes, big), 0);
    const huge = await plane.request("PUT", "/v1/blobs/" + "0".repeat(64), Buffer.alloc((8 << 20) + 1), { "content-type": "application/octet-stream" }).catch(() => ({ status: 413 }));
    assert.equal(huge.status, 413);
  });
});

test("the wire itself", async (t) => {
  const rows = [
    ["no request line", "\r\n\r\nxx\r\n\r\n", /^(HTTP\/1.1 400|$)/],
    ["headers too large", `GET /livez HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 40 }, (_, i) => `X-${i}: ${"y".repeat(500)}`).join("\r\n")}\r\n\r\n`, /^HTTP\/1.1 431/],
    ["too many headers", `GET /livez HTTP/1.1\r\nHost: x\r\n${Array.from({ length: 120 }, (_, i) => `X-${i}: y`).join("\r\n")}\r\n\r\n`, /^HTTP\/1.1 431/],
    ["two Authorization", "GET /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer rdt_a\r\nAuthorization: Bearer rdt_b\r\n\r\n", /^HTTP\/1.1 400/],
    ["two lengths", "POST /v1/apps HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x", /^HTTP\/1.1 (400|401)/],
    ["length and chunks", "POST /v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", /^HTTP\/1.1 (400|422)/],
    ["a long target", `GET /${"a".repeat(5000)} HTTP/1.1\r\nHost: x\r\n\r\n`, /^HTTP\/1.1 (414|431)/],
    ["cut in the middle of a body", "POST /v1/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer rdt_x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", /^$|^HTTP\/1.1 408/],
  ];
  for (const [name, text, want] of rows)
    await t.test(name, async () => assert.match(await raw(text), want));
  await t.test("it still answers", async () => check(await plane.request("GET", "/livez"), 200));
});

test("the dashboard's files", async () => {
  const page = check(await plane.request("GET", "/", undefined, { authorization: null }), 200);
  const policy = page.headers.get("content-security-policy");
  for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) assert.ok(policy.includes(part), part);
  assert.equal(page.headers.get("x-content-type-options"), "nosniff");
  assert.equal(page.headers.get("cross-origin-opener-policy"), "same-origin");
  check(await plane.request("GET", "/apps/" + app.app, undefined, { authorization: null }), 200);
  check(await plane.request("GET", "/none.js", undefined, { authorization: null }), 404, "not_found");
  check(await plane.request("GET", "/..%2fapi.log", undefined, { authorization: null }), 404, "not_found");
  check(await plane.request("GET", "/", undefined, { "if-none-match": page.headers.get("etag") }), 304);
  assert.match((await plane.request("GET", "/app.0123abcd.js")).headers.get("cache-control"), /immutable/);
  const zipped = await new Promise((done) => httpRequest(plane.url + "/", { headers: { "accept-encoding": "gzip" } }, (response) => {
    const parts = [];
    response.on("data", (part) => parts.push(part));
    response.on("end", () => done({ encoding: response.headers["content-encoding"], body: Buffer.concat(parts) }));
  }).end());
  assert.equal(zipped.encoding, "gzip");
  assert.equal(gunzipSync(zipped.body).toString(), page.body);
});

test("every problem code has its page", async () => {
  const all = check(await plane.request("GET", "/problems"), 200);
  const codes = [...all.body.matchAll(/href="\/problems\/([a-z0-9_]+)"/g)].map((m) => m[1]);
  assert.ok(codes.length > 50);
  for (const code of codes) check(await plane.request("GET", "/problems/" + code), 200);
  check(await plane.request("GET", "/problems/nonsense"), 404, "not_found");
});

test("what was prepared is fetched, approved and closed once", async () => {
  const body = { kind: "deploy", app: null, name: "prepared", code: b64u(bundle()), settings: { min: 1 } };
  const made = check(await post("/v1/prepared", body), 201).body;
  const got = check(await plane.request("GET", "/v1/prepared/" + made.code), 200).body;
  assert.deepEqual([got.state, got.code, got.settings], ["waiting", body.code, body.settings]);
  check(await plane.request("GET", "/v1/prepared/" + made.code, undefined, { authorization: "Bearer " + other }), 404, "not_found");
  check(await post(`/v1/prepared/${made.code}/done`, { app: app.app }), 200);
  check(await post(`/v1/prepared/${made.code}/done`, { app: app.app }), 404, "not_found");
  assert.equal((await plane.request("GET", "/v1/prepared/" + made.code)).body.state, "done");
  check(await post("/v1/prepared", { ...body, code: b64u("{}") }), 422, "code_bundle");
});

test("deleting an app frees its name", async () => {
  const owner = new Owner();
  const made = check(await post("/v1/apps", { name: "short-lived", genesis: b64u(owner.genesis()) }), 201);
  check(await post("/v1/apps", { name: "short-lived", genesis: b64u(new Owner().genesis()) }), 409, "name_taken");
  check(await plane.request("DELETE", "/v1/apps/" + made.body.id, undefined, { "if-match": made.headers.get("etag") }), 204);
  check(await plane.request("GET", "/v1/apps/" + made.body.id), 404, "not_found");
  check(await post("/v1/apps", { name: "short-lived", genesis: b64u(new Owner().genesis()) }), 201);
});

test("every change left an audit row with its request id", async () => {
  const id = "req_" + "b".repeat(25) + "a";
  check(await post("/v1/enrol-tokens", {}, { "request-id": id }), 201);
  const audit = check(await plane.request("GET", "/v1/audit?limit=5"), 200).body;
  const entry = audit.items.find((e) => e.request_id === id);
  assert.equal(entry.action, "enrol_token.create");
  assert.match(entry.actor, /^tok_/);
});

test("past the rate limit: 429 that says when", async () => {
  const token = check(await post("/v1/tokens", { name: "busy", role: "viewer" }), 201).body.token;
  const headers = { authorization: "Bearer " + token };
  const answers = [];
  let refused = [];
  for (let round = 0; round < 8 && refused.length === 0; round++) {
    answers.push(...await Promise.all(Array.from({ length: 500 }, () => plane.request("GET", "/v1/session", undefined, headers))));
    refused = answers.filter((a) => a.status === 429);
  }
  assert.ok(answers.some((a) => a.status === 200));
  assert.ok(refused.length > 0, "none refused");
  for (const answer of refused.slice(0, 3)) {
    check(answer, 429, "rate_limited");
    assert.ok(Number(answer.headers.get("retry-after")) >= 1);
    assert.ok(answer.headers.get("ratelimit") && answer.headers.get("ratelimit-policy"));
  }
});

test("buckets are shared through Redis", async () => {
  const made = check(await post("/v1/tokens", { name: "shared", role: "viewer" }), 201).body;
  const left = async () => {
    const answer = check(await plane.request("GET", "/v1/session", undefined, { authorization: "Bearer " + made.token }), 200);
    return Number(/;r=(\d+)/.exec(answer.headers.get("ratelimit"))[1]);
  };
  assert.ok(await left() > 300);
  assert.ok(await left() > 300);
  const keys = await until("the buckets are shared", () => { const all = plane.redisCli("--scan", "--pattern", "rl:*").split("\n").filter(Boolean); return all.length > 0 && all; });
  /* Another replica took all of it. */
  for (const key of keys) plane.redisCli("SET", key, String(BigInt(Date.now() + 60000) * 1000n));
  await until("it is heard of", async () => (await left()) < 100);
});

test("it stops in order, and without PostgreSQL it says so", async () => {
  assert.equal(await plane.stopApi(), 0);
  await plane.startApi();
  check(await plane.request("GET", "/readyz"), 200);
});
