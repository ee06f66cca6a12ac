// R35, R40, R66: simulated evidence never passes for a machine's: whoever did not put the simulation's root into his own profile is refused on every surface, whatever
// app, release and plane say.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HostileRelay } from "../support/hostile_relay.mjs";
import { BIN, Stack, freePort, until } from "../support/stack.mjs";

const source = `export default { fetch: async (request) => new Response("said " + await request.text()) };`;

let stack, tlsPort, url, saved, kept;
before(async () => {
  tlsPort = await freePort();
  stack = await Stack.start({ hosts: 1, kms: true, apiFlags: ["--passthrough-listen", `127.0.0.1:${tlsPort}`] });
  assert.equal((await stack.cli("kms", "trust", await stack.kmsId(), "--yes")).code, 0);
  const made = await stack.deploy("posing", source, { open: true, resources: { cpu_m: 1000 } });
  url = `https://${made.app.replace("_", "-")}.localhost:${tlsPort}`;
  saved = join(stack.dir, "saved.json");
  assert.equal((await stack.cli("invoke", "posing", "--data", "x", "--save", saved)).code, 0);
  assert.equal((await stack.cli("verify", url, "--json")).code, 0, "as it is for those who trust the root");
  const [receipt] = await until("the receipt is kept", async () => { const all = await stack.json("receipts", "list", "posing"); return all.length && all; }, 30000);
  kept = join(stack.dir, "kept.json");
  await stack.json("receipts", "get", receipt.id, "--save", kept);
}, { timeout: 180000 });
after(() => stack?.close());

