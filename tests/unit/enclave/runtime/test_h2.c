/* HTTP/2 of an instance in memory, against a client that nghttp2 makes: heads and bodies in, answers out, windows that
 * open when there is room, resets, ends. Hostile frames: tests/e2e/passthrough_h2.test.mjs, fuzz_enclave_h2. */
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "enclave/runtime/h2.h"
#include "enclave/runtime/h2_head.h"

typedef struct fixture {
    encl_h2s *all;
    encl_conn carrier;
    encl_h2 *h2;
    nghttp2_session *client;
    rd_buf to_server, to_client;
    size_t room;      /* bytes that the wire takes to the client before it is full */
    rd_buf fields;    /* "name: value\n" of what came back */
    rd_buf body;      /* of all streams */
    const char *sent; /* body of the client's request */
    size_t sent_size;
    uint32_t reset, goaway; /* codes; ~0: none came */
} fixture;

/* --- the wire --- */

static ssize_t wire_read(void *context, void *into, size_t size)
{
    fixture *f = context;
    size_t step = RD_MIN(size, f->to_server.size);
    if (step == 0)
        return ENCL_CHANNEL_WAIT;
    memcpy(into, f->to_server.data, step);
    rd_buf_consume(&f->to_server, step);
    return (ssize_t)step;
}

static ssize_t wire_write(void *context, rd_bytes bytes)
{
    fixture *f = context;
    size_t step = RD_MIN(bytes.size, f->room);
    if (step == 0)
        return ENCL_CHANNEL_WAIT;
    f->room -= step;
    rd_buf_append(&f->to_client, bytes.data, step);
    return (ssize_t)step;
}

static ssize_t client_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *user)
{
    (void)session, (void)flags;
    rd_buf_append(&((fixture *)user)->to_server, data, size);
    return (ssize_t)size;
}

static int client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                         const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
    (void)session, (void)frame, (void)flags;
    rd_buf_printf(&((fixture *)user)->fields, "%.*s: %.*s\n", (int)name_size, (const char *)name, (int)value_size,
                  (const char *)value);
    return 0;
}

static int client_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
                       void *user)
{
    (void)session, (void)flags, (void)id;
    rd_buf_append(&((fixture *)user)->body, data, size);
    return 0;
}

static int client_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    fixture *f = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        f->reset = frame->rst_stream.error_code;
    if (frame->hd.type == NGHTTP2_GOAWAY)
        f->goaway = frame->goaway.error_code;
    return 0;
}

static int setup(void **state)
{
    fixture *f = rd_alloc(sizeof *f);
    nghttp2_session_callbacks *callbacks;
    f->room = SIZE_MAX;
    f->reset = f->goaway = UINT32_MAX;
    f->carrier.fd = 7;
    f->all = encl_h2s_new();
    f->h2 = encl_h2_new(f->all, &f->carrier, &(encl_h2_transport){ wire_read, wire_write, f });
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_send_callback(callbacks, client_send);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, client_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, client_frame);
    assert_int_equal(nghttp2_session_client_new(&f->client, callbacks, f), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(f->client, 0, NULL, 0), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    while (encl_h2_streams(f->h2) != NULL)
        encl_h2_close(encl_h2_streams(f->h2));
    encl_h2_free(f->h2);
    encl_h2s_free(f->all);
    nghttp2_session_del(f->client);
    rd_buf_done(&f->to_server);
    rd_buf_done(&f->to_client);
    rd_buf_done(&f->fields);
    rd_buf_done(&f->body);
    free(f);
    return 0;
}

/* Both sides until nothing moves; what the instance's last turn came to. */
static encl_conn_outcome settle(fixture *f)
{
    encl_conn_outcome outcome = ENCL_CONN_WAIT;
    for (int i = 0; i < 200; i++) {
        assert_int_equal(nghttp2_session_send(f->client), 0);
        size_t before = f->to_server.size;
        outcome = encl_h2_turn(f->h2);
        if (f->to_client.size == 0 && before == 0)
            return outcome;
        if (f->to_client.size > 0)
            assert_true(nghttp2_session_mem_recv(f->client, f->to_client.data, f->to_client.size) >= 0);
        rd_buf_clear(&f->to_client);
    }
    fail_msg("it does not come to rest");
    return outcome;
}

