#include "tests/unit/enclave/engine/engine_fixture.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each handler harms what it can; afterwards the same engine must answer /good as if nothing had been. */
static const char handler[] =
    "let count = 0; const kept = [];\n"
    "const bombs = {\n"
    "  '/loop': () => { for (;;); },\n"
    "  '/loop-caught': () => { for (;;) { try { for (;;); } catch { } finally { for (;;); } } },\n"
    "  '/loop-async': async () => { for (;;) { try { await (async () => { for (;;); })(); } catch { } } },\n"
    "  '/loop-microtasks': async () => { for (;;) await 0; },\n"
    "  '/loop-generator': () => { function* g() { for (;;) yield 1; } for (const x of g()) { try { x.y() } catch { } } "
    "},\n"
    "  '/loop-timers': () => new Promise(() => { setInterval(() => { for (let i = 0; i < 1e6; i++); }, 1) }),\n"
    "  '/regexp': () => /^(a+)+$/.test('a'.repeat(40) + 'b'),\n"
    "  '/regexp-caught': () => { for (;;) try { /^(a+)+$/.test('a'.repeat(40) + 'b') } catch { } },\n"
    "  '/sort': () => { const a = Array.from({ length: 1e5 }, (_, i) => i * 7919 % 1e5); for (;;) a.sort((x, y) => x - "
    "y); },\n"
    "  '/native-loop': () => Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1),\n"
    "  '/native-loop-caught': () => { for (;;) try { Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1) } catch "
    "{ } },\n"
    "  '/bigint': () => { let x = 3n; for (;;) x = x * x; },\n"
    "  '/memory-objects': () => { const a = []; for (;;) a.push({ x: [1, 2, 3] }); },\n"
    "  '/memory-buffers': () => { const a = []; for (;;) a.push(new Uint8Array(1 << 20)); },\n"
    "  '/memory-module-state': () => { for (;;) kept.push(new Array(1000).fill('x')); },\n"
    "  '/memory-caught': () => { const a = []; for (;;) try { a.push(new Array(10000).fill(0)); } catch { } },\n"
    "  '/memory-string': () => { let s = 'x'; for (;;) s += s + Math.sqrt(s.length); },\n"
    "  '/memory-map': () => { const m = new Map(); for (let i = 0; ; i++) m.set(i, `k${i}`); },\n"
    "  '/memory-promises': async () => { const a = []; for (;;) a.push(new Promise(() => {})); },\n"
    "  '/repeat': () => new Response('x'.repeat(2 ** 29)),\n"
    "  '/join': () => new Response(new Array(2 ** 28).join('xxxxxxxx')),\n"
    "  '/recursion': () => { const f = () => f() + 1; return f(); },\n"
    "  '/recursion-json': () => { let a = []; for (let i = 0; i < 1e5; i++) a = [a]; return new "
    "Response(JSON.stringify(a)); },\n"
    "  '/recursion-parse': () => JSON.parse('['.repeat(1e6)),\n"
    "  '/recursion-eval': () => eval('('.repeat(1e6)),\n"
    "  '/recursion-regexp': () => new RegExp('('.repeat(1e5) + ')'.repeat(1e5)).test('x'),\n"
    "  '/recursion-string': () => { const o = { toString() { return `${this}`; } }; return `${o}`; },\n"
    "  '/recursion-proxy': () => { let p = {}; for (let i = 0; i < 1e4; i++) p = new Proxy(p, {}); return p.x.y; },\n"
    "  '/recursion-bind': () => { let f = () => 1; for (let i = 0; i < 2000; i++) f = f.bind(null); f(); throw 1; },\n"
    "  '/output': () => new Response(new Uint8Array(3 << 20)),\n"
    "  '/headers': () => { const h = new Headers(); for (let i = 0; i < 200; i++) h.set(`h${i}`, 'x'); return new "
    "Response('', { headers: h }); },\n"
    "  '/header-size': () => new Response('', { headers: { a: 'x'.repeat(3 << 20) } }),\n"
    "  '/throw': () => { throw new TypeError('thrown'); },\n"
    "  '/throw-null': () => { throw null; },\n"
    "  '/throw-getter': () => { throw { get stack() { for (;;); }, toString() { for (;;); } }; },\n"
    "  '/throw-odd': () => { throw { toString() { throw this; } }; },\n"
    "  '/reject': async () => { throw new RangeError('rejected'); },\n"
    "  '/number': () => 5,\n"
    "  '/nothing': () => {},\n"
    "  '/used': async () => { const r = new Response('x'); await r.text(); return r; },\n"
    "  '/never': () => new Promise(() => {}),\n"
    "  '/late': () => new Promise((r) => setTimeout(r, 1e6)),\n"
    "  '/prototypes': () => { Promise.prototype.then = null; Array.prototype[Symbol.iterator] = null; "
    "Object.prototype.status = 7;\n"
    "    Map.prototype.get = () => { throw 1 }; globalThis.Response = null; JSON.parse = null; return 1; },\n"
    "};\n"
    "export default async function (request, env, ctx) {\n"
    "  const path = new URL(request.url).pathname;\n"
    "  count++;\n"
    "  if (path === '/good') return new Response(`${count} ${kept.length} ${typeof Response} ${[...'ab']}`);\n"
    "  return await bombs[path]();\n"
    "}\n";

