#include "common/model/receipt_priv.h"

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/canonical.h"

#include <string.h>

#define PROTECTED_MAX 256

void rd_receipt_done(rd_receipt *receipt)
{
    rd_buf_done(&receipt->claims_bytes);
    rd_buf_done(&receipt->payload);
    rd_buf_done(&receipt->protected_text);
}

static int read_claims(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_receipt *receipt = into;
    if (rd_json_read(value, rd_receipt_claims_fields, RD_UNKNOWN_REFUSED, pointer, &receipt->claims, err) < 0)
        return -1;
    rd_buf_clear(&receipt->claims_bytes);
    return rd_canonical_write(value, &receipt->claims_bytes, err);
}

static int read_sibling(const json_t *item, size_t index, void *context, const char *pointer, rd_err *err)
{
    rd_tree_path *path = context;
    path->count = index + 1;
    return rd_json_digest(item, pointer, &path->siblings[index], err);
}

static int read_path(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    return rd_json_each(value, 0, RD_TREE_PATH_MAX, pointer, read_sibling, into, err);
}

static int read_protected(const json_t *value, void *into, const char *pointer, rd_err *err)
{
    rd_buf *text = into;
    if (!json_is_string(value) || json_string_length(value) > PROTECTED_MAX) {
        (void)rd_err_set(err, RD_E_JSON_TYPE, "a short string is needed");
        return rd_err_at(err, pointer);
    }
    rd_buf_clear(text);
    (void)rd_buf_append(text, json_string_value(value), json_string_length(value));
    return 0;
}

static const rd_json_field jws_fields[] = {
    { "payload", RD_JSON_B64_BUF, offsetof(rd_receipt, payload), RD_REQUIRED, .min = 1,
      .max = (int64_t)RD_CLAIMS_SIZE_MAX },
    { "protected", RD_JSON_CUSTOM, offsetof(rd_receipt, protected_text), RD_REQUIRED, .parse = read_protected },
    { "signature", RD_JSON_B64, offsetof(rd_receipt, signature), RD_REQUIRED, .max = RD_SIGNATURE_SIZE },
    RD_JSON_END,
};

static const rd_json_field receipt_fields[] = {
    { "claims", RD_JSON_CUSTOM, 0, RD_REQUIRED, .parse = read_claims },
    { "index", RD_JSON_U32, offsetof(rd_receipt, index), RD_REQUIRED, .max = RD_TREE_LEAVES_MAX - 1 },
    { "path", RD_JSON_CUSTOM, offsetof(rd_receipt, path), RD_REQUIRED, .parse = read_path },
    { "root", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = jws_fields },
    RD_JSON_END,
};

int rd_receipt_parse(rd_bytes canonical, rd_receipt *ret, rd_err *err)
{
    *ret = (rd_receipt){ 0 };
    if (canonical.size > RD_RECEIPT_SIZE_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "receipt: %zu bytes, at most %zu", canonical.size, RD_RECEIPT_SIZE_MAX);
    if (rd_canonical_load(canonical, receipt_fields, ret, err) < 0 ||
        rd_receipt_root_parse(rd_buf_bytes(&ret->payload), &ret->root, err) < 0)
        return rd_err_wrap(err, "receipt");
    return 0;
}

int rd_receipt_parse_header(const char *text, size_t text_size, rd_receipt *ret, rd_err *err)
{
    *ret = (rd_receipt){ 0 };
    if (text_size > rd_base64url_size(RD_RECEIPT_SIZE_MAX))
        return rd_err_set(err, RD_E_TOO_LARGE, "receipt: more than %zu bytes", RD_RECEIPT_SIZE_MAX);
    RD_CLEANUP(rd_free_p) uint8_t *bytes = rd_alloc(RD_RECEIPT_SIZE_MAX);
    ssize_t size = rd_base64url_decode(text, text_size, bytes, RD_RECEIPT_SIZE_MAX);
    if (size < 0)
        return rd_err_set(err, RD_E_ENCODING, "receipt: not base64url");
    return rd_receipt_parse(rd_bytes_of(bytes, (size_t)size), ret, err);
}
