// R36: one request of a caller never becomes two behind the relay, nor the beginning of another caller's. Each spoiled request goes out on a connection of
// its own, with a second one hidden where careless readers differ; the instance numbers what it ran, and the next caller's answer is his own.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { Stack, freePort } from "../support/stack.mjs";

const source = `export default { async fetch(request) { return Response.json({ path: new URL(request.url).pathname, body: await request.text() }); } };`;

let stack, name, tlsPort;
before(async () => {
  tlsPort = await freePort();
  stack = await Stack.start({ hosts: 1, apiFlags: ["--passthrough-listen", `127.0.0.1:${tlsPort}`] });
  name = (await stack.deploy("framed", source, { open: true, resources: { cpu_m: 1000 } })).app.replace("_", "-") + ".localhost";
}, { timeout: 180000 });
after(() => stack?.close());

const ways = {
  "the app's origin": async () => connect(stack.ports.apps, "127.0.0.1"),
  "TLS that ends in the enclave": async () => {
    const socket = connectTls({ host: "127.0.0.1", port: tlsPort, servername: name, rejectUnauthorized: false, ALPNProtocols: ["http/1.1"] });
    await once(socket, "secureConnect");
    return socket;
  },
};

// What comes back until the other side closes, or until an answer is whole: what is hidden behind it has no end of its own, and nobody waits for that.
async function say(way, bytes) {
  const socket = await ways[way]();
  let got = "";
  socket.setEncoding("latin1");
  socket.on("error", () => {});
  socket.on("data", (text) => {
    got += text;
    const [head, size] = [got.indexOf("\r\n\r\n"), Number(/^content-length: (\d+)/im.exec(got)?.[1])];
    if (head >= 0 && got.length >= head + 4 + size && !/^connection: close/im.test(got)) socket.destroy();
  });
  const over = once(socket, "close");
  socket.write(Buffer.from(bytes, "latin1"));
  await over;
  return got;
}

function seqOf(answer) {
  const receipt = /^redoubt-receipt: (\S+)/im.exec(answer)?.[1];
  assert.ok(receipt, answer);
  const { claims } = JSON.parse(Buffer.from(receipt, "base64url"));
  return (typeof claims === "string" ? JSON.parse(Buffer.from(claims, "base64url")) : claims).seq;
}

const last = () => `GET /next HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`;

// What another caller gets: his own answer, and its number.
async function next(way) {
  const answer = await say(way, last());
  assert.match(answer, /^HTTP\/1\.1 200 /);
  assert.equal(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)).path, "/next");
  return seqOf(answer);
}

