// The applications' listener on the wire: what its callers may do to it, and what then becomes of their calls.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { Stack, until } from "../support/stack.mjs";

const source = `const wait = (ms) => new Promise((done) => setTimeout(done, ms));
export default { async fetch(request) {
  const url = new URL(request.url), body = await request.text();
  if (url.pathname === "/late") await wait(29000);
  if (url.pathname === "/short")
    return new Response(new ReadableStream({ async start(c) { c.enqueue(new TextEncoder().encode("x")); await wait(100); c.close(); } }));
  if (url.pathname === "/stream")
    return new Response(new ReadableStream({ async pull(c) { await wait(100); c.enqueue(new TextEncoder().encode("x")); } }));
  return new Response(JSON.stringify({ method: request.method, path: url.pathname, body, headers: [...request.headers.keys()] }));
} };`;

let stack, host;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  const made = await stack.deploy("front", source, { open: true, limits: { time_ms: 30000 }, resources: { cpu_m: 500 } });
  host = made.app.replace("_", "-") + ".localhost";
}, { timeout: 180000 });
after(() => stack?.close());

async function open() {
  const socket = connect(stack.ports.apps, "127.0.0.1");
  await once(socket, "connect");
  const c = { socket, got: "", isOver: false, send: (text) => socket.write(text) };
  socket.on("error", () => {});
  socket.on("data", (bytes) => { c.got += bytes.toString("latin1"); });
  socket.on("close", () => { c.isOver = true; });
  return c;
}
const metric = async (name) => Number(new RegExp(`^${name.replace(/[{}]/g, "\\$&")} (\\d+)$`, "m").exec(await (await fetch(stack.api + "/metrics")).text())?.[1]);
const inFlight = () => metric("redoubt_relay_calls_in_flight");

for (const [what, request] of [
  ["waits", "GET /late HTTP/1.1\r\n"], ["waits, over HTTP/1.0", "GET /late HTTP/1.0\r\n"], ["reads a stream", "GET /stream HTTP/1.1\r\n"],
]) {
  test(`who leaves while he ${what} ends his call`, { timeout: 180000 }, async () => {
    const c = await open(), began = Date.now();
    c.send(`${request}Host: ${host}\r\n\r\n`);
    await until("the call runs", async () => (await inFlight()) === 1 && (!request.includes("stream") || c.got.includes("1\r\nx\r\n")));
    c.socket.destroy();
    await until("it is cancelled", async () => (await inFlight()) === 0);
    assert.ok(Date.now() - began < 29000, "not by its own end");
  });
}

test("a stream does not go to HTTP/1.0, which could not tell its end", { timeout: 180000 }, async () => {
  const c = await open();
  c.send(`GET /short HTTP/1.0\r\nHost: ${host}\r\n\r\n`);
  await until("refused", () => c.got.startsWith("HTTP/1.1 505"));
  c.socket.destroy();
});

test("a head that trickles is answered 408", { timeout: 180000 }, async () => {
  const c = await open(), began = Date.now(), text = `GET / HTTP/1.1\r\nHost: ${host}\r\nX: ${"a".repeat(200)}`;
  let at = 0;
  const drip = setInterval(() => c.send(text[at++]), 100);
  await until("it is over", () => c.isOver);
  clearInterval(drip);
  assert.match(c.got, /^HTTP\/1\.1 408 [^]*"head_slow"/);
  assert.ok(Date.now() - began >= 9000);
});

test("what could be read in two ways is refused, and nothing behind it is heard", { timeout: 180000 }, async () => {
  const smuggled = `GET /smuggled HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
  for (const head of [
    `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    `POST / HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na`,
    `POST / HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n`,
    `GET / HTTP/1.1\nHost: ${host}\r\n\r\n`,
    `GET http://elsewhere.example/ HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: ${host}\r\nHost: ${host}\r\n\r\n`,
  ]) {
    const c = await open();
    c.send(head + smuggled);
    await until("it is over", () => c.isOver);
    assert.match(c.got, /^HTTP\/1\.1 400 [^]*"http_syntax"/, head);
    assert.equal(c.got.split("HTTP/1.1 ").length, 2, head);
    assert.doesNotMatch(c.got, /smuggled/);
  }
});

test("requests sent ahead are answered in order, bodies by length and in chunks", { timeout: 180000 }, async () => {
  const c = await open();
  c.send(`POST /1 HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 3\r\n\r\nabcPOST /2 HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\nX-Trailer: t\r\n\r\n`);
  for (let i = 3; i < 30; i++) c.send(`GET /${i} HTTP/1.1\r\nHost: ${host}\r\nConnection: x-hop\r\nX-Hop: h\r\n\r\n`);
  await until("all are answered", () => c.got.split("HTTP/1.1 200").length === 30);
  const bodies = [...c.got.matchAll(/\{"method".*?\]\}/g)].map(([text]) => JSON.parse(text));
  assert.deepEqual(bodies.map((one) => one.path), Array.from({ length: 29 }, (_, i) => `/${i + 1}`));
  assert.deepEqual([bodies[0].body, bodies[1].body], ["abc", "def"]);
  for (const one of bodies) for (const name of ["x-hop", "connection", "transfer-encoding", "x-trailer"]) assert.ok(!one.headers.includes(name), name);
  c.socket.destroy();
});

test("a connection that is kept is counted, and no more when it ends", { timeout: 180000 }, async () => {
  const count = () => metric('redoubt_front_connections{listener="apps"}');
  const before_ = await count(), c = await open();
  await until("it is there", async () => (await count()) === before_ + 1);
  c.socket.destroy();
  await until("it has gone", async () => (await count()) === before_);
});
