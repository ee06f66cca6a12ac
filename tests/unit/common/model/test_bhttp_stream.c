/* Vector: RFC 9292, 5.1. Every message is read in one piece and byte by byte. */
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/bhttp_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void unhex(const char *hex, rd_buf *out)
{
    size_t size = strlen(hex) / 2;
    rd_buf_clear(out);
    assert_int_equal(0, rd_hex_decode(hex, 2 * size, rd_buf_reserve(out, size), size));
    rd_buf_commit(out, size);
}

static rd_code read_in_steps(rd_bhttp_reader *reader, rd_bytes bytes, size_t step, rd_buf *content)
{
    rd_err err = RD_ERR_INIT;
    int status = 0;
    rd_buf_clear(content);
    for (size_t at = 0; at < bytes.size && status == 0; at += step)
        status =
            rd_bhttp_reader_feed(reader, rd_bytes_of(bytes.data + at, RD_MIN(step, bytes.size - at)), content, &err);
    if (status == 0)
        status = rd_bhttp_reader_end(reader, &err);
    assert_int_equal(status < 0, err.code != RD_OK);
    return err.code;
}

static void test_vector(void **state RD_UNUSED)
{
    static const char hex[] = "0203474554056874747073000a2f68656c6c6f2e7478740a757365722d6167656e74346375726c2f372e3136"
                              "2e33206c69626375726c2f372e31362e33204f70656e53534c2f302e392e376c207a6c69622f312e322e3304"
                              "686f73740f7777772e6578616d706c652e636f6d0f6163636570742d6c616e677561676506656e2c206d69"
                              "00000000000000000000000000";
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf content = { 0 };
    unhex(hex, &bytes);
    for (size_t cut = 0; cut <= 13; cut++) {
        for (size_t step = 1; step < bytes.size; step += 10) {
            rd_bhttp_reader *reader = rd_bhttp_reader_new(true);
            rd_code code = read_in_steps(reader, rd_bytes_of(bytes.data, bytes.size - cut), step, &content);
            assert_int_equal(cut <= 12 ? RD_OK : RD_E_TRUNCATED, code);
            const rd_bhttp_message *head = rd_bhttp_reader_head(reader);
            assert_int_equal(cut <= 12, head != NULL);
            if (head) {
                assert_true(rd_bytes_equal(head->path, RD_BYTES_LIT("/hello.txt")));
                assert_int_equal(3, head->field_count);
                assert_true(rd_bytes_equal(rd_bhttp_find(head, "accept-language")->value, RD_BYTES_LIT("en, mi")));
            }
            rd_bhttp_reader_free(reader);
        }
    }
    assert_int_equal(0, content.size);
}

static void test_written_and_read(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    rd_bhttp_message head = { .status = 203, .field_count = 1 };
    const rd_bhttp_field trailer = { RD_BYTES_LIT("redoubt-receipt"), RD_BYTES_LIT("abc") };
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf content = { 0 };
    head.fields[0] = (rd_bhttp_field){ RD_BYTES_LIT("content-type"), RD_BYTES_LIT("text/plain") };
    assert_int_equal(0, rd_bhttp_stream_head(&head, &bytes, &err));
    rd_bhttp_stream_piece(RD_BYTES_LIT("one "), &bytes);
    rd_bhttp_stream_piece(RD_BYTES_LIT("two"), &bytes);
    rd_bhttp_stream_end(&trailer, 1, 0, &bytes);
    assert_int_equal(256, bytes.size);
    for (size_t step = 1; step <= bytes.size; step++) {
        rd_bhttp_reader *reader = rd_bhttp_reader_new(false);
        assert_int_equal(RD_OK, read_in_steps(reader, rd_buf_bytes(&bytes), step, &content));
        assert_string_equal("one two", rd_buf_text(&content));
        assert_int_equal(203, rd_bhttp_reader_head(reader)->status);
        assert_true(rd_bytes_equal(rd_bhttp_find(rd_bhttp_reader_trailers(reader), "redoubt-receipt")->value,
                                   RD_BYTES_LIT("abc")));
        rd_bhttp_reader_free(reader);
    }
    head.status = 100;
    assert_int_equal(-1, rd_bhttp_stream_head(&head, &bytes, &err));
    assert_int_equal(RD_E_HTTP_SYNTAX, err.code);
}

