// The main job from end to end through the command line, with a second implementation of the formats as judge.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, ROOT, until } from "../support/stack.mjs";
import { checkInvariants } from "../support/invariants.mjs";
import * as f from "../../web-static/formats.js";
import { inspect, passed } from "../../web-static/evidence.js";

let stack;
before(async () => { stack = await Stack.start({ hosts: 3 }); });
after(async () => { await stack?.close(); });

const example = join(ROOT, "examples/private-score");
let deployed;

test("deploy shows the six stages and serves", async () => {
  const result = await stack.cli("deploy", example, "--yes");
  assert.equal(result.code, 0, result.stderr + stack.tail());
  for (const stage of ["accepted", "planned", "placed", "launching", "attested", "serving"]) assert.match(result.stderr, new RegExp(`^ +${stage} `, "m"));
  assert.match(result.stderr, /SIMULATED/);
  assert.match(result.stdout, /^http:\/\/app-[a-z2-7]{52}\.localhost:/);
  assert.doesNotMatch(result.stdout + result.stderr, /\x1b/);
  deployed = (await stack.json("apps", "show", "private-score"));
  checkInvariants(stack);
});

test("invoke answers and verifies every step", async () => {
  const answer = await stack.json("invoke", "private-score", "--data", "@" + join(example, "request.json"));
  assert.equal(answer.status, 200);
  assert.equal(answer.verified, true);
  assert.equal(answer.simulated, true);
  assert.ok(Number.isInteger(answer.body.score));
  assert.ok(answer.steps.every((step) => step.ok) && answer.steps.length > 12);
});

test("a saved receipt verifies offline, and each spoiled part of it is refused with exit 6", async () => {
  const saved = join(stack.dir, "receipt.json");
  assert.equal((await stack.cli("invoke", "private-score", "--data", "@" + join(example, "request.json"), "--save", saved)).code, 0);
  const offline = { env: { REDOUBT_API: "http://127.0.0.1:9" } };
  assert.equal((await stack.cli("verify", saved, offline)).code, 0);
  const good = JSON.parse(readFileSync(saved, "utf8"));
  const flip = (text) => (text[0] === "A" ? "B" : "A") + text.slice(1);
  const spoiled = {
    response_body: flip(good.response_body), request_body: flip(good.request_body), salt: flip(good.salt), nonce: flip(good.nonce), status: 201, target: "/other", method: "PUT",
    receipt: good.receipt.slice(0, 200) + flip(good.receipt.slice(200)), evidence: good.evidence.slice(0, 1000) + flip(good.evidence.slice(1000)), app: good.app.replace(/.$/, (c) => (c === "a" ? "q" : "a")),
  };
  for (const [name, value] of Object.entries(spoiled)) {
    const path = join(stack.dir, `spoiled-${name}.json`);
    writeFileSync(path, JSON.stringify({ ...good, [name]: value }));
    const result = await stack.cli("verify", path, "--json", offline);
    assert.notEqual(result.code, 0, `${name} spoiled must not verify`);
    if (result.stdout) assert.equal(JSON.parse(result.stdout).verified, false, name);
  }
});

test("verify asks each instance for fresh evidence over its own nonce", async () => {
  const results = await stack.json("verify", "private-score");
  assert.ok(results.length >= 1);
  for (const result of results) {
    assert.equal(result.verified, true, JSON.stringify(result.steps));
    assert.ok(result.steps.some((step) => step.name === "freshness"));
  }
});

test("a verifier that does not trust the simulation root, or the runtime, refuses with exit 6", async () => {
  const profile = JSON.parse(readFileSync(stack.profile, "utf8"));
  for (const change of [{ simulation_roots: [] }, { measurements: ["00".repeat(48)] }]) {
    const path = join(stack.dir, "strict.json");
    writeFileSync(path, JSON.stringify({ ...profile, ...change, token_file: join(stack.dir, "cli/token"), key_file: join(stack.dir, "cli/owner.pem"), state_dir: join(stack.dir, "strict-state") }));
    const result = await stack.cli("verify", "private-score", "--profile", path);
    assert.equal(result.code, 6, result.stdout + result.stderr);
    const invoked = await stack.cli("invoke", "private-score", "--data", "{}", "--profile", path);
    assert.equal(invoked.code, 6);
    assert.equal(invoked.stdout, "", "an answer that does not verify is withheld");
  }
});

