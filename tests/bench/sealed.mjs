// Sealed calls through relay, link and agent, each opened, run, signed and sealed again in the enclave, against plain ones of the same body
// and the same load. Requests are sealed beforehand, since one opens once; a key takes more of them than a run sends.
import { writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { Stack } from "../support/stack.mjs";
import { seal, writeRequest } from "../support/ohttp.mjs";
import { hello, roomy } from "./serving.mjs";
import { wrk } from "./peers.mjs";

export const names = ["invoke_sealed_vs_plain"];

const CONNECTIONS = 8, SECONDS = 2, EACH = 20000, SIZE = 55 + 256; // of a sealed request with a small body
const OWN = "/.well-known/redoubt/";

// Requests of one length after another, one taken a call; past the end they would be refused, so there are enough.
const lua = (file) => `
local f = assert(io.open("${file}", "rb"))
local all, at = f:read("*a"), 0
f:close()
request = function()
  local body = all:sub(at + 1, at + ${SIZE})
  at = (at + ${SIZE}) % #all
  return wrk.format("POST", "${OWN}sealed", { ["Host"] = wrk.headers["Host"], ["Content-Type"] = "message/ohttp-req" }, body)
end`;
const plainLua = `wrk.method = "POST"; wrk.body = "hello"; wrk.headers["Content-Type"] = "text/plain"`;

const bytesOf = (stack, host, path) => new Promise((done, failed) => get({ host: "127.0.0.1", port: stack.ports.apps, path, headers: { host } }, async (response) => {
  const parts = [];
  for await (const part of response) parts.push(part);
  done(Buffer.concat(parts));
}).on("error", failed));

async function sealMany(stack, host, count) {
  const keys = await bytesOf(stack, host, OWN + "ohttp-keys"), message = Buffer.alloc(256), out = [];
  writeRequest({ body: "hello", headers: { "content-type": "text/plain" } }).copy(message);
  for (let i = 0; i < count; i++) out.push((await seal(keys, message)).sealed);
  return Buffer.concat(out);
}

export async function run(report) {
  const stack = await Stack.start({ hosts: 1, agentFlags: roomy });
  try {
    const made = await stack.deploy("invoked", hello, { open: true, resources: { cpu_m: 2000, memory_bytes: 64 << 20 } });
    const host = `${made.app.replace("_", "-")}.localhost`, url = `http://127.0.0.1:${stack.ports.apps}/`, headers = [`Host: ${host}`];
    const script = join(stack.dir, "sealed.lua"), plain = join(stack.dir, "plain.lua"), file = join(stack.dir, "sealed.bin");
    writeFileSync(plain, plainLua);
    writeFileSync(script, lua(file));
    const sealed = [], open = [];
    for (let round = 0; round < report.rounds; round++) {
      writeFileSync(file, await sealMany(stack, host, EACH));
      sealed.push(wrk(url, headers, CONNECTIONS, SECONDS, script));
      open.push(wrk(url, headers, CONNECTIONS, SECONDS, plain));
    }
    if (sealed.some((o) => o.failed)) report.note("some sealed calls were not answered 2xx");
    report.add("invoke_sealed_vs_plain", sealed.map((o) => o.rps), "1/s", `the same calls plain, receipts on, ${CONNECTIONS} connections`, open.map((o) => o.rps));
  } finally {
    await stack.close();
  }
}
