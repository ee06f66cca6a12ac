/* libcurl, loaded by the first request that is made, of the command line or of the API. It brings some forty libraries;
 * help, version, manual and the completion of verbs answer without them. The functions below carry libcurl's own names
 * and prototypes, so that their callers are written against curl/curl.h as it stands; what none of them calls is not
 * here. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <stdarg.h>
#include <stddef.h>

#include "fetch/late.h"

static void *library;

#define LATE(type, name) FETCH_LATE_AS(type, fetch_late(&library, "libcurl.so.4", name))

typedef CURLcode global_init_fn(long flags);
typedef CURL *easy_init_fn(void);
typedef void easy_fn(CURL *curl);
typedef CURLcode easy_perform_fn(CURL *curl);
typedef CURLcode easy_setopt_fn(CURL *curl, CURLoption option, ...);
typedef CURLcode easy_getinfo_fn(CURL *curl, CURLINFO info, ...);
typedef const char *strerror_fn(CURLcode code);
typedef CURLcode easy_pause_fn(CURL *curl, int what);
typedef CURLMsg *multi_info_fn(CURLM *multi, int *left);
typedef CURLM *multi_init_fn(void);
typedef CURLMcode multi_fn(CURLM *multi);
typedef CURLMcode multi_easy_fn(CURLM *multi, CURL *curl);
typedef CURLMcode multi_perform_fn(CURLM *multi, int *running);
typedef CURLMcode multi_poll_fn(CURLM *multi, struct curl_waitfd *fds, unsigned count, int timeout_ms, int *ready);
typedef struct curl_slist *slist_append_fn(struct curl_slist *list, const char *text);
typedef void slist_free_fn(struct curl_slist *list);

/* Called first; everything after it finds the library. */
CURLcode curl_global_init(long flags)
{
    global_init_fn *function = LATE(global_init_fn, "curl_global_init");
    return function ? function(flags) : CURLE_FAILED_INIT;
}

CURL *curl_easy_init(void)
{
    easy_init_fn *function = LATE(easy_init_fn, "curl_easy_init");
    return function ? function() : NULL;
}

void curl_easy_cleanup(CURL *curl)
{
    easy_fn *function = LATE(easy_fn, "curl_easy_cleanup");
    if (function)
        function(curl);
}

void curl_easy_reset(CURL *curl)
{
    easy_fn *function = LATE(easy_fn, "curl_easy_reset");
    if (function)
        function(curl);
}

CURLcode curl_easy_perform(CURL *curl)
{
    easy_perform_fn *function = LATE(easy_perform_fn, "curl_easy_perform");
    return function ? function(curl) : CURLE_FAILED_INIT;
}

/* curl_easy_setopt(3): the one argument is a long, a pointer or a curl_off_t, each of which fills a pointer here. */
_Static_assert(sizeof(long) == sizeof(void *) && sizeof(curl_off_t) == sizeof(void *), "LP64");

CURLcode(curl_easy_setopt)(CURL *curl, CURLoption option, ...)
{
    easy_setopt_fn *function = LATE(easy_setopt_fn, "curl_easy_setopt");
    va_list args;
    va_start(args, option);
    void *value = va_arg(args, void *);
    va_end(args);
    return function ? function(curl, option, value) : CURLE_FAILED_INIT;
}

CURLcode(curl_easy_getinfo)(CURL *curl, CURLINFO info, ...)
{
    easy_getinfo_fn *function = LATE(easy_getinfo_fn, "curl_easy_getinfo");
    va_list args;
    va_start(args, info);
    void *value = va_arg(args, void *);
    va_end(args);
    return function ? function(curl, info, value) : CURLE_FAILED_INIT;
}

const char *curl_easy_strerror(CURLcode code)
{
    strerror_fn *function = LATE(strerror_fn, "curl_easy_strerror");
    return function ? function(code) : "libcurl is not there";
}

struct curl_slist *curl_slist_append(struct curl_slist *list, const char *text)
{
    slist_append_fn *function = LATE(slist_append_fn, "curl_slist_append");
    return function ? function(list, text) : NULL;
}

void curl_slist_free_all(struct curl_slist *list)
{
    slist_free_fn *function = LATE(slist_free_fn, "curl_slist_free_all");
    if (function)
        function(list);
}

CURLM *curl_multi_init(void)
{
    multi_init_fn *function = LATE(multi_init_fn, "curl_multi_init");
    return function ? function() : NULL;
}

CURLMcode curl_multi_cleanup(CURLM *multi)
{
    multi_fn *function = LATE(multi_fn, "curl_multi_cleanup");
    return function ? function(multi) : CURLM_INTERNAL_ERROR;
}

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *curl)
{
    multi_easy_fn *function = LATE(multi_easy_fn, "curl_multi_add_handle");
    return function ? function(multi, curl) : CURLM_INTERNAL_ERROR;
}

CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *curl)
{
    multi_easy_fn *function = LATE(multi_easy_fn, "curl_multi_remove_handle");
    return function ? function(multi, curl) : CURLM_INTERNAL_ERROR;
}

CURLMcode curl_multi_perform(CURLM *multi, int *running)
{
    multi_perform_fn *function = LATE(multi_perform_fn, "curl_multi_perform");
    return function ? function(multi, running) : CURLM_INTERNAL_ERROR;
}

CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd *fds, unsigned count, int timeout_ms, int *ready)
{
    multi_poll_fn *function = LATE(multi_poll_fn, "curl_multi_poll");
    return function ? function(multi, fds, count, timeout_ms, ready) : CURLM_INTERNAL_ERROR;
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
    multi_info_fn *function = LATE(multi_info_fn, "curl_multi_info_read");
    return function ? function(multi, left) : NULL;
}

CURLcode curl_easy_pause(CURL *curl, int what)
{
    easy_pause_fn *function = LATE(easy_pause_fn, "curl_easy_pause");
    return function ? function(curl, what) : CURLE_FAILED_INIT;
}
