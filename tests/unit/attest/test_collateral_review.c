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
#include "common/crypto/x509_issue.h"
#include "tests/support/evidence_builder.h"
#include "tests/support/evidence_corpus.h"

static rd_collateral_set *set_of(const ev_builder *b)
{
    rd_collateral_set *set = NULL;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&b->collateral_json), &set, &err), 0);
    return set;
}

static rd_code review(const ev_builder *b, int64_t time_us, rd_collateral_facts *ret)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = set_of(b);
    rd_err err = RD_ERR_INIT;
    return rd_collateral_review(set, &b->anchors, time_us, ret, &err) < 0 ? err.code : RD_OK;
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
    const rd_collateral_scope *scope = &facts.scopes[0];
    ev_build(&b, EV_BODIES, newer);
    assert_int_equal(review(&b, EV_NOW_US, &facts), RD_OK);
    assert_int_equal(facts.scope_count, 1);
    assert_int_equal(facts.good_count, 1);
    assert_int_equal(facts.class, RD_CLASS_SIMULATED);
    assert_int_equal(scope->tee, RD_TEE_TDX);
    assert_memory_equal(scope->fmspc, b.platform.fmspc, 6);
    assert_true(scope->has_platform_list && !scope->has_processor_list);
    assert_int_equal(facts.evaluation_number, 5);
    assert_int_equal(scope->platform_crl_number, 3);
    assert_true(facts.issued_us <= EV_NOW_US && facts.expires_us > EV_NOW_US);
    int64_t late_us = facts.expires_us + 86400000000;
    assert_int_equal(review(&b, late_us, &facts), RD_E_CRL_TIME);
    assert_int_equal(scope->reason, RD_E_CRL_TIME);
    assert_int_equal(facts.good_count, 0);
    b.anchors.count = 0;
    assert_int_equal(review(&b, EV_NOW_US, &facts), RD_E_CHAIN_ROOT);
    ev_done(&b);
    ev_build(&b, EV_BODIES, sgx_identity);
    assert_int_equal(review(&b, EV_NOW_US, &facts), RD_E_QE_IDENTITY_ID);
    ev_done(&b);
}

/* An identity of the other TEE beside it: no scope looks at its signature, so its number must not count. */
static void test_unverified(void **state RD_UNUSED)
{
    ev_builder tdx, sgx;
    rd_collateral_facts facts;
    rd_err err = RD_ERR_INIT;
    ev_build(&tdx, EV_BODIES, nothing);
    ev_build(&sgx, EV_BODIES, sgx_identity);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = set_of(&tdx);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *other = set_of(&sgx);
    assert_int_equal(rd_collateral_review(set, &tdx.anchors, EV_NOW_US, &facts, &err), 0);
    assert_null(facts.unverified);
    for (size_t i = 0; i < rd_collateral_set_count(other); i++) {
        const rd_piece *piece = rd_collateral_set_at(other, i);
        if (piece->kind == RD_PIECE_IDENTITY)
            assert_int_equal(rd_collateral_set_put(set, piece->kind, piece->body, piece->chain, &err), 0);
    }
    assert_int_equal(rd_collateral_review(set, &tdx.anchors, EV_NOW_US, &facts, &err), 0);
    assert_string_equal(facts.unverified, rd_piece_names[RD_PIECE_IDENTITY]);
    ev_done(&tdx);
    ev_done(&sgx);
}

static rd_code check_text(const char *text)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    rd_collateral_facts facts;
    rd_anchors anchors;
    rd_err err = RD_ERR_INIT;
    rd_anchors_init(&anchors);
    if (rd_collateral_set_parse(rd_bytes_str(text), &set, &err) < 0 ||
        rd_collateral_review(set, &anchors, EV_NOW_US, &facts, &err) < 0)
        return err.code;
    return RD_OK;
}

