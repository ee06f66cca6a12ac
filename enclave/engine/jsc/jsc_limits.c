#include "enclave/engine/jsc/jsc_priv.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* How often the library looks at its deadline, and the signal at deadline and memory. */
#define LOOK_SECONDS 0.02
#define TICK_US      10000
/* What runs inside the library without polling has this much of a processor to come back with, then the process ends:
 * time that a busy host gave to others is not the script's. Or this long by the clock, if it waits for nothing at all.
 */
#define OVERRUN_CPU_US INT64_C(3000000)
#define OVERRUN_US     INT64_C(60000000)
/* Of the library's own: compiled code, garbage that is not collected yet. */
#define SLACK       ((size_t)64 << 20)
#define STACK_WIPED ((size_t)512 << 10)

typedef bool (*should_terminate)(JSContextRef ctx, void *context);

static struct {
    void (*set_limit)(JSContextGroupRef group, double seconds, should_terminate callback, void *context);
    void (*set_rejection)(JSGlobalContextRef ctx, JSObjectRef function, JSValueRef *exception);
    void (*collect)(JSContextRef ctx);
    JSObjectRef (*statistics)(JSContextRef ctx);
    volatile int64_t deadline_us; /* 0: disarmed */
    volatile int64_t kill_cpu_us; /* by the process's own time; 0: the deadline is ahead */
    volatile size_t resident_max; /* 0: no limit */
} limits;

static int64_t now_us(clockid_t clock)
{
    struct timespec now;

    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* getrusage(2): the highest that was ever resident, which is what a bomb cannot take back. */
size_t encl_jsc_limits_peak(void)
{
    struct rusage usage = { .ru_maxrss = 0 };

    (void)getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss << 10;
}

/* Whether the deadline is so long ago that nothing will end the script any more. */
static bool is_overrun(void)
{
    int64_t deadline_us = limits.deadline_us, late_us = deadline_us > 0 ? now_us(CLOCK_MONOTONIC) - deadline_us : 0;
    int64_t cpu_us = late_us > 0 ? now_us(CLOCK_PROCESS_CPUTIME_ID) : 0;

    if (late_us > 0 && limits.kill_cpu_us == 0)
        limits.kill_cpu_us = cpu_us + OVERRUN_CPU_US;
    return late_us > 0 && (cpu_us > limits.kill_cpu_us || late_us > OVERRUN_US);
}

/* Nothing of a process that is beyond its limits can be believed to clean up: it ends here, and the caller gets no
 * answer. Async-signal-safe. */
static void on_tick(int signal)
{
    int error = errno;

    (void)signal;
    if (limits.resident_max > 0 && encl_jsc_limits_peak() > limits.resident_max)
        _exit(ENCL_EXIT_MEMORY);
    if (is_overrun())
        _exit(ENCL_EXIT_TIME);
    errno = error;
}

int encl_jsc_limits_init(rd_err *err)
{
    const struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };
    void *limit = dlsym(RTLD_DEFAULT, "JSContextGroupSetExecutionTimeLimit");
    void *rejection = dlsym(RTLD_DEFAULT, "JSGlobalContextSetUnhandledRejectionCallback");
    void *collect = dlsym(RTLD_DEFAULT, "JSSynchronousGarbageCollectForDebugging");
    void *statistics = dlsym(RTLD_DEFAULT, "JSGetMemoryUsageStatistics");

    if (!limit || !rejection || !collect || !statistics)
        return rd_err_set(err, RD_E_INTERNAL,
                          "this JavaScriptCore cannot limit the time of a script, or say what its heap holds");
    *(void **)&limits.set_limit = limit;
    *(void **)&limits.set_rejection = rejection;
    *(void **)&limits.collect = collect;
    *(void **)&limits.statistics = statistics;
    if (sigaction(SIGALRM, &action, NULL) < 0)
        return rd_err_set_errno(err, RD_E_INTERNAL, errno, "SIGALRM");
    return 0;
}

bool encl_jsc_limits_look(void)
{
    if (!encl_jsc->run.is_interrupted && encl_jsc->host.interrupt(encl_jsc->host.context))
        encl_jsc->run.is_interrupted = true;
    return encl_jsc->run.is_interrupted;
}

/* The library's watchdog barks once: it has to be set again to look another time. It starts afresh with each job of a
 * promise, so it never sees an endless chain of short ones; the alarm does. */
static bool on_watchdog(JSContextRef ctx, void *context)
{
    (void)ctx;
    (void)context;
    if (encl_jsc_limits_look())
        return true;
    encl_jsc_limits_watch(encl_jsc->run.group);
    return false;
}

void encl_jsc_limits_watch(JSContextGroupRef group)
{
    limits.set_limit(group, LOOK_SECONDS, on_watchdog, NULL);
}

void encl_jsc_limits_rejections(JSGlobalContextRef ctx, JSGlobalContextRef home)
{
    limits.set_rejection(ctx, JSObjectMakeFunctionWithCallback(home, NULL, encl_jsc_on_rejection), NULL);
}

void encl_jsc_limits_memory(size_t growth)
{
    limits.resident_max = growth > 0 ? encl_jsc_limits_peak() + growth + SLACK : 0;
}

__attribute__((noinline)) void encl_jsc_limits_wipe_stack(void)
{
    uint8_t below[STACK_WIPED];

    rd_wipe(below, sizeof(below));
}

/* What the library says of its heap; UINT32_MAX where it says nothing that can be. */
static uint32_t statistic(JSContextRef ctx, const char *name)
{
    JSObjectRef counts = limits.statistics(ctx);
    double value = counts ? JSValueToNumber(ctx, encl_jsc_get(ctx, counts, name), NULL) : 0;

    return value >= 1 && value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
}

size_t encl_jsc_limits_heap(JSContextRef ctx)
{
    return statistic(ctx, "heapSize");
}

uint32_t encl_jsc_limits_collect(JSContextRef ctx)
{
    encl_jsc_limits_wipe_stack();
    limits.collect(ctx);
    return statistic(ctx, "globalObjectCount");
}

void encl_machine_alarm(encl_machine *machine, int64_t delay_us)
{
    struct itimerval timer = { .it_value = { 0 } };

    (void)machine;
    if (delay_us > 0)
        timer = (struct itimerval){ .it_value = { .tv_usec = TICK_US }, .it_interval = { .tv_usec = TICK_US } };
    limits.deadline_us = 0;
    limits.kill_cpu_us = 0;
    limits.deadline_us = delay_us > 0 ? now_us(CLOCK_MONOTONIC) + delay_us : 0;
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}
