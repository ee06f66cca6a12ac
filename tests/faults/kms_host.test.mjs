// A host with a key service: it is the same one whatever dies beside it, and it ends with its host's orderly stop.
import { test, before, after } from "node:test";
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync } from "node:crypto";
import { connect } from "node:net";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Stack, until } from "../support/stack.mjs";
import { answersNonce } from "../../web-static/formats.js";

const dir = mkdtempSync(join(tmpdir(), "redoubt-kms-host-"));
const newKey = () => generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x;
const flags = (ticketKey) => ["--kms-dir", join(dir, "kms"), "--kms-ticket-key", ticketKey];
let stack, genesis;
before(async () => {
  stack = await Stack.start({ hosts: 1, agentFlags: flags(newKey()) });
});
after(async () => { await stack?.close(); rmSync(dir, { recursive: true, force: true }); });

// Socket paths are short: a deep state folder has its run folder elsewhere (agent/agent.c).
function socketPath() {
  const beside = join(stack.dir, "agents", "1", "run");
  const run = beside.length <= 60 ? beside
    : `/tmp/redoubt-agent-${process.getuid()}-${createHash("sha256").update(beside).digest("hex").slice(0, 16)}`;
  return join(run, "kms.sock");
}

function ask(type, payload = Buffer.alloc(0)) {
  return new Promise((done, fail) => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(payload.length + 1);
    head[4] = type;
    const socket = connect(socketPath(), () => socket.write(Buffer.concat([head, payload])));
    let got = Buffer.alloc(0);
    socket.setTimeout(60000, () => socket.destroy(new Error("the key service does not answer")));
    socket.on("error", fail);
    socket.on("close", () => fail(new Error("the key service hung up")));
    socket.on("data", (chunk) => {
      got = Buffer.concat([got, chunk]);
      if (got.length < 5 || got.length < 4 + got.readUInt32BE()) return;
      done({ type: got[4], payload: got.subarray(5) });
      socket.destroy();
    });
  });
}

const pids = () => stack.kmsPids(join(dir, "kms"));

const readGenesis = async () => (await ask(12)).payload.toString();
const comesBack = async (old) => {
  await until("another key service serves", async () => pids().length === 4 && pids()[0] !== old && await readGenesis().catch(() => "") === genesis, 20000);
};

test("it serves, made once, with evidence of itself", async () => {
  await until("it serves", () => existsSync(join(dir, "kms", "genesis.json")) && pids().length === 4, 20000);
  genesis = await readGenesis();
  assert.equal(JSON.parse(genesis).type, "redoubt/kms-genesis/v1");
  assert.equal(JSON.parse(genesis).sim_root, stack.simulationRoot);
  assert.equal(readFileSync(join(dir, "kms", "genesis.json"), "utf8"), genesis);
  const evidence = JSON.parse((await ask(2, Buffer.alloc(32, 7))).payload);
  const statement = JSON.parse(Buffer.from(evidence.statement, "base64url"));
  assert.equal(statement.purpose, "kms");
  assert.ok(await answersNonce(evidence, statement, Buffer.alloc(32, 7)));
});

test("its main process is killed", async () => {
  const [main] = pids();
  process.kill(main, "SIGKILL");
  await comesBack(main);
});

test("what judges is killed, what holds the root, and what serves", async () => {
  for (const part of [1, 2, 3]) {
    const old = pids();
    process.kill(old[part], "SIGKILL");
    await comesBack(old[0]);
  }
});

test("the agent is killed: it goes on, and the next agent finds it", async () => {
  const [main] = pids();
  await stack.agent(1).kill();
  assert.equal(await readGenesis(), genesis);
  stack.startAgent(1);
  await stack.hostsReady(1);
  assert.equal(pids()[0], main);
  assert.equal(await readGenesis(), genesis);
});

test("an agent with another key to believe: the same one, started by the new order", async () => {
  const [main] = pids(), key = newKey();
  await stack.agent(1).kill();
  stack.options.agentFlags = flags(key);
  stack.startAgent(1);
  await comesBack(main);
  assert.ok(readFileSync(`/proc/${pids()[0]}/cmdline`, "utf8").split("\0").includes(key));
  await stack.hostsReady(1);
});

test("the simulated TEE is killed: both come back", async () => {
  const [main] = pids();
  for (const pid of stack.simulatorPids()) process.kill(pid, "SIGKILL");
  await comesBack(main);
});

test("an orderly stop ends it", async () => {
  await stack.agent(1).stop();
  await until("it has ended", () => pids().length === 0, 20000);
});
