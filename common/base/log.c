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
} line;

static void put(line *out, const char *text, size_t size)
{
    size_t room = sizeof out->text - 3 - out->size; /* "}\n" and NUL always fit */
    size = RD_MIN(size, room);
    memcpy(out->text + out->size, text, size);
    out->size += size;
}

static void put_escaped(line *out, const char *text)
{
    put(out, "\"", 1);
    size_t size = strnlen(text, TEXT_MAX_BYTES);
    for (size_t i = 0; i < size && out->size + 16 < sizeof out->text; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            put(out, (char[]){ '\\', (char)c }, 2);
        else if (c < 0x20 || c == 0x7f)
            put(out, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
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
    for (const rd_field *field = fields; field->name; field++)
        put_field(&out, field);
    memcpy(out.text + out.size, "}\n", 2);
    (void)!write(sink.fd, out.text, out.size + 2);
}
