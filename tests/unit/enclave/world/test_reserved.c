#include "enclave/world/reserved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void names(void **state)
{
    (void)state;
    assert_true(encl_http_is_reserved(RD_BYTES_LIT("Redoubt-Receipt")));
    assert_true(encl_http_is_reserved(RD_BYTES_LIT("content-LENGTH")));
    assert_true(encl_http_is_reserved(RD_BYTES_LIT("Transfer-Encoding")));
    assert_false(encl_http_is_reserved(RD_BYTES_LIT("Content-Type")));
    assert_false(encl_http_is_reserved(RD_BYTES_LIT("Redoubt")));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(names) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
