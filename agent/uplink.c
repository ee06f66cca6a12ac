#include "agent/uplink.h"

#include "agent/renewal.h"
#include "agent/splice.h"
#include "common/base/failpoint.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/config.h"
#include "common/model/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_ROOM ((size_t)4096) /* more than a report takes */

/* What belongs to one link. */
typedef struct session {
    struct session *next;
    rd_link *link;
    uint64_t number; /* given by the plane in its hello; 0 before */
    rd_link_stream *events;
    uint64_t sent_seq;
    rd_link_stream *logs;
} session;

struct agent_uplink {
    agent_uplink_config config;
    rd_link_agent *agent;
    session *sessions;
    uint64_t session_max;
    agent_floor floor; /* jobs that are on their way to disk included */
    bool is_closing;   /* what becomes durable now is the next start's */
    char boot_id[64];
    char state[256];
};

typedef void (*handler)(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                        const char *rest);

/* ---- answers ---- */

static void answer_code(rd_link_stream *stream, rd_code code, const char *text)
{
    rd_err err = RD_ERR_INIT;
    (void)rd_err_set(&err, code, "%s", text);
    rd_link_answer_error(stream, &err);
}

/* Takes the reference. */
static void answer_json(rd_link_stream *stream, int status, json_t *object)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { .size_max = RD_LINK_BODY_MAX };
    bool is_ok = rd_json_dump(object, &text);
    json_decref(object);
    if (is_ok)
        rd_link_answer(stream, status, rd_buf_bytes(&text));
    else
        answer_code(stream, RD_E_TOO_LARGE, "the answer does not fit");
}

static json_t *floor_json(agent_floor floor)
{
    json_t *object = json_object();
    rd_json_set_int(object, "era", (int64_t)floor.era);
    rd_json_set_int(object, "job_seq", (int64_t)floor.job_seq);
    return object;
}

