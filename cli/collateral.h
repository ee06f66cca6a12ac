/* collateral: where the collateral that evidence is judged by comes from: the vendor's service, a mirror of it, a
 * folder, or the plane. Used by whatever verifies live evidence. Believes none of them: what is genuine and in date the
 * verifier says, what is too old demands.h. */
#ifndef CLI_COLLATERAL_H
#define CLI_COLLATERAL_H

#include "cli/client.h"

#define CLI_SCOPE_SIZE 256 /* as rd_piece's */

/* Zero-initialise with cli_collateral_init. */
typedef struct cli_collateral {
    rd_buf json;                /* redoubt/collateral/v2 */
    char source[256];           /* where it came from, for people; "" for none yet */
    char scope[CLI_SCOPE_SIZE]; /* what it was fetched for; "": for anything */
} cli_collateral;

void cli_collateral_init(cli_collateral *collateral);
void cli_collateral_done(cli_collateral *collateral);

/* Collateral for this evidence bundle, unless what is there serves it already. --collateral names the only source:
 * "vendor", "plane", the address of a mirror, a folder, or one set as JSON. Without it the profile's "collateral", or
 * the vendor for evidence that says it is of hardware, is asked first, and the plane where that fails. What a service
 * answered serves for a day (state folder, fetched). client may be NULL where the plane is not asked. */
int cli_collateral_get(cli_context *context, cli_client *client, rd_bytes bundle, cli_collateral *ret,
                       rd_err *err) RD_NODISCARD;
/* Of what a file brought its own: does nothing without --collateral. */
int cli_collateral_replace(cli_context *context, cli_client *client, rd_bytes bundle, cli_collateral *collateral,
                           rd_err *err) RD_NODISCARD;

#endif
