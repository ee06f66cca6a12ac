// link: encl_engine_jsc
#include "enclave/engine/jsc/jsc_priv.h"
#include "tests/unit/enclave/engine/engine_fixture.h"

#include <stdio.h>
#include <sys/wait.h>

static const encl_engine_limits shared = { .keeps = ENCL_KEEPS_GLOBALS };

/* A call to its end, with what it left in the background, and then the reset; what it answered, or the error's code. */
static void call(fixture *f, const char *path, const char *body, char *out, size_t out_size)
{
    rd_err err = RD_ERR_INIT, late = RD_ERR_INIT;
    encl_response response;

    if (fixture_call(f, path, body, &response, &err) == 0) {
        (void)snprintf(out, out_size, "%.*s", (int)response.body.size, (const char *)response.body.data);
        (void)!encl_engine_finish(f->engine, &late);
    } else {
        (void)snprintf(out, out_size, "%s", rd_code_describe(err.code)->name);
    }
    encl_engine_reset(f->engine);
    assert_true(encl_jsc->run.is_loaded);
}

static void expect(fixture *f, const char *path, const char *want)
{
    char text[1024];

    call(f, path, "", text, sizeof(text));
    if (strcmp(text, want) != 0)
        fail_msg("%s: got \"%s\", want \"%s\"\n%s", path, text, want, f->log);
}

/* What the owner asks for: a module is evaluated once, and all that it holds lives on. */
static void test_globals_live(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, &shared,
                  "globalThis.loads = (globalThis.loads ?? 0) + 1; let n = 0; const seen = new Map();\n"
                  "export default (r, env) => { const { pathname } = new URL(r.url); seen.set(pathname, ++n);\n"
                  "  env.n = (env.n ?? 0) + 1; Array.prototype.n = n;\n"
                  "  return new Response([loads, n, seen.size, env.n, [].n, 'x' in Object.prototype].join()) }");
    expect(&f, "/", "1,1,1,1,1,false");
    expect(&f, "/", "1,2,1,2,2,false");
    expect(&f, "/a", "1,3,2,3,3,false");
    assert_int_equal(encl_jsc->served, 3);
    fixture_close(&f);
}

static const char ends_js[] =
    "let n = 0; export default async (request, env, ctx) => { const { pathname } = new URL(request.url); n++;\n"
    "  if (pathname === '/throw') throw new Error('no');\n"
    "  if (pathname === '/loop') for (;;);\n"
    "  if (pathname === '/jobs') { const go = () => Promise.resolve().then(go); go(); await new Promise(() => {}); }\n"
    "  if (pathname === '/reject') return Promise.reject(1);\n"
    "  if (pathname === '/stall') await new Promise(() => {});\n"
    "  if (pathname === '/value') return 'no response';\n"
    "  if (pathname === '/header') return new Response('', { headers: { 'x-long': 'y'.repeat(65536) } });\n"
    "  if (pathname === '/many') { const h = new Headers(); for (let i = 0; i < 200; i++) h.set(`x-${i}`, 'y'); "
    "return new Response('', { headers: h }); }\n"
    "  if (pathname === '/late') ctx.waitUntil(new Promise((done) => setTimeout(done, 1)));\n"
    "  if (pathname === '/latefail') ctx.waitUntil(Promise.reject(new Error('late')));\n"
    "  if (pathname === '/never') ctx.waitUntil(new Promise(() => {}));\n"
    "  if (pathname === '/timer') setTimeout(() => {}, 1e6);\n"
    "  if (pathname === '/soon') setTimeout(() => {}, 0);\n"
    "  if (pathname === '/interval') setInterval(() => {}, 1);\n"
    "  if (pathname === '/cleared') clearTimeout(setTimeout(() => {}, 1e6));\n"
    "  if (pathname === '/signal') AbortSignal.timeout(1000);\n"
    "  if (pathname === '/unheard') Promise.reject(new Error('nobody listens'));\n"
    "  if (pathname === '/promise') new Promise(() => {}).then(() => {});\n"
    "  return new Response(`${n}`) }";

