/* enclave_app: a little app for tests of the enclave path: owner, genesis, release, head, code, and what to start it
 * with. Header only, so that unit tests can use it too.
 */
#ifndef TESTS_SUPPORT_ENCLAVE_APP_H
#define TESTS_SUPPORT_ENCLAVE_APP_H

#include <string.h>

#include "common/base/mem.h"
#include "common/model/code_bundle.h"
#include "common/model/envelope.h"
#include "common/model/evidence.h"
#include "common/model/head.h"
#include "common/model/release.h"
#include "common/model/secret_seal.h"

typedef struct test_app {
    rd_signing_key *owner;
    rd_app_id id;
    rd_digest release_digest, head_digest;
    rd_policy policy;
    rd_buf genesis, head, release, code; /* head and release: envelopes */
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    const char *broken; /* the step that failed, or NULL */
} test_app;

/* What differs from a good app; zero: nothing. */
typedef struct test_app_spec {
    const char *source;                /* of index.js */
    const uint8_t *mrtd;               /* 48 bytes in the policy; NULL: none */
    uint32_t time_ms;                  /* 0: 2000 */
    uint32_t request_bytes;            /* 0: 64 KiB */
    uint32_t heap_bytes;               /* 0: default */
    int64_t not_before_us, expires_us; /* 0: long ago, never */
    bool is_hardware;                  /* class of the head */
    rd_engine engine;
    bool lists_other_release;
    bool other_code;   /* the code is not what the release names */
    bool other_signer; /* the head is signed by a stranger */
    bool is_sealed_only;
    const rd_kms_id *kms; /* NULL: none */
    uint64_t seq;         /* of the head; 0: 1, else it follows app->head_digest */
    uint32_t secrets;     /* that the head names */
    rd_webhook webhook;   /* of its policy */
} test_app_spec;

static inline void test_app_done(test_app *app)
{
    rd_signing_key_free(app->owner);
    rd_buf_done(&app->genesis);
    rd_buf_done(&app->head);
    rd_buf_done(&app->release);
    rd_buf_done(&app->code);
}

static inline int test_app_envelope(const rd_buf *document, const rd_signing_key *key, rd_sign_label label, rd_buf *out,
                                    rd_err *err)
{
    rd_envelope envelope;
    rd_envelope_init(&envelope, rd_buf_bytes(document));
    int outcome = rd_envelope_sign(&envelope, key, label, err);
    if (outcome == 0)
        outcome = rd_envelope_encode(&envelope, out, err);
    rd_envelope_done(&envelope);
    return outcome;
}

static inline int test_app_genesis(test_app *app, rd_err *err)
{
    rd_genesis genesis = { .owners_count = 1, .threshold = 1 };
    app->owner = rd_signing_key_new();
    genesis.owners[0] = *rd_signing_key_public(app->owner);
    if (rd_genesis_encode(&genesis, &app->genesis, err) < 0)
        return -1;
    rd_genesis_app_id(rd_buf_bytes(&app->genesis), &app->id);
    return 0;
}

static inline int test_app_release(test_app *app, const test_app_spec *spec, rd_err *err)
{
    rd_code_bundle bundle = { .main = NULL };
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_release release;
    rd_release_init(&release);
    bundle.main = rd_strdup("index.js");
    int outcome = rd_code_bundle_add(&bundle, "index.js", rd_bytes_str(spec->source), err);
    if (outcome == 0)
        outcome = rd_code_bundle_encode(&bundle, &app->code, err);
    rd_code_bundle_done(&bundle);
    release.app = app->id;
    release.number = 1;
    release.engine = spec->engine;
    release.is_plain = !spec->is_sealed_only;
    rd_sha256(rd_buf_bytes(&app->code), release.code_digest.b);
    release.code_size = app->code.size;
    if (spec->other_code)
        release.code_digest.b[0] ^= 1;
    release.limits.time_ms = spec->time_ms > 0 ? spec->time_ms : 2000;
    release.limits.request_bytes = spec->request_bytes > 0 ? spec->request_bytes : 64 << 10;
    if (spec->heap_bytes > 0)
        release.limits.heap_bytes = spec->heap_bytes;
    if (outcome == 0)
        outcome = rd_release_set_env(&release, "GREETING", "hello", err);
    if (outcome == 0)
        outcome = rd_release_encode(&release, &document, err);
    rd_release_done(&release);
    rd_release_digest(rd_buf_bytes(&document), &app->release_digest);
    return outcome == 0 ? test_app_envelope(&document, app->owner, RD_SIGN_RELEASE, &app->release, err) : -1;
}

static inline int test_app_head(test_app *app, const test_app_spec *spec, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *stranger = rd_signing_key_new();
    app->policy = (rd_policy){ .is_simulated = !spec->is_hardware,
                               .tees = { RD_TEE_TDX },
                               .tees_count = 1,
                               .tcb = { RD_TCB_UP_TO_DATE, RD_TCB_SW_HARDENING_NEEDED },
                               .tcb_count = 2,
                               .max_collateral_age_s = 604800,
                               .webhook = spec->webhook };
    if (spec->mrtd != NULL && rd_policy_add_mrtd(&app->policy, spec->mrtd) < 0)
        return rd_err_set(err, RD_E_INTERNAL, "measurements");
    rd_head head = { .app = app->id,
                     .seq = spec->seq > 0 ? spec->seq : 1,
                     .has_prev = spec->seq > 1,
                     .prev = app->head_digest,
                     .class = spec->is_hardware ? RD_CLASS_HARDWARE : RD_CLASS_SIMULATED,
                     .releases = { app->release_digest },
                     .releases_count = 1,
                     .policy = app->policy,
                     .not_before_us = spec->not_before_us > 0 ? spec->not_before_us : INT64_C(1700000000000000),
                     .has_expires = spec->expires_us > 0,
                     .expires_us = spec->expires_us };
    if (spec->kms != NULL) {
        head.kms[0] = *spec->kms;
        head.kms_count = 1;
        rd_secrets_root(NULL, 0, &head.secrets_root);
        head.secrets_count = spec->secrets;
    }
    if (spec->lists_other_release)
        head.releases[0].b[0] ^= 1;
    if (rd_head_encode(&head, &document, err) < 0)
        return -1;
    rd_head_digest(rd_buf_bytes(&document), &app->head_digest);
    return test_app_envelope(&document, spec->other_signer ? stranger : app->owner, RD_SIGN_HEAD, &app->head, err);
}

/* Makes everything anew. */
static inline int test_app_make(test_app *app, const test_app_spec *spec, rd_err *err)
{
    memset(app, 0, sizeof(*app));
    if (test_app_genesis(app, err) < 0 || test_app_release(app, spec, err) < 0 || test_app_head(app, spec, err) < 0)
        return -1;
    rd_launch_header header = { .app = app->id, .release = app->release_digest };
    rd_kms_set_digest(spec->kms, spec->kms != NULL, &header.kms_set);
    rd_launch_header_encode(&header, app->header);
    return 0;
}

#endif
