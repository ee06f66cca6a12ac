#include "agent/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#define SIZE_MAX_BLANKS 64
#define WAITING_MAX     256
#define REFILL_DELAY_US (INT64_C(50) * 1000)
#define BACKOFF_US      (INT64_C(100) * 1000)
#define BACKOFF_US_MAX  (INT64_C(30) * 1000000)

typedef struct pool_waiter {
    agent_pool_taken_fn taken; /* NULL: cancelled */
    void *context;
    uint64_t ticket;
} pool_waiter;

struct agent_pool {
    agent_launcher *launcher;
    agent_pool_options options;
    agent_enclave *ready[SIZE_MAX_BLANKS]; /* blank */
    size_t ready_count;
    agent_enclave *starting[WAITING_MAX];
    size_t starting_count;
    pool_waiter waiting[WAITING_MAX]; /* in order of arrival */
    size_t waiting_count;
    uint64_t last_ticket;
    uv_timer_t timer;
    int64_t backoff_us;
    bool is_backing_off; /* the timer waits after a failure: nothing else sets it meanwhile */
    char trouble[320];   /* why the last blank did not get ready */
    char missing[256];   /* what the last blank's sandbox lacked */
    bool has_reported;
    bool is_closing;
    void (*closed)(void *context);
    void *closed_context;
};

static void arm(agent_pool *pool, int64_t delay_us);

/* --- the enclaves of the pool ----------------------------------------------------------------------------------- */

static bool remove_from(agent_enclave **list, size_t *count, const agent_enclave *enclave)
{
    for (size_t i = 0; i < *count; i++) {
        if (list[i] != enclave)
            continue;
        memmove(&list[i], &list[i + 1], (*count - i - 1) * sizeof(agent_enclave *));
        (*count)--;
        return true;
    }
    return false;
}

/* The first waiter who was not cancelled. */
static bool take_waiter(agent_pool *pool, pool_waiter *ret)
{
    while (pool->waiting_count > 0) {
        *ret = pool->waiting[0];
        pool->waiting_count--;
        memmove(&pool->waiting[0], &pool->waiting[1], pool->waiting_count * sizeof(pool->waiting[0]));
        if (ret->taken != NULL)
            return true;
    }
    return false;
}

typedef struct sandbox_report {
    char missing[256];
} sandbox_report;

static const rd_json_field sandbox_fields[] = {
    { .name = "missing", .kind = RD_JSON_TEXT, .offset = offsetof(sandbox_report, missing), .max = 255 },
    RD_JSON_END,
};

/* How instances are confined on this machine: once, and again when it changes. */
static void log_sandbox(agent_pool *pool, rd_bytes report)
{
    sandbox_report said = { .missing = "" };
    rd_err err = RD_ERR_INIT;
    if (report.size == 0)
        return;
    if (rd_json_load(report, NULL, sandbox_fields, RD_UNKNOWN_IGNORED, &said, &err) < 0) {
        rd_log(RD_WARN, "sandbox_report", RD_ERR(&err));
        return;
    }
    if (pool->has_reported && strcmp(pool->missing, said.missing) == 0)
        return;
    pool->has_reported = true;
    memcpy(pool->missing, said.missing, sizeof(pool->missing));
    rd_log(said.missing[0] != '\0' ? RD_WARN : RD_INFO, "sandbox", RD_STR("not_applied", said.missing));
}

/* An enclave's words may be cut within a character, which status could not tell. */
static void note_trouble(agent_pool *pool, const char *reason, const char *detail)
{
    (void)snprintf(pool->trouble, sizeof(pool->trouble), "%s: %s", reason, detail);
    if (!rd_is_utf8(rd_bytes_str(pool->trouble)))
        (void)snprintf(pool->trouble, sizeof(pool->trouble), "%s", reason);
}

static void back_off(agent_pool *pool)
{
    arm(pool, pool->backoff_us);
    pool->is_backing_off = uv_is_active((uv_handle_t *)&pool->timer) != 0;
    pool->backoff_us = RD_MIN(pool->backoff_us * 2, pool->options.backoff_us_max);
}

