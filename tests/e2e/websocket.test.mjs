// WebSockets over TLS that ends inside an enclave: events, state, order, receipts that are computed again here, evidence of the very
// connection, bounds, and hostile frames (raw ones). Formats and bounds: docs/protocol/websocket.md.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, createHmac, createPublicKey, hkdfSync, randomBytes, verify } from "node:crypto";
import { once } from "node:events";
import { connect as connectH2 } from "node:http2";
import { connect as connectTls } from "node:tls";
import WebSocket from "ws";
import { H, canonical, frame } from "../integration/api_fixture.mjs";
import { Stack, freePort, until } from "../support/stack.mjs";

const source = `let count = 0;
export default {
  fetch: () => new Response("http"),
  websocket: {
    open(socket, request, env) {
      const url = new URL(request.url);
      if (url.pathname === "/throws") throw new Error("no");
      if (url.pathname === "/closed") { socket.close(4003, "not you"); return; }
      if (socket.protocols.includes("chat")) socket.protocol = "chat";
      socket.state = { n: 0, origin: request.headers.get("origin") };
      if (url.pathname === "/greets") socket.send("hello " + socket.id.length);
    },
    async message(socket, data, env, ctx) {
      socket.state.n++;
      count++;
      if (typeof data !== "string") { socket.send(new Uint8Array(data).reverse()); return; }
      if (data === "who") socket.send(JSON.stringify({ ...socket.state, count, url: socket.url, protocol: socket.protocol }));
      else if (data === "two") { socket.send("one"); socket.send(new Uint8Array([2, 2]).buffer); }
      else if (data === "close") { socket.send("last"); socket.close(4001, "bye"); }
      else if (data === "throw") { socket.send("never seen"); throw new Error("thrown"); }
      else if (data === "huge state") socket.state = "x".repeat(16384);
      else if (data === "full state") socket.state = { n: 0, text: "x".repeat(16000) };
      else if (data === "forever") for (;;);
      else if (data === "never") await new Promise(() => setInterval(() => {}, 50));
      else if (data === "large") socket.send("y".repeat(900000));
      else if (data === "slow") { await new Promise((done) => setTimeout(done, 300)); socket.send("slept"); }
      else if (data === "later") ctx.waitUntil((async () => { await new Promise((done) => setTimeout(done, 10)); try { socket.send("late"); } catch (e) { console.log("late " + e.name); } })());
      else if (data === "send nothing") return;
      else socket.send(data);
    },
    close(socket, code, reason) { console.log(["ended", code, reason, new URL(socket.url).pathname, socket.state?.n].join(" ")); },
  },
};`;
const OWN = "/.well-known/redoubt/", RECEIPTS = "redoubt.receipts.v1";
const settings = { open: true, limits: { request_bytes: 262144, response_bytes: 1048576, time_ms: 1500 } };

let stack, port, app, bare, sealedOnly;
before(async () => {
  port = await freePort();
  stack = await Stack.start({ hosts: 1, apiFlags: ["--passthrough-listen", `127.0.0.1:${port}`] });
  const deploy = async (name, code, manifest) => {
    await stack.deploy(name, code, manifest);
    return (await stack.rest("GET", `/v1/apps?name=${name}`)).items[0].id;
  };
  app = await deploy("sockets", source, settings);
  bare = await deploy("bare", "export default { fetch: () => new Response('http') };", { open: true });
  sealedOnly = await deploy("sealed-only", source, { ...settings, plain: false });
}, { timeout: 180000 });
after(() => stack?.close());

const nameOf = (id) => `${id.replace("_", "-")}.localhost`;
async function openTls(id = app, ALPNProtocols = ["http/1.1"]) {
  const socket = connectTls({ host: "127.0.0.1", port, servername: nameOf(id), rejectUnauthorized: false, ALPNProtocols });
  await once(socket, "secureConnect");
  return socket;
}

// --- a client of the library ws ---

