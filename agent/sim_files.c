#include "agent/sim_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_SIZE_MAX ((size_t)1 << 20)

int agent_sim_read(const char *dir, const char *name, rd_buf *out, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    RD_CLEANUP(rd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    size_t start = out->size;
    for (;;) {
        uint8_t *room = rd_buf_reserve(out, 4096);
        ssize_t got = room ? read(fd, room, 4096) : -1;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
        if (got == 0)
            return 0;
        rd_buf_commit(out, (size_t)got);
        if (out->size - start > FILE_SIZE_MAX)
            return rd_err_set(err, RD_E_TOO_LARGE, "%s: larger than %zu bytes", path, FILE_SIZE_MAX);
    }
}

int agent_sim_read_key(const char *dir, const char *name, rd_p256_key **ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf pem = { 0 };
    if (agent_sim_read(dir, name, &pem, err) < 0)
        return -1;
    return rd_p256_key_from_pem(rd_buf_bytes(&pem), ret, err) < 0 ? rd_err_wrap(err, "%s", name) : 0;
}

int agent_sim_read_cert(const char *dir, const char *name, rd_cert **ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf pem = { 0 };
    if (agent_sim_read(dir, name, &pem, err) < 0)
        return -1;
    return rd_cert_parse_pem(rd_buf_bytes(&pem), ret, err) < 0 ? rd_err_wrap(err, "%s", name) : 0;
}

static int write_all(int fd, rd_bytes bytes)
{
    while (bytes.size > 0) {
        ssize_t put = write(fd, bytes.data, bytes.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        bytes = rd_bytes_of(bytes.data + put, bytes.size - (size_t)put);
    }
    return fsync(fd);
}

/* The name is durable as the bytes are: what a sealing key closed must not outlive it. */
static int sync_folder(const char *dir)
{
    RD_CLEANUP(rd_close_p) int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 ? -1 : fsync(folder);
}

int agent_sim_read_root(const char *platform_dir, uint8_t ret[32], rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf pem = { 0 };
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    if (agent_sim_read(platform_dir, "pck-chain.pem", &pem, err) < 0 ||
        rd_certs_parse_pem(rd_buf_bytes(&pem), 3, &certs, err) < 0)
        return -1;
    if (certs.count == 0)
        return rd_err_set(err, RD_E_KEY_FORMAT, "%s/pck-chain.pem holds no certificate", platform_dir);
    rd_cert_fingerprint(certs.items[certs.count - 1], ret);
    return 0;
}

int agent_sim_write(const char *dir, const char *name, unsigned mode, rd_bytes bytes, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    RD_CLEANUP(rd_free_p) char *beside = rd_asprintf("%s.%d.new", path, (int)getpid());
    RD_CLEANUP(rd_close_p) int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", beside);
    if (write_all(fd, bytes) == 0 && rename(beside, path) == 0 && sync_folder(dir) == 0)
        return 0;
    int why = errno;
    (void)unlink(beside);
    return rd_err_set_errno(err, RD_E_IO, why, "%s", path);
}

int agent_sim_write_key(const char *dir, const char *name, const rd_p256_key *key, rd_err *err)
{
    RD_CLEANUP(rd_buf_wipe) rd_buf pem = { 0 };
    if (rd_p256_key_to_pem(key, &pem, err) < 0)
        return -1;
    return agent_sim_write(dir, name, 0600, rd_buf_bytes(&pem), err);
}

int agent_sim_write_cert(const char *dir, const char *name, const rd_cert *cert, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf pem = { 0 };
    rd_cert_to_pem(cert, &pem);
    return agent_sim_write(dir, name, 0644, rd_buf_bytes(&pem), err);
}

int agent_sim_make_dir(const char *dir, rd_err *err)
{
    struct stat info;
    if (mkdir(dir, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", dir);
    if (stat(dir, &info) < 0 || !S_ISDIR(info.st_mode))
        return rd_err_set(err, RD_E_IO, "%s: not a folder", dir);
    return 0;
}

bool agent_sim_exists(const char *dir, const char *name)
{
    RD_CLEANUP(rd_free_p) char *path = rd_asprintf("%s/%s", dir, name);
    return access(path, F_OK) == 0 || errno != ENOENT; /* one that cannot be read is there: nothing takes its place */
}
