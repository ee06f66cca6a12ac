// CPU-bound code on the second engine, through relay, agent and enclave, against workerd on the same handler, which keeps its isolate and is asked
// directly: in a machine that the release keeps (a new global object for each request), and in a fresh one each time.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack } from "../support/stack.mjs";
import { roomy } from "./serving.mjs";
import { workerd } from "./peers.mjs";
import { median } from "./report.mjs";

export const names = ["jsc_cpu_vs_workerd", "jsc_fresh_cpu_vs_workerd", "jsc_small_vs_workerd", "jsc_fresh_small_vs_workerd"];

// SHA-256 over so many pieces of 4 KB in plain JavaScript: no host function helps.
const source = (pieces) => `
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

// 8 MB, and 40 KB: about a millisecond once all of it is compiled.
const sizes = { cpu: { pieces: 2000, calls: 5 }, small: { pieces: 10, calls: 30 } };

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

async function size(report, stack, name, { pieces, calls }) {
  const code = source(pieces), peer = await workerd(code), want = {};
  const deploy = async (machine) => (await stack.deploy(`${name}-${machine}`, code, { engine: "jsc", machine, resources: { cpu_m: 4000 } })).app;
  try {
    const kept = await deploy("kept"), fresh = await deploy("fresh");
    const ways = [async () => (await stack.invoke(kept)).body, async () => (await stack.invoke(fresh)).body, async () => (await fetch(peer.url)).text()];
    const figures = ways.map(() => []);
    for (const call of ways) await timed(call, 3, want); // connections are open, and what can be warm is
    for (let round = 0; round < report.rounds; round++)
      for (const [at, call] of ways.entries()) figures[at].push(await timed(call, calls, want));
    report.add(`jsc_${name}_vs_workerd`, figures[0], "ms", "workerd, its isolate warm, asked directly", figures[2]);
    report.add(`jsc_fresh_${name}_vs_workerd`, figures[1], "ms", "the same", figures[2]);
    report.note(`${pieces * 4} KB in workerd: ${median(figures[2]).toFixed(2)} ms`);
  } finally {
    await peer.stop();
  }
}

export async function run(report) {
  if (!existsSync(join(BIN, "redoubt-enclave-jsc"))) { report.note("redoubt-enclave-jsc was not built: no libjavascriptcoregtk-4.1-dev"); return; }
  const stack = await Stack.start({ hosts: 1, jsc: true, agentFlags: roomy });
  try {
    for (const [name, what] of Object.entries(sizes)) await size(report, stack, name, what);
  } finally {
    await stack.close();
  }
}
