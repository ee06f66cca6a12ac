// The folder of real evidence (REDOUBT_VECTORS, else ../shared/vectors): its cases, and its ways to break them.
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, chmodSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";

const checkout = fileURLToPath(new URL("../..", import.meta.url));

export function vectorsRoot() {
  const root = process.env.REDOUBT_VECTORS ?? join(checkout, "../shared/vectors");
  return existsSync(join(root, "mutations.json")) ? root : null;
}

export function cases(root) {
  const names = [];
  for (const kind of ["sgx", "tdx", "snp", "eventlog"])
    for (const name of readdirSync(join(root, kind)).sort()) names.push(`${kind}/${name}`);
  return names.map((name) => ({ name, dir: join(root, name), expect: JSON.parse(readFileSync(join(root, name, "expect.json"))) }));
}

export function mutations(root) {
  return JSON.parse(readFileSync(join(root, "mutations.json"))).mutations;
}

const hex = (text) => Buffer.from(text, "hex");
const pemBlocks = (text) => text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?/g) ?? [];

// Ends of the events of a CCEL area: the header in the old form, then events with one SHA-384 each.
function ccelEvents(area) {
  const events = [];
  let at = 32 + area.readUInt32LE(28);
  while (at + 66 <= area.length && area.readUInt32LE(at) !== 0xffffffff && area.readUInt32LE(at + 8) === 1) {
    const size = 66 + area.readUInt32LE(at + 62);
    events.push(area.subarray(at, at + size));
    at += size;
  }
  return { header: area.subarray(0, 32 + area.readUInt32LE(28)), events, rest: area.subarray(at) };
}

const ccel = (area, change) => {
  const { header, events, rest } = ccelEvents(area);
  change(events);
  return Buffer.concat([header, ...events, rest]);
};

const onJson = (text, change) => {
  const value = JSON.parse(text);
  change(value);
  return Buffer.from(JSON.stringify(value));
};

// What each operation makes of a file's bytes; mutations.json tells what they mean.
const onBytes = {
  flip: (b, m) => { const mask = hex(m.mask); for (let i = 0; i < m.len; i++) b[m.offset + i] ^= mask[i % mask.length]; return b; },
  set: (b, m) => { hex(m.hex).copy(b, m.offset); return b; },
  truncate: (b, m) => b.subarray(0, m.len),
  append: (b, m) => Buffer.concat([b, hex(m.hex)]),
  reverse_range: (b, m) => { b.subarray(m.offset, m.offset + m.len).reverse(); return b; },
  json_text: (b, m) => Buffer.from(b.toString("latin1").replaceAll(m.find, m.replace), "latin1"),
  json_reserialize: (b) => Buffer.from(JSON.stringify(JSON.parse(b), null, 1).replaceAll("\n", " ")),
  json_duplicate_key: (b, m) => Buffer.from(b.toString("latin1").replace("{", `{"${m.key}":${m.value},`), "latin1"),
  json_sig_zero: (b) => Buffer.from(b.toString("latin1").replace(/"signature":"[0-9a-fA-F]{128}"/, `"signature":"${"0".repeat(128)}"`), "latin1"),
  pem_drop: (b, m) => { const all = pemBlocks(b.toString()); all.splice(m.index, 1); return Buffer.from(all.join("")); },
  pem_swap: (b, m, other) => { const all = pemBlocks(b.toString()); all[m.index] = pemBlocks(other.toString())[m.from_index]; return Buffer.from(all.join("")); },
  replace_file: (b, m, other) => other,
  ccel_drop_event: (b, m) => ccel(b, (events) => events.splice(m.index, 1)),
  ccel_swap_events: (b, m) => ccel(b, (events) => { [events[m.index], events[m.with_index]] = [events[m.with_index], events[m.index]]; }),
  json_event_payload: (b, m) => onJson(b, (events) => { events.find((e) => e.event === m.event).event_payload = m.payload_hex; }),
  json_event_drop: (b, m) => onJson(b, (events) => events.splice(events.findIndex((e) => e.event === m.event), 1)),
};

// Options that the vectors name, as flags of ours.
const options = { require_vcek: () => ["--require-vcek"], force_tcb_layout: (m) => ["--product", { milan: "Milan", genoa: "Genoa", turin: "Turin" }[m.value]] };

// A copy of the mutation's case with the change made, and the flags that it asks for. Call done() at the end.
export function applyMutation(root, m) {
  const dir = mkdtempSync(join(tmpdir(), "redoubt-mutation-"));
  cpSync(join(root, m.case), dir, { recursive: true });
  const at = m.op === "verify_at" ? m.value : m.verify_at;
  const flags = at ? ["--at", at] : [];
  const path = m.file && join(dir, m.file);
  const other = m.from_case && readFileSync(join(root, m.from_case, m.from_file ?? m.file));
  if (m.op === "option") flags.push(...options[m.option](m));
  else if (m.op === "trust_root") flags.push("--trust-root", join(root, m.from_case, m.file));
  else if (m.op === "delete_file") rmSync(path, { force: true });
  else if (m.op !== "verify_at") {
    const bytes = onBytes[m.op](Buffer.from(readFileSync(path)), m, other);
    chmodSync(path, 0o644);
    writeFileSync(path, bytes);
  }
  return { dir, flags, done: () => rmSync(dir, { recursive: true, force: true }) };
}
