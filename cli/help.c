#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 80

/* On the screen: what is no continuation byte of UTF-8. */
static int columns_of(const char *text)
{
    int columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

/* left, then text from a column on, wrapped at spaces. */
static void print_row(const char *left, int column, const char *text)
{
    int used = 2 + columns_of(left);
    (void)printf("  %s", left);
    if (used >= column - 1) {
        (void)putchar('\n');
        used = 0;
    }
    (void)printf("%*s", column - used, "");
    used = column;
    while (*text) {
        int size = (int)strcspn(text, " ");
        if (used > column && used + 1 + size > WIDTH) {
            (void)printf("\n%*s", column, "");
            used = column;
        } else if (used > column) {
            (void)putchar(' ');
            used++;
        }
        (void)printf("%.*s", size, text);
        used += size;
        text += size;
        text += *text == ' ';
    }
    (void)putchar('\n');
}

static void print_flags(const cli_flag *flags)
{
    for (; flags && flags->name; flags++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%c%s--%s%s%s", flags->letter ? "-" : "  ",
                       flags->letter ? flags->letter : ' ', flags->letter ? ", " : " ", flags->name,
                       flags->value_name ? " " : "", flags->value_name ? flags->value_name : "");
        print_row(left, 32, flags->help);
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
                print_row(command->name, 22, command->purpose);
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
    (void)printf("\nHelp of a verb: redoubt help VERB. Errors: redoubt help errors [CODE].\n"
                 "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 auth, 5 conflict,\n"
                 "6 attestation failed, 7 timeout, 8 unavailable, 10 changes (deploy --plan),\n"
                 "130 interrupted.\n");
}

static void print_error_line(const rd_code_info *info)
{
    (void)printf("%-28s exit %d%s%s%s\n", info->name, info->exit_code, info->is_retryable ? ", may be tried again" : "",
                 info->hint[0] ? "\n    " : "", info->hint);
}

static void explain_error(const rd_code_info *info)
{
    (void)printf("%s\n  exit code   %d\n  over HTTP   %d; page /problems/%s of the control plane\n  again       %s\n",
                 info->name, info->exit_code, info->http_status, info->name,
                 info->is_retryable ? "the same request may succeed later, unchanged" : "not without a change");
    if (info->hint[0])
        (void)printf("  to mend it  %s\n", info->hint);
}

bool cli_help_errors(const char *name)
{
    if (name) {
        rd_code code = rd_code_by_name(name);
        if (code != RD_OK)
            explain_error(rd_code_describe(code));
        return code != RD_OK;
    }
    for (int code = RD_OK + 1; code < RD_CODE_COUNT; code++)
        print_error_line(rd_code_describe((rd_code)code));
    return true;
}

/* The first verb of a noun, or NULL. */
static const cli_command *first_of_noun(const char *noun)
{
    size_t size = strlen(noun);
    for (const cli_command *const *list = cli_all_commands; *list; list++)
        for (const cli_command *command = *list; command->name; command++)
            if (strncmp(command->name, noun, size) == 0 && command->name[size] == ' ')
                return command;
    return NULL;
}

bool cli_help_is_noun(const char *word)
{
    return first_of_noun(word) != NULL;
}

bool cli_help_noun(const char *noun)
{
    const cli_command *first = first_of_noun(noun);
    if (!first)
        return false;
    (void)printf("redoubt %s\n\nVerbs:\n", noun);
    print_verbs(noun);
    (void)printf("\nHelp of a verb: redoubt help %s\n", first->name);
    return true;
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
