#include "common/model/json.h"

#include "common/base/mem.h"
#include "common/base/text.h"

#include <stdlib.h>

static json_t *or_abort(json_t *value)
{
    if (!value)
        abort(); /* memory ran out, or text of ours is not UTF-8 */
    return value;
}

void rd_json_set(json_t *object, const char *name, json_t *value_stolen)
{
    if (json_object_set_new(object, name, or_abort(value_stolen)) < 0)
        abort();
}

void rd_json_set_str(json_t *object, const char *name, const char *text)
{
    rd_json_set(object, name, text ? json_string(text) : json_null());
}

void rd_json_set_int(json_t *object, const char *name, int64_t value)
{
    rd_json_set(object, name, json_integer(value));
}

void rd_json_set_bool(json_t *object, const char *name, bool value)
{
    rd_json_set(object, name, json_boolean(value));
}

void rd_json_set_null(json_t *object, const char *name)
{
    rd_json_set(object, name, json_null());
}

json_t *rd_json_new_digest(const rd_digest *digest)
{
    char text[RD_DIGEST_TEXT_SIZE];
    rd_digest_format(digest, text);
    return or_abort(json_string(text));
}

json_t *rd_json_new_b64(rd_bytes bytes)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (!rd_buf_append_base64url(&text, bytes))
        abort();
    return or_abort(json_stringn(rd_buf_text(&text), text.size));
}

void rd_json_set_digest(json_t *object, const char *name, const rd_digest *digest)
{
    rd_json_set(object, name, digest ? rd_json_new_digest(digest) : json_null());
}

void rd_json_set_b64(json_t *object, const char *name, rd_bytes bytes)
{
    rd_json_set(object, name, rd_json_new_b64(bytes));
}

void rd_json_set_hex(json_t *object, const char *name, rd_bytes bytes)
{
    RD_CLEANUP(rd_free_p) char *text = rd_alloc(bytes.size * 2 + 1);
    rd_hex_encode(bytes, text);
    rd_json_set(object, name, json_string(text));
}

void rd_json_set_time(json_t *object, const char *name, int64_t time_us)
{
    char text[RD_TIME_TEXT_SIZE];
    rd_time_format(time_us, text);
    rd_json_set(object, name, json_string(text));
}

void rd_json_set_id(json_t *object, const char *name, const char *prefix, const rd_id *id)
{
    char text[RD_ID_TEXT_SIZE];
    if (id)
        rd_id_format(prefix, id, text);
    rd_json_set(object, name, id ? json_string(text) : json_null());
}

void rd_json_set_app_id(json_t *object, const char *name, const rd_app_id *id)
{
    char text[RD_APP_ID_TEXT_SIZE];
    if (id)
        rd_app_id_format(id, text);
    rd_json_set(object, name, id ? json_string(text) : json_null());
}

json_t *rd_json_new_kms_id(const rd_kms_id *id)
{
    char text[RD_KMS_ID_TEXT_SIZE];
    rd_kms_id_format(id, text);
    return or_abort(json_string(text));
}

void rd_json_set_kms_id(json_t *object, const char *name, const rd_kms_id *id)
{
    rd_json_set(object, name, id ? rd_json_new_kms_id(id) : json_null());
}
