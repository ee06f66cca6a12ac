// HTTP/2 inside TLS that ends in an enclave: node's client and curl, what the connection proves, streams at once, and hostile frames
// (raw ones, over node's TLS). Bounds and answers: docs/protocol/passthrough.md.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect as connectH2, constants } from "node:http2";
import { connect as connectTls } from "node:tls";
import { promisify } from "node:util";
import { StreamReader, readAnswer, seal, sealChunked, writeRequest } from "../support/ohttp.mjs";
import { Stack, freePort, until } from "../support/stack.mjs";

const source = `export default { async fetch(request) {
  const url = new URL(request.url), n = Number(url.searchParams.get("n"));
  if (url.pathname === "/big") return new Response("x".repeat(n), { headers: { "x-own": "kept" } });
  if (url.pathname === "/heads") return new Response("", { headers: Object.fromEntries(Array.from({ length: 5 }, (_, i) => ["x-" + i, "y".repeat(i < 4 ? 60000 : n)])) });
  if (url.pathname === "/broken") return new Response(new ReadableStream({ async start(c) { c.enqueue(new TextEncoder().encode("half")); await new Promise((done) => setTimeout(done, 20)); throw new Error("broken"); } }));
  if (url.pathname === "/none") return new Response(null, { status: 204 });
  if (url.pathname === "/cookie") return new Response(request.headers.get("cookie"));
  if (url.pathname === "/stream") {
    const pause = () => new Promise((done) => setTimeout(done, 20));
    const readable = new ReadableStream({ async start(c) { for (let i = 0; i < n; i++) { c.enqueue(new TextEncoder().encode("part " + i + "\\n")); await pause(); } c.close(); } });
    return new Response(readable);
  }
  const body = new Uint8Array(await request.arrayBuffer());
  return new Response(request.method + " " + url.host + url.pathname + " " + body.length + " " + body.reduce((sum, one) => (sum + one) % 65521, 0));
} };`;
const OWN = "/.well-known/redoubt/";
const settings = { open: true, limits: { request_bytes: 1048576 }, resources: { cpu_m: 500, memory_bytes: 512 << 20 } };

let stack, port, app;
before(async () => {
  port = await freePort();
  stack = await Stack.start({ hosts: 1, apiFlags: ["--passthrough-listen", `127.0.0.1:${port}`] });
  await stack.deploy("h2", source, settings);
  app = (await stack.rest("GET", "/v1/apps?name=h2")).items[0].id;
}, { timeout: 180000 });
after(() => stack?.close());

const nameOf = (id) => `${id.replace("_", "-")}.localhost`;
async function openTls(ALPNProtocols = ["h2"], id = app) {
  const socket = connectTls({ host: "127.0.0.1", port, servername: nameOf(id), rejectUnauthorized: false, ALPNProtocols });
  await once(socket, "secureConnect");
  return socket;
}
async function open(options = {}, id = app) {
  const socket = await openTls(["h2"], id);
  assert.equal(socket.alpnProtocol, "h2");
  const session = connectH2(`https://${nameOf(id)}`, { createConnection: () => socket, ...options });
  session.on("error", () => {});
  await once(session, "remoteSettings");
  return session;
}
// {status, headers, body, trailers} of one stream; rejects when it is reset.
function ask(session, path, { body, ...fields } = {}) {
  return new Promise((done, failed) => {
    const stream = session.request({ ":path": path, ...(body === undefined ? {} : { ":method": "POST" }), ...fields });
    const parts = [];
    let headers, trailers;
    stream.on("response", (h) => { headers = h; }).on("trailers", (t) => { trailers = t; }).on("data", (part) => parts.push(part));
    stream.on("error", failed).on("close", () => done({ status: headers?.[":status"], headers, trailers, parts, body: Buffer.concat(parts), code: stream.rstCode }));
    stream.end(body);
  });
}
const text = (answer) => answer.body.toString();
const alive = async (session) => assert.equal((await ask(session, "/alive")).status, 200);

