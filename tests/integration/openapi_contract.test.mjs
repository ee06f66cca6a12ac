// api/openapi.json: well formed by OpenAPI 3.1, complete against the route table, and true: real answers are held against it.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { Plane, Owner, ROOT, b64u, bundle, sha256 } from "./api_fixture.mjs";

const doc = JSON.parse(readFileSync(join(ROOT, "api", "openapi.json"), "utf8"));
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addFormat("binary", true);
ajv.addSchema({ $id: "doc", components: doc.components });

let plane;
const seen = new Set();
// It fetches collateral, from where nobody is.
before(async () => { plane = await Plane.start({ flags: ["--collateral-pcs", "http://127.0.0.1:9", "--collateral-scopes", "tdx:90c06f000000"] }); }, { timeout: 180000 });
after(async () => { await plane?.close(); });

const resolve = (node) => (node?.$ref ? node.$ref.slice(2).split("/").reduce((at, part) => at[part.replaceAll("~1", "/")], doc) : node);
const rooted = (schema) => JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"doc#/components/'));

// The row of the description that stands for a method and path: literal segments win over parameters.
function operation(method, path) {
  const parts = path.split("?")[0].split("/");
  const fits = Object.keys(doc.paths).filter((pattern) => {
    const want = pattern.split("/");
    return want.length === parts.length && want.every((w, i) => w.startsWith("{") || w === parts[i]);
  }).sort((a, b) => a.split("{").length - b.split("{").length);
  const pattern = fits.find((p) => doc.paths[p][method.toLowerCase()]);
  return pattern && { pattern, description: doc.paths[pattern][method.toLowerCase()] };
}

// One request; its answer must be one that the description promises.
async function call(method, path, body, headers, want) {
  const answer = await plane.request(method, path, body, headers);
  const found = operation(method, path);
  assert.ok(found, `${method} ${path} is not described`);
  const text = `${method} ${found.pattern} -> ${answer.status}`;
  if (want) assert.equal(answer.status, want, `${text} ${JSON.stringify(answer.body)}`);
  const responses = found.description.responses;
  const response = resolve(responses[answer.status] || responses[`${String(answer.status)[0]}XX`]);
  assert.ok(response, text + " is not described");
  seen.add(`${method} ${found.pattern}`);
  if (!response.content) { assert.equal(answer.bytes.length, 0, text + " has a body"); return answer; }
  if (answer.status === 304) return answer;
  const type = answer.type.split(";")[0];
  const media = response.content[type];
  assert.ok(media, `${text}: content type ${type} is not described`);
  if (!type.includes("json")) return answer;
  const validate = ajv.compile(rooted(media.schema));
  assert.ok(validate(answer.body), `${text}: ${ajv.errorsText(validate.errors)}\n${JSON.stringify(answer.body)}`);
  return answer;
}

test("the description is OpenAPI 3.1", async () => {
  const result = await new Validator().validate(structuredClone(doc));
  assert.ok(result.valid, JSON.stringify(result.errors));
  assert.equal(doc.openapi, "3.1.0");
});

test("the linter's recommended rules find nothing", async () => {
  const config = await createConfig({ extends: ["recommended"] });
  const path = join(ROOT, "api", "openapi.json");
  const problems = await lintFromString({ source: readFileSync(path, "utf8"), absoluteRef: path, config });
  assert.deepEqual(problems.map((p) => `${p.severity} ${p.ruleId} ${p.location[0]?.pointer}: ${p.message}`), []);
});

test("what is served is what stands in the tree", async () => {
  assert.deepEqual((await plane.request("GET", "/v1/openapi.json", undefined, { authorization: null })).body, doc);
});

test("operation ids are unique, every reference resolves, every operation can fail", () => {
  const ids = new Set();
  JSON.stringify(doc, (key, value) => {
    if (key === "$ref") assert.ok(resolve({ $ref: value }), value);
    return value;
  });
  for (const [path, item] of Object.entries(doc.paths))
    for (const [method, op] of Object.entries(item)) {
      assert.ok(!ids.has(op.operationId), op.operationId);
      ids.add(op.operationId);
      assert.ok(op.responses["4XX"] && op.responses["5XX"], `${method} ${path}`);
      for (const name of path.matchAll(/{([a-z]+)}/g))
        assert.ok((op.parameters || []).some((p) => resolve(p).in === "path" && resolve(p).name === name[1]), `${method} ${path}: ${name[1]}`);
    }
});

