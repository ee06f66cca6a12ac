/* Instances that want a grant of a key service. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/lives_world.h"

/* An instance whose app has a key service, started and waiting for its grant. */
static agent_enclave *start_with_kms(world *w)
{
    agent_job job = job_of(INSTANCE, 3, RD_WANT_RUN);
    rd_digest digest;
    rd_err err = RD_ERR_INIT;
    job.has_kms = job.has_kms_blob = true;
    job.kms.b[0] = 7;
    rd_sha256(RD_BYTES_LIT("kms genesis"), job.kms_blob.b);
    start(w, false, false);
    put_blobs(w);
    agent_instances_apply(w->all, &job, RD_PHASE_NONE);
    assert_int_equal(0, pool.enclave[0].specialised); /* the genesis of the key service is missing */
    rd_sha256(RD_BYTES_LIT("kms genesis"), digest.b);
    assert_int_equal(0, agent_blobs_put(w->blobs, &digest, RD_BYTES_LIT("kms genesis"), &err));
    agent_instances_blob_arrived(w->all);
    assert_int_equal(1, pool.enclave[0].specialised);
    assert_true(pool.enclave[0].has_kms);
    return &pool.enclave[0];
}

static void wish(agent_enclave *enclave, rd_bytes bundle)
{
    enclave->events->on_grant_wanted(enclave->context, enclave, bundle, RD_BYTES_NULL);
}

static void test_grant_is_wished_for_and_given(void **state)
{
    world *w = *state;
    agent_enclave *enclave = start_with_kms(w);
    agent_grant_wish seen;
    const uint8_t nonce[32] = { 1 };
    rd_err err = RD_ERR_INIT;
    rd_digest set;
    rd_kms_id kms = { { 7 } };
    rd_kms_set_digest(&kms, 1, &set);
    assert_memory_equal(set.b, enclave->header + 64, 32);
    assert_false(agent_instances_next_grant(w->all, 0, &seen));
    wish(enclave, RD_BYTES_NULL);
    assert_true(agent_instances_next_grant(w->all, 0, &seen));
    assert_int_equal(0, seen.bundle.size);
    uint64_t first = seen.serial;
    assert_int_equal(0, agent_instances_grant_nonce(w->all, INSTANCE, 3, nonce, RD_BYTES_LIT("head"), &err));
    assert_int_equal(1, enclave->nonces);
    assert_false(agent_instances_next_grant(w->all, 0, &seen));
    wish(enclave, RD_BYTES_LIT("evidence"));
    assert_true(agent_instances_next_grant(w->all, first, &seen));
    assert_int_equal(8, seen.bundle.size);
    assert_int_equal(0, seen.webhook.size);
    enclave->events->on_grant_wanted(enclave->context, enclave, RD_BYTES_LIT("evidence"), RD_BYTES_LIT("yes"));
    assert_true(agent_instances_next_grant(w->all, seen.serial, &seen));
    assert_true(rd_bytes_equal(seen.webhook, RD_BYTES_LIT("yes")));
    wish(enclave, RD_BYTES_LIT("evidence")); /* a later wish has no part of the one before */
    assert_true(agent_instances_next_grant(w->all, seen.serial, &seen));
    assert_int_equal(0, seen.webhook.size);
    assert_int_equal(-1, agent_instances_grant(w->all, INSTANCE, 2, RD_BYTES_LIT("grant"), &err));
    assert_int_equal(RD_E_EPOCH_STALE, err.code);
    assert_int_equal(0, enclave->grants);
    assert_int_equal(0, agent_instances_grant(w->all, INSTANCE, 3, RD_BYTES_LIT("grant"), &err));
    assert_int_equal(1, enclave->grants);
}

static void test_refusal_fails_what_has_not_served(void **state)
{
    world *w = *state;
    agent_enclave *enclave = start_with_kms(w);
    rd_err err = RD_ERR_INIT;
    wish(enclave, RD_BYTES_LIT("evidence"));
    assert_int_equal(0, agent_instances_grant_refused(w->all, INSTANCE, 3, "head_rollback", "older", &err));
    expect(w, "launching failed:head_rollback");
}

static void test_refusal_of_a_renewal_changes_nothing(void **state)
{
    world *w = *state;
    agent_enclave *enclave = start_with_kms(w);
    agent_grant_wish seen;
    rd_err err = RD_ERR_INIT;
    serve(enclave);
    wish(enclave, RD_BYTES_LIT("evidence"));
    assert_int_equal(0, agent_instances_grant_refused(w->all, INSTANCE, 3, "head_rollback", "older", &err));
    expect(w, "launching attesting serving");
    assert_false(agent_instances_next_grant(w->all, 0, &seen));
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_grant_is_wished_for_and_given),
        ROW(test_refusal_fails_what_has_not_served),
        ROW(test_refusal_of_a_renewal_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
