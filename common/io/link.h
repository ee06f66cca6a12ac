/* link: HTTP/2 over mutual TLS 1.3 with the roles turned round (docs/protocol/link.md).
 * Used by the API (rd_link_plane: accepts connections, sends requests) and the agent (rd_link_agent: dials, answers).
 * Everything runs on the loop's thread. Every buffer is bounded by the windows; a slow reader stops its own stream. */
#ifndef RD_IO_LINK_H
#define RD_IO_LINK_H

#include "common/base/bytes.h"
#include "common/base/err.h"
#include "common/io/config.h"
#include "common/io/loop.h"
#include "common/io/tls.h"

#define RD_LINK_ALPN             "redoubt-link/1"
#define RD_LINK_STREAM_WINDOW    (256u << 10) /* bytes that wait unread on one stream, at most */
#define RD_LINK_WINDOW           (4u << 20)   /* bytes in flight on one link */
#define RD_LINK_BODY_MAX         (1u << 20)   /* JSON bodies */
#define RD_LINK_BLOB_MAX         (8u << 20)   /* bodies of PUT /blobs/ */
#define RD_LINK_LINE_MAX         (64u << 10)  /* one NDJSON line */
#define RD_LINK_WRITE_QUEUE_MAX  (512u << 10) /* bytes that wait to be sent on one stream, at most */
#define RD_LINK_WRITE_LOW        (64u << 10)  /* on_room is called when the queue falls to this */
#define RD_LINK_STREAMS_MAX      1024u
#define RD_LINK_HEADERS_MAX      8192u /* bytes of one header block */
#define RD_LINK_PING_US          2000000
#define RD_LINK_SILENT_US        6000000
#define RD_LINK_HANDSHAKE_MAX_US 10000000

/* One connection after its TLS handshake. Lives until its on_down returns. */
typedef struct rd_link rd_link;
/* One HTTP/2 stream: a request being answered, an endless answer, or a byte pipe. */
typedef struct rd_link_stream rd_link_stream;

/* ---- any link ---- */

/* The peer's proven identity. */
const rd_tls_peer *rd_link_peer(const rd_link *link);
/* Numeric address of the peer, for logs. */
const char *rd_link_address(const rd_link *link);
/* A pointer of the owner. */
void rd_link_set_context(rd_link *link, void *context);
void *rd_link_context(const rd_link *link);
/* Ends it: streams close with RD_E_CANCELLED, on_down comes on a later turn. reason is for logs. Idempotent. */
void rd_link_close(rd_link *link, const char *reason);
bool rd_link_is_up(const rd_link *link);
/* It ended, or ends, because nothing was heard of the peer for RD_LINK_SILENT_US. */
bool rd_link_fell_silent(const rd_link *link);
size_t rd_link_stream_count(const rd_link *link);

typedef struct rd_link_stats {
    uint64_t bytes_in, bytes_out; /* plaintext */
    int64_t round_trip_us;        /* of the last ping; 0: none yet (plane only) */
    size_t held;                  /* bytes that readers have left unread, all streams */
} rd_link_stats;
rd_link_stats rd_link_statistics(const rd_link *link);

/* ---- streams, both ends ---- */

typedef struct rd_link_stream_events {
    /* Plane: the answer's status. Only 200 goes on as a stream; otherwise the body is dropped and on_closed follows
     * with RD_E_LINK_REFUSED. May be NULL. */
    void (*on_response)(rd_link_stream *stream, void *context, int status);
    /* Bytes from the peer; returns how many it took. Taking less pauses reading until rd_link_stream_resume, when the
     * rest is offered again; the window opens only by what was taken. NULL: all bytes are dropped. */
    size_t (*on_data)(rd_link_stream *stream, void *context, rd_bytes bytes);
    /* The write queue has fallen to RD_LINK_WRITE_LOW after rd_link_stream_write had filled it past that. May be NULL.
     */
    void (*on_room)(rd_link_stream *stream, void *context);
    /* The peer will send no more (after all bytes were taken). May be NULL. */
    void (*on_end)(rd_link_stream *stream, void *context);
    /* The last call, exactly once; the stream is gone when it returns. error is NULL when both sides ended properly. */
    void (*on_closed)(rd_link_stream *stream, void *context, const rd_err *error);
} rd_link_stream_events;

