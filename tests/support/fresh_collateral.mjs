// Collateral that is good today, under the corpus generator's private roots, as the answers of a PCS, a PCCS or a KDS at their paths (support/pccs.mjs).
import { amdCase, amdList, amdPki } from "../corpus/amd.mjs";
import { intelCase, intelPki, relist } from "../corpus/intel.mjs";

const DAY = 86400e3;
export const instant = (offsetMs) => new Date(Date.now() + offsetMs).toISOString().replace(/\.\d+Z/, "Z");
const window = ({ from = -DAY, to = 20 * DAY } = {}) => ({ from: instant(from), to: instant(to) });

// What may differ: kind, fmspc, isProcessor, from and to (milliseconds from now), evaluation, number (of the lists), hasHexRoot (as a PCCS has it).
export function intelAnswers(pki, { kind = "tdx4", fmspc = "90c06f00ff02", isProcessor = false, evaluation = 19, number = 7, hasHexRoot = true, ...when } = {}) {
  const { from, to } = window(when);
  const made = intelCase(pki, kind, {
    platform: (b) => Object.assign(b.platform, { fmspc, isProcessor }),
    bodies: (b) => { for (const body of [b.tcbInfo, b.qeIdentity]) Object.assign(body, { issueDate: from, nextUpdate: to, tcbEvaluationDataNumber: evaluation }); },
    files: (b) => {
      relist(b, "root_ca_crl.der", { from, to, number });
      relist(b, "pck_crl.der", { issuer: isProcessor ? b.pki.processor : b.pki.platform, from, to, number });
    },
  });
  const { tee, files } = made;
  return {
    [`/${tee}/certification/v4/tcb?fmspc=${fmspc}`]: { body: Buffer.from(files["tcb_info.json"]), chain: ["TCB-Info-Issuer-Chain", files["tcb_info_issuer_chain.pem"]] },
    [`/${tee}/certification/v4/qe/identity`]: { body: Buffer.from(files["qe_identity.json"]), chain: ["SGX-Enclave-Identity-Issuer-Chain", files["qe_identity_issuer_chain.pem"]] },
    [`/sgx/certification/v4/pckcrl?ca=${isProcessor ? "processor" : "platform"}&encoding=der`]: { body: files["pck_crl.der"], chain: ["SGX-PCK-CRL-Issuer-Chain", files["pck_crl_issuer_chain.pem"]] },
    "/sgx/certification/v4/rootcacrl": { body: hasHexRoot ? Buffer.from(files["root_ca_crl.der"].toString("hex")) : files["root_ca_crl.der"] },
  };
}

// KDS: chains and list of a product, and the VCEK of one chip, whose scope comes beside them.
export function amdAnswers(pki, product, { number = 7, isRevoked = false, hasVlek = true, ...when } = {}) {
  const { from, to } = window(when);
  const made = amdCase(pki, { product, version: product === "Turin" ? 5 : 3 });
  const { fmc, bootLoader, tee, snp, microcode } = made.tcb, chip = made.hwid.toString("hex"), parts = [bootLoader, tee, snp, microcode];
  const query = `${product === "Turin" ? `fmcSPL=${fmc}&` : ""}blSPL=${bootLoader}&teeSPL=${tee}&snpSPL=${snp}&ucodeSPL=${microcode}`;
  return {
    scope: `snp:${product}/${chip}/${[...parts, ...(product === "Turin" ? [fmc] : [])].join(".")}`, report: made.report, root: made.pki.ark.pem,
    answers: {
      [`/vcek/v1/${product}/cert_chain`]: { body: Buffer.from(made.pki.ask.pem + made.pki.ark.pem) },
      ...(hasVlek ? { [`/vlek/v1/${product}/cert_chain`]: { body: Buffer.from(made.pki.asvk.pem + made.pki.ark.pem) } } : {}),
      [`/vcek/v1/${product}/crl`]: { body: amdList(made, { from, to, number, revoked: isRevoked ? [made.leaf] : [] }) },
      [`/vcek/v1/${product}/${chip}?${query}`]: { body: made.leaf.der },
    },
  };
}

export { amdPki, intelPki };
