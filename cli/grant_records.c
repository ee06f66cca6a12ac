#include "cli/grant_records.h"

#include "cli/kms_records.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_SIZE 320

typedef enum entry_state { ENTRY_UNREAD, ENTRY_FAILED, ENTRY_UNKNOWN, ENTRY_VERIFIED } entry_state;

typedef struct entry {
    json_t *row;
    entry_state state;
    rd_kms_record record; /* signed by the key that it names, unless the state is FAILED */
    rd_digest digest;
    rd_buf certificate; /* empty: none came with it */
} entry;

typedef struct reader {
    const rd_app_id *app;
    cli_grant_genesis_fn genesis_of;
    void *context;
    rd_table *certified; /* kms ‖ replica → something */
    cli_grant_findings *findings;
} reader;

typedef struct key_name {
    uint8_t b[64];
} key_name;

static key_name name_of(const rd_kms_record *record)
{
    key_name name;
    memcpy(name.b, record->kms.b, 32);
    memcpy(name.b + 32, record->replica.b, 32);
    return name;
}

static void fail(reader *r, entry *e, const rd_err *err)
{
    if (e->state == ENTRY_FAILED)
        return;
    e->state = ENTRY_FAILED;
    rd_json_set_str(e->row, "problem", err->text);
    if (r->findings->first[0] == '\0')
        (void)snprintf(r->findings->first, sizeof r->findings->first, "%s", err->text);
}

/* ---- what was signed ---- */

static void set_digest(json_t *row, const char *name, bool has, const rd_digest *digest)
{
    rd_json_set_digest(row, name, has ? digest : NULL);
}

static void put_record(json_t *row, const rd_kms_record *record)
{
    char words[WORDS_SIZE] = "";
    cli_kms_record_words(record, words, sizeof words);
    rd_json_set_time(row, "at", record->at_us);
    rd_json_set_kms_id(row, "kms", &record->kms);
    rd_json_set_b64(row, "replica", RD_BYTES_ARRAY(record->replica.b));
    rd_json_set_int(row, "number", (int64_t)record->number);
    rd_json_set_str(row, "kind", record->kind == RD_KMS_RECORD_GRANT ? "grant" : "refusal");
    if (record->has_instance) {
        rd_json_set_id(row, "instance", RD_PREFIX_INSTANCE, &record->instance);
        rd_json_set_int(row, "epoch", (int64_t)record->epoch);
    }
    rd_json_set_str(row, "reason", record->reason[0] ? record->reason : NULL);
    if (record->has_until)
        rd_json_set_time(row, "until", record->until_us);
    else
        rd_json_set_null(row, "until");
    set_digest(row, "release", record->has_release, &record->release);
    set_digest(row, "head", record->has_head, &record->head);
    rd_json_set_str(row, "words", words);
}

/* By the key that it names; whose that is comes later. */
static int open_record(rd_bytes bytes, rd_kms_record *ret, rd_digest *ret_digest, rd_err *err)
{
    RD_CLEANUP(rd_envelope_done) rd_envelope envelope = { 0 };
    rd_kms_record named;
    if (rd_envelope_parse(bytes, &envelope, err) < 0 ||
        rd_kms_record_parse(rd_buf_bytes(&envelope.document), &named, err) < 0)
        return -1;
    return rd_kms_record_accept(bytes, &named.replica, ret, ret_digest, err);
}

static int read_entry(entry *e, const json_t *item, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    if (!json_is_object(item))
        return rd_err_set(err, RD_E_JSON_TYPE, "the plane shows something that is no record");
    const json_t *certificate = json_object_get(item, "certificate");
    if (cli_json_b64(item, "record", RD_KMS_DOCUMENT_SIZE_MAX, &bytes, err) < 0 ||
        (json_is_string(certificate) &&
         cli_json_b64(item, "certificate", RD_KMS_DOCUMENT_SIZE_MAX, &e->certificate, err) < 0) ||
        open_record(rd_buf_bytes(&bytes), &e->record, &e->digest, err) < 0)
        return -1;
    put_record(e->row, &e->record);
    return 0;
}

/* What stays as it is where no record can be read. */
static json_t *row_of_plane(const json_t *item)
{
    static const char *const names[] = { "at",    "kms",    "replica", "number",      "kind",  "instance",
                                         "epoch", "reason", "until",   "certificate", "record" };
    json_t *row = json_object();
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        json_t *value = json_object_get(item, names[i]);
        (void)json_object_set_new(row, names[i], value ? json_incref(value) : json_null());
    }
    rd_json_set_str(row, "kept_at", cli_text(item, "at"));
    rd_json_set_null(row, "release");
    rd_json_set_null(row, "head");
    return row;
}

static void begin_entry(reader *r, entry *e, const json_t *item)
{
    rd_err err = RD_ERR_INIT;
    e->row = row_of_plane(item);
    rd_json_set_null(e->row, "problem");
    rd_json_set_str(e->row, "words", "it cannot be read");
    if (read_entry(e, item, &err) < 0)
        fail(r, e, &err);
}

/* ---- whose it is ---- */

/* A certificate is out of date within a month: it is judged at the time of the grant that it came with. The one beside
 * a refusal came with a grant before it, and tells whose key it is alone. */
