// TLS that ends inside an enclave, through a plane that may lie: what is routed where, what the connection proves, and who notices a
// relay that ends TLS itself. Tests carry the ids of the attacks that they show.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { Markers } from "../support/markers.mjs";
import { Proxy } from "../support/proxy.mjs";
import { Stack, freePort, until } from "../support/stack.mjs";

const source = `export default { async fetch(request) {
  const text = request.method === "POST" ? await request.text() : "", url = new URL(request.url);
  if (url.pathname.startsWith("/loud")) return new Response(text.toUpperCase());
  if (url.pathname === "/big") return new Response("x".repeat(Number(url.searchParams.get("n"))));
  return new Response("inside " + url.host + " " + text.length, { headers: { "content-type": "text/plain" } });
} };`;
const OWN = "/.well-known/redoubt/";

let stack, port, app, closed, quiet;
before(async () => {
  port = await freePort();
  stack = await Stack.start({ hosts: 1, apiFlags: ["--passthrough-listen", `127.0.0.1:${port}`] });
  const deploy = async (name, settings) => {
    await stack.deploy(name, source, settings);
    return (await stack.rest("GET", `/v1/apps?name=${name}`)).items[0].id;
  };
  app = await deploy("open", { open: true });
  closed = await deploy("closed", {});
  quiet = await deploy("quiet", { open: true, plain: false });
}, { timeout: 180000 });
after(() => stack?.close());

const nameOf = (id) => `${id.replace("_", "-")}.localhost`;

// A verified-by-nobody TLS connection; the tests do their own checks.
async function open(id = app, options = {}) {
  const socket = connectTls({ host: "127.0.0.1", port, servername: nameOf(id), rejectUnauthorized: false, ALPNProtocols: ["http/1.1"], ...options });
  const failed = once(socket, "error").then(([e]) => { throw e; });
  failed.catch(() => {});
  await Promise.race([once(socket, "secureConnect"), failed]);
  return socket;
}

// One request on an open connection: {status, headers, body}. Answers carry Content-Length always.
function ask(socket, path, { method = "GET", headers = {}, body = "" } = {}) {
  return new Promise((done, failed) => {
    let bytes = Buffer.alloc(0);
    const onEnd = () => failed(new Error(`the connection ended after ${bytes.length} bytes`));
    const onData = (data) => {
      bytes = Buffer.concat([bytes, data]);
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      const [first, ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
      const fields = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
      const size = Number(fields["content-length"]);
      if (bytes.length < end + 4 + size) return;
      socket.off("data", onData).off("close", onEnd).off("error", failed);
      done({ status: Number(first.split(" ")[1]), headers: fields, body: bytes.subarray(end + 4, end + 4 + size) });
    };
    socket.on("data", onData).on("close", onEnd).on("error", failed);
    const all = { host: "app.example", ...(body ? { "content-length": Buffer.byteLength(body) } : {}), ...headers };
    socket.write(`${method} ${path} HTTP/1.1\r\n${Object.entries(all).map(([n, v]) => `${n}: ${v}\r\n`).join("")}\r\n${body}`);
  });
}

// Some readers take the first PEM that they find in a certificate's bytes, and the quote inside holds some: it goes in as PEM itself.
const certificateOf = (socket) => new X509Certificate(`-----BEGIN CERTIFICATE-----\n${socket.getPeerCertificate(true).raw.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`);
const exporter = (socket) => socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0)).toString("base64url");
const statementOf = (bundle) => JSON.parse(Buffer.from(JSON.parse(bundle).statement, "base64url"));
async function evidence(socket, nonce = randomBytes(32).toString("base64url")) {
  const answer = await ask(socket, `${OWN}evidence?nonce=${nonce}`);
  assert.equal(answer.status, 200, answer.body.toString());
  return { nonce, bundle: answer.body, statement: statementOf(answer.body) };
}
// The same path on the apps' origin, where the plane reads along.
async function plain(path, fields = {}) {
  const outgoing = httpRequest({ host: "127.0.0.1", port: stack.ports.apps, path, headers: { host: nameOf(app), ...fields } }).end();
  const [response] = await once(outgoing, "response"), parts = [];
  for await (const part of response) parts.push(part);
  return { status: response.statusCode, body: Buffer.concat(parts).toString() };
}
// How a connection that is refused ends: the alert's text, or the kind of the end.
const refusal = (id, options) => open(id, options).then((socket) => { socket.destroy(); return "connected"; }, (e) => e.code || e.message);

