// link: rd_attest
/* Any bytes as a report of AMD. Whatever is read has a version that is known, and the parts of its TCB, by each
 * product's layout, are bytes of the report. */
#include <stdlib.h>
#include <string.h>

#include "attest/snp_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tcb(const uint8_t bytes[8])
{
    rd_snp_tcb tcb;
    for (int product = 0; product < RD_SNP_PRODUCT_COUNT; product++) {
        rd_snp_tcb_read(bytes, (rd_snp_product)product, &tcb);
        if (!memchr(bytes, tcb.boot_loader, 8) || !memchr(bytes, tcb.tee, 8) || !memchr(bytes, tcb.snp, 8) ||
            tcb.microcode != bytes[7])
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes in = rd_bytes_of(data, size);
    rd_snp_report report;
    (void)rd_snp_recognises(in);
    if (rd_snp_report_parse(in, &report, NULL) < 0)
        return 0;
    if (size != RD_SNP_REPORT_SIZE || report.claims.version < 2 || report.claims.version > 5)
        abort();
    if (memcmp(report.report_data, data + 0x50, 64) != 0 || memcmp(report.claims.chip_id, data + 0x1a0, 64) != 0)
        abort();
    check_tcb(report.claims.reported_tcb);
    (void)!rd_snp_report_check_reserved(in, report.claims.version, NULL);
    return 0;
}
