#include "scheduler/rollout.h"

#include "common/base/defs.h"

#define DELAY_FIRST_US 1000000
#define DELAY_MAX_US   300000000

static bool runs(const sched_actual *a)
{
    return a->want == RD_WANT_RUN;
}

/* Chooses among those that run: ones that do not serve first, then the youngest. -1: none left. */
static int pick(const sched_actual *actual, int count, const rd_want *wants, bool is_new, bool leaving_only)
{
    int best = -1;
    for (int i = 0; i < count; i++) {
        const sched_actual *a = &actual[i];
        if (!runs(a) || wants[i] || a->is_new != is_new || (leaving_only && !a->is_leaving))
            continue;
        if (best < 0 || (best >= 0 && actual[best].is_serving && !a->is_serving) ||
            (actual[best].is_serving == a->is_serving && a->age < actual[best].age))
            best = i;
    }
    return best;
}

static int leave(const sched_actual *actual, int count, rd_want *wants, int number, bool is_new, bool leaving_only,
                 rd_want want)
{
    int done = 0;
    for (; done < number; done++) {
        int i = pick(actual, count, wants, is_new, leaving_only);
        if (i < 0)
            break;
        wants[i] = want;
    }
    return done;
}

typedef struct tally {
    int run, serving, leaving, leaving_serving;
} tally;

static tally count_of(const sched_actual *actual, int count, bool is_new)
{
    tally t = { 0 };
    for (int i = 0; i < count; i++) {
        if (actual[i].is_new != is_new || !runs(&actual[i]))
            continue;
        t.run++;
        t.serving += actual[i].is_serving;
        t.leaving += actual[i].is_leaving;
        t.leaving_serving += actual[i].is_leaving && actual[i].is_serving;
    }
    return t;
}

static void stop_all(const sched_actual *actual, int count, rd_want *wants)
{
    for (int i = 0; i < count; i++)
        if (actual[i].want < RD_WANT_STOP)
            wants[i] = RD_WANT_STOP;
}

static void step(const sched_wanted *wanted, const sched_actual *actual, int count, rd_want *wants, sched_step *ret)
{
    tally fresh = count_of(actual, count, true);
    tally old = count_of(actual, count, false);
    int staying = fresh.run - fresh.leaving;
    int staying_serving = fresh.serving - fresh.leaving_serving;
    /* Those on hosts that drain are replaced first and leave when their replacements serve. */
    int missing = RD_MAX(0, wanted->count - staying);
    int room = RD_MAX(0, wanted->count + RD_MAX(1, wanted->surge) - fresh.run - old.run);
    ret->start = RD_MIN(missing, room);
    int still_needed = RD_MAX(0, wanted->count - staying_serving);
    /* What does not serve holds nothing up, but a first start has nothing old to lean on either. */
    int old_spare = RD_MAX(0, old.run - still_needed);
    int done = leave(actual, count, wants, old_spare, false, false, RD_WANT_DRAIN);
    int kept_old = old.run - done;
    (void)leave(actual, count, wants, RD_MAX(0, fresh.leaving - RD_MAX(0, still_needed - kept_old)), true, true,
                RD_WANT_DRAIN);
    (void)leave(actual, count, wants, RD_MAX(0, staying - wanted->count), true, false, RD_WANT_DRAIN);
}

void sched_rollout_step(const sched_wanted *wanted, const sched_actual *actual, int count, rd_want *wants,
                        sched_step *ret)
{
    *ret = (sched_step){ .wants = wants };
    for (int i = 0; i < count; i++) {
        wants[i] = (rd_want)0;
        ret->new_serving += actual[i].is_new && actual[i].is_serving && !actual[i].is_leaving && runs(&actual[i]);
        ret->new_live += actual[i].is_new && runs(&actual[i]);
        ret->old_live += !actual[i].is_new || !runs(&actual[i]);
    }
    ret->is_settled = ret->new_serving >= wanted->count && ret->old_live == 0 && ret->new_live == wanted->count;
    if (wanted->is_stop)
        stop_all(actual, count, wants);
    else if (!wanted->paused)
        step(wanted, actual, count, wants, ret);
}

int64_t sched_rollout_delay_us(int failures)
{
    if (failures <= 1)
        return 0;
    int shift = RD_MIN(failures - 2, 20);
    return RD_MIN((int64_t)DELAY_FIRST_US << shift, DELAY_MAX_US);
}
