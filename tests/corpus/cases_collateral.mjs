// Rows C and D: certificates, revocation lists, TCB info, identities, and the states that they give.
import { bits, bool, hex, int, oid, octets, seq, tlv } from "./der.mjs";
import { ecKey, rsaKey } from "./keys.mjs";
import { accepted, collect, genuine, refused } from "./cases.mjs";
import { authority, dates, intelCase, intelPki, issuePck, isvLevel, level, relist, signBody, td } from "./intel.mjs";
import { algorithms, certificate, extension } from "./x509.mjs";

const { NOW, ISSUED, NEXT, FROM, TO } = dates;
const BEFORE = "2026-06-15T11:59:59Z", AFTER = "2026-06-15T12:00:01Z", ARC = "1.2.840.113741.1.13.1";
const early = "CertNotYetValid", late = "CertExpired";

// --- C: the PCK chain ---

const relinked = (b, spec) => { b.chain[0] = issuePck(b, spec); };
// The platform CA again, as spec wants it, with the leaf under it.
function otherCa(b, spec = {}, leaf = {}) {
  const ca = authority(spec.cn ?? "Intel SGX PCK Platform CA", { issuer: b.pki.root, pathLength: 0, ...spec, key: spec.key ?? b.pki.platform.key });
  b.chain = [issuePck(b, { issuer: ca, ...leaf }), ca, b.pki.root];
  return ca;
}
const flipSignature = (index) => (b) => {
  const der = Buffer.from(b.chain[index].der);
  der[der.length - 1] ^= 1;
  b.chain[index] = { pem: `-----BEGIN CERTIFICATE-----\n${der.toString("base64").replace(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n` };
};
const impostor = (b) => {
  const root = authority("Intel SGX Root CA", { pathLength: 1, key: ecKey("impostor root") });
  const ca = authority("Intel SGX PCK Platform CA", { issuer: root, pathLength: 0, key: ecKey("impostor ca") });
  b.chain = [issuePck(b, { issuer: ca }), ca, root];
};
const oneCaMore = (b) => {
  const extra = authority("Intel SGX Extra CA", { issuer: b.pki.root });
  const ca = authority("Intel SGX PCK Platform CA", { issuer: extra, pathLength: 0, key: b.pki.platform.key });
  b.chain = [issuePck(b, { issuer: ca }), ca, extra, b.pki.root];
};

