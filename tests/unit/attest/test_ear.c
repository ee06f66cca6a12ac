/* A judgement as a signed attestation result: status, vector, header, signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "attest/ear.h"
#include "common/base/mem.h"
#include "common/base/text.h"

/* A judgement in pieces: genuine TDX evidence of hardware, accepted; then changed. */
static rd_judgement sample(void)
{
    rd_judgement j = { .word = "UpToDate", .is_accepted = true, .rule = NULL };
    j.verdict.is_genuine = true;
    j.verdict.tcb.status = RD_TCB_UP_TO_DATE;
    j.verdict.claims = (rd_claims){ .tee = RD_TEE_TDX, .class = RD_CLASS_HARDWARE, .has_fields = true };
    j.verdict.collateral_expires_us = INT64_C(1800000000) * 1000000;
    return j;
}

static void refuse(rd_judgement *j, rd_code code, const char *rule)
{
    j->is_accepted = false;
    j->reason = code;
    j->rule = rule;
}

static const json_t *at(const json_t *object, const char *a, const char *b)
{
    return json_object_get(json_object_get(object, a), b);
}

static json_t *claims_of(const rd_judgement *j, const rd_policy *policy)
{
    rd_ear_input input = { .judgement = j,
                           .evidence = RD_BYTES_LIT("quote"),
                           .policy = policy,
                           .judged_us = INT64_C(1700000000) * 1000000,
                           .issued_us = INT64_C(1700000001) * 1000000,
                           .trust = "caller" };
    return rd_ear_claims(&input);
}

/* status, instance-identity, configuration, executables, hardware, runtime-opaque */
static void check(const rd_judgement *j, const rd_policy *policy, const char *status, const int want[5])
{
    static const char *const names[] = { "instance-identity", "configuration", "executables", "hardware",
                                         "runtime-opaque" };
    RD_CLEANUP(rd_json_free_p) json_t *claims = claims_of(j, policy);
    const json_t *submod = at(claims, "submods", j->verdict.claims.tee ? "tdx" : "evidence");
    assert_string_equal(json_string_value(json_object_get(submod, "ear.status")), status);
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        assert_int_equal(json_integer_value(at(submod, "ear.trustworthiness-vector", names[i])), want[i]);
}

static void test_status(void **state RD_UNUSED)
{
    static const rd_policy policy = { .tees_count = 0 };
    rd_judgement j = sample();
    check(&j, NULL, "affirming", (const int[]){ 2, 3, 0, 2, 2 });
    check(&j, &policy, "affirming", (const int[]){ 2, 2, 2, 2, 2 });
    j.verdict.tcb.status = RD_TCB_CONFIGURATION_NEEDED;
    check(&j, &policy, "warning", (const int[]){ 2, 32, 2, 32, 2 });
    refuse(&j, RD_E_TCB_STATUS, "tcb_status");
    check(&j, &policy, "contraindicated", (const int[]){ 2, 32, 0, 32, 2 });
    j = sample();
    refuse(&j, RD_E_MEASUREMENT, "measurement");
    check(&j, &policy, "contraindicated", (const int[]){ 2, 0, 33, 2, 2 });
    j = sample();
    j.verdict.claims.is_debug = true;
    refuse(&j, RD_E_TD_DEBUG, "debug");
    check(&j, &policy, "contraindicated", (const int[]){ 2, 96, 0, 2, 96 });
    j = sample();
    j.verdict.tcb.status = RD_TCB_REVOKED;
    refuse(&j, RD_E_TCB_STATUS, "tcb_status");
    check(&j, NULL, "contraindicated", (const int[]){ 2, 0, 0, 96, 2 });
}

