/* intake: a request's body on its way in: the memory that it takes, whose it is, and its time.
 * Used by both listeners, for each request with a body; knows neither. Memory is counted as it comes and not as it is
 * announced, which costs a caller nothing. Nobody waits for it: who finds none is refused and gives back what he held,
 * so that the others get on. Each body counts for the app, the organisation or the strangers that it is for (shares.h),
 * and for its address where that is one caller's. A body has API_BODY_GRACE_US, and the more time the more of it came.
 * Loop thread. */
#ifndef API_INTAKE_H
#define API_INTAKE_H

#include <uv.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/err.h"

#define API_BODY_RATE     ((size_t)16 << 10) /* bytes a second */
#define API_BODY_GRACE_US INT64_C(10000000)
#define API_BODY_REST_US  INT64_C(20000000) /* what was ahead of the rate may pause so long */

/* A listener's bodies. */
typedef struct api_bodies api_bodies;

/* Embedded in the request, zeroed and with its bodies named. */
typedef struct api_intake api_intake;
struct api_intake {
    api_bodies *bodies;
    rd_buf body;
    size_t body_max;
    struct api_share *shares[2]; /* who pays for it: on whose behalf it is, and the address; NULL: none */
    size_t announced;            /* bytes; with chunks as many as may come */
    size_t held;                 /* memory counted in the shares */
    uint64_t received;
    int64_t due_us;
    api_intake *next, *previous; /* those on their way */
    bool is_listed;
    bool is_told; /* it was answered amid its way: what still comes is thrown away */
};

/* memory_max: bytes of all of them at once; 0: 256 MiB. on_late: this one is past its time; said every second until it
 * has come, is told and in time again, or is done. */
api_bodies *api_bodies_new(uv_loop_t *loop, const rd_clock *clock, size_t memory_max,
                           void (*on_late)(api_intake *intake));
/* No request is left; its timer goes at the loop's next turn. Accepts NULL. */
api_bodies *api_bodies_free(api_bodies *bodies);
/* Bytes held, and how many were refused for their share, for want of memory, for being slow. */
typedef struct api_bodies_stats {
    size_t held;
    uint64_t refused_share, refused_all, slow;
} api_bodies_stats;
api_bodies_stats api_bodies_statistics(const api_bodies *bodies);

/* When a body that was due then and brings size more now is due. Microseconds of one clock. */
int64_t api_body_due_us(int64_t due_us, int64_t now_us, size_t size);

/* On whose behalf it is: kind and id, at most 47 bytes, name one share. The first word counts. */
void api_intake_payer(api_intake *intake, char kind, rd_bytes id);
/* The address that it comes from (callers.h), which pays too unless many stand behind it. */
void api_intake_address(api_intake *intake, const uint8_t key[16]);
/* TOO_MANY_BODIES or BUSY when size bytes (0: not announced) would find no memory now. Once it has a payer. */
int api_intake_admit(api_intake *intake, uint64_t size, rd_err *err) RD_NODISCARD;
/* Its time begins, and ends with all of it. */
void api_intake_begin(api_intake *intake);
void api_intake_end(api_intake *intake);
/* More of it. TOO_LARGE, TOO_MANY_BODIES, BUSY: nothing is held any more. */
int api_intake_add(api_intake *intake, rd_bytes piece, rd_err *err) RD_NODISCARD;
/* More of one that has its answer: only its time goes on. */
void api_intake_skip(api_intake *intake, size_t size);
/* It is late: counts it and gives BODY_SLOW. */
void api_intake_slow(api_intake *intake, rd_err *err);
/* It was answered amid its way: what comes is thrown away, and has two seconds. */
void api_intake_tell(api_intake *intake);
/* Gives the memory back. */
void api_intake_drop(api_intake *intake);
/* The request is over; ready for another. */
void api_intake_done(api_intake *intake);

#endif
