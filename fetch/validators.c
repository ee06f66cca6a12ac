#include "fetch/validators.h"

#include <string.h>

#include "common/base/mem.h"
#include "common/crypto/hash.h"
#include "common/model/json.h"
#include "fetch/cache.h"
#include "fetch/headers.h"

#define TYPE "redoubt/fetch-validators/v1"

json_t *fetch_validators_to_json(fetch_http *http)
{
    const fetch_cache *cache = fetch_http_cache(http);
    json_t *object = json_object(), *answers = json_array();
    for (size_t i = 0; i < cache->count; i++) {
        const fetch_entry *entry = cache->items[i];
        rd_digest digest;
        if (!entry->etag[0] && !entry->last_modified[0])
            continue;
        json_t *one = json_object();
        rd_sha256(rd_buf_bytes(&entry->body), digest.b);
        rd_json_set_str(one, "url", entry->url);
        rd_json_set_str(one, "etag", entry->etag);
        rd_json_set_str(one, "last_modified", entry->last_modified);
        rd_json_set_digest(one, "body", &digest);
        (void)json_array_append_new(answers, one);
    }
    rd_json_set_str(object, "type", TYPE);
    rd_json_set(object, "answers", answers);
    return object;
}

typedef struct answer {
    char url[FETCH_URL_MAX + 1];
    char etag[sizeof((fetch_entry *)0)->etag], last_modified[sizeof((fetch_entry *)0)->last_modified];
    rd_digest body;
} answer;

typedef struct reading {
    fetch_cache *cache;
    const rd_collateral_set *set;
} reading;

static const rd_piece *piece_of(const rd_collateral_set *set, const rd_digest *body)
{
    for (size_t i = 0; i < rd_collateral_set_count(set); i++) {
        const rd_piece *piece = rd_collateral_set_at(set, i);
        uint8_t digest[32];
        rd_sha256(piece->body, digest);
        if (memcmp(digest, body->b, sizeof digest) == 0)
            return piece;
    }
    return NULL;
}

/* As the service's header has it, so that fetch_chain_decode gives the piece's chain again. */
static void encode_chain(rd_bytes pem, rd_buf *out)
{
    for (size_t i = 0; i < pem.size; i++)
        rd_buf_printf(out, "%%%02X", pem.data[i]);
}

static int read_answer(const json_t *item, size_t index RD_UNUSED, void *context, const char *pointer, rd_err *err)
{
    static const rd_json_field fields[] = {
        { "url", RD_JSON_TEXT, offsetof(answer, url), .min = 1, .max = FETCH_URL_MAX },
        { "etag", RD_JSON_TEXT, offsetof(answer, etag), .max = sizeof((answer *)0)->etag - 1 },
        { "last_modified", RD_JSON_TEXT, offsetof(answer, last_modified),
          .max = sizeof((answer *)0)->last_modified - 1 },
        { "body", RD_JSON_DIGEST, offsetof(answer, body) },
        RD_JSON_END,
    };
    const reading *r = context;
    answer a = { .url = "" };
    if (rd_json_read(item, fields, RD_UNKNOWN_IGNORED, pointer, &a, err) < 0)
        return -1;
    if (!fetch_header_is_sendable(rd_bytes_str(a.etag)) || !fetch_header_is_sendable(rd_bytes_str(a.last_modified)))
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "%s: a validator that no header holds", pointer);
    const rd_piece *piece = piece_of(r->set, &a.body);
    if (!piece)
        return 0;
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 }, chain = { 0 };
    (void)rd_buf_append_bytes(&body, piece->body);
    if (piece->chain.size <= FETCH_CHAIN_SIZE_MAX / 3)
        encode_chain(piece->chain, &chain);
    (void)fetch_cache_put(r->cache, a.url, a.etag, a.last_modified, &body, &chain);
    return 0;
}

int fetch_validators_load(fetch_http *http, rd_bytes json, const rd_collateral_set *set, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = FETCH_VALIDATORS_SIZE_MAX };
    RD_CLEANUP(rd_json_free_p) json_t *root = NULL;
    reading r = { .cache = fetch_http_cache(http), .set = set };
    rd_err why = RD_ERR_INIT;
    int rc = rd_json_parse(json, &limits, &root, &why);
    const char *type = json_string_value(json_object_get(root, "type"));
    if (rc == 0 && (!type || strcmp(type, TYPE) != 0))
        rc = rd_err_set(&why, RD_E_COLLATERAL_FORMAT, "not of type " TYPE);
    if (rc == 0)
        rc = rd_json_each(json_object_get(root, "answers"), 0, FETCH_CACHE_ENTRIES_MAX, "/answers", read_answer, &r,
                          &why);
    return rc == 0 ? 0 : rd_err_set(err, RD_E_COLLATERAL_FORMAT, "validators: %s", why.text);
}
