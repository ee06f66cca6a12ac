// Our verdicts against implementations that are not ours: @phala/dcap-qvl for Intel quotes, the openssl command for AMD.
// Every case and mutation of the vectors; where they differ, the difference must be one that docs/verifier.md explains.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { applyMutation, cases, mutations, vectorsRoot } from "../support/vectors.mjs";

const { verify: phalaVerify } = createRequire(import.meta.url)("@phala/dcap-qvl");
const root = vectorsRoot();
const bin = join(process.env.REDOUBT_BIN ?? fileURLToPath(new URL("../../build/test/bin", import.meta.url)), "redoubt");
if (!root) console.log("skipped: no vectors (set REDOUBT_VECTORS)");

const ours = (...args) => new Promise((resolve) => {
  execFile(bin, ["evidence", "verify", "--allow-debug", ...args, "--json"], { maxBuffer: 1 << 22 }, (_, stdout) => resolve(JSON.parse(stdout)));
});
const word = (out) => (out.genuine ? `${out.verdict} ${[...out.advisory_ids].sort()}` : "refused");

// --- Intel ---

// {"member":BODY,"signature":"HEX"} as the service answers it: the library wants the two apart.
function split(text, member) {
  const at = text.indexOf(`"${member}":`) + member.length + 3, end = text.lastIndexOf(',"signature"');
  return { body: text.slice(at, end), signature: JSON.parse(text).signature };
}

function phala(dir, at) {
  const text = (name) => readFileSync(join(dir, name), "latin1");
  try {
    const tcb = split(text("tcb_info.json"), "tcbInfo"), qe = split(text("qe_identity.json"), "enclaveIdentity");
    const report = phalaVerify(readFileSync(join(dir, "quote.bin")), {
      pck_crl_issuer_chain: text("pck_crl_issuer_chain.pem"), root_ca_crl: readFileSync(join(dir, "root_ca_crl.der")), pck_crl: readFileSync(join(dir, "pck_crl.der")),
      tcb_info_issuer_chain: text("tcb_info_issuer_chain.pem"), tcb_info: tcb.body, tcb_info_signature: tcb.signature,
      qe_identity_issuer_chain: text("qe_identity_issuer_chain.pem"), qe_identity: qe.body, qe_identity_signature: qe.signature,
    }, Math.floor(Date.parse(at) / 1000));
    return { word: `${report.status} ${[...report.advisory_ids].sort()}`, why: "" };
  } catch (error) {
    return { word: "refused", why: [error.message, error.cause?.message].filter(Boolean).join(": ") };
  }
}

// What differs by decision: each row is one of docs/verifier.md, "Second opinion".
const phalaDifferences = [
  { name: "debug is policy", fits: (o, p) => o.genuine && o.debug && /debug/i.test(p.why) },
  { name: "TD attributes are policy", fits: (o, p) => o.genuine && /SEPT_VE|MR_?SERVICE|PKS|KL|attribute|reserved/i.test(p.why) },
  { name: "TCB info of version 2", fits: (o, p) => o.genuine && o.tee === "sgx" && /TcbInfo|tcb_info|TCBInfo/i.test(p.why) },
  { name: "a revocation list is its issuer's alone", fits: (o) => !o.genuine && ["crl_issuer", "crl_format"].includes(o.reason.code) },
  { name: "a pinned root need not be sent", fits: (o, p) => o.genuine && /chain is too short/.test(p.why) },
  { name: "bytes changed that a looser reader passes over", fits: (o) => !o.genuine && ["quote_length", "quote_trailing", "cert_type", "quote_body_type", "quote_type_mix", "collateral_format", "x509_format"].includes(o.reason.code) },
  { name: "TDX module identities", fits: (o, p) => o.tee === "tdx" && o.genuine && o.fields.tee_tcb_svn.slice(2, 4) !== "00" },
];

function compareIntel(what, o, p) {
  if (word(o) === p.word) return "agree";
  const row = phalaDifferences.find((d) => d.fits(o, p));
  assert.ok(row, `${what}: ours ${word(o)} (${o.reason?.detail}), theirs ${p.word} (${p.why})`);
  return row.name;
}