// Messages as they come: {data, isBinary}; the end as {code, reason}.
async function open(path = "/", { protocols = [], headers = {}, id = app, tls } = {}) {
  const socket = tls ?? await openTls(id);
  const ws = new WebSocket(`wss://${nameOf(id)}${path}`, protocols, { createConnection: () => socket, headers, perMessageDeflate: true });
  const queue = [], waiting = [];
  let response;
  const put = (item) => (waiting.length ? waiting.shift()(item) : queue.push(item));
  ws.on("upgrade", (r) => { response = r; });
  ws.on("message", (data, isBinary) => put({ data, isBinary, text: isBinary ? undefined : data.toString() }));
  ws.on("close", (code, reason) => put({ code, reason: reason.toString() }));
  ws.on("error", () => {});
  await once(ws, "open");
  const next = () => (queue.length ? Promise.resolve(queue.shift()) : new Promise((done) => waiting.push(done)));
  const say = async (data) => { ws.send(data); return next(); };
  return { ws, next, say, headers: response.headers, socket };
}
// The HTTP answer to a refused opening.
function refused(path = "/", { protocols = [], headers = {}, id = app } = {}) {
  return openTls(id).then((socket) => new Promise((done, failed) => {
    const ws = new WebSocket(`wss://${nameOf(id)}${path}`, protocols, { createConnection: () => socket, headers });
    ws.on("open", () => failed(new Error("it was opened"))).on("error", failed);
    ws.on("unexpected-response", (request, response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part)).on("end", () => { socket.destroy(); done({ status: response.statusCode, headers: response.headers, body: JSON.parse(Buffer.concat(parts)) }); });
    });
  }));
}
const logged = (text, within = 15000) => until(`"${text}" is logged`, async () => (await stack.cli("logs", "sockets")).stdout.includes(text), within);

test("events: each a pristine machine, state between them, texts, bytes, fragments, order", { timeout: 180000 }, async () => {
  const one = await open("/a?b=c", { headers: { origin: "https://elsewhere.example" } });
  assert.equal(one.ws.extensions, "", "no compression");
  assert.ok(one.headers["redoubt-receipt"] && one.headers["redoubt-salt"] && /^[\w-]{22}$/.test(one.headers["redoubt-socket"]));
  assert.equal((await one.say("héllo")).text, "héllo");
  assert.equal((await one.say("\ufeffmark")).data.toString("hex"), Buffer.from("\ufeffmark").toString("hex"));
  const bytes = await one.say(Buffer.from([1, 2, 3]));
  assert.deepEqual([bytes.isBinary, [...bytes.data]], [true, [3, 2, 1]]);
  const who = JSON.parse((await one.say("who")).text);
  assert.deepEqual(who, { n: 4, origin: "https://elsewhere.example", count: 1, url: `https://${nameOf(app)}/a?b=c`, protocol: "" }, "state is kept, memory is not");
  one.ws.send("fr", { fin: false });
  one.ws.send("agm", { fin: false });
  one.ws.ping("between");
  one.ws.send("ent");
  assert.equal((await one.next()).text, "fragment");
  const [pong] = await Promise.all([once(one.ws, "pong"), one.ws.ping("are you there")]);
  assert.equal(pong.toString(), "are you there");
  for (let i = 0; i < 50; i++) one.ws.send("#" + i);
  for (let i = 0; i < 50; i++) assert.equal((await one.next()).text, "#" + i, "in order");
  one.ws.send("slow");
  one.ws.send("after");
  assert.equal((await one.next()).text, "slept");
  assert.equal((await one.next()).text, "after");
  const large = Buffer.alloc(262144, 7);
  assert.ok((await one.say(large)).data.equals(large), "as large as a request may be");
  assert.equal((await one.say("large")).data.length, 900000);
  one.ws.send("full state");
  one.ws.close(3999, "enough");
  assert.deepEqual(await one.next(), { code: 3999, reason: "" });
  await logged("ended 3999 enough /a 0");
});

