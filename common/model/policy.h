/* policy: what an owner, or a caller, accepts as proof: TEEs, TCB states, measurements, debug, age of collateral.
 * Used inside heads and in the CLI's profile; attest appraises evidence against it.
 * Refuses policies that accept revoked platforms, or debug on hardware. */
#ifndef RD_MODEL_POLICY_H
#define RD_MODEL_POLICY_H

#include "common/model/class.h"
#include "common/model/json.h"

#define RD_MEASUREMENTS_MAX 64
#define RD_MRTD_SIZE        48

typedef enum rd_tee { RD_TEE_TDX = 1, RD_TEE_SGX, RD_TEE_SNP, RD_TEE_COUNT } rd_tee;

extern const char *const rd_tee_names[]; /* "tdx", "sgx", "snp", by value, NULL-terminated; slot 0 is "" */

/* Intel's TCB states (PCS API v4, tcbStatus). */
typedef enum rd_tcb_status {
    RD_TCB_UNKNOWN = 0,
    RD_TCB_UP_TO_DATE,
    RD_TCB_SW_HARDENING_NEEDED,
    RD_TCB_CONFIGURATION_NEEDED,
    RD_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
    RD_TCB_OUT_OF_DATE,
    RD_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
    RD_TCB_REVOKED,
    RD_TCB_TD_RELAUNCH_ADVISED,                      /* a verifier's finding, never in vendor collateral */
    RD_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED, /* likewise */
    RD_TCB_STATUS_COUNT
} rd_tcb_status;

extern const char *const rd_tcb_status_names[]; /* by value, NULL-terminated; slot 0 is "" */
/* RD_TCB_UNKNOWN for any other text. */
rd_tcb_status rd_tcb_status_parse(const char *text);

typedef struct rd_policy {
    bool is_simulated; /* agrees with the head's class */
    bool allows_debug;
    rd_tee tees[RD_TEE_COUNT]; /* in the order given, none twice */
    size_t tees_count;
    rd_tcb_status tcb[RD_TCB_STATUS_COUNT]; /* accepted states, none twice */
    size_t tcb_count;
    uint8_t measurements[RD_MEASUREMENTS_MAX][RD_MRTD_SIZE]; /* MRTD; none: everything is refused */
    size_t measurements_count;
    uint32_t max_collateral_age_s; /* 1 hour .. 1 year */
} rd_policy;

/* Codes as rd_json_read; POLICY_UNSAFE for revoked, or debug without simulated. */
int rd_policy_read(const json_t *value, const char *pointer, rd_policy *ret, rd_err *err) RD_NODISCARD;
json_t *rd_policy_to_json(const rd_policy *policy);
/* Canonical document alone, as in a profile. */
int rd_policy_parse(rd_bytes canonical, rd_policy *ret, rd_err *err) RD_NODISCARD;
int rd_policy_encode(const rd_policy *policy, rd_buf *out, rd_err *err) RD_NODISCARD;
/* H("policy-v1", canonical form). */
int rd_policy_digest(const rd_policy *policy, rd_digest *ret, rd_err *err) RD_NODISCARD;

bool rd_policy_accepts_mrtd(const rd_policy *policy, const uint8_t mrtd[RD_MRTD_SIZE]);
bool rd_policy_accepts_tcb(const rd_policy *policy, rd_tcb_status status);
bool rd_policy_accepts_tee(const rd_policy *policy, rd_tee tee);

#endif
