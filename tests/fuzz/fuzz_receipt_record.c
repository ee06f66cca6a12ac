// link: rd_model
/* Records of receipts: what parses leads to its root, holds no more than it may, and fails under a stranger's key. */
#include "common/base/mem.h"
#include "common/model/receipt_record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const rd_public_key stranger = { { 0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe,
                                              0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6,
                                              0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a } };
    RD_CLEANUP(rd_free_p) rd_receipt_record *record = rd_alloc(sizeof *record);
    rd_err err = RD_ERR_INIT;
    if (rd_receipt_record_parse(rd_bytes_of(data, size), record, &err) < 0) {
        if (err.code == RD_OK)
            abort();
        return 0;
    }
    if (record->root.count < 1 || record->root.count > RD_TREE_LEAVES_MAX)
        abort();
    for (uint32_t i = 0; i < record->root.count; i++)
        if (record->leaves[i].claims.size > RD_CLAIMS_SIZE_MAX)
            abort();
    if (rd_receipt_record_verify(record, &stranger, &err) == 0)
        abort();
    return 0;
}
