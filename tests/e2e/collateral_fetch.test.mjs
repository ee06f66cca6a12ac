// `redoubt collateral fetch` against services on loopback that behave, and that do not.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BIN, ROOT } from "../support/stack.mjs";
import { Pccs, answersOf, fingerprint } from "../support/pccs.mjs";
import { amdAnswers, amdPki } from "../support/fresh_collateral.mjs";

let dir, answers, set, pccs, profile, count = 0;
before(async () => {
  dir = mkdtempSync(join(tmpdir(), "rd-fetch-"));
  execFileSync(join(BIN, "redoubt-agent"), ["sim-pki", "create", "--dir", join(dir, "pki")]);
  set = JSON.parse(readFileSync(join(dir, "pki", "collateral.json"), "utf8"));
  answers = answersOf(set);
  profile = join(dir, "profile.json");
  writeFileSync(profile, JSON.stringify({ api: "http://127.0.0.1:9", simulation_roots: ["sha256:" + fingerprint(readFileSync(join(dir, "pki", "root.pem")))] }));
  pccs = await Pccs.start({ answers });
});
after(() => { pccs?.close(); rmSync(dir, { recursive: true, force: true }); });

function cli(...args) {
  return new Promise((done) => execFile(join(BIN, "redoubt"), args, { env: { ...process.env, REDOUBT_PROFILE: profile, HOME: dir, XDG_CONFIG_HOME: "", XDG_STATE_HOME: "" }, timeout: 60000, cwd: dir },
    (error, stdout, stderr) => done({ code: error ? error.code : 0, stdout, stderr })));
}
const scope = () => "tdx:" + answers.fmspc;
const fetchFrom = (server, ...args) => { const out = join(dir, "out-" + ++count); return cli("collateral", "fetch", "--from", server.url, "--scope", scope(), "--out", out, "--json", ...args).then((r) => ({ ...r, out })); };

test("a folder with what was asked for, verified; again it keeps what is newer", async () => {
  const { code, stdout, stderr, out } = await fetchFrom(pccs);
  assert.equal(code, 0, stderr);
  const { facts, older } = JSON.parse(stdout);
  assert.deepEqual(facts.scopes.map((s) => [s.tee, s.fmspc, s.class, s.reason]), [["tdx", answers.fmspc, "simulated", null]]);
  assert.equal(older, 0);
  assert.deepEqual(readdirSync(out).sort(), ["collateral.json", "validators.json"]);
  const written = JSON.parse(readFileSync(join(out, "collateral.json"), "utf8"));
  assert.equal(written.type, "redoubt/collateral/v2");
  assert.deepEqual(written.pieces.map((p) => p.kind).sort(), ["pck_crl", "qe_identity", "root_ca_crl", "tcb_info"]);
  assert.equal(written.pieces.find((p) => p.kind === "tcb_info").body, set.tcb_info);
  // The service goes back to an older list: the folder does not.
  execFileSync(join(BIN, "redoubt-agent"), ["sim-pki", "refresh", "--dir", join(dir, "pki")]);
  const newer = await Pccs.start({ answers: answersOf(JSON.parse(readFileSync(join(dir, "pki", "collateral.json"), "utf8"))) });
  const at = (await cli("collateral", "fetch", "--from", newer.url, "--scope", scope(), "--out", out, "--json"));
  newer.close();
  assert.equal(at.code, 0, at.stderr);
  const back = await cli("collateral", "fetch", "--from", pccs.url, "--scope", scope(), "--out", out, "--json");
  assert.equal(back.code, 0, back.stderr);
  assert.ok(JSON.parse(back.stdout).older >= 2, back.stdout);
  assert.equal(JSON.parse(back.stdout).facts.scopes[0].platform_crl_number, 2);
});

const started = async (t, options) => { const server = await Pccs.start(options); t.after(() => server.close()); return server; };
const asked = (server, from) => server.seen.slice(from);
const body = (out) => JSON.parse(readFileSync(join(out, "collateral.json"), "utf8")).pieces.find((p) => p.kind === "tcb_info").body;

