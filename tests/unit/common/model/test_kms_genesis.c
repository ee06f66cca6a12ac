#include "common/model/kms_genesis.h"

#include "tests/unit/common/model/samples_kms.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_kms_genesis genesis;
    return rd_kms_genesis_parse(bytes, &genesis, err);
}

#define HEX_32 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static const spoil rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "of an app", "/type", "\"redoubt/app-genesis/v1\"", RD_E_PURPOSE },
    { "class missing", "/class", NULL, RD_E_JSON_MISSING },
    { "class hardware with a simulation root", "/class", "\"hardware\"", RD_E_CLASS_MISMATCH },
    { "root of small order", "/root", "\"" B64_ZERO_32 "\"", RD_E_KEY_FORMAT },
    { "root missing", "/root", NULL, RD_E_JSON_MISSING },
    { "no builds", "/measurements", "[]", RD_E_JSON_RANGE },
    { "build twice", "/measurements/0", "{\"mrtd\":\"" HEX_96 "\"}", RD_E_JSON_RANGE },
    { "build too short", "/measurements/0/mrtd", "\"00\"", RD_E_ENCODING },
    { "build with more", "/measurements/0/x", "1", RD_E_JSON_UNKNOWN },
    { "no machines", "/platforms", "[]", RD_E_JSON_RANGE },
    { "machine twice", "/platforms/0", "\"" HEX_32 "\"", RD_E_JSON_RANGE },
    { "machine too short", "/platforms/0", "\"00\"", RD_E_ENCODING },
    { "machine a number", "/platforms/0", "1", RD_E_ENCODING },
    { "no replicas", "/replicas", "0", RD_E_JSON_RANGE },
    { "too many replicas", "/replicas", "8", RD_E_JSON_RANGE },
    { "quorum below the majority", "/quorum", "1", RD_E_JSON_RANGE },
    { "quorum above it", "/quorum", "3", RD_E_JSON_RANGE },
    { "no recovery (ok)", "/recovery", "null", RD_OK },
    { "recovery missing", "/recovery", NULL, RD_E_JSON_MISSING },
    { "recovery threshold 0", "/recovery/threshold", "0", RD_E_JSON_RANGE },
    { "recovery threshold above its keys", "/recovery/threshold", "4", RD_E_JSON_RANGE },
    { "no recovery keys", "/recovery/keys", "[]", RD_E_JSON_RANGE },
    { "a recovery key twice", "/recovery/keys/0", "\"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI\"", RD_E_JSON_RANGE },
    { "governance", "/governance/keys", "[\"" B64_ZERO_32 "\"]", RD_E_UNSUPPORTED },
    { "governance delay", "/governance/delay_s", "1", RD_E_UNSUPPORTED },
    { "log", "/log", "{}", RD_E_JSON_RANGE },
    { "witnesses", "/witnesses/quorum", "1", RD_E_UNSUPPORTED },
    { "no simulation root (ok)", "/sim_root", "null", RD_OK },
    { "simulation root too short", "/sim_root", "\"00\"", RD_E_ENCODING },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_kms_genesis genesis = sample_kms_genesis(&document);
    assert_int_equal(genesis.recovery_count, 3);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
}

static void test_round_trip_and_id(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_kms_genesis genesis = sample_kms_genesis(&document), read;
    rd_kms_id id, other;
    rd_err err = RD_ERR_INIT;
    rd_kms_genesis_id(rd_buf_bytes(&document), &id);
    assert_int_equal(rd_kms_genesis_open(rd_buf_bytes(&document), &id, &read, NULL), 0);
    assert_int_equal(rd_kms_genesis_encode(&read, &again, NULL), 0);
    assert_true(rd_bytes_equal(rd_buf_bytes(&document), rd_buf_bytes(&again)));
    assert_true(rd_kms_genesis_lists_platform(&read, genesis.platforms[0]));
    assert_true(rd_kms_genesis_lists_build(&read, genesis.measurements[0]));
    assert_false(rd_kms_genesis_lists_platform(&read, read.sim_root));

    /* Another recovery set is another KMS. */
    read.recovery_keys[0][0] ^= 1;
    rd_buf_clear(&again);
    assert_int_equal(rd_kms_genesis_encode(&read, &again, NULL), 0);
    rd_kms_genesis_id(rd_buf_bytes(&again), &other);
    assert_false(rd_kms_id_equal(&id, &other));
    assert_int_equal(rd_kms_genesis_open(rd_buf_bytes(&again), &id, &read, &err), -1);
    assert_int_equal(err.code, RD_E_KMS_UNKNOWN);
}

static void test_encode_refuses_what_parse_would(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_kms_genesis genesis = sample_kms_genesis(&document);
    genesis.class = RD_CLASS_HARDWARE;
    assert_int_equal(rd_kms_genesis_encode(&genesis, &again, NULL), -1);
    assert_int_equal(again.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_round_trip_and_id),
        cmocka_unit_test(test_encode_refuses_what_parse_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
