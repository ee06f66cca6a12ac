#include "attest/eventlog.h"

#include <string.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/model/evidence.h"

#define ALG_SHA384   0x000c
#define EV_NO_ACTION 3u
#define EV_SEPARATOR 4u
#define CC_TYPE_TDX  2
#define SPEC_ID      "Spec ID Event03"

/* --- separators --- */

/* TCG PC Client Platform Firmware Profile, EV_SEPARATOR: what ends the firmware's part of a register is the digest of
 * four bytes, of zeros or of ones. The type beside a digest is nobody's word: a separator counts by its digest, so that
 * none can hide under another type. */
typedef struct replay {
    rd_register_log *log;
    uint8_t separators[2][RD_RTMR_SIZE];
    unsigned has_events, has_separator; /* a bit a register */
} replay;

static replay replay_into(rd_register_log *log)
{
    static const uint8_t zeros[4], ones[4] = { 0xff, 0xff, 0xff, 0xff };
    replay ret = { .log = log };
    *log = (rd_register_log){ 0 };
    rd_sha384(RD_BYTES_ARRAY(zeros), ret.separators[0]);
    rd_sha384(RD_BYTES_ARRAY(ones), ret.separators[1]);
    return ret;
}

/* An event of register 0 to 3 (RTMR). */
static int extend(replay *into, uint32_t at, uint32_t type, const uint8_t digest[RD_RTMR_SIZE], rd_err *err)
{
    size_t count = into->log->event_count;
    bool is_separator = memcmp(digest, into->separators[0], RD_RTMR_SIZE) == 0 ||
                        memcmp(digest, into->separators[1], RD_RTMR_SIZE) == 0;
    if (type == EV_SEPARATOR && !is_separator)
        return rd_err_set(err, RD_E_EVENTLOG, "event %zu is called a separator and is none", count);
    if (is_separator && (into->has_separator & 1u << at))
        return rd_err_set(err, RD_E_EVENTLOG, "event %zu is a second separator in RTMR%u", count, at);
    into->has_events |= 1u << at;
    into->has_separator |= is_separator ? 1u << at : 0;
    rd_rtmr_extend(into->log->rtmr[at], digest);
    return 0;
}

/* RTMR0 and RTMR1 are the firmware's: whatever it measured there it ended. */
static int check_ended(const replay *into, rd_err *err)
{
    for (unsigned at = 0; at < 2; at++)
        if ((into->has_events & ~into->has_separator) & 1u << at)
            return rd_err_set(err, RD_E_EVENTLOG, "no separator in RTMR%u", at);
    return 0;
}

/* --- CCEL --- */

static bool is_all(rd_bytes bytes, uint8_t value)
{
    for (size_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] != value)
            return false;
    return true;
}

/* TCG PFP 10.4.5.1: the first event, in the old form, lists the algorithms: SHA-384 alone. */
static int read_header(rd_cursor *in, rd_err *err)
{
    (void)rd_cursor_u32le(in);
    uint32_t type = rd_cursor_u32le(in);
    rd_bytes digest = rd_cursor_take(in, 20);
    uint32_t size = rd_cursor_u32le(in);
    rd_cursor data = rd_cursor_of(rd_cursor_take(in, size));
    rd_bytes signature = rd_cursor_take(&data, sizeof SPEC_ID);
    rd_cursor_skip(&data, 8);
    uint32_t algorithms = rd_cursor_u32le(&data);
    uint16_t algorithm = rd_cursor_u16le(&data), digest_size = rd_cursor_u16le(&data);
    uint8_t vendor_size = rd_cursor_u8(&data);
    rd_cursor_skip(&data, vendor_size);
    if (!rd_cursor_is_ok(in) || !rd_cursor_is_done(&data) || type != EV_NO_ACTION || !is_all(digest, 0) ||
        memcmp(signature.data, SPEC_ID, sizeof SPEC_ID) != 0)
        return rd_err_set(err, RD_E_EVENTLOG, "the log does not begin with a " SPEC_ID);
    if (algorithms != 1 || algorithm != ALG_SHA384 || digest_size != RD_RTMR_SIZE)
        return rd_err_set(err, RD_E_EVENTLOG, "the log's digests are not SHA-384 alone");
    return 0;
}

