#include "cli/collateral.h"

#include "cli/evidence_files.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/evidence.h"
#include "fetch/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FETCH_BUDGET_US (INT64_C(10) * 1000000)
#define KEPT_S          86400

void cli_collateral_init(cli_collateral *collateral)
{
    *collateral = (cli_collateral){ .source = "" };
    rd_buf_init(&collateral->json, CLI_COLLATERAL_MAX);
}

void cli_collateral_done(cli_collateral *collateral)
{
    rd_buf_done(&collateral->json);
}

/* What the evidence asks for, and which source is first asked for it. */
typedef struct question {
    char scope[CLI_SCOPE_SIZE];
    bool is_hardware; /* as it says of itself: no more than a reason to ask the vendor */
} question;

static void read_question(rd_bytes bundle, question *ret)
{
    rd_evidence evidence = { 0 };
    rd_err ignored = RD_ERR_INIT;
    *ret = (question){ .is_hardware = false };
    if (rd_evidence_parse(bundle, &evidence, &ignored) == 0) {
        ret->is_hardware = evidence.statement.class == RD_CLASS_HARDWARE;
        if (!rd_collateral_scope_of(rd_buf_bytes(&evidence.quote), ret->scope, sizeof ret->scope))
            ret->scope[0] = '\0';
    }
    rd_evidence_done(&evidence);
}

static int take_set(rd_collateral_set *set, cli_collateral *ret, rd_err *err)
{
    rd_buf_clear(&ret->json);
    return rd_collateral_set_write(set, &ret->json, err);
}

/* ---- a folder ---- */

static int from_path(const char *path, cli_collateral *ret, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    if (cli_collateral_load(path, &set, err) < 0 || take_set(set, ret, err) < 0)
        return -1;
    (void)snprintf(ret->source, sizeof ret->source, "%s", path);
    ret->scope[0] = '\0';
    return 0;
}

/* ---- a service ---- */

/* The name is a hash: nothing of an answer or of evidence becomes part of a path. NULL without a state folder. */
static char *kept_path(const cli_context *context, const char *service, const char *scope)
{
    uint8_t digest[RD_SHA256_SIZE];
    char hex[2 * sizeof digest + 1];
    const char *dir = cli_profile_get(context->profile, CLI_SET_STATE_DIR);
    RD_CLEANUP(rd_free_p) char *name = rd_asprintf("%s %s", service, scope);
    rd_sha256(rd_bytes_str(name), digest);
    rd_hex_encode(RD_BYTES_ARRAY(digest), hex);
    return dir ? rd_asprintf("%s/fetched/%s.json", dir, hex) : NULL;
}

static bool take_kept(const cli_context *context, const char *path, const char *name, cli_collateral *ret)
{
    struct stat info;
    rd_err ignored = RD_ERR_INIT;
    if (!path || stat(path, &info) < 0)
        return false;
    int64_t age_s = rd_clock_wall_us(context->clock) / 1000000 - (int64_t)info.st_mtime;
    if (age_s < 0 || age_s > KEPT_S || from_path(path, ret, &ignored) < 0)
        return false;
    (void)snprintf(ret->source, sizeof ret->source, "%s, asked %lld min ago", name, (long long)(age_s / 60));
    return true;
}

/* A folder that cannot be written costs the next run a question. */
static void keep(const char *path, const cli_collateral *collateral)
{
    rd_err ignored = RD_ERR_INIT;
    RD_CLEANUP(rd_free_p) char *dir = rd_strdup(path);
    *strrchr(dir, '/') = '\0';
    if (cli_make_dirs(dir, &ignored) == 0)
        (void)!cli_write_file(path, collateral->json.data, collateral->json.size, 0600, &ignored);
}

static int add_scope(const char *scope, fetch_scopes *ret, rd_err *err)
{
    if (!scope[0])
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "the evidence does not say which platform it is of");
    bool is_intel = rd_starts_with(scope, "tdx/") || rd_starts_with(scope, "sgx/");
    RD_CLEANUP(rd_free_p) char *text = rd_asprintf("%s%s", is_intel ? "" : "snp:", scope);
    return fetch_scopes_add(ret, text, err);
}

