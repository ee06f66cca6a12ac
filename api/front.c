#include "api/front_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/listen.h"
#include "common/base/mem.h"

#define BACKLOG   1024
#define SWEEP_MS  1000
#define SPARE_MAX ((size_t)16 << 10)

/* How long what is waited for may take. */
static uint64_t time_of(const api_front *front, front_wait wait)
{
    const api_front_options *options = &front->options;
    switch (wait) {
    case WAIT_IDLE:
        return options->idle_ms ? options->idle_ms : API_FRONT_IDLE_MS;
    case WAIT_HEAD:
        return options->head_ms ? options->head_ms : API_FRONT_HEAD_MS;
    case WAIT_STALL:
        return options->stall_ms ? options->stall_ms : API_FRONT_STALL_MS;
    default:
        return API_FRONT_LINGER_MS;
    }
}

/* ---- memory ---- */

void front_buffer_take(api_front *front, rd_buf *buf)
{
    size_t size_max = buf->size_max;
    if (buf->data == NULL && front->spare_count > 0)
        *buf = front->spares[--front->spare_count];
    buf->size_max = size_max;
}

void front_buffer_give(api_front *front, rd_buf *buf)
{
    size_t size_max = buf->size_max;
    if (buf->data == NULL)
        return;
    rd_wipe(buf->data, buf->capacity); /* heads hold bearer tokens, and the next caller's connection has this memory */
    if (buf->capacity > SPARE_MAX || front->spare_count == FRONT_SPARES) {
        rd_buf_done(buf);
    } else {
        rd_buf_clear(buf);
        front->spares[front->spare_count++] = *buf;
    }
    *buf = (rd_buf){ .size_max = size_max };
}

static void memory_done(api_front *front)
{
    if (--front->memory > 0 || !front->is_freed)
        return;
    for (size_t i = 0; i < front->spare_count; i++)
        rd_buf_done(&front->spares[i]);
    api_callers_free(front->callers);
    free(front);
}

static void on_closed(uv_handle_t *handle)
{
    api_turn *c = handle->data;
    api_front *front = c->front;
    front_buffer_give(front, &c->input);
    front_buffer_give(front, &c->head);
    front_buffer_give(front, &c->out);
    front_buffer_give(front, &c->sending);
    rd_http_chunks_done(&c->chunks);
    free(c);
    memory_done(front);
}

void front_close(api_turn *c)
{
    api_front *front = c->front;
    if (c->state == FRONT_CLOSED)
        return;
    c->state = FRONT_CLOSED;
    front_wait_for(c, WAIT_NONE);
    api_intake_done(&c->intake);
    if (c->caller)
        api_callers_leave(front->callers, RD_TAKE(c->caller));
    if (c->next)
        c->next->previous = c->previous;
    *(c->previous ? &c->previous->next : &front->first) = c->next;
    if (--front->count == 0)
        (void)uv_timer_stop(&front->timer);
    uv_close((uv_handle_t *)&c->socket, on_closed);
}

void front_gone(api_turn *c)
{
    if (c->state == FRONT_CLOSED)
        return;
    if (c->is_owned) {
        c->is_owned = false;
        c->front->options.on_gone(c);
    }
    front_turn_done(c);
    front_close(c);
}

/* ---- time ---- */

void front_wait_for(api_turn *c, front_wait wait)
{
    front_list *waits = c->front->waits;
    if (c->wait != WAIT_NONE) {
        front_list *list = &waits[c->wait];
        *(c->previous_wait ? &c->previous_wait->next_wait : &list->first) = c->next_wait;
        *(c->next_wait ? &c->next_wait->previous_wait : &list->last) = c->previous_wait;
    }
    c->wait = wait;
    c->next_wait = c->previous_wait = NULL;
    if (wait == WAIT_NONE)
        return;
    front_list *list = &waits[wait];
    c->until_ms = uv_now(c->front->options.context->loop) + time_of(c->front, wait);
    c->previous_wait = list->last;
    *(list->last ? &list->last->next_wait : &list->first) = c;
    list->last = c;
}

