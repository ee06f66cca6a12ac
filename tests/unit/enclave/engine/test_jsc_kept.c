// link: encl_engine_jsc
#include "enclave/engine/jsc/jsc_priv.h"
#include "tests/unit/enclave/engine/engine_fixture.h"

#include <stdio.h>

/* The machine says how many requests it served before. A dead global object that the stack still seems to name costs
 * it its place, so that a good end is asked for more than once. */
static bool is_kept(fixture *f, const char *path)
{
    uint32_t before = encl_jsc->served;
    rd_err err = RD_ERR_INIT;
    encl_response response;

    if (fixture_call(f, path, "", &response, &err) == 0)
        (void)!encl_engine_finish(f->engine, &err);
    encl_engine_reset(f->engine);
    assert_true(encl_jsc->run.is_loaded);
    assert_true(encl_jsc->served == 0 || encl_jsc->served == before + 1);
    return encl_jsc->served > 0;
}

static const char ends_js[] =
    "let n = 0; export default async (request, env, ctx) => { const { pathname } = new URL(request.url);\n"
    "  if (++n > 1) throw new Error('the module is older than its request');\n"
    "  if (pathname === '/throw') throw new Error('no');\n"
    "  if (pathname === '/loop') for (;;);\n"
    "  if (pathname === '/reject') return Promise.reject(1);\n"
    "  if (pathname === '/late') ctx.waitUntil(new Promise((done) => setTimeout(done, 1)));\n"
    "  if (pathname === '/never') ctx.waitUntil(new Promise(() => {}));\n"
    "  if (pathname === '/timer') setTimeout(() => {}, 1e6);\n"
    "  if (pathname === '/unheard') Promise.reject(new Error('nobody listens'));\n"
    "  return new Response(`${n}`) }";

/* Which requests leave a virtual machine to the next: only by the release's word, and behind a good end. */
static void test_kept_behind_a_good_end(void **state)
{
    static const struct {
        const char *path;
        bool keeps;
    } calls[] = {
        { "/", true },      { "/late", true },   { "/timer", true },   { "/unheard", true },
        { "/loop", false }, { "/never", false }, { "/reject", false }, { "/throw", false },
    };
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, &(encl_engine_limits){ .keeps = ENCL_KEEPS_MACHINE, .time_us = 1000000 }, ends_js);
    for (size_t i = 0; i < RD_ARRAY_LEN(calls); i++) {
        unsigned kept = 0, tries = calls[i].keeps ? 5 : 1;
        for (unsigned n = 0; n < tries; n++)
            kept += is_kept(&f, calls[i].path);
        if (calls[i].keeps ? kept < 2 : kept > 0)
            fail_msg("%s: kept %u of %u times", calls[i].path, kept, tries);
    }
    fixture_close(&f);
    fixture_start(&f, NULL, ends_js);
    assert_false(is_kept(&f, "/"));
    fixture_close(&f);
}

/* Everything a script can look at that could be older than its request, as one text; /spoil changes all of it. */
static const char probe_js[] =
    "const tag = (parts) => parts, ask = () => tag`a${1}b`; let n = 0; const list = [], seen = new WeakSet();\n"
    "const every = [globalThis, Object.prototype, Array.prototype, Function.prototype, String.prototype, Promise, "
    "Promise.prototype, RegExp, RegExp.prototype, Symbol, Symbol.prototype, Date, Date.prototype, Math, JSON, Reflect, "
    "Error, Error.prototype, Map.prototype, WeakRef.prototype, FinalizationRegistry.prototype, Intl, "
    "Intl.DateTimeFormat, Intl.NumberFormat.prototype, Intl.Collator.prototype, WebAssembly, WebAssembly.Memory, "
    "WebAssembly.Module.prototype, Response, Request.prototype, Headers, URL, redoubt, crypto, crypto.subtle, console, "
    "performance, Object.getPrototypeOf(async () => {}), Object.getPrototypeOf(function* () {}), "
    "Object.getPrototypeOf([][Symbol.iterator]()), Object.getPrototypeOf(Uint8Array)];\n"
    "const memory = new WebAssembly.Memory({ initial: 1 });\n"
    "const look = () => [n, list.length, ...every.map((o) => 'kept' in o ? 1 : 0), RegExp.$1, RegExp.lastMatch,\n"
    "  Error.stackTraceLimit, ask() === ask() ? 'one' : 'two', 'kept' in ask(), Array.isArray(ask()),\n"
    "  seen.has(ask()), ask() instanceof Array, Object.isFrozen(ask()), 'kept' in Object(Symbol.for('s')),\n"
    "  Symbol.keyFor(Symbol.for('s')), new Uint8Array(memory.buffer)[0], memory.buffer.byteLength, "
    "String(fetch).length,\n"
    "  new Intl.NumberFormat('en').format(1.5), new Intl.DateTimeFormat('en', { timeZone: 'UTC' }).format(0),\n"
    "  Object.keys(globalThis).length, Object.getOwnPropertyNames(globalThis).length, [1, 2].map(String).join(),\n"
    "  [3, 1, 2].sort().join(), typeof structuredClone({}), JSON.stringify({ a: 1 })].join();\n"
    "function spoil() {\n"
    "  n++; list.push(1); seen.add(ask()); 'xyz'.match(/(y)/); Error.stackTraceLimit = 0;\n"
    "  new Uint8Array(memory.buffer)[0] = 7; memory.grow(1);\n"
    "  Symbol.for('s'); Object(Symbol.for('s')).constructor.kept = 1;\n"
    "  const late = () => { globalThis.kept = 1; Array.prototype.kept = 1; };\n"
    "  new FinalizationRegistry(late).register({}, 1); globalThis.ref = new WeakRef({});\n"
    "  setTimeout(late, 1); setInterval(late, 1); queueMicrotask(() => {});\n"
    "  new Promise(() => {}).then(late, late).finally(late); (async () => { await new Promise(() => {}); late(); "
    "})();\n"
    "  (async function* () { yield 1; await new Promise(() => {}); })().next();\n"
    "  for (const o of every) try { o.kept = 1 } catch {}\n"
    "  Array.prototype.map = Array.prototype.sort = () => ['spoilt']; JSON.stringify = () => 'spoilt';\n"
    "  Object.prototype.toString = () => 'spoilt'; globalThis.structuredClone = 1;\n"
    "  Object.defineProperty(Object.prototype, 'then', { get() { return undefined }, configurable: true });\n"
    "  Object.defineProperty(Array.prototype, '0', { set() { }, configurable: true });\n"
    "}\n"
    "export default (r) => { if (r.url.endsWith('/random')) return new Response(String(Math.random()));\n"
    "  const answer = new Response(look()); if (r.url.endsWith('/spoil')) spoil(); return answer }";

