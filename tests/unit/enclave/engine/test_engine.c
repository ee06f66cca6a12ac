#include "tests/unit/enclave/engine/engine_fixture.h"

/* Each row is an expression inside an async handler; its value as text is the body. */
static const struct {
    const char *expression;
    const char *want;
} rows[] = {
    { "1 + 1", "2" },
    { "request.method + ' ' + request.url", "POST https://app.example/p?q=1" },
    { "request.headers.get('content-type')", "application/json" },
    { "request.headers.get('X-TWO')", "a, b" },
    { "[...request.headers].map(([k, v]) => k + '=' + v).join(';')", "content-type=application/json;x-two=a, b" },
    { "await request.text()", "{\"a\":[1,2,\"\xc3\xa9\"]}" },
    { "(await request.json()).a[2]", "\xc3\xa9" },
    { "(await request.arrayBuffer()).byteLength", "16" },
    { "(await request.clone().text()).length + (await request.bytes()).length", "31" },
    { "await request.text(), await request.text().catch(e => e.name)", "TypeError" },
    { "new URL(request.url).searchParams.get('q')", "1" },
    /* Response */
    { "await new Response('x').text()", "x" },
    { "JSON.stringify([...Response.json({ a: 1 }).headers])", "[[\"content-type\",\"application/json\"]]" },
    { "(await Response.json({ a: 1 }).json()).a", "1" },
    { "Response.redirect('https://a.b/c', 301).headers.get('location')", "https://a.b/c" },
    { "Response.redirect('/x').headers.get('location')", "https://app.example/x" },
    { "new Response(null, { status: 204 }).status", "204" },
    { "(() => { try { new Response('', { status: 204 }) } catch (e) { return e.name } })()", "TypeError" },
    { "(() => { try { new Response('', { status: 99 }) } catch (e) { return e.name } })()", "RangeError" },
    { "(() => { const r = Response.json({}, { status: 201, headers: { 'Content-Type': 'a/b', c: 'd' } }); return "
      "r.status + JSON.stringify([...r.headers]) })()",
      "201[[\"c\",\"d\"],[\"content-type\",\"a/b\"]]" },
    { "(() => { try { Response.json({}, { status: 205 }) } catch (e) { return e.name } })()", "TypeError" },
    { "new Response('x', { headers: [['Content-Type', 'text/html']] }).headers.get('content-type')", "text/html" },
    { "(() => { const r = new Response('x'); r.headers.delete('content-type'); return [...r.headers].length })()",
      "0" },
    { "(() => { const r = new Response('x', { status: 201, statusText: 'Made' }).clone(); return "
      "[r.status, r.statusText, r.type, r.url, r.redirected, r.headers.get('content-type')].join() })()",
      "201,Made,default,,false,text/plain;charset=UTF-8" },
    { "new Response(new Uint8Array(1)).headers.get('content-type')", "null" },
    { "new Response('x', null).status + new Response('x', { status: null, headers: null }).statusText", "200" },
    { "new Response(new URLSearchParams({ a: 'b c' })).headers.get('content-type')",
      "application/x-www-form-urlencoded;charset=UTF-8" },
    /* Headers */
    { "(() => { try { new Headers({ 'a b': '1' }) } catch (e) { return e.name } })()", "TypeError" },
    { "(() => { try { new Headers({ a: '1\\r\\nx: y' }) } catch (e) { return e.name } })()", "TypeError" },
    { "(() => { const h = new Headers(); h.append('set-cookie', 'a'); h.append('Set-Cookie', 'b'); return "
      "h.getSetCookie() })()",
      "a,b" },
    /* URL */
    { "new URL('HTTP://User:Pa@EXAMPLE.com:80/a/./b/../c?x=1 2#f').href", "http://User:Pa@example.com/a/c?x=1%202#f" },
    { "new URL('../x?y', 'https://h:8443/a/b/c').href", "https://h:8443/a/x?y" },
    { "new URL('//other/p', 'https://h/a').href", "https://other/p" },
    { "new URL('?z', 'https://h/a/b?c#d').href", "https://h/a/b?z" },
    { "new URL('#z', 'https://h/a/b?c#d').href", "https://h/a/b?c#z" },
    { "new URL('https://0x7f.1/').hostname", "127.0.0.1" },
    { "new URL('https://[2001:DB8:0:0:1:0:0:1]/').hostname", "[2001:db8::1:0:0:1]" },
    { "new URL('https://[::ffff:1.2.3.4]/').hostname", "[::ffff:102:304]" },
    { "new URL('https://b\xc3\xbc"
      "cher.example/').hostname",
      "xn--bcher-kva.example" },
    { "new URL('https://\xe4\xbe\x8b\xe3\x81\x88.jp/').hostname", "xn--r8jz45g.jp" },
    { "new URL('mailto:a@b').pathname", "a@b" },
    { "new URL('https://a/%2e%2E/b\\\\c').pathname", "/b/c" },
    { "URL.canParse('https://a b/')", "false" },
    { "URL.canParse('https://1.2.3.256/')", "false" },
    { "URL.canParse('/x')", "false" },
    { "(() => { const u = new URL('https://a/'); u.searchParams.append('k', 'v w'); return u.href })()",
      "https://a/?k=v+w" },
    { "(() => { const u = new URL('https://a/?x=1'); u.search = 'y=2'; return u.searchParams.get('y') })()", "2" },
    { "(() => { const u = new URL('https://a/'); u.pathname = '/x y'; u.hash = 'h'; u.port = '81'; return u })()",
      "https://a:81/x%20y#h" },
    { "new URL('https://a/b').origin", "https://a" },
    { "new URLSearchParams('a=1&b=%C3%A9+x&a=2').getAll('a') + new URLSearchParams('b=%C3%A9+x').get('b')",
      "1,2\xc3\xa9 x" },
    /* encoding */
    { "new TextEncoder().encode('\xe2\x82\xac').toHex()", "e282ac" },
    { "new TextEncoder().encode('\\ud800').toHex()", "efbfbd" },
    { "new TextDecoder().decode(Uint8Array.fromHex('efbbbf41'))", "A" },
    { "new TextDecoder().decode(Uint8Array.fromHex('41f09f9841e282')).split('').map(c => c.charCodeAt().toString(16))",
      "41,fffd,41,fffd" },
    { "(() => { try { new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.of(255)) } catch (e) { return e.name "
      "} })()",
      "TypeError" },
    { "(() => { const d = new TextDecoder(); return d.decode(Uint8Array.fromHex('e282'), { stream: true }) + '|' + "
      "d.decode(Uint8Array.of(0xac)) })()",
      "|\xe2\x82\xac" },
    { "(() => { try { new TextDecoder('latin1') } catch (e) { return e.name } })()", "RangeError" },
    { "btoa('a\\xff') + atob(' YWI= ')", "Yf8=ab" },
    { "(() => { try { atob('a') } catch (e) { return e.name } })()", "InvalidCharacterError" },
    { "Uint8Array.fromBase64('-_8', { alphabet: 'base64url' }).toBase64()", "+/8=" },
    /* crypto */
    { "new Uint8Array(await crypto.subtle.digest('SHA-1', new TextEncoder().encode('abc'))).toHex()",
      "a9993e364706816aba3e25717850c26c9cd0d89d" },
    { "new Uint8Array(await crypto.subtle.digest('sha-256', new TextEncoder().encode('abc'))).toHex()",
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "new Uint8Array(await crypto.subtle.digest({ name: 'SHA-384' }, new TextEncoder().encode('abc'))).toHex()",
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7" },
    { "new Uint8Array(await crypto.subtle.digest('SHA-512', new TextEncoder().encode('abc'))).toHex().slice(0, 32)",
      "ddaf35a193617abacc417349ae204131" },
    { "new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(119))).toHex().slice(0, 16)",
      "f616b0d54e78571a" },
    { "crypto.subtle.digest('MD5', new Uint8Array(1)).catch(e => e.name)", "NotSupportedError" },
    { "(async () => { const k = await crypto.subtle.importKey('raw', new TextEncoder().encode('Jefe'), { name: 'HMAC', "
      "hash: 'SHA-256' }, false, ['sign', 'verify']);"
      " const m = new TextEncoder().encode('what do ya want for nothing?'); const s = await crypto.subtle.sign('HMAC', "
      "k, m);"
      " return new Uint8Array(s).toHex() + await crypto.subtle.verify('HMAC', k, s, m) + await "
      "crypto.subtle.verify('HMAC', k, new Uint8Array(32), m) })()",
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843truefalse" },
    { "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())", "true" },
    { "crypto.getRandomValues(new Uint8Array(8)).some(b => b)", "true" },
    { "(() => { try { crypto.getRandomValues(new Uint8Array(65537)) } catch (e) { return e.name } })()",
      "QuotaExceededError" },
    { "Math.random() !== Math.random() && Math.random() < 1", "true" },
    /* time and timers */
    { "await new Promise(r => setTimeout(r, 5, 'late'))", "late" },
    { "(async () => { const o = []; setTimeout(() => o.push(2), 20); setTimeout(() => o.push(1), 10); const c = "
      "setTimeout(() => o.push(9), 15); clearTimeout(c);"
      " await new Promise(r => setTimeout(r, 30)); return o })()",
      "1,2" },
    { "(async () => { let n = 0; await new Promise(r => { const i = setInterval(() => { if (++n === 3) { "
      "clearInterval(i); r() } }, 1) }); return n })()",
      "3" },
    { "(async () => { const o = []; queueMicrotask(() => o.push('m')); o.push('s'); await 0; return o })()", "s,m" },
    { "new Date().getUTCFullYear() + ' ' + new Date(0).getTimezoneOffset()", "2026 0" },
    { "performance.now() < 5000 && performance.timeOrigin > 1.7e12", "true" },
    /* events and aborting */
    { "(() => { const t = new EventTarget(); let n = 0; t.addEventListener('x', () => n++, { once: true }); "
      "t.dispatchEvent(new Event('x')); t.dispatchEvent(new Event('x')); return n })()",
      "1" },
    { "(() => { const c = new AbortController(); let s = ''; c.signal.onabort = () => s += 'h'; c.abort(); return s + "
      "c.signal.aborted + c.signal.reason.name })()",
      "htrueAbortError" },
    { "(async () => { const s = AbortSignal.timeout(5); await new Promise(r => s.addEventListener('abort', r)); return "
      "s.reason.name })()",
      "TimeoutError" },
    /* cloning */
    { "(() => { const a = { d: new Date(5), m: new Map([[1, { x: 1n }]]), s: new Set([2]), u: Uint8Array.of(1, 2) }; "
      "a.self = a; const b = structuredClone(a);"
      " return [b !== a, b.self === b, b.d.getTime(), b.m.get(1).x, b.s.has(2), b.u[1]] })()",
      "true,true,5,1,true,2" },
    { "(() => { try { structuredClone(() => 1) } catch (e) { return e.name + e.code } })()", "DataCloneError25" },
    /* newer language */
    { "[1, 2, 3, 4].values().filter(x => x % 2).map(x => x * 2).toArray()", "2,6" },
    { "[...new Set([1, 2]).union(new Set([3]))] + '|' + [...new Set([1, 2]).intersection(new Set([2]))]", "1,2,3|2" },
    { "await Array.fromAsync((async function* () { yield 1; yield 2 })())", "1,2" },
    { "await Promise.try(() => 7)", "7" },
    { "RegExp.escape('a.b') + Object.groupBy([1, 2], x => x % 2 ? 'o' : 'e').o", "\\x61\\.b1" },
    /* what is not there */
    { "fetch('https://a/').catch(e => e.name + ': ' + e.message)",
      "NotSupportedError: there is nothing of the world here" },
    { "[typeof SharedArrayBuffer, typeof Atomics, typeof process, typeof require, typeof std, typeof os, typeof "
      "native, typeof hooks]",
      "undefined,undefined,undefined,undefined,undefined,undefined,undefined,undefined" },
    { "eval('1 + 2') + new Function('return 3')()", "6" },
    { "JSON.stringify(env)", "{}" },
};

static void test_handler_api(void **state)
{
    static char source[65536];
    fixture f = { 0 };
    size_t n = 0;

    (void)state;
    n += (size_t)snprintf(source + n, sizeof(source) - n, "const rows = [\n");
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        n += (size_t)snprintf(source + n, sizeof(source) - n, "async (request, env) => (%s),\n", rows[i].expression);
    n += (size_t)snprintf(
        source + n, sizeof(source) - n,
        "];\nexport default { async fetch(request, env) {\n"
        "const row = rows[Number(request.headers.get('x-row') ?? new URL(request.url).hash.slice(1))];\n"
        "return new Response(String(await row(request, env))); } };\n");
    assert_true(n < sizeof(source));
    fixture_start(&f, NULL, source);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        char number[16];
        (void)snprintf(number, sizeof(number), "%zu", i);
        encl_header headers[] = { { rd_bytes_str("Content-Type"), rd_bytes_str("application/json") },
                                  { rd_bytes_str("x-two"), rd_bytes_str("a") },
                                  { rd_bytes_str("X-Two"), rd_bytes_str("b") },
                                  { rd_bytes_str("x-row"), rd_bytes_str(number) } };
        bool lists_headers = strstr(rows[i].expression, "...request.headers") != NULL;
        char url[64];
        (void)snprintf(url, sizeof(url), "https://app.example/p?q=1%s%s", lists_headers ? "#" : "",
                       lists_headers ? number : "");
        encl_request request = { rd_bytes_str("POST"), rd_bytes_str(url), headers, lists_headers ? 3 : 4,
                                 rd_bytes_str("{\"a\":[1,2,\"\xc3\xa9\"]}") };
        f.log_size = 0;
        if (encl_engine_call(f.engine, &request, &response, &err) < 0)
            fail_msg("%s: %s\n%s", rows[i].expression, err.text, f.log);
        if (!rd_bytes_equal(response.body, rd_bytes_str(rows[i].want)))
            fail_msg("%s\n got  \"%.*s\"\n want \"%s\"", rows[i].expression, (int)response.body.size,
                     (const char *)response.body.data, rows[i].want);
    }
    fixture_close(&f);
}

static void test_response_travels_whole(void **state)
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;

    (void)state;
    fixture_start(
        &f, NULL,
        "export default function (request, env, ctx) {\n"
        "  return new Response(Uint8Array.from({ length: 256 }, (_, i) => i), { status: 418, headers: {\n"
        "    'X-Own': 'caf\\u00e9', 'Content-Length': '1', 'Transfer-Encoding': 'chunked', Connection: 'x' } });\n"
        "}");
    assert_int_equal(fixture_call(&f, "/", "", &response, &err), 0);
    assert_int_equal(response.status, 418);
    assert_int_equal(response.body.size, 256);
    for (int i = 0; i < 256; i++)
        assert_int_equal(response.body.data[i], i);
    assert_int_equal(response.header_count, 1);
    assert_true(rd_bytes_equal(response.headers[0].name, rd_bytes_str("x-own")));
    assert_true(rd_bytes_equal(response.headers[0].value, rd_bytes_str("caf\xe9")));
    fixture_close(&f);
}

