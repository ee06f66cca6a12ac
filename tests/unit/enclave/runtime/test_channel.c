// link: enclave_core rd_attest
/* TLS that ends inside an instance, against clients that OpenSSL makes: who is answered, what the certificate carries,
 * and what evidence is bound to. */
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "attest/ratls.h"
#include "common/base/mem.h"
#include "common/model/evidence.h"
#include "enclave/runtime/channel.h"
#include "tests/support/fake_enclave.h"

typedef struct fixture {
    fake_enclave e;
    encl_channels *channels;
    char name[128]; /* that it answers to */
} fixture;

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof(*f));
    memset(f->e.app.id.b, 0x31, sizeof f->e.app.id.b);
    fake_enclave_open(&f->e);
    f->channels = encl_channels_new(f->e.identity, f->e.platform, &f->e.app.id, rd_clock_system());
    char text[RD_APP_ID_TEXT_SIZE];
    rd_app_id_format(&f->e.app.id, text);
    (void)snprintf(f->name, sizeof f->name, "app-%s.apps.example", text + 4);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    encl_channels_free(f->channels);
    fake_enclave_close(&f->e);
    free(f);
    return 0;
}

/* A client and the instance's end of one connection. */
typedef struct pair {
    int fds[2];
    SSL_CTX *ctx;
    SSL *client;
    encl_channel *channel;
    bool is_up, has_failed;
} pair;

typedef struct client_spec {
    const char *name; /* NULL: none */
    int max_version;  /* 0: the newest */
    const uint8_t *alpn;
    unsigned alpn_size;
} client_spec;

static void open_pair(fixture *f, const client_spec *spec, pair *p)
{
    rd_err err = RD_ERR_INIT;
    *p = (pair){ .is_up = false };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
    p->ctx = SSL_CTX_new(TLS_client_method());
    if (spec->max_version)
        assert_int_equal(SSL_CTX_set_max_proto_version(p->ctx, spec->max_version), 1);
    p->client = SSL_new(p->ctx);
    if (spec->name)
        assert_int_equal(SSL_set_tlsext_host_name(p->client, spec->name), 1);
    if (spec->alpn)
        assert_int_equal(SSL_set_alpn_protos(p->client, spec->alpn, spec->alpn_size), 0);
    assert_int_equal(SSL_set_fd(p->client, p->fds[0]), 1);
    SSL_set_connect_state(p->client);
    assert_int_equal(encl_channel_open(f->channels, p->fds[1], &p->channel, &err), 0);
}

static void shake_hands(pair *p)
{
    uint8_t byte;
    for (int i = 0; i < 10 && !p->has_failed && !p->is_up; i++) {
        int rc = SSL_do_handshake(p->client);
        int reason = SSL_get_error(p->client, rc);
        if (rc != 1 && reason != SSL_ERROR_WANT_READ)
            p->has_failed = true;
        if (encl_channel_read(p->channel, &byte, 1) == ENCL_CHANNEL_GONE)
            p->has_failed = true;
        p->is_up = rc == 1 && !p->has_failed;
    }
}

static void close_pair(pair *p)
{
    encl_channel_close(p->channel);
    SSL_free(p->client);
    SSL_CTX_free(p->ctx);
    (void)close(p->fds[0]);
    (void)close(p->fds[1]);
}

static bool connects(fixture *f, const client_spec *spec)
{
    pair p;
    open_pair(f, spec, &p);
    shake_hands(&p);
    close_pair(&p);
    return p.is_up;
}

