#include "enclave/kms/kms_channel.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "common/base/mem.h"

typedef struct frame {
    uint32_t size; /* of what follows */
    uint32_t what; /* op; or 0 and a code */
} frame;

static int put(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t done = write(fd, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

static int take(int fd, void *data, size_t size)
{
    uint8_t *at = data;
    while (size > 0) {
        ssize_t done = read(fd, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        at += done;
        size -= (size_t)done;
    }
    return 0;
}

static int send_frame(int fd, uint32_t what, rd_bytes fixed, rd_bytes more)
{
    frame head = { .size = (uint32_t)(fixed.size + more.size), .what = what };
    return put(fd, &head, sizeof(head)) < 0 || put(fd, fixed.data, fixed.size) < 0 || put(fd, more.data, more.size) < 0
               ? -1
               : 0;
}

static int receive_frame(int fd, uint32_t *ret_what, rd_buf *ret)
{
    frame head;
    if (take(fd, &head, sizeof(head)) < 0 || head.size > KMS_CHANNEL_MAX)
        return -1;
    uint8_t *room = rd_buf_reserve(ret, head.size);
    if (room == NULL || take(fd, room, head.size) < 0)
        return -1;
    rd_buf_commit(ret, head.size);
    *ret_what = head.what;
    return 0;
}

int kms_channel_ask(int fd, kms_op op, rd_bytes fixed, rd_bytes more, void *told, size_t told_size, rd_buf *ret_more,
                    rd_err *err)
{
    uint32_t code = 0;
    RD_CLEANUP(rd_buf_wipe) rd_buf answer = { .size_max = KMS_CHANNEL_MAX };
    if (send_frame(fd, (uint32_t)op, fixed, more) < 0 || receive_frame(fd, &code, &answer) < 0)
        return rd_err_set(err, RD_E_CONTROL_LOST, "the process that holds the root is gone");
    if (code != RD_OK)
        return rd_err_set(err, code < RD_CODE_COUNT ? (rd_code)code : RD_E_INTERNAL, "%.*s",
                          (int)RD_MIN(answer.size, (size_t)400), rd_buf_text(&answer));
    if (answer.size < told_size)
        return rd_err_set(err, RD_E_CONTROL_LOST, "an answer of %zu bytes", answer.size);
    if (told_size > 0)
        memcpy(told, answer.data, told_size);
    if (ret_more && !rd_buf_append(ret_more, answer.data + told_size, answer.size - told_size))
        return rd_err_set(err, RD_E_TOO_LARGE, "an answer of %zu bytes", answer.size);
    return 0;
}

int kms_channel_receive(int fd, uint8_t *ret_op, rd_buf *ret_question)
{
    uint32_t what = 0;
    if (receive_frame(fd, &what, ret_question) < 0 || what == 0 || what >= KMS_OP_COUNT)
        return -1;
    *ret_op = (uint8_t)what;
    return 0;
}

int kms_channel_tell(int fd, rd_bytes fixed, rd_bytes more)
{
    return send_frame(fd, RD_OK, fixed, more);
}

int kms_channel_refuse(int fd, const rd_err *why)
{
    return send_frame(fd, why->code, RD_BYTES_NULL, rd_bytes_str(why->text));
}
