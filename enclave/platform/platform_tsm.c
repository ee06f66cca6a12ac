/* TDX guests by configfs-tsm (Linux ABI configfs-tsm-report; attestation.md, section 6). */
#include "enclave/platform/platform.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "enclave/platform/platform_tsm_priv.h"

#define TSM_QUOTE_MAX (16u << 10)
#define TSM_TRIES     4

typedef struct tsm_platform {
    encl_platform base;
    int report_fd; /* directory <root>/report */
    int rtmr_fd;   /* register 3 */
} tsm_platform;

/* Reads a whole small file below dir. */
static int read_at(int dir, const char *path, rd_buf *ret, size_t size_max, rd_err *err)
{
    RD_CLEANUP(rd_close_p) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "open %s", path);
    for (;;) {
        uint8_t chunk[4096];
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return rd_err_set_errno(err, RD_E_TEE_REFUSED, errno, "read %s", path);
        if (got == 0)
            return 0;
        if (ret->size + (size_t)got > size_max)
            return rd_err_set(err, RD_E_TEE_REFUSED, "%s is longer than %zu bytes", path, size_max);
        rd_buf_append(ret, chunk, (size_t)got);
    }
}

static int read_generation(int dir, const char *name, uint64_t *ret, rd_err *err)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/generation", name);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (read_at(dir, path, &text, 32, err) < 0)
        return -1;
    size_t size = text.size;
    while (size > 0 && text.data[size - 1] == '\n')
        size--;
    if (rd_parse_u64(rd_buf_text(&text), size, UINT64_MAX, ret) < 0)
        return rd_err_set(err, RD_E_TEE_REFUSED, "%s is not a number", path);
    return 0;
}

/* Binary attributes take effect on close, whose error the kernel keeps to itself: one write, then the generation tells.
 */
static int write_inblob(int dir, const char *name, const uint8_t report_data[64], rd_err *err)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/inblob", name);
    RD_CLEANUP(rd_close_p) int fd = openat(dir, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "open %s", path);
    ssize_t put = write(fd, report_data, 64);
    if (put != 64)
        return rd_err_set_errno(err, RD_E_TEE_REFUSED, put < 0 ? errno : EIO, "write %s", path);
    return 0;
}

static int check_provider(int dir, const char *name, rd_err *err)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/provider", name);
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (read_at(dir, path, &text, 64, err) < 0)
        return -1;
    if (strcmp(rd_buf_text(&text), "tdx_guest\n") != 0 && strcmp(rd_buf_text(&text), "tdx_guest") != 0)
        return rd_err_set(err, RD_E_TEE_UNAVAILABLE, "the provider of configfs-tsm is %s, wanted tdx_guest",
                          rd_buf_text(&text));
    return 0;
}

int encl_tsm_entry_quote(int dir, const char *name, const uint8_t report_data[64], rd_buf *ret, rd_err *err)
{
    uint64_t before = 0, after = 0;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/outblob", name);
    size_t size_before = ret->size;
    if (check_provider(dir, name, err) < 0 || read_generation(dir, name, &before, err) < 0 ||
        write_inblob(dir, name, report_data, err) < 0 ||
        read_at(dir, path, ret, size_before + TSM_QUOTE_MAX, err) < 0 || read_generation(dir, name, &after, err) < 0)
        return -1;
    if (after == before + 1)
        return 0;
    rd_wipe(ret->data + size_before, ret->size - size_before);
    ret->size = size_before;
    return 1;
}

static int tsm_quote(encl_platform *platform, const uint8_t report_data[64], rd_buf *ret, rd_err *err)
{
    tsm_platform *tsm = (tsm_platform *)platform;
    for (int attempt = 0; attempt < TSM_TRIES; attempt++) {
        uint8_t nonce[8];
        char name[40] = "redoubt-";
        if (encl_platform_random(platform, nonce, sizeof(nonce), err) < 0)
            return -1;
        rd_hex_encode(RD_BYTES_ARRAY(nonce), name + strlen(name));
        if (mkdirat(tsm->report_fd, name, 0700) < 0) {
            if (errno == EEXIST)
                continue;
            return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "configfs-tsm entry");
        }
        int outcome = encl_tsm_entry_quote(tsm->report_fd, name, report_data, ret, err);
        (void)unlinkat(tsm->report_fd, name, AT_REMOVEDIR);
        if (outcome <= 0)
            return outcome;
    }
    return rd_err_set(err, RD_E_TEE_REFUSED, "configfs-tsm entries were used by others %d times", TSM_TRIES);
}

static int tsm_extend(encl_platform *platform, const uint8_t (*digests)[48], size_t count, rd_err *err)
{
    tsm_platform *tsm = (tsm_platform *)platform;
    for (size_t i = 0; i < count; i++) {
        ssize_t put = pwrite(tsm->rtmr_fd, digests[i], 48, 0);
        if (put != 48)
            return rd_err_set_errno(err, RD_E_TEE_REFUSED, put < 0 ? errno : EIO, "extend register 3");
    }
    return 0;
}

static void tsm_free(encl_platform *platform)
{
    tsm_platform *tsm = (tsm_platform *)platform;
    rd_close_p(&tsm->report_fd);
    rd_close_p(&tsm->rtmr_fd);
    free(tsm);
}

static const encl_platform_ops tsm_ops = {
    .tee = "tdx", .class_ = "hardware", .extend = tsm_extend, .quote = tsm_quote, .free = tsm_free
};

int encl_platform_tsm_new(const char *root, const char *rtmr_path, encl_platform **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *report = rd_asprintf("%s/report", root);
    RD_CLEANUP(rd_close_p) int report_fd = open(report, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (report_fd < 0)
        return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "no configfs-tsm at %s", report);
    /* A runtime that cannot extend and close must stop before it reads the application. */
    RD_CLEANUP(rd_close_p) int rtmr_fd = open(rtmr_path, O_WRONLY | O_CLOEXEC);
    if (rtmr_fd < 0)
        return rd_err_set_errno(err, RD_E_TEE_UNAVAILABLE, errno, "no run-time register at %s", rtmr_path);
    tsm_platform *tsm = rd_alloc(sizeof(*tsm));
    encl_platform_init(&tsm->base, &tsm_ops);
    tsm->report_fd = rd_fd_take(&report_fd);
    tsm->rtmr_fd = rd_fd_take(&rtmr_fd);
    *ret = &tsm->base;
    return 0;
}
