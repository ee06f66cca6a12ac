// Bodies of every size, sent and read at every pace, also by callers that leave: each answer is whole and its own, straight to the
// replica with the agent's link and across from the other.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { request } from "node:http";
import { Stack, until } from "../support/stack.mjs";

// Answers with the digest of what it got, and as many bytes as asked, made from a seed.
const source = `const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
export default { async fetch(request) {
  const got = new Uint8Array(await request.arrayBuffer());
  const query = new URL(request.url).searchParams, size = Number(query.get("size")), seed = Number(query.get("seed"));
  const unit = new Uint8Array(251).map((_, i) => (i * 7 + seed) % 256), out = new Uint8Array(size);
  for (let at = 0; at < size; at += 251) out.set(size - at < 251 ? unit.subarray(0, size - at) : unit, at);
  return new Response(out, { headers: { "x-got": hex(await crypto.subtle.digest("SHA-256", got)) } });
} };`;
const answerOf = (seed, size) => { const out = Buffer.alloc(size); for (let i = 0; i < size; i++) out[i] = ((i % 251) * 7 + seed) % 256; return out; };
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let stack, made;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  await stack.addApi(2);
  made = await stack.deploy("bodies", source, { limits: { request_bytes: 4 << 20, response_bytes: 4 << 20, time_ms: 20000 }, resources: { cpu_m: 1000 } });
}, { timeout: 180000 });
after(async () => { await stack?.close(); });

// mulberry32: the same calls in every run.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
// Near what frames, queues and windows hold.
const EDGES = [0, 1, 16383, 16384, 16385, 32768, 65535, 65536, 131072, 262143, 262144, 262145, 524288, 1 << 20];
const sizeOf = (draw) => Math.max(0, EDGES[Math.floor(draw() * EDGES.length)] + Math.floor((draw() - 0.5) * (draw() < 0.5 ? 4 : 600)));
const turn = () => new Promise((done) => setImmediate(done));

// One call; leaves: "no", "sending", "reading".
function call(port, draw, leaves) {
  const body = Buffer.alloc(sizeOf(draw), Math.floor(draw() * 256)), size = sizeOf(draw), seed = Math.floor(draw() * 256);
  const isSlow = draw() < 0.3, piece = 1 + Math.floor(draw() * 60000);
  return new Promise((done, failed) => {
    const outgoing = request({ host: "127.0.0.1", port, path: `/?size=${size}&seed=${seed}`, method: "POST", timeout: 30000, agent: false,
      headers: { host: made.app.replace("_", "-") + ".localhost", authorization: "Bearer " + stack.token, "content-length": body.length } }, async (response) => {
      try {
        const parts = [];
        for await (const part of response) {
          parts.push(part);
          if (leaves === "reading") { response.destroy(); done(); return; }
          if (isSlow) await turn();
        }
        const whole = Buffer.concat(parts);
        assert.equal(response.statusCode, 200, whole.toString("utf8", 0, 300));
        assert.equal(response.headers["x-got"], sha256(body), `request of ${body.length}`);
        assert.equal(whole.length, size);
        assert.ok(whole.equals(answerOf(seed, size)), `answer of ${size}, seed ${seed}`);
        done();
      } catch (error) { failed(error); }
    });
    outgoing.on("error", (error) => (leaves === "no" ? failed(error) : done()));
    outgoing.on("timeout", () => outgoing.destroy(new Error(`nothing for 30 s: request of ${body.length}, answer of ${size}`)));
    (async () => {
      if (!isSlow && leaves !== "sending") return outgoing.end(body);
      for (let at = 0; at < body.length; at += piece) {
        if (!outgoing.write(body.subarray(at, at + piece))) await new Promise((room) => {
          const go = () => { outgoing.off("drain", go); outgoing.off("close", go); room(); };
          outgoing.once("drain", go);
          outgoing.once("close", go);
        });
        if (leaves === "sending" && at + piece >= body.length / 2) { outgoing.destroy(); return done(); }
        await turn();
      }
      outgoing.end();
    })();
  });
}

async function soak(port, seed, calls) {
  const draw = random(seed);
  let left = calls;
  await Promise.all(Array.from({ length: 12 }, async () => {
    while (left-- > 0) {
      const chance = draw();
      await call(port, draw, chance < 0.08 ? "sending" : chance < 0.16 ? "reading" : "no");
    }
  }));
}

const seed = Number(process.env.REDOUBT_SEED || 1), calls = Number(process.env.REDOUBT_CALLS || 150);
test("straight", { timeout: 240000 }, () => soak(stack.ports.apps, seed, calls));
test("across replicas", { timeout: 240000 }, async () => {
  const port = stack.extraPorts[2].apps;
  await until("the second replica reaches the instance", () => call(port, random(seed), "no").then(() => true, () => false));
  await soak(port, seed + 1000, calls);
});
