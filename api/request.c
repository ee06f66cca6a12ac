#include "api/request.h"

#include <string.h>
#include <strings.h>

#include "api/request_private.h"
#include "common/base/text.h"
#include "common/model/json.h"

api_context *api_request_context(const api_request *request)
{
    return request->context;
}

const char *api_request_id(const api_request *request)
{
    return request->id;
}

const char *api_request_method(const api_request *request)
{
    return request->method;
}

bool api_request_takes_chunks(const api_request *request)
{
    return request->takes_chunks;
}

const char *api_request_path(const api_request *request)
{
    return request->path;
}

const char *api_request_target(const api_request *request)
{
    return request->target;
}

const char *api_request_peer(const api_request *request)
{
    return request->peer;
}

const char *api_request_header(const api_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *api_request_query(const api_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

const char *api_request_param(const api_request *request, const char *name)
{
    for (size_t i = 0; i < request->match.param_count; i++) {
        const api_param *param = &request->match.params[i];
        if (strlen(name) == param->name_size && memcmp(name, param->name, param->name_size) == 0)
            return param->value;
    }
    return "";
}

rd_bytes api_request_body(const api_request *request)
{
    return rd_buf_bytes(&request->intake.body);
}

const api_principal *api_request_principal(const api_request *request)
{
    return &request->principal;
}

/* W3C Trace Context, 3.2: version-traceid-parentid-flags, lower-case hex. */
const char *api_request_traceparent(const api_request *request)
{
    const char *value = api_request_header(request, "traceparent");
    static const char shape[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    if (!value || strlen(value) != sizeof(shape) - 1 || strncmp(value, "ff", 2) == 0)
        return NULL;
    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        bool is_hex = (value[i] >= '0' && value[i] <= '9') || (value[i] >= 'a' && value[i] <= 'f');
        if (shape[i] == 'h' ? !is_hex : value[i] != '-')
            return NULL;
    }
    return value;
}

int api_request_json(api_request *request, json_t **ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = (size_t)8 << 20, .depth_max = RD_JSON_DEPTH_MAX };
    if (!request->json) {
        rd_bytes body = api_request_body(request);
        if (body.size == 0)
            request->json = json_object();
        else if (rd_json_parse(body, &limits, &request->json, err) < 0)
            return -1;
    }
    if (!json_is_object(request->json))
        return rd_err_set(err, RD_E_JSON_TYPE, "the body must be an object");
    *ret = request->json;
    return 0;
}

int api_request_limit(const api_request *request, size_t *ret, rd_err *err)
{
    const char *text = api_request_query(request, "limit");
    uint64_t value = 50;
    if (text && (rd_parse_u64(text, strlen(text), 200, &value) < 0 || value == 0)) {
        (void)rd_err_set(err, RD_E_JSON_RANGE, "limit must be 1 to 200");
        return rd_err_at(err, "?limit");
    }
    *ret = (size_t)value;
    return 0;
}

void api_request_hint(api_request *request, int wake_shard, bool has_event)
{
    request->wake_shard = wake_shard >= 0 ? wake_shard : request->wake_shard;
    request->has_event = request->has_event || has_event;
}

void api_request_set_data(api_request *request, void *data, void (*free_fn)(void *data))
{
    request->data = data;
    request->data_free = free_fn;
}

void *api_request_data(const api_request *request)
{
    return request->data;
}

void api_request_on_cancel(api_request *request, void (*on_cancel)(api_request *request, void *arg), void *arg)
{
    request->on_cancel = on_cancel;
    request->on_cancel_arg = arg;
}
