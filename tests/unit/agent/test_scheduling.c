/* A patient process waits for its turn; its child takes its own as any; what was set by somebody else stays. */
#include "agent/scheduling.h"

#include "common/base/mem.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int in_child(int (*check)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(check());
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int plain_again(void)
{
    agent_scheduling_plain();
    return sched_getscheduler(0);
}

static int patient_then_child(void)
{
    agent_scheduling_patient();
    return sched_getscheduler(0) == SCHED_BATCH ? in_child(plain_again) : 99;
}

static int idle_stays(void)
{
    const struct sched_param none = { .sched_priority = 0 };
    if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
        return 98;
    agent_scheduling_patient();
    agent_scheduling_plain();
    return sched_getscheduler(0);
}

static void test_patient(void **state RD_UNUSED)
{
    assert_int_equal(in_child(patient_then_child), SCHED_OTHER);
}

static void test_set_by_others(void **state RD_UNUSED)
{
    assert_int_equal(in_child(idle_stays), SCHED_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patient),
        cmocka_unit_test(test_set_by_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