test("requests go to the function inside, with receipts, on one connection", { timeout: 180000 }, async () => {
  const socket = await open();
  assert.equal(socket.getProtocol(), "TLSv1.3");
  assert.equal(socket.alpnProtocol, "http/1.1");
  for (const body of ["", "12345"]) {
    const answer = await ask(socket, "/where", { method: body ? "POST" : "GET", body });
    assert.equal(answer.status, 200);
    assert.equal(answer.body.toString(), `inside app.example ${body.length}`);
    assert.ok(answer.headers["redoubt-receipt"], "signed by the enclave");
  }
  const big = await ask(socket, "/big?n=3000000");
  assert.equal(big.body.length, 3000000, "an answer larger than every buffer on the way");
  assert.equal((await ask(socket, "/after")).status, 200);
  socket.destroy();
});

test("evidence is bound to the nonce, the certificate and this very connection", { timeout: 180000 }, async () => {
  const one = await open(), two = await open();
  const first = await evidence(one), second = await evidence(two);
  assert.equal(first.statement.purpose, "channel");
  assert.equal(first.statement.nonce, first.nonce);
  assert.deepEqual(first.statement.channel, { type: "tls-exporter", value: exporter(one) });
  assert.equal(second.statement.channel.value, exporter(two));
  assert.notEqual(first.statement.channel.value, second.statement.channel.value);
  const spki = certificateOf(one).publicKey.export({ type: "spki", format: "der" });
  assert.equal(first.statement.keys.tls, createHash("sha256").update(spki).digest("base64url"));
  assert.equal(first.statement.app, app);
  one.destroy();
  two.destroy();
});

test("R6 purposes do not mix: client evidence needs no channel, channel evidence comes on one alone", { timeout: 180000 }, async () => {
  const socket = await open(), nonce = exporter(socket);
  assert.equal((await ask(socket, `${OWN}evidence?nonce=${nonce}&purpose=client`)).status, 422);
  assert.equal((await ask(socket, `${OWN}evidence?nonce=${nonce}&purpose=channel`)).status, 200);
  const statement = statementOf((await plain(`${OWN}evidence?nonce=${nonce}`)).body);
  assert.equal(statement.purpose, "client");
  assert.equal(statement.channel, null, "an exporter sent as a nonce stays a nonce");
  assert.equal((await plain(`${OWN}evidence?nonce=${nonce}&purpose=channel`)).status, 422);
  socket.destroy();
});

test("the certificate is RA-TLS that the command line verifies by itself", { timeout: 180000 }, async () => {
  const socket = await open(), cert = certificateOf(socket);
  socket.destroy();
  assert.ok(cert.verify(cert.publicKey), "signed by its own key");
  assert.ok(Date.parse(cert.validTo) - Date.parse(cert.validFrom) <= 25 * 3600 * 1000, "a quote in a certificate is not fresh: it is short");
  const file = join(stack.dir, "instance.pem"), pki = join(stack.dir, "pki");
  writeFileSync(file, cert.toString());
  const judged = async (path) => {
    const result = await stack.cli("evidence", "verify", path, "--collateral", join(pki, "collateral.json"), "--trust-root", join(pki, "root.pem"), "--json");
    return { code: result.code, report: JSON.parse(result.stdout) };
  };
  const good = await judged(file);
  assert.equal(good.report.genuine, true, JSON.stringify(good.report));
  const raw = Buffer.from(cert.raw);
  raw[raw.length - 5] ^= 1;
  writeFileSync(file, raw);
  assert.equal((await judged(file)).code, 6, "a changed certificate is none");
});

