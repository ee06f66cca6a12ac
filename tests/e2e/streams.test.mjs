// Answers that leave while they are made: each piece before the next exists, a receipt behind the last one, and no answer that looks whole
// when it is not. The function waits at gates that the test opens, so that nothing here depends on time.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { request as tlsRequest } from "node:https";
import { join } from "node:path";
import { BIN, Stack, freePort, until } from "../support/stack.mjs";

const sourceOf = (port) => `
const encode = (text) => new TextEncoder().encode(text);
const gate = (name) => fetch("http://localhost:${port}/" + name).then((response) => response.text());
const streams = {
  turns: () => new ReadableStream({ async start(c) { for (const name of ["one", "two", "three"]) { c.enqueue(encode(name + ";")); await gate(name); } c.close(); } }),
  large: (n) => new ReadableStream({ pull(c) { c.enqueue(new Uint8Array(Math.min(n, 50000)).fill(97 + n % 26)); if ((n -= 50000) <= 0) c.close(); } }),
  throws: () => new ReadableStream({ async start(c) { c.enqueue(encode("half")); await gate("throw"); throw new Error("broken"); } }),
  stuck: () => new ReadableStream({ start(c) { c.enqueue(encode("half")); } }),
  left: () => new ReadableStream({ async start(c) { c.enqueue(encode("half")); await gate("reading"); }, cancel: () => gate("left") }),
  held: () => new ReadableStream({ async start(c) { c.enqueue(encode("half")); await gate("never"); } }),
};
export default { async fetch(request, env, ctx) {
  const url = new URL(request.url), name = url.pathname.slice(1);
  if (name === "back") return new Response(request.body);
  if (name === "after") ctx.waitUntil(gate("after"));
  const body = name in streams ? streams[name](Number(url.searchParams.get("n"))) : streams.large(10);
  return new Response(body, { status: 203, headers: { "content-type": "text/plain", "x-name": name } });
} };`;
const LIMIT = 2 << 20;

let stack, made, gates, tlsPort;
const waiting = new Map(); // name of a gate: its response
before(async () => {
  gates = createServer((request, response) => { waiting.set(request.url.slice(1), response); gates.emit("at", request.url.slice(1)); }).listen(0, "127.0.0.1");
  await once(gates, "listening");
  tlsPort = await freePort();
  stack = await Stack.start({ hosts: 1, agentFlags: ["--egress-allow", "127.0.0.0/8,::1/128"], apiFlags: ["--passthrough-listen", `127.0.0.1:${tlsPort}`] });
  stack.options.apiFlags = [];
  await stack.addApi(2);
  made = await stack.deploy("streams", sourceOf(gates.address().port), { open: true, limits: { response_bytes: LIMIT, time_ms: 20000 }, resources: { cpu_m: 1000 },
    egress: [{ host: `http://localhost:${gates.address().port}`, private: true }] });
}, { timeout: 180000 });
after(async () => { gates?.closeAllConnections(); gates?.close(); await stack?.close(); });

async function reached(name) {
  while (!waiting.has(name)) await once(gates, "at");
  return waiting.get(name);
}
async function open(name) {
  const response = await reached(name);
  waiting.delete(name);
  response.end("open");
}

// The head of an answer, as it comes.
function call(path, { port = stack.ports.apps, method = "GET", body, headers = {} } = {}) {
  return new Promise((done, failed) => {
    const ask = port === tlsPort ? tlsRequest : httpRequest, servername = made.app.replace("_", "-") + ".localhost";
    const outgoing = ask({ host: "127.0.0.1", port, path, method, agent: false, servername, rejectUnauthorized: false,
      headers: { host: servername, authorization: "Bearer " + stack.token, ...headers } }, done);
    outgoing.on("error", failed);
    outgoing.end(body);
  });
}
const piece = async (response) => String((await once(response, "data"))[0]);
async function rest(response) {
  const parts = [];
  for await (const part of response) parts.push(part);
  return Buffer.concat(parts);
}
// The answer ends, and does not look whole.
async function isCut(response) {
  await assert.rejects(rest(response), /aborted|ECONNRESET|terminated/);
  assert.equal(response.complete, false);
  assert.equal(response.trailers["redoubt-receipt"], undefined);
}

test("each piece comes before the next exists, and the receipt behind the last", { timeout: 180000 }, async () => {
  const response = await call("/turns");
  assert.equal(response.statusCode, 203);
  assert.equal(response.headers["transfer-encoding"], "chunked");
  assert.equal(response.headers.trailer?.toLowerCase(), "redoubt-receipt");
  assert.equal(response.headers["redoubt-receipt"], undefined);
  assert.ok(response.headers["redoubt-salt"]);
  for (const name of ["one", "two", "three"]) {
    assert.equal(await piece(response), name + ";");
    await open(name);
  }
  assert.equal((await rest(response)).length, 0);
  assert.equal(response.complete, true);
  const receipt = JSON.parse(Buffer.from(response.trailers["redoubt-receipt"], "base64url"));
  assert.equal(receipt.claims.status, 203);
});

test("the command line verifies the receipt of a stream, plain and sealed", { timeout: 180000 }, async () => {
  for (const flags of [["--plain"], []]) {
    const shown = await stack.json("invoke", "streams", "--path", "/large?n=300000", ...flags);
    assert.equal(shown.verified, true);
    assert.equal(shown.status, 203);
    assert.equal(shown.body.length, 300000);
    for (const name of ["request", "response"]) assert.ok(shown.steps.some((step) => step.name === name && step.ok), name);
  }
});

