// link: rd_http
#include <stdlib.h>
#include <string.h>

#include "common/http/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What all take, takers take too and read in the same way, but for what they know more of. */
static void compare(const rd_http_head *strict, rd_bytes bytes)
{
    static rd_http_head taken;
    size_t scanned = 0;
    unsigned all = RD_HTTP_TAKES_CHUNKS | RD_HTTP_TAKES_EXPECT | RD_HTTP_TAKES_OLD;
    int outcome = rd_http_head_parse(bytes, all, &scanned, &taken, NULL);
    if (strict != NULL &&
        (outcome != RD_HTTP_DONE || taken.head_size != strict->head_size || taken.is_chunked || taken.is_old ||
         taken.content_length != strict->content_length || taken.keeps_alive != strict->keeps_alive))
        abort();
    if (outcome == RD_HTTP_DONE && taken.is_chunked && (taken.content_length != 0 || taken.is_old))
        abort();
}

/* Whole and grown byte by byte must agree, and what is borrowed must lie inside. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rd_http_head whole, grown;
    size_t scanned = 0;
    int outcome = rd_http_head_parse(rd_bytes_of(data, size), 0, &scanned, &whole, NULL);
    if (outcome == RD_HTTP_DONE) {
        if (whole.head_size > size || whole.headers_count > RD_HTTP_COUNT_MAX)
            abort();
        for (size_t i = 0; i < whole.headers_count; i++) {
            const rd_http_header *header = &whole.headers[i];
            if (memchr(header->value.data, '\n', header->value.size) != NULL || header->name.size == 0)
                abort();
        }
    }
    compare(outcome == RD_HTTP_DONE ? &whole : NULL, rd_bytes_of(data, size));
    if (size > 512)
        return 0;
    size_t grown_scanned = 0;
    int step = RD_HTTP_MORE;
    for (size_t i = 0; i <= size && step == RD_HTTP_MORE; i++)
        step = rd_http_head_parse(rd_bytes_of(data, i), 0, &grown_scanned, &grown, NULL);
    if (step == RD_HTTP_DONE && (outcome != RD_HTTP_DONE || grown.head_size != whole.head_size))
        abort();
    return 0;
}
