/* R77: the owner's word on a grant: a signature by the policy's key over this statement and this key service, which
 * serves no other; what is asked and answered in JSON has one form. */
#include "common/model/webhook.h"

#include "tests/unit/common/model/samples.h"

typedef struct fixture {
    rd_signing_key *key;
    rd_webhook webhook;
    rd_kms_id kms;
    rd_statement statement;
    rd_buf bytes, evidence;
} fixture;

static void make_statement(fixture *f, uint8_t nonce)
{
    memset(f->statement.nonce, nonce, sizeof f->statement.nonce);
    rd_buf_clear(&f->bytes);
    assert_int_equal(rd_statement_encode(&f->statement, &f->bytes, NULL), 0);
}

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof *f);
    f->key = sample_key(5);
    f->webhook = (rd_webhook){ .is_set = true, .key = sample_public_key(5), .url = "https://h.example/ask" };
    f->statement = sample_statement(RD_PURPOSE_GRANT);
    f->statement.has_tls = false;
    f->kms = f->statement.kms[0];
    make_statement(f, 1);
    assert_int_equal(rd_evidence_encode(RD_BYTES_LIT("quote"), rd_buf_bytes(&f->bytes),
                                        (const uint8_t[RD_LAUNCH_HEADER_SIZE]){ 0 }, NULL, &f->evidence, NULL),
                     0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    f->key = rd_signing_key_free(f->key);
    rd_buf_done(&f->bytes);
    rd_buf_done(&f->evidence);
    free(f);
    return 0;
}

static rd_code accept(const fixture *f, rd_bytes answer, uint32_t *ret_term_s)
{
    rd_err err = RD_ERR_INIT;
    return rd_webhook_accept(&f->webhook, &f->kms, rd_buf_bytes(&f->bytes), answer, ret_term_s, &err) == 0 ? RD_OK
                                                                                                           : err.code;
}

static void test_a_yes_serves_one_question(void **state)
{
    fixture *f = *state;
    uint8_t yes[RD_WEBHOOK_ANSWER_SIZE];
    uint32_t term_s;
    assert_int_equal(rd_webhook_sign(f->key, &f->kms, rd_buf_bytes(&f->bytes), 600, yes, NULL), 0);
    assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_OK);
    assert_int_equal(term_s, 600);
    assert_int_equal(accept(f, RD_BYTES_NULL, &term_s), RD_E_WEBHOOK_REQUIRED);
    for (size_t i = 0; i < sizeof yes; i++) {
        yes[i] ^= 1;
        assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_E_WEBHOOK_ANSWER);
        assert_int_equal(accept(f, rd_bytes_of(yes, i), &term_s), i == 0 ? RD_E_WEBHOOK_REQUIRED : RD_E_WEBHOOK_ANSWER);
        yes[i] ^= 1;
    }
    f->kms.b[31] ^= 1; /* another key service */
    assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_E_WEBHOOK_ANSWER);
    f->kms.b[31] ^= 1;
    make_statement(f, 2); /* the next start: the same but for its nonce */
    assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_E_WEBHOOK_ANSWER);
    make_statement(f, 1);
    f->webhook.key = sample_public_key(6);
    assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_E_WEBHOOK_ANSWER);
    f->webhook.is_set = false; /* what nobody asked for is not taken */
    assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_E_WEBHOOK_ANSWER);
    assert_int_equal(accept(f, RD_BYTES_NULL, &term_s), RD_OK);
    assert_int_equal(term_s, 0);
}

/* A key of small order verifies its own signatures over anything. */
static void test_a_key_of_small_order_says_nothing(void **state)
{
    fixture *f = *state;
    uint8_t yes[RD_WEBHOOK_ANSWER_SIZE] = { 1 };
    uint32_t term_s;
    f->webhook.key = (rd_public_key){ { 1 } };
    assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_E_WEBHOOK_ANSWER);
}

static void test_terms(void **state)
{
    fixture *f = *state;
    uint8_t yes[RD_WEBHOOK_ANSWER_SIZE];
    static const struct {
        uint32_t term_s;
        bool is_good;
    } rows[] = { { 0, true }, { 1, false }, { 299, false }, { 300, true }, { 604800, true }, { 604801, false } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        uint32_t term_s = 1;
        int signed_ = rd_webhook_sign(f->key, &f->kms, rd_buf_bytes(&f->bytes), rows[i].term_s, yes, NULL);
        assert_int_equal(signed_, rows[i].is_good ? 0 : -1);
        if (!rows[i].is_good)
            continue;
        assert_int_equal(accept(f, RD_BYTES_ARRAY(yes), &term_s), RD_OK);
        assert_int_equal(term_s, rows[i].term_s);
    }
}

