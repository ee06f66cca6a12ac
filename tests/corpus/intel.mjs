// SGX and TDX evidence with its collateral, stage by stage (attestation.md 1 to 3; Intel DCAP). A case names hooks: each is
// called with everything made so far at its stage, and what comes after is made from what it left.
import { bool, enumerated, hex, int, octets, oid, seq } from "./der.mjs";
import { draw, ecKey, ecSign, sha256 } from "./keys.mjs";
import { certificate, crl, extension } from "./x509.mjs";

export const NOW = "2026-06-15T12:00:00Z";
const ISSUED = "2026-06-10T00:00:00Z", NEXT = "2026-07-10T00:00:00Z", FROM = "2025-01-01T00:00:00Z", TO = "2033-01-01T00:00:00Z";
const ROOT_TO = "2049-12-31T23:59:59Z", FMSPC = "90c06f00ff02";

// --- the authorities ---

export const authority = (cn, spec = {}) => certificate({ cn, key: ecKey(cn), isCa: true, from: FROM, to: ROOT_TO, ...spec });

export function intelPki() {
  const root = authority("Intel SGX Root CA", { pathLength: 1 });
  return {
    root,
    platform: authority("Intel SGX PCK Platform CA", { issuer: root, pathLength: 0 }),
    processor: authority("Intel SGX PCK Processor CA", { issuer: root, pathLength: 0 }),
    signing: certificate({ cn: "Intel SGX TCB Signing", key: ecKey("tcb signing"), issuer: root, from: FROM, to: TO }),
  };
}

// --- the PCK certificate's extension (Intel SGX PCK Certificate and CRL Profile) ---

const ARC = "1.2.840.113741.1.13.1";
const entry = (id, value) => seq(oid(`${ARC}.${id}`), value);

export function pckEntries(p) {
  return {
    ppid: entry("1", octets(p.ppid)),
    tcb: entry("2", seq(...p.sgx.map((svn, i) => entry(`2.${i + 1}`, int(svn))), entry("2.17", int(p.pceSvn)), entry("2.18", octets(p.cpuSvn)))),
    pceId: entry("3", octets(p.pceId)),
    fmspc: entry("4", octets(hex(p.fmspc))),
    type: entry("5", enumerated(p.isProcessor ? 0 : 1)),
    ...(p.isProcessor ? {} : {
      piid: entry("6", octets(p.piid)),
      configuration: entry("7", seq(entry("7.1", bool(true)), entry("7.2", bool(false)), entry("7.3", bool(true)))),
    }),
  };
}

const makePlatform = () => ({
  ppid: draw("ppid", 16), piid: draw("piid", 16), cpuSvn: draw("cpu svn", 16), pceId: hex("0000"), fmspc: FMSPC, pceSvn: 13,
  sgx: [11, 11, 3, 3, 255, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0], isProcessor: false,
});

export function issuePck(b, spec = {}) {
  return certificate({ cn: "Intel SGX PCK Certificate", key: b.pckKey, issuer: b.pki[b.platform.isProcessor ? "processor" : "platform"],
    from: FROM, to: TO, extensions: [extension(ARC, seq(...Object.values(b.entries)))], ...spec });
}

// --- reports ---

export const at = { attributes: 48, mrEnclave: 64, mrSigner: 128, configId: 192, prodId: 256, svn: 258, configSvn: 260, familyId: 304, reportData: 320 };
export const td = { seam: 16, signerSeam: 64, seamAttributes: 112, attributes: 120, xfam: 128, mrtd: 136, configId: 184, owner: 232, rtmr: 328, reportData: 520, svn2: 584, serviceTd: 600, ex: 648 };

export const reportData = draw("report data", 64);

function enclaveReport(prodId, svn, name) {
  const r = Buffer.alloc(384);
  draw(`${name} cpu svn`, 16).copy(r, 0);
  hex("0500000000000000e700000000000000").copy(r, at.attributes);
  sha256(`${name} code`).copy(r, at.mrEnclave);
  sha256(`${name} signer`).copy(r, at.mrSigner);
  r.writeUInt16LE(prodId, at.prodId);
  r.writeUInt16LE(svn, at.svn);
  return r;
}

function tdReport(size) {
  const r = Buffer.alloc(size);
  hex("050103").copy(r, 0);
  draw("mrseam", 48).copy(r, td.seam);
  hex("0000001000000000").copy(r, td.attributes);
  hex("e702060000000000").copy(r, td.xfam);
  draw("mrtd", 48).copy(r, td.mrtd);
  for (let i = 0; i < 4; i++) draw(`rtmr${i}`, 48).copy(r, td.rtmr + 48 * i);
  reportData.copy(r, td.reportData);
  if (size >= 648) hex("050103").copy(r, td.svn2);
  if (size === 885) draw("td report extension", 237).copy(r, td.ex);
  return r;
}

