#include "cli/cmd.h"

#include "cli/key_file.h"
#include "cli/keys.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <stdlib.h>

static int print_key(cli_context *context, const char *path, const rd_signing_key *key)
{
    char text[CLI_KEY_TEXT_SIZE];
    cli_keys_text(key, text);
    if (context->out.form == CLI_JSON) {
        json_t *document = json_pack("{s:s, s:s, s:s}", "path", path, "alg", "ed25519", "key", text);
        cli_print_json(&context->out, document);
        json_decref(document);
        return 0;
    }
    cli_print(&context->out, "%s", text);
    return 0;
}

static int run_new(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 1, "PATH", err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p)
    char *path = args->positional_count ? rd_strdup(args->positional[0]) : cli_keys_path(context->profile);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = NULL;
    if (cli_keys_create(path, &key, err) < 0)
        return -1;
    cli_note(&context->out, "Owner key made at %s. Keep a copy where only you can read it:", path);
    cli_note(&context->out, "whoever loses it can never change the apps that it owns.");
    return print_key(context, path, key);
}

static int run_show(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = cli_keys_path(context->profile);
    RD_CLEANUP(rd_signing_key_free_p) rd_signing_key *key = NULL;
    if (cli_keys_load(context->profile, &key, err) < 0)
        return -1;
    return print_key(context, path, key);
}

static int run_log(cli_context *context, const cli_args *args, rd_err *err)
{
    uint8_t key[RD_X25519_SIZE];
    char text[44];
    bool is_new = false;
    if (cli_args_expect(args, 0, 0, "", err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = cli_log_key_path(context->profile);
    if (cli_log_key_public(context->profile, cli_args_has(args, "new"), key, &is_new, err) < 0)
        return err->code == RD_E_CLI_NOT_FOUND
                   ? rd_err_set(err, err->code, "no log key at %s: redoubt keys log --new makes it", path)
                   : -1;
    rd_base64url_encode(RD_BYTES_ARRAY(key), text);
    if (is_new)
        cli_note(&context->out, "Log key made at %s: whoever has it reads the logs, and nobody else.", path);
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document = json_pack("{s:s, s:s, s:s}", "path", path, "alg", "x25519", "key", text);
        cli_print_json(&context->out, document);
        return 0;
    }
    cli_print(&context->out, "%s", text);
    return 0;
}

static const cli_flag log_flags[] = {
    { "new", 0, NULL, "make the key when there is none; deploy does so by itself" },
    { NULL, 0, NULL, NULL },
};

const cli_command cli_keys_commands[] = {
    { .name = "keys new",
      .purpose = "make an owner key on this machine; it never leaves it",
      .arguments = "[PATH]",
      .examples = "redoubt keys new\nredoubt keys new ~/keys/prod.pem",
      .run = run_new },
    { .name = "keys show",
      .purpose = "print the public half of the owner key",
      .arguments = "",
      .examples = "redoubt keys show\nredoubt keys show --json",
      .run = run_show },
    { .name = "keys log",
      .purpose = "print the public half of the key that logs are sealed to",
      .arguments = "",
      .examples = "redoubt keys log\nredoubt keys log --new",
      .flags = log_flags,
      .run = run_log },
    { .name = NULL },
};
