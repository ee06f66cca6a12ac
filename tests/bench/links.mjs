// Memory that one idle agent link costs the control plane.
import { readFileSync } from "node:fs";
import { Stack } from "../support/stack.mjs";

export const names = ["link_kb"];

const STEP = 6;
const NAIVE_KB = 60.4; // an idle mutual TLS 1.3 link with nghttp2 as it comes, measured apart

export async function run(report) {
  const stack = await Stack.start({ hosts: 1, agentFlags: ["--pool", "0"] });
  try {
    const memory = () => Number(/Private_Dirty:\s+(\d+)/.exec(readFileSync(`/proc/${stack.apiProcess.pid}/smaps_rollup`, "utf8"))[1]);
    let hosts = 1;
    const grow = async () => {
      for (let n = 0; n < STEP; n++) await stack.addHost(++hosts);
      await stack.hostsReady(hosts, 60000);
    };
    await grow(); // the pools of the process fill
    const values = [];
    for (let round = 0; round < report.rounds; round++) {
      const before = memory();
      await grow();
      values.push((memory() - before) / STEP);
    }
    report.add("link_kb", values, "kB", `an idle mutual TLS link with nghttp2 as it comes (${NAIVE_KB} kB)`, NAIVE_KB);
  } finally {
    await stack.close();
  }
}
