// clone: structuredClone (HTML standard, 2.7) for the types that exist here.
(function (native, hooks) {
    'use strict';
    const errors = { Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };

    const clone = (value, seen) => {
        const refuse = (what) => { throw new DOMException(`${what} cannot be cloned`, 'DataCloneError'); };
        if (typeof value === 'function') refuse('a function');
        if (typeof value === 'symbol') refuse('a symbol');
        if (typeof value !== 'object' || value === null) return value;
        if (seen.has(value)) return seen.get(value);
        const keep = (copy) => { seen.set(value, copy); return copy; };
        const tag = Object.prototype.toString.call(value).slice(8, -1);
        if (tag === 'Boolean' || tag === 'Number' || tag === 'String' || tag === 'BigInt') return keep(Object(value.valueOf()));
        if (value instanceof Date) return keep(new Date(value.getTime()));
        if (value instanceof RegExp) return keep(new RegExp(value.source, value.flags));
        if (value instanceof ArrayBuffer) return keep(value.slice(0));
        if (ArrayBuffer.isView(value)) {
            const buffer = clone(value.buffer, seen);
            const length = value instanceof DataView ? value.byteLength : value.length;
            return keep(new value.constructor(buffer, value.byteOffset, length));
        }
        if (value instanceof Map) {
            const copy = keep(new Map());
            for (const [k, v] of [...value]) copy.set(clone(k, seen), clone(v, seen));
            return copy;
        }
        if (value instanceof Set) {
            const copy = keep(new Set());
            for (const v of [...value]) copy.add(clone(v, seen));
            return copy;
        }
        if (value instanceof Error) {
            const copy = keep(new (errors[value.name] ?? Error)(value.message));
            Object.defineProperty(copy, 'stack', { value: value.stack, writable: true, configurable: true });
            if ('cause' in value) copy.cause = clone(value.cause, seen);
            return copy;
        }
        if (value instanceof Promise || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef)
            refuse(`a ${tag}`);
        const copy = keep(Array.isArray(value) ? new Array(value.length) : {});
        for (const k of Object.keys(value)) copy[k] = clone(value[k], seen);
        return copy;
    };
    hooks.define(globalThis, {
        structuredClone(value) {
            if (arguments.length === 0) throw new TypeError('structuredClone needs a value');
            return clone(value, new Map());
        },
    });
})
