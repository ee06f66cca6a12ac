// The engine alone: a call of a small handler in a pristine machine, and the reset after it.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { BIN } from "../support/stack.mjs";

export const names = ["pristine_vm_us"];

export async function run(report) {
  const values = Array.from({ length: report.rounds }, () => JSON.parse(execFileSync(join(BIN, "bench_engine_call"), ["21"], { encoding: "utf8" })).hello_and_reset_us);
  report.add("pristine_vm_us", values, "us", "a limit of 15 us", 15);
}
