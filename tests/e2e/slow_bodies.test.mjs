// Callers who send their bodies slowly, or not at all: they take their own app's share of the memory for bodies, not the others', not for long, and
// give it back however they end. The memory is small here, so that a few of them fill it.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { Stack, until } from "../support/stack.mjs";

const source = `export default { async fetch(request) {
  if (new URL(request.url).pathname === "/stream")
    return new Response(new ReadableStream({ async start(c) { c.enqueue(new TextEncoder().encode("begun")); await new Promise((done) => setTimeout(done, 19000)); c.close(); } }));
  return new Response(String((await request.arrayBuffer()).byteLength));
} };`;
const MIB = 1 << 20;

let stack, hosts;
before(async () => {
  stack = await Stack.start({ hosts: 1, apiFlags: ["--body-memory", "8MiB"] });
  hosts = {};
  for (const name of ["greedy", "other", "closed"]) {
    const made = await stack.deploy(name, source, { open: name !== "closed", limits: { request_bytes: 2 * MIB, time_ms: 20000 }, resources: { cpu_m: 500 } });
    hosts[name] = made.app.replace("_", "-") + ".localhost";
  }
}, { timeout: 180000 });
after(() => stack?.close());

// A request whose body is the test's to send: {write, answer, leave}. answer resolves with {status, headers, text} once it is there whole.
async function begin(port, host, { path = "/", method = "POST", size, headers = "" }) {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  let got = "", isOver = false, wake = () => {};
  socket.on("error", () => {}); // a refused body's connection may be reset while more of it is written
  socket.on("data", (bytes) => { got += bytes.toString("latin1"); wake(); });
  socket.on("close", () => { isOver = true; wake(); });
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n${size === undefined ? "Transfer-Encoding: chunked" : `Content-Length: ${size}`}\r\n${headers}\r\n`);
  const parse = () => {
    const [head, ...rest] = got.split("\r\n\r\n"), text = rest.join("\r\n\r\n");
    if (!rest.length) return null;
    const fields = Object.fromEntries(head.split("\r\n").slice(1).map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
    return text.length >= Number(fields["content-length"]) ? { status: Number(head.slice(9, 12)), headers: fields, text } : null;
  };
  const answer = (async () => {
    while (!parse()) {
      if (isOver) return { status: 0, text: got };
      await new Promise((done) => { wake = done; });
    }
    return parse();
  })();
  return { socket, answer, write: (bytes) => socket.write(bytes), leave: () => socket.destroy(), said: () => got };
}
const app = (name, options = {}) => begin(stack.ports.apps, hosts[name], options);
async function upload(name, size, headers) {
  const one = await app(name, { size, headers });
  one.write(Buffer.alloc(size));
  const answer = await one.answer;
  one.leave();
  return answer;
}
async function held(listener = "apps") {
  const text = await (await fetch(stack.api + "/metrics")).text();
  return Number(new RegExp(`^redoubt_body_bytes\\{listener="${listener}"\\} (\\d+)$`, "m").exec(text)[1]);
}
const nothingHeld = () => until("all memory is given back", async () => (await held()) === 0 && (await held("rest")) === 0);
const isProblem = (answer, status, code) => {
  assert.deepEqual([answer.status, answer.headers?.["content-type"]], [status, "application/problem+json"], answer.text);
  const problem = JSON.parse(answer.text);
  assert.deepEqual([problem.status, problem.code], [status, code]);
  assert.ok(Number(answer.headers["retry-after"]) > 0);
};

test("slow uploads to one app stop neither another app's nor the REST API's", { timeout: 180000 }, async () => {
  const slow = [];
  for (let i = 0; i < 12; i++) {
    const one = await app("greedy", { size: MIB });
    one.write(Buffer.alloc(MIB - 1));
    slow.push(one);
  }
  await until("the share is full", async () => (await held()) >= 3 * MIB);
  assert.ok(await held() <= 4 * MIB + 64, "one app has half at most");
  isProblem(await upload("greedy", MIB), 429, "too_many_bodies");
  assert.equal((await upload("greedy", 1000)).text, "1000", "a small one still finds room");
  assert.equal((await upload("other", MIB)).text, String(MIB));
  const blob = randomBytes(MIB);
  assert.equal((await stack.request("PUT", "/v1/blobs/" + createHash("sha256").update(blob).digest("hex"), blob, { "content-type": "application/octet-stream" })).status < 300, true);
  // Those that had room go on; the others know that they had none.
  for (const one of slow) one.write(Buffer.alloc(1));
  const answers = await Promise.all(slow.map((one) => one.answer));
  const served = answers.filter((answer) => answer.status === 200);
  assert.ok(served.length >= 3, `${served.length} were served`);
  for (const answer of answers) if (answer.status !== 200) isProblem(answer, 429, "too_many_bodies");
  for (const one of slow) one.leave();
  await nothingHeld();
  assert.equal((await upload("greedy", MIB)).text, String(MIB));
});

test("two greedy apps leave room for a third, and for REST", { timeout: 180000 }, async () => {
  const slow = [];
  for (const name of ["greedy", "other"])
    for (let i = 0; i < 6; i++) {
      const one = await app(name, { });
      const size = 300000;
      one.write(size.toString(16) + "\r\n");
      one.write(Buffer.alloc(size - 1)); // in chunks: nobody knows how much will come
      slow.push(one);
    }
  await until("both have their share", async () => (await held()) >= 5 * MIB);
  const seen = await app("closed", { method: "GET", size: 0, headers: `Authorization: Bearer ${stack.token}\r\n` });
  assert.equal((await seen.answer).status, 200);
  assert.equal((await upload("closed", MIB / 2, `Authorization: Bearer ${stack.token}\r\n`)).text, String(MIB / 2));
  assert.equal((await stack.rest("POST", "/v1/enrol-tokens", {})).token.length > 0, true);
  for (const one of slow) one.leave();
  await nothingHeld();
});

test("strangers with tokens that are none do not hold the app's own callers off", { timeout: 180000 }, async () => {
  const slow = [];
  for (let i = 0; i < 8; i++) {
    const one = await app("closed", { size: MIB, headers: `Authorization: Bearer rdt_${randomBytes(16).toString("hex")}\r\n` });
    one.write(Buffer.alloc(MIB - 1));
    slow.push(one);
  }
  await until("their share is full", async () => (await held()) >= 3 * MIB);
  const auth = `Authorization: Bearer ${stack.token}\r\n`;
  assert.equal((await (await app("closed", { method: "GET", size: 0, headers: auth })).answer).status, 200);
  assert.equal((await upload("closed", MIB, auth)).text, String(MIB));
  const nobody = await app("closed", { size: MIB });
  assert.equal((await nobody.answer).status, 401, "who shows no token is refused before a body is read");
  const nowhere = await begin(stack.ports.apps, "app-" + "a".repeat(52) + ".localhost", { size: MIB });
  assert.equal((await nowhere.answer).status, 404);
  for (const one of slow) one.leave();
  await nothingHeld();
});

test("a body that trickles is answered 408, at both listeners, and its connection ends", { timeout: 180000 }, async () => {
  const began = Date.now(), auth = `Authorization: Bearer ${stack.token}\r\n`;
  const slow = [
    await app("greedy", { size: MIB }),
    await app("greedy", {}),
    await begin(stack.ports.api, "127.0.0.1", { path: "/v1/enrol-tokens", size: 1000, headers: auth + "Content-Type: application/json\r\n" }),
    await begin(stack.ports.api, "127.0.0.1", { path: "/v1/login", size: 1000, headers: "Content-Type: application/json\r\n" }),
  ];
  const drip = setInterval(() => slow.forEach((one, i) => one.write(i === 1 ? "1\r\na\r\n" : "a")), 200);
  const answers = await Promise.all(slow.map((one) => one.answer));
  const took = Date.now() - began;
  for (const answer of answers) {
    isProblem(answer, 408, "body_slow");
    assert.equal(answer.headers.connection, "close");
  }
  assert.ok(took >= 9000, `${took} ms`);
  await until("their connections end", () => slow.every((one) => one.socket.closed));
  clearInterval(drip);
  await nothingHeld();
});

test("a burst buys no long rest, and one that is refused is told so in time", { timeout: 180000 }, async () => {
  const began = Date.now();
  const stalled = await app("greedy", { size: MIB });
  stalled.write(Buffer.alloc(MIB - 1));
  const endless = await app("other", {}); // more than any release allows
  for (let i = 0; i < 18; i++) endless.write(MIB.toString(16) + "\r\n" + "a".repeat(MIB) + "\r\n");
  const [late, large] = await Promise.all([stalled.answer, endless.answer]);
  isProblem(late, 408, "body_slow");
  assert.ok(Date.now() - began < 60000);
  isProblem(large, 429, "too_many_bodies");
  stalled.leave();
  endless.leave();
  await nothingHeld();
});

test("what a release does not take is refused while it comes", { timeout: 180000 }, async () => {
  const announced = await app("greedy", { size: 100 * MIB });
  assert.equal((await announced.answer).status, 413);
  const sent = await begin(stack.ports.api, "127.0.0.1", { path: "/v1/enrol-tokens", headers: `Authorization: Bearer ${stack.token}\r\nContent-Type: application/json\r\n` });
  sent.write((2 * MIB).toString(16) + "\r\n" + "a".repeat(MIB + 1)); // at most 1 MiB
  const answer = await sent.answer;
  assert.deepEqual([answer.status, JSON.parse(answer.text).code], [413, "too_large"], "without waiting for the rest, which would be 408");
  await until("its connection ends", () => sent.socket.closed);
  await nothingHeld();
});

test("a body is given back while its answer still comes", { timeout: 180000 }, async () => {
  const one = await app("greedy", { path: "/stream", size: MIB });
  one.write(Buffer.alloc(MIB));
  await until("the stream has begun", () => one.said().includes("begun"));
  await nothingHeld();
  assert.doesNotMatch(one.said(), /\r\n0\r\n/);
  one.leave();
});
