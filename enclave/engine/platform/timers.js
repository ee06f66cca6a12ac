// timers: setTimeout and its kin. Nothing sleeps here: the host asks for the next due time and waits.
(function (native, hooks) {
    'use strict';
    const TIMERS = 10000;
    const timers = new Map();
    let last = 0;
    let origin = { mono: 0, wall: 0 };

    const start = (callback, delay, args, repeat) => {
        native.guard('timer');
        if (typeof callback !== 'function') throw new TypeError('a timer needs a function');
        if (timers.size >= TIMERS) throw new RangeError(`more than ${TIMERS} timers`);
        const ms = Math.min(Math.max(Number(delay) || 0, repeat ? 1 : 0), 2147483647);
        timers.set(++last, { callback, args, due: native.clock(1) + ms * 1000, every: repeat ? ms * 1000 : -1 });
        return last;
    };
    const stop = (id) => { timers.delete(Number(id)); };

    // One timer at most, so that promise jobs run between two: 0 when one ran, -1 without any, else the next due time.
    hooks.fire = () => {
        let first = 0, due = Infinity;
        for (const [id, t] of timers) if (t.due < due) { due = t.due; first = id; }
        if (first === 0) return -1;
        if (due > native.clock(1)) return due;
        const t = timers.get(first);
        if (t.every < 0) timers.delete(first);
        else t.due = native.clock(1) + t.every;
        try {
            t.callback(...t.args);
        } catch (e) {
            hooks.report(e);
        }
        return 0;
    };
    hooks.hasTimers = () => timers.size > 0;
    hooks.startClock = () => { origin = { mono: native.clock(1), wall: native.clock(0) }; };

    const resolved = Promise.resolve();
    hooks.define(globalThis, {
        setTimeout(callback, delay, ...args) { return start(callback, delay, args, false); },
        setInterval(callback, delay, ...args) { return start(callback, delay, args, true); },
        clearTimeout: stop,
        clearInterval: stop,
        queueMicrotask(callback) {
            if (typeof callback !== 'function') throw new TypeError('queueMicrotask needs a function');
            resolved.then(() => { try { callback(); } catch (e) { hooks.report(e); } });
        },
        performance: Object.freeze({
            now() { return (native.clock(1) - origin.mono) / 1000; },
            get timeOrigin() { return origin.wall / 1000; },
            toJSON() { return { timeOrigin: origin.wall / 1000 }; },
        }),
    });
})
