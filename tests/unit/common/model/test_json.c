#include "common/model/json.h"

#include "tests/unit/common/model/samples.h"

typedef struct inner {
    uint32_t value;
} inner;

typedef struct all {
    char text[9];
    char *string;
    bool flag, has_maybe;
    int64_t i64;
    uint64_t u64;
    int32_t i32;
    uint32_t u32;
    rd_digest digest;
    uint8_t bytes[3];
    rd_buf buf;
    uint8_t hex[2];
    int64_t time;
    rd_id id;
    rd_app_id app;
    int word;
    inner nested;
    uint64_t maybe;
    int sum;
} all;

static const char *const words[] = { "", "one", "two", NULL };
static const rd_json_field inner_fields[] = {
    { "value", RD_JSON_U32, offsetof(inner, value), RD_REQUIRED, .max = 5 },
    RD_JSON_END,
};

static int add_item(const json_t *item, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    if (!json_is_integer(item)) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "no integer");
        return rd_err_at(err, pointer);
    }
    ((all *)context)->sum += (int)json_integer_value(item);
    return 0;
}

static int read_sum(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 1, 3, pointer, add_item, into, err);
}

static const rd_json_field fields[] = {
    { "text", RD_JSON_TEXT, offsetof(all, text), RD_REQUIRED, .min = 2, .max = 8 },
    { "string", RD_JSON_STRING, offsetof(all, string), RD_REQUIRED, .max = 8 },
    { "flag", RD_JSON_BOOL, offsetof(all, flag), RD_REQUIRED },
    { "i64", RD_JSON_I64, offsetof(all, i64), RD_REQUIRED },
    { "u64", RD_JSON_U64, offsetof(all, u64), RD_REQUIRED },
    { "i32", RD_JSON_I32, offsetof(all, i32), RD_REQUIRED },
    { "u32", RD_JSON_U32, offsetof(all, u32), RD_REQUIRED },
    { "digest", RD_JSON_DIGEST, offsetof(all, digest), RD_REQUIRED },
    { "bytes", RD_JSON_B64, offsetof(all, bytes), RD_REQUIRED, .max = 3 },
    { "buf", RD_JSON_B64_BUF, offsetof(all, buf), RD_REQUIRED, .min = 1, .max = 4 },
    { "hex", RD_JSON_HEX, offsetof(all, hex), RD_REQUIRED, .max = 2 },
    { "time", RD_JSON_TIME, offsetof(all, time), RD_REQUIRED },
    { "id", RD_JSON_ID, offsetof(all, id), RD_REQUIRED, .text = "dep" },
    { "app", RD_JSON_APP_ID, offsetof(all, app), RD_REQUIRED },
    { "word", RD_JSON_ENUM, offsetof(all, word), RD_REQUIRED, .names = words },
    { "const", RD_JSON_CONST, 0, RD_REQUIRED, .text = "fixed" },
    { "null", RD_JSON_NULL, 0, RD_REQUIRED },
    { "nested", RD_JSON_OBJECT, offsetof(all, nested), RD_REQUIRED, .fields = inner_fields },
    { "maybe", RD_JSON_U64, offsetof(all, maybe), RD_OPTIONAL | RD_NULLABLE, .has = RD_HAS(all, has_maybe) },
    { "sum", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_sum },
    RD_JSON_END,
};

#define DIGEST "sha256:0101010101010101010101010101010101010101010101010101010101010101"
#define APP    "app_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const char good[] =
    "{\"text\":\"abc\",\"string\":\"\",\"flag\":true,\"i64\":-5,\"u64\":5,\"i32\":-2147483648,\"u32\":4294967295,"
    "\"digest\":\"" DIGEST "\",\"bytes\":\"AQID\",\"buf\":\"_w\",\"hex\":\"0aff\",\"time\":\"1970-01-01T00:00:01Z\","
    "\"id\":\"dep_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"app\":\"" APP "\",\"word\":\"two\",\"const\":\"fixed\",\"null\":null,"
    "\"nested\":{\"value\":5},\"maybe\":7,\"sum\":[1,2]}";

static void all_done(all *read)
{
    free(read->string);
    rd_buf_done(&read->buf);
}

static int load(rd_bytes bytes, rd_err *err)
{
    RD_CLEANUP(all_done) all read = { 0 };
    return rd_json_load(bytes, NULL, fields, RD_UNKNOWN_REFUSED, &read, err);
}

