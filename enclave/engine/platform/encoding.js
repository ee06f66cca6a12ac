// encoding: TextEncoder and TextDecoder for UTF-8 (Encoding standard, sections 7 and 8).
(function (native, hooks) {
    'use strict';
    const { define, encode, bytesOf } = hooks;
    const labels = ['utf-8', 'utf8', 'unicode-1-1-utf-8', 'unicode11utf8', 'unicode20utf8', 'x-unicode20utf8'];

    class TextEncoder {
        get encoding() { return 'utf-8'; }
        encode(text = '') { return encode(text); }
        encodeInto(text, into) {
            let read = 0, written = 0;
            for (const c of `${text}`) {
                const bytes = encode(c);
                if (written + bytes.length > into.length) break;
                into.set(bytes, written);
                written += bytes.length;
                read += c.length;
            }
            return { read, written };
        }
    }

    class TextDecoder {
        #fatal; #ignoreBOM; #rest = null; #hasStarted = false;
        constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
            if (!labels.includes(`${label}`.trim().toLowerCase()))
                throw new RangeError(`the encoding "${label}" is not supported: only utf-8`);
            this.#fatal = !!fatal;
            this.#ignoreBOM = !!ignoreBOM;
        }
        get encoding() { return 'utf-8'; }
        get fatal() { return this.#fatal; }
        get ignoreBOM() { return this.#ignoreBOM; }
        decode(input, { stream = false } = {}) {
            let bytes = input === undefined ? new Uint8Array(0) : bytesOf(input, 'input');
            if (this.#rest) {
                const joined = new Uint8Array(this.#rest.length + bytes.length);
                joined.set(this.#rest);
                joined.set(bytes, this.#rest.length);
                bytes = joined;
                this.#rest = null;
            }
            if (stream) {
                const keep = native.tail(bytes);
                if (keep > 0) this.#rest = bytes.slice(bytes.length - keep);
                bytes = bytes.subarray(0, bytes.length - keep);
            }
            let text = native.decode(bytes, this.#fatal);
            if (text === null) {
                this.#hasStarted = false;
                throw new TypeError('the bytes are not valid utf-8');
            }
            if (!this.#hasStarted && text !== '') {
                this.#hasStarted = true;
                if (!this.#ignoreBOM && text.charCodeAt(0) === 0xfeff) text = text.slice(1);
            }
            if (!stream) this.#hasStarted = false;
            return text;
        }
    }
    define(globalThis, { TextEncoder, TextDecoder });
    hooks.decode = (bytes) => {
        const text = native.decode(bytes, false);
        return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
    };
})
