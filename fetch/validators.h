/* validators: what lets a later process ask a service "is it still this?": address, validators, digest of the answer.
 * Used by `redoubt collateral fetch` beside its folder and by the plane beside its set. The answers themselves stand in
 * the collateral set; an entry whose piece is not there (any more) is left out. Believes nothing: what it names wrongly
 * is held to what was asked, as an answer is. */
#ifndef FETCH_VALIDATORS_H
#define FETCH_VALIDATORS_H

#include "attest/collateral_set.h"
#include "fetch/http.h"

#define FETCH_VALIDATORS_SIZE_MAX ((size_t)256 << 10)

/* redoubt/fetch-validators/v1: {"type", "answers": [{"url", "etag", "last_modified", "body": digest}…]}. A new
 * reference. */
json_t *fetch_validators_to_json(fetch_http *http);
/* Fills the cache of http. COLLATERAL_FORMAT: not of this type or malformed; what came before stays. */
int fetch_validators_load(fetch_http *http, rd_bytes json, const rd_collateral_set *set, rd_err *err) RD_NODISCARD;

#endif
