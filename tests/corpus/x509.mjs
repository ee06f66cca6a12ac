// Certificates and revocation lists of the corpus (RFC 5280). What a case wants otherwise, it says in the spec.
import { bits, bool, explicit, hex, implicit, int, octets, oid, pem, seq, set, time, tlv, utf8 } from "./der.mjs";
import { draw, ecSignDer, hash, pssSign } from "./keys.mjs";

export const organization = "Redoubt test corpus - not a vendor";

const attribute = (type, text) => set(seq(oid(type), utf8(text)));
export const nameOf = (commonName) => seq(attribute("2.5.4.3", commonName), attribute("2.5.4.10", organization));

const sha384 = seq(oid("2.16.840.1.101.3.4.2.2"), tlv(0x05));
export const algorithms = {
  p256: seq(oid("1.2.840.10045.4.3.2")),
  p384: seq(oid("1.2.840.10045.4.3.3")),
  rsa: seq(oid("1.2.840.113549.1.1.10"), seq(explicit(0, sha384), explicit(1, seq(oid("1.2.840.113549.1.1.8"), sha384)), explicit(2, int(48)))),
};

const sign = (key, tbs) => (key.kind === "rsa" ? pssSign(key, tbs) : ecSignDer(key, tbs));
const signed = (tbs, key, algorithm) => seq(tbs, algorithm ?? algorithms[key.kind], bits(sign(key, tbs)));

export const extension = (id, value, isCritical = false) => seq(oid(id), ...(isCritical ? [bool(true)] : []), octets(value));
const keyId = (spki) => hash("sha1", spki);

const CERT_SIGN = bits(hex("06"), 1), DIGITAL_SIGNATURE = bits(hex("c0"), 6);
const authority = (spki) => extension("2.5.29.35", seq(implicit(0, keyId(spki))));

// spec: cn, key, issuer (a certificate of this module; none: self-signed), isCa, pathLength, from, to, serial (Buffer),
// extensions (DER, added), usage (DER), version (3), name and issuerName (DER).
export function certificate(spec) {
  const issuer = spec.issuer ?? { name: spec.name ?? nameOf(spec.cn), key: spec.key };
  const name = spec.name ?? nameOf(spec.cn);
  const serial = spec.serial ?? Buffer.concat([hex("5e"), draw(`serial ${spec.cn} ${spec.from}`, 15)]);
  const constraints = spec.isCa ? seq(bool(true), ...(spec.pathLength === undefined ? [] : [int(spec.pathLength)])) : seq();
  const extensions = [
    extension("2.5.29.19", constraints, true),
    extension("2.5.29.15", spec.usage ?? (spec.isCa ? CERT_SIGN : DIGITAL_SIGNATURE), true),
    extension("2.5.29.14", octets(keyId(spec.key.spki))),
    authority(issuer.key.spki),
    ...(spec.extensions ?? []),
  ];
  const version = spec.version ?? 3;
  const tbs = seq(
    ...(version === 1 ? [] : [explicit(0, int(version - 1))]), int(serial), algorithms[issuer.key.kind], spec.issuerName ?? issuer.name,
    seq(time(spec.from), time(spec.to)), name, spec.key.spki, ...(version === 3 ? [explicit(3, seq(...extensions))] : []),
  );
  const der = signed(tbs, issuer.key, spec.algorithm);
  return { der, pem: pem(der), name, key: spec.key, serial, cn: spec.cn };
}

// spec: issuer (a certificate), key (another than the issuer's), from, to (none: absent), number, revoked (certificates),
// extensions (DER, added), count (entries that revoke nobody), algorithm (DER: what is named behind the list).
export function crl(spec) {
  const key = spec.key ?? spec.issuer.key;
  const filler = Array.from({ length: spec.count ?? 0 }, (_, i) => hex(`7f${(i + 1).toString(16).padStart(8, "0")}`));
  const serials = [...filler, ...(spec.revoked ?? []).map((cert) => cert.serial)];
  const entries = serials.map((serial) => seq(int(serial), time(spec.from)));
  const extensions = [authority(spec.issuer.key.spki), extension("2.5.29.20", int(spec.number ?? 7)), ...(spec.extensions ?? [])];
  return signed(seq(
    int(1), algorithms[key.kind], spec.issuer.name, time(spec.from), ...(spec.to ? [time(spec.to)] : []),
    ...(entries.length ? [seq(...entries)] : []), explicit(0, seq(...extensions)),
  ), key, spec.algorithm);
}
