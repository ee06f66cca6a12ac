/* What a grant's key becomes: derivation, both schemes against their own verifiers, secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <secp256k1.h>
#include <secp256k1_recovery.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/keccak.h"
#include "common/crypto/sign.h"
#include "common/model/receipt.h"
#include "enclave/world/app_keys.h"

static const uint8_t app_key[ENCL_APP_KEY_SIZE] = { 1, 2, 3 };

static void paths_and_apps_give_different_keys(void **state)
{
    uint8_t a[32], b[32], again[32], other[32];
    uint8_t other_key[ENCL_APP_KEY_SIZE] = { 9 };
    rd_err err = RD_ERR_INIT;
    (void)state;
    encl_app_keys *keys = encl_app_keys_new(app_key), *others = encl_app_keys_new(other_key);
    assert_int_equal(encl_app_keys_derive(keys, RD_BYTES_LIT("a"), a, &err), 0);
    assert_int_equal(encl_app_keys_derive(keys, RD_BYTES_LIT("b"), b, &err), 0);
    assert_int_equal(encl_app_keys_derive(keys, RD_BYTES_LIT("a"), again, &err), 0);
    assert_int_equal(encl_app_keys_derive(others, RD_BYTES_LIT("a"), other, &err), 0);
    assert_memory_equal(a, again, 32);
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, other, 32);
    assert_int_equal(encl_app_keys_derive(keys, RD_BYTES_NULL, a, &err), -1);
    encl_app_keys_free(keys);
    encl_app_keys_free(others);
}

static void ed25519_verifies(void **state)
{
    rd_buf signature = { 0 }, public_key = { 0 };
    rd_err err = RD_ERR_INIT;
    (void)state;
    encl_app_keys *keys = encl_app_keys_new(app_key);
    assert_int_equal(encl_app_keys_sign(keys, ENCL_SCHEME_ED25519, RD_BYTES_LIT("data"), &signature, &err), 0);
    assert_int_equal(encl_app_keys_public(keys, ENCL_SCHEME_ED25519, &public_key, &err), 0);
    rd_signature raw;
    rd_public_key key;
    assert_int_equal(signature.size, sizeof(raw.b));
    assert_int_equal(public_key.size, sizeof(key.b));
    memcpy(raw.b, signature.data, sizeof(raw.b));
    memcpy(key.b, public_key.data, sizeof(key.b));
    assert_int_equal(rd_ed25519_verify(&key, RD_BYTES_LIT("data"), &raw, &err), 0);
    rd_buf_done(&signature);
    rd_buf_done(&public_key);
    encl_app_keys_free(keys);
}

/* As ecrecover does it: hash and signature give the public key back. */
static void secp256k1_recovers_under_the_ethereum_prefix(void **state)
{
    rd_buf signature = { 0 }, public_key = { 0 };
    rd_err err = RD_ERR_INIT;
    uint8_t hash[32], out[65];
    size_t size = sizeof(out);
    (void)state;
    encl_app_keys *keys = encl_app_keys_new(app_key);
    assert_int_equal(encl_app_keys_sign(keys, ENCL_SCHEME_SECP256K1, RD_BYTES_LIT("data"), &signature, &err), 0);
    assert_int_equal(encl_app_keys_public(keys, ENCL_SCHEME_SECP256K1, &public_key, &err), 0);
    assert_int_equal(signature.size, 65);
    rd_keccak256(RD_BYTES_LIT("\x19"
                              "Ethereum Signed Message:\n4data"),
                 hash);
    secp256k1_context *context = secp256k1_context_create(SECP256K1_CONTEXT_VERIFY);
    secp256k1_ecdsa_recoverable_signature parsed;
    secp256k1_pubkey key;
    assert_true(signature.data[64] == 27 || signature.data[64] == 28);
    assert_int_equal(
        secp256k1_ecdsa_recoverable_signature_parse_compact(context, &parsed, signature.data, signature.data[64] - 27),
        1);
    assert_int_equal(secp256k1_ecdsa_recover(context, &key, &parsed, hash), 1);
    assert_int_equal(secp256k1_ec_pubkey_serialize(context, out, &size, &key, SECP256K1_EC_UNCOMPRESSED), 1);
    assert_memory_equal(out + 1, public_key.data, 64);
    assert_true(signature.data[32] < 0x80); /* s is low */
    secp256k1_context_destroy(context);
    rd_buf_done(&signature);
    rd_buf_done(&public_key);
    encl_app_keys_free(keys);
}

