// From a call that finds no instance to its answer out of an attested one that the warm pool gave: its code was sealed and its secret was sealed, a key
// service has verified its evidence and released both, and leases and keys were checked on the way; against runtimes that prove nothing, from exec to
// their first answer.
import { Stack, until } from "../support/stack.mjs";
import { median, quantile } from "./report.mjs";
import { coldStart, runtimes } from "./peers.mjs";
import { roomy } from "./serving.mjs";

export const names = ["cold_attested_vs_fastest_peer", "cold_attested_p99_vs_fastest_peer"];

const APPS = 10;
const handler = "export default { fetch: (request, env) => new Response(env.TOKEN === 'opened' ? 'hello' : 'no secret') }";

async function sleeps(stack, apps) {
  for (const app of apps)
    await until("the app sleeps", async () => !(await stack.rest("GET", `/v1/apps/${app}/instances`)).items.some((one) => one.live), 60000, 200);
}

async function wake(stack, app) {
  const started = performance.now();
  const answer = await stack.invoke(app);
  if (answer.status !== 200 || answer.body !== "hello" || !answer.headers["redoubt-receipt"]) throw new Error(`the first answer was ${answer.status} ${answer.body}`);
  return performance.now() - started;
}

async function must(stack, args, input) {
  const result = await stack.cli(...args, { input });
  if (result.code !== 0) throw new Error(`${args.join(" ")}: ${result.stderr}`);
}

async function deploy(stack, name) {
  const { app } = await stack.deploy(name, handler, { instances: { min: 0, max: 1, idle_s: 10 } });
  await must(stack, ["secrets", "set", name, "TOKEN"], "opened");
  return app;
}

export async function run(report, wanted) {
  const stack = await Stack.start({ hosts: 1, kms: true, fsync: "on", agentFlags: [...roomy, "--pool", String(APPS)] });
  try {
    const apps = [], p50 = [], p99 = [], peers = Object.fromEntries(runtimes.map((name) => [name, []]));
    await must(stack, ["kms", "trust", await stack.kmsId(), "--yes"]);
    for (let i = 0; i < APPS; i++) apps.push(await deploy(stack, `cold-${i}`));
    for (let round = 0; round < report.rounds; round++) {
      await sleeps(stack, apps);
      const took = [];
      for (const app of apps) took.push(await wake(stack, app));
      p50.push(median(took));
      p99.push(quantile(took, 0.99));
      for (const name of runtimes) peers[name].push(await coldStart(name));
    }
    const fastest = runtimes.reduce((a, b) => (median(peers[a]) <= median(peers[b]) ? a : b));
    for (const [name, values] of [[names[0], p50], [names[1], p99]])
      if (wanted(name)) report.add(name, values, "ms", `${fastest}, exec to first answer`, peers[fastest]);
    report.note(`exec to first answer: ${runtimes.map((name) => `${name} ${median(peers[name]).toFixed(0)} ms`).join(", ")}`);
  } finally {
    await stack.close();
  }
}