static void answers_its_own_name_in_tls13(void **state)
{
    fixture *f = *state;
    static const uint8_t http1[] = "\x08http/1.1", both[] = "\x08http/1.1\x02h2", http2[] = "\x02h2",
                         other_alpn[] = "\x02h3";
    char other[128], upper[128], longer[160];
    (void)snprintf(other, sizeof other, "%s", f->name);
    other[10] = other[10] == 'a' ? 'b' : 'a';
    (void)snprintf(upper, sizeof upper, "APP%s", f->name + 3);
    (void)snprintf(longer, sizeof longer, "%.56sx.example", f->name);
    assert_true(connects(f, &(client_spec){ .name = f->name }));
    assert_true(connects(f, &(client_spec){ .name = upper }));
    assert_true(connects(f, &(client_spec){ .name = f->name, .alpn = http1, .alpn_size = sizeof http1 - 1 }));
    assert_true(connects(f, &(client_spec){ .name = f->name, .alpn = both, .alpn_size = sizeof both - 1 }));
    assert_true(connects(f, &(client_spec){ .name = f->name, .alpn = http2, .alpn_size = sizeof http2 - 1 }));
    assert_false(
        connects(f, &(client_spec){ .name = f->name, .alpn = other_alpn, .alpn_size = sizeof other_alpn - 1 }));
    assert_false(connects(f, &(client_spec){ .name = f->name, .max_version = TLS1_2_VERSION }));
    assert_false(connects(f, &(client_spec){ .name = other }));
    assert_false(connects(f, &(client_spec){ .name = longer }));
    assert_false(connects(f, &(client_spec){ .name = NULL }));
}

static bool speaks_h2(fixture *f, const uint8_t *alpn, unsigned size)
{
    pair p;
    open_pair(f, &(client_spec){ .name = f->name, .alpn = alpn, .alpn_size = size }, &p);
    assert_false(encl_channel_speaks_h2(p.channel));
    shake_hands(&p);
    assert_true(p.is_up);
    bool outcome = encl_channel_speaks_h2(p.channel);
    close_pair(&p);
    return outcome;
}

static void http2_is_spoken_with_who_offers_it(void **state)
{
    fixture *f = *state;
    static const uint8_t http1[] = "\x08http/1.1", both[] = "\x08http/1.1\x02h2", http2[] = "\x02h2";
    assert_true(speaks_h2(f, http2, sizeof http2 - 1));
    assert_true(speaks_h2(f, both, sizeof both - 1));
    assert_false(speaks_h2(f, http1, sizeof http1 - 1));
    assert_false(speaks_h2(f, NULL, 0));
}

