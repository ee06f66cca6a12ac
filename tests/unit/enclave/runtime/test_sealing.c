/* The seal of one exchange: what a caller opens of an answer in chunks, what the relay sees of it, and requests of
 * several chunks. Named after the attacks that they show refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/varint.h"
#include "common/model/bhttp_stream.h"
#include "common/model/ohttp_chunks.h"
#include "common/model/padding.h"
#include "enclave/runtime/sealed.h"

static const encl_platform_ops fake_ops = { .tee = "sim", .class_ = "simulated" };

typedef struct fixture {
    encl_platform platform;
    encl_seal *seal;
    rd_ohttp client;
    rd_buf request, opened;
} fixture;

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof *f);
    rd_err err = RD_ERR_INIT;
    encl_platform_init(&f->platform, &fake_ops);
    assert_int_equal(encl_seal_new(&f->platform, rd_clock_system(), ENCL_SEAL_LIMITS, &f->seal, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    encl_seal_free(f->seal);
    rd_ohttp_done(&f->client);
    rd_buf_done(&f->request);
    rd_buf_done(&f->opened);
    free(f);
    return 0;
}

/* A request in chunks, opened. */
static encl_sealing *open_one(fixture *f)
{
    uint8_t keys[RD_OHTTP_KEYS_SIZE];
    rd_ohttp_key key;
    rd_err err = RD_ERR_INIT;
    encl_sealing *sealing = NULL;
    rd_buf_clear(&f->request);
    rd_buf_clear(&f->opened);
    assert_int_equal(encl_seal_keys(f->seal, keys, &err), 0);
    assert_int_equal(rd_ohttp_keys_read(RD_BYTES_ARRAY(keys), &key, &err), 0);
    assert_int_equal(
        rd_ohttp_seal_chunked(&key, RD_BYTES_LIT("the message"), rd_random_system(), &f->client, &f->request, &err), 0);
    assert_int_equal(encl_sealing_open(f->seal, true, rd_buf_bytes(&f->request), &sealing, &f->opened, &err), 0);
    assert_string_equal(rd_buf_text(&f->opened), "the message");
    assert_true(encl_sealing_is_chunked(sealing));
    return sealing;
}

static void begin(encl_sealing *sealing, size_t head_size)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_free_p) char *value = rd_alloc(head_size + 1);
    memset(value, 'v', head_size);
    rd_bhttp_message head = { .status = 200, .field_count = 1 };
    head.fields[0] = (rd_bhttp_field){ RD_BYTES_LIT("x"), rd_bytes_of(value, head_size) };
    assert_int_equal(encl_sealing_begin(sealing, &head, &err), 0);
}

/* What the caller has of an answer: its body and receipt. */
static void open_answer(const rd_ohttp *client, rd_bytes sealed, bool is_padded, rd_buf *ret_body, char *ret_receipt)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf content = { 0 };
    RD_CLEANUP(rd_bhttp_reader_free_p) rd_bhttp_reader *reader = rd_bhttp_reader_new(false);
    rd_ohttp_opener opener;
    rd_padding padding = { .size_count = 0 };
    rd_ohttp_opener_init(&opener, client);
    assert_int_equal(rd_ohttp_opener_feed(&opener, sealed, &message, &err), 0);
    assert_int_equal(rd_ohttp_opener_end(&opener, &message, &err), 0);
    rd_ohttp_opener_done(&opener);
    assert_int_equal(rd_bhttp_reader_feed(reader, rd_buf_bytes(&message), &content, &err), 0);
    assert_int_equal(rd_bhttp_reader_end(reader, &err), 0);
    const rd_bhttp_field *receipt = rd_bhttp_find(rd_bhttp_reader_trailers(reader), "redoubt-receipt");
    (void)snprintf(ret_receipt, 16, "%.*s", receipt ? (int)receipt->value.size : 0,
                   receipt ? (const char *)receipt->value.data : "");
    rd_buf_clear(ret_body);
    if (!is_padded) {
        (void)rd_buf_append_bytes(ret_body, rd_buf_bytes(&content));
        return;
    }
    assert_int_equal(rd_padding_read(&padding, rd_buf_bytes(&content), ret_body, &err), 0);
    assert_true(rd_padding_is_whole(&padding));
}

/* Counts the chunks whose message has no bucket's size. */
static size_t count_odd(rd_bytes sealed)
{
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(sealed.data + 16, sealed.size - 16));
    size_t odd = 0;
    for (uint64_t size = 1; size > 0;) {
        size = rd_varint_read(&cursor);
        rd_bytes chunk = size > 0 ? rd_cursor_take(&cursor, (size_t)size) : rd_cursor_rest(&cursor);
        assert_true(rd_cursor_is_ok(&cursor));
        odd += rd_bhttp_bucket(chunk.size - 16) != chunk.size - 16;
        assert_true(chunk.size - 16 <= RD_OHTTP_CHUNK_MAX);
    }
    return odd;
}

/* R65: whatever the pieces and the head, padded chunks fill buckets; a caller who did not ask for it gets what the
 * standards say. */
