/* Vectors: RFC 8785, sections 3.2.2 and 3.2.3 and appendix B. */
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    uint64_t bits;
    const char *want; /* NULL: no JSON number */
} numbers[] = {
    { 0x0000000000000000, "0" },
    { 0x8000000000000000, "0" },
    { 0x0000000000000001, "5e-324" },
    { 0x8000000000000001, "-5e-324" },
    { 0x7fefffffffffffff, "1.7976931348623157e+308" },
    { 0xffefffffffffffff, "-1.7976931348623157e+308" },
    { 0x4340000000000000, "9007199254740992" },
    { 0xc340000000000000, "-9007199254740992" },
    { 0x4430000000000000, "295147905179352830000" },
    { 0x7fffffffffffffff, NULL },
    { 0x7ff0000000000000, NULL },
    { 0x44b52d02c7e14af5, "9.999999999999997e+22" },
    { 0x44b52d02c7e14af6, "1e+23" },
    { 0x44b52d02c7e14af7, "1.0000000000000001e+23" },
    { 0x444b1ae4d6e2ef4e, "999999999999999700000" },
    { 0x444b1ae4d6e2ef4f, "999999999999999900000" },
    { 0x444b1ae4d6e2ef50, "1e+21" },
    { 0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7" },
    { 0x3eb0c6f7a0b5ed8d, "0.000001" },
    { 0x41b3de4355555553, "333333333.3333332" },
    { 0x41b3de4355555554, "333333333.33333325" },
    { 0x41b3de4355555555, "333333333.3333333" },
    { 0x41b3de4355555556, "333333333.3333334" },
    { 0x41b3de4355555557, "333333333.33333343" },
    { 0xbecbf647612f3696, "-0.0000033333333333333333" },
    { 0x43143ff3c1cb0959, "1424953923781206.2" },
    { 0x0060000000000000, "7.120236347223045e-307" }, /* a power of two, whose neighbours lie unevenly (V8) */
};

static void test_numbers(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(numbers); i++) {
        double value;
        RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
        memcpy(&value, &numbers[i].bits, sizeof value);
        bool is_written = rd_canonical_put_double(&out, value);
        if (!numbers[i].want)
            assert_false(is_written);
        else
            assert_string_equal(rd_buf_text(&out), numbers[i].want);
    }
}

static void test_integers(void **state RD_UNUSED)
{
    static const struct {
        int64_t value;
        const char *want;
    } rows[] = { { 0, "0" },
                 { -1, "-1" },
                 { 9007199254740991, "9007199254740991" },
                 { INT64_MAX, "9223372036854775807" },
                 { INT64_MIN, "-9223372036854775808" } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
        assert_true(rd_canonical_put_int(&out, rows[i].value));
        assert_string_equal(rd_buf_text(&out), rows[i].want);
    }
}

static const struct {
    const char *name, *in, *out;
} texts[] = {
    { "RFC 8785, 3.2.2",
      "{\n  \"numbers\": [333333333.33333329, 1E30, 4.50,\n 2e-3, 0.000000000000000000000000001],\n"
      "  \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\",\n  \"literals\": [null, true, "
      "false]\n}",
      "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
      "\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}" },
    { "RFC 8785, 3.2.3",
      "{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\","
      "\"1\":\"One\",\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\","
      "\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}",
      "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\","
      "\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\","
      "\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}" },
    { "a prefix sorts first", "{\"ab\":1,\"a\":2,\"\":3}", "{\"\":3,\"a\":2,\"ab\":1}" },
    { "surrogates inside a name", "{\"x\\ue000\":1,\"x\\ud800\\udc00\":2}",
      "{\"x\xf0\x90\x80\x80\":2,\"x\xee\x80\x80\":1}" },
    { "order among surrogates", "{\"\\ud83d\\ude01\":1,\"\\ud83d\\ude00\":2}",
      "{\"\xf0\x9f\x98\x80\":2,\"\xf0\x9f\x98\x81\":1}" },
    { "all short escapes", "[\"\\b\\t\\n\\f\\r\\u0001\\u001f\\u007f\"]", "[\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"]" },
    { "empty things", "{ \"b\" : [ ] , \"a\" : { } }", "{\"a\":{},\"b\":[]}" },
};

