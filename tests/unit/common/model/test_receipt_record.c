/* Records of receipts: what is kept of plain and of sealed answers, and everything that is refused in one. */
#include "common/model/receipt_record.h"

#include "tests/unit/common/model/samples.h"

typedef struct kept {
    rd_signing_key *key;
    rd_receipt_signer *signer;
    rd_buf headers[RD_TREE_LEAVES_MAX];
} kept;

static void kept_init(kept *made)
{
    *made = (kept){ .key = sample_key(9) };
    made->signer = rd_receipt_signer_new(made->key);
}

static void kept_done(kept *made)
{
    (void)rd_receipt_signer_free(made->signer);
    (void)rd_signing_key_free(made->key);
    for (size_t i = 0; i < RD_TREE_LEAVES_MAX; i++)
        rd_buf_done(&made->headers[i]);
}

/* A burst in which every other answer is sealed. */
static void make(kept *made, size_t count, rd_buf *record)
{
    rd_receipt_claims claims[RD_TREE_LEAVES_MAX];
    rd_buf *out[RD_TREE_LEAVES_MAX];
    bool is_sealed[RD_TREE_LEAVES_MAX];
    for (size_t i = 0; i < count; i++) {
        claims[i] = sample_claims();
        claims[i].status = i % 2 ? 418 : 200;
        is_sealed[i] = i % 2;
        rd_buf_clear(&made->headers[i]);
        out[i] = &made->headers[i];
    }
    assert_int_equal(rd_receipt_sign_burst(made->signer, claims, count, out, NULL), 0);
    assert_true(rd_receipt_signer_record(made->signer, is_sealed, record));
}

static void read_receipt(const kept *made, size_t index, rd_receipt *ret)
{
    rd_err err = RD_ERR_INIT;
    if (rd_receipt_parse_header((const char *)made->headers[index].data, made->headers[index].size, ret, &err) < 0)
        fail_msg("%s", err.text);
}

static void test_bursts(void **state RD_UNUSED)
{
    RD_CLEANUP(kept_done) kept made;
    kept_init(&made);
    rd_digest prev = { { 0 } };
    uint64_t next = 1;
    for (size_t count = 1; count <= 16; count++) {
        RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
        rd_receipt_record record;
        rd_err err = RD_ERR_INIT;
        make(&made, count, &bytes);
        if (rd_receipt_record_parse(rd_buf_bytes(&bytes), &record, &err) < 0 ||
            rd_receipt_record_verify(&record, rd_signing_key_public(made.key), &err) < 0)
            fail_msg("%zu: %s", count, err.text);
        assert_int_equal(record.root.first, next);
        assert_int_equal(record.root.count, count);
        assert_int_equal(record.root.has_prev, next > 1);
        if (next > 1)
            assert_true(rd_digest_equal(&record.root.prev, &prev));
        rd_receipt_root_chain(record.payload, &prev);
        next += count;
        for (size_t i = 0; i < count; i++) {
            RD_CLEANUP(rd_receipt_done) rd_receipt receipt = { .index = 0 };
            rd_digest leaf;
            read_receipt(&made, i, &receipt);
            rd_tree_leaf(rd_buf_bytes(&receipt.claims_bytes), &leaf);
            assert_true(rd_digest_equal(&leaf, &record.leaves[i].digest)); /* whoever has the receipt finds it */
            assert_int_equal(record.leaves[i].claims.size == 0, i % 2);
        }
    }
}

/* Neither status nor commitments of a sealed answer stand in what is kept. */
static void test_sealed_says_nothing(void **state RD_UNUSED)
{
    RD_CLEANUP(kept_done) kept made;
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    kept_init(&made);
    make(&made, 2, &bytes);
    assert_non_null(memmem(bytes.data, bytes.size, "\"status\":200", 12));
    assert_null(memmem(bytes.data, bytes.size, "418", 3));
    RD_CLEANUP(rd_receipt_done) rd_receipt receipt = { .index = 0 };
    read_receipt(&made, 1, &receipt);
    assert_int_equal(receipt.claims.status, 418);
    rd_receipt_record record;
    assert_int_equal(rd_receipt_record_parse(rd_buf_bytes(&bytes), &record, NULL), 0);
    assert_int_equal(record.leaves[1].claims.size, 0);
}

/* A record with any one byte changed does not parse, or does not verify. */
static void test_every_byte_counts(void **state RD_UNUSED)
{
    RD_CLEANUP(kept_done) kept made;
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    kept_init(&made);
    make(&made, 3, &bytes);
    rd_receipt_record record;
    for (size_t i = 0; i < bytes.size; i++) {
        rd_err err = RD_ERR_INIT;
        bytes.data[i] ^= 1;
        bool is_taken = rd_receipt_record_parse(rd_buf_bytes(&bytes), &record, &err) == 0 &&
                        rd_receipt_record_verify(&record, rd_signing_key_public(made.key), &err) == 0;
        bytes.data[i] ^= 1;
        if (is_taken || err.code == RD_OK)
            fail_msg("byte %zu may be changed", i);
    }
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(rd_receipt_record_parse(rd_bytes_of(bytes.data, size), &record, NULL), -1);
    assert_true(rd_buf_append_u8(&bytes, 0));
    assert_int_equal(rd_receipt_record_parse(rd_buf_bytes(&bytes), &record, NULL), -1);
}

static void test_other_key(void **state RD_UNUSED)
{
    RD_CLEANUP(kept_done) kept made;
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    kept_init(&made);
    make(&made, 1, &bytes);
    rd_signing_key *other = sample_key(10);
    rd_receipt_record record;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_receipt_record_parse(rd_buf_bytes(&bytes), &record, &err), 0);
    assert_int_equal(rd_receipt_record_verify(&record, rd_signing_key_public(other), &err), -1);
    assert_int_equal(err.code, RD_E_RECEIPT_CLAIMS);
    (void)rd_signing_key_free(other);
}

static void test_bounds(void **state RD_UNUSED)
{
    RD_CLEANUP(kept_done) kept made;
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    kept_init(&made);
    const bool none[1] = { false };
    assert_false(rd_receipt_signer_record(made.signer, none, &bytes)); /* nothing was signed yet */
    rd_receipt_record record;
    RD_CLEANUP(rd_free_p) uint8_t *large = rd_alloc(RD_RECEIPT_RECORD_SIZE_MAX + 1);
    large[0] = 1;
    assert_int_equal(rd_receipt_record_parse(rd_bytes_of(large, RD_RECEIPT_RECORD_SIZE_MAX + 1), &record, NULL), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bursts),
        cmocka_unit_test(test_sealed_says_nothing),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_other_key),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests_name("receipt_record", tests, NULL, NULL);
}
