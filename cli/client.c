#include "cli/client.h"

#include "cli/signals.h"
#include "cli/sse.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADERS_MAX 100
#define RETRY_US    200000 /* before a stream is opened again; doubled with each failure */

struct cli_client {
    CURL *curl;
    const cli_context *context;
    const char *api;
    char *token;
    char request_id[64];
};

cli_client *cli_client_new(const cli_context *context, rd_err *err)
{
    const char *api = cli_profile_get(context->profile, CLI_SET_API);
    if (!rd_starts_with(api, "http://") && !rd_starts_with(api, "https://")) {
        (void)rd_err_set(err, RD_E_CONFIG, "api must be an http:// or https:// address, not %s", api);
        return NULL;
    }
    CURL *curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!curl) {
        (void)rd_err_set(err, RD_E_INTERNAL, "libcurl could not start; is libcurl4 installed?");
        return NULL;
    }
    cli_client *client = rd_alloc(sizeof *client);
    client->curl = curl;
    client->context = context;
    client->api = api;
    rd_err ignored = RD_ERR_INIT; /* anonymous requests work without one; the others say so when they are sent */
    client->token = cli_profile_token(context->profile, &ignored);
    return client;
}

void cli_client_free(cli_client *client)
{
    if (!client)
        return;
    curl_easy_cleanup(client->curl);
    cli_token_free(&client->token);
    free(client);
}

const char *cli_client_request_id(const cli_client *client)
{
    return client->request_id[0] ? client->request_id : NULL;
}

char *cli_url_escape(const char *text)
{
    rd_buf out;
    rd_buf_init(&out, 0);
    for (; *text; text++) {
        bool is_plain = strchr("-._~", *text) || (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'z') ||
                        (*text >= 'A' && *text <= 'Z');
        if (is_plain)
            (void)rd_buf_append_u8(&out, (uint8_t)*text);
        else
            (void)rd_buf_printf(&out, "%%%02X", (unsigned char)*text);
    }
    char *escaped = rd_strdup(rd_buf_text(&out));
    rd_buf_done(&out);
    return escaped;
}

/* One answer while it comes. */
typedef struct arrival {
    const cli_request *request;
    cli_answer *answer;
    bool shows_waiting;
} arrival;

static void stop_waiting(arrival *coming)
{
    if (coming->shows_waiting)
        cli_waited();
    coming->shows_waiting = false;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    arrival *coming = context;
    const cli_request *request = coming->request;
    stop_waiting(coming);
    const char *type = request->piece_type ? cli_answer_header(coming->answer, "content-type") : NULL;
    bool is_of_type = type && strcmp(type, request->piece_type) == 0;
    bool is_handed = request->on_piece && (is_of_type || !request->piece_type);
    coming->answer->body_size += size * count;
    if (!is_of_type && !rd_buf_append(&coming->answer->body, data, size * count))
        return 0;
    if (is_handed && !request->on_piece(request->context, coming->answer, rd_bytes_of(data, size * count)))
        return 0;
    return size * count;
}

static size_t on_header(char *data, size_t size, size_t count, void *context)
{
    cli_answer *answer = context;
    size_t line_size = size * count;
    const char *colon = memchr(data, ':', line_size);
    if (!colon || json_object_size(answer->headers) >= HEADERS_MAX)
        return line_size;
    RD_CLEANUP(rd_free_p) char *name = rd_strndup(data, (size_t)(colon - data));
    for (char *at = name; *at; at++)
        *at = (char)(*at >= 'A' && *at <= 'Z' ? *at + 32 : *at);
    const char *start = colon + 1;
    const char *end = data + line_size;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' '))
        end--;
    (void)json_object_set_new(answer->headers, name, json_stringn(start, (size_t)(end - start)));
    return line_size;
}

const char *cli_answer_header(const cli_answer *answer, const char *lower_case_name)
{
    return json_string_value(json_object_get(answer->headers, lower_case_name));
}

void cli_answer_done(cli_answer *answer)
{
    rd_buf_done(&answer->body);
    json_decref(answer->headers);
    answer->headers = NULL;
}

/* The HTTP status as the nearest code of ours, for problems whose code this build does not know. */
static rd_code code_of_status(int status)
{
    switch (status) {
    case 401:
    case 403:
        return RD_E_CLI_DENIED;
    case 404:
        return RD_E_CLI_NOT_FOUND;
    case 409:
    case 412:
        return RD_E_CLI_CONFLICT;
    case 429:
    case 503:
        return RD_E_UNAVAILABLE;
    case 504:
        return RD_E_TIMEOUT;
    default:
        return status >= 500 ? RD_E_INTERNAL : RD_E_CLI_REFUSED;
    }
}

/* What every version says of a path that it does not have (api/gate.c). */
#define NO_SUCH_PATH "nothing is here"

