/* samples: one valid object of each kind, and a way to spoil a document one member at a time.
 * Used by the unit tests of common/model. */
#ifndef TESTS_UNIT_COMMON_MODEL_SAMPLES_H
#define TESTS_UNIT_COMMON_MODEL_SAMPLES_H

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"
#include "common/model/evidence.h"
#include "common/model/head.h"
#include "common/model/receipt.h"
#include "common/model/release.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SAMPLE_TIME INT64_C(1780000000000000) /* in 2026 */
#define HEX_96      "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f"
#define B64_ZERO_32 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define B64_ONES_16 "_____________________w"

RD_UNUSED static rd_signing_key *sample_key(uint8_t fill)
{
    uint8_t seed[RD_SEED_SIZE];
    memset(seed, fill, sizeof seed);
    return rd_signing_key_from_seed(seed);
}

RD_UNUSED static rd_public_key sample_public_key(uint8_t fill)
{
    rd_signing_key *key = sample_key(fill);
    rd_public_key public_key = *rd_signing_key_public(key);
    (void)rd_signing_key_free(key);
    return public_key;
}

/* Owners are the keys of fills 1..count. */
RD_UNUSED static rd_genesis sample_genesis(uint32_t count, uint32_t threshold)
{
    rd_genesis genesis = { .owners_count = count, .threshold = threshold };
    for (uint32_t i = 0; i < count; i++)
        genesis.owners[i] = sample_public_key((uint8_t)(i + 1));
    memset(genesis.salt, 0xa5, sizeof genesis.salt);
    return genesis;
}

RD_UNUSED static rd_digest sample_digest(uint8_t fill)
{
    rd_digest digest;
    memset(digest.b, fill, sizeof digest.b);
    return digest;
}

RD_UNUSED static rd_app_id sample_app(void)
{
    rd_genesis genesis = sample_genesis(1, 1);
    rd_app_id app;
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    assert_int_equal(rd_genesis_encode(&genesis, &out, NULL), 0);
    rd_genesis_app_id(rd_buf_bytes(&out), &app);
    return app;
}

RD_UNUSED static void sample_release(rd_release *release)
{
    rd_release_init(release);
    release->app = sample_app();
    release->number = 3;
    release->is_plain = true;
    release->code_digest = sample_digest(0xcc);
    release->code_size = 1234;
    assert_int_equal(rd_release_set_env(release, "MODEL", "v1", NULL), 0);
    assert_int_equal(rd_release_set_env(release, "A_NAME", "line\nü", NULL), 0);
}

RD_UNUSED static rd_head sample_head(void)
{
    rd_head head = {
        .app = sample_app(),
        .seq = 2,
        .has_prev = true,
        .prev = sample_digest(0x11),
        .class = RD_CLASS_SIMULATED,
        .releases = { sample_digest(0x22), sample_digest(0x23) },
        .releases_count = 2,
        .policy = { .is_simulated = true,
                    .tees = { RD_TEE_TDX },
                    .tees_count = 1,
                    .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                    .tcb_count = 2,
                    .max_collateral_age_s = 604800 },
        .not_before_us = SAMPLE_TIME,
        .has_expires = true,
        .expires_us = SAMPLE_TIME + 1000000,
    };
    uint8_t mrtd[RD_MRTD_SIZE];
    memset(mrtd, 0x44, sizeof mrtd);
    assert_int_equal(rd_policy_add_mrtd(&head.policy, mrtd), 0);
    return head;
}

RD_UNUSED static rd_statement sample_statement(rd_purpose purpose)
{
    rd_statement statement = { .purpose = purpose, .class = RD_CLASS_SIMULATED };
    memset(statement.nonce, 0x77, sizeof statement.nonce);
    bool is_kms = purpose == RD_PURPOSE_KMS || purpose == RD_PURPOSE_JOIN || purpose == RD_PURPOSE_ADMIT;
    if (is_kms || purpose == RD_PURPOSE_GRANT) {
        statement.kms_count = 1;
        memset(statement.kms[0].b, 0x5a, sizeof statement.kms[0].b);
        memset(statement.grant_key, 0x79, sizeof statement.grant_key);
        memcpy(statement.user, statement.kms[0].b, sizeof statement.user);
        statement.has_grant_key = purpose == RD_PURPOSE_GRANT || purpose == RD_PURPOSE_JOIN;
        statement.has_user = is_kms;
    }
    if (purpose == RD_PURPOSE_BLANK || is_kms)
        return statement;
    statement.has_tls = true;
    memset(statement.tls, 0x78, sizeof statement.tls);
    if (purpose == RD_PURPOSE_ENROL)
        return statement;
    statement.has_app = statement.has_release = statement.has_head = statement.has_instance = true;
    statement.app = sample_app();
    statement.release = sample_digest(0x22);
    statement.head = sample_digest(0x33);
    memset(statement.instance.b, 0x12, sizeof statement.instance.b);
    statement.epoch = 7;
    statement.has_receipt_key = true;
    statement.receipt_key = sample_public_key(9);
    statement.has_ohttp = true;
    memset(statement.ohttp, 0x79, sizeof statement.ohttp);
    statement.has_channel = purpose == RD_PURPOSE_CHANNEL;
    memset(statement.channel, statement.has_channel ? 0x7a : 0, sizeof statement.channel);
    statement.has_user = purpose == RD_PURPOSE_APP;
    if (!statement.has_user)
        memset(statement.user, 0, sizeof statement.user);
    return statement;
}

