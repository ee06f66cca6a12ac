// Two replicas of the API, one holds every agent's link: calls that come in at the other cross over once, between the two
// alone, and come back as if they had not.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { connect as tlsConnect } from "node:tls";
import { randomBytes } from "node:crypto";
import { Stack, until } from "../support/stack.mjs";
import { answersNonce } from "../../web-static/formats.js";

const source = `export default { async fetch(request) {
  const body = await request.text();
  if (new URL(request.url).pathname === "/big") return new Response("b".repeat(Number(body)));
  return new Response(request.method + " " + body.length);
} };`;

let stack, made, second;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  second = await stack.addApi(2);
  made = await stack.deploy("crossing", source, { limits: { request_bytes: 4 << 20, response_bytes: 4 << 20 } });
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

// A call on the second replica's apps origin.
function call(path = "/", body = "", method = "POST") {
  return new Promise((done, failed) => {
    const outgoing = request({ host: "127.0.0.1", port: stack.extraPorts[2].apps, path, method, timeout: 20000,
      headers: { host: made.app.replace("_", "-") + ".localhost", authorization: "Bearer " + stack.token } }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => done({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() }));
      response.on("error", failed);
    });
    outgoing.on("error", failed);
    outgoing.on("timeout", () => outgoing.destroy(new Error("timeout")));
    outgoing.end(body);
  });
}
const metric = async (url, name) => Number(new RegExp(`^${name} (.+)$`, "m").exec(await (await fetch(url + "/metrics")).text())?.[1]);

test("the other replica answers, with the instance's receipt", { timeout: 180000 }, async () => {
  const answer = await until("the second replica reaches the instance", async () => {
    const got = await call("/", "hello");
    return got.status === 200 && got;
  });
  assert.equal(answer.body, "POST 5");
  assert.ok(answer.headers["redoubt-receipt"]);
  assert.match(answer.headers["redoubt-instance"], /^ins_.+\.\d+$/);
  assert.ok(await metric(stack.api, "redoubt_forwarded_pipes_total") > 0);
  assert.equal(await metric(second, "redoubt_forwarded_pipes_total"), 0);
  assert.equal(await metric(second, "redoubt_peers"), 1);
});

test("evidence and documents of the instance too", async () => {
  const instance = (await call()).headers["redoubt-instance"].split(".")[0];
  const nonce = randomBytes(32);
  const fresh = await stack.request("GET", `${second}/v1/instances/${instance}/evidence?nonce=${nonce.toString("base64url")}`);
  assert.equal(fresh.status, 200, JSON.stringify(fresh.body));
  assert.ok(await answersNonce(fresh.body, JSON.parse(Buffer.from(fresh.body.statement, "base64url")), nonce));
  assert.equal((await stack.request("GET", `${second}/v1/instances/${instance}/docs`)).status, 200);
  const wrapped = await stack.request("POST", `${second}/v1/apps/${made.app}/invoke`, "four");
  assert.equal(Buffer.from(wrapped.body.body, "base64").toString(), "POST 4");
});

test("large bodies both ways, many at once", { timeout: 180000 }, async () => {
  const size = 3 << 20;
  assert.equal((await call("/", "x".repeat(size))).body, "POST " + size);
  const big = await call("/big", String(size));
  assert.equal(big.body.length, size);
  const many = await Promise.all(Array.from({ length: 60 }, (_, i) => call("/", "y".repeat(i * 1000))));
  assert.deepEqual(many.map((a) => a.body), Array.from({ length: 60 }, (_, i) => "POST " + i * 1000));
});

test("a slow reader at one end stops the sender at the other and loses nothing", { timeout: 180000 }, async () => {
  const size = 4000000;
  const outgoing = request({ host: "127.0.0.1", port: stack.extraPorts[2].apps, path: "/big", method: "POST",
    headers: { host: made.app.replace("_", "-") + ".localhost", authorization: "Bearer " + stack.token } });
  outgoing.end(String(size));
  const [response] = await once(outgoing, "response");
  let got = 0;
  for await (const part of response) {
    got += part.length;
    await new Promise((done) => setImmediate(done));
  }
  assert.equal(got, size);
});

test("no door for others: without a certificate of the plane there is no link", async () => {
  const socket = tlsConnect({ host: "127.0.0.1", port: stack.extraPorts[2].link, rejectUnauthorized: false, ALPNProtocols: ["redoubt-link/1"] });
  socket.on("secureConnect", () => socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  const seen = await new Promise((done) => {
    socket.on("error", (error) => done(error.code || error.message));
    socket.on("close", () => done("closed"));
  });
  assert.ok(seen, "the connection stayed open");
});

test("the owner is killed: calls fail with a problem, and go on when its host is back", { timeout: 180000 }, async () => {
  await stack.processes.get("api").kill();
  const refused = await until("the loss is known", async () => {
    const answer = await call();
    return answer.status === 503 && answer;
  });
  assert.ok(["instance_elsewhere", "no_instance"].includes(JSON.parse(refused.body).code), refused.body);
  assert.ok(refused.headers["retry-after"]);
  stack.startApi();
  await stack.apiReady();
  await until("it answers again by the new owner", async () => (await call("/", "back")).body === "POST 4", 60000);
});
