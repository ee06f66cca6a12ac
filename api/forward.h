/* forward: the owner's side of a call that came in at another replica: joins the CONNECT pipe of that replica to a pipe
 * of the agent's link. Used by peers.c. Bytes only, HTTP is the relay's at the other end; the slower side stops the
 * other through the windows. Goes to links of this replica alone, so a call crosses at most once. Loop thread. */
#ifndef API_FORWARD_H
#define API_FORWARD_H

#include "common/io/link.h"

typedef struct api_forwards api_forwards;

api_forwards *api_forwards_new(void);
/* Resets what is joined. After the links of the other replicas are gone; accepts NULL. */
api_forwards *api_forwards_free(api_forwards *forwards);

/* Answers stream (not yet answered): 200 and the joined pipe once the agent said 200, 421 and 503 as the agent says,
 * 503 when the pipe cannot be had. authority: "ins_….epoch". */
void api_forward(api_forwards *forwards, rd_link_stream *stream, rd_link *agent, const char *authority);

size_t api_forwards_open(const api_forwards *forwards);
uint64_t api_forwards_total(const api_forwards *forwards);

#endif
