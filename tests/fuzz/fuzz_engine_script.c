// link: encl_engine
/* Any script as the code of a request; after it a good request must answer as ever. The engine owns SIGSEGV and
 * SIGALRM: run with -timeout=0 -handle_segv=0 -handle_bus=0 -rss_limit_mb=0. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "enclave/engine/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:use_sigaltstack=0";
}

static int64_t now_us(void *context)
{
    struct timespec ts;

    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int no_random(void *context, uint8_t *out, size_t size)
{
    (void)context;
    memset(out, 7, size);
    return 0;
}

/* The good call has all the time there is: a machine that stands still for a moment is no finding. */
static const encl_engine_limits short_time = { .time_us = 50000, .heap_size = 8 << 20 },
                                long_time = { .time_us = 60000000, .heap_size = 8 << 20 };

static encl_engine *start(void)
{
    static const char source[] = "let n = 0; export default async (r) => { n++; const t = await r.text();\n"
                                 "return new Response(r.method === 'GET' ? `good ${n}` : `${await (0, eval)(t)}`) }";
    encl_engine_host host = { .wall_us = now_us, .monotonic_us = now_us, .random = no_random };
    encl_module module = { "index.js", rd_bytes_str(source) };
    encl_engine *engine = NULL;
    rd_err err = RD_ERR_INIT;

    if (encl_engine_new(&host, &short_time, &engine, &err) < 0 ||
        encl_engine_load(engine, &module, 1, "index.js", RD_BYTES_NULL, &err) < 0)
        abort();
    return engine;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static encl_engine *engine;
    encl_request hostile = { rd_bytes_str("POST"), rd_bytes_str("https://a.example/"), NULL, 0, { data, size } };
    encl_request good = { rd_bytes_str("GET"), rd_bytes_str("https://a.example/"), NULL, 0, RD_BYTES_NULL };
    encl_response response;
    rd_err err = RD_ERR_INIT;

    if (!engine)
        engine = start();
    if (encl_engine_configure(engine, NULL, &short_time, &err) < 0)
        abort();
    (void)!encl_engine_call(engine, &hostile, &response, &err);
    if (encl_engine_configure(engine, NULL, &long_time, &err) < 0 ||
        encl_engine_call(engine, &good, &response, &err) < 0 || !rd_bytes_equal(response.body, rd_bytes_str("good 1")))
        abort();
    encl_engine_reset(engine);
    return 0;
}
