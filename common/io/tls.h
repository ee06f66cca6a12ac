/* tls: the one place that configures OpenSSL for connections.
 * Used by the link (both ends) and by REST over TLS. Sessions move bytes in memory; the caller owns the sockets.
 * Offers nothing below TLS 1.3 on links, no early data, no renegotiation, no peer without a certificate of our CA. */
#ifndef RD_IO_TLS_H
#define RD_IO_TLS_H

#include "common/base/bytes.h"
#include "common/base/err.h"

typedef enum rd_tls_role {
    RD_TLS_LINK_SERVER, /* TLS 1.3, mutual: the peer must show clientAuth under the CA */
    RD_TLS_LINK_CLIENT, /* TLS 1.3, mutual: the peer must show serverAuth under the CA */
    RD_TLS_REST_SERVER, /* TLS 1.2 and 1.3 (RFC 9325), no client certificate */
} rd_tls_role;

typedef struct rd_tls_config {
    rd_tls_role role;
    rd_bytes certificate_pem; /* leaf first, then intermediates */
    rd_bytes key_pem;
    rd_bytes ca_pem;       /* links: the only anchors */
    const char *alpn;      /* demanded from the peer (RFC 7301); NULL: none */
    const char *peer_name; /* LINK_CLIENT: dNSName or commonName that the peer must have; NULL: any under the CA */
} rd_tls_config;

/* A context: what new sessions are made from. Reference to certificate and key are inside; inputs are copied. */
typedef struct rd_tls_context rd_tls_context;
int rd_tls_context_new(const rd_tls_config *config, rd_tls_context **ret, rd_err *err) RD_NODISCARD;
rd_tls_context *rd_tls_context_free(rd_tls_context *context);
/* Takes a new certificate, key and CA for sessions made from now on; on failure the old ones stay. */
int rd_tls_context_reload(rd_tls_context *context, rd_bytes certificate_pem, rd_bytes key_pem, rd_bytes ca_pem,
                          rd_err *err) RD_NODISCARD;
/* End of the own certificate, microseconds since the epoch. */
int64_t rd_tls_context_not_after_us(const rd_tls_context *context);

/* Who the peer proved to be; all from its verified certificate. */
typedef struct rd_tls_peer {
    char common_name[129];   /* commonName, "" when absent, longer or not plain */
    char uri[257];           /* the first URI subjectAltName, or "" */
    int64_t not_before_us;   /* since the epoch */
    int64_t not_after_us;    /* since the epoch */
    uint8_t spki_sha256[32]; /* of SubjectPublicKeyInfo DER */
    char serial_hex[65];
} rd_tls_peer;

/* One connection. Free with rd_tls_free; marks the session so that it can be resumed. */
typedef struct rd_tls rd_tls;
int rd_tls_new(rd_tls_context *context, rd_tls **ret, rd_err *err) RD_NODISCARD;
rd_tls *rd_tls_free(rd_tls *tls);

/* What rd_tls_read reports besides a size. */
#define RD_TLS_AGAIN  (-2) /* needs more input */
#define RD_TLS_CLOSED (-3) /* the peer ended the stream properly */

/* Lends ciphertext from the socket; it must be drained by rd_tls_read (until RD_TLS_AGAIN) before the call returns
 * to the loop, as the bytes are not copied. */
void rd_tls_feed(rd_tls *tls, rd_bytes ciphertext);
/* Goes on with the handshake (also without input, to send the first flight). 1: done, 0: needs input, -1: failed;
 * output, alerts included, stands in rd_tls_output in every case. */
int rd_tls_handshake(rd_tls *tls, rd_err *err) RD_NODISCARD;
bool rd_tls_is_ready(const rd_tls *tls);
/* Plaintext: a size > 0, RD_TLS_AGAIN, RD_TLS_CLOSED, or -1 with err. */
ssize_t rd_tls_read(rd_tls *tls, void *out, size_t size, rd_err *err) RD_NODISCARD;
/* Encrypts all of it into rd_tls_output. Only when ready. */
int rd_tls_write(rd_tls *tls, rd_bytes plaintext, rd_err *err) RD_NODISCARD;
/* Appends close_notify to the output. */
void rd_tls_shutdown(rd_tls *tls);
/* Ciphertext for the socket: the caller sends and clears it (or takes the buffer over). */
rd_buf *rd_tls_output(rd_tls *tls);
/* Valid once ready and while the session lives; NULL before, and when the peer has no certificate. */
const rd_tls_peer *rd_tls_peer_of(const rd_tls *tls);
bool rd_tls_was_resumed(const rd_tls *tls);

#endif
