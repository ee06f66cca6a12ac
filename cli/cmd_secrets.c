#include "cli/cmd.h"

#include "cli/apps.h"
#include "cli/deploy_sign.h"
#include "cli/docs.h"
#include "cli/signer.h"
#include "cli/secrets.h"
#include "cli/signals.h"
#include "cli/successor.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define SUCCESSOR_WAIT_US (60 * INT64_C(1000000)) /* unless --timeout says else */

typedef struct work {
    cli_context *context;
    cli_client *client;
    json_t *app;
    char id[RD_APP_ID_TEXT_SIZE];
    cli_signer signer;
    cli_current current;
    cli_secret_list list;
    cli_kms kms;
    uint64_t head_seq; /* of the head that was published */
    char serving[40];  /* the instance that has the change; "" when none does */
} work;

static void work_done(work *w)
{
    json_decref(w->app);
    cli_signer_done(&w->signer);
    cli_current_done(&w->current);
}

/* ---- the value: a file, a pipe, or typed without echo; never an argument ---- */

static int read_hidden(const cli_out *out, const char *name, rd_buf *ret, rd_err *err)
{
    struct termios before;
    char line[4096];
    cli_note(out, "Value of %s (not shown), then Enter:", name);
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "terminal");
    struct termios quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    cli_interrupt_terminal(&before);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    ssize_t size = read(STDIN_FILENO, line, sizeof line); /* a line at a time, and no copy in a stream's buffer */
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    cli_interrupt_terminal(NULL);
    bool is_there = size > 0, is_whole = is_there && line[size - 1] == '\n';
    if (is_whole)
        (void)rd_buf_append(ret, line, (size_t)size - 1);
    rd_wipe(line, sizeof line);
    if (!is_there)
        return rd_err_set(err, RD_E_CANCELLED, "nothing was typed");
    return is_whole ? 0 : rd_err_set(err, RD_E_USAGE, "too long to be typed: give a file with --file");
}

static int read_value(cli_context *context, const cli_args *args, const char *name, rd_buf *ret, rd_err *err)
{
    const char *path = cli_args_value(args, "file");
    uint8_t *data = NULL;
    size_t size = 0;
    rd_buf_init(ret, RD_SECRET_VALUE_MAX);
    if (!path && isatty(STDIN_FILENO)) {
        if (!context->out.may_ask)
            return rd_err_set(err, RD_E_USAGE, "pipe the value in, or name a file with --file");
        return read_hidden(&context->out, name, ret, err);
    }
    if (cli_read_file(path ? path : "-", RD_SECRET_VALUE_MAX, &data, &size, err) < 0)
        return -1;
    (void)rd_buf_reserve(ret, size + 1);
    (void)rd_buf_append(ret, data, size);
    rd_wipe(data, size);
    free(data);
    /* One newline at the end is the shell's, not the value's. */
    if (!path && ret->size > 0 && ret->data[ret->size - 1] == '\n')
        ret->size--;
    return 0;
}

static int check_value(const rd_buf *value, rd_err *err)
{
    if (value->size == 0)
        return rd_err_set(err, RD_E_USAGE, "the value is empty");
    if (!rd_is_utf8(rd_buf_bytes(value)))
        return rd_err_set(err, RD_E_ENCODING, "values are UTF-8 text, as env holds texts; encode it, e.g. with base64");
    return 0;
}

/* ---- an app, its list and its key service ---- */

static int open_app(work *w, const char *name, rd_err *err)
{
    w->client = cli_context_client(w->context, err);
    if (!w->client || cli_client_find_app(w->client, name, &w->app, err) < 0)
        return -1;
    const char *id = cli_text(w->app, "id");
    if (!id || rd_app_id_parse(id, strlen(id), &w->current.app, err) < 0)
        return rd_err_set(err, RD_E_ID_FORMAT, "the control plane answered without a proper app id");
    rd_app_id_format(&w->current.app, w->id);
    if (cli_current_fetch(w->context, w->client, &w->current.app, &w->current, err) < 0)
        return -1;
    if (cli_current_check_sole_owner(&w->current, name, err) < 0)
        return -1;
    return cli_secrets_fetch(w->client, &w->current, &w->list, err);
}

