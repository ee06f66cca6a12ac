/* attest: is this evidence genuine, what is its TCB status, and does a policy accept it.
 * Used by the CLI, the API and the KMS; the whole public interface of the verifier, with claims.h for the claims.
 * Reads no clock, file, network or environment: bytes, trust anchors, policy and time come in as arguments.
 *
 * The common job, one call: judge an evidence bundle (docs/protocol/formats.md) against a policy.
 *
 *     rd_anchors anchors;
 *     rd_anchors_init(&anchors);                              // the vendors' roots, class hardware
 *     rd_anchors_add_simulated(&anchors, fingerprint);        // only for a root that your own profile lists
 *     rd_evidence_check check = { .evidence = bundle, .collateral = collateral, .anchors = &anchors,
 *                                 .policy = &policy, .time_us = now,
 *                                 .expect = { .purpose = RD_PURPOSE_CLIENT, .nonce = nonce, .app = &app } };
 *     rd_attest_report report;
 *     if (rd_attest_check_evidence(&check, &report, &err) < 0)
 *         refuse(err.code, err.text);                         // report.steps says how far it came
 *
 * The three parts of the answer are kept apart: report.verdict.is_genuine (vendor's signatures, collateral, dates),
 * report.verdict.tcb (how well patched the platform is), report.is_accepted (what the policy says of both). A platform
 * that is OutOfDate gives genuine evidence. All three functions are pure and may run on any thread. */
#ifndef RD_ATTEST_ATTEST_H
#define RD_ATTEST_ATTEST_H

#include "attest/claims.h"
#include "common/model/evidence.h"
#include "common/model/policy.h"

/* --- trust anchors --- */

#define RD_ANCHORS_MAX 16

typedef struct rd_anchor {
    uint8_t fingerprint[32]; /* SHA-256 of the root certificate's DER */
    rd_class class;
    rd_tee tee; /* RD_TEE_TDX also stands for SGX: one Intel root */
} rd_anchor;

/* By value; zero-initialised it trusts nothing. */
typedef struct rd_anchors {
    rd_anchor items[RD_ANCHORS_MAX];
    size_t count;
} rd_anchors;

/* The vendors' production roots, compiled in, class hardware (attestation.md 3.1 and 5.4). */
void rd_anchors_init(rd_anchors *ret);
/* A simulation root by fingerprint, from the verifier's own profile and never from evidence, plane or app.
 * A vendor's fingerprint is refused (POLICY_UNSAFE), a seventeenth anchor too (TOO_LARGE). */
int rd_anchors_add_simulated(rd_anchors *anchors, const uint8_t fingerprint[32], rd_err *err) RD_NODISCARD;

/* --- collateral --- */

/* Borrowed pieces of an Intel collateral set; an empty piece is missing and refused as such. */
typedef struct rd_collateral {
    rd_bytes root_pem;       /* optional: the root, where the chains below leave it out */
    rd_bytes pck_crl;        /* DER, PEM or hex */
    rd_bytes pck_crl_chain;  /* PEM */
    rd_bytes root_ca_crl;    /* DER, PEM or hex */
    rd_bytes tcb_info;       /* exact text of the PCS answer */
    rd_bytes tcb_info_chain; /* PEM */
    rd_bytes qe_identity;
    rd_bytes qe_identity_chain;
    rd_bytes pck_chain; /* for quotes that hold no certificate (certification data types 1 to 4): PEM, in any order */
    rd_bytes snp_chain; /* AMD: VCEK or VLEK, ASK, ARK, PEM or DER one after another */
    rd_bytes snp_crl;   /* AMD: of the ARK; may be missing */
} rd_collateral;

#define RD_COLLATERAL_SIZE_MAX ((size_t)1 << 20)

/* The JSON set of docs/protocol/formats.md, taken apart: collateral for many platforms (collateral_set.h). Owns its
 * pieces; read-only, so that any thread may use it. */
typedef struct rd_collateral_set rd_collateral_set;
int rd_collateral_set_parse(rd_bytes json, rd_collateral_set **ret, rd_err *err) RD_NODISCARD;
rd_collateral_set *rd_collateral_set_free(rd_collateral_set *set);
void rd_collateral_set_free_p(rd_collateral_set **set);

/* --- part one and two: genuine, and which TCB status --- */

/* Remembers chains, lists and collateral that were verified, by their very bytes and for as long as they are valid: the
 * verdicts are the same, a second quote of the same platform costs two signatures. Bounded; any thread. */
