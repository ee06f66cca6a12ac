/* egress: the outgoing requests of one call of a function: held to the release's list, several at once, all bounded.
 * Used by world.c. Connections come from the host, which dials and hands descriptors in; TLS ends here.
 * Keeps nothing from one call to the next: no connection, no session, no cookie. */
#ifndef ENCL_EGRESS_H
#define ENCL_EGRESS_H

#include <poll.h>

#include "common/model/egress.h"

#define ENCL_EGRESS_AT_ONCE  8
#define ENCL_EGRESS_A_CALL   32                 /* requests of one call, redirections counted */
#define ENCL_EGRESS_BODY_MAX ((size_t)4 << 20)  /* of a request or an answer */
#define ENCL_EGRESS_CALL_MAX ((size_t)16 << 20) /* of all answers of one call */

typedef struct encl_egress encl_egress;

/* How a connection comes to be. */
typedef struct encl_egress_host {
    /* Begins to connect to the entry's place; encl_egress_connected follows with this id. -1: it cannot. */
    int (*dial)(void *context, uint64_t id, const rd_egress_entry *entry, rd_err *err);
    /* The time to date certificates by, microseconds since the epoch. */
    int64_t (*time_us)(void *context);
    void *context;
} encl_egress_host;

/* What a dialled connection became, as the agent says it (docs/protocol/enclave.md). */
typedef enum encl_line_outcome {
    ENCL_LINE_OPEN = 0,
    ENCL_LINE_REFUSED = 1,     /* the operator's rules: a private or otherwise closed address */
    ENCL_LINE_NO_NAME = 2,     /* the name does not resolve */
    ENCL_LINE_UNREACHABLE = 3, /* nobody there takes the connection */
    ENCL_LINE_BUSY = 4,        /* too many connections of this enclave */
    ENCL_LINE_TIMEOUT = 5,
} encl_line_outcome;

/* One request, borrowed for the call. The values of headers may hold references that `secret` resolves. */
typedef struct encl_fetch {
    const rd_egress_entry *entry;
    rd_bytes method, target;
    const rd_bytes *headers; /* name, value, name, value, … */
    size_t headers_count;    /* pairs */
    rd_bytes body;
} encl_fetch;

/* The list and host are borrowed and copied, respectively. */
encl_egress *encl_egress_new(const rd_egress *list, const encl_egress_host *host);
encl_egress *encl_egress_free(encl_egress *egress);
const rd_egress *encl_egress_list(const encl_egress *egress);

/* Begins a request; its answer comes by encl_egress_next under *ret_id. Codes of -1: EGRESS_REFUSED (too many, too
 * large, malformed, no way out). Counted as asked, and as failed when refused. */
int encl_egress_start(encl_egress *egress, const encl_fetch *fetch, uint32_t *ret_id, rd_err *err) RD_NODISCARD;
/* One that never began: not on the list. */
void encl_egress_count_refusal(encl_egress *egress);
/* The function does not want it any more. */
void encl_egress_cancel(encl_egress *egress, uint32_t id);

/* Takes fd over (-1 unless OPEN). An id that nobody waits for is closed. */
void encl_egress_connected(encl_egress *egress, uint64_t dial_id, int fd, encl_line_outcome outcome);
/* Descriptors to wait for, at most ENCL_EGRESS_AT_ONCE; returns their count. */
size_t encl_egress_watch(const encl_egress *egress, struct pollfd *ret);
/* Nobody will dial any more: what waits for a connection fails. */
void encl_egress_abandon(encl_egress *egress);
/* Goes on wherever it can without waiting. True: it can at once go on further, and looks up first. */
bool encl_egress_turn(encl_egress *egress);
/* Some answer is still to come, or to be taken. */
bool encl_egress_is_pending(const encl_egress *egress);
bool encl_egress_has_news(const encl_egress *egress);

/* Appends the next answer as the engine's answer format (guest_abi.h): id, 1, a sentence; or id, 0, status, count, name
 * and value …, body. False when there is none. */
bool encl_egress_next(encl_egress *egress, rd_buf *out);

/* A call begins: the counters are zero. */
void encl_egress_begin(encl_egress *egress);
/* It is over: whatever still runs ends. The counters stay for its receipt. */
void encl_egress_forget(encl_egress *egress);
uint32_t encl_egress_asked(const encl_egress *egress);
uint32_t encl_egress_failed(const encl_egress *egress);

#endif
