// Memory that one idle agent link costs the control plane.
import { readFileSync } from "node:fs";
import { Stack } from "../support/stack.mjs";

export const names = ["link_kb"];

const HOSTS = 16;
const NAIVE_KB = 60.4; // an idle mutual TLS 1.3 link with nghttp2 as it comes, measured apart

// Each round: the API starts anew and alone, then all hosts dial in. What enrolling them once took does not count.
export async function run(report) {
  const stack = await Stack.start({ hosts: 1, agentFlags: ["--pool", "0"] });
  const agents = () => Array.from({ length: HOSTS }, (_, i) => stack.agent(i + 1));
  const memory = () => Number(/Private_Dirty:\s+(\d+)/.exec(readFileSync(`/proc/${stack.apiProcess.pid}/smaps_rollup`, "utf8"))[1]);
  try {
    for (let n = 2; n <= HOSTS; n++) await stack.addHost(n);
    await stack.hostsReady(HOSTS, 60000);
    const values = [];
    for (let round = 0; round < report.rounds; round++) {
      await Promise.all(agents().map((agent) => agent.stop()));
      await stack.apiProcess.restart();
      await stack.apiReady();
      await stack.hosts();
      const before = memory();
      agents().forEach((agent) => agent.start());
      await stack.hostsReady(HOSTS, 60000);
      values.push((memory() - before) / HOSTS);
    }
    report.add("link_kb", values, "kB", `an idle mutual TLS link with nghttp2 as it comes (${NAIVE_KB} kB)`, NAIVE_KB);
  } finally {
    await stack.close();
  }
}
