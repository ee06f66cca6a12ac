/* tail: the event log, read in order and without gaps, and its readers (GET /v1/events).
 * One connection a replica reads by (xid, id) below the snapshot horizon; Redis wakes it, a poll of 250 ms makes it
 * safe. Each reader has a bounded buffer (its HTTP stream); who is too slow is cut with an explicit event. Loop thread.
 */
#ifndef API_TAIL_H
#define API_TAIL_H

#include "api/reply.h"
#include "common/data/pg_async.h"
#include "common/data/redis.h"
#include "common/io/loop.h"
#include "common/model/ids.h"

#define API_TAIL_READERS_MAX 10000
#define API_TAIL_POLL_US     250000
#define API_TAIL_BEAT_US     10000000 /* comment lines */

typedef struct api_tail api_tail;
extern const rd_pg_stmts api_tail_stmts;

/* One committed event; borrowed for the call. */
typedef struct api_tail_event {
    int64_t era;
    uint64_t xid, id;
    bool has_org, has_app;
    uint8_t org[16];
    rd_app_id app;
    const char *kind;
    rd_bytes subject;
    const char *body; /* JSON */
    int64_t at_us;
} api_tail_event;

typedef struct api_tail_options {
    rd_loop *loop;
    rd_pg_async *pg;   /* with api_tail_stmts prepared; no one else's */
    const char *redis; /* NULL or "": no wake-ups */
    /* Every event, in order. */
    void (*on_event)(void *context, const api_tail_event *event);
    void *context;
} api_tail_options;

api_tail *api_tail_new(const api_tail_options *options);
/* Ends all readers. */
api_tail *api_tail_free(api_tail *tail);
/* It looked at the log within the last two seconds. */
bool api_tail_is_moving(const api_tail *tail);

typedef struct api_tail_scope {
    uint8_t org[16];
    const rd_app_id *app;      /* NULL: all of the organisation */
    const char *last_event_id; /* NULL: from now on */
} api_tail_scope;
/* Answers the request with a stream of events. */
void api_tail_read(api_tail *tail, struct api_request *request, const api_tail_scope *scope);

void api_tail_metrics(void *tail, rd_buf *out);

#endif
