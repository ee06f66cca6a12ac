/* The handle of one enclave: its control stream, its states, and its end. */
#include "agent/enclave_priv.h"

#include "agent/egress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"
#include "common/model/receipt_record.h"
#include "common/model/webhook.h"

#define FRAME_MAX  ((size_t)1 << 20) /* evidence is the longest: 64 KiB */
#define STOP_MS    1000
#define HOW_MS     200
#define SHARE_MS   1000
#define ATTEST_MS  15000 /* more than an enclave waits for its quote: it says itself what is wrong */
#define QUEUED_MAX ((size_t)16 << 20)

enum {
    TO_HEADER = 1,
    TO_GENESIS,
    TO_HEAD,
    TO_RELEASE,
    TO_CODE,
    TO_START,
    TO_EVIDENCE,
    TO_DRAIN,
    TO_STOP,
    TO_NONCE,
    TO_GRANT
};
enum {
    FROM_BLANK = 0x81,
    FROM_PHASE,
    FROM_EVIDENCE,
    FROM_LOG,
    FROM_DRAINED,
    FROM_STATE,
    FROM_EGRESS,
    FROM_GRANT_WANTED,
    FROM_RECEIPTS,
    FROM_ATTESTED
};

/* --- life of the handles ---------------------------------------------------------------------------------------- */

static void free_when_done(agent_enclave *enclave)
{
    if (!enclave->is_forgotten || !enclave->is_ended || enclave->handles_open > 0)
        return;
    rd_buf_done(&enclave->in);
    free(enclave);
}

static void on_closed(uv_handle_t *handle)
{
    agent_enclave *enclave = handle->data;
    enclave->handles_open--;
    if (enclave->handles_open == 0)
        rd_close_p(&enclave->pidfd);
    free_when_done(enclave);
}

