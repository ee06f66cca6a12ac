// Sealed requests against a plane that lies: what it learns, what it can change, and who notices. Tests carry the ids of the attacks
// that they show. A second client over another HPKE seals and opens as well, so that both ends are held to RFC 9458.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { BHttpDecoder, BHttpEncoder } from "bhttp-js";
import { BIN, Stack, until } from "../support/stack.mjs";
import { HostileRelay } from "../support/hostile_relay.mjs";
import { Pccs, answersOf } from "../support/pccs.mjs";
import { isBucket, readAnswer, readKeys, seal, writeRequest } from "../support/ohttp.mjs";

const MARKER = "the-caller-said-4f1c", ANSWER = "the-enclave-said-9a20";
const source = `export default { async fetch(request) {
  const text = await request.text(), url = new URL(request.url);
  if (url.pathname === "/throw") throw new Error("${ANSWER}");
  if (url.pathname === "/big") return new Response("x".repeat(Number(url.searchParams.get("n"))));
  return new Response("${ANSWER} " + text.length, { headers: { "content-type": "text/plain", "x-path": url.pathname, "x-once": request.headers.get("idempotency-key") ?? "" } });
} };`;
const OWN = "/.well-known/redoubt/", SEALED = OWN + "sealed", REQ = "message/ohttp-req", RES = "message/ohttp-res";

let stack, relay, app;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  app = (await stack.deploy("quiet", source, { plain: false, instances: { min: 2, max: 2 } })).app;
  app = typeof app === "string" ? app : app?.id;
  app ||= (await stack.rest("GET", "/v1/apps?name=quiet")).items[0].id;
  relay = await HostileRelay.start(stack);
}, { timeout: 180000 });
after(async () => { await relay?.close(); await stack?.close(); });

// One raw request on the app's origin; answers {status, headers, body (bytes)}.
function raw(path, { method = "GET", headers = {}, body, socket, signal } = {}) {
  return new Promise((done, failed) => {
    const where = socket ? { socketPath: socket } : { host: "127.0.0.1", port: stack.ports.apps };
    const outgoing = httpRequest({ ...where, signal, path, method, headers: { host: `${app.replace("_", "-")}.localhost`, authorization: "Bearer " + stack.token, ...(body ? { "content-length": body.length } : {}), ...headers } }, async (response) => {
      const parts = [];
      for await (const part of response) parts.push(part);
      done({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) });
    });
    outgoing.on("error", failed);
    outgoing.end(body);
  });
}

// Evidence and keys of one instance, as a caller asks for them.
async function ask() {
  const evidence = await raw(`${OWN}evidence?nonce=${randomBytes(32).toString("base64url")}`);
  const pin = evidence.headers["redoubt-instance"].split(".")[0];
  const keys = await raw(OWN + "ohttp-keys", { headers: { "redoubt-instance": pin } });
  const statement = JSON.parse(Buffer.from(JSON.parse(evidence.body).statement, "base64url"));
  return { pin, statement, keys: keys.body, type: keys.headers["content-type"] };
}
const post = (pin, body, type = REQ) => raw(SEALED, { method: "POST", headers: { "content-type": type, "redoubt-instance": pin }, body });
async function call(spec) {
  const { pin, keys } = await ask();
  const sealed = await seal(keys, writeRequest(spec));
  const answer = await post(pin, sealed.sealed);
  return { pin, sealed: sealed.sealed, answer, inner: answer.headers["content-type"] === RES ? readAnswer(await sealed.open(answer.body)) : null };
}
// What the command line said of a lying plane: exit code and reason.
async function refused(hooks, code, exit = 6) {
  relay.reset(hooks);
  const result = await relay.cli("invoke", "quiet", "--data", MARKER, "--json");
  assert.equal(result.code, exit, `${result.stdout}${result.stderr}`);
  assert.match(result.stdout + result.stderr, new RegExp(`"code": ?"${code}"`), "the reason is named");
  assert.doesNotMatch(result.stdout, new RegExp(ANSWER), "no answer is shown");
  return result;
}
const isPath = (x, name) => x.isApp && x.path.startsWith(OWN + name);

