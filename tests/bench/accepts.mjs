// Deployments accepted a second: each one durable, with its quota, evaluation, event and audit row, before it is answered.
import { Agent, request } from "node:http";
import { Stack } from "../support/stack.mjs";
import { hello, roomy } from "./serving.mjs";
import { pgCommits } from "./peers.mjs";

export const names = ["accepts_per_s"];

const APPS = 48, CONNECTIONS = 32;

function post(stack, agent, token, path, body, key) {
  return new Promise((done, failed) => {
    const text = JSON.stringify(body);
    const outgoing = request(stack.api + path, {
      method: "POST", agent,
      headers: { authorization: "Bearer " + token, "content-type": "application/json", "content-length": Buffer.byteLength(text), "idempotency-key": key },
    }, (response) => { response.resume(); response.on("end", () => done(response.statusCode)); });
    outgoing.on("error", failed);
    outgoing.end(text);
  });
}

// An app accepts a burst of 64, then ten a second: a round takes less than its share of the burst.
const perRound = (rounds) => Math.max(1, Math.min(12, Math.floor(60 / rounds)));

export async function run(report) {
  const stack = await Stack.start({ hosts: 1, fsync: "on", agentFlags: roomy });
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  try {
    // A token a client: the limit of one token is not what is measured.
    const apps = [], tokens = [];
    for (let i = 0; i < APPS; i++) {
      apps.push(await stack.deploy(`accept-${i}`, hello));
      tokens.push((await stack.rest("POST", "/v1/tokens", { name: `client-${i}`, role: "developer" })).token);
    }
    const rates = [], peers = [];
    for (let round = 0; round < report.rounds; round++) {
      const started = performance.now();
      const statuses = await Promise.all(Array.from({ length: perRound(report.rounds) * APPS }, (_, i) =>
        post(stack, agent, tokens[i % APPS], `/v1/apps/${apps[i % APPS].app}/deployments`, { release: apps[i % APPS].release, min: 1, max: 1, kind: "scale" }, `bench-${round}-${i}`)));
      const accepted = statuses.filter((status) => status === 202).length;
      rates.push(accepted / ((performance.now() - started) / 1000));
      if (accepted < statuses.length) report.note(`${statuses.length - accepted} of ${statuses.length} were not accepted: ${[...new Set(statuses)].join(", ")}`);
      peers.push(pgCommits(stack));
    }
    report.add("accepts_per_s", rates, "1/s", "PostgreSQL, single-row insert commits of 8 connections", peers);
  } finally {
    agent.destroy();
    await stack.close();
  }
}
