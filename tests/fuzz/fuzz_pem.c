// link: rd_crypto
/* Key files: what is read as a private key is written and read again as the same. */
#include "common/crypto/sign.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_signing(rd_bytes pem)
{
    rd_err err = RD_ERR_INIT;
    rd_signing_key *key = NULL, *again = NULL;
    if (rd_signing_key_from_pem(pem, &key, &err) < 0)
        return;
    rd_buf written;
    rd_buf_init(&written, 0);
    if (rd_signing_key_to_pem(key, &written, &err) < 0 ||
        rd_signing_key_from_pem(rd_buf_bytes(&written), &again, &err) < 0)
        abort();
    rd_buf_done(&written);
    rd_signing_key_free(key);
    rd_signing_key_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes pem = rd_bytes_of(data, size);
    check_signing(pem);
    rd_err err = RD_ERR_INIT;
    rd_p256_key *key = NULL;
    if (rd_p256_key_from_pem(pem, &key, &err) == 0)
        rd_p256_key_free(key);
    return 0;
}
