// Sealed answers that leave while they are made (draft-ietf-ohai-chunked-ohttp-08): each piece opens before the next exists, the receipt
// stands in the final chunk, and whatever a relay does to the chunks is found and named. A second client over another HPKE takes part, so that
// both ends are held to the draft. The function waits at gates that the test opens. Tests carry the ids of the attacks that they show.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";
import { HostileRelay } from "../support/hostile_relay.mjs";
import { StreamReader, isBucket, seal, sealChunked, splitChunks, writeRequest, writeStreamRequest } from "../support/ohttp.mjs";

const sourceOf = (port) => `
const encode = (text) => new TextEncoder().encode(text);
const gate = (name) => fetch("http://localhost:${port}/" + name).then((response) => response.text());
const streams = {
  turns: () => new ReadableStream({ async start(c) { for (const name of ["one", "two", "three"]) { c.enqueue(encode(name + ";")); await gate(name); } c.close(); } }),
  large: (n) => new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(Math.min(n, 50000)).fill(97 + n % 26)); if ((n -= 50000) <= 0) c.close(); } }),
  many: (n) => new ReadableStream({ async start(c) { for (let i = 0; i < n; i++) { c.enqueue(encode("piece " + i + ";")); await 0; } c.close(); } }),
  throws: () => new ReadableStream({ async start(c) { c.enqueue(encode("half")); await gate("throw"); throw new Error("broken"); } }),
  stuck: () => new ReadableStream({ start(c) { c.enqueue(encode("half")); } }),
  left: () => new ReadableStream({ async start(c) { c.enqueue(encode("half")); await gate("reading"); }, cancel: () => gate("left") }),
  held: () => new ReadableStream({ async start(c) { c.enqueue(encode("half")); await gate("never"); } }),
};
export default { async fetch(request) {
  const url = new URL(request.url), name = url.pathname.slice(1), n = Number(url.searchParams.get("n"));
  if (name === "fails") throw new Error("broken");
  if (name === "whole") return new Response("w".repeat(n), { headers: { "content-type": "text/plain" } });
  if (name === "back") return new Response(request.body, { headers: { "x-asked": String(request.headers.get("redoubt-padding")) } });
  return new Response(streams[name](n), { status: 203, headers: { "content-type": "text/plain", "x-name": name } });
} };`;
const LIMIT = 2 << 20, OWN = "/.well-known/redoubt/", SEALED = OWN + "sealed", REQ = "message/ohttp-chunked-req", RES = "message/ohttp-chunked-res";
const PADDING = { "redoubt-padding": "1" };

let stack, app, gates, relay;
const waiting = new Map(); // name of a gate: its response
before(async () => {
  gates = createServer((request, response) => { waiting.set(request.url.slice(1), response); gates.emit("at", request.url.slice(1)); }).listen(0, "127.0.0.1");
  await once(gates, "listening");
  stack = await Stack.start({ hosts: 1, agentFlags: ["--egress-allow", "127.0.0.0/8,::1/128"] });
  await stack.addApi(2);
  const made = await stack.deploy("murmur", sourceOf(gates.address().port), { plain: false, limits: { response_bytes: LIMIT, request_bytes: 100000, time_ms: 20000 }, resources: { cpu_m: 1000 },
    egress: [{ host: `http://localhost:${gates.address().port}`, private: true }] });
  app = typeof made.app === "string" ? made.app : made.app.id;
  relay = await HostileRelay.start(stack);
}, { timeout: 180000 });
after(async () => { gates?.closeAllConnections(); gates?.close(); await relay?.close(); await stack?.close(); });

async function open(name) {
  while (!waiting.has(name)) await once(gates, "at");
  const response = waiting.get(name);
  waiting.delete(name);
  response.end("open");
}

