// Seeds for the fuzz targets, out of the corpus: what each target reads is told in its own file.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sha256 } from "./keys.mjs";

// As tests/support/evidence_corpus.h counts them.
const pieces = [["quote.bin", "report.bin", "certificate.pem", "outblob", "td_report.bin"], ["auxblob"], ["ccel.bin"], ["ccel_table.bin"], ["event_log.json"], ["pck_chain.pem"], ["pck_crl.der"],
  ["pck_crl_issuer_chain.pem"], ["root_ca_crl.der"], ["tcb_info.json"], ["tcb_info_issuer_chain.pem"], ["qe_identity.json"], ["qe_identity_issuer_chain.pem"],
  ["vcek.der", "vlek.der", "ask.pem", "asvk.pem", "ark.pem"], ["crl.der"]];

// The good cases of tests/fuzz/fuzz_verify.c, in its order.
const bases = ["sgx/good-sgx3", "sgx/good-sgx4", "sgx/good-sgx5", "tdx/good-tdx4", "tdx/good-tdx5-10", "tdx/good-tdx5-15", "tdx/good-tdx5-ex", "snp/good-milan-v2", "snp/good-genoa-v3", "snp/good-turin-v5",
  "snp/good-milan-v3-vlek", "sgx/a14-type-4-with-the-chain-beside-it-sgx3-ok", "sgx/i9-interoperable-certificate-sgx3-ok", "tdx/i9-gramine-certificate-tdx4-ok", "tdx/i9-dstack-certificate-with-its-event-log-ok",
  "snp/g17-certificate-table-ok-beside-the-report", "snp/g15-list-that-names-nobody-ok-milan-v2", "eventlog/e5-ccel-quote-and-collateral-ok", "eventlog/e5-dstack-log-quote-and-collateral-ok"];

const bytesOf = (files, piece) => Buffer.concat(pieces[piece].flatMap((name) => (files[name] === undefined ? [] : [Buffer.from(files[name])])));
const SEED_MAX = 1 << 16;

export function writeSeeds(out, cases) {
  const write = (target, ...parts) => {
    const bytes = Buffer.concat(parts), dir = join(out, target);
    if (bytes.length > SEED_MAX) return;
    mkdirSync(dir, { recursive: true });
    writeFileSync(join(dir, sha256(bytes).toString("hex").slice(0, 16)), bytes);
  };
  const parsed = bases.map((name) => cases.find((c) => c.name === name)).map(({ files }) => pieces.map((_, i) => bytesOf(files, i)));
  for (const { files } of cases) {
    const mine = pieces.map((_, i) => bytesOf(files, i));
    const equal = parsed.map((theirs) => theirs.filter((bytes, i) => bytes.equals(mine[i])).length);
    const nearest = equal.indexOf(Math.max(...equal));
    // Piece by piece, in the place of the nearest good case's.
    mine.forEach((bytes, i) => {
      if (bytes.length && !bytes.equals(parsed[nearest][i])) write("verify", Buffer.from([nearest, i, 0x80]), bytes);
    });
    const has = (name, target) => files[name] !== undefined && write(target, Buffer.from(files[name]));
    has("quote.bin", "tdx_quote");
    has("report.bin", "snp_report");
    has("certificate.pem", "ratls");
    has("auxblob", "cert_table");
    has("ccel.bin", "eventlog");
    has("event_log.json", "eventlog");
    has("tcb_info.json", "collateral");
    has("qe_identity.json", "collateral");
    has("vcek.der", "x509");
    has("pck_crl.der", "x509");
    has("crl.der", "x509");
  }
  bases.forEach((_, i) => write("verify", Buffer.from([i, 0, 1, 0, 0, 0])));
}
