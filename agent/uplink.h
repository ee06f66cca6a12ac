/* uplink: the agent's end of the link: answers the plane's requests (docs/protocol/link.md).
 * Used by the agent's run. Jobs are answered after they are on disk; reports are sent only when they are.
 * Trusts the plane for levels and bytes to pass on, never with a secret: it has none. */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H

#include "agent/instance.h"
#include "agent/journal.h"
#include "agent/kms.h"
#include "agent/logs.h"
#include "agent/receipts.h"
#include "agent/state.h"
#include "common/io/link.h"

typedef struct agent_uplink_config {
    rd_loop *loop;
    agent_state *state;
    rd_tls_context *tls;
    agent_jobs *jobs;
    agent_reports *reports;
    agent_journal *journal;
    agent_instances *instances;
    agent_blobs *blobs, *evidence;
    agent_logs *logs;
    agent_receipts *receipts;
    agent_kms *kms; /* NULL: none */
    agent_capacity capacity;
    bool has_jsc; /* the second engine runs here */
    const rd_endpoint *endpoints;
    size_t endpoint_count;
    int64_t dial_first_max_us; /* 0: the link's default */
} agent_uplink_config;

typedef struct agent_uplink agent_uplink;
/* Begins to dial. The parts are borrowed. */
int agent_uplink_new(const agent_uplink_config *config, agent_uplink **ret, rd_err *err) RD_NODISCARD;
/* Closes the links on later turns; outstanding answers are dropped, and jobs that become durable from now on are left
 * to the next start. Free the uplink after the journal was closed and the loop freed: both still call it. */
void agent_uplink_close(agent_uplink *uplink);
agent_uplink *agent_uplink_free(agent_uplink *uplink);
/* More reports are durable, there are new log lines or receipts, or an enclave wishes for a grant. */
void agent_uplink_wake(agent_uplink *uplink);
/* The key service serves: whoever was greeted without it is greeted anew, on a fresh link; that ends what is under way
 * on the old one. A restart of the key service costs no link. */
void agent_uplink_tell_kms(agent_uplink *uplink);
/* "connected to …", "dialling: …": for status. */
const char *agent_uplink_state(const agent_uplink *uplink);
bool agent_uplink_is_up(const agent_uplink *uplink);

#endif