// Where a sealed request goes: the app's origin at either replica, or the API's route.
const places = () => ({
  origin: { port: stack.ports.apps, path: SEALED },
  "another replica": { port: stack.extraPorts[2].apps, path: SEALED },
  api: { port: stack.ports.api, path: `/v1/apps/${app}/sealed` },
});
// The head of an answer, as it comes.
function send({ port = stack.ports.apps, path, method = "GET", headers = {}, body }) {
  return new Promise((done, failed) => {
    const outgoing = httpRequest({ host: "127.0.0.1", port, path, method, agent: false, headers: { host: port === stack.ports.api ? `127.0.0.1:${port}` : `${app.replace("_", "-")}.localhost`, authorization: "Bearer " + stack.token, ...(body ? { "content-length": body.length } : {}), ...headers } }, done);
    outgoing.on("error", failed);
    outgoing.end(body);
  });
}
async function bytesOf(response) {
  const parts = [];
  for await (const part of response) parts.push(part);
  return Buffer.concat(parts);
}
async function ask() {
  const evidence = await send({ path: `${OWN}evidence?nonce=${randomBytes(32).toString("base64url")}` });
  const pin = evidence.headers["redoubt-instance"].split(".")[0];
  await bytesOf(evidence);
  return { pin, keys: await bytesOf(await send({ path: OWN + "ohttp-keys", headers: { "redoubt-instance": pin } })) };
}
const post = (pin, body, { place = places().origin, type = REQ } = {}) => send({ ...place, method: "POST", body, headers: { "content-type": type, "redoubt-instance": pin } });

// A sealed call: {response, next(): the content that comes next, or null at a good end; reader, opener}.
async function call(spec, { place, message = writeRequest(spec), sizes } = {}) {
  const { pin, keys } = await ask(), { sealed, opener } = await sealChunked(keys, message, sizes), response = await post(pin, sealed, { place });
  const chunks = opener(), reader = new StreamReader(), parts = response[Symbol.asyncIterator]();
  let ended = false;
  const next = async () => {
    while (!ended) {
      const { value, done } = await parts.next();
      ended = !!done;
      const content = reader.feed(done ? chunks.end() : chunks.feed(value));
      if (content.length > 0) return content;
    }
    assert.ok(reader.isWhole, "the message inside is whole");
    return null;
  };
  const rest = async () => { const all = []; for (let part; (part = await next()); ) all.push(part); return Buffer.concat(all); };
  return { pin, sealed, response, reader, opener: chunks, next, rest };
}
const claimsOf = (reader) => JSON.parse(Buffer.from(reader.trailers["redoubt-receipt"], "base64url")).claims;

test("each piece opens before the next exists, and the receipt stands in the final chunk", { timeout: 180000 }, async () => {
  for (const [name, place] of Object.entries(places())) {
    const call_ = await until(`${name} reaches the instance`, async () => {
      const made = await call({ path: "/turns", headers: name === "api" ? {} : PADDING }, { place });
      if (made.response.statusCode !== 200) throw new Error(`status ${made.response.statusCode}`);
      return made;
    }, 30000);
    const { response, reader, next } = call_;
    assert.equal(response.headers["content-type"], RES);
    assert.equal(response.headers.incremental, "?1");
    assert.equal(response.headers["transfer-encoding"], "chunked");
    assert.equal(response.headers.trailer, undefined);
    assert.match(response.headers["redoubt-instance"], /^ins_/);
    for (const turn of ["one", "two", "three"]) {
      assert.equal(String(await next()), turn + ";", name);
      assert.equal(reader.trailers, undefined);
      await open(turn);
    }
    assert.equal(await next(), null);
    assert.equal(response.complete, true);
    assert.equal(response.trailers["redoubt-receipt"], undefined, "it is inside");
    assert.equal(reader.head.status, 203);
    assert.equal(reader.head.headers["x-name"], "turns");
    assert.equal(reader.head.headers["redoubt-padding"], name === "api" ? undefined : "1");
    assert.equal(Buffer.from(reader.head.headers["redoubt-salt"], "base64url").length, 32);
    assert.equal(claimsOf(reader).status, 203);
  }
});

