/* The texts that receipts are made of, written straight in canonical order: one tree of allocations less an answer. */
#include "common/model/receipt_priv.h"

#include "common/base/text.h"
#include "common/model/canonical.h"

#include <stdio.h>
#include <string.h>

static void put_digest(rd_buf *out, const char *before, const rd_digest *digest)
{
    char text[RD_DIGEST_TEXT_SIZE];
    rd_digest_format(digest, text);
    (void)rd_buf_append_str(out, before);
    (void)rd_buf_append(out, text, sizeof text - 1);
}

static void put_b64(rd_buf *out, const char *before, const uint8_t bytes[32])
{
    (void)rd_buf_append_str(out, before);
    (void)rd_buf_append_base64url(out, rd_bytes_of(bytes, 32));
}

static void put_int(rd_buf *out, const char *before, uint64_t value)
{
    (void)rd_buf_append_str(out, before);
    (void)rd_canonical_put_int(out, (int64_t)value);
}

bool rd_receipt_claims_encode(const rd_receipt_claims *claims, rd_buf *out)
{
    char app[RD_APP_ID_TEXT_SIZE];
    char time[RD_TIME_TEXT_SIZE];
    rd_app_id_format(&claims->app, app);
    rd_time_format(claims->host_time_us, time);
    (void)rd_buf_append_str(out, "{\"app\":\"");
    (void)rd_buf_append_str(out, app);
    (void)rd_buf_append_str(out, "\",\"class\":\"");
    (void)rd_buf_append_str(out, rd_class_name(claims->class));
    put_int(out, "\",\"egress\":{\"asked\":", claims->egress_asked);
    put_int(out, ",\"failed\":", claims->egress_failed);
    put_digest(out, "},\"evidence\":\"", &claims->evidence);
    put_digest(out, "\",\"head\":\"", &claims->head);
    (void)rd_buf_append_str(out, "\",\"host_time\":\"");
    (void)rd_buf_append_str(out, time);
    put_b64(out, "\",\"inputs\":null,\"instance\":\"", claims->instance);
    (void)rd_buf_append_str(out, "\",\"kind\":\"function\",\"kv\":null,\"log\":null,\"nonce\":");
    if (claims->has_nonce) {
        put_b64(out, "\"", claims->nonce);
        (void)rd_buf_append_u8(out, '"');
    } else {
        (void)rd_buf_append_str(out, "null");
    }
    put_digest(out, ",\"release\":\"", &claims->release);
    put_b64(out, "\",\"request\":\"", claims->request);
    put_b64(out, "\",\"response\":\"", claims->response);
    put_int(out, "\",\"seq\":", claims->seq);
    put_int(out, ",\"status\":", claims->status);
    return rd_buf_append_str(out, ",\"type\":\"" RD_CLAIMS_TYPE "\"}");
}

static const rd_json_field egress_fields[] = {
    { "asked", RD_JSON_U32, offsetof(rd_receipt_claims, egress_asked), RD_REQUIRED },
    { "failed", RD_JSON_U32, offsetof(rd_receipt_claims, egress_failed), RD_REQUIRED },
    RD_JSON_END,
};

const rd_json_field rd_receipt_claims_fields[] = {
    { "app", RD_JSON_APP_ID, offsetof(rd_receipt_claims, app), RD_REQUIRED },
    { "class", RD_JSON_ENUM, offsetof(rd_receipt_claims, class), RD_REQUIRED, .names = rd_class_names },
    { "egress", RD_JSON_OBJECT, 0, RD_REQUIRED, .fields = egress_fields },
    { "evidence", RD_JSON_DIGEST, offsetof(rd_receipt_claims, evidence), RD_REQUIRED },
    { "head", RD_JSON_DIGEST, offsetof(rd_receipt_claims, head), RD_REQUIRED },
    { "host_time", RD_JSON_TIME, offsetof(rd_receipt_claims, host_time_us), RD_REQUIRED },
    { "inputs", RD_JSON_NULL, 0, RD_REQUIRED },
    { "instance", RD_JSON_B64, offsetof(rd_receipt_claims, instance), RD_REQUIRED, .max = 32 },
    { "kind", RD_JSON_CONST, 0, RD_REQUIRED, .text = "function" },
    { "kv", RD_JSON_NULL, 0, RD_REQUIRED },
    { "log", RD_JSON_NULL, 0, RD_REQUIRED },
    { "nonce", RD_JSON_B64, offsetof(rd_receipt_claims, nonce), RD_NULLABLE, .max = RD_NONCE_SIZE,
      .has = RD_HAS(rd_receipt_claims, has_nonce) },
    { "release", RD_JSON_DIGEST, offsetof(rd_receipt_claims, release), RD_REQUIRED },
    { "request", RD_JSON_B64, offsetof(rd_receipt_claims, request), RD_REQUIRED, .max = 32 },
    { "response", RD_JSON_B64, offsetof(rd_receipt_claims, response), RD_REQUIRED, .max = 32 },
    { "seq", RD_JSON_U64, offsetof(rd_receipt_claims, seq), RD_REQUIRED, .min = 1 },
    { "status", RD_JSON_U32, offsetof(rd_receipt_claims, status), RD_REQUIRED, .min = 100, .max = 599 },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = RD_CLAIMS_TYPE },
    RD_JSON_END,
};

