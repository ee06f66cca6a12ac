#include "attest/json_fields.h"

#include <inttypes.h>

#include "common/base/text.h"

static int bad(const char *name, const char *want, rd_err *err)
{
    return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not %s", name, want);
}

int rd_field_document(rd_bytes text, json_t **ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = (size_t)256 << 10 };
    rd_err why = RD_ERR_INIT;
    json_t *root = NULL;
    if (rd_json_parse(text, &limits, &root, &why) < 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s", why.text);
    if (json_is_object(root)) {
        *ret = root;
        return 0;
    }
    json_decref(root);
    return bad("the document", "an object", err);
}

int rd_field_object(const json_t *object, const char *name, const json_t **ret, rd_err *err)
{
    *ret = json_object_get(object, name);
    return json_is_object(*ret) ? 0 : bad(name, "an object", err);
}

int rd_field_array(const json_t *object, const char *name, size_t count_max, const json_t **ret, rd_err *err)
{
    *ret = json_object_get(object, name);
    if (json_is_array(*ret) && json_array_size(*ret) <= count_max)
        return 0;
    return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not an array of at most %zu", name, count_max);
}

int rd_field_text(const json_t *object, const char *name, size_t size_max, const char **ret, rd_err *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value) || json_string_length(value) > size_max)
        return bad(name, "a short text", err);
    *ret = json_string_value(value);
    return 0;
}

int rd_field_int(const json_t *object, const char *name, int64_t max, int64_t *ret, rd_err *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > max)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not an integer from 0 to %" PRId64, name, max);
    *ret = json_integer_value(value);
    return 0;
}

int rd_field_hex(const json_t *object, const char *name, uint8_t *out, size_t size, rd_err *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value) || rd_hex_decode(json_string_value(value), json_string_length(value), out, size) < 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not %zu bytes of hex", name, size);
    return 0;
}

int rd_field_time(const json_t *object, const char *name, int64_t *ret_us, rd_err *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value) || rd_time_parse(json_string_value(value), json_string_length(value), ret_us) < 0)
        return bad(name, "an RFC 3339 time in UTC", err);
    return 0;
}
