#include "cli/profile.h"

#include "common/base/bytes.h"
#include "common/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *base_dir(const char *variable, const char *fallback)
{
    const char *given = getenv(variable);
    if (given && given[0] == '/')
        return rd_asprintf("%s/redoubt", given);
    const char *home = getenv("HOME");
    return rd_asprintf("%s/%s/redoubt", home && home[0] ? home : "/", fallback);
}

char *cli_config_dir(void)
{
    return base_dir("XDG_CONFIG_HOME", ".config");
}

char *cli_state_dir(void)
{
    return base_dir("XDG_STATE_HOME", ".local/state");
}

int cli_make_dirs(const char *path, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *copy = rd_strdup(path);
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdir(copy, 0700) < 0 && errno != EEXIST)
            return rd_err_set_errno(err, RD_E_IO, errno, "%s", copy);
        *at = kept;
        if (kept == '\0')
            return 0;
    }
}

static int read_all(int fd, const char *path, size_t size_max, rd_buf *into, rd_err *err)
{
    rd_buf_init(into, size_max + 1);
    for (;;) {
        uint8_t *room = rd_buf_reserve(into, RD_MIN((size_t)65536, size_max + 1 - into->size));
        if (into->size > size_max || !room)
            return rd_err_set(err, RD_E_TOO_LARGE, "%s is larger than %zu bytes", path, size_max);
        ssize_t got = read(fd, room, RD_MIN((size_t)65536, size_max + 1 - into->size));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
        if (got == 0)
            return 0;
        rd_buf_commit(into, (size_t)got);
    }
}

int cli_read_file(const char *path, size_t size_max, uint8_t **ret_data, size_t *ret_size, rd_err *err)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rd_err_set_errno(err, errno == ENOENT ? RD_E_CLI_FILE : RD_E_IO, errno, "%s", path);
    rd_buf content;
    int status = read_all(fd, path, size_max, &content, err);
    if (!is_stdin)
        (void)close(fd);
    if (status < 0) {
        rd_buf_done(&content);
        return -1;
    }
    (void)rd_buf_text(&content);
    *ret_size = content.size;
    *ret_data = content.data ? content.data : rd_alloc(1);
    return 0;
}

int cli_write_file(const char *path, const void *data, size_t size, unsigned mode, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *temporary = rd_asprintf("%s.%ld.tmp", path, (long)getpid());
    RD_CLEANUP(rd_close_p) int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", temporary);
    for (size_t done = 0; done < size;) {
        ssize_t put = write(fd, (const uint8_t *)data + done, size - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "%s", temporary);
        done += (size_t)put;
    }
    if (fsync(fd) < 0 || rename(temporary, path) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    return 0;
}