test("requests of one chunk and of many, of either length, are the same request", { timeout: 180000 }, async () => {
  const body = "there and back ".repeat(2000), spec = { path: "/back", body, headers: PADDING };
  const pieces = [body.slice(0, 1), body.slice(1, 20000), body.slice(20000)];
  for (const options of [{}, { sizes: [1, 12, 16384] }, { message: writeStreamRequest({ ...spec, pieces }), sizes: [3, 40, 9000] }, { message: writeStreamRequest({ ...spec, pieces }) }]) {
    const { rest, reader } = await call(spec, options);
    assert.equal(String(await rest()), body);
    assert.equal(reader.head.headers["x-asked"], "null", "the function does not see it");
    assert.ok(reader.trailers["redoubt-receipt"]);
  }
  const { rest, reader } = await call({ ...spec, body: "x".repeat(100001) });
  assert.equal(JSON.parse(await rest()).code, "request_too_large", "answered inside the seal");
  assert.equal(reader.head.status, 413);
});

test("R65: padded pieces fill buckets, whatever the function makes; others show their size", { timeout: 180000 }, async () => {
  for (const path of ["/many?n=40", "/large?n=300000", "/whole?n=3", "/whole?n=20000", "/fails"]) {
    const padded = await call({ path, headers: PADDING });
    const body = await padded.rest();
    assert.ok(padded.opener.sizes.every((size) => isBucket(size) && size <= 16384), `${path}: ${padded.opener.sizes}`);
    const plain = await call({ path });
    const want = await plain.rest();
    assert.equal(body.length, want.length, path);
    assert.ok(path === "/fails" || body.equals(want), path);
    assert.equal(padded.reader.head.status, path === "/fails" ? 500 : path.startsWith("/whole") ? 200 : 203);
    assert.ok(padded.reader.trailers["redoubt-receipt"]);
  }
});

test("a small answer that is no stream is one final chunk", { timeout: 180000 }, async () => {
  const { rest, opener } = await call({ path: "/whole?n=3", headers: PADDING });
  assert.equal(String(await rest()), "www");
  assert.equal(opener.sizes.length, 1);
  const head = await call({ path: "/large?n=100000", method: "HEAD", headers: PADDING });
  assert.equal((await head.rest()).length, 0);
  assert.ok(head.reader.trailers["redoubt-receipt"]);
});

test("a caller who reads slowly gets it all, at every place", { timeout: 180000 }, async () => {
  const want = createHash("sha256");
  for (let n = 1900000; n > 0; n -= 50000) want.update(Buffer.alloc(Math.min(n, 50000), 97 + n % 26));
  const digest = want.digest("hex");
  for (const place of Object.values(places())) {
    const { next, reader } = await call({ path: "/large?n=1900000", headers: PADDING }, { place }), got = createHash("sha256");
    for (let part; (part = await next()); await new Promise((done) => setImmediate(done))) got.update(part);
    assert.equal(got.digest("hex"), digest);
    assert.equal(claimsOf(reader).status, 203);
  }
});

test("R29: a recorded request runs at most once, and not as another form either", { timeout: 180000 }, async () => {
  const { pin, sealed, rest, reader } = await call({ path: "/whole?n=1" });
  await rest();
  for (const place of Object.values(places()))
    for (const type of [REQ, "message/ohttp-req"]) {
      const again = await post(pin, sealed, { place, type });
      assert.equal(again.statusCode, 422);
      assert.equal(JSON.parse(await bytesOf(again)).code, "seal");
    }
  const after = await call({ path: "/whole?n=1" });
  await after.rest();
  assert.equal(claimsOf(after.reader).seq, claimsOf(reader).seq + 1, "no run between the two");
});

