/* What a job names, against what the owner signed (R52): each link of the chain bent by itself. */
#include "agent/chain.h"

#include "tests/support/enclave_app.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_US INT64_C(1750000000000000)

typedef struct world {
    char dir[64];
    agent_blobs *blobs;
    agent_chain *chain;
    test_app app, other;
} world;

static rd_digest keep(world *w, const rd_buf *bytes)
{
    rd_digest digest;
    rd_err err = RD_ERR_INIT;
    rd_sha256(rd_buf_bytes(bytes), digest.b);
    assert_int_equal(0, agent_blobs_put(w->blobs, &digest, rd_buf_bytes(bytes), &err));
    return digest;
}

static agent_job job_of(world *w, const test_app *app)
{
    return (agent_job){ .app = app->id,
                        .release = app->release_digest,
                        .genesis_blob = keep(w, &app->genesis),
                        .head_blob = keep(w, &app->head),
                        .release_blob = keep(w, &app->release),
                        .code_blob = keep(w, &app->code) };
}

static void make(test_app *app, const test_app_spec *spec)
{
    rd_err err = RD_ERR_INIT;
    test_app_done(app);
    assert_int_equal(0, test_app_make(app, spec, &err));
}

static int setup(void **state)
{
    world *w = rd_alloc(sizeof *w);
    rd_err err = RD_ERR_INIT;
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/test-chain-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    assert_int_equal(0, agent_blobs_open(w->dir, 1 << 20, NULL, &w->blobs, &err));
    w->chain = agent_chain_new();
    make(&w->app, &(test_app_spec){ .source = "export default 1" });
    make(&w->other, &(test_app_spec){ .source = "export default 2" });
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world *w = *state;
    agent_blobs_free(w->blobs);
    agent_chain_free(w->chain);
    test_app_done(&w->app);
    test_app_done(&w->other);
    char *command = rd_asprintf("rm -rf %s", w->dir);
    (void)!system(command);
    free(command);
    free(w);
    return 0;
}

static rd_code check_at(world *w, const agent_job *job, rd_class class, int64_t now_us)
{
    rd_err err = RD_ERR_INIT;
    rd_engine engine;
    return agent_chain_check(w->chain, job, w->blobs, class, now_us, &engine, &err) == 0 ? RD_OK : err.code;
}

static rd_code check(world *w, const agent_job *job)
{
    return check_at(w, job, RD_CLASS_SIMULATED, NOW_US);
}

static void test_good_chain_is_verified_once(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    rd_engine engine = RD_ENGINE_QUICKJS;
    make(&w->app, &(test_app_spec){ .source = "export default 1", .engine = RD_ENGINE_JSC });
    agent_job job = job_of(w, &w->app);
    for (int i = 0; i < 3; i++)
        assert_int_equal(0, agent_chain_check(w->chain, &job, w->blobs, RD_CLASS_SIMULATED, NOW_US, &engine, &err));
    assert_int_equal(RD_ENGINE_JSC, engine);
    assert_int_equal(1, agent_chain_verified(w->chain));
    agent_job others = job_of(w, &w->other);
    assert_int_equal(RD_OK, check(w, &others));
    assert_int_equal(2, agent_chain_verified(w->chain));
}

/* Each row is tried before the good chain is known and after. */
static void test_each_link(void **state)
{
    world *w = *state;
    const agent_job good = job_of(w, &w->app), others = job_of(w, &w->other);
    agent_job rows[8];
    static const rd_code codes[] = { RD_E_GENESIS_MISMATCH,    RD_E_GENESIS_MISMATCH, RD_E_SIGNATURE, RD_E_SIGNATURE,
                                     RD_E_RELEASE_NOT_ALLOWED, RD_E_CODE_MISMATCH,    RD_E_KMS_SET,   RD_E_PURPOSE };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        rows[i] = good;
    rows[0].app = others.app;
    rows[1].genesis_blob = others.genesis_blob;
    rows[2].head_blob = others.head_blob;
    rows[3].release_blob = others.release_blob;
    rows[4].release = others.release;
    rows[5].code_blob = others.code_blob;
    rows[6].has_kms = true;
    rows[7].release_blob = good.head_blob;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
            rd_code code = check(w, &rows[i]);
            /* a head in a release's place has no signature of that purpose */
            if (code != codes[i] && !(i == 7 && code == RD_E_SIGNATURE))
                fail_msg("row %zu, round %d: %s", i, round, rd_code_describe(code)->name);
        }
        assert_int_equal(RD_OK, check(w, &good));
    }
    assert_int_equal(RD_E_CLASS_MISMATCH, check_at(w, &good, RD_CLASS_HARDWARE, NOW_US));
}

