#include "cli/cmd.h"

#include "cli/anchors.h"
#include "cli/evidence_files.h"
#include "cli/policy_words.h"
#include "cli/steps.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

#define DIFFERS 10

static void print_notes(const cli_out *out, const rd_policy_notes *notes)
{
    for (size_t i = 0; i < notes->count; i++)
        cli_print(out, "  %-8s  %-24s  %s", rd_policy_effect_names[notes->items[i].effect], notes->items[i].member,
                  notes->items[i].text);
    if (notes->dropped)
        cli_print(out, "  and %zu more", notes->dropped);
}

/* --- check --- */

static void print_invalid(cli_context *context, const char *path, const rd_err *err)
{
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document =
            json_pack("{s:b, s:s, s:s, s:s, s:[]}", "valid", 0, "code", rd_code_describe(err->code)->name, "detail",
                      err->text, "pointer", err->pointer, "loosens");
        cli_print_json(&context->out, document);
    } else {
        cli_print(&context->out, "%s: not valid%s%s: %s (%s)", path, err->pointer[0] ? " at " : "", err->pointer,
                  err->text, rd_code_describe(err->code)->name);
    }
}

static int run_check(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_policy *policy = NULL;
    if (cli_args_expect(args, 1, 1, "FILE", err) < 0)
        return -1;
    const char *path = args->positional[0];
    if (cli_policy_load(path, &policy, err) < 0) {
        if (err->code == RD_E_CLI_FILE || err->code == RD_E_IO)
            return -1;
        print_invalid(context, path, err);
        return 1;
    }
    RD_CLEANUP(rd_free_p) rd_policy_notes *notes = rd_alloc(sizeof *notes);
    rd_digest digest;
    char digest_text[RD_DIGEST_TEXT_SIZE];
    rd_policy_loosenings(policy, notes);
    if (rd_policy_digest(policy, &digest, err) < 0)
        return -1;
    rd_digest_format(&digest, digest_text);
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document =
            json_pack("{s:b, s:s, s:o}", "valid", 1, "digest", digest_text, "loosens", cli_policy_notes(notes));
        cli_print_json(&context->out, document);
        return 0;
    }
    cli_print(&context->out, "%s: valid, %s", path, digest_text);
    print_notes(&context->out, notes);
    if (notes->count == 0)
        cli_print(&context->out, "Nothing is looser than the safe defaults.");
    return 0;
}

/* --- explain --- */

static void print_judgement(const cli_out *out, const json_t *document, const rd_judgement *judgement)
{
    cli_print(out, "%s", "");
    cli_steps_print(out, json_object_get(document, "steps"));
    if (judgement->is_accepted) {
        cli_print(out, "This evidence is accepted.");
        return;
    }
    const rd_code_info *info = rd_code_describe(judgement->reason);
    cli_print(out, "Refused by rule %s: %s (%s)", judgement->rule ? judgement->rule : "format", judgement->refusal.text,
              info->name);
    if (info->hint[0])
        cli_print(out, "What would mend it: %s.", info->hint);
}

/* 0 accepted, -1 refused with what refuses first in err; *ret is the judgement as JSON. */
static int judge(cli_context *context, const cli_args *args, const rd_policy *policy, json_t **ret, rd_err *err)
{
    RD_CLEANUP(cli_evidence_free_p) cli_evidence_files *files = NULL;
    RD_CLEANUP(rd_free_p) rd_judgement *judgement = rd_alloc(sizeof *judgement);
    rd_anchors anchors;
    rd_judge_input input = { .anchors = &anchors, .policy = policy };
    if (cli_anchors_read(context, args, &anchors, err) < 0 ||
        cli_evidence_load(cli_args_value(args, "evidence"), cli_args_value(args, "collateral"), &files, err) < 0 ||
        cli_evidence_instant(context, args, files, &input.time_us, err) < 0)
        return -1;
    cli_evidence_fill(files, &input);
    int status = rd_judge(&input, judgement, err);
    *ret = rd_judgement_to_json(judgement);
    if (context->out.form != CLI_JSON)
        print_judgement(&context->out, *ret, judgement);
    if (status < 0)
        err->code = RD_E_CLI_VERIFY;
    return status;
}

static void print_words(const cli_out *out, const json_t *words)
{
    size_t i;
    json_t *line;
    cli_print(out, "Evidence is accepted when all of this holds:");
    json_array_foreach((json_t *)words, i, line) cli_print(out, "  %s", json_string_value(line));
}

static int run_explain(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_policy *policy = NULL;
    if (cli_args_expect(args, 1, 1, "FILE", err) < 0 || cli_policy_load(args->positional[0], &policy, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) rd_policy_notes *notes = rd_alloc(sizeof *notes);
    rd_policy_loosenings(policy, notes);
    RD_CLEANUP(rd_json_free_p) json_t *words = cli_policy_words(policy);
    RD_CLEANUP(rd_json_free_p) json_t *judgement = NULL;
    bool has_evidence = cli_args_has(args, "evidence");
    if (context->out.form != CLI_JSON) {
        print_words(&context->out, words);
        print_notes(&context->out, notes);
    }
    int status = has_evidence ? judge(context, args, policy, &judgement, err) : 0;
    if (context->out.form == CLI_JSON && (!has_evidence || judgement)) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document = json_pack("{s:o, s:O, s:o, s:O?}", "policy", rd_policy_to_json(policy), "words", words,
                                     "loosens", cli_policy_notes(notes), "evidence", judgement);
        cli_print_json(&context->out, document);
    }
    return status;
}

/* --- diff --- */

static int run_diff(cli_context *context, const cli_args *args, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_policy *a = NULL;
    RD_CLEANUP(rd_free_p) rd_policy *b = NULL;
    if (cli_args_expect(args, 2, 2, "A B", err) < 0 || cli_policy_load(args->positional[0], &a, err) < 0 ||
        cli_policy_load(args->positional[1], &b, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) rd_policy_notes *notes = rd_alloc(sizeof *notes);
    rd_policy_diff(a, b, notes);
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document = json_pack("{s:b, s:o}", "same", notes->count == 0, "changes", cli_policy_notes(notes));
        cli_print_json(&context->out, document);
    } else if (notes->count == 0) {
        cli_print(&context->out, "Both accept the same.");
    }
    if (context->out.form != CLI_JSON)
        print_notes(&context->out, notes);
    return notes->count ? DIFFERS : 0;
}

static const cli_flag explain_flags[] = {
    { "evidence", 0, "PATH", "judge this evidence by it: which rule refuses first, and what would mend it" },
    { "collateral", 0, "DIR|FILE", "the vendor's collateral (default: what lies beside the evidence)" },
    { "at", 0, "RFC3339", "judge as of this instant (default: verify_at of PATH's expect.json, else now)" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_policy_commands[] = {
    { .name = "policy check",
      .purpose = "is a policy valid, and which of its members loosen the safe defaults; exit 1 when it is not",
      .arguments = "FILE",
      .examples = "redoubt policy check policy.json\nredoubt policy check policy.json --json",
      .run = run_check },
    { .name = "policy explain",
      .purpose = "a policy in plain words, and what it says to evidence; exit 6 when it refuses",
      .arguments = "FILE",
      .examples = "redoubt policy explain policy.json\nredoubt policy explain policy.json --evidence evidence/",
      .flags = explain_flags,
      .run = run_explain },
    { .name = "policy diff",
      .purpose = "what B loosens and tightens against A; exit 0 when they accept the same, else 10",
      .arguments = "A B",
      .examples = "redoubt policy diff old.json new.json",
      .run = run_diff },
    { .name = NULL },
};
