/* Records on their way to the plane: in order, told again until they are acknowledged, and bounded. */
#include "agent/receipts.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define INSTANCE "ins_aaaaaaaaaaaaaaaaaaaaaaaaaa"

static void test_order(void **state RD_UNUSED)
{
    agent_receipts *receipts = agent_receipts_new(1 << 20);
    uint64_t number = 0;
    assert_int_equal(agent_receipts_after(receipts, &number).size, 0);
    for (int i = 0; i < 3; i++)
        agent_receipts_add(receipts, INSTANCE, 7, RD_BYTES_LIT("\x01\x02\x03"));
    rd_bytes line = agent_receipts_after(receipts, &number);
    static const char wanted[] = "{\"epoch\":7,\"instance\":\"" INSTANCE "\",\"n\":1} AQID\n";
    assert_true(rd_bytes_equal(line, rd_bytes_str(wanted)));
    for (uint64_t i = 2; i <= 3; i++) {
        assert_true(agent_receipts_after(receipts, &number).size > 0);
        assert_int_equal(number, i);
    }
    assert_int_equal(agent_receipts_after(receipts, &number).size, 0);
    assert_int_equal(number, 3);
    agent_receipts_forget(receipts, 2);
    number = 0; /* a new link begins with what is not acknowledged */
    assert_true(agent_receipts_after(receipts, &number).size > 0);
    assert_int_equal(number, 3);
    agent_receipts_forget(receipts, 99);
    number = 0;
    assert_int_equal(agent_receipts_after(receipts, &number).size, 0);
    agent_receipts_free(receipts);
}

/* Two readers, as while an old link is not gone yet. */
static void test_two_readers(void **state RD_UNUSED)
{
    agent_receipts *receipts = agent_receipts_new(1 << 20);
    uint64_t one = 0, other = 0;
    for (int i = 0; i < 10; i++)
        agent_receipts_add(receipts, INSTANCE, 1, RD_BYTES_LIT("x"));
    for (uint64_t i = 1; i <= 10; i++) {
        assert_true(agent_receipts_after(receipts, &one).size > 0);
        assert_int_equal(one, i);
        if (i % 2 == 0) {
            assert_true(agent_receipts_after(receipts, &other).size > 0);
            assert_int_equal(other, i / 2);
        }
    }
    agent_receipts_free(receipts);
}

static void test_bound(void **state RD_UNUSED)
{
    agent_receipts *receipts = agent_receipts_new(1000);
    uint64_t number = 0;
    for (int i = 0; i < 100; i++)
        agent_receipts_add(receipts, INSTANCE, 1, RD_BYTES_LIT("record"));
    uint64_t lost = agent_receipts_lost(receipts);
    assert_true(lost > 80 && lost < 100);
    assert_true(agent_receipts_after(receipts, &number).size > 0);
    assert_int_equal(number, lost + 1); /* the oldest went */
    agent_receipts_free(receipts);
}

int main(void)
{
    rd_log_init("test", RD_ERROR, open("/dev/null", O_WRONLY | O_CLOEXEC));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_two_readers),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests_name("agent_receipts", tests, NULL, NULL);
}