static void test_question(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf other = { 0 };
    rd_webhook_question question;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_webhook_question_write(&f->kms, &f->webhook.key, rd_buf_bytes(&f->bytes),
                                               rd_buf_bytes(&f->evidence), &text, NULL),
                     0);
    assert_int_equal(rd_webhook_question_read(rd_buf_bytes(&text), &question, &err), 0);
    assert_true(rd_kms_id_equal(&question.kms, &f->kms));
    assert_true(rd_public_key_equal(&question.key, &f->webhook.key));
    assert_true(rd_bytes_equal(rd_buf_bytes(&question.statement), rd_buf_bytes(&f->bytes)));
    rd_webhook_question_done(&question);
    for (size_t size = 0; size < text.size; size += 7) {
        assert_int_equal(rd_webhook_question_read(rd_bytes_of(text.data, size), &question, NULL), -1);
        rd_webhook_question_done(&question);
    }
    f->kms.b[0] ^= 1; /* whoever passes it on names another key service, */
    assert_int_equal(rd_webhook_question_write(&f->kms, &f->webhook.key, rd_buf_bytes(&f->bytes),
                                               rd_buf_bytes(&f->evidence), &other, NULL),
                     0);
    assert_int_equal(rd_webhook_question_read(rd_buf_bytes(&other), &question, &err), -1);
    assert_int_equal(err.code, RD_E_STATEMENT);
    rd_webhook_question_done(&question);
    f->kms.b[0] ^= 1;
    make_statement(f, 2); /* or a statement that the evidence is not over */
    rd_buf_clear(&other);
    assert_int_equal(rd_webhook_question_write(&f->kms, &f->webhook.key, rd_buf_bytes(&f->bytes),
                                               rd_buf_bytes(&f->evidence), &other, NULL),
                     0);
    assert_int_equal(rd_webhook_question_read(rd_buf_bytes(&other), &question, &err), -1);
    assert_int_equal(err.code, RD_E_STATEMENT);
    rd_webhook_question_done(&question);
}

