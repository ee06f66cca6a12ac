#include "enclave/runtime/h2.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/mem.h"
#include "enclave/runtime/h2_head.h"
#include "common/http/field.h"

#define READ_STEP     ((size_t)16 << 10)
#define READS_MAX     64                 /* a turn */
#define OUT_STEP      ((size_t)16 << 10) /* a record of TLS */
#define OUT_MAX       ((size_t)1 << 20)
#define WINDOW_FIRST  (16 << 10) /* of a body whose room is not reserved yet */
#define WINDOW_BODY   (256 << 10)
#define WINDOW_ALL    (1 << 20)           /* once a peer knows the first; 64 KiB until then */
#define HEAD_SENT_MAX ((size_t)384 << 10) /* of an answer: what conn holds, and a receipt */
#define ACKS_MAX      64
#define CREDIT_MAX    1000
#define CREDIT_US     INT64_C(10000) /* one comes back in */
#define COST_RESET    10
#define GAIN          2 /* for a large frame or a whole answer: updates of windows come back for them */
#define LARGE         ((size_t)1 << 10)
#define DISCARDED_MAX ((size_t)1 << 20) /* of one who goes on after the end */

struct encl_h2s {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options;
    size_t count; /* streams */
};

struct encl_h2 {
    encl_h2s *all;
    encl_conn *carrier;
    encl_h2_transport transport;
    nghttp2_session *session;
    encl_conn *streams;
    size_t count;
    h2_head head; /* the block that comes: one at a time (RFC 9113, 4.3) */
    rd_buf out;   /* frames on their way */
    size_t written, discarded;
    size_t unused; /* bytes that came and were no body, since they were last charged */
    int64_t credit, credited_us;
    bool has_failed;
    bool is_over; /* nothing more is taken; what was said last goes out */
    bool is_drained;
    bool has_more; /* to read */
};

static int64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static encl_conn *stream_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* --- what costs ------------------------------------------------------------------------------------------------- */

static void gain(encl_h2 *h2, int64_t credit)
{
    h2->credit = RD_MIN(h2->credit + credit, (int64_t)CREDIT_MAX);
}

static void charge(encl_h2 *h2, int64_t cost)
{
    if (cost == 0 || h2->is_over)
        return;
    int64_t back = (now_us() - h2->credited_us) / CREDIT_US;
    if (back > 0) {
        gain(h2, RD_MIN(back, (int64_t)CREDIT_MAX));
        h2->credited_us += back * CREDIT_US;
    }
    h2->credit -= cost;
    if (h2->credit >= 0)
        return;
    (void)nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
    h2->is_over = true;
}

/* A request costs the streams that it may have at once; bodies cost windows. */
static int on_begin_frame(nghttp2_session *session RD_UNUSED, const nghttp2_frame_hd *hd, void *user)
{
    bool is_padding = hd->length < LARGE && (hd->flags & NGHTTP2_FLAG_PADDED) != 0;
    bool is_empty = hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0;
    if (hd->type == NGHTTP2_RST_STREAM)
        charge(user, COST_RESET);
    else if (hd->type == NGHTTP2_DATA)
        charge(user, is_empty || is_padding ? 1 : 0);
    else if (hd->type != NGHTTP2_HEADERS)
        charge(user, 1);
    return 0;
}

/* RFC 9113, 5.5: frames of other kinds are dropped. The library tells of those alone that it was asked for. */
static int on_extension(nghttp2_session *session RD_UNUSED, void **payload RD_UNUSED,
                        const nghttp2_frame_hd *hd RD_UNUSED, void *user RD_UNUSED)
{
    return NGHTTP2_ERR_CANCEL;
}

