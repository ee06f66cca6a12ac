#include "common/model/bhttp.h"

#include "common/base/mem.h"
#include "common/base/varint.h"
#include "common/model/bhttp_private.h"

#include <string.h>

#define STEP ((size_t)64 << 10)

rd_bytes rd_bhttp_read_piece(rd_cursor *cursor)
{
    uint64_t size = rd_varint_read(cursor);
    if (size > rd_cursor_left(cursor))
        size = (uint64_t)rd_cursor_left(cursor) + 1; /* fails the cursor */
    return rd_cursor_take(cursor, (size_t)size);
}

void rd_bhttp_write_piece(rd_buf *buf, rd_bytes bytes)
{
    rd_varint_write(buf, bytes.size);
    (void)rd_buf_append_bytes(buf, bytes);
}

/* ---- what may stand in a message ---- */

static bool is_token(rd_bytes text, bool is_field)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_upper = c >= 'A' && c <= 'Z';
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr("!#$%&'*+-.^_`|~", c));
        if (!is_plain && !(is_upper && !is_field))
            return false;
    }
    return text.size > 0;
}

static bool is_value(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f)
            return false;
    return text.size == 0 || !(strchr(" \t", text.data[0]) || strchr(" \t", text.data[text.size - 1]));
}

static bool is_visible(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
            return false;
    return true;
}

int rd_bhttp_check_control(const rd_bhttp_message *message, rd_err *err)
{
    if (!message->is_request) {
        if (message->status < 200 || message->status > 599)
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "an answer's status is 200 to 599, not %u", message->status);
        return 0;
    }
    if (!is_token(message->method, false) || message->method.size > RD_BHTTP_METHOD_MAX)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the method is not a token of at most %d bytes", RD_BHTTP_METHOD_MAX);
    if (message->path.size == 0 || message->path.data[0] != '/' || !is_visible(message->path))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the path does not begin with / or holds other than visible ASCII");
    if (message->path.size > RD_BHTTP_PATH_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "the path has more than %zu bytes", RD_BHTTP_PATH_MAX);
    if (!is_visible(message->scheme) || !is_visible(message->authority))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "scheme and authority are visible ASCII");
    return 0;
}

int rd_bhttp_add_field(rd_bhttp_message *ret, rd_bhttp_field field, rd_err *err)
{
    if (!is_token(field.name, true) || !is_value(field.value))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a field's name is no lower-case token, or its value not clean");
    if (ret->field_count == RD_BHTTP_FIELDS_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "more than %d fields", RD_BHTTP_FIELDS_MAX);
    ret->fields[ret->field_count++] = field;
    return 0;
}

int rd_bhttp_check_padding(rd_bytes padding, rd_err *err)
{
    for (size_t i = 0; i < padding.size; i++)
        if (padding.data[i] != 0)
            return rd_err_set(err, RD_E_TRAILING, "what follows the message is no padding");
    return 0;
}

/* ---- reading ---- */

static int read_fields(rd_cursor *cursor, rd_bhttp_message *ret, rd_err *err)
{
    rd_cursor section = rd_cursor_of(rd_bhttp_read_piece(cursor));
    while (rd_cursor_left(&section) > 0) {
        rd_bhttp_field field = { .name = rd_bhttp_read_piece(&section) };
        field.value = rd_bhttp_read_piece(&section);
        if (!rd_cursor_is_ok(&section))
            break;
        if (rd_bhttp_add_field(ret, field, err) < 0)
            return -1;
    }
    if (!rd_cursor_is_ok(cursor) || !rd_cursor_is_ok(&section))
        return rd_err_set(err, RD_E_TRUNCATED, "the message ends within its fields");
    return 0;
}

static int drop_fields(rd_cursor *cursor, rd_err *err)
{
    rd_bhttp_message dropped = { .field_count = 0 };
    return read_fields(cursor, &dropped, err);
}

void rd_bhttp_read_control(rd_cursor *cursor, rd_bhttp_message *ret)
{
    if (ret->is_request) {
        ret->method = rd_bhttp_read_piece(cursor);
        ret->scheme = rd_bhttp_read_piece(cursor);
        ret->authority = rd_bhttp_read_piece(cursor);
        ret->path = rd_bhttp_read_piece(cursor);
    } else {
        uint64_t status = rd_varint_read(cursor);
        ret->status = status > 599 ? 600 : (unsigned)status;
    }
}