// version, TEE, body type of version 5.
export const kinds = {
  sgx3: { version: 3, tee: "sgx", type: 1 }, sgx4: { version: 4, tee: "sgx", type: 1 }, sgx5: { version: 5, tee: "sgx", type: 1 },
  tdx4: { version: 4, tee: "tdx", type: 2, size: 584 }, tdx5_10: { version: 5, tee: "tdx", type: 2, size: 584 },
  tdx5_15: { version: 5, tee: "tdx", type: 3, size: 648 }, tdx5_ex: { version: 5, tee: "tdx", type: 4, size: 885 },
};

const u16 = (n) => { const b = Buffer.alloc(2); b.writeUInt16LE(n); return b; };
const u32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32LE(n); return b; };
export const le = { u16, u32 };

function header(b) {
  const h = Buffer.alloc(48);
  h.writeUInt16LE(b.version, 0);
  h.writeUInt16LE(2, 2);
  if (b.version > 3) h.writeUInt32LE(b.tee === "tdx" ? 0x81 : 0, 4);
  else hex("0a000d00").copy(h, 8);
  hex("939a7233f79c4ca9940a0db3957f0607").copy(h, 12);
  draw("qe id", 16).copy(h, 28);
  return h;
}

// Certification data: 1 to 3 name a platform, 4 is the leaf, 5 the chain, 7 a manifest.
export function certData(b) {
  const tail = Buffer.concat([b.platform.cpuSvn, u16(b.platform.pceSvn), b.platform.pceId]);
  switch (b.certType) {
    case 1: return Buffer.concat([b.platform.ppid, tail]);
    case 2: return Buffer.concat([draw("encrypted ppid", 256), tail]);
    case 3: return Buffer.concat([draw("encrypted ppid", 384), tail]);
    case 4: return Buffer.from(b.chain[0].pem);
    case 7: return draw("platform manifest", 600);
    default: return Buffer.from(b.chain.map((cert) => cert.pem).join(""));
  }
}

export function assemble(b) {
  const descriptor = b.version === 5 ? Buffer.concat([u16(b.type), u32(b.body.length)]) : Buffer.alloc(0);
  const signedRange = Buffer.concat([b.header, descriptor, b.body]);
  const inner = Buffer.concat([b.qeReport, b.qeSignature, u16(b.authData.length), b.authData, u16(b.certType), u32(b.certData.length), b.certData]);
  const wrapped = b.version > 3 ? Buffer.concat([u16(6), u32(inner.length), inner]) : inner;
  const data = Buffer.concat([ecSign(b.attestationKey, signedRange), b.attestationKey.point, wrapped]);
  // Where things stand, for cases that change the finished quote.
  const start = signedRange.length + 4, qe = start + 128 + (b.version > 3 ? 6 : 0), auth = qe + 448;
  b.offsets = { size: start - 4, signature: start, key: start + 64, outer: start + 128, qeReport: qe, qeSignature: qe + 384, authSize: auth, auth: auth + 2,
    certType: auth + 2 + b.authData.length, certSize: auth + 4 + b.authData.length, cert: auth + 8 + b.authData.length, body: b.version === 5 ? 54 : 48 };
  return Buffer.concat([signedRange, u32(data.length), data]);
}

export const bindKey = (b) => Buffer.concat([sha256(b.attestationKey.point, b.authData), Buffer.alloc(32)]).copy(b.qeReport, at.reportData);

// --- collateral (PCS API v4) ---

const components = (svns) => svns.map((svn) => ({ svn }));

export function level(b, status, { sgx = b.platform.sgx, pceSvn = b.platform.pceSvn, tdx = [5, 1, 3], advisories, date = "2026-02-11T00:00:00Z" } = {}) {
  const tcb = b.infoVersion === 2
    ? { ...Object.fromEntries(sgx.map((svn, i) => [`sgxtcbcomp${String(i + 1).padStart(2, "0")}svn`, svn])), pcesvn: pceSvn }
    : { sgxtcbcomponents: components(sgx), pcesvn: pceSvn, ...(b.tee === "tdx" ? { tdxtcbcomponents: components([...tdx, ...Array(16 - tdx.length).fill(0)]) } : {}) };
  return { tcb, tcbDate: date, tcbStatus: status, ...(advisories ? { advisoryIDs: advisories } : {}) };
}

export const isvLevel = (isvsvn, tcbStatus, advisoryIDs, tcbDate = "2026-02-11T00:00:00Z") => ({ tcb: { isvsvn }, tcbDate, tcbStatus, ...(advisoryIDs ? { advisoryIDs } : {}) });

const lower = (svns) => svns.map((svn) => (svn ? svn - 1 : 0));
const module_ = { mrsigner: "00".repeat(48), attributes: "00".repeat(8), attributesMask: "FF".repeat(8) };

