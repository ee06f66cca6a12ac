#include "cli/kept.h"

#include "cli/exchange.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/evidence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT_SIZE_MAX ((size_t)256 << 20)
#define RECORDS_MAX   100000u

int cli_kept_id_parse(const char *text, cli_kept_id *ret, rd_err *err)
{
    *ret = (cli_kept_id){ .epoch = 0 };
    const char *dot = strchr(text, '.');
    size_t size = dot ? (size_t)(dot - text) : 0;
    const char *second = dot ? strchr(dot + 1, '.') : NULL;
    size_t epoch_size = dot ? (second ? (size_t)(second - dot - 1) : strlen(dot + 1)) : 0;
    if (size == 0 || size >= sizeof ret->instance_text ||
        rd_id_parse(RD_PREFIX_INSTANCE, text, size, &ret->instance, err) < 0 ||
        rd_parse_u64(dot + 1, epoch_size, (uint64_t)RD_JSON_INT_MAX, &ret->epoch) < 0 ||
        (second &&
         (rd_parse_u64(second + 1, strlen(second + 1), (uint64_t)RD_JSON_INT_MAX, &ret->seq) < 0 || ret->seq == 0)))
        return rd_err_set(err, RD_E_USAGE,
                          "%s is no receipt: ins_….EPOCH.NUMBER as redoubt receipts list shows it, or ins_….EPOCH for "
                          "all of one launch",
                          text);
    memcpy(ret->instance_text, text, size);
    return 0;
}

void cli_kept_done(cli_kept *kept)
{
    json_decref(kept->records);
    json_decref(kept->docs);
    rd_buf_done(&kept->evidence);
    cli_collateral_done(&kept->collateral);
}

int cli_kept_open(const char *text, rd_buf *bytes, rd_receipt_record *ret, rd_err *err)
{
    rd_buf_clear(bytes);
    size_t size = text ? strlen(text) : 0;
    uint8_t *room = size > 0 && size <= RD_RECEIPT_RECORD_SIZE_MAX * 4 / 3 + 4 ? rd_buf_reserve(bytes, size) : NULL;
    ssize_t decoded = room ? rd_base64url_decode(text, size, room, size) : -1;
    if (decoded < 0)
        return rd_err_set(err, RD_E_RECEIPT_RECORD, "a record of receipts is no base64url, or too large");
    rd_buf_commit(bytes, (size_t)decoded);
    return rd_receipt_record_parse(rd_buf_bytes(bytes), ret, err);
}

/* ---- from the plane ---- */

static int fetch_records(cli_client *client, const cli_kept_id *id, cli_kept *ret, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *items = NULL;
    RD_CLEANUP(rd_free_p)
    char *chain = rd_asprintf("/v1/instances/%s/receipts?epoch=%" PRIu64, id->instance_text, id->epoch);
    RD_CLEANUP(rd_free_p) char *one = rd_asprintf("%s&from=%" PRIu64 "&limit=1", chain, id->seq);
    if (id->seq > 0) {
        RD_CLEANUP(rd_json_free_p) json_t *page = NULL;
        if (cli_client_json(client, "GET", one, NULL, &page, err) < 0)
            return -1;
        items = json_incref(json_object_get(page, "items"));
    } else if (cli_client_list(client, chain, RECORDS_MAX, &items, err) < 0) {
        return -1;
    }
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        const char *app = cli_text(item, "app");
        if (!app || rd_app_id_parse(app, strlen(app), &ret->app, err) < 0)
            return rd_err_set(err, RD_E_ID_FORMAT, "the control plane answered without a proper app id");
        (void)json_array_append(ret->records, json_object_get(item, "record"));
    }
    if (json_array_size(ret->records) == 0)
        return rd_err_set(err, RD_E_CLI_NOT_FOUND, "the plane keeps no such receipt of %s.%" PRIu64, id->instance_text,
                          id->epoch);
    return 0;
}

/* The statement that claims name, when some record has claims. */
static bool named_statement(const cli_kept *kept, rd_digest *ret)
{
    RD_CLEANUP(rd_buf_done) rd_buf bytes = { 0 };
    RD_CLEANUP(rd_free_p) rd_receipt_record *record = rd_alloc(sizeof *record);
    rd_receipt_claims claims;
    size_t i;
    json_t *text;
    json_array_foreach(kept->records, i, text)
    {
        if (cli_kept_open(json_string_value(text), &bytes, record, NULL) < 0)
            continue;
        for (uint32_t leaf = 0; leaf < record->root.count; leaf++) {
            rd_bytes found = record->leaves[leaf].claims;
            if (found.size > 0 && rd_receipt_claims_parse(found, &claims, NULL) == 0) {
                *ret = claims.evidence;
                return true;
            }
        }
    }
    return false;
}

