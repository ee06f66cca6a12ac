#include "common/model/code_bundle.h"

#include "tests/unit/common/model/samples.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_code_bundle bundle;
    int outcome = rd_code_bundle_parse(bytes, &bundle, err);
    rd_code_bundle_done(&bundle);
    return outcome;
}

static const char good[] =
    "{\"main\":\"index.js\",\"modules\":[{\"name\":\"index.js\",\"source\":\"export default 1;\\n\"},"
    "{\"name\":\"lib/a-b_c.js\",\"source\":\"\"}],\"type\":\"redoubt/modules/v1\"}";

static const spoil rows[] = {
    { "unknown member", "/x", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/modules/v2\"", RD_E_JSON_RANGE },
    { "type missing", "/type", NULL, RD_E_JSON_MISSING },
    { "main missing", "/main", NULL, RD_E_JSON_MISSING },
    { "main none of the modules", "/main", "\"other.js\"", RD_E_JSON_RANGE },
    { "main empty", "/main", "\"\"", RD_E_JSON_RANGE },
    { "modules missing", "/modules", NULL, RD_E_JSON_MISSING },
    { "no modules", "/modules", "[]", RD_E_JSON_RANGE },
    { "modules an object", "/modules", "{}", RD_E_JSON_TYPE },
    { "name twice", "/modules/1/name", "\"index.js\"", RD_E_JSON_RANGE },
    { "name missing", "/modules/1/name", NULL, RD_E_JSON_MISSING },
    { "name empty", "/modules/1/name", "\"\"", RD_E_JSON_RANGE },
    { "name with ..", "/modules/1/name", "\"../a.js\"", RD_E_JSON_RANGE },
    { "name with .. inside", "/modules/1/name", "\"a/../b.js\"", RD_E_JSON_RANGE },
    { "name with a leading /", "/modules/1/name", "\"/etc/passwd\"", RD_E_JSON_RANGE },
    { "name with a backslash", "/modules/1/name", "\"a\\\\b\"", RD_E_JSON_RANGE },
    { "name with a space", "/modules/1/name", "\"a b\"", RD_E_JSON_RANGE },
    { "name beyond ASCII", "/modules/1/name", "\"\\u00e4.js\"", RD_E_JSON_RANGE },
    { "name with a colon", "/modules/1/name", "\"node:fs\"", RD_E_JSON_RANGE },
    { "source missing", "/modules/0/source", NULL, RD_E_JSON_MISSING },
    { "source a number", "/modules/0/source", "1", RD_E_JSON_TYPE },
    { "module with more", "/modules/0/x", "1", RD_E_JSON_UNKNOWN },
    { "module a string", "/modules", "[\"x\"]", RD_E_JSON_TYPE },
};

static void test_spoiled(void **state RD_UNUSED)
{
    run_spoils(RD_BYTES_LIT(good), parse, rows, RD_ARRAY_LEN(rows));
    for (size_t size = 0; size < sizeof good - 1; size++)
        assert_int_equal(parse(rd_bytes_of(good, size), NULL), -1);
    /* Not signed by itself: any JSON of these members will do. */
    assert_int_equal(
        parse(RD_BYTES_LIT(" {\"type\":\"redoubt/modules/v1\", \"main\":\"a\",\"modules\":[{\"source\":\"\","
                           "\"name\":\"a\"}]}\n"),
              NULL),
        0);
    assert_int_equal(parse(RD_BYTES_LIT("{\"main\":\"a\",\"main\":\"a\"}"), NULL), -1);
    assert_int_equal(parse(RD_BYTES_LIT("[[[[]]]]"), NULL), -1);
}

static void test_names(void **state RD_UNUSED)
{
    char name[RD_MODULE_NAME_MAX + 2];
    memset(name, 'a', sizeof name);
    name[RD_MODULE_NAME_MAX + 1] = '\0';
    assert_false(rd_module_name_is_ok(name));
    name[RD_MODULE_NAME_MAX] = '\0';
    assert_true(rd_module_name_is_ok(name));
    assert_true(rd_module_name_is_ok("./a.js"));
    assert_true(rd_module_name_is_ok("A-Z/_.0"));
    assert_false(rd_module_name_is_ok(""));
    assert_false(rd_module_name_is_ok("a\n"));
}

