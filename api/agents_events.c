#include "api/agents_private.h"

#include "api/host_fault.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RENEW_RETRY_US 30000000

/* ---- acknowledgement ---- */

static void tell_ack(api_host_link *host);

static void on_acked(void *context, int status, rd_bytes body, const rd_err *error)
{
    (void)body;
    api_host_link *host = context;
    host->is_acking = false;
    if (!error && status != 204 && status != 200)
        rd_log(RD_WARN, "event_ack_refused", RD_STR("host", host->name), RD_I64("status", status));
    if (host->link && !error)
        tell_ack(host);
    api_host_release(host);
}

/* Cumulative, one at a time. */
static void tell_ack(api_host_link *host)
{
    if (host->is_acking || host->event_told >= host->event_acked || !host->link)
        return;
    char body[96];
    snprintf(body, sizeof body, "{\"incarnation\":%" PRId64 ",\"seq\":%" PRIu64 "}", host->agent_incarnation,
             host->event_acked);
    rd_link_request request = { .method = "PUT", .path = "/events/ack", .body = rd_bytes_str(body) };
    rd_err err = RD_ERR_INIT;
    if (rd_link_send(host->link, &request, on_acked, host, &err) < 0)
        return;
    host->event_told = host->event_acked;
    host->is_acking = true;
    api_host_hold(host);
}

static void resume_stream(api_host_link *host)
{
    if (!host->is_paused || !host->events || host->event_count >= API_EVENTS_WAITING / 2 ||
        api_ingest_is_full(host->agents->options.ingest))
        return;
    host->is_paused = false;
    rd_link_stream_resume(host->events);
}

/* Durable events leave the queue from its front: what is told to the agent has no hole. */
static void pop_durable(api_host_link *host)
{
    while (host->first_event && host->first_event->state == API_EVENT_DURABLE) {
        api_agent_event *event = host->first_event;
        host->first_event = event->next;
        if (!host->first_event)
            host->last_event = NULL;
        host->event_count--;
        host->event_acked = event->seq;
        free(event);
    }
    if (!host->link)
        return;
    if (host->event_acked > host->event_told) {
        api_ingest_ack(host->agents->options.ingest, &host->host, host->session, 0, (int64_t)host->event_acked);
        tell_ack(host);
    }
    resume_stream(host);
}

/* What the links keep in mind of a report that is now in PostgreSQL. */
static void note_durable(api_host_link *host, const api_report *report)
{
    api_host_lease *lease = api_host_lease_of(host, &report->instance, report->epoch);
    if (lease)
        lease->phase = report->phase;
    if (!rd_phase_is_final(report->phase))
        return;
    api_lease_key key = api_lease_key_of(&report->instance, report->epoch);
    (void)rd_table_remove(host->strays, RD_BYTES_ARRAY(key.b));
    if (lease && !lease->is_live) {
        (void)rd_table_remove(host->leases, RD_BYTES_ARRAY(key.b));
        free(lease);
    } else if (lease) {
        lease->renew_at_us = 0;
    }
    api_attach_check_reconciled(host);
}

/* What was offered ahead is what PostgreSQL says it is. */
static void touch_app(const api_host_link *host, const api_report *report)
{
    const api_host_lease *lease = api_host_lease_of(host, &report->instance, report->epoch);
    if (lease)
        host->agents->options.on_app(host->agents->options.context, &lease->app);
}

static void on_durable(void *context, bool is_durable)
{
    api_agent_event *event = context;
    api_host_link *host = event->host;
    if (is_durable) {
        event->state = API_EVENT_DURABLE;
        if (event->is_offered)
            touch_app(host, &event->report);
        note_durable(host, &event->report);
        pop_durable(host);
    }
    api_host_release(host);
}

static void submit(api_agent_event *event, api_verdict *verdict)
{
    event->state = API_EVENT_WORKING;
    event->is_unjudged = false;
    api_host_hold(event->host);
    api_ingest_add(event->host->agents->options.ingest, &event->report, verdict, on_durable, event);
}

