#include "common/model/evidence.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/model/canonical.h"

#include <string.h>

#define TYPE "redoubt/evidence/v1"

void rd_launch_header_encode(const rd_launch_header *header, uint8_t out[RD_LAUNCH_HEADER_SIZE])
{
    memcpy(out, header->app.b, 32);
    memcpy(out + 32, header->release.b, 32);
    memcpy(out + 64, header->kms_set.b, 32);
}

int rd_launch_header_parse(rd_bytes bytes, rd_launch_header *ret, rd_err *err)
{
    if (bytes.size != RD_LAUNCH_HEADER_SIZE)
        return rd_err_set(err, bytes.size < RD_LAUNCH_HEADER_SIZE ? RD_E_TRUNCATED : RD_E_TRAILING,
                          "launch header: %zu bytes, not %d", bytes.size, RD_LAUNCH_HEADER_SIZE);
    rd_cursor cursor = rd_cursor_of(bytes);
    rd_cursor_copy(&cursor, ret->app.b, 32);
    rd_cursor_copy(&cursor, ret->release.b, 32);
    rd_cursor_copy(&cursor, ret->kms_set.b, 32);
    return 0;
}

void rd_kms_set_digest(const rd_kms_id *ids, size_t count, rd_digest *ret)
{
    RD_CLEANUP(rd_free_p) rd_bytes *parts = rd_alloc_array(count, sizeof *parts);
    for (size_t i = 0; i < count; i++)
        parts[i] = RD_BYTES_ARRAY(ids[i].b);
    rd_h(RD_HASH_KMS_SET, parts, count, ret->b);
}

void rd_event_digest(const char *name, rd_bytes payload, uint8_t out[RD_RTMR_SIZE])
{
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA384);
    rd_hasher_frame(&hasher, RD_HASH_RTMR_EVENT, (const rd_bytes[]){ rd_bytes_str(name), payload }, 2);
    rd_hasher_final(&hasher, out);
}

void rd_rtmr_extend(uint8_t rtmr[RD_RTMR_SIZE], const uint8_t digest[RD_RTMR_SIZE])
{
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA384);
    rd_hasher_update(&hasher, rd_bytes_of(rtmr, RD_RTMR_SIZE));
    rd_hasher_update(&hasher, rd_bytes_of(digest, RD_RTMR_SIZE));
    rd_hasher_final(&hasher, rtmr);
}

static void extend_by_event(uint8_t rtmr[RD_RTMR_SIZE], const char *name, rd_bytes payload)
{
    uint8_t digest[RD_RTMR_SIZE];
    rd_event_digest(name, payload, digest);
    rd_rtmr_extend(rtmr, digest);
}

void rd_rtmr3_of_launch(const uint8_t header[RD_LAUNCH_HEADER_SIZE], uint8_t out[RD_RTMR_SIZE])
{
    memset(out, 0, RD_RTMR_SIZE);
    extend_by_event(out, RD_EVENT_APP, rd_bytes_of(header, RD_LAUNCH_HEADER_SIZE));
    extend_by_event(out, RD_EVENT_CLOSED, RD_BYTES_NULL);
}

void rd_event_log_replay(const rd_event *events, size_t count, uint32_t reg, uint8_t out[RD_RTMR_SIZE])
{
    memset(out, 0, RD_RTMR_SIZE);
    for (size_t i = 0; i < count; i++)
        if (events[i].reg == reg)
            extend_by_event(out, events[i].name, rd_bytes_of(events[i].payload, events[i].payload_size));
}

void rd_evidence_done(rd_evidence *evidence)
{
    rd_buf_done(&evidence->quote);
    rd_buf_done(&evidence->statement_bytes);
}

typedef struct event_row {
    uint32_t reg;
    char name[RD_EVENT_NAME_MAX + 1];
    rd_buf payload;
    uint8_t digest[RD_RTMR_SIZE];
} event_row;

static const rd_json_field event_fields[] = {
    { "digest", RD_JSON_HEX, offsetof(event_row, digest), RD_REQUIRED, .max = RD_RTMR_SIZE },
    { "event", RD_JSON_TEXT, offsetof(event_row, name), RD_REQUIRED, .min = 1, .max = RD_EVENT_NAME_MAX },
    { "payload", RD_JSON_B64_BUF, offsetof(event_row, payload), RD_REQUIRED, .max = RD_EVENT_PAYLOAD_MAX },
    { "register", RD_JSON_U32, offsetof(event_row, reg), RD_REQUIRED, .min = 3, .max = 3 },
    RD_JSON_END,
};

