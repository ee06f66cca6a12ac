/* R53: log lines that only the holder of the log key reads, each in its place. */
#include "common/model/log_seal.h"

#include "tests/unit/common/model/samples.h"

typedef struct fixture {
    rd_secret *key;
    uint8_t public_key[RD_X25519_SIZE];
    rd_log_origin origin;
    rd_log_sealer sealer;
} fixture;

static fixture fresh(void)
{
    fixture f = { .key = rd_secret_random(RD_X25519_SIZE),
                  .origin = { .app = sample_app(), .instance = { { 1, 2, 3 } }, .epoch = 7 } };
    rd_x25519_public(f.key, f.public_key);
    assert_int_equal(rd_log_sealer_init(&f.sealer, f.public_key, &f.origin, rd_random_system(), NULL), 0);
    return f;
}

static void fixture_done(fixture *f)
{
    f->key = rd_secret_free(f->key);
    rd_log_sealer_done(&f->sealer);
}

static void seal(fixture *f, rd_line_level level, rd_bytes text, rd_buf *out)
{
    assert_int_equal(rd_log_seal(&f->sealer, level, text, out, NULL), 0);
}

static rd_code open_as(const fixture *f, const rd_secret *key, const rd_log_origin *origin, rd_bytes record)
{
    rd_log_line line;
    rd_err err = RD_ERR_INIT;
    (void)f;
    int outcome = rd_log_open(key, origin, record, &line, &err);
    assert_true(outcome == 0 || line.text.size == 0);
    rd_log_line_done(&line);
    return err.code;
}

static void test_lines_open_in_any_order(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    static const size_t sizes[] = { 0, 1, 250, 251, 252, 507, RD_LOG_TEXT_MAX, RD_LOG_TEXT_MAX + 100 };
    uint8_t text[RD_LOG_TEXT_MAX + 100];
    rd_buf records[RD_ARRAY_LEN(sizes)] = { { 0 } };
    memset(text, 0xc3, sizeof text);
    for (size_t i = 0; i < RD_ARRAY_LEN(sizes); i++) {
        seal(&f, (rd_line_level)(i % 4), rd_bytes_of(text, sizes[i]), &records[i]);
        assert_int_equal((records[i].size - RD_X25519_SIZE - 8 - 16) % RD_LOG_STEP, 0);
        assert_true(records[i].size <= RD_LOG_SEALED_MAX);
    }
    for (size_t i = RD_ARRAY_LEN(sizes); i-- > 0;) {
        rd_log_line line;
        assert_int_equal(rd_log_open(f.key, &f.origin, rd_buf_bytes(&records[i]), &line, NULL), 0);
        assert_int_equal(line.number, i);
        assert_int_equal(line.level, i % 4);
        assert_int_equal(line.text.size, RD_MIN(sizes[i], (size_t)RD_LOG_TEXT_MAX));
        assert_memory_equal(line.enc, f.sealer.enc, RD_X25519_SIZE);
        rd_log_line_done(&line);
        rd_buf_done(&records[i]);
    }
}

static void test_another_place_or_key(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_secret_free_p) rd_secret *other_key = rd_secret_random(RD_X25519_SIZE);
    RD_CLEANUP(rd_buf_done) rd_buf record = { 0 };
    seal(&f, RD_LINE_INFO, RD_BYTES_LIT("a line"), &record);
    rd_log_origin other_app = f.origin, other_instance = f.origin, other_epoch = f.origin;
    other_app.app.b[0] ^= 1;
    other_instance.instance.b[0] ^= 1;
    other_epoch.epoch++;
    assert_int_equal(open_as(&f, f.key, &f.origin, rd_buf_bytes(&record)), RD_OK);
    assert_int_equal(open_as(&f, other_key, &f.origin, rd_buf_bytes(&record)), RD_E_SEAL_CONTEXT);
    assert_int_equal(open_as(&f, f.key, &other_app, rd_buf_bytes(&record)), RD_E_SEAL_CONTEXT);
    assert_int_equal(open_as(&f, f.key, &other_instance, rd_buf_bytes(&record)), RD_E_SEAL_CONTEXT);
    assert_int_equal(open_as(&f, f.key, &other_epoch, rd_buf_bytes(&record)), RD_E_SEAL_CONTEXT);
}

