// modules: ES modules for an engine whose C interface evaluates scripts alone. Each module becomes the body of a strict
// async function: imports are bound at its top, exports are read through functions when they are used.
(function (native, hooks) {
    'use strict';
    const NAME = /(?:[$_\p{ID_Start}]|\\u[0-9a-fA-F]{4}|\\u\{[0-9a-fA-F]+\})(?:[$\u200c\u200d\p{ID_Continue}]|\\u[0-9a-fA-F]{4}|\\u\{[0-9a-fA-F]+\})*/uy;
    const SPACE = /\s+|\/\/[^\n\r\u2028\u2029]*|\/\*[^]*?\*\//y;
    const NUMBER = /\.?[0-9][0-9a-zA-Z_.]*/y;
    const STRING = /'[^'\\\n\r]*(?:\\[^][^'\\\n\r]*)*'|"[^"\\\n\r]*(?:\\[^][^"\\\n\r]*)*"/y;
    const REGEXP = /\/(?:[^/\\[\n\r]|\\.|\[(?:[^\]\\\n\r]|\\.)*\])+\/[a-z]*/y;
    const CHUNK = /[^`\\$]*(?:(?:\\[^]|\$(?!\{))[^`\\$]*)*(`|\$\{)/y;
    // After these words an expression begins.
    const LEADING = new Set(['return', 'typeof', 'case', 'do', 'else', 'in', 'instanceof', 'new', 'void', 'delete', 'throw',
        'await', 'yield', 'of', 'default', 'extends']);
    const HEADS = new Set(['if', 'while', 'for', 'with']);

    // Tokens { t: kind, s: text, a: from, b: to, nl: a line break before, d: depth of brackets }.
    const scan = (source) => {
        const tokens = [], open = [];
        let at = source.startsWith('#!') ? source.search(/[\n\r\u2028\u2029]|$/) : 0, nl = true;
        const match = (re) => { re.lastIndex = at; return re.exec(source)?.[0]; };
        const push = (t, size) => {
            tokens.push({ t, s: source.slice(at, at + size), a: at, b: at + size, nl, d: open.length });
            at += size;
            nl = false;
        };
        // Whether a value may begin here, which makes "/" a regular expression and "{" an object.
        const isOperand = () => {
            const last = tokens.at(-1);
            if (last === undefined) return true;
            if (last.t === 'name') return LEADING.has(last.s) && tokens.at(-2)?.s !== '.';
            if (last.s === ')') return last.isHead;
            if (last.s === '}') return last.isBlock;
            return last.t === 'mark' && last.s !== ']';
        };
        const isBlock = () => {
            const last = tokens.at(-1);
            if (last === undefined || [';', '{', ')', '=>'].includes(last.s)) return true;
            if (last.s === '}') return last.isBlock;
            if (last.s === ':') return open.at(-1)?.isBlock !== false && open.at(-1)?.s !== '(';
            if (last.t === 'name') return !LEADING.has(last.s) || last.s === 'do' || last.s === 'else';
            return false;
        };
        const template = () => {
            const chunk = match(CHUNK);
            if (chunk === undefined) { push('bad', source.length - at); return; }
            push('text', chunk.length);
            if (chunk.endsWith('${')) open.push({ s: '${' });
        };
        while (at < source.length) {
            const space = match(SPACE);
            if (space !== undefined) { nl ||= /[\n\r\u2028\u2029]/.test(space); at += space.length; continue; }
            const c = source[at];
            let text;
            if ((text = match(NAME)) !== undefined) push('name', text.length);
            else if ((text = match(NUMBER)) !== undefined) push('number', text.length);
            else if ((text = match(STRING)) !== undefined) push('string', text.length);
            else if (c === '`') { push('text', 1); template(); }
            else if (c === '/' && isOperand() && (text = match(REGEXP)) !== undefined) push('regexp', text.length);
            else if (c === '{' || c === '(' || c === '[') {
                const head = tokens.at(-1);
                const frame = { s: c, isBlock: c === '{' && isBlock(), isHead: c === '(' && HEADS.has(head?.s) };
                push('mark', 1);
                open.push(frame);
            } else if (c === '}' || c === ')' || c === ']') {
                const frame = open.pop();
                if (c === '}' && frame?.s === '${') { at++; template(); continue; }
                push('mark', 1);
                tokens.at(-1).isBlock = frame?.isBlock ?? false;
                tokens.at(-1).isHead = frame?.isHead ?? false;
            } else if (source.startsWith('=>', at)) push('mark', 2);
            else if (source.startsWith('++', at) || source.startsWith('--', at)) push(isOperand() ? 'mark' : 'after', 2);
            else if (source.startsWith('...', at)) push('mark', 3);
            else push('mark', c === '#' ? 1 : source.codePointAt(at) > 0xffff ? 2 : 1);
        }
        return tokens;
    };

    const unquote = (token) => (token.t === 'string' ? JSON.parse(`"${token.s.slice(1, -1).replace(/\\'/g, "'").replace(/"/g, '\\"')}"`) : token.s);
    const quote = (text) => JSON.stringify(text);

    const AsyncFunction = (async () => {}).constructor;
    const isBody = (text) => {
        try {
            new AsyncFunction('$rd', `"use strict";${text}`);
            return true;
        } catch {
            return false;
        }
    };

    // The body of the function that a module becomes, with the names of what it imports.
    const translate = (source) => {
        const tokens = scan(source), edits = [], imports = [], heads = [], gives = [];
        let i = 0;
        const cut = (a, b, text = '') => { edits.push([a, b, text]); };
        const is = (s, from = i) => tokens[from]?.s === s && tokens[from].t !== 'string';
        const end = (token) => { if (is(';') ) return tokens[i++].b; return token.b; };
        const from = () => {
            i++;
            const token = tokens[i++], name = unquote(token);
            if (!imports.includes(name)) imports.push(name);
            let last = token;
            if (is('with') && is('{', i + 1)) {
                while (i < tokens.length && !is('}')) i++;
                last = tokens[i++];
            }
            return { name, b: end(last) };
        };
        // { a, b as c }: pairs of what stands there and what it is called.
        const list = () => {
            const pairs = [];
            for (i++; !is('}'); ) {
                const one = unquote(tokens[i++]);
                let other = one;
                if (is('as')) { other = unquote(tokens[i + 1]); i += 2; }
                pairs.push([one, other]);
                if (is(',')) i++;
            }
            i++;
            return pairs;
        };
        const bindings = (pairs) => `{${pairs.map(([name, local]) => `${quote(name)}:${local}`).join(',')}}`;
        const readImport = (start) => {
            const heads_ = [];
            if (tokens[i].t === 'string') {
                i--;
                const { b } = from();
                cut(start, b);
                return;
            }
            if (tokens[i].t === 'name') {
                heads_.push(['default', tokens[i++].s]);
                if (is(',')) i++;
            }
            let space = null;
            if (is('*')) { space = tokens[i + 2].s; i += 3; }
            const pairs = is('{') ? [...heads_, ...list()] : heads_;
            const { name, b } = from();
            cut(start, b);
            if (space !== null) heads.push(`const ${space}=$rd.space(${quote(name)});`);
            if (pairs.length > 0) heads.push(`$rd.need(${quote(name)},${quote(pairs.map(([n]) => n))});const ${bindings(pairs)}=$rd.space(${quote(name)});`);
        };
        // The names that a declaration binds: i is at the first token behind const, let or var.
        const pattern = (names) => {
            if (!is('{') && !is('[')) { names.push(tokens[i++].s); return; }
            const depth = tokens[i].d, isObject = is('{');
            for (i++; i < tokens.length && tokens[i].d > depth; ) {
                if (is(',') || is('...')) { i++; continue; }
                if (isObject) {
                    const key = i;
                    if (is('[')) { const d = tokens[i].d; for (i++; tokens[i].d > d; ) i++; i++; } else i++;
                    if (is(':')) { i++; pattern(names); } else names.push(tokens[key].s);
                } else pattern(names);
                if (is('=')) skip(depth + 1);
            }
            i++;
        };
        // Past an initialiser, up to the comma or the end of it.
        const skip = (depth) => {
            for (i++; i < tokens.length; i++) {
                const token = tokens[i], last = tokens[i - 1];
                if (token.d < depth || (token.d === depth && (token.s === ',' || token.s === ';') && token.t === 'mark')) return;
                if (token.d === depth && /^[)\]}]$/.test(token.s) && token.t === 'mark' && token.d < depth) return;
                if (token.d === depth && token.nl && token.t === 'name' && token.s !== 'in' && token.s !== 'instanceof' &&
                    (last.t !== 'mark' || /^[)\]}]$/.test(last.s)) && !(last.t === 'name' && LEADING.has(last.s))) return;
            }
        };
        const give = (name, local) => { gives.push(`${quote(name)}:()=>${local}`); };
        const readDefault = (start) => {
            const isAsync = is('async') && is('function', i + 1) && !tokens[i + 1].nl;
            const word = isAsync ? i + 1 : i;
            if (is('function', word) || is('class', word)) {
                let name = word + 1;
                if (is('*', name)) name++;
                const isNamed = tokens[name]?.t === 'name' && !(is('class', word) && is('extends', name));
                cut(start, tokens[i].a);
                if (!isNamed) cut(tokens[name - 1].b, tokens[name - 1].b, ' $default ');
                give('default', isNamed ? tokens[name].s : '$default');
                return;
            }
            cut(start, tokens[i - 1].b, 'const $default=');
            give('default', '$default');
        };
        const readExport = (start) => {
            if (is('default')) { i++; readDefault(start); return; }
            if (is('*')) {
                i++;
                let name = null;
                if (is('as')) { name = unquote(tokens[i + 1]); i += 2; }
                const source_ = from();
                cut(start, source_.b);
                if (name === null) heads.push(`$rd.all(${quote(source_.name)});`);
                else gives.push(`${quote(name)}:()=>$rd.space(${quote(source_.name)})`);
                return;
            }
            if (is('{')) {
                const pairs = list();
                if (is('from')) {
                    const source_ = from();
                    cut(start, source_.b);
                    heads.push(`$rd.need(${quote(source_.name)},${quote(pairs.map(([n]) => n))});`);
                    for (const [name, as] of pairs) gives.push(`${quote(as)}:()=>$rd.space(${quote(source_.name)})[${quote(name)}]`);
                    return;
                }
                cut(start, end(tokens[i - 1]));
                for (const [local, as] of pairs) give(as, local);
                return;
            }
            cut(start, tokens[i].a);
            if (is('const') || is('let') || is('var')) {
                const names = [];
                do {
                    i++;
                    pattern(names);
                    if (is('=')) skip(0);
                } while (is(','));
                for (const name of names) give(name, name);
                return;
            }
            let name = i + (is('async') ? 2 : 1);
            if (is('*', name)) name++;
            give(tokens[name].s, tokens[name].s);
        };
        while (i < tokens.length) {
            const token = tokens[i], isMember = is('.', i - 1) || is('#', i - 1);
            if (token.t !== 'name' || isMember) { i++; continue; }
            if (token.s === 'import' && is('(', i + 1)) { cut(token.a, token.b, '$rd.load'); i++; }
            else if (token.s === 'import' && is('.', i + 1)) { cut(token.a, tokens[i + 2].b, '$rd.meta'); i += 3; }
            else if (token.d === 0 && token.s === 'import') { i++; readImport(token.a); }
            else if (token.d === 0 && token.s === 'export') { i++; readExport(token.a); }
            else i++;
        }
        let out = '', at = 0;
        for (const [a, b, text] of edits.sort((x, y) => x[0] - y[0])) {
            // Lines stay where they were, so that stacks name them rightly.
            out += source.slice(at, a) + text + source.slice(a, b).replace(/[^\n]+/g, '');
            at = b;
        }
        out = (out + source.slice(at)).replace(/^#!/, '//');
        // What does not end inside the function would run outside of it: the open bracket makes it an error.
        return { code: `(async function($rd){"use strict";$rd.give({${gives.join(',')}});${heads.join('')}${out}\n${isBody(out) ? '})' : '('}`, imports };
    };

    hooks.translate = (source) => {
        try {
            return translate(source);
        } catch (e) {
            if (e instanceof SyntaxError) throw e;
            throw new SyntaxError('an import or export cannot be read');
        } finally {
            /(?:)/.test(''); // RegExp.lastMatch and its like: as empty as where nothing was translated
        }
    };

    const resolve = (base, name) => {
        if (!/^\.\.?\//.test(name)) return name.replace(/^\//, '');
        const parts = base.split('/').slice(0, -1);
        for (const part of name.split('/')) {
            if (part === '..') parts.pop();
            else if (part !== '.') parts.push(part);
        }
        return parts.join('/');
    };
    const missing = (name) => Object.assign(new Error(`module "${name}" is not part of the release`), { code: 'MODULE_NOT_FOUND' });
    const table = new Map();
    const spaceOf = (entry) => entry.space;

    // Evaluates a module after those it imports; each once.
    const load = (name, path) => {
        const known = table.get(name);
        if (known !== undefined) {
            if (path.includes(name)) throw new SyntaxError(`the modules ${[...path.slice(path.indexOf(name)), name].join(' -> ')} import each other, which this engine cannot do`);
            return known.done;
        }
        const found = native.module(name);
        if (found === null) throw missing(name);
        const entry = { space: Object.create(null), done: null, name };
        Object.defineProperty(entry.space, Symbol.toStringTag, { value: 'Module' });
        table.set(name, entry);
        entry.done = (async () => {
            if (name.endsWith('.json')) {
                entry.space.default = JSON.parse(found);
                return entry;
            }
            const names = native.imports(name), others = new Map();
            for (const other of names) others.set(other, await load(resolve(name, other), [...path, name]));
            const offer = (key, get) => Object.defineProperty(entry.space, key, { get, enumerable: true, configurable: true });
            await found.call(undefined, {
                give: (getters) => { for (const key of Object.keys(getters)) offer(key, getters[key]); },
                space: (other) => spaceOf(others.get(other)),
                need(other, keys) {
                    for (const key of keys)
                        if (!(key in others.get(other).space)) throw new SyntaxError(`module "${others.get(other).name}" has no export "${key}"`);
                },
                all(other) {
                    const { space } = others.get(other);
                    for (const key of Object.keys(space)) if (key !== 'default' && !(key in entry.space)) offer(key, () => space[key]);
                },
                load: async (other) => (await load(resolve(name, `${other}`), [])).space,
                meta: Object.freeze({ url: name }),
            });
            // A namespace has its names in order (ECMA-262, 10.4.6.11).
            for (const key of Object.keys(entry.space).sort()) {
                const one = Object.getOwnPropertyDescriptor(entry.space, key);
                delete entry.space[key];
                Object.defineProperty(entry.space, key, one);
            }
            return entry;
        })();
        return entry.done;
    };
    hooks.loadMain = (main, env) => {
        load(main, []).then(
            (entry) => { try { hooks.setHandler(entry.space.default, env); native.loaded(); } catch (e) { native.failLoad(7, e); } },
            (e) => native.failLoad(1, e));
    };
})
