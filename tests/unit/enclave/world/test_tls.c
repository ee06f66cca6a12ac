/* Who may answer for a host: a real handshake with servers of every kind, by certificates made here and a clock of our
 * own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "enclave/world/tls.h"

#define NOW  ((time_t)1800000000)
#define HOUR 3600

typedef struct identity {
    EVP_PKEY *key;
    X509 *cert;
} identity;

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* issuer NULL: signed by itself. Good for an hour before and after NOW. */
static identity make(const char *subject, const char *names, const char *usage, bool is_ca, const identity *issuer)
{
    static long serial;
    identity made = { .key = EVP_EC_gen("P-256"), .cert = X509_new() };
    const identity *signer = issuer ? issuer : &made;
    X509_NAME *name = X509_get_subject_name(made.cert);
    assert_int_equal(X509_set_version(made.cert, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(made.cert), ++serial), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(made.cert), NOW - HOUR));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(made.cert), NOW + HOUR));
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)subject, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(made.cert, X509_get_subject_name(signer->cert)), 1);
    assert_int_equal(X509_set_pubkey(made.cert, made.key), 1);
    add_extension(made.cert, NID_basic_constraints, is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (names)
        add_extension(made.cert, NID_subject_alt_name, names);
    if (usage)
        add_extension(made.cert, NID_ext_key_usage, usage);
    assert_true(X509_sign(made.cert, signer->key, EVP_sha256()) > 0);
    return made;
}

static void identity_done(identity *one)
{
    EVP_PKEY_free(one->key);
    X509_free(one->cert);
    *one = (identity){ NULL, NULL };
}

enum issuer { BY_ROOT, BY_STRANGER, BY_A_FORGER, BY_ITSELF, BY_A_LEAF };
enum trust { ROOT, PUBLIC, SERVER };

static const struct {
    const char *name, *host, *names, *usage;
    int hours; /* from NOW, on the enclave's clock */
    enum issuer issuer;
    enum trust trust;
    int version_max;  /* of the server; 0: any */
    const char *want; /* NULL: it may answer */
} rows[] = {
    { "a name", "api.example", "DNS:other.example,DNS:api.example", NULL, 0, BY_ROOT, ROOT, 0, NULL },
    { "a wildcard", "api.example.com", "DNS:*.example.com", NULL, 0, BY_ROOT, ROOT, 0, NULL },
    { "TLS 1.2", "api.example", "DNS:api.example", NULL, 0, BY_ROOT, ROOT, TLS1_2_VERSION, NULL },
    { "an IPv4 address", "192.0.2.7", "IP:192.0.2.7", NULL, 0, BY_ROOT, ROOT, 0, NULL },
    { "an IPv6 address", "[2001:db8::7]", "IP:2001:db8::7", NULL, 0, BY_ROOT, ROOT, 0, NULL },
    { "the named certificate itself", "api.example", "DNS:api.example", NULL, 0, BY_ITSELF, SERVER, 0, NULL },
    { "another name", "api.example", "DNS:evil.example", NULL, 0, BY_ROOT, ROOT, 0, "hostname mismatch" },
    { "the name as subject alone", "api.example", NULL, NULL, 0, BY_ROOT, ROOT, 0, "hostname mismatch" },
    { "a wildcard over two labels", "a.b.example.com", "DNS:*.example.com", NULL, 0, BY_ROOT, ROOT, 0,
      "hostname mismatch" },
    { "a wildcard in a label", "api.example.com", "DNS:a*.example.com", NULL, 0, BY_ROOT, ROOT, 0,
      "hostname mismatch" },
    { "an address as a name", "192.0.2.7", "DNS:192.0.2.7", NULL, 0, BY_ROOT, ROOT, 0, "IP address mismatch" },
    { "R16: a time behind it", "api.example", "DNS:api.example", NULL, 2, BY_ROOT, ROOT, 0, "expired" },
    { "R16: a time before it", "api.example", "DNS:api.example", NULL, -2, BY_ROOT, ROOT, 0, "not yet valid" },
    { "R16: its named certificate, expired", "api.example", "DNS:api.example", NULL, 2, BY_ITSELF, SERVER, 0,
      "expired" },
    { "another authority", "api.example", "DNS:api.example", NULL, 0, BY_STRANGER, ROOT, 0,
      "unable to get local issuer certificate" },
    { "another authority of the same name", "api.example", "DNS:api.example", NULL, 0, BY_A_FORGER, ROOT, 0,
      "signature failure" },
    { "an authority that is not public", "api.example", "DNS:api.example", NULL, 0, BY_ROOT, PUBLIC, 0,
      "unable to get local issuer certificate" },
    { "by itself", "api.example", "DNS:api.example", NULL, 0, BY_ITSELF, PUBLIC, 0, "self-signed certificate" },
    { "by a server's key", "api.example", "DNS:api.example", NULL, 0, BY_A_LEAF, ROOT, 0, "invalid CA certificate" },
    { "a client's certificate", "api.example", "DNS:api.example", "clientAuth", 0, BY_ROOT, ROOT, 0,
      "certificate purpose" },
    { "TLS 1.1", "api.example", "DNS:api.example", NULL, 0, BY_ROOT, ROOT, TLS1_1_VERSION, "TLS failed" },
};

