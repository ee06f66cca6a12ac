#include "cli/cmd.h"

#include "cli/anchors.h"
#include "cli/ear.h"
#include "cli/evidence_files.h"
#include "cli/evidence_show.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- flags --- */

static int usage_of(rd_err *err, const char *flag)
{
    err->code = RD_E_USAGE;
    return rd_err_wrap(err, "--%s", flag);
}

static int read_policy(const char *path, rd_policy *ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = (size_t)256 << 10 };
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    size_t size = 0;
    if (cli_read_file(path, limits.size_max, &data, &size, err) < 0 ||
        rd_json_parse(rd_bytes_of(data, size), &limits, &document, err) < 0 ||
        rd_policy_read(document, "", ret, err) < 0)
        return usage_of(err, "policy");
    return 0;
}

static int read_product(const cli_args *args, const char **ret, rd_err *err)
{
    static const char *const names[] = { "Milan", "Genoa", "Turin" };
    const char *given = cli_args_value(args, "product");
    *ret = NULL;
    for (size_t i = 0; given && i < RD_ARRAY_LEN(names); i++)
        if (strcmp(given, names[i]) == 0)
            *ret = names[i];
    return !given || *ret ? 0 : rd_err_set(err, RD_E_USAGE, "--product takes Milan, Genoa or Turin, not %s", given);
}

/* Everything that a judgement is made from. */
typedef struct request {
    cli_evidence_files *files;
    rd_anchors anchors;
    rd_policy *policy; /* NULL: the default */
    rd_judge_input input;
    bool wants_ear;
    cli_ear_key ear_key;
} request;

static void request_done(request *r)
{
    cli_evidence_free(r->files);
    free(r->policy);
    cli_ear_key_done(&r->ear_key);
}

/* A result is signed, or it is none: there is no key of ours for it, since each key has one purpose. */
static int read_ear(const cli_args *args, request *r, rd_err *err)
{
    const char *path = cli_args_value(args, "ear-key");
    r->wants_ear = cli_args_has(args, "ear");
    if (!r->wants_ear)
        return path ? rd_err_set(err, RD_E_USAGE, "--ear-key goes with --ear") : 0;
    if (!path)
        return rd_err_set(err, RD_E_USAGE,
                          "--ear needs --ear-key FILE; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 "
                          "makes one");
    return cli_ear_key_load(path, &r->ear_key, err) < 0 ? usage_of(err, "ear-key") : 0;
}

static int make_request(cli_context *context, const cli_args *args, request *r, rd_err *err)
{
    const char *policy = cli_args_value(args, "policy");
    if (cli_args_expect(args, 1, 1, "PATH", err) < 0 || read_product(args, &r->input.product, err) < 0 ||
        cli_anchors_read(context, args, &r->anchors, err) < 0)
        return -1;
    if (policy) {
        r->policy = rd_alloc(sizeof *r->policy);
        if (read_policy(policy, r->policy, err) < 0)
            return -1;
    }
    if (cli_evidence_load(args->positional[0], cli_args_value(args, "collateral"), &r->files, err) < 0 ||
        cli_evidence_instant(context, args, r->files, &r->input.time_us, err) < 0)
        return -1;
    cli_evidence_fill(r->files, &r->input);
    r->input.anchors = &r->anchors;
    r->input.policy = r->policy;
    r->input.accepts_simulated = cli_args_has(args, "trust-root");
    r->input.allows_debug = cli_args_has(args, "allow-debug");
    r->input.demands_vcek = cli_args_has(args, "require-vcek");
    return 0;
}

/* --- verify --- */

static void print_judgement(const cli_out *out, const json_t *document, const rd_judgement *judgement)
{
    const rd_tcb_verdict *tcb = &judgement->verdict.tcb;
    const char *tee = json_string_value(json_object_get(document, "tee"));
    cli_print(out, "%s   %s%s%s", tee ? tee : "evidence", judgement->word, judgement->error_class ? "   " : "",
              judgement->error_class ? judgement->error_class : "");
    cli_steps_print(out, json_object_get(document, "steps"));
    for (size_t i = 0; i < tcb->shortfall_count; i++) {
        char text[96];
        rd_tcb_shortfall_format(&tcb->shortfalls[i], text, sizeof text);
        cli_print(out, "  behind    %s", text);
    }
    for (size_t i = 0; i < tcb->advisory_count; i++)
        cli_print(out, "  advisory  %s", tcb->advisories[i]);
    cli_print(out, "%s, %s.", judgement->verdict.is_genuine ? "Genuine" : "Not genuine",
              judgement->is_accepted ? "accepted" : "not accepted");
}

