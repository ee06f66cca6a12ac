#include "agent/blobs.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/table.h"
#include "common/base/text.h"
#include "common/io/config.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOB_MAX   ((size_t)8 << 20)
#define COUNT_MAX  65536
#define HOT_SIZE   ((size_t)2 << 20)   /* of all that is in memory */
#define HOT_MAX    ((size_t)256 << 10) /* of one */
#define WRITES_MAX 64                  /* under way; past that one is written before put returns */

typedef struct blob {
    rd_digest digest;
    uint64_t size; /* 0: not there, only pinned */
    uint64_t used; /* turn of the last use */
    unsigned pins;
    bool is_here;
    bool is_hot;     /* content is kept */
    bool is_written; /* or will not be */
    rd_buf content;
    struct blob *colder, *hotter;
} blob;

struct agent_blobs {
    char *dir;
    uint64_t size_max, size, turn;
    rd_table *table; /* raw digest → blob */
    rd_loop *loop;   /* NULL: files are written at once */
    blob *hottest, *coldest;
    size_t hot_size;
    unsigned writes;
};

static void path_of(const agent_blobs *blobs, const rd_digest *digest, char out[4096])
{
    char hex[65];
    rd_hex_encode(RD_BYTES_ARRAY(digest->b), hex);
    (void)snprintf(out, 4096, "%s/%s", blobs->dir, hex);
}

static blob *find(const agent_blobs *blobs, const rd_digest *digest)
{
    return rd_table_get(blobs->table, RD_BYTES_ARRAY(digest->b));
}

static blob *find_or_add(agent_blobs *blobs, const rd_digest *digest)
{
    blob *one = find(blobs, digest);
    if (one)
        return one;
    one = rd_alloc(sizeof *one);
    one->digest = *digest;
    if (rd_table_set(blobs->table, RD_BYTES_ARRAY(digest->b), one, NULL))
        return one;
    free(one);
    return NULL;
}

/* ---- what is in memory ---- */

/* Never what is being written: its content is lent to the thread that does. */
static void cool(agent_blobs *blobs, blob *one)
{
    if (!one->is_hot)
        return;
    assert(one->is_written);
    *(one->hotter ? &one->hotter->colder : &blobs->hottest) = one->colder;
    *(one->colder ? &one->colder->hotter : &blobs->coldest) = one->hotter;
    one->hotter = one->colder = NULL;
    one->is_hot = false;
    blobs->hot_size -= one->content.size;
    rd_buf_done(&one->content);
}

/* What is being written stays, and does not keep what is colder or hotter than it from going. */
static void cool_surplus(agent_blobs *blobs)
{
    for (blob *one = blobs->coldest; one && blobs->hot_size > HOT_SIZE;) {
        blob *hotter = one->hotter;
        if (one->is_written)
            cool(blobs, one);
        one = hotter;
    }
}

static void warm(agent_blobs *blobs, blob *one, rd_bytes content)
{
    if (content.size > HOT_MAX)
        return;
    rd_buf copy = { 0 };
    (void)rd_buf_append_bytes(&copy, content);
    cool(blobs, one);
    one->is_hot = true;
    one->content = copy;
    one->colder = blobs->hottest;
    *(one->colder ? &one->colder->hotter : &blobs->coldest) = one;
    blobs->hottest = one;
    blobs->hot_size += content.size;
    cool_surplus(blobs);
}

/* ---- files ---- */

static void forget_if_idle(agent_blobs *blobs, blob *one)
{
    if (one->is_here || one->pins > 0)
        return;
    (void)rd_table_remove(blobs->table, RD_BYTES_ARRAY(one->digest.b));
    free(one);
}

static void remove_file(agent_blobs *blobs, blob *one)
{
    char path[4096];
    path_of(blobs, &one->digest, path);
    (void)unlink(path);
    if (one->is_here)
        blobs->size -= one->size;
    one->is_here = false;
    one->size = 0;
    cool(blobs, one);
    forget_if_idle(blobs, one);
}

