// url: the URL parser and serialiser of the URL standard, written as splitting instead of as a state machine.
// Names beyond ASCII are mapped by NFKC and lower case, then punycode: close to UTS 46, not the whole of it.
(function (native, hooks) {
    'use strict';
    const { encode } = hooks;
    const special = { 'http': 80, 'https': 443, 'ws': 80, 'wss': 443, 'ftp': 21, 'file': null };
    const isSpecial = (scheme) => Object.hasOwn(special, scheme);
    const fail = (what) => { throw new TypeError(`invalid URL: ${what}`); };

    // Percent-encode sets (URL standard, 1.3); each matches what must be encoded.
    const CONTROL = /[^\x20-\x7e]/;
    const FRAGMENT = /[^\x21\x23-\x3b\x3d\x3f-\x5f\x61-\x7e]/;
    const QUERY = /[^\x21\x24-\x3b\x3d\x3f-\x7e]/;
    const SPECIAL_QUERY = /[^\x21\x24-\x26\x28-\x3b\x3d\x3f-\x7e]/;
    const PATH = /[^\x21\x24-\x3b\x3d\x40-\x5d\x5f\x61-\x7a\x7c\x7e]/;
    const USERINFO = /[^\x21\x24-\x2e\x30-\x39\x41-\x5a\x5f\x61-\x7a\x7e]/;
    const hex = (b) => `%${b < 16 ? '0' : ''}${b.toString(16).toUpperCase()}`;
    const percent = (text, set) => {
        if (!set.test(text)) return text;
        let out = '';
        for (const c of text) {
            if (!set.test(c)) out += c;
            else for (const b of encode(c)) out += hex(b);
        }
        return out;
    };
    const unpercent = (text) => {
        if (!text.includes('%')) return text;
        const bytes = encode(text), out = new Uint8Array(bytes.length);
        let to = 0;
        for (let i = 0; i < bytes.length; i++) {
            const pair = bytes[i] === 37 ? String.fromCharCode(bytes[i + 1], bytes[i + 2]) : '';
            if (/^[0-9a-fA-F]{2}$/.test(pair)) { out[to++] = parseInt(pair, 16); i += 2; } else out[to++] = bytes[i];
        }
        return native.decode(out.subarray(0, to), false);
    };

    // RFC 3492.
    const punycode = (label) => {
        const points = Array.from(label, (c) => c.codePointAt(0));
        let out = points.filter((p) => p < 128).map((p) => String.fromCharCode(p)).join('');
        const basic = out.length;
        let n = 128, delta = 0, bias = 72, done = basic;
        if (basic > 0) out += '-';
        while (done < points.length) {
            const m = Math.min(...points.filter((p) => p >= n));
            delta += (m - n) * (done + 1);
            n = m;
            for (const p of points) {
                if (p < n) delta++;
                if (p !== n) continue;
                let q = delta;
                for (let k = 36; ; k += 36) {
                    const t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
                    if (q < t) break;
                    out += (t + (q - t) % (36 - t)).toString(36).replace(/./, (d) => 'abcdefghijklmnopqrstuvwxyz0123456789'[parseInt(d, 36)]);
                    q = Math.floor((q - t) / (36 - t));
                }
                out += 'abcdefghijklmnopqrstuvwxyz0123456789'[q];
                delta = done === basic ? Math.floor(delta / 700) : delta >> 1;
                delta += Math.floor(delta / (done + 1));
                let k = 0;
                for (; delta > 455; k += 36) delta = Math.floor(delta / 35);
                bias = k + Math.floor(36 * delta / (delta + 38));
                delta = 0;
                done++;
            }
            delta++;
            n++;
        }
        return out;
    };
    const toAscii = (domain) => {
        if (!/[^\x00-\x7f]/.test(domain)) return domain.toLowerCase();
        const mapped = domain.replace(/[\u00ad\u200b\u2060\ufeff\ufe00-\ufe0f]/g, '').normalize('NFKC').toLowerCase().normalize('NFC').replace(/[\u3002\uff0e\uff61]/g, '.');
        return mapped.split('.').map((l) => (/[^\x00-\x7f]/.test(l) ? `xn--${punycode(l)}` : l)).join('.');
    };

    const number4 = (text) => {
        if (text === '') return NaN;
        if (/^0[xX][0-9a-fA-F]*$/.test(text)) return text.length === 2 ? 0 : parseInt(text, 16);
        if (/^0[0-7]*$/.test(text)) return parseInt(text, 8);
        return /^[1-9][0-9]*$/.test(text) ? parseInt(text, 10) : NaN;
    };
    const parse4 = (host) => {
        const parts = host.split('.');
        if (parts.length > 1 && parts.at(-1) === '') parts.pop();
        const last = parts.at(-1);
        if (!/^[0-9]+$/.test(last) && !/^0[xX][0-9a-fA-F]*$/.test(last)) return null;
        const numbers = parts.map(number4);
        if (parts.length > 4 || numbers.some(Number.isNaN) || numbers.slice(0, -1).some((n) => n > 255) ||
            numbers.at(-1) >= 256 ** (5 - numbers.length)) fail(`the address ${host}`);
        let value = numbers.at(-1);
        numbers.slice(0, -1).forEach((n, i) => { value += n * 256 ** (3 - i); });
        return [24, 16, 8, 0].map((s) => Math.floor(value / 2 ** s) % 256).join('.');
    };
    const parse6 = (text) => {
        let s = text;
        const four = /^(.*:)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(s);
        if (four) {
            const n = four.slice(2).map(Number);
            if (n.some((v, i) => v > 255 || String(v) !== four[i + 2])) fail(`the address [${text}]`);
            s = `${four[1]}${(n[0] * 256 + n[1]).toString(16)}:${(n[2] * 256 + n[3]).toString(16)}`;
        }
        const halves = s.split('::');
        const groups = (h) => (h === '' ? [] : h.split(':'));
        const head = groups(halves[0]), tail = halves.length === 2 ? groups(halves[1]) : [];
        const missing = 8 - head.length - tail.length;
        const all = halves.length === 2 ? [...head, ...new Array(Math.max(missing, 0)).fill('0'), ...tail] : head;
        if (halves.length > 2 || all.length !== 8 || (halves.length === 2 && missing < 1) ||
            all.some((g) => !/^[0-9a-fA-F]{1,4}$/.test(g))) fail(`the address [${text}]`);
        const values = all.map((g) => parseInt(g, 16));
        let best = [-1, 1], from = -1;
        for (let i = 0; i <= 8; i++) {
            if (i < 8 && values[i] === 0) { if (from < 0) from = i; continue; }
            if (from >= 0 && i - from > best[1]) best = [from, i - from];
            from = -1;
        }
        const shown = values.map((v) => v.toString(16));
        if (best[0] < 0) return `[${shown.join(':')}]`;
        return `[${shown.slice(0, best[0]).join(':')}::${shown.slice(best[0] + best[1]).join(':')}]`;
    };
    const parseHost = (text, scheme) => {
        if (text.startsWith('[')) {
            if (!text.endsWith(']')) fail(`the host ${text}`);
            return parse6(text.slice(1, -1));
        }
        if (!isSpecial(scheme)) {
            if (/[\0\t\n\r #/:<>?@[\\\]^|]/.test(text)) fail(`the host ${text}`);
            return percent(text, CONTROL);
        }
        const host = toAscii(unpercent(text));
        if (host === '' || /(^|\.)xn--(\.|$)/.test(host) || /[\x00-\x20#%/:<>?@[\\\]^`{|}\x7f]/.test(host)) fail(`the host "${text}"`);
        return parse4(host) ?? host;
    };
    const parsePort = (text, scheme) => {
        if (text === '') return null;
        if (!/^[0-9]+$/.test(text) || Number(text) > 65535) fail(`the port ${text}`);
        return Number(text) === special[scheme] ? null : Number(text);
    };

    const isDot = (s) => s === '.' || /^%2e$/i.test(s);
    const isDots = (s) => /^(\.|%2e){2}$/i.test(s);
    const parsePath = (text, scheme, base) => {
        const out = [...base];
        const parts = (isSpecial(scheme) ? text.replace(/\\/g, '/') : text).split('/');
        parts.forEach((part, i) => {
            const isLast = i === parts.length - 1;
            if (isDots(part)) { out.pop(); if (isLast) out.push(''); }
            else if (isDot(part)) { if (isLast) out.push(''); }
            else out.push(percent(part, PATH));
        });
        return out;
    };
    const splitQuery = (text, url) => {
        const at = text.indexOf('?');
        if (at < 0) return text;
        url.query = percent(text.slice(at + 1), isSpecial(url.scheme) ? SPECIAL_QUERY : QUERY);
        return text.slice(0, at);
    };
    const parseAuthority = (text, url) => {
        const end = text.search(isSpecial(url.scheme) ? /[/\\?]/ : /[/?]/);
        let authority = end < 0 ? text : text.slice(0, end);
        const rest = end < 0 ? '' : text.slice(end);
        const at = authority.lastIndexOf('@');
        if (at >= 0) {
            const colon = authority.slice(0, at).indexOf(':');
            url.username = percent(authority.slice(0, colon < 0 ? at : colon), USERINFO);
            url.password = colon < 0 ? '' : percent(authority.slice(colon + 1, at), USERINFO);
            authority = authority.slice(at + 1);
            if (authority === '') fail('no host');
        }
        const port = /:([^\]:]*)$/.exec(authority);
        if (port) authority = authority.slice(0, port.index);
        if (authority === '' && url.scheme !== 'file' && (isSpecial(url.scheme) || port)) fail('no host');
        url.host = authority === '' ? '' : parseHost(authority, url.scheme);
        if (url.scheme === 'file' && url.host === 'localhost') url.host = '';
        url.port = port ? parsePort(port[1], url.scheme) : null;
        parseRest(rest, url);
    };
    const parseRest = (text, url) => {
        const path = splitQuery(text, url);
        const isRooted = /^[/\\]/.test(path) && (isSpecial(url.scheme) || path[0] === '/');
        if (path === '' && !isSpecial(url.scheme)) url.path = [];
        else url.path = parsePath(isRooted ? path.slice(1) : path, url.scheme, []);
    };
    const parseRelative = (text, url, base) => {
        const slash = isSpecial(url.scheme) ? /^[/\\]/ : /^\//;
        if (slash.test(text) && slash.test(text.slice(1))) return parseAuthority(isSpecial(url.scheme) && url.scheme !== 'file' ? text.replace(/^[/\\]+/, '') : text.slice(2), url);
        Object.assign(url, { username: base.username, password: base.password, host: base.host, port: base.port });
        if (slash.test(text)) return parseRest(text, url);
        url.query = text === '' ? base.query : null;
        const path = splitQuery(text, url);
        url.path = path === '' ? [...base.path] : parsePath(path, url.scheme, base.path.slice(0, -1));
        return undefined;
    };

    hooks.parseUrl = (input, base) => {
        let text = input.replace(/^[\x00-\x20]+|[\x00-\x20]+$/g, '').replace(/[\t\n\r]/g, '');
        const url = { scheme: '', username: '', password: '', host: null, port: null, path: [], query: null, fragment: null };
        const hash = text.indexOf('#');
        if (hash >= 0) {
            url.fragment = percent(text.slice(hash + 1), FRAGMENT);
            text = text.slice(0, hash);
        }
        const scheme = /^([a-zA-Z][a-zA-Z0-9+\-.]*):/.exec(text);
        if (!scheme) {
            if (!base) fail(`"${input}" is relative and there is no base`);
            url.scheme = base.scheme;
            if (typeof base.path === 'string') {
                if (text !== '' || hash < 0) fail(`"${input}" against an opaque base`);
                return { ...base, fragment: url.fragment };
            }
            parseRelative(text, url, base);
            return url;
        }
        url.scheme = scheme[1].toLowerCase();
        text = text.slice(scheme[0].length);
        if (isSpecial(url.scheme)) {
            if (base && base.scheme === url.scheme && !/^[/\\]{2}/.test(text)) parseRelative(text, url, base);
            else if (url.scheme === 'file') {
                if (/^[/\\]{2}/.test(text)) parseAuthority(text.slice(2), url);
                else { url.host = ''; parseRest(text, url); }
            } else parseAuthority(text.replace(/^[/\\]+/, ''), url);
        } else if (text.startsWith('//')) parseAuthority(text.slice(2), url);
        else if (text.startsWith('/')) parseRest(text, url);
        else url.path = percent(splitQuery(text, url), CONTROL);
        return url;
    };
    hooks.pathOf = (url) => (typeof url.path === 'string' ? url.path : url.path.map((s) => `/${s}`).join(''));
    hooks.formatUrl = (url, withFragment = true) => {
        let out = `${url.scheme}:`;
        if (url.host !== null) {
            out += '//';
            if (url.username || url.password) out += `${url.username}${url.password ? `:${url.password}` : ''}@`;
            out += url.host + (url.port === null ? '' : `:${url.port}`);
        } else if (typeof url.path !== 'string' && url.path.length > 1 && url.path[0] === '') out += '/.';
        out += hooks.pathOf(url);
        if (url.query !== null) out += `?${url.query}`;
        return withFragment && url.fragment !== null ? `${out}#${url.fragment}` : out;
    };
    Object.assign(hooks, { percent, unpercent, parseHost, parsePort, parsePath, isSpecial, USERINFO, FRAGMENT, QUERY,
        SPECIAL_QUERY, CONTROL });
})