test("the command line seals by default, and the relay reads neither way", { timeout: 180000 }, async () => {
  relay.reset();
  const result = await relay.cli("invoke", "quiet", "--data", MARKER, "--json");
  assert.equal(result.code, 0, result.stderr);
  const shown = JSON.parse(result.stdout);
  assert.equal(shown.sealed, true);
  assert.equal(shown.verified, true);
  assert.equal(shown.body, `${ANSWER} ${MARKER.length}`);
  for (const name of ["owner", "statement", "keys", "seal", "signature", "request", "response"]) assert.ok(shown.steps.some((step) => step.name === name && step.ok), `step ${name} of ${shown.steps.map((step) => step.name)}`);
  const all = Buffer.concat(relay.seen.flatMap((x) => [Buffer.from(x.path + JSON.stringify(x.headers)), x.body, Buffer.from(JSON.stringify(x.answer.headers)), x.answer.body]));
  for (const text of [MARKER, ANSWER, shown.receipt, "redoubt-salt"]) assert.ok(!all.includes(text), `the relay saw ${text}`);
  const text = await relay.cli("invoke", "quiet", "--data", MARKER);
  assert.match(text.stderr, /evidence +verified before sending/);
  assert.match(text.stderr, /sealed to the enclave of/);
  assert.match(text.stderr, /SIMULATED/);
  assert.equal(text.stdout.trim(), `${ANSWER} ${MARKER.length}`);
});

test("a saved sealed exchange verifies without the plane, and a changed one does not", { timeout: 180000 }, async () => {
  const file = join(stack.dir, "sealed.json");
  assert.equal((await stack.cli("invoke", "quiet", "--data", MARKER, "--save", file)).code, 0);
  const unreachable = { env: { REDOUBT_API: "http://127.0.0.1:1" } };
  const good = await stack.cli("verify", file, "--json", unreachable);
  assert.equal(good.code, 0, good.stdout + good.stderr);
  const { readFileSync, writeFileSync } = await import("node:fs");
  const saved = JSON.parse(readFileSync(file));
  writeFileSync(file, JSON.stringify({ ...saved, evidence_nonce: randomBytes(32).toString("base64url") }));
  assert.equal((await stack.cli("verify", file, unreachable)).code, 6, "the nonce is the caller's own");
});

test("an independent HPKE seals and opens; both sides commit to what is inside", { timeout: 180000 }, async () => {
  const { answer, inner } = await call({ path: "/some?where=1", host: "app.example", headers: { "content-type": "text/plain" }, body: "12345" });
  assert.equal(answer.status, 200);
  assert.equal(answer.headers["redoubt-receipt"], undefined, "the receipt is inside");
  assert.equal(inner.status, 200);
  assert.equal(inner.body.toString(), `${ANSWER} 5`);
  assert.equal(inner.headers["x-path"], "/some");
  assert.ok(inner.headers["redoubt-receipt"]);
  assert.equal(Buffer.from(inner.headers["redoubt-salt"], "base64url").length, 32, "drawn by the enclave: none was sent");
});

test("an independent binary HTTP (RFC 9292) is read and answered", { timeout: 180000 }, async () => {
  const { pin, keys } = await ask();
  const request = new Request("https://app.example/from-afar", { method: "POST", headers: { "content-type": "text/plain", "idempotency-key": "k-" + "9".repeat(70) }, body: "x".repeat(300) });
  const sealed = await seal(keys, Buffer.from(await new BHttpEncoder().encodeRequest(request)));
  const answer = await post(pin, sealed.sealed);
  const response = new BHttpDecoder().decodeResponse(new Uint8Array(await sealed.open(answer.body)));
  assert.equal(response.status, 200);
  assert.equal(await response.text(), `${ANSWER} 300`);
  assert.equal(response.headers.get("x-path"), "/from-afar");
  assert.equal(response.headers.get("x-once"), "k-" + "9".repeat(70));
  assert.ok(response.headers.get("redoubt-receipt"));
  const back = new BHttpDecoder().decodeRequest(new Uint8Array(writeRequest({ path: "/p?q=1", host: "app.example", headers: { "content-type": "text/plain" }, body: MARKER })));
  assert.deepEqual([back.method, back.url, await back.text()], ["POST", "https://app.example/p?q=1", MARKER], "what the other tests write is binary HTTP as well");
});

