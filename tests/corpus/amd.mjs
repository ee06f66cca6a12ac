// SEV-SNP reports with their chains, Milan, Genoa and Turin, by VCEK and by VLEK (attestation.md 5; AMD 56860, 57230).
import { hex, ia5, int, octets } from "./der.mjs";
import { draw, ecKey, ecSign, rsaKey } from "./keys.mjs";
import { certificate, crl, extension } from "./x509.mjs";
import { dates, reportData } from "./intel.mjs";

const { FROM, TO, ISSUED, NEXT } = dates;
const ROOT_TO = "2048-05-15T00:00:00Z";

export const products = {
  Milan: { family: 0x19, model: 0x01, leafName: "Milan-B0", chipSize: 64 },
  Genoa: { family: 0x19, model: 0x11, leafName: "Genoa", chipSize: 64 },
  Turin: { family: 0x1a, model: 0x02, leafName: "Turin", chipSize: 8 },
};

// One signing key for all the middle ones: making RSA keys is slow, and who they are says the name.
export function amdPki() {
  const pki = {};
  for (const product of Object.keys(products)) {
    const ark = certificate({ cn: `ARK-${product}`, key: rsaKey(`ark ${product}`), isCa: true, from: FROM, to: ROOT_TO });
    const middle = (cn) => certificate({ cn, key: rsaKey("ask"), issuer: ark, isCa: true, pathLength: 0, from: FROM, to: ROOT_TO });
    pki[product] = { ark, ask: middle(`SEV-${product}`), asvk: middle(`SEV-VLEK-${product}`) };
  }
  return pki;
}

export const field = {
  version: 0, guestSvn: 4, policy: 8, familyId: 0x10, imageId: 0x20, vmpl: 0x30, algorithm: 0x34, currentTcb: 0x38, platformInfo: 0x40, keyInfo: 0x48, reserved: 0x4c,
  reportData: 0x50, measurement: 0x90, hostData: 0xc0, idKey: 0xe0, authorKey: 0x110, reportId: 0x140, reportIdMa: 0x160, reportedTcb: 0x180, cpuid: 0x188, chipId: 0x1a0,
  committedTcb: 0x1e0, currentBuild: 0x1e8, committedBuild: 0x1ec, launchTcb: 0x1f0, launchMit: 0x1f8, currentMit: 0x200, signature: 0x2a0,
};

// Part by part, as the product lays them out.
export const tcbBytes = (product, t) => Buffer.from(product === "Turin" ? [t.fmc, t.bootLoader, t.tee, t.snp, 0, 0, 0, t.microcode] : [t.bootLoader, t.tee, 0, 0, 0, 0, t.snp, t.microcode]);

const OID = "1.3.6.1.4.1.3704.1";
export function leafExtensions(b) {
  const t = b.certTcb, spl = (id, value) => extension(`${OID}.${id}`, int(value));
  return [
    spl("1", b.product === "Turin" ? 1 : 0), extension(`${OID}.2`, ia5(b.leafName)), spl("3.1", t.bootLoader), spl("3.2", t.tee), spl("3.3", t.snp),
    ...["3.4", "3.5", "3.6", "3.7"].map((id) => spl(id, 0)), spl("3.8", t.microcode), ...(b.product === "Turin" ? [spl("3.9", t.fmc)] : []),
    // Real certificates hold the bare bytes here; some tools write an OCTET STRING.
    ...(b.isVlek ? [extension(`${OID}.5`, ia5("CN=cc.corpus.invalid"))] : [extension(`${OID}.4`, b.wrapsHwid ? octets(b.hwid) : b.hwid)]),
  ];
}