test("what open does: greets, closes, refuses; what a handler does: closes, throws, keeps too much, runs too long", { timeout: 180000 }, async () => {
  const greeted = await open("/greets");
  assert.equal((await greeted.next()).text, "hello 22");
  assert.equal((await greeted.say("close")).text, "last");
  assert.deepEqual(await greeted.next(), { code: 4001, reason: "bye" });
  assert.deepEqual(await (await open("/closed")).next(), { code: 4003, reason: "not you" });
  const thrown = await refused("/throws");
  assert.deepEqual([thrown.status, thrown.body.code], [500, "function_error"]);
  assert.ok(thrown.headers["redoubt-receipt"], "a refusal is signed");
  for (const [text, reason] of [["throw", "function_error"], ["huge state", "function_error"], ["forever", "function_timeout"], ["never", "function_timeout"]]) {
    const one = await open();
    one.ws.send(text);
    assert.deepEqual(await one.next(), { code: 1011, reason }, text);
  }
  await logged("ended 1011  / 0");
  const late = await open("/late");
  late.ws.send("later");
  await logged("late InvalidStateError");
  assert.equal((await late.say("alive")).text, "alive");
  late.socket.destroy();
  await logged("ended 1006  /late 2");
});

test("openings that are refused say why", { timeout: 180000 }, async () => {
  const absent = await refused("/", { id: bare });
  assert.deepEqual([absent.status, absent.body.code], [501, "websocket_absent"]);
  assert.deepEqual(await refused("/", { id: sealedOnly }).then((r) => [r.status, r.body.code]), [403, "plain_refused"]);
  const head = (lines, first = "GET / HTTP/1.1") => [first, `Host: ${nameOf(app)}`, ...lines, "", ""].join("\r\n");
  const good = ["Upgrade: websocket", "Connection: keep-alive, Upgrade", "Sec-WebSocket-Key: " + Buffer.alloc(16).toString("base64"), "Sec-WebSocket-Version: 13"];
  const answer = async (text) => {
    const socket = await openTls();
    socket.write(text);
    const [data] = await once(socket, "data");
    socket.destroy();
    return data.toString("latin1");
  };
  assert.match(await answer(head(good)), /^HTTP\/1\.1 101 /);
  const without = (name) => good.filter((line) => !line.startsWith(name));
  for (const [what, text, status] of [
    ["no key", head(without("Sec-WebSocket-Key")), 400],
    ["a short key", head([...without("Sec-WebSocket-Key"), "Sec-WebSocket-Key: AAAA"]), 400],
    ["two keys", head([...good, good[2]]), 400],
    ["no Connection", head(without("Connection")), 400],
    ["a POST", head(good, "POST / HTTP/1.1"), 400],
    ["a body", head([...good, "Content-Length: 2"]) + "xx", 400],
    ["an offer twice", head([...good, "Sec-WebSocket-Protocol: a, a"]), 400],
    ["an offer that is none", head([...good, "Sec-WebSocket-Protocol: a b"]), 400],
    ["many offers", head([...good, "Sec-WebSocket-Protocol: " + Array.from({ length: 17 }, (_, i) => "p" + i).join(",")]), 400],
    ["another version", head([...without("Sec-WebSocket-Version"), "Sec-WebSocket-Version: 8"]), 426],
  ]) {
    const got = await answer(text);
    assert.match(got, new RegExp(`^HTTP/1\\.1 ${status} `), what);
    assert.match(got, /redoubt-receipt: /i, what);
    if (status === 426) assert.match(got, /sec-websocket-version: 13\r\n/i);
  }
  const plain = await stack.invoke(app, "/", { headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": Buffer.alloc(16).toString("base64"), "sec-websocket-version": "13" } });
  assert.notEqual(plain.status, 101, "the plane's relay opens none");
});

// --- receipts ---

const b64u = (bytes) => bytes.toString("base64url"), fromB64u = (text) => Buffer.from(text, "base64url");
function parts(...values) {
  return Buffer.concat(values.flatMap((value) => {
    const bytes = Buffer.from(value), size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(bytes.length));
    return [size, bytes];
  }));
}
const commitment = (salt, which, ...values) =>
  b64u(createHmac("sha256", Buffer.from(hkdfSync("sha256", salt, Buffer.alloc(0), frame("kdf", "commit-v1", Buffer.from(which)), 32))).update(parts(...values)).digest());
function record(kind, content) {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32BE(content.length, 1);
  return Buffer.concat([head, content]);
}
const closing = (code, reason = "") => Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);
// The claims of a receipt that this key signed.
function claimsOf(text, x) {
  const receipt = JSON.parse(fromB64u(text)), root = JSON.parse(fromB64u(receipt.root.payload));
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  assert.ok(verify(null, Buffer.from(receipt.root.protected + "." + receipt.root.payload), key, fromB64u(receipt.root.signature)), "signature");
  let node = H("receipt-leaf-v1", Buffer.from(canonical(receipt.claims))), at = 0;
  for (let index = receipt.index, width = root.count; width > 1; index >>= 1, width = (width + 1) >> 1) {
    if (!(index & 1) && index + 1 === width) continue;
    const sibling = Buffer.from(receipt.path[at++].slice(7), "hex");
    node = index & 1 ? H("receipt-node-v1", sibling, node) : H("receipt-node-v1", node, sibling);
  }
  assert.equal("sha256:" + node.toString("hex"), root.root);
  return receipt.claims;
}
// One HTTP request on an open connection, before it becomes a socket.
async function get(socket, path) {
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${nameOf(app)}\r\n\r\n`);
  let bytes = Buffer.alloc(0);
  for (;;) {
    [bytes] = [Buffer.concat([bytes, (await once(socket, "data"))[0]])];
    const end = bytes.indexOf("\r\n\r\n"), size = /content-length: (\d+)/i.exec(bytes.toString("latin1"));
    if (end >= 0 && bytes.length >= end + 4 + Number(size[1])) return JSON.parse(bytes.subarray(end + 4));
  }
}

test("I6 evidence of the very connection, and a receipt for each event under its key, computed again", { timeout: 180000 }, async () => {
  const tls = await openTls(), nonce = b64u(randomBytes(32)), salt = randomBytes(32);
  const statement = JSON.parse(fromB64u((await get(tls, `${OWN}evidence?nonce=${nonce}`)).statement));
  assert.deepEqual([statement.purpose, statement.nonce, statement.channel.value],
    ["channel", nonce, b64u(tls.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)))]);
  const key = statement.keys.receipt.x ?? statement.keys.receipt;
  const mine = b64u(randomBytes(32)), target = "/greets?x=1";
  const one = await open(target, { tls, protocols: [`${RECEIPTS}+chat`, "chat"], headers: { "redoubt-salt": b64u(salt), "redoubt-nonce": mine } });
  assert.equal(one.ws.protocol, `${RECEIPTS}+chat`);
  const id = one.headers["redoubt-socket"], salts = new Set(), numbers = [];
  const check = async (event, kind, data, status, sent) => {
    const told = JSON.parse((await one.next()).text);
    assert.deepEqual(Object.keys(told), ["event", "messages", "receipt", "salt", "socket"]);
    assert.deepEqual([told.event, told.socket, told.messages], [event, id, sent.filter(([k]) => k !== 8).length]);
    const claims = claimsOf(told.receipt, key), s = fromB64u(told.salt);
    assert.equal(claims.request, commitment(s, "request", "WEBSOCKET", target, `${kind};socket=${id};event=${event}`, data));
    assert.equal(claims.response, commitment(s, "response", String(status), one.ws.protocol, Buffer.concat(sent.map(([k, content]) => record(k, content)))));
    assert.deepEqual([claims.status, claims.nonce, claims.app], [status, mine, app]);
    for (const [k, content] of sent) {
      const got = await one.next();
      if (k === 8) assert.deepEqual(got, { code: content.readUInt16BE(), reason: content.subarray(2).toString() });
      else assert.deepEqual([got.isBinary, Buffer.from(got.data)], [k === 2, content]);
    }
    salts.add(told.salt);
    numbers.push(claims.seq);
    return told;
  };
  const first = await check(1, "open", "", 101, [[1, Buffer.from("hello 22")]]);
  assert.equal(first.salt, b64u(salt), "the opening's is the caller's");
  assert.equal(one.headers["redoubt-receipt"], first.receipt);
  one.ws.send("two");
  await check(2, "text", "two", 200, [[1, Buffer.from("one")], [2, Buffer.from([2, 2])]]);
  one.ws.send(Buffer.from([9, 8]));
  await check(3, "binary", Buffer.from([9, 8]), 200, [[2, Buffer.from([8, 9])]]);
  one.ws.send("send nothing");
  await check(4, "text", "send nothing", 200, []);
  one.ws.send('{"event":6,"messages":0}');
  await check(5, "text", '{"event":6,"messages":0}', 200, [[1, Buffer.from('{"event":6,"messages":0}')]]);
  one.ws.send("throw");
  await check(6, "text", "throw", 500, [[8, closing(1011, "function_error")]]);
  assert.equal(salts.size, 6, "each event has its own salt");
  assert.ok(numbers.every((n, i) => i === 0 || n > numbers[i - 1]), "numbered in order");
  // The end has one too, which nobody is left to be told of; all are kept, as leaves that say nothing.
  const list = await until("the plane keeps them", async () => { const all = await stack.json("receipts", "list", "sockets", "--limit", "500"); return all[0]?.seq > numbers[5] && all; }, 20000);
  for (const seq of numbers) assert.deepEqual(list.filter((r) => r.seq === seq).map((r) => [r.sealed, r.claims]), [[true, null]]);
});

test("subprotocols: the app's, receipts alone, neither", { timeout: 180000 }, async () => {
  assert.equal((await open("/", { protocols: ["other", "chat"] })).ws.protocol, "chat");
  const one = await open("/", { protocols: ["chat", `${RECEIPTS}+chat`] });
  assert.equal(one.ws.protocol, "chat", "the first that is offered");
  assert.equal(JSON.parse((await one.say("who")).text).protocol, "chat");
  const only = await open("/", { protocols: [RECEIPTS] });
  assert.equal(only.ws.protocol, RECEIPTS);
  assert.equal(JSON.parse((await only.next()).text).event, 1);
  only.ws.send("who");
  assert.equal(JSON.parse((await only.next()).text).event, 2);
  assert.equal(JSON.parse((await only.next()).text).protocol, "");
});

// --- raw frames ---

function rawFrame(opcode, payload, { fin = true, rsv = 0, mask = true, length } = {}) {
  const data = Buffer.from(payload), size = length ?? data.length;
  const head = [(fin ? 128 : 0) | rsv << 4 | opcode];
  if (size < 126) head.push((mask ? 128 : 0) | size);
  else if (size < 65536) head.push((mask ? 128 : 0) | 126, size >> 8, size & 255);
  else head.push((mask ? 128 : 0) | 127, 0, 0, 0, 0, size >>> 24, (size >> 16) & 255, (size >> 8) & 255, size & 255);
  const key = [1, 2, 3, 4];
  return Buffer.concat([Buffer.from(head), ...(mask ? [Buffer.from(key), Buffer.from(data.map((b, i) => b ^ key[i % 4]))] : [data])]);
}
// A socket after its opening; frames() waits for the end and gives what came: [[opcode, payload]].
async function raw(path = "/") {
  const socket = await openTls();
  let bytes = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (data) => { bytes = Buffer.concat([bytes, data]); });
  const ended = new Promise((done) => socket.on("close", done));
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${nameOf(app)}\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16, 3).toString("base64")}\r\n\r\n`);
  await until("it is opened", () => bytes.indexOf("\r\n\r\n") > 0);
  assert.match(bytes.toString("latin1"), new RegExp("Sec-WebSocket-Accept: " + createHash("sha1").update(Buffer.alloc(16, 3).toString("base64") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest("base64").replace(/[+/]/g, "\\$&")));
  const frames = async () => {
    await ended;
    const out = [];
    for (let at = bytes.indexOf("\r\n\r\n") + 4; at < bytes.length;) {
      assert.equal(bytes[at + 1] & 128, 0, "a server masks nothing");
      let size = bytes[at + 1] & 127, from = at + 2;
      if (size === 126) { size = bytes.readUInt16BE(from); from += 2; } else if (size === 127) { size = Number(bytes.readBigUInt64BE(from)); from += 8; }
      out.push([bytes[at] & 15, bytes.subarray(from, from + size)]);
      at = from + size;
    }
    return out;
  };
  return { socket, frames, seen: () => bytes };
}
const codeOf = (frames) => (frames.length && frames.at(-1)[0] === 8 ? (frames.at(-1)[1].length ? frames.at(-1)[1].readUInt16BE() : 1005) : null);

