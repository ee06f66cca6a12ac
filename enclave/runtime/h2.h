/* h2: HTTP/2 (RFC 9113) on a connection whose TLS ends here. Each stream is a connection to the server: its head stands
 * in `in` as HTTP/1.1 would have it, its answer leaves as frames.
 * Used by the server, which decides what to do with requests, and by conn, whose answers go out through it.
 * No push, no CONNECT, no table for answers' fields. What costs a peer nothing and us something is counted, and who
 * overdoes it is told to be calm and cut (the floods of RFC 9113, 10.5, and resets in a row).
 */
#ifndef ENCL_H2_H
#define ENCL_H2_H

#include "enclave/runtime/conn.h"

#define ENCL_H2_AT_ONCE     16  /* streams of a connection */
#define ENCL_H2_STREAMS_MAX 256 /* of all; a connection has one in any case */

typedef struct encl_h2s encl_h2s; /* of an instance */

/* As encl_channel_read and encl_channel_write. */
typedef struct encl_h2_transport {
    ssize_t (*read)(void *context, void *into, size_t size);
    ssize_t (*write)(void *context, rd_bytes bytes);
    void *context;
} encl_h2_transport;

encl_h2s *encl_h2s_new(void);
encl_h2s *encl_h2s_free(encl_h2s *all);

/* Over carrier, whose channel and descriptor its streams borrow. all is borrowed. */
encl_h2 *encl_h2_new(encl_h2s *all, encl_conn *carrier, const encl_h2_transport *transport);
/* Its streams are closed or were given up. */
encl_h2 *encl_h2_free(encl_h2 *h2);

/* Bytes that were read before the session was there. */
void encl_h2_feed(encl_h2 *h2, rd_bytes bytes);
/* Reads and writes what can be now. WAIT: it goes on; DONE: both sides are through, all is out, and what still comes is
 * dropped; GONE: the peer left, or spoke something else. Streams change and end by this, and stay in the list. */
encl_conn_outcome encl_h2_turn(encl_h2 *h2);
/* The last turn ended before all was read: there is another one to make. */
bool encl_h2_has_more(const encl_h2 *h2);
/* What poll waits for before there is more to do. */
short encl_h2_awaits(const encl_h2 *h2);
/* Takes no new streams; those that are there are answered. */
void encl_h2_drain(encl_h2 *h2);

/* The first that came, others by sibling; NULL: none. */
encl_conn *encl_h2_streams(const encl_h2 *h2);
/* The first that came after stream; whatever was closed since may have been. NULL: none. */
encl_conn *encl_h2_after(const encl_h2 *h2, int32_t stream);
/* The body may come as far as conn->room says. False: that was known. */
bool encl_h2_admit(encl_conn *conn);
/* The answer, or more of it, can leave. -1: nobody takes it. */
int encl_h2_answer(encl_conn *conn) RD_NODISCARD;
/* Ends the stream, if it has not, and frees it. */
void encl_h2_close(encl_conn *conn);
/* The session ends; the stream stays as one that is gone, until encl_h2_close. */
void encl_h2_give_up(encl_conn *conn);

#endif
