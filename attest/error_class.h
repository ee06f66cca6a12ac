/* error_class: why evidence is not genuine, in the coarse words that verifiers share; reason codes are finer.
 * Used for JSON that other tools compare: ParseError, UntrustedRoot, CertExpired, QuoteSignature, ….
 * Several codes fall into one class, and codes of time and collateral into one by what failed. */
#ifndef RD_ATTEST_ERROR_CLASS_H
#define RD_ATTEST_ERROR_CLASS_H

#include "attest/attest.h"

/* Of a verdict that is not genuine, or NULL. */
const char *rd_error_class(const rd_verdict *verdict);
/* Of a refusal by a rule of appraisal: DebugNotAllowed, SigningKeyNotAllowed, TcbRevoked, else PolicyViolation. */
const char *rd_policy_error_class(const rd_verdict *verdict, rd_code code);

#endif
