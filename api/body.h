/* body: the bodies of the REST listener's requests on their way in (intake.h).
 * Used by server and gate for each request with a body, and by who has passed one on. Late ones are answered 408 and
 * their connection closed. Loop thread. */
#ifndef API_BODY_H
#define API_BODY_H

#include "api/intake.h"
#include "api/request.h"

/* For api_bodies_new. */
void api_body_late(api_intake *intake);

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

#endif
