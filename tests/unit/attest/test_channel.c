// link: test_evidence
/* Evidence that is bound to a connection counts on that connection alone (bad-input.md, rows I6 and I8 there; RFC
 * 9266). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/evidence_builder.h"

static uint8_t exporter[32] = { 1, 2, 3 }, tls_key[32] = { 4, 5, 6 };

static void bind(ev_builder *b)
{
    b->statement.purpose = RD_PURPOSE_CHANNEL;
    b->statement.has_tls = b->statement.has_channel = true;
    memcpy(b->statement.tls, tls_key, sizeof tls_key);
    memcpy(b->statement.channel, exporter, sizeof exporter);
}

/* What a relay gets when it asks the enclave for ordinary evidence with the exporter as its nonce. */
static void exporter_as_nonce(ev_builder *b)
{
    memcpy(b->statement.nonce, exporter, sizeof exporter);
}

static rd_code check(ev_spoiler spoil, const rd_expect *more)
{
    ev_builder b;
    ev_build(&b, EV_PLATFORM, spoil);
    b.check.expect.purpose = RD_PURPOSE_CHANNEL;
    b.check.expect.channel = more->channel;
    b.check.expect.tls = more->tls;
    rd_attest_report report;
    rd_code code = ev_check(&b, &report);
    ev_done(&b);
    return code;
}

static void counts_on_its_connection(void **state)
{
    (void)state;
    uint8_t other[32] = { 9 };
    assert_int_equal(check(bind, &(rd_expect){ .channel = exporter, .tls = tls_key }), RD_OK);
    assert_int_equal(check(bind, &(rd_expect){ .channel = other, .tls = tls_key }), RD_E_CHANNEL);
    assert_int_equal(check(bind, &(rd_expect){ .channel = exporter, .tls = other }), RD_E_STATEMENT);
    assert_int_equal(check(bind, &(rd_expect){ .tls = tls_key }), RD_E_CHANNEL);
}

static void a_nonce_binds_nothing(void **state)
{
    (void)state;
    assert_int_equal(check(exporter_as_nonce, &(rd_expect){ .channel = exporter }), RD_E_CHANNEL);
}

static void answers_no_other_question(void **state)
{
    (void)state;
    ev_builder b;
    ev_build(&b, EV_PLATFORM, bind);
    b.check.expect.purpose = RD_PURPOSE_CLIENT;
    rd_attest_report report;
    assert_int_equal(ev_check(&b, &report), RD_E_PURPOSE);
    ev_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_on_its_connection),
        cmocka_unit_test(a_nonce_binds_nothing),
        cmocka_unit_test(answers_no_other_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
