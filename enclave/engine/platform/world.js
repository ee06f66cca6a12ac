// world: what only an enclave has: evidence over bytes of the function, keys of its app, secrets by reference.
(function (native, hooks) {
    'use strict';
    const EVIDENCE = 67, DERIVE = 68, SIGN = 69, PUBLIC = 70, REFER = 71, SECRET = 72;
    const schemes = ['ed25519', 'secp256k1'];
    const { ask, bytesOf, define } = hooks;
    const schemeOf = (options) => {
        const scheme = schemes.indexOf(`${options?.scheme ?? 'ed25519'}`);
        if (scheme < 0) throw new DOMException(`the scheme ${options.scheme} is not available`, 'NotSupportedError');
        return scheme;
    };
    const dataOf = (data) => (typeof data === 'string' ? hooks.encode(data) : bytesOf(data, 'data'));

    define(globalThis, {
        redoubt: Object.freeze({
            async evidence(bytes) { return new Uint8Array(ask(EVIDENCE, bytesOf(bytes, 'bytes'))); },
            async deriveKey(path) { return new Uint8Array(ask(DERIVE, `${path}`)); },
            async sign(data, options) { return new Uint8Array(ask(SIGN, schemeOf(options), dataOf(data))); },
            async publicKey(options) { return new Uint8Array(ask(PUBLIC, schemeOf(options))); },
        }),
        // A text that stands for the secret in a header of fetch, and is worth nothing anywhere else.
        secret(name) { return hooks.decode(new Uint8Array(ask(REFER, `${name}`))); },
    });
    // Secrets in env are read when they are used, so that they enter this memory no earlier.
    hooks.readSecret = (name) => hooks.decode(new Uint8Array(ask(SECRET, name)));
})
