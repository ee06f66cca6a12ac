#include "api/targets.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_MAX 16

struct api_targets {
    rd_table *apps;      /* app id → api_app */
    rd_table *instances; /* instance id → api_target */
    void (*on_gone)(void *context, api_target *target);
    void *context;
    void (*on_settled)(void *context, const api_app *app);
    void *settled_context;
};

static rd_bytes app_key(const rd_app_id *app)
{
    return rd_bytes_of(app->b, sizeof app->b);
}

static rd_bytes instance_key(const rd_id *instance)
{
    return rd_bytes_of(instance->b, sizeof instance->b);
}

api_targets *api_targets_new(void (*on_gone)(void *context, api_target *target), void *context)
{
    api_targets *targets = rd_alloc(sizeof *targets);
    targets->apps = rd_table_new(0);
    targets->instances = rd_table_new(0);
    targets->on_gone = on_gone;
    targets->context = context;
    return targets;
}

void api_targets_on_settled(api_targets *targets, void (*on_settled)(void *context, const api_app *app), void *context)
{
    targets->on_settled = on_settled;
    targets->settled_context = context;
}

static void note_settled(api_targets *targets, const api_app *app)
{
    if (targets->on_settled)
        targets->on_settled(targets->settled_context, app);
}

static void target_end(api_targets *targets, api_target *target)
{
    if (targets->on_gone)
        targets->on_gone(targets->context, target);
    free(target);
}

/* Takes it out of the index; the memory stays for its holders. */
static void target_drop(api_targets *targets, api_target *target)
{
    if (rd_table_get(targets->instances, instance_key(&target->instance)) == target)
        (void)rd_table_remove(targets->instances, instance_key(&target->instance));
    target->is_gone = true;
    target->app = NULL;
    if (target->holders == 0)
        target_end(targets, target);
}

static void app_end(api_targets *targets, api_app *app)
{
    for (size_t i = 0; i < app->count; i++)
        target_drop(targets, app->targets[i]);
    free(app->targets);
    free(app);
}

api_targets *api_targets_free(api_targets *targets)
{
    if (!targets)
        return NULL;
    size_t iterator = 0;
    void *app;
    while (rd_table_next(targets->apps, &iterator, NULL, &app))
        app_end(targets, app);
    rd_table_free(targets->apps);
    rd_table_free(targets->instances);
    free(targets);
    return NULL;
}

static api_target *target_new(api_app *app, const api_target_row *row)
{
    api_target *target = rd_alloc(sizeof *target);
    target->instance = row->instance;
    target->epoch = row->epoch;
    target->host = row->host;
    target->app = app;
    char text[RD_ID_TEXT_SIZE];
    rd_id_format(RD_PREFIX_INSTANCE, &row->instance, text);
    snprintf(target->authority, sizeof target->authority, "%s.%" PRIu64, text, row->epoch);
    return target;
}

static void target_refresh(api_target *target, const api_target_row *row)
{
    target->replica = row->replica;
    target->release = row->release;
    target->valid_until_us = row->valid_until_us;
    target->limits = row->limits;
    target->is_starting = row->is_starting;
    target->app->has_limits = true;
    target->app->release = row->release;
    target->app->limits = row->limits;
}

static void add_row(api_targets *targets, api_app *app, const api_target_row *row)
{
    api_target *known = rd_table_get(targets->instances, instance_key(&row->instance));
    if (known && known->epoch >= row->epoch) {
        if (known->epoch != row->epoch || known->app != app)
            return;
        known->version = app->version;
        target_refresh(known, row);
        return;
    }
    if (known && known->app != app)
        return; /* an instance is of one app for ever */
    if (known) {
        for (size_t i = 0; i < app->count; i++)
            if (app->targets[i] == known)
                app->targets[i] = app->targets[--app->count];
        target_drop(targets, known);
    }
    api_target *target = target_new(app, row);
    target->version = app->version;
    target_refresh(target, row);
    if (!rd_table_set(targets->instances, instance_key(&row->instance), target, NULL)) {
        free(target);
        return;
    }
    app->targets[app->count++] = target;
}

