/* The low-level ECDSA calls of OpenSSL: no search for a method and no context per key or signature, which together take
 * longer than a tenth of a verification. This is the one file that uses them. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/crypto/ec_verify.h"

#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MAX 48

static const struct {
    int nid;
    size_t field_size;
} curves[RD_CURVE_COUNT] = {
    [RD_CURVE_P256] = { NID_X9_62_prime256v1, 32 },
    [RD_CURVE_P384] = { NID_secp384r1, 48 },
};

/* Made once, as making one takes as long as a fifth of a verification; keys hold copies. */
static EC_GROUP *groups[RD_CURVE_COUNT];
static pthread_once_t groups_once = PTHREAD_ONCE_INIT;

static void make_groups(void)
{
    for (size_t i = 0; i < RD_CURVE_COUNT; i++) {
        groups[i] = EC_GROUP_new_by_curve_name(curves[i].nid);
        if (!groups[i])
            abort(); /* libcrypto without the curves that everything here is about */
    }
}

rd_ec_key *rd_ec_key_new(rd_curve curve, const uint8_t *point)
{
    uint8_t encoded[1 + 2 * FIELD_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
    size_t size = 2 * curves[curve].field_size;
    memcpy(encoded + 1, point, size);
    (void)pthread_once(&groups_once, make_groups);
    EC_KEY *key = EC_KEY_new();
    if (key && EC_KEY_set_group(key, groups[curve]) == 1 && EC_KEY_oct2key(key, encoded, 1 + size, NULL) == 1)
        return key;
    EC_KEY_free(key);
    ERR_clear_error();
    return NULL;
}

rd_ec_key *rd_ec_key_of(EVP_PKEY *key, rd_curve *ret_curve)
{
    EC_KEY *ec = EVP_PKEY_is_a(key, "EC") ? EVP_PKEY_get1_EC_KEY(key) : NULL;
    for (size_t i = 0; ec && i < RD_CURVE_COUNT; i++)
        if (EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) == curves[i].nid && EC_KEY_check_key(ec) == 1) {
            *ret_curve = (rd_curve)i;
            return ec;
        }
    EC_KEY_free(ec);
    ERR_clear_error();
    return NULL;
}

void rd_ec_key_free(rd_ec_key *key)
{
    EC_KEY_free(key);
}

bool rd_ec_verify(const rd_ec_key *key, rd_bytes digest, rd_bytes signature)
{
    bool is_good = ECDSA_verify(0, digest.data, (int)digest.size, signature.data, (int)signature.size, (EC_KEY *)key) ==
                   1; /* no const in libcrypto's declaration */
    ERR_clear_error();
    return is_good;
}

bool rd_ec_verify_raw(const rd_ec_key *key, rd_bytes digest, const uint8_t *signature, size_t half)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, (int)half, NULL), *s = BN_bin2bn(signature + half, (int)half, NULL);
    bool is_good = sig && r && s && ECDSA_SIG_set0(sig, r, s) == 1;
    if (!is_good) {
        BN_free(r);
        BN_free(s);
    }
    is_good = is_good && ECDSA_do_verify(digest.data, (int)digest.size, sig, (EC_KEY *)key) == 1;
    ECDSA_SIG_free(sig);
    ERR_clear_error();
    return is_good;
}
