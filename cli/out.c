#include "cli/out.h"

#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const char *const style_codes[] = { "\033[0m",  "\033[1m",  "\033[2m", "\033[31m",
                                           "\033[32m", "\033[33m", "\033[35m" };

const char *cli_style_code(const cli_out *out, cli_style style)
{
    return out->has_color ? style_codes[style] : "";
}

/* The size of one of our own style sequences at text, or 0. */
static size_t style_size(const char *text)
{
    for (cli_style style = CLI_PLAIN; style <= CLI_MAGENTA; style++)
        if (rd_starts_with(text, style_codes[style]))
            return strlen(style_codes[style]);
    return 0;
}

/* Bytes of a control character, a C1 control or a bidirectional override (U+202A-202E, U+2066-2069) at text, or 0. */
static size_t hostile_size(const unsigned char *text)
{
    if ((text[0] < 0x20 && text[0] != '\n' && text[0] != '\t') || text[0] == 0x7f)
        return 1;
    if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f)
        return 2;
    bool is_override = text[0] == 0xe2 && ((text[1] == 0x80 && text[2] >= 0xaa && text[2] <= 0xae) ||
                                           (text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9));
    return is_override ? 3 : 0;
}

/* What the plane says reaches the terminal without its escapes: nothing may be hidden or painted over. */
static void put_clean(FILE *stream, const char *text, bool may_style)
{
    while (*text) {
        size_t style = may_style ? style_size(text) : 0;
        size_t hostile = style ? 0 : hostile_size((const unsigned char *)text);
        if (hostile)
            (void)fputs("\xef\xbf\xbd", stream);
        else
            (void)fwrite(text, 1, style ? style : 1, stream);
        text += hostile ? hostile : style ? style : 1;
    }
}

void cli_note(const cli_out *out, const char *fmt, ...)
{
    if (out->is_quiet)
        return;
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, args) >= 0)
        put_clean(stderr, text, out->has_color);
    va_end(args);
    free(text);
    (void)fputc('\n', stderr);
}

void cli_note_styled(const cli_out *out, cli_style style, const char *fmt, ...)
{
    if (out->is_quiet)
        return;
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    (void)fputs(cli_style_code(out, style), stderr);
    if (vasprintf(&text, fmt, args) >= 0)
        put_clean(stderr, text, false);
    va_end(args);
    free(text);
    (void)fprintf(stderr, "%s\n", cli_style_code(out, CLI_PLAIN));
}

void cli_print(const cli_out *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = NULL;
    if (vasprintf(&text, fmt, args) >= 0)
        put_clean(stdout, text, out->has_color);
    va_end(args);
    free(text);
    (void)putchar('\n');
    (void)fflush(stdout);
}

void cli_print_json(const cli_out *out RD_UNUSED, const json_t *document)
{
    size_t flags = JSON_ENCODE_ANY | (isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT);
    (void)json_dumpf(document, stdout, flags);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static void print_error_json(const rd_err *err, const char *request_id)
{
    const rd_code_info *info = rd_code_describe(err->code);
    json_t *document = json_pack("{s:s, s:s, s:s, s:b, s:s*}", "code", info->name, "detail", err->text, "hint",
                                 info->hint, "retryable", info->is_retryable, "request_id", request_id);
    if (document)
        (void)json_dumpf(document, stderr, JSON_COMPACT);
    else /* the sentence is not UTF-8 */
        (void)fprintf(stderr, "{\"code\":\"%s\"}", info->name);
    (void)fputc('\n', stderr);
    json_decref(document);
}

void cli_print_error(const cli_out *out, const rd_err *err, const char *request_id)
{
    if (out->form == CLI_JSON) {
        print_error_json(err, request_id);
        return;
    }
    const rd_code_info *info = rd_code_describe(err->code);
    (void)fprintf(stderr, "%serror:%s ", cli_style_code(out, CLI_RED), cli_style_code(out, CLI_PLAIN));
    put_clean(stderr, err->text, false);
    (void)fputc('\n', stderr);
    if (info->hint[0])
        (void)fprintf(stderr, "  hint   %s\n", info->hint);
    (void)fprintf(stderr, "  code   %s%s%s\n", info->name, request_id ? "   request " : "",
                  request_id ? request_id : "");
    (void)fprintf(stderr, "  more   redoubt help errors %s\n", info->name);
}

const char *cli_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* Columns on the screen: UTF-8 lead bytes only. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static const char *cell_text(const char *cell)
{
    return cell && cell[0] ? cell : "-";
}

void cli_print_object(const cli_out *out, const json_t *object)
{
    const char *id = cli_text(object, "id");
    if (out->form == CLI_JSON) {
        cli_print_json(out, object);
        return;
    }
    if (out->form == CLI_NAME) {
        cli_print(out, "%s", id ? id : "-");
        return;
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        cli_print(out, "%-12s %s", name, json_is_string(value) ? json_string_value(value) : text ? text : "?");
        free(text);
    }
}

#define COLUMNS_MAX 16

/* Which columns, in which order. */
typedef struct selection {
    size_t at[COLUMNS_MAX];
    size_t widths[COLUMNS_MAX];
    size_t count;
} selection;

static void print_row(const char *const *cells, const selection *columns)
{
    for (size_t i = 0; i < columns->count; i++) {
        const char *text = cell_text(cells[columns->at[i]]);
        put_clean(stdout, text, false);
        for (size_t pad = width_of(text); i + 1 < columns->count && pad < columns->widths[i] + 2; pad++)
            (void)putchar(' ');
    }
    (void)putchar('\n');
}

static int unknown_column(const char *name, size_t size, const char *const *header, size_t count, rd_err *err)
{
    char known[160] = "";
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(known);
        (void)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", header[i]);
    }
    return rd_err_set(err, RD_E_USAGE, "no column %.*s; there are %s", (int)RD_MIN(size, (size_t)40), name, known);
}