/* Index 0 is MRTD, 1 to 4 are RTMR0 to RTMR3. The data of a separator is what was hashed. */
static int apply(replay *into, uint32_t index, uint32_t type, const uint8_t digest[48], rd_bytes data, rd_err *err)
{
    uint8_t wanted[RD_RTMR_SIZE];
    if (index > 4)
        return rd_err_set(err, RD_E_EVENTLOG, "event %zu is of register %u", into->log->event_count, index);
    if (type == EV_SEPARATOR)
        rd_sha384(data, wanted);
    if (type == EV_SEPARATOR && memcmp(digest, wanted, sizeof wanted) != 0)
        return rd_err_set(err, RD_E_EVENTLOG, "event %zu is a separator of other data", into->log->event_count);
    return index == 0 || type == EV_NO_ACTION ? 0 : extend(into, index - 1, type, digest, err);
}

static int read_event(rd_cursor *in, replay *into, rd_err *err)
{
    uint32_t index = rd_cursor_u32le(in), type = rd_cursor_u32le(in), count = rd_cursor_u32le(in);
    uint16_t algorithm = rd_cursor_u16le(in);
    rd_bytes digest = rd_cursor_take(in, RD_RTMR_SIZE);
    uint32_t size = rd_cursor_u32le(in);
    rd_bytes data = rd_cursor_take(in, size);
    if (!rd_cursor_is_ok(in))
        return rd_err_set(err, RD_E_EVENTLOG, "event %zu ends behind the log", into->log->event_count);
    if (count != 1 || algorithm != ALG_SHA384)
        return rd_err_set(err, RD_E_EVENTLOG, "event %zu has digests other than one SHA-384", into->log->event_count);
    return apply(into, index, type, digest.data, data, err);
}

/* What is left is padding: all ones or all zeros. A log may also fill its area. */
static bool is_at_end(const rd_cursor *in)
{
    rd_cursor rest = *in;
    rd_bytes bytes = rd_cursor_rest(&rest);
    if (bytes.size == 0)
        return true;
    return (bytes.data[0] == 0xff || bytes.data[0] == 0) && is_all(bytes, bytes.data[0]);
}

int rd_ccel_replay(rd_bytes area, rd_register_log *ret, rd_err *err)
{
    replay into = replay_into(ret);
    rd_cursor in = rd_cursor_of(area);
    if (area.size > RD_EVENTLOG_SIZE_MAX)
        return rd_err_set(err, RD_E_EVENTLOG, "log of %zu bytes, at most %zu", area.size, RD_EVENTLOG_SIZE_MAX);
    if (read_header(&in, err) < 0)
        return -1;
    while (!is_at_end(&in)) {
        if (ret->event_count == RD_EVENTLOG_EVENTS_MAX)
            return rd_err_set(err, RD_E_EVENTLOG, "more than %d events", RD_EVENTLOG_EVENTS_MAX);
        if (read_event(&in, &into, err) < 0)
            return -1;
        ret->event_count++;
    }
    ret->end = rd_cursor_offset(&in);
    return check_ended(&into, err);
}

/* UEFI 2.10, 38.3: 36 bytes of ACPI header, type, subtype, reserved, length and address of the area. */
int rd_ccel_table_check(rd_bytes table, size_t end, rd_err *err)
{
    rd_cursor in = rd_cursor_of(table);
    rd_bytes signature = rd_cursor_take(&in, 4);
    uint32_t size = rd_cursor_u32le(&in);
    rd_cursor_skip(&in, 28);
    uint8_t type = rd_cursor_u8(&in);
    rd_cursor_skip(&in, 3);
    uint64_t area_size = rd_cursor_u64le(&in);
    rd_cursor_skip(&in, 8);
    if (!rd_cursor_is_done(&in) || size != table.size || memcmp(signature.data, "CCEL", 4) != 0)
        return rd_err_set(err, RD_E_EVENTLOG, "not a CCEL table of 56 bytes");
    if (type != CC_TYPE_TDX)
        return rd_err_set(err, RD_E_EVENTLOG, "a CCEL table of type %u, expected %d (TDX)", type, CC_TYPE_TDX);
    if (area_size < end)
        return rd_err_set(err, RD_E_EVENTLOG, "the log is longer than its table's area");
    return 0;
}

/* --- dstack --- */

#define DSTACK_RUNTIME_EVENT 0x08000001u
#define DSTACK_PAYLOAD_MAX   ((size_t)64 << 10)

