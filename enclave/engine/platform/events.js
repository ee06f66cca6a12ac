// events: Event, EventTarget, AbortController and AbortSignal (DOM standard, sections 2 and 3), without a tree.
(function (native, hooks) {
    'use strict';
    const { define } = hooks;

    class Event {
        #type; #cancelable; #stopped = false; #prevented = false;
        constructor(type, { cancelable = false } = {}) {
            if (arguments.length === 0) throw new TypeError('an event needs a type');
            this.#type = `${type}`;
            this.#cancelable = !!cancelable;
            this.target = null;
            this.currentTarget = null;
        }
        get type() { return this.#type; }
        get cancelable() { return this.#cancelable; }
        get defaultPrevented() { return this.#prevented; }
        get bubbles() { return false; }
        preventDefault() { if (this.#cancelable) this.#prevented = true; }
        stopPropagation() {}
        stopImmediatePropagation() { this.#stopped = true; }
        static stopped(event) { return event.#stopped; }
    }
    const stopped = Event.stopped;
    delete Event.stopped;
    class CustomEvent extends Event {
        constructor(type, init = {}) {
            super(type, init);
            this.detail = init.detail ?? null;
        }
    }

    class EventTarget {
        #listeners = new Map();
        addEventListener(type, callback, options = {}) {
            if (callback == null) return;
            const once = typeof options === 'object' && !!options.once;
            const list = this.#listeners.get(`${type}`) ?? [];
            if (!list.some((l) => l.callback === callback)) list.push({ callback, once });
            this.#listeners.set(`${type}`, list);
        }
        removeEventListener(type, callback) {
            const list = this.#listeners.get(`${type}`);
            if (list) this.#listeners.set(`${type}`, list.filter((l) => l.callback !== callback));
        }
        dispatchEvent(event) {
            event.target = event.currentTarget = this;
            const own = this[`on${event.type}`];
            const list = [...(this.#listeners.get(event.type) ?? [])];
            if (typeof own === 'function') list.unshift({ callback: own, once: false });
            for (const { callback, once } of list) {
                if (once) this.removeEventListener(event.type, callback);
                try {
                    if (typeof callback === 'function') callback.call(this, event);
                    else callback.handleEvent(event);
                } catch (e) {
                    hooks.report(e);
                }
                if (stopped(event)) break;
            }
            event.currentTarget = null;
            return !event.defaultPrevented;
        }
    }

    const key = Symbol('made by the platform');
    class AbortSignal extends EventTarget {
        #aborted = false; #reason = undefined;
        constructor(made) {
            if (made !== key) throw new TypeError('use AbortController');
            super();
        }
        get aborted() { return this.#aborted; }
        get reason() { return this.#reason; }
        throwIfAborted() { if (this.#aborted) throw this.#reason; }
        static fire(signal, reason) {
            if (signal.#aborted) return;
            signal.#aborted = true;
            signal.#reason = reason === undefined ? new DOMException('the operation was aborted', 'AbortError') : reason;
            signal.dispatchEvent(new Event('abort'));
        }
        static abort(reason) { const s = new AbortSignal(key); fire(s, reason); return s; }
        static timeout(ms) {
            const s = new AbortSignal(key);
            setTimeout(() => fire(s, new DOMException('the operation timed out', 'TimeoutError')), ms);
            return s;
        }
        static any(signals) {
            const s = new AbortSignal(key);
            for (const other of signals) {
                if (other.aborted) { fire(s, other.reason); break; }
                other.addEventListener('abort', () => fire(s, other.reason), { once: true });
            }
            return s;
        }
    }
    const fire = AbortSignal.fire;
    delete AbortSignal.fire;
    class AbortController {
        #signal = new AbortSignal(key);
        get signal() { return this.#signal; }
        abort(reason) { fire(this.#signal, reason); }
    }
    define(globalThis, { Event, CustomEvent, EventTarget, AbortSignal, AbortController });
    hooks.newSignal = () => new AbortSignal(key);
})
