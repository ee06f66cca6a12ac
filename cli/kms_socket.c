#include "cli/kms_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/model/json.h"

#define WAIT_S 60

int cli_kms_dial(const char *path, int *ret_fd, rd_err *err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const struct timeval wait = { .tv_sec = WAIT_S };
    if (snprintf(address.sun_path, sizeof address.sun_path, "%s", path) >= (int)sizeof address.sun_path)
        return rd_err_set(err, RD_E_USAGE, "%s is too long for a socket", path);
    RD_CLEANUP(rd_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return rd_err_set_errno(err, RD_E_UNAVAILABLE, errno, "%s (redoubt-agent status says where it is)", path);
    *ret_fd = rd_fd_take(&fd);
    return 0;
}

static int lost(rd_err *err)
{
    return rd_err_set(err, RD_E_UNAVAILABLE, "the key service on this machine hung up, or did not answer in %d s",
                      WAIT_S);
}

static int send_all(int fd, rd_bytes bytes, rd_err *err)
{
    for (size_t done = 0; done < bytes.size;) {
        ssize_t put = send(fd, bytes.data + done, bytes.size - done, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return lost(err);
        done += (size_t)put;
    }
    return 0;
}

static int read_all(int fd, uint8_t *into, size_t size, rd_err *err)
{
    while (size > 0) {
        ssize_t got = recv(fd, into, size, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return lost(err);
        into += got;
        size -= (size_t)got;
    }
    return 0;
}

static int refused(rd_bytes payload, rd_err *err)
{
    rd_kms_refusal refusal;
    char name[64];
    if (rd_kms_refusal_parse(payload, &refusal, err) < 0)
        return -1;
    (void)snprintf(name, sizeof name, "%.*s", (int)RD_MIN(refusal.code.size, sizeof name - 1),
                   (const char *)refusal.code.data);
    rd_code code = rd_code_by_name(name);
    return rd_err_set(err, code != RD_OK ? code : RD_E_UNAVAILABLE, "the key service on this machine: %.*s",
                      (int)RD_MIN(refusal.detail.size, (size_t)400), (const char *)refusal.detail.data);
}

int cli_kms_ask(int fd, rd_kms_type type, rd_bytes payload, rd_buf *ret, rd_err *err)
{
    uint8_t bytes[RD_KMS_FRAME_HEAD];
    rd_kms_head head;
    RD_CLEANUP(rd_buf_wipe) rd_buf frame = { 0 };
    RD_CLEANUP(rd_buf_wipe) rd_buf answer = { 0 };
    if (rd_kms_frame((uint8_t)type, payload, &frame, err) < 0 || send_all(fd, rd_buf_bytes(&frame), err) < 0 ||
        read_all(fd, bytes, sizeof bytes, err) < 0 || rd_kms_head_answer(bytes, (uint8_t)type, &head, err) < 0)
        return -1;
    uint8_t *room = rd_buf_reserve(&answer, head.size + 1);
    if (read_all(fd, room, head.size, err) < 0)
        return -1;
    rd_buf_commit(&answer, head.size);
    if (head.type == RD_KMS_REFUSAL)
        return refused(rd_buf_bytes(&answer), err);
    return rd_buf_append_bytes(ret, rd_buf_bytes(&answer)) ? 0 : rd_err_set(err, RD_E_TOO_LARGE, "an answer");
}

int cli_kms_has_root(int fd, const rd_kms_id *id, bool *ret, rd_err *err)
{
    rd_err why = RD_ERR_INIT;
    rd_kms_genesis parsed;
    RD_CLEANUP(rd_buf_done) rd_buf genesis = { .size_max = RD_JSON_SIZE_MAX };
    *ret = false;
    if (cli_kms_ask(fd, RD_KMS_GENESIS, RD_BYTES_NULL, &genesis, &why) == 0) {
        *ret = rd_kms_genesis_open(rd_buf_bytes(&genesis), id, &parsed, err) == 0;
        return *ret ? 0 : -1;
    }
    if (why.code == RD_E_KMS_WAITS)
        return 0;
    *err = why;
    return -1;
}
