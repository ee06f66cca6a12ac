/* The frames of a WebSocket and the request that opens one, without a server: messages in whatever pieces they come,
 * what a peer must not send, bounds, what leaves. Over real connections: tests/e2e/websocket.test.mjs, and
 * fuzz_enclave_ws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/ws/ws.h"
#include "enclave/ws/ws_upgrade.h"

#define MESSAGE_MAX ((size_t)64 << 10)

/* --- frames --- */

static void put_frame(rd_buf *out, uint8_t first, const void *data, size_t size)
{
    static const uint8_t key[] = { 9, 8, 7, 6 };
    rd_buf_append_u8(out, first);
    if (size < 126) {
        rd_buf_append_u8(out, (uint8_t)(0x80 | size));
    } else if (size < 65536) {
        rd_buf_append_u8(out, 0x80 | 126);
        rd_buf_append_u16be(out, (uint16_t)size);
    } else {
        rd_buf_append_u8(out, 0x80 | 127);
        rd_buf_append_u64be(out, size);
    }
    rd_buf_append(out, key, sizeof key);
    for (size_t i = 0; i < size; i++)
        rd_buf_append_u8(out, ((const uint8_t *)data)[i] ^ key[i % 4]);
}

static void put_text(rd_buf *out, uint8_t first, const char *text)
{
    put_frame(out, first, text, strlen(text));
}

/* Feeds all in steps of this size until there is news; *at remembers how far. */
static encl_ws_news feed(encl_ws *ws, const rd_buf *bytes, size_t *at, size_t step)
{
    encl_ws_news news = ENCL_WS_NOTHING;
    while (news == ENCL_WS_NOTHING && *at < bytes->size) {
        size_t size = RD_MIN(step, bytes->size - *at);
        rd_bytes piece = rd_bytes_of(bytes->data + *at, size);
        news = encl_ws_feed(ws, &piece, 1);
        *at += size - piece.size;
    }
    return news;
}

static encl_ws_news feed_rest(encl_ws *ws)
{
    rd_bytes none = RD_BYTES_NULL;
    return encl_ws_feed(ws, &none, 1);
}

static void expect_message(encl_ws *ws, encl_ws_kind kind, const char *text)
{
    rd_bytes message;
    assert_int_equal(encl_ws_message(ws, &message), kind);
    assert_true(rd_bytes_equal(message, rd_bytes_str(text)));
    encl_ws_next(ws);
}

static void test_messages_in_any_pieces(void **state)
{
    (void)state;
    static const size_t steps[] = { 1, 2, 3, 7, 64, 100000 };
    RD_CLEANUP(rd_buf_done) rd_buf in = { 0 };
    put_text(&in, 0x81, "one");
    put_text(&in, 0x01, "fr");
    put_text(&in, 0x89, "ping");
    put_text(&in, 0x00, "");
    put_text(&in, 0x80, "ag");
    put_text(&in, 0x8a, "unasked");
    put_text(&in, 0x82, "\xff\xfe");
    put_text(&in, 0x82, "");
    for (size_t i = 0; i < RD_ARRAY_LEN(steps); i++) {
        size_t at = 0;
        encl_ws *ws = encl_ws_new(MESSAGE_MAX);
        assert_int_equal(feed(ws, &in, &at, steps[i]), ENCL_WS_MESSAGE);
        assert_int_equal(feed_rest(ws), ENCL_WS_MESSAGE); /* until it is taken */
        expect_message(ws, ENCL_WS_TEXT, "one");
        encl_ws_news news = feed(ws, &in, &at, steps[i]);
        assert_int_equal(news == ENCL_WS_NOTHING ? feed_rest(ws) : news, ENCL_WS_MESSAGE);
        expect_message(ws, ENCL_WS_TEXT, "frag");
        assert_true(rd_bytes_equal(rd_buf_bytes(encl_ws_out(ws)), RD_BYTES_LIT("\x8a\4ping")));
        news = feed(ws, &in, &at, steps[i]);
        assert_int_equal(news == ENCL_WS_NOTHING ? feed_rest(ws) : news, ENCL_WS_MESSAGE);
        expect_message(ws, ENCL_WS_BINARY, "\xff\xfe");
        news = feed(ws, &in, &at, steps[i]);
        assert_int_equal(news == ENCL_WS_NOTHING ? feed_rest(ws) : news, ENCL_WS_MESSAGE);
        expect_message(ws, ENCL_WS_BINARY, "");
        assert_int_equal(feed_rest(ws), ENCL_WS_NOTHING);
        encl_ws_free(ws);
    }
}

