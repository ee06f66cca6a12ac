#include "api/front_private.h"

#include <assert.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/http/field.h"

#define TAKES            (RD_HTTP_TAKES_CHUNKS | RD_HTTP_TAKES_EXPECT | RD_HTTP_TAKES_OLD)
#define TARGET_MAX       4096
#define HEADERS_SIZE_MAX ((size_t)16 << 10)
#define SKIP_MAX         ((size_t)64 << 10) /* a body that nobody reads, for which a connection is kept */
#define TRAILERS_MAX     ((size_t)4 << 10)

/* ---- the head ---- */

static void fill_random(void *context, void *out, size_t size)
{
    api_front *front = context;
    if (front->random_left < size) {
        rd_random_bytes(front->random, sizeof front->random);
        front->random_left = sizeof front->random;
    }
    front->random_left -= size;
    memcpy(out, front->random + front->random_left, size);
}

/* The caller's id is echoed when it could be one of ours, so that logs of both sides meet. */
static void take_id(api_turn *c, const rd_http_head *head)
{
    const rd_random source = { fill_random, c->front };
    const rd_http_header *sent = head ? rd_http_head_find(head, "request-id") : NULL;
    rd_id id;
    rd_err ignored = RD_ERR_INIT;
    if (!sent || rd_id_parse(RD_PREFIX_REQUEST, (const char *)sent->value.data, sent->value.size, &id, &ignored) < 0)
        id = rd_id_new(rd_clock_wall_us(c->front->options.context->clock), &source);
    rd_id_format(RD_PREFIX_REQUEST, &id, c->id);
}