/* R60: what two readers could read in two ways is no document. */
static void test_texts(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(texts); i++) {
        rd_err err = RD_ERR_INIT;
        RD_CLEANUP(rd_json_free_p) json_t *value = NULL;
        RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
        if (rd_json_parse(rd_bytes_str(texts[i].in), NULL, &value, &err) < 0 ||
            rd_canonical_write(value, &out, &err) < 0)
            fail_msg("%s: %s", texts[i].name, err.text);
        if (strcmp(rd_buf_text(&out), texts[i].out) != 0)
            fail_msg("%s: %s", texts[i].name, rd_buf_text(&out));
    }
}

#define DEEP_16 "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]"

static const struct {
    const char *name, *text;
    rd_code want;
} checks[] = {
    { "canonical", "{\"a\":1,\"b\":[true,null,\"x\"]}", RD_OK },
    { "16 levels", DEEP_16, RD_OK },
    { "17 levels", "[" DEEP_16 "]", RD_E_JSON_DEPTH },
    { "brackets in strings do not count", "[\"[[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"]", RD_OK },
    { "largest integer", "[9007199254740991]", RD_OK },
    { "smallest integer", "[-9007199254740991]", RD_OK },
    { "2^53", "[9007199254740992]", RD_E_JSON_RANGE },
    { "-2^53", "[-9007199254740992]", RD_E_JSON_RANGE },
    { "beyond 64 bits", "[99999999999999999999]", RD_E_JSON_RANGE },
    { "fraction", "[1.5]", RD_E_JSON_RANGE },
    { "integer with fraction", "[1.0]", RD_E_JSON_RANGE },
    { "exponent", "[1e3]", RD_E_JSON_RANGE },
    { "number beyond doubles", "[1e999]", RD_E_JSON_RANGE },
    { "minus zero", "[-0]", RD_E_NOT_CANONICAL },
    { "leading zero", "[01]", RD_E_JSON_SYNTAX },
    { "plus", "[+1]", RD_E_JSON_SYNTAX },
    { "NaN", "[NaN]", RD_E_JSON_SYNTAX },
    { "space", "{\"a\": 1}", RD_E_NOT_CANONICAL },
    { "leading space", " {}", RD_E_NOT_CANONICAL },
    { "trailing newline", "{}\n", RD_E_NOT_CANONICAL },
    { "order of members", "{\"b\":1,\"a\":2}", RD_E_NOT_CANONICAL },
    { "needless escape", "[\"\\u0041\"]", RD_E_NOT_CANONICAL },
    { "escaped solidus", "[\"\\/\"]", RD_E_NOT_CANONICAL },
    { "upper-case escape", "[\"\\u001F\"]", RD_E_NOT_CANONICAL },
    { "duplicate member", "{\"a\":1,\"a\":1}", RD_E_JSON_DUPLICATE },
    { "duplicate by escape", "{\"a\":1,\"\\u0061\":1}", RD_E_JSON_DUPLICATE },
    { "duplicate deeper", "[{\"a\":{\"b\":1,\"b\":2}}]", RD_E_JSON_DUPLICATE },
    { "lone high surrogate", "[\"\\ud800\"]", RD_E_ENCODING },
    { "lone low surrogate", "[\"\\udc00\"]", RD_E_ENCODING },
    { "surrogates the wrong way round", "[\"\\udc00\\ud800\"]", RD_E_ENCODING },
    { "high surrogate and a letter", "[\"\\ud800a\"]", RD_E_ENCODING },
    { "lone surrogate in a name", "{\"\\ud800\":1}", RD_E_ENCODING },
    { "surrogate in UTF-8", "[\"\xed\xa0\x80\"]", RD_E_ENCODING },
    { "overlong UTF-8", "[\"\xc0\x80\"]", RD_E_ENCODING },
    { "stray continuation", "[\"\x80\"]", RD_E_ENCODING },
    { "beyond Unicode", "[\"\xf4\x90\x80\x80\"]", RD_E_ENCODING },
    { "byte order mark", "\xef\xbb\xbf{}", RD_E_JSON_SYNTAX },
    { "NUL by escape", "[\"\\u0000\"]", RD_E_ENCODING },
    { "NUL in a name", "{\"\\u0000\":1}", RD_E_ENCODING },
    { "bare control character", "[\"\x01\"]", RD_E_JSON_SYNTAX },
    { "nothing", "", RD_E_TRUNCATED },
    { "cut", "{\"a\":", RD_E_TRUNCATED },
    { "cut in a string", "[\"a", RD_E_TRUNCATED },
    { "two values", "{}{}", RD_E_TRAILING },
    { "rubbish after", "{}x", RD_E_TRAILING },
    { "a bare string", "\"a\"", RD_E_JSON_SYNTAX },
    { "a bare number", "1", RD_E_JSON_SYNTAX },
    { "trailing comma", "[1,]", RD_E_JSON_SYNTAX },
    { "comment", "[1/*x*/]", RD_E_JSON_SYNTAX },
    { "single quotes", "['a']", RD_E_JSON_SYNTAX },
    { "unclosed the other way", "[}", RD_E_JSON_SYNTAX },
};

