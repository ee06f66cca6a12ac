/* link_private: what the files of the link share: hub (per owner), link (per connection), stream.
 * Used by link_session.c, link_stream.c, link_plane.c and link_agent.c only.
 * Objects die in the hub's flush or in close callbacks, never under the feet of nghttp2. */
#ifndef RD_IO_LINK_PRIVATE_H
#define RD_IO_LINK_PRIVATE_H

#include "common/io/link.h"
#include "common/io/link_memory.h"

#include <nghttp2/nghttp2.h>

#include <assert.h>

#define LINK_MAGIC   0x6c696e6bu
#define STREAM_MAGIC 0x7374726du

/* Bytes that all readers of a link may leave unread before the link's own window stops opening. */
#define LINK_HELD_MAX ((size_t)64 << 20)
/* Request bodies in collection on one link, all streams. */
#define LINK_BODIES_MAX ((size_t)32 << 20)

typedef struct link_hub link_hub;

typedef struct link_hub_ops {
    void (*on_ready)(link_hub *hub, rd_link *link);                    /* may be used now */
    void (*on_gone)(link_hub *hub, rd_link *link, const char *reason); /* last use; also when it was never ready */
    void (*on_handshaken)(link_hub *hub, rd_link *link);               /* TLS is done, or failed */
    void (*on_request)(link_hub *hub, rd_link_stream *stream, const rd_link_exchange *exchange); /* agent */
    void (*on_empty)(link_hub *hub); /* closing, and the last link is freed */
} link_hub_ops;

/* What the links of one owner share. Embedded first in rd_link_plane and rd_link_agent. */
struct link_hub {
    rd_loop *loop;
    rd_flusher *flusher;
    const link_hub_ops *ops;
    bool is_agent;   /* HTTP/2 server */
    bool is_closing; /* being freed */
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options;
    link_memory *memory;
    rd_link *dirty; /* to be flushed at the end of the turn */
    rd_link *links; /* all, closing ones included */
    size_t link_count;
    rd_buf gather; /* plaintext of one flush */
    rd_buf spare;  /* empty: where the next link's ciphertext goes */
    uint8_t *wire; /* read buffer, shared: one read at a time */
    uint8_t *plain;
};

typedef enum link_state {
    LINK_CONNECTING, /* agent: TCP */
    LINK_HANDSHAKE,  /* TLS */
    LINK_SETTLING,   /* agent: waits for the plane's SETTINGS, which prove that it took our certificate */
    LINK_UP,
    LINK_CLOSING,
    LINK_CLOSED,
} link_state;

struct rd_link {
    uint32_t magic;
    link_state state;
    link_hub *hub;
    rd_link *next, *previous; /* of the hub */
    rd_link *dirty_next;
    bool is_dirty;
    bool was_ready;
    bool fell_silent;
    bool has_counted_handshake;
    int handles_open;
    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_connect_t connect;
    uv_write_t write;
    bool is_writing;
    rd_buf writing; /* ciphertext in flight */
    rd_tls *tls;
    nghttp2_session *h2;
    rd_link_stream *streams;
    rd_link_stream *todo; /* streams with deferred calls */
    size_t stream_count;
    size_t held;       /* bytes left by readers */
    size_t owed;       /* connection window not given back because too much is held */
    size_t body_bytes; /* of requests being collected */
    uint64_t heard_ms;
    uint64_t up_ms; /* agent: since when it is up */
    uint64_t asked; /* agent: requests over it */
    uint64_t tick_due_ms;
    uint64_t expires_ms;
    uint64_t bytes_in, bytes_out;
    int64_t round_trip_us;
    void *context;
    char address[64];
    char reason[160];
};

typedef enum stream_kind {
    STREAM_REQUEST, /* agent: headers or body still coming, or waiting for an answer */
    STREAM_ANSWER,  /* agent: being answered in full */
    STREAM_OPEN,    /* both: events of the owner */
    STREAM_CALL,    /* plane: rd_link_send */
} stream_kind;

