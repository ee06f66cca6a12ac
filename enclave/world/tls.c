#include "enclave/world/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "enclave/world/roots.h"

#define CHAIN_MAX 10 /* certificates; a peer may send a hundred kilobytes of them */

struct encl_tls {
    SSL_CTX *ctx;
    int64_t now_us; /* of the session that is being made: one thread */
};

/* The roots that this chain names join its own store; then OpenSSL verifies as ever. */
static int verify(X509_STORE_CTX *chain, void *context)
{
    encl_tls *tls = context;
    SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
    const rd_egress_entry *entry = SSL_get_app_data(ssl);
    STACK_OF(X509) *given = X509_STORE_CTX_get0_untrusted(chain);
    int given_count = RD_MIN(sk_X509_num(given), CHAIN_MAX);

    for (int i = 0; entry->ca.size == 0 && i < given_count; i++)
        encl_roots_add(X509_STORE_CTX_get0_store(chain), X509_get_issuer_name(sk_X509_value(given, i)));
    X509_STORE_CTX_set_time(chain, 0, (time_t)(tls->now_us / 1000000));
    return X509_verify_cert(chain);
}

int encl_tls_new(encl_tls **ret, rd_err *err)
{
    encl_tls *tls = rd_alloc(sizeof(*tls));

    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (!tls->ctx || SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) != 1) {
        encl_tls_free(tls);
        return rd_err_set(err, RD_E_INTERNAL, "TLS does not start");
    }
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(tls->ctx, CHAIN_MAX);
    SSL_CTX_set_cert_verify_callback(tls->ctx, verify, tls);
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(tls->ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                         SSL_MODE_RELEASE_BUFFERS);
    *ret = tls;
    return 0;
}

encl_tls *encl_tls_free(encl_tls *tls)
{
    if (tls)
        SSL_CTX_free(tls->ctx);
    free(tls);
    return NULL;
}

/* RFC 9525, 6: names of the certificate's own extension alone, never its subject's; an address is compared with the
 * certificate's addresses (RFC 5280, 4.2.1.6). */
static bool expect_host(SSL *ssl, const char *host)
{
    char address[RD_EGRESS_HOST_MAX + 1];
    size_t size = strlen(host);
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    (void)snprintf(address, sizeof(address), "%.*s", (int)(host[0] == '[' ? size - 2 : size), host + (host[0] == '['));
    if (X509_VERIFY_PARAM_set1_ip_asc(param, address) == 1)
        return true;
    ERR_clear_error();
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static X509_STORE *store_for(const rd_egress_entry *entry)
{
    X509_STORE *store = X509_STORE_new();
    const uint8_t *at = entry->ca.data;
    X509 *ca = NULL;

    if (!store || entry->ca.size == 0)
        return store;
    ca = d2i_X509(NULL, &at, (long)entry->ca.size);
    /* The certificate named is the anchor, whatever it says of itself. */
    bool is_added =
        ca && X509_STORE_add_cert(store, ca) == 1 && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1;
    X509_free(ca);
    if (is_added)
        return store;
    X509_STORE_free(store);
    return NULL;
}

/* A root verified by itself: certificates, signatures and dates (the C library reads its time zone on the first). */
static bool verify_once(void)
{
    X509 *root = encl_roots_first();
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *chain = X509_STORE_CTX_new();
    bool is_done = root && store && chain && X509_STORE_add_cert(store, root) == 1 &&
                   X509_STORE_CTX_init(chain, store, root, NULL) == 1;

    if (is_done)
        (void)X509_verify_cert(chain);
    X509_STORE_CTX_free(chain);
    X509_STORE_free(store);
    X509_free(root);
    return is_done;
}

int encl_tls_warm_up(encl_tls *tls, rd_err *err)
{
    SSL *ssl = SSL_new(tls->ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    if (!ssl || !in || !out || !verify_once()) {
        BIO_free(in);
        BIO_free(out);
        SSL_free(ssl);
        return rd_err_set(err, RD_E_INTERNAL, "TLS does not start");
    }
    SSL_set_bio(ssl, in, out);
    (void)SSL_connect(ssl); /* writes the first flight, and waits for ever */
    SSL_free(ssl);
    ERR_clear_error();
    return 0;
}

int encl_tls_connect(encl_tls *tls, const rd_egress_entry *entry, int fd, int64_t now_us, SSL **ret, rd_err *err)
{
    SSL *ssl = SSL_new(tls->ctx);
    X509_STORE *store = store_for(entry);

    if (!ssl || !store || !expect_host(ssl, entry->host) || SSL_set1_verify_cert_store(ssl, store) != 1 ||
        SSL_set_fd(ssl, fd) != 1) {
        X509_STORE_free(store);
        SSL_free(ssl);
        ERR_clear_error();
        return rd_err_set(err, RD_E_INTERNAL, "TLS to %s cannot be set up: is its ca a certificate?", entry->host);
    }
    X509_STORE_free(store);
    SSL_set_app_data(ssl, (void *)(uintptr_t)entry);
    SSL_set_connect_state(ssl);
    tls->now_us = now_us;
    *ret = ssl;
    return 0;
}

void encl_tls_explain(SSL *ssl, char *out, size_t out_size)
{
    long verdict = SSL_get_verify_result(ssl);
    unsigned long code = ERR_peek_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    if (verdict != X509_V_OK)
        (void)snprintf(out, out_size, "its certificate is refused: %s", X509_verify_cert_error_string(verdict));
    else
        (void)snprintf(out, out_size, "TLS failed: %s", reason ? reason : "the connection ended");
    ERR_clear_error();
}
