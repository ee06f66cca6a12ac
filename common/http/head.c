#include "common/http/head.h"

#include <string.h>
#include <strings.h>

#include "common/base/text.h"
#include "common/http/field.h"

#define METHOD_MAX 32

/* RFC 9112, 3.2.1: origin form. Only visible ASCII, no fragment. */
bool rd_http_is_target(rd_bytes text)
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
bool rd_http_is_host(rd_bytes text)
{
    static const bool is_part[256] = {
        ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true, ['.'] = true,
        ['_'] = true,         [':'] = true,         ['['] = true,         [']'] = true,
    };
    for (size_t i = 0; i < text.size; i++) {
        if (!is_part[text.data[i]])
            return false;
    }
    return text.size <= 255;
}

const rd_http_header *rd_http_head_find(const rd_http_head *request, const char *name)
{
    for (size_t i = 0; i < request->headers_count; i++) {
        if (rd_http_is_named(request->headers[i].name, name))
            return &request->headers[i];
    }
    return NULL;
}

bool rd_http_is_of_connection(rd_bytes name)
{
    static const rd_bytes names[] = {
        RD_BYTES_LIT("connection"),
        RD_BYTES_LIT("content-length"),
        RD_BYTES_LIT("keep-alive"),
        RD_BYTES_LIT("te"),
        RD_BYTES_LIT("proxy-connection"),
        RD_BYTES_LIT("trailer"),
        RD_BYTES_LIT("upgrade"),
        RD_BYTES_LIT("transfer-encoding"),
        RD_BYTES_LIT("proxy-authenticate"),
        RD_BYTES_LIT("proxy-authorization"),
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(names); i++) {
        if (name.size == names[i].size &&
            strncasecmp((const char *)name.data, (const char *)names[i].data, name.size) == 0)
            return true;
    }
    return false;
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

/* RFC 9112, 3.2.2: scheme and authority are taken off a target in absolute form. An empty path is "/" (RFC
 * 9110, 4.2.3); *ret stays empty for a target in another form. */
static void take_authority(rd_bytes *target, rd_bytes *ret)
{
    static const rd_bytes schemes[] = { RD_BYTES_LIT("http://"), RD_BYTES_LIT("https://") };
    for (size_t i = 0; i < RD_ARRAY_LEN(schemes); i++) {
        size_t size = schemes[i].size;
        if (target->size <= size || strncasecmp((const char *)target->data, (const char *)schemes[i].data, size) != 0)
            continue;
        const uint8_t *path = memchr(target->data + size, '/', target->size - size);
        size_t end = path == NULL ? target->size : (size_t)(path - target->data);
        if (end == size)
            return; /* RFC 9110, 4.2.1: a host that is empty is none */
        *ret = rd_bytes_of(target->data + size, end - size);
        *target = path == NULL ? RD_BYTES_LIT("/") : rd_bytes_of(path, target->size - end);
        return;
    }
}

/* RFC 9112, 3: method SP request-target SP HTTP-version, single spaces */
static int parse_line(rd_bytes line, unsigned takes, rd_bytes *authority, rd_http_head *ret, rd_err *err)
{
    if (line.size > RD_HTTP_LINE_MAX)
        return rd_err_set(err, RD_E_HTTP_TARGET_TOO_LONG, "request line of %zu bytes, the bound is %zu", line.size,
                          RD_HTTP_LINE_MAX);
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
    if (!rd_http_is_token(ret->method) || ret->method.size > METHOD_MAX)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the method is not a token of at most %d bytes", METHOD_MAX);
    take_authority(&ret->target, authority);
    if (!rd_http_is_target(ret->target))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the target is in neither origin nor absolute form");
    ret->is_old = takes & RD_HTTP_TAKES_OLD && rd_bytes_equal(version, RD_BYTES_LIT("HTTP/1.0"));
    ret->keeps_alive = !ret->is_old;
    if (ret->is_old || rd_bytes_equal(version, RD_BYTES_LIT("HTTP/1.1")))
        return 0;
    if (version.size == 8 && memcmp(version.data, "HTTP/", 5) == 0)
        return rd_err_set(err, RD_E_HTTP_VERSION, "this version is not spoken here");
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

static int parse_header(rd_bytes line, rd_http_head *ret, rd_err *err)
{
    if (ret->headers_count == RD_HTTP_COUNT_MAX)
        return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "more than %d header lines", RD_HTTP_COUNT_MAX);
    /* RFC 9112, 5.1 and 5.2: no space before the colon, no folding. A token holds neither. */
    const uint8_t *colon = memchr(line.data, ':', line.size);
    rd_http_header header = { 0 };
    header.name = rd_bytes_of(line.data, colon == NULL ? line.size : (size_t)(colon - line.data));
    if (colon == NULL || !rd_http_is_token(header.name))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a header line is not a name, a colon and a value");
    header.value = trim(rd_bytes_of(colon + 1, line.size - header.name.size - 1));
    if (!rd_http_is_text(header.value))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a header value holds control characters");
    ret->headers[ret->headers_count++] = header;
    return 0;
}

bool rd_http_list_holds(rd_bytes list, const char *word)
{
    while (list.size > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.size);
        rd_bytes item = rd_bytes_of(list.data, comma == NULL ? list.size : (size_t)(comma - list.data));
        if (rd_http_is_named(trim(item), word))
            return true;
        size_t step = comma == NULL ? list.size : item.size + 1;
        list.data += step;
        list.size -= step;
    }
    return false;
}

