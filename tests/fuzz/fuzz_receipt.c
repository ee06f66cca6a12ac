// link: rd_model
/* Receipts and their parts: what parses is verified against a key that signed none of it, and must fail. */
#include "common/base/mem.h"
#include "common/model/receipt.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const rd_public_key stranger = { { 0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
                                              0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
                                              0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a } };
    rd_bytes bytes = rd_bytes_of(data, size);
    rd_err err = RD_ERR_INIT;
    rd_receipt_claims claims;
    rd_receipt_root root;
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    (void)!rd_receipt_claims_parse(bytes, &claims, NULL);
    if (rd_receipt_root_parse(bytes, &root, NULL) == 0 &&
        (!rd_receipt_root_encode(&root, &again) || !rd_bytes_equal(bytes, rd_buf_bytes(&again))))
        abort();
    RD_CLEANUP(rd_receipt_done) rd_receipt receipt;
    if (rd_receipt_parse(bytes, &receipt, &err) < 0) {
        if (err.code == RD_OK)
            abort();
        rd_receipt_done(&receipt);
        (void)!rd_receipt_parse_header((const char *)data, size, &receipt, NULL);
        return 0;
    }
    rd_receipt_expect expect = { .key = &stranger };
    rd_step_result steps[RD_STEP_COUNT];
    if (rd_receipt_verify(&receipt, &expect, steps, &err) == 0)
        abort();
    return 0;
}
