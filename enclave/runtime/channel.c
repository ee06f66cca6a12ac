#include "enclave/runtime/channel.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/base/mem.h"
#include "common/crypto/x509_issue.h"

#define HOUR_US        (INT64_C(3600) * 1000000)
#define LIFE_US        HOUR_US
#define CERT_BEHIND_US HOUR_US /* a client's clock may be behind */
#define CERT_LIFE_US   (24 * HOUR_US)
#define CERT_RENEW_US  (12 * HOUR_US)
#define CERT_RETRY_US  (INT64_C(10) * 1000000) /* a quote that failed is not asked for again sooner */
#define NAME_SIZE      (RD_APP_ID_TEXT_SIZE - 1)
#define RATLS_OID      "2.23.133.5.4.9" /* TCG DICE: tagged evidence */
#define EXPORTER_LABEL "EXPORTER-Channel-Binding"

/* RFC 7301, the dearest first. */
static const uint8_t protocols[] = { 2, 'h', '2', 8, 'h', 't', 't', 'p', '/', '1', '.', '1' };

struct encl_channels {
    encl_identity *identity;
    encl_platform *platform;
    const rd_clock *clock;
    rd_app_id app;
    char name[RD_APP_ID_TEXT_SIZE]; /* "app-…": the first label of the name that clients ask for */
    rd_p256_key *key;
    uint8_t spki[32]; /* SHA-256 */
    SSL_CTX *ctx;     /* with the newest certificate */
    int64_t made_us, failed_us;
    size_t count;
};

struct encl_channel {
    encl_channels *channels;
    SSL *ssl;
    int64_t opened_us;
    bool wants_room;
};

encl_channels *encl_channels_new(encl_identity *identity, encl_platform *platform, const rd_app_id *app,
                                 const rd_clock *clock)
{
    encl_channels *channels = rd_alloc(sizeof *channels);
    channels->identity = identity;
    channels->platform = platform;
    channels->app = *app;
    channels->clock = clock;
    rd_app_id_format(app, channels->name);
    channels->name[3] = '-'; /* app_… is no DNS name */
    return channels;
}

encl_channels *encl_channels_free(encl_channels *channels)
{
    if (channels != NULL) {
        SSL_CTX_free(channels->ctx);
        rd_p256_key_free(channels->key);
        free(channels);
    }
    return NULL;
}

/* --- certificate and context ------------------------------------------------------------------------------------ */

