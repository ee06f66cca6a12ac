// link: test_evidence
/* A set on its own: what it says, what makes it no set, and which may follow which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "attest/collateral_review.h"
#include "tests/support/evidence_builder.h"

static rd_code review(const ev_builder *b, int64_t time_us, rd_collateral_facts *ret)
{
    rd_collateral_set *set = NULL;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&b->collateral_json), &set, &err), 0);
    int rc = rd_collateral_review(rd_collateral_set_pieces(set), &b->anchors, time_us, ret, &err);
    rd_collateral_set_free(set);
    return rc < 0 ? err.code : RD_OK;
}

static void nothing(ev_builder *b RD_UNUSED)
{
}

static void newer(ev_builder *b)
{
    ev_replace(&b->tcb_info_body, "\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":7");
    ev_replace(&b->qe_identity_body, "\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":5");
}

static void sgx_identity(ev_builder *b)
{
    ev_replace(&b->qe_identity_body, "\"id\":\"TD_QE\"", "\"id\":\"QE\"");
}

static void test_facts(void **state RD_UNUSED)
{
    ev_builder b;
    rd_collateral_facts facts;
    ev_build(&b, EV_BODIES, newer);
    assert_int_equal(review(&b, EV_NOW_US, &facts), RD_OK);
    assert_int_equal(facts.class, RD_CLASS_SIMULATED);
    assert_int_equal(facts.tee, RD_TEE_TDX);
    assert_true(facts.is_platform_ca);
    assert_int_equal(facts.evaluation_number, 5);
    assert_int_equal(facts.pck_crl_number, 3);
    assert_true(facts.issued_us <= EV_NOW_US && facts.expires_us > EV_NOW_US);
    assert_int_equal(review(&b, facts.expires_us + 86400000000, &facts), RD_E_CRL_TIME);
    b.anchors.count = 0;
    assert_int_equal(review(&b, EV_NOW_US, &facts), RD_E_CHAIN_ROOT);
    ev_done(&b);
    ev_build(&b, EV_BODIES, sgx_identity);
    assert_int_equal(review(&b, EV_NOW_US, &facts), RD_E_QE_IDENTITY_ID);
    ev_done(&b);
}

/* Out and in again is the same set. */
static void test_round_trip(void **state RD_UNUSED)
{
    ev_builder b;
    rd_collateral_set *set = NULL, *again = NULL;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    ev_build(&b, EV_BODIES, nothing);
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&b.collateral_json), &set, &err), 0);
    RD_CLEANUP(rd_json_free_p) json_t *json = rd_collateral_to_json(rd_collateral_set_pieces(set));
    assert_true(rd_json_dump(json, &text));
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&text), &again, &err), 0);
    const rd_collateral *left = rd_collateral_set_pieces(set), *right = rd_collateral_set_pieces(again);
    assert_true(rd_bytes_equal(left->tcb_info, right->tcb_info));
    assert_true(rd_bytes_equal(left->pck_crl, right->pck_crl));
    assert_true(rd_bytes_equal(left->qe_identity_chain, right->qe_identity_chain));
    rd_collateral_set_free(set);
    rd_collateral_set_free(again);
    ev_done(&b);
}

static rd_code follows(rd_collateral_facts candidate)
{
    static const rd_collateral_facts current = {
        .is_platform_ca = true, .evaluation_number = 19, .pck_crl_number = 4, .root_crl_number = 2, .issued_us = 1000
    };
    rd_err err = RD_ERR_INIT;
    return rd_collateral_follows(&current, &candidate, &err) < 0 ? err.code : RD_OK;
}

#define FACTS(...)                                                                                                     \
    ((rd_collateral_facts){ .is_platform_ca = true,                                                                    \
                            .evaluation_number = 19,                                                                   \
                            .pck_crl_number = 4,                                                                       \
                            .root_crl_number = 2,                                                                      \
                            .issued_us = 1000,                                                                         \
                            __VA_ARGS__ })

static void test_never_back(void **state RD_UNUSED)
{
    rd_collateral_facts other_root = { .root = { 1 } };
    assert_int_equal(follows(FACTS(.tee = RD_TEE_TDX)), RD_OK);
    rd_collateral_facts f = FACTS(.tee = RD_TEE_TDX);
    f.evaluation_number = 18;
    assert_int_equal(follows(f), RD_E_COLLATERAL_EVALNUM);
    f.evaluation_number = 20;
    f.issued_us = 1;
    assert_int_equal(follows(f), RD_OK);
    f.evaluation_number = 19;
    assert_int_equal(follows(f), RD_E_COLLATERAL_AGE);
    f.issued_us = 2000;
    f.root_crl_number = 1;
    assert_int_equal(follows(f), RD_E_CRL_ROLLBACK);
    f.root_crl_number = 2;
    f.pck_crl_number = 3;
    assert_int_equal(follows(f), RD_E_CRL_ROLLBACK);
    f.is_platform_ca = false; /* the other CA counts for itself */
    assert_int_equal(follows(f), RD_OK);
    assert_int_equal(follows(other_root), RD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_never_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
