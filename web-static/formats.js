// formats: what is signed, hashed and carried (docs/protocol/formats.md), in the browser and in Node.
// A second implementation beside the C one: the console checks receipts with it, and the tests hold both against each other.
// Works on bytes (Uint8Array) and plain values; all cryptography is WebCrypto's.

const subtle = globalThis.crypto.subtle;
const utf8 = new TextEncoder();

export const text = (bytes) => new TextDecoder("utf-8", { fatal: true }).decode(bytes);
export const bytes = (value) => (typeof value === "string" ? utf8.encode(value) : value);

export function concat(...parts) {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

export const hex = (data) => Array.from(data, (b) => b.toString(16).padStart(2, "0")).join("");
export function unhex(digits) {
  if (!/^([0-9a-f]{2})*$/.test(digits)) throw new Error("not lower-case hex");
  return Uint8Array.from(digits.match(/../g) || [], (pair) => parseInt(pair, 16));
}

// RFC 4648 section 5 without padding; decoding is strict.
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
export function b64u(data) {
  let out = "";
  for (let i = 0; i < data.length; i += 3) {
    const word = (data[i] << 16) | ((data[i + 1] || 0) << 8) | (data[i + 2] || 0);
    const count = Math.min(data.length - i, 3) + 1;
    for (let k = 0; k < count; k++) out += ALPHABET[(word >> (18 - 6 * k)) & 63];
  }
  return out;
}
export function unb64u(encoded) {
  const out = [];
  let pending = 0, bits = 0;
  for (const c of encoded) {
    const value = ALPHABET.indexOf(c);
    if (value < 0) throw new Error("not base64url");
    pending = ((pending << 6) | value) & 0xffff;
    bits += 6;
    if (bits >= 8) { bits -= 8; out.push((pending >> bits) & 255); }
  }
  if (bits >= 6 || (pending & ((1 << bits) - 1))) throw new Error("not base64url");
  return Uint8Array.from(out);
}

export function base32(data) {
  const letters = "abcdefghijklmnopqrstuvwxyz234567";
  let out = "", pending = 0, bits = 0;
  for (const byte of data) {
    pending = ((pending << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) out += letters[(pending >> (bits - 5)) & 31];
  }
  return bits ? out + letters[(pending << (5 - bits)) & 31] : out;
}

// RFC 8785 for values without fractions.
export function canonical(value) {
  if (value === null || typeof value === "boolean" || typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) throw new Error("only integers within 2^53 are signed");
    return String(value);
  }
  if (Array.isArray(value)) return "[" + value.map(canonical).join(",") + "]";
  return "{" + Object.keys(value).sort().map((key) => JSON.stringify(key) + ":" + canonical(value[key])).join(",") + "}";
}

function u64be(number) {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(number));
  return out;
}

// "redoubt" 00 kind 00 label 00 u32be(n) u64be(|p1|) p1 …
export function frame(kind, label, ...parts) {
  const count = new Uint8Array(4);
  new DataView(count.buffer).setUint32(0, parts.length);
  return concat(utf8.encode(`redoubt\0${kind}\0${label}\0`), count, ...parts.flatMap((part) => [u64be(bytes(part).length), bytes(part)]));
}

// Ids and digests as people read them.
export const short = (id) => (id && id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id || "–");
export const shortDigest = (digest) => (digest ? `${digest.replace("sha256:", "").slice(0, 8)}…${digest.slice(-4)}` : "–");

const digestOf = async (algorithm, data) => new Uint8Array(await subtle.digest(algorithm, data));
export const sha256 = (data) => digestOf("SHA-256", data);
export const H = (label, ...parts) => sha256(frame("hash", label, ...parts));
export const digestText = (digest) => "sha256:" + hex(digest);
export const undigest = (value) => {
  if (!/^sha256:[0-9a-f]{64}$/.test(value)) throw new Error("not a digest");
  return unhex(value.slice(7));
};

// Where a nonce leads along the path of a bundle whose quote answers several (docs/protocol/formats.md).
export async function nonceRoot(nonce, { siblings, sides }) {
  if (!Array.isArray(siblings) || siblings.length > 20 || !Number.isInteger(sides) || sides < 0 || sides >= 2 ** siblings.length) throw new Error("not a nonce's path");
  let node = await H("nonce-leaf-v1", nonce);
  for (const [k, sibling] of siblings.map(undigest).entries())
    node = (sides >> k) & 1 ? await H("nonce-node-v1", sibling, node) : await H("nonce-node-v1", node, sibling);
  return node;
}

// Whether evidence answers this nonce: it stands in the statement, or below it where outsiders share a quote.
export async function answersNonce({ nonce_path: path }, statement, nonce) {
  const isShared = statement.purpose === "client" || statement.purpose === "kms";
  if (isShared !== (path !== undefined)) return false;
  return statement.nonce === b64u(isShared ? await nonceRoot(nonce, path) : nonce);
}