test("requests go to the function inside, with receipts, many at once on one connection", { timeout: 180000 }, async () => {
  const session = await open();
  const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(session, `/at/${i}`, i % 2 ? { body: Buffer.alloc(i * 100, 1) } : {})));
  answers.forEach((answer, i) => {
    assert.equal(answer.status, 200, text(answer));
    assert.equal(text(answer), i % 2 ? `POST ${nameOf(app)}/at/${i} ${i * 100} ${i * 100}` : `GET ${nameOf(app)}/at/${i} 0 0`);
    assert.ok(answer.headers["redoubt-receipt"] && answer.headers["redoubt-salt"], "signed by the enclave");
    assert.equal(answer.headers.connection, undefined);
  });
  const sequence = answers.map((one) => JSON.parse(Buffer.from(one.headers["redoubt-receipt"], "base64url")).claims).map((claims) => (typeof claims === "string" ? JSON.parse(Buffer.from(claims, "base64url")) : claims).seq);
  assert.equal(new Set(sequence).size, 40, "each answer has a receipt of its own");
  const big = await ask(session, "/big?n=3000000");
  assert.equal(big.body.length, 3000000);
  assert.equal(big.headers["x-own"], "kept");
  assert.equal((await ask(session, "/none")).status, 204);
  assert.equal((await ask(session, "/big?n=10", { ":method": "HEAD" })).headers["content-length"], "10");
  assert.equal(text(await ask(session, "/cookie", { cookie: ["a=1", "b=2"] })), "a=1; b=2");
  session.close();
});

test("bodies come with and without their length, up to what the release allows", { timeout: 180000 }, async () => {
  const session = await open();
  const whole = Buffer.alloc(1048576, 1);
  for (const fields of [{}, { "content-length": whole.length }]) {
    const answer = await ask(session, "/body", { body: whole, ...fields });
    assert.equal(text(answer), `POST ${nameOf(app)}/body 1048576 ${1048576 % 65521}`);
  }
  for (const fields of [{}, { "content-length": whole.length + 1 }]) {
    const answer = await ask(session, "/body", { body: Buffer.concat([whole, Buffer.from("x")]), ...fields }).catch((e) => e);
    assert.equal(answer.status, 413, String(answer));
    assert.ok(answer.headers["redoubt-receipt"]);
  }
  const many = await Promise.all(Array.from({ length: 12 }, () => ask(session, "/body", { body: whole })));
  for (const answer of many) assert.equal(answer.status, 200);
  await alive(session);
  session.close();
});

test("R6 I6 evidence over HTTP/2 is bound to the nonce and this very connection", { timeout: 180000 }, async () => {
  const seen = new Set();
  for (let i = 0; i < 2; i++) {
    const session = await open(), nonce = randomBytes(32).toString("base64url");
    const answer = await ask(session, `${OWN}evidence?nonce=${nonce}`);
    assert.equal(answer.status, 200);
    const statement = JSON.parse(Buffer.from(JSON.parse(text(answer)).statement, "base64url"));
    const exporter = session.socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)).toString("base64url");
    assert.equal(statement.purpose, "channel");
    assert.equal(statement.nonce, nonce);
    assert.deepEqual(statement.channel, { type: "tls-exporter", value: exporter });
    assert.equal(statement.app, app);
    assert.equal((await ask(session, `${OWN}evidence?nonce=${nonce}&purpose=client`)).status, 422);
    assert.equal((await ask(session, `${OWN}docs`)).status, 200);
    seen.add(exporter);
    session.close();
  }
  assert.equal(seen.size, 2);
});

test("an answer that is a stream comes as it is made, its receipt behind it", { timeout: 180000 }, async () => {
  const session = await open();
  const answer = await ask(session, "/stream?n=10");
  assert.equal(answer.status, 200);
  assert.ok(answer.parts.length > 3, `${answer.parts.length} pieces`);
  assert.equal(text(answer), Array.from({ length: 10 }, (_, i) => `part ${i}\n`).join(""));
  assert.ok(answer.trailers["redoubt-receipt"], "the receipt is the trailer");
  assert.equal(answer.headers["redoubt-receipt"], undefined);
  assert.equal(answer.headers["transfer-encoding"], undefined);
  session.close();
});

