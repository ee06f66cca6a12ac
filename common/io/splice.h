/* splice: bytes between a socket and a stream of a link, both ways, each side at the pace of the other.
 * Used by the agent for an instance's socket and by the API for connections that it passes through.
 * Keeps one chunk a direction at most; an end of one side is passed on; reads nothing of what it moves. */
#ifndef RD_IO_SPLICE_H
#define RD_IO_SPLICE_H

#include "common/io/link.h"

#include <uv.h>

/* Embedded in its owner. Zeroed, then socket, stream, buffer and on_end set; the socket's data is the splice, and the
 * splice is the stream's context. */
typedef struct rd_splice rd_splice;
struct rd_splice {
    uv_stream_t *socket;
    rd_link_stream *stream; /* NULL: gone */
    uint8_t **buffer;       /* where reads go first: shared by the owner's splices, made with the first; the owner's */
    /* Both sides are over, or one broke: the last call, once. The owner resets what is left of the stream and closes
     * the socket. */
    void (*on_end)(rd_splice *splice);
    uint64_t moved; /* bytes, both ways */
    uv_write_t write;
    uv_shutdown_t shutdown;
    uint8_t *pending; /* being written to the socket */
    bool is_writing, is_reading, wants_shutdown, has_shut, has_ended;
};

/* The stream's events, once it is open: pass them to rd_link_accept or rd_link_connect. */
extern const rd_link_stream_events rd_splice_events;
/* The stream is open: the socket is read from now on. */
void rd_splice_start(rd_splice *splice);
/* No event of either side is followed any more; on_end is not called. */
void rd_splice_stop(rd_splice *splice);
/* In the socket's close callback: frees what a write still needed. */
void rd_splice_done(rd_splice *splice);

#endif