static int select_columns(const cli_out *out, const char *const *header, size_t count, selection *ret, rd_err *err)
{
    *ret = (selection){ .count = 0 };
    if (out->form == CLI_NAME || !out->columns) {
        ret->count = out->form == CLI_NAME ? 1 : RD_MIN(count, (size_t)COLUMNS_MAX);
        for (size_t i = 0; i < ret->count; i++)
            ret->at[i] = i;
        return 0;
    }
    for (const char *name = out->columns; *name;) {
        size_t size = strcspn(name, ",");
        size_t at = 0;
        while (at < count && !(strlen(header[at]) == size && strncasecmp(header[at], name, size) == 0))
            at++;
        if (at == count || ret->count == COLUMNS_MAX)
            return unknown_column(name, size, header, count, err);
        ret->at[ret->count++] = at;
        name += size + (name[size] == ',');
    }
    return 0;
}

int cli_print_table(const cli_out *out, const char *const *header, size_t column_count, const char *const *cells,
                    size_t row_count, rd_err *err)
{
    selection columns;
    if (select_columns(out, header, column_count, &columns, err) < 0)
        return -1;
    for (size_t i = 0; i < columns.count; i++) {
        columns.widths[i] = width_of(header[columns.at[i]]);
        for (size_t row = 0; row < row_count; row++)
            columns.widths[i] =
                RD_MAX(columns.widths[i], width_of(cell_text(cells[row * column_count + columns.at[i]])));
    }
    if (out->form != CLI_NAME) {
        (void)fputs(cli_style_code(out, CLI_DIM), stdout);
        print_row(header, &columns);
        (void)fputs(cli_style_code(out, CLI_PLAIN), stdout);
    }
    for (size_t row = 0; row < row_count; row++)
        print_row(cells + row * column_count, &columns);
    (void)fflush(stdout);
    return 0;
}

const char *cli_age(const char *rfc3339, int64_t now_us, char *buffer, size_t size)
{
    int64_t then_us;
    if (!rfc3339)
        return "-";
    if (!isatty(STDOUT_FILENO) || rd_time_parse(rfc3339, strlen(rfc3339), &then_us) < 0)
        return rfc3339;
    int64_t seconds = RD_MAX((now_us - then_us) / 1000000, 0);
    if (seconds < 120)
        (void)snprintf(buffer, size, "%lld s ago", (long long)seconds);
    else if (seconds < 7200)
        (void)snprintf(buffer, size, "%lld min ago", (long long)(seconds / 60));
    else if (seconds < 172800)
        (void)snprintf(buffer, size, "%lld h ago", (long long)(seconds / 3600));
    else
        (void)snprintf(buffer, size, "%lld days ago", (long long)(seconds / 86400));
    return buffer;
}

const char *cli_short_id(const char *id, char *buffer, size_t size)
{
    size_t id_size = strlen(id);
    if (id_size < 20)
        (void)snprintf(buffer, size, "%s", id);
    else
        (void)snprintf(buffer, size, "%.8s…%s", id, id + id_size - 4);
    return buffer;
}

static int read_answer(char *answer, size_t size, rd_err *err)
{
    if (!fgets(answer, (int)size, stdin))
        return rd_err_set(err, RD_E_CANCELLED, "no answer");
    answer[strcspn(answer, "\n")] = '\0';
    return 0;
}

int cli_confirm(const cli_out *out, const char *question, bool default_yes, bool *ret_yes, rd_err *err)
{
    *ret_yes = out->assume_yes;
    if (out->assume_yes)
        return 0;
    if (!out->may_ask)
        return rd_err_set(err, RD_E_USAGE, "%s needs --yes when nobody can be asked", question);
    (void)fprintf(stderr, "%s [%s] ", question, default_yes ? "Y/n" : "y/N");
    char answer[16];
    if (read_answer(answer, sizeof answer, err) < 0)
        return -1;
    *ret_yes = answer[0] ? answer[0] == 'y' || answer[0] == 'Y' : default_yes;
    return 0;
}

int cli_confirm_name(const cli_out *out, const char *question, const char *name, rd_err *err)
{
    if (out->assume_yes)
        return 0;
    if (!out->may_ask)
        return rd_err_set(err, RD_E_USAGE, "%s needs --yes when nobody can be asked", question);
    (void)fprintf(stderr, "%s\nType %s to go on: ", question, name);
    char answer[256];
    if (read_answer(answer, sizeof answer, err) < 0)
        return -1;
    if (strcmp(answer, name) != 0)
        return rd_err_set(err, RD_E_CANCELLED, "not confirmed; nothing was changed");
    return 0;
}
