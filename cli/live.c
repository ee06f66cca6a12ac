#include "cli/live.h"

#include "attest/ratls.h"
#include "cli/exchange.h"
#include "cli/steps.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "enclave/world/answer.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EXPORTER_LABEL "EXPORTER-Channel-Binding"
#define NAME_SIZE      56 /* "app-" and 52 characters */

struct cli_live {
    cli_live_address address;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    rd_buf certificate; /* DER */
    uint8_t exporter[32], key[32];
    int64_t until_us;
    void (*pipe_signal)(int); /* as it was */
};

/* ---- addresses ---- */

static int parse_port(const char *text, char ret[6])
{
    size_t size = strspn(text, "0123456789");
    unsigned long port = strtoul(text, NULL, 10);
    if (size == 0 || size > 5 || text[size] != 0 || port == 0 || port > 65535)
        return -1;
    memcpy(ret, text, size + 1);
    return 0;
}

int cli_live_address_parse(const char *url, cli_live_address *ret, rd_err *err)
{
    static const char scheme[] = "https://";
    *ret = (cli_live_address){ .port = "443" };
    const char *host = strncmp(url, scheme, sizeof scheme - 1) == 0 ? url + sizeof scheme - 1 : "";
    size_t size = strcspn(host, ":/?#@");
    RD_CLEANUP(rd_free_p) char *rest = rd_strdup(host + size);
    if (rest[0] && rest[strlen(rest) - 1] == '/')
        rest[strlen(rest) - 1] = 0;
    bool is_good = size > NAME_SIZE && size < sizeof ret->host && host[NAME_SIZE] == '.' &&
                   strncmp(host, "app-", 4) == 0 &&
                   (rest[0] == 0 || (rest[0] == ':' && parse_port(rest + 1, ret->port) == 0));
    char id[NAME_SIZE + 1] = "app_";
    if (is_good)
        memcpy(id + 4, host + 4, NAME_SIZE - 4);
    if (!is_good || rd_app_id_parse(id, NAME_SIZE, &ret->app, err) < 0)
        return rd_err_set(err, RD_E_USAGE, "%s is not the address of an app: https://app-….DOMAIN[:PORT]", url);
    memcpy(ret->host, host, size);
    return 0;
}

/* ---- the socket ---- */

static int64_t left_ms(const cli_live *live)
{
    int64_t left = (live->until_us - rd_clock_boot_us(rd_clock_system())) / 1000;
    return left < 0 ? 0 : left;
}

/* Waits for the socket; TIMEOUT at the end of the time. */
static int await(const cli_live *live, short events, rd_err *err)
{
    struct pollfd watched = { .fd = live->fd, .events = events };
    if (poll(&watched, 1, (int)RD_MIN(left_ms(live), INT32_MAX)) > 0 && left_ms(live) > 0)
        return 0;
    return rd_err_set(err, RD_E_TIMEOUT, "%s did not answer in time", live->address.host);
}

