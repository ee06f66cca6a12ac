#include "common/model/json.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define POINTER_SIZE sizeof(((rd_err *)0)->pointer)

/* Sets code and sentence, and where the offender stands. */
#define refuse(err, pointer, code, ...) (rd_err_set((err), (code), __VA_ARGS__), rd_err_at((err), (pointer)))

/* RFC 6901, 3: '~' and '/' in a name are written ~0 and ~1. Long pointers are cut. */
static void extend_pointer(char out[POINTER_SIZE], const char *pointer, const char *name)
{
    int used = snprintf(out, POINTER_SIZE, "%s/", pointer);
    size_t at = RD_MIN((size_t)used, POINTER_SIZE - 1);
    for (; *name && at + 2 < POINTER_SIZE; name++) {
        if (*name == '~' || *name == '/') {
            out[at++] = '~';
            out[at++] = *name == '~' ? '0' : '1';
        } else {
            out[at++] = *name;
        }
    }
    out[at] = '\0';
}

static int want_string(const json_t *value, const char *pointer, rd_bytes *ret, rd_err *err)
{
    if (!json_is_string(value))
        return refuse(err, pointer, RD_E_JSON_TYPE, "a string is needed");
    *ret = rd_bytes_of(json_string_value(value), json_string_length(value));
    return 0;
}

static int want_integer(const json_t *value, const char *pointer, int64_t min, int64_t max, int64_t *ret, rd_err *err)
{
    if (!json_is_integer(value))
        return refuse(err, pointer, RD_E_JSON_TYPE, "an integer is needed");
    int64_t number = json_integer_value(value);
    if (number < min || number > max)
        return refuse(err, pointer, RD_E_JSON_RANGE, "%" PRId64 " is outside %" PRId64 "..%" PRId64, number, min, max);
    *ret = number;
    return 0;
}

static int want_sized_string(const json_t *value, const rd_json_field *field, const char *pointer, rd_bytes *ret,
                             rd_err *err)
{
    if (want_string(value, pointer, ret, err) < 0)
        return -1;
    if ((int64_t)ret->size < field->min || (int64_t)ret->size > field->max)
        return refuse(err, pointer, RD_E_JSON_RANGE, "%zu bytes of text, not %" PRId64 "..%" PRId64, ret->size,
                      field->min, field->max);
    return 0;
}

int rd_json_digest(const json_t *value, const char *pointer, rd_digest *ret, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    if (rd_digest_parse((const char *)text.data, text.size, ret, err) < 0)
        return rd_err_at(err, pointer);
    return 0;
}

int rd_json_b64(const json_t *value, const char *pointer, uint8_t *out, size_t size, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    if (rd_base64url_decode((const char *)text.data, text.size, out, size) != (ssize_t)size)
        return refuse(err, pointer, RD_E_ENCODING, "not base64url of %zu bytes", size);
    return 0;
}

int rd_json_kms_id(const json_t *value, const char *pointer, rd_kms_id *ret, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    if (rd_kms_id_parse((const char *)text.data, text.size, ret, err) < 0)
        return rd_err_at(err, pointer);
    return 0;
}

int rd_json_enum(const json_t *value, const char *pointer, const char *const *names, int *ret, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    for (int i = 0; names[i]; i++) {
        if (names[i][0] && rd_bytes_equal(rd_bytes_str(names[i]), text)) {
            *ret = i;
            return 0;
        }
    }
    return refuse(err, pointer, RD_E_JSON_RANGE, "not one of the known words");
}

static int read_b64_buf(const json_t *value, const rd_json_field *field, const char *pointer, rd_buf *into, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    size_t size = text.size * 6 / 8;
    if ((int64_t)size < field->min || (int64_t)size > field->max)
        return refuse(err, pointer, RD_E_JSON_RANGE, "%zu bytes, not %" PRId64 "..%" PRId64, size, field->min,
                      field->max);
    rd_buf_clear(into);
    uint8_t *room = rd_buf_reserve(into, size);
    if (!room)
        return refuse(err, pointer, RD_E_TOO_LARGE, "%zu bytes are too many", size);
    if (rd_base64url_decode((const char *)text.data, text.size, room, size) != (ssize_t)size)
        return refuse(err, pointer, RD_E_ENCODING, "not base64url");
    rd_buf_commit(into, size);
    return 0;
}

