// sign: release and head of a simulated app, made and signed in this browser.
import * as f from "./formats.js";
import { call, get, getBytes, post, list, Problem } from "./api.js";
import { ownerKey } from "./keys.js";

export const bundleOf = (source) => f.bytes(f.canonical({ type: "redoubt/modules/v1", main: "index.js", modules: [{ name: "index.js", source }] }));

export const DEFAULTS = { time_ms: 10000, request_bytes: 4194304, response_bytes: 4194304, heap_bytes: 67108864, cpu_m: 100, memory_bytes: 100663296 };

async function findOrMakeApp(name, pair) {
  const known = (await get("/v1/apps?name=" + encodeURIComponent(name))).items[0];
  if (known) return known;
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const genesis = f.bytes(f.canonical(f.genesisFor(await f.publicBytes(pair.publicKey), salt)));
  return post("/v1/apps", { name, genesis: f.b64u(genesis) });
}

async function currentHead(app, genesis) {
  try {
    const shown = await get(`/v1/apps/${app}/heads/current`);
    return await f.openSigned({ document: shown.document, signatures: shown.signatures }, "head-v1", genesis, app);
  } catch (problem) {
    if (problem instanceof Problem && problem.status === 404) return null;
    throw problem;
  }
}

function releaseOf(app, number, code, size, settings) {
  return { type: "redoubt/release/v1", app, number, kind: "function", engine: "quickjs", public_code: true, plain: settings.plain, open: settings.open, code: { digest: code, size },
    env: settings.env, egress: [], receipts: "salted",
    limits: { request_bytes: settings.request_bytes, response_bytes: settings.response_bytes, time_ms: settings.time_ms, heap_bytes: settings.heap_bytes },
    resources: { cpu_m: settings.cpu_m, memory_bytes: settings.memory_bytes } };
}

async function headOf(app, before, release, measurements) {
  const kept = before?.document.releases[0];
  return { type: "redoubt/head/v1", app, seq: before ? before.document.seq + 1 : 1, prev: before ? f.digestText(before.digest) : null, class: "simulated",
    releases: kept && kept !== release ? [release, kept] : [release],
    policy: { type: "redoubt/policy/v1", simulated: true, tees: ["tdx"], tcb: ["UpToDate", "SWHardeningNeeded"], measurements: measurements.map((mrtd) => ({ mrtd })), debug: false, max_collateral_age_s: 604800 },
    secrets: { count: 0, root: f.digestText(await f.H("secrets-v1")) }, kms: [], limits: {}, not_before: new Date(Math.floor(Date.now() / 1000 - 60) * 1000).toISOString().replace(".000Z", ".000000Z"), expires: null };
}

// Signs and deploys; returns {app, deployment}. Refuses apps that another key owns, and hardware apps.
export async function deployHere(name, source, settings, measurements) {
  const pair = await ownerKey(true);
  const app = await findOrMakeApp(name, pair);
  const genesis = await f.openGenesis(await getBytes(`/v1/apps/${app.id}/genesis`), app.id);
  const owners = genesis.owners.map((owner) => owner.key);
  if (!owners.includes(f.b64u(await f.publicBytes(pair.publicKey)))) throw new Error("Another key owns this app. Approve it in the terminal of its owner instead");
  const before = await currentHead(app.id, genesis);
  if (before && before.document.class !== "simulated") throw new Error("This app runs on hardware: its owner signs in the terminal");
  if (before?.document.kms.length) throw new Error("This app has a key service: a head made here would drop it with the secrets. Deploy it with redoubt deploy");
  const bundle = bundleOf(source);
  const code = f.digestText(await f.sha256(bundle));
  await call("PUT", `/v1/blobs/${code.slice(7)}`, bundle);
  const numbers = (await list(`/v1/apps/${app.id}/releases`)).map((release) => release.number);
  const release = await f.seal(releaseOf(app.id, Math.max(0, ...numbers) + 1, code, bundle.length, settings), "release-v1", pair);
  const digest = f.digestText(await f.H("release-v1", release.data));
  await post(`/v1/apps/${app.id}/releases`, release.envelope);
  const head = await f.seal(await headOf(app.id, before, digest, measurements), "head-v1", pair);
  await post(`/v1/apps/${app.id}/heads`, head.envelope);
  const deployment = await post(`/v1/apps/${app.id}/deployments`, { release: digest, min: settings.instances, max: settings.instances, kind: "deploy" });
  return { app, deployment };
}
