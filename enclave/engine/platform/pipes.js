// pipes: WritableStream, TransformStream, and what joins streams: tee, pipeTo, pipeThrough (Streams standard, sections 4.9, 5, 6 and 7).
(function (native, hooks) {
    'use strict';
    const { define } = hooks, { own, nothing, promised, methodOf, highWaterMarkOf, coreOf } = hooks.streams;
    const { ReadableStream, AbortController, AbortSignal, TextDecoder } = globalThis;

    class WritableStreamDefaultController {
        #core;
        constructor(core, mark) {
            if (mark !== own) throw new TypeError('a controller belongs to a stream');
            this.#core = core;
        }
        get signal() { return this.#core.signal; }
        error(reason) { this.#core.error(reason); }
    }

    // The state of one stream, which its stream, controller and writer share; `writer` is { ready, closed } of the one that holds it.
    class WriteCore {
        state = 'writable'; reason; writer = null; isPressed;
        #queue = []; #size = 0; #mark; #measure; #sink; #write; #close; #abort; #controller; #aborter = new AbortController();
        #isStarted = false; #inFlight = null; #closing = null; #aborted = null;
        constructor(sink, strategy) {
            if (sink?.type !== undefined) throw new RangeError(`sinks of type "${sink.type}" are not available`);
            this.#mark = highWaterMarkOf(strategy);
            this.#measure = methodOf(strategy, 'size');
            this.#write = methodOf(sink, 'write');
            this.#close = methodOf(sink, 'close');
            this.#abort = methodOf(sink, 'abort');
            this.#sink = sink;
            this.#controller = new WritableStreamDefaultController(this, own);
            this.isPressed = this.#mark === 0;
            const start = (after) => (e) => {
                this.#isStarted = true;
                after(e);
            };
            Promise.resolve(methodOf(sink, 'start')?.call(sink, this.#controller))
                .then(start(() => this.#advance()), start((e) => this.#refuse(e)));
        }
        get signal() { return this.#aborter.signal; }
        get isClosing() { return this.#closing !== null || this.state === 'closed'; }
        get isLost() { return this.state === 'erroring' || this.state === 'errored'; }
        desiredSize() { return this.isLost ? null : this.state === 'closed' ? 0 : this.#mark - this.#size; }
        write(chunk) {
            let size = 1;
            try {
                if (this.#measure !== undefined) size = Number(this.#measure.call(undefined, chunk));
                if (!(size >= 0 && size < Infinity)) throw new RangeError('the size of a chunk must be a number that is not negative');
            } catch (e) {
                this.error(e);
            }
            if (this.isLost) return Promise.reject(this.reason);
            if (this.isClosing) return Promise.reject(new TypeError('the stream takes no more chunks'));
            const done = Promise.withResolvers();
            this.#queue.push({ chunk, size, done });
            this.#size += size;
            this.#press();
            this.#advance();
            return done.promise;
        }
        close() {
            if (this.isClosing || this.state === 'errored') return Promise.reject(new TypeError('the stream cannot be closed any more'));
            const done = this.#closing = Promise.withResolvers();
            if (this.isPressed && this.state === 'writable') this.writer?.ready.resolve();
            this.#queue.push({ size: 0, done, isClose: true });
            this.#advance();
            return done.promise;
        }
        abort(reason) {
            if (this.state === 'closed' || this.state === 'errored') return Promise.resolve();
            this.#aborter.abort(reason);
            if (this.state === 'closed' || this.state === 'errored') return Promise.resolve();
            if (this.#aborted !== null) return this.#aborted.promise;
            const { promise } = this.#aborted = { ...Promise.withResolvers(), reason, isLate: this.state === 'erroring' };
            this.error(reason);
            return promise;
        }
        error(reason) {
            if (this.state !== 'writable') return;
            this.state = 'erroring';
            this.reason = reason;
            this.#unready(reason);
            if (this.#inFlight === null && this.#isStarted) this.#fail();
        }
        #unready(reason) {
            if (this.writer === null) return;
            this.writer.ready.reject(reason);
            this.writer.ready = promised();
            this.writer.ready.reject(reason);
        }
        #fail() {
            const aborted = this.#aborted, abort = this.#abort;
            this.state = 'errored';
            for (const { done, isClose } of this.#queue.splice(0)) if (!isClose) done.reject(this.reason);
            this.#size = 0;
            this.#aborted = null;
            const giveUp = () => {
                this.#closing?.reject(this.reason);
                this.writer?.closed.reject(this.reason);
            };
            if (aborted === null) return giveUp();
            if (aborted.isLate) {
                aborted.reject(this.reason);
                return giveUp();
            }
            Promise.try(() => abort?.call(this.#sink, aborted.reason)).then(aborted.resolve, aborted.reject).then(giveUp);
        }
        // A sink that threw.
        #refuse(reason) {
            if (this.state === 'writable') this.error(reason);
            else this.#fail();
        }
        #press() {
            const isPressed = this.#mark <= this.#size;
            if (isPressed === this.isPressed) return;
            this.isPressed = isPressed;
            if (this.writer === null) return;
            if (isPressed) this.writer.ready = promised();
            else this.writer.ready.resolve();
        }
        #advance() {
            if (!this.#isStarted || this.#inFlight !== null) return;
            if (this.state === 'erroring') return this.#fail();
            if (this.state !== 'writable' || this.#queue.length === 0) return;
            const entry = this.#inFlight = this.#queue[0];
            const work = entry.isClose ? () => this.#close?.call(this.#sink) : () => this.#write?.call(this.#sink, entry.chunk, this.#controller);
            Promise.try(work).then(() => this.#done(entry), (e) => {
                this.#leave(entry);
                entry.done.reject(e);
                if (entry.isClose) {
                    this.#aborted?.reject(e);
                    this.#aborted = null;
                }
                this.#refuse(e);
            });
        }
        #leave(entry) {
            this.#inFlight = null;
            this.#queue.shift();
            this.#size = Math.max(0, this.#size - entry.size);
        }
        #done(entry) {
            this.#leave(entry);
            entry.done.resolve();
            if (entry.isClose) {
                this.#aborted?.resolve();
                this.#aborted = null;
                this.reason = undefined;
                this.state = 'closed';
                this.writer?.ready.resolve();
                this.writer?.closed.resolve();
                return;
            }
            if (this.#closing === null && this.state === 'writable') this.#press();
            this.#advance();
        }
        // What a new writer holds.
        hold() {
            this.writer = { ready: promised(), closed: promised() };
            if (this.isLost) this.#unready(this.reason);
            else if (!this.isPressed || this.isClosing) this.writer.ready.resolve();
            if (this.state === 'closed') this.writer.closed.resolve();
            if (this.state === 'errored') this.writer.closed.reject(this.reason);
            return this.writer;
        }
        release(reason) {
            this.#unready(reason);
            this.writer.closed.reject(reason);
            this.writer.closed = promised();
            this.writer.closed.reject(reason);
            this.writer = null;
        }
    }

    let writeCoreOf;
    class WritableStreamDefaultWriter {
        #core; #held;
        constructor(stream) {
            const core = writeCoreOf(stream);
            if (core.writer !== null) throw new TypeError('the stream is locked to a writer');
            this.#core = core;
            this.#held = core.hold();
        }
        #use() {
            if (this.#core === null) throw new TypeError('the writer was released');
            return this.#core;
        }
        get closed() { return this.#held.closed.promise; }
        get ready() { return this.#held.ready.promise; }
        get desiredSize() { return this.#use().desiredSize(); }
        async write(chunk) { return this.#use().write(chunk); }
        async close() { return this.#use().close(); }
        async abort(reason) { return this.#use().abort(reason); }
        releaseLock() {
            this.#core?.release(new TypeError('the writer was released'));
            this.#core = null;
        }
    }

    class WritableStream {
        #core;
        constructor(sink, strategy) {
            if (sink === null || (sink !== undefined && typeof sink !== 'object')) throw new TypeError('the sink of a stream is an object');
            this.#core = new WriteCore(sink, strategy);
        }
        static core(stream) {
            if (!(stream instanceof WritableStream)) throw new TypeError('this is not a WritableStream');
            return stream.#core;
        }
        #use() {
            if (this.locked) throw new TypeError('the stream is locked to a writer');
            return this.#core;
        }
        get locked() { return this.#core.writer !== null; }
        async abort(reason) { return this.#use().abort(reason); }
        async close() { return this.#use().close(); }
        getWriter() { return new WritableStreamDefaultWriter(this); }
    }
    writeCoreOf = WritableStream.core;
    delete WritableStream.core;

    class TransformStreamDefaultController {
        #pair;
        constructor(pair, mark) {
            if (mark !== own) throw new TypeError('a controller belongs to a stream');
            this.#pair = pair;
        }
        get desiredSize() { return this.#pair.from.desiredSize(); }
        enqueue(chunk) { this.#pair.enqueue(chunk); }
        error(reason) { this.#pair.fail(reason); }
        terminate() {
            if (this.#pair.from.isOpen()) this.#pair.from.close();
            this.#pair.failWritable(new TypeError('the transformation was terminated'));
        }
    }

    // Both sides of a transformation; `change` is settled when the readable side gets full, or wants more.
    class Pair {
        from; to; #isPressed = true; #change = Promise.withResolvers(); #finished = null; #transformer; #controller;
        constructor(transformer) {
            this.#transformer = transformer;
            this.#controller = new TransformStreamDefaultController(this, own);
        }
        start() { return methodOf(this.#transformer, 'start')?.call(this.#transformer, this.#controller); }
        #press(isPressed) {
            this.#isPressed = isPressed;
            this.#change.resolve();
            this.#change = Promise.withResolvers();
        }
        enqueue(chunk) {
            if (!this.from.isOpen()) throw new TypeError('the stream takes no more chunks');
            try {
                this.from.enqueue(chunk);
            } catch (e) {
                this.failWritable(e);
                throw this.from.reason;
            }
            const isPressed = !this.from.isHungry();
            if (isPressed && !this.#isPressed) this.#press(true);
        }
        fail(reason) {
            this.from.fail(reason);
            this.failWritable(reason);
        }
        failWritable(reason) {
            this.to.error(reason);
            if (this.#isPressed) this.#press(false);
        }
        pull() {
            if (this.#isPressed) this.#press(false);
            return this.#change.promise;
        }
        async write(chunk) {
            if (this.#isPressed) await this.#change.promise;
            if (this.to.isLost) throw this.to.reason;
            const transform = methodOf(this.#transformer, 'transform');
            try {
                if (transform === undefined) this.enqueue(chunk);
                else await transform.call(this.#transformer, chunk, this.#controller);
            } catch (e) {
                this.fail(e);
                throw e;
            }
        }
        // The one end of both sides: work, then what it makes of the other side.
        #finish(name, args, after) {
            if (this.#finished !== null) return this.#finished.promise;
            this.#finished = promised();
            Promise.try(() => methodOf(this.#transformer, name)?.call(this.#transformer, ...args)).then(after, (e) => {
                this.fail(e);
                throw e;
            }).then(this.#finished.resolve, this.#finished.reject);
            return this.#finished.promise;
        }
        close() {
            return this.#finish('flush', [this.#controller], () => {
                if (this.from.state === 'errored') throw this.from.reason;
                if (this.from.isOpen()) this.from.close();
            });
        }
        abort(reason) {
            return this.#finish('cancel', [reason], () => {
                if (this.from.state === 'errored') throw this.from.reason;
                this.from.fail(reason);
            });
        }
        cancel(reason) {
            return this.#finish('cancel', [reason], () => {
                if (this.to.state === 'errored') throw this.to.reason;
                this.failWritable(reason);
            });
        }
    }

    class TransformStream {
        #readable; #writable;
        constructor(transformer, writableStrategy, readableStrategy) {
            if (transformer?.readableType !== undefined || transformer?.writableType !== undefined)
                throw new RangeError('transformations of a type are not available');
            for (const name of ['start', 'transform', 'flush', 'cancel']) methodOf(transformer, name);
            const pair = new Pair(transformer), started = Promise.withResolvers(), start = () => started.promise;
            const mark = highWaterMarkOf(readableStrategy, 0), size = methodOf(readableStrategy, 'size');
            this.#writable = new WritableStream({ start, write: (chunk) => pair.write(chunk), close: () => pair.close(), abort: (e) => pair.abort(e) },
                writableStrategy);
            this.#readable = new ReadableStream({ start, pull: () => pair.pull(), cancel: (e) => pair.cancel(e) }, { highWaterMark: mark, size });
            pair.to = writeCoreOf(this.#writable);
            pair.from = coreOf(this.#readable);
            started.resolve(pair.start());
        }
        get readable() { return this.#readable; }
        get writable() { return this.#writable; }
    }

    // Moves chunks until one side ends, which ends the other one too unless the options say no.
    const pipe = (source, target, { preventClose, preventAbort, preventCancel, signal } = {}) => {
        if (signal !== undefined && !(signal instanceof AbortSignal)) throw new TypeError('signal must be an AbortSignal');
        const from = coreOf(source), to = writeCoreOf(target);
        if (from.reader !== null || to.writer !== null) throw new TypeError('a stream to pipe is locked');
        const reader = source.getReader(), writer = target.getWriter(), result = Promise.withResolvers();
        let isOver = false, written = Promise.resolve();
        from.isDisturbed = true;
        const end = async (action, failed) => {
            if (isOver) return;
            isOver = true;
            if (to.state === 'writable' && !to.isClosing) await written;
            try {
                await action?.();
            } catch (reason) {
                failed = { reason };
            }
            signal?.removeEventListener('abort', stop);
            reader.releaseLock();
            writer.releaseLock();
            if (failed) result.reject(failed.reason);
            else result.resolve();
        };
        const stop = () => {
            const { reason } = signal;
            end(() => Promise.all([
                !preventAbort && to.state === 'writable' ? to.abort(reason) : undefined,
                !preventCancel && from.state === 'readable' ? from.cancel(reason) : undefined,
            ]), { reason });
        };
        const lose = (reason) => end(preventCancel ? undefined : () => from.cancel(reason), { reason });
        const move = async () => {
            for (;;) {
                await writer.ready;
                if (isOver) return;
                const { value, done } = await from.read();
                if (done) break;
                written = writer.write(value).catch(nothing);
            }
            end(preventClose || to.isClosing ? undefined : () => to.close());
        };
        if (signal?.aborted) {
            stop();
            return result.promise;
        }
        signal?.addEventListener('abort', stop);
        reader.closed.catch((reason) => end(preventAbort ? undefined : () => to.abort(reason), { reason }));
        if (to.isClosing) lose(new TypeError('the stream to write to is closed'));
        else writer.closed.catch(lose);
        move().catch(nothing);
        return result.promise;
    };

    const tee = (stream) => {
        const core = coreOf(stream), reader = stream.getReader(), cancelled = promised();
        const branches = [], reasons = [], open = new Set([0, 1]);
        let isReading = false, isAgain = false;
        const each = (f) => { for (const i of open) f(branches[i]); };
        const pull = () => {
            if (isReading) {
                isAgain = true;
                return;
            }
            isReading = true;
            core.read().then(({ value, done }) => {
                isReading = false;
                if (done) {
                    each((c) => c.close());
                    cancelled.resolve();
                    return;
                }
                each((c) => c.enqueue(value));
                if (!isAgain) return;
                isAgain = false;
                pull();
            }).catch(nothing);
        };
        const make = (i) => new ReadableStream({
            start(controller) { branches[i] = controller; },
            pull,
            cancel(reason) {
                open.delete(i);
                reasons[i] = reason;
                if (open.size === 0) cancelled.resolve(core.cancel(reasons));
                return cancelled.promise;
            },
        });
        const both = [make(0), make(1)];
        reader.closed.catch((reason) => {
            each((c) => c.error(reason));
            cancelled.resolve();
        });
        return both;
    };
    hooks.tee = tee;
    define(ReadableStream.prototype, {
        tee() { return tee(this); },
        async pipeTo(target, options) { return pipe(this, target, options); },
        pipeThrough(pair, options) {
            const { readable, writable } = pair;
            coreOf(readable);
            pipe(this, writable, options).catch(nothing);
            return readable;
        },
    });

    class TextDecoderStream {
        #decoder; #pair;
        constructor(label, options) {
            const decoder = this.#decoder = new TextDecoder(label, options);
            const give = (controller, text) => { if (text !== '') controller.enqueue(text); };
            this.#pair = new TransformStream({
                transform(chunk, controller) { give(controller, decoder.decode(chunk, { stream: true })); },
                flush(controller) { give(controller, decoder.decode()); },
            });
        }
        get encoding() { return this.#decoder.encoding; }
        get fatal() { return this.#decoder.fatal; }
        get ignoreBOM() { return this.#decoder.ignoreBOM; }
        get readable() { return this.#pair.readable; }
        get writable() { return this.#pair.writable; }
    }
    class TextEncoderStream {
        #pair; #half = ''; // a surrogate whose other half is in the next chunk
        constructor() {
            const give = (controller, text) => { if (text !== '') controller.enqueue(hooks.encode(text)); };
            this.#pair = new TransformStream({
                transform: (chunk, controller) => {
                    const text = this.#half + `${chunk}`, isCut = /[\ud800-\udbff]$/.test(text);
                    this.#half = isCut ? text.slice(-1) : '';
                    give(controller, isCut ? text.slice(0, -1) : text);
                },
                flush: (controller) => give(controller, this.#half),
            });
        }
        get encoding() { return 'utf-8'; }
        get readable() { return this.#pair.readable; }
        get writable() { return this.#pair.writable; }
    }
    class Strategy {
        #mark; #size;
        constructor(init, size) {
            this.#mark = Number(init.highWaterMark);
            this.#size = size;
        }
        get highWaterMark() { return this.#mark; }
        get size() { return this.#size; }
    }
    class CountQueuingStrategy extends Strategy { constructor(init) { super(init, () => 1); } }
    class ByteLengthQueuingStrategy extends Strategy { constructor(init) { super(init, (chunk) => chunk.byteLength); } }

    define(globalThis, { WritableStream, WritableStreamDefaultWriter, WritableStreamDefaultController, TransformStream,
        TransformStreamDefaultController, TextDecoderStream, TextEncoderStream, CountQueuingStrategy, ByteLengthQueuingStrategy });
})
