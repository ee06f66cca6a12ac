// redoubt-api alone with a private PostgreSQL and Redis, and a client that signs what owners sign.
// Needs build/bin/redoubt-api (REDOUBT_BIN); everything lies in a folder of its own and ends with close().
import { execFile, execFileSync, spawn } from "node:child_process";
import { promisify } from "node:util";
import { mkdtempSync, mkdirSync, rmSync, chownSync, chmodSync, existsSync, openSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { createHash, X509Certificate, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "../support/ports.mjs";

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const BIN = process.env.REDOUBT_BIN || join(ROOT, "build", "bin");

export const b64u = (bytes) => Buffer.from(bytes).toString("base64url");
export const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
export const digestText = (raw) => "sha256:" + raw.toString("hex");

// RFC 8785 for what these documents hold: objects, arrays, ASCII strings, integers, booleans, null.
export function canonical(value) {
  if (Array.isArray(value)) return "[" + value.map(canonical).join(",") + "]";
  if (value && typeof value === "object") return "{" + Object.keys(value).sort().map((k) => JSON.stringify(k) + ":" + canonical(value[k])).join(",") + "}";
  return JSON.stringify(value);
}

export function frame(kind, label, ...parts) {
  const u32 = Buffer.alloc(4);
  u32.writeUInt32BE(parts.length);
  const out = [Buffer.from(`redoubt\0${kind}\0${label}\0`), u32];
  for (const part of parts) {
    const size = Buffer.alloc(8);
    size.writeBigUInt64BE(BigInt(part.length));
    out.push(size, Buffer.from(part));
  }
  return Buffer.concat(out);
}
export const H = (label, ...parts) => sha256(frame("hash", label, ...parts));

export function base32(bytes) {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  let bits = 0, value = 0, out = "";
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) { out += alphabet[(value >>> (bits - 5)) & 31]; bits -= 5; value &= (1 << bits) - 1; }
  }
  return bits ? out + alphabet[(value << (5 - bits)) & 31] : out;
}

export class Owner {
  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync("ed25519");
    this.privateKey = privateKey;
    this.key = publicKey.export({ format: "jwk" }).x;
  }
  genesis() {
    return canonical({ owners: [{ alg: "ed25519", key: this.key }], recovery: null, salt: b64u(randomBytes(16)), threshold: 1, type: "redoubt/app-genesis/v1" });
  }
  envelope(document, label) {
    const bytes = Buffer.from(typeof document === "string" ? document : canonical(document));
    const signature = sign(null, frame("sign", label, bytes), this.privateKey);
    return { document: b64u(bytes), signatures: [{ key: this.key, signature: b64u(signature) }] };
  }
}
export const appIdOf = (genesis) => "app_" + base32(H("app-genesis-v1", Buffer.from(genesis)));

export function bundle(source = "export default () => new Response('hi')") {
  return Buffer.from(canonical({ main: "index.js", modules: [{ name: "index.js", source }], type: "redoubt/modules/v1" }));
}
export function release(app, number, code, change = {}) {
  return {
    type: "redoubt/release/v1", app, number, kind: "function", engine: "quickjs", public_code: true, plain: true, open: false,
    code: { digest: digestText(sha256(code)), size: code.length }, env: {}, egress: [], receipts: "salted",
    limits: { request_bytes: 65536, response_bytes: 65536, time_ms: 1000, heap_bytes: 16 << 20 },
    resources: { cpu_m: 100, memory_bytes: 64 << 20 }, ...change,
  };
}
export function head(app, seq, prev, releases, change = {}) {
  return {
    type: "redoubt/head/v1", app, seq, prev, class: "simulated", releases,
    policy: { type: "redoubt/policy/v1", simulated: true, tees: ["tdx"], tcb: ["UpToDate"], measurements: [{ mrtd: "ab".repeat(48) }], debug: false, max_collateral_age_s: 604800 },
    secrets: { count: 0, root: digestText(H("secrets-v1")) }, kms: [], limits: {}, not_before: "2026-01-01T00:00:00Z", expires: null, ...change,
  };
}
export const releaseDigest = (document) => digestText(H("release-v1", Buffer.from(canonical(document))));
export const headDigest = (document) => digestText(H("head-v1", Buffer.from(canonical(document))));

