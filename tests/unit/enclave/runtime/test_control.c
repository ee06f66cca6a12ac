#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/runtime/control.h"

#define GOOD "HGdrcS" /* the frames of a good launch, a letter each */

/* A frame by its letter: H header, G genesis, d head, r release, c code, S start, E evidence, D drain, X stop; 5 and 7
 * headers of 95 and 97 bytes; e an empty genesis, B one past its bound, s a drain with a payload, ? an unknown type;
 * N a nonce, n one of 31 bytes, w one with the largest head behind it, W one byte more, g a grant. */
static void put(rd_buf *out, char letter)
{
    static const uint8_t bytes[33 + (96 << 10)];
    switch (letter) {
    case 'H':
        encl_control_put(out, ENCL_CONTROL_HEADER, rd_bytes_of(bytes, 96));
        break;
    case '5':
        encl_control_put(out, ENCL_CONTROL_HEADER, rd_bytes_of(bytes, 95));
        break;
    case '7':
        encl_control_put(out, ENCL_CONTROL_HEADER, rd_bytes_of(bytes, 97));
        break;
    case 'e':
        encl_control_put(out, ENCL_CONTROL_GENESIS, RD_BYTES_NULL);
        break;
    case 'B':
        rd_buf_append_u32be(out, (64 << 10) + 2);
        rd_buf_append_u8(out, ENCL_CONTROL_GENESIS);
        break;
    case 's':
        encl_control_put(out, ENCL_CONTROL_DRAIN, RD_BYTES_LIT("x"));
        break;
    case '?':
        encl_control_put(out, (encl_control_type)13, RD_BYTES_LIT("x"));
        break;
    case 'N':
        encl_control_put(out, ENCL_CONTROL_NONCE, rd_bytes_of(bytes, 32));
        break;
    case 'n':
        encl_control_put(out, ENCL_CONTROL_NONCE, rd_bytes_of(bytes, 31));
        break;
    case 'w':
        encl_control_put(out, ENCL_CONTROL_NONCE, rd_bytes_of(bytes, 32 + (96 << 10)));
        break;
    case 'W':
        encl_control_put(out, ENCL_CONTROL_NONCE, rd_bytes_of(bytes, 33 + (96 << 10)));
        break;
    case 'g':
        encl_control_put(out, ENCL_CONTROL_GRANT, RD_BYTES_LIT("grant"));
        break;
    case '0':
        rd_buf_append_u32be(out, 0);
        rd_buf_append_u8(out, ENCL_CONTROL_HEADER);
        break;
    default: {
        static const char letters[] = "?HGdrcSEDX";
        const char *at = strchr(letters, letter);
        bool is_empty = letter == 'D' || letter == 'X';
        encl_control_put(out, (encl_control_type)(at - letters), is_empty ? RD_BYTES_NULL : RD_BYTES_LIT("{}"));
    }
    }
}

/* Feeds as an instance does; returns how many messages came, the code of the refusal in *ret. */
static int drive(const rd_buf *stream, size_t piece, rd_code *ret)
{
    encl_control control;
    encl_control_init(&control);
    rd_err err = RD_ERR_INIT;
    size_t at = 0;
    int count = 0;
    *ret = RD_OK;
    while (at < stream->size && *ret == RD_OK) {
        size_t size = RD_MIN(RD_MIN(piece, stream->size - at), encl_control_room(&control));
        assert_true(size > 0);
        assert_int_equal(encl_control_feed(&control, rd_bytes_of(stream->data + at, size), &err), 0);
        at += size;
        encl_control_message message;
        int outcome;
        while ((outcome = encl_control_next(&control, &message, &err)) > 0) {
            count++;
            if (message.type != ENCL_CONTROL_HEADER)
                continue;
            /* Not one byte past the header is wanted before it was measured. */
            assert_int_equal(at, 5 + ENCL_HEADER_SIZE);
            assert_int_equal(encl_control_room(&control), 0);
            assert_int_equal(encl_control_feed(&control, RD_BYTES_LIT("x"), &err), -1);
            encl_control_measured(&control);
        }
        if (outcome < 0)
            *ret = err.code;
    }
    encl_control_done(&control);
    return count;
}

