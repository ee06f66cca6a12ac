/* http: bounded GETs of public, signed documents, with a cache of what a service said before.
 * Used by fetch.c and validators.c. TLS 1.3 and verified by default; redirects are refused; sizes, times and tries are
 * bounded; failures that pass are tried again after a wait that grows fourfold, with jitter, or as Retry-After says
 * within its bound. Sends no credentials. Blocks; one thread at a time. */
#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/err.h"

#define FETCH_URL_MAX 1024

typedef struct fetch_http fetch_http;

typedef struct fetch_http_options {
    const char *ca_file;   /* PEM of what may sign the service's certificate; NULL: the system's */
    bool allows_tls12;     /* for a service that has no TLS 1.3 */
    int64_t timeout_us;    /* of one try; 0: 30 s */
    int64_t budget_us;     /* of everything since fetch_http_begin; 0: 5 minutes */
    const rd_clock *clock; /* boot time */
    /* Waits so long between two tries; false: stop. NULL: there is no second try. */
    bool (*wait)(void *context, int64_t time_us);
    /* Asked about once a second during a transfer; may be NULL. */
    bool (*is_stopping)(void *context);
    void *context;
} fetch_http_options;

/* The strings are borrowed. INTERNAL when libcurl is not there. */
int fetch_http_new(const fetch_http_options *options, fetch_http **ret, rd_err *err) RD_NODISCARD;
fetch_http *fetch_http_free(fetch_http *http);
/* A new run: the budget starts now. Within a run nothing is asked twice. */
void fetch_http_begin(fetch_http *http);

/* Borrowed from the cache until the next get. */
typedef struct fetch_answer {
    rd_bytes body;
    rd_bytes chain;    /* value of the chain header, as it came */
    bool is_unchanged; /* the service said so (304), or was not asked again in this run */
} fetch_answer;

/* chain_name: header in lower case, or NULL. NOT_FOUND for 404; TOO_LARGE over size_max; COLLATERAL_FETCH for any other
 * failure, with what happened; CANCELLED-like stops are COLLATERAL_FETCH too. */
int fetch_http_get(fetch_http *http, const char *url, const char *chain_name, size_t size_max, fetch_answer *ret,
                   rd_err *err) RD_NODISCARD;
/* What it answered was of no use: it is asked for anew next time. NULL: all that was ever answered. */
void fetch_http_forget(fetch_http *http, const char *url);
/* What is known of earlier answers. Borrowed. */
struct fetch_cache *fetch_http_cache(fetch_http *http);

/* "https://host[:port][/path]" without user, query and fragment; plain http for this machine alone. *ret is the
 * caller's, without a final slash. CONFIG otherwise. */
int fetch_base_url(const char *text, char **ret, rd_err *err) RD_NODISCARD;

/* How often a request was made, tried again, and answered as unchanged, since the start; and how many of what was asked
 * for got no answer at all, or only that the service is away or busy. */
typedef struct fetch_counts {
    uint64_t requests, retries, unchanged, unanswered;
} fetch_counts;
fetch_counts fetch_http_counts(const fetch_http *http);

#endif
