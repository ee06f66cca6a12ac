// R77: an owner's webhook decides about each grant. It is asked by the enclave and answers with a signature; whatever else it, or whoever carries the answer,
// does, its own app is refused and others go on.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as listen, connect } from "node:net";
import { join } from "node:path";
import { answer, byRules } from "../../examples/grant-webhook/server.mjs";
import { Stack, until } from "../support/stack.mjs";

const source = (text) => `export default () => new Response("${text}");`;
const ANSWER = 72 + 4; // the last part of a grant message: its size, signature and term

let stack, server, key, keyText, pipe;
const paths = {}, asked = [];
before(async () => {
  stack = await Stack.start({ hosts: 1, kms: true, agentFlags: ["--egress-allow", "127.0.0.0/8"] });
  pipe = await between();
  await stack.linkAnew(1);
  const trusted = await stack.cli("kms", "trust", await stack.kmsId(), "--yes");
  assert.equal(trusted.code, 0, trusted.stderr);
  const path = join(stack.dir, "webhook.pem");
  keyText = (await stack.json("webhook", "key", path)).key;
  key = createPrivateKey(readFileSync(path));
  server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    const question = JSON.parse(Buffer.concat(parts)), statement = JSON.parse(Buffer.from(question.statement, "base64url"));
    asked.push({ path: request.url, question, statement });
    await paths[request.url](question, response, statement);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
}, { timeout: 180000 });
after(async () => { server?.closeAllConnections(); server?.close(); pipe?.close(); await stack?.close(); });

const publicOf = (privateKey) => createPublicKey(privateKey).export({ format: "jwk" }).x;
const allow = () => ({ allow: true });
const say = (response, said) => response.writeHead(200, { "content-type": "application/json" }).end(typeof said === "string" ? said : JSON.stringify(said));
const webhook = (path, more) => ({ url: `http://127.0.0.1:${server.address().port}${path}`, key: keyText, private: true, ...more });
function write(name, manifest, code = source(name)) {
  const dir = join(stack.dir, "src-" + name);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "index.js"), code);
  writeFileSync(join(dir, "redoubt.json"), JSON.stringify({ name, plain: true, resources: { cpu_m: 100 }, ...manifest }));
  return dir;
}
// The agent's side of the pipe to the key service; each message for a grant passes through bend().
async function between() {
  const path = await until("the key service's socket", () => sockets(join(stack.dir, "agents", "1"))[0]);
  renameSync(path, path + ".true");
  const open = new Set(), made = { bend: (frame) => frame };
  const passes = listen((from) => {
    const to = connect(path + ".true");
    let waiting = Buffer.alloc(0);
    for (const one of [from, to]) { open.add(one); one.on("error", () => {}); }
    from.on("data", (data) => {
      waiting = Buffer.concat([waiting, data]);
      while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE(0)) {
        const size = 4 + waiting.readUInt32BE(0), frame = Buffer.from(waiting.subarray(0, size));
        to.write(frame[4] === 5 ? made.bend(frame) : frame);
        waiting = waiting.subarray(size);
      }
    });
    to.on("data", (data) => from.write(data));
    to.on("close", () => from.destroy());
    from.on("close", () => to.destroy());
  }).listen(path);
  await once(passes, "listening");
  made.close = () => { for (const one of open) one.destroy(); passes.close(); };
  return made;
}
const sockets = (folder) => readdirSync(folder, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? sockets(join(folder, e.name)) : e.isSocket() && e.name === "kms.sock" ? [join(folder, e.name)] : []));

const ended = (name) => stack.sql(`SELECT s.reason, s.detail FROM lease_status s JOIN leases l USING (instance_id, epoch) JOIN apps a USING (app_id) WHERE a.name = '${name}' AND s.phase IN (7, 8)`);
const fails = (name, reason, detail) => until(`${name} fails with ${reason}`, () => ended(name).some(([code, said]) => code === reason && detail.test(said)) || Promise.reject(new Error(JSON.stringify(ended(name)))), 40000);
const stop = (app) => stack.rest("POST", `/v1/apps/${app}/deployments`, { kind: "stop" });

