#include "agent/uplink_private.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/envelope.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

/* A line is sent whole or not at all: evidence is told while the stream's queue is short. */
#define LINE_ROOM ((size_t)RD_LINK_LINE_MAX)

/* ---- wishes ---- */

static bool write_line(const agent_grant_wish *wish, rd_buf *out)
{
    RD_CLEANUP(rd_json_free_p) json_t *object = json_object();
    rd_json_set_str(object, "instance", wish->instance);
    rd_json_set_int(object, "epoch", (int64_t)wish->epoch);
    if (wish->bundle.size > 0)
        rd_json_set_b64(object, "bundle", wish->bundle);
    else
        rd_json_set_null(object, "bundle");
    if (wish->webhook.size > 0)
        rd_json_set_b64(object, "webhook", wish->webhook);
    return rd_json_dump(object, out) && rd_buf_append_u8(out, '\n');
}

void uplink_pump_grants(agent_uplink *uplink, uplink_session *of)
{
    agent_grant_wish wish;
    while (of->grants && rd_link_stream_room(of->grants) >= LINE_ROOM &&
           agent_instances_next_grant(uplink->config.instances, of->sent_grant, &wish)) {
        RD_CLEANUP(rd_buf_done) rd_buf line = { .size_max = LINE_ROOM };
        rd_err err = RD_ERR_INIT;
        of->sent_grant = wish.serial;
        if (write_line(&wish, &line) && rd_link_stream_write(of->grants, rd_buf_bytes(&line), &err) < 0)
            return;
    }
}

static void on_room(rd_link_stream *stream, void *context)
{
    uplink_pump_grants(context, rd_link_context(rd_link_stream_link(stream)));
}

static void on_end(rd_link_stream *stream, void *context)
{
    (void)stream; /* a GET ends its side at once: the answer is what is endless */
    (void)context;
}

static void on_closed(rd_link_stream *stream, void *context, const rd_err *error)
{
    (void)context;
    (void)error;
    uplink_session *of = rd_link_context(rd_link_stream_link(stream));
    if (of && of->grants == stream)
        of->grants = NULL;
}

static const rd_link_stream_events feed = { .on_room = on_room, .on_end = on_end, .on_closed = on_closed };

void uplink_on_grants(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                      const rd_link_exchange *exchange, const char *rest)
{
    (void)exchange;
    (void)rest;
    if (of->grants)
        rd_link_stream_end(of->grants);
    of->grants = stream;
    of->sent_grant = 0; /* all that still want one */
    rd_link_accept(stream, &feed, uplink);
    uplink_pump_grants(uplink, of);
}

/* ---- what comes for them ---- */

/* "ins_….epoch" */
static int parse_lease(const char *text, char instance[RD_ID_TEXT_SIZE], uint64_t *ret_epoch, rd_err *err)
{
    const char *dot = strchr(text, '.');
    size_t size = dot ? (size_t)(dot - text) : 0;
    if (size == 0 || size >= RD_ID_TEXT_SIZE || rd_parse_u64(dot + 1, strlen(dot + 1), INT64_MAX, ret_epoch) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "expected instance.epoch");
    memcpy(instance, text, size);
    instance[size] = '\0';
    return 0;
}

static void answer(rd_link_stream *stream, int outcome, const rd_err *err)
{
    if (outcome < 0)
        rd_link_answer_error(stream, err);
    else
        rd_link_answer(stream, 204, RD_BYTES_NULL);
}

typedef struct grant_nonce {
    uint8_t nonce[32];
    rd_buf head;
} grant_nonce;

static const rd_json_field nonce_fields[] = {
    { .name = "head",
      .kind = RD_JSON_B64_BUF,
      .offset = offsetof(grant_nonce, head),
      .flags = RD_OPTIONAL,
      .max = (int64_t)RD_ENVELOPE_SIZE_MAX },
    { .name = "nonce", .kind = RD_JSON_B64, .offset = offsetof(grant_nonce, nonce), .max = 32 },
    RD_JSON_END,
};

static void grant_nonce_done(grant_nonce *body)
{
    rd_buf_done(&body->head);
}

void uplink_on_grant_nonce(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                           const rd_link_exchange *exchange, const char *rest)
{
    (void)of;
    char instance[RD_ID_TEXT_SIZE];
    uint64_t epoch = 0;
    static const rd_json_limits limits = { .size_max = 2 * RD_ENVELOPE_SIZE_MAX };
    RD_CLEANUP(grant_nonce_done) grant_nonce body = { .nonce = { 0 } };
    rd_err err = RD_ERR_INIT;
    int outcome = parse_lease(rest, instance, &epoch, &err);
    if (outcome == 0)
        outcome = rd_json_load(exchange->body, &limits, nonce_fields, RD_UNKNOWN_IGNORED, &body, &err);
    if (outcome == 0)
        outcome = agent_instances_grant_nonce(uplink->config.instances, instance, epoch, body.nonce,
                                              rd_buf_bytes(&body.head), &err);
    answer(stream, outcome, &err);
}

void uplink_on_grant(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream, const rd_link_exchange *exchange,
                     const char *rest)
{
    (void)of;
    char instance[RD_ID_TEXT_SIZE];
    uint64_t epoch = 0;
    rd_err err = RD_ERR_INIT;
    int outcome = parse_lease(rest, instance, &epoch, &err);
    if (outcome == 0)
        outcome = agent_instances_grant(uplink->config.instances, instance, epoch, exchange->body, &err);
    answer(stream, outcome, &err);
}

typedef struct refusal {
    char code[AGENT_REASON_MAX + 1];
    char *detail;
} refusal;

static const rd_json_field refusal_fields[] = {
    { .name = "code", .kind = RD_JSON_TEXT, .offset = offsetof(refusal, code), .min = 1, .max = AGENT_REASON_MAX },
    { .name = "detail", .kind = RD_JSON_STRING, .offset = offsetof(refusal, detail), .max = 4096 },
    RD_JSON_END,
};

void uplink_on_refusal(agent_uplink *uplink, uplink_session *of, rd_link_stream *stream,
                       const rd_link_exchange *exchange, const char *rest)
{
    (void)of;
    char instance[RD_ID_TEXT_SIZE];
    uint64_t epoch = 0;
    refusal body = { .detail = NULL };
    rd_err err = RD_ERR_INIT;
    int outcome = parse_lease(rest, instance, &epoch, &err);
    if (outcome == 0)
        outcome = rd_json_load(exchange->body, NULL, refusal_fields, RD_UNKNOWN_IGNORED, &body, &err);
    if (outcome == 0)
        outcome =
            agent_instances_grant_refused(uplink->config.instances, instance, epoch, body.code, body.detail, &err);
    free(body.detail);
    answer(stream, outcome, &err);
}
