#include "api/forward.h"

#include "common/base/mem.h"

#include <stdlib.h>

typedef struct forward {
    api_forwards *list;
    rd_link_stream *caller; /* of the other replica */
    rd_link_stream *agent;
    bool is_joined;
    int refused; /* the agent's status when it was not 200 */
    struct forward *next, *previous;
} forward;

struct api_forwards {
    forward *first;
    size_t count;
    uint64_t total;
};

static void forward_free(forward *f)
{
    api_forwards *list = f->list;
    if (f->next)
        f->next->previous = f->previous;
    *(f->previous ? &f->previous->next : &list->first) = f->next;
    list->count--;
    free(f);
}

/* ---- both directions alike: bytes, room, ends ---- */

static size_t pass_on(rd_link_stream *to, rd_bytes bytes)
{
    size_t size = to ? RD_MIN(bytes.size, rd_link_stream_room(to)) : 0;
    rd_err err = RD_ERR_INIT;
    if (size == 0 || rd_link_stream_write(to, rd_bytes_of(bytes.data, size), &err) < 0)
        return 0; /* its queue is full, so on_room comes and resumes */
    return size;
}

static rd_link_stream *other_of(const forward *f, const rd_link_stream *stream)
{
    return stream == f->caller ? f->agent : f->caller;
}

static size_t on_data(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    forward *f = context;
    return f->is_joined ? pass_on(other_of(f, stream), bytes) : 0;
}

static void on_room(rd_link_stream *stream, void *context)
{
    forward *f = context;
    if (f->is_joined && other_of(f, stream))
        rd_link_stream_resume(other_of(f, stream));
}

static void on_end(rd_link_stream *stream, void *context)
{
    forward *f = context;
    if (f->is_joined && other_of(f, stream))
        rd_link_stream_end(other_of(f, stream));
}

static void on_joined_closed(forward *f, const rd_link_stream *stream, const rd_err *error)
{
    rd_link_stream *other = other_of(f, stream);
    /* An end that was proper has been passed on by on_end; what is still queued goes out with it. */
    if (error && other)
        rd_link_stream_reset(other, true);
    else if (stream == f->caller)
        f->caller = NULL;
    else
        f->agent = NULL;
    if (error || (!f->caller && !f->agent))
        forward_free(f);
}

/* ---- before the agent has answered ---- */

static void refuse(rd_link_stream *stream, rd_code code, const char *text)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "%s", text);
    rd_link_on_abandoned(stream, NULL, NULL);
    rd_link_answer_error(stream, &err);
}

static void on_abandoned(void *context)
{
    forward *f = context;
    rd_link_stream_reset(f->agent, true);
    forward_free(f);
}

static void on_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    forward *f = context;
    if (f->is_joined) {
        on_joined_closed(f, stream, error);
        return;
    }
    if (f->refused == 421)
        refuse(f->caller, RD_E_EPOCH_STALE, "the agent knows a newer lease");
    else if (f->refused == 503)
        refuse(f->caller, RD_E_DRAINING, "the agent takes nothing new for this instance");
    else
        refuse(f->caller, RD_E_LINK_CLOSED, "the agent's pipe was lost");
    forward_free(f);
}

static const rd_link_stream_events caller_events = {
    .on_data = on_data, .on_room = on_room, .on_end = on_end, .on_closed = on_closed
};

static void on_response(rd_link_stream *stream, void *context, int status)
{
    (void)stream;
    forward *f = context;
    if (status != 200) {
        f->refused = status;
        return;
    }
    f->is_joined = true;
    rd_link_on_abandoned(f->caller, NULL, NULL);
    rd_link_accept(f->caller, &caller_events, f);
}

static const rd_link_stream_events agent_events = {
    .on_response = on_response, .on_data = on_data, .on_room = on_room, .on_end = on_end, .on_closed = on_closed
};

void api_forward(api_forwards *forwards, rd_link_stream *stream, rd_link *agent, const char *authority)
{
    forward *f = rd_alloc(sizeof *f);
    f->list = forwards;
    f->caller = stream;
    rd_err err = RD_ERR_INIT;
    if (rd_link_connect(agent, authority, &agent_events, f, &f->agent, &err) < 0) {
        free(f);
        rd_link_answer_error(stream, &err);
        return;
    }
    f->next = forwards->first;
    if (f->next)
        f->next->previous = f;
    forwards->first = f;
    forwards->count++;
    forwards->total++;
    rd_link_on_abandoned(stream, on_abandoned, f);
}

/* ---- life ---- */

api_forwards *api_forwards_new(void)
{
    return rd_alloc(sizeof(api_forwards));
}

api_forwards *api_forwards_free(api_forwards *forwards)
{
    if (!forwards)
        return NULL;
    while (forwards->first) {
        forward *f = forwards->first;
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): forward_free takes it off the list. */
        if (f->agent)
            rd_link_stream_reset(f->agent, true);
        if (f->caller)
            rd_link_stream_reset(f->caller, true);
        forward_free(f);
    }
    free(forwards);
    return NULL;
}

size_t api_forwards_open(const api_forwards *forwards)
{
    return forwards->count;
}

uint64_t api_forwards_total(const api_forwards *forwards)
{
    return forwards->total;
}
