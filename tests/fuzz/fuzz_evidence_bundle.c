// link: rd_model
/* Evidence bundles: parsing, the way of a nonce, replay of the log, and the check of its shape. */
#include "common/base/mem.h"
#include "common/model/evidence.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    RD_CLEANUP(rd_evidence_done) rd_evidence evidence;
    rd_err err = RD_ERR_INIT;
    uint8_t rtmr3[RD_RTMR_SIZE];
    static const uint8_t nonce[RD_NONCE_SIZE];
    rd_launch_header header;
    (void)!rd_launch_header_parse(rd_bytes_of(data, size), &header, NULL);
    if (rd_evidence_parse(rd_bytes_of(data, size), &evidence, &err) < 0) {
        if (err.code == RD_OK)
            abort();
        return 0;
    }
    (void)!rd_evidence_answers(&evidence, nonce);
    if (rd_evidence_check_log(&evidence, rtmr3, &err) < 0)
        return 0;
    /* What passes has one form: encoding it gives the same bytes. */
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    const uint8_t *log_header = evidence.events_count ? evidence.events[0].payload : NULL;
    const rd_nonce_path *path = evidence.has_nonce_path ? &evidence.nonce_path : NULL;
    if (rd_evidence_encode(rd_buf_bytes(&evidence.quote), rd_buf_bytes(&evidence.statement_bytes), log_header, path,
                           &again, NULL) < 0 ||
        !rd_bytes_equal(rd_buf_bytes(&again), rd_bytes_of(data, size)))
        abort();
    return 0;
}
