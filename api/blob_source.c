#include "api/blob_source.h"

#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/io/config.h"

#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX ((size_t)64 << 20)
#define BLOB_MAX   ((size_t)8 << 20)

static const rd_pg_stmt stmts[] = {
    { "blobs_docs",
      "SELECT a.genesis, r.envelope, h.envelope, (SELECT k.genesis FROM kms k WHERE k.kms_id = h.kms) FROM apps a"
      " LEFT JOIN releases r ON r.org_id = a.org_id AND r.app_id = a.app_id AND r.digest = $2"
      " LEFT JOIN LATERAL (SELECT x.envelope, x.kms FROM heads x WHERE x.app_id = a.app_id ORDER BY x.seq DESC LIMIT "
      "8) h"
      " ON true WHERE a.app_id = $1",
      2 },
};
const rd_pg_stmts api_blob_source_stmts = { stmts, RD_ARRAY_LEN(stmts) };

/* A list in order of use, newest first. */
typedef struct blob {
    rd_digest digest;
    rd_buf bytes;
    struct blob *newer, *older;
} blob;

typedef struct fetch {
    api_blob_source *blobs; /* NULL: freed meanwhile */
    rd_digest digest;
    rd_app_id app;
    rd_digest release;
    api_blob_fn fn;
    void *context;
    char *path;
    rd_buf bytes; /* read from the file */
    struct fetch *next, *previous;
} fetch;

struct api_blob_source {
    rd_loop *loop;
    rd_pg_async *pg;
    char *dir;
    rd_table *by_digest;
    blob *newest, *oldest;
    size_t memory;
    fetch *fetches;
};

api_blob_source *api_blob_source_new(rd_loop *loop, rd_pg_async *pg, const char *dir)
{
    api_blob_source *blobs = rd_alloc(sizeof *blobs);
    blobs->loop = loop;
    blobs->pg = pg;
    blobs->dir = rd_strdup(dir ? dir : "");
    blobs->by_digest = rd_table_new(0);
    return blobs;
}

static void unlink_blob(api_blob_source *blobs, blob *b)
{
    *(b->newer ? &b->newer->older : &blobs->newest) = b->older;
    *(b->older ? &b->older->newer : &blobs->oldest) = b->newer;
    b->newer = b->older = NULL;
}

static void put_first(api_blob_source *blobs, blob *b)
{
    b->older = blobs->newest;
    *(b->older ? &b->older->newer : &blobs->oldest) = b;
    blobs->newest = b;
}

static void forget(api_blob_source *blobs, blob *b)
{
    unlink_blob(blobs, b);
    (void)rd_table_remove(blobs->by_digest, RD_BYTES_ARRAY(b->digest.b));
    blobs->memory -= b->bytes.size;
    rd_buf_done(&b->bytes);
    free(b);
}

static const blob *find(api_blob_source *blobs, const rd_digest *digest)
{
    blob *b = rd_table_get(blobs->by_digest, RD_BYTES_ARRAY(digest->b));
    if (!b)
        return NULL;
    unlink_blob(blobs, b);
    put_first(blobs, b);
    return b;
}

/* Keeps a copy under the digest that the bytes really have. */
static void keep(api_blob_source *blobs, rd_bytes bytes)
{
    rd_digest digest;
    rd_sha256(bytes, digest.b);
    if (bytes.size > BLOB_MAX || rd_table_get(blobs->by_digest, RD_BYTES_ARRAY(digest.b)))
        return;
    blob *b = rd_alloc(sizeof *b);
    b->digest = digest;
    rd_buf_init(&b->bytes, BLOB_MAX);
    (void)rd_buf_append_bytes(&b->bytes, bytes);
    if (!rd_table_set(blobs->by_digest, RD_BYTES_ARRAY(b->digest.b), b, NULL)) {
        rd_buf_done(&b->bytes);
        free(b);
        return;
    }
    put_first(blobs, b);
    blobs->memory += b->bytes.size;
    while (blobs->memory > MEMORY_MAX && blobs->oldest != b)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): forget takes it off the list. */
        forget(blobs, blobs->oldest);
}

