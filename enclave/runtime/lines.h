/* lines: outgoing connections of an instance: asked for on the control stream, dialled by the agent, which then calls
 * in on the control listener and says which one it is. Used by the instance, for its function's requests and for its
 * owner's webhook.
 * Opens no socket: what comes in and was not asked for is closed by egress, which knows what it waits for.
 */
#ifndef ENCL_LINES_H
#define ENCL_LINES_H

#include <poll.h>

#include "enclave/runtime/uplink.h"
#include "enclave/world/egress.h"

#define ENCL_LINES_MAX     ENCL_EGRESS_AT_ONCE /* calling in at a time */
#define ENCL_LINE_PREAMBLE 16                  /* u64be id, outcome, seven zero bytes */
#define ENCL_LINES_WATCHED (ENCL_LINES_MAX + 2)

/* A bit of the ids of connections that are not the function's, but its owner's webhook's. */
#define ENCL_LINE_OF_HOOK (UINT64_C(1) << 48)

typedef struct encl_lines {
    encl_uplink *uplink; /* borrowed */
    encl_egress *hook;   /* whose lines have that bit; borrowed; may be NULL */
    struct {
        int fd;
        uint8_t preamble[ENCL_LINE_PREAMBLE];
        size_t got;
    } calling[ENCL_LINES_MAX];
} encl_lines;

void encl_lines_init(encl_lines *lines, encl_uplink *uplink);
void encl_lines_done(encl_lines *lines);

/* Asks the agent for a connection. UNAVAILABLE without an agent. */
int encl_lines_ask(encl_lines *lines, uint64_t id, const rd_egress_entry *entry, rd_err *err) RD_NODISCARD;
/* What to wait for while connections are awaited; at most ENCL_LINES_WATCHED. */
size_t encl_lines_watch(const encl_lines *lines, struct pollfd *ret);
/* Takes what has called in and hands it to egress, or to the hook's. egress may be NULL. */
void encl_lines_turn(encl_lines *lines, encl_egress *egress);

#endif
