#include "api/client_hello.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A hello of TLS 1.3 as far as a relay reads it, in parts that tests change. */
typedef struct parts {
    uint16_t version;
    size_t session_size, suites_size, compressions_size;
    const char *name; /* NULL: no server_name */
    uint8_t name_type;
    unsigned name_count;  /* in the one extension */
    unsigned others;      /* further extensions */
    bool has_twin;        /* the extension stands twice */
    size_t bytes_behind;  /* in the message, after the extensions */
    size_t record_behind; /* in the last record, after the message */
    size_t fragment;      /* a record's bytes; 0: one record */
    size_t padding;       /* of one more extension */
    uint8_t message;
} parts;

static const parts plain = { .version = 0x0303,
                             .session_size = 32,
                             .suites_size = 6,
                             .compressions_size = 1,
                             .name = "app-x.example",
                             .name_count = 1,
                             .others = 3,
                             .message = 1 };

static void append_zeros(rd_buf *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rd_buf_append_u8(out, 0);
}

static void append_name(rd_buf *out, const parts *p)
{
    size_t size = strlen(p->name);
    rd_buf_append_u16be(out, 0);
    rd_buf_append_u16be(out, (uint16_t)(2 + p->name_count * (3 + size)));
    rd_buf_append_u16be(out, (uint16_t)(p->name_count * (3 + size)));
    for (unsigned i = 0; i < p->name_count; i++) {
        rd_buf_append_u8(out, p->name_type);
        rd_buf_append_u16be(out, (uint16_t)size);
        rd_buf_append_str(out, p->name);
    }
}

static void append_extensions(rd_buf *out, const parts *p)
{
    RD_CLEANUP(rd_buf_done) rd_buf list = { 0 };
    for (unsigned i = 0; i < p->others; i++) {
        rd_buf_append_u16be(&list, (uint16_t)(100 + i));
        rd_buf_append_u16be(&list, 2);
        append_zeros(&list, 2);
    }
    for (unsigned i = 0; p->name && i < 1u + p->has_twin; i++)
        append_name(&list, p);
    if (p->padding) {
        rd_buf_append_u16be(&list, 21);
        rd_buf_append_u16be(&list, (uint16_t)p->padding);
        append_zeros(&list, p->padding);
    }
    rd_buf_append_u16be(out, (uint16_t)list.size);
    rd_buf_append_bytes(out, rd_buf_bytes(&list));
}

static rd_buf make(const parts *p)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf message = { 0 };
    rd_buf out = { 0 };
    rd_buf_append_u16be(&body, p->version);
    append_zeros(&body, 32);
    rd_buf_append_u8(&body, (uint8_t)p->session_size);
    append_zeros(&body, p->session_size);
    rd_buf_append_u16be(&body, (uint16_t)p->suites_size);
    append_zeros(&body, p->suites_size);
    rd_buf_append_u8(&body, (uint8_t)p->compressions_size);
    append_zeros(&body, p->compressions_size);
    append_extensions(&body, p);
    append_zeros(&body, p->bytes_behind);
    rd_buf_append_u8(&message, p->message);
    rd_buf_append_u8(&message, (uint8_t)(body.size >> 16));
    rd_buf_append_u16be(&message, (uint16_t)body.size);
    rd_buf_append_bytes(&message, rd_buf_bytes(&body));
    append_zeros(&message, p->record_behind);
    size_t step = p->fragment ? p->fragment : message.size;
    for (size_t at = 0; at < message.size; at += step) {
        size_t size = RD_MIN(step, message.size - at);
        rd_buf_append_u8(&out, 22);
        rd_buf_append_u16be(&out, 0x0301);
        rd_buf_append_u16be(&out, (uint16_t)size);
        rd_buf_append(&out, message.data + at, size);
    }
    return out;
}

static int read_parts(const parts *p, api_client_hello *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = make(p);
    rd_err err = RD_ERR_INIT;
    int outcome = api_client_hello_read(rd_buf_bytes(&bytes), ret, &err);
    if (outcome < 0)
        assert_int_equal(err.code, RD_E_TLS_HELLO);
    return outcome;
}

static void reads_the_name(void **state)
{
    (void)state;
    api_client_hello hello;
    parts p = plain;
    assert_int_equal(read_parts(&p, &hello), API_HELLO_DONE);
    assert_string_equal(hello.name, "app-x.example");
    p.name = "App-X.EXAMPLE";
    for (p.fragment = 1; p.fragment < 120; p.fragment += 7) {
        assert_int_equal(read_parts(&p, &hello), API_HELLO_DONE);
        assert_string_equal(hello.name, "app-x.example");
    }
    p.fragment = 0;
    p.padding = 9000;
    assert_int_equal(read_parts(&p, &hello), API_HELLO_DONE);
}

static void every_prefix_wants_more(void **state)
{
    (void)state;
    parts p = plain;
    for (p.fragment = 0; p.fragment < 80; p.fragment += 40) {
        RD_CLEANUP(rd_buf_done) rd_buf bytes = make(&p);
        api_client_hello hello;
        rd_err err = RD_ERR_INIT;
        for (size_t i = 0; i < bytes.size; i++)
            assert_int_equal(api_client_hello_read(rd_bytes_of(bytes.data, i), &hello, &err), API_HELLO_MORE);
        /* What follows, for instance early data, is not this reader's. */
        rd_buf_append_str(&bytes, "\x17\x03\x03rubbish");
        assert_int_equal(api_client_hello_read(rd_buf_bytes(&bytes), &hello, &err), API_HELLO_DONE);
    }
}

