#include "cli/steps.h"

#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>
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

int cli_step_failed(json_t *steps, const char *name, const rd_err *err)
{
    cli_step(steps, name, false, "%s", err->text);
    return -1;
}

bool cli_steps_are_ok(const json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step) if (!json_is_true(json_object_get(step, "ok"))) return false;
    return json_array_size(steps) > 0;
}

void cli_steps_print(const cli_out *out, const json_t *steps)
{
    size_t i;
    json_t *step;
    json_array_foreach(steps, i, step)
    {
        bool is_ok = json_is_true(json_object_get(step, "ok"));
        cli_print(out, "  %s%s%s %-15s %s", cli_style_code(out, is_ok ? CLI_PLAIN : CLI_RED), is_ok ? "ok  " : "FAIL",
                  cli_style_code(out, CLI_PLAIN), json_string_value(json_object_get(step, "name")),
                  json_string_value(json_object_get(step, "detail")));
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
