// link: encl_world encl_engine
/* A response of a hostile server, cut where its first byte says: no crash, and a body within its bound. */
#include <stdlib.h>

#include "enclave/world/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    encl_answer answer;
    rd_err err = RD_ERR_INIT;
    size_t step = size > 0 ? 1 + data[0] : 1;

    encl_answer_init(&answer, size > 1 && data[1] == 'H' && data[0] % 7 == 0, 4096);
    for (size_t at = 1; at < size; at += step) {
        if (encl_answer_feed(&answer, rd_bytes_of(data + at, RD_MIN(step, size - at)), &err) < 0)
            break;
    }
    (void)!encl_answer_end(&answer, &err);
    if (answer.body.size > 4096 || answer.headers_count > ENCL_ANSWER_COUNT_MAX)
        abort();
    encl_answer_done(&answer);
    return 0;
}