/* ---- evidence ---- */

static void start_evidence(api_host_link *host);

static void set_reason(api_report *report, rd_phase phase, rd_code code, const char *text)
{
    report->phase = phase;
    snprintf(report->reason, sizeof report->reason, "%s", rd_code_describe(code)->name);
    snprintf(report->detail, sizeof report->detail, "%.400s", text);
}

/* A refusal that has no bundle: nothing was shown, or something else than was named. */
static api_verdict *verdict_without_evidence(const api_agent_event *event, rd_code code, const char *text)
{
    api_verdict *verdict = rd_alloc(sizeof *verdict);
    verdict->host = event->report.host;
    verdict->instance = event->report.instance;
    verdict->epoch = event->report.epoch;
    verdict->reason = code;
    verdict->evidence_digest = event->evidence;
    verdict->verified_at_us = verdict->valid_until_us = api_agents_wall_us(event->host->agents);
    snprintf(verdict->reason_text, sizeof verdict->reason_text, "%s", text);
    return verdict;
}

static void refuse_event(api_agent_event *event, api_verdict *verdict, rd_code code, const char *text)
{
    char name[RD_ID_TEXT_SIZE];
    rd_id_format(RD_PREFIX_INSTANCE, &event->report.instance, name);
    rd_log(RD_WARN, "evidence_refused", RD_STR("host", event->host->name), RD_STR("instance", name),
           RD_U64("epoch", event->report.epoch), RD_STR("reason", rd_code_describe(code)->name),
           RD_STR("detail", text));
    set_reason(&event->report, RD_PHASE_FAILED, code, text);
    submit(event, verdict);
}

/* Asks for evidence with a nonce of now; until it comes the instance is attesting, whatever it said. */
static bool ask_again(api_agent_event *event, rd_code code, const char *text)
{
    api_host_lease *lease = api_host_lease_of(event->host, &event->report.instance, event->report.epoch);
    if (!lease || lease->asks >= API_ASKS_MAX || !event->host->link)
        return false;
    lease->asks++;
    api_events_ask(event->host, lease);
    set_reason(&event->report, RD_PHASE_ATTESTING, code, text);
    submit(event, NULL);
    return true;
}

bool api_events_offer(api_host_link *host, const api_host_lease *lease, int64_t valid_until_us, bool is_starting)
{
    const api_agents *agents = host->agents;
    bool is_over = is_starting && lease->phase > RD_PHASE_SERVING;
    if (is_over || lease->phase == RD_PHASE_SERVING || lease->want != RD_WANT_RUN || !lease->is_live)
        return false;
    const api_target_row row = { .instance = lease->instance,
                                 .epoch = lease->epoch,
                                 .host = host->host,
                                 .replica = agents->options.replica,
                                 .release = lease->release,
                                 .valid_until_us = valid_until_us,
                                 .is_starting = is_starting };
    return agents->options.on_proved(agents->options.context, &lease->app, &row);
}

static void accept_event(api_agent_event *event, api_verdict *verdict)
{
    api_host_link *host = event->host;
    api_host_lease *lease = api_host_lease_of(host, &event->report.instance, event->report.epoch);
    if (lease) {
        lease->asks = 0;
        lease->renew_at_us =
            verdict->verified_at_us + RD_MAX((verdict->valid_until_us - verdict->verified_at_us) / 2, (int64_t)1000000);
        if (lease->phase == RD_PHASE_SERVING) /* renewed: the commit brings no change of phase that would tell */
            host->agents->options.on_app(host->agents->options.context, &lease->app);
        event->is_offered = api_events_offer(host, lease, verdict->valid_until_us, false);
    }
    submit(event, verdict);
}

