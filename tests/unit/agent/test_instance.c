/* The lives of instances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/lives_world.h"

static void test_whole_life(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    agent_enclave *enclave = &pool.enclave[0];
    const char *socket = NULL;
    agent_splices *splices = NULL;
    start(w, false, false);
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    json_t *needs = json_array();
    agent_instances_needs(w->all, needs);
    assert_int_equal(4, json_array_size(needs));
    json_decref(needs);
    assert_int_equal(0, pool.given);
    put_blobs(w);
    assert_int_equal(1, enclave->specialised);
    expect(w, "launching");
    /* While it starts, connections wait: so many and no more. */
    assert_int_equal(0, agent_instances_route(w->all, INSTANCE, 3, &socket, &splices, &err));
    assert_true(splices->waits);
    splices->count = 256;
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 3, &socket, &splices, &err));
    assert_int_equal(RD_E_DRAINING, err.code);
    splices->count = 0;
    serve(enclave);
    expect(w, "attesting serving");
    assert_true(w->last_has_evidence);
    assert_int_equal(0, agent_instances_route(w->all, INSTANCE, 3, &socket, &splices, &err));
    assert_false(splices->waits);
    assert_string_equal("/run/x.sock", socket);
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 2, &socket, &splices, &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);
    assert_int_equal(-1, agent_instances_route(w->all, OTHER, 3, &socket, &splices, &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);

    uint8_t nonce[32] = { 0 };
    assert_int_equal(0, agent_instances_renew(w->all, INSTANCE, 3, nonce, &err));
    assert_int_equal(-1, agent_instances_renew(w->all, INSTANCE, 2, nonce, &err));
    enclave->events->on_evidence(enclave->context, enclave, RD_BYTES_LIT("{fresh evidence}"));
    expect(w, "serving"); /* a renewal comes as one more report of serving */

    apply(w, INSTANCE, 3, RD_WANT_DRAIN);
    expect(w, "stopping:drain");
    assert_int_equal(1, enclave->drained);
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 3, &socket, &splices, &err));
    assert_int_equal(RD_E_DRAINING, err.code);
    enclave->events->on_drained(enclave->context, enclave);
    end(enclave, "exit 0");
    expect(w, "stopped");
    assert_int_equal(1, w->empty);
    assert_int_equal(0, agent_instances_used(w->all).slots);
    apply(w, INSTANCE, 3, RD_WANT_STOP); /* levels: nothing is left to do */
    expect(w, "");
}

static void test_endings(void **state)
{
    world *w = *state;
    start(w, false, false);
    put_blobs(w);
    /* fails by itself */
    apply(w, INSTANCE, 1, RD_WANT_RUN);
    phase(&pool.enclave[0], "failed", "head_time");
    expect(w, "launching failed:head_time");
    assert_int_equal(1, pool.enclave[0].stopped);
    end(&pool.enclave[0], "exit 1");
    expect(w, ""); /* failed is final */
    /* dies while serving */
    apply(w, INSTANCE, 2, RD_WANT_RUN);
    serve(&pool.enclave[1]);
    end(&pool.enclave[1], "signal 9");
    expect(w, "launching attesting serving failed:enclave_ended");
    /* a drain that does not end is stopped */
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    serve(&pool.enclave[2]);
    apply(w, INSTANCE, 3, RD_WANT_DRAIN);
    wait_for(w, &pool.enclave[2].stopped);
    end(&pool.enclave[2], "killed");
    expect(w, "launching attesting serving stopping:drain stopped");
    /* the blank does not take the job */
    pool.refuses_specialise = true;
    apply(w, INSTANCE, 4, RD_WANT_RUN);
    expect(w, "launching failed:unavailable");
    end(&pool.enclave[3], "killed");
    assert_int_equal(0, agent_instances_count(w->all));
    for (int i = 0; i < 4; i++)
        assert_int_equal(1, pool.enclave[i].forgotten);
}

