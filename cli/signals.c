#include "cli/signals.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common/base/defs.h"

#define WAITING_AFTER_US 80000

static char interrupt_text[256];
static const struct termios *terminal_before;
static char waiting_text[128];
static volatile sig_atomic_t is_waiting_shown;

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

/* Nothing is in flight that a plain exit would spoil: a deployment goes on without us. */
static void on_end(int signal_number)
{
    if (terminal_before)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, terminal_before);
    if (is_waiting_shown)
        say("\r\033[K");
    if (interrupt_text[0])
        say(interrupt_text);
    _exit(128 + signal_number);
}

static void on_alarm(int signal_number RD_UNUSED)
{
    is_waiting_shown = 1;
    say(waiting_text);
}

void cli_signals_install(void)
{
    (void)signal(SIGPIPE, SIG_DFL);
    struct sigaction end = { .sa_handler = on_end };
    (void)sigaction(SIGINT, &end, NULL);
    (void)sigaction(SIGTERM, &end, NULL);
    struct sigaction alarm = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    (void)sigaction(SIGALRM, &alarm, NULL);
}

/* Changes what the handlers read while they cannot run. */
static void guard(int how, sigset_t *before)
{
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigprocmask(how, how == SIG_SETMASK ? before : &ends, how == SIG_SETMASK ? NULL : before);
}

void cli_interrupt_say(const char *fmt, ...)
{
    sigset_t before;
    guard(SIG_BLOCK, &before);
    interrupt_text[0] = '\0';
    if (fmt) {
        va_list args;
        va_start(args, fmt);
        interrupt_text[0] = '\n';
        int size = vsnprintf(interrupt_text + 1, sizeof interrupt_text - 2, fmt, args);
        size_t end = RD_MIN((size_t)RD_MAX(size, 0), sizeof interrupt_text - 3) + 1;
        interrupt_text[end] = '\n';
        interrupt_text[end + 1] = '\0';
        va_end(args);
    }
    guard(SIG_SETMASK, &before);
}

void cli_interrupt_terminal(const struct termios *before)
{
    sigset_t mask;
    guard(SIG_BLOCK, &mask);
    terminal_before = before;
    guard(SIG_SETMASK, &mask);
}

static void set_alarm(long after_us)
{
    const struct itimerval when = { .it_value = { .tv_usec = after_us } };
    (void)setitimer(ITIMER_REAL, &when, NULL);
}

void cli_waiting(const char *what)
{
    (void)snprintf(waiting_text, sizeof waiting_text, "\r  asking %.100s …", what);
    set_alarm(WAITING_AFTER_US);
}

void cli_waited(void)
{
    set_alarm(0);
    if (is_waiting_shown)
        say("\r\033[K");
    is_waiting_shown = 0;
}

bool cli_pause(int64_t time_us)
{
    const struct timespec pause = { .tv_sec = time_us / 1000000, .tv_nsec = (time_us % 1000000) * 1000 };
    return nanosleep(&pause, NULL) == 0;
}
