#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "api/limits.h"
#include "api/request_private.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/model/ids.h"

#define HEADER_COUNT_MAX 100

typedef struct header_sum {
    size_t count, size, authorizations, hosts;
} header_sum;

static enum MHD_Result add_header(void *arg, enum MHD_ValueKind kind, const char *name, const char *value)
{
    (void)kind;
    header_sum *sum = arg;
    sum->count++;
    sum->size += strlen(name) + (value ? strlen(value) : 0) + 4;
    sum->authorizations += strcasecmp(name, "Authorization") == 0;
    sum->hosts += strcasecmp(name, "Host") == 0;
    return MHD_YES;
}

static int check_header_sizes(api_request *request, rd_err *err)
{
    header_sum sum = { 0 };
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, add_header, &sum);
    if (sum.size > API_HEADERS_SIZE_MAX || sum.count > HEADER_COUNT_MAX)
        return rd_err_set(err, RD_E_HEADERS_TOO_LARGE, "%zu headers of %zu bytes; at most %d and %zu", sum.count,
                          sum.size, HEADER_COUNT_MAX, API_HEADERS_SIZE_MAX);
    if (strlen(request->target) > 4096)
        return rd_err_set(err, RD_E_HEADERS_TOO_LARGE, "the request target is longer than 4096 bytes");
    if (sum.authorizations > 1 || sum.hosts > 1)
        return rd_err_set(err, RD_E_REQUEST_MALFORMED, "a header that stands once came twice");
    return 0;
}

/* The caller's id is echoed when it could be one of ours, so that logs of both sides meet. */
static void take_request_id(api_request *request)
{
    const char *sent = api_request_header(request, "Request-Id");
    rd_id id;
    rd_err ignored = RD_ERR_INIT;
    if (sent && rd_id_parse(RD_PREFIX_REQUEST, sent, strlen(sent), &id, &ignored) == 0) {
        memcpy(request->id, sent, strlen(sent) + 1);
        return;
    }
    id = rd_id_new(rd_clock_wall_us(request->context->clock), rd_random_system());
    rd_id_format(RD_PREFIX_REQUEST, &id, request->id);
}

/* RFC 9110, 8.3.1: parameters after the type do not change it; a charset other than UTF-8 is refused. */
static bool is_json_type(const char *type)
{
    size_t size = strcspn(type, "; \t");
    if (size != strlen("application/json") || strncasecmp(type, "application/json", size) != 0)
        return false;
    const char *charset = strcasestr(type + size, "charset=");
    return !charset || strncasecmp(charset + 8 + (charset[8] == '"'), "utf-8", 5) == 0;
}

static int check_body_headers(api_request *request, rd_err *err)
{
    const api_route *route = request->route;
    uint64_t size;
    bool is_there = api_body_is_coming(request, &size);
    if (route->body_max)
        request->intake.body_max = route->body_max;
    else
        request->intake.body_max = route->flags & (API_BODY_JSON | API_BODY_BYTES) ? API_JSON_BODY_MAX : 0;
    rd_buf_init(&request->intake.body, request->intake.body_max);
    if (size > request->intake.body_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "the body has %llu bytes; at most %zu", (unsigned long long)size,
                          request->intake.body_max);
    if (!(route->flags & API_BODY_JSON))
        return 0;
    if (!is_there && !(route->flags & API_BODY_OPTIONAL))
        return rd_err_set(err, RD_E_TRUNCATED, "this path needs a JSON body");
    const char *type = api_request_header(request, "Content-Type");
    if (is_there && (!type || !is_json_type(type)))
        return rd_err_set(err, RD_E_CONTENT_TYPE, "the body must be application/json");
    if (is_there && api_request_header(request, "Content-Encoding"))
        return rd_err_set(err, RD_E_CONTENT_TYPE, "an encoded body is not understood");
    return 0;
}

