#include "api/routes.h"

#include "api/links_private.h"
#include "common/base/mem.h"
#include "common/model/ohttp_chunks.h"
#include "common/model/problem.h"

#include <stdlib.h>
#include <string.h>

/* The two forms of a sealed call, and what answers each. */
static const struct {
    const char *request, *answer;
} forms[] = {
    { RD_OHTTP_REQUEST_TYPE, RD_OHTTP_RESPONSE_TYPE },
    { RD_OHTTP_CHUNKED_REQUEST_TYPE, RD_OHTTP_CHUNKED_RESPONSE_TYPE },
};

/* One call, whose answer passes through as it comes. */
typedef struct sealed_call {
    api_request *request;
    const char *answer_type;
    api_call *call;
    api_stream *stream; /* NULL: not yet */
    rd_err refusal;     /* of an answer that cannot be passed on; told when it is done, for the call borrows the body */
} sealed_call;

static void on_stream_closed(void *arg)
{
    sealed_call *s = arg;
    if (s->call)
        api_call_cancel(RD_TAKE(s->call));
    free(s);
}

static void on_stream_drained(void *arg)
{
    sealed_call *s = arg;
    if (s->call)
        api_call_resume(s->call);
}

/* Ciphertext, or a problem document of the instance: neither is the application's on this origin. */
static const char *type_of(const sealed_call *s, const api_http_response *response)
{
    const char *type = api_http_response_header(response, "content-type");
    bool is_sealed = response->status == 200 && type && strcmp(type, s->answer_type) == 0;
    bool is_problem = response->status >= 400 && type && strcmp(type, RD_PROBLEM_TYPE) == 0;
    return is_sealed ? s->answer_type : is_problem ? RD_PROBLEM_TYPE : NULL;
}

static bool is_passed_on(sealed_call *s, const api_http_response *response, const char *type)
{
    if (!type)
        (void)rd_err_set(&s->refusal, RD_E_RESPONSE_INVALID, "the instance's answer is not sealed");
    else if (response->is_chunked && !api_request_takes_chunks(s->request))
        (void)rd_err_set(&s->refusal, RD_E_HTTP_VERSION, "this answer is streamed, which HTTP/1.0 cannot carry");
    return s->refusal.code == RD_OK;
}

static void on_head(void *context, const api_http_response *response, const api_target *target)
{
    sealed_call *s = context;
    const char *type = type_of(s, response);
    char instance[RD_ID_TEXT_SIZE];
    if (!is_passed_on(s, response, type))
        return;
    rd_id_format(RD_PREFIX_INSTANCE, &target->instance, instance);
    api_reply_header(s->request, "Redoubt-Instance", instance);
    if (response->is_chunked)
        api_reply_header(s->request, "Incremental", "?1");
    const api_stream_options options = { .status = response->status,
                                         .content_type = type,
                                         .content_length =
                                             response->is_chunked ? -1 : (int64_t)response->content_length,
                                         .on_close = on_stream_closed,
                                         .on_drain = on_stream_drained,
                                         .arg = s };
    if (api_call_has_sent(s->call))
        api_request_drop_body(s->request);
    s->stream = api_reply_stream(s->request, &options);
}

static size_t on_body(void *context, rd_bytes piece)
{
    sealed_call *s = context;
    return s->stream ? api_stream_write_some(s->stream, piece) : piece.size;
}

/* It stands in the seal: one that came beside it is nobody's. */
static void on_receipt(void *context, const char *receipt)
{
    (void)context, (void)receipt;
}

static void on_done(void *context, const rd_err *err)
{
    sealed_call *s = context;
    s->call = NULL;
    if (s->stream) {
        if (err)
            api_stream_abort(s->stream);
        else
            api_stream_end(s->stream);
        return; /* freed when it is closed */
    }
    api_reply_problem(s->request, err ? err : &s->refusal);
    free(s);
}

static void on_cancel(api_request *request, void *arg)
{
    (void)request;
    sealed_call *s = arg;
    api_call_cancel(RD_TAKE(s->call));
    free(s);
}

static void start(api_request *request, const api_call_spec *spec, const char *answer_type)
{
    static const api_call_events events = { on_head, on_body, on_receipt, on_done };
    rd_err err = RD_ERR_INIT;
    sealed_call *s = rd_alloc(sizeof *s);
    s->request = request;
    s->refusal = (rd_err)RD_ERR_INIT;
    s->answer_type = answer_type;
    if (api_relay_call(api_request_context(request)->relay, spec, &events, s, &s->call, &err) < 0) {
        api_reply_problem(request, &err);
        free(s);
        return;
    }
    api_request_on_cancel(request, on_cancel, s);
}

void api_sealed(struct api_request *request)
{
    rd_app_id app;
    rd_id instance;
    rd_err err = RD_ERR_INIT;
    const char *text = api_request_param(request, "app");
    const char *pinned = api_request_header(request, "redoubt-instance");
    const char *type = api_request_header(request, "content-type");
    const api_targets *targets = api_relay_targets(api_request_context(request)->relay);
    if (rd_app_id_parse(text, strlen(text), &app, &err) < 0 ||
        !api_links_is_own(request, api_targets_app(targets, &app))) {
        api_reply_code(request, RD_E_NOT_FOUND, "no such app");
        return;
    }
    size_t form = 0;
    while (form < RD_ARRAY_LEN(forms) && !(type && strcmp(type, forms[form].request) == 0))
        form++;
    if (form == RD_ARRAY_LEN(forms)) {
        api_reply_code(request, RD_E_CONTENT_TYPE,
                       "sealed requests are " RD_OHTTP_REQUEST_TYPE " or " RD_OHTTP_CHUNKED_REQUEST_TYPE);
        return;
    }
    if (pinned && rd_id_parse(RD_PREFIX_INSTANCE, pinned, strlen(pinned), &instance, &err) < 0) {
        (void)rd_err_wrap(&err, "Redoubt-Instance");
        api_reply_problem(request, &err);
        return;
    }
    RD_CLEANUP(rd_buf_done) rd_buf lines = { 0 };
    (void)api_relay_add_header(&lines, RD_BYTES_LIT("redoubt-request-id"), rd_bytes_str(api_request_id(request)));
    (void)api_relay_add_header(&lines, RD_BYTES_LIT("content-type"), rd_bytes_str(forms[form].request));
    const api_call_spec spec = { .app = &app,
                                 .instance = pinned ? &instance : NULL,
                                 .method = RD_BYTES_LIT("POST"),
                                 .target = RD_BYTES_LIT(RD_OHTTP_PATH),
                                 .lines = &lines,
                                 .body = api_request_body(request) };
    start(request, &spec, forms[form].answer);
}
