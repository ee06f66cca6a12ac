/* splice: bytes between a CONNECT stream of the link and the unix socket of an instance, unparsed.
 * Used by the uplink. A slow side stops the other: at most one chunk waits here in each direction. While the instance
 * starts its splices wait, unanswered.
 * The instance's owner may cut all of its splices at once. */
#ifndef AGENT_SPLICE_H
#define AGENT_SPLICE_H

#include "common/io/link.h"

typedef struct agent_splice agent_splice;

typedef struct agent_splices {
    agent_splice *head;
    size_t count;
    uint8_t *buffer; /* shared by their reads */
    bool waits;      /* new ones connect only when agent_splices_begin is called */
} agent_splices;

/* Connects to the socket, then accepts the stream with 200; answers 503 when the socket does not take it. The stream
 * must be an unanswered request. list is the instance's; it must outlive its splices, and so must socket_path. */
void agent_splice_open(rd_loop *loop, rd_link_stream *stream, const char *socket_path, agent_splices *list);
/* The instance takes connections now: those that wait connect, in the order they came. */
void agent_splices_begin(agent_splices *list);
/* The instance has ended: what nobody took is refused; the others go on until they have passed on what it said last,
 * and end with it. Who does not read is for agent_splices_cut(), later. */
void agent_splices_finish(agent_splices *list);
/* Ends all of them and frees what they shared; the list is empty afterwards. */
void agent_splices_cut(agent_splices *list);

#endif