static blob *least_used(const agent_blobs *blobs)
{
    blob *oldest = NULL;
    size_t at = 0;
    rd_bytes key;
    void *value = NULL;
    while (rd_table_next(blobs->table, &at, &key, &value)) {
        blob *one = value;
        if (one->is_here && one->is_written && one->pins == 0 && (!oldest || one->used < oldest->used))
            oldest = one;
    }
    return oldest;
}

static void take_stock(agent_blobs *blobs, const char *name)
{
    rd_digest digest;
    char path[4096];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/%s", blobs->dir, name);
    if (name[0] == '.')
        return;
    if (rd_hex_decode(name, strlen(name), digest.b, sizeof digest.b) < 0 || stat(path, &status) < 0 ||
        !S_ISREG(status.st_mode) || status.st_size > (off_t)BLOB_MAX) {
        (void)unlink(path); /* a half-written file of a crash */
        return;
    }
    blob *one = find_or_add(blobs, &digest);
    if (!one)
        return;
    one->is_here = one->is_written = true;
    one->size = (uint64_t)status.st_size;
    blobs->size += one->size;
}

int agent_blobs_open(const char *dir, uint64_t size_max, rd_loop *loop, agent_blobs **ret, rd_err *err)
{
    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", dir);
    DIR *folder = opendir(dir);
    if (!folder)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", dir);
    agent_blobs *blobs = rd_alloc(sizeof *blobs);
    blobs->dir = rd_strdup(dir);
    blobs->size_max = size_max;
    blobs->loop = loop;
    blobs->table = rd_table_new(COUNT_MAX);
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        take_stock(blobs, entry->d_name);
    closedir(folder);
    *ret = blobs;
    return 0;
}

agent_blobs *agent_blobs_free(agent_blobs *blobs)
{
    if (!blobs)
        return NULL;
    size_t at = 0;
    rd_bytes key;
    void *value = NULL;
    while (blobs->coldest)
        cool(blobs, blobs->coldest);
    while (rd_table_next(blobs->table, &at, &key, &value))
        free(value);
    rd_table_free(blobs->table);
    free(blobs->dir);
    free(blobs);
    return NULL;
}

bool agent_blobs_has(agent_blobs *blobs, const rd_digest *digest)
{
    const blob *one = find(blobs, digest);
    return one && one->is_here;
}

static int make_room(agent_blobs *blobs, size_t size, rd_err *err)
{
    while (blobs->size + size > blobs->size_max) {
        blob *oldest = least_used(blobs);
        if (!oldest)
            return rd_err_set(err, RD_E_SPOOL_FULL, "%s holds %llu of %llu bytes, all in use", blobs->dir,
                              (unsigned long long)blobs->size, (unsigned long long)blobs->size_max);
        remove_file(blobs, oldest);
    }
    return 0;
}

/* Without fsync: a file that a power loss damaged is found by its digest and asked for again. */
static int write_file(const char *path, rd_bytes content, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *temporary = rd_asprintf("%s.tmp", path);
    RD_CLEANUP(rd_close_p) int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t at = 0;
    while (fd >= 0 && at < content.size) {
        ssize_t n = write(fd, content.data + at, content.size - at);
        if (n < 0 && errno != EINTR)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0 && at == content.size && rename(temporary, path) == 0)
        return 0;
    int number = errno;
    (void)unlink(temporary);
    return rd_err_set_errno(err, number == ENOSPC ? RD_E_SPOOL_FULL : RD_E_IO, number, "%s", path);
}

typedef struct writing {
    agent_blobs *blobs;
    rd_digest digest;
    char *path;
    rd_bytes content; /* the blob's: hot until it is written */
    int outcome;
    rd_err err;
} writing;

static void on_write(void *context)
{
    writing *job = context;
    job->outcome = write_file(job->path, job->content, &job->err);
}

