#include "api/apps_listener.h"

#include "api/auth.h"
#include "api/reply.h"
#include "common/base/mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_MAX       ((size_t)17 << 20)  /* what a release may allow, sealed */
#define WHOLE_MAX      ((size_t)256 << 10) /* answers up to this are sent in one piece */
#define STREAM_BUFFER  ((size_t)256 << 10)
#define RECEIPT        "Redoubt-Receipt"
#define SESSION_COOKIE "__Host-redoubt"

struct api_apps {
    api_context *context;
    api_relay *relay;
    api_server *server;
    api_route fallback;
};

/* One call of a caller: from the token to the end of the answer. */
typedef struct exchange {
    api_apps *apps;
    api_request *request; /* NULL once it was answered or streamed */
    rd_app_id app;
    api_call *call;
    api_stream *stream;
    rd_buf body; /* of a whole answer */
    int status;
    char content_type[256];
    int64_t head_size; /* what the answer to HEAD says; -1: nothing */
    bool is_head_request;
    bool has_head, is_streamed, is_cut;
    bool is_unspeakable; /* a streamed answer, and HTTP/1.0, which cannot tell where it ends from where it was cut */
    bool is_checking;    /* the token is being looked up */
} exchange;

/* ---- names ---- */

bool api_apps_parse_host(const char *host, const char *domain, rd_app_id *ret)
{
    size_t label = strcspn(host, ".");
    if (label != 56 || strncasecmp(host, "app-", 4) != 0 || host[label] != '.')
        return false;
    size_t domain_size = strlen(domain);
    const char *rest = host + label + 1;
    if (strncasecmp(rest, domain, domain_size) != 0 || (rest[domain_size] != 0 && rest[domain_size] != ':'))
        return false;
    char text[RD_APP_ID_TEXT_SIZE];
    for (size_t i = 0; i < label; i++)
        text[i] = (char)tolower((unsigned char)host[i]);
    text[3] = '_';
    text[label] = 0;
    rd_err err = RD_ERR_INIT;
    return rd_app_id_parse(text, label, ret, &err) == 0;
}

bool api_apps_passes_header(const char *name, const char *connection)
{
    static const char *const kept_back[] = { "host",      "authorization",      "expect",
                                             "forwarded", "redoubt-request-id", "redoubt-csrf" };
    for (size_t i = 0; i < RD_ARRAY_LEN(kept_back); i++)
        if (strcasecmp(name, kept_back[i]) == 0)
            return false;
    return strncasecmp(name, "x-forwarded-", 12) != 0 && !api_http_is_hop_by_hop(name, connection);
}

/* ---- answering ---- */

static void exchange_free(exchange *x)
{
    rd_buf_done(&x->body);
    free(x);
}

static void answer_problem(exchange *x, const rd_err *err)
{
    api_request *request = RD_TAKE(x->request);
    api_reply_header(request, "X-Content-Type-Options", "nosniff");
    if (err->code == RD_E_NO_INSTANCE || err->code == RD_E_APP_PAUSED || err->code == RD_E_INSTANCE_ELSEWHERE ||
        err->code == RD_E_UNAVAILABLE)
        api_reply_header(request, "Retry-After", "1");
    if (rd_code_describe(err->code)->http_status == 401)
        api_reply_header(request, "WWW-Authenticate", "Bearer realm=\"redoubt\"");
    api_reply_problem(request, err);
}

static bool passes_response_header(const api_http_response *response, const char *name)
{
    static const char *const ours[] = {
        "content-type", "x-content-type-options", "redoubt-instance", "request-id", "date", "alt-svc"
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(ours); i++)
        if (strcmp(name, ours[i]) == 0)
            return false;
    return !api_http_is_hop_by_hop(name, api_http_response_header(response, "connection"));
}

/* A cookie for another domain than the app's own name would reach its neighbours (RFC 6265, 5.3). */
static bool is_foreign_cookie(const char *name, const char *value)
{
    return strcmp(name, "set-cookie") == 0 && (strcasestr(value, "domain") || strcasestr(value, SESSION_COOKIE));
}

static void add_headers(exchange *x, const api_http_response *response, const api_target *target)
{
    for (size_t i = 0; i < response->header_count; i++) {
        const api_http_header *header = &response->headers[i];
        if (passes_response_header(response, header->name) && !is_foreign_cookie(header->name, header->value))
            api_reply_header(x->request, header->name, header->value);
    }
    api_reply_header(x->request, "X-Content-Type-Options", "nosniff");
    api_reply_header(x->request, "Redoubt-Instance", target->authority);
}

static void on_stream_closed(void *arg)
{
    exchange *x = arg;
    x->stream = NULL;
    if (x->call)
        api_call_cancel(RD_TAKE(x->call));
    exchange_free(x);
}

static void on_stream_drained(void *arg)
{
    exchange *x = arg;
    if (x->call)
        api_call_resume(x->call);
}

