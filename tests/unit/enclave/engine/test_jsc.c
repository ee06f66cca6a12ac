// link: encl_engine_jsc
#include "tests/unit/enclave/engine/engine_fixture.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the default engine does not have, and modules, which this one has no loader for. */
static const struct {
    const char *expression;
    const char *want;
} rows[] = {
    { "encl", "ReferenceError" },
    { "new Intl.NumberFormat('de-DE', { style: 'currency', currency: 'EUR' }).format(1234.5)",
      "1.234,50\xc2\xa0\xe2\x82\xac" },
    { "new Intl.DateTimeFormat('en-GB', { timeZone: 'Asia/Tokyo', dateStyle: 'long' }).format(0)", "1 January 1970" },
    { "new Intl.DateTimeFormat('en', { year: 'numeric' }).format()", "2026" },
    { "['z', '\xc3\xa4', 'a'].sort(new Intl.Collator('de').compare).join('')", "a\xc3\xa4z" },
    { "Intl.DateTimeFormat().resolvedOptions().timeZone", "UTC" },
    { "Date() === new Date().toString() && new Date() instanceof Date && Date.now() > 1.7e12", "true" },
    { "new Date(2020, 1, 3, 4).toISOString()", "2020-02-03T04:00:00.000Z" },
    { "(await WebAssembly.instantiate(wasm)).instance.exports.add(40, 2)", "42" },
    { "new WebAssembly.Instance(await WebAssembly.compile(wasm)).exports.add(1, 2)", "3" },
    { "(await WebAssembly.instantiateStreaming(new Response(wasm))).instance.exports.add(2, 2)", "4" },
    { "WebAssembly.instantiate(new Uint8Array(4)).catch(e => e.name)", "CompileError" },
    { "typeof SharedArrayBuffer + typeof Atomics", "undefinedundefined" },
    { "b1 + four + other.list.length + data.n + typeof again.default", "14object" },
    { "(await import('./lib/a.js')).four + import.meta.url", "4index.js" },
    { "Object.keys(other).join()", "default,four,list,one,renamed,three" },
    { "import('./gone.js').catch(e => e.message)", "module \"gone.js\" is not part of the release" },
    { "/[/'\"`]/.test('/') ? `a${ { x: `b${1}` }.x }` : 0", "ab1" },
};

static const char index_js[] =
    "import data from './data.json' with { type: 'json' };\n"
    "import defaultOfB, { one as b1, four } from './lib/b.js'; // a comment\n"
    "import * as other from './lib/b.js'\n"
    "import * as again from './data.json';\n"
    "const wasm = Uint8Array.fromHex('0061736d0100000001070160027f7f017f03020100070701036164640000"
    "0a09010700200020016a0b');\n"
    "const rows = [ROWS];\n"
    "export default { async fetch(request) { const i = new URL(request.url).searchParams.get('i');\n"
    "  try { return new Response(String(await rows[i](request))) } catch (e) { return new Response(e.name) } } };\n";

static void load_rows(fixture *f)
{
    RD_CLEANUP(rd_buf_done) rd_buf source = { 0 };
    rd_err err = RD_ERR_INIT;
    const char *at = strstr(index_js, "ROWS");

    rd_buf_append(&source, index_js, (size_t)(at - index_js));
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        rd_buf_printf(&source, "async (request) => (%s),\n", rows[i].expression);
    rd_buf_append_str(&source, at + 4);
    const encl_module modules[] = {
        { "index.js", rd_buf_bytes(&source) },
        { "data.json", RD_BYTES_LIT("{\"n\":5}") },
        { "lib/a.js", RD_BYTES_LIT("export const three = 3, { four, list } = { four: 4, list: [1, 2] }\n"
                                   "export default function () {}") },
        { "lib/b.js",
          RD_BYTES_LIT("export * from './a.js'; import { three } from \"./a.js\"\n"
                       "export { three as one, three as renamed }\nexport default class extends Array {}") },
    };
    fixture_open(f, NULL);
    if (encl_engine_load(f->engine, modules, RD_ARRAY_LEN(modules), "index.js", rd_bytes_str(""), &err) < 0)
        fail_msg("%s\n%s", err.text, f->log);
}

