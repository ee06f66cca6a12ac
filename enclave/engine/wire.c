#include "enclave/engine/wire.h"

#include <string.h>

#include "common/base/cursor.h"

#define URL_MAX     ((size_t)32 << 10)
#define HEADERS_MAX 1000

/* RFC 9110, 5.6.2: tchar. */
static bool is_token(rd_bytes text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && (c == 0 || !strchr(others, c)))
            return false;
    }
    return text.size > 0;
}

/* RFC 9110, 5.5: no CR, LF or NUL; other controls but tab are refused with them. */
static bool is_field_value(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if ((text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f)
            return false;
    }
    return true;
}

static bool is_url(rd_bytes text)
{
    if (text.size < 8 || text.size > URL_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f)
            return false;
    }
    return memcmp(text.data, "http://", 7) == 0 || memcmp(text.data, "https://", 8) == 0;
}

static int check_request(const encl_request *request, rd_err *err)
{
    if (!is_token(request->method) || request->method.size > 32)
        return rd_err_set(err, RD_E_ENGINE_REQUEST, "the method is no token of at most 32 characters");
    if (!is_url(request->url))
        return rd_err_set(err, RD_E_ENGINE_REQUEST, "the url is no absolute http(s) address of at most %zu characters",
                          URL_MAX);
    if (request->header_count > HEADERS_MAX)
        return rd_err_set(err, RD_E_ENGINE_REQUEST, "%zu headers, at most %d", request->header_count, HEADERS_MAX);
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_token(request->headers[i].name) || !is_field_value(request->headers[i].value))
            return rd_err_set(err, RD_E_ENGINE_REQUEST, "header %zu is malformed", i);
    }
    return 0;
}

/* Adds a field's encoded size; false past size_max. */
static bool add_size(size_t *size, size_t field, size_t size_max)
{
    if (field > size_max || *size > size_max - field || size_max - field - *size < 4)
        return false;
    *size += field + 4;
    return true;
}

int encl_wire_request_size(const encl_request *request, size_t size_max, size_t *ret_size, rd_err *err)
{
    size_t size = 4;
    bool fits;

    if (check_request(request, err) < 0)
        return -1;
    fits = add_size(&size, request->method.size, size_max) && add_size(&size, request->url.size, size_max);
    for (size_t i = 0; fits && i < request->header_count; i++)
        fits = add_size(&size, request->headers[i].name.size, size_max) &&
               add_size(&size, request->headers[i].value.size, size_max);
    if (!fits || !add_size(&size, request->body.size, size_max))
        return rd_err_set(err, RD_E_ENGINE_REQUEST, "the request is larger than %zu bytes", size_max);
    *ret_size = size;
    return 0;
}

static uint8_t *put_u32(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)value;
    out[1] = (uint8_t)(value >> 8);
    out[2] = (uint8_t)(value >> 16);
    out[3] = (uint8_t)(value >> 24);
    return out + 4;
}

static uint8_t *put_bytes(uint8_t *out, rd_bytes bytes)
{
    out = put_u32(out, bytes.size);
    if (bytes.size > 0)
        memcpy(out, bytes.data, bytes.size);
    return out + bytes.size;
}

void encl_wire_request_write(const encl_request *request, uint8_t *out)
{
    out = put_bytes(out, request->method);
    out = put_bytes(out, request->url);
    out = put_u32(out, request->header_count);
    for (size_t i = 0; i < request->header_count; i++) {
        out = put_bytes(out, request->headers[i].name);
        out = put_bytes(out, request->headers[i].value);
    }
    (void)put_bytes(out, request->body);
}

static bool is_lower(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] >= 'A' && text.data[i] <= 'Z')
            return false;
    }
    return true;
}

/* RFC 9110, 7.6.1 and 8.6; RFC 9112, 6. */
static bool is_servers_own(rd_bytes name)
{
    static const char *const names[] = {
        "connection", "content-length",    "keep-alive", "proxy-authenticate", "proxy-connection", "te",
        "trailer",    "transfer-encoding", "upgrade",    "proxy-authorization"
    };

    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        if (rd_bytes_equal(name, rd_bytes_str(names[i])))
            return true;
    }
    return false;
}

static rd_bytes read_field(rd_cursor *cursor)
{
    uint32_t size = rd_cursor_u32le(cursor);

    return rd_cursor_take(cursor, size);
}

static int read_headers(rd_cursor *cursor, uint32_t count, encl_header *headers, size_t header_max, size_t *ret_count,
                        rd_err *err)
{
    size_t kept = 0;

    for (uint32_t i = 0; i < count && rd_cursor_is_ok(cursor); i++) {
        encl_header header = { .name = read_field(cursor) };
        header.value = read_field(cursor);
        if (!rd_cursor_is_ok(cursor))
            break;
        if (!is_token(header.name) || !is_lower(header.name) || !is_field_value(header.value))
            return rd_err_set(err, RD_E_ENGINE_BAD_RESPONSE, "header %u of the response cannot be sent", i);
        if (is_servers_own(header.name))
            continue;
        if (kept == header_max)
            return rd_err_set(err, RD_E_ENGINE_BAD_RESPONSE, "the response has more than %zu headers", header_max);
        headers[kept++] = header;
    }
    *ret_count = kept;
    return 0;
}

int encl_wire_response_read(rd_bytes bytes, encl_header *headers, size_t header_max, encl_response *ret, rd_err *err)
{
    rd_cursor cursor = rd_cursor_of(bytes);
    uint32_t status = rd_cursor_u32le(&cursor);
    uint32_t count = rd_cursor_u32le(&cursor);
    encl_response response = { .headers = headers };

    if (status < 200 || status > 599)
        return rd_err_set(err, RD_E_ENGINE_BAD_RESPONSE, "status %u of the response is not within 200 to 599", status);
    if (read_headers(&cursor, count, headers, header_max, &response.header_count, err) < 0)
        return -1;
    response.status = (uint16_t)status;
    response.body = read_field(&cursor);
    if (!rd_cursor_is_done(&cursor))
        return rd_err_set(err, RD_E_ENGINE_BAD_RESPONSE, "the response buffer is malformed");
    *ret = response;
    return 0;
}
