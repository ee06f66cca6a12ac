#include "common/io/loop.h"

#include "common/base/mem.h"

#include <signal.h>
#include <stdlib.h>

#define FREE_WAIT_MS 2000

struct rd_loop {
    uv_loop_t uv;
    uv_signal_t signals[3];
    bool has_signals;
    bool is_stopping; /* the first signal came */
    rd_loop_fn on_stop;
    rd_loop_fn on_reload;
    void *signal_context;
    uv_prepare_t prepare;
    rd_flusher *flushers, *last_flushers;
    bool is_flushing;
    struct job *jobs, **jobs_end; /* of this turn, for the thread pool */
};

int rd_loop_new(rd_loop **ret, rd_err *err)
{
    rd_loop *loop = rd_alloc(sizeof *loop);
    int rc = uv_loop_init(&loop->uv);
    if (rc < 0) {
        free(loop);
        return rd_err_set(err, RD_E_IO, "event loop: %s", uv_strerror(rc));
    }
    loop->uv.data = loop;
    loop->jobs_end = &loop->jobs;
    (void)uv_prepare_init(&loop->uv, &loop->prepare);
    loop->prepare.data = loop;
    uv_unref((uv_handle_t *)&loop->prepare);
    *ret = loop;
    return 0;
}

/* Every handle of ours begins with its uv handle and is freed in its last close callback. */
static void on_closed_free(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_left_over(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void on_watchdog(uv_timer_t *handle)
{
    uv_stop(handle->loop);
}

rd_loop *rd_loop_free(rd_loop *loop)
{
    if (!loop)
        return NULL;
    /* What the owners have freed goes on its own; the watchdog ends the wait for what they forgot. */
    uv_timer_t watchdog;
    (void)uv_timer_init(&loop->uv, &watchdog);
    (void)uv_timer_start(&watchdog, on_watchdog, FREE_WAIT_MS, 0);
    uv_unref((uv_handle_t *)&watchdog);
    uint64_t end = uv_hrtime() + (uint64_t)FREE_WAIT_MS * 1000000;
    while (uv_loop_alive(&loop->uv) && uv_hrtime() < end)
        uv_run(&loop->uv, UV_RUN_ONCE);
    uv_walk(&loop->uv, close_left_over, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop->uv);
    free(loop);
    return NULL;
}

void rd_loop_free_p(rd_loop **loop)
{
    *loop = rd_loop_free(*loop);
}

uv_loop_t *rd_loop_uv(rd_loop *loop)
{
    return &loop->uv;
}

int rd_loop_run(rd_loop *loop, rd_err *err)
{
    int rc = uv_run(&loop->uv, UV_RUN_DEFAULT);
    if (rc < 0)
        return rd_err_set(err, RD_E_IO, "event loop: %s", uv_strerror(rc));
    return 0;
}

void rd_loop_turn(rd_loop *loop, bool may_wait)
{
    uv_run(&loop->uv, may_wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void rd_loop_stop(rd_loop *loop)
{
    uv_stop(&loop->uv);
}

uint64_t rd_loop_now_ms(const rd_loop *loop)
{
    return uv_now(&loop->uv);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    rd_loop *loop = handle->data;
    if (signal_number == SIGHUP) {
        if (loop->on_reload)
            loop->on_reload(loop->signal_context);
        return;
    }
    if (loop->is_stopping) {
        rd_loop_stop(loop);
        return;
    }
    loop->is_stopping = true;
    loop->on_stop(loop->signal_context);
}

int rd_loop_on_signals(rd_loop *loop, rd_loop_fn on_stop, rd_loop_fn on_reload, void *context, rd_err *err)
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
    loop->on_stop = on_stop;
    loop->on_reload = on_reload;
    loop->signal_context = context;
    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return rd_err_set(err, RD_E_IO, "SIGPIPE cannot be ignored");
    for (size_t i = 0; i < RD_ARRAY_LEN(numbers) && !loop->has_signals; i++) {
        int rc = uv_signal_init(&loop->uv, &loop->signals[i]);
        if (rc == 0) {
            loop->signals[i].data = loop;
            uv_unref((uv_handle_t *)&loop->signals[i]);
            rc = uv_signal_start(&loop->signals[i], on_signal, numbers[i]);
        }
        if (rc < 0)
            return rd_err_set(err, RD_E_IO, "signal %d: %s", numbers[i], uv_strerror(rc));
    }
    loop->has_signals = true;
    return 0;
}

/* ---- timers ---- */

struct rd_timer {
    uv_timer_t uv;
    rd_loop_fn fn;
    void *context;
};

static void on_timer(uv_timer_t *handle)
{
    rd_timer *timer = handle->data;
    timer->fn(timer->context);
}

rd_timer *rd_timer_new(rd_loop *loop, rd_loop_fn fn, void *context)
{
    rd_timer *timer = rd_alloc(sizeof *timer);
    (void)uv_timer_init(&loop->uv, &timer->uv);
    timer->uv.data = timer;
    timer->fn = fn;
    timer->context = context;
    return timer;
}

static uint64_t milliseconds(int64_t time_us)
{
    return time_us <= 0 ? 0 : ((uint64_t)time_us + 999) / 1000;
}

void rd_timer_start(rd_timer *timer, int64_t first_us, int64_t repeat_us)
{
    (void)uv_timer_start(&timer->uv, on_timer, milliseconds(first_us), milliseconds(repeat_us));
}

void rd_timer_stop(rd_timer *timer)
{
    (void)uv_timer_stop(&timer->uv);
}

rd_timer *rd_timer_free(rd_timer *timer)
{
    if (timer)
        uv_close((uv_handle_t *)&timer->uv, on_closed_free);
    return NULL;
}

typedef struct deferred {
    uv_timer_t uv;
    rd_loop_fn fn;
    void *context;
} deferred;

static void on_deferred(uv_timer_t *handle)
{
    deferred *call = handle->data;
    rd_loop_fn fn = call->fn;
    void *context = call->context;
    uv_close((uv_handle_t *)handle, on_closed_free);
    fn(context);
}

void rd_loop_defer(rd_loop *loop, rd_loop_fn fn, void *context)
{
    deferred *call = rd_alloc(sizeof *call);
    (void)uv_timer_init(&loop->uv, &call->uv);
    call->uv.data = call;
    call->fn = fn;
    call->context = context;
    (void)uv_timer_start(&call->uv, on_deferred, 0, 0);
}

/* ---- wake-ups ---- */

struct rd_wake {
    uv_async_t uv;
    rd_loop_fn fn;
    void *context;
};

static void on_wake(uv_async_t *handle)
{
    rd_wake *wake = handle->data;
    wake->fn(wake->context);
}

rd_wake *rd_wake_new(rd_loop *loop, rd_loop_fn fn, void *context)
{
    rd_wake *wake = rd_alloc(sizeof *wake);
    wake->fn = fn;
    wake->context = context;
    if (uv_async_init(&loop->uv, &wake->uv, on_wake) < 0)
        abort(); /* no descriptor for the process's only wake-up pipe: nothing would ever move */
    wake->uv.data = wake;
    return wake;
}

void rd_wake_send(rd_wake *wake)
{
    (void)uv_async_send(&wake->uv);
}

rd_wake *rd_wake_free(rd_wake *wake)
{
    if (wake)
        uv_close((uv_handle_t *)&wake->uv, on_closed_free);
    return NULL;
}

/* ---- readiness ---- */

struct rd_watch {
    uv_poll_t uv;
    rd_watch_fn fn;
    void *context;
};

static void on_ready(uv_poll_t *handle, int status, int events)
{
    rd_watch *watch = handle->data;
    if (status < 0) /* let the owner's own read or write find the error */
        events = UV_READABLE | UV_WRITABLE;
    watch->fn(watch->context, events & UV_READABLE, events & UV_WRITABLE);
}

rd_watch *rd_watch_new(rd_loop *loop, int fd, rd_watch_fn fn, void *context)
{
    rd_watch *watch = rd_alloc(sizeof *watch);
    if (uv_poll_init(&loop->uv, &watch->uv, fd) < 0) {
        free(watch);
        return NULL;
    }
    watch->uv.data = watch;
    watch->fn = fn;
    watch->context = context;
    return watch;
}

void rd_watch_set(rd_watch *watch, bool want_read, bool want_write)
{
    int events = (want_read ? UV_READABLE : 0) | (want_write ? UV_WRITABLE : 0);
    if (events)
        (void)uv_poll_start(&watch->uv, events, on_ready);
    else
        (void)uv_poll_stop(&watch->uv);
}

rd_watch *rd_watch_free(rd_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->uv, on_closed_free);
    return NULL;
}

/* ---- thread pool ---- */

typedef struct job {
    uv_work_t uv;
    rd_loop_fn work;
    rd_work_done_fn done;
    void *context;
    struct job *next;
} job;

static void on_work(uv_work_t *request)
{
    job *work = request->data;
    work->work(work->context);
}

static void on_work_done(uv_work_t *request, int status)
{
    job *work = request->data;
    rd_work_done_fn done = work->done;
    void *context = work->context;
    free(work);
    done(context, status == UV_ECANCELED);
}

static void hand_out_jobs(rd_loop *loop)
{
    for (job *one = loop->jobs, *next; one; one = next) {
        next = one->next;
        if (uv_queue_work(&loop->uv, &one->uv, on_work, on_work_done) < 0)
            abort(); /* only a missing callback makes it fail */
    }
    loop->jobs = NULL;
    loop->jobs_end = &loop->jobs;
    uv_unref((uv_handle_t *)&loop->prepare);
}

/* ---- end of turn ---- */

struct rd_flusher {
    rd_flusher *next;
    rd_loop *loop;
    rd_loop_fn fn; /* NULL: given up while the list was gone through */
    void *context;
};

static void call_all(rd_flusher *first)
{
    for (rd_flusher *one = first; one; one = one->next)
        if (one->fn)
            one->fn(one->context);
}

static void drop_given_up(rd_flusher **at)
{
    while (*at) {
        rd_flusher *one = *at;
        if (one->fn) {
            at = &one->next;
            continue;
        }
        *at = one->next;
        free(one);
    }
}

static void drop_all_given_up(rd_loop *loop)
{
    drop_given_up(&loop->flushers);
    drop_given_up(&loop->last_flushers);
}

static void on_prepare(uv_prepare_t *handle)
{
    rd_loop *loop = handle->data;
    loop->is_flushing = true;
    call_all(loop->flushers);
    call_all(loop->last_flushers);
    loop->is_flushing = false;
    drop_all_given_up(loop);
    hand_out_jobs(loop);
}

static void want_end_of_turn(rd_loop *loop)
{
    if (!uv_is_active((uv_handle_t *)&loop->prepare))
        (void)uv_prepare_start(&loop->prepare, on_prepare);
}

/* A thread that is woken may take the processor of the one that woke it: what the turn has to send leaves first. */
void rd_loop_work(rd_loop *loop, rd_loop_fn work, rd_work_done_fn done, void *context)
{
    job *request = rd_alloc(sizeof *request);
    *request = (job){ .uv = { .data = request }, .work = work, .done = done, .context = context };
    *loop->jobs_end = request;
    loop->jobs_end = &request->next;
    want_end_of_turn(loop);
    uv_ref((uv_handle_t *)&loop->prepare); /* until it is handed out, it keeps the loop alive */
}

static rd_flusher *flusher_new(rd_loop *loop, rd_flusher **first, rd_loop_fn fn, void *context)
{
    rd_flusher *flusher = rd_alloc(sizeof *flusher);
    *flusher = (rd_flusher){ .next = *first, .loop = loop, .fn = fn, .context = context };
    *first = flusher;
    want_end_of_turn(loop);
    return flusher;
}

rd_flusher *rd_flusher_new(rd_loop *loop, rd_loop_fn fn, void *context)
{
    return flusher_new(loop, &loop->flushers, fn, context);
}

rd_flusher *rd_flusher_new_last(rd_loop *loop, rd_loop_fn fn, void *context)
{
    return flusher_new(loop, &loop->last_flushers, fn, context);
}

rd_flusher *rd_flusher_free(rd_flusher *flusher)
{
    if (!flusher)
        return NULL;
    flusher->fn = NULL;
    if (!flusher->loop->is_flushing)
        drop_all_given_up(flusher->loop);
    return NULL;
}