static void close_handle(agent_enclave *enclave, uv_handle_t *handle)
{
    (void)enclave;
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_control(agent_enclave *enclave)
{
    if (enclave->has_control)
        close_handle(enclave, (uv_handle_t *)&enclave->control);
    enclave->has_control = false;
}

agent_enclave *agent_enclave_new(agent_launcher *launcher, const uint8_t tag[AGENT_TAG_SIZE],
                                 const agent_enclave_events *events, void *context)
{
    agent_enclave *enclave = rd_alloc(sizeof(*enclave));
    enclave->launcher = launcher;
    enclave->events = events;
    enclave->context = context;
    enclave->pidfd = -1;
    memcpy(enclave->tag, tag, AGENT_TAG_SIZE);
    rd_base32_encode(rd_bytes_of(tag, AGENT_TAG_SIZE), enclave->tag_text);
    rd_buf_init(&enclave->in, FRAME_MAX + 64);
    (void)uv_timer_init(launcher->loop, &enclave->timer);
    enclave->timer.data = enclave;
    enclave->handles_open = 1;
    return enclave;
}

static void close_handles(agent_enclave *enclave)
{
    close_control(enclave);
    if (enclave->has_watch)
        close_handle(enclave, (uv_handle_t *)&enclave->exit_watch);
    close_handle(enclave, (uv_handle_t *)&enclave->timer);
}

/* The launcher may be gone after this, as it waits for its last enclave. */
static void part_from_launcher(agent_enclave *enclave)
{
    if (enclave->launcher->egress != NULL)
        agent_egress_drop(enclave->launcher->egress, enclave);
    enclave->launcher->ops->gone(enclave);
}

void agent_enclave_leave(agent_enclave *enclave)
{
    if (enclave->is_ended)
        return;
    enclave->is_ended = true;
    enclave->is_left = true;
    close_handles(enclave);
    part_from_launcher(enclave);
    free_when_done(enclave);
}

void agent_enclave_end(agent_enclave *enclave, const char *how)
{
    if (enclave->is_ended)
        return;
    enclave->is_ended = true;
    enclave->state = AGENT_ENCLAVE_ENDED;
    if (!enclave->has_how)
        (void)snprintf(enclave->how, sizeof(enclave->how), "%s", how);
    close_handles(enclave);
    part_from_launcher(enclave);
    if (!enclave->is_forgotten && enclave->events != NULL && enclave->events->on_ended != NULL)
        enclave->events->on_ended(enclave->context, enclave, enclave->how);
    free_when_done(enclave);
}

/* Process and cause come from two sides, in any order. */
static void end_when_known(agent_enclave *enclave)
{
    if (enclave->has_exited && enclave->has_how)
        agent_enclave_end(enclave, enclave->how);
    else if (enclave->has_exited)
        agent_enclave_arm(enclave, AGENT_TIMER_HOW, HOW_MS);
}

void agent_enclave_note_end(agent_enclave *enclave, const char *how)
{
    (void)snprintf(enclave->how, sizeof(enclave->how), "%s", how);
    enclave->has_how = true;
    end_when_known(enclave);
}

static void on_exit_seen(uv_poll_t *watch, int status, int events)
{
    (void)status, (void)events;
    agent_enclave *enclave = watch->data;
    (void)uv_poll_stop(watch);
    enclave->has_exited = true;
    end_when_known(enclave);
}

int agent_enclave_watch(agent_enclave *enclave, pid_t pid, int pidfd, rd_err *err)
{
    enclave->pid = pid;
    enclave->pidfd = pidfd;
    int outcome = uv_poll_init(enclave->launcher->loop, &enclave->exit_watch, pidfd);
    if (outcome < 0)
        return rd_err_set(err, RD_E_IO, "watching process %d: %s", (int)pid, uv_strerror(outcome));
    enclave->exit_watch.data = enclave;
    enclave->has_watch = true;
    enclave->handles_open++;
    (void)uv_poll_start(&enclave->exit_watch, UV_READABLE, on_exit_seen);
    return 0;
}

static void give_share(agent_enclave *enclave)
{
    if (enclave->cpu_m > 0)
        enclave->launcher->ops->limit(enclave, 0, enclave->cpu_m);
    enclave->cpu_m = 0;
}

static void give_up_blank(agent_enclave *enclave)
{
    if (enclave->events != NULL && enclave->events->on_phase != NULL)
        enclave->events->on_phase(enclave->context, enclave, "failed", rd_code_describe(RD_E_TEE_UNAVAILABLE)->name,
                                  "a blank that did not send its evidence in time");
    agent_enclave_kill(enclave);
}

static void on_timer(uv_timer_t *timer)
{
    agent_enclave *enclave = timer->data;
    switch (enclave->timer_for) {
    case AGENT_TIMER_SHARE:
        give_share(enclave);
        break;
    case AGENT_TIMER_HOW:
        agent_enclave_end(enclave, "killed");
        break;
    case AGENT_TIMER_ATTEST:
        give_up_blank(enclave);
        break;
    case AGENT_TIMER_START:
        if (enclave->pid == 0) {
            agent_enclave_end(enclave, "launch failed: the launcher did not answer in time");
            break;
        }
        /* fall through */
    case AGENT_TIMER_ADOPT:
    case AGENT_TIMER_STOP:
        agent_enclave_kill(enclave);
        break;
    case AGENT_TIMER_NONE:
        break;
    }
}

void agent_enclave_arm(agent_enclave *enclave, agent_enclave_timer what, uint64_t after_ms)
{
    /* Past the exit only its cause is waited for: whoever could tell it may be gone as well. */
    if (uv_is_closing((uv_handle_t *)&enclave->timer) || (enclave->has_exited && what != AGENT_TIMER_HOW))
        return;
    enclave->timer_for = what;
    if (what == AGENT_TIMER_NONE)
        (void)uv_timer_stop(&enclave->timer);
    else
        (void)uv_timer_start(&enclave->timer, on_timer, after_ms, 0);
}

/* --- what the enclave says -------------------------------------------------------------------------------------- */

typedef struct phase_report {
    char phase[17], reason[65];
    char *detail;
} phase_report;

static const rd_json_field phase_fields[] = {
    { .name = "phase", .kind = RD_JSON_TEXT, .offset = offsetof(phase_report, phase), .min = 1, .max = 16 },
    { .name = "reason", .kind = RD_JSON_TEXT, .offset = offsetof(phase_report, reason), .max = 64 },
    { .name = "detail", .kind = RD_JSON_STRING, .offset = offsetof(phase_report, detail), .max = 4096 },
    RD_JSON_END,
};

static int hear_phase(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    static const struct {
        const char *name;
        agent_enclave_state state;
    } phases[] = { { "launching", AGENT_ENCLAVE_LAUNCHING },
                   { "attesting", AGENT_ENCLAVE_ATTESTING },
                   { "serving", AGENT_ENCLAVE_SERVING },
                   { "failed", AGENT_ENCLAVE_FAILED } };
    phase_report report = { .phase = "" };
    int outcome = rd_json_load(payload, NULL, phase_fields, RD_UNKNOWN_IGNORED, &report, err);
    for (size_t i = 0; outcome == 0 && i < RD_ARRAY_LEN(phases); i++) {
        if (strcmp(report.phase, phases[i].name) == 0 && enclave->state != AGENT_ENCLAVE_DRAINING)
            enclave->state = phases[i].state;
    }
    /* Starting goes at a blank's weight, and so does the call that it was started for: a small share is for serving,
     * and would make every cold start slow. */
    if (outcome == 0 && enclave->state == AGENT_ENCLAVE_SERVING && enclave->cpu_m > 0)
        agent_enclave_arm(enclave, AGENT_TIMER_SHARE, SHARE_MS);
    if (outcome == 0 && enclave->events != NULL && enclave->events->on_phase != NULL)
        enclave->events->on_phase(enclave->context, enclave, report.phase, report.reason, report.detail);
    free(report.detail);
    return outcome;
}

typedef struct log_report {
    char level[9];
    char *text;
} log_report;

static const rd_json_field log_fields[] = {
    { .name = "level", .kind = RD_JSON_TEXT, .offset = offsetof(log_report, level), .max = 8 },
    { .name = "text", .kind = RD_JSON_STRING, .offset = offsetof(log_report, text), .max = 16384 },
    RD_JSON_END,
};

static int hear_log(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    log_report report = { .level = "" };
    int outcome = rd_json_load(payload, NULL, log_fields, RD_UNKNOWN_IGNORED, &report, err);
    if (outcome == 0 && enclave->events != NULL && enclave->events->on_log != NULL)
        enclave->events->on_log(enclave->context, enclave, report.level, rd_bytes_str(report.text));
    free(report.text);
    return outcome;
}

typedef struct state_report {
    char instance[64], phase[17];
    uint64_t epoch;
} state_report;

static const rd_json_field state_fields[] = {
    { .name = "instance", .kind = RD_JSON_TEXT, .offset = offsetof(state_report, instance), .min = 1, .max = 63 },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(state_report, epoch) },
    { .name = "phase", .kind = RD_JSON_TEXT, .offset = offsetof(state_report, phase), .min = 1, .max = 16 },
    RD_JSON_END,
};

