// link: rd_attest
/* Any bytes as a certificate that carries evidence. What is taken out lies inside the certificate, and is then read as
 * what it says that it is. */
#include <stdlib.h>

#include "attest/eventlog.h"
#include "attest/intel_quote.h"
#include "attest/ratls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand_inside(const rd_ratls *ratls, rd_bytes part)
{
    rd_bytes der = rd_cert_der(ratls->cert);
    if (part.size > 0 && (part.data < der.data || part.data + part.size > der.data + der.size))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes in = rd_bytes_of(data, size);
    rd_intel_quote quote;
    rd_register_log log;
    rd_ratls ratls;
    (void)rd_ratls_recognises(in);
    if (rd_ratls_read(in, &ratls, NULL) == 0) {
        demand_inside(&ratls, ratls.evidence);
        demand_inside(&ratls, ratls.event_log);
        (void)!rd_ratls_check_time(&ratls, INT64_C(1795435200000000), NULL);
        (void)!rd_intel_quote_parse(ratls.evidence, &quote, NULL);
        (void)!rd_dstack_replay(ratls.event_log, &log, NULL);
    }
    rd_ratls_done(&ratls);
    return 0;
}
