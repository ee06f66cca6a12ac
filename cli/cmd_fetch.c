#include "cli/cmd.h"

#include "attest/collateral_review.h"
#include "cli/anchors.h"
#include "cli/client.h"
#include "cli/evidence_files.h"
#include "cli/signals.h"
#include "common/base/mem.h"
#include "fetch/fetch.h"
#include "fetch/validators.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Beside the set, for the next run: which answers it need not be sent again. */
#define VALIDATORS_FILE "validators.json"

static bool wait_some(void *context RD_UNUSED, int64_t time_us)
{
    return cli_pause(time_us);
}

/* --- what is asked for --- */

static int add_evidence(const char *path, fetch_scopes *scopes, rd_err *err)
{
    RD_CLEANUP(cli_evidence_free_p) cli_evidence_files *files = NULL;
    rd_judge_input input = { .time_us = 0 };
    char scope[256], text[300];
    if (cli_evidence_load(path, NULL, &files, err) < 0)
        return -1;
    cli_evidence_fill(files, &input);
    if (!rd_collateral_scope_of(input.evidence, scope, sizeof scope))
        return rd_err_set(err, RD_E_USAGE, "%s does not say what collateral it needs; name it with --scope", path);
    bool is_intel = strncmp(scope, "tdx/", 4) == 0 || strncmp(scope, "sgx/", 4) == 0;
    (void)snprintf(text, sizeof text, "%s%s", is_intel ? "" : "snp:", scope);
    return fetch_scopes_add(scopes, text, err);
}

/* Without a word of the caller: what the plane's set covers. */
static int add_plane(cli_context *context, fetch_scopes *scopes, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    RD_CLEANUP(cli_answer_done) cli_answer answer = { .headers = NULL };
    cli_client *client = cli_context_client(context, err);
    const cli_request request = { .method = "GET", .path = "/v1/collateral", .is_anonymous = true };
    if (!client || cli_client_send(client, &request, &answer, err) < 0 ||
        rd_collateral_set_parse(rd_buf_bytes(&answer.body), &set, err) < 0)
        return rd_err_wrap(err, "neither --scope nor --for, and the plane's set cannot be read");
    fetch_scopes_add_set(scopes, set);
    return 0;
}

static int read_scopes(cli_context *context, const cli_args *args, fetch_scopes *ret, rd_err *err)
{
    const char *text;
    for (size_t i = 0; (text = cli_args_value_at(args, "scope", i)) != NULL; i++)
        if (fetch_scopes_add(ret, text, err) < 0)
            return -1;
    for (size_t i = 0; (text = cli_args_value_at(args, "for", i)) != NULL; i++)
        if (add_evidence(text, ret, err) < 0)
            return -1;
    if (!cli_args_has(args, "scope") && !cli_args_has(args, "for") && add_plane(context, ret, err) < 0)
        return -1;
    return ret->count > 0 ? 0 : rd_err_set(err, RD_E_USAGE, "nothing to fetch; name a platform with --scope or --for");
}

/* --- the folder --- */

static int open_folder(const char *dir, rd_collateral_set **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/" CLI_COLLATERAL_FILE, dir);
    struct stat info;
    if (mkdir(dir, 0755) < 0 && errno != EEXIST)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", dir);
    if (stat(path, &info) == 0)
        return cli_collateral_load(path, ret, err);
    *ret = rd_collateral_set_new();
    return 0;
}

static int write_set(const char *dir, rd_collateral_set *set, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/" CLI_COLLATERAL_FILE, dir);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (rd_collateral_set_write(set, &text, err) < 0)
        return rd_err_wrap(err, "%s", dir);
    return cli_write_file(path, text.data, text.size, 0644, err);
}

/* What a later run asks with. Lost or broken, all is asked for anew. */
static void read_validators(const char *dir, fetch_http *http, const rd_collateral_set *set)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/" VALIDATORS_FILE, dir);
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = 0;
    rd_err ignored = RD_ERR_INIT;
    if (cli_read_file(path, FETCH_VALIDATORS_SIZE_MAX, &data, &size, &ignored) == 0)
        (void)!fetch_validators_load(http, rd_bytes_of(data, size), set, &ignored);
}

static int write_validators(const char *dir, fetch_http *http, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/" VALIDATORS_FILE, dir);
    RD_CLEANUP(rd_json_free_p) json_t *json = fetch_validators_to_json(http);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_init(&text, FETCH_VALIDATORS_SIZE_MAX);
    return rd_json_dump(json, &text) ? cli_write_file(path, text.data, text.size, 0644, err) : 0;
}

/* --- the services --- */

static int open_http(cli_context *context, const cli_args *args, fetch_http **ret, rd_err *err)
{
    const fetch_http_options options = { .ca_file = cli_args_value(args, "ca"),
                                         .allows_tls12 = cli_args_has(args, "tls12"),
                                         .budget_us = context->timeout_us,
                                         .clock = context->clock,
                                         .wait = wait_some };
    return fetch_http_new(&options, ret, err);
}

