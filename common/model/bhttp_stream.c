#include "common/model/bhttp_stream.h"

#include "common/base/mem.h"
#include "common/base/varint.h"
#include "common/model/bhttp_private.h"

#include <stdlib.h>
#include <string.h>

typedef enum phase { PHASE_HEAD, PHASE_CONTENT, PHASE_TRAILERS, PHASE_PADDING } phase;

/* Fields and what stands before them: gathered until it is whole, then borrowed from. */
typedef struct fields_part {
    rd_buf bytes;
    rd_bhttp_message message;
} fields_part;

struct rd_bhttp_reader {
    bool is_request;
    phase phase;
    fields_part head, trailers;
    uint8_t size[8]; /* of the next piece, as its bytes come */
    size_t size_count;
    uint64_t left; /* of this piece */
    bool has_content;
};

/* ---- writing ---- */

static void write_fields(const rd_bhttp_field *fields, size_t count, rd_buf *ret)
{
    for (size_t i = 0; i < count; i++) {
        rd_bhttp_write_piece(ret, fields[i].name);
        rd_bhttp_write_piece(ret, fields[i].value);
    }
    rd_varint_write(ret, 0);
}

int rd_bhttp_stream_head(const rd_bhttp_message *head, rd_buf *ret, rd_err *err)
{
    if (rd_bhttp_check_control(head, err) < 0)
        return -1;
    rd_varint_write(ret, head->is_request ? RD_BHTTP_OPEN_REQUEST : RD_BHTTP_OPEN_ANSWER);
    rd_bhttp_write_control(ret, head);
    write_fields(head->fields, head->field_count, ret);
    return ret->has_failed ? rd_err_set(err, RD_E_TOO_LARGE, "the sealed message would be too large") : 0;
}

void rd_bhttp_stream_piece(rd_bytes piece, rd_buf *ret)
{
    rd_varint_write_u30(ret, piece.size);
    (void)rd_buf_append_bytes(ret, piece);
}

void rd_bhttp_stream_end(const rd_bhttp_field *trailers, size_t count, size_t start, rd_buf *ret)
{
    rd_varint_write(ret, 0);
    write_fields(trailers, count, ret);
    rd_bhttp_pad(ret, start);
}

/* ---- reading ---- */

bool rd_bhttp_is_stream(rd_bytes bytes)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    uint64_t framing = rd_varint_read(&cursor);
    return framing == RD_BHTTP_OPEN_REQUEST || framing == RD_BHTTP_OPEN_ANSWER;
}

rd_bhttp_reader *rd_bhttp_reader_new(bool is_request)
{
    rd_bhttp_reader *reader = rd_alloc(sizeof *reader);
    reader->is_request = is_request;
    rd_buf_init(&reader->head.bytes, RD_BHTTP_HEAD_MAX);
    rd_buf_init(&reader->trailers.bytes, RD_BHTTP_HEAD_MAX);
    return reader;
}

rd_bhttp_reader *rd_bhttp_reader_free(rd_bhttp_reader *reader)
{
    if (reader != NULL) {
        rd_buf_wipe(&reader->head.bytes);
        rd_buf_wipe(&reader->trailers.bytes);
        free(reader);
    }
    return NULL;
}

void rd_bhttp_reader_free_p(rd_bhttp_reader **reader)
{
    *reader = rd_bhttp_reader_free(*reader);
}

/* The outcomes of parsing what may not have come yet: 1 whole, 0 more is needed, -1 refused. */

static int parse_control(rd_cursor *cursor, bool is_request, rd_bhttp_message *ret, rd_err *err)
{
    uint64_t framing = rd_varint_read(cursor);
    if (!rd_cursor_is_ok(cursor))
        return 0;
    if (framing < RD_BHTTP_OPEN_REQUEST)
        return rd_err_set(err, RD_E_UNSUPPORTED, "binary HTTP of known length where the other form is due");
    if (framing != (is_request ? RD_BHTTP_OPEN_REQUEST : RD_BHTTP_OPEN_ANSWER))
        return rd_err_set(err, RD_E_ENCODING, "not the binary HTTP of %s", is_request ? "a request" : "an answer");
    ret->is_request = is_request;
    rd_bhttp_read_control(cursor, ret);
    if (!rd_cursor_is_ok(cursor))
        return 0;
    return rd_bhttp_check_control(ret, err) < 0 ? -1 : 1;
}

