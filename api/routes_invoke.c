#include "api/routes.h"

#include "api/links_private.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MAX ((size_t)17 << 20)

/* One call whose whole answer is gathered before the caller gets his. */
typedef struct gather gather;
struct gather {
    api_request *request;
    api_call *call;
    int status;
    json_t *headers; /* [[name, value]…] */
    char *receipt, *salt;
    rd_id instance;
    uint64_t epoch;
    rd_buf body;
    bool is_cancelled;
    void (*finish)(gather *g);
};

static void gather_free(gather *g)
{
    json_decref(g->headers);
    free(g->receipt);
    free(g->salt);
    rd_buf_done(&g->body);
    free(g);
}

static char *copy_header(const api_http_response *response, const char *name)
{
    const char *value = api_http_response_header(response, name);
    return value ? rd_strdup(value) : NULL;
}

static void on_head(void *context, const api_http_response *response, const api_target *target)
{
    gather *g = context;
    g->status = response->status;
    g->instance = target->instance;
    g->epoch = target->epoch;
    g->headers = json_array();
    const char *connection = api_http_response_header(response, "connection");
    for (size_t i = 0; i < response->header_count; i++) {
        const api_http_header *header = &response->headers[i];
        if (api_http_is_hop_by_hop(rd_bytes_str(header->name), rd_bytes_str(connection ? connection : "")))
            continue;
        json_t *value = json_string(header->value);
        json_array_append_new(g->headers, json_pack("[s, o]", header->name, value ? value : json_string("")));
    }
    g->receipt = copy_header(response, "redoubt-receipt");
    g->salt = copy_header(response, "redoubt-salt");
}

static size_t on_body(void *context, rd_bytes piece)
{
    gather *g = context;
    (void)rd_buf_append_bytes(&g->body, piece);
    return piece.size;
}

static void on_receipt(void *context, const char *receipt)
{
    gather *g = context;
    free(g->receipt);
    g->receipt = rd_strdup(receipt);
}

static void on_done(void *context, const rd_err *err)
{
    gather *g = context;
    g->call = NULL;
    if (err)
        api_reply_problem(g->request, err);
    else if (g->body.has_failed)
        api_reply_code(g->request, RD_E_TOO_LARGE, "the answer is too large to be passed on in one piece");
    else
        g->finish(g);
    gather_free(g);
}

static void on_cancel(api_request *request, void *arg)
{
    (void)request;
    gather *g = arg;
    api_call_cancel(RD_TAKE(g->call));
    gather_free(g);
}

static void start(api_request *request, const api_call_spec *spec, void (*finish)(gather *g))
{
    static const api_call_events events = { on_head, on_body, on_receipt, on_done };
    gather *g = rd_alloc(sizeof *g);
    g->request = request;
    g->finish = finish;
    rd_buf_init(&g->body, ANSWER_MAX);
    rd_err err = RD_ERR_INIT;
    if (api_relay_call(api_request_context(request)->relay, spec, &events, g, &g->call, &err) < 0) {
        api_reply_problem(request, &err);
        gather_free(g);
        return;
    }
    api_request_on_cancel(request, on_cancel, g);
}

bool api_links_is_own(const api_request *request, const api_app *app)
{
    return app && memcmp(app->org, api_request_principal(request)->org_id, sizeof app->org) == 0;
}

/* ---- POST /v1/apps/{app}/invoke ---- */

static void finish_invoke(gather *g)
{
    char instance[RD_ID_TEXT_SIZE];
    rd_id_format(RD_PREFIX_INSTANCE, &g->instance, instance);
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    (void)rd_buf_append_base64(&body, rd_buf_bytes(&g->body));
    json_t *answer = json_object();
    rd_json_set_int(answer, "status", g->status);
    rd_json_set(answer, "headers", json_incref(g->headers));
    rd_json_set_str(answer, "body", rd_buf_text(&body));
    rd_json_set_str(answer, "receipt", g->receipt);
    rd_json_set_str(answer, "salt", g->salt);
    rd_json_set_str(answer, "instance", instance);
    rd_json_set_int(answer, "epoch", (int64_t)g->epoch);
    api_reply_json(g->request, 200, answer);
}

void api_invoke(struct api_request *request)
{
    rd_app_id id;
    rd_err err = RD_ERR_INIT;
    const char *text = api_request_param(request, "app");
    api_relay *relay = api_request_context(request)->relay;
    if (rd_app_id_parse(text, strlen(text), &id, &err) < 0 ||
        !api_links_is_own(request, api_targets_app(api_relay_targets(relay), &id))) {
        api_reply_code(request, RD_E_NOT_FOUND, "no such app");
        return;
    }
    RD_CLEANUP(rd_buf_done) rd_buf lines = { 0 };
    static const char *const passed[] = { "content-type",  "accept",      "redoubt-salt",
                                          "redoubt-nonce", "traceparent", "tracestate" };
    bool is_good =
        api_relay_add_header(&lines, RD_BYTES_LIT("redoubt-request-id"), rd_bytes_str(api_request_id(request)));
    for (size_t i = 0; i < RD_ARRAY_LEN(passed); i++) {
        const char *value = api_request_header(request, passed[i]);
        is_good = is_good && (!value || api_relay_add_header(&lines, rd_bytes_str(passed[i]), rd_bytes_str(value)));
    }
    const char *path = api_request_query(request, "path");
    api_call_spec spec = { .app = &id,
                           .method = RD_BYTES_LIT("POST"),
                           .target = rd_bytes_str(path ? path : "/"),
                           .lines = &lines,
                           .body = api_request_body(request) };
    if (!is_good)
        api_reply_code(request, RD_E_HTTP_HEADERS_TOO_LARGE, "a header is too large or malformed");
    else
        start(request, &spec, finish_invoke);
}

