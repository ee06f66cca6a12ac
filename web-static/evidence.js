// evidence: what this page can check of an evidence bundle by itself, step by step (docs/protocol/formats.md; Intel TDX DCAP quote
// format version 4). TCB state, revocation and dates are left to `redoubt verify`, which the plane did not send.
import * as f from "./formats.js";
import { readChain, followChain, keyOf, keyFromPoint, verifyP256 } from "./x509.js";

const HEADER = 48, BODY = 584, REPORT = 384;

export function readQuote(quote) {
  const view = new DataView(quote.buffer, quote.byteOffset, quote.length);
  const u16 = (at) => view.getUint16(at, true), u32 = (at) => view.getUint32(at, true);
  if (quote.length < HEADER + BODY + 4 || u16(0) !== 4 || u32(4) !== 0x81) throw new Error("not a TDX quote version 4");
  const body = quote.subarray(HEADER, HEADER + BODY);
  const register = (at) => f.hex(body.subarray(at, at + 48));
  let at = HEADER + BODY + 4;
  const take = (size) => { if (at + size > quote.length) throw new Error("the quote is cut"); at += size; return quote.subarray(at - size, at); };
  const signature = take(64), key = take(64);
  const kind = u16(at);
  take(6);
  if (kind !== 6) throw new Error("the quote carries no QE report");
  const report = take(REPORT), reportSignature = take(64);
  const auth = take((take(2), u16(at - 2)));
  const chainKind = u16(at), size = u32(at + 2);
  take(6);
  if (chainKind !== 5) throw new Error("the quote carries no PCK chain");
  return { signed: quote.subarray(0, HEADER + BODY), signature, key, report, reportSignature, auth, chain: readChain(f.text(take(size)).replace(/\0+$/, "")),
    teeTcbSvn: f.hex(body.subarray(0, 16)), isDebug: (body[120] & 1) !== 0, mrtd: register(136), rtmr: [328, 376, 424, 472].map(register), reportData: f.hex(body.subarray(520, 584)) };
}

const digestBy = (algorithm) => async (data) => new Uint8Array(await crypto.subtle.digest(algorithm, data));
const sha384 = digestBy("SHA-384"), sha512 = digestBy("SHA-512");

export async function replay(log) {
  let value = new Uint8Array(48);
  const rows = [];
  for (const { event, payload } of log.slice(0, 16)) {
    const bytes = f.unb64u(payload);
    const digest = await sha384(f.frame("hash", "rtmr-event-v1", event, bytes));
    value = await sha384(f.concat(value, digest));
    rows.push({ name: event, payload: bytes, digest: f.hex(digest), value: f.hex(value) });
  }
  return rows;
}

// Genesis, head and release as their owners signed them: {head, release, policy}.
export async function openDocs(docs, app) {
  const genesis = await f.openGenesis(f.unb64u(docs.genesis), app);
  const owners = genesis.owners.map((owner) => owner.key);
  const head = await f.openSigned(docs.head, "head-v1", genesis, app);
  const release = await f.openSigned(docs.release, "release-v1", genesis, app);
  if (head.document.app !== app || release.document.app !== app) throw new Error("a document of another app");
  if (!head.document.releases.includes(f.digestText(release.digest))) throw new Error("the head does not list this release");
  return { head, release, owners, policy: head.document.policy };
}

const signerOf = ({ head, owners }) => (head.delegation ? `key ${head.delegation.key.slice(0, 8)}…, to which the owner delegated until ${head.delegation.not_after.slice(0, 10)}` : `owner key ${owners[0].slice(0, 8)}…`);
const machines = { kept: ", its machine kept between requests", shared: ", ONE MACHINE FOR ALL CALLERS: what it keeps of one can reach another" };
const engineOf = (release) => release.engine + (machines[release.machine] ?? "");

