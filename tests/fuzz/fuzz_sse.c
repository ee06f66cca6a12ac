// link: cli_core
/* A stream of events read in pieces gives what it gives whole; the first byte says how large the pieces are. */
#include "cli/sse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool note(void *context, const char *event, const char *data)
{
    (void)rd_buf_printf(context, "%s|%s\n", event, data);
    return strcmp(event, "end") != 0;
}

static int read_in_pieces(rd_bytes bytes, size_t piece, rd_buf *seen)
{
    cli_sse sse;
    cli_sse_init(&sse);
    rd_err err = RD_ERR_INIT;
    int step = 1;
    for (size_t at = 0; at < bytes.size && step > 0; at += piece)
        step = cli_sse_feed(&sse, rd_bytes_of(bytes.data + at, RD_MIN(piece, bytes.size - at)), note, seen, &err);
    for (const char *c = sse.last_id; *c; c++)
        if (*c < ' ' || *c > '~')
            abort();
    (void)rd_buf_append_str(seen, sse.last_id);
    cli_sse_done(&sse);
    return step;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    rd_bytes bytes = rd_bytes_of(data + 1, size - 1);
    rd_buf pieces, whole;
    rd_buf_init(&pieces, 0);
    rd_buf_init(&whole, 0);
    int step = read_in_pieces(bytes, (size_t)data[0] + 1, &pieces);
    if (read_in_pieces(bytes, size, &whole) != step || !rd_bytes_equal(rd_buf_bytes(&pieces), rd_buf_bytes(&whole)))
        abort();
    rd_buf_done(&pieces);
    rd_buf_done(&whole);
    return 0;
}