static int hear_state(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    state_report report = { .epoch = 0 };
    if (rd_json_load(payload, NULL, state_fields, RD_UNKNOWN_IGNORED, &report, err) < 0)
        return -1;
    if (enclave->adopted == NULL)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "a state that nobody asked for");
    memcpy(enclave->instance, report.instance, sizeof(enclave->instance));
    enclave->epoch = report.epoch;
    enclave->state = strcmp(report.phase, "draining") == 0 ? AGENT_ENCLAVE_DRAINING : AGENT_ENCLAVE_SERVING;
    agent_enclave_arm(enclave, AGENT_TIMER_NONE, 0);
    agent_adopted_fn adopted = enclave->adopted;
    enclave->adopted = NULL;
    adopted(enclave->adopt_context, enclave);
    return 0;
}

typedef struct egress_order {
    uint64_t id;
    char host[254];
    uint32_t port;
    bool is_private;
} egress_order;

static const rd_json_field egress_fields[] = {
    { .name = "id", .kind = RD_JSON_U64, .offset = offsetof(egress_order, id) },
    { .name = "host", .kind = RD_JSON_TEXT, .offset = offsetof(egress_order, host), .min = 1, .max = 253 },
    { .name = "port", .kind = RD_JSON_U32, .offset = offsetof(egress_order, port), .min = 1, .max = UINT16_MAX },
    { .name = "private", .kind = RD_JSON_BOOL, .offset = offsetof(egress_order, is_private) },
    RD_JSON_END,
};

