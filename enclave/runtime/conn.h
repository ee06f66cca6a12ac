/* conn: one HTTP connection of an instance, or one stream of one that speaks HTTP/2 (h2.h): bytes in up to a whole
 * request, an answer out, and its deadline.
 * Used by the server, which decides what to do with requests. Buffers are bounded and given back while it idles.
 * Knows nothing of functions or receipts.
 */
#ifndef ENCL_CONN_H
#define ENCL_CONN_H

#include "enclave/runtime/channel.h"
#include "enclave/runtime/sealing.h"
#include "enclave/runtime/shares.h"
#include "common/http/head.h"

typedef enum encl_conn_state {
    ENCL_CONN_FREE,
    ENCL_CONN_READING,  /* waits for a request's bytes */
    ENCL_CONN_PARKED,   /* a body is to come, but the instance's buffers are full */
    ENCL_CONN_READY,    /* a whole request is there */
    ENCL_CONN_ASKING,   /* waits for a quote */
    ENCL_CONN_ANSWERED, /* waits for its burst's signature */
    ENCL_CONN_WRITING,
    ENCL_CONN_SOCKET, /* waits for a WebSocket's frames */
    ENCL_CONN_FRAMED, /* HTTP/2: its streams have states of their own */
} encl_conn_state;

typedef struct encl_h2 encl_h2;
typedef struct encl_socket encl_socket;

typedef struct encl_conn {
    encl_conn_state state;
    int fd;
    rd_buf in;
    size_t scanned;        /* rd_http_head_parse */
    bool has_head;         /* content_length and head_size are known */
    bool may_read;         /* edge-triggered: the socket may hold bytes */
    bool has_end;          /* the peer sends no more: no edge comes behind the last bytes */
    bool watches_writing;  /* EPOLLOUT is asked for */
    bool closes;           /* after the answer */
    bool has_length;       /* the answer says how long its body is */
    bool is_greeted;       /* its first byte was seen */
    bool has_begun;        /* a request's bytes came: its deadline runs */
    encl_channel *channel; /* TLS that ends here; NULL: the relay's plain bytes */
    size_t head_size;
    uint64_t content_length;
    size_t room;      /* bytes of the body that may come for now */
    int64_t grown_us; /* when room was given last */
    encl_claim claim; /* to room beyond ENCL_SHARES_FREE, and what the peer has not taken of the answer */
    encl_share share; /* of a carrier: all its claims */
    rd_buf head;      /* status line and headers, without receipt and empty line */
    rd_buf receipt;
    rd_buf body;
    encl_sealing *sealing; /* the answer leaves through it; NULL: as it is */
    size_t written;
    bool is_streamed;       /* body grows while it leaves, in chunks; head holds what is on its way */
    bool is_whole;          /* body and receipt are all there */
    bool has_ended;         /* their last chunk is on its way */
    size_t chunked;         /* bytes of body that were put into chunks */
    int64_t deadline_us;    /* of the current request or answer; 0 while idle */
    struct encl_conn *next; /* in the queue of ready requests, or of those who wait for a quote */
    uint8_t nonce[32];      /* of the evidence that is asked for */
    encl_h2 *h2;            /* HTTP/2: the session, also of each of its streams */
    bool needs_turn;        /* of a session */
    encl_socket *socket;    /* a WebSocket from its 101 on (sockets.c) */
    /* Of a stream; zero in others. channel and fd are the carrier's. */
    int32_t stream;
    struct encl_conn *carrier, *sibling;
    bool is_head_in;  /* all of the head */
    bool is_received; /* all of the request */
    bool is_admitted; /* its body has room beyond what comes unasked, or for all */
    size_t admitted;  /* the room that its window has been opened for */
    bool is_excess;   /* more came */
    bool is_answered; /* its head is among the frames */
    bool is_gone;     /* the peer, or the session, has ended it */
    rd_code refusal;  /* what came is no head */
    size_t held;      /* bytes whose window is kept until there is more room */
} encl_conn;

typedef enum encl_conn_outcome {
    ENCL_CONN_WAIT = 0, /* nothing to do until the socket says more */
    ENCL_CONN_DONE = 1, /* read: a head or a whole request is there; write: everything went out */
    ENCL_CONN_GONE = 2, /* the peer left or the socket failed */
} encl_conn_outcome;

/* The connection owns fd from here on. */
void encl_conn_open(encl_conn *conn, int fd);
void encl_conn_close(encl_conn *conn);

/* The first byte, which stays: DONE, WAIT or GONE. */
encl_conn_outcome encl_conn_peek(encl_conn *conn, uint8_t *ret);
/* Reads what is there, at most up to the end of the current request's head (unknown: its bound) or body. DONE when the
 * socket gave bytes or is drained of what was wanted. */
encl_conn_outcome encl_conn_fill(encl_conn *conn);
/* The body of the request is complete. */
bool encl_conn_has_body(const encl_conn *conn);
rd_bytes encl_conn_body(const encl_conn *conn);

/* Starts an answer: status line; then add lines and the body. */
void encl_conn_begin(encl_conn *conn, unsigned status);
void encl_conn_line(encl_conn *conn, const char *name, rd_bytes value);
/* Another head, from its status line on, for the body that stands there. */
void encl_conn_begin_again(encl_conn *conn, unsigned status);
/* Adds Content-Length where the status has one and, when it closes, Connection. body is copied; has_no_body leaves the
 * bytes out (HEAD). */
bool encl_conn_end(encl_conn *conn, rd_bytes body, bool has_no_body);
/* Instead of the above: the body follows as bytes are added, in chunks (RFC 9112, 7.1), until it is whole. The receipt
 * is their trailer, or stands in the seal that the body goes through. */
bool encl_conn_stream(encl_conn *conn);
/* Adds to the body of such an answer. */
bool encl_conn_add(encl_conn *conn, rd_bytes piece);
/* Body and receipt are all there. */
void encl_conn_complete(encl_conn *conn);
/* The answer in preparation leaves sealed; takes sealing over. */
void encl_conn_seal(encl_conn *conn, encl_sealing *sealing);
/* Of a stream, whose framing is h2's: its head was taken; then copies what of its content goes out next: a size, 0 when
 * there is nothing yet or no more, -1 when it cannot leave. */
void encl_conn_begin_drawing(encl_conn *conn);
ssize_t encl_conn_draw(encl_conn *conn, uint8_t *into, size_t size);
bool encl_conn_is_drawn(const encl_conn *conn);
/* The next line behind the first of an answer's head, without the space around its value. False: there is none. */
bool encl_conn_next_line(rd_bytes *rest, rd_bytes *name, rd_bytes *value);
/* Writes head, receipt line and body, or what there is of a stream, as far as the socket takes them. */
encl_conn_outcome encl_conn_flush(encl_conn *conn);
/* After a flush that was not GONE: what poll waits for on fd before more can be done. */
short encl_conn_awaits(const encl_conn *conn);
/* Tells the peer that nothing more comes. */
void encl_conn_finish(encl_conn *conn);
/* Forgets the answered request; bytes of a next one stay. */
void encl_conn_next(encl_conn *conn);

#endif
