#include "api/passthrough.h"

#include "api/apps_listener.h"
#include "api/callers.h"
#include "api/client_hello.h"
#include "api/relay.h"
#include "common/base/mem.h"
#include "common/io/config.h"
#include "common/io/splice.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG   512
#define SWEEP_US  1000000
#define LINGER_US 2000000 /* for a refused client to read why */

typedef enum pass_state {
    PASS_HELLO,   /* the first bytes come */
    PASS_WAITS,   /* the app sleeps */
    PASS_OPENING, /* an instance was asked */
    PASS_OPEN,
    PASS_REFUSED, /* the alert was sent; what still comes is dropped */
    PASS_CLOSING
} pass_state;

typedef struct pass pass;
struct pass {
    rd_splice splice;
    uv_tcp_t socket;
    uv_shutdown_t shutdown;
    api_passthrough *owner;
    api_caller *caller; /* NULL: it has left before its address was read */
    pass *next, *previous;
    pass_state state;
    rd_buf hello; /* kept until an instance has taken it */
    api_seek seek;
    api_target *target; /* held */
    int refused;        /* the agent's status */
    int64_t wake_by_us; /* 0: has not waited; boot clock */
    int64_t until_us;   /* of this state; boot clock */
    uint64_t moved;     /* at the last look */
};

struct api_passthrough {
    api_passthrough_options options;
    char *domain;
    uv_tcp_t listener;
    rd_timer *timer;
    api_callers *callers;
    uint8_t *buffer; /* shared by all splices */
    uint8_t first_bytes[API_HELLO_MAX];
    pass *first;
    size_t count, memory; /* connections; what is still to be freed, the listener included */
    uint64_t refused, passed, turned_away, moved;
};

static int64_t boot_us(const api_passthrough *owner)
{
    return rd_clock_boot_us(owner->options.clock);
}

/* ---- life ---- */

static void memory_done(api_passthrough *owner)
{
    if (--owner->memory > 0)
        return;
    api_callers_free(owner->callers);
    free(owner->buffer);
    free(owner->domain);
    free(owner);
}

static void on_socket_closed(uv_handle_t *handle)
{
    pass *p = RD_CONTAINER_OF(handle->data, pass, splice);
    api_passthrough *owner = p->owner;
    rd_splice_done(&p->splice);
    rd_buf_done(&p->hello);
    free(p);
    memory_done(owner);
}

static void leave_target(pass *p)
{
    if (!p->target)
        return;
    p->target->in_flight--;
    p->target->passed--;
    api_target_release(p->owner->options.targets, RD_TAKE(p->target));
}

static void cut(pass *p)
{
    api_passthrough *owner = p->owner;
    if (p->state == PASS_CLOSING)
        return;
    p->state = PASS_CLOSING;
    rd_splice_stop(&p->splice);
    api_seek_leave(owner->options.seekers, &p->seek);
    leave_target(p);
    if (p->splice.stream)
        rd_link_stream_reset(RD_TAKE(p->splice.stream), true);
    owner->moved += p->splice.moved;
    if (p->caller)
        api_callers_leave(owner->callers, RD_TAKE(p->caller));
    if (p->next)
        p->next->previous = p->previous;
    *(p->previous ? &p->previous->next : &owner->first) = p->next;
    owner->count--;
    uv_close((uv_handle_t *)&p->socket, on_socket_closed);
}

static void on_spliced(rd_splice *splice)
{
    cut(RD_CONTAINER_OF(splice, pass, splice));
}

/* ---- refusing ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    api_passthrough *owner = RD_CONTAINER_OF(handle->data, pass, splice)->owner;
    *ret = uv_buf_init((char *)owner->first_bytes, sizeof owner->first_bytes);
}

static void on_dropped(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    (void)buffer;
    if (size < 0)
        cut(RD_CONTAINER_OF(socket->data, pass, splice));
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status;
}

/* An alert in the clear is nobody's word but ours, and says what a browser can show. The connection lingers, so that a
 * reset does not take the alert away. */
static void refuse(pass *p, api_tls_alert alert)
{
    uint8_t record[API_ALERT_SIZE];
    uv_stream_t *socket = (uv_stream_t *)&p->socket;
    p->owner->refused++;
    leave_target(p);
    (void)uv_read_stop(socket);
    if (alert == API_ALERT_NONE) {
        cut(p);
        return;
    }
    api_tls_alert_write(alert, record);
    uv_buf_t span = uv_buf_init((char *)record, sizeof record);
    p->state = PASS_REFUSED;
    p->until_us = boot_us(p->owner) + LINGER_US;
    if (uv_try_write(socket, &span, 1) != (int)sizeof record || uv_shutdown(&p->shutdown, socket, on_shut) < 0 ||
        uv_read_start(socket, on_alloc, on_dropped) < 0)
        cut(p);
}

