#include "common/io/config.h"

#include "common/base/bytes.h"
#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP ((size_t)16384)

int rd_file_read(const char *path, size_t size_max, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    rd_buf content = { .size_max = size_max + READ_STEP };
    for (;;) {
        uint8_t *room = rd_buf_reserve(&content, READ_STEP);
        ssize_t n = room ? read(fd, room, READ_STEP) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            (void)rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
            break;
        }
        rd_buf_commit(&content, (size_t)n);
        if (content.size > size_max) {
            (void)rd_err_set(err, RD_E_TOO_LARGE, "%s: more than %zu bytes", path, size_max);
            break;
        }
        if (n == 0) {
            *out = content;
            return 0;
        }
    }
    rd_buf_wipe(&content);
    return -1;
}

static int write_whole(const char *path, const void *data, size_t size, unsigned mode, bool is_durable)
{
    RD_CLEANUP(rd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || fchmod(fd, mode) < 0)
        return -1;
    const char *at = data;
    while (size > 0) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        size -= (size_t)n;
    }
    return is_durable ? fsync(fd) : 0;
}

static int sync_folder_of(const char *path)
{
    RD_CLEANUP(rd_free_p) char *copy = rd_strdup(path);
    RD_CLEANUP(rd_close_p) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -1 : fsync(fd);
}

static int replace(const char *path, const void *data, size_t size, unsigned mode, bool is_durable, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *name = rd_asprintf("%s.tmp", path);
    if (write_whole(name, data, size, mode, is_durable) < 0 || rename(name, path) < 0 ||
        (is_durable && sync_folder_of(path) < 0)) {
        int number = errno;
        (void)unlink(name);
        return rd_err_set_errno(err, number == ENOSPC ? RD_E_SPOOL_FULL : RD_E_IO, number, "%s", path);
    }
    return 0;
}

int rd_file_write_atomic(const char *path, const void *data, size_t size, unsigned mode, rd_err *err)
{
    return replace(path, data, size, mode, true, err);
}

int rd_file_write_volatile(const char *path, const void *data, size_t size, unsigned mode, rd_err *err)
{
    return replace(path, data, size, mode, false, err);
}
