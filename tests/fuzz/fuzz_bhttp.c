// link: rd_model
/* Binary HTTP: what reads must lie inside the input, and write and read again as the same message, in a bucket's size.
 */
#include "common/base/mem.h"
#include "common/model/bhttp.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(rd_bytes piece, const uint8_t *data, size_t size)
{
    if (piece.size > 0 && (piece.data < data || piece.data + piece.size > data + size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rd_bhttp_message message, again;
    RD_CLEANUP(rd_buf_done) rd_buf written = { 0 };
    rd_err err = RD_ERR_INIT;
    if (rd_bhttp_read(rd_bytes_of(data, size), &message, &err) < 0) {
        if (err.code == RD_OK)
            abort();
        return 0;
    }
    check_inside(message.content, data, size);
    check_inside(message.path, data, size);
    for (size_t i = 0; i < message.field_count; i++) {
        check_inside(message.fields[i].name, data, size);
        check_inside(message.fields[i].value, data, size);
    }
    /* Empty parts at its end, which may be left out, are written. */
    if (size > RD_BHTTP_HEAD_MAX - 2)
        return 0;
    if (rd_bhttp_write(&message, &written, &err) < 0 || written.size != rd_bhttp_bucket(written.size))
        abort();
    if (rd_bhttp_read(rd_buf_bytes(&written), &again, &err) < 0 || again.field_count != message.field_count ||
        again.status != message.status || !rd_bytes_equal(again.content, message.content) ||
        !rd_bytes_equal(again.path, message.path) || !rd_bytes_equal(again.authority, message.authority))
        abort();
    return 0;
}