test("a sealed request inside is answered under its seal, whole and in chunks", { timeout: 180000 }, async () => {
  const session = await open();
  const keys = (await ask(session, `${OWN}ohttp-keys`)).body;
  const whole = await seal(keys, writeRequest({ path: "/sealed", host: "in.example", body: "12345" }));
  const answer = await ask(session, `${OWN}sealed`, { body: whole.sealed, "content-type": "message/ohttp-req" });
  assert.equal(answer.status, 200, text(answer));
  assert.equal(answer.headers["redoubt-receipt"], undefined, "the receipt stands in the seal");
  const inner = readAnswer(await whole.open(answer.body));
  assert.equal(inner.status, 200);
  assert.equal(inner.body.toString(), "POST in.example/sealed 5 255");
  const { sealed, opener } = await sealChunked(keys, writeRequest({ path: "/stream?n=5", host: "in.example", body: "" }));
  const streamed = await ask(session, `${OWN}sealed`, { body: sealed, "content-type": "message/ohttp-chunked-req" });
  assert.equal(streamed.status, 200);
  assert.equal(streamed.trailers, undefined);
  const chunks = opener(), reader = new StreamReader();
  const content = Buffer.concat([...streamed.parts.map((part) => reader.feed(chunks.feed(part))), reader.feed(chunks.end())]);
  assert.equal(content.toString(), Array.from({ length: 5 }, (_, i) => `part ${i}\n`).join(""));
  assert.ok(reader.isWhole && reader.trailers["redoubt-receipt"]);
  assert.ok(streamed.parts.length > 2, "it left as it was made");
  assert.equal((await ask(session, `${OWN}sealed`, { body: whole.sealed, "content-type": "message/ohttp-req" })).status, 422, "once");
  session.close();
});

test("an answer that breaks off is reset, never ended", { timeout: 180000 }, async () => {
  const session = await open();
  await assert.rejects(ask(session, "/broken"), /NGHTTP2_INTERNAL_ERROR/);
  await alive(session);
  session.close();
});

test("a stream that its caller resets ends, and the others go on", { timeout: 180000 }, async () => {
  const session = await open();
  const stream = session.request({ ":path": "/stream?n=1000" });
  await once(stream, "data");
  const began = Date.now();
  stream.close(constants.NGHTTP2_CANCEL);
  await alive(session);
  assert.ok(Date.now() - began < 15000, "the function did not run on for it");
  session.close();
});

test("an instance that drains says so, and answers what it has", { timeout: 180000 }, async () => {
  const session = await open();
  let code;
  session.on("goaway", (c) => { code = c; });
  const last = ask(session, "/stream?n=20");
  await alive(session);
  await stack.deploy("h2", source + "\n// again", settings);
  assert.equal((await last).status, 200);
  await until("it is told", () => code !== undefined, 60000);
  assert.equal(code, 0);
  await until("the new release takes connections", () => open().then(async (next) => { await alive(next); next.close(); return true; }).catch(() => false), 60000);
});

test("curl and the command line agree on what they speak", { timeout: 180000 }, async () => {
  const run = promisify(execFile);
  const curl = async (...flags) => (await run("curl", ["-sk", ...flags, "--connect-to", `::127.0.0.1:${port}`, `https://${nameOf(app)}/from-curl`, "-w", " %{http_version}"])).stdout;
  assert.equal(await curl("--http2"), `GET ${nameOf(app)}/from-curl 0 0 2`);
  assert.equal(await curl("--http1.1"), `GET ${nameOf(app)}/from-curl 0 0 1.1`);
  assert.equal((await openTls(["http/1.1"])).alpnProtocol, "http/1.1");
  assert.equal((await openTls(["http/1.1", "h2"])).alpnProtocol, "h2");
  const verified = await stack.cli("verify", `https://${nameOf(app)}:${port}`, "--json");
  assert.equal(verified.code, 0, verified.stderr);
});

// --- hostile frames ---

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA = 0, HEADERS = 1, PRIORITY = 2, RST = 3, SETTINGS = 4, PING = 6, GOAWAY = 7, WINDOW = 8, CONTINUATION = 9;
const END_STREAM = 1, END_HEADERS = 4, PADDED = 8;
function frame(type, flags = 0, stream = 0, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}
const u32 = (n) => { const out = Buffer.alloc(4); out.writeUInt32BE(n); return out; };
const literal = (name, value) => Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from(value.length < 127 ? [value.length] : [127, ((value.length - 127) & 127) | 128, (value.length - 127) >> 7]), Buffer.from(value)]);
const block = (path = "/", more = [], method = "GET") => Buffer.concat([literal(":method", method), literal(":scheme", "https"), literal(":path", path), literal(":authority", nameOf(app)), ...more.map(([n, v]) => literal(n, v))]);
const get = (id, path, flags = END_STREAM) => frame(HEADERS, END_HEADERS | flags, id, block(path));