static const struct {
    const char *name;
    const char *source;
    rd_code code;
    const char *text;
    bool ends_jsc; /* the process, not the load */
} bad_loads[] = {
    { "syntax error", "const a = 1;\nconst b = ;\n", RD_E_ENGINE_LOAD, "index.js:2:" },
    { "exception", "\n\nnull.x;\nexport default () => 1;", RD_E_ENGINE_LOAD, "index.js:3:" },
    { "rejected top-level await", "await Promise.reject(new Error('no'));", RD_E_ENGINE_LOAD, "no" },
    { "endless top-level await", "await new Promise(() => {});", RD_E_ENGINE_LOAD, "await" },
    { "no default export", "export const x = 1;", RD_E_ENGINE_NO_HANDLER, "no default export" },
    { "default of a wrong type", "export default 5;", RD_E_ENGINE_NO_HANDLER, "neither" },
    { "object without fetch", "export default {};", RD_E_ENGINE_NO_HANDLER, "neither" },
    { "missing module", "import './gone.js'; export default () => 1;", RD_E_ENGINE_MODULE, "gone.js" },
    { "endless loop", "for (;;);", RD_E_ENGINE_TIME_LIMIT, "time" },
    { "loop without polls", "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1);", RD_E_ENGINE_TIME_LIMIT, "time",
      true },
    { "memory bomb", "const a = []; for (;;) a.push(new Array(1000).fill(1));", RD_E_ENGINE_MEMORY_LIMIT, "", true },
    { "Math.random", "Math.random();", RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT, "index.js:1" },
    { "getRandomValues", "crypto.getRandomValues(new Uint8Array(4));", RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT, "" },
    { "randomUUID", "crypto.randomUUID();", RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT, "" },
    { "generateKey", "await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, ['sign']);",
      RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT, "" },
    { "fetch", "await fetch('https://a/');", RD_E_ENGINE_ENTROPY_BEFORE_SNAPSHOT, "" },
    { "timer", "setTimeout(() => 1, 1);", RD_E_ENGINE_LOAD, "TIMER_BEFORE_SNAPSHOT" },
};

