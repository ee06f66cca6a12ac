/* receipt_record: a burst of receipts as the plane keeps it: the signed root and every leaf, without what a relay must
 * not see. Of a plain answer the claims are there, of a sealed one the leaf's digest alone: its status and its
 * commitments stay between caller and enclave, who can prove by his receipt that it is this leaf.
 * Written by enclaves (rd_receipt_signer_record), read by whoever carries, keeps or verifies them (formats.md). */
#ifndef RD_MODEL_RECEIPT_RECORD_H
#define RD_MODEL_RECEIPT_RECORD_H

#include "common/model/receipt.h"

#define RD_RECEIPT_RECORD_SIZE_MAX ((size_t)32 << 10)

typedef struct rd_receipt_leaf {
    rd_digest digest;
    rd_bytes claims; /* canonical, borrowed from the record; empty: sealed */
} rd_receipt_leaf;

typedef struct rd_receipt_record {
    rd_receipt_root root;
    rd_bytes payload; /* the root statement as signed, borrowed */
    rd_signature signature;
    rd_receipt_leaf leaves[RD_TREE_LEAVES_MAX]; /* root.count of them, in order of seq */
} rd_receipt_record;

/* Strict, and the leaves lead to the root. Says nothing of the signature, and does not look into the claims.
 * Errors: RECEIPT_RECORD (form), RECEIPT_PATH (another tree), those of the root statement. */
int rd_receipt_record_parse(rd_bytes bytes, rd_receipt_record *ret, rd_err *err) RD_NODISCARD;

/* Signed by this key, which the root names; claims that are there are of this instance and at their place. Errors:
 * SIGNATURE, RECEIPT_CLAIMS. */
int rd_receipt_record_verify(const rd_receipt_record *record, const rd_public_key *key, rd_err *err) RD_NODISCARD;

/* Appends the record of the signer's last burst; is_sealed[count of it] says whose claims are left out. False: there
 * was none, or it does not fit. */
bool rd_receipt_signer_record(const rd_receipt_signer *signer, const bool *is_sealed, rd_buf *out) RD_NODISCARD;

#endif
