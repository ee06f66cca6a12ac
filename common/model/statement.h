/* statement: what an enclave says of itself in evidence; its hash is the evidence's report data.
 * Used by enclaves, which make it, and by verifiers, which name the purpose that they asked for.
 * Members of later paths (log) must be null or empty. */
#ifndef RD_MODEL_STATEMENT_H
#define RD_MODEL_STATEMENT_H

#include "common/model/class.h"
#include "common/model/json.h"
#include "common/model/nonce_tree.h"

#define RD_REPORT_DATA_SIZE 64
#define RD_CHANNEL_SIZE     32
#define RD_KMS_MAX          2 /* of a head, and so of a launch */

typedef enum rd_purpose {
    RD_PURPOSE_BLANK = 1,
    RD_PURPOSE_GRANT,
    RD_PURPOSE_STATUS,
    RD_PURPOSE_CLIENT,
    RD_PURPOSE_CHANNEL,
    RD_PURPOSE_APP,
    RD_PURPOSE_KMS,
    RD_PURPOSE_JOIN,
    RD_PURPOSE_ADMIT,
    RD_PURPOSE_ENROL,
} rd_purpose;

extern const char *const rd_purpose_names[]; /* by value, NULL-terminated; slot 0 is "" */
const char *rd_purpose_name(rd_purpose purpose);

typedef struct rd_statement {
    rd_purpose purpose;
    rd_class class;
    uint8_t nonce[RD_NONCE_SIZE]; /* purposes client and kms: the root over askers' nonces (evidence.h) */
    bool has_app, has_release, has_head, has_instance, has_receipt_key, has_ohttp, has_tls, has_user;
    bool has_grant_key, has_channel;
    rd_app_id app;
    rd_digest release;
    rd_digest head;
    rd_id instance;
    uint64_t epoch;
    rd_public_key receipt_key;
    uint8_t grant_key[32];     /* X25519: what a grant, or the root of a KMS, is sealed to */
    rd_kms_id kms[RD_KMS_MAX]; /* in the head's order; of a KMS its own */
    size_t kms_count;
    uint8_t ohttp[32];                /* SHA-256 of the key configurations for sealed requests (ohttp.h) */
    uint8_t tls[32];                  /* SHA-256 of a SubjectPublicKeyInfo */
    uint8_t channel[RD_CHANNEL_SIZE]; /* tls-exporter of the connection that the evidence was asked for on (RFC 9266) */
    uint8_t user[32];                 /* of application code, purpose app; of a KMS the digest of its genesis */
} rd_statement;

/* PURPOSE when the members do not fit the purpose: blank has none, enrol has tls alone; status, client and app have
 * app, release, head, instance, receipt key and perhaps ohttp, grant the grant key beside them, and channel the TLS key
 * and the exporter, which stands nowhere else; kms, join and admit have one KMS and user, which is that KMS's id, and
 * join a grant key; user stands in app and in these three only. */
int rd_statement_parse(rd_bytes canonical, rd_statement *ret, rd_err *err) RD_NODISCARD;
/* Appends the canonical form; the same checks. */
int rd_statement_encode(const rd_statement *statement, rd_buf *out, rd_err *err) RD_NODISCARD;
/* H("statement-v1", canonical). */
void rd_statement_digest(rd_bytes canonical, rd_digest *ret);
/* SHA-512(F("evidence", "evidence-v1", canonical)). */
void rd_statement_report_data(rd_bytes canonical, uint8_t out[RD_REPORT_DATA_SIZE]);

#endif