static int keep_event(const event_row *row, const char *pointer, rd_event *into, rd_err *err)
{
    uint8_t digest[RD_RTMR_SIZE];
    rd_event_digest(row->name, rd_buf_bytes(&row->payload), digest);
    if (memcmp(digest, row->digest, sizeof digest) != 0) {
        (void)rd_err_set(err, RD_E_EVENTLOG, "the digest is not that of name and payload");
        return rd_err_at(err, pointer);
    }
    *into = (rd_event){ .reg = row->reg, .payload_size = row->payload.size };
    memcpy(into->name, row->name, sizeof into->name);
    if (row->payload.size)
        memcpy(into->payload, row->payload.data, row->payload.size);
    return 0;
}

static int read_event(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_evidence *evidence = context;
    event_row row = { 0 };
    int outcome = rd_json_read(item, event_fields, RD_UNKNOWN_REFUSED, pointer, &row, err);
    if (outcome == 0)
        outcome = keep_event(&row, pointer, &evidence->events[index], err);
    if (outcome == 0)
        evidence->events_count = index + 1;
    rd_buf_done(&row.payload);
    return outcome;
}

static int read_event_log(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_EVENTS_MAX, pointer, read_event, into, err);
}

static int read_sibling(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_nonce_path *path = context;
    path->count = index + 1;
    return rd_json_digest(item, pointer, &path->siblings[index], err);
}

static int read_siblings(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_NONCE_PATH_MAX, pointer, read_sibling, into, err);
}

static const rd_json_field path_fields[] = {
    { "siblings", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_siblings },
    { "sides", RD_JSON_U32, offsetof(rd_nonce_path, sides), RD_REQUIRED, .max = (int64_t)RD_NONCES_MAX - 1 },
    RD_JSON_END,
};

static int read_nonce_path(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_nonce_path *path = into;
    if (rd_json_read(value, path_fields, RD_UNKNOWN_REFUSED, pointer, path, err) < 0)
        return -1;
    if (path->sides >> path->count == 0)
        return 0;
    (void)rd_err_set(err, RD_E_JSON_RANGE, "sides tells of more siblings than %zu", path->count);
    return rd_err_at(err, pointer);
}

static const rd_json_field evidence_fields[] = {
    { "event_log", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_event_log },
    { "format", RD_JSON_CONST, 0, RD_REQUIRED, .text = "tdx-quote" },
    { "nonce_path", RD_JSON_CUSTOM, offsetof(rd_evidence, nonce_path), RD_OPTIONAL, .parse = read_nonce_path,
      .has = RD_HAS(rd_evidence, has_nonce_path) },
    { "quote", RD_JSON_B64_BUF, offsetof(rd_evidence, quote), RD_REQUIRED, .min = 1,
      .max = (int64_t)RD_QUOTE_SIZE_MAX },
    { "statement", RD_JSON_B64_BUF, offsetof(rd_evidence, statement_bytes), RD_REQUIRED, .min = 1,
      .max = (int64_t)RD_JSON_SIZE_MAX },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = TYPE },
    RD_JSON_END,
};

bool rd_purpose_shares_quotes(rd_purpose purpose)
{
    return purpose == RD_PURPOSE_CLIENT || purpose == RD_PURPOSE_KMS;
}

bool rd_evidence_answers(const rd_evidence *evidence, const uint8_t nonce[RD_NONCE_SIZE])
{
    uint8_t root[RD_NONCE_SIZE];
    if (!evidence->has_nonce_path)
        return rd_equal_ct(nonce, evidence->statement.nonce, RD_NONCE_SIZE);
    rd_nonce_path_root(&evidence->nonce_path, nonce, root);
    return rd_equal_ct(root, evidence->statement.nonce, RD_NONCE_SIZE);
}

static int check_path(const rd_evidence *evidence, rd_err *err)
{
    rd_purpose purpose = evidence->statement.purpose;
    if (evidence->has_nonce_path == rd_purpose_shares_quotes(purpose))
        return 0;
    (void)rd_err_set(err, evidence->has_nonce_path ? RD_E_JSON_UNKNOWN : RD_E_JSON_MISSING,
                     "evidence of purpose %s %s a path from the asker's nonce", rd_purpose_name(purpose),
                     evidence->has_nonce_path ? "has not" : "has");
    return rd_err_at(err, "/nonce_path");
}

int rd_evidence_parse(rd_bytes canonical, rd_evidence *ret, rd_err *err)
{
    *ret = (rd_evidence){ 0 };
    if (rd_document_load(canonical, TYPE, evidence_fields, ret, err) < 0 ||
        rd_statement_parse(rd_buf_bytes(&ret->statement_bytes), &ret->statement, err) < 0 || check_path(ret, err) < 0)
        return rd_err_wrap(err, "evidence");
    return 0;
}

