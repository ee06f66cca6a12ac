/* proof: evidence of an instance checked on this machine, and receipts checked against it.
 * Used by invoke, verify and receipts verify, and so by whatever seals to an instance. Trusts the vendors' roots and
 * what the profile names: simulation roots, runtimes, policy of the caller, key services. The owner's policy can only
 * tighten that; nothing that the plane says counts. */
#ifndef CLI_PROOF_H
#define CLI_PROOF_H

#include "cli/collateral.h"
#include "cli/docs.h"
#include "common/model/statement.h"

typedef struct cli_proof {
    rd_buf statement; /* canonical */
    rd_public_key receipt_key;
    rd_id instance;
    bool has_ohttp, is_simulated;
    uint8_t ohttp[32]; /* SHA-256 of the keys for sealed requests */
} cli_proof;

typedef struct cli_proof_request {
    rd_bytes evidence; /* bundle */
    const cli_collateral *collateral;
    bool is_saved; /* out of a file: nothing of it is remembered */
    const cli_docs *docs;
    rd_purpose purpose;
    const uint8_t *nonce; /* 32 bytes, or NULL */
    const rd_id *instance;
    const uint64_t *epoch; /* of one launch; NULL: any */
    /* Purpose channel: of this machine's end of the connection, 32 bytes each; else NULL. */
    const uint8_t *channel, *tls;
    int64_t now_us;
} cli_proof_request;

/* Verifies: the owner's policy, the caller's demands, the key services that the head names. Steps are appended also on
 * failure. */
int cli_proof_check(cli_context *context, const cli_proof_request *request, cli_proof *ret, json_t *steps,
                    rd_err *err) RD_NODISCARD;
void cli_proof_done(cli_proof *proof);

typedef struct cli_receipt_request {
    const char *receipt; /* base64url text of the header */
    const uint8_t *salt;
    const uint8_t *nonce; /* or NULL */
    rd_bytes method, target, request_type, request_body;
    uint32_t status;
    rd_bytes response_type, response_body;
} cli_receipt_request;

/* Verifies a receipt under a checked proof; steps are appended also on failure. */
int cli_receipt_check(const cli_receipt_request *request, const cli_docs *docs, const cli_proof *proof, json_t *steps,
                      rd_err *err) RD_NODISCARD;

#endif