function run(command, args) {
  return execFileSync(command, args, { encoding: "utf8", timeout: 120000, stdio: ["ignore", "pipe", "pipe"] });
}

export class Plane {
  static async start(options = {}) {
    const plane = new Plane();
    try {
      await plane.#boot(options);
    } catch (error) {
      error.message += "\n" + plane.log();
      await plane.close();
      throw error;
    }
    return plane;
  }

  #asPostgres(command, args) {
    return process.getuid() === 0 ? run("runuser", ["-u", "postgres", "--", command, ...args]) : run(command, args);
  }

  async #boot(options) {
    this.dir = mkdtempSync(join(tmpdir(), "rdapi-"));
    chmodSync(this.dir, 0o711);
    for (const name of ["pg", "pgs", "redis", "blobs", "web"]) mkdirSync(join(this.dir, name), { mode: 0o700 });
    const base = "/usr/lib/postgresql";
    this.pgBin = join(base, readdirSync(base).filter((v) => existsSync(join(base, v, "bin", "initdb"))).sort((a, b) => b - a)[0], "bin");
    if (process.getuid() === 0) {
      const [uid, gid] = ["-u", "-g"].map((flag) => Number(run("id", [flag, "postgres"])));
      for (const name of ["pg", "pgs"]) chownSync(join(this.dir, name), uid, gid);
    }
    const [data, sockets] = [join(this.dir, "pg"), join(this.dir, "pgs")];
    this.#asPostgres(join(this.pgBin, "initdb"), ["-D", data, "-U", "rd_admin", "--auth=trust", "--no-instructions", "-E", "UTF8", "--locale=C.UTF-8"]);
    this.#asPostgres(join(this.pgBin, "pg_ctl"), ["-D", data, "-w", "-t", "60", "-l", join(data, "server.log"), "-o",
      `-c unix_socket_directories='${sockets}' -c listen_addresses='' -c fsync=off`, "start"]);
    this.pgRuns = true;
    run("psql", ["-h", sockets, "-U", "rd_admin", "-d", "postgres", "-qc", "CREATE DATABASE redoubt"]);
    this.database = `host=${sockets} dbname=redoubt`;
    this.api = join(BIN, "redoubt-api");
    run(this.api, ["migrate", "--database", this.database + " user=rd_admin"]);
    this.redisSocket = join(this.dir, "redis.sock");
    this.redis = spawn("redis-server", ["--port", "0", "--unixsocket", this.redisSocket, "--dir", join(this.dir, "redis"), "--save", ""], { stdio: "ignore" });
    run(this.api, ["init", "--state", join(this.dir, "state")]);
    writeFileSync(join(this.dir, "web", "index.html"), "<!doctype html><title>t</title>" + "<p>dashboard</p>".repeat(60));
    writeFileSync(join(this.dir, "web", "app.0123abcd.js"), "1;");
    let trust = [];
    if (options.simulated) {
      this.pki = join(this.dir, "pki");
      run(join(BIN, "redoubt-agent"), ["sim-pki", "create", "--dir", this.pki]);
      const root = new X509Certificate(readFileSync(join(this.pki, "root.pem")));
      trust = ["--collateral", join(this.pki, "collateral.json"), "--simulation-root", sha256(root.raw).toString("hex")];
    }
    this.port = await freePort();
    this.url = `http://127.0.0.1:${this.port}`;
    this.flags = ["--listen", `127.0.0.1:${this.port}`, "--apps-listen", "127.0.0.1:0", "--link-listen", "127.0.0.1:0", "--public-url", this.url,
      "--database", this.database, "--redis", this.redisSocket, "--blob-dir", join(this.dir, "blobs"), "--state", join(this.dir, "state"),
      "--web-dir", join(this.dir, "web"), ...trust, ...(options.flags || [])];
    await this.startApi();
    this.first = this.bootstrap("first");
    this.token = this.first.token;
  }

  bootstrap(name) {
    return JSON.parse(run(this.api, ["bootstrap", "--database", this.database, "--org", name, "--user", name, "--public-url", this.url]));
  }

  async startApi() {
    const log = openSync(join(this.dir, "api.log"), "a");
    this.process = spawn(this.api, ["run", ...this.flags], { stdio: ["ignore", log, log] });
    this.exited = once(this.process, "exit");
    for (let i = 0; i < 1200; i++) {
      try { if ((await fetch(this.url + "/livez")).ok) return; } catch { /* not yet */ }
      if (this.process.exitCode !== null) break;
      await new Promise((done) => setTimeout(done, 50));
    }
    throw new Error("redoubt-api did not start");
  }

  async stopApi(signal = "SIGTERM") {
    this.process.kill(signal);
    const timer = setTimeout(() => this.process.kill("SIGKILL"), 60000);
    const [code] = await this.exited;
    clearTimeout(timer);
    return code;
  }

  log() {
    try { return readFileSync(join(this.dir, "api.log"), "utf8").split("\n").slice(-40).join("\n"); } catch { return ""; }
  }

  sql(text) {
    return run("psql", ["-h", join(this.dir, "pgs"), "-U", "rd_admin", "-d", "redoubt", "-AtqF", "\t", "-c", text]).split("\n").filter((l) => l.length);
  }

  // Redis by its command line.
  redisCli(...args) { return run("redis-cli", ["-s", this.redisSocket, ...args]).trim(); }

  // A simulated machine: its platform folder, for enroll().
  platform(name) {
    const out = join(this.dir, "platform-" + name);
    run(join(BIN, "redoubt-agent"), ["sim-pki", "platform", "--dir", this.pki, "--out", out]);
    return out;
  }

  // Runs `redoubt-agent enroll`; throws with its error text.
  #enrolArgs(platform, state, token) {
    return ["enroll", "--api", this.url, "--token", token, "--state", join(this.dir, state), "--name", state, "--sim-platform", platform,
      "--enclave", join(BIN, "redoubt-agent")];
  }
  enroll(platform, state, token) { return run(join(BIN, "redoubt-agent"), this.#enrolArgs(platform, state, token)); }
  // The same without stopping this process, for answers that it gives itself.
  enrollAsync(platform, state, token) {
    return promisify(execFile)(join(BIN, "redoubt-agent"), this.#enrolArgs(platform, state, token), { timeout: 120000 });
  }

  // One request; body: object (JSON), string or bytes (as they are). headers: null removes one.
  async request(method, path, body, headers = {}) {
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const all = { authorization: "Bearer " + this.token, ...(body !== undefined ? { "content-type": "application/json" } : {}), ...headers };
    for (const name of Object.keys(all)) if (all[name] === null) delete all[name];
    const response = await fetch(this.url + path, {
      method, headers: all, body: body === undefined ? undefined : isRaw ? body : JSON.stringify(body), redirect: "manual", signal: AbortSignal.timeout(20000),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const type = response.headers.get("content-type") || "";
    return { status: response.status, headers: response.headers, bytes, type, body: type.includes("json") && bytes.length ? JSON.parse(bytes) : bytes.toString() };
  }

  // An app with code, release 1 and head 1, ready to be deployed.
  async makeApp(name) {
    const owner = new Owner();
    const genesis = owner.genesis();
    const app = appIdOf(genesis);
    const code = bundle();
    const must = async (answer) => { if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`); return answer; };
    await must(await this.request("POST", "/v1/apps", { name, genesis: b64u(genesis) }));
    await must(await this.request("PUT", "/v1/blobs/" + sha256(code).toString("hex"), code, { "content-type": "application/octet-stream" }));
    const document = release(app, 1, code);
    await must(await this.request("POST", `/v1/apps/${app}/releases`, owner.envelope(document, "release-v1")));
    const first = head(app, 1, null, [releaseDigest(document)]);
    await must(await this.request("POST", `/v1/apps/${app}/heads`, owner.envelope(first, "head-v1")));
    return { owner, genesis, app, code, release: releaseDigest(document), head: first, releaseDocument: document };
  }

  async close() {
    if (this.process && this.process.exitCode === null) await this.stopApi();
    this.redis?.kill("SIGTERM");
    if (this.pgRuns) this.#asPostgres(join(this.pgBin, "pg_ctl"), ["-D", join(this.dir, "pg"), "-m", "immediate", "-w", "stop"]);
    if (!process.env.REDOUBT_KEEP && this.dir) rmSync(this.dir, { recursive: true, force: true });
  }
}
