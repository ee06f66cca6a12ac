// Rows A, B, E and F: the quote itself, its signatures, and what a TD or an enclave says of itself.
import { hex } from "./der.mjs";
import { ecKey, ecSign } from "./keys.mjs";
import { accepted, collect, genuine, refused, unvouched } from "./cases.mjs";
import { at, bindKey, intelCase, isvLevel, kinds, le, td } from "./intel.mjs";

const ORDER = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
const FAMILIES = ["sgx3", "tdx4", "tdx5_15"];
const cut = (n) => (b) => { b.quote = b.quote.subarray(0, n < 0 ? b.quote.length + n : n); };
const put32 = (where, value) => (b) => b.quote.writeUInt32LE((typeof value === "function" ? value(b) : value) >>> 0, b.offsets[where]);
const get32 = (b, where) => b.quote.readUInt32LE(b.offsets[where]);
const flip = (where, more = 0) => (b) => { b.quote[(b.offsets[where] ?? where) + more] ^= 1; };
const append = (bytes) => (b) => { b.quote = Buffer.concat([b.quote, bytes]); };

// Version 4 does not say how long its body is: the lengths that follow are read from the middle of another body.
const mixed = { ...refused("cert_type"), also_acceptable: ["ParseError", "UnsupportedTeeType"] };