test("the second implementation agrees: receipt, evidence binding, event log", async () => {
  const salt = crypto.getRandomValues(new Uint8Array(32)), nonce = crypto.getRandomValues(new Uint8Array(32));
  const body = readFileSync(join(example, "request.json"), "utf8");
  const dir = join(stack.dir, "src-plain-score");
  cpSync(example, dir, { recursive: true });
  writeFileSync(join(dir, "redoubt.yaml"), readFileSync(join(dir, "redoubt.yaml"), "utf8").replace("name: private-score", "name: plain-score\nplain: true"));
  const { app } = await stack.json("deploy", dir, "--yes");
  const answer = await stack.invoke(app, "/?x=1", { method: "POST", body, headers: { "content-type": "application/json", "redoubt-salt": f.b64u(salt), "redoubt-nonce": f.b64u(nonce) } });
  assert.equal(answer.status, 200);
  const instance = answer.headers["redoubt-instance"].split(".")[0];
  const response = await fetch(`${stack.api}/v1/instances/${instance}/evidence`, { headers: { authorization: "Bearer " + stack.token } });
  const evidence = await inspect(new Uint8Array(await response.arrayBuffer()), { simulationRoot: stack.simulationRoot });
  assert.ok(passed(evidence.steps), JSON.stringify(evidence.steps));
  const expect = { key: f.unb64u(evidence.statement.keys.receipt), statement: evidence.statementBytes, app, nonce, salt,
    exchange: { method: "POST", target: "/?x=1", requestType: "application/json", requestBody: body, status: 200, responseType: answer.headers["content-type"], responseBody: answer.body } };
  const steps = await f.checkReceipt(answer.headers["redoubt-receipt"], expect);
  assert.ok(steps.every((step) => step.ok), JSON.stringify(steps));
  const wrong = await f.checkReceipt(answer.headers["redoubt-receipt"], { ...expect, exchange: { ...expect.exchange, responseBody: answer.body + " " } });
  assert.equal(wrong.at(-1).ok, false);
});

test("errors, loops and bombs answer clearly and never harm the next request", async () => {
  const made = await stack.deploy("bombs", `
    let calls = 0;
    export default { async fetch(request) {
      calls++;
      const what = new URL(request.url).pathname.slice(1);
      if (what === "throw") throw new Error("secret stack");
      if (what === "reject") return Promise.reject(new TypeError("secret stack"));
      if (what === "loop") for (;;) {}
      if (what === "memory") { const all = []; for (;;) all.push(new Array(100000).fill(calls)); }
      if (what === "output") return new Response("x".repeat(9 << 20));
      if (what === "nothing") return 7;
      if (what === "deep") { const f = () => f() + 1; return new Response(String(f())); }
      return new Response("calls " + calls);
    } };`, { limits: { time_ms: 6000 }, resources: { cpu_m: 2000, memory_bytes: 128 << 20 } });
  const rows = { throw: [500, "function_error"], reject: [500, "function_error"], loop: [504, "function_timeout"], memory: [[500, 507], null], output: [502, "function_output_too_large"], nothing: [502, "function_bad_response"], deep: [500, "function_error"] };
  for (const [what, [status, code]] of Object.entries(rows)) {
    const answer = await stack.invoke(made.app, "/" + what);
    assert.ok([].concat(status).includes(answer.status), `${what}: ${answer.status} ${answer.body.slice(0, 300)}`);
    if (code) assert.equal(answer.headers["redoubt-error"], code, what);
    assert.ok(answer.headers["redoubt-receipt"], `${what} has a receipt too`);
    assert.doesNotMatch(answer.body, /secret stack/, "the caller does not see what the function threw");
    const next = await stack.invoke(made.app, "/");
    assert.equal(next.body, "calls 1", `after ${what}: every request starts from a pristine state`);
  }
  checkInvariants(stack);
});

test("nothing is random before the snapshot", async () => {
  for (const [i, source] of ["const id = crypto.randomUUID();", "const r = Math.random();", "const b = crypto.getRandomValues(new Uint8Array(4));"].entries()) {
    const dir = stack.deploy(`early-${i}`, `${source}\nexport default { fetch: () => new Response("x") };`);
    await assert.rejects(dir, /ENTROPY_BEFORE_SNAPSHOT|entropy/i);
  }
});

