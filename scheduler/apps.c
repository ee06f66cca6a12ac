#include "scheduler/apps.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/table.h"

#define KEY_SIZE 24 /* instance and epoch */

struct sched_apps {
    rd_table *by_id;
    rd_table *leases;
    sched_app **queue; /* ring */
    size_t head, count, capacity;
};

void sched_wish_done(sched_wish *wish)
{
    free(wish->tees);
    free(wish->regions);
    free(wish->labels);
    free(wish->rollout_reason);
}

sched_apps *sched_apps_new(void)
{
    sched_apps *apps = rd_alloc(sizeof *apps);
    apps->by_id = rd_table_new(0);
    apps->leases = rd_table_new(SIZE_MAX / 2);
    return apps;
}

static void free_app(sched_app *app)
{
    for (size_t i = 0; i < app->lease_count; i++)
        free(app->leases[i]);
    free(app->leases);
    free(app);
}

void sched_apps_free(sched_apps *apps)
{
    if (!apps)
        return;
    size_t iterator = 0;
    sched_app *app;
    while (sched_apps_next(apps, &iterator, &app))
        free_app(app);
    rd_table_free(apps->by_id);
    rd_table_free(apps->leases);
    free(apps->queue);
    free(apps);
}

sched_app *sched_apps_get(sched_apps *apps, const rd_app_id *id)
{
    rd_bytes key = RD_BYTES_ARRAY(id->b);
    sched_app *app = rd_table_get(apps->by_id, key);
    if (!app) {
        app = rd_alloc(sizeof *app);
        app->id = *id;
        (void)rd_table_set(apps->by_id, key, app, NULL);
    }
    return app;
}

size_t sched_apps_count(const sched_apps *apps)
{
    return rd_table_count(apps->by_id);
}

bool sched_apps_next(const sched_apps *apps, size_t *iterator, sched_app **ret)
{
    return rd_table_next(apps->by_id, iterator, NULL, (void **)ret);
}

void sched_apps_drop(sched_apps *apps, sched_app *app)
{
    if (app->lease_count || app->is_queued)
        return;
    (void)rd_table_remove(apps->by_id, RD_BYTES_ARRAY(app->id.b));
    free_app(app);
}

static void make_key(uint8_t key[KEY_SIZE], const rd_id *instance, int64_t epoch)
{
    memcpy(key, instance->b, 16);
    memcpy(key + 16, &epoch, 8);
}

sched_lease *sched_apps_add(sched_apps *apps, const sched_lease *lease)
{
    sched_app *app = lease->app;
    if (app->lease_count == app->lease_capacity) {
        app->lease_capacity = app->lease_capacity ? app->lease_capacity * 2 : 4;
        app->leases = rd_realloc(app->leases, app->lease_capacity * sizeof(sched_lease *));
    }
    sched_lease *kept = rd_alloc(sizeof *kept);
    *kept = *lease;
    app->leases[app->lease_count++] = kept;
    uint8_t key[KEY_SIZE];
    make_key(key, &lease->instance, lease->epoch);
    (void)rd_table_set(apps->leases, RD_BYTES_ARRAY(key), kept, NULL);
    return kept;
}

void sched_apps_remove(sched_apps *apps, sched_lease *lease)
{
    sched_app *app = lease->app;
    for (size_t i = 0; i < app->lease_count; i++)
        if (app->leases[i] == lease) {
            /* Order of granting is kept: it is the order of age. */
            memmove(&app->leases[i], &app->leases[i + 1], (app->lease_count - i - 1) * sizeof(sched_lease *));
            app->lease_count--;
            break;
        }
    uint8_t key[KEY_SIZE];
    make_key(key, &lease->instance, lease->epoch);
    (void)rd_table_remove(apps->leases, RD_BYTES_ARRAY(key));
    free(lease);
}

sched_lease *sched_apps_find(const sched_apps *apps, const rd_id *instance, int64_t epoch)
{
    uint8_t key[KEY_SIZE];
    make_key(key, instance, epoch);
    return rd_table_get(apps->leases, RD_BYTES_ARRAY(key));
}

void sched_apps_enqueue(sched_apps *apps, sched_app *app)
{
    if (app->is_queued)
        return;
    if (apps->count == apps->capacity) {
        size_t capacity = apps->capacity ? apps->capacity * 2 : 64;
        sched_app **queue = rd_alloc_array(capacity, sizeof(sched_app *));
        for (size_t i = 0; i < apps->count; i++)
            queue[i] = apps->queue[(apps->head + i) % apps->capacity];
        free(apps->queue);
        apps->queue = queue;
        apps->head = 0;
        apps->capacity = capacity;
    }
    app->is_queued = true;
    apps->queue[(apps->head + apps->count++) % apps->capacity] = app;
}

sched_app *sched_apps_dequeue(sched_apps *apps)
{
    if (apps->count == 0)
        return NULL;
    sched_app *app = apps->queue[apps->head];
    apps->head = (apps->head + 1) % apps->capacity;
    apps->count--;
    app->is_queued = false;
    return app;
}

size_t sched_apps_waiting(const sched_apps *apps)
{
    return apps->count;
}
