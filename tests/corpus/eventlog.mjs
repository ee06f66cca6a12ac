// Event logs of TDs: the firmware's (CCEL, TCG crypto-agile) and dstack's, with the registers that their replay gives
// (attestation.md 7).
import { hash } from "./keys.mjs";
import { le } from "./intel.mjs";

export const SEPARATOR = 4, NO_ACTION = 3;
const sha384 = (...parts) => hash("sha384", ...parts);
const { u16, u32 } = le;

const extend = (register, digest) => sha384(register, digest);

export function specId({ algorithm = 0x000c, size = 48, count = 1, type = NO_ACTION, name = "Spec ID Event03\0" } = {}) {
  const data = Buffer.concat([Buffer.from(name), u32(0), Buffer.from([0, 2, 0, 2]), u32(count), u16(algorithm), u16(size), Buffer.from([0])]);
  return Buffer.concat([u32(4), u32(type), Buffer.alloc(20), u32(data.length), data]);
}

// index: 1 to 4 for RTMR0 to RTMR3.
export const event = (index, type, data, { digest = sha384(data), count = 1, algorithm = 0x000c, size = data.length } = {}) =>
  Buffer.concat([u32(index), u32(type), u32(count), u16(algorithm), digest, u32(size), data]);

const firmware = [
  [1, 0x80000001, "SecureBoot"], [1, 0x80000001, "PK"], [1, SEPARATOR, "\0\0\0\0"], [1, NO_ACTION, "StartupLocality"],
  [2, 0x80000003, "shim"], [2, SEPARATOR, "\0\0\0\0"], [2, 0x80000003, "grub"], [3, 13, "kernel"], [3, 13, "command line"],
];

export const made = (index, type, data) => ({ index, type, bytes: event(index, type, data), digest: sha384(data) });
export const firmwareEvents = () => firmware.map(([index, type, text]) => made(index, type, Buffer.from(text)));

export function replay(events) {
  const registers = Array.from({ length: 4 }, () => Buffer.alloc(48));
  for (const { index, type, digest } of events) if (index > 0 && type !== NO_ACTION) registers[index - 1] = extend(registers[index - 1], digest);
  return registers;
}

export const area = (header, events, rest = Buffer.alloc(64, 0xff)) => Buffer.concat([header, ...events.map((e) => e.bytes ?? e), rest]);

// UEFI 2.10, 38.3.
export function ccelTable({ type = 2, size = 65536, signature = "CCEL" } = {}) {
  const table = Buffer.alloc(56);
  table.write(signature, 0);
  table.writeUInt32LE(56, 4);
  table.writeUInt8(type, 36);
  table.writeBigUInt64LE(BigInt(size), 40);
  return table;
}

// --- dstack ---

export const RUNTIME = 0x08000001;
export const runtimeDigest = (name, payload) => sha384(u32(RUNTIME), Buffer.from(`:${name}:`), payload);

export const dstackSeparator = (imr) => ({ imr, event_type: SEPARATOR, digest: sha384(Buffer.alloc(4)).toString("hex"), event: "", event_payload: "00000000" });

export function dstackEvents({ withDigests = true } = {}) {
  const boot = [0, 1, 2].map((imr) => ({ imr, event_type: 0x80000001, digest: sha384(`boot ${imr}`).toString("hex"), event: "", event_payload: "" })).concat([0, 1].map(dstackSeparator));
  const names = ["system-preparing", "app-id", "compose-hash", "instance-id", "boot-mr-done", "key-provider", "system-ready"];
  return [...boot, ...names.map((event_) => {
    const payload = sha384(event_).subarray(0, 20);
    return { imr: 3, event_type: RUNTIME, digest: withDigests ? runtimeDigest(event_, payload).toString("hex") : "", event: event_, event_payload: payload.toString("hex") };
  })];
}

export function replayDstack(events) {
  const registers = Array.from({ length: 4 }, () => Buffer.alloc(48));
  for (const e of events) {
    const digest = e.event_type === RUNTIME ? runtimeDigest(e.event, Buffer.from(e.event_payload, "hex")) : Buffer.from(e.digest, "hex");
    registers[e.imr] = extend(registers[e.imr], digest);
  }
  return registers;
}
