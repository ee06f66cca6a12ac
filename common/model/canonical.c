#include "common/model/canonical.h"

#include "common/base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 8785, 3.2.2.2: the short escapes, \u00xx for the other controls, and everything else as it is. */
static size_t escape(uint8_t c, char out[7])
{
    static const char short_names[] = "\bb\tt\nn\ff\rr\"\"\\\\";
    if (c >= 0x20 && c != '"' && c != '\\')
        return 0;
    for (const char *at = short_names; *at; at += 2) {
        if ((uint8_t)*at == c) {
            out[0] = '\\';
            out[1] = at[1];
            return 2;
        }
    }
    return (size_t)snprintf(out, 7, "\\u%04x", c);
}

bool rd_canonical_put_string(rd_buf *out, rd_bytes text)
{
    (void)rd_buf_append_u8(out, '"');
    size_t start = 0;
    for (size_t i = 0; i < text.size; i++) {
        char escaped[7];
        size_t escaped_size = escape(text.data[i], escaped);
        if (!escaped_size)
            continue;
        (void)rd_buf_append(out, text.data + start, i - start);
        (void)rd_buf_append(out, escaped, escaped_size);
        start = i + 1;
    }
    if (text.size > start)
        (void)rd_buf_append(out, text.data + start, text.size - start);
    return rd_buf_append_u8(out, '"');
}

bool rd_canonical_put_int(rd_buf *out, int64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        digits[--at] = '-';
    return rd_buf_append(out, digits + at, sizeof digits - at);
}

/* value's digits, rounded to one more than precision, as an integer, and the exponent of the first of them. */
static uint64_t rounded_digits(double value, int precision, int *ret_exponent)
{
    char text[40];
    uint64_t digits = 0;
    (void)snprintf(text, sizeof text, "%.*e", precision, value);
    const char *at = text;
    for (; *at != 'e'; at++)
        if (*at != '.')
            digits = digits * 10 + (uint64_t)(*at - '0');
    *ret_exponent = atoi(at + 1);
    return digits;
}

static bool reads_back(uint64_t digits, int exponent, double value)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%" PRIu64 "e%d", digits, exponent);
    return strtod(text, NULL) == value;
}

/* The fewest significant digits that read back as value (> 0): digits without a point, and the exponent of the first.
 */
static int shortest_digits(double value, char out[24], int *ret_exponent)
{
    uint64_t digits = 0;
    for (int precision = 0; precision <= 16; precision++) {
        digits = rounded_digits(value, precision, ret_exponent);
        if (reads_back(digits, *ret_exponent - precision, value))
            break;
        /* Above a power of two doubles lie twice as far apart as below: the next digit up may read back where the
         * nearer one down does not. */
        if (reads_back(digits + 1, *ret_exponent - precision, value)) {
            digits++;
            break;
        }
    }
    int count = snprintf(out, 24, "%" PRIu64, digits);
    while (count > 1 && out[count - 1] == '0')
        count--;
    return count;
}

/* ECMA-262, Number::toString, steps 6 to 10, with n = exponent + 1. */
static bool put_decimal(rd_buf *out, const char *digits, int count, int exponent)
{
    static const char zeros[] = "000000000000000000000";
    size_t size = (size_t)count;
    int n = exponent + 1;
    if (n >= count && n <= 21) {
        (void)rd_buf_append(out, digits, size);
        return rd_buf_append(out, zeros, (size_t)(n - count));
    }
    if (n > 0 && n <= 21) {
        (void)rd_buf_append(out, digits, (size_t)n);
        (void)rd_buf_append_u8(out, '.');
        return rd_buf_append(out, digits + n, size - (size_t)n);
    }
    if (n > -6 && n <= 0) {
        (void)rd_buf_append_str(out, "0.");
        (void)rd_buf_append(out, zeros, (size_t)-n);
        return rd_buf_append(out, digits, size);
    }
    (void)rd_buf_append(out, digits, 1);
    if (count > 1) {
        (void)rd_buf_append_u8(out, '.');
        (void)rd_buf_append(out, digits + 1, size - 1);
    }
    return rd_buf_printf(out, "e%c%d", n > 0 ? '+' : '-', abs(exponent));
}

bool rd_canonical_put_double(rd_buf *out, double value)
{
    if (!isfinite(value))
        return false;
    if (value == 0)
        return rd_buf_append_u8(out, '0'); /* also for -0 */
    if (value < 0)
        (void)rd_buf_append_u8(out, '-');
    char digits[24];
    int exponent;
    int count = shortest_digits(fabs(value), digits, &exponent);
    return put_decimal(out, digits, count, exponent);
}

/* RFC 8785, 3.2.3: order of UTF-16 units. It differs from the order of UTF-8 bytes in one way alone: characters beyond
 * the basic plane (lead byte F0 and up) stand as surrogates, before U+E000..U+FFFF (lead bytes EE and EF). */