static void on_verdict(void *context, api_verdict *verdict, const rd_err *err)
{
    api_agent_event *event = context;
    api_host_link *host = event->host;
    host->evidence_in_flight--;
    if (!host->link) {
        api_verdict_free(verdict); /* the agent tells it again on its next link */
    } else if (!verdict) {
        rd_log(RD_WARN, "evidence_undecided", RD_STR("host", host->name), RD_ERR(err));
        event->state = API_EVENT_NEW; /* taken up again with the next second */
    } else if (verdict->is_accepted) {
        accept_event(event, verdict);
    } else if (verdict->is_stale && ask_again(event, verdict->reason, verdict->reason_text)) {
        api_verdict_free(verdict);
    } else if (api_fault_of(verdict->reason) == API_FAULT_PLANE) {
        rd_log(RD_ERROR, "evidence_unjudged", RD_STR("host", host->name),
               RD_STR("reason", rd_code_describe(verdict->reason)->name), RD_STR("detail", verdict->reason_text));
        api_host_lease *lease = api_host_lease_of(host, &event->report.instance, event->report.epoch);
        if (lease)
            lease->renew_at_us = api_agents_wall_us(host->agents) + RENEW_RETRY_US;
        set_reason(&event->report, RD_PHASE_ATTESTING, verdict->reason, verdict->reason_text);
        api_verdict_free(verdict);
        submit(event, NULL);
    } else {
        rd_code code = verdict->reason;
        char text[256];
        memcpy(text, verdict->reason_text, sizeof text);
        refuse_event(event, verdict, code, text);
    }
    if (host->link)
        start_evidence(host);
    api_host_release(host);
}

/* bundle is taken. */
static void judge(api_agent_event *event, rd_buf *bundle)
{
    api_host_link *host = event->host;
    rd_digest digest;
    rd_sha256(rd_buf_bytes(bundle), digest.b);
    if (!rd_digest_equal(&digest, &event->evidence)) {
        const char *text = "the bytes do not have the digest that the event names";
        rd_buf_done(bundle);
        host->evidence_in_flight--;
        refuse_event(event, verdict_without_evidence(event, RD_E_DIGEST_MISMATCH, text), RD_E_DIGEST_MISMATCH, text);
        return;
    }
    rd_err err = RD_ERR_INIT;
    api_host_hold(host);
    if (api_believe_check(host->agents->options.believe, &host->host, &event->report.instance, event->report.epoch,
                          bundle, on_verdict, event, &err) < 0) {
        rd_buf_done(bundle);
        on_verdict(event, NULL, &err);
    }
}

static void on_judging(void *context)
{
    api_agent_event *event = context;
    api_host_link *host = event->host;
    if (host->link) {
        judge(event, &event->bundle);
    } else {
        rd_buf_done(&event->bundle);
        host->evidence_in_flight--;
    }
    api_host_release(host);
}

/* Behind what else this turn has read: an answer that a caller waits for came with it. */
static void judge_soon(api_agent_event *event, rd_buf *bundle)
{
    event->bundle = *bundle;
    *bundle = (rd_buf){ 0 };
    api_host_hold(event->host);
    rd_loop_defer(event->host->agents->options.loop, on_judging, event);
}

static void on_evidence(void *context, int status, rd_bytes body, const rd_err *error)
{
    api_agent_event *event = context;
    api_host_link *host = event->host;
    if (!host->link) {
        host->evidence_in_flight--;
    } else if (error || status != 200) {
        host->evidence_in_flight--;
        const char *text = error ? error->text : "the agent does not have the evidence that it named";
        rd_code code = error && error->code == RD_E_TOO_LARGE ? RD_E_TOO_LARGE : RD_E_EVIDENCE_UNAVAILABLE;
        if (!ask_again(event, code, text))
            refuse_event(event, verdict_without_evidence(event, code, text), code, text);
        start_evidence(host);
    } else {
        rd_buf bundle;
        rd_buf_init(&bundle, RD_EVIDENCE_SIZE_MAX);
        (void)rd_buf_append_bytes(&bundle, body);
        judge(event, &bundle);
        start_evidence(host);
    }
    api_host_release(host);
}

