// Row G: SEV-SNP reports, their chains, what a guest's policy and its platform say, and the host's certificate table.
import { hex, int, ia5 } from "./der.mjs";
import { ecKey } from "./keys.mjs";
import { collect, genuine, refused, verified } from "./cases.mjs";
import { amdCase, amdList, certTable, field, leafExtensions, products, signReport, tcbBytes } from "./amd.mjs";
import { dates } from "./intel.mjs";
import { certificate, extension } from "./x509.mjs";

const { NOW, FROM, TO } = dates;
const BEFORE = "2026-06-15T11:59:59Z", AFTER = "2026-06-15T12:00:01Z", OID = "1.3.6.1.4.1.3704.1";
const MILAN = { product: "Milan", version: 2 }, GENOA = { product: "Genoa", version: 3 }, TURIN = { product: "Turin", version: 5 };
const FAMILIES = [MILAN, GENOA, TURIN];

const setBits = (bits) => (b) => b.report.writeBigUInt64LE(b.report.readBigUInt64LE(field.policy) | bits, field.policy);
const put = (where, ...bytes) => (b) => Buffer.from(bytes).copy(b.report, where);
const after = (where) => (b) => { b.report[where] ^= 1; };

// Before the report is signed.
const onReport = [
  ...[0, 1, 6, 255].map((v) => [`G1 report version ${v}`, (b) => b.report.writeUInt32LE(v, 0), "snp_version"]), ["G1 signature algorithm 2", put(field.algorithm, 2), refused("quote_keytype")],
  ...[["4C", 0x4c], ["18B", 0x18b], ["1EB", 0x1eb], ["1EF", 0x1ef], ["208", 0x208], ["29F", 0x29f]].map(([name, where]) => [`G1 reserved byte at ${name}`, put(where, 1), "snp_format"]),
  ["G6 reported TCB is not the certificate's", (b) => { b.report[field.reportedTcb + 7] += 1; }, "tcb_cert_mismatch"], ["G6 boot loader alone differs", (b) => { b.report[field.reportedTcb + (b.product === "Turin" ? 1 : 0)] += 1; }, "tcb_cert_mismatch"],
  ["G6 current TCB is another (ok)", (b) => { b.report[field.currentTcb + 7] += 1; }, verified()],
  ["G5 chip of another certificate", (b) => { b.report[field.chipId] ^= 1; }, "chip_id"], ["G5 chip hidden", (b) => { b.report.fill(0, field.chipId, field.committedTcb); }, genuine("Verified", [], "chip_id", "ChipIdMismatch")], ["G5 mask bit", (b) => { b.report[field.keyInfo] |= 2; }, genuine("Verified", [], "chip_id", "ChipIdMismatch")],
  ["G7 current TCB below the committed", (b) => { b.report[field.currentTcb + 7] -= 1; }, genuine("Verified", [], "tcb_status")], ["G9 ABI newer than the firmware's", (b) => b.report.writeUInt16LE(0x0138, field.policy), genuine("Verified", [], "snp_policy")],
  ["G9 ABI as new as the firmware's (ok)", (b) => b.report.writeUInt16LE(0x0137, field.policy), verified()],
  ["G4 report names a VLEK, the certificate is a VCEK", put(field.keyInfo, 4), "key_kind"], ["G4 report signed by no key", put(field.keyInfo, 7 << 2), "key_kind"],
  ["G9 DEBUG", setBits(1n << 19n), genuine("Verified", [], "td_debug", "DebugNotAllowed", { debug: true })], ["G9 migration agent", setBits(1n << 18n), genuine("Verified", [], "snp_policy")],
  ["G9 bit 17 is zero", (b) => b.report.writeBigUInt64LE(0x10000n, field.policy), "snp_policy"], ["G9 single socket (ok)", setBits(1n << 20n), verified()],
  ...[1, 2, 3, 4, 0xffffffff].map((level) => [`G11 VMPL ${level}`, (b) => b.report.writeUInt32LE(level, field.vmpl), genuine("Verified", [], "snp_vmpl")]),
  ["G10 unknown bit of PLATFORM_INFO (ok)", (b) => { b.report[field.platformInfo] |= 0x40; }, verified()],
];