static void test_bad_loads(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(bad_loads); i++) {
        fixture f = { 0 };
        rd_err err = RD_ERR_INIT;
        encl_response response;
        if (bad_loads[i].ends_jsc && !fixture_is_quickjs())
            continue;
        /* Short where the limit itself is meant: a slow machine meets it before others. */
        int64_t load_time_us = bad_loads[i].code == RD_E_ENGINE_TIME_LIMIT ? 300000 : 60000000;
        fixture_open(&f, &(encl_engine_limits){ .load_time_us = load_time_us, .heap_size = 8 << 20 });
        if (fixture_load(&f, bad_loads[i].source, "", &err) == 0)
            fail_msg("%s: loaded", bad_loads[i].name);
        if (err.code != bad_loads[i].code || !strstr(err.text, bad_loads[i].text))
            fail_msg("%s: %s: %s", bad_loads[i].name, rd_code_describe(err.code)->name, err.text);
        err = (rd_err)RD_ERR_INIT;
        assert_int_equal(fixture_call(&f, "/", "", &response, &err), -1);
        assert_int_equal(err.code, RD_E_ENGINE_STATE);
        fixture_close(&f);
    }
}

static void test_clock_stands_before_the_snapshot(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, NULL,
                  "const at = [Date.now(), new Date().toISOString(), performance.now()];\n"
                  "let code; try { Math.random() } catch (e) { code = e.code }\n"
                  "export default () => new Response(at.join() + code)");
    fixture_expect(&f, "/", "", "0,1970-01-01T00:00:00.000Z,0ENTROPY_BEFORE_SNAPSHOT");
    fixture_close(&f);
}