static void refuse_for(pass *p, const rd_err *err)
{
    refuse(p, err->code == RD_E_APP_UNKNOWN    ? API_ALERT_UNRECOGNIZED_NAME
              : err->code == RD_E_CLI_NO_TOKEN ? API_ALERT_ACCESS_DENIED
                                               : API_ALERT_INTERNAL_ERROR);
}

/* ---- to an instance ---- */

static bool seek_on(pass *p);

static void on_response(rd_link_stream *stream, void *context, int status)
{
    (void)stream;
    pass *p = RD_CONTAINER_OF(context, pass, splice);
    if (status != 200) {
        p->refused = status;
        return;
    }
    p->state = PASS_OPEN;
    p->until_us = boot_us(p->owner) + API_PASSTHROUGH_IDLE_US;
    p->owner->passed++;
    rd_buf_done(&p->hello);
    rd_splice_start(&p->splice);
}

static size_t on_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    const pass *p = RD_CONTAINER_OF(context, pass, splice);
    return p->refused ? bytes.size : rd_splice_events.on_data(stream, context, bytes);
}

static void on_room(rd_link_stream *stream, void *context)
{
    if (RD_CONTAINER_OF(context, pass, splice)->state == PASS_OPEN)
        rd_splice_events.on_room(stream, context);
}

static void on_end(rd_link_stream *stream, void *context)
{
    if (RD_CONTAINER_OF(context, pass, splice)->state == PASS_OPEN)
        rd_splice_events.on_end(stream, context);
}

/* Before an instance took the connection nothing was answered, and another one may take it. */
static void on_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    pass *p = RD_CONTAINER_OF(context, pass, splice);
    api_seekers *seekers = p->owner->options.seekers;
    if (p->state != PASS_OPENING) {
        rd_splice_events.on_closed(stream, context, error);
        return;
    }
    p->splice.stream = NULL;
    if (p->refused) {
        api_seekers_avoid(seekers, p->target);
        api_seekers_note_stale(seekers, &p->seek.app);
    }
    leave_target(p);
    (void)seek_on(p);
}

static const rd_link_stream_events pipe_events = {
    .on_response = on_response,
    .on_data = on_data,
    .on_room = on_room,
    .on_end = on_end,
    .on_closed = on_closed,
};

/* Of all connections at most, once for each that shows a name. */
static bool has_place(const pass *p, const api_target *target)
{
    size_t held = 0;
    for (const pass *other = p->owner->first; other; other = other->next)
        held += other->target == target && other->caller == p->caller;
    return api_callers_has_share(held, target->passed, API_PASSTHROUGH_TARGET_MAX);
}

static bool ask(pass *p, api_target *target)
{
    rd_err err = RD_ERR_INIT;
    rd_link *link = api_seekers_link(p->owner->options.seekers, target);
    if (!has_place(p, target)) {
        p->seek.never_waits = true;
        return false;
    }
    if (!link || rd_link_connect(link, target->authority, &pipe_events, &p->splice, &p->splice.stream, &err) < 0)
        return false;
    p->refused = 0;
    p->target = target;
    api_target_hold(target);
    target->in_flight++;
    target->passed++;
    target->app->was_used = true;
    p->state = PASS_OPENING;
    p->until_us = boot_us(p->owner) + (target->is_starting ? API_RELAY_WAKE_US : API_PASSTHROUGH_HELLO_US);
    /* The queue of a new stream has room for a hello. */
    if (rd_link_stream_write(p->splice.stream, rd_buf_bytes(&p->hello), &err) == 0)
        return true;
    rd_link_stream_reset(RD_TAKE(p->splice.stream), true);
    leave_target(p);
    return false;
}

/* Once for all of its waits, however often it is woken for nothing. */
static void wait_for_wake(pass *p)
{
    if (p->wake_by_us == 0)
        p->wake_by_us = boot_us(p->owner) + API_RELAY_WAKE_US;
    p->state = PASS_WAITS;
    p->until_us = p->wake_by_us;
}

/* One instance after another until one is asked, or the connection waits for the app to wake, or is refused. An app
 * whose places are all taken does not sleep: nothing would end that wait. */
