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
}, { timeout: 30000 });
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
test("a WebSocket is refused, and why is said", async () => {
  const refused = httpGet(url, { headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==" } });
  const [answer] = await once(refused, "response");
  answer.resume();
  assert.equal(answer.statusCode, 501);
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