typedef struct rd_attest_cache rd_attest_cache;
/* size_max: bytes that may be kept, 0: 8 MiB. Never NULL. */
rd_attest_cache *rd_attest_cache_new(size_t size_max);
rd_attest_cache *rd_attest_cache_free(rd_attest_cache *cache);
void rd_attest_cache_free_p(rd_attest_cache **cache);

typedef struct rd_attest_input {
    rd_bytes quote; /* as the hardware gave it; zero bytes behind its end are allowed, others refused */
    const rd_collateral *collateral;
    const rd_anchors *anchors;
    rd_attest_cache *cache; /* may be NULL */
    int64_t time_us;        /* the one instant for every date */
} rd_attest_input;

/* One thing that was looked at, in order, for people: CLI, API. */
typedef struct rd_attest_step {
    const char *name; /* stable: "format", "pck_chain", … ; docs/verifier.md lists them */
    bool is_ok;
    char detail[160];
} rd_attest_step;
#define RD_ATTEST_STEPS_MAX 32

#define RD_ADVISORIES_MAX     64
#define RD_ADVISORY_TEXT_SIZE 32

/* Who can mend a component: from the TCB info's own words for it, else by its place. */
typedef enum rd_tcb_kind {
    RD_TCB_KIND_FIRMWARE, /* the TCB info does not say what it is */
    RD_TCB_KIND_BIOS,
    RD_TCB_KIND_MICROCODE_EARLY, /* loaded by the BIOS */
    RD_TCB_KIND_MICROCODE_LATE,  /* loaded by the operating system or hypervisor */
    RD_TCB_KIND_SINIT,
    RD_TCB_KIND_SEAM_LOADER,
    RD_TCB_KIND_TDX_MODULE,
    RD_TCB_KIND_PCE,
    RD_TCB_KIND_QE,
    RD_TCB_KIND_COUNT
} rd_tcb_kind;
/* "firmware", "bios", "microcode_early", …: stable names. */
extern const char *const rd_tcb_kind_names[RD_TCB_KIND_COUNT];

/* One component that keeps a platform from the nearest level of a better status. */
typedef struct rd_tcb_shortfall {
    char component[40]; /* "sgxtcbcomponents[4]", "pcesvn", "tdxtcbcomponents[2]", "tdx_module isvsvn", "qe isvsvn" */
    rd_tcb_kind kind;
    uint32_t has;
    uint32_t needs;
} rd_tcb_shortfall;
#define RD_SHORTFALLS_MAX 35 /* every component there is */

typedef struct rd_tcb_verdict {
    rd_tcb_status status; /* of all together; RD_TCB_UNKNOWN for AMD, which has levels and no words */
    rd_tcb_status platform, qe, module;
    int64_t date_us; /* the earliest of the levels used */
    char advisories[RD_ADVISORIES_MAX][RD_ADVISORY_TEXT_SIZE];
    size_t advisory_count;
    uint32_t evaluation_number; /* of the TCB info: status means nothing without it */
    uint32_t qe_evaluation_number;
    rd_tcb_shortfall shortfalls[RD_SHORTFALLS_MAX]; /* of platform, then quoting enclave, then module */
    size_t shortfall_count;
} rd_tcb_verdict;
/* "microcode_late: sgxtcbcomponents[1] is 2, needs 3". */
void rd_tcb_shortfall_format(const rd_tcb_shortfall *shortfall, char *out, size_t size);

typedef struct rd_verdict {
    bool is_genuine;
    rd_code reason;   /* RD_OK, or why not genuine */
    bool holds_alone; /* no collateral was given at all, and what can be checked without any holds: never genuine */
    bool is_early;    /* reason is one of time: the instant lies before what is asked, not behind it */
    bool is_short;    /* reason is of a chain: a certificate that the caller should have given is missing */
    rd_tcb_verdict tcb;
    int64_t collateral_issued_us; /* the earliest issue date of what was used (TCB info, identity, CRL of the PCK CA) */
    int64_t collateral_expires_us; /* the earliest end: from then on this verdict is void */
    int64_t pck_crl_number, root_crl_number;
    uint8_t root[32]; /* SHA-256 of the root certificate that the chain ended in, one of the anchors; zeros: in none */
    size_t padding;   /* zero bytes behind the quote */
    rd_claims claims;
    rd_attest_step steps[RD_ATTEST_STEPS_MAX];
    size_t step_count;
} rd_verdict;