#define TYPE "\"type\":\"redoubt/webhook-answer/v1\""
#define SIG  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static void test_answers(void **state RD_UNUSED)
{
    static const struct {
        const char *text;
        rd_code code;
        const char *said;
    } rows[] = {
        { "{" TYPE ",\"allow\":true,\"signature\":\"" SIG "\"}", RD_OK, NULL },
        { "{" TYPE ",\"allow\":true,\"signature\":\"" SIG "\",\"term\":300}", RD_OK, NULL },
        { "{" TYPE ",\"allow\":false}", RD_E_WEBHOOK_REFUSED, "says no" },
        { "{" TYPE ",\"allow\":false,\"reason\":\"too many\"}", RD_E_WEBHOOK_REFUSED, "says no: too many" },
        { "{" TYPE ",\"allow\":false,\"reason\":\"a\\u001b[2Jb\\n\\u202ec\"}", RD_E_WEBHOOK_REFUSED,
          "says no: a?[2Jb????c" },
        { "{" TYPE ",\"allow\":true}", RD_E_WEBHOOK_ANSWER, "a yes has a signature" },
        { "{" TYPE ",\"allow\":true,\"reason\":\"fine\",\"signature\":\"" SIG "\"}", RD_E_WEBHOOK_ANSWER, "a yes" },
        { "{" TYPE ",\"allow\":false,\"signature\":\"" SIG "\"}", RD_E_WEBHOOK_ANSWER, "a no" },
        { "{" TYPE ",\"allow\":false,\"term\":300}", RD_E_WEBHOOK_ANSWER, "a no" },
        { "{" TYPE ",\"allow\":true,\"signature\":\"" SIG "\",\"term\":299}", RD_E_WEBHOOK_ANSWER, "term" },
        { "{" TYPE ",\"allow\":true,\"signature\":\"" SIG "\",\"term\":604801}", RD_E_WEBHOOK_ANSWER, "term" },
        { "{" TYPE ",\"allow\":true,\"signature\":\"" SIG "\",\"term\":300.5}", RD_E_WEBHOOK_ANSWER, "form" },
        { "{" TYPE ",\"allow\":true,\"signature\":\"AA\"}", RD_E_WEBHOOK_ANSWER, "signature" },
        { "{" TYPE ",\"allow\":\"true\",\"signature\":\"" SIG "\"}", RD_E_WEBHOOK_ANSWER, "allow" },
        { "{" TYPE ",\"allow\":true,\"allow\":true,\"signature\":\"" SIG "\"}", RD_E_WEBHOOK_ANSWER, "form" },
        { "{" TYPE ",\"allow\":true,\"more\":1,\"signature\":\"" SIG "\"}", RD_E_WEBHOOK_ANSWER, "more" },
        { "{\"allow\":true,\"signature\":\"" SIG "\"}", RD_E_WEBHOOK_ANSWER, "type" },
        { "{\"type\":\"redoubt/webhook-question/v1\",\"allow\":false}", RD_E_WEBHOOK_ANSWER, "type" },
        { "[]", RD_E_WEBHOOK_ANSWER, "form" },
        { "", RD_E_WEBHOOK_ANSWER, "form" },
        { "{" TYPE ",\"allow\":false} ", RD_E_WEBHOOK_REFUSED, "no" },
        { "{" TYPE ",\"allow\":false}x", RD_E_WEBHOOK_ANSWER, "form" },
        { "<html>no</html>", RD_E_WEBHOOK_ANSWER, "form" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        uint8_t answer[RD_WEBHOOK_ANSWER_SIZE];
        rd_err err = RD_ERR_INIT;
        int outcome = rd_webhook_answer_read(rd_bytes_str(rows[i].text), answer, &err);
        if (err.code != rows[i].code || (outcome == 0) != (rows[i].code == RD_OK) ||
            (rows[i].said && !strstr(err.text, rows[i].said)))
            fail_msg("%s: %s (%s)", rows[i].text, err.text, rd_code_describe(err.code)->name);
    }
}

/* What is written is what is read. */
static void test_answers_made(void **state)
{
    fixture *f = *state;
    uint8_t made[RD_WEBHOOK_ANSWER_SIZE], again[RD_WEBHOOK_ANSWER_SIZE];
    char long_reason[RD_WEBHOOK_REASON_MAX + 2];
    rd_err err = RD_ERR_INIT;
    for (uint32_t term_s = 0; term_s <= RD_HEAD_GRANT_S_MAX; term_s += RD_HEAD_GRANT_S_MAX / 3) {
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        assert_int_equal(rd_webhook_sign(f->key, &f->kms, rd_buf_bytes(&f->bytes), term_s, made, NULL), 0);
        assert_int_equal(rd_webhook_yes_write(made, &text, NULL), 0);
        assert_int_equal(rd_webhook_answer_read(rd_buf_bytes(&text), again, NULL), 0);
        assert_memory_equal(made, again, sizeof made);
    }
    RD_CLEANUP(rd_buf_done) rd_buf no = { 0 };
    assert_int_equal(rd_webhook_no_write("closed", &no, NULL), 0);
    assert_int_equal(rd_webhook_answer_read(rd_buf_bytes(&no), again, &err), -1);
    assert_int_equal(err.code, RD_E_WEBHOOK_REFUSED);
    memset(long_reason, 'a', sizeof long_reason - 1);
    long_reason[sizeof long_reason - 1] = '\0';
    assert_int_equal(rd_webhook_no_write(long_reason, &no, NULL), -1);
    assert_int_equal(rd_webhook_no_write("\xff", &no, NULL), -1);
}

/* A head without a key service promises no word that nobody asks for. */
static void test_a_head_with_a_webhook_has_a_kms(void **state)
{
    fixture *f = *state;
    rd_head head = sample_head();
    RD_CLEANUP(rd_buf_done) rd_buf with = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf without = { 0 };
    rd_head read;
    rd_err err = RD_ERR_INIT;
    head.policy.webhook = f->webhook;
    assert_int_equal(rd_head_encode(&head, &without, NULL), 0);
    assert_int_equal(rd_head_parse(rd_buf_bytes(&without), &read, &err), -1);
    assert_int_equal(err.code, RD_E_JSON_RANGE);
    assert_string_equal(err.pointer, "/policy/webhook");
    head.kms_count = 1;
    head.kms[0] = f->kms;
    assert_int_equal(rd_head_encode(&head, &with, NULL), 0);
    assert_int_equal(rd_head_parse(rd_buf_bytes(&with), &read, NULL), 0);
    assert_true(read.policy.webhook.is_set);
    assert_string_equal(read.policy.webhook.url, f->webhook.url);
}

/* Where evidence is hardware's, nobody on the way reads who asks for what. */
static void test_plain_for_simulated_alone(void **state RD_UNUSED)
{
    rd_policy policy;
    rd_err err = RD_ERR_INIT;
    for (int is_simulated = 0; is_simulated < 2; is_simulated++)
        for (int is_plain = 0; is_plain < 2; is_plain++) {
            RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
            rd_buf_printf(&text,
                          "{\"type\":\"redoubt/policy/v1\",\"simulated\":%s,\"debug\":false,\"tees\":[],\"tcb\":[],"
                          "\"max_collateral_age_s\":3600,\"measurements\":[],\"webhook\":{\"key\":"
                          "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"url\":\"http%s://h.example/a\"}}",
                          is_simulated ? "true" : "false", is_plain ? "" : "s");
            int outcome = rd_policy_load(rd_buf_bytes(&text), &policy, &err);
            assert_int_equal(outcome, is_plain && !is_simulated ? -1 : 0);
        }
    assert_int_equal(err.code, RD_E_JSON_RANGE);
    assert_string_equal(err.pointer, "/webhook/url");
}

int main(void)
{
#define ROW(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(test_a_yes_serves_one_question),
        ROW(test_a_key_of_small_order_says_nothing),
        ROW(test_terms),
        ROW(test_question),
        ROW(test_answers),
        ROW(test_answers_made),
        ROW(test_a_head_with_a_webhook_has_a_kms),
        ROW(test_plain_for_simulated_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
