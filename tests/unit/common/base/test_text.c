/* Vectors of RFC 4648, section 10; RFC 3339 by hand. */
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *plain, *hex, *base32, *base64, *base64url;
} rows[] = {
    { "", "", "", "", "" },
    { "f", "66", "my", "Zg==", "Zg" },
    { "fo", "666f", "mzxq", "Zm8=", "Zm8" },
    { "foo", "666f6f", "mzxw6", "Zm9v", "Zm9v" },
    { "foob", "666f6f62", "mzxw6yq", "Zm9vYg==", "Zm9vYg" },
    { "fooba", "666f6f6261", "mzxw6ytb", "Zm9vYmE=", "Zm9vYmE" },
    { "foobar", "666f6f626172", "mzxw6ytboi", "Zm9vYmFy", "Zm9vYmFy" },
    { "\xfb\xff", "fbff", "7p7q", "+/8=", "-_8" },
};

static void test_vectors(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_bytes plain = rd_bytes_str(rows[i].plain);
        char text[32];
        uint8_t out[16];
        rd_hex_encode(plain, text);
        assert_string_equal(text, rows[i].hex);
        assert_int_equal(rd_hex_decode(text, strlen(text), out, plain.size), 0);
        assert_memory_equal(out, plain.data, plain.size);
        rd_base32_encode(plain, text);
        assert_string_equal(text, rows[i].base32);
        assert_int_equal(rd_base32_size(plain.size), strlen(text));
        assert_int_equal(rd_base32_decode(text, strlen(text), out, plain.size), 0);
        assert_memory_equal(out, plain.data, plain.size);
        rd_base64url_encode(plain, text);
        assert_string_equal(text, rows[i].base64url);
        assert_int_equal(rd_base64url_size(plain.size), strlen(text));
        assert_int_equal(rd_base64url_decode(text, strlen(text), out, sizeof out), plain.size);
        assert_memory_equal(out, plain.data, plain.size);
        rd_buf buf = { 0 };
        assert_true(rd_buf_append_base64(&buf, plain));
        assert_string_equal(rd_buf_text(&buf), rows[i].base64);
        assert_int_equal(rd_base64_decode(rd_buf_text(&buf), buf.size, out, sizeof out), plain.size);
        rd_buf_clear(&buf);
        assert_true(rd_buf_append_base64url(&buf, plain));
        assert_string_equal(rd_buf_text(&buf), rows[i].base64url);
        rd_buf_done(&buf);
    }
}

static void test_decoders_are_strict(void **state RD_UNUSED)
{
    static const char *const bad_base64url[] = { "Z", "Zg=", "Zg==", "Zh", "Zm9", "+/8", "Zm 9", "Zm9v\n", "ZZZZZ" };
    static const char *const bad_base64[] = { "Zg",   "Zg=",  "Zg===",    "Zh==",     "Zm9=", "-_8=",
                                              "Z===", "====", "Zg==Zg==", "Zm9v====", "=Zm9", "Zm=v" };
    uint8_t out[16];
    for (size_t i = 0; i < RD_ARRAY_LEN(bad_base64url); i++)
        if (rd_base64url_decode(bad_base64url[i], strlen(bad_base64url[i]), out, sizeof out) >= 0)
            fail_msg("%s is accepted", bad_base64url[i]);
    for (size_t i = 0; i < RD_ARRAY_LEN(bad_base64); i++)
        if (rd_base64_decode(bad_base64[i], strlen(bad_base64[i]), out, sizeof out) >= 0)
            fail_msg("%s is accepted", bad_base64[i]);
    assert_int_equal(rd_base64url_decode("Zm9v", 4, out, 2), -1); /* no room */
    assert_int_equal(rd_base64url_decode("Z\0Zg", 4, out, sizeof out), -1);
    assert_int_equal(rd_base32_decode("MY", 2, out, 1), -1);
    assert_int_equal(rd_base32_decode("mz", 2, out, 1), -1); /* unused bits */
    assert_int_equal(rd_base32_decode("my", 2, out, 2), -1);
    assert_int_equal(rd_base32_decode("m1", 2, out, 1), -1);
    assert_int_equal(rd_hex_decode("6", 1, out, 1), -1);
    assert_int_equal(rd_hex_decode("6g", 2, out, 1), -1);
    assert_int_equal(rd_hex_decode("6666", 4, out, 1), -1);
    assert_int_equal(rd_hex_decode("AbcD", 4, out, 2), 0);
}

static void test_all_bytes_round_trip(void **state RD_UNUSED)
{
    uint8_t bytes[256], out[256];
    char text[520];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    for (size_t size = 0; size <= sizeof bytes; size++) {
        rd_base64url_encode(rd_bytes_of(bytes, size), text);
        assert_int_equal(rd_base64url_decode(text, strlen(text), out, size), size);
        assert_memory_equal(out, bytes, size);
        rd_base32_encode(rd_bytes_of(bytes, size), text);
        assert_int_equal(rd_base32_decode(text, strlen(text), out, size), 0);
        assert_memory_equal(out, bytes, size);
    }
}

/* Wherever it stands, in a group of four or behind the last one. */
static void test_no_digit_of_base64(void **state RD_UNUSED)
{
    static const char good[] = "AAAAAAAAAAA",
                      digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8_t out[8];
    for (size_t at = 0; at + 1 < sizeof good - 1; at++)
        for (unsigned value = 0; value < 256; value++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[at] = (char)value;
            bool is_digit = value != 0 && strchr(digits, (int)value) != NULL;
            ssize_t size = rd_base64url_decode(text, sizeof good - 1, out, sizeof out);
            assert_int_equal(size, is_digit ? (ssize_t)sizeof out : -1);
        }
    for (size_t room = 0; room < sizeof out; room++)
        assert_int_equal(rd_base64url_decode(good, sizeof good - 1, out, room), -1);
}

