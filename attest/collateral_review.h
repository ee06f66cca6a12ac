/* collateral_review: is a collateral set genuine and in date, without any evidence; and is it newer than another.
 * Used before a plane takes a set into use, and by whoever shows one. Pure, as all of attest.
 * Says nothing about a platform: that is rd_attest_verify. */
#ifndef RD_ATTEST_COLLATERAL_REVIEW_H
#define RD_ATTEST_COLLATERAL_REVIEW_H

#include "attest/attest.h"

/* What a set is, as its signed pieces say. */
typedef struct rd_collateral_facts {
    rd_class class;
    uint8_t root[32]; /* SHA-256 of the root that everything ended in */
    rd_tee tee;
    uint8_t fmspc[6];
    bool is_platform_ca;        /* whose PCK list it has: platform CA, else processor CA */
    uint32_t evaluation_number; /* the lower of TCB info and QE identity */
    int64_t pck_crl_number, root_crl_number;
    int64_t issued_us;  /* the earliest of TCB info, identity, PCK list */
    int64_t expires_us; /* the earliest end of all pieces */
} rd_collateral_facts;

/* Every piece: chains to one root of the anchors, signatures, revocation, dates at time_us. Codes as the steps
 * pck_chain, revocation, tcb_info, qe_identity of docs/verifier.md. */
int rd_collateral_review(const rd_collateral *collateral, const rd_anchors *anchors, int64_t time_us,
                         rd_collateral_facts *ret, rd_err *err) RD_NODISCARD;

/* Whether candidate may follow current: nothing under the same root goes back. COLLATERAL_EVALNUM for a lower
 * evaluation number, CRL_ROLLBACK for a lower list, COLLATERAL_AGE for older dates under the same numbers. */
int rd_collateral_follows(const rd_collateral_facts *current, const rd_collateral_facts *candidate,
                          rd_err *err) RD_NODISCARD;

/* {"class","root","tee","fmspc","ca","evaluation_number","pck_crl_number","root_crl_number","issued","expires"} */
json_t *rd_collateral_facts_to_json(const rd_collateral_facts *facts);

#endif
