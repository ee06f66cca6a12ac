#include "agent/egress.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"

#define CHUNK      ((size_t)16 << 10)
#define CONNECT_MS 10000
#define LIFE_MS    120000 /* calls of a function last half a minute at most */
#define TRIES_MAX  4
#define PREAMBLE   16
#define MAGIC      0x65677273u

/* enclave.md: what the preamble says. */
typedef enum line_outcome {
    LINE_OPEN,
    LINE_REFUSED,
    LINE_NO_NAME,
    LINE_UNREACHABLE,
    LINE_BUSY,
    LINE_TIMEOUT,
} line_outcome;

typedef struct egress_line egress_line;

/* One way: reads into the chunk, writes it out, reads on. */
typedef struct flow {
    egress_line *line;
    uv_stream_t *from, *to;
    uv_write_t write;
    uv_shutdown_t shutdown;
    uint8_t chunk[CHUNK];
    bool has_ended;
} flow;

struct egress_line {
    uint32_t magic;
    egress_line *next, *previous;
    agent_egress *egress;
    agent_egress_request request;
    uv_getaddrinfo_t resolve;
    struct addrinfo *addresses, *candidate; /* the one that is being tried */
    unsigned tries;
    uv_tcp_t out;
    uv_pipe_t in;
    uv_connect_t connect;
    uv_write_t greet;
    uint8_t preamble[PREAMBLE];
    uv_timer_t timer;
    bool is_resolving, has_out, has_in, is_closing, is_greeted;
    flow up, down;
    unsigned handles_open;
};

typedef struct plane_name {
    uv_getaddrinfo_t resolve;
    agent_egress *egress;
} plane_name;

struct agent_egress {
    uv_loop_t *loop;
    agent_egress_rules rules;
    egress_line *first;
    size_t resolving; /* the plane's names */
    bool is_closing;
    void (*closed)(void *context);
    void *closed_context;
};

static void free_when_done(agent_egress *egress)
{
    if (!egress->is_closing || egress->first != NULL || egress->resolving > 0)
        return;
    void (*closed)(void *) = egress->closed;
    void *context = egress->closed_context;
    free(egress);
    closed(context);
}

agent_egress *agent_egress_new(uv_loop_t *loop, const agent_egress_rules *rules)
{
    agent_egress *egress = rd_alloc(sizeof(*egress));
    egress->loop = loop;
    egress->rules = *rules;
    return egress;
}

static void on_plane(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    plane_name *name = resolve->data;
    for (const struct addrinfo *one = found; status == 0 && one != NULL; one = one->ai_next)
        agent_egress_rules_plane(&name->egress->rules, one->ai_addr);
    if (status < 0)
        rd_log(RD_WARN, "plane_not_guarded", RD_STR("meaning", "functions that declare the plane's address reach it"),
               RD_STR("reason", uv_strerror(status)), RD_STR("hint", "start the agent again once its name resolves"));
    uv_freeaddrinfo(found);
    name->egress->resolving--;
    free_when_done(name->egress);
    free(name);
}

void agent_egress_guard_plane(agent_egress *egress, const char *host, uint16_t port)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    char service[8];
    plane_name *name = rd_alloc(sizeof(*name));
    (void)snprintf(service, sizeof(service), "%u", port);
    name->egress = egress;
    name->resolve.data = name;
    if (uv_getaddrinfo(egress->loop, &name->resolve, on_plane, host, service, &hints) < 0) {
        free(name);
        return;
    }
    egress->resolving++;
}

/* --- the end of a line ------------------------------------------------------------------------------------------ */

static void release(egress_line *line)
{
    agent_egress *egress = line->egress;
    if (line->handles_open > 0 || line->is_resolving)
        return;
    if (line->previous != NULL)
        line->previous->next = line->next;
    else
        egress->first = line->next;
    if (line->next != NULL)
        line->next->previous = line->previous;
    uv_freeaddrinfo(line->addresses);
    line->magic = 0;
    free(line);
    free_when_done(egress);
}

static void on_closed(uv_handle_t *handle)
{
    egress_line *line = handle->data;
    line->handles_open--;
    if (line->is_closing)
        release(line);
}

