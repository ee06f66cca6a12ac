/* packet: one SOCK_SEQPACKET message with descriptors, sent and received whole.
 * Used between agent, simulated TEE and zygote. Bounded: 16 KiB, eight descriptors; more is refused and closed.
 */
#ifndef AGENT_PACKET_H
#define AGENT_PACKET_H

#include "common/base/bytes.h"
#include "common/base/err.h"

#define AGENT_PACKET_MAX     ((size_t)16 << 10)
#define AGENT_PACKET_FDS_MAX 8

typedef struct agent_packet {
    uint8_t bytes[AGENT_PACKET_MAX];
    size_t size;
    int fds[AGENT_PACKET_FDS_MAX]; /* owned by whoever received it */
    size_t fds_count;
} agent_packet;

/* Sends one message; descriptors are duplicated by the kernel. Errors: IO (a full socket too: these are local and
 * small). */
int agent_packet_send(int fd, rd_bytes bytes, const int *fds, size_t fds_count, rd_err *err) RD_NODISCARD;
/* 1: a message; 0: none now; -1: closed or broken. */
int agent_packet_receive(int fd, agent_packet *ret);
void agent_packet_close_fds(agent_packet *packet);

#endif
