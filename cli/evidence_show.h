/* evidence_show: evidence as people read it: what it is, every field, and the bits that have names.
 * Used by `redoubt evidence show`. Believes nothing and judges nothing. */
#ifndef CLI_EVIDENCE_SHOW_H
#define CLI_EVIDENCE_SHOW_H

#include "attest/judge.h"
#include "cli/out.h"

/* document is rd_judgement_to_json's. */
void cli_evidence_print(const cli_out *out, const rd_judgement *judgement, const json_t *document);

#endif
