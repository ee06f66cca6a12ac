#include "api/agents_words.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/link.h"
#include "common/model/engine_name.h"
#include "common/model/evidence.h"
#include "common/model/json.h"
#include "common/model/receipt_record.h"

/* --- hello --- */

void api_hello_done(api_hello *h)
{
    free(h->inventory);
    rd_buf_done(&h->kms_genesis);
}

static const char *const phase_names[] = { "",         "delivered", "launching", "attesting", "serving", "unhealthy",
                                           "stopping", "refused",   "failed",    "stopped",   NULL };

static const rd_json_field floor_fields[] = {
    { .name = "era", .kind = RD_JSON_I64, .offset = offsetof(api_hello, floor_era), .min = 0, .max = 8191 },
    { .name = "job_seq", .kind = RD_JSON_U64, .offset = offsetof(api_hello, floor_seq) },
    RD_JSON_END,
};
static const rd_json_field capacity_fields[] = {
    { .name = "cpu_m", .kind = RD_JSON_I64, .offset = offsetof(api_hello, cpu_m), .min = 0, .max = 1000000000 },
    { .name = "memory_bytes",
      .kind = RD_JSON_I64,
      .offset = offsetof(api_hello, memory_bytes),
      .min = 0,
      .max = INT64_C(1) << 50 },
    { .name = "slots", .kind = RD_JSON_I64, .offset = offsetof(api_hello, slots), .min = 0, .max = 1000000 },
    RD_JSON_END,
};
static const rd_json_field item_fields[] = {
    { .name = "instance",
      .kind = RD_JSON_ID,
      .offset = offsetof(api_inventory_item, instance),
      .text = RD_PREFIX_INSTANCE },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(api_inventory_item, epoch) },
    { .name = "phase", .kind = RD_JSON_ENUM, .offset = offsetof(api_inventory_item, phase), .names = phase_names },
    RD_JSON_END,
};

static int read_item(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    api_hello *h = context;
    h->inventory_count = index + 1;
    return rd_json_read(item, item_fields, RD_UNKNOWN_IGNORED, pointer, &h->inventory[index], err);
}

static int read_inventory(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    api_hello *h = RD_CONTAINER_OF(into, api_hello, inventory);
    h->inventory = rd_alloc_array(RD_MAX(json_array_size(value), (size_t)1), sizeof *h->inventory);
    return rd_json_each(value, 0, API_LEASES_A_HOST, pointer, read_item, h, err);
}

static int read_need(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    api_hello *h = context;
    h->need_count = index + 1;
    return rd_json_digest(item, pointer, &h->needs[index], err);
}

static int read_needs(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, API_NEEDS_MAX, pointer, read_need, RD_CONTAINER_OF(into, api_hello, needs), err);
}

/* Names that this plane does not know are none of its business. */
static int read_engine(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    api_hello *h = context;
    (void)index;
    if (!json_is_string(item)) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "an engine is a text");
        return rd_err_at(err, pointer);
    }
    h->has_jsc = h->has_jsc || strcmp(json_string_value(item), rd_engine_names[RD_ENGINE_JSC]) == 0;
    return 0;
}

static int read_engines(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, 16, pointer, read_engine, RD_CONTAINER_OF(into, api_hello, has_jsc), err);
}

static const rd_json_field kms_fields[] = {
    { .name = "id", .kind = RD_JSON_KMS_ID, .offset = offsetof(api_hello, kms) },
    { .name = "genesis",
      .kind = RD_JSON_B64_BUF,
      .offset = offsetof(api_hello, kms_genesis),
      .min = 1,
      .max = (int64_t)RD_JSON_SIZE_MAX },
    RD_JSON_END,
};

