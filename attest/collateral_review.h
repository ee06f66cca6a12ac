/* collateral_review: is a collateral set genuine and in date, without any evidence; what does it cover; and is it newer
 * than another. Used before a plane takes a set into use, by whoever fetches one, and by whoever shows one. Pure, as
 * all of attest. Says nothing about a platform: that is rd_attest_verify. */
#ifndef RD_ATTEST_COLLATERAL_REVIEW_H
#define RD_ATTEST_COLLATERAL_REVIEW_H

#include "attest/collateral_set.h"

#define RD_SCOPES_MAX 48

/* One kind of platform that a set covers: a TEE with an FMSPC, or an AMD product. As the signed pieces say. */
typedef struct rd_collateral_scope {
    rd_code reason; /* RD_OK: everything about it verifies now */
    char detail[120];
    rd_class class;
    uint8_t root[32]; /* SHA-256 of the root that everything ended in */
    rd_tee tee;
    uint8_t fmspc[6];
    rd_snp_product product;                     /* SEV-SNP */
    bool is_vlek;                               /* its chain is the one of VLEKs */
    bool has_platform_list, has_processor_list; /* whose PCK lists it has */
    uint32_t evaluation_number;                 /* the lower of TCB info and QE identity */
    int64_t platform_crl_number, processor_crl_number, root_crl_number;
    int64_t issued_us;  /* the earliest of TCB info, identity, PCK lists */
    int64_t expires_us; /* the earliest end of all pieces */
} rd_collateral_scope;

typedef struct rd_collateral_facts {
    rd_collateral_scope scopes[RD_SCOPES_MAX];
    size_t scope_count;
    size_t good_count;          /* scopes that verify */
    size_t vcek_count;          /* certificates of chips that are kept */
    rd_class class;             /* simulated when one of them is */
    uint32_t evaluation_number; /* the lowest of the Intel scopes; 0 without one */
    int64_t issued_us, expires_us;
    const char *unverified; /* kind of the first piece that no scope of the set verifies; NULL: each one was */
} rd_collateral_facts;

/* Every piece: chains to roots of the anchors, signatures, revocation, dates at time_us. 0 when all of it holds; -1
 * with the first refusal, codes as the steps pck_chain, revocation, tcb_info, qe_identity and snp_chain of
 * docs/verifier.md, COLLATERAL_FORMAT for a piece that cannot be read, COLLATERAL_MISSING for a set that covers
 * nothing, TOO_LARGE for more than RD_SCOPES_MAX. *ret says in any case what holds and what does not. */
int rd_collateral_review(const rd_collateral_set *set, const rd_anchors *anchors, int64_t time_us,
                         rd_collateral_facts *ret, rd_err *err) RD_NODISCARD;

/* Whether candidate may follow current: no piece goes back. COLLATERAL_EVALNUM for a lower evaluation number,
 * CRL_ROLLBACK for a lower list, COLLATERAL_AGE for older dates under the same number. */
int rd_collateral_follows(const rd_collateral_set *current, const rd_collateral_set *candidate,
                          rd_err *err) RD_NODISCARD;

/* {"class","evaluation_number","issued","expires","vceks","scopes":[{"tee","fmspc","product","vlek","class","root",
 * "reason","detail","evaluation_number","platform_crl_number","processor_crl_number","root_crl_number","issued",
 * "expires"}…]} */
json_t *rd_collateral_facts_to_json(const rd_collateral_facts *facts);

#endif
