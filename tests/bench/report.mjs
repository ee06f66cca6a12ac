// Figures of one run: medians of rounds, and the ratio to a named peer measured in the same run.
import { writeFileSync } from "node:fs";

export const quantile = (values, q) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
};
export const median = (values) => quantile(values, 0.5);

export class Report {
  results = [];

  constructor({ rounds }) {
    this.rounds = rounds;
    console.log(`${"name".padEnd(34)} ${"median".padStart(10)} unit   ratio   [min .. max]  against`);
  }

  // One value a round; `peer` has the peer's values of the same rounds, or is a stated limit.
  add(name, values, unit, against, peer) {
    const value = median(values), min = Math.min(...values), max = Math.max(...values);
    const ratio = value / median([].concat(peer));
    this.results.push({ name, value, unit, against, ratio, rounds: values.length, min, max });
    console.log(`${name.padEnd(34)} ${value.toFixed(2).padStart(10)} ${unit.padEnd(5)} ${ratio.toFixed(2).padStart(6)}x  [${min.toFixed(2)} .. ${max.toFixed(2)}]  ${against}`);
  }

  note(text) { console.log(`  (${text})`); }

  write(path) { writeFileSync(path, JSON.stringify(this.results, null, 1) + "\n"); }
}
