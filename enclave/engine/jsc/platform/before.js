// before: what JavaScriptCore does otherwise than the platform wants it: time, chance, and WebAssembly without a loop.
(function (native, hooks) {
    'use strict';
    const define = (target, members) => {
        for (const name of Object.keys(members))
            Object.defineProperty(target, name, { value: members[name], writable: true, configurable: true });
    };

    // Time is the host's, and stands while a module loads.
    const { clock } = native, Real = Date;
    const now = () => Math.floor(clock(0) / 1000);
    const Shown = new Proxy(Real, {
        construct: (target, args, as) => Reflect.construct(target, args.length === 0 ? [now()] : args, as),
        apply: () => new Real(now()).toString(),
    });
    define(Real, { now });
    define(Real.prototype, { constructor: Shown });
    define(globalThis, { Date: Shown });
    const format = Intl.DateTimeFormat.prototype, original = Object.getOwnPropertyDescriptor(format, 'format').get;
    const toParts = format.formatToParts;
    Object.defineProperty(format, 'format', {
        get() { const f = original.call(this); return (date) => f(date === undefined ? now() : date); },
        configurable: true,
    });
    define(format, { formatToParts(date) { return toParts.call(this, date === undefined ? now() : date); } });

    // Chance is drawn from the host; the pool is empty until a request draws.
    const { random } = native, pool = new BigUint64Array(32);
    let left = 0;
    define(Math, {
        random() {
            if (left === 0) {
                random(new Uint8Array(pool.buffer));
                left = pool.length;
            }
            const word = pool[--left];
            pool[left] = 0n;
            return Number(word >> 11n) * 2 ** -53;
        },
    });

    hooks.redraw = () => { left = 0; };

    const toBase64 = Uint8Array.prototype.toBase64, fromBase64 = Uint8Array.fromBase64.bind(Uint8Array);
    native.base64 = (bytes) => toBase64.call(bytes);
    native.unbase64 = (text) => { try { return fromBase64(text).buffer; } catch { return null; } };

    // Compiling in the background would wait for an event loop that is not there: a promise of what is made at once.
    const { Module, Instance } = WebAssembly;
    const compile = async (bytes) => new Module(bytes);
    const instantiate = async (from, imports) => {
        if (from instanceof Module) return new Instance(from, imports);
        const module = new Module(from);
        return { module, instance: new Instance(module, imports) };
    };
    const bytesOf = async (source) => (await source).arrayBuffer();
    define(WebAssembly, {
        compile,
        instantiate,
        async compileStreaming(source) { return compile(await bytesOf(source)); },
        async instantiateStreaming(source, imports) { return instantiate(await bytesOf(source), imports); },
    });
})