static void on_head(void *context, const api_http_response *response, const api_target *target)
{
    exchange *x = context;
    x->has_head = true;
    x->status = response->status;
    const char *type = api_http_response_header(response, "content-type");
    snprintf(x->content_type, sizeof x->content_type, "%s", type ? type : "");
    x->head_size = response->has_length ? (int64_t)response->content_length : -1;
    rd_buf_init(&x->body, WHOLE_MAX);
    x->is_unspeakable = response->is_chunked && !api_request_takes_chunks(x->request);
    if (x->is_unspeakable)
        return;
    add_headers(x, response, target);
    x->is_streamed = response->is_chunked || (response->content_length > WHOLE_MAX && response->body_left > 0);
    if (!x->is_streamed)
        return;
    if (response->is_chunked && api_http_response_header(response, "trailer"))
        api_reply_header(x->request, "Trailer", RECEIPT);
    api_stream_options options = { .status = x->status,
                                   .content_type = type ? x->content_type : NULL,
                                   .content_length = response->is_chunked ? -1 : (int64_t)response->content_length,
                                   .buffer_max = STREAM_BUFFER,
                                   .on_close = on_stream_closed,
                                   .on_drain = on_stream_drained,
                                   .arg = x };
    api_request *request = RD_TAKE(x->request);
    if (api_call_has_sent(x->call))
        api_request_drop_body(request);
    x->stream = api_reply_stream(request, &options);
}

static size_t on_body(void *context, rd_bytes piece)
{
    exchange *x = context;
    if (x->is_unspeakable)
        return piece.size;
    if (!x->is_streamed) {
        (void)rd_buf_append_bytes(&x->body, piece);
        return piece.size;
    }
    return x->stream ? api_stream_write_some(x->stream, piece) : piece.size;
}

static void on_receipt(void *context, const char *receipt)
{
    exchange *x = context;
    if (x->stream)
        api_stream_trailer(x->stream, RECEIPT, receipt);
}

static void on_done(void *context, const rd_err *err)
{
    exchange *x = context;
    rd_err refusal = RD_ERR_INIT;
    x->call = NULL;
    if (x->is_unspeakable && !err) {
        (void)rd_err_set(&refusal, RD_E_HTTP_VERSION, "this answer is streamed, which HTTP/1.0 cannot carry");
        err = &refusal;
    }
    if (x->is_streamed) {
        if (!x->stream)
            return;
        if (err)
            api_stream_abort(x->stream);
        else
            api_stream_end(x->stream);
        return; /* freed by on_close */
    }
    const char *type = *x->content_type ? x->content_type : NULL;
    if (x->request && err)
        answer_problem(x, err);
    else if (x->request && x->is_head_request && x->status != 204 && x->status != 304)
        api_reply_head(RD_TAKE(x->request), x->status, type, x->head_size);
    else if (x->request)
        api_reply_buf(RD_TAKE(x->request), x->status, type, &x->body);
    exchange_free(x);
}

/* ---- calling ---- */

typedef struct header_walk {
    rd_buf *lines;
    const char *connection;
    bool is_good;
} header_walk;

static void add_request_header(void *arg, const char *name, const char *value)
{
    header_walk *walk = arg;
    if (api_apps_passes_header(name, walk->connection))
        walk->is_good = walk->is_good && api_relay_add_header(walk->lines, name, value);
}

static void start_call(exchange *x, bool is_anonymous)
{
    static const api_call_events events = { on_head, on_body, on_receipt, on_done };
    RD_CLEANUP(rd_buf_done) rd_buf lines = { 0 };
    header_walk walk = { &lines, api_request_header(x->request, "connection"), true };
    api_request_headers(x->request, add_request_header, &walk);
    walk.is_good = walk.is_good && api_relay_add_header(&lines, "redoubt-request-id", api_request_id(x->request));
    rd_err err = RD_ERR_INIT;
    rd_id instance;
    const char *pinned = api_request_header(x->request, "redoubt-instance");
    api_call_spec spec = { .app = &x->app,
                           .instance = pinned ? &instance : NULL,
                           .method = api_request_method(x->request),
                           .target = api_request_target(x->request),
                           .lines = &lines,
                           .body = api_request_body(x->request),
                           .is_anonymous = is_anonymous };
    if (pinned && rd_id_parse(RD_PREFIX_INSTANCE, pinned, strlen(pinned), &instance, &err) < 0)
        (void)rd_err_wrap(&err, "Redoubt-Instance");
    else if (!walk.is_good)
        (void)rd_err_set(&err, RD_E_HTTP_HEADERS_TOO_LARGE, "the request's headers are too large or malformed");
    else if (api_relay_call(x->apps->relay, &spec, &events, x, &x->call, &err) == 0)
        return;
    answer_problem(x, &err);
    exchange_free(x);
}

/* ---- callers ---- */

