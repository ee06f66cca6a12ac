// Bodies of a function's outgoing requests that come and go as they are made, on both engines and in `redoubt dev`: each piece before the
// next exists, no more held than is bounded, every end and every failure at both sides, and origins that mean harm. The origin waits at gates
// that the test opens, so that nothing depends on time.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, request as httpRequest } from "node:http";
import { createServer as createRaw } from "node:net";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";

const source = (origin, raw) => `
const origin = "http://localhost:${origin}", raw = "http://localhost:${raw}", bytes = (n, fill = 97) => new Uint8Array(n).fill(fill);
const gate = (name) => fetch(origin + "/gate/" + name).then((answer) => answer.text());
const count = async (stream) => { let n = 0; for await (const piece of stream) n += piece.length; return n; };
const post = (path, body, more) => fetch(origin + path, { method: "POST", body, duplex: "half", ...more });
const upload = (pieces, log = []) => new ReadableStream({
  async pull(c) { const piece = await pieces.shift()?.(); if (piece) c.enqueue(piece); else c.close(); },
  cancel(e) { log.push("cancelled " + e.message); } }, { highWaterMark: 0 });
const text = (s) => new TextEncoder().encode(s);
const routes = {
  proxy: async (path) => { const answer = await fetch(origin + path); return new Response(answer.body, { status: answer.status, headers: { "content-type": answer.headers.get("content-type") } }); },
  loud: async (path) => new Response((await fetch(origin + path)).body.pipeThrough(new TextDecoderStream())
    .pipeThrough(new TransformStream({ transform(s, c) { c.enqueue(s.toUpperCase()); } })).pipeThrough(new TextEncoderStream())),
  hold: async (path) => { const answer = await fetch(origin + path), reader = answer.body.getReader(), first = (await reader.read()).value.length;
    await gate("hold"); reader.releaseLock(); return String(first + await count(answer.body)); },
  size: async (path) => String(await count((await fetch(origin + path)).body)),
  whole: async (path) => String((await (await fetch(origin + path)).text()).length),
  both: async (path) => { const answer = await fetch(origin + path), copy = answer.clone(); return (await Promise.all([answer.text(), copy.text()])).join("|"); },
  cancel: async (path) => { const reader = (await fetch(origin + path)).body.getReader(); await reader.read(); await reader.cancel(); return await gate("cancelled"); },
  abort: async (path) => { const stop = new AbortController(), reader = (await fetch(origin + path, { signal: stop.signal })).body.getReader(); await reader.read();
    const next = reader.read(); stop.abort(new Error("enough")); return await next.catch((e) => e.message) + await gate("aborted"); },
  leave: async (path) => { await fetch(origin + path); return "left"; },
  nine: async (path) => { const all = []; for (let i = 0; i < 8; i++) all.push(await fetch(origin + path)); const ninth = await fetch(origin + path).catch(String);
    await all[0].body.cancel(); return ninth + " " + (await fetch(origin + "/small")).status; },
  twelve: async () => { let n = 0; const all = []; for (let i = 0; i < 12; i++) all.push(await fetch(origin + "/small")); for (const one of all) n += (await one.text()).length; return String(n); },
  pieces: async () => { const parts = []; const piece = async (name) => { parts.push(name); if (name !== "one") await gate(name); return text(name + ";"); };
    return (await post("/echo", upload([() => piece("one"), () => piece("two"), () => piece("three")]))).text(); },
  wide: async () => (await post("/length", upload([() => bytes(300000), () => bytes(0), () => bytes(65536)]))).text(),
  early: async () => { const log = []; const answer = await post("/early", upload([() => text("one"), () => new Promise(() => {})], log)); return answer.status + await answer.text() + log.join(); },
  moved: async () => (await post("/to?status=307", upload([() => text("one")])).catch(String)) + "|" + (await (await post("/to?status=303", upload([() => text("one")]))).text()),
  thrown: async () => post("/echo", upload([() => text("one"), () => { throw new RangeError("the source broke"); }])).then((r) => r.status, String),
  words: async () => post("/echo", new ReadableStream({ start(c) { c.enqueue("text"); c.close(); } })).then((r) => r.status, String),
  dropped: async () => { const stop = new AbortController(), log = []; const sent = post("/drop", upload([() => text("one"), async () => { await gate("dropping"); stop.abort(new Error("enough")); }], log), { signal: stop.signal });
    return await sent.catch((e) => e.message) + log.join(); },
  endless: async () => post("/length", new ReadableStream({ pull(c) { c.enqueue(bytes(1 << 20)); } })).then((r) => r.status, String),
  gathered: async () => (await fetch(origin + "/headers", { method: "POST", body: upload([() => text("a"), () => text("b")]) })).text(),
  relay: async () => (await post("/echo", (await fetch(origin + "/flow?n=1500000")).body)).text().then((s) => String(s.length)),
  raw: async (path) => { const answer = await fetch(raw + path).catch(String); if (typeof answer === "string") return answer; const reader = answer.body?.getReader(); let n = 0;
    try { for (;;) { const { value, done } = await reader.read(); if (done) return n + " whole"; n += value.length; } } catch (e) { return n + " " + e; } },
};
export default { async fetch(request) {
  const url = new URL(request.url), name = url.pathname.slice(1);
  if (!(name in routes)) return new Response("ready");
  const answer = await routes[name](decodeURIComponent(url.search.slice(1)));
  return answer instanceof Response ? answer : new Response(String(answer));
} };`;