/* Queues a copy for the peer. -1 (RD_E_TOO_LARGE) without queueing anything when the queue would pass
 * RD_LINK_WRITE_QUEUE_MAX: wait for on_room. Sent once a loop turn together with everything else. */
int rd_link_stream_write(rd_link_stream *stream, rd_bytes bytes, rd_err *err) RD_NODISCARD;
/* Bytes that may be queued now. */
size_t rd_link_stream_room(const rd_link_stream *stream);
/* Half-close: nothing more will be written. Idempotent. */
void rd_link_stream_end(rd_link_stream *stream);
/* No on_data until rd_link_stream_resume; for readers that took everything but want no more yet. */
void rd_link_stream_pause(rd_link_stream *stream);
/* Offers the bytes that on_data left, on a later turn. */
void rd_link_stream_resume(rd_link_stream *stream);
/* Ends both directions at once (RST_STREAM CANCEL); on_closed comes on a later turn unless is_silent: then never. */
void rd_link_stream_reset(rd_link_stream *stream, bool is_silent);
rd_link *rd_link_stream_link(const rd_link_stream *stream);
void *rd_link_stream_context(const rd_link_stream *stream);
/* Hands the stream to other events and context (e.g. from an opener to a pool). Bytes left are offered by resume. */
void rd_link_stream_set(rd_link_stream *stream, const rd_link_stream_events *events, void *context);

/* ---- plane: requests ---- */

typedef struct rd_link_request {
    const char *method;  /* "GET", "PUT", "POST" */
    const char *path;    /* "/jobs/12" */
    rd_bytes body;       /* copied; at most RD_LINK_BLOB_MAX */
    bool is_binary;      /* content type application/octet-stream instead of application/json */
    int64_t timeout_us;  /* 0: 30 s; counted from the call to the whole answer */
    size_t response_max; /* 0: RD_LINK_BODY_MAX; a longer answer fails with RD_E_TOO_LARGE */
} rd_link_request;

/* status is 0 when error is not NULL. body is borrowed for the call. */
typedef void (*rd_link_response_fn)(void *context, int status, rd_bytes body, const rd_err *error);
/* Calls fn exactly once, never before it returns, also when the link dies. -1: not sent, fn is not called. */
int rd_link_send(rd_link *link, const rd_link_request *request, rd_link_response_fn fn, void *context,
                 rd_err *err) RD_NODISCARD;

/* Endless NDJSON. on_line returns false to pause (the line counts as taken); rd_link_stream_resume goes on.
 * Lines come without their newline; one above RD_LINK_LINE_MAX ends the stream with an error. */
typedef struct rd_link_line_events {
    bool (*on_line)(rd_link_stream *stream, void *context, rd_bytes line);
    void (*on_closed)(void *context, const rd_err *error);
} rd_link_line_events;
int rd_link_lines(rd_link *link, const char *path, const rd_link_line_events *events, void *context,
                  rd_link_stream **ret, rd_err *err) RD_NODISCARD;

/* CONNECT to an authority ("ins_….epoch"). Bytes may be written at once; they go out after the 200.
 * on_response tells 200, 421, 503 …; a refused pipe gets on_closed with RD_E_LINK_REFUSED. events are copied. */
int rd_link_connect(rd_link *link, const char *authority, const rd_link_stream_events *events, void *context,
                    rd_link_stream **ret, rd_err *err) RD_NODISCARD;

/* ---- plane: listening ---- */

typedef struct rd_link_plane_config {
    rd_endpoint listen;
    rd_tls_context *tls;     /* borrowed; reload it to change the certificate */
    size_t links_max;        /* 0: 20,000 */
    size_t handshakes_max;   /* in progress; 0: 64. Further connections wait in the kernel's queue */
    uint64_t accepts_second; /* 0: 500 */
    void *context;
    /* The handshake is done and the peer known. */
    void (*on_up)(void *context, rd_link *link);
    /* The link is gone after this returns; its streams were closed before. */
    void (*on_down)(void *context, rd_link *link, const char *reason);
} rd_link_plane_config;