/* Some of what waits was taken: it has its time again. */
static void look_at_stalled(api_turn *c)
{
    size_t queued = uv_stream_get_write_queue_size((uv_stream_t *)&c->socket);
    if (queued < c->queued) {
        c->queued = queued;
        front_wait_for(c, WAIT_STALL);
        return;
    }
    c->front->stalled++;
    front_gone(c);
}

static void expire(api_turn *c)
{
    rd_err err = RD_ERR_INIT;
    if (c->wait == WAIT_STALL) {
        look_at_stalled(c);
        return;
    }
    if (c->wait != WAIT_HEAD || c->state != FRONT_IDLE) {
        front_gone(c);
        return;
    }
    c->front->slow_heads++;
    c->closes = true;
    (void)rd_err_set(&err, RD_E_HEAD_SLOW, "%zu bytes of a request's head came in %llu ms", c->input.size,
                     (unsigned long long)time_of(c->front, WAIT_HEAD));
    front_refuse(c, &err);
}

static void on_timer(uv_timer_t *timer)
{
    api_front *front = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    for (size_t i = 0; i < WAIT_COUNT; i++)
        while (front->waits[i].first && front->waits[i].first->until_ms <= now_ms)
            expire(front->waits[i].first);
}

/* ---- connections ---- */

static void on_turned_away(uv_handle_t *handle)
{
    free(handle);
}

/* Past the bound a connection is closed at once, so that nobody waits in the kernel for those before it. */
static void turn_away(api_front *front)
{
    uv_tcp_t *socket = rd_alloc(sizeof *socket);
    front->turned_away++;
    (void)uv_tcp_init(front->options.context->loop, socket);
    (void)uv_accept((uv_stream_t *)&front->listener, (uv_stream_t *)socket);
    uv_close((uv_handle_t *)socket, on_turned_away);
}

/* RFC 9112, 9.5: an idle connection may be closed at any time; the one that is idle for longest has the least use of
 * its place. */
static bool make_place(api_front *front)
{
    if (front->count < API_FRONT_CONNECTIONS_MAX)
        return true;
    api_turn *oldest = front->waits[WAIT_IDLE].first;
    if (!oldest)
        return false;
    front->evicted++;
    front_close(oldest);
    return true;
}

/* False: this address has its share of the connections. */
static bool enter(api_turn *c)
{
    struct sockaddr_storage address = { 0 };
    int size = sizeof address;
    api_front *front = c->front;
    if (uv_tcp_getpeername(&c->socket, (struct sockaddr *)&address, &size) < 0)
        return false;
    api_callers_key((struct sockaddr *)&address, c->address);
    if (api_callers_are_many(c->address))
        return true;
    c->caller = api_callers_enter(front->callers, (struct sockaddr *)&address);
    return api_callers_has_share(c->caller->count - 1, front->count - 1, API_FRONT_CONNECTIONS_MAX);
}

api_turn *front_connection_new(api_front *front)
{
    api_turn *c = rd_alloc(sizeof *c);
    c->front = front;
    c->wait = WAIT_NONE;
    c->intake.bodies = front->bodies;
    c->out.size_max = c->sending.size_max = FRONT_OUT_MAX;
    c->next = front->first;
    if (c->next)
        c->next->previous = c;
    front->first = c;
    if (front->count++ == 0)
        (void)uv_timer_start(&front->timer, on_timer, SWEEP_MS, SWEEP_MS);
    front->memory++;
    front->accepted++;
    (void)uv_tcp_init(front->options.context->loop, &c->socket);
    c->socket.data = c->write.data = c;
    return c;
}

static void on_connection(uv_stream_t *listener, int status)
{
    api_front *front = listener->data;
    if (status < 0)
        return;
    if (!make_place(front)) {
        turn_away(front);
        return;
    }
    api_turn *c = front_connection_new(front);
    bool has_come = uv_accept(listener, (uv_stream_t *)&c->socket) == 0;
    bool has_share = has_come && enter(c);
    front->turned_away += has_come && !has_share;
    if (!has_share || uv_tcp_nodelay(&c->socket, 1) < 0) {
        front_close(c);
        return;
    }
    front_wait_for(c, WAIT_IDLE);
    front_read_start(c);
}

