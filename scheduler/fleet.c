#include "scheduler/fleet.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/table.h"

struct sched_fleet {
    rd_table *by_id; /* value: index + 1 */
    sched_host *hosts;
    size_t count;
    size_t capacity;
    sched_class *classes;
    size_t class_count;
};

sched_fleet *sched_fleet_new(void)
{
    sched_fleet *fleet = rd_alloc(sizeof *fleet);
    fleet->by_id = rd_table_new(0);
    return fleet;
}

static void free_texts(sched_host *host)
{
    free(host->region);
    free(host->labels);
    free(host->tee);
}

void sched_fleet_free(sched_fleet *fleet)
{
    if (!fleet)
        return;
    for (size_t i = 0; i < fleet->count; i++)
        free_texts(&fleet->hosts[i]);
    for (size_t i = 0; i < fleet->class_count; i++) {
        sched_class *class = &fleet->classes[i];
        free(class->region);
        free(class->labels);
        free(class->tee);
        free(class->host);
        free(class->free_cpu_m);
        free(class->free_mem);
        free(class->free_slots);
    }
    free(fleet->classes);
    free(fleet->hosts);
    rd_table_free(fleet->by_id);
    free(fleet);
}

size_t sched_fleet_count(const sched_fleet *fleet)
{
    return fleet->count;
}

sched_host *sched_fleet_host(const sched_fleet *fleet, uint32_t index)
{
    assert(index < fleet->count);
    return &fleet->hosts[index];
}

uint32_t sched_fleet_find(const sched_fleet *fleet, const rd_id *id)
{
    uintptr_t value = (uintptr_t)rd_table_get(fleet->by_id, RD_BYTES_ARRAY(id->b));
    return value ? (uint32_t)(value - 1) : SCHED_HOST_NONE;
}

size_t sched_fleet_classes(const sched_fleet *fleet)
{
    return fleet->class_count;
}

const sched_class *sched_fleet_class(const sched_fleet *fleet, size_t index)
{
    assert(index < fleet->class_count);
    return &fleet->classes[index];
}

static uint32_t class_of(sched_fleet *fleet, const sched_host *host)
{
    for (size_t i = 0; i < fleet->class_count; i++) {
        const sched_class *class = &fleet->classes[i];
        if (class->is_simulated == host->is_simulated && strcmp(class->tee, host->tee) == 0 &&
            strcmp(class->region, host->region) == 0 && strcmp(class->labels, host->labels) == 0)
            return (uint32_t)i;
    }
    fleet->classes = rd_realloc(fleet->classes, (fleet->class_count + 1) * sizeof *fleet->classes);
    fleet->classes[fleet->class_count] = (sched_class){
        .region = rd_strdup(host->region),
        .labels = rd_strdup(host->labels),
        .tee = rd_strdup(host->tee),
        .is_simulated = host->is_simulated,
    };
    return (uint32_t)fleet->class_count++;
}

static void join_class(sched_fleet *fleet, uint32_t index)
{
    sched_host *host = &fleet->hosts[index];
    host->class_index = class_of(fleet, host);
    sched_class *class = &fleet->classes[host->class_index];
    if (class->count == class->capacity) {
        class->capacity = class->capacity ? class->capacity * 2 : 16;
        class->host = rd_realloc(class->host, class->capacity * sizeof *class->host);
        class->free_cpu_m = rd_realloc(class->free_cpu_m, class->capacity * sizeof *class->free_cpu_m);
        class->free_mem = rd_realloc(class->free_mem, class->capacity * sizeof *class->free_mem);
        class->free_slots = rd_realloc(class->free_slots, class->capacity * sizeof *class->free_slots);
    }
    host->class_pos = (uint32_t) class->count++;
    class->host[host->class_pos] = index;
}

/* The last one of the class moves into the gap. */
static void leave_class(sched_fleet *fleet, uint32_t index)
{
    sched_host *host = &fleet->hosts[index];
    sched_class *class = &fleet->classes[host->class_index];
    size_t last = --class->count;
    size_t gap = host->class_pos;
    class->host[gap] = class->host[last];
    class->free_cpu_m[gap] = class->free_cpu_m[last];
    class->free_mem[gap] = class->free_mem[last];
    class->free_slots[gap] = class->free_slots[last];
    fleet->hosts[class->host[gap]].class_pos = (uint32_t)gap;
}

uint32_t sched_fleet_put(sched_fleet *fleet, sched_host *host)
{
    uint32_t index = sched_fleet_find(fleet, &host->id);
    if (index == SCHED_HOST_NONE) {
        if (fleet->count == fleet->capacity) {
            fleet->capacity = fleet->capacity ? fleet->capacity * 2 : 64;
            fleet->hosts = rd_realloc(fleet->hosts, fleet->capacity * sizeof *fleet->hosts);
        }
        index = (uint32_t)fleet->count++;
        fleet->hosts[index] = *host;
        (void)rd_table_set(fleet->by_id, RD_BYTES_ARRAY(host->id.b), (void *)(uintptr_t)(index + 1), NULL);
    } else {
        sched_host *old = &fleet->hosts[index];
        leave_class(fleet, index);
        host->silent_since_us = old->silent_since_us;
        host->lease_count = old->lease_count;
        free_texts(old);
        *old = *host;
    }
    join_class(fleet, index);
    sched_fleet_refresh(fleet, index);
    return index;
}

bool sched_host_is_open(const sched_host *host)
{
    return host->is_known && host->state == RD_HOST_READY && host->link_up && host->silent_since_us == 0 &&
           host->reconciled_session == host->session && !host->wants_cordon && !host->wants_drain &&
           !host->is_retired && !host->is_revoked && !host->is_marked;
}

void sched_fleet_refresh(sched_fleet *fleet, uint32_t index)
{
    const sched_host *host = sched_fleet_host(fleet, index);
    sched_class *class = &fleet->classes[host->class_index];
    bool is_open = sched_host_is_open(host);
    class->free_cpu_m[host->class_pos] = is_open ? host->granted.cpu_m - host->used.cpu_m : -1;
    class->free_mem[host->class_pos] = host->granted.mem - host->used.mem;
    class->free_slots[host->class_pos] = host->granted.slots - host->used.slots;
}

void sched_fleet_take(sched_fleet *fleet, uint32_t index, const sched_size *size, int sign)
{
    sched_host *host = sched_fleet_host(fleet, index);
    host->used.cpu_m += sign * size->cpu_m;
    host->used.mem += sign * size->mem;
    host->used.slots += sign * size->slots;
    sched_fleet_refresh(fleet, index);
}