for (const validator of ["etag", "last-modified"])
  test(`a second run asks whether it is still this, by ${validator}, and is answered 304`, async (t) => {
    const server = await started(t, { answers, validator });
    const out = join(dir, "again-" + validator), run = () => cli("collateral", "fetch", "--from", server.url, "--scope", scope(), "--out", out, "--json");
    const first = await run();
    assert.equal(first.code, 0, first.stderr);
    const { requests } = JSON.parse(first.stdout), before_ = readFileSync(join(out, "collateral.json"), "utf8");
    assert.deepEqual([JSON.parse(first.stdout).unchanged, server.unchanged], [0, 0]);
    const second = await run();
    assert.equal(second.code, 0, second.stderr);
    // The processor's list is not there, so not answered as unchanged either.
    assert.deepEqual([JSON.parse(second.stdout).requests, JSON.parse(second.stdout).unchanged, server.unchanged], [requests, requests - 1, requests - 1]);
    assert.equal(readFileSync(join(out, "collateral.json"), "utf8"), before_);
    // What is broken there is only not used; headers in it go nowhere.
    for (const text of ["{", JSON.stringify({ type: "redoubt/fetch-validators/v1", answers: [{ url: "u", etag: "a\r\nX: y", last_modified: "", body: "sha256:" + "0".repeat(64) }] })]) {
      writeFileSync(join(out, "validators.json"), text);
      assert.equal((await run()).code, 0);
    }
    assert.equal(server.unchanged, requests - 1);
    assert.equal((await run()).code, 0);
    // Another answer under the same validator would be held to what was asked: the set is what it was.
    assert.equal(body(out), set.tcb_info);
  });

test("an answer that was of no use is asked for anew, without conditions", async (t) => {
  const server = await started(t, { answers });
  const out = join(dir, "useless"), run = () => cli("collateral", "fetch", "--from", server.url, "--scope", scope(), "--out", out, "--json");
  const chain = { etag: '"bad"', "TCB-Info-Issuer-Chain": encodeURIComponent(chainOf("TCB-Info-Issuer-Chain")) };
  server.fail = (path, response) => path.includes("/tcb?") && (response.writeHead(200, chain).end(set.tcb_info.replace("OutOfDate", "UpToDate")), true);
  assert.match((await run()).stderr, /collateral_sig/);
  assert.ok(!existsSync(join(out, "validators.json")));
  server.fail = null;
  const from = server.seen.length;
  assert.equal((await run()).code, 0);
  assert.deepEqual(asked(server, from).filter((s) => s.headers["if-none-match"]), []);
});

// --- AMD, under the corpus generator's roots ---

let amd;
const amdRoot = (text) => { const path = join(dir, "ark.pem"); writeFileSync(path, text); return path; };

for (const product of ["Milan", "Genoa", "Turin"])
  test(`KDS: chains, list and the certificate of a chip of ${product}; a second run asks for what may change alone`, async (t) => {
    amd ??= amdPki();
    const kds = amdAnswers(amd, product), out = join(dir, "kds-" + product), report = join(dir, `report-${product}.bin`);
    const server = await started(t, { answers: kds.answers });
    const run = (...args) => cli("collateral", "fetch", "--kds", server.url, "--scope", kds.scope, "--out", out, "--trust-root", amdRoot(kds.root), "--json", ...args);
    const first = await run();
    assert.equal(first.code, 0, first.stderr);
    assert.deepEqual(server.seen.map((s) => s.path).sort(), Object.keys(kds.answers).sort());
    const { facts } = JSON.parse(first.stdout);
    assert.deepEqual(facts.scopes.map((s) => [s.product, s.vlek, s.reason, s.root_crl_number]), [[product, false, null, 7], [product, true, null, 7]]);
    assert.equal(facts.vceks, 1);
    const from = server.seen.length, second = await run();
    assert.equal(second.code, 0, second.stderr);
    assert.deepEqual([JSON.parse(second.stdout).requests, JSON.parse(second.stdout).unchanged], [3, 3]);
    assert.ok(asked(server, from).every((s) => !s.path.includes("SPL")), "a VCEK never changes");
    // It judges that chip's report.
    writeFileSync(report, kds.report);
    const judged = await cli("evidence", "verify", report, "--collateral", out, "--trust-root", amdRoot(kds.root), "--json");
    assert.equal(JSON.parse(judged.stdout).genuine, true, judged.stdout + judged.stderr);
    // A list that names it: the certificate leaves the folder; asked for by name, it is refused.
    server.answers = amdAnswers(amd, product, { number: 8, isRevoked: true }).answers;
    const revoked = await cli("collateral", "fetch", "--kds", server.url, "--scope", "snp:" + product, "--out", out, "--trust-root", amdRoot(kds.root), "--json");
    assert.equal(revoked.code, 0, revoked.stderr);
    assert.equal(JSON.parse(revoked.stdout).facts.vceks, 0);
    assert.match((await run()).stderr, /ca_revoked/);
  });