#define TODO_ROOM   1u /* call on_room */
#define TODO_CLOSED 2u /* finish: deliver what is held, call on_closed, free */
#define TODO_RESUME 4u /* offer held bytes */

struct rd_link_stream {
    uint32_t magic;
    stream_kind kind;
    rd_link *link;
    rd_link_stream *next, *previous; /* of the link */
    rd_link_stream *todo_next;
    unsigned todo;
    int32_t id;
    rd_link_stream_events events;
    void *context;
    bool is_h2_closed;  /* nghttp2 has forgotten it */
    bool has_submitted; /* our headers are on their way */
    bool has_provider;  /* nghttp2 asks us for data */
    bool is_deferred;   /* it was told to wait for rd_link_stream_write */
    bool has_ended;     /* we will write no more */
    bool has_peer_ended;
    bool has_told_end;
    bool is_paused; /* the reader left bytes */
    bool is_delivering;
    bool wants_again;    /* resume came while delivering */
    bool wants_room;     /* the queue has passed the low mark */
    bool is_silent;      /* no callback any more */
    bool is_pipe;        /* CONNECT */
    bool is_dropping;    /* what still comes is read and dropped */
    bool is_finished;    /* in its last call */
    bool is_accepted;    /* agent: rd_link_accept was called; plane: 200 came */
    uint32_t error_code; /* of RST_STREAM */
    rd_err error;        /* our own reason, code RD_OK: none */
    rd_buf out;
    size_t out_at;
    rd_buf in;
    size_t in_at;
    /* head of the message being received */
    char method[16];
    char *path;
    char *authority;
    int status;
    size_t header_bytes;
    rd_buf body; /* request (agent) or response (STREAM_CALL) */
    size_t body_max;
    rd_loop_fn on_abandoned;
    void *abandoned_context;
    /* STREAM_CALL */
    rd_link_response_fn on_answer;
    uv_timer_t *timeout;
};

/* ---- link_session.c ---- */
int link_hub_init(link_hub *hub, rd_loop *loop, bool is_agent, size_t links_max, const link_hub_ops *ops, rd_err *err);
/* When no link is left. */
void link_hub_done(link_hub *hub);
/* Closes all links; ops->on_empty follows, at once when there is none. */
void link_hub_close(link_hub *hub);
/* A link in state CONNECTING whose tcp handle is initialised. */
rd_link *link_new(link_hub *hub, rd_tls_context *tls, rd_err *err);
/* TCP is there: starts TLS. */
void link_start(rd_link *link);
void link_mark_dirty(rd_link *link);
void link_note_address(rd_link *link);
/* The dial has begun: its time runs. */
void link_begin_connect(rd_link *link);
/* Settings, pings and good-byes, from the stream layer's frame callback. */
void link_on_control_frame(rd_link *link, const nghttp2_frame *frame);

/* ---- link_stream.c ---- */
rd_link_stream *stream_new(rd_link *link, stream_kind kind);
void stream_free(rd_link_stream *stream);
void stream_set_callbacks(nghttp2_session_callbacks *callbacks);
void stream_todo(rd_link_stream *stream, unsigned what);
/* Runs deferred calls of the link's streams. */
void link_run_todo(rd_link *link);
/* The link is going: every stream is told. */
void link_close_streams(rd_link *link, const rd_err *error);
nghttp2_data_provider stream_provider(rd_link_stream *stream);
/* Queues without the cap of the public function. */
void stream_queue(rd_link_stream *stream, rd_bytes bytes);

/* ---- link_plane.c: what the stream layer calls for STREAM_CALL ---- */
void call_finish(rd_link_stream *stream, const rd_err *error);
/* ---- link_agent.c ---- */
/* The request is complete as far as it is going to be (CONNECT: its headers). */
void request_dispatch(rd_link_stream *stream);
size_t request_body_max(const rd_link_stream *stream);

#endif
