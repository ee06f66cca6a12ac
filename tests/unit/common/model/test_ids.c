#include "common/base/text.h"
#include "common/model/class.h"
#include "common/model/ids.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void fill_with_counter(void *context, void *out, size_t size)
{
    uint8_t *counter = context;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)out)[i] = (*counter)++;
}

static void test_new(void **state RD_UNUSED)
{
    uint8_t counter = 0;
    const rd_random source = { fill_with_counter, &counter };
    /* RFC 9562, A.6: 0x017F22E279B0 is 2022-02-22T19:22:22Z. */
    rd_id id = rd_id_new(INT64_C(1645557742000000), &source);
    static const uint8_t want[16] = { 0x01, 0x7f, 0x22, 0xe2, 0x79, 0xb0, 0x76, 0x07,
                                      0x88, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f };
    assert_memory_equal(id.b, want, 16);
    rd_id later = rd_id_new(INT64_C(1645557742001000), &source);
    assert_true(memcmp(id.b, later.b, 16) < 0);
    assert_false(rd_id_equal(&id, &later));
    rd_id before_time = rd_id_new(-5, &source);
    assert_int_equal(before_time.b[0], 0);
}

static void test_text_round_trip(void **state RD_UNUSED)
{
    rd_id id, again;
    rd_app_id app, app_again;
    for (size_t i = 0; i < 16; i++)
        id.b[i] = (uint8_t)(255 - 3 * i);
    for (size_t i = 0; i < 32; i++)
        app.b[i] = (uint8_t)(7 * i);
    char text[RD_ID_TEXT_SIZE];
    char app_text[RD_APP_ID_TEXT_SIZE];
    rd_id_format("dep", &id, text);
    assert_int_equal(strlen(text), 30);
    assert_int_equal(rd_id_parse("dep", text, strlen(text), &again, NULL), 0);
    assert_true(rd_id_equal(&id, &again));
    rd_app_id_format(&app, app_text);
    assert_int_equal(strlen(app_text), 56);
    assert_int_equal(rd_app_id_parse(app_text, strlen(app_text), &app_again, NULL), 0);
    assert_true(rd_app_id_equal(&app, &app_again));
    rd_kms_id kms = { .b = { 1, 2, 3 } }, kms_again;
    char kms_text[RD_KMS_ID_TEXT_SIZE];
    rd_kms_id_format(&kms, kms_text);
    assert_int_equal(strlen(kms_text), 56);
    assert_int_equal(rd_kms_id_parse(kms_text, 56, &kms_again, NULL), 0);
    assert_true(rd_kms_id_equal(&kms, &kms_again));
    assert_int_equal(rd_kms_id_parse(app_text, 56, &kms_again, NULL), -1);
    assert_int_equal(rd_kms_id_parse(kms_text, 55, &kms_again, NULL), -1);
}

static const struct {
    const char *name, *text;
    bool is_ok;
} rows[] = {
    { "zeros", "dep_aaaaaaaaaaaaaaaaaaaaaaaaaa", true },
    { "other prefix", "org_aaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    { "prefix in upper case", "DEP_aaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    { "upper case", "dep_AAAAAAAAAAAAAAAAAAAAAAAAAA", false },
    { "one short", "dep_aaaaaaaaaaaaaaaaaaaaaaaaa", false },
    { "one long", "dep_aaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    { "padding", "dep_aaaaaaaaaaaaaaaaaaaaaaaaa=", false },
    { "unused bits set", "dep_aaaaaaaaaaaaaaaaaaaaaaaaab", false },
    { "digit outside the alphabet", "dep_0aaaaaaaaaaaaaaaaaaaaaaaaa", false },
    { "hyphen for underscore", "dep-aaaaaaaaaaaaaaaaaaaaaaaaaa", false },
    { "prefix alone", "dep_", false },
    { "empty", "", false },
};

/* R9: an app's id is all of a digest; a shorter one is none. */
static void test_strict_parsing(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        rd_id id;
        rd_err err = RD_ERR_INIT;
        int outcome = rd_id_parse("dep", rows[i].text, strlen(rows[i].text), &id, &err);
        if ((outcome == 0) != rows[i].is_ok || (outcome < 0 && err.code != RD_E_ID_FORMAT))
            fail_msg("%s", rows[i].name);
    }
    rd_app_id app;
    char text[RD_APP_ID_TEXT_SIZE];
    memset(app.b, 0xff, sizeof app.b);
    rd_app_id_format(&app, text);
    for (size_t size = 0; size < 56; size++)
        assert_int_equal(rd_app_id_parse(text, size, &app, NULL), -1);
    text[55] = text[55] == 'a' ? 'b' : 'a'; /* 52 characters hold 4 bits more than 32 bytes */
    text[55] = '7';
    assert_int_equal(rd_app_id_parse(text, 56, &app, NULL), -1);
}

static void test_instance_ids(void **state RD_UNUSED)
{
    rd_id deployment;
    memset(deployment.b, 0xab, sizeof deployment.b);
    static const int32_t slots[] = { 0, 1, 255, 0x01020304, INT32_MAX, -1 };
    for (size_t i = 0; i < RD_ARRAY_LEN(slots); i++) {
        rd_id instance = rd_instance_id(&deployment, slots[i]);
        assert_memory_equal(instance.b, deployment.b, 12);
        assert_int_equal(rd_instance_slot(&instance), slots[i]);
    }
    rd_id instance = rd_instance_id(&deployment, 0x01020304);
    assert_memory_equal(instance.b + 12, "\1\2\3\4", 4);
}

static void test_digest_text(void **state RD_UNUSED)
{
    rd_digest digest, again;
    char text[RD_DIGEST_TEXT_SIZE];
    rd_sha256(RD_BYTES_LIT("abc"), digest.b);
    rd_digest_format(&digest, text);
    assert_string_equal(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(rd_digest_parse(text, 71, &again, NULL), 0);
    assert_true(rd_digest_equal(&digest, &again));
    assert_int_equal(rd_digest_parse(text, 70, &again, NULL), -1);
    assert_int_equal(rd_digest_parse(text + 7, 64, &again, NULL), -1);
    text[7] = 'B';
    assert_int_equal(rd_digest_parse(text, 71, &again, NULL), -1);
    memcpy(text, "sha512:b", 8);
    assert_int_equal(rd_digest_parse(text, 71, &again, NULL), -1);
}

static void test_class(void **state RD_UNUSED)
{
    rd_class found;
    assert_true(rd_class_parse("hardware", &found));
    assert_int_equal(found, RD_CLASS_HARDWARE);
    assert_true(rd_class_parse("simulated", &found));
    assert_int_equal(found, RD_CLASS_SIMULATED);
    assert_false(rd_class_parse("", &found));
    assert_false(rd_class_parse("Hardware", &found));
    assert_string_equal(rd_class_name(RD_CLASS_SIMULATED), "simulated");
    assert_null(rd_class_name((rd_class)0));
    assert_null(rd_class_name((rd_class)3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_strict_parsing),
        cmocka_unit_test(test_instance_ids),
        cmocka_unit_test(test_digest_text),
        cmocka_unit_test(test_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