// A raw session: what comes in is kept as frames {type, flags, id, payload}.
class Raw {
  static async open(settings = Buffer.alloc(0), id = app) {
    const raw = new Raw();
    raw.socket = await openTls(["h2"], id);
    raw.frames = [];
    raw.rest = Buffer.alloc(0);
    raw.ended = new Promise((done) => raw.socket.on("close", () => { raw.isOver = true; done(); }));
    raw.socket.on("error", () => {});
    raw.socket.on("data", (data) => raw.take(data));
    raw.send(Buffer.from(PREFACE), frame(SETTINGS, 0, 0, settings));
    return raw;
  }
  take(data) {
    this.rest = Buffer.concat([this.rest, data]);
    while (this.rest.length >= 9 && this.rest.length >= 9 + this.rest.readUIntBE(0, 3)) {
      const size = this.rest.readUIntBE(0, 3);
      this.frames.push({ type: this.rest[3], flags: this.rest[4], id: this.rest.readUInt32BE(5), payload: this.rest.subarray(9, 9 + size) });
      this.rest = this.rest.subarray(9 + size);
    }
  }
  send(...parts) { if (!this.isOver) this.socket.write(Buffer.concat(parts)); }
  find(type, id) { return this.frames.find((one) => one.type === type && (id === undefined || one.id === id)); }
  // The code of the GOAWAY that ends it.
  async end() { await this.ended; const last = this.find(GOAWAY); return last ? last.payload.readUInt32BE(4) : null; }
  async wait(type, id) { return until(`frame ${type} of ${id}`, () => this.find(type, id), 10000); }
}
// Our answers have no table (RFC 7541): :status comes first, an index or a literal, behind the news that the table is empty.
function statusOf({ payload }) {
  let at = 0;
  while (payload[at] >> 5 === 1) at++;
  if (payload[at] & 128) return [200, 204, 206, 304, 400, 404, 500][(payload[at] & 127) - 8];
  const size = payload[at + 1] & 127, value = payload.subarray(at + 2, at + 2 + size);
  if (!(payload[at + 1] & 128)) return Number(value.toString());
  let bits = Array.from(value, (one) => one.toString(2).padStart(8, "0")).join(""), digits = "";
  const codes = ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"];
  while (digits.length < 3) {
    const digit = codes.findIndex((code) => bits.startsWith(code));
    digits += digit;
    bits = bits.slice(codes[digit].length);
  }
  return Number(digits);
}
const { NGHTTP2_ENHANCE_YOUR_CALM: CALM, NGHTTP2_PROTOCOL_ERROR: PROTOCOL, NGHTTP2_REFUSED_STREAM: REFUSED, NGHTTP2_FLOW_CONTROL_ERROR: FLOW } = constants;
// A flood is cut, whatever else: by a GOAWAY that asks for calm, or by the library's own bound.
async function floods(make, count = 4000, settings) {
  const raw = await Raw.open(settings);
  for (let i = 0; i < count && !raw.isOver; i += 100) {
    raw.send(...Array.from({ length: 100 }, (_, j) => make(i + j)));
    await new Promise((done) => setImmediate(done));
  }
  const code = await raw.end();
  const other = await open();
  await alive(other);
  other.close();
  return code;
}

async function fetches(make) {
  const raw = await Raw.open();
  const type = make()[3];
  for (let i = 1; i < 100 && !raw.isOver; i++) {
    raw.send(...Array.from({ length: 50 }, make));
    await until("they are acknowledged", () => raw.isOver || raw.find(GOAWAY) || raw.frames.filter((one) => one.type === type && one.flags === 1).length >= 50 * i, 10000);
  }
  return raw.end();
}