static bool seek_on(pass *p)
{
    rd_err err = RD_ERR_INIT;
    p->seek.never_waits = false;
    for (;;) {
        api_target *target;
        int outcome = api_seek_next(p->owner->options.seekers, &p->seek, &target, &err);
        if (outcome == API_SEEK_FOUND && !target->limits.is_open)
            outcome = rd_err_set(&err, RD_E_CLI_NO_TOKEN, "the app takes callers with a token, which nobody sees here");
        if (outcome < 0) {
            refuse_for(p, &err);
            return false;
        }
        if (outcome == API_SEEK_WAITS) {
            wait_for_wake(p);
            return false;
        }
        if (ask(p, target))
            return true;
    }
}

static bool on_woken(api_seek *seek)
{
    return seek_on(RD_CONTAINER_OF(seek, pass, seek));
}

/* ---- the hello ---- */

/* Known before anything is woken for it. */
static bool needs_token(const pass *p)
{
    const api_app *app = api_targets_app(p->owner->options.targets, &p->seek.app);
    return app && !api_app_is_open(app);
}

static void take_hello(pass *p)
{
    api_client_hello hello;
    rd_err err = RD_ERR_INIT;
    int outcome = api_client_hello_read(rd_buf_bytes(&p->hello), &hello, &err);
    if (outcome == API_HELLO_MORE)
        return;
    (void)uv_read_stop((uv_stream_t *)&p->socket);
    if (outcome < 0)
        refuse(p, hello.alert);
    else if (!api_apps_parse_host(rd_bytes_str(hello.name), p->owner->domain, &p->seek.app))
        refuse(p, API_ALERT_UNRECOGNIZED_NAME);
    else if (needs_token(p))
        refuse(p, API_ALERT_ACCESS_DENIED);
    else
        (void)seek_on(p);
}

static void on_first_bytes(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    pass *p = RD_CONTAINER_OF(socket->data, pass, splice);
    if (size == 0)
        return;
    if (size < 0) {
        cut(p);
        return;
    }
    (void)rd_buf_append(&p->hello, buffer->base, (size_t)size);
    take_hello(p);
}

/* ---- listening ---- */

static void on_turned_away(uv_handle_t *handle)
{
    free(handle);
}

/* Past the bound a connection is closed at once, so that nobody waits in the kernel for those before it. */
static void turn_away(api_passthrough *owner)
{
    uv_tcp_t *socket = rd_alloc(sizeof *socket);
    owner->turned_away++;
    (void)uv_tcp_init(rd_loop_uv(owner->options.loop), socket);
    (void)uv_accept((uv_stream_t *)&owner->listener, (uv_stream_t *)socket);
    uv_close((uv_handle_t *)socket, on_turned_away);
}

/* False: this address has its share of the connections. */
static bool enter(pass *p)
{
    struct sockaddr_storage address;
    int size = sizeof address;
    api_passthrough *owner = p->owner;
    if (uv_tcp_getpeername(&p->socket, (struct sockaddr *)&address, &size) < 0)
        return false;
    p->caller = api_callers_enter(owner->callers, (struct sockaddr *)&address);
    return api_callers_has_share(p->caller->count - 1, owner->count - 1, API_PASSTHROUGH_MAX);
}

static void on_connection(uv_stream_t *listener, int status)
{
    api_passthrough *owner = listener->data;
    if (status < 0)
        return;
    if (owner->count >= API_PASSTHROUGH_MAX) {
        turn_away(owner);
        return;
    }
    pass *p = rd_alloc(sizeof *p);
    p->owner = owner;
    p->splice = (rd_splice){ .socket = (uv_stream_t *)&p->socket, .buffer = &owner->buffer, .on_end = on_spliced };
    p->seek.on_woken = on_woken;
    rd_buf_init(&p->hello, 2 * API_HELLO_MAX);
    p->until_us = boot_us(owner) + API_PASSTHROUGH_HELLO_US;
    p->next = owner->first;
    if (p->next)
        p->next->previous = p;
    owner->first = p;
    owner->count++;
    owner->memory++;
    (void)uv_tcp_init(rd_loop_uv(owner->options.loop), &p->socket);
    p->socket.data = &p->splice;
    bool has_come = uv_accept(listener, (uv_stream_t *)&p->socket) == 0;
    bool has_share = has_come && enter(p);
    owner->turned_away += has_come && !has_share;
    if (!has_share || uv_tcp_nodelay(&p->socket, 1) < 0 ||
        uv_read_start((uv_stream_t *)&p->socket, on_alloc, on_first_bytes) < 0)
        cut(p);
}

/* ---- time ---- */

