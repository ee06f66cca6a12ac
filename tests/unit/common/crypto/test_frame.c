#include "common/base/text.h"
#include "common/crypto/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *kind, *label;
} labels[] = {
#define RD_LABEL_HASH(symbol, label)     { "hash", label },
#define RD_LABEL_SIGN(symbol, label)     { "sign", label },
#define RD_LABEL_KDF(symbol, label)      { "kdf", label },
#define RD_LABEL_INFO(symbol, label)     { "info", label },
#define RD_LABEL_AAD(symbol, label)      { "aad", label },
#define RD_LABEL_EVIDENCE(symbol, label) { "evidence", label },
#include "common/crypto/labels.def"
};

static void test_no_label_stands_twice_within_a_kind(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(labels); i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(labels[i].kind, labels[k].kind) == 0 && strcmp(labels[i].label, labels[k].label) == 0)
                fail_msg("%s label %s stands twice", labels[i].kind, labels[i].label);
}

static void test_labels_are_plain_and_versioned(void **state RD_UNUSED)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(labels); i++) {
        const char *label = labels[i].label;
        size_t size = strlen(label);
        if (size < 4 || strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != size || label[size - 2] != 'v' ||
            label[size - 3] != '-')
            fail_msg("%s label %s", labels[i].kind, label);
    }
}

static void test_layout(void **state RD_UNUSED)
{
    static const uint8_t want[] = "redoubt\0hash\0head-v1\0\0\0\0\2\0\0\0\0\0\0\0\3abc\0\0\0\0\0\0\0\0";
    rd_buf out = { 0 };
    assert_true(rd_frame_hash(&out, RD_HASH_HEAD, (const rd_bytes[]){ RD_BYTES_LIT("abc"), RD_BYTES_NULL }, 2));
    assert_int_equal(out.size, sizeof want - 1);
    assert_memory_equal(out.data, want, out.size);
    uint8_t plain[32], framed[32];
    rd_sha256(rd_buf_bytes(&out), plain);
    RD_H(framed, RD_HASH_HEAD, RD_BYTES_LIT("abc"), RD_BYTES_NULL);
    assert_memory_equal(plain, framed, 32);
    rd_buf_done(&out);
    assert_true(rd_frame_sign(&out, RD_SIGN_HEAD, RD_BYTES_LIT("m")));
    assert_memory_equal(out.data, "redoubt\0sign\0head-v1\0\0\0\0\1\0\0\0\0\0\0\0\1m", out.size);
    rd_buf_done(&out);
    assert_true(rd_frame_info(&out, RD_INFO_SECRET, NULL, 0));
    assert_memory_equal(out.data, "redoubt\0info\0secret-v1\0\0\0\0", out.size);
    rd_buf_done(&out);
    assert_true(rd_frame_aad(&out, RD_AAD_SECRET, NULL, 0));
    assert_memory_equal(out.data, "redoubt\0aad\0secret-v1\0\0\0\0", out.size);
    rd_buf_done(&out);
}

/* Made with Python's hashlib and hmac from the layout of docs/protocol/formats.md. */
static void test_values_of_another_implementation(void **state RD_UNUSED)
{
    uint8_t out[64];
    char text[129];
    rd_h(RD_HASH_SECRETS, NULL, 0, out);
    rd_hex_encode(rd_bytes_of(out, 32), text);
    assert_string_equal(text, "ab3eaddfb3d4a6bf27a9ad196e561da71a30f8975e0bf9e0ae24edaef53290bd");
    rd_evidence_hash(RD_EVIDENCE_EVIDENCE, RD_BYTES_LIT("{}"), out);
    rd_hex_encode(rd_bytes_of(out, 64), text);
    assert_string_equal(text, "262ca8f2e20fe0f0c1081ce165bc9173cfcb9673d1c4e69a219a26e79f70c341"
                              "2ec1e68703cd9432957b862399d1bc32680d359ea3dbe9b9728acd79341c2bb6");
    rd_bytes part = RD_BYTES_LIT("request");
    rd_kdf(RD_BYTES_LIT("salt"), RD_KDF_COMMIT, &part, 1, out);
    rd_hex_encode(rd_bytes_of(out, 32), text);
    assert_string_equal(text, "d1db20e9385aa3d3164764682074dfd2c0d4b9ac41ac254515e94d8f28be3e7f");
}

static void test_parts_do_not_run_together(void **state RD_UNUSED)
{
    uint8_t a[32], b[32], c[32], d[32];
    RD_H(a, RD_HASH_HEAD, RD_BYTES_LIT("ab"), RD_BYTES_LIT("c"));
    RD_H(b, RD_HASH_HEAD, RD_BYTES_LIT("a"), RD_BYTES_LIT("bc"));
    RD_H(c, RD_HASH_HEAD, RD_BYTES_LIT("abc"));
    RD_H(d, RD_HASH_RELEASE, RD_BYTES_LIT("abc"));
    assert_memory_not_equal(a, b, 32);
    assert_memory_not_equal(a, c, 32);
    assert_memory_not_equal(c, d, 32);
}

static void test_cap(void **state RD_UNUSED)
{
    rd_buf out = { .size_max = 16 };
    assert_false(rd_frame_sign(&out, RD_SIGN_HEAD, RD_BYTES_LIT("message")));
    rd_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_label_stands_twice_within_a_kind),
        cmocka_unit_test(test_labels_are_plain_and_versioned),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_values_of_another_implementation),
        cmocka_unit_test(test_parts_do_not_run_together),
        cmocka_unit_test(test_cap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