// I12 : no ticket is given, and none is taken.
test("R39 nothing can be resumed", { timeout: 180000 }, async () => {
  const tickets = [];
  const socket = await open();
  socket.on("session", (ticket) => tickets.push(ticket));
  await ask(socket, "/");
  const session = socket.getSession();
  assert.equal(tickets.length, 0);
  socket.destroy();
  const again = await open(app, { session });
  assert.equal(again.isSessionReused(), false);
  again.destroy();
});

test("a release that takes sealed requests alone takes none here either, but its evidence is there", { timeout: 180000 }, async () => {
  const socket = await open(quiet);
  const answer = await ask(socket, "/");
  assert.equal(answer.status, 403);
  assert.equal(answer.headers["redoubt-error"], "plain_refused");
  const other = await open(quiet);
  assert.equal((await evidence(other)).statement.app, quiet);
  socket.destroy();
  other.destroy();
});

test("names that are nobody's, another's or missing are refused before any instance hears of them", { timeout: 180000 }, async () => {
  const unknown = "app_" + "a".repeat(52);
  assert.match(await refusal(unknown), /UNRECOGNIZED_NAME/);
  assert.match(await refusal(app, { servername: "www.example" }), /UNRECOGNIZED_NAME/);
  assert.match(await refusal(app, { servername: "" }), /UNRECOGNIZED_NAME/);
  assert.match(await refusal(app, { servername: nameOf(app).replace(".localhost", ".elsewhere") }), /UNRECOGNIZED_NAME/);
  assert.match(await refusal(closed), /ACCESS_DENIED/, "a token could not be seen here");
  assert.match(await refusal(app, { maxVersion: "TLSv1.2" }), /PROTOCOL_VERSION/, "the enclave's own word");
  assert.match(await refusal(app, { ALPNProtocols: ["h3"] }), /NO_APPLICATION_PROTOCOL/);
});

// Bytes as they are; answers everything that came until the end.
async function raw(bytes) {
  const socket = connectTcp({ host: "127.0.0.1", port, allowHalfOpen: true }), parts = [];
  socket.on("data", (part) => parts.push(part)).on("error", () => {});
  socket.write(bytes);
  await new Promise((done) => socket.on("end", done).on("close", done));
  socket.destroy();
  return Buffer.concat(parts).toString("hex");
}

test("hellos that are none, too long or cut are answered with an alert or nothing, and end", { timeout: 180000 }, async () => {
  const record = (body) => Buffer.concat([Buffer.from([22, 3, 1, body.length >> 8, body.length & 255]), body]);
  assert.equal(await raw("GET / HTTP/1.1\r\nhost: x\r\n\r\n"), "");
  assert.equal(await raw(record(Buffer.from([1, 0xff, 0xff, 0xff, 3, 3]))), "15030300020216", "record_overflow");
  assert.equal(await raw(record(Buffer.from([2, 0, 0, 1, 0]))), "1503030002020a", "unexpected_message");
  assert.equal(await raw(record(Buffer.from([1, 0, 0, 1, 0]))), "15030300020232", "decode_error");
  assert.equal(await raw(Buffer.from([22, 3, 1, 2])), "", "a hello that never comes is cut off");
});

test("R13 no process of plane and host and no wire holds what went through", { timeout: 180000 }, async () => {
  const wire = join(stack.dir, "wire"), text = "said-" + randomBytes(12).toString("hex"), path = "path-" + randomBytes(12).toString("hex");
  const proxy = await Proxy.start({ port: 0, host: "127.0.0.1" }, { port, host: "127.0.0.1" }, wire);
  const socket = await open(app, { port: proxy.port });
  const answer = await ask(socket, "/loud/" + path, { method: "POST", body: text });
  assert.equal(answer.body.toString(), text.toUpperCase());
  const marks = new Markers({ request: text, path, answer: text.toUpperCase() }), there = new Markers({ name: nameOf(app) });
  assert.deepEqual(marks.files(stack.dir), []);
  assert.ok(there.files(stack.dir).some((found) => found.includes("wire")), "the search finds what is there: the name that is asked for");
  for (const [name, one] of stack.processes) if (one.isRunning()) assert.deepEqual(marks.memory(one.pid, name), []);
  socket.destroy();
  await proxy.close();
});