/* What the machine survives: what went well, with nothing that is still to come. */
static void test_stays_behind_a_good_end(void **state)
{
    static const struct {
        const char *path;
        bool stays;
    } rows[] = {
        { "/", true },        { "/late", true },      { "/latefail", true }, { "/cleared", true }, { "/unheard", true },
        { "/promise", true }, { "/throw", false },    { "/loop", false },    { "/reject", false }, { "/stall", false },
        { "/value", false },  { "/header", true },    { "/many", false },    { "/never", false },  { "/timer", false },
        { "/soon", false },   { "/interval", false }, { "/signal", false },
    };
    encl_engine_limits limits = shared;
    char text[256];
    fixture f = { 0 };

    (void)state;
    limits.time_us = 1000000;
    limits.response_header_count = 100;
    fixture_start(&f, &limits, ends_js);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        call(&f, "/", "", text, sizeof(text));
        unsigned before = (unsigned)atoi(text);
        char want[16];
        call(&f, rows[i].path, "", text, sizeof(text));
        (void)snprintf(want, sizeof(want), "%u", rows[i].stays ? before + 2 : 1);
        call(&f, "/", "", text, sizeof(text));
        if (strcmp(text, want) != 0)
            fail_msg("behind %s: %s, want %s", rows[i].path, text, want);
    }
    fixture_close(&f);
}

/* Each request has its own time, log lines, clock and chance, however old the machine is. */
static void test_what_is_of_a_request(void **state)
{
    encl_engine_limits limits = shared;
    char one[256], two[256];
    fixture f = { 0 };

    (void)state;
    limits.time_us = 500000;
    limits.log_lines = 4;
    fixture_start(&f, &limits,
                  "let n = 0; export default async (r) => { const { pathname } = new URL(r.url);\n"
                  "  if (pathname === '/log') for (let i = 0; i < 9; i++) console.log(i);\n"
                  "  if (pathname === '/wait') await new Promise((done) => setTimeout(done, 400));\n"
                  "  if (pathname === '/random') return new Response(String(Math.random()));\n"
                  "  if (pathname === '/unheard') for (let i = 0; i < 20; i++) Promise.reject(i);\n"
                  "  if (pathname === '/now') return new Response(String(performance.now() < 300));\n"
                  "  return new Response(`${++n}`) }");
    for (int i = 0; i < 3; i++) {
        call(&f, "/log", "", one, sizeof(one));
        assert_int_equal(f.lines, 5); /* the last one says that there are no more */
        call(&f, "/unheard", "", one, sizeof(one));
        assert_int_equal(f.lines, 5);
        call(&f, "/wait", "", one, sizeof(one)); /* three of these are longer than the limit */
        expect(&f, "/now", "true");
        f.random_state = 1;
        call(&f, "/random", "", one, sizeof(one));
        f.random_state = 1;
        call(&f, "/random", "", two, sizeof(two));
        assert_string_equal(one, two);
        f.random_state = 2;
        call(&f, "/random", "", two, sizeof(two));
        assert_string_not_equal(one, two);
    }
    expect(&f, "/", "10");
    fixture_close(&f);
}

/* What one request left to be called works for nobody: its context, keys, answers and streams are of its turn. */
static void test_what_is_over_acts_on_nobody(void **state)
{
    static const char *const things[] = {
        "late.then(() => { try { ctx.waitUntil(new Promise(() => {})); said = 'waits' } catch (e) { said = `${e}` } })",
        "const key = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);\n"
        "late.then(() => crypto.subtle.sign('HMAC', key, new Uint8Array(1))).then(() => { said = 'signs' }, (e) => { "
        "said = `${e}` })",
        "late.then(() => request.text()).then((t) => { said = `text ${t}` }, (e) => { said = `${e}` })",
    };
    static const char *const wants[] = { "TypeError: this belongs to a request that is over",
                                         "InvalidAccessError: the key is of another request", "text " };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(things); i++) {
        char source[2048];
        fixture f = { 0 };
        (void)snprintf(source, sizeof(source),
                       "let said = '', go, n = 0; export default async (request, env, ctx) => { n++;\n"
                       "  if (request.url.endsWith('/a')) { const late = new Promise((done) => { go = done });\n"
                       "    %s; }\n"
                       "  if (request.url.endsWith('/b')) { go(); for (let i = 0; i < 9; i++) await 0; }\n"
                       "  return new Response(said + n) }",
                       things[i]);
        char want[200];
        (void)snprintf(want, sizeof(want), "%s2", wants[i]);
        fixture_start(&f, &shared, source);
        expect(&f, "/a", "1");
        expect(&f, "/b", want);
        assert_int_equal(encl_jsc->served, 2);
        fixture_close(&f);
    }
}

