#include "common/base/text.h"

#include <string.h>

#define TIME_MAX_US INT64_C(253402300799999999) /* 9999-12-31T23:59:59.999999Z */

static const char hex_digits[] = "0123456789abcdef";
static const char base32_alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void rd_hex_encode(rd_bytes bytes, char *out)
{
    for (size_t i = 0; i < bytes.size; i++) {
        *out++ = hex_digits[bytes.data[i] >> 4];
        *out++ = hex_digits[bytes.data[i] & 15];
    }
    *out = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int rd_hex_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size)
{
    if (text_size != out_size * 2)
        return -1;
    for (size_t i = 0; i < out_size; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* Writes groups of `bits` bits, most significant first, with the last group filled by zeros. */
static char *encode_groups(rd_bytes bytes, unsigned bits, const char *alphabet, char *out)
{
    uint32_t pending = 0;
    unsigned pending_bits = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        pending = pending << 8 | bytes.data[i];
        pending_bits += 8;
        while (pending_bits >= bits) {
            pending_bits -= bits;
            *out++ = alphabet[pending >> pending_bits & ((1u << bits) - 1)];
        }
        pending &= (1u << pending_bits) - 1;
    }
    if (pending_bits)
        *out++ = alphabet[pending << (bits - pending_bits) & ((1u << bits) - 1)];
    return out;
}

/* Base64: three bytes are four digits; the rest as any. */
static char *encode_base64(rd_bytes bytes, const char *alphabet, char *out)
{
    for (; bytes.size >= 3; bytes.data += 3, bytes.size -= 3) {
        uint32_t group = (uint32_t)bytes.data[0] << 16 | (uint32_t)bytes.data[1] << 8 | bytes.data[2];
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = alphabet[group >> 6 & 63];
        *out++ = alphabet[group & 63];
    }
    return encode_groups(bytes, 6, alphabet, out);
}

#define NO_DIGIT 0x80u /* a bit that no digit's value has */

typedef struct digit_table {
    uint8_t values[256];
} digit_table;

static void fill_digits(digit_table *digits, unsigned bits, const char *alphabet)
{
    memset(digits->values, NO_DIGIT, sizeof digits->values);
    for (unsigned i = 0; i < 1u << bits; i++)
        digits->values[(uint8_t)alphabet[i]] = (uint8_t)i;
}

static ssize_t decode_groups(const char *text, size_t text_size, unsigned bits, const digit_table *digits, uint8_t *out,
                             size_t out_max)
{
    uint32_t pending = 0;
    unsigned pending_bits = 0;
    size_t used = 0;
    for (size_t i = 0; i < text_size; i++) {
        uint8_t value = digits->values[(uint8_t)text[i]];
        if (value & NO_DIGIT)
            return -1;
        pending = pending << bits | value;
        pending_bits += bits;
        if (pending_bits < 8)
            continue;
        pending_bits -= 8;
        if (used == out_max)
            return -1;
        out[used++] = (uint8_t)(pending >> pending_bits);
        pending &= (1u << pending_bits) - 1;
    }
    if (pending_bits >= bits || pending != 0)
        return -1;
    return (ssize_t)used;
}

static ssize_t decode_base64(const char *text, size_t text_size, const char *alphabet, uint8_t *out, size_t out_max)
{
    digit_table digits;
    size_t used = 0;
    fill_digits(&digits, 6, alphabet);
    for (; text_size >= 4 && out_max - used >= 3; text += 4, text_size -= 4) {
        uint32_t a = digits.values[(uint8_t)text[0]], b = digits.values[(uint8_t)text[1]];
        uint32_t c = digits.values[(uint8_t)text[2]], d = digits.values[(uint8_t)text[3]];
        if ((a | b | c | d) & NO_DIGIT)
            return -1;
        out[used++] = (uint8_t)(a << 2 | b >> 4);
        out[used++] = (uint8_t)(b << 4 | c >> 2);
        out[used++] = (uint8_t)(c << 6 | d);
    }
    ssize_t rest = decode_groups(text, text_size, 6, &digits, out + used, out_max - used);
    return rest < 0 ? -1 : (ssize_t)used + rest;
}

size_t rd_base32_size(size_t size)
{
    return (size * 8 + 4) / 5;
}

void rd_base32_encode(rd_bytes bytes, char *out)
{
    *encode_groups(bytes, 5, base32_alphabet, out) = '\0';
}

int rd_base32_decode(const char *text, size_t text_size, uint8_t *out, size_t out_size)
{
    if (text_size != rd_base32_size(out_size))
        return -1;
    digit_table digits;
    fill_digits(&digits, 5, base32_alphabet);
    return decode_groups(text, text_size, 5, &digits, out, out_size) == (ssize_t)out_size ? 0 : -1;
}

size_t rd_base64url_size(size_t size)
{
    return (size * 8 + 5) / 6;
}

void rd_base64url_encode(rd_bytes bytes, char *out)
{
    *encode_base64(bytes, base64url_alphabet, out) = '\0';
}

bool rd_buf_append_base64url(rd_buf *buf, rd_bytes bytes)
{
    size_t size = rd_base64url_size(bytes.size);
    uint8_t *room = rd_buf_reserve(buf, size);
    if (!room)
        return false;
    (void)encode_base64(bytes, base64url_alphabet, (char *)room);
    rd_buf_commit(buf, size);
    return true;
}

ssize_t rd_base64url_decode(const char *text, size_t text_size, uint8_t *out, size_t out_max)
{
    return decode_base64(text, text_size, base64url_alphabet, out, out_max);
}

bool rd_buf_append_base64(rd_buf *buf, rd_bytes bytes)
{
    size_t size = (bytes.size + 2) / 3 * 4;
    uint8_t *room = rd_buf_reserve(buf, size);
    if (!room)
        return false;
    char *end = encode_base64(bytes, base64_alphabet, (char *)room);
    while (end < (char *)room + size)
        *end++ = '=';
    rd_buf_commit(buf, size);
    return true;
}

ssize_t rd_base64_decode(const char *text, size_t text_size, uint8_t *out, size_t out_max)
{
    if (text_size % 4 != 0)
        return -1;
    for (int i = 0; i < 2 && text_size > 0 && text[text_size - 1] == '='; i++)
        text_size--;
    return decode_base64(text, text_size, base64_alphabet, out, out_max);
}

/* Days since 1970-01-01 of a proleptic Gregorian date, and back (Hinnant's civil calendar arithmetic). */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = days / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = (int64_t)year_of_era + era * 400 + (*month <= 2);
}

