// The verifier on one core: warm and cold against the bare signature verifications that a quote cannot do without, warm against
// a verifier in JavaScript on the same quote, and the memory that one verification takes.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { statSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cases, vectorsRoot } from "../support/vectors.mjs";

export const names = ["verify_warm_vs_limit", "verify_cold_vs_limit", "verify_warm_vs_js", "verify_kb"];

const bin = process.env.REDOUBT_BIN ?? fileURLToPath(new URL("../../build/bin", import.meta.url));
const LIMIT_KB = 64;

function javascript({ dir, expect }, rounds) {
  const { verify } = createRequire(import.meta.url)("@phala/dcap-qvl");
  const text = (name) => readFileSync(join(dir, name), "latin1");
  // {"member":BODY,"signature":"HEX"}: the library wants the two apart.
  const split = (name, member) => ({ body: text(name).slice(text(name).indexOf(`"${member}":`) + member.length + 3, text(name).lastIndexOf(',"signature"')), signature: JSON.parse(text(name)).signature });
  const tcb = split("tcb_info.json", "tcbInfo"), qe = split("qe_identity.json", "enclaveIdentity"), quote = readFileSync(join(dir, "quote.bin"));
  const collateral = {
    pck_crl_issuer_chain: text("pck_crl_issuer_chain.pem"), root_ca_crl: readFileSync(join(dir, "root_ca_crl.der")), pck_crl: readFileSync(join(dir, "pck_crl.der")),
    tcb_info_issuer_chain: text("tcb_info_issuer_chain.pem"), tcb_info: tcb.body, tcb_info_signature: tcb.signature,
    qe_identity_issuer_chain: text("qe_identity_issuer_chain.pem"), qe_identity: qe.body, qe_identity_signature: qe.signature,
  };
  const at = Math.floor(Date.parse(expect.verify_at) / 1000), once = () => verify(quote, collateral, at), batch = 10;
  for (let i = 0; i < batch; i++) once();
  return Array.from({ length: rounds }, () => {
    const start = process.cpuUsage();
    for (let i = 0; i < batch; i++) once();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / batch;
  });
}

export async function run(report, wanted) {
  const root = vectorsRoot();
  if (!root) return report.note("verify_*: skipped, no vectors (set REDOUBT_VECTORS)");
  const subject = cases(root).filter(({ name, expect }) => name.startsWith("tdx/") && expect.verdict === "UpToDate" && expect.oracle.agree)
    .sort((a, b) => b.expect.verify_at.localeCompare(a.expect.verify_at))[0];
  const build = dirname(bin);
  execFileSync("cmake", ["--build", build, "--target", "verify_rate", "redoubt_attest"], { stdio: "ignore" });
  const rate = JSON.parse(execFileSync(join(bin, "verify_rate"), [root, subject.name, String(report.rounds)], { encoding: "utf8" }));
  report.note(`${subject.name}, ${readFileSync(join(subject.dir, "tcb_info.json")).length} bytes of TCB info`);
  if (wanted("verify_warm_vs_limit")) report.add("verify_warm_vs_limit", rate.warm_us, "us", "2 bare P-256 verifications by OpenSSL", rate.warm_limit_us);
  if (wanted("verify_cold_vs_limit")) report.add("verify_cold_vs_limit", rate.cold_us, "us", "9 bare P-256 verifications by OpenSSL", rate.cold_limit_us);
  if (wanted("verify_warm_vs_js")) {
    const perSecond = (values) => values.map((us) => 1e6 / us);
    report.add("verify_warm_vs_js", perSecond(rate.warm_us), "1/s", "npm @phala/dcap-qvl, the same quote", perSecond(javascript(subject, report.rounds)));
  }
  if (!wanted("verify_kb")) return;
  report.add("verify_kb", [rate.heap_kb + rate.stack_kb + rate.verdict_kb], "kB", `${LIMIT_KB} kB a verification, cold`, LIMIT_KB);
  report.note(`heap ${rate.heap_kb} kB at its peak, stack ${rate.stack_kb} kB, verdict ${rate.verdict_kb} kB; warm ${rate.warm_heap_kb} kB of heap`);
  const sizes = execFileSync("size", ["-t", join(build, "attest/libredoubt-attest.a")], { encoding: "utf8" }).trim().split("\n").at(-1).trim().split(/\s+/);
  report.note(`library: ${Math.round(Number(sizes[0]) / 1024)} kB of code and constants, ${Math.round(statSync(join(build, "attest/libredoubt-attest.a")).size / 1024)} kB with symbols`);
}
