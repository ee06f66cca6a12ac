/* link_pki: a throw-away CA and certificates for tests of links.
 * Used by unit tests only; keys are made anew in each run. */
#ifndef TESTS_SUPPORT_LINK_PKI_H
#define TESTS_SUPPORT_LINK_PKI_H

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/crypto/x509_issue.h"
#include "common/io/link.h"

#include <assert.h>

#define LINK_PKI_HOST "hst_00000000000000000000000001"

typedef struct link_pki {
    rd_p256_key *ca_key;
    rd_cert *ca;
    rd_buf ca_pem;
} link_pki;

typedef struct link_leaf {
    rd_buf certificate_pem, key_pem;
} link_leaf;

static inline void link_pki_init(link_pki *pki, const char *name)
{
    int64_t now_us = rd_clock_wall_us(rd_clock_system());
    rd_err err = RD_ERR_INIT;
    const rd_cert_spec spec = { .kind = RD_CERT_KIND_CA,
                                .common_name = name,
                                .path_length = 0,
                                .not_before_us = now_us - 3600000000,
                                .not_after_us = now_us + 3600000000 };
    *pki = (link_pki){ 0 };
    pki->ca_key = rd_p256_key_new();
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(pki->ca_key, spki);
    int rc = rd_cert_issue(&spec, RD_BYTES_ARRAY(spki), NULL, pki->ca_key, &pki->ca, &err);
    assert(rc == 0);
    (void)rc;
    rd_cert_to_pem(pki->ca, &pki->ca_pem);
}

static inline void link_pki_done(link_pki *pki)
{
    rd_p256_key_free(pki->ca_key);
    rd_cert_free(pki->ca);
    rd_buf_done(&pki->ca_pem);
}

static inline link_leaf link_pki_issue(link_pki *pki, rd_cert_kind kind, const char *name, int64_t not_after_us)
{
    rd_err err = RD_ERR_INIT;
    link_leaf leaf = { 0 };
    rd_p256_key *key = rd_p256_key_new();
    rd_cert *cert = NULL;
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(key, spki);
    const rd_cert_spec spec = { .kind = kind,
                                .common_name = name,
                                .san_uri = kind == RD_CERT_KIND_CLIENT ? "redoubt:host:" LINK_PKI_HOST : NULL,
                                .not_before_us = not_after_us - 7200000000,
                                .not_after_us = not_after_us };
    int rc = rd_cert_issue(&spec, RD_BYTES_ARRAY(spki), pki->ca, pki->ca_key, &cert, &err);
    assert(rc == 0);
    rd_cert_to_pem(cert, &leaf.certificate_pem);
    rc = rd_p256_key_to_pem(key, &leaf.key_pem, &err);
    assert(rc == 0);
    (void)rc;
    rd_cert_free(cert);
    rd_p256_key_free(key);
    return leaf;
}

static inline void link_leaf_done(link_leaf *leaf)
{
    rd_buf_done(&leaf->certificate_pem);
    rd_buf_wipe(&leaf->key_pem);
}

/* A context of a role with a leaf of `issuer`, trusting `anchor`. */
static inline rd_tls_context *link_pki_context(link_pki *issuer, link_pki *anchor, rd_tls_role role, rd_cert_kind kind,
                                               int64_t lasts_us)
{
    rd_err err = RD_ERR_INIT;
    link_leaf leaf = link_pki_issue(issuer, kind, kind == RD_CERT_KIND_CLIENT ? LINK_PKI_HOST : "redoubt-link",
                                    rd_clock_wall_us(rd_clock_system()) + lasts_us);
    const rd_tls_config config = { .role = role,
                                   .certificate_pem = rd_buf_bytes(&leaf.certificate_pem),
                                   .key_pem = rd_buf_bytes(&leaf.key_pem),
                                   .ca_pem = rd_buf_bytes(&anchor->ca_pem),
                                   .alpn = RD_LINK_ALPN };
    rd_tls_context *context = NULL;
    int rc = rd_tls_context_new(&config, &context, &err);
    assert(rc == 0);
    (void)rc;
    link_leaf_done(&leaf);
    return context;
}

#endif