test("R46: whatever is wrong outside looks the same; what is wrong inside is answered inside", { timeout: 180000 }, async () => {
  const { pin, keys } = await ask(), message = writeRequest({ path: "/whole?n=1", body: "spoil me" });
  const good = (await sealChunked(keys, message, [10, 20])).sealed, other = Buffer.from(keys);
  randomBytes(32).copy(other, 5);
  const parts = splitChunks(Buffer.concat([Buffer.alloc(16), good.subarray(39)])).slice(1), head = good.subarray(0, 39);
  const flip = (at) => { const bytes = Buffer.from(good); bytes[at] ^= 1; return bytes; };
  const spoiled = [...[0, 6, 7, 38, 39, 45, good.length - 1].map(flip), head, good.subarray(0, 50), good.subarray(0, good.length - 1), Buffer.concat([head, parts[1], parts[0], parts[2]]), Buffer.concat([head, parts[0], parts[2]]),
    Buffer.concat([head, parts[0], parts[1]]), Buffer.concat([head, parts[0], parts[0], parts[1], parts[2]]), (await sealChunked(other, message)).sealed, (await seal(keys, message)).sealed];
  const answers = [];
  for (const bytes of spoiled) answers.push(await post(pin, bytes).then(async (answer) => [answer.statusCode, String(await bytesOf(answer))]));
  for (const answer of answers) assert.deepEqual(answer, [422, answers[0][1]]);
  assert.equal((await post(pin, good, { type: "message/ohttp" })).statusCode, 415);
  const inside = async (bytes) => { const made = await call(null, { message: bytes }); await made.rest(); return made.reader.head; };
  assert.equal((await inside(Buffer.from("no binary http"))).status, 400);
  assert.equal((await inside(Buffer.concat([writeRequest({ path: "/whole" }), Buffer.from([1])]))).headers["redoubt-error"], "trailing_bytes");
  const cut = writeStreamRequest({ path: "/back", pieces: ["abc"] });
  assert.equal((await inside(cut.subarray(0, cut.length - 4))).status, 400);
});

test("R45: a stream that fails, stalls or grows past its bound has no final chunk", { timeout: 180000 }, async () => {
  const failing = await call({ path: "/throws", headers: PADDING });
  assert.equal(String(await failing.next()), "half");
  await open("throw");
  await assert.rejects(failing.rest(), /aborted|ECONNRESET|terminated/);
  for (const [path, place] of [["/stuck", places().origin], ["/stuck", places().api], [`/large?n=${LIMIT + 50000}`, places().origin]]) {
    const made = await call({ path, headers: PADDING }, { place });
    await assert.rejects(made.rest(), /aborted|ECONNRESET|terminated/);
    assert.equal(made.response.complete, false);
    assert.ok(!made.opener.isFinal);
  }
});

test("a caller who leaves ends the stream, and the function is told, at every place", { timeout: 180000 }, async () => {
  for (const place of Object.values(places())) {
    const { next, response } = await call({ path: "/left", headers: PADDING }, { place });
    assert.equal(String(await next()), "half");
    while (!waiting.has("reading")) await once(gates, "at");
    response.destroy();
    await open("left");
    waiting.delete("reading");
    assert.equal(String(await (await call({ path: "/whole?n=2" }, { place })).rest()), "ww");
  }
});

// The command line while it runs: {stdout, errors(), ended}.
function invoke(path, ...flags) {
  const child = spawn(join(BIN, "redoubt"), ["invoke", "murmur", "--path", path, "--stream", ...flags], { stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, REDOUBT_PROFILE: stack.profile, HOME: stack.dir, XDG_CONFIG_HOME: "", XDG_STATE_HOME: "" } });
  let errors = "";
  child.stderr.on("data", (part) => { errors += part; });
  return { stdout: child.stdout, errors: () => errors, ended: once(child, "close").then(([code]) => code) };
}
const piece = async (stream) => String((await once(stream, "data"))[0]);

test("the command line shows a sealed stream as it comes, and its receipt's word at the end", { timeout: 180000 }, async () => {
  const release = (await stack.json("invoke", "murmur", "--path", "/whole?n=1")).steps.find((step) => /sha256:[0-9a-f]{64}/.test(JSON.stringify(step)));
  const digest = release && JSON.stringify(release).match(/sha256:[0-9a-f]{64}/)[0];
  const running = invoke("/turns");
  for (const turn of ["one", "two", "three"]) {
    assert.equal(await piece(running.stdout), turn + ";");
    assert.doesNotMatch(running.errors(), /receipt/);
    await open(turn);
  }
  assert.equal(await running.ended, 0);
  assert.match(running.errors(), /sealed to the enclave of/);
  assert.match(running.errors(), /receipt +verified/);
  const shown = await stack.json("invoke", "murmur", "--path", "/many?n=30", "--stream");
  assert.equal(shown.sealed && shown.verified, true);
  assert.equal(shown.body, Array.from({ length: 30 }, (_, i) => `piece ${i};`).join(""));
  for (const name of ["owner", "keys", "seal", "signature", "request", "response"]) assert.ok(shown.steps.some((step) => step.name === name && step.ok), name);
  if (digest) assert.equal((await stack.cli("invoke", "murmur", "--path", "/many?n=3", "--stream", "--release", digest)).code, 0);
  const whole = await stack.cli("invoke", "murmur", "--path", "/whole?n=5", "--stream");
  assert.equal(whole.stdout.trim(), "wwwww");
});