async function hmac(key, data) {
  const imported = await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, data));
}

export async function kdf(ikm, label, ...parts) {
  const key = await subtle.importKey("raw", ikm, "HKDF", false, ["deriveBits"]);
  const info = frame("kdf", label, ...parts);
  return new Uint8Array(await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info }, key, 256));
}

// --- keys and envelopes ---

export const newKey = (extractable = false) => subtle.generateKey("Ed25519", extractable, ["sign", "verify"]);
export const publicBytes = async (key) => new Uint8Array(await subtle.exportKey("raw", key));

export async function verifyRaw(publicKey, signature, data) {
  const key = await subtle.importKey("raw", publicKey, "Ed25519", false, ["verify"]);
  return subtle.verify("Ed25519", key, signature, data);
}

// RFC 7638 thumbprint of an Ed25519 key.
export const thumbprint = async (publicKey) => b64u(await sha256(utf8.encode(`{"crv":"Ed25519","kty":"OKP","x":"${b64u(publicKey)}"}`)));

// {document, signatures} over the canonical form under a signing label.
export async function seal(document, label, pair) {
  const data = utf8.encode(canonical(document));
  const signature = new Uint8Array(await subtle.sign("Ed25519", pair.privateKey, frame("sign", label, data)));
  return { envelope: { document: b64u(data), signatures: [{ key: b64u(await publicBytes(pair.publicKey)), signature: b64u(signature) }] }, data };
}

export async function openEnvelope(envelope, label, owners, threshold = 1) {
  const data = unb64u(envelope.document);
  const document = JSON.parse(text(data));
  if (canonical(document) !== text(data)) throw new Error("the document is not in canonical form");
  const seen = new Set();
  for (const { key, signature, delegation, base } of envelope.signatures) {
    if (delegation || base) throw new Error("not signed by an owner's own key");
    if (!owners.includes(key) || seen.has(key)) throw new Error("signed by a key that is not an owner");
    if (!(await verifyRaw(unb64u(key), unb64u(signature), frame("sign", label, data)))) throw new Error("the signature does not verify");
    seen.add(key);
  }
  if (seen.size < threshold) throw new Error("too few owners signed");
  return { document, data, digest: await H(label, data) };
}

// --- delegations (docs/protocol/formats.md): what a key that the owners delegated to may sign ---

const nested = (signature, name) => JSON.parse(text(unb64u(signature[name] ?? "")));

// The delegation itself, from its envelope.
export async function openDelegation(envelope, genesis, app) {
  const { document } = await openEnvelope(envelope, "delegation-v1", ownersOf(genesis), genesis.threshold);
  if (document.type !== "redoubt/delegation/v1" || document.app !== app) throw new Error("a delegation of another app");
  if (document.held_in === "browser" && document.class !== "simulated") throw new Error("a key in a browser signs for class simulated alone");
  return document;
}

async function openDelegated(envelope, label, right, genesis, app) {
  const [given, ...more] = envelope.signatures;
  if (more.length || (right !== "head" && given.base)) throw new Error("what a delegation is for has one signature");
  const document = await openDelegation(nested(given, "delegation"), genesis, app);
  if (!document.may.includes(right)) throw new Error("the delegation does not give the right to sign this");
  const opened = await openEnvelope({ document: envelope.document, signatures: [{ key: given.key, signature: given.signature }] }, label, [document.key]);
  return { ...opened, delegation: document };
}

const same = (one, other) => canonical(one) === canonical(other);

async function checkBase(head, given, genesis, app, delegation) {
  const base = (await openEnvelope(nested(given, "base"), "head-v1", ownersOf(genesis), genesis.threshold)).document;
  if (base.type !== "redoubt/head/v1" || base.app !== app || base.seq >= head.seq) throw new Error("built upon no earlier head of the owner");
  if (head.class !== delegation.class || base.class !== head.class) throw new Error("delegated for the other class");
  if (!head.expires || Date.parse(head.expires) > Date.parse(delegation.not_after)) throw new Error("the head ends later than the delegation");
  for (const member of ["policy", "kms", "limits"]) if (!same(head[member], base[member])) throw new Error(`${member} is the owner's to change`);
  if (!delegation.may.includes("release") && !head.releases.every((release) => base.releases.includes(release))) throw new Error("the key may not add releases");
  if (!delegation.may.includes("secret") && !same(head.secrets, base.secrets)) throw new Error("the key may not change secrets");
}

const ownersOf = (genesis) => genesis.owners.map((owner) => owner.key);

