#include "attest/json_fields.h"

#include <inttypes.h>

#include "common/base/text.h"

#define DOCUMENT_MAX ((size_t)256 << 10)
#define HEX_MAX      64
#define TIME_MAX     40 /* with a fraction */

static int bad(const char *name, const char *want, rd_err *err)
{
    return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not %s", name, want);
}

int rd_field_document(rd_bytes text, rd_json_doc *doc, rd_json_view *ret_root, rd_err *err)
{
    *doc = (rd_json_doc){ .count = 0 };
    if (text.size > DOCUMENT_MAX)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "JSON: %zu bytes, at most %zu", text.size, DOCUMENT_MAX);
    if (rd_json_doc_read(text, doc, err) < 0)
        return -1;
    *ret_root = rd_json_doc_root(doc);
    return rd_json_view_is_object(*ret_root) ? 0 : bad("the document", "an object", err);
}

int rd_field_object(rd_json_view object, const char *name, rd_json_view *ret, rd_err *err)
{
    return rd_json_view_get(object, name, ret) && rd_json_view_is_object(*ret) ? 0 : bad(name, "an object", err);
}

int rd_field_array(rd_json_view object, const char *name, size_t count_max, rd_json_view *ret, size_t *ret_count,
                   rd_err *err)
{
    if (rd_json_view_get(object, name, ret) && rd_json_view_is_array(*ret) &&
        (*ret_count = rd_json_view_count(*ret)) <= count_max)
        return 0;
    return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not an array of at most %zu", name, count_max);
}

int rd_field_text(rd_json_view object, const char *name, char *out, size_t size, rd_err *err)
{
    rd_json_view value;
    bool is_text = rd_json_view_get(object, name, &value) && rd_json_view_text(value, out, size) >= 0;
    return is_text ? 0 : bad(name, "a short text", err);
}

int rd_field_int(rd_json_view object, const char *name, int64_t max, int64_t *ret, rd_err *err)
{
    rd_json_view value;
    if (!rd_json_view_get(object, name, &value) || !rd_json_view_int(value, ret) || *ret < 0 || *ret > max)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not an integer from 0 to %" PRId64, name, max);
    return 0;
}

int rd_field_hex(rd_json_view object, const char *name, uint8_t *out, size_t size, rd_err *err)
{
    char text[2 * HEX_MAX + 1];
    rd_json_view value;
    ssize_t length = rd_json_view_get(object, name, &value) ? rd_json_view_text(value, text, sizeof text) : -1;
    if (length < 0 || rd_hex_decode(text, (size_t)length, out, size) < 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s is not %zu bytes of hex", name, size);
    return 0;
}

int rd_field_time(rd_json_view object, const char *name, int64_t *ret_us, rd_err *err)
{
    char text[TIME_MAX];
    rd_json_view value;
    ssize_t length = rd_json_view_get(object, name, &value) ? rd_json_view_text(value, text, sizeof text) : -1;
    if (length < 0 || rd_time_parse(text, (size_t)length, ret_us) < 0)
        return bad(name, "an RFC 3339 time in UTC", err);
    return 0;
}
