// link: enclave_core encl_engine
/* HTTP/2 frames into an instance's session, with a server that answers as one does: by the path a whole answer, a
 * stream, a refusal, an end. First byte: in what pieces the bytes come, and how much the wire takes. Heads that come
 * through are heads of HTTP/1.1, bodies stay within their bound, and what is counted is let go. */
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "enclave/runtime/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_MAX 4096

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

typedef struct wire {
    rd_bytes in;
    size_t step, room;
} wire;

static ssize_t wire_read(void *context, void *into, size_t size)
{
    wire *w = context;
    size_t step = RD_MIN(RD_MIN(size, w->step), w->in.size);
    if (step == 0)
        return ENCL_CHANNEL_WAIT;
    memcpy(into, w->in.data, step);
    w->in = rd_bytes_of(w->in.data + step, w->in.size - step);
    return (ssize_t)step;
}

static ssize_t wire_write(void *context, rd_bytes bytes)
{
    wire *w = context;
    size_t step = RD_MIN(bytes.size, w->room);
    w->room -= step;
    return step == 0 ? ENCL_CHANNEL_WAIT : (ssize_t)step;
}

static void answer_whole(encl_conn *conn, size_t size)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    memset(rd_buf_reserve(&body, size + 1), 'x', size);
    rd_buf_commit(&body, size);
    encl_conn_begin(conn, 200);
    encl_conn_line(conn, "X-Own", RD_BYTES_LIT(" y"));
    if (!encl_conn_end(conn, rd_buf_bytes(&body), false))
        abort();
    rd_buf_append_str(&conn->receipt, "signed");
}

static void answer_stream(encl_conn *conn)
{
    encl_conn_begin(conn, 200);
    if (!encl_conn_stream(conn) || encl_conn_flush(conn) == ENCL_CONN_DONE ||
        !encl_conn_add(conn, RD_BYTES_LIT("one")) || encl_conn_flush(conn) == ENCL_CONN_DONE)
        abort();
    rd_buf_append_str(&conn->receipt, "signed");
    encl_conn_complete(conn);
}

static void run(encl_conn *conn, const rd_http_head *request)
{
    conn->state = ENCL_CONN_WRITING;
    if (request->target.size % 4 == 0) {
        encl_h2_close(conn);
        return;
    }
    if (request->target.size % 4 == 1)
        answer_stream(conn);
    else
        answer_whole(conn, request->target.size % 4 == 2 ? 0 : 70000);
    if (encl_h2_answer(conn) < 0)
        encl_h2_close(conn);
}

static void take(encl_conn *conn)
{
    static rd_http_head request;
    rd_err err = RD_ERR_INIT;
    size_t scanned = 0;
    if (!conn->is_head_in)
        return;
    if (conn->refusal != 0 ||
        rd_http_head_parse(rd_buf_bytes(&conn->in), 0, &scanned, &request, &err) != RD_HTTP_DONE) {
        answer_whole(conn, 1);
        conn->state = ENCL_CONN_WRITING;
        if (encl_h2_answer(conn) < 0)
            encl_h2_close(conn);
        return;
    }
    conn->head_size = request.head_size;
    if (!conn->is_admitted) {
        conn->content_length = conn->room = BODY_MAX;
        (void)encl_h2_admit(conn);
    }
    if (!conn->is_excess && conn->in.size - conn->head_size > BODY_MAX)
        abort();
    if (conn->is_excess || conn->is_received)
        run(conn, &request);
}

static void take_all(encl_h2 *h2)
{
    size_t count = 0;
    encl_conn *next;
    for (encl_conn *conn = encl_h2_streams(h2); conn != NULL; conn = next) {
        next = conn->sibling;
        if (++count > ENCL_H2_AT_ONCE)
            abort();
        if (conn->is_gone)
            encl_h2_close(conn);
        else if (conn->state == ENCL_CONN_READING)
            take(conn);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static encl_h2s *all;
    if (all == NULL)
        all = encl_h2s_new();
    encl_conn carrier = { .fd = -1 };
    wire w = { .step = (size_t)(data[0] & 15) + 1, .room = data[0] & 16 ? 500 : SIZE_MAX };
    encl_h2 *h2 = encl_h2_new(all, &carrier, &(encl_h2_transport){ wire_read, wire_write, &w });
    if ((data[0] & 32) == 0)
        encl_h2_feed(h2, RD_BYTES_LIT(preface));
    rd_bytes rest = rd_bytes_of(data + 1, size - 1);
    for (encl_conn_outcome outcome = ENCL_CONN_WAIT; outcome == ENCL_CONN_WAIT && rest.size > 0;) {
        size_t step = RD_MIN(rest.size, (size_t)16 << (data[0] >> 6));
        w.in = rd_bytes_of(rest.data, step);
        rest = rd_bytes_of(rest.data + step, rest.size - step);
        outcome = encl_h2_turn(h2);
        take_all(h2);
    }
    w.room = SIZE_MAX;
    (void)encl_h2_turn(h2);
    while (encl_h2_streams(h2) != NULL)
        encl_h2_close(encl_h2_streams(h2));
    encl_h2_free(h2);
    return 0;
}