/* R19: the fixed header is measured before a byte of variable length is read, so that whatever a parser does then, it
 * does in the name of the app that came. */
static void test_rows(void **state)
{
    (void)state;
    static const struct {
        const char *name, *frames;
        int count;
        rd_code want;
    } rows[] = {
        { "good", GOOD, 6, RD_OK },
        { "good and orders", GOOD "EEDX", 10, RD_OK },
        { "good and grants", GOOD "NgENg", 11, RD_OK },
        { "nonce of 31 bytes", GOOD "n", 6, RD_E_CONTROL_FRAME },
        { "nonce and the largest head", GOOD "wN", 8, RD_OK },
        { "nonce and more than a head", GOOD "W", 6, RD_E_CONTROL_FRAME },
        { "nonce before start", "HGdrcN", 5, RD_E_CONTROL_ORDER },
        { "grant before start", "HGdrcg", 5, RD_E_CONTROL_ORDER },
        { "grant before header", "g", 0, RD_E_CONTROL_ORDER },
        { "header of 95 bytes", "5", 0, RD_E_CONTROL_FRAME },
        { "header of 97 bytes", "7", 0, RD_E_CONTROL_FRAME },
        { "length 0", "0", 0, RD_E_CONTROL_FRAME },
        { "genesis before header", "G", 0, RD_E_CONTROL_ORDER },
        { "start before header", "S", 0, RD_E_CONTROL_ORDER },
        { "stop before header", "X", 0, RD_E_CONTROL_ORDER },
        { "unknown before header", "?", 0, RD_E_CONTROL_FRAME },
        { "header twice", "HH", 1, RD_E_CONTROL_ORDER },
        { "header again when serving", GOOD "H", 6, RD_E_CONTROL_ORDER },
        { "genesis again when serving", GOOD "G", 6, RD_E_CONTROL_ORDER },
        { "start again", GOOD "S", 6, RD_E_CONTROL_ORDER },
        { "genesis missing", "HdrcS", 1, RD_E_CONTROL_ORDER },
        { "head missing", "HGrcS", 2, RD_E_CONTROL_ORDER },
        { "release missing", "HGdcS", 3, RD_E_CONTROL_ORDER },
        { "code missing", "HGdrS", 4, RD_E_CONTROL_ORDER },
        { "genesis twice", "HGG", 2, RD_E_CONTROL_ORDER },
        { "evidence before start", "HGdrcE", 5, RD_E_CONTROL_ORDER },
        { "empty genesis", "He", 1, RD_E_CONTROL_FRAME },
        { "oversize genesis", "HB", 1, RD_E_CONTROL_FRAME },
        { "drain with payload", GOOD "s", 6, RD_E_CONTROL_FRAME },
        { "unknown when serving", GOOD "?", 6, RD_E_CONTROL_FRAME },
    };
    static const size_t pieces[] = { 1, 7, 1 << 20 };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf stream = { 0 };
        for (const char *letter = rows[i].frames; *letter != '\0'; letter++)
            put(&stream, *letter);
        for (size_t j = 0; j < RD_ARRAY_LEN(pieces); j++) {
            rd_code code;
            int count = drive(&stream, pieces[j], &code);
            if (count != rows[i].count || code != rows[i].want)
                fail_msg("%s, pieces of %zu: %d messages, code %d", rows[i].name, pieces[j], count, (int)code);
        }
    }
}

/* A controller that comes back finds orders alone. */
static void test_orders(void **state)
{
    (void)state;
    encl_control control;
    encl_control_message message;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf stream = { 0 };
    encl_control_init_orders(&control);
    put(&stream, 'D');
    put(&stream, 'H');
    assert_int_equal(encl_control_feed(&control, rd_buf_bytes(&stream), &err), 0);
    assert_int_equal(encl_control_next(&control, &message, &err), 1);
    assert_int_equal(message.type, ENCL_CONTROL_DRAIN);
    assert_int_equal(encl_control_next(&control, &message, &err), -1);
    assert_int_equal(err.code, RD_E_CONTROL_ORDER);
    assert_int_equal(encl_control_next(&control, &message, &err), -1);
    encl_control_done(&control);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_orders) };
    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
