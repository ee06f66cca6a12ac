// redoubt dev: the enclave's engine on this machine: answers, loads again on a change, shows errors with their stack, holds to the
// manifest's egress, and says that it proves nothing.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer, get as httpGet } from "node:http";
import { once } from "node:events";
import { connect } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { BIN, until } from "../support/stack.mjs";

let dir, dev, url, server, said = "";
const write = (name, text) => writeFileSync(join(dir, name), text);
const get = async (path = "") => { const answer = await fetch(url + path, { headers: { connection: "close" } }); return { status: answer.status, headers: answer.headers, body: await answer.text() }; };

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "rd-dev-"));
  server = createServer((request, response) => request.url === "/gate" ? server.emit("gate", response) : response.end(`${request.url} ${request.headers.authorization ?? "-"}`)).listen(0, "127.0.0.1");
  await once(server, "listening");
  write("redoubt.json", JSON.stringify({ name: "trial", env: { GREETING: "hello" }, limits: { time_ms: 2000 }, egress: [`http://127.0.0.1:${server.address().port}`] }));
  write("secrets.txt", JSON.stringify({ TOKEN: "s3cret" }));
  write("index.js", "export default (request, env) => new Response(env.GREETING + ' ' + env.TOKEN);");
  dev = spawn(join(BIN, "redoubt"), ["dev", dir, "--port", "0", "--secrets", join(dir, "secrets.txt")], { stdio: ["ignore", "pipe", "pipe"] });
  dev.stderr.on("data", (text) => { said += text; });
  dev.stdout.on("data", (text) => { url ??= String(text).trim(); });
  await until("it listens", () => url);
}, { timeout: 180000 });
after(async () => {
  if (dev?.exitCode === null) { dev.kill(); await once(dev, "exit"); }
  server?.close();
  if (dir) rmSync(dir, { recursive: true });
});