static void test_what_was_signed_otherwise(void **state)
{
    world *w = *state;
    const rd_kms_id kms = { { 7 } };
    static const struct {
        test_app_spec spec;
        rd_code code;
    } rows[] = {
        { { .source = "1", .other_signer = true }, RD_E_SIGNATURE },
        { { .source = "1", .lists_other_release = true }, RD_E_RELEASE_NOT_ALLOWED },
        { { .source = "1", .other_code = true }, RD_E_CODE_MISMATCH },
        { { .source = "1", .is_hardware = true }, RD_E_CLASS_MISMATCH },
        { { .source = "1", .not_before_us = NOW_US + 1 }, RD_E_HEAD_TIME },
        { { .source = "1", .expires_us = NOW_US }, RD_E_HEAD_TIME },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        make(&w->app, &rows[i].spec);
        agent_job job = job_of(w, &w->app);
        rd_code code = check(w, &job);
        if (code != rows[i].code)
            fail_msg("row %zu: %s", i, rd_code_describe(code)->name);
    }
    make(&w->app, &(test_app_spec){ .source = "1", .kms = &kms });
    agent_job job = job_of(w, &w->app);
    assert_int_equal(RD_E_KMS_SET, check(w, &job)); /* the plane left it out */
    job.has_kms = true;
    job.kms.b[0] = 8;
    assert_int_equal(RD_E_KMS_SET, check(w, &job));
    job.kms = kms;
    assert_int_equal(RD_OK, check(w, &job));
}

static void test_known_chain_ends_with_its_head(void **state)
{
    world *w = *state;
    make(&w->app, &(test_app_spec){ .source = "1", .expires_us = NOW_US + 10 });
    agent_job job = job_of(w, &w->app);
    assert_int_equal(RD_OK, check_at(w, &job, RD_CLASS_SIMULATED, NOW_US));
    assert_int_equal(RD_OK, check_at(w, &job, RD_CLASS_SIMULATED, NOW_US + 9));
    assert_int_equal(RD_E_HEAD_TIME, check_at(w, &job, RD_CLASS_SIMULATED, NOW_US + 10));
    assert_int_equal(RD_E_HEAD_TIME, check_at(w, &job, RD_CLASS_SIMULATED, 0));
    assert_int_equal(1, agent_chain_verified(w->chain));
}

/* Past what is remembered the oldest is verified anew, and nothing else changes. */
static void test_memory_is_bounded(void **state)
{
    world *w = *state;
    const agent_job good = job_of(w, &w->app);
    assert_int_equal(RD_OK, check(w, &good));
    for (uint64_t seq = 2; seq < 260; seq++) {
        rd_err err = RD_ERR_INIT;
        rd_buf_done(&w->app.head);
        rd_buf_init(&w->app.head, RD_ENVELOPE_SIZE_MAX);
        assert_int_equal(0, test_app_head(&w->app, &(test_app_spec){ .source = "1", .seq = seq }, &err));
        agent_job next = job_of(w, &w->app);
        assert_int_equal(RD_OK, check(w, &next));
    }
    assert_int_equal(259, agent_chain_verified(w->chain));
    assert_int_equal(RD_OK, check(w, &good));
    assert_int_equal(260, agent_chain_verified(w->chain));
}

static void test_what_is_not_here(void **state)
{
    world *w = *state;
    agent_job job = job_of(w, &w->app);
    job.head_blob.b[0] ^= 1;
    assert_int_equal(RD_E_NOT_FOUND, check(w, &job));
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_good_chain_is_verified_once),    ROW(test_each_link),         ROW(test_what_was_signed_otherwise),
        ROW(test_known_chain_ends_with_its_head), ROW(test_memory_is_bounded), ROW(test_what_is_not_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