test("R13 what the plane keeps of receipts says nothing of answers that went through", { timeout: 180000 }, async () => {
  const [inside, seen] = [0, 1].map(() => randomBytes(32).toString("base64url"));
  const socket = await open();
  assert.equal((await ask(socket, "/inside", { headers: { "redoubt-nonce": inside } })).status, 200);
  socket.destroy();
  await plain("/seen", { "redoubt-nonce": seen });
  const kept = async () => Buffer.concat((await stack.rest("GET", `/v1/apps/${app}/receipts?limit=100`)).items.map((one) => Buffer.from(one.record, "base64url"))).toString("latin1");
  const text = await until("the plain answer's receipt is kept", async () => { const all = await kept(); return all.includes(seen) && all; });
  assert.ok(!text.includes(inside), "the claims of what the relay did not read are not there");
});

test("the plane counts connections, and forgets them", { timeout: 180000 }, async () => {
  const before = await (await fetch(stack.api + "/metrics")).text();
  const socket = await open();
  assert.equal((await ask(socket, "/x")).status, 200);
  const metric = (text, name) => Number(text.match(new RegExp(`^${name} (\\d+)`, "m"))[1]);
  const during = await (await fetch(stack.api + "/metrics")).text();
  assert.ok(metric(during, 'redoubt_passthrough_connections_total{outcome="passed"}'.replace(/[{}]/g, "\\$&")) > metric(before, 'redoubt_passthrough_connections_total{outcome="passed"}'.replace(/[{}]/g, "\\$&")));
  socket.destroy();
  await until("the connection is gone", async () => metric(await (await fetch(stack.api + "/metrics")).text(), "redoubt_passthrough_connections") === 0);
});

test("one address takes half of an instance's places at most, all together take all, and a place that is left is taken again", { timeout: 180000 }, async () => {
  const sockets = [], ends = [];
  const fill = async (localAddress) => {
    const count = sockets.length;
    for (let end; !end;) await open(app, { localAddress }).then((socket) => sockets.push(socket), (e) => { end = e.code; ends.push(end); });
    return sockets.length - count;
  };
  const first = await fill("127.0.0.1");
  assert.ok(first > 0 && first <= 32, `${first} were taken`);
  const second = await fill("127.0.0.2");
  assert.ok(second > 0 && second <= first, `${second} were taken`);
  for (const last of [3, 4, 5, 6, 7, 8]) await fill(`127.0.0.${last}`);
  assert.equal(sockets.length, 64);
  for (const end of ends) assert.match(end, /INTERNAL_ERROR/);
  assert.equal((await plain(`${OWN}docs`)).status, 200, "calls have places of their own");
  sockets.pop().destroy();
  const next = await until("the place is taken again", () => open(app, { localAddress: "127.0.0.9" }).catch(() => null));
  assert.equal((await ask(next, "/")).status, 200);
  for (const socket of [next, ...sockets]) socket.destroy();
});

test("one address takes half of a replica's connections at most, and has them again when they are left", { timeout: 180000 }, async () => {
  const fill = async () => {
    const sockets = [];
    let turnAway;
    const turnedAway = new Promise((done) => { turnAway = done; });
    for (let n = 0; n <= 2048; n++) {
      const socket = connectTcp({ host: "127.0.0.1", port });
      socket.on("error", () => {}).on("close", turnAway);
      sockets.push(socket);
      await once(socket, "connect");
    }
    await turnedAway; // the kernel connects them before the relay has looked at them
    return sockets;
  };
  const held = async () => Number((await (await fetch(stack.api + "/metrics")).text()).match(/^redoubt_passthrough_connections (\d+)/m)[1]);
  for (let n = 0; n < 2; n++) {
    const sockets = await fill();
    await until("all places are taken", async () => await held() === 2048);
    const other = await open(app, { localAddress: "127.0.0.2" });
    assert.equal((await ask(other, "/")).status, 200, "another address finds a place");
    for (const socket of [...sockets, other]) socket.destroy();
    await until("all have left", async () => await held() === 0);
  }
});

