// The plane fetches its collateral itself: from a PCCS and a KDS on loopback under the corpus generator's private roots. One replica at a
// time, when it is due or asked for, conditionally, never back; what fails leaves the rest, and is told.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync } from "node:fs";
import { join } from "node:path";
import { Plane } from "./api_fixture.mjs";
import { Pccs, fingerprint } from "../support/pccs.mjs";
import { amdAnswers, amdPki, intelAnswers, intelPki } from "../support/fresh_collateral.mjs";
import { until } from "../support/stack.mjs";

const TDX = "90c06f00ff02", SGX = "00906ed50000";
const pki = intelPki();
const answersAt = (number, change = {}) => ({
  ...intelAnswers(pki, { fmspc: TDX, evaluation: number, number, ...change }), ...intelAnswers(pki, { kind: "sgx3", fmspc: SGX, evaluation: number, number, ...change }),
});

let plane, pccs;
before(async () => {
  pccs = await Pccs.start({ answers: answersAt(5), isTls: true });
  plane = await Plane.start({ flags: ["--simulation-root", fingerprint(pki.root.pem), "--collateral-pcs", pccs.url, "--collateral-ca", pccs.ca, "--collateral-scopes", `tdx:${TDX}`] });
}, { timeout: 180000 });
after(async () => { await plane?.close(); pccs?.close(); });

const status = async (from = plane.url) => (await (await fetch(from + "/v1/collateral/status")).json());
const attempts = () => Number(plane.sql("SELECT count(*) FROM events WHERE kind = 'plane' AND body ? 'refresh' AND body ->> 'refresh' <> 'now'")[0]);
const metric = async (name) => Number(new RegExp(`^${name.replace(/[{}]/g, "\\$&")} (.*)$`, "m").exec(await (await fetch(plane.url + "/metrics")).text())?.[1]);

// The next fetch now, by an operator's word; answers the status after it.
async function refresh() {
  const before_ = attempts(), from = pccs.seen.length;
  const answer = await plane.request("POST", "/v1/collateral/refresh");
  assert.equal(answer.status, 202, JSON.stringify(answer.body));
  await until("it was fetched", () => attempts() > before_, 40000);
  await until("this replica has the set", async () => (await status()).number === Number(plane.sql("SELECT max(number) FROM collateral_sets")[0]));
  return { ...(await status()), asked: pccs.seen.slice(from) };
}

test("a plane without a set gets its first by itself, and says so", async () => {
  const got = await until("a set is in use", async () => { const s = await status(); return s.number > 0 && s; });
  assert.equal(got.source, "refresh");
  assert.deepEqual(got.facts.scopes.map((s) => [s.tee, s.fmspc, s.reason, s.evaluation_number]), [["tdx", TDX, null, 5]]);
  const { refresh: r } = await until("it is recorded", async () => { const s = await status(); return s.refresh.tried && s; });
  assert.deepEqual([r.enabled, r.source, r.failures, r.code], [true, pccs.url, 0, null]);
  assert.match(r.detail, /^1 of 1 platforms, \d+ requests, 0 answered as unchanged$/);
  assert.equal(r.succeeded, r.tried);
  // A day at most, and not later than half of what is left.
  const hours = (Date.parse(r.next) - Date.parse(r.tried)) / 3600e3;
  assert.ok(hours > 21 && hours <= 24, `${hours} h`);
  await until("the metrics follow", async () => (await metric("redoubt_collateral_refresh_timestamp_seconds{what=\"next\"}")) > Date.now() / 1000);
  assert.equal(await metric("redoubt_collateral_refresh_failures"), 0);
  assert.ok((await metric("redoubt_collateral_requests_total")) >= 4);
});

test("asked again, it sends its conditions, is answered 304, and the set stays the one it was", async () => {
  const { number } = await status();
  const again = await refresh();
  assert.deepEqual([again.number, again.refresh.code], [number, null]);
  assert.ok(again.asked.filter((s) => s.headers["if-none-match"]).length >= 4);
  assert.match(again.refresh.detail, /(\d+) requests, (?!0)\d+ answered as unchanged/);
  // Also after a start anew, and by another replica: the validators are the plane's.
  await plane.stopApi();
  await plane.startApi();
  const anew = await refresh();
  assert.equal(anew.number, number);
  assert.ok(anew.asked.filter((s) => s.headers["if-none-match"]).length >= 4);
});