static void test_modules(void **state)
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_module modules[] = {
        { "src/main.js",
          rd_bytes_str("import { add } from './lib/add.js'; import data from '../data.json';\n"
                       "export default { async fetch(r, env) { const { late } = await import('./late.js');\n"
                       "return new Response([add(1, data.two), late, env.K].join()) } }") },
        { "src/lib/add.js",
          rd_bytes_str("import { one } from '../../one.js'; export const add = (a, b) => a + b + one - 1;") },
        { "src/late.js", rd_bytes_str("export const late = 'late';") },
        { "one.js", rd_bytes_str("export const one = 1;") },
        { "data.json", rd_bytes_str("{\"two\": 2}") },
    };

    (void)state;
    fixture_open(&f, NULL);
    if (encl_engine_load(f.engine, modules, RD_ARRAY_LEN(modules), "src/main.js", rd_bytes_str("{\"K\":\"v\"}"), &err) <
        0)
        fail_msg("%s", err.text);
    fixture_expect(&f, "/", "", "3,late,v");
    fixture_expect(&f, "/", "", "3,late,v");
    fixture_close(&f);
}

static void test_bad_module_tables(void **state)
{
    static const char *const names[] = { "", "/a.js", "../a.js", "a//b.js", "a/./b.js", "a\nb", "redoubt:x" };
    rd_err err = RD_ERR_INIT;
    fixture f = { 0 };

    (void)state;
    fixture_open(&f, NULL);
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        encl_module module = { names[i], rd_bytes_str("1") };
        assert_int_equal(encl_engine_load(f.engine, &module, 1, names[i], RD_BYTES_NULL, &err), -1);
        assert_int_equal(err.code, RD_E_ENGINE_MODULE);
    }
    encl_module twice[] = { { "a.js", rd_bytes_str("1") }, { "a.js", rd_bytes_str("1") } };
    assert_int_equal(encl_engine_load(f.engine, twice, 2, "a.js", RD_BYTES_NULL, &err), -1);
    encl_module binary = { "a.js", rd_bytes_str("\xff") };
    assert_int_equal(encl_engine_load(f.engine, &binary, 1, "a.js", RD_BYTES_NULL, &err), -1);
    assert_int_equal(encl_engine_load(f.engine, twice, 0, "a.js", RD_BYTES_NULL, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_MODULE);
    fixture_close(&f);
}