const intel = (root ? cases(root) : []).filter(({ dir, name }) => /^(sgx|tdx)\//.test(name) && existsSync(join(dir, "tcb_info.json")));
const counts = {};
const count = (how) => { counts[how] = (counts[how] ?? 0) + 1; };

test("Intel quotes, every case", { skip: !root && "no vectors" }, async () => {
  for (const { name, dir, expect } of intel) count(compareIntel(name, await ours(dir), phala(dir, expect.verify_at)));
  console.log("cases", JSON.stringify(counts));
});

test("Intel quotes, every mutation", { skip: !root && "no vectors" }, async () => {
  for (const key of Object.keys(counts)) delete counts[key];
  for (const m of mutations(root)) {
    const base = intel.find(({ name }) => name === m.case);
    if (!base || m.op === "trust_root" || m.op === "option") continue;
    const { dir, flags, done } = applyMutation(root, m);
    try {
      count(compareIntel(`${m.id} ${m.what ?? m.op}`, await ours(dir, ...flags), phala(dir, flags[1] ?? base.expect.verify_at)));
    } finally {
      done();
    }
  }
  console.log("mutations", JSON.stringify(counts));
});

// --- AMD ---

const openssl = (args, input) => spawnSync("openssl", args, { input });

// The report's signature in DER: r and s stand little-endian in 72 bytes each.
function derSignature(report) {
  const integer = (at) => {
    let bytes = Buffer.from(report.subarray(at, at + 72)).reverse();
    while (bytes.length > 1 && bytes[0] === 0 && bytes[1] < 0x80) bytes = bytes.subarray(1);
    if (bytes[0] >= 0x80) bytes = Buffer.concat([Buffer.from([0]), bytes]);
    return Buffer.concat([Buffer.from([2, bytes.length]), bytes]);
  };
  const body = Buffer.concat([integer(0x2a0), integer(0x2e8)]);
  return Buffer.concat([Buffer.from([0x30, ...(body.length > 127 ? [0x81] : []), body.length]), body]);
}

function opensslVerdict(dir, at) {
  const leaf = ["vcek.der", "vlek.der"].find((name) => existsSync(join(dir, name)));
  const ca = ["ask.pem", "asvk.pem"].find((name) => existsSync(join(dir, name)));
  const report = readFileSync(join(dir, "report.bin"));
  if (!leaf || !ca || report.length !== 1184) return false;
  const work = mkdtempSync(join(tmpdir(), "redoubt-openssl-"));
  const path = (name) => join(work, name);
  try {
    if (openssl(["x509", "-inform", "DER", "-in", join(dir, leaf), "-out", path("leaf.pem")]).status !== 0) return false;
    const time = String(Math.floor(Date.parse(at) / 1000));
    const chain = openssl(["verify", "-attime", time, "-trusted", join(dir, "ark.pem"), "-untrusted", join(dir, ca), path("leaf.pem")]);
    if (chain.status !== 0) return false;
    writeFileSync(path("key.pem"), openssl(["x509", "-in", path("leaf.pem"), "-noout", "-pubkey"]).stdout);
    writeFileSync(path("sig"), derSignature(report));
    return openssl(["dgst", "-sha384", "-verify", path("key.pem"), "-signature", path("sig")], report.subarray(0, 0x2a0)).status === 0;
  } finally {
    rmSync(work, { recursive: true });
  }
}

// openssl answers for chain and signature: what it refuses, we refuse; what we refuse beyond it is one of these.
const beyondOpenssl = ["snp_version", "quote_keytype", "snp_policy", "chip_id", "tcb_cert_mismatch", "snp_product", "key_kind", "chain_root", "snp_format"];

function compareAmd(what, o, theirs) {
  if (o.genuine === theirs) return;
  assert.ok(theirs && !o.genuine && beyondOpenssl.includes(o.reason.code), `${what}: ours ${word(o)} (${o.reason?.code}), openssl ${theirs}`);
}

test("AMD reports, every case and mutation", { skip: !root && "no vectors" }, async () => {
  const amd = cases(root).filter(({ name }) => name.startsWith("snp/"));
  for (const { name, dir, expect } of amd) compareAmd(name, await ours(dir), opensslVerdict(dir, expect.verify_at));
  for (const m of mutations(root)) {
    const base = amd.find(({ name }) => name === m.case);
    if (!base || m.op === "option") continue;
    const { dir, flags, done } = applyMutation(root, m);
    try {
      compareAmd(`${m.id} ${m.what ?? m.op}`, await ours(dir, ...flags), opensslVerdict(dir, flags[1] ?? base.expect.verify_at));
    } finally {
      done();
    }
  }
});