static int dial_enclave(void *context)
{
    agent_enclave *enclave = context;
    return enclave->launcher->ops->dial(enclave);
}

static int hear_egress(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    egress_order order = { .id = 0 };
    if (rd_json_load(payload, NULL, egress_fields, RD_UNKNOWN_IGNORED, &order, err) < 0)
        return -1;
    /* While it starts, too: the owner's webhook is asked before the grant. */
    if (enclave->state != AGENT_ENCLAVE_LAUNCHING && enclave->state != AGENT_ENCLAVE_SERVING &&
        enclave->state != AGENT_ENCLAVE_DRAINING)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "an outgoing connection in state %s",
                          agent_enclave_state_name(enclave->state));
    if (enclave->launcher->egress == NULL)
        return 0;
    agent_egress_request request = { .owner = enclave,
                                     .id = order.id,
                                     .port = (uint16_t)order.port,
                                     .is_private = order.is_private,
                                     .dial = dial_enclave,
                                     .context = enclave };
    memcpy(request.host, order.host, sizeof(request.host));
    agent_egress_open(enclave->launcher->egress, &request);
    return 0;
}

static int hear_blank(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    if (enclave->state != AGENT_ENCLAVE_STARTING)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "blank in state %s", agent_enclave_state_name(enclave->state));
    enclave->state = AGENT_ENCLAVE_BLANK;
    agent_enclave_arm(enclave, AGENT_TIMER_ATTEST, ATTEST_MS);
    if (enclave->events != NULL && enclave->events->on_blank != NULL)
        enclave->events->on_blank(enclave->context, enclave, payload);
    return 0;
}

/* Once. Who took the blank meanwhile has no use for it: the evidence of the order proves more. */
static int hear_attested(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    if (enclave->state == AGENT_ENCLAVE_STARTING || enclave->is_attested)
        return rd_err_set(err, RD_E_CONTROL_ORDER, "evidence of a blank in state %s",
                          agent_enclave_state_name(enclave->state));
    enclave->is_attested = true;
    if (enclave->state != AGENT_ENCLAVE_BLANK)
        return 0;
    agent_enclave_arm(enclave, AGENT_TIMER_NONE, 0);
    if (enclave->events != NULL && enclave->events->on_attested != NULL)
        enclave->events->on_attested(enclave->context, enclave, payload);
    return 0;
}

static int hear_grant_wanted(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    enum { WISH_NONCE, WISH_EVIDENCE, WISH_WEBHOOK };
    rd_cursor cursor = rd_cursor_of(payload);
    uint8_t kind = rd_cursor_u8(&cursor);
    rd_bytes webhook = rd_cursor_take(&cursor, kind == WISH_WEBHOOK ? RD_WEBHOOK_ANSWER_SIZE : 0);
    rd_bytes bundle = rd_cursor_left(&cursor) > 0 ? rd_cursor_rest(&cursor) : RD_BYTES_NULL;
    if (!rd_cursor_is_ok(&cursor) || kind > WISH_WEBHOOK || (kind == WISH_NONCE) != (bundle.size == 0))
        return rd_err_set(err, RD_E_CONTROL_FRAME, "a wish for a grant of %zu bytes", payload.size);
    if (enclave->events != NULL && enclave->events->on_grant_wanted != NULL)
        enclave->events->on_grant_wanted(enclave->context, enclave, bundle, webhook);
    return 0;
}

