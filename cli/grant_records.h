/* grant_records: what key services put on record about an app's instances, as the plane kept it: each one verified here
 * and read from what was signed, never from what the plane says of it. Used by records grants.
 * What the plane leaves out is not noticed: between an app's records lie those of others. */
#ifndef CLI_GRANT_RECORDS_H
#define CLI_GRANT_RECORDS_H

#include "common/model/kms_replica.h"

#include <jansson.h>

/* The genesis that hashes to this id, borrowed; NULL with err: it cannot be had. */
typedef const rd_kms_genesis *(*cli_grant_genesis_fn)(void *context, const rd_kms_id *kms, rd_err *err);

typedef struct cli_grant_findings {
    size_t verified;
    size_t unknown;       /* refusals signed by a key that no certificate was shown for */
    size_t failed;        /* what does not hold */
    size_t equivocations; /* pairs of records with one number of one replica; they count as failed, too */
    char first[192];      /* why the first that failed did */
} cli_grant_findings;

/* items as of GET /v1/apps/{app}/grants. A row for each, in their order, a new reference: "at", "kms", "replica",
 * "number", "kind", "instance", "epoch", "reason", "until", "release", "head" as signed (an instance that a refusal did
 * not establish is the plane's word); "kept_at", "record" and "certificate" as the plane has them; "verified",
 * "verification" ("verified", "unknown", "failed"), "words", and "problem", null unless it failed.
 * Verified: signed by a key that the root of the genesis certified, of this app, and where the record in front of it in
 * its replica's chain is there too, it names that one. A certificate serves all records of its key. */
json_t *cli_grant_records_read(const json_t *items, const rd_app_id *app, cli_grant_genesis_fn genesis_of,
                               void *context, cli_grant_findings *ret);

#endif
