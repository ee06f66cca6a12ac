/* sim_quote: the bytes of a TDX quote, version 4 (Intel TDX DCAP Quote Generation Library reference).
 * Used by the simulated quoting enclave and by the tests' evidence builder. Pure: structs in, bytes out. */
#ifndef AGENT_SIM_QUOTE_H
#define AGENT_SIM_QUOTE_H

#include "common/crypto/sign.h"

#define AGENT_SIM_HEADER_SIZE    48
#define AGENT_SIM_TD_REPORT_SIZE 584
#define AGENT_SIM_QE_REPORT_SIZE 384
#define AGENT_SIM_AUTH_SIZE      32

/* What stands in the quote beside the TD report; made once for a quoting enclave. */
typedef struct agent_sim_qe {
    uint8_t header[AGENT_SIM_HEADER_SIZE];
    uint8_t report[AGENT_SIM_QE_REPORT_SIZE];
    uint8_t report_signature[64];
    uint8_t auth_data[AGENT_SIM_AUTH_SIZE];
    rd_p256_key *attestation_key;
    rd_buf pck_chain; /* PEM */
} agent_sim_qe;

/* Draws the attestation key, fills header and QE report; the chain is left empty and the report unsigned. */
void agent_sim_qe_make(agent_sim_qe *ret);
void agent_sim_qe_done(agent_sim_qe *qe);
/* Puts SHA-256(attestation key, authentication data) into the report and signs it with the PCK key. */
int agent_sim_qe_sign(agent_sim_qe *qe, const rd_p256_key *pck_key, rd_err *err) RD_NODISCARD;

/* The registers of one TD. */
typedef struct agent_sim_td {
    uint8_t tee_tcb_svn[16];
    uint8_t td_attributes[8];
    uint8_t mrtd[48];
    uint8_t rtmr[4][48];
} agent_sim_td;

void agent_sim_td_report(const agent_sim_td *td, const uint8_t report_data[64], uint8_t ret[AGENT_SIM_TD_REPORT_SIZE]);
/* Appends header, report and signature data. */
int agent_sim_quote_assemble(const agent_sim_qe *qe, const uint8_t td_report[AGENT_SIM_TD_REPORT_SIZE], rd_buf *out,
                             rd_err *err) RD_NODISCARD;

#endif
