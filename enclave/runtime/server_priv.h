/* server_priv: what server.c, which speaks HTTP/1.1, and sessions.c, which speaks HTTP/2, have together with sockets.c,
 * which speaks WebSocket, and askers.c, which shares quotes. Used by these alone. */
#ifndef ENCL_SERVER_PRIV_H
#define ENCL_SERVER_PRIV_H

#include "enclave/platform/window.h"
#include "enclave/runtime/exchange.h"
#include "enclave/runtime/h2.h"
#include "enclave/runtime/server.h"

#define CONNS_MAX  (256 + ENCL_CHANNELS_MAX)
#define REQUEST_US (INT64_C(30) * 1000000) /* for a request to arrive, and for an answer to leave */
#define IDLE_US    (INT64_C(60) * 1000000) /* between two requests in TLS; the relay's pipes may idle for ever */
#define LINGER_US  (INT64_C(2) * 1000000)  /* for an end to be heard */

/* Who waits for a quote. */
typedef struct encl_askers {
    encl_window window;      /* that they share */
    encl_conn *first, *last; /* of their own, in order of arrival */
    int64_t until_us;        /* none of these before */
} encl_askers;

struct encl_server {
    encl_server_parts parts;
    encl_conn conns[CONNS_MAX];
    size_t open_count;
    bool is_draining;
    bool is_accepting;
    encl_conn *ready_first, *ready_last; /* whole requests, in order of arrival */
    encl_conn *burst[ENCL_BURST_MAX];
    size_t burst_count;
    encl_askers askers;
    encl_shares shares; /* of the memory for bodies */
    encl_h2s *sessions;
    bool has_turns;   /* of sessions */
    int64_t sweep_us; /* when deadlines are looked at next; 0: none is set */
    uint64_t answers;
    rd_http_head request; /* scratch */
};

/* --- server.c --- */

int64_t server_now_us(void);
void server_deadline(encl_server *server, encl_conn *conn, int64_t after_us);
void server_enqueue(encl_server *server, encl_conn *conn);
/* Ends a connection or a stream, wherever it is. */
void server_drop(encl_server *server, encl_conn *conn);
/* Room to write is watched only while it lacks. */
void server_watch_room(encl_server *server, encl_conn *conn, bool is_on);
/* 0: go on reading, the head may be complete now; -1: it is parked, being answered, or gone. */
int server_take_head(encl_server *server, encl_conn *conn);
void server_refuse_large(encl_server *server, encl_conn *conn, const rd_http_head *request, uint64_t size,
                         uint64_t bound);

/* With `come` bytes of its body there: conn has room for more, or needs none. False: it is parked until it has. */
bool server_make_room(encl_server *server, encl_conn *conn, size_t come) RD_NODISCARD;
/* Waits for room no longer, and keeps what it has. */
void server_unpark(encl_server *server, encl_conn *conn);
/* So many bytes for the peer are still here. */
void server_owe(encl_server *server, encl_conn *conn, size_t size);
void server_release(encl_server *server, encl_conn *conn);
/* What became of a request: its answer leaves, or waits for its burst's signature. */
void server_queue_answer(encl_server *server, encl_conn *conn, encl_exchange_outcome outcome);
/* A queue or a burst has it: whoever ends it meanwhile leaves it to them. */
bool server_is_held(const encl_conn *conn);

/* --- askers.c --- */

/* conn waits for a quote of purpose client or channel. False: too many do. */
bool askers_take(encl_server *server, encl_conn *conn, rd_purpose purpose, const uint8_t nonce[RD_NONCE_SIZE]);
/* Until a quote is due; 0: now; -1: nobody waits. */
int64_t askers_wait_us(const encl_server *server, int64_t now_us);
/* One is due that should not wait for an end of the calls. */
bool askers_are_late(const encl_server *server, int64_t now_us);
/* Makes what quotes are due, and answers. */
void askers_answer(encl_server *server);
/* Nobody answers them any more. */
void askers_drop(encl_server *server);

/* --- sockets.c --- */

bool sockets_have_room(const encl_server *server);
/* Goes on as far as it can: what is to be written first, then what comes, up to the next event. */
void sockets_go(encl_server *server, encl_conn *conn);
/* An event has its receipt: what it sent leaves. */
void sockets_leave(encl_server *server, encl_conn *conn);
void sockets_expire(encl_server *server, encl_conn *conn, int64_t now_us);
void sockets_end(encl_conn *conn);
/* Closes them all (1001), as far as no event is on its way. */
void sockets_drain(encl_server *server);

/* --- sessions.c --- */

/* Both sides settled on HTTP/2: conn carries frames from here on. */
void sessions_begin(encl_server *server, encl_conn *conn);
/* Gives up the streams of conn, if it has any, and its session. */
void sessions_end(encl_server *server, encl_conn *conn);
/* Something came, or can leave: carrier's session has its turn with the next sessions_turn. Accepts NULL. */
void sessions_want_turn(encl_server *server, encl_conn *carrier);
void sessions_turn(encl_server *server);
/* What a turn of its session, or room for its body, brought to a stream. */
void sessions_take(encl_server *server, encl_conn *conn);
void sessions_drop(encl_server *server, encl_conn *conn);
/* Says that no new streams are taken: of all, of one that is left. */
void sessions_drain(encl_server *server);
void sessions_farewell(encl_conn *conn);
bool sessions_is_quiet(const encl_conn *conn);

#endif
