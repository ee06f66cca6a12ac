// A second client of sealed requests, after RFC 9458, RFC 9292 and draft-ietf-ohai-chunked-ohttp-08, over an independent HPKE
// (@hpke/core): what it seals the enclave must open, and the other way round. Shares no code with the command line.
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

// The same request of indeterminate length, its body in the pieces given.
export function writeStreamRequest({ method = "POST", path = "/", host = "", headers = {}, pieces = [] }) {
  const fields = Object.entries(headers).flatMap(([name, value]) => [piece(name), piece(value)]);
  return Buffer.concat([Buffer.from([2]), piece(method), piece("https"), piece(host), piece(path), ...fields, integer(0), ...pieces.map(piece), integer(0), integer(0)]);
}

// An answer of indeterminate length as it comes: feed(bytes) returns what it brings of the content; head, trailers once they are there,
// and isWhole. With redoubt-padding the content is its data alone.
export class StreamReader {
  #rest = Buffer.alloc(0);
  #padded = Buffer.alloc(0);
  #state = "head";
  feed(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const content = [];
    for (;;) {
      const before = this.#rest, state = this.#state;
      try { content.push(...this.#step()); } catch (error) { if (error !== StreamReader.#more) throw error; this.#rest = before; this.#state = state; break; }
      if (this.#state === "padding") { if (this.#rest.some((byte) => byte)) throw new Error("padding"); break; }
    }
    const all = Buffer.concat(content);
    return this.head?.headers["redoubt-padding"] === "1" ? this.#unpad(all) : all;
  }
  get isWhole() { return this.#state === "padding" && this.#padded.length === 0; }
  static #more = new Error("more is to come");
  static #number(from) {
    const size = from.at < from.bytes.length ? 1 << (from.bytes[from.at] >> 6) : 1;
    if (from.at + size > from.bytes.length) throw StreamReader.#more;
    let value = from.bytes[from.at] & 0x3f;
    for (let i = 1; i < size; i++) value = value * 256 + from.bytes[from.at + i];
    from.at += size;
    return value;
  }
  static #take(from, size) {
    if (from.at + size > from.bytes.length) throw StreamReader.#more;
    from.at += size;
    return from.bytes.subarray(from.at - size, from.at);
  }
  #step() {
    const from = { bytes: this.#rest, at: 0 }, number = () => StreamReader.#number(from), part = () => StreamReader.#take(from, number());
    const fields = () => { const all = {}; for (let name; (name = part().toString()); ) all[name] = part().toString(); return all; };
    let content = [];
    if (this.#state === "head") {
      if (number() !== 3) throw new Error("no answer of indeterminate length");
      this.head = { status: number(), headers: fields() };
      this.#state = "content";
    } else if (this.#state === "content") {
      const bytes = part();
      if (bytes.length === 0) this.#state = "trailers"; else content = [bytes];
    } else if (this.#state === "trailers") {
      this.trailers = fields();
      this.#state = "padding";
    }
    this.#rest = this.#rest.subarray(from.at);
    return content;
  }
  #unpad(bytes) {
    this.#padded = Buffer.concat([this.#padded, bytes]);
    const data = [];
    for (;;) {
      const from = { bytes: this.#padded, at: 0 };
      try {
        const sizes = [StreamReader.#number(from), StreamReader.#number(from)];
        const [text, zeros] = sizes.map((size) => StreamReader.#take(from, size));
        if (zeros.some((byte) => byte)) throw new Error("padding within the content");
        data.push(text);
        this.#padded = this.#padded.subarray(from.at);
      } catch (error) { if (error === StreamReader.#more) return Buffer.concat(data); throw error; }
    }
  }
}

async function begin(keys, label) {
  const { id, publicKey } = readKeys(keys);
  const header = Buffer.concat([Buffer.from([id]), SUITE]);
  const info = Buffer.concat([Buffer.from(`message/bhttp ${label}request\0`), header]);
  const recipientPublicKey = await suite.kem.deserializePublicKey(Uint8Array.from(publicKey).buffer);
  const sender = await suite.createSenderContext({ recipientPublicKey, info: Uint8Array.from(info).buffer });
  const enc = Buffer.from(sender.enc);
  const secret = Buffer.from(await sender.export(Uint8Array.from(Buffer.from(`message/bhttp ${label}response`)).buffer, 16));
  return { head: Buffer.concat([header, enc]), enc, secret, seal: async (bytes, aad = "") => Buffer.from(await sender.seal(Uint8Array.from(bytes).buffer, Uint8Array.from(Buffer.from(aad)).buffer)) };
}

// Seals; answers {sealed, open(answer)}.
export async function seal(keys, message) {
  const { head, enc, secret, seal } = await begin(keys, "");
  return { sealed: Buffer.concat([head, await seal(message)]), open: (answer) => openAnswer(enc, secret, Buffer.from(answer)) };
}

// Seals in chunks of the sizes given, the rest in the final one; answers {sealed, opener()}.
export async function sealChunked(keys, message, sizes = []) {
  const { head, enc, secret, seal } = await begin(keys, "chunked ");
  const parts = [head];
  for (const size of sizes) {
    const chunk = await seal(message.subarray(0, size));
    parts.push(integer(chunk.length), chunk);
    message = message.subarray(size);
  }
  parts.push(integer(0), await seal(message, "final"));
  return { sealed: Buffer.concat(parts), opener: () => new ChunkOpener(enc, secret) };
}

// The nonce and the chunks of an answer, each with its size before it; the last has size 0.
export function splitChunks(answer) {
  const parts = [answer.subarray(0, 16)];
  for (let at = 16; at < answer.length; ) {
    const size = 1 << (answer[at] >> 6);
    let length = answer[at] & 0x3f;
    for (let i = 1; i < size; i++) length = length * 256 + answer[at + i];
    const end = length === 0 ? answer.length : at + size + length;
    parts.push(answer.subarray(at, end));
    at = end;
  }
  return parts;
}

function keysOf(enc, secret, nonce) {
  const prk = createHmac("sha256", Buffer.concat([enc, nonce])).update(secret).digest();
  const expand = (label, size) => createHmac("sha256", prk).update(Buffer.concat([Buffer.from(label), Buffer.from([1])])).digest().subarray(0, size);
  return { key: expand("key", 16), nonce: expand("nonce", 12) };
}

function open(key, nonce, bytes, aad = "") {
  const decipher = createDecipheriv("aes-128-gcm", key, nonce).setAAD(Buffer.from(aad));
  decipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]);
}

function openAnswer(enc, secret, answer) {
  const keys = keysOf(enc, secret, answer.subarray(0, 16));
  return open(keys.key, keys.nonce, answer.subarray(16));
}

// An answer's chunks as they come: feed(bytes) returns what opens of the message, end() the rest. sizes: of each chunk's message.
class ChunkOpener {
  #rest = Buffer.alloc(0);
  #counter = 0n;
  sizes = [];
  constructor(enc, secret) { this.enc = enc; this.secret = secret; }
  feed(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    if (!this.keys) {
      if (this.#rest.length < 16) return Buffer.alloc(0);
      this.keys = keysOf(this.enc, this.secret, this.#rest.subarray(0, 16));
      this.#rest = this.#rest.subarray(16);
    }
    const out = [];
    while (!this.isFinal && this.#rest.length > 0) {
      const size = 1 << (this.#rest[0] >> 6);
      if (this.#rest.length < size) break;
      let length = this.#rest[0] & 0x3f;
      for (let i = 1; i < size; i++) length = length * 256 + this.#rest[i];
      if (length > 0 && this.#rest.length < size + length) break;
      if (length > 0) out.push(this.#open(this.#rest.subarray(size, size + length)));
      this.isFinal = length === 0;
      this.#rest = this.#rest.subarray(size + length);
    }
    return Buffer.concat(out);
  }
  end() {
    if (!this.isFinal) throw new Error("no final chunk");
    return this.#open(this.#rest, "final");
  }
  #open(chunk, aad) {
    const nonce = Buffer.from(this.keys.nonce), low = nonce.readBigUInt64BE(4) ^ this.#counter++;
    nonce.writeBigUInt64BE(low, 4);
    const message = open(this.keys.key, nonce, chunk, aad);
    this.sizes.push(message.length);
    return message;
  }
}

// The sizes that trust allows: 256, powers of two to 64 KiB, then steps of 64 KiB.
export function isBucket(size) {
  return size >= 256 && (size <= 65536 ? (size & (size - 1)) === 0 : size % 65536 === 0);
}
