#include "common/base/mem.h"
#include "common/base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static rd_bytes key_of(uint32_t *number)
{
    return rd_bytes_of(number, sizeof *number);
}

static void test_against_a_plain_array(void **state RD_UNUSED)
{
    enum { KEYS = 500 };
    static int values[KEYS];
    bool is_in[KEYS] = { false };
    size_t count = 0;
    uint32_t random = 12345;
    RD_CLEANUP(rd_table_free_p) rd_table *table = rd_table_new(0);
    for (int step = 0; step < 40000; step++) {
        random = random * 1664525 + 1013904223;
        uint32_t key = (random >> 8) % KEYS;
        if (random >> 31) {
            void *old = NULL;
            assert_true(rd_table_set(table, key_of(&key), &values[key], &old));
            assert_ptr_equal(old, is_in[key] ? &values[key] : NULL);
            count += !is_in[key];
            is_in[key] = true;
        } else {
            assert_ptr_equal(rd_table_remove(table, key_of(&key)), is_in[key] ? &values[key] : NULL);
            count -= is_in[key];
            is_in[key] = false;
        }
        assert_int_equal(rd_table_count(table), count);
    }
    for (uint32_t key = 0; key < KEYS; key++)
        assert_ptr_equal(rd_table_get(table, key_of(&key)), is_in[key] ? &values[key] : NULL);
}

static void test_visiting_and_removing(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_table_free_p) rd_table *table = rd_table_new(0);
    static int values[100];
    for (uint32_t key = 0; key < 100; key++)
        assert_true(rd_table_set(table, key_of(&key), &values[key], NULL));
    size_t iterator = 0;
    rd_bytes key;
    void *value;
    size_t seen = 0;
    while (rd_table_next(table, &iterator, &key, &value)) {
        uint32_t number;
        assert_int_equal(key.size, sizeof number);
        memcpy(&number, key.data, sizeof number);
        assert_ptr_equal(value, &values[number]);
        seen++;
        assert_ptr_equal(rd_table_remove(table, key_of(&number)), value);
    }
    assert_int_equal(seen, 100);
    assert_int_equal(rd_table_count(table), 0);
}

static void test_bounds(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_table_free_p) rd_table *table = rd_table_new(2);
    int value = 0;
    uint8_t long_key[RD_TABLE_KEY_MAX + 1] = { 0 };
    assert_true(rd_table_set(table, RD_BYTES_NULL, &value, NULL)); /* the empty key is a key */
    assert_true(rd_table_set(table, rd_bytes_of(long_key, RD_TABLE_KEY_MAX), &value, NULL));
    assert_false(rd_table_set(table, RD_BYTES_LIT("third"), &value, NULL));
    assert_true(rd_table_set(table, RD_BYTES_NULL, &value, NULL)); /* replacing is no growth */
    assert_false(rd_table_set(table, RD_BYTES_ARRAY(long_key), &value, NULL));
    assert_null(rd_table_get(table, RD_BYTES_ARRAY(long_key)));
    assert_null(rd_table_remove(table, RD_BYTES_ARRAY(long_key)));
    assert_ptr_equal(rd_table_get(table, RD_BYTES_NULL), &value);
    rd_table_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_plain_array),
        cmocka_unit_test(test_visiting_and_removing),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
