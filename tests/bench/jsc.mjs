// CPU-bound code on the second engine, through relay, agent and enclave, against workerd on the same handler, which keeps its isolate and is asked
// directly: in one machine for all requests, as the peer has it; in one that is kept, with a new global object for each; and in a fresh one each time.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack } from "../support/stack.mjs";
import { roomy } from "./serving.mjs";
import { workerd } from "./peers.mjs";
import { median } from "./report.mjs";

export const names = ["cpu", "small", "mixed"].flatMap((what) => ["jsc_", "jsc_kept_", "jsc_fresh_"].map((way) => `${way}${what}_vs_workerd`));

// SHA-256 over so many pieces of 4 KB in plain JavaScript: no host function helps.
const sha256 = (pieces) => `
const K = Uint32Array.from({ length: 64 }, () => 0);
for (let n = 0, c = 2; n < 64; c++) { let prime = true; for (let i = 2; i * i <= c; i++) if (c % i === 0) { prime = false; break; } if (prime) K[n++] = (Math.cbrt(c) % 1) * 4294967296; }
const rotate = (x, n) => x >>> n | x << (32 - n);
function sha256(message) {
  const H = Uint32Array.of(0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19), w = new Uint32Array(64);
  const size = (message.length + 72 >> 6) << 6, bytes = new Uint8Array(size);
  bytes.set(message);
  bytes[message.length] = 128;
  new DataView(bytes.buffer).setUint32(size - 4, message.length * 8);
  for (let at = 0; at < size; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = bytes[at + 4 * i] << 24 | bytes[at + 4 * i + 1] << 16 | bytes[at + 4 * i + 2] << 8 | bytes[at + 4 * i + 3];
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      w[i] = w[i - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ x >>> 3) + w[i - 7] + (rotate(y, 17) ^ rotate(y, 19) ^ y >>> 10);
    }
    let a = H[0], b = H[1], c = H[2], d = H[3], e = H[4], f = H[5], g = H[6], h = H[7];
    for (let i = 0; i < 64; i++) {
      const t = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (e & f ^ ~e & g) + K[i] + w[i] | 0;
      const u = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + (a & b ^ a & c ^ b & c) | 0;
      h = g; g = f; f = e; e = d + t | 0; d = c; c = b; b = a; a = t + u | 0;
    }
    H[0] += a; H[1] += b; H[2] += c; H[3] += d; H[4] += e; H[5] += f; H[6] += g; H[7] += h;
  }
  return H;
}
export default { fetch() {
  const message = new Uint8Array(4096);
  let last;
  for (let i = 0; i < ${pieces}; i++) { last = sha256(message); message[i] = last[0]; }
  return new Response([...last].map((x) => x.toString(16).padStart(8, "0")).join(""));
} };`;

// Objects, maps, JSON, regular expressions, sorting, floating point and strings, each for some milliseconds.
const mixed = `
class Point { constructor(x, y) { this.x = x; this.y = y; } add(o) { return new Point(this.x + o.x, this.y + o.y); } }
const words = Array.from({ length: 2000 }, (_, i) => "word" + (i * 7919 % 1009) + "-" + i);
const kinds = [
  () => { let p = new Point(0, 0); for (let i = 0; i < 400000; i++) p = p.add(new Point(i, 1)); return p.x + p.y; },
  () => { const m = new Map(); for (let n = 0; n < 10; n++) for (const w of words) m.set(w.slice(0, 6), (m.get(w.slice(0, 6)) ?? 0) + 1); return m.size; },
  () => { let n = 0; for (const o of JSON.parse(JSON.stringify(words.map((w, i) => ({ w, i, t: [i, i + 1] }))))) n += o.t[1]; return n; },
  () => { let n = 0; for (let i = 0; i < 5; i++) for (const w of words) { const m = /^word(\\d+)-(\\d+)$/.exec(w); n += Number(m[1]) + Number(m[2]); } return n; },
  () => { const a = Array.from({ length: 10000 }, (_, i) => i * 2654435761 % 4294967296); a.sort((x, y) => x - y); return a[100]; },
  () => { const n = 96, a = new Float64Array(n * n).fill(1.5), b = new Float64Array(n * n).fill(2), c = new Float64Array(n * n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) { let s = 0; for (let k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j]; c[i * n + j] = s; }
    return c[5]; },
  () => { let s = ""; for (let i = 0; i < 50000; i++) s += String.fromCharCode(97 + i % 26); return s.split("e").map((x) => x.toUpperCase()).join("+").length; },
];
export default { fetch: () => new Response(kinds.map((kind) => kind()).join()) };`;

// 8 MB, and 40 KB: less than a millisecond once all of it is compiled.
const programs = {
  cpu: { code: sha256(2000), warm: 5, calls: 5, what: "8 MB" },
  small: { code: sha256(10), warm: 400, calls: 30, what: "40 KB" },
  mixed: { code: mixed, warm: 60, calls: 10, what: "the mixed program" },
};
const machines = ["shared", "kept", "fresh"];

async function timed(call, calls, want) {
  const all = [];
  for (let i = 0; i < calls; i++) {
    const started = performance.now();
    const text = await call();
    all.push(performance.now() - started);
    want.text ??= text;
    if (text !== want.text) throw new Error(`one says ${want.text}, the other ${text}`);
  }
  return median(all);
}

async function measure(report, stack, name, { code, warm, calls, what }) {
  const peer = await workerd(code), want = {};
  const deploy = async (machine) => (await stack.deploy(`${name}-${machine}`, code, { engine: "jsc", machine, resources: { cpu_m: 4000 } })).app;
  try {
    const apps = [];
    for (const machine of machines) apps.push(await deploy(machine));
    const ways = [...apps.map((app) => async () => (await stack.invoke(app)).body), async () => (await fetch(peer.url)).text()];
    const figures = ways.map(() => []);
    for (const [at, call] of ways.entries()) await timed(call, machines[at] === "kept" || machines[at] === "fresh" ? 3 : warm, want); // connections are open, and what can be warm is
    for (let round = 0; round < report.rounds; round++)
      for (const [at, call] of ways.entries()) figures[at].push(await timed(call, calls, want));
    for (const [at, way] of ["jsc_", "jsc_kept_", "jsc_fresh_"].entries())
      report.add(`${way}${name}_vs_workerd`, figures[at], "ms", at === 0 ? "workerd, its isolate warm, asked directly" : "the same", figures.at(-1));
    report.note(`${what} in workerd: ${median(figures.at(-1)).toFixed(2)} ms`);
  } finally {
    await peer.stop();
    for (const machine of machines) await stack.cli("apps", "delete", `${name}-${machine}`, "--yes");
  }
}

export async function run(report) {
  if (!existsSync(join(BIN, "redoubt-enclave-jsc"))) { report.note("redoubt-enclave-jsc was not built: no libjavascriptcoregtk-4.1-dev"); return; }
  const stack = await Stack.start({ hosts: 1, jsc: true, agentFlags: roomy });
  try {
    for (const [name, program] of Object.entries(programs)) await measure(report, stack, name, program);
  } finally {
    await stack.close();
  }
}
