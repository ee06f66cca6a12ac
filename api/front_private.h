/* front_private: the inside of a front and its connections, shared by front.c, front_read.c and front_answer.c. */
#ifndef API_FRONT_PRIVATE_H
#define API_FRONT_PRIVATE_H

#include "api/callers.h"
#include "api/front.h"
#include "common/crypto/random.h"
#include "common/http/chunks.h"
#include "common/model/ids.h"

#define FRONT_READ    ((size_t)64 << 10)
#define FRONT_SPARES  64
#define FRONT_OUT_MAX (API_FRONT_BUFFER_MAX + ((size_t)192 << 10)) /* a head and a trailer beside the body */
#define FRONT_RANDOM  512

typedef enum front_state {
    FRONT_IDLE, /* a head is waited for, or comes */
    FRONT_BODY, /* a body comes */
    FRONT_TURN, /* an answer is waited for, or goes */
    FRONT_SKIP, /* the rest of a body comes that nobody reads */
    FRONT_LINGER,
    FRONT_CLOSED
} front_state;

/* What a connection waits for, at most as long as its list says; in order of their ends. */
typedef enum front_wait {
    WAIT_IDLE,
    WAIT_HEAD,
    WAIT_STALL,
    WAIT_LINGER,
    WAIT_COUNT,
    WAIT_NONE = WAIT_COUNT
} front_wait;

/* A connection, with the one turn that it has at a time. */
struct api_turn {
    api_front *front;
    uv_tcp_t socket;
    uv_write_t write;
    uv_shutdown_t shutdown;
    api_caller *caller; /* NULL: many stand behind its address, or it has left */
    uint8_t address[16];
    api_turn *next, *previous; /* of all */
    front_state state;
    front_wait wait;
    uint64_t until_ms;
    api_turn *next_wait, *previous_wait;
    rd_buf input; /* what was read and has not had its turn */
    size_t scanned;
    bool is_reading, has_eof;
    bool is_processing; /* its input is being looked at, further up the stack */
    /* of the request */
    rd_buf head; /* kept while a body comes, or for its owner */
    bool is_kept;
    api_intake intake;
    rd_http_chunks chunks;
    uint64_t body_left; /* of a body with a length */
    bool is_chunked;
    bool is_head, is_old, closes;
    char method[33], trace[56], id[RD_ID_TEXT_SIZE];
    int64_t started_us;
    void *owner;
    bool is_owned;
    /* of the answer */
    rd_buf out;      /* not given to the socket yet */
    rd_buf sending;  /* with the socket */
    size_t out_head; /* in out, where the answer begins */
    size_t queued;   /* bytes that waited when it was last looked whether some are taken */
    int status;      /* 0: none */
    bool is_sending;
    bool is_gathered, is_bodiless, in_chunks, has_trailer;
    bool has_sent;    /* some of the answer is on its way */
    bool is_ended;    /* all of it is in out */
    bool was_refused; /* on_room is owed */
};

typedef struct front_list {
    api_turn *first, *last;
} front_list;

struct api_front {
    api_front_options options;
    api_bodies *bodies;
    api_callers *callers;
    uv_tcp_t listener;
    uv_timer_t timer;
    uint16_t port;
    bool is_stopping, is_freed;
    api_turn *first;
    size_t count, memory; /* connections; what is still to be freed, the front's own handles included */
    front_list waits[WAIT_COUNT];
    rd_buf spares[FRONT_SPARES]; /* memory that connections have in turn */
    size_t spare_count;
    rd_http_head head; /* of the request that is being looked at */
    int64_t date_s;
    char date[32];
    uint8_t random[FRONT_RANDOM];
    size_t random_left;
    uint64_t accepted, turned_away, evicted, slow_heads, stalled;
    uint8_t bytes[FRONT_READ];
};

/* front.c */
/* One more, its socket still to be opened. */
api_turn *front_connection_new(api_front *front);
void front_wait_for(api_turn *c, front_wait wait);
void front_close(api_turn *c);
/* The caller has left: the owner is told. */
void front_gone(api_turn *c);
/* An empty buffer's memory, from those that others gave back. */
void front_buffer_take(api_front *front, rd_buf *buf);
void front_buffer_give(api_front *front, rd_buf *buf);

/* front_read.c */
void front_read_start(api_turn *c);
/* Looks at what has come and has not had its turn. */
void front_go_on(api_turn *c);
void front_body_late(api_intake *intake);

/* front_answer.c: the answer is on its way whole: what follows on this connection. */
void front_refuse(api_turn *c, const rd_err *err);
void front_write_raw(api_turn *c, rd_bytes bytes);
/* Counts and logs the turn, and forgets it. */
void front_turn_done(api_turn *c);

#endif
