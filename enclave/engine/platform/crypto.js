// crypto: random values and the Web Cryptography API. Keys stay with the host, which checks every use; what stands here
// is the shape of the API (sections 10 to 18 there, and RFC 7517, 7518 and 8037 for JWK).
(function (native, hooks) {
    'use strict';
    const { define, bytesOf, ask, fields } = hooks;
    const DIGEST = 1, IMPORT = 2, EXPORT = 3, GENERATE = 4, SIGN = 5, VERIFY = 6, ENCRYPT = 7, DECRYPT = 8, DERIVE = 9;
    const algorithms = {
        HMAC: { id: 1, name: 'HMAC', kty: 'oct' },
        HKDF: { id: 2, name: 'HKDF' },
        'AES-GCM': { id: 3, name: 'AES-GCM', kty: 'oct' },
        ED25519: { id: 4, name: 'Ed25519', kty: 'OKP', isPair: true, jwa: ['EdDSA', 'Ed25519'] },
        ECDSA: { id: 5, name: 'ECDSA', kty: 'EC', isPair: true, jwa: ['ES256'] },
        X25519: { id: 6, name: 'X25519', kty: 'OKP', isPair: true, jwa: [] },
    };
    const hashes = { 'SHA-1': [1, 512], 'SHA-256': [2, 512], 'SHA-384': [3, 1024], 'SHA-512': [4, 1024] };
    const formats = { raw: 0, pkcs8: 1, spki: 2, jwk: 3 };
    const may = { sign: 1, verify: 2, encrypt: 4, decrypt: 8, deriveKey: 16, deriveBits: 32 };
    const EXTRACTABLE = 64, ofPublic = may.verify;
    const types = ['secret', 'public', 'private'];
    const none = new Uint8Array(0);

    const fail = (name, sentence) => { throw new DOMException(sentence, name); };
    const nameOf = (algorithm) => `${typeof algorithm === 'object' && algorithm ? algorithm.name : algorithm}`.toUpperCase();
    const hashOf = (algorithm) => {
        const name = nameOf(algorithm);
        if (!Object.hasOwn(hashes, name)) fail('NotSupportedError', `the digest ${name} is not available`);
        return name;
    };
    const algorithmOf = (given) => {
        const name = nameOf(given);
        if (!Object.hasOwn(algorithms, name)) fail('NotSupportedError', `the algorithm ${name} is not available`);
        if (name === 'ECDSA' && given.namedCurve !== undefined && given.namedCurve !== 'P-256')
            fail('NotSupportedError', `the curve ${given.namedCurve} is not available`);
        return algorithms[name];
    };
    // What an operation names must be what the key is for.
    const keyOf = (key, algorithm) => {
        if (!(key instanceof CryptoKey)) throw new TypeError('the key is no CryptoKey');
        const wanted = algorithmOf(algorithm);
        if (wanted.name !== key.algorithm.name) fail('InvalidAccessError', `the key is for ${key.algorithm.name}`);
        return wanted;
    };
    const flagsOf = (usages, extractable) => {
        let flags = extractable ? EXTRACTABLE : 0;
        for (const usage of usages) {
            if (!Object.hasOwn(may, usage)) fail('SyntaxError', `the usage ${usage} is not available`);
            flags |= may[usage];
        }
        return flags;
    };

    const made = Symbol('made by the platform');
    class CryptoKey {
        #handle;
        constructor(mark, handle, type, algorithm, flags) {
            if (mark !== made) throw new TypeError('use crypto.subtle');
            this.#handle = handle;
            this.type = type;
            this.extractable = (flags & EXTRACTABLE) !== 0;
            this.algorithm = Object.freeze(algorithm);
            this.usages = Object.freeze(Object.keys(may).filter((usage) => flags & may[usage]));
            Object.freeze(this);
        }
        static handle(key) { return key.#handle; }
    }
    const handleOf = CryptoKey.handle;
    delete CryptoKey.handle;

    // Handle, type and length, sixteen bytes, as the host answers.
    const newKey = (answer, at, algorithm, hash, flags) => {
        const view = new DataView(answer, at, 16);
        const description = { name: algorithm.name };
        if (algorithm.name === 'HMAC') description.hash = Object.freeze({ name: hash });
        if (algorithm.name === 'HMAC' || algorithm.name === 'AES-GCM') description.length = view.getUint32(12, true);
        if (algorithm.name === 'ECDSA') description.namedCurve = 'P-256';
        return new CryptoKey(made, new Uint8Array(answer, at, 8), types[view.getUint32(8, true)], description, flags);
    };
    const hashFor = (algorithm, given) => (algorithm.name === 'HMAC' ? hashOf(given.hash) : null);
    const idOf = (hash) => (hash === null ? 0 : hashes[hash][0]);

    const unbase64url = (text, name) => {
        const isText = typeof text === 'string' && !/[+/=]/.test(text);
        const bytes = isText ? native.unbase64(text.replaceAll('-', '+').replaceAll('_', '/')) : null;
        if (bytes === null) fail('DataError', `"${name}" of the JWK is no base64url`);
        return new Uint8Array(bytes);
    };
    const base64url = (bytes) => native.base64(bytes).replace(/=+$/, '').replaceAll('+', '-').replaceAll('/', '_');
    const jwaOf = (algorithm, hash, bits) =>
        (algorithm.name === 'HMAC' ? [`HS${hash.slice(4)}`] : algorithm.name === 'AES-GCM' ? [`A${bits}GCM`] : algorithm.jwa);

    const partsOfJwk = (jwk, algorithm, hash, extractable, usages) => {
        if (typeof jwk !== 'object' || jwk === null) throw new TypeError('a JWK is an object');
        if (algorithm.kty === undefined) fail('NotSupportedError', `${algorithm.name} keys do not come as JWK`);
        const crv = algorithm.kty === 'EC' ? 'P-256' : algorithm.kty === 'OKP' ? algorithm.name : undefined;
        if (jwk.kty !== algorithm.kty || (crv !== undefined && jwk.crv !== crv))
            fail('DataError', `the JWK is no key for ${algorithm.name}`);
        const isSigning = algorithm.name === 'HMAC' || algorithm.id === 4 || algorithm.id === 5;
        if (jwk.use !== undefined && usages.length > 0 && jwk.use !== (isSigning ? 'sig' : 'enc'))
            fail('DataError', 'the JWK is for another use');
        if (jwk.key_ops !== undefined && (!Array.isArray(jwk.key_ops) || new Set(jwk.key_ops).size !== jwk.key_ops.length ||
            usages.some((usage) => !jwk.key_ops.includes(usage)))) fail('DataError', 'the JWK does not allow these usages');
        if (jwk.ext === false && extractable) fail('DataError', 'the JWK may not be extractable');
        const parts = algorithm.kty === 'oct' ? [unbase64url(jwk.k, 'k')] : [unbase64url(jwk.x, 'x')];
        if (algorithm.kty === 'EC') parts.push(unbase64url(jwk.y, 'y'));
        if (algorithm.isPair) parts.push(jwk.d === undefined ? none : unbase64url(jwk.d, 'd'));
        if (jwk.alg !== undefined && !jwaOf(algorithm, hash, parts[0].length * 8).includes(jwk.alg))
            fail('DataError', `the JWK is for ${jwk.alg}`);
        return parts;
    };
    const toJwk = (key, parts) => {
        const algorithm = algorithms[key.algorithm.name.toUpperCase()];
        const jwk = { kty: algorithm.kty };
        if (algorithm.kty === 'oct') {
            jwk.k = base64url(parts[0]);
            jwk.alg = jwaOf(algorithm, key.algorithm.hash?.name, key.algorithm.length)[0];
        } else {
            jwk.crv = algorithm.kty === 'EC' ? 'P-256' : algorithm.name;
            jwk.x = base64url(parts[0]);
            if (algorithm.kty === 'EC') jwk.y = base64url(parts[1]);
            if (key.type === 'private') jwk.d = base64url(parts.at(-1));
        }
        return { ...jwk, key_ops: [...key.usages], ext: key.extractable };
    };

    // The length in bits that a key of this algorithm is made with, or null.
    const lengthOf = (algorithm, given) => {
        if (algorithm.name === 'HKDF') return null;
        if (given.length === undefined && algorithm.name === 'HMAC') return hashes[hashOf(given.hash)][1];
        const bits = Number(given.length);
        if (algorithm.name === 'AES-GCM' && ![128, 192, 256].includes(bits)) fail('OperationError', 'an AES key has 128, 192 or 256 bits');
        if (!Number.isInteger(bits) || bits <= 0) fail('OperationError', 'the length is no number of bits');
        return bits;
    };
    // hash, salt or the other's key, info: what a derivation is made from.
    const derivation = (algorithm, given) => {
        if (algorithm.name === 'HKDF') return [idOf(hashOf(given.hash)), bytesOf(given.salt, 'salt'), bytesOf(given.info, 'info')];
        if (algorithm.name !== 'X25519') fail('NotSupportedError', `${algorithm.name} derives nothing`);
        keyOf(given.public, 'X25519');
        return [0, handleOf(given.public), none];
    };
    const signingHash = (algorithm, given) => (algorithm.name === 'ECDSA' ? idOf(hashOf(given.hash)) : 0);
    const crypt = (op, given, key, data) => {
        keyOf(key, given);
        return ask(op, handleOf(key), bytesOf(given.iv, 'iv'), given.additionalData === undefined ? none : bytesOf(given.additionalData, 'additionalData'),
            Number(given.tagLength ?? 128), bytesOf(data, 'data'));
    };

    class SubtleCrypto {
        async digest(algorithm, data) { return ask(DIGEST, idOf(hashOf(algorithm)), bytesOf(data, 'data')); }
        async importKey(format, data, given, extractable, usages) {
            const algorithm = algorithmOf(given), hash = hashFor(algorithm, given), list = [...usages];
            if (!Object.hasOwn(formats, format)) fail('NotSupportedError', `the key format ${format} is not available`);
            const parts = format === 'jwk' ? partsOfJwk(data, algorithm, hash, extractable, list) : [bytesOf(data, 'keyData')];
            const flags = flagsOf(list, extractable);
            const key = newKey(ask(IMPORT, formats[format], algorithm.id, idOf(hash), flags, ...parts), 0, algorithm, hash, flags);
            if (key.type !== 'public' && list.length === 0) fail('SyntaxError', 'a secret or private key needs a usage');
            return key;
        }
        async exportKey(format, key) {
            if (!(key instanceof CryptoKey)) throw new TypeError('the key is no CryptoKey');
            if (!Object.hasOwn(formats, format)) fail('NotSupportedError', `the key format ${format} is not available`);
            const answer = ask(EXPORT, formats[format], handleOf(key));
            return format === 'jwk' ? toJwk(key, fields(answer)) : answer;
        }
        async generateKey(given, extractable, usages) {
            const algorithm = algorithmOf(given), hash = hashFor(algorithm, given), flags = flagsOf(usages, extractable);
            if (!algorithm.isPair) {
                const bits = lengthOf(algorithm, given) ?? 0;
                const answer = ask(GENERATE, algorithm.id, idOf(hash), bits, flags, 0);
                if ((flags & ~EXTRACTABLE) === 0) fail('SyntaxError', 'a secret key needs a usage');
                return newKey(answer, 0, algorithm, hash, flags);
            }
            const privateFlags = flags & ~ofPublic, publicFlags = (flags & ofPublic) | EXTRACTABLE;
            const answer = ask(GENERATE, algorithm.id, 0, 0, privateFlags, publicFlags);
            if ((privateFlags & ~EXTRACTABLE) === 0) fail('SyntaxError', 'a private key needs a usage');
            return { publicKey: newKey(answer, 0, algorithm, null, publicFlags), privateKey: newKey(answer, 16, algorithm, null, privateFlags) };
        }
        async sign(given, key, data) {
            const algorithm = keyOf(key, given);
            return ask(SIGN, algorithm.id, signingHash(algorithm, given), handleOf(key), bytesOf(data, 'data'));
        }
        async verify(given, key, signature, data) {
            const algorithm = keyOf(key, given);
            return new Uint8Array(ask(VERIFY, algorithm.id, signingHash(algorithm, given), handleOf(key),
                bytesOf(signature, 'signature'), bytesOf(data, 'data')))[0] === 1;
        }
        async encrypt(given, key, data) { return crypt(ENCRYPT, given, key, data); }
        async decrypt(given, key, data) { return crypt(DECRYPT, given, key, data); }
        async deriveBits(given, key, length = null) {
            const algorithm = keyOf(key, given), from = derivation(algorithm, given);
            if (length === null && algorithm.name === 'HKDF') fail('OperationError', 'HKDF needs a length');
            return ask(DERIVE, algorithm.id, handleOf(key), ...from, Number(length ?? 256), 0, 0, 0);
        }
        async deriveKey(given, key, into, extractable, usages) {
            const algorithm = keyOf(key, given), from = derivation(algorithm, given), made = algorithmOf(into);
            const hash = hashFor(made, into), flags = flagsOf(usages, extractable), bits = lengthOf(made, into);
            if ((flags & ~EXTRACTABLE) === 0) fail('SyntaxError', 'a secret key needs a usage');
            if (bits === null && algorithm.name === 'HKDF') fail('OperationError', 'HKDF needs a length');
            return newKey(ask(DERIVE, algorithm.id, handleOf(key), ...from, bits ?? 256, made.id, idOf(hash), flags), 0, made, hash, flags);
        }
    }
    for (const name of ['wrapKey', 'unwrapKey'])
        define(SubtleCrypto.prototype, { [name]: async () => fail('NotSupportedError', `crypto.subtle.${name} is not available`) });

    class Crypto {
        #subtle = new SubtleCrypto();
        get subtle() { return this.#subtle; }
        getRandomValues(array) {
            if (!ArrayBuffer.isView(array) || array instanceof DataView || array instanceof Float32Array ||
                array instanceof Float64Array) throw new DOMException('not an integer array', 'TypeMismatchError');
            if (array.byteLength > 65536) throw new DOMException('more than 65536 bytes', 'QuotaExceededError');
            native.random(bytesOf(array, 'array'));
            return array;
        }
        // RFC 9562, 5.4.
        randomUUID() {
            const b = new Uint8Array(16);
            native.random(b);
            b[6] = (b[6] & 0x0f) | 0x40;
            b[8] = (b[8] & 0x3f) | 0x80;
            return b.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
        }
    }
    define(globalThis, { crypto: new Crypto(), CryptoKey, SubtleCrypto, Crypto });
})