static void test_encoding_does_not_depend_on_order(void **state RD_UNUSED)
{
    rd_code_bundle one = { .main = rd_strdup("b.js") };
    rd_code_bundle two = { .main = rd_strdup("b.js") };
    RD_CLEANUP(rd_buf_done) rd_buf first = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf second = { 0 };
    assert_int_equal(rd_code_bundle_add(&one, "a.js", RD_BYTES_LIT("1"), NULL), 0);
    assert_int_equal(rd_code_bundle_add(&one, "b.js", RD_BYTES_LIT("\"\\\n\x7fü"), NULL), 0);
    assert_int_equal(rd_code_bundle_add(&one, "c.js", RD_BYTES_NULL, NULL), 0);
    assert_int_equal(rd_code_bundle_add(&two, "c.js", RD_BYTES_NULL, NULL), 0);
    assert_int_equal(rd_code_bundle_add(&two, "a.js", RD_BYTES_LIT("1"), NULL), 0);
    assert_int_equal(rd_code_bundle_add(&two, "b.js", RD_BYTES_LIT("\"\\\n\x7fü"), NULL), 0);
    assert_int_equal(rd_code_bundle_encode(&one, &first, NULL), 0);
    assert_int_equal(rd_code_bundle_encode(&two, &second, NULL), 0);
    assert_true(rd_bytes_equal(rd_buf_bytes(&first), rd_buf_bytes(&second)));
    assert_int_equal(rd_canonical_check(rd_buf_bytes(&first), NULL, NULL), 0);
    rd_code_bundle_done(&two);
    assert_int_equal(rd_code_bundle_parse(rd_buf_bytes(&first), &two, NULL), 0);
    assert_string_equal(rd_code_bundle_find(&two, "b.js")->source, "\"\\\n\x7fü");
    assert_null(rd_code_bundle_find(&two, "d.js"));
    rd_code_bundle_done(&one);
    rd_code_bundle_done(&two);
}

static void test_bounds(void **state RD_UNUSED)
{
    rd_code_bundle bundle = { .main = rd_strdup("m0") };
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_code_bundle_encode(&bundle, &out, &err), -1); /* main is missing */
    for (int i = 0; i < RD_MODULES_MAX; i++) {
        char name[8];
        (void)snprintf(name, sizeof name, "m%d", i);
        assert_int_equal(rd_code_bundle_add(&bundle, name, RD_BYTES_NULL, NULL), 0);
    }
    assert_int_equal(rd_code_bundle_add(&bundle, "one-more", RD_BYTES_NULL, &err), -1);
    assert_int_equal(rd_code_bundle_encode(&bundle, &out, NULL), 0);
    assert_int_equal(parse(rd_buf_bytes(&out), NULL), 0);
    rd_code_bundle_done(&bundle);
    bundle.main = rd_strdup("m");
    RD_CLEANUP(rd_free_p) uint8_t *large = rd_alloc(RD_CODE_BUNDLE_SIZE_MAX + 1);
    memset(large, 'x', RD_CODE_BUNDLE_SIZE_MAX + 1);
    assert_int_equal(rd_code_bundle_add(&bundle, "m", rd_bytes_of(large, RD_CODE_BUNDLE_SIZE_MAX + 1), &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    assert_int_equal(rd_code_bundle_add(&bundle, "m", RD_BYTES_LIT("\xff"), &err), -1);
    assert_int_equal(rd_code_bundle_add(&bundle, "m", RD_BYTES_LIT("a\0b"), &err), -1);
    assert_int_equal(err.code, RD_E_ENCODING);
    assert_int_equal(rd_code_bundle_add(&bundle, "m", rd_bytes_of(large, RD_CODE_BUNDLE_SIZE_MAX), NULL), 0);
    rd_buf_clear(&out);
    assert_int_equal(rd_code_bundle_encode(&bundle, &out, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    rd_code_bundle_done(&bundle);
    assert_int_equal(parse(rd_bytes_of(large, RD_CODE_BUNDLE_SIZE_MAX + 1), &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_encoding_does_not_depend_on_order),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
