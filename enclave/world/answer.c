#include "enclave/world/answer.h"

#include <string.h>

#include "common/base/text.h"
#include "common/http/field.h"

#define INTERIM_MAX 8
#define LINE_MAX    ((size_t)1 << 10)  /* of a chunk's size */
#define TRAILER_MAX ((size_t)16 << 10) /* trailers are read and left aside */

void encl_answer_init(encl_answer *answer, bool is_head_request, size_t body_max)
{
    memset(answer, 0, sizeof(*answer));
    answer->is_head_request = is_head_request;
    answer->body_max = body_max;
    rd_buf_init(&answer->in, ENCL_ANSWER_HEAD_MAX + 4);
    rd_buf_init(&answer->head, ENCL_ANSWER_HEAD_MAX);
    rd_buf_init(&answer->body, body_max == 0 ? 1 : body_max);
}

void encl_answer_done(encl_answer *answer)
{
    rd_buf_wipe(&answer->in);
    rd_buf_wipe(&answer->head);
    rd_buf_wipe(&answer->body);
}

rd_bytes encl_answer_name(const encl_answer *answer, size_t index)
{
    return rd_bytes_of(answer->head.data + answer->headers[index].name_at, answer->headers[index].name_size);
}

rd_bytes encl_answer_value(const encl_answer *answer, size_t index)
{
    return rd_bytes_of(answer->head.data + answer->headers[index].value_at, answer->headers[index].value_size);
}

static rd_bytes trim(rd_bytes text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = rd_bytes_of(text.data + 1, text.size - 1);
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

/* --- the head ----------------------------------------------------------------------------------------------------- */

/* RFC 9112, 4: HTTP-version SP status-code SP [ reason-phrase ]; the last space is often left out. */
static int read_status(encl_answer *answer, rd_bytes line, rd_err *err)
{
    const uint8_t *d = line.data;
    bool is_good = line.size >= 12 && memcmp(d, "HTTP/1.", 7) == 0 && (d[7] == '0' || d[7] == '1') && d[8] == ' ' &&
                   (line.size == 12 || d[12] == ' ') && rd_http_is_text(line);

    for (size_t i = 9; is_good && i < 12; i++)
        is_good = d[i] >= '0' && d[i] <= '9';
    if (!is_good)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the answer does not begin as HTTP/1.1 does");
    answer->status = (unsigned)(d[9] - '0') * 100 + (unsigned)(d[10] - '0') * 10 + (unsigned)(d[11] - '0');
    if (answer->status < 100 || answer->status > 599 || answer->status == 101)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the answer's status is %u", answer->status);
    return 0;
}

static int read_header(encl_answer *answer, rd_bytes line, rd_err *err)
{
    const uint8_t *colon = memchr(line.data, ':', line.size);
    rd_bytes name = rd_bytes_of(line.data, colon ? (size_t)(colon - line.data) : 0);

    if (!colon || !rd_http_is_token(name))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a header line of the answer is no name, colon and value");
    rd_bytes value = trim(rd_bytes_of(colon + 1, line.size - name.size - 1));
    if (!rd_http_is_text(value))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a header value of the answer holds control characters");
    if (answer->headers_count == ENCL_ANSWER_COUNT_MAX)
        return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "the answer has more than %d header lines",
                          ENCL_ANSWER_COUNT_MAX);
    answer->headers[answer->headers_count++] =
        (encl_answer_header){ .name_at = (size_t)(name.data - answer->head.data),
                              .name_size = name.size,
                              .value_at = (size_t)(value.data - answer->head.data),
                              .value_size = value.size };
    return 0;
}

static int read_head(encl_answer *answer, rd_err *err)
{
    rd_bytes rest = rd_buf_bytes(&answer->head);
    bool is_first = true;

    answer->headers_count = 0;
    while (rest.size > 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        if (!end || end == rest.data || end[-1] != '\r')
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "a line of the answer does not end in CR LF");
        rd_bytes line = rd_bytes_of(rest.data, (size_t)(end - rest.data) - 1);
        rest = rd_bytes_of(end + 1, rest.size - line.size - 2);
        if (line.size == 0)
            return 0;
        if ((is_first ? read_status(answer, line, err) : read_header(answer, line, err)) < 0)
            return -1;
        is_first = false;
    }
    return rd_err_set(err, RD_E_HTTP_SYNTAX, "the answer's head has no end");
}