RD_UNUSED static rd_receipt_claims sample_claims(void)
{
    rd_receipt_claims claims = {
        .app = sample_app(),
        .release = sample_digest(0x22),
        .head = sample_digest(0x33),
        .class = RD_CLASS_SIMULATED,
        .seq = 1,
        .status = 200,
        .has_nonce = true,
        .egress_asked = 3,
        .egress_failed = 1,
        .evidence = sample_digest(0x44),
        .host_time_us = SAMPLE_TIME,
    };
    memset(claims.instance, 0x55, sizeof claims.instance);
    memset(claims.request, 0x66, sizeof claims.request);
    memset(claims.response, 0x67, sizeof claims.response);
    memset(claims.nonce, 0x68, sizeof claims.nonce);
    return claims;
}

/* One way to spoil a document: the member at path (RFC 6901, without escapes) is set to a JSON text, or removed when
 * value is NULL; then the parser must say this code. */
typedef struct spoil {
    const char *name, *path, *value;
    rd_code want;
} spoil;

RD_UNUSED static void set_at(json_t *document, const char *path, const char *value)
{
    char name[64];
    json_t *at = document;
    const char *slash = path;
    for (;;) {
        const char *next = strchr(slash + 1, '/');
        size_t size = next ? (size_t)(next - slash - 1) : strlen(slash + 1);
        assert_true(size < sizeof name);
        memcpy(name, slash + 1, size);
        name[size] = '\0';
        if (!next)
            break;
        at = json_is_array(at) ? json_array_get(at, (size_t)atoi(name)) : json_object_get(at, name);
        assert_non_null(at);
        slash = next;
    }
    json_t *made = value ? json_loads(value, JSON_DECODE_ANY, NULL) : NULL;
    if (value)
        assert_non_null(made);
    if (json_is_array(at))
        assert_int_equal(
            made ? json_array_insert_new(at, (size_t)atoi(name), made) : json_array_remove(at, (size_t)atoi(name)), 0);
    else
        assert_int_equal(made ? json_object_set_new(at, name, made) : json_object_del(at, name), 0);
}

/* The document with one change, in canonical form again. */
RD_UNUSED static void spoil_document(rd_bytes document, const char *path, const char *value, rd_buf *out)
{
    RD_CLEANUP(rd_json_free_p)
    json_t *tree = json_loadb((const char *)document.data, document.size, 0, NULL);
    assert_non_null(tree);
    set_at(tree, path, value);
    rd_buf_clear(out);
    assert_int_equal(rd_canonical_write(tree, out, NULL), 0);
}

RD_UNUSED static void run_spoils(rd_bytes document, int (*parse)(rd_bytes bytes, rd_err *err), const spoil *rows,
                                 size_t count)
{
    RD_CLEANUP(rd_buf_done) rd_buf spoiled = { 0 };
    rd_err fine = RD_ERR_INIT;
    if (parse(document, &fine) < 0)
        fail_msg("unspoiled: %s %s", fine.text, fine.pointer);
    for (size_t i = 0; i < count; i++) {
        rd_err err = RD_ERR_INIT;
        spoil_document(document, rows[i].path, rows[i].value, &spoiled);
        (void)!parse(rd_buf_bytes(&spoiled), &err);
        if (err.code != rows[i].want)
            fail_msg("%s: %s (%s) at %s", rows[i].name, rd_code_describe(err.code)->name, err.text, err.pointer);
    }
}

/* What every signed document refuses, whatever it says. */
RD_UNUSED static void run_form_spoils(rd_bytes document, int (*parse)(rd_bytes bytes, rd_err *err))
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_err err = RD_ERR_INIT;
    for (size_t size = 0; size < document.size; size++)
        assert_int_equal(parse(rd_bytes_of(document.data, size), NULL), -1);
    (void)rd_buf_append_bytes(&text, document);
    (void)rd_buf_append_u8(&text, ' ');
    assert_int_equal(parse(rd_buf_bytes(&text), &err), -1);
    assert_int_equal(err.code, RD_E_NOT_CANONICAL);
    rd_buf_clear(&text);
    (void)rd_buf_append_str(&text, "{ ");
    (void)rd_buf_append(&text, document.data + 1, document.size - 1);
    assert_int_equal(parse(rd_buf_bytes(&text), &err), -1);
    assert_int_equal(err.code, RD_E_NOT_CANONICAL);
    rd_buf_clear(&text);
    const uint8_t *name_end = memchr(document.data + 2, '"', document.size - 2);
    (void)rd_buf_append(&text, document.data, (size_t)(name_end - document.data));
    (void)rd_buf_append_str(&text, "\":1,");
    (void)rd_buf_append(&text, document.data + 1, document.size - 1);
    assert_int_equal(parse(rd_buf_bytes(&text), &err), -1);
    assert_int_equal(err.code, RD_E_JSON_DUPLICATE);
    rd_buf_clear(&text);
    (void)rd_buf_append(&text, document.data, document.size - 1);
    (void)rd_buf_append_str(&text, ",\"\xf4\x8f\xbf\xbf\":1}");
    assert_int_equal(parse(rd_buf_bytes(&text), &err), -1);
    assert_int_equal(err.code, RD_E_JSON_UNKNOWN);
    rd_buf_clear(&text);
    (void)rd_buf_append_str(&text, "[]");
    assert_int_equal(parse(rd_buf_bytes(&text), &err), -1);
    assert_int_equal(err.code, RD_E_JSON_TYPE);
    rd_buf_clear(&text);
    (void)rd_buf_append_bytes(&text, document);
    while (text.size <= RD_JSON_SIZE_MAX)
        (void)rd_buf_append_u8(&text, ' ');
    assert_int_equal(parse(rd_buf_bytes(&text), &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

#endif