function report(b) {
  const r = Buffer.alloc(1184), tcb = tcbBytes(b.product, b.tcb);
  r.writeUInt32LE(b.version, field.version);
  r.writeUInt32LE(2, field.guestSvn);
  r.writeBigUInt64LE(0x30000n, field.policy);
  r.writeUInt32LE(1, field.algorithm);
  r.writeUInt32LE(0x25, field.platformInfo);
  r.writeUInt32LE(b.isVlek ? 4 : 0, field.keyInfo);
  reportData.copy(r, field.reportData);
  draw("snp measurement", 48).copy(r, field.measurement);
  draw("host data", 32).copy(r, field.hostData);
  draw("snp report id", 32).copy(r, field.reportId);
  Buffer.alloc(32, 0xff).copy(r, field.reportIdMa);
  for (const where of [field.currentTcb, field.reportedTcb, field.committedTcb, field.launchTcb]) tcb.copy(r, where);
  if (b.version >= 3) Buffer.from([products[b.product].family, products[b.product].model, 1]).copy(r, field.cpuid);
  b.hwid.copy(r, field.chipId);
  for (const where of [field.currentBuild, field.committedBuild]) Buffer.from([29, 55, 1]).copy(r, where);
  if (b.version >= 5) [field.launchMit, field.currentMit].forEach((where) => r.writeUInt8(3, where));
  return r;
}

// r and s little-endian in 72 bytes each.
export function signReport(key, r) {
  const raw = ecSign(key, r.subarray(0, field.signature));
  r.fill(0, field.signature);
  Buffer.from(raw.subarray(0, 48)).reverse().copy(r, field.signature);
  Buffer.from(raw.subarray(48)).reverse().copy(r, field.signature + 72);
  return r;
}

// Hooks: platform, leaf, report (before it is signed), signed, files. spec: product, version, isVlek.
export function amdCase(pki, spec, hooks = {}) {
  const run = (stage) => hooks[stage]?.(b);
  const info = products[spec.product];
  const b = { isVlek: false, ...spec, pki: { ...pki[spec.product] }, all: pki, leafName: spec.isVlek ? spec.product : info.leafName, hwid: draw("chip", info.chipSize), leafKey: ecKey("vcek", "p384"),
    tcb: { fmc: 1, bootLoader: 4, tee: 0, snp: 24, microcode: 219 } };
  run("platform");
  b.certTcb ??= b.tcb;
  b.leafSpec = { cn: b.isVlek ? "SEV-VLEK" : "SEV-VCEK", key: b.leafKey, issuer: b.isVlek ? b.pki.asvk : b.pki.ask, from: FROM, to: TO, extensions: leafExtensions(b) };
  run("leaf");
  b.leaf = certificate(b.leafSpec);
  b.report = report(b);
  run("report");
  signReport(b.leafKey, b.report);
  run("signed");
  b.files = { "report.bin": b.report, [b.isVlek ? "vlek.der" : "vcek.der"]: b.leaf.der, [b.isVlek ? "asvk.pem" : "ask.pem"]: b.leafSpec.issuer.pem, "ark.pem": b.pki.ark.pem, "trust_root.pem": pki[spec.product].ark.pem };
  run("files");
  return b;
}

export const amdList = (b, spec = {}) => crl({ issuer: b.pki.ark, from: ISSUED, to: NEXT, ...spec });

// GHCB's table (56421), as a host puts it beside a report.
const guids = { vcek: "63da758de6644564adc5f4b93be8accd", vlek: "a8074bc2a25a483eaae639c045a0b8a1", ask: "4ab7b379bbac4fe4a02f05aef327c782",
  ark: "c0b406a4a803495297433fb6014cd0ae", crl: "92f81bc358114d3d97ffd19f88dc67ea", unknown: "00112233445566778899aabbccddeeff" };

export function certTable(parts) {
  const entries = Object.entries(parts), table = Buffer.alloc(24 * (entries.length + 1));
  let where = table.length;
  entries.forEach(([name, bytes], i) => {
    hex(guids[name]).copy(table, 24 * i);
    table.writeUInt32LE(where, 24 * i + 16);
    table.writeUInt32LE(bytes.length, 24 * i + 20);
    where += bytes.length;
  });
  return Buffer.concat([table, ...Object.values(parts)]);
}
