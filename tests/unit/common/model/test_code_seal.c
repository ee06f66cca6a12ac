#include "common/model/code_seal.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEALED_CHUNK (RD_CODE_CHUNK_SIZE + 16)

static const uint8_t key[RD_CODE_KEY_SIZE] = { 1, 2, 3 };

static void make(size_t size, rd_buf *plain, rd_buf *sealed)
{
    uint8_t *room = rd_buf_reserve(plain, size);
    for (size_t i = 0; i < size; i++)
        room[i] = (uint8_t)(i >> 8 ^ i * 31);
    rd_buf_commit(plain, size);
    assert_int_equal(rd_code_seal(key, rd_buf_bytes(plain), sealed, NULL), 0);
    assert_int_equal(sealed->size, rd_code_sealed_size(size));
}

static void test_sizes(void **state RD_UNUSED)
{
    static const size_t sizes[] = {
        0, 1, RD_CODE_CHUNK_SIZE - 1, RD_CODE_CHUNK_SIZE, RD_CODE_CHUNK_SIZE + 1, 3 * RD_CODE_CHUNK_SIZE
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(sizes); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf plain = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
        RD_CLEANUP(rd_buf_done) rd_buf opened = { 0 };
        make(sizes[i], &plain, &sealed);
        assert_int_equal(rd_code_open(key, rd_buf_bytes(&sealed), &opened, NULL), 0);
        assert_true(rd_bytes_equal(rd_buf_bytes(&plain), rd_buf_bytes(&opened)));
    }
}

static void expect_refused(rd_bytes sealed, const char *name)
{
    RD_CLEANUP(rd_buf_done) rd_buf opened = { 0 };
    rd_err err = RD_ERR_INIT;
    (void)rd_buf_append_str(&opened, "before");
    if (rd_code_open(key, sealed, &opened, &err) == 0 || err.code != RD_E_SEAL)
        fail_msg("%s: opened", name);
    assert_int_equal(opened.size, 6);
}

/* R68: cut off, moved, doubled, dropped, changed. */
static void test_spoiled(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_buf_done) rd_buf plain = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf other = { 0 };
    make(3 * RD_CODE_CHUNK_SIZE, &plain, &sealed);
    for (size_t chunks = 0; chunks < 3; chunks++)
        expect_refused(rd_bytes_of(sealed.data, chunks * SEALED_CHUNK), "cut at a chunk's end");
    expect_refused(rd_bytes_of(sealed.data, sealed.size - 1), "cut within the tag");
    expect_refused(rd_bytes_of(sealed.data + SEALED_CHUNK, sealed.size - SEALED_CHUNK), "first chunk dropped");
    (void)rd_buf_append(&other, sealed.data + SEALED_CHUNK, SEALED_CHUNK);
    (void)rd_buf_append(&other, sealed.data, SEALED_CHUNK);
    (void)rd_buf_append(&other, sealed.data + 2 * SEALED_CHUNK, SEALED_CHUNK);
    expect_refused(rd_buf_bytes(&other), "moved");
    rd_buf_clear(&other);
    (void)rd_buf_append(&other, sealed.data, SEALED_CHUNK);
    (void)rd_buf_append_bytes(&other, rd_buf_bytes(&sealed));
    expect_refused(rd_buf_bytes(&other), "doubled");
    rd_buf_clear(&other);
    (void)rd_buf_append_bytes(&other, rd_buf_bytes(&sealed));
    (void)rd_buf_append_u8(&other, 0);
    expect_refused(rd_buf_bytes(&other), "a byte more");
    for (size_t at = 0; at < sealed.size; at += 9973) {
        sealed.data[at] ^= 1;
        expect_refused(rd_buf_bytes(&sealed), "changed");
        sealed.data[at] ^= 1;
    }
    rd_err err = RD_ERR_INIT;
    const uint8_t wrong[RD_CODE_KEY_SIZE] = { 9 };
    assert_int_equal(rd_code_open(wrong, rd_buf_bytes(&sealed), &other, &err), -1);
    assert_int_equal(err.code, RD_E_SEAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sizes), cmocka_unit_test(test_spoiled) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