static void test_before_there_is_an_enclave(void **state)
{
    world *w = *state;
    start(w, false, false);
    apply(w, INSTANCE, 1, RD_WANT_RUN); /* waits for blobs */
    apply(w, INSTANCE, 1, RD_WANT_STOP);
    expect(w, "stopped");
    put_blobs(w);
    assert_int_equal(0, pool.given);
    pool.waits = true;
    apply(w, INSTANCE, 2, RD_WANT_RUN); /* waits for a blank */
    apply(w, INSTANCE, 2, RD_WANT_STOP);
    expect(w, "stopped");
    assert_int_equal(1, pool.cancelled);
    pool.waits = false;
    pool.refuses = true;
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    expect(w, "refused:unavailable");
    apply(w, INSTANCE, 4, RD_WANT_STOP); /* never started here */
    expect(w, "stopped");
    assert_int_equal(0, agent_instances_used(w->all).cpu_m);
}

static void test_newer_epoch_replaces(void **state)
{
    world *w = *state;
    rd_err err = RD_ERR_INIT;
    const char *socket = NULL;
    agent_splices *splices = NULL;
    start(w, false, false);
    put_blobs(w);
    apply(w, INSTANCE, 1, RD_WANT_RUN);
    serve(&pool.enclave[0]);
    rd_buf_clear(&w->said);
    apply(w, INSTANCE, 2, RD_WANT_RUN);
    expect(w, "stopping:stop launching");
    assert_int_equal(1, pool.enclave[0].stopped);
    assert_int_equal(-1, agent_instances_route(w->all, INSTANCE, 1, &socket, &splices, &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);
    end(&pool.enclave[0], "exit 0");
    expect(w, "stopped");
    serve(&pool.enclave[1]);
    assert_int_equal(0, agent_instances_route(w->all, INSTANCE, 2, &socket, &splices, &err));
    assert_int_equal(1, agent_instances_count(w->all));
}

static void test_refusals(void **state)
{
    world *w = *state;
    start(w, false, false);
    put_blobs(w);
    agent_job job = job_of(INSTANCE, 1, RD_WANT_RUN);
    (void)snprintf(job.class_, sizeof job.class_, "hardware");
    agent_instances_apply(w->all, &job, RD_PHASE_NONE);
    expect(w, "refused:class_mismatch");
    apply(w, INSTANCE, 2, RD_WANT_RUN);
    apply(w, OTHER, 2, RD_WANT_RUN);
    expect(w, "launching launching");
    apply(w, "ins_aaaaaaaaaaaaaaaaaaaaaaaabi", 2, RD_WANT_RUN); /* two slots */
    expect(w, "refused:no_capacity");
    agent_job large = job_of("ins_aaaaaaaaaaaaaaaaaaaaaaaabm", 2, RD_WANT_RUN);
    large.memory_bytes = UINT64_MAX;
    agent_instances_apply(w->all, &large, RD_PHASE_NONE);
    expect(w, "refused:no_capacity");
    agent_instances_drain_all(w->all);
    rd_buf_clear(&w->said);
    apply(w, "ins_aaaaaaaaaaaaaaaaaaaaaaaabq", 2, RD_WANT_RUN);
    expect(w, "refused:draining");
}

/* What no owner signed gets no enclave, and the owner reads why. What this host has lost is its own fault. */
static void test_chain_before_launch(void **state)
{
    world *w = *state;
    start(w, false, false);
    chain.refused = RD_E_SIGNATURE;
    apply(w, INSTANCE, 1, RD_WANT_RUN);
    assert_int_equal(0, chain.checks); /* its documents are not here */
    put_blobs(w);
    assert_int_equal(1, chain.checks);
    expect(w, "failed:signature");
    assert_string_equal(INSTANCE " error not started: signature: on script\n", rd_buf_text(&w->logged));
    assert_int_equal(0, agent_instances_count(w->all));
    assert_int_equal(0, agent_instances_used(w->all).slots);
    rd_buf_clear(&w->logged);
    chain.refused = RD_E_NOT_FOUND;
    apply(w, INSTANCE, 2, RD_WANT_RUN);
    expect(w, "refused:not_found");
    assert_int_equal(0, w->logged.size);
    assert_int_equal(0, pool.given);
    chain.refused = RD_OK;
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    expect(w, "launching");
    assert_int_equal(3, chain.checks);
}

static agent_enclave *living(size_t at, const char *instance, uint64_t epoch, agent_enclave_state state)
{
    agent_enclave *enclave = &pool.enclave[at];
    (void)snprintf(enclave->instance, sizeof enclave->instance, "%s", instance);
    enclave->epoch = epoch;
    enclave->state = state;
    return enclave;
}

static void test_restart(void **state)
{
    static const struct {
        const char *name;
        rd_want want;
        rd_phase phase;
        bool lives; /* its enclave answered */
        agent_enclave_state state;
        const char *said;
        size_t count;
        int stopped, drained;
    } rows[] = {
        { "serves on", RD_WANT_RUN, RD_PHASE_SERVING, true, AGENT_ENCLAVE_SERVING, "", 1, 0, 0 },
        { "came to serve meanwhile", RD_WANT_RUN, RD_PHASE_LAUNCHING, true, AGENT_ENCLAVE_SERVING, "", 1, 0, 0 },
        { "still launching", RD_WANT_RUN, RD_PHASE_LAUNCHING, true, AGENT_ENCLAVE_LAUNCHING, "", 1, 0, 0 },
        { "died meanwhile", RD_WANT_RUN, RD_PHASE_SERVING, false, AGENT_ENCLAVE_ENDED, "failed:enclave_ended", 0, 0,
          0 },
        { "was never started", RD_WANT_RUN, RD_PHASE_NONE, false, AGENT_ENCLAVE_ENDED, "launching", 1, 0, 0 },
        { "is to stop", RD_WANT_STOP, RD_PHASE_SERVING, true, AGENT_ENCLAVE_SERVING, "stopping:stop", 1, 1, 0 },
        { "is to drain", RD_WANT_DRAIN, RD_PHASE_SERVING, true, AGENT_ENCLAVE_SERVING, "stopping:drain", 1, 0, 1 },
        { "was to stop and is gone", RD_WANT_STOP, RD_PHASE_STOPPING, false, AGENT_ENCLAVE_ENDED, "stopped", 0, 0, 0 },
        { "was over", RD_WANT_RUN, RD_PHASE_FAILED, false, AGENT_ENCLAVE_ENDED, "", 0, 0, 0 },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        world *w = *state;
        w->all = agent_instances_free(w->all);
        memset(&pool, 0, sizeof pool);
        rd_buf_clear(&w->said);
        start(w, false, true);
        put_blobs(w);
        agent_job job = job_of(INSTANCE, 3, rows[i].want);
        agent_instances_apply(w->all, &job, rows[i].phase);
        agent_enclave *enclave = living(3, INSTANCE, 3, rows[i].state);
        if (rows[i].lives)
            agent_instances_adopt(w->all, enclave);
        agent_instances_adopted(w->all);
        if (strcmp(rows[i].said, rd_buf_text(&w->said)) != 0)
            fail_msg("%s: said '%s'", rows[i].name, rd_buf_text(&w->said));
        if (agent_instances_count(w->all) != rows[i].count || enclave->stopped != rows[i].stopped ||
            enclave->drained != rows[i].drained || enclave->forgotten != 0)
            fail_msg("%s: count or treatment", rows[i].name);
        if (enclave->shared != (rows[i].lives ? 400u : 0u))
            fail_msg("%s: a share of %u", rows[i].name, enclave->shared);
        bool must_prove = rows[i].lives && rows[i].state == AGENT_ENCLAVE_SERVING && rows[i].phase != RD_PHASE_SERVING;
        if (enclave->renewed != (must_prove ? 1 : 0))
            fail_msg("%s: evidence was asked for %d times", rows[i].name, enclave->renewed);
        if (must_prove) { /* serving is said with evidence, not before */
            enclave->events->on_evidence(enclave->context, enclave, RD_BYTES_LIT("{evidence}"));
            expect(w, "serving");
            assert_true(w->last_has_evidence);
        }
        if (rows[i].lives && pool.given > 0)
            fail_msg("%s: launched twice", rows[i].name);
    }
}

static void test_unwanted_enclave_is_ended(void **state)
{
    world *w = *state;
    start(w, false, true);
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    agent_instances_adopt(w->all, living(0, INSTANCE, 2, AGENT_ENCLAVE_SERVING)); /* an older epoch */
    agent_instances_adopt(w->all, living(1, OTHER, 3, AGENT_ENCLAVE_SERVING));    /* no job */
    assert_int_equal(1, pool.enclave[0].forgotten);
    assert_int_equal(1, pool.enclave[1].forgotten);
    agent_instances_adopted(w->all);
}

/* Without a journal nobody knows what is wanted: what runs goes on until the plane says, and nothing new begins. */
static void test_lost_journal(void **state)
{
    world *w = *state;
    start(w, true, true);
    put_blobs(w);
    agent_instances_adopt(w->all, living(0, INSTANCE, 3, AGENT_ENCLAVE_SERVING));
    agent_instances_adopted(w->all);
    assert_int_equal(0, pool.enclave[0].forgotten);
    json_t *inventory = json_array();
    agent_instances_inventory(w->all, inventory);
    assert_int_equal(1, json_array_size(inventory));
    json_decref(inventory);
    expect(w, "");
    assert_int_equal(0, pool.enclave[0].renewed); /* no nonce before there is a job */
    apply(w, INSTANCE, 3, RD_WANT_RUN);
    assert_int_equal(0, pool.given);
    assert_int_equal(1, pool.enclave[0].renewed);
    assert_int_equal(400, agent_instances_used(w->all).cpu_m);
    assert_int_equal(400, pool.enclave[0].shared);
    pool.enclave[0].events->on_evidence(pool.enclave[0].context, &pool.enclave[0], RD_BYTES_LIT("{evidence}"));
    expect(w, "serving");
    assert_true(w->last_has_evidence);
    apply(w, OTHER, 1, RD_WANT_RUN);
    expect(w, "refused:spool_corrupt");
    apply(w, INSTANCE, 3, RD_WANT_STOP);
    expect(w, "stopping:stop");
    assert_int_equal(1, pool.enclave[0].stopped);
}

static int forgets;

static void on_forget(void *context, const char *instance, uint64_t epoch)
{
    (void)context;
    assert_string_equal(INSTANCE, instance);
    assert_int_equal(1, epoch);
    forgets++;
}

static void test_sweep(void **state)
{
    world *w = *state;
    start(w, false, false);
    put_blobs(w);
    apply(w, INSTANCE, 1, RD_WANT_STOP);
    apply(w, OTHER, 1, RD_WANT_RUN);
    agent_instances_sweep(w->all, 1000, on_forget, w);
    assert_int_equal(0, forgets);
    agent_instances_sweep(w->all, INT64_MAX, on_forget, w);
    assert_int_equal(1, forgets);
    assert_int_equal(1, agent_instances_count(w->all));
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_whole_life),
        ROW(test_endings),
        ROW(test_before_there_is_an_enclave),
        ROW(test_newer_epoch_replaces),
        ROW(test_refusals),
        ROW(test_chain_before_launch),
        ROW(test_restart),
        ROW(test_unwanted_enclave_is_ended),
        ROW(test_lost_journal),
        ROW(test_sweep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
