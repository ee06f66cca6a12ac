// link: rd_fetch
/* Any bytes as a service's response headers: the lines, then the chain that they carried; as a scope's text, and as the
 * validators that were kept for it. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "fetch/cache.h"
#include "fetch/fetch.h"
#include "fetch/headers.h"
#include "fetch/validators.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is kept can be sent, and is of a piece that is there. */
static void load_validators(rd_bytes json)
{
    static fetch_http *http;
    static rd_collateral_set *set;
    const fetch_http_options options = { .clock = rd_clock_system() };
    if (!http) {
        set = rd_collateral_set_new();
        if (fetch_http_new(&options, &http, NULL) < 0 ||
            rd_collateral_set_put(set, RD_PIECE_TCB_INFO, RD_BYTES_LIT("x"), RD_BYTES_LIT("y"), NULL) < 0)
            abort();
    }
    (void)!fetch_validators_load(http, json, set, NULL);
    const fetch_cache *cache = fetch_http_cache(http);
    for (size_t i = 0; i < cache->count; i++)
        if (!fetch_header_is_sendable(rd_bytes_str(cache->items[i]->etag)) ||
            !fetch_header_is_sendable(rd_bytes_str(cache->items[i]->last_modified)) || cache->items[i]->body.size != 1)
            abort();
    fetch_http_forget(http, NULL);
}

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
    load_validators(rd_bytes_of(data, size));
    return 0;
}
