#include "api/seek.h"

#include "common/base/mem.h"

#include <stdlib.h>

#define LOOKS_MAX     2u
#define LOOK_AGAIN_US 200000 /* callers of an app that has no instance cost no more than this */

struct api_seekers {
    api_seek_options options;
    api_targets *targets;
    api_holds *holds;
    uint64_t woken;
};

static api_reach reach(void *context, const api_target *target)
{
    const api_seekers *seekers = context;
    api_reach ret = API_REACH_NOT;
    return seekers->options.find_link(seekers->options.context, target, &ret) ? ret : API_REACH_NOT;
}

rd_link *api_seekers_link(const api_seekers *seekers, const api_target *target)
{
    api_reach ignored;
    return seekers->options.find_link(seekers->options.context, target, &ignored);
}

void api_seekers_note_stale(const api_seekers *seekers, const rd_app_id *app)
{
    if (seekers->options.on_stale)
        seekers->options.on_stale(seekers->options.context, app);
}

void api_seekers_avoid(const api_seekers *seekers, api_target *target)
{
    target->avoid_until_us = rd_clock_wall_us(seekers->options.clock) + API_TARGET_AVOID_US;
}

/* Nothing that is heard is relied on: what is known of the app is loaded anew as well, which lets the line go where an
 * instance serves that was avoided for a while, or that nobody told of. */
static void on_held(void *context, const rd_app_id *app, bool is_again)
{
    api_seekers *seekers = context;
    const api_app *known = api_targets_app(seekers->targets, app);
    bool sleeps = known && known->sleeps;
    if (is_again || !sleeps)
        api_seekers_note_stale(seekers, app);
    if (sleeps)
        seekers->options.on_asked(seekers->options.context, app, is_again);
}

/* An instance serves: the whole line goes to it, in the order it came. Or none will: each is told why. */
static void on_settled(void *context, const api_app *app)
{
    api_seekers *seekers = context;
    api_held *next;
    for (api_held *held = api_holds_take(seekers->holds, &app->id); held; held = next) {
        next = held->next;
        api_seek *seek = RD_CONTAINER_OF(held, api_seek, held);
        *held = (api_held){ 0 };
        seek->tried_count = 0;
        seekers->woken += seek->on_woken(seek);
    }
}

api_seekers *api_seekers_new(const api_seek_options *options, api_targets *targets)
{
    api_seekers *seekers = rd_alloc(sizeof *seekers);
    seekers->options = *options;
    seekers->targets = targets;
    seekers->holds = api_holds_new(on_held, seekers);
    api_targets_on_settled(targets, on_settled, seekers);
    return seekers;
}

api_seekers *api_seekers_free(api_seekers *seekers)
{
    if (!seekers)
        return NULL;
    api_holds_free(seekers->holds);
    free(seekers);
    return NULL;
}

/* The link may have moved and the news not be here yet. */
static int none_reachable(const api_seekers *seekers, const api_seek *seek, rd_err *err)
{
    api_seekers_note_stale(seekers, &seek->app);
    return rd_err_set(err, RD_E_INSTANCE_ELSEWHERE, "no link leads to an instance of the app now");
}

static int choose_named(api_seekers *seekers, const api_app *app, api_seek *seek, int64_t now_us, api_target **ret,
                        rd_err *err)
{
    api_target *target = api_targets_instance(seekers->targets, &seek->instance);
    if (!target || target->app != app || !api_target_is_valid(target, now_us) || seek->tried_count > 0)
        return rd_err_set(err, RD_E_NO_INSTANCE, "the instance does not serve");
    if (reach(seekers, target) == API_REACH_NOT)
        return none_reachable(seekers, seek, err);
    *ret = target;
    return 0;
}

static int choose(api_seekers *seekers, api_seek *seek, api_target **ret, rd_err *err)
{
    api_app *app = api_targets_app(seekers->targets, &seek->app);
    if (!app)
        return rd_err_set(err, RD_E_APP_UNKNOWN, "no such app");
    if (app->is_paused)
        return rd_err_set(err, RD_E_APP_PAUSED, "the app is paused");
    int64_t now_us = rd_clock_wall_us(seekers->options.clock);
    if (seek->has_instance)
        return choose_named(seekers, app, seek, now_us, ret, err);
    bool is_elsewhere = false;
    api_pick pick = {
        .now_us = now_us, .reach = reach, .context = seekers, .tried = seek->tried, .tried_count = seek->tried_count
    };
    *ret = api_targets_pick(app, &pick, &is_elsewhere);
    if (*ret)
        return 0;
    if (is_elsewhere)
        return none_reachable(seekers, seek, err);
    return rd_err_set(err, RD_E_NO_INSTANCE, "no instance serves this app");
}

/* An instance may serve of which the news is not here yet, as when a deployment has just ended well: the caller waits
 * for a look that began behind his call. One look may be under way already, so that it takes two. Whoever comes while
 * others wait joins them; for a while behind a look that found nothing, none is begun. */
static bool may_look(const api_seekers *seekers, api_app *app, api_seek *seek, int64_t now_us)
{
    bool is_first = seek->looks == 0 && api_holds_of(seekers->holds, &app->id) == 0;
    if (seek->looks == LOOKS_MAX || (is_first && app->looked_us > 0 && now_us - app->looked_us < LOOK_AGAIN_US))
        return false;
    app->looked_us = now_us;
    seek->looks++;
    return true;
}

/* Nothing of the app serves: where it runs only when called, the caller waits while it wakes. */
static int wait_for_one(api_seekers *seekers, api_seek *seek, rd_err *err)
{
    api_app *app = api_targets_app(seekers->targets, &seek->app);
    if (err->code != RD_E_NO_INSTANCE || seek->has_instance || seek->never_waits || !app || !seekers->options.on_asked)
        return -1;
    int64_t now_us = rd_clock_boot_us(seekers->options.clock);
    if (!app->sleeps && (app->count > 0 || !may_look(seekers, app, seek, now_us)))
        return -1;
    return api_holds_add(seekers->holds, &seek->app, app->org, &seek->held, now_us, err) < 0 ? -1 : API_SEEK_WAITS;
}

int api_seek_next(api_seekers *seekers, api_seek *seek, api_target **ret, rd_err *err)
{
    if (seek->tried_count == API_SEEK_TRIES_MAX)
        return rd_err_set(err, RD_E_NO_INSTANCE, "%u instances could not take the call", API_SEEK_TRIES_MAX);
    if (choose(seekers, seek, ret, err) < 0)
        return wait_for_one(seekers, seek, err);
    seek->tried[seek->tried_count++] = *ret;
    return API_SEEK_FOUND;
}

void api_seek_leave(api_seekers *seekers, api_seek *seek)
{
    api_holds_leave(seekers->holds, &seek->held);
}

void api_seekers_again(api_seekers *seekers, int64_t now_us)
{
    api_holds_again(seekers->holds, now_us);
}

size_t api_seekers_waiting(const api_seekers *seekers)
{
    return api_holds_count(seekers->holds);
}

uint64_t api_seekers_woken(const api_seekers *seekers)
{
    return seekers->woken;
}
