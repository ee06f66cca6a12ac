// Enrolment over REST: a simulated machine with evidence of its own, and everything that must not become a host.
import test, { before, after } from "node:test";
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createServer, request as httpRequest } from "node:http";
import { Plane, b64u } from "./api_fixture.mjs";

let plane;
before(async () => { plane = await Plane.start({ simulated: true }); }, { timeout: 180000 });
after(async () => { await plane?.close(); });

const newToken = async (body = {}) => (await plane.request("POST", "/v1/enrol-tokens", body)).body.token;

// What the agent sends, caught by a server that stands between it and the API, and its answer.
async function capture(platform, state, token, change = (body) => body) {
  let sent, answer;
  const between = createServer((incoming, outgoing) => {
    const parts = [];
    incoming.on("data", (part) => parts.push(part));
    incoming.on("end", () => {
      const bytes = Buffer.concat(parts);
      let forward = bytes;
      if (incoming.url === "/v1/enroll") {
        sent = JSON.parse(bytes);
        forward = Buffer.from(JSON.stringify(change(structuredClone(sent))));
      }
      const headers = { ...incoming.headers, host: "127.0.0.1:" + plane.port, "content-length": forward.length };
      if (incoming.method === "GET") delete headers["content-length"];
      const up = httpRequest({ port: plane.port, path: incoming.url, method: incoming.method, headers }, (response) => {
        const got = [];
        response.on("data", (part) => got.push(part));
        response.on("end", () => {
          answer = { status: response.statusCode, text: Buffer.concat(got).toString() };
          outgoing.writeHead(response.statusCode, { "content-type": response.headers["content-type"] || "" });
          outgoing.end(answer.text);
        });
      });
      up.end(incoming.method === "GET" ? undefined : forward);
    });
  }).listen(0, "127.0.0.1");
  await new Promise((done) => between.once("listening", done));
  const url = plane.url;
  try {
    plane.url = `http://127.0.0.1:${between.address().port}`;
    await plane.enrollAsync(platform, state, token).catch(() => {});
  } finally {
    plane.url = url;
    between.close();
    between.closeAllConnections();
  }
  return { sent, answer: answer && { status: answer.status, body: JSON.parse(answer.text) } };
}

test("a simulated machine becomes a host with a certificate of a day", async () => {
  const token = await newToken({ region: "here", labels: { rack: "7" } });
  plane.enroll(plane.platform("one"), "one", token);
  const hosts = (await plane.request("GET", "/v1/hosts")).body.items;
  assert.equal(hosts.length, 1);
  assert.deepEqual(hosts[0].engines, [], "nothing is known before its first link");
  assert.deepEqual([hosts[0].region, hosts[0].simulated, hosts[0].state, hosts[0].link, hosts[0].labels.rack], ["here", true, "enrolled", "down", "7"]);
  assert.equal(plane.sql("SELECT count(*) FROM evaluations WHERE kind = 2 AND cause = 'enrol'")[0], "1");
  const files = readdirSync(join(plane.dir, "one")).filter((f) => f.endsWith(".pem") || f.endsWith(".crt"));
  const texts = files.map((f) => readFileSync(join(plane.dir, "one", f), "utf8")).filter((t) => t.includes("BEGIN CERTIFICATE"));
  const own = texts.map((t) => new X509Certificate(t)).find((c) => c.subject.includes("CN=hst_"));
  assert.ok(own, "no certificate in " + files);
  assert.equal(own.subject, "CN=" + hosts[0].id);
  assert.equal(own.subjectAltName, "URI:redoubt:host:" + hosts[0].id);
  assert.ok(Date.parse(own.validTo) - Date.now() <= 24 * 3600 * 1000 && !own.ca);
  const ca = new X509Certificate(readFileSync(join(plane.dir, "state", "ca.pem")));
  assert.ok(own.verify(ca.publicKey));
});

