/* Vectors: FIPS 180-4 examples (NIST), RFC 4231 (HMAC), RFC 5869 (HKDF). */
#include "common/base/text.h"
#include "common/crypto/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_hex(const uint8_t *got, size_t size, const char *want, const char *name)
{
    char text[129];
    rd_hex_encode(rd_bytes_of(got, size), text);
    if (strcmp(text, want) != 0)
        fail_msg("%s: %s, not %s", name, text, want);
}

static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

static const struct {
    const char *name;
    void (*hash)(rd_bytes bytes, uint8_t *out);
    size_t size;
    const char *text, *want;
} rows[] = {
    { "sha256 empty", rd_sha256, 32, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "sha256 abc", rd_sha256, 32, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "sha256 two blocks", rd_sha256, 32, two_blocks,
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    { "sha384 abc", rd_sha384, 48, "abc",
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7" },
    { "sha512 abc", rd_sha512, 64, "abc",
      "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd"
      "454d4423643ce80e2a9ac94fa54ca49f" },
};

static void test_vectors(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        uint8_t out[64];
        rows[i].hash(rd_bytes_str(rows[i].text), out);
        assert_hex(out, rows[i].size, rows[i].want, rows[i].name);
    }
}

static void test_incremental_at_every_split(void **state RD_UNUSED)
{
    static const rd_hash_alg algs[] = { RD_SHA256, RD_SHA384, RD_SHA512 };
    static const size_t sizes[] = { 32, 48, 64 };
    uint8_t message[300];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    for (size_t a = 0; a < RD_ARRAY_LEN(algs); a++) {
        uint8_t want[64], got[64];
        rd_hasher hasher;
        rd_hasher_init(&hasher, algs[a]);
        rd_hasher_update(&hasher, RD_BYTES_ARRAY(message));
        rd_hasher_final(&hasher, want);
        for (size_t split = 0; split <= sizeof message; split += 7) {
            rd_hasher_init(&hasher, algs[a]);
            rd_hasher_update(&hasher, rd_bytes_of(message, split));
            rd_hasher_update(&hasher, RD_BYTES_NULL);
            rd_hasher fork = hasher;
            rd_hasher_update(&hasher, rd_bytes_of(message + split, sizeof message - split));
            rd_hasher_final(&hasher, got);
            assert_memory_equal(got, want, sizes[a]);
            rd_hasher_update(&fork, rd_bytes_of(message + split, sizeof message - split));
            rd_hasher_final(&fork, got);
            assert_memory_equal(got, want, sizes[a]);
        }
    }
}

static void test_hmac(void **state RD_UNUSED)
{
    uint8_t out[32];
    uint8_t key[131];
    memset(key, 0x0b, 20);
    rd_hmac_sha256(rd_bytes_of(key, 20), RD_BYTES_LIT("Hi There"), out);
    assert_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", "RFC 4231 case 1");
    rd_hmac_sha256(RD_BYTES_LIT("Jefe"), RD_BYTES_LIT("what do ya want for nothing?"), out);
    assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", "RFC 4231 case 2");
    memset(key, 0xaa, sizeof key);
    rd_hmac_sha256(RD_BYTES_ARRAY(key), RD_BYTES_LIT("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", "RFC 4231 case 6");
}

static void test_hkdf(void **state RD_UNUSED)
{
    uint8_t ikm[22], salt[13], info[10], out[42];
    memset(ikm, 0x0b, sizeof ikm);
    for (size_t i = 0; i < sizeof salt; i++)
        salt[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof info; i++)
        info[i] = (uint8_t)(0xf0 + i);
    rd_hkdf_sha256(RD_BYTES_ARRAY(salt), RD_BYTES_ARRAY(ikm), RD_BYTES_ARRAY(info), out, sizeof out);
    assert_hex(out, 42, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
               "RFC 5869 A.1");
    rd_hkdf_sha256(RD_BYTES_NULL, RD_BYTES_ARRAY(ikm), RD_BYTES_NULL, out, sizeof out);
    assert_hex(out, 42, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
               "RFC 5869 A.3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_incremental_at_every_split),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_hkdf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
