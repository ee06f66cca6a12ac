// fetch: requests to the places that the release lists (Fetch standard, section 5.6, without caches, cookies and CORS).
// The host keeps the list, connects and ends TLS; several requests may be on their way while the handler waits.
(function (native, hooks) {
    'use strict';
    const NEXT = 64, FETCH = 65, CANCEL = 66;
    const REDIRECTS = 20, MOVED = [301, 302, 303, 307, 308];
    const waiting = new Map();

    const latin1 = (text) => (/^[\0-\x7f]*$/.test(text) ? text : Uint8Array.from(text, (c) => c.charCodeAt(0)));
    const textOf = (bytes) => {
        let text = '';
        for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i]);
        return text;
    };
    const numberOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    const settle = (id) => {
        const one = waiting.get(id);
        waiting.delete(id);
        hooks.waits('fetch', waiting.size);
        return one;
    };

    hooks.wake = () => {
        let hasNews = hooks.wakeStream();
        while (waiting.size > 0) {
            const answer = hooks.fields(hooks.ask(NEXT));
            if (answer.length === 0) break;
            hasNews = true;
            const one = settle(numberOf(answer[0]));
            if (one === undefined) continue;
            if (numberOf(answer[1]) === 1) one.reject(new TypeError(hooks.decode(answer[2])));
            else one.resolve({ status: numberOf(answer[2]), headers: answer.slice(4, -1).map(textOf), body: answer.at(-1) });
        }
        return hasNews;
    };

    const send = (url, method, headers, body, signal) => new Promise((resolve, reject) => {
        const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
        const answer = hooks.ask(FETCH, method, url.protocol === 'http:' ? 1 : 0, url.hostname, port, url.pathname + url.search,
            headers.length / 2, ...headers.map(latin1), body);
        const id = new DataView(answer).getUint32(0, true);
        waiting.set(id, { resolve, reject });
        hooks.waits('fetch', waiting.size);
        signal.addEventListener('abort', () => {
            if (settle(id) === undefined) return;
            hooks.ask(CANCEL, id);
            reject(signal.reason);
        }, { once: true });
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

    hooks.define(globalThis, {
        async fetch(input, init) {
            const request = new Request(input, init), { signal, redirect } = request;
            let url = check(new URL(request.url)), { method } = request, headers = hooks.flat(request.headers);
            signal.throwIfAborted();
            let body = hooks.takeBody(request);
            if (body instanceof Promise) { // a stream is gathered
                body = await body;
                signal.throwIfAborted();
            }
            for (let hops = 0; ; hops++) {
                const answer = await send(url, method, headers, body, signal);
                const location = MOVED.includes(answer.status) ? header(answer.headers, 'location') : null;
                if (location === null || redirect === 'manual')
                    return hooks.newResponse(answer.status, answer.headers, answer.body.length ? answer.body : null, url.href.replace(/#.*$/, ''), hops > 0);
                if (redirect === 'error') throw new TypeError('the answer is a redirection');
                if (hops === REDIRECTS) throw new TypeError(`more than ${REDIRECTS} redirections`);
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
