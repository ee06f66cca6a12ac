// url_api: URL and URLSearchParams (URL standard, sections 5 and 6) over the parser of url.js.
(function (native, hooks) {
    'use strict';
    const { define, encode, parseUrl, formatUrl, percent } = hooks;
    const text = (v) => `${v}`.toWellFormed();

    // application/x-www-form-urlencoded, 5.1 and 5.2.
    const formEncode = (s) => {
        let out = '';
        for (const b of encode(s)) {
            const c = String.fromCharCode(b);
            out += b === 32 ? '+' : /[A-Za-z0-9*\-._]/.test(c) ? c : `%${b.toString(16).toUpperCase().padStart(2, '0')}`;
        }
        return out;
    };
    const formDecode = (s) => hooks.unpercent(s.replace(/\+/g, ' '));
    const parseForm = (s) => s.split('&').filter((p) => p !== '').map((p) => {
        const at = p.indexOf('=');
        return at < 0 ? [formDecode(p), ''] : [formDecode(p.slice(0, at)), formDecode(p.slice(at + 1))];
    });

    class URLSearchParams {
        #list = []; #url = null;
        constructor(init = '') {
            if (init !== null && typeof init === 'object') {
                if (typeof init[Symbol.iterator] === 'function') {
                    for (const pair of init) {
                        const two = [...pair];
                        if (two.length !== 2) throw new TypeError('each pair needs a name and a value');
                        this.#list.push([text(two[0]), text(two[1])]);
                    }
                } else for (const k of Object.keys(init)) this.#list.push([text(k), text(init[k])]);
            } else this.#list = parseForm(text(init).replace(/^\?/, ''));
        }
        #changed() { if (this.#url) this.#url(this.toString()); }
        static bind(params, list, onChange) { if (list) params.#list = list; params.#url = onChange; }
        get size() { return this.#list.length; }
        append(k, v) { this.#list.push([text(k), text(v)]); this.#changed(); }
        delete(k, v) {
            this.#list = this.#list.filter((p) => p[0] !== text(k) || (v !== undefined && p[1] !== text(v)));
            this.#changed();
        }
        get(k) { return this.#list.find((p) => p[0] === text(k))?.[1] ?? null; }
        getAll(k) { return this.#list.filter((p) => p[0] === text(k)).map((p) => p[1]); }
        has(k, v) { return this.#list.some((p) => p[0] === text(k) && (v === undefined || p[1] === text(v))); }
        set(k, v) {
            const at = this.#list.findIndex((p) => p[0] === text(k));
            if (at < 0) this.#list.push([text(k), text(v)]);
            else this.#list = this.#list.filter((p, i) => i <= at || p[0] !== text(k)).map((p, i) => (i === at ? [p[0], text(v)] : p));
            this.#changed();
        }
        sort() { this.#list.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0)); this.#changed(); }
        forEach(f, self) { for (const [k, v] of this) f.call(self, v, k, this); }
        *entries() { for (const p of this.#list) yield [...p]; }
        *keys() { for (const p of this.#list) yield p[0]; }
        *values() { for (const p of this.#list) yield p[1]; }
        [Symbol.iterator]() { return this.entries(); }
        toString() { return this.#list.map(([k, v]) => `${formEncode(k)}=${formEncode(v)}`).join('&'); }
    }
    const bind = URLSearchParams.bind;
    delete URLSearchParams.bind;

    class URL {
        #url; #params = null;
        constructor(input, base) {
            if (arguments.length === 0) throw new TypeError('URL needs a text');
            this.#url = parseUrl(text(input), base === undefined ? undefined : parseUrl(text(base)));
        }
        static canParse(input, base) { try { new URL(input, base); return true; } catch { return false; } }
        static parse(input, base) { try { return new URL(input, base); } catch { return null; } }
        #try(change) { try { change(this.#url); } catch { /* setters ignore what does not parse */ } }
        #sync() { if (this.#params) bind(this.#params, parseForm(this.#url.query ?? ''), this.#write); }
        #write = (query) => { this.#url.query = query === '' ? null : query; };
        get href() { return formatUrl(this.#url); }
        set href(v) { this.#url = parseUrl(text(v)); this.#sync(); }
        toString() { return this.href; }
        toJSON() { return this.href; }
        get origin() {
            const u = this.#url;
            return hooks.isSpecial(u.scheme) && u.scheme !== 'file' ? `${u.scheme}://${this.host}` : 'null';
        }
        get protocol() { return `${this.#url.scheme}:`; }
        set protocol(v) {
            const m = /^([a-zA-Z][a-zA-Z0-9+\-.]*)/.exec(text(v));
            const u = this.#url;
            if (!m || hooks.isSpecial(m[1].toLowerCase()) !== hooks.isSpecial(u.scheme)) return;
            u.scheme = m[1].toLowerCase();
            if (u.port !== null) u.port = hooks.parsePort(`${u.port}`, u.scheme);
        }
        get username() { return this.#url.username; }
        set username(v) { if (this.#url.host) this.#url.username = percent(text(v), hooks.USERINFO); }
        get password() { return this.#url.password; }
        set password(v) { if (this.#url.host) this.#url.password = percent(text(v), hooks.USERINFO); }
        get host() { return (this.#url.host ?? '') + (this.#url.port === null ? '' : `:${this.#url.port}`); }
        set host(v) {
            this.#try((u) => {
                const m = /^(\[[^\]]*\]|[^:/?#\\]*)(?::([0-9]*))?/.exec(text(v));
                const host = hooks.parseHost(m[1], u.scheme);
                if (m[2]) u.port = hooks.parsePort(m[2], u.scheme);
                u.host = host;
            });
        }
        get hostname() { return this.#url.host ?? ''; }
        set hostname(v) { this.#try((u) => { u.host = hooks.parseHost(/^(\[[^\]]*\]|[^:/?#\\]*)/.exec(text(v))[1], u.scheme); }); }
        get port() { return this.#url.port === null ? '' : `${this.#url.port}`; }
        set port(v) { this.#try((u) => { u.port = hooks.parsePort(/^[0-9]*/.exec(text(v))[0], u.scheme); }); }
        get pathname() { return hooks.pathOf(this.#url); }
        set pathname(v) {
            const u = this.#url;
            if (typeof u.path === 'string') return;
            u.path = hooks.parsePath(text(v).replace(hooks.isSpecial(u.scheme) ? /^[/\\]/ : /^\//, '')
                .replace(/[?#]/g, (c) => (c === '?' ? '%3F' : '%23')), u.scheme, []);
        }
        get search() { return this.#url.query ? `?${this.#url.query}` : ''; }
        set search(v) {
            const s = text(v).replace(/^\?/, '');
            this.#url.query = text(v) === '' ? null : percent(s, hooks.isSpecial(this.#url.scheme) ? hooks.SPECIAL_QUERY : hooks.QUERY).replace(/#/g, '%23');
            this.#sync();
        }
        get searchParams() {
            if (!this.#params) {
                this.#params = new URLSearchParams();
                this.#sync();
            }
            return this.#params;
        }
        get hash() { return this.#url.fragment ? `#${this.#url.fragment}` : ''; }
        set hash(v) { this.#url.fragment = text(v) === '' ? null : percent(text(v).replace(/^#/, ''), hooks.FRAGMENT); }
    }
    define(globalThis, { URL, URLSearchParams });
    hooks.parseForm = parseForm;
})
