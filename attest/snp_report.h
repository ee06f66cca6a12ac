/* snp_report: the fields of an SEV-SNP attestation report, versions 2 to 5, of which 4 is laid out as 3 (AMD 56860;
 * attestation.md 5.1, 5.2).
 * Used by the SNP verifier. Verifies nothing: size, version and reserved ranges alone. */
#ifndef RD_ATTEST_SNP_REPORT_H
#define RD_ATTEST_SNP_REPORT_H

#include "attest/claims.h"

#define RD_SNP_REPORT_SIZE 0x4a0
#define RD_SNP_SIGNED_SIZE 0x2a0

typedef struct rd_snp_report {
    rd_snp_claims claims;
    uint8_t report_data[64];
    uint32_t signing_key; /* 0 VCEK, 1 VLEK, 7 none */
    bool is_chip_masked;
    bool has_product;       /* version 3 and later name the CPU */
    rd_snp_product product; /* 0: a CPU that is not known */
    uint8_t signature[96];  /* r, s, big-endian */
} rd_snp_report;

/* By the first bytes, or by the size of a report. */
bool rd_snp_recognises(rd_bytes quote);
/* SNP_FORMAT (size), SNP_VERSION, QUOTE_KEYTYPE, SNP_POLICY (bit 17), SNP_SIG (longer than its curve). The claims are
 * filled whenever the size is right. */
int rd_snp_report_parse(rd_bytes bytes, rd_snp_report *ret, rd_err *err) RD_NODISCARD;
/* SNP_FORMAT: a range that this version keeps zero is not. bytes has the report's size. */
int rd_snp_report_check_reserved(rd_bytes bytes, uint32_t version, rd_err *err) RD_NODISCARD;

/* The parts of a TCB_VERSION, whose layout is the product's. */
void rd_snp_tcb_read(const uint8_t bytes[8], rd_snp_product product, rd_snp_tcb *ret);

#endif
