// Event logs beside quotes (rows E5, E6), and certificates that carry evidence (rows I9 to I11).
import { hex, octets } from "./der.mjs";
import { ecKey, sha256 } from "./keys.mjs";
import { accepted, collect, refused, unvouched } from "./cases.mjs";
import { SEPARATOR, area, ccelTable, dstackEvents, dstackSeparator, event, made, firmwareEvents, replay, replayDstack, specId } from "./eventlog.mjs";
import { at, dates, intelCase, td } from "./intel.mjs";
import { cbor, dstack, gramine, interoperable, keyClaim, ratlsCertificate } from "./ratls.mjs";
import { extension } from "./x509.mjs";

const put = (registers) => ({ body: (b) => registers.forEach((r, i) => r.copy(b.body, td.rtmr + 48 * i)) });
const named = (registers) => Object.fromEntries(registers.map((r, i) => [`rtmr${i}`, r.toString("hex")]));

function firmwareLogs(add, pki) {
  const events = firmwareEvents(), registers = replay(events), good = intelCase(pki, "tdx4", put(registers));
  const log = area(specId(), events), match = { replayed: named(registers), event_count: events.length };
  const quoteAlone = { "quote.bin": good.quote, "trust_root.pem": pki.root.pem };
  const beside = (what, files, expect) => add("eventlog", what, { ...quoteAlone, ...files }, expect);
  beside("E5 CCEL that is the quote's (ok)", { "ccel.bin": log }, { ...unvouched("Match", "collateral_missing"), ...match });
  beside("E5 CCEL with its table (ok)", { "ccel.bin": log, "ccel_table.bin": ccelTable() }, { ...unvouched("Match", "collateral_missing"), ...match });
  add("eventlog", "E5 CCEL, quote and collateral (ok)", { ...good.files, "ccel.bin": log }, { ...accepted(), ...match });
  add("eventlog", "E5 CCEL without a quote", { "ccel.bin": log, "trust_root.pem": pki.root.pem }, { ...unvouched("ReplayOnly", "evidence_type"), ...match });
  beside("E5 CCEL of another TD", { "ccel.bin": area(specId(), events.slice(0, -1)) }, refused("attest_rtmr"));
  beside("E5 CCEL in another order", { "ccel.bin": area(specId(), [events[1], events[0], ...events.slice(2)]) }, refused("attest_rtmr"));
  beside("E5 CCEL with a digest changed", { "ccel.bin": area(specId(), events.map((e, i) => (i === 4 ? event(e.index, e.type, Buffer.from("shim"), { digest: Buffer.alloc(48, 9) }) : e))) }, refused("attest_rtmr"));
  for (let i = 0; i < 4; i++) {
    const b = intelCase(pki, "tdx4", put(registers.map((r, k) => (k === i ? Buffer.alloc(48, 1) : r))));
    add("eventlog", `E5 RTMR${i} is not the log's`, { "quote.bin": b.quote, "ccel.bin": log, "trust_root.pem": pki.root.pem }, refused("attest_rtmr"));
  }
  beside("E5 log beside an enclave", { "quote.bin": intelCase(pki, "sgx3").quote, "ccel.bin": log }, { ...refused("attest_rtmr"), tee: "sgx" });
  const bad = {
    "E6 header of another kind": area(specId({ name: "Spec ID Event02\0" }), events), "E6 header of SHA-256": area(specId({ algorithm: 0x000b, size: 32 }), events), "E6 header with two algorithms": area(specId({ count: 2 }), events),
    "E6 header that is no NO_ACTION": area(specId({ type: SEPARATOR }), events), "E6 event of an unknown register": area(specId(), [...events, event(5, 13, Buffer.from("x"))]), "E6 second separator": area(specId(), [...events, event(1, SEPARATOR, Buffer.alloc(4))]),
    "E6 event with two digests": area(specId(), [...events, event(1, 13, Buffer.from("x"), { count: 2 })]), "E6 event of SHA-256": area(specId(), [...events, event(1, 13, Buffer.from("x"), { algorithm: 0x000b })]),
    "E6 event longer than the log": area(specId(), [...events, event(1, 13, Buffer.from("x"), { size: 0xfffffff0 })]), "E6 bytes behind the log": area(specId(), events, Buffer.from("what else lies here")), "E6 log cut inside an event": log.subarray(0, log.length - 70),
    "E6 empty log": Buffer.alloc(0), "E6 zeros alone": Buffer.alloc(4096), "E6 events without number": area(specId(), Array(20000).fill(event(1, 13, Buffer.alloc(0)))),
  };
  // Registers that are the replay all the same: the log is its TD's, and a trick.
  const separators = events.filter((e) => e.type === SEPARATOR), hidden = Buffer.alloc(4);
  const tricks = {
    "E6 second separator, measured": [...events, made(1, SEPARATOR, hidden)], "E6 second separator of ones, measured": [...events, made(2, SEPARATOR, Buffer.alloc(4, 0xff))],
    "E6 second separator under another type, measured": [...events, made(1, 13, hidden)], "E6 no separator in RTMR0, measured": events.filter((e) => e !== separators[0]),
    "E6 no separator in RTMR1, measured": events.filter((e) => e !== separators[1]), "E6 separator of other data, measured": [...events, made(3, SEPARATOR, Buffer.from("firmware"))],
  };
  const measured = (what, list, expect) => {
    const b = intelCase(pki, "tdx4", put(replay(list)));
    add("eventlog", what, { ...b.files, "ccel.bin": area(specId(), list) }, expect(list));
  };
  for (const [what, list] of Object.entries(tricks)) measured(what, list, () => refused("attest_eventlog"));
  measured("E6 separator in RTMR2 too, measured (ok)", [...events, made(3, SEPARATOR, hidden)], (list) => ({ ...accepted(), replayed: named(replay(list)), event_count: list.length }));
  for (const [what, bytes] of Object.entries(bad)) beside(what, { "ccel.bin": bytes }, refused("attest_eventlog"));
  beside("E6 padding of zeros (ok)", { "ccel.bin": area(specId(), events, Buffer.alloc(1000)) }, { ...unvouched("Match", "collateral_missing"), ...match });
  beside("E6 log that fills its area (ok)", { "ccel.bin": area(specId(), events, Buffer.alloc(0)) }, { ...unvouched("Match", "collateral_missing"), ...match });
  const table = (what, spec) => beside(what, { "ccel.bin": log, "ccel_table.bin": ccelTable(spec) }, refused("attest_eventlog"));
  table("E6 table of another TEE", { type: 1 });
  table("E6 table of another kind", { signature: "TPM2" });
  table("E6 log longer than its table's area", { size: 64 });
}