/* What could not be written is served from memory for a while, and then is missing. */
static void on_written(void *context, bool is_cancelled)
{
    writing *job = context;
    if (job->outcome < 0 && !is_cancelled)
        rd_log(RD_WARN, "blob_not_kept", RD_ERR(&job->err));
    job->blobs->writes--;
    find(job->blobs, &job->digest)->is_written = true;
    cool_surplus(job->blobs);
    agent_blobs_unpin(job->blobs, &job->digest);
    free(job->path);
    free(job);
}

/* Pinned meanwhile, so that no file comes back that was removed for room. */
static void write_behind(agent_blobs *blobs, const blob *one, const char *path)
{
    writing *job = rd_alloc(sizeof *job);
    *job = (writing){ .blobs = blobs,
                      .digest = one->digest,
                      .path = rd_strdup(path),
                      .content = rd_buf_bytes(&one->content),
                      .err = RD_ERR_INIT };
    agent_blobs_pin(blobs, &one->digest);
    blobs->writes++;
    rd_loop_work(blobs->loop, on_write, on_written, job);
}

int agent_blobs_put(agent_blobs *blobs, const rd_digest *digest, rd_bytes content, rd_err *err)
{
    rd_digest actual;
    rd_sha256(content, actual.b);
    if (!rd_digest_equal(&actual, digest))
        return rd_err_set(err, RD_E_DIGEST_MISMATCH, "%zu bytes do not hash to their name", content.size);
    if (content.size > BLOB_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "a blob of %zu bytes", content.size);
    if (agent_blobs_has(blobs, digest))
        return 0;
    char path[4096];
    path_of(blobs, digest, path);
    bool is_behind = blobs->loop && content.size <= HOT_MAX && blobs->writes < WRITES_MAX;
    if (make_room(blobs, content.size, err) < 0 || (!is_behind && write_file(path, content, err) < 0))
        return -1;
    blob *one = find_or_add(blobs, digest);
    if (!one) {
        (void)unlink(path);
        return rd_err_set(err, RD_E_SPOOL_FULL, "%s holds %d files", blobs->dir, COUNT_MAX);
    }
    one->is_here = true;
    one->is_written = !is_behind;
    one->size = content.size;
    one->used = ++blobs->turn;
    blobs->size += content.size;
    warm(blobs, one, content);
    if (is_behind)
        write_behind(blobs, one, path);
    return 0;
}

int agent_blobs_get(agent_blobs *blobs, const rd_digest *digest, rd_buf *out, rd_err *err)
{
    blob *one = find(blobs, digest);
    if (!one || !one->is_here)
        return rd_err_set(err, RD_E_NOT_FOUND, "no such blob");
    one->used = ++blobs->turn;
    if (one->is_hot) {
        *out = (rd_buf){ 0 };
        (void)rd_buf_append_bytes(out, rd_buf_bytes(&one->content));
        return 0;
    }
    char path[4096];
    path_of(blobs, digest, path);
    rd_buf content = { 0 };
    rd_err reading = RD_ERR_INIT;
    rd_digest actual = { { 0 } };
    if (rd_file_read(path, BLOB_MAX, &content, &reading) == 0)
        rd_sha256(rd_buf_bytes(&content), actual.b);
    if (!rd_digest_equal(&actual, digest)) {
        rd_buf_done(&content);
        remove_file(blobs, one);
        return rd_err_set(err, RD_E_NOT_FOUND, "the blob was damaged on disk and has been removed");
    }
    warm(blobs, one, rd_buf_bytes(&content));
    *out = content;
    return 0;
}

void agent_blobs_pin(agent_blobs *blobs, const rd_digest *digest)
{
    blob *one = find_or_add(blobs, digest);
    if (one)
        one->pins++;
}

void agent_blobs_unpin(agent_blobs *blobs, const rd_digest *digest)
{
    blob *one = find(blobs, digest);
    if (!one || one->pins == 0)
        return;
    one->pins--;
    forget_if_idle(blobs, one);
}

uint64_t agent_blobs_size(const agent_blobs *blobs)
{
    return blobs->size;
}
