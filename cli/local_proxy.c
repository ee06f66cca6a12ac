#include "cli/local_proxy.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WAIT_MS      1000
#define CONNECT_MS   10000L
#define PENDING_MAX  ((size_t)1 << 20)
#define ANSWER_LINES 16

/* What the page may send, and what it is told; everything else is the browser's affair with this server. */
static const char *const request_headers[] = { "Accept",       "Content-Type",  "Idempotency-Key",
                                               "If-Match",     "If-None-Match", "Last-Event-ID",
                                               "Redoubt-Salt", "Redoubt-Nonce", NULL };
static const char *const response_headers[] = {
    "content-type",    "etag",         "location",      "request-id", "retry-after",
    "redoubt-receipt", "redoubt-salt", "redoubt-error", "link",       NULL
};

typedef struct passing {
    CURLM *multi;
    CURL *curl;
    struct curl_slist *lines;
    rd_buf pending; /* of the body, not yet taken */
    char *names[ANSWER_LINES], *values[ANSWER_LINES];
    size_t line_count;
    bool has_head, is_paused;
    int running;
} passing;

static void passing_free(void *arg)
{
    passing *p = arg;
    if (p->multi && p->curl)
        (void)curl_multi_remove_handle(p->multi, p->curl);
    if (p->curl)
        curl_easy_cleanup(p->curl);
    if (p->multi)
        (void)curl_multi_cleanup(p->multi);
    curl_slist_free_all(p->lines);
    for (size_t i = 0; i < p->line_count; i++) {
        free(p->names[i]);
        free(p->values[i]);
    }
    rd_buf_done(&p->pending);
    free(p);
}

static bool is_listed(const char *const *list, const char *name, size_t size)
{
    for (; *list; list++)
        if (strlen(*list) == size && strncasecmp(*list, name, size) == 0)
            return true;
    return false;
}

/* Lines of the head, one a call; the empty one ends it. Those of a 1xx before it are dropped. */
static size_t on_header(char *line, size_t one, size_t size, void *arg)
{
    passing *p = arg;
    (void)one;
    size_t end = size;
    while (end > 0 && (line[end - 1] == '\r' || line[end - 1] == '\n'))
        end--;
    long status = 0;
    (void)curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
    if (end == 0) {
        p->has_head = status >= 200;
        return size;
    }
    const char *colon = memchr(line, ':', end);
    if (!colon || p->line_count == ANSWER_LINES || !is_listed(response_headers, line, (size_t)(colon - line)))
        return size;
    const char *value = colon + 1;
    while (value < line + end && *value == ' ')
        value++;
    p->names[p->line_count] = rd_strndup(line, (size_t)(colon - line));
    p->values[p->line_count++] = rd_strndup(value, (size_t)(line + end - value));
    return size;
}

static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
    passing *p = arg;
    (void)one;
    if (p->pending.size > 0 && p->pending.size + size > PENDING_MAX) {
        p->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    return rd_buf_append(&p->pending, data, size) ? size : 0;
}

static bool turn(passing *p)
{
    return curl_multi_perform(p->multi, &p->running) == CURLM_OK;
}

/* After the transfer has ended. */
static bool is_whole(passing *p)
{
    int left = 0;
    const CURLMsg *message = curl_multi_info_read(p->multi, &left);
    return message && message->msg == CURLMSG_DONE && message->data.result == CURLE_OK;
}

static ssize_t take(void *arg, uint8_t *out, size_t max)
{
    passing *p = arg;
    if (p->pending.size == 0 && p->is_paused) {
        p->is_paused = false;
        (void)curl_easy_pause(p->curl, CURLPAUSE_CONT);
    }
    if (p->pending.size == 0 && p->running > 0) {
        (void)curl_multi_poll(p->multi, NULL, 0, WAIT_MS, NULL);
        if (!turn(p))
            return -2;
    }
    if (p->pending.size == 0)
        return p->running > 0 ? 0 : is_whole(p) ? -1 : -2;
    size_t size = RD_MIN(max, p->pending.size);
    memcpy(out, p->pending.data, size);
    rd_buf_consume(&p->pending, size);
    return (ssize_t)size;
}

static void add_line(passing *p, const char *name, const char *value)
{
    RD_CLEANUP(rd_free_p) char *line = rd_asprintf("%s: %s", name, value);
    struct curl_slist *more = curl_slist_append(p->lines, line);
    if (more)
        p->lines = more;
}

static bool set_up(passing *p, const char *api, const char *token, const cli_exchange_http *x)
{
    p->multi = curl_multi_init();
    p->curl = curl_easy_init();
    if (!p->multi || !p->curl)
        return false;
    for (const char *const *name = request_headers; *name; name++) {
        const char *value = cli_http_header(x, *name);
        if (value)
            add_line(p, *name, value);
    }
    RD_CLEANUP(rd_free_p) char *bearer = rd_asprintf("Bearer %s", token ? token : "");
    if (token)
        add_line(p, "Authorization", bearer);
    rd_wipe(bearer, strlen(bearer));
    add_line(p, "Expect", "");
    size_t api_size = strlen(api);
    while (api_size && api[api_size - 1] == '/')
        api_size--;
    RD_CLEANUP(rd_free_p) char *url = rd_asprintf("%.*s%s", (int)api_size, api, cli_http_target(x));
    rd_bytes body = cli_http_body(x);
    bool is_head = strcmp(cli_http_method(x), "HEAD") == 0, is_get = strcmp(cli_http_method(x), "GET") == 0;
    CURL *c = p->curl;
    bool is_set = curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_HTTPHEADER, p->lines) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_HEADERDATA, p) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
                  curl_easy_setopt(c, CURLOPT_WRITEDATA, p) == CURLE_OK;
    if (is_set && is_head)
        is_set = curl_easy_setopt(c, CURLOPT_NOBODY, 1L) == CURLE_OK;
    else if (is_set && !is_get)
        is_set = curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size) == CURLE_OK &&
                 curl_easy_setopt(c, CURLOPT_COPYPOSTFIELDS, body.size ? (const char *)body.data : "") == CURLE_OK &&
                 curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, cli_http_method(x)) == CURLE_OK;
    return is_set && curl_multi_add_handle(p->multi, c) == CURLM_OK;
}

static void refuse(cli_exchange_http *x, const char *api)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_UNAVAILABLE, "the control plane at %s did not answer", api);
    cli_http_problem(x, 502, &err);
}

void cli_local_proxy(const char *api, const char *token, cli_exchange_http *x)
{
    passing *p = rd_alloc(sizeof *p);
    p->running = 1;
    bool is_good = set_up(p, api, token, x) && turn(p);
    while (is_good && !p->has_head && p->running > 0) {
        (void)curl_multi_poll(p->multi, NULL, 0, WAIT_MS, NULL);
        is_good = turn(p);
    }
    if (!p->has_head) {
        passing_free(p);
        refuse(x, api);
        return;
    }
    long status = 502;
    (void)curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
    for (size_t i = 0; i < p->line_count; i++)
        cli_http_add(x, p->names[i], p->values[i]);
    /* These have no body (RFC 9110, 6.4.1), and the library ends a stream of none with a chunk all the same. */
    if (status == 204 || status == 304) {
        passing_free(p);
        cli_http_reply(x, (int)status, NULL, RD_BYTES_NULL);
        return;
    }
    if (strcmp(cli_http_method(x), "HEAD") == 0) {
        curl_off_t length = -1;
        (void)curl_easy_getinfo(p->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
        passing_free(p);
        cli_http_head(x, (int)status, (int64_t)length);
        return;
    }
    cli_http_stream(x, (int)status, NULL, take, passing_free, p);
}
