/* body: the bodies of a listener's requests on their way in: the memory that they take, whose it is, and their time.
 * Used by server and gate for each request with a body, and by who has passed one on.
 * Memory is counted as it comes and not as it is announced, which costs a caller nothing. Nobody waits for it: who
 * finds none is refused and gives back what he held, so that the others get on. Each body counts for the app, the
 * organisation or the strangers that it is for (shares.h), and for its address where that is one caller's. A body has
 * API_BODY_GRACE_US, and the more time the more of it came; later ones are answered 408 and their connection closed.
 * Loop thread. */
#ifndef API_BODY_H
#define API_BODY_H

#include "api/request.h"

#define API_BODY_RATE     ((size_t)16 << 10) /* bytes a second */
#define API_BODY_GRACE_US INT64_C(10000000)
#define API_BODY_REST_US  INT64_C(20000000) /* what was ahead of the rate may pause so long */

typedef struct api_bodies api_bodies;

/* memory_max: bytes of all of them at once. is_plain: the connections have no TLS of their own. */
api_bodies *api_bodies_new(api_context *context, size_t memory_max, bool is_plain);
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

/* The head says that a body follows; *ret_size its Content-Length, 0 when it comes in chunks. */
bool api_body_is_coming(const api_request *request, uint64_t *ret_size);
/* Its time begins. */
void api_body_begin(api_request *request);
/* TOO_MANY_BODIES or BUSY when what it announces would find no memory now. After the route is known. */
int api_body_admit(api_request *request, rd_err *err) RD_NODISCARD;
/* More of it; once there is an answer it is thrown away. TOO_LARGE, TOO_MANY_BODIES, BUSY: nothing is held any more. */
int api_body_add(api_request *request, rd_bytes piece, rd_err *err) RD_NODISCARD;
/* Sends the recorded answer before the body's end; what comes behind it is thrown away, and the connection ends soon.
 * False: that cannot be, inside TLS of the listener's own. */
bool api_body_answer(api_request *request);
/* All of it is there. False: it was answered already. */
bool api_body_end(api_request *request);
/* The request is over. */
void api_body_done(api_request *request);

#endif