typedef struct refusal {
    const char *what;
    parts p;
    api_tls_alert alert;
} refusal;

static void refuses(void **state)
{
    (void)state;
    static const char long_label[] = "a123456789012345678901234567890123456789012345678901234567890123.example";
    char too_long[256];
    memset(too_long, 'a', 254);
    for (size_t i = 50; i < 254; i += 50)
        too_long[i] = '.';
    too_long[254] = 0;
    refusal rows[] = {
        { "no name", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "no extensions", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "two names", plain, API_ALERT_DECODE_ERROR },
        { "no name in the list", plain, API_ALERT_DECODE_ERROR },
        { "another kind of name", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "the extension twice", plain, API_ALERT_ILLEGAL_PARAMETER },
        { "too many extensions", plain, API_ALERT_DECODE_ERROR },
        { "bytes behind the extensions", plain, API_ALERT_DECODE_ERROR },
        { "bytes behind the message", plain, API_ALERT_UNEXPECTED_MESSAGE },
        { "another version", plain, API_ALERT_DECODE_ERROR },
        { "a long session id", plain, API_ALERT_DECODE_ERROR },
        { "odd cipher suites", plain, API_ALERT_DECODE_ERROR },
        { "no compression", plain, API_ALERT_DECODE_ERROR },
        { "another message", plain, API_ALERT_UNEXPECTED_MESSAGE },
        { "too long", plain, API_ALERT_RECORD_OVERFLOW },
        { "an empty name", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "a final dot", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "an empty label", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "a long label", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "a long name", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "a space", plain, API_ALERT_UNRECOGNIZED_NAME },
        { "not ASCII", plain, API_ALERT_UNRECOGNIZED_NAME },
    };
    rows[0].p.name = NULL;
    rows[1].p.name = NULL;
    rows[1].p.others = 0;
    rows[2].p.name_count = 2;
    rows[3].p.name_count = 0;
    rows[4].p.name_type = 1;
    rows[5].p.has_twin = true;
    rows[6].p.others = 80;
    rows[7].p.bytes_behind = 1;
    rows[8].p.record_behind = 1;
    rows[9].p.version = 0x0302;
    rows[10].p.session_size = 33;
    rows[11].p.suites_size = 5;
    rows[12].p.compressions_size = 0;
    rows[13].p.message = 2;
    rows[14].p.padding = 17000;
    rows[14].p.fragment = 4000;
    static const char *const names[] = { "", "x.", "a..b", long_label, NULL, "a b", "\xc3\xa4.example" };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        rows[15 + i].p.name = names[i] ? names[i] : too_long;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        api_client_hello hello;
        if (read_parts(&rows[i].p, &hello) != -1)
            fail_msg("%s passes", rows[i].what);
        if (hello.alert != rows[i].alert)
            fail_msg("%s: alert %d, expected %d", rows[i].what, hello.alert, rows[i].alert);
    }
}

static void refuses_records(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        rd_bytes bytes;
        api_tls_alert alert;
    } rows[] = {
        { "HTTP", RD_BYTES_LIT("GET / HTTP/1.1\r\n"), API_ALERT_NONE },
        { "one byte that is no record", RD_BYTES_LIT("\x15"), API_ALERT_NONE },
        { "SSL 2", RD_BYTES_LIT("\x80\x2e\x01"), API_ALERT_NONE },
        { "version 4", RD_BYTES_LIT("\x16\x04\x00"), API_ALERT_NONE },
        { "an empty record", RD_BYTES_LIT("\x16\x03\x01\x00\x00"), API_ALERT_UNEXPECTED_MESSAGE },
        { "a long record", RD_BYTES_LIT("\x16\x03\x01\x40\x01"), API_ALERT_RECORD_OVERFLOW },
        { "16 MiB announced", RD_BYTES_LIT("\x16\x03\x01\x02\x00\x01\xff\xff\xff"), API_ALERT_RECORD_OVERFLOW },
        { "cut by an alert", RD_BYTES_LIT("\x16\x03\x01\x00\x04\x01\x00\x00\x40\x15\x03\x01\x00\x02\x02\x28"),
          API_ALERT_UNEXPECTED_MESSAGE },
        { "an empty message", RD_BYTES_LIT("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), API_ALERT_DECODE_ERROR },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        api_client_hello hello;
        rd_err err = RD_ERR_INIT;
        if (api_client_hello_read(rows[i].bytes, &hello, &err) != -1)
            fail_msg("%s passes", rows[i].what);
        if (hello.alert != rows[i].alert)
            fail_msg("%s: alert %d, expected %d", rows[i].what, hello.alert, rows[i].alert);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_name),
        cmocka_unit_test(every_prefix_wants_more),
        cmocka_unit_test(refuses),
        cmocka_unit_test(refuses_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
