// A whole Redoubt on loopback for tests: private PostgreSQL and Redis, API, scheduler, simulated hosts, in a folder of its own.
// Every process can be killed and started again; nothing outlives close(). Needs the programs in build/bin (REDOUBT_BIN).
import { spawn, execFileSync, execFile } from "node:child_process";
import { mkdtempSync, mkdirSync, writeFileSync, readFileSync, rmSync, chownSync, chmodSync, existsSync, openSync, closeSync, readdirSync } from "node:fs";
import { createHash, X509Certificate } from "node:crypto";
import { tmpdir, userInfo } from "node:os";
import { join, resolve, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort } from "./ports.mjs";
import { Proxy } from "./proxy.mjs";

export { freePort };

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const BIN = process.env.REDOUBT_BIN || join(ROOT, "build", "bin");

const isRoot = process.getuid() === 0;

function pgBin() {
  const base = "/usr/lib/postgresql";
  const version = readdirSync(base).filter((v) => existsSync(join(base, v, "bin", "initdb"))).sort((a, b) => b - a)[0];
  if (!version) throw new Error("no PostgreSQL server below " + base);
  return join(base, version, "bin");
}

// Runs to the end; throws with its output when it fails.
function run(command, args, options = {}) {
  try {
    return execFileSync(command, args, { encoding: "utf8", timeout: 120000, stdio: ["ignore", "pipe", "pipe"], ...options });
  } catch (error) {
    throw new Error(`${command} ${args.join(" ")}: ${error.message}\n${error.stdout || ""}${error.stderr || ""}`);
  }
}

// No wait gives up before: what comes sooner does not wait for it, and a machine that is slow or busy is no failure.
const PATIENCE_MS = 60000;

// Polls a condition that only the outside can see.
export async function until(what, condition, timeoutMs = PATIENCE_MS, everyMs = 50) {
  const boundMs = Math.max(timeoutMs, PATIENCE_MS), end = Date.now() + boundMs;
  let last;
  while (Date.now() < end) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    await new Promise((done) => setTimeout(done, everyMs));
  }
  throw new Error(`not within ${boundMs} ms: ${what}${last ? ` (${last.message})` : ""}`);
}

class Process {
  constructor(stack, name, command, args, env) {
    Object.assign(this, { stack, name, command, args, env });
    this.start();
  }
  start() {
    const log = openSync(join(this.stack.dir, "logs", this.name + ".log"), "a");
    this.child = spawn(this.command, this.args, { stdio: ["ignore", log, log], env: { ...process.env, ...this.env } });
    closeSync(log);
    this.exited = new Promise((done) => this.child.once("exit", (code, signal) => done({ code, signal })));
    this.exited.then((result) => { this.result = result; });
    this.result = null;
    return this;
  }
  get pid() { return this.child.pid; }
  isRunning() { return this.result === null; }
  signal(name) { this.child.kill(name); return this; }
  async kill() { this.child.kill("SIGKILL"); return this.exited; }
  async stop(timeoutMs = 60000) {
    if (!this.isRunning()) return this.result;
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), timeoutMs);
    const result = await this.exited;
    clearTimeout(timer);
    return result;
  }
  async restart() { await this.kill(); return this.start(); }
  log() { return readFileSync(join(this.stack.dir, "logs", this.name + ".log"), "utf8"); }
}

export class Stack {
  // options: hosts (1), schedulers (1), apis (1), kms (none; true: host 1 carries a key service; or a function of n: options of that host's key service), api/scheduler/agent: further flags, env: per process name; hasLinkProxies: each
  // agent dials through a proxy of its own (linkProxies[n]); hasDatabaseProxy: so do the schedulers to PostgreSQL (databaseProxy).
  static async start(options = {}) {
    const stack = new Stack();
    stack.options = { hosts: 1, schedulers: 1, apiFlags: [], schedulerFlags: [], agentFlags: [], env: {}, ...options };
    try {
      await stack.#boot();
    } catch (error) {
      error.message += "\n" + stack.tail();
      await stack.close();
      throw error;
    }
    return stack;
  }

