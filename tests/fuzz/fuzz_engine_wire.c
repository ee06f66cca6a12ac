// link: encl_engine
/* The response buffer as a hostile guest could write it: whatever is accepted must be fit to send. */
#include <stdlib.h>
#include <string.h>

#include "enclave/engine/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    encl_header headers[8];
    encl_response response;
    rd_err err = RD_ERR_INIT;

    if (encl_wire_response_read(rd_bytes_of(data, size), headers, RD_ARRAY_LEN(headers), &response, &err) < 0)
        return 0;
    if (response.status < 200 || response.status > 599 || response.header_count > RD_ARRAY_LEN(headers))
        abort();
    for (size_t i = 0; i < response.header_count; i++) {
        if (headers[i].name.size == 0 ||
            (headers[i].value.size > 0 && (memchr(headers[i].value.data, '\n', headers[i].value.size) ||
                                           memchr(headers[i].value.data, '\r', headers[i].value.size))))
            abort();
    }
    return 0;
}
