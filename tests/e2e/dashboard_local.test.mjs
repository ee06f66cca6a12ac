// redoubt dashboard: the same files from the command line, on loopback; what is proved, called and signed there happens on this machine.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { request } from "node:http";
import { connect } from "node:net";
import { readFileSync, mkdtempSync, cpSync, appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Markers } from "../support/markers.mjs";
import { BIN, ROOT, Stack, until } from "../support/stack.mjs";

let stack, dashboard, origin, way, cookie, key, app;
before(async () => {
  // R7: the plane serves a dashboard with one byte more in a script.
  const altered = mkdtempSync("/tmp/rd-web-");
  cpSync(join(ROOT, "web-static"), altered, { recursive: true });
  appendFileSync(join(altered, "app.js"), " ");
  stack = await Stack.start({ hosts: 1, apiFlags: ["--web-dir", altered] });
  app = (await stack.deploy("shown", "export default { async fetch(r) { return new Response('got ' + await r.text()); } }")).app;
  dashboard = spawn(join(BIN, "redoubt"), ["dashboard", "--json"], { env: { ...process.env, REDOUBT_PROFILE: stack.profile, HOME: stack.dir, XDG_CONFIG_HOME: "", XDG_STATE_HOME: "" } });
  let printed = "";
  dashboard.stdout.on("data", (data) => { printed += data; });
  await until("the address is printed", () => printed.includes("\n"));
  const url = new URL(JSON.parse(printed).url);
  origin = url.origin;
  way = url.pathname;
});
after(async () => { dashboard?.kill("SIGINT"); await stack?.close(); });

// By node:http: Host and Origin are what the caller says.
function ask(method, path, { headers = {}, body } = {}) {
  const { hostname, port } = new URL(origin);
  return new Promise((done, failed) => {
    const outgoing = request({ hostname, port, method, path, headers: { host: `${hostname}:${port}`, ...headers } }, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => done({ status: response.statusCode, headers: response.headers, text: Buffer.concat(parts).toString() }));
    });
    outgoing.on("error", failed);
    outgoing.end(body);
  });
}
const as = (headers = {}) => ({ cookie, ...headers });
const keyed = () => as({ "redoubt-csrf": key });
const change = (path, body) => ask("POST", path, { headers: as({ origin, "redoubt-csrf": key, "content-type": "application/json" }), body: JSON.stringify(body) });

test("without the printed address nothing is shown, not even a file", async () => {
  for (const path of ["/", "/app.js", "/v1/apps", "/v1/session"]) assert.equal((await ask("GET", path)).status, 403, path);
  assert.equal((await ask("GET", "/open/" + "0".repeat(64))).status, 403);
});

test("R64: another name for this address (DNS rebinding) is refused", async () => {
  assert.equal((await ask("GET", way, { headers: { host: "evil.example:" + new URL(origin).port } })).status, 421);
});

test("the address works once", async () => {
  const first = await ask("GET", way);
  assert.equal(first.status, 303);
  assert.match(first.headers["set-cookie"][0], /; HttpOnly; SameSite=Strict$/);
  cookie = first.headers["set-cookie"][0].split(";")[0];
  [, key] = /^\/#local=([0-9a-f]{64})$/.exec(first.headers.location);
  assert.equal((await ask("GET", way)).status, 403);
});

test("an answer without a body has nothing behind its head: what a connection says next is the next answer", async () => {
  const first = await ask("GET", `/v1/apps/${app}`, { headers: keyed() });
  const { hostname, port } = new URL(origin), socket = connect(Number(port), hostname);
  let got = "";
  socket.on("data", (bytes) => { got += bytes; });
  const send = (path, more = "") => socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nCookie: ${cookie}\r\nRedoubt-CSRF: ${key}\r\n${more}\r\n`);
  send(`/v1/apps/${app}`, `If-None-Match: ${first.headers.etag}\r\n`);
  await until("it is answered", () => got.includes("\r\n\r\n"));
  send("/icon.svg");
  await until("the next is answered", () => got.includes("<svg"));
  socket.destroy();
  assert.match(got, /^HTTP\/1\.1 304 /);
  assert.match(got.split("\r\n\r\n")[1], /^HTTP\/1\.1 200 /);
});

test("HEAD is answered with a head alone, by this program and by the plane behind it", async () => {
  const { hostname, port } = new URL(origin), socket = connect(Number(port), hostname);
  let got = "";
  socket.on("data", (bytes) => { got += bytes; });
  const send = (method, path) => socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nCookie: ${cookie}\r\nRedoubt-CSRF: ${key}\r\n\r\n`);
  const heads = () => got.split("\r\n\r\n").length - 1;
  const paths = ["/app.js", "/v1/apps", "/v1/session", "/v1/nothing"];
  for (const [i, path] of paths.entries()) {
    const whole = await ask("GET", path, { headers: keyed() });
    send("HEAD", path);
    await until("it is answered", () => heads() > i);
    const head = got.split("\r\n\r\n")[i];
    assert.match(head, new RegExp(`^HTTP/1\\.1 ${whole.status} `), path);
    assert.match(head, path === "/v1/nothing" ? /^content-length: [1-9]/im : new RegExp(`^content-length: ${Buffer.byteLength(whole.text)}\r?$`, "im"), path);
  }
  send("GET", "/icon.svg");
  await until("the next is answered", () => got.includes("<svg"));
  socket.destroy();
  assert.match(got.split("\r\n\r\n")[paths.length], /^HTTP\/1\.1 200 [^]*image\/svg/);
});

