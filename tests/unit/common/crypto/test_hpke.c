/* Vectors: RFC 9180, A.1.1 (DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode). */
#include "common/base/text.h"
#include "common/crypto/aead.h"
#include "common/crypto/hpke.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char info_hex[] = "4f6465206f6e2061204772656369616e2055726e";
static const char ephemeral_hex[] = "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736";
static const char enc_hex[] = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431";
static const char private_hex[] = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8";
static const char public_hex[] = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d";
static const char plain_hex[] = "4265617574792069732074727574682c20747275746820626561757479";

static rd_bytes unhex(const char *hex, uint8_t *out)
{
    size_t size = strlen(hex) / 2;
    assert_int_equal(0, rd_hex_decode(hex, 2 * size, out, size));
    return rd_bytes_of(out, size);
}

static void assert_hex(rd_bytes got, const char *want)
{
    char text[513];
    rd_hex_encode(got, text);
    assert_string_equal(want, text);
}

static void fill_ephemeral(void *context RD_UNUSED, void *out, size_t size)
{
    assert_int_equal(32, size);
    unhex(ephemeral_hex, out);
}

static const rd_random ephemeral_source = { .fill = fill_ephemeral };

static rd_secret *recipient_key(void)
{
    uint8_t bytes[32];
    return rd_secret_copy(unhex(private_hex, bytes));
}

static void setup(rd_hpke *sender, rd_hpke *recipient)
{
    rd_err err = RD_ERR_INIT;
    uint8_t info[32], public_key[32], enc[32];
    rd_secret *key = recipient_key();
    rd_bytes info_bytes = unhex(info_hex, info);
    unhex(public_hex, public_key);
    assert_int_equal(
        0, rd_hpke_setup_sender(RD_HPKE_AES_128_GCM, public_key, info_bytes, &ephemeral_source, enc, sender, &err));
    assert_hex(RD_BYTES_ARRAY(enc), enc_hex);
    rd_hpke_recipient *kept = rd_hpke_recipient_new(key);
    rd_secret_free(key);
    assert_memory_equal(rd_hpke_recipient_public(kept), public_key, sizeof public_key);
    for (int i = 0; i < 2; i++) /* good for more than one message */
        assert_int_equal(0, rd_hpke_setup_recipient(RD_HPKE_AES_128_GCM, kept, enc, info_bytes, recipient, &err));
    rd_hpke_recipient_free(kept);
}

static void test_schedule(void **state RD_UNUSED)
{
    rd_hpke sender, recipient;
    uint8_t public_key[32];
    rd_secret *key = recipient_key();
    rd_x25519_public(key, public_key);
    assert_hex(RD_BYTES_ARRAY(public_key), public_hex);
    rd_secret_free(key);
    setup(&sender, &recipient);
    assert_hex(rd_bytes_of(sender.key, 16), "4531685d41d65f03dc48f6b8302c05b0");
    assert_hex(RD_BYTES_ARRAY(sender.base_nonce), "56d890e5accaaf011cff4b7d");
    assert_hex(RD_BYTES_ARRAY(sender.exporter_secret),
               "45ff1c2e220db587171952c0592d5f5ebe103f1561a2614e38f2ffd47e99e3f8");
    assert_memory_equal(&sender, &recipient, sizeof sender);
}

static void test_messages(void **state RD_UNUSED)
{
    static const struct {
        const char *aad, *sealed;
    } rows[] = {
        { "Count-0", "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a" },
        { "Count-1", "af2d7e9ac9ae7e270f46ba1f975be53c09f8d875bdc8535458c2494e8a6eab251c03d0c22a56b8ca42c2063b84" },
    };
    rd_err err = RD_ERR_INIT;
    rd_hpke sender, recipient;
    uint8_t plain[64];
    rd_bytes text = unhex(plain_hex, plain);
    setup(&sender, &recipient);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_buf sealed = { 0 }, opened = { 0 };
        assert_int_equal(0, rd_hpke_seal(&sender, rd_bytes_str(rows[i].aad), text, &sealed, &err));
        assert_hex(rd_buf_bytes(&sealed), rows[i].sealed);
        assert_int_equal(-1, rd_hpke_open(&recipient, RD_BYTES_LIT("Count-9"), rd_buf_bytes(&sealed), &opened, &err));
        assert_int_equal(RD_E_SEAL, err.code);
        assert_int_equal(0, opened.size);
        err.code = RD_OK;
        assert_int_equal(0, rd_hpke_open(&recipient, rd_bytes_str(rows[i].aad), rd_buf_bytes(&sealed), &opened, &err));
        assert_true(rd_bytes_equal(text, rd_buf_bytes(&opened)));
        rd_buf_done(&sealed);
        rd_buf_done(&opened);
    }
    rd_hpke_done(&sender);
    assert_int_equal(0, sender.key[0]);
}

static void test_export(void **state RD_UNUSED)
{
    rd_hpke sender, recipient;
    uint8_t out[32];
    setup(&sender, &recipient);
    rd_hpke_export(&sender, RD_BYTES_NULL, out, sizeof out);
    assert_hex(RD_BYTES_ARRAY(out), "3853fe2b4035195a573ffc53856e77058e15d9ea064de3e59f4961d0095250ee");
    rd_hpke_export(&recipient, RD_BYTES_LIT("TestContext"), out, sizeof out);
    assert_hex(RD_BYTES_ARRAY(out), "e9e43065102c3836401bed8c3c3c75ae46be1639869391d62c61f1ec7af54931");
}

/* 256 bit keys, an empty message, and keys that would agree on zero. */
static void test_edges(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_hpke sender, recipient;
    uint8_t enc[32], public_key[32], zero[32] = { 0 };
    rd_secret *key = rd_secret_random(32);
    rd_x25519_public(key, public_key);
    assert_int_equal(0, rd_hpke_setup_sender(RD_HPKE_AES_256_GCM, public_key, RD_BYTES_NULL, rd_random_system(), enc,
                                             &sender, &err));
    rd_hpke_recipient *kept = rd_hpke_recipient_new(key);
    assert_int_equal(0, rd_hpke_setup_recipient(RD_HPKE_AES_256_GCM, kept, enc, RD_BYTES_NULL, &recipient, &err));
    rd_buf sealed = { 0 }, opened = { 0 };
    assert_int_equal(0, rd_hpke_seal(&sender, RD_BYTES_NULL, RD_BYTES_NULL, &sealed, &err));
    assert_int_equal(RD_AEAD_TAG_SIZE, sealed.size);
    assert_int_equal(0, rd_hpke_open(&recipient, RD_BYTES_NULL, rd_buf_bytes(&sealed), &opened, &err));
    assert_int_equal(0, opened.size);
    assert_int_equal(-1, rd_hpke_open(&recipient, RD_BYTES_NULL, rd_bytes_of(sealed.data, 15), &opened, &err));
    assert_int_equal(RD_E_SEAL, err.code);
    assert_int_equal(-1, rd_hpke_setup_recipient(RD_HPKE_AES_256_GCM, kept, zero, RD_BYTES_NULL, &recipient, &err));
    assert_int_equal(RD_E_SEAL, err.code);
    assert_int_equal(
        -1, rd_hpke_setup_sender(RD_HPKE_AES_256_GCM, zero, RD_BYTES_NULL, rd_random_system(), enc, &sender, &err));
    assert_int_equal(RD_E_KEY_FORMAT, err.code);
    rd_buf_done(&sealed);
    rd_buf_done(&opened);
    rd_hpke_recipient_free(kept);
    rd_secret_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