test("the API takes the same sealed request, and passes nothing else of the app on", { timeout: 180000 }, async () => {
  const { pin, keys } = await ask();
  const sealed = await seal(keys, writeRequest({ body: "1" }));
  const url = `${stack.api}/v1/apps/${app}/sealed`;
  const headers = { authorization: "Bearer " + stack.token, "content-type": REQ, "redoubt-instance": pin };
  const answer = await fetch(url, { method: "POST", headers, body: sealed.sealed });
  assert.equal(answer.headers.get("content-type"), RES);
  assert.equal(answer.headers.get("redoubt-instance"), pin);
  assert.equal(readAnswer(await sealed.open(Buffer.from(await answer.arrayBuffer()))).body.toString(), `${ANSWER} 1`);
  assert.equal((await fetch(url, { method: "POST", headers, body: sealed.sealed })).status, 422, "once is once on either way");
  assert.equal((await fetch(url, { method: "POST", headers: { ...headers, "content-type": "text/plain" }, body: "x" })).status, 415);
  assert.equal((await fetch(url, { method: "POST", headers: { ...headers, authorization: "Bearer " + stack.secondOrganisation().token }, body: "x" })).status, 404);
});

test("R29: a recorded request runs at most once, at its instance, at a sibling and at any time", { timeout: 180000 }, async () => {
  const { pin, sealed, inner } = await call({ body: "pay once" });
  const seqOf = (receipt) => JSON.parse(Buffer.from(receipt, "base64url")).claims.seq;
  const others = (await stack.rest("GET", `/v1/apps/${app}/instances`)).items.filter((i) => i.serving && i.id !== pin).map((i) => i.id);
  assert.ok(others.length >= 1);
  const replays = await Promise.all([pin, pin, ...others].map((id) => post(id, sealed)));
  for (const replay of replays) assert.equal(replay.status, 422);
  let next;
  do next = await call({ body: "after" }); while (next.pin !== pin);
  assert.equal(seqOf(next.inner.headers["redoubt-receipt"]), seqOf(inner.headers["redoubt-receipt"]) + 1, "no run between the two");
});

test("R30: a retry is another request, and carries the caller's own key for it to the function, sealed", { timeout: 180000 }, async () => {
  const spec = { body: "pay once", headers: { "idempotency-key": "order-7" } };
  const [first, again] = [await call(spec), await call(spec)];
  for (const { inner } of [first, again]) assert.deepEqual([inner.status, inner.headers["x-once"]], [200, "order-7"]);
  assert.notDeepEqual(first.inner.headers["redoubt-receipt"], again.inner.headers["redoubt-receipt"]);
});

test("R47: without a token of the owner's organisation nothing runs", { timeout: 180000 }, async () => {
  const { pin, keys } = await ask();
  const { sealed } = await seal(keys, writeRequest({ body: "free of charge" }));
  for (const authorization of ["", "Bearer rdt_unknown", "Bearer " + stack.secondOrganisation().token]) {
    const answer = await raw(SEALED, { method: "POST", headers: { "content-type": REQ, "redoubt-instance": pin, authorization }, body: sealed });
    assert.ok([401, 403].includes(answer.status), `${answer.status} ${answer.body}`);
  }
  assert.equal((await post(pin, sealed)).status, 200, "and the sealed request was not used up");
});

