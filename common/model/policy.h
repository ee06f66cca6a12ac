/* policy: what an owner, or a caller, accepts as proof: TEEs, TCB states, measurements, platforms, debug, age of
 * collateral. Used inside heads, in the CLI's profile and as a file; attest appraises evidence against it.
 * docs/policy.md has every member. What is absent has its safe value; a policy has one canonical form, which never
 * spells a default out. Refuses policies that accept revoked platforms, or debug on hardware. */
#ifndef RD_MODEL_POLICY_H
#define RD_MODEL_POLICY_H

#include "common/model/class.h"
#include "common/model/json.h"
#include "common/model/webhook.h"

#define RD_MEASUREMENTS_MAX      64
#define RD_MRTD_SIZE             48
#define RD_POLICY_VALUE_SIZE     64  /* the longest measure */
#define RD_POLICY_VALUES_MAX     160 /* values of all measurements together */
#define RD_POLICY_PLATFORMS_MAX  32
#define RD_POLICY_ADVISORIES_MAX 64
#define RD_POLICY_SERVICE_TDS    8
#define RD_POLICY_SEAMS_MAX      8
#define RD_ADVISORY_SIZE         32 /* with its NUL */

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

/* --- measurements --- */

/* What evidence measures, by name; which TEE has which, and how long it is, says rd_measure_row. */
typedef enum rd_measure {
    RD_MEASURE_MRTD, /* TDX */
    RD_MEASURE_RTMR0,
    RD_MEASURE_RTMR1,
    RD_MEASURE_RTMR2,
    RD_MEASURE_MRCONFIGID,
    RD_MEASURE_MROWNER,
    RD_MEASURE_MROWNERCONFIG,
    RD_MEASURE_MRENCLAVE, /* SGX */
    RD_MEASURE_MRSIGNER,
    RD_MEASURE_CONFIGID,
    RD_MEASURE_ISVFAMILYID,
    RD_MEASURE_ISVEXTPRODID,
    RD_MEASURE_LAUNCH, /* SEV-SNP: "measurement" */
    RD_MEASURE_HOST_DATA,
    RD_MEASURE_ID_KEY_DIGEST,
    RD_MEASURE_AUTHOR_KEY_DIGEST,
    RD_MEASURE_FAMILY_ID,
    RD_MEASURE_IMAGE_ID,
    RD_MEASURE_COUNT
} rd_measure;

typedef struct rd_measure_row {
    const char *name;
    rd_tee tee;
    uint8_t size;     /* bytes: 16, 32, 48 or 64 */
    bool is_identity; /* names the code that was launched: each item has one that is not "*" */
} rd_measure_row;
extern const rd_measure_row rd_measure_rows[RD_MEASURE_COUNT];

#define RD_PARTS_MAX 7

/* One enclave or guest that is accepted: all parts must fit. */
typedef struct rd_measurement {
    rd_tee tee;
    struct {
        uint8_t measure;      /* rd_measure */
        uint8_t first, count; /* in the policy's values: any of them fits; count 0: "*", anything fits */
    } parts[RD_PARTS_MAX];    /* ascending by measure */
    uint8_t parts_count;
    bool has_isv; /* SGX with mrsigner: the product, and its lowest security version */
    uint16_t isv_prod_id, isv_svn_min;
    uint16_t config_svn_min; /* SGX; 0: any */
    uint32_t guest_svn_min;  /* SEV-SNP; 0: any */
} rd_measurement;

/* --- AMD --- */

/* The parts of a TCB_VERSION (AMD 56860), whose layout is the product's. */
typedef struct rd_snp_tcb {
    uint8_t boot_loader, tee, snp, microcode, fmc; /* fmc: Turin, else 0 */
} rd_snp_tcb;

typedef enum rd_snp_product { RD_SNP_MILAN = 1, RD_SNP_GENOA, RD_SNP_TURIN, RD_SNP_PRODUCT_COUNT } rd_snp_product;
extern const char *const rd_snp_product_names[]; /* "Milan", …; slot 0 is "" */

/* A register with bits that have names, and which of them a policy asks for. */
typedef struct rd_bit_name {
    unsigned bit;
    const char *name;
} rd_bit_name;
extern const rd_bit_name rd_snp_guest_policy_bits[];  /* POLICY, ascending, ends with a NULL name */
extern const rd_bit_name rd_snp_platform_info_bits[]; /* PLATFORM_INFO */

typedef struct rd_policy_flags {
    uint64_t require, refuse; /* bits that must be one, bits that must be zero */
} rd_policy_flags;

/* Bits of a register whose bits are its vendor's: those under the mask have exactly this value. Bytes in the order of
 * the evidence; a mask of zeros compares nothing. */
typedef struct rd_policy_bits {
    uint8_t mask[8], value[8];
} rd_policy_bits;

/* --- the policy --- */