const onChain = [
  ["C1 no certificate", (b) => { b.chain = []; }, "chain_shape"], ["C1 leaf alone", (b) => { b.chain = [b.chain[0]]; }, "chain_shape"], ["C1 two certificates", (b) => { b.chain.pop(); }, "chain_shape"],
  ["C1 root twice", (b) => { b.chain.push(b.chain[2]); }, "chain_shape"], ["C1 leaf twice", (b) => { b.chain = [b.chain[0], b.chain[0], b.chain[1]]; }, "chain_shape"],
  ["C1 other order (ok)", (b) => { b.chain = [b.chain[0], b.chain[2], b.chain[1]]; }, accepted()], ["C1 root first (ok)", (b) => { b.chain.reverse(); }, accepted()],
  ["C2 impostor root", impostor, "chain_root"],
  ["C3 leaf signature", flipSignature(0), "chain_sig"], ["C3 intermediate signature", flipSignature(1), "chain_sig"], ["C3 root signature", flipSignature(2), "chain_root"],
  ["C4 leaf expired", (b) => relinked(b, { to: BEFORE }), refused("chain_time", late)], ["C4 last second of the leaf (ok)", (b) => relinked(b, { to: NOW }), accepted()],
  ["C4 leaf not yet valid", (b) => relinked(b, { from: AFTER }), refused("chain_time", early)], ["C4 first second of the leaf (ok)", (b) => relinked(b, { from: NOW }), accepted()],
  ["C4 intermediate expired", (b) => otherCa(b, { to: BEFORE }), refused("chain_time", late)], ["C4 intermediate not yet valid", (b) => otherCa(b, { from: AFTER }), refused("chain_time", early)],
  ["C5 intermediate is no CA", (b) => otherCa(b, { isCa: false }), "chain_usage"], ["C5 intermediate may not sign certificates", (b) => otherCa(b, { usage: bits(hex("02"), 1) }), "chain_usage"],
  ["C5 one CA more", oneCaMore, "chain_shape"], ["C5 CA as leaf", (b) => relinked(b, { isCa: true }), "chain_usage"],
  ["C6 leaf of another name", (b) => relinked(b, { cn: "Something Else" }), "chain_profile"], ["C6 CA of another name", (b) => otherCa(b, { cn: "Intel SGX Other CA" }), "chain_profile"],
  ["C6 issuer is named otherwise", (b) => relinked(b, { issuerName: b.pki.root.name }), "chain_sig"], ["C6 leaf key on P-384", (b) => relinked(b, { key: ecKey("p384 leaf", "p384") }), "chain_profile"],
  ["C6 leaf key is RSA", (b) => relinked(b, { key: rsaKey("ask") }), "chain_profile"], ["C6 CA key is RSA", (b) => otherCa(b, { key: rsaKey("ask") }), "chain_profile"],
  ["C6 leaf that names another algorithm behind it", (b) => relinked(b, { algorithm: algorithms.p384 }), "chain_profile"],
  ["C6 leaf of X.509 version 1", (b) => relinked(b, { version: 1 }), "chain_profile"],
  ["C6 unknown critical extension", (b) => relinked(b, { extensions: [extension(ARC, seq(...Object.values(b.entries))), extension("1.2.3.4.5", octets(hex("00")), true)] }), "chain_profile"],
  ["C7 no SGX extension", (b) => relinked(b, { extensions: [] }), "pck_ext"], ["C7 SGX extension twice", (b) => relinked(b, { extensions: [0, 1].map(() => extension(ARC, seq(...Object.values(b.entries)))) }), "x509_format"],
  ["C7 bytes behind the extension", (b) => relinked(b, { extensions: [extension(ARC, Buffer.concat([seq(...Object.values(b.entries)), hex("00")]))] }), "pck_ext"],
  ["C8 unknown PCK CA", (b) => otherCa(b, { cn: "Intel SGX PCK Server CA" }), "chain_profile"],
  ["C9 DER nested 40 deep", (b) => relinked(b, { name: Array.from({ length: 40 }).reduce((inner) => seq(inner), int(1)) }), "der_limit"],
  ["C9 sequence of 3000 elements", (b) => relinked(b, { name: seq(...Array.from({ length: 3000 }, () => int(1))) }), "der_limit"],
  ["C9 extension of 3000 elements", (b) => relinked(b, { extensions: [extension(ARC, seq(...Array.from({ length: 3000 }, () => int(1))))] }), "pck_ext"],
  ["C9 length without an end", (b) => relinked(b, { name: tlv(0x30, hex("3180")) }), "x509_format"],
];

const double = (name, as) => (b) => { b.entries[name] = b.entries[as]; };
const entryOf = (id, value) => seq(oid(`${ARC}.${id}`), value);
const onEntries = [
  ...["ppid", "tcb", "pceId", "fmspc", "type", "piid"].map((name) => [`C7 ${name} missing`, (b) => { delete b.entries[name]; }, "pck_ext"]),
  ["C7 FMSPC doubled", double("pceId", "fmspc"), "pck_ext"], ["C7 entry of a foreign arc", (b) => { b.entries.pceId = seq(oid("1.2.840.113741.1.99.1.3"), octets(hex("0000"))); }, "pck_ext"],
  ["C7 FMSPC of 5 bytes", (b) => { b.entries.fmspc = entryOf("4", octets(hex("90c06f00ff"))); }, "pck_ext"], ["C7 PCE id of 3 bytes", (b) => { b.entries.pceId = entryOf("3", octets(hex("000000"))); }, "pck_ext"],
  ["C7 without configuration (ok)", (b) => { delete b.entries.configuration; }, accepted()], ["C7 entries in another order (ok)", (b) => { b.entries = Object.fromEntries(Object.entries(b.entries).reverse()); }, accepted()],
];
const onPlatform = [
  ["C7 SVN of 300", (b) => { b.platform.sgx[3] = 300; }, "pck_ext"],
  ["C7 SVN over 127 and PCE SVN over 255 (ok)", (b) => { b.platform.sgx[3] = 219; b.platform.pceSvn = 300; }, accepted()],
  ["C7 CPUSVN of 15 bytes", (b) => { b.platform.cpuSvn = b.platform.cpuSvn.subarray(1); }, "pck_ext"],
];

