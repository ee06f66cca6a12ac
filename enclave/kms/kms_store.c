#include "enclave/kms/kms_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/cursor.h"
#include "common/base/mem.h"
#include "common/crypto/aead.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"

#define MAGIC     "redoubt/kms-state/v1"
#define HEAD_SIZE (8 + 4 + RD_AEAD_NONCE_SIZE) /* generation, size of what follows, nonce */

static int open_in(const char *dir, const char *name, int flags, unsigned mode)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    return open(path, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

/* A folder that is new is there after a crash too: what is synced inside it counts on that. */
static int make_folder(const char *dir, rd_err *err)
{
    if (mkdir(dir, 0700) < 0)
        return errno == EEXIST ? 0 : rd_err_set_errno(err, RD_E_IO, errno, "%s", dir);
    RD_CLEANUP(rd_close_p) int above = open_in(dir, "..", O_RDONLY | O_DIRECTORY, 0);
    if (above < 0 || fsync(above) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/..", dir);
    return 0;
}

int kms_store_open(const char *dir, kms_store *ret, rd_err *err)
{
    struct stat info;
    *ret = (kms_store){ .slots = { -1, -1 }, .lock_fd = -1 };
    if (make_folder(dir, err) < 0)
        return -1;
    if (stat(dir, &info) < 0 || !S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 077) != 0)
        return rd_err_set(err, RD_E_CONFIG, "%s is not a folder of ours that nobody else may enter (chmod 700)", dir);
    ret->lock_fd = open_in(dir, "lock", O_RDWR | O_CREAT, 0600);
    if (ret->lock_fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/lock", dir);
    if (flock(ret->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return rd_err_set_errno(err, RD_E_CONFIG, errno, "%s is another key service's", dir);
    ret->slots[0] = open_in(dir, "state.0", O_RDWR | O_CREAT, 0600);
    ret->slots[1] = open_in(dir, "state.1", O_RDWR | O_CREAT, 0600);
    if (ret->slots[0] < 0 || ret->slots[1] < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/state", dir);
    return 0;
}

void kms_store_done(kms_store *store)
{
    rd_close_p(&store->slots[0]);
    rd_close_p(&store->slots[1]);
    rd_close_p(&store->lock_fd);
}

/* --- slots --- */

static int read_at(int fd, size_t offset, uint8_t *out, size_t size)
{
    while (size > 0) {
        ssize_t got = pread(fd, out, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        out += got;
        offset += (size_t)got;
        size -= (size_t)got;
    }
    return 0;
}

static void aad_of(uint64_t generation, rd_buf *out)
{
    rd_buf_append_str(out, MAGIC);
    rd_buf_append_u64be(out, generation);
}

/* 1: a slot that opens; 0: empty, cut off or another key's. */
static int open_slot(int fd, const uint8_t key[32], rd_buf *ret, uint64_t *ret_generation)
{
    uint8_t head[HEAD_SIZE];
    if (read_at(fd, 0, head, sizeof(head)) < 0)
        return 0;
    rd_cursor cursor = rd_cursor_of(RD_BYTES_ARRAY(head));
    uint64_t generation = rd_cursor_u64be(&cursor);
    uint32_t size = rd_cursor_u32be(&cursor);
    const uint8_t *nonce = rd_cursor_rest(&cursor).data;
    if (generation == 0 || size < RD_AEAD_TAG_SIZE || size > KMS_STATE_MAX)
        return 0;
    RD_CLEANUP(rd_free_p) uint8_t *sealed = rd_alloc(size);
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    aad_of(generation, &aad);
    if (read_at(fd, HEAD_SIZE, sealed, size) < 0 ||
        rd_aead_open(rd_bytes_of(key, 32), nonce, rd_buf_bytes(&aad), rd_bytes_of(sealed, size), ret, NULL) < 0)
        return 0;
    *ret_generation = generation;
    return 1;
}

int kms_store_load(kms_store *store, const uint8_t key[32], rd_buf *ret, bool *ret_found, rd_err *err)
{
    rd_buf found[2] = { { .size_max = KMS_STATE_MAX }, { .size_max = KMS_STATE_MAX } };
    uint64_t generation[2] = { 0, 0 };
    *ret_found = false;
    for (int i = 0; i < 2; i++)
        (void)open_slot(store->slots[i], key, &found[i], &generation[i]);
    int newest = generation[1] > generation[0];
    store->generation = generation[newest];
    *ret_found = generation[newest] > 0;
    bool is_ok = rd_buf_append_bytes(ret, rd_buf_bytes(&found[newest]));
    rd_buf_wipe(&found[0]);
    rd_buf_wipe(&found[1]);
    return is_ok ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "state");
}

static int write_slot(int fd, rd_bytes bytes)
{
    size_t done = 0;
    while (done < bytes.size) {
        ssize_t put = pwrite(fd, bytes.data + done, bytes.size - done, (off_t)done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        done += (size_t)put;
    }
    return fdatasync(fd);
}

int kms_store_save(kms_store *store, const uint8_t key[32], rd_bytes state, rd_err *err)
{
    uint64_t generation = store->generation + 1;
    uint8_t nonce[RD_AEAD_NONCE_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf aad = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf slot = { .size_max = KMS_STATE_MAX + HEAD_SIZE + RD_AEAD_TAG_SIZE };
    rd_random_bytes(nonce, sizeof(nonce));
    aad_of(generation, &aad);
    rd_buf_append_u64be(&slot, generation);
    rd_buf_append_u32be(&slot, (uint32_t)(state.size + RD_AEAD_TAG_SIZE));
    rd_buf_append(&slot, nonce, sizeof(nonce));
    if (rd_aead_seal(rd_bytes_of(key, 32), nonce, rd_buf_bytes(&aad), state, &slot, err) < 0)
        return -1;
    if (write_slot(store->slots[generation & 1], rd_buf_bytes(&slot)) < 0)
        return rd_err_set_errno(err, RD_E_KMS_AUDIT, errno, "the state could not be kept");
    store->generation = generation;
    return 0;
}

/* --- files --- */

int kms_store_read(const char *dir, const char *name, size_t size_max, rd_buf *ret, bool *ret_found, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = open_in(dir, name, O_RDONLY, 0);
    struct stat info;
    *ret_found = fd >= 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &info) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/%s", dir, name);
    if (info.st_size < 0 || (uint64_t)info.st_size > size_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "%s/%s has %lld bytes", dir, name, (long long)info.st_size);
    uint8_t *room = rd_buf_reserve(ret, (size_t)info.st_size);
    if (!room || read_at(fd, 0, room, (size_t)info.st_size) < 0)
        return rd_err_set(err, RD_E_IO, "%s/%s cannot be read", dir, name);
    rd_buf_commit(ret, (size_t)info.st_size);
    return 0;
}

static int write_beside(const char *path, unsigned mode, rd_bytes bytes)
{
    RD_CLEANUP(rd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    return fd < 0 || write_slot(fd, bytes) < 0 || fsync(fd) < 0 ? -1 : 0;
}

int kms_store_write(const char *dir, const char *name, unsigned mode, rd_bytes bytes, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    RD_CLEANUP(rd_free_p) char *draft = rd_asprintf("%s.tmp", path);
    RD_CLEANUP(rd_close_p) int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || write_beside(draft, mode, bytes) < 0 || rename(draft, path) < 0 || fsync(folder) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    return 0;
}

/* --- a root that came: sealed root ‖ SHA-256 of it --- */

int kms_store_open_joined(const char *dir, int *ret_fd, rd_err *err)
{
    *ret_fd = open_in(dir, KMS_FILE_JOINED, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    RD_CLEANUP(rd_close_p) int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*ret_fd < 0 || folder < 0 || fsync(folder) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s/" KMS_FILE_JOINED, dir);
    return 0;
}

int kms_store_write_joined(int fd, rd_bytes sealed, rd_err *err)
{
    uint8_t digest[RD_SHA256_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf whole = { 0 };
    rd_sha256(sealed, digest);
    rd_buf_append_bytes(&whole, sealed);
    rd_buf_append(&whole, digest, sizeof(digest));
    if (write_slot(fd, rd_buf_bytes(&whole)) < 0)
        return rd_err_set_errno(err, RD_E_KMS_AUDIT, errno, "the root that came could not be kept");
    return 0;
}

int kms_store_read_joined(const char *dir, rd_buf *ret, bool *ret_there, rd_err *err)
{
    bool has_file = false;
    uint8_t digest[RD_SHA256_SIZE];
    RD_CLEANUP(rd_buf_done) rd_buf whole = { 0 };
    *ret_there = false;
    if (kms_store_read(dir, KMS_FILE_JOINED, KMS_ROOT_FILE_MAX, &whole, &has_file, err) < 0)
        return -1;
    if (!has_file || whole.size <= sizeof(digest))
        return 0;
    rd_bytes sealed = rd_bytes_of(whole.data, whole.size - sizeof(digest));
    rd_sha256(sealed, digest);
    *ret_there = memcmp(digest, sealed.data + sealed.size, sizeof(digest)) == 0;
    if (*ret_there && !rd_buf_append_bytes(ret, sealed))
        return rd_err_set(err, RD_E_TOO_LARGE, "%s/" KMS_FILE_JOINED, dir);
    return 0;
}

int kms_store_adopt_joined(const char *dir, rd_bytes sealed, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *joined = rd_asprintf("%s/" KMS_FILE_JOINED, dir);
    if (kms_store_write(dir, KMS_FILE_ROOT, 0600, sealed, err) < 0)
        return -1;
    return unlink(joined) < 0 ? rd_err_set_errno(err, RD_E_IO, errno, "%s", joined) : 0;
}
