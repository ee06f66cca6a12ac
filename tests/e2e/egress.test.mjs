// A function's outgoing requests, against real TLS servers on loopback: TLS ends inside the enclave, the release's list is held there,
// the agent's proxy closes private addresses after resolution (attacks R50, R51, R70), and the receipt counts what was asked.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createServer as createTls } from "node:https";
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";

const source = `
const one = async ([url, init = {}, timeout]) => {
  try {
    if (init.pieces) init.body = ReadableStream.from(init.pieces.map((piece) => new TextEncoder().encode(piece)));
    const response = await fetch(url, timeout ? { ...init, signal: AbortSignal.timeout(timeout) } : init);
    const text = await response.text();
    return { status: response.status, url: response.url, redirected: response.redirected, size: text.length, text: text.slice(0, 500), type: response.headers.get("content-type") };
  } catch (error) { return { error: String(error) }; }
};
export default { async fetch(request) {
  const asked = await request.json();
  if (asked.evidence) return new Response(await redoubt.evidence(new Uint8Array(32).fill(asked.evidence)));
  if (asked.sign) return Response.json(await redoubt.sign("x", { scheme: asked.sign }).then(() => "signed", String));
  if (asked.secret) return Response.json(await (async () => secret("TOKEN"))().catch(String));
  return Response.json(asked.inTurn ? await asked.calls.reduce(async (list, call) => [...await list, await one(call)], []) : await Promise.all(asked.calls.map(one)));
} };`;

let stack, made, pki, barrier = [];
const servers = [], at = {};
const openssl = (...args) => execFileSync("openssl", args, { cwd: pki, stdio: ["ignore", "pipe", "ignore"] });
function certificates() {
  openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=test CA");
  for (const [name, san] of [["good", "DNS:localhost,IP:127.0.0.1"], ["other", "DNS:other.example"]]) {
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", `${name}.key`, "-out", `${name}.csr`, "-subj", `/CN=${name}`, "-addext", `subjectAltName=${san}`);
    openssl("x509", "-req", "-in", `${name}.csr`, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30", "-copy_extensions", "copy", "-out", `${name}.pem`);
  }
}
const tls = (name) => ({ key: readFileSync(join(pki, `${name}.key`)), cert: readFileSync(join(pki, `${name}.pem`)) });

async function answer(request, response) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const url = new URL(request.url, "https://x"), body = Buffer.concat(parts);
  if (url.pathname === "/together") { // answers nobody until three wait
    barrier.push(response);
    if (barrier.length === 3) for (const waiting of barrier.splice(0)) waiting.end("together");
  } else if (url.pathname === "/to") { response.writeHead(302, { location: url.searchParams.get("place") }).end(); }
  else if (url.pathname === "/large") response.end(Buffer.alloc(Number(url.searchParams.get("size")), 65));
  else if (url.pathname === "/endless") { response.writeHead(200); const more = () => { while (response.write(Buffer.alloc(65536, 66))); }; response.on("drain", more).on("error", () => {}); more(); }
  else if (url.pathname === "/cut") { response.writeHead(200, { "content-length": 100 }); response.write("half"); setImmediate(() => request.socket.destroy()); }
  else if (url.pathname === "/never") return;
  else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ method: request.method, body: body.toString(), authorization: request.headers.authorization ?? null, host: request.headers.host }));
}
async function listen(name, server) {
  servers.push(server);
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  at[name] = server.address().port;
}
before(async () => {
  stack = await Stack.start({ hosts: 1, agentFlags: ["--egress-allow", "127.0.0.0/8,::1/128"] });
  pki = stack.dir;
  certificates();
  for (const name of ["main", "undeclared", "unknown_ca"]) await listen(name, createTls(tls("good"), answer));
  await listen("other", createTls(tls("other"), answer));
  await listen("plain", createServer(answer));
  const ca = readFileSync(join(pki, "ca.pem"), "utf8");
  made = await stack.deploy("outgoing", source, { limits: { time_ms: 15000 }, resources: { cpu_m: 1000 }, egress: [
    { host: `localhost:${at.main}`, private: true, ca }, { host: `127.0.0.1:${at.main}`, private: true, ca }, { host: `localhost:${at.undeclared}`, ca },
    { host: `localhost:${at.unknown_ca}`, private: true }, { host: `localhost:${at.other}`, private: true, ca }, { host: `http://localhost:${at.plain}`, private: true },
    { host: `127.0.0.1:${stack.ports.link}`, private: true, ca }, "no-such-name.invalid"] });
}, { timeout: 180000 });
after(async () => {
  for (const server of servers) { server.closeAllConnections(); server.close(); }
  await stack?.close();
});

async function ask(question, wanted = 200) {
  const got = await stack.invoke(made.app, "/", { body: JSON.stringify(question), headers: { "content-type": "application/json" } });
  assert.equal(got.status, wanted, got.body);
  const { claims } = JSON.parse(Buffer.from(got.headers["redoubt-receipt"], "base64url"));
  return { egress: claims.egress, body: wanted === 200 && !question.evidence ? JSON.parse(got.body) : got.body };
}
const calls = async (...list) => (await ask({ calls: list })).body;
const main = (path = "/") => `https://localhost:${at.main}${path}`;