test("what must not become a host", async (t) => {
  const token = await newToken({ uses: 100 });
  const platform = plane.platform("two");
  const { sent } = await capture(platform, "probe", token, (body) => ({ ...body, token: "rdt_enroll_wrong" }));
  assert.ok(sent, "the agent sent nothing");
  const send = (change) => plane.request("POST", "/v1/enroll", change(structuredClone(sent)), { authorization: null });
  const flip = (text, at) => { const bytes = Buffer.from(text, "base64url"); bytes[at < 0 ? bytes.length + at : at] ^= 1; return b64u(bytes); };
  const spoilPem = (pem) => {
    const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
    der[der.length - 1] ^= 1;
    return `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString("base64").replace(/.{64}/g, "$&\n").trim()}\n-----END CERTIFICATE REQUEST-----\n`;
  };
  const foreign = await capture(plane.platform("three"), "probe-2", token, (body) => ({ ...body, token: "rdt_enroll_wrong" }));
  const bundle = JSON.parse(Buffer.from(sent.evidence, "base64url"));
  const quoteFlipped = (at) => b64u(JSON.stringify({ ...bundle, quote: flip(bundle.quote, at) }, ["event_log", "format", "quote", "statement", "type"]));
  const unknown = await capture(platform, "probe", "rdt_enroll_wrong");
  const unused = await newToken({ uses: 7 });
  const rows = [
    ["an unknown token", () => unknown.sent, 401, "enrol_token"],
    ["another token of the same operator: the statement was made for the first", (b) => ({ ...b, token: unused }), 422, "attest_nonce"],
    ["no real token at all", (b) => ({ ...b, token: "rdt_enroll_wrong" }), 422, "attest_nonce"],
    ["another machine's key", (b) => ({ ...b, csr: foreign.sent.csr }), 422, null],
    ["another machine's evidence", (b) => ({ ...b, evidence: foreign.sent.evidence }), 422, null],
    ["a spoiled quote body", (b) => ({ ...b, evidence: quoteFlipped(200) }), 422, null],
    ["a spoiled signature", (b) => ({ ...b, evidence: quoteFlipped(700) }), 422, null],
    ["a spoiled CSR", (b) => ({ ...b, csr: spoilPem(b.csr) }), 422, "signature"],
    ["no capacity", (b) => ({ ...b, capacity: { ...b.capacity, slots: 0 } }), 422, "json_range"],
    ["an unknown member", (b) => ({ ...b, host: "hst_mine" }), 422, "json_unknown_member"],
  ];
  for (const [name, change, status, code] of rows)
    await t.test(name, async () => {
      const answer = await send(change);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      if (code) assert.equal(answer.body.code, code);
      else assert.match(answer.body.code, /^(?!internal)/);
    });
  await t.test("none of them used the token up or left a host", async () => {
    assert.deepEqual(plane.sql("SELECT uses_left FROM enrol_tokens WHERE uses_left > 1 ORDER BY 1"), ["7", "100"]);
    assert.equal((await plane.request("GET", "/v1/hosts")).body.items.length, 1);
  });
  await t.test("as it is: a host", async () => {
    const answer = await send((b) => ({ ...b, token }));
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    assert.match(answer.body.host, /^hst_/);
  });
  await t.test("the same machine again", async () => {
    const answer = await send((b) => ({ ...b, token }));
    assert.deepEqual([answer.status, answer.body.code], [409, "platform_taken"]);
  });
  await t.test("the same machine for another operator", async () => {
    const other = plane.bootstrap("other").token;
    const theirs = (await plane.request("POST", "/v1/enrol-tokens", {}, { authorization: "Bearer " + other })).body.token;
    const replayed = await send((b) => ({ ...b, token: theirs, replace: true }));
    assert.deepEqual([replayed.status, replayed.body.code], [422, "attest_nonce"]);
    const made = (await capture(platform, "probe", theirs, (body) => ({ ...body, token: "rdt_enroll_wrong" }))).sent;
    for (const replace of [false, true]) {
      const answer = await send(() => ({ ...made, replace }));
      assert.deepEqual([answer.status, answer.body.code], [409, "platform_taken"]);
    }
  });
  await t.test("the same machine, replaced: its id stays", async () => {
    const before = (await plane.request("GET", "/v1/hosts")).body.items[0];
    const answer = await send((b) => ({ ...b, token, replace: true }));
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    assert.equal(answer.body.host, before.id);
  });
});

test("R54: a token is used as often as it says, by however many at once", async () => {
  const token = await newToken({ uses: 1 });
  const results = await Promise.allSettled(["a", "b", "c"].map((n) => plane.enrollAsync(plane.platform("race-" + n), "race-" + n, token)));
  assert.equal(results.filter((r) => r.status === "fulfilled").length, 1);
});

test("drain, undrain, revoke", async (t) => {
  const id = (await plane.request("GET", "/v1/hosts")).body.items.at(-1).id;
  const get = () => plane.request("GET", "/v1/hosts/" + id);
  await t.test("drain", async () => assert.equal((await plane.request("POST", `/v1/hosts/${id}/drain`, { within_s: 60 })).body.cordoned, true));
  await t.test("undrain", async () => assert.equal((await plane.request("POST", `/v1/hosts/${id}/undrain`)).body.cordoned, false));
  await t.test("cordon", async () => assert.equal((await plane.request("POST", `/v1/hosts/${id}/cordon`)).body.cordoned, true));
  await t.test("release: nothing to release is no fault, and ends no cordon", async () => {
    const { status, body } = await plane.request("POST", `/v1/hosts/${id}/release`);
    assert.deepEqual([status, body.quarantine, body.faults, body.cordoned], [200, null, 0, true]);
  });
  await t.test("a stale revocation", async () => assert.equal((await plane.request("DELETE", "/v1/hosts/" + id, undefined, { "if-match": '"0.x"' })).status, 412));
  await t.test("revoke", async () => {
    const etag = (await get()).headers.get("etag");
    assert.equal((await plane.request("DELETE", "/v1/hosts/" + id, undefined, { "if-match": etag })).status, 204);
    assert.equal((await get()).body.state, "revoked");
    assert.ok(!(await plane.request("GET", "/v1/hosts")).body.items.some((h) => h.id === id));
    assert.ok((await plane.request("GET", "/v1/hosts?all=true")).body.items.some((h) => h.id === id));
  });
  await t.test("a revoked host is not drained", async () => assert.equal((await plane.request("POST", `/v1/hosts/${id}/drain`, {})).body.code, "host_revoked"));
  await t.test("its machine may enrol again, as another host", async () => {
    plane.enroll(join(plane.dir, "platform-one"), "one-again", await newToken());
    assert.ok(!(await plane.request("GET", "/v1/hosts")).body.items.some((h) => h.id === id));
  });
});

test("without the file the plane keeps the set that it has", async () => {
  await plane.stopApi();
  const flags = plane.flags;
  plane.flags = flags.filter((f, i) => f !== "--collateral" && flags[i - 1] !== "--collateral");
  await plane.startApi();
  assert.ok((await plane.request("GET", "/v1/collateral/status")).body.number > 0);
  await plane.enrollAsync(plane.platform("kept"), "kept", await newToken());
});

test("without any collateral set nobody enrols, and it says why", async () => {
  await plane.stopApi();
  plane.sql("TRUNCATE collateral_sets");
  await plane.startApi();
  await assert.rejects(plane.enrollAsync(plane.platform("late"), "late", await newToken()), /collateral/);
});
