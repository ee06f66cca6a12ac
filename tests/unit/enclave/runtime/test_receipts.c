/* Receipts of an instance: bursts, the chain between them, salts given and drawn, and what they say of the evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/runtime/receipts.h"
#include "tests/support/fake_enclave.h"

typedef struct fixture {
    fake_enclave e;
    encl_receipts *receipts;
    rd_buf statement; /* status */
} fixture;

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof(*f));
    rd_err err = RD_ERR_INIT;
    uint8_t nonce[RD_NONCE_SIZE] = { 5 };
    fake_enclave_open(&f->e);
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    if (encl_identity_status_evidence(f->e.identity, nonce, &bundle, &err) < 0)
        fail_msg("%s", err.text);
    rd_evidence evidence = { 0 };
    assert_int_equal(rd_evidence_parse(rd_buf_bytes(&bundle), &evidence, &err), 0);
    rd_buf_append_bytes(&f->statement, rd_buf_bytes(&evidence.statement_bytes));
    rd_evidence_done(&evidence);
    f->receipts = encl_receipts_new(f->e.identity, f->e.platform, &f->e.app);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    encl_receipts_free(f->receipts);
    fake_enclave_close(&f->e);
    rd_buf_done(&f->statement);
    free(f);
    return 0;
}

static const rd_exchange exchange = { .method = { (const uint8_t *)"GET", 3 },
                                      .target = { (const uint8_t *)"/", 1 },
                                      .status = 200,
                                      .response_body = { (const uint8_t *)"answer", 6 } };