test("newer pieces are taken; a service that goes back is not followed", async () => {
  const { number } = await status();
  pccs.answers = answersAt(6);
  const newer = await refresh();
  assert.equal(newer.number, number + 1);
  assert.equal(newer.facts.scopes[0].evaluation_number, 6);
  pccs.answers = answersAt(5);
  const back = await refresh();
  assert.deepEqual([back.number, back.refresh.code, back.facts.scopes[0].evaluation_number], [number + 1, null, 6]);
  assert.match(plane.log(), /collateral_source_is_behind/);
});

test("what the set in use covers is fetched for as well; one platform that fails leaves the others", async () => {
  pccs.answers = answersAt(6);
  const both = { type: "redoubt/collateral/v2", pieces: [] };
  for (const [path, { body, chain }] of Object.entries(answersAt(6))) {
    const kind = path.includes("/tcb?") ? "tcb_info" : path.includes("identity") ? "qe_identity" : path.includes("pckcrl") ? "pck_crl" : "root_ca_crl";
    both.pieces.push({ kind, body: /crl/.test(kind) ? body.toString("base64") : body.toString(), chain: chain ? chain[1] : pki.root.pem });
  }
  assert.equal((await plane.request("PUT", "/v1/collateral", both)).status, 200);
  await until("both are in use", async () => (await status()).facts.scopes.length === 2);
  pccs.answers = answersAt(7);
  pccs.fail = (path, response) => path.includes(`/sgx/certification/v4/tcb?fmspc=${SGX}`) && (response.writeHead(404).end(), true);
  const half = await refresh();
  assert.equal(half.refresh.code, "not_found");
  assert.match(half.refresh.detail, new RegExp(`^sgx:${SGX}: `));
  assert.equal(half.refresh.failures, 1);
  assert.deepEqual(half.facts.scopes.map((s) => [s.tee, s.evaluation_number]).sort(), [["sgx", 6], ["tdx", 7]]);
  const wait = (Date.parse(half.refresh.next) - Date.parse(half.refresh.tried)) / 1000;
  assert.ok(wait >= 29 && wait <= 60, `${wait} s`);
  const worse = await refresh();
  assert.equal(worse.refresh.failures, 2);
  assert.equal(worse.refresh.succeeded, half.refresh.succeeded);
  assert.equal(await metric("redoubt_collateral_refresh_failures"), 2);
  // Nor does it when the service will not have the first one asked for.
  pccs.fail = (path, response) => path.includes(`/tdx/certification/v4/tcb?fmspc=${TDX}`) && (response.writeHead(403).end(), true);
  const other = await refresh();
  assert.equal(other.refresh.code, "collateral_fetch");
  assert.deepEqual(other.facts.scopes.map((s) => s.evaluation_number), [7, 7]);
  pccs.fail = null;
  const well = await refresh();
  assert.deepEqual([well.refresh.failures, well.refresh.code], [0, null]);
  assert.deepEqual(well.facts.scopes.map((s) => s.evaluation_number), [7, 7]);
});

const bad = [
  ["403", (r) => r.writeHead(403).end(), "collateral_fetch"],
  ["a redirect", (r) => r.writeHead(302, { location: "https://127.0.0.1:1/" }).end(), "collateral_fetch"],
  ["HTML", (r) => r.writeHead(200, { "TCB-Info-Issuer-Chain": encodeURIComponent(pki.root.pem) }).end("<html>"), "collateral_format"],
  ["a body without end", (r) => { r.writeHead(200); const part = Buffer.alloc(1 << 16, 0x20); const go = () => { while (!r.destroyed && r.write(part)); r.once("drain", go); }; go(); }, "too_large"],
];
for (const [what, answer, code] of bad)
  test(`a service that answers ${what}: recorded as ${code}, the set stays`, async () => {
    const { digest } = await status();
    pccs.fail = (path, response) => path.includes("/tcb?") && (answer(response), true);
    const failed = await refresh();
    pccs.fail = null;
    assert.deepEqual([failed.refresh.code, failed.digest], [code, digest]);
    assert.equal((await refresh()).refresh.code, null);
  });