static ssize_t client_body(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    (void)session, (void)id, (void)source;
    fixture *f = user;
    size_t step = RD_MIN(size, f->sent_size);
    memset(into, 'b', step);
    f->sent_size -= step;
    if (f->sent_size == 0)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)step;
}

#define FIELD(n, v)                                                                                                    \
    {                                                                                                                  \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, strlen(v), 0                              \
    }

static encl_conn *request(fixture *f, const char *method, const char *path, size_t body)
{
    const nghttp2_nv fields[] = {
        FIELD(":path", path),      FIELD(":method", method), FIELD(":authority", "app.example"),
        FIELD(":scheme", "https"), FIELD("cookie", "a=1"),   FIELD("x-one", "two"),
        FIELD("cookie", "b=2")
    };
    const nghttp2_data_provider provider = { .read_callback = client_body };
    f->sent_size = body;
    int32_t id = nghttp2_submit_request(f->client, NULL, fields, RD_ARRAY_LEN(fields), body ? &provider : NULL, NULL);
    assert_true(id > 0);
    (void)settle(f);
    for (encl_conn *conn = encl_h2_streams(f->h2); conn != NULL; conn = conn->sibling) {
        if (conn->stream == id)
            return conn;
    }
    return NULL;
}

/* What the server does with a head. */
static void take_head(encl_conn *conn, uint64_t bound)
{
    rd_err err = RD_ERR_INIT;
    static rd_http_head head;
    size_t scanned = 0;
    assert_true(conn->is_head_in);
    assert_int_equal(rd_http_head_parse(rd_buf_bytes(&conn->in), 0, &scanned, &head, &err), RD_HTTP_DONE);
    conn->has_head = true;
    conn->head_size = head.head_size;
    conn->content_length = conn->room = bound;
    assert_true(encl_h2_admit(conn));
}

static void answer(encl_conn *conn, rd_bytes body)
{
    encl_conn_begin(conn, 201);
    encl_conn_line(conn, "Content-Type", RD_BYTES_LIT("text/plain "));
    assert_true(encl_conn_end(conn, body, false));
    rd_buf_append_str(&conn->receipt, "signed");
    conn->state = ENCL_CONN_WRITING;
    assert_int_equal(encl_h2_answer(conn), 0);
}

/* --- tests --- */

static void a_head_reads_as_one_of_http1(void **state)
{
    fixture *f = *state;
    encl_conn *conn = request(f, "GET", "/a?b", 0);
    assert_non_null(conn);
    assert_true(conn->is_head_in && conn->is_received);
    assert_int_equal(conn->refusal, 0);
    assert_int_equal(conn->fd, 7);
    assert_string_equal(rd_buf_text(&conn->in),
                        "GET /a?b HTTP/1.1\r\nHost: app.example\r\nx-one: two\r\ncookie: a=1; b=2\r\n\r\n");
}

static void an_answer_carries_its_receipt(void **state)
{
    fixture *f = *state;
    encl_conn *conn = request(f, "GET", "/", 0);
    take_head(conn, 0);
    answer(conn, RD_BYTES_LIT("hello"));
    (void)settle(f);
    assert_true(conn->is_gone);
    encl_h2_close(conn);
    assert_null(encl_h2_streams(f->h2));
    assert_string_equal(rd_buf_text(&f->fields),
                        ":status: 201\ncontent-type: text/plain\ncontent-length: 5\nredoubt-receipt: signed\n");
    assert_string_equal(rd_buf_text(&f->body), "hello");
    assert_int_equal(f->reset, UINT32_MAX);
}

static void a_stream_leaves_as_it_grows_and_its_receipt_is_the_trailer(void **state)
{
    fixture *f = *state;
    encl_conn *conn = request(f, "GET", "/", 0);
    take_head(conn, 0);
    encl_conn_begin(conn, 200);
    assert_true(encl_conn_stream(conn));
    assert_int_equal(encl_conn_flush(conn), ENCL_CONN_WAIT);
    (void)settle(f);
    assert_string_equal(rd_buf_text(&f->fields), ":status: 200\ntrailer: Redoubt-Receipt\n");
    assert_true(encl_conn_add(conn, RD_BYTES_LIT("one ")));
    assert_int_equal(encl_conn_flush(conn), ENCL_CONN_WAIT);
    (void)settle(f);
    assert_string_equal(rd_buf_text(&f->body), "one ");
    assert_true(encl_conn_add(conn, RD_BYTES_LIT("two")));
    rd_buf_append_str(&conn->receipt, "signed");
    encl_conn_complete(conn);
    assert_int_equal(encl_h2_answer(conn), 0);
    (void)settle(f);
    assert_string_equal(rd_buf_text(&f->body), "one two");
    assert_non_null(strstr(rd_buf_text(&f->fields), "redoubt-receipt: signed\n"));
    assert_true(conn->is_gone);
}

