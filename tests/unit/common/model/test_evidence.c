#include "common/model/evidence.h"

#include "tests/unit/common/model/samples.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_evidence evidence;
    int outcome = rd_evidence_parse(bytes, &evidence, err);
    if (outcome == 0) {
        uint8_t rtmr3[RD_RTMR_SIZE];
        outcome = rd_evidence_check_log(&evidence, rtmr3, err);
    }
    rd_evidence_done(&evidence);
    return outcome;
}

static void header_of(const rd_statement *statement, uint8_t out[RD_LAUNCH_HEADER_SIZE])
{
    rd_launch_header header = { .app = statement->app, .release = statement->release };
    rd_kms_set_digest(statement->kms, statement->kms_count, &header.kms_set);
    rd_launch_header_encode(&header, out);
    if (!statement->has_app && statement->kms_count > 0)
        rd_kms_launch_header(&statement->kms[0], statement->purpose == RD_PURPOSE_JOIN, out);
}

static void make(rd_purpose purpose, bool has_log, rd_buf *out)
{
    const rd_nonce_path path = { .siblings = { sample_digest(1), sample_digest(2) }, .count = 2, .sides = 2 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_statement statement = sample_statement(purpose);
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    header_of(&statement, header);
    assert_int_equal(rd_statement_encode(&statement, &text, NULL), 0);
    assert_int_equal(rd_evidence_encode(RD_BYTES_LIT("a quote"), rd_buf_bytes(&text), has_log ? header : NULL,
                                        rd_purpose_shares_quotes(purpose) ? &path : NULL, out, NULL),
                     0);
}

static const spoil rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "other format", "/format", "\"snp-report\"", RD_E_JSON_RANGE },
    { "format missing", "/format", NULL, RD_E_JSON_MISSING },
    { "quote empty", "/quote", "\"\"", RD_E_JSON_RANGE },
    { "quote missing", "/quote", NULL, RD_E_JSON_MISSING },
    { "quote with white space", "/quote", "\"AA AA\"", RD_E_ENCODING },
    { "quote with padding", "/quote", "\"AA==\"", RD_E_ENCODING },
    { "statement missing", "/statement", NULL, RD_E_JSON_MISSING },
    { "statement not JSON", "/statement", "\"eHg\"", RD_E_JSON_SYNTAX },
    { "statement empty object", "/statement", "\"e30\"", RD_E_JSON_MISSING },
    { "statement not canonical", "/statement", "\"eyB9\"", RD_E_NOT_CANONICAL },
    { "log missing", "/event_log", NULL, RD_E_JSON_MISSING },
    { "log empty", "/event_log", "[]", RD_E_EVENTLOG },
    { "second event missing", "/event_log/1", NULL, RD_E_EVENTLOG },
    { "first event missing", "/event_log/0", NULL, RD_E_EVENTLOG },
    { "event of another register", "/event_log/0/register", "2", RD_E_JSON_RANGE },
    { "event with more", "/event_log/0/x", "1", RD_E_JSON_UNKNOWN },
    { "event renamed", "/event_log/0/event", "\"redoubt.apq\"", RD_E_EVENTLOG },
    { "event name empty", "/event_log/0/event", "\"\"", RD_E_JSON_RANGE },
    { "payload emptied", "/event_log/0/payload", "\"\"", RD_E_EVENTLOG },
    { "payload in closed", "/event_log/1/payload", "\"AA\"", RD_E_EVENTLOG },
    { "digest of another", "/event_log/0/digest", "\"" HEX_96 "\"", RD_E_EVENTLOG },
    { "digest too short", "/event_log/0/digest", "\"00\"", RD_E_ENCODING },
    { "digest missing", "/event_log/0/digest", NULL, RD_E_JSON_MISSING },
};

#define DIGEST     "\"sha256:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\""
#define DIGESTS_5  DIGEST "," DIGEST "," DIGEST "," DIGEST "," DIGEST
#define DIGESTS_20 DIGESTS_5 "," DIGESTS_5 "," DIGESTS_5 "," DIGESTS_5

