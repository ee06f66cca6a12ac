#include "fetch/http.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/random.h"
#include "fetch/cache.h"
#include "fetch/headers.h"

#define TRIES         4
#define WAIT_FIRST_US 500000
#define WAIT_MAX_US   30000000
#define TIMEOUT_US    30000000
#define BUDGET_US     300000000
#define CONNECT_MS    10000L
#define SLOW_BYTES    64L /* fewer a second, for so long: */
#define SLOW_S        10L

struct fetch_http {
    fetch_http_options options;
    CURL *curl;
    fetch_cache cache;
    fetch_counts counts;
    uint64_t run;
    int64_t end_us;
};

int fetch_http_new(const fetch_http_options *options, fetch_http **ret, rd_err *err)
{
    CURL *curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!curl)
        return rd_err_set(err, RD_E_INTERNAL, "libcurl could not start; is libcurl4 installed?");
    fetch_http *http = rd_alloc(sizeof *http);
    http->options = *options;
    http->curl = curl;
    if (http->options.timeout_us == 0)
        http->options.timeout_us = TIMEOUT_US;
    if (http->options.budget_us == 0)
        http->options.budget_us = BUDGET_US;
    fetch_http_begin(http);
    *ret = http;
    return 0;
}

fetch_http *fetch_http_free(fetch_http *http)
{
    if (!http)
        return NULL;
    curl_easy_cleanup(http->curl);
    fetch_cache_done(&http->cache);
    free(http);
    return NULL;
}

void fetch_http_begin(fetch_http *http)
{
    http->run++;
    http->end_us = rd_clock_boot_us(http->options.clock) + http->options.budget_us;
}

void fetch_http_forget(fetch_http *http, const char *url)
{
    fetch_cache_forget(&http->cache, url);
}

fetch_cache *fetch_http_cache(fetch_http *http)
{
    return &http->cache;
}

fetch_counts fetch_http_counts(const fetch_http *http)
{
    return http->counts;
}

/* --- one try --- */

typedef struct attempt {
    fetch_http *http;
    fetch_headers headers;
    rd_buf body;
    rd_err err; /* why a callback ended it */
    long status;
    int64_t retry_after_us;
    CURLcode code;
} attempt;

static void attempt_done(attempt *a)
{
    fetch_headers_done(&a->headers);
    rd_buf_done(&a->body);
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    attempt *a = context;
    if (rd_buf_append(&a->body, data, size * count))
        return size * count;
    (void)rd_err_set(&a->err, RD_E_TOO_LARGE, "an answer of more than %zu bytes", a->body.size_max);
    return 0;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    attempt *a = context;
    return fetch_headers_take(&a->headers, rd_bytes_of(data, size * count), &a->err) == 0 ? size * count : 0;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    (void)total, (void)now, (void)up_total, (void)up_now;
    const fetch_http_options *options = &((attempt *)context)->http->options;
    return options->is_stopping && options->is_stopping(options->context);
}

/* An option that is not taken could be the one that verifies: nothing is sent then. */
#define SET(attempt, option, value)                                                                                    \
    do {                                                                                                               \
        if ((attempt)->code == CURLE_OK)                                                                               \
            (attempt)->code = curl_easy_setopt((attempt)->http->curl, option, value);                                  \
    } while (0)