typedef struct body_framing {
    bool has_length, is_chunked;
    uint64_t length;
} body_framing;

/* RFC 9112, 6.1 and 6.3. */
static int read_framing(const encl_answer *answer, body_framing *ret, rd_err *err)
{
    for (size_t i = 0; i < answer->headers_count; i++) {
        rd_bytes name = encl_answer_name(answer, i), value = encl_answer_value(answer, i);
        if (rd_http_is_named(name, "transfer-encoding")) {
            if (ret->is_chunked || !rd_http_is_named(value, "chunked"))
                return rd_err_set(err, RD_E_HTTP_SYNTAX, "the answer's Transfer-Encoding is not chunked");
            ret->is_chunked = true;
        } else if (rd_http_is_named(name, "content-length")) {
            if (ret->has_length || rd_parse_u64((const char *)value.data, value.size, INT64_MAX, &ret->length) < 0)
                return rd_err_set(err, RD_E_HTTP_SYNTAX, "the answer's Content-Length is no single number");
            ret->has_length = true;
        }
    }
    if (ret->is_chunked && ret->has_length)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the answer has a Content-Length beside chunks");
    return 0;
}

static int too_large(const encl_answer *answer, rd_err *err)
{
    return rd_err_set(err, RD_E_TOO_LARGE, "the answer's body is larger than %zu bytes", answer->body_max);
}

static int begin_body(encl_answer *answer, rd_err *err)
{
    body_framing framing = { .length = 0 };

    if (answer->status < 200) {
        if (++answer->interim_count > INTERIM_MAX)
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "more than %d interim answers", INTERIM_MAX);
        rd_buf_clear(&answer->head);
        return 0;
    }
    if (read_framing(answer, &framing, err) < 0)
        return -1;
    if (answer->is_head_request || answer->status == 204 || answer->status == 304 ||
        (framing.has_length && framing.length == 0)) {
        answer->state = ENCL_ANSWER_DONE;
        return 0;
    }
    if (framing.has_length && framing.length > answer->body_max)
        return too_large(answer, err);
    answer->left = framing.length;
    answer->state = framing.is_chunked   ? ENCL_ANSWER_CHUNK_SIZE
                    : framing.has_length ? ENCL_ANSWER_LENGTH
                                         : ENCL_ANSWER_TO_END;
    return 0;
}

/* Moves bytes to `in` until the text ends with `end`; false when it has not yet. */
static bool collect(encl_answer *answer, rd_bytes *bytes, const char *end, size_t size_max)
{
    size_t end_size = strlen(end);

    while (bytes->size > 0 && answer->in.size <= size_max) {
        rd_buf_append_u8(&answer->in, bytes->data[0]);
        *bytes = rd_bytes_of(bytes->data + 1, bytes->size - 1);
        if (answer->in.size >= end_size && memcmp(answer->in.data + answer->in.size - end_size, end, end_size) == 0)
            return true;
    }
    return false;
}

static int take_head(encl_answer *answer, rd_bytes *bytes, rd_err *err)
{
    bool is_whole = collect(answer, bytes, "\r\n\r\n", ENCL_ANSWER_HEAD_MAX);

    if (answer->in.size > ENCL_ANSWER_HEAD_MAX)
        return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "the answer's head is larger than %zu bytes",
                          ENCL_ANSWER_HEAD_MAX);
    if (!is_whole)
        return 0;
    rd_buf_clear(&answer->head);
    rd_buf_append_bytes(&answer->head, rd_buf_bytes(&answer->in));
    rd_buf_clear(&answer->in);
    return read_head(answer, err) < 0 ? -1 : begin_body(answer, err);
}

/* --- the body ----------------------------------------------------------------------------------------------------- */

