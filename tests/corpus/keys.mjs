// Keys and signatures that come out the same on every run: all are drawn from one seed by name. For tests alone: whoever
// reads this file can sign with them.
import { checkPrimeSync, createECDH, createHash, createHmac, createPrivateKey, privateEncrypt, constants } from "node:crypto";
import { bits, hex, int, nul, oid, seq } from "./der.mjs";

const defaultSeed = "redoubt test corpus 1";
let seed = defaultSeed;
export const setSeed = (text) => { seed = text; };

export const hash = (alg, ...parts) => parts.reduce((h, part) => h.update(part), createHash(alg)).digest();
export const sha256 = (...parts) => hash("sha256", ...parts);

// size bytes that belong to a name.
export function draw(name, size) {
  const out = [];
  for (let i = 0; out.length * 32 < size; i++) out.push(createHmac("sha256", seed).update(`${name}/${i}`).digest());
  return Buffer.concat(out).subarray(0, size);
}

const toInt = (bytes) => BigInt(`0x${bytes.toString("hex")}`);
const toBytes = (value, size) => hex(value.toString(16).padStart(2 * size, "0"));

function inverse(a, n) {
  let [r0, r1, t0, t1] = [n, a % n, 0n, 1n];
  while (r1 > 0n) {
    const q = r0 / r1;
    [r0, r1, t0, t1] = [r1, r0 - q * r1, t1, t0 - q * t1];
  }
  return ((t0 % n) + n) % n;
}

// --- ECDSA ---

export const curves = {
  p256: { name: "prime256v1", size: 32, hash: "sha256", oid: "1.2.840.10045.3.1.7", n: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n },
  p384: { name: "secp384r1", size: 48, hash: "sha384", oid: "1.3.132.0.34",
    n: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n },
};

const times = (curve, scalar) => {
  const ecdh = createECDH(curve.name);
  ecdh.setPrivateKey(toBytes(scalar, curve.size));
  return ecdh.getPublicKey().subarray(1);
};

export function ecKey(name, kind = "p256") {
  const curve = curves[kind];
  const d = toInt(draw(`key ${name}`, curve.size + 8)) % (curve.n - 1n) + 1n;
  const point = times(curve, d);
  const spki = seq(seq(oid("1.2.840.10045.2.1"), oid(curve.oid)), bits(Buffer.concat([Buffer.from([4]), point])));
  return { kind, curve, d, point, spki };
}

// r, then s, big-endian; the nonce is drawn from key and digest, so that it never repeats for two messages.
export function ecSign(key, ...message) {
  const { curve, d } = key, { n, size } = curve;
  const z = toInt(hash(curve.hash, ...message));
  const k = toInt(draw(`nonce ${d} ${z}`, size + 8)) % (n - 1n) + 1n;
  const r = toInt(times(curve, k).subarray(0, size)) % n;
  const s = inverse(k, n) * (z + r * d) % n;
  return Buffer.concat([toBytes(r, size), toBytes(s, size)]);
}

export const ecSignDer = (key, ...message) => {
  const raw = ecSign(key, ...message), { size } = key.curve;
  return seq(int(raw.subarray(0, size)), int(raw.subarray(size)));
};

// --- RSA with PSS: SHA-384, MGF1 with SHA-384, salt of 48 bytes (RFC 8017, 8.1) ---

// How far behind the point where a search begins the prime stands, for the seed above: a search takes seconds.
const known = { "ark Milan p": 4232, "ark Milan q": 6, "ask p": 88, "ask q": 130, "ark Genoa p": 955, "ark Genoa q": 72, "ark Turin p": 9, "ark Turin q": 990 };

function prime(name) {
  const start = toInt(draw(name, 256)) | 3n << 2046n | 1n;
  if (seed === defaultSeed && name in known) return start + 2n * BigInt(known[name]);
  for (let candidate = start; ; candidate += 2n) if (candidate % 65537n !== 1n && checkPrimeSync(candidate)) return candidate;
}

const made = new Map();

// 4096 bits; made once a run.
export function rsaKey(name) {
  if (made.has(name)) return made.get(name);
  const p = prime(`${name} p`), q = prime(`${name} q`), e = 65537n;
  const n = p * q, d = inverse(e, (p - 1n) * (q - 1n));
  const part = (value) => toBytes(value, value.toString(16).length + 1 >> 1).toString("base64url");
  const jwk = { kty: "RSA", n: part(n), e: part(e), d: part(d), p: part(p), q: part(q), dp: part(d % (p - 1n)), dq: part(d % (q - 1n)), qi: part(inverse(q, p)) };
  const spki = seq(seq(oid("1.2.840.113549.1.1.1"), nul), bits(seq(int(n), int(e))));
  made.set(name, { kind: "rsa", key: createPrivateKey({ key: jwk, format: "jwk" }), spki });
  return made.get(name);
}

function mgf1(input, size) {
  const out = [];
  for (let i = 0; out.length * 48 < size; i++) out.push(hash("sha384", input, Buffer.from([0, 0, 0, i])));
  return Buffer.concat(out).subarray(0, size);
}

export function pssSign(rsa, message) {
  const digest = hash("sha384", message), salt = draw(`salt ${digest.toString("hex")}`, 48);
  const h = hash("sha384", Buffer.alloc(8), digest, salt), size = 512 - 48 - 1;
  const db = Buffer.concat([Buffer.alloc(size - 49), Buffer.from([1]), salt]), mask = mgf1(h, size);
  for (let i = 0; i < size; i++) db[i] ^= mask[i];
  db[0] &= 0x7f;
  return privateEncrypt({ key: rsa.key, padding: constants.RSA_NO_PADDING }, Buffer.concat([db, h, Buffer.from([0xbc])]));
}