/* The first that the plane accepted of this launch: that one is kept. */
static char *first_accepted(cli_client *client, const cli_kept *kept, const cli_kept_id *id)
{
    char app[RD_DIGEST_TEXT_SIZE];
    RD_CLEANUP(rd_json_free_p) json_t *items = NULL;
    rd_err ignored = RD_ERR_INIT;
    rd_app_id_format(&kept->app, app);
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/records?instance=%s", app, id->instance_text);
    if (cli_client_list(client, path, RECORDS_MAX, &items, &ignored) < 0)
        return NULL;
    for (size_t i = json_array_size(items); i > 0; i--) {
        const json_t *item = json_array_get(items, i - 1);
        const char *result = cli_text(item, "result"), *evidence = cli_text(item, "evidence");
        bool is_of_launch = (uint64_t)json_integer_value(json_object_get(item, "epoch")) == id->epoch;
        if (is_of_launch && result && evidence && strcmp(result, "accepted") == 0)
            return cli_url_escape(evidence);
    }
    return NULL;
}

/* Any status evidence of the launch proves the same receipt key: what its claims name, what was accepted first, or what
 * there is now. */
static int fetch_evidence(cli_client *client, const cli_kept_id *id, cli_kept *ret, rd_err *err)
{
    rd_digest named;
    rd_err ignored = RD_ERR_INIT;
    char text[RD_DIGEST_TEXT_SIZE];
    if (named_statement(ret, &named)) {
        rd_digest_format(&named, text);
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/evidence/by-digest/%s", text);
        if (cli_client_fetch(client, path, NULL, &ret->evidence, &ignored) == 0)
            return 0;
    }
    RD_CLEANUP(rd_free_p) char *accepted = first_accepted(client, ret, id);
    if (accepted) {
        RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/evidence/by-digest/%s", accepted);
        if (cli_client_fetch(client, path, NULL, &ret->evidence, &ignored) == 0)
            return 0;
    }
    RD_CLEANUP(rd_free_p) char *now = rd_asprintf("/v1/instances/%s/evidence", id->instance_text);
    if (cli_client_fetch(client, now, NULL, &ret->evidence, err) < 0)
        return rd_err_wrap(err, "the evidence of this launch");
    return 0;
}

/* Whether it is one is seen when it is opened. */
static json_t *envelope_of(const json_t *item)
{
    return json_pack("{s:O*, s:O*}", "document", json_object_get(item, "document"), "signatures",
                     json_object_get(item, "signatures"));
}

static int fetch_head(cli_client *client, const char *app, const char *digest, json_t *docs, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *heads = NULL;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/heads", app);
    if (cli_client_list(client, path, RECORDS_MAX, &heads, err) < 0)
        return -1;
    size_t i;
    json_t *head;
    json_array_foreach(heads, i, head)
    {
        const char *shown = cli_text(head, "digest");
        if (!shown || strcmp(shown, digest) != 0)
            continue;
        rd_json_set(docs, "head", envelope_of(head));
        return 0;
    }
    return rd_err_set(err, RD_E_CLI_NOT_FOUND, "the plane does not show the head %s that the evidence names", digest);
}

/* Those that the evidence names, which need not be the app's current ones. */
static int fetch_docs(cli_client *client, cli_kept *ret, rd_err *err)
{
    char app[RD_DIGEST_TEXT_SIZE], head[RD_DIGEST_TEXT_SIZE], release[RD_DIGEST_TEXT_SIZE];
    rd_evidence evidence = { 0 };
    int status = rd_evidence_parse(rd_buf_bytes(&ret->evidence), &evidence, err);
    rd_app_id_format(&ret->app, app);
    rd_digest_format(&evidence.statement.head, head);
    rd_digest_format(&evidence.statement.release, release);
    rd_evidence_done(&evidence);
    if (status < 0)
        return rd_err_wrap(err, "the evidence of this launch");
    RD_CLEANUP(rd_buf_done) rd_buf genesis = { .size_max = RD_DOCUMENT_SIZE_MAX };
    RD_CLEANUP(rd_json_free_p) json_t *shown = NULL;
    RD_CLEANUP(rd_free_p) char *genesis_path = rd_asprintf("/v1/apps/%s/genesis", app);
    RD_CLEANUP(rd_free_p) char *release_path = rd_asprintf("/v1/apps/%s/releases/%s", app, release);
    if (cli_client_fetch(client, genesis_path, NULL, &genesis, err) < 0 ||
        cli_client_json(client, "GET", release_path, NULL, &shown, err) < 0 ||
        fetch_head(client, app, head, ret->docs, err) < 0)
        return -1;
    rd_json_set_b64(ret->docs, "genesis", rd_buf_bytes(&genesis));
    rd_json_set(ret->docs, "release", envelope_of(shown));
    return 0;
}

