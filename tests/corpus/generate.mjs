#!/usr/bin/env node
// Writes the corpus: evidence of every kind with its collateral under roots of its own, one folder a case, and what a
// verifier must say of it. The same bytes on every run.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { setSeed } from "./keys.mjs";
import * as parts from "./parts.mjs";
import { writeSeeds } from "./seeds.mjs";

const usage = `Usage: tests/corpus/generate.mjs --out DIR [--seed TEXT] [--only TEXT] [--fuzz-seeds DIR]

Writes the corpus into DIR, which is emptied first. --seed draws other keys and values; --only writes the cases whose
name holds the text; --fuzz-seeds writes a folder of inputs for each fuzz target as well. What the folders and expect.json hold is told in tests/corpus/README.md.`;

const { values } = parseArgs({ options: { out: { type: "string" }, seed: { type: "string" }, only: { type: "string" }, "fuzz-seeds": { type: "string" }, help: { type: "boolean", short: "h" } } });
if (values.help || !values.out) {
  console.log(usage);
  process.exit(values.help ? 0 : 2);
}
if (values.seed) setSeed(values.seed);
const only = values.only ?? "";
const wanted = /^(sgx|tdx|eventlog)\//.test(only) ? parts.intel : parts.all;
const cases = wanted().filter(({ name }) => name.includes(only));
rmSync(values.out, { recursive: true, force: true });
for (const { name, files, expect } of cases) {
  const dir = join(values.out, name);
  mkdirSync(dir, { recursive: true });
  for (const [file, bytes] of Object.entries(files)) if (bytes !== undefined) writeFileSync(join(dir, file), bytes);
  writeFileSync(join(dir, "expect.json"), `${JSON.stringify(expect, null, 1)}\n`);
}
writeFileSync(join(values.out, "index.json"), `${JSON.stringify(cases.map(({ name }) => name), null, 0)}\n`);
if (values["fuzz-seeds"]) writeSeeds(values["fuzz-seeds"], cases);
console.log(`${cases.length} cases in ${values.out}`);
