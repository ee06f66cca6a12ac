/* sim_issue: what the simulation PKI issues, in memory: certificates, revocation lists, TCB info, identity, collateral
 * set. Used by sim_pki, which keeps it in folders, and by the tests' evidence builder, which spoils it. Class
 * simulated: each name says "Redoubt Simulation", each organisation "not confidential". */
#ifndef AGENT_SIM_ISSUE_H
#define AGENT_SIM_ISSUE_H

#include "common/crypto/x509_issue.h"

#define AGENT_SIM_ORGANIZATION "Redoubt Simulation - not confidential"
#define AGENT_SIM_DAY_US       (INT64_C(86400) * 1000000)
#define AGENT_SIM_TERM_US      (30 * AGENT_SIM_DAY_US) /* of TCB info, identity and revocation lists */

/* The authorities: root, PCK platform CA, TCB signing. */
typedef struct agent_sim_ca {
    rd_p256_key *root_key, *platform_key, *tcb_key;
    rd_cert *root, *platform, *tcb;
} agent_sim_ca;

int agent_sim_ca_make(int64_t now_us, agent_sim_ca *ret, rd_err *err) RD_NODISCARD;
void agent_sim_ca_done(agent_sim_ca *ca);

/* What a PCK certificate says of its platform (Intel SGX PCK Certificate and CRL Profile). */
typedef struct agent_sim_platform {
    uint8_t ppid[16], piid[16], cpu_svn[16], sgx_svn[16];
    uint8_t pce_id[2], fmspc[6];
    uint16_t pce_svn;
} agent_sim_platform;

/* A platform of the newest TCB level, with random PPID and instance id. */
void agent_sim_platform_make(const uint8_t fmspc[6], agent_sim_platform *ret);
/* Appends the extension's value, DER. */
void agent_sim_pck_extension(const agent_sim_platform *platform, rd_buf *out);
int agent_sim_pck_issue(const agent_sim_ca *ca, rd_bytes extension, rd_bytes spki, int64_t now_us, rd_cert **ret,
                        rd_err *err) RD_NODISCARD;
/* Appends leaf, platform CA, root as PEM. */
void agent_sim_pck_chain(const agent_sim_ca *ca, const rd_cert *leaf, rd_buf *out);

/* The quoting enclave and the TDX module that the collateral knows. */
#define AGENT_SIM_QE_PROD_ID 2
#define AGENT_SIM_QE_SVN     4
extern const uint8_t agent_sim_tee_tcb_svn[16];
void agent_sim_qe_signer(uint8_t ret[32]);

/* Appends the unsigned bodies, of evaluation number 1. */
void agent_sim_tcb_info(const uint8_t fmspc[6], int64_t now_us, rd_buf *out);
void agent_sim_qe_identity(int64_t now_us, rd_buf *out);
/* After evaluation - 1 TCB recoveries, each of which asks for a newer microcode than any simulated platform has: they
 * are OutOfDate from the first on. */
void agent_sim_tcb_info_at(const uint8_t fmspc[6], uint32_t evaluation, int64_t now_us, rd_buf *out);
void agent_sim_qe_identity_at(uint32_t evaluation, int64_t now_us, rd_buf *out);
/* Appends {"member":body,"signature":"…"}. */
int agent_sim_sign_body(const rd_p256_key *key, const char *member, rd_bytes body, rd_buf *out,
                        rd_err *err) RD_NODISCARD;

/* The pieces of one collateral set. Free with agent_sim_collateral_done. */
typedef struct agent_sim_collateral {
    rd_buf root, pck_crl, pck_crl_chain, root_ca_crl, tcb_info, tcb_info_chain, qe_identity, qe_identity_chain;
} agent_sim_collateral;

int agent_sim_collateral_make(const agent_sim_ca *ca, const uint8_t fmspc[6], uint64_t crl_number, int64_t now_us,
                              agent_sim_collateral *ret, rd_err *err) RD_NODISCARD;
int agent_sim_collateral_make_at(const agent_sim_ca *ca, const uint8_t fmspc[6], uint64_t crl_number,
                                 uint32_t evaluation, int64_t now_us, agent_sim_collateral *ret,
                                 rd_err *err) RD_NODISCARD;
void agent_sim_collateral_done(agent_sim_collateral *collateral);
/* Appends the JSON set of docs/protocol/formats.md. */
void agent_sim_collateral_json(const agent_sim_collateral *collateral, rd_buf *out);

#endif
