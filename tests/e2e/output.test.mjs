// What every verb prints: one JSON document of the published shape with --json, no escape sequence where none is wanted,
// and what Ctrl-C leaves behind.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BIN, ROOT, Stack, until } from "../support/stack.mjs";
import { canonical } from "../../web-static/formats.js";
import { complaints } from "../support/openapi.mjs";
import { Pccs, answersOf } from "../support/pccs.mjs";

const echo = join(ROOT, "examples", "echo");
let stack, refusing;
before(async () => {
  refusing = await Pccs.start();
  refusing.fail = (path, response) => (response.writeHead(403).end(), true);
  stack = await Stack.start({ hosts: 1, kms: true, apiFlags: ["--collateral-pcs", refusing.url] });
});
after(async () => { await stack?.close(); refusing?.close(); });

// Verbs that are for people and shells alone.
// dashboard and dev run until they are ended, kms join and kms recover need a second host; their documents are read in tests of their own.
const WITHOUT_JSON = new Set(["completion", "approve", "dashboard", "dev", "kms join", "kms recover"]);
const policy = { type: "redoubt/policy/v1", simulated: false, debug: false, tees: ["tdx"], tcb: ["UpToDate"], max_collateral_age_s: 604800, measurements: [{ mrtd: "44".repeat(48), rtmr0: "00".repeat(48), rtmr1: "01".repeat(48), rtmr2: "02".repeat(48) }] };

// What an owner's webhook is asked: a statement of purpose grant, and evidence over it that nobody has to believe.
function question({ app, instance, kms }) {
  const b64u = (value) => Buffer.from(value).toString("base64url"), digest = "sha256:" + "22".repeat(32), zeros = b64u(Buffer.alloc(32)), key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
  const statement = canonical({ type: "redoubt/statement/v1", purpose: "grant", class: "simulated", nonce: zeros, app, release: digest, head: digest, kms: [kms], instance, epoch: 1,
    keys: { receipt: key, grant: b64u(Buffer.alloc(32, 9)), ohttp: null, tls: null, chain: null, usage: null }, channel: null, user: null, log: null });
  const evidence = canonical({ type: "redoubt/evidence/v1", format: "tdx-quote", quote: b64u("quote"), statement: b64u(statement), event_log: [] });
  return JSON.stringify({ type: "redoubt/webhook-question/v1", kms, key, statement: b64u(statement), evidence: b64u(evidence) });
}

