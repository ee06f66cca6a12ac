// polyfill: what the engine lacks of ES2025, as far as it can be added from outside.
(function (native, hooks) {
    'use strict';
    const { define } = hooks;
    const add = (target, members) => {
        for (const name of Reflect.ownKeys(members)) if (!(name in target)) define(target, { [name]: members[name] });
    };

    const proto = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
    function Iterator() {
        if (new.target === undefined || new.target === Iterator) throw new TypeError('Iterator is abstract');
    }
    Object.defineProperty(Iterator, 'prototype', { value: proto, writable: false });
    const callable = (f) => { if (typeof f !== 'function') throw new TypeError('not a function'); };
    const count = (n) => {
        const v = Number(n);
        if (Number.isNaN(v) || v < 0) throw new RangeError('a count must not be negative');
        return Math.trunc(v);
    };
    const each = (it) => ({ [Symbol.iterator]: () => it });
    add(proto, {
        map(f) { callable(f); const it = this; return (function* () { let i = 0; for (const v of each(it)) yield f(v, i++); })(); },
        filter(f) { callable(f); const it = this; return (function* () { let i = 0; for (const v of each(it)) if (f(v, i++)) yield v; })(); },
        take(n) {
            const it = this;
            let left = count(n);
            return (function* () {
                if (left === 0) { it.return?.(); return; }
                for (const v of each(it)) { yield v; if (--left <= 0) return; }
            })();
        },
        drop(n) { const it = this; let left = count(n); return (function* () { for (const v of each(it)) if (left > 0) left--; else yield v; })(); },
        flatMap(f) { callable(f); const it = this; return (function* () { let i = 0; for (const v of each(it)) yield* f(v, i++); })(); },
        reduce(f, ...init) {
            callable(f);
            let has = init.length > 0, acc = init[0], i = 0;
            for (const v of each(this)) { if (has) acc = f(acc, v, i); else { acc = v; has = true; } i++; }
            if (!has) throw new TypeError('reduce of an empty iterator without an initial value');
            return acc;
        },
        toArray() { return [...each(this)]; },
        forEach(f) { callable(f); let i = 0; for (const v of each(this)) f(v, i++); },
        some(f) { callable(f); let i = 0; for (const v of each(this)) if (f(v, i++)) return true; return false; },
        every(f) { callable(f); let i = 0; for (const v of each(this)) if (!f(v, i++)) return false; return true; },
        find(f) { callable(f); let i = 0; for (const v of each(this)) if (f(v, i++)) return v; return undefined; },
    });
    add(Iterator, {
        from(source) {
            const it = source[Symbol.iterator] ? source[Symbol.iterator]() : source;
            if (it instanceof Iterator) return it;
            return (function* () { for (let r = it.next(); !r.done; r = it.next()) yield r.value; })();
        },
    });
    add(globalThis, { Iterator });

    const keysOf = (other) => {
        if (typeof other?.has !== 'function' || typeof other.keys !== 'function' || Number.isNaN(Number(other.size)))
            throw new TypeError('not a set-like object');
        return each(other.keys());
    };
    add(Set.prototype, {
        union(other) { const out = new Set(this); for (const v of keysOf(other)) out.add(v); return out; },
        intersection(other) { keysOf(other); const out = new Set(); for (const v of this) if (other.has(v)) out.add(v); return out; },
        difference(other) { keysOf(other); const out = new Set(); for (const v of this) if (!other.has(v)) out.add(v); return out; },
        symmetricDifference(other) {
            const out = new Set(this);
            for (const v of keysOf(other)) if (this.has(v)) out.delete(v); else out.add(v);
            return out;
        },
        isSubsetOf(other) { keysOf(other); for (const v of this) if (!other.has(v)) return false; return true; },
        isSupersetOf(other) { for (const v of keysOf(other)) if (!this.has(v)) return false; return true; },
        isDisjointFrom(other) { keysOf(other); for (const v of this) if (other.has(v)) return false; return true; },
    });
    add(Array, {
        async fromAsync(items, mapper, self) {
            const out = [];
            let i = 0;
            const source = items[Symbol.asyncIterator] || items[Symbol.iterator] ? items : Array.from(items);
            for await (const v of source) out.push(mapper ? await mapper.call(self, v, i++) : v);
            return out;
        },
    });
    add(Promise, { try(f, ...args) { return new this((resolve) => resolve(f(...args))); } });
    add(RegExp, {
        escape(text) {
            if (typeof text !== 'string') throw new TypeError('not a string');
            return text.replace(/[\^$\\.*+?()[\]{}|/]/g, '\\$&')
                .replace(/^[0-9a-zA-Z]/, (c) => `\\x${c.charCodeAt(0).toString(16)}`)
                .replace(/[,\-=<>#&!%:;@~'`" \t\n\v\f\r]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
        },
    });
    add(Error, { isError(v) { return v instanceof Error; } });

    // Uint8Array and base64 (ES2026 proposal-arraybuffer-base64).
    const plain = (text) => {
        if (typeof text !== 'string') throw new TypeError('not a string');
        return text.replace(/[\t\n\f\r ]/g, '');
    };
    const fromBase64 = (text, { alphabet = 'base64' } = {}) => {
        let s = plain(text);
        if (alphabet === 'base64url') {
            if (/[+/]/.test(s)) throw new SyntaxError('not base64url');
            s = s.replace(/-/g, '+').replace(/_/g, '/');
        }
        if (s.length % 4 === 0) s = s.replace(/={1,2}$/, '');
        const out = native.unbase64(s);
        if (out === null) throw new SyntaxError(`not ${alphabet}`);
        return new Uint8Array(out);
    };
    add(Uint8Array, {
        fromBase64,
        fromHex(text) {
            if (typeof text !== 'string') throw new TypeError('not a string');
            if (text.length % 2 || /[^0-9a-fA-F]/.test(text)) throw new SyntaxError('not hexadecimal');
            return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.substr(2 * i, 2), 16));
        },
    });
    const digits = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
    add(Uint8Array.prototype, {
        toBase64({ alphabet = 'base64', omitPadding = false } = {}) {
            let s = native.base64(this);
            if (alphabet === 'base64url') s = s.replace(/\+/g, '-').replace(/\//g, '_');
            return omitPadding ? s.replace(/=+$/, '') : s;
        },
        toHex() { let s = ''; for (const b of this) s += digits[b]; return s; },
    });
    define(globalThis, {
        btoa(text) {
            const s = `${text}`;
            const out = new Uint8Array(s.length);
            for (let i = 0; i < s.length; i++) {
                const c = s.charCodeAt(i);
                if (c > 255) throw new DOMException('a character is beyond U+00FF', 'InvalidCharacterError');
                out[i] = c;
            }
            return native.base64(out);
        },
        atob(text) {
            let s = `${text}`.replace(/[\t\n\f\r ]/g, '');
            if (s.length % 4 === 0) s = s.replace(/={1,2}$/, '');
            const bytes = native.unbase64(s);
            if (bytes === null) throw new DOMException('not base64', 'InvalidCharacterError');
            let out = '';
            for (const b of new Uint8Array(bytes)) out += String.fromCharCode(b);
            return out;
        },
    });
})
