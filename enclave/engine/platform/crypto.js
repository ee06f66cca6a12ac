// crypto: random values, digests and HMAC of the Web Cryptography API. Other algorithms are not in this release.
(function (native, hooks) {
    'use strict';
    const { define, bytesOf } = hooks;
    const sizes = { 'SHA-1': [1, 64], 'SHA-256': [256, 64], 'SHA-384': [384, 128], 'SHA-512': [512, 128] };
    const nameOf = (algorithm) => `${typeof algorithm === 'object' && algorithm ? algorithm.name : algorithm}`.toUpperCase();
    const refuse = (what) => { throw new DOMException(`${what} is not available in this release`, 'NotSupportedError'); };
    const hashOf = (algorithm) => {
        const name = nameOf(algorithm);
        if (!(name in sizes)) refuse(`the digest ${name}`);
        return name;
    };
    const digest = (name, bytes) => native.digest(sizes[name][0], bytes);

    const key = Symbol('made by the platform');
    class CryptoKey {
        #bytes;
        constructor(made, bytes, hash, extractable, usages) {
            if (made !== key) throw new TypeError('use crypto.subtle.importKey');
            this.#bytes = bytes;
            this.type = 'secret';
            this.extractable = !!extractable;
            this.algorithm = Object.freeze({ name: 'HMAC', hash: Object.freeze({ name: hash }), length: bytes.length * 8 });
            this.usages = Object.freeze([...usages]);
            Object.freeze(this);
        }
        static bytes(k) { return k.#bytes; }
    }
    const keyBytes = CryptoKey.bytes;
    delete CryptoKey.bytes;

    // RFC 2104.
    const hmac = (k, data) => {
        const hash = k.algorithm.hash.name;
        const step = sizes[hash][1];
        let secret = keyBytes(k);
        if (secret.length > step) secret = new Uint8Array(digest(hash, secret));
        const pad = (value, message) => {
            const out = new Uint8Array(step + message.length).fill(value, 0, step);
            for (let i = 0; i < secret.length; i++) out[i] ^= secret[i];
            out.set(message, step);
            return digest(hash, out);
        };
        return pad(0x5c, new Uint8Array(pad(0x36, data)));
    };
    const need = (k, usage, algorithm) => {
        if (nameOf(algorithm) !== 'HMAC') refuse(`the algorithm ${nameOf(algorithm)}`);
        if (!(k instanceof CryptoKey) || !k.usages.includes(usage))
            throw new DOMException(`the key may not ${usage}`, 'InvalidAccessError');
    };

    class SubtleCrypto {
        async digest(algorithm, data) { return digest(hashOf(algorithm), bytesOf(data, 'data')); }
        async importKey(format, data, algorithm, extractable, usages) {
            if (format !== 'raw') refuse(`the key format ${format}`);
            if (nameOf(algorithm) !== 'HMAC') refuse(`the algorithm ${nameOf(algorithm)}`);
            const bytes = bytesOf(data, 'data').slice();
            if (bytes.length === 0) throw new DOMException('the key is empty', 'DataError');
            return new CryptoKey(key, bytes, hashOf(algorithm.hash), extractable, usages);
        }
        async exportKey(format, k) {
            if (format !== 'raw') refuse(`the key format ${format}`);
            if (!k.extractable) throw new DOMException('the key is not extractable', 'InvalidAccessError');
            return keyBytes(k).slice().buffer;
        }
        async sign(algorithm, k, data) { need(k, 'sign', algorithm); return hmac(k, bytesOf(data, 'data')); }
        async verify(algorithm, k, signature, data) {
            need(k, 'verify', algorithm);
            const want = new Uint8Array(hmac(k, bytesOf(data, 'data')));
            const got = bytesOf(signature, 'signature');
            let difference = want.length ^ got.length;
            for (let i = 0; i < want.length; i++) difference |= want[i] ^ got[i % Math.max(got.length, 1)];
            return difference === 0;
        }
        async generateKey(algorithm, extractable, usages) {
            native.guard();
            if (nameOf(algorithm) !== 'HMAC') refuse(`the algorithm ${nameOf(algorithm)}`);
            const hash = hashOf(algorithm.hash);
            const bytes = new Uint8Array(algorithm.length ? Math.ceil(algorithm.length / 8) : sizes[hash][1]);
            native.random(bytes);
            return new CryptoKey(key, bytes, hash, extractable, usages);
        }
    }
    for (const name of ['encrypt', 'decrypt', 'deriveKey', 'deriveBits', 'wrapKey', 'unwrapKey'])
        define(SubtleCrypto.prototype, { [name]: async () => refuse(`crypto.subtle.${name}`) });

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