/* A handler that answers with an object of another request gives what that holds, once. */
static void test_answers_that_were_kept(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, &shared,
                  "let answer, asked; export default async (request) => { const { pathname } = new URL(request.url);\n"
                  "  if (pathname === '/text') return answer = new Response('kept');\n"
                  "  if (pathname === '/again') return answer;\n"
                  "  if (pathname === '/ask') { asked = request; return new Response(asked.headers.get('x-two')); }\n"
                  "  if (pathname === '/asked') return new Response([asked.url, await asked.text()].join());\n"
                  "  return new Response(request.url) }");
    expect(&f, "/text", "kept");
    expect(&f, "/again", "kept");
    expect(&f, "/ask", "a, b");
    expect(&f, "/asked", "https://app.example/ask,");
    expect(&f, "/x", "https://app.example/x");
    assert_int_equal(encl_jsc->served, 5);
    fixture_close(&f);
}

/* Keys that the module imports are there for all requests of every machine, and fill no table. */
static void test_keys_of_the_module(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(
        &f, &shared,
        "const key = await crypto.subtle.importKey('raw', new Uint8Array(32), { name: 'HMAC', hash: 'SHA-256' "
        "}, false, ['sign']); let n = 0;\n"
        "export default async (r) => { if (r.url.endsWith('/throw')) throw 1;\n"
        "  for (let i = 0; i < 50; i++) await crypto.subtle.generateKey({ name: 'AES-GCM', length: 128 }, "
        "false, ['encrypt']);\n"
        "  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, new Uint8Array(1)));\n"
        "  return new Response(`${mac[0]} ${++n}`) }");
    for (int machine = 0; machine < 3; machine++) {
        for (int i = 1; i <= 30; i++) {
            char want[32];
            (void)snprintf(want, sizeof(want), "%u %d", 102, i);
            if (i == 1 || i == 30)
                expect(&f, "/", want);
            else
                (void)call(&f, "/", "", want, sizeof(want));
        }
        expect(&f, "/throw", "engine_rejected");
    }
    fixture_close(&f);
}

static const struct {
    const char *name, *what;
    bool goes;
} growing[] = {
    { "garbage", "globalThis.last = a", false },
    { "a list", "all.push(a)", true },
    { "buffers", "all.push(new Uint8Array(300000).fill(n))", true },
    { "code", "all.push(new Function('a', `return a + ${n} + '${'x'.repeat(100000)}'`)); all.at(-1)(n)", true },
};

static bool grow(const char *name, const char *what, bool goes)
{
    char source[1024];
    fixture f = { 0 };
    uint32_t machines = 0, most = 0;
    size_t first = 0, largest = 0;

    (void)snprintf(source, sizeof(source),
                   "let n = 0; const all = []; export default (r) => { n++;\n"
                   "  const a = Array.from({ length: 4000 }, (_, i) => ({ i, r })); %s; return new Response('x') }",
                   what);
    fixture_start(&f, &(encl_engine_limits){ .keeps = ENCL_KEEPS_GLOBALS, .heap_size = 32 << 20 }, source);
    for (int n = 0; n < 600; n++) {
        fixture_expect(&f, "/", "", "x");
        machines += encl_jsc->served == 0;
        most = RD_MAX(most, encl_jsc->served);
        largest = RD_MAX(largest, resident());
        first = first > 0 ? first : largest;
    }
    print_message("%s: %u machines, at most %u requests in one; %zu MB after a request, at most %zu MB\n", name,
                  machines + 1, most + 1, first >> 20, largest >> 20);
    fixture_close(&f);
    return largest < first + ((size_t)80 << 20) && (goes ? machines > 0 : machines <= 4 && most > 60);
}

/* A handler that collects without end gets a new machine from time to time; one that only makes garbage does not. Each
 * in a process of its own, as only what a process grew is seen outside the heap. */
static void test_growth_is_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(growing); i++) {
        int status;
        (void)fflush(stdout);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(grow(growing[i].name, growing[i].what, growing[i].goes) ? 0 : 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("%s: status %x", growing[i].name, (unsigned)status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_growth_is_bounded), /* first: no threads yet when it forks */
        cmocka_unit_test(test_globals_live),           cmocka_unit_test(test_stays_behind_a_good_end),
        cmocka_unit_test(test_what_is_of_a_request),   cmocka_unit_test(test_what_is_over_acts_on_nobody),
        cmocka_unit_test(test_answers_that_were_kept), cmocka_unit_test(test_keys_of_the_module),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