let good;
const answers = [];
test("an app starts with its owner's yes, which the policy asks for and shows", { timeout: 180000 }, async () => {
  const rules = {}, decide = byRules(rules);
  paths["/good"] = (question, response, statement) => {
    rules[statement.app] = { instances: 5, term: 600 };
    answers.push(answer(question, key, decide));
    say(response, answers.at(-1));
  };
  good = (await stack.json("deploy", write("good", { webhook: webhook("/good") }), "--yes", "--timeout", "60")).app;
  assert.equal((await stack.invoke(good)).body, "good");
  const [{ question, statement }] = asked;
  assert.deepEqual([asked.length, question.key, statement.app, statement.purpose], [1, keyText, good, "grant"]);
  const head = JSON.parse(Buffer.from((await stack.rest("GET", `/v1/apps/${good}/heads/current`)).document, "base64url"));
  assert.deepEqual(head.policy.webhook, webhook("/good"));
  const path = join(stack.dir, "policy.json");
  writeFileSync(path, JSON.stringify(head.policy));
  assert.match((await stack.cli("policy", "explain", path)).stdout, /Before each grant http:\/\/127\.0\.0\.1:\d+\/good says yes, signed by the key /);
  assert.equal((await stack.cli("verify", "good")).code, 0);
});

test("the webhook of a first deploy stands among its changes, before anything is signed", { timeout: 180000 }, async () => {
  const row = async (manifest) => JSON.parse((await stack.cli("deploy", write("planned", manifest), "--plan", "--json")).stdout).changes.find((one) => one.member === "policy.webhook");
  assert.deepEqual(await row({ webhook: webhook("/planned") }), { member: "policy.webhook", from: null, to: webhook("/planned") });
  assert.equal(await row({ webhook: null }), undefined);
  assert.match((await stack.cli("deploy", write("planned", { webhook: webhook("/planned") }), "--plan")).stderr, /policy\.webhook  null -> \{"key":/);
});

test("it stays until a policy without it is signed, and that is shown as a loosening", { timeout: 180000 }, async () => {
  const policy = async () => JSON.parse(Buffer.from((await stack.rest("GET", `/v1/apps/${good}/heads/current`)).document, "base64url")).policy;
  for (const [manifest, ...flags] of [[{}, "--policy", "profile"], [{ webhook: null }]]) {
    const plan = await stack.cli("deploy", write("good", { env: { A: "b" }, ...manifest }), "--plan", ...flags);
    assert.match(plan.stdout + plan.stderr, /policy\.webhook  \{.*\} -> null/);
    assert.match(plan.stdout + plan.stderr, /loosens +\/webhook\/key/);
  }
  assert.equal((await stack.cli("deploy", write("good", { env: { A: "b" } }), "--yes", "--timeout", "60")).code, 0);
  assert.equal((await stack.cli("rollback", "good", "--yes")).code, 0);
  assert.deepEqual((await policy()).webhook, webhook("/good"));
  assert.equal((await stack.invoke(good)).body, "good");
});

test("the command line answers a question: yes for a time, no with a reason, nothing for another key", { timeout: 180000 }, async () => {
  const { question } = asked[0], said = answers[0], path = join(stack.dir, "webhook.pem"), run = (...args) => stack.cli("webhook", "answer", ...args, { input: JSON.stringify(question) });
  assert.deepEqual(JSON.parse((await run("--key", path, "--term", "600")).stdout), said, "as the example's");
  assert.deepEqual(JSON.parse((await run("--deny", "not today")).stdout), { type: "redoubt/webhook-answer/v1", allow: false, reason: "not today" });
  const other = join(stack.dir, "other.pem");
  writeFileSync(other, generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  const refused = await run("--key", other);
  assert.equal(refused.code, 6);
  assert.match(refused.stderr, /another webhook key/);
  for (const wrong of [[], ["--key", path, "--deny", "x"], ["--key", path, "--term", "10"]]) assert.equal((await run(...wrong)).code, 2, wrong.join(" "));
  const moved = await stack.cli("webhook", "answer", "--key", path, { input: JSON.stringify({ ...question, statement: Buffer.from("{}").toString("base64url") }) });
  assert.match(moved.stderr, /statement/);
});

test("R77: slow, huge, redirected, denied, replayed and foreign answers refuse their own app, by name", { timeout: 180000 }, async () => {
  const stranger = generateKeyPairSync("ed25519").privateKey;
  const rows = {
    denied: ["webhook_refused", /says no: closed for the night$/, (question, response) => say(response, answer(question, key, () => ({ allow: false, reason: "closed for the night" })))],
    foreign: ["webhook_answer", /not signed by the webhook key of the policy/, (question, response) => say(response, answer({ ...question, key: publicOf(stranger) }, stranger, allow))],
    replayed: ["webhook_answer", /not signed by the webhook key of the policy/, (question, response) => say(response, answers[0])],
    loose: ["webhook_answer", /not the form/, (question, response) => say(response, { ...answer(question, key, allow), more: true })],
    huge: ["webhook_required", /127\.0\.0\.1:\d+: /, (question, response) => say(response, JSON.stringify(answer(question, key, allow)) + " ".repeat(4096))],
    moved: ["webhook_required", /redirects/, (question, response) => response.writeHead(307, { location: "/good" }).end()],
    broken: ["webhook_required", /status 500/, (question, response) => response.writeHead(500).end()],
    slow: ["webhook_required", /no answer within five seconds/, (question, response) => void response.writeHead(200).write("{")],
    away: ["webhook_required", /nobody takes the connection/],
    closed: ["webhook_required", /the host refuses this address/],
  };
  const made = await Promise.all(Object.entries(rows).map(async ([name, [, , run]]) => {
    paths["/" + name] = run;
    const change = name === "away" ? { url: "http://127.0.0.1:9/ask" } : name === "closed" ? { private: undefined } : {};
    return stack.json("deploy", write(name, { webhook: webhook("/" + name, change) }), "--yes", "--detach");
  }));
  for (const [name, [reason, detail]] of Object.entries(rows)) await fails(name, reason, detail);
  assert.equal((await stack.invoke(good)).body, "good", "the app beside them");
  await stack.deploy("unasked", source("unasked")); // and one that starts meanwhile
  await Promise.all(made.slice(1).map(({ app }) => stop(app)));
  paths["/denied"] = (question, response) => say(response, answer(question, key, allow));
  await until("who was kept out comes in once the owner says yes", async () => (await stack.invoke(made[0].app)).body === "denied", 60000);
});

test("R77: whoever carries the answer and leaves it out is refused by the key service, on record", { timeout: 180000 }, async () => {
  pipe.bend = (frame) => {
    const cut = Buffer.from(frame.subarray(0, frame.length - ANSWER));
    cut.writeUInt32BE(cut.length - 4);
    return cut;
  };
  paths["/carried"] = (question, response) => say(response, answer(question, key, allow));
  const { app } = await stack.json("deploy", write("carried", { webhook: webhook("/carried") }), "--yes", "--detach");
  await fails("carried", "webhook_required", /did not come along/);
  pipe.bend = (frame) => frame;
  await until("it starts once the answer is carried again", async () => (await stack.invoke(app)).body === "carried", 60000);
});

test("an owner's no keeps a new secret out and not the instance that has the old one; his yes lets it in", { timeout: 180000 }, async () => {
  let decide = allow;
  paths["/kept"] = (question, response) => say(response, answer(question, key, decide));
  const { app } = await stack.json("deploy", write("kept", { webhook: webhook("/kept"), instances: { min: 2, max: 2 } }, "export default (request, env) => new Response(env.KEY || 'none');"), "--yes", "--timeout", "60");
  const read = async () => {
    const { status, body } = await stack.invoke(app);
    assert.equal(status, 200, body);
    return body;
  };
  assert.equal(await read(), "none");
  decide = () => ({ allow: false, reason: "not now" });
  const set = await stack.cli("secrets", "set", "kept", "KEY", "--timeout", "4", "--json", { input: "new" });
  assert.equal(set.code, 7, set.stderr);
  assert.match(set.stderr, /KEY, version 1: sealed here[^]*It is signed and stored; those that run serve on/);
  const told = JSON.parse(set.stdout);
  assert.deepEqual([told.version, told.head, told.serving], [1, 2, null]);
  const serving = () => stack.sql("SELECT l.head_seq FROM leases l JOIN lease_status s USING (instance_id, epoch) JOIN apps a USING (app_id) WHERE a.name = 'kept' AND l.live AND l.want = 1 AND s.phase = 4 ORDER BY 1").join();
  const reason = () => stack.sql("SELECT r.reason->>'summary' FROM rollouts r JOIN apps a USING (app_id) WHERE a.name = 'kept' AND r.reason IS NOT NULL");
  await until("the deployment says why", async () => (assert.equal(await read(), "none"), reason().some(([said]) => /webhook_refused.*trying again/.test(said))), 60000);
  let left = 1;
  decide = () => (left-- > 0 ? { allow: true } : { allow: false, reason: "one is enough" });
  await until("one new one serves", async () => (await read()) === "new", 60000);
  await until("one old one is gone", () => serving() === "1,2", 60000);
  // Both heads serve. Whoever has seen the newer one, as this machine has, seals to no instance under the older one.
  for (let i = 0; i < 4; i++) assert.equal((await stack.json("invoke", "kept")).body, "new");
  decide = allow;
  await until("the deployment is healthy again", () => stack.sql("SELECT 1 FROM rollouts r JOIN apps a USING (app_id) WHERE a.name = 'kept' AND r.state = 2 AND r.reason IS NULL").length === 1, 60000);
  assert.deepEqual([await read(), await read()], ["new", "new"]);
  const pause = async (paused) => stack.rest("PATCH", `/v1/apps/${app}`, { paused }, { "if-match": (await stack.request("GET", `/v1/apps/${app}`)).headers.get("etag") });
  await pause(true);
  const later = await stack.cli("secrets", "set", "kept", "KEY", { input: "newer" });
  assert.equal(later.code, 0, later.stderr);
  assert.match(later.stderr, /The app is paused/);
  await pause(false);
  await until("those that ran while it was paused are replaced", async () => (await read()) === "newer", 60000);
});

test("webhook: null in the manifest takes it out of the next head's policy, and nobody is asked any more", { timeout: 180000 }, async () => {
  const before = asked.length;
  const made = await stack.cli("deploy", write("good", { webhook: null, env: { A: "c" } }), "--yes", "--timeout", "60");
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stderr, /loosens +\/webhook\/key/);
  const { document } = await stack.rest("GET", `/v1/apps/${good}/heads/current`);
  assert.equal(JSON.parse(Buffer.from(document, "base64url")).policy.webhook, undefined);
  assert.equal((await stack.invoke(good)).body, "good");
  assert.deepEqual(asked.slice(before).filter((one) => one.statement.app === good), []);
});

test("a manifest's webhook is held to its form before anything is signed", { timeout: 180000 }, async () => {
  for (const [change, said] of [[{ url: "https://h.example" }, /webhook is https:\/\/HOST\/PATH/], [{ url: "ftp://h.example/" }, /webhook\.url/], [{ key: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, /key/], [{ token: "x" }, /unknown member/]]) {
    const refused = await stack.cli("deploy", write("wrong", { webhook: webhook("/x", change) }), "--yes");
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, said);
  }
});
