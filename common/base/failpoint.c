#include "common/base/failpoint.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef enum action { DO_NOTHING, DO_KILL, DO_SLEEP, DO_ERROR } action;

/* Set once from the environment; a test process has nothing else to say it by. */
static struct {
    action action;
    long sleep_ms;
    long from_hit;
    atomic_long hits;
} points[RD_FP_COUNT];
static pthread_once_t parse_once = PTHREAD_ONCE_INIT;

static const char *const names[RD_FP_COUNT] = {
#define RD_FAILPOINT(symbol, name, where) [RD_FP_##symbol] = name,
#include "common/base/failpoints.def"
#undef RD_FAILPOINT
};

const char *rd_failpoint_name(rd_failpoint point)
{
    return (unsigned)point < RD_FP_COUNT ? names[point] : "";
}

/* name[@hit]:action[:ms] */
static void parse_one(const char *text, size_t size)
{
    size_t name_size = 0;
    while (name_size < size && text[name_size] != ':' && text[name_size] != '@')
        name_size++;
    for (int i = 0; i < RD_FP_COUNT; i++) {
        if (strlen(names[i]) != name_size || memcmp(names[i], text, name_size) != 0)
            continue;
        const char *at = text + name_size;
        if (*at == '@')
            points[i].from_hit = strtol(at + 1, (char **)&at, 10);
        if (strncmp(at, ":kill", 5) == 0)
            points[i].action = DO_KILL;
        else if (strncmp(at, ":error", 6) == 0)
            points[i].action = DO_ERROR;
        else if (strncmp(at, ":sleep:", 7) == 0) {
            points[i].action = DO_SLEEP;
            points[i].sleep_ms = strtol(at + 7, NULL, 10);
        }
    }
}

static void parse(void)
{
    const char *text = getenv("REDOUBT_FAILPOINTS");
    while (text && *text) {
        size_t size = strcspn(text, ",");
        parse_one(text, size);
        text += size + (text[size] == ',');
    }
}

bool rd_failpoint_hit(rd_failpoint point)
{
    (void)pthread_once(&parse_once, parse);
    if (points[point].action == DO_NOTHING || atomic_fetch_add(&points[point].hits, 1) + 1 < points[point].from_hit)
        return false;
    switch (points[point].action) {
    case DO_KILL:
        (void)kill(getpid(), SIGKILL);
        (void)pause();
        return true;
    case DO_SLEEP: {
        struct timespec wait = { points[point].sleep_ms / 1000, points[point].sleep_ms % 1000 * 1000000 };
        (void)nanosleep(&wait, NULL);
        return false;
    }
    default:
        return true;
    }
}
