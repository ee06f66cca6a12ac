#include "common/crypto/x509_der.h"

#define DEPTH_MAX 16

/* X.690, 10.1: definite form, least number of octets. */
static bool read_length(rd_bytes in, size_t *offset, size_t *ret)
{
    if (*offset >= in.size)
        return false;
    uint8_t first = in.data[(*offset)++];
    if (first < 0x80) {
        *ret = first;
        return true;
    }
    size_t octets = first & 0x7f;
    if (octets == 0 || octets > 4 || in.size - *offset < octets)
        return false;
    size_t length = 0;
    for (size_t i = 0; i < octets; i++)
        length = length << 8 | in.data[*offset + i];
    if (length < 0x80 || in.data[*offset] == 0)
        return false;
    *offset += octets;
    *ret = length;
    return true;
}

bool rd_der_next(rd_bytes *input, uint8_t *ret_tag, rd_bytes *ret_content)
{
    rd_bytes in = *input;
    size_t offset = 1, length = 0;
    if (in.size < 2 || (in.data[0] & 0x1f) == 0x1f)
        return false;
    if (!read_length(in, &offset, &length) || length > in.size - offset)
        return false;
    *ret_tag = in.data[0];
    *ret_content = rd_bytes_of(in.data + offset, length);
    *input = rd_bytes_of(in.data + offset + length, in.size - offset - length);
    return true;
}

bool rd_der_take(rd_bytes *input, uint8_t tag, rd_bytes *ret_content)
{
    rd_bytes in = *input, content;
    uint8_t found;
    if (!rd_der_next(&in, &found, &content) || found != tag)
        return false;
    *ret_content = content;
    *input = in;
    return true;
}

bool rd_der_uint(rd_bytes content, uint32_t max, uint32_t *ret)
{
    if (content.size == 0 || content.size > 5 || (content.data[0] & 0x80))
        return false;
    if (content.size > 1 && content.data[0] == 0 && !(content.data[1] & 0x80))
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < content.size; i++)
        value = value << 8 | content.data[i];
    if (value > max)
        return false;
    *ret = (uint32_t)value;
    return true;
}

int rd_der_check(rd_bytes der, size_t element_max, rd_err *err)
{
    rd_bytes open[DEPTH_MAX];
    size_t depth = 0, elements = 0;
    open[depth++] = der;
    while (depth > 0) {
        rd_bytes *top = &open[depth - 1];
        if (top->size == 0) {
            depth--;
            continue;
        }
        uint8_t tag;
        rd_bytes content;
        if (!rd_der_next(top, &tag, &content))
            return rd_err_set(err, RD_E_X509_FORMAT, "not DER: bad tag or length");
        if (depth == 1 && top->size != 0)
            return rd_err_set(err, RD_E_X509_FORMAT, "%zu bytes beyond the end", top->size);
        if (++elements > element_max)
            return rd_err_set(err, RD_E_X509_DER_LIMIT, "more than %zu elements", element_max);
        if (!(tag & 0x20) || content.size == 0)
            continue;
        if (depth == DEPTH_MAX)
            return rd_err_set(err, RD_E_X509_DER_LIMIT, "nested deeper than %d", DEPTH_MAX);
        open[depth++] = content;
    }
    if (elements == 0)
        return rd_err_set(err, RD_E_X509_FORMAT, "empty");
    return 0;
}
