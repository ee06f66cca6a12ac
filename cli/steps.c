#include "cli/steps.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_step(json_t *steps, const char *name, bool is_ok, const char *fmt, ...)
{
    char detail[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    json_t *text = json_string(detail);
    (void)json_array_append_new(steps, json_pack("{s:s, s:b, s:o}", "name", name, "ok", is_ok, "detail",
                                                 text ? text : json_string("(not text)")));
}

/* The failed step also says by which code, and what would mend it. */
static void explain(json_t *steps, const rd_err *err)
{
    const rd_code_info *info = rd_code_describe(err->code);
    json_t *last = json_array_get(steps, json_array_size(steps) - 1);
    (void)json_object_set_new(last, "code", json_string(info->name));
    if (info->hint[0])
        (void)json_object_set_new(last, "hint", json_string(info->hint));
}

int cli_step_failed(json_t *steps, const char *name, const rd_err *err)
{
    cli_step(steps, name, false, "%s", err->text);
    explain(steps, err);
    return -1;
}

int cli_steps_explain(json_t *steps, const rd_err *err)
{
    if (json_array_size(steps) && !cli_steps_are_ok(steps))
        explain(steps, err);
    return -1;
}

bool cli_steps_are_ok(const json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step) if (!json_is_true(json_object_get(step, "ok"))) return false;
    return json_array_size(steps) > 0;
}

#define INDENT 22
#define WIDTH  80

static size_t columns_of(const char *text, size_t size)
{
    size_t columns = 0;
    for (size_t i = 0; i < size; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* What fits in a line: up to the last space before the edge; a word longer than a line is broken. */
static size_t line_size(const char *text)
{
    size_t columns = 0, size = 0, at_space = 0;
    for (; text[size]; size++) {
        if (text[size] == ' ')
            at_space = size;
        columns += ((unsigned char)text[size] & 0xc0) != 0x80;
        if (columns > WIDTH - INDENT)
            return at_space ? at_space : size;
    }
    return size;
}

/* Name and text, the text's further lines under its first. */
static void print_wrapped(const cli_out *out, bool is_result, const char *left, const char *text)
{
    do {
        size_t size = line_size(text);
        RD_CLEANUP(rd_free_p)
        char *line =
            rd_asprintf("%s%*s%.*s", left, (int)(INDENT - RD_MIN(columns_of(left, strlen(left)), (size_t)INDENT - 1)),
                        "", (int)size, text);
        if (is_result)
            cli_print(out, "%s", line);
        else
            cli_note(out, "%s", line);
        left = "";
        text += size;
        text += *text == ' ';
    } while (*text);
}

static void print_step(const cli_out *out, bool is_result, const json_t *step)
{
    bool is_ok = json_is_true(json_object_get(step, "ok"));
    const char *detail = cli_text(step, "detail");
    const char *hint = cli_text(step, "hint");
    RD_CLEANUP(rd_free_p) char *left = rd_asprintf("  %s %s", is_ok ? "ok  " : "FAIL", cli_text(step, "name"));
    print_wrapped(out, is_result, left, detail ? detail : "");
    if (!is_ok && hint)
        print_wrapped(out, is_result, "       to mend it", hint);
}

void cli_steps_print(const cli_out *out, const json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step) print_step(out, true, step);
}

void cli_steps_note_failed(const cli_out *out, const json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        if (json_is_true(json_object_get(step, "ok")))
            continue;
        print_step(out, false, step);
        return;
    }
}

int cli_json_b64(const json_t *object, const char *name, size_t size_max, rd_buf *ret, rd_err *err)
{
    const json_t *member = json_object_get(object, name);
    const char *text = json_string_value(member);
    if (!text)
        return rd_err_set(err, RD_E_JSON_MISSING, "%s is missing", name);
    size_t text_size = json_string_length(member);
    if (text_size / 4 * 3 > size_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "%s is larger than %zu bytes", name, size_max);
    rd_buf_init(ret, size_max + 4);
    uint8_t *room = rd_buf_reserve(ret, text_size / 4 * 3 + 3);
    ssize_t size = room ? rd_base64url_decode(text, text_size, room, text_size / 4 * 3 + 3) : -1;
    if (size < 0)
        return rd_err_set(err, RD_E_ENCODING, "%s is not base64url", name);
    rd_buf_commit(ret, (size_t)size);
    return 0;
}