static const struct {
    const char *path;
    rd_code code;
    bool ends_jsc; /* the process (test_jsc.c has such), not the request */
} bombs[] = {
    { "/loop", RD_E_ENGINE_TIME_LIMIT },
    { "/loop-caught", RD_E_ENGINE_TIME_LIMIT },
    { "/loop-async", RD_E_ENGINE_TIME_LIMIT },
    { "/loop-microtasks", RD_E_ENGINE_TIME_LIMIT, true },
    { "/loop-generator", RD_E_ENGINE_TIME_LIMIT },
    { "/loop-timers", RD_E_ENGINE_TIME_LIMIT },
    { "/regexp", RD_E_ENGINE_TIME_LIMIT },
    { "/regexp-caught", RD_E_ENGINE_TIME_LIMIT },
    { "/sort", RD_E_ENGINE_TIME_LIMIT },
    { "/native-loop", RD_E_ENGINE_TIME_LIMIT },
    { "/native-loop-caught", RD_E_ENGINE_TIME_LIMIT },
    { "/bigint", RD_OK },
    { "/memory-objects", RD_E_ENGINE_MEMORY_LIMIT, true },
    { "/memory-buffers", RD_E_ENGINE_MEMORY_LIMIT, true },
    { "/memory-module-state", RD_E_ENGINE_MEMORY_LIMIT, true },
    { "/memory-caught", RD_E_ENGINE_TIME_LIMIT, true },
    { "/memory-string", RD_E_ENGINE_REJECTED, true },
    { "/memory-map", RD_E_ENGINE_MEMORY_LIMIT, true },
    { "/memory-promises", RD_E_ENGINE_MEMORY_LIMIT, true },
    { "/repeat", RD_E_ENGINE_MEMORY_LIMIT, true },
    { "/join", RD_OK },
    { "/recursion", RD_E_ENGINE_REJECTED },
    { "/recursion-json", RD_OK },
    { "/recursion-parse", RD_E_ENGINE_REJECTED },
    { "/recursion-eval", RD_E_ENGINE_REJECTED },
    { "/recursion-regexp", RD_OK, true },
    { "/recursion-string", RD_E_ENGINE_REJECTED },
    { "/recursion-proxy", RD_E_ENGINE_REJECTED },
    { "/recursion-bind", RD_OK },
    { "/output", RD_E_ENGINE_OUTPUT_LIMIT },
    { "/headers", RD_E_ENGINE_BAD_RESPONSE },
    { "/header-size", RD_E_ENGINE_REJECTED },
    { "/throw", RD_E_ENGINE_REJECTED },
    { "/throw-null", RD_E_ENGINE_REJECTED },
    { "/throw-getter", RD_E_ENGINE_TIME_LIMIT },
    { "/throw-odd", RD_E_ENGINE_REJECTED },
    { "/reject", RD_E_ENGINE_REJECTED },
    { "/number", RD_E_ENGINE_BAD_RESPONSE },
    { "/nothing", RD_E_ENGINE_BAD_RESPONSE },
    { "/used", RD_E_ENGINE_BAD_RESPONSE },
    { "/never", RD_E_ENGINE_STALLED },
    { "/late", RD_E_ENGINE_TIME_LIMIT },
    { "/prototypes", RD_OK },
};