static int make_ear(cli_context *context, const request *r, const rd_judgement *judgement, rd_buf *out, rd_err *err)
{
    rd_ear_input input = { .judgement = judgement,
                           .evidence = r->input.evidence,
                           .policy = r->policy,
                           .judged_us = r->input.time_us,
                           .issued_us = rd_clock_wall_us(context->clock),
                           .trust = "caller" };
    return cli_ear_append(&input, &r->ear_key, out, err);
}

static int run_verify(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(request_done) request r = { .files = NULL };
    RD_CLEANUP(rd_buf_done) rd_buf ear = { 0 };
    rd_judgement judgement;
    if (read_ear(args, &r, err) < 0 || make_request(context, args, &r, err) < 0)
        return -1;
    int status = rd_judge(&r.input, &judgement, err);
    rd_err why = RD_ERR_INIT;
    if (r.wants_ear && make_ear(context, &r, &judgement, &ear, &why) < 0) {
        *err = why;
        return -1;
    }
    RD_CLEANUP(rd_json_free_p) json_t *document = rd_judgement_to_json(&judgement);
    rd_json_set_time(document, "time", r.input.time_us);
    if (r.wants_ear)
        rd_json_set_str(document, "ear", rd_buf_text(&ear));
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, document);
    else if (r.wants_ear)
        cli_print(&context->out, "%s", rd_buf_text(&ear));
    else
        print_judgement(&context->out, document, &judgement);
    if (status < 0)
        err->code = RD_E_CLI_VERIFY;
    return status;
}

/* --- show --- */

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(request_done) request r = { .files = NULL };
    rd_judgement judgement;
    rd_err unused = RD_ERR_INIT;
    if (make_request(context, args, &r, err) < 0)
        return -1;
    /* Reading is the first part of judging; what the rest of it says is not asked for. */
    (void)!rd_judge(&r.input, &judgement, &unused);
    RD_CLEANUP(rd_json_free_p) json_t *document = rd_judgement_to_json(&judgement);
    if (context->out.form == CLI_JSON)
        cli_print_json(&context->out, document);
    else
        cli_evidence_print(&context->out, &judgement, document);
    return 0;
}

static const cli_flag verify_flags[] = {
    { "collateral", 0, "DIR|FILE",
      "the vendor's collateral: a folder, or one set as JSON (default: what lies in PATH)" },
    { "at", 0, "RFC3339", "judge as of this instant (default: verify_at of PATH's expect.json, else now)" },
    { "policy", 0, "FILE", "appraise by this policy (default: UpToDate and SWHardeningNeeded, no debug, any code)" },
    { "allow-debug", 0, NULL, "take evidence of enclaves that their host can read" },
    { "trust-root", 0, "FILE", "trust this root certificate alone, in the place of the vendors'" },
    { "ear", 0, NULL, "print the result as a signed JWT that other systems read (EAR); with --json a member ear" },
    { "ear-key", 0, "FILE", "your private key for it: P-256 or Ed25519, PEM" },
    { "require-vcek", 0, NULL, "SEV-SNP: refuse a VLEK, which names no chip" },
    { "product", 0, "NAME", "SEV-SNP: it must have run on Milan, Genoa or Turin" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_evidence_commands[] = {
    { .name = "evidence verify",
      .purpose = "judge raw evidence of any TEE on this machine: genuine, how well patched, accepted",
      .arguments = "PATH",
      .examples = "redoubt evidence verify quote.bin --collateral collateral/\n"
                  "redoubt evidence verify evidence/ --at 2026-07-15T00:00:00Z --json\n"
                  "redoubt evidence verify report.bin --collateral certs/ --policy policy.json\n"
                  "redoubt evidence verify evidence/ --ear --ear-key ear.pem",
      .flags = verify_flags,
      .run = run_verify },
    { .name = "evidence show",
      .purpose = "print evidence of any kind, field by field, also when it does not verify",
      .arguments = "PATH",
      .examples = "redoubt evidence show quote.bin\nredoubt evidence show evidence/ --json",
      .run = run_show },
    { .name = NULL },
};