/* Passed on unopened: who keeps it looks at it. */
static int hear_receipts(agent_enclave *enclave, rd_bytes payload, rd_err *err)
{
    if (payload.size == 0 || payload.size > RD_RECEIPT_RECORD_SIZE_MAX)
        return rd_err_set(err, RD_E_CONTROL_FRAME, "a record of receipts of %zu bytes", payload.size);
    if (enclave->events != NULL && enclave->events->on_receipts != NULL)
        enclave->events->on_receipts(enclave->context, enclave, payload);
    return 0;
}

static int hear(agent_enclave *enclave, uint8_t type, rd_bytes payload, rd_err *err)
{
    switch (type) {
    case FROM_BLANK:
        return hear_blank(enclave, payload, err);
    case FROM_PHASE:
        return hear_phase(enclave, payload, err);
    case FROM_EVIDENCE:
        if (enclave->events != NULL && enclave->events->on_evidence != NULL)
            enclave->events->on_evidence(enclave->context, enclave, payload);
        return 0;
    case FROM_LOG:
        return hear_log(enclave, payload, err);
    case FROM_DRAINED:
        if (enclave->events != NULL && enclave->events->on_drained != NULL)
            enclave->events->on_drained(enclave->context, enclave);
        return 0;
    case FROM_STATE:
        return hear_state(enclave, payload, err);
    case FROM_EGRESS:
        return hear_egress(enclave, payload, err);
    case FROM_GRANT_WANTED:
        return hear_grant_wanted(enclave, payload, err);
    case FROM_RECEIPTS:
        return hear_receipts(enclave, payload, err);
    case FROM_ATTESTED:
        return hear_attested(enclave, payload, err);
    default:
        return rd_err_set(err, RD_E_CONTROL_FRAME, "control frame of unknown type %u", type);
    }
}

/* Takes whole frames off the buffer. A callback may forget or end the enclave: then it stops. */
static int take_frames(agent_enclave *enclave, rd_err *err)
{
    while (enclave->in.size >= 5 && !enclave->is_ended && !enclave->is_forgotten) {
        rd_cursor cursor = rd_cursor_of(rd_buf_bytes(&enclave->in));
        uint32_t size = rd_cursor_u32be(&cursor);
        uint8_t type = rd_cursor_u8(&cursor);
        if (size < 1 || size > FRAME_MAX)
            return rd_err_set(err, RD_E_CONTROL_FRAME, "control frame of %u bytes", size);
        rd_bytes payload = rd_cursor_take(&cursor, size - 1);
        if (!rd_cursor_is_ok(&cursor))
            return 0;
        if (hear(enclave, type, payload, err) < 0)
            return -1;
        rd_buf_consume(&enclave->in, rd_cursor_offset(&cursor));
    }
    return 0;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    agent_enclave *enclave = handle->data;
    uint8_t *room = rd_buf_reserve(&enclave->in, RD_MIN(suggested, (size_t)16 << 10));
    *ret = uv_buf_init((char *)room, room == NULL ? 0 : (unsigned)RD_MIN(suggested, (size_t)16 << 10));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    (void)buf;
    agent_enclave *enclave = stream->data;
    if (got == 0)
        return;
    rd_err err = RD_ERR_INIT;
    if (got > 0) {
        rd_buf_commit(&enclave->in, (size_t)got);
        /* Held for the time of the callbacks, which may forget it. */
        enclave->handles_open++;
        int outcome = take_frames(enclave, &err);
        enclave->handles_open--;
        if (outcome < 0) {
            rd_log(RD_WARN, "enclave_control", RD_STR("enclave", enclave->tag_text), RD_ERR(&err));
            if (enclave->has_watch)
                (void)uv_read_stop(stream); /* what follows says nothing, and its end is seen without */
            agent_enclave_kill(enclave);
        }
        free_when_done(enclave);
        return;
    }
    close_control(enclave);
    if (!enclave->has_watch)
        agent_enclave_end(enclave, "launch failed: the control stream ended");
}

