#include "api/http_response.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SIZE_LINE_MAX 8 /* hex digits */
#define TRAILER       "redoubt-receipt"
#define TRAILER_MAX   ((size_t)24 << 10) /* its line: the base64url form of RD_RECEIPT_SIZE_MAX and the name */

enum { PHASE_HEAD, PHASE_BODY, PHASE_CHUNK_END, PHASE_CHUNK_SIZE, PHASE_TRAILER, PHASE_DONE };

void api_http_response_begin(api_http_response *response, bool is_head_request, uint64_t body_max)
{
    if (response->head.size_max == 0)
        rd_buf_init(&response->head, API_HTTP_HEAD_MAX + 1);
    rd_buf_clear(&response->head);
    rd_buf_clear(&response->line);
    rd_buf_clear(&response->trailer);
    response->is_head_request = is_head_request;
    response->body_max = body_max;
    response->scanned = 0;
    response->phase = PHASE_HEAD;
    response->status = 0;
    response->header_count = 0;
    response->is_chunked = false;
    response->has_length = false;
    response->content_length = 0;
    response->body_left = 0;
    response->body_taken = 0;
    response->keeps_alive = false;
}

void api_http_response_done(api_http_response *response)
{
    rd_buf_done(&response->head);
    rd_buf_done(&response->line);
    rd_buf_done(&response->trailer);
}

