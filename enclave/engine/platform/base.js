// base: helpers that the other files share through `hooks`, and the errors of the web platform.
(function (native, hooks) {
    'use strict';
    // Standard functions are writable, configurable and not enumerable (Web IDL, 3.7.7).
    hooks.define = (target, members) => {
        for (const name of Reflect.ownKeys(members)) {
            const d = Object.getOwnPropertyDescriptor(members, name);
            d.enumerable = false;
            Object.defineProperty(target, name, d);
        }
    };
    hooks.encode = (text) => new Uint8Array(native.encode(`${text}`.toWellFormed()));
    // The bytes of a BufferSource, not copied.
    hooks.bytesOf = (source, what) => {
        if (source instanceof ArrayBuffer) return new Uint8Array(source);
        if (ArrayBuffer.isView(source)) return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
        throw new TypeError(`${what} must be an ArrayBuffer or a view of one`);
    };

    const codes = { IndexSizeError: 1, InvalidCharacterError: 5, NotSupportedError: 9, InvalidStateError: 11,
        SyntaxError: 12, InvalidAccessError: 15, AbortError: 20, QuotaExceededError: 22, TimeoutError: 23,
        DataCloneError: 25 };
    class DOMException extends Error {
        #name;
        constructor(message = '', name = 'Error') {
            super(message);
            this.#name = `${name}`;
        }
        get name() { return this.#name; }
        get code() { return codes[this.#name] ?? 0; }
    }
    hooks.define(globalThis, { DOMException, self: globalThis });

    // A question to the host (guest/guest_abi.h): the answer's bytes, or its refusal as an exception.
    const refusals = ['', 'OperationError', 'DataError', 'InvalidAccessError', 'NotSupportedError', 'SyntaxError',
        'QuotaExceededError'];
    hooks.refusal = (text) => {
        const at = text.indexOf(':');
        const name = refusals[text.slice(0, at)], sentence = text.slice(at + 1);
        return name ? new DOMException(sentence, name) : new TypeError(sentence);
    };
    hooks.ask = (op, ...fields) => {
        const answer = native.ask(op, ...fields);
        if (typeof answer === 'string') throw hooks.refusal(answer);
        return answer;
    };
    // An answer made of fields, each a size and its bytes.
    hooks.fields = (buffer) => {
        const view = new DataView(buffer), out = [];
        for (let at = 0; at < buffer.byteLength;) {
            const size = view.getUint32(at, true);
            out.push(new Uint8Array(buffer, at + 4, size));
            at += 4 + size;
        }
        return out;
    };

    // Where a release shares its globals, one request follows another in them. What stands for something of the host
    // belongs to the turn that it was made in, and to no later one.
    hooks.turn = 0;
    hooks.checkTurn = (turn) => { if (turn !== hooks.turn) throw new TypeError('this belongs to a request that is over'); };

    // How many answers of the host are still to come; while there are any, the run loop calls hooks.wake.
    const waiting = { fetch: 0, stream: 0 };
    hooks.waits = (what, count) => {
        waiting[what] = count;
        native.waiting(waiting.fetch + waiting.stream);
    };

    // One thread and no shared memory: what cannot be used should not be found.
    delete globalThis.SharedArrayBuffer;
    delete globalThis.Atomics;
})