test("route table and description name the same operations", () => {
  const table = readFileSync(join(ROOT, "api", "routes.c"), "utf8");
  const rows = [...table.matchAll(/{\s*"(GET|POST|PUT|PATCH|DELETE)",\s*"([^"]+)"/g)].map((m) => [m[1], m[2]]).filter(([, path]) => path !== "/" && !path.includes("*"));
  const described = Object.entries(doc.paths).flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
  assert.deepEqual(rows.map(([method, path]) => `${method} ${path}`).sort(), described.sort());
});

test("answers are as described", async (t) => {
  for (const path of ["/livez", "/readyz", "/metrics", "/v1/version", "/v1/openapi.json", "/v1/collateral", "/v1/collateral/status", "/problems", "/problems/csrf", "/v1/session"])
    await t.test(path, () => call("GET", path));
  await call("POST", "/v1/evidence/verify", { evidence: b64u(Buffer.alloc(1184)) }, {}, 200);
  const app = await plane.makeApp("contract");
  const base = `/v1/apps/${app.app}`;
  const hex = sha256(app.code).toString("hex");
  const deployed = await call("POST", base + "/deployments", { release: app.release, min: 1, max: 1 }, {}, 202);
  const link = await call("POST", "/v1/login-links", undefined, {}, 201);
  const token = await call("POST", "/v1/tokens", { name: "t", role: "viewer", expires_in_s: 3600 }, {}, 201);
  const prepared = await call("POST", "/v1/prepared", { kind: "deploy", app: app.app, name: "n", code: b64u(bundle()), settings: {} }, {}, 201);
  const spare = new Owner();
  const made = await call("POST", "/v1/apps", { name: "spare", genesis: b64u(spare.genesis()) }, {}, 201);
  const kms = "/v1/kms/kms_" + "a".repeat(52);
  const set = (await plane.request("GET", "/v1/collateral")).body;
  const rows = [
    ["PUT", "/v1/collateral", set], ["POST", "/v1/collateral/refresh"], ["POST", "/v1/collateral/forecast", set], ["GET", "/v1/apps"], ["GET", "/v1/apps?name=contract&limit=1"], ["GET", base], ["GET", base + "/genesis"], ["GET", base + "/releases"],
    ["GET", base + "/releases/" + app.release], ["GET", base + "/heads"], ["GET", base + "/heads/current"], ["GET", base + "/deployments"],
    ["GET", "/v1/deployments/" + deployed.body.id], ["GET", base + "/instances"], ["GET", base + "/instances?all=true"],
    ["GET", "/v1/instances/ins_" + "a".repeat(26)], ["GET", `/v1/instances/ins_${"a".repeat(26)}/evidence`], ["GET", `/v1/instances/ins_${"a".repeat(26)}/docs`],
    ["POST", base + "/invoke", "{}"], ["POST", base + "/sealed", "x", { "content-type": "message/ohttp-req" }], ["GET", "/v1/blobs/" + hex], ["GET", "/v1/hosts"], ["GET", "/v1/hosts/hst_" + "a".repeat(26)],
    ["POST", `/v1/hosts/hst_${"a".repeat(26)}/drain`, {}], ["POST", `/v1/hosts/hst_${"a".repeat(26)}/undrain`], ["POST", `/v1/hosts/hst_${"a".repeat(26)}/cordon`],
    ["POST", `/v1/hosts/hst_${"a".repeat(26)}/release`], ["GET", `/v1/deployments/${deployed.body.id}/wait?state=accepted`], ["GET", `/v1/deployments/${deployed.body.id}/wait?version=x&timeout_s=1`],
    ["GET", base + "/records"], ["GET", base + "/records?limit=1"], ["GET", base + "/grants"], ["GET", `${base}/grants?limit=1&instance=ins_${"a".repeat(26)}`], ["GET", "/v1/records/sha256:" + "0".repeat(64)], ["GET", "/v1/evidence/by-digest/sha256:" + "0".repeat(64)],
    ["GET", base + "/receipts"], ["GET", base + "/receipts?limit=1&since=2026-01-01T00:00:00Z"], ["GET", `/v1/instances/ins_${"a".repeat(26)}/receipts?epoch=1&from=2`],
    ["DELETE", "/v1/hosts/hst_" + "a".repeat(26), undefined, { "if-match": "*" }], ["POST", "/v1/enrol-tokens", { uses: 2, labels: { a: "b" } }],
    ["POST", "/v1/enroll", { token: "x" }, { authorization: null }], ["GET", "/v1/tokens"], ["GET", "/v1/audit"],
    ["POST", "/v1/login", { code: link.body.code }, { authorization: null }], ["POST", "/v1/logout"],
    ["GET", base + "/secrets"], ["PUT", base + "/secrets/A/1", Buffer.from("sealed"), { "content-type": "application/octet-stream" }], ["GET", base + "/secrets"], ["GET", base + "/secrets/A/1"],
    ["DELETE", base + "/secrets/A"], ["GET", "/v1/kms"], ["GET", kms], [`GET`, kms + "/evidence?nonce=" + "A".repeat(43)], ["GET", kms + "/seal-key?app=" + app.app],
    ["POST", kms + "/admit", Buffer.alloc(32), { "content-type": "application/octet-stream" }], ["POST", kms + "/root", Buffer.alloc(8), { "content-type": "application/octet-stream" }],
    ["PUT", "/v1/blobs/" + hex, app.code, { "content-type": "application/octet-stream" }],
    ["POST", base + "/releases", app.owner.envelope(app.releaseDocument, "release-v1")], ["POST", base + "/heads", app.owner.envelope(app.head, "head-v1")],
    ["PATCH", "/v1/apps/" + made.body.id, { name: "renamed" }, { "if-match": made.headers.get("etag") }],
    ["DELETE", "/v1/apps/" + made.body.id, undefined, { "if-match": "*" }],
    ["POST", `/v1/tokens/${token.body.id}/rotate`, { overlap_s: 60 }], ["DELETE", "/v1/tokens/" + token.body.id, undefined, { "if-match": "*" }],
    ["GET", "/v1/prepared/" + prepared.body.code], ["POST", `/v1/prepared/${prepared.body.code}/done`, { app: app.app }],
  ];
  for (const [method, path, body, headers] of rows)
    await t.test(`${method} ${path.slice(0, 60)}`, () => call(method, path, body, headers));
  await t.test("nothing was left out but streams", () => {
    const all = Object.entries(doc.paths).flatMap(([path, item]) => Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`));
    assert.deepEqual(all.filter((one) => !seen.has(one)).sort(), ["GET /v1/apps/{app}/logs", "GET /v1/events"]);
  });
  const ids = { app: app.app, dep: deployed.body.id, digest: hex, token: token.body.id, code: prepared.body.code, ins: "ins_" + "a".repeat(26), host: "hst_" + "a".repeat(26), kms: "kms_" + "a".repeat(52), name: "A", version: "1" };
  const real = (path) => path.replace("/releases/{digest}", "/releases/" + app.release).replace(/{([a-z]+)}/g, (_, name) => ids[name]);
  await t.test("every operation that needs a caller refuses one without, by 401", async () => {
    for (const [path, item] of Object.entries(doc.paths))
      for (const [method, op] of Object.entries(item)) {
        if (!(op.security || doc.security || []).length) continue;
        const answer = await call(method.toUpperCase(), real(path), undefined, { authorization: null }, 401);
        assert.equal(answer.body.code, "unauthenticated");
      }
  });
  await t.test("another organisation's objects are not there, whatever is done with them", async () => {
    const foreign = { authorization: "Bearer " + plane.bootstrap("foreign").token };
    const code = { "content-type": "application/octet-stream" };
    const rows = [
      ["GET", base], ["GET", base + "/genesis"], ["GET", base + "/releases/" + app.release], ["GET", base + "/heads/current"],
      ["GET", "/v1/deployments/" + deployed.body.id], ["GET", "/v1/blobs/" + hex], ["GET", "/v1/prepared/" + prepared.body.code], ["GET", base + "/logs"],
      ["PATCH", base, { paused: true }, { "if-match": "*" }], ["DELETE", base, undefined, { "if-match": "*" }],
      ["POST", base + "/deployments", { kind: "stop" }], ["POST", base + "/deployments", { release: app.release }], ["POST", base + "/invoke", "{}"],
      ["POST", base + "/releases", app.owner.envelope(app.releaseDocument, "release-v1")], ["POST", base + "/heads", app.owner.envelope(app.head, "head-v1")],
      ["GET", base + "/secrets"], ["GET", base + "/secrets/A/1"], ["DELETE", base + "/secrets/A"],
      ["DELETE", "/v1/tokens/" + link.body.code, undefined, { "if-match": "*" }], ["POST", `/v1/prepared/${prepared.body.code}/done`, { app: app.app }],
    ];
    for (const [method, path, body, headers] of rows) {
      const answer = await call(method, path, body, { ...(path.endsWith("/invoke") ? code : {}), ...headers, ...foreign });
      assert.deepEqual([path, answer.status, answer.body.code], [path, 404, "not_found"]);
    }
    for (const path of [base + "/releases", base + "/heads", base + "/deployments", base + "/instances", "/v1/apps"]) {
      const answer = await call("GET", path, undefined, foreign);
      assert.ok(answer.status === 404 || answer.body.items.length === 0, path);
    }
    assert.equal((await plane.request("GET", base)).body.paused ?? false, false);
  });
  await t.test("an unchanged resource is 304 with the same ETag, by HEAD too", async () => {
    for (const path of [base, "/v1/apps", base + "/releases", "/v1/deployments/" + deployed.body.id, "/v1/hosts", base + "/heads/current"]) {
      const etag = (await call("GET", path, undefined, {}, 200)).headers.get("etag");
      assert.ok(etag, path);
      assert.equal((await call("GET", path, undefined, { "if-none-match": etag }, 304)).headers.get("etag"), etag);
      const head = await plane.request("HEAD", path);
      assert.deepEqual([head.status, head.headers.get("etag"), head.bytes.length], [200, etag, 0], path);
    }
  });
});

// One connection to the event stream; next() gives the next event with an id, skipping comments.
async function openEvents(headers = {}) {
  const stop = new AbortController();
  const response = await fetch(plane.url + "/v1/events", { headers: { authorization: "Bearer " + plane.token, ...headers }, signal: stop.signal });
  const reader = response.body?.getReader();
  let text = "";
  const next = async () => {
    for (;;) {
      const end = text.indexOf("\n\n");
      if (end < 0) {
        const { value, done } = await reader.read();
        if (done) return null;
        text += Buffer.from(value).toString();
        continue;
      }
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      const field = (name) => new RegExp(`^${name}: ?(.*)$`, "m").exec(block)?.[1];
      if (field("event") || field("id")) return { id: field("id"), event: field("event"), data: field("data") && JSON.parse(field("data")) };
    }
  };
  return { response, next, close: () => stop.abort() };
}

test("events resume exactly where Last-Event-ID says", { timeout: 180000 }, async () => {
  const first = await openEvents();
  assert.equal(first.response.status, 200);
  assert.match(first.response.headers.get("content-type"), /^text\/event-stream/);
  const start = await first.next();
  const names = ["event-a", "event-b", "event-c"];
  const apps = [];
  for (const name of names) apps.push((await plane.request("POST", "/v1/apps", { name, genesis: b64u(new Owner().genesis()) })).body.id);
  const seen = [];
  while (seen.length < 3) {
    const one = await first.next();
    if (one.event === "app") seen.push(one);
  }
  assert.deepEqual(seen.map((one) => one.data.app), apps);
  first.close();
  for (const [from, want] of [[start.id, apps], [seen[0].id, apps.slice(1)], [seen[1].id, apps.slice(2)]]) {
    const again = await openEvents({ "last-event-id": from });
    const got = [];
    while (got.length < want.length) {
      const one = await again.next();
      if (one.event === "app") got.push(one.data.app);
    }
    assert.deepEqual(got, want);
    again.close();
  }
  const bad = await plane.request("GET", "/v1/events", undefined, { "last-event-id": "yesterday" });
  assert.deepEqual([bad.status, bad.body.code], [422, "json_range"]);
  const other = await openEvents({ "last-event-id": "99-1-1" });
  assert.equal((await other.next()).event, "gone");
  other.close();
});

// What the description calls a valid request must not be a 5xx, and what it forbids must be refused.
test("bodies outside their schema are refused, never accepted and never a fault", async (t) => {
  const junk = [null, true, 7, "text", [], {}, { a: 1 }, { name: null }, { kind: "deploy" }, { min: -1 }, { min: 1e300 }, { release: "x" }, { uses: "1" }, { code: [] }, { token: {} }];
  for (const [path, item] of Object.entries(doc.paths)) {
    const schema = item.post && resolve(item.post.requestBody)?.content?.["application/json"]?.schema;
    if (!schema) continue;
    const validate = ajv.compile(rooted(schema));
    const real = path.replace("{app}", "app_" + "a".repeat(52)).replace("{host}", "hst_" + "a".repeat(26)).replace("{code}", "AAAA-AAAA").replace("{token}", "tok_" + "a".repeat(26));
    await t.test("POST " + path, async () => {
      for (const body of junk) {
        const answer = await plane.request("POST", real, JSON.stringify(body), { "content-type": "application/json" });
        assert.ok(answer.status < 500, `${JSON.stringify(body)}: ${answer.status} ${JSON.stringify(answer.body)}`);
        if (!validate(body)) assert.ok(answer.status >= 400, `${JSON.stringify(body)} was accepted: ${answer.status}`);
      }
    });
  }
});