typedef struct head_facts {
    unsigned takes;
    bool has_host, has_length;
} head_facts;

static int read_length(const rd_http_header *header, head_facts *facts, rd_http_head *ret, rd_err *err)
{
    /* RFC 9112, 6.3: a second one, or a list, must not be mended */
    if (facts->has_length)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "Content-Length stands twice");
    facts->has_length = true;
    if (rd_parse_u64((const char *)header->value.data, header->value.size, INT64_MAX, &ret->content_length) < 0)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "Content-Length is not a number");
    return 0;
}

/* RFC 9112, 6.1: chunked alone and once; HTTP/1.0 knows nothing of it, and whoever stands between may not either. */
static int read_encoding(const rd_http_header *header, const head_facts *facts, rd_http_head *ret, rd_err *err)
{
    if (!(facts->takes & RD_HTTP_TAKES_CHUNKS))
        return rd_err_set(err, RD_E_HTTP_LENGTH_REQUIRED, "Transfer-Encoding is not taken");
    if (ret->is_chunked || ret->is_old || !rd_http_is_named(header->value, "chunked"))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "a Transfer-Encoding that is not chunked alone, once, of HTTP/1.1");
    ret->is_chunked = true;
    return 0;
}

/* RFC 9110, 10.1.1: HTTP/1.0 does not wait, so that it asks for nothing. */
static int read_expectation(const rd_http_header *header, const head_facts *facts, rd_http_head *ret, rd_err *err)
{
    if (!(facts->takes & RD_HTTP_TAKES_EXPECT) || !rd_http_is_named(header->value, "100-continue"))
        return rd_err_set(err, RD_E_HTTP_EXPECTATION, "Expect is not met");
    ret->expects_continue = !ret->is_old;
    return 0;
}

/* RFC 9112, 3.2: exactly one Host */
static int read_host(const rd_http_header *header, head_facts *facts, rd_http_head *ret, rd_err *err)
{
    if (facts->has_host || !rd_http_is_host(header->value))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "Host stands twice or is not a host");
    facts->has_host = true;
    ret->host = header->value;
    return 0;
}

static void read_connection(const rd_http_header *header, rd_http_head *ret)
{
    if (rd_http_list_holds(header->value, "close"))
        ret->closes = true;
    else if (ret->is_old && rd_http_list_holds(header->value, "keep-alive"))
        ret->keeps_alive = true;
}