static const struct {
    const char *text;
    int64_t us; /* -1: refused */
} times[] = {
    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:00.5Z", 500000 },
    { "1970-01-01T00:00:00.000001Z", 1 },
    { "1970-01-01T00:00:00.000000999Z", 0 },
    { "2000-02-29T12:34:56Z", INT64_C(951827696000000) },
    { "2026-11-22T23:48:52.123456Z", INT64_C(1795391332123456) },
    { "9999-12-31T23:59:59.999999Z", INT64_C(253402300799999999) },
    { "1969-12-31T23:59:59Z", -1 },
    { "2100-02-29T00:00:00Z", -1 },
    { "2001-02-29T00:00:00Z", -1 },
    { "2001-00-01T00:00:00Z", -1 },
    { "2001-13-01T00:00:00Z", -1 },
    { "2001-01-00T00:00:00Z", -1 },
    { "2001-04-31T00:00:00Z", -1 },
    { "2001-01-01T24:00:00Z", -1 },
    { "2001-01-01T00:60:00Z", -1 },
    { "2001-01-01T00:00:60Z", -1 },
    { "2001-01-01T00:00:00", -1 },
    { "2001-01-01T00:00:00+00:00", -1 },
    { "2001-01-01 00:00:00Z", -1 },
    { "2001-01-01t00:00:00z", -1 },
    { "2001-01-01T00:00:00.Z", -1 },
    { "2001-01-01T00:00:00.1234567890Z", -1 },
    { "2001-01-01T00:00:00ZZ", -1 },
    { "2001-1-01T00:00:00Z", -1 },
    { "+001-01-01T00:00:00Z", -1 },
    { "", -1 },
};

static void test_times(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(times); i++) {
        int64_t us = -1;
        int outcome = rd_time_parse(times[i].text, strlen(times[i].text), &us);
        if ((outcome < 0) != (times[i].us < 0) || (outcome == 0 && us != times[i].us))
            fail_msg("%s: %d, %lld", times[i].text, outcome, (long long)us);
    }
    /* Every day of 130 years, and back. */
    for (int64_t day = 0; day < 130 * 366; day++) {
        char text[RD_TIME_TEXT_SIZE];
        int64_t us = -1;
        rd_time_format(day * INT64_C(86400000000) + 1, text);
        assert_int_equal(rd_time_parse(text, strlen(text), &us), 0);
        assert_true(us == day * INT64_C(86400000000) + 1);
    }
}

static void test_times_out_of_range_are_held_at_the_ends(void **state RD_UNUSED)
{
    char text[RD_TIME_TEXT_SIZE];
    rd_time_format(INT64_MIN, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000000Z");
    rd_time_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999Z");
}

static void test_numbers(void **state RD_UNUSED)
{
    static const struct {
        const char *text;
        uint64_t max;
        bool is_ok;
        uint64_t value;
    } cases[] = {
        { "0", 10, true, 0 },
        { "10", 10, true, 10 },
        { "11", 10, false, 0 },
        { "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
        { "18446744073709551616", UINT64_MAX, false, 0 },
        { "99999999999999999999", UINT64_MAX, false, 0 },
        { "184467440737095516150", UINT64_MAX, false, 0 },
        { "", 10, false, 0 },
        { "00", 10, false, 0 },
        { "01", 10, false, 0 },
        { "-1", 10, false, 0 },
        { "+1", 10, false, 0 },
        { " 1", 10, false, 0 },
        { "1x", 10, false, 0 },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(cases); i++) {
        uint64_t value = 0;
        int outcome = rd_parse_u64(cases[i].text, strlen(cases[i].text), cases[i].max, &value);
        if ((outcome == 0) != cases[i].is_ok || value != cases[i].value)
            fail_msg("\"%s\"", cases[i].text);
    }
    assert_true(rd_starts_with("abc", "ab"));
    assert_true(rd_starts_with("abc", ""));
    assert_false(rd_starts_with("a", "ab"));
}

static void test_utf8(void **state RD_UNUSED)
{
    static const char *const good[] = { "",
                                        "abc",
                                        "\x7f",
                                        "\xc2\x80",
                                        "\xdf\xbf",
                                        "\xe0\xa0\x80",
                                        "\xed\x9f\xbf",
                                        "\xee\x80\x80",
                                        "\xef\xbf\xbf",
                                        "\xf0\x90\x80\x80",
                                        "\xf4\x8f\xbf\xbf" };
    static const char *const bad[] = { "\x80",
                                       "\xbf",
                                       "\xc0\x80",
                                       "\xc1\xbf",
                                       "\xc2",
                                       "\xc2\x41",
                                       "\xe0\x80\x80",
                                       "\xe0\x9f\xbf",
                                       "\xe1\x80",
                                       "\xed\xa0\x80",
                                       "\xed\xbf\xbf",
                                       "\xf0\x8f\xbf\xbf",
                                       "\xf0\x90\x80",
                                       "\xf4\x90\x80\x80",
                                       "\xf5\x80\x80\x80",
                                       "\xfe",
                                       "\xff",
                                       "\xe2\x82\x41",
                                       "\xf0\x9f\x98\x41" };
    for (size_t i = 0; i < RD_ARRAY_LEN(good); i++)
        assert_true(rd_is_utf8(rd_bytes_str(good[i])));
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++)
        if (rd_is_utf8(rd_bytes_str(bad[i])))
            fail_msg("row %zu is accepted", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_decoders_are_strict),
        cmocka_unit_test(test_all_bytes_round_trip),
        cmocka_unit_test(test_no_digit_of_base64),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_times_out_of_range_are_held_at_the_ends),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