test("what costs a peer nothing is counted: resets, pings, settings, priorities, empty frames, updates, unknown frames", { timeout: 180000 }, async () => {
  assert.equal(await floods((i) => Buffer.concat([get(2 * i + 1, "/rapid"), frame(RST, 0, 2 * i + 1, u32(8))])), CALM, "CVE-2023-44487");
  assert.equal(await floods(() => frame(PING, 1, 0, Buffer.alloc(8))), CALM);
  assert.equal(await floods((i) => frame(PRIORITY, 0, 2 * i + 1, Buffer.concat([u32(0), Buffer.from([1])]))), CALM);
  assert.equal(await floods((i) => (i === 0 ? get(1, "/slow", 0) : frame(DATA, 0, 1))), CALM, "CVE-2019-9518");
  const padded = await floods((i) => (i === 0 ? get(1, "/slow", 0) : frame(DATA, PADDED, 1, Buffer.alloc(100, 99).fill(0, 1))));
  assert.ok(padded === CALM || padded === FLOW, `${padded}: who counts no window may pass it first`);
  const over = await floods((i) => (i === 0 ? Buffer.concat([get(1, "/slow", 0), frame(RST, 0, 1, u32(8))]) : frame(DATA, 0, 1, Buffer.alloc(1000))));
  assert.ok(over === CALM || over === FLOW, `${over}: the body of a stream that is over`);
  assert.equal(await floods(() => frame(WINDOW, 0, 0, u32(1))), CALM);
  assert.equal(await floods(() => frame(77, 0, 0, Buffer.alloc(10))), CALM);
  // A hundred acknowledgements at once are more than are kept; who fetches them is counted as for all else.
  for (const [name, make] of [["pings", () => frame(PING, 0, 0, Buffer.alloc(8))], ["settings", () => frame(SETTINGS)]]) {
    assert.equal(await floods(make), null, name);
    assert.equal(await fetches(make), CALM, name);
  }
});

test("CVE-2024-28182 a head without end is cut, and one that is too large is answered", { timeout: 180000 }, async () => {
  const endless = await Raw.open();
  endless.send(frame(HEADERS, END_STREAM, 1, block()));
  for (let i = 0; i < 40 && !endless.isOver; i++) endless.send(frame(CONTINUATION, 0, 1, literal("x-more", "y".repeat(100))));
  assert.equal(await endless.end(), null, "the library cuts it");
  assert.equal(endless.find(HEADERS), undefined);
  const session = await open();
  const large = await ask(session, "/", { "x-large": "x".repeat(45000) });
  assert.equal(large.status, 431);
  const many = await ask(session, "/", Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`x-${i}`, "y"])));
  assert.equal(many.status, 431);
  const long = await ask(session, "/" + "p".repeat(20000));
  assert.equal(long.status, 414, text(long));
  await alive(session);
  session.close();
});

test("an HPACK bomb is refused without being unpacked", { timeout: 180000 }, async () => {
  const raw = await Raw.open();
  // One entry of 4000 bytes in the table, then sixteen thousand references to it.
  const entry = Buffer.concat([Buffer.from([0x40, 1]), Buffer.from("b"), Buffer.from([127, ((3900 - 127) & 127) | 128, (3900 - 127) >> 7]), Buffer.alloc(3900, 98)]);
  raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([block(), entry])));
  await raw.wait(HEADERS, 1);
  for (let i = 0; i < 8; i++) raw.send(frame(HEADERS, END_HEADERS | END_STREAM, 3 + 2 * i, Buffer.concat([block(), Buffer.alloc(16000, 0x80 | 62)])));
  for (let i = 0; i < 8; i++) assert.equal(statusOf(await raw.wait(HEADERS, 3 + 2 * i)), 431);
  raw.send(get(19, "/alive"));
  await raw.wait(DATA, 19);
  raw.socket.destroy();
});

test("a head that leaves no room for the salt is refused, not cut off", { timeout: 180000 }, async () => {
  const raw = await Raw.open(Buffer.from([0, 5, 0, 255, 255, 255]));
  const told = new Set();
  for (let i = 0; i < 14; i++) {
    raw.send(get(2 * i + 1, `/heads?n=${(256 << 10) - 240000 - 24 * i}`));
    told.add(statusOf(await raw.wait(HEADERS, 2 * i + 1)));
  }
  assert.deepEqual([...told], [502, 200]);
  raw.socket.destroy();
});

