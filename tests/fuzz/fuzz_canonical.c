// link: rd_model
/* Whatever parses has one canonical form, which is a fixed point; what passes the check is that form. */
#include "common/base/mem.h"
#include "common/model/canonical.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes bytes = rd_bytes_of(data, size);
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_json_free_p) json_t *value = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *again = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf first = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf second = { 0 };
    bool is_canonical = rd_canonical_check(bytes, NULL, &err) == 0;
    const rd_json_limits limits = { .integers_only = true };
    if (rd_json_parse(bytes, &limits, &value, &err) < 0) {
        if (is_canonical || err.code == RD_OK)
            abort();
        return 0;
    }
    if (rd_canonical_write(value, &first, &err) < 0)
        abort();
    if (is_canonical != rd_bytes_equal(bytes, rd_buf_bytes(&first)))
        abort();
    if (first.size > RD_JSON_SIZE_MAX) /* escapes can make a document longer than the bound */
        return 0;
    if (rd_json_parse(rd_buf_bytes(&first), &limits, &again, &err) < 0 ||
        rd_canonical_write(again, &second, &err) < 0 || !rd_bytes_equal(rd_buf_bytes(&first), rd_buf_bytes(&second)))
        abort();
    return 0;
}
