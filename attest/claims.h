/* claims: what genuine evidence says: registers, attributes, platform.
 * Used by whoever holds a verdict. Bytes stand in the order of the vendor's structure.
 * Says nothing about whether anybody should accept it: that is appraisal. */
#ifndef RD_ATTEST_CLAIMS_H
#define RD_ATTEST_CLAIMS_H

#include "common/model/policy.h"

/* What the 885-byte body of quotes appends to TD report 1.5 (body type 4). */
typedef struct rd_tdx_ex_claims {
    uint8_t vm_id;
    uint8_t td_id[32];
    uint8_t dev_info[48];
    uint8_t init_service_td[48]; /* hash of the service TD at the first launch */
    uint8_t init_service_td_attributes[8];
    uint8_t init_cpu_svn[16]; /* platform of the first launch */
    uint8_t init_tee_tcb_svn[16];
    uint8_t init_fmspc[12];
    uint8_t service_td[48]; /* the one that is bound now */
    uint8_t service_td_attributes[8];
} rd_tdx_ex_claims;

/* TDX Module ABI, TDREPORT / TD report 1.0 and 1.5. */
typedef struct rd_tdx_claims {
    uint8_t tee_tcb_svn[16];
    uint8_t mr_seam[48];
    uint8_t mr_signer_seam[48];
    uint8_t seam_attributes[8];
    uint8_t td_attributes[8];
    uint8_t xfam[8];
    uint8_t mr_td[48];
    uint8_t mr_config_id[48];
    uint8_t mr_owner[48];
    uint8_t mr_owner_config[48];
    uint8_t rtmr[4][48];
    bool has_15;               /* the two that follow exist: TD report 1.5 */
    uint8_t tee_tcb_svn_2[16]; /* the module that runs now */
    uint8_t mr_service_td[48];
    bool has_ex;
    rd_tdx_ex_claims ex;
} rd_tdx_claims;

/* Intel SDM 3D, REPORT: what identifies an enclave. Also read from the quoting enclave's own report. */
typedef struct rd_sgx_claims {
    uint8_t cpu_svn[16];
    uint8_t misc_select[4];
    uint8_t attributes[16];
    uint8_t mr_enclave[32];
    uint8_t mr_signer[32];
    uint8_t config_id[64];
    uint16_t isv_prod_id;
    uint16_t isv_svn;
    uint16_t config_svn;
    uint8_t isv_family_id[16];
    uint8_t isv_ext_prod_id[16];
} rd_sgx_claims;

/* AMD 56860, ATTESTATION_REPORT. */
typedef struct rd_snp_claims {
    uint32_t version;
    uint32_t guest_svn;
    uint64_t policy;
    uint64_t platform_info;
    rd_snp_product product; /* of the certificate, agreed with the report; says how to read a TCB */
    uint32_t vmpl;
    bool is_vlek;
    bool is_chip_masked; /* chip_id is hidden; platform_id is then of the chip that the VCEK names */
    uint8_t current_tcb[8], reported_tcb[8], committed_tcb[8], launch_tcb[8];
    uint8_t measurement[48];
    uint8_t host_data[32];
    uint8_t id_key_digest[48], author_key_digest[48];
    uint8_t family_id[16], image_id[16];
    uint8_t report_id[32], report_id_ma[32];
    uint8_t chip_id[64];
    uint32_t sig_algo, key_info;
    uint8_t cpuid[3];                             /* family, model, stepping; version 3 and later */
    uint8_t current_build[3], committed_build[3]; /* build, minor, major */
    uint8_t launch_mit[8], current_mit[8];        /* mitigation vectors; version 5 */
} rd_snp_claims;

/* The PCK certificate's extension (Intel SGX PCK Certificate and CRL Profile). */
typedef struct rd_pck_claims {
    uint8_t ppid[16];
    uint8_t sgx_svn[16]; /* component SVNs 1 to 16 */
    uint16_t pce_svn;
    uint8_t cpu_svn[16];
    uint8_t pce_id[2];
    uint8_t fmspc[6];
    uint8_t sgx_type; /* 0 standard, 1 scalable, 2 scalable with integrity */
    bool has_piid;
    uint8_t piid[16]; /* platform instance id: platform CA only */
    bool has_configuration;
    bool is_dynamic_platform, has_cached_keys, has_smt;
} rd_pck_claims;

typedef struct rd_claims {
    rd_tee tee;
    rd_class class;          /* of the root that the chain ended in */
    uint16_t format_version; /* quote version 3, 4, 5; SNP report version */
    uint16_t body_type;      /* Intel quotes: 1 SGX, 2 TD 1.0, 3 TD 1.5, 4 TD 1.5 extended */
    bool has_fields;         /* the report could be read: the members of its TEE below are filled */
    bool is_debug;           /* the host can read it: any bit of the TD's debug group, SGX DEBUG, SNP policy DEBUG */
    uint8_t report_data[64];
    uint8_t platform_id[32]; /* H("platform-v1", tee, PIID or else PPID, or CHIP_ID) */
    rd_pck_claims pck;       /* Intel */
    rd_sgx_claims qe;        /* Intel: the quoting enclave */
    union {
        rd_tdx_claims tdx;
        rd_sgx_claims sgx;
        rd_snp_claims snp;
    };
} rd_claims;

#endif