static void test_what_the_default_engine_lacks(void **state)
{
    fixture f = { 0 };
    char path[32];

    (void)state;
    load_rows(&f);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        (void)snprintf(path, sizeof(path), "/?i=%zu", i);
        fixture_expect(&f, path, "", rows[i].want);
    }
    fixture_close(&f);
}

/* Sources that cannot be made a function of, or that ask for what the engine cannot do. */
static void test_modules_that_do_not_load(void **state)
{
    static const struct {
        const char *source;
        const char *text;
    } bad[] = {
        { "import { gone } from './b.js'; export default () => gone", "no export \"gone\"" },
        { "import './index.js'; export default () => 1", "import each other" },
        { "import {", "SyntaxError" },
        { "export { x as", "SyntaxError" },
        { "export const {", "SyntaxError" },
        { "export default", "SyntaxError" },
        { "import * as", "SyntaxError" },
        { "const a = `${", "SyntaxError" },
        { "}}}}", "SyntaxError" },
        { "}); globalThis.out = 1; (function () {", "SyntaxError" },
        { "}); 1", "SyntaxError" },
        { "}); 1 //", "SyntaxError" },
        { "}); (async function ($rd) { $rd.give({ default: () => () => 1 })", "SyntaxError" },
        { "import './b.js' with {", "SyntaxError" },
        { "export * as", "SyntaxError" },
        { "export const [a, {b: [", "SyntaxError" },
        { "import 'b.js", "SyntaxError" },
        { "import { a } from `./b.js`", "SyntaxError" },
        { "const a = 'no end\nexport default () => a", "SyntaxError" },
        { "/* no end", "SyntaxError" },
        { "const a = /[/; export default () => a", "SyntaxError" },
        { "const a = `${`${`", "SyntaxError" },
        { "export default () => 1; export default () => 2", "SyntaxError" },
        { "\xff\xfe\x80 import", "not UTF-8" },
        { "with ({}) ; export default () => 1", "SyntaxError" },
    };

    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++) {
        fixture f = { 0 };
        rd_err err = RD_ERR_INIT;
        const encl_module modules[] = { { "index.js", rd_bytes_str(bad[i].source) },
                                        { "b.js", RD_BYTES_LIT("export const a = 1") } };
        fixture_open(&f, NULL);
        if (encl_engine_load(f.engine, modules, 2, "index.js", rd_bytes_str(""), &err) == 0)
            fail_msg("%s: loaded", bad[i].source);
        if (!strstr(err.text, bad[i].text))
            fail_msg("%s: %s", bad[i].source, err.text);
        fixture_close(&f);
    }
}

/* What only looks like an import, an export, a string or its end. B is a module with the export a = 1. */
static const struct {
    const char *source;
    const char *want;
} tricky[] = {
    { "const s = \"import x from './gone.js'\", t = 'export { y }';\nRESPOND(s.length + t.length)", "37" },
    { "// import './gone.js'\n/* export { y } from './gone.js' */\nRESPOND(1)", "1" },
    { "const t = `\nimport './gone.js'\nexport { y }\n${`import '${1}'`}`;\nRESPOND(t.length)", "43" },
    { "const r = /import '.\\/gone[/'\"`]/.source;\nRESPOND(r)", "import '.\\/gone[/'\"`]" },
    { "const o = { import: 1, export: 2, default: 3 };\nRESPOND(o.import + o?.export + o.default)", "6" },
    { "class C { static import = 1; static export() { return 2 } #export = 3; get() { return this.#export } }\n"
      "RESPOND(C.import + C.export() + new C().get())",
      "6" },
    { "const a = 8, g = 2, b = 2; const q = a /g/ b; const y = (a) / 2; const z = [a][0] / 2 /1;\nRESPOND([q, y, z])",
      "2,4,4" },
    { "let n = 4; const q = n++ / 2; if (n) /'/.test('x'); const o = {} / 1;\nRESPOND([q, n, o])", "2,5,NaN" },
    { "import { 'a' as b } from './b.js'; const a = 2; export { a as 'from', b as as };\nRESPOND(a + b)", "3" },
    { "import { a as from } from './b.js'\nimport as from './b.js'\nRESPOND(from + typeof as)", "SyntaxError" },
    { "import { a as of } from './b.js' // import\nRESPOND(of)", "1" },
    { "import*as b from'./b.js';export const{a}=b;RESPOND(a)", "1" },
    { "import/**/{/*,*/a/**/}/**/from/**/'./b.js'/**/;RESPOND(a)", "1" },
    { "import {\n  a,\n} from\n'./b.js'\n;RESPOND(new Error().stack.match(/index.js:(\\d+)/)[1])", "5" },
    { "export let f = (a) => { return /}/.test(a) }, g = `}${'}'}`, h = '}'\nRESPOND(f(g + h))", "true" },
    { "export const a = 1\n, b = a\n+ 1\nRESPOND(b)", "2" },
    { "export async function f() {}\n/re/g.test('');export class D {}\n/x/;RESPOND(typeof f + typeof D)",
      "functionfunction" },
    { "#!/usr/bin/env import './gone.js'\nRESPOND(1)", "1" },
    { "const \\u0061b = 1; RESPOND(ab)", "1" },
    { "RESPOND(typeof $rd_ + this)", "undefinedundefined" },
    { "const a = '\\\n', b = '\\'', c = \"\\\\\"; RESPOND(a + b + c)", "'\\" },
    { "import data from './b.js'; RESPOND(data)", "SyntaxError" },
    { "var import_ = 1, _export = 2; lab: for (;;) { break lab }\nRESPOND(import_ + _export)", "3" },
};