static void test_bombs_do_not_harm_the_next_request(void **state)
{
    fixture f = { 0 };
    encl_engine_limits limits = { .heap_size = (fixture_is_quickjs() ? 16 : 192) << 20, .output_size = 2 << 20 };
    bool must_see_rows = getenv("ENGINE_TEST_VERBOSE") != NULL;

    (void)state;
    fixture_start(&f, &limits, handler);
    size_t image_size = encl_engine_image_size(f.engine);
    for (size_t i = 0; i < RD_ARRAY_LEN(bombs); i++) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        if (bombs[i].ends_jsc && !fixture_is_quickjs())
            continue;
        /* Short where the limit itself is meant, long where another limit must be met first on a busy machine. */
        bool is_timed = bombs[i].code == RD_E_ENGINE_TIME_LIMIT || bombs[i].code == RD_OK;
        limits.time_us = is_timed ? 100000 : 20000000;
        assert_int_equal(encl_engine_configure(f.engine, NULL, &limits, &err), 0);
        int64_t start_us = fixture_mono(&f);
        int outcome = fixture_call(&f, bombs[i].path, "", &response, &err);
        int64_t took_us = fixture_mono(&f) - start_us;
        if (must_see_rows)
            print_message("%-22s %7.1f ms  %s: %s\n", bombs[i].path, (double)took_us / 1000,
                          rd_code_describe(err.code)->name, err.text);
        if (outcome == 0)
            fail_msg("%s: answered", bombs[i].path);
        if (bombs[i].code != RD_OK && err.code != bombs[i].code)
            fail_msg("%s: %s: %s", bombs[i].path, rd_code_describe(err.code)->name, err.text);
        if (is_timed && took_us > 10000000 && fixture_is_quickjs()) /* else the process would have ended */
            fail_msg("%s: took %lld us", bombs[i].path, (long long)took_us);
        if (fixture_is_quickjs())
            assert_int_equal(encl_engine_memory(f.engine).size, image_size);
        limits.time_us = 20000000;
        assert_int_equal(encl_engine_configure(f.engine, NULL, &limits, &err), 0);
        fixture_expect(&f, "/good", "", "1 0 function a,b");
    }
    fixture_close(&f);
}

static void test_errors_tell_the_caller_and_the_log(void **state)
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;

    (void)state;
    fixture_start(&f, NULL,
                  "const deep = () => { throw new TypeError('secret\\u0007detail') };\n"
                  "export default (r) => { if (r.url.endsWith('a')) return (async () => deep())(); deep(); }");
    assert_int_equal(fixture_call(&f, "/", "", &response, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_EXCEPTION);
    assert_string_equal(err.text, "TypeError: secret detail");
    assert_non_null(strstr(f.log, fixture_is_quickjs() ? "at deep (index.js:1:" : "deep@index.js:1:"));
    err = (rd_err)RD_ERR_INIT;
    assert_int_equal(fixture_call(&f, "/a", "", &response, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_REJECTED);
    assert_non_null(strstr(f.log, "E:TypeError: secret"));
    fixture_close(&f);
}

static void test_a_rejection_nobody_heard_is_logged(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(
        &f, NULL,
        "const fail = async () => { throw new Error('floating') };\n"
        "export default async (r) => { const p = fail(); if (r.url.endsWith('h')) await p.catch(() => 0); return new "
        "Response('k') }");
    fixture_expect(&f, "/", "", "k");
    assert_non_null(strstr(f.log, "E:unhandled rejection: Error: floating\n"));
    assert_non_null(strstr(f.log, fixture_is_quickjs() ? "at fail (index.js:1:" : "fail@index.js:1:"));
    assert_int_equal(f.lines, 1);
    fixture_expect(&f, "/h", "", "k");
    assert_int_equal(f.lines, 0);
    fixture_close(&f);
}

static void test_log_is_bounded(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, &(encl_engine_limits){ .log_lines = 5, .log_line_size = 100 },
                  "export default () => { for (let i = 0; i < 1000; i++) console.log('\\u00e9'.repeat(9999)); return "
                  "new Response(''); }");
    fixture_expect(&f, "/", "", "");
    assert_int_equal(f.lines, 6);
    assert_int_equal(f.longest_line, 100);
    assert_non_null(strstr(f.log, "W:too many log lines"));
    fixture_expect(&f, "/", "", "");
    assert_int_equal(f.lines, 6);
    fixture_close(&f);
}