static int certify(reader *r, const entry *e, rd_err *err)
{
    const rd_kms_record *record = &e->record;
    int64_t at_us = record->kind == RD_KMS_RECORD_GRANT ? record->at_us : 0;
    rd_kms_certificate certificate;
    const rd_kms_genesis *genesis = r->genesis_of(r->context, &record->kms, err);
    if (!genesis ||
        rd_kms_certificate_accept(rd_buf_bytes(&e->certificate), genesis, &record->kms, at_us, &certificate, err) < 0)
        return -1;
    if (!rd_public_key_equal(&certificate.key, &record->replica))
        return rd_err_set(err, RD_E_GRANT_SIGNATURE, "the certificate beside the record is of another key");
    key_name name = name_of(record);
    (void)rd_table_set(r->certified, RD_BYTES_ARRAY(name.b), r, NULL);
    return 0;
}

static void certify_entry(reader *r, entry *e)
{
    rd_err err = RD_ERR_INIT;
    if (e->state == ENTRY_UNREAD && e->certificate.size > 0 && certify(r, e, &err) < 0)
        fail(r, e, &err);
}

static int judge(const reader *r, entry *e, rd_err *err)
{
    const rd_kms_record *record = &e->record;
    key_name name = name_of(record);
    bool is_grant = record->kind == RD_KMS_RECORD_GRANT;
    if (!is_grant && record->kind != RD_KMS_RECORD_REFUSAL)
        return rd_err_set(err, RD_E_GRANT_MISMATCH, "record %" PRIu64 " is neither a grant nor a refusal",
                          record->number);
    if (record->has_app ? !rd_app_id_equal(&record->app, r->app) : is_grant)
        return rd_err_set(err, RD_E_GRANT_MISMATCH, "record %" PRIu64 " is of another app", record->number);
    bool is_certified = rd_table_get(r->certified, RD_BYTES_ARRAY(name.b)) != NULL;
    if (is_grant && !is_certified)
        return rd_err_set(err, RD_E_GRANT_SIGNATURE, "record %" PRIu64 " came without its replica's certificate",
                          record->number);
    e->state = is_certified ? ENTRY_VERIFIED : ENTRY_UNKNOWN;
    return 0;
}

/* ---- its replica's chain ---- */

static int compare(const void *a, const void *b)
{
    const rd_kms_record *x = &(*(entry *const *)a)->record, *y = &(*(entry *const *)b)->record;
    key_name first = name_of(x), second = name_of(y);
    int order = memcmp(first.b, second.b, sizeof first.b);
    return order ? order : (x->number > y->number) - (x->number < y->number);
}

/* Two neighbours of one replica, in the order of their numbers. */
static void link_pair(reader *r, entry *before, entry *after)
{
    uint64_t number = after->record.number;
    rd_err err = RD_ERR_INIT;
    if (before->record.number == number && !rd_digest_equal(&before->digest, &after->digest)) {
        (void)rd_err_set(&err, RD_E_SIGNATURE, "its replica signed two different records with the number %" PRIu64,
                         number);
        fail(r, before, &err);
        fail(r, after, &err);
        r->findings->equivocations++;
    } else if (before->record.number + 1 == number && !rd_digest_equal(&after->record.prev, &before->digest)) {
        (void)rd_err_set(&err, RD_E_SIGNATURE, "record %" PRIu64 " does not follow record %" PRIu64 " of its replica",
                         number, number - 1);
        fail(r, after, &err);
    }
}

static void check_chains(reader *r, entry *entries, size_t count)
{
    RD_CLEANUP(rd_free_p) entry **order = rd_alloc_array(count + 1, sizeof(entry *));
    size_t ordered = 0;
    for (size_t i = 0; i < count; i++)
        if (entries[i].state == ENTRY_VERIFIED)
            order[ordered++] = &entries[i];
    qsort(order, ordered, sizeof(entry *), compare);
    for (size_t i = 1; i < ordered; i++) {
        key_name before = name_of(&order[i - 1]->record), after = name_of(&order[i]->record);
        if (memcmp(before.b, after.b, sizeof before.b) == 0)
            link_pair(r, order[i - 1], order[i]);
    }
}

/* ---- all of them ---- */

static json_t *end_entry(cli_grant_findings *findings, entry *e)
{
    bool is_verified = e->state == ENTRY_VERIFIED;
    findings->verified += is_verified;
    findings->unknown += e->state == ENTRY_UNKNOWN;
    findings->failed += e->state == ENTRY_FAILED;
    rd_json_set_bool(e->row, "verified", is_verified);
    rd_json_set_str(e->row, "verification",
                    is_verified                 ? "verified"
                    : e->state == ENTRY_UNKNOWN ? "unknown"
                                                : "failed");
    rd_buf_done(&e->certificate);
    return e->row;
}

json_t *cli_grant_records_read(const json_t *items, const rd_app_id *app, cli_grant_genesis_fn genesis_of,
                               void *context, cli_grant_findings *ret)
{
    size_t count = json_array_size(items);
    RD_CLEANUP(rd_free_p) entry *entries = rd_alloc_array(count + 1, sizeof *entries);
    RD_CLEANUP(rd_table_free_p) rd_table *certified = rd_table_new(0);
    reader r = { app, genesis_of, context, certified, ret };
    *ret = (cli_grant_findings){ .verified = 0 };
    for (size_t i = 0; i < count; i++)
        begin_entry(&r, &entries[i], json_array_get(items, i));
    for (size_t i = 0; i < count; i++)
        certify_entry(&r, &entries[i]);
    for (size_t i = 0; i < count; i++) {
        rd_err err = RD_ERR_INIT;
        if (entries[i].state == ENTRY_UNREAD && judge(&r, &entries[i], &err) < 0)
            fail(&r, &entries[i], &err);
    }
    check_chains(&r, entries, count);
    json_t *rows = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(rows, end_entry(ret, &entries[i]));
    return rows;
}
