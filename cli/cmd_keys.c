#include "cli/cmd.h"

#include "cli/key_file.h"
#include "cli/signer.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

#include <stdlib.h>
#include <string.h>

#define DAY_US       INT64_C(86400000000)
#define DAYS_DEFAULT 30
#define DAYS_MAX     366

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

/* ---- delegate ---- */

/* Words between commas, each once. */
static int read_rights(const char *text, unsigned *ret, rd_err *err)
{
    *ret = 0;
    for (const char *at = text; *at || at == text;) {
        size_t size = strcspn(at, ",");
        unsigned bit = 0;
        while (rd_may_names[bit] && (strlen(rd_may_names[bit]) != size || memcmp(rd_may_names[bit], at, size) != 0))
            bit++;
        if (!rd_may_names[bit])
            return rd_err_set(err, RD_E_USAGE, "--may takes release, head and secret, between commas, not %.*s",
                              (int)size, at);
        *ret |= 1u << bit;
        at += size + (at[size] == ',');
    }
    return 0;
}

static int read_holder(const char *text, rd_held_in *ret, rd_err *err)
{
    for (int i = 0; rd_held_in_names[i]; i++) {
        if (strcmp(rd_held_in_names[i], text) == 0) {
            *ret = (rd_held_in)i;
            return 0;
        }
    }
    return rd_err_set(err, RD_E_USAGE, "--held-in takes file, hsm or browser, not %s", text);
}

static int read_days(const char *text, uint64_t *ret, rd_err *err)
{
    if (rd_parse_u64(text, strlen(text), DAYS_MAX, ret) < 0 || *ret == 0)
        return rd_err_set(err, RD_E_USAGE, "--days takes 1 to %d, not %s", DAYS_MAX, text);
    return 0;
}

static int read_delegation(cli_context *context, const cli_args *args, rd_delegation *ret, rd_err *err)
{
    const char *key = args->positional[1], *may = cli_args_value(args, "may"),
               *days_text = cli_args_value(args, "days");
    const char *held_in = cli_args_value(args, "held-in");
    uint64_t days = DAYS_DEFAULT;
    ret->may = RD_MAY_ALL;
    if ((may && read_rights(may, &ret->may, err) < 0) || (days_text && read_days(days_text, &days, err) < 0) ||
        (held_in && read_holder(held_in, &ret->held_in, err) < 0))
        return -1;
    if (rd_base64url_decode(key, strlen(key), ret->key.b, sizeof ret->key.b) != (ssize_t)sizeof ret->key.b ||
        rd_public_key_check(&ret->key, err) < 0)
        return rd_err_set(err, RD_E_USAGE, "KEY is what keys new or keys show prints on the machine that holds it");
    int64_t now_us = rd_clock_wall_us(context->clock);
    ret->not_after_us = (now_us / 1000000) * 1000000 + (int64_t)days * DAY_US;
    return 0;
}

/* Signed with the owner's key, so that it is an owner's who has it alone. */
static int sign_delegation(cli_context *context, const cli_current *current, rd_delegation *delegation, rd_buf *ret,
                           rd_err *err)
{
    cli_signer owner = { .key = NULL };
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 };
    rd_envelope envelope = { .signatures_count = 0 };
    rd_delegation again;
    int status = cli_keys_load(context->profile, &owner.key, err);
    if (status == 0)
        status = cli_signer_check(&owner, current, rd_clock_wall_us(context->clock), err);
    if (status == 0)
        status = rd_delegation_encode(delegation, &document, err);
    if (status == 0)
        status = cli_signer_sign(&owner, rd_buf_bytes(&document), RD_SIGN_DELEGATION, RD_BYTES_NULL, &envelope, err);
    if (status == 0)
        status = rd_envelope_encode(&envelope, ret, err);
    if (status == 0)
        status = rd_delegation_accept(rd_buf_bytes(ret), &current->genesis, &current->app, &again, err);
    rd_envelope_done(&envelope);
    cli_signer_done(&owner);
    return status;
}

static int print_delegation(cli_context *context, const rd_delegation *delegation, const char *path, rd_buf *text)
{
    char app[RD_APP_ID_TEXT_SIZE], until[RD_TIME_TEXT_SIZE];
    rd_app_id_format(&delegation->app, app);
    rd_time_format(delegation->not_after_us, until);
    if (!path) {
        cli_print(&context->out, "%s", rd_buf_text(text));
        return 0;
    }
    if (context->out.form == CLI_JSON) {
        RD_CLEANUP(rd_json_free_p)
        json_t *document = json_pack("{s:s, s:s, s:s, s:s}", "path", path, "app", app, "class",
                                     rd_class_name(delegation->class), "not_after", until);
        rd_json_set_b64(document, "key", RD_BYTES_ARRAY(delegation->key.b));
        cli_print_json(&context->out, document);
        return 0;
    }
    cli_note(&context->out, "Until %s that key signs for %s, class %s. Give the file to its holder, who names it as",
             until, app, rd_class_name(delegation->class));
    cli_note(&context->out, "delegation_file. It is no secret, and only time takes it back.");
    cli_print(&context->out, "%s", path);
    return 0;
}

static int run_delegate(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 2, 2, "APP and KEY", err) < 0)
        return -1;
    rd_delegation delegation = { .held_in = RD_HELD_IN_FILE };
    cli_current current = { .has_head = false };
    RD_CLEANUP(rd_json_free_p) json_t *app = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    const char *path = cli_args_value(args, "save");
    cli_client *client = cli_context_client(context, err);
    if (!client || read_delegation(context, args, &delegation, err) < 0 ||
        cli_client_find_app(client, args->positional[0], &app, err) < 0)
        return -1;
    const char *id = cli_text(app, "id");
    if (!id || rd_app_id_parse(id, strlen(id), &delegation.app, err) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "the control plane answered without a proper app id");
    int status = cli_current_fetch(context, client, &delegation.app, &current, err);
    if (status == 0 && !current.has_head)
        status = rd_err_set(err, RD_E_CLI_NOT_FOUND, "%s has no head yet; deploy it once with this key", id);
    if (status == 0) {
        delegation.class = current.head.class;
        status = sign_delegation(context, &current, &delegation, &text, err);
    }
    if (status == 0 && path)
        status = cli_write_file(path, text.data, text.size, 0644, err);
    if (status == 0)
        status = print_delegation(context, &delegation, path, &text);
    cli_current_done(&current);
    return status;
}

static const cli_flag delegate_flags[] = {
    { "may", 0, "WHAT,…", "release, head, secret: sign releases, sign heads, change secrets (default: all)" },
    { "days", 0, "DAYS", "1 to 366 (default 30): what it signs ends with it" },
    { "held-in", 0, "WHERE", "file (default), hsm or browser, which is for simulated apps alone" },
    { "save", 0, "FILE", "write it there (default: print it)" },
    { NULL, 0, NULL, NULL },
};

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
    { .name = "keys delegate",
      .purpose = "let another key deploy an app in the owner's place for some days",
      .arguments = "APP KEY",
      .examples = "redoubt keys delegate private-score 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo --save ci.json\n"
                  "redoubt keys delegate private-score 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo --may secret,head "
                  "--days 7",
      .flags = delegate_flags,
      .run = run_delegate },
    { .name = "keys log",
      .purpose = "print the public half of the key that logs are sealed to",
      .arguments = "",
      .examples = "redoubt keys log\nredoubt keys log --new",
      .flags = log_flags,
      .run = run_log },
    { .name = NULL },
};
