// DER, as much as certificates and revocation lists need (X.690). Everything takes and gives Buffers.
export const hex = (text) => Buffer.from(text, "hex");

export function tlv(tag, ...parts) {
  const content = Buffer.concat(parts);
  const n = content.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : n < 0x10000 ? [0x82, n >> 8, n & 255] : [0x83, n >> 16, (n >> 8) & 255, n & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

export const seq = (...parts) => tlv(0x30, ...parts);
export const set = (...parts) => tlv(0x31, ...parts);
export const octets = (bytes) => tlv(0x04, bytes);
export const bits = (bytes, unused = 0) => tlv(0x03, Buffer.from([unused]), bytes);
export const bool = (value) => tlv(0x01, Buffer.from([value ? 0xff : 0]));
export const nul = tlv(0x05);
export const utf8 = (text) => tlv(0x0c, Buffer.from(text));
export const ia5 = (text) => tlv(0x16, Buffer.from(text));
export const explicit = (n, ...parts) => tlv(0xa0 | n, ...parts);
export const implicit = (n, bytes) => tlv(0x80 | n, bytes);

// Of a number, or of unsigned big-endian bytes.
export function int(value, tag = 0x02) {
  const digits = Buffer.isBuffer(value) ? value.toString("hex") : BigInt(value).toString(16);
  let bytes = hex(digits.length % 2 ? `0${digits}` : digits);
  while (bytes.length > 1 && bytes[0] === 0) bytes = bytes.subarray(1);
  return tlv(tag, bytes[0] & 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes);
}

export const enumerated = (value) => int(value, 0x0a);

const base128 = (value) => {
  const out = [Number(value & 127n)];
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) out.unshift(Number(rest & 127n) | 0x80);
  return out;
};

export function oid(dotted) {
  const [first, second, ...rest] = dotted.split(".").map(BigInt);
  return tlv(0x06, Buffer.from([first * 40n + second, ...rest].flatMap(base128)));
}

// UTCTime up to 2049, GeneralizedTime from then on (RFC 5280, 4.1.2.5).
export function time(rfc3339) {
  const digits = rfc3339.replace(/[-:TZ]/g, "");
  return digits < "2050" ? tlv(0x17, Buffer.from(`${digits.slice(2)}Z`)) : tlv(0x18, Buffer.from(`${digits}Z`));
}

export const pem = (der, label = "CERTIFICATE") =>
  `-----BEGIN ${label}-----\n${der.toString("base64").replace(/.{1,64}/g, "$&\n")}-----END ${label}-----\n`;