test("a saved sealed stream verifies without the plane", { timeout: 180000 }, async () => {
  const file = join(stack.dir, "stream.json");
  assert.equal((await stack.cli("invoke", "murmur", "--path", "/large?n=200000", "--stream", "--save", file)).code, 0);
  assert.equal((await stack.cli("verify", file, { env: { REDOUBT_API: "http://127.0.0.1:1" } })).code, 0);
});

test("the command line names a sealed stream that is cut, and calls what it printed partial", { timeout: 180000 }, async () => {
  const running = invoke("/throws");
  assert.equal(await piece(running.stdout), "half");
  await open("throw");
  assert.equal(await running.ended, 1);
  assert.match(running.errors(), /PARTIAL/);
  assert.doesNotMatch(running.errors(), /receipt +verified/);
  const cut = await stack.cli("invoke", "murmur", "--path", "/stuck", "--stream", "--json");
  assert.equal(cut.code, 1);
  assert.match(cut.stdout + cut.stderr, /"code": ?"truncated"/);
});

// What the command line said of a relay that changed the chunks: exit code and reason. change(parts, x) returns bytes, or an answer's members.
async function spoil(change, code, exit) {
  let hits = 0;
  relay.reset({ onAnswer: async (x, answer) => {
    if (!x.isApp || x.path !== SEALED) return;
    hits++;
    const made = await change(splitChunks(answer.body), answer);
    Object.assign(answer, Buffer.isBuffer(made) ? { body: made } : made);
    delete answer.headers["transfer-encoding"];
  } });
  const result = await relay.cli("invoke", "murmur", "--path", "/large?n=60000", "--stream", "--json");
  assert.equal(hits, 1, `it is sent once: ${relay.seen.map((x) => `${x.path} ${x.answer?.status}`)}; ${result.stdout}${result.stderr}`);
  assert.ok(exit ? result.code === exit : result.code > 0, `${result.code}: ${result.stdout}${result.stderr}`);
  assert.match(result.stdout + result.stderr, new RegExp(`"code": ?"${code}"`));
  assert.doesNotMatch(result.stdout, /aaaa|"verified": ?true/, "no answer is shown");
}

test("R45: a hostile relay cuts, moves, drops, doubles, splices and forges chunks; each is found and named", { timeout: 180000 }, async () => {
  const join_ = (parts) => Buffer.concat(parts);
  let first; // an earlier answer's chunks
  relay.reset({ onAnswer: (x, answer) => { if (x.isApp && x.path === SEALED) { first = splitChunks(answer.body); delete answer.headers["transfer-encoding"]; } } });
  assert.equal((await relay.cli("invoke", "murmur", "--path", "/large?n=60000", "--stream")).code, 0, "an honest relay that gathers");
  assert.ok(first.length >= 5);
  for (let count = 0; count < first.length; count++) await spoil((parts) => join_(parts.slice(0, count)), "truncated", 1); // at each chunk's end
  await spoil((parts) => join_(parts).subarray(0, 5000), "truncated", 1); // within a chunk
  await spoil((parts) => join_(parts).subarray(0, join_(parts).length - 7), "seal", 6); // within the final one
  await spoil((parts) => ({ cut: join_(parts).length - 300 }), "truncated", 1); // the connection breaks
  await spoil(([nonce, a, b, ...rest]) => join_([nonce, b, a, ...rest]), "seal", 6);
  await spoil(([nonce, a, , ...rest]) => join_([nonce, a, ...rest]), "seal", 6);
  await spoil(([nonce, a, ...rest]) => join_([nonce, a, a, ...rest]), "seal", 6);
  await spoil((parts) => join_([...parts, parts.at(-1)]), "seal", 6);
  await spoil((parts) => join_([...parts.slice(0, -1), first.at(-1)]), "seal", 6); // another answer's end
  await spoil((parts) => join_([parts[0], first[1], ...parts.slice(2)]), "seal", 6);
  await spoil(() => join_(first), "seal", 6); // all of another answer
  await spoil(([nonce, a, b]) => join_([nonce, a, Buffer.from([0]), b.subarray(4)]), "seal", 6); // an early end
  await spoil((parts) => { const bytes = join_(parts); bytes[bytes.length - 1] ^= 1; return bytes; }, "seal", 6);
  await spoil((parts) => { const bytes = join_(parts); bytes[3] ^= 1; return bytes; }, "seal", 6);
  await spoil((_, answer) => ({ status: 200, headers: { ...answer.headers, "content-type": "text/plain" }, body: Buffer.from("aaaa") }), "unavailable", 8);
  await spoil((_, answer) => ({ status: 200, headers: { ...answer.headers, "content-type": "message/ohttp-res" } }), "unavailable", 8);
  const problem = (status, code) => (_, answer) => ({ status, headers: { ...answer.headers, "content-type": "application/problem+json" }, body: Buffer.from(JSON.stringify({ code, detail: "says the relay" })) });
  await spoil(problem(500, "function_error"), "function_error");
  await spoil(problem(415, "content_type"), "content_type");
  const spaced = problem(415, "content_type"); // whose bytes read as a chunk: they are none, by their type
  await spoil((parts, answer) => { const made = spaced(parts, answer); return { ...made, body: Buffer.concat([Buffer.alloc(100, " "), made.body]) }; }, "content_type");
});

