/* receipts: what an instance says of its answers, signed a burst at a time.
 * Used by the server, which collects the answers that are ready together. Moves with identity into a process of its own
 * later: nothing of the engine's side includes it.
 * Makes claims about answers of this instance alone; signs no bytes chosen elsewhere.
 */
#ifndef ENCL_RECEIPTS_H
#define ENCL_RECEIPTS_H

#include "common/model/receipt_record.h"
#include "enclave/runtime/identity.h"

/* Answers signed together at most (enclave.md). */
#define ENCL_BURST_MAX 32

typedef struct encl_receipts encl_receipts;

/* identity and platform are borrowed; the identity must have made its status evidence. */
encl_receipts *encl_receipts_new(const encl_identity *identity, encl_platform *platform, const encl_app *app);
encl_receipts *encl_receipts_free(encl_receipts *receipts);
void encl_receipts_free_p(encl_receipts **receipts);

/* What the caller sent for the receipt, or what was drawn in its place. */
typedef struct encl_receipt_wish {
    bool has_salt, has_nonce;
    uint8_t salt[RD_SALT_SIZE];
    uint8_t nonce[RD_NONCE_SIZE];
    uint32_t egress_asked, egress_failed; /* not the caller's: what the function asked of others for this answer */
    bool is_sealed;                       /* nor this: what is kept of the receipt says nothing of the answer, which the
                                           * relay has not read either */
} encl_receipt_wish;

/* Draws a salt when the caller sent none; the answer then carries it. */
int encl_receipts_salt(encl_receipts *receipts, encl_receipt_wish *wish, rd_err *err) RD_NODISCARD;

/* Adds an answer to the burst; out gets its receipt (base64url) when the burst is signed and must live until then.
 * False when the burst is full. */
bool encl_receipts_add(encl_receipts *receipts, const encl_receipt_wish *wish, const rd_exchange *exchange,
                       rd_buf *out);
/* Answers waiting for their signature. */
size_t encl_receipts_waiting(const encl_receipts *receipts);
/* One signature for the burst; 0 also when nothing waits. */
int encl_receipts_sign(encl_receipts *receipts, rd_err *err) RD_NODISCARD;
/* The burst that was signed last, to be kept by the plane; before the next answer is added. */
bool encl_receipts_record(const encl_receipts *receipts, rd_buf *out) RD_NODISCARD;

#endif
