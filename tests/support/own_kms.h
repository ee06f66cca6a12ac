/* own_kms: a key service that the test is itself: root, replica, genesis, and grants for whatever a statement asks,
 * with any term. Used where an instance's end of a grant is tested. Header only. */
#ifndef TESTS_SUPPORT_OWN_KMS_H
#define TESTS_SUPPORT_OWN_KMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/model/grant.h"

typedef struct own_kms {
    rd_signing_key *root, *replica;
    rd_kms_genesis parsed;
    rd_kms_id id;
    rd_buf genesis, certificate;
    uint64_t record;
} own_kms;

/* What is granted beside what the statement names. */
typedef struct own_grant {
    uint64_t head_seq;
    int64_t not_before_us, term_us;
    uint64_t requests_max;
    size_t secrets_count;
    rd_secret_ref secrets[2];
    rd_bytes values[2];
} own_grant;

RD_UNUSED static void own_kms_certify(own_kms *kms, int64_t not_after_us)
{
    rd_kms_certificate certificate = { .kms = kms->id,
                                       .key = *rd_signing_key_public(kms->replica),
                                       .not_after_us = not_after_us };
    rd_buf_clear(&kms->certificate);
    assert_int_equal(rd_kms_certificate_sign(&certificate, kms->root, &kms->certificate, NULL), 0);
}

RD_UNUSED static void own_kms_init(own_kms *kms, int64_t not_after_us)
{
    *kms = (own_kms){ .root = rd_signing_key_new(), .replica = rd_signing_key_new() };
    kms->parsed = (rd_kms_genesis){ .class = RD_CLASS_SIMULATED,
                                    .root = *rd_signing_key_public(kms->root),
                                    .measurements_count = 1,
                                    .platforms_count = 1,
                                    .replicas = 1,
                                    .quorum = 1,
                                    .has_sim_root = true };
    assert_int_equal(rd_kms_genesis_encode(&kms->parsed, &kms->genesis, NULL), 0);
    rd_kms_genesis_id(rd_buf_bytes(&kms->genesis), &kms->id);
    own_kms_certify(kms, not_after_us);
}

RD_UNUSED static void own_kms_done(own_kms *kms)
{
    kms->root = rd_signing_key_free(kms->root);
    kms->replica = rd_signing_key_free(kms->replica);
    rd_buf_done(&kms->genesis);
    rd_buf_done(&kms->certificate);
}

/* Appends the answer to the statement, as exact bytes. */
RD_UNUSED static void own_kms_grant(own_kms *kms, rd_bytes statement, const own_grant *what, rd_buf *ret)
{
    rd_statement asked;
    rd_signature signature;
    RD_CLEANUP(rd_buf_wipe) rd_buf plain = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    assert_int_equal(rd_statement_parse(statement, &asked, NULL), 0);
    RD_CLEANUP(rd_free_p) rd_grant_payload *payload = rd_alloc(sizeof *payload);
    *payload = (rd_grant_payload){ .app = asked.app,
                                   .release = asked.release,
                                   .head = asked.head,
                                   .head_seq = what->head_seq,
                                   .epoch = asked.epoch,
                                   .record = ++kms->record,
                                   .not_before_us = what->not_before_us,
                                   .not_after_us = what->not_before_us + what->term_us,
                                   .requests_max = what->requests_max,
                                   .secrets_count = what->secrets_count };
    rd_jwk_thumbprint(&asked.receipt_key, payload->instance);
    memset(payload->keys, 0x6b, sizeof payload->keys);
    memcpy(payload->secrets, what->secrets, sizeof what->secrets);
    memcpy(payload->values, what->values, sizeof what->values);
    const rd_grant_request request = { .kms = kms->id, .statement = statement, .nonce = asked.nonce };
    assert_int_equal(rd_grant_payload_encode(payload, &plain, NULL), 0);
    assert_int_equal(rd_grant_seal(&request, asked.grant_key, rd_buf_bytes(&plain), kms->replica, rd_random_system(),
                                   &sealed, &signature, NULL),
                     0);
    const rd_grant_answer answer = { .sealed = rd_buf_bytes(&sealed),
                                     .signature = RD_BYTES_ARRAY(signature.b),
                                     .certificate = rd_buf_bytes(&kms->certificate),
                                     .record = RD_BYTES_LIT("{}") };
    assert_int_equal(rd_grant_answer_encode(&answer, ret, NULL), 0);
}

#endif
