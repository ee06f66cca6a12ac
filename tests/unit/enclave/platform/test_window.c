/* The window in which askers gather for one quote: when it is made, and how many have room (R48). */
#include "enclave/platform/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/mem.h"

static const uint8_t nonce[32] = { 3 };

static void test_the_first_is_quoted_at_once(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) encl_window *window = rd_alloc(sizeof *window);
    int asker;
    assert_int_equal(encl_window_wait_us(window, 5), -1);
    assert_true(encl_window_add(window, nonce, &asker, 5));
    assert_int_equal(encl_window_wait_us(window, 5), 0);
    assert_false(encl_window_is_late(window, 5));
    assert_ptr_equal(window->askers[0], &asker);
    assert_memory_equal(window->nonces[0], nonce, sizeof nonce);
    encl_window_end(window, 9);
    assert_int_equal(encl_window_wait_us(window, 9), -1);
}

static void test_others_wait_for_the_next(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) encl_window *window = rd_alloc(sizeof *window);
    encl_window_end(window, 1000);
    assert_true(encl_window_add(window, nonce, NULL, 1000));
    assert_int_equal(encl_window_wait_us(window, 1000), ENCL_WINDOW_US);
    assert_int_equal(encl_window_wait_us(window, 1000 + ENCL_WINDOW_US - 1), 1);
    assert_true(encl_window_add(window, nonce, NULL, 1000 + ENCL_WINDOW_US - 1));
    assert_int_equal(encl_window_wait_us(window, 1000 + ENCL_WINDOW_US), 0);
    assert_true(encl_window_is_late(window, 1000 + ENCL_WINDOW_US));
    assert_int_equal(window->count, 2);
}

/* Whoever comes to a window that is over is not late yet. */
static void test_late_is_a_whole_window(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) encl_window *window = rd_alloc(sizeof *window);
    int64_t come = 50 * ENCL_WINDOW_US;
    encl_window_end(window, 0);
    assert_false(encl_window_is_late(window, come));
    assert_true(encl_window_add(window, nonce, NULL, come));
    assert_true(encl_window_add(window, nonce, NULL, come + ENCL_WINDOW_US - 1));
    assert_false(encl_window_is_late(window, come + ENCL_WINDOW_US - 1));
    assert_true(encl_window_is_late(window, come + ENCL_WINDOW_US));
}

static void test_there_is_a_bound(void **state RD_UNUSED)
{
    RD_CLEANUP(rd_free_p) encl_window *window = rd_alloc(sizeof *window);
    for (size_t i = 0; i < ENCL_WINDOW_MAX; i++)
        assert_true(encl_window_add(window, nonce, NULL, 0));
    assert_false(encl_window_add(window, nonce, NULL, 0));
    assert_int_equal(window->count, ENCL_WINDOW_MAX);
    encl_window_end(window, 0);
    assert_true(encl_window_add(window, nonce, NULL, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_is_quoted_at_once),
        cmocka_unit_test(test_others_wait_for_the_next),
        cmocka_unit_test(test_late_is_a_whole_window),
        cmocka_unit_test(test_there_is_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
