// quote: the readable fields of a TDX quote version 4 and of an evidence bundle. Reading is not verifying: `redoubt verify` does that.
import * as f from "./formats.js";

export function readQuote(quote) {
  const view = new DataView(quote.buffer, quote.byteOffset, quote.length);
  if (quote.length < 636 || view.getUint16(0, true) !== 4 || view.getUint32(4, true) !== 0x81) throw new Error("not a TDX quote version 4");
  const body = quote.subarray(48, 632);
  const register = (at) => f.hex(body.subarray(at, at + 48));
  return { version: 4, teeTcbSvn: f.hex(body.subarray(0, 16)), debug: (body[120] & 0xff) !== 0, mrtd: register(136),
    rtmr: [328, 376, 424, 472].map(register), reportData: body.subarray(520, 584) };
}

const sha384 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-384", data));
const sha512 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-512", data));

export async function replay(log) {
  let register = new Uint8Array(48);
  const rows = [];
  for (const event of log) {
    const digest = await sha384(f.frame("hash", "rtmr-event-v1", event.event, f.unb64u(event.payload)));
    register = await sha384(f.concat(register, digest));
    rows.push({ name: event.event, payload: f.unb64u(event.payload), digest: f.hex(digest), value: f.hex(register) });
  }
  return rows;
}

// What this page can check by itself, in steps. The chain of certificates and the platform's state are left to the terminal.
export async function readEvidence(data, nonce) {
  const bundle = JSON.parse(f.text(data));
  const quote = readQuote(f.unb64u(bundle.quote));
  const statementBytes = f.unb64u(bundle.statement);
  const statement = JSON.parse(f.text(statementBytes));
  const log = await replay(bundle.event_log);
  const wanted = await sha512(f.frame("evidence", "evidence-v1", statementBytes));
  const steps = [
    { name: "Binding", ok: f.hex(wanted) === f.hex(quote.reportData), detail: "The quote's report data is the hash of this statement" },
    { name: "Event log", ok: log.length === 2 && log[0].name === "redoubt.app" && log[1].name === "redoubt.closed" && log[1].value === quote.rtmr[3], detail: "RTMR3 replays: redoubt.app, then redoubt.closed, nothing else" },
    { name: "Debug", ok: !quote.debug, detail: quote.debug ? "The enclave is in debug mode" : "off" },
  ];
  if (nonce) steps.push({ name: "Freshness", ok: statement.nonce === f.b64u(nonce), detail: "The statement holds the nonce that this browser drew" });
  return { bundle, quote, statement, statementBytes, log, steps };
}
