/* intel_quote: SGX and TDX quotes, versions 3, 4 and 5, taken apart by cursor (Intel SGX and TDX DCAP quote library
 * references; attestation.md section 1).
 * Used by the Intel verifier. Verifies nothing: lengths, versions and types alone. */
#ifndef RD_ATTEST_INTEL_QUOTE_H
#define RD_ATTEST_INTEL_QUOTE_H

#include "attest/claims.h"

#define RD_QUOTE_HEADER_SIZE    48
#define RD_SGX_REPORT_SIZE      384
#define RD_TD_REPORT_10_SIZE    584
#define RD_TD_REPORT_15_SIZE    648
#define RD_TD_REPORT_15_EX_SIZE 885

#define RD_TEE_TYPE_SGX 0x00000000u
#define RD_TEE_TYPE_TDX 0x00000081u

typedef enum rd_body_type { RD_BODY_SGX = 1, RD_BODY_TD_10 = 2, RD_BODY_TD_15 = 3, RD_BODY_TD_15_EX = 4 } rd_body_type;

#define RD_CERT_DATA_PCK_LEAF  4
#define RD_CERT_DATA_PCK_CHAIN 5
#define RD_CERT_DATA_QE_REPORT 6

/* All ranges are borrowed from the quote. */
typedef struct rd_intel_quote {
    uint16_t version;
    uint32_t tee_type;
    rd_body_type body_type;
    rd_bytes signed_range; /* header, descriptor of version 5, body */
    rd_bytes body;
    rd_bytes signature;           /* 64: r, s */
    rd_bytes attestation_key;     /* 64: x, y */
    rd_bytes qe_report;           /* 384 */
    rd_bytes qe_report_signature; /* 64 */
    rd_bytes qe_auth_data;
    uint16_t cert_type; /* of the innermost certification data */
    rd_bytes cert_data;
    size_t padding; /* zero bytes behind the end */
} rd_intel_quote;

/* QUOTE_TRUNCATED, QUOTE_VERSION, QUOTE_KEYTYPE, QUOTE_TYPE_MIX, QE_VENDOR, QUOTE_RESERVED, QUOTE_BODY_TYPE,
 * QUOTE_LENGTH (declared sizes that contradict each other), CERT_TYPE (outer type), QUOTE_TRAILING (bytes other
 * than zero behind the end). */
int rd_intel_quote_parse(rd_bytes bytes, rd_intel_quote *ret, rd_err *err) RD_NODISCARD;

/* Intel's vendor id stands where a quote has it. */
bool rd_intel_has_vendor(rd_bytes quote);

/* body has the size of its type. */
void rd_td_report_read(rd_bytes body, rd_tdx_claims *ret, uint8_t ret_report_data[64]);
void rd_sgx_report_read(rd_bytes body, rd_sgx_claims *ret, uint8_t ret_report_data[64]);

#endif
