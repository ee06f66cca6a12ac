#include "api/reply.h"

#include <string.h>
#include <unistd.h>

#include "api/request_private.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/base/text.h"
#include "common/model/json.h"
#include "common/model/problem.h"

#define BODY_MAX ((size_t)32 << 20)

static bool is_clean(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if ((*c < 0x20 && *c != '\t') || *c == 0x7f)
            return false;
    return true;
}

void api_reply_header(api_request *request, const char *name, const char *value)
{
    api_answer *answer = &request->answer;
    size_t size = strlen(name) + strlen(value) + 4;
    if (answer->header_count == API_REPLY_HEADERS_MAX || answer->header_size + size > API_REPLY_HEADERS_SIZE ||
        !is_clean(name) || !is_clean(value)) {
        rd_log(RD_WARN, "reply_header_dropped", RD_STR("request", request->id), RD_STR("name", name));
        return;
    }
    answer->headers[answer->header_count++] = (api_header){ rd_strdup(name), rd_strdup(value) };
    answer->header_size += size;
}

void api_answer_done(api_answer *answer)
{
    for (size_t i = 0; i < answer->header_count; i++) {
        free(answer->headers[i].name);
        free(answer->headers[i].value);
    }
    answer->header_count = 0;
    api_answer_drop_body(answer);
}

void api_answer_drop_body(api_answer *answer)
{
    answer->is_set = false;
    free(answer->content_type_own);
    answer->content_type_own = NULL;
    rd_buf_done(&answer->body);
    rd_close_p(&answer->fd);
}

/* On a worker the request is not suspended by name yet or woken by the trip's end; on the loop this wakes it. */
static void settle(api_request *request, int status, const char *content_type)
{
    api_answer *answer = &request->answer;
    answer->is_set = true;
    answer->status = status;
    answer->content_type_own = content_type ? rd_strdup(content_type) : NULL;
    answer->content_type = answer->content_type_own;
    if (request->route && request->route->kind == API_ROUTE_LOOP)
        api_server_resume(request);
}

void api_reply_buf(api_request *request, int status, const char *content_type, rd_buf *body)
{
    request->answer.body = *body;
    *body = (rd_buf){ 0 };
    settle(request, status, content_type);
}

void api_reply_bytes(api_request *request, int status, const char *content_type, rd_bytes body)
{
    rd_buf copy;
    rd_buf_init(&copy, BODY_MAX);
    if (!rd_buf_append_bytes(&copy, body))
        status = 500;
    api_reply_buf(request, status, content_type, &copy);
}

void api_reply_empty(api_request *request, int status)
{
    settle(request, status, NULL);
}

void api_reply_json(api_request *request, int status, json_t *body)
{
    rd_buf text;
    rd_buf_init(&text, BODY_MAX);
    bool fits = rd_json_dump(body, &text);
    json_decref(body);
    if (fits) {
        api_reply_buf(request, status, "application/json", &text);
        return;
    }
    rd_buf_done(&text);
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, RD_E_INTERNAL, "the answer is too large");
    api_reply_problem(request, &err);
}

/* RFC 9110, 13.1.2: a list of entity tags or *; weak comparison. */
static bool etag_matches(const char *list, const char *etag)
{
    if (strcmp(list, "*") == 0)
        return true;
    size_t size = strlen(etag);
    for (const char *at = list; (at = strstr(at, etag)); at += size)
        if (at[size] == '\0' || at[size] == ',' || at[size] == ' ')
            return true;
    return false;
}

static void format_etag(rd_bytes text, int64_t version, char ret[API_ETAG_SIZE])
{
    uint8_t digest[RD_SHA256_SIZE];
    char hex[25];
    rd_sha256(text, digest);
    rd_hex_encode(rd_bytes_of(digest, 12), hex);
    snprintf(ret, API_ETAG_SIZE, "%lld.%s", (long long)version, hex);
}

int api_resource_etag(const json_t *body, int64_t version, char ret[API_ETAG_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = BODY_MAX };
    if (!rd_json_dump(body, &text))
        return rd_err_set(err, RD_E_INTERNAL, "the answer is too large");
    format_etag(rd_buf_bytes(&text), version, ret);
    return 0;
}

void api_reply_resource(api_request *request, int status, json_t *body, int64_t version)
{
    rd_buf text;
    rd_buf_init(&text, BODY_MAX);
    char etag[API_ETAG_SIZE], quoted[API_ETAG_SIZE + 3];
    if (!rd_json_dump(body, &text)) {
        rd_buf_done(&text);
        api_reply_json(request, status, body);
        return;
    }
    json_decref(body);
    format_etag(rd_buf_bytes(&text), version, etag);
    snprintf(quoted, sizeof(quoted), "\"%s\"", etag);
    api_reply_header(request, "ETag", quoted);
    const char *known = api_request_header(request, "If-None-Match");
    if (status == 200 && known && etag_matches(known, quoted)) {
        rd_buf_done(&text);
        api_reply_empty(request, 304);
        return;
    }
    api_reply_buf(request, status, "application/json", &text);
}