static void a_body_waits_for_room_and_comes_when_there_is_some(void **state)
{
    fixture *f = *state;
    (void)settle(f);
    encl_conn *conn = request(f, "POST", "/", 300000);
    assert_non_null(conn);
    size_t head = conn->in.size;
    assert_in_range(head, 16384, 17000); /* the first window alone */
    assert_false(conn->is_received);
    take_head(conn, 300000);
    (void)settle(f);
    assert_true(conn->is_received);
    assert_false(conn->is_excess);
    assert_int_equal(conn->in.size - conn->head_size, 300000);
}

static void a_body_comes_as_far_as_its_room(void **state)
{
    fixture *f = *state;
    static const size_t rooms[] = { 32768, 65536, 200000, 262144, 400000, 1000000 };
    (void)settle(f);
    encl_conn *conn = request(f, "POST", "/", 1000000);
    conn->head_size = conn->in.size - 16384;
    conn->content_length = 1000000;
    conn->room = 16384;
    assert_false(encl_h2_admit(conn)); /* what comes unasked */
    for (size_t i = 0; i < RD_ARRAY_LEN(rooms); i++) {
        conn->room = rooms[i];
        assert_true(encl_h2_admit(conn));
        assert_false(encl_h2_admit(conn));
        (void)settle(f);
        /* The library tells of room once it is half a window. */
        assert_in_range(conn->in.size - conn->head_size, RD_MIN(rooms[i], 262144), rooms[i]);
        assert_int_equal(conn->is_received, rooms[i] == 1000000);
    }
    assert_int_equal(conn->in.size - conn->head_size, 1000000);
    assert_false(conn->is_excess);
    encl_h2_close(conn);
    assert_non_null(request(f, "POST", "/again", 1000)); /* no window has leaked */
}

/* Who does not hear how small the first window is has one for all streams together. */
static void bodies_before_the_settings_share_a_window(void **state)
{
    fixture *f = *state;
    size_t held = 0;
    const nghttp2_nv fields[] = { FIELD(":path", "/"), FIELD(":method", "POST"), FIELD(":authority", "app.example"),
                                  FIELD(":scheme", "https") };
    const nghttp2_data_provider provider = { .read_callback = client_body };
    f->sent_size = SIZE_MAX;
    for (int i = 0; i < 8; i++)
        assert_true(nghttp2_submit_request(f->client, NULL, fields, RD_ARRAY_LEN(fields), &provider, NULL) > 0);
    assert_int_equal(nghttp2_session_send(f->client), 0);
    assert_int_equal(encl_h2_turn(f->h2), ENCL_CONN_WAIT);
    for (encl_conn *conn = encl_h2_streams(f->h2); conn != NULL; conn = conn->sibling)
        held += conn->held;
    assert_int_equal(held, 65535);
}

static void a_body_past_its_bound_is_cut(void **state)
{
    fixture *f = *state;
    encl_conn *conn = request(f, "POST", "/", 300000);
    take_head(conn, 100000);
    (void)settle(f);
    assert_true(conn->is_excess);
    assert_in_range(conn->in.size - conn->head_size, 100001, 100000 + 16384);
    answer(conn, RD_BYTES_LIT("no"));
    (void)settle(f);
    assert_string_equal(rd_buf_text(&f->body), "no");
    assert_int_equal(f->reset, NGHTTP2_NO_ERROR);
    assert_true(conn->is_gone);
    encl_h2_close(conn);
    assert_non_null(request(f, "POST", "/again", 1000)); /* no window has leaked */
}

static void a_large_answer_waits_for_wire_and_window(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    memset(rd_buf_reserve(&body, 500000), 'x', 500000);
    rd_buf_commit(&body, 500000);
    encl_conn *conn = request(f, "GET", "/", 0);
    take_head(conn, 0);
    f->room = 1000;
    answer(conn, rd_buf_bytes(&body));
    assert_int_equal(encl_h2_turn(f->h2), ENCL_CONN_WAIT);
    assert_int_equal(encl_h2_awaits(f->h2), POLLIN | POLLOUT);
    f->room = SIZE_MAX;
    assert_int_equal(encl_h2_turn(f->h2), ENCL_CONN_WAIT);
    assert_int_equal(encl_h2_awaits(f->h2), POLLIN); /* the window is full: 65535 */
    assert_false(conn->is_gone);
    (void)settle(f);
    assert_int_equal(f->body.size, 500000);
    assert_true(conn->is_gone);
}

