/* redoubt_attest: the verifier for SGX, TDX and SEV-SNP evidence as a library, in one header.
 * For programs outside of this tree: `pkg-config --cflags --libs redoubt-attest`; examples/verify-quote is a whole one.
 *
 *   judge.h              evidence of any kind, with what lies beside it: the one call to begin with
 *   attest.h             trust anchors, collateral, verdicts, policies, the cache for many verifications
 *   claims.h             what genuine evidence says
 *   ear.h                a judgement as a signed JWT for other systems
 *   collateral_review.h  is a set of collateral genuine and in date, and may it follow another
 *   policy.h             what you accept as proof: parse, digest, review
 *
 * No function here reads a file, socket, clock or environment variable, except rd_clock_wall_us, which a caller may ask
 * for the time. All of it may run on any thread; objects are one thread's at a time, but for rd_attest_cache. Functions
 * that can fail return -1 and fill an rd_err: a stable code (rd_code_describe gives its name and a hint) and a
 * sentence. Memory that cannot be had ends the process. */
#ifndef RD_ATTEST_REDOUBT_ATTEST_H
#define RD_ATTEST_REDOUBT_ATTEST_H

#include "attest/attest.h"
#include "attest/collateral_review.h"
#include "attest/ear.h"
#include "attest/judge.h"
#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/policy_review.h"

#endif