test("R44: two callers get the same configuration bytes, and evidence names them", { timeout: 180000 }, async () => {
  const [one, two] = [await ask(), await ask()];
  const again = await raw(OWN + "ohttp-keys", { headers: { "redoubt-instance": one.pin, authorization: "Bearer " + stack.token, "user-agent": "another" } });
  assert.deepEqual(again.body, one.keys);
  assert.equal(one.type, "application/ohttp-keys");
  for (const { keys, statement } of [one, two]) assert.equal(createHash("sha256").update(keys).digest("base64url"), statement.keys.ohttp);
  assert.equal(one.keys.length, 43);
});

test("R46: whatever is wrong outside looks the same; what is wrong inside is answered inside", { timeout: 180000 }, async () => {
  const { pin, keys } = await ask();
  const { id } = readKeys(keys);
  const good = (await seal(keys, writeRequest({ body: "spoil me" }))).sealed;
  const flip = (at) => { const bytes = Buffer.from(good); bytes[at] ^= 1; return bytes; };
  const other = Buffer.from(keys); randomBytes(32).copy(other, 5);
  const zero = Buffer.from(good); zero.fill(0, 7, 39);
  const spoiled = [...[0, 1, 2, 3, 4, 5, 6, 7, 20, 38, 39, good.length - 17, good.length - 1].map(flip), good.subarray(0, 7), good.subarray(0, 54), good.subarray(0, good.length - 1), Buffer.concat([good, Buffer.from([0])]),
    Buffer.from([id]), randomBytes(300), zero, (await seal(other, writeRequest({}))).sealed];
  await post(pin, good);
  spoiled.push(good); // a repetition
  const answers = [];
  for (const bytes of spoiled) answers.push(await post(pin, bytes));
  for (const answer of answers) {
    assert.equal(answer.status, 422);
    assert.deepEqual(answer.body, answers[0].body);
    assert.deepEqual(Object.keys(answer.headers).filter((name) => !/^(date|request-id)$/.test(name)).map((name) => answer.headers[name]), Object.keys(answers[0].headers).filter((name) => !/^(date|request-id)$/.test(name)).map((name) => answers[0].headers[name]));
  }
  const inside = async (message) => {
    const now = await ask();
    const sealed = await seal(now.keys, message);
    const answer = await post(now.pin, sealed.sealed);
    assert.equal(answer.status, 200);
    return readAnswer(await sealed.open(answer.body));
  };
  assert.equal((await inside(Buffer.from("no binary http"))).status, 400);
  assert.equal((await inside(writeRequest({ path: "no-slash" }))).status, 400);
  assert.equal((await inside(writeRequest({ host: "evil/../host" }))).status, 400);
  assert.equal((await inside(Buffer.concat([writeRequest({}), Buffer.from([1])]))).headers["redoubt-error"], "trailing_bytes");
  const thrown = await inside(writeRequest({ path: "/throw" }));
  assert.equal(thrown.status, 500);
  assert.ok(!thrown.body.includes(ANSWER), "the code, not the function's words");
  assert.ok(thrown.headers["redoubt-receipt"]);
});

test("R65: lengths on the wire fall in buckets, both ways", { timeout: 180000 }, async () => {
  for (const n of [0, 1, 300, 3000, 70000, 200000]) {
    const { answer, inner } = await call({ path: `/big?n=${n}` });
    assert.equal(inner.body.length, n);
    assert.ok(isBucket(answer.body.length - 32), `an answer of ${n} bytes has ${answer.body.length}`);
  }
  relay.reset();
  for (const n of [1, 500, 5000, 60000]) {
    assert.equal((await relay.cli("invoke", "quiet", "--data", "x".repeat(n))).code, 0);
    assert.ok(isBucket(relay.sealed().at(-1).body.length - 55), `a request of ${n} bytes has ${relay.sealed().at(-1).body.length}`);
  }
  assert.equal(new Set([10, 100].map((n) => writeRequest({ body: "x".repeat(n) }).length)).size, 2);
});

