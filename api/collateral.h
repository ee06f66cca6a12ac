/* collateral: the plane's one collateral set: kept in PostgreSQL, never going back, the same at every replica.
 * Used by enrolment, by the link side's verdicts and by the routes that show and take sets. What is brought is
 * verified, merged into what is there (newer pieces take the place of older ones, what has ended leaves), and taken
 * into use; every replica learns of it from the event log. A file named in the configuration is offered at the start;
 * without a stored set it is used as it is. */
#ifndef API_COLLATERAL_H
#define API_COLLATERAL_H

#include <stdatomic.h>

#include "api/context.h"
#include "attest/collateral_review.h"
#include "common/data/pg.h"
#include "common/data/pg_result.h"

typedef struct api_collateral api_collateral;

/* A set that was or is in use: never changed, shared by whoever holds it. */
typedef struct api_collateral_state {
    atomic_uint holders;
    rd_buf document;
    rd_collateral_set *set;
    rd_digest digest;
    int64_t number; /* 0: the file's, not stored */
    char source[257];
    int64_t at_us;             /* taken into use */
    rd_collateral_facts facts; /* as of then */
} api_collateral_state;

extern const rd_pg_stmts api_store_collateral, api_collateral_follow_stmts;

/* Blocks: offers the configured file, then reads the set in use. Only a database away is an error. */
int api_collateral_new(const api_context *context, api_collateral **ret, rd_err *err) RD_NODISCARD;
api_collateral *api_collateral_free(api_collateral *collateral);

/* Any thread. What is in use, or NULL; give it back with api_collateral_drop. */
api_collateral_state *api_collateral_hold(api_collateral *collateral);
api_collateral_state *api_collateral_share(api_collateral_state *state);
api_collateral_state *api_collateral_drop(api_collateral_state *state);
void api_collateral_drop_p(api_collateral_state **state);
/* Loop thread: a row of api_collateral_follow_stmts. False when it is what is in use already. */
bool api_collateral_take_row(api_collateral *collateral, const rd_pg_result *row);
void api_collateral_metrics(void *collateral, rd_buf *out);

/* Reads and verifies a set that somebody brings; *facts is what it is. Codes of rd_collateral_review. */
int api_collateral_check(const api_context *context, rd_bytes document, rd_collateral_set **ret,
                         rd_collateral_facts *ret_facts, rd_err *err) RD_NODISCARD;
/* base with what is brought in it, without what has ended. base may be NULL. */
int api_collateral_merge(const api_context *context, const rd_collateral_set *base, const rd_collateral_set *brought,
                         bool keeps_newer, rd_collateral_set **ret, rd_err *err) RD_NODISCARD;

/* One set to be taken into use. */
typedef struct api_adoption {
    const api_context *context;
    const rd_collateral_set *brought; /* verified */
    const char *source;
    bool keeps_newer; /* what is older than in use is left out, else it refuses the whole */
    /* filled: */
    int64_t number;
    int left_out;
    bool has_changed;
    rd_collateral_facts facts; /* of what is in use then */
} api_adoption;

/* A rd_pg_tx_fn over an api_adoption. COLLATERAL_EVALNUM when it would go back. */
rd_pg_outcome api_collateral_adopt(rd_pg *pg, void *adoption, rd_err *err) RD_NODISCARD;

/* The roots that this plane trusts: the vendors', and the simulation's when one is configured. */
int api_anchors(const api_config *config, rd_anchors *ret, rd_err *err) RD_NODISCARD;

/* What enrolment accepts of a machine that looks like this (routes_enrol.c). */
void api_enrol_policy(const rd_verdict *seen, rd_policy *ret);

#endif