test("R45: what was printed before a spoiled chunk is the enclave's, and called partial", { timeout: 180000 }, async () => {
  relay.reset({ onAnswer: (x, answer) => { if (x.isApp && x.path === SEALED) { const parts = splitChunks(answer.body); parts[3][9] ^= 1; answer.body = Buffer.concat(parts); delete answer.headers["transfer-encoding"]; } } });
  const result = await relay.cli("invoke", "murmur", "--path", "/large?n=60000", "--stream");
  assert.equal(result.code, 6);
  assert.match(result.stderr, /PARTIAL/);
  assert.ok(result.stdout.length > 10000 && result.stdout.length < 60000 && /^([a-z])\1*\n?$/.test(result.stdout.slice(0, 10000)));
});

test("the relay reads neither way, and sees buckets", { timeout: 180000 }, async () => {
  relay.reset({ onAnswer: (x, answer) => { if (x.isApp && x.path === SEALED) delete answer.headers["transfer-encoding"]; } });
  const result = await relay.cli("invoke", "murmur", "--path", "/many?n=9", "--stream", "--data", "the-caller-said-4f1c", "--json");
  assert.equal(result.code, 0, result.stderr);
  const all = Buffer.concat(relay.seen.flatMap((x) => [Buffer.from(x.path + JSON.stringify(x.headers)), x.body, Buffer.from(JSON.stringify(x.answer.headers)), x.answer.body]));
  for (const text of ["the-caller-said-4f1c", "piece 3", JSON.parse(result.stdout).receipt, "redoubt-salt", "/many"]) assert.ok(!all.includes(text), `the relay saw ${text}`);
  const sealed = relay.sealed().at(-1);
  for (const chunk of splitChunks(sealed.answer.body).slice(1, -1)) assert.ok(isBucket(chunk.length - 16 - (1 << (chunk[0] >> 6))));
  assert.ok(isBucket(sealed.body.length - 39 - 17), "one final chunk");
});

test("R45: an agent or a replica that dies in the middle leaves no final chunk", { timeout: 180000 }, async () => {
  for (const end of [() => stack.agent().kill(), () => stack.processes.get("api").kill()]) {
    const held = await until("the instance answers", async () => {
      const made = await call({ path: "/held", headers: PADDING }, { place: places().api });
      if (made.response.statusCode !== 200) throw new Error(`status ${made.response.statusCode}`);
      return made;
    }, 40000);
    assert.equal(String(await held.next()), "half");
    await end();
    await assert.rejects(held.rest(), /aborted|ECONNRESET|terminated/);
    assert.ok(!held.opener.isFinal);
    if (end.toString().includes("agent")) stack.startAgent(1);
  }
});
