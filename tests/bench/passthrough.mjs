// Calls over TLS that ends in the enclave, on kept-alive connections that the plane passes through, against the same calls plain.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Stack, freePort } from "../support/stack.mjs";
import { hello, roomy } from "./serving.mjs";
import { wrk } from "./peers.mjs";

export const names = ["invoke_passthrough_vs_plain"];

const CONNECTIONS = 8, SECONDS = 2;
// The name goes into the hello; it resolves nowhere, and need not.
const lua = `wrk.resolve = function(host, service) wrk.addrs = wrk.lookup("127.0.0.1", service) end
wrk.method = "POST"; wrk.body = "hello"; wrk.headers["Content-Type"] = "text/plain"`;

export async function run(report) {
  const port = await freePort();
  const stack = await Stack.start({ hosts: 1, agentFlags: roomy, apiFlags: ["--passthrough-listen", `127.0.0.1:${port}`] });
  try {
    const made = await stack.deploy("invoked", hello, { open: true, resources: { cpu_m: 2000, memory_bytes: 64 << 20 } });
    const host = `${made.app.replace("_", "-")}.localhost`, script = join(stack.dir, "call.lua");
    writeFileSync(script, lua);
    const passed = [], plain = [];
    for (let round = 0; round < report.rounds; round++) {
      passed.push(wrk(`https://${host}:${port}/`, [], CONNECTIONS, SECONDS, script));
      plain.push(wrk(`http://${host}:${stack.ports.apps}/`, [], CONNECTIONS, SECONDS, script));
    }
    if (passed.some((o) => o.failed || !o.rps)) report.note("some passed calls were not answered 2xx");
    report.add("invoke_passthrough_vs_plain", passed.map((o) => o.rps), "1/s", `the same calls plain, receipts on, ${CONNECTIONS} connections`, plain.map((o) => o.rps));
  } finally {
    await stack.close();
  }
}