/* ---- start and stop ---- */

static void on_handle_closed(uv_handle_t *handle)
{
    memory_done(handle->data);
}

int api_front_new(const api_front_options *options, api_front **ret, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = -1;
    uint16_t port;
    uv_loop_t *loop = options->context->loop;
    if (api_listen(options->listen, &fd, &port, err) < 0)
        return -1;
    api_front *front = rd_alloc(sizeof *front);
    front->options = *options;
    front->port = port;
    front->callers = api_callers_new();
    front->bodies = api_bodies_new(loop, options->context->clock, options->body_memory_max, front_body_late);
    (void)uv_tcp_init(loop, &front->listener);
    (void)uv_timer_init(loop, &front->timer);
    front->memory = 2;
    front->listener.data = front->timer.data = front;
    int rc = uv_tcp_open(&front->listener, fd);
    if (rc == 0) {
        fd = -1;
        rc = uv_listen((uv_stream_t *)&front->listener, BACKLOG, on_connection);
    }
    if (rc < 0) {
        api_front_stop(front);
        api_front_free(front);
        return rd_err_set(err, RD_E_UNAVAILABLE, "cannot listen on %s: %s", options->listen, uv_strerror(rc));
    }
    *ret = front;
    return 0;
}

static void stop_connection(api_turn *c)
{
    rd_err err = RD_ERR_INIT;
    bool was_owned = c->is_owned;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "this replica is stopping");
    c->closes = true;
    if (was_owned) {
        c->is_owned = false;
        c->front->options.on_gone(c);
    }
    if (was_owned || c->state == FRONT_BODY)
        front_refuse(c, &err);
    front_gone(c);
}

void api_front_stop(api_front *front)
{
    if (front->is_stopping)
        return;
    front->is_stopping = true;
    while (front->first)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): front_close takes it off the list. */
        stop_connection(front->first);
    front->bodies = api_bodies_free(front->bodies);
    uv_close((uv_handle_t *)&front->listener, on_handle_closed);
    uv_close((uv_handle_t *)&front->timer, on_handle_closed);
}

api_front *api_front_free(api_front *front)
{
    if (!front)
        return NULL;
    assert(front->is_stopping);
    front->is_freed = true;
    front->memory++;
    memory_done(front);
    return NULL;
}

uint16_t api_front_port(const api_front *front)
{
    return front->port;
}

const api_bodies *api_front_bodies(const api_front *front)
{
    return front->bodies;
}

void api_front_metrics(void *context, rd_buf *out)
{
    const api_front *front = context;
    const struct {
        const char *why;
        uint64_t count;
    } ended[] = { { "turned_away", front->turned_away },
                  { "evicted", front->evicted },
                  { "slow_head", front->slow_heads },
                  { "stalled", front->stalled } };
    (void)rd_buf_printf(out,
                        "# HELP redoubt_front_connections Connections of callers.\n"
                        "# TYPE redoubt_front_connections gauge\nredoubt_front_connections{listener=\"%s\"} %zu\n"
                        "# TYPE redoubt_front_connections_total counter\n"
                        "redoubt_front_connections_total{listener=\"%s\"} %" PRIu64 "\n"
                        "# HELP redoubt_front_connections_ended_total Connections that the listener itself ended.\n"
                        "# TYPE redoubt_front_connections_ended_total counter\n",
                        front->options.name, front->count, front->options.name, front->accepted);
    for (size_t i = 0; i < RD_ARRAY_LEN(ended); i++)
        (void)rd_buf_printf(out, "redoubt_front_connections_ended_total{listener=\"%s\",why=\"%s\"} %" PRIu64 "\n",
                            front->options.name, ended[i].why, ended[i].count);
}