// Reads and checks. {docs, nonce, simulationRoot, reported}: what is absent makes its steps "not checked here".
// Answers {quote, statement, statementBytes, log, steps, docs}; throws only when nothing can be read.
export async function inspect(bytes, { docs = null, nonce = null, simulationRoot = null, reported = null } = {}) {
  const bundle = JSON.parse(f.text(bytes));
  const quote = readQuote(f.unb64u(bundle.quote));
  const statementBytes = f.unb64u(bundle.statement);
  const statement = JSON.parse(f.text(statementBytes));
  const log = await replay(bundle.event_log);
  const steps = [];
  const step = async (name, act) => {
    const started = performance.now();
    try {
      const [ok, detail] = await act();
      steps.push({ name, ok, detail, took: performance.now() - started });
    } catch (error) {
      steps.push({ name, ok: false, detail: error.message, took: performance.now() - started });
    }
  };
  let opened = null;
  await step("Quote", async () => {
    if (!(await verifyP256(await keyFromPoint(quote.key), quote.signature, quote.signed))) return [false, "The quote is not signed by its attestation key"];
    const bound = f.hex(quote.report.subarray(320, 352)) === f.hex(await f.sha256(f.concat(quote.key, quote.auth)));
    if (!bound || !(await verifyP256(await keyOf(quote.chain[0]), quote.reportSignature, quote.report))) return [false, "The quoting enclave does not vouch for the attestation key"];
    return [true, "TDX version 4, signed by an attestation key that the quoting enclave vouches for"];
  });
  await step("Chain", async () => {
    const root = await followChain(quote.chain);
    const isSimulated = root.digest === simulationRoot;
    if (isSimulated !== (statement.class === "simulated") && simulationRoot) return [false, `Ends in ${root.name}, which does not fit the class ${statement.class}`];
    return [true, `Ends in ${root.name}, sha256 ${root.digest.slice(0, 8)}…${isSimulated ? ", the simulation root: not hardware" : ""}`];
  });
  await step("Binding", async () => [f.hex(await sha512(f.frame("evidence", "evidence-v1", statementBytes))) === quote.reportData, "The quote's report data is the hash of the statement"]);
  await step("Application", () => {
    const header = log[0]?.payload ?? new Uint8Array();
    const isClosed = log.length === 2 && log[0].name === "redoubt.app" && log[1].name === "redoubt.closed" && log[1].value === quote.rtmr[3];
    const isNamed = header.length === 96 && `app_${f.base32(header.subarray(0, 32))}` === statement.app && f.digestText(header.subarray(32, 64)) === statement.release;
    return [isClosed && isNamed, isClosed && isNamed ? `RTMR3 replays to ${f.short(statement.app)}, release ${f.shortDigest(statement.release)}, then closed` : "RTMR3 does not replay to this app and release"];
  });
  await step("Release", async () => {
    if (!docs) return [null, "The owner's documents come from a serving instance only"];
    opened = await openDocs(docs, statement.app);
    const isSame = f.digestText(opened.head.digest) === statement.head && f.digestText(opened.release.digest) === statement.release;
    return [isSame, isSame ? `Release ${opened.release.document.number} and head ${opened.head.document.seq}, signed by ${signerOf(opened)}, for engine ${engineOf(opened.release.document)}; the app id is the genesis' hash` : "The enclave runs another head or release than the owner signed"];
  });
  await step("Runtime", () => {
    if (!opened) return [null, "Needs the owner's policy"];
    const isAllowed = opened.policy.measurements.some(({ mrtd }) => mrtd === quote.mrtd);
    return [isAllowed, `MRTD ${quote.mrtd.slice(0, 8)}…${quote.mrtd.slice(-4)} ${isAllowed ? "stands" : "does not stand"} in the owner's policy`];
  });
  await step("Debug", () => [!quote.isDebug, quote.isDebug ? "The enclave can be read from outside" : "Off"]);
  await step("Freshness", async () => (nonce ? [await f.answersNonce(bundle, statement, nonce), "Answers the nonce that this browser drew"] : [null, "Stored: it answered the plane's nonce. Ask again to send your own"]));
  await step("Keys", () => [statement.keys.receipt !== null, statement.keys.receipt ? `Receipt key ${statement.keys.receipt.slice(0, 8)}… is part of the statement` : "No receipt key"]);
  steps.push({ name: "Platform", ok: null, detail: `TCB, revocation and dates are judged by redoubt verify${reported ? `. The plane reports ${reported}` : ""}` });
  return { bundle, quote, statement, statementBytes, log, steps, docs: opened };
}
export const passed = (steps) => steps.every((step) => step.ok !== false);
