// How the command line feels: help, exit codes, streams, completion, no prompts off a terminal.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack } from "../support/stack.mjs";

let stack;
before(async () => { stack = await Stack.start({ hosts: 0 }); });
after(async () => { await stack?.close(); });

test("help goes to stdout, exits 0, and starts with a purpose and examples", async () => {
  for (const args of [["--help"], ["-h"], ["help"], []]) {
    const result = await stack.cli(...args);
    assert.equal(result.code, 0);
    assert.match(result.stdout, /^redoubt: /);
    assert.equal(result.stderr, "");
  }
  const verbs = (await stack.cli("--help")).stdout.split("Verbs:\n")[1].split("\n\n")[0].split("\n").filter((line) => /^ {2}[a-z]/.test(line)).map((line) => line.trim().split(/  +/)[0]);
  assert.ok(verbs.length > 20);
  for (const verb of verbs) {
    const result = await stack.cli(...verb.split(" "), "--help");
    assert.equal(result.code, 0, verb);
    assert.match(result.stdout, new RegExp(`^redoubt ${verb}: .+\\n\\nUsage: .+\\n\\nExamples:\\n  \\$ (source <\\()?redoubt`), verb);
  }
});

test("unknown verbs and flags suggest the nearest and exit 2", async () => {
  for (const [args, hint] of [[["deplyo"], "deploy"], [["apps", "lst"], "apps list"], [["apps", "get"], "help apps"], [["deploy", "--detahc"], "--detach"]]) {
    const result = await stack.cli(...args);
    assert.equal(result.code, 2, args.join(" "));
    if (hint) assert.match(result.stderr, new RegExp(hint));
  }
});

test("exit codes: not found 3, auth 4, unreachable 8, usage 2", async () => {
  assert.equal((await stack.cli("apps", "show", "nothing")).code, 3);
  assert.equal((await stack.cli("apps", "list", { env: { REDOUBT_TOKEN: "rdt_wrong" } })).code, 4);
  assert.equal((await stack.cli("apps", "list", "--api", "http://127.0.0.1:9")).code, 8);
  assert.equal((await stack.cli("invoke")).code, 2);
});

test("results on stdout alone; --json is one document; -o name is one id a line", async () => {
  await stack.cli("apps", "create", "listed");
  const listed = await stack.cli("apps", "list", "--json");
  assert.equal(JSON.parse(listed.stdout)[0].name, "listed");
  assert.equal(listed.stderr, "");
  assert.equal((await stack.cli("apps", "list", "-o", "name")).stdout, "listed\n");
});

test("a profile found in a folder above counts only when its user wrote it", async () => {
  const above = join(stack.dir, "above"), below = join(above, "a/b");
  mkdirSync(join(above, ".redoubt"), { recursive: true });
  mkdirSync(below, { recursive: true });
  const file = join(above, ".redoubt/profile.json");
  const ask = () => stack.cli("apps", "list", { cwd: below, env: { REDOUBT_PROFILE: "", REDOUBT_TOKEN: stack.token } });
  writeFileSync(file, JSON.stringify({ api: stack.api }));
  assert.equal((await ask()).code, 0);
  chmodSync(file, 0o666);
  const open = await ask();
  assert.equal(open.code, 2);
  assert.match(open.stderr, /can be written by everybody: not used; name it by --profile/);
  if (process.getuid() !== 0) return;
  chmodSync(file, 0o644);
  chownSync(file, 65534, 65534);
  const foreign = await ask();
  assert.equal(foreign.code, 2);
  assert.match(foreign.stderr, /belongs to another user/);
});

test("a token file that others can read is refused with the fix; a token on argv is refused", async () => {
  const loose = join(stack.dir, "loose");
  writeFileSync(loose, stack.token);
  chmodSync(loose, 0o644);
  const result = await stack.cli("apps", "list", { env: { REDOUBT_TOKEN_FILE: loose } });
  assert.equal(result.code, 2);
  assert.match(result.stderr, /chmod 600/);
  assert.equal((await stack.cli("login", stack.token)).code, 2);
});