static void resets_end_streams_of_either_side(void **state)
{
    fixture *f = *state;
    encl_conn *conn = request(f, "POST", "/", 300000);
    assert_int_equal(nghttp2_submit_rst_stream(f->client, 0, conn->stream, NGHTTP2_CANCEL), 0);
    (void)settle(f);
    assert_true(conn->is_gone);
    assert_int_equal(encl_h2_answer(conn), -1);
    encl_h2_close(conn);
    conn = request(f, "GET", "/", 0);
    encl_h2_close(conn);
    (void)settle(f);
    assert_int_equal(f->reset, NGHTTP2_INTERNAL_ERROR);
    assert_null(encl_h2_streams(f->h2));
}

static void there_are_bounds(void **state)
{
    fixture *f = *state;
    for (int i = 0; i < ENCL_H2_AT_ONCE; i++) {
        encl_conn *conn = request(f, "GET", "/", 0);
        assert_non_null(conn);
        conn->state = ENCL_CONN_READY;
    }
    assert_null(request(f, "GET", "/", 0));
    encl_conn *first = encl_h2_streams(f->h2);
    for (encl_conn *conn = first; conn->sibling != NULL; conn = conn->sibling)
        assert_true(conn->stream < conn->sibling->stream); /* in order of arrival */
    assert_ptr_equal(encl_h2_after(f->h2, 0), first);
    assert_ptr_equal(encl_h2_after(f->h2, first->stream), first->sibling);
    int32_t second = first->sibling->stream;
    encl_h2_close(first->sibling);
    assert_ptr_equal(encl_h2_after(f->h2, second), first->sibling); /* that it is over is no matter */
    encl_h2_give_up(first);
    assert_true(first->is_gone);
    assert_null(first->channel);
    assert_int_equal(encl_h2_answer(first), -1);
    encl_h2_close(first);
}

