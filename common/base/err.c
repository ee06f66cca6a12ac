#include "common/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const rd_code_info registry[RD_CODE_COUNT] = {
    [RD_OK] = { "ok", 200, false, 0, "" },
#define RD_E(symbol, name, http, retryable, exit_code, hint)                                                           \
    [RD_E_##symbol] = { name, http, retryable, exit_code, hint },
#include "common/base/err_codes.def"
#undef RD_E
};

void rd_err_set_at(rd_err *err, rd_code code, const char *file, int line, const char *fmt, ...)
{
    if (!err)
        return;
    err->code = code;
    err->file = file;
    err->line = line;
    err->pointer[0] = '\0';
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
}

void rd_err_set_errno_at(rd_err *err, rd_code code, int errno_value, const char *file, int line, const char *fmt, ...)
{
    if (!err)
        return;
    err->code = code;
    err->file = file;
    err->line = line;
    err->pointer[0] = '\0';
    va_list args;
    va_start(args, fmt);
    int used = vsnprintf(err->text, sizeof err->text, fmt, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof err->text) {
        char reason[128];
        (void)snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s",
                       strerror_r(errno_value, reason, sizeof reason));
    }
}

void rd_err_prefix(rd_err *err, const char *fmt, ...)
{
    if (!err)
        return;
    char prefix[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    int used = vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    if (used < 0)
        return;
    size_t prefix_size = RD_MIN((size_t)used, sizeof prefix - 1);
    size_t room = sizeof err->text - 1;
    size_t head = RD_MIN(prefix_size + 2, room);
    size_t tail = RD_MIN(strlen(err->text), room - head);
    memmove(err->text + head, err->text, tail);
    err->text[head + tail] = '\0';
    memcpy(err->text, prefix, RD_MIN(prefix_size, head));
    if (head == prefix_size + 2)
        memcpy(err->text + prefix_size, ": ", 2);
}

void rd_err_point(rd_err *err, const char *pointer)
{
    if (err)
        (void)snprintf(err->pointer, sizeof err->pointer, "%s", pointer);
}

const rd_code_info *rd_code_describe(rd_code code)
{
    if ((int)code < 0 || code >= RD_CODE_COUNT)
        code = RD_E_INTERNAL;
    return &registry[code];
}

rd_code rd_code_by_name(const char *name)
{
    for (int code = RD_OK + 1; code < RD_CODE_COUNT; code++)
        if (strcmp(registry[code].name, name) == 0)
            return (rd_code)code;
    return RD_OK;
}