function dstackLogs(add, pki) {
  const events = dstackEvents(), registers = replayDstack(events), good = intelCase(pki, "tdx4", put(registers));
  const match = { replayed: named(registers), event_count: events.length };
  const beside = (what, log, expect, quote = good.quote) => add("eventlog", what, { "quote.bin": quote, "event_log.json": typeof log === "string" ? log : JSON.stringify(log), "trust_root.pem": pki.root.pem }, expect);
  const matches = { ...unvouched("Match", "collateral_missing"), ...match };
  const last = events.length - 1;
  const changed = (change) => events.map((e, i) => (i === last ? { ...e, ...change } : e));
  beside("E5 dstack log (ok)", events, matches);
  beside("E5 dstack log without digests of its own (ok)", dstackEvents({ withDigests: false }), matches);
  add("eventlog", "E5 dstack log, quote and collateral (ok)", { ...good.files, "event_log.json": JSON.stringify(events) }, { ...accepted(), ...match });
  beside("E5 dstack payload changed, its digest left", changed({ event_payload: "00" }), refused("attest_eventlog"));
  beside("E5 dstack payload changed, its digest removed", changed({ event_payload: "00", digest: "" }), refused("attest_rtmr"));
  beside("E5 dstack event dropped", events.slice(0, -1), refused("attest_rtmr"));
  beside("E5 dstack event renamed", changed({ event: "system-unready", digest: "" }), refused("attest_rtmr"));
  const tricks = { "E6 dstack second separator, measured": [...events, dstackSeparator(0)], "E6 dstack second separator under another type, measured": [...events, { ...dstackSeparator(1), event_type: 13 }],
    "E6 dstack log without separators, measured": events.filter((e) => e.event_type !== SEPARATOR) };
  for (const [what, list] of Object.entries(tricks)) beside(what, list, refused("attest_eventlog"), intelCase(pki, "tdx4", put(replayDstack(list))).quote);
  beside("E6 dstack event of register 4", changed({ imr: 4 }), refused("attest_eventlog"));
  beside("E6 dstack firmware event without digest", [{ imr: 0, event_type: 1, digest: "", event: "", event_payload: "" }, ...events], refused("attest_eventlog"));
  beside("E6 dstack payload is not hex", changed({ event_payload: "zz", digest: "" }), refused("attest_eventlog"));
  beside("E6 dstack digest of 32 bytes", changed({ digest: "ab".repeat(32) }), refused("attest_eventlog"));
  beside("E6 dstack log is an object", "{}", refused("attest_eventlog"));
  beside("E6 dstack log with a member twice", JSON.stringify(events).replace('"imr":0', '"imr":1,"imr":0'), refused("attest_eventlog"));
  beside("E6 dstack log without an end", JSON.stringify(events).slice(0, -1), refused("attest_eventlog"));
  beside("E6 dstack event without register", JSON.stringify(events).replace('"imr":0,', ""), refused("attest_eventlog"));
  beside("E6 dstack events without number", Array(20000).fill(events[0]), refused("attest_eventlog"));
}

