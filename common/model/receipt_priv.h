/* receipt_priv: what signing and verifying receipts share.
 * Used by receipt*.c alone. */
#ifndef RD_MODEL_RECEIPT_PRIV_H
#define RD_MODEL_RECEIPT_PRIV_H

#include "common/model/receipt.h"

#define RD_CLAIMS_TYPE       "redoubt/receipt/v1"
#define RD_RECEIPT_ROOT_TYPE "redoubt/receipt-root/v1"

/* A record (receipt_record.h) begins with its version; each leaf with its kind. */
#define RD_RECEIPT_RECORD_VERSION 1
enum { RD_LEAF_CLAIMS, RD_LEAF_SEALED };

extern const rd_json_field rd_receipt_claims_fields[];

/* Appends the base64url text of the JWS protected header: exactly alg, kid, typ (RFC 7515, 5.1). */
bool rd_receipt_put_protected(const uint8_t thumbprint[32], rd_buf *out);

#endif
