// CPU-bound code on the second engine, through relay, agent and enclave, against workerd on the same handler, which keeps its isolate and is asked
// directly: in one machine for all requests, as the peer has it; in one that is kept, with a new global object for each; and in a fresh one each time.
// `cpu` is the geometric mean over eleven programs, because one says more of itself than of an engine; SHA-256 in plain JavaScript stands beside it.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BIN, Stack } from "../support/stack.mjs";
import { roomy } from "./serving.mjs";
import { workerd } from "./peers.mjs";
import { median } from "./report.mjs";

const ways = ["jsc_", "jsc_kept_", "jsc_fresh_"], machines = ["shared", "kept", "fresh"];
export const names = ["cpu", "sha256", "small"].flatMap((what) => ways.map((way) => `${way}${what}_vs_workerd`));

// SHA-256 over so many pieces of 4 KB in plain JavaScript.
const hash = (pieces) => `
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
  return () => {
    const message = new Uint8Array(4096);
    let last;
    for (let i = 0; i < ${pieces}; i++) { last = sha256(message); message[i & 4095] = last[0]; }
    return [...last].map((x) => x.toString(16).padStart(8, "0")).join("");
  };`;
const alone = (program) => `const call = (() => { ${program} })();
export default { fetch: () => new Response(call()) };`;

// What handlers that are bound by the processor do, a program each, for some tens of milliseconds: objects that live shortly, maps of strings, JSON, regular
// expressions, sorting, floating point, text, recursion, bytes, big integers, and a hash. No host function helps.
const programs = {
  sha256: hash(500),
  objects: `class Point { constructor(x, y) { this.x = x; this.y = y; } add(o) { return new Point(this.x + o.x, this.y + o.y); } }
    return () => { let p = new Point(0, 0); for (let i = 0; i < 4e6; i++) p = p.add(new Point(i, 1)); return p.x + p.y; };`,
  maps: `return () => { const m = new Map(); for (let n = 0; n < 60; n++) for (const w of words) { const k = w.slice(0, 6); m.set(k, (m.get(k) ?? 0) + 1); } return m.size; };`,
  json: `return () => { let n = 0; for (let k = 0; k < 12; k++) for (const o of JSON.parse(JSON.stringify(words.map((w, i) => ({ w, i, t: [i, i + k] }))))) n += o.t[1]; return n; };`,
  regexp: `return () => { let n = 0; for (let k = 0; k < 40; k++) for (const w of words) { const m = /^word(\\d+)-(\\d+)$/.exec(w); n += Number(m[1]) + Number(m[2]) + k; } return n; };`,
  sort: `return () => { const a = Array.from({ length: 60000 }, (_, i) => i * 2654435761 % 4294967296); a.sort((x, y) => x - y); return a[100]; };`,
  matrix: `return () => { const n = 240, a = new Float64Array(n * n).fill(1.5), b = new Float64Array(n * n).fill(2), c = new Float64Array(n * n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) { let s = 0; for (let k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j]; c[i * n + j] = s; }
    return c[5]; };`,
  text: `return () => { let n = 0; for (let k = 0; k < 8; k++) { let s = ""; for (let i = 0; i < 50000; i++) s += String.fromCharCode(97 + (i + k) % 26); n += s.split("e").map((x) => x.toUpperCase()).join("+").length; } return n; };`,
  recursion: `const fib = (n) => n < 2 ? n : fib(n - 1) + fib(n - 2);
    return () => fib(31);`,
  bytes: `return () => { const a = new Uint8Array(1 << 20); let h = 2166136261; for (let k = 0; k < 16; k++) for (let i = 0; i < a.length; i++) { a[i] = a[i] + i + k; h = Math.imul(h ^ a[i], 16777619); } return h >>> 0; };`,
  bigint: `return () => { let a = 1n; for (let i = 1n; i < 3500n; i++) a *= i; return a.toString(16).length; };`,
};
const suite = `const words = Array.from({ length: 2000 }, (_, i) => "word" + (i * 7919 % 1009) + "-" + i);
const kinds = { ${Object.entries(programs).map(([name, code]) => `${name}: (() => { ${code} })()`).join(",\n")} };
export default { fetch: (request) => new Response(String(kinds[new URL(request.url).pathname.slice(1)]?.())) };`;

const geometric = (values) => Math.exp(values.reduce((sum, x) => sum + Math.log(x), 0) / values.length);

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

// Figures of each of the paths: [way][round], the peer last. Ways that can be warm are.
async function rounds(report, calls, paths, { warm, times }) {
  const figures = Object.fromEntries(paths.map((path) => [path, calls.map(() => [])]));
  for (const path of paths) {
    const want = {};
    for (const [at, call] of calls.entries()) await timed(() => call(path), machines[at] === "kept" || machines[at] === "fresh" ? 3 : warm, want);
    for (let round = 0; round < report.rounds; round++)
      for (const [at, call] of calls.entries()) figures[path][at].push(await timed(() => call(path), times, want));
  }
  return figures;
}

async function measure(report, stack, name, code, paths, how) {
  const peer = await workerd(code);
  const deploy = async (machine) => (await stack.deploy(`${name}-${machine}`, code, { engine: "jsc", machine, resources: { cpu_m: 4000 } })).app;
  try {
    const apps = [];
    for (const machine of machines) apps.push(await deploy(machine));
    const calls = [...apps.map((app) => async (path) => (await stack.invoke(app, path)).body), async (path) => (await fetch(new URL(path, peer.url))).text()];
    const figures = await rounds(report, calls, paths, how);
    const over = (at) => figures[paths[0]][at].map((_, round) => geometric(paths.map((path) => figures[path][at][round])));
    for (const [at, way] of ways.entries())
      report.add(`${way}${name}_vs_workerd`, over(at), "ms", at === 0 ? "workerd, its isolate warm, asked directly" : "the same", over(machines.length));
    report.note(`${how.what} in workerd: ${median(over(machines.length)).toFixed(2)} ms`);
    if (paths.length > 1) for (const path of paths) report.note(`${path.slice(1)}: ${figures[path].map((one) => median(one).toFixed(1)).join(", ")} ms (shared, kept, fresh, workerd)`);
  } finally {
    await peer.stop();
    for (const machine of machines) await stack.cli("apps", "delete", `${name}-${machine}`, "--yes");
  }
}

export async function run(report) {
  if (!existsSync(join(BIN, "redoubt-enclave-jsc"))) { report.note("redoubt-enclave-jsc was not built: no libjavascriptcoregtk-4.1-dev"); return; }
  const stack = await Stack.start({ hosts: 1, jsc: true, agentFlags: roomy });
  try {
    await measure(report, stack, "cpu", suite, Object.keys(programs).map((name) => "/" + name), { warm: 12, times: 3, what: "the geometric mean of the programs" });
    await measure(report, stack, "sha256", alone(hash(2000)), ["/"], { warm: 5, times: 5, what: "SHA-256 of 8 MB" });
    await measure(report, stack, "small", alone(hash(10)), ["/"], { warm: 400, times: 30, what: "40 KB of it, less than a millisecond once all is compiled," });
  } finally {
    await stack.close();
  }
}