static int parse_fields(rd_cursor *cursor, rd_bhttp_message *ret, rd_err *err)
{
    for (;;) {
        rd_bhttp_field field = { .name = rd_bhttp_read_piece(cursor) };
        if (!rd_cursor_is_ok(cursor))
            return 0;
        if (field.name.size == 0)
            return 1;
        field.value = rd_bhttp_read_piece(cursor);
        if (!rd_cursor_is_ok(cursor))
            return 0;
        if (rd_bhttp_add_field(ret, field, err) < 0)
            return -1;
    }
}

static int parse_section(rd_bhttp_reader *reader, fields_part *part, size_t *ret_used, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(rd_buf_bytes(&part->bytes));
    memset(&part->message, 0, sizeof part->message);
    int outcome = reader->phase == PHASE_HEAD ? parse_control(&cursor, reader->is_request, &part->message, err) : 1;
    if (outcome == 1)
        outcome = parse_fields(&cursor, &part->message, err);
    *ret_used = rd_cursor_offset(&cursor);
    return outcome;
}

static void skip(rd_bytes *bytes, size_t size)
{
    bytes->data += size;
    bytes->size -= size;
}

static int take_section(rd_bhttp_reader *reader, fields_part *part, rd_bytes *bytes, rd_err *err)
{
    size_t before = part->bytes.size, used;
    size_t step = RD_MIN(bytes->size, RD_BHTTP_HEAD_MAX - before);
    (void)rd_buf_append(&part->bytes, bytes->data, step);
    int outcome = parse_section(reader, part, &used, err);
    if (outcome < 0)
        return -1;
    if (outcome == 0 && part->bytes.size == RD_BHTTP_HEAD_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "the fields have more than %zu bytes", RD_BHTTP_HEAD_MAX);
    skip(bytes, outcome == 1 ? used - before : step); /* what is borrowed stays where it is */
    if (outcome == 1)
        reader->phase++;
    else
        part->message.field_count = 0;
    return 0;
}

static void take_size(rd_bhttp_reader *reader, rd_bytes *bytes)
{
    reader->size[reader->size_count++] = bytes->data[0];
    skip(bytes, 1);
    if (reader->size_count < 1u << (reader->size[0] >> 6))
        return;
    rd_cursor cursor = rd_cursor_of(rd_bytes_of(reader->size, reader->size_count));
    reader->left = rd_varint_read(&cursor);
    reader->size_count = 0;
    if (reader->left == 0)
        reader->phase++;
    else
        reader->has_content = true;
}

static int take_content(rd_bhttp_reader *reader, rd_bytes *bytes, rd_buf *content, rd_err *err)
{
    if (reader->left == 0) {
        take_size(reader, bytes);
        return 0;
    }
    size_t step = bytes->size < reader->left ? bytes->size : (size_t)reader->left;
    if (!rd_buf_append(content, bytes->data, step))
        return rd_err_set(err, RD_E_TOO_LARGE, "the content has more than %zu bytes", content->size_max);
    reader->left -= step;
    skip(bytes, step);
    return 0;
}

int rd_bhttp_reader_feed(rd_bhttp_reader *reader, rd_bytes bytes, rd_buf *content, rd_err *err)
{
    while (bytes.size > 0) {
        if (reader->phase == PHASE_PADDING)
            return rd_bhttp_check_padding(bytes, err);
        int status =
            reader->phase == PHASE_CONTENT
                ? take_content(reader, &bytes, content, err)
                : take_section(reader, reader->phase == PHASE_HEAD ? &reader->head : &reader->trailers, &bytes, err);
        if (status < 0)
            return -1;
    }
    return 0;
}

int rd_bhttp_reader_end(const rd_bhttp_reader *reader, rd_err *err)
{
    bool has_no_content = reader->phase == PHASE_CONTENT && !reader->has_content && reader->size_count == 0;
    bool has_no_trailers = reader->phase == PHASE_TRAILERS && reader->trailers.bytes.size == 0;
    if (reader->phase == PHASE_PADDING || has_no_content || has_no_trailers)
        return 0;
    return rd_err_set(err, RD_E_TRUNCATED, "the message ends within its %s",
                      reader->phase == PHASE_CONTENT ? "content" : "fields");
}

const rd_bhttp_message *rd_bhttp_reader_head(const rd_bhttp_reader *reader)
{
    return reader->phase == PHASE_HEAD ? NULL : &reader->head.message;
}

const rd_bhttp_message *rd_bhttp_reader_trailers(const rd_bhttp_reader *reader)
{
    return &reader->trailers.message;
}