static void resets_in_a_row_end_the_session(void **state)
{
    fixture *f = *state;
    encl_conn_outcome outcome = ENCL_CONN_WAIT;
    for (int i = 0; i < 1000 && f->goaway == UINT32_MAX; i++) {
        encl_conn *conn = request(f, "GET", "/", 0);
        if (conn == NULL)
            break;
        (void)nghttp2_submit_rst_stream(f->client, 0, conn->stream, NGHTTP2_CANCEL);
        outcome = settle(f);
        if (conn->is_gone)
            encl_h2_close(conn);
    }
    assert_int_equal(f->goaway, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(outcome, ENCL_CONN_DONE);
}

/* The library drops it without a word, and gives its window back. */
static void the_body_of_a_stream_that_is_over_is_counted(void **state)
{
    fixture *f = *state;
    static const uint8_t head[9] = { 0, 0x03, 0xe8, NGHTTP2_DATA, 0, 0, 0, 0, 1 }, body[1000];
    encl_conn *conn = request(f, "POST", "/", 100);
    encl_h2_close(conn);
    (void)settle(f);
    int count = 0;
    for (; count < 4000 && f->goaway == UINT32_MAX; count++) {
        rd_buf_append(&f->to_server, head, sizeof head);
        rd_buf_append(&f->to_server, body, sizeof body);
        (void)settle(f);
    }
    assert_int_equal(f->goaway, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_in_range(count, 900, 3000);
}

static void draining_answers_what_is_there(void **state)
{
    fixture *f = *state;
    encl_conn *conn = request(f, "GET", "/", 0);
    take_head(conn, 0);
    encl_h2_drain(f->h2);
    assert_int_equal(settle(f), ENCL_CONN_WAIT);
    assert_int_equal(f->goaway, NGHTTP2_NO_ERROR);
    answer(conn, RD_BYTES_LIT("last"));
    assert_int_equal(settle(f), ENCL_CONN_DONE);
    assert_string_equal(rd_buf_text(&f->body), "last");
}

static void what_is_no_preface_is_no_session(void **state)
{
    fixture *f = *state;
    rd_buf_append_str(&f->to_server, "GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_int_equal(encl_h2_turn(f->h2), ENCL_CONN_GONE);
    assert_int_equal(encl_h2_turn(f->h2), ENCL_CONN_GONE);
}

/* What could pass for two lines, or for another line, is none. */
static void heads_that_are_ambiguous_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *label, *method, *path, *authority, *name, *value;
        rd_code want;
    } rows[] = {
        { "good", "GET", "/", "a.example", "x", "y", 0 },
        { "space in the method", "GE T", "/", "a.example", "x", "y", RD_E_HTTP_SYNTAX },
        { "no method", "", "/", "a.example", "x", "y", RD_E_HTTP_SYNTAX },
        { "method too long", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/", "a.example", "x", "y", RD_E_HTTP_SYNTAX },
        { "a line in the path", "GET", "/ HTTP/1.1\r\nx: y", "a.example", "x", "y", RD_E_HTTP_SYNTAX },
        { "no path", "GET", "", "a.example", "x", "y", RD_E_HTTP_SYNTAX },
        { "all of the server", "OPTIONS", "*", "a.example", "x", "y", RD_E_HTTP_SYNTAX },
        { "a line in the authority", "GET", "/", "a\r\nx: y", "x", "y", RD_E_HTTP_SYNTAX },
        { "user in the authority", "GET", "/", "u@a.example", "x", "y", RD_E_HTTP_SYNTAX },
        { "a line in a value", "GET", "/", "a.example", "x", "y\r\nz: 1", RD_E_HTTP_SYNTAX },
        { "a colon in a name", "GET", "/", "a.example", "x: y", "z", RD_E_HTTP_SYNTAX },
        { "no name", "GET", "/", "a.example", "", "z", RD_E_HTTP_SYNTAX },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        h2_head head = { .refusal = 0 };
        RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
        h2_head_begin(&head);
        h2_head_add(&head, RD_BYTES_LIT(":method"), rd_bytes_str(rows[i].method), &text);
        h2_head_add(&head, RD_BYTES_LIT(":path"), rd_bytes_str(rows[i].path), &text);
        h2_head_add(&head, RD_BYTES_LIT(":authority"), rd_bytes_str(rows[i].authority), &text);
        h2_head_add(&head, rd_bytes_str(rows[i].name), rd_bytes_str(rows[i].value), &text);
        if (h2_head_end(&head, &text) != rows[i].want)
            fail_msg("%s", rows[i].label);
    }
}

static void a_head_is_bounded(void **state)
{
    (void)state;
    h2_head head = { .refusal = 0 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf large = { 0 };
    memset(rd_buf_reserve(&large, 4000), 'v', 4000);
    rd_buf_commit(&large, 4000);
    for (int is_cookie = 0; is_cookie < 2; is_cookie++) {
        rd_buf_clear(&text);
        h2_head_begin(&head);
        h2_head_add(&head, RD_BYTES_LIT(":method"), RD_BYTES_LIT("GET"), &text);
        h2_head_add(&head, RD_BYTES_LIT(":path"), RD_BYTES_LIT("/"), &text);
        for (int i = 0; i < 10000; i++)
            h2_head_add(&head, is_cookie ? RD_BYTES_LIT("cookie") : RD_BYTES_LIT("x"), rd_buf_bytes(&large), &text);
        assert_true(text.size < RD_HTTP_HEAD_MAX + 2048);
        assert_int_equal(h2_head_end(&head, &text), RD_E_HTTP_HEADERS_TOO_LARGE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_head_reads_as_one_of_http1, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_carries_its_receipt, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stream_leaves_as_it_grows_and_its_receipt_is_the_trailer, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_waits_for_room_and_comes_when_there_is_some, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_comes_as_far_as_its_room, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies_before_the_settings_share_a_window, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_past_its_bound_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_answer_waits_for_wire_and_window, setup, teardown),
        cmocka_unit_test_setup_teardown(resets_end_streams_of_either_side, setup, teardown),
        cmocka_unit_test_setup_teardown(there_are_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(resets_in_a_row_end_the_session, setup, teardown),
        cmocka_unit_test_setup_teardown(the_body_of_a_stream_that_is_over_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(draining_answers_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_preface_is_no_session, setup, teardown),
        cmocka_unit_test(heads_that_are_ambiguous_are_refused),
        cmocka_unit_test(a_head_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
