#include "common/crypto/x509_der.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/text.h"

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

bool rd_der_take_whole(rd_bytes *input, uint8_t tag, rd_bytes *ret_whole, rd_bytes *ret_content)
{
    const uint8_t *start = input->data;
    if (!rd_der_take(input, tag, ret_content))
        return false;
    *ret_whole = rd_bytes_of(start, (size_t)(input->data - start));
    return true;
}

bool rd_der_is_next(rd_bytes input, uint8_t tag)
{
    return input.size > 0 && input.data[0] == tag;
}

bool rd_der_natural(rd_bytes content, rd_bytes *ret)
{
    if (content.size == 0 || (content.data[0] & 0x80))
        return false;
    bool is_padded = content.size > 1 && content.data[0] == 0;
    if (is_padded && !(content.data[1] & 0x80))
        return false;
    *ret = rd_bytes_of(content.data + is_padded, content.size - is_padded);
    return true;
}

/* X.690, 8.19: subidentifiers of seven bits a byte, the last without the high bit, none padded. */
bool rd_der_is_oid(rd_bytes content)
{
    bool is_first = true;
    for (size_t i = 0; i < content.size; i++) {
        if (is_first && content.data[i] == 0x80)
            return false;
        is_first = !(content.data[i] & 0x80);
    }
    return content.size > 0 && is_first;
}

bool rd_der_bits(rd_bytes content, unsigned *ret_unused, rd_bytes *ret)
{
    if (content.size == 0 || content.data[0] > 7 || (content.size == 1 && content.data[0] != 0))
        return false;
    *ret_unused = content.data[0];
    *ret = rd_bytes_of(content.data + 1, content.size - 1);
    return ret->size == 0 || !(ret->data[ret->size - 1] & ((1u << *ret_unused) - 1));
}

bool rd_der_take_time(rd_bytes *input, int64_t *ret_us)
{
    static const uint8_t places[] = { 2, 5, 8, 11, 14, 17 }; /* of two digits each; behind them stands the Z */
    char text[] = "20YY-MM-DDThh:mm:ssZ";
    rd_bytes content;
    bool is_long = rd_der_is_next(*input, RD_DER_TIME);
    if (!rd_der_take(input, is_long ? RD_DER_TIME : RD_DER_UTC_TIME, &content) || content.size != (is_long ? 15 : 13))
        return false;
    /* RFC 5280, 4.1.2.5.1: years of two digits from 50 on are of the last century. */
    if (is_long || content.data[0] >= '5')
        memcpy(text, is_long ? (const char *)content.data : "19", 2);
    const uint8_t *from = content.data + (is_long ? 2 : 0);
    for (size_t i = 0; i < sizeof places; i++)
        memcpy(text + places[i], from + 2 * i, 2);
    text[19] = (char)from[12];
    return rd_time_parse(text, sizeof text - 1, ret_us) == 0;
}

static size_t put_arc(unsigned long long arc, uint8_t *out, size_t room)
{
    size_t size = 1;
    for (unsigned long long rest = arc >> 7; rest; rest >>= 7)
        size++;
    for (size_t i = size; size <= room && i > 0; i--, arc >>= 7)
        out[i - 1] = (uint8_t)((arc & 0x7f) | (i < size ? 0x80 : 0));
    return size <= room ? size : 0;
}

size_t rd_der_oid_of(const char *dotted, uint8_t *out, size_t max)
{
    char *end;
    unsigned long long first = strtoull(dotted, &end, 10);
    size_t size = 0;
    for (bool is_second = true; *end == '.'; is_second = false) {
        unsigned long long arc = strtoull(end + 1, &end, 10);
        size_t more = put_arc(is_second ? first * 40 + arc : arc, out + size, max - size);
        if (more == 0)
            return 0;
        size += more;
    }
    return *end ? 0 : size;
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
