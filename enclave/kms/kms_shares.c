#include "enclave/kms/kms_shares.h"

#include <string.h>

#include "common/base/mem.h"

uint8_t kms_shares_multiply(uint8_t a, uint8_t b)
{
    unsigned left = a, product = 0;
    for (unsigned bit = 0; bit < 8; bit++) {
        product ^= left & (0u - ((b >> bit) & 1u));
        left = (left << 1) ^ (0x11bu & (0u - (left >> 7)));
    }
    return (uint8_t)product;
}

/* a^254, which is 1/a. */
static uint8_t invert(uint8_t a)
{
    uint8_t result = 1, power = a;
    for (unsigned bit = 1; bit < 8; bit++) {
        power = kms_shares_multiply(power, power);
        result = kms_shares_multiply(result, power);
    }
    return result;
}

/* coefficients: k - 1 rows, of the powers from 1 up. Horner's rule. */
static void evaluate(const uint8_t secret[KMS_SHARED_SIZE], uint8_t (*coefficients)[KMS_SHARED_SIZE], size_t k,
                     kms_share *share)
{
    for (size_t at = 0; at < KMS_SHARED_SIZE; at++) {
        uint8_t y = 0;
        for (size_t power = k - 1; power > 0; power--)
            y = kms_shares_multiply((uint8_t)(y ^ coefficients[power - 1][at]), share->x);
        share->y[at] = (uint8_t)(y ^ secret[at]);
    }
}

void kms_shares_split(const uint8_t secret[KMS_SHARED_SIZE], size_t k, size_t n, const rd_random *random,
                      kms_share *ret)
{
    uint8_t coefficients[KMS_SHARES_MAX][KMS_SHARED_SIZE];
    rd_random_fill(random, coefficients, sizeof(coefficients));
    for (size_t i = 0; i < n; i++) {
        ret[i].x = (uint8_t)(i + 1);
        evaluate(secret, coefficients, k, &ret[i]);
    }
    rd_wipe(coefficients, sizeof(coefficients));
}

void kms_shares_combine(const kms_share *shares, size_t k, uint8_t ret[KMS_SHARED_SIZE])
{
    memset(ret, 0, KMS_SHARED_SIZE);
    for (size_t i = 0; i < k; i++) {
        uint8_t weight = 1; /* the share's part of the value at 0 */
        for (size_t j = 0; j < k; j++)
            if (j != i)
                weight = kms_shares_multiply(
                    weight, kms_shares_multiply(shares[j].x, invert((uint8_t)(shares[j].x ^ shares[i].x))));
        for (size_t at = 0; at < KMS_SHARED_SIZE; at++)
            ret[at] ^= kms_shares_multiply(weight, shares[i].y[at]);
    }
}
