#include "common/io/tls.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)8 << 20) /* ciphertext not yet taken by the caller */

struct rd_tls_context {
    rd_tls_role role;
    SSL_CTX *ssl;
    uint8_t alpn[256]; /* wire form: length, name */
    unsigned alpn_size;
    char *peer_name;
    int64_t not_after_us;
};

struct rd_tls {
    SSL *ssl;
    rd_bytes input; /* lent by rd_tls_feed */
    rd_buf output;
    rd_tls_peer peer;
    bool is_ready;
    bool has_peer;
    rd_tls_role role;
};

/* ---- what OpenSSL said ---- */

static int openssl_failed(rd_err *err, rd_code code, const char *what)
{
    unsigned long first = ERR_get_error();
    char reason[160] = "";
    if (first)
        ERR_error_string_n(first, reason, sizeof reason);
    ERR_clear_error();
    const char *text = first ? ERR_reason_error_string(first) : NULL;
    return rd_err_set(err, code, "%s: %s", what, text ? text : (reason[0] ? reason : "no reason given"));
}

/* ---- contexts ---- */

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size, const unsigned char *in,
                   unsigned in_size, void *arg)
{
    (void)ssl;
    const rd_tls_context *context = arg;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_size, context->alpn, context->alpn_size, in, in_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301, 3.2: no_application_protocol */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int no_passphrase(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

static int use_certificate(SSL_CTX *ssl, rd_bytes pem, int64_t *ret_not_after_us, rd_err *err)
{
    rd_certs certs = { 0 };
    if (rd_certs_parse_pem(pem, RD_CERT_COUNT_MAX, &certs, err) < 0)
        return rd_err_wrap(err, "certificate");
    int rc = 0;
    for (size_t i = 0; i < certs.count && rc == 0; i++) {
        rd_bytes der = rd_cert_der(certs.items[i]);
        if (i == 0) {
            *ret_not_after_us = rd_cert_not_after_us(certs.items[0]);
            if (SSL_CTX_use_certificate_ASN1(ssl, (int)der.size, der.data) != 1)
                rc = openssl_failed(err, RD_E_TLS_SETUP, "certificate");
            continue;
        }
        const uint8_t *at = der.data;
        X509 *intermediate = d2i_X509(NULL, &at, (long)der.size);
        if (!intermediate || SSL_CTX_add0_chain_cert(ssl, intermediate) != 1) {
            X509_free(intermediate);
            rc = openssl_failed(err, RD_E_TLS_SETUP, "intermediate certificate");
        }
    }
    rd_certs_done(&certs);
    return rc;
}

static int use_key(SSL_CTX *ssl, rd_bytes pem, rd_err *err)
{
    if (pem.size > INT_MAX)
        return rd_err_set(err, RD_E_TLS_SETUP, "key: too large");
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    int rc = 0;
    if (!key)
        rc = openssl_failed(err, RD_E_TLS_SETUP, "key");
    else if (SSL_CTX_use_PrivateKey(ssl, key) != 1 || SSL_CTX_check_private_key(ssl) != 1)
        rc = openssl_failed(err, RD_E_TLS_SETUP, "key does not belong to the certificate");
    EVP_PKEY_free(key);
    return rc;
}

static int use_ca(SSL_CTX *ssl, rd_bytes pem, rd_err *err)
{
    rd_certs certs = { 0 };
    if (rd_certs_parse_pem(pem, RD_CERT_COUNT_MAX, &certs, err) < 0)
        return rd_err_wrap(err, "CA");
    X509_STORE *store = X509_STORE_new();
    int rc = store ? 0 : rd_err_set(err, RD_E_NO_MEMORY, "CA");
    for (size_t i = 0; i < certs.count && rc == 0; i++) {
        rd_bytes der = rd_cert_der(certs.items[i]);
        const uint8_t *at = der.data;
        X509 *anchor = d2i_X509(NULL, &at, (long)der.size);
        if (!anchor || X509_STORE_add_cert(store, anchor) != 1)
            rc = openssl_failed(err, RD_E_TLS_SETUP, "CA");
        X509_free(anchor);
    }
    rd_certs_done(&certs);
    if (rc == 0)
        SSL_CTX_set_cert_store(ssl, store); /* takes it over */
    else
        X509_STORE_free(store);
    return rc;
}

static bool is_link(rd_tls_role role)
{
    return role != RD_TLS_REST_SERVER;
}

static void set_policy(SSL_CTX *ssl, rd_tls_role role)
{
    static const uint8_t session_context[] = "redoubt";
    SSL_CTX_set_min_proto_version(ssl, is_link(role) ? TLS1_3_VERSION : TLS1_2_VERSION);
    SSL_CTX_set_mode(ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE);
    /* Who is dialled by many gives an idle session's buffers back; who dials has few sessions, and keeps them. */
    if (role != RD_TLS_LINK_CLIENT)
        SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_max_early_data(ssl, 0);
    SSL_CTX_set_num_tickets(ssl, is_link(role) ? 0 : 1); /* links spread their returns instead of resuming */
    /* Without it a server that asks for client certificates refuses each resumption with alert 80. */
    SSL_CTX_set_session_id_context(ssl, session_context, sizeof session_context - 1);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    if (!is_link(role))
        return;
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_verify_depth(ssl, 3);
    SSL_CTX_set_purpose(ssl, role == RD_TLS_LINK_SERVER ? X509_PURPOSE_SSL_CLIENT : X509_PURPOSE_SSL_SERVER);
}

static int set_alpn(rd_tls_context *context, rd_err *err)
{
    if (context->alpn_size == 0)
        return 0;
    if (context->role != RD_TLS_LINK_CLIENT) {
        SSL_CTX_set_alpn_select_cb(context->ssl, on_alpn, context);
        return 0;
    }
    if (SSL_CTX_set_alpn_protos(context->ssl, context->alpn, context->alpn_size) != 0)
        return openssl_failed(err, RD_E_TLS_SETUP, "alpn");
    return 0;
}

static int build(rd_tls_context *context, rd_bytes certificate_pem, rd_bytes key_pem, rd_bytes ca_pem, rd_err *err)
{
    SSL_CTX *before = context->ssl;
    int64_t not_after_us = 0;
    context->ssl = SSL_CTX_new(context->role == RD_TLS_LINK_CLIENT ? TLS_client_method() : TLS_server_method());
    int rc = context->ssl ? 0 : openssl_failed(err, RD_E_TLS_SETUP, "context");
    if (rc == 0) {
        set_policy(context->ssl, context->role);
        rc = set_alpn(context, err);
    }
    if (rc == 0)
        rc = use_certificate(context->ssl, certificate_pem, &not_after_us, err);
    if (rc == 0)
        rc = use_key(context->ssl, key_pem, err);
    if (rc == 0 && is_link(context->role))
        rc = use_ca(context->ssl, ca_pem, err);
    if (rc < 0) {
        SSL_CTX_free(context->ssl);
        context->ssl = before;
        return rd_err_wrap(err, "tls");
    }
    SSL_CTX_free(before); /* sessions hold references of their own */
    context->not_after_us = not_after_us;
    return 0;
}

int rd_tls_context_new(const rd_tls_config *config, rd_tls_context **ret, rd_err *err)
{
    rd_tls_context *context = rd_alloc(sizeof *context);
    context->role = config->role;
    size_t alpn_size = config->alpn ? strlen(config->alpn) : 0;
    if (alpn_size > 254) {
        free(context);
        return rd_err_set(err, RD_E_TLS_SETUP, "alpn: name too long");
    }
    if (alpn_size > 0) {
        context->alpn[0] = (uint8_t)alpn_size;
        memcpy(context->alpn + 1, config->alpn, alpn_size);
        context->alpn_size = (unsigned)alpn_size + 1;
    }
    if (config->peer_name)
        context->peer_name = rd_strdup(config->peer_name);
    if (build(context, config->certificate_pem, config->key_pem, config->ca_pem, err) < 0) {
        rd_tls_context_free(context);
        return -1;
    }
    *ret = context;
    return 0;
}

rd_tls_context *rd_tls_context_free(rd_tls_context *context)
{
    if (!context)
        return NULL;
    SSL_CTX_free(context->ssl);
    free(context->peer_name);
    free(context);
    return NULL;
}

int rd_tls_context_reload(rd_tls_context *context, rd_bytes certificate_pem, rd_bytes key_pem, rd_bytes ca_pem,
                          rd_err *err)
{
    return build(context, certificate_pem, key_pem, ca_pem, err);
}

int64_t rd_tls_context_not_after_us(const rd_tls_context *context)
{
    return context->not_after_us;
}

/* ---- the socket side: a BIO over lent input and an output buffer ---- */

static int bio_read(BIO *bio, char *out, int size)
{
    rd_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t n = RD_MIN(tls->input.size, size > 0 ? (size_t)size : 0);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, tls->input.data, n);
    tls->input.data += n;
    tls->input.size -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    rd_tls *tls = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    return rd_buf_append(&tls->output, data, (size_t)size) ? size : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

/* Made once and never freed: OpenSSL wants it as long as any BIO lives. */
static const BIO_METHOD *bio_method(void)
{
    static BIO_METHOD *method;
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "redoubt");
        if (!method)
            abort();
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
        BIO_meth_set_create(method, bio_create);
    }
    return method;
}

