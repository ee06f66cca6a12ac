/* Vectors: RFC 8032, 7.1 (Ed25519); RFC 6979, A.2.5 (P-256 with SHA-256); RFC 8037, A.3 (thumbprint). */
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEED_1   "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
#define PUBLIC_1 "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"

static void unhex(const char *text, uint8_t *out, size_t size)
{
    assert_int_equal(rd_hex_decode(text, strlen(text), out, size), 0);
}

static const struct {
    const char *seed, *public_key, *message, *signature;
} vectors[] = {
    { SEED_1, PUBLIC_1, "",
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
      "655141438e7a100b" },
    { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
      "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
      "b00d291612bb0c00" },
    { "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
      "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
      "c027beceea1ec40a" },
};

static void test_ed25519_vectors(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(vectors); i++) {
        uint8_t seed[32], message[2];
        rd_public_key public_key;
        rd_signature want, got;
        size_t size = strlen(vectors[i].message) / 2;
        unhex(vectors[i].seed, seed, 32);
        unhex(vectors[i].public_key, public_key.b, 32);
        unhex(vectors[i].message, message, size);
        unhex(vectors[i].signature, want.b, 64);
        RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_from_seed(seed);
        assert_true(rd_public_key_equal(rd_signing_key_public(key), &public_key));
        assert_int_equal(rd_ed25519_sign(key, rd_bytes_of(message, size), &got, NULL), 0);
        assert_memory_equal(got.b, want.b, 64);
        assert_int_equal(rd_ed25519_verify(&public_key, rd_bytes_of(message, size), &want, NULL), 0);
    }
}

static void test_each_flipped_bit_is_refused(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    const rd_public_key *public_key = rd_signing_key_public(key);
    rd_signature good;
    assert_int_equal(rd_sign(key, RD_SIGN_HEAD, RD_BYTES_LIT("message"), &good, NULL), 0);
    assert_int_equal(rd_verify(public_key, RD_SIGN_HEAD, RD_BYTES_LIT("message"), &good, NULL), 0);
    for (size_t bit = 0; bit < 64 * 8; bit++) {
        rd_err err = RD_ERR_INIT;
        rd_signature bad = good;
        bad.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(rd_verify(public_key, RD_SIGN_HEAD, RD_BYTES_LIT("message"), &bad, &err), -1);
        assert_int_equal(err.code, RD_E_SIGNATURE);
    }
    for (size_t bit = 0; bit < 7 * 8; bit++) {
        uint8_t message[] = "message";
        message[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(rd_verify(public_key, RD_SIGN_HEAD, rd_bytes_of(message, 7), &good, NULL), -1);
    }
}

static void test_label_is_part_of_the_signature(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    for (int made = 0; made < RD_SIGN_LABEL_COUNT; made++) {
        rd_signature signature;
        assert_int_equal(rd_sign(key, (rd_sign_label)made, RD_BYTES_LIT("m"), &signature, NULL), 0);
        for (int asked = 0; asked < RD_SIGN_LABEL_COUNT; asked++) {
            int outcome =
                rd_verify(rd_signing_key_public(key), (rd_sign_label)asked, RD_BYTES_LIT("m"), &signature, NULL);
            if (outcome != (made == asked ? 0 : -1))
                fail_msg("signed as %s, verified as %s", rd_sign_label_text((rd_sign_label)made),
                         rd_sign_label_text((rd_sign_label)asked));
        }
        assert_int_equal(rd_ed25519_verify(rd_signing_key_public(key), RD_BYTES_LIT("m"), &signature, NULL), -1);
    }
}

/* S + L is the same scalar: accepted by careless verifiers. */
static void test_malleable_signature_is_refused(void **state RD_UNUSED)
{
    static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                       0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                       0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10 };
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    rd_signature signature;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_ed25519_sign(key, RD_BYTES_LIT("m"), &signature, NULL), 0);
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += signature.b[32 + i] + order[i];
        signature.b[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(rd_ed25519_verify(rd_signing_key_public(key), RD_BYTES_LIT("m"), &signature, &err), -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);
}

