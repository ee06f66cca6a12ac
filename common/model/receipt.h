/* receipt: an enclave's signed statement about one answer: claims, their place in the burst's tree, and the signed
 * root. Used by enclaves, which make them on the hot path (no JSON tree, one signature a burst), and by the CLI, which
 * verifies. Knows the receipt key from evidence, never from the receipt. */
#ifndef RD_MODEL_RECEIPT_H
#define RD_MODEL_RECEIPT_H

#include "common/model/class.h"
#include "common/model/json.h"
#include "common/model/merkle.h"
#include "common/model/statement.h"

#define RD_RECEIPT_SIZE_MAX ((size_t)16 << 10)
#define RD_CLAIMS_SIZE_MAX  ((size_t)4 << 10)
#define RD_SALT_SIZE        32

typedef struct rd_receipt_claims {
    rd_app_id app;
    rd_digest release, head;
    rd_class class;
    uint8_t instance[32];              /* thumbprint of the receipt key */
    uint64_t seq;                      /* from 1, within the instance */
    uint8_t request[32], response[32]; /* commitments */
    uint32_t status;                   /* 100..599 */
    bool has_nonce;
    uint8_t nonce[RD_NONCE_SIZE];
    uint32_t egress_asked, egress_failed;
    rd_digest evidence;   /* H("statement-v1", S) of the instance's status statement */
    int64_t host_time_us; /* the host's claim */
} rd_receipt_claims;

/* Appends the canonical text. */
bool rd_receipt_claims_encode(const rd_receipt_claims *claims, rd_buf *out);
int rd_receipt_claims_parse(rd_bytes canonical, rd_receipt_claims *ret, rd_err *err) RD_NODISCARD;

/* Commitments: HMAC-SHA-256(KDF(salt, "commit-v1", which), parts). An absent content-type is empty. */
void rd_commit_request(const uint8_t salt[RD_SALT_SIZE], rd_bytes method, rd_bytes target, rd_bytes content_type,
                       rd_bytes body, uint8_t out[32]);
void rd_commit_response(const uint8_t salt[RD_SALT_SIZE], uint32_t status, rd_bytes content_type, rd_bytes body,
                        uint8_t out[32]);

typedef struct rd_receipt_root {
    uint8_t instance[32];
    uint64_t first; /* seq of the first leaf */
    uint32_t count; /* 1..64 */
    rd_digest root;
    bool has_prev;
    rd_digest prev; /* H("receipt-chain-v1", previous root statement) */
} rd_receipt_root;

bool rd_receipt_root_encode(const rd_receipt_root *root, rd_buf *out);
int rd_receipt_root_parse(rd_bytes canonical, rd_receipt_root *ret, rd_err *err) RD_NODISCARD;
/* H("receipt-chain-v1", root statement). */
void rd_receipt_root_chain(rd_bytes root_statement, rd_digest *ret);

/* Signs bursts for one instance. Keeps the chain; not thread-safe. */
typedef struct rd_receipt_signer rd_receipt_signer;

/* key is borrowed and outlives the signer. */
rd_receipt_signer *rd_receipt_signer_new(const rd_signing_key *key);
rd_receipt_signer *rd_receipt_signer_free(rd_receipt_signer *signer);
void rd_receipt_signer_free_p(rd_receipt_signer **signer);
/* Thumbprint of the key. */
const uint8_t *rd_receipt_signer_instance(const rd_receipt_signer *signer);
/* The number that the next burst's first answer gets; starts at 1. */
uint64_t rd_receipt_signer_next_seq(const rd_receipt_signer *signer);
/* claims[count] (1..64): sets instance and seq in each, signs the root and appends receipt i, as it goes into
 * Redoubt-Receipt (base64url), to out[i] (NULL entries are skipped). */
int rd_receipt_sign_burst(rd_receipt_signer *signer, rd_receipt_claims *claims, size_t count, rd_buf *const *out,
                          rd_err *err) RD_NODISCARD;

typedef struct rd_receipt {
    rd_receipt_claims claims;
    rd_buf claims_bytes; /* canonical */
    uint32_t index;
    rd_tree_path path;
    rd_buf payload;        /* the root statement as signed */
    rd_buf protected_text; /* base64url text of the JWS header, as signed */
    rd_signature signature;
    rd_receipt_root root;
} rd_receipt;

void rd_receipt_done(rd_receipt *receipt);
/* Canonical JSON into a fresh struct; call rd_receipt_done also after a failure. */
int rd_receipt_parse(rd_bytes canonical, rd_receipt *ret, rd_err *err) RD_NODISCARD;
/* The header's base64url form. */
int rd_receipt_parse_header(const char *text, size_t text_size, rd_receipt *ret, rd_err *err) RD_NODISCARD;

/* Plaintext of an exchange as the caller saw it. */
typedef struct rd_exchange {
    rd_bytes method, target, request_type, request_body;
    uint32_t status;
    rd_bytes response_type, response_body;
} rd_exchange;

/* What the verifier knows already; NULL members are not checked and their steps say skipped. */
typedef struct rd_receipt_expect {
    const rd_public_key *key; /* receipt key; or through statement, not both needed */
    const rd_bytes
        *statement; /* canonical status statement from verified evidence: key, app, release, head, class, evidence */
    const rd_app_id *app;
    const rd_digest *release;
    const rd_digest *head;
    const rd_class *class;
    const uint8_t *nonce;        /* 32 bytes that the caller sent */
    const uint8_t *salt;         /* 32 bytes */
    const rd_exchange *exchange; /* with salt */
} rd_receipt_expect;

typedef enum rd_receipt_step {
    RD_STEP_HEADER,    /* protected header is exactly ours, kid is the known key's thumbprint */
    RD_STEP_SIGNATURE, /* the root statement is signed by the receipt key */
    RD_STEP_PATH,      /* claims lead to the root at their index; seq = first + index */
    RD_STEP_INSTANCE,  /* claims and root name this key */
    RD_STEP_EVIDENCE,  /* claims name the statement and agree with it */
    RD_STEP_APP,       /* app, release, head and class are the expected ones */
    RD_STEP_NONCE,
    RD_STEP_REQUEST,
    RD_STEP_RESPONSE,
    RD_STEP_COUNT
} rd_receipt_step;

typedef enum rd_step_result { RD_STEP_SKIPPED, RD_STEP_PASSED, RD_STEP_FAILED } rd_step_result;

extern const char *const rd_receipt_step_names[]; /* by value: "header", "signature", … */

/* 0 when no step failed. Stops at the first failure of header, signature, path or instance; runs the others to the end
 * so that all can be shown. Without key and statement: USAGE. err holds the first failure: SIGNATURE, RECEIPT_PATH,
 * RECEIPT_CLAIMS, RECEIPT_COMMITMENT, NONCE. steps may be NULL. */
int rd_receipt_verify(const rd_receipt *receipt, const rd_receipt_expect *expect, rd_step_result steps[RD_STEP_COUNT],
                      rd_err *err) RD_NODISCARD;

#endif