static void test_no_set(void **state RD_UNUSED)
{
    static const struct {
        const char *text;
        rd_code code;
    } rows[] = {
        { "", RD_E_COLLATERAL_MISSING },
        { "[]", RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v3\"}", RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\"}", RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":{}}", RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":[]}", RD_E_COLLATERAL_MISSING },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":[7]}", RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":[{\"kind\":\"tcb\",\"body\":\"x\"}]}",
          RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":[{\"kind\":\"vcek\"}]}", RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":[{\"kind\":\"vcek\",\"body\":\"?\"}]}",
          RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":[{\"kind\":\"vcek\",\"body\":\"AAAA\"}]}",
          RD_E_COLLATERAL_FORMAT },
        { "{\"type\":\"redoubt/collateral/v2\",\"pieces\":[{\"kind\":\"pck_crl\",\"body\":\"AAAA\"}]}",
          RD_E_COLLATERAL_MISSING },
        { "{\"type\":\"redoubt/collateral/v1\",\"tcb_info\":7}", RD_E_COLLATERAL_FORMAT },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        if (check_text(rows[i].text) != rows[i].code)
            fail_msg("%s: %s", rows[i].text, rd_code_describe(check_text(rows[i].text))->name);
}

/* Out and in again is the same set. */
static void test_round_trip(void **state RD_UNUSED)
{
    ev_builder b;
    rd_err err = RD_ERR_INIT;
    rd_collateral_set *again = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    ev_build(&b, EV_BODIES, nothing);
    rd_collateral_set *set = set_of(&b);
    RD_CLEANUP(rd_json_free_p) json_t *json = rd_collateral_set_to_json(set);
    assert_true(rd_json_dump(json, &text));
    assert_int_equal(rd_collateral_set_parse(rd_buf_bytes(&text), &again, &err), 0);
    assert_int_equal(rd_collateral_set_count(again), 4);
    for (size_t i = 0; i < 4; i++) {
        const rd_piece *left = rd_collateral_set_at(set, i), *right = rd_collateral_set_at(again, i);
        assert_int_equal(left->kind, right->kind);
        assert_true(left->is_readable && rd_bytes_equal(left->body, right->body));
        assert_true(rd_bytes_equal(left->chain, right->chain));
        assert_string_equal(left->scope, right->scope);
    }
    rd_collateral_set_free(set);
    rd_collateral_set_free(again);
    ev_done(&b);
}

/* --- many platforms in one set --- */

static rd_code check_with(const ev_builder *b, const rd_collateral_set *set, rd_attest_report *report)
{
    rd_evidence_check check = b->check;
    rd_err err = RD_ERR_INIT;
    check.set = set;
    return rd_attest_check_evidence(&check, report, &err) == 0 ? RD_OK : err.code;
}

/* A TCB info for another FMSPC or TEE under b's own authorities. */
static void put_tcb(rd_collateral_set *set, const ev_builder *b, const uint8_t fmspc[6], bool is_sgx)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 }, text = { 0 };
    rd_err err = RD_ERR_INIT;
    agent_sim_tcb_info(fmspc, EV_NOW_US, &body);
    if (is_sgx)
        ev_replace(&body, "\"id\":\"TDX\"", "\"id\":\"SGX\"");
    assert_int_equal(agent_sim_sign_body(b->ca.tcb_key, "tcbInfo", rd_buf_bytes(&body), &text, &err), 0);
    assert_int_equal(rd_collateral_set_put(set, RD_PIECE_TCB_INFO, rd_buf_bytes(&text),
                                           rd_buf_bytes(&b->collateral.tcb_info_chain), &err),
                     0);
}

