// What a case is: files, and what a verifier must say of them. Words are those of attestation vectors (error classes, TCB
// states), codes are this project's.
import { dates } from "./intel.mjs";

// Our codes in the vectors' words; ParseError is what is not listed. Dates have a class for each of their ends, and are
// named where they stand.
const classes = {
  quote_version: "UnsupportedQuoteVersion", quote_keytype: "UnsupportedKeyType", quote_type_mix: "UnsupportedTeeType", qe_vendor: "UnsupportedVendor", cert_type: "UnsupportedCertData",
  x509_format: "CertChainInvalid", der_limit: "CertChainInvalid", chain_shape: "CertChainInvalid", chain_sig: "CertChainInvalid", chain_usage: "CertChainInvalid",
  chain_profile: "CertChainInvalid", collateral_chain: "CertChainInvalid", pck_ext: "CertChainInvalid", chain_root: "UntrustedRoot", collateral_missing: "CollateralMissing",
  crl_missing: "CollateralMissing", crl_format: "CrlInvalid", crl_issuer: "CrlInvalid", pck_revoked: "CertRevoked", ca_revoked: "CertRevoked", tcb_mismatch: "TcbInfoMismatch",
  tcb_unsupported: "TcbNotSupported", qe_tcb: "TcbNotSupported", qe_identity: "QeIdentityMismatch", qe_identity_id: "QeIdentityMismatch", qe_debug: "QeIdentityMismatch",
  qe_sig: "QeReportSignature", qe_binding: "QeReportData", att_key: "QuoteSignature", quote_sig: "QuoteSignature", tdx_module: "TdxModuleMismatch",
  attest_eventlog: "EventLogMismatch", attest_rtmr: "EventLogMismatch", snp_version: "UnsupportedReportVersion", snp_sig: "ReportSignature", snp_product: "ProductMismatch",
  chip_id: "ChipIdMismatch", tcb_cert_mismatch: "TcbVersionMismatch", key_kind: "SigningKeyMismatch", ratls_ext: "CertChainInvalid", ratls_key: "CertChainInvalid",
};

// Accepted by the default policy.
export const accepted = (verdict = "UpToDate", advisories = [], more = {}) =>
  ({ verdict, error_class: null, genuine: true, accepted: true, code: null, advisory_ids: advisories, ...more });
// Genuine, and refused: by the default policy when no class is given.
export const genuine = (verdict, advisories = [], code = "tcb_status", error_class = null, more = {}) =>
  ({ verdict, error_class, genuine: true, accepted: false, code, advisory_ids: advisories, ...more });
export const refused = (code, error_class = classes[code] ?? "ParseError") =>
  ({ verdict: "Error", error_class, genuine: false, accepted: false, code, advisory_ids: [] });
// Nobody vouches for it, and nothing is wrong with it.
export const unvouched = (verdict, code) => ({ verdict, error_class: null, genuine: false, accepted: false, code, advisory_ids: [] });
export const verified = (more) => accepted("Verified", [], more);

const slug = (text) => text.toLowerCase().replace(/\(ok\)/, "ok").replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

// A list of cases; add's text begins with the row of the matrix that it belongs to, if any.
export function collect() {
  const list = [];
  const add = (folder, text, files, expect, { at = dates.NOW, policy, flags } = {}) => {
    const row = /^([A-Z]\d+) /.exec(text)?.[1];
    const name = `${folder}/${slug(text)}`;
    if (list.some((known) => known.name === name)) throw new Error(`two cases are called ${name}`);
    list.push({ name, files: { ...files, ...(policy ? { "policy.json": JSON.stringify(policy) } : {}) },
      expect: { case: name, ...(row ? { row } : {}), what: text, tee: folder === "eventlog" ? "tdx" : folder, verify_at: at, ...expect, ...(flags ? { flags } : {}) } });
  };
  return { list, add };
}