// Profiles that differ from the stack's in what they hold of the simulation.
function profile(name, changes) {
  const path = join(stack.dir, name + ".json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(stack.profile, "utf8")), ...changes }), { mode: 0o600 });
  return { env: { REDOUBT_PROFILE: path } };
}

const surfaces = {
  "redoubt verify APP": () => ["verify", "posing"],
  "redoubt verify https://": () => ["verify", url],
  "redoubt verify FILE": () => ["verify", saved],
  "redoubt receipts verify FILE": () => ["receipts", "verify", kept],
  "redoubt invoke": () => ["invoke", "posing", "--data", "x"],
  "redoubt invoke --stream": () => ["invoke", "posing", "--data", "x", "--stream"],
  "redoubt secrets set": () => ["secrets", "set", "posing", "KEY"],
};

for (const [who, changes] of [["without any simulation root", { simulation_roots: [] }], ["with another simulation's root", { simulation_roots: ["sha256:" + "ab".repeat(32)] }]]) {
  test(`R35: a caller ${who} takes no simulated evidence`, { timeout: 180000 }, async (t) => {
    const options = profile(who.replaceAll(" ", "-").replaceAll("'", ""), changes);
    for (const [surface, args] of Object.entries(surfaces)) {
      await t.test(surface, async () => {
        const heads = stack.sql("SELECT count(*) FROM heads")[0][0];
        const result = await stack.cli(...args(), "--json", { ...options, input: "a value" });
        assert.equal(result.code, 6, result.stdout + result.stderr);
        assert.match(result.stdout + result.stderr, /"chain_root"/);
        assert.doesNotMatch(result.stdout, /"verified":\s*true|said/);
        assert.equal(stack.sql("SELECT count(*) FROM heads")[0][0], heads, "and no head was signed");
      });
    }
  });
}

// A file beside the stack's profile; its path.
function file(name, document) {
  const path = join(stack.dir, name);
  writeFileSync(path, JSON.stringify(document));
  return path;
}
const policy = (change) => ({ type: "redoubt/policy/v1", simulated: true, debug: false, tees: ["tdx"], tcb: ["UpToDate", "SWHardeningNeeded"], max_collateral_age_s: 604800, measurements: [{ mrtd: stack.measurement }], ...change });
function trustingAnother(id) {
  const dir = join(stack.dir, "another-state");
  mkdirSync(dir, { mode: 0o700, recursive: true });
  writeFileSync(join(dir, "kms.json"), JSON.stringify({ trusted: [id.replace(/.(?=.{20}$)/, (c) => (c === "a" ? "b" : "a"))] }));
  return dir;
}

// The owner's head accepts this instance; the caller's own demands do not.
const demands = {
  // I14 : no good build is known.
  "whose profile lists no runtime": [async () => ({ measurements: [] }), /attest_measurement/, /--any-runtime/],
  "whose policy takes hardware alone": [async () => ({ caller_policy: file("hardware.json", policy({ simulated: false })) }), /class_mismatch/],
  "whose policy names other machines than the owner, who names none": [async () => ({ caller_policy: file("machines.json", policy({ platforms: ["ab".repeat(32)] })) }), /policy_platform/],
  "whose policy cannot be read": [async () => ({ caller_policy: "nowhere.json" }), /caller_policy/],
  "who trusts another key service than the head names": [async () => ({ state_dir: trustingAnother(await stack.kmsId()) }), /kms_unknown/],
};
for (const [who, [changes, ...said]] of Object.entries(demands)) {
  test(`R35: a caller ${who} is not moved by the app's policy`, { timeout: 180000 }, async (t) => {
    const options = profile("demands-" + Object.keys(demands).indexOf(who), await changes());
    for (const [surface, args] of Object.entries(surfaces)) {
      if (surface === "redoubt secrets set") continue; // judges a key service, by kms_measurements
      await t.test(surface, async () => {
        const result = await stack.cli(...args(), "--json", options);
        assert.ok([2, 6].includes(result.code), `exit ${result.code}: ${result.stdout}${result.stderr}`);
        for (const text of said) assert.match(result.stdout + result.stderr, text);
        assert.doesNotMatch(result.stdout, /"verified":\s*true|"body"/);
        if (surface.startsWith("redoubt invoke")) assert.match(result.stderr, /Nothing was sent/);
      });
    }
  });
}

test("R35: --any-runtime is what takes the owner's word, and is shown as a loosening", { timeout: 180000 }, async () => {
  const options = profile("no-runtimes", { measurements: [] });
  for (const args of [["verify", "posing"], ["invoke", "posing", "--data", "x"], ["receipts", "verify", kept]]) {
    const result = await stack.cli(...args, "--any-runtime", options);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    assert.match(result.stdout + result.stderr, /ANY RUNTIME|--any-runtime/);
  }
  const shown = await stack.cli("kms", "show", await stack.kmsId(), "--collateral", join(stack.dir, "pki"), "--json");
  assert.equal(shown.code, 0, shown.stderr);
  assert.equal(JSON.parse(shown.stdout).steps.find((step) => step.name === "collateral source").source, join(stack.dir, "pki"));
  const own = profile("own-policy", { measurements: [], caller_policy: file("own.json", policy({ tcb: ["UpToDate", "OutOfDate"] })) });
  const result = await stack.cli("verify", "posing", "--json", own);
  assert.equal(result.code, 0, result.stdout + result.stderr);
  const [verified] = JSON.parse(result.stdout);
  assert.match(verified.steps.find((step) => step.name === "caller policy").detail, /own\.json; loosens \/simulated, \/tcb/);
});

test("R40: a key service is judged by no older collateral than was seen, before anything is sealed to it", { timeout: 180000 }, async () => {
  const pki = join(stack.dir, "pki"), now = join(pki, "collateral.json"), old = join(stack.dir, "old.json"), kms = await stack.kmsId();
  copyFileSync(now, old);
  execFileSync(join(BIN, "redoubt-agent"), ["sim-pki", "refresh", "--dir", pki]);
  assert.equal((await stack.cli("kms", "show", kms, "--collateral", now)).code, 0, "and the newer numbers are known");
  const relay = await HostileRelay.start(stack);
  relay.reset({ onAnswer: (x, answer) => { if (x.path === "/v1/collateral") answer.body = readFileSync(old); } });
  try {
    for (const args of [["kms", "show", kms], ["secrets", "set", "posing", "KEY"]]) {
      const result = await stack.cli(...args, { env: { REDOUBT_PROFILE: relay.profile }, input: "a value" });
      assert.equal(result.code, 6, result.stdout + result.stderr);
      assert.match(result.stderr, /crl_rollback/);
    }
    assert.ok(!relay.seen.some((x) => x.method !== "GET"), "nothing was sealed or signed");
  } finally { await relay.close(); }
});
