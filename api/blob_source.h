/* blob_source: the bytes that agents need for a launch, by digest: memory, blob directory, or rebuilt from PostgreSQL
 * (genesis, head and release envelopes). Used by job delivery. Checks every digest before it hands bytes out.
 * Bounded: 64 MiB in memory, least recently used go first. Loop thread. */
#ifndef API_BLOB_SOURCE_H
#define API_BLOB_SOURCE_H

#include "common/data/pg_async.h"
#include "common/io/loop.h"
#include "common/model/ids.h"

typedef struct api_blob_source api_blob_source;
extern const rd_pg_stmts api_blob_source_stmts;

api_blob_source *api_blob_source_new(rd_loop *loop, rd_pg_async *pg, const char *dir);
/* Callbacks still due are not called. */
api_blob_source *api_blob_source_free(api_blob_source *blobs);

/* bytes is borrowed for the call, with data NULL when the blob is nowhere (or could not be read now: err says). */
typedef void (*api_blob_fn)(void *context, rd_bytes bytes, const rd_err *err);
/* app and release tell where in PostgreSQL to look. fn is called once, later or before it returns. */
void api_blob_source_get(api_blob_source *blobs, const rd_digest *digest, const rd_app_id *app,
                         const rd_digest *release, api_blob_fn fn, void *context);

#endif
