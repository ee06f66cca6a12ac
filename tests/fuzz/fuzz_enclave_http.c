// link: enclave_core encl_engine
#include <stdlib.h>
#include <string.h>

#include "enclave/world/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whole and grown byte by byte must agree, and what is borrowed must lie inside. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static encl_http_request whole, grown;
    size_t scanned = 0;
    int outcome = encl_http_parse(rd_bytes_of(data, size), &scanned, &whole, NULL);
    if (outcome == ENCL_HTTP_DONE) {
        if (whole.head_size > size || whole.headers_count > ENCL_HTTP_COUNT_MAX)
            abort();
        for (size_t i = 0; i < whole.headers_count; i++) {
            const encl_http_header *header = &whole.headers[i];
            if (memchr(header->value.data, '\n', header->value.size) != NULL || header->name.size == 0)
                abort();
        }
    }
    if (size > 512)
        return 0;
    size_t grown_scanned = 0;
    int step = ENCL_HTTP_MORE;
    for (size_t i = 0; i <= size && step == ENCL_HTTP_MORE; i++)
        step = encl_http_parse(rd_bytes_of(data, i), &grown_scanned, &grown, NULL);
    if (step == ENCL_HTTP_DONE && (outcome != ENCL_HTTP_DONE || grown.head_size != whole.head_size))
        abort();
    return 0;
}