static char *put_digits(char *out, unsigned value, size_t width, char after)
{
    for (size_t i = width; i-- > 0; value /= 10)
        out[i] = (char)('0' + value % 10);
    out[width] = after;
    return out + width + 1;
}

void rd_time_format(int64_t time_us, char out[RD_TIME_TEXT_SIZE])
{
    time_us = RD_MAX(INT64_C(0), RD_MIN(time_us, TIME_MAX_US));
    int64_t seconds = time_us / 1000000;
    int64_t year;
    unsigned month;
    unsigned day;
    civil_from_days(seconds / 86400, &year, &month, &day);
    unsigned second_of_day = (unsigned)(seconds % 86400);
    out = put_digits(out, (unsigned)year, 4, '-');
    out = put_digits(out, month, 2, '-');
    out = put_digits(out, day, 2, 'T');
    out = put_digits(out, second_of_day / 3600, 2, ':');
    out = put_digits(out, second_of_day / 60 % 60, 2, ':');
    out = put_digits(out, second_of_day % 60, 2, '.');
    out = put_digits(out, (unsigned)(time_us % 1000000), 6, 'Z');
    *out = '\0';
}

static int read_digits(const char *text, size_t count, unsigned *ret)
{
    unsigned value = 0;
    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *ret = value;
    return 0;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap ? 1 : 0);
}

/* The fraction and the Z after the seconds. */
static int parse_fraction(const char *text, size_t text_size, int64_t *ret_us)
{
    int64_t fraction = 0;
    size_t at = 0;
    if (text_size > 1 && text[0] == '.') {
        int64_t weight = 100000;
        for (at = 1; at < text_size && text[at] >= '0' && text[at] <= '9'; at++, weight /= 10)
            fraction += weight * (text[at] - '0');
        if (at == 1 || at > 10)
            return -1;
    }
    *ret_us = fraction;
    return at + 1 == text_size && text[at] == 'Z' ? 0 : -1;
}

int rd_time_parse(const char *text, size_t text_size, int64_t *ret_us)
{
    unsigned year, month, day, hour, minute, second;
    int64_t fraction;
    if (text_size < 20 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':')
        return -1;
    if (read_digits(text, 4, &year) < 0 || read_digits(text + 5, 2, &month) < 0 || read_digits(text + 8, 2, &day) < 0)
        return -1;
    if (read_digits(text + 11, 2, &hour) < 0 || read_digits(text + 14, 2, &minute) < 0 ||
        read_digits(text + 17, 2, &second) < 0)
        return -1;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return -1;
    if (hour > 23 || minute > 59 || second > 59 || parse_fraction(text + 19, text_size - 19, &fraction) < 0)
        return -1;
    *ret_us = (days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second) * 1000000 + fraction;
    return 0;
}

bool rd_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

int rd_parse_u64(const char *text, size_t text_size, uint64_t max, uint64_t *ret)
{
    if (text_size == 0 || text_size > 20 || (text_size > 1 && text[0] == '0'))
        return -1;
    uint64_t value = 0;
    for (size_t i = 0; i < text_size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return -1;
    }
    if (value > max)
        return -1;
    *ret = value;
    return 0;
}

bool rd_is_utf8(rd_bytes bytes)
{
    for (size_t i = 0; i < bytes.size;) {
        uint64_t eight = UINT64_C(0x8080808080808080);
        if (bytes.size - i >= sizeof eight)
            memcpy(&eight, bytes.data + i, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) == 0) {
            i += sizeof eight;
            continue;
        }
        uint8_t lead = bytes.data[i++];
        if (lead < 0x80)
            continue;
        size_t more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        if (lead < 0xc2 || lead > 0xf4 || more > bytes.size - i)
            return false;
        uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
        uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
        if (bytes.data[i] < low || bytes.data[i] > high)
            return false;
        for (size_t k = 1; k < more; k++)
            if ((bytes.data[i + k] & 0xc0) != 0x80)
                return false;
        i += more;
    }
    return true;
}