/* W3C Trace Context, 3.2: version-traceid-parentid-flags, lower-case hex. */
static void take_trace(api_turn *c, const rd_http_head *head)
{
    static const char shape[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    const rd_http_header *sent = rd_http_head_find(head, "traceparent");
    if (!sent || sent->value.size != sizeof shape - 1 || memcmp(sent->value.data, "ff", 2) == 0)
        return;
    for (size_t i = 0; i < sizeof shape - 1; i++) {
        uint8_t byte = sent->value.data[i];
        bool is_hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
        if (shape[i] == 'h' ? !is_hex : byte != '-')
            return;
    }
    memcpy(c->trace, sent->value.data, sizeof shape - 1);
    c->trace[sizeof shape - 1] = 0;
}

static void begin_turn(api_turn *c, const rd_http_head *head)
{
    c->started_us = rd_clock_boot_us(c->front->options.context->clock);
    take_id(c, head);
    if (!head)
        return;
    take_trace(c, head);
    memcpy(c->method, head->method.data, head->method.size); /* at most 32 bytes, by the parser */
    c->method[head->method.size] = 0;
    c->is_head = strcmp(c->method, "HEAD") == 0;
    c->is_old = head->is_old;
    c->closes = !head->keeps_alive;
}

static int check_head(const rd_http_head *head, rd_err *err)
{
    size_t size = head->head_size - head->target.size - head->method.size;
    if (head->target.size > TARGET_MAX)
        return rd_err_set(err, RD_E_HEADERS_TOO_LARGE, "the request target is longer than %d bytes", TARGET_MAX);
    if (size > HEADERS_SIZE_MAX)
        return rd_err_set(err, RD_E_HEADERS_TOO_LARGE, "headers of %zu bytes; at most %zu", size, HEADERS_SIZE_MAX);
    return 0;
}

/* Whoever takes the body later pays for it from now on. */
static int admit_body(api_turn *c, const rd_http_head *head, rd_err *err)
{
    const api_front_options *options = &c->front->options;
    if (head->content_length > options->body_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "the body has %llu bytes; at most %zu",
                          (unsigned long long)head->content_length, options->body_max);
    c->intake.body_max = options->body_max;
    rd_buf_init(&c->intake.body, options->body_max);
    if (options->on_body(c, head, err) < 0)
        return -1;
    api_intake_address(&c->intake, c->address);
    return api_intake_admit(&c->intake, head->content_length, err);
}

/* A body that was refused is thrown away when it is small, so that the connection is kept; one that waits to be asked
 * for may never come (RFC 9110, 10.1.1). */
static void refuse_head(api_turn *c, const rd_http_head *head, const rd_err *err)
{
    if (head->is_chunked || head->expects_continue || head->content_length > SKIP_MAX)
        c->closes = true;
    else
        c->body_left = head->content_length;
    front_refuse(c, err);
}

void api_turn_keep(api_turn *turn, const rd_http_head *head)
{
    turn->is_kept = true;
    if (turn->head.size > 0)
        return;
    front_buffer_take(turn->front, &turn->head);
    (void)rd_buf_append(&turn->head, head->method.data, head->head_size);
}

/* It was read once without a complaint, and is again. */
const rd_http_head *api_turn_head(api_turn *turn)
{
    size_t scanned = 0;
    rd_http_head *head = &turn->front->head;
    int outcome = rd_http_head_parse(rd_buf_bytes(&turn->head), TAKES, &scanned, head, NULL);
    assert(outcome == RD_HTTP_DONE);
    return head;
}

static void hand_over(api_turn *c, const rd_http_head *head)
{
    c->state = FRONT_TURN;
    front_wait_for(c, WAIT_NONE);
    c->is_owned = true;
    c->front->options.on_request(c, head);
}

static void begin_body(api_turn *c, const rd_http_head *head, rd_bytes text, bool has_more)
{
    c->state = FRONT_BODY;
    front_wait_for(c, WAIT_NONE);
    front_buffer_take(c->front, &c->head);
    (void)rd_buf_append_bytes(&c->head, text);
    c->is_chunked = head->is_chunked;
    c->body_left = head->content_length;
    if (c->is_chunked)
        rd_http_chunks_begin(&c->chunks, c->intake.body_max, TRAILERS_MAX);
    api_intake_begin(&c->intake);
    if (head->expects_continue && !has_more)
        front_write_raw(c, RD_BYTES_LIT("HTTP/1.1 100 Continue\r\n\r\n"));
}

static bool read_head(api_turn *c, rd_bytes *rest)
{
    rd_err err = RD_ERR_INIT;
    rd_http_head *head = &c->front->head;
    if (rest->size == 0)
        return false;
    int outcome = rd_http_head_parse(*rest, TAKES, &c->scanned, head, &err);
    if (outcome == RD_HTTP_MORE) {
        if (c->wait != WAIT_HEAD)
            front_wait_for(c, WAIT_HEAD);
        return false;
    }
    c->scanned = 0;
    if (outcome < 0) {
        begin_turn(c, NULL);
        c->closes = true;
        front_refuse(c, &err);
        return true;
    }
    rd_bytes text = rd_bytes_of(rest->data, head->head_size);
    bool has_body = head->is_chunked || head->content_length > 0;
    rest->data += text.size;
    rest->size -= text.size;
    begin_turn(c, head);
    if (check_head(head, &err) < 0 || (has_body && admit_body(c, head, &err) < 0))
        refuse_head(c, head, &err);
    else if (has_body)
        begin_body(c, head, text, rest->size > 0);
    else
        hand_over(c, head);
    return true;
}

/* ---- the body ---- */

static void refuse_body(api_turn *c, const rd_err *err)
{
    c->closes = true;
    c->body_left = 0;
    front_refuse(c, err);
}

void front_body_late(api_intake *intake)
{
    rd_err err = RD_ERR_INIT;
    api_intake_slow(intake, &err);
    refuse_body(RD_CONTAINER_OF(intake, api_turn, intake), &err);
}

static void end_body(api_turn *c)
{
    api_intake_end(&c->intake);
    rd_http_chunks_done(&c->chunks);
    hand_over(c, api_turn_head(c));
    if (!c->is_kept)
        front_buffer_give(c->front, &c->head);
}

static bool is_field(rd_bytes line)
{
    const uint8_t *colon = memchr(line.data, ':', line.size);
    size_t name = colon ? (size_t)(colon - line.data) : 0;
    return rd_http_is_token(rd_bytes_of(line.data, name)) && rd_http_is_text(line);
}

/* Positive: the body is whole. Trailers are dropped: nobody here knows any (RFC 9110, 6.5.1). */
static int take_chunks(api_turn *c, rd_bytes *rest, rd_err *err)
{
    rd_bytes piece;
    int step = rd_http_chunks_next(&c->chunks, rest, &piece, err);
    if (step == RD_HTTP_CHUNKS_PIECE)
        return api_intake_add(&c->intake, piece, err);
    if (step == RD_HTTP_CHUNKS_TRAILER && !is_field(piece))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a trailer is not a name, a colon and a value");
    return step < 0 ? -1 : step == RD_HTTP_CHUNKS_END;
}

static int take_length(api_turn *c, rd_bytes *rest, rd_err *err)
{
    size_t size = (size_t)RD_MIN((uint64_t)rest->size, c->body_left);
    rd_bytes piece = rd_bytes_of(rest->data, size);
    rest->data += size;
    rest->size -= size;
    c->body_left -= size;
    if (api_intake_add(&c->intake, piece, err) < 0)
        return -1;
    return c->body_left == 0;
}

static bool read_body(api_turn *c, rd_bytes *rest)
{
    rd_err err = RD_ERR_INIT;
    if (rest->size == 0)
        return false;
    int outcome = c->is_chunked ? take_chunks(c, rest, &err) : take_length(c, rest, &err);
    if (outcome < 0)
        refuse_body(c, &err);
    else if (outcome > 0)
        end_body(c);
    return true;
}

static bool skip_body(api_turn *c, rd_bytes *rest)
{
    size_t size = (size_t)RD_MIN((uint64_t)rest->size, c->body_left);
    rest->data += size;
    rest->size -= size;
    c->body_left -= size;
    if (c->body_left > 0)
        return false;
    c->state = FRONT_IDLE;
    front_wait_for(c, WAIT_IDLE);
    return true;
}

/* ---- bytes ---- */

static bool step(api_turn *c, rd_bytes *rest)
{
    switch (c->state) {
    case FRONT_IDLE:
        return read_head(c, rest);
    case FRONT_BODY:
        return read_body(c, rest);
    case FRONT_SKIP:
        return skip_body(c, rest);
    case FRONT_TURN:
        return false;
    case FRONT_LINGER:
    case FRONT_CLOSED:
        rest->size = 0;
        return false;
    }
    return false;
}

static void process(api_turn *c, rd_bytes *rest)
{
    c->is_processing = true;
    while (step(c, rest))
        ;
    c->is_processing = false;
}

static void process_input(api_turn *c)
{
    rd_bytes rest = rd_buf_bytes(&c->input);
    process(c, &rest);
    rd_buf_consume(&c->input, c->input.size - rest.size);
    if (c->input.size == 0)
        front_buffer_give(c->front, &c->input);
}

static void feed(api_turn *c, rd_bytes bytes)
{
    if (c->input.size > 0) {
        (void)rd_buf_append_bytes(&c->input, bytes);
        process_input(c);
        return;
    }
    process(c, &bytes);
    if (bytes.size == 0)
        return;
    front_buffer_take(c->front, &c->input);
    (void)rd_buf_append_bytes(&c->input, bytes);
}

static void on_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer);