static int problem_to_err(const cli_answer *answer, rd_err *err)
{
    json_t *problem = json_loadb((const char *)answer->body.data, answer->body.size, 0, NULL);
    const char *name = json_string_value(json_object_get(problem, "code"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *pointer = json_string_value(json_object_get(problem, "pointer"));
    rd_code code = name ? rd_code_by_name(name) : RD_OK;
    if (code == RD_OK)
        code = code_of_status(answer->status);
    (void)rd_err_set(err, code, "%s%s%s",
                     detail ? detail
                     : name ? name
                            : "the control plane refused",
                     pointer && pointer[0] ? " at " : "", pointer && pointer[0] ? pointer : "");
    if (!problem)
        (void)rd_err_set(err, code, "the control plane answered HTTP %d", answer->status);
    else if (answer->status == 404 && detail && strcmp(detail, NO_SUCH_PATH) == 0)
        (void)rd_err_set(err, code,
                         "the control plane does not know this path: it is older than this command line (%s)",
                         REDOUBT_VERSION);
    json_decref(problem);
    return -1;
}

/* The system's own reason where there is one: "Connection refused" says more than "could not connect". */
static const char *why_unreachable(const cli_client *client, CURLcode status)
{
    long number = 0;
    (void)curl_easy_getinfo(client->curl, CURLINFO_OS_ERRNO, &number);
    return status == CURLE_COULDNT_CONNECT && number ? strerror((int)number) : curl_easy_strerror(status);
}

static int curl_to_err(const cli_client *client, CURLcode status, const cli_answer *answer, rd_err *err)
{
    if (answer->body.has_failed)
        return rd_err_set(err, RD_E_TOO_LARGE, "the answer is larger than %zu bytes", CLI_ANSWER_MAX);
    if (status == CURLE_PARTIAL_FILE || (status == CURLE_RECV_ERROR && json_object_size(answer->headers) > 0))
        return rd_err_set(err, RD_E_TRUNCATED, "the answer was cut before its end, after %llu bytes",
                          (unsigned long long)answer->body_size);
    if (status == CURLE_OPERATION_TIMEDOUT)
        return rd_err_set(err, RD_E_TIMEOUT, "no answer from %s in time", client->api);
    if (status == CURLE_COULDNT_CONNECT || status == CURLE_COULDNT_RESOLVE_HOST)
        return rd_err_set(err, RD_E_CLI_UNREACHABLE, "cannot reach %s: %s", client->api,
                          why_unreachable(client, status));
    return rd_err_set(err, RD_E_IO, "%s: %s", client->api, curl_easy_strerror(status));
}

static struct curl_slist *build_headers(const cli_client *client, const cli_request *request)
{
    struct curl_slist *lines = curl_slist_append(NULL, "Expect:");
    if (!request->is_anonymous && client->token) {
        char *line = rd_asprintf("Authorization: Bearer %s", client->token);
        lines = curl_slist_append(lines, line);
        cli_token_free(&line);
    }
    if (request->content_type) {
        RD_CLEANUP(rd_free_p) char *line = rd_asprintf("Content-Type: %s", request->content_type);
        lines = curl_slist_append(lines, line);
    }
    for (const char *const *extra = request->headers; extra && *extra; extra++)
        lines = curl_slist_append(lines, *extra);
    return lines;
}

static char *full_url(const cli_client *client, const char *path)
{
    if (path[0] != '/')
        return rd_strdup(path);
    size_t size = strlen(client->api);
    while (size && client->api[size - 1] == '/')
        size--;
    return rd_asprintf("%.*s%s", (int)size, client->api, path);
}

static void set_common(CURL *curl, const char *url, const char *method, struct curl_slist *lines)
{
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, lines);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_3);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "redoubt/" REDOUBT_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
}

static void set_body(CURL *curl, const cli_request *request)
{
    if (strcmp(request->method, "HEAD") == 0)
        (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (!request->content_type)
        return;
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body.size ? (const char *)request->body.data : "");
}

