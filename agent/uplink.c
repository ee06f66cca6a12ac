#include "agent/uplink_private.h"

#include "agent/renewal.h"
#include "agent/splice.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/config.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

void uplink_answer_code(rd_link_stream *stream, rd_code code, const char *text)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "%s", text);
    rd_link_answer_error(stream, &err);
}

/* Takes the reference. */
void uplink_answer_json(rd_link_stream *stream, int status, json_t *object)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = RD_LINK_BODY_MAX };
    bool is_ok = rd_json_dump(object, &text);
    json_decref(object);
    if (is_ok)
        rd_link_answer(stream, status, rd_buf_bytes(&text));
    else
        uplink_answer_code(stream, RD_E_TOO_LARGE, "the answer does not fit");
}

json_t *uplink_floor_json(agent_floor floor)
{
    json_t *object = json_object();
    rd_json_set_int(object, "era", (int64_t)floor.era);
    rd_json_set_int(object, "job_seq", (int64_t)floor.job_seq);
    return object;
}

/* ---- hello ---- */

typedef struct hello {
    uint64_t era, session;
    char *plane_id, *replica;
} hello;

static const rd_json_field hello_fields[] = {
    { .name = "era", .kind = RD_JSON_U64, .offset = offsetof(hello, era) },
    { .name = "session", .kind = RD_JSON_U64, .offset = offsetof(hello, session), .min = 1, .max = RD_JSON_INT_MAX },
    { .name = "plane_id", .kind = RD_JSON_STRING, .offset = offsetof(hello, plane_id), .max = 256 },
    { .name = "replica", .kind = RD_JSON_STRING, .offset = offsetof(hello, replica), .max = 128 },
    RD_JSON_END,
};

static json_t *capacity_json(const agent_capacity *capacity)
{
    json_t *object = json_object();
    rd_json_set_int(object, "cpu_m", (int64_t)capacity->cpu_m);
    rd_json_set_int(object, "memory_bytes", (int64_t)capacity->memory_bytes);
    rd_json_set_int(object, "slots", (int64_t)capacity->slots);
    return object;
}

static json_t *engines_json(bool has_jsc)
{
    json_t *list = json_array();
    for (size_t i = 0; i < RD_ENGINES; i++)
        if (i == RD_ENGINE_QUICKJS || has_jsc)
            (void)json_array_append_new(list, json_string(rd_engine_names[i]));
    return list;
}

static json_t *hello_json(agent_uplink *uplink, uplink_session *of)
{
    const agent_uplink_config *with = &uplink->config;
    json_t *object = json_object();
    json_t *inventory = json_array();
    json_t *needs = json_array();
    json_t *kms = agent_kms_json(with->kms);
    of->told_kms = !json_is_null(kms);
    agent_instances_inventory(with->instances, inventory);
    agent_instances_needs(with->instances, needs);
    rd_json_set_b64(object, "journal_id", rd_bytes_of(agent_journal_id(with->journal), RD_SPOOL_ID_SIZE));
    rd_json_set_str(object, "boot_id", uplink->boot_id);
    rd_json_set_str(object, "agent_version", REDOUBT_VERSION);
    rd_json_set(object, "floor", uplink_floor_json(agent_jobs_floor(with->jobs)));
    rd_json_set_int(object, "last_event", (int64_t)agent_reports_last(with->reports));
    rd_json_set_int(object, "acked_event", (int64_t)agent_reports_acked(with->reports));
    rd_json_set_int(object, "incarnation", (int64_t)agent_reports_incarnation(with->reports));
    rd_json_set_time(object, "clock", rd_clock_wall_us(rd_clock_system()));
    rd_json_set(object, "capacity", capacity_json(&with->capacity));
    rd_json_set(object, "engines", engines_json(with->has_jsc));
    rd_json_set(object, "inventory", inventory);
    rd_json_set(object, "needs", needs);
    rd_json_set(object, "kms", kms);
    return object;
}

/* One link counts: the one of the highest session. */
static void close_older(agent_uplink *uplink, const uplink_session *newest)
{
    for (uplink_session *one = uplink->sessions; one; one = one->next)
        if (one != newest && one->number < newest->number)
            rd_link_close(one->link, "a newer session has taken over");
}