// Finished quotes with one thing changed: [text, hook on the quote, outcome, kinds].
const onQuote = [
  ["A1 empty", cut(0), "quote_truncated"], ["A1 one byte", cut(1), "quote_truncated"], ["A1 header only", cut(48), "quote_truncated"],
  ["A2 cut inside the header", cut(47), "quote_truncated"], ["A2 cut inside the body", cut(300), "quote_truncated"], ["A2 last byte missing", cut(-1), "quote_truncated"],
  ["A2 cut inside the signature data", (b) => cut(b.offsets.key + 10)(b), "quote_truncated"],
  ["A3 one trailing byte", append(hex("01")), "quote_trailing"], ["A3 4 KiB trailing", append(Buffer.alloc(4096, 0x20)), "quote_trailing"],
  ["A3 zero padding (ok)", append(Buffer.alloc(4096)), { ...accepted(), trailing_bytes: 4096 }],
  ["A4 signature data one larger", put32("size", (b) => get32(b, "size") + 1), "quote_length"], ["A4 signature data one smaller", put32("size", (b) => get32(b, "size") - 1), "quote_length"],
  ["A4 signature data of zero", put32("size", 0), "quote_length"], ["A4 signature data of 4 GiB", put32("size", 0xffffffff), "quote_length"],
  ["A5 certification data one smaller", put32("certSize", (b) => get32(b, "certSize") - 1), "quote_length"], ["A5 certification data of 4 GiB", put32("certSize", 0xffffffff), "quote_length"],
  ["A5 sizes that overflow 32 bits together", (b) => { put32("certSize", 0xfffffff8)(b); b.quote.writeUInt16LE(0xffff, b.offsets.authSize); }, "quote_length"],
  ["A5 authentication data of 65535 bytes", (b) => b.quote.writeUInt16LE(0xffff, b.offsets.authSize), "quote_length"],
  ["A5 wrapper one larger", (b) => b.quote.writeUInt32LE(b.quote.readUInt32LE(b.offsets.outer + 2) + 1, b.offsets.outer + 2), "quote_length", ["tdx4", "tdx5_15"]],
  ...[1, 2, 6, 65535].map((v) => [`A6 version ${v}`, (b) => b.quote.writeUInt16LE(v, 0), "quote_version"]), ["A6 version 0", (b) => b.quote.writeUInt16LE(0, 0), "quote_version"],
  ["A7 TDX type in version 3", (b) => b.quote.writeUInt32LE(0x81, 4), "quote_type_mix", ["sgx3"]], ["A7 unknown TEE type", (b) => b.quote.writeUInt32LE(0x82, 4), "quote_type_mix"],
  ["A7 TDX quote that says version 3", (b) => b.quote.writeUInt16LE(3, 0), "quote_type_mix", ["tdx4"]],
  ["A7 TDX header with an enclave report", (b) => b.quote.writeUInt32LE(0x81, 4), mixed, ["sgx4"]],
  ["A7 SGX header with a TD report", (b) => b.quote.writeUInt32LE(0, 4), mixed, ["tdx4"]],
  ["A7 TDX header with a body of type 1", (b) => b.quote.writeUInt32LE(0x81, 4), "quote_type_mix", ["sgx5"]], ["A7 SGX header with a body of type 3", (b) => b.quote.writeUInt32LE(0, 4), "quote_type_mix", ["tdx5_15"]],
  ...[1, 3, 255].map((t) => [`A8 key type ${t}`, (b) => b.quote.writeUInt16LE(t, 2), "quote_keytype"]),
  ["A9 vendor", flip(12), "qe_vendor"], ["A10 reserved bytes of the header", (b) => { b.quote[8] = 1; }, "quote_reserved", ["tdx4", "tdx5_15"]],
  ["A11 body type 0", (b) => b.quote.writeUInt16LE(0, 48), refused("quote_body_type", "UnsupportedBodyType"), ["tdx5_15"]],
  ["A11 body type 5", (b) => b.quote.writeUInt16LE(5, 48), refused("quote_body_type", "UnsupportedBodyType"), ["tdx5_15"]],
  ["A11 body of 4 GiB", (b) => b.quote.writeUInt32LE(0xffffffff, 50), "quote_body_type", ["tdx5_15"]], ["A11 body one byte short", (b) => b.quote.writeUInt32LE(647, 50), "quote_body_type", ["tdx5_15"]],
  ["A12 body of TD report 1.0 as long as 1.5", (b) => b.quote.writeUInt16LE(2, 48), "quote_body_type", ["tdx5_15"]],
  ["A12 body of TD report 1.5 as short as 1.0", (b) => b.quote.writeUInt16LE(3, 48), "quote_body_type", ["tdx5_10"]],
  ["A13 chain without its wrapper", (b) => b.quote.writeUInt16LE(5, b.offsets.outer), "cert_type", ["tdx4", "tdx5_15"]], ["A13 wrapper inside the wrapper", (b) => b.quote.writeUInt16LE(6, b.offsets.certType), "cert_type"],
  ["A13 certification data type 0", (b) => b.quote.writeUInt16LE(0, b.offsets.certType), "cert_type"], ["A13 certification data type 8", (b) => b.quote.writeUInt16LE(8, b.offsets.certType), "cert_type"],
  ["A15 17 KiB beyond the limit", (b) => append(Buffer.alloc(65537 - Math.min(b.quote.length, 65536)))(b), "quote_too_big"],
  ["A16 hex instead of bytes", (b) => { b.quote = Buffer.from(b.quote.toString("hex")); }, "quote_version"], ["A16 base64 instead of bytes", (b) => { b.quote = Buffer.from(b.quote.toString("base64")); }, "quote_version"],
  ["B1 bit of the header", flip(30), "quote_sig"], ["B1 bit of the body", flip("body", 60), "quote_sig"], ["B1 bit of the report data", (b) => { b.quote[b.offsets.body + b.body.length - 1] ^= 1; }, "quote_sig"],
  ["B1 bit of r", flip("signature"), "quote_sig"], ["B1 bit of s", flip("signature", 63), "quote_sig"],
  ["B2 r and s are zero", (b) => b.quote.fill(0, b.offsets.signature, b.offsets.key), "quote_sig"], ["B2 r is the order", (b) => ORDER.copy(b.quote, b.offsets.signature), "quote_sig"],
  ["B2 s above the order", (b) => b.quote.fill(0xff, b.offsets.signature + 32, b.offsets.key), "quote_sig"], ["B2 r and s are one", (b) => { b.quote.fill(0, b.offsets.signature, b.offsets.key); b.quote[b.offsets.signature + 31] = b.quote[b.offsets.signature + 63] = 1; }, "quote_sig"],
  ["B4 key of somebody else", flip("key"), "qe_binding"], ["B4 authentication data changed", flip("auth"), "qe_binding"],
  ["B5 QE report changed", flip("qeReport", 300), "qe_sig"], ["B5 QE signature changed", flip("qeSignature"), "qe_sig"],
  ["B5 signed by another PCK", (b) => ecSign(ecKey("another pck"), b.qeReport).copy(b.quote, b.offsets.qeSignature), "qe_sig"],
];