static rd_class class_of(const work *w)
{
    if (w->current.has_head)
        return w->current.head.class;
    return w->context->profile->simulation_root_count ? RD_CLASS_SIMULATED : RD_CLASS_HARDWARE;
}

/* The one that the head names; for an app without, the one that is trusted here. */
static int open_kms(work *w, rd_err *err)
{
    rd_kms_id id;
    bool is_found = false;
    if (w->current.has_head && w->current.head.kms_count > 0)
        id = w->current.head.kms[0];
    else if (cli_kms_choose(w->context, w->client, class_of(w), &is_found, &id, err) < 0)
        return -1;
    else if (!is_found)
        return rd_err_set(err, RD_E_KMS_UNKNOWN, "no key service is trusted here; see: %s kms list",
                          w->context->program);
    return cli_kms_demand(w->context, w->client, &id, &w->kms, err);
}

static int load_key(work *w, rd_err *err)
{
    if (cli_signer_load(w->context->profile, &w->signer, err) < 0)
        return -1;
    return cli_signer_check(&w->signer, &w->current, rd_clock_wall_us(w->context->clock), err);
}

/* Signs a head with the list as it is now; everything else stays. */
static int publish(work *w, rd_err *err)
{
    const cli_head_request request = { .current = &w->current,
                                       .signer = &w->signer,
                                       .class = class_of(w),
                                       .keeps_releases = true,
                                       .kms = &w->kms.id,
                                       .secrets = &w->list };
    return cli_head_publish(w->context, w->client, &request, &w->head_seq, err);
}

/* What was signed, said at once: what follows may take its time. */
static void note_signed(const work *w, const char *name, uint64_t version)
{
    const cli_out *out = &w->context->out;
    if (version > 0)
        cli_note(out, "%s, version %llu: sealed here for %.12s…, signed into head %llu.", name,
                 (unsigned long long)version, w->kms.text, (unsigned long long)w->head_seq);
    else
        cli_note(out, "%s is gone from head %llu and from the plane.", name, (unsigned long long)w->head_seq);
}

/* Instances read secrets at their start: the plane replaces those that run, new ones first. Until one of them serves
 * this machine, which knows the newer head, could call nothing. */
static int await_successor(work *w, rd_err *err)
{
    cli_context *context = w->context;
    const cli_out *out = &context->out;
    cli_successor successor = { .context = context, .app = w->id, .head_seq = w->head_seq };
    int64_t start_us = rd_clock_boot_us(context->clock);
    cli_interrupt_say("It is signed, and the plane goes on. Watch: %s instances list %s", context->program,
                      cli_text(w->app, "name"));
    if (cli_successor_await(&successor, context->timeout_us ? context->timeout_us : SUCCESSOR_WAIT_US, err) < 0) {
        cli_note(out,
                 "It is signed and stored; those that run serve on with what they have read, until their grant ends. "
                 "This machine, which knows the newer head, refuses what they answer (head_rollback).");
        return -1;
    }
    (void)snprintf(w->serving, sizeof w->serving, "%s", successor.instance);
    if (w->serving[0])
        cli_note(out, "  serving after %.1f ms: %s; those from before drain.",
                 (double)(rd_clock_boot_us(context->clock) - start_us) / 1000, w->serving);
    else
        cli_note(out, "No instance runs; the next that starts has it so.");
    return 0;
}

static void print_done(const work *w, const char *name, uint64_t version)
{
    if (w->context->out.form != CLI_JSON)
        return;
    RD_CLEANUP(rd_json_free_p)
    json_t *document = json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:s?}", "app", w->id, "name", name, "version",
                                 (json_int_t)version, "kms", w->kms.text, "secrets", (json_int_t)w->list.count, "head",
                                 (json_int_t)w->head_seq, "serving", w->serving[0] ? w->serving : NULL);
    cli_print_json(&w->context->out, document);
}