int rd_receipt_claims_parse(rd_bytes canonical, rd_receipt_claims *ret, rd_err *err)
{
    rd_receipt_claims claims = { 0 };
    if (rd_document_load(canonical, RD_CLAIMS_TYPE, rd_receipt_claims_fields, &claims, err) < 0)
        return rd_err_wrap(err, "claims");
    *ret = claims;
    return 0;
}

bool rd_receipt_root_encode(const rd_receipt_root *root, rd_buf *out)
{
    put_int(out, "{\"count\":", root->count);
    put_int(out, ",\"first\":", root->first);
    put_b64(out, ",\"instance\":\"", root->instance);
    if (root->has_prev) {
        put_digest(out, "\",\"prev\":\"", &root->prev);
        (void)rd_buf_append_u8(out, '"');
    } else {
        (void)rd_buf_append_str(out, "\",\"prev\":null");
    }
    put_digest(out, ",\"root\":\"", &root->root);
    return rd_buf_append_str(out, "\",\"type\":\"" RD_RECEIPT_ROOT_TYPE "\"}");
}

static const rd_json_field root_fields[] = {
    { "count", RD_JSON_U32, offsetof(rd_receipt_root, count), RD_REQUIRED, .min = 1, .max = RD_TREE_LEAVES_MAX },
    { "first", RD_JSON_U64, offsetof(rd_receipt_root, first), RD_REQUIRED, .min = 1 },
    { "instance", RD_JSON_B64, offsetof(rd_receipt_root, instance), RD_REQUIRED, .max = 32 },
    { "prev", RD_JSON_DIGEST, offsetof(rd_receipt_root, prev), RD_NULLABLE, .has = RD_HAS(rd_receipt_root, has_prev) },
    { "root", RD_JSON_DIGEST, offsetof(rd_receipt_root, root), RD_REQUIRED },
    { "type", RD_JSON_CONST, 0, RD_REQUIRED, .text = RD_RECEIPT_ROOT_TYPE },
    RD_JSON_END,
};

int rd_receipt_root_parse(rd_bytes canonical, rd_receipt_root *ret, rd_err *err)
{
    rd_receipt_root root = { 0 };
    if (rd_document_load(canonical, RD_RECEIPT_ROOT_TYPE, root_fields, &root, err) < 0)
        return rd_err_wrap(err, "receipt root");
    *ret = root;
    return 0;
}

void rd_receipt_root_chain(rd_bytes root_statement, rd_digest *ret)
{
    RD_H(ret->b, RD_HASH_RECEIPT_CHAIN, root_statement);
}

/* HMAC over u64be(|p|) p of each part, under the key of one direction. */
static void commit(const uint8_t salt[RD_SALT_SIZE], const char *direction, const rd_bytes *parts, size_t count,
                   uint8_t out[32])
{
    uint8_t key[32];
    rd_bytes label = rd_bytes_str(direction);
    rd_kdf(rd_bytes_of(salt, RD_SALT_SIZE), RD_KDF_COMMIT, &label, 1, key);
    rd_hmac hmac;
    rd_hmac_init(&hmac, RD_BYTES_ARRAY(key));
    for (size_t i = 0; i < count; i++) {
        uint8_t size[8];
        for (int k = 0; k < 8; k++)
            size[k] = (uint8_t)((uint64_t)parts[i].size >> (8 * (7 - k)));
        rd_hmac_update(&hmac, RD_BYTES_ARRAY(size));
        rd_hmac_update(&hmac, parts[i]);
    }
    rd_hmac_final(&hmac, out);
}

void rd_commit_request(const uint8_t salt[RD_SALT_SIZE], rd_bytes method, rd_bytes target, rd_bytes content_type,
                       rd_bytes body, uint8_t out[32])
{
    const rd_bytes parts[] = { method, target, content_type, body };
    commit(salt, "request", parts, RD_ARRAY_LEN(parts), out);
}

void rd_commit_response(const uint8_t salt[RD_SALT_SIZE], uint32_t status, rd_bytes content_type, rd_bytes body,
                        uint8_t out[32])
{
    char text[12];
    int size = snprintf(text, sizeof text, "%u", status);
    const rd_bytes parts[] = { rd_bytes_of(text, (size_t)size), content_type, body };
    commit(salt, "response", parts, RD_ARRAY_LEN(parts), out);
}

bool rd_receipt_put_protected(const uint8_t thumbprint[32], rd_buf *out)
{
    char kid[44];
    char header[112];
    rd_base64url_encode(rd_bytes_of(thumbprint, 32), kid);
    int size =
        snprintf(header, sizeof header, "{\"alg\":\"EdDSA\",\"kid\":\"%s\",\"typ\":\"redoubt-receipt+jws\"}", kid);
    return rd_buf_append_base64url(out, rd_bytes_of(header, (size_t)size));
}