// The QE report vouches for a key that is no point of the curve.
const badKey = (point) => (b) => { b.attestationKey = { ...b.attestationKey, point }; bindKey(b); };

// Before the QE report is signed, and in what the QE identity says.
const onQe = [
  ["B3 key of zeros", badKey(Buffer.alloc(64)), "att_key"], ["B3 key off the curve", badKey(Buffer.concat([hex("010203"), Buffer.alloc(61)])), "att_key"],
  ["B4 tail of the QE report data", (b) => { b.qeReport[at.reportData + 32] = 1; }, "qe_binding"],
  ["B4 long authentication data (ok)", (b) => { b.authData = Buffer.alloc(1000, 7); bindKey(b); }, accepted()], ["B4 no authentication data (ok)", (b) => { b.authData = Buffer.alloc(0); bindKey(b); }, accepted()],
  ["B6 MRSIGNER", (b) => { b.qeReport[at.mrSigner] ^= 1; }, "qe_identity"], ["B6 ISVPRODID", (b) => b.qeReport.writeUInt16LE(9, at.prodId), "qe_identity"],
  ["B6 MISCSELECT", (b) => { b.qeReport[16] = 1; }, "qe_identity"], ["B6 ATTRIBUTES", (b) => { b.qeReport[at.attributes] = 0x05; }, "qe_identity"],
  ["B7 attribute inside the mask", (b) => { b.qeReport[at.attributes] |= 0x20; }, "qe_identity"], ["B7 attribute outside the mask (ok)", (b) => { b.qeReport[at.attributes + 8] ^= 0xff; }, accepted()],
  ["B8 debug QE", (b) => { b.qeReport[at.attributes] |= 2; }, "qe_debug"], ["B9 QE below all levels", (b) => b.qeReport.writeUInt16LE(5, at.svn), "qe_tcb"],
  ["B9 QE out of date", (b) => b.qeReport.writeUInt16LE(7, at.svn), genuine("OutOfDate", ["INTEL-SA-00004"])], ["B9 QE exactly at its level (ok)", (b) => b.qeReport.writeUInt16LE(8, at.svn), accepted()],
];

const onIdentity = [
  ["B9 QE revoked", (b) => { b.qeIdentity.tcbLevels[0].tcbStatus = "Revoked"; }, genuine("Revoked", [], "tcb_status", "TcbRevoked")],
  ["B10 identity of the other QE", (b) => { b.qeIdentity.id = b.tee === "tdx" ? "QE" : "TD_QE"; }, "qe_identity_id"], ["B10 identity version 1", (b) => { b.qeIdentity.version = 1; }, "qe_identity_id"],
  ["B11 mask too short", (b) => { b.qeIdentity.miscselectMask = "FFFFFF"; }, "collateral_format"], ["B11 mask missing", (b) => { delete b.qeIdentity.attributesMask; }, "collateral_format"],
  ["B11 attributes too long", (b) => { b.qeIdentity.attributes += "00"; }, "collateral_format"], ["B11 signer missing", (b) => { delete b.qeIdentity.mrsigner; }, "collateral_format"],
];

// --- E: what a TD says ---

