/* blank: what a blank enclave has to prove before the warm pool counts it as ready (docs/decisions/0034).
 * Used by launchers, each of which knows what its blanks are. For this host alone: nobody else believes what it finds.
 * Without collateral: TCB status and revocation are for key service, plane and callers to judge, at the order.
 */
#ifndef AGENT_BLANK_H
#define AGENT_BLANK_H

#include "attest/attest.h"

typedef struct agent_blank_rules {
    rd_class class;
    rd_anchors anchors;     /* the vendors' roots, or the simulation root of this very host */
    uint8_t mrtd[48];       /* of the runtime that was launched */
    rd_attest_cache *cache; /* may be NULL */
} agent_blank_rules;

/* The bundle is strictly one of purpose blank, its report data binds the statement, signatures and certificates hold
 * under the anchors, class and MRTD are the rules', register 3 and the event log are empty. Errors: those of
 * rd_evidence_parse and rd_attest_verify, PURPOSE, CLASS_MISMATCH, BINDING, EVENTLOG, RTMR, MEASUREMENT. */
int agent_blank_check(const agent_blank_rules *rules, rd_bytes bundle, int64_t time_us, rd_err *err) RD_NODISCARD;

#endif