static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    encl_h2 *h2 = user;
    bool is_body = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (frame->hd.type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR)
        charge(h2, COST_RESET);
    if (!is_body)
        return 0;
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (is_end || frame->hd.length >= LARGE)
        gain(h2, GAIN);
    /* RFC 9113, 8.1: the answer is whole, the rest of the request is not wanted. */
    if (is_end && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

/* --- streams ---------------------------------------------------------------------------------------------------- */

static void add_stream(encl_h2 *h2, int32_t id)
{
    encl_conn *conn = rd_alloc(sizeof *conn);
    encl_conn_open(conn, h2->carrier->fd);
    conn->is_greeted = true;
    conn->channel = h2->carrier->channel;
    conn->carrier = h2->carrier;
    conn->h2 = h2;
    conn->stream = id;
    encl_conn **last = &h2->streams;
    while (*last != NULL)
        last = &(*last)->sibling;
    *last = conn;
    h2->count++;
    h2->all->count++;
    h2_head_begin(&h2->head);
    (void)nghttp2_session_set_stream_user_data(h2->session, id, conn);
}

static bool is_request(const nghttp2_frame *frame)
{
    return frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST;
}

/* A stream that was reset counts until the server has let it go. */
static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    encl_h2 *h2 = user;
    if (!is_request(frame))
        return 0;
    bool is_full = h2->count >= ENCL_H2_AT_ONCE || (h2->all->count >= ENCL_H2_STREAMS_MAX && h2->count > 0);
    if (is_full || h2->is_over)
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_REFUSED_STREAM);
    add_stream(h2, frame->hd.stream_id);
    return 0;
}

/* Trailers of a request are read and dropped. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_size,
                     const uint8_t *value, size_t value_size, uint8_t flags RD_UNUSED, void *user)
{
    encl_h2 *h2 = user;
    encl_conn *conn = stream_of(session, frame->hd.stream_id);
    if (conn != NULL && is_request(frame))
        h2_head_add(&h2->head, rd_bytes_of(name, name_size), rd_bytes_of(value, value_size), &conn->in);
    return 0;
}

static int on_bad_header(nghttp2_session *session RD_UNUSED, const nghttp2_frame *frame, const uint8_t *name RD_UNUSED,
                         size_t name_size RD_UNUSED, const uint8_t *value RD_UNUSED, size_t value_size RD_UNUSED,
                         uint8_t flags RD_UNUSED, void *user)
{
    if (is_request(frame))
        ((encl_h2 *)user)->head.refusal = RD_E_HTTP_SYNTAX;
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    encl_h2 *h2 = user;
    bool is_body = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        return nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_ALL);
    encl_conn *conn = is_body ? stream_of(session, frame->hd.stream_id) : NULL;
    if (conn == NULL)
        return 0;
    if (is_request(frame)) {
        conn->refusal = h2_head_end(&h2->head, &conn->in);
        conn->is_head_in = true;
    }
    conn->is_received |= (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    return 0;
}

/* What comes ahead of its room keeps its window, which bounds it; before there is any, the connection's as well. */
static int on_data(nghttp2_session *session, uint8_t flags RD_UNUSED, int32_t id, const uint8_t *data, size_t size,
                   void *user)
{
    encl_conn *conn = stream_of(session, id);
    if (conn == NULL || conn->is_excess)
        return nghttp2_session_consume_connection(session, size);
    ((encl_h2 *)user)->unused -= RD_MIN(size, ((encl_h2 *)user)->unused);
    rd_buf_append(&conn->in, data, size);
    if (!conn->is_admitted) {
        conn->held += size;
        return 0;
    }
    conn->is_excess = conn->in.has_failed || conn->in.size - conn->head_size > conn->content_length;
    if (conn->room >= conn->content_length)
        return nghttp2_session_consume(session, id, size);
    conn->held += size;
    return nghttp2_session_consume_connection(session, size);
}

static void end_stream(encl_conn *conn)
{
    if (conn->held > 0 && !conn->is_admitted)
        (void)nghttp2_session_consume_connection(conn->h2->session, conn->held);
    conn->held = 0;
    conn->is_gone = true;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code RD_UNUSED, void *user RD_UNUSED)
{
    encl_conn *conn = stream_of(session, id);
    if (conn != NULL)
        end_stream(conn);
    return 0;
}

encl_conn *encl_h2_streams(const encl_h2 *h2)
{
    return h2->streams;
}

encl_conn *encl_h2_after(const encl_h2 *h2, int32_t stream)
{
    encl_conn *conn = h2->streams;
    while (conn != NULL && conn->stream <= stream)
        conn = conn->sibling;
    return conn;
}