const tdBody = (change) => ({ body: change });
const setAttributes = (text) => (b) => hex(text).copy(b.body, td.attributes);
const debugTd = genuine("UpToDate", [], "td_debug", "DebugNotAllowed", { debug: true });
const safeTd = { type: "redoubt/policy/v1", simulated: true, debug: false, tees: ["tdx"], tcb: ["UpToDate"], max_collateral_age_s: 2592000 };
const policyOf = (measurement, more = {}) => ({ ...safeTd, measurements: measurement ? [measurement] : [], ...more });
const refusedByPolicy = (code) => genuine("UpToDate", [], code, "PolicyViolation");

function tds(add, pki) {
  const tdx = (text, hooks, expect, { kind = "tdx4", ...more } = {}) => {
    const b = intelCase(pki, kind, hooks);
    add("tdx", text, b.files, typeof expect === "string" ? refused(expect) : expect, { ...more, policy: more.policy?.(b) });
  };
  tdx("E1 DEBUG", tdBody(setAttributes("0100001000000000")), debugTd);
  tdx("E1 another bit of the debug group", tdBody(setAttributes("8000001000000000")), debugTd);
  tdx("E1 DEBUG allowed (ok)", tdBody(setAttributes("0100001000000000")), accepted("UpToDate", [], { debug: true }), { flags: ["--allow-debug"] });
  for (const [what, attributes] of [["SEPT_VE_DISABLE clear", "0000000000000000"], ["MIGRATABLE", "0000003000000000"], ["reserved bit", "0000001000010000"]])
    tdx(`E2 ${what}`, tdBody(setAttributes(attributes)), genuine("UpToDate", [], "td_attr"));
  tdx("E2 PERFMON (ok)", tdBody(setAttributes("0000001000000080")), accepted());
  tdx("E2 SEPT_VE_DISABLE clear, by a policy that allows it (ok)", tdBody(setAttributes("0000000000000000")), accepted(), { policy: (b) => policyOf({ mrtd: b.body.subarray(td.mrtd, td.mrtd + 48).toString("hex") }, { td: { sept_ve: true } }) });
  const hexOf = (b, where, size = 48) => b.body.subarray(where, where + size).toString("hex");
  const other = "ab".repeat(48);
  tdx("E4 MRTD on the list (ok)", {}, accepted(), { policy: (b) => policyOf({ mrtd: hexOf(b, td.mrtd) }) });
  tdx("E4 MRTD is one of many (ok)", {}, accepted(), { policy: (b) => policyOf({ mrtd: [hexOf(b, td.mrtd), other].sort() }) });
  tdx("E4 MRTD not on the list", {}, refusedByPolicy("attest_measurement"), { policy: () => policyOf({ mrtd: other }) });
  tdx("E4 empty list", {}, refusedByPolicy("attest_measurement"), { policy: () => policyOf(null) });
  for (let i = 0; i < 3; i++)
    tdx(`E5 RTMR${i} not the policy's`, {}, refusedByPolicy("attest_measurement"), { policy: (b) => policyOf({ mrtd: hexOf(b, td.mrtd), [`rtmr${i}`]: other }) });
  tdx("E5 RTMR0 to RTMR2 as the policy says (ok)", {}, accepted(), { policy: (b) => policyOf({ mrtd: hexOf(b, td.mrtd), rtmr0: hexOf(b, td.rtmr), rtmr1: hexOf(b, td.rtmr + 48), rtmr2: hexOf(b, td.rtmr + 96) }) });
  tdx("E8 MRSIGNERSEAM", tdBody((b) => { b.body[td.signerSeam] = 1; }), "tdx_module");
  tdx("E8 SEAMATTRIBUTES", tdBody((b) => { b.body[td.seamAttributes] = 1; }), "tdx_module");
  tdx("E8 unknown module version", tdBody((b) => { b.body[1] = 9; }), "tdx_module");
  tdx("E8 module of version 0 (ok)", { body: (b) => { b.body[1] = 0; }, bodies: (b) => { b.tcbInfo.tcbLevels[0].tcb.tdxtcbcomponents[1].svn = 0; } }, accepted());
  tdx("E8 module without identities", { bodies: (b) => { delete b.tcbInfo.tdxModuleIdentities; } }, "tdx_module");
  tdx("E8 module id in lower case (ok)", { bodies: (b) => { b.tcbInfo.tdxModuleIdentities[0].id = "tdx_01"; } }, accepted());
  tdx("E9 module below all levels", tdBody((b) => { b.body[0] = 1; }), "tcb_unsupported");
  tdx("E9 module out of date", tdBody((b) => { b.body[0] = 3; }), genuine("OutOfDate", ["INTEL-SA-00003"]));
  tdx("E9 module exactly at its level (ok)", tdBody((b) => { b.body[0] = 5; }), accepted());
  tdx("E9 module revoked", { bodies: (b) => { b.tcbInfo.tdxModuleIdentities[0].tcbLevels = [isvLevel(5, "Revoked")]; } }, genuine("Revoked", [], "tcb_status", "TcbRevoked"));
  tdx("E9 SEAM loader SVN below", tdBody((b) => { b.body[2] = 2; }), genuine("OutOfDate", ["INTEL-SA-00001", "INTEL-SA-00002"]));
  for (const [what, where, name] of [["MRCONFIGID", td.configId, "mrconfigid"], ["MROWNER", td.owner, "mrowner"], ["MROWNERCONFIG", td.owner + 48, "mrownerconfig"]]) {
    const change = tdBody((b) => b.body.fill(0xab, where, where + 48));
    tdx(`E10 ${what} unexpected`, change, refusedByPolicy("attest_measurement"), { policy: (b) => policyOf({ mrtd: hexOf(b, td.mrtd), [name]: "00".repeat(48) }) });
    tdx(`E10 ${what} as the policy says (ok)`, change, accepted(), { policy: (b) => policyOf({ mrtd: hexOf(b, td.mrtd), [name]: other }) });
  }
  const withService = tdBody((b) => b.body.fill(0xab, td.serviceTd, td.serviceTd + 48));
  tdx("E11 service TD", withService, genuine("UpToDate", [], "service_td"), { kind: "tdx5_15" });
  tdx("E11 service TD that the policy lists (ok)", withService, accepted(), { kind: "tdx5_15", policy: (b) => policyOf({ mrtd: hexOf(b, td.mrtd) }, { td: { service_tds: [other] } }) });
  tdx("E12 platform not on the list", {}, refusedByPolicy("policy_platform"), { policy: (b) => policyOf({ mrtd: hexOf(b, td.mrtd) }, { platforms: ["cd".repeat(32)] }) });
  const mrtd = (b) => ({ mrtd: hexOf(b, td.mrtd) }), bits8 = (value) => ({ mask: "ff".repeat(8), value });
  const asked = (what, more, expect, hooks = {}) => tdx(what, hooks, typeof expect === "string" ? refusedByPolicy(expect) : expect, { policy: (b) => policyOf(mrtd(b), { td: typeof more === "function" ? more(b) : more }) });
  asked("E2 attributes as the policy asks (ok)", { attributes: bits8("0000001000000000") }, accepted());
  asked("E2 attributes not as the policy asks", { attributes: bits8("0000001000000080") }, "td_attr");
  asked("E3 XFAM as the policy asks (ok)", { xfam: bits8("e702060000000000") }, accepted());
  asked("E3 XFAM not as the policy asks", { xfam: bits8("e700060000000000") }, "td_xfam");
  asked("E3 XFAM that differs in CET alone, which the policy leaves open (ok)", { xfam: { mask: "ffe7ffffffffffff", value: "e702060000000000" } }, accepted(), tdBody((b) => { b.body[td.xfam + 1] |= 0x18; }));
  asked("E8 MRSEAM on the list (ok)", (b) => ({ mr_seams: [hexOf(b, td.seam)] }), accepted());
  asked("E8 MRSEAM not on the list", { mr_seams: [other] }, "tdx_module");
  asked("E9 module SVN below the policy's", { modules: [{ svn_min: 6, version: 1 }] }, "tdx_module_tcb");
  asked("E9 module SVN as the policy asks (ok)", { modules: [{ svn_min: 5, version: 1 }] }, accepted());
  asked("E9 module version that the policy does not list", { modules: [{ svn_min: 0, version: 2 }] }, "tdx_module_tcb");
  asked("E9 SEAM loader below the policy's", { seam_loader_min: 4 }, "tdx_module_tcb");
  const report = hex("8100000000000000").toString("latin1");
  add("tdx", "F6 TDREPORT instead of a quote", { "td_report.bin": Buffer.concat([Buffer.from(report, "latin1"), Buffer.alloc(1016, 3)]), "trust_root.pem": pki.root.pem }, { ...refused("evidence_type") });
}