test("R44, R2: swapped keys are found before anything is sent", { timeout: 180000 }, async () => {
  const own = Buffer.from("00290100200000000000000000000000000000000000000000000000000000000000000000000400010001", "hex");
  await refused({ onAnswer: (x, answer) => { if (isPath(x, "ohttp-keys")) { answer.body = Buffer.from(own); randomBytes(32).copy(answer.body, 5); } } }, "ohttp_keys");
  assert.equal(relay.sealed().length, 0, "nothing was sealed to them");
  const other = await ask();
  await refused({ onAnswer: async (x, answer) => { if (isPath(x, "ohttp-keys") && x.headers["redoubt-instance"] !== other.pin) answer.body = other.keys; else if (isPath(x, "ohttp-keys")) answer.body = own; } }, "ohttp_keys");
  assert.equal(relay.sealed().length, 0);
});

test("R6, R39: evidence of another instance, another nonce or another purpose is named", { timeout: 180000 }, async () => {
  const instances = (await stack.rest("GET", `/v1/apps/${app}/instances`)).items.filter((i) => i.serving).map((i) => i.id);
  await refused({ onAnswer: (x, answer) => { if (isPath(x, "evidence")) { const [id] = answer.headers["redoubt-instance"].split("."); answer.headers["redoubt-instance"] = instances.find((other) => other !== id) + ".1"; } } }, "attest_statement");
  const old = await raw(`${OWN}evidence?nonce=${randomBytes(32).toString("base64url")}`);
  await refused({ onAnswer: (x, answer) => { if (isPath(x, "evidence")) answer.body = old.body; } }, "attest_nonce");
  const stored = await stack.request("GET", `/v1/instances/${instances[0]}/evidence`);
  await refused({ onAnswer: (x, answer) => { if (isPath(x, "evidence")) answer.body = Buffer.from(typeof stored.body === "string" ? stored.body : JSON.stringify(stored.body)); } }, "purpose");
  assert.equal(relay.sealed().length, 0);
});

// I2 : what a carrier could put in its place.
test("R48: the path of another nonce, a changed one and none are named", { timeout: 180000 }, async () => {
  const change = (act) => ({ onAnswer: (x, answer) => { if (isPath(x, "evidence")) { const bundle = JSON.parse(answer.body); act(bundle); answer.body = Buffer.from(JSON.stringify(bundle)); } } });
  const digest = "sha256:" + "5a".repeat(32);
  await refused(change((bundle) => bundle.nonce_path.siblings.push(digest)), "attest_nonce");
  await refused(change((bundle) => { bundle.nonce_path.siblings = Array(21).fill(digest); }), "json_range", 1);
  await refused(change((bundle) => { bundle.nonce_path.sides = 2 ** bundle.nonce_path.siblings.length; }), "json_range", 1);
  await refused(change((bundle) => { delete bundle.nonce_path; }), "json_missing_member", 1);
  // Somebody else asks in the same window, and his answer is given out as ours.
  const stranger = (x) => raw(`${OWN}evidence?nonce=${randomBytes(32).toString("base64url")}`, { headers: x?.headers["redoubt-instance"] ? { "redoubt-instance": x.headers["redoubt-instance"] } : {} });
  await refused({ onRequest: async (x) => {
    if (!isPath(x, "evidence")) return undefined;
    await stranger(x);
    const [, theirs] = await Promise.all([relay.forward(x), stranger(x)]);
    return theirs;
  } }, "attest_nonce");
  assert.equal(relay.sealed().length, 0);
});