// Of the finished report.
const onSigned = [
  ["G2 bit of the version", after(4), "snp_sig"], ["G2 bit of the report data", after(field.reportData), "snp_sig"], ["G2 bit of the measurement", after(field.measurement), "snp_sig"], ["G2 bit of the host data", after(field.hostData), "snp_sig"],
  ["G2 bit of r", after(field.signature), "snp_sig"], ["G2 bit of s", after(field.signature + 72), "snp_sig"], ["G2 r longer than its curve", (b) => { b.report[field.signature + 48] = 1; }, "snp_sig"], ["G2 s longer than its curve", (b) => { b.report[field.signature + 72 + 71] = 1; }, "snp_sig"],
  ["G2 r and s are zero", (b) => b.report.fill(0, field.signature), "snp_sig"], ["G2 r big-endian", (b) => { b.report.subarray(field.signature, field.signature + 48).reverse(); }, "snp_sig"],
  ["G2 signed by another VCEK", (b) => signReport(ecKey("another vcek", "p384"), b.report), "snp_sig"], ["G1 bytes behind the signature", (b) => { b.report[1183] = 1; }, "snp_format"],
  ["G1 report one byte short", (b) => { b.report = b.report.subarray(0, 1183); }, "snp_format"], ["G1 half a report", (b) => { b.report = b.report.subarray(0, 592); }, "snp_format"],
];

const chainOf = (b, product) => { const p = b.all[product]; return { "ask.pem": p.ask.pem, "ark.pem": p.ark.pem }; };
const replaceSpl = (id, value) => (b) => { b.leafSpec.extensions = b.leafSpec.extensions.map((e) => (e.equals(extension(`${OID}.${id}`, int(b.certTcb[value]))) ? Buffer.alloc(0) : e)); };
const other = (product) => ({ Milan: "Genoa", Genoa: "Turin", Turin: "Milan" })[product];
const middle = (b, spec) => certificate({ cn: `SEV-${b.product}`, key: b.pki.ask.key, issuer: b.pki.ark, isCa: true, pathLength: 0, from: FROM, to: TO, ...spec });

// Before the leaf is issued.
const onLeaf = [
  ["G3 leaf expired", (b) => { b.leafSpec.to = BEFORE; }, refused("chain_time", "CertExpired")], ["G3 leaf in its last second (ok)", (b) => { b.leafSpec.to = NOW; }, verified()], ["G3 leaf not yet valid", (b) => { b.leafSpec.from = AFTER; }, refused("chain_time", "CertNotYetValid")],
  ["G3 leaf is a CA", (b) => { b.leafSpec.isCa = true; }, "collateral_missing"], ["G3 leaf of P-256", (b) => { b.leafSpec.key = ecKey("vcek of p256"); }, "chain_profile"],
  ["G3 leaf issued by the root", (b) => { b.leafSpec.issuer = b.pki.ark; }, "chain_shape"], ["G3 ASK expired", (b) => { b.leafSpec.issuer = middle(b, { to: BEFORE }); }, refused("chain_time", "CertExpired")],
  ["G3 ASK is no CA", (b) => { b.leafSpec.issuer = middle(b, { isCa: false }); }, "chain_usage"], ["G3 ASK on P-384", (b) => { b.leafSpec.issuer = middle(b, { key: ecKey("p384 ask", "p384") }); }, "chain_profile"],
  ["G6 no boot loader in the certificate", replaceSpl("3.1", "bootLoader"), "tcb_cert_mismatch"], ["G6 no microcode in the certificate", replaceSpl("3.8", "microcode"), "tcb_cert_mismatch"],
  ["G5 chip id in an OCTET STRING (ok)", (b) => { b.wrapsHwid = true; b.leafSpec.extensions = leafExtensions(b); }, verified()], ["G5 chip id one byte short", (b) => { b.hwid = b.hwid.subarray(1); b.leafSpec.extensions = leafExtensions(b); b.hwid = Buffer.concat([hex("00"), b.hwid]); }, "chip_id"],
  ["G3 certificate names no product", (b) => { b.leafSpec.extensions.splice(1, 1); }, "snp_product"], ["G3 certificate of another product", (b) => { b.leafSpec.extensions[1] = extension(`${OID}.2`, ia5(other(b.product))); }, "snp_product"],
  ["G17 certificate of another stepping (ok)", (b) => { b.leafSpec.extensions[1] = extension(`${OID}.2`, ia5(`${b.product}-C1`)); }, verified()],
];