static const rd_json_field hello_fields[] = {
    { .name = "journal_id", .kind = RD_JSON_TEXT, .offset = offsetof(api_hello, journal_id), .min = 1, .max = 64 },
    { .name = "boot_id", .kind = RD_JSON_TEXT, .offset = offsetof(api_hello, boot_id), .max = 64 },
    { .name = "agent_version", .kind = RD_JSON_TEXT, .offset = offsetof(api_hello, agent_version), .max = 64 },
    { .name = "engines",
      .kind = RD_JSON_CUSTOM,
      .offset = offsetof(api_hello, has_jsc),
      .flags = RD_OPTIONAL,
      .parse = read_engines },
    { .name = "floor", .kind = RD_JSON_OBJECT, .offset = 0, .fields = floor_fields },
    { .name = "last_event", .kind = RD_JSON_U64, .offset = offsetof(api_hello, last_event) },
    { .name = "acked_event", .kind = RD_JSON_U64, .offset = offsetof(api_hello, acked_event) },
    { .name = "incarnation", .kind = RD_JSON_U64, .offset = offsetof(api_hello, incarnation), .flags = RD_OPTIONAL },
    { .name = "clock", .kind = RD_JSON_TIME, .offset = offsetof(api_hello, clock_us) },
    { .name = "capacity", .kind = RD_JSON_OBJECT, .offset = 0, .fields = capacity_fields },
    { .name = "inventory", .kind = RD_JSON_CUSTOM, .offset = offsetof(api_hello, inventory), .parse = read_inventory },
    { .name = "needs",
      .kind = RD_JSON_CUSTOM,
      .offset = offsetof(api_hello, needs),
      .flags = RD_OPTIONAL,
      .parse = read_needs },
    { .name = "kms",
      .kind = RD_JSON_OBJECT,
      .offset = 0,
      .flags = RD_OPTIONAL | RD_NULLABLE,
      .has = RD_HAS(api_hello, has_kms),
      .fields = kms_fields },
    RD_JSON_END,
};

int api_hello_read(rd_bytes body, api_hello *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_LINK_BODY_MAX };
    return rd_json_load(body, &limits, hello_fields, RD_UNKNOWN_IGNORED, ret, err);
}

/* --- a line of the event stream --- */

static const rd_json_field event_fields[] = {
    { .name = "seq", .kind = RD_JSON_U64, .offset = offsetof(api_event_line, seq), .min = 1 },
    { .name = "incarnation",
      .kind = RD_JSON_U64,
      .offset = offsetof(api_event_line, incarnation),
      .flags = RD_OPTIONAL },
    { .name = "instance",
      .kind = RD_JSON_ID,
      .offset = offsetof(api_event_line, instance),
      .text = RD_PREFIX_INSTANCE },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(api_event_line, epoch) },
    { .name = "phase", .kind = RD_JSON_ENUM, .offset = offsetof(api_event_line, phase), .names = phase_names },
    { .name = "reason",
      .kind = RD_JSON_STRING,
      .offset = offsetof(api_event_line, reason),
      .max = 4096,
      .flags = RD_OPTIONAL | RD_NULLABLE },
    { .name = "detail",
      .kind = RD_JSON_STRING,
      .offset = offsetof(api_event_line, detail),
      .max = 16384,
      .flags = RD_OPTIONAL | RD_NULLABLE },
    { .name = "evidence",
      .kind = RD_JSON_DIGEST,
      .offset = offsetof(api_event_line, evidence),
      .flags = RD_OPTIONAL | RD_NULLABLE,
      .has = RD_HAS(api_event_line, has_evidence) },
    { .name = "bundle",
      .kind = RD_JSON_B64_BUF,
      .offset = offsetof(api_event_line, bundle),
      .min = 1,
      .max = RD_LINK_LINE_MAX,
      .flags = RD_OPTIONAL | RD_NULLABLE },
    RD_JSON_END,
};

int api_event_line_read(rd_bytes line, api_event_line *ret, rd_err *err)
{
    return rd_json_load(line, NULL, event_fields, RD_UNKNOWN_IGNORED, ret, err);
}

void api_event_line_done(api_event_line *line)
{
    free(line->reason);
    free(line->detail);
    rd_buf_done(&line->bundle);
}

/* --- a line of the log stream --- */

static const rd_json_field log_fields[] = {
    { .name = "instance",
      .kind = RD_JSON_ID,
      .offset = offsetof(api_log_words, instance),
      .text = RD_PREFIX_INSTANCE,
      .flags = RD_OPTIONAL | RD_NULLABLE,
      .has = RD_HAS(api_log_words, has_instance) },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(api_log_words, epoch), .flags = RD_OPTIONAL },
    { .name = "level",
      .kind = RD_JSON_STRING,
      .offset = offsetof(api_log_words, level),
      .max = 32,
      .flags = RD_OPTIONAL },
    { .name = "text",
      .kind = RD_JSON_STRING,
      .offset = offsetof(api_log_words, text),
      .max = 32768,
      .flags = RD_OPTIONAL },
    { .name = "at", .kind = RD_JSON_TIME, .offset = offsetof(api_log_words, at_us), .flags = RD_OPTIONAL },
    { .name = "dropped", .kind = RD_JSON_U64, .offset = offsetof(api_log_words, dropped), .flags = RD_OPTIONAL },
    RD_JSON_END,
};

