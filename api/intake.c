#include "api/intake.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/callers.h"
#include "api/shares.h"
#include "common/base/mem.h"

#define SECOND_US      INT64_C(1000000)
#define LINGER_US      (2 * SECOND_US)
#define SWEEP_MS       1000
#define MEMORY_DEFAULT ((size_t)256 << 20)

struct api_bodies {
    const rd_clock *clock;
    api_shares *shares;
    uv_timer_t timer;
    void (*on_late)(api_intake *intake);
    api_intake *first; /* of those on their way */
    uint64_t refused_share, refused_all, slow;
};

int64_t api_body_due_us(int64_t due_us, int64_t now_us, size_t size)
{
    int64_t more_us = (int64_t)size * SECOND_US / (int64_t)API_BODY_RATE;
    return RD_MAX(due_us, RD_MIN(due_us + more_us, now_us + API_BODY_REST_US));
}

/* --- time --- */

static void on_sweep(uv_timer_t *timer)
{
    api_bodies *bodies = timer->data;
    int64_t now_us = rd_clock_boot_us(bodies->clock);
    for (api_intake *intake = bodies->first, *next; intake; intake = next) {
        next = intake->next;
        if (now_us > intake->due_us)
            bodies->on_late(intake);
    }
}

void api_intake_begin(api_intake *intake)
{
    api_bodies *bodies = intake->bodies;
    intake->due_us = rd_clock_boot_us(bodies->clock) + API_BODY_GRACE_US;
    intake->is_listed = true;
    intake->next = bodies->first;
    if (intake->next)
        intake->next->previous = intake;
    else
        (void)uv_timer_start(&bodies->timer, on_sweep, SWEEP_MS, SWEEP_MS);
    bodies->first = intake;
}

void api_intake_end(api_intake *intake)
{
    api_bodies *bodies = intake->bodies;
    if (!intake->is_listed)
        return;
    intake->is_listed = false;
    if (intake->next)
        intake->next->previous = intake->previous;
    *(intake->previous ? &intake->previous->next : &bodies->first) = intake->next;
    intake->next = intake->previous = NULL;
    if (!bodies->first)
        (void)uv_timer_stop(&bodies->timer);
}

void api_intake_tell(api_intake *intake)
{
    api_intake_drop(intake);
    intake->is_told = true;
    intake->due_us = rd_clock_boot_us(intake->bodies->clock) + LINGER_US;
}

void api_intake_slow(api_intake *intake, rd_err *err)
{
    intake->bodies->slow++;
    (void)rd_err_set(err, RD_E_BODY_SLOW, "only %llu bytes of the body came in time, at less than %zu a second",
                     (unsigned long long)intake->received, API_BODY_RATE);
}

/* --- memory --- */

static api_share *enter(api_bodies *bodies, char kind, rd_bytes id)
{
    uint8_t key[API_SHARE_KEY_MAX];
    key[0] = (uint8_t)kind;
    size_t size = RD_MIN(id.size, sizeof key - 1);
    if (size)
        memcpy(key + 1, id.data, size);
    return api_shares_enter(bodies->shares, rd_bytes_of(key, 1 + size));
}

void api_intake_payer(api_intake *intake, char kind, rd_bytes id)
{
    if (!intake->shares[0])
        intake->shares[0] = enter(intake->bodies, kind, id);
}

void api_intake_address(api_intake *intake, const uint8_t key[16])
{
    if (!intake->shares[1] && !api_callers_are_many(key))
        intake->shares[1] = enter(intake->bodies, 'a', rd_bytes_of(key, 16));
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

int api_intake_admit(api_intake *intake, uint64_t size, rd_err *err)
{
    api_bodies *bodies = intake->bodies;
    intake->announced = RD_MIN(size ? (size_t)size : SIZE_MAX, intake->body_max);
    api_share_outcome outcome = api_shares_look(bodies->shares, intake->shares, (size_t)size);
    return outcome == API_SHARE_TAKEN ? 0 : refusal(bodies, outcome, err);
}

/* Room for count more: what is announced, halved as long as that is enough, so that doubling ends at its size. */
static bool make_room(api_intake *intake, size_t count)
{
    rd_buf *body = &intake->body;
    size_t wanted = RD_MAX(intake->announced, body->size + count);
    while (wanted / 2 > body->size + count)
        wanted = wanted / 2 + 1;
    return body->size + count < body->capacity || rd_buf_reserve(body, wanted - body->size) != NULL;
}

void api_intake_skip(api_intake *intake, size_t size)
{
    intake->received += size;
    if (!intake->is_told)
        intake->due_us = api_body_due_us(intake->due_us, rd_clock_boot_us(intake->bodies->clock), size);
}

int api_intake_add(api_intake *intake, rd_bytes piece, rd_err *err)
{
    api_bodies *bodies = intake->bodies;
    rd_buf *body = &intake->body;
    api_intake_skip(intake, piece.size);
    if (body->size + piece.size > intake->body_max) {
        api_intake_drop(intake);
        return rd_err_set(err, RD_E_TOO_LARGE, "the body is longer than %zu bytes", intake->body_max);
    }
    bool has_room = make_room(intake, piece.size);
    assert(has_room);
    size_t more = body->capacity - intake->held;
    api_share_outcome outcome = api_shares_take(bodies->shares, intake->shares, more);
    if (outcome != API_SHARE_TAKEN) {
        api_intake_drop(intake);
        return refusal(bodies, outcome, err);
    }
    intake->held += more;
    (void)rd_buf_append_bytes(body, piece);
    return 0;
}

void api_intake_drop(api_intake *intake)
{
    rd_buf_wipe(&intake->body);
    if (intake->held > 0)
        api_shares_give(intake->bodies->shares, intake->shares, intake->held);
    intake->held = 0;
}

void api_intake_done(api_intake *intake)
{
    api_bodies *bodies = intake->bodies;
    api_intake_end(intake);
    api_intake_drop(intake);
    for (size_t i = 0; i < RD_ARRAY_LEN(intake->shares); i++)
        api_shares_leave(bodies->shares, intake->shares[i]);
    *intake = (api_intake){ .bodies = bodies };
}

/* --- a listener's --- */

api_bodies *api_bodies_new(uv_loop_t *loop, const rd_clock *clock, size_t memory_max,
                           void (*on_late)(api_intake *intake))
{
    api_bodies *bodies = rd_alloc(sizeof *bodies);
    bodies->clock = clock;
    bodies->on_late = on_late;
    bodies->shares = api_shares_new(memory_max ? memory_max : MEMORY_DEFAULT);
    uv_timer_init(loop, &bodies->timer);
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