typedef struct rd_link_plane rd_link_plane;
int rd_link_plane_new(rd_loop *loop, const rd_link_plane_config *config, rd_link_plane **ret, rd_err *err) RD_NODISCARD;
/* The port really listened on. */
uint16_t rd_link_plane_port(const rd_link_plane *plane);
size_t rd_link_plane_count(const rd_link_plane *plane);
/* Stops accepting; links stay. */
void rd_link_plane_pause(rd_link_plane *plane);
/* Closes all links (on_down is called for each that was up) and frees on later turns; the plane must not be used. */
rd_link_plane *rd_link_plane_free(rd_link_plane *plane);

/* ---- agent: answering ---- */

typedef struct rd_link_exchange {
    rd_link *link;
    const char *method;    /* "CONNECT" for pipes */
    const char *path;      /* "" for CONNECT; query included; strict: starts with '/', printable ASCII */
    const char *authority; /* CONNECT only, else "" */
    rd_bytes body;         /* complete; empty for CONNECT */
} rd_link_exchange;

typedef struct rd_link_agent_config {
    const rd_endpoint *endpoints; /* copied; tried in turn from a random first one */
    size_t endpoint_count;        /* 1 to 16 */
    rd_tls_context *tls;          /* borrowed; reload it to change the certificate */
    int64_t dial_first_max_us;    /* jitter before the first dial and after a loss; 0: 2 s */
    int64_t dial_backoff_max_us;  /* 0: 30 s; doubling starts at 1 s, each wait random in its upper half; a link
                                     that ended within 10 s, or 2 s when it was used, counts as a failed dial. For two
                                     minutes after the loss of another: twice dial_first_max_us */
    void *context;
    void (*on_up)(void *context, rd_link *link);
    void (*on_down)(void *context, rd_link *link, const char *reason);
    /* Why a dial failed; for logs. May be NULL. */
    void (*on_dial_failed)(void *context, const char *address, const rd_err *error);
    /* A whole request. The stream must be answered, now or later, by one of the three functions below; its memory
     * stays until on_closed or, after rd_link_answer, until the answer is sent. exchange is borrowed for the call. */
    void (*on_request)(void *context, rd_link_stream *stream, const rd_link_exchange *exchange);
} rd_link_agent_config;

/* Full answer, body copied. content type application/json for bodies that begin with '{' or '[', else octets. */
void rd_link_answer(rd_link_stream *stream, int status, rd_bytes body);
/* A problem document (RFC 9457) of the code with its HTTP status and the sentence. */
void rd_link_answer_error(rd_link_stream *stream, const rd_err *error);
/* 200 and an open stream: an endless answer (GET) or a pipe (CONNECT). events are copied. Bytes that come before this
 * wait in the window. */
void rd_link_accept(rd_link_stream *stream, const rd_link_stream_events *events, void *context);
/* Tells a handler that answers later that its stream died (before rd_link_accept). One function per stream. */
void rd_link_on_abandoned(rd_link_stream *stream, rd_loop_fn fn, void *context);

typedef struct rd_link_agent rd_link_agent;
/* Dials and goes on dialling until freed. */
int rd_link_agent_new(rd_loop *loop, const rd_link_agent_config *config, rd_link_agent **ret, rd_err *err) RD_NODISCARD;
/* The newest link that is up, or NULL. */
rd_link *rd_link_agent_link(const rd_link_agent *agent);
/* Replaces the addresses and dials again at the next occasion. */
int rd_link_agent_set_endpoints(rd_link_agent *agent, const rd_endpoint *endpoints, size_t count,
                                rd_err *err) RD_NODISCARD;
/* Dials one more address now and keeps the present link (the plane said that it is degraded). on_up tells of it; the
 * owner closes the one that it does not want. No effect while a dial is in progress. */
void rd_link_agent_try_other(rd_link_agent *agent);
/* Closes the links, frees on later turns; on_down is called for those that were up. */
rd_link_agent *rd_link_agent_free(rd_link_agent *agent);

#endif
