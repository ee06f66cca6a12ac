// webcrypto_peer: what two implementations of the Web Cryptography API do for each other: `make` gives keys, signatures
// and ciphertexts as JSON, `check` reads what the other made and names what it does not agree with.
// Runs inside the engine (as a module of a handler) and in Node, whose webcrypto is the independent implementation.
const hex = (data) => Array.from(new Uint8Array(data), (b) => b.toString(16).padStart(2, "0")).join("");
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const encode = (text) => new TextEncoder().encode(text);
const message = encode("what do ya want for nothing?");
const HASHES = ["SHA-1", "SHA-256", "SHA-384", "SHA-512"];
const PAIRS = [
  { name: "Ed25519", generate: { name: "Ed25519" }, sign: { name: "Ed25519" }, usages: ["sign", "verify"] },
  { name: "ECDSA", generate: { name: "ECDSA", namedCurve: "P-256" }, sign: { name: "ECDSA", hash: "SHA-256" }, usages: ["sign", "verify"] },
  { name: "X25519", generate: { name: "X25519" }, usages: ["deriveBits", "deriveKey"] },
];
const formats = { publicKey: ["raw", "spki", "jwk"], privateKey: ["pkcs8", "jwk"] };
const put = (format, key) => (format === "jwk" ? key : hex(key));
const get = (format, key) => (format === "jwk" ? key : bytes(key));
const usagesOf = (pair, half) => (pair.name === "X25519" ? (half === "publicKey" ? [] : pair.usages) : half === "publicKey" ? ["verify"] : ["sign"]);

const ALICE = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", BOB = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
// Known answers: RFC 4231 case 2, RFC 5869 case 1, RFC 8032 7.1 test 2, RFC 7748 6.1, GCM's test case 4 of its specification.
const known = (subtle) => ({
  hmac: async () => hex(await subtle.sign("HMAC", await subtle.importKey("raw", encode("Jefe"), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]), message)) ===
    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
  hkdf: async () => {
    const key = await subtle.importKey("raw", bytes("0b".repeat(22)), "HKDF", false, ["deriveBits"]);
    const got = await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: bytes("000102030405060708090a0b0c"), info: bytes("f0f1f2f3f4f5f6f7f8f9") }, key, 336);
    return hex(got) === "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
  },
  ed25519: async () => {
    const key = await subtle.importKey("jwk", { kty: "OKP", crv: "Ed25519", d: "TM0Imyj_ltqdtsNG7BFOD1uKMZ81q6Yk2oz27U-4pvs", x: "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw" }, { name: "Ed25519" }, false, ["sign"]);
    return hex(await subtle.sign("Ed25519", key, bytes("72"))) ===
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
  },
  x25519: async () => {
    const alice = await subtle.importKey("pkcs8", bytes(`302e020100300506032b656e04220420${ALICE}`), { name: "X25519" }, false, ["deriveBits"]);
    const bob = await subtle.importKey("raw", bytes(BOB), { name: "X25519" }, false, []);
    return hex(await subtle.deriveBits({ name: "X25519", public: bob }, alice, 256)) === "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  },
  aes_gcm: async () => {
    const key = await subtle.importKey("raw", bytes("feffe9928665731c6d6a8f9467308308"), "AES-GCM", false, ["decrypt"]);
    const plain = await subtle.decrypt({ name: "AES-GCM", iv: bytes("cafebabefacedbaddecaf888"), additionalData: bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2") }, key,
      bytes("42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091" + "5bc94fbc3221a5db94fae95ae7121a47"));
    return hex(plain) === "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
  },
});

export async function make(crypto) {
  const { subtle } = crypto;
  const out = { digests: {}, hmac: {}, hkdf: {}, pairs: [], gcm: [] };
  for (const hash of HASHES) {
    out.digests[hash] = hex(await subtle.digest(hash, message));
    const key = await subtle.generateKey({ name: "HMAC", hash }, true, ["sign", "verify"]);
    out.hmac[hash] = { raw: hex(await subtle.exportKey("raw", key)), jwk: await subtle.exportKey("jwk", key), tag: hex(await subtle.sign("HMAC", key, message)) };
    const secret = crypto.getRandomValues(new Uint8Array(40));
    const base = await subtle.importKey("raw", secret, "HKDF", false, ["deriveBits", "deriveKey"]);
    const params = { name: "HKDF", hash, salt: message, info: encode(hash) };
    const derived = await subtle.deriveKey(params, base, { name: "AES-GCM", length: 256 }, true, ["encrypt"]);
    out.hkdf[hash] = { secret: hex(secret), bits: hex(await subtle.deriveBits(params, base, 776)), key: hex(await subtle.exportKey("raw", derived)) };
  }
  for (const length of [128, 192, 256]) {
    for (const [size, tagLength] of [[0, 128], [1, 96], [1000, 128], [65536, 104]]) {
      const key = await subtle.generateKey({ name: "AES-GCM", length }, true, ["encrypt", "decrypt"]);
      const iv = crypto.getRandomValues(new Uint8Array(size === 1 ? 16 : 12)), plain = new Uint8Array(size).fill(7);
      const sealed = await subtle.encrypt({ name: "AES-GCM", iv, additionalData: message, tagLength }, key, plain);
      out.gcm.push({ jwk: await subtle.exportKey("jwk", key), iv: hex(iv), tagLength, size, sealed: hex(sealed) });
    }
  }
  for (const pair of PAIRS) {
    const keys = await subtle.generateKey(pair.generate, true, pair.usages), other = await subtle.generateKey(pair.generate, true, pair.usages);
    const one = { name: pair.name, publicKey: {}, privateKey: {} };
    for (const half of ["publicKey", "privateKey"]) for (const format of formats[half]) one[half][format] = put(format, await subtle.exportKey(format, keys[half]));
    if (pair.sign) one.signature = hex(await subtle.sign(pair.sign, keys.privateKey, message));
    else {
      one.peer = hex(await subtle.exportKey("raw", other.publicKey));
      one.shared = hex(await subtle.deriveBits({ name: "X25519", public: other.publicKey }, keys.privateKey, 256));
    }
    out.pairs.push(one);
  }
  return out;
}