typedef struct rd_policy {
    bool is_simulated; /* agrees with the head's class */
    bool allows_debug;
    rd_tee tees[RD_TEE_COUNT]; /* in the order given, none twice */
    size_t tees_count;
    rd_tcb_status tcb[RD_TCB_STATUS_COUNT]; /* accepted states, none twice */
    size_t tcb_count;
    rd_measurement measurements[RD_MEASUREMENTS_MAX]; /* none: everything is refused */
    size_t measurements_count;
    uint8_t values[RD_POLICY_VALUES_MAX][RD_POLICY_VALUE_SIZE]; /* zero behind the measure's size */
    size_t values_count;
    uint32_t max_collateral_age_s; /* 1 hour .. 1 year */

    /* What may be absent. */
    bool has_advisories; /* only these advisories may apply to a platform; without it the TCB status alone decides */
    char advisories[RD_POLICY_ADVISORIES_MAX][RD_ADVISORY_SIZE];
    size_t advisories_count;
    bool has_grace; /* further states, until a date */
    struct {
        rd_tcb_status tcb[RD_TCB_STATUS_COUNT];
        size_t tcb_count;
        int64_t until_us;
        int64_t since_us; /* the platform's TCB date is not before it; 0: any */
    } grace;
    uint32_t min_evaluation;                        /* tcbEvaluationDataNumber of TCB info and QE identity; 0: any */
    uint8_t platforms[RD_POLICY_PLATFORMS_MAX][32]; /* rd_claims.platform_id; none: any genuine platform */
    size_t platforms_count;
    bool has_report_data; /* the 64 bytes, for evidence without a statement of ours */
    uint8_t report_data[64];
    struct {
        bool allows_migration_agent; /* guest policy bit 18 */
        bool demands_vcek;           /* a VLEK names no chip */
        bool allows_masked_chip;     /* the report hides its chip, which the VCEK names all the same */
        bool demands_id_block;       /* launched with a signed ID block: ID_KEY_DIGEST is not zero */
        rd_policy_flags guest_policy, platform_info;
        uint32_t max_vmpl; /* 0..3 */
        struct {
            bool is_set;
            rd_snp_tcb tcb;
        } min_tcb[RD_SNP_PRODUCT_COUNT]; /* reported and committed TCB, each part */
    } snp;
    struct {
        bool allows_migratable; /* TDATTRIBUTES bit 29 */
        bool allows_sept_ve;    /* bit 28 clear */
        uint8_t service_tds[RD_POLICY_SERVICE_TDS][48];
        size_t service_tds_count;
        rd_policy_bits attributes, xfam;
        uint8_t mr_seams[RD_POLICY_SEAMS_MAX][48]; /* none: any module that the vendor's collateral knows */
        size_t mr_seams_count;
        struct {
            uint8_t version, svn_min; /* TEE_TCB_SVN[1] and [0] at launch */
        } modules[RD_POLICY_SEAMS_MAX];
        size_t modules_count;     /* none: any; else the version must be listed */
        uint32_t seam_loader_min; /* TEE_TCB_SVN[2]; 0: any */
    } td;
    struct {
        bool allows_provision_key;       /* ATTRIBUTES bits 4 and 5 */
        rd_policy_bits attributes, xfrm; /* the two halves of ATTRIBUTES */
        rd_policy_bits misc_select;      /* its first four bytes */
    } sgx;
    rd_webhook webhook; /* of an owner's policy: asked before each grant; says nothing of evidence */
} rd_policy;

/* Codes as rd_json_read; POLICY_UNSAFE for revoked, or debug without simulated; NOT_CANONICAL for a default that is
 * spelt out. */
int rd_policy_read(const json_t *value, const char *pointer, rd_policy *ret, rd_err *err) RD_NODISCARD;
json_t *rd_policy_to_json(const rd_policy *policy);
/* Canonical document alone, as in a profile. */
int rd_policy_parse(rd_bytes canonical, rd_policy *ret, rd_err *err) RD_NODISCARD;
/* As people write it: any spacing and order of members. */
int rd_policy_load(rd_bytes text, rd_policy *ret, rd_err *err) RD_NODISCARD;
int rd_policy_encode(const rd_policy *policy, rd_buf *out, rd_err *err) RD_NODISCARD;
/* H("policy-v1", canonical form). */
int rd_policy_digest(const rd_policy *policy, rd_digest *ret, rd_err *err) RD_NODISCARD;

/* Adds an item that names a TD by its MRTD alone. -1 when the policy is full. */
int rd_policy_add_mrtd(rd_policy *policy, const uint8_t mrtd[RD_MRTD_SIZE]) RD_NODISCARD;
/* Whether bytes (as long as the measure) are one of the part's values; in constant time. */
bool rd_policy_part_accepts(const rd_policy *policy, const rd_measurement *item, size_t part, const uint8_t *bytes);

bool rd_policy_accepts_tcb(const rd_policy *policy, rd_tcb_status status);
/* Whether the period of grace covers it at this time. */
bool rd_policy_grace_covers(const rd_policy *policy, rd_tcb_status status, int64_t tcb_date_us, int64_t time_us);
bool rd_policy_accepts_tee(const rd_policy *policy, rd_tee tee);
/* Zero (none is bound) is always accepted. */
bool rd_policy_accepts_service_td(const rd_policy *policy, const uint8_t mr_service_td[48]);
bool rd_policy_accepts_advisory(const rd_policy *policy, const char *id);
/* Whether the bits under the mask have the value; found has size bytes. */
bool rd_policy_bits_fit(const rd_policy_bits *bits, const uint8_t *found, size_t size);
/* The name of the first bit that is not as the policy asks, or NULL; *ret_is_missing: it should be one. */
const char *rd_policy_flags_misfit(const rd_policy_flags *flags, const rd_bit_name *names, uint64_t found,
                                   bool *ret_is_missing);
/* An empty list accepts any. */
bool rd_policy_accepts_platform(const rd_policy *policy, const uint8_t platform_id[32]);

#endif
