// link: rd_attest
/* Any bytes as an evidence bundle with its event log, as a CCEL area, and as a dstack log. */
#include "attest/eventlog.h"
#include "common/model/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_evidence evidence = { 0 };
    uint8_t rtmr[RD_RTMR_SIZE];
    rd_register_log log;
    (void)!rd_ccel_replay(rd_bytes_of(data, size), &log, NULL);
    (void)!rd_dstack_replay(rd_bytes_of(data, size), &log, NULL);
    if (rd_evidence_parse(rd_bytes_of(data, size), &evidence, NULL) == 0)
        (void)!rd_evidence_check_log(&evidence, rtmr, NULL);
    rd_evidence_done(&evidence);
    return 0;
}