// Signed by the owners, or by a key that they delegated to: {document, data, digest}, with delegation in the second case.
export async function openSigned(envelope, label, genesis, app) {
  const right = { "head-v1": "head", "release-v1": "release" }[label];
  const isDelegated = envelope.signatures.length === 1 && Boolean(envelope.signatures[0].delegation);
  if (!isDelegated) return openEnvelope(envelope, label, ownersOf(genesis), genesis.threshold);
  const opened = await openDelegated(envelope, label, right, genesis, app);
  if (right === "head") await checkBase(opened.document, envelope.signatures[0], genesis, app, opened.delegation);
  return opened;
}

// --- apps ---

export function genesisFor(publicKey, salt) {
  return { type: "redoubt/app-genesis/v1", owners: [{ alg: "ed25519", key: b64u(publicKey) }], threshold: 1, recovery: null, salt: b64u(salt) };
}
export const appIdOf = async (genesisBytes) => "app_" + base32(await H("app-genesis-v1", genesisBytes));

export async function openGenesis(genesisBytes, app) {
  if ((await appIdOf(genesisBytes)) !== app) throw new Error("the genesis does not hash to the app id");
  return JSON.parse(text(genesisBytes));
}

// --- receipts ---

const parts = (...list) => concat(...list.flatMap((part) => [u64be(bytes(part).length), bytes(part)]));
export const commitRequest = async (salt, method, target, type, body) =>
  b64u(await hmac(await kdf(salt, "commit-v1", "request"), parts(method, target, type, body)));
export const commitResponse = async (salt, status, type, body) =>
  b64u(await hmac(await kdf(salt, "commit-v1", "response"), parts(String(status), type, body)));

// The root that a leaf leads to: siblings from the leaf up, none where an odd node was carried.
export async function rootOfPath(leaf, index, count, path) {
  let node = leaf;
  let at = 0;
  for (let width = count, place = index; width > 1; width = (width + 1) >> 1, place >>= 1) {
    if (place === width - 1 && width % 2 === 1) continue;
    const sibling = undigest(path[at++] ?? "");
    node = place % 2 ? await H("receipt-node-v1", sibling, node) : await H("receipt-node-v1", node, sibling);
  }
  if (at !== path.length) throw new Error("the path has entries left over");
  return node;
}

export const parseReceipt = (header) => {
  const source = text(unb64u(header));
  const receipt = JSON.parse(source);
  if (canonical(receipt) !== source) throw new Error("the receipt is not in canonical form");
  return receipt;
};

// Checks a receipt; returns steps [{name, ok, detail}], stopping at the first that fails.
// expect: {key (32 bytes), statement (canonical bytes, or null), app, release, head, nonce, salt, exchange}
export async function checkReceipt(header, expect) {
  const steps = [];
  const step = (name, ok, detail) => { steps.push({ name, ok, detail }); if (!ok) throw steps; };
  try {
    const receipt = parseReceipt(header);
    const kid = await thumbprint(expect.key);
    const { payload, signature } = receipt.root;
    const wanted = b64u(utf8.encode(`{"alg":"EdDSA","kid":"${kid}","typ":"redoubt-receipt+jws"}`));
    step("header", receipt.root.protected === wanted, "protected header as specified, key known from evidence");
    step("signature", await verifyRaw(expect.key, unb64u(signature), utf8.encode(`${wanted}.${payload}`)), "root statement signed by the enclave's receipt key");
    const root = JSON.parse(text(unb64u(payload)));
    const claims = receipt.claims;
    const leaf = await H("receipt-leaf-v1", utf8.encode(canonical(claims)));
    const top = await rootOfPath(leaf, receipt.index, root.count, receipt.path);
    step("path", digestText(top) === root.root && claims.seq === root.first + receipt.index && receipt.index < root.count, "claims lead to the signed root at their place");
    step("instance", claims.instance === kid && root.instance === kid, "claims and root name this instance's key");
    if (expect.statement) step("evidence", claims.evidence === digestText(await H("statement-v1", expect.statement)), "claims name the evidence of this instance");
    for (const name of ["app", "release", "head"]) if (expect[name]) step(name, claims[name] === expect[name], `${name} is the expected one`);
    if (expect.nonce) step("nonce", claims.nonce === b64u(expect.nonce), "the nonce is ours");
    if (expect.salt) {
      const e = expect.exchange;
      step("request", claims.request === (await commitRequest(expect.salt, e.method, e.target, e.requestType, e.requestBody)), "commitment opens to the request that was sent");
      step("response", claims.response === (await commitResponse(expect.salt, e.status, e.responseType, e.responseBody)), "commitment opens to the answer that was read");
    }
    return steps;
  } catch (problem) {
    if (problem !== steps) steps.push({ name: "format", ok: false, detail: problem.message });
    return steps;
  }
}