int cli_client_send(cli_client *client, const cli_request *request, cli_answer *ret, rd_err *err)
{
    *ret = (cli_answer){ .headers = json_object() };
    rd_buf_init(&ret->body, CLI_ANSWER_MAX);
    client->request_id[0] = '\0';
    if (!request->is_anonymous && !client->token) {
        char *token = cli_profile_token(client->context->profile, err);
        cli_token_free(&token);
        return -1;
    }
    RD_CLEANUP(rd_free_p) char *url = full_url(client, request->path);
    struct curl_slist *lines = build_headers(client, request);
    set_common(client->curl, url, request->method, lines);
    set_body(client->curl, request);
    (void)curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS,
                           (long)((request->timeout_us ? request->timeout_us : 30000000) / 1000));
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_body);
    const cli_out *out = &client->context->out;
    arrival coming = { .request = request,
                       .answer = ret,
                       .shows_waiting = out->is_live && !out->is_quiet && out->form == CLI_TABLE };
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &coming);
    (void)curl_easy_setopt(client->curl, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(client->curl, CURLOPT_HEADERDATA, ret);
    int64_t start_us = rd_clock_boot_us(client->context->clock);
    if (coming.shows_waiting)
        cli_waiting(client->api);
    CURLcode status = curl_easy_perform(client->curl);
    stop_waiting(&coming);
    ret->elapsed_us = rd_clock_boot_us(client->context->clock) - start_us;
    curl_slist_free_all(lines);
    if (status != CURLE_OK)
        return curl_to_err(client, status, ret, err);
    long http_status = 0;
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http_status);
    ret->status = (int)http_status;
    const char *request_id = cli_answer_header(ret, "request-id");
    (void)snprintf(client->request_id, sizeof client->request_id, "%s", request_id ? request_id : "");
    if (out->is_verbose)
        cli_note(out, "%s %s: %d, %.1f ms %s", request->method, request->path, ret->status,
                 (double)ret->elapsed_us / 1000, client->request_id);
    if (ret->status >= 400 && !request->accept_any_status)
        return problem_to_err(ret, err);
    return 0;
}

int cli_client_fetch(cli_client *client, const char *path, const char *const *headers, rd_buf *ret, rd_err *err)
{
    cli_answer answer;
    const cli_request request = { .method = "GET", .path = path, .headers = headers };
    int status = cli_client_send(client, &request, &answer, err);
    if (status == 0 && !rd_buf_append_bytes(ret, rd_buf_bytes(&answer.body)))
        status = rd_err_set(err, RD_E_TOO_LARGE, "%s: the answer is too large", path);
    cli_answer_done(&answer);
    return status;
}

int cli_client_json(cli_client *client, const char *method, const char *path, const json_t *body, json_t **ret,
                    rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    cli_answer answer;
    const cli_request request = {
        .method = method,
        .path = path,
        .body = text ? rd_bytes_str(text) : RD_BYTES_NULL,
        .content_type = body ? "application/json" : NULL,
    };
    int status = cli_client_send(client, &request, &answer, err);
    if (status == 0 && ret) {
        json_error_t where;
        *ret = json_loadb((const char *)answer.body.data, answer.body.size, JSON_REJECT_DUPLICATES, &where);
        if (!*ret)
            status = rd_err_set(err, RD_E_JSON_SYNTAX, "%s %s: the answer is not JSON: %s", method, path, where.text);
    }
    cli_answer_done(&answer);
    return status;
}

static int send_delete(cli_client *client, const char *path, const char *etag, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *match = rd_asprintf("If-Match: %s", etag);
    const char *const headers[] = { match, NULL };
    cli_answer answer;
    int status =
        cli_client_send(client, &(cli_request){ .method = "DELETE", .path = path, .headers = headers }, &answer, err);
    cli_answer_done(&answer);
    return status;
}

int cli_client_delete(cli_client *client, const char *path, rd_err *err)
{
    cli_answer answer;
    int status = cli_client_send(client, &(cli_request){ .method = "GET", .path = path }, &answer, err);
    const char *etag = status == 0 ? cli_answer_header(&answer, "etag") : NULL;
    RD_CLEANUP(rd_free_p) char *kept = rd_strdup(etag ? etag : "*");
    cli_answer_done(&answer);
    return status < 0 ? -1 : send_delete(client, path, kept, err);
}

int cli_client_delete_any(cli_client *client, const char *path, rd_err *err)
{
    return send_delete(client, path, "*", err);
}

int cli_client_list(cli_client *client, const char *path, size_t count_max, json_t **ret_items, rd_err *err)
{
    json_t *items = json_array();
    RD_CLEANUP(rd_free_p) char *next = rd_asprintf("%s%climit=200", path, strchr(path, '?') ? '&' : '?');
    while (next && json_array_size(items) < count_max) {
        json_t *page = NULL;
        if (cli_client_json(client, "GET", next, NULL, &page, err) < 0) {
            json_decref(items);
            return -1;
        }
        (void)json_array_extend(items, json_object_get(page, "items"));
        const char *cursor = json_string_value(json_object_get(page, "next"));
        free(next);
        next = NULL;
        if (cursor) {
            RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(cursor);
            next = rd_asprintf("%s%climit=200&cursor=%s", path, strchr(path, '?') ? '&' : '?', escaped);
        }
        json_decref(page);
    }
    *ret_items = items;
    return 0;
}

