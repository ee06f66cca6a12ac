/* JSON read where it lies: the same texts pass as by the reader that builds a tree, with the same values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "attest/json_view.h"
#include "common/base/mem.h"
#include "tests/support/json_peer.h"

/* In memory of its own size, so that a read past the end is seen. */
static bool passes(const char *text, size_t size)
{
    RD_CLEANUP(rd_json_doc_done) rd_json_doc doc = { .count = 0 };
    RD_CLEANUP(rd_free_p) char *copy = rd_alloc(size ? size : 1);
    memcpy(copy, text, size);
    bool is_good = rd_json_doc_read(rd_bytes_of(copy, size), &doc, NULL) == 0;
    if (is_good)
        assert_null(json_peer_differs(&doc));
    return is_good;
}

#define PASSES(text)  assert_true(passes(text, sizeof(text) - 1))
#define REFUSED(text) assert_false(passes(text, sizeof(text) - 1))

static void shapes(void **state)
{
    (void)state;
    PASSES("{}");
    PASSES(" [ ] \r\n");
    PASSES("{\"a\":[1,{\"b\":null},[true,false]],\"c\":\"\"}");
    PASSES("{ \"a\" : [ 1 , { \"b\" : null } ] , \"c\" : \"x\" }");
    REFUSED("");
    REFUSED("1");
    REFUSED("\"a\"");
    REFUSED("{}{}");
    REFUSED("{} x");
    REFUSED("{\"a\":1,}");
    REFUSED("[1,]");
    REFUSED("[,1]");
    REFUSED("{\"a\" 1}");
    REFUSED("{a:1}");
    REFUSED("{1:1}");
    REFUSED("[1}");
    REFUSED("{\"a\":1]");
    REFUSED("[nul]");
    REFUSED("[nullx]");
    REFUSED("\xef\xbb\xbf{}");
    REFUSED("{\f}");
}

static void doubles(void **state)
{
    (void)state;
    REFUSED("{\"a\":1,\"a\":1}");
    REFUSED("{\"a\":1,\"\\u0061\":1}");
    REFUSED("[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]");
    PASSES("{\"\\u0061 name that is written with an escape and is longer than what anybody here asks for\":1}");
    PASSES("{\"a\":{\"a\":{\"a\":1}},\"b\":{\"a\":1}}");
    PASSES("[{\"a\":1},{\"a\":1}]");
}

static void strings(void **state)
{
    (void)state;
    PASSES("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u20ac\\ud83d\\ude00\"]");
    PASSES("[\"\xc3\xa9\x7f\"]");
    REFUSED("[\"\\u0000\"]");
    REFUSED("[\"\\x\"]");
    REFUSED("[\"\\u12g4\"]");
    REFUSED("[\"\\ud83d\"]");
    REFUSED("[\"\\ud83dx\"]");
    REFUSED("[\"\\ude00\"]");
    REFUSED("[\"\\ud83d\\u0041\"]");
    REFUSED("[\"\n\"]");
    REFUSED("[\"\x01\"]");
    REFUSED("[\"\xc0\x80\"]");
    REFUSED("[\"a]");
    REFUSED("[\"a\\");
    REFUSED("[\"a\\u00");
    REFUSED("[\"a\0b\"]");
}

static void numbers(void **state)
{
    (void)state;
    PASSES("[0,-0,1,-1,9223372036854775807,-9223372036854775808]");
    PASSES("[1.5,-0.25,1e5,1E-5,1.0e+05]");
    REFUSED("[9223372036854775808]");
    REFUSED("[-9223372036854775809]");
    REFUSED("[01]");
    REFUSED("[+1]");
    REFUSED("[-]");
    REFUSED("[1.]");
    REFUSED("[.5]");
    REFUSED("[1e]");
    REFUSED("[1e999]");
    REFUSED("[0x1]");
    REFUSED("[1 2]");
    REFUSED("[Infinity]");
}

static void limits(void **state)
{
    char text[64 << 10];
    size_t size = 0;
    (void)state;
    PASSES("[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]");
    REFUSED("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]");
    text[size++] = '{';
    for (int i = 0; i < 256; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s\"m%d\":0", i ? "," : "", i);
    text[size] = '}';
    assert_true(passes(text, size + 1));
    memcpy(text + size, ",\"n\":0}", 7);
    assert_false(passes(text, size + 7));
    text[0] = '[';
    for (size = 1; size < (size_t)8191 * 3;) {
        memcpy(text + size, "{},", 3);
        size += 3;
    }
    text[size - 1] = ']';
    assert_true(passes(text, size));
    memcpy(text + size - 1, ",{}]", 4);
    assert_false(passes(text, size + 3));
}

static void views(void **state)
{
    static const char text[] =
        "{\"skip\":{\"x\":[{},[]]},\"n\":-12,\"f\":1.5,\"\\u0074ext\":\"a\\u0062c\",\"list\":[1,{\"y\":2},\"z\"]}";
    RD_CLEANUP(rd_json_doc_done) rd_json_doc doc = { .count = 0 };
    rd_json_view root, value, place;
    int64_t number = 0;
    char out[4];
    (void)state;
    assert_int_equal(rd_json_doc_read(RD_BYTES_LIT(text), &doc, NULL), 0);
    root = rd_json_doc_root(&doc);
    assert_true(rd_json_view_get(root, "n", &value) && rd_json_view_int(value, &number));
    assert_int_equal(number, -12);
    assert_true(rd_json_view_get(root, "f", &value));
    assert_false(rd_json_view_int(value, &number));
    assert_int_equal(rd_json_view_text(value, out, sizeof out), -1);
    assert_true(rd_json_view_get(root, "text", &value));
    assert_int_equal(rd_json_view_text(value, out, sizeof out), 3);
    assert_string_equal(out, "abc");
    assert_int_equal(rd_json_view_text(value, out, 3), -1);
    assert_false(rd_json_view_get(root, "x", &value) || rd_json_view_get(root, "tex", &value) ||
                 rd_json_view_get(root, "texts", &value));
    assert_true(rd_json_view_get(root, "list", &value) && rd_json_view_count(value) == 3);
    place = rd_json_view_items(value);
    assert_true(rd_json_view_next(&place, &value) && rd_json_view_next(&place, &value));
    assert_true(rd_json_view_get(value, "y", &value) && rd_json_view_int(value, &number) && number == 2);
    assert_true(rd_json_view_next(&place, &value) && rd_json_view_text(value, out, sizeof out) == 1);
    assert_false(rd_json_view_next(&place, &value));
}

/* Every cut and every change of a bit: what passes reads as the other reader reads it. */
static void cuts_and_changes(void **state)
{
    static const char good[] =
        "{\"tcb\":[{\"svn\":3,\"type\":\"A \\u00e9\"},{\"svn\":-0.5e1}],\"d\":\"2026\",\"n\":null}";
    char text[sizeof good];
    (void)state;
    assert_true(passes(good, sizeof good - 1));
    for (size_t size = 0; size < sizeof good - 1; size++)
        assert_false(passes(good, size));
    for (size_t bit = 0; bit < (sizeof good - 1) * 8; bit++) {
        memcpy(text, good, sizeof good);
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
        bool is_good = passes(text, sizeof good - 1);
        assert_int_equal(is_good, json_peer_passes(rd_bytes_of(text, sizeof good - 1)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),           cmocka_unit_test(doubles), cmocka_unit_test(strings),
        cmocka_unit_test(numbers),          cmocka_unit_test(limits),  cmocka_unit_test(views),
        cmocka_unit_test(cuts_and_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
