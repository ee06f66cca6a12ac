#include "cli/grant_records.h"

#include "cli/kms.h"
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
    rd_kms_record record; /* signed by the key that it names, if is_read */
    rd_digest digest;
    rd_buf certificate;   /* empty: none came with it */
    int64_t not_after_us; /* of the certificate, once it is accepted */
    bool is_read;
    bool is_trusted;   /* its key service is, on this machine */
    bool is_certified; /* its key was, at the time of the record */
    bool is_unasked;   /* its key service was not looked up: one stranger too many */
} entry;

/* What became of looking a key service up: once, whatever it was. */
typedef struct service {
    rd_kms_id id;
    bool is_there;
    rd_kms_genesis genesis;
    rd_err err; /* why it is not */
} service;

typedef struct reader {
    const rd_app_id *app;
    const cli_grant_services *from;
    service **services;
    size_t services_count, strangers_count;
    rd_table *certified; /* kms ‖ replica → the entry whose certificate runs longest */
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

/* Whoever makes a key service can have it sign what does not hold. What cannot be read is nobody's but the plane's. */
static bool counts(const entry *e)
{
    return e->is_trusted || !e->is_read;
}

static void fail(reader *r, entry *e, const rd_err *err)
{
    if (e->state == ENTRY_FAILED)
        return;
    e->state = ENTRY_FAILED;
    rd_json_set_str(e->row, "problem", err->text);
    if (counts(e) && r->findings->first[0] == '\0')
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
    e->is_read = true;
    put_record(e->row, &e->record);
    return 0;
}

/* Null until it is read from what was signed; the envelopes are the plane's, and when it kept them. */
static json_t *row_of(const json_t *item)
{
    static const char *const of_plane[] = { "certificate", "record" };
    static const char *const of_record[] = { "at",    "kms",    "replica", "number",  "kind", "instance",
                                             "epoch", "reason", "until",   "release", "head", "problem" };
    json_t *row = json_object();
    for (size_t i = 0; i < RD_ARRAY_LEN(of_plane); i++) {
        json_t *value = json_object_get(item, of_plane[i]);
        (void)json_object_set_new(row, of_plane[i], value ? json_incref(value) : json_null());
    }
    for (size_t i = 0; i < RD_ARRAY_LEN(of_record); i++)
        rd_json_set_null(row, of_record[i]);
    rd_json_set_str(row, "kept_at", cli_text(item, "at"));
    rd_json_set_str(row, "words", "it cannot be read");
    return row;
}

static void begin_entry(reader *r, entry *e, const json_t *item)
{
    rd_err err = RD_ERR_INIT;
    e->row = row_of(item);
    if (read_entry(e, item, &err) < 0)
        fail(r, e, &err);
    else
        e->is_trusted = cli_kms_is_in(r->from->trusted, &e->record.kms);
    rd_json_set_bool(e->row, "trusted", e->is_trusted);
}

/* ---- whose it is ---- */

/* The plane did not answer, or not this caller: that says nothing about a record. */
static bool is_no_answer(rd_code code)
{
    const rd_code_info *info = rd_code_describe(code);
    bool is_of_caller = info->exit_code == 4 || code == RD_E_CLI_REFUSED;
    return info->is_retryable || is_of_caller || info->exit_code >= 7 || code == RD_E_TRUNCATED;
}

/* Looks it up at its first record. -1 when the plane does not answer; *ret is NULL for one stranger too many. */
static int find_service(reader *r, const entry *e, const service **ret, rd_err *err)
{
    const rd_kms_id *id = &e->record.kms;
    *ret = NULL;
    for (size_t i = 0; i < r->services_count && !*ret; i++)
        if (rd_kms_id_equal(&r->services[i]->id, id))
            *ret = r->services[i];
    if (*ret || (!e->is_trusted && r->strangers_count == CLI_GRANT_STRANGERS_MAX))
        return 0;
    service *made = r->services[r->services_count++] = rd_alloc(sizeof *made);
    r->strangers_count += !e->is_trusted;
    *made = (service){ .id = *id, .err = RD_ERR_INIT };
    made->is_there = r->from->genesis_of(r->from->context, id, &made->genesis, &made->err) == 0;
    *ret = made;
    if (made->is_there || !is_no_answer(made->err.code))
        return 0;
    *err = made->err;
    return -1;
}

/* A certificate is out of date within a month, and no word of when its key was new: it serves what its key signed until
 * then. It is kept by its end, and each record judged by its own time. */
static int certify(reader *r, entry *e, const service *of, rd_err *err)
{
    rd_kms_certificate certificate;
    if (!of->is_there) {
        *err = of->err;
        return -1;
    }
    if (rd_kms_certificate_accept(rd_buf_bytes(&e->certificate), &of->genesis, &of->id, 0, &certificate, err) < 0)
        return -1;
    if (!rd_public_key_equal(&certificate.key, &e->record.replica))
        return rd_err_set(err, RD_E_GRANT_SIGNATURE, "the certificate beside the record is of another key");
    key_name name = name_of(&e->record);
    const entry *longest = rd_table_get(r->certified, RD_BYTES_ARRAY(name.b));
    e->not_after_us = certificate.not_after_us;
    if (!longest || longest->not_after_us < e->not_after_us)
        (void)rd_table_set(r->certified, RD_BYTES_ARRAY(name.b), e, NULL);
    return 0;
}

/* -1 when the plane does not answer. */
static int certify_entry(reader *r, entry *e, rd_err *err)
{
    const service *of = NULL;
    rd_err why = RD_ERR_INIT;
    if (e->state != ENTRY_UNREAD || e->certificate.size == 0)
        return 0;
    if (find_service(r, e, &of, err) < 0)
        return -1;
    e->is_unasked = !of;
    if (of && certify(r, e, of, &why) < 0)
        fail(r, e, &why);
    return 0;
}

/* A grant never comes without its certificate; a refusal may. */
static int judge_key(const reader *r, entry *e, rd_err *err)
{
    const rd_kms_record *record = &e->record;
    key_name name = name_of(record);
    const entry *by = rd_table_get(r->certified, RD_BYTES_ARRAY(name.b));
    e->is_certified = by && record->at_us < by->not_after_us;
    if (e->is_certified || e->is_unasked || record->kind != RD_KMS_RECORD_GRANT)
        return 0;
    if (by)
        return rd_err_set(err, RD_E_GRANT_SIGNATURE,
                          "record %" PRIu64 " was signed after its replica's certificate had ended", record->number);
    return rd_err_set(err, RD_E_GRANT_SIGNATURE, "record %" PRIu64 " came without its replica's certificate",
                      record->number);
}

/* A refusal that names no app may be of anybody's question, whoever signed it. */
static int judge(const reader *r, entry *e, rd_err *err)
{
    const rd_kms_record *record = &e->record;
    bool is_grant = record->kind == RD_KMS_RECORD_GRANT;
    if (!is_grant && record->kind != RD_KMS_RECORD_REFUSAL)
        return rd_err_set(err, RD_E_GRANT_MISMATCH, "record %" PRIu64 " is neither a grant nor a refusal",
                          record->number);
    if (record->has_app ? !rd_app_id_equal(&record->app, r->app) : is_grant)
        return rd_err_set(err, RD_E_GRANT_MISMATCH, "record %" PRIu64 " is of another app", record->number);
    if (judge_key(r, e, err) < 0)
        return -1;
    e->state = e->is_certified && record->has_app ? ENTRY_VERIFIED : ENTRY_UNKNOWN;
    return 0;
}

static void judge_entry(reader *r, entry *e)
{
    rd_err err = RD_ERR_INIT;
    if (e->state == ENTRY_UNREAD && judge(r, e, &err) < 0)
        fail(r, e, &err);
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
        r->findings->equivocations += counts(after);
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
        if (entries[i].state != ENTRY_FAILED && entries[i].is_certified)
            order[ordered++] = &entries[i];
    qsort(order, ordered, sizeof(entry *), compare);
    for (size_t i = 1; i < ordered; i++) {
        key_name before = name_of(&order[i - 1]->record), after = name_of(&order[i]->record);
        if (memcmp(before.b, after.b, sizeof before.b) == 0)
            link_pair(r, order[i - 1], order[i]);
    }
}

/* ---- all of them ---- */

static json_t *end_entry(cli_grant_findings *findings, const entry *e)
{
    bool is_verified = e->state == ENTRY_VERIFIED, is_failed = e->state == ENTRY_FAILED;
    findings->verified += is_verified;
    findings->unknown += e->state == ENTRY_UNKNOWN;
    findings->failed += is_failed && counts(e);
    findings->strangers_failed += is_failed && !counts(e);
    rd_json_set_bool(e->row, "verified", is_verified);
    rd_json_set_str(e->row, "verification", is_verified ? "verified" : is_failed ? "failed" : "unknown");
    return json_incref(e->row);
}

static int read_all(reader *r, const json_t *items, entry *entries, json_t **ret, rd_err *err)
{
    size_t count = json_array_size(items);
    for (size_t i = 0; i < count; i++)
        begin_entry(r, &entries[i], json_array_get(items, i));
    for (size_t i = 0; i < count; i++)
        if (certify_entry(r, &entries[i], err) < 0)
            return -1;
    for (size_t i = 0; i < count; i++)
        judge_entry(r, &entries[i]);
    check_chains(r, entries, count);
    *ret = json_array();
    for (size_t i = 0; i < count; i++)
        (void)json_array_append_new(*ret, end_entry(r->findings, &entries[i]));
    return 0;
}

int cli_grant_records_read(const json_t *items, const rd_app_id *app, const cli_grant_services *from, json_t **ret_rows,
                           cli_grant_findings *ret, rd_err *err)
{
    size_t count = json_array_size(items);
    RD_CLEANUP(rd_free_p) entry *entries = rd_alloc_array(count + 1, sizeof *entries);
    RD_CLEANUP(rd_free_p) service **services = rd_alloc_array(count + 1, sizeof(service *));
    RD_CLEANUP(rd_table_free_p) rd_table *certified = rd_table_new(0);
    reader r = { .app = app, .from = from, .services = services, .certified = certified, .findings = ret };
    *ret = (cli_grant_findings){ .verified = 0 };
    *ret_rows = NULL;
    int status = read_all(&r, items, entries, ret_rows, err);
    for (size_t i = 0; i < count; i++) {
        rd_buf_done(&entries[i].certificate);
        json_decref(entries[i].row);
    }
    for (size_t i = 0; i < r.services_count; i++)
        free(services[i]);
    return status;
}
