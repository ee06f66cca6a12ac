// R53: a function's log lines, sealed by the enclave to the key that the signed release names. The plane carries them and reads none;
// what it leaves out, doubles or moves is told to the reader.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { chmodSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256, Aes256Gcm } from "@hpke/core";
import { Stack, until } from "../support/stack.mjs";

const source = `export default { async fetch(request) {
  const text = await request.text();
  if (text === "throw") throw new Error("thrown-words");
  for (const n of text.split(" ").filter(Boolean)) console.warn("line " + n);
  return new Response("ok");
} };`;
let stack, app, keyPath;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  keyPath = join(stack.dir, "cli", "logs.json");
  app = (await stack.deploy("whisper", source, { logs: "sealed" })).app;
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

const say = async (...words) => stack.invoke(app, "/", { body: words.join(" ") });
const logs = async (...args) => {
  const result = await stack.cli("logs", "whisper", "--json", ...args);
  assert.equal(result.code, 0, result.stderr);
  return { lines: result.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line)), stderr: result.stderr };
};
const arrived = (text) => until(`${text} arrives`, async () => (await logs()).lines.some((line) => line.text.includes(text)));

// What the plane tells, event by event.
async function told() {
  const answer = await fetch(`${stack.api}/v1/apps/${app}/logs`, { headers: { authorization: "Bearer " + stack.token }, signal: AbortSignal.timeout(20000) });
  let text = "";
  for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) { text += piece; if (text.includes("event: caught-up")) break; }
  return text.split("\n\n").filter((part) => part.includes("event: log"));
}
// The same altered by a test, as a hostile plane would.
async function hostile(t, alter) {
  const stream = alter(await told()).join("\n\n") + "\n\nid: 0000000000000000-9-9\nevent: caught-up\ndata: {}\n\n";
  const server = createServer(async (request, response) => {
    if (request.url.endsWith("/logs")) { response.writeHead(200, { "content-type": "text/event-stream" }); response.end(stream); return; }
    const plain = await fetch(stack.api + request.url, { headers: { authorization: request.headers.authorization } });
    response.writeHead(plain.status, { "content-type": plain.headers.get("content-type") });
    response.end(await plain.text());
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  t.after(() => server.close());
  return stack.cli("logs", "whisper", "--api", `http://127.0.0.1:${server.address().port}`);
}
const edit = (event, change) => event.replace(/data: (.*)/, (_, data) => { const line = JSON.parse(data); change(line); return "data: " + JSON.stringify(line); });

test("deploy makes the log key, the release names it, and logs opens the lines", async () => {
  assert.equal(statSync(keyPath).mode & 0o777, 0o600);
  const none = await stack.cli("keys", "log", { env: { REDOUBT_LOG_KEY_FILE: keyPath + ".none" } });
  assert.match(none.stderr, /no log key at .*: redoubt keys log --new makes it/);
  const shown = await stack.cli("keys", "log");
  assert.match(shown.stdout, /^[\w-]{43}\n$/);
  const [{ digest }] = (await stack.request("GET", `/v1/apps/${app}/releases`)).body.items;
  const release = JSON.parse(Buffer.from((await stack.request("GET", `/v1/apps/${app}/releases/${digest}`)).body.document, "base64url"));
  assert.deepEqual(release.logs, { key: shown.stdout.trim() });
  assert.match((await stack.cli("apps", "show", "whisper")).stdout, /logs sealed to the owner's log key/);
  assert.equal((await say("1", "2")).status, 200);
  await arrived("line 2");
  const { lines } = await logs();
  assert.deepEqual(lines.filter((line) => line.text).map(({ level, text, number }) => [level, text, number]), [["warn", "line 1", 0], ["warn", "line 2", 1]]);
});

test("another implementation of HPKE opens a record by the page of formats", async () => {
  const line = JSON.parse(/data: (.*)/.exec((await told())[0])[1]);
  assert.equal(line.level, "sealed");
  const record = Buffer.from(line.text, "base64url"), u64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; };
  const frame = (kind, ...parts) => Buffer.concat([Buffer.from(`redoubt\0${kind}\0log-line-v1\0`), u32(parts.length), ...parts.flatMap((part) => [u64(part.length), part])]);
  const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
  const base32 = (word) => { let bits = ""; for (const c of word) bits += "abcdefghijklmnopqrstuvwxyz234567".indexOf(c).toString(2).padStart(5, "0"); return Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2))); };
  const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const seed = Buffer.from(JSON.parse(readFileSync(keyPath)).private, "base64url");
  const key = await suite.kem.importKey("raw", new Uint8Array(seed), false);
  const context = await suite.createRecipientContext({ recipientKey: key, enc: new Uint8Array(record.subarray(0, 32)),
    info: frame("info", base32(app.slice(4)).subarray(0, 32), base32(line.instance.slice(4)).subarray(0, 16), u64(line.epoch)) });
  assert.equal(record.readBigUInt64BE(32), 0n);
  const plain = Buffer.from(await context.open(new Uint8Array(record.subarray(40)), frame("aad", u64(0))));
  assert.deepEqual([plain.length, plain[0], plain.subarray(5, 5 + plain.readUInt32BE(1)).toString()], [256, 2, "line 1"]);
});