test("a body that comes whole and without its length is held to a small bound too", { timeout: 180000 }, async () => {
  await stack.deploy("h2small", source, { ...settings, limits: { request_bytes: 1024 } });
  const small = (await stack.rest("GET", "/v1/apps?name=h2small")).items[0].id;
  await until("it is there", () => open({}, small).then((session) => session.close() ?? true).catch(() => false), 30000);
  const raw = await Raw.open(Buffer.alloc(0), small);
  for (const [id, size, status] of [[1, 1024, 200], [3, 1025, 413], [5, 12000, 413]]) {
    raw.send(frame(HEADERS, END_HEADERS, id, block("/body", [], "POST")), frame(DATA, END_STREAM, id, Buffer.alloc(size, 1)));
    assert.equal(statusOf(await raw.wait(HEADERS, id)), status, `${size}`);
  }
  raw.socket.destroy();
});

test("streams past what may be at once are refused, and can be asked again", { timeout: 180000 }, async () => {
  const raw = await Raw.open();
  for (let i = 0; i < 30; i++) raw.send(get(2 * i + 1, "/open", 0));
  await until("others are refused", () => raw.frames.filter((one) => one.type === RST && one.payload.readUInt32BE(0) === REFUSED).length === 14 || raw.isOver, 10000);
  assert.ok(!raw.isOver);
  for (let i = 0; i < 16; i++) raw.send(frame(DATA, END_STREAM, 2 * i + 1, Buffer.from("x")));
  for (let i = 0; i < 16; i++) await raw.wait(DATA, 2 * i + 1);
  raw.send(get(99, "/again"));
  await raw.wait(DATA, 99);
  raw.socket.destroy();
});

test("a caller who opens no window gets nothing and holds nobody up", { timeout: 180000 }, async () => {
  const raw = await Raw.open(Buffer.from([0, 4, 0, 0, 0, 0]));
  for (let i = 0; i < 8; i++) raw.send(get(2 * i + 1, "/big?n=100000"));
  await raw.wait(HEADERS, 15);
  assert.equal(raw.find(DATA), undefined);
  const session = await open();
  await alive(session);
  session.close();
  await until("its streams are cut", () => raw.find(RST, 1), 60000);
  raw.socket.destroy();
});

test("what is no HTTP/2, or another's request, is refused", { timeout: 180000 }, async () => {
  const bad = async (...parts) => { const raw = await Raw.open(); raw.send(...parts); return raw; };
  assert.equal(await (await bad(frame(DATA, 0, 1, Buffer.from("x")))).end(), PROTOCOL, "a body without a head");
  assert.equal(await (await bad(get(2, "/"))).end(), PROTOCOL, "a stream of the server's");
  assert.equal(await (await bad(frame(5, 4, 1, Buffer.concat([u32(2), block()])))).end(), PROTOCOL, "a promise");
  const nothing = await openTls();
  nothing.on("error", () => {});
  nothing.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n" + "x".repeat(100));
  await once(nothing, "close");
  const rows = [
    ["a method that is none", [], "GE T", "reset"], ["two hosts", [["host", "other.example"]], "GET", 400], ["the host once more", [["host", nameOf(app)]], "GET", 200],
    ["expect", [["expect", "100-continue"]], "GET", 417], ["two lines in a value", [["x-split", "a\r\nb: c"]], "GET", 400],
    ...[["connection", "close"], ["transfer-encoding", "chunked"], ["te", "gzip"], ["Upper", "x"], ["content-length", "5"], [":path", "/x"], [":none", "x"]].map((one) => [one.join(), [one], "GET", "reset"]),
  ];
  for (const path of ["/a b", "", "*", "x"]) rows.push([`path ${path}`, [], "GET", "reset", path]);
  rows.push(["a fragment", [], "GET", 400, "/a#b"]);
  for (const [name, more, method, status, path = "/"] of rows) {
    const raw = await bad(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(path, more, method)));
    const answer = await until(name, () => raw.find(HEADERS, 1) || raw.find(RST, 1), 10000);
    assert.equal(answer.type === RST ? "reset" : statusOf(answer), status, name);
    raw.socket.destroy();
  }
});
