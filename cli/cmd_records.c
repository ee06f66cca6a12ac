#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/grant_records.h"
#include "cli/kms.h"
#include "cli/kms_records.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/model/canonical.h"
#include "common/model/envelope.h"
#include "common/model/ids.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_TYPE     "redoubt/decision/v1"
#define KMS_RECORD_TYPE "redoubt/kms-record/v1"
#define RECORD_SIZE_MAX ((size_t)64 << 10)
#define COLUMNS         6

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    static const char *const header[] = { "RECORD", "AT", "INSTANCE", "RESULT", "REASON", "EVIDENCE" };
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_json_free_p) json_t *app = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *items = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    const char *instance = cli_args_value(args, "instance");
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(instance ? instance : "");
    RD_CLEANUP(rd_free_p)
    char *path = rd_asprintf("/v1/apps/%s/records%s%s", cli_text(app, "id"), instance ? "?instance=" : "", escaped);
    if (cli_client_list(client, path, 100000, &items, err) < 0)
        return -1;
    if (context->out.form == CLI_JSON) {
        cli_print_json(&context->out, items);
        return 0;
    }
    size_t count = json_array_size(items);
    if (count == 0 && context->out.form == CLI_TABLE) {
        cli_note(&context->out, "The plane has decided nothing about %s yet: it does when an instance is launched.",
                 args->positional[0]);
        return 0;
    }
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * COLUMNS + 1, sizeof *cells);
    for (size_t i = 0; i < count; i++) {
        static const char *const members[COLUMNS] = { "digest", "at", "instance", "result", "reason", "evidence" };
        for (size_t c = 0; c < COLUMNS; c++)
            cells[i * COLUMNS + c] = cli_text(json_array_get(items, i), members[c]);
    }
    return cli_print_table(&context->out, header, COLUMNS, cells, count, err);
}

/* --- what key services put on record --- */

#define GRANTS_MAX    10000
#define GRANT_COLUMNS 6

typedef struct asker {
    cli_context *context;
    cli_client *client;
    const json_t *trusted;
} asker;

static int genesis_of(void *context, const rd_kms_id *kms, rd_kms_genesis *ret, rd_err *err)
{
    const asker *a = context;
    RD_CLEANUP(rd_free_p) cli_kms *one = rd_alloc(sizeof *one);
    if (cli_kms_fetch(a->client, kms, one, err) < 0)
        return -1;
    *ret = one->genesis;
    if (!cli_kms_is_in(a->trusted, kms))
        cli_note(&a->context->out, "%s is not trusted on this machine: its records say what whoever made it wants.",
                 one->text);
    return 0;
}

static const char *standing(const json_t *row)
{
    bool is_stranger = json_is_true(json_object_get(row, "verified")) && json_is_false(json_object_get(row, "trusted"));
    return is_stranger ? "not trusted" : cli_text(row, "verification");
}

static int print_grants(const cli_out *out, const char *app, const json_t *rows, rd_err *err)
{
    static const char *const header[] = { "AT", "KIND", "INSTANCE", "NUMBER", "REASON", "VERIFIED" };
    size_t count = json_array_size(rows);
    if (out->form == CLI_JSON) {
        cli_print_json(out, rows);
        return 0;
    }
    if (count == 0 && out->form == CLI_TABLE) {
        cli_note(out,
                 "No key service has put anything on record about %s yet: it does when an instance asks for its keys.",
                 app);
        return 0;
    }
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * GRANT_COLUMNS + 1, sizeof *cells);
    RD_CLEANUP(rd_free_p) char(*numbers)[24] = rd_alloc_array(count + 1, sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        static const char *const members[] = { "at", "kind", "instance", NULL, "reason", NULL };
        const json_t *row = json_array_get(rows, i);
        for (size_t c = 0; c < GRANT_COLUMNS; c++)
            cells[i * GRANT_COLUMNS + c] = members[c] ? cli_text(row, members[c]) : NULL;
        const json_t *number = json_object_get(row, "number");
        (void)snprintf(numbers[i], sizeof numbers[i], "%lld", (long long)json_integer_value(number));
        cells[i * GRANT_COLUMNS + 3] = json_is_integer(number) ? numbers[i] : NULL;
        cells[i * GRANT_COLUMNS + 5] = standing(row);
    }
    return cli_print_table(out, header, GRANT_COLUMNS, cells, count, err);
}

