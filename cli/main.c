#include "cli/cmd.h"

#include "cli/client.h"
#include "cli/help.h"
#include "cli/signals.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The verb that the first words name; *ret_words says how many they were. The longest name wins. */
static const cli_command *find_command(int count, char **words, int *ret_words)
{
    const cli_command *found = NULL;
    for (const cli_command *const *list = cli_all_commands; *list; list++) {
        for (const cli_command *command = *list; command->name; command++) {
            char name[64];
            (void)snprintf(name, sizeof name, "%s", command->name);
            int matched = 0;
            char *saved = NULL;
            char *part = strtok_r(name, " ", &saved);
            while (part && matched < count && strcmp(part, words[matched]) == 0) {
                matched++;
                part = strtok_r(NULL, " ", &saved);
            }
            if (!part && (!found || matched > *ret_words)) {
                found = command;
                *ret_words = matched;
            }
        }
    }
    return found;
}

static int usage_error(const char *typed)
{
    const char *nearest = cli_help_nearest(typed);
    (void)fprintf(stderr, "error: unknown %s: %s\n", typed[0] == '-' ? "flag" : "verb", typed);
    if (nearest)
        (void)fprintf(stderr, "  hint   did you mean: redoubt %s\n", nearest);
    else if (strchr(typed, ' ')) /* the noun was right */
        (void)fprintf(stderr, "  hint   see: redoubt help %.*s\n", (int)strcspn(typed, " "), typed);
    else
        (void)fprintf(stderr, "  hint   see: redoubt --help\n");
    return 2;
}

static bool is_word(int count, char **words, int at)
{
    return at < count && words[at][0] != '-';
}

/* `redoubt help …` and bare nouns. */
static int answer_help(int count, char **words)
{
    if (count == 0)
        cli_help_overview();
    else if (strcmp(words[0], "errors") == 0)
        return cli_help_errors(is_word(count, words, 1) ? words[1] : NULL) ? 0 : usage_error(words[1]);
    else if (!cli_help_noun(words[0]))
        return usage_error(words[0]);
    return 0;
}

/* `redoubt`, `redoubt help …`, `redoubt --version`, a bare noun: answered without a profile. -1 when it is none of
 * these. */
static int answer_without_profile(int count, char **words)
{
    if (count == 0 || strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0)
        return answer_help(0, words);
    if (strcmp(words[0], "--version") == 0 || strcmp(words[0], "version") == 0) {
        (void)puts("redoubt " REDOUBT_VERSION);
        return 0;
    }
    if (strcmp(words[0], "--help-man") == 0)
        return cli_help_man(count > 1 ? words[1] : "") ? 0 : usage_error(words[1]);
    bool is_help = strcmp(words[0], "help") == 0;
    int matched = 0;
    const cli_command *command = find_command(count - is_help, words + is_help, &matched);
    if (is_help && command) {
        cli_help_command(command);
        return 0;
    }
    if (command)
        return -1;
    if (!is_help && is_word(count, words, 1) && cli_help_is_noun(words[0])) {
        RD_CLEANUP(rd_free_p) char *typed = rd_asprintf("%s %s", words[0], words[1]);
        return usage_error(typed);
    }
    return answer_help(count - is_help, words + is_help);
}

static int set_form(cli_context *context, const cli_args *args, rd_err *err)
{
    const char *form = cli_args_value(args, "output");
    if (cli_args_has(args, "json") || (form && strcmp(form, "json") == 0))
        context->out.form = CLI_JSON;
    else if (form && strcmp(form, "name") == 0)
        context->out.form = CLI_NAME;
    else if (form && strcmp(form, "table") != 0)
        return rd_err_set(err, RD_E_USAGE, "--output takes name, table or json, not %s", form);
    return 0;
}

static int init_context(cli_context *context, const cli_args *args, rd_err *err)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    const char *timeout = cli_args_value(args, "timeout");
    uint64_t seconds = 0;
    bool is_plain = cli_args_has(args, "no-color") || (no_color && no_color[0]) || !term || strcmp(term, "dumb") == 0;
    context->clock = rd_clock_system();
    context->out.is_quiet = cli_args_has(args, "quiet");
    context->out.is_verbose = cli_args_has(args, "verbose");
    context->out.has_color = !is_plain && isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
    context->out.is_live = !is_plain && isatty(STDERR_FILENO);
    context->out.may_ask = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) && !cli_args_has(args, "no-input");
    context->out.assume_yes = cli_args_has(args, "yes");
    context->out.columns = cli_args_value(args, "columns");
    if (set_form(context, args, err) < 0)
        return -1;
    if (timeout && (rd_parse_u64(timeout, strlen(timeout), 86400, &seconds) < 0 || seconds == 0))
        return rd_err_set(err, RD_E_USAGE, "--timeout takes seconds, 1 to 86400, not %s", timeout);
    context->timeout_us = (int64_t)seconds * 1000000;
    return cli_profile_load(cli_args_value(args, "profile"), cli_args_value(args, "api"), &context->profile, err);
}

cli_client *cli_context_client(cli_context *context, rd_err *err)
{
    if (!context->client)
        context->client = cli_client_new(context, err);
    return context->client;
}

static int run_command(const char *program, const cli_command *command, int count, char **words)
{
    rd_err err = RD_ERR_INIT;
    cli_args args;
    cli_context context = { .program = program };
    if (cli_args_parse(count, words, command->flags, &args, &err) == 0 && cli_args_has(&args, "help")) {
        cli_help_command(command);
        return 0;
    }
    int status = err.code ? -1 : init_context(&context, &args, &err);
    if (status == 0)
        status = command->run(&context, &args, &err);
    if (status < 0) {
        cli_print_error(&context.out, &err, context.client ? cli_client_request_id(context.client) : NULL);
        if (err.code == RD_E_USAGE)
            (void)fprintf(stderr, "  usage  redoubt %s %s\n", command->name, command->arguments);
        status = rd_code_describe(err.code)->exit_code;
    }
    cli_client_free(context.client);
    cli_profile_free(context.profile);
    return status;
}

/* Flags of every verb may also come before it: how many of the first words are such flags and their values. */
static int leading_flags(int count, char **words)
{
    int taken = 0;
    while (taken < count) {
        const cli_flag *flag = cli_args_global(words[taken]);
        if (!flag || strcmp(flag->name, "help") == 0)
            break;
        taken += flag->value_name && !strchr(words[taken], '=') ? 2 : 1;
    }
    return RD_MIN(taken, count);
}

int main(int argc, char **argv)
{
    cli_signals_install();
    int leading = leading_flags(argc - 1, argv + 1);
    int count = argc - 1 - leading;
    char **words = argv + 1 + leading;
    int answered = answer_without_profile(count, words);
    if (answered >= 0)
        return answered;
    int verb = 0;
    const cli_command *command = find_command(count, words, &verb);
    /* The leading flags go where the verb stood, in front of its own arguments. */
    memmove(argv + 1 + verb, argv + 1, (size_t)leading * sizeof *argv);
    return run_command(argv[0], command, argc - 1 - verb, argv + 1 + verb);
}