/* An answer's caller may send the next requests ahead, up to a bound; the rest waits in the kernel. */
static bool is_full(const api_turn *c)
{
    return c->state == FRONT_TURN && c->input.size >= API_FRONT_AHEAD_MAX;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    api_turn *c = handle->data;
    size_t size = c->state == FRONT_TURN ? API_FRONT_AHEAD_MAX - c->input.size : FRONT_READ;
    *ret = uv_buf_init((char *)c->front->bytes, (unsigned)size);
}

static void set_reading(api_turn *c)
{
    bool wanted = c->state != FRONT_CLOSED && !c->has_eof && !is_full(c);
    if (c->state == FRONT_CLOSED || wanted == c->is_reading)
        return;
    c->is_reading = wanted;
    if (!wanted)
        (void)uv_read_stop((uv_stream_t *)&c->socket);
    else if (uv_read_start((uv_stream_t *)&c->socket, on_alloc, on_read) < 0)
        front_gone(c);
}

/* The caller has closed, or its side of it, which is taken for the same: nobody can tell until something is written.
 * An answer that is on its way whole is still written. */
static void on_eof(api_turn *c)
{
    c->has_eof = true;
    if (c->state == FRONT_TURN && c->is_ended)
        set_reading(c);
    else
        front_gone(c);
}

static void on_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    api_turn *c = socket->data;
    if (size > 0) {
        feed(c, rd_bytes_of(buffer->base, (size_t)size));
        rd_wipe(buffer->base, (size_t)size);
    } else if (size < 0)
        on_eof(c);
    set_reading(c);
}

void front_read_start(api_turn *c)
{
    set_reading(c);
}

void front_go_on(api_turn *c)
{
    if (c->input.size > 0)
        process_input(c);
    set_reading(c);
}