static void test_checks(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(checks); i++) {
        rd_err err = RD_ERR_INIT;
        (void)!rd_canonical_check(rd_bytes_str(checks[i].text), NULL, &err);
        if (err.code != checks[i].want)
            fail_msg("%s: %s (%s)", checks[i].name, rd_code_describe(err.code)->name, err.text);
    }
}

static void test_nul_byte(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_canonical_check(RD_BYTES_LIT("[\"a\0b\"]"), NULL, &err), -1);
    assert_int_equal(rd_canonical_check(RD_BYTES_LIT("[]\0"), NULL, &err), -1);
    assert_int_equal(rd_canonical_check(RD_BYTES_LIT("\0[]"), NULL, &err), -1);
}

static void test_size_bound(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    (void)rd_buf_append_str(&text, "[\"");
    while (text.size < RD_JSON_SIZE_MAX - 2)
        (void)rd_buf_append_u8(&text, 'x');
    (void)rd_buf_append_str(&text, "\"]");
    assert_int_equal(text.size, 65536);
    assert_int_equal(rd_canonical_check(rd_buf_bytes(&text), NULL, NULL), 0);
    rd_err err = RD_ERR_INIT;
    (void)rd_buf_append_u8(&text, ' ');
    assert_int_equal(rd_canonical_check(rd_buf_bytes(&text), NULL, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

static void test_every_truncation_is_refused(void **state RD_UNUSED)
{
    static const char text[] = "{\"a\":[1,\"\\n\",{\"b\":null}],\"c\":\"\xf0\x9f\x98\x80\"}";
    assert_int_equal(rd_canonical_check(RD_BYTES_LIT(text), NULL, NULL), 0);
    for (size_t size = 0; size < sizeof text - 1; size++)
        assert_int_equal(rd_canonical_check(rd_bytes_of(text, size), NULL, NULL), -1);
}

static void test_write_bounds(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_json_free_p) json_t *deep = json_array();
    for (int i = 0; i < 16; i++) {
        json_t *outer = json_array();
        (void)json_array_append_new(outer, deep);
        deep = outer;
    }
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    assert_int_equal(rd_canonical_write(deep, &out, &err), -1);
    assert_int_equal(err.code, RD_E_JSON_DEPTH);
    RD_CLEANUP(rd_buf_done) rd_buf small = { .size_max = 10 };
    assert_int_equal(rd_canonical_write(json_array_get(deep, 0), &small, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_nul_byte),
        cmocka_unit_test(test_size_bound),
        cmocka_unit_test(test_every_truncation_is_refused),
        cmocka_unit_test(test_write_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