// --- F: what an enclave says ---

const sgxPolicy = (measurement, more = {}) => policyOf(measurement, { tees: ["sgx"], ...more });

function enclaves(add, pki) {
  const sgx = (text, hooks, expect, { kind = "sgx3", ...more } = {}) => {
    const b = intelCase(pki, kind, hooks);
    add("sgx", text, b.files, expect, { ...more, policy: more.policy?.(b) });
  };
  const mr = (b, where) => b.body.subarray(where, where + 32).toString("hex");
  sgx("F1 DEBUG", { body: (b) => { b.body[at.attributes] |= 2; } }, debugTd);
  sgx("F1 DEBUG allowed (ok)", { body: (b) => { b.body[at.attributes] |= 2; } }, accepted("UpToDate", [], { debug: true }), { flags: ["--allow-debug"] });
  sgx("F2 MRENCLAVE on the list (ok)", {}, accepted(), { policy: (b) => sgxPolicy({ mrenclave: mr(b, at.mrEnclave) }) });
  sgx("F2 MRENCLAVE not on the list", {}, refusedByPolicy("attest_measurement"), { policy: () => sgxPolicy({ mrenclave: "ab".repeat(32) }) });
  const signer = (isv) => (b) => sgxPolicy({ mrsigner: mr(b, at.mrSigner), ...isv });
  sgx("F2 MRSIGNER, product and SVN (ok)", {}, accepted(), { policy: signer({ isvprodid: 3, isvsvn_min: 2 }) });
  sgx("F2 other product of the signer", {}, refusedByPolicy("attest_measurement"), { policy: signer({ isvprodid: 4, isvsvn_min: 2 }) });
  sgx("F2 ISVSVN below the lowest", {}, refusedByPolicy("attest_measurement"), { policy: signer({ isvprodid: 3, isvsvn_min: 3 }) });
  const provisioner = { body: (b) => { b.body[at.attributes] |= 0x10; } };
  sgx("F1 PROVISION_KEY", provisioner, genuine("UpToDate", [], "sgx_config"));
  const enclave = (more, sgxMore) => (b) => sgxPolicy({ mrenclave: mr(b, at.mrEnclave), ...more }, sgxMore ? { sgx: sgxMore } : {});
  sgx("F1 PROVISION_KEY that the policy allows (ok)", provisioner, accepted(), { policy: enclave({}, { provision_key: true }) });
  sgx("F5 XFRM as the policy asks (ok)", {}, accepted(), { policy: enclave({}, { xfrm: { mask: "ff".repeat(8), value: "e700000000000000" } }) });
  sgx("F5 XFRM not as the policy asks", {}, refusedByPolicy("sgx_config"), { policy: enclave({}, { xfrm: { mask: "ff".repeat(8), value: "0300000000000000" } }) });
  sgx("F5 MISCSELECT not as the policy asks", { body: (b) => { b.body[16] = 1; } }, refusedByPolicy("sgx_config"), { policy: enclave({}, { misc_select: { mask: "ffffffff", value: "00000000" } }) });
  for (const [name, where, size] of [["configid", at.configId, 64], ["isvfamilyid", at.familyId, 16]]) {
    const change = { body: (b) => b.body.fill(0xab, where, where + size) };
    sgx(`F5 ${name} unexpected`, change, refusedByPolicy("attest_measurement"), { policy: enclave({ [name]: "00".repeat(size) }) });
    sgx(`F5 ${name} as the policy says (ok)`, change, accepted(), { policy: enclave({ [name]: "ab".repeat(size) }) });
  }
  sgx("F5 CONFIGSVN below the lowest", {}, refusedByPolicy("attest_measurement"), { policy: enclave({ configid: "00".repeat(64), configsvn_min: 1 }) });
  add("sgx", "F6 local report instead of a quote", { "quote.bin": Buffer.alloc(432, 5), "trust_root.pem": pki.root.pem }, refused("evidence_type"));
}