int agent_enclave_attach(agent_enclave *enclave, int control_fd, rd_err *err)
{
    (void)uv_pipe_init(enclave->launcher->loop, &enclave->control, 0);
    enclave->control.data = enclave;
    enclave->has_control = true;
    enclave->handles_open++;
    int outcome = uv_pipe_open(&enclave->control, control_fd);
    if (outcome < 0)
        (void)close(control_fd);
    if (outcome == 0)
        outcome = uv_read_start((uv_stream_t *)&enclave->control, on_alloc, on_read);
    if (outcome < 0)
        return rd_err_set(err, RD_E_IO, "control stream: %s", uv_strerror(outcome));
    return 0;
}

/* --- what the agent says ---------------------------------------------------------------------------------------- */

typedef struct sent {
    uv_write_t request;
    rd_buf bytes;
} sent;

static void on_sent(uv_write_t *request, int status)
{
    (void)status; /* a broken stream is seen by the reader */
    sent *message = request->data;
    rd_buf_wipe(&message->bytes);
    free(message);
}

static void put_frame(rd_buf *out, uint8_t type, rd_bytes payload)
{
    rd_buf_append_u32be(out, (uint32_t)payload.size + 1);
    rd_buf_append_u8(out, type);
    rd_buf_append_bytes(out, payload);
}

static int send_frames(agent_enclave *enclave, sent *message, rd_err *err)
{
    message->request.data = message;
    uv_buf_t buf = uv_buf_init((char *)message->bytes.data, (unsigned)message->bytes.size);
    int outcome = UV_ENOTCONN;
    if (message->bytes.has_failed)
        outcome = UV_ENOBUFS;
    else if (enclave->has_control)
        outcome = uv_write(&message->request, (uv_stream_t *)&enclave->control, &buf, 1, on_sent);
    if (outcome == 0)
        return 0;
    rd_buf_wipe(&message->bytes);
    free(message);
    return rd_err_set(err, RD_E_UNAVAILABLE, "control stream of %s: %s", enclave->tag_text, uv_strerror(outcome));
}

static sent *new_message(void)
{
    sent *message = rd_alloc(sizeof(*message));
    rd_buf_init(&message->bytes, QUEUED_MAX);
    return message;
}

static void put_grant(rd_buf *text, const agent_specialise *with)
{
    if (with->kms.data == NULL) {
        rd_buf_append_str(text, "null");
        return;
    }
    rd_buf_printf(text, "{\"genesis\":\"");
    rd_buf_append_base64url(text, with->kms);
    rd_buf_printf(text, "\",\"kms\":\"%s\",\"nonce\":", with->kms_id);
    if (with->has_grant_nonce) {
        rd_buf_append_str(text, "\"");
        rd_buf_append_base64url(text, RD_BYTES_ARRAY(with->grant_nonce));
        rd_buf_append_str(text, "\"}");
    } else {
        rd_buf_append_str(text, "null}");
    }
}

static void put_start(rd_buf *out, const agent_specialise *with)
{
    char time[RD_TIME_TEXT_SIZE];
    rd_time_format(with->host_time_us, time);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_printf(&text, "{\"epoch\":%llu,\"host_time\":\"%s\",\"instance\":\"%s\",\"nonce\":\"",
                  (unsigned long long)with->epoch, time, with->instance);
    rd_buf_append_base64url(&text, RD_BYTES_ARRAY(with->nonce));
    rd_buf_append_str(&text, "\",\"grant\":");
    put_grant(&text, with);
    rd_buf_append_str(&text, "}");
    put_frame(out, TO_START, rd_buf_bytes(&text));
}