static int take_bytes(encl_answer *answer, rd_bytes *bytes, rd_err *err)
{
    size_t size = bytes->size;

    if (answer->state != ENCL_ANSWER_TO_END && size > answer->left)
        size = (size_t)answer->left;
    if (size > answer->body_max - answer->received || !rd_buf_append(&answer->body, bytes->data, size))
        return too_large(answer, err);
    answer->received += size;
    *bytes = rd_bytes_of(bytes->data + size, bytes->size - size);
    if (answer->state == ENCL_ANSWER_TO_END)
        return 0;
    answer->left -= size;
    if (answer->left == 0)
        answer->state = answer->state == ENCL_ANSWER_CHUNK ? ENCL_ANSWER_CHUNK_END : ENCL_ANSWER_DONE;
    return 0;
}

/* RFC 9112, 7.1: hexadecimal size, extensions behind ';'. */
static int read_chunk_size(encl_answer *answer, rd_err *err)
{
    uint64_t size = 0;
    size_t digits = 0;
    rd_bytes line = rd_bytes_of(answer->in.data, answer->in.size - 2);

    for (; digits < line.size && digits < 16; digits++) {
        uint8_t c = line.data[digits];
        int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (value < 0)
            break;
        size = size << 4 | (unsigned)value;
    }
    rd_bytes rest = trim(rd_bytes_of(line.data + digits, line.size - digits));
    if (digits == 0 || digits == 16 || !rd_http_is_text(line) || (rest.size > 0 && rest.data[0] != ';'))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a chunk of the answer has no size");
    if (size > answer->body_max - answer->received)
        return too_large(answer, err);
    answer->left = size;
    answer->state = size == 0 ? ENCL_ANSWER_TRAILER : ENCL_ANSWER_CHUNK;
    return 0;
}

static int take_line(encl_answer *answer, rd_bytes *bytes, rd_err *err)
{
    size_t size_max = answer->state == ENCL_ANSWER_CHUNK_END ? 2 : LINE_MAX;
    bool is_whole = collect(answer, bytes, "\r\n", size_max);
    int outcome = 0;

    if ((!is_whole && answer->in.size >= size_max) || (answer->state == ENCL_ANSWER_CHUNK_END && answer->in.size > 2))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a line between the answer's chunks has no end");
    if (!is_whole)
        return 0;
    if (answer->state == ENCL_ANSWER_CHUNK_SIZE) {
        outcome = read_chunk_size(answer, err);
    } else if (answer->state == ENCL_ANSWER_CHUNK_END) {
        answer->state = ENCL_ANSWER_CHUNK_SIZE;
    } else {
        answer->trailer_size += answer->in.size;
        if (answer->in.size == 2)
            answer->state = ENCL_ANSWER_DONE;
        else if (answer->trailer_size > TRAILER_MAX)
            outcome = rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "the answer's trailers are too large");
    }
    rd_buf_clear(&answer->in);
    return outcome;
}

int encl_answer_feed(encl_answer *answer, rd_bytes bytes, rd_err *err)
{
    while (bytes.size > 0 && answer->state != ENCL_ANSWER_DONE) {
        int outcome = -1;
        switch (answer->state) {
        case ENCL_ANSWER_HEAD:
            outcome = take_head(answer, &bytes, err);
            break;
        case ENCL_ANSWER_LENGTH:
        case ENCL_ANSWER_CHUNK:
        case ENCL_ANSWER_TO_END:
            outcome = take_bytes(answer, &bytes, err);
            break;
        case ENCL_ANSWER_CHUNK_SIZE:
        case ENCL_ANSWER_CHUNK_END:
        case ENCL_ANSWER_TRAILER:
            outcome = take_line(answer, &bytes, err);
            break;
        case ENCL_ANSWER_DONE:
            return 0;
        }
        if (outcome < 0)
            return -1;
    }
    return 0;
}

int encl_answer_end(encl_answer *answer, rd_err *err)
{
    if (answer->state == ENCL_ANSWER_TO_END)
        answer->state = ENCL_ANSWER_DONE;
    if (answer->state == ENCL_ANSWER_DONE)
        return 0;
    return rd_err_set(err, RD_E_TRUNCATED, "the answer ends in the middle");
}