/* version 0: it is gone. */
static int finish(work *w, const cli_args *args, const char *name, uint64_t version, rd_err *err)
{
    note_signed(w, name, version);
    int status = 0;
    if (cli_args_has(args, "detach"))
        cli_note(&w->context->out, "The plane replaces the instances that run, new ones first.");
    else if (json_is_true(json_object_get(w->app, "paused")))
        cli_note(&w->context->out, "The app is paused: the plane replaces what runs once it is resumed.");
    else
        status = await_successor(w, err);
    print_done(w, name, version); /* also where nothing serves with it yet: it is signed and stored */
    return status;
}

/* ---- verbs ---- */

static int expect_names(const cli_args *args, rd_err *err)
{
    if (args->positional_count > 2)
        return rd_err_set(err, RD_E_USAGE,
                          "a value on the command line is seen by others and kept in histories: pipe it in, or use "
                          "--file");
    if (cli_args_expect(args, 2, 2, "APP NAME", err) < 0)
        return -1;
    if (!rd_secret_name_is_ok(args->positional[1]))
        return rd_err_set(err, RD_E_SECRET_NAME, "%s is no name of a secret", args->positional[1]);
    return 0;
}

static int set_secret(work *w, const cli_args *args, bool must_exist, rd_err *err)
{
    const char *name = args->positional[1];
    uint64_t version = 1;
    RD_CLEANUP(rd_buf_wipe) rd_buf value = { 0 };
    if (open_app(w, args->positional[0], err) < 0)
        return -1;
    const rd_secret_ref *before = cli_secrets_find(&w->list, name);
    if (must_exist && !before)
        return rd_err_set(err, RD_E_CLI_NOT_FOUND, "%s has no secret %s; set it first", cli_text(w->app, "name"), name);
    if (open_kms(w, err) < 0 || load_key(w, err) < 0 || read_value(w->context, args, name, &value, err) < 0 ||
        check_value(&value, err) < 0 || cli_secrets_next_version(w->client, &w->current.app, name, &version, err) < 0)
        return -1;
    if (before)
        version = RD_MAX(version, before->version + 1);
    if (cli_secrets_seal(w->client, &w->kms, &w->current.app, name, version, rd_buf_bytes(&value), &w->list, err) < 0)
        return -1;
    rd_buf_wipe(&value); /* what follows may take a minute, and needs it no more */
    if (publish(w, err) < 0)
        return -1;
    return finish(w, args, name, version, err);
}

static int run_change(cli_context *context, const cli_args *args, bool must_exist, rd_err *err)
{
    work *w = rd_alloc(sizeof *w);
    w->context = context;
    int status = expect_names(args, err);
    if (status == 0)
        status = set_secret(w, args, must_exist, err);
    work_done(w);
    free(w);
    return status;
}

static int run_set(cli_context *context, const cli_args *args, rd_err *err)
{
    return run_change(context, args, false, err);
}

static int run_rotate(cli_context *context, const cli_args *args, rd_err *err)
{
    return run_change(context, args, true, err);
}

static int unset_secret(work *w, const cli_args *args, rd_err *err)
{
    const char *name = args->positional[1];
    if (open_app(w, args->positional[0], err) < 0)
        return -1;
    if (!cli_secrets_find(&w->list, name))
        return rd_err_set(err, RD_E_CLI_NOT_FOUND, "%s has no secret %s", cli_text(w->app, "name"), name);
    if (open_kms(w, err) < 0 || load_key(w, err) < 0)
        return -1;
    cli_secrets_remove(&w->list, name);
    if (publish(w, err) < 0)
        return -1;
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("/v1/apps/%s/secrets/%s", w->id, name);
    if (cli_client_delete_any(w->client, path, err) < 0)
        return -1;
    return finish(w, args, name, 0, err);
}

static int run_unset(cli_context *context, const cli_args *args, rd_err *err)
{
    work *w = rd_alloc(sizeof *w);
    w->context = context;
    int status = expect_names(args, err);
    if (status == 0)
        status = unset_secret(w, args, err);
    work_done(w);
    free(w);
    return status;
}

