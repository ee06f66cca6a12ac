#include "common/model/json.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <string.h>

void rd_json_free_p(json_t **value)
{
    json_decref(*value);
}

/* Where the string whose text begins at `at` has its closing quote: one behind an even number of backslashes. */
static size_t string_end(rd_bytes text, size_t at)
{
    for (size_t start = at; at < text.size; at++) {
        const uint8_t *quote = memchr(text.data + at, '"', text.size - at);
        if (!quote)
            return text.size;
        at = (size_t)(quote - text.data);
        size_t backslashes = 0;
        while (at - backslashes > start && text.data[at - backslashes - 1] == '\\')
            backslashes++;
        if (backslashes % 2 == 0)
            return at;
    }
    return text.size;
}

/* jansson recurses as deep as the text says: the depth is counted before it sees the text. */
static bool is_within_depth(rd_bytes text, unsigned depth_max)
{
    unsigned depth = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '"') {
            i = string_end(text, i + 1);
        } else if (c == '{' || c == '[') {
            if (++depth > depth_max)
                return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

static int set_syntax_error(const json_error_t *error, rd_err *err)
{
    rd_code code = RD_E_JSON_SYNTAX;
    switch (json_error_code(error)) {
    case json_error_duplicate_key:
        code = RD_E_JSON_DUPLICATE;
        break;
    case json_error_premature_end_of_input:
        code = RD_E_TRUNCATED;
        break;
    case json_error_end_of_input_expected:
        code = RD_E_TRAILING;
        break;
    case json_error_numeric_overflow:
        code = RD_E_JSON_RANGE;
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
    case json_error_invalid_utf8:
        code = RD_E_ENCODING;
        break;
    case json_error_out_of_memory:
        code = RD_E_NO_MEMORY;
        break;
    default:
        /* A surrogate without its other half has no code of its own in jansson. */
        if (rd_starts_with(error->text, "invalid Unicode"))
            code = RD_E_ENCODING;
        break;
    }
    return rd_err_set(err, code, "JSON: line %d, column %d", error->line, error->column);
}

static int check_integers(const json_t *value, rd_err *err)
{
    size_t index;
    const char *name;
    json_t *child;
    json_t *borrowed = (json_t *)value; /* jansson's iterators take no const */
    switch (json_typeof(value)) {
    case JSON_REAL:
        return rd_err_set(err, RD_E_JSON_RANGE, "JSON: a fraction or exponent where only integers may stand");
    case JSON_INTEGER:
        if (json_integer_value(value) > RD_JSON_INT_MAX || json_integer_value(value) < -RD_JSON_INT_MAX)
            return rd_err_set(err, RD_E_JSON_RANGE, "JSON: integer %" JSON_INTEGER_FORMAT " is beyond 2^53 - 1",
                              json_integer_value(value));
        return 0;
    case JSON_ARRAY:
        json_array_foreach(borrowed, index, child) if (check_integers(child, err) < 0) return -1;
        return 0;
    case JSON_OBJECT:
        json_object_foreach(borrowed, name, child) if (check_integers(child, err) < 0) return -1;
        return 0;
    default:
        return 0;
    }
}

int rd_json_parse(rd_bytes text, const rd_json_limits *limits, json_t **ret, rd_err *err)
{
    rd_json_limits bounds = limits ? *limits : (rd_json_limits){ 0 };
    size_t size_max = bounds.size_max ? bounds.size_max : RD_JSON_SIZE_MAX;
    unsigned depth_max = bounds.depth_max ? bounds.depth_max : RD_JSON_DEPTH_MAX;
    if (text.size == 0)
        return rd_err_set(err, RD_E_TRUNCATED, "JSON: nothing there");
    if (text.size > size_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "JSON: %zu bytes, at most %zu", text.size, size_max);
    if (!rd_is_utf8(text))
        return rd_err_set(err, RD_E_ENCODING, "JSON: not UTF-8");
    if (!is_within_depth(text, depth_max))
        return rd_err_set(err, RD_E_JSON_DEPTH, "JSON: more than %u levels", depth_max);
    json_error_t error;
    RD_CLEANUP(rd_json_free_p)
    json_t *value = json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES, &error);
    if (!value)
        return set_syntax_error(&error, err);
    if (bounds.integers_only && check_integers(value, err) < 0)
        return -1;
    *ret = RD_TAKE(value);
    return 0;
}

int rd_json_load(rd_bytes text, const rd_json_limits *limits, const rd_json_field *fields, rd_json_unknown unknown,
                 void *into, rd_err *err)
{
    RD_CLEANUP(rd_json_free_p) json_t *value = NULL;
    if (rd_json_parse(text, limits, &value, err) < 0)
        return -1;
    return rd_json_read(value, fields, unknown, "", into, err);
}

bool rd_json_dump(const json_t *value, rd_buf *out)
{
    size_t size = json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
    uint8_t *room = size ? rd_buf_reserve(out, size) : NULL;
    if (!room)
        return false;
    (void)json_dumpb(value, (char *)room, size, JSON_COMPACT | JSON_ENCODE_ANY);
    rd_buf_commit(out, size);
    return true;
}
