/* tls: outgoing TLS that ends inside the enclave: who answers is proved by a certificate for the host's name.
 * Used by fetch.c. Trusts the embedded public roots, or the one certificate that the release names for the host.
 * TLS 1.2 and 1.3, no resumption, no early data; certificates are dated by the enclave's own floor of time. */
#ifndef ENCL_TLS_H
#define ENCL_TLS_H

#include "common/model/egress.h"

struct ssl_st;
typedef struct encl_tls encl_tls;

/* Errors: INTERNAL when OpenSSL cannot. */
int encl_tls_new(encl_tls **ret, rd_err *err) RD_NODISCARD;
encl_tls *encl_tls_free(encl_tls *tls);

/* Makes a session's objects once. */
int encl_tls_warm_up(encl_tls *tls, rd_err *err) RD_NODISCARD;
/* A session over a connected, non-blocking socket, which stays the caller's. now_us: the time to date certificates by.
 */
int encl_tls_connect(encl_tls *tls, const rd_egress_entry *entry, int fd, int64_t now_us, struct ssl_st **ret,
                     rd_err *err) RD_NODISCARD;
/* Why a handshake failed, as a sentence. */
void encl_tls_explain(struct ssl_st *ssl, char *out, size_t out_size);

#endif