/* Every byte counts, the number among them: a line cannot be given another place. */
static void test_flipped_and_cut(void **state RD_UNUSED)
{
    RD_CLEANUP(fixture_done) fixture f = fresh();
    RD_CLEANUP(rd_buf_done) rd_buf record = { 0 };
    seal(&f, RD_LINE_WARN, RD_BYTES_LIT("a line"), &record);
    for (size_t i = 0; i < record.size; i++) {
        record.data[i] ^= 1;
        rd_code code = open_as(&f, f.key, &f.origin, rd_buf_bytes(&record));
        record.data[i] ^= 1;
        assert_int_equal(code, RD_E_SEAL_CONTEXT);
    }
    record.data[RD_X25519_SIZE] |= 0x80;
    assert_int_equal(open_as(&f, f.key, &f.origin, rd_buf_bytes(&record)), RD_E_SEAL_FORMAT);
    record.data[RD_X25519_SIZE] &= 0x7f;
    for (size_t size = 0; size < record.size; size++)
        assert_int_equal(open_as(&f, f.key, &f.origin, rd_bytes_of(record.data, size)), RD_E_SEAL_FORMAT);
    memset(record.data, 0, RD_X25519_SIZE); /* of small order */
    assert_int_equal(open_as(&f, f.key, &f.origin, rd_buf_bytes(&record)), RD_E_SEAL_CONTEXT);
}

/* What somebody with the public key may write: sealed well, padded otherwise. */
static void test_forms_that_no_sealer_writes(void **state RD_UNUSED)
{
    static const struct {
        uint8_t level;
        uint32_t size;
        uint8_t last;
    } rows[] = { { 4, 3, 0 }, { 1, RD_LOG_STEP - 4, 0 }, { 1, UINT32_MAX, 0 }, { 1, 3, 1 } };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(fixture_done) fixture f = fresh();
        RD_CLEANUP(rd_buf_done) rd_buf plain = { 0 }, record = { 0 }, aad = { 0 }, number = { 0 };
        rd_buf_append_u8(&plain, rows[i].level);
        rd_buf_append_u32be(&plain, rows[i].size);
        while (plain.size < RD_LOG_STEP)
            rd_buf_append_u8(&plain, 0);
        plain.data[RD_LOG_STEP - 1] = rows[i].last;
        rd_buf_append_u64be(&number, 0);
        const rd_bytes part = rd_buf_bytes(&number);
        assert_true(rd_frame_aad(&aad, RD_AAD_LOG_LINE, &part, 1));
        rd_buf_append(&record, f.sealer.enc, RD_X25519_SIZE);
        rd_buf_append_u64be(&record, 0);
        assert_int_equal(rd_hpke_seal(&f.sealer.hpke, rd_buf_bytes(&aad), rd_buf_bytes(&plain), &record, NULL), 0);
        assert_int_equal(open_as(&f, f.key, &f.origin, rd_buf_bytes(&record)), RD_E_SEAL_FORMAT);
    }
}

static void test_log_key_of_small_order(void **state RD_UNUSED)
{
    static const uint8_t zero[RD_X25519_SIZE];
    const rd_log_origin origin = { .app = sample_app() };
    rd_log_sealer sealer;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_log_sealer_init(&sealer, zero, &origin, rd_random_system(), &err), -1);
    assert_int_equal(err.code, RD_E_KEY_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_open_in_any_order), cmocka_unit_test(test_another_place_or_key),
        cmocka_unit_test(test_flipped_and_cut),         cmocka_unit_test(test_forms_that_no_sealer_writes),
        cmocka_unit_test(test_log_key_of_small_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
