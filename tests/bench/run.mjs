// Measured figures as ratios against a named peer or limit in the same run; medians of several rounds; asserts nothing.
// node tests/bench/run.mjs [NAME…] [--json FILE] [--rounds N]
import { Report } from "./report.mjs";
import * as cold from "./cold.mjs";
import * as engine from "./engine.mjs";
import * as serving from "./serving.mjs";
import * as accepts from "./accepts.mjs";
import * as invoke from "./invoke.mjs";
import * as sealed from "./sealed.mjs";
import * as passthrough from "./passthrough.mjs";
import * as links from "./links.mjs";
import * as verify from "./verify.mjs";
import * as jsc from "./jsc.mjs";

const suites = [engine, cold, serving, accepts, invoke, sealed, passthrough, links, verify, jsc];

const args = process.argv.slice(2);
const option = (name, fallback) => {
  const at = args.indexOf(name);
  return at < 0 ? fallback : args.splice(at, 2)[1];
};
const jsonFile = option("--json", null);
const rounds = Number(option("--rounds", 5));
const known = suites.flatMap((suite) => suite.names);
const unknown = args.filter((name) => !known.includes(name));
if (unknown.length || !(rounds >= 1)) {
  console.error(`error: no such figure: ${unknown.join(", ") || "--rounds " + rounds}\n  names: ${known.join(" ")}`);
  process.exit(2);
}
const wanted = (name) => args.length === 0 || args.includes(name);

const report = new Report({ rounds });
for (const suite of suites) if (suite.names.some(wanted)) await suite.run(report, wanted);
if (jsonFile) report.write(jsonFile);