// Each verb with what it takes, the schema of the REST description that its document has ("[Name]": a list of them), and
// where it answers by another exit code than 0.
function rows(given) {
  return [
    ["apps create", ["made"], "App"],
    ["apps list", [], "[App]"],
    ["apps show", ["echo"], "App", { members: ["id", "name"] }],
    ["apps delete", ["made", "--yes"], "App"],
    ["deployments watch", [given.deployment], "Deployment"],
    ["deploy", [echo, "--yes"], null],
    ["deployments list", ["echo"], "[DeploymentSummary]"],
    ["rollback", ["echo", "--yes"], "Deployment"],
    ["status", [], null, { lists: { apps: "App", hosts: "Host" } }],
    ["invoke", ["echo", "--data", "x"], null],
    ["verify", ["echo"], null],
    ["evidence show", [given.evidence], null],
    ["evidence verify", [given.evidence], null, { code: 6 }],
    ["receipts list", ["echo"], null],
    ["receipts get", [given.receipt, "--save", join(stack.dir, "kept.json")], null],
    ["receipts verify", [given.receipt], null],
    ["records list", ["echo"], "[Record]"],
    ["records grants", ["keeper"], null],
    ["records show", [given.record], null],
    ["policy check", [given.policy], null],
    ["policy explain", [given.policy], null],
    ["policy diff", [given.policy, given.policy], null],
    ["webhook key", [join(stack.dir, "webhook.pem")], null],
    ["webhook answer", ["--deny", "not today"], null, { input: question(given) }],
    ["collateral show", [], "CollateralStatus"],
    ["collateral status", [], "CollateralRefresh", { code: 8 }],
    ["collateral refresh", [], "CollateralRefresh"],
    ["collateral forecast", [given.collateral], "CollateralForecast"],
    ["collateral import", [given.collateral], "CollateralAdopted"],
    ["collateral fetch", ["--from", given.pccs.url, "--scope", "tdx:" + given.pccs.answers.fmspc, "--out", join(stack.dir, "fetched")], null],
    ["logs", ["echo"], null, { stream: true }],
    ["instances list", ["echo"], "[Instance]"],
    ["instances show", [given.instance], "Instance"],
    ["kms list", [], null],
    ["kms show", [given.kms], null],
    ["kms trust", [given.kms, "--yes"], null],
    ["kms recovery-key", [join(stack.dir, "holder.json")], null],
    ["secrets set", ["keeper", "KEY"], null, { input: "value" }],
    ["secrets list", ["keeper"], null],
    ["secrets rotate", ["keeper", "KEY"], null, { input: "another" }],
    ["secrets unset", ["keeper", "KEY", "--detach"], null],
    ["hosts list", [], "[Host]"],
    ["hosts show", [given.host], "Host"],
    ["hosts drain", [given.host, "--yes"], "Host"],
    ["hosts undrain", [given.host], "Host"],
    ["hosts cordon", [given.host], "Host"],
    ["hosts uncordon", [given.host], "Host"],
    ["hosts release", [given.host], "Host"],
    ["hosts delete", [given.host, "--yes"], null],
    ["enroll-token", [], "EnrolToken"],
    ["keys new", [join(stack.dir, "another.pem")], null],
    ["keys show", [], null],
    ["keys delegate", ["echo", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "--save", join(stack.dir, "given.json")], null],
    ["keys log", ["--new"], null],
    ["login-link", [], "LoginLink"],
    ["tokens create", ["robot"], "NewTokenAnswer"],
    ["tokens list", [], "[Token]"],
    ["tokens delete", [given.token, "--yes"], null],
    ["api", ["GET", "/v1/apps"], "AppList"],
    ["config explain", [], null],
    ["doctor", [], null],
    ["login", [], null, { input: stack.token }],
    ["logout", [], null],
  ];
}

// An answer's receipt is kept a moment after the answer.
async function keptReceipt() {
  await stack.json("invoke", "echo", "--data", "x");
  return until("a receipt is kept", async () => (await stack.json("receipts", "list", "echo"))[0]?.id);
}

async function verbs() {
  const overview = (await stack.cli("--help")).stdout.split("Verbs:\n")[1].split("\n\n")[0];
  return overview.split("\n").filter((line) => /^ {2}[a-z]/.test(line)).map((line) => line.trim().split(/ {2,}/)[0]);
}

test("--json of every verb: documents in the words of the REST description, nothing else on stdout", async () => {
  for (const text of ["one", "two"]) await stack.deploy("echo", `export default { fetch: async (r) => { console.log("${text}"); return new Response(await r.text()); } };`);
  const [instance] = await stack.json("instances", "list", "echo");
  const [deployment] = await stack.json("deployments", "list", "echo");
  const given = {
    kms: await stack.kmsId(), app: (await stack.json("apps", "show", "echo")).id, instance: instance.id, host: instance.host, deployment: deployment.id, policy: join(stack.dir, "policy.json"),
    evidence: join(stack.dir, "quote.bin"), collateral: join(stack.dir, "pki", "collateral.json"),
    receipt: await keptReceipt(), record: (await stack.json("records", "list", "echo"))[0].digest, token: (await stack.json("tokens", "create", "short-lived")).id,
  };
  const evidence = await stack.rest("GET", `/v1/instances/${instance.id}/evidence`);
  writeFileSync(given.evidence, Buffer.from(evidence.quote, "base64url"));
  writeFileSync(given.policy, JSON.stringify(policy));
  execFileSync(join(BIN, "redoubt-agent"), ["sim-pki", "refresh", "--dir", join(stack.dir, "pki")]);
  given.pccs = await Pccs.start({ answers: answersOf(JSON.parse(readFileSync(given.collateral, "utf8"))) });
  await stack.json("apps", "create", "keeper");
  const table = rows(given);
  await until("the plane's own fetch failed", async () => (await stack.rest("GET", "/v1/collateral/status")).refresh.failures > 0);
  const wrong = (await verbs()).filter((verb) => !WITHOUT_JSON.has(verb) && !table.some(([name]) => name === verb)).map((verb) => verb + ": not in this table");
  for (const [verb, args, schema, how = {}] of table) {
    const result = await stack.cli(...verb.split(" "), ...args, "--json", { input: how.input });
    const say = (text) => wrong.push(`${verb}: ${text}`);
    if (result.code !== (how.code ?? 0)) say(`exit ${result.code}: ${result.stderr}`);
    if (/\x1b/.test(result.stdout + result.stderr)) say("an escape sequence");
    let document;
    try {
      const lines = how.stream ? result.stdout.trimEnd().split("\n") : [result.stdout];
      document = lines.map((line) => JSON.parse(line));
    } catch { say(`not JSON: ${JSON.stringify(result.stdout.slice(0, 200))}`); continue; }
    const [first] = document;
    const judge = (name, value) => { const text = complaints(name, value); if (text) say(`not of ${name}: ${text}`); };
    if (schema?.startsWith("[")) { if (!first.length) say("an empty list"); for (const one of first) judge(schema.slice(1, -1), one); }
    else if (schema) judge(schema, first);
    for (const [member, name] of Object.entries(how.lists ?? {})) for (const one of first[member]) judge(name, one);
  }
  given.pccs.close();
  rmSync(join(stack.dir, "cli", "state", "kms.json")); // its host is gone: what follows deploys without it
  assert.deepEqual(wrong, []);
});

