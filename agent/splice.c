#include "agent/splice.h"

#include "common/base/mem.h"
#include "common/io/splice.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x73706c63u

struct agent_splice {
    uint32_t magic;
    agent_splice *next, *previous;
    agent_splices *list;     /* NULL: cut off */
    const char *socket_path; /* while it waits */
    rd_splice splice;
    uv_pipe_t socket;
    uv_connect_t connect;
    bool is_accepted; /* 200 was sent */
    bool is_closing;
};

static void unlink_from_list(agent_splice *splice)
{
    agent_splices *list = splice->list;
    if (!list)
        return;
    if (splice->previous)
        splice->previous->next = splice->next;
    else
        list->head = splice->next;
    if (splice->next)
        splice->next->previous = splice->previous;
    list->count--;
    splice->list = NULL;
}

static void on_socket_closed(uv_handle_t *handle)
{
    agent_splice *splice = RD_CONTAINER_OF(handle->data, agent_splice, splice);
    assert(splice->magic == MAGIC);
    rd_splice_done(&splice->splice);
    splice->magic = 0;
    free(splice);
}

/* The end of both sides, whoever began it. */
static void end(agent_splice *splice)
{
    if (splice->is_closing)
        return;
    splice->is_closing = true;
    rd_splice_stop(&splice->splice);
    unlink_from_list(splice);
    if (splice->splice.stream && splice->is_accepted)
        rd_link_stream_reset(splice->splice.stream, true);
    splice->splice.stream = NULL;
    uv_close((uv_handle_t *)&splice->socket, on_socket_closed);
}

static void on_end(rd_splice *splice)
{
    end(RD_CONTAINER_OF(splice, agent_splice, splice));
}

/* ---- opening ---- */

static void on_abandoned(void *context)
{
    agent_splice *splice = context;
    splice->splice.stream = NULL;
    end(splice);
}

static void refuse(agent_splice *splice, const char *why)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_DRAINING, "the instance does not take connections: %s", why);
    rd_link_stream *stream = RD_TAKE(splice->splice.stream);
    if (stream)
        rd_link_answer_error(stream, &err);
    end(splice);
}

static void on_connected(uv_connect_t *request, int status)
{
    agent_splice *splice = request->data;
    if (splice->is_closing)
        return;
    if (status < 0) {
        refuse(splice, uv_strerror(status));
        return;
    }
    splice->is_accepted = true;
    rd_link_accept(splice->splice.stream, &rd_splice_events, &splice->splice);
    rd_splice_start(&splice->splice);
}

static void begin(agent_splice *splice)
{
    const char *path = RD_TAKE(splice->socket_path);
    uv_pipe_connect(&splice->connect, &splice->socket, path, on_connected);
}

void agent_splice_open(rd_loop *loop, rd_link_stream *stream, const char *socket_path, agent_splices *list)
{
    agent_splice *splice = rd_alloc(sizeof *splice);
    splice->magic = MAGIC;
    splice->splice = (rd_splice){
        .socket = (uv_stream_t *)&splice->socket, .stream = stream, .buffer = &list->buffer, .on_end = on_end
    };
    splice->list = list;
    splice->socket_path = socket_path;
    splice->next = list->head;
    if (list->head)
        list->head->previous = splice;
    list->head = splice;
    list->count++;
    (void)uv_pipe_init(rd_loop_uv(loop), &splice->socket, 0);
    splice->socket.data = &splice->splice;
    splice->connect.data = splice;
    rd_link_on_abandoned(stream, on_abandoned, splice);
    if (!list->waits)
        begin(splice);
}

void agent_splices_begin(agent_splices *list)
{
    agent_splice *last = list->head;
    list->waits = false;
    while (last && last->next)
        last = last->next;
    for (agent_splice *splice = last; splice; splice = splice->previous)
        if (splice->socket_path)
            begin(splice);
}

void agent_splices_finish(agent_splices *list)
{
    for (agent_splice *splice = list->head, *next; splice; splice = next) {
        next = splice->next;
        if (!splice->is_accepted)
            refuse(splice, "it has ended");
    }
}

void agent_splices_cut(agent_splices *list)
{
    while (list->head) {
        agent_splice *splice = list->head;
        if (splice->splice.stream && !splice->is_accepted)
            refuse(splice, "it has ended");
        else
            end(splice);
    }
    free(list->buffer);
    list->buffer = NULL;
}
