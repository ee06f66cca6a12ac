#include "api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/base/mem.h"
#include "common/io/config.h"

int api_listen(const char *text, int *ret_fd, uint16_t *ret_port, rd_err *err)
{
    char host[256];
    uint16_t port;
    if (rd_parse_endpoint(text, host, sizeof(host), &port, err) < 0)
        return -1;
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host[0] ? host : NULL, service, &hints, &found);
    if (rc != 0)
        return rd_err_set(err, RD_E_CONFIG, "listen address %s: %s", text, gai_strerror(rc));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int yes = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 1024) < 0) {
        rc = rd_err_set_errno(err, RD_E_UNAVAILABLE, errno, "cannot listen on %s", text);
        rd_close_p(&fd);
        freeaddrinfo(found);
        return rc;
    }
    freeaddrinfo(found);
    struct sockaddr_storage bound = { 0 };
    socklen_t size = sizeof(bound);
    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0)
        *ret_port = bound.ss_family == AF_INET6
                        ? ntohs(((struct sockaddr_in6 *)&bound)->sin6_port)
                        /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): the kernel filled it. */
                        : ntohs(((struct sockaddr_in *)&bound)->sin_port);
    *ret_fd = fd;
    return 0;
}