typedef struct dstack_event {
    uint32_t imr;
    uint32_t type;
    char *name;
    char *payload; /* hex */
    char *digest;  /* hex or empty; run-time events of the newer log have none */
} dstack_event;

static const rd_json_field dstack_fields[] = {
    { "imr", RD_JSON_U32, offsetof(dstack_event, imr), RD_REQUIRED, .max = 3 },
    { "event_type", RD_JSON_U32, offsetof(dstack_event, type), RD_REQUIRED },
    { "event", RD_JSON_STRING, offsetof(dstack_event, name), RD_REQUIRED, .max = 256 },
    { "event_payload", RD_JSON_STRING, offsetof(dstack_event, payload), RD_REQUIRED, .max = 2 * DSTACK_PAYLOAD_MAX },
    { "digest", RD_JSON_STRING, offsetof(dstack_event, digest), RD_OPTIONAL | RD_NULLABLE, .max = 96 },
    RD_JSON_END,
};

static void dstack_event_done(dstack_event *event)
{
    rd_free_p(&event->name);
    rd_free_p(&event->payload);
    rd_free_p(&event->digest);
}

/* SHA-384(type, 4 bytes little-endian ‖ ":" ‖ name ‖ ":" ‖ payload). */
static int runtime_digest(const dstack_event *event, uint8_t out[48], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    size_t size = strlen(event->payload) / 2;
    rd_buf_append_u32le(&bytes, event->type);
    rd_buf_printf(&bytes, ":%s:", event->name);
    uint8_t *room = rd_buf_reserve(&bytes, size + 1);
    if (!room || rd_hex_decode(event->payload, strlen(event->payload), room, size) < 0)
        return rd_err_set(err, RD_E_EVENTLOG, "the payload of %s is not hex", event->name);
    rd_buf_commit(&bytes, size);
    rd_sha384(rd_buf_bytes(&bytes), out);
    return 0;
}

static int apply_dstack(const dstack_event *event, replay *into, rd_err *err)
{
    uint8_t digest[48], given[48];
    bool is_runtime = event->type == DSTACK_RUNTIME_EVENT;
    bool is_given = event->digest && event->digest[0];
    if (is_given && rd_hex_decode(event->digest, strlen(event->digest), given, sizeof given) < 0)
        return rd_err_set(err, RD_E_EVENTLOG, "a digest is not 48 bytes of hex");
    if (!is_runtime && !is_given)
        return rd_err_set(err, RD_E_EVENTLOG, "a firmware event without digest");
    if (is_runtime && runtime_digest(event, digest, err) < 0)
        return -1;
    if (is_runtime && is_given && memcmp(digest, given, sizeof digest) != 0)
        return rd_err_set(err, RD_E_EVENTLOG, "the digest of %s is not that of its payload", event->name);
    return extend(into, event->imr, event->type, is_runtime ? digest : given, err);
}

static int read_dstack(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    RD_CLEANUP(dstack_event_done) dstack_event event = { 0 };
    replay *into = context;
    (void)index;
    if (rd_json_read(item, dstack_fields, RD_UNKNOWN_IGNORED, pointer, &event, err) < 0)
        return rd_err_set(err, RD_E_EVENTLOG, "%s is malformed", pointer);
    into->log->event_count++;
    return apply_dstack(&event, into, err);
}

int rd_dstack_replay(rd_bytes json, rd_register_log *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_EVENTLOG_SIZE_MAX };
    RD_CLEANUP(rd_json_free_p) json_t *root = NULL;
    rd_err why = RD_ERR_INIT;
    replay into = replay_into(ret);
    if (rd_json_parse(json, &limits, &root, &why) < 0 ||
        rd_json_each(root, 0, RD_EVENTLOG_EVENTS_MAX, "", read_dstack, &into, &why) < 0)
        return rd_err_set(err, RD_E_EVENTLOG, "%s", why.text);
    return check_ended(&into, err);
}

/* --- against the quote --- */

int rd_register_log_check(const rd_register_log *log, const rd_tdx_claims *tdx, rd_err *err)
{
    for (size_t i = 0; i < 4; i++)
        if (!rd_equal_ct(log->rtmr[i], tdx->rtmr[i], 48))
            return rd_err_set(err, RD_E_RTMR, "RTMR%zu is not the replay of the event log", i);
    return 0;
}