/* ---- sessions ---- */

int rd_tls_new(rd_tls_context *context, rd_tls **ret, rd_err *err)
{
    rd_tls *tls = rd_alloc(sizeof *tls);
    rd_buf_init(&tls->output, OUTPUT_MAX);
    tls->role = context->role;
    tls->ssl = SSL_new(context->ssl);
    BIO *bio = tls->ssl ? BIO_new(bio_method()) : NULL;
    if (!bio) {
        rd_tls_free(tls);
        return openssl_failed(err, RD_E_NO_MEMORY, "tls session");
    }
    BIO_set_data(bio, tls);
    SSL_set_bio(tls->ssl, bio, bio);
    if (context->role == RD_TLS_LINK_CLIENT)
        SSL_set_connect_state(tls->ssl);
    else
        SSL_set_accept_state(tls->ssl);
    if (context->peer_name && SSL_set1_host(tls->ssl, context->peer_name) != 1) {
        rd_tls_free(tls);
        return openssl_failed(err, RD_E_TLS_SETUP, "peer name");
    }
    *ret = tls;
    return 0;
}

rd_tls *rd_tls_free(rd_tls *tls)
{
    if (!tls)
        return NULL;
    if (tls->ssl) {
        /* Otherwise OpenSSL marks the session as not resumable. */
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(tls->ssl);
    }
    rd_buf_wipe(&tls->output);
    free(tls);
    ERR_clear_error();
    return NULL;
}