// --- C: revocation lists ---

const hexText = (b, file) => Buffer.from(b.files[file]).toString("hex");
const pemText = (b, file) => `-----BEGIN X509 CRL-----\n${Buffer.from(b.files[file]).toString("base64").replace(/.{1,64}/g, "$&\n")}-----END X509 CRL-----\n`;
const PCK = "pck_crl.der", ROOT = "root_ca_crl.der";
const onLists = [
  ["C10 PCK revoked", (b) => relist(b, PCK, { revoked: [b.chain[0]] }), "pck_revoked"], ["C10 another PCK revoked (ok)", (b) => relist(b, PCK, { revoked: [b.pki.signing] }), accepted()],
  ["C10 PCK revoked, last of 5000", (b) => relist(b, PCK, { revoked: [b.chain[0]], count: 5000 }), "pck_revoked"], ["C10 list of 5000 others (ok)", (b) => relist(b, PCK, { count: 5000 }), accepted()],
  ["C11 intermediate revoked", (b) => relist(b, ROOT, { revoked: [b.pki.platform] }), "ca_revoked"], ["C11 TCB signer revoked", (b) => relist(b, ROOT, { revoked: [b.pki.signing] }), "ca_revoked"],
  ["C11 the other PCK CA revoked (ok)", (b) => relist(b, ROOT, { revoked: [b.pki.processor] }), accepted()],
  ...[["PCK list", PCK], ["root list", ROOT]].flatMap(([what, file]) => [
    [`C12 ${what} expired`, (b) => relist(b, file, { to: BEFORE }), refused("crl_time", "CrlExpired")], [`C12 last second of the ${what} (ok)`, (b) => relist(b, file, { to: NOW }), accepted()],
    [`C12 ${what} without an end`, (b) => relist(b, file, { to: null }), refused("crl_time", "CrlExpired")], [`C12 ${what} in the future`, (b) => relist(b, file, { from: AFTER }), refused("crl_time", "CrlNotYetValid")],
    [`C13 ${what} by another key`, (b) => relist(b, file, { key: ecKey("another") }), "crl_issuer"],
    [`C13 ${what} with an unknown critical extension`, (b) => relist(b, file, { extensions: [extension("1.2.3.4.5", octets(hex("00")), true)] }), "crl_format"],
    [`C13 ${what} is a delta list`, (b) => relist(b, file, { extensions: [extension("2.5.29.27", int(1), true)] }), "crl_format"],
    [`C13 ${what} that names another algorithm behind it`, (b) => relist(b, file, { algorithm: algorithms.p384 }), "crl_format"],
    [`C14 ${what} missing`, (b) => { delete b.files[file]; }, "crl_missing"], [`C14 ${what} empty`, (b) => { b.files[file] = ""; }, "crl_missing"], [`C14 ${what} is HTML`, (b) => { b.files[file] = "<html><body>404</body></html>"; }, "crl_missing"],
    [`C16 ${what} changed on the way`, (b) => { b.files[file] = Buffer.from(b.files[file]); b.files[file][b.files[file].length - 4] ^= 1; }, "crl_issuer"],
    [`A16 ${what} in hex (ok)`, (b) => { b.files[file] = hexText(b, file); }, accepted()], [`A16 ${what} in PEM (ok)`, (b) => { b.files[file] = pemText(b, file); }, accepted()],
    [`A16 ${what} in hex of odd length`, (b) => { b.files[file] = hexText(b, file).slice(0, -1); }, "crl_format"], [`A16 ${what} in hex of hex`, (b) => { b.files[file] = Buffer.from(hexText(b, file)).toString("hex"); }, "crl_format"],
    [`A16 ${what} in hex with a letter beyond f`, (b) => { b.files[file] = hexText(b, file).replace("a", "g"); }, "crl_format"],
  ]),
  ["C13 processor list for a platform leaf", (b) => relist(b, PCK, { issuer: b.pki.processor }), "crl_issuer"], ["C13 root list in the place of the PCK list", (b) => { b.files[PCK] = b.files[ROOT]; }, "crl_issuer"],
];