test("R7: the files are those of the command line, whatever the plane serves; strict headers", async () => {
  for (const path of ["/app.js", "/here.js", "/index.html", "/pages/deploy.js"]) {
    const shown = await ask("GET", path, { headers: as() });
    assert.equal(shown.text, readFileSync(join(ROOT, "web-static", path), "utf8"), path);
    assert.match(shown.headers["content-security-policy"], /default-src 'none'.*require-trusted-types-for 'script'/);
  }
  assert.notEqual(await (await fetch(stack.api + "/app.js")).text(), readFileSync(join(ROOT, "web-static/app.js"), "utf8"));
  assert.match((await ask("GET", "/apps/" + app, { headers: as() })).text, /<!doctype html>/i);
  assert.equal((await ask("GET", "/../etc/passwd.txt", { headers: as() })).status, 404);
});

test("the plane's routes are passed on with the profile's token, which the page never sees", async () => {
  const session = JSON.parse((await ask("GET", "/v1/session", { headers: keyed() })).text);
  assert.equal(session.local.api, stack.api);
  const apps = await ask("GET", "/v1/apps", { headers: keyed() });
  assert.equal(JSON.parse(apps.text).items[0].name, "shown");
  const page = [session, apps].map((one) => JSON.stringify(one)).join("");
  assert.ok(!page.includes(stack.token));
  assert.ok(!page.includes(key), "the cookie alone leads to no key");
  const events = await fetch(origin + "/v1/events", { headers: { ...keyed(), accept: "text/event-stream" }, signal: AbortSignal.timeout(15000) });
  assert.equal(events.status, 200);
  assert.match(events.headers.get("content-type"), /event-stream/);
  await events.body.cancel();
});

test("a cookie that another port of this address was sent opens files alone", async () => {
  for (const path of ["/v1/session", "/v1/apps", "/v1/events"]) assert.equal((await ask("GET", path, { headers: as() })).status, 403, path);
  assert.equal((await ask("POST", "/local/verify", { headers: as({ origin, "content-type": "application/json" }), body: JSON.stringify({ app }) })).status, 403);
});

test("only plain paths of the plane are passed on: the token goes nowhere else", async () => {
  for (const path of ["/%2fv1%2f@127.0.0.1:9/x", "//v1/apps", "/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/./login", "/v1//apps"]) {
    const answer = await ask("GET", path, { headers: keyed() });
    assert.ok(answer.status === 404 || /^<!doctype html>/i.test(answer.text), `${path}: ${answer.status} ${answer.text}`); // a path of the dashboard's own is its page
  }
});

test("R64: a change needs this page's header token and origin", async () => {
  const body = JSON.stringify({ name: "foreign" });
  for (const headers of [{}, { origin }, { origin: "http://evil.example", "redoubt-csrf": key }, { origin, "redoubt-csrf": "0".repeat(64) }])
    assert.equal((await ask("POST", "/v1/tokens", { headers: as({ "content-type": "application/json", ...headers }), body })).status, 403, JSON.stringify(headers));
});

test("verify, invoke and deploy are the command line's own", async () => {
  const proof = JSON.parse((await change("/local/verify", { app })).text);
  assert.equal(proof.exit, 0, proof.said);
  assert.ok(proof.result[0].verified && proof.result[0].simulated);
  const call = JSON.parse((await change("/local/invoke", { app, path: "/", type: "text/plain", body: "hello" })).text);
  assert.equal(call.exit, 0, call.said);
  assert.equal(call.result.body, "got hello");
  assert.ok(call.result.verified);
  const manifest = { name: "made-here", main: "index.js" };
  const plan = JSON.parse((await change("/local/deploy", { manifest, source: "export default { fetch() { return new Response('x'); } }", plan: true })).text);
  assert.equal(plan.exit, 10, plan.said);
  const done = JSON.parse((await change("/local/deploy", { manifest, source: "export default { fetch() { return new Response('x'); } }", plan: false })).text);
  assert.equal(done.exit, 0, done.said);
  assert.match(done.result.app, /^app_/);
  const policyOf = async () => JSON.parse(Buffer.from((await stack.rest("GET", `/v1/apps/${done.result.app}/heads/current`)).document, "base64url")).policy;
  const strict = { ...(await policyOf()), tcb: ["UpToDate"] };
  writeFileSync(join(stack.dir, "strict.json"), JSON.stringify(strict));
  await stack.deploy("made-here", "export default { fetch() { return new Response('y'); } }", { policy: "../strict.json" });
  assert.equal(JSON.parse((await change("/local/deploy", { manifest, source: "export default { fetch() { return new Response('z'); } }", plan: false })).text).exit, 0);
  assert.deepEqual(await policyOf(), strict, "the owner's policy stays");
});

test("a secret's value stays in no memory of the program once its verb has run", async () => {
  const value = "a value that " + Math.random().toString(36).slice(2) + " is nowhere else";
  const markers = new Markers({ secret: value });
  const done = JSON.parse((await change("/local/secret", { action: "set", app, name: "TOKEN", value: "x".repeat(9000) + value + "\u00e9".repeat(4000) })).text);
  assert.notEqual(done.exit, undefined); // this plane has no key service: what the verb said is no matter
  assert.deepEqual(markers.memory(dashboard.pid, "the dashboard"), []);
});

test("what the page sends never becomes a flag of a verb", async () => {
  const answer = JSON.parse((await change("/local/verify", { app: "--help" })).text);
  assert.notEqual(answer.exit, 0);
  assert.equal(answer.result, null);
});