static void begin_evidence(api_agent_event *event)
{
    event->state = API_EVENT_WORKING;
    event->host->evidence_in_flight++;
    event->host->evidence_tokens--;
}

static void fetch(api_agent_event *event)
{
    api_host_link *host = event->host;
    char hex[65], path[80];
    rd_hex_encode(RD_BYTES_ARRAY(event->evidence.b), hex);
    snprintf(path, sizeof path, "/evidence/%s", hex);
    rd_link_request request = { .method = "GET", .path = path, .response_max = RD_EVIDENCE_SIZE_MAX };
    rd_err err = RD_ERR_INIT;
    if (rd_link_send(host->link, &request, on_evidence, event, &err) < 0)
        return; /* the link is ending */
    begin_evidence(event);
    api_host_hold(host);
}

/* Evidence of one lease is judged in order: a refusal must not be overtaken by an older question. */
static bool has_elder(const api_host_link *host, const api_agent_event *event)
{
    for (const api_agent_event *e = host->first_event; e != event; e = e->next)
        if (e->is_unjudged && e->report.epoch == event->report.epoch &&
            rd_id_equal(&e->report.instance, &event->report.instance))
            return true;
    return false;
}

/* A few in flight and so many a second for a host: past that its events wait, not its neighbours'. */
static bool may_start(const api_host_link *host)
{
    return host->link && host->evidence_in_flight < API_EVIDENCE_FLIGHT && host->evidence_tokens > 0;
}

static void start_evidence(api_host_link *host)
{
    for (api_agent_event *event = host->first_event; event; event = event->next) {
        if (!may_start(host))
            return;
        if (event->state == API_EVENT_NEW && !has_elder(host, event))
            fetch(event);
    }
}

/* ---- asking ---- */

static void on_asked(void *context, int status, rd_bytes body, const rd_err *error)
{
    (void)body;
    api_host_link *host = context;
    if (error || (status != 202 && status != 204))
        rd_log(RD_WARN, "evidence_request_failed", RD_STR("host", host->name), RD_I64("status", status));
    api_host_release(host);
}

void api_events_ask(api_host_link *host, api_host_lease *lease)
{
    uint8_t nonce[API_NONCE_SIZE];
    int64_t now_us = api_agents_wall_us(host->agents);
    api_nonce_make(api_plane_mac_key(host->agents->options.plane), &lease->instance, lease->epoch, now_us, nonce);
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    rd_json_set_id(object, "instance", RD_PREFIX_INSTANCE, &lease->instance);
    rd_json_set_int(object, "epoch", (int64_t)lease->epoch);
    rd_json_set_b64(object, "nonce", RD_BYTES_ARRAY(nonce));
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 };
    (void)rd_json_dump(object, &body);
    rd_link_request request = { .method = "POST", .path = "/evidence-requests", .body = rd_buf_bytes(&body) };
    rd_err err = RD_ERR_INIT;
    lease->renew_at_us = now_us + RENEW_RETRY_US;
    if (rd_link_send(host->link, &request, on_asked, host, &err) == 0)
        api_host_hold(host);
}

void api_events_second(api_host_link *host)
{
    host->evidence_tokens = API_EVIDENCE_A_SECOND;
    start_evidence(host);
    resume_stream(host);
    api_attach_check_reconciled(host);
    int64_t now_us = api_agents_wall_us(host->agents);
    unsigned asked = 0;
    size_t iterator = 0;
    void *value;
    while (asked < API_EVIDENCE_A_SECOND / 2 && rd_table_next(host->leases, &iterator, NULL, &value)) {
        api_host_lease *lease = value;
        if (lease->renew_at_us == 0 || now_us < lease->renew_at_us || !lease->is_live || lease->want == RD_WANT_STOP)
            continue;
        api_events_ask(host, lease);
        asked++;
    }
}

