// Calls of a serving function through relay, link and agent, each answer with its receipt, against a proxy in front of node that signs nothing.
import { Stack } from "../support/stack.mjs";
import { hello, roomy } from "./serving.mjs";
import { nginxToNode, wrk } from "./peers.mjs";

export const names = ["invoke_rps", "invoke_ms_p50", "invoke_ms_p99", "invoke_rps_c64", "invoke_plain_vs_nginx_node", "invoke_plain_vs_nginx_node_c64", "invoke_ms_p50_c1"];

const AGAINST = "nginx in front of node, the same handler without receipts";
const FIGURES = [
  ["invoke_rps", 8, "rps", "1/s"], ["invoke_plain_vs_nginx_node", 8, "rps", "1/s"], ["invoke_ms_p50", 8, "p50", "ms"], ["invoke_ms_p99", 8, "p99", "ms"],
  ["invoke_rps_c64", 64, "rps", "1/s"], ["invoke_plain_vs_nginx_node_c64", 64, "rps", "1/s"], ["invoke_ms_p50_c1", 1, "p50", "ms"],
];

export async function run(report, wanted) {
  const stack = await Stack.start({ hosts: 1, agentFlags: roomy });
  const peer = await nginxToNode();
  try {
    const made = await stack.deploy("invoked", hello, { open: true, resources: { cpu_m: 2000, memory_bytes: 64 << 20 } });
    const url = `http://127.0.0.1:${stack.ports.apps}/`, headers = [`Host: ${made.app.replace("_", "-")}.localhost`];
    wrk(url, headers, 8, 1);
    const figures = FIGURES.filter(([name]) => wanted(name));
    for (const connections of [...new Set(figures.map(([, c]) => c))]) {
      const ours = [], theirs = [];
      for (let round = 0; round < report.rounds; round++) {
        ours.push(wrk(url, headers, connections));
        theirs.push(wrk(peer.url, [], connections));
      }
      if (ours.some((o) => o.failed)) report.note(`some calls at ${connections} connections were not answered 2xx`);
      for (const [name, c, key, unit] of figures)
        if (c === connections) report.add(name, ours.map((o) => o[key]), unit, `${AGAINST}, ${c} connections`, theirs.map((o) => o[key]));
    }
  } finally {
    await peer.stop();
    await stack.close();
  }
}