test("what another authority signed is refused, and not asked about as unchanged", async () => {
  const { digest } = await status();
  const info = `/tdx/certification/v4/tcb?fmspc=${TDX}`, good = pccs.answers;
  pccs.answers = { ...good, [info]: { ...good[info], body: Buffer.from(good[info].body.toString().replace("OutOfDate", "UpToDate")) } };
  const failed = await refresh();
  assert.deepEqual([failed.refresh.code, failed.digest], ["collateral_sig", digest]);
  pccs.answers = good;
  const well = await refresh();
  assert.equal(well.refresh.code, null);
  assert.equal(well.asked.find((s) => s.path === info).headers["if-none-match"], undefined);
});

test("a set that ends soon is fetched for sooner, at most every ten minutes", async () => {
  pccs.answers = answersAt(8, { to: 4 * 3600e3 });
  const { refresh: r } = await refresh();
  const hours = (Date.parse(r.next) - Date.parse(r.tried)) / 3600e3;
  assert.ok(hours > 1.7 && hours <= 2, `${hours} h`);
  pccs.answers = answersAt(9, { to: 300e3 });
  const soon = (await refresh()).refresh, minutes = (Date.parse(soon.next) - Date.parse(soon.tried)) / 60e3;
  assert.ok(minutes >= 9 && minutes <= 10, `${minutes} min`);
  pccs.answers = answersAt(10);
  assert.equal((await refresh()).refresh.code, null);
});

test("when it is due it is fetched, without a word", async () => {
  const from = pccs.seen.length, before_ = attempts();
  await plane.stopApi();
  plane.sql("UPDATE collateral_refresh SET next_at = clock_timestamp() + interval '3 seconds'");
  await plane.startApi();
  await until("it was fetched", () => attempts() > before_);
  assert.ok(pccs.seen.length > from);
});

// --- more than one replica ---

let second;
const secondUrl = () => `http://127.0.0.1:${second.port}`;
async function startSecond() {
  const log = openSync(join(plane.dir, "api2.log"), "a"), port = plane.port + 1;
  const child = spawn(plane.api, ["run", ...plane.flags.map((f) => (f === `127.0.0.1:${plane.port}` ? `127.0.0.1:${port}` : f))], { stdio: ["ignore", log, log] });
  second = { child, port, exited: once(child, "exit") };
  await until("the second replica is up", async () => (await fetch(secondUrl() + "/readyz")).ok, 20000);
}
test("two replicas: one fetches, both have the set; a fetch that is killed is the other's, and leaves the old set or the new one", { timeout: 180000 }, async (t) => {
  await startSecond();
  t.after(async () => { second.child.kill("SIGKILL"); await second.exited; });
  pccs.answers = answersAt(11);
  const one = await refresh();
  assert.equal(one.asked.filter((s) => s.path.includes(`/tdx/certification/v4/tcb`)).length, 1);
  await until("the other has it", async () => (await status(secondUrl())).number === one.number);
  assert.equal((await status(secondUrl())).refresh.tried, one.refresh.tried);
  // Whoever fetches hangs at the service, and dies there.
  let held;
  const from = pccs.seen.length, before_ = attempts();
  pccs.answers = answersAt(12);
  pccs.fail = (path, response) => !held && path.includes("/tcb?") && (held = response, true);
  assert.equal((await plane.request("POST", "/v1/collateral/refresh")).status, 202);
  await until("it hangs at the service", () => held);
  assert.equal((await status()).number, one.number);
  const holder = Number(plane.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE application_name = 'redoubt-api refresh')")[0]);
  const [isFirst] = plane.sql(`SELECT backend_start = (SELECT min(backend_start) FROM pg_stat_activity WHERE application_name = 'redoubt-api refresh') FROM pg_stat_activity WHERE pid = ${holder}`);
  const victim = isFirst === "t" ? plane.process : second.child;
  victim.kill("SIGKILL");
  await until("the other one fetched", () => attempts() > before_, 30000);
  const survivor = isFirst === "t" ? secondUrl() : plane.url;
  const after_ = await until("the new set is in use", async () => { const s = await status(survivor); return s.number === one.number + 1 && s; });
  assert.equal(after_.facts.scopes[0].evaluation_number, 12);
  assert.equal(after_.refresh.code, null);
  assert.ok(pccs.seen.length > from);
  pccs.fail = null;
  if (isFirst === "t") { await plane.exited; await plane.startApi(); }
  assert.equal((await status()).number, one.number + 1);
});