// --- certificates ---

const key = ecKey("ratls"), validity = { from: dates.ISSUED, to: dates.NEXT };
// A case whose quote binds the key as the convention says, inside a certificate.
function carried(pki, kind, convention, { extensions, certificate: spec, bound = convention } = {}) {
  const b = intelCase(pki, kind, { body: (p) => bound.reportData(key.spki).copy(p.body, p.tee === "tdx" ? td.reportData : at.reportData) });
  const der = ratlsCertificate(key, extensions ? extensions(b) : convention.extensions(b.quote, key.spki), { ...validity, ...spec });
  const { "quote.bin": _, ...files } = b.files;
  return { tee: b.tee, files: { ...files, "certificate.pem": der } };
}

function certificates(add, pki) {
  const conventions = { interoperable: interoperable(), "interoperable with SHA-384": interoperable((spki) => cbor.map(keyClaim(spki, 7, "sha384"))), "interoperable with SHA-512": interoperable((spki) => cbor.map(keyClaim(spki, 8, "sha512"))),
    "interoperable with a nonce": interoperable((spki) => cbor.map(keyClaim(spki), [cbor.text("nonce"), cbor.bytes(Buffer.alloc(32, 7))])), gramine, dstack: dstack() };
  const put_ = (what, c, expect) => add(c.tee, what, c.files, expect);
  for (const [name, convention] of Object.entries(conventions))
    for (const kind of ["sgx3", "tdx4"]) put_(`I9 ${name} certificate, ${kind} (ok)`, carried(pki, kind, convention), { ...accepted(), convention: name.split(" ")[0] });
  const inter = conventions.interoperable, ext = (value) => [extension("2.23.133.5.4.9", value)];
  const sgx = (what, options, expect, convention = inter) => put_(what, carried(pki, "sgx3", convention, options), refused(expect, expect === "ratls_time" ? "CertExpired" : undefined));
  sgx("I9 certificate without evidence", { extensions: () => [] }, "ratls_ext");
  sgx("I9 two evidence extensions", { extensions: (b) => [...inter.extensions(b.quote, key.spki), ...gramine.extensions(b.quote)] }, "ratls_ext");
  sgx("I9 extension twice", { extensions: (b) => [...inter.extensions(b.quote, key.spki), ...inter.extensions(b.quote, key.spki)] }, "x509_format");
  sgx("I9 unknown tag", { extensions: (b) => ext(cbor.tag(60001, cbor.array(cbor.bytes(b.quote), cbor.bytes(cbor.map(keyClaim(key.spki)))))) }, "ratls_ext");
  sgx("I9 three items", { extensions: (b) => ext(cbor.tag(60000, cbor.array(cbor.bytes(b.quote), cbor.bytes(cbor.map(keyClaim(key.spki))), cbor.uint(0)))) }, "ratls_ext");
  sgx("I9 bytes behind the item", { extensions: (b) => ext(Buffer.concat([cbor.tag(60000, cbor.array(cbor.bytes(b.quote), cbor.bytes(cbor.map(keyClaim(key.spki))))), hex("00")])) }, "ratls_ext");
  sgx("I9 length without an end", { extensions: () => ext(Buffer.concat([hex("d9ea60825f"), hex("41005aff")])) }, "ratls_ext");
  sgx("I9 unknown claim", {}, "ratls_ext", interoperable((spki) => cbor.map(keyClaim(spki), [cbor.text("admin"), cbor.bytes(hex("01"))])));
  sgx("I9 claim twice", {}, "ratls_ext", interoperable((spki) => cbor.map(keyClaim(spki), keyClaim(spki))));
  sgx("I9 claims without the key", {}, "ratls_ext", interoperable(() => cbor.map([cbor.text("nonce"), cbor.bytes(Buffer.alloc(8))])));
  sgx("I10 claims about another key", {}, "ratls_key", interoperable(() => cbor.map(keyClaim(ecKey("another").spki))));
  sgx("I10 report data of another key", { bound: { reportData: () => Buffer.concat([sha256(ecKey("another").spki), Buffer.alloc(32)]) } }, "ratls_key", gramine);
  sgx("I1 report data with a tail that is not zero", { bound: { reportData: () => Buffer.concat([sha256(key.spki), Buffer.alloc(31), hex("01")]) } }, "ratls_key", gramine);
  sgx("I1 report data that agrees in half", { bound: { reportData: () => Buffer.concat([sha256(key.spki).subarray(0, 16), Buffer.alloc(48)]) } }, "ratls_key", gramine);
  sgx("I10 certificate signed by another key", { certificate: { signer: ecKey("another") } }, "ratls_key");
  sgx("I11 certificate expired", { certificate: { to: "2026-06-15T11:59:59Z" } }, "ratls_time");
  put_("I11 certificate in its last second (ok)", carried(pki, "sgx3", inter, { certificate: { to: dates.NOW } }), { ...accepted(), convention: "interoperable" });
  put_("I11 certificate not yet valid", carried(pki, "sgx3", inter, { certificate: { from: "2026-06-15T12:00:01Z" } }), { ...refused("ratls_time", "CertExpired"), also_acceptable: ["CertNotYetValid"] });
  const events = dstackEvents(), registers = replayDstack(events), log = Buffer.from(JSON.stringify(events)), withLog = dstack(log);
  const b = intelCase(pki, "tdx4", { body: (p) => { put(registers).body(p); withLog.reportData(key.spki).copy(p.body, td.reportData); } });
  const { "quote.bin": quote, ...files } = b.files;
  add("tdx", "I9 dstack certificate with its event log (ok)", { ...files, "certificate.pem": ratlsCertificate(key, withLog.extensions(quote), validity) }, { ...accepted(), convention: "dstack" });
  add("tdx", "I9 dstack certificate with another event log", { ...files, "certificate.pem": ratlsCertificate(key, dstack(Buffer.from(JSON.stringify(events.slice(1)))).extensions(quote), validity) }, refused("attest_rtmr"));
  add("tdx", "I9 dstack certificate of the later kind", { ...files, "certificate.pem": ratlsCertificate(key, [extension("1.3.6.1.4.1.62397.1.8", octets(quote))], validity) }, refused("ratls_ext"));
}

export function logCases(pki) {
  const { list, add } = collect();
  firmwareLogs(add, pki);
  dstackLogs(add, pki);
  certificates(add, pki);
  return list;
}
