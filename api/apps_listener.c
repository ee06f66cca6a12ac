#include "api/apps_listener.h"

#include "api/auth.h"
#include "common/base/mem.h"
#include "common/http/field.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_MAX       ((size_t)17 << 20)   /* what a release may allow, sealed */
#define WHOLE_MAX      API_FRONT_BUFFER_MAX /* answers up to this are sent in one piece */
#define RECEIPT        "Redoubt-Receipt"
#define SESSION_COOKIE "__Host-redoubt"

struct api_apps {
    api_context *context;
    api_relay *relay;
    api_front *front;
    rd_buf lines; /* of the request that is being started */
};

/* One call of a caller: from the token to the end of the answer. */
typedef struct exchange {
    api_apps *apps;
    api_turn *turn; /* NULL once it was answered, or its caller has left */
    rd_app_id app;
    api_call *call;
    bool is_streamed;
    bool is_unspeakable; /* a streamed answer, and HTTP/1.0, which cannot tell where it ends from where it was cut */
    bool is_checking;    /* the token is being looked up */
} exchange;

/* ---- names ---- */

bool api_apps_parse_host(rd_bytes host, const char *domain, rd_app_id *ret)
{
    const size_t label = RD_APP_ID_TEXT_SIZE - 1;
    size_t domain_size = strlen(domain), end = label + 1 + domain_size;
    const char *text = (const char *)host.data;
    if (host.size < end || strncasecmp(text, "app-", 4) != 0 || text[label] != '.' ||
        strncasecmp(text + label + 1, domain, domain_size) != 0 || (host.size > end && text[end] != ':'))
        return false;
    char name[RD_APP_ID_TEXT_SIZE];
    for (size_t i = 0; i < label; i++)
        name[i] = (char)tolower((unsigned char)text[i]);
    name[3] = '_';
    name[label] = 0;
    rd_err err = RD_ERR_INIT;
    return rd_app_id_parse(name, label, ret, &err) == 0;
}

bool api_apps_passes_header(rd_bytes name, rd_bytes connection)
{
    static const char *const kept_back[] = { "host",      "authorization",      "expect",
                                             "forwarded", "redoubt-request-id", "redoubt-csrf" };
    for (size_t i = 0; i < RD_ARRAY_LEN(kept_back); i++)
        if (rd_http_is_named(name, kept_back[i]))
            return false;
    bool is_forwarded = name.size >= 12 && strncasecmp((const char *)name.data, "x-forwarded-", 12) == 0;
    return !is_forwarded && !api_http_is_hop_by_hop(name, connection);
}

static rd_bytes header_of(const rd_http_head *head, const char *name)
{
    const rd_http_header *header = rd_http_head_find(head, name);
    return header ? header->value : RD_BYTES_NULL;
}

/* The secret of the caller, in text, which holds what the cache and the look-up take at most. */
static rd_bytes secret_of(const rd_http_head *head, char text[256])
{
    rd_bytes sent = header_of(head, "authorization");
    if (sent.size == 0 || sent.size > 255)
        return RD_BYTES_NULL;
    memcpy(text, sent.data, sent.size);
    text[sent.size] = 0;
    return api_auth_bearer(text);
}

/* ---- answering ---- */

static void refuse(exchange *x, const rd_err *err)
{
    api_turn_problem(RD_TAKE(x->turn), err);
    free(x);
}

static bool passes_response_header(rd_bytes name, rd_bytes connection)
{
    static const char *const ours[] = { "x-content-type-options", "redoubt-instance", "request-id", "date", "alt-svc" };
    for (size_t i = 0; i < RD_ARRAY_LEN(ours); i++)
        if (rd_http_is_named(name, ours[i]))
            return false;
    return !api_http_is_hop_by_hop(name, connection);
}

/* A cookie for another domain than the app's own name would reach its neighbours (RFC 6265, 5.3). */
static bool is_foreign_cookie(const char *name, const char *value)
{
    return strcmp(name, "set-cookie") == 0 && (strcasestr(value, "domain") || strcasestr(value, SESSION_COOKIE));
}

