#include "api/front_private.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/metrics.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/problem.h"

static void turn_over(api_turn *c);

/* ---- the request, for its owner ---- */

void *api_turn_arg(const api_turn *turn)
{
    return turn->front->options.arg;
}

void api_turn_set_owner(api_turn *turn, void *owner)
{
    turn->owner = owner;
}

void *api_turn_owner(const api_turn *turn)
{
    return turn->owner;
}

const char *api_turn_id(const api_turn *turn)
{
    return turn->id;
}

bool api_turn_takes_chunks(const api_turn *turn)
{
    return !turn->is_old;
}

rd_bytes api_turn_body(const api_turn *turn)
{
    return rd_buf_bytes(&turn->intake.body);
}

void api_turn_drop_body(api_turn *turn)
{
    api_intake_drop(&turn->intake);
}

void api_turn_payer(api_turn *turn, char kind, rd_bytes id)
{
    api_intake_payer(&turn->intake, kind, id);
}

/* ---- to the socket ---- */

static void on_written(uv_write_t *request, int status);

static bool is_out(const api_turn *c)
{
    return c->out.size == 0 && !c->is_sending;
}

/* Now what the socket takes; the rest when it takes more. Errors are told by libuv's next turn, not from here. */
static void flush(api_turn *c)
{
    uv_stream_t *socket = (uv_stream_t *)&c->socket;
    if (c->is_sending || c->out.size == 0 || (c->is_gathered && !c->is_ended))
        return;
    uv_buf_t span = uv_buf_init((char *)c->out.data, (unsigned)c->out.size);
    int taken = uv_try_write(socket, &span, 1);
    c->has_sent = true;
    if (taken == (int)c->out.size) {
        rd_buf_clear(&c->out);
        return;
    }
    span.base += RD_MAX(taken, 0);
    span.len -= (size_t)RD_MAX(taken, 0);
    rd_buf spare = c->sending;
    c->sending = c->out;
    c->out = spare;
    c->is_sending = true;
    c->queued = span.len;
    bool has_begun = uv_write(&c->write, socket, &span, 1, on_written) == 0;
    front_wait_for(c, has_begun ? WAIT_STALL : WAIT_LINGER);
}

static void on_written(uv_write_t *request, int status)
{
    api_turn *c = request->data;
    c->is_sending = false;
    front_buffer_give(c->front, &c->sending);
    if (c->state == FRONT_CLOSED)
        return;
    if (status < 0) {
        front_gone(c);
        return;
    }
    flush(c);
    if (!c->is_sending && c->wait == WAIT_STALL)
        front_wait_for(c, WAIT_NONE);
    if (c->was_refused && c->is_owned) {
        c->was_refused = false;
        c->front->options.on_room(c);
    }
    if (c->is_ended && is_out(c))
        turn_over(c);
}

void front_write_raw(api_turn *c, rd_bytes bytes)
{
    front_buffer_take(c->front, &c->out);
    (void)rd_buf_append_bytes(&c->out, bytes);
    flush(c);
    c->has_sent = false;
}

/* ---- the end of a turn ---- */

void front_turn_done(api_turn *c)
{
    const api_front_options *options = &c->front->options;
    if (c->started_us == 0)
        return;
    int64_t took_us = rd_clock_boot_us(options->context->clock) - c->started_us;
    api_metrics_request(options->context->metrics, options->name, options->route, c->status, took_us);
    /* 503 is said under load, when a line each would make it worse; the counters have it. */
    bool is_fault = c->status >= 500 && c->status != 503;
    rd_log(is_fault ? RD_WARN : RD_DEBUG, "request", RD_STR("request", c->id), RD_STR("trace", c->trace),
           RD_STR("listener", options->name), RD_STR("method", c->method), RD_STR("route", options->route),
           RD_I64("status", c->status), RD_I64("took_us", took_us));
    api_intake_done(&c->intake);
    rd_http_chunks_done(&c->chunks);
    front_buffer_give(c->front, &c->head);
    c->started_us = 0;
    c->status = 0;
    c->owner = NULL;
    c->method[0] = c->trace[0] = 0;
    c->is_kept = c->is_head = c->is_old = c->is_gathered = c->is_bodiless = c->in_chunks = c->has_trailer = false;
    c->has_sent = c->is_ended = c->was_refused = false;
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status;
}

/* RFC 9112, 9.6: what still comes is read for a while, so that no reset overtakes the answer. */
static void linger(api_turn *c)
{
    c->state = FRONT_LINGER;
    front_wait_for(c, WAIT_LINGER);
    if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->socket, on_shut) < 0)
        front_close(c);
}

static void turn_over(api_turn *c)
{
    front_turn_done(c);
    front_buffer_give(c->front, &c->out);
    if (c->has_eof || c->front->is_stopping) {
        front_close(c);
        return;
    }
    if (c->closes) {
        linger(c);
    } else {
        c->state = c->body_left > 0 ? FRONT_SKIP : FRONT_IDLE;
        front_wait_for(c, c->body_left > 0 ? WAIT_HEAD : WAIT_IDLE);
    }
    if (!c->is_processing)
        front_go_on(c);
}

void front_refuse(api_turn *c, const rd_err *err)
{
    c->state = FRONT_TURN;
    front_wait_for(c, WAIT_NONE);
    api_intake_end(&c->intake);
    api_turn_problem(c, err);
}

/* ---- the answer ---- */