static void on_caller(void *arg, const api_principal *principal, const rd_err *err)
{
    exchange *x = arg;
    x->is_checking = false;
    if (!x->request) { /* cancelled meanwhile */
        exchange_free(x);
        return;
    }
    api_app *app = api_targets_app(api_relay_targets(x->apps->relay), &x->app);
    rd_err refusal = RD_ERR_INIT;
    if (err)
        refusal = *err;
    else if (!app || memcmp(principal->org_id, app->org, sizeof app->org) != 0)
        (void)rd_err_set(&refusal, RD_E_CALLER_DENIED, "the token is of another organisation");
    if (refusal.code != RD_OK) {
        answer_problem(x, &refusal);
        exchange_free(x);
        return;
    }
    start_call(x, false);
}

static void on_cancel(api_request *request, void *arg)
{
    (void)request;
    exchange *x = arg;
    x->request = NULL;
    if (x->call)
        api_call_cancel(RD_TAKE(x->call));
    if (!x->is_checking)
        exchange_free(x);
}

/* The app that the host names; -1: this caller gets no further. */
static int find_app(const api_request *request, rd_app_id *ret_id, api_app **ret, rd_err *err)
{
    api_context *context = api_request_context(request);
    const char *host = api_request_header(request, "host");
    if (!host || !api_apps_parse_host(host, context->config->apps_domain, ret_id))
        return rd_err_set(err, RD_E_APP_UNKNOWN, "the host names no app");
    api_app *app = *ret = api_targets_app(api_relay_targets(context->apps->relay), ret_id);
    if (!app)
        return rd_err_set(err, RD_E_APP_UNKNOWN, "no such app");
    if (api_app_is_open(app))
        return 0;
    if (app->count == 0 && !app->sleeps)
        return rd_err_set(err, RD_E_NO_INSTANCE, "no instance serves this app");
    if (api_auth_bearer(api_request_header(request, "authorization")).size == 0)
        return rd_err_set(err, RD_E_CLI_NO_TOKEN, "the app takes callers with a token of its organisation");
    return 0;
}

/* Whoever shows a token that nobody has looked at yet pays as one of the app's strangers: its own callers find room. */
static int admit(api_request *request, rd_err *err)
{
    rd_app_id id;
    api_app *app;
    api_principal principal;
    if (find_app(request, &id, &app, err) < 0) {
        api_reply_header(request, "X-Content-Type-Options", "nosniff");
        return -1;
    }
    rd_bytes secret = api_auth_bearer(api_request_header(request, "authorization"));
    bool is_known = api_app_is_open(app) || (api_auth_cached(api_request_context(request)->auth, secret, &principal) &&
                                             memcmp(principal.org_id, app->org, sizeof app->org) == 0);
    api_request_payer(request, is_known ? 'A' : 'S', RD_BYTES_ARRAY(id.b));
    return 0;
}

static void handle(api_request *request)
{
    api_context *context = api_request_context(request);
    exchange *x = rd_alloc(sizeof *x);
    rd_err err = RD_ERR_INIT;
    api_app *app;
    x->apps = context->apps;
    x->request = request;
    x->is_head_request = strcmp(api_request_method(request), "HEAD") == 0;
    if (find_app(request, &x->app, &app, &err) < 0) {
        answer_problem(x, &err);
        exchange_free(x);
        return;
    }
    api_request_on_cancel(request, on_cancel, x);
    if (api_app_is_open(app)) {
        start_call(x, true);
        return;
    }
    x->is_checking = true;
    api_auth_check(context, api_auth_bearer(api_request_header(request, "authorization")), on_caller, x);
}

int api_apps_start(api_context *context, api_relay *relay, api_apps **ret, rd_err *err)
{
    api_apps *apps = rd_alloc(sizeof *apps);
    apps->context = context;
    apps->relay = relay;
    apps->fallback = (api_route){ .method = "*",
                                  .pattern = "/{path*}",
                                  .kind = API_ROUTE_LOOP,
                                  .need = API_NEED_NONE,
                                  .loop = handle,
                                  .body_max = BODY_MAX,
                                  .flags = API_BODY_BYTES | API_OPS,
                                  .admit = admit };
    context->apps = apps;
    api_server_options options = { .name = "apps",
                                   .listen = context->config->apps_listen,
                                   .fallback = &apps->fallback,
                                   .body_memory_max = (size_t)context->config->body_memory,
                                   .is_bare = true };
    if (api_server_start(context, &options, &apps->server, err) < 0) {
        context->apps = NULL;
        free(apps);
        return -1;
    }
    *ret = apps;
    return 0;
}

api_server *api_apps_server(api_apps *apps)
{
    return apps->server;
}

void api_apps_stop(api_apps *apps)
{
    if (apps)
        api_server_stop(apps->server);
}

api_apps *api_apps_free(api_apps *apps)
{
    if (!apps)
        return NULL;
    api_server_free(apps->server);
    free(apps);
    return NULL;
}
