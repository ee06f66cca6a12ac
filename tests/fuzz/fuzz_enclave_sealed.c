// link: enclave_core encl_engine
/* The gateway's door: strangers' bytes never open; and what an honest seal holds is read as a request or refused. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "enclave/runtime/seal.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static encl_seal *seal;
    static encl_http_request request;
    if (!seal)
        seal = new_seal();
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    rd_bytes body = RD_BYTES_NULL;
    rd_ohttp exchange;
    rd_err err = RD_ERR_INIT;
    if (encl_seal_open(seal, rd_bytes_of(data, size), &exchange, &message, &err) == 0 || message.size > 0 ||
        err.code != RD_E_SEAL)
        abort();
    memset(&request, 0, sizeof request);
    if (encl_sealed_read(rd_bytes_of(data, size), &request, &body, &err) < 0)
        return 0;
    if (request.target.size == 0 || request.target.data[0] != '/' || request.headers_count > ENCL_HTTP_COUNT_MAX)
        abort();
    if (body.size > 0 && (body.data < data || body.data + body.size > data + size))
        abort();
    return 0;
}
