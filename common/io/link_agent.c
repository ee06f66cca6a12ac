#include "common/io/link_private.h"

#include "common/base/mem.h"
#include "common/model/problem.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_AT_ONCE       4 /* one in use, one being dialled, some on their way out */
#define ENDPOINTS_MAX       16
#define FIRST_STANDARD_US   2000000
#define BACKOFF_STANDARD_US 30000000
#define BACKOFF_START_US    1000000
/* A link that ends sooner counts as a failed dial: a plane that takes us only to end it is not dialled in a circle. One
 * over which more was asked than who we are was taken for work, and counts sooner. */
#define SETTLED_MS      10000
#define SETTLED_WORK_MS 2000
#define FIRST_REQUESTS  1
/* So long after such a link was lost the plane is likely starting again: its hosts come back soon, spread as they are
 * after a loss. */
#define RETURN_MS 120000

struct rd_link_agent {
    link_hub hub; /* first */
    rd_link_agent_config config;
    rd_endpoint endpoints[ENDPOINTS_MAX]; /* hosts are ours */
    size_t endpoint_count;
    size_t endpoint_next;
    uint64_t attempt; /* picks among the addresses of a name */
    uv_timer_t timer;
    uv_getaddrinfo_t lookup;
    bool is_looking_up;
    rd_link *dialling; /* not up yet */
    rd_link *newest;   /* up */
    size_t up;
    int64_t backoff_us;
    uint64_t lost_ms; /* the last link that had settled; 0: none */
};

static rd_link_agent *agent_of(link_hub *hub)
{
    return (rd_link_agent *)(void *)hub; /* its first member */
}

/* ---- answering ---- */

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ .name = (uint8_t *)name, /* nghttp2 copies */
                         .namelen = strlen(name),
                         .value = (uint8_t *)value,
                         .valuelen = strlen(value),
                         .flags = NGHTTP2_NV_FLAG_NONE };
}

static void submit_answer(rd_link_stream *stream, int status, const char *content_type)
{
    if (stream->is_h2_closed || stream->has_submitted || stream->link->state >= LINK_CLOSING)
        return;
    char code[8];
    (void)snprintf(code, sizeof code, "%03d", status);
    const nghttp2_nv headers[] = { header(":status", code), header("content-type", content_type ? content_type : "") };
    nghttp2_data_provider provider = stream_provider(stream);
    bool has_body = !stream->has_ended || stream->out.size > 0;
    stream->has_submitted = true;
    stream->has_provider = has_body;
    int rc = nghttp2_submit_response(stream->link->h2, stream->id, headers, content_type ? 2 : 1,
                                     has_body ? &provider : NULL);
    if (rc != 0)
        rd_link_stream_reset(stream, true);
    link_mark_dirty(stream->link);
}

static const char *content_type_of(int status, rd_bytes body)
{
    if (body.size == 0)
        return NULL;
    if (status >= 400)
        return "application/problem+json";
    return body.data[0] == '{' || body.data[0] == '[' ? "application/json" : "application/octet-stream";
}

static void end_request(rd_link_stream *stream, stream_kind kind)
{
    if (stream->kind == STREAM_REQUEST)
        stream->link->body_bytes -= stream->body.size;
    rd_buf_done(&stream->body);
    stream->kind = kind;
}

void rd_link_answer(rd_link_stream *stream, int status, rd_bytes body)
{
    assert(stream->magic == STREAM_MAGIC);
    assert(stream->kind == STREAM_REQUEST);
    stream_queue(stream, body); /* before the request's own body goes: it may be that */
    const char *content_type = content_type_of(status, body);
    end_request(stream, STREAM_ANSWER);
    stream->has_ended = true;
    stream->is_silent = true;
    stream->is_dropping = true;
    submit_answer(stream, status, content_type);
}

void rd_link_answer_error(rd_link_stream *stream, const rd_err *error)
{
    RD_CLEANUP(rd_buf_done) rd_buf problem = { .size_max = 4096 };
    (void)rd_problem_write(error, NULL, &problem);
    rd_link_answer(stream, rd_problem_status(error), rd_buf_bytes(&problem));
}

void rd_link_accept(rd_link_stream *stream, const rd_link_stream_events *events, void *context)
{
    assert(stream->magic == STREAM_MAGIC);
    assert(stream->kind == STREAM_REQUEST);
    end_request(stream, STREAM_OPEN);
    stream->on_abandoned = NULL;
    stream->events = *events;
    stream->context = context;
    stream->is_accepted = true;
    submit_answer(stream, 200, stream->is_pipe ? NULL : "application/x-ndjson");
    stream_todo(stream, stream->is_h2_closed ? TODO_RESUME | TODO_CLOSED : TODO_RESUME);
}

void rd_link_on_abandoned(rd_link_stream *stream, rd_loop_fn fn, void *context)
{
    stream->on_abandoned = fn;
    stream->abandoned_context = context;
}

size_t request_body_max(const rd_link_stream *stream)
{
    return stream->path && strncmp(stream->path, "/blobs/", 7) == 0 ? RD_LINK_BLOB_MAX : RD_LINK_BODY_MAX;
}