static int connect_to(cli_live *live, const struct addrinfo *at, rd_err *err)
{
    int error = 0;
    socklen_t size = sizeof error;
    rd_close_p(&live->fd);
    live->fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (live->fd < 0)
        return rd_err_set_errno(err, RD_E_UNAVAILABLE, errno, "a socket");
    if (connect(live->fd, at->ai_addr, at->ai_addrlen) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return rd_err_set_errno(err, RD_E_UNAVAILABLE, errno, "%s", live->address.host);
    if (await(live, POLLOUT, err) < 0)
        return -1;
    (void)getsockopt(live->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    return error == 0 ? 0 : rd_err_set_errno(err, RD_E_UNAVAILABLE, error, "%s", live->address.host);
}

/* Names below localhost are this machine (RFC 6761, 6.3), whatever the resolver thinks of them. */
static bool is_local(const char *host)
{
    static const char end[] = ".localhost";
    size_t size = strlen(host);
    return size > sizeof end && strcmp(host + size - (sizeof end - 1), end) == 0;
}

static int dial(cli_live *live, rd_err *err)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    const char *host = is_local(live->address.host) ? "127.0.0.1" : live->address.host;
    int rc = getaddrinfo(host, live->address.port, &hints, &list);
    if (rc != 0)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%s: %s", host, gai_strerror(rc));
    int status = -1;
    for (const struct addrinfo *at = list; at && status < 0; at = at->ai_next)
        status = connect_to(live, at, err);
    freeaddrinfo(list);
    return status;
}

/* ---- TLS ---- */

static int tls_failed(const cli_live *live, rd_err *err)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    bool is_old = reason == SSL_R_UNSUPPORTED_PROTOCOL || reason == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION ||
                  reason == SSL_R_WRONG_SSL_VERSION || reason == SSL_R_WRONG_VERSION_NUMBER;
    ERR_clear_error();
    if (is_old && ERR_GET_LIB(code) == ERR_LIB_SSL)
        return rd_err_set(err, RD_E_CHANNEL, "%s has no TLS 1.3, so evidence cannot be bound to the connection",
                          live->address.host);
    return rd_err_set(err, RD_E_TLS_HANDSHAKE, "TLS with %s failed: %s", live->address.host,
                      text ? text : "the connection ended");
}

/* 0: call it again; -1. */
static int wait_for(const cli_live *live, int outcome, rd_err *err)
{
    int reason = SSL_get_error(live->ssl, outcome);
    if (reason == SSL_ERROR_WANT_READ)
        return await(live, POLLIN, err);
    if (reason == SSL_ERROR_WANT_WRITE)
        return await(live, POLLOUT, err);
    return tls_failed(live, err);
}

static bool set_up(cli_live *live)
{
    static const uint8_t http1[] = "\x08http/1.1";
    live->ctx = SSL_CTX_new(TLS_client_method());
    if (!live->ctx || SSL_CTX_set_min_proto_version(live->ctx, TLS1_3_VERSION) != 1)
        return false;
    SSL_CTX_set_verify(live->ctx, SSL_VERIFY_NONE, NULL); /* the evidence decides */
    (void)SSL_CTX_set_session_cache_mode(live->ctx, SSL_SESS_CACHE_OFF);
    live->ssl = SSL_new(live->ctx);
    return live->ssl && SSL_set_tlsext_host_name(live->ssl, live->address.host) == 1 &&
           SSL_set_alpn_protos(live->ssl, http1, sizeof http1 - 1) == 0 && SSL_set_fd(live->ssl, live->fd) == 1;
}

/* What this end of the connection knows of itself and of its peer. */
static int note_peer(cli_live *live, rd_err *err)
{
    X509 *cert = SSL_get1_peer_certificate(live->ssl);
    uint8_t *der = NULL, *spki = NULL;
    int size = cert ? i2d_X509(cert, &der) : -1;
    int spki_size = cert ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki) : -1;
    unsigned digest_size = sizeof live->key;
    bool is_done = size > 0 && spki_size > 0 && rd_buf_append(&live->certificate, der, (size_t)size) &&
                   EVP_Digest(spki, (size_t)spki_size, live->key, &digest_size, EVP_sha256(), NULL) == 1;
    bool is_bound = SSL_version(live->ssl) == TLS1_3_VERSION && SSL_session_reused(live->ssl) == 0 &&
                    SSL_export_keying_material(live->ssl, live->exporter, sizeof live->exporter, EXPORTER_LABEL,
                                               sizeof EXPORTER_LABEL - 1, NULL, 0, 0) == 1;
    OPENSSL_free(der);
    OPENSSL_free(spki);
    X509_free(cert);
    if (!is_done)
        return rd_err_set(err, RD_E_TLS_HANDSHAKE, "%s shows no certificate", live->address.host);
    return is_bound ? 0 : rd_err_set(err, RD_E_CHANNEL, "this connection has no exporter");
}

