/* dev_wire: sending to a caller of `redoubt dev`. Used by dev_serve.c and dev_sockets.c. */
#ifndef CLI_DEV_WIRE_H
#define CLI_DEV_WIRE_H

#include "common/base/bytes.h"

#include <errno.h>
#include <sys/socket.h>

/* All of it, waiting as long as the socket lets it. False: the caller is gone, or takes nothing. */
static inline bool cli_dev_send(int fd, rd_bytes out)
{
    for (size_t at = 0; at < out.size;) {
        ssize_t put = send(fd, out.data + at, out.size - at, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) /* the engine's alarm */
            continue;
        if (put <= 0)
            return false;
        at += (size_t)put;
    }
    return true;
}

#endif
