// receipts: one call with its proof as a document that `redoubt verify FILE` takes too, its check in this page, and those of this tab.
import * as f from "./formats.js";
import { call, get, getBytes } from "./api.js";
import { inspect, openDocs } from "./evidence.js";

const TYPE = "redoubt/saved-receipt/v1";
const KEPT = "redoubt.receipts";
const KEPT_MAX = 20;
const NAMES = { header: "Form", signature: "Signed by the enclave", path: "Place in its burst", instance: "Enclave", evidence: "Evidence", app: "App", release: "Right code", head: "Head", nonce: "Nonce", request: "Your request", response: "This answer", format: "Form" };

const fromBase64 = (encoded) => Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
const headerOf = (headers, name) => (headers.find(([key]) => key.toLowerCase() === name) || ["", ""])[1];

// The evidence that the receipt names, which its instance began with; renewed evidence where the plane has it no more.
async function evidenceOf(answer, base) {
  try {
    return await getBytes(`/v1/evidence/by-digest/${f.parseReceipt(answer.receipt).claims.evidence}`);
  } catch { return getBytes(`${base}/evidence`); }
}

// Sends a body by POST; answers {saved, status, headers, body, elapsed}. ms: longest wait.
export async function send(app, target, type, body, { ms, signal }) {
  const salt = crypto.getRandomValues(new Uint8Array(32)), nonce = crypto.getRandomValues(new Uint8Array(32));
  const started = performance.now();
  const answer = await call("POST", `/v1/apps/${app.id}/invoke?path=${encodeURIComponent(target)}`, f.bytes(body), { ms, signal, headers: { "content-type": type, "Redoubt-Salt": f.b64u(salt), "Redoubt-Nonce": f.b64u(nonce) } });
  const elapsed = performance.now() - started;
  if (!answer.receipt) throw new Error("The answer carries no receipt: no enclave signed it");
  const base = `/v1/instances/${answer.instance}`;
  const [docs, evidence, collateral] = await Promise.all([get(`${base}/docs`), evidenceOf(answer, base), getBytes("/v1/collateral")]);
  const bytes = fromBase64(answer.body);
  const saved = { type: TYPE, app: app.id, receipt: answer.receipt, instance: `${answer.instance}.${answer.epoch}`, salt: f.b64u(salt), nonce: f.b64u(nonce), method: "POST", target, request_type: type,
    request_body: f.b64u(f.bytes(body)), status: answer.status, response_type: headerOf(answer.headers, "content-type"), response_body: f.b64u(bytes), docs, evidence: f.b64u(evidence), collateral: f.b64u(collateral) };
  return { saved, status: answer.status, headers: answer.headers, body: bytes, elapsed };
}

export function parseSaved(text) {
  let saved;
  try { saved = JSON.parse(text); } catch { throw new Error("Not a saved receipt: the file is not JSON"); }
  if (saved?.type !== TYPE) throw new Error(`Not a saved receipt: its type is ${saved?.type ?? "missing"}. Save one by redoubt invoke --save FILE`);
  for (const name of ["app", "receipt", "salt", "method", "target", "request_body", "response_body", "evidence"]) if (typeof saved[name] !== "string") throw new Error(`The saved receipt lacks “${name}”`);
  if (!saved.docs || typeof saved.docs !== "object") throw new Error("The saved receipt lacks “docs”");
  return saved;
}

// Everything that this page can check of it: {claims, statement, evidence steps, steps, ok, isSimulated}.
export async function check(saved, simulationRoot) {
  const evidence = await inspect(f.unb64u(saved.evidence), { docs: saved.docs, simulationRoot });
  const docs = evidence.docs || await openDocs(saved.docs, saved.app);
  const started = performance.now();
  // A receipt names the evidence that its instance began with; renewed evidence proves the same receipt key.
  let claims = null;
  try { claims = f.parseReceipt(saved.receipt).claims; } catch { /* its step says so */ }
  const isNamed = claims?.evidence === f.digestText(await f.H("statement-v1", evidence.statementBytes));
  const found = await f.checkReceipt(saved.receipt, { key: f.unb64u(evidence.statement.keys.receipt), statement: isNamed ? evidence.statementBytes : null, app: saved.app,
    release: f.digestText(docs.release.digest), head: f.digestText(docs.head.digest), nonce: saved.nonce ? f.unb64u(saved.nonce) : null, salt: f.unb64u(saved.salt),
    exchange: { method: saved.method, target: saved.target, requestType: saved.request_type || "", requestBody: f.unb64u(saved.request_body), status: saved.status, responseType: saved.response_type || "", responseBody: f.unb64u(saved.response_body) } });
  const took = (performance.now() - started) / found.length;
  const broken = evidence.steps.filter((step) => step.ok === false);
  const steps = [{ name: "Enclave's proof", ok: !broken.length, detail: broken.length ? `${broken[0].name}: ${broken[0].detail}` : `Receipt key ${evidence.statement.keys.receipt.slice(0, 8)}… from ${isNamed ? "the evidence that it names" : "renewed evidence of its instance"}, release ${docs.release.document.number}` },
    ...found.map((step) => ({ name: NAMES[step.name] || step.name, ok: step.ok, detail: step.detail, took }))];
  return { claims, statement: evidence.statement, release: docs.release.document.number, evidenceSteps: evidence.steps, steps, ok: steps.every((step) => step.ok), isSimulated: evidence.statement.class === "simulated" };
}

// --- the receipts of this tab; gone with it ---

export function kept() {
  try { return JSON.parse(sessionStorage.getItem(KEPT) || "[]"); } catch { return []; }
}
export function keep(saved, name, result) {
  const entry = { saved, name, ok: result.ok, isSimulated: result.isSimulated, seq: result.claims?.seq ?? null, release: result.release, at: new Date().toISOString() };
  for (let list = [entry, ...kept().filter((one) => one.saved.receipt !== saved.receipt)].slice(0, KEPT_MAX); list.length; list = list.slice(0, -1)) {
    try { sessionStorage.setItem(KEPT, JSON.stringify(list)); return; } catch { /* no room: keep fewer */ }
  }
}
export const fileText = (saved) => JSON.stringify(saved, null, 1);
