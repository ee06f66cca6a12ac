#include "fetch/headers.h"

#include <string.h>
#include <strings.h>

#include "common/crypto/x509.h"

static bool is_named(rd_bytes line, size_t colon, const char *name)
{
    return strlen(name) == colon && strncasecmp((const char *)line.data, name, colon) == 0;
}

static rd_bytes value_of(rd_bytes line, size_t colon)
{
    size_t from = colon + 1, to = line.size;
    while (from < to && (line.data[from] == ' ' || line.data[from] == '\t'))
        from++;
    while (to > from && (line.data[to - 1] == ' ' || line.data[to - 1] == '\t'))
        to--;
    return rd_bytes_of(line.data + from, to - from);
}

bool fetch_header_is_sendable(rd_bytes value)
{
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] < 0x20 || value.data[i] > 0x7e)
            return false;
    return true;
}

/* A validator that cannot be sent back as it is counts as none. */
static void keep(rd_bytes value, char *out, size_t size)
{
    out[0] = 0;
    if (value.size >= size || !fetch_header_is_sendable(value))
        return;
    memcpy(out, value.data, value.size);
    out[value.size] = 0;
}

static void start_over(fetch_headers *headers)
{
    rd_buf_clear(&headers->chain);
    headers->etag[0] = headers->last_modified[0] = 0;
}

static int keep_chain(fetch_headers *headers, rd_bytes value, rd_err *err)
{
    if (headers->chain.size > 0)
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "the header %s twice", headers->chain_name);
    if (value.size > FETCH_CHAIN_SIZE_MAX || !fetch_header_is_sendable(value))
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "the header %s is malformed or too long", headers->chain_name);
    rd_buf_append_bytes(&headers->chain, value);
    return 0;
}

int fetch_headers_take(fetch_headers *headers, rd_bytes line, rd_err *err)
{
    headers->size += line.size;
    if (headers->size > FETCH_HEADERS_SIZE_MAX)
        return rd_err_set(err, RD_E_COLLATERAL_FETCH, "headers of more than %zu bytes", FETCH_HEADERS_SIZE_MAX);
    while (line.size > 0 && (line.data[line.size - 1] == '\n' || line.data[line.size - 1] == '\r'))
        line.size--;
    if (line.size >= 5 && memcmp(line.data, "HTTP/", 5) == 0)
        start_over(headers);
    const uint8_t *colon = line.size ? memchr(line.data, ':', line.size) : NULL;
    if (!colon)
        return 0;
    size_t at = (size_t)(colon - line.data);
    rd_bytes value = value_of(line, at);
    if (is_named(line, at, "etag"))
        keep(value, headers->etag, sizeof headers->etag);
    else if (is_named(line, at, "last-modified"))
        keep(value, headers->last_modified, sizeof headers->last_modified);
    else if (headers->chain_name && is_named(line, at, headers->chain_name))
        return keep_chain(headers, value, err);
    return 0;
}

void fetch_headers_done(fetch_headers *headers)
{
    rd_buf_done(&headers->chain);
}

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode(rd_bytes value, rd_buf *out, rd_err *err)
{
    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if (c == '%') {
            int high = value.size - i > 2 ? hex_of(value.data[i + 1]) : -1;
            int low = high >= 0 ? hex_of(value.data[i + 2]) : -1;
            if (low < 0)
                return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "issuer chain: a broken escape at %zu", i);
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        if ((c < 0x20 && c != '\n' && c != '\r') || c > 0x7e)
            return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "issuer chain: byte 0x%02x", c);
        rd_buf_append_u8(out, c);
    }
    return 0;
}

int fetch_chain_decode(rd_bytes value, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf pem = { 0 };
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    rd_err why = RD_ERR_INIT;
    if (value.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "no issuer chain in the answer");
    if (value.size > FETCH_CHAIN_SIZE_MAX)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "issuer chain of %zu bytes", value.size);
    if (decode(value, &pem, err) < 0)
        return -1;
    if (rd_certs_parse_pem(rd_buf_bytes(&pem), 3, &certs, &why) < 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "issuer chain: %s", why.text);
    rd_buf_append_bytes(out, rd_buf_bytes(&pem));
    return 0;
}
