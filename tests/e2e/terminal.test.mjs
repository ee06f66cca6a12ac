// The command line among other programs: where it writes, pipes that close early, live completion in a real shell, planes of another
// version; and the two verbs that change which release runs: rollback and approve.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createServer, request as forward } from "node:http";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";
import { b64u, bundle } from "../integration/api_fixture.mjs";

const source = (text) => `export default { fetch: () => new Response(${JSON.stringify(text)}) }`;
let stack;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  await stack.deploy("shown", source("one"));
});
after(async () => { await stack?.close(); });

function filesBelow(folder, top = folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => entry.isDirectory() ? filesBelow(join(folder, entry.name), top) : [relative(top, join(folder, entry.name))]);
}

// Everything that is kept: a token, a key, the newest head of an app.
async function live(env) {
  const options = { env: { REDOUBT_PROFILE: "", REDOUBT_API: stack.api, ...env } };
  assert.equal((await stack.cli("login", { ...options, input: stack.token + "\n" })).code, 0);
  assert.equal((await stack.cli("keys", "new", options)).code, 0);
  const folder = join(mkdtempSync(join(stack.dir, "app-")), "xdg-app");
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "index.js"), source("x"));
  writeFileSync(join(folder, "redoubt.json"), JSON.stringify({ name: "xdg-" + Math.random().toString(36).slice(2, 8), main: "index.js" }));
  mkdirSync(join(folder, ".redoubt"));
  writeFileSync(join(folder, ".redoubt", "profile.json"), JSON.stringify({ simulation_roots: ["sha256:" + stack.simulationRoot], measurements: [stack.measurement] }));
  const deployed = await stack.cli("deploy", "--yes", "--detach", { ...options, cwd: folder });
  assert.equal(deployed.code, 0, deployed.stderr);
  return options;
}

