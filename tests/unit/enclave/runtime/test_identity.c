/* Evidence of a blank: what it says, and that an order behind it goes as without it (R20). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/model/evidence.h"
#include "tests/support/fake_enclave.h"

static unsigned extended;

static int count_extends(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err)
{
    extended += (unsigned)count;
    return fake_extend(platform, digests, count, err);
}

static const encl_platform_ops ops = {
    .tee = "sim", .class_ = "simulated", .extend = count_extends, .quote = fake_quote, .free = fake_free
};

static int setup(void **state)
{
    encl_platform *platform = rd_alloc(sizeof(*platform));
    encl_platform_init(platform, &ops);
    extended = 0;
    fake_quote_fails = false;
    *state = platform;
    return 0;
}

static int teardown(void **state)
{
    encl_platform_free(*state);
    return 0;
}

static void make(encl_platform *platform, rd_evidence *ret)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    if (encl_identity_begin_blank(platform, &statement, &err) < 0 ||
        encl_identity_blank_evidence(platform, rd_buf_bytes(&statement), &bundle, &err) < 0 ||
        rd_evidence_parse(rd_buf_bytes(&bundle), ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_says_nothing_of_an_app(void **state)
{
    encl_platform *platform = *state;
    rd_err err = RD_ERR_INIT;
    rd_evidence first = { 0 }, second = { 0 };
    uint8_t rtmr[RD_RTMR_SIZE], report_data[RD_REPORT_DATA_SIZE];
    static const uint8_t none[RD_RTMR_SIZE];
    make(platform, &first);
    make(platform, &second);
    assert_int_equal(first.statement.purpose, RD_PURPOSE_BLANK);
    assert_int_equal(first.statement.class, RD_CLASS_SIMULATED);
    assert_memory_not_equal(first.statement.nonce, second.statement.nonce, RD_NONCE_SIZE);
    assert_int_equal(rd_evidence_check_log(&first, rtmr, &err), 0);
    assert_memory_equal(rtmr, none, sizeof(none));
    /* The fake's quote is its report data. */
    rd_statement_report_data(rd_buf_bytes(&first.statement_bytes), report_data);
    assert_true(rd_bytes_equal(rd_buf_bytes(&first.quote), RD_BYTES_ARRAY(report_data)));
    rd_evidence_done(&first);
    rd_evidence_done(&second);
}

static void test_the_register_stays_as_it_is(void **state)
{
    encl_platform *platform = *state;
    rd_err err = RD_ERR_INIT;
    rd_evidence evidence = { 0 };
    const uint8_t header[RD_LAUNCH_HEADER_SIZE] = { 1 };
    make(platform, &evidence);
    rd_evidence_done(&evidence);
    assert_int_equal(extended, 0);
    assert_int_equal(encl_identity_measure(platform, header, &err), 0);
    assert_int_equal(extended, 2); /* redoubt.app, redoubt.closed */
    assert_int_equal(encl_identity_measure(platform, header, &err), -1);
    assert_int_equal(err.code, RD_E_TEE_CLOSED);
    assert_int_equal(extended, 2);
}

static void test_no_quote(void **state)
{
    encl_platform *platform = *state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf statement = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    fake_quote_fails = true;
    assert_int_equal(encl_identity_begin_blank(platform, &statement, &err), 0);
    assert_int_equal(encl_identity_blank_evidence(platform, rd_buf_bytes(&statement), &bundle, &err), -1);
    assert_int_equal(err.code, RD_E_TEE_UNAVAILABLE);
    assert_int_equal(bundle.size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_says_nothing_of_an_app, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_register_stays_as_it_is, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_quote, setup, teardown),
    };
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
