/* channel: TLS that ends inside the instance, under an RA-TLS certificate whose key is made here and never leaves.
 * Used by conn, which reads and writes through it, and by exchange for evidence of purpose channel.
 * TLS 1.3 alone, no tickets, no resumption, no early data: each connection is proved by itself (RFC 9266). */
#ifndef ENCL_CHANNEL_H
#define ENCL_CHANNEL_H

#include "common/base/clock.h"
#include "enclave/runtime/identity.h"

#define ENCL_CHANNELS_MAX 128 /* connections at once; others of the instance's are plain */

typedef struct encl_channels encl_channels; /* of an instance */
typedef struct encl_channel encl_channel;   /* one connection */

/* Everything is borrowed. Nothing is made before the first connection comes. Ages are told by the clock's boot time. */
encl_channels *encl_channels_new(encl_identity *identity, encl_platform *platform, const rd_app_id *app,
                                 const rd_clock *clock);
/* Wipes the key. Its connections are closed. */
encl_channels *encl_channels_free(encl_channels *channels);

/* A session over a connected, non-blocking socket, which stays the caller's. Makes the key with the first one, and the
 * certificate again once it is half a day old. UNAVAILABLE past ENCL_CHANNELS_MAX; TEE_UNAVAILABLE, TEE_REFUSED. */
int encl_channel_open(encl_channels *channels, int fd, encl_channel **ret, rd_err *err) RD_NODISCARD;
/* Accepts NULL; returns NULL. */
encl_channel *encl_channel_close(encl_channel *channel);

#define ENCL_CHANNEL_WAIT (-1)
#define ENCL_CHANNEL_GONE (-2)
/* Bytes that a peer sent after the handshake, which this goes on with: a size, WAIT or GONE (it ended or failed). */
ssize_t encl_channel_read(encl_channel *channel, void *into, size_t size);
/* Takes some; after WAIT the same bytes must come first. */
ssize_t encl_channel_write(encl_channel *channel, rd_bytes bytes);
/* Both sides settled on HTTP/2, and the handshake is done. */
bool encl_channel_speaks_h2(const encl_channel *channel);
/* The last WAIT was for room to write, also when reading. */
bool encl_channel_wants_room(const encl_channel *channel);
/* Nothing more is written (close_notify). */
void encl_channel_end(encl_channel *channel);
/* It was open for an hour: the answer that comes next is its last, and a WebSocket ends with the event that it is at.
 */
bool encl_channel_is_old(const encl_channel *channel);

/* Appends an evidence bundle of purpose channel over nonce, the certificate's key and the exporter of this session.
 * CHANNEL before the handshake is done. */
int encl_channel_evidence(const encl_channel *channel, const uint8_t nonce[RD_NONCE_SIZE], rd_buf *ret,
                          rd_err *err) RD_NODISCARD;

#endif