int cli_kept_fetch(cli_context *context, cli_client *client, const cli_kept_id *id, cli_kept *ret, rd_err *err)
{
    *ret = (cli_kept){
        .instance = id->instance, .epoch = id->epoch, .seq = id->seq, .records = json_array(), .docs = json_object()
    };
    rd_buf_init(&ret->evidence, CLI_EVIDENCE_MAX);
    cli_collateral_init(&ret->collateral);
    if (fetch_records(client, id, ret, err) < 0 || fetch_evidence(client, id, ret, err) < 0 ||
        fetch_docs(client, ret, err) < 0)
        return -1;
    return cli_collateral_get(context, client, rd_buf_bytes(&ret->evidence), &ret->collateral, err);
}

/* ---- files ---- */

int cli_kept_save(const cli_kept *kept, const char *path, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = json_object();
    rd_json_set_str(document, "type", CLI_KEPT_TYPE);
    rd_json_set_app_id(document, "app", &kept->app);
    rd_json_set_id(document, "instance", RD_PREFIX_INSTANCE, &kept->instance);
    rd_json_set_int(document, "epoch", (int64_t)kept->epoch);
    rd_json_set_int(document, "seq", (int64_t)kept->seq);
    rd_json_set(document, "records", json_incref(kept->records));
    rd_json_set(document, "docs", json_incref(kept->docs));
    rd_json_set_b64(document, "evidence", rd_buf_bytes(&kept->evidence));
    rd_json_set_b64(document, "collateral", rd_buf_bytes(&kept->collateral.json));
    RD_CLEANUP(rd_free_p) char *text = json_dumps(document, JSON_INDENT(1));
    return cli_write_file(path, text, strlen(text), 0644, err);
}

static int read_number(const json_t *document, const char *name, uint64_t *ret, rd_err *err)
{
    const json_t *number = json_object_get(document, name);
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return rd_err_set(err, RD_E_JSON_RANGE, "%s is no number from 0", name);
    *ret = (uint64_t)json_integer_value(number);
    return 0;
}

static int read_document(const json_t *document, cli_kept *ret, rd_err *err)
{
    const char *type = cli_text(document, "type");
    const char *app = cli_text(document, "app");
    const char *instance = cli_text(document, "instance");
    if (type && strcmp(type, CLI_EXCHANGE_TYPE) == 0)
        return rd_err_set(err, RD_E_JSON_TYPE, "an answer that redoubt invoke saved: redoubt verify checks it");
    if (!type || strcmp(type, CLI_KEPT_TYPE) != 0)
        return rd_err_set(err, RD_E_JSON_TYPE, "not receipts of redoubt receipts get (type %.40s)",
                          type ? type : "missing");
    if (!app || rd_app_id_parse(app, strlen(app), &ret->app, err) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "app is missing or malformed");
    if (!instance || rd_id_parse(RD_PREFIX_INSTANCE, instance, strlen(instance), &ret->instance, err) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "instance is missing or malformed");
    ret->records = json_incref(json_object_get(document, "records"));
    ret->docs = json_incref(json_object_get(document, "docs"));
    if (json_array_size(ret->records) == 0)
        return rd_err_set(err, RD_E_JSON_MISSING, "records are missing");
    if (read_number(document, "epoch", &ret->epoch, err) < 0 || read_number(document, "seq", &ret->seq, err) < 0 ||
        cli_json_b64(document, "evidence", CLI_EVIDENCE_MAX, &ret->evidence, err) < 0)
        return -1;
    (void)snprintf(ret->collateral.source, sizeof ret->collateral.source, "the file");
    return cli_json_b64(document, "collateral", CLI_COLLATERAL_MAX, &ret->collateral.json, err);
}

int cli_kept_load(const char *path, cli_kept *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    const rd_json_limits limits = { .size_max = KEPT_SIZE_MAX };
    size_t size;
    *ret = (cli_kept){ .epoch = 0 };
    if (cli_read_file(path, KEPT_SIZE_MAX, &data, &size, err) < 0)
        return -1;
    if (rd_json_parse(rd_bytes_of(data, size), &limits, &document, err) < 0 || read_document(document, ret, err) < 0)
        return rd_err_wrap(err, "%s", path);
    return 0;
}
