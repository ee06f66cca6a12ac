// link: rd_attest
/* Any bytes as an Intel quote: the parser, and the readers of the bodies that it hands out. */
#include "attest/intel_quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_intel_quote quote;
    rd_claims claims;
    if (rd_intel_quote_parse(rd_bytes_of(data, size), &quote, NULL) < 0)
        return 0;
    if (quote.body_type == RD_BODY_SGX)
        rd_sgx_report_read(quote.body, &claims.sgx, claims.report_data);
    else
        rd_td_report_read(quote.body, &claims.tdx, claims.report_data);
    return 0;
}