const hidden = () => `GET /hidden HTTP/1.1\r\nHost: ${name}\r\nX: `;
const chunks = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n0\r\n\r\n`;
const post = (fields, body, line = "POST /seen HTTP/1.1") => `${line}\r\nHost: ${name}\r\n${fields}\r\n${body}`;

// name, the bytes, and how many requests they are to a strict reader at most (of which the hidden one is never one).
const rows = [
  ["a length and chunks", () => post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", `0\r\n\r\n${hidden()}`), 1],
  ["chunks and a length", () => post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", `0\r\n\r\n${hidden()}`), 1],
  ["two lengths", () => post("Content-Length: 0\r\nContent-Length: 40\r\n", hidden()), 0],
  ["two equal lengths", () => post("Content-Length: 3\r\nContent-Length: 3\r\n", `abc${hidden()}`), 1],
  ["a list of lengths", () => post("Content-Length: 3, 40\r\n", `abc${hidden()}`), 0],
  ["a length with a sign", () => post("Content-Length: +3\r\n", `abc${hidden()}`), 0],
  ["a negative length", () => post("Content-Length: -1\r\n", hidden()), 0],
  ["a length in hex", () => post("Content-Length: 0x3\r\n", `abc${hidden()}`), 0],
  ["a length past 2^64", () => post("Content-Length: 18446744073709551619\r\n", `abc${hidden()}`), 0],
  ["a length with a space inside", () => post("Content-Length: 3 0\r\n", `abc${hidden()}`), 0],
  ["a space before the colon", () => post("Content-Length : 40\r\n", hidden()), 0],
  ["a tab before the colon", () => post("Transfer-Encoding\t: chunked\r\nContent-Length: 3\r\n", `abc${hidden()}`), 0],
  ["a folded length", () => post("X: a\r\n Content-Length: 40\r\n", hidden()), 0],
  ["a folded coding", () => post("Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n", `0\r\n\r\n${hidden()}`), 1],
  ["an unknown coding", () => post("Transfer-Encoding: xchunked\r\n", chunks("abc") + hidden()), 0],
  ["chunked in quotes", () => post('Transfer-Encoding: "chunked"\r\n', chunks("abc") + hidden()), 0],
  ["two codings", () => post("Transfer-Encoding: gzip, chunked\r\n", chunks("abc") + hidden()), 0],
  ["two lines of codings", () => post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunks("abc") + hidden()), 0],
  ["chunked, not last", () => post("Transfer-Encoding: chunked, identity\r\n", chunks("abc") + hidden()), 0],
  ["a vertical tab before the coding", () => post("Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n", `0\r\n\r\n${hidden()}`), 1],
  ["chunks in HTTP/1.0", () => post("Transfer-Encoding: chunked\r\n", `0\r\n\r\n${hidden()}`, "POST /seen HTTP/1.0"), 1],
  ["a bare line feed in the head", () => post(`X: a\nContent-Length: 40\r\n`, hidden()), 0],
  ["a bare carriage return in the head", () => post(`X: a\rContent-Length: 40\r\n`, hidden()), 0],
  ["a head that ends in bare line feeds", () => `GET /seen HTTP/1.1\nHost: ${name}\n\n${hidden()}`, 1],
  ["a NUL in a header", () => post("X: a\0\r\nContent-Length: 3\r\n", `abc${hidden()}`), 0],
  ["a NUL in a name", () => post("Content-\0Length: 40\r\n", hidden()), 0],
  ["a header without a name", () => post(": a\r\nContent-Length: 3\r\n", `abc${hidden()}`), 0],
  ["a header without a colon", () => post("Content-Length 40\r\n", hidden()), 0],
  ["an empty chunk size", () => post("Transfer-Encoding: chunked\r\n", `\r\nabc\r\n0\r\n\r\n${hidden()}`), 0],
  ["a chunk size with a sign", () => post("Transfer-Encoding: chunked\r\n", `+3\r\nabc\r\n0\r\n\r\n${hidden()}`), 0],
  ["a chunk size with 0x", () => post("Transfer-Encoding: chunked\r\n", `0x3\r\nabc\r\n0\r\n\r\n${hidden()}`), 0],
  ["a chunk size past 2^64", () => post("Transfer-Encoding: chunked\r\n", `10000000000000003\r\nabc\r\n0\r\n\r\n${hidden()}`), 0],
  ["a chunk without its end", () => post("Transfer-Encoding: chunked\r\n", `3\r\nabcX0\r\n\r\n${hidden()}`), 0],
  ["a chunk that ends in a bare line feed", () => post("Transfer-Encoding: chunked\r\n", `3\nabc\n0\n\n${hidden()}`), 1],
  ["a line feed in a chunk extension", () => post("Transfer-Encoding: chunked\r\n", `3;\nxx\r\nabc\r\n0\r\n\r\n${hidden()}`), 0],
  ["a trailer that looks like a request", () => post("Transfer-Encoding: chunked\r\n", `0\r\n${hidden()}\r\n\r\n`), 1],
  ["a length as trailer", () => post("Transfer-Encoding: chunked\r\n", `3\r\nabc\r\n0\r\nContent-Length: 40\r\n\r\n${hidden()}`), 1],
  ["two hosts", () => `GET /seen HTTP/1.1\r\nHost: ${name}\r\nHost: other\r\n\r\n${hidden()}`, 0],
  ["no host", () => `GET /seen HTTP/1.1\r\n\r\n${hidden()}`, 0],
  ["a space in the target", () => `GET /seen /x HTTP/1.1\r\nHost: ${name}\r\n\r\n${hidden()}`, 0],
  ["another version", () => `GET /seen HTTP/1.1x\r\nHost: ${name}\r\n\r\n${hidden()}`, 0],
  ["a line feed in the target", () => `GET /seen\n/x HTTP/1.1\r\nHost: ${name}\r\n\r\n${hidden()}`, 0],
  ["a length that Connection names", () => post("Connection: Content-Length\r\nContent-Length: 3\r\n", `abc${hidden()}`), 1],
  ["a coding that Connection names", () => post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", chunks("abc") + hidden()), 1],
  ["a body of GET", () => `GET /seen HTTP/1.1\r\nHost: ${name}\r\nContent-Length: 3\r\n\r\nabc${hidden()}`, 1],
  ["an expectation nobody knows", () => post("Expect: 200-maybe\r\nContent-Length: 3\r\n", `abc${hidden()}`), 1],
  ["an upgrade to HTTP/2 in clear", () => post("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nContent-Length: 3\r\n", `abc${hidden()}`), 1],
];

for (const way of Object.keys(ways)) {
  test(`nothing is smuggled: ${way}`, { timeout: 240000 }, async (t) => {
    let seq = await next(way);
    for (const [title, bytes, most] of rows) {
      await t.test(title, async () => {
        const answers = await say(way, bytes());
        assert.doesNotMatch(answers, /\/hidden/, "the hidden request has no answer");
        const now = await next(way);
        const ran = now - seq - 1;
        seq = now;
        assert.ok(ran <= most, `${ran} ran, at most ${most} may: ${answers.slice(0, 300)}`);
      });
    }
  });
}

test("requests in one write are as many, answered in order on their connection", async () => {
  const socket = await ways["the app's origin"]();
  let got = "";
  socket.setEncoding("latin1");
  socket.on("data", (text) => { got += text; });
  const over = once(socket, "close");
  socket.write(post("Content-Length: 5\r\n", "GET /") + post("Transfer-Encoding: chunked\r\n", chunks("abc")) + last());
  await over;
  assert.deepEqual([...got.matchAll(/\r\n\r\n(\{[^}]*\})/g)].map((one) => JSON.parse(one[1])),
    [{ path: "/seen", body: "GET /" }, { path: "/seen", body: "abc" }, { path: "/next", body: "" }]);
});
