/* engine_fixture: one engine with injected clock, randomness and log, for the tests of enclave/engine.
 * Used by the engine's unit tests alone.
 * Never sleeps: waiting moves the clock. */
#ifndef TESTS_ENGINE_FIXTURE_H
#define TESTS_ENGINE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "enclave/engine/engine.h"

#define LOG_MAX 65536

typedef struct fixture {
    encl_engine *engine;
    int64_t skipped_us; /* what waiting added to the clock */
    uint64_t random_state;
    uint32_t lines;
    size_t longest_line;
    char log[LOG_MAX];
    size_t log_size;
    bool is_caller_gone;
} fixture;

/* The engine takes SIGSEGV for its guard pages. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    /* What is freed goes back at once: the machine jsc ends a process that keeps too much. */
    return "handle_segv=0:handle_sigbus=0:use_sigaltstack=0:quarantine_size_mb=1";
}

/* A library's once-a-process memory. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libjavascriptcoregtk";
}

/* The machine jsc has no one memory to look into, and ends its process where QuickJS ends a request (test_jsc.c). */
static inline bool fixture_is_quickjs(void)
{
    return strcmp(encl_engine_name(), "quickjs") == 0;
}

/* Set: engines are what they are in an instance, after a zygote's sharing and a blank's rehearsal. */
static bool fixture_is_blank;

/* What a failed test did not close: a process has one engine. */
static encl_engine *fixture_leftover;

static inline int64_t fixture_mono(void *context)
{
    const fixture *f = context;
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 + f->skipped_us;
}

static inline int64_t fixture_wall(void *context)
{
    const fixture *f = context;

    return INT64_C(1795305600000000) + f->skipped_us;
}

static inline int fixture_random(void *context, uint8_t *out, size_t size)
{
    fixture *f = context;

    for (size_t i = 0; i < size; i++) {
        f->random_state = f->random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        out[i] = (uint8_t)(f->random_state >> 56);
    }
    return 0;
}

static inline void fixture_log(void *context, encl_log_level level, rd_bytes line)
{
    static const char names[] = "DIWE";
    fixture *f = context;
    size_t room = sizeof(f->log) - f->log_size;
    int n = snprintf(f->log + f->log_size, room, "%c:%.*s\n", names[level], (int)line.size, (const char *)line.data);

    f->log_size += RD_MIN((size_t)n, room - 1);
    f->lines++;
    f->longest_line = RD_MAX(f->longest_line, line.size);
}

static inline int fixture_wait(void *context, int64_t until_us)
{
    fixture *f = context;
    int64_t now = fixture_mono(f);

    if (until_us > now)
        f->skipped_us += until_us - now;
    return f->is_caller_gone ? -1 : 0;
}

static inline encl_engine_host fixture_host(fixture *f)
{
    return (encl_engine_host){ .wall_us = fixture_wall,
                               .monotonic_us = fixture_mono,
                               .random = fixture_random,
                               .log = fixture_log,
                               .wait = fixture_wait,
                               .context = f };
}

static inline void fixture_open(fixture *f, const encl_engine_limits *limits)
{
    rd_err err = RD_ERR_INIT;
    encl_engine_host host = fixture_host(f);
    encl_engine_limits own = limits ? *limits : (encl_engine_limits){ 0 };

    /* A whole virtual machine is made within this, on a machine that may be busy with other tests. */
    if (!fixture_is_quickjs() && own.load_time_us == 0)
        own.load_time_us = 60000000;
    if (fixture_leftover)
        fixture_leftover = encl_engine_free(fixture_leftover);
    if (encl_engine_new(&host, &own, &f->engine, &err) < 0)
        fail_msg("%s\n%s", err.text, f->log);
    fixture_leftover = f->engine;
    if (fixture_is_blank && (encl_engine_share(f->engine, &err) < 0 || encl_engine_unshare(f->engine, &err) < 0))
        fail_msg("%s", err.text);
}

static inline int fixture_load(fixture *f, const char *source, const char *env, rd_err *err)
{
    encl_module module = { "index.js", rd_bytes_str(source) };

    return encl_engine_load(f->engine, &module, 1, "index.js", rd_bytes_str(env), err);
}

/* An engine with a handler that must load. */
static inline void fixture_start(fixture *f, const encl_engine_limits *limits, const char *source)
{
    rd_err err = RD_ERR_INIT;

    fixture_open(f, limits);
    if (fixture_load(f, source, "", &err) < 0)
        fail_msg("%s\n%s", err.text, f->log);
}

static inline void fixture_close(fixture *f)
{
    f->engine = encl_engine_free(f->engine);
    fixture_leftover = NULL;
}

static inline int fixture_call(fixture *f, const char *path, const char *body, encl_response *response, rd_err *err)
{
    char url[1024];
    encl_header headers[] = { { rd_bytes_str("Content-Type"), rd_bytes_str("application/json") },
                              { rd_bytes_str("x-two"), rd_bytes_str("a") },
                              { rd_bytes_str("X-Two"), rd_bytes_str("b") } };
    encl_request request = { .method = rd_bytes_str(body[0] ? "POST" : "GET"),
                             .headers = headers,
                             .header_count = RD_ARRAY_LEN(headers),
                             .body = rd_bytes_str(body) };

    (void)snprintf(url, sizeof(url), "https://app.example%s", path);
    request.url = rd_bytes_str(url);
    f->log_size = 0;
    f->log[0] = 0;
    f->lines = 0;
    f->longest_line = 0;
    return encl_engine_call(f->engine, &request, response, err);
}

/* A call that must answer with exactly this body. */
static inline void fixture_expect(fixture *f, const char *path, const char *body, const char *want)
{
    rd_err err = RD_ERR_INIT;
    encl_response response;

    if (fixture_call(f, path, body, &response, &err) < 0)
        fail_msg("%s: %s\n%s", path, err.text, f->log);
    if (!rd_bytes_equal(response.body, rd_bytes_str(want)))
        fail_msg("%s: got \"%.*s\", want \"%s\"\n%s", path, (int)response.body.size, (const char *)response.body.data,
                 want, f->log);
    encl_engine_reset(f->engine);
}

/* A call that must fail with this code. */
static inline void fixture_refuse(fixture *f, const char *path, rd_code want)
{
    rd_err err = RD_ERR_INIT;
    encl_response response;

    if (fixture_call(f, path, "", &response, &err) == 0)
        fail_msg("%s: answered %d \"%.*s\"", path, response.status, (int)response.body.size,
                 (const char *)response.body.data);
    if (err.code != want)
        fail_msg("%s: code %s (%s), want %s", path, rd_code_describe(err.code)->name, err.text,
                 rd_code_describe(want)->name);
}

/* Bytes of this process that are in memory. */
RD_UNUSED static size_t resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long all = 0, here = 0;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &all, &here), 2);
    (void)fclose(file);
    return here * (size_t)sysconf(_SC_PAGESIZE);
}

#endif
