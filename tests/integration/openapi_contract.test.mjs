// api/openapi.json: well formed by OpenAPI 3.1, complete against the route table, and true: real answers are held against it.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { Plane, Owner, ROOT, b64u, bundle, sha256 } from "./api_fixture.mjs";

const doc = JSON.parse(readFileSync(join(ROOT, "api", "openapi.json"), "utf8"));
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addFormat("binary", true);
ajv.addSchema({ $id: "doc", components: doc.components });

let plane;
const seen = new Set();
before(async () => { plane = await Plane.start(); }, { timeout: 120000 });
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
  for (const path of ["/livez", "/readyz", "/metrics", "/v1/version", "/v1/openapi.json", "/v1/collateral", "/problems", "/problems/csrf", "/v1/session"])
    await t.test(path, () => call("GET", path));
  const app = await plane.makeApp("contract");
  const base = `/v1/apps/${app.app}`;
  const hex = sha256(app.code).toString("hex");
  const deployed = await call("POST", base + "/deployments", { release: app.release, min: 1, max: 1 }, {}, 202);
  const link = await call("POST", "/v1/login-links", undefined, {}, 201);
  const token = await call("POST", "/v1/tokens", { name: "t", role: "viewer", expires_in_s: 3600 }, {}, 201);
  const prepared = await call("POST", "/v1/prepared", { kind: "deploy", app: app.app, name: "n", code: b64u(bundle()), settings: {} }, {}, 201);
  const spare = new Owner();
  const made = await call("POST", "/v1/apps", { name: "spare", genesis: b64u(spare.genesis()) }, {}, 201);
  const rows = [
    ["GET", "/v1/apps"], ["GET", "/v1/apps?name=contract&limit=1"], ["GET", base], ["GET", base + "/genesis"], ["GET", base + "/releases"],
    ["GET", base + "/releases/" + app.release], ["GET", base + "/heads"], ["GET", base + "/heads/current"], ["GET", base + "/deployments"],
    ["GET", "/v1/deployments/" + deployed.body.id], ["GET", base + "/instances"], ["GET", base + "/instances?all=true"],
    ["GET", "/v1/instances/ins_" + "a".repeat(26)], ["GET", `/v1/instances/ins_${"a".repeat(26)}/evidence`], ["GET", `/v1/instances/ins_${"a".repeat(26)}/docs`],
    ["POST", base + "/invoke", "{}"], ["GET", "/v1/blobs/" + hex], ["GET", "/v1/hosts"], ["GET", "/v1/hosts/hst_" + "a".repeat(26)],
    ["POST", `/v1/hosts/hst_${"a".repeat(26)}/drain`, {}], ["POST", `/v1/hosts/hst_${"a".repeat(26)}/undrain`], ["POST", `/v1/hosts/hst_${"a".repeat(26)}/cordon`],
    ["DELETE", "/v1/hosts/hst_" + "a".repeat(26), undefined, { "if-match": "*" }], ["POST", "/v1/enrol-tokens", { uses: 2, labels: { a: "b" } }],
    ["POST", "/v1/enroll", { token: "x" }, { authorization: null }], ["GET", "/v1/tokens"], ["GET", "/v1/audit"],
    ["POST", "/v1/login", { code: link.body.code }, { authorization: null }], ["POST", "/v1/logout"],
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