static int shake_hands(cli_live *live, rd_err *err)
{
    int outcome;
    if (!set_up(live))
        return rd_err_set(err, RD_E_INTERNAL, "TLS does not start");
    while ((outcome = SSL_connect(live->ssl)) != 1)
        if (wait_for(live, outcome, err) < 0)
            return -1;
    return note_peer(live, err);
}

int cli_live_open(const cli_live_address *address, int64_t timeout_us, cli_live **ret, rd_err *err)
{
    cli_live *live = rd_alloc(sizeof *live);
    live->address = *address;
    live->fd = -1;
    live->until_us = rd_clock_boot_us(rd_clock_system()) + timeout_us;
    live->pipe_signal = signal(SIGPIPE, SIG_IGN); /* a peer that leaves is an error of the connection */
    rd_buf_init(&live->certificate, RD_CERT_SIZE_MAX);
    if (dial(live, err) < 0 || shake_hands(live, err) < 0) {
        cli_live_free(live);
        return -1;
    }
    *ret = live;
    return 0;
}

cli_live *cli_live_free(cli_live *live)
{
    if (!live)
        return NULL;
    SSL_free(live->ssl);
    SSL_CTX_free(live->ctx);
    ERR_clear_error();
    rd_close_p(&live->fd);
    rd_buf_done(&live->certificate);
    (void)signal(SIGPIPE, live->pipe_signal);
    free(live);
    return NULL;
}

const uint8_t *cli_live_exporter(const cli_live *live)
{
    return live->exporter;
}

const uint8_t *cli_live_key(const cli_live *live)
{
    return live->key;
}

/* ---- requests ---- */

static int send_all(const cli_live *live, rd_bytes bytes, rd_err *err)
{
    size_t put = 0;
    int outcome;
    while ((outcome = SSL_write_ex(live->ssl, bytes.data, bytes.size, &put)) != 1)
        if (wait_for(live, outcome, err) < 0)
            return -1;
    return 0;
}

static int read_answer(const cli_live *live, encl_answer *answer, rd_err *err)
{
    uint8_t piece[4096];
    while (answer->state != ENCL_ANSWER_DONE) {
        size_t got = 0;
        int outcome = SSL_read_ex(live->ssl, piece, sizeof piece, &got);
        if (outcome != 1 && wait_for(live, outcome, err) < 0)
            return -1;
        if (outcome == 1 && encl_answer_feed(answer, rd_bytes_of(piece, got), err) < 0)
            return -1;
        if (left_ms(live) == 0)
            return rd_err_set(err, RD_E_TIMEOUT, "%s did not answer in time", live->address.host);
    }
    return 0;
}

int cli_live_get(cli_live *live, const char *path, size_t size_max, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p)
    char *text =
        rd_asprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\n\r\n", path, live->address.host);
    encl_answer answer;
    encl_answer_init(&answer, false, size_max);
    int status = send_all(live, rd_bytes_str(text), err);
    if (status == 0)
        status = read_answer(live, &answer, err);
    if (status == 0 && answer.status != 200)
        status = cli_exchange_refused(rd_buf_bytes(&answer.body), "the endpoint refuses", err);
    if (status == 0)
        (void)rd_buf_append_bytes(ret, rd_buf_bytes(&answer.body));
    encl_answer_done(&answer);
    return status;
}

/* ---- the certificate ---- */

int cli_live_check_certificate(const cli_live *live, int64_t now_us, json_t *steps, rd_err *err)
{
    rd_ratls ratls;
    int status = rd_ratls_read(rd_buf_bytes(&live->certificate), &ratls, err);
    if (status == 0)
        status = rd_ratls_check_time(&ratls, now_us, err);
    if (status == 0)
        cli_step(steps, "certificate", true, "RA-TLS (%s): in date, and what it carries names its own key",
                 ratls.convention);
    rd_ratls_done(&ratls);
    return status == 0 ? 0 : cli_step_failed(steps, "certificate", err);
}