/* What was consumed and the window together are never more than the room. */
static size_t consumable(const encl_conn *conn, size_t come, size_t window)
{
    size_t consumed = come - conn->held;
    if (conn->room >= conn->content_length)
        return conn->held;
    return conn->room > window + consumed ? RD_MIN(conn->held, conn->room - window - consumed) : 0;
}

static bool is_known(const encl_conn *conn)
{
    if (conn->is_admitted)
        return conn->admitted == conn->room;
    return !conn->is_received && conn->room < conn->content_length && conn->room <= WINDOW_FIRST;
}

bool encl_h2_admit(encl_conn *conn)
{
    nghttp2_session *session = conn->h2->session;
    size_t come = conn->in.size - conn->head_size;
    if (is_known(conn))
        return false;
    if (!conn->is_admitted && conn->held > 0)
        (void)nghttp2_session_consume_connection(session, conn->held);
    conn->is_admitted = true;
    conn->admitted = conn->room;
    conn->is_excess = come > conn->content_length;
    if (conn->is_gone || conn->is_received)
        return true;
    size_t window = RD_MAX(RD_MIN(conn->room, (size_t)WINDOW_BODY), (size_t)WINDOW_FIRST);
    size_t step = consumable(conn, come, window);
    (void)nghttp2_session_consume_stream(session, conn->stream, step);
    conn->held -= step;
    if (window > WINDOW_FIRST)
        (void)nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, conn->stream, (int32_t)window);
    return true;
}

static void unlink_stream(encl_conn *conn)
{
    encl_h2 *h2 = conn->h2;
    encl_conn **at = &h2->streams;
    while (*at != conn)
        at = &(*at)->sibling;
    *at = conn->sibling;
    (void)nghttp2_session_set_stream_user_data(h2->session, conn->stream, NULL); /* where the library still has it */
    h2->count--;
    h2->all->count--;
    conn->h2 = NULL;
    conn->carrier = NULL;
    conn->channel = NULL;
    conn->fd = -1;
}

void encl_h2_give_up(encl_conn *conn)
{
    conn->is_gone = true;
    unlink_stream(conn);
}

void encl_h2_close(encl_conn *conn)
{
    if (conn->h2 != NULL && !conn->is_gone) {
        (void)nghttp2_submit_rst_stream(conn->h2->session, NGHTTP2_FLAG_NONE, conn->stream, NGHTTP2_INTERNAL_ERROR);
        end_stream(conn);
    }
    if (conn->h2 != NULL)
        unlink_stream(conn);
    encl_conn_close(conn); /* channel and descriptor are the carrier's, and were given back */
    free(conn);
}

/* --- answers ---------------------------------------------------------------------------------------------------- */

static bool has_trailer(const encl_conn *conn)
{
    return conn->is_streamed && conn->sealing == NULL && conn->receipt.size > 0;
}

static nghttp2_nv field_of(rd_bytes name, rd_bytes value)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.data,
                         .namelen = name.size,
                         .value = (uint8_t *)(uintptr_t)value.data,
                         .valuelen = value.size };
}

static nghttp2_nv receipt_field(const encl_conn *conn)
{
    return field_of(RD_BYTES_LIT("redoubt-receipt"), rd_buf_bytes(&conn->receipt));
}

