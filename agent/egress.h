/* egress: the dumb proxy of enclaves: resolves a name, judges the addresses, connects, and moves bytes both ways.
 * Used by the enclave's handle, which hears what is asked for. Sees names, addresses and ciphertext; parses nothing.
 * Bounded: connections an enclave, time to connect, one chunk in each direction.
 */
#ifndef AGENT_EGRESS_H
#define AGENT_EGRESS_H

#include <uv.h>

#include "agent/egress_rules.h"
#include "common/base/bytes.h"

#define AGENT_EGRESS_AT_ONCE 16 /* connections of one enclave */

typedef struct agent_egress agent_egress;

/* What an enclave asks for. */
typedef struct agent_egress_request {
    const void *owner; /* the enclave, for its bound */
    uint64_t id;
    char host[254]; /* a name, an IPv4 address, or an IPv6 address in brackets */
    uint16_t port;
    bool is_private;
    /* Connects to the enclave's control listener; the descriptor becomes the proxy's. -1: it is gone. Called once, from
     * the loop, unless the enclave was dropped before. */
    int (*dial)(void *context);
    void *context;
} agent_egress_request;

/* rules are copied. */
agent_egress *agent_egress_new(uv_loop_t *loop, const agent_egress_rules *rules);
/* Resolves the plane's names, so that no enclave reaches them; addresses are added as they come. */
void agent_egress_guard_plane(agent_egress *egress, const char *host, uint16_t port);
/* Cuts every connection and frees itself from the loop; closed is called at the end. */
void agent_egress_close(agent_egress *egress, void (*closed)(void *context), void *context);

void agent_egress_open(agent_egress *egress, const agent_egress_request *request);
/* The enclave is gone: nobody is dialled for it any more. */
void agent_egress_drop(agent_egress *egress, const void *owner);

#endif