static void test_a_gone_caller_ends_the_request(void **state)
{
    fixture f = { .is_caller_gone = true };

    (void)state;
    fixture_start(&f, NULL,
                  "export default async (r) => { if (r.url.endsWith('w')) await new Promise(r => setTimeout(r, 5000)); "
                  "return new Response('k') }");
    fixture_refuse(&f, "/w", RD_E_ENGINE_CANCELLED);
    fixture_expect(&f, "/", "", "k");
    fixture_close(&f);
}

static void test_background_work(void **state)
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;

    (void)state;
    fixture_start(
        &f, NULL,
        "export default { async fetch(r, env, ctx) { const p = new URL(r.url).pathname;\n"
        "if (p === '/w') ctx.waitUntil(new Promise(r => setTimeout(() => { console.log('done'); r() }, 50)));\n"
        "if (p === '/loop') ctx.waitUntil((async () => { await 0; await 0; for (;;); })());\n"
        "if (p === '/never') ctx.waitUntil(new Promise(() => {}));\n"
        "if (p === '/bad') ctx.waitUntil(Promise.reject(new Error('lost')));\n"
        "return new Response(p) } }");
    assert_int_equal(fixture_call(&f, "/w", "", &response, &err), 0);
    assert_true(response.has_background);
    assert_string_equal(f.log, "");
    assert_int_equal(encl_engine_finish(f.engine, &err), 0);
    assert_string_equal(f.log, "I:done\n");
    assert_memory_equal(response.body.data, "/w", 2);
    assert_int_equal(encl_engine_finish(f.engine, &err), 0);

    assert_int_equal(fixture_call(&f, "/never", "", &response, &err), 0);
    assert_int_equal(encl_engine_finish(f.engine, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_STALLED);
    assert_int_equal(fixture_call(&f, "/bad", "", &response, &err), 0);
    assert_int_equal(encl_engine_finish(f.engine, &err), 0);
    assert_non_null(strstr(f.log, "lost"));

    rd_err slow = RD_ERR_INIT;
    assert_int_equal(encl_engine_configure(f.engine, NULL, &(encl_engine_limits){ .time_us = 100000 }, &slow), 0);
    if (fixture_call(&f, "/loop", "", &response, &slow) == 0)
        assert_int_equal(encl_engine_finish(f.engine, &slow), -1);
    assert_int_equal(slow.code, RD_E_ENGINE_TIME_LIMIT);
    assert_int_equal(encl_engine_configure(f.engine, NULL, &(encl_engine_limits){ .time_us = 20000000 }, &slow), 0);
    fixture_expect(&f, "/x", "", "/x");
    fixture_close(&f);
}

static void test_bad_requests(void **state)
{
    fixture f = { 0 };
    encl_header split = { rd_bytes_str("x"), rd_bytes_str("a\r\nb: c") };
    encl_header unnamed = { RD_BYTES_NULL, rd_bytes_str("a") };
    static uint8_t large[200000];
    const encl_request rows[] = {
        { .method = rd_bytes_str("GET /"), .url = rd_bytes_str("https://a/") },
        { .method = RD_BYTES_NULL, .url = rd_bytes_str("https://a/") },
        { .method = rd_bytes_str("GET"), .url = rd_bytes_str("/relative") },
        { .method = rd_bytes_str("GET"), .url = rd_bytes_str("https://a/\x80") },
        { .method = rd_bytes_str("GET"), .url = rd_bytes_str("https://a/"), .headers = &split, .header_count = 1 },
        { .method = rd_bytes_str("GET"), .url = rd_bytes_str("https://a/"), .headers = &unnamed, .header_count = 1 },
        { .method = rd_bytes_str("PUT"), .url = rd_bytes_str("https://a/"), .body = { large, sizeof(large) } },
    };

    (void)state;
    fixture_start(&f, &(encl_engine_limits){ .request_size = 100000 }, "export default () => new Response('k')");
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        assert_int_equal(encl_engine_call(f.engine, &rows[i], &response, &err), -1);
        assert_int_equal(err.code, RD_E_ENGINE_REQUEST);
        fixture_expect(&f, "/", "", "k");
    }
    fixture_close(&f);
}