/* A cross-site page must not log somebody in or act for them: the Origin is ours (public URL, or the Host asked). */
static bool is_own_origin(const api_request *request, const char *origin)
{
    const char *url = request->context->config->public_url;
    if (url && strcmp(url, origin) == 0)
        return true;
    const char *host = api_request_header(request, "Host");
    const char *authority = strstr(origin, "://");
    return host && authority && (rd_starts_with(origin, "http://") || rd_starts_with(origin, "https://")) &&
           strcasecmp(authority + 3, host) == 0;
}

static int answer_options(api_request *request, const char *allow)
{
    api_reply_header(request, "Allow", allow[0] ? allow : "OPTIONS");
    api_reply_empty(request, 204);
    return 0;
}

static int find_route(api_request *request, const api_server_routes *routes, rd_err *err)
{
    switch (api_router_match(routes->items, routes->count, request->method, request->path, &request->match)) {
    case API_MATCH_FOUND:
        request->route = request->match.route;
        return 0;
    case API_MATCH_METHOD:
        if (strcmp(request->method, "OPTIONS") == 0)
            return answer_options(request, request->match.allow);
        api_reply_header(request, "Allow", request->match.allow);
        return rd_err_set(err, RD_E_METHOD_NOT_ALLOWED, "%s is not a method of this path", request->method);
    case API_MATCH_NONE:
        break;
    }
    return rd_err_set(err, RD_E_NOT_FOUND, "nothing is here");
}

/* Who shows no secret at all is refused before a body is read. */
static int check_early_caller(const api_request *request, rd_err *err)
{
    if (request->route->need == API_NEED_NONE || api_gate_secret(request).size > 0)
        return 0;
    return rd_err_set(err, RD_E_UNAUTHENTICATED, "this path needs a token or a session");
}

static int check_login(api_request *request, rd_err *err)
{
    const char *origin = api_request_header(request, "Origin");
    if (origin && !is_own_origin(request, origin))
        return rd_err_set(err, RD_E_CSRF, "the Origin is another site");
    return api_limits_take_address(request->context->limits, request, err);
}

int api_gate_headers(api_request *request, rd_err *err)
{
    take_request_id(request);
    if (check_header_sizes(request, err) < 0)
        return -1;
    api_server_routes routes = api_server_routes_of(request->server);
    if (find_route(request, &routes, err) < 0)
        return -1;
    if (request->answer.is_set)
        return 0;
    if (check_early_caller(request, err) < 0 || check_body_headers(request, err) < 0)
        return -1;
    if (request->route->flags & API_IF_MATCH && !api_request_header(request, "If-Match"))
        return rd_err_set(err, RD_E_IF_MATCH_REQUIRED, "%s needs If-Match", request->method);
    if (request->route->flags & API_LOGIN && check_login(request, err) < 0)
        return -1;
    return api_body_admit(request, err);
}

rd_bytes api_gate_secret(const api_request *request)
{
    const char *authorization = api_request_header(request, "Authorization");
    if (authorization)
        return api_auth_bearer(authorization);
    return api_auth_cookie(api_request_header(request, "Cookie"));
}

static bool is_change(const api_request *request)
{
    return strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0 &&
           !(request->route->flags & API_SAFE_POST);
}

static int check_csrf(const api_request *request, rd_err *err)
{
    const char *origin = api_request_header(request, "Origin");
    if (!origin || !is_own_origin(request, origin))
        return rd_err_set(err, RD_E_CSRF, "the Origin header is missing or of another site");
    const char *token = api_request_header(request, "Redoubt-CSRF");
    uint8_t digest[RD_SHA256_SIZE];
    rd_sha256(token ? rd_bytes_str(token) : RD_BYTES_NULL, digest);
    if (!rd_equal_ct(digest, request->principal.csrf, sizeof(digest)))
        return rd_err_set(err, RD_E_CSRF, "the Redoubt-CSRF header is missing or wrong");
    return 0;
}

int api_gate_caller(api_request *request, rd_err *err)
{
    request->has_principal = true;
    if (!api_role_may(&request->principal, request->route->need))
        return rd_err_set(err, RD_E_FORBIDDEN, "role %s may not do this", api_role_name(request->principal.role));
    if (request->principal.is_session && is_change(request) && check_csrf(request, err) < 0)
        return -1;
    return api_limits_take_token(request->context->limits, request, err);
}