// --- D: TCB info and identity ---

const info = (change) => (b) => change(b.tcbInfo, b), identity = (change) => (b) => change(b.qeIdentity, b);
const set = (name, value) => (object) => { object[name] = value; };
const without = (name) => (object) => { delete object[name]; };

const onBodies = [
  ...["version", "issueDate", "nextUpdate", "fmspc", "pceId", "tcbType", "tcbEvaluationDataNumber", "tcbLevels", "id"].map((name) => [`D1 TCB info without ${name}`, info(without(name)), "collateral_format"]),
  ...["id", "version", "issueDate", "nextUpdate", "miscselect", "attributes", "isvprodid", "tcbLevels"].map((name) => [`D1 identity without ${name}`, identity(without(name)), "collateral_format"]),
  ["D1 NaN date", info(set("issueDate", "2026-NaN-10T00:00:00Z")), "collateral_format"], ["D1 31 April", info(set("issueDate", "2026-04-31T00:00:00Z")), "collateral_format"],
  ["D1 29 February 2100", info(set("nextUpdate", "2100-02-29T00:00:00Z")), "collateral_format"], ["D1 28 February 2100 (ok)", info(set("nextUpdate", "2100-02-28T00:00:00Z")), accepted()],
  ["D1 unknown member (ok)", info(set("novel", [1])), accepted()], ["D1 level without status", info((i) => { delete i.tcbLevels[0].tcbStatus; }), "collateral_format"], ["D1 level without date", info((i) => { delete i.tcbLevels[1].tcbDate; }), "collateral_format"],
  ["D1 levels without advisories (ok)", info((i) => { delete i.tcbLevels[1].advisoryIDs; }), accepted()], ["D1 129 levels", info((i) => { i.tcbLevels = Array(129).fill(i.tcbLevels[0]); }), "collateral_format"],
  ["D4 TCB info expired", info(set("nextUpdate", BEFORE)), refused("collateral_time", "TcbInfoExpired")], ["D4 TCB info in its last second (ok)", info(set("nextUpdate", NOW)), accepted()],
  ["D4 TCB info in the future", info(set("issueDate", AFTER)), refused("collateral_time", "TcbInfoNotYetValid")], ["D4 TCB info in its first second (ok)", info(set("issueDate", NOW)), accepted()],
  ["D4 identity expired", identity(set("nextUpdate", BEFORE)), refused("collateral_time", "QeIdentityExpired")], ["D4 identity in the future", identity(set("issueDate", AFTER)), refused("collateral_time", "QeIdentityNotYetValid")],
  ["D4 identity in its last second (ok)", identity(set("nextUpdate", NOW)), accepted()],
  ["D7 other FMSPC", info(set("fmspc", "90c06f00ff03")), "tcb_mismatch"], ["D7 FMSPC in upper case (ok)", info(set("fmspc", "90C06F00FF02")), accepted()], ["D7 other PCE id", info(set("pceId", "0001")), "tcb_mismatch"],
  ["D8 unknown id", info(set("id", "SEV")), "tcb_mismatch"], ["D8 version 4", info(set("version", 4)), "tcb_mismatch"], ["D8 version 1", info(set("version", 1)), "tcb_mismatch"], ["D8 unknown tcbType", info(set("tcbType", 1)), "tcb_mismatch"],
  ...[0, 15, 17].map((n) => [`D9 ${n} components`, info((i) => { i.tcbLevels[1].tcb.sgxtcbcomponents = Array(n).fill({ svn: 0 }); }), "tcb_components"]),
  ["D9 component of 256", info((i) => { i.tcbLevels[0].tcb.sgxtcbcomponents[0].svn = 256; }), "collateral_format"], ["D9 component is text", info((i) => { i.tcbLevels[0].tcb.sgxtcbcomponents[0].svn = "5"; }), "collateral_format"],
  ["D9 negative component", info((i) => { i.tcbLevels[0].tcb.sgxtcbcomponents[0].svn = -1; }), "collateral_format"],
  ["D10 one component higher, others lower", info((i) => { const c = i.tcbLevels[0].tcb.sgxtcbcomponents; c[0].svn = 1; c[1].svn = 1; c[2].svn = 4; }), genuine("OutOfDate", ["INTEL-SA-00001", "INTEL-SA-00002"])],
  ["D10 PCE SVN alone higher", info((i) => { i.tcbLevels[0].tcb.pcesvn = 14; }), genuine("OutOfDate", ["INTEL-SA-00001", "INTEL-SA-00002"])],
  ["D11 no level matches", info((i) => { i.tcbLevels = i.tcbLevels.map((l) => ({ ...l, tcb: { ...l.tcb, pcesvn: 99 } })); }), "tcb_unsupported"], ["D11 no levels at all", info(set("tcbLevels", [])), "tcb_unsupported"],
  ["D12 SWHardeningNeeded (ok)", (b) => { b.tcbInfo.tcbLevels[0] = level(b, "SWHardeningNeeded", { advisories: ["INTEL-SA-00615"] }); }, accepted("SWHardeningNeeded", ["INTEL-SA-00615"])],
  ...["ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded", "OutOfDate", "OutOfDateConfigurationNeeded"].map((word) => [`D12 ${word}`, (b) => { b.tcbInfo.tcbLevels[0] = level(b, word, { advisories: ["INTEL-SA-00615"] }); }, genuine(word, ["INTEL-SA-00615"])]),
  ["D12 Revoked", (b) => { b.tcbInfo.tcbLevels[0] = level(b, "Revoked"); }, genuine("Revoked", [], "tcb_status", "TcbRevoked")],
  ...["TDRelaunchAdvised", "uptodate", "Fine", ""].map((word) => [`D12 word of no vendor ${word || "empty"}`, (b) => { b.tcbInfo.tcbLevels[0] = level(b, word); }, "collateral_format"]),
  ...[["ConfigurationNeeded", "OutOfDateConfigurationNeeded"], ["SWHardeningNeeded", "OutOfDate"], ["ConfigurationAndSWHardeningNeeded", "OutOfDateConfigurationNeeded"], ["OutOfDate", "OutOfDate"]].map(([platform, word]) =>
    [`D12 ${platform} with a QE out of date`, (b) => { b.tcbInfo.tcbLevels[0] = level(b, platform); b.qeIdentity.tcbLevels = [isvLevel(9, "UpToDate"), isvLevel(8, "OutOfDate", ["INTEL-SA-00004"])]; }, genuine(word, ["INTEL-SA-00004"])]),
  ["D14 UpToDate with advisories (ok)", (b) => { b.tcbInfo.tcbLevels[0] = level(b, "UpToDate", { advisories: ["INTEL-SA-00615", "INTEL-SA-00657"] }); }, accepted("UpToDate", ["INTEL-SA-00615", "INTEL-SA-00657"])],
];

