/* egress: the outgoing requests of one call of a function: held to the release's list, several at once, all bounded.
 * Used by world.c, and by the instance for its owner's webhook. Connections come from the host, which dials and hands
 * descriptors in; TLS ends here. Keeps nothing from one call to the next: no connection, no session, no cookie. */
#ifndef ENCL_EGRESS_H
#define ENCL_EGRESS_H

#include <poll.h>

#include "common/model/egress.h"

#define ENCL_EGRESS_AT_ONCE   8                   /* connections */
#define ENCL_EGRESS_A_CALL    32                  /* requests of one call, redirections counted */
#define ENCL_EGRESS_WHOLE_MAX ((size_t)4 << 20)   /* of a request's body that is given whole */
#define ENCL_EGRESS_CALL_MAX  ((size_t)64 << 20)  /* of all bodies of one call's answers, and of its requests */
#define ENCL_EGRESS_HOLD_MAX  ((size_t)256 << 10) /* of an answer's body that nobody took yet; then nothing is read */
#define ENCL_EGRESS_PIECE_MAX ((size_t)64 << 10)  /* of a request's body that is sent in pieces */

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
    bool is_upload;    /* the body comes by encl_egress_send instead */
    size_t answer_max; /* of the answer's body; 0: ENCL_EGRESS_CALL_MAX */
} encl_fetch;

/* The list and host are borrowed and copied, respectively. */
encl_egress *encl_egress_new(const rd_egress *list, const encl_egress_host *host);
encl_egress *encl_egress_free(encl_egress *egress);
const rd_egress *encl_egress_list(const encl_egress *egress);

/* Begins a request; news of it come by encl_egress_next under *ret_id. Codes of -1: EGRESS_REFUSED (too many, too
 * large, malformed, no way out). Counted as asked, and as failed when refused. */
int encl_egress_start(encl_egress *egress, const encl_fetch *fetch, uint32_t *ret_id, rd_err *err) RD_NODISCARD;
/* One that never began: not on the list. */
void encl_egress_count_refusal(encl_egress *egress);
/* The function does not want it any more; failed when it does so before it was told of an answer. */
void encl_egress_cancel(encl_egress *egress, uint32_t id);
/* The next bytes of an answer's body are wanted: encl_egress_next says once that they, or its end, are there. */
void encl_egress_want(encl_egress *egress, uint32_t id);
/* Appends what there is of the body, which makes room for more. */
void encl_egress_take(encl_egress *egress, uint32_t id, rd_buf *out);
/* One piece of a request's body, after news of room for it. EGRESS_REFUSED: there is none, or too much was sent. */
int encl_egress_send(encl_egress *egress, uint32_t id, rd_bytes piece, bool is_last, rd_err *err) RD_NODISCARD;

/* Takes fd over (-1 unless OPEN). An id that nobody waits for is closed. */
void encl_egress_connected(encl_egress *egress, uint64_t dial_id, int fd, encl_line_outcome outcome);
/* Descriptors to wait for, at most ENCL_EGRESS_AT_ONCE; returns their count. */
size_t encl_egress_watch(const encl_egress *egress, struct pollfd *ret);
/* Nobody will dial any more: what waits for a connection fails. */
void encl_egress_abandon(encl_egress *egress);
/* Goes on wherever it can without waiting. True: it can at once go on further, and looks up first. */
bool encl_egress_turn(encl_egress *egress);
/* There are requests, whether somebody waits for them or not. */
bool encl_egress_is_busy(const encl_egress *egress);
/* Something that the function waits for is still to come, or to be told. */
bool encl_egress_is_pending(const encl_egress *egress);
bool encl_egress_has_news(const encl_egress *egress);

/* For whoever asks for one small thing and has no use for news: 1: the answer is whole, its body appended; 0: not yet;
 * -1: EGRESS_REFUSED and why there is none. The request is over after 1 and -1. */
int encl_egress_whole(encl_egress *egress, uint32_t id, unsigned *ret_status, rd_buf *ret_body,
                      rd_err *err) RD_NODISCARD;

/* Appends the next news as ENCL_ASK_NEXT answers (guest_abi.h). False when there is none. */
bool encl_egress_next(encl_egress *egress, rd_buf *out);

/* A call begins: the counters are zero. */
void encl_egress_begin(encl_egress *egress);
/* It is over: whatever still runs ends. The counters stay for its receipt. */
void encl_egress_forget(encl_egress *egress);
uint32_t encl_egress_asked(const encl_egress *egress);
uint32_t encl_egress_failed(const encl_egress *egress);

#endif
