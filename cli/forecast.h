/* forecast: how many hosts could take an instance now, and what keeps the others out.
 * Used by deploy. From the list of hosts that the plane reports: a forecast, never a promise. Pure but for the listing.
 */
#ifndef CLI_FORECAST_H
#define CLI_FORECAST_H

#include "cli/client.h"
#include "common/model/class.h"
#include "common/model/release.h"

/* A host counts at the first row that it fails, in this order. */
typedef enum cli_obstacle {
    CLI_KEPT_CLASS,
    CLI_KEPT_STATE,
    CLI_KEPT_CPU,
    CLI_KEPT_MEMORY,
    CLI_KEPT_SLOTS,
    CLI_KEPT_COUNT,
} cli_obstacle;

typedef struct cli_forecast {
    size_t hosts, fitting;
    size_t kept[CLI_KEPT_COUNT];
} cli_forecast;

/* hosts: array of the plane's hosts. */
void cli_forecast_make(const json_t *hosts, rd_class class, const rd_resources *resources, cli_forecast *ret);
int cli_forecast_fetch(cli_client *client, rd_class class, const rd_resources *resources, cli_forecast *ret,
                       rd_err *err) RD_NODISCARD;
void cli_forecast_note(const cli_out *out, const cli_forecast *forecast, rd_class class, uint64_t instances);
/* {"hosts","fitting","counts":[{"constraint","hosts"}]}; a new reference. */
json_t *cli_forecast_to_json(const cli_forecast *forecast);

#endif
