// link: rd_crypto
/* Any bytes as certificate, chain, revocation list and request; what was read is then asked everything. What the reader
 * accepts libcrypto must accept, with the same fields. */
#include <stdio.h>
#include <stdlib.h>

#include "common/crypto/x509_crl.h"
#include "common/crypto/x509_issue.h"
#include "tests/support/x509_peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand_same(const char *what)
{
    if (!what)
        return;
    fprintf(stderr, "differs: %s\n", what);
    abort();
}

static void ask(rd_cert *cert)
{
    uint8_t roots[1][32];
    rd_bytes value;
    rd_chain chain;
    rd_cert_fingerprint(cert, roots[0]);
    (void)rd_cert_extension(cert, "1.2.840.113741.1.13.1", &value);
    (void)rd_cert_verifies_itself(cert);
    rd_certs others = { .items = { cert }, .count = 1 };
    rd_chain_rules rules = { .roots = roots, .root_count = 1, .time_us = INT64_C(1795435200000000) };
    (void)!rd_chain_verify(cert, &others, &rules, &chain, NULL);
    rules.profile = RD_CERT_AMD;
    (void)!rd_chain_verify(cert, &others, &rules, &chain, NULL);
}

static void read_list(rd_bytes in, const rd_cert *cert)
{
    rd_crl *crl = NULL;
    if (rd_crl_parse(in, &crl, NULL) < 0)
        return;
    /* A list may also come as PEM or hex: those are not what libcrypto is asked for. */
    if (in.data[0] == 0x30 && in.data[1] >= 0x80)
        demand_same(peer_of_list(in, crl));
    if (cert)
        (void)!rd_crl_verify(crl, cert, RD_CERT_P256, 0, NULL);
    rd_crl_free(crl);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rd_bytes in = rd_bytes_of(data, size);
    rd_cert *cert = NULL;
    rd_certs certs = { 0 };
    rd_csr csr;
    if (rd_cert_parse_der(in, &cert, NULL) == 0) {
        demand_same(peer_of_cert(in, cert));
        ask(cert);
    }
    if (rd_certs_parse_mixed(in, 4, &certs, NULL) == 0) {
        for (size_t i = 0; i < certs.count; i++)
            demand_same(peer_of_cert(rd_cert_der(certs.items[i]), certs.items[i]));
        rd_certs_done(&certs);
    }
    read_list(in, cert);
    if (rd_csr_parse(in, &csr, NULL) == 0)
        rd_csr_done(&csr);
    rd_cert_free(cert);
    return 0;
}
