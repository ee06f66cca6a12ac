#include "agent/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/launcher.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"

#define BINARY_MAX ((off_t)256 << 20)

int agent_enclave_path(const char *path, char *out, size_t out_size, rd_err *err)
{
    char self[PATH_MAX];
    if (path != NULL) {
        if (snprintf(out, out_size, "%s", path) < (int)out_size)
            return 0;
        return rd_err_set(err, RD_E_CONFIG, "the enclave's path is too long");
    }
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (size <= 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "/proc/self/exe");
    self[size] = '\0';
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return rd_err_set(err, RD_E_IO, "this program's path is %s", self);
    *slash = '\0';
    if (snprintf(out, out_size, "%s/redoubt-enclave", self) < (int)out_size)
        return 0;
    return rd_err_set(err, RD_E_CONFIG, "the enclave's path is too long");
}

bool agent_enclave_find_jsc(const char *enclave, char *out, size_t out_size)
{
    const char *slash = strrchr(enclave, '/');
    int size = slash ? (int)(slash - enclave) : 1;
    return snprintf(out, out_size, "%.*s/redoubt-enclave-jsc", size, slash ? enclave : ".") < (int)out_size &&
           access(out, X_OK) == 0;
}

static int copy_and_hash(int from, int into, uint8_t mrtd[AGENT_MRTD_SIZE], rd_err *err)
{
    uint8_t chunk[64 << 10];
    off_t total = 0;
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA384);
    for (;;) {
        ssize_t got = read(from, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rd_err_set_errno(err, RD_E_IO, errno, "reading the enclave");
        if (got == 0)
            break;
        total += got;
        if (total > BINARY_MAX)
            return rd_err_set(err, RD_E_TOO_LARGE, "the enclave is larger than %lld bytes", (long long)BINARY_MAX);
        if (write(into, chunk, (size_t)got) != got)
            return rd_err_set_errno(err, RD_E_IO, errno, "copying the enclave");
        rd_hasher_update(&hasher, rd_bytes_of(chunk, (size_t)got));
    }
    rd_hasher_final(&hasher, mrtd);
    return 0;
}

int agent_measure_open(const char *path, int *ret_fd, uint8_t ret_mrtd[AGENT_MRTD_SIZE], rd_err *err)
{
    RD_CLEANUP(rd_close_p) int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "%s", path);
    RD_CLEANUP(rd_close_p) int copy = memfd_create("redoubt-enclave", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (copy < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "memfd");
    if (copy_and_hash(file, copy, ret_mrtd, err) < 0)
        return rd_err_wrap(err, "%s", path);
    /* What was measured is what runs: nobody can write to it any more. */
    if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0 ||
        fchmod(copy, 0500) < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "sealing the enclave's copy");
    *ret_fd = rd_fd_take(&copy);
    return 0;
}

int agent_measure_main(int argc, char **argv)
{
    if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
        (void)fputs("redoubt-agent measure [PATH]\n"
                    "Prints the measurement (MRTD) of an enclave binary, by default of redoubt-enclave beside this "
                    "program.\n",
                    argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    char path[PATH_MAX];
    char text[2 * AGENT_MRTD_SIZE + 1];
    uint8_t mrtd[AGENT_MRTD_SIZE];
    rd_err err = RD_ERR_INIT;
    RD_CLEANUP(rd_close_p) int fd = -1;
    if (agent_enclave_path(argc == 2 ? argv[1] : NULL, path, sizeof(path), &err) < 0 ||
        agent_measure_open(path, &fd, mrtd, &err) < 0) {
        (void)fprintf(stderr, "redoubt-agent: measure: %s\n", err.text);
        return 1;
    }
    rd_hex_encode(RD_BYTES_ARRAY(mrtd), text);
    (void)printf("{\"mrtd\":\"%s\",\"path\":\"%s\"}\n", text, path);
    return 0;
}