static int judge_grants(const cli_out *out, const cli_grant_findings *found, rd_err *err)
{
    size_t all = found->verified + found->unknown + found->failed + found->strangers_failed;
    if (all >= GRANTS_MAX)
        cli_note(out, "These are the newest %zu: no more are read. Older ones may be there: narrow it by --instance.",
                 all);
    if (found->equivocations > 0)
        cli_note_styled(out, CLI_RED,
                        "EQUIVOCATION: a replica of a key service that is trusted here signed two records with one "
                        "number. Keep both "
                        "(--json): its key signs what its chain does not hold, or the key is in other hands.");
    if (found->unknown > 0)
        cli_note(out,
                 "%zu unknown: refusals that name no app, or signed by keys that no certificate is shown for. Whose "
                 "they are is open.",
                 found->unknown);
    if (found->strangers_failed > 0)
        cli_note(out, "%zu of key services that are not trusted on this machine do not hold: they prove nothing here.",
                 found->strangers_failed);
    if (found->failed == 0)
        return 0;
    return rd_err_set(err, RD_E_CLI_VERIFY, "%zu of %zu records do not hold; the first: %s", found->failed, all,
                      found->first);
}

static int list_grants(cli_client *client, const cli_args *args, rd_app_id *ret, json_t **ret_items, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *app = NULL;
    if (cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    const char *text = cli_text(app, "id"), *instance = cli_args_value(args, "instance");
    if (rd_app_id_parse(text ? text : "", text ? strlen(text) : 0, ret, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *escaped = cli_url_escape(instance ? instance : "");
    RD_CLEANUP(rd_free_p)
    char *path = rd_asprintf("/v1/apps/%s/grants%s%s", text, instance ? "?instance=" : "", escaped);
    return cli_client_list(client, path, GRANTS_MAX, ret_items, err);
}

static int run_grants(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_json_free_p) json_t *items = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *trusted = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *rows = NULL;
    rd_app_id id;
    if (!client || cli_kms_trusted(context, &trusted, err) < 0 || list_grants(client, args, &id, &items, err) < 0)
        return -1;
    asker a = { .context = context, .client = client, .trusted = trusted };
    const cli_grant_services from = { .genesis_of = genesis_of, .context = &a, .trusted = trusted };
    cli_grant_findings found;
    if (cli_grant_records_read(items, &id, &from, &rows, &found, err) < 0 ||
        print_grants(&context->out, args->positional[0], rows, err) < 0)
        return -1;
    return judge_grants(&context->out, &found, err);
}

/* --- one record --- */

static int parse_key(const char *text, rd_public_key *ret, rd_err *err)
{
    if (strlen(text) == 43 && rd_base64url_decode(text, 43, ret->b, sizeof ret->b) == (ssize_t)sizeof ret->b)
        return 0;
    return rd_err_set(err, RD_E_KEY_FORMAT, "a record key is 43 characters of base64url, as record_key of /v1/version");
}

/* The key that was given, or the one that the plane shows: then the plane vouches for itself. */
static int find_key(cli_context *context, const cli_args *args, const rd_kms_record *of_kms, rd_public_key *ret,
                    json_t *steps, rd_err *err)
{
    const char *given = cli_args_value(args, "key");
    if (given) {
        if (parse_key(given, ret, err) < 0)
            return -1;
        cli_step(steps, "key", true, "the one that was given");
        return 0;
    }
    if (of_kms) {
        *ret = of_kms->replica;
        cli_step(steps, "key", true, "the one that the record names; whose it is says the replica's certificate alone");
        return 0;
    }
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_json_free_p) json_t *version = NULL;
    if (!client || cli_client_json(client, "GET", "/v1/version", NULL, &version, err) < 0)
        return -1;
    const char *shown = cli_text(version, "record_key");
    if (parse_key(shown ? shown : "", ret, err) < 0)
        return rd_err_wrap(err, "the plane's record_key");
    cli_step(steps, "key", true, "%.8s…, as the plane shows it now; keep it and give it with --key", shown);
    return 0;
}

/* ret_kms is filled in, and *ret_is_kms true, for one of a key service. */
static int check_document(rd_bytes document, json_t **ret, rd_kms_record *ret_kms, bool *ret_is_kms, json_t *steps,
                          rd_err *err)
{
    char words[320] = "";
    if (rd_canonical_check(document, ret, err) < 0)
        return cli_step_failed(steps, "form", err);
    const char *type = cli_text(*ret, "type");
    *ret_is_kms = type && strcmp(type, KMS_RECORD_TYPE) == 0;
    if (*ret_is_kms && rd_kms_record_parse(document, ret_kms, err) < 0)
        return cli_step_failed(steps, "form", err);
    if (*ret_is_kms) {
        cli_kms_record_words(ret_kms, words, sizeof words);
        cli_step(steps, "form", true, "record %llu of a key service's replica: %s", (unsigned long long)ret_kms->number,
                 words);
        return 0;
    }
    if (!type || strcmp(type, RECORD_TYPE) != 0) {
        (void)rd_err_set(err, RD_E_PURPOSE, "not a decision record (type %.40s)", type ? type : "missing");
        return cli_step_failed(steps, "form", err);
    }
    cli_step(steps, "form", true, "a decision record in canonical form");
    return 0;
}

static int check_signature(const rd_envelope *envelope, const rd_public_key *key, json_t *steps, rd_err *err)
{
    for (size_t i = 0; i < envelope->signatures_count; i++) {
        const rd_envelope_signature *one = &envelope->signatures[i];
        if (!rd_public_key_equal(&one->key, key))
            continue;
        if (rd_verify(key, RD_SIGN_RECORD, rd_buf_bytes(&envelope->document), &one->signature, err) < 0)
            return cli_step_failed(steps, "signature", err);
        cli_step(steps, "signature", true, "signed by that key");
        return 0;
    }
    (void)rd_err_set(err, RD_E_SIGNATURE, "no signature of this record key");
    return cli_step_failed(steps, "signature", err);
}

static int check_digest(rd_bytes bytes, const rd_digest *named, json_t *steps, rd_err *err)
{
    rd_digest digest;
    rd_sha256(bytes, digest.b);
    if (!rd_digest_equal(&digest, named)) {
        (void)rd_err_set(err, RD_E_DIGEST_MISMATCH, "the bytes have another digest than was asked for");
        return cli_step_failed(steps, "digest", err);
    }
    cli_step(steps, "digest", true, "the bytes are those that were asked for");
    return 0;
}

/* named: NULL for a file. */
static int check_record(cli_context *context, const cli_args *args, rd_bytes bytes, const rd_digest *named,
                        json_t **ret_document, json_t *steps, rd_err *err)
{
    rd_public_key key;
    rd_kms_record of_kms;
    bool is_kms = false;
    rd_envelope envelope = { 0 };
    int status = named ? check_digest(bytes, named, steps, err) : 0;
    if (status == 0 && rd_envelope_parse(bytes, &envelope, err) < 0)
        status = cli_step_failed(steps, "form", err);
    if (status == 0)
        status = check_document(rd_buf_bytes(&envelope.document), ret_document, &of_kms, &is_kms, steps, err);
    if (status == 0 && find_key(context, args, is_kms ? &of_kms : NULL, &key, steps, err) < 0)
        status = cli_step_failed(steps, "key", err);
    if (status == 0)
        status = check_signature(&envelope, &key, steps, err);
    rd_envelope_done(&envelope);
    return status;
}

static int fetch_record(cli_context *context, const char *digest, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/records/%s", digest);
    cli_client *client = cli_context_client(context, err);
    cli_answer answer = { .status = 0 };
    int status = client ? cli_client_send(client, &(cli_request){ .method = "GET", .path = path }, &answer, err) : -1;
    if (status == 0 && !rd_buf_append_bytes(ret, rd_buf_bytes(&answer.body)))
        status = rd_err_set(err, RD_E_TOO_LARGE, "the record is larger than a record may be");
    if (client)
        cli_answer_done(&answer);
    return status;
}

static int read_record(const char *path, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = 0;
    if (cli_read_file(path, RECORD_SIZE_MAX, &data, &size, err) < 0)
        return -1;
    (void)rd_buf_append(ret, data, size);
    return 0;
}

static void print_record(const cli_out *out, const json_t *document, const json_t *steps, bool is_verified)
{
    if (out->form == CLI_JSON) {
        json_t *answer = json_pack("{s:b, s:O?, s:O}", "verified", is_verified, "record", document, "steps", steps);
        cli_print_json(out, answer);
        json_decref(answer);
        return;
    }
    if (document)
        cli_print_object(out, document);
    cli_steps_print(out, steps);
}

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "DIGEST|FILE", err) < 0)
        return -1;
    const char *what = args->positional[0], *save = cli_args_value(args, "save");
    rd_digest digest;
    rd_err ignored = RD_ERR_INIT;
    bool is_digest = rd_digest_parse(what, strlen(what), &digest, &ignored) == 0;
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { .size_max = RECORD_SIZE_MAX };
    if ((is_digest ? fetch_record(context, what, &bytes, err) : read_record(what, &bytes, err)) < 0)
        return -1;
    RD_CLEANUP(rd_json_free_p) json_t *steps = json_array();
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    int status = check_record(context, args, rd_buf_bytes(&bytes), is_digest ? &digest : NULL, &document, steps, err);
    print_record(&context->out, document, steps, status == 0);
    if (status < 0) {
        err->code = RD_E_CLI_VERIFY;
        return -1;
    }
    return save ? cli_write_file(save, (const char *)bytes.data, bytes.size, 0644, err) : 0;
}