int api_log_words_read(rd_bytes line, api_log_words *ret, rd_err *err)
{
    return rd_json_load(line, NULL, log_fields, RD_UNKNOWN_IGNORED, ret, err);
}

void api_log_words_done(api_log_words *line)
{
    free(line->level);
    free(line->text);
}

/* --- a line of the wishes for grants --- */

static const rd_json_field grant_fields[] = {
    { .name = "instance",
      .kind = RD_JSON_ID,
      .offset = offsetof(api_grant_line, instance),
      .text = RD_PREFIX_INSTANCE },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(api_grant_line, epoch) },
    { .name = "bundle",
      .kind = RD_JSON_B64_BUF,
      .offset = offsetof(api_grant_line, bundle),
      .flags = RD_NULLABLE,
      .min = 1,
      .max = (int64_t)RD_EVIDENCE_SIZE_MAX,
      .has = RD_HAS(api_grant_line, has_bundle) },
    { .name = "webhook",
      .kind = RD_JSON_B64,
      .offset = offsetof(api_grant_line, webhook),
      .flags = RD_OPTIONAL,
      .max = RD_WEBHOOK_ANSWER_SIZE,
      .has = RD_HAS(api_grant_line, has_webhook) },
    RD_JSON_END,
};

int api_grant_line_read(rd_bytes line, api_grant_line *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_LINK_LINE_MAX };
    return rd_json_load(line, &limits, grant_fields, RD_UNKNOWN_IGNORED, ret, err);
}

void api_grant_line_done(api_grant_line *line)
{
    rd_buf_done(&line->bundle);
}

/* --- receipts --- */

static const rd_json_field receipts_fields[] = {
    { .name = "n", .kind = RD_JSON_U64, .offset = offsetof(api_receipts_line, number), .min = 1 },
    { .name = "instance",
      .kind = RD_JSON_ID,
      .offset = offsetof(api_receipts_line, instance),
      .text = RD_PREFIX_INSTANCE },
    { .name = "epoch", .kind = RD_JSON_U64, .offset = offsetof(api_receipts_line, epoch) },
    RD_JSON_END,
};

/* Many of them a second, and most of each is the record: it stands behind the object, where no parser of JSON walks it.
 */
int api_receipts_line_read(rd_bytes line, api_receipts_line *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = 512 };
    const uint8_t *space = memchr(line.data, ' ', RD_MIN(line.size, limits.size_max));
    size_t head = space ? (size_t)(space - line.data) : line.size;
    if (rd_json_load(rd_bytes_of(line.data, head), &limits, receipts_fields, RD_UNKNOWN_IGNORED, ret, err) < 0)
        return -1;
    rd_bytes text = space ? rd_bytes_of(space + 1, line.size - head - 1) : RD_BYTES_NULL;
    rd_buf_init(&ret->record, RD_RECEIPT_RECORD_SIZE_MAX);
    size_t room = text.size * 3 / 4; /* what it decodes to, exactly */
    uint8_t *out = rd_buf_reserve(&ret->record, room);
    ssize_t size = out ? rd_base64url_decode((const char *)text.data, text.size, out, room) : -1;
    if (size > 0)
        rd_buf_commit(&ret->record, (size_t)size);
    return 0;
}

void api_receipts_line_done(api_receipts_line *line)
{
    rd_buf_done(&line->record);
}

/* --- a certificate request --- */

typedef struct csr_answer {
    char *csr;
} csr_answer;

static const rd_json_field csr_fields[] = {
    { .name = "csr", .kind = RD_JSON_STRING, .offset = offsetof(csr_answer, csr), .min = 1, .max = 8192 },
    RD_JSON_END,
};

int api_csr_read(rd_bytes body, char **ret, rd_err *err)
{
    csr_answer answer = { 0 };
    int rc = rd_json_load(body, NULL, csr_fields, RD_UNKNOWN_IGNORED, &answer, err);
    if (rc < 0)
        free(answer.csr);
    else
        *ret = answer.csr;
    return rc;
}
