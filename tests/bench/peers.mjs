// What the figures are held against: programs that do the nearest comparable work, started on this machine for the run.
import { spawn, spawnSync, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync, rmSync, chmodSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, until } from "../support/stack.mjs";

const HELLO = (port) => `require("node:http").createServer((q, r) => r.end("hello")).listen(${port}, "127.0.0.1")`;

const answers = (port) => until("the peer answers", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok, 10000, 1);

async function ended(child) {
  const end = once(child, "exit");
  child.kill("SIGKILL");
  await end;
}

// From exec to the first answer of a handler that a node process serves, in milliseconds.
export async function nodeColdStart() {
  const port = await freePort();
  const started = performance.now();
  const child = spawn(process.execPath, ["-e", HELLO(port)], { stdio: "ignore" });
  await answers(port);
  const took = performance.now() - started;
  await ended(child);
  return took;
}

// A node process that serves hello, idle: its proportional memory in MB.
export async function nodeIdleMemory(readRollup) {
  const port = await freePort();
  const child = spawn(process.execPath, ["-e", HELLO(port)], { stdio: "ignore" });
  await answers(port);
  const megabytes = readRollup(child.pid, "Pss") / 1000;
  await ended(child);
  return megabytes;
}

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