/* ---- the stream ---- */

/* Cut at a character's border (RFC 3629). */
static void copy_text(char *out, size_t size, const char *text)
{
    size_t length = text ? strlen(text) : 0;
    if (length >= size) {
        length = size - 1;
        while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    if (length > 0)
        memcpy(out, text, length);
    out[length] = 0;
}

static api_agent_event *event_new(api_host_link *host, const api_event_line *line)
{
    api_agent_event *event = rd_alloc(sizeof *event);
    event->host = host;
    event->seq = line->seq;
    event->has_evidence = line->has_evidence;
    event->evidence = line->evidence;
    event->report = (api_report){ .host = host->host,
                                  .instance = line->instance,
                                  .epoch = line->epoch,
                                  .incarnation = host->incarnation,
                                  .seq = (int64_t)line->seq,
                                  .phase = (rd_phase)line->phase };
    copy_text(event->report.reason, sizeof event->report.reason, line->reason);
    copy_text(event->report.detail, sizeof event->report.detail, line->detail);
    *(host->last_event ? &host->last_event->next : &host->first_event) = event;
    host->last_event = event;
    host->event_count++;
    host->agents->events_taken++;
    return event;
}

static void take_event(api_host_link *host, api_event_line *line)
{
    api_agent_event *event = event_new(host, line);
    if (event->report.phase != RD_PHASE_SERVING) {
        submit(event, NULL);
        return;
    }
    if (!event->has_evidence) {
        const char *text = "serving was claimed without evidence";
        rd_sha256(RD_BYTES_NULL, event->evidence.b);
        refuse_event(event, verdict_without_evidence(event, RD_E_EVIDENCE_MISSING, text), RD_E_EVIDENCE_MISSING, text);
        return;
    }
    event->state = API_EVENT_NEW;
    event->is_unjudged = true;
    if (line->bundle.size == 0 || !may_start(host) || has_elder(host, event)) {
        start_evidence(host); /* evidence that must wait is not kept: it is fetched when its turn comes */
        return;
    }
    begin_evidence(event);
    judge_soon(event, &line->bundle);
}

static bool on_line(rd_link_stream *stream, void *context, rd_bytes bytes)
{
    (void)stream;
    api_host_link *host = context;
    api_event_line line = { 0 };
    rd_err err = RD_ERR_INIT;
    if (api_event_line_read(bytes, &line, &err) < 0)
        api_host_fail(host, "event", &err);
    else if (line.seq > host->event_acked && (!host->last_event || line.seq > host->last_event->seq))
        take_event(host, &line); /* what was told before is told again after a lost acknowledgement: left out */
    api_event_line_done(&line);
    host->is_paused = host->event_count >= API_EVENTS_WAITING || api_ingest_is_full(host->agents->options.ingest);
    return !host->is_paused;
}

static void on_closed(void *context, const rd_err *error)
{
    api_host_link *host = context;
    host->events = NULL;
    if (host->link && rd_link_is_up(host->link)) {
        rd_err err = RD_ERR_INIT;
        (void)rd_err_set(&err, RD_E_LINK_PROTOCOL, "the event stream ended");
        api_host_fail(host, "events", error ? error : &err);
    }
    api_host_release(host);
}

static const rd_link_line_events stream_events = { on_line, on_closed };

void api_events_begin(api_host_link *host)
{
    char path[48];
    snprintf(path, sizeof path, "/events?after=%" PRIu64, host->event_acked);
    rd_err err = RD_ERR_INIT;
    if (rd_link_lines(host->link, path, &stream_events, host, &host->events, &err) < 0)
        api_host_fail(host, "events", &err);
    else
        api_host_hold(host);
}

void api_events_free(api_host_link *host)
{
    api_agent_event *next;
    for (api_agent_event *event = host->first_event; event; event = next) {
        next = event->next;
        rd_buf_done(&event->bundle);
        free(event);
    }
}