static void respond(rd_buf *source, const char *text)
{
    const char *at = strstr(text, "RESPOND");

    rd_buf_append(source, text, (size_t)(at - text));
    rd_buf_printf(source, ";const $r = String(%s);\nexport default () => new Response($r)", at + sizeof("RESPOND") - 1);
}

static void test_modules_that_look_like_something_else(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(tricky); i++) {
        fixture f = { 0 };
        rd_err err = RD_ERR_INIT;
        RD_CLEANUP(rd_buf_done) rd_buf source = { 0 };
        respond(&source, tricky[i].source);
        const encl_module modules[] = { { "index.js", rd_buf_bytes(&source) },
                                        { "b.js", RD_BYTES_LIT("export const a = 1") } };
        fixture_open(&f, NULL);
        bool is_bad = strcmp(tricky[i].want, "SyntaxError") == 0;
        int outcome = encl_engine_load(f.engine, modules, 2, "index.js", rd_bytes_str(""), &err);
        if (is_bad ? outcome == 0 || !strstr(err.text, "SyntaxError") : outcome < 0)
            fail_msg("%s: %s", tricky[i].source, outcome < 0 ? err.text : "loaded");
        if (!is_bad)
            fixture_expect(&f, "/", "", tricky[i].want);
        fixture_close(&f);
    }
}

/* Much of everything: it is read in one pass, and never by recursion. */
static const struct {
    const char *before, *piece, *after;
    size_t count;
    bool loads;
} huge[] = {
    { "", " ", "export default () => new Response('ok')", 2000000, true },
    { "const s = '", "x", "'; export default () => new Response('ok')", 2000000, true },
    { "const s = `", "$x\\`", "`; export default () => new Response('ok')", 400000, true },
    { "", "/**/", "export default () => new Response('ok')", 200000, true },
    { "", "export {};", "export default () => new Response('ok')", 20000, true },
    { "const a = [", "[],", "]; export default () => new Response('ok')", 100000, true },
    { "", "`${", "", 100000, false },
    { "", "(", "", 100000, false },
    { "export const ", "[", "", 100000, false },
};

static void test_huge_modules(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(huge); i++) {
        fixture f = { 0 };
        rd_err err = RD_ERR_INIT;
        RD_CLEANUP(rd_buf_done) rd_buf source = { 0 };
        rd_buf_append_str(&source, huge[i].before);
        for (size_t n = 0; n < huge[i].count; n++)
            rd_buf_append_str(&source, huge[i].piece);
        rd_buf_append_str(&source, huge[i].after);
        const encl_module module = { "index.js", rd_buf_bytes(&source) };
        fixture_open(&f, &(encl_engine_limits){ .heap_size = 192 << 20 });
        int outcome = encl_engine_load(f.engine, &module, 1, "index.js", rd_bytes_str(""), &err);
        if ((outcome == 0) != huge[i].loads)
            fail_msg("%s: %s", huge[i].piece, outcome < 0 ? err.text : "loaded");
        if (huge[i].loads)
            fixture_expect(&f, "/", "", "ok");
        fixture_close(&f);
    }
}

