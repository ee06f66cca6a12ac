/* kms_shares: a secret split so that any k of n shares give it back and fewer tell nothing (A. Shamir, "How to share a
 * secret", 1979), byte by byte over GF(2^8) with the polynomial x^8 + x^4 + x^3 + x + 1.
 * Used by the root process alone. No branch and no address depends on a secret. */
#ifndef KMS_SHARES_H
#define KMS_SHARES_H

#include "common/base/defs.h"
#include "common/crypto/random.h"

#define KMS_SHARED_SIZE 64 /* root secret, seed of the root signing key */
#define KMS_SHARES_MAX  16

typedef struct kms_share {
    uint8_t x; /* from 1; 0 would be the secret */
    uint8_t y[KMS_SHARED_SIZE];
} kms_share;

/* 1 <= k <= n <= KMS_SHARES_MAX; writes n shares with x = 1..n. */
void kms_shares_split(const uint8_t secret[KMS_SHARED_SIZE], size_t k, size_t n, const rd_random *random,
                      kms_share *ret);
/* Of exactly k shares with k different x. Whether they were right ones, nothing here can tell. */
void kms_shares_combine(const kms_share *shares, size_t k, uint8_t ret[KMS_SHARED_SIZE]);

/* The field's product, for tests. */
uint8_t kms_shares_multiply(uint8_t a, uint8_t b);

#endif
