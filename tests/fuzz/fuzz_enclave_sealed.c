// link: enclave_core encl_engine
/* The gateway's door: strangers' bytes never open; and what an honest seal holds is read as a request or refused. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "enclave/runtime/sealed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static encl_seal *new_seal(void)
{
    static const encl_platform_ops ops = { .tee = "sim", .class_ = "simulated" };
    static encl_platform platform;
    encl_seal *seal = NULL;
    rd_err err = RD_ERR_INIT;
    encl_platform_init(&platform, &ops);
    if (encl_seal_new(&platform, rd_clock_system(), ENCL_SEAL_LIMITS, &seal, &err) < 0)
        abort();
    return seal;
}

static void open_it(rd_bytes bytes, bool is_chunked)
{
    static encl_seal *seal;
    if (!seal)
        seal = new_seal();
    uint8_t keys[RD_OHTTP_KEYS_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    encl_sealing *sealing;
    rd_err err = RD_ERR_INIT;
    /* A key goes after an hour: whoever asks for it has the next one drawn. */
    if (encl_seal_keys(seal, keys, &err) < 0 ||
        encl_sealing_open(seal, is_chunked, bytes, &sealing, &message, &err) == 0 || message.size > 0 ||
        err.code != RD_E_SEAL)
        abort();
}

static bool is_in(rd_bytes piece, rd_bytes whole)
{
    return piece.size == 0 || (piece.data >= whole.data && piece.data + piece.size <= whole.data + whole.size);
}

static void read_it(rd_bytes bytes, encl_sealed_store *store)
{
    static rd_http_head request;
    rd_bytes body = RD_BYTES_NULL;
    rd_err err = RD_ERR_INIT;
    memset(&request, 0, sizeof request);
    if (encl_sealed_read(bytes, store, &request, &body, &err) < 0)
        return;
    if (request.target.size == 0 || request.target.data[0] != '/' || request.headers_count > RD_HTTP_COUNT_MAX)
        abort();
    if (!is_in(body, bytes) && !(store && is_in(body, rd_buf_bytes(&store->content))))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes bytes = rd_bytes_of(data, size);
    RD_CLEANUP(encl_sealed_store_done) encl_sealed_store store = { .reader = NULL };
    open_it(bytes, false);
    open_it(bytes, true);
    read_it(bytes, NULL);
    read_it(bytes, &store);
    return 0;
}
