#include "common/crypto/sign.h"

#include "common/base/text.h"

#include <stdio.h>

void rd_jwk_thumbprint(const rd_public_key *key, uint8_t out[RD_SHA256_SIZE])
{
    char x[44];
    char text[96];
    rd_base64url_encode(RD_BYTES_ARRAY(key->b), x);
    /* RFC 7638, 3: the required members in lexicographic order, without white space. */
    int size = snprintf(text, sizeof text, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x);
    rd_sha256(rd_bytes_of(text, (size_t)size), out);
}

void rd_jwk_thumbprint_p256(const uint8_t key[RD_P256_PUBLIC_SIZE], uint8_t out[RD_SHA256_SIZE])
{
    char x[44], y[44];
    char text[144];
    rd_base64url_encode(rd_bytes_of(key, 32), x);
    rd_base64url_encode(rd_bytes_of(key + 32, 32), y);
    int size = snprintf(text, sizeof text, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}", x, y);
    rd_sha256(rd_bytes_of(text, (size_t)size), out);
}