test("R45, R46: a changed or cut answer is never success", { timeout: 180000 }, async () => {
  const onSealed = (change) => ({ onAnswer: (x, answer) => { if (isPath(x, "sealed")) change(answer); } });
  await refused(onSealed((answer) => { answer.body[answer.body.length - 1] ^= 1; }), "seal");
  await refused(onSealed((answer) => { answer.body[0] ^= 0x80; }), "seal");
  await refused(onSealed((answer) => { answer.body = answer.body.subarray(0, answer.body.length - 256); }), "seal");
  await refused(onSealed((answer) => { answer.body = Buffer.alloc(0); }), "seal");
  for (const part of [0, 0.3, 0.9]) {
    relay.reset(onSealed((answer) => { answer.cut = Math.floor(answer.body.length * part); }));
    const result = await relay.cli("invoke", "quiet", "--data", MARKER);
    assert.notEqual(result.code, 0);
    assert.doesNotMatch(result.stdout, new RegExp(ANSWER));
  }
  const { answer: recorded } = await call({ body: MARKER });
  await refused(onSealed((answer) => { answer.body = recorded.body; }), "seal");
});

test("R37: a key that is gone is one more verification, and then the end", { timeout: 180000 }, async () => {
  const gone = { status: 422, headers: { "content-type": "application/problem+json" }, body: Buffer.from('{"code":"seal","detail":"the seal does not open"}') };
  let left = 1;
  relay.reset({ onRequest: (x) => (isPath(x, "sealed") && left-- > 0 ? { ...gone } : null) });
  const result = await relay.cli("invoke", "quiet", "--data", MARKER, "--json");
  assert.equal(result.code, 0, result.stderr);
  assert.equal(relay.seen.filter((x) => isPath(x, "evidence")).length, 2, "verified anew before it sealed again");
  assert.notDeepEqual(relay.sealed()[0].body, relay.sealed()[1].body);
  await refused({ onRequest: (x) => (isPath(x, "sealed") ? { ...gone } : null) }, "seal");
  assert.equal(relay.sealed().length, 2, "twice, not for ever");
});

test("a release without plain refuses plain requests, at the relay and in the enclave", { timeout: 180000 }, async () => {
  const plain = await stack.invoke(app, "/", { body: MARKER });
  assert.equal(plain.status, 403);
  assert.equal(JSON.parse(plain.body).code, "plain_refused");
  const typed = await stack.cli("invoke", "quiet", "--data", "x", "--plain", "--json");
  assert.equal(typed.code, 4, typed.stderr);
  assert.match(typed.stdout + typed.stderr, /plain_refused/);
  assert.equal((await stack.cli("invoke", "quiet", "--unverified")).code, 2, "sealing without verification makes no sense");
  const sockets = readdirSync(join(stack.dir, "agents", "1", "run", "e")).map((tag) => join(stack.dir, "agents", "1", "run", "e", tag, "http.sock")).filter(existsSync);
  const stopper = new AbortController(), refusals = []; // blanks never answer
  await new Promise((done) => { for (const socket of sockets) raw("/", { method: "POST", socket, body: Buffer.from("x"), signal: stopper.signal }).then((answer) => { if (refusals.push(answer) === 2) done(); }, () => {}); });
  stopper.abort();
  for (const answer of refusals) assert.ok(answer.headers["redoubt-receipt"] && answer.headers["redoubt-error"] === "plain_refused");
});