void request_dispatch(rd_link_stream *stream)
{
    link_hub *hub = stream->link->hub;
    if (stream->kind != STREAM_REQUEST)
        return;
    const rd_link_exchange exchange = {
        .link = stream->link,
        .method = stream->method,
        .path = stream->path ? stream->path : "",
        .authority = stream->authority ? stream->authority : "",
        .body = rd_buf_bytes(&stream->body),
    };
    hub->ops->on_request(hub, stream, &exchange);
}

/* ---- dialling ---- */

static int64_t random_us(int64_t limit_us)
{
    uint32_t draw = 0;
    (void)RAND_bytes((unsigned char *)&draw, sizeof draw); /* only spreads the herd: zeros are as good */
    return limit_us <= 0 ? 0 : (int64_t)((double)draw / 4294967296.0 * (double)limit_us);
}

static void on_dial_time(uv_timer_t *timer);

static void dial_after(rd_link_agent *agent, int64_t wait_us)
{
    if (!agent->hub.is_closing)
        (void)uv_timer_start(&agent->timer, on_dial_time, (uint64_t)(wait_us / 1000), 0);
}

/* Of a wait the upper half is random: at most twice the spread that the operator chose for his fleet. */
static int64_t backoff_max_us(const rd_link_agent *agent)
{
    int64_t max_us = agent->config.dial_backoff_max_us;
    bool is_returning = agent->lost_ms && rd_loop_now_ms(agent->hub.loop) - agent->lost_ms < RETURN_MS;
    return is_returning ? RD_MIN(max_us, RD_MAX(2 * agent->config.dial_first_max_us, BACKOFF_START_US)) : max_us;
}

static void dial_backed_off(rd_link_agent *agent)
{
    int64_t backoff_us = RD_MIN(agent->backoff_us, backoff_max_us(agent));
    agent->backoff_us = RD_MIN(backoff_us * 2, agent->config.dial_backoff_max_us);
    dial_after(agent, backoff_us / 2 + random_us(backoff_us / 2));
}

static void dial_failed(rd_link_agent *agent, const char *address, const rd_err *error)
{
    if (agent->hub.is_closing)
        return;
    if (agent->config.on_dial_failed)
        agent->config.on_dial_failed(agent->config.context, address, error);
    if (agent->up == 0)
        dial_backed_off(agent);
}

static void on_connected(uv_connect_t *request, int status)
{
    rd_link *link = request->data;
    if (link->state >= LINK_CLOSING)
        return;
    if (status < 0)
        rd_link_close(link, uv_strerror(status));
    else
        link_start(link);
}

static void dial(rd_link_agent *agent, const struct sockaddr *address)
{
    rd_err err = RD_ERR_INIT;
    rd_link *link = link_new(&agent->hub, agent->config.tls, &err);
    if (!link) {
        dial_failed(agent, "", &err);
        return;
    }
    agent->dialling = link;
    const rd_endpoint *at = &agent->endpoints[agent->endpoint_next % agent->endpoint_count];
    (void)snprintf(link->address, sizeof link->address, "%.48s:%u", at->host, at->port);
    link_begin_connect(link);
    int rc = uv_tcp_connect(&link->connect, &link->tcp, address, on_connected);
    if (rc < 0)
        rd_link_close(link, uv_strerror(rc));
}

static void on_looked_up(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    rd_link_agent *agent = request->data;
    agent->is_looking_up = false;
    if (agent->hub.is_closing) {
        uv_freeaddrinfo(found);
        link_hub_close(&agent->hub);
        return;
    }
    const rd_endpoint *at = &agent->endpoints[agent->endpoint_next % agent->endpoint_count];
    if (status < 0) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_UNAVAILABLE, "name %s: %s", at->host, uv_strerror(status));
        agent->endpoint_next++;
        dial_failed(agent, at->host, &err);
        return;
    }
    size_t count = 0;
    for (const struct addrinfo *one = found; one; one = one->ai_next)
        count++;
    size_t pick = agent->attempt++ % RD_MAX(count, (size_t)1);
    const struct addrinfo *chosen = found;
    while (pick-- > 0 && chosen && chosen->ai_next)
        chosen = chosen->ai_next;
    if (chosen)
        dial(agent, chosen->ai_addr);
    agent->endpoint_next++;
    uv_freeaddrinfo(found);
}

static void dial_next(rd_link_agent *agent)
{
    if (agent->dialling || agent->is_looking_up || agent->hub.is_closing)
        return;
    const rd_endpoint *at = &agent->endpoints[agent->endpoint_next % agent->endpoint_count];
    char port[8];
    (void)snprintf(port, sizeof port, "%u", at->port);
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    agent->lookup.data = agent;
    int rc = uv_getaddrinfo(rd_loop_uv(agent->hub.loop), &agent->lookup, on_looked_up, at->host, port, &hints);
    if (rc == 0) {
        agent->is_looking_up = true;
        return;
    }
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "name %s: %s", at->host, uv_strerror(rc));
    agent->endpoint_next++;
    dial_failed(agent, at->host, &err);
}

