// HEAD on the wire (RFC 9110, 9.3.2): the head that GET would have, its Content-Length too, and no byte behind it: what the connection says next
// is the answer to its next request. So for an app's own origin, for TLS that ends in the enclave, and of answers that have no body at all.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectH2 } from "node:http2";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { Stack, freePort } from "../support/stack.mjs";

const source = `const sized = (n) => new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(Math.min(n, 50000)).fill(97)); if ((n -= 50000) <= 0) c.close(); } });
export default { async fetch(request) {
  const url = new URL(request.url), n = Number(url.searchParams.get("n")), headers = { "content-type": "text/plain", "x-method": request.method };
  if (url.pathname === "/whole") return new Response("x".repeat(n), { status: 203, headers });
  if (url.pathname === "/stream") return new Response(sized(n), { headers });
  if (url.pathname === "/status") return new Response(null, { status: n, headers });
  throw new Error("broken");
} };`;

let stack, name, tlsPort;
before(async () => {
  tlsPort = await freePort();
  stack = await Stack.start({ hosts: 1, apiFlags: ["--passthrough-listen", `127.0.0.1:${tlsPort}`] });
  const made = await stack.deploy("heads", source, { open: true, limits: { response_bytes: 1 << 20 }, resources: { cpu_m: 1000 } });
  name = made.app.replace("_", "-") + ".localhost";
}, { timeout: 180000 });
after(() => stack?.close());

