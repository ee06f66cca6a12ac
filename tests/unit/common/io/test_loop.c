#include "common/io/loop.h"

#include "common/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct flushers {
    char order[16];
    size_t count;
    rd_flusher *one, *other, *last;
    rd_loop *loop;
    bool is_done; /* the job: until then its thread writes here */
} flushers;

static void note(flushers *f, char who)
{
    assert_true(f->count + 1 < sizeof f->order);
    f->order[f->count++] = who;
    f->order[f->count] = 0;
}

static void flush_one(void *context)
{
    note(context, 'a');
}

static void flush_other(void *context)
{
    note(context, 'a');
}

static void flush_last(void *context)
{
    note(context, 'z');
}

static void flush_and_leave(void *context)
{
    flushers *f = context;
    note(f, 'a');
    f->one = rd_flusher_free(f->one);
    f->other = rd_flusher_free(f->other);
    f->last = rd_flusher_free(f->last);
}

static rd_loop *loop_new(void)
{
    rd_loop *loop = NULL;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_loop_new(&loop, &err), 0);
    return loop;
}

static void nothing(void *context)
{
    (void)context;
}

static void timer_done(rd_timer **timer)
{
    *timer = rd_timer_free(*timer);
}

/* A loop with nothing to wait for takes no turns. */
static rd_timer *keep_alive(rd_loop *loop)
{
    rd_timer *timer = rd_timer_new(loop, nothing, NULL);
    rd_timer_start(timer, INT64_C(3600000000), 0);
    return timer;
}

/* What writes to sockets comes behind what others flush, whoever was made first: a turn that ended the other way round
 * would leave bytes lying until something else woke the loop. */
static void test_last_is_last(void **state)
{
    (void)state;
    RD_CLEANUP(rd_loop_free_p) rd_loop *loop = loop_new();
    RD_CLEANUP(timer_done) rd_timer *timer = keep_alive(loop);
    flushers f = { .count = 0 };
    f.one = rd_flusher_new(loop, flush_one, &f);
    f.last = rd_flusher_new_last(loop, flush_last, &f);
    f.other = rd_flusher_new(loop, flush_other, &f);
    rd_loop_turn(loop, false);
    assert_string_equal(f.order, "aaz");
    f.one = rd_flusher_free(f.one);
    rd_loop_turn(loop, false);
    assert_string_equal(f.order, "aazaz");
    f.other = rd_flusher_free(f.other);
    f.last = rd_flusher_free(f.last);
    rd_loop_turn(loop, false);
    assert_string_equal(f.order, "aazaz");
}

/* From within a turn: itself, one that was called and one that was to be. */
static void test_freed_in_a_turn(void **state)
{
    (void)state;
    RD_CLEANUP(rd_loop_free_p) rd_loop *loop = loop_new();
    RD_CLEANUP(timer_done) rd_timer *timer = keep_alive(loop);
    flushers f = { .count = 0 };
    f.other = rd_flusher_new(loop, flush_other, &f);
    f.one = rd_flusher_new(loop, flush_and_leave, &f);
    f.last = rd_flusher_new_last(loop, flush_last, &f);
    rd_loop_turn(loop, false);
    assert_string_equal(f.order, "a");
    rd_loop_turn(loop, false);
    assert_string_equal(f.order, "a");
    f.last = rd_flusher_new_last(loop, flush_last, &f);
    rd_loop_turn(loop, false);
    assert_string_equal(f.order, "az");
    f.last = rd_flusher_free(f.last);
}

static void work_first(void *context)
{
    note(context, '1');
}

static void work_second(void *context)
{
    note(context, '2');
}

static void work_done(void *context, bool is_cancelled)
{
    assert_false(is_cancelled);
    flushers *f = context;
    note(f, 'd');
    f->is_done = true;
}

/* What a job finds has been flushed before it began, and one that a flush asks for still belongs to that turn. */
static void flush_and_ask(void *context)
{
    flushers *f = context;
    if (f->count == 0)
        rd_loop_work(f->loop, work_second, work_done, f);
    note(f, 'a');
}

static void test_jobs_follow_what_is_flushed(void **state)
{
    (void)state;
    RD_CLEANUP(rd_loop_free_p) rd_loop *loop = loop_new();
    RD_CLEANUP(timer_done) rd_timer *timer = keep_alive(loop);
    flushers f = { .loop = loop };
    f.last = rd_flusher_new_last(loop, flush_and_ask, &f);
    rd_loop_turn(loop, false);
    f.last = rd_flusher_free(f.last);
    while (!f.is_done)
        rd_loop_turn(loop, true);
    assert_string_equal(f.order, "a2d");
}

/* Without anything else to wait for, and asked behind the last turn: it is done before the loop ends. */
static void test_a_job_alone(void **state)
{
    (void)state;
    rd_loop *loop = loop_new();
    rd_err err = RD_ERR_INIT;
    flushers f = { .loop = loop };
    rd_loop_work(loop, work_first, work_done, &f);
    assert_int_equal(rd_loop_run(loop, &err), 0);
    assert_string_equal(f.order, "1d");
    rd_loop_work(loop, work_second, work_done, &f);
    loop = rd_loop_free(loop);
    assert_string_equal(f.order, "1d2d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_is_last),
        cmocka_unit_test(test_freed_in_a_turn),
        cmocka_unit_test(test_jobs_follow_what_is_flushed),
        cmocka_unit_test(test_a_job_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