/* ---- GET /v1/instances/{ins}/evidence, /docs ---- */

static void finish_plain(gather *g)
{
    if (g->status == 200) {
        api_reply_buf(g->request, 200, "application/json", &g->body);
        return;
    }
    rd_err err = RD_ERR_INIT;
    if (g->status == 429)
        (void)rd_err_set(&err, RD_E_RATE_LIMITED, "too many ask this instance for evidence at once");
    else
        (void)rd_err_set(&err, RD_E_EVIDENCE_UNAVAILABLE, "the instance answered with status %d", g->status);
    api_reply_problem(g->request, &err);
}

/* Asks the instance itself. What does not serve and what is another organisation's look the same. */
static void ask_instance(api_request *request, const rd_id *instance, const char *target)
{
    api_relay *relay = api_request_context(request)->relay;
    api_target *found = api_targets_instance(api_relay_targets(relay), instance);
    if (!found || !api_links_is_own(request, found->app)) {
        api_reply_code(request, RD_E_NO_INSTANCE, "the instance does not serve");
        return;
    }
    RD_CLEANUP(rd_buf_done) rd_buf lines = { 0 };
    (void)api_relay_add_header(&lines, RD_BYTES_LIT("redoubt-request-id"), rd_bytes_str(api_request_id(request)));
    rd_app_id app = found->app->id;
    api_call_spec spec = { .app = &app,
                           .instance = instance,
                           .method = RD_BYTES_LIT("GET"),
                           .target = rd_bytes_str(target),
                           .lines = &lines };
    start(request, &spec, finish_plain);
}

static bool parse_instance(api_request *request, rd_id *ret)
{
    const char *text = api_request_param(request, "ins");
    rd_err err = RD_ERR_INIT;
    if (rd_id_parse(RD_PREFIX_INSTANCE, text, strlen(text), ret, &err) == 0)
        return true;
    api_reply_code(request, RD_E_NOT_FOUND, "no such instance");
    return false;
}

/* A query under way for a request that may be cancelled. */
typedef struct look_up {
    api_request *request; /* NULL: cancelled */
} look_up;

static void on_look_up_cancel(api_request *request, void *arg)
{
    (void)request;
    ((look_up *)arg)->request = NULL;
}

static void on_stored(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                      const rd_err *pg_err)
{
    (void)failed;
    look_up *look = context;
    api_request *request = look->request;
    free(look);
    if (!request)
        return;
    if ((outcome != RD_PG_SOME && outcome != RD_PG_NONE) || count != 1)
        api_reply_problem(request, pg_err);
    else if (rd_pg_rows(results[0]) == 0)
        api_reply_code(request, RD_E_NOT_FOUND, "no evidence of such an instance");
    else
        api_reply_bytes(request, 200, "application/json", rd_pg_get_bytes(results[0], 0, 0));
}

static void answer_stored(api_request *request, const rd_id *instance)
{
    api_context *context = api_request_context(request);
    look_up *look = rd_alloc(sizeof *look);
    look->request = request;
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "links_evidence", rd_pg_uuid(instance->b),
                     rd_pg_uuid(api_request_principal(request)->org_id));
    rd_err err = RD_ERR_INIT;
    if (rd_pg_async_submit(context->links->control, batch, on_stored, look, &err) < 0) {
        free(look);
        api_reply_problem(request, &err);
        return;
    }
    api_request_on_cancel(request, on_look_up_cancel, look);
}

void api_instance_evidence(struct api_request *request)
{
    rd_id instance;
    if (!parse_instance(request, &instance))
        return;
    const char *nonce = api_request_query(request, "nonce");
    uint8_t bytes[32];
    if (!nonce) {
        answer_stored(request, &instance);
        return;
    }
    if (rd_base64url_decode(nonce, strlen(nonce), bytes, sizeof bytes) != (ssize_t)sizeof bytes) {
        api_reply_code(request, RD_E_ENCODING, "nonce must be base64url of 32 bytes");
        return;
    }
    char target[128];
    snprintf(target, sizeof target, "/.well-known/redoubt/evidence?nonce=%s", nonce);
    ask_instance(request, &instance, target);
}

void api_instance_docs(struct api_request *request)
{
    rd_id instance;
    if (parse_instance(request, &instance))
        ask_instance(request, &instance, "/.well-known/redoubt/docs");
}

/* ---- GET /v1/events, /v1/apps/{app}/logs ---- */

void api_events(struct api_request *request)
{
    rd_app_id app;
    rd_err err = RD_ERR_INIT;
    const char *text = api_request_query(request, "app");
    if (text && rd_app_id_parse(text, strlen(text), &app, &err) < 0) {
        (void)rd_err_at(&err, "?app");
        api_reply_problem(request, &err);
        return;
    }
    api_tail_scope scope = { .app = text ? &app : NULL, .last_event_id = api_request_header(request, "Last-Event-ID") };
    memcpy(scope.org, api_request_principal(request)->org_id, sizeof scope.org);
    api_tail_read(api_request_context(request)->tail, request, &scope);
}

void api_logs(struct api_request *request)
{
    rd_app_id app;
    rd_err err = RD_ERR_INIT;
    const char *text = api_request_param(request, "app");
    api_context *context = api_request_context(request);
    if (rd_app_id_parse(text, strlen(text), &app, &err) < 0 ||
        !api_links_is_own(request, api_targets_app(api_relay_targets(context->relay), &app)))
        api_reply_code(request, RD_E_NOT_FOUND, "no such app");
    else
        api_log_hub_read(context->links->logs, request, &app, api_request_header(request, "Last-Event-ID"));
}
