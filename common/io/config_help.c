#include "common/io/config.h"

#include "common/base/mem.h"
#include "common/io/config_value.h"

#include <string.h>

#define WIDTH  80
#define INDENT 26

static const char *group_of(const rd_option *option)
{
    return option->group ? option->group : "Options";
}

/* Visits the rows group by group, groups in order of their first row. */
static void each_group(const rd_config_spec *spec, FILE *out, void (*heading)(FILE *out, const char *group),
                       void (*row)(FILE *out, const rd_option *option))
{
    for (size_t i = 0; i < spec->count; i++) {
        const char *group = group_of(&spec->options[i]);
        bool is_first = true;
        for (size_t j = 0; j < i && is_first; j++)
            is_first = strcmp(group_of(&spec->options[j]), group) != 0;
        if (!is_first)
            continue;
        heading(out, group);
        for (size_t j = i; j < spec->count; j++)
            if (strcmp(group_of(&spec->options[j]), group) == 0)
                row(out, &spec->options[j]);
    }
}

static void describe(const rd_option *option, rd_buf *out)
{
    (void)rd_buf_append_str(out, option->help);
    if (option->type == RD_OPTION_ENUM || option->min || option->max) {
        (void)rd_buf_append_str(out, "; ");
        config_value_expected(option, out);
    }
    if (option->standard && option->standard[0])
        (void)rd_buf_printf(out, " (default %s)", option->standard);
    if (option->flags & RD_OPTION_REQUIRED)
        (void)rd_buf_append_str(out, " (required)");
}

static void name_of(const rd_option *option, rd_buf *out)
{
    static const char *const values[] = {
        [RD_OPTION_STRING] = " TEXT", [RD_OPTION_BOOL] = "",          [RD_OPTION_U64] = " N",
        [RD_OPTION_SIZE] = " SIZE",   [RD_OPTION_DURATION] = " TIME", [RD_OPTION_PATH] = " PATH",
        [RD_OPTION_ENUM] = " NAME",   [RD_OPTION_LIST] = " LIST",     [RD_OPTION_ENDPOINT] = " ADDRESS",
    };
    if (option->letter)
        (void)rd_buf_printf(out, "-%c, ", option->letter);
    (void)rd_buf_printf(out, "--%s%s", option->name, values[option->type]);
}

static void print_wrapped(FILE *out, const char *text, size_t column)
{
    while (*text) {
        size_t size = strcspn(text, " ");
        if (column > INDENT && column + size > WIDTH) {
            fprintf(out, "\n%*s", INDENT, "");
            column = INDENT;
        }
        fprintf(out, "%.*s", (int)size, text);
        column += size;
        text += size;
        if (*text == ' ') {
            text++;
            if (column + 1 + strcspn(text, " ") <= WIDTH) {
                fputc(' ', out);
                column++;
            } else {
                fprintf(out, "\n%*s", INDENT, "");
                column = INDENT;
            }
        }
    }
    fputc('\n', out);
}

static void help_heading(FILE *out, const char *group)
{
    fprintf(out, "\n%s:\n", group);
}

static void print_row(FILE *out, const char *name, const char *text)
{
    int used = fprintf(out, "  %s", name);
    if (used >= INDENT - 1)
        fprintf(out, "\n%*s", INDENT, "");
    else
        fprintf(out, "%*s", INDENT - used, "");
    print_wrapped(out, text, INDENT);
}

static void help_row(FILE *out, const rd_option *option)
{
    RD_CLEANUP(rd_buf_done) rd_buf name = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    name_of(option, &name);
    describe(option, &text);
    print_row(out, rd_buf_text(&name), rd_buf_text(&text));
}

void rd_config_print_help(const rd_config_spec *spec, FILE *out)
{
    fprintf(out, "%s: %s\n\nusage: %s %s\n", spec->program, spec->summary, spec->program, spec->usage);
    each_group(spec, out, help_heading, help_row);
    fprintf(out, "\nGeneral:\n");
    print_row(out, "--config PATH", "read options from a file of lines `key = value`");
    print_row(out, "--check", "validate the configuration and exit");
    print_row(out, "--print-config", "show each value and where it came from, and exit");
    print_row(out, "-h, --help", "this text; --help-man prints the manual page");
    print_row(out, "--version", "the version");
    if (spec->process)
        fprintf(out, "\nEnvironment: REDOUBT_%s_<OPTION> or REDOUBT_<OPTION>, dashes as underscores.\n", spec->process);
}

/* ---- man(7) ---- */

static void print_roff(FILE *out, const char *text)
{
    if (text[0] == '.' || text[0] == '\'')
        fputs("\\&", out);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void man_heading(FILE *out, const char *group)
{
    fputs(".SS ", out);
    print_roff(out, group);
    fputc('\n', out);
}

static void man_row(FILE *out, const rd_option *option)
{
    RD_CLEANUP(rd_buf_done) rd_buf name = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    name_of(option, &name);
    describe(option, &text);
    fputs(".TP\n.B ", out);
    print_roff(out, rd_buf_text(&name));
    fputc('\n', out);
    print_roff(out, rd_buf_text(&text));
    fputs(".\n", out);
}

/* A page of a command within a program is called program-command, as git's are. */
static void print_page_name(FILE *out, const char *program)
{
    for (; *program; program++)
        fputs(*program == ' ' || *program == '-' ? "\\-" : (const char[]){ *program, '\0' }, out);
}

void rd_config_print_man(const rd_config_spec *spec, FILE *out)
{
    fputs(".TH ", out);
    print_page_name(out, spec->program);
    fprintf(out, " 8 \"\" \"redoubt %s\" \"Redoubt\"\n.SH NAME\n", REDOUBT_VERSION);
    print_page_name(out, spec->program);
    fputs(" \\- ", out);
    print_roff(out, spec->summary);
    fputs("\n.SH SYNOPSIS\n.B ", out);
    print_roff(out, spec->program);
    fputc('\n', out);
    print_roff(out, spec->usage);
    fputs("\n.SH OPTIONS\nA later source replaces an earlier one: default, file, environment, flag.\n", out);
    each_group(spec, out, man_heading, man_row);
    fputs(".SS General\n.TP\n.B \\-\\-config PATH\nread options from a file of lines key = value.\n"
          ".TP\n.B \\-\\-check\nvalidate the configuration and exit.\n"
          ".TP\n.B \\-\\-print\\-config\nshow each value and where it came from, and exit.\n"
          ".TP\n.B \\-\\-help, \\-\\-help\\-man, \\-\\-version\nprint and exit.\n",
          out);
    if (spec->process)
        fprintf(out,
                ".SH ENVIRONMENT\n.B REDOUBT_%s_<OPTION>\nor\n.B REDOUBT_<OPTION>\nsets an option; dashes become "
                "underscores.\n",
                spec->process);
    fputs(".SH SEE ALSO\n.BR redoubt (1),\n.BR redoubt\\-config (5)\n", out);
}