test("what a handler throws is sealed as well; the caller and the plane are told nothing of it", async () => {
  const answer = await say("throw");
  assert.equal(answer.status, 500);
  assert.ok(!answer.body.includes("thrown-words"));
  await arrived("thrown-words");
});

test("code that does not load: the plane knows that, the owner's log why", { timeout: 180000 }, async () => {
  await assert.rejects(stack.deploy("broken", `throw new Error("load-words");`, { logs: "sealed" }), (error) => !error.message.split("--- ")[0].includes("load-words"));
  let found;
  await until("the line arrives", async () => { found = await stack.cli("logs", "broken", "--json"); return found.stdout.includes("load-words"); });
  const lines = found.stdout.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  assert.ok(lines.some((line) => line.level === "error" && line.text.includes("load-words")));
  const instances = JSON.stringify(stack.sql("SELECT s.* FROM lease_status s")) + JSON.stringify(stack.sql("SELECT body FROM events"));
  assert.ok(!instances.includes("load-words"));
  assert.match(instances, /its words are in the sealed log/);
  assert.ok(![...stack.processes.values()].some((one) => one.name !== "redis" && one.log().includes("load-words")));
});

test("a line left out, doubled, out of order, of another instance, changed or made up", { timeout: 180000 }, async (t) => {
  await say("10", "11", "12", "13");
  await arrived("line 13");
  const whole = await hostile(t, (events) => events);
  assert.ok(!whole.stderr.includes("--"), whole.stderr);
  const left = await hostile(t, (events) => events.filter((_, i) => i !== 1));
  assert.match(left.stderr, /1 lines of ins_\w+ never came here/);
  const doubled = await hostile(t, (events) => [events[0], events[0], ...events.slice(1)]);
  assert.match(doubled.stderr, /came before, or out of order/);
  const swapped = await hostile(t, (events) => [events[1], events[0], ...events.slice(2)]);
  assert.match(swapped.stderr, /came before, or out of order/);
  for (const change of [
    (line) => { line.epoch++; },
    (line) => { line.instance = line.instance.slice(0, 10) + (line.instance[10] === "a" ? "b" : "a") + line.instance.slice(11); },
    (line) => { line.text = line.text.slice(0, 60) + (line.text[60] === "A" ? "B" : "A") + line.text.slice(61); },
    (line) => { line.text = "not sealed at all"; },
    (line) => { line.text = ""; },
  ]) {
    const altered = await hostile(t, (events) => [edit(events[0], change)]);
    assert.equal(altered.code, 0, altered.stderr);
    assert.match(altered.stderr, /Sealed lines stay shut: /);
    assert.match(altered.stdout, /\(sealed\)/);
    assert.ok(!altered.stdout.includes("line 1"));
  }
});

test("lines that were saved without the key open later, from a file or from standard input", async () => {
  const key = readFileSync(keyPath);
  renameSync(keyPath, keyPath + ".away");
  const saved = await stack.cli("logs", "whisper", "--json");
  renameSync(keyPath + ".away", keyPath);
  assert.ok(saved.stdout.includes('"sealed"') && !saved.stdout.includes("line 1"));
  const path = join(stack.dir, "saved.json");
  writeFileSync(path, saved.stdout);
  for (const [from, options] of [[path, {}], ["-", { input: saved.stdout }]]) {
    const opened = await stack.cli("logs", "whisper", "--from", from, options);
    assert.equal(opened.code, 0, opened.stderr);
    assert.match(opened.stdout, /warn +line 1\n/);
  }
  const broken = await stack.cli("logs", "whisper", "--from", "-", { input: saved.stdout + "no json\n" });
  assert.equal(broken.code, 1, broken.stderr);
  assert.match(broken.stderr, /-:\d+: /);
  assert.deepEqual(readFileSync(keyPath), key);
});

test("without the key the lines stay shut, and a key that others can read is not used", async () => {
  renameSync(keyPath, keyPath + ".away");
  const shut = await stack.cli("logs", "whisper");
  assert.match(shut.stderr, /Sealed lines stay shut: log key: no key at .*log_key_file/s);
  assert.match(shut.stdout, /\(sealed\)/);
  renameSync(keyPath + ".away", keyPath);
  chmodSync(keyPath, 0o644);
  assert.match((await stack.cli("logs", "whisper")).stderr, /readable by others/);
  chmodSync(keyPath, 0o600);
  writeFileSync(keyPath + ".other", JSON.stringify({ type: "redoubt/recovery-key/v1", private: "A".repeat(43) }), { mode: 0o600 });
  const wrong = await stack.cli("logs", "whisper", { env: { REDOUBT_LOG_KEY_FILE: keyPath + ".other" } });
  assert.match(wrong.stderr, /no document of type redoubt\/log-key\/v1/);
});

test("back to clear logs: the deploy says what changes", { timeout: 180000 }, async () => {
  writeFileSync(join(stack.dir, "src-whisper", "redoubt.json"), JSON.stringify({ name: "whisper", main: "index.js", plain: true, logs: "clear" }));
  const changed = JSON.parse((await stack.cli("deploy", join(stack.dir, "src-whisper"), "--plan", "--json")).stdout).changes;
  assert.deepEqual(changed.map((row) => [row.member, row.to]), [["logs", "clear"]]);
  assert.match(changed[0].from, /^sealed to [\w-]{43}$/);
});
