/* grant_records: what key services put on record about an app's instances, as the plane kept it: each one verified here
 * and read from what was signed, never from what the plane says of it. Used by records grants.
 * What the plane leaves out is not noticed: between an app's records lie those of others. */
#ifndef CLI_GRANT_RECORDS_H
#define CLI_GRANT_RECORDS_H

#include "common/model/kms_replica.h"

#include <jansson.h>

#define CLI_GRANT_STRANGERS_MAX 16 /* key services that this machine does not trust, looked up one after the other */

typedef struct cli_grant_services {
    /* The genesis that hashes to this id; asked for once for each id. Codes that tell of the way to the plane
     * (retryable ones, those of exits 4, 7 and 8, REFUSED, TRUNCATED) end the reading; all others are its records'
     * failure. */
    int (*genesis_of)(void *context, const rd_kms_id *kms, rd_kms_genesis *ret, rd_err *err);
    void *context;
    const json_t *trusted; /* as of cli_kms_trusted */
} cli_grant_services;

typedef struct cli_grant_findings {
    size_t verified;
    size_t unknown;          /* whose they are, nobody can tell */
    size_t failed;           /* what does not hold, of trusted key services or not to be read at all */
    size_t strangers_failed; /* of those that are not trusted: they can have anything signed */
    size_t equivocations;    /* pairs of records with one number of one trusted replica; they count as failed, too */
    char first[192];         /* why the first of failed did */
} cli_grant_findings;

/* items as of GET /v1/apps/{app}/grants. A row for each, in their order, a new array: "at", "kms", "replica", "number",
 * "kind", "instance", "epoch", "reason", "until", "release", "head" as signed, null where that is not or cannot be
 * read; "kept_at", "record" and "certificate" as the plane has them; "trusted" (its key service, here), "verified",
 * "verification" ("verified", "unknown", "failed"), "words", and "problem", null unless it failed.
 * Verified: names this app, signed by a key that the root of the genesis certified until after the time of the record,
 * and where the record in front of it in its replica's chain is there too, it names that one. A certificate serves all
 * records of its key. Unknown: a refusal that names no app, or by a key with no such certificate; and records of
 * strangers beyond CLI_GRANT_STRANGERS_MAX. -1 with genesis_of's error when the plane does not answer. */
int cli_grant_records_read(const json_t *items, const rd_app_id *app, const cli_grant_services *from, json_t **ret_rows,
                           cli_grant_findings *ret, rd_err *err) RD_NODISCARD;

#endif
