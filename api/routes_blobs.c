#include <string.h>

#include "api/blobs.h"
#include "api/reply.h"
#include "api/routes.h"
#include "api/store.h"
#include "common/base/text.h"

static int path_digest(const api_request *request, uint8_t out[32], rd_err *err)
{
    const char *text = api_request_param(request, "digest");
    char again[65];
    if (strlen(text) != 64 || rd_hex_decode(text, 64, out, 32) < 0 ||
        (rd_hex_encode(rd_bytes_of(out, 32), again), strcmp(again, text) != 0))
        return rd_err_set(err, RD_E_NOT_FOUND, "a blob is named by 64 lower-case hex digits");
    return 0;
}

typedef struct new_blob {
    uint8_t digest[32];
    size_t size;
    const uint8_t *org;
} new_blob;

static rd_pg_outcome insert_blob(rd_pg *pg, api_change *change, rd_err *err)
{
    const new_blob *blob = change->state;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_pg_outcome outcome = rd_pg_call(pg, "blob_add", &row, err, rd_pg_uuid(blob->org),
                                       rd_pg_bytes(RD_BYTES_ARRAY(blob->digest)), rd_pg_i64((int64_t)blob->size));
    if (outcome != RD_PG_SOME)
        return outcome;
    change->status = rd_pg_get_bool(row, 0, 0) ? 201 : 200;
    rd_digest digest;
    memcpy(digest.b, blob->digest, sizeof(digest.b));
    rd_digest_format(&digest, change->resource);
    return RD_PG_SOME;
}

int api_blobs_put(api_request *request, api_worker *worker, rd_err *err)
{
    rd_bytes body = api_request_body(request);
    uint8_t have[RD_SHA256_SIZE];
    new_blob blob = { .size = body.size, .org = api_request_principal(request)->org_id };
    if (path_digest(request, blob.digest, err) < 0)
        return -1;
    rd_sha256(body, have);
    if (memcmp(have, blob.digest, sizeof(have)) != 0)
        return rd_err_set(err, RD_E_DIGEST_MISMATCH, "the bytes do not hash to the name");
    if (api_blob_store(worker->context->config->blob_dir, blob.digest, body, err) < 0)
        return -1;
    api_change change = { .action = "blob.put", .apply = insert_blob, .state = &blob };
    if (api_change_run(request, worker, &change, err) < 0)
        return -1;
    json_t *answer = json_object();
    rd_json_set_str(answer, "digest", change.resource);
    rd_json_set_int(answer, "size_bytes", (int64_t)blob.size);
    api_reply_json(request, change.status, answer);
    return 0;
}

int api_blobs_get(api_request *request, api_worker *worker, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const api_principal *p = api_request_principal(request);
    uint8_t digest[32];
    int fd;
    uint64_t size;
    if (path_digest(request, digest, err) < 0 ||
        api_store_get(worker, p->org_id, "blob_get", &row, err, rd_pg_uuid(p->org_id),
                      rd_pg_bytes(RD_BYTES_ARRAY(digest))) < 0 ||
        api_store_need(row, "blob", err) < 0 ||
        api_blob_open(worker->context->config->blob_dir, digest, &fd, &size, err) < 0)
        return -1;
    char etag[72];
    snprintf(etag, sizeof(etag), "\"%s\"", api_request_param(request, "digest"));
    api_reply_header(request, "ETag", etag);
    api_reply_header(request, "Cache-Control", "private, max-age=86400, immutable");
    api_reply_file(request, 200, "application/octet-stream", fd, size);
    return 0;
}