static const struct {
    const char *name, *key;
} bad_keys[] = {
    { "zero (order 4)", "0000000000000000000000000000000000000000000000000000000000000000" },
    { "zero, sign bit", "0000000000000000000000000000000000000000000000000000000000000080" },
    { "identity", "0100000000000000000000000000000000000000000000000000000000000000" },
    { "identity, sign bit", "0100000000000000000000000000000000000000000000000000000000000080" },
    { "minus one (order 2)", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" },
    { "minus one, sign bit", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" },
    { "order 8, a", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05" },
    { "order 8, a, sign bit", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85" },
    { "order 8, b", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a" },
    { "order 8, b, sign bit", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa" },
    { "p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" },
    { "p + 1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" },
    { "p + 3, sign bit", "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff" },
    { "2^255 - 1", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f" },
};

/* R62: the same verdict in every implementation: no key of small order, none in two forms. */
static void test_bad_keys_are_refused(void **state RD_UNUSED)
{
    rd_signature signature = { { 0 } };
    for (size_t i = 0; i < RD_ARRAY_LEN(bad_keys); i++) {
        rd_public_key key;
        rd_err err = RD_ERR_INIT;
        unhex(bad_keys[i].key, key.b, 32);
        if (rd_public_key_check(&key, &err) == 0 || err.code != RD_E_KEY_FORMAT)
            fail_msg("%s is accepted", bad_keys[i].name);
        err = (rd_err)RD_ERR_INIT;
        assert_int_equal(rd_ed25519_verify(&key, RD_BYTES_LIT("m"), &signature, &err), -1);
        assert_int_equal(err.code, RD_E_KEY_FORMAT);
    }
    rd_public_key good;
    unhex(PUBLIC_1, good.b, 32);
    assert_int_equal(rd_public_key_check(&good, NULL), 0);
}

static void test_pem(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = rd_signing_key_new();
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *again = NULL;
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *p256 = rd_p256_key_new();
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *p256_again = NULL;
    RD_CLEANUP(rd_buf_wipe) rd_buf pem = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf p256_pem = { 0 };
    uint8_t seed[32], seed_again[32];
    assert_int_equal(rd_signing_key_to_pem(key, &pem, NULL), 0);
    assert_true(rd_starts_with(rd_buf_text(&pem), "-----BEGIN PRIVATE KEY-----\n"));
    assert_int_equal(rd_signing_key_from_pem(rd_buf_bytes(&pem), &again, NULL), 0);
    rd_signing_key_seed(key, seed);
    rd_signing_key_seed(again, seed_again);
    assert_memory_equal(seed, seed_again, 32);
    assert_int_equal(rd_p256_key_to_pem(p256, &p256_pem, NULL), 0);
    assert_int_equal(rd_p256_key_from_pem(rd_buf_bytes(&p256_pem), &p256_again, NULL), 0);
    assert_memory_equal(rd_p256_key_public(p256), rd_p256_key_public(p256_again), RD_P256_PUBLIC_SIZE);

    rd_err err = RD_ERR_INIT;
    rd_signing_key *none = NULL;
    rd_p256_key *no_p256 = NULL;
    assert_int_equal(rd_signing_key_from_pem(rd_buf_bytes(&p256_pem), &none, &err), -1);
    assert_int_equal(err.code, RD_E_KEY_FORMAT);
    assert_int_equal(rd_p256_key_from_pem(rd_buf_bytes(&pem), &no_p256, &err), -1);
    assert_int_equal(rd_signing_key_from_pem(RD_BYTES_NULL, &none, &err), -1);
    assert_int_equal(rd_signing_key_from_pem(RD_BYTES_LIT("no key"), &none, &err), -1);
    assert_int_equal(rd_signing_key_from_pem(rd_bytes_of(pem.data, pem.size / 2), &none, &err), -1);
    static const char encrypted[] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgAAAAAAAAAAAICCAAw\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_int_equal(rd_signing_key_from_pem(RD_BYTES_LIT(encrypted), &none, &err), -1);
    assert_null(none);
    assert_null(no_p256);
}

#define P256_X "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
#define P256_Y "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
#define P256_R "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
#define P256_S "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"
#define P256_N "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
#define ZERO   "0000000000000000000000000000000000000000000000000000000000000000"
#define ONE    "0000000000000000000000000000000000000000000000000000000000000001"

static const struct {
    const char *name, *key, *message, *signature;
    rd_code want;
} p256_rows[] = {
    { "RFC 6979", P256_X P256_Y, "sample", P256_R P256_S, RD_OK },
    { "other message", P256_X P256_Y, "samplf", P256_R P256_S, RD_E_SIGNATURE },
    { "r is zero", P256_X P256_Y, "sample", ZERO P256_S, RD_E_SIGNATURE },
    { "s is zero", P256_X P256_Y, "sample", P256_R ZERO, RD_E_SIGNATURE },
    { "r and s are one", P256_X P256_Y, "sample", ONE ONE, RD_E_SIGNATURE },
    { "r is n", P256_X P256_Y, "sample", P256_N P256_S, RD_E_SIGNATURE },
    { "s is n", P256_X P256_Y, "sample", P256_R P256_N, RD_E_SIGNATURE },
    { "r and s exchanged", P256_X P256_Y, "sample", P256_S P256_R, RD_E_SIGNATURE },
    { "key off the curve", P256_X P256_X, "sample", P256_R P256_S, RD_E_KEY_FORMAT },
    { "key of zeros", ZERO ZERO, "sample", P256_R P256_S, RD_E_KEY_FORMAT },
};

static void test_p256(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(p256_rows); i++) {
        uint8_t key[64], signature[64];
        rd_err err = RD_ERR_INIT;
        unhex(p256_rows[i].key, key, 64);
        unhex(p256_rows[i].signature, signature, 64);
        (void)!rd_p256_verify(key, rd_bytes_str(p256_rows[i].message), signature, &err);
        if (err.code != p256_rows[i].want)
            fail_msg("%s: %s", p256_rows[i].name, rd_code_describe(err.code)->name);
    }
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *made = rd_p256_key_new();
    for (int i = 0; i < 20; i++) {
        uint8_t signature[64];
        assert_int_equal(rd_p256_sign(made, RD_BYTES_LIT("quote"), signature, NULL), 0);
        assert_int_equal(rd_p256_verify(rd_p256_key_public(made), RD_BYTES_LIT("quote"), signature, NULL), 0);
        signature[i] ^= 1;
        assert_int_equal(rd_p256_verify(rd_p256_key_public(made), RD_BYTES_LIT("quote"), signature, NULL), -1);
    }
}

static void test_thumbprint(void **state RD_UNUSED)
{
    rd_public_key key;
    uint8_t thumbprint[32];
    char text[44];
    unhex(PUBLIC_1, key.b, 32);
    rd_jwk_thumbprint(&key, thumbprint);
    rd_base64url_encode(RD_BYTES_ARRAY(thumbprint), text);
    assert_string_equal(text, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ed25519_vectors),
        cmocka_unit_test(test_each_flipped_bit_is_refused),
        cmocka_unit_test(test_label_is_part_of_the_signature),
        cmocka_unit_test(test_malleable_signature_is_refused),
        cmocka_unit_test(test_bad_keys_are_refused),
        cmocka_unit_test(test_pem),
        cmocka_unit_test(test_p256),
        cmocka_unit_test(test_thumbprint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
