// Logs: what a function writes reaches its readers once each, in order; who comes back goes on where he was, or is told what he lost.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { BIN, Stack, until } from "../support/stack.mjs";
import { Proxy } from "../support/proxy.mjs";

const source = "export default { async fetch(r) { for (const n of (await r.text()).split(' ').filter(Boolean)) console.log('line ' + n); return new Response('ok'); } }";
let stack, app;
before(async () => {
  stack = await Stack.start({ hosts: 1 });
  app = (await stack.deploy("talker", source)).app;
});
after(async () => { await stack?.close(); });

const say = async (...numbers) => assert.equal((await stack.invoke(app, "/", { body: numbers.join(" ") })).status, 200);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

// Reads the stream until wanted(events) is true; answers the events as {id, event, data}.
async function read(lastId, wanted, headers = {}) {
  const stop = new AbortController();
  const response = await fetch(`${stack.api}/v1/apps/${app}/logs`, { headers: { authorization: "Bearer " + stack.token, ...(lastId ? { "last-event-id": lastId } : {}), ...headers }, signal: AbortSignal.any([stop.signal, AbortSignal.timeout(20000)]) });
  assert.equal(response.status, 200);
  const events = [];
  let pending = "";
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const parts = (pending + piece).split("\n\n");
    pending = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").filter((line) => !line.startsWith(":")).map((line) => { const at = line.indexOf(": "); return [line.slice(0, at), line.slice(at + 2)]; }));
      if (fields.data) events.push({ ...fields, data: JSON.parse(fields.data) });
    }
    if (wanted(events)) break;
  }
  stop.abort();
  return events;
}
const isCaughtUp = (events) => events.some((one) => one.event === "caught-up");
const texts = (events) => events.filter((one) => one.event === "log").map((one) => one.data.text);
const all = (lastId) => read(lastId, isCaughtUp);
const arrived = (n) => until(`line ${n} arrives`, async () => texts(await all()).includes(`line ${n}`));

test("nothing was written yet: it says so on stderr, and stdout stays empty", async () => {
  const result = await stack.cli("logs", "talker");
  assert.equal(result.code, 0);
  assert.equal(result.stdout, "");
  assert.match(result.stderr, /No lines of talker are kept.*logs talker -f/s);
});

test("Last-Event-ID goes on behind the line that was read, without a gap or a line twice", async () => {
  await say(...range(1, 5));
  await arrived(5);
  const events = await all();
  assert.deepEqual(texts(events), range(1, 5).map((n) => `line ${n}`));
  assert.ok(events.every((one) => /^[0-9a-f]{16}-\d+-\d+$/.test(one.id)));
  const third = events.filter((one) => one.event === "log")[2].id;
  assert.deepEqual(texts(await all(third)), ["line 4", "line 5"]);
  const end = events.at(-1).id;
  assert.deepEqual((await all(end)).map((one) => one.event), ["caught-up"]);
  await say(6);
  await arrived(6);
  assert.deepEqual(texts(await read(end, (seen) => texts(seen).length === 1)), ["line 6"]);
});

test("past what is kept: a gap that says how many, then the lines that are left", async () => {
  const start = (await all()).at(-1).id;
  for (let n = 7; n < 707; n += 100) await say(...range(n, n + 99));
  await arrived(706);
  const events = await all(start);
  const [gap] = events;
  assert.equal(gap.event, "gap");
  const kept = texts(events);
  assert.equal(gap.data.lost + kept.length, 700, "lost and told are all of them");
  assert.deepEqual(kept, range(707 - kept.length, 706).map((n) => `line ${n}`));
  assert.deepEqual(texts(await all(gap.id)), kept, "the gap's own id is a place to go on from");
});

test("an id that is none is refused; one of another start of the replica is a gap of unknown size", async () => {
  for (const id of ["x", "1-2-3", "0123456789abcdef-1", "0123456789abcdef-1-2-3"]) {
    const answer = await stack.request("GET", `/v1/apps/${app}/logs`, undefined, { "last-event-id": id });
    assert.equal(answer.status, 422, id);
  }
  const [gap] = await all("0123456789abcdef-1-7");
  assert.equal(gap.event, "gap");
  assert.equal(gap.data.lost, null);
});

test("logs -f over a connection that is cut again and again: each line once, in order", { timeout: 180000 }, async (t) => {
  const proxy = await Proxy.start({ port: 0, host: "127.0.0.1" }, { port: stack.ports.api, host: "127.0.0.1" });
  t.after(() => proxy.close());
  const child = spawn(join(BIN, "redoubt"), ["logs", "talker", "-f", "--json"], { env: { ...process.env, REDOUBT_PROFILE: stack.profile, REDOUBT_API: `http://127.0.0.1:${proxy.port}`, HOME: stack.dir }, stdio: ["ignore", "pipe", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  let out = "";
  child.stdout.on("data", (bytes) => { out += bytes; });
  const seen = () => out.split("\n").filter((line) => line.includes("text")).map((line) => JSON.parse(line).text).filter((text) => Number(text.split(" ")[1]) > 706);
  await until("it follows", () => out.includes("line 706"));
  for (let n = 707; n < 747; n += 10) {
    await say(...range(n, n + 4));
    proxy.drop();
    await say(...range(n + 5, n + 9));
  }
  await until("the last line came", () => seen().includes("line 746"), 40000);
  assert.deepEqual(seen(), range(707, 746).map((n) => `line ${n}`));
  assert.ok(!out.includes("lost"));
});

test("the plane starts anew: a follower goes on, and is told that lines may be missing", { timeout: 180000 }, async () => {
  const end = (await all()).at(-1).id;
  await stack.restart("api");
  await stack.apiReady();
  const events = await all(end);
  assert.deepEqual(events.map((one) => one.event), ["gap", "caught-up"]);
  await until("it answers again", async () => (await stack.invoke(app, "/", { body: "1000" })).status === 200);
  assert.deepEqual(texts(await read(events.at(-1).id, (seen) => texts(seen).includes("line 1000"))).at(-1), "line 1000");
});
