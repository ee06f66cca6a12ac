/* evidence_corpus: cases of the generated corpus (tests/corpus), ready for rd_judge.
 * Used by test_corpus, test_every_byte and the fuzz target of the whole verifier. The folder is REDOUBT_CORPUS, else
 * the one that the build writes. */
#ifndef TESTS_SUPPORT_EVIDENCE_CORPUS_H
#define TESTS_SUPPORT_EVIDENCE_CORPUS_H

#include "attest/judge.h"

/* What a case may hold; each is a file of its own name. */
typedef enum corpus_piece {
    CORPUS_EVIDENCE, /* quote.bin, report.bin, certificate.pem, outblob or td_report.bin */
    CORPUS_AUXBLOB,
    CORPUS_CCEL,
    CORPUS_CCEL_TABLE,
    CORPUS_EVENT_LOG,
    CORPUS_PCK_CHAIN,
    CORPUS_PCK_CRL,
    CORPUS_PCK_CRL_CHAIN,
    CORPUS_ROOT_CA_CRL,
    CORPUS_TCB_INFO,
    CORPUS_TCB_INFO_CHAIN,
    CORPUS_QE_IDENTITY,
    CORPUS_QE_IDENTITY_CHAIN,
    CORPUS_SNP_CHAIN,
    CORPUS_SNP_CRL,
    CORPUS_PIECES
} corpus_piece;

typedef struct corpus_case {
    rd_buf pieces[CORPUS_PIECES];
    bool has[CORPUS_PIECES];
    rd_anchors anchors;
    rd_collateral collateral;
    int64_t time_us;
    json_t *expect;    /* expect.json */
    rd_policy *policy; /* policy.json; NULL: the default */
} corpus_case;

/* The folder; NULL when there is none. */
const char *corpus_root(void);
/* Names of all cases. A new reference; NULL when there is no folder. */
json_t *corpus_index(void);
/* Aborts when the case cannot be read: nothing after it would mean anything. */
void corpus_load(const char *name, corpus_case *ret);
void corpus_done(corpus_case *c);
/* What rd_judge takes, borrowed from the case. Call again after a piece was changed. */
rd_judge_input corpus_input(corpus_case *c);

#endif
