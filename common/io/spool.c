#include "common/io/spool.h"

#include "common/base/mem.h"
#include "common/io/config.h"
#include "common/io/spool_format.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_STANDARD ((uint64_t)64 << 20)
#define SIZE_LIMIT    ((uint64_t)1 << 30)
#define BATCH_MAX     ((size_t)4 << 20)

typedef struct entry {
    struct entry *next;
    rd_spool_done_fn fn;
    void *context;
    uint16_t type;
    size_t size;
    uint8_t payload[];
} entry;

typedef struct queue {
    entry *head, **tail;
    size_t bytes; /* heads included */
} queue;

typedef enum spool_job { JOB_NONE, JOB_WRITE, JOB_COMPACT } spool_job;

struct rd_spool {
    rd_loop *loop;
    rd_spool_config config;
    char *path;
    int fd, lock_fd;
    spool_header header;
    uint64_t last_seq;
    uint64_t size; /* durable */
    uint64_t torn_size;
    bool has_failed;
    rd_err failure;
    bool is_kick_due;
    queue waiting;
    /* what the thread pool works on; the loop does not touch it meanwhile */
    spool_job job;
    queue flight;
    rd_buf batch;
    int job_errno;
    bool is_job_undone; /* the failed write was cut off again */
    int job_fd;         /* of the compacted file */
    uint64_t job_last_seq;
    spool_header job_header; /* of the compacted file */
    /* compaction asked for */
    rd_spool_collect_fn collect;
    rd_spool_done_fn compacted;
    void *compact_context;
};

struct rd_spool_writer {
    spool_header header;
    rd_buf *out;
    uint64_t seq;
};

/* ---- opening ---- */