test("where TLS ends inside is told for apps that take it", { timeout: 180000 }, async () => {
  assert.equal((await stack.rest("GET", `/v1/apps/${app}`)).tls_url, `https://${nameOf(app)}:${port}/`);
  assert.equal((await stack.rest("GET", `/v1/apps/${closed}`)).tls_url, null);
  const shown = await stack.cli("apps", "show", "open");
  assert.ok(shown.stdout.includes(`https://${nameOf(app)}:${port}/`), shown.stdout);
});

const verify = async (where, id = app) => {
  const result = await stack.cli("verify", `https://${nameOf(id)}:${where}`, "--json");
  return { ...result, report: JSON.parse(result.stdout) };
};
const failed = (report) => report.steps.find((step) => !step.ok);

test("redoubt verify https:// checks a live endpoint on the connection itself", { timeout: 180000 }, async () => {
  const { code, report, stderr } = await verify(port);
  assert.equal(code, 0, stderr);
  assert.equal(report.verified, true);
  assert.equal(report.simulated, true);
  assert.match(report.instance, /^ins_/);
  for (const name of ["owner", "statement", "event_log", "channel", "certificate", "freshness"]) assert.ok(report.steps.some((step) => step.name === name && step.ok), `step ${name} of ${report.steps.map((step) => step.name)}`);
  const shown = await stack.cli("verify", `https://${nameOf(app)}:${port}/`);
  assert.equal(shown.code, 0);
  assert.match(shown.stdout, /SIMULATED/);
  assert.match(shown.stdout, /bound to this connection/);
  assert.equal((await verify(port, quiet)).code, 0, "evidence needs no consent to plain requests");
  for (const url of ["https://example.com", `https://${nameOf(app)}:${port}/path`, `https://${nameOf(app)}:0`, `https://x@${nameOf(app)}`]) assert.equal((await stack.cli("verify", url)).code, 2, url);
});

