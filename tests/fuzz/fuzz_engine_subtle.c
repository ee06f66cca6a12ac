// link: encl_engine
/* Questions of a corrupted guest to crypto.subtle: the first byte says which, the rest is the question. */
#include "enclave/engine/guest/guest_abi.h"
#include "enclave/engine/subtle.h"

static int fixed(void *context, uint8_t *out, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(i + 1);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One input asks several times, so that a question can name a key that an earlier one made: each is a byte for its
 * kind, two for its size, and its bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    encl_subtle *subtle = encl_subtle_new(fixed, NULL);
    encl_subtle_seal(subtle);
    while (size > 3) {
        size_t take = (size_t)data[1] | (size_t)data[2] << 8;
        take = take > size - 3 ? size - 3 : take;
        rd_buf reply = { 0 };
        encl_subtle_ask(subtle, 1 + data[0] % 10, (rd_bytes){ data + 3, take }, &reply);
        rd_buf_done(&reply);
        data += 3 + take;
        size -= 3 + take;
    }
    encl_subtle_free(subtle);
    return 0;
}
