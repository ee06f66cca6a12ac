/* wire: the request and response buffers between host and guest, length-prefixed and binary-safe.
 * Used by engine. Integers are u32 little-endian; `bytes` is a u32 size and the bytes.
 *   request:  bytes method, bytes url, u32 count, count × (bytes name, bytes value), bytes body
 *   response: u32 status, u32 count, count × (bytes name, bytes value), bytes body
 * The response comes from the guest and is refused unless every field could be sent as it stands. */
#ifndef ENCL_WIRE_H
#define ENCL_WIRE_H

#include "enclave/engine/engine.h"

/* Size of the encoded request, after checking method, URL and headers. Errors: ENGINE_REQUEST. */
int encl_wire_request_size(const encl_request *request, size_t size_max, size_t *ret_size, rd_err *err) RD_NODISCARD;
/* Writes exactly that many bytes. */
void encl_wire_request_write(const encl_request *request, uint8_t *out);

/* Reads a response; ret borrows from bytes, its headers go to headers[header_max]. Fields that describe the connection
 * or the framing (connection, content-length, transfer-encoding, …) are dropped: they are the server's to say.
 * Errors: ENGINE_BAD_RESPONSE. */
int encl_wire_response_read(rd_bytes bytes, encl_header *headers, size_t header_max, encl_response *ret,
                            rd_err *err) RD_NODISCARD;

#endif
