/* blank: what an enclave does ahead of its order, so that nothing of it is done while somebody waits; and its evidence
 * as a blank, for the agent beside it (docs/decisions/0034). Used by the instance, once. Reads nothing from the control
 * stream.
 */
#ifndef ENCL_BLANK_H
#define ENCL_BLANK_H

#include "enclave/confine/confine.h"
#include "enclave/platform/platform.h"
#include "enclave/runtime/function.h"
#include "enclave/runtime/uplink.h"

/* Says BLANK once everything is ready, then ATTESTED with evidence of purpose blank; its quote is made while the rest
 * is got ready. After a failure BLANK was said, too: whoever takes the enclave before it ends is told why by its phase.
 * Errors: TEE_UNAVAILABLE, TEE_REFUSED. */
int encl_blank_prepare(encl_platform *platform, encl_engine *engine, const encl_confine_report *report,
                       encl_uplink *uplink, rd_err *err) RD_NODISCARD;

#endif
