#include "enclave/world/http.h"

#include <string.h>
#include <strings.h>

#include "common/base/text.h"
#include "enclave/world/field.h"

#define METHOD_MAX 32

/* RFC 9112, 3.2.1: origin form. Only visible ASCII, no fragment. */
bool encl_http_is_target(rd_bytes text)
{
    if (text.size == 0 || text.data[0] != '/')
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= 0x20 || text.data[i] >= 0x7f || text.data[i] == '#')
            return false;
    }
    return true;
}

/* RFC 3986, 3.2.2 as far as names, IPv4 and bracketed IPv6 with a port need it */
bool encl_http_is_host(rd_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_letter && (c == 0 || strchr("-._:[]", c) == NULL))
            return false;
    }
    return text.size <= 255;
}

const encl_http_header *encl_http_find(const encl_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->headers_count; i++) {
        if (encl_field_is_named(request->headers[i].name, name))
            return &request->headers[i];
    }
    return NULL;
}

bool encl_http_is_reserved(rd_bytes name)
{
    static const char *const reserved[] = {
        "connection", "content-length",    "keep-alive", "proxy-connection",   "te",
        "trailer",    "transfer-encoding", "upgrade",    "proxy-authenticate", "proxy-authorization"
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(reserved); i++) {
        if (encl_field_is_named(name, reserved[i]))
            return true;
    }
    return name.size >= 8 && strncasecmp((const char *)name.data, "redoubt-", 8) == 0;
}

/* Takes one line without its CRLF off the front; false when it holds a bare CR or LF. The caller knows that it ends. */
static bool take_line(rd_bytes *rest, rd_bytes *ret)
{
    const uint8_t *end = memchr(rest->data, '\n', rest->size);
    if (end == NULL || end == rest->data || end[-1] != '\r')
        return false;
    *ret = rd_bytes_of(rest->data, (size_t)(end - rest->data) - 1);
    rest->data += ret->size + 2;
    rest->size -= ret->size + 2;
    return memchr(ret->data, '\r', ret->size) == NULL;
}

/* RFC 9112, 3: method SP request-target SP HTTP-version, single spaces */
static int parse_line(rd_bytes line, encl_http_request *ret, rd_err *err)
{
    if (line.size > ENCL_HTTP_LINE_MAX)
        return rd_err_set(err, RD_E_HTTP_TARGET_TOO_LONG, "request line of %zu bytes, the bound is %zu", line.size,
                          ENCL_HTTP_LINE_MAX);
    const uint8_t *first = memchr(line.data, ' ', line.size);
    if (first == NULL)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "request line without a target");
    ret->method = rd_bytes_of(line.data, (size_t)(first - line.data));
    rd_bytes rest = rd_bytes_of(first + 1, line.size - ret->method.size - 1);
    const uint8_t *second = memchr(rest.data, ' ', rest.size);
    if (second == NULL)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "request line without a version");
    ret->target = rd_bytes_of(rest.data, (size_t)(second - rest.data));
    rd_bytes version = rd_bytes_of(second + 1, rest.size - ret->target.size - 1);
    if (!encl_field_is_token(ret->method) || ret->method.size > METHOD_MAX)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the method is not a token of at most %d bytes", METHOD_MAX);
    if (!encl_http_is_target(ret->target))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the target is not in origin form");
    if (rd_bytes_equal(version, RD_BYTES_LIT("HTTP/1.1")))
        return 0;
    if (version.size == 8 && memcmp(version.data, "HTTP/", 5) == 0)
        return rd_err_set(err, RD_E_HTTP_VERSION, "only HTTP/1.1 is spoken here");
    return rd_err_set(err, RD_E_HTTP_SYNTAX, "the request line does not end in a version");
}

static rd_bytes trim(rd_bytes text)
{
    while (text.size > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && (text.data[text.size - 1] == ' ' || text.data[text.size - 1] == '\t'))
        text.size--;
    return text;
}

static int parse_header(rd_bytes line, encl_http_request *ret, rd_err *err)
{
    if (ret->headers_count == ENCL_HTTP_COUNT_MAX)
        return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "more than %d header lines", ENCL_HTTP_COUNT_MAX);
    /* RFC 9112, 5.1 and 5.2: no space before the colon, no folding. A token holds neither. */
    const uint8_t *colon = memchr(line.data, ':', line.size);
    encl_http_header header = { 0 };
    header.name = rd_bytes_of(line.data, colon == NULL ? line.size : (size_t)(colon - line.data));
    if (colon == NULL || !encl_field_is_token(header.name))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a header line is not a name, a colon and a value");
    header.value = trim(rd_bytes_of(colon + 1, line.size - header.name.size - 1));
    if (!encl_field_is_text(header.value))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a header value holds control characters");
    ret->headers[ret->headers_count++] = header;
    return 0;
}

