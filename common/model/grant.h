/* grant: what a key service gives to an instance: keys, secrets, and until when; sealed to the instance's grant key and
 * signed by a replica. Bytes: docs/protocol/kms.md.
 * Used by the key service, which seals, and by enclaves, which open and check before anything else. HPKE says only who
 * can open; the signature says who sealed, and for which statement. */
#ifndef RD_MODEL_GRANT_H
#define RD_MODEL_GRANT_H

#include "common/model/kms_replica.h"
#include "common/model/secret_seal.h"
#include "common/model/statement.h"

#define RD_GRANT_SIZE_MAX    ((size_t)768 << 10) /* of an answer */
#define RD_GRANT_PAYLOAD_MAX ((size_t)600 << 10)

/* Keys of the app by purpose: the number is the byte in the payload. */
typedef enum rd_grant_key {
    RD_GRANT_KEY_STORAGE = 1,
    RD_GRANT_KEY_MODEL,
    RD_GRANT_KEY_TLS,
    RD_GRANT_KEY_SIGN,
    RD_GRANT_KEY_USER,
    RD_GRANT_KEY_DRAW,
    RD_GRANT_KEY_END
} rd_grant_key;

typedef struct rd_grant_payload {
    rd_app_id app;
    rd_digest release, head;
    uint64_t head_seq;
    uint8_t instance[32]; /* thumbprint of the receipt key */
    uint64_t epoch;
    uint64_t record; /* number of the replica's record of it */
    int64_t not_before_us, not_after_us;
    uint64_t requests_max; /* 0: no cap */
    uint8_t keys[RD_GRANT_KEY_END][32];
    rd_secret_ref secrets[RD_SECRETS_MAX]; /* in byte order of names */
    rd_bytes values[RD_SECRETS_MAX];       /* borrowed */
    size_t secrets_count;
} rd_grant_payload;

/* Appends; makes room once, so that nothing secret stays behind in freed memory. TOO_LARGE. */
int rd_grant_payload_encode(const rd_grant_payload *payload, rd_buf *out, rd_err *err) RD_NODISCARD;
/* values point into bytes. GRANT_FORMAT for anything but the one form. */
int rd_grant_payload_parse(rd_bytes bytes, rd_grant_payload *ret, rd_err *err) RD_NODISCARD;

/* The answer, taken apart; everything is borrowed. */
typedef struct rd_grant_answer {
    rd_bytes sealed;      /* enc ‖ ciphertext */
    rd_bytes signature;   /* 64 bytes */
    rd_bytes certificate; /* envelope */
    rd_bytes record;      /* envelope */
} rd_grant_answer;

/* u32be size ‖ enc ‖ ciphertext ‖ signature ‖ u16be size ‖ certificate ‖ record. */
int rd_grant_answer_encode(const rd_grant_answer *answer, rd_buf *out, rd_err *err) RD_NODISCARD;
int rd_grant_answer_parse(rd_bytes bytes, rd_grant_answer *ret, rd_err *err) RD_NODISCARD;

/* Who asks: the statement of purpose grant whose evidence was sent, as exact bytes. */
typedef struct rd_grant_request {
    rd_kms_id kms;
    rd_bytes statement;
    const uint8_t *nonce; /* 32 bytes, the key service's */
} rd_grant_request;

/* Appends enc ‖ ciphertext of the payload for the grant key of the statement, and signs it with the replica's key. */
int rd_grant_seal(const rd_grant_request *request, const uint8_t grant_key[RD_X25519_SIZE], rd_bytes payload,
                  const rd_signing_key *replica, const rd_random *random, rd_buf *ret_sealed,
                  rd_signature *ret_signature, rd_err *err) RD_NODISCARD;

/* A grant that was opened; owns the payload's bytes. */
typedef struct rd_grant {
    rd_buf bytes;
    rd_grant_payload payload;
} rd_grant;

void rd_grant_done(rd_grant *grant);

typedef struct rd_grant_check {
    rd_grant_request request;
    rd_bytes kms_genesis;       /* canonical */
    const rd_secret *grant_key; /* the private half */
    int64_t now_us;             /* for the certificate's date */
    uint64_t secrets_count;     /* of the head */
    const rd_digest *secrets_root;
} rd_grant_check;

/* In the instance. The genesis hashes to the KMS, the certificate is its root's, the signature is the certified key's
 * and over this very statement, the payload opens and names this app, release, head, epoch and receipt key, and its
 * secrets are exactly the head's. KMS_UNKNOWN, GRANT_SIGNATURE, SEAL, GRANT_FORMAT, GRANT_MISMATCH, SECRETS_INCOMPLETE.
 * Call rd_grant_done also after a failure. */
int rd_grant_open(rd_bytes answer, const rd_grant_check *check, rd_grant *ret, rd_err *err) RD_NODISCARD;

#endif
