// A second client of sealed requests, after RFC 9458 and RFC 9292, over an independent HPKE (@hpke/core): what it seals the enclave
// must open, and the other way round. Shares no code with the command line.
import { Aes128Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { createDecipheriv, createHmac } from "node:crypto";

const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes128Gcm() });
const SUITE = Buffer.from("002000010001", "hex");

// The first configuration of application/ohttp-keys: {id, publicKey}.
export function readKeys(bytes) {
  const size = bytes.readUInt16BE(0), config = bytes.subarray(2, 2 + size);
  if (config.readUInt16BE(1) !== 0x20) throw new Error("another KEM");
  return { id: config[0], publicKey: config.subarray(3, 35) };
}

function integer(value) {
  const size = value < 1 << 6 ? 1 : value < 1 << 14 ? 2 : 4;
  const out = Buffer.alloc(size);
  out.writeUIntBE(value, 0, size);
  out[0] |= [0, 0x00, 0x40, 0, 0x80][size];
  return out;
}
const piece = (value) => { const bytes = Buffer.from(value); return Buffer.concat([integer(bytes.length), bytes]); };

// {method, path, host, headers (lower case), body}, without padding.
export function writeRequest({ method = "POST", path = "/", host = "", headers = {}, body = "" }) {
  const fields = Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [piece(name), piece(value)]));
  return Buffer.concat([Buffer.from([0]), piece(method), piece("https"), piece(host), piece(path), piece(fields), piece(body), integer(0)]);
}

// {status, headers, body, padding}: an answer of known length.
export function readAnswer(bytes) {
  let at = 0;
  const number = () => { const size = 1 << (bytes[at] >> 6); let value = bytes[at] & 0x3f; for (let i = 1; i < size; i++) value = value * 256 + bytes[at + i]; at += size; return value; };
  const part = () => { const size = number(), from = at; at += size; if (at > bytes.length) throw new Error("truncated"); return bytes.subarray(from, at); };
  if (number() !== 1) throw new Error("no answer of known length");
  const status = number(), headers = {};
  const section = part();
  const rest = at;
  for (at = rest - section.length; at < rest;) { const name = part().toString(); headers[name] = part().toString(); }
  const body = part();
  part(); // trailers
  if (bytes.subarray(at).some((byte) => byte)) throw new Error("padding");
  return { status, headers, body, size: at, padded: bytes.length };
}

// Seals; answers {sealed, open(answer)}.
export async function seal(keys, message) {
  const { id, publicKey } = readKeys(keys);
  const header = Buffer.concat([Buffer.from([id]), SUITE]);
  const info = Buffer.concat([Buffer.from("message/bhttp request\0"), header]);
  const recipientPublicKey = await suite.kem.deserializePublicKey(Uint8Array.from(publicKey).buffer);
  const sender = await suite.createSenderContext({ recipientPublicKey, info: Uint8Array.from(info).buffer });
  const enc = Buffer.from(sender.enc);
  const sealed = Buffer.concat([header, enc, Buffer.from(await sender.seal(Uint8Array.from(message).buffer))]);
  const secret = Buffer.from(await sender.export(Uint8Array.from(Buffer.from("message/bhttp response")).buffer, 16));
  return { sealed, open: (answer) => openAnswer(enc, secret, Buffer.from(answer)) };
}

function openAnswer(enc, secret, answer) {
  const salt = Buffer.concat([enc, answer.subarray(0, 16)]);
  const prk = createHmac("sha256", salt).update(secret).digest();
  const expand = (label, size) => createHmac("sha256", prk).update(Buffer.concat([Buffer.from(label), Buffer.from([1])])).digest().subarray(0, size);
  const decipher = createDecipheriv("aes-128-gcm", expand("key", 16), expand("nonce", 12));
  decipher.setAuthTag(answer.subarray(-16));
  return Buffer.concat([decipher.update(answer.subarray(16, -16)), decipher.final()]);
}

// The sizes that trust allows: 256, powers of two to 64 KiB, then steps of 64 KiB.
export function isBucket(size) {
  return size >= 256 && (size <= 65536 ? (size & (size - 1)) === 0 : size % 65536 === 0);
}
