/* reserved: the headers that no function sees or sets. Used by the runtime, by `redoubt dev` and by sockets' events. */
#ifndef ENCL_RESERVED_H
#define ENCL_RESERVED_H

#include "common/base/bytes.h"

/* Whether a header of this name concerns the connection alone (RFC 9110, 7.6.1), or is the runtime's own (Redoubt-…):
 * such are neither shown to a function nor taken from it. */
bool encl_http_is_reserved(rd_bytes name);

#endif
