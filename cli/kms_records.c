#include "cli/kms_records.h"

#include "cli/out.h"
#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/model/json.h"

#include <stdio.h>
#include <string.h>

#define WORDS_SIZE 320

typedef struct reader {
    const rd_kms_id *kms;
    rd_kms_certificate certificate;
    uint64_t number; /* of the one before; 0: none yet */
    rd_digest digest;
} reader;

void cli_kms_record_words(const rd_kms_record *record, char *out, size_t out_size)
{
    const char *hint = rd_code_describe(rd_code_by_name(record->reason))->hint;
    switch (record->kind) {
    case RD_KMS_RECORD_START:
        (void)snprintf(out, out_size, "it started");
        break;
    case RD_KMS_RECORD_GRANT:
        (void)snprintf(out, out_size, "a grant was given");
        break;
    case RD_KMS_RECORD_REFUSAL:
        (void)snprintf(out, out_size, "%s was refused (%s)%s%s",
                       record->has_app ? "a grant" : "a grant, another replica or a recovery share", record->reason,
                       record->reason[0] && hint[0] ? ": " : "", record->reason[0] ? hint : "");
        break;
    case RD_KMS_RECORD_JOIN:
        (void)snprintf(out, out_size, "another replica got the root");
        break;
    case RD_KMS_RECORD_RECOVERY:
        (void)snprintf(out, out_size, "the root was put together out of recovery shares");
        break;
    }
}

static int take(reader *r, rd_bytes envelope, json_t *rows, rd_err *err)
{
    rd_kms_record record;
    rd_digest digest;
    char words[WORDS_SIZE] = "";
    json_t *document = NULL;
    if (rd_kms_record_accept(envelope, &r->certificate.key, &record, &digest, err) < 0)
        return -1;
    if (!rd_kms_id_equal(&record.kms, r->kms))
        return rd_err_set(err, RD_E_KMS_UNKNOWN, "a record of another key service");
    if (r->number > 0 && (record.number != r->number + 1 || !rd_digest_equal(&record.prev, &r->digest)))
        return rd_err_set(err, RD_E_SIGNATURE, "record %llu does not follow record %llu",
                          (unsigned long long)record.number, (unsigned long long)r->number);
    if (rd_json_parse(envelope, NULL, &document, err) < 0)
        return -1;
    r->number = record.number;
    r->digest = digest;
    cli_kms_record_words(&record, words, sizeof words);
    json_t *row = json_object();
    rd_json_set_int(row, "number", (int64_t)record.number);
    rd_json_set_time(row, "at", record.at_us);
    rd_json_set_str(row, "words", words);
    rd_json_set_str(row, "reason", record.reason[0] ? record.reason : NULL);
    rd_json_set(row, "record", document);
    (void)json_array_append_new(rows, row);
    return 0;
}

int cli_kms_records_read(rd_bytes bundle, const rd_kms_genesis *genesis, const rd_kms_id *kms, int64_t now_us,
                         json_t **ret, rd_err *err)
{
    reader r = { .kms = kms };
    rd_cursor cursor = rd_cursor_of(bundle);
    RD_CLEANUP(rd_json_free_p) json_t *rows = json_array();
    for (bool is_first = true; !rd_cursor_is_done(&cursor); is_first = false) {
        rd_bytes envelope = rd_cursor_take(&cursor, rd_cursor_u16be(&cursor));
        if (!rd_cursor_is_ok(&cursor))
            return rd_err_set(err, RD_E_KMS_FRAME, "the records are cut off");
        int status = is_first ? rd_kms_certificate_accept(envelope, genesis, kms, now_us, &r.certificate, err)
                              : take(&r, envelope, rows, err);
        if (status < 0)
            return rd_err_wrap(err, "the replica has its root, but its records do not hold");
    }
    *ret = RD_TAKE(rows);
    return 0;
}

void cli_kms_records_note(const cli_out *out, const json_t *rows)
{
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row) cli_note(out, "On record as number %lld: %s, %s.",
                                              (long long)json_integer_value(json_object_get(row, "number")),
                                              cli_text(row, "words"), cli_text(row, "at"));
}