/* Whatever a policy accepts, a simulation is no hardware; and debug that was allowed stays what it is. */
static void test_never_affirming(void **state RD_UNUSED)
{
    static const rd_policy policy = { .tees_count = 0 };
    rd_judgement j = sample();
    j.verdict.claims.class = RD_CLASS_SIMULATED;
    check(&j, &policy, "contraindicated", (const int[]){ 97, 2, 2, 97, 96 });
    j = sample();
    j.verdict.claims.is_debug = true;
    check(&j, NULL, "contraindicated", (const int[]){ 2, 96, 0, 2, 96 });
}

static void test_not_genuine(void **state RD_UNUSED)
{
    rd_judgement j = sample();
    j.verdict.is_genuine = false;
    refuse(&j, RD_E_QUOTE_SIG, "quote_signature");
    check(&j, NULL, "contraindicated", (const int[]){ 99, 0, 0, 99, 0 });
    refuse(&j, RD_E_PCK_REVOKED, "revocation");
    check(&j, NULL, "contraindicated", (const int[]){ 96, 0, 0, 0, 0 });
    refuse(&j, RD_E_COLLATERAL_MISSING, "collateral");
    check(&j, NULL, "none", (const int[]){ 0, 0, 0, 0, 0 });
    refuse(&j, RD_E_EVIDENCE_TYPE, "format");
    j.verdict.claims = (rd_claims){ .has_fields = false };
    check(&j, NULL, "none", (const int[]){ 0, 0, 0, 0, 0 });
    RD_CLEANUP(rd_json_free_p) json_t *claims = claims_of(&j, NULL);
    assert_null(json_object_get(claims, "exp"));
}

static void test_claims(void **state RD_UNUSED)
{
    rd_judgement j = sample();
    RD_CLEANUP(rd_json_free_p) json_t *claims = claims_of(&j, NULL);
    const json_t *submod = at(claims, "submods", "tdx");
    assert_string_equal(json_string_value(json_object_get(claims, "eat_profile")), RD_EAR_PROFILE);
    assert_int_equal(json_integer_value(json_object_get(claims, "iat")), 1700000001);
    assert_int_equal(json_integer_value(json_object_get(claims, "exp")), 1800000000);
    assert_string_equal(json_string_value(json_object_get(submod, "ear.appraisal-policy-id")),
                        "urn:redoubt:policy:default");
    assert_string_equal(json_string_value(json_object_get(submod, "redoubt.evidence")),
                        "sha256:6327245c3a45d3d9ea72b70fbb671926e7b80f63d311bfd73dde876d5df02b26");
}

static void split(const rd_buf *token, rd_bytes *ret_signed, uint8_t signature[64])
{
    const char *text = (const char *)token->data, *last = strrchr(text, '.');
    assert_non_null(last);
    *ret_signed = rd_bytes_of(text, (size_t)(last - text));
    assert_int_equal(rd_base64url_decode(last + 1, strlen(last + 1), signature, 64), 64);
}

static void test_signature(void **state RD_UNUSED)
{
    rd_judgement j = sample();
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_json_free_p) json_t *claims = claims_of(&j, NULL);
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *p256 = rd_p256_key_new();
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *ed25519 = rd_signing_key_new();
    RD_CLEANUP(rd_buf_done) rd_buf first = { 0 }, second = { 0 };
    rd_bytes message;
    rd_signature signature;
    assert_int_equal(rd_ear_sign(claims, &(rd_ear_key){ .p256 = p256 }, &first, &err), 0);
    assert_non_null(rd_buf_text(&first));
    split(&first, &message, signature.b);
    assert_int_equal(rd_p256_verify(rd_p256_key_public(p256), message, signature.b, &err), 0);
    assert_int_equal(rd_ear_sign(claims, &(rd_ear_key){ .ed25519 = ed25519 }, &second, &err), 0);
    assert_non_null(rd_buf_text(&second));
    split(&second, &message, signature.b);
    assert_int_equal(rd_ed25519_verify(rd_signing_key_public(ed25519), message, &signature, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status), cmocka_unit_test(test_never_affirming), cmocka_unit_test(test_not_genuine),
        cmocka_unit_test(test_claims), cmocka_unit_test(test_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