test("it answers as an enclave would, and says that nothing is proved", async () => {
  const got = await get();
  assert.deepEqual([got.status, got.body, got.headers.get("redoubt-dev")], [200, "hello s3cret", "unproved"]);
  assert.match(said, /no enclave: nothing here is confidential or proved/);
});
test("a change of a file loads it again, with what it imports", async () => {
  write("part.js", "export const part = 'imported';");
  write("index.js", "import { part } from './part.js'; export default () => new Response(part);");
  await until("the new code answers", async () => (await get()).body === "imported");
  write("part.js", "export const part = 'changed';");
  await until("the changed import answers", async () => (await get()).body === "changed");
});
test("what is thrown is shown with its stack, what does not load with its place", async () => {
  write("index.js", "const deep = () => { throw new Error('boom'); };\nexport default () => deep();");
  await until("it throws", async () => /boom/.test((await get()).body));
  await until("the stack is shown", () => /Error: boom\s+at deep \(index\.js:1/.test(said));
  write("index.js", "export default ( => 1;");
  await until("the error is answered", async () => /index\.js:1:\d+: SyntaxError/.test((await get()).body));
});
test("a stream leaves as it is made, and one that fails is cut", async () => {
  write("index.js", `const encode = (text) => new TextEncoder().encode(text);
    export default (request) => new Response(new ReadableStream({ async start(controller) {
      if (request.url.endsWith("ready")) return controller.close();
      controller.enqueue(encode("first;"));
      await fetch("http://127.0.0.1:${server.address().port}/gate");
      if (request.url.endsWith("broken")) throw new Error("broken");
      controller.enqueue(encode("second"));
      controller.close();
    } }));`);
  await until("the stream is loaded", async () => { const got = await get("ready"); return got.status === 200 && got.body === ""; });
  const streamed = async (path) => { // what comes behind the first piece
    const gate = once(server, "gate"), [answer] = await once(httpGet(url + path, { agent: false }), "response");
    assert.equal(String((await once(answer, "data"))[0]), "first;");
    (await gate)[0].end();
    let text = "";
    for await (const part of answer) text += part;
    return text;
  };
  assert.equal(await streamed("whole"), "second");
  await assert.rejects(streamed("broken"), /aborted/);
});
test("HEAD is answered with a head alone, as GET's would be", async () => {
  write("index.js", `export default (request) => { const path = new URL(request.url).pathname;
    if (path === "/throws") throw new Error("broken");
    return new Response(path === "/stream" ? new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(9)); c.close(); } }) : "eleven long"); };`);
  await until("it is loaded", async () => (await get("whole")).body === "eleven long");
  const { hostname, port } = new URL(url);
  for (const [path, status, length] of [["/whole", 200, "11"], ["/stream", 200, undefined], ["/throws", 500, /^\d+$/]]) {
    const socket = connect(Number(port), hostname);
    let got = "";
    socket.on("data", (bytes) => { got += bytes; });
    socket.write(`HEAD ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
    await once(socket, "close");
    assert.match(got, new RegExp(`^HTTP/1\\.1 ${status} [^]*\r\n\r\n$`), path);
    assert.equal(got.indexOf("\r\n\r\n"), got.length - 4, path);
    assert.doesNotMatch(got, /transfer-encoding/i, path);
    const said = /^content-length: (.*)\r$/im.exec(got)?.[1];
    if (length instanceof RegExp) assert.match(said, length);
    else assert.equal(said, length, path);
  }
});
const handshake = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + Buffer.alloc(16).toString("base64"), "Sec-WebSocket-Version: 13"];
const raw = async (lines, path = "/") => { // a socket and the head of its answer
  const { hostname, port } = new URL(url), socket = connect(Number(port), hostname);
  const closed = new Promise((done) => socket.on("close", done));
  let got = "";
  socket.on("data", (bytes) => { got += bytes.toString("latin1"); }).on("error", () => {});
  socket.write([`GET ${path} HTTP/1.1`, `Host: ${hostname}:${port}`, ...lines, "", ""].join("\r\n"));
  await until("the head is there", () => got.includes("\r\n\r\n") || socket.destroyed);
  return { socket, closed, text: () => got };
};
test("WebSockets are events here, too: state, order, subprotocols, ends", { timeout: 180000 }, async () => {
  write("index.js", `let calls = 0; export default { fetch: () => new Response("plain " + calls), websocket: {
    open(socket, request) {
      const { pathname } = new URL(request.url);
      if (pathname === "/throws") throw new Error("not you");
      if (socket.protocols.includes("chat")) socket.protocol = "chat";
      socket.state = { n: 0 };
      if (pathname === "/greets") socket.send("hello");
    },
    message(socket, data) {
      calls++;
      if (data === "throw") throw new Error("thrown in an event");
      if (data === "close") { socket.send("last"); socket.close(4001, "bye"); return; }
      socket.state.n++;
      socket.send(typeof data === "string" ? data + " " + socket.state.n + " " + calls : new Uint8Array(data).reverse());
    },
    close(socket, code, reason) { console.log(["ended", code, reason, socket.state.n].join(" ")); } } };`);
  await until("it is loaded", async () => (await get()).body === "plain 0");
  const open = async (path = "/", protocols = []) => {
    const ws = new WebSocket(url.replace("http:", "ws:").replace(/\/$/, "") + path, protocols, { perMessageDeflate: false }), news = [];
    ws.on("message", (data, isBinary) => news.push(isBinary ? [...data] : String(data)));
    ws.ended = once(ws, "close").then(([code, reason]) => [code, String(reason)]);
    ws.ended.catch(() => {});
    await once(ws, "open");
    return { ws, news };
  };
  const one = await open("/greets", ["other", "chat"]), two = await open();
  assert.equal(one.ws.protocol, "chat");
  for (const text of ["a", "b"]) one.ws.send(text);
  two.ws.send("c");
  one.ws.send(Buffer.from([1, 2, 3]));
  two.ws.send("d".repeat(300000)); // beyond what is read at once
  await until("all is answered", () => one.news.length === 4 && two.news.length === 2);
  assert.deepEqual(one.news, ["hello", "a 1 1", "b 2 1", [3, 2, 1]], "in order, each in a pristine machine, with its own state");
  assert.deepEqual([two.news[0], two.news[1].slice(-4)], ["c 1 1", " 2 1"]);
  assert.equal((await get()).body, "plain 0", "requests go on beside them");
  one.ws.ping("x");
  assert.equal(String((await once(one.ws, "pong"))[0]), "x");
  one.ws.close(4321, "enough");
  assert.deepEqual(await one.ws.ended, [4321, ""]);
  await until("the function heard of it", () => said.includes("ended 4321 enough 3"));
  two.ws.terminate();
  await until("and of one that was lost", () => said.includes("ended 1006  2"));
  const three = await open();
  three.ws.send("close");
  assert.deepEqual(await three.ws.ended, [4001, "bye"]);
  assert.deepEqual(three.news, ["last"]);
  const four = await open();
  four.ws.send("throw");
  assert.deepEqual(await four.ws.ended, [1011, "engine_exception"]);
  await until("what was thrown is shown", () => /thrown in an event/.test(said) && said.includes("ended 1011  0"));
  assert.equal(said.match(/ended /g).length, 3, "its own end it knows");
  const rude = await raw(handshake);
  rude.socket.write(Buffer.from([0x81, 1, 65])); // without a mask
  await rude.closed;
  await until("a broken rule is an end", () => said.includes("ended 1002"));
});
test("what opens no WebSocket is told why", async () => {
  for (const [path, lines, status, code] of [
    ["/", handshake.slice(0, 2), 426, "websocket_version"],
    ["/", [...handshake.slice(0, 2), handshake[3]], 400, "websocket"],
    ["/", [...handshake, "Sec-WebSocket-Protocol: redoubt.receipts.v1+chat"], 501, "unsupported"],
    ["/throws", handshake, 500, "engine_exception"],
  ]) {
    const answer = await raw(lines, path);
    await answer.closed;
    const head = answer.text();
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} [^]*"code":"${code}"`), path);
    assert.equal(/^sec-websocket-version: 13\r$/im.test(head), status === 426);
  }
  const both = await raw([...handshake, "Sec-WebSocket-Protocol: redoubt.receipts.v1+chat, chat"]);
  assert.match(both.text(), /^HTTP\/1\.1 101 [^]*\r\nSec-WebSocket-Protocol: chat\r\n/);
  both.socket.destroy();
  write("index.js", "export default () => new Response('no sockets');");
  await until("it is loaded", async () => (await get()).body === "no sockets");
  const absent = await raw(handshake);
  await absent.closed;
  assert.match(absent.text(), /^HTTP\/1\.1 501 [^]*websocket_absent/);
});
test("the limits and the egress of the manifest hold", async () => {
  write("index.js", `export default async (request) => { const path = new URL(request.url).pathname;
    if (path === "/loop") for (;;);
    if (path === "/sign") return new Response(String((await redoubt.sign("x", { scheme: "secp256k1" })).length));
    if (path === "/evidence") return new Response(await redoubt.evidence(new Uint8Array(32)).catch(String));
    return new Response(await fetch(path === "/out" ? "http://127.0.0.1:${server.address().port}/there" : "https://elsewhere.example/").then((r) => r.text(), String)); };`);
  await until("it fetches", async () => (await get("out")).body === "/there -");
  assert.match((await get("elsewhere")).body, /egress does not list elsewhere\.example:443/);
  const loop = await get("loop");
  assert.deepEqual([loop.status, JSON.parse(loop.body).code], [504, "engine_time_limit"]);
  assert.equal((await get("sign")).body, "65");
  assert.match((await get("evidence")).body, /this is no enclave/);
});