static void test_many_platforms(void **state RD_UNUSED)
{
    static const uint8_t other[6] = { 0x90, 0xc0, 0x6f };
    ev_builder a, b;
    rd_attest_report report;
    rd_collateral_facts facts;
    rd_err err = RD_ERR_INIT;
    ev_build(&a, EV_BODIES, nothing);
    ev_build(&b, EV_BODIES, nothing);
    RD_CLEANUP(rd_collateral_set_free_p)
    rd_collateral_set *set = rd_collateral_set_new(), *of_a = set_of(&a), *of_b = set_of(&b);
    /* The others of the same root stand first, so that the first of a kind would be the wrong one. */
    put_tcb(set, &a, other, false);
    put_tcb(set, &a, a.platform.fmspc, true);
    assert_int_equal(check_with(&a, set, &report), RD_E_CRL_MISSING); /* not even a list yet */
    assert_int_equal(rd_collateral_set_merge(set, of_b, false, &err), 0);
    assert_int_equal(rd_collateral_set_merge(set, of_a, false, &err), 0);
    assert_int_equal(rd_collateral_set_count(set), 10);
    assert_int_equal(check_with(&a, set, &report), RD_OK);
    assert_int_equal(check_with(&b, set, &report), RD_OK);
    /* SGX beside TDX under a's root has no identity of its own: that scope is refused, the others stand. */
    rd_anchors anchors = a.anchors;
    assert_int_equal(rd_anchors_add_simulated(&anchors, b.anchors.items[b.anchors.count - 1].fingerprint, &err), 0);
    assert_int_equal(rd_collateral_review(set, &anchors, EV_NOW_US, &facts, &err), -1);
    assert_int_equal(err.code, RD_E_QE_IDENTITY_ID);
    assert_int_equal(facts.scope_count, 4);
    assert_int_equal(facts.good_count, 3);
    /* Without its own TCB info: the nearest is tried and says why it does not fit. */
    assert_int_equal(check_with(&b, of_a, &report), RD_E_CRL_ISSUER);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *lacks = set_of(&a);
    rd_collateral_set_expire(lacks, INT64_MAX);
    assert_int_equal(rd_collateral_set_count(lacks), 0);
    ev_done(&a);
    ev_done(&b);
}

static void test_other_fmspc_alone(void **state RD_UNUSED)
{
    static const uint8_t other[6] = { 0x90, 0xc0, 0x6f };
    ev_builder a;
    rd_attest_report report;
    ev_build(&a, EV_BODIES, nothing);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = set_of(&a), *none = rd_collateral_set_new();
    for (size_t i = 0; i < rd_collateral_set_count(set); i++) {
        const rd_piece *piece = rd_collateral_set_at(set, i);
        if (piece->kind != RD_PIECE_TCB_INFO)
            assert_int_equal(rd_collateral_set_put(none, piece->kind, piece->body, piece->chain, NULL), 0);
    }
    put_tcb(none, &a, other, false);
    assert_int_equal(check_with(&a, none, &report), RD_E_TCB_MISMATCH);
    ev_done(&a);
}

/* --- never back --- */

static void dated(ev_builder *b)
{
    ev_replace(&b->tcb_info_body, "\"tcbEvaluationDataNumber\":1", "\"tcbEvaluationDataNumber\":0");
}

static void test_never_back(void **state RD_UNUSED)
{
    ev_builder b;
    rd_err err = RD_ERR_INIT;
    ev_build(&b, EV_BODIES, nothing);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *current = set_of(&b), *next = set_of(&b);
    assert_int_equal(rd_collateral_follows(current, next, &err), 0);
    /* The same authorities, one thing older each. */
    dated(&b);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    assert_int_equal(agent_sim_sign_body(b.ca.tcb_key, "tcbInfo", rd_buf_bytes(&b.tcb_info_body), &text, &err), 0);
    assert_int_equal(rd_collateral_set_put(next, RD_PIECE_TCB_INFO, rd_buf_bytes(&text),
                                           rd_buf_bytes(&b.collateral.tcb_info_chain), &err),
                     0);
    assert_int_equal(rd_collateral_set_count(next), 4); /* it took the other's place */
    assert_int_equal(rd_collateral_follows(current, next, &err), -1);
    assert_int_equal(err.code, RD_E_COLLATERAL_EVALNUM);
    assert_int_equal(rd_collateral_follows(next, current, &err), 0);
    /* Merged with the newer kept, the older is left out. */
    assert_int_equal(rd_collateral_set_merge(current, next, true, &err), 1);
    assert_int_equal(rd_collateral_follows(current, next, &err), -1);
    rd_buf_clear(&text);
    rd_crl_spec spec = { .this_update_us = EV_NOW_US, .next_update_us = EV_NOW_US + 1000000, .number = 2 };
    assert_int_equal(rd_crl_issue(&spec, b.ca.platform, b.ca.platform_key, &text, &err), 0);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *listed = rd_collateral_set_new();
    assert_int_equal(rd_collateral_set_put(listed, RD_PIECE_PCK_CRL, rd_buf_bytes(&text),
                                           rd_buf_bytes(&b.collateral.pck_crl_chain), &err),
                     0);
    assert_int_equal(rd_collateral_follows(current, listed, &err), -1);
    assert_int_equal(err.code, RD_E_CRL_ROLLBACK);
    ev_done(&b);
}

