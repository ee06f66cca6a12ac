/* loop: libuv wrapped for a process: signals to an orderly stop, timers, wake-ups, deferred calls, readiness, work.
 * Used by the API, the scheduler and the agent; one loop and one thread each.
 * Only rd_wake_send may be called from another thread. Callbacks must not block. */
#ifndef RD_IO_LOOP_H
#define RD_IO_LOOP_H

#include "common/base/err.h"

#include <uv.h>

typedef struct rd_loop rd_loop;
typedef void (*rd_loop_fn)(void *context);

int rd_loop_new(rd_loop **ret, rd_err *err) RD_NODISCARD;
/* Closes whatever is still open, runs the close callbacks, frees. Accepts NULL. */
rd_loop *rd_loop_free(rd_loop *loop);
void rd_loop_free_p(rd_loop **loop);
/* The loop underneath, for handles that this header does not wrap. */
uv_loop_t *rd_loop_uv(rd_loop *loop);

/* Runs until rd_loop_stop. */
int rd_loop_run(rd_loop *loop, rd_err *err) RD_NODISCARD;
/* Runs one turn: waits for an event when may_wait. For tests and for foreign main loops. */
void rd_loop_turn(rd_loop *loop, bool may_wait);
/* Makes rd_loop_run return after this turn. */
void rd_loop_stop(rd_loop *loop);
/* SIGTERM and SIGINT call on_stop once (it ends in rd_loop_stop); a second signal stops the loop at once.
 * SIGHUP calls on_reload (may be NULL). SIGPIPE is ignored. */
int rd_loop_on_signals(rd_loop *loop, rd_loop_fn on_stop, rd_loop_fn on_reload, void *context,
                       rd_err *err) RD_NODISCARD;
/* Calls fn once, at the start of the next turn. */
void rd_loop_defer(rd_loop *loop, rd_loop_fn fn, void *context);
/* Milliseconds of this turn on the monotonic clock. */
uint64_t rd_loop_now_ms(const rd_loop *loop);

/* Timers: freed by rd_timer_free only, also one-shot ones after they fired. */
typedef struct rd_timer rd_timer;
rd_timer *rd_timer_new(rd_loop *loop, rd_loop_fn fn, void *context);
/* First after first_us, then each repeat_us (0: once). Restarts a running timer. Resolution: 1 ms, rounded up. */
void rd_timer_start(rd_timer *timer, int64_t first_us, int64_t repeat_us);
void rd_timer_stop(rd_timer *timer);
/* Returns NULL; the callback does not run any more. Accepts NULL. */
rd_timer *rd_timer_free(rd_timer *timer);

/* A wake-up from any thread; sends before the callback ran are folded into one. */
typedef struct rd_wake rd_wake;
rd_wake *rd_wake_new(rd_loop *loop, rd_loop_fn fn, void *context);
void rd_wake_send(rd_wake *wake);
rd_wake *rd_wake_free(rd_wake *wake);

/* Readiness of a foreign descriptor (libpq, hiredis, libmicrohttpd's epoll). Does not own the descriptor. */
typedef struct rd_watch rd_watch;
typedef void (*rd_watch_fn)(void *context, bool is_readable, bool is_writable);
/* NULL when the descriptor cannot be watched. */
rd_watch *rd_watch_new(rd_loop *loop, int fd, rd_watch_fn fn, void *context);
/* Both false: stops watching, keeps the handle. */
void rd_watch_set(rd_watch *watch, bool want_read, bool want_write);
/* Call before closing the descriptor. */
rd_watch *rd_watch_free(rd_watch *watch);

/* Calls fn in each turn just before the loop waits: the place to flush what a turn gathered. What others' flushing puts
 * somewhere has to be flushed behind them, or it waits until something else wakes the loop: those that write to sockets
 * come last. */
typedef struct rd_flusher rd_flusher;
rd_flusher *rd_flusher_new(rd_loop *loop, rd_loop_fn fn, void *context);
rd_flusher *rd_flusher_new_last(rd_loop *loop, rd_loop_fn fn, void *context);
rd_flusher *rd_flusher_free(rd_flusher *flusher);

/* Runs work on the thread pool, from the end of this turn on, so that what was to be flushed has left by then; then
 * done on the loop (with is_cancelled when the loop ended first). */
typedef void (*rd_work_done_fn)(void *context, bool is_cancelled);
void rd_loop_work(rd_loop *loop, rd_loop_fn work, rd_work_done_fn done, void *context);

#endif