test("hostile frames end their socket with the right code, and nothing else", { timeout: 180000 }, async () => {
  const witness = await open();
  for (const [what, bytes, code] of [
    ["unmasked", rawFrame(1, "hello", { mask: false }), 1002],
    ["a reserved bit", rawFrame(1, "hello", { rsv: 4 }), 1002],
    ["a reserved opcode", rawFrame(3, "hello"), 1002],
    ["a reserved control opcode", rawFrame(11, "hello"), 1002],
    ["a long ping", rawFrame(9, Buffer.alloc(126)), 1002],
    ["a fragmented ping", rawFrame(9, "x", { fin: false }), 1002],
    ["a fragment of nothing", rawFrame(0, "hello"), 1002],
    ["two messages in one", Buffer.concat([rawFrame(1, "a", { fin: false }), rawFrame(1, "b")]), 1002],
    ["a length that could be shorter", Buffer.from([129, 128 | 126, 0, 5, 1, 2, 3, 4, 0, 0, 0, 0, 0]), 1002],
    ["a length with its highest bit", Buffer.from([130, 255, 128, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 0]), 1002],
    ["bad UTF-8", rawFrame(1, [0xc3, 0x28]), 1007],
    ["UTF-8 that is cut", rawFrame(1, [0xe2, 0x82]), 1007],
    ["a surrogate", rawFrame(1, [0xed, 0xa0, 0x80]), 1007],
    ["too large", rawFrame(2, "x", { length: 262145 }), 1009],
    ["too large in pieces", Buffer.concat([rawFrame(2, Buffer.alloc(262000), { fin: false }), rawFrame(0, Buffer.alloc(145))]), 1009],
    ["fragments without end", Buffer.concat(Array.from({ length: 3000 }, (_, i) => rawFrame(i ? 0 : 2, i % 2 ? "x" : "", { fin: false }))), 1008],
    ["a flood of pings", Buffer.concat(Array.from({ length: 3000 }, () => rawFrame(9, ""))), 1008],
    ["a Close of one byte", rawFrame(8, "x"), 1002],
    ["a Close with a forbidden code", rawFrame(8, closing(1005)), 1002],
    ["a Close with bad UTF-8", rawFrame(8, Buffer.concat([closing(1000), Buffer.from([0xff])])), 1007],
    ["a Close", rawFrame(8, closing(1000, "done")), 1000],
    ["a Close without a code", rawFrame(8, ""), 1005],
  ]) {
    const one = await raw();
    one.socket.write(bytes);
    assert.equal(codeOf(await one.frames()), code, what);
  }
  const early = await raw();
  early.socket.write(Buffer.concat([rawFrame(1, "first"), rawFrame(1, "close"), rawFrame(1, "behind"), rawFrame(8, closing(1000))]));
  assert.deepEqual((await early.frames()).map(([opcode, data]) => [opcode, data.toString("latin1")]), [[1, "first"], [1, "last"], [8, "\x0f\xa1bye"]], "nothing runs behind a Close");
  const slow = await raw();
  for (const byte of rawFrame(1, "byte by byte")) { slow.socket.write(Buffer.from([byte])); await new Promise((done) => setTimeout(done, 2)); }
  await until("it is echoed", () => slow.seen().includes("byte by byte"));
  slow.socket.destroy();
  assert.equal((await witness.say("alive")).text, "alive", "others go on");
});

