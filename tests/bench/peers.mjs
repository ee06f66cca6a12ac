// What the figures are held against: programs that do the nearest comparable work, started on this machine for the run.
import { spawn, spawnSync, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync, rmSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, until } from "../support/stack.mjs";

const HELLO = (port) => `require("node:http").createServer((q, r) => r.end("hello")).listen(${port}, "127.0.0.1")`;
const HANDLER = "export default { fetch() { return new Response('hello'); } }";
const INSTALLED = join(dirname(fileURLToPath(import.meta.url)), "node_modules");

// One worker a function, the first one behind the socket.
const workerdConfig = (port, count) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [${Array.from({ length: count }, (_, i) => `(name = "w${i}", worker = .hello)`).join(", ")}],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "w0")]
);
const hello :Workerd.Worker = (modules = [(name = "main.js", esModule = "${HANDLER}")], compatibilityDate = "2025-01-01");
`;

const PROGRAMS = {
  node: (port) => [process.execPath, ["-e", HELLO(port)]],
  bun: (port) => [join(INSTALLED, "@oven/bun-linux-x64/bin/bun"), ["-e", `Bun.serve({ port: ${port}, hostname: "127.0.0.1", fetch: () => new Response("hello") })`]],
  workerd: (port, dir, count = 1) => {
    writeFileSync(join(dir, "config.capnp"), workerdConfig(port, count));
    return [join(INSTALLED, "@cloudflare/workerd-linux-64/bin/workerd"), ["serve", join(dir, "config.capnp")]];
  },
};
export const runtimes = Object.keys(PROGRAMS);

const answers = (port) => until("the peer answers", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok, 10000, 1);

async function ended(child) {
  const end = once(child, "exit");
  child.kill("SIGKILL");
  await end;
}

// Runs look(child) on a runtime that has answered; its second argument are the milliseconds from exec to that answer.
async function withRuntime(name, count, look) {
  const port = await freePort(), dir = mkdtempSync(join(tmpdir(), "rd-peer-"));
  const [program, args] = PROGRAMS[name](port, dir, count);
  const started = performance.now();
  const child = spawn(program, args, { stdio: "ignore" });
  try {
    await answers(port);
    return await look(child, performance.now() - started);
  } finally {
    await ended(child);
    rmSync(dir, { recursive: true, force: true });
  }
}

// From exec to the first answer of a handler that a runtime serves, in milliseconds.
export const coldStart = (name) => withRuntime(name, 1, (child, took) => took);

// A runtime that serves hello in so many functions, idle: its proportional memory in MB.
export const idleMemory = (name, readRollup, count = 1) => withRuntime(name, count, (child) => readRollup(child.pid, "Pss") / 1000);

// nginx with one worker and upstream keep-alive in front of a node process that serves hello.
export async function nginxToNode() {
  const [port, upstream] = [await freePort(), await freePort()];
  const dir = mkdtempSync(join(tmpdir(), "rd-nginx-"));
  chmodSync(dir, 0o755);
  writeFileSync(join(dir, "nginx.conf"), `
worker_processes 1;
daemon off;
pid ${dir}/pid;
error_log ${dir}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path ${dir}/b; proxy_temp_path ${dir}/p; fastcgi_temp_path ${dir}/f; uwsgi_temp_path ${dir}/u; scgi_temp_path ${dir}/s;
  upstream node { server 127.0.0.1:${upstream}; keepalive 64; }
  server {
    listen 127.0.0.1:${port};
    keepalive_requests 100000000;
    location / { proxy_pass http://node; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`);
  const node = spawn(process.execPath, ["-e", HELLO(upstream)], { stdio: "ignore" });
  const nginx = spawn("/usr/sbin/nginx", ["-c", join(dir, "nginx.conf"), "-p", dir], { stdio: "ignore" });
  await answers(port);
  return {
    url: `http://127.0.0.1:${port}/`,
    async stop() {
      const end = once(nginx, "exit");
      nginx.kill("SIGTERM");
      await Promise.all([end, ended(node)]);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

// Single-row inserts that commit, 8 connections, prepared: what PostgreSQL alone does a second.
export function pgCommits(stack) {
  const script = join(stack.dir, "insert.sql");
  stack.sql("CREATE TABLE IF NOT EXISTS bench_insert (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text)");
  writeFileSync(script, "INSERT INTO bench_insert (body) VALUES (repeat('x', 300));\n");
  const bin = execFileSync("sh", ["-c", "ls -d /usr/lib/postgresql/*/bin | tail -n 1"], { encoding: "utf8" }).trim();
  const out = execFileSync(join(bin, "pgbench"), ["-h", stack.pgSockets, "-U", "rd_admin", "-n", "-c", "8", "-j", "1", "-T", "2", "-M", "prepared", "-f", script, "redoubt"],
    { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  return Number(/tps = ([\d.]+)/.exec(out)[1]);
}

// wrk's own summary of some seconds on one thread: requests a second, milliseconds at the median and at 99 %.
export function wrk(url, headers, connections, seconds = 2, script = null) {
  const out = spawnSync("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", ...(script ? ["-s", script] : []), ...headers.flatMap((line) => ["-H", line]), url],
    { encoding: "utf8", timeout: (seconds + 20) * 1000 }).stdout || "";
  const ms = (percent) => {
    const [, n, unit] = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(out) || [0, NaN, "ms"];
    return Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit];
  };
  return { rps: Number((/Requests\/sec:\s+([\d.]+)/.exec(out) || [0, NaN])[1]), p50: ms(50), p99: ms(99), failed: /Non-2xx|Socket errors/.test(out) };
}

// workerd with one module worker: the same handler text, its own HTTP server.
export async function workerd(source) {
  const port = await freePort(), dir = mkdtempSync(join(tmpdir(), "rd-workerd-"));
  writeFileSync(join(dir, "worker.mjs"), source);
  writeFileSync(join(dir, "config.capnp"), `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [ (name = "main", worker = .w) ],
  sockets = [ ( name = "http", address = "127.0.0.1:${port}", http = (), service = "main" ) ],
);
const w :Workerd.Worker = ( modules = [ (name = "worker", esModule = embed "worker.mjs") ], compatibilityDate = "2026-01-01" );
`);
  const program = join(INSTALLED, "@cloudflare/workerd-linux-64/bin/workerd");
  const child = spawn(program, ["serve", join(dir, "config.capnp")], { stdio: "ignore" });
  await answers(port);
  return { url: `http://127.0.0.1:${port}/`, stop: async () => { await ended(child); rmSync(dir, { recursive: true, force: true }); } };
}
