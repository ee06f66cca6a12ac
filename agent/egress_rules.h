/* egress_rules: which addresses an enclave's outgoing connection may reach from this host, looked at after resolution.
 * Used by egress. Pure. Protects the operator's network from the code of others: loopback, link-local, private, shared,
 * multicast and reserved ranges are closed, in whatever form of IPv6 they come, and so is the control plane.
 */
#ifndef AGENT_EGRESS_RULES_H
#define AGENT_EGRESS_RULES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

#define AGENT_EGRESS_ALLOW_MAX 32
#define AGENT_EGRESS_PLANE_MAX 32

/* An address in one form: IPv4 as ::ffff:a.b.c.d. */
typedef struct agent_address {
    uint8_t b[16];
} agent_address;

typedef struct agent_range {
    agent_address base;
    unsigned bits; /* 0 to 128 */
} agent_range;

typedef struct agent_egress_rules {
    agent_range allow[AGENT_EGRESS_ALLOW_MAX]; /* closed ranges that the operator opens */
    size_t allow_count;
    struct {
        agent_address address;
        uint16_t port;
    } plane[AGENT_EGRESS_PLANE_MAX];
    size_t plane_count;
} agent_egress_rules;

typedef enum agent_egress_verdict {
    AGENT_EGRESS_OPEN,
    AGENT_EGRESS_CLOSED,       /* a closed range that the operator did not open */
    AGENT_EGRESS_NOT_DECLARED, /* opened by the operator, but the release does not say "private" */
    AGENT_EGRESS_CONTROL_PLANE,
} agent_egress_verdict;

/* "10.1.0.0/16", "127.0.0.1", "fd00::/8". CONFIG: malformed, bits beyond the prefix, or too many. */
int agent_egress_rules_allow(agent_egress_rules *rules, const char *text, rd_err *err) RD_NODISCARD;
/* Where the plane answers; later ones than the bound are left out. */
void agent_egress_rules_plane(agent_egress_rules *rules, const struct sockaddr *address);
/* is_private: the release's owner said that this name may be private. */
agent_egress_verdict agent_egress_rules_judge(const agent_egress_rules *rules, const struct sockaddr *address,
                                              bool is_private);

#endif