static SSL *serve(const identity *server, const identity *between, int version_max, int fd)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_non_null(ctx);
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, version_max), 1);
    assert_int_equal(SSL_CTX_use_certificate(ctx, server->cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, server->key), 1);
    if (between)
        assert_int_equal(SSL_CTX_add1_chain_cert(ctx, between->cert), 1);
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    SSL_set_accept_state(ssl);
    return ssl;
}

/* "": it may answer; else why not. */
static void shake(encl_tls *tls, const rd_egress_entry *entry, int64_t now_us, const identity *server,
                  const identity *between, int version_max, char *why, size_t why_size)
{
    int pair[2], result = -1;
    rd_err err = RD_ERR_INIT;
    SSL *client = NULL;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    SSL *peer = serve(server, between, version_max, pair[1]);
    assert_int_equal(encl_tls_connect(tls, entry, pair[0], now_us, &client, &err), 0);
    why[0] = '\0';
    for (int round = 0; round < 100 && result != 1 && why[0] == '\0'; round++) {
        ERR_clear_error();
        result = SSL_do_handshake(client);
        int wants = result == 1 ? 0 : SSL_get_error(client, result);
        if (result != 1 && wants != SSL_ERROR_WANT_READ && wants != SSL_ERROR_WANT_WRITE)
            encl_tls_explain(client, why, why_size);
        ERR_clear_error();
        (void)SSL_do_handshake(peer);
    }
    assert_true(result == 1 || why[0] != '\0');
    ERR_clear_error();
    SSL_free(client);
    SSL_free(peer);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void trust(rd_egress_entry *entry, X509 *cert)
{
    unsigned char *der = NULL;
    int size = i2d_X509(cert, &der);
    assert_true(size > 0);
    rd_buf_append(&entry->ca, der, (size_t)size);
    OPENSSL_free(der);
}

static void only_who_proves_the_name_may_answer(void **state)
{
    identity root = make("root", NULL, NULL, true, NULL), stranger = make("stranger", NULL, NULL, true, NULL);
    identity forger = make("root", NULL, NULL, true, NULL);
    identity leaf = make("leaf", "DNS:leaf.example", NULL, false, &root);
    const identity *const issuers[] = {
        [BY_ROOT] = &root, [BY_STRANGER] = &stranger, [BY_A_FORGER] = &forger, [BY_ITSELF] = NULL, [BY_A_LEAF] = &leaf
    };
    encl_tls *tls = NULL;
    rd_err err = RD_ERR_INIT;
    (void)state;
    assert_int_equal(encl_tls_new(&tls, &err), 0);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        char why[200];
        rd_egress_entry entry = { .port = 443 };
        identity server = make(rows[i].host, rows[i].names, rows[i].usage, false, issuers[rows[i].issuer]);
        (void)snprintf(entry.host, sizeof(entry.host), "%s", rows[i].host);
        if (rows[i].trust != PUBLIC)
            trust(&entry, rows[i].trust == ROOT ? root.cert : server.cert);
        shake(tls, &entry, (int64_t)(NOW + rows[i].hours * HOUR) * 1000000, &server,
              rows[i].issuer == BY_A_LEAF ? &leaf : NULL, rows[i].version_max, why, sizeof(why));
        if (rows[i].want ? strstr(why, rows[i].want) == NULL : why[0] != '\0')
            fail_msg("%s: \"%s\"", rows[i].name, why);
        identity_done(&server);
        rd_buf_done(&entry.ca);
    }
    encl_tls_free(tls);
    identity_done(&root);
    identity_done(&stranger);
    identity_done(&forger);
    identity_done(&leaf);
}

static void what_is_no_certificate_is_no_anchor(void **state)
{
    encl_tls *tls = NULL;
    struct ssl_st *ssl = NULL;
    rd_egress_entry entry = { .host = "api.example", .port = 443 };
    rd_err err = RD_ERR_INIT;
    (void)state;
    rd_buf_append_str(&entry.ca, "no certificate");
    assert_int_equal(encl_tls_new(&tls, &err), 0);
    assert_int_equal(encl_tls_connect(tls, &entry, -1, 0, &ssl, &err), -1);
    assert_non_null(strstr(err.text, "is its ca a certificate?"));
    assert_null(ssl);
    encl_tls_free(tls);
    rd_buf_done(&entry.ca);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the programs do: a peer that is gone is an error of its write */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_who_proves_the_name_may_answer),
        cmocka_unit_test(what_is_no_certificate_is_no_anchor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