static void set_safety(attempt *a, int64_t left_us)
{
    const fetch_http_options *options = &a->http->options;
    long version = options->allows_tls12 ? (long)CURL_SSLVERSION_TLSv1_2 : (long)CURL_SSLVERSION_TLSv1_3;
    SET(a, CURLOPT_NOSIGNAL, 1L);
    SET(a, CURLOPT_FOLLOWLOCATION, 0L);
    SET(a, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(a, CURLOPT_SSLVERSION, version);
    SET(a, CURLOPT_SSL_VERIFYPEER, 1L);
    SET(a, CURLOPT_SSL_VERIFYHOST, 2L);
    if (options->ca_file && options->ca_file[0])
        SET(a, CURLOPT_CAINFO, options->ca_file);
    SET(a, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    SET(a, CURLOPT_LOW_SPEED_LIMIT, SLOW_BYTES);
    SET(a, CURLOPT_LOW_SPEED_TIME, SLOW_S);
    SET(a, CURLOPT_TIMEOUT_MS, (long)(RD_MIN(options->timeout_us, left_us) / 1000 + 1));
}

static void set_request(attempt *a, const char *url, struct curl_slist *lines)
{
    SET(a, CURLOPT_URL, url);
    SET(a, CURLOPT_HTTPHEADER, lines);
    SET(a, CURLOPT_USERAGENT, "redoubt/" REDOUBT_VERSION);
    SET(a, CURLOPT_WRITEFUNCTION, on_body);
    SET(a, CURLOPT_WRITEDATA, a);
    SET(a, CURLOPT_HEADERFUNCTION, on_header);
    SET(a, CURLOPT_HEADERDATA, a);
    SET(a, CURLOPT_NOPROGRESS, 0L);
    SET(a, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(a, CURLOPT_XFERINFODATA, a);
}

static void add_line(attempt *a, struct curl_slist **lines, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*lines, line);
    if (longer)
        *lines = longer;
    else
        a->code = CURLE_OUT_OF_MEMORY;
}

static struct curl_slist *conditions(attempt *a, const fetch_entry *known)
{
    struct curl_slist *lines = NULL;
    RD_CLEANUP(rd_free_p) char *line = NULL;
    add_line(a, &lines, "Expect:");
    if (known && known->etag[0])
        line = rd_asprintf("If-None-Match: %s", known->etag);
    else if (known && known->last_modified[0])
        line = rd_asprintf("If-Modified-Since: %s", known->last_modified);
    if (line)
        add_line(a, &lines, line);
    return lines;
}

static void perform(attempt *a, const char *url, const fetch_entry *known, int64_t left_us)
{
    CURL *curl = a->http->curl;
    curl_off_t retry_s = 0;
    struct curl_slist *lines = conditions(a, known);
    curl_easy_reset(curl);
    set_safety(a, left_us);
    set_request(a, url, lines);
    if (a->code == CURLE_OK) {
        a->http->counts.requests++;
        a->code = curl_easy_perform(curl);
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &a->status);
        (void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &retry_s);
    }
    a->retry_after_us = RD_MIN((int64_t)retry_s, INT64_C(3600)) * 1000000;
    curl_slist_free_all(lines);
}

/* What passes by itself: a service that is away or busy. A certificate that is wrong stays wrong. */
static bool may_pass(const attempt *a)
{
    if (a->err.code)
        return false;
    if (a->code == CURLE_OK)
        return a->status == 429 || a->status == 500 || a->status == 502 || a->status == 503 || a->status == 504;
    return a->code == CURLE_COULDNT_CONNECT || a->code == CURLE_COULDNT_RESOLVE_HOST || a->code == CURLE_GOT_NOTHING ||
           a->code == CURLE_RECV_ERROR || a->code == CURLE_SEND_ERROR || a->code == CURLE_PARTIAL_FILE;
}

static int refuse(const attempt *a, const char *url, rd_err *err)
{
    if (a->err.code) {
        *err = a->err;
        return rd_err_wrap(err, "%s", url);
    }
    if (a->code == CURLE_ABORTED_BY_CALLBACK)
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "%s: stopped", url);
    if (a->code != CURLE_OK)
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "%s: %s", url, curl_easy_strerror(a->code));
    if (a->status == 404)
        return rd_err_set(err, RD_E_NOT_FOUND, "%s: not found", url);
    if (a->status >= 300 && a->status < 400)
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "%s: a redirect (%ld), which is not followed", url, a->status);
    return rd_err_set(err, RD_E_COLLATERAL_FETCH, "%s: HTTP %ld", url, a->status);
}

/* --- a request --- */

static int64_t jittered(int64_t wait_us)
{
    uint32_t random;
    rd_random_bytes(&random, sizeof random);
    return wait_us / 2 + (int64_t)((uint64_t)wait_us * random >> 32); /* half to one and a half */
}

