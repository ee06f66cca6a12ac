// sign: release and head of a simulated app, made and signed in this browser.
import * as f from "./formats.js";
import { call, get, getBytes, post, list, Problem } from "./api.js";
import { delegationOf, keepDelegation, ownerKey } from "./keys.js";

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
    const envelope = { document: shown.document, signatures: shown.signatures };
    return { ...(await f.openSigned(envelope, "head-v1", genesis, app)), envelope };
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

// Policy and limits stay as the owner signed them last: what this page is told about runtimes makes a first policy alone.
async function headOf(app, before, release, measurements) {
  const kept = before?.document.releases[0];
  return { type: "redoubt/head/v1", app, seq: before ? before.document.seq + 1 : 1, prev: before ? f.digestText(before.digest) : null, class: "simulated",
    releases: kept && kept !== release ? [release, kept] : [release],
    policy: before?.document.policy ?? { type: "redoubt/policy/v1", simulated: true, tees: ["tdx"], tcb: ["UpToDate", "SWHardeningNeeded"], measurements: measurements.map((mrtd) => ({ mrtd })), debug: false, max_collateral_age_s: 604800 },
    secrets: { count: 0, root: f.digestText(await f.H("secrets-v1")) }, kms: [], limits: before?.document.limits ?? {}, not_before: new Date(Math.floor(Date.now() / 1000 - 60) * 1000).toISOString().replace(".000Z", ".000000Z"), expires: null };
}

// ---- in an owner's place ----

const encoded = (value) => f.b64u(f.bytes(typeof value === "string" ? value : JSON.stringify(value)));
const openGiven = async (text, genesis, app) => f.openDelegation(JSON.parse(text), genesis, app);
const genesisOf = async (app) => f.openGenesis(await getBytes(`/v1/apps/${app}/genesis`), app);

// This browser's key, whether it owns the app, and what it may sign for it until when: {key, isOwner, given}.
export async function standing(app) {
  const key = f.b64u(await f.publicBytes((await ownerKey(true)).publicKey)), text = await delegationOf(app), genesis = await genesisOf(app);
  return { key, isOwner: genesis.owners.some((owner) => owner.key === key), given: text ? await openGiven(text, genesis, app) : null };
}

// Keeps what redoubt keys delegate wrote for this browser's key.
export async function take(app, text) {
  const { key } = await standing(app), given = await openGiven(text, await genesisOf(app), app);
  if (given.key !== key) throw new Error("It is for another key than this browser's");
  if (Date.parse(given.not_after) <= Date.now()) throw new Error("It has ended already");
  await keepDelegation(app, JSON.stringify(JSON.parse(text)));
}
export const giveUp = (app) => keepDelegation(app, null);

// The delegation for an app whose owner is another, or null for its owner: {text, document, base}.
async function rightTo(app, owners, genesis, pair, before) {
  const key = f.b64u(await f.publicBytes(pair.publicKey));
  if (owners.includes(key)) return null;
  const text = await delegationOf(app), document = text && (await openGiven(text, genesis, app));
  if (!document || document.key !== key || Date.parse(document.not_after) <= Date.now())
    throw new Error("Another key owns this app. Approve it in the terminal of its owner, or have the owner delegate to this browser (Settings of the app)");
  const [own] = before.envelope.signatures;
  return { text, document, base: own.base ?? encoded(before.envelope) };
}

// A signature that rests on a delegation carries it; a head's also what the owners signed last themselves.
function rest(envelope, right, isHead) {
  if (right) Object.assign(envelope.signatures[0], { delegation: encoded(right.text) }, isHead ? { base: right.base } : {});
  return envelope;
}

// Signs and deploys; returns {app, deployment}. Refuses apps that another key owns, and hardware apps.
export async function deployHere(name, source, settings, measurements) {
  const pair = await ownerKey(true);
  const app = await findOrMakeApp(name, pair);
  const genesis = await f.openGenesis(await getBytes(`/v1/apps/${app.id}/genesis`), app.id);
  const owners = genesis.owners.map((owner) => owner.key);
  const before = await currentHead(app.id, genesis);
  if (before && before.document.class !== "simulated") throw new Error("This app runs on hardware: its owner signs in the terminal");
  if (before?.document.kms.length) throw new Error("This app has a key service: a head made here would drop it with the secrets. Deploy it with redoubt deploy");
  const right = await rightTo(app.id, owners, genesis, pair, before);
  const bundle = bundleOf(source);
  const code = f.digestText(await f.sha256(bundle));
  await call("PUT", `/v1/blobs/${code.slice(7)}`, bundle);
  const numbers = (await list(`/v1/apps/${app.id}/releases`)).map((release) => release.number);
  const release = await f.seal(releaseOf(app.id, Math.max(0, ...numbers) + 1, code, bundle.length, settings), "release-v1", pair);
  const digest = f.digestText(await f.H("release-v1", release.data));
  const next = { ...(await headOf(app.id, before, digest, measurements)), ...(right ? { expires: right.document.not_after } : {}) };
  const head = await f.seal(next, "head-v1", pair);
  const envelopes = [rest(release.envelope, right, false), rest(head.envelope, right, true)];
  for (const [at, label] of ["release-v1", "head-v1"].entries()) await f.openSigned(envelopes[at], label, genesis, app.id);
  await post(`/v1/apps/${app.id}/releases`, envelopes[0]);
  await post(`/v1/apps/${app.id}/heads`, envelopes[1]);
  const deployment = await post(`/v1/apps/${app.id}/deployments`, { release: digest, min: settings.instances, max: settings.instances, kind: "deploy" });
  return { app, deployment };
}
