/* The pool over a launcher on script: launches are counted, and the test says when each becomes blank or ends. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/enclave_priv.h"
#include "agent/pool.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define LAUNCHES_MAX 64

typedef struct script {
    agent_launcher base;
    uv_loop_t loop;
    agent_enclave *launched[LAUNCHES_MAX];
    size_t count, gone_count;
    bool refuses;
    unsigned checked;
} script;

static int fake_launch(agent_launcher *launcher, const agent_enclave_events *events, void *context, agent_enclave **ret,
                       rd_err *err)
{
    script *s = (script *)launcher;
    if (s->refuses)
        return rd_err_set(err, RD_E_UNAVAILABLE, "refused on script");
    uint8_t tag[AGENT_TAG_SIZE] = { (uint8_t)s->count };
    *ret = s->launched[s->count++] = agent_enclave_new(launcher, tag, events, context);
    return 0;
}

static void fake_gone(agent_enclave *enclave)
{
    ((script *)enclave->launcher)->gone_count++;
}

static void fake_kill(agent_enclave *enclave)
{
    agent_enclave_end(enclave, "killed");
}

/* "good" holds. */
static int fake_check(agent_launcher *launcher, rd_bytes bundle, rd_err *err)
{
    ((script *)launcher)->checked++;
    if (rd_bytes_equal(bundle, RD_BYTES_LIT("good")))
        return 0;
    return rd_err_set(err, RD_E_RTMR, "wrong on script");
}

static const agent_launcher_ops fake_ops = {
    .launch = fake_launch, .gone = fake_gone, .kill = fake_kill, .check_blank = fake_check
};

static void become_blank(agent_enclave *enclave)
{
    enclave->state = AGENT_ENCLAVE_BLANK;
    enclave->events->on_blank(enclave->context, enclave, RD_BYTES_NULL);
}

static void attest(agent_enclave *enclave, const char *bundle)
{
    enclave->events->on_attested(enclave->context, enclave, rd_bytes_str(bundle));
}

static void become_ready(agent_enclave *enclave)
{
    become_blank(enclave);
    attest(enclave, "good");
}

static void turn_until(script *s, size_t count)
{
    for (int i = 0; i < 1000 && s->count < count; i++)
        (void)uv_run(&s->loop, UV_RUN_ONCE);
    assert_int_equal(s->count, count);
}

typedef struct taken {
    agent_enclave *enclave;
    rd_code code;
    unsigned calls;
} taken;

static void on_taken(void *context, agent_enclave *enclave, const rd_err *err)
{
    taken *t = context;
    t->enclave = enclave;
    t->code = err != NULL ? err->code : RD_OK;
    t->calls++;
}

static int setup(void **state)
{
    script *s = rd_alloc(sizeof(*s));
    rd_log_init("test", RD_ERROR, 2);
    assert_int_equal(uv_loop_init(&s->loop), 0);
    s->base = (agent_launcher){ .ops = &fake_ops, .loop = &s->loop };
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    script *s = *state;
    while (uv_run(&s->loop, UV_RUN_DEFAULT) != 0)
        continue;
    assert_int_equal(uv_loop_close(&s->loop), 0);
    assert_int_equal(s->gone_count, s->count);
    free(s);
    return 0;
}

static void test_refill(void **state)
{
    script *s = *state;
    rd_err err = RD_ERR_INIT;
    taken t = { .calls = 0 };
    agent_pool *pool = agent_pool_new(&s->base, &(agent_pool_options){ .size = 2, .refill_delay_us = 1000 });
    turn_until(s, 1);
    (void)uv_run(&s->loop, UV_RUN_NOWAIT);
    assert_int_equal(s->count, 1); /* one at a time */
    become_blank(s->launched[0]);
    assert_int_equal(agent_pool_ready_count(pool), 0); /* nothing was proved yet */
    (void)uv_run(&s->loop, UV_RUN_NOWAIT);
    assert_int_equal(s->count, 1);
    attest(s->launched[0], "good");
    assert_int_equal(agent_pool_ready_count(pool), 1);
    turn_until(s, 2);
    become_ready(s->launched[1]);
    assert_int_equal(agent_pool_ready_count(pool), 2);
    (void)uv_run(&s->loop, UV_RUN_NOWAIT);
    assert_int_equal(s->count, 2); /* full */

    assert_int_equal(agent_pool_take(pool, on_taken, &t, NULL, &err), 0);
    assert_ptr_equal(t.enclave, s->launched[0]); /* at once, the oldest */
    assert_int_equal(s->count, 2);               /* refilling waits */
    turn_until(s, 3);
    agent_enclave_forget(t.enclave);
    agent_pool_close(pool, NULL, NULL);
}