const onTdxBodies = [
  ["D8 SGX TCB info for a TD", info(set("id", "SGX")), "tcb_mismatch"], ["D8 version 2 with TDX in it", info(set("version", 2)), "collateral_format"],
  ["D9 no TDX components", info((i) => { delete i.tcbLevels[0].tcb.tdxtcbcomponents; }), "tcb_components"], ["D9 15 TDX components", info((i) => { i.tcbLevels[0].tcb.tdxtcbcomponents.pop(); }), "tcb_components"],
  ["D1 TCB info without tdxModule", info(without("tdxModule")), "collateral_format"],
];

// TD report 1.5 says which module runs now: an old launch on a current platform wants a relaunch.
const relaunch = (status) => ({ body: (b) => { b.body[0] = 3; }, bodies: (b) => { b.tcbInfo.tcbLevels[0] = level(b, status); } });

const answers = {
  "tcb_info.json": ["TCB info", "tcbInfo"], "qe_identity.json": ["identity", "enclaveIdentity"],
};
const text = (b, file) => b.files[file].toString();
const onAnswers = Object.entries(answers).flatMap(([file, [what, member]]) => {
  const signature = file === "tcb_info.json" ? "TcbInfoSignature" : "QeIdentitySignature";
  const change = (f) => (b) => { b.files[file] = f(text(b, file), b); };
  return [
    [`D1 ${what} with a comma too many`, change((t) => t.replace(",", ",,")), refused("collateral_sig", signature)], [`D1 ${what} cut`, change((t) => t.slice(0, -1)), "collateral_format"], [`D1 ${what} followed by more JSON`, change((t) => `${t}{}`), "collateral_format"],
    [`D1 ${what} followed by a newline (ok)`, change((t) => `${t}\n`), accepted()], [`D1 ${what} with two bodies`, change((t) => t.replace("{", `{"${member}":{},`)), "collateral_format"],
    [`D1 ${what} with a member beside`, change((t) => t.replace("{", '{"more":1,')), "collateral_format"], [`D1 ${what} is an array`, change((t) => `[${t}]`), "collateral_format"], [`D1 ${what} is HTML`, change(() => "<html></html>"), "collateral_format"],
    [`D1 ${what} signed with a member twice`, (b) => { b.files[file] = signBody(b.signer.key, member, text(b, file).slice(member.length + 4, text(b, file).lastIndexOf(',"signature"')).replace("{", '{"version":2,')); }, "collateral_format"],
    [`D2 ${what} signature of zeros`, change((t) => t.replace(/"signature":"[^"]*"/, `"signature":"${"0".repeat(128)}"`)), refused("collateral_sig", signature)],
    [`D2 ${what} printed again`, change((t) => { const v = JSON.parse(t); return `{"${member}":${JSON.stringify(v[member], null, 1)},"signature":"${v.signature}"}`; }), refused("collateral_sig", signature)],
    [`D2 ${what} signature of 63 bytes`, change((t) => t.replace('"signature":"', '"signature":"').replace(/..("})$/, "$1")), "collateral_format"],
    [`D3 ${what} missing`, (b) => { delete b.files[file]; }, "collateral_missing"], [`D3 ${what} without issuer chain`, (b) => { delete b.files[file.replace(".json", "_issuer_chain.pem")]; }, "collateral_missing"],
  ];
});

// Whoever signs instead of the TCB signing certificate.
const signedBy = (b, signer, chain = [signer, b.pki.root]) => {
  b.files["tcb_info.json"] = signBody(signer.key, "tcbInfo", JSON.stringify(b.tcbInfo));
  b.files["tcb_info_issuer_chain.pem"] = chain.map((cert) => cert.pem).join("");
};
const signingSpec = (b, more) => certificate({ cn: "Intel SGX TCB Signing", key: ecKey("tcb signing"), issuer: b.pki.root, from: FROM, to: TO, ...more });
const onSigner = [
  ["D3 signed by the PCK CA", (b) => signedBy(b, b.pki.platform), "collateral_chain"], ["D3 signed by the root", (b) => signedBy(b, b.pki.root, [b.pki.root]), "collateral_chain"],
  ["D3 signed by the PCK certificate", (b) => signedBy(b, b.chain[0], b.chain), "collateral_chain"], ["D3 CA of the signer's name", (b) => signedBy(b, signingSpec(b, { isCa: true })), "chain_usage"],
  ["D3 signer under the PCK CA", (b) => { const s = signingSpec(b, { issuer: b.pki.platform }); signedBy(b, s, [s, b.pki.platform, b.pki.root]); }, "chain_shape"],
  ["D3 signer expired", (b) => signedBy(b, signingSpec(b, { to: BEFORE })), refused("chain_time", late)], ["D3 another signer of the same name (ok)", (b) => signedBy(b, signingSpec(b, { key: ecKey("second signing") })), accepted()],
  ["D3 signer of an impostor root", (b) => { const root = authority("Intel SGX Root CA", { pathLength: 1, key: ecKey("impostor root") }), s = signingSpec(b, { issuer: root }); signedBy(b, s, [s, root]); }, "chain_root"],
  ["D3 chain without its root (ok)", (b) => { b.files["tcb_info_issuer_chain.pem"] = b.pki.signing.pem; }, accepted()],
  ["D16 collateral of another platform", (b) => { b.files["tcb_info.json"] = signBody(b.signer.key, "tcbInfo", JSON.stringify({ ...b.tcbInfo, fmspc: "00906ed50000" })); }, "tcb_mismatch"],
];

const safe = (b, more) => ({ type: "redoubt/policy/v1", simulated: true, debug: false, tees: [b.tee], tcb: ["UpToDate"], max_collateral_age_s: 2592000,
  measurements: [b.tee === "tdx" ? { mrtd: b.body.subarray(td.mrtd, td.mrtd + 48).toString("hex") } : { mrenclave: b.body.subarray(64, 96).toString("hex") }], ...more });

function policies(add, pki) {
  const run = (what, more, expect, hooks = {}) => {
    const b = intelCase(pki, "tdx4", hooks);
    add("tdx", what, b.files, expect, { policy: safe(b, more) });
  };
  const no = (code) => genuine("UpToDate", [], code, "PolicyViolation");
  const old = { bodies: (b) => { b.tcbInfo.tcbLevels[0] = level(b, "OutOfDate", { advisories: ["INTEL-SA-00615"] }); } };
  run("D5 older than the policy allows", { max_collateral_age_s: 86400 }, no("collateral_age"));
  run("D5 as old as the policy allows (ok)", { max_collateral_age_s: 475200 }, accepted());
  run("D6 evaluation number below the policy's", { min_evaluation: 20 }, no("collateral_evalnum"));
  run("D6 evaluation number as the policy says (ok)", { min_evaluation: 19 }, accepted());
  run("D6 identity of a lower number", { min_evaluation: 19 }, no("collateral_evalnum"), { bodies: (b) => { b.qeIdentity.tcbEvaluationDataNumber = 18; } });
  run("D12 OutOfDate that the policy accepts (ok)", { tcb: ["UpToDate", "OutOfDate"] }, accepted("OutOfDate", ["INTEL-SA-00615"]), old);
  run("D12 OutOfDate that the policy does not accept", {}, genuine("OutOfDate", ["INTEL-SA-00615"], "tcb_status", "PolicyViolation"), old);
  run("D12 OutOfDate in grace (ok)", { grace: { tcb: ["OutOfDate"], until: "2026-07-01T00:00:00Z" } }, accepted("OutOfDate", ["INTEL-SA-00615"]), old);
  run("D12 OutOfDate after its grace", { grace: { tcb: ["OutOfDate"], until: "2026-06-01T00:00:00Z" } }, genuine("OutOfDate", ["INTEL-SA-00615"], "tcb_status", "PolicyViolation"), old);
  const warned = { bodies: (b) => { b.tcbInfo.tcbLevels[0] = level(b, "UpToDate", { advisories: ["INTEL-SA-00615"] }); } };
  run("D14 advisory that the policy does not accept", { advisories: [] }, genuine("UpToDate", ["INTEL-SA-00615"], "advisory_denied", "PolicyViolation"), warned);
  run("D14 advisory that the policy accepts (ok)", { advisories: ["INTEL-SA-00615"] }, accepted("UpToDate", ["INTEL-SA-00615"]), warned);
}

export function collateralCases(pki) {
  const { list, add } = collect();
  const each = (rows, stage, kinds = ["sgx3", "tdx4"]) => {
    for (const [what, hook, outcome] of rows)
      for (const kind of kinds) {
        const b = intelCase(pki, kind, { [stage]: hook });
        add(b.tee, `${what}, ${kind}`, b.files, typeof outcome === "string" ? refused(outcome) : outcome);
      }
  };
  each(onChain, "chain");
  each(onEntries, "entries");
  each(onPlatform, "platform");
  each(onLists, "files");
  each(onBodies, "bodies");
  each(onTdxBodies, "bodies", ["tdx4", "tdx5_15"]);
  each(onAnswers, "files");
  each(onSigner, "files");
  each([["D8 TDX TCB info for an enclave", (b) => { b.files["tcb_info.json"] = intelCase(pki, "tdx4").files["tcb_info.json"]; }, "tcb_mismatch"]], "files", ["sgx3"]);
  // Version 2 of TCB info serves SGX alone.
  const v2 = (what, hooks, expect) => { const b = intelCase(pki, "sgx3", { ...hooks, platform: (p) => { p.infoVersion = 2; } }); add("sgx", what, b.files, expect); };
  v2("D8 TCB info of version 2 (ok)", {}, accepted());
  v2("D10 version 2, PCE SVN alone higher", { bodies: (b) => { b.tcbInfo.tcbLevels[0].tcb.pcesvn = 14; } }, genuine("OutOfDate", ["INTEL-SA-00001", "INTEL-SA-00002"]));
  v2("D9 version 2 without component 16", { bodies: (b) => { delete b.tcbInfo.tcbLevels[0].tcb.sgxtcbcomp16svn; } }, refused("collateral_format"));
  for (const kind of ["tdx5_15", "tdx5_ex"]) {
    const run = (what, hooks, expect) => add("tdx", `${what}, ${kind}`, intelCase(pki, kind, hooks).files, expect);
    run("E9 launched on an older module", relaunch("UpToDate"), genuine("TDRelaunchAdvised", ["INTEL-SA-00003"]));
    run("E9 launched on an older module, configuration needed", relaunch("ConfigurationNeeded"), genuine("TDRelaunchAdvisedConfigurationNeeded", ["INTEL-SA-00003"]));
    run("E9 older module runs still", { body: (b) => { b.body[0] = 3; b.body[td.svn2] = 3; } }, genuine("OutOfDate", ["INTEL-SA-00003"]));
    run("E9 module that runs now is unknown", { body: (b) => { b.body[td.svn2 + 1] = 9; } }, refused("tdx_module"));
  }
  for (const kind of ["sgx3", "tdx4"]) {
    const b = intelCase(pki, kind, { chain: (p) => { p.chain = [issuePck(p, { issuer: pki.processor }), pki.processor, pki.root]; }, files: (p) => relist(p, PCK, { issuer: pki.processor }) });
    add(b.tee, `C8 processor CA with platform fields, ${kind}`, b.files, refused("pck_ext"));
  }
  // C2, C4: what another root says.
  const other = intelCase(pki, "tdx4");
  add("tdx", "C2 root that nobody trusts", { ...other.files, "trust_root.pem": authority("Intel SGX Root CA", { key: ecKey("impostor root") }).pem }, refused("chain_root"));
  add("tdx", "C4 root expired", intelCase({ ...intelPki(), root: pki.root }, "tdx4").files, refused("chain_time", late), { at: "2050-01-01T00:00:00Z" });
  policies(add, pki);
  return list;
}
