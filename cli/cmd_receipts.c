#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/demands.h"
#include "cli/kept.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS       4
#define LIMIT_DEFAULT 50
#define LIMIT_MAX     100000

/* ---- list ---- */

typedef struct listing {
    size_t limit;
    json_t *rows;   /* newest first */
    json_t *seen;   /* chain.first of the records so far: one that two replicas wrote at once comes twice */
    json_t *lowest; /* chain → number of the lowest record so far */
    json_t *gaps;   /* {"chain","first","last"} between records that were listed */
} listing;

static json_t *row_of(const json_t *item, const rd_receipt_record *record, uint32_t index)
{
    const rd_receipt_leaf *leaf = &record->leaves[index];
    const char *instance = cli_text(item, "instance"), *at = cli_text(item, "at"), *app = cli_text(item, "app");
    json_int_t epoch = json_integer_value(json_object_get(item, "epoch"));
    json_int_t seq = (json_int_t)record->root.first + index;
    json_t *claims = json_loadb((const char *)leaf->claims.data, leaf->claims.size, 0, NULL);
    if (!claims) /* none, or what no enclave writes: the plane keeps what an agent sends */
        claims = json_null();
    json_t *row = json_pack("{s:s?, s:s?, s:I, s:I, s:s?, s:b, s:o}", "app", app, "instance", instance, "epoch", epoch,
                            "seq", seq, "kept_at", at, "sealed", leaf->claims.size == 0, "claims", claims);
    RD_CLEANUP(rd_free_p)
    char *id = rd_asprintf("%s.%lld.%lld", instance ? instance : "?", (long long)epoch, (long long)seq);
    rd_json_set_str(row, "id", id);
    rd_json_set_digest(row, "leaf", &leaf->digest);
    return row;
}

/* Records come newest first, those of one chain in falling order of their numbers. */
static void note_gap(listing *list, const char *chain, const rd_receipt_root *root)
{
    const json_t *lowest = json_object_get(list->lowest, chain);
    uint64_t next = root->first + root->count;
    if (lowest && (uint64_t)json_integer_value(lowest) > next)
        (void)json_array_append_new(list->gaps, json_pack("{s:s, s:I, s:I}", "chain", chain, "first", (json_int_t)next,
                                                          "last", json_integer_value(lowest) - 1));
    if (!lowest || (uint64_t)json_integer_value(lowest) > root->first)
        (void)json_object_set_new(list->lowest, chain, json_integer((json_int_t)root->first));
}

static int add_record(listing *list, const json_t *item, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_free_p) rd_receipt_record *record = rd_alloc(sizeof *record);
    if (cli_kept_open(cli_text(item, "record"), &bytes, record, err) < 0)
        return -1;
    const char *instance = cli_text(item, "instance");
    RD_CLEANUP(rd_free_p)
    char *chain = rd_asprintf("%s.%lld", instance ? instance : "?",
                              (long long)json_integer_value(json_object_get(item, "epoch")));
    RD_CLEANUP(rd_free_p) char *key = rd_asprintf("%s.%" PRIu64, chain, record->root.first);
    if (json_object_get(list->seen, key))
        return 0;
    (void)json_object_set_new(list->seen, key, json_true());
    note_gap(list, chain, &record->root);
    for (uint32_t i = record->root.count; i > 0 && json_array_size(list->rows) < list->limit; i--)
        (void)json_array_append_new(list->rows, row_of(item, record, i - 1));
    return 0;
}

static int fetch_list(cli_client *client, const cli_args *args, const char *app, listing *list, rd_err *err)
{
    const char *instance = cli_args_value(args, "instance"), *since = cli_args_value(args, "since");
    RD_CLEANUP(rd_free_p) char *instance_escaped = cli_url_escape(instance ? instance : "");
    RD_CLEANUP(rd_free_p) char *since_escaped = cli_url_escape(since ? since : "");
    RD_CLEANUP(rd_free_p)
    char *path = rd_asprintf("/v1/apps/%s/receipts?%s%s%s%s%s", app, instance ? "instance=" : "", instance_escaped,
                             instance && since ? "&" : "", since ? "since=" : "", since_escaped);
    RD_CLEANUP(rd_json_free_p) json_t *items = NULL;
    path[strlen(path) - (instance || since ? 0 : 1)] = '\0'; /* no question without a filter */
    if (cli_client_list(client, path, list->limit, &items, err) < 0)
        return -1;
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        if (json_array_size(list->rows) < list->limit && add_record(list, item, err) < 0)
            return -1;
    }
    return 0;
}