void api_targets_replace(api_targets *targets, uint64_t version, const api_app_row *row, const api_target_row *rows,
                         size_t count)
{
    api_app *app = rd_table_get(targets->apps, app_key(&row->id));
    if (app && app->version > version)
        return;
    if (!row->is_live) {
        if (app) {
            (void)rd_table_remove(targets->apps, app_key(&row->id));
            note_settled(targets, app);
            app_end(targets, app);
        }
        return;
    }
    if (!app) {
        app = rd_alloc(sizeof *app);
        app->id = row->id;
        if (!rd_table_set(targets->apps, app_key(&row->id), app, NULL)) {
            free(app);
            return;
        }
    }
    memcpy(app->org, row->org, sizeof app->org);
    app->is_paused = row->is_paused;
    app->sleeps = row->sleeps;
    app->is_open_asleep = row->is_open_asleep;
    app->shard = row->shard;
    app->version = version;
    count = RD_MIN(count, API_TARGETS_PER_APP_MAX);
    app->targets = rd_realloc(app->targets, (app->count + count + 1) * sizeof(api_target *));
    for (size_t i = 0; i < count; i++)
        add_row(targets, app, &rows[i]);
    for (size_t i = 0; i < app->count;) {
        if (app->targets[i]->version == version) {
            i++;
            continue;
        }
        target_drop(targets, app->targets[i]);
        app->targets[i] = app->targets[--app->count];
    }
    if (app->count > 0 || app->is_paused || !app->sleeps)
        note_settled(targets, app);
}

bool api_targets_offer(api_targets *targets, const rd_app_id *id, const api_target_row *given)
{
    api_app *app = rd_table_get(targets->apps, app_key(id));
    if (!app || app->is_paused || !app->has_limits || !rd_digest_equal(&app->release, &given->release) ||
        app->count >= API_TARGETS_PER_APP_MAX || (given->is_starting && app->count > 0))
        return false;
    api_target_row row = *given;
    row.limits = app->limits;
    app->targets = rd_realloc(app->targets, (app->count + 1) * sizeof(api_target *));
    add_row(targets, app, &row);
    api_target *target = rd_table_get(targets->instances, instance_key(&row.instance));
    if (target && !row.is_starting)
        target->avoid_until_us = 0; /* what it refused a moment ago it refused because it had not started */
    note_settled(targets, app);
    return true;
}

bool api_targets_next_app(const api_targets *targets, size_t *iterator, api_app **ret)
{
    void *value;
    if (!rd_table_next(targets->apps, iterator, NULL, &value))
        return false;
    *ret = value;
    return true;
}

bool api_app_is_busy(const api_app *app)
{
    for (size_t i = 0; i < app->count; i++)
        if (app->targets[i]->in_flight > 0)
            return true;
    return false;
}

bool api_app_is_open(const api_app *app)
{
    for (size_t i = 0; i < app->count; i++)
        if (!app->targets[i]->limits.is_open)
            return false;
    return app->count > 0 || app->is_open_asleep;
}

api_app *api_targets_app(const api_targets *targets, const rd_app_id *app)
{
    return rd_table_get(targets->apps, app_key(app));
}

api_target *api_targets_instance(const api_targets *targets, const rd_id *instance)
{
    return rd_table_get(targets->instances, instance_key(instance));
}

size_t api_targets_app_count(const api_targets *targets)
{
    return rd_table_count(targets->apps);
}

size_t api_targets_count(const api_targets *targets)
{
    return rd_table_count(targets->instances);
}

bool api_targets_next(const api_targets *targets, size_t *iterator, api_target **ret)
{
    void *value;
    if (!rd_table_next(targets->instances, iterator, NULL, &value))
        return false;
    *ret = value;
    return true;
}

bool api_target_is_valid(const api_target *target, int64_t now_us)
{
    return !target->is_gone && target->valid_until_us > now_us;
}

static bool was_tried(const api_pick *pick, const api_target *target)
{
    for (size_t i = 0; i < pick->tried_count; i++)
        if (pick->tried[i] == target)
            return true;
    return false;
}

api_target *api_targets_pick(api_app *app, const api_pick *pick, bool *ret_elsewhere)
{
    api_target *best = NULL;
    api_reach best_reach = API_REACH_NOT;
    *ret_elsewhere = false;
    size_t looked = 0;
    size_t start = app->count ? app->next++ % app->count : 0;
    /* Every one is looked at until SCAN_MAX good ones were found. */
    for (size_t i = 0; i < app->count && looked < SCAN_MAX; i++) {
        api_target *target = app->targets[(start + i) % app->count];
        if (!api_target_is_valid(target, pick->now_us) || target->avoid_until_us > pick->now_us ||
            was_tried(pick, target))
            continue;
        api_reach reach = pick->reach ? pick->reach(pick->context, target) : API_REACH_OWN;
        if (reach == API_REACH_NOT) {
            *ret_elsewhere = true;
            continue;
        }
        looked++;
        if (best &&
            (target->in_flight > best->in_flight || (target->in_flight == best->in_flight && reach <= best_reach)))
            continue;
        best = target;
        best_reach = reach;
    }
    if (best)
        *ret_elsewhere = false;
    return best;
}

void api_target_hold(api_target *target)
{
    target->holders++;
}

void api_target_release(api_targets *targets, api_target *target)
{
    if (--target->holders == 0 && target->is_gone)
        target_end(targets, target);
}