test("a reader who does not read holds nobody else up, and loses its socket", { timeout: 180000 }, async () => {
  const one = await raw("/stuck"), witness = await open();
  one.socket.pause();
  for (let i = 0; i < 40; i++) one.socket.write(rawFrame(1, "large"));
  for (let i = 0; i < 20; i++) assert.equal((await witness.say("#" + i)).text, "#" + i);
  await logged("ended 1006  /stuck ", 60000);
  one.socket.destroy();
});

test("time: a ping each 30 s, the end of who does not answer, and of a message that does not come to its end", { timeout: 180000 }, async () => {
  const began = Date.now(), seconds = () => (Date.now() - began) / 1000;
  const alive = await open(), silent = await raw("/silent"), half = await raw("/half");
  let pings = 0;
  alive.ws.on("ping", () => { pings++; });
  half.socket.write(rawFrame(2, Buffer.alloc(20000), { fin: false }));
  assert.equal(codeOf(await half.frames()), 1008);
  assert.ok(seconds() > 25, `${seconds()} s`);
  await logged("ended 1008  /half 0");
  assert.deepEqual((await silent.frames()).map(([opcode]) => opcode), [9, 9], "two pings, and no Close to who is gone");
  assert.ok(seconds() > 75, `${seconds()} s`);
  await logged("ended 1006  /silent 0");
  assert.ok(pings >= 2);
  assert.equal((await alive.say("still here")).text, "still here");
});

