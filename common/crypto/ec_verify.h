/* ec_verify: public keys on NIST curves, and ECDSA signatures by them.
 * Used by p256 and x509. Nothing here is secret. */
#ifndef RD_CRYPTO_EC_VERIFY_H
#define RD_CRYPTO_EC_VERIFY_H

#include <openssl/types.h>

#include "common/base/bytes.h"

typedef enum rd_curve { RD_CURVE_P256, RD_CURVE_P384, RD_CURVE_COUNT } rd_curve;

/* Read-only once made, so that any thread may verify with it. */
typedef struct ec_key_st rd_ec_key;

/* Of x then y, big-endian, each as long as the curve's field; NULL when that is no point of the curve. */
rd_ec_key *rd_ec_key_new(rd_curve curve, const uint8_t *point);
/* Of a key that libcrypto decoded; NULL when it is on another curve, or the point at infinity. */
rd_ec_key *rd_ec_key_of(EVP_PKEY *key, rd_curve *ret_curve);
void rd_ec_key_free(rd_ec_key *key);

/* signature: DER (RFC 3279, 2.2.3), in its one form. digest: of the curve's length. */
bool rd_ec_verify(const rd_ec_key *key, rd_bytes digest, rd_bytes signature);
/* r then s, big-endian, each of half bytes; refused when not between zero and the order. */
bool rd_ec_verify_raw(const rd_ec_key *key, rd_bytes digest, const uint8_t *signature, size_t half);

#endif