// On a terminal of its own: what it prints, with \r\n for line ends.
function onTerminal(args, env) {
  const line = [join(BIN, "redoubt"), ...args].map((word) => `'${word}'`).join(" ");
  return new Promise((done) => execFile("script", ["-qec", line, "/dev/null"], { env: { ...process.env, REDOUBT_PROFILE: stack.profile, HOME: stack.dir, TERM: "xterm-256color", NO_COLOR: "", ...env } }, (error, stdout) => done(stdout)));
}

test("a terminal gets colour, unless NO_COLOR, TERM=dumb or --no-color say otherwise: then no escape sequence at all", async () => {
  const verb = ["deploy", echo, "--plan"];
  assert.match(await onTerminal(verb, {}), /\x1b\[/);
  for (const [args, env] of [[verb, { NO_COLOR: "1" }], [verb, { TERM: "dumb" }], [[...verb, "--no-color"], {}]])
    for (const one of [args, ["status", ...args.slice(3)], ["apps", "show", "nothing", ...args.slice(3)]]) {
      const output = await onTerminal(one, env);
      assert.ok(output.length > 20, one.join(" "));
      assert.doesNotMatch(output, /\x1b/, one.join(" "));
    }
});

// Until a text is on its stderr; then SIGINT, and how it ended.
async function interrupted(text, ...args) {
  const child = spawn(join(BIN, "redoubt"), args, { env: { ...process.env, REDOUBT_PROFILE: stack.profile, HOME: stack.dir }, stdio: ["ignore", "pipe", "pipe"] });
  let output = "", errors = "";
  child.stdout.on("data", (data) => { output += data; });
  await new Promise((done) => { child.stderr.on("data", (data) => { errors += data; if (text.test(errors)) done(); }); child.once("exit", done); });
  child.kill("SIGINT");
  const [code] = await once(child, "close");
  return { code, output, errors };
}

test("Ctrl-C while a deployment waits: exit 130, it goes on, and the command that watches it is printed", async () => {
  const waiting = await interrupted(/pending/, "deploy", echo, "--yes"); // its only host was deleted above
  assert.equal(waiting.code, 130, waiting.errors);
  const [, watch] = waiting.errors.match(/Still deploying\. Watch: (.+)\n$/) ?? assert.fail(waiting.errors);
  const words = watch.split(" ");
  assert.ok(existsSync(words[0]) || words[0] === "redoubt");
  const again = await interrupted(/pending/, ...words.slice(1));
  assert.equal(again.code, 130, again.errors);
});

test("only its own deployment hears a Ctrl-C: -f of logs ends with 130 and prints nothing more", async () => {
  const followed = await interrupted(/GET /, "logs", "echo", "--follow", "--verbose");
  assert.equal(followed.code, 130, followed.errors);
});