void rd_tls_feed(rd_tls *tls, rd_bytes ciphertext)
{
    tls->input = ciphertext;
}

/* RFC 5280, 4.2.1.12: an extendedKeyUsage must stand in the certificate, so that an agent's certificate can never
 * pass for a replica's, nor one without usage for either. */
static int check_usage(X509 *certificate, rd_tls_role role, rd_err *err)
{
    uint32_t wanted = role == RD_TLS_LINK_SERVER ? XKU_SSL_CLIENT : XKU_SSL_SERVER;
    uint32_t has = X509_get_extended_key_usage(certificate);
    if (has == UINT32_MAX || !(has & wanted))
        return rd_err_set(err, RD_E_TLS_PEER, "the peer's certificate is not made for its side of a link");
    return 0;
}

static int note_peer(rd_tls *tls, rd_err *err)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (!certificate)
        return is_link(tls->role) ? rd_err_set(err, RD_E_TLS_PEER, "the peer showed no certificate") : 0;
    if (is_link(tls->role) && check_usage(certificate, tls->role, err) < 0)
        return -1;
    unsigned char *der = NULL;
    int size = i2d_X509(certificate, &der);
    if (size < 0)
        return openssl_failed(err, RD_E_TLS_PEER, "the peer's certificate");
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    int rc = rd_cert_parse_der(rd_bytes_of(der, (size_t)size), &cert, err);
    OPENSSL_free(der);
    if (rc < 0)
        return rd_err_wrap(err, "the peer's certificate");
    const char *name = rd_cert_subject_cn(cert);
    const char *uri = rd_cert_san_uri(cert, 0);
    if (strlen(name) < sizeof tls->peer.common_name)
        memcpy(tls->peer.common_name, name, strlen(name) + 1);
    if (uri && strlen(uri) < sizeof tls->peer.uri)
        memcpy(tls->peer.uri, uri, strlen(uri) + 1);
    rd_bytes serial = rd_cert_serial(cert);
    if (serial.size <= 32)
        rd_hex_encode(serial, tls->peer.serial_hex);
    tls->peer.not_before_us = rd_cert_not_before_us(cert);
    tls->peer.not_after_us = rd_cert_not_after_us(cert);
    rd_cert_spki_digest(cert, tls->peer.spki_sha256);
    tls->has_peer = true;
    return 0;
}

