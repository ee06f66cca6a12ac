#include "tests/unit/enclave/engine/engine_fixture.h"

#include <stdlib.h>
#include <sys/random.h>

#define RESETS 1000
#define PLACES 1100 /* of an array, each written by one request in so many */
#define COOLED 2300 /* more than twice after which the engine leaves pages alone that are written no more */

static int system_random(void *context, uint8_t *out, size_t size)
{
    (void)context;
    return getrandom(out, size, 0) == (ssize_t)size ? 0 : -1;
}

static int compare_words(const void *a, const void *b)
{
    return memcmp(a, b, 8);
}

/* Four sources of randomness, many requests: no value twice. */
static void test_no_random_value_repeats(void **state)
{
    static char values[RESETS * 4][8];
    const size_t resets = fixture_is_quickjs() ? RESETS : RESETS / 10; /* a whole virtual machine each */
    fixture f = { 0 };

    (void)state;
    fixture_start(&f, NULL,
                  "const hex = (n) => new Uint8Array(Float64Array.of(n).buffer).toHex();\n"
                  "export default async () => { const key = await crypto.subtle.generateKey({ name: 'HMAC', hash: "
                  "'SHA-256' }, true, ['sign']);\n"
                  "return new Response([hex(Math.random()), crypto.getRandomValues(new Uint8Array(8)).toHex(),\n"
                  "crypto.randomUUID().slice(0, 18).replaceAll('-', ''), new Uint8Array(await "
                  "crypto.subtle.exportKey('raw', key)).toHex().slice(0, 16)].join('')) }");
    for (size_t i = 0; i < resets; i++) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        if (fixture_call(&f, "/", "", &response, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(response.body.size, 64);
        for (size_t j = 0; j < 4; j++) {
            for (size_t k = 0; k < 8; k++)
                (void)sscanf((const char *)response.body.data + j * 16 + k * 2, "%2hhx",
                             (unsigned char *)&values[i * 4 + j][k]);
        }
        encl_engine_reset(f.engine);
    }
    qsort(values, resets * 4, sizeof(values[0]), compare_words);
    for (size_t i = 1; i < resets * 4; i++)
        assert_true(memcmp(values[i - 1], values[i], 8) != 0);
    fixture_close(&f);
}

static void test_state_does_not_leak(void **state)
{
    fixture f = { 0 };

    (void)state;
    fixture_start(
        &f, NULL,
        "let n = 0; const seen = []; globalThis.g = 0; const w = new WeakMap(); const c = class { static s = 0; };\n"
        "export default async (r, env) => { n++; g++; c.s++; seen.push(r.url); env.x = (env.x ?? 0) + 1; "
        "Array.prototype.bad = [].bad || n;\n"
        "setTimeout(() => {}, 100000); return new Response([n, g, c.s, seen.length, env.x, [].bad, "
        "Object.keys(globalThis)].join()) }");
    for (int i = 0; i < 20; i++)
        fixture_expect(&f, i % 2 ? "/a" : "/b", "", "1,1,1,1,1,1,g");
    fixture_close(&f);
}

static bool contains(rd_bytes memory, const char *marker)
{
    return memmem(memory.data, memory.size, marker, strlen(marker)) != NULL;
}

/* A marker is put together at run time, so that the image of the module does not hold it. */
static void test_grown_memory_is_gone(void **state)
{
    static const char marker[] = "MARKER-8f14e45fceea167a-RERKAM";
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;
    static char body[200000];

    (void)state;
    if (!fixture_is_quickjs())
        return;
    for (size_t i = 0; i + sizeof(marker) < sizeof(body); i += sizeof(marker) - 1)
        memcpy(body + i, marker, sizeof(marker) - 1);
    fixture_start(
        &f, NULL,
        "const kept = []; export default async (r) => { const t = await r.text(); if (!t) { let sum = 0, n = 0; \n"
        "for (let i = 0; i < 20; i++) { const b = new Uint8Array(1 << 20); for (let j = 0; j < b.length; j += 4096) { "
        "sum += b[j]; n++; } kept.push(b); } return new Response(`${sum}`); }\n"
        "for (let i = 0; i < 50; i++) kept.push(new TextEncoder().encode(t)); console.log(kept.length); return new "
        "Response(t); }");
    size_t image_size = encl_engine_image_size(f.engine);
    uint64_t generation = encl_engine_generation(f.engine);
    assert_int_equal(fixture_call(&f, "/", body, &response, &err), 0);
    assert_true(response.generation == generation);
    assert_true(encl_engine_memory(f.engine).size > image_size);
    assert_true(contains(encl_engine_memory(f.engine), marker));
    assert_true(contains(response.body, marker));
    rd_bytes output = response.body;
    encl_engine_reset(f.engine);
    assert_int_equal(encl_engine_memory(f.engine).size, image_size);
    assert_false(contains(encl_engine_memory(f.engine), marker));
    assert_int_equal(encl_engine_generation(f.engine), generation + 1);
    (void)output;
    /* The next request grows into the same addresses and finds zeros. */
    assert_int_equal(fixture_call(&f, "/", "", &response, &err), 0);
    assert_int_equal(response.body.size, 1);
    assert_true(encl_engine_memory(f.engine).size > image_size);
    assert_false(contains(encl_engine_memory(f.engine), marker));
    fixture_close(&f);
}

/* Every byte of the machine after a reset is the snapshot's. */
static void test_reset_restores_every_byte(void **state)
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;

    (void)state;
    if (!fixture_is_quickjs())
        return;
    fixture_start(&f, NULL,
                  "let n = 0; export default async (r) => { n++; if (r.url.endsWith('t')) throw 1; return new "
                  "Response(await r.text()) }");
    size_t size = encl_engine_image_size(f.engine);
    uint8_t *before = rd_alloc(size);
    memcpy(before, encl_engine_memory(f.engine).data, size);
    for (int i = 0; i < 10; i++) {
        (void)!fixture_call(&f, i % 2 ? "/t" : "/", "body", &response, &err);
        encl_engine_reset(f.engine);
        assert_int_equal(encl_engine_memory(f.engine).size, size);
        assert_memory_equal(encl_engine_memory(f.engine).data, before, size);
    }
    free(before);
    fixture_close(&f);
}