static int print_list(const work *w, rd_err *err)
{
    const cli_out *out = &w->context->out;
    RD_CLEANUP(rd_json_free_p) json_t *items = json_array();
    RD_CLEANUP(rd_free_p) const char **cells = rd_alloc_array(RD_SECRETS_MAX * 3, sizeof *cells);
    RD_CLEANUP(rd_free_p) char(*texts)[96] = rd_alloc_array(RD_SECRETS_MAX * 2, sizeof *texts);
    size_t rows = 0;
    for (size_t i = 0; i < w->list.count; i++) {
        const rd_secret_ref *ref = &w->list.refs[i];
        char digest[RD_DIGEST_TEXT_SIZE];
        rd_digest_format(&ref->sealed, digest);
        (void)json_array_append_new(items, json_pack("{s:s, s:I, s:s, s:b}", "name", ref->name, "version",
                                                     (json_int_t)ref->version, "digest", digest, "code",
                                                     !rd_secret_name_is_ok(ref->name)));
        if (!rd_secret_name_is_ok(ref->name))
            continue; /* keys of sealed code are the deploys' */
        (void)snprintf(texts[rows * 2], sizeof texts[0], "%llu", (unsigned long long)ref->version);
        (void)snprintf(texts[rows * 2 + 1], sizeof texts[0], "%.19s…", digest);
        cells[rows * 3] = ref->name;
        cells[rows * 3 + 1] = texts[rows * 2];
        cells[rows * 3 + 2] = texts[rows * 2 + 1];
        rows++;
    }
    if (out->form == CLI_JSON) {
        cli_print_json(out, items);
        return 0;
    }
    static const char *const header[] = { "NAME", "VERSION", "SEALED" };
    return cli_print_table(out, header, 3, cells, rows, err);
}

static int run_list(cli_context *context, const cli_args *args, rd_err *err)
{
    if (cli_args_expect(args, 1, 1, "APP", err) < 0)
        return -1;
    work *w = rd_alloc(sizeof *w);
    w->context = context;
    int status = open_app(w, args->positional[0], err);
    if (status == 0)
        status = print_list(w, err);
    work_done(w);
    free(w);
    return status;
}

#define DETACH                                                                                                         \
    {                                                                                                                  \
        "detach", 'd', NULL,                                                                                           \
            "return once it is signed and stored (default: wait until an instance serves with it, where one runs; "    \
            "--timeout, 60 s, bounds the wait)"                                                                        \
    }

static const cli_flag value_flags[] = {
    { "file", 'f', "PATH", "read the value from this file, as it is (default: standard input, or typed unseen)" },
    DETACH,
    { NULL, 0, NULL, NULL },
};

static const cli_flag unset_flags[] = {
    DETACH,
    { NULL, 0, NULL, NULL },
};

const cli_command cli_secrets_commands[] = {
    { .name = "secrets set",
      .purpose = "seal a secret here; only verified instances of the app read it",
      .arguments = "APP NAME",
      .examples =
          "redoubt secrets set private-score API_KEY\nprintf %s \"$KEY\" | redoubt secrets set private-score API_KEY\n"
          "redoubt secrets set private-score MODEL --file model.json",
      .flags = value_flags,
      .run = run_set },
    { .name = "secrets list",
      .purpose = "the secrets that the owners signed last, by name and version",
      .arguments = "APP",
      .examples = "redoubt secrets list private-score",
      .run = run_list },
    { .name = "secrets rotate",
      .purpose = "give a secret that is there a new value",
      .arguments = "APP NAME",
      .examples = "redoubt secrets rotate private-score API_KEY --file new-key",
      .flags = value_flags,
      .run = run_rotate },
    { .name = "secrets unset",
      .purpose = "take a secret out of the head, and its ciphertext off the plane",
      .arguments = "APP NAME",
      .examples = "redoubt secrets unset private-score API_KEY",
      .flags = unset_flags,
      .run = run_unset },
    { .name = NULL },
};