static void test_r65_pieces(void **state)
{
    static const size_t heads[] = { 1, 300, 20000 };
    static const size_t sizes[] = { 1, 5, 230, 231, 245, 3000, 16371, ENCL_SEALING_PIECE_MAX };
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf want = { 0 };
    uint8_t piece[ENCL_SEALING_PIECE_MAX];
    char receipt[16];
    memset(piece, 'p', sizeof piece);
    for (size_t i = 0; i < 2 * RD_ARRAY_LEN(heads); i++) {
        encl_sealing *sealing = open_one(f);
        bool is_padded = i % 2 == 1;
        if (is_padded)
            encl_sealing_pad(sealing);
        begin(sealing, heads[i / 2]);
        rd_buf_clear(&sealed);
        rd_buf_clear(&want);
        for (size_t k = 0; k < RD_ARRAY_LEN(sizes); k++) {
            bool is_last = k + 1 == RD_ARRAY_LEN(sizes);
            rd_bytes bytes = rd_bytes_of(piece, sizes[k]);
            (void)rd_buf_append_bytes(&want, bytes);
            assert_true(
                encl_sealing_add(sealing, bytes, is_last, is_last ? RD_BYTES_LIT("proof") : RD_BYTES_NULL, &sealed));
        }
        open_answer(&f->client, rd_buf_bytes(&sealed), is_padded, &body, receipt);
        assert_true(rd_bytes_equal(rd_buf_bytes(&body), rd_buf_bytes(&want)));
        assert_string_equal(receipt, "proof");
        assert_int_equal(is_padded ? 0 : 1, count_odd(rd_buf_bytes(&sealed)) > 0);
        encl_sealing_free(sealing);
    }
}

static void test_an_empty_answer_and_one_without_a_receipt(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf sealed = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    char receipt[16];
    encl_sealing *sealing = open_one(f);
    begin(sealing, 1000);
    begin(sealing, 1); /* a refusal took its place */
    assert_true(encl_sealing_add(sealing, RD_BYTES_NULL, true, RD_BYTES_NULL, &sealed));
    open_answer(&f->client, rd_buf_bytes(&sealed), false, &body, receipt);
    assert_int_equal(body.size, 0);
    assert_string_equal(receipt, "");
    assert_int_equal(sealed.size, 16 + 1 + 256 + 16);
    encl_sealing_free(sealing);
}

static void test_r29_a_captured_request_runs_once(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    encl_sealing *again = NULL;
    encl_sealing_free(open_one(f));
    for (int is_chunked = 0; is_chunked < 2; is_chunked++) {
        err = (rd_err)RD_ERR_INIT;
        assert_int_equal(encl_sealing_open(f->seal, is_chunked, rd_buf_bytes(&f->request), &again, &f->opened, &err),
                         -1);
        assert_int_equal(err.code, RD_E_SEAL);
        assert_string_equal(err.text, "the seal does not open");
        assert_string_equal(rd_buf_text(&f->opened), "the message");
    }
}

static void test_requests_of_either_length(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf opened = { 0 };
    RD_CLEANUP(encl_sealed_store_done) encl_sealed_store store = { .reader = NULL };
    rd_http_head request = { .headers_count = 0 };
    rd_bytes body;
    rd_bhttp_message head = {
        .is_request = true, .method = RD_BYTES_LIT("POST"), .scheme = RD_BYTES_LIT("https"), .path = RD_BYTES_LIT("/a")
    };
    assert_int_equal(rd_bhttp_stream_head(&head, &opened, &err), 0);
    rd_bhttp_stream_piece(RD_BYTES_LIT("one "), &opened);
    rd_bhttp_stream_piece(RD_BYTES_LIT("two"), &opened);
    rd_bhttp_stream_end(NULL, 0, 0, &opened);
    assert_int_equal(encl_sealed_read(rd_buf_bytes(&opened), &store, &request, &body, &err), 0);
    assert_true(rd_bytes_equal(body, RD_BYTES_LIT("one two")));
    assert_true(rd_bytes_equal(request.target, RD_BYTES_LIT("/a")));
    assert_int_equal(request.content_length, 7);
    assert_int_equal(encl_sealed_read(rd_buf_bytes(&opened), NULL, &request, &body, &err),
                     -1); /* R45: whole is whole */
    assert_int_equal(err.code, RD_E_UNSUPPORTED);
    rd_buf_clear(&opened);
    head.content = RD_BYTES_LIT("known");
    assert_int_equal(rd_bhttp_write(&head, &opened, &err), 0);
    encl_sealed_store_done(&store);
    assert_int_equal(encl_sealed_read(rd_buf_bytes(&opened), &store, &request, &body, &err), 0);
    assert_true(rd_bytes_equal(body, RD_BYTES_LIT("known")));
}

static bool holds(const rd_buf *buf, rd_bytes text)
{
    return memmem(buf->data, buf->capacity, text.data, text.size) != NULL;
}

/* A connection that waits for its next request holds nothing of what stood in the last one's seal. */
static void test_nothing_sealed_outlives_its_exchange(void **state)
{
    fixture *f = *state;
    encl_conn conn;
    const rd_bytes words = RD_BYTES_LIT("for one caller alone");
    encl_conn_open(&conn, -1);
    encl_conn_seal(&conn, open_one(f));
    encl_conn_begin(&conn, 200);
    encl_conn_line(&conn, "X-Word", words);
    assert_true(encl_conn_add(&conn, words));
    assert_true(holds(&conn.head, words) && holds(&conn.body, words));
    encl_conn_next(&conn);
    assert_false(holds(&conn.head, words) || holds(&conn.body, words));
    encl_conn_close(&conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_r65_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_answer_and_one_without_a_receipt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_r29_a_captured_request_runs_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_sealed_outlives_its_exchange, setup, teardown),
        cmocka_unit_test(test_requests_of_either_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