static void close_line(egress_line *line)
{
    if (line->is_closing)
        return;
    line->is_closing = true;
    if (line->is_resolving)
        (void)uv_cancel((uv_req_t *)&line->resolve);
    uv_close((uv_handle_t *)&line->timer, on_closed);
    if (line->has_out)
        uv_close((uv_handle_t *)&line->out, on_closed);
    if (line->has_in)
        uv_close((uv_handle_t *)&line->in, on_closed);
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    egress_line *line = handle->data;
    flow *way = handle == (uv_handle_t *)line->up.from ? &line->up : &line->down;
    *ret = uv_buf_init((char *)way->chunk, sizeof(way->chunk));
}

static void on_shut(uv_shutdown_t *request, int status)
{
    egress_line *line = ((flow *)request->data)->line;
    if (status < 0 || (line->up.has_ended && line->down.has_ended))
        close_line(line);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);

static void on_written(uv_write_t *request, int status)
{
    flow *way = request->data;
    if (way->line->is_closing)
        return;
    if (status < 0 || uv_read_start(way->from, on_alloc, on_read) < 0)
        close_line(way->line);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    egress_line *line = stream->data;
    assert(line->magic == MAGIC);
    flow *way = stream == line->up.from ? &line->up : &line->down;
    if (got == 0 || line->is_closing)
        return;
    (void)uv_read_stop(stream);
    if (got > 0) {
        uv_buf_t out = uv_buf_init(buf->base, (unsigned)got);
        if (uv_write(&way->write, way->to, &out, 1, on_written) < 0)
            close_line(line);
        return;
    }
    way->has_ended = true;
    if (got != UV_EOF || uv_shutdown(&way->shutdown, way->to, on_shut) < 0)
        close_line(line);
}

static void join(flow *way, egress_line *line, uv_stream_t *from, uv_stream_t *to)
{
    way->line = line;
    way->from = from;
    way->to = to;
    way->write.data = way;
    way->shutdown.data = way;
}

/* --- telling the enclave ---------------------------------------------------------------------------------------- */

static void on_greeted(uv_write_t *request, int status)
{
    egress_line *line = request->data;
    if (line->is_closing)
        return;
    if (status < 0 || line->preamble[8] != LINE_OPEN || uv_read_start(line->up.from, on_alloc, on_read) < 0 ||
        uv_read_start(line->down.from, on_alloc, on_read) < 0)
        close_line(line);
}

/* Calls the enclave and says what became of its request. */
static void greet(egress_line *line, line_outcome outcome)
{
    int fd = line->request.dial == NULL ? -1 : line->request.dial(line->request.context);
    line->is_greeted = true;
    for (int i = 0; i < 8; i++)
        line->preamble[i] = (uint8_t)(line->request.id >> 8 * (7 - i));
    line->preamble[8] = (uint8_t)outcome;
    if (fd < 0) {
        close_line(line);
        return;
    }
    (void)uv_pipe_init(line->egress->loop, &line->in, 0);
    line->in.data = line;
    line->has_in = true;
    line->handles_open++;
    if (uv_pipe_open(&line->in, fd) < 0) {
        (void)close(fd);
        close_line(line);
        return;
    }
    join(&line->up, line, (uv_stream_t *)&line->in, (uv_stream_t *)&line->out);
    join(&line->down, line, (uv_stream_t *)&line->out, (uv_stream_t *)&line->in);
    line->greet.data = line;
    uv_buf_t out = uv_buf_init((char *)line->preamble, sizeof(line->preamble));
    if (uv_write(&line->greet, (uv_stream_t *)&line->in, &out, 1, on_greeted) < 0)
        close_line(line);
}

static void on_timer(uv_timer_t *timer)
{
    egress_line *line = timer->data;
    if (!line->is_greeted && !line->is_closing)
        greet(line, LINE_TIMEOUT);
    else
        close_line(line);
}

/* --- resolving and connecting ----------------------------------------------------------------------------------- */

static void try_next(egress_line *line);

static void on_out_closed(uv_handle_t *handle)
{
    egress_line *line = handle->data;
    line->handles_open--;
    if (line->is_closing)
        release(line);
    else if (!line->is_greeted) /* else the time was up meanwhile */
        try_next(line);
}

/* This address did not take the connection; the next one uses the handle again. */
static void leave_candidate(egress_line *line)
{
    line->candidate = line->candidate->ai_next;
    line->has_out = false;
    uv_close((uv_handle_t *)&line->out, on_out_closed);
}