static void test_on_demand(void **state)
{
    script *s = *state;
    rd_err err = RD_ERR_INIT;
    taken first = { .calls = 0 }, second = { .calls = 0 }, third = { .calls = 0 };
    uint64_t ticket = 0;
    agent_pool *pool = agent_pool_new(&s->base, &(agent_pool_options){ .size = 0 });
    assert_int_equal(agent_pool_take(pool, on_taken, &first, NULL, &err), 0);
    assert_int_equal(agent_pool_take(pool, on_taken, &second, &ticket, &err), 0);
    assert_int_equal(agent_pool_take(pool, on_taken, &third, NULL, &err), 0);
    assert_int_equal(s->count, 3);
    agent_pool_cancel(pool, ticket);
    become_blank(s->launched[2]); /* whichever is ready first serves who came first */
    assert_ptr_equal(first.enclave, s->launched[2]);
    become_blank(s->launched[0]);
    assert_int_equal(second.calls, 0);
    assert_ptr_equal(third.enclave, s->launched[0]);
    become_blank(s->launched[1]); /* nobody waits, none are kept */
    assert_int_equal(agent_pool_ready_count(pool), 0);
    agent_enclave_forget(first.enclave);
    agent_enclave_forget(third.enclave);
    agent_pool_close(pool, NULL, NULL);
}

static void test_failures(void **state)
{
    script *s = *state;
    rd_err err = RD_ERR_INIT;
    taken waits = { .calls = 0 }, late = { .calls = 0 };
    agent_pool *pool = agent_pool_new(&s->base, &(agent_pool_options){ .size = 1 });
    turn_until(s, 1);
    become_ready(s->launched[0]);
    agent_enclave_end(s->launched[0], "signal 9 (SIGKILL)"); /* a blank that dies leaves the pool */
    assert_int_equal(agent_pool_ready_count(pool), 0);
    assert_int_equal(agent_pool_take(pool, on_taken, &waits, NULL, &err), 0);
    assert_int_equal(s->count, 2);
    agent_enclave_end(s->launched[1], "launch failed: sandbox");
    assert_int_equal(waits.calls, 1);
    assert_null(waits.enclave);
    assert_int_equal(waits.code, RD_E_UNAVAILABLE);
    s->refuses = true;
    assert_int_equal(agent_pool_take(pool, on_taken, &late, NULL, &err), -1);
    assert_int_equal(err.code, RD_E_UNAVAILABLE);
    s->refuses = false;
    assert_int_equal(agent_pool_take(pool, on_taken, &late, NULL, &err), 0);
    agent_pool_close(pool, NULL, NULL);
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.code, RD_E_CANCELLED);
}

/* Wrong evidence, an enclave that says why it has none, one that ends without: none is ever ready, each is followed by
 * another, and status says why. */
static void test_unattested_are_never_ready(void **state)
{
    script *s = *state;
    agent_pool *pool = agent_pool_new(&s->base, &(agent_pool_options){ .size = 2, .backoff_us_max = 1000 });
    turn_until(s, 1);
    become_blank(s->launched[0]);
    attest(s->launched[0], "bad");
    assert_int_equal(s->gone_count, 1);
    assert_int_equal(agent_pool_ready_count(pool), 0);
    assert_string_equal(agent_pool_trouble(pool), "attest_rtmr: wrong on script");

    turn_until(s, 2);
    become_blank(s->launched[1]);
    s->launched[1]->events->on_phase(s->launched[1]->context, s->launched[1], "failed", "tee_refused", "no quote");
    assert_int_equal(s->gone_count, 2);
    assert_string_equal(agent_pool_trouble(pool), "tee_refused: no quote");

    turn_until(s, 3);
    become_blank(s->launched[2]);
    agent_enclave_end(s->launched[2], "exit 0");
    assert_int_equal(agent_pool_ready_count(pool), 0);

    turn_until(s, 4);
    become_ready(s->launched[3]);
    assert_int_equal(agent_pool_ready_count(pool), 1);
    assert_string_equal(agent_pool_trouble(pool), "");
    agent_pool_close(pool, NULL, NULL);
}

static void test_silence_has_an_end(void **state)
{
    script *s = *state;
    agent_pool *pool = agent_pool_new(&s->base, &(agent_pool_options){ .size = 1, .backoff_us_max = 1000 });
    turn_until(s, 1);
    become_blank(s->launched[0]);
    agent_enclave_arm(s->launched[0], AGENT_TIMER_ATTEST, 0); /* in place of its own, which is long */
    turn_until(s, 2);
    assert_int_equal(s->gone_count, 1);
    assert_non_null(strstr(agent_pool_trouble(pool), "did not send its evidence"));
    agent_pool_close(pool, NULL, NULL);
}