/* One is gone that did not get ready, or did not stay so. Those who wait learn it; the background tries again. */
static void lose(agent_pool *pool, const char *how)
{
    rd_err err = RD_ERR_INIT;
    pool_waiter waiter;
    if (pool->waiting_count > pool->starting_count && take_waiter(pool, &waiter)) {
        (void)rd_err_set(&err, RD_E_UNAVAILABLE, "a blank enclave ended: %s", how);
        waiter.taken(waiter.context, NULL, &err);
    }
    back_off(pool);
}

static void on_blank(void *context, agent_enclave *enclave, rd_bytes report)
{
    agent_pool *pool = context;
    log_sandbox(pool, report);
    pool_waiter waiter;
    if (take_waiter(pool, &waiter)) {
        (void)remove_from(pool->starting, &pool->starting_count, enclave);
        agent_enclave_set_events(enclave, NULL, NULL);
        waiter.taken(waiter.context, enclave, NULL);
        arm(pool, 0);
    } else if (pool->ready_count >= pool->options.size) {
        (void)remove_from(pool->starting, &pool->starting_count, enclave);
        agent_enclave_forget(enclave);
    }
}

static void on_attested(void *context, agent_enclave *enclave, rd_bytes bundle)
{
    agent_pool *pool = context;
    rd_err err = RD_ERR_INIT;
    (void)remove_from(pool->starting, &pool->starting_count, enclave);
    if (pool->launcher->ops->check_blank(pool->launcher, bundle, &err) < 0) {
        rd_log(RD_ERROR, "blank_unattested", RD_ERR(&err));
        note_trouble(pool, rd_code_describe(err.code)->name, err.text);
        agent_enclave_forget(enclave);
        lose(pool, "its evidence does not hold");
        return;
    }
    pool->backoff_us = BACKOFF_US;
    pool->is_backing_off = false;
    pool->trouble[0] = '\0';
    if (pool->ready_count < pool->options.size)
        pool->ready[pool->ready_count++] = enclave;
    else
        agent_enclave_forget(enclave);
    arm(pool, 0);
}

/* A blank's only phase: it could not be confined, and will not run without; or it got no quote. */
static void on_phase(void *context, agent_enclave *enclave, const char *phase, const char *reason, const char *detail)
{
    agent_pool *pool = context;
    rd_log(RD_ERROR, "blank_failed", RD_STR("phase", phase), RD_STR("reason", reason), RD_STR("detail", detail));
    note_trouble(pool, reason, detail);
    (void)remove_from(pool->ready, &pool->ready_count, enclave);
    (void)remove_from(pool->starting, &pool->starting_count, enclave);
    agent_enclave_forget(enclave);
    lose(pool, pool->trouble);
}

static void on_ended(void *context, agent_enclave *enclave, const char *how)
{
    agent_pool *pool = context;
    (void)remove_from(pool->ready, &pool->ready_count, enclave);
    (void)remove_from(pool->starting, &pool->starting_count, enclave);
    agent_enclave_forget(enclave);
    if (pool->is_closing)
        return;
    rd_log(RD_WARN, "blank_ended", RD_STR("how", how));
    lose(pool, how);
}

static const agent_enclave_events pool_events = {
    .on_blank = on_blank, .on_attested = on_attested, .on_phase = on_phase, .on_ended = on_ended
};

static int launch_one(agent_pool *pool, rd_err *err)
{
    agent_enclave *enclave = NULL;
    if (pool->starting_count == WAITING_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d enclaves are starting already", WAITING_MAX);
    if (agent_launch(pool->launcher, &pool_events, pool, &enclave, err) < 0)
        return -1;
    pool->starting[pool->starting_count++] = enclave;
    return 0;
}

/* --- refilling -------------------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer)
{
    agent_pool *pool = timer->data;
    rd_err err = RD_ERR_INIT;
    pool->is_backing_off = false;
    /* One at a time: a launch on demand must not queue behind a whole refill. */
    if (pool->starting_count > 0 || pool->ready_count >= pool->options.size)
        return;
    if (launch_one(pool, &err) == 0)
        return;
    rd_log(RD_WARN, "pool_refill", RD_ERR(&err));
    back_off(pool);
}

static void arm(agent_pool *pool, int64_t delay_us)
{
    if (!pool->is_closing && !pool->is_backing_off && pool->ready_count < pool->options.size)
        (void)uv_timer_start(&pool->timer, on_timer, (uint64_t)(delay_us / 1000), 0);
}

