// link: rd_model
/* Code bundles: what parses encodes to canonical JSON that parses to the same. */
#include "common/base/mem.h"
#include "common/model/canonical.h"
#include "common/model/code_bundle.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RD_CLEANUP(rd_code_bundle_done) rd_code_bundle bundle;
    RD_CLEANUP(rd_code_bundle_done) rd_code_bundle read = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf first = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf second = { 0 };
    rd_err err = RD_ERR_INIT;
    if (rd_code_bundle_parse(rd_bytes_of(data, size), &bundle, &err) < 0) {
        if (err.code == RD_OK)
            abort();
        return 0;
    }
    if (!rd_code_bundle_find(&bundle, bundle.main) || rd_code_bundle_encode(&bundle, &first, NULL) < 0)
        abort();
    if (rd_code_bundle_parse(rd_buf_bytes(&first), &read, NULL) < 0 ||
        rd_code_bundle_encode(&read, &second, NULL) < 0 || !rd_bytes_equal(rd_buf_bytes(&first), rd_buf_bytes(&second)))
        abort();
    return 0;
}
