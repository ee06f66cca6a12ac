#include "common/model/statement.h"

#include "tests/unit/common/model/samples.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_statement statement;
    return rd_statement_parse(bytes, &statement, err);
}

#define KMS_A "\"kms_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""
#define KMS_B "\"kms_baaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""

static const spoil rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "purpose missing", "/purpose", NULL, RD_E_JSON_MISSING },
    { "purpose unknown", "/purpose", "\"prove\"", RD_E_JSON_RANGE },
    { "purpose empty", "/purpose", "\"\"", RD_E_JSON_RANGE },
    { "purpose client (ok)", "/purpose", "\"client\"", RD_OK },
    { "purpose blank with members", "/purpose", "\"blank\"", RD_E_PURPOSE },
    { "purpose enrol with members", "/purpose", "\"enrol\"", RD_E_PURPOSE },
    { "purpose app without user", "/purpose", "\"app\"", RD_E_PURPOSE },
    { "purpose grant without its key", "/purpose", "\"grant\"", RD_E_PURPOSE },
    { "purpose kms with an app", "/purpose", "\"kms\"", RD_E_PURPOSE },
    { "purpose channel without one", "/purpose", "\"channel\"", RD_E_PURPOSE },
    { "class missing", "/class", NULL, RD_E_JSON_MISSING },
    { "class unknown", "/class", "\"x\"", RD_E_JSON_RANGE },
    { "I4 nonce missing", "/nonce", NULL, RD_E_JSON_MISSING },
    { "nonce null", "/nonce", "null", RD_E_JSON_TYPE },
    { "nonce of 16 bytes", "/nonce", "\"AAAAAAAAAAAAAAAAAAAAAA\"", RD_E_ENCODING },
    { "nonce with unused bits", "/nonce", "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\"", RD_E_ENCODING },
    { "app missing", "/app", NULL, RD_E_JSON_MISSING },
    { "app null under status", "/app", "null", RD_E_PURPOSE },
    { "release null under status", "/release", "null", RD_E_PURPOSE },
    { "head null under status", "/head", "null", RD_E_PURPOSE },
    { "instance null under status", "/instance", "null", RD_E_PURPOSE },
    { "instance of another prefix", "/instance", "\"dep_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_ID_FORMAT },
    { "epoch missing", "/epoch", NULL, RD_E_JSON_MISSING },
    { "epoch negative", "/epoch", "-1", RD_E_JSON_RANGE },
    { "epoch largest (ok)", "/epoch", "9007199254740991", RD_OK },
    { "kms that is none", "/kms", "[\"x\"]", RD_E_ID_FORMAT },
    { "kms a number", "/kms", "[1]", RD_E_JSON_TYPE },
    { "kms of one (ok)", "/kms", "[" KMS_A "]", RD_OK },
    { "kms of two (ok)", "/kms", "[" KMS_A "," KMS_B "]", RD_OK },
    { "kms of three", "/kms", "[" KMS_A "," KMS_B "," KMS_A "]", RD_E_JSON_RANGE },
    { "kms twice", "/kms", "[" KMS_A "," KMS_A "]", RD_E_JSON_RANGE },
    { "keys missing", "/keys", NULL, RD_E_JSON_MISSING },
    { "keys with more", "/keys/x", "null", RD_E_JSON_UNKNOWN },
    { "receipt key missing", "/keys/receipt", NULL, RD_E_JSON_MISSING },
    { "receipt key null under status", "/keys/receipt", "null", RD_E_PURPOSE },
    { "receipt key of small order", "/keys/receipt", "\"" B64_ZERO_32 "\"", RD_E_KEY_FORMAT },
    { "grant key under status", "/keys/grant", "\"" B64_ZERO_32 "\"", RD_E_PURPOSE },
    { "grant key too short", "/keys/grant", "\"AAAA\"", RD_E_ENCODING },
    { "ohttp keys missing", "/keys/ohttp", NULL, RD_E_JSON_MISSING },
    { "ohttp keys null (ok)", "/keys/ohttp", "null", RD_OK },
    { "ohttp keys of 16 bytes", "/keys/ohttp", "\"AAAAAAAAAAAAAAAAAAAAAA\"", RD_E_ENCODING },
    { "tls null (ok)", "/keys/tls", "null", RD_OK },
    { "chain key missing", "/keys/chain", NULL, RD_E_JSON_MISSING },
    { "channel without members", "/channel", "{}", RD_E_JSON_MISSING },
    { "channel under status", "/channel", "{\"type\":\"tls-exporter\",\"value\":\"" B64_ZERO_32 "\"}", RD_E_PURPOSE },
    { "channel missing", "/channel", NULL, RD_E_JSON_MISSING },
    { "user under status", "/user", "\"" B64_ZERO_32 "\"", RD_E_PURPOSE },
    { "user missing", "/user", NULL, RD_E_JSON_MISSING },
    { "log, not yet", "/log", "{}", RD_E_JSON_RANGE },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_statement statement = sample_statement(RD_PURPOSE_STATUS);
    assert_int_equal(rd_statement_encode(&statement, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
}

static const spoil enrol_rows[] = {
    { "with an app", "/app", "\"app_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_PURPOSE },
    { "with an epoch", "/epoch", "1", RD_E_PURPOSE },
    { "without tls", "/keys/tls", "null", RD_E_PURPOSE },
    { "with ohttp keys", "/keys/ohttp", "\"" B64_ZERO_32 "\"", RD_E_PURPOSE },
    { "with an instance", "/instance", "\"ins_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_PURPOSE },
    { "as blank", "/purpose", "\"blank\"", RD_E_PURPOSE },
    { "as status", "/purpose", "\"status\"", RD_E_PURPOSE },
};

static void test_enrol(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_statement statement = sample_statement(RD_PURPOSE_ENROL);
    assert_int_equal(rd_statement_encode(&statement, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse, enrol_rows, RD_ARRAY_LEN(enrol_rows));
}

/* A statement made for one question answers no other. */
static const spoil grant_rows[] = {
    { "as status", "/purpose", "\"status\"", RD_E_PURPOSE },
    { "as client", "/purpose", "\"client\"", RD_E_PURPOSE },
    { "as app", "/purpose", "\"app\"", RD_E_PURPOSE },
    { "as kms", "/purpose", "\"kms\"", RD_E_PURPOSE },
    { "as join", "/purpose", "\"join\"", RD_E_PURPOSE },
    { "as blank", "/purpose", "\"blank\"", RD_E_PURPOSE },
    { "without a KMS", "/kms", "[]", RD_E_PURPOSE },
    { "without its key", "/keys/grant", "null", RD_E_PURPOSE },
    { "without receipts", "/keys/receipt", "null", RD_E_PURPOSE },
    { "without a head", "/head", "null", RD_E_PURPOSE },
    { "with user", "/user", "\"" B64_ZERO_32 "\"", RD_E_PURPOSE },
};

static const spoil join_rows[] = {
    { "as admit", "/purpose", "\"admit\"", RD_E_PURPOSE }, { "as kms", "/purpose", "\"kms\"", RD_E_PURPOSE },
    { "as grant", "/purpose", "\"grant\"", RD_E_PURPOSE }, { "of another KMS", "/kms", "[" KMS_A "]", RD_E_PURPOSE },
    { "without user", "/user", "null", RD_E_PURPOSE },     { "without a key", "/keys/grant", "null", RD_E_PURPOSE },
    { "with an epoch", "/epoch", "1", RD_E_PURPOSE },
};

static void test_grant_and_join(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_statement statement = sample_statement(RD_PURPOSE_GRANT);
    assert_int_equal(rd_statement_encode(&statement, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse, grant_rows, RD_ARRAY_LEN(grant_rows));
    rd_buf_clear(&document);
    statement = sample_statement(RD_PURPOSE_JOIN);
    assert_int_equal(rd_statement_encode(&statement, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse, join_rows, RD_ARRAY_LEN(join_rows));
}

static const spoil channel_rows[] = {
    { "as client", "/purpose", "\"client\"", RD_E_PURPOSE },
    { "as status", "/purpose", "\"status\"", RD_E_PURPOSE },
    { "as app", "/purpose", "\"app\"", RD_E_PURPOSE },
    { "without its key", "/keys/tls", "null", RD_E_PURPOSE },
    { "without the channel", "/channel", "null", RD_E_PURPOSE },
    { "of another type", "/channel/type", "\"tls-unique\"", RD_E_JSON_RANGE },
    { "of no type", "/channel/type", NULL, RD_E_JSON_MISSING },
    { "of no value", "/channel/value", NULL, RD_E_JSON_MISSING },
    { "with a null value", "/channel/value", "null", RD_E_JSON_TYPE },
    { "of 16 bytes", "/channel/value", "\"AAAAAAAAAAAAAAAAAAAAAA\"", RD_E_ENCODING },
    { "with more", "/channel/x", "1", RD_E_JSON_UNKNOWN },
    { "with user", "/user", "\"" B64_ZERO_32 "\"", RD_E_PURPOSE },
    { "with a grant key", "/keys/grant", "\"" B64_ZERO_32 "\"", RD_E_PURPOSE },
};

static void test_channel(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_statement statement = sample_statement(RD_PURPOSE_CHANNEL);
    assert_int_equal(rd_statement_encode(&statement, &document, NULL), 0);
    run_spoils(rd_buf_bytes(&document), parse, channel_rows, RD_ARRAY_LEN(channel_rows));
}

static void test_round_trip(void **state RD_UNUSED)
{
    static const rd_purpose purposes[] = { RD_PURPOSE_BLANK, RD_PURPOSE_ENROL,  RD_PURPOSE_STATUS, RD_PURPOSE_CLIENT,
                                           RD_PURPOSE_APP,   RD_PURPOSE_GRANT,  RD_PURPOSE_KMS,    RD_PURPOSE_JOIN,
                                           RD_PURPOSE_ADMIT, RD_PURPOSE_CHANNEL };
    for (size_t i = 0; i < RD_ARRAY_LEN(purposes); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
        rd_statement statement = sample_statement(purposes[i]);
        rd_statement read;
        assert_int_equal(rd_statement_encode(&statement, &document, NULL), 0);
        assert_int_equal(rd_statement_parse(rd_buf_bytes(&document), &read, NULL), 0);
        assert_int_equal(read.purpose, purposes[i]);
        assert_int_equal(rd_statement_encode(&read, &again, NULL), 0);
        assert_true(rd_bytes_equal(rd_buf_bytes(&document), rd_buf_bytes(&again)));
    }
}

static void test_encode_refuses_what_parse_would(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_statement statement = sample_statement(RD_PURPOSE_STATUS);
    statement.has_head = false;
    assert_int_equal(rd_statement_encode(&statement, &document, &err), -1);
    assert_int_equal(err.code, RD_E_PURPOSE);
    assert_int_equal(document.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),        cmocka_unit_test(test_enrol),
        cmocka_unit_test(test_grant_and_join), cmocka_unit_test(test_channel),
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_encode_refuses_what_parse_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