static int read_hex(const json_t *value, size_t size, const char *pointer, uint8_t *into, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    bool is_lower = true;
    for (size_t i = 0; i < text.size; i++)
        is_lower = is_lower && !(text.data[i] >= 'A' && text.data[i] <= 'F');
    if (!is_lower || rd_hex_decode((const char *)text.data, text.size, into, size) < 0)
        return refuse(err, pointer, RD_E_ENCODING, "not lower-case hex of %zu bytes", size);
    return 0;
}

static int read_key(const json_t *value, const char *pointer, rd_public_key *into, rd_err *err)
{
    if (rd_json_b64(value, pointer, into->b, sizeof into->b, err) < 0)
        return -1;
    if (rd_public_key_check(into, err) < 0)
        return rd_err_at(err, pointer);
    return 0;
}

static int read_number(const json_t *value, const rd_json_field *field, const char *pointer, void *into, rd_err *err)
{
    int64_t min = field->min;
    int64_t max = field->max;
    bool is_wide = field->kind == RD_JSON_I64 || field->kind == RD_JSON_U64;
    bool is_signed = field->kind == RD_JSON_I64 || field->kind == RD_JSON_I32;
    if (max == 0 && min == 0) {
        max = is_wide ? RD_JSON_INT_MAX : is_signed ? INT32_MAX : UINT32_MAX;
        min = !is_signed ? 0 : is_wide ? -RD_JSON_INT_MAX : INT32_MIN;
    } else if (max == 0 && !is_signed) {
        max = is_wide ? RD_JSON_INT_MAX : UINT32_MAX;
    }
    int64_t number = 0;
    if (want_integer(value, pointer, min, max, &number, err) < 0)
        return -1;
    if (is_wide) {
        memcpy(into, &number, sizeof number); /* never negative where the field is unsigned */
    } else {
        uint32_t narrow = (uint32_t)number;
        memcpy(into, &narrow, sizeof narrow);
    }
    return 0;
}

static int read_const(const json_t *value, const rd_json_field *field, const char *pointer, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    if (!rd_bytes_equal(text, rd_bytes_str(field->text)))
        return refuse(err, pointer, RD_E_JSON_RANGE, "must be \"%s\"", field->text);
    return 0;
}

static int read_text(const json_t *value, const rd_json_field *field, const char *pointer, void *into, rd_err *err)
{
    rd_bytes text;
    if (want_sized_string(value, field, pointer, &text, err) < 0)
        return -1;
    if (field->kind == RD_JSON_STRING) {
        char *copy = rd_strndup((const char *)text.data, text.size);
        memcpy(into, &copy, sizeof copy);
    } else {
        memcpy(into, text.data, text.size);
        ((char *)into)[text.size] = '\0';
    }
    return 0;
}

static int read_name(const json_t *value, const rd_json_field *field, const char *pointer, void *into, rd_err *err)
{
    rd_bytes text;
    if (want_string(value, pointer, &text, err) < 0)
        return -1;
    const char *from = (const char *)text.data;
    int outcome;
    if (field->kind == RD_JSON_ID) {
        outcome = rd_id_parse(field->text, from, text.size, into, err);
    } else if (field->kind == RD_JSON_APP_ID) {
        outcome = rd_app_id_parse(from, text.size, into, err);
    } else {
        outcome = rd_time_parse(from, text.size, into);
        if (outcome < 0)
            (void)rd_err_set(err, RD_E_ENCODING, "not an RFC 3339 time in UTC with Z");
    }
    return outcome < 0 ? rd_err_at(err, pointer) : 0;
}