static void test_every_kind(void **state RD_UNUSED)
{
    RD_CLEANUP(all_done) all read = { 0 };
    rd_err err = RD_ERR_INIT;
    if (rd_json_load(RD_BYTES_LIT(good), NULL, fields, RD_UNKNOWN_REFUSED, &read, &err) < 0)
        fail_msg("%s at %s", err.text, err.pointer);
    assert_string_equal(read.text, "abc");
    assert_string_equal(read.string, "");
    assert_true(read.flag);
    assert_int_equal(read.i64, -5);
    assert_int_equal(read.u64, 5);
    assert_int_equal(read.i32, INT32_MIN);
    assert_int_equal(read.u32, UINT32_MAX);
    assert_int_equal(read.digest.b[31], 1);
    assert_memory_equal(read.bytes, "\1\2\3", 3);
    assert_int_equal(read.buf.size, 1);
    assert_int_equal(read.buf.data[0], 0xff);
    assert_memory_equal(read.hex, "\x0a\xff", 2);
    assert_int_equal(read.time, 1000000);
    assert_int_equal(read.word, 2);
    assert_int_equal(read.nested.value, 5);
    assert_true(read.has_maybe);
    assert_int_equal(read.maybe, 7);
    assert_int_equal(read.sum, 3);
}

static const spoil rows[] = {
    { "text too short", "/text", "\"a\"", RD_E_JSON_RANGE },
    { "text longest (ok)", "/text", "\"12345678\"", RD_OK },
    { "text too long", "/text", "\"123456789\"", RD_E_JSON_RANGE },
    { "text in bytes, not characters", "/text", "\"\\u20ac\\u20ac\\u20ac\"", RD_E_JSON_RANGE },
    { "text null", "/text", "null", RD_E_JSON_TYPE },
    { "string too long", "/string", "\"123456789\"", RD_E_JSON_RANGE },
    { "flag 0", "/flag", "0", RD_E_JSON_TYPE },
    { "flag null", "/flag", "null", RD_E_JSON_TYPE },
    { "i64 2^53", "/i64", "9007199254740992", RD_E_JSON_RANGE },
    { "i64 fraction", "/i64", "1.5", RD_E_JSON_TYPE },
    { "u64 negative", "/u64", "-1", RD_E_JSON_RANGE },
    { "i32 beyond", "/i32", "2147483648", RD_E_JSON_RANGE },
    { "u32 beyond", "/u32", "4294967296", RD_E_JSON_RANGE },
    { "u32 negative", "/u32", "-1", RD_E_JSON_RANGE },
    { "digest number", "/digest", "1", RD_E_JSON_TYPE },
    { "bytes too long", "/bytes", "\"AQIDBA\"", RD_E_ENCODING },
    { "bytes too short", "/bytes", "\"AQI\"", RD_E_ENCODING },
    { "buf empty", "/buf", "\"\"", RD_E_JSON_RANGE },
    { "buf too long", "/buf", "\"AQIDBAU\"", RD_E_JSON_RANGE },
    { "buf of an impossible length", "/buf", "\"AAAAA\"", RD_E_ENCODING },
    { "hex in upper case", "/hex", "\"0AFF\"", RD_E_ENCODING },
    { "hex odd", "/hex", "\"0af\"", RD_E_ENCODING },
    { "time without zone", "/time", "\"1970-01-01T00:00:01\"", RD_E_ENCODING },
    { "id of another prefix", "/id", "\"org_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_ID_FORMAT },
    { "app of an id", "/app", "\"app_aaaaaaaaaaaaaaaaaaaaaaaaaa\"", RD_E_ID_FORMAT },
    { "word unknown", "/word", "\"three\"", RD_E_JSON_RANGE },
    { "word empty", "/word", "\"\"", RD_E_JSON_RANGE },
    { "const other", "/const", "\"fixes\"", RD_E_JSON_RANGE },
    { "const number", "/const", "1", RD_E_JSON_TYPE },
    { "null false", "/null", "false", RD_E_JSON_RANGE },
    { "nested out of range", "/nested/value", "6", RD_E_JSON_RANGE },
    { "nested unknown", "/nested/x", "6", RD_E_JSON_UNKNOWN },
    { "nested array", "/nested", "[]", RD_E_JSON_TYPE },
    { "maybe null (ok)", "/maybe", "null", RD_OK },
    { "maybe absent (ok)", "/maybe", NULL, RD_OK },
    { "maybe text", "/maybe", "\"7\"", RD_E_JSON_TYPE },
    { "sum empty", "/sum", "[]", RD_E_JSON_RANGE },
    { "sum too long", "/sum", "[1,2,3,4]", RD_E_JSON_RANGE },
    { "sum of text", "/sum", "[1,\"2\"]", RD_E_JSON_TYPE },
};

static void test_spoiled(void **state RD_UNUSED)
{
    run_spoils(RD_BYTES_LIT(good), load, rows, RD_ARRAY_LEN(rows));
}

static void test_each_member_is_needed(void **state RD_UNUSED)
{
    for (const rd_json_field *field = fields; field->name; field++) {
        char path[32], wanted[32];
        RD_CLEANUP(rd_buf_done) rd_buf spoiled = { 0 };
        rd_err err = RD_ERR_INIT;
        (void)snprintf(path, sizeof path, "/%s", field->name);
        (void)snprintf(wanted, sizeof wanted, "/%s", field->name);
        if (field->flags & RD_OPTIONAL)
            continue;
        spoil_document(RD_BYTES_LIT(good), path, NULL, &spoiled);
        assert_int_equal(load(rd_buf_bytes(&spoiled), &err), -1);
        assert_int_equal(err.code, RD_E_JSON_MISSING);
        assert_string_equal(err.pointer, wanted);
    }
}

static void test_pointers(void **state RD_UNUSED)
{
    static const struct {
        const char *text, *pointer;
    } cases[] = {
        { "{\"value\":1,\"a/b~c\":1}", "/a~1b~0c" },
        { "{\"value\":1,\"\":1}", "/" },
        { "{\"value\":6}", "/value" },
        { "[]", "" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(cases); i++) {
        inner read;
        rd_err err = RD_ERR_INIT;
        assert_int_equal(rd_json_load(rd_bytes_str(cases[i].text), NULL, inner_fields, RD_UNKNOWN_REFUSED, &read, &err),
                         -1);
        assert_string_equal(err.pointer, cases[i].pointer);
    }
    RD_CLEANUP(rd_buf_done) rd_buf spoiled = { 0 };
    rd_err err = RD_ERR_INIT;
    spoil_document(RD_BYTES_LIT(good), "/sum", "[1,\"2\"]", &spoiled);
    assert_int_equal(load(rd_buf_bytes(&spoiled), &err), -1);
    assert_string_equal(err.pointer, "/sum/1");
    /* A long name is cut, not overrun. */
    char text[400];
    char name[300];
    inner read;
    memset(name, '~', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(text, sizeof text, "{\"value\":1,\"%s\":1}", name);
    assert_int_equal(rd_json_load(rd_bytes_str(text), NULL, inner_fields, RD_UNKNOWN_REFUSED, &read, &err), -1);
    assert_true(strlen(err.pointer) < sizeof err.pointer);
}

static void test_unknown_members_may_be_ignored(void **state RD_UNUSED)
{
    inner read;
    assert_int_equal(
        rd_json_load(RD_BYTES_LIT("{\"x\":[{}],\"value\":3}"), NULL, inner_fields, RD_UNKNOWN_IGNORED, &read, NULL), 0);
    assert_int_equal(read.value, 3);
}

static void test_limits(void **state RD_UNUSED)
{
    const rd_json_limits tight = { .size_max = 10, .depth_max = 2 };
    rd_err err = RD_ERR_INIT;
    json_t *value = NULL;
    assert_int_equal(rd_json_parse(RD_BYTES_LIT("[[1.5e0]]"), &tight, &value, &err), 0);
    json_decref(value);
    assert_int_equal(rd_json_parse(RD_BYTES_LIT("[[[1]]]"), &tight, &value, &err), -1);
    assert_int_equal(err.code, RD_E_JSON_DEPTH);
    assert_int_equal(rd_json_parse(RD_BYTES_LIT("[[1],   [2]]"), &tight, &value, &err), -1);
    assert_int_equal(err.code, RD_E_TOO_LARGE);
    RD_CLEANUP(rd_buf_done) rd_buf deep = { 0 };
    for (int i = 0; i < 60000; i++)
        (void)rd_buf_append_u8(&deep, '[');
    assert_int_equal(rd_json_parse(rd_buf_bytes(&deep), NULL, &value, &err), -1);
    assert_int_equal(err.code, RD_E_JSON_DEPTH);
}

static void test_building(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    rd_id id = { { 0 } };
    rd_app_id app = { { 0 } };
    rd_digest digest = sample_digest(1);
    rd_json_set_str(object, "a", "text");
    rd_json_set_str(object, "b", NULL);
    rd_json_set_int(object, "c", -1);
    rd_json_set_bool(object, "d", true);
    rd_json_set_digest(object, "e", &digest);
    rd_json_set_digest(object, "f", NULL);
    rd_json_set_b64(object, "g", RD_BYTES_LIT("\xff\xfe"));
    rd_json_set_hex(object, "h", RD_BYTES_LIT("\xff\x01"));
    rd_json_set_time(object, "i", 0);
    rd_json_set_id(object, "j", "dep", &id);
    rd_json_set_id(object, "k", "dep", NULL);
    rd_json_set_app_id(object, "l", &app);
    rd_json_set_b64(object, "m", RD_BYTES_NULL);
    assert_true(rd_json_dump(object, &out));
    assert_string_equal(rd_buf_text(&out),
                        "{\"a\":\"text\",\"b\":null,\"c\":-1,\"d\":true,\"e\":\"" DIGEST "\",\"f\":null,\"g\":\"__4\","
                        "\"h\":\"ff01\",\"i\":\"1970-01-01T00:00:00.000000Z\","
                        "\"j\":\"dep_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"k\":null,\"l\":\"" APP "\",\"m\":\"\"}");
    RD_CLEANUP(rd_buf_done) rd_buf small = { .size_max = 5 };
    assert_false(rd_json_dump(object, &small));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_each_member_is_needed),
        cmocka_unit_test(test_pointers),
        cmocka_unit_test(test_unknown_members_may_be_ignored),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_building),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