test("a plain request leaves only when the owner's own documents, read first, allow it", { timeout: 180000 }, async () => {
  const other = await stack.deploy("chatty", source);
  const docsOf = async (host) => Buffer.from((await stack.invoke(host, OWN + "docs")).body);
  const older = await docsOf(other.app), quiet = await docsOf(app);
  const shows = (body) => ({ onAnswer: (x, answer) => { if (isPath(x, "docs")) answer.body = Buffer.from(body); } });
  const flipped = () => { const docs = JSON.parse(quiet); docs.release.document = Buffer.from(Buffer.from(docs.release.document, "base64url").toString().replace('"plain":false', '"plain":true')).toString("base64url"); return JSON.stringify(docs); };
  const plain = async (name, hooks, code, ...flags) => {
    relay.reset(hooks);
    const result = await relay.cli("invoke", name, "--data", MARKER, "--plain", "--json", ...flags);
    assert.equal(result.code, code === "plain_refused" ? 4 : 6, `${code}: ${result.stdout}${result.stderr}`);
    assert.match(result.stderr, new RegExp(code));
    assert.match(result.stderr, /Nothing was sent/);
    assert.ok(relay.seen.some((x) => isPath(x, "docs")));
    assert.ok(!relay.seen.some((x) => x.isApp && x.method === "POST"), "the relay saw no request");
    assert.ok(!relay.seen.some((x) => x.body.includes(MARKER)));
  };
  for (const flags of [[], ["--unverified"]]) await plain("quiet", {}, "plain_refused", ...flags);
  await plain("quiet", shows(flipped()), "signature");
  await plain("quiet", shows(older), "genesis_mismatch");
  relay.reset();
  const taken = await relay.cli("invoke", "chatty", "--data", MARKER, "--plain", "--json");
  assert.equal(taken.code, 0, taken.stderr);
  assert.equal(JSON.parse(taken.stdout).steps[0].name, "plain");
  assert.ok(relay.seen.findIndex((x) => isPath(x, "docs")) < relay.seen.findIndex((x) => x.isApp && x.method === "POST"));
  await stack.deploy("chatty", source, { plain: false });
  await until("the release that takes sealed requests alone serves", async () => (await stack.cli("verify", "chatty")).code === 0);
  await plain("chatty", shows(older), "head_rollback");
});

test("R41: whoever named one release sends nothing to the next, which the owner made of the app between two calls", { timeout: 180000 }, async () => {
  const first = (await stack.deploy("moving", source)).release, pinned = ["--release", first];
  const saved = join(stack.dir, "cli", "moving.json");
  relay.reset();
  for (const flags of [["--save", saved], ["--plain"]]) {
    const result = await relay.cli("invoke", "moving", "--data", MARKER, ...pinned, ...flags);
    assert.equal(result.code, 0, result.stderr);
  }
  for (const what of ["moving", saved]) {
    assert.equal((await stack.cli("verify", what, ...pinned)).code, 0);
    assert.equal((await stack.cli("verify", what, "--release", "sha256:" + "0".repeat(64))).code, 6);
  }
  const second = (await stack.deploy("moving", source + " // copies what callers send")).release;
  assert.notEqual(second, first);
  await until("the first release is gone", async () => (await stack.cli("verify", "moving", "--release", second)).code === 0);
  relay.reset();
  const refused = await relay.cli("invoke", "moving", "--data", MARKER, ...pinned, "--json");
  assert.equal(refused.code, 6, refused.stderr);
  assert.match(refused.stderr, /release_pinned/);
  assert.match(refused.stderr, /Nothing was sent/);
  assert.ok(!relay.seen.some((x) => isPath(x, "sealed")));
  for (const verb of [["invoke", "--plain", "--data", MARKER], ["verify"]]) {
    const answer = await relay.cli(verb[0], "moving", ...verb.slice(1), ...pinned);
    assert.equal(answer.code, 6, answer.stderr);
    assert.doesNotMatch(answer.stdout, new RegExp(ANSWER), "the answer is withheld");
  }
  assert.equal((await relay.cli("invoke", "moving", "--data", MARKER, "--release", second)).code, 0);
  const kept = await stack.cli("verify", saved, ...pinned);
  assert.equal(kept.code, 0, "what was answered under the older head was: " + kept.stderr);
  assert.equal((await stack.cli("invoke", "moving", "--release", "latest")).code, 2);
  assert.equal((await stack.cli("invoke", "moving", "--plain", "--unverified", ...pinned)).code, 2);
});

