// link: test_evidence
/* A quote cut at every offset, and with every byte changed: never genuine with another meaning, never a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/evidence_builder.h"

static void cut_everywhere(void **state)
{
    ev_builder *b = *state;
    rd_verdict verdict;
    for (size_t size = 0; size < b->quote.size; size++) {
        /* In memory of its own, so that a read past the end is seen. */
        uint8_t *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, b->quote.data, size);
        rd_code code = ev_verify(b, rd_bytes_of(copy, size), &verdict);
        free(copy);
        if (code != RD_E_QUOTE_TRUNCATED)
            print_message("A2 cut at %zu: %s\n", size, rd_code_describe(code)->name);
        assert_int_equal(code, RD_E_QUOTE_TRUNCATED);
    }
}

/* Changes inside the PEM text may leave the same certificates (white space): then the meaning is the same too. */
static void flip_everywhere(void **state)
{
    ev_builder *b = *state;
    rd_verdict good, verdict;
    assert_int_equal(ev_verify(b, rd_buf_bytes(&b->quote), &good), RD_OK);
    RD_CLEANUP(rd_buf_done) rd_buf copy = { 0 };
    rd_buf_append_bytes(&copy, rd_buf_bytes(&b->quote));
    size_t pem = b->quote.size - b->qe.pck_chain.size, accepted = 0;
    for (size_t i = 0; i < copy.size; i++) {
        copy.data[i] ^= (uint8_t)(1u << i % 8);
        rd_code code = ev_verify(b, rd_buf_bytes(&copy), &verdict);
        copy.data[i] = b->quote.data[i];
        if (code != RD_OK)
            continue;
        if (i < pem)
            print_message("byte %zu changed and still genuine\n", i);
        assert_true(i >= pem);
        assert_memory_equal(&verdict.claims, &good.claims, sizeof good.claims);
        accepted++;
    }
    print_message("%zu of %zu flips left the same certificates\n", accepted, copy.size);
}

static int setup(void **state)
{
    static ev_builder b;
    ev_build(&b, EV_NONE, NULL);
    *state = &b;
    return 0;
}

static int teardown(void **state)
{
    ev_done(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(cut_everywhere), cmocka_unit_test(flip_everywhere) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