static void the_certificate_carries_evidence_over_its_key(void **state)
{
    fixture *f = *state;
    pair p;
    rd_err err = RD_ERR_INIT;
    open_pair(f, &(client_spec){ .name = f->name }, &p);
    shake_hands(&p);
    assert_true(p.is_up);
    X509 *cert = SSL_get1_peer_certificate(p.client);
    uint8_t *der = NULL;
    int size = i2d_X509(cert, &der);
    rd_ratls ratls;
    if (rd_ratls_read(rd_bytes_of(der, (size_t)size), &ratls, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(ratls.convention, "interoperable");
    assert_int_equal(rd_ratls_check_time(&ratls, encl_platform_time_us(f->e.platform), &err), 0);
    /* The quote of this platform is its report data. */
    assert_int_equal(ratls.evidence.size, 64);
    assert_memory_equal(ratls.evidence.data, ratls.report_data, 64);
    rd_ratls_done(&ratls);
    OPENSSL_free(der);
    X509_free(cert);
    close_pair(&p);
}

/* The statement in a bundle of purpose channel. */
static rd_statement statement_of(const pair *p, const uint8_t nonce[32])
{
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_evidence evidence = { 0 };
    if (encl_channel_evidence(p->channel, nonce, &bundle, &err) < 0 ||
        rd_evidence_parse(rd_buf_bytes(&bundle), &evidence, &err) < 0)
        fail_msg("%s", err.text);
    rd_statement statement = evidence.statement;
    rd_evidence_done(&evidence);
    return statement;
}

static void exporter_of(const pair *p, uint8_t out[32])
{
    assert_int_equal(SSL_export_keying_material(p->client, out, 32, "EXPORTER-Channel-Binding", 24, NULL, 0, 0), 1);
}

static void evidence_is_bound_to_each_connection(void **state)
{
    fixture *f = *state;
    pair one, two;
    uint8_t nonce[32] = { 8 }, exporter[32], spki[32];
    open_pair(f, &(client_spec){ .name = f->name }, &one);
    open_pair(f, &(client_spec){ .name = f->name }, &two);
    RD_CLEANUP(rd_buf_done) rd_buf early = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(encl_channel_evidence(one.channel, nonce, &early, &err), -1);
    assert_int_equal(err.code, RD_E_CHANNEL);
    shake_hands(&one);
    shake_hands(&two);
    assert_true(one.is_up && two.is_up);
    rd_statement first = statement_of(&one, nonce), second = statement_of(&two, nonce);
    exporter_of(&one, exporter);
    assert_int_equal(first.purpose, RD_PURPOSE_CHANNEL);
    assert_memory_equal(first.nonce, nonce, 32);
    assert_memory_equal(first.channel, exporter, 32);
    exporter_of(&two, exporter);
    assert_memory_equal(second.channel, exporter, 32);
    assert_memory_not_equal(first.channel, second.channel, 32);
    X509 *cert = SSL_get1_peer_certificate(one.client);
    unsigned size = 32;
    uint8_t *der = NULL;
    int der_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    assert_int_equal(EVP_Digest(der, (size_t)der_size, spki, &size, EVP_sha256(), NULL), 1);
    assert_memory_equal(first.tls, spki, 32);
    OPENSSL_free(der);
    X509_free(cert);
    close_pair(&one);
    close_pair(&two);
}

static int tickets;

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl, (void)session;
    tickets++;
    return 0;
}

/* Resumption would skip the certificate, and with it the evidence (R39). */
static void nothing_is_resumed(void **state)
{
    fixture *f = *state;
    pair p;
    char byte;
    tickets = 0;
    open_pair(f, &(client_spec){ .name = f->name }, &p);
    (void)SSL_CTX_set_session_cache_mode(p.ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(p.ctx, on_ticket);
    shake_hands(&p);
    assert_true(p.is_up);
    assert_int_equal(encl_channel_write(p.channel, RD_BYTES_LIT("x")), 1);
    assert_int_equal(SSL_read(p.client, &byte, 1), 1);
    assert_int_equal(tickets, 0);
    SSL_SESSION *session = SSL_get1_session(p.client);
    assert_false(SSL_SESSION_is_resumable(session));
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
    close_pair(&p);
    SSL_SESSION_free(session);
}

static void there_is_a_bound(void **state)
{
    fixture *f = *state;
    static encl_channel *open[ENCL_CHANNELS_MAX];
    rd_err err = RD_ERR_INIT;
    encl_channel *more = NULL;
    for (size_t i = 0; i < ENCL_CHANNELS_MAX; i++)
        assert_int_equal(encl_channel_open(f->channels, -1, &open[i], &err), 0);
    assert_int_equal(encl_channel_open(f->channels, -1, &more, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    for (size_t i = 0; i < ENCL_CHANNELS_MAX; i++)
        encl_channel_close(open[i]);
    assert_int_equal(encl_channel_open(f->channels, -1, &more, &err), 0);
    encl_channel_close(more);
}

/* One byte from outside is no way to have the platform quote again and again. */
static void a_quote_that_fails_is_not_asked_for_at_once(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    encl_channel *channel = NULL;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    fake_quote_fails = true;
    unsigned before = fake_quotes;
    assert_int_equal(encl_channel_open(f->channels, fds[1], &channel, &err), -1);
    assert_int_equal(err.code, RD_E_TEE_UNAVAILABLE);
    fake_quote_fails = false;
    assert_int_equal(encl_channel_open(f->channels, fds[1], &channel, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    assert_int_equal(fake_quotes, before + 1);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_its_own_name_in_tls13, setup, teardown),
        cmocka_unit_test_setup_teardown(http2_is_spoken_with_who_offers_it, setup, teardown),
        cmocka_unit_test_setup_teardown(the_certificate_carries_evidence_over_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(evidence_is_bound_to_each_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_resumed, setup, teardown),
        cmocka_unit_test_setup_teardown(there_is_a_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quote_that_fails_is_not_asked_for_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