int agent_enclave_specialise(agent_enclave *enclave, const agent_specialise *with, rd_err *err)
{
    if (enclave->state != AGENT_ENCLAVE_BLANK)
        return rd_err_set(err, RD_E_UNAVAILABLE, "enclave %s is %s, not blank", enclave->tag_text,
                          agent_enclave_state_name(enclave->state));
    enclave->launcher->ops->limit(enclave, with->memory_bytes, 0);
    enclave->cpu_m = with->cpu_m;
    sent *message = new_message();
    put_frame(&message->bytes, TO_HEADER, RD_BYTES_ARRAY(with->header));
    put_frame(&message->bytes, TO_GENESIS, with->genesis);
    put_frame(&message->bytes, TO_HEAD, with->head);
    put_frame(&message->bytes, TO_RELEASE, with->release);
    put_frame(&message->bytes, TO_CODE, with->code);
    put_start(&message->bytes, with);
    if (send_frames(enclave, message, err) < 0)
        return -1;
    agent_enclave_arm(enclave, AGENT_TIMER_NONE, 0); /* its evidence as a blank is not waited for any more */
    enclave->state = AGENT_ENCLAVE_LAUNCHING;
    (void)snprintf(enclave->instance, sizeof(enclave->instance), "%s", with->instance);
    enclave->epoch = with->epoch;
    return 0;
}

void agent_enclave_share(agent_enclave *enclave, uint32_t cpu_m)
{
    enclave->cpu_m = cpu_m;
    give_share(enclave);
}

static int send_payload(agent_enclave *enclave, uint8_t type, rd_bytes payload, rd_err *err)
{
    if (enclave->state < AGENT_ENCLAVE_LAUNCHING || enclave->state > AGENT_ENCLAVE_DRAINING)
        return rd_err_set(err, RD_E_UNAVAILABLE, "enclave %s is %s", enclave->tag_text,
                          agent_enclave_state_name(enclave->state));
    sent *message = new_message();
    put_frame(&message->bytes, type, payload);
    return send_frames(enclave, message, err);
}

int agent_enclave_renew(agent_enclave *enclave, const uint8_t nonce[32], rd_err *err)
{
    if (enclave->state != AGENT_ENCLAVE_SERVING && enclave->state != AGENT_ENCLAVE_DRAINING)
        return rd_err_set(err, RD_E_UNAVAILABLE, "enclave %s is %s", enclave->tag_text,
                          agent_enclave_state_name(enclave->state));
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_append_str(&text, "{\"nonce\":\"");
    rd_buf_append_base64url(&text, rd_bytes_of(nonce, 32));
    rd_buf_append_str(&text, "\",\"purpose\":\"status\"}");
    return send_payload(enclave, TO_EVIDENCE, rd_buf_bytes(&text), err);
}

int agent_enclave_nonce(agent_enclave *enclave, const uint8_t nonce[32], rd_bytes head, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf payload = { 0 };
    (void)rd_buf_append(&payload, nonce, 32);
    (void)rd_buf_append_bytes(&payload, head);
    return send_payload(enclave, TO_NONCE, rd_buf_bytes(&payload), err);
}

int agent_enclave_grant(agent_enclave *enclave, rd_bytes grant, rd_err *err)
{
    return send_payload(enclave, TO_GRANT, grant, err);
}

static int send_order(agent_enclave *enclave, uint8_t type)
{
    sent *message = new_message();
    put_frame(&message->bytes, type, RD_BYTES_NULL);
    return send_frames(enclave, message, NULL);
}

void agent_enclave_drain(agent_enclave *enclave)
{
    if (enclave->state != AGENT_ENCLAVE_SERVING || send_order(enclave, TO_DRAIN) < 0)
        return;
    enclave->state = AGENT_ENCLAVE_DRAINING;
}

void agent_enclave_stop(agent_enclave *enclave)
{
    bool takes_orders = enclave->state == AGENT_ENCLAVE_SERVING || enclave->state == AGENT_ENCLAVE_DRAINING;
    if (!takes_orders || send_order(enclave, TO_STOP) < 0) {
        agent_enclave_kill(enclave);
        return;
    }
    agent_enclave_arm(enclave, AGENT_TIMER_STOP, STOP_MS);
}

void agent_enclave_forget(agent_enclave *enclave)
{
    if (enclave == NULL)
        return;
    enclave->is_forgotten = true;
    enclave->events = NULL;
    if (!enclave->is_ended)
        agent_enclave_kill(enclave);
    free_when_done(enclave);
}