/* RFC 9110, 5.6.7: of this second. */
static const char *date_of(api_front *front)
{
    int64_t now_s = rd_clock_wall_us(front->options.context->clock) / 1000000;
    if (now_s != front->date_s) {
        struct tm parts;
        time_t seconds = (time_t)now_s;
        front->date_s = now_s;
        if (gmtime_r(&seconds, &parts) == NULL ||
            strftime(front->date, sizeof front->date, "%a, %d %b %Y %H:%M:%S GMT", &parts) == 0)
            front->date[0] = 0;
    }
    return front->date;
}

static void put(api_turn *c, const char *text)
{
    (void)rd_buf_append_str(&c->out, text);
}

static void put_number(api_turn *c, uint64_t value, unsigned base)
{
    static const char digits[] = "0123456789abcdef";
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value > 0);
    (void)rd_buf_append(&c->out, text + at, sizeof text - at);
}

void api_turn_answer(api_turn *turn, int status)
{
    assert(turn->status == 0);
    turn->status = status;
    front_buffer_take(turn->front, &turn->out);
    put(turn, "HTTP/1.1 ");
    put_number(turn, (uint64_t)status, 10);
    put(turn, " ");
    put(turn, rd_http_reason((unsigned)status));
    put(turn, "\r\nDate: ");
    put(turn, date_of(turn->front));
    put(turn, "\r\nRequest-Id: ");
    put(turn, turn->id);
    put(turn, "\r\nX-Content-Type-Options: nosniff\r\n");
}

void api_turn_header(api_turn *turn, const char *name, rd_bytes value)
{
    put(turn, name);
    put(turn, ": ");
    (void)rd_buf_append_bytes(&turn->out, value);
    put(turn, "\r\n");
}

/* RFC 9112, 6.3, and RFC 9110, 8.6. */
void api_turn_begin(api_turn *turn, int64_t length, bool is_gathered)
{
    turn->is_gathered = is_gathered;
    turn->is_bodiless = turn->is_head || !rd_http_has_length((unsigned)turn->status);
    turn->in_chunks = length < 0 && !turn->is_bodiless;
    if (turn->in_chunks) {
        put(turn, "Transfer-Encoding: chunked\r\n");
    } else if (length >= 0 && turn->status != 204) {
        put(turn, "Content-Length: ");
        put_number(turn, (uint64_t)length, 10);
        put(turn, "\r\n");
    }
    if (turn->closes)
        put(turn, "Connection: close\r\n");
    else if (turn->is_old)
        put(turn, "Connection: keep-alive\r\n");
    put(turn, "\r\n");
    flush(turn);
}

size_t api_turn_write(api_turn *turn, rd_bytes bytes)
{
    size_t waiting = turn->out.size + turn->sending.size;
    size_t room = waiting < API_FRONT_BUFFER_MAX ? API_FRONT_BUFFER_MAX - waiting : 0;
    size_t size = turn->is_gathered ? bytes.size : RD_MIN(bytes.size, room);
    if (turn->is_bodiless)
        return bytes.size;
    turn->was_refused = size < bytes.size;
    if (size == 0)
        return 0;
    front_buffer_take(turn->front, &turn->out);
    if (turn->in_chunks) {
        put_number(turn, size, 16);
        put(turn, "\r\n");
    }
    (void)rd_buf_append(&turn->out, bytes.data, size);
    if (turn->in_chunks)
        put(turn, "\r\n");
    flush(turn);
    return size;
}

void api_turn_trailer(api_turn *turn, const char *name, const char *value)
{
    if (!turn->in_chunks || turn->has_trailer)
        return;
    turn->has_trailer = true;
    front_buffer_take(turn->front, &turn->out);
    put(turn, "0\r\n");
    api_turn_header(turn, name, rd_bytes_str(value));
}

void api_turn_end(api_turn *turn)
{
    turn->is_owned = false;
    if (turn->in_chunks) {
        front_buffer_take(turn->front, &turn->out);
        put(turn, turn->has_trailer ? "\r\n" : "0\r\n\r\n");
    }
    turn->is_ended = true;
    if (turn->out.has_failed) { /* what was gathered passed its bound */
        api_turn_cut(turn);
        return;
    }
    flush(turn);
    if (is_out(turn))
        turn_over(turn);
}

void api_turn_cut(api_turn *turn)
{
    turn->is_owned = false;
    front_turn_done(turn);
    front_close(turn);
}

void api_turn_problem(api_turn *turn, const rd_err *err)
{
    const rd_code_info *info = rd_code_describe(err->code);
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = (size_t)16 << 10 };
    if (turn->has_sent) {
        api_turn_cut(turn);
        return;
    }
    rd_buf_clear(&turn->out);
    turn->status = 0;
    if (info->http_status == 500)
        rd_log(RD_ERROR, "request_failed", RD_STR("request", turn->id), RD_ERR(err));
    (void)rd_problem_write(err, turn->id, &text);
    api_turn_answer(turn, rd_problem_status(err));
    api_turn_header(turn, "Content-Type", RD_BYTES_LIT(RD_PROBLEM_TYPE));
    if (info->http_status == 503 || (info->is_retryable && info->http_status != 500))
        api_turn_header(turn, "Retry-After", RD_BYTES_LIT("1"));
    if (info->http_status == 401)
        api_turn_header(turn, "WWW-Authenticate", RD_BYTES_LIT("Bearer realm=\"redoubt\""));
    api_turn_begin(turn, (int64_t)text.size, true);
    (void)api_turn_write(turn, rd_buf_bytes(&text));
    api_turn_end(turn);
}
