/* collateral: the plane's one collateral set: kept in PostgreSQL, never going back, the same at every replica.
 * Used by enrolment, by the link side's verdicts and by the routes that show and take sets. A set is taken into use
 * only when it is genuine and in date; every replica learns of it from the event log.
 * A file named in the configuration is offered at the start; without a stored set it is used as it is. */
#ifndef API_COLLATERAL_H
#define API_COLLATERAL_H

#include "api/context.h"
#include "attest/collateral_review.h"
#include "common/data/pg.h"
#include "common/data/pg_result.h"

typedef struct api_collateral api_collateral;

/* What is in use. Free the document with rd_buf_done. */
typedef struct api_collateral_state {
    rd_buf document;
    rd_digest digest;
    int64_t number; /* 0: the file's, not stored */
    char source[257];
    int64_t at_us;  /* taken into use */
    bool has_facts; /* it verifies now */
    rd_collateral_facts facts;
} api_collateral_state;

extern const rd_pg_stmts api_store_collateral, api_collateral_follow_stmts;

/* Blocks: offers the configured file, then reads the set in use. Only a database away is an error. */
int api_collateral_new(const api_context *context, api_collateral **ret, rd_err *err) RD_NODISCARD;
api_collateral *api_collateral_free(api_collateral *collateral);

/* Any thread. A copy of what is in use; false when there is none. */
bool api_collateral_get(api_collateral *collateral, api_collateral_state *ret);
bool api_collateral_exists(api_collateral *collateral);
/* Loop thread: a row of api_collateral_follow_stmts. False when it is what is in use already. */
bool api_collateral_take_row(api_collateral *collateral, const rd_pg_result *row);

/* Reads and verifies a set that somebody brings; *facts is what it is. Codes of rd_collateral_review. */
int api_collateral_check(const api_context *context, rd_bytes document, rd_collateral_facts *ret,
                         rd_err *err) RD_NODISCARD;
/* Within a transaction. COLLATERAL_EVALNUM when it would go back. *ret_number is the set's. */
rd_pg_outcome api_collateral_adopt(rd_pg *pg, rd_bytes document, const rd_collateral_facts *facts, const char *source,
                                   int64_t *ret_number, rd_err *err) RD_NODISCARD;

/* The roots that this plane trusts: the vendors', and the simulation's when one is configured. */
int api_anchors(const api_config *config, rd_anchors *ret, rd_err *err) RD_NODISCARD;

/* What enrolment accepts of a machine that looks like this (routes_enrol.c). */
void api_enrol_policy(const rd_verdict *seen, rd_policy *ret);

#endif
