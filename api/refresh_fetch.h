/* refresh_fetch: one fetch of the plane's collateral from the configured services, platform by platform.
 * Used by refresh.c on its thread. One platform that fails leaves the others; a service that does not answer is not
 * asked again in the same run. What comes is verified; taking it into use is the caller's. */
#ifndef API_REFRESH_FETCH_H
#define API_REFRESH_FETCH_H

#include "api/context.h"
#include "attest/collateral_review.h"
#include "fetch/fetch.h"

/* The sources of the configuration, checked. A service that is not named is not asked at all. */
typedef struct api_refresh_sources {
    const char *pcs, *kds, *root_crl; /* NULL: none */
    fetch_scopes scopes;              /* asked for beside what the set in use covers */
} api_refresh_sources;

/* CONFIG: an address or scope that is none, or a scope whose service is not named. */
int api_refresh_sources_read(const api_config *config, api_refresh_sources *ret, rd_err *err) RD_NODISCARD;
/* Whether any service is named. */
bool api_refresh_sources_any(const api_refresh_sources *sources);
/* "https://…, https://…". */
void api_refresh_sources_format(const api_refresh_sources *sources, char *ret, size_t size);
/* The first end among what is fetched here; 0 when nothing of it has one. */
int64_t api_refresh_first_end(const api_refresh_sources *sources, const rd_collateral_facts *facts);
/* What is to be fetched: the configured platforms and those of set (may be NULL) whose service is named. */
void api_refresh_scopes(const api_refresh_sources *sources, const rd_collateral_set *set, fetch_scopes *ret);

typedef struct api_refresh_outcome {
    rd_collateral_set *set; /* verified; NULL when nothing was got */
    size_t good_count;      /* platforms */
    int64_t expires_us;     /* the first end of what was got; 0: none */
    rd_err first;           /* RD_OK: every platform was got */
} api_refresh_outcome;

/* current: the set in use, for VCEKs that need not be asked for; may be NULL. The caller frees ret->set. */
void api_refresh_fetch(const api_context *context, fetch_http *http, const api_refresh_sources *sources,
                       const fetch_scopes *scopes, const rd_collateral_set *current, api_refresh_outcome *ret);

#endif