// --- certification data ---

function certification(add, pki) {
  const types = [["sgx3", 1], ["sgx3", 2], ["sgx3", 3], ["sgx3", 4], ["tdx4", 1], ["tdx4", 3], ["tdx4", 4], ["tdx5_15", 2]];
  const typed = (certType, hooks = {}) => ({ ...hooks, cert: (b) => { b.certType = certType; b.certData = hooks.data?.(b) ?? b.certData; } });
  const make = (kind, certType, hooks) => intelCase(pki, kind, { ...typed(certType, hooks), chain: (b) => { b.certType = certType; hooks?.chain?.(b); } });
  for (const [kind, type] of types) {
    const { files, tee } = make(kind, type);
    add(tee, `A14 type ${type} with the chain beside it, ${kind} (ok)`, files, accepted());
    const { "pck_chain.pem": _, ...bare } = files;
    add(tee, `A14 type ${type} without a chain, ${kind}`, bare, refused("cert_type"));
  }
  for (const kind of FAMILIES) add(kinds[kind].tee, `A13 platform manifest, ${kind}`, make(kind, 7).files, refused("cert_type"));
  add("sgx", "A14 PPID of another platform", make("sgx3", 1, { data: (b) => Buffer.concat([Buffer.alloc(16, 9), b.certData.subarray(16)]) }).files, refused("pck_ext"));
  add("sgx", "A14 PCE id of another platform", make("sgx3", 3, { data: (b) => Buffer.concat([b.certData.subarray(0, -2), hex("0100")]) }).files, refused("pck_ext"));
  add("sgx", "A14 platform named too shortly", make("sgx3", 3, { data: (b) => b.certData.subarray(1) }).files, refused("cert_type"));
  add("sgx", "A14 another leaf in the quote than beside it", make("sgx3", 4, { data: (b) => Buffer.from(b.chain[1].pem) }).files, refused("chain_shape"));
}

