// link: rd_model
/* The genesis of a key service: what parses has one form. */
#include "common/base/mem.h"
#include "common/model/kms_genesis.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    rd_kms_genesis genesis;
    rd_err err = RD_ERR_INIT;
    if (rd_kms_genesis_parse(rd_bytes_of(data, size), &genesis, &err) < 0) {
        if (err.code == RD_OK)
            abort();
        return 0;
    }
    if (rd_kms_genesis_encode(&genesis, &again, NULL) < 0 ||
        !rd_bytes_equal(rd_buf_bytes(&again), rd_bytes_of(data, size)))
        abort();
    return 0;
}