test("point 22: XDG folders are honoured, and nothing else is written into $HOME", async () => {
  const home = mkdtempSync(join(stack.dir, "home-")), xdg = mkdtempSync(join(stack.dir, "xdg-"));
  const options = await live({ HOME: home, XDG_CONFIG_HOME: join(xdg, "config"), XDG_STATE_HOME: join(xdg, "state"), XDG_CACHE_HOME: join(xdg, "cache") });
  assert.deepEqual(filesBelow(home), []);
  assert.ok(filesBelow(xdg).every((path) => /^(config|state|cache)\/redoubt\//.test(path)), filesBelow(xdg).join(" "));
  assert.ok(filesBelow(join(xdg, "config")).length >= 2 && filesBelow(join(xdg, "state")).length >= 1);
  for (const path of filesBelow(join(xdg, "config"))) assert.equal(statSync(join(xdg, "config", path)).mode & 0o077, 0, path + " is for its owner alone");
  assert.equal((await stack.cli("logout", options)).code, 0);
  const bare = mkdtempSync(join(stack.dir, "home-"));
  await live({ HOME: bare, XDG_CONFIG_HOME: "", XDG_STATE_HOME: "", XDG_CACHE_HOME: "" });
  assert.ok(filesBelow(bare).every((path) => /^\.(config|local\/state|cache)\/redoubt\//.test(path)), filesBelow(bare).join(" "));
});

test("login and logout answer as JSON, too, and show no secret", async () => {
  const env = { REDOUBT_PROFILE: "", REDOUBT_API: stack.api, HOME: mkdtempSync(join(stack.dir, "home-")) };
  const login = await stack.cli("login", "--json", { env, input: stack.token });
  assert.equal(login.code, 0, login.stderr);
  assert.deepEqual(JSON.parse(login.stdout), { api: stack.api, logged_in: true });
  assert.ok(!login.stdout.includes(stack.token));
  assert.deepEqual(JSON.parse((await stack.cli("logout", "--json", { env })).stdout), { api: stack.api, logged_in: false });
});

const shell = (script, options = {}) => execFileSync("bash", ["-c", script], { encoding: "utf8", timeout: 30000, env: { ...process.env, PATH: `${BIN}:${process.env.PATH}`, REDOUBT_PROFILE: stack.profile, HOME: stack.dir, ...options } });

test("point 24: completion in a real bash gives verbs, flags and live names", async () => {
  const complete = (...words) => shell(`source <(redoubt completion bash)\nCOMP_WORDS=(redoubt ${words.map((word) => `'${word}'`).join(" ")})\nCOMP_CWORD=${words.length}\n_redoubt\nprintf '%s\\n' "\${COMPREPLY[@]}"`).trim().split("\n");
  assert.deepEqual(complete("invoke", "sho"), ["shown"]);
  assert.deepEqual(complete("records", "list", "sh"), ["shown"]);
  assert.deepEqual(complete("hosts", "re"), ["release"]);
  assert.deepEqual(complete("hosts", "release", "hst_"), [(await stack.hosts())[0].id]);
  assert.ok(complete("logs", "--fo").includes("--follow"));
  assert.deepEqual(complete("apps", "zzz"), [""]);
  const offline = shell("redoubt complete-words --current '' -- invoke; echo $?", { REDOUBT_API: "http://127.0.0.1:9" });
  assert.equal(offline.trim(), "0", "without a plane there are no names, and no message between the words");
});

test("point 36: a closed pipe ends it quietly; - is stdin and stdout", async () => {
  const quiet = shell("cd \"$HOME\"; redoubt --help-man 2>quiet.err | head -c 1 >/dev/null; codes=\"${PIPESTATUS[0]}\"; cat quiet.err; echo \"code $codes\"");
  assert.match(quiet, /^code (0|141)$/m);
  assert.doesNotMatch(quiet, /error|pipe/i);
  const chatty = await stack.deploy("chatty", "export default { fetch() { console.log('x'); return new Response('ok') } }");
  const child = spawn(join(BIN, "redoubt"), ["logs", "chatty", "-f", "--json"], { env: { ...process.env, REDOUBT_PROFILE: stack.profile, HOME: stack.dir }, stdio: ["ignore", "pipe", "pipe"] });
  let said = "", hasEnded = false;
  child.stderr.on("data", (bytes) => { said += bytes; });
  child.on("exit", () => { hasEnded = true; });
  child.stdout.destroy();
  await until("it ends by itself when a line has nowhere to go", async () => { await stack.invoke(chatty.app); return hasEnded; }, 20000, 200);
  assert.doesNotMatch(said, /EPIPE|broken pipe/i);
  const saved = await stack.cli("invoke", "shown", "--data", "@-", "--save", join(stack.dir, "piped.json"), { input: "from stdin" });
  assert.equal(saved.code, 0, saved.stderr);
  assert.equal(Buffer.from(JSON.parse(readFileSync(join(stack.dir, "piped.json"), "utf8")).request_body, "base64url").toString(), "from stdin");
  const verified = await stack.cli("verify", "-", "--json", { input: readFileSync(join(stack.dir, "piped.json")), env: { REDOUBT_API: "http://127.0.0.1:9" } });
  assert.equal(JSON.parse(verified.stdout).verified, true);
});

// The plane as another version would answer: change(path, status, body) answers [status, body].
async function otherVersion(t, change) {
  const server = createServer((incoming, outgoing) => {
    const parts = [];
    incoming.on("data", (part) => parts.push(part));
    incoming.on("end", () => {
      const through = forward({ host: "127.0.0.1", port: stack.ports.api, method: incoming.method, path: incoming.url, headers: { ...incoming.headers, host: `127.0.0.1:${stack.ports.api}` } }, (answer) => {
        const bodies = [];
        answer.on("data", (part) => bodies.push(part));
        answer.on("end", () => {
          const [status, body] = change(incoming.url, answer.statusCode, Buffer.concat(bodies));
          const { "content-length": _, "transfer-encoding": __, ...headers } = answer.headers;
          outgoing.writeHead(status, { ...headers, ...(status === 404 ? { "content-type": "application/problem+json" } : {}), "content-length": Buffer.byteLength(body) });
          outgoing.end(body);
        });
      });
      through.end(Buffer.concat(parts));
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { env: { REDOUBT_API: `http://127.0.0.1:${server.address().port}` } };
}

test("point 35: a newer plane with members that nobody knows yet is understood", async (t) => {
  const grow = (value) => Array.isArray(value) ? value.map(grow) : value && typeof value === "object" ? { ...Object.fromEntries(Object.entries(value).map(([key, one]) => [key, grow(one)])), from_the_future: { a: [1] } } : value;
  const signed = /\/(docs|evidence|by-digest|collateral|genesis|records\/|heads|releases)/;
  const options = await otherVersion(t, (path, status, body) => {
    if (signed.test(path)) return [status, body];
    try { return [status, JSON.stringify(grow(JSON.parse(body)))]; } catch { return [status, body]; }
  });
  for (const args of [["apps", "list"], ["status", "shown"], ["hosts", "list"], ["records", "list", "shown"], ["invoke", "shown"], ["verify", "shown"], ["doctor"], ["rollback", "shown"]]) {
    const result = await stack.cli(...args, "--json", options);
    if (args[0] === "rollback") assert.equal(result.code, 3, result.stderr);
    else assert.equal(result.code, 0, `${args.join(" ")}: ${result.stderr}`);
  }
});

test("point 35: with an older plane what it has works, and what it lacks is explained", async (t) => {
  const lacking = /\/(records|by-digest|wait)/;
  const options = await otherVersion(t, (path, status, body) => lacking.test(path)
    ? [404, JSON.stringify({ type: "/problems/not_found", title: "Not Found", status: 404, detail: "nothing is here", code: "not_found", retryable: false, hint: "", request_id: "req_x" })] : [status, body]);
  const invoked = await stack.cli("invoke", "shown", "--json", options);
  assert.equal(invoked.code, 0, invoked.stderr);
  assert.equal(JSON.parse(invoked.stdout).verified, true, "renewed evidence serves where the first is not to be had");
  const lacks = await stack.cli("records", "list", "shown", options);
  assert.equal(lacks.code, 3);
  assert.match(lacks.stderr, /older than this command line/);
});

test("rollback: shows what changes, goes back to the last release that served, and again to a number", { timeout: 180000 }, async () => {
  const name = "rolled";
  const made = await stack.deploy(name, source("one"));
  assert.equal((await stack.cli("rollback", name, "--yes")).code, 3, "there is nothing to go back to");
  await stack.deploy(name, source("two"));
  const answers = async (text) => until(`it answers ${text}`, async () => (await stack.invoke(made.app)).body === text);
  await answers("two");
  const back = await stack.cli("rollback", name, "--yes");
  assert.equal(back.code, 0, back.stderr);
  assert.match(back.stderr, /from release 2 back to release 1/);
  assert.match(back.stderr, /code/);
  await answers("one");
  const [latest] = (await stack.rest("GET", `/v1/apps/${made.app}/deployments`)).items;
  assert.equal(latest.kind, "rollback");
  assert.equal(latest.state, "healthy");
  const forth = await stack.json("rollback", name, "--to", "2", "--yes");
  assert.equal(forth.state, "healthy");
  await answers("two");
  assert.equal((await stack.cli("rollback", name, "--to", "9", "--yes")).code, 3);
  assert.equal((await stack.json("invoke", name)).verified, true, "the head that the owner signed names what runs");
});

const prepare = async (name, code, settings) => (await stack.rest("POST", "/v1/prepared", { kind: "deploy", app: null, name, code: b64u(bundle(source(code))), settings })).code;
const headOf = async (app) => JSON.parse(Buffer.from((await stack.rest("GET", `/v1/apps/${app}/heads/current`)).document, "base64url"));

test("approve: what a page prepared is shown, signed here and deployed; a code works once", { timeout: 180000 }, async () => {
  const code = await prepare("by-page", "approved", { plain: true });
  const asked = await stack.cli("approve", code);
  assert.equal(asked.code, 2, "nobody can be asked, and nobody said yes");
  assert.match(asked.stderr, /--yes/);
  assert.equal((await stack.cli("apps", "show", "by-page")).code, 3, "nothing was signed");
  const approved = await stack.cli("approve", code, "--yes");
  assert.equal(approved.code, 0, approved.stderr);
  assert.match(approved.stderr, /approved|index\.js/);
  const app = (await stack.json("apps", "show", "by-page")).id;
  assert.equal((await stack.invoke(app)).body, "approved");
  assert.equal((await stack.json("invoke", "by-page")).verified, true);
  assert.notEqual((await stack.cli("approve", code, "--yes")).code, 0);
  assert.equal((await stack.cli("approve", "aaaa-aaaa", "--yes")).code, 3);
});

test("approve shows all that a hostile plane prepared (R7): for a new app what it grants, values to their ends, no escape of a terminal", { timeout: 180000 }, async () => {
  const host = "a".repeat(60) + ".example.com", long = "x".repeat(300), place = (more) => [{ host, ...more }];
  const shown = async (name, settings, ...flags) => {
    const result = await stack.cli("approve", await prepare(name, "one", settings), ...flags);
    assert.doesNotMatch(result.stderr, /[\x00-\x09\x0b-\x1f\x7f\u202e\u200b]/, "control characters and what reorders text");
    return result;
  };
  const grants = { plain: true, open: true, logs: "clear", egress: place({}), env: { A: long + "1", B: "\x1b[2K\rhidden\u202e\u200b" }, limits: { time_ms: 30000 } };
  const { code, stderr } = await shown("granting", grants, "--quiet");
  assert.equal(code, 2);
  for (const row of [/plain {2}false -> true/, /open {2}false -> true/, new RegExp(`egress \\+ .*"host":"${host}".*"secrets":\\[\\]`), /logs {2}"unsaid" -> "clear"/, /limits\.time_ms {2}10000 -> 30000/, /public_code {2}false -> true/,
    new RegExp(`env\\.A {2}null -> "${long}1"\n`), /env\.B {2}null -> "\\u001B\[2K\\rhidden\\u202E\\u200B"/, /\+ export default/]) assert.match(stderr, row);
  assert.equal((await shown("granting", grants, "--yes")).code, 0);
  const app = (await stack.json("apps", "show", "granting")).id, { seq } = await headOf(app);
  const other = await shown("granting", { ...grants, egress: place({ private: true, secrets: ["TOKEN"] }), env: { ...grants.env, A: long + "2" } });
  assert.equal(other.code, 2);
  for (const row of [/egress - .*"private":false.*"secrets":\[\]/, /egress \+ .*"private":true.*"secrets":\["TOKEN"\]/, new RegExp(`env\\.A {2}"${long}1" -> "${long}2"`)]) assert.match(other.stderr, row);
  for (const settings of [{ policy: "/etc/hostname" }, { egress: place({ ca: "/etc/hostname" }) }]) {
    const refused = await shown("granting", settings, "--yes");
    assert.notEqual(refused.code, 0, "it names a file of this machine");
    assert.match(refused.stderr, /file/);
  }
  assert.equal((await headOf(app)).seq, seq, "nothing was signed");
});

test("a policy is the owner's: it stays through deploy and rollback, and changes only in words, which are shown", { timeout: 180000 }, async () => {
  const path = (name) => join(stack.dir, name), dir = join(stack.dir, "src-strict");
  const strict = { type: "redoubt/policy/v1", simulated: true, debug: false, tees: ["tdx"], tcb: ["UpToDate"], max_collateral_age_s: 86400, measurements: [{ mrtd: stack.measurement }] };
  writeFileSync(path("strict.json"), JSON.stringify(strict));
  const { app } = await stack.deploy("strict", source("one"), { policy: "../strict.json" });
  assert.deepEqual((await headOf(app)).policy, strict);
  await stack.deploy("strict", source("two"));
  assert.deepEqual((await headOf(app)).policy, strict, "a deploy that says nothing keeps it");
  const alone = await stack.cli("rollback", "strict");
  assert.equal(alone.code, 2, "nobody can be asked");
  assert.match(alone.stderr, /--yes/);
  const back = await stack.cli("rollback", "strict", "--yes");
  assert.equal(back.code, 0, back.stderr);
  assert.doesNotMatch(back.stderr, /policy/);
  const { policy, seq } = await headOf(app);
  assert.deepEqual(policy, strict, "so does a rollback");
  for (const [more, args, reason] of [[{ tcb: ["Revoked"] }, [], /policy_unsafe/], [{ simulated: false }, [], /class_mismatch/], [{ surprise: 1 }, [], /json_unknown_member/]]) {
    writeFileSync(path("other.json"), JSON.stringify({ ...strict, ...more }));
    const refused = await stack.cli("deploy", dir, "--policy", path("other.json"), ...args);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, reason);
  }
  const plan = await stack.cli("deploy", dir, "--policy", "profile", "--plan", "--json");
  const { changes, policy: notes } = JSON.parse(plan.stdout);
  assert.deepEqual(changes.map((row) => row.member).filter((name) => name.startsWith("policy")), ["policy.tcb", "policy.max_collateral_age_s"]);
  assert.deepEqual(notes.map((note) => `${note.effect} ${note.member}`), ["loosens /tcb", "loosens /max_collateral_age_s"]);
  assert.equal((await headOf(app)).seq, seq);
  const loose = await stack.cli("deploy", dir, "--policy", "profile");
  assert.equal(loose.code, 0, loose.stderr);
  assert.match(loose.stderr, /policy\.tcb \+ "SWHardeningNeeded"[^]*policy +loosens +\/tcb/);
  assert.equal((await headOf(app)).policy.max_collateral_age_s, 604800);
});