static int read_value(const json_t *value, const rd_json_field *field, rd_json_unknown unknown, const char *pointer,
                      void *into, rd_err *err)
{
    switch (field->kind) {
    case RD_JSON_TEXT:
    case RD_JSON_STRING:
        return read_text(value, field, pointer, into, err);
    case RD_JSON_CONST:
        return read_const(value, field, pointer, err);
    case RD_JSON_BOOL:
        if (!json_is_boolean(value))
            return refuse(err, pointer, RD_E_JSON_TYPE, "true or false is needed");
        *(bool *)into = json_is_true(value);
        return 0;
    case RD_JSON_I64:
    case RD_JSON_U64:
    case RD_JSON_I32:
    case RD_JSON_U32:
        return read_number(value, field, pointer, into, err);
    case RD_JSON_DIGEST:
        return rd_json_digest(value, pointer, into, err);
    case RD_JSON_B64:
        return rd_json_b64(value, pointer, into, (size_t)field->max, err);
    case RD_JSON_B64_BUF:
        return read_b64_buf(value, field, pointer, into, err);
    case RD_JSON_HEX:
        return read_hex(value, (size_t)field->max, pointer, into, err);
    case RD_JSON_KEY:
        return read_key(value, pointer, into, err);
    case RD_JSON_TIME:
    case RD_JSON_ID:
    case RD_JSON_APP_ID:
        return read_name(value, field, pointer, into, err);
    case RD_JSON_KMS_ID:
        return rd_json_kms_id(value, pointer, into, err);
    case RD_JSON_ENUM:
        return rd_json_enum(value, pointer, field->names, into, err);
    case RD_JSON_NULL:
        return json_is_null(value) ? 0 : refuse(err, pointer, RD_E_JSON_RANGE, "must be null");
    case RD_JSON_OBJECT:
        return rd_json_read(value, field->fields, unknown, pointer, into, err);
    case RD_JSON_CUSTOM:
        return field->parse(value, into, pointer, err);
    }
    return rd_err_set(err, RD_E_INTERNAL, "field %s has no kind", field->name);
}

static int read_field(const json_t *object, const rd_json_field *field, rd_json_unknown unknown, const char *pointer,
                      void *into, rd_err *err)
{
    char here[POINTER_SIZE];
    extend_pointer(here, pointer, field->name);
    const json_t *value = json_object_get(object, field->name);
    bool *has = field->has ? (bool *)((char *)into + field->has - 1) : NULL;
    if (has)
        *has = false;
    if (!value)
        return field->flags & RD_OPTIONAL ? 0 : refuse(err, here, RD_E_JSON_MISSING, "%s is missing", field->name);
    if (json_is_null(value) && field->flags & RD_NULLABLE)
        return 0;
    if (read_value(value, field, unknown, here, (char *)into + field->offset, err) < 0)
        return rd_err_wrap(err, "%s", field->name);
    if (has)
        *has = true;
    return 0;
}

static bool is_listed(const rd_json_field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0)
            return true;
    return false;
}

int rd_json_read(const json_t *object, const rd_json_field *fields, rd_json_unknown unknown, const char *pointer,
                 void *into, rd_err *err)
{
    if (!json_is_object(object))
        return refuse(err, pointer, RD_E_JSON_TYPE, "an object is needed");
    for (const rd_json_field *field = fields; field->name; field++)
        if (read_field(object, field, unknown, pointer, into, err) < 0)
            return -1;
    if (unknown == RD_UNKNOWN_IGNORED)
        return 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (is_listed(fields, name))
            continue;
        char here[POINTER_SIZE];
        extend_pointer(here, pointer, name);
        return refuse(err, here, RD_E_JSON_UNKNOWN, "a member that is not known here");
    }
    return 0;
}

int rd_json_each(const json_t *array, size_t count_min, size_t count_max, const char *pointer,
                 rd_json_item_reader read_item, void *context, rd_err *err)
{
    if (!json_is_array(array))
        return refuse(err, pointer, RD_E_JSON_TYPE, "an array is needed");
    size_t count = json_array_size(array);
    if (count < count_min || count > count_max)
        return refuse(err, pointer, RD_E_JSON_RANGE, "%zu items, not %zu..%zu", count, count_min, count_max);
    for (size_t i = 0; i < count; i++) {
        char name[24];
        char here[POINTER_SIZE];
        (void)snprintf(name, sizeof name, "%zu", i);
        extend_pointer(here, pointer, name);
        if (read_item(json_array_get(array, i), i, context, here, err) < 0)
            return -1;
    }
    return 0;
}