static void add_headers(exchange *x, const api_http_response *response, const api_target *target)
{
    const char *hop = api_http_response_header(response, "connection");
    rd_bytes connection = rd_bytes_str(hop ? hop : "");
    for (size_t i = 0; i < response->header_count; i++) {
        const api_http_header *header = &response->headers[i];
        if (passes_response_header(rd_bytes_str(header->name), connection) &&
            !is_foreign_cookie(header->name, header->value))
            api_turn_header(x->turn, header->name, rd_bytes_str(header->value));
    }
    api_turn_header(x->turn, "Redoubt-Instance", rd_bytes_str(target->authority));
    if (response->is_chunked && api_http_response_header(response, "trailer"))
        api_turn_header(x->turn, "Trailer", RD_BYTES_LIT(RECEIPT));
}

static void on_head(void *context, const api_http_response *response, const api_target *target)
{
    exchange *x = context;
    x->is_unspeakable = response->is_chunked && !api_turn_takes_chunks(x->turn);
    if (x->is_unspeakable)
        return;
    x->is_streamed = response->is_chunked || (response->content_length > WHOLE_MAX && response->body_left > 0);
    if (x->is_streamed && api_call_has_sent(x->call))
        api_turn_drop_body(x->turn);
    api_turn_answer(x->turn, response->status);
    add_headers(x, response, target);
    api_turn_begin(x->turn, response->has_length ? (int64_t)response->content_length : -1, !x->is_streamed);
}

static size_t on_body(void *context, rd_bytes piece)
{
    exchange *x = context;
    return x->is_unspeakable ? piece.size : api_turn_write(x->turn, piece);
}

static void on_receipt(void *context, const char *receipt)
{
    exchange *x = context;
    if (!x->is_unspeakable)
        api_turn_trailer(x->turn, RECEIPT, receipt);
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
    if (err)
        api_turn_problem(RD_TAKE(x->turn), err);
    else
        api_turn_end(RD_TAKE(x->turn));
    free(x);
}

static void on_room(api_turn *turn)
{
    exchange *x = api_turn_owner(turn);
    if (x->call)
        api_call_resume(x->call);
}

static void on_gone(api_turn *turn)
{
    exchange *x = api_turn_owner(turn);
    x->turn = NULL;
    if (x->call)
        api_call_cancel(RD_TAKE(x->call));
    if (!x->is_checking)
        free(x);
}

/* ---- calling ---- */

static bool collect_lines(api_apps *apps, const rd_http_head *head, const char *id)
{
    rd_bytes connection = header_of(head, "connection");
    bool is_good = true;
    rd_buf_clear(&apps->lines);
    for (size_t i = 0; i < head->headers_count && is_good; i++)
        if (api_apps_passes_header(head->headers[i].name, connection))
            is_good = api_relay_add_header(&apps->lines, head->headers[i].name, head->headers[i].value);
    return is_good && api_relay_add_header(&apps->lines, RD_BYTES_LIT("redoubt-request-id"), rd_bytes_str(id));
}

static void start_call(exchange *x, const rd_http_head *head, bool is_anonymous)
{
    static const api_call_events events = { on_head, on_body, on_receipt, on_done };
    rd_err err = RD_ERR_INIT;
    rd_id instance;
    rd_bytes pinned = header_of(head, "redoubt-instance");
    bool is_good = collect_lines(x->apps, head, api_turn_id(x->turn));
    api_call_spec spec = { .app = &x->app,
                           .instance = pinned.data ? &instance : NULL,
                           .method = head->method,
                           .target = head->target,
                           .lines = &x->apps->lines,
                           .body = api_turn_body(x->turn),
                           .is_anonymous = is_anonymous };
    if (pinned.data && rd_id_parse(RD_PREFIX_INSTANCE, (const char *)pinned.data, pinned.size, &instance, &err) < 0)
        (void)rd_err_wrap(&err, "Redoubt-Instance");
    else if (!is_good)
        (void)rd_err_set(&err, RD_E_HTTP_HEADERS_TOO_LARGE, "the request's headers are too large or malformed");
    else if (api_relay_call(x->apps->relay, &spec, &events, x, &x->call, &err) == 0)
        return;
    refuse(x, &err);
}

/* ---- callers ---- */

static void on_caller(void *arg, const api_principal *principal, const rd_err *err)
{
    exchange *x = arg;
    x->is_checking = false;
    if (!x->turn) { /* left meanwhile */
        free(x);
        return;
    }
    api_app *app = api_targets_app(api_relay_targets(x->apps->relay), &x->app);
    rd_err refusal = RD_ERR_INIT;
    if (err)
        refusal = *err;
    else if (!app || memcmp(principal->org_id, app->org, sizeof app->org) != 0)
        (void)rd_err_set(&refusal, RD_E_CALLER_DENIED, "the token is of another organisation");
    if (refusal.code != RD_OK)
        refuse(x, &refusal);
    else
        start_call(x, api_turn_head(x->turn), false);
}