static int check_alpn(const rd_tls *tls, rd_err *err)
{
    if (!is_link(tls->role))
        return 0;
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(tls->ssl, &name, &size);
    if (size == 0)
        return rd_err_set(err, RD_E_TLS_HANDSHAKE, "the peer does not speak the link protocol");
    return 0;
}

static int handshake_failed(rd_tls *tls, rd_err *err)
{
    long verified = SSL_get_verify_result(tls->ssl);
    if (verified != X509_V_OK) {
        ERR_clear_error();
        return rd_err_set(err, RD_E_TLS_PEER, "the peer's certificate: %s", X509_verify_cert_error_string(verified));
    }
    return openssl_failed(err, RD_E_TLS_HANDSHAKE, "tls handshake");
}

int rd_tls_handshake(rd_tls *tls, rd_err *err)
{
    if (tls->is_ready)
        return 1;
    ERR_clear_error();
    int rc = SSL_do_handshake(tls->ssl);
    if (rc != 1) {
        int why = SSL_get_error(tls->ssl, rc);
        return why == SSL_ERROR_WANT_READ ? 0 : handshake_failed(tls, err);
    }
    if (check_alpn(tls, err) < 0 || note_peer(tls, err) < 0)
        return -1;
    tls->is_ready = true;
    return 1;
}

bool rd_tls_is_ready(const rd_tls *tls)
{
    return tls->is_ready;
}

ssize_t rd_tls_read(rd_tls *tls, void *out, size_t size, rd_err *err)
{
    ERR_clear_error();
    int rc = SSL_read(tls->ssl, out, (int)RD_MIN(size, (size_t)INT_MAX));
    if (rc > 0)
        return rc;
    switch (SSL_get_error(tls->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return RD_TLS_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return RD_TLS_CLOSED;
    default:
        return openssl_failed(err, RD_E_TLS_HANDSHAKE, "tls read");
    }
}

int rd_tls_write(rd_tls *tls, rd_bytes plaintext, rd_err *err)
{
    ERR_clear_error();
    while (plaintext.size > 0) {
        int rc = SSL_write(tls->ssl, plaintext.data, (int)RD_MIN(plaintext.size, (size_t)INT_MAX));
        if (rc <= 0)
            return openssl_failed(err, RD_E_LINK_CLOSED, "tls write");
        plaintext.data += rc;
        plaintext.size -= (size_t)rc;
    }
    return 0;
}

void rd_tls_shutdown(rd_tls *tls)
{
    if (!tls->is_ready)
        return;
    ERR_clear_error();
    (void)SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

rd_buf *rd_tls_output(rd_tls *tls)
{
    return &tls->output;
}

const rd_tls_peer *rd_tls_peer_of(const rd_tls *tls)
{
    return tls->is_ready && tls->has_peer ? &tls->peer : NULL;
}

bool rd_tls_was_resumed(const rd_tls *tls)
{
    return SSL_session_reused(tls->ssl);
}