static ssize_t draw(nghttp2_session *session, int32_t id, uint8_t *into, size_t size, uint32_t *flags,
                    nghttp2_data_source *source RD_UNUSED, void *user RD_UNUSED)
{
    encl_conn *conn = stream_of(session, id);
    if (conn == NULL)
        return NGHTTP2_ERR_DEFERRED; /* it is being reset */
    ssize_t got = encl_conn_draw(conn, into, size);
    if (got < 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (!encl_conn_is_drawn(conn))
        return got > 0 ? got : NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (has_trailer(conn)) {
        const nghttp2_nv trailer = receipt_field(conn);
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (nghttp2_submit_trailer(session, id, &trailer, 1) != 0)
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return got;
}

/* RFC 9113, 8.2.2: not in HTTP/2. Of others that concern a connection a head of ours has none. */
static bool is_hop(rd_bytes name)
{
    return rd_http_is_named(name, "connection") || rd_http_is_named(name, "transfer-encoding");
}

/* The library puts names in lower case. */
static size_t read_fields(const encl_conn *conn, nghttp2_nv *ret)
{
    size_t count = 0;
    rd_bytes name, value, rest = rd_buf_bytes(&conn->head);
    ret[count++] = field_of(RD_BYTES_LIT(":status"), rd_bytes_of(rest.data + sizeof "HTTP/1.1", 3));
    while (encl_conn_next_line(&rest, &name, &value)) {
        if (!is_hop(name))
            ret[count++] = field_of(name, value);
    }
    if (!conn->is_streamed && conn->receipt.size > 0)
        ret[count++] = receipt_field(conn);
    return count;
}

static size_t count_lines(rd_bytes text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    return count;
}

static int submit(encl_conn *conn)
{
    RD_CLEANUP(rd_free_p)
    nghttp2_nv *fields = rd_alloc_array(count_lines(rd_buf_bytes(&conn->head)) + 2, sizeof *fields);
    size_t count = read_fields(conn, fields);
    const nghttp2_data_provider content = { .read_callback = draw };
    bool has_content = conn->is_streamed || conn->body.size > 0;
    encl_conn_begin_drawing(conn);
    conn->is_answered = true;
    return nghttp2_submit_response(conn->h2->session, conn->stream, fields, count, has_content ? &content : NULL);
}

int encl_h2_answer(encl_conn *conn)
{
    if (conn->is_gone)
        return -1;
    if (!conn->is_answered)
        return submit(conn) == 0 ? 0 : -1;
    (void)nghttp2_session_resume_data(conn->h2->session, conn->stream); /* or it has not stopped */
    return 0;
}

/* --- the session ------------------------------------------------------------------------------------------------ */

static bool set_up(encl_h2s *all)
{
    if (nghttp2_session_callbacks_new(&all->callbacks) != 0 || nghttp2_option_new(&all->options) != 0)
        return false;
    nghttp2_session_callbacks_set_on_begin_frame_callback(all->callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(all->callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_begin_headers_callback(all->callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(all->callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(all->callbacks, on_bad_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(all->callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(all->callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(all->callbacks, on_stream_close);
    nghttp2_session_callbacks_set_unpack_extension_callback(all->callbacks, on_extension);
    for (unsigned type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++)
        nghttp2_option_set_user_recv_extension_type(all->options, (uint8_t)type);
    nghttp2_option_set_no_auto_window_update(all->options, 1);
    nghttp2_option_set_no_closed_streams(all->options, 1);
    nghttp2_option_set_max_outbound_ack(all->options, ACKS_MAX);
    nghttp2_option_set_max_send_header_block_length(all->options, HEAD_SENT_MAX);
    /* Answers' fields may hold secrets beside what a caller chose: no table, so that no size tells of them. */
    nghttp2_option_set_max_deflate_dynamic_table_size(all->options, 0);
    return true;
}

encl_h2s *encl_h2s_new(void)
{
    encl_h2s *all = rd_alloc(sizeof *all);
    if (!set_up(all))
        abort();
    return all;
}

encl_h2s *encl_h2s_free(encl_h2s *all)
{
    if (all != NULL) {
        nghttp2_session_callbacks_del(all->callbacks);
        nghttp2_option_del(all->options);
        free(all);
    }
    return NULL;
}

static bool greet(encl_h2 *h2)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, ENCL_H2_AT_ONCE },
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_FIRST },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, RD_HTTP_HEAD_MAX },
    };
    return nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings, RD_ARRAY_LEN(settings)) == 0;
}

encl_h2 *encl_h2_new(encl_h2s *all, encl_conn *carrier, const encl_h2_transport *transport)
{
    encl_h2 *h2 = rd_alloc(sizeof *h2);
    h2->all = all;
    h2->carrier = carrier;
    h2->transport = *transport;
    h2->credit = CREDIT_MAX;
    h2->credited_us = now_us();
    rd_buf_init(&h2->out, OUT_MAX);
    h2->has_failed = nghttp2_session_server_new2(&h2->session, all->callbacks, h2, all->options) != 0 || !greet(h2);
    return h2;
}

encl_h2 *encl_h2_free(encl_h2 *h2)
{
    if (h2 != NULL) {
        nghttp2_session_del(h2->session);
        h2_head_done(&h2->head);
        rd_buf_wipe(&h2->out);
        free(h2);
    }
    return NULL;
}

void encl_h2_feed(encl_h2 *h2, rd_bytes bytes)
{
    if (h2->has_failed || h2->is_over || bytes.size == 0)
        return;
    h2->unused += bytes.size;
    ssize_t taken = nghttp2_session_mem_recv(h2->session, bytes.data, bytes.size);
    charge(h2, (int64_t)(h2->unused / LARGE)); /* frames of streams that are over reach no callback */
    h2->unused %= LARGE;
    h2->has_failed = taken < 0; /* no preface, or acknowledgements that nobody fetches */
}

/* A socket that is closed over unread bytes takes what was said last with it. */
static void discard(encl_h2 *h2, size_t size)
{
    h2->discarded += size;
    h2->has_failed = h2->discarded > DISCARDED_MAX;
}

/* What a peer sends is bounded by windows, by streams at once, and for all else by its credit; but others are waiting.
 */
static void receive(encl_h2 *h2)
{
    uint8_t piece[READ_STEP];
    h2->has_more = false;
    for (int i = 0; !h2->has_failed; i++) {
        if (i == READS_MAX) {
            h2->has_more = true;
            return;
        }
        ssize_t got = h2->transport.read(h2->transport.context, piece, sizeof piece);
        if (got == ENCL_CHANNEL_WAIT)
            return;
        if (got <= 0)
            h2->has_failed = true;
        else if (h2->is_over)
            discard(h2, (size_t)got);
        else
            encl_h2_feed(h2, rd_bytes_of(piece, (size_t)got));
    }
}

/* False: there is none. */
static bool fetch_frames(encl_h2 *h2)
{
    rd_buf_clear(&h2->out);
    h2->written = 0;
    while (h2->out.size < OUT_STEP) {
        const uint8_t *frame = NULL;
        ssize_t size = nghttp2_session_mem_send(h2->session, &frame);
        if (size < 0 || (size > 0 && !rd_buf_append(&h2->out, frame, (size_t)size)))
            h2->has_failed = true;
        if (size <= 0 || h2->has_failed)
            break;
    }
    return h2->out.size > 0 && !h2->has_failed;
}

static void send_frames(encl_h2 *h2)
{
    while (!h2->has_failed && (h2->written < h2->out.size || fetch_frames(h2))) {
        rd_bytes rest = rd_bytes_of(h2->out.data + h2->written, h2->out.size - h2->written);
        ssize_t put = h2->transport.write(h2->transport.context, rest);
        if (put == ENCL_CHANNEL_WAIT)
            return;
        h2->has_failed = put <= 0;
        h2->written += put > 0 ? (size_t)put : 0;
    }
    rd_buf_wipe(&h2->out); /* an idle session holds none */
    rd_buf_init(&h2->out, OUT_MAX);
    h2->written = 0;
}

encl_conn_outcome encl_h2_turn(encl_h2 *h2)
{
    receive(h2);
    send_frames(h2);
    if (!h2->has_failed && nghttp2_session_want_read(h2->session) == 0)
        h2->is_over = true;
    for (encl_conn *conn = h2->streams; (h2->has_failed || h2->is_over) && conn != NULL; conn = conn->sibling)
        conn->is_gone = true;
    if (h2->has_failed)
        return ENCL_CONN_GONE;
    bool is_out = h2->out.size == 0 && nghttp2_session_want_write(h2->session) == 0;
    return h2->is_over && is_out ? ENCL_CONN_DONE : ENCL_CONN_WAIT;
}

bool encl_h2_has_more(const encl_h2 *h2)
{
    return h2->has_more;
}

short encl_h2_awaits(const encl_h2 *h2)
{
    return h2->out.size > 0 ? POLLIN | POLLOUT : POLLIN;
}

void encl_h2_drain(encl_h2 *h2)
{
    if (h2->is_drained || h2->has_failed)
        return;
    h2->is_drained = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    (void)nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
}
