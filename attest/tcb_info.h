/* tcb_info: TCB info (versions 2 and 3) and enclave identities (version 2) as structs (Intel PCS API v4).
 * Used by the Intel verifier on bodies whose signature it has checked.
 * Unknown members are ignored by decision, since the vendor adds some; unknown words for a status are refused. */
#ifndef RD_ATTEST_TCB_INFO_H
#define RD_ATTEST_TCB_INFO_H

#include "attest/attest.h"

#define RD_TCB_LEVELS_MAX      128
#define RD_MODULES_MAX         32
#define RD_COLLATERAL_BODY_MAX ((size_t)256 << 10)

/* One row: of the platform (components), of a TDX module or of an enclave (isvsvn). */
typedef struct rd_tcb_level {
    uint8_t sgx[16];
    uint8_t tdx[16];
    uint8_t sgx_kinds[16], tdx_kinds[16]; /* rd_tcb_kind */
    uint16_t pce_svn;
    uint32_t isv_svn;
    rd_tcb_status status;
    int64_t date_us;
    char (*advisories)[RD_ADVISORY_TEXT_SIZE];
    size_t advisory_count;
} rd_tcb_level;

typedef struct rd_tcb_levels {
    rd_tcb_level *items;
    size_t count;
} rd_tcb_levels;

typedef struct rd_tdx_module {
    char id[16];
    uint8_t mr_signer[48];
    uint8_t attributes[8];
    uint8_t attributes_mask[8];
    rd_tcb_levels levels;
} rd_tdx_module;

typedef struct rd_tcb_info {
    rd_tee tee;
    uint32_t version;
    int64_t issued_us, next_update_us;
    uint8_t fmspc[6];
    uint8_t pce_id[2];
    uint32_t evaluation_number;
    bool has_module;
    rd_tdx_module module; /* for module version 0: no levels of its own */
    rd_tdx_module *modules;
    size_t module_count;
    rd_tcb_levels levels;
} rd_tcb_info;

typedef struct rd_qe_identity {
    char id[16];
    int64_t issued_us, next_update_us;
    uint32_t evaluation_number;
    uint8_t misc_select[4], misc_select_mask[4]; /* as bytes in memory order */
    uint8_t attributes[16], attributes_mask[16];
    uint8_t mr_signer[32];
    uint32_t isv_prod_id;
    rd_tcb_levels levels;
} rd_qe_identity;

/* COLLATERAL_FORMAT, TCB_MISMATCH (id, version or type that is not for us), TCB_COMPONENTS (arrays not of 16). Call
 * x_done also after a failure. */
int rd_tcb_info_parse(rd_bytes body, rd_tcb_info *ret, rd_err *err) RD_NODISCARD;
void rd_tcb_info_done(rd_tcb_info *info);
int rd_qe_identity_parse(rd_bytes body, rd_qe_identity *ret, rd_err *err) RD_NODISCARD;
void rd_qe_identity_done(rd_qe_identity *identity);

#endif
