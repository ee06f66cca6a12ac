#include "cli/help.h"

#include <stdio.h>
#include <string.h>

static void print_flags(const cli_flag *flags)
{
    for (; flags && flags->name; flags++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%c%s--%s%s%s", flags->letter ? "-" : "  ",
                       flags->letter ? flags->letter : ' ', flags->letter ? ", " : " ", flags->name,
                       flags->value_name ? " " : "", flags->value_name ? flags->value_name : "");
        (void)printf("  %-30s %s\n", left, flags->help);
    }
}

static void print_indented(const char *lines)
{
    while (*lines) {
        size_t size = strcspn(lines, "\n");
        (void)printf("  $ %.*s\n", (int)size, lines);
        lines += size + (lines[size] == '\n');
    }
}

void cli_help_command(const cli_command *command)
{
    (void)printf("redoubt %s: %s\n\n", command->name, command->purpose);
    (void)printf("Usage: redoubt %s [flags]%s%s\n\nExamples:\n", command->name, command->arguments[0] ? " " : "",
                 command->arguments);
    print_indented(command->examples);
    if (command->flags) {
        (void)printf("\nFlags:\n");
        print_flags(command->flags);
    }
    (void)printf("\nFlags of every verb:\n");
    print_flags(cli_global_flags);
}

static void print_verbs(const char *noun)
{
    size_t size = noun ? strlen(noun) : 0;
    for (const cli_command *const *list = cli_all_commands; *list; list++)
        for (const cli_command *command = *list; command->name; command++)
            if (!command->is_hidden && (!noun || (strncmp(command->name, noun, size) == 0 &&
                                                  (command->name[size] == ' ' || !command->name[size]))))
                (void)printf("  %-20s %s\n", command->name, command->purpose);
}

void cli_help_overview(void)
{
    (void)printf("redoubt: deploy code that stays secret and gives answers that anyone can check\n\n"
                 "Usage: redoubt VERB [flags] [arguments]\n\nExamples:\n");
    print_indented("redoubt deploy examples/private-score\n"
                   "redoubt invoke private-score --data @examples/private-score/request.json\n"
                   "redoubt verify private-score");
    (void)printf("\nVerbs:\n");
    print_verbs(NULL);
    (void)printf(
        "\nHelp of a verb: redoubt help VERB, or redoubt VERB --help. All errors: redoubt help errors.\n"
        "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 auth, 5 conflict, 6 attestation failed, 7 timeout,\n"
        "8 unavailable, 10 changes to deploy (deploy --plan), 130 interrupted.\n");
}

static void print_errors(void)
{
    for (int code = RD_OK + 1; code < RD_CODE_COUNT; code++) {
        const rd_code_info *info = rd_code_describe((rd_code)code);
        (void)printf("%-28s HTTP %d, exit %d%s%s%s\n", info->name, info->http_status, info->exit_code,
                     info->is_retryable ? ", may be tried again" : "", info->hint[0] ? "\n    " : "", info->hint);
    }
}

bool cli_help_noun(const char *noun)
{
    if (strcmp(noun, "errors") == 0) {
        print_errors();
        return true;
    }
    size_t size = strlen(noun);
    for (const cli_command *const *list = cli_all_commands; *list; list++) {
        for (const cli_command *command = *list; command->name; command++) {
            if (strncmp(command->name, noun, size) != 0 || command->name[size] != ' ')
                continue;
            (void)printf("redoubt %s\n\nVerbs:\n", noun);
            print_verbs(noun);
            (void)printf("\nHelp of a verb: redoubt help %s\n", command->name);
            return true;
        }
    }
    return false;
}

static void print_roff(const char *text)
{
    for (; *text; text++) {
        if (*text == '\\' || *text == '-')
            (void)putchar('\\');
        (void)putchar(*text);
    }
}

static void man_flags(const cli_flag *flags)
{
    for (; flags && flags->name; flags++) {
        (void)printf(".TP\n.B \\-\\-%s", flags->name);
        if (flags->letter)
            (void)printf(", \\-%c", flags->letter);
        (void)printf("%s%s\n", flags->value_name ? " " : "", flags->value_name ? flags->value_name : "");
        print_roff(flags->help);
        (void)putchar('\n');
    }
}

void cli_help_man(void)
{
    (void)printf(".TH REDOUBT 1 \"\" \"redoubt " REDOUBT_VERSION
                 "\"\n.SH NAME\nredoubt \\- deploy, invoke and verify confidential functions\n"
                 ".SH SYNOPSIS\n.B redoubt\n.I VERB\n[flags] [arguments]\n.SH VERBS\n");
    for (const cli_command *const *list = cli_all_commands; *list; list++) {
        for (const cli_command *command = *list; command->name; command++) {
            if (command->is_hidden)
                continue;
            (void)printf(".SS %s %s\n", command->name, command->arguments);
            print_roff(command->purpose);
            (void)printf(".\n.PP\n.nf\n");
            print_roff(command->examples);
            (void)printf("\n.fi\n");
            man_flags(command->flags);
        }
    }
    (void)printf(".SH FLAGS OF EVERY VERB\n");
    man_flags(cli_global_flags);
    (void)printf(
        ".SH EXIT STATUS\n0 ok, 1 failure, 2 usage, 3 not found, 4 auth, 5 conflict, 6 attestation failed, 7 timeout, "
        "8 unavailable, 10 changes to deploy, 130 interrupted.\n"
        ".SH FILES\n.I .redoubt/profile.json\n(upwards from the working directory), "
        ".I $XDG_CONFIG_HOME/redoubt/profile.json\n");
}

const char *cli_help_nearest(const char *typed)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (const cli_command *const *list = cli_all_commands; *list; list++) {
        for (const cli_command *command = *list; command->name; command++) {
            char first[32];
            (void)snprintf(first, sizeof first, "%.*s", (int)strcspn(command->name, " "), command->name);
            size_t distance = RD_MIN(cli_edit_distance(typed, command->name), cli_edit_distance(typed, first));
            if (distance < best && !command->is_hidden) {
                best = distance;
                nearest = command->name;
            }
        }
    }
    return nearest;
}