test("KDS: another chip's certificate, another product's chain, no chain at all", async (t) => {
  amd ??= amdPki();
  const kds = amdAnswers(amd, "Milan"), other = amdAnswers(amd, "Genoa"), path = (part) => Object.keys(kds.answers).find((name) => name.includes(part));
  const rows = [
    [{ [path("SPL")]: other.answers[Object.keys(other.answers).find((name) => name.includes("SPL"))] }, /tcb_mismatch/],
    [{ [path("/vcek/v1/Milan/cert_chain")]: other.answers["/vcek/v1/Genoa/cert_chain"] }, /tcb_mismatch/],
    [{ [path("/crl")]: other.answers["/vcek/v1/Genoa/crl"] }, /collateral_format|crl_issuer/],
    [{ [path("/vcek/v1/Milan/cert_chain")]: undefined }, /not_found/],
    [{ [path("SPL")]: { body: Buffer.from("<html>") } }, /collateral_format/],
  ];
  for (const [change, expected] of rows) {
    const server = await started(t, { answers: { ...kds.answers, ...change } });
    const { code, stderr } = await cli("collateral", "fetch", "--kds", server.url, "--scope", kds.scope, "--out", join(dir, "kds-bad"), "--trust-root", amdRoot(kds.root), "--json");
    assert.notEqual(code, 0);
    assert.match(stderr, expected);
  }
  assert.ok(!existsSync(join(dir, "kds-bad", "collateral.json")));
});

test("over TLS: verified by the CA that is named, refused without it, and without TLS 1.3 unless that is allowed", async () => {
  const good = await Pccs.start({ answers, isTls: true });
  const old = await Pccs.start({ answers, isTls: true, tls: { maxVersion: "TLSv1.2" } });
  assert.equal((await fetchFrom(good, "--ca", good.ca)).code, 0);
  const unknown = await fetchFrom(good);
  assert.equal(unknown.code, 8);
  assert.match(unknown.stderr, /collateral_fetch/);
  assert.equal((await fetchFrom(old, "--ca", old.ca)).code, 8);
  assert.equal((await fetchFrom(old, "--ca", old.ca, "--tls12")).code, 0);
  good.close(); old.close();
});

test("what passes is tried again: 429 and 503, then the answer", async () => {
  const flaky = await Pccs.start({ answers });
  flaky.fail = (path, response, n) => n <= 2 && path.includes("/tcb?") && (response.writeHead(n === 1 ? 429 : 503, { "retry-after": "0" }).end(), true);
  const { code, stderr } = await fetchFrom(flaky);
  assert.equal(code, 0, stderr);
  assert.equal(flaky.seen.filter((s) => s.path.includes("/tcb?")).length, 3);
  flaky.close();
});

const chainOf = (name) => Object.values(answers).find((a) => a.chain?.[0] === name).chain[1];
const bad = [
  ["a redirect to another host", (r) => r.writeHead(302, { location: "http://127.0.0.1:1/" }).end(), /collateral_fetch.*redirect/],
  ["a redirect to a file", (r) => r.writeHead(301, { location: "file:///etc/passwd" }).end(), /collateral_fetch.*redirect/],
  ["a body without end", (r) => { r.writeHead(200); const part = Buffer.alloc(1 << 16, 0x20); const go = () => { while (!r.destroyed && r.write(part)); r.once("drain", go); }; go(); }, /too_large/],
  ["headers without end", (r) => r.writeHead(200, Object.fromEntries(Array.from({ length: 60 }, (_, i) => ["x-" + i, "y".repeat(1500)]))).end("{}"), /collateral_fetch/],
  ["403", (r) => r.writeHead(403).end(), /collateral_fetch.*403/],
  ["no chain", (r) => r.writeHead(200).end(set.tcb_info), /collateral_format.*chain/],
  ["a chain twice", (r) => { const c = encodeURIComponent(chainOf("TCB-Info-Issuer-Chain")); r.writeHead(200, [["TCB-Info-Issuer-Chain", c], ["TCB-Info-Issuer-Chain", c]].flat()).end(set.tcb_info); }, /collateral_fetch.*twice/],
  ["a broken escape", (r) => r.writeHead(200, { "TCB-Info-Issuer-Chain": "-----BEGIN%2" }).end(set.tcb_info), /collateral_format.*escape/],
  ["a chain that is none", (r) => r.writeHead(200, { "TCB-Info-Issuer-Chain": "hello" }).end(set.tcb_info), /collateral_format.*chain/],
  ["HTML", (r) => r.writeHead(200, { "TCB-Info-Issuer-Chain": encodeURIComponent(chainOf("TCB-Info-Issuer-Chain")) }).end("<html>"), /collateral_format/],
  ["another FMSPC", (r) => r.writeHead(200, { "TCB-Info-Issuer-Chain": encodeURIComponent(chainOf("TCB-Info-Issuer-Chain")) }).end(set.tcb_info.replaceAll(answers.fmspc, "90c06f000000")), /tcb_mismatch/],
  ["a changed status", (r) => r.writeHead(200, { "TCB-Info-Issuer-Chain": encodeURIComponent(chainOf("TCB-Info-Issuer-Chain")) }).end(set.tcb_info.replace("OutOfDate", "UpToDate")), /collateral_sig/],
  ["half an answer", (r) => { r.writeHead(200, { "content-length": "5000" }); r.write("{"); r.destroy(); }, /collateral_fetch/],
];
for (const [what, answer, expected] of bad)
  test(`refused, and nothing is written: ${what}`, async () => {
    const server = await Pccs.start({ answers });
    server.fail = (path, response) => path.includes("/tcb?") && (answer(response), true);
    const { code, stderr, out } = await fetchFrom(server);
    server.close();
    assert.notEqual(code, 0);
    assert.match(stderr, expected);
    assert.ok(!existsSync(join(out, "collateral.json")));
  });

