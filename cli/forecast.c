#include "cli/forecast.h"

#include <string.h>

#define HOSTS_MAX 10000

static const char *const names[CLI_KEPT_COUNT] = {
    [CLI_KEPT_CLASS] = "simulated against hardware, or another TEE",
    [CLI_KEPT_STATE] = "not ready: away, draining or cordoned",
    [CLI_KEPT_CPU] = "no free CPU",
    [CLI_KEPT_MEMORY] = "no free memory",
    [CLI_KEPT_SLOTS] = "no free TEE slot",
};

static uint64_t room(const json_t *host, const char *name)
{
    json_int_t all = json_integer_value(json_object_get(json_object_get(host, "capacity"), name));
    json_int_t used = json_integer_value(json_object_get(json_object_get(host, "used"), name));
    return all > used && used >= 0 ? (uint64_t)(all - used) : 0;
}

static bool is_ready(const json_t *host)
{
    const char *state = cli_text(host, "state");
    const char *link = cli_text(host, "link");
    return state && strcmp(state, "ready") == 0 && link && strcmp(link, "up") == 0 &&
           !json_is_true(json_object_get(host, "cordoned"));
}

/* CLI_KEPT_COUNT when nothing keeps it out. */
static cli_obstacle judge(const json_t *host, rd_class class, const rd_resources *resources)
{
    bool is_simulated = json_is_true(json_object_get(host, "simulated"));
    if (is_simulated != (class == RD_CLASS_SIMULATED))
        return CLI_KEPT_CLASS;
    if (!is_ready(host))
        return CLI_KEPT_STATE;
    if (room(host, "cpu_m") < resources->cpu_m)
        return CLI_KEPT_CPU;
    if (room(host, "memory_bytes") < resources->memory_bytes)
        return CLI_KEPT_MEMORY;
    return room(host, "slots") < 1 ? CLI_KEPT_SLOTS : CLI_KEPT_COUNT;
}

void cli_forecast_make(const json_t *hosts, rd_class class, const rd_resources *resources, cli_forecast *ret)
{
    *ret = (cli_forecast){ .hosts = json_array_size(hosts) };
    size_t i;
    json_t *host;
    json_array_foreach(hosts, i, host)
    {
        cli_obstacle obstacle = judge(host, class, resources);
        if (obstacle == CLI_KEPT_COUNT)
            ret->fitting++;
        else
            ret->kept[obstacle]++;
    }
}

int cli_forecast_fetch(cli_client *client, rd_class class, const rd_resources *resources, cli_forecast *ret,
                       rd_err *err)
{
    json_t *hosts = NULL;
    if (cli_client_list(client, "/v1/hosts", HOSTS_MAX, &hosts, err) < 0)
        return -1;
    cli_forecast_make(hosts, class, resources, ret);
    json_decref(hosts);
    return 0;
}

void cli_forecast_note(const cli_out *out, const cli_forecast *forecast, rd_class class, uint64_t instances)
{
    cli_note(out, "  %-12s  %llu instance%s, %s: %zu of %zu hosts fit now", "placement", (unsigned long long)instances,
             instances == 1 ? "" : "s", class == RD_CLASS_SIMULATED ? "SIMULATED" : "hardware", forecast->fitting,
             forecast->hosts);
    for (size_t i = 0; i < CLI_KEPT_COUNT; i++)
        if (forecast->kept[i])
            cli_note(out, "                %4zu  %s", forecast->kept[i], names[i]);
}

json_t *cli_forecast_to_json(const cli_forecast *forecast)
{
    json_t *counts = json_array();
    for (size_t i = 0; i < CLI_KEPT_COUNT; i++)
        if (forecast->kept[i])
            (void)json_array_append_new(
                counts, json_pack("{s:s, s:I}", "constraint", names[i], "hosts", (json_int_t)forecast->kept[i]));
    return json_pack("{s:I, s:I, s:o}", "hosts", (json_int_t)forecast->hosts, "fitting", (json_int_t)forecast->fitting,
                     "counts", counts);
}
