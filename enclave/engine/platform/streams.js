// streams: ReadableStream with its default reader and controller (Streams standard, section 4), and the answer that is sent
// while it is made: one piece after another, no faster than the caller takes them.
(function (native, hooks) {
    'use strict';
    const { define, ask } = hooks;
    const WRITE = 11, ROOM = 12, END = 13, BREAK = 14, NONE = 0, GONE = 2; // guest/guest_abi.h
    const own = Symbol('made by the platform');
    const nothing = () => {};
    // A promise with what settles it; one that nobody waits for is no unhandled rejection.
    const promised = () => {
        const p = Promise.withResolvers();
        p.promise.catch(nothing);
        return p;
    };
    const methodOf = (object, name) => {
        const f = object?.[name];
        if (f !== undefined && typeof f !== 'function') throw new TypeError(`${name} is not a function`);
        return f;
    };
    const highWaterMarkOf = (strategy, usual = 1) => {
        const mark = strategy?.highWaterMark === undefined ? usual : Number(strategy.highWaterMark);
        if (Number.isNaN(mark) || mark < 0) throw new RangeError('highWaterMark must not be negative');
        return mark;
    };

    class ReadableStreamDefaultController {
        #core;
        constructor(core, mark) {
            if (mark !== own) throw new TypeError('a controller belongs to a stream');
            this.#core = core;
        }
        get desiredSize() { return this.#core.desiredSize(); }
        enqueue(chunk) { this.#core.enqueue(chunk); }
        close() { this.#core.close(); }
        error(reason) { this.#core.fail(reason); }
    }

    // The state of one stream, which its stream, controller and reader share.
    class Core {
        state = 'readable'; reason; reader = null; isDisturbed = false;
        #queue = []; #size = 0; #mark; #measure; #pull; #cancel; #source; #controller;
        #isStarted = false; #isClosing = false; #isPulling = false; #isPullAgain = false; #reads = [];
        constructor(source, strategy) {
            if (source?.type !== undefined) throw new TypeError(`streams of type "${source.type}" are not available`);
            this.#mark = highWaterMarkOf(strategy);
            this.#measure = methodOf(strategy, 'size');
            this.#pull = methodOf(source, 'pull');
            this.#cancel = methodOf(source, 'cancel');
            this.#source = source;
            this.#controller = new ReadableStreamDefaultController(this, own);
            const started = methodOf(source, 'start')?.call(source, this.#controller);
            Promise.resolve(started).then(() => {
                this.#isStarted = true;
                this.#callPull();
            }, (e) => this.fail(e));
        }
        desiredSize() {
            return this.state === 'errored' ? null : this.state === 'closed' ? 0 : this.#mark - this.#size;
        }
        isOpen() { return this.state === 'readable' && !this.#isClosing; }
        isHungry() { return this.#reads.length > 0 || this.desiredSize() > 0; }
        #forget() {
            this.#queue = [];
            this.#size = 0;
            this.#pull = this.#cancel = undefined;
        }
        #callPull() {
            const isWanted = this.#isStarted && this.isOpen() && this.#pull !== undefined && this.isHungry();
            if (!isWanted) return;
            if (this.#isPulling) {
                this.#isPullAgain = true;
                return;
            }
            this.#isPulling = true;
            Promise.try(() => this.#pull.call(this.#source, this.#controller)).then(() => {
                this.#isPulling = false;
                if (!this.#isPullAgain) return;
                this.#isPullAgain = false;
                this.#callPull();
            }, (e) => this.fail(e));
        }
        #measured(chunk) {
            try {
                const size = this.#measure === undefined ? 1 : Number(this.#measure.call(undefined, chunk));
                if (!(size >= 0 && size < Infinity)) throw new RangeError('the size of a chunk must be a number that is not negative');
                return size;
            } catch (e) {
                this.fail(e);
                throw e;
            }
        }
        enqueue(chunk) {
            if (!this.isOpen()) throw new TypeError('the stream takes no more chunks');
            if (this.#reads.length > 0) {
                this.#reads.shift().resolve({ value: chunk, done: false });
            } else {
                const size = this.#measured(chunk);
                this.#queue.push([chunk, size]);
                this.#size += size;
            }
            this.#callPull();
        }
        close() {
            if (!this.isOpen()) throw new TypeError('the stream is closed already');
            this.#isClosing = true;
            if (this.#queue.length === 0) this.#finish();
        }
        #finish() {
            this.state = 'closed';
            this.#forget();
            for (const read of this.#reads.splice(0)) read.resolve({ value: undefined, done: true });
            this.reader?.resolve(undefined);
        }
        fail(reason) {
            if (this.state !== 'readable') return;
            this.state = 'errored';
            this.reason = reason;
            this.#forget();
            this.dropReads(reason);
            this.reader?.reject(reason);
        }
        read() {
            this.isDisturbed = true;
            if (this.state === 'errored') return Promise.reject(this.reason);
            if (this.state === 'closed') return Promise.resolve({ value: undefined, done: true });
            if (this.#queue.length > 0) {
                const [value, size] = this.#queue.shift();
                this.#size = Math.max(0, this.#size - size);
                if (this.#isClosing && this.#queue.length === 0) this.#finish();
                else this.#callPull();
                return Promise.resolve({ value, done: false });
            }
            const read = Promise.withResolvers();
            this.#reads.push(read);
            this.#callPull();
            return read.promise;
        }
        async cancel(reason) {
            this.isDisturbed = true;
            if (this.state === 'errored') throw this.reason;
            if (this.state === 'closed') return;
            const cancel = this.#cancel;
            this.#finish();
            await cancel?.call(this.#source, reason);
        }
        dropReads(reason) { for (const read of this.#reads.splice(0)) read.reject(reason); }
    }

    let coreOf;
    class ReadableStreamDefaultReader {
        #core; #closed = promised();
        constructor(stream) {
            const core = coreOf(stream);
            if (core.reader !== null) throw new TypeError('the stream is locked to a reader');
            this.#core = core;
            core.reader = this.#closed;
            if (core.state === 'closed') this.#closed.resolve(undefined);
            if (core.state === 'errored') this.#closed.reject(core.reason);
        }
        #use() {
            if (this.#core === null) throw new TypeError('the reader was released');
            return this.#core;
        }
        get closed() { return this.#closed.promise; }
        async read() { return this.#use().read(); }
        async cancel(reason) { return this.#use().cancel(reason); }
        releaseLock() {
            if (this.#core === null) return;
            const released = new TypeError('the reader was released');
            this.#core.dropReads(released);
            this.#core.reader = null;
            this.#core = null;
            this.#closed.reject(released);
            this.#closed = promised();
            this.#closed.reject(released);
        }
    }

    class ReadableStream {
        #core;
        constructor(source, strategy) {
            if (source === null || (source !== undefined && typeof source !== 'object')) throw new TypeError('the source of a stream is an object');
            this.#core = new Core(source, strategy);
        }
        static core(stream) {
            if (!(stream instanceof ReadableStream)) throw new TypeError('this is not a ReadableStream');
            return stream.#core;
        }
        static from(items) {
            const iterate = items?.[Symbol.asyncIterator] ?? items?.[Symbol.iterator];
            if (typeof iterate !== 'function') throw new TypeError('a stream is made from something that iterates');
            const iterator = iterate.call(items);
            return new ReadableStream({
                async pull(controller) {
                    const { value, done } = await iterator.next();
                    if (done) controller.close();
                    else controller.enqueue(await value);
                },
                async cancel(reason) { await iterator.return?.(reason); },
            }, { highWaterMark: 0 });
        }
        get locked() { return this.#core.reader !== null; }
        async cancel(reason) {
            if (this.locked) throw new TypeError('the stream is locked to a reader');
            return this.#core.cancel(reason);
        }
        getReader(options) {
            if (options?.mode !== undefined) throw new TypeError(`readers of mode "${options.mode}" are not available`);
            return new ReadableStreamDefaultReader(this);
        }
        values({ preventCancel = false } = {}) {
            const reader = this.getReader();
            let turn = Promise.resolve(), isOver = false;
            const end = (result) => {
                isOver = true;
                reader.releaseLock();
                return result;
            };
            const next = async () => {
                if (isOver) return { value: undefined, done: true };
                try {
                    const result = await reader.read();
                    return result.done ? end(result) : result;
                } catch (e) {
                    throw end(e);
                }
            };
            const leave = async (value) => {
                if (isOver) return { value, done: true };
                const cancelled = preventCancel ? undefined : reader.cancel(value);
                end();
                await cancelled;
                return { value, done: true };
            };
            const after = (f) => (turn = turn.then(f, f)); // one after the other, as asked
            return { next: () => after(next), return: (value) => after(() => leave(value)), [Symbol.asyncIterator]() { return this; } };
        }
        [Symbol.asyncIterator](options) { return this.values(options); }
    }
    coreOf = ReadableStream.core;
    delete ReadableStream.core;
    define(globalThis, { ReadableStream, ReadableStreamDefaultReader, ReadableStreamDefaultController });
    hooks.streams = { own, nothing, promised, methodOf, highWaterMarkOf, coreOf };

    hooks.isStream = (v) => v instanceof ReadableStream;
    hooks.isDisturbed = (stream) => coreOf(stream).isDisturbed;
    hooks.spend = (stream) => { coreOf(stream).cancel().catch(nothing); }; // its bytes were read another way
    hooks.streamOf = (bytes) => new ReadableStream({
        start(controller) {
            if (bytes.length > 0) controller.enqueue(bytes);
            controller.close();
        },
    });
    const pieceOf = (chunk) => {
        if (!(chunk instanceof Uint8Array)) throw new TypeError('a chunk of a body must be a Uint8Array: use TextEncoder for text');
        return chunk;
    };
    hooks.pieceOf = pieceOf;
    // All bytes of a stream, which may have a bound.
    hooks.gather = async (stream, sizeMax = Infinity) => {
        const pieces = [];
        let size = 0;
        for await (const chunk of stream) {
            pieces.push(pieceOf(chunk));
            size += chunk.length;
            if (size > sizeMax) throw new TypeError(`the body is larger than ${sizeMax} bytes: read it as a stream`);
        }
        const out = new Uint8Array(size);
        let at = 0;
        for (const piece of pieces) {
            out.set(piece, at);
            at += piece.length;
        }
        return out;
    };

    // The answer that is being sent. The run loop calls wakeStream while there is one: its caller may take more, or have left.
    let sent = null;
    // Whether another piece is wanted; the first time that the caller is gone, the handler's stream is told.
    const look = () => {
        const [room] = new Uint8Array(ask(ROOM));
        if (room === GONE && sent.cancelled === null)
            sent.cancelled = sent.reader.cancel(new DOMException('the caller left', 'AbortError')).catch(hooks.report);
        return room;
    };
    hooks.wakeStream = () => {
        if (sent === null || sent.cancelled !== null) return false;
        const room = look();
        if (room === NONE || (sent.room === null && sent.cancelled === null)) return false;
        sent.room?.resolve();
        sent.room = null;
        return true;
    };
    const roomForMore = async () => {
        if (look() !== NONE) return;
        sent.room = Promise.withResolvers();
        await sent.room.promise;
    };
    const sendPieces = async () => {
        for (;;) {
            await roomForMore();
            const { value, done } = await sent.reader.read();
            if (done) return sent.cancelled;
            const piece = pieceOf(value);
            if (piece.length > 0 && look() !== GONE) ask(WRITE, piece);
        }
    };
    hooks.pump = async (stream) => {
        let end = END;
        sent = { reader: stream.getReader(), room: null, cancelled: null };
        hooks.waits('stream', 1);
        try {
            await sendPieces();
        } catch (e) {
            hooks.report(e);
            end = BREAK;
        }
        sent = null;
        hooks.waits('stream', 0);
        ask(end);
    };
})