/* The app that the host names; -1: this caller gets no further. */
static int find_app(api_apps *apps, const rd_http_head *head, rd_app_id *ret_id, api_app **ret, rd_err *err)
{
    char text[256];
    if (!api_apps_parse_host(head->host, apps->context->config->apps_domain, ret_id))
        return rd_err_set(err, RD_E_APP_UNKNOWN, "the host names no app");
    api_app *app = *ret = api_targets_app(api_relay_targets(apps->relay), ret_id);
    if (!app)
        return rd_err_set(err, RD_E_APP_UNKNOWN, "no such app");
    if (api_app_is_open(app))
        return 0;
    if (secret_of(head, text).size == 0)
        return rd_err_set(err, RD_E_CLI_NO_TOKEN, "the app takes callers with a token of its organisation");
    return 0;
}

static int check_authorization(const rd_http_head *head, rd_err *err)
{
    size_t count = 0;
    for (size_t i = 0; i < head->headers_count; i++)
        count += rd_http_is_named(head->headers[i].name, "authorization");
    return count > 1 ? rd_err_set(err, RD_E_REQUEST_MALFORMED, "a header that stands once came twice") : 0;
}

/* Whoever shows a token that nobody has looked at yet pays as one of the app's strangers: its own callers find room. */
static int on_body_coming(api_turn *turn, const rd_http_head *head, rd_err *err)
{
    api_apps *apps = api_turn_arg(turn);
    rd_app_id id;
    api_app *app;
    api_principal principal;
    char text[256];
    if (check_authorization(head, err) < 0 || find_app(apps, head, &id, &app, err) < 0)
        return -1;
    bool is_known = api_app_is_open(app) || (api_auth_cached(apps->context->auth, secret_of(head, text), &principal) &&
                                             memcmp(principal.org_id, app->org, sizeof app->org) == 0);
    api_turn_payer(turn, is_known ? 'A' : 'S', RD_BYTES_ARRAY(id.b));
    return 0;
}

static void on_request(api_turn *turn, const rd_http_head *head)
{
    api_apps *apps = api_turn_arg(turn);
    exchange *x = rd_alloc(sizeof *x);
    rd_err err = RD_ERR_INIT;
    api_app *app;
    char text[256];
    x->apps = apps;
    x->turn = turn;
    api_turn_set_owner(turn, x);
    if (check_authorization(head, &err) < 0 || find_app(apps, head, &x->app, &app, &err) < 0) {
        refuse(x, &err);
        return;
    }
    if (api_app_is_open(app)) {
        start_call(x, head, true);
        return;
    }
    x->is_checking = true;
    api_turn_keep(turn, head);
    api_auth_check(apps->context, secret_of(head, text), on_caller, x);
}

/* ---- start and stop ---- */

int api_apps_start(api_context *context, api_relay *relay, api_apps **ret, rd_err *err)
{
    api_apps *apps = rd_alloc(sizeof *apps);
    apps->context = context;
    apps->relay = relay;
    const api_front_options options = { .context = context,
                                        .name = "apps",
                                        .route = "/{path*}",
                                        .listen = context->config->apps_listen,
                                        .body_max = BODY_MAX,
                                        .body_memory_max = (size_t)context->config->body_memory,
                                        .on_body = on_body_coming,
                                        .on_request = on_request,
                                        .on_gone = on_gone,
                                        .on_room = on_room,
                                        .arg = apps };
    if (api_front_new(&options, &apps->front, err) < 0) {
        free(apps);
        return -1;
    }
    context->apps = apps;
    *ret = apps;
    return 0;
}

api_front *api_apps_front(api_apps *apps)
{
    return apps->front;
}

void api_apps_stop(api_apps *apps)
{
    if (apps)
        api_front_stop(apps->front);
}

api_apps *api_apps_free(api_apps *apps)
{
    if (!apps)
        return NULL;
    api_front_free(apps->front);
    rd_buf_done(&apps->lines);
    free(apps);
    return NULL;
}