for (const [point, grows] of [["refresh.fetched", 0], ["refresh.adopted", 1]])
  test(`killed at ${point}: the ${grows ? "new" : "old"} set is in use, and the next start goes on`, { timeout: 180000 }, async () => {
    const { number, refresh: r } = await status();
    pccs.answers = answersAt(20 + grows);
    await plane.stopApi();
    plane.sql("UPDATE collateral_refresh SET next_at = clock_timestamp()");
    process.env.REDOUBT_FAILPOINTS = `${point}:kill`;
    try { await plane.startApi(); } catch { /* it may die before it answered */ } finally { delete process.env.REDOUBT_FAILPOINTS; }
    assert.deepEqual(await plane.exited, [null, "SIGKILL"]);
    assert.equal(Number(plane.sql("SELECT max(number) FROM collateral_sets")[0]), number + grows);
    assert.equal(plane.sql("SELECT to_char(tried_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM collateral_refresh")[0], r.tried);
    const before_ = attempts();
    await plane.startApi();
    await until("it was fetched", () => attempts() > before_);
    const after_ = await until("the set is in use", async () => { const s = await status(); return s.number === number + 1 && s; });
    assert.deepEqual([after_.facts.scopes[0].evaluation_number, after_.refresh.code], [20 + grows, null]);
  });

test("an orderly stop ends a fetch under way and records nothing", { timeout: 180000 }, async () => {
  let held;
  const { refresh: r } = await status();
  pccs.fail = (path, response) => (held = response, true);
  assert.equal((await plane.request("POST", "/v1/collateral/refresh")).status, 202);
  await until("it hangs at the service", () => held);
  assert.equal(await plane.stopApi(), 0, "not the fixture's SIGKILL");
  pccs.fail = null;
  assert.equal(plane.sql("SELECT to_char(tried_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') FROM collateral_refresh")[0], r.tried);
  const before_ = attempts();
  await plane.startApi();
  await until("it was fetched", () => attempts() > before_);
});

test("AMD's service: what it says is under no root that is trusted here, which is told; Intel's part goes on", { timeout: 180000 }, async (t) => {
  const amd = amdAnswers(amdPki(), "Milan");
  const kds = await Pccs.start({ answers: amd.answers });
  const flags = plane.flags;
  t.after(async () => { kds.close(); await plane.stopApi(); plane.flags = flags; await plane.startApi(); });
  await plane.stopApi();
  plane.flags = [...flags, "--collateral-kds", kds.url, "--collateral-scopes", `tdx:${TDX},snp:Milan`];
  await plane.startApi();
  pccs.answers = answersAt(30);
  const { refresh: r, facts } = await refresh();
  assert.deepEqual(kds.seen.map((s) => s.path).slice(0, 3).sort(), ["/vcek/v1/Milan/cert_chain", "/vcek/v1/Milan/crl", "/vlek/v1/Milan/cert_chain"]);
  assert.equal(r.code, "chain_root");
  assert.match(r.detail, /^snp:Milan: /);
  assert.equal(r.source, `${pccs.url}, ${kds.url}`);
  assert.deepEqual(facts.scopes.map((s) => [s.tee, s.evaluation_number]).sort(), [["sgx", 30], ["tdx", 30]]);
});

test("off: the status says so, and nothing can be asked for", { timeout: 180000 }, async () => {
  await plane.stopApi();
  plane.flags = plane.flags.filter((f, i, all) => !/^--collateral/.test(f) && !/^--collateral/.test(all[i - 1] || ""));
  const from = pccs.seen.length;
  plane.sql("UPDATE collateral_refresh SET next_at = clock_timestamp()");
  await plane.startApi();
  const { refresh: r } = await status();
  assert.deepEqual([r.enabled, r.next], [false, null]);
  assert.equal((await plane.request("POST", "/v1/collateral/refresh")).status, 501);
  assert.equal(pccs.seen.length, from);
});