static void on_hello(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                     const char *rest)
{
    (void)rest;
    rd_err err = RD_ERR_INIT;
    hello body = { 0 };
    if (rd_json_load(exchange->body, NULL, hello_fields, RD_UNKNOWN_IGNORED, &body, &err) < 0) {
        rd_link_answer_error(stream, &err);
    } else if (strcmp(body.plane_id, uplink->config.state->plane_id) != 0) {
        uplink_answer_code(stream, RD_E_FORBIDDEN, "this host is enrolled with another plane");
    } else if (body.session < uplink->session_max) {
        uplink_answer_code(stream, RD_E_CLI_CONFLICT, "a newer session is known");
    } else {
        of->number = uplink->session_max = body.session;
        close_older(uplink, of);
        rd_log(RD_INFO, "hello", RD_STR("replica", body.replica), RD_U64("session", body.session),
               RD_U64("era", body.era));
        uplink_answer_json(stream, 200, hello_json(uplink, of));
    }
    free(body.plane_id);
    free(body.replica);
}

/* ---- blobs and evidence ---- */

static int digest_of(const char *hex, rd_digest *ret, rd_err *err)
{
    for (const char *c = hex; *c; c++)
        if (*c >= 'A' && *c <= 'F')
            return rd_err_set(err, RD_E_ENCODING, "digests are lower-case hex");
    if (rd_hex_decode(hex, strlen(hex), ret->b, sizeof ret->b) < 0)
        return rd_err_set(err, RD_E_ENCODING, "expected 64 hex digits");
    return 0;
}

