// link: rd_attest
/* Any bytes as an evidence bundle: parsing, and the rules for its event log. */
#include "common/model/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_evidence evidence = { 0 };
    uint8_t rtmr[RD_RTMR_SIZE];
    if (rd_evidence_parse(rd_bytes_of(data, size), &evidence, NULL) == 0)
        (void)!rd_evidence_check_log(&evidence, rtmr, NULL);
    rd_evidence_done(&evidence);
    return 0;
}