static void on_dial_time(uv_timer_t *timer)
{
    dial_next(timer->data);
}

/* ---- the hub's events ---- */

static void on_ready(link_hub *hub, rd_link *link)
{
    rd_link_agent *agent = agent_of(hub);
    agent->dialling = NULL;
    agent->newest = link;
    agent->up++;
    link->up_ms = rd_loop_now_ms(hub->loop);
    agent->config.on_up(agent->config.context, link);
}

static rd_link *newest_up(rd_link_agent *agent)
{
    for (rd_link *link = agent->hub.links; link; link = link->next)
        if (link->state == LINK_UP)
            return link;
    return NULL;
}

static bool has_settled(const rd_link *link)
{
    uint64_t up_ms = rd_loop_now_ms(link->hub->loop) - link->up_ms;
    return up_ms >= SETTLED_MS || (up_ms >= SETTLED_WORK_MS && link->asked > FIRST_REQUESTS);
}

static void on_gone(link_hub *hub, rd_link *link, const char *reason)
{
    rd_link_agent *agent = agent_of(hub);
    if (agent->dialling == link)
        agent->dialling = NULL;
    if (!link->was_ready) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_UNAVAILABLE, "%s", reason);
        dial_failed(agent, link->address, &err);
        return;
    }
    agent->up--;
    if (agent->newest == link)
        agent->newest = newest_up(agent);
    agent->config.on_down(agent->config.context, link, reason);
    if (agent->up > 0)
        return;
    if (!has_settled(link)) {
        dial_backed_off(agent);
        return;
    }
    agent->lost_ms = rd_loop_now_ms(hub->loop);
    agent->backoff_us = BACKOFF_START_US;
    dial_after(agent, random_us(agent->config.dial_first_max_us));
}

static void on_handshaken(link_hub *hub, rd_link *link)
{
    (void)hub;
    (void)link;
}

static void on_request(link_hub *hub, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    rd_link_agent *agent = agent_of(hub);
    exchange->link->asked++;
    agent->config.on_request(agent->config.context, stream, exchange);
}

static void free_endpoints(rd_link_agent *agent)
{
    for (size_t i = 0; i < agent->endpoint_count; i++)
        free((char *)agent->endpoints[i].host);
    agent->endpoint_count = 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    rd_link_agent *agent = handle->data;
    link_hub_done(&agent->hub);
    free_endpoints(agent);
    free(agent);
}

static void on_empty(link_hub *hub)
{
    rd_link_agent *agent = agent_of(hub);
    if (agent->is_looking_up) /* its callback comes back here */
        return;
    if (!uv_is_closing((uv_handle_t *)&agent->timer))
        uv_close((uv_handle_t *)&agent->timer, on_timer_closed);
}

static const link_hub_ops agent_ops = {
    .on_ready = on_ready,
    .on_gone = on_gone,
    .on_handshaken = on_handshaken,
    .on_request = on_request,
    .on_empty = on_empty,
};

/* ---- the owner's functions ---- */

int rd_link_agent_set_endpoints(rd_link_agent *agent, const rd_endpoint *endpoints, size_t count, rd_err *err)
{
    if (count == 0 || count > ENDPOINTS_MAX)
        return rd_err_set(err, RD_E_CONFIG, "link: %zu addresses; 1 to %d are possible", count, ENDPOINTS_MAX);
    free_endpoints(agent);
    for (size_t i = 0; i < count; i++)
        agent->endpoints[i] = (rd_endpoint){ .host = rd_strdup(endpoints[i].host), .port = endpoints[i].port };
    agent->endpoint_count = count;
    agent->endpoint_next = (size_t)random_us((int64_t)count);
    return 0;
}

int rd_link_agent_new(rd_loop *loop, const rd_link_agent_config *config, rd_link_agent **ret, rd_err *err)
{
    rd_link_agent *agent = rd_alloc(sizeof *agent);
    agent->config = *config;
    agent->backoff_us = BACKOFF_START_US;
    if (!agent->config.dial_first_max_us)
        agent->config.dial_first_max_us = FIRST_STANDARD_US;
    if (!agent->config.dial_backoff_max_us)
        agent->config.dial_backoff_max_us = BACKOFF_STANDARD_US;
    if (rd_link_agent_set_endpoints(agent, config->endpoints, config->endpoint_count, err) < 0 ||
        link_hub_init(&agent->hub, loop, true, LINKS_AT_ONCE, &agent_ops, err) < 0) {
        free_endpoints(agent);
        free(agent);
        return -1;
    }
    (void)uv_timer_init(rd_loop_uv(loop), &agent->timer);
    agent->timer.data = agent;
    dial_after(agent, random_us(agent->config.dial_first_max_us));
    *ret = agent;
    return 0;
}

rd_link *rd_link_agent_link(const rd_link_agent *agent)
{
    return agent->newest;
}

void rd_link_agent_try_other(rd_link_agent *agent)
{
    dial_next(agent);
}

rd_link_agent *rd_link_agent_free(rd_link_agent *agent)
{
    if (agent)
        link_hub_close(&agent->hub);
    return NULL;
}
