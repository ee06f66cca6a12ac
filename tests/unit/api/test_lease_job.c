#include "api/lease_job.h"

#include "common/base/mem.h"
#include "common/model/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t key[API_PLANE_KEY_SIZE] = { 1, 2, 3 };
#define HOST "hst_aaaaaaaaaaaaaaaaaaaaaaaaaa"

static api_lease_job sample(void)
{
    return (api_lease_job){ .era = 1,
                            .seq = ((uint64_t)1 << 40) + 7,
                            .prev = 0,
                            .instance = { { 9 } },
                            .epoch = ((uint64_t)1 << 40) + 3,
                            .want = RD_WANT_RUN,
                            .class = RD_CLASS_SIMULATED,
                            .cpu_m = 100,
                            .memory_bytes = 1 << 20 };
}

static void mac_of(const api_lease_job *job, const char *host, char out[64])
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(api_lease_job_encode(job, host, key, &text, &err), 0);
    json_t *object = json_loadb((const char *)text.data, text.size, 0, NULL);
    assert_non_null(object);
    snprintf(out, 64, "%s", json_string_value(json_object_get(object, "mac")));
    assert_int_equal(json_object_get(object, "blobs") != NULL, job->want == RD_WANT_RUN);
    json_decref(object);
}

/* Every field, the host and the number are under the MAC: changing one changes it. */
static void mac_covers_everything(void **state)
{
    (void)state;
    api_lease_job jobs[13];
    for (size_t i = 0; i < RD_ARRAY_LEN(jobs); i++)
        jobs[i] = sample();
    jobs[1].era = 2;
    jobs[2].seq++;
    jobs[3].prev = 5;
    jobs[4].instance.b[0]++;
    jobs[5].epoch++;
    jobs[6].want = RD_WANT_STOP;
    jobs[7].app.b[31]++;
    jobs[8].release.b[0]++;
    jobs[9].class = RD_CLASS_HARDWARE;
    jobs[10].cpu_m++;
    jobs[11].nonce[31]++;
    jobs[12].code_blob.b[0]++;
    char macs[RD_ARRAY_LEN(jobs) + 1][64];
    for (size_t i = 0; i < RD_ARRAY_LEN(jobs); i++)
        mac_of(&jobs[i], HOST, macs[i]);
    mac_of(&jobs[0], "hst_baaaaaaaaaaaaaaaaaaaaaaaaa", macs[RD_ARRAY_LEN(jobs)]);
    for (size_t i = 0; i <= RD_ARRAY_LEN(jobs); i++) {
        assert_int_equal(strlen(macs[i]), 43);
        for (size_t k = 0; k < i; k++)
            if (strcmp(macs[i], macs[k]) == 0)
                fail_msg("jobs %zu and %zu have one MAC", i, k);
    }
}

static void nonce_is_of_instance_epoch_and_time(void **state)
{
    (void)state;
    const int64_t minute_us = 60000000, now_us = INT64_C(1800000000) * 1000000;
    rd_id instance = { { 1 } }, other = { { 2 } };
    uint8_t nonce[API_NONCE_SIZE];
    api_nonce_make(key, &instance, 5, now_us, nonce);
    assert_true(api_nonce_is_fresh(key, &instance, 5, now_us, nonce));
    assert_true(api_nonce_is_fresh(key, &instance, 5, now_us + (API_NONCE_WINDOWS - 1) * minute_us, nonce));
    assert_false(api_nonce_is_fresh(key, &instance, 5, now_us + API_NONCE_WINDOWS * minute_us, nonce));
    assert_false(api_nonce_is_fresh(key, &instance, 5, now_us - minute_us, nonce));
    assert_false(api_nonce_is_fresh(key, &other, 5, now_us, nonce));
    assert_false(api_nonce_is_fresh(key, &instance, 6, now_us, nonce));
    uint8_t other_key[API_PLANE_KEY_SIZE] = { 9 };
    assert_false(api_nonce_is_fresh(other_key, &instance, 5, now_us, nonce));
    nonce[0] ^= 1;
    assert_false(api_nonce_is_fresh(key, &instance, 5, now_us, nonce));
}

static void hints(void **state)
{
    (void)state;
    static const struct {
        uint64_t sent, prev, seq;
        api_hint want;
    } hint_rows[] = {
        { 5, 5, 6, API_HINT_NEXT }, { 5, 5, 9, API_HINT_NEXT },   { 5, 4, 5, API_HINT_OLD },
        { 5, 0, 1, API_HINT_OLD },  { 5, 6, 7, API_HINT_RESYNC }, { 5, 4, 7, API_HINT_RESYNC },
        { 0, 0, 1, API_HINT_NEXT },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(hint_rows); i++)
        assert_int_equal(api_hint_judge(hint_rows[i].sent, hint_rows[i].prev, hint_rows[i].seq), hint_rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mac_covers_everything),
        cmocka_unit_test(nonce_is_of_instance_epoch_and_time),
        cmocka_unit_test(hints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
