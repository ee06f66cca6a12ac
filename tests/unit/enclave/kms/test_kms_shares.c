// link: kms_core
/* Shares of a secret: products and shares computed apart (by tables of logarithms), all k of n, and what k-1 tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "enclave/kms/kms_shares.h"

static void test_products(void **state RD_UNUSED)
{
    static const uint8_t rows[][3] = { { 0x57, 0x83, 0xc1 }, { 0x57, 0x13, 0xfe }, { 0x02, 0x80, 0x1b },
                                       { 0xff, 0xff, 0x13 }, { 0x53, 0xca, 0x01 }, { 0x00, 0x09, 0x00 },
                                       { 0x01, 0xaa, 0xaa } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        assert_int_equal(kms_shares_multiply(rows[i][0], rows[i][1]), rows[i][2]);
        assert_int_equal(kms_shares_multiply(rows[i][1], rows[i][0]), rows[i][2]);
    }
}

/* Coefficients i * 29 + 11 of the first power, i * 101 + 5 of the second. */
static void fill(void *context RD_UNUSED, void *out, size_t size)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i < KMS_SHARED_SIZE ? i * 29 + 11 : (i % KMS_SHARED_SIZE) * 101 + 5);
}

static void make_secret(uint8_t out[KMS_SHARED_SIZE])
{
    for (size_t i = 0; i < KMS_SHARED_SIZE; i++)
        out[i] = (uint8_t)(i * 7 + 3);
}

static void test_known_shares(void **state RD_UNUSED)
{
    static const struct {
        uint8_t x;
        const char *hex;
    } rows[] = {
        { 1, "0d489b4ef944f72ae5c09346f1fc4f22fd388b3e29b4a71a15b00376e1ec7f12"
             "ed287b2ed9a4570a45a0732651dc2f82dd986b9e0994077af590e356c14cdf72" },
        { 2, "01e98a0cb3d0d38e721ce2afb0d526e6914fd7ca986d6e93d9cc5f72eda576c0"
             "0c4987812530b3433f91c222a6436b865c02da47b8fb78de39b709e4e005604d" },
        { 5, "7112d0b04d7b4f6be263cec2d28c95759ba0346e1c93702fa5bfc6303686bf70"
             "c98568c9187718135b5bd9fa0798b622e3198c8dd0c6e40ca95e532455ca6a48" },
    };
    const rd_random known = { .fill = fill };
    uint8_t secret[KMS_SHARED_SIZE], back[KMS_SHARED_SIZE];
    kms_share shares[5], three[3];
    make_secret(secret);
    kms_shares_split(secret, 3, 5, &known, shares);
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        uint8_t wanted[KMS_SHARED_SIZE];
        assert_int_equal(rd_hex_decode(rows[i].hex, 128, wanted, sizeof wanted), 0);
        assert_int_equal(shares[rows[i].x - 1].x, rows[i].x);
        assert_memory_equal(shares[rows[i].x - 1].y, wanted, sizeof wanted);
        three[i] = shares[rows[i].x - 1];
    }
    kms_shares_combine(three, 3, back);
    assert_memory_equal(back, secret, sizeof back);
}

static size_t count_bits(unsigned set)
{
    size_t count = 0;
    for (; set != 0; set &= set - 1)
        count++;
    return count;
}

/* Every k of n up to 7, every subset: k give it, fewer do not. */
static void test_all_subsets(void **state RD_UNUSED)
{
    uint8_t secret[KMS_SHARED_SIZE], back[KMS_SHARED_SIZE];
    kms_share shares[KMS_SHARES_MAX], chosen[KMS_SHARES_MAX];
    rd_random_bytes(secret, sizeof secret);
    for (size_t n = 1; n <= 7; n++)
        for (size_t k = 1; k <= n; k++) {
            kms_shares_split(secret, k, n, rd_random_system(), shares);
            for (unsigned set = 1; set < 1u << n; set++) {
                size_t count = 0;
                for (size_t i = n; i > 0; i--) /* in any order */
                    if ((set >> (i - 1) & 1u) != 0)
                        chosen[count++] = shares[i - 1];
                if (count_bits(set) == k) {
                    kms_shares_combine(chosen, k, back);
                    assert_memory_equal(back, secret, sizeof back);
                } else if (count_bits(set) < k) {
                    kms_shares_combine(chosen, count, back);
                    assert_memory_not_equal(back, secret, sizeof back);
                }
            }
        }
    kms_shares_split(secret, KMS_SHARES_MAX, KMS_SHARES_MAX, rd_random_system(), shares);
    kms_shares_combine(shares, KMS_SHARES_MAX, back);
    assert_memory_equal(back, secret, sizeof back);
}

/* k-1 shares fit every secret: for each value of a byte there is a k-th share that gives it. */
static void test_fewer_tell_nothing(void **state RD_UNUSED)
{
    uint8_t secret[KMS_SHARED_SIZE], back[KMS_SHARED_SIZE];
    kms_share shares[3];
    bool is_seen[256] = { false };
    make_secret(secret);
    kms_shares_split(secret, 3, 3, rd_random_system(), shares);
    for (unsigned guess = 0; guess < 256; guess++) {
        shares[2].y[0] = (uint8_t)guess;
        kms_shares_combine(shares, 3, back);
        assert_false(is_seen[back[0]]);
        is_seen[back[0]] = true;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_known_shares),
        cmocka_unit_test(test_all_subsets),
        cmocka_unit_test(test_fewer_tell_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