test("callers need a token unless the release is open", async () => {
  const closed = await stack.invoke(deployed.id, "/", { headers: { authorization: "" } });
  assert.ok([401, 403].includes(closed.status), String(closed.status));
  const open = await stack.deploy("open-app", "export default { fetch: (r) => new Response(r.headers.get('authorization') ?? 'no token') }", { open: true });
  const answer = await stack.invoke(open.app, "/", { headers: { authorization: "" } });
  assert.equal(answer.status, 200);
  const withToken = await stack.invoke(open.app, "/");
  assert.equal(withToken.body, "no token", "the plane's token is not for the function");
});

test("a second release replaces the first without a failed request", async () => {
  const made = await stack.deploy("rolling", "export default { fetch: () => new Response('one') }");
  let running = true;
  const seen = { one: 0, two: 0, bad: 0 };
  const load = (async () => {
    while (running) {
      const answer = await stack.invoke(made.app, "/");
      if (answer.status === 200) seen[answer.body]++; else seen.bad++;
    }
  })();
  await stack.deploy("rolling", "export default { fetch: () => new Response('two') }");
  await until("the new one answers", () => seen.two > 5);
  running = false;
  await load;
  assert.equal(seen.bad, 0);
  assert.ok(seen.one > 0);
  checkInvariants(stack);
});

test("logs reach their organisation, and nothing of a request reaches the plane's logs", async () => {
  const marker = "marker-" + Math.random().toString(36).slice(2);
  const made = await stack.deploy("logging", "export default { async fetch(r) { console.log('seen by the owner'); return new Response(await r.text()); } }");
  await stack.invoke(made.app, "/", { body: marker });
  await until("the line arrives", async () => (await stack.cli("logs", "logging", "--json")).stdout.includes("seen by the owner"));
  for (const name of ["api", "scheduler-1", "agent-1", "agent-2", "agent-3"]) {
    const log = stack.processes.get(name).log();
    assert.ok(!log.includes(marker) && !log.includes(stack.token), name);
  }
});

test("hosts drain without losing a request, and take work again", async () => {
  const made = await stack.deploy("drained", "export default { fetch: () => new Response('ok') }");
  const [instance] = (await stack.json("apps", "show", "drained")).instance_list.filter((i) => i.serving);
  assert.equal((await stack.cli("hosts", "drain", instance.host)).code, 0);
  await until("it moved", async () => {
    assert.equal((await stack.invoke(made.app, "/")).status, 200);
    return (await stack.json("apps", "show", "drained")).instance_list.some((i) => i.serving && i.host !== instance.host);
  }, 30000);
  assert.equal((await stack.cli("hosts", "undrain", instance.host)).code, 0);
  await until("it is ready again", async () => (await stack.hosts()).find((h) => h.id === instance.host).state === "ready", 20000);
  checkInvariants(stack);
});

test("what cannot be placed says why, by constraint", async () => {
  const result = await stack.cli("deploy", example, "--yes", { cwd: ROOT });
  assert.equal(result.code, 0);
  const dir = join(stack.dir, "src-huge");
  const { mkdirSync } = await import("node:fs");
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "index.js"), "export default { fetch: () => new Response('x') }");
  writeFileSync(join(dir, "redoubt.json"), JSON.stringify({ name: "huge", resources: { cpu_m: 4000, memory_bytes: 1073741824 }, instances: { min: 500, max: 500 } }));
  const pending = await stack.cli("deploy", dir, "--yes", "--timeout", "4");
  assert.ok([1, 5, 7].includes(pending.code), pending.stderr);
  assert.match(pending.stderr, /pending|quota|no host/i);
});

test("delete stops everything and gives the quota back once", async () => {
  assert.equal((await stack.cli("apps", "delete", "bombs", "--yes")).code, 0);
  await until("no lease lives", () => stack.sql("SELECT 1 FROM leases l JOIN apps a USING (app_id) WHERE a.name = 'bombs' AND l.held").length === 0, 20000);
  await until("the hold is gone", () => stack.sql("SELECT 1 FROM app_holds h JOIN apps a USING (app_id) WHERE a.name = 'bombs'").length === 0, 20000);
  await until("the app is gone by itself", () => stack.sql("SELECT 1 FROM apps WHERE name = 'bombs' AND state = 3").length === 1, 20000);
  checkInvariants(stack);
  assert.equal((await stack.cli("apps", "create", "bombs")).code, 0, "the name is free again");
});