/* A failure behind a full pool must not keep it from being filled again later. */
static void test_a_loss_while_full(void **state)
{
    script *s = *state;
    rd_err err = RD_ERR_INIT;
    taken first = { .calls = 0 }, second = { .calls = 0 };
    agent_pool *pool =
        agent_pool_new(&s->base, &(agent_pool_options){ .size = 1, .refill_delay_us = 1000, .backoff_us_max = 1000 });
    assert_int_equal(agent_pool_take(pool, on_taken, &first, NULL, &err), 0);
    assert_int_equal(agent_pool_take(pool, on_taken, &second, NULL, &err), 0);
    become_blank(s->launched[0]);
    turn_until(s, 2);
    become_blank(s->launched[1]);
    turn_until(s, 3);
    become_ready(s->launched[2]);
    agent_enclave_forget(first.enclave);
    agent_enclave_forget(second.enclave);
    taken third = { .calls = 0 }, fourth = { .calls = 0 };
    assert_int_equal(agent_pool_take(pool, on_taken, &third, NULL, &err), 0);
    assert_int_equal(agent_pool_take(pool, on_taken, &fourth, NULL, &err), 0);
    agent_enclave_end(s->launched[3], "exit 1");
    assert_int_equal(fourth.code, RD_E_UNAVAILABLE);
    turn_until(s, 5);
    agent_enclave_forget(third.enclave);
    agent_pool_close(pool, NULL, NULL);
}

/* Who waits gets a blank as soon as it is one, and who comes while its evidence is on the way, too. */
static void test_on_demand_waits_for_no_evidence(void **state)
{
    script *s = *state;
    rd_err err = RD_ERR_INIT;
    taken waits = { .calls = 0 }, comes = { .calls = 0 };
    agent_pool *pool = agent_pool_new(&s->base, &(agent_pool_options){ .size = 1, .refill_delay_us = 1000 });
    turn_until(s, 1);
    assert_int_equal(agent_pool_take(pool, on_taken, &waits, NULL, &err), 0);
    become_blank(s->launched[0]);
    assert_ptr_equal(waits.enclave, s->launched[0]);
    turn_until(s, 2);
    become_blank(s->launched[1]);
    assert_int_equal(agent_pool_take(pool, on_taken, &comes, NULL, &err), 0);
    assert_ptr_equal(comes.enclave, s->launched[1]);
    assert_int_equal(s->checked, 0);
    agent_enclave_forget(waits.enclave);
    agent_enclave_forget(comes.enclave);
    agent_pool_close(pool, NULL, NULL);
}

/* Of a dead child; what is watched is seen to have exited. */
static void watch_dead(script *s, agent_enclave *enclave)
{
    rd_err err = RD_ERR_INIT;
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(agent_enclave_watch(enclave, pid, (int)syscall(SYS_pidfd_open, pid, 0), &err), 0);
    while (!enclave->has_exited)
        (void)uv_run(&s->loop, UV_RUN_ONCE);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_the_dead_are_not_given_out(void **state)
{
    script *s = *state;
    rd_err err = RD_ERR_INIT;
    taken t = { .calls = 0 };
    agent_pool *pool = agent_pool_new(&s->base, &(agent_pool_options){ .size = 1 });
    turn_until(s, 1);
    become_ready(s->launched[0]);
    watch_dead(s, s->launched[0]);
    assert_int_equal(agent_pool_ready_count(pool), 1);
    assert_int_equal(agent_pool_take(pool, on_taken, &t, NULL, &err), 0);
    assert_int_equal(t.calls, 0);
    assert_int_equal(s->count, 2);
    become_blank(s->launched[1]);
    assert_ptr_equal(t.enclave, s->launched[1]);
    agent_enclave_forget(t.enclave);
    agent_pool_close(pool, NULL, NULL);
}

/* Whoever could tell the cause has died as well; frames and orders on the way do not stop the end. */
static void test_an_exit_without_cause_is_an_end(void **state)
{
    script *s = *state;
    uint8_t tag[AGENT_TAG_SIZE] = { 1 };
    agent_enclave *enclave = agent_enclave_new(&s->base, tag, NULL, NULL);
    s->count++;
    watch_dead(s, enclave);
    agent_enclave_arm(enclave, AGENT_TIMER_NONE, 0);
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    assert_true(enclave->is_ended);
    agent_enclave_forget(enclave);
}

int main(void)
{
    (void)signal(SIGPIPE, SIG_IGN); /* as the programs do: a peer that is gone is an error of its write */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_refill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_on_demand, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unattested_are_never_ready, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence_has_an_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_loss_while_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_on_demand_waits_for_no_evidence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_dead_are_not_given_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_exit_without_cause_is_an_end, setup, teardown),
    };
    return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