static bool is_tchar(unsigned char c)
{
    return isalnum(c) || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool api_http_is_token(const char *text)
{
    if (*text == 0)
        return false;
    for (; *text; text++)
        if (!is_tchar((unsigned char)*text))
            return false;
    return true;
}

bool api_http_is_value(const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* RFC 9110, 5.6.1: a comma-separated list, any case. */
static bool list_has(const char *list, const char *token)
{
    size_t size = strlen(token);
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t item = strcspn(list, ", \t");
        if (item == size && strncasecmp(list, token, size) == 0)
            return true;
        list += item;
    }
    return false;
}

bool api_http_is_hop_by_hop(const char *name, const char *connection)
{
    static const char *const names[] = {
        "connection", "keep-alive",        "proxy-connection", "proxy-authenticate", "proxy-authorization", "te",
        "trailer",    "transfer-encoding", "upgrade",          "content-length"
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return list_has(connection, name);
}

const char *api_http_response_header(const api_http_response *response, const char *name)
{
    for (size_t i = 0; i < response->header_count; i++)
        if (strcmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    return NULL;
}

static int invalid(rd_err *err, const char *what)
{
    return rd_err_set(err, RD_E_RESPONSE_INVALID, "instance's response: %s", what);
}

/* RFC 9112, 4: HTTP-version SP 3DIGIT SP [reason]. */
static int parse_status_line(api_http_response *response, const char *line, rd_err *err)
{
    if (strncmp(line, "HTTP/1.1 ", 9) != 0)
        return invalid(err, "no HTTP/1.1 status line");
    const char *digits = line + 9;
    for (int i = 0; i < 3; i++)
        if (!isdigit((unsigned char)digits[i]))
            return invalid(err, "status is not three digits");
    if (digits[3] != 0 && digits[3] != ' ')
        return invalid(err, "status is longer than three digits");
    if (!api_http_is_value(digits + 3))
        return invalid(err, "control character in the reason");
    response->status = (digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0');
    if (response->status < 200 || response->status > 599)
        return invalid(err, "status outside 200 to 599");
    return 0;
}

/* RFC 9112, 5: field-name ":" OWS value OWS; no space before the colon, no folding. */
static int parse_field(api_http_response *response, char *line, rd_err *err)
{
    char *colon = strchr(line, ':');
    if (!colon)
        return invalid(err, "header line without a colon");
    *colon = 0;
    if (!api_http_is_token(line))
        return invalid(err, "header name is not a token");
    for (char *p = line; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        value[--size] = 0;
    if (!api_http_is_value(value))
        return invalid(err, "control character in a header value");
    if (response->header_count == API_HTTP_HEADERS_MAX)
        return invalid(err, "more than 64 headers");
    response->headers[response->header_count++] = (api_http_header){ line, value };
    return 0;
}

static int parse_length(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    size_t size = strlen(text);
    if (size == 0 || size > 15)
        return -1;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return -1;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *ret = value;
    return 0;
}

static int body_too_large(const api_http_response *response, uint64_t size, rd_err *err)
{
    return rd_err_set(err, RD_E_TOO_LARGE, "instance's response: body of %llu bytes, at most %llu",
                      (unsigned long long)size, (unsigned long long)response->body_max);
}

/* RFC 9112, 6.3, narrowed: a length or chunks, once, and nothing else frames a body. */
static int decide_framing(api_http_response *response, rd_err *err)
{
    for (size_t i = 0; i < response->header_count; i++) {
        const api_http_header *header = &response->headers[i];
        if (strcmp(header->name, "transfer-encoding") == 0) {
            if (response->is_chunked || strcmp(header->value, "chunked") != 0)
                return invalid(err, "a transfer-encoding that is not chunked alone");
            response->is_chunked = true;
        }
        if (strcmp(header->name, "content-length") != 0)
            continue;
        if (response->has_length)
            return invalid(err, "two content-length headers");
        if (parse_length(header->value, &response->content_length) < 0)
            return invalid(err, "content-length is not a number");
        response->has_length = true;
    }
    bool is_bodiless = response->is_head_request || response->status == 204 || response->status == 304;
    if (response->has_length && response->is_chunked)
        return invalid(err, "content-length and chunks");
    if (!response->has_length && !response->is_chunked && !is_bodiless)
        return invalid(err, "neither content-length nor chunks");
    if (response->content_length > response->body_max)
        return body_too_large(response, response->content_length, err);
    response->is_chunked = response->is_chunked && !is_bodiless;
    response->body_left = is_bodiless ? 0 : response->content_length;
    response->keeps_alive = !list_has(api_http_response_header(response, "connection"), "close");
    return 0;
}

/* head holds everything up to and including the empty line. */
static int parse_head(api_http_response *response, rd_err *err)
{
    char *text = (char *)response->head.data;
    char *end = text + response->head.size - 2;
    if (memchr(text, 0, response->head.size))
        return invalid(err, "NUL in the head");
    bool is_first = true;
    for (char *line = text; line < end;) {
        char *stop = memchr(line, '\r', (size_t)(end - line));
        if (!stop || stop[1] != '\n')
            return invalid(err, "line without CR LF");
        if (memchr(line, '\n', (size_t)(stop - line)))
            return invalid(err, "bare LF");
        *stop = 0;
        if ((is_first ? parse_status_line(response, line, err) : parse_field(response, line, err)) < 0)
            return -1;
        is_first = false;
        line = stop + 2;
    }
    if (is_first)
        return invalid(err, "no HTTP/1.1 status line");
    return decide_framing(response, err);
}

/* Moves input into head up to the empty line; true when it is complete. */
static bool take_head(api_http_response *response, rd_bytes *input)
{
    size_t room = API_HTTP_HEAD_MAX - response->head.size;
    size_t size = RD_MIN(room, input->size);
    size_t before = response->head.size;
    (void)rd_buf_append(&response->head, input->data, size);
    size_t from = response->scanned > 3 ? response->scanned - 3 : 0;
    const uint8_t *found = memmem(response->head.data + from, response->head.size - from, "\r\n\r\n", 4);
    response->scanned = response->head.size;
    size_t taken = size;
    if (found) {
        size_t end = (size_t)(found - response->head.data) + 4;
        taken = end - before;
        response->head.size = end;
    }
    input->data += taken;
    input->size -= taken;
    return found != NULL;
}

/* ---- chunks (RFC 9112, 7.1) ---- */

/* Moves input into line up to CR LF, which stays out: 1 when it is whole, NUL behind it. */
static int take_line(api_http_response *response, rd_bytes *input, size_t max, rd_err *err)
{
    rd_buf *line = &response->line;
    while (input->size > 0) {
        uint8_t c = *input->data;
        bool follows_cr = line->size > 0 && line->data[line->size - 1] == '\r';
        if (follows_cr != (c == '\n') || c == 0)
            return invalid(err, "a line of its chunks without CR LF");
        input->data++;
        input->size--;
        if (c == '\n') {
            line->size--;
            line->data[line->size] = 0;
            return 1;
        }
        if (line->size >= max + (c == '\r'))
            return rd_err_set(err, RD_E_TOO_LARGE, "instance's response: a line of its chunks above %zu bytes", max);
        (void)rd_buf_append_u8(line, c);
    }
    return 0;
}

static int parse_chunk_size(api_http_response *response, rd_err *err)
{
    const char *text = (const char *)response->line.data;
    if (response->line.size == 0 || strspn(text, "0123456789abcdefABCDEF") != response->line.size)
        return invalid(err, "a chunk's size is no hex number");
    uint64_t size = strtoull(text, NULL, 16);
    if (size > response->body_max - response->body_taken)
        return body_too_large(response, response->body_taken + size, err);
    rd_buf_clear(&response->line);
    response->body_taken += size;
    response->body_left = size;
    response->phase = size > 0 ? PHASE_BODY : PHASE_TRAILER;
    return 0;
}

/* The empty line, or the one trailer. */
static int parse_trailer(api_http_response *response, rd_err *err)
{
    const char *text = (const char *)response->line.data;
    size_t name = sizeof TRAILER - 1;
    if (response->line.size == 0) {
        response->phase = PHASE_DONE;
        return 0;
    }
    if (response->trailer.size > 0 || strncasecmp(text, TRAILER ":", name + 1) != 0 || !api_http_is_value(text))
        return invalid(err, "a trailer that is no receipt, or a second one");
    text += name + 1 + strspn(text + name + 1, " \t");
    size_t size = strlen(text);
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        size--;
    (void)rd_buf_append(&response->trailer, text, size);
    (void)rd_buf_append_u8(&response->trailer, 0);
    rd_buf_clear(&response->line);
    return 0;
}

static int parse_chunk_end(api_http_response *response, rd_err *err)
{
    if (response->line.size > 0)
        return invalid(err, "a chunk that is longer than its size");
    response->phase = PHASE_CHUNK_SIZE;
    return 0;
}

/* What stands between the bytes of two chunks, or behind the last; returns as api_http_response_step does. */
static int step_between(api_http_response *response, rd_bytes *input, rd_err *err)
{
    while (response->phase != PHASE_BODY && response->phase != PHASE_DONE) {
        bool is_trailer = response->phase == PHASE_TRAILER;
        int whole = take_line(response, input, is_trailer ? TRAILER_MAX : SIZE_LINE_MAX, err);
        if (whole <= 0)
            return whole < 0 ? -1 : API_HTTP_MORE;
        int outcome = response->phase == PHASE_CHUNK_SIZE  ? parse_chunk_size(response, err)
                      : response->phase == PHASE_CHUNK_END ? parse_chunk_end(response, err)
                                                           : parse_trailer(response, err);
        if (outcome < 0)
            return -1;
    }
    return API_HTTP_HEAD; /* go on */
}

const char *api_http_response_trailer(const api_http_response *response)
{
    return response->phase == PHASE_DONE && response->trailer.size > 0 ? (const char *)response->trailer.data : NULL;
}

/* ---- steps ---- */

static int step_head(api_http_response *response, rd_bytes *input, rd_err *err)
{
    if (input->size == 0)
        return API_HTTP_MORE;
    if (!take_head(response, input)) {
        if (response->head.size >= API_HTTP_HEAD_MAX)
            return rd_err_set(err, RD_E_TOO_LARGE, "instance's response: head above %zu bytes", API_HTTP_HEAD_MAX);
        return API_HTTP_MORE;
    }
    if (parse_head(response, err) < 0)
        return -1;
    response->phase = response->is_chunked ? PHASE_CHUNK_SIZE : PHASE_BODY;
    return API_HTTP_HEAD;
}

int api_http_response_step(api_http_response *response, rd_bytes *input, rd_bytes *ret_body, rd_err *err)
{
    if (response->phase == PHASE_HEAD)
        return step_head(response, input, err);
    if (response->phase == PHASE_BODY && response->body_left == 0)
        response->phase = response->is_chunked ? PHASE_CHUNK_END : PHASE_DONE;
    if (response->phase != PHASE_BODY && response->phase != PHASE_DONE) {
        int step = step_between(response, input, err);
        if (step != API_HTTP_HEAD)
            return step;
    }
    if (response->phase == PHASE_DONE)
        return API_HTTP_DONE;
    if (input->size == 0)
        return API_HTTP_MORE;
    size_t size = (size_t)RD_MIN((uint64_t)input->size, response->body_left);
    *ret_body = rd_bytes_of(input->data, size);
    response->body_left -= size;
    input->data += size;
    input->size -= size;
    return API_HTTP_BODY;
}

void api_http_response_unread(api_http_response *response, size_t size)
{
    response->body_left += size;
}
