#include "api/blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/random.h"

static char *path_of(const char *dir, const uint8_t digest[32])
{
    char hex[65];
    rd_hex_encode(rd_bytes_of(digest, 32), hex);
    return rd_asprintf("%s/%.2s/%s", dir, hex, hex);
}

static int make_folder(const char *path, rd_err *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return rd_err_set_errno(err, RD_E_IO, errno, "making %s", path);
    return 0;
}

static int write_all(int fd, rd_bytes bytes, rd_err *err)
{
    for (size_t done = 0; done < bytes.size;) {
        ssize_t n = write(fd, bytes.data + done, bytes.size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "writing a blob");
        done += (size_t)n;
    }
    if (fsync(fd) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "syncing a blob");
    return 0;
}

static int sync_folder(const char *path, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "syncing %s", path);
    return 0;
}

int api_blob_store(const char *dir, const uint8_t digest[32], rd_bytes bytes, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = path_of(dir, digest);
    struct stat st;
    if (stat(path, &st) == 0 && (uint64_t)st.st_size == bytes.size)
        return 0;
    RD_CLEANUP(rd_free_p) char *folder = rd_strndup(path, strlen(path) - 65);
    uint8_t salt[8];
    char salt_hex[17];
    rd_random_bytes(salt, sizeof(salt));
    rd_hex_encode(RD_BYTES_ARRAY(salt), salt_hex);
    RD_CLEANUP(rd_free_p) char *temporary = rd_asprintf("%s.%s.tmp", path, salt_hex);
    if (make_folder(dir, err) < 0 || make_folder(folder, err) < 0)
        return -1;
    RD_CLEANUP(rd_close_p) int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "making %s", temporary);
    if (write_all(fd, bytes, err) < 0) {
        (void)unlink(temporary);
        return -1;
    }
    if (rename(temporary, path) < 0) {
        int saved = errno;
        (void)unlink(temporary);
        return rd_err_set_errno(err, RD_E_IO, saved, "renaming %s", temporary);
    }
    return sync_folder(folder, err);
}

int api_blob_open(const char *dir, const uint8_t digest[32], int *ret_fd, uint64_t *ret_size, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = path_of(dir, digest);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 && errno == ENOENT)
        return rd_err_set(err, RD_E_BLOB_MISSING, "the blob is not in the blob folder");
    if (fd < 0 || fstat(fd, &st) < 0) {
        int saved = errno;
        rd_close_p(&fd);
        return rd_err_set_errno(err, RD_E_IO, saved, "opening a blob");
    }
    *ret_fd = fd;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

int api_blob_read(const char *dir, const uint8_t digest[32], size_t size_max, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = -1;
    uint64_t size;
    if (api_blob_open(dir, digest, &fd, &size, err) < 0)
        return -1;
    if (size > size_max)
        return rd_err_set(err, RD_E_TOO_LARGE, "the blob has %llu bytes; at most %zu", (unsigned long long)size,
                          size_max);
    uint8_t *into = rd_buf_reserve(out, size);
    if (!into)
        return rd_err_set(err, RD_E_TOO_LARGE, "the blob does not fit");
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, into + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return rd_err_set_errno(err, RD_E_IO, n < 0 ? errno : EIO, "reading a blob");
        done += (size_t)n;
    }
    rd_buf_commit(out, size);
    uint8_t have[RD_SHA256_SIZE];
    rd_sha256(rd_buf_bytes(out), have);
    if (memcmp(have, digest, sizeof(have)) != 0)
        return rd_err_set(err, RD_E_DIGEST_MISMATCH, "the stored blob is damaged");
    return 0;
}