/* R33: a function that has the exact bytes of a receipt signed has the app's signature of them, and no receipt. */
static void what_an_app_signs_is_no_receipt(void **state)
{
    const uint8_t seed[32] = { 7 };
    rd_err err = RD_ERR_INIT;
    rd_receipt_claims claims = { .class = RD_CLASS_SIMULATED, .status = 200 };
    rd_receipt receipt = { 0 };
    rd_public_key theirs;
    RD_CLEANUP(rd_buf_done) rd_buf header = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf signature = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf public_key = { 0 };
    rd_buf *const out[] = { &header };
    (void)state;
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *instance = rd_signing_key_from_seed(seed);
    RD_CLEANUP(rd_receipt_signer_free_p) rd_receipt_signer *signer = rd_receipt_signer_new(instance);
    assert_int_equal(rd_receipt_sign_burst(signer, &claims, 1, out, &err), 0);
    assert_int_equal(rd_receipt_parse_header((const char *)header.data, header.size, &receipt, &err), 0);
    const rd_receipt_expect by_instance = { .key = rd_signing_key_public(instance) }, by_app = { .key = &theirs };
    assert_int_equal(rd_receipt_verify(&receipt, &by_instance, NULL, &err), 0);

    rd_buf_append_bytes(&text, rd_buf_bytes(&receipt.protected_text));
    rd_buf_append_u8(&text, '.');
    (void)rd_buf_append_base64url(&text, rd_buf_bytes(&receipt.payload));
    assert_int_equal(rd_ed25519_verify(by_instance.key, rd_buf_bytes(&text), &receipt.signature, &err), 0);
    encl_app_keys *keys = encl_app_keys_new(app_key);
    assert_int_equal(encl_app_keys_sign(keys, ENCL_SCHEME_ED25519, rd_buf_bytes(&text), &signature, &err), 0);
    assert_int_equal(encl_app_keys_public(keys, ENCL_SCHEME_ED25519, &public_key, &err), 0);
    memcpy(theirs.b, public_key.data, sizeof(theirs.b));
    memcpy(receipt.signature.b, signature.data, sizeof(receipt.signature.b));
    assert_int_equal(rd_ed25519_verify(&theirs, rd_buf_bytes(&text), &receipt.signature, &err), 0);
    assert_int_equal(rd_receipt_verify(&receipt, &by_instance, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);
    /* Nor is there a receipt under the app's key: the header names the instance's. */
    err = (rd_err)RD_ERR_INIT;
    assert_int_equal(rd_receipt_verify(&receipt, &by_app, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_SIGNATURE);
    rd_receipt_done(&receipt);
    encl_app_keys_free(keys);
}

static void keccak_known_answers(void **state)
{
    static const struct {
        const char *text, *hex;
    } rows[] = {
        { "", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" },
        { "abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45" },
    };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        uint8_t out[32];
        char hex[65];
        rd_keccak256(rd_bytes_str(rows[i].text), out);
        rd_hex_encode(RD_BYTES_ARRAY(out), hex);
        assert_string_equal(hex, rows[i].hex);
    }
}

static void secrets_are_named_once(void **state)
{
    rd_err err = RD_ERR_INIT;
    (void)state;
    encl_app_keys *keys = encl_app_keys_new(app_key);
    assert_int_equal(encl_app_keys_add_secret(keys, "TOKEN", RD_BYTES_LIT("value"), &err), 0);
    assert_int_equal(encl_app_keys_add_secret(keys, "redoubt.code", RD_BYTES_LIT("value"), &err), 0);
    static const char *const bad[] = { "TOKEN", "", "1A", ".a", "a b", "a-b" };
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++)
        assert_int_equal(encl_app_keys_add_secret(keys, bad[i], RD_BYTES_LIT("x"), &err), -1);
    assert_int_equal(encl_app_keys_add_secret(keys, "EMPTY", RD_BYTES_NULL, &err), -1);
    assert_true(
        rd_bytes_equal(rd_secret_bytes(encl_app_keys_secret(keys, RD_BYTES_LIT("TOKEN"))), RD_BYTES_LIT("value")));
    assert_null(encl_app_keys_secret(keys, RD_BYTES_LIT("TOKE")));
    encl_app_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_and_apps_give_different_keys),
        cmocka_unit_test(ed25519_verifies),
        cmocka_unit_test(secp256k1_recovers_under_the_ethereum_prefix),
        cmocka_unit_test(what_an_app_signs_is_no_receipt),
        cmocka_unit_test(keccak_known_answers),
        cmocka_unit_test(secrets_are_named_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