const onFiles = [
  ["G3 ARK of another product", (b) => { b.files["ark.pem"] = b.all[other(b.product)].ark.pem; }, refused("chain_shape")], ["G3 chain of another product", (b) => Object.assign(b.files, chainOf(b, other(b.product))), refused("chain_shape")],
  ["G3 ARK missing", (b) => { delete b.files["ark.pem"]; }, refused("chain_root", "CollateralMissing")], ["G3 ASK missing", (b) => { delete b.files["ask.pem"]; }, "collateral_missing"], ["G3 leaf missing", (b) => { delete b.files["vcek.der"]; }, "collateral_missing"],
  ["G3 root that nobody trusts", (b) => { b.files["trust_root.pem"] = b.all[other(b.product)].ark.pem; }, "chain_root"], ["G3 leaf changed", (b) => { b.files["vcek.der"] = Buffer.from(b.leaf.der); b.files["vcek.der"][b.leaf.der.length - 1] ^= 1; }, "chain_sig"],
  ["G15 list that names nobody (ok)", (b) => { b.files["crl.der"] = amdList(b); }, verified()], ["G15 list expired", (b) => { b.files["crl.der"] = amdList(b, { to: BEFORE }); }, refused("crl_time", "CrlExpired")],
  ["G15 list in the future", (b) => { b.files["crl.der"] = amdList(b, { from: AFTER }); }, refused("crl_time", "CrlNotYetValid")], ["G15 list of another root", (b) => { b.files["crl.der"] = amdList(b, { issuer: b.all[other(b.product)].ark }); }, "crl_issuer"],
  ["G15 list by another key", (b) => { b.files["crl.der"] = amdList(b, { key: b.pki.ask.key }); }, "crl_issuer"], ["G15 VCEK revoked", (b) => { b.files["crl.der"] = amdList(b, { revoked: [b.leaf] }); }, "ca_revoked"],
  ["G15 ASK revoked", (b) => { b.files["crl.der"] = amdList(b, { revoked: [b.pki.ask] }); }, "ca_revoked"], ["G15 another certificate revoked (ok)", (b) => { b.files["crl.der"] = amdList(b, { revoked: [b.pki.ark] }); }, verified()], ["G15 list is HTML", (b) => { b.files["crl.der"] = "<html></html>"; }, "crl_missing"],
];

const policyOf = (b, more, measurement = {}) => ({ type: "redoubt/policy/v1", simulated: true, debug: false, tees: ["snp"], tcb: ["UpToDate"], max_collateral_age_s: 604800,
  measurements: [{ measurement: b.report.subarray(field.measurement, field.measurement + 48).toString("hex"), ...measurement }], ...more });