test("R40: collateral older than what was seen here is refused, though it is in date; where it came from is told", { timeout: 180000 }, async () => {
  const pki = join(stack.dir, "pki"), old = join(stack.dir, "old.json"), now = join(pki, "collateral.json"), saved = join(stack.dir, "older.json");
  const sourceOf = (steps) => steps.find((step) => step.name === "collateral source");
  const verify = async (options, ...flags) => {
    const result = await stack.cli("verify", "quiet", "--json", ...flags, options);
    return { ...result, steps: result.stdout.startsWith("[") ? JSON.parse(result.stdout).flatMap((one) => one.steps) : [] };
  };
  const hostile = (changes = {}) => {
    const path = join(stack.dir, "r40.json");
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(relay.profile)), ...changes }));
    return { env: { REDOUBT_PROFILE: path } };
  };
  copyFileSync(now, old);
  assert.equal((await stack.cli("invoke", "quiet", "--data", MARKER, "--save", saved)).code, 0);
  const asOf = new Date().toISOString();
  execFileSync(join(BIN, "redoubt-agent"), ["sim-pki", "refresh", "--dir", pki]);
  await stack.json("collateral", "import", now);
  await until("the newer set is served", async () => sourceOf((await verify({})).steps)?.detail.includes("lists 2 and 2"));
  assert.equal(sourceOf((await verify({})).steps).source, "the plane");
  assert.ok(Number.isInteger(sourceOf((await verify({})).steps).age_s));

  const brings = { onAnswer: (x, answer) => { if (!x.isApp && x.path === "/v1/collateral") answer.body = readFileSync(old); } };
  await refused(brings, "crl_rollback");
  assert.equal(relay.sealed().length, 0, "nothing was sealed");
  for (const flags of [[], ["--collateral", "plane"], ["--collateral", old], ["--collateral-age", "300"]]) {
    const result = await verify(hostile(), ...flags);
    assert.equal(result.code, 6, result.stdout);
    assert.match(result.stdout, /crl_rollback/);
    assert.match(result.stdout, flags.includes(old) ? /collateral from .*old\.json/ : /collateral from the plane/);
  }
  // From elsewhere than the plane that holds it back.
  const folder = await verify(hostile(), "--collateral", pki);
  assert.equal(folder.code, 0, folder.stdout);
  assert.equal(sourceOf(folder.steps).source, pki);
  const mirror = await Pccs.start({ answers: answersOf(JSON.parse(readFileSync(now))) });
  try {
    relay.reset(brings);
    for (const [options, ...flags] of [[hostile(), "--collateral", mirror.url], [hostile({ collateral: mirror.url })]]) {
      const result = await verify(options, ...flags);
      assert.equal(result.code, 0, result.stdout);
      assert.ok(sourceOf(result.steps).source.startsWith(mirror.url));
    }
    assert.ok(!relay.seen.some((x) => x.path === "/v1/collateral"), "the plane was not asked");
    assert.equal(new Set(mirror.seen.map((x) => x.path)).size, mirror.seen.length, "what it said serves the second time");
  } finally { mirror.close(); }
  const away = await verify(hostile({ collateral: "http://127.0.0.1:9" }));
  assert.equal(away.code, 6, "asked first, and then the plane, which brings the older");
  assert.match(away.stdout, /the plane \(http:\/\/127\.0\.0\.1:9/);
  assert.equal((await verify(hostile(), "--collateral", "http://127.0.0.1:9")).code, 6, "named alone, it is the only one");

  // What a file brought is of then, unless it is judged as of now.
  assert.match((await stack.cli("verify", saved, "--json")).stdout, /crl_rollback/);
  assert.equal((await stack.cli("verify", saved, "--collateral", pki)).code, 0);
  assert.equal((await stack.cli("verify", saved, "--at", asOf)).code, 0);
  // A machine that has seen nothing, and one whose memory was changed.
  const fresh = join(stack.dir, "fresh-state");
  assert.equal((await verify(hostile({ state_dir: fresh }))).code, 0);
  writeFileSync(join(fresh, "collateral-seen.json"), "{}");
  const changed = await stack.cli("invoke", "quiet", "--data", MARKER, "--json", hostile({ state_dir: fresh }));
  assert.equal(changed.code, 2, changed.stderr);
  assert.match(changed.stderr, /collateral-seen\.json is not what this program wrote/);
  for (const days of ["0", "366", "week"]) assert.equal((await stack.cli("verify", "quiet", "--collateral-age", days)).code, 2);
});