static json_t *event_to_json(const char *name, rd_bytes payload)
{
    uint8_t digest[RD_RTMR_SIZE];
    rd_event_digest(name, payload, digest);
    json_t *event = json_object();
    rd_json_set_int(event, "register", 3);
    rd_json_set_str(event, "event", name);
    rd_json_set_b64(event, "payload", payload);
    rd_json_set_hex(event, "digest", RD_BYTES_ARRAY(digest));
    return event;
}

static json_t *path_to_json(const rd_nonce_path *path)
{
    json_t *object = json_object(), *siblings = json_array();
    for (size_t i = 0; i < path->count; i++)
        (void)json_array_append_new(siblings, rd_json_new_digest(&path->siblings[i]));
    rd_json_set(object, "siblings", siblings);
    rd_json_set_int(object, "sides", path->sides);
    return object;
}

int rd_evidence_encode(rd_bytes quote, rd_bytes statement, const uint8_t *header, const rd_nonce_path *path,
                       rd_buf *out, rd_err *err)
{
    if (quote.size == 0 || quote.size > RD_QUOTE_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "quote of %zu bytes, not 1..%zu", quote.size, RD_QUOTE_SIZE_MAX);
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    json_t *log = json_array();
    if (header) {
        (void)json_array_append_new(log, event_to_json(RD_EVENT_APP, rd_bytes_of(header, RD_LAUNCH_HEADER_SIZE)));
        (void)json_array_append_new(log, event_to_json(RD_EVENT_CLOSED, RD_BYTES_NULL));
    }
    rd_json_set_str(document, "type", TYPE);
    rd_json_set_str(document, "format", "tdx-quote");
    rd_json_set_b64(document, "quote", quote);
    rd_json_set_b64(document, "statement", statement);
    rd_json_set(document, "event_log", log);
    if (path)
        rd_json_set(document, "nonce_path", path_to_json(path));
    return rd_canonical_write(document, out, err);
}

static int refuse_log(rd_err *err, const char *sentence)
{
    (void)rd_err_set(err, RD_E_EVENTLOG, "event log: %s", sentence);
    return rd_err_at(err, "/event_log");
}

static bool is_event(const rd_event *event, const char *name, size_t payload_size)
{
    return event->reg == 3 && strcmp(event->name, name) == 0 && event->payload_size == payload_size;
}

static bool is_of_kms(rd_purpose purpose)
{
    return purpose == RD_PURPOSE_KMS || purpose == RD_PURPOSE_JOIN || purpose == RD_PURPOSE_ADMIT;
}

void rd_kms_launch_header(const rd_kms_id *kms, bool waits, uint8_t out[RD_LAUNCH_HEADER_SIZE])
{
    memset(out, 0, 64);
    out[63] = waits;
    memcpy(out + 64, kms->b, 32);
}

static int check_launch_events(const rd_evidence *evidence, rd_err *err)
{
    const rd_event *events = evidence->events;
    const rd_statement *statement = &evidence->statement;
    if (evidence->events_count != 2 || !is_event(&events[0], RD_EVENT_APP, RD_LAUNCH_HEADER_SIZE) ||
        !is_event(&events[1], RD_EVENT_CLOSED, 0))
        return refuse_log(err, "must be redoubt.app with 96 bytes and redoubt.closed, nothing else");
    uint8_t wanted[RD_LAUNCH_HEADER_SIZE];
    rd_launch_header header = { .app = statement->app, .release = statement->release };
    rd_kms_set_digest(statement->kms, statement->kms_count, &header.kms_set);
    if (is_of_kms(statement->purpose))
        rd_kms_launch_header(&statement->kms[0], statement->purpose == RD_PURPOSE_JOIN, wanted);
    else
        rd_launch_header_encode(&header, wanted);
    if (memcmp(events[0].payload, wanted, 64) != 0)
        return refuse_log(err, "launched for another app or release than the statement says");
    if (memcmp(events[0].payload + 64, wanted + 64, 32) != 0)
        return refuse_log(err, "launched with another set of KMS than the statement says");
    return 0;
}

int rd_evidence_check_log(const rd_evidence *evidence, uint8_t out_rtmr3[RD_RTMR_SIZE], rd_err *err)
{
    rd_purpose purpose = evidence->statement.purpose;
    bool is_blank = purpose == RD_PURPOSE_ENROL || purpose == RD_PURPOSE_BLANK;
    if (is_blank && evidence->events_count != 0)
        return refuse_log(err, "must be empty before an app is launched");
    if (!is_blank && check_launch_events(evidence, err) < 0)
        return -1;
    rd_event_log_replay(evidence->events, evidence->events_count, 3, out_rtmr3);
    return 0;
}