static void call(fixture *f, const char *path, char *out, size_t out_size)
{
    rd_err err = RD_ERR_INIT;
    encl_response response;

    if (fixture_call(f, path, "", &response, &err) < 0)
        fail_msg("%s: %s\n%s", path, err.text, f->log);
    assert_true(response.body.size < out_size);
    memcpy(out, response.body.data, response.body.size);
    out[response.body.size] = 0;
    encl_engine_reset(f->engine);
}

static void test_no_state_passes(void **state)
{
    char first[1024], text[1024];
    fixture f = { 0 };
    unsigned kept = 0;

    (void)state;
    fixture_start(&f, &(encl_engine_limits){ .keeps = ENCL_KEEPS_MACHINE }, probe_js);
    call(&f, "/", first, sizeof(first));
    assert_non_null(strstr(first, "one,false,true,false,true,true,false,s,0,65536"));
    for (int i = 0; i < 30; i++) {
        call(&f, i % 3 == 2 ? "/" : "/spoil", text, sizeof(text));
        assert_string_equal(text, first);
        kept += encl_jsc->served > 0;
    }
    assert_true(kept > 10);
    fixture_close(&f);
}

/* Math.random is drawn from the host for each request: none finds what the one before it left of a pool. */
static void test_chance_is_not_shared(void **state)
{
    char one[64], two[64];
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, &(encl_engine_limits){ .keeps = ENCL_KEEPS_MACHINE }, probe_js);
    for (int i = 0; i < 5; i++) {
        f.random_state = 1;
        call(&f, "/random", one, sizeof(one));
        f.random_state = 1;
        call(&f, "/random", two, sizeof(two));
        assert_string_equal(one, two);
        f.random_state = 2;
        call(&f, "/random", two, sizeof(two));
        assert_string_not_equal(one, two);
    }
    fixture_close(&f);
}

/* Requests that leave all that a heap may hold: more of them than one virtual machine serves. */
static void test_thousands_of_requests_do_not_fill(void **state)
{
    fixture f = { 0 };
    size_t early = 0;
    uint32_t most = 0, machines = 0;

    (void)state;
    fixture_start(&f, &(encl_engine_limits){ .keeps = ENCL_KEEPS_MACHINE, .heap_size = 32 << 20 },
                  "export default (r) => { const a = Array.from({ length: 4000 }, (_, i) => ({ i, r }));\n"
                  "  globalThis.kept = [a, new Uint8Array(200000).fill(1), new WebAssembly.Memory({ initial: 1 })];\n"
                  "  setTimeout(() => a, 1000); new FinalizationRegistry(() => a).register({}, a);\n"
                  "  new Promise(() => {}).then(() => a); const f = new Function('return ' + Math.random());\n"
                  "  Symbol.for(String(f())); Promise.reject(a); return new Response(`${a.length}`) }");
    for (int i = 0; i < 1500; i++) {
        fixture_expect(&f, "/", "", "4000");
        most = RD_MAX(most, encl_jsc->served);
        machines += encl_jsc->served == 0;
        if (i == 200)
            early = resident();
    }
    print_message("%zu MB after 200 requests, %zu MB after 1500; %u machines, at most %u requests in one\n",
                  early >> 20, resident() >> 20, machines, most + 1);
    assert_true(resident() < early + ((size_t)48 << 20));
    assert_true(most > 20);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_behind_a_good_end),
        cmocka_unit_test(test_no_state_passes),
        cmocka_unit_test(test_chance_is_not_shared),
        cmocka_unit_test(test_thousands_of_requests_do_not_fill),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