static int read_meaning(const rd_http_header *header, head_facts *facts, rd_http_head *ret, rd_err *err)
{
    if (rd_http_is_named(header->name, "content-length"))
        return read_length(header, facts, ret, err);
    if (rd_http_is_named(header->name, "transfer-encoding"))
        return read_encoding(header, facts, ret, err);
    if (rd_http_is_named(header->name, "expect"))
        return read_expectation(header, facts, ret, err);
    if (rd_http_is_named(header->name, "host"))
        return read_host(header, facts, ret, err);
    if (rd_http_is_named(header->name, "connection"))
        read_connection(header, ret);
    return 0;
}

static int parse_head(rd_bytes head, unsigned takes, rd_http_head *ret, rd_err *err)
{
    rd_bytes line, authority = RD_BYTES_NULL;
    if (!take_line(&head, &line))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the request line does not end in CR LF");
    if (parse_line(line, takes, &authority, ret, err) < 0)
        return -1;
    if (head.size > RD_HTTP_HEADERS_MAX)
        return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "headers of %zu bytes, the bound is %zu", head.size,
                          RD_HTTP_HEADERS_MAX);
    head_facts facts = { .takes = takes };
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
    /* RFC 9112, 3.2: who sends an authority sends the same Host; two that differ are two hosts for two readers */
    if (authority.size > 0 &&
        (authority.size != ret->host.size ||
         strncasecmp((const char *)authority.data, (const char *)ret->host.data, authority.size) != 0))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the target names another host than Host");
    /* RFC 9112, 6.3: two that frame one body is how requests are smuggled */
    if (facts.has_length && ret->is_chunked)
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "Content-Length and Transfer-Encoding");
    ret->keeps_alive = ret->keeps_alive && !ret->closes;
    return 0;
}

int rd_http_head_parse(rd_bytes input, unsigned takes, size_t *scanned, rd_http_head *ret, rd_err *err)
{
    if (input.size > 0 && !rd_http_is_token_char(input.data[0]))
        return rd_err_set(err, RD_E_HTTP_SYNTAX, "the request does not begin with a method");
    size_t from = *scanned >= 3 ? *scanned - 3 : 0;
    const uint8_t *end = input.size < 4 ? NULL : memmem(input.data + from, input.size - from, "\r\n\r\n", 4);
    if (end == NULL) {
        *scanned = input.size;
        if (input.size <= RD_HTTP_LINE_MAX + 2)
            return RD_HTTP_MORE;
        if (memchr(input.data, '\n', RD_HTTP_LINE_MAX + 2) == NULL)
            return rd_err_set(err, RD_E_HTTP_TARGET_TOO_LONG, "request line longer than %zu bytes", RD_HTTP_LINE_MAX);
        if (input.size > RD_HTTP_HEAD_MAX)
            return rd_err_set(err, RD_E_HTTP_HEADERS_TOO_LARGE, "head longer than %zu bytes", RD_HTTP_HEAD_MAX);
        return RD_HTTP_MORE;
    }
    /* The head without a copy of the table's 3 KiB: only counts are reset. */
    ret->headers_count = 0;
    ret->content_length = 0;
    ret->is_chunked = ret->expects_continue = ret->closes = false;
    ret->host = RD_BYTES_NULL;
    ret->head_size = (size_t)(end - input.data) + 4;
    return parse_head(rd_bytes_of(input.data, ret->head_size), takes, ret, err) < 0 ? -1 : RD_HTTP_DONE;
}

bool rd_http_has_length(unsigned status)
{
    return status != 204 && status != 304;
}

const char *rd_http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } rows[] = {
        { 101, "Switching Protocols" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 203, "Non-Authoritative Information" },
        { 204, "No Content" },
        { 205, "Reset Content" },
        { 206, "Partial Content" },
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
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 428, "Precondition Required" },
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
