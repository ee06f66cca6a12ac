#include "api/hold.h"

#include "common/base/mem.h"
#include "common/base/table.h"

#include <stdlib.h>
#include <string.h>

struct api_hold {
    rd_app_id app;
    uint8_t org[16];
    api_held *first, *last;
    size_t count;
    int64_t asked_us;
};

struct api_holds {
    rd_table *apps; /* app id → api_hold */
    size_t count;
    void (*ask)(void *context, const rd_app_id *app, bool is_again);
    void *context;
};

api_holds *api_holds_new(void (*ask)(void *context, const rd_app_id *app, bool is_again), void *context)
{
    api_holds *holds = rd_alloc(sizeof *holds);
    holds->apps = rd_table_new(API_HOLD_MAX);
    holds->ask = ask;
    holds->context = context;
    return holds;
}

api_holds *api_holds_free(api_holds *holds)
{
    if (!holds)
        return NULL;
    rd_table_free(holds->apps);
    free(holds);
    return NULL;
}

static void ask(api_holds *holds, api_hold *hold, int64_t now_us, bool is_again)
{
    hold->asked_us = now_us;
    if (holds->ask)
        holds->ask(holds->context, &hold->app, is_again);
}

static api_hold *find(const api_holds *holds, const rd_app_id *app)
{
    return rd_table_get(holds->apps, RD_BYTES_ARRAY(app->b));
}

static size_t count_of_org(const api_holds *holds, const uint8_t org[16])
{
    size_t count = 0, iterator = 0;
    void *hold;
    while (rd_table_next(holds->apps, &iterator, NULL, &hold))
        if (memcmp(((const api_hold *)hold)->org, org, sizeof((const api_hold *)hold)->org) == 0)
            count += ((const api_hold *)hold)->count;
    return count;
}

static int check_room(const api_holds *holds, const api_hold *hold, const uint8_t org[16], rd_err *err)
{
    if (hold && hold->count >= API_HOLD_APP_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%zu calls wait for the app to wake", hold->count);
    if (holds->count >= API_HOLD_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%zu calls wait for apps to wake", holds->count);
    if (holds->count >= API_HOLD_ORG_MAX && count_of_org(holds, org) >= API_HOLD_ORG_MAX)
        return rd_err_set(err, RD_E_UNAVAILABLE, "%d calls wait for apps of this organisation to wake",
                          API_HOLD_ORG_MAX);
    return 0;
}

int api_holds_add(api_holds *holds, const rd_app_id *app, const uint8_t org[16], api_held *held, int64_t now_us,
                  rd_err *err)
{
    api_hold *hold = find(holds, app);
    if (check_room(holds, hold, org, err) < 0)
        return -1;
    if (!hold) {
        hold = rd_alloc(sizeof *hold);
        hold->app = *app;
        memcpy(hold->org, org, sizeof hold->org);
        if (!rd_table_set(holds->apps, RD_BYTES_ARRAY(hold->app.b), hold, NULL)) {
            free(hold);
            return rd_err_set(err, RD_E_UNAVAILABLE, "calls to %d apps wait", API_HOLD_MAX);
        }
    }
    *held = (api_held){ .hold = hold, .previous = hold->last };
    *(hold->last ? &hold->last->next : &hold->first) = held;
    hold->last = held;
    hold->count++;
    holds->count++;
    if (hold->count == 1)
        ask(holds, hold, now_us, false);
    return 0;
}

static void drop(api_holds *holds, api_hold *hold)
{
    holds->count -= hold->count;
    (void)rd_table_remove(holds->apps, RD_BYTES_ARRAY(hold->app.b));
    free(hold);
}

void api_holds_leave(api_holds *holds, api_held *held)
{
    api_hold *hold = held->hold;
    if (!hold)
        return;
    *(held->previous ? &held->previous->next : &hold->first) = held->next;
    *(held->next ? &held->next->previous : &hold->last) = held->previous;
    *held = (api_held){ 0 };
    hold->count--;
    holds->count--;
    if (hold->count == 0)
        drop(holds, hold);
}

api_held *api_holds_take(api_holds *holds, const rd_app_id *app)
{
    api_hold *hold = find(holds, app);
    if (!hold)
        return NULL;
    api_held *first = hold->first;
    for (api_held *held = first; held; held = held->next)
        held->hold = NULL;
    drop(holds, hold);
    return first;
}

void api_holds_again(api_holds *holds, int64_t now_us)
{
    size_t iterator = 0;
    void *hold;
    while (rd_table_next(holds->apps, &iterator, NULL, &hold))
        if (now_us - ((api_hold *)hold)->asked_us >= API_HOLD_AGAIN_US)
            ask(holds, hold, now_us, true);
}

size_t api_holds_count(const api_holds *holds)
{
    return holds->count;
}

size_t api_holds_of(const api_holds *holds, const rd_app_id *app)
{
    const api_hold *hold = find(holds, app);
    return hold ? hold->count : 0;
}