test("addresses: https, or this machine; nothing but scheme, host, port and path", async () => {
  for (const url of ["http://pccs.example:8081", "ftp://127.0.0.1", "https://user@host", "https://host?x", "https://", "127.0.0.1:8081", "https://h/#a"]) {
    const { code, stderr } = await cli("collateral", "fetch", "--from", url, "--scope", scope(), "--out", join(dir, "none"), "--json");
    assert.notEqual(code, 0, url);
    assert.match(stderr, /"code":"config"/, url);
  }
});

test("scopes: what they are is checked before anything is asked", async () => {
  const before_ = pccs.seen.length;
  for (const text of ["tdx", "tdx:12", "tdx:zz0000000000", "snp:Naples", "snp:Milan/00/1.2.3.4", "../etc"]) {
    const { code, stderr } = await cli("collateral", "fetch", "--from", pccs.url, "--scope", text, "--out", join(dir, "none"), "--json");
    assert.equal(code, 2, text + stderr);
  }
  assert.equal(pccs.seen.length, before_);
});

// Real evidence, where the folder is there.
const vectors = process.env.REDOUBT_VECTORS || join(ROOT, "..", "shared", "vectors");
test("--for: real evidence says which FMSPCs it needs, and each is asked for", { skip: !existsSync(vectors) && "no vectors here" }, async () => {
  const read = (name, file) => readFileSync(join(vectors, name, file));
  const served = {}, cases = ["tdx/gcp-v4-2026-eval19-uptodate", "tdx/azure-v4-uptodate-2026-06"];
  for (const name of cases) {
    const info = read(name, "tcb_info.json"), fmspc = JSON.parse(info).tcbInfo.fmspc.toLowerCase();
    served[`/tdx/certification/v4/tcb?fmspc=${fmspc}`] = { body: info, chain: ["TCB-Info-Issuer-Chain", read(name, "tcb_info_issuer_chain.pem").toString()] };
    served["/tdx/certification/v4/qe/identity"] = { body: read(name, "qe_identity.json"), chain: ["SGX-Enclave-Identity-Issuer-Chain", read(name, "qe_identity_issuer_chain.pem").toString()] };
    served["/sgx/certification/v4/pckcrl?ca=platform&encoding=der"] = { body: read(name, "pck_crl.der"), chain: ["SGX-PCK-CRL-Issuer-Chain", read(name, "pck_crl_issuer_chain.pem").toString()] };
    served["/sgx/certification/v4/rootcacrl"] = { body: Buffer.from(read(name, "root_ca_crl.der").toString("hex")) };
  }
  const server = await Pccs.start({ answers: served });
  const out = join(dir, "real");
  const fetched = await cli("collateral", "fetch", "--from", server.url, ...cases.flatMap((name) => ["--for", join(vectors, name)]), "--out", out, "--json");
  server.close();
  // Old collateral has ended, which is said; the pieces are right all the same, at the time of their cases.
  assert.ok(fetched.code === 0 || /collateral_time|crl_time/.test(fetched.stderr), fetched.stderr);
  assert.equal(server.seen.filter((s) => s.path.includes("/tcb?")).length, 2);
});