static const cli_flag list_flags[] = {
    { "instance", 0, "INSTANCE", "those of one instance" },
    { NULL, 0, NULL, NULL },
};
static const cli_flag show_flags[] = {
    { "key", 0, "KEY",
      "the record key to verify by, base64url (default: what the plane shows now, or a key service's record names)" },
    { "save", 0, "FILE", "keep the signed record for redoubt records show FILE" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_records_commands[] = {
    { .name = "records list",
      .purpose = "what the plane decided about an app's evidence, signed",
      .arguments = "APP",
      .examples = "redoubt records list private-score\nredoubt records list private-score --json | jq .[].reason",
      .flags = list_flags,
      .run = run_list },
    { .name = "records grants",
      .purpose = "what key services put on record: who was given an app's keys, who was refused",
      .arguments = "APP",
      .examples = "redoubt records grants private-score\n"
                  "redoubt records grants private-score --json | jq '.[] | select(.kind == \"grant\") | .instance'",
      .flags = list_flags,
      .run = run_grants },
    { .name = "records show",
      .purpose = "one decision record, or one of a key service; verifies its signature",
      .arguments = "DIGEST|FILE",
      .examples = "redoubt records show sha256:4f1c…\nredoubt records show sha256:4f1c… --save record.json\n"
                  "redoubt records show record.json --key 7rR0…",
      .flags = show_flags,
      .run = run_show },
    { .name = NULL },
};