function policies(add, pki, spec) {
  const name = `${spec.product} v${spec.version}`;
  const run = (what, policy, expect, hooks) => {
    const b = amdCase(pki, spec, hooks);
    add("snp", `${what}, ${name}`, b.files, typeof expect === "string" ? genuine("Verified", [], expect, "PolicyViolation") : expect, { policy: policy(b) });
  };
  const minTcb = (change) => (b) => { const { fmc, bootLoader, tee, snp, microcode } = { ...b.tcb, ...change(b.tcb) };
    return policyOf(b, { snp: { min_tcb: { [b.product]: { boot_loader: bootLoader, ...(b.product === "Turin" ? { fmc } : {}), microcode, snp, tee } } } }); };
  run("G7 TCB exactly at the lowest (ok)", minTcb(() => ({})), verified());
  for (const part of ["bootLoader", "tee", "snp", "microcode", ...(spec.product === "Turin" ? ["fmc"] : [])])
    run(`G8 ${part} alone below the lowest`, minTcb((t) => ({ bootLoader: 0, tee: 0, snp: 0, microcode: 0, fmc: 0, [part]: t[part] + 1 })), "tcb_status");
  run("G7 committed TCB below the lowest", minTcb(() => ({})), "tcb_status", { report: (b) => tcbBytes(b.product, { ...b.tcb, snp: 1 }).copy(b.report, field.committedTcb) });
  run("G12 measurement on the list (ok)", (b) => policyOf(b), verified());
  run("G12 measurement not on the list", (b) => ({ ...policyOf(b), measurements: [{ measurement: "ab".repeat(48) }] }), "attest_measurement");
  const bytes = (b, where, size) => b.report.subarray(where, where + size).toString("hex");
  // R5: on SNP the launch pins what may run, as there is no register.
  run("G13 host data as the policy says (ok)", (b) => policyOf(b, {}, { host_data: bytes(b, field.hostData, 32) }), verified());
  run("G13 host data not the policy's", (b) => policyOf(b, {}, { host_data: "ab".repeat(32) }), "attest_measurement");
  run("G13 no ID block where one is asked for", (b) => policyOf(b, {}, { id_key_digest: "ab".repeat(48) }), "attest_measurement");
  run("G13 author key not the policy's", (b) => policyOf(b, {}, { author_key_digest: "ab".repeat(48) }), "attest_measurement", { report: put(field.authorKey, 1) });
  run("G14 guest SVN exactly at the lowest (ok)", (b) => policyOf(b, {}, { guest_svn_min: 2 }), verified());
  run("G14 guest SVN below the lowest", (b) => policyOf(b, {}, { guest_svn_min: 3 }), "attest_measurement");
  run("G11 VMPL 1 that the policy allows (ok)", (b) => policyOf(b, { snp: { max_vmpl: 1 } }), verified(), { report: put(field.vmpl, 1) });
  run("G9 migration agent that the policy allows (ok)", (b) => policyOf(b, { snp: { migration_agent: true } }), verified(), { report: setBits(1n << 18n) });
  run("G5 chip hidden, which the policy allows (ok)", (b) => policyOf(b, { snp: { masked_chip: true } }), verified(), { report: (b) => b.report.fill(0, field.chipId, field.committedTcb) });
  for (const [bit, name] of [[16n, "smt"], [20n, "single_socket"], [21n, "cxl"], [24n, "ciphertext_hiding"]]) {
    run(`G9 ${name} that the policy refuses`, (b) => policyOf(b, { snp: { guest_policy: { refuse: [name] } } }), "snp_policy", { report: setBits(1n << bit) });
    if (bit !== 16n) run(`G9 ${name} that the policy requires, missing`, (b) => policyOf(b, { snp: { guest_policy: { require: [name] } } }), "snp_policy");
    run(`G9 ${name} that the policy requires (ok)`, (b) => policyOf(b, { snp: { guest_policy: { require: [name] } } }), verified(), { report: setBits(1n << bit) });
  }
  run("G10 SMT that the policy refuses", (b) => policyOf(b, { snp: { platform_info: { refuse: ["smt"] } } }), "snp_platform");
  run("G10 alias check that the policy requires (ok)", (b) => policyOf(b, { snp: { platform_info: { require: ["alias_check"] } } }), verified());
  run("G10 alias check that the policy requires, incomplete", (b) => policyOf(b, { snp: { platform_info: { require: ["alias_check"] } } }), "snp_platform", { report: (b) => { b.report[field.platformInfo] &= ~0x20; } });
  run("G13 ID block asked for and missing", (b) => policyOf(b, { snp: { id_block: true } }), "snp_id");
  run("G13 ID block asked for (ok)", (b) => policyOf(b, { snp: { id_block: true } }), verified(), { report: put(field.idKey, 1) });
  run("G13 image id not the policy's", (b) => policyOf(b, {}, { image_id: "00".repeat(16) }), "attest_measurement", { report: put(field.imageId, 1) });
  run("G5 chip not on the list", (b) => policyOf(b, { platforms: ["cd".repeat(32)] }), "policy_platform");
}