static void test_refused(void **state RD_UNUSED)
{
    static const struct {
        const char *name, *hex;
        rd_code code; /* OK: accepted, the neighbour of a refused one */
    } rows[] = {
        { "an answer", "0340c8000000", RD_OK },
        { "without its trailers", "0340c80000", RD_OK },
        { "without its content", "0340c800", RD_OK },
        { "without the end of its fields", "0340c8", RD_E_TRUNCATED },
        { "of known length", "0140c8000000", RD_E_UNSUPPORTED },
        { "a request",
          "0203474554000001"
          "2f000000",
          RD_E_ENCODING },
        { "no binary HTTP", "0540c8000000", RD_E_ENCODING },
        { "an informational answer", "034064000340c8000000", RD_E_HTTP_SYNTAX },
        { "content",
          "0340c8000261620163"
          "0000",
          RD_OK },
        { "a piece that ends early",
          "0340c80002"
          "61",
          RD_E_TRUNCATED },
        { "content without its end",
          "0340c80002"
          "6162",
          RD_E_TRUNCATED },
        { "the size of a piece, cut", "0340c80040", RD_E_TRUNCATED },
        { "a huge piece", "0340c800ffffffffffffffff61", RD_E_TRUNCATED },
        { "a size in a longer form",
          "0340c80040026162"
          "0000",
          RD_OK },
        { "a field",
          "0340c80161016200"
          "0000",
          RD_OK },
        { "a field in capitals",
          "0340c80141016200"
          "0000",
          RD_E_HTTP_SYNTAX },
        { "a line end in a value",
          "0340c80161010a00"
          "0000",
          RD_E_HTTP_SYNTAX },
        { "a field of a huge size", "0340c8ffffffffffffffff61", RD_E_TRUNCATED },
        { "a trailer",
          "0340c80000"
          "0161016200",
          RD_OK },
        { "a trailer without its end",
          "0340c80000"
          "01610162",
          RD_E_TRUNCATED },
        { "a bad trailer",
          "0340c80000"
          "0141016200",
          RD_E_HTTP_SYNTAX },
        { "padding", "0340c80000000000", RD_OK },
        { "what is no padding", "0340c80000000001", RD_E_TRAILING },
        { "nothing", "", RD_E_TRUNCATED },
    };
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf content = { 0 };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        unhex(rows[i].hex, &bytes);
        for (size_t step = 1; step <= bytes.size + 1; step++) {
            rd_bhttp_reader *reader = rd_bhttp_reader_new(false);
            rd_code code = read_in_steps(reader, rd_buf_bytes(&bytes), step, &content);
            if (code != rows[i].code)
                fail_msg("%s: %d", rows[i].name, (int)code);
            rd_bhttp_reader_free(reader);
        }
    }
}

static void test_bounds(void **state RD_UNUSED)
{
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf content;
    rd_buf_init(&content, 4);
    /* More fields than are taken; fields above their bound, whether they have all come or not; content above its own.
     */
    for (size_t field_size = 1; field_size <= 2000; field_size += 1999) {
        unhex("0340c8", &bytes);
        for (size_t i = 0; i < 101; i++) {
            (void)rd_buf_append(&bytes, "\x01x\x80\x00", 4);
            (void)rd_buf_append_u16be(&bytes, (uint16_t)field_size);
            memset(rd_buf_reserve(&bytes, field_size), 'y', field_size);
            rd_buf_commit(&bytes, field_size);
        }
        rd_bhttp_reader *reader = rd_bhttp_reader_new(false);
        err = (rd_err)RD_ERR_INIT;
        assert_int_equal(-1, rd_bhttp_reader_feed(reader, rd_buf_bytes(&bytes), &content, &err));
        assert_int_equal(RD_E_TOO_LARGE, err.code);
        rd_bhttp_reader_free(reader);
    }
    unhex("0340c80005616263646500", &bytes);
    rd_bhttp_reader *reader = rd_bhttp_reader_new(false);
    err = (rd_err)RD_ERR_INIT;
    assert_int_equal(-1, rd_bhttp_reader_feed(reader, rd_buf_bytes(&bytes), &content, &err));
    assert_int_equal(RD_E_TOO_LARGE, err.code);
    rd_bhttp_reader_free(reader);
    rd_buf_done(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_written_and_read),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
