// A PCCS and a KDS on loopback, over HTTP or HTTPS: serves a collateral set in the ways of the two protocols, with ETags or dates, and can be told to fail.
import { createServer as http } from "node:http";
import { createServer as https } from "node:https";
import { execFileSync } from "node:child_process";
import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const encode = (pem) => encodeURIComponent(pem);
const etag = (body) => `"${createHash("sha256").update(body).digest("hex").slice(0, 16)}"`;

// What a v1 set of the simulation PKI answers at which path.
export function answersOf(set) {
  const fmspc = JSON.parse(set.tcb_info).tcbInfo.fmspc.toLowerCase();
  const pck = { body: Buffer.from(set.pck_crl, "base64"), chain: ["SGX-PCK-CRL-Issuer-Chain", set.pck_crl_chain] };
  return {
    fmspc,
    [`/tdx/certification/v4/tcb?fmspc=${fmspc}`]: { body: Buffer.from(set.tcb_info), chain: ["TCB-Info-Issuer-Chain", set.tcb_info_chain] },
    "/tdx/certification/v4/qe/identity": { body: Buffer.from(set.qe_identity), chain: ["SGX-Enclave-Identity-Issuer-Chain", set.qe_identity_chain] },
    "/sgx/certification/v4/pckcrl?ca=platform&encoding=der": pck,
    // As a PCCS has it: hex.
    "/sgx/certification/v4/rootcacrl": { body: Buffer.from(Buffer.from(set.root_ca_crl, "base64").toString("hex")) },
  };
}

export class Pccs {
  unchanged = 0;
  static async start({ answers = {}, isTls = false, tls = {}, validator = "etag" } = {}) {
    const pccs = new Pccs();
    Object.assign(pccs, { answers, seen: [], fail: null, validator });
    const handler = (request, response) => pccs.#answer(request, response);
    if (isTls) {
      const dir = mkdtempSync(join(tmpdir(), "rd-pccs-"));
      execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")], { stdio: "ignore" });
      pccs.ca = join(dir, "cert.pem");
      pccs.server = https({ key: readFileSync(join(dir, "key.pem")), cert: readFileSync(pccs.ca), ...tls }, handler);
    } else {
      pccs.server = http(handler);
    }
    pccs.server.listen(0, "127.0.0.1");
    await once(pccs.server, "listening");
    pccs.url = `${isTls ? "https" : "http"}://127.0.0.1:${pccs.server.address().port}`;
    return pccs;
  }
  // fail(path, response, count) takes a request over when it returns true.
  #answer(request, response) {
    this.seen.push({ path: request.url, headers: request.headers });
    const count = this.seen.filter((s) => s.path === request.url).length;
    if (this.fail?.(request.url, response, count)) return;
    const answer = this.answers[request.url];
    if (!answer) { response.writeHead(404).end("no such thing"); return; }
    const [name, asked] = this.validator === "etag" ? ["etag", "if-none-match"] : ["last-modified", "if-modified-since"];
    const headers = { [name]: name === "etag" ? etag(answer.body) : "Sat, 28 Nov 2026 08:00:00 GMT" };
    if (answer.chain) headers[answer.chain[0]] = encode(answer.chain[1]);
    if (request.headers[asked] === headers[name]) { this.unchanged++; response.writeHead(304, { [name]: headers[name] }).end(); return; }
    response.writeHead(200, headers).end(answer.body);
  }
  close() { this.server.closeAllConnections(); this.server.close(); }
}

export const fingerprint = (pem) => createHash("sha256").update(new X509Certificate(pem).raw).digest("hex");