/* What only the end of the process holds: each in a child, whose exit says why. */
static const struct {
    const char *body;
    int status;
} bombs[] = {
    { "const a = []; for (;;) a.push(new Array(1000).fill(1))", ENCL_EXIT_MEMORY },
    { "const a = []; for (;;) a.push(new Uint8Array(1 << 22).fill(1))", ENCL_EXIT_MEMORY },
    { "new Uint8Array(1 << 30).fill(1)", ENCL_EXIT_MEMORY },
    { "return (async () => { for (;;) await 0 })()", ENCL_EXIT_TIME },
};

static int run_bomb(void *context)
{
    const char *body = context;
    char source[512];
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;
    int64_t time_us = strstr(body, "await") ? 200000 : 60000000;

    (void)snprintf(source, sizeof(source), "export default () => { %s; return new Response('x') }", body);
    fixture_start(&f, &(encl_engine_limits){ .time_us = time_us, .heap_size = 16 << 20 }, source);
    (void)!fixture_call(&f, "/", "", &response, &err);
    (void)fprintf(stderr, "%s: %s\n", body, err.text);
    return 0;
}

static void test_bombs_end_the_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(bombs); i++) {
        int status;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(encl_engine_host_run(run_bomb, (void *)(uintptr_t)bombs[i].body));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != bombs[i].status)
            fail_msg("%s: status %x", bombs[i].body, (unsigned)status);
    }
}

static const char *const leaks[] = {
    "globalThis.kept = 1; Array.prototype.kept = 1; Object.prototype.kept = 1; return new Response('x')",
    "Date.kept = 1; Intl.kept = 1; WebAssembly.kept = 1; Math.kept = 1; redoubt.kept = 1; return new Response('x')",
    "new FinalizationRegistry(() => globalThis.kept = 1).register({}, 1); return new Response('x')",
    "setTimeout(() => { globalThis.kept = 1 }, 1); return new Response('x')",
    "n++; list.push(1); return new Response('x')",
    "new Promise(() => {}).finally(() => { globalThis.kept = 1 }); RegExp.kept = 1; Symbol.kept = 1; "
    "Object.getPrototypeOf(Symbol.for('s')).kept = 1; return new Response('x')",
    "setTimeout(() => { Array.prototype.kept = 1 }, 5); ctx.waitUntil(new Promise(() => {})); return new Response('x')",
    "Promise.reject(1).catch(() => { Array.prototype.kept = 1 }); throw Object.assign(new Error('x'), "
    "{ get stack() { Array.prototype.kept = 1 }, toString() { Array.prototype.kept = 1; return 'x' } })",
};

static void try_leaks(encl_engine_keeps keeps)
{
    const encl_engine_limits limits = { .keeps = keeps };

    for (size_t i = 0; i < RD_ARRAY_LEN(leaks); i++) {
        char source[1024];
        fixture f = { 0 };
        (void)snprintf(
            source, sizeof(source),
            "let n = 0; const list = []; export default (r, env, ctx) => { if (r.url.endsWith('/leak')) { %s }\n"
            "return new Response([globalThis.kept, [].kept, ({}).kept, Date.kept, Intl.kept, RegExp.kept ?? Math.kept, "
            "Symbol.kept ?? Symbol.for('s').kept ?? WebAssembly.kept, redoubt.kept, n, list.length].join()) }",
            leaks[i]);
        fixture_start(&f, &limits, source);
        for (int round = 0; round < 2; round++) {
            rd_err err = RD_ERR_INIT;
            encl_response response;
            (void)!fixture_call(&f, "/leak", "", &response, &err);
            encl_engine_reset(f.engine);
            fixture_expect(&f, "/", "", ",,,,,,,,0,0");
        }
        fixture_close(&f);
    }
}

static void test_nothing_is_kept(void **state)
{
    (void)state;
    try_leaks(ENCL_KEEPS_NOTHING);
    try_leaks(ENCL_KEEPS_MACHINE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bombs_end_the_process), /* first: no threads yet when it forks */
        cmocka_unit_test(test_what_the_default_engine_lacks),
        cmocka_unit_test(test_modules_that_do_not_load),
        cmocka_unit_test(test_modules_that_look_like_something_else),
        cmocka_unit_test(test_huge_modules),
        cmocka_unit_test(test_nothing_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
