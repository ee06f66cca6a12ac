#include "enclave/kms/kms_nonces.h"

#include <string.h>

#include "common/crypto/random.h"

void kms_nonces_draw(kms_nonces *nonces, int64_t now_us, uint8_t ret[32])
{
    kms_nonce *slot = &nonces->items[nonces->next];
    nonces->next = (nonces->next + 1) % KMS_NONCES_MAX;
    rd_random_bytes(slot->bytes, sizeof(slot->bytes));
    slot->until_us = now_us + KMS_NONCE_TERM_US;
    memcpy(ret, slot->bytes, sizeof(slot->bytes));
}

int kms_nonces_take(kms_nonces *nonces, int64_t now_us, const uint8_t nonce[32], rd_err *err)
{
    for (size_t i = 0; i < KMS_NONCES_MAX; i++) {
        kms_nonce *slot = &nonces->items[i];
        if (slot->until_us == 0 || memcmp(slot->bytes, nonce, sizeof(slot->bytes)) != 0)
            continue;
        bool is_in_time = now_us < slot->until_us;
        *slot = (kms_nonce){ .until_us = 0 };
        if (is_in_time)
            return 0;
        return rd_err_set(err, RD_E_KMS_NONCE, "the nonce is older than ten minutes");
    }
    return rd_err_set(err, RD_E_KMS_NONCE, "not a nonce of this key service, or one that was used");
}
