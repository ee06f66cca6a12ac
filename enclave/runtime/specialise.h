/* specialise: whether the documents behind a header may run here, and what they say.
 * Used by the instance after the header was measured: genesis, head, release and code, each check with its own code.
 * Believes none of them before it is verified; the time is the platform's floor.
 */
#ifndef ENCL_SPECIALISE_H
#define ENCL_SPECIALISE_H

#include "common/model/class.h"
#include "common/model/code_bundle.h"
#include "common/model/evidence.h"
#include "common/model/head.h"
#include "common/model/release.h"
#include "common/model/statement.h"

/* The documents as they came, and the order to start. */
typedef struct encl_documents {
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    rd_buf genesis; /* canonical JSON */
    rd_buf head;    /* envelope */
    rd_buf release; /* envelope */
    rd_buf code;    /* code bundle */
} encl_documents;

void encl_documents_done(encl_documents *documents);

#define ENCL_START_SIZE_MAX ((size_t)96 << 10) /* the genesis of a key service travels in it */

/* START as parsed. host_time_us is a hint. */
typedef struct encl_start {
    bool has_grant; /* the app has a key service */
    rd_kms_id kms;
    rd_buf kms_genesis;
    bool has_grant_nonce;
    uint8_t grant_nonce[RD_NONCE_SIZE]; /* the key service's; without one it is asked for */
    rd_id instance;
    uint64_t epoch;
    uint8_t nonce[RD_NONCE_SIZE];
    int64_t host_time_us;
} encl_start;

/* Call encl_start_done also after a failure. */
void encl_start_done(encl_start *start);
int encl_start_parse(rd_bytes json, encl_start *ret, rd_err *err) RD_NODISCARD;
/* {"purpose":"status","nonce":…}: the nonce. PURPOSE for any other purpose. */
int encl_evidence_order_parse(rd_bytes json, uint8_t ret_nonce[RD_NONCE_SIZE], rd_err *err) RD_NODISCARD;

/* The head that grants are asked under, and the webhook of its policy, which is asked before. */
typedef struct encl_head {
    rd_head_known known;
    rd_webhook webhook;
} encl_head;

/* What runs here, verified. */
typedef struct encl_app {
    rd_app_id id;
    rd_digest release;
    encl_head head; /* that it started under */
    rd_class class;
    bool has_kms; /* then it starts with a grant of this one */
    rd_kms_id kms;
    rd_buf kms_genesis;
    uint32_t secrets_count; /* as the head has them */
    rd_digest secrets_root;
    rd_release manifest;
    rd_code_bundle code; /* empty while it is sealed */
} encl_app;

void encl_app_done(encl_app *app);

/* Verifies everything against the header and START. class is the platform's. Sealed code is compared with the release
 * and stays shut. Codes: GENESIS_MISMATCH, SIGNATURE, PURPOSE, HEAD_TIME, CLASS_MISMATCH, RELEASE_NOT_ALLOWED,
 * HEADER_MISMATCH, ENGINE_MISMATCH, CODE_MISMATCH, KMS_SET (START names another key service than the head, or none),
 * KMS_UNKNOWN, and those of parsing. Call encl_app_done also after a failure. */
int encl_app_open(const encl_documents *documents, const encl_start *start, rd_class class, int64_t now_us,
                  encl_app *ret, rd_err *err) RD_NODISCARD;
/* Accepts the envelope when it is the owner's, in its time, not older than *seen and no other of its number: then *seen
 * is that head. *ret_fits: the app may go on under it as it is, with the same release, key service and secrets; else
 * err says why not (RELEASE_NOT_ALLOWED, KMS_SET, SECRETS_INCOMPLETE). Codes of -1: those of rd_head_accept. */
int encl_app_next_head(const encl_documents *documents, const encl_app *app, rd_bytes envelope, int64_t now_us,
                       encl_head *seen, bool *ret_fits, rd_err *err) RD_NODISCARD;
/* Opens sealed code with the key out of the grant. SEAL, CODE_BUNDLE and those of parsing. */
int encl_app_open_code(const encl_documents *documents, const uint8_t key[32], encl_app *app, rd_err *err) RD_NODISCARD;

#endif
