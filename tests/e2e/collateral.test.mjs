// The plane's collateral: shown, forecast, taken into use, never going back, the same after a restart.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";

let stack, pki, first;
const show = async () => JSON.parse((await stack.cli("collateral", "show", "--json")).stdout);
const refresh = (...flags) => execFileSync(join(BIN, "redoubt-agent"), ["sim-pki", "refresh", "--dir", pki, ...flags]);

before(async () => {
  stack = await Stack.start({ hosts: 1 });
  pki = join(stack.dir, "pki");
  first = join(stack.dir, "first.json");
  copyFileSync(join(pki, "collateral.json"), first);
});
after(async () => { await stack?.close(); });

test("show: the file's set is stored, with what its pieces say", async () => {
  const status = await show();
  assert.ok(status.number > 0);
  assert.equal(status.source, "file");
  assert.equal(status.facts.class, "simulated");
  assert.deepEqual(status.facts.scopes.map((s) => [s.tee, s.reason]), [["tdx", null]]);
  assert.deepEqual([status.refresh.enabled, status.refresh.tried, status.refresh.next], [false, null, null]);
  const metrics = await (await fetch(stack.api + "/metrics")).text();
  assert.match(metrics, new RegExp(`^redoubt_collateral_set ${status.number}$`, "m"));
  assert.match(metrics, /^redoubt_collateral_scopes\{state="good"\} 1$/m);
});

test("forecast: the same fleet stands under a fresh set", async () => {
  refresh();
  const { code, stdout } = await stack.cli("collateral", "forecast", join(pki, "collateral.json"), "--json");
  const answer = JSON.parse(stdout);
  assert.equal(code, 0, stdout);
  assert.equal(answer.follows, true);
  assert.equal(answer.judged, 1);
  assert.deepEqual(answer.falls, []);
});

test("import: a newer set is used by verdicts and served; the older one is refused, by file and by import", async () => {
  const before_ = await show();
  const imported = await stack.cli("collateral", "import", join(pki, "collateral.json"), "--json");
  assert.equal(imported.code, 0, imported.stderr);
  const { number } = JSON.parse(imported.stdout);
  assert.ok(number > before_.number);
  await until("the set is in use", async () => (await show()).number === number);
  const old = await stack.cli("collateral", "import", first, "--json");
  assert.equal(old.code, 6);
  assert.match(old.stderr, /collateral_evalnum/);
  assert.equal((await show()).number, number);
  const forecast = JSON.parse((await stack.cli("collateral", "forecast", first, "--json")).stdout);
  assert.equal(forecast.follows, false);
});

test("forecast: who falls under a TCB recovery, why, and that it then happens", async () => {
  await stack.deploy("forecast", `export default { async fetch() { return new Response("here"); } };`);
  const { number } = await show();
  refresh("--recovery");
  const { code, stdout } = await stack.cli("collateral", "forecast", join(pki, "collateral.json"), "--json");
  const answer = JSON.parse(stdout);
  assert.equal(code, 6, stdout);
  assert.equal(answer.follows, true);
  assert.equal(answer.candidate.evaluation_number, 2);
  assert.equal(answer.judged, 2);
  const [fall] = answer.falls;
  assert.equal(answer.falls.length, 1); // enrolment takes an outdated machine; an app's policy does not
  assert.match(fall.instance, /^ins_/);
  assert.equal(fall.code, "tcb_status");
  assert.equal(fall.tcb_status, "OutOfDate");
  assert.deepEqual(fall.shortfalls.map((s) => [s.component, s.has, s.needs]), [["sgxtcbcomponents[0]", 5, 6]]);
  assert.match(fall.hint, /./);
  assert.match((await stack.cli("collateral", "forecast", join(pki, "collateral.json"))).stdout, /1 would fall.*\n.*tcb_status/s);
  assert.equal((await show()).number, number, "a forecast changes nothing");
  const imported = await stack.cli("collateral", "import", join(pki, "collateral.json"), "--json");
  assert.equal(imported.code, 0, imported.stderr);
  await until("the set is in use", async () => (await show()).facts.evaluation_number === 2);
  await until("it has happened", async () => {
    const after_ = JSON.parse((await stack.cli("collateral", "forecast", join(pki, "collateral.json"), "--json")).stdout);
    return after_.falls.length === 0 && after_.refused_already === 1;
  });
});

test("what is no set is refused and changes nothing", async () => {
  const { number } = await show();
  const set = JSON.parse(readFileSync(join(pki, "collateral.json"), "utf8"));
  const rows = [
    ["{}", /collateral_format/], ["{", /collateral_format/], [JSON.stringify({ ...set, tcb_info: set.tcb_info.replace("UpToDate", "OutOfDate") }), /collateral_sig/],
    [JSON.stringify({ ...set, pck_crl: set.root_ca_crl }), /crl_issuer/], [JSON.stringify({ ...set, tcb_info: undefined }), /collateral_missing/],
  ];
  for (const [text, code] of rows) {
    const path = join(stack.dir, "bad.json");
    writeFileSync(path, text);
    const result = await stack.cli("collateral", "import", path, "--json");
    assert.notEqual(result.code, 0, text.slice(0, 60));
    assert.match(result.stderr, code, text.slice(0, 60));
  }
  assert.equal((await show()).number, number);
});

test("a set under a root that this plane does not trust is refused", async () => {
  const other = join(stack.dir, "other-pki");
  execFileSync(join(BIN, "redoubt-agent"), ["sim-pki", "create", "--dir", other]);
  const result = await stack.cli("collateral", "import", join(other, "collateral.json"), "--json");
  assert.equal(result.code, 6);
  assert.match(result.stderr, /chain_root/);
});
