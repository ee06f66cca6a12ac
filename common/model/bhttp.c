#include "common/model/bhttp.h"

#include "common/base/cursor.h"
#include "common/base/mem.h"

#include <string.h>

#define STEP ((size_t)64 << 10)

enum { FRAMING_REQUEST = 0, FRAMING_ANSWER = 1, FRAMING_LAST = 3 };

/* ---- integers (RFC 9000, 16) ---- */

static uint64_t read_varint(rd_cursor *cursor)
{
    uint8_t first = rd_cursor_u8(cursor);
    uint64_t value = first & 0x3f;
    for (unsigned left = (1u << (first >> 6)) - 1; left > 0; left--)
        value = value << 8 | rd_cursor_u8(cursor);
    return value;
}

static void write_varint(rd_buf *buf, uint64_t value)
{
    unsigned power = value < 1u << 6 ? 0 : value < 1u << 14 ? 1 : value < 1u << 30 ? 2 : 3;
    unsigned size = 1u << power;
    for (unsigned i = size; i-- > 0;)
        (void)rd_buf_append_u8(buf, (uint8_t)((uint8_t)(value >> (8 * i)) | (i == size - 1 ? power << 6 : 0)));
}

static rd_bytes read_piece(rd_cursor *cursor)
{
    uint64_t size = read_varint(cursor);
    if (size > rd_cursor_left(cursor))
        size = (uint64_t)rd_cursor_left(cursor) + 1; /* fails the cursor */
    return rd_cursor_take(cursor, (size_t)size);
}

static void write_piece(rd_buf *buf, rd_bytes bytes)
{
    write_varint(buf, bytes.size);
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

static int check_control(const rd_bhttp_message *message, rd_err *err)
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

/* ---- reading ---- */

/* A field section; without ret the fields are checked and dropped. */
static int read_fields(rd_cursor *cursor, rd_bhttp_message *ret, rd_err *err)
{
    rd_cursor section = rd_cursor_of(read_piece(cursor));
    size_t count = 0;
    while (rd_cursor_left(&section) > 0) {
        rd_bhttp_field field = { .name = read_piece(&section) };
        field.value = read_piece(&section);
        if (!rd_cursor_is_ok(&section))
            break;
        if (!is_token(field.name, true) || !is_value(field.value))
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "a field's name is no lower-case token, or its value not clean");
        if (count == RD_BHTTP_FIELDS_MAX)
            return rd_err_set(err, RD_E_TOO_LARGE, "more than %d fields", RD_BHTTP_FIELDS_MAX);
        if (ret)
            ret->fields[ret->field_count++] = field;
        count++;
    }
    if (!rd_cursor_is_ok(cursor) || !rd_cursor_is_ok(&section))
        return rd_err_set(err, RD_E_TRUNCATED, "the message ends within its fields");
    return 0;
}

static void read_control(rd_cursor *cursor, rd_bhttp_message *ret)
{
    if (ret->is_request) {
        ret->method = read_piece(cursor);
        ret->scheme = read_piece(cursor);
        ret->authority = read_piece(cursor);
        ret->path = read_piece(cursor);
    } else {
        uint64_t status = read_varint(cursor);
        ret->status = status > 599 ? 600 : (unsigned)status;
    }
}

int rd_bhttp_read(rd_bytes bytes, rd_bhttp_message *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    uint64_t framing = read_varint(&cursor);
    memset(ret, 0, sizeof *ret);
    ret->is_request = framing == FRAMING_REQUEST;
    if (framing > FRAMING_ANSWER && framing <= FRAMING_LAST)
        return rd_err_set(err, RD_E_UNSUPPORTED, "binary HTTP of indeterminate length; send the known-length form");
    if (framing > FRAMING_LAST)
        return rd_err_set(err, RD_E_ENCODING, "not binary HTTP");
    read_control(&cursor, ret);
    if (!rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_TRUNCATED, "the message ends within its first part");
    if (check_control(ret, err) < 0)
        return -1;
    /* RFC 9292, 3.8: empty parts at the end may be left out. */
    if (rd_cursor_left(&cursor) > 0 && read_fields(&cursor, ret, err) < 0)
        return -1;
    size_t head = rd_cursor_offset(&cursor);
    ret->content = rd_cursor_left(&cursor) > 0 ? read_piece(&cursor) : RD_BYTES_NULL;
    if (!rd_cursor_is_ok(&cursor))
        return rd_err_set(err, RD_E_TRUNCATED, "the message ends within its content");
    size_t after_content = rd_cursor_offset(&cursor);
    if (rd_cursor_left(&cursor) > 0 && read_fields(&cursor, NULL, err) < 0)
        return -1;
    if (head + rd_cursor_offset(&cursor) - after_content > RD_BHTTP_HEAD_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "the fields have more than %zu bytes", RD_BHTTP_HEAD_MAX);
    rd_bytes padding = rd_cursor_rest(&cursor);
    for (size_t i = 0; i < padding.size; i++)
        if (padding.data[i] != 0)
            return rd_err_set(err, RD_E_TRAILING, "what follows the message is no padding");
    return 0;
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

int rd_bhttp_write(const rd_bhttp_message *message, rd_buf *ret, rd_err *err)
{
    static const uint8_t zeros[4096] = { 0 };
    if (check_control(message, err) < 0)
        return -1;
    size_t start = ret->size;
    RD_CLEANUP(rd_buf_done) rd_buf fields = { 0 };
    for (size_t i = 0; i < message->field_count; i++) {
        write_piece(&fields, message->fields[i].name);
        write_piece(&fields, message->fields[i].value);
    }
    write_varint(ret, message->is_request ? FRAMING_REQUEST : FRAMING_ANSWER);
    if (message->is_request) {
        write_piece(ret, message->method);
        write_piece(ret, message->scheme);
        write_piece(ret, message->authority);
        write_piece(ret, message->path);
    } else {
        write_varint(ret, message->status);
    }
    write_piece(ret, rd_buf_bytes(&fields));
    write_piece(ret, message->content);
    write_varint(ret, 0); /* no trailers */
    size_t size = ret->size - start;
    for (size_t left = rd_bhttp_bucket(size) - size; left > 0; left -= RD_MIN(left, sizeof zeros))
        (void)rd_buf_append(ret, zeros, RD_MIN(left, sizeof zeros));
    return ret->has_failed ? rd_err_set(err, RD_E_TOO_LARGE, "the sealed message would be too large") : 0;
}
