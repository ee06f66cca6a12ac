// redoubt policy: valid or not, what loosens, in plain words, one against another.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BIN } from "../support/stack.mjs";
import { cases, vectorsRoot } from "../support/vectors.mjs";

const vectors = vectorsRoot();
if (!vectors) console.log("skipped: no vectors (set REDOUBT_VECTORS)");

const hex = (byte, size = 48) => byte.repeat(size);
const safe = { type: "redoubt/policy/v1", simulated: false, debug: false, tees: ["tdx"], tcb: ["UpToDate", "SWHardeningNeeded"], max_collateral_age_s: 604800,
  measurements: [{ mrtd: hex("44"), rtmr0: hex("00"), rtmr1: [hex("01"), hex("02")], rtmr2: hex("03") }] };
const named = { ...safe, platforms: [hex("05", 32)] };
let dir;
before(() => { dir = mkdtempSync(join(tmpdir(), "redoubt-policy-")); });
after(() => rmSync(dir, { recursive: true, force: true }));

function write(name, policy) {
  const path = join(dir, name);
  writeFileSync(path, typeof policy === "string" ? policy : JSON.stringify(policy, null, 2));
  return path;
}

function redoubt(...args) {
  return new Promise((resolve) => execFile(join(BIN, "redoubt"), args, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr })));
}

test("check: a safe policy has no loosening; its digest does not depend on spacing", async () => {
  const pretty = JSON.parse((await redoubt("policy", "check", write("a.json", named), "--json")).stdout);
  const tight = JSON.parse((await redoubt("policy", "check", write("b.json", JSON.stringify(named)), "--json")).stdout);
  assert.equal(pretty.valid, true);
  assert.deepEqual(pretty.loosens, []);
  assert.match(pretty.digest, /^sha256:[0-9a-f]{64}$/);
  assert.equal(pretty.digest, tight.digest);
  const anywhere = JSON.parse((await redoubt("policy", "check", write("c.json", safe), "--json")).stdout);
  assert.deepEqual(anywhere.loosens.map((l) => l.member), ["/platforms"], "whoever holds a genuine board (R8)");
});

test("check: each loosening by name, exit 0", async () => {
  const loose = { ...safe, simulated: true, debug: true, tcb: ["OutOfDate"], td: { migratable: true }, max_collateral_age_s: 86400 * 30 };
  const { code, stdout } = await redoubt("policy", "check", write("loose.json", loose), "--json");
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(stdout).loosens.map((l) => l.member), ["/simulated", "/debug", "/tcb", "/max_collateral_age_s", "/td/migratable"]);
});

test("check: what is not valid exits 1 and says where", async () => {
  const rows = [
    [{ ...safe, tcb: ["Revoked"] }, "policy_unsafe", "/tcb/0"],
    [{ ...safe, debug: true }, "policy_unsafe", ""],
    [{ ...safe, colour: 1 }, "json_unknown_member", "/colour"],
    [{ ...safe, snp: { vcek_only: false } }, "not_canonical", ""],
    [{ ...safe, measurements: [{ mrtd: "*" }] }, "json_missing_member", "/measurements/0"],
    ["{", null, null],
  ];
  for (const [policy, code, pointer] of rows) {
    const result = await redoubt("policy", "check", write("bad.json", policy), "--json");
    assert.equal(result.code, 1, result.stdout);
    const answer = JSON.parse(result.stdout);
    assert.equal(answer.valid, false);
    if (code) assert.deepEqual([answer.code, answer.pointer], [code, pointer]);
  }
  assert.equal((await redoubt("policy", "check", join(dir, "none.json"))).code, 3);
});

test("explain says every rule in words", async () => {
  const { code, stdout } = await redoubt("policy", "explain", write("e.json", { ...safe, min_evaluation: 19 }));
  assert.equal(code, 0);
  assert.match(stdout, /of tdx hardware/);
  assert.match(stdout, /UpToDate or SWHardeningNeeded/);
  assert.match(stdout, /evaluation number 19/);
  assert.match(stdout, /older than 7 days/);
});

test("explain --evidence: the first rule that refuses and what would mend it", { skip: vectors ? false : "skipped: no vectors" }, async () => {
  const found = cases(vectors).find((c) => c.expect.verdict === "UpToDate" && c.expect.fields?.mr_td && c.expect.tee === "tdx" && c.expect.fields?.rtmr0 && !c.expect.fields.mr_service_td && !c.expect.default_policy);
  const { fields } = found.expect;
  const mine = { ...safe, max_collateral_age_s: 31536000, measurements: [{ mrtd: fields.mr_td, rtmr0: [fields.rtmr0, hex("01")], rtmr1: "*" }] };
  const yes = await redoubt("policy", "explain", write("yes.json", mine), "--evidence", found.dir, "--json");
  assert.equal(yes.code, 0, yes.stdout + yes.stderr);
  assert.equal(JSON.parse(yes.stdout).evidence.accepted, true);
  const rows = [
    [{ ...mine, measurements: [{ mrtd: fields.mr_td, rtmr0: hex("01") }] }, "measurement", /rtmr0/],
    [{ ...mine, tcb: ["SWHardeningNeeded"] }, "tcb_status", /UpToDate/],
    [{ ...mine, platforms: [hex("01", 32)] }, "platform_policy", /platform/],
    [{ ...mine, min_evaluation: 4000 }, "collateral", /evaluation number/],
  ];
  for (const [policy, rule, text] of rows) {
    const no = await redoubt("policy", "explain", write("no.json", policy), "--evidence", found.dir, "--json");
    assert.equal(no.code, 6, no.stdout);
    const { reason } = JSON.parse(no.stdout).evidence;
    assert.equal(reason.rule, rule);
    assert.match(reason.detail, text);
  }
});

test("diff: same is 0 whatever the order of members, different is 10 with its direction", async () => {
  const a = write("a.json", safe);
  const turned = Object.fromEntries(Object.entries(safe).reverse());
  assert.equal((await redoubt("policy", "diff", a, write("same.json", turned))).code, 0);
  const { code, stdout } = await redoubt("policy", "diff", a, write("c.json", { ...safe, tcb: ["UpToDate", "OutOfDate"], min_evaluation: 19 }), "--json");
  assert.equal(code, 10);
  assert.deepEqual(JSON.parse(stdout).changes.map((c) => `${c.effect} ${c.member}`), ["loosens /tcb", "tightens /tcb", "tightens /min_evaluation"]);
});
