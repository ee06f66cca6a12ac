// link: rd_crypto
/* Any bytes as certificate, chain, revocation list and request; what was read is then asked everything. */
#include "common/crypto/x509_crl.h"
#include "common/crypto/x509_issue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(rd_cert *cert)
{
    uint8_t roots[1][32];
    rd_bytes value;
    rd_chain chain;
    rd_cert_fingerprint(cert, roots[0]);
    (void)rd_cert_extension(cert, "1.2.840.113741.1.13.1", &value);
    rd_certs others = { .items = { cert }, .count = 1 };
    rd_chain_rules rules = { .roots = roots, .root_count = 1, .time_us = INT64_C(1795435200000000) };
    (void)!rd_chain_verify(cert, &others, &rules, &chain, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes in = rd_bytes_of(data, size);
    rd_cert *cert = NULL;
    rd_crl *crl = NULL;
    rd_certs certs = { 0 };
    rd_csr csr;
    if (rd_cert_parse_der(in, &cert, NULL) == 0)
        ask(cert);
    if (rd_certs_parse_pem(in, 4, &certs, NULL) == 0)
        rd_certs_done(&certs);
    if (rd_crl_parse(in, &crl, NULL) == 0 && cert)
        (void)!rd_crl_verify(crl, cert, RD_CERT_P256, 0, NULL);
    if (rd_csr_parse(in, &csr, NULL) == 0)
        rd_csr_done(&csr);
    rd_cert_free(cert);
    rd_crl_free(crl);
    return 0;
}