const MIB = 1 << 20;
let stack, origin, raw;
const apps = {}, gates = new Map(), held = new Map();
const said = (name) => origin.emit("said", name);

// --- the origin ---

function flow(response, size) { // no faster than it is taken
  let left = size;
  const more = () => { while (left > 0) { const n = Math.min(left, 65536); left -= n; response.flown = size - left; if (!response.write(Buffer.alloc(n, 65))) return; } response.end(); };
  response.on("drain", more);
  more();
}
async function answer(request, response) {
  const url = new URL(request.url, "http://x"), name = url.pathname.slice(1), n = Number(url.searchParams.get("n"));
  response.on("error", () => {});
  request.on("error", () => {});
  if (name.startsWith("gate/")) { gates.set(name.slice(5), response); said(name.slice(5)); }
  else if (name === "turns") { response.writeHead(200, { "content-type": "text/event-stream" }); response.flushHeaders(); held.set("turns", response); said("turns"); }
  else if (name === "flow") { held.set("flow", response); flow(response, n); }
  else if (name === "open") { response.write("first"); held.set("open", response); response.on("close", () => said("closed")); }
  else if (name === "cut") { response.writeHead(200, { "content-length": 100 }); response.write("half"); held.set("cut", response); said("cut"); }
  else if (name === "small") response.end("small");
  else if (name === "echo") { response.writeHead(200); held.set("echo", request); const parts = []; request.on("data", (part) => { parts.push(part); origin.emit("piece", String(part)); }).on("end", () => response.end(Buffer.concat(parts))).on("close", () => said("echo over")); }
  else if (name === "length") { let size = 0; request.on("data", (part) => { size += part.length; }).on("end", () => response.end(`${size} ${request.headers["transfer-encoding"]} ${request.headers["content-length"]}`)); }
  else if (name === "early") request.once("data", () => response.writeHead(413).end("too much"));
  else if (name === "drop") { request.resume().on("close", () => said("dropped")); }
  else if (name === "to") response.writeHead(Number(url.searchParams.get("status")), { location: "/small" }).end();
  else if (name === "headers") { request.resume().on("end", () => response.end(`${request.headers["content-length"]} ${request.headers["transfer-encoding"]}`)); }
  else response.end("?");
}