// A relay that ends TLS under a certificate of its own and speaks TLS to the enclave itself; onPath may answer in the enclave's place.
async function terminator({ onPath = () => null, ...options } = {}) {
  const key = join(stack.dir, "relay-key.pem"), cert = join(stack.dir, "relay-cert.pem");
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=relay"], { stdio: "ignore" });
  const seen = [];
  const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert), ALPNProtocols: ["http/1.1"], ...options }, async (caller) => {
    caller.on("error", () => {});
    const inside = await open(), paths = [];
    inside.on("error", () => {});
    caller.on("close", () => inside.destroy());
    caller.on("data", async (data) => {
      seen.push(data.toString("latin1"));
      paths.push(data.toString("latin1").split(" ")[1]);
      const own = await onPath(paths.at(-1), caller);
      if (own) caller.write(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(own)}\r\n\r\n${own}`);
      else inside.write(data);
    });
    inside.pipe(caller, { end: false });
  });
  server.on("tlsClientError", () => {});
  await once(server.listen(0, "127.0.0.1"), "listening");
  return { server, seen, port: server.address().port };
}

test("R38 a relay that ends TLS itself is found out, whatever its certificate", { timeout: 180000 }, async () => {
  const relay = await terminator();
  const { code, report } = await verify(relay.port);
  assert.equal(code, 6);
  assert.equal(report.verified, false);
  assert.equal(failed(report).code, "attest_channel");
  assert.match(failed(report).detail, /another connection/);
  assert.ok(relay.seen.length > 0, "it read the question, and could not answer it");
  relay.server.close();
});

test("R6 I6 a relay that has the exporter attested as a nonce is found out", { timeout: 180000 }, async () => {
  const relay = await terminator({ onPath: async (path, caller) => {
    if (!path.startsWith(OWN + "evidence")) return null;
    return (await plain(`${OWN}evidence?nonce=${exporter(caller)}`)).body;
  } });
  const { code, report } = await verify(relay.port);
  assert.equal(code, 6);
  assert.equal(failed(report).code, "attest_channel");
  assert.match(failed(report).detail, /bound to no connection/);
  relay.server.close();
});

test("R39 evidence of an earlier connection does not count on a later one", { timeout: 180000 }, async () => {
  const earlier = await open(), old = (await evidence(earlier)).bundle.toString();
  const relay = await terminator({ onPath: (path) => (path.startsWith(OWN + "evidence") ? old : null) });
  const { code, report } = await verify(relay.port);
  assert.equal(code, 6);
  assert.equal(failed(report).code, "attest_channel");
  earlier.destroy();
  relay.server.close();
});

test("I8 a connection that has no exporter is refused, not believed", { timeout: 180000 }, async () => {
  const relay = await terminator({ maxVersion: "TLSv1.2" });
  const { code, report } = await verify(relay.port);
  assert.equal(code, 6);
  assert.equal(failed(report).code, "attest_channel");
  assert.match(failed(report).detail, /no TLS 1.3/);
  relay.server.close();
});

const sleeps = (id) => until("the app sleeps", async () => (await stack.rest("GET", `/v1/apps/${id}`)).instances.wanted === 0 &&
  (await stack.rest("GET", `/v1/apps/${id}/instances`)).items.every((one) => !one.live), 60000);

test("a connection to an app that sleeps is held until an instance takes it", { timeout: 180000 }, async () => {
  const id = (await stack.deploy("sleeper", source, { open: true, instances: { min: 0, max: 1, idle_s: 10 } })).app;
  await sleeps(id);
  const sockets = await Promise.all([open(id), open(id), open(id)]);
  for (const socket of sockets) assert.equal((await ask(socket, "/")).status, 200);
  let end;
  while (sockets.length <= 64 && !end) await open(id).then((socket) => sockets.push(socket), (e) => { end = e.code; });
  assert.match(end, /INTERNAL_ERROR/, "an app whose places are taken is awake: nobody waits for that");
  for (const socket of sockets) socket.destroy();
});

test("an app that asks for tokens is not woken by who can show none", { timeout: 180000 }, async () => {
  const id = (await stack.deploy("locked", source, { instances: { min: 0, max: 1, idle_s: 10 } })).app;
  await sleeps(id);
  assert.match(await refusal(id), /ACCESS_DENIED/);
  assert.equal((await stack.rest("GET", `/v1/apps/${id}`)).instances.wanted, 0);
  const metrics = await (await fetch(stack.api + "/metrics")).text();
  assert.match(metrics, /^redoubt_relay_calls_held 0$/m);
});

test("a connection ends when its app is paused, or gets a release that asks for tokens", { timeout: 180000 }, async () => {
  const id = (await stack.deploy("changing", source, { open: true })).app;
  const pause = async (paused) => stack.rest("PATCH", `/v1/apps/${id}`, { paused }, { "if-match": (await stack.request("GET", `/v1/apps/${id}`)).headers.get("etag") });
  const ends = async (change) => {
    const socket = await until("a connection is taken", () => open(id).catch(() => null));
    assert.equal((await ask(socket, "/")).status, 200);
    const over = once(socket, "close");
    socket.on("error", () => {});
    await change();
    await over;
  };
  await ends(() => pause(true));
  await pause(false);
  await ends(() => stack.deploy("changing", source, {}));
});

test("a replica that has no link to the host passes connections over the one that has it", { timeout: 180000 }, async () => {
  const other = await freePort();
  stack.options.apiFlags = ["--passthrough-listen", `127.0.0.1:${other}`];
  await stack.addApi(2);
  const socket = await until("the second replica reaches the instance", () => open(app, { port: other }).catch(() => null), 30000);
  const { statement } = await evidence(socket);
  assert.equal(statement.channel.value, exporter(socket));
  assert.equal((await ask(socket, "/big?n=1000000")).body.length, 1000000);
  assert.equal((await verify(other)).code, 0);
  socket.destroy();
});

test("an agent that restarts ends its connections, and the next one goes to the instance that serves on", { timeout: 180000 }, async () => {
  const socket = await open(), over = once(socket, "close");
  socket.on("error", () => {});
  assert.equal((await ask(socket, "/")).status, 200);
  await stack.restart("agent-1");
  await over;
  await until("another connection is taken", async () => {
    const next = await open().catch(() => null);
    const answer = next && await ask(next, "/").catch(() => null);
    next?.destroy();
    return answer?.status === 200;
  }, 60000);
});
