// x509: just enough of DER to follow a chain of P-256 certificates: who signed whom, and the root's name and fingerprint.
// Dates, extensions and revocation are judged by `redoubt verify`.
import * as f from "./formats.js";

function element(data, at) {
  let size = data[at + 1], start = at + 2;
  if (size & 0x80) {
    const count = size & 0x7f;
    if (count < 1 || count > 3) throw new Error("a length that DER here does not have");
    size = 0;
    for (let i = 0; i < count; i++) size = size * 256 + data[start++];
  }
  if (!(start + size <= data.length)) throw new Error("cut DER");
  return { tag: data[at], start, end: start + size, whole: data.subarray(at, start + size), value: data.subarray(start, start + size) };
}
function children(data) {
  const list = [];
  for (let at = 0; at < data.length;) {
    const item = element(data, at);
    list.push(item);
    at = item.end;
  }
  return list;
}

// SEQUENCE {r, s} as the 64 bytes that WebCrypto wants.
function rawSignature(der) {
  const out = new Uint8Array(64);
  children(element(der, 0).value).slice(0, 2).forEach((number, i) => {
    const digits = number.value[0] === 0 ? number.value.subarray(1) : number.value;
    if (digits.length > 32) throw new Error("not a P-256 signature");
    out.set(digits, 32 * (i + 1) - digits.length);
  });
  return out;
}

const COMMON_NAME = "550403";
function commonName(name) {
  for (const set of children(name.value)) {
    const [oid, text] = children(children(set.value)[0].value);
    if (f.hex(oid.value) === COMMON_NAME) return new TextDecoder().decode(text.value);
  }
  return "without a name";
}

export function readCertificate(der) {
  const [tbs, , signature] = children(element(der, 0).value);
  const fields = children(tbs.value);
  if (fields[0].tag === 0xa0) fields.shift();
  const [, , issuer, , subject, key] = fields;
  return { der, tbs: tbs.whole, signature: rawSignature(signature.value.subarray(1)), issuer: f.hex(issuer.whole), subject: f.hex(subject.whole), name: commonName(subject), key: key.whole };
}
export function readChain(pem) {
  const parts = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) || [];
  if (parts.length < 2 || parts.length > 6) throw new Error("not a chain of certificates");
  return parts.map((part) => readCertificate(Uint8Array.from(atob(part.replace(/-----[A-Z ]+-----|\s/g, "")), (c) => c.charCodeAt(0))));
}

const P256 = { name: "ECDSA", namedCurve: "P-256" };
const verify = (key, signature, data) => crypto.subtle.verify({ name: "ECDSA", hash: "SHA-256" }, key, signature, data);
export const keyOf = (certificate) => crypto.subtle.importKey("spki", certificate.key, P256, false, ["verify"]);
export const keyFromPoint = (xy) => crypto.subtle.importKey("raw", f.concat(Uint8Array.of(4), xy), P256, false, ["verify"]);
export { verify as verifyP256 };

// Each certificate is signed by the next, the last by itself: answers the root's name and SHA-256.
export async function followChain(chain) {
  for (const [i, certificate] of chain.entries()) {
    const issuer = chain[Math.min(i + 1, chain.length - 1)];
    if (certificate.issuer !== issuer.subject || !(await verify(await keyOf(issuer), certificate.signature, certificate.tbs))) throw new Error(`${certificate.name} is not signed by ${issuer.name}`);
  }
  const root = chain.at(-1);
  return { name: root.name, digest: f.hex(await f.sha256(root.der)) };
}
