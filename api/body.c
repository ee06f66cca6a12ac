#include "api/body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/callers.h"
#include "api/request_private.h"
#include "api/shares.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define SECOND_US INT64_C(1000000)
#define LINGER_US (2 * SECOND_US)
#define SWEEP_MS  1000

struct api_bodies {
    api_context *context;
    api_shares *shares;
    uv_timer_t timer;
    bool is_plain;
    api_request *first; /* of those on their way */
    uint64_t refused_share, refused_all, slow;
};

static api_bodies *bodies_of(const api_request *request)
{
    return api_server_bodies(request->server);
}

int64_t api_body_due_us(int64_t due_us, int64_t now_us, size_t size)
{
    int64_t more_us = (int64_t)size * SECOND_US / (int64_t)API_BODY_RATE;
    return RD_MAX(due_us, RD_MIN(due_us + more_us, now_us + API_BODY_REST_US));
}

/* --- time --- */

static int socket_of(const api_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* libmicrohttpd takes no answer amid a body: it is put on the socket beside it. What comes after it is read for a
 * while, so that no reset overtakes it (RFC 9112, 9.6). */
bool api_body_answer(api_request *request)
{
    const api_bodies *bodies = bodies_of(request);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (!bodies->is_plain || !request->intake.is_listed)
        return false;
    request->answer.is_closing = true;
    api_answer_write(request, &text);
    (void)send(socket_of(request), text.data, text.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(socket_of(request), SHUT_WR);
    request->intake.is_told = true;
    request->intake.due_us = rd_clock_boot_us(bodies->context->clock) + LINGER_US;
    return true;
}

static void end_late(api_bodies *bodies, api_request *request)
{
    rd_err err = RD_ERR_INIT;
    bodies->slow++;
    if (!request->answer.is_set) {
        (void)rd_err_set(&err, RD_E_BODY_SLOW, "only %llu bytes of the body came in time, at less than %zu a second",
                         (unsigned long long)request->intake.received, API_BODY_RATE);
        api_reply_problem(request, &err);
    }
    api_request_drop_body(request);
    if (!api_body_answer(request))
        (void)shutdown(socket_of(request), SHUT_RDWR);
}

static void on_sweep(uv_timer_t *timer)
{
    api_bodies *bodies = timer->data;
    int64_t now_us = rd_clock_boot_us(bodies->context->clock);
    for (api_request *request = bodies->first; request; request = request->intake.next) {
        const api_intake *intake = &request->intake;
        if (now_us <= intake->due_us)
            continue;
        if (intake->is_told)
            (void)shutdown(socket_of(request), SHUT_RDWR);
        else
            end_late(bodies, request);
    }
}

void api_body_begin(api_request *request)
{
    api_bodies *bodies = bodies_of(request);
    api_intake *intake = &request->intake;
    uint64_t size;
    if (!api_body_is_coming(request, &size))
        return;
    intake->due_us = rd_clock_boot_us(bodies->context->clock) + API_BODY_GRACE_US;
    intake->is_listed = true;
    intake->next = bodies->first;
    if (intake->next)
        intake->next->intake.previous = request;
    else
        (void)uv_timer_start(&bodies->timer, on_sweep, SWEEP_MS, SWEEP_MS);
    bodies->first = request;
}

static void unlist(api_request *request)
{
    api_bodies *bodies = bodies_of(request);
    api_intake *intake = &request->intake;
    if (!intake->is_listed)
        return;
    intake->is_listed = false;
    if (intake->next)
        intake->next->intake.previous = intake->previous;
    *(intake->previous ? &intake->previous->intake.next : &bodies->first) = intake->next;
    if (!bodies->first)
        (void)uv_timer_stop(&bodies->timer);
}

bool api_body_end(api_request *request)
{
    unlist(request);
    return !request->intake.is_told;
}

/* --- memory --- */

bool api_body_is_coming(const api_request *request, uint64_t *ret_size)
{
    const char *length = api_request_header(request, "Content-Length");
    *ret_size = 0;
    if (api_request_header(request, "Transfer-Encoding"))
        return true;
    return length && rd_parse_u64(length, strlen(length), UINT64_MAX, ret_size) == 0 && *ret_size > 0;
}

static api_share *enter(api_bodies *bodies, char kind, rd_bytes id)
{
    uint8_t key[API_SHARE_KEY_MAX];
    key[0] = (uint8_t)kind;
    size_t size = RD_MIN(id.size, sizeof key - 1);
    if (size)
        memcpy(key + 1, id.data, size);
    return api_shares_enter(bodies->shares, rd_bytes_of(key, 1 + size));
}

void api_request_payer(api_request *request, char kind, rd_bytes id)
{
    if (!request->intake.shares[0])
        request->intake.shares[0] = enter(bodies_of(request), kind, id);
}

/* Whom the cache knows pays for his organisation; whoever he may be else is one of the strangers. */
static void name_payers(api_request *request)
{
    api_bodies *bodies = bodies_of(request);
    api_principal principal;
    uint8_t key[16];
    rd_bytes secret = api_gate_secret(request);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (request->intake.shares[0])
        return;
    if (secret.size > 0 && api_auth_cached(request->context->auth, secret, &principal))
        api_request_payer(request, 'o', RD_BYTES_ARRAY(principal.org_id));
    else
        api_request_payer(request, '?', RD_BYTES_NULL);
    if (!info || !info->client_addr)
        return;
    api_callers_key(info->client_addr, key);
    if (!api_callers_are_many(key))
        request->intake.shares[1] = enter(bodies, 'a', RD_BYTES_ARRAY(key));
}

static int refusal(api_bodies *bodies, api_share_outcome outcome, rd_err *err)
{
    if (outcome == API_SHARE_SPENT) {
        bodies->refused_share++;
        return rd_err_set(err, RD_E_TOO_MANY_BODIES, "too many bodies of requests like this one are being read");
    }
    bodies->refused_all++;
    return rd_err_set(err, RD_E_BUSY, "too many request bodies are being read");
}

int api_body_admit(api_request *request, rd_err *err)
{
    api_bodies *bodies = bodies_of(request);
    uint64_t size;
    if (!api_body_is_coming(request, &size))
        return 0;
    name_payers(request);
    request->intake.announced = RD_MIN(size ? (size_t)size : SIZE_MAX, request->body_max);
    api_share_outcome outcome = api_shares_look(bodies->shares, request->intake.shares, (size_t)size);
    return outcome == API_SHARE_TAKEN ? 0 : refusal(bodies, outcome, err);
}

/* Room for count more: what is announced, halved as long as that is enough, so that doubling ends at its size. */
static bool make_room(api_request *request, size_t count)
{
    rd_buf *body = &request->body;
    size_t wanted = RD_MAX(request->intake.announced, body->size + count);
    while (wanted / 2 > body->size + count)
        wanted = wanted / 2 + 1;
    return body->size + count < body->capacity || rd_buf_reserve(body, wanted - body->size) != NULL;
}

int api_body_add(api_request *request, rd_bytes piece, rd_err *err)
{
    api_bodies *bodies = bodies_of(request);
    rd_buf *body = &request->body;
    api_intake *intake = &request->intake;
    intake->received += piece.size;
    if (intake->is_told)
        return 0;
    intake->due_us = api_body_due_us(intake->due_us, rd_clock_boot_us(bodies->context->clock), piece.size);
    if (request->answer.is_set)
        return 0;
    if (body->size + piece.size > request->body_max) {
        api_request_drop_body(request);
        return rd_err_set(err, RD_E_TOO_LARGE, "the body is longer than %zu bytes", request->body_max);
    }
    bool has_room = make_room(request, piece.size);
    assert(has_room);
    size_t more = body->capacity - intake->held;
    api_share_outcome outcome = api_shares_take(bodies->shares, intake->shares, more);
    if (outcome != API_SHARE_TAKEN) {
        api_request_drop_body(request);
        return refusal(bodies, outcome, err);
    }
    intake->held += more;
    (void)rd_buf_append_bytes(body, piece);
    return 0;
}

void api_request_drop_body(api_request *request)
{
    api_intake *intake = &request->intake;
    rd_buf_wipe(&request->body);
    if (intake->held > 0)
        api_shares_give(bodies_of(request)->shares, intake->shares, intake->held);
    intake->held = 0;
}

void api_body_done(api_request *request)
{
    api_bodies *bodies = bodies_of(request);
    unlist(request);
    api_request_drop_body(request);
    for (size_t i = 0; i < RD_ARRAY_LEN(request->intake.shares); i++)
        api_shares_leave(bodies->shares, request->intake.shares[i]);
}

/* --- a listener's --- */

api_bodies *api_bodies_new(api_context *context, size_t memory_max, bool is_plain)
{
    api_bodies *bodies = rd_alloc(sizeof *bodies);
    bodies->context = context;
    bodies->shares = api_shares_new(memory_max);
    bodies->is_plain = is_plain;
    uv_timer_init(context->loop, &bodies->timer);
    bodies->timer.data = bodies;
    return bodies;
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

api_bodies *api_bodies_free(api_bodies *bodies)
{
    if (!bodies)
        return NULL;
    assert(!bodies->first);
    bodies->shares = api_shares_free(bodies->shares);
    uv_close((uv_handle_t *)&bodies->timer, on_timer_closed);
    return NULL;
}

api_bodies_stats api_bodies_statistics(const api_bodies *bodies)
{
    return (api_bodies_stats){ api_shares_held(bodies->shares), bodies->refused_share, bodies->refused_all,
                               bodies->slow };
}