static int print_rows(const cli_context *context, const json_t *rows, rd_err *err)
{
    static const char *const header[COLUMNS] = { "RECEIPT", "KEPT", "STATUS", "LEAF" };
    size_t count = json_array_size(rows);
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(count * COLUMNS + 1, sizeof *cells);
    RD_CLEANUP(rd_free_p) char(*statuses)[16] = rd_alloc_array(count + 1, sizeof *statuses);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows, i);
        json_int_t status = json_integer_value(json_object_get(json_object_get(row, "claims"), "status"));
        snprintf(statuses[i], sizeof statuses[i], "%lld", (long long)status);
        cells[i * COLUMNS] = cli_text(row, "id");
        cells[i * COLUMNS + 1] = cli_text(row, "kept_at");
        cells[i * COLUMNS + 2] = json_is_true(json_object_get(row, "sealed")) ? "sealed" : status ? statuses[i] : "?";
        cells[i * COLUMNS + 3] = cli_text(row, "leaf");
    }
    return cli_print_table(&context->out, header, COLUMNS, cells, count, err);
}

static int print_list(const cli_context *context, const char *app, const listing *list, rd_err *err)
{
    size_t i;
    json_t *gap;
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, list->rows);
    else if (json_array_size(list->rows) == 0 && context->out.form == CLI_TABLE)
        cli_note(&context->out, "The plane keeps no receipts of %s that fit.", app);
    else if (print_rows(context, list->rows, err) < 0)
        return -1;
    json_array_foreach(list->gaps, i, gap)
    {
        cli_note(&context->out, "%s: %lld to %lld are missing: lost or held back.", cli_text(gap, "chain"),
                 (long long)json_integer_value(json_object_get(gap, "first")),
                 (long long)json_integer_value(json_object_get(gap, "last")));
    }
    return 0;
}

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    const char *limit = cli_args_value(args, "limit");
    uint64_t number = LIMIT_DEFAULT;
    if (limit && (rd_parse_u64(limit, strlen(limit), LIMIT_MAX, &number) < 0 || number == 0))
        return rd_err_set(err, RD_E_USAGE, "--limit takes a number from 1 to %d, not %s", LIMIT_MAX, limit);
    cli_client *client = cli_context_client(context, err);
    RD_CLEANUP(rd_json_free_p) json_t *app = NULL;
    if (!client || cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    listing list = { .limit = (size_t)number,
                     .rows = json_array(),
                     .seen = json_object(),
                     .lowest = json_object(),
                     .gaps = json_array() };
    int status = fetch_list(client, args, cli_text(app, "id"), &list, err);
    if (status == 0)
        status = print_list(context, args->positional[0], &list, err);
    json_decref(list.rows);
    json_decref(list.seen);
    json_decref(list.lowest);
    json_decref(list.gaps);
    return status;
}

/* ---- get and verify ---- */

static int run_get(cli_context *context, const cli_args *args, rd_err *err)
{
    cli_kept_id id;
    const char *path = cli_args_value(args, "save");
    if (cli_args_expect(args, 1, 1, "RECEIPT", err) < 0 || cli_kept_id_parse(args->positional[0], &id, err) < 0)
        return -1;
    if (!path)
        return rd_err_set(err, RD_E_USAGE, "say where to: redoubt receipts get %s --save FILE", args->positional[0]);
    cli_client *client = cli_context_client(context, err);
    cli_kept kept = { .epoch = 0 };
    int status = client ? cli_kept_fetch(context, client, &id, &kept, err) : -1;
    if (status == 0)
        status = cli_kept_save(&kept, path, err);
    if (status == 0 && context->out.form == CLI_JSON) {
        json_t *document = json_pack("{s:s, s:I}", "file", path, "records", (json_int_t)json_array_size(kept.records));
        cli_print_json(&context->out, document);
        json_decref(document);
    } else if (status == 0)
        cli_note(&context->out, "%zu record%s in %s, unverified as they came; next: redoubt receipts verify %s",
                 json_array_size(kept.records), json_array_size(kept.records) == 1 ? "" : "s", path, path);
    cli_kept_done(&kept);
    return status;
}

static int read_instant(cli_context *context, const cli_args *args, int64_t *ret_us, rd_err *err)
{
    const char *at = cli_args_value(args, "at");
    *ret_us = rd_clock_wall_us(context->clock);
    context->demands.is_of_then = at != NULL;
    if (at && rd_time_parse(at, strlen(at), ret_us) < 0)
        return rd_err_set(err, RD_E_USAGE, "--at takes a time like 2026-11-22T20:00:00Z, not %s", at);
    return 0;
}