/* I2 : a path of no form. */
static const spoil path_rows[] = {
    { "path missing", "/nonce_path", NULL, RD_E_JSON_MISSING },
    { "path null", "/nonce_path", "null", RD_E_JSON_TYPE },
    { "path with more", "/nonce_path/count", "2", RD_E_JSON_UNKNOWN },
    { "empty path (ok)", "/nonce_path", "{\"siblings\":[],\"sides\":0}", RD_OK },
    { "20 siblings (ok)", "/nonce_path", "{\"siblings\":[" DIGESTS_20 "],\"sides\":1048575}", RD_OK },
    { "21 siblings", "/nonce_path/siblings", "[" DIGESTS_20 "," DIGEST "]", RD_E_JSON_RANGE },
    { "sides of 21 siblings", "/nonce_path/sides", "1048576", RD_E_JSON_RANGE },
    { "sides of three siblings", "/nonce_path/sides", "4", RD_E_JSON_RANGE },
    { "sides of one, and none there", "/nonce_path", "{\"siblings\":[],\"sides\":1}", RD_E_JSON_RANGE },
    { "sides below zero", "/nonce_path/sides", "-1", RD_E_JSON_RANGE },
    { "sides missing", "/nonce_path/sides", NULL, RD_E_JSON_MISSING },
    { "siblings missing", "/nonce_path/siblings", NULL, RD_E_JSON_MISSING },
    { "sibling of another form", "/nonce_path/siblings/0", "\"AAAA\"", RD_E_ENCODING },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf shared = { 0 };
    static const spoil path_alone = { "path where none is", "/nonce_path", "{\"siblings\":[],\"sides\":0}",
                                      RD_E_JSON_UNKNOWN };
    make(RD_PURPOSE_STATUS, true, &document);
    make(RD_PURPOSE_CLIENT, true, &shared);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_spoils(rd_buf_bytes(&document), parse, &path_alone, 1);
    run_spoils(rd_buf_bytes(&shared), parse, path_rows, RD_ARRAY_LEN(path_rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
    run_form_spoils(rd_buf_bytes(&shared), parse);
}

static rd_evidence read_sample(rd_purpose purpose, bool has_log)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_evidence evidence;
    make(purpose, has_log, &document);
    assert_int_equal(rd_evidence_parse(rd_buf_bytes(&document), &evidence, NULL), 0);
    return evidence;
}

static void test_whose_nonce_it_answers(void **state RD_UNUSED)
{
    const uint8_t nonce[RD_NONCE_SIZE] = { 1 }, other[RD_NONCE_SIZE] = { 2 };
    rd_evidence status = read_sample(RD_PURPOSE_STATUS, true), client = read_sample(RD_PURPOSE_CLIENT, true);
    memcpy(status.statement.nonce, nonce, sizeof nonce);
    assert_true(rd_evidence_answers(&status, nonce));
    assert_false(rd_evidence_answers(&status, other));
    assert_int_equal(client.nonce_path.count, 2);
    assert_int_equal(client.nonce_path.sides, 2);
    rd_nonce_path_root(&client.nonce_path, nonce, client.statement.nonce);
    assert_true(rd_evidence_answers(&client, nonce));
    assert_false(rd_evidence_answers(&client, other));
    assert_false(rd_evidence_answers(&client, client.statement.nonce)); /* the root is nobody's nonce */
    memcpy(client.statement.nonce, nonce, sizeof nonce);
    assert_false(rd_evidence_answers(&client, nonce)); /* nor a nonce a root */
    rd_evidence_done(&status);
    rd_evidence_done(&client);
}

static void expect_log_refused(rd_evidence *evidence, const char *name)
{
    uint8_t rtmr3[RD_RTMR_SIZE];
    rd_err err = RD_ERR_INIT;
    if (rd_evidence_check_log(evidence, rtmr3, &err) == 0 || err.code != RD_E_EVENTLOG)
        fail_msg("%s is accepted", name);
    rd_evidence_done(evidence);
}

static void test_logs_that_do_not_fit(void **state RD_UNUSED)
{
    rd_evidence evidence = read_sample(RD_PURPOSE_STATUS, true);
    evidence.events[2] = evidence.events[1];
    evidence.events_count = 3;
    expect_log_refused(&evidence, "an event after closed");
    evidence = read_sample(RD_PURPOSE_STATUS, true);
    evidence.events[1] = evidence.events[0];
    expect_log_refused(&evidence, "a second app");
    evidence = read_sample(RD_PURPOSE_STATUS, true);
    rd_event first = evidence.events[0];
    evidence.events[0] = evidence.events[1];
    evidence.events[1] = first;
    expect_log_refused(&evidence, "closed before app");
    evidence = read_sample(RD_PURPOSE_STATUS, true);
    evidence.statement.app.b[0] ^= 1;
    expect_log_refused(&evidence, "header of another app");
    evidence = read_sample(RD_PURPOSE_STATUS, true);
    evidence.statement.release.b[31] ^= 1;
    expect_log_refused(&evidence, "header of another release");
    evidence = read_sample(RD_PURPOSE_STATUS, true);
    evidence.events[0].payload[95] ^= 1;
    expect_log_refused(&evidence, "header of another KMS set");
    evidence = read_sample(RD_PURPOSE_GRANT, true);
    evidence.statement.kms[0].b[0] ^= 1;
    expect_log_refused(&evidence, "statement of another KMS set");
    evidence = read_sample(RD_PURPOSE_KMS, true);
    evidence.statement.kms[0].b[0] ^= 1;
    expect_log_refused(&evidence, "statement of another KMS");
    evidence = read_sample(RD_PURPOSE_KMS, true);
    evidence.events[0].payload[0] = 1;
    expect_log_refused(&evidence, "an app that speaks for a KMS");
    evidence = read_sample(RD_PURPOSE_STATUS, true);
    evidence.events[0].payload_size = 95;
    expect_log_refused(&evidence, "short header");
    evidence = read_sample(RD_PURPOSE_STATUS, true);
    evidence.statement.purpose = RD_PURPOSE_ENROL;
    expect_log_refused(&evidence, "log under purpose enrol");
    evidence = read_sample(RD_PURPOSE_STATUS, false);
    expect_log_refused(&evidence, "no log under purpose status");
}

static void test_replay(void **state RD_UNUSED)
{
    static const rd_purpose launched[] = { RD_PURPOSE_STATUS, RD_PURPOSE_CLIENT, RD_PURPOSE_APP,   RD_PURPOSE_GRANT,
                                           RD_PURPOSE_KMS,    RD_PURPOSE_JOIN,   RD_PURPOSE_ADMIT, RD_PURPOSE_CHANNEL };
    uint8_t rtmr3[RD_RTMR_SIZE], want[RD_RTMR_SIZE], header[RD_LAUNCH_HEADER_SIZE];
    for (size_t i = 0; i < RD_ARRAY_LEN(launched); i++) {
        rd_evidence evidence = read_sample(launched[i], true);
        header_of(&evidence.statement, header);
        rd_rtmr3_of_launch(header, want);
        assert_int_equal(rd_evidence_check_log(&evidence, rtmr3, NULL), 0);
        assert_memory_equal(rtmr3, want, sizeof want);
        rd_event_log_replay(evidence.events, evidence.events_count, 2, rtmr3);
        memset(want, 0, sizeof want);
        assert_memory_equal(rtmr3, want, sizeof want);
        rd_evidence_done(&evidence);
    }
    for (int is_enrol = 0; is_enrol < 2; is_enrol++) {
        rd_evidence evidence = read_sample(is_enrol ? RD_PURPOSE_ENROL : RD_PURPOSE_BLANK, false);
        memset(want, 0, sizeof want);
        assert_int_equal(rd_evidence_check_log(&evidence, rtmr3, NULL), 0);
        assert_memory_equal(rtmr3, want, sizeof want);
        rd_evidence_done(&evidence);
    }
}

/* Made with Python's hashlib from docs/protocol/formats.md. */
static void test_values_of_another_implementation(void **state RD_UNUSED)
{
    uint8_t header[RD_LAUNCH_HEADER_SIZE], rtmr3[RD_RTMR_SIZE];
    char text[2 * RD_RTMR_SIZE + 1];
    for (size_t i = 0; i < sizeof header; i++)
        header[i] = (uint8_t)i;
    rd_rtmr3_of_launch(header, rtmr3);
    rd_hex_encode(RD_BYTES_ARRAY(rtmr3), text);
    assert_string_equal(
        text, "09bd9e9410bb92ab67347ee24651cd0794914843e9659857bc88e80b45406ef474fe9c5fc34c7fe88231a6006b4b86af");
    rd_digest kms_set;
    rd_kms_id ids[2];
    for (uint8_t i = 0; i < 2; i++) {
        rd_digest digest = sample_digest((uint8_t)(i + 1));
        memcpy(ids[i].b, digest.b, sizeof ids[i].b);
    }
    char digest_text[RD_DIGEST_TEXT_SIZE];
    rd_kms_set_digest(ids, 2, &kms_set);
    rd_digest_format(&kms_set, digest_text);
    assert_string_equal(digest_text, "sha256:6fe1d27f6c27327bd733d1c32fb9cac880ff428a97679ea8cc5640def7f86919");
}

static void test_header(void **state RD_UNUSED)
{
    uint8_t bytes[RD_LAUNCH_HEADER_SIZE + 1] = { 1 };
    uint8_t again[RD_LAUNCH_HEADER_SIZE];
    rd_launch_header header;
    rd_err err = RD_ERR_INIT;
    bytes[33] = 2;
    bytes[95] = 3;
    assert_int_equal(rd_launch_header_parse(rd_bytes_of(bytes, 96), &header, NULL), 0);
    rd_launch_header_encode(&header, again);
    assert_memory_equal(bytes, again, 96);
    assert_int_equal(rd_launch_header_parse(rd_bytes_of(bytes, 97), &header, &err), -1);
    assert_int_equal(err.code, RD_E_TRAILING);
    for (size_t size = 0; size < 96; size++)
        assert_int_equal(rd_launch_header_parse(rd_bytes_of(bytes, size), &header, &err), -1);
    assert_int_equal(err.code, RD_E_TRUNCATED);
}

static void test_quote_bounds(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_free_p) uint8_t *quote = rd_alloc(RD_QUOTE_SIZE_MAX + 1);
    rd_bytes statement = RD_BYTES_LIT("{}");
    assert_int_equal(
        rd_evidence_encode(rd_bytes_of(quote, RD_QUOTE_SIZE_MAX + 1), statement, NULL, NULL, &document, NULL), -1);
    assert_int_equal(rd_evidence_encode(RD_BYTES_NULL, statement, NULL, NULL, &document, NULL), -1);
    assert_int_equal(rd_evidence_encode(rd_bytes_of(quote, RD_QUOTE_SIZE_MAX), statement, NULL, NULL, &document, NULL),
                     0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose_nonce_it_answers),
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_logs_that_do_not_fit),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_values_of_another_implementation),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_quote_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