static void fetch_end(fetch *f, const rd_err *err)
{
    api_blob_source *blobs = f->blobs;
    if (blobs) {
        *(f->previous ? &f->previous->next : &blobs->fetches) = f->next;
        if (f->next)
            f->next->previous = f->previous;
        const blob *b = find(blobs, &f->digest);
        f->fn(f->context, b ? rd_buf_bytes(&b->bytes) : RD_BYTES_NULL, b ? NULL : err);
    }
    free(f->path);
    rd_buf_done(&f->bytes);
    free(f);
}

static void on_docs(void *context, rd_pg_outcome outcome, rd_pg_result **results, size_t count, size_t failed,
                    const rd_err *err)
{
    (void)failed;
    fetch *f = context;
    if (f->blobs && (outcome == RD_PG_SOME || outcome == RD_PG_NONE) && count == 1) {
        for (size_t i = 0; i < rd_pg_rows(results[0]); i++)
            for (int column = 0; column < 4; column++)
                if (!rd_pg_is_null(results[0], i, column))
                    keep(f->blobs, rd_pg_get_bytes(results[0], i, column));
    }
    rd_err none = RD_ERR_INIT;
    (void)rd_err_set(&none, RD_E_UNAVAILABLE, "the blob is nowhere");
    fetch_end(f, err ? err : &none);
}

static void look_in_database(fetch *f)
{
    rd_pg_batch *batch = rd_pg_batch_new(NULL);
    rd_pg_batch_call(batch, "blobs_docs", rd_pg_bytes(RD_BYTES_ARRAY(f->app.b)),
                     rd_pg_bytes(RD_BYTES_ARRAY(f->release.b)));
    rd_err err = RD_ERR_INIT;
    if (rd_pg_async_submit(f->blobs->pg, batch, on_docs, f, &err) < 0)
        fetch_end(f, &err);
}

/* On the thread pool. */
static void read_file(void *context)
{
    fetch *f = context;
    rd_err err = RD_ERR_INIT;
    if (rd_file_read(f->path, BLOB_MAX, &f->bytes, &err) < 0)
        rd_buf_clear(&f->bytes);
}

static void on_file(void *context, bool is_cancelled)
{
    fetch *f = context;
    if (!f->blobs || is_cancelled) {
        f->blobs = NULL;
        fetch_end(f, NULL);
        return;
    }
    if (f->bytes.size > 0)
        keep(f->blobs, rd_buf_bytes(&f->bytes));
    if (find(f->blobs, &f->digest))
        fetch_end(f, NULL);
    else
        look_in_database(f);
}

void api_blob_source_get(api_blob_source *blobs, const rd_digest *digest, const rd_app_id *app,
                         const rd_digest *release, api_blob_fn fn, void *context)
{
    const blob *b = find(blobs, digest);
    if (b) {
        fn(context, rd_buf_bytes(&b->bytes), NULL);
        return;
    }
    fetch *f = rd_alloc(sizeof *f);
    f->blobs = blobs;
    f->digest = *digest;
    f->app = *app;
    f->release = *release;
    f->fn = fn;
    f->context = context;
    char hex[65];
    rd_hex_encode(RD_BYTES_ARRAY(digest->b), hex);
    f->path = rd_asprintf("%s/%.2s/%s", blobs->dir, hex, hex);
    rd_buf_init(&f->bytes, BLOB_MAX + 1);
    f->next = blobs->fetches;
    if (f->next)
        f->next->previous = f;
    blobs->fetches = f;
    rd_loop_work(blobs->loop, read_file, on_file, f);
}

api_blob_source *api_blob_source_free(api_blob_source *blobs)
{
    if (!blobs)
        return NULL;
    for (fetch *f = blobs->fetches; f; f = f->next)
        f->blobs = NULL;
    while (blobs->oldest)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): forget takes it off the list. */
        forget(blobs, blobs->oldest);
    rd_table_free(blobs->by_digest);
    free(blobs->dir);
    free(blobs);
    return NULL;
}