/* As a call would be allowed now: the app may have been paused, or have got a release that asks for tokens. */
static bool may_go_on(const pass *p)
{
    return api_target_is_valid(p->target, rd_clock_wall_us(p->owner->options.clock)) && !p->target->app->is_paused &&
           p->target->limits.is_open;
}

/* A connection ends with the consent to it (the caller's own ends are his), and when it idles. */
static void look_at_open(pass *p, int64_t now_us)
{
    if (!may_go_on(p)) {
        cut(p);
        return;
    }
    if (p->splice.moved != p->moved) {
        p->moved = p->splice.moved;
        p->until_us = now_us + API_PASSTHROUGH_IDLE_US;
        p->target->app->was_used = true;
    } else if (now_us >= p->until_us) {
        cut(p);
    }
}

static void on_timer(void *context)
{
    api_passthrough *owner = context;
    int64_t now_us = boot_us(owner);
    for (pass *p = owner->first, *next; p; p = next) {
        next = p->next;
        if (p->state == PASS_OPEN)
            look_at_open(p, now_us);
        else if (now_us < p->until_us)
            continue;
        else if (p->state == PASS_WAITS) {
            api_seek_leave(owner->options.seekers, &p->seek);
            refuse(p, API_ALERT_INTERNAL_ERROR);
        } else
            cut(p);
    }
}

/* ---- start and end ---- */

static int listen_on(api_passthrough *owner, rd_err *err)
{
    char host[256];
    uint16_t port;
    struct sockaddr_storage address;
    if (rd_parse_endpoint(owner->options.listen, host, sizeof host, &port, err) < 0)
        return rd_err_wrap(err, "passthrough-listen");
    int rc = uv_ip4_addr(host, port, (struct sockaddr_in *)&address);
    if (rc < 0)
        rc = uv_ip6_addr(host[0] == 0 ? "::" : host, port, (struct sockaddr_in6 *)&address);
    if (rc == 0)
        rc = uv_tcp_bind(&owner->listener, (struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&owner->listener, BACKLOG, on_connection);
    return rc < 0 ? rd_err_set(err, RD_E_CONFIG, "passthrough: cannot listen on %s: %s", owner->options.listen,
                               uv_strerror(rc))
                  : 0;
}

int api_passthrough_new(const api_passthrough_options *options, api_passthrough **ret, rd_err *err)
{
    api_passthrough *owner = rd_alloc(sizeof *owner);
    owner->options = *options;
    owner->domain = rd_strdup(options->domain);
    owner->memory = 1;
    owner->callers = api_callers_new();
    (void)uv_tcp_init(rd_loop_uv(options->loop), &owner->listener);
    owner->listener.data = owner;
    owner->timer = rd_timer_new(options->loop, on_timer, owner);
    if (listen_on(owner, err) < 0) {
        api_passthrough_free(owner);
        return -1;
    }
    rd_timer_start(owner->timer, SWEEP_US, SWEEP_US);
    *ret = owner;
    return 0;
}

static void on_listener_closed(uv_handle_t *handle)
{
    memory_done(handle->data);
}

api_passthrough *api_passthrough_free(api_passthrough *passthrough)
{
    if (!passthrough)
        return NULL;
    passthrough->timer = rd_timer_free(passthrough->timer);
    while (passthrough->first)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): cut takes it off the list. */
        cut(passthrough->first);
    uv_close((uv_handle_t *)&passthrough->listener, on_listener_closed);
    return NULL;
}

void api_passthrough_metrics(void *context, rd_buf *out)
{
    const api_passthrough *owner = context;
    uint64_t moved = owner->moved;
    for (const pass *p = owner->first; p; p = p->next)
        moved += p->splice.moved;
    (void)rd_buf_printf(out,
                        "# HELP redoubt_passthrough_connections TLS connections that end in enclaves.\n"
                        "# TYPE redoubt_passthrough_connections gauge\nredoubt_passthrough_connections %zu\n"
                        "# TYPE redoubt_passthrough_connections_total counter\n"
                        "redoubt_passthrough_connections_total{outcome=\"passed\"} %" PRIu64 "\n"
                        "redoubt_passthrough_connections_total{outcome=\"refused\"} %" PRIu64 "\n"
                        "redoubt_passthrough_connections_total{outcome=\"turned_away\"} %" PRIu64 "\n"
                        "# TYPE redoubt_passthrough_bytes_total counter\nredoubt_passthrough_bytes_total %" PRIu64 "\n",
                        owner->count, owner->passed, owner->refused, owner->turned_away, moved);
}