/* Self-signed; who it is of is in the evidence that it carries, and not in its names. */
static int issue(encl_channels *channels, rd_cert **ret, rd_err *err)
{
    uint8_t spki[RD_P256_SPKI_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf evidence = { 0 };
    if (channels->key == NULL)
        channels->key = rd_p256_key_new();
    rd_p256_key_spki(channels->key, spki);
    rd_p256_key_spki_digest(channels->key, channels->spki);
    if (encl_identity_ratls(channels->identity, channels->spki, &evidence, err) < 0)
        return -1;
    int64_t now = encl_platform_time_us(channels->platform);
    const rd_cert_extra extra = { .oid = RATLS_OID, .value = rd_buf_bytes(&evidence) };
    const rd_cert_spec spec = { .kind = RD_CERT_KIND_SERVER,
                                .common_name = channels->name,
                                .not_before_us = now - CERT_BEHIND_US,
                                .not_after_us = now + CERT_LIFE_US,
                                .extras = &extra,
                                .extra_count = 1 };
    return rd_cert_issue(&spec, RD_BYTES_ARRAY(spki), NULL, channels->key, ret, err);
}

/* What came here under another app's name, or none, is not answered: a relay mixed it up. */
static int on_name(SSL *ssl, int *alert, void *context)
{
    const encl_channels *channels = context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    bool is_own = name != NULL && strncasecmp(name, channels->name, NAME_SIZE) == 0 && name[NAME_SIZE] == '.';
    return is_own ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int on_alpn(SSL *ssl RD_UNUSED, const unsigned char **ret, unsigned char *ret_size, const unsigned char *in,
                   unsigned in_size, void *context RD_UNUSED)
{
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, ret_size, protocols, sizeof protocols, in, in_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *context_of(encl_channels *channels, const rd_cert *cert)
{
    rd_bytes der = rd_cert_der(cert);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_use_certificate_ASN1(ctx, (int)der.size, der.data) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, rd_p256_key_pkey(channels->key)) != 1 || SSL_CTX_set_num_tickets(ctx, 0) != 1 ||
        SSL_CTX_set_max_early_data(ctx, 0) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                    SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
    (void)SSL_CTX_set_tlsext_servername_arg(ctx, channels);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    return ctx;
}

static int renew_context(encl_channels *channels, rd_err *err)
{
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    if (issue(channels, &cert, err) < 0)
        return -1;
    SSL_CTX *ctx = context_of(channels, cert);
    if (ctx == NULL) {
        ERR_clear_error();
        return rd_err_set(err, RD_E_INTERNAL, "TLS does not start");
    }
    SSL_CTX_free(channels->ctx);
    channels->ctx = ctx;
    channels->made_us = rd_clock_boot_us(channels->clock);
    return 0;
}

/* A certificate that cannot be made again serves on until its day is over: evidence on a connection is fresh anyway. */
static int need_context(encl_channels *channels, rd_err *err)
{
    int64_t now = rd_clock_boot_us(channels->clock);
    if (channels->ctx != NULL && now - channels->made_us < CERT_RENEW_US)
        return 0;
    bool is_good = channels->ctx != NULL && now - channels->made_us < CERT_LIFE_US;
    if (channels->failed_us != 0 && now - channels->failed_us < CERT_RETRY_US)
        return is_good ? 0 : rd_err_set(err, RD_E_UNAVAILABLE, "TLS has no certificate yet");
    channels->failed_us = 0;
    if (renew_context(channels, err) == 0)
        return 0;
    channels->failed_us = now;
    return is_good ? 0 : -1;
}

/* --- a connection ----------------------------------------------------------------------------------------------- */

int encl_channel_open(encl_channels *channels, int fd, encl_channel **ret, rd_err *err)
{
    if (channels->count >= ENCL_CHANNELS_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%zu TLS connections are open", channels->count);
    if (need_context(channels, err) < 0)
        return -1;
    SSL *ssl = SSL_new(channels->ctx);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return rd_err_set(err, RD_E_INTERNAL, "TLS does not start");
    }
    SSL_set_accept_state(ssl);
    encl_channel *channel = rd_alloc(sizeof *channel);
    *channel = (encl_channel){ .channels = channels, .ssl = ssl, .opened_us = rd_clock_boot_us(channels->clock) };
    channels->count++;
    *ret = channel;
    return 0;
}

encl_channel *encl_channel_close(encl_channel *channel)
{
    if (channel != NULL) {
        channel->channels->count--;
        SSL_free(channel->ssl);
        free(channel);
    }
    return NULL;
}

/* What a call of OpenSSL came to; its errors are the peer's. */
static ssize_t outcome_of(encl_channel *channel, int outcome, size_t size)
{
    int reason = SSL_get_error(channel->ssl, outcome);
    ERR_clear_error();
    channel->wants_room = reason == SSL_ERROR_WANT_WRITE;
    if (outcome == 1)
        return (ssize_t)size;
    return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE ? ENCL_CHANNEL_WAIT : ENCL_CHANNEL_GONE;
}

ssize_t encl_channel_read(encl_channel *channel, void *into, size_t size)
{
    size_t got = 0;
    ERR_clear_error();
    int outcome = SSL_read_ex(channel->ssl, into, size, &got);
    return outcome_of(channel, outcome, got);
}

ssize_t encl_channel_write(encl_channel *channel, rd_bytes bytes)
{
    size_t put = 0;
    ERR_clear_error();
    int outcome = SSL_write_ex(channel->ssl, bytes.data, bytes.size, &put);
    return outcome_of(channel, outcome, put);
}

bool encl_channel_speaks_h2(const encl_channel *channel)
{
    const unsigned char *chosen = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(channel->ssl, &chosen, &size);
    return size == 2 && memcmp(chosen, "h2", 2) == 0 && SSL_is_init_finished(channel->ssl);
}

bool encl_channel_wants_room(const encl_channel *channel)
{
    return channel->wants_room;
}

void encl_channel_end(encl_channel *channel)
{
    if (SSL_is_init_finished(channel->ssl))
        (void)SSL_shutdown(channel->ssl);
    ERR_clear_error();
}

bool encl_channel_is_old(const encl_channel *channel)
{
    return rd_clock_boot_us(channel->channels->clock) - channel->opened_us > LIFE_US;
}

int encl_channel_evidence(const encl_channel *channel, const uint8_t nonce[RD_NONCE_SIZE], rd_buf *ret, rd_err *err)
{
    uint8_t exporter[RD_CHANNEL_SIZE];
    bool has_exporter = SSL_is_init_finished(channel->ssl) && SSL_version(channel->ssl) == TLS1_3_VERSION &&
                        SSL_session_reused(channel->ssl) == 0 &&
                        SSL_export_keying_material(channel->ssl, exporter, sizeof exporter, EXPORTER_LABEL,
                                                   sizeof EXPORTER_LABEL - 1, NULL, 0, 0) == 1;
    ERR_clear_error();
    if (!has_exporter)
        return rd_err_set(err, RD_E_CHANNEL, "this connection has no exporter");
    int outcome =
        encl_identity_channel_evidence(channel->channels->identity, channel->channels->spki, exporter, nonce, ret, err);
    rd_wipe(exporter, sizeof exporter);
    return outcome;
}