static void test_limits_out_of_range(void **state)
{
    static const encl_engine_limits rows[] = {
        { .heap_size = 1 << 20 },
        { .heap_size = (size_t)1 << 30 },
        { .time_us = -1 },
        { .load_time_us = INT64_C(4000000000) },
        { .output_size = (size_t)1 << 30 },
    };
    fixture f = { 0 };

    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_err err = RD_ERR_INIT;
        encl_engine *engine = NULL;
        encl_engine_host host = fixture_host(&f);
        assert_int_equal(encl_engine_new(&host, &rows[i], &engine, &err), -1);
        assert_int_equal(err.code, RD_E_ENGINE_LIMITS);
    }
}

/* What the runtime does: the platform loaded in a zygote, the handler in a child of it. */
static void test_a_forked_engine_serves(void **state)
{
    fixture f = { 0 };
    int status = -1;

    (void)state;
    if (!fixture_is_quickjs()) /* its threads do not survive a fork: it forks before there are any (test_jsc.c) */
        return;
    fixture_open(&f, NULL);
    pid_t child = fork();
    if (child == 0) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        bool is_good =
            encl_engine_configure(f.engine, NULL, &(encl_engine_limits){ .time_us = 100000, .heap_size = 8 << 20 },
                                  &err) == 0 &&
            fixture_load(&f,
                         "export default (r) => { if (r.url.endsWith('l')) for (;;); if (r.url.endsWith('m')) new "
                         "Uint8Array(9 << 20); return new Response('k') }",
                         "", &err) == 0 &&
            fixture_call(&f, "/l", "", &response, &err) < 0 && err.code == RD_E_ENGINE_TIME_LIMIT &&
            fixture_call(&f, "/", "", &response, &err) == 0 && response.body.size == 1;
        _exit(is_good ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    fixture_close(&f);
}

/* Runs in a process of its own, whose C stack is too small for the engine's own check. */
static int survive_traps(void)
{
    fixture f = { 0 };
    int bad = 0;

    fixture_start(&f, &(encl_engine_limits){ .heap_size = 16 << 20 }, handler);
    for (int i = 0; i < 3; i++) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        if (fixture_call(&f, "/recursion", "", &response, &err) == 0 || err.code != RD_E_ENGINE_TRAP)
            bad |= 1;
        if (encl_engine_memory(f.engine).size != encl_engine_image_size(f.engine))
            bad |= 2;
        if (fixture_call(&f, "/good", "", &response, &err) < 0 || response.body.size != strlen("1 0 function a,b"))
            bad |= 4;
    }
    fixture_close(&f);
    return bad;
}

static void test_a_trap_is_survived(void **state)
{
    int status = -1;

    (void)state;
    if (!fixture_is_quickjs())
        return;
    pid_t child = fork();
    if (child == 0) {
        (void)setrlimit(RLIMIT_STACK, &(struct rlimit){ 192 << 10, 192 << 10 });
        (void)execl("/proc/self/exe", "test_engine_limits", "survive-traps", (char *)NULL);
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bombs_do_not_harm_the_next_request),
        cmocka_unit_test(test_errors_tell_the_caller_and_the_log),
        cmocka_unit_test(test_a_rejection_nobody_heard_is_logged),
        cmocka_unit_test(test_log_is_bounded),
        cmocka_unit_test(test_a_gone_caller_ends_the_request),
        cmocka_unit_test(test_background_work),
        cmocka_unit_test(test_bad_requests),
        cmocka_unit_test(test_limits_out_of_range),
        cmocka_unit_test(test_a_forked_engine_serves),
        cmocka_unit_test(test_a_trap_is_survived),
    };

    if (argc == 2 && strcmp(argv[1], "survive-traps") == 0)
        return survive_traps();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_is_blank = true;
    return fixture_is_quickjs() ? failed + cmocka_run_group_tests_name("of a blank", tests, NULL, NULL) : failed;
}