static int sync_folder(const char *path)
{
    char *copy = rd_strdup(path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

static int write_all(int fd, rd_bytes bytes, uint64_t offset)
{
    while (bytes.size > 0) {
        ssize_t n = pwrite(fd, bytes.data, bytes.size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return -1;
        }
        bytes.data += n;
        bytes.size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int lock_journal(rd_spool *spool, rd_err *err)
{
    char *name = rd_asprintf("%s.lock", spool->path);
    spool->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    free(name);
    if (spool->lock_fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "lock");
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return rd_err_set(err, RD_E_IO, "another process uses this journal");
    return 0;
}

static int create_journal(rd_spool *spool, rd_err *err)
{
    spool->header.version = SPOOL_VERSION;
    if (RAND_bytes(spool->header.id, sizeof spool->header.id) != 1)
        return rd_err_set(err, RD_E_IO, "no randomness for the journal's id");
    RD_CLEANUP(rd_buf_done) rd_buf out = { 0 };
    spool_header_write(&spool->header, &out);
    if (write_all(spool->fd, rd_buf_bytes(&out), 0) < 0 || fsync(spool->fd) < 0 || sync_folder(spool->path) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "write");
    spool->size = out.size;
    return 0;
}

static int read_journal(rd_spool *spool, uint64_t file_size, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf file = { .size_max = SIZE_LIMIT };
    uint8_t *room = rd_buf_reserve(&file, file_size);
    if (!room)
        return rd_err_set(err, RD_E_SPOOL_CORRUPT, "%llu bytes: larger than a journal gets",
                          (unsigned long long)file_size);
    for (size_t at = 0; at < file_size;) {
        ssize_t n = pread(spool->fd, room + at, file_size - at, (off_t)at);
        if (n <= 0)
            return rd_err_set_errno(err, RD_E_IO, n < 0 ? errno : EIO, "read");
        at += (size_t)n;
        rd_buf_commit(&file, (size_t)n);
    }
    spool_scan scan;
    if (spool_header_read(rd_buf_bytes(&file), &spool->header, err) < 0 ||
        spool_recover(rd_buf_bytes(&file), spool->config.on_record, spool->config.context, &scan, err) < 0)
        return -1;
    spool->last_seq = scan.last_seq;
    spool->size = scan.valid_size;
    spool->torn_size = scan.torn_size;
    if (scan.torn_size > 0 && (ftruncate(spool->fd, (off_t)scan.valid_size) < 0 || fsync(spool->fd) < 0))
        return rd_err_set_errno(err, RD_E_IO, errno, "cutting the torn tail");
    return 0;
}

static int open_journal(rd_spool *spool, rd_err *err)
{
    if (lock_journal(spool, err) < 0)
        return -1;
    spool->fd = open(spool->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat status;
    if (spool->fd < 0 || fstat(spool->fd, &status) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "open");
    if (!S_ISREG(status.st_mode))
        return rd_err_set(err, RD_E_IO, "not a regular file");
    /* A crash while it was being created leaves less than a header: nothing was ever promised by it. */
    if (status.st_size < SPOOL_HEADER_SIZE)
        return ftruncate(spool->fd, 0) < 0 ? rd_err_set_errno(err, RD_E_IO, errno, "create")
                                           : create_journal(spool, err);
    return read_journal(spool, (uint64_t)status.st_size, err);
}

static void queue_init(queue *q)
{
    *q = (queue){ .tail = &q->head };
}

static void spool_destroy(rd_spool *spool)
{
    if (spool->fd >= 0)
        close(spool->fd);
    if (spool->lock_fd >= 0)
        close(spool->lock_fd);
    rd_buf_done(&spool->batch);
    free(spool->path);
    free(spool);
}

int rd_spool_open(rd_loop *loop, const rd_spool_config *config, rd_spool **ret, rd_err *err)
{
    rd_spool *spool = rd_alloc(sizeof *spool);
    spool->loop = loop;
    spool->config = *config;
    spool->path = rd_strdup(config->path);
    spool->config.path = spool->path;
    if (!spool->config.size_max)
        spool->config.size_max = SIZE_STANDARD;
    spool->config.size_max = RD_MIN(spool->config.size_max, SIZE_LIMIT);
    spool->fd = spool->lock_fd = -1;
    queue_init(&spool->waiting);
    queue_init(&spool->flight);
    rd_buf_init(&spool->batch, SIZE_LIMIT);
    if (open_journal(spool, err) < 0) {
        (void)rd_err_wrap(err, "journal %s", config->path);
        spool_destroy(spool);
        return -1;
    }
    *ret = spool;
    return 0;
}

/* ---- queues ---- */

static void run_callbacks(queue *q, const rd_err *error)
{
    entry *list = q->head;
    queue_init(q);
    while (list) {
        entry *next = list->next;
        if (list->fn)
            list->fn(list->context, error);
        free(list);
        list = next;
    }
}

static void fail_for_good(rd_spool *spool, int error_number, const char *what)
{
    if (spool->has_failed)
        return;
    spool->has_failed = true;
    (void)rd_err_set_errno(&spool->failure, RD_E_SPOOL_FAILED, error_number, "journal %s: %s", spool->path, what);
    if (spool->config.on_failed)
        spool->config.on_failed(spool->config.context, &spool->failure);
}

/* Moves waiting entries into the batch, up to BATCH_MAX. */
static void fill_batch(rd_spool *spool)
{
    rd_buf_clear(&spool->batch);
    spool->job_last_seq = spool->last_seq;
    while (spool->waiting.head && spool->batch.size < BATCH_MAX) {
        entry *one = spool->waiting.head;
        spool->waiting.head = one->next;
        if (!spool->waiting.head)
            spool->waiting.tail = &spool->waiting.head;
        spool->waiting.bytes -= SPOOL_HEAD_SIZE + one->size;
        one->next = NULL;
        *spool->flight.tail = one;
        spool->flight.tail = &one->next;
        (void)spool_record_write(&spool->header, one->type, ++spool->job_last_seq, spool->size,
                                 rd_bytes_of(one->payload, one->size), &spool->batch);
    }
}

/* ---- on the thread pool ---- */

static void write_batch(rd_spool *spool)
{
    spool->job_errno = 0;
    spool->is_job_undone = false;
    if (write_all(spool->fd, rd_buf_bytes(&spool->batch), spool->size) < 0) {
        spool->job_errno = errno;
        /* Out of space is the one failure that leaves what was durable as it was. */
        spool->is_job_undone = (errno == ENOSPC || errno == EDQUOT) && ftruncate(spool->fd, (off_t)spool->size) == 0;
        return;
    }
    if (fdatasync(spool->fd) < 0)
        spool->job_errno = errno ? errno : EIO;
}

static void write_compacted(rd_spool *spool)
{
    char *name = rd_asprintf("%s.tmp", spool->path);
    spool->job_errno = 0;
    spool->is_job_undone = true;
    spool->job_fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (spool->job_fd < 0 || write_all(spool->job_fd, rd_buf_bytes(&spool->batch), 0) < 0 || fsync(spool->job_fd) < 0) {
        spool->job_errno = errno;
        (void)unlink(name);
    } else if (rename(name, spool->path) < 0 || sync_folder(spool->path) < 0) {
        spool->job_errno = errno;
        spool->is_job_undone = false; /* which file a crash would leave is unknown */
    }
    free(name);
}

static void on_work(void *context)
{
    rd_spool *spool = context;
    if (spool->job == JOB_WRITE)
        write_batch(spool);
    else
        write_compacted(spool);
}

/* ---- back on the loop ---- */

static void kick_later(rd_spool *spool);

static void finish_write(rd_spool *spool)
{
    if (spool->job_errno == 0) {
        spool->size += spool->batch.size;
        spool->last_seq = spool->job_last_seq;
        run_callbacks(&spool->flight, NULL);
        return;
    }
    rd_err err = RD_ERR_INIT;
    if (spool->is_job_undone) {
        (void)rd_err_set_errno(&err, RD_E_SPOOL_FULL, spool->job_errno, "journal %s", spool->path);
    } else {
        fail_for_good(spool, spool->job_errno, "write");
        err = spool->failure;
    }
    run_callbacks(&spool->flight, &err);
}

static void finish_compaction(rd_spool *spool)
{
    rd_spool_done_fn done = spool->compacted;
    void *context = spool->compact_context;
    rd_err err = RD_ERR_INIT;
    spool->compacted = NULL;
    if (spool->job_errno == 0) {
        close(spool->fd);
        spool->fd = spool->job_fd;
        spool->size = spool->batch.size;
        spool->last_seq = spool->job_last_seq;
        spool->header = spool->job_header;
    } else {
        if (spool->job_fd >= 0)
            close(spool->job_fd);
        (void)rd_err_set_errno(&err, RD_E_IO, spool->job_errno, "journal %s: compaction", spool->path);
        if (!spool->is_job_undone)
            fail_for_good(spool, spool->job_errno, "compaction");
    }
    if (done)
        done(context, spool->job_errno == 0 ? NULL : &err);
}

static void on_work_done(void *context, bool is_cancelled)
{
    rd_spool *spool = context;
    if (is_cancelled) {
        spool->job_errno = ECANCELED;
        spool->is_job_undone = true;
        spool->job_fd = -1;
    }
    spool_job job = spool->job;
    spool->job = JOB_NONE;
    if (job == JOB_WRITE)
        finish_write(spool);
    else
        finish_compaction(spool);
    rd_buf_done(&spool->batch);
    if (spool->has_failed)
        run_callbacks(&spool->waiting, &spool->failure);
    kick_later(spool);
}

static void begin_compaction(rd_spool *spool)
{
    spool_header header = spool->header;
    header.version = SPOOL_VERSION;
    header.generation++;
    spool->job_header = header;
    rd_buf_clear(&spool->batch);
    spool_header_write(&header, &spool->batch);
    rd_spool_writer writer = { .header = header, .out = &spool->batch, .seq = spool->last_seq };
    rd_spool_collect_fn collect = spool->collect;
    spool->collect = NULL;
    rd_err err = RD_ERR_INIT;
    if (collect(spool->compact_context, &writer, &err) < 0 || spool->batch.has_failed) {
        rd_spool_done_fn done = spool->compacted;
        spool->compacted = NULL;
        rd_buf_done(&spool->batch);
        if (done)
            done(spool->compact_context, &err);
        kick_later(spool);
        return;
    }
    spool->job_last_seq = writer.seq + 1;
    (void)spool_record_write(&header, SPOOL_TYPE_CLOSED, spool->job_last_seq, spool->batch.size, RD_BYTES_NULL,
                             &spool->batch);
    spool->job = JOB_COMPACT;
    rd_loop_work(spool->loop, on_work, on_work_done, spool);
}

static void kick(rd_spool *spool)
{
    if (spool->job != JOB_NONE || spool->has_failed)
        return;
    if (spool->collect) {
        begin_compaction(spool);
        return;
    }
    if (!spool->waiting.head)
        return;
    fill_batch(spool);
    spool->job = JOB_WRITE;
    rd_loop_work(spool->loop, on_work, on_work_done, spool);
}

static void on_kick(void *context)
{
    rd_spool *spool = context;
    spool->is_kick_due = false;
    kick(spool);
}

/* One turn later, so that everything that a turn appends goes out with one fsync; while one runs the next group
 * gathers by itself. */
static void kick_later(rd_spool *spool)
{
    if (spool->is_kick_due || spool->job != JOB_NONE || (!spool->waiting.head && !spool->collect))
        return;
    spool->is_kick_due = true;
    rd_loop_defer(spool->loop, on_kick, spool);
}

/* ---- the owner's functions ---- */

int rd_spool_append(rd_spool *spool, uint16_t type, rd_bytes payload, rd_spool_done_fn fn, void *context, rd_err *err)
{
    if (spool->has_failed) {
        if (err)
            *err = spool->failure;
        return -1;
    }
    size_t size = SPOOL_HEAD_SIZE + payload.size;
    if (payload.size > RD_SPOOL_PAYLOAD_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "a record of %zu bytes", payload.size);
    if (spool->size + spool->batch.size + spool->waiting.bytes + size > spool->config.size_max)
        return rd_err_set(err, RD_E_SPOOL_FULL, "journal %s has reached its %llu bytes", spool->path,
                          (unsigned long long)spool->config.size_max);
    entry *one = rd_alloc(sizeof *one + payload.size);
    one->fn = fn;
    one->context = context;
    one->type = type;
    one->size = payload.size;
    if (payload.size > 0)
        memcpy(one->payload, payload.data, payload.size);
    *spool->waiting.tail = one;
    spool->waiting.tail = &one->next;
    spool->waiting.bytes += size;
    kick_later(spool);
    return 0;
}

int rd_spool_writer_add(rd_spool_writer *writer, uint16_t type, rd_bytes payload, rd_err *err)
{
    if (payload.size > RD_SPOOL_PAYLOAD_MAX ||
        !spool_record_write(&writer->header, type, ++writer->seq, 0, payload, writer->out))
        return rd_err_set(err, RD_E_TOO_LARGE, "a record of %zu bytes", payload.size);
    return 0;
}

int rd_spool_compact(rd_spool *spool, rd_spool_collect_fn collect, rd_spool_done_fn done, void *context, rd_err *err)
{
    if (spool->collect || spool->job == JOB_COMPACT)
        return rd_err_set(err, RD_E_UNAVAILABLE, "a compaction is running");
    if (spool->has_failed)
        return rd_err_set(err, RD_E_SPOOL_FAILED, "the journal has failed");
    spool->collect = collect;
    spool->compacted = done;
    spool->compact_context = context;
    kick_later(spool);
    return 0;
}

/* The closing mark makes recovery sure of every byte before it. */
static void write_closing_mark(rd_spool *spool)
{
    rd_buf_clear(&spool->batch);
    if (!spool_record_write(&spool->header, SPOOL_TYPE_CLOSED, spool->last_seq + 1, spool->size, RD_BYTES_NULL,
                            &spool->batch))
        return;
    if (write_all(spool->fd, rd_buf_bytes(&spool->batch), spool->size) == 0)
        (void)fdatasync(spool->fd);
}

rd_spool *rd_spool_close(rd_spool *spool)
{
    if (!spool)
        return NULL;
    spool->collect = NULL;
    while (spool->job != JOB_NONE || spool->is_kick_due || (spool->waiting.head && !spool->has_failed))
        rd_loop_turn(spool->loop, true);
    if (!spool->has_failed)
        write_closing_mark(spool);
    spool_destroy(spool);
    return NULL;
}

const uint8_t *rd_spool_id(const rd_spool *spool)
{
    return spool->header.id;
}

uint64_t rd_spool_size(const rd_spool *spool)
{
    return spool->size;
}

uint64_t rd_spool_torn_bytes(const rd_spool *spool)
{
    return spool->torn_size;
}

bool rd_spool_is_healthy(const rd_spool *spool)
{
    return !spool->has_failed;
}

bool rd_spool_wants_compaction(const rd_spool *spool)
{
    return spool->size > spool->config.size_max / 2;
}
