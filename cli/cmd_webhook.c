/* webhook key, webhook answer: the owner's side of the word that a policy asks for before each grant
 * (docs/protocol/kms.md, "The owner's webhook"). For a service that runs a command for each question; what decides is
 * the service. */
#include "cli/cmd.h"

#include "cli/keys.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/head.h"

#include <stdlib.h>
#include <string.h>

static int run_key(cli_context *context, const cli_args *args, rd_err *err)
{
    char text[CLI_KEY_TEXT_SIZE];
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = NULL;
    if (cli_args_expect(args, 1, 1, "FILE", err) < 0)
        return -1;
    const char *path = args->positional[0];
    if (cli_keys_create(path, &key, err) < 0)
        return -1;
    cli_keys_text(key, text);
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document = json_pack("{s:s, s:s, s:s}", "path", path, "alg", "ed25519", "key", text);
        cli_print_json(&context->out, document);
        return 0;
    }
    cli_note(&context->out, "Webhook key made at %s: whoever has it can say yes in the owner's place. Its public half,",
             path);
    cli_note(&context->out, "for webhook.key of the manifest:");
    cli_print(&context->out, "%s", text);
    return 0;
}

/* ---- answer ---- */

static int read_term(const char *text, uint32_t *ret, rd_err *err)
{
    uint64_t term_s = 0;
    *ret = 0;
    if (text && (rd_parse_u64(text, strlen(text), RD_HEAD_GRANT_S_MAX, &term_s) < 0 || term_s < RD_HEAD_GRANT_S_MIN))
        return rd_err_set(err, RD_E_USAGE, "--term takes %u to %u seconds, not %s", RD_HEAD_GRANT_S_MIN,
                          RD_HEAD_GRANT_S_MAX, text);
    *ret = (uint32_t)term_s;
    return 0;
}

static int read_question(rd_webhook_question *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) uint8_t *data = NULL;
    size_t size = 0;
    if (cli_read_file("-", RD_WEBHOOK_QUESTION_MAX, &data, &size, err) < 0)
        return -1;
    return rd_webhook_question_read(rd_bytes_of(data, size), ret, err);
}

static int sign_yes(const rd_webhook_question *question, const char *path, uint32_t term_s, rd_buf *ret, rd_err *err)
{
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = NULL;
    uint8_t answer[RD_WEBHOOK_ANSWER_SIZE];
    if (cli_keys_read(path, &key, err) < 0)
        return -1;
    if (!rd_public_key_equal(rd_signing_key_public(key), &question->key))
        return rd_err_set(err, RD_E_WEBHOOK_ANSWER, "the policy names another webhook key than that of %s", path);
    if (rd_webhook_sign(key, &question->kms, rd_buf_bytes(&question->statement), term_s, answer, err) < 0)
        return -1;
    return rd_webhook_yes_write(answer, ret, err);
}

static int print_answer(const cli_out *out, const rd_buf *text, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *document = NULL;
    if (out->form != CLI_JSON) {
        cli_print(out, "%.*s", (int)text->size, (const char *)text->data);
        return 0;
    }
    if (rd_json_parse(rd_buf_bytes(text), NULL, &document, err) < 0)
        return -1;
    cli_print_json(out, document);
    return 0;
}

static int run_answer(cli_context *context, const cli_args *args, rd_err *err)
{
    const char *path = cli_args_value(args, "key"), *reason = cli_args_value(args, "deny");
    RD_CLEANUP(rd_webhook_question_done) rd_webhook_question question = { .statement = { 0 } };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    uint32_t term_s;
    if (cli_args_expect(args, 0, 0, "", err) < 0 || read_term(cli_args_value(args, "term"), &term_s, err) < 0)
        return -1;
    if (!path == !reason || (reason && term_s > 0))
        return rd_err_set(err, RD_E_USAGE, "--key FILE, with or without --term, says yes; --deny REASON says no");
    if (read_question(&question, err) < 0)
        return -1;
    int status = reason ? rd_webhook_no_write(reason, &text, err) : sign_yes(&question, path, term_s, &text, err);
    return status < 0 ? -1 : print_answer(&context->out, &text, err);
}

static const cli_flag answer_flags[] = {
    { "key", 0, "FILE", "say yes, signed with the key that the policy names" },
    { "term", 0, "SECONDS", "for so long at most, 300 to 604800 (default: as long as the head says)" },
    { "deny", 0, "REASON", "say no; the app's owner reads the reason where the start failed" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_webhook_commands[] = {
    { .name = "webhook key",
      .purpose = "make the key of a webhook that is asked before each grant",
      .arguments = "FILE",
      .examples = "redoubt webhook key webhook.pem",
      .run = run_key },
    { .name = "webhook answer",
      .purpose = "answer a key service's question, read from stdin, in the owner's place",
      .arguments = "",
      .examples = "redoubt webhook answer --key webhook.pem < question.json\n"
                  "redoubt webhook answer --key webhook.pem --term 3600 < question.json\n"
                  "redoubt webhook answer --deny 'not on a Sunday' < question.json",
      .flags = answer_flags,
      .run = run_answer },
    { .name = NULL },
};
