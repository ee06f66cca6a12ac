/* judge: raw evidence from anywhere, with whatever collateral and event logs lie beside it, judged in one call.
 * Used by `redoubt evidence` and POST /v1/evidence/verify: evidence without a statement of ours. Bundles of instances
 * go through rd_attest_check_evidence, which asks more.
 *
 *     rd_judge_input input = { .evidence = quote, .collateral = &collateral, .anchors = &anchors, .time_us = now };
 *     rd_judgement judgement;
 *     if (rd_judge(&input, &judgement, &err) < 0)
 *         refuse(judgement.error_class, err.text);
 *
 * Pure, as all of attest. */
#ifndef RD_ATTEST_JUDGE_H
#define RD_ATTEST_JUDGE_H

#include "attest/attest.h"
#include "attest/eventlog.h"

typedef struct rd_judge_input {
    /* A piece without data is not there; one that is empty was given, and is refused as such. */
    rd_bytes evidence; /* quote; report, with the host's certificate table behind it or not; a TEE's certificate in PEM
                          or DER (RA-TLS); may be absent beside a log */
    rd_bytes cert_table; /* SEV-SNP: the host's (auxblob of configfs-tsm) */
    rd_bytes ccel;       /* firmware log of a TD */
    rd_bytes ccel_table; /* its ACPI table */
    rd_bytes event_log;  /* dstack's JSON */
    const rd_collateral *collateral;
    const rd_collateral_set *set; /* gives the pieces that collateral lacks; may be NULL */
    const rd_anchors *anchors;
    rd_attest_cache *cache;  /* may be NULL */
    const rd_policy *policy; /* NULL: rd_judge_default_policy */
    bool accepts_simulated;  /* the default policy takes evidence under a root that is no vendor's */
    bool allows_debug;       /* whatever the policy says */
    bool demands_vcek;
    const char *product; /* SEV-SNP: "Milan", "Genoa" or "Turin" must be what it ran on; NULL: any */
    bool is_reading;     /* evidence without any collateral is no error, but ParseOnly; never accepted */
    int64_t time_us;
} rd_judge_input;

typedef struct rd_judgement {
    rd_verdict verdict;      /* with the steps of everything */
    const char *word;        /* the TCB status, Verified (SEV-SNP), ParseOnly, Match, ReplayOnly, or Error */
    const char *error_class; /* of what is not genuine or was refused; NULL when only the default policy refuses */
    bool is_accepted;
    rd_code reason; /* RD_OK when accepted */
    rd_err refusal;
    const char *rule;       /* the step that refused */
    const char *convention; /* of the certificate that the evidence came in; NULL when it came as it is */
    bool has_log, log_matches;
    rd_register_log log;
} rd_judgement;

/* Any TEE; UpToDate and SWHardeningNeeded; no debug; the TD attributes of attestation.md 1.3. It names no measurement:
 * it says that a platform is sound, not that the code on it is yours. */
void rd_judge_default_policy(rd_policy *ret);

/* 0: accepted, which only genuine evidence is. -1 otherwise; *ret is written in any case. */
int rd_judge(const rd_judge_input *input, rd_judgement *ret, rd_err *err) RD_NODISCARD;

/* {"genuine","error_class","tee","class","verdict","advisory_ids","debug","fields","accepted",
 * "reason":null|{"code","rule","detail","hint"},"tcb","collateral","trailing_bytes","convention","event_log","replayed","steps"}.
 * A new reference. */
json_t *rd_judgement_to_json(const rd_judgement *judgement);

#endif