void api_reply_file(api_request *request, int status, const char *content_type, int fd, uint64_t size)
{
    request->answer.fd = fd;
    request->answer.fd_size = size;
    settle(request, status, content_type);
}

static bool has_reply_header(const api_request *request, const char *name)
{
    for (size_t i = 0; i < request->answer.header_count; i++)
        if (strcasecmp(request->answer.headers[i].name, name) == 0)
            return true;
    return false;
}

void api_reply_code(api_request *request, rd_code code, const char *text)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "%s", text);
    api_reply_problem(request, &err);
}

void api_reply_problem(api_request *request, const rd_err *err)
{
    const rd_code_info *info = rd_code_describe(err->code);
    if (info->http_status == 500)
        rd_log(RD_ERROR, "request_failed", RD_STR("request", request->id), RD_ERR(err));
    if (info->is_retryable && info->http_status != 500 && !has_reply_header(request, "Retry-After"))
        api_reply_header(request, "Retry-After", "1");
    if (info->http_status == 401)
        api_reply_header(request, "WWW-Authenticate", "Bearer realm=\"redoubt\"");
    rd_buf text;
    rd_buf_init(&text, (size_t)16 << 10);
    (void)rd_problem_write(err, request->id, &text);
    api_reply_buf(request, rd_problem_status(err), RD_PROBLEM_TYPE, &text);
}

/* --- handing over to libmicrohttpd --- */

static void each_header(const api_request *request, void (*add)(void *arg, const char *name, const char *value),
                        void *arg)
{
    const api_answer *answer = &request->answer;
    for (size_t i = 0; i < answer->header_count; i++)
        add(arg, answer->headers[i].name, answer->headers[i].value);
    if (answer->content_type)
        add(arg, "Content-Type", answer->content_type);
    add(arg, "Request-Id", request->id);
    if (answer->is_closing)
        add(arg, "Connection", "close");
    add(arg, "X-Content-Type-Options", "nosniff");
    if (!has_reply_header(request, "Cache-Control"))
        add(arg, "Cache-Control", "no-store");
}

static void add_to_response(void *arg, const char *name, const char *value)
{
    (void)MHD_add_response_header(arg, name, value);
}

static void add_line(void *arg, const char *name, const char *value)
{
    (void)rd_buf_printf(arg, "%s: %s\r\n", name, value);
}

void api_answer_write(api_request *request, rd_buf *out)
{
    const api_answer *answer = &request->answer;
    (void)rd_buf_printf(out, "HTTP/1.1 %d %s\r\n", answer->status, MHD_get_reason_phrase_for((unsigned)answer->status));
    each_header(request, add_line, out);
    (void)rd_buf_printf(out, "Content-Length: %zu\r\n\r\n", answer->body.size);
    (void)rd_buf_append_bytes(out, rd_buf_bytes(&answer->body));
}

static struct MHD_Response *make_response(api_request *request)
{
    api_answer *answer = &request->answer;
    if (request->stream)
        return api_stream_response(request->stream);
    if (answer->fd >= 0) {
        int fd = answer->fd;
        answer->fd = -1;
        struct MHD_Response *response = MHD_create_response_from_fd64(answer->fd_size, fd);
        if (!response)
            close(fd);
        return response;
    }
    rd_buf body = answer->body;
    answer->body = (rd_buf){ 0 };
    return MHD_create_response_from_buffer_with_free_callback(body.size, body.data ? (void *)body.data : (void *)"",
                                                              body.data ? free : NULL);
}

/* libmicrohttpd ends chunks even where none are sent, which the connection's next answer would begin with: to HEAD,
 * what has no length closes. */
static bool has_false_end(const api_request *request)
{
    return request->stream && api_stream_is_chunked(request->stream) && strcmp(request->method, "HEAD") == 0;
}

enum MHD_Result api_answer_queue(api_request *request)
{
    if (request->stage == API_STAGE_SENT)
        return MHD_YES;
    request->stage = API_STAGE_SENT;
    if (!request->stream) /* what is passed on still may be on its way */
        api_request_drop_body(request);
    struct MHD_Response *response = make_response(request);
    if (!response)
        return MHD_NO;
    if (has_false_end(request))
        (void)MHD_set_response_options(response, MHD_RF_HTTP_VERSION_1_0_ONLY, MHD_RO_END);
    each_header(request, add_to_response, response);
    enum MHD_Result result = MHD_queue_response(request->connection, (unsigned)request->answer.status, response);
    MHD_destroy_response(response);
    return result;
}