/* Also those that a request wrote first, that a system call filled, and that one request in many writes: such a page
 * was left alone before it is written again. */
static void test_reset_restores_rarely_written_pages(void **state)
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    encl_response response;
    encl_engine_host host = fixture_host(&f);

    (void)state;
    if (!fixture_is_quickjs())
        return;
    host.random = system_random;
    fixture_start(
        &f, NULL,
        "const big = new Uint8Array(400000); let i = 0; export default (r) => { const at = "
        "Number(r.url.split('/').at(-1)); const was = big[at * 360]; big[at * 360] = 255; if (at % 100 === 0) "
        "crypto.getRandomValues(big.subarray(at, at + 65000)); return new Response(`${i++} ${was}`); }");
    assert_int_equal(encl_engine_configure(f.engine, &host, NULL, &err), 0);
    size_t size = encl_engine_image_size(f.engine);
    uint8_t *before = rd_alloc(size);
    memcpy(before, encl_engine_memory(f.engine).data, size);
    for (int i = 0; i < COOLED; i++) {
        char path[16];
        (void)snprintf(path, sizeof(path), "/%d", i % PLACES);
        if (fixture_call(&f, path, "", &response, &err) < 0)
            fail_msg("%s", err.text);
        assert_memory_equal(response.body.data, "0 0", 3);
        encl_engine_reset(f.engine);
        if (i % 50 == 0 || i >= RESETS)
            assert_memory_equal(encl_engine_memory(f.engine).data, before, size);
    }
    free(before);
    fixture_close(&f);
}

static int no_random(void *context, uint8_t *out, size_t size)
{
    (void)context, (void)out, (void)size;
    fail_msg("the rehearsal draws");
    return -1;
}

static void fail_line(void *context, encl_log_level level, rd_bytes line)
{
    (void)context, (void)level;
    fail_msg("the rehearsal says: %.*s", (int)line.size, (const char *)line.data);
}

static void take_image(const char *source, bool is_blank, uint8_t ret_digest[32])
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;

    fixture_is_blank = is_blank;
    fixture_start(&f, NULL, source);
    assert_int_equal(encl_engine_image_digest(f.engine, ret_digest, &err), 0);
    fixture_close(&f);
}