static void open_receipt(const rd_buf *text, rd_receipt *ret)
{
    rd_err err = RD_ERR_INIT;
    memset(ret, 0, sizeof(*ret));
    if (rd_receipt_parse_header((const char *)text->data, text->size, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_chain(void **state)
{
    fixture *f = *state;
    static const size_t bursts[] = { 1, 3, ENCL_BURST_MAX, 1 };
    uint64_t seq = 1;
    rd_digest previous = { { 0 } };
    rd_bytes statement = rd_buf_bytes(&f->statement);
    for (size_t b = 0; b < RD_ARRAY_LEN(bursts); b++) {
        rd_buf out[ENCL_BURST_MAX] = { { 0 } };
        encl_receipt_wish wish = { .has_salt = true,
                                   .salt = { 9 },
                                   .has_nonce = true,
                                   .nonce = { 8 },
                                   .egress_asked = UINT32_MAX,
                                   .egress_failed = UINT32_MAX };
        rd_err err = RD_ERR_INIT;
        for (size_t i = 0; i < bursts[b]; i++)
            assert_true(encl_receipts_add(f->receipts, &wish, &exchange, &out[i]));
        if (bursts[b] == ENCL_BURST_MAX)
            assert_false(encl_receipts_add(f->receipts, &wish, &exchange, &out[0]));
        assert_int_equal(encl_receipts_sign(f->receipts, &err), 0);
        assert_int_equal(encl_receipts_waiting(f->receipts), 0);
        RD_CLEANUP(rd_buf_done) rd_buf record = { 0 };
        assert_true(encl_receipts_record(f->receipts, &record)); /* the fullest burst too has room in one */
        for (size_t i = 0; i < bursts[b]; i++) {
            rd_receipt receipt;
            open_receipt(&out[i], &receipt);
            const rd_receipt_expect expect = {
                .statement = &statement, .nonce = wish.nonce, .salt = wish.salt, .exchange = &exchange
            };
            if (rd_receipt_verify(&receipt, &expect, NULL, &err) < 0)
                fail_msg("burst %zu, answer %zu: %s", b, i, err.text);
            assert_int_equal(receipt.claims.seq, seq++);
            assert_int_equal(receipt.root.has_prev, b > 0);
            if (b > 0)
                assert_true(rd_digest_equal(&receipt.root.prev, &previous));
            if (i + 1 == bursts[b])
                rd_receipt_root_chain(rd_buf_bytes(&receipt.payload), &previous);
            rd_receipt_done(&receipt);
            rd_buf_done(&out[i]);
        }
    }
}

static void test_other_answer(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    encl_receipt_wish wish = { .has_salt = false };
    assert_int_equal(encl_receipts_salt(f->receipts, &wish, &err), 0);
    assert_true(encl_receipts_add(f->receipts, &wish, &exchange, &out));
    assert_int_equal(encl_receipts_sign(f->receipts, &err), 0);
    rd_bytes statement = rd_buf_bytes(&f->statement);
    rd_exchange other = exchange;
    other.response_body = RD_BYTES_LIT("Answer");
    rd_receipt receipt;
    open_receipt(&out, &receipt);
    rd_receipt_expect expect = { .statement = &statement, .salt = wish.salt, .exchange = &exchange };
    assert_int_equal(rd_receipt_verify(&receipt, &expect, NULL, &err), 0);
    expect.exchange = &other;
    assert_int_equal(rd_receipt_verify(&receipt, &expect, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_RECEIPT_COMMITMENT);
    /* Without the salt an answer cannot be guessed: another one fits nothing. */
    const uint8_t wrong[RD_SALT_SIZE] = { 1 };
    expect.exchange = &exchange;
    expect.salt = wrong;
    assert_int_equal(rd_receipt_verify(&receipt, &expect, NULL, &err), -1);
    rd_receipt_done(&receipt);
}

static int compare_salts(const void *a, const void *b)
{
    return memcmp(a, b, RD_SALT_SIZE);
}

/* They are drawn many at once, and none is handed out twice; one that the caller sent stays. */
static void test_salts(void **state)
{
    static uint8_t salts[200][RD_SALT_SIZE];
    static const uint8_t zeros[8] = { 0 };
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    for (size_t i = 0; i < RD_ARRAY_LEN(salts); i++) {
        encl_receipt_wish wish = { .has_salt = false }, sent = { .has_salt = true, .salt = { 9 } };
        assert_int_equal(encl_receipts_salt(f->receipts, &wish, &err), 0);
        assert_int_equal(encl_receipts_salt(f->receipts, &sent, &err), 0);
        assert_int_equal(sent.salt[0], 9);
        for (size_t at = 0; at < RD_SALT_SIZE; at += sizeof zeros)
            assert_true(memcmp(wish.salt + at, zeros, sizeof zeros) != 0);
        memcpy(salts[i], wish.salt, RD_SALT_SIZE);
    }
    qsort(salts, RD_ARRAY_LEN(salts), RD_SALT_SIZE, compare_salts);
    for (size_t i = 1; i < RD_ARRAY_LEN(salts); i++)
        assert_true(compare_salts(salts[i - 1], salts[i]) != 0);
}

/* What the plane may keep: the claims of a plain answer, and of a sealed one its leaf alone. */
static void test_record(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    rd_buf out[2] = { { 0 } };
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    assert_false(encl_receipts_record(f->receipts, &bytes));
    for (size_t i = 0; i < 2; i++) {
        const encl_receipt_wish wish = { .has_salt = true, .salt = { 9 }, .is_sealed = i == 1 };
        assert_true(encl_receipts_add(f->receipts, &wish, &exchange, &out[i]));
    }
    assert_int_equal(encl_receipts_sign(f->receipts, &err), 0);
    assert_true(encl_receipts_record(f->receipts, &bytes));
    rd_receipt_record record;
    const rd_signing_key *key = encl_identity_receipt_key(f->e.identity);
    assert_int_equal(rd_receipt_record_parse(rd_buf_bytes(&bytes), &record, &err), 0);
    assert_int_equal(rd_receipt_record_verify(&record, rd_signing_key_public(key), &err), 0);
    assert_int_equal(record.root.count, 2);
    assert_true(record.leaves[0].claims.size > 0);
    assert_int_equal(record.leaves[1].claims.size, 0);
    rd_buf_done(&out[0]);
    rd_buf_done(&out[1]);
}

/* Renewed evidence does not change what receipts name, and other purposes are refused. */
static void test_identity(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    rd_digest before = *encl_identity_status(f->e.identity);
    rd_digest of_statement;
    rd_statement_digest(rd_buf_bytes(&f->statement), &of_statement);
    assert_true(rd_digest_equal(&before, &of_statement));
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    const uint8_t nonce[RD_NONCE_SIZE] = { 6 };
    assert_int_equal(encl_identity_status_evidence(f->e.identity, nonce, &bundle, &err), 0);
    assert_true(rd_digest_equal(&before, encl_identity_status(f->e.identity)));
    const uint8_t header[RD_LAUNCH_HEADER_SIZE] = { 1 };
    assert_int_equal(encl_identity_measure(f->e.platform, header, &err), -1);
    assert_int_equal(err.code, RD_E_TEE_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_chain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_salts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_identity, setup, teardown),
    };
    return cmocka_run_group_tests_name("receipts", tests, NULL, NULL);
}