/* Verifies evidence of any supported format: TDX quotes version 4 and 5, SGX quotes 3 to 5, SEV-SNP reports 2 to 5.
 * *ret is written in any case; without is_genuine its claims are what the evidence says of itself, believed by nobody.
 * 0: genuine. -1: not, with the code of the first check that failed (attestation.md section 2). */
int rd_attest_verify(const rd_attest_input *input, rd_verdict *ret, rd_err *err) RD_NODISCARD;

/* --- part three: does the policy accept --- */

/* The verifier's own rules beside the policy, which an app's policy cannot loosen. Zero: none. */
typedef struct rd_attest_floor {
    uint32_t evaluation_number;              /* the highest seen: less is refused (COLLATERAL_EVALNUM) */
    bool demands_one_evaluation;             /* TCB info and QE identity must be of one number (COLLATERAL_EVALNUM) */
    int64_t pck_crl_number, root_crl_number; /* the highest seen: less is refused (CRL_ROLLBACK) */
    uint32_t max_collateral_age_s;           /* tightens the policy's */
    bool demands_vcek;                       /* SEV-SNP: a VLEK, which names no chip, is refused (KEY_KIND) */
    const char *const *denied_advisories;    /* ids, NULL-terminated */
} rd_attest_floor;

/* What the caller knows the statement must say. NULL members are not compared. */
typedef struct rd_expect {
    rd_purpose purpose;   /* required: what was asked for */
    const uint8_t *nonce; /* 32 bytes; NULL proves no freshness */
    const rd_app_id *app;
    const rd_digest *release;
    const rd_digest *head;
    const rd_id *instance;
    const uint64_t *epoch;
    const uint8_t *tls; /* 32 bytes: SHA-256 of the SubjectPublicKeyInfo */
    const rd_public_key *receipt_key;
    const rd_kms_id *kms; /* exactly these, in this order */
    size_t kms_count;
    const uint8_t *user; /* 32 bytes: of a key service the digest of its genesis */
    /* 32 bytes: the tls-exporter (RFC 9266) of the verifier's own connection. Purpose channel is refused without it. */
    const uint8_t *channel;
} rd_expect;

/* Appraises a genuine verdict: the policy's own safety, class (from the anchors) against the policy's, TEE, debug, TD
 * attributes, TCB status, advisories, age and floor of the collateral, measurement. Steps are appended to the
 * verdict's. 0: accepted. -1: refused by the first rule that did, err.code says which. floor may be NULL. */
int rd_appraise(rd_verdict *verdict, const rd_policy *policy, const rd_attest_floor *floor, int64_t time_us,
                rd_err *err) RD_NODISCARD;

/* --- all of it --- */

typedef struct rd_evidence_check {
    rd_bytes evidence;            /* canonical bundle */
    rd_bytes collateral;          /* JSON set */
    const rd_collateral_set *set; /* in the place of collateral: one that was read before */
    const rd_anchors *anchors;
    const rd_policy *policy;
    const rd_attest_floor *floor; /* may be NULL */
    rd_attest_cache *cache;       /* may be NULL */
    rd_expect expect;
    int64_t time_us;
} rd_evidence_check;

typedef struct rd_attest_report {
    bool is_accepted;
    rd_code reason;     /* RD_OK, or the first refusal */
    bool is_appraisal;  /* genuine evidence that the policy refused, whatever the reason's code */
    rd_err refusal;     /* the sentence; rd_code_describe(reason)->hint says what would mend it */
    rd_verdict verdict; /* with the steps of everything */
    rd_statement statement;
    rd_digest statement_digest; /* H("statement-v1", S): what receipts name */
    rd_digest evidence_digest;  /* plain SHA-256 of the bundle */
} rd_attest_report;

/* Verify, appraise, and then the binding: report data = hash of the statement, statement as expected, RTMR3 = replay of
 * exactly redoubt.app and redoubt.closed. *ret is written in any case. 0: accepted. */
int rd_attest_check_evidence(const rd_evidence_check *check, rd_attest_report *ret, rd_err *err) RD_NODISCARD;

/* [{"component","kind","has","needs"}…]: a new reference. */
json_t *rd_tcb_shortfalls_json(const rd_tcb_verdict *tcb);
/* Members for API and CLI:
 * {"accepted","reason","detail","hint","genuine","class","tee","tcb":{…},"claims":{…},"collateral":{…},
 * "steps":[{"name","ok","detail"}…]}. A new reference. */
json_t *rd_attest_report_to_json(const rd_attest_report *report);

#endif