static void on_connected(uv_connect_t *connect, int status)
{
    egress_line *line = connect->data;
    if (line->is_closing || line->is_greeted)
        return;
    if (status == 0) {
        (void)uv_timer_start(&line->timer, on_timer, LIFE_MS, 0);
        greet(line, LINE_OPEN);
        return;
    }
    leave_candidate(line);
}

static void refuse(egress_line *line, agent_egress_verdict verdict)
{
    static const char *const names[] = { "open", "closed_range", "not_declared_private", "control_plane" };
    rd_log(RD_INFO, "egress_refused", RD_STR("host", line->request.host), RD_U64("port", line->request.port),
           RD_STR("why", names[verdict]));
    greet(line, LINE_REFUSED);
}

/* Every address of a name must be one that may be reached: a name that also points inside is not trusted. */
static void try_next(egress_line *line)
{
    if (line->candidate == NULL || line->tries++ == TRIES_MAX) {
        greet(line, LINE_UNREACHABLE);
        return;
    }
    (void)uv_tcp_init(line->egress->loop, &line->out);
    line->out.data = line;
    line->has_out = true;
    line->handles_open++;
    line->connect.data = line;
    if (uv_tcp_connect(&line->connect, &line->out, line->candidate->ai_addr, on_connected) < 0) {
        leave_candidate(line);
        return;
    }
    (void)uv_tcp_nodelay(&line->out, 1);
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    egress_line *line = resolve->data;
    line->is_resolving = false;
    line->addresses = line->candidate = found;
    if (line->is_closing) {
        release(line);
        return;
    }
    if (line->is_greeted) /* the time was up */
        return;
    if (status < 0 || found == NULL) {
        greet(line, LINE_NO_NAME);
        return;
    }
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        agent_egress_verdict verdict =
            agent_egress_rules_judge(&line->egress->rules, one->ai_addr, line->request.is_private);
        if (verdict != AGENT_EGRESS_OPEN) {
            refuse(line, verdict);
            return;
        }
    }
    try_next(line);
}

static size_t count_of(const agent_egress *egress, const void *owner)
{
    size_t count = 0;
    for (const egress_line *line = egress->first; line != NULL; line = line->next)
        count += line->request.owner == owner && !line->is_closing;
    return count;
}

static int resolve(egress_line *line)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV };
    const struct addrinfo numeric = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    char host[sizeof(line->request.host)], service[8];
    size_t size = strlen(line->request.host);
    bool is_bracketed = size > 2 && line->request.host[0] == '[';
    (void)snprintf(host, sizeof(host), "%.*s", (int)(is_bracketed ? size - 2 : size),
                   line->request.host + is_bracketed);
    (void)snprintf(service, sizeof(service), "%u", line->request.port);
    line->resolve.data = line;
    return uv_getaddrinfo(line->egress->loop, &line->resolve, on_resolved, host, service,
                          is_bracketed ? &numeric : &hints);
}

void agent_egress_open(agent_egress *egress, const agent_egress_request *request)
{
    if (egress->is_closing)
        return;
    bool is_busy = count_of(egress, request->owner) >= AGENT_EGRESS_AT_ONCE;
    egress_line *line = rd_alloc(sizeof(*line));
    line->magic = MAGIC;
    line->egress = egress;
    line->request = *request;
    line->next = egress->first;
    if (line->next != NULL)
        line->next->previous = line;
    egress->first = line;
    (void)uv_timer_init(egress->loop, &line->timer);
    line->timer.data = line;
    line->handles_open++;
    (void)uv_timer_start(&line->timer, on_timer, CONNECT_MS, 0);
    if (is_busy) {
        greet(line, LINE_BUSY);
        return;
    }
    line->is_resolving = resolve(line) == 0;
    if (!line->is_resolving)
        greet(line, LINE_NO_NAME);
}

void agent_egress_drop(agent_egress *egress, const void *owner)
{
    egress_line *next = NULL;
    for (egress_line *line = egress->first; line != NULL; line = next) {
        next = line->next;
        if (line->request.owner != owner)
            continue;
        line->request.dial = NULL;
        line->request.owner = NULL;
        close_line(line);
    }
}

void agent_egress_close(agent_egress *egress, void (*closed)(void *context), void *context)
{
    egress->is_closing = true;
    egress->closed = closed;
    egress->closed_context = context;
    for (egress_line *line = egress->first; line != NULL; line = line->next)
        close_line(line);
    free_when_done(egress);
}