static void test_console(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, NULL,
                  "export default () => { console.log('a', 1, { b: [1, 'x'], m: new Map([[1, 2]]) });\n"
                  "console.error('%s is %d', 'x', 5, null); console.debug(undefined); console.warn('w');\n"
                  "const o = {}; o.o = o; console.info(o); return new Response('') }");
    fixture_expect(&f, "/", "", "");
    assert_string_equal(
        f.log, "I:a 1 { b: [1, \"x\"], m: Map {1 => 2} }\nE:x is 5 null\nD:undefined\nW:w\nI:{ o: [circular] }\n");
    fixture_close(&f);
}

static void test_image_digest_is_stable(void **state)
{
    uint8_t digests[3][32];

    (void)state;
    for (int i = 0; i < 3; i++) {
        fixture f = { .random_state = (uint64_t)i, .skipped_us = i * 1000003 };
        rd_err err = RD_ERR_INIT;
        fixture_open(&f, NULL);
        assert_int_equal(encl_engine_image_digest(f.engine, digests[i], &err), -1);
        assert_int_equal(
            fixture_load(&f,
                         i < 2 ? "export default () => new Response('a')" : "export default () => new Response('b')",
                         "", &err),
            0);
        assert_int_equal(encl_engine_image_digest(f.engine, digests[i], &err), 0);
        fixture_expect(&f, "/", "", i < 2 ? "a" : "b");
        uint8_t again[32];
        assert_int_equal(encl_engine_image_digest(f.engine, again, &err), 0);
        assert_memory_equal(again, digests[i], 32);
        fixture_close(&f);
    }
    assert_memory_equal(digests[0], digests[1], 32);
    assert_memory_not_equal(digests[0], digests[2], 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_handler_api), cmocka_unit_test(test_response_travels_whole),
        cmocka_unit_test(test_bad_loads),   cmocka_unit_test(test_clock_stands_before_the_snapshot),
        cmocka_unit_test(test_modules),     cmocka_unit_test(test_bad_module_tables),
        cmocka_unit_test(test_console),     cmocka_unit_test(test_image_digest_is_stable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
