// POST /v1/evidence/verify: the verifier as a service, bounded, with the same answer as the command.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { jwtVerify } from "jose";
import { Plane, b64u } from "./api_fixture.mjs";
import { cases, vectorsRoot } from "../support/vectors.mjs";

const root = vectorsRoot();
if (!root) console.log("skipped: no vectors (set REDOUBT_VECTORS)");
let plane;
before(async () => { plane = await Plane.start(); }, { timeout: 180000 });
after(async () => { await plane?.close(); });

const ask = (body, headers) => plane.request("POST", "/v1/evidence/verify", body, headers);

function question({ dir, expect }) {
  const bytes = (...names) => Buffer.concat(names.map((name) => join(dir, name)).filter(existsSync).map((path) => readFileSync(path)));
  const text = (name) => bytes(name).toString("latin1"), base64 = (name) => bytes(name).toString("base64");
  const q = { evidence: b64u(bytes("quote.bin", "report.bin")), at: expect.verify_at };
  const chain = bytes("vcek.der", "vlek.der", "ask.pem", "asvk.pem", "ark.pem");
  if (chain.length) q.snp_chain = b64u(chain);
  if (existsSync(join(dir, "tcb_info.json")))
    q.collateral = { type: "redoubt/collateral/v1", pck_crl: base64("pck_crl.der"), pck_crl_chain: text("pck_crl_issuer_chain.pem"), root_ca_crl: base64("root_ca_crl.der"),
      tcb_info: text("tcb_info.json"), tcb_info_chain: text("tcb_info_issuer_chain.pem"), qe_identity: text("qe_identity.json"), qe_identity_chain: text("qe_identity_issuer_chain.pem") };
  return q;
}

test("real evidence gets the verdict that its case expects", { skip: !root && "no vectors" }, async () => {
  for (const kind of ["sgx/", "tdx/", "snp/"])
    for (const c of cases(root).filter(({ name, expect }) => name.startsWith(kind) && !expect.error_class && expect.verdict !== "ParseOnly").slice(0, 3)) {
      const { status, body } = await ask({ ...question(c), allow_debug: true });
      assert.equal(status, 200, c.name);
      assert.equal(body.verdict, c.expect.verdict, `${c.name}: ${body.reason?.detail}`);
      assert.equal(body.genuine, true);
    }
});

test("an attestation result, signed with the plane's record key and marked by whose inputs it was judged", { skip: !root && "no vectors" }, async () => {
  const c = cases(root).find(({ name, expect }) => name.startsWith("tdx/") && expect.verdict === "UpToDate");
  const { body } = await ask({ ...question(c), ear: true });
  const { body: version } = await plane.request("GET", "/v1/version");
  const record = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: version.record_key }, format: "jwk" });
  const { payload } = await jwtVerify(body.ear, record, { typ: "redoubt-ear+jwt", currentDate: new Date(c.expect.verify_at) });
  assert.equal(payload["redoubt.trust"], "caller", "its collateral and its instant were the caller's");
  const own = await ask({ evidence: question(c).evidence, ear: true });
  assert.equal((await jwtVerify(own.body.ear, record)).payload["redoubt.trust"], "plane");
  assert.equal(payload.submods.tdx["redoubt.verdict"], "UpToDate");
  assert.equal((await ask(question(c))).body.ear, undefined);
});

test("a refusal is an answer; its reason is named", async () => {
  const { status, body } = await ask({ evidence: b64u(Buffer.alloc(1184)) });
  assert.equal(status, 200);
  assert.deepEqual([body.genuine, body.accepted, body.error_class, body.reason.code], [false, false, "UnsupportedReportVersion", "snp_version"]);
});

test("bounded: no body, too large a piece, unknown members, no token", async () => {
  assert.equal((await ask({})).status, 422);
  assert.equal((await ask({ evidence: b64u(Buffer.alloc(65537)) })).status, 422);
  assert.equal((await ask({ evidence: "AA", trust_root: "mine" })).status, 422);
  const tooLarge = await ask({ evidence: "AA", ccel: "A".repeat((2 << 20) + 1) }).catch(() => ({ status: 413 })); // it may be cut before all is sent
  assert.equal(tooLarge.status, 413);
  assert.equal((await ask({ evidence: "AA" }, { authorization: null })).status, 401);
});