/* Whether a comma separated list holds the word (RFC 9110, 5.6.1). */
static bool list_holds(rd_bytes list, const char *word)
{
    while (list.size > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.size);
        rd_bytes item = rd_bytes_of(list.data, comma == NULL ? list.size : (size_t)(comma - list.data));
        if (encl_field_is_named(trim(item), word))
            return true;
        size_t step = comma == NULL ? list.size : item.size + 1;
        list.data += step;
        list.size -= step;
    }
    return false;
}

typedef struct head_facts {
    bool has_host, has_length;
} head_facts;

static int read_length(const encl_http_header *header, head_facts *facts, encl_http_request *ret, rd_err *err)
{
    /* RFC 9112, 6.3: a second one, or a list, must not be mended */
    if (facts->has_length)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "Content-Length stands twice");
    facts->has_length = true;
    if (rd_parse_u64((const char *)header->value.data, header->value.size, INT64_MAX, &ret->content_length) < 0)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "Content-Length is not a number");
    return 0;
}

static int read_meaning(const encl_http_header *header, head_facts *facts, encl_http_request *ret, rd_err *err)
{
    if (encl_field_is_named(header->name, "content-length"))
        return read_length(header, facts, ret, err);
    if (encl_field_is_named(header->name, "transfer-encoding"))
        return rd_err_set(err, RD_E_HTTP_LENGTH_REQUIRED, "Transfer-Encoding is not taken");
    if (encl_field_is_named(header->name, "expect"))
        return rd_err_set(err, RD_E_HTTP_EXPECTATION, "Expect is not met");
    if (encl_field_is_named(header->name, "connection") && list_holds(header->value, "close"))
        ret->keeps_alive = false;
    if (encl_field_is_named(header->name, "host")) {
        /* RFC 9112, 3.2: exactly one Host */
        if (facts->has_host || !encl_http_is_host(header->value))
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "Host stands twice or is not a host");
        facts->has_host = true;
        ret->host = header->value;
    }
    return 0;
}

static int parse_head(rd_bytes head, encl_http_request *ret, rd_err *err)
{
    rd_bytes line;
    if (!take_line(&head, &line))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the request line does not end in CR LF");
    if (parse_line(line, ret, err) < 0)
        return -1;
    if (head.size > ENCL_HTTP_HEADERS_MAX)
        return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "headers of %zu bytes, the bound is %zu", head.size,
                          ENCL_HTTP_HEADERS_MAX);
    head_facts facts = { 0 };
    for (;;) {
        if (!take_line(&head, &line))
            return rd_err_set(err, RD_E_HTTP_SYNTAX, "a header line does not end in CR LF");
        if (line.size == 0)
            break;
        if (parse_header(line, ret, err) < 0 ||
            read_meaning(&ret->headers[ret->headers_count - 1], &facts, ret, err) < 0)
            return -1;
    }
    if (!facts.has_host)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "Host is missing");
    return 0;
}

int encl_http_parse(rd_bytes input, size_t *scanned, encl_http_request *ret, rd_err *err)
{
    if (input.size > 0 && !encl_field_is_token_char(input.data[0]))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the request does not begin with a method");
    size_t from = *scanned >= 3 ? *scanned - 3 : 0;
    const uint8_t *end = input.size < 4 ? NULL : memmem(input.data + from, input.size - from, "\r\n\r\n", 4);
    if (end == NULL) {
        *scanned = input.size;
        if (input.size <= ENCL_HTTP_LINE_MAX + 2)
            return ENCL_HTTP_MORE;
        if (memchr(input.data, '\n', ENCL_HTTP_LINE_MAX + 2) == NULL)
            return rd_err_set(err, RD_E_HTTP_TARGET_TOO_LONG, "request line longer than %zu bytes", ENCL_HTTP_LINE_MAX);
        if (input.size > ENCL_HTTP_HEAD_MAX)
            return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "head longer than %zu bytes", ENCL_HTTP_HEAD_MAX);
        return ENCL_HTTP_MORE;
    }
    /* The head without a copy of the table's 3 KiB: only counts are reset. */
    ret->headers_count = 0;
    ret->content_length = 0;
    ret->keeps_alive = true;
    ret->host = RD_BYTES_NULL;
    ret->head_size = (size_t)(end - input.data) + 4;
    return parse_head(rd_bytes_of(input.data, ret->head_size), ret, err) < 0 ? -1 : ENCL_HTTP_DONE;
}

bool encl_http_has_length(unsigned status)
{
    return status != 204 && status != 304;
}

const char *encl_http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } rows[] = {
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 409, "Conflict" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        if (rows[i].status == status)
            return rows[i].reason;
    }
    return "";
}