/* What a blank rehearses leaves no byte, draws nothing, says nothing, and changes no image. */
static void test_a_rehearsal_leaves_nothing(void **state)
{
    static const char *const sources[] = {
        "export default () => new Response('hello')",
        "const all = Array.from({ length: 50000 }, (_, i) => ({ i })); export default () => new Response(all[9].i)",
    };
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;
    bool was_blank = fixture_is_blank;
    encl_engine_host host = fixture_host(&f);

    (void)state;
    fixture_is_blank = false;
    fixture_open(&f, NULL);
    host.random = no_random;
    host.log = fail_line;
    assert_int_equal(encl_engine_configure(f.engine, &host, NULL, &err), 0);
    size_t size = encl_engine_memory(f.engine).size;
    uint8_t *before = rd_alloc(size + 1);
    if (size > 0)
        memcpy(before, encl_engine_memory(f.engine).data, size);
    assert_int_equal(encl_engine_share(f.engine, &err), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(encl_engine_unshare(f.engine, &err), 0);
        assert_int_equal(encl_engine_memory(f.engine).size, size);
        if (size > 0)
            assert_memory_equal(encl_engine_memory(f.engine).data, before, size);
    }
    free(before);
    fixture_close(&f);
    for (size_t i = 0; fixture_is_quickjs() && i < RD_ARRAY_LEN(sources); i++) {
        uint8_t plain[32], rehearsed[32];
        take_image(sources[i], false, plain);
        take_image(sources[i], true, rehearsed);
        assert_memory_equal(plain, rehearsed, 32);
    }
    fixture_is_blank = was_blank;
}

static void test_only_what_is_blank_is_shared(void **state)
{
    fixture f = { 0 };
    rd_err err = RD_ERR_INIT;

    (void)state;
    fixture_start(&f, NULL, "export default () => new Response('a')");
    assert_int_equal(encl_engine_share(f.engine, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_STATE);
    assert_int_equal(encl_engine_unshare(f.engine, &err), -1);
    assert_int_equal(err.code, RD_E_ENGINE_STATE);
    fixture_expect(&f, "/", "", "a");
    fixture_close(&f);
}

/* One timer serves many calls, and still ends each at its own limit, also in a loop that asks nothing. */
static void test_a_call_ends_at_its_own_limit(void **state)
{
    static const encl_engine_limits shorter = { .time_us = 100000 }, longer = { .time_us = 300000 },
                                    ten_seconds = { .time_us = 10000000 };
    fixture f = { 0 };

    (void)state;
    fixture_start(
        &f, NULL,
        "export default (r) => { if (r.url.endsWith('loop')) Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, "
        "1); return new Response('ok') }");
    for (int i = 0; i < 3; i++) {
        rd_err err = RD_ERR_INIT;
        encl_response response;
        assert_int_equal(encl_engine_configure(f.engine, NULL, &ten_seconds, &err), 0);
        fixture_expect(&f, "/a", "", "ok");
        assert_int_equal(encl_engine_configure(f.engine, NULL, i % 2 ? &longer : &shorter, &err), 0);
        int64_t start_us = fixture_mono(&f);
        assert_int_equal(fixture_call(&f, "/loop", "", &response, &err), -1);
        assert_int_equal(err.code, RD_E_ENGINE_TIME_LIMIT);
        int64_t took_us = fixture_mono(&f) - start_us;
        assert_true(took_us >= (i % 2 ? longer.time_us : shorter.time_us));
        assert_true(took_us < 9000000); /* and not that of the calls before, which is ten seconds */
    }
    rd_err err = RD_ERR_INIT;
    assert_int_equal(encl_engine_configure(f.engine, NULL, &ten_seconds, &err), 0);
    fixture_expect(&f, "/a", "", "ok");
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_random_value_repeats),
        cmocka_unit_test(test_state_does_not_leak),
        cmocka_unit_test(test_grown_memory_is_gone),
        cmocka_unit_test(test_reset_restores_every_byte),
        cmocka_unit_test(test_reset_restores_rarely_written_pages),
        cmocka_unit_test(test_a_call_ends_at_its_own_limit),
        cmocka_unit_test(test_a_rehearsal_leaves_nothing),
        cmocka_unit_test(test_only_what_is_blank_is_shared),
    };

    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_is_blank = true;
    return fixture_is_quickjs() ? failed + cmocka_run_group_tests_name("of a blank", tests, NULL, NULL) : failed;
}
