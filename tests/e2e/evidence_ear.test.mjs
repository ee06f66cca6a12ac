// The verifier's answer as an attestation result, read with an independent JWT library: signature, header, claims.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { calculateJwkThumbprint, exportJWK, jwtVerify } from "jose";
import { cases, vectorsRoot } from "../support/vectors.mjs";

const root = vectorsRoot();
const bin = join(process.env.REDOUBT_BIN ?? fileURLToPath(new URL("../../build/test/bin", import.meta.url)), "redoubt");
const skip = root ? false : "skipped: no vectors (set REDOUBT_VECTORS)";
const run = (...args) => new Promise((resolve) => execFile(bin, ["evidence", "verify", ...args], (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr })));

function key(t, type, options) {
  const folder = mkdtempSync(join(tmpdir(), "redoubt-ear-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const pair = generateKeyPairSync(type, options);
  writeFileSync(join(folder, "key.pem"), pair.privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  return { path: join(folder, "key.pem"), publicKey: createPublicKey(pair.privateKey) };
}

async function read(token, publicKey, at) {
  const { payload, protectedHeader } = await jwtVerify(token, publicKey, { typ: "redoubt-ear+jwt", currentDate: new Date(at) });
  assert.equal(protectedHeader.kid, await calculateJwkThumbprint(await exportJWK(publicKey)));
  return { payload, protectedHeader };
}

const tiers = { affirming: 0, warning: 1, contraindicated: 2, none: 0 };
const tier = (value) => (value >= 96 ? 2 : value >= 32 ? 1 : 0);

test("every genuine case as an attestation result under ES256", { skip }, async (t) => {
  const { path, publicKey } = key(t, "ec", { namedCurve: "P-256" });
  for (const { name, dir, expect } of cases(root).filter(({ name, expect }) => !name.startsWith("eventlog/") && !expect.error_class && expect.verdict !== "ParseOnly")) {
    const { code, stdout, stderr } = await run(dir, "--ear", "--ear-key", path, "--json");
    const out = JSON.parse(stdout);
    assert.equal(code, out.accepted ? 0 : 6, `${name}: ${stderr}`);
    const { payload, protectedHeader } = await read(out.ear, publicKey, expect.verify_at);
    assert.equal(protectedHeader.alg, "ES256");
    assert.equal(payload.eat_profile, "tag:github.com,2023:veraison/ear");
    assert.ok(Math.abs(payload.iat - Date.now() / 1000) < 3600);
    const submod = payload.submods[expect.tee];
    const evidence = readFileSync(join(dir, expect.tee === "snp" ? "report.bin" : "quote.bin"));
    assert.equal(submod["redoubt.evidence"], `sha256:${createHash("sha256").update(evidence).digest("hex")}`);
    assert.equal(submod["redoubt.verdict"], expect.verdict);
    assert.deepEqual(new Set(submod["redoubt.advisory-ids"]), new Set(expect.advisory_ids));
    const worst = Math.max(...Object.values(submod["ear.trustworthiness-vector"]).map(tier));
    assert.ok(tiers[submod["ear.status"]] >= worst, `${name}: ${submod["ear.status"]}`);
    assert.equal(submod["ear.status"] === "contraindicated", !out.accepted || worst === 2, name);
    if (expect.verdict === "UpToDate" && out.accepted) assert.equal(submod["ear.status"], "affirming");
  }
});

// R23: what says who vouches: a verifier's own key, and affirming for nothing simulated.
test("EdDSA; the token alone on standard output; a refusal is signed too", { skip }, async (t) => {
  const { path, publicKey } = key(t, "ed25519");
  const good = cases(root).find(({ expect }) => expect.tee === "tdx" && expect.verdict === "UpToDate" && !expect.default_policy);
  const { stdout } = await run(good.dir, "--ear", "--ear-key", path);
  const { protectedHeader } = await read(stdout.trim(), publicKey, good.expect.verify_at);
  assert.equal(protectedHeader.alg, "EdDSA");
  const bad = cases(root).find(({ expect }) => expect.error_class === "QuoteSignature");
  const refused = await run(bad.dir, "--ear", "--ear-key", path);
  assert.equal(refused.code, 6);
  const { payload } = await read(refused.stdout.trim(), publicKey, bad.expect.verify_at);
  assert.equal(payload.exp, undefined);
  assert.equal(payload.submods.sgx["ear.status"], "contraindicated");
  const broken = stdout.trim().replace(/.$/, (c) => (c === "A" ? "Q" : "A"));
  await assert.rejects(read(broken, publicKey, good.expect.verify_at));
});

test("usage: a result without a key, a key of another kind, a key alone", { skip }, async (t) => {
  const { dir } = cases(root)[0];
  assert.equal((await run(dir, "--ear")).code, 2);
  assert.equal((await run(dir, "--ear", "--ear-key", key(t, "ec", { namedCurve: "P-384" }).path)).code, 2);
  assert.equal((await run(dir, "--ear-key", key(t, "ed25519").path)).code, 2);
});