static int ask_service(const cli_context *context, const char *pcs, const char *scope, cli_collateral *ret, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    RD_CLEANUP(rd_free_p) fetch_scopes *scopes = rd_alloc(sizeof *scopes);
    fetch_http *http = NULL;
    const fetch_sources sources = { .pcs = pcs, .kds = pcs };
    const fetch_http_options options = { .timeout_us = FETCH_BUDGET_US / 2,
                                         .budget_us = FETCH_BUDGET_US,
                                         .clock = context->clock };
    if (add_scope(scope, scopes, err) < 0 || fetch_http_new(&options, &http, err) < 0)
        return -1;
    int status = fetch_collateral(http, &sources, scopes, NULL, &set, err);
    fetch_http_free(http);
    return status == 0 ? take_set(set, ret, err) : -1;
}

/* pcs NULL: the vendors' own services. */
static int from_service(const cli_context *context, const char *pcs, const question *q, cli_collateral *ret,
                        rd_err *err)
{
    const char *name = pcs ? pcs : "the vendor's service";
    RD_CLEANUP(rd_free_p) char *path = kept_path(context, name, q->scope);
    if (!take_kept(context, path, name, ret)) {
        if (ask_service(context, pcs, q->scope, ret, err) < 0)
            return rd_err_wrap(err, "%s", name);
        (void)snprintf(ret->source, sizeof ret->source, "%s", name);
        if (path)
            keep(path, ret);
    }
    (void)snprintf(ret->scope, sizeof ret->scope, "%s", q->scope);
    return 0;
}

/* ---- which ---- */

static int from_plane(cli_client *client, const char *why, cli_collateral *ret, rd_err *err)
{
    if (!client)
        return rd_err_set(err, RD_E_USAGE,
                          "no control plane or token is known here, so that no collateral comes from it");
    rd_buf_clear(&ret->json);
    if (cli_client_fetch(client, "/v1/collateral", NULL, &ret->json, err) < 0)
        return -1;
    (void)snprintf(ret->source, sizeof ret->source, "the plane%s%s%s", why ? " (" : "", why ? why : "", why ? ")" : "");
    ret->scope[0] = '\0';
    return 0;
}

static int from_named(cli_context *context, cli_client *client, const char *source, const question *q,
                      cli_collateral *ret, rd_err *err)
{
    if (strcmp(source, "plane") == 0)
        return from_plane(client, NULL, ret, err);
    if (strcmp(source, "vendor") == 0)
        return from_service(context, NULL, q, ret, err);
    if (rd_starts_with(source, "https://") || rd_starts_with(source, "http://"))
        return from_service(context, source, q, ret, err);
    return from_path(source, ret, err);
}

int cli_collateral_get(cli_context *context, cli_client *client, rd_bytes bundle, cli_collateral *ret, rd_err *err)
{
    question q;
    read_question(bundle, &q);
    if (ret->source[0] && (!ret->scope[0] || strcmp(ret->scope, q.scope) == 0))
        return 0;
    if (context->demands.collateral)
        return from_named(context, client, context->demands.collateral, &q, ret, err);
    const char *first = cli_profile_get(context->profile, CLI_SET_COLLATERAL);
    if (!first && q.is_hardware)
        first = "vendor";
    rd_err why = RD_ERR_INIT;
    if (first && from_named(context, client, first, &q, ret, &why) == 0)
        return 0;
    return from_plane(client, first ? why.text : NULL, ret, err);
}

int cli_collateral_replace(cli_context *context, cli_client *client, rd_bytes bundle, cli_collateral *collateral,
                           rd_err *err)
{
    if (!context->demands.collateral)
        return 0;
    cli_collateral_done(collateral);
    cli_collateral_init(collateral);
    return cli_collateral_get(context, client, bundle, collateral, err);
}
