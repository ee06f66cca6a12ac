/* listen: the bound socket of an HTTP listener. Used by both. */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#include <stdint.h>

#include "common/base/err.h"

/* text: "host:port", the host a name, an address or empty for all. *ret_port is the one it got for port 0; the
 * descriptor is the caller's. CONFIG, UNAVAILABLE when the address is taken. */
int api_listen(const char *text, int *ret_fd, uint16_t *ret_port, rd_err *err) RD_NODISCARD;

#endif