static const struct {
    const char *name;
    const char *bytes;
    size_t size;
    uint16_t code;
} refused[] = {
#define ROW(name, text, code)                                                                                          \
    {                                                                                                                  \
        name, text, sizeof(text) - 1, code                                                                             \
    }
    ROW("unmasked", "\x81\x01x", ENCL_WS_PROTOCOL),
    ROW("unmasked, empty", "\x81\x00", ENCL_WS_PROTOCOL),
    ROW("RSV1", "\xc1\x80\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("RSV3", "\x91\x80\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("opcode 3", "\x83\x80\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("opcode 15", "\x8f\x80\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("ping in fragments", "\x09\x80\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("ping of 126", "\x89\xfe\0\x7e\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("continues nothing", "\x80\x80\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("text within a text", "\x01\x80\1\1\1\1\x81\x80\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("16 bits for 125", "\x82\xfe\0\x7d\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("64 bits for 65535", "\x82\xff\0\0\0\0\0\0\xff\xff\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("highest bit of 64", "\x82\xff\x80\0\0\0\0\0\0\0\1\1\1\1", ENCL_WS_PROTOCOL),
    ROW("one byte too many", "\x82\xff\0\0\0\0\0\1\0\1\1\1\1\1x", ENCL_WS_TOO_LARGE),
    ROW("2^63 - 1 bytes", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\1\1\1\1x", ENCL_WS_TOO_LARGE),
    ROW("no UTF-8", "\x81\x82\0\0\0\0\xc3\x28", ENCL_WS_NO_TEXT),
    ROW("overlong", "\x81\x82\0\0\0\0\xc0\xaf", ENCL_WS_NO_TEXT),
    ROW("cut", "\x81\x81\0\0\0\0\xe2", ENCL_WS_NO_TEXT),
    ROW("Close of one byte", "\x88\x81\0\0\0\0\3", ENCL_WS_PROTOCOL),
    ROW("Close 1005", "\x88\x82\0\0\0\0\3\xed", ENCL_WS_PROTOCOL),
    ROW("Close 1006", "\x88\x82\0\0\0\0\3\xee", ENCL_WS_PROTOCOL),
    ROW("Close 999", "\x88\x82\0\0\0\0\3\xe7", ENCL_WS_PROTOCOL),
    ROW("Close 2999", "\x88\x82\0\0\0\0\x0b\xb7", ENCL_WS_PROTOCOL),
    ROW("Close 5000", "\x88\x82\0\0\0\0\x13\x88", ENCL_WS_PROTOCOL),
    ROW("Close, no UTF-8", "\x88\x83\0\0\0\0\3\xe8\xff", ENCL_WS_NO_TEXT),
#undef ROW
};

static void test_what_a_peer_must_not_send(void **state)
{
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(refused); i++) {
        for (size_t step = 1; step <= refused[i].size; step += refused[i].size - 1) {
            RD_CLEANUP(rd_buf_done) rd_buf in = { 0 };
            rd_buf_append(&in, refused[i].bytes, refused[i].size);
            encl_ws *ws = encl_ws_new(MESSAGE_MAX);
            size_t at = 0;
            rd_bytes reason;
            encl_ws_news news = feed(ws, &in, &at, step);
            uint16_t code = encl_ws_end(ws, &reason);
            if (news != ENCL_WS_ENDED || code != refused[i].code || reason.size > 0)
                fail_msg("%s: news %d, code %u", refused[i].name, (int)news, code);
            const uint8_t close[] = { 0x88, 2, (uint8_t)(code >> 8), (uint8_t)code };
            assert_true(rd_bytes_equal(rd_buf_bytes(encl_ws_out(ws)), RD_BYTES_ARRAY(close)));
            assert_int_equal(feed_rest(ws), ENCL_WS_ENDED);
            encl_ws_free(ws);
        }
    }
}

static void test_a_peers_close(void **state)
{
    (void)state;
    RD_CLEANUP(rd_buf_done) rd_buf in = { 0 };
    encl_ws *ws = encl_ws_new(MESSAGE_MAX);
    size_t at = 0;
    rd_bytes reason;
    put_text(&in, 0x88,
             "\x0f\xa0"
             "bye");
    put_text(&in, 0x81, "behind");
    assert_int_equal(feed(ws, &in, &at, 1000), ENCL_WS_ENDED);
    assert_int_equal(encl_ws_end(ws, &reason), 4000);
    assert_true(rd_bytes_equal(reason, RD_BYTES_LIT("bye")));
    encl_ws_send(ws, ENCL_WS_TEXT, RD_BYTES_LIT("nobody hears"));
    encl_ws_ping(ws);
    assert_true(rd_bytes_equal(rd_buf_bytes(encl_ws_out(ws)), RD_BYTES_LIT("\x88\2\x0f\xa0")));
    assert_int_equal(feed_rest(ws), ENCL_WS_ENDED);
    encl_ws_free(ws);
}

static void test_large_messages_wait_for_room(void **state)
{
    (void)state;
    RD_CLEANUP(rd_buf_done) rd_buf in = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf data = { 0 };
    memset(rd_buf_reserve(&data, MESSAGE_MAX), 'x', MESSAGE_MAX);
    rd_buf_commit(&data, MESSAGE_MAX);
    put_frame(&in, 0x82, data.data, data.size);
    encl_ws *ws = encl_ws_new(MESSAGE_MAX);
    size_t at = 0;
    rd_bytes message;
    assert_int_equal(feed(ws, &in, &at, 1000), ENCL_WS_ROOM);
    assert_true(at < ENCL_WS_SMALL + 8192);
    assert_int_equal(feed(ws, &in, &at, 1000), ENCL_WS_ROOM);
    encl_ws_admit(ws, 2 * ENCL_WS_SMALL);
    assert_int_equal(feed(ws, &in, &at, 1000), ENCL_WS_ROOM);
    assert_in_range(encl_ws_size(ws), 2 * ENCL_WS_SMALL, 2 * ENCL_WS_SMALL + 8192);
    encl_ws_admit(ws, MESSAGE_MAX);
    assert_int_equal(feed(ws, &in, &at, 1000), ENCL_WS_MESSAGE);
    assert_int_equal(encl_ws_message(ws, &message), ENCL_WS_BINARY);
    assert_true(rd_bytes_equal(message, rd_buf_bytes(&data)));
    encl_ws_next(ws);
    at = 0;
    assert_int_equal(feed(ws, &in, &at, 1000), ENCL_WS_ROOM); /* each anew */
    encl_ws_free(ws);
}

static void test_what_costs_a_peer_nothing_is_counted(void **state)
{
    (void)state;
    static const uint8_t firsts[] = { 0x89, 0x8a, 0x00 };
    for (size_t i = 0; i < RD_ARRAY_LEN(firsts); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf in = { 0 };
        if (firsts[i] == 0)
            put_text(&in, 0x02, "");
        for (int n = 0; n < 2000; n++)
            put_text(&in, firsts[i], "");
        encl_ws *ws = encl_ws_new(MESSAGE_MAX);
        size_t at = 0;
        rd_bytes reason;
        assert_int_equal(feed(ws, &in, &at, 1000), ENCL_WS_ENDED);
        assert_int_equal(encl_ws_end(ws, &reason), ENCL_WS_POLICY);
        encl_ws_free(ws);
    }
}

static void test_what_leaves(void **state)
{
    (void)state;
    uint8_t reason[200];
    memset(reason, 'r', sizeof reason);
    encl_ws *ws = encl_ws_new(MESSAGE_MAX);
    encl_ws_send(ws, ENCL_WS_TEXT, RD_BYTES_LIT("hi"));
    encl_ws_send(ws, ENCL_WS_BINARY, RD_BYTES_NULL);
    encl_ws_ping(ws);
    assert_true(rd_bytes_equal(rd_buf_bytes(encl_ws_out(ws)), RD_BYTES_LIT("\x81\2hi\x82\0\x89\0")));
    rd_buf_clear(encl_ws_out(ws));
    encl_ws_close(ws, 4999, RD_BYTES_ARRAY(reason));
    encl_ws_close(ws, 1000, RD_BYTES_NULL);
    assert_true(encl_ws_is_closed(ws));
    assert_int_equal(encl_ws_out(ws)->size, 2 + 125);
    encl_ws_free(ws);
}

/* --- the request --- */

#define LINES "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13   "Sec-WebSocket-Version: 13\r\n"

static const struct {
    const char *name, *line, *fields;
    bool is_upgrade;
    rd_code code; /* 0: it opens */
} heads[] = {
    { "the standard's", "GET / HTTP/1.1", LINES KEY V13, true, 0 },
    { "lists, other case", "GET / HTTP/1.1", "upgrade: h2c , WebSocket\r\nconnection: keep-alive, UPGRADE\r\n" KEY V13,
      true, 0 },
    { "no Upgrade", "GET / HTTP/1.1", "Connection: Upgrade\r\n" KEY V13, false, 0 },
    { "another Upgrade", "GET / HTTP/1.1", "Upgrade: websocket2\r\nConnection: Upgrade\r\n" KEY V13, false, 0 },
    { "no Connection", "GET / HTTP/1.1", "Upgrade: websocket\r\n" KEY V13, true, RD_E_WEBSOCKET },
    { "POST", "POST / HTTP/1.1", LINES KEY V13, true, RD_E_WEBSOCKET },
    { "a body", "GET / HTTP/1.1", LINES KEY V13 "Content-Length: 1\r\n", true, RD_E_WEBSOCKET },
    { "no version", "GET / HTTP/1.1", LINES KEY, true, RD_E_WEBSOCKET_VERSION },
    { "version 14", "GET / HTTP/1.1", LINES KEY "Sec-WebSocket-Version: 14\r\n", true, RD_E_WEBSOCKET_VERSION },
    { "versions", "GET / HTTP/1.1", LINES KEY V13 V13, true, RD_E_WEBSOCKET_VERSION },
    { "no key", "GET / HTTP/1.1", LINES V13, true, RD_E_WEBSOCKET },
    { "keys", "GET / HTTP/1.1", LINES KEY KEY V13, true, RD_E_WEBSOCKET },
    { "a key of 15 bytes", "GET / HTTP/1.1", LINES V13 "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n", true,
      RD_E_WEBSOCKET },
    { "a key that is no base64", "GET / HTTP/1.1", LINES V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=!\r\n", true,
      RD_E_WEBSOCKET },
    { "an offer twice", "GET / HTTP/1.1", LINES KEY V13 "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: a\r\n",
      true, RD_E_WEBSOCKET },
    { "an offer that is no token", "GET / HTTP/1.1", LINES KEY V13 "Sec-WebSocket-Protocol: a(b\r\n", true,
      RD_E_WEBSOCKET },
};

static void test_openings(void **state)
{
    (void)state;
    static rd_http_head request;
    for (size_t i = 0; i < RD_ARRAY_LEN(heads); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf head = { 0 };
        rd_err err = RD_ERR_INIT;
        size_t scanned = 0;
        encl_ws_upgrade upgrade;
        rd_buf_printf(&head, "%s\r\nHost: a\r\n%s\r\n", heads[i].line, heads[i].fields);
        assert_int_equal(rd_http_head_parse(rd_buf_bytes(&head), 0, &scanned, &request, &err), RD_HTTP_DONE);
        if (encl_ws_is_upgrade(&request) != heads[i].is_upgrade)
            fail_msg("%s: an upgrade or not", heads[i].name);
        if (!heads[i].is_upgrade)
            continue;
        int outcome = encl_ws_upgrade_read(&request, &upgrade, &err);
        if ((outcome == 0) != (heads[i].code == 0) || (outcome < 0 && err.code != heads[i].code))
            fail_msg("%s: %d, %s", heads[i].name, outcome, err.text);
        if (outcome == 0) /* RFC 6455, 1.3 */
            assert_string_equal(upgrade.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

static void test_subprotocols(void **state)
{
    (void)state;
    rd_bytes offer;
    bool has_receipts;
    const encl_ws_upgrade upgrade = { .offers = { RD_BYTES_LIT("redoubt.receipts.v1+chat"), RD_BYTES_LIT("chat"),
                                                  RD_BYTES_LIT("redoubt.receipts.v10"),
                                                  RD_BYTES_LIT("redoubt.receipts.v1") },
                                      .offers_count = 4 };
    assert_true(encl_ws_choose(&upgrade, RD_BYTES_LIT("chat"), &offer, &has_receipts));
    assert_true(has_receipts && rd_bytes_equal(offer, upgrade.offers[0]));
    assert_true(encl_ws_choose(&upgrade, RD_BYTES_LIT("redoubt.receipts.v10"), &offer, &has_receipts));
    assert_false(has_receipts);
    assert_true(encl_ws_choose(&upgrade, RD_BYTES_NULL, &offer, &has_receipts));
    assert_true(has_receipts && rd_bytes_equal(offer, upgrade.offers[3]));
    assert_false(encl_ws_choose(&upgrade, RD_BYTES_LIT("other"), &offer, &has_receipts));
    assert_false(has_receipts || offer.size > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_in_any_pieces),
        cmocka_unit_test(test_what_a_peer_must_not_send),
        cmocka_unit_test(test_a_peers_close),
        cmocka_unit_test(test_large_messages_wait_for_room),
        cmocka_unit_test(test_what_costs_a_peer_nothing_is_counted),
        cmocka_unit_test(test_what_leaves),
        cmocka_unit_test(test_openings),
        cmocka_unit_test(test_subprotocols),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
