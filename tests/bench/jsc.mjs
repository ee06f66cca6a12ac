// CPU-bound code on the second engine, through relay, agent and enclave and in a new virtual machine each time, against workerd on the same
// handler, which keeps its isolate and is asked directly.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack } from "../support/stack.mjs";
import { roomy } from "./serving.mjs";
import { workerd } from "./peers.mjs";
import { median } from "./report.mjs";

export const names = ["jsc_cpu_vs_workerd"];

// SHA-256 over 8 MB in plain JavaScript: no host function helps.
const source = `
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
  for (let i = 0; i < 2000; i++) { last = sha256(message); message[i] = last[0]; }
  return new Response([...last].map((x) => x.toString(16).padStart(8, "0")).join(""));
} };`;

const CALLS = 5;

async function timed(call, want) {
  const all = [];
  for (let i = 0; i < CALLS; i++) {
    const started = performance.now();
    const text = await call();
    all.push(performance.now() - started);
    if (want.text === undefined) want.text = text;
    if (text !== want.text) throw new Error(`one says ${want.text}, the other ${text}`);
  }
  return median(all);
}

export async function run(report) {
  if (!existsSync(join(BIN, "redoubt-enclave-jsc"))) { report.note("redoubt-enclave-jsc was not built: no libjavascriptcoregtk-4.1-dev"); return; }
  const stack = await Stack.start({ hosts: 1, jsc: true, agentFlags: roomy });
  const peer = await workerd(source);
  try {
    const { app } = await stack.deploy("cpu", source, { engine: "jsc", resources: { cpu_m: 4000 } });
    const ours = [], theirs = [], want = {};
    for (let round = 0; round < report.rounds; round++) {
      ours.push(await timed(async () => (await stack.invoke(app)).body, want));
      theirs.push(await timed(async () => (await fetch(peer.url)).text(), want));
    }
    report.add("jsc_cpu_vs_workerd", ours, "ms", "workerd, its isolate warm, asked directly", theirs);
  } finally {
    await peer.stop();
    await stack.close();
  }
}