/* False: no further try. */
static bool wait_for_next(fetch_http *http, const attempt *a, int try)
{
    const fetch_http_options *options = &http->options;
    int64_t wait_us = jittered((int64_t)WAIT_FIRST_US << (2 * try));
    wait_us = RD_MIN(RD_MAX(wait_us, a->retry_after_us), (int64_t)WAIT_MAX_US);
    if (!options->wait || try + 1 == TRIES || rd_clock_boot_us(options->clock) + wait_us >= http->end_us)
        return false;
    http->counts.retries++;
    return options->wait(options->context, wait_us);
}

/* Borrowed by the caller; good for the rest of the run. */
static int give(const fetch_http *http, fetch_entry *entry, bool is_unchanged, fetch_answer *ret)
{
    entry->run = http->run;
    *ret = (fetch_answer){ .body = rd_buf_bytes(&entry->body),
                           .chain = rd_buf_bytes(&entry->chain),
                           .is_unchanged = is_unchanged };
    return 1;
}

/* 1: answered; 0: try again; -1: refused. */
static int try_once(fetch_http *http, const char *url, const char *chain_name, size_t size_max, int try,
                    fetch_answer *ret, rd_err *err)
{
    RD_CLEANUP(attempt_done)
    attempt a = { .http = http, .headers = { .chain_name = chain_name }, .err = RD_ERR_INIT };
    fetch_entry *known = fetch_cache_find(&http->cache, url);
    if (known && known->body.size > size_max)
        known = NULL;
    if (known && known->run == http->run)
        return give(http, known, true, ret);
    int64_t left_us = http->end_us - rd_clock_boot_us(http->options.clock);
    if (left_us <= 0)
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "%s: no time is left", url);
    rd_buf_init(&a.body, size_max);
    perform(&a, url, known, left_us);
    if (a.code == CURLE_OK && a.status == 304 && known) {
        http->counts.unchanged++;
        return give(http, known, true, ret);
    }
    if (a.code == CURLE_OK && a.status == 200)
        return give(
            http,
            fetch_cache_put(&http->cache, url, a.headers.etag, a.headers.last_modified, &a.body, &a.headers.chain),
            false, ret);
    if (may_pass(&a) && wait_for_next(http, &a, try))
        return 0;
    http->counts.unanswered += !a.err.code && (a.code != CURLE_OK || may_pass(&a));
    return refuse(&a, url, err);
}

int fetch_http_get(fetch_http *http, const char *url, const char *chain_name, size_t size_max, fetch_answer *ret,
                   rd_err *err)
{
    int rc = 0;
    for (int try = 0; rc == 0; try++)
        rc = try_once(http, url, chain_name, size_max, try, ret, err);
    return rc > 0 ? 0 : -1;
}

/* --- addresses --- */

static bool is_this_machine(const char *host, size_t size)
{
    static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        if (size == strlen(names[i]) && memcmp(host, names[i], size) == 0)
            return true;
    return false;
}

int fetch_base_url(const char *text, char **ret, rd_err *err)
{
    bool is_plain = rd_starts_with(text, "http://");
    size_t size = strlen(text);
    if (!is_plain && !rd_starts_with(text, "https://"))
        return rd_err_set(err, RD_E_CONFIG, "%.80s is no https:// address", text);
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~' || strchr("@?#\\", text[i]))
            return rd_err_set(err, RD_E_CONFIG, "%.80s holds more than scheme, host, port and path", text);
    const char *host = text + (is_plain ? 7 : 8);
    size_t host_size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
    if (size > FETCH_URL_MAX / 2 || host_size == 0 || strcspn(host, "/") < host_size)
        return rd_err_set(err, RD_E_CONFIG, "%.80s is no address of a service", text);
    if (is_plain && !is_this_machine(host, host_size))
        return rd_err_set(err, RD_E_CONFIG, "%.80s: plain http is for this machine alone; use https", text);
    while (size > 0 && text[size - 1] == '/')
        size--;
    *ret = rd_strndup(text, size);
    return 0;
}
