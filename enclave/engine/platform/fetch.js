// fetch: requests to the places that the release lists (Fetch standard, section 5.6, without caches, cookies and CORS).
// The host keeps the list, connects and ends TLS; several requests may be on their way while the handler waits.
(function (native, hooks) {
    'use strict';
    const NEXT = 64, FETCH = 65, CANCEL = 66, WANT = 73, READ = 74, SEND = 75; // guest/guest_abi.h
    const ANSWER = 0, FAILED = 1, PIECE = 2, ROOM = 4;
    const REDIRECTS = 20, MOVED = [301, 302, 303, 307, 308];
    const PIECE_MAX = 65536;
    const { ask } = hooks, { nothing } = hooks.streams;
    const waiting = new Map(); // id of a request: who is told the next news of it

    const latin1 = (text) => (/^[\0-\x7f]*$/.test(text) ? text : Uint8Array.from(text, (c) => c.charCodeAt(0)));
    const textOf = (bytes) => {
        let text = '';
        for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
        return text;
    };
    const numberOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    const wait = (id, tell) => {
        waiting.set(id, tell);
        hooks.waits('fetch', waiting.size);
    };
    const leave = (id) => {
        waiting.delete(id);
        hooks.waits('fetch', waiting.size);
    };
    // Of a request that is over, nothing is on its way any more.
    const drop = (id, flight) => {
        if (flight.turn !== hooks.turn) return;
        leave(id);
        ask(CANCEL, id);
    };
    const failure = (news) => new TypeError(hooks.decode(news[2]));

    hooks.wake = () => {
        let hasNews = hooks.wakeStream();
        while (waiting.size > 0) {
            const news = hooks.fields(ask(NEXT));
            if (news.length === 0) break;
            hasNews = true;
            const id = numberOf(news[0]), kind = numberOf(news[1]), tell = waiting.get(id);
            if (kind !== ROOM) leave(id);
            tell?.(kind, news);
        }
        return hasNews;
    };

    // A request's body that is sent as it comes: one piece, then the next when there is room again.
    const uploadOf = (id, stream, fail) => {
        const reader = stream.getReader();
        let room = Promise.withResolvers(), isOver = false;
        const run = async () => {
            await room.promise;
            for (;;) {
                const { value, done } = await reader.read();
                if (isOver) return;
                const piece = done ? new Uint8Array(0) : hooks.pieceOf(value);
                for (let at = 0; at < piece.length; at += PIECE_MAX) {
                    room = Promise.withResolvers();
                    ask(SEND, id, 0, piece.subarray(at, at + PIECE_MAX));
                    await room.promise;
                    if (isOver) return;
                }
                if (done) break;
            }
            isOver = true;
            ask(SEND, id, 1, null);
        };
        run().catch((e) => { if (!isOver) fail(e); });
        return {
            goOn() { room.resolve(); },
            stop(reason) {
                if (isOver) return;
                isOver = true;
                room.resolve();
                reader.cancel(reason).catch(nothing);
            },
        };
    };
    // An answer's body as it comes: the host holds a part of it, and reads on when that is taken.
    const bodyOf = (id, flight) => {
        let controller;
        flight.stop = (reason) => {
            drop(id, flight);
            controller.error(reason);
        };
        return new ReadableStream({
            start(given) { controller = given; },
            pull: () => new Promise((resolve) => {
                hooks.checkTurn(flight.turn);
                ask(WANT, id);
                wait(id, (kind, news) => {
                    if (kind === PIECE) {
                        controller.enqueue(new Uint8Array(ask(READ, id)));
                    } else {
                        flight.stop = nothing;
                        if (kind === FAILED) controller.error(failure(news));
                        else controller.close();
                    }
                    resolve();
                });
            }),
            cancel() {
                flight.stop = nothing;
                drop(id, flight);
            },
        }, { highWaterMark: 0 });
    };
    // One request: { id, status, headers, body }, where the body is bytes when all of it is there already, or null.
    const send = (url, method, headers, body, flight) => new Promise((resolve, reject) => {
        const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80)), isUpload = hooks.isStream(body);
        const answer = ask(FETCH, method, url.protocol === 'http:' ? 1 : 0, url.hostname, port, url.pathname + url.search,
            headers.length / 2, ...headers.map(latin1), isUpload ? 1 : 0, isUpload ? null : body);
        const id = new DataView(answer).getUint32(0, true);
        let upload;
        wait(id, (kind, news) => {
            if (kind === ROOM) return upload.goOn();
            flight.stop = nothing;
            const error = kind === FAILED ? failure(news) : new TypeError('the answer came before the body was sent');
            upload?.stop(error);
            if (kind === FAILED) return reject(error);
            const isWhole = numberOf(news.at(-2)) === 1;
            resolve({ id, isWhole, status: numberOf(news[2]), headers: news.slice(4, -2).map(textOf), body: news.at(-1) });
        });
        flight.stop = (reason) => {
            drop(id, flight);
            upload?.stop(reason);
            reject(reason);
        };
        if (isUpload) upload = uploadOf(id, body, (e) => flight.stop(e));
    });
    const check = (url) => {
        if (url.protocol !== 'https:' && url.protocol !== 'http:') throw new TypeError(`fetch does not know ${url.protocol}`);
        if (url.username !== '' || url.password !== '') throw new TypeError('a URL with a password in it is not fetched');
        return url;
    };
    const without = (headers, names) => {
        const out = [];
        for (let i = 0; i < headers.length; i += 2)
            if (!names.includes(headers[i].toLowerCase())) out.push(headers[i], headers[i + 1]);
        return out;
    };
    const header = (headers, name) => {
        for (let i = 0; i < headers.length; i += 2) if (headers[i].toLowerCase() === name) return headers[i + 1];
        return null;
    };

    // The answer of a request that was not moved elsewhere.
    const finish = (answer, url, isMoved, flight) => {
        const body = !answer.isWhole ? bodyOf(answer.id, flight) : answer.body.length > 0 ? answer.body : null;
        return hooks.newResponse(answer.status, answer.headers, body, url.href.replace(/#.*$/, ''), isMoved);
    };

    hooks.define(globalThis, {
        async fetch(input, init) {
            const request = new Request(input, init), { signal, redirect } = request;
            const flight = { stop: nothing, turn: hooks.turn };
            let url = check(new URL(request.url)), { method } = request, headers = hooks.flat(request.headers);
            signal.throwIfAborted();
            let body = hooks.takeBody(request);
            if (body instanceof Promise) { // a stream is gathered
                body = await body;
                signal.throwIfAborted();
            }
            signal.addEventListener('abort', () => {
                const { stop } = flight;
                flight.stop = nothing;
                stop(signal.reason);
            }, { once: true });
            for (let hops = 0; ; hops++) {
                hooks.checkTurn(flight.turn);
                const answer = await send(url, method, headers, body, flight);
                if (signal.aborted) {
                    if (!answer.isWhole) drop(answer.id, flight);
                    throw signal.reason;
                }
                const location = MOVED.includes(answer.status) ? header(answer.headers, 'location') : null;
                if (location === null || redirect === 'manual') return finish(answer, url, hops > 0, flight);
                if (!answer.isWhole) drop(answer.id, flight);
                if (redirect === 'error') throw new TypeError('the answer is a redirection');
                if (hops === REDIRECTS) throw new TypeError(`more than ${REDIRECTS} redirections`);
                if (answer.status !== 303 && hooks.isStream(body)) throw new TypeError('a request whose body is a stream cannot be redirected');
                const next = check(new URL(location, url.href));
                if (answer.status === 303 ? method !== 'GET' && method !== 'HEAD' : answer.status < 303 && method === 'POST') {
                    method = 'GET';
                    body = null;
                    headers = without(headers, ['content-type', 'content-encoding', 'content-language', 'content-location']);
                }
                if (next.origin !== url.origin) headers = without(headers, ['authorization', 'cookie']);
                url = next;
            }
        },
    });
})
