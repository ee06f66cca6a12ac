/* kms_nonces: nonces that were given out and not yet used: single use, ten minutes, a bounded ring.
 * Used by the front. When the ring is full the oldest one ends early, whoever holds it asks again. */
#ifndef KMS_NONCES_H
#define KMS_NONCES_H

#include "common/base/defs.h"
#include "common/base/err.h"

#define KMS_NONCES_MAX    4096
#define KMS_NONCE_TERM_US INT64_C(600000000)

typedef struct kms_nonce {
    uint8_t bytes[32];
    int64_t until_us; /* 0: unused slot */
} kms_nonce;

typedef struct kms_nonces {
    kms_nonce items[KMS_NONCES_MAX];
    size_t next;
} kms_nonces;

/* Draws one. now_us is a clock that only goes forward. */
void kms_nonces_draw(kms_nonces *nonces, int64_t now_us, uint8_t ret[32]);
/* KMS_NONCE unless it is there and in its term; it is gone afterwards in any case. */
int kms_nonces_take(kms_nonces *nonces, int64_t now_us, const uint8_t nonce[32], rd_err *err) RD_NODISCARD;

#endif
