/* A root that came, with the end of its chain of records: whole, or nothing, or refused. */
#include "enclave/kms/kms_joined.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "enclave/kms/kms_store.h"

static const uint8_t key[32] = { 1 }, other_key[32] = { 2 };
static const kms_told_record end = { .record_number = 17, .record = { 3 } };

static rd_code read_with(const char *dir, const uint8_t with[32], rd_buf *sealed, kms_told_record *told, bool *is_there)
{
    rd_err err = RD_ERR_INIT;
    rd_buf_clear(sealed);
    return kms_joined_read(dir, with, sealed, told, is_there, &err) == 0 ? RD_OK : err.code;
}

static void test_root_and_end(void **state RD_UNUSED)
{
    char dir[] = "/tmp/redoubt-joined-XXXXXX";
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf file = { 0 };
    kms_told_record told;
    bool is_there = true;
    int fd = -1;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(read_with(dir, key, &sealed, &told, &is_there), RD_OK);
    assert_false(is_there);
    assert_int_equal(kms_store_open_joined(dir, &fd, NULL), 0);
    assert_int_equal(read_with(dir, key, &sealed, &told, &is_there), RD_OK);
    assert_false(is_there); /* it waits */
    assert_int_equal(kms_joined_write(fd, key, RD_BYTES_LIT("the sealed root"), &end, NULL), 0);
    assert_int_equal(read_with(dir, key, &sealed, &told, &is_there), RD_OK);
    assert_true(is_there);
    assert_true(rd_bytes_equal(rd_buf_bytes(&sealed), RD_BYTES_LIT("the sealed root")));
    assert_int_equal(told.record_number, 17);
    assert_memory_equal(told.record, end.record, sizeof end.record);
    assert_int_equal(read_with(dir, other_key, &sealed, &told, &is_there), RD_E_KMS_STATE);
    assert_int_equal(sealed.size, 0);

    /* A host that writes what looks whole: another root, another end, no end. */
    assert_int_equal(kms_store_read(dir, KMS_FILE_JOINED, KMS_ROOT_FILE_MAX, &file, &is_there, NULL), 0);
    size_t size = file.size - RD_SHA256_SIZE;
    for (size_t at = 0; at < size; at++) {
        file.data[at] ^= 1;
        assert_int_equal(kms_store_write_joined(fd, rd_bytes_of(file.data, size), NULL), 0);
        assert_int_equal(read_with(dir, key, &sealed, &told, &is_there), RD_E_KMS_STATE);
        file.data[at] ^= 1;
    }
    (void)close(fd);
    assert_int_equal(kms_store_open_joined(dir, &fd, NULL), 0); /* emptied */
    assert_int_equal(kms_store_write_joined(fd, RD_BYTES_LIT("the sealed root"), NULL), 0);
    assert_int_equal(read_with(dir, key, &sealed, &told, &is_there), RD_E_KMS_STATE);
    (void)close(fd);
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf %s", dir);
    (void)!system(command);
}

static bool is_taken(const char *dir, const char *root, uint64_t record_number)
{
    bool taken = !record_number;
    assert_int_equal(kms_joined_is_taken(dir, rd_bytes_str(root), &end, record_number, &taken, NULL), 0);
    return taken;
}

/* A root that a power failure brought back after it was taken sets no chain back: it is known by its bytes and by where
 * the chain has got to, and only goes. */
static void test_taken_once(void **state RD_UNUSED)
{
    char dir[] = "/tmp/redoubt-joined-XXXXXX";
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf file = { 0 };
    kms_told_record told;
    rd_err err = RD_ERR_INIT;
    bool is_there = false;
    int fd = -1;
    assert_non_null(mkdtemp(dir));
    assert_false(is_taken(dir, "the root", 17)); /* there is none */
    assert_int_equal(kms_store_write(dir, KMS_FILE_ROOT, 0600, RD_BYTES_LIT("an older root"), NULL), 0);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(kms_store_open_joined(dir, &fd, NULL), 0);
        assert_int_equal(kms_joined_write(fd, key, RD_BYTES_LIT("the root"), &end, NULL), 0);
        (void)close(fd);
        assert_int_equal(read_with(dir, key, &sealed, &told, &is_there), RD_OK);
        assert_true(is_there);
        assert_int_equal(is_taken(dir, "the root", 17), round == 1);
        assert_int_equal(is_taken(dir, "the root", 18), round == 1);
        assert_false(is_taken(dir, "the root", 16)); /* a state from before */
        if (round == 0)
            assert_int_equal(kms_store_adopt_joined(dir, rd_buf_bytes(&sealed), NULL), 0);
        else
            assert_int_equal(kms_store_drop_joined(dir, NULL), 0);
        assert_int_equal(read_with(dir, key, &sealed, &told, &is_there), RD_OK);
        assert_false(is_there);
        rd_buf_clear(&file);
        assert_int_equal(kms_store_read(dir, KMS_FILE_ROOT, KMS_ROOT_FILE_MAX, &file, &is_there, NULL), 0);
        assert_true(rd_bytes_equal(rd_buf_bytes(&file), RD_BYTES_LIT("the root")));
    }
    assert_int_equal(kms_store_drop_joined(dir, &err), -1);
    assert_int_equal(err.code, RD_E_IO);
    RD_CLEANUP(rd_free_p) char *command = rd_asprintf("rm -rf %s", dir);
    (void)!system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_root_and_end), cmocka_unit_test(test_taken_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