int rd_bhttp_read(rd_bytes bytes, rd_bhttp_message *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    uint64_t framing = rd_varint_read(&cursor);
    memset(ret, 0, sizeof *ret);
    ret->is_request = framing == RD_BHTTP_KNOWN_REQUEST;
    if (framing > RD_BHTTP_KNOWN_ANSWER && framing <= RD_BHTTP_OPEN_ANSWER)
        return rd_err_set(err, RD_E_UNSUPPORTED, "binary HTTP of indeterminate length; send the known-length form");
    if (framing > RD_BHTTP_OPEN_ANSWER)
        return rd_err_set(err, RD_E_ENCODING, "not binary HTTP");
    rd_bhttp_read_control(&cursor, ret);
    if (!rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_TRUNCATED, "the message ends within its first part");
    if (rd_bhttp_check_control(ret, err) < 0)
        return -1;
    /* RFC 9292, 3.8: empty parts at the end may be left out. */
    if (rd_cursor_left(&cursor) > 0 && read_fields(&cursor, ret, err) < 0)
        return -1;
    size_t head = rd_cursor_offset(&cursor);
    ret->content = rd_cursor_left(&cursor) > 0 ? rd_bhttp_read_piece(&cursor) : RD_BYTES_NULL;
    if (!rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_TRUNCATED, "the message ends within its content");
    size_t after_content = rd_cursor_offset(&cursor);
    if (rd_cursor_left(&cursor) > 0 && drop_fields(&cursor, err) < 0)
        return -1;
    if (head + rd_cursor_offset(&cursor) - after_content > RD_BHTTP_HEAD_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "the fields have more than %zu bytes", RD_BHTTP_HEAD_MAX);
    return rd_bhttp_check_padding(rd_cursor_rest(&cursor), err);
}

const rd_bhttp_field *rd_bhttp_find(const rd_bhttp_message *message, const char *name)
{
    for (size_t i = 0; i < message->field_count; i++)
        if (rd_bytes_equal(message->fields[i].name, rd_bytes_str(name)))
            return &message->fields[i];
    return NULL;
}

/* ---- writing ---- */

size_t rd_bhttp_bucket(size_t size)
{
    size_t bucket = 256;
    while (bucket < size && bucket < STEP)
        bucket *= 2;
    return bucket >= size ? bucket : (size + STEP - 1) / STEP * STEP;
}

void rd_bhttp_pad(rd_buf *buf, size_t start)
{
    static const uint8_t zeros[4096] = { 0 };
    size_t size = buf->size - start;
    for (size_t left = rd_bhttp_bucket(size) - size; left > 0; left -= RD_MIN(left, sizeof zeros))
        (void)rd_buf_append(buf, zeros, RD_MIN(left, sizeof zeros));
}

void rd_bhttp_write_control(rd_buf *buf, const rd_bhttp_message *message)
{
    if (!message->is_request) {
        rd_varint_write(buf, message->status);
        return;
    }
    rd_bhttp_write_piece(buf, message->method);
    rd_bhttp_write_piece(buf, message->scheme);
    rd_bhttp_write_piece(buf, message->authority);
    rd_bhttp_write_piece(buf, message->path);
}

int rd_bhttp_write(const rd_bhttp_message *message, rd_buf *ret, rd_err *err)
{
    if (rd_bhttp_check_control(message, err) < 0)
        return -1;
    size_t start = ret->size;
    RD_CLEANUP(rd_buf_done) rd_buf fields = { 0 };
    for (size_t i = 0; i < message->field_count; i++) {
        rd_bhttp_write_piece(&fields, message->fields[i].name);
        rd_bhttp_write_piece(&fields, message->fields[i].value);
    }
    rd_varint_write(ret, message->is_request ? RD_BHTTP_KNOWN_REQUEST : RD_BHTTP_KNOWN_ANSWER);
    rd_bhttp_write_control(ret, message);
    rd_bhttp_write_piece(ret, rd_buf_bytes(&fields));
    rd_bhttp_write_piece(ret, message->content);
    rd_varint_write(ret, 0); /* no trailers */
    rd_bhttp_pad(ret, start);
    return ret->has_failed ? rd_err_set(err, RD_E_TOO_LARGE, "the sealed message would be too large") : 0;
}
