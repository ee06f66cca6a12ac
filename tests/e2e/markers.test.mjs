// The promise, looked for: after a run with sealed code, a secret and sealed calls, none of them is in any file, log or process of plane
// and host, nor in what went over their wires. Only the enclave and the caller have held them.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Markers, family } from "../support/markers.mjs";
import { Proxy } from "../support/proxy.mjs";
import { Stack, until } from "../support/stack.mjs";

const mark = (name) => `${name}-${randomBytes(12).toString("hex")}`;
const MARKS = { secret: mark("secret"), code: mark("code"), request: mark("request"), path: mark("path"), header: mark("header"), answer: mark("answer"), log: mark("log") };
const source = `const code = "${MARKS.code}";
export default { async fetch(request, env) {
  const text = await request.text(), url = new URL(request.url);
  console.log("${MARKS.log}", env.API_KEY, text);
  if (url.pathname === "/throw") throw new Error("${MARKS.log} " + text);
  return Response.json({ read: env.API_KEY === text, path: url.pathname, code: code.length, answer: "${MARKS.answer}" }, { headers: { "x-mark": "${MARKS.header}" } });
} };`;

let stack, callers, wires;
before(async () => {
  stack = await Stack.start({ kms: true, hasLinkProxies: true, recordsLinks: true });
  wires = join(stack.dir, "wires");
  callers = await Proxy.start({ port: 0, host: "127.0.0.1" }, { port: stack.ports.api, host: "127.0.0.1" }, join(wires, "callers"));
  assert.equal((await stack.cli("kms", "trust", await stack.kmsId(), "--yes")).code, 0);
}, { timeout: 180000 });
after(async () => { await callers?.close(); await stack?.close(); });

const cli = async (...args) => {
  const options = typeof args.at(-1) === "object" ? args.pop() : {};
  const result = await stack.cli(...args, "--api", `http://127.0.0.1:${callers.port}`, options);
  return { ...result, text: result.stdout + result.stderr };
};

// What the plane and the host have: name -> process ids.
function processes() {
  const postmaster = Number(readFileSync(join(stack.pgData, "postmaster.pid"), "utf8").split("\n")[0]);
  const own = [...stack.processes].filter(([, one]) => one.isRunning()).map(([name, one]) => [name, [one.pid]]);
  return [...own, ["PostgreSQL", family(postmaster)]];
}
// The caller's own folders are the caller's.
const isCallers = (path) => [join(stack.dir, "cli"), join(stack.dir, "src-marked")].includes(path);

test("a sealed call to sealed code that reads a secret", { timeout: 180000 }, async () => {
  await stack.deploy("marked", source, { plain: false, logs: "sealed" });
  const set = await cli("secrets", "set", "marked", "API_KEY", { input: MARKS.secret });
  assert.equal(set.code, 0, set.text);
  await stack.deploy("marked", source, { plain: false, logs: "sealed" });
  // Behind a deployment the instance from before may answer a little longer.
  const call = await until("the secret is read", async () => {
    const made = await cli("invoke", "marked", "--path", "/" + MARKS.path, "--data", MARKS.secret);
    assert.equal(made.code, 0, made.text);
    return JSON.parse(made.stdout).read && made;
  });
  assert.equal(JSON.parse(call.stdout).answer, MARKS.answer);
  const other = await cli("invoke", "marked", "--data", MARKS.request);
  assert.equal(JSON.parse(other.stdout).read, false, other.text);
  assert.notEqual((await cli("invoke", "marked", "--path", "/throw", "--data", MARKS.request)).code, 0);
  await until("the owner reads the log", async () => (await cli("logs", "marked")).stdout.includes(`${MARKS.log} ${MARKS.request}`));
});

test("the search finds what is there: in every process, in the database's files, on the wires", { timeout: 180000 }, () => {
  const here = new Markers({ folder: stack.dir });
  for (const [name, pids] of processes())
    assert.deepEqual(here.memory(pids[0], name), [`folder in the memory of ${name}`]);
  const name = new Markers({ name: "marked" });
  assert.ok(name.files(stack.pgData).length > 0);
  assert.ok(name.files(wires).some((found) => found.includes("callers")));
});

test("R13, R53: no file, no process and no wire of plane and host holds secret, code, request, answer or log line", { timeout: 240000 }, () => {
  const marks = new Markers(MARKS);
  assert.deepEqual(marks.files(stack.dir, isCallers), []);
  for (const [name, pids] of processes())
    for (const pid of pids) assert.deepEqual(marks.memory(pid, name), []);
});
