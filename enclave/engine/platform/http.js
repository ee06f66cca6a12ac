// http: Headers, Request and Response (Fetch standard, section 5).
(function (native, hooks) {
    'use strict';
    const { define, encode, bytesOf } = hooks;
    const VALUE_MAX = 65536, WHOLE_MAX = 4 << 20; // of an answer of fetch, and of a request that is sent with its length
    const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
    const own = Symbol('headers given by the host, already checked');

    const nameOf = (name) => {
        const s = `${name}`;
        if (!TOKEN.test(s)) throw new TypeError(`"${s}" is not a header name`);
        return s.toLowerCase();
    };
    const valueOf = (value) => {
        const given = `${value}`;
        if (given.length > VALUE_MAX) throw new TypeError(`a header value is longer than ${VALUE_MAX} characters`);
        const s = given.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '');
        if (/[\0\r\n]/.test(s)) throw new TypeError('a header value holds a line break or NUL');
        if (/[^\x00-\xff]/.test(s)) throw new TypeError('a header value holds a character beyond U+00FF');
        return s;
    };

    class Headers {
        #map = new Map();
        constructor(init, mark) {
            if (mark === own) {
                for (let i = 0; i < init.length; i += 2) this.#push(init[i].toLowerCase(), init[i + 1]);
            } else if (init != null) {
                if (typeof init !== 'object') throw new TypeError('headers must be an object, pairs or Headers');
                const pairs = typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init);
                for (const pair of pairs) {
                    const two = [...pair];
                    if (two.length !== 2) throw new TypeError('each header needs a name and a value');
                    this.append(two[0], two[1]);
                }
            }
        }
        #push(name, value) {
            const list = this.#map.get(name);
            if (list) list.push(value);
            else this.#map.set(name, [value]);
        }
        append(name, value) { this.#push(nameOf(name), valueOf(value)); }
        set(name, value) { this.#map.set(nameOf(name), [valueOf(value)]); }
        get(name) { return this.#map.get(nameOf(name))?.join(', ') ?? null; }
        has(name) { return this.#map.has(nameOf(name)); }
        delete(name) { this.#map.delete(nameOf(name)); }
        getSetCookie() { return [...(this.#map.get('set-cookie') ?? [])]; }
        forEach(f, self) { for (const [k, v] of this) f.call(self, v, k, this); }
        *entries() {
            for (const name of [...this.#map.keys()].sort()) {
                const list = this.#map.get(name);
                if (list === undefined) continue;
                if (name === 'set-cookie') for (const v of list) yield [name, v];
                else yield [name, list.join(', ')];
            }
        }
        *keys() { for (const [k] of this.entries()) yield k; }
        *values() { for (const [, v] of this.entries()) yield v; }
        [Symbol.iterator]() { return this.entries(); }
        // What the platform itself sets, unless the script did: known to be a name and a value.
        static preset(headers, name, value) {
            if (!headers.#map.has(name)) headers.#map.set(name, [value]);
        }
        static flat(headers) {
            const out = [];
            for (const [name, list] of headers.#map) {
                if (name === 'set-cookie') for (const v of list) out.push(name, v);
                else out.push(name, list.join(', '));
            }
            return out;
        }
    }
    const { flat, preset } = Headers;
    delete Headers.flat;
    delete Headers.preset;

    // A body is null, a text that is not encoded yet, bytes, or a stream.
    const extract = (body) => {
        if (body == null) return [null, null];
        if (typeof body === 'string') return [body, 'text/plain;charset=UTF-8'];
        if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return [bytesOf(body, 'body').slice(), null];
        if (body instanceof URLSearchParams) return [`${body}`, 'application/x-www-form-urlencoded;charset=UTF-8'];
        if (hooks.isStream(body)) {
            if (body.locked || hooks.isDisturbed(body)) throw new TypeError('the stream is locked, or was read already');
            return [body, null];
        }
        if (typeof body === 'object' && Symbol.asyncIterator in body) return [ReadableStream.from(body), null];
        return [`${body}`, 'text/plain;charset=UTF-8'];
    };
    const bytesOfBody = (body) => (body === null ? null : typeof body === 'string' ? encode(body) : body);

    const bounds = new WeakMap(), boundOf = (b) => bounds.get(b) ?? Infinity; // what a stream may have to be read at once
    class Body {
        #body = null; #stream = null; #used = false; // the stream of a whole body is made when it is asked for
        static put(b, body) {
            b.#body = body;
            b.#stream = hooks.isStream(body) ? body : null;
        }
        static putText(b, text) { b.#body = text; }
        static peek(b) { return b.#body; }
        static use(b) { b.#used = true; }
        static isLocked(b) { return b.#stream?.locked ?? false; }
        get body() {
            if (this.#body === null) return null;
            return (this.#stream ??= hooks.streamOf(this.#used ? new Uint8Array(0) : bytesOfBody(this.#body).slice()));
        }
        get bodyUsed() { return this.#used || (this.#stream !== null && hooks.isDisturbed(this.#stream)); }
        #take() {
            if (this.bodyUsed || this.#stream?.locked) throw new TypeError('the body was read already');
            if (this.#body !== null) this.#used = true;
            if (this.#stream !== null && this.#stream !== this.#body) hooks.spend(this.#stream);
            return this.#body;
        }
        // A body that is whole is not waited for: most are.
        async text() {
            let body = this.#take();
            if (hooks.isStream(body)) body = await hooks.gather(body, boundOf(this));
            return body === null ? '' : typeof body === 'string' ? body.toWellFormed() : hooks.decode(body);
        }
        async json() {
            let body = this.#take();
            if (hooks.isStream(body)) body = await hooks.gather(body, boundOf(this));
            return JSON.parse(body === null ? '' : typeof body === 'string' ? body : hooks.decode(body));
        }
        async bytes() {
            let body = this.#take();
            if (hooks.isStream(body)) body = await hooks.gather(body, boundOf(this));
            body = bytesOfBody(body);
            return body === null ? new Uint8Array(0) : body.slice();
        }
        async arrayBuffer() { return (await this.bytes()).buffer; }
        async formData() { throw new TypeError('formData is not available in this release'); }
        async blob() { throw new TypeError('blob is not available in this release'); }
    }
    const { put, putText, peek, use, isLocked } = Body;
    delete Body.put;
    delete Body.putText;
    delete Body.isLocked;
    delete Body.peek;
    delete Body.use;
    const copyBody = (from) => {
        if (from.bodyUsed || isLocked(from)) throw new TypeError('the body was read already');
        const body = peek(from);
        if (!hooks.isStream(body)) return body;
        const [mine, other] = hooks.tee(body);
        put(from, mine);
        return other;
    };
    const setBody = (target, headers, body) => {
        const [content, type] = extract(body);
        put(target, content);
        if (type !== null) preset(headers, 'content-type', type);
    };

    class Request extends Body {
        #method; #url; #headers = null; #given; #signal = null; #redirect = 'follow'; #duplex;
        constructor(input, init = {}, mark) {
            super();
            if (mark === own) {
                return;
            }
            const from = input instanceof Request ? input : null;
            this.#url = from ? from.url : new URL(`${input}`).href;
            const method = `${init.method ?? from?.method ?? 'GET'}`;
            if (!TOKEN.test(method) || /^(connect|trace|track)$/i.test(method)) throw new TypeError(`"${method}" is not a method`);
            this.#method = /^(get|head|post|put|delete|options|patch)$/i.test(method) ? method.toUpperCase() : method;
            this.#headers = new Headers(init.headers ?? from?.headers);
            this.#redirect = `${init.redirect ?? from?.redirect ?? 'follow'}`;
            if (!['follow', 'error', 'manual'].includes(this.#redirect)) throw new TypeError(`"${this.#redirect}" is no redirect mode`);
            this.#signal = init.signal ?? from?.signal ?? null;
            this.#duplex = init.duplex ?? from?.duplex;
            if (this.#duplex !== undefined && this.#duplex !== 'half') throw new TypeError(`"${this.#duplex}" is no duplex mode`);
            if (init.body != null) {
                if (this.#method === 'GET' || this.#method === 'HEAD') throw new TypeError(`${this.#method} has no body`);
                setBody(this, this.#headers, init.body);
            } else if (from) {
                if (from.bodyUsed || isLocked(from)) throw new TypeError('the body was read already');
                put(this, peek(from));
                if (peek(from) !== null) use(from);
            }
        }
        static fill(request, method, url, headers, body) {
            request.#method = method;
            request.#url = url;
            request.#given = headers;
            if (body !== null) put(request, new Uint8Array(body));
            return request;
        }
        get method() { return this.#method; }
        get url() { return this.#url; }
        // Made when they are asked for: most handlers read one header or none.
        get headers() { return (this.#headers ??= new Headers(this.#given, own)); }
        get signal() { return (this.#signal ??= hooks.newSignal()); }
        get redirect() { return this.#redirect; }
        get duplex() { return this.#duplex; }
        clone() {
            const body = copyBody(this);
            const copy = new Request(this.#url, { method: this.#method, headers: this.headers, signal: this.signal, redirect: this.#redirect, duplex: this.#duplex });
            put(copy, body);
            return copy;
        }
    }

    const { fill } = Request;
    delete Request.fill;
    let blank = new Request('', {}, own); // in the snapshot: a call fills it in
    const takeBlank = () => {
        const request = blank ?? new Request('', {}, own);
        blank = null;
        return request;
    };

    const EMPTY = [204, 205, 304], TEXT = 'text/plain;charset=UTF-8';
    const checkStatus = (given) => {
        const status = Number(given);
        if (!Number.isInteger(status) || status < 200 || status > 599) throw new RangeError(`the status ${status} is not within 200 to 599`);
        return status;
    };
    const PLAIN = { statusText: '', type: 'default', url: '', redirected: false };
    class Response extends Body {
        #status; #headers = null; #contentType = null; #rest = PLAIN; // headers: made when they are asked for
        constructor(body = null, init, mark) {
            super();
            if (mark === own) {
                this.#status = init.status;
                this.#headers = new Headers(init.headers, own);
                this.#rest = { statusText: '', type: 'basic', url: init.url, redirected: init.redirected };
                bounds.set(this, WHOLE_MAX);
                put(this, body);
                return;
            }
            const status = init?.status ?? 200;
            this.#status = status === 200 ? 200 : checkStatus(status);
            if (init != null) {
                const statusText = `${init.statusText ?? ''}`;
                if (statusText !== '') this.#rest = { ...PLAIN, statusText };
                const headers = init.headers;
                if (headers != null) this.#headers = new Headers(headers);
            }
            if (body == null) return;
            if (EMPTY.includes(this.#status)) throw new TypeError(`a response with status ${this.#status} has no body`);
            if (typeof body === 'string') {
                putText(this, body);
                this.#contentType = TEXT;
            } else {
                const [content, type] = extract(body);
                put(this, content);
                this.#contentType = type;
            }
            if (this.#headers !== null && this.#contentType !== null) preset(this.#headers, 'content-type', this.#contentType);
        }
        static head(response) { // of an answer: status, headers as they are sent
            const headers = response.#headers, type = response.#contentType;
            return [response.#status, headers !== null ? flat(headers) : type !== null ? ['content-type', type] : []];
        }
        static json(data, init) {
            const text = JSON.stringify(data);
            if (text === undefined) throw new TypeError('the value has no JSON form');
            const response = new Response(null, init);
            if (EMPTY.includes(response.#status)) throw new TypeError(`a response with status ${response.#status} has no body`);
            putText(response, text);
            response.#contentType = 'application/json';
            if (response.#headers !== null) preset(response.#headers, 'content-type', 'application/json');
            return response;
        }
        static redirect(url, status = 302) {
            if (![301, 302, 303, 307, 308].includes(status)) throw new RangeError(`the status ${status} is no redirection`);
            return new Response(null, { status, headers: { location: hooks.location(`${url}`) } });
        }
        static error() {
            const r = new Response(null, { status: 500 });
            r.#rest = { ...PLAIN, type: 'error' };
            return r;
        }
        get status() { return this.#status; }
        get statusText() { return this.#rest.statusText; }
        get ok() { return this.#status >= 200 && this.#status <= 299; }
        get headers() {
            if (this.#headers === null) this.#headers = new Headers(this.#contentType === null ? [] : ['content-type', this.#contentType], own);
            return this.#headers;
        }
        get type() { return this.#rest.type; }
        get url() { return this.#rest.url; }
        get redirected() { return this.#rest.redirected; }
        clone() {
            const body = copyBody(this);
            const copy = new Response(null, { status: this.#status, headers: this.headers });
            copy.#rest = this.#rest;
            if (bounds.has(this)) bounds.set(copy, boundOf(this));
            put(copy, body);
            return copy;
        }
    }
    const { head } = Response;
    delete Response.head;
    define(globalThis, { Headers, Request, Response });
    hooks.flat = flat;
    // The bytes of a request that is being sent, a promise of them, or a stream; it cannot be read again.
    hooks.takeBody = (request) => {
        if (request.bodyUsed || isLocked(request)) throw new TypeError('the body was read already');
        const body = peek(request);
        if (body !== null) use(request);
        if (!hooks.isStream(body)) return bytesOfBody(body);
        return request.duplex === 'half' ? body : hooks.gather(body, WHOLE_MAX);
    };
    hooks.newResponse = (status, headers, body, url, redirected) => new Response(body, { status, headers, url, redirected }, own);
    hooks.location = (url) => new URL(url, hooks.currentUrl).href;
    hooks.newRequest = (method, url, headers, body) => fill(takeBlank(), method, url, headers, body);
    hooks.isResponse = (v) => v instanceof Response;
    hooks.send = (response) => {
        if (response.bodyUsed || isLocked(response)) throw new TypeError('the response was read already and cannot be sent');
        const body = peek(response);
        if (hooks.isStream(body)) {
            use(response);
            return body;
        }
        const [status, headers] = head(response);
        native.respond(status, headers, typeof body === 'string' ? body.toWellFormed() : body);
        return null;
    };
    // The head of an answer whose body is a stream.
    hooks.sendHead = (response) => native.respond(...head(response), null);
})