static void on_blob(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                    const char *rest)
{
    (void)of;
    rd_err err = RD_ERR_INIT;
    rd_digest digest;
    if (digest_of(rest, &digest, &err) < 0 ||
        agent_blobs_put(uplink->config.blobs, &digest, exchange->body, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    rd_link_answer(stream, 204, RD_BYTES_NULL);
    agent_instances_blob_arrived(uplink->config.instances);
}

static void on_evidence(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                        const rd_link_exchange *exchange, const char *rest)
{
    (void)of;
    (void)exchange;
    rd_err err = RD_ERR_INIT;
    rd_digest digest;
    RD_CLEANUP(rd_buf_done) rd_buf bundle = { 0 };
    if (digest_of(rest, &digest, &err) < 0 || agent_blobs_get(uplink->config.evidence, &digest, &bundle, &err) < 0)
        rd_link_answer_error(stream, &err);
    else
        rd_link_answer(stream, 200, rd_buf_bytes(&bundle));
}

typedef struct evidence_request {
    char instance[RD_ID_TEXT_SIZE];
    uint64_t epoch;
    uint8_t nonce[32];
} evidence_request;

static const rd_json_field evidence_fields[] = {
    { .name = "instance",
      .kind = RD_JSON_TEXT,
      .offset = offsetof(evidence_request, instance),
      .min = 1,
      .max = RD_ID_TEXT_SIZE - 1 },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(evidence_request, epoch) },
    { .name = "nonce", .kind = RD_JSON_B64, .offset = offsetof(evidence_request, nonce), .max = 32 },
    RD_JSON_END,
};

static void on_evidence_request(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                                const rd_link_exchange *exchange, const char *rest)
{
    (void)of;
    (void)rest;
    rd_err err = RD_ERR_INIT;
    evidence_request body = { 0 };
    if (rd_json_load(exchange->body, NULL, evidence_fields, RD_UNKNOWN_IGNORED, &body, &err) < 0 ||
        agent_instances_renew(uplink->config.instances, body.instance, body.epoch, body.nonce, &err) < 0)
        rd_link_answer_error(stream, &err);
    else
        rd_link_answer(stream, 202, RD_BYTES_NULL);
}

/* ---- state of the replica, renewal, pipes ---- */

typedef struct plane_state {
    int state;
} plane_state;

static const char *const plane_states[] = { "ready", "degraded", "closing", NULL };
static const rd_json_field state_fields[] = {
    { .name = "state", .kind = RD_JSON_ENUM, .offset = offsetof(plane_state, state), .names = plane_states },
    RD_JSON_END,
};

static void on_state(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                     const char *rest)
{
    (void)of;
    (void)rest;
    rd_err err = RD_ERR_INIT;
    plane_state body = { 0 };
    if (rd_json_load(exchange->body, NULL, state_fields, RD_UNKNOWN_IGNORED, &body, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    rd_log(RD_INFO, "replica_state", RD_STR("state", plane_states[body.state]));
    rd_link_answer(stream, 204, RD_BYTES_NULL);
    if (body.state != 0 && uplink->agent)
        rd_link_agent_try_other(uplink->agent);
}

static void on_csr(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                   const char *rest)
{
    (void)of;
    (void)exchange;
    (void)rest;
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_buf_done) rd_buf csr = { 0 };
    if (agent_renewal_csr(uplink->config.state, &csr, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    json_t *object = json_object();
    rd_json_set_str(object, "csr", rd_buf_text(&csr));
    uplink_answer_json(stream, 200, object);
}

static void on_certificate(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                           const rd_link_exchange *exchange, const char *rest)
{
    (void)of;
    (void)rest;
    rd_err err = RD_ERR_INIT;
    if (agent_renewal_take(uplink->config.state, exchange->body, uplink->config.tls, &err) < 0) {
        rd_log(RD_ERROR, "certificate_refused", RD_ERR(&err));
        rd_link_answer_error(stream, &err);
        return;
    }
    rd_log(RD_INFO, "certificate_renewed");
    rd_link_answer(stream, 204, RD_BYTES_NULL);
}

static void on_connect_kms(agent_uplink *uplink, rd_link_stream *stream)
{
    agent_kms *kms = uplink->config.kms;
    if (kms && kms->dir)
        agent_splice_open(uplink->config.loop, stream, kms->socket, &kms->splices);
    else
        uplink_answer_code(stream, RD_E_NOT_FOUND, "this host has no key service");
}

static void on_connect(agent_uplink *uplink, rd_link_stream *stream, const char *authority)
{
    char instance[RD_ID_TEXT_SIZE] = "";
    const char *dot = strchr(authority, '.');
    uint64_t epoch = 0;
    const char *socket = NULL;
    agent_splices *splices = NULL;
    rd_err err = RD_ERR_INIT;
    size_t size = dot ? (size_t)(dot - authority) : 0;
    if (strcmp(authority, "kms") == 0) {
        on_connect_kms(uplink, stream);
        return;
    }
    if (size == 0 || size >= sizeof instance || rd_parse_u64(dot + 1, strlen(dot + 1), INT64_MAX, &epoch) < 0) {
        uplink_answer_code(stream, RD_E_ID_FORMAT, "expected instance.epoch");
        return;
    }
    memcpy(instance, authority, size);
    if (agent_instances_route(uplink->config.instances, instance, epoch, &socket, &splices, &err) < 0)
        rd_link_answer_error(stream, &err);
    else
        agent_splice_open(uplink->config.loop, stream, socket, splices);
}

/* ---- routes ---- */

static const struct route {
    const char *method, *prefix;
    bool has_rest; /* something must follow the prefix; else nothing may, but for a query where the handler reads it */
    bool may_have_query;
    uplink_handler fn;
} routes[] = {
    { "POST", "/hello", false, false, on_hello },
    { "PUT", "/jobs/", true, false, uplink_on_job },
    { "PUT", "/blobs/", true, false, on_blob },
    { "GET", "/events", false, true, uplink_on_events },
    { "PUT", "/events/ack", false, false, uplink_on_ack },
    { "GET", "/evidence/", true, false, on_evidence },
    { "GET", "/logs", false, false, uplink_on_logs },
    { "GET", "/receipts", false, false, uplink_on_receipts },
    { "PUT", "/receipts/ack", false, false, uplink_on_receipts_ack },
    { "PUT", "/state", false, false, on_state },
    { "POST", "/evidence-requests", false, false, on_evidence_request },
    { "GET", "/grants", false, false, uplink_on_grants },
    { "POST", "/grants/", true, false, uplink_on_grant_nonce },
    { "PUT", "/grants/", true, false, uplink_on_grant },
    { "PUT", "/refusals/", true, false, uplink_on_refusal },
    { "POST", "/renewal/csr", false, false, on_csr },
    { "PUT", "/renewal/certificate", false, false, on_certificate },
};

static const struct route *find_route(const rd_link_exchange *exchange, const char **ret_rest)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(routes); i++) {
        const struct route *one = &routes[i];
        if (strcmp(exchange->method, one->method) != 0 || !rd_starts_with(exchange->path, one->prefix))
            continue;
        const char *rest = exchange->path + strlen(one->prefix);
        bool fits = one->has_rest ? rest[0] != '\0' : rest[0] == '\0' || (one->may_have_query && rest[0] == '?');
        if (!fits)
            continue;
        *ret_rest = rest;
        return one;
    }
    return NULL;
}

static void on_request(void *context, rd_link_stream *stream, const rd_link_exchange *exchange)
{
    agent_uplink *uplink = context;
    uplink_session *of = rd_link_context(exchange->link);
    const char *rest = NULL;
    bool is_pipe = strcmp(exchange->method, "CONNECT") == 0;
    const struct route *route = is_pipe ? NULL : find_route(exchange, &rest);
    if (!is_pipe && !route) {
        uplink_answer_code(stream, RD_E_NOT_FOUND, "no such request on this link");
        return;
    }
    if (!of || (of->number == 0 && (is_pipe || route->fn != on_hello))) {
        uplink_answer_code(stream, RD_E_FORBIDDEN, "a link begins with its hello");
        return;
    }
    if (is_pipe)
        on_connect(uplink, stream, exchange->authority);
    else
        route->fn(uplink, of, stream, exchange, rest);
}

/* ---- the link's life ---- */

static void on_up(void *context, rd_link *link)
{
    agent_uplink *uplink = context;
    uplink_session *of = rd_alloc(sizeof *of);
    of->link = link;
    of->next = uplink->sessions;
    uplink->sessions = of;
    rd_link_set_context(link, of);
    (void)snprintf(uplink->state, sizeof uplink->state, "connected to %s", rd_link_address(link));
    rd_log(RD_INFO, "link_up", RD_STR("address", rd_link_address(link)),
           RD_STR("replica", rd_link_peer(link)->common_name));
}

static void on_down(void *context, rd_link *link, const char *reason)
{
    agent_uplink *uplink = context;
    uplink_session *of = rd_link_context(link);
    for (uplink_session **at = &uplink->sessions; *at; at = &(*at)->next) {
        if (*at == of) {
            *at = of->next;
            break;
        }
    }
    rd_link_set_context(link, NULL);
    free(of);
    if (!uplink->sessions)
        (void)snprintf(uplink->state, sizeof uplink->state, "down: %s", reason);
    rd_log(RD_WARN, "link_down", RD_STR("address", rd_link_address(link)), RD_STR("reason", reason));
}

static void on_dial_failed(void *context, const char *address, const rd_err *error)
{
    agent_uplink *uplink = context;
    if (!uplink->sessions)
        (void)snprintf(uplink->state, sizeof uplink->state, "dialling %.100s: %.120s", address, error->text);
    rd_log(RD_WARN, "dial_failed", RD_STR("address", address), RD_ERR(error));
}

static void read_boot_id(agent_uplink *uplink)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_err err = RD_ERR_INIT;
    if (rd_file_read("/proc/sys/kernel/random/boot_id", 64, &text, &err) < 0)
        return;
    size_t size = strcspn(rd_buf_text(&text), "\n");
    memcpy(uplink->boot_id, text.data, RD_MIN(size, sizeof uplink->boot_id - 1));
}

int agent_uplink_new(const agent_uplink_config *config, agent_uplink **ret, rd_err *err)
{
    agent_uplink *uplink = rd_alloc(sizeof *uplink);
    uplink->config = *config;
    uplink->floor = agent_jobs_floor(config->jobs);
    (void)snprintf(uplink->state, sizeof uplink->state, "dialling");
    read_boot_id(uplink);
    const rd_link_agent_config link = { .endpoints = config->endpoints,
                                        .endpoint_count = config->endpoint_count,
                                        .tls = config->tls,
                                        .dial_first_max_us = config->dial_first_max_us,
                                        .context = uplink,
                                        .on_up = on_up,
                                        .on_down = on_down,
                                        .on_dial_failed = on_dial_failed,
                                        .on_request = on_request };
    if (rd_link_agent_new(config->loop, &link, &uplink->agent, err) < 0) {
        free(uplink);
        return -1;
    }
    *ret = uplink;
    return 0;
}

void agent_uplink_close(agent_uplink *uplink)
{
    uplink->is_closing = true;
    uplink->agent = rd_link_agent_free(uplink->agent);
}

agent_uplink *agent_uplink_free(agent_uplink *uplink)
{
    free(uplink);
    return NULL;
}

void agent_uplink_wake(agent_uplink *uplink)
{
    for (uplink_session *of = uplink->sessions; of; of = of->next) {
        uplink_pump_events(uplink, of);
        uplink_pump_logs(uplink, of);
        uplink_pump_receipts(uplink, of);
        uplink_pump_grants(uplink, of);
    }
}

void agent_uplink_tell_kms(agent_uplink *uplink)
{
    for (uplink_session *of = uplink->sessions; of; of = of->next)
        if (of->number != 0 && !of->told_kms)
            rd_link_close(of->link, "the host has something new to say in its hello");
}

const char *agent_uplink_state(const agent_uplink *uplink)
{
    return uplink->state;
}

bool agent_uplink_is_up(const agent_uplink *uplink)
{
    return uplink->sessions != NULL;
}
