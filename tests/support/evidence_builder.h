/* evidence_builder: evidence and collateral of any state under a private simulation root, one thing spoiled at a time.
 * Used by tests of the verifier and by fuzz targets. Never linked into a program.
 *
 * ev_build runs the stages in order and calls the spoiler at one of them; what comes after is made from what it left.
 */
#ifndef TESTS_SUPPORT_EVIDENCE_BUILDER_H
#define TESTS_SUPPORT_EVIDENCE_BUILDER_H

#include "agent/sim_issue.h"
#include "agent/sim_quote.h"
#include "attest/attest.h"

/* 2026-11-23T12:00:00Z */
#define EV_NOW_US (INT64_C(1795435200) * 1000000)

typedef enum ev_stage {
    EV_NONE,
    EV_PLATFORM,   /* platform, td, statement: before anything is issued */
    EV_EXTENSION,  /* extension: the PCK extension, DER */
    EV_CHAIN,      /* qe.pck_chain: PEM as it goes into the quote */
    EV_QE,         /* qe.report, before it is signed */
    EV_TD,         /* td_report, before it is signed */
    EV_QUOTE,      /* quote: final bytes */
    EV_BODIES,     /* tcb_info_body, qe_identity_body, before they are signed */
    EV_COLLATERAL, /* collateral: final pieces */
    EV_BUNDLE,     /* evidence and collateral_json: final bytes */
    EV_CHECK       /* check, policy, anchors */
} ev_stage;

typedef struct ev_builder {
    int64_t issued_us;
    agent_sim_ca ca;
    agent_sim_platform platform;
    rd_p256_key *pck_key;
    rd_cert *pck;
    rd_buf extension;
    agent_sim_qe qe;
    agent_sim_td td;
    uint8_t td_report[AGENT_SIM_TD_REPORT_SIZE];
    rd_buf quote;
    rd_buf tcb_info_body, qe_identity_body;
    agent_sim_collateral collateral;
    rd_statement statement;   /* its nonce is the asker's until it is bound */
    rd_nonce_path nonce_path; /* where quotes are shared */
    bool keeps_nonce;         /* the asker's stands in the statement, whatever the purpose */
    rd_buf statement_bytes;
    uint8_t header[RD_LAUNCH_HEADER_SIZE];
    bool has_log;
    rd_buf evidence, collateral_json;
    rd_anchors anchors;
    rd_policy policy;
    rd_attest_floor floor;
    rd_evidence_check check;
} ev_builder;

typedef void (*ev_spoiler)(ev_builder *b);

/* Everything good, but for what the spoiler does at its stage. Fails the test when something cannot be made. */
void ev_build(ev_builder *b, ev_stage stage, ev_spoiler spoil);
void ev_done(ev_builder *b);
/* rd_attest_check_evidence over what was built; the code, RD_OK when accepted. */
rd_code ev_check(const ev_builder *b, rd_attest_report *ret);
/* rd_attest_verify over the raw quote; as above. */
rd_code ev_verify(const ev_builder *b, rd_bytes quote, rd_verdict *ret);

/* --- for spoilers --- */
/* Replaces the first occurrence of find, which must be there. */
void ev_replace(rd_buf *buf, const char *find, const char *replace);
void ev_flip(rd_buf *buf, size_t offset);
/* Issues the PCK certificate again by this spec (kind SIGNER with the extension) and puts the chain into the quote. */
void ev_reissue(ev_builder *b, const rd_cert_spec *spec);
/* A spec with the names and dates of a good PCK leaf, without extension. */
rd_cert_spec ev_leaf_spec(const ev_builder *b);
/* The chain of these certificates as the quote's. */
void ev_set_chain(ev_builder *b, const rd_cert *const *certs, size_t count);
/* CRLs again: dates and revoked certificates (NULL: none). */
void ev_set_crl(ev_builder *b, rd_buf *out, const rd_cert *issuer, const rd_p256_key *key, int64_t from_us,
                int64_t to_us, const rd_cert *revoked);
rd_cert *ev_issue(const rd_cert_spec *spec, const rd_p256_key *key, const rd_cert *issuer,
                  const rd_p256_key *issuer_key);

#endif