function tcbInfo(b) {
  const levels = [
    level(b, "UpToDate"),
    level(b, "OutOfDate", { sgx: lower(b.platform.sgx), pceSvn: 10, tdx: [4, 0, 2], advisories: ["INTEL-SA-00001", "INTEL-SA-00002"], date: "2024-11-13T00:00:00Z" }),
  ];
  return {
    ...(b.infoVersion === 2 ? {} : { id: b.tee.toUpperCase() }), version: b.infoVersion, issueDate: ISSUED, nextUpdate: NEXT, fmspc: b.platform.fmspc, pceId: "0000",
    tcbType: 0, tcbEvaluationDataNumber: 19,
    ...(b.tee === "tdx" ? { tdxModule: { ...module_ }, tdxModuleIdentities: [
      { id: "TDX_01", ...module_, tcbLevels: [isvLevel(5, "UpToDate"), isvLevel(2, "OutOfDate", ["INTEL-SA-00003"], "2024-11-13T00:00:00Z")] },
    ] } : {}),
    tcbLevels: levels,
  };
}

const qeIdentity = (b) => ({
  id: b.tee === "tdx" ? "TD_QE" : "QE", version: 2, issueDate: ISSUED, nextUpdate: NEXT, tcbEvaluationDataNumber: 19, miscselect: "00000000", miscselectMask: "FFFFFFFF",
  attributes: "11000000000000000000000000000000", attributesMask: "FBFFFFFFFFFFFFFF0000000000000000", mrsigner: sha256("quoting enclave signer").toString("hex"),
  isvprodid: b.tee === "tdx" ? 2 : 1, tcbLevels: [isvLevel(8, "UpToDate"), isvLevel(6, "OutOfDate", ["INTEL-SA-00004"], "2023-08-09T00:00:00Z")],
});

// The answer of the service: the signature covers the body's bytes as they stand.
export const signBody = (key, member, body) => `{"${member}":${body},"signature":"${ecSign(key, Buffer.from(body)).toString("hex")}"}`;

const chainText = (...certs) => certs.map((cert) => cert.pem).join("");

function collateralFiles(b) {
  const ca = b.platform.isProcessor ? b.pki.processor : b.pki.platform;
  const list = (issuer) => crl({ issuer, from: ISSUED, to: NEXT });
  return {
    "tcb_info.json": signBody(b.signer.key, "tcbInfo", JSON.stringify(b.tcbInfo)), "tcb_info_issuer_chain.pem": chainText(b.signer, b.pki.root),
    "qe_identity.json": signBody(b.signer.key, "enclaveIdentity", JSON.stringify(b.qeIdentity)), "qe_identity_issuer_chain.pem": chainText(b.signer, b.pki.root),
    "pck_crl.der": list(ca), "pck_crl_issuer_chain.pem": chainText(ca, b.pki.root), "root_ca_crl.der": list(b.pki.root),
  };
}

// --- all of it ---

// What makes a case: kind, and hooks platform, entries, chain, qe, body, cert, quote, bodies, files.
export function intelCase(pki, kind, hooks = {}) {
  const run = (stage) => hooks[stage]?.(b);
  const b = { ...kinds[kind], kind, pki: { ...pki }, platform: makePlatform(), pckKey: ecKey("pck"), attestationKey: ecKey("attestation key"), authData: draw("auth data", 32), certType: 5, infoVersion: 3, signer: pki.signing };
  run("platform");
  b.entries = pckEntries(b.platform);
  run("entries");
  b.chain = [issuePck(b), b.pki[b.platform.isProcessor ? "processor" : "platform"], b.pki.root];
  run("chain");
  b.header = header(b);
  b.qeReport = enclaveReport(b.tee === "tdx" ? 2 : 1, 8, "quoting enclave");
  b.qeReport[at.attributes] = 0x15;
  bindKey(b);
  run("qe");
  b.qeSignature = ecSign(b.pckKey, b.qeReport);
  b.body = b.tee === "tdx" ? tdReport(b.size) : enclaveReport(3, 2, "enclave");
  if (b.tee === "sgx") reportData.copy(b.body, at.reportData);
  run("body");
  b.certData = certData(b);
  run("cert");
  b.quote = assemble(b);
  run("quote");
  b.tcbInfo = tcbInfo(b);
  b.qeIdentity = qeIdentity(b);
  run("bodies");
  b.files = { "quote.bin": b.quote, ...collateralFiles(b), ...(b.certType < 5 ? { "pck_chain.pem": chainText(...b.chain) } : {}), "trust_root.pem": pki.root.pem };
  run("files");
  return b;
}

export const dates = { NOW, ISSUED, NEXT, FROM, TO };
export const relist = (b, file, spec) => { b.files[file] = crl({ issuer: file === "root_ca_crl.der" ? b.pki.root : b.pki.platform, from: ISSUED, to: NEXT, ...spec }); };
