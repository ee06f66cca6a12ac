// socket: WebSockets: each event is one call of the pristine machine (docs/protocol/websocket.md). What a handler sends is gathered and
// leaves when its event is over; then nothing of it is left here but `state`, which the host keeps for the next event.
(function (native, hooks) {
    'use strict';
    const OPEN = 1, TEXT = 2, BINARY = 3, CLOSE = 4; // enclave/runtime/socket.c
    const MESSAGE_TEXT = 1, MESSAGE_BINARY = 2, MESSAGE_CLOSE = 8;
    const STATE_MAX = 16384, REASON_MAX = 123;
    let handler = null;

    hooks.setSocketHandler = (given) => {
        if (given === undefined) return;
        if (given === null || typeof given !== 'object' || typeof given.message !== 'function')
            throw new TypeError('the member "websocket" of the default export has no function "message"');
        for (const name of ['open', 'close'])
            if (given[name] !== undefined && typeof given[name] !== 'function') throw new TypeError(`"websocket.${name}" is no function`);
        handler = given;
    };
    hooks.hasSocketHandler = () => handler !== null;

    const isCode = (code) => Number.isInteger(code) &&
        ((code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999));
    const join = (parts) => {
        const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
        let at = 0;
        for (const part of parts) {
            out.set(part, at);
            at += part.length;
        }
        return out;
    };
    const number = (value, isLittle) => {
        const out = new Uint8Array(4);
        new DataView(out.buffer).setUint32(0, value, isLittle);
        return out;
    };
    const field = (bytes) => [number(bytes.length, true), bytes];

    class RedoubtSocket {
        #id; #url; #protocol; #offered; #sent = []; #mode = 'open';
        constructor(id, url, protocol, state, offered, mode) {
            this.#id = id;
            this.#url = url;
            this.#protocol = protocol;
            this.#offered = offered;
            this.#mode = mode;
            this.state = state;
        }
        get id() { return this.#id; }
        get url() { return this.#url; }
        get protocols() { return [...this.#offered]; }
        get protocol() { return this.#protocol; }
        set protocol(value) {
            if (!this.#offered.includes(value)) throw new TypeError(`the subprotocol "${value}" was not offered`);
            this.#protocol = value;
        }
        #put(kind, bytes) {
            if (this.#mode !== 'open') throw new DOMException(`the socket is ${this.#mode}`, 'InvalidStateError');
            this.#sent.push(Uint8Array.of(kind), number(bytes.length, false), bytes);
        }
        send(data) {
            if (typeof data === 'string') this.#put(MESSAGE_TEXT, hooks.encode(data));
            else this.#put(MESSAGE_BINARY, hooks.bytesOf(data, 'a message that is no text').slice());
        }
        close(code = 1000, reason = '') {
            if (!isCode(code)) throw new RangeError(`${code} is no code for a WebSocket's end`);
            const text = hooks.encode(reason);
            if (text.length > REASON_MAX) throw new RangeError(`a reason is longer than ${REASON_MAX} bytes`);
            if (this.#mode === 'closed') return;
            this.#put(MESSAGE_CLOSE, join([Uint8Array.of(code >> 8, code & 255), text]));
            this.#mode = 'closed';
        }
        static finish(socket) {
            socket.#mode = 'closed';
            const state = hooks.encode(JSON.stringify(socket.state) ?? 'null');
            if (state.length > STATE_MAX) throw new RangeError(`the socket's state is larger than ${STATE_MAX} bytes`);
            return join([...field(state), ...field(hooks.encode(socket.#protocol)), ...socket.#sent]);
        }
    }
    const { finish } = RedoubtSocket;
    delete RedoubtSocket.finish;

    // An event as its socket and what calls its handler.
    hooks.readEvent = (url, body) => {
        const [kindField, id, protocol, state, data] = hooks.fields(body), kind = kindField[0];
        const text = native.decode(data, false); // a byte order mark stays
        const offered = kind === OPEN && text !== '' ? text.split(',') : [];
        const socket = new RedoubtSocket(hooks.decode(id), url, hooks.decode(protocol), JSON.parse(hooks.decode(state)), offered,
            kind === CLOSE ? 'closed' : 'open');
        const code = kind === CLOSE ? data[0] << 8 | data[1] : 0;
        const run = (method, headers, env, context) => {
            if (kind === OPEN) return handler.open?.(socket, hooks.newRequest(method, url, headers, null), env, context);
            if (kind === CLOSE) return handler.close?.(socket, code, hooks.decode(data.subarray(2)), env, context);
            return handler.message(socket, kind === TEXT ? text : data.slice().buffer, env, context);
        };
        return { run, finish: () => finish(socket) };
    };
})
