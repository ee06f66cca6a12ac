// From the accepted deployment to the attested instance that serves, with every signature checked on the way; what an idle one costs.
import { readFileSync } from "node:fs";
import { Stack } from "../support/stack.mjs";
import { median, quantile } from "./report.mjs";
import { coldStart, idleMemory } from "./peers.mjs";

export const hello = "export default { fetch: () => new Response('hello') }";
// Offers more than the machine has: what is measured is the path, not how many fit.
export const roomy = ["--cpu-m", "1000000", "--memory", "16GiB", "--slots", "512"];

export const names = ["accept_to_serving_ms_p50", "accept_to_serving_ms_p99", "cold_launch_ms_p50", "idle_instance_mb", "idle_function_mb", "idle_function_vs_workerd"];

// Stage times carry microseconds, which Date drops.
const micros = (text) => Date.parse(text) * 1000 + Number((/\.\d{3}(\d{3})Z$/.exec(text) || [0, 0])[1]);
const at = (deployment, stage) => micros(deployment.stages.find((s) => s.name === stage).at);

async function spans(stack, name, count) {
  const all = [];
  for (let i = 0; i < count; i++) {
    const { deployment } = await stack.deploy(`${name}-${i}`, hello);
    all.push((at(deployment, "serving") - at(deployment, "accepted")) / 1000);
  }
  return all;
}

const rollup = (pid, field) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1]);

// Private pages of each enclave process: what one more instance takes.
function instanceMemory(stack) {
  return stack.enclavePids().flatMap((pid) => {
    try { return [(rollup(pid, "Private_Dirty") + rollup(pid, "Private_Clean")) / 1000]; } catch { return []; }
  });
}

const MANY = 101;
const workerdFunction = async () => (await idleMemory("workerd", rollup, MANY) - await idleMemory("workerd", rollup)) / (MANY - 1);

async function warm(report, wanted) {
  const stack = await Stack.start({ hosts: 1, fsync: "on", agentFlags: roomy });
  try {
    const peers = [], p50 = [], p99 = [];
    await spans(stack, "first", 2);
    for (let round = 0; round < report.rounds; round++) {
      peers.push(await coldStart("node"));
      const round_ = await spans(stack, `warm-${round}`, 20);
      p50.push(median(round_));
      p99.push(quantile(round_, 0.99));
    }
    if (wanted("accept_to_serving_ms_p50")) report.add("accept_to_serving_ms_p50", p50, "ms", "node, exec to first answer", peers);
    if (wanted("accept_to_serving_ms_p99")) report.add("accept_to_serving_ms_p99", p99, "ms", "node, exec to first answer", peers);
    const idle = instanceMemory(stack);
    if (wanted("idle_instance_mb")) report.add("idle_instance_mb", idle, "MB", "an idle node process that serves the same", await idleMemory("node", rollup));
    if (wanted("idle_function_mb")) report.add("idle_function_mb", idle, "MB", "a limit of 2.5 MB", 2.5);
    if (wanted("idle_function_vs_workerd")) report.add("idle_function_vs_workerd", idle, "MB", "each further idle function in one workerd", await workerdFunction());
  } finally {
    await stack.close();
  }
}

async function cold(report) {
  const stack = await Stack.start({ hosts: 1, fsync: "on", agentFlags: [...roomy, "--pool", "0"] });
  try {
    const peers = [], values = [];
    for (let round = 0; round < report.rounds; round++) {
      peers.push(await coldStart("node"));
      values.push(median(await spans(stack, `cold-${round}`, 5)));
    }
    report.add("cold_launch_ms_p50", values, "ms", "node, exec to first answer", peers);
  } finally {
    await stack.close();
  }
}

export async function run(report, wanted) {
  if (names.some((name) => name !== "cold_launch_ms_p50" && wanted(name))) await warm(report, wanted);
  if (wanted("cold_launch_ms_p50")) await cold(report);
}
