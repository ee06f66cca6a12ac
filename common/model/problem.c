#include "common/model/problem.h"

#include "common/base/text.h"
#include "common/model/canonical.h"

#include <string.h>

int rd_problem_status(const rd_err *err)
{
    return rd_code_describe(err->code == RD_OK ? RD_E_INTERNAL : err->code)->http_status;
}

/* Sentences may quote outside text, cut at any byte: what is not UTF-8 becomes question marks. */
static void put_text(rd_buf *out, const char *text)
{
    char copy[sizeof((rd_err *)0)->text];
    size_t size = strnlen(text, sizeof copy);
    memcpy(copy, text, size);
    bool is_utf8 = rd_is_utf8(rd_bytes_of(copy, size));
    for (size_t i = 0; !is_utf8 && i < size; i++)
        if ((unsigned char)copy[i] >= 0x80)
            copy[i] = '?';
    (void)rd_canonical_put_string(out, rd_bytes_of(copy, size));
}

static void put_member(rd_buf *out, const char *name, const char *text)
{
    if (!text || !text[0])
        return;
    (void)rd_buf_printf(out, ",\"%s\":", name);
    put_text(out, text);
}

/* The stable name with spaces: "head_rollback" reads "head rollback". */
static void put_title(rd_buf *out, const char *name)
{
    char title[64];
    size_t size = RD_MIN(strlen(name), sizeof title - 1);
    for (size_t i = 0; i < size; i++)
        title[i] = name[i] == '_' ? ' ' : name[i];
    title[size] = '\0';
    put_member(out, "title", title);
}

bool rd_problem_write(const rd_err *err, const char *request_id, rd_buf *out)
{
    rd_code code = err->code == RD_OK ? RD_E_INTERNAL : err->code;
    const rd_code_info *info = rd_code_describe(code);
    (void)rd_buf_printf(out, "{\"type\":\"/problems/%s\"", info->name);
    put_title(out, info->name);
    (void)rd_buf_printf(out, ",\"status\":%d", info->http_status);
    if (code != RD_E_INTERNAL)
        put_member(out, "detail", err->text);
    put_member(out, "code", info->name);
    (void)rd_buf_printf(out, ",\"retryable\":%s", info->is_retryable ? "true" : "false");
    put_member(out, "hint", info->hint);
    put_member(out, "request_id", request_id);
    put_member(out, "pointer", err->pointer);
    return rd_buf_append_u8(out, '}');
}
