#include "common/base/log.h"

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 8192
#define TEXT_MAX_BYTES 1024

static struct {
    const char *process;
    rd_log_level minimum;
    int fd;
} sink = { "redoubt", RD_INFO, STDERR_FILENO };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void rd_log_init(const char *process, rd_log_level minimum, int fd)
{
    sink.process = process;
    sink.minimum = minimum;
    sink.fd = fd;
}

bool rd_log_level_parse(const char *text, rd_log_level *ret)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(level_names); i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *ret = (rd_log_level)i;
            return true;
        }
    }
    return false;
}

typedef struct line {
    char text[LINE_MAX_BYTES];
    size_t size;
    bool has_overflowed;
} line;

/* Always fits at the end of a line. */
static const char cut_end[] = ",\"cut\":true}\n";

static void put(line *out, const char *text, size_t size)
{
    if (size > sizeof out->text - sizeof cut_end - out->size) {
        out->has_overflowed = true;
        return;
    }
    memcpy(out->text + out->size, text, size);
    out->size += size;
}

static void put_escaped(line *out, const char *text)
{
    size_t size = strnlen(text, TEXT_MAX_BYTES);
    for (int i = 0; i < 3 && size >= TEXT_MAX_BYTES - 3 && ((unsigned char)text[size] & 0xc0) == 0x80; i++)
        size--; /* not in the middle of a character */
    bool is_utf8 = rd_is_utf8(rd_bytes_of(text, size));
    put(out, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            put(out, (char[]){ '\\', (char)c }, 2);
        else if (c < 0x20 || c == 0x7f)
            put(out, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
        else if (c >= 0x80 && !is_utf8)
            put(out, "?", 1);
        else
            put(out, (const char *)&c, 1);
    }
    put(out, "\"", 1);
}

static void put_name(line *out, const char *name)
{
    put(out, ",", 1);
    put_escaped(out, name);
    put(out, ":", 1);
}

static void put_field(line *out, const rd_field *field)
{
    char number[32];
    if (field->kind == RD_FIELD_ERR) {
        put_name(out, "code");
        put_escaped(out, rd_code_describe(field->value.err->code)->name);
        put_name(out, "error");
        put_escaped(out, field->value.err->text);
        return;
    }
    put_name(out, field->name);
    switch (field->kind) {
    case RD_FIELD_STR:
        put_escaped(out, field->value.text ? field->value.text : "");
        break;
    case RD_FIELD_U64:
        put(out, number, (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)field->value.u64));
        break;
    case RD_FIELD_I64:
        put(out, number, (size_t)snprintf(number, sizeof number, "%lld", (long long)field->value.i64));
        break;
    default:
        put(out, field->value.flag ? "true" : "false", field->value.flag ? 4 : 5);
        break;
    }
}

void rd_log_fields(rd_log_level level, const char *event, const rd_field *fields)
{
    if (level < sink.minimum)
        return;
    line out;
    out.size = 0;
    out.has_overflowed = false;
    char now[RD_TIME_TEXT_SIZE];
    rd_time_format(rd_clock_wall_us(rd_clock_system()), now);
    put(&out, "{\"time\":\"", 9);
    put(&out, now, strlen(now));
    put(&out, "\",\"level\":\"", 11);
    put(&out, level_names[level], strlen(level_names[level]));
    put(&out, "\"", 1);
    put_name(&out, "process");
    put_escaped(&out, sink.process);
    put_name(&out, "event");
    put_escaped(&out, event);
    size_t whole = out.size;
    for (const rd_field *field = fields; field->name && !out.has_overflowed; field++) {
        put_field(&out, field);
        whole = out.has_overflowed ? whole : out.size; /* a field that does not fit is left out with those after it */
    }
    const char *end = out.has_overflowed ? cut_end : "}\n";
    memcpy(out.text + whole, end, strlen(end));
    (void)!write(sink.fd, out.text, whole + strlen(end));
}
