// link: rd_fetch
/* Any bytes as a service's response headers: the lines, then the chain that they carried; and as a scope's text. */
#include <string.h>

#include "common/base/mem.h"
#include "fetch/fetch.h"
#include "fetch/headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static fetch_scopes scopes;
    RD_CLEANUP(fetch_headers_done) fetch_headers headers = { .chain_name = "tcb-info-issuer-chain" };
    RD_CLEANUP(rd_buf_done) rd_buf pem = { 0 };
    RD_CLEANUP(rd_free_p) char *text = rd_strndup((const char *)data, size), *url = NULL;
    rd_err err = RD_ERR_INIT;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t line = end ? (size_t)(end - data) + 1 - at : size - at;
        if (fetch_headers_take(&headers, rd_bytes_of(data + at, line), &err) < 0)
            break;
        at += line;
    }
    (void)!fetch_chain_decode(rd_buf_bytes(&headers.chain), &pem, &err);
    (void)!fetch_chain_decode(rd_bytes_of(data, size), &pem, &err);
    scopes.count = 0;
    (void)!fetch_scopes_add(&scopes, text, &err);
    (void)!fetch_base_url(text, &url, &err);
    return 0;
}
