#include "api/http_response.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/http/field.h"
#include "common/http/head.h"

#define TRAILER     "redoubt-receipt"
#define TRAILER_MAX ((size_t)24 << 10) /* its line: the base64url form of RD_RECEIPT_SIZE_MAX and the name */

enum { PHASE_HEAD, PHASE_BODY, PHASE_CHUNKS, PHASE_DONE };

void api_http_response_begin(api_http_response *response, bool is_head_request, uint64_t body_max)
{
    if (response->head.size_max == 0)
        rd_buf_init(&response->head, API_HTTP_HEAD_MAX + 1);
    rd_buf_clear(&response->head);
    rd_http_chunks_begin(&response->chunks, body_max, TRAILER_MAX);
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
    response->keeps_alive = false;
}

void api_http_response_done(api_http_response *response)
{
    rd_buf_done(&response->head);
    rd_http_chunks_done(&response->chunks);
    rd_buf_done(&response->trailer);
}

/* RFC 9110, 5.6.1: a comma-separated list, any case. */
static bool list_has(rd_bytes list, rd_bytes token)
{
    for (size_t at = 0; at < list.size;) {
        size_t end = at;
        while (end < list.size && list.data[end] != ',' && list.data[end] != ' ' && list.data[end] != '\t')
            end++;
        if (end > at && end - at == token.size &&
            strncasecmp((const char *)list.data + at, (const char *)token.data, token.size) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

bool api_http_is_hop_by_hop(rd_bytes name, rd_bytes connection)
{
    return rd_http_is_of_connection(name) || list_has(connection, name);
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
    if (!rd_http_is_text(rd_bytes_str(digits + 3)))
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
    if (!rd_http_is_token(rd_bytes_of(line, (size_t)(colon - line))))
        return invalid(err, "header name is not a token");
    for (char *p = line; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t size = strlen(value);
    while (size > 0 && (value[size - 1] == ' ' || value[size - 1] == '\t'))
        value[--size] = 0;
    if (!rd_http_is_text(rd_bytes_of(value, size)))
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
    const char *connection = api_http_response_header(response, "connection");
    bool is_bodiless = response->is_head_request || response->status == 204 || response->status == 304;
    if (response->has_length && response->is_chunked)
        return invalid(err, "content-length and chunks");
    if (!response->has_length && !response->is_chunked && !is_bodiless)
        return invalid(err, "neither content-length nor chunks");
    if (response->content_length > response->body_max)
        return body_too_large(response, response->content_length, err);
    response->is_chunked = response->is_chunked && !is_bodiless;
    response->body_left = is_bodiless ? 0 : response->content_length;
    response->keeps_alive = !list_has(rd_bytes_str(connection ? connection : ""), RD_BYTES_LIT("close"));
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

/* ---- chunks ---- */

/* The one trailer. */
static int parse_trailer(api_http_response *response, const char *text, rd_err *err)
{
    size_t name = sizeof TRAILER - 1;
    if (response->trailer.size > 0 || strncasecmp(text, TRAILER ":", name + 1) != 0 ||
        !rd_http_is_text(rd_bytes_str(text)))
        return invalid(err, "a trailer that is no receipt, or a second one");
    text += name + 1 + strspn(text + name + 1, " \t");
    size_t size = strlen(text);
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        size--;
    (void)rd_buf_append(&response->trailer, text, size);
    (void)rd_buf_append_u8(&response->trailer, 0);
    return 0;
}

static int step_chunks(api_http_response *response, rd_bytes *input, rd_bytes *ret_body, rd_err *err)
{
    rd_err why = RD_ERR_INIT;
    response->chunks.body_max = response->body_max;
    for (;;) {
        switch (rd_http_chunks_next(&response->chunks, input, ret_body, &why)) {
        case RD_HTTP_CHUNKS_MORE:
            return API_HTTP_MORE;
        case RD_HTTP_CHUNKS_PIECE:
            return API_HTTP_BODY;
        case RD_HTTP_CHUNKS_TRAILER:
            if (parse_trailer(response, (const char *)ret_body->data, err) < 0)
                return -1;
            break;
        case RD_HTTP_CHUNKS_END:
            response->phase = PHASE_DONE;
            return API_HTTP_DONE;
        default:
            return rd_err_set(err, why.code == RD_E_TOO_LARGE ? RD_E_TOO_LARGE : RD_E_RESPONSE_INVALID,
                              "instance's response: %s", why.text);
        }
    }
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
    response->phase = response->is_chunked ? PHASE_CHUNKS : PHASE_BODY;
    return API_HTTP_HEAD;
}

int api_http_response_step(api_http_response *response, rd_bytes *input, rd_bytes *ret_body, rd_err *err)
{
    if (response->phase == PHASE_HEAD)
        return step_head(response, input, err);
    if (response->phase == PHASE_CHUNKS)
        return step_chunks(response, input, ret_body, err);
    if (response->phase == PHASE_BODY && response->body_left == 0)
        response->phase = PHASE_DONE;
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
    if (response->is_chunked)
        rd_http_chunks_unread(&response->chunks, size);
    else
        response->body_left += size;
}