test("a caller who reads slowly gets it all, across replicas too", { timeout: 180000 }, async () => {
  const want = createHash("sha256");
  for (let n = 1900000; n > 0; n -= 50000) want.update(Buffer.alloc(Math.min(n, 50000), 97 + n % 26));
  const digest = want.digest("hex");
  const slow = async (port) => {
    const response = await call("/large?n=1900000", { port }), got = createHash("sha256");
    if (response.statusCode !== 203) throw new Error(`status ${response.statusCode}`);
    for await (const part of response) {
      got.update(part);
      await new Promise((done) => setImmediate(done));
    }
    assert.equal(got.digest("hex"), digest);
    assert.ok(response.trailers["redoubt-receipt"]);
    return true;
  };
  await slow(stack.ports.apps);
  await until("the second replica reaches the instance", () => slow(stack.extraPorts[2].apps), 30000);
});

test("what was sent comes back as a stream; HEAD has no body; other answers stay whole", { timeout: 180000 }, async () => {
  const back = await call("/back", { method: "POST", body: "there and back" });
  assert.equal(String(await rest(back)), "there and back");
  const head = await call("/large?n=100000", { method: "HEAD" });
  assert.equal(head.statusCode, 203);
  assert.ok(head.headers["redoubt-receipt"]);
  assert.equal((await rest(head)).length, 0);
});

test("work of waitUntil goes on after the stream's end", { timeout: 180000 }, async () => {
  const response = await call("/after");
  assert.equal((await rest(response)).length, 10);
  assert.ok(response.trailers["redoubt-receipt"]);
  await open("after");
});

test("inside TLS that ends in the enclave: pieces as they are made, a slow reader, a cut", { timeout: 180000 }, async () => {
  const turns = await call("/turns", { port: tlsPort });
  for (const name of ["one", "two", "three"]) {
    assert.equal(await piece(turns), name + ";");
    await open(name);
  }
  assert.equal((await rest(turns)).length, 0);
  assert.ok(turns.trailers["redoubt-receipt"]);
  const large = await call("/large?n=1900000", { port: tlsPort });
  let size = 0;
  for await (const part of large) {
    size += part.length;
    await new Promise((done) => setImmediate(done));
  }
  assert.equal(size, 1900000);
  await isCut(await call("/stuck", { port: tlsPort }));
});

test("a stream that fails, stalls or grows past its bound is cut", { timeout: 180000 }, async () => {
  const failing = await call("/throws");
  assert.equal(await piece(failing), "half");
  await open("throw");
  await isCut(failing);
  await isCut(await call("/stuck"));
  await isCut(await call(`/large?n=${LIMIT + 50000}`));
  assert.equal((await rest(await call("/large?n=7"))).length, 7); // the next one is served as ever
});

// The command line while it runs: {stdout, errors(), ended}.
function invoke(path) {
  const child = spawn(join(BIN, "redoubt"), ["invoke", "streams", "--path", path, "--plain", "--stream"], { stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, REDOUBT_PROFILE: stack.profile, HOME: stack.dir, XDG_CONFIG_HOME: "", XDG_STATE_HOME: "" } });
  let errors = "";
  child.stderr.on("data", (part) => { errors += part; });
  return { stdout: child.stdout, errors: () => errors, ended: once(child, "close").then(([code]) => code) };
}

test("the command line shows a stream as it comes, and its receipt's word at the end", { timeout: 180000 }, async () => {
  const running = invoke("/turns");
  for (const name of ["one", "two", "three"]) {
    assert.equal(await piece(running.stdout), name + ";");
    assert.doesNotMatch(running.errors(), /receipt/);
    await open(name);
  }
  assert.equal(await running.ended, 0);
  assert.match(running.errors(), /receipt +verified/);
});

test("the command line withholds a stream until its receipt is verified, unless it was told otherwise", { timeout: 180000 }, async () => {
  const result = await stack.cli("invoke", "streams", "--path", "/large?n=7", "--plain");
  assert.equal(result.code, 0, result.stderr);
  assert.equal(result.stdout.trimEnd().length, 7);
  assert.equal((await stack.cli("invoke", "streams", "--plain", "--stream", "--release", "sha256:" + "0".repeat(64))).code, 2);
  const cut = stack.cli("invoke", "streams", "--path", "/throws", "--plain");
  await open("throw");
  assert.equal((await cut).stdout, "", "half an answer is none");
});

test("the command line names an answer that is cut, and calls what it printed partial", { timeout: 180000 }, async () => {
  const result = await stack.cli("invoke", "streams", "--path", "/stuck", "--json", "--plain");
  assert.notEqual(result.code, 0);
  assert.match(result.stdout + result.stderr, /"code": ?"truncated"/);
  const running = invoke("/throws");
  assert.equal(await piece(running.stdout), "half");
  await open("throw");
  assert.equal(await running.ended, 1);
  assert.match(running.errors(), /PARTIAL/);
  assert.doesNotMatch(running.errors(), /verified/);
});

test("a caller who leaves ends the stream, and the function is told", { timeout: 180000 }, async () => {
  const response = await call("/left");
  assert.equal(await piece(response), "half");
  await reached("reading");
  response.destroy();
  await open("left");
  waiting.delete("reading");
  assert.equal((await rest(await call("/large?n=7"))).length, 7);
});

test("an agent or a replica that dies in the middle cuts the answer", { timeout: 180000 }, async () => {
  for (const end of [() => stack.agent().kill(), () => stack.processes.get("api").kill()]) {
    const response = await until("the instance answers", async () => {
      const answer = await call("/held");
      if (answer.statusCode !== 203) { answer.resume(); throw new Error(`status ${answer.statusCode}`); }
      return answer;
    }, 40000);
    assert.equal(await piece(response), "half");
    await reached("never");
    waiting.delete("never");
    await end();
    await isCut(response);
    if (end.toString().includes("agent")) stack.startAgent(1);
  }
});
