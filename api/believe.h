/* believe: an agent's evidence, verified before its claim becomes status.
 * Used by the links' event intake. Looks up what the statement must say (lease, head, policy), then verifies on the
 * thread pool. Believes nothing of what the agent says about the instance: it only names the bytes. Loop thread. */
#ifndef API_BELIEVE_H
#define API_BELIEVE_H

#include "api/collateral.h"
#include "attest/attest.h"
#include "common/base/clock.h"
#include "common/data/pg_async.h"
#include "common/io/loop.h"

#define API_VERDICT_TERM_US ((int64_t)15 * 60 * 1000000)
#define API_BELIEVE_MAX     4096 /* under way in one replica */

typedef struct api_believe api_believe;

/* What was found. Free with api_verdict_free. */
typedef struct api_verdict {
    rd_id host, instance;
    uint64_t epoch;
    bool is_accepted;
    bool is_appraisal; /* genuine, and refused by the app's policy: never the host's fault */
    bool is_stale;     /* refused only because its nonce was of an earlier window: ask again */
    rd_code reason;
    char reason_text[256];
    char tcb_status[64];
    bool is_simulated;
    bool has_policy;
    rd_digest policy_digest;
    rd_digest evidence_digest;
    bool has_statement;
    rd_digest statement_digest; /* of the statement in the bundle: what receipts name */
    rd_digest collateral_digest;
    int64_t collateral_evaluation;
    int64_t verified_at_us, valid_until_us;
    char *detail;  /* JSON object, at most 4 KiB */
    rd_buf record; /* signed, decision.h; empty when it could not be made */
    rd_buf bundle;
} api_verdict;

api_verdict *api_verdict_free(api_verdict *verdict);

typedef struct api_believe_options {
    rd_loop *loop;
    const rd_clock *clock;
    rd_pg_async *pg;          /* with api_believe_stmts prepared */
    const uint8_t *plane_key; /* 32 bytes */
    const char *plane_id;
    const rd_signing_key *record_key; /* both borrowed until the loop has ended */
    const uint8_t *simulated_root;    /* 32 bytes or NULL */
    rd_attest_cache *verified;        /* borrowed likewise; may be NULL */
} api_believe_options;

extern const rd_pg_stmts api_believe_stmts;

int api_believe_new(const api_believe_options *options, api_believe **ret, rd_err *err) RD_NODISCARD;
/* Waiting callbacks are not called any more. */
api_believe *api_believe_free(api_believe *believe);
/* What evidence is judged by from here on. Without any, all of it is refused. */
void api_believe_set_collateral(api_believe *believe, api_collateral_state *state);

/* verdict is the callee's; NULL with err when nothing could be said (PostgreSQL away): ask again later. */
typedef void (*api_believe_fn)(void *context, api_verdict *verdict, const rd_err *err);
/* host: whose link the bytes came over. bundle is taken. UNAVAILABLE past API_BELIEVE_MAX. */
int api_believe_check(api_believe *believe, const rd_id *host, const rd_id *instance, uint64_t epoch, rd_buf *bundle,
                      api_believe_fn done, void *context, rd_err *err) RD_NODISCARD;

void api_believe_metrics(void *believe, rd_buf *out);

#endif