static void answer_floor(agent_uplink *uplink, rd_link_stream *stream, int status, const char *code)
{
    json_t *object = json_object();
    json_t *needs = json_array();
    agent_instances_needs(uplink->config.instances, needs);
    rd_json_set(object, "floor", floor_json(agent_jobs_floor(uplink->config.jobs)));
    rd_json_set(object, "needs", needs);
    if (code)
        rd_json_set_str(object, "code", code);
    answer_json(stream, status, object);
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

static json_t *hello_json(agent_uplink *uplink)
{
    const agent_uplink_config *with = &uplink->config;
    json_t *object = json_object();
    json_t *inventory = json_array();
    json_t *needs = json_array();
    agent_instances_inventory(with->instances, inventory);
    agent_instances_needs(with->instances, needs);
    rd_json_set_b64(object, "journal_id", rd_bytes_of(agent_journal_id(with->journal), RD_SPOOL_ID_SIZE));
    rd_json_set_str(object, "boot_id", uplink->boot_id);
    rd_json_set_str(object, "agent_version", REDOUBT_VERSION);
    rd_json_set(object, "floor", floor_json(agent_jobs_floor(with->jobs)));
    rd_json_set_int(object, "last_event", (int64_t)agent_reports_last(with->reports));
    rd_json_set_int(object, "acked_event", (int64_t)agent_reports_acked(with->reports));
    rd_json_set_int(object, "incarnation", (int64_t)agent_reports_incarnation(with->reports));
    rd_json_set_time(object, "clock", rd_clock_wall_us(rd_clock_system()));
    rd_json_set(object, "capacity", capacity_json(&with->capacity));
    rd_json_set(object, "inventory", inventory);
    rd_json_set(object, "needs", needs);
    return object;
}

/* One link counts: the one of the highest session. */
static void close_older(agent_uplink *uplink, const session *newest)
{
    for (session *one = uplink->sessions; one; one = one->next)
        if (one != newest && one->number < newest->number)
            rd_link_close(one->link, "a newer session has taken over");
}

static void on_hello(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                     const char *rest)
{
    (void)rest;
    rd_err err = RD_ERR_INIT;
    hello body = { 0 };
    if (rd_json_load(exchange->body, NULL, hello_fields, RD_UNKNOWN_IGNORED, &body, &err) < 0) {
        rd_link_answer_error(stream, &err);
    } else if (strcmp(body.plane_id, uplink->config.state->plane_id) != 0) {
        answer_code(stream, RD_E_FORBIDDEN, "this host is enrolled with another plane");
    } else if (body.session < uplink->session_max) {
        answer_code(stream, RD_E_CLI_CONFLICT, "a newer session is known");
    } else {
        of->number = uplink->session_max = body.session;
        close_older(uplink, of);
        rd_log(RD_INFO, "hello", RD_STR("replica", body.replica), RD_U64("session", body.session),
               RD_U64("era", body.era));
        answer_json(stream, 200, hello_json(uplink));
    }
    free(body.plane_id);
    free(body.replica);
}

/* ---- jobs ---- */

typedef struct pending_job {
    agent_uplink *uplink;
    rd_link_stream *stream; /* NULL: the link has gone; the job stands all the same */
    agent_job job;
    rd_buf record;
} pending_job;

static void on_job_abandoned(void *context)
{
    pending_job *pending = context;
    pending->stream = NULL;
}

static void answer_outcome(agent_uplink *uplink, rd_link_stream *stream, agent_job_outcome outcome)
{
    if (outcome == AGENT_JOB_GAP)
        answer_floor(uplink, stream, 409, "job_gap");
    else if (outcome == AGENT_JOB_OLD_ERA)
        answer_floor(uplink, stream, 410, "job_era");
    else
        answer_floor(uplink, stream, 200, NULL);
}

static void take_job(pending_job *pending)
{
    agent_uplink *uplink = pending->uplink;
    const agent_job *job = &pending->job;
    agent_job_outcome outcome = agent_jobs_apply(uplink->config.jobs, job);
    rd_log(RD_INFO, "job", RD_U64("job_seq", job->job_seq), RD_STR("instance", job->instance_text),
           RD_U64("epoch", job->epoch), RD_STR("want", rd_want_name((rd_want)job->want)), RD_U64("outcome", outcome));
    if (outcome == AGENT_JOB_APPLIED) {
        agent_jobs_keep_record(uplink->config.jobs, job->instance_text, rd_buf_bytes(&pending->record));
        agent_instances_apply(uplink->config.instances, agent_jobs_find(uplink->config.jobs, job->instance_text),
                              RD_PHASE_NONE);
    }
    if (pending->stream)
        answer_outcome(uplink, pending->stream, outcome);
}

static void on_job_written(void *context, const rd_err *error)
{
    pending_job *pending = context;
    if (pending->uplink->is_closing) {
        rd_log(RD_INFO, "job_left_to_next_start", RD_U64("job_seq", pending->job.job_seq));
    } else if (!error) {
        (void)RD_FP(AGENT_AFTER_JOURNAL);
        take_job(pending);
    } else {
        /* What comes after it must not stand on it. */
        pending->uplink->floor = agent_jobs_floor(pending->uplink->config.jobs);
        rd_log(RD_ERROR, "job_not_written", RD_U64("job_seq", pending->job.job_seq), RD_ERR(error));
        if (pending->stream)
            rd_link_answer_error(pending->stream, error);
    }
    rd_buf_done(&pending->record);
    free(pending);
}

static void write_job(agent_uplink *uplink, rd_link_stream *stream, const agent_job *job, rd_bytes body)
{
    rd_err err = RD_ERR_INIT;
    (void)RD_FP(AGENT_BEFORE_JOURNAL);
    pending_job *pending = rd_alloc(sizeof *pending);
    *pending = (pending_job){ .uplink = uplink, .stream = stream, .job = *job };
    if (agent_job_record_write(job->job_seq, body, &pending->record, &err) < 0 ||
        agent_journal_job(uplink->config.journal, rd_buf_bytes(&pending->record), on_job_written, pending, &err) < 0) {
        rd_link_answer_error(stream, &err);
        rd_buf_done(&pending->record);
        free(pending);
        return;
    }
    rd_link_on_abandoned(stream, on_job_abandoned, pending);
    if (job->era > uplink->floor.era || job->job_seq > uplink->floor.job_seq)
        uplink->floor = (agent_floor){ .era = job->era, .job_seq = job->job_seq };
}

static void on_job(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                   const char *rest)
{
    (void)of;
    rd_err err = RD_ERR_INIT;
    uint64_t job_seq = 0;
    agent_job job;
    if (rd_parse_u64(rest, strlen(rest), (uint64_t)RD_JSON_INT_MAX, &job_seq) < 0) {
        answer_code(stream, RD_E_JSON_RANGE, "the job's number is not one");
        return;
    }
    if (agent_job_parse(job_seq, exchange->body, &job, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    const agent_job *known = agent_jobs_find(uplink->config.jobs, job.instance_text);
    agent_job_outcome outcome = agent_job_judge(&uplink->floor, known, &job);
    agent_floor durable = agent_jobs_floor(uplink->config.jobs);
    bool is_on_its_way = outcome == AGENT_JOB_DUPLICATE && job_seq > durable.job_seq;
    if (outcome == AGENT_JOB_APPLIED || outcome == AGENT_JOB_SUPERSEDED || is_on_its_way)
        write_job(uplink, stream, &job, exchange->body);
    else
        answer_outcome(uplink, stream, outcome);
}

/* ---- reports and logs ---- */

static void pump_events(agent_uplink *uplink, session *of)
{
    const agent_report *report = NULL;
    while (of->events && rd_link_stream_room(of->events) >= LINE_ROOM &&
           (report = agent_reports_after(uplink->config.reports, of->sent_seq)) != NULL) {
        RD_CLEANUP(rd_buf_done) rd_buf line = { .size_max = LINE_ROOM };
        rd_err err = RD_ERR_INIT;
        of->sent_seq = report->seq;
        (void)agent_report_write(report, &line);
        (void)rd_buf_append_u8(&line, '\n');
        if (rd_link_stream_write(of->events, rd_buf_bytes(&line), &err) < 0)
            return;
    }
}

static void pump_logs(agent_uplink *uplink, session *of)
{
    while (of->logs) {
        rd_err err = RD_ERR_INIT;
        rd_bytes line = agent_logs_take(uplink->config.logs, rd_link_stream_room(of->logs));
        if (line.size == 0 || rd_link_stream_write(of->logs, line, &err) < 0)
            return;
    }
}

static session *session_of(rd_link_stream *stream)
{
    return rd_link_context(rd_link_stream_link(stream));
}

static void on_events_room(rd_link_stream *stream, void *context)
{
    pump_events(context, session_of(stream));
}

static void on_logs_room(rd_link_stream *stream, void *context)
{
    pump_logs(context, session_of(stream));
}

static void on_feed_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)context;
    (void)error;
    session *of = session_of(stream);
    if (!of)
        return;
    if (of->events == stream)
        of->events = NULL;
    if (of->logs == stream)
        of->logs = NULL;
}

static void on_feed_end(rd_link_stream *stream, void *context)
{
    (void)stream; /* a GET ends its side at once: the answer is what is endless */
    (void)context;
}

static const rd_link_stream_events events_feed = {
    .on_room = on_events_room,
    .on_end = on_feed_end,
    .on_closed = on_feed_closed,
};
static const rd_link_stream_events logs_feed = {
    .on_room = on_logs_room,
    .on_end = on_feed_end,
    .on_closed = on_feed_closed,
};

static void on_events(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                      const char *rest)
{
    (void)exchange;
    uint64_t after = 0;
    if (rest[0] && (!rd_starts_with(rest, "?after=") ||
                    rd_parse_u64(rest + 7, strlen(rest + 7), (uint64_t)RD_JSON_INT_MAX, &after) < 0)) {
        answer_code(stream, RD_E_USAGE, "expected ?after=N");
        return;
    }
    if (of->events)
        rd_link_stream_end(of->events);
    of->events = stream;
    of->sent_seq = after;
    rd_link_accept(stream, &events_feed, uplink);
    pump_events(uplink, of);
}

static void on_logs(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                    const char *rest)
{
    (void)exchange;
    (void)rest;
    if (of->logs)
        rd_link_stream_end(of->logs);
    of->logs = stream;
    rd_link_accept(stream, &logs_feed, uplink);
    pump_logs(uplink, of);
}

typedef struct ack {
    uint64_t incarnation, seq;
} ack;

static const rd_json_field ack_fields[] = {
    { .name = "incarnation", .kind = RD_JSON_U64, .offset = offsetof(ack, incarnation) },
    { .name = "seq", .kind = RD_JSON_U64, .offset = offsetof(ack, seq) },
    RD_JSON_END,
};

static void on_ack(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                   const char *rest)
{
    (void)of;
    (void)rest;
    rd_err err = RD_ERR_INIT;
    ack body = { 0 };
    if (rd_json_load(exchange->body, NULL, ack_fields, RD_UNKNOWN_IGNORED, &body, &err) < 0) {
        rd_link_answer_error(stream, &err);
        return;
    }
    uint64_t before = agent_reports_acked(uplink->config.reports);
    if (!agent_reports_ack(uplink->config.reports, body.incarnation, body.seq)) {
        answer_code(stream, RD_E_CLI_CONFLICT, "the acknowledgement is not of this journal's events");
        return;
    }
    if (body.seq > before)
        agent_journal_ack(uplink->config.journal, body.incarnation, body.seq);
    rd_link_answer(stream, 204, RD_BYTES_NULL);
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

static void on_blob(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
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

static void on_evidence(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                        const char *rest)
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

static void on_evidence_request(agent_uplink *uplink, session *of, rd_link_stream *stream,
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

static void on_state(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
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

static void on_csr(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
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
    answer_json(stream, 200, object);
}

static void on_certificate(agent_uplink *uplink, session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                           const char *rest)
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

static void on_connect(agent_uplink *uplink, rd_link_stream *stream, const char *authority)
{
    char instance[RD_ID_TEXT_SIZE] = "";
    const char *dot = strchr(authority, '.');
    uint64_t epoch = 0;
    const char *socket = NULL;
    agent_splices *splices = NULL;
    rd_err err = RD_ERR_INIT;
    size_t size = dot ? (size_t)(dot - authority) : 0;
    if (size == 0 || size >= sizeof instance || rd_parse_u64(dot + 1, strlen(dot + 1), INT64_MAX, &epoch) < 0) {
        answer_code(stream, RD_E_ID_FORMAT, "expected instance.epoch");
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
    handler fn;
} routes[] = {
    { "POST", "/hello", false, false, on_hello },
    { "PUT", "/jobs/", true, false, on_job },
    { "PUT", "/blobs/", true, false, on_blob },
    { "GET", "/events", false, true, on_events },
    { "PUT", "/events/ack", false, false, on_ack },
    { "GET", "/evidence/", true, false, on_evidence },
    { "GET", "/logs", false, false, on_logs },
    { "PUT", "/state", false, false, on_state },
    { "POST", "/evidence-requests", false, false, on_evidence_request },
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
    session *of = rd_link_context(exchange->link);
    const char *rest = NULL;
    bool is_pipe = strcmp(exchange->method, "CONNECT") == 0;
    const struct route *route = is_pipe ? NULL : find_route(exchange, &rest);
    if (!is_pipe && !route) {
        answer_code(stream, RD_E_NOT_FOUND, "no such request on this link");
        return;
    }
    if (!of || (of->number == 0 && (is_pipe || route->fn != on_hello))) {
        answer_code(stream, RD_E_FORBIDDEN, "a link begins with its hello");
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
    session *of = rd_alloc(sizeof *of);
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
    session *of = rd_link_context(link);
    for (session **at = &uplink->sessions; *at; at = &(*at)->next) {
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
    for (session *of = uplink->sessions; of; of = of->next) {
        pump_events(uplink, of);
        pump_logs(uplink, of);
    }
}

const char *agent_uplink_state(const agent_uplink *uplink)
{
    return uplink->state;
}

bool agent_uplink_is_up(const agent_uplink *uplink)
{
    return uplink->sessions != NULL;
}
