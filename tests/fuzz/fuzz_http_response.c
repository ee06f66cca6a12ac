// link: api_core
#include "api/http_response.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte says how large the pieces are. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    api_http_response response = { 0 };
    rd_err err = RD_ERR_INIT;
    api_http_response_begin(&response, data[0] & 1, 4096);
    for (size_t at = 1; at < size; at += piece) {
        rd_bytes input = rd_bytes_of(data + at, RD_MIN(piece, size - at)), body;
        int step;
        while ((step = api_http_response_step(&response, &input, &body, &err)) == API_HTTP_HEAD ||
               step == API_HTTP_BODY)
            ;
        (void)api_http_response_trailer(&response);
        if (step != API_HTTP_MORE)
            break;
    }
    api_http_response_done(&response);
    return 0;
}
