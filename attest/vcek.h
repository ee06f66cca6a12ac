/* vcek: what a VCEK or VLEK certificate says of its chip and TCB (AMD 57230; attestation.md 5.3, 3).
 * Used by the verification of reports, to find the certificate of a report, and to ask a key service for it. Believes
 * nothing: that is the chain's. */
#ifndef RD_ATTEST_VCEK_H
#define RD_ATTEST_VCEK_H

#include "attest/claims.h"
#include "common/crypto/x509.h"

/* A chip at one TCB: what a VCEK is for, and what AMD's service is asked for. */
typedef struct rd_vcek_id {
    rd_snp_product product;
    uint8_t chip_id[64]; /* Turin: 8 bytes, then zeros */
    rd_snp_tcb tcb;
} rd_vcek_id;

/* 0: none, or none that is known. */
rd_snp_product rd_vcek_product(const rd_cert *cert);
/* TCB_CERT_MISMATCH. */
int rd_vcek_tcb(const rd_cert *cert, rd_snp_product product, rd_snp_tcb *ret, rd_err *err) RD_NODISCARD;
/* CHIP_ID. A VLEK has none. */
int rd_vcek_chip(const rd_cert *cert, rd_snp_product product, uint8_t ret[64], rd_err *err) RD_NODISCARD;
/* All three: SNP_PRODUCT, CHIP_ID, TCB_CERT_MISMATCH: the extension that is missing or malformed. */
int rd_vcek_read(const rd_cert *cert, rd_vcek_id *ret, rd_err *err) RD_NODISCARD;

/* Bytes of a chip id that count. */
static inline size_t rd_chip_id_size(rd_snp_product product)
{
    return product == RD_SNP_TURIN ? 8 : 64;
}

/* "Milan", "Genoa" or "Turin" as the name says, up to a dash; 0 for others. */
rd_snp_product rd_snp_product_parse(rd_bytes name);

/* "Milan/chip id in hex/boot loader.tee.snp.microcode[.fmc]". */
#define RD_VCEK_TEXT_SIZE 192
void rd_vcek_id_format(const rd_vcek_id *id, char ret[RD_VCEK_TEXT_SIZE]);
/* The same text back; USAGE when it is not one. */
int rd_vcek_id_parse(const char *text, rd_vcek_id *ret, rd_err *err) RD_NODISCARD;

#endif