/* Verified, and with what the folder held before in kept. Returns how many pieces were older than those, or -1. */
static int get_set(cli_context *context, const cli_args *args, fetch_http *http, const fetch_scopes *scopes,
                   rd_collateral_set *kept, rd_collateral_facts *facts, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *fetched = NULL;
    rd_anchors anchors;
    int64_t now_us = rd_clock_wall_us(context->clock);
    const fetch_sources sources = { .pcs = cli_args_value(args, "from"),
                                    .root_crl = cli_args_value(args, "root-crl"),
                                    .kds = cli_args_value(args, "kds") };
    if (cli_anchors_read(context, args, &anchors, err) < 0 ||
        fetch_collateral(http, &sources, scopes, kept, &fetched, err) < 0 ||
        rd_collateral_review(fetched, &anchors, now_us, facts, err) < 0)
        return -1;
    rd_collateral_set_expire(kept, now_us);
    int older = rd_collateral_set_merge(kept, fetched, true, err);
    if (older < 0)
        return -1;
    rd_collateral_set_revoke(kept);
    if (rd_collateral_review(kept, &anchors, now_us, facts, err) < 0)
        return rd_err_wrap(err, "with what the folder held before (it is left as it is; name another --out)");
    return older;
}

/* --- the verb --- */

static void print_result(const cli_out *out, const char *dir, int older, fetch_counts counts,
                         const rd_collateral_facts *facts)
{
    RD_CLEANUP(rd_json_free_p) json_t *json = rd_collateral_facts_to_json(facts);
    if (out->form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document =
            json_pack("{s:s, s:i, s:I, s:I, s:O}", "folder", dir, "older", older, "requests",
                      (json_int_t)counts.requests, "unchanged", (json_int_t)counts.unchanged, "facts", json);
        cli_print_json(out, document);
        return;
    }
    cli_print(out, "%s/" CLI_COLLATERAL_FILE ": genuine and in date", dir);
    cli_print(out, "  %llu requests, %llu answered as unchanged", (unsigned long long)counts.requests,
              (unsigned long long)counts.unchanged);
    if (older > 0)
        cli_print(out, "  %d pieces were older than those in the folder, which stay", older);
    cli_collateral_print_facts(out, json);
}

static int fetch_into(cli_context *context, const cli_args *args, const fetch_scopes *scopes, fetch_http *http,
                      rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *kept = NULL;
    RD_CLEANUP(rd_free_p) rd_collateral_facts *facts = rd_alloc(sizeof *facts);
    const char *dir = cli_args_value(args, "out") ? cli_args_value(args, "out") : "collateral";
    if (open_folder(dir, &kept, err) < 0)
        return -1;
    read_validators(dir, http, kept);
    int older = get_set(context, args, http, scopes, kept, facts, err);
    if (older < 0 || write_set(dir, kept, err) < 0 || write_validators(dir, http, err) < 0)
        return -1;
    print_result(&context->out, dir, older, fetch_http_counts(http), facts);
    return 0;
}

static int run_fetch(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_free_p) fetch_scopes *scopes = rd_alloc(sizeof *scopes);
    fetch_http *http = NULL;
    if (cli_args_expect(args, 0, 0, "", err) < 0 || read_scopes(context, args, scopes, err) < 0 ||
        open_http(context, args, &http, err) < 0)
        return -1;
    int rc = fetch_into(context, args, scopes, http, err);
    fetch_http_free(http);
    return rc;
}

static const cli_flag fetch_flags[] = {
    { "from", 0, "URL", "a PCCS, or another mirror of Intel's service (default: " FETCH_PCS_STANDARD ")" },
    { "kds", 0, "URL", "a mirror of AMD's service (default: " FETCH_KDS_STANDARD ")" },
    { "root-crl", 0, "URL", "where the root's list lies (default: the service's rootcacrl; Intel's own for Intel's)" },
    { "scope", 0, "LIST", "what for: tdx:FMSPC, sgx:FMSPC, snp:PRODUCT, separated by commas (default: the plane's)" },
    { "for", 0, "PATH", "what this evidence needs: a quote, a report, or a folder of them" },
    { "ca", 0, "FILE", "PEM of the CA of the service's certificate (default: the system's)" },
    { "tls12", 0, NULL, "allow TLS 1.2, for a service that has no 1.3" },
    { "trust-root", 0, "FILE", "trust this root certificate alone, in the place of the vendors'" },
    { "out", 0, "DIR", "folder to write; what is newer in it stays (default: collateral)" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_fetch_commands[] = {
    { .name = "collateral fetch",
      .purpose = "get collateral from Intel's and AMD's services or a mirror of them, verify it, write it to a folder",
      .arguments = "",
      .examples = "redoubt collateral fetch --scope tdx:90c06f000000,snp:Milan\n"
                  "redoubt collateral fetch --from https://pccs.example:8081 --ca pccs.pem --for quote.bin --out dir\n"
                  "redoubt evidence verify quote.bin --collateral dir",
      .flags = fetch_flags,
      .run = run_fetch },
    { .name = NULL },
};