export function quoteCases(pki) {
  const { list, add } = collect();
  for (const kind of Object.keys(kinds)) {
    const b = intelCase(pki, kind);
    add(b.tee, `good ${kind}`, b.files, accepted());
    add(b.tee, `good ${kind} as outblob`, { ...b.files, "quote.bin": undefined, outblob: Buffer.concat([b.quote, Buffer.alloc(512)]) }, { ...accepted(), trailing_bytes: 512 });
    add(b.tee, `bare ${kind}, nobody vouches`, { "quote.bin": b.quote, "trust_root.pem": pki.root.pem }, unvouched("ParseOnly", "collateral_missing"));
    const processor = intelCase(pki, kind, { platform: (p) => { p.platform.isProcessor = true; } });
    add(b.tee, `good ${kind} of the processor CA`, processor.files, accepted());
  }
  const each = (rows, stage) => {
    for (const [text, hook, outcome, where = FAMILIES] of rows)
      for (const kind of where) {
        const b = intelCase(pki, kind, { [stage]: hook });
        add(b.tee, `${text}, ${kind}`, b.files, typeof outcome === "string" ? refused(outcome) : outcome);
      }
  };
  each(onQuote, "quote");
  each(onQe, "qe");
  each(onIdentity, "bodies");
  certification(add, pki);
  tds(add, pki);
  enclaves(add, pki);
  return list;
}
