#include "scheduler/reason.h"

#include <jansson.h>
#include <stdio.h>

static void count_one(json_t *counts, size_t hosts, const char *fmt, const char *detail)
{
    if (hosts == 0)
        return;
    char text[256];
    (void)snprintf(text, sizeof text, "%s%s", fmt, detail);
    json_t *constraint = json_string(text);
    (void)json_array_append_new(
        counts,
        json_pack("{s:o, s:I}", "constraint", constraint ? constraint : json_string(fmt), "hosts", (json_int_t)hosts));
}

static char *encode(json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(document);
    return text;
}

char *sched_reason_unplaced(const sched_why *why, const sched_need *need)
{
    json_t *counts = json_array();
    count_one(counts, why->tee, need->is_simulated ? "not a simulated host of kind " : "not hardware of kind ",
              need->tees);
    count_one(counts, why->region, "region not in ", need->regions);
    count_one(counts, why->labels, "labels lack ", need->labels);
    count_one(counts, why->state, "not ready: away, draining, quarantined or not yet attached", "");
    count_one(counts, why->cpu_m, "too little free CPU", "");
    count_one(counts, why->memory, "too little free memory", "");
    count_one(counts, why->slots, "no free enclave slot", "");
    char summary[96];
    (void)snprintf(summary, sizeof summary, "no host fits yet (checked %zu host%s)", why->hosts,
                   why->hosts == 1 ? "" : "s");
    return encode(json_pack("{s:s, s:o}", "summary", summary, "counts", counts));
}

char *sched_reason_failed(const char *code, int failures, bool is_final)
{
    char summary[192];
    (void)snprintf(summary, sizeof summary, "%s: %d launch%s failed%s", code[0] ? code : "instance_failed", failures,
                   failures == 1 ? "" : "es", is_final ? "; deploy a release that starts" : "; trying again");
    json_t *document =
        json_pack("{s:s, s:s, s:[]}", "summary", summary, "code", code[0] ? code : "instance_failed", "counts");
    return document ? encode(document) : NULL;
}