static int compare_names(const void *left, const void *right)
{
    const uint8_t *a = *(const uint8_t *const *)left;
    const uint8_t *b = *(const uint8_t *const *)right;
    while (*a && *a == *b) {
        a++;
        b++;
    }
    bool a_is_beyond = *a >= 0xf0;
    bool b_is_beyond = *b >= 0xf0;
    if (a_is_beyond != b_is_beyond && *a >= 0xee && *b >= 0xee)
        return a_is_beyond ? -1 : 1;
    return *a - *b;
}

static int write_value(const json_t *value, unsigned depth, rd_buf *out, rd_err *err);

static int write_object(const json_t *object, unsigned depth, rd_buf *out, rd_err *err)
{
    size_t count = 0;
    const char *name;
    json_t *value;
    RD_CLEANUP(rd_free_p) const char **names = rd_alloc_array(json_object_size(object), sizeof *names);
    json_object_foreach((json_t *)object, name, value) names[count++] = name;
    qsort(names, count, sizeof *names, compare_names);
    (void)rd_buf_append_u8(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            (void)rd_buf_append_u8(out, ',');
        (void)rd_canonical_put_string(out, rd_bytes_str(names[i]));
        (void)rd_buf_append_u8(out, ':');
        if (write_value(json_object_get(object, names[i]), depth, out, err) < 0)
            return -1;
    }
    (void)rd_buf_append_u8(out, '}');
    return 0;
}

static int write_array(const json_t *array, unsigned depth, rd_buf *out, rd_err *err)
{
    (void)rd_buf_append_u8(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0)
            (void)rd_buf_append_u8(out, ',');
        if (write_value(json_array_get(array, i), depth, out, err) < 0)
            return -1;
    }
    (void)rd_buf_append_u8(out, ']');
    return 0;
}

static int write_value(const json_t *value, unsigned depth, rd_buf *out, rd_err *err)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        if (depth == RD_JSON_DEPTH_MAX)
            return rd_err_set(err, RD_E_JSON_DEPTH, "JSON: more than %d levels", RD_JSON_DEPTH_MAX);
        return json_is_object(value) ? write_object(value, depth + 1, out, err)
                                     : write_array(value, depth + 1, out, err);
    case JSON_STRING:
        (void)rd_canonical_put_string(out, rd_bytes_of(json_string_value(value), json_string_length(value)));
        return 0;
    case JSON_INTEGER:
        (void)rd_canonical_put_int(out, json_integer_value(value));
        return 0;
    case JSON_REAL:
        if (!rd_canonical_put_double(out, json_real_value(value)))
            return rd_err_set(err, RD_E_JSON_RANGE, "JSON: a number without a value");
        return 0;
    case JSON_TRUE:
        (void)rd_buf_append_str(out, "true");
        return 0;
    case JSON_FALSE:
        (void)rd_buf_append_str(out, "false");
        return 0;
    default:
        (void)rd_buf_append_str(out, "null");
        return 0;
    }
}

int rd_canonical_write(const json_t *value, rd_buf *out, rd_err *err)
{
    if (write_value(value, 0, out, err) < 0)
        return -1;
    if (out->has_failed)
        return rd_err_set(err, RD_E_TOO_LARGE, "JSON: too long for its place");
    return 0;
}

int rd_canonical_check(rd_bytes bytes, json_t **ret, rd_err *err)
{
    static const rd_json_limits signed_limits = { .integers_only = true };
    RD_CLEANUP(rd_json_free_p) json_t *value = NULL;
    if (rd_json_parse(bytes, &signed_limits, &value, err) < 0)
        return -1;
    RD_CLEANUP(rd_buf_done) rd_buf again = { 0 };
    if (rd_canonical_write(value, &again, err) < 0)
        return -1;
    if (!rd_bytes_equal(rd_buf_bytes(&again), bytes))
        return rd_err_set(err, RD_E_NOT_CANONICAL, "the document is not in its RFC 8785 form");
    if (ret)
        *ret = RD_TAKE(value);
    return 0;
}

int rd_canonical_load(rd_bytes bytes, const rd_json_field *fields, void *into, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *value = NULL;
    if (rd_canonical_check(bytes, &value, err) < 0)
        return -1;
    return rd_json_read(value, fields, RD_UNKNOWN_REFUSED, "", into, err);
}

int rd_document_load(rd_bytes bytes, const char *type, const rd_json_field *fields, void *into, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *value = NULL;
    if (rd_canonical_check(bytes, &value, err) < 0)
        return -1;
    const char *found = json_string_value(json_object_get(value, "type"));
    if (found && strcmp(found, type) != 0) {
        (void)rd_err_set(err, RD_E_PURPOSE, "a document of another type than %s", type);
        return rd_err_at(err, "/type");
    }
    return rd_json_read(value, fields, RD_UNKNOWN_REFUSED, "", into, err);
}
