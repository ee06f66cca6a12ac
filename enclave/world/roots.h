/* roots: the public certificate authorities that outgoing TLS trusts, embedded from Debian's ca-certificates at build.
 * Used by tls.c. They are part of the program and so of its measurement.
 * Adds to a store only the roots that a chain names, so that an instance does not carry a hundred and forty. */
#ifndef ENCL_ROOTS_H
#define ENCL_ROOTS_H

#include "common/base/bytes.h"

struct x509_store_st;
struct X509_name_st;

/* Adds every root with this subject. */
void encl_roots_add(struct x509_store_st *store, const struct X509_name_st *subject);
/* The first one; the caller's. NULL when there is none. */
struct x509_st *encl_roots_first(void);
/* How many are embedded. */
size_t encl_roots_count(void);

/* Generated from /etc/ssl/certs/ca-certificates.crt (roots.cmake): PEM text. */
extern const uint8_t encl_roots_pem[];
extern const size_t encl_roots_pem_size;

#endif