// Text that no server would send by itself.
const rawAnswers = {
  headers: (socket) => { socket.write("HTTP/1.1 200 OK\r\n"); const more = () => { while (socket.write("x-more: " + "y".repeat(1000) + "\r\n")); }; socket.on("drain", more); more(); },
  line: (socket) => { const more = () => { while (socket.write("h".repeat(4096))); }; socket.on("drain", more); more(); },
  interim: (socket) => { const more = () => { while (socket.write("HTTP/1.1 103 Early\r\n\r\n")); }; socket.on("drain", more); more(); },
  gzip: (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00", "latin1"),
  chunks: (socket) => { socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); const part = "1\r\nx\r\n".repeat(2000); let n = 100; const more = () => { while (n-- > 0) if (!socket.write(part)) return; socket.end("0\r\n\r\n"); }; socket.on("drain", more); more(); },
  extension: (socket) => { socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + "e".repeat(5000)); },
  size: (socket) => socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFF\r\n"),
  broken: (socket) => socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnot a size\r\n"),
  trailers: (socket) => { socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"); const more = () => { while (socket.write("a: " + "b".repeat(500) + "\r\n")); }; socket.on("drain", more); more(); },
  more: (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour and more that nobody asked for"),
  less: (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nfour"),
  huge: (socket) => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx"),
  two: (socket) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
};

// --- the functions ---

const flavours = { quickjs: false, jsc: !existsSync(join(BIN, "redoubt-enclave-jsc")) && "no jsc was built" };
const devs = [];
async function dev(engine, egress) {
  const dir = join(stack.dir, "dev-" + engine);
  mkdirSync(dir);
  writeFileSync(join(dir, "index.js"), source(origin.address().port, raw.address().port));
  writeFileSync(join(dir, "redoubt.json"), JSON.stringify({ name: "dev", engine, limits: { time_ms: 20000 }, egress }));
  const child = spawn(join(BIN, "redoubt"), ["dev", dir, "--port", "0"], { stdio: ["ignore", "pipe", "ignore"] });
  devs.push(child);
  return { port: Number(new URL(String((await once(child.stdout, "data"))[0]).trim()).port), host: "localhost" };
}
before(async () => {
  origin = createServer(answer).listen(0, "127.0.0.1");
  raw = createRaw((socket) => { socket.on("error", () => {}); socket.once("data", (head) => rawAnswers[/ \/(\w+)/.exec(head)[1]](socket)); }).listen(0, "127.0.0.1");
  await Promise.all([once(origin, "listening"), once(raw, "listening")]);
  stack = await Stack.start({ hosts: 1, jsc: !flavours.jsc, agentFlags: ["--egress-allow", "127.0.0.0/8,::1/128"] });
  const egress = [origin, raw].map((one) => ({ host: `http://localhost:${one.address().port}`, private: true }));
  for (const engine of Object.keys(flavours).filter((name) => !flavours[name])) {
    const made = await stack.deploy(engine, source(origin.address().port, raw.address().port), { engine, open: true, limits: { time_ms: 20000, heap_bytes: 16 * MIB }, resources: { cpu_m: 700 }, egress });
    apps[engine] = { port: stack.ports.apps, host: made.app.replace("_", "-") + ".localhost" };
    apps[`${engine} dev`] = await dev(engine, egress.map((one) => one.host));
  }
}, { timeout: 180000 });
after(async () => {
  for (const child of devs) { child.kill(); if (child.exitCode === null && child.signalCode === null) await once(child, "exit"); }
  origin?.closeAllConnections();
  origin?.close();
  raw?.close();
  await stack?.close();
});

async function event(name, action) {
  const ready = new Promise((done) => { const look = (got) => { if (got === name) { origin.off("said", look); done(); } }; origin.on("said", look); });
  return (await Promise.all([action(), ready]))[0];
}
async function open(name) {
  while (!gates.has(name)) await once(origin, "said");
  const response = gates.get(name);
  gates.delete(name);
  response.end("open");
}
function call(app, path) {
  return new Promise((done, failed) => {
    httpRequest({ host: "127.0.0.1", port: app.port, path, agent: false, headers: { host: app.host, authorization: "Bearer " + stack.token } }, done).on("error", failed).end();
  });
}
const piece = async (stream) => String((await once(stream, "data"))[0]);
async function rest(response) {
  const parts = [];
  for await (const part of response) parts.push(part);
  return Buffer.concat(parts);
}
const say = async (app, path) => String(await rest(await call(app, path)));

for (const [engine, skip] of Object.entries(flavours)) {
  for (const name of [engine, `${engine} dev`]) {
    const check = (title, work) => test(`${name}: ${title}`, { skip, timeout: 180000 }, () => work(apps[name]));

    check("an event stream goes through: each event is seen before the next exists", async (app) => {
      for (const [path, shape] of [["/proxy?/turns", (s) => s], ["/loud?/turns", (s) => s.toUpperCase()]]) {
        const response = await event("turns", () => call(app, path));
        for (const one of ["data: one\n\n", "data: two\n\n", "data: three\n\n"]) {
          held.get("turns").write(one);
          assert.equal(await piece(response), shape(one));
        }
        held.get("turns").end();
        assert.equal((await rest(response)).length, 0);
      }
    });
    check("60 MiB pass through a small instance, no faster than it takes them", async (app) => {
      const answered = call(app, `/hold?/flow?n=${60 * MIB}`);
      while (!gates.has("hold")) await once(origin, "said");
      let last = -1;
      await until("the origin stands still", () => { const now = held.get("flow").flown, isStill = now === last; last = now; return isStill; });
      assert.ok(last < 20 * MIB, `${last} bytes left the origin while nobody read`);
      await open("hold");
      assert.equal(String(await rest(await answered)), String(60 * MIB));
    });
    check("more than 64 MiB of one call, or 4 MiB at once, are refused", async (app) => {
      assert.equal(await say(app, `/whole?/flow?n=${4 * MIB}`), String(4 * MIB));
      for (const [path, why] of [[`/whole?/flow?n=${4 * MIB + 1}`, "4194304"], [`/size?/flow?n=${65 * MIB}`, "67108864"]]) {
        const got = await call(app, path);
        await rest(got);
        assert.equal(got.statusCode, 500, why);
      }
      assert.match(await say(app, "/raw?/huge"), /TypeError.*the answer's body is larger than 67108864 bytes/);
    });
    check("two readers of one body", async (app) => assert.equal(await say(app, "/both?/small"), "small|small"));
    check("who cancels, aborts or is done ends the transfer", async (app) => {
      for (const [path, gate, want] of [["/cancel?/open", "cancelled", "open"], ["/abort?/open", "aborted", "enoughopen"]]) {
        const got = event("closed", () => say(app, path));
        await open(gate);
        assert.equal(await got, want);
      }
      assert.equal(await event("closed", () => say(app, "/leave?/open")), "left");
    });
    check("a caller who leaves ends the transfer", async (app) => {
      const response = await call(app, "/proxy?/open");
      assert.equal(await piece(response), "first");
      await event("closed", () => response.destroy());
      await until("the next call is served", async () => (await say(app, "/ready")) === "ready");
    });
    check("an answer that is cut fails the stream, with what came before", async (app) => {
      const response = await event("cut", () => call(app, "/proxy?/cut"));
      assert.equal(await piece(response), "half");
      held.get("cut").destroy();
      await assert.rejects(rest(response), /aborted|ECONNRESET|terminated/);
      assert.match(await say(app, "/raw?/less"), /^4 TypeError: localhost:\d+: the answer ends in the middle$/);
    });
    check("eight connections at once; an unread body holds one, a small one none", async (app) => {
      assert.match(await say(app, "/nine?/open"), /TypeError: more than 8 requests at once; one whose answer's body is not read counts 200/);
      assert.equal(await say(app, "/twelve"), "60");
    });
    check("a request's body leaves piece by piece", async (app) => {
      let sent = once(origin, "piece");
      const answered = say(app, "/pieces");
      for (const one of ["one", "two", "three"]) {
        if (one !== "one") { sent = once(origin, "piece"); await open(one); }
        assert.equal((await sent)[0], one + ";");
      }
      assert.equal(await answered, "one;two;three;");
      assert.equal(await say(app, "/wide"), "365536 chunked undefined");
      assert.equal(await say(app, "/relay"), "1500000");
      assert.equal(await say(app, "/gathered"), "2 undefined");
    });
    check("every end of a request whose body is a stream", async (app) => {
      assert.equal(await say(app, "/early"), "413too muchcancelled the answer came before the body was sent");
      assert.equal(await say(app, "/moved"), "TypeError: a request whose body is a stream cannot be redirected|small");
      assert.equal(await event("echo over", () => say(app, "/thrown")), "RangeError: the source broke");
      assert.match(await say(app, "/words"), /TypeError: a chunk of a body must be a Uint8Array/);
      assert.equal(await event("dropped", () => { const got = say(app, "/dropped"); void open("dropping"); return got; }), "enoughcancelled enough");
      assert.match(await say(app, "/endless"), /TypeError: the bodies of this call's requests are larger than 67108864 bytes/);
    });
    check("an origin that means harm fails its own request only", async (app) => {
      for (const [path, want] of Object.entries({
        headers: /head is larger than 32768 bytes/, line: /head is larger than 32768 bytes/, interim: /more than 8 interim answers/,
        gzip: /^4 whole$/, chunks: /^200000 whole$/, extension: /a line between the answer's chunks has no end/, size: /larger than 67108864 bytes/, broken: /^3 .*a chunk of the answer has no size/,
        trailers: /^1 .*trailers are too large/, more: /^4 whole$/, two: /Content-Length beside chunks/,
      })) assert.match(await say(app, "/raw?/" + path), want, path);
    });
  }
}

test("a slow origin ends with the call's time", { timeout: 180000 }, async () => {
  const egress = [{ host: `http://localhost:${origin.address().port}`, private: true }];
  const { app } = await stack.deploy("brief", source(origin.address().port, raw.address().port), { open: true, limits: { time_ms: 1500 }, resources: { cpu_m: 300 }, egress });
  const slow = { port: stack.ports.apps, host: app.replace("_", "-") + ".localhost" };
  const response = await call(slow, "/proxy?/open");
  await event("closed", async () => {
    assert.equal(await piece(response), "first");
    await assert.rejects(rest(response), /aborted|ECONNRESET|terminated/);
  });
  const never = await event("closed", () => call(slow, "/size?/open"));
  assert.equal(never.statusCode, 504);
});