const ways = {
  "the API": async () => connect(stack.ports.api, "127.0.0.1"),
  "the app's origin": async () => connect(stack.ports.apps, "127.0.0.1"),
  "TLS that ends in the enclave": async () => {
    const socket = connectTls({ host: "127.0.0.1", port: tlsPort, servername: name, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    await once(socket, "secureConnect");
    return socket;
  },
};

// One connection; every byte that comes on it is an answer's, or the test fails.
async function open(way) {
  const socket = await ways[way]();
  let got = Buffer.alloc(0), wake = () => {};
  socket.on("data", (bytes) => { got = Buffer.concat([got, bytes]); wake(); });
  socket.on("close", () => { socket.isOver = true; wake(); });
  const more = async () => {
    assert.ok(!socket.isOver, `closed behind ${JSON.stringify(got.toString("latin1"))}`);
    await new Promise((done) => { wake = done; });
  };
  const take = async (size) => {
    while (got.length < size) await more();
    const taken = got.subarray(0, size);
    got = got.subarray(size);
    return taken.toString("latin1");
  };
  // {status, headers}: a head, and nothing of what may follow.
  const head = async () => {
    while (!got.includes("\r\n\r\n")) await more();
    const [line, ...fields] = (await take(got.indexOf("\r\n\r\n") + 4)).trimEnd().split("\r\n");
    const headers = new Map();
    for (const field of fields) {
      const at = field.indexOf(":"), key = field.slice(0, at).toLowerCase();
      assert.ok(!(key === "content-length" && headers.has(key)), "one length");
      headers.set(key, field.slice(at + 1).trim());
    }
    return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(line)?.[1]), headers };
  };
  const send = (method, path, more = "") => socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${name}\r\n${more}\r\n`);
  // What GET says next on this connection: its own answer, whole.
  const next = async () => {
    send("GET", "/whole?n=5");
    const { status, headers } = await head();
    assert.deepEqual([status, headers.get("content-length"), headers.get("x-method")], [203, "5", "GET"]);
    assert.equal(await take(5), "xxxxx");
    assert.equal(got.length, 0);
  };
  const ends = async () => {
    while (!socket.isOver) await new Promise((done) => { wake = done; });
    assert.equal(got.length, 0);
  };
  return { socket, send, head, take, next, ends };
}

for (const way of ["the app's origin", "TLS that ends in the enclave"]) {
  test(`${way}: HEAD says what GET would, without a body`, { timeout: 180000 }, async () => {
    const c = await open(way);
    for (const [path, size, status] of [["/whole?n=0", 0, 203], ["/whole?n=11", 11, 203], ["/whole?n=900000", 900000, 203]]) {
      c.send("HEAD", path);
      const { status: got, headers } = await c.head();
      assert.deepEqual([got, headers.get("content-length"), headers.get("x-method"), headers.get("content-type")], [status, String(size), "HEAD", "text/plain"], path);
      assert.equal(headers.get("transfer-encoding"), undefined, path);
      assert.ok(headers.get("redoubt-receipt"), path);
      await c.next();
    }
    // A stream is not made for HEAD, so that its length is not known; the relay's own connection ends with such an answer.
    c.send("HEAD", "/stream?n=130000");
    const { status, headers } = await c.head();
    assert.deepEqual([status, headers.get("content-length"), headers.get("transfer-encoding")], [200, undefined, undefined]);
    assert.ok(headers.get("redoubt-receipt"));
    if (headers.get("connection") === "close") await c.ends();
    else await c.next();
    c.socket.destroy();
  });

  test(`${way}: a refusal to HEAD has no body either`, { timeout: 180000 }, async () => {
    const c = await open(way);
    c.send("HEAD", "/throws");
    const { status, headers } = await c.head();
    assert.deepEqual([status, headers.get("content-type"), headers.get("redoubt-error")], [500, "application/problem+json", "function_error"]);
    assert.ok(Number(headers.get("content-length")) > 0);
    await c.next();
    c.send("HEAD", "/.well-known/redoubt/docs"); // the runtime's own know GET alone
    const own = await c.head();
    assert.equal(own.status, 405);
    await c.next();
    c.socket.destroy();
  });

  test(`${way}: nothing follows 204 and 304`, { timeout: 180000 }, async () => {
    const c = await open(way);
    for (const method of ["GET", "HEAD"]) {
      for (const status of [204, 304]) {
        c.send(method, `/status?n=${status}`);
        const { status: got, headers } = await c.head();
        assert.equal(got, status);
        assert.equal(headers.get("content-length"), undefined, `${method} ${status}`);
        assert.equal(headers.get("transfer-encoding"), undefined, `${method} ${status}`);
        await c.next();
      }
    }
    c.socket.destroy();
  });

  test(`${way}: requests that come at once are answered in turn`, { timeout: 180000 }, async () => {
    const c = await open(way);
    for (let i = 0; i < 3; i++) c.send("HEAD", `/whole?n=${i + 1}`);
    c.send("GET", "/whole?n=4");
    for (let i = 0; i < 3; i++) assert.equal((await c.head()).headers.get("content-length"), String(i + 1));
    assert.equal((await c.head()).headers.get("content-length"), "4");
    assert.equal(await c.take(4), "xxxx");
    c.socket.destroy();
  });
}

test("the API's own: files, documents, and a stream of events, which ends the connection", { timeout: 180000 }, async () => {
  const c = await open("the API");
  for (const path of ["/app.js", "/v1/apps", "/v1/nothing"]) {
    const whole = await fetch(stack.api + path, { headers: { authorization: "Bearer " + stack.token } });
    c.send("HEAD", path, `Authorization: Bearer ${stack.token}\r\n`);
    const { status, headers } = await c.head();
    assert.deepEqual([status, Number(headers.get("content-length"))], [whole.status, (await whole.arrayBuffer()).byteLength], path);
  }
  c.send("HEAD", "/v1/events", `Authorization: Bearer ${stack.token}\r\n`);
  const { status, headers } = await c.head();
  assert.deepEqual([status, headers.get("content-type"), headers.get("transfer-encoding")], [200, "text/event-stream", undefined]);
  await c.ends();
});

test("a refusal of the relay's own to HEAD has no body", { timeout: 180000 }, async () => {
  const c = await open("the app's origin");
  c.send("HEAD", "/", "Redoubt-Instance: none\r\n");
  assert.ok((await c.head()).status >= 400);
  await c.next();
  c.socket.destroy();
});

test("HEAD over HTTP/2: the length, and no data", { timeout: 180000 }, async () => {
  const socket = connectTls({ host: "127.0.0.1", port: tlsPort, servername: name, rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  const session = connectH2(`https://${name}`, { createConnection: () => socket });
  for (const [path, status, length] of [["/whole?n=11", 203, "11"], ["/stream?n=130000", 200, undefined], ["/status?n=204", 204, undefined]]) {
    const stream = session.request({ ":path": path, ":method": "HEAD" });
    const [headers] = await once(stream, "response");
    let size = 0;
    stream.on("data", (part) => { size += part.length; });
    await once(stream, "end");
    assert.deepEqual([headers[":status"], headers["content-length"], size], [status, length, 0], path);
  }
  session.close();
});