  async #boot() {
    this.dir = mkdtempSync(join(tmpdir(), "rd-"));
    chmodSync(this.dir, 0o711);
    for (const name of ["logs", "pg", "pgs", "redis", "blobs", "agents", "cli"]) mkdirSync(join(this.dir, name), { mode: 0o700 });
    this.processes = new Map();
    this.#startPostgres();
    await this.startRedis();
    this.#makeTrust();
    this.ports = { api: await freePort(), apps: await freePort(), link: await freePort() };
    this.api = `http://127.0.0.1:${this.ports.api}`;
    this.linkProxies = {};
    if (this.options.hasDatabaseProxy) await this.#proxyDatabase();
    this.startApi();
    await until("the API is ready", async () => (await fetch(this.api + "/readyz")).ok, 30000);
    for (let n = 1; n <= this.options.schedulers; n++) this.startScheduler(n);
    this.#bootstrap();
    this.recordKey = (await (await fetch(this.api + "/v1/version")).json()).record_key;
    for (let n = 1; n <= this.options.hosts; n++) await this.addHost(n);
    if (this.options.hosts) await this.hostsReady(this.options.hosts);
  }

  #asPostgres(command, args, options = {}) {
    return isRoot ? run("runuser", ["-u", "postgres", "--", command, ...args], options) : run(command, args, options);
  }

  #startPostgres() {
    const bin = pgBin();
    this.pgData = join(this.dir, "pg");
    this.pgSockets = join(this.dir, "pgs");
    if (isRoot) {
      const [uid, gid] = ["-u", "-g"].map((flag) => Number(run("id", [flag, "postgres"])));
      for (const path of [this.pgData, this.pgSockets]) chownSync(path, uid, gid);
    }
    this.#asPostgres(join(bin, "initdb"), ["-D", this.pgData, "-U", "rd_admin", "--auth=trust", "--no-instructions", "-E", "UTF8", "--locale=C.UTF-8"]);
    this.startPostgres();
    run("psql", ["-h", this.pgSockets, "-U", "rd_admin", "-d", "postgres", "-qc", "CREATE DATABASE redoubt"]);
    this.database = `host=${this.pgSockets} dbname=redoubt`;
    run(join(BIN, "redoubt-api"), ["migrate", "--database", this.database + " user=rd_admin"]);
  }

  startPostgres() {
    this.#asPostgres(join(pgBin(), "pg_ctl"), ["-D", this.pgData, "-w", "-t", "60", "-l", join(this.pgData, "server.log"), "-o",
      `-c unix_socket_directories='${this.pgSockets}' -c listen_addresses='' -c max_prepared_transactions=0 -c fsync=${this.options.fsync || "off"}`, "start"]);
    this.pgRuns = true;
  }

  stopPostgres(mode = "fast") {
    if (!this.pgRuns) return;
    this.pgRuns = false;
    this.#asPostgres(join(pgBin(), "pg_ctl"), ["-D", this.pgData, "-m", mode, "-w", "stop"]);
  }

  // Rows as arrays of texts.
  sql(text) {
    const out = run("psql", ["-h", this.pgSockets, "-U", "rd_admin", "-d", "redoubt", "-AtqF", "\t", "-c", text]);
    return out.split("\n").filter((line) => line.length).map((line) => line.split("\t"));
  }

  async startRedis() {
    this.redis = join(this.dir, "redis.sock");
    this.#spawn("redis", "redis-server", ["--port", "0", "--unixsocket", this.redis, "--unixsocketperm", "700", "--dir", join(this.dir, "redis"),
      "--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction"]);
    await until("Redis answers", () => run("redis-cli", ["-s", this.redis, "ping"]).includes("PONG"));
  }

  #makeTrust() {
    const pki = join(this.dir, "pki");
    run(join(BIN, "redoubt-agent"), ["sim-pki", "create", "--dir", pki]);
    run(join(BIN, "redoubt-api"), ["init", "--state", join(this.dir, "api")]);
    run(join(BIN, "redoubt"), ["keys", "new", join(this.dir, "cli", "owner.pem")]);
    const root = new X509Certificate(readFileSync(join(pki, "root.pem")));
    this.simulationRoot = createHash("sha256").update(root.raw).digest("hex");
    this.measurement = JSON.parse(run(join(BIN, "redoubt-agent"), ["measure", join(BIN, "redoubt-enclave")])).mrtd;
    if (this.options.jsc) this.jscMeasurement = JSON.parse(run(join(BIN, "redoubt-agent"), ["measure", join(BIN, "redoubt-enclave-jsc")])).mrtd;
    if (this.options.kms) this.kmsMeasurement = JSON.parse(run(join(BIN, "redoubt-agent"), ["measure", join(BIN, "redoubt-kms")])).mrtd;
  }

  #spawn(name, command, args) {
    const process_ = new Process(this, name, command, args, this.options.env[name.replace(/-\d+$/, "")]);
    this.processes.set(name, process_);
    return process_;
  }

  // Replica n of the API; the first has the ports that everybody knows, further ones REST and links alone.
  startApi(n = 1) {
    const p = n === 1 ? this.ports : this.extraPorts[n];
    const process_ = this.#spawn(n === 1 ? "api" : `api-${n}`, join(BIN, "redoubt-api"), ["run", "--listen", `127.0.0.1:${p.api}`, "--apps-listen", `127.0.0.1:${p.apps}`,
      "--apps-domain", "localhost", "--public-url", this.api, "--link-listen", `127.0.0.1:${p.link}`, "--link-address", `127.0.0.1:${p.link}`,
      "--database", this.database, "--redis", "unix:" + this.redis, "--blob-dir", join(this.dir, "blobs"), "--state", join(this.dir, "api"),
      "--collateral", join(this.dir, "pki", "collateral.json"), "--simulation-root", "sha256:" + this.simulationRoot, "--runtime-measurement", this.measurement,
      "--web-dir", join(ROOT, "web-static"), ...this.options.apiFlags]);
    if (n === 1) this.apiProcess = process_;
    return process_;
  }

  async addApi(n) {
    this.extraPorts = { ...this.extraPorts, [n]: { api: await freePort(), apps: await freePort(), link: await freePort() } };
    this.startApi(n);
    const address = `http://127.0.0.1:${this.extraPorts[n].api}`;
    await until(`API ${n} is ready`, async () => (await fetch(address + "/readyz")).ok, 30000);
    return address;
  }

  // Kills a process and starts it again, with fail points ("name:kill", …) or without.
  async restart(name, failpoints = "") {
    const old = this.processes.get(name);
    await old.kill();
    old.env = { ...old.env, REDOUBT_FAILPOINTS: failpoints };
    return old.start();
  }
  apiReady() { return until("the API is ready", async () => (await fetch(this.api + "/readyz")).ok, 30000); }

  async #proxyDatabase() {
    const folder = join(this.dir, "pgp"), name = ".s.PGSQL.5432";
    mkdirSync(folder, { mode: 0o700 });
    this.databaseProxy = await Proxy.start({ path: join(folder, name) }, { path: join(this.pgSockets, name) });
    this.proxiedDatabase = `host=${folder} dbname=redoubt`;
  }

  startScheduler(n = 1) {
    return this.#spawn(`scheduler-${n}`, join(BIN, "redoubt-scheduler"), ["--database", this.proxiedDatabase || this.database, "--redis", "unix:" + this.redis, ...this.options.schedulerFlags]);
  }

  #bootstrap() {
    const made = JSON.parse(run(join(BIN, "redoubt-api"), ["bootstrap", "--database", this.database, "--org", "tests", "--user", "tester"]));
    this.token = made.token;
    this.bootstrap = made;
    writeFileSync(join(this.dir, "cli", "token"), this.token, { mode: 0o600 });
    this.profile = join(this.dir, "profile.json");
    writeFileSync(this.profile, JSON.stringify({
      api: this.api, token_file: "cli/token", key_file: "cli/owner.pem", class: "simulated", state_dir: "cli/state",
      simulation_roots: ["sha256:" + this.simulationRoot], measurements: this.options.jsc ? [this.measurement, this.jscMeasurement] : [this.measurement],
      ...(this.options.kms ? { kms_measurements: [this.kmsMeasurement] } : {}),
    }));
  }

  // A second organisation with a token of its own.
  secondOrganisation(name = "others") {
    return JSON.parse(run(join(BIN, "redoubt-api"), ["bootstrap", "--database", this.database, "--org", name, "--user", name]));
  }

  async addHost(n) {
    const state = join(this.dir, "agents", String(n));
    const platform = join(this.dir, "pki", "platform-" + n);
    run(join(BIN, "redoubt-agent"), ["sim-pki", "platform", "--dir", join(this.dir, "pki"), "--out", platform]);
    const { token } = await this.rest("POST", "/v1/enrol-tokens", {});
    run(join(BIN, "redoubt-agent"), ["enroll", "--api", this.api, "--token", token, "--state", state, "--name", "sim-" + n, "--sim-platform", platform]);
    if (this.options.hasLinkProxies) await this.#proxyLink(n, join(state, "host.json"));
    return this.startAgent(n);
  }

  // An operator may name another way to the link in host.json; certificates are checked whatever the way.
  async #proxyLink(n, path) {
    mkdirSync(join(this.dir, "wires"), { recursive: true, mode: 0o700 });
    const record = this.options.recordsLinks && join(this.dir, "wires", "link-" + n);
    this.linkProxies[n] = await Proxy.start({ port: 0, host: "127.0.0.1" }, { port: this.ports.link, host: "127.0.0.1" }, record);
    const host = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...host, link: `127.0.0.1:${this.linkProxies[n].port}` }));
  }

  // options.kms: the first host carries a key service. options.jsc: true, or the program to take for the second engine's enclave.
  startAgent(n = 1) {
    const kms = typeof this.options.kms === "function" ? this.options.kms(n)
      : this.options.kms && n === 1 ? ["--kms-dir", join(this.dir, "kms"), "--kms-ticket-key", this.recordKey] : [];
    return this.#spawn(`agent-${n}`, join(BIN, "redoubt-agent"), ["run", "--state", join(this.dir, "agents", String(n)),
      "--enclave", join(BIN, "redoubt-enclave"), "--enclave-jsc", this.options.jsc === true ? "auto" : this.options.jsc || "off", "--dial-jitter", "100ms", ...kms, ...this.options.agentFlags]);
  }

  // The id of the key service that the first host carries, once its link is up.
  async kmsId() {
    return until("the key service is linked", async () => (await this.rest("GET", "/v1/kms")).items.find((k) => k.linked > 0)?.id, 30000);
  }

  agent(n = 1) { return this.processes.get("agent-" + n); }
  scheduler(n = 1) { return this.processes.get("scheduler-" + n); }

  async hosts() { return (await this.rest("GET", "/v1/hosts?limit=200")).items; }
  async hostsReady(count, timeoutMs = 30000) {
    return until(`${count} hosts are ready`, async () => (await this.hosts()).filter((h) => h.state === "ready" && h.link === "up").length >= count, timeoutMs);
  }

  // Kills the one agent there is and starts it again. The plane has to have seen it go: before that, what it says is of the link from before.
  async linkAnew(n = 1) {
    await this.agent(n).kill();
    await until("the agent is gone", async () => (await this.hosts()).every(({ link }) => link !== "up"));
    this.agent(n).start();
    await this.hostsReady(1);
    if (this.options.kms) await this.kmsId();
  }

  // One request; answers {status, headers, body (parsed when JSON)}.
  async request(method, path, body, headers = {}) {
    const isRaw = typeof body === "string" || body instanceof Uint8Array;
    const response = await fetch(path.startsWith("http") ? path : this.api + path, {
      method,
      headers: { authorization: "Bearer " + this.token, ...(body !== undefined && !isRaw ? { "content-type": "application/json" } : {}), ...headers },
      body: body === undefined ? undefined : isRaw ? body : JSON.stringify(body),
      redirect: "manual",
      signal: AbortSignal.timeout(30000),
    });
    const text = await response.text();
    const isJson = (response.headers.get("content-type") || "").includes("json");
    return { status: response.status, headers: response.headers, body: isJson && text ? JSON.parse(text) : text };
  }

  // As request, but anything from 400 up throws.
  async rest(method, path, body, headers) {
    const answer = await this.request(method, path, body, headers);
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  // The command line with this stack's profile: {code, stdout, stderr}; never throws for an exit code. onError: hears stderr as it comes.
  cli(...args) {
    const options = typeof args.at(-1) === "object" ? args.pop() : {};
    return new Promise((done) => {
      const child = execFile(join(BIN, "redoubt"), args, {
        env: { ...process.env, REDOUBT_PROFILE: this.profile, HOME: this.dir, XDG_CONFIG_HOME: "", XDG_STATE_HOME: "", ...options.env },
        timeout: options.timeout || 180000, maxBuffer: 64 << 20, cwd: options.cwd || this.dir,
      }, (error, stdout, stderr) => done({ code: error ? (typeof error.code === "number" ? error.code : 1) : 0, stdout, stderr }));
      child.stdin.on("error", () => {}); // it may have ended before it read
      if (options.onError) child.stderr.on("data", options.onError);
      child.stdin.end(options.input || "");
    });
  }

  // As cli with --json; throws unless it exits 0.
  async json(...args) {
    const result = await this.cli(...args, "--json");
    if (result.code !== 0) throw new Error(`redoubt ${args.join(" ")}: exit ${result.code}\n${result.stderr}\n${this.tail()}`);
    return JSON.parse(result.stdout);
  }

  // A script deployed under a name; resolves once it serves. Tests send plain requests unless they say otherwise.
  async deploy(name, source, manifest = {}) {
    const dir = join(this.dir, "src-" + name);
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, "index.js"), source);
    writeFileSync(join(dir, "redoubt.json"), JSON.stringify({ name, main: "index.js", plain: true, ...manifest }));
    return this.json("deploy", dir, "--yes", "--timeout", "120");
  }

  // A request on the apps origin by host name, without a resolver.
  async invoke(app, path = "/", options = {}) {
    const { request } = await import("node:http");
    return new Promise((done, failed) => {
      const outgoing = request({
        host: "127.0.0.1", port: this.ports.apps, path, method: options.method || (options.body ? "POST" : "GET"),
        headers: { host: `${app.replace("_", "-")}.localhost`, authorization: "Bearer " + this.token, ...options.headers }, timeout: options.timeout || 30000,
      }, (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => done({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString() }));
        response.on("error", failed);
      });
      outgoing.on("timeout", () => outgoing.destroy(new Error("timeout")));
      outgoing.on("error", failed);
      outgoing.end(options.body);
    });
  }

  // A call is answered: behind a kill or a restart, what the plane says of hosts and instances may be of before.
  answers(app) { return until("it answers", async () => (await this.invoke(app)).status === 200); }

  // The ends of all logs, for messages of failed tests.
  tail(lines = 12) {
    let text = "";
    for (const name of this.processes ? this.processes.keys() : []) {
      const path = join(this.dir, "logs", name + ".log");
      if (name === "redis" || !existsSync(path)) continue;
      text += `--- ${name}\n${readFileSync(path, "utf8").split("\n").slice(-lines - 1).join("\n")}\n`;
    }
    return text;
  }

  async close() {
    const all = [...(this.processes?.values() || [])].reverse();
    await Promise.all(all.filter((p) => p.name !== "redis").map((p) => p.stop(8000)));
    await Promise.all([...Object.values(this.linkProxies || {}), this.databaseProxy].filter(Boolean).map((p) => p.close()));
    this.#killEnclaves();
    await Promise.all(all.filter((p) => p.name === "redis").map((p) => p.stop(8000)));
    try { this.stopPostgres("immediate"); } catch { /* it may be dead already, on purpose */ }
    if (!process.env.REDOUBT_KEEP && this.dir) rmSync(this.dir, { recursive: true, force: true });
  }

  // A host that is gone with everything on it: its agent, its simulator, and what that had started.
  async loseHost(n) {
    await this.agent(n).kill();
    const state = join(this.dir, "agents", String(n)) + "/";
    const simulators = this.#processes().filter((p) => p.command.includes("sim-tee") && p.command.includes(state)).map((p) => p.pid);
    const started = this.#processes().filter((p) => simulators.includes(p.parent)).map((p) => p.pid);
    for (const pid of [...simulators, ...started]) { try { process.kill(pid, "SIGKILL"); } catch { /* gone */ } }
  }

  // Instances outlive their agent by design; a test's folder must not outlive the test.
  #killEnclaves() {
    for (const pid of [...this.enclavePids(), ...this.simulatorPids()]) { try { process.kill(pid, "SIGKILL"); } catch { /* gone */ } }
  }

  #processes() {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "utf8");
        const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        return [{ pid: Number(name), parent: Number(parent), command: readFileSync(`/proc/${name}/cmdline`, "utf8") }];
      } catch { return []; }
    });
  }

  // The simulators of this stack's hosts: they outlive their agents.
  simulatorPids() {
    return this.dir ? this.#processes().filter((p) => p.command.includes("sim-tee") && p.command.includes(this.dir)).map((p) => p.pid) : [];
  }

  // The processes of a key service: main first, then judge, root and front, by the folder in main's arguments.
  kmsPids(folder = join(this.dir, "kms")) {
    const ours = this.#processes().filter((p) => p.command.startsWith("redoubt-kms") && p.command.includes(folder));
    const main = ours.find((p) => !ours.some((other) => other.pid === p.parent));
    return main ? [main.pid, ...ours.filter((p) => p.parent === main.pid).map((p) => p.pid)] : [];
  }

  // The simulators' children of which the enclaves are copies; a key service is a child, too.
  zygotePids() {
    const simulators = new Set(this.simulatorPids());
    return this.#processes().filter((p) => simulators.has(p.parent) && p.command.includes("--zygote-fd")).map((p) => p.pid);
  }

  // Enclave processes: copies of their simulator's zygote, which is its child, and those in the agents' records, whose zygote
  // may be gone. Nothing else tells whose they are.
  enclavePids() {
    const zygotes = new Set(this.zygotePids()), recorded = new Set(this.#recordedPids());
    return this.#processes().filter((p) => zygotes.has(p.parent) || (recorded.has(p.pid) && p.command.includes("redoubt-enclave"))).map((p) => p.pid);
  }

  #recordedPids() {
    const agents = join(this.dir, "agents");
    return readdirSync(agents).flatMap((n) => {
      const folder = join(agents, n, "run", "e");
      if (!existsSync(folder)) return [];
      return readdirSync(folder).flatMap((tag) => {
        try { return [JSON.parse(readFileSync(join(folder, tag, "record.json"), "utf8")).pid]; } catch { return []; }
      });
    });
  }
}