/* --- certificates of chips --- */

#define REVOKED "snp/g15-vcek-revoked-milan-v2"

static size_t count_of(const rd_collateral_set *set, rd_piece_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < rd_collateral_set_count(set); i++)
        count += rd_collateral_set_at(set, i)->kind == kind;
    return count;
}

/* The pieces of a case of the corpus, with its list and a VCEK that stands in it. */
static rd_collateral_set *amd_set(corpus_case *c)
{
    rd_collateral_set *set = rd_collateral_set_new();
    rd_err err = RD_ERR_INIT;
    corpus_load(REVOKED, c);
    rd_judge_input input = corpus_input(c);
    assert_int_equal(rd_collateral_set_put_pieces(set, input.collateral, &err), 0);
    assert_int_equal(count_of(set, RD_PIECE_VCEK), 1);
    return set;
}

static void test_revoked_chip(void **state RD_UNUSED)
{
    corpus_case c;
    rd_collateral_facts facts;
    rd_err err = RD_ERR_INIT;
    if (!corpus_root())
        skip();
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = amd_set(&c);
    assert_int_equal(rd_collateral_review(set, &c.anchors, c.time_us, &facts, &err), -1);
    assert_int_equal(err.code, RD_E_CA_REVOKED);
    rd_collateral_set_revoke(set);
    assert_int_equal(count_of(set, RD_PIECE_VCEK), 0);
    assert_int_equal(rd_collateral_review(set, &c.anchors, c.time_us, &facts, &err), 0);
    corpus_done(&c);
}

/* A set that is full, by count and by size: what is only a cache leaves, then it is refused. */
static void test_full(void **state RD_UNUSED)
{
    corpus_case c;
    ev_builder b;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 }, large = { 0 };
    if (!corpus_root())
        skip();
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = amd_set(&c), *wide = rd_collateral_set_new();
    assert_int_equal(rd_collateral_set_merge(wide, set, false, &err), 0);
    ev_build(&b, EV_BODIES, nothing);
    for (uint16_t i = 0; rd_collateral_set_count(set) < RD_PIECES_MAX; i++)
        put_tcb(set, &b, (const uint8_t[6]){ (uint8_t)(i >> 8), (uint8_t)i }, false);
    assert_int_equal(count_of(set, RD_PIECE_VCEK), 1);
    put_tcb(set, &b, (const uint8_t[6]){ 0xff }, false);
    assert_int_equal(count_of(set, RD_PIECE_VCEK), 0);
    assert_int_equal(rd_collateral_set_count(set), RD_PIECES_MAX);
    assert_int_equal(rd_collateral_set_put(set, RD_PIECE_PCK_CRL, RD_BYTES_LIT("x"), RD_BYTES_NULL, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    assert_int_equal(rd_collateral_set_write(set, &text, &err), -1);
    /* By size: as much text as just leaves no room for the VCEK. */
    assert_int_equal(rd_collateral_set_write(wide, &text, &err), 0);
    size_t left = RD_COLLATERAL_SIZE_MAX - text.size - 20;
    memset(rd_buf_reserve(&large, left), 'a', left);
    rd_buf_commit(&large, left);
    assert_int_equal(rd_collateral_set_put(wide, RD_PIECE_TCB_INFO, rd_buf_bytes(&large), RD_BYTES_NULL, &err), 0);
    assert_int_equal(rd_collateral_set_write(wide, &text, &err), 0);
    assert_int_equal(count_of(wide, RD_PIECE_VCEK), 0);
    assert_true(text.size <= RD_COLLATERAL_SIZE_MAX);
    ev_done(&b);
    corpus_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),          cmocka_unit_test(test_unverified),
        cmocka_unit_test(test_no_set),         cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_many_platforms), cmocka_unit_test(test_other_fmspc_alone),
        cmocka_unit_test(test_never_back),     cmocka_unit_test(test_revoked_chip),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
