#include "scheduler/place.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"

static void decref_p(json_t **json)
{
    json_decref(*json);
}

/* A comma separated list. */
static bool lists(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ',') && (at[size] == '\0' || at[size] == ','))
            return true;
    return false;
}

static bool region_fits(const char *region, const char *regions)
{
    if (!regions[0])
        return true;
    RD_CLEANUP(decref_p) json_t *list = json_loads(regions, 0, NULL);
    size_t i;
    json_t *item;
    json_array_foreach(list, i,
                       item) if (json_is_string(item) && strcmp(json_string_value(item), region) == 0) return true;
    return json_array_size(list) == 0;
}

static bool labels_fit(const char *has_text, const char *wants_text)
{
    if (!wants_text[0])
        return true;
    RD_CLEANUP(decref_p) json_t *has = json_loads(has_text, 0, NULL);
    RD_CLEANUP(decref_p) json_t *wants = json_loads(wants_text, 0, NULL);
    const char *name;
    json_t *value;
    json_object_foreach(wants, name, value) if (!json_equal(json_object_get(has, name), value)) return false;
    return true;
}

typedef enum misfit { FITS, MISFIT_TEE, MISFIT_REGION, MISFIT_LABELS } misfit;

static misfit class_fits(const sched_class *class, const sched_need *need)
{
    if (class->is_simulated != need->is_simulated || !lists(need->tees, class->tee))
        return MISFIT_TEE;
    if (!region_fits(class->region, need->regions))
        return MISFIT_REGION;
    return labels_fit(class->labels, need->labels) ? FITS : MISFIT_LABELS;
}

void sched_place_eligible(const sched_fleet *fleet, const sched_need *need, sched_eligible *ret)
{
    ret->count = sched_fleet_classes(fleet);
    ret->bits = rd_alloc((ret->count + 7) / 8 + 1);
    for (size_t i = 0; i < ret->count; i++)
        if (class_fits(sched_fleet_class(fleet, i), need) == FITS)
            ret->bits[i / 8] |= (uint8_t)(1u << (i % 8));
}

/* What would be left, in milli-CPU and MiB together: the smaller, the better it fits. */
static int64_t leftover(const sched_class *class, size_t i, const sched_size *size)
{
    return class->free_cpu_m[i] - size->cpu_m + ((class->free_mem[i] - size->mem) >> 20);
}

uint32_t sched_place_one(const sched_fleet *fleet, const sched_need *need, const sched_eligible *eligible,
                         const uint16_t *on_host)
{
    uint32_t best = SCHED_HOST_NONE;
    uint32_t best_crowd = UINT32_MAX;
    int64_t best_left = INT64_MAX;
    const sched_size *size = &need->size;
    for (size_t c = 0; c < eligible->count; c++) {
        if (!(eligible->bits[c / 8] & 1u << (c % 8)))
            continue;
        const sched_class *class = sched_fleet_class(fleet, c);
        for (size_t i = 0; i < class->count; i++) {
            if (class->free_cpu_m[i] < size->cpu_m || class->free_mem[i] < size->mem ||
                class->free_slots[i] < size->slots)
                continue;
            uint32_t crowd = on_host ? on_host[class->host[i]] : 0;
            int64_t left = leftover(class, i, size);
            if (crowd > best_crowd || (crowd == best_crowd && left >= best_left))
                continue;
            best = class->host[i];
            best_crowd = crowd;
            best_left = left;
        }
    }
    return best;
}

static void count_hosts(const sched_class *class, const sched_size *size, sched_why *why)
{
    for (size_t i = 0; i < class->count; i++) {
        if (class->free_cpu_m[i] < 0)
            why->state++;
        else if (class->free_cpu_m[i] < size->cpu_m)
            why->cpu_m++;
        else if (class->free_mem[i] < size->mem)
            why->memory++;
        else if (class->free_slots[i] < size->slots)
            why->slots++;
    }
}

void sched_place_why(const sched_fleet *fleet, const sched_need *need, sched_why *ret)
{
    *ret = (sched_why){ 0 };
    for (size_t c = 0; c < sched_fleet_classes(fleet); c++) {
        const sched_class *class = sched_fleet_class(fleet, c);
        ret->hosts += class->count;
        switch (class_fits(class, need)) {
        case MISFIT_TEE:
            ret->tee += class->count;
            break;
        case MISFIT_REGION:
            ret->region += class->count;
            break;
        case MISFIT_LABELS:
            ret->labels += class->count;
            break;
        case FITS:
            count_hosts(class, &need->size, ret);
        }
    }
}