test("HTTP/2 opens none", { timeout: 180000 }, async () => {
  const tls = await openTls(app, ["h2"]);
  const session = connectH2(`https://${nameOf(app)}`, { createConnection: () => tls });
  session.on("error", () => {});
  await once(session, "remoteSettings");
  assert.notEqual(session.remoteSettings.enableConnectProtocol, true);
  session.destroy();
});

test("an app that may sleep stays awake while a socket is open, and sleeps when it is closed", { timeout: 180000 }, async () => {
  const { app: id } = await stack.deploy("drowsy", source, { ...settings, instances: { min: 0, max: 1, idle_s: 10 } });
  const wanted = async () => (await stack.rest("GET", `/v1/apps/${id}`)).instances.wanted;
  const one = await open("/", { id });
  await new Promise((done) => setTimeout(done, 20000)); // twice idle_s: that nothing happens can only be waited for
  assert.equal(await wanted(), 1);
  assert.equal((await one.say("awake")).text, "awake");
  one.ws.close();
  await until("it sleeps", async () => (await wanted()) === 0, 60000);
});

test("an instance that drains closes its sockets with 1001, after the event that runs", { timeout: 180000 }, async () => {
  const idle = await open(), busy = await open();
  await stack.deploy("sockets", source + "\n// again", settings);
  assert.deepEqual(await idle.next(), { code: 1001, reason: "" });
  assert.deepEqual(await busy.next(), { code: 1001, reason: "" });
  await until("the new release takes sockets", () => open().then(async (one) => (await one.say("hi")).text === "hi").catch(() => false), 60000);
});