test("destructive verbs never hang: they need --yes off a terminal", async () => {
  const result = await stack.cli("apps", "delete", "listed");
  assert.equal(result.code, 2);
  assert.match(result.stderr, /--yes/);
});

test("completion for three shells, with live names", async () => {
  for (const shell of ["bash", "zsh", "fish"]) assert.equal((await stack.cli("completion", shell)).code, 0);
  assert.match((await stack.cli("complete-words", "--", "apps")).stdout, /^create$/m);
  assert.match((await stack.cli("complete-words", "--", "invoke")).stdout, /^listed$/m);
});

test("config explain says where each value came from; doctor exits by what it found", async () => {
  const explained = await stack.json("config", "explain");
  assert.equal(explained.api.value, stack.api);
  assert.equal((await stack.cli("doctor")).code, 0);
  assert.equal((await stack.cli("doctor", "--api", "http://127.0.0.1:9")).code, 1);
});

test("api passes requests through with this profile's token", async () => {
  const result = await stack.cli("api", "GET", "/v1/apps");
  assert.equal(JSON.parse(result.stdout).items.length, 1);
  assert.equal((await stack.cli("api", "GET", "/v1/apps/app_" + "a".repeat(52))).code, 3);
});

test("version and help answer within a moment and touch no network", async () => {
  const result = await stack.cli("--version", { env: { REDOUBT_API: "http://127.0.0.1:9" } });
  assert.match(result.stdout, /^redoubt \d+\.\d+\.\d+$/m);
});

test("help fits 80 columns; one error code is explained; a wrong one is a usage error", async () => {
  for (const line of (await stack.cli("--help")).stdout.split("\n")) assert.ok(line.length <= 80, line);
  const one = await stack.cli("help", "errors", "request_too_large");
  assert.match(one.stdout, /^request_too_large\n.*exit code +1\n/);
  assert.equal((await stack.cli("help", "errors", "nothing_like_it")).code, 2);
});

test("flags of every verb may stand before it; columns are chosen; an unknown one is named", async () => {
  const chosen = await stack.cli("--quiet", "apps", "list", "--columns", "url,name");
  assert.equal(chosen.code, 0);
  assert.match(chosen.stdout, /^URL +NAME\nhttp/);
  const wrong = await stack.cli("apps", "list", "--columns", "colour");
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /no column colour; there are NAME, ID/);
});

test("status says it in two requests", async () => {
  for (const args of [["status"], ["status", "listed"]]) {
    const result = await stack.cli(...args, "--verbose");
    assert.equal(result.code, 0, result.stderr);
    assert.ok(result.stderr.split("\n").filter((line) => line.startsWith("GET /")).length <= 2, result.stderr);
  }
  assert.deepEqual((await stack.json("status")).apps.map((app) => app.name), ["listed"]);
});

test("a plan changes nothing, forecasts, and exits 10", async () => {
  const dir = join(stack.dir, "planned");
  mkdirSync(dir);
  writeFileSync(join(dir, "redoubt.yaml"), "name: planned\n");
  writeFileSync(join(dir, "index.js"), "export default { fetch: () => new Response('x') };\n");
  const plan = await stack.cli("deploy", dir, "--plan", "--json");
  assert.equal(plan.code, 10, plan.stderr);
  assert.deepEqual(JSON.parse(plan.stdout).placement, { hosts: 0, fitting: 0, counts: [] });
  assert.equal((await stack.cli("apps", "show", "planned")).code, 3, "no app was registered");
});

test("a bad manifest names file, line and the nearest member", async () => {
  const dir = join(stack.dir, "misspelt");
  mkdirSync(dir);
  writeFileSync(join(dir, "redoubt.yaml"), "name: a\nlimits:\n  tme_ms: 5\n");
  const result = await stack.cli("deploy", dir);
  assert.equal(result.code, 2);
  assert.match(result.stderr, /redoubt\.yaml:3: unknown member tme_ms; did you mean time_ms\?/);
});
