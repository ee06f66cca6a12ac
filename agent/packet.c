#include "agent/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"

typedef union fd_space {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(AGENT_PACKET_FDS_MAX * sizeof(int))];
} fd_space;

int agent_packet_send(int fd, rd_bytes bytes, const int *fds, size_t fds_count, rd_err *err)
{
    struct iovec part = { .iov_base = (void *)(uintptr_t)bytes.data, .iov_len = bytes.size };
    fd_space space = { .bytes = "" };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fds_count > AGENT_PACKET_FDS_MAX || bytes.size > AGENT_PACKET_MAX)
        return rd_err_set(err, RD_E_TOO_LARGE, "packet of %zu bytes with %zu descriptors", bytes.size, fds_count);
    if (fds_count > 0) {
        message.msg_control = space.bytes;
        message.msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
        memcpy(CMSG_DATA(head), fds, fds_count * sizeof(int));
    }
    ssize_t put;
    do {
        put = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (put < 0 && errno == EINTR);
    if (put < 0)
        return rd_err_set_errno(err, RD_E_IO, errno, "sending a packet");
    return 0;
}

/* Collects the descriptors; what is beyond the bound is closed. */
static void take_fds(struct msghdr *message, agent_packet *packet)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        size_t given = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < given; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
            if (packet->fds_count < AGENT_PACKET_FDS_MAX)
                packet->fds[packet->fds_count++] = fd;
            else
                (void)close(fd);
        }
    }
}

int agent_packet_receive(int fd, agent_packet *ret)
{
    struct iovec part = { .iov_base = ret->bytes, .iov_len = sizeof(ret->bytes) };
    fd_space space;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = space.bytes, .msg_controllen = sizeof(space.bytes)
    };
    ret->fds_count = 0;
    ssize_t got;
    do {
        got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return 0;
    if (got <= 0)
        return -1;
    take_fds(&message, ret);
    ret->size = (size_t)got;
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return 1;
    agent_packet_close_fds(ret);
    return -1;
}

void agent_packet_close_fds(agent_packet *packet)
{
    for (size_t i = 0; i < packet->fds_count; i++)
        rd_close_p(&packet->fds[i]);
    packet->fds_count = 0;
}
