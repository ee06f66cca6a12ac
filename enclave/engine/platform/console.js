// console: lines to the host's log callback, with values written out to a bounded depth.
(function (native, hooks) {
    'use strict';
    const ITEMS = 100, DEPTH = 4, TEXT = 16384;

    const inspect = (value, depth, seen) => {
        switch (typeof value) {
        case 'string': return depth === 0 ? value : JSON.stringify(value);
        case 'bigint': return `${value}n`;
        case 'symbol': return value.toString();
        case 'function': return `[function ${value.name || 'anonymous'}]`;
        case 'object': break;
        default: return `${value}`;
        }
        if (value === null) return 'null';
        if (seen.includes(value)) return '[circular]';
        if (value instanceof Error) return `${value}${value.stack ? `\n${value.stack}`.trimEnd() : ''}`;
        if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
        if (value instanceof RegExp) return `${value}`;
        if (value instanceof Promise) return 'Promise {}';
        const name = value.constructor?.name ?? '';
        if (depth >= DEPTH) return Array.isArray(value) ? '[…]' : `${name} {…}`;
        const inner = [...seen, value];
        const show = (v) => inspect(v, depth + 1, inner);
        const list = (items, size) => {
            const out = [];
            for (const item of items) { if (out.length === ITEMS) break; out.push(item); }
            if (size > out.length) out.push(`… ${size - out.length} more`);
            return out.join(', ');
        };
        const mapped = function* (items, f) { for (const item of items) yield f(item); };
        if (Array.isArray(value)) return `[${list(mapped(value, show), value.length)}]`;
        if (ArrayBuffer.isView(value) && !(value instanceof DataView))
            return `${name}(${value.length}) [${list(mapped(value, String), value.length)}]`;
        if (value instanceof ArrayBuffer) return `ArrayBuffer(${value.byteLength})`;
        if (value instanceof Map) return `Map {${list(mapped(value, ([k, v]) => `${show(k)} => ${show(v)}`), value.size)}}`;
        if (value instanceof Set) return `Set {${list(mapped(value, show), value.size)}}`;
        if (typeof value.toJSON === 'function' && name !== 'Object') return `${name} ${JSON.stringify(value)}`;
        const keys = Object.keys(value);
        const prefix = name && name !== 'Object' ? `${name} ` : '';
        const word = (k) => (/^[A-Za-z_$][\w$]*$/.test(k) ? k : JSON.stringify(k));
        return `${prefix}{${keys.length ? ` ${list(mapped(keys, (k) => `${word(k)}: ${show(value[k])}`), keys.length)} ` : ''}}`;
    };

    const format = (args) => {
        let rest = args;
        let text = '';
        if (typeof args[0] === 'string' && args.length > 1 && args[0].includes('%')) {
            rest = args.slice(1);
            text = args[0].replace(/%([sdifjoOc%])/g, (whole, kind) => {
                if (kind === '%') return '%';
                if (rest.length === 0) return whole;
                const v = rest.shift();
                if (kind === 's') return typeof v === 'object' ? inspect(v, 1, []) : String(v);
                if (kind === 'd') return `${Number(v)}`;
                if (kind === 'i') return `${parseInt(v, 10)}`;
                if (kind === 'f') return `${parseFloat(v)}`;
                return kind === 'c' ? '' : inspect(v, 1, []);
            });
            if (rest.length > 0) text += ' ';
        }
        text += rest.map((v) => { try { return inspect(v, 0, []); } catch { return '[value that cannot be shown]'; } }).join(' ');
        return text.length > TEXT ? text.slice(0, TEXT) : text;
    };

    const line = (level) => (...args) => native.log(level, format(args));
    const counts = new Map();
    const started = new Map();
    const elapsed = (label) => `${label}: ${((native.clock(1) - (started.get(label) ?? native.clock(1))) / 1000).toFixed(3)} ms`;
    const console = {
        debug: line(0), log: line(1), info: line(1), warn: line(2), error: line(3), dir: line(1),
        trace(...args) { native.log(0, `${format(args)}\n${new Error().stack}`); },
        assert(claim, ...args) { if (!claim) native.log(3, `assertion failed${args.length ? `: ${format(args)}` : ''}`); },
        count(label = 'default') {
            counts.set(label, (counts.get(label) ?? 0) + 1);
            native.log(1, `${label}: ${counts.get(label)}`);
        },
        time(label = 'default') { started.set(label, native.clock(1)); },
        timeLog(label = 'default') { native.log(1, elapsed(label)); },
        timeEnd(label = 'default') { native.log(1, elapsed(label)); started.delete(label); },
        group(...args) { if (args.length) native.log(1, format(args)); },
        groupEnd() {},
    };
    hooks.define(globalThis, { console });
    hooks.report = (e) => native.log(3, `uncaught ${format([e])}`);
})