function tables(add, pki) {
  const make = (change = (t) => t) => {
    const b = amdCase(pki, MILAN);
    const parts = { vcek: b.leaf.der, ask: b.leafSpec.issuer.der, ark: b.pki.ark.der };
    return { b, table: change(certTable(parts), parts) };
  };
  const beside = (what, change, expect) => {
    const { b, table } = make(change);
    add("snp", `${what}, beside the report`, { outblob: b.report, auxblob: table, "trust_root.pem": b.files["trust_root.pem"] }, expect);
    add("snp", `${what}, behind the report`, { "report.bin": Buffer.concat([b.report, table]), "trust_root.pem": b.files["trust_root.pem"] }, expect);
  };
  const edit = (f) => (t) => { f(t); return t; };
  beside("G17 certificate table (ok)", undefined, verified());
  beside("G17 range behind the table's end", edit((t) => t.writeUInt32LE(t.length, 16)), refused("snp_certtable"));
  beside("G17 length of 4 GiB", edit((t) => t.writeUInt32LE(0xffffffff, 20)), refused("snp_certtable"));
  beside("G17 range over the entries", edit((t) => t.writeUInt32LE(8, 16)), refused("snp_certtable"));
  beside("G17 two ranges over each other", edit((t) => t.writeUInt32LE(t.readUInt32LE(16), 40)), refused("snp_certtable"));
  beside("G17 unknown GUID", (_, parts) => certTable({ ...parts, unknown: Buffer.from("x") }), refused("snp_certtable"));
  beside("G17 certificate twice", edit((t) => t.copy(t, 24, 0, 16)), refused("snp_certtable"));
  beside("G17 table without an end", (_, parts) => certTable(parts).subarray(0, 72), refused("snp_certtable"));
  beside("G17 table without the leaf", (_, { ask, ark }) => certTable({ ask, ark }), refused("collateral_missing"));
}

export function amdCases(pki) {
  const { list, add } = collect();
  const nameOf = ({ product, version, isVlek }) => `${product} v${version}${isVlek ? " VLEK" : ""}`;
  for (const product of Object.keys(products))
    for (const version of [2, 3, 4, 5])
      for (const isVlek of [false, true]) add("snp", `good ${nameOf({ product, version, isVlek })}`, amdCase(pki, { product, version, isVlek }).files, verified());
  const each = (rows, stage) => {
    for (const [what, hook, outcome] of rows)
      for (const spec of FAMILIES) {
        if (/18B/.test(what) && spec.version < 3) continue;
        add("snp", `${what}, ${nameOf(spec)}`, amdCase(pki, spec, { [stage]: hook }).files, typeof outcome === "string" ? refused(outcome) : outcome);
      }
  };
  each(onReport, "report");
  each(onSigned, "signed");
  each(onLeaf, "leaf");
  each(onFiles, "files");
  for (const spec of FAMILIES) {
    policies(add, pki, spec);
    const vlek = { ...spec, isVlek: true };
    add("snp", `G4 VLEK where a VCEK is asked for, ${nameOf(spec)}`, amdCase(pki, vlek).files, genuine("Verified", [], "key_kind", "SigningKeyNotAllowed"), { flags: ["--require-vcek"] });
    add("snp", `G4 report names a VCEK, the certificate is a VLEK, ${nameOf(spec)}`, amdCase(pki, vlek, { report: put(field.keyInfo, 0) }).files, refused("key_kind"));
    add("snp", `G3 another product is asked for, ${nameOf(spec)}`, amdCase(pki, spec).files, refused("snp_product"), { flags: ["--product", other(spec.product)] });
  }
  for (const spec of [GENOA, TURIN]) {
    add("snp", `G3 CPU of another product, ${nameOf(spec)}`, amdCase(pki, spec, { report: put(field.cpuid, 0x19, 0x01) }).files, refused("snp_product"));
    add("snp", `G3 CPU that nobody knows, ${nameOf(spec)}`, amdCase(pki, spec, { report: put(field.cpuid, 0x1b, 0x01) }).files, refused("snp_product"));
  }
  add("snp", "G3 Siena is a Genoa (ok)", amdCase(pki, GENOA, { report: put(field.cpuid, 0x19, 0xa0) }).files, verified());
  add("snp", "G8 no FMC in the certificate, Turin", amdCase(pki, TURIN, { leaf: replaceSpl("3.9", "fmc") }).files, refused("tcb_cert_mismatch"));
  add("snp", "G5 chip id with bytes behind its eight, Turin", amdCase(pki, TURIN, { report: put(field.chipId + 8, 1) }).files, refused("chip_id"));
  add("snp", "G1 mitigation vector in version 3", amdCase(pki, GENOA, { report: put(field.launchMit, 1) }).files, refused("snp_format"));
  add("snp", "G1 mitigation vector in version 5 (ok)", amdCase(pki, TURIN, { report: put(field.launchMit, 1) }).files, verified());
  add("snp", "bare report, nobody vouches", { "report.bin": amdCase(pki, MILAN).report, "trust_root.pem": pki.Milan.ark.pem }, { ...refused("collateral_missing", null), verdict: "ParseOnly" });
  tables(add, pki);
  return list;
}