test("a listed place is reached over TLS that ends inside, by name and by address", async () => {
  const [get, pieces, post, address] = await calls([main()], [main("/x"), { method: "POST", pieces: ["in ", "pieces"] }], [main("/x"), { method: "POST", body: "hello", headers: { authorization: "Bearer t" } }], [`https://127.0.0.1:${at.main}/`]);
  assert.equal(get.status, 200, get.error);
  assert.deepEqual(JSON.parse(get.text), { method: "GET", body: "", authorization: null, host: `localhost:${at.main}` });
  assert.equal(JSON.parse(pieces.text ?? "{}").body, "in pieces", pieces.error);
  assert.deepEqual([get.url, get.type, get.redirected], [main(), "application/json", false]);
  assert.deepEqual(JSON.parse(post.text), { method: "POST", body: "hello", authorization: "Bearer t", host: `localhost:${at.main}` });
  assert.equal(address.status, 200, address.error);
});
test("several requests of one call are on their way at once", async () => {
  for (const got of await calls([main("/together")], [main("/together")], [main("/together")])) assert.equal(got.text, "together", got.error);
});
test("plain HTTP goes where the release names it, and nowhere else", async () => {
  const [listed, not] = await calls([`http://localhost:${at.plain}/`], [`http://localhost:${at.main}/`]);
  assert.equal(listed.status, 200, listed.error);
  assert.match(not.error, /egress does not list http:\/\/localhost/);
});
test("R50: what fails is seen by the function and counted in the receipt", async () => {
  const { body, egress } = await ask({ calls: [[main()], ["https://evil.example/"], ["https://no-such-name.invalid/"]] });
  assert.equal(body[0].status, 200, body[0].error);
  assert.match(body[1].error, /TypeError.*egress does not list evil\.example:443/);
  assert.match(body[2].error, /no-such-name\.invalid:443: the (name does not resolve|host refuses)/);
  assert.deepEqual(egress, { asked: 3, failed: 2 });
  assert.deepEqual((await ask({ calls: [] })).egress, { asked: 0, failed: 0 });
});
test("R51: a name that resolves to a closed address is refused at the agent; so is the control plane, whatever was opened", async () => {
  const [undeclared, plane] = await calls([`https://localhost:${at.undeclared}/`], [`https://127.0.0.1:${stack.ports.link}/`]);
  for (const got of [undeclared, plane]) assert.match(got.error, /the host refuses this address/);
});
test("a redirection is followed within the list only, and loses the token on the way to another origin", async () => {
  const to = (place) => main("/to?place=" + encodeURIComponent(place));
  const [within, across, out, metadata, manual] = await calls([to("/there")], [to(`https://127.0.0.1:${at.main}/`), { headers: { authorization: "Bearer t" } }],
    [to("https://evil.example/")], [to("http://169.254.169.254/latest/meta-data")], [to("/there"), { redirect: "manual" }]);
  assert.deepEqual([within.status, within.redirected, within.url], [200, true, main("/there")], within.error);
  assert.equal(JSON.parse(across.text).authorization, null);
  assert.match(out.error, /egress does not list evil\.example:443/);
  assert.match(metadata.error, /egress does not list http:\/\/169\.254\.169\.254:80/);
  assert.equal(manual.status, 302);
});
test("who cannot prove the name is refused: an unknown root, a certificate for another name", async () => {
  const [unknown, other] = await calls([`https://localhost:${at.unknown_ca}/`], [`https://localhost:${at.other}/`]);
  assert.match(unknown.error, /its certificate is refused: unable to get local issuer certificate/);
  assert.match(other.error, /its certificate is refused: hostname mismatch/i);
});
test("R70: answers that are too large, endless, cut or never there harm their own request only", async () => {
  const [right, large, endless, cut, never] = await calls([main(`/large?size=${4 << 20}`)], [main(`/large?size=${(4 << 20) + 1}`)], [main("/endless")], [main("/cut")], [main("/never"), {}, 500]);
  assert.equal(right.size, 4 << 20, right.error);
  for (const got of [large, endless]) assert.match(got.error, /larger than 4194304 bytes/);
  assert.match(cut.error, /in the middle|broke before/);
  assert.match(never.error, /TimeoutError/);
  assert.equal((await calls([main()]))[0].status, 200);
});
test("a request that is never answered ends with the call's time", async () => {
  const { egress } = await ask({ calls: [[main("/never")]] }, 504);
  assert.equal(egress.asked, 1);
});
test("a call sends 32 requests at most, eight at once", async () => {
  const one = Array.from({ length: 33 }, () => [main()]);
  const { body, egress } = await ask({ calls: one, inTurn: true });
  assert.equal(body.filter((got) => got.status === 200).length, 32);
  assert.match(body[32].error, /more than 32 requests in one call/);
  assert.deepEqual(egress, { asked: 33, failed: 1 });
  const together = await calls(...one.slice(0, 9));
  assert.match(together[8].error, /more than 8 requests at once/);
});
test("R33: evidence over bytes of the function has purpose app and nothing else of its choosing", async () => {
  const bundle = JSON.parse((await ask({ evidence: 7 })).body);
  const statement = JSON.parse(Buffer.from(bundle.statement, "base64url"));
  assert.equal(statement.purpose, "app");
  assert.equal(statement.user, Buffer.alloc(32, 7).toString("base64url"));
  assert.equal(statement.app, made.app);
});
test("without a grant there are no keys and no secrets, and the function is told", async () => {
  for (const question of [{ sign: "ed25519" }, { sign: "secp256k1" }, { secret: true }]) assert.match((await ask(question)).body, /OperationError: no_keys/);
});
test("after the agent came back its instances have their way out, and the rules hold", async () => {
  await stack.restart("agent-1");
  await until("it answers again", async () => (await stack.invoke(made.app, "/", { body: '{"calls":[]}' })).status === 200, 30000);
  const { body } = await ask({ calls: [[main()], [`https://localhost:${at.undeclared}/`]] });
  assert.equal(body[0].status, 200, body[0].error);
  assert.match(body[1].error, /the host refuses this address/);
});
