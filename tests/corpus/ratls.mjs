// Certificates that carry evidence, in each convention (attestation.md 8; RFC 8949 for CBOR).
import { bits, explicit, hex, int, octets, oid, seq, time, tlv } from "./der.mjs";
import { draw, ecSignDer, hash, sha256 } from "./keys.mjs";
import { extension, nameOf } from "./x509.mjs";

// --- CBOR ---

function head(major, n) {
  if (n < 24) return Buffer.from([major << 5 | n]);
  if (n < 0x100) return Buffer.from([major << 5 | 24, n]);
  if (n < 0x10000) return Buffer.from([major << 5 | 25, n >> 8, n & 255]);
  return Buffer.from([major << 5 | 26, n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
}

export const cbor = {
  uint: (n) => head(0, n), bytes: (b) => Buffer.concat([head(2, b.length), b]), text: (t) => Buffer.concat([head(3, t.length), Buffer.from(t)]),
  array: (...items) => Buffer.concat([head(4, items.length), ...items]), map: (...pairs) => Buffer.concat([head(5, pairs.length), ...pairs.flat()]), tag: (n, item) => Buffer.concat([head(6, n), item]),
};

// --- conventions: report data for a key, and the extensions for a quote ---

export const keyClaim = (spki, id = 1, alg = "sha256") => [cbor.text("pubkey-hash"), cbor.bytes(cbor.array(cbor.uint(id), cbor.bytes(hash(alg, spki))))];
const pad = (bytes) => Buffer.concat([bytes, Buffer.alloc(64 - bytes.length)]);

export const interoperable = (claimsOf = (spki) => cbor.map(keyClaim(spki))) => ({
  reportData: (spki) => pad(sha256(claimsOf(spki))),
  extensions: (quote, spki) => [extension("2.23.133.5.4.9", cbor.tag(60000, cbor.array(cbor.bytes(quote), cbor.bytes(claimsOf(spki)))))],
});

// The OID's content holds a tag and a length of its own, as the older tools write it.
const gramineExtension = (quote) => seq(tlv(0x06, hex("06092a864886f84d8a3906")), octets(quote));
export const gramine = { reportData: (spki) => pad(sha256(spki)), extensions: (quote) => [gramineExtension(quote)] };

export const dstack = (log) => ({
  reportData: (spki) => hash("sha512", "ratls-cert:", spki),
  extensions: (quote) => [extension("1.3.6.1.4.1.62397.1.1", octets(quote)), ...(log ? [extension("1.3.6.1.4.1.62397.1.2", octets(log))] : [])],
});

// A self-signed certificate with these extensions.
export function ratlsCertificate(key, extensions, { from, to, signer = key } = {}) {
  const name = nameOf("corpus.invalid");
  const algorithm = seq(oid("1.2.840.10045.4.3.2"));
  const tbs = seq(explicit(0, int(2)), int(draw("ratls serial", 8).fill(1, 0, 1)), algorithm, name, seq(time(from), time(to)), name, key.spki, explicit(3, seq(...extensions)));
  return seq(tbs, algorithm, bits(ecSignDer(signer, tbs)));
}