agent_pool *agent_pool_new(agent_launcher *launcher, const agent_pool_options *options)
{
    static const agent_pool_options standard = { .size = 2 };
    agent_pool *pool = rd_alloc(sizeof(*pool));
    pool->launcher = launcher;
    pool->options = options != NULL ? *options : standard;
    pool->options.size = RD_MIN(pool->options.size, (uint32_t)SIZE_MAX_BLANKS);
    if (pool->options.refill_delay_us <= 0)
        pool->options.refill_delay_us = REFILL_DELAY_US;
    if (pool->options.backoff_us_max <= 0)
        pool->options.backoff_us_max = BACKOFF_US_MAX;
    pool->backoff_us = BACKOFF_US;
    (void)uv_timer_init(launcher->loop, &pool->timer);
    pool->timer.data = pool;
    arm(pool, 0);
    return pool;
}

/* --- taking ----------------------------------------------------------------------------------------------------- */

/* One that has died just now is not given out: its on_ended is on the way. */
static agent_enclave *oldest_alive(agent_enclave *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (agent_enclave_get_state(list[i]) == AGENT_ENCLAVE_BLANK && agent_enclave_is_alive(list[i]))
            return list[i];
    }
    return NULL;
}

/* A ready one, or else one whose evidence is on the way. */
static agent_enclave *find_blank(const agent_pool *pool)
{
    agent_enclave *enclave = oldest_alive(pool->ready, pool->ready_count);
    return enclave != NULL ? enclave : oldest_alive(pool->starting, pool->starting_count);
}

int agent_pool_take(agent_pool *pool, agent_pool_taken_fn taken, void *context, uint64_t *ret_ticket, rd_err *err)
{
    if (ret_ticket != NULL)
        *ret_ticket = 0;
    if (pool->is_closing)
        return rd_err_set(err, RD_E_CANCELLED, "the pool is closing");
    agent_enclave *enclave = find_blank(pool);
    if (enclave != NULL) {
        if (!remove_from(pool->ready, &pool->ready_count, enclave))
            (void)remove_from(pool->starting, &pool->starting_count, enclave);
        agent_enclave_set_events(enclave, NULL, NULL);
        arm(pool, pool->options.refill_delay_us);
        taken(context, enclave, NULL);
        return 0;
    }
    if (pool->waiting_count == WAITING_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d wait for an enclave already", WAITING_MAX);
    if (pool->starting_count <= pool->waiting_count && launch_one(pool, err) < 0)
        return -1;
    pool->waiting[pool->waiting_count++] =
        (pool_waiter){ .taken = taken, .context = context, .ticket = ++pool->last_ticket };
    if (ret_ticket != NULL)
        *ret_ticket = pool->last_ticket;
    return 0;
}

void agent_pool_cancel(agent_pool *pool, uint64_t ticket)
{
    for (size_t i = 0; i < pool->waiting_count; i++) {
        if (pool->waiting[i].ticket == ticket)
            pool->waiting[i].taken = NULL;
    }
}

size_t agent_pool_ready_count(const agent_pool *pool)
{
    return pool->ready_count;
}

const char *agent_pool_trouble(const agent_pool *pool)
{
    return pool->trouble;
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    agent_pool *pool = handle->data;
    void (*closed)(void *) = pool->closed;
    void *context = pool->closed_context;
    free(pool);
    if (closed != NULL)
        closed(context);
}

void agent_pool_close(agent_pool *pool, void (*closed)(void *context), void *context)
{
    rd_err err = RD_ERR_INIT;
    pool_waiter waiter;
    pool->is_closing = true;
    pool->closed = closed;
    pool->closed_context = context;
    (void)rd_err_set(&err, RD_E_CANCELLED, "the pool is closing");
    while (take_waiter(pool, &waiter))
        waiter.taken(waiter.context, NULL, &err);
    /* Forgotten enclaves call nobody any more. */
    while (pool->ready_count > 0)
        agent_enclave_forget(pool->ready[--pool->ready_count]);
    while (pool->starting_count > 0)
        agent_enclave_forget(pool->starting[--pool->starting_count]);
    uv_close((uv_handle_t *)&pool->timer, on_closed);
}