async function checkPair(subtle, one, say) {
  const pair = PAIRS.find((p) => p.name === one.name);
  for (const format of formats.publicKey) {
    const key = await subtle.importKey(format, get(format, one.publicKey[format]), pair.generate, true, usagesOf(pair, "publicKey"));
    if (pair.sign) say(`${one.name} ${format} verifies`, await subtle.verify(pair.sign, key, bytes(one.signature), message));
    if (pair.sign) say(`${one.name} ${format} refuses`, !(await subtle.verify(pair.sign, key, bytes(one.signature), encode("x"))));
    for (const other of formats.publicKey)
      if (other !== "jwk") say(`${one.name} ${format} to ${other}`, hex(await subtle.exportKey(other, key)) === one.publicKey[other]);
  }
  for (const format of formats.privateKey) {
    const key = await subtle.importKey(format, get(format, one.privateKey[format]), pair.generate, true, usagesOf(pair, "privateKey"));
    const jwk = await subtle.exportKey("jwk", key);
    say(`${one.name} ${format} to jwk`, ["d", "x", "y", "crv", "kty"].every((member) => jwk[member] === one.privateKey.jwk[member]));
    if (one.name === "Ed25519") say("Ed25519 is deterministic", hex(await subtle.sign(pair.sign, key, message)) === one.signature);
    if (pair.sign) continue;
    const peer = await subtle.importKey("raw", bytes(one.peer), pair.generate, true, []);
    say(`${one.name} ${format} agrees`, hex(await subtle.deriveBits({ name: "X25519", public: peer }, key, 256)) === one.shared);
  }
}

export async function check(crypto, made) {
  const { subtle } = crypto;
  const wrong = [];
  let count = 0;
  const say = (name, is_right) => { count++; if (!is_right) wrong.push(name); };
  for (const [name, run] of Object.entries(known(subtle))) say(`known ${name}`, await run());
  for (const hash of HASHES) {
    say(`digest ${hash}`, made.digests[hash] === hex(await subtle.digest(hash, message)));
    const { raw, jwk, tag } = made.hmac[hash];
    for (const [format, key] of [["raw", bytes(raw)], ["jwk", jwk]]) {
      const mac = await subtle.importKey(format, key, { name: "HMAC", hash }, true, ["sign", "verify"]);
      say(`HMAC ${hash} ${format}`, (await subtle.verify("HMAC", mac, bytes(tag), message)) && hex(await subtle.exportKey("raw", mac)) === raw);
    }
    const base = await subtle.importKey("raw", bytes(made.hkdf[hash].secret), "HKDF", false, ["deriveBits", "deriveKey"]);
    const params = { name: "HKDF", hash, salt: message, info: encode(hash) };
    say(`HKDF ${hash}`, hex(await subtle.deriveBits(params, base, 776)) === made.hkdf[hash].bits);
    const derived = await subtle.deriveKey(params, base, { name: "AES-GCM", length: 256 }, true, ["encrypt"]);
    say(`HKDF ${hash} key`, hex(await subtle.exportKey("raw", derived)) === made.hkdf[hash].key);
  }
  for (const { jwk, iv, tagLength, size, sealed } of made.gcm) {
    const key = await subtle.importKey("jwk", jwk, "AES-GCM", true, ["encrypt", "decrypt"]), params = { name: "AES-GCM", iv: bytes(iv), additionalData: message, tagLength };
    const plain = new Uint8Array(await subtle.decrypt(params, key, bytes(sealed)));
    say(`${jwk.alg} ${size} opens`, plain.length === size && plain.every((b) => b === 7));
    say(`${jwk.alg} ${size} seals`, hex(await subtle.encrypt(params, key, plain)) === sealed);
    const spoilt = bytes(sealed);
    spoilt[spoilt.length - 1] ^= 1;
    say(`${jwk.alg} ${size} refuses`, await subtle.decrypt(params, key, spoilt).then(() => false, (e) => e.name === "OperationError"));
  }
  for (const one of made.pairs) await checkPair(subtle, one, say);
  return { count, wrong };
}