static int read_kept(cli_context *context, const char *what, cli_kept *ret, rd_err *err)
{
    cli_kept_id id;
    *ret = (cli_kept){ .epoch = 0 };
    if (strncmp(what, "ins_", 4) != 0 || strchr(what, '/'))
        return cli_kept_load(what, ret, err) < 0
                   ? -1
                   : cli_collateral_replace(context, cli_context_client(context, NULL), rd_buf_bytes(&ret->evidence),
                                            &ret->collateral, err);
    if (cli_kept_id_parse(what, &id, err) < 0)
        return -1;
    cli_client *client = cli_context_client(context, err);
    return client ? cli_kept_fetch(context, client, &id, ret, err) : -1;
}

static void print_verdict(const cli_out *out, const char *what, const cli_kept_verdict *verdict, const json_t *steps,
                          bool is_verified)
{
    if (out->form == CLI_JSON) {
        json_t *document = json_pack("{s:b, s:b, s:I, s:b, s:O, s:O}", "verified", is_verified, "simulated",
                                     verdict->is_simulated, "receipts", (json_int_t)verdict->count, "complete",
                                     is_verified && verdict->is_complete, "gaps", verdict->gaps, "steps", steps);
        cli_print_json(out, document);
        json_decref(document);
        return;
    }
    cli_print(out, "%s%s%s%s", what, cli_style_code(out, CLI_MAGENTA),
              verdict->is_simulated ? "   SIMULATED: not confidential" : "", cli_style_code(out, CLI_PLAIN));
    cli_steps_print(out, steps);
}

static int run_verify(cli_context *context, const cli_args *args, rd_err *err)
{
    cli_kept kept;
    int64_t now_us;
    if (cli_args_expect(args, 1, 1, "FILE|RECEIPT", err) < 0 || read_instant(context, args, &now_us, err) < 0 ||
        cli_demands_take(context, args, err) < 0)
        return -1;
    int status = read_kept(context, args->positional[0], &kept, err);
    bool is_complete = cli_args_has(args, "complete");
    if (status == 0 && is_complete && kept.seq > 0) {
        status = rd_err_set(err, RD_E_USAGE, "--complete asks for all of a launch (ins_….EPOCH), not for one receipt");
    } else if (status == 0) {
        RD_CLEANUP(rd_json_free_p) json_t *steps = json_array();
        cli_kept_verdict verdict;
        status = cli_kept_verify(context, &kept, now_us, is_complete, steps, &verdict, err);
        print_verdict(&context->out, args->positional[0], &verdict, steps, status == 0);
        json_decref(verdict.gaps);
        if (status < 0)
            err->code = RD_E_CLI_VERIFY;
    }
    cli_kept_done(&kept);
    return status;
}

static const cli_flag list_flags[] = {
    { "instance", 0, "INSTANCE", "those of one instance" },
    { "since", 0, "RFC3339", "those kept at this time or later" },
    { "limit", 0, "N", "at most so many, newest first (default: 50)" },
    { NULL, 0, NULL, NULL },
};
static const cli_flag get_flags[] = {
    { "save", 0, "FILE", "the file to write" },
    { NULL, 0, NULL, NULL },
};
static const cli_flag verify_flags[] = {
    { "at", 0, "RFC3339", "judge evidence as of this instant (default: now)" },
    { "complete", 0, NULL, "fail when a number is missing, rather than tell it" },
    CLI_DEMANDS_FLAGS,
    { NULL, 0, NULL, NULL },
};

const cli_command cli_receipts_commands[] = {
    { .name = "receipts list",
      .purpose = "receipts that the plane keeps of an app, newest first",
      .arguments = "APP",
      .examples = "redoubt receipts list private-score\nredoubt receipts list private-score --since "
                  "2026-12-01T00:00:00Z --limit 500 --json",
      .flags = list_flags,
      .run = run_list },
    { .name = "receipts get",
      .purpose = "fetch receipts with all that verifies them offline",
      .arguments = "RECEIPT",
      .examples =
          "redoubt receipts get ins_….1.42 --save receipt.json\nredoubt receipts get ins_….1 --save launch.json",
      .flags = get_flags,
      .run = run_get },
    { .name = "receipts verify",
      .purpose = "check kept receipts here: signature, place, chain and gaps",
      .arguments = "FILE|RECEIPT",
      .examples = "redoubt receipts verify launch.json\nredoubt receipts verify ins_….1 --complete\nredoubt receipts "
                  "verify receipt.json --at 2026-12-01T00:00:00Z --json",
      .flags = verify_flags,
      .run = run_verify },
    { .name = NULL },
};
