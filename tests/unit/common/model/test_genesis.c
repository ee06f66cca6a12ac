#include "common/model/genesis.h"

#include "tests/unit/common/model/samples.h"

static int parse(rd_bytes bytes, rd_err *err)
{
    rd_genesis genesis;
    return rd_genesis_parse(bytes, &genesis, err);
}

static void make(uint32_t count, uint32_t threshold, rd_buf *out)
{
    rd_genesis genesis = sample_genesis(count, threshold);
    assert_int_equal(rd_genesis_encode(&genesis, out, NULL), 0);
}

static const spoil rows[] = {
    { "unknown member", "/extra", "1", RD_E_JSON_UNKNOWN },
    { "other type", "/type", "\"redoubt/head/v1\"", RD_E_PURPOSE },
    { "type missing", "/type", NULL, RD_E_JSON_MISSING },
    { "type a number", "/type", "1", RD_E_JSON_TYPE },
    { "no owners", "/owners", "[]", RD_E_JSON_RANGE },
    { "owners missing", "/owners", NULL, RD_E_JSON_MISSING },
    { "owners an object", "/owners", "{}", RD_E_JSON_TYPE },
    { "owner a string", "/owners/0", "\"x\"", RD_E_JSON_TYPE },
    { "other algorithm", "/owners/0/alg", "\"rsa\"", RD_E_JSON_RANGE },
    { "owner with more", "/owners/0/x", "1", RD_E_JSON_UNKNOWN },
    { "key of small order", "/owners/0/key", "\"" B64_ZERO_32 "\"", RD_E_KEY_FORMAT },
    { "key too short", "/owners/0/key", "\"AAAA\"", RD_E_ENCODING },
    { "key with padding", "/owners/0/key", "\"" B64_ZERO_32 "=\"", RD_E_ENCODING },
    { "recovery set", "/recovery", "{}", RD_E_JSON_RANGE },
    { "recovery missing", "/recovery", NULL, RD_E_JSON_MISSING },
    { "salt too short", "/salt", "\"AAAA\"", RD_E_ENCODING },
    { "salt too long", "/salt", "\"" B64_ZERO_32 "\"", RD_E_ENCODING },
    { "salt missing", "/salt", NULL, RD_E_JSON_MISSING },
    { "threshold 0", "/threshold", "0", RD_E_JSON_RANGE },
    { "threshold above the count", "/threshold", "4", RD_E_JSON_RANGE },
    { "threshold negative", "/threshold", "-1", RD_E_JSON_RANGE },
    { "threshold beyond 32 bits", "/threshold", "4294967297", RD_E_JSON_RANGE },
    { "threshold a string", "/threshold", "\"1\"", RD_E_JSON_TYPE },
    { "threshold missing", "/threshold", NULL, RD_E_JSON_MISSING },
};

static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    make(3, 2, &document);
    run_spoils(rd_buf_bytes(&document), parse, rows, RD_ARRAY_LEN(rows));
    run_form_spoils(rd_buf_bytes(&document), parse);
}

static void test_round_trip(void **state RD_UNUSED)
{
    for (uint32_t count = 1; count <= RD_OWNERS_MAX; count++) {
        RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
        rd_genesis genesis;
        make(count, count, &document);
        assert_int_equal(rd_genesis_parse(rd_buf_bytes(&document), &genesis, NULL), 0);
        assert_int_equal(rd_genesis_encode(&genesis, &again, NULL), 0);
        assert_true(rd_bytes_equal(rd_buf_bytes(&document), rd_buf_bytes(&again)));
    }
}

/* Made with Python from docs/protocol/formats.md. */
static void test_exact_bytes(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    char id[RD_APP_ID_TEXT_SIZE];
    make(1, 1, &document);
    assert_string_equal(
        rd_buf_text(&document),
        "{\"owners\":[{\"alg\":\"ed25519\",\"key\":\"iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w\"}],\"recovery\":null,"
        "\"salt\":\"paWlpaWlpaWlpaWlpaWlpQ\",\"threshold\":1,\"type\":\"redoubt/app-genesis/v1\"}");
    rd_app_id app;
    rd_genesis_app_id(rd_buf_bytes(&document), &app);
    rd_app_id_format(&app, id);
    assert_string_equal(id, "app_rnp3xe6kb74ugffuqve22olkd5ittkhkwlaqpbaeukuhli472kua");
}

static void test_an_owner_twice_and_a_ninth(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_genesis genesis = sample_genesis(2, 1);
    genesis.owners[1] = genesis.owners[0];
    assert_int_equal(rd_genesis_encode(&genesis, &document, NULL), 0);
    assert_int_equal(parse(rd_buf_bytes(&document), &err), -1);
    assert_int_equal(err.code, RD_E_JSON_RANGE);
    assert_string_equal(err.pointer, "/owners/1");
    rd_buf_clear(&document);
    make(8, 1, &document);
    RD_CLEANUP(rd_buf_done) rd_buf nine = { 0 };
    spoil_document(rd_buf_bytes(&document), "/owners/8", "{}", &nine);
    assert_int_equal(parse(rd_buf_bytes(&nine), &err), -1);
    assert_string_equal(err.pointer, "/owners");
}

static void test_open_demands_the_app(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_genesis genesis;
    rd_err err = RD_ERR_INIT;
    rd_app_id app = sample_app();
    make(1, 1, &document);
    assert_int_equal(rd_genesis_open(rd_buf_bytes(&document), &app, &genesis, NULL), 0);
    for (size_t bit = 0; bit < 256; bit++) {
        rd_app_id other = app;
        other.b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(rd_genesis_open(rd_buf_bytes(&document), &other, &genesis, &err), -1);
        assert_int_equal(err.code, RD_E_GENESIS_MISMATCH);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_exact_bytes),
        cmocka_unit_test(test_an_owner_twice_and_a_ninth),
        cmocka_unit_test(test_open_demands_the_app),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
