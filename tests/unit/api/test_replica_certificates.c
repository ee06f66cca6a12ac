/* A few certificates by key service and replica: found again, replaced, bounded. */
#include "api/replica_certificates.h"

#include "tests/unit/common/model/samples_kms.h"

static void note(api_replica_certificates *all, uint8_t kms, uint8_t replica, const char *text)
{
    const rd_kms_id id = { { kms } };
    const rd_public_key key = { { replica } };
    api_replica_certificates_note(all, &id, &key, rd_bytes_str(text));
}

static bool is_known(const api_replica_certificates *all, uint8_t kms, uint8_t replica, const char *text)
{
    const rd_kms_id id = { { kms } };
    const rd_public_key key = { { replica } };
    return rd_bytes_equal(api_replica_certificates_find(all, &id, &key), rd_bytes_str(text));
}

static void test_by_service_and_replica(void **state RD_UNUSED)
{
    RD_CLEANUP(api_replica_certificates_done) api_replica_certificates all = { .count = 0 };
    assert_true(is_known(&all, 1, 1, ""));
    note(&all, 1, 1, "first");
    note(&all, 1, 2, "second");
    assert_true(is_known(&all, 1, 1, "first") && is_known(&all, 1, 2, "second"));
    assert_true(is_known(&all, 2, 1, "")); /* the same key in another key service's name */
    note(&all, 1, 1, "renewed");
    assert_true(is_known(&all, 1, 1, "renewed"));
    assert_int_equal(all.count, 2);
}

static void test_bounded(void **state RD_UNUSED)
{
    RD_CLEANUP(api_replica_certificates_done) api_replica_certificates all = { .count = 0 };
    for (uint8_t i = 0; i < API_REPLICA_CERTIFICATES_MAX + 2; i++)
        note(&all, 1, i, "known");
    assert_int_equal(all.count, API_REPLICA_CERTIFICATES_MAX);
    for (uint8_t i = 0; i < API_REPLICA_CERTIFICATES_MAX + 2; i++)
        assert_true(is_known(&all, 1, i, i < 2 ? "" : "known"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_by_service_and_replica), cmocka_unit_test(test_bounded) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