int cli_client_find_app(cli_client *client, const char *name_or_id, json_t **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(name_or_id);
    if (rd_starts_with(name_or_id, "app_")) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s", escaped);
        if (cli_client_json(client, "GET", path, NULL, ret, err) < 0)
            return -1;
        const char *id = cli_text(*ret, "id");
        return id && strcmp(id, name_or_id) == 0
                   ? 0
                   : rd_err_set(err, RD_E_ID_FORMAT, "the control plane answered with another app");
    }
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps?name=%s", escaped);
    json_t *page = NULL;
    if (cli_client_json(client, "GET", path, NULL, &page, err) < 0)
        return -1;
    json_t *app = json_array_get(json_object_get(page, "items"), 0);
    *ret = json_incref(app);
    json_decref(page);
    return app ? 0 : rd_err_set(err, RD_E_CLI_NOT_FOUND, "no app named %s; see: redoubt apps list", name_or_id);
}

/* One subscription over as many connections as it takes. */
typedef struct event_stream {
    cli_sse sse;
    const cli_event_handlers *handlers;
    bool is_open;
    bool has_ended;
    rd_err *err;
    bool has_failed;
} event_stream;

/* The first byte after a 200 says that the subscription stands: the plane opens with a comment. */
static bool open_stream(event_stream *stream)
{
    if (stream->is_open)
        return true;
    stream->is_open = true;
    int status = stream->handlers->on_open ? stream->handlers->on_open(stream->handlers->context, stream->err) : 0;
    stream->has_failed = status < 0;
    stream->has_ended = status > 0;
    return status == 0;
}

static size_t on_event_bytes(char *data, size_t size, size_t count, void *context)
{
    event_stream *stream = context;
    if (!open_stream(stream))
        return 0;
    int step = cli_sse_feed(&stream->sse, rd_bytes_of(data, size * count), stream->handlers->on_event,
                            stream->handlers->context, stream->err);
    stream->has_failed = step < 0;
    stream->has_ended = step == 0;
    return step > 0 ? size * count : 0;
}

static CURLcode run_stream(cli_client *client, const char *path, event_stream *stream, int64_t timeout_us)
{
    RD_CLEANUP(rd_free_p) char *url = full_url(client, path);
    RD_CLEANUP(rd_free_p) char *resume = rd_asprintf("Last-Event-ID: %s", stream->sse.last_id);
    const char *const extra[] = { "Accept: text/event-stream", stream->sse.last_id[0] ? resume : NULL, NULL };
    struct curl_slist *lines = build_headers(client, &(cli_request){ .headers = extra });
    set_common(client->curl, url, "GET", lines);
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_event_bytes);
    (void)curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, stream);
    (void)curl_easy_setopt(client->curl, CURLOPT_FAILONERROR, 1L);
    (void)curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(client->curl, CURLOPT_LOW_SPEED_TIME, 30L); /* the plane comments every 10 s */
    if (timeout_us)
        (void)curl_easy_setopt(client->curl, CURLOPT_TIMEOUT_MS, (long)RD_MAX(timeout_us / 1000, 1));
    cli_sse_restart(&stream->sse);
    CURLcode status = curl_easy_perform(client->curl);
    curl_slist_free_all(lines);
    return status;
}

static int stream_result(const cli_client *client, CURLcode status, int failures, rd_err *err)
{
    long http_status = 0;
    (void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &http_status);
    if (http_status >= 400 && http_status != 503)
        return rd_err_set(err, code_of_status((int)http_status), "the event stream answered HTTP %ld", http_status);
    if (failures > 5)
        return rd_err_set(err, RD_E_CLI_UNREACHABLE, "%s: %s", client->api, curl_easy_strerror(status));
    return 0;
}

/* Before it is tried again: longer each time, and not beyond the deadline. */
static void pause_before_retry(int failures, int64_t left_us)
{
    int64_t pause_us = (int64_t)RETRY_US << RD_MIN(failures, 4);
    if (failures > 0)
        (void)cli_pause(left_us > 0 ? RD_MIN(pause_us, left_us) : pause_us);
}

int cli_client_events(cli_client *client, const char *path, const cli_event_handlers *handlers, int64_t deadline_us,
                      rd_err *err)
{
    event_stream stream = { .handlers = handlers, .err = err };
    cli_sse_init(&stream.sse);
    int result = 0;
    for (int failures = 0; !stream.has_ended && result == 0;) {
        int64_t left_us = deadline_us ? deadline_us - rd_clock_boot_us(client->context->clock) : 0;
        if (deadline_us && left_us <= 0) {
            result = rd_err_set(err, RD_E_TIMEOUT, "not there yet when the time was up");
            break;
        }
        CURLcode status = run_stream(client, path, &stream, left_us);
        failures = status == CURLE_OK || status == CURLE_OPERATION_TIMEDOUT ? 0 : failures + 1;
        if (stream.has_failed)
            result = -1;
        else if (!stream.has_ended)
            result = stream_result(client, status, failures, err);
        if (result == 0 && !stream.has_ended)
            pause_before_retry(failures, left_us);
    }
    cli_sse_done(&stream.sse);
    return result;
}
