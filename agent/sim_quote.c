#include "agent/sim_quote.h"

#include <string.h>

#include "agent/sim_issue.h"
#include "common/crypto/random.h"

static const uint8_t header_prefix[28] = { 4,    0,    2,    0,    0x81, 0,    0,    0,    0,    0,
                                           0,    0,    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9,
                                           0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07 };

/* Offsets in the QE report (Intel SDM 3D, REPORT). */
enum { QE_ATTRIBUTES = 48, QE_MRENCLAVE = 64, QE_MRSIGNER = 128, QE_PROD_ID = 256, QE_SVN = 258, QE_REPORT_DATA = 320 };

void agent_sim_qe_make(agent_sim_qe *ret)
{
    *ret = (agent_sim_qe){ .attestation_key = rd_p256_key_new() };
    memcpy(ret->header, header_prefix, sizeof header_prefix);
    rd_random_bytes(ret->header + 28, 16);
    rd_random_bytes(ret->auth_data, sizeof ret->auth_data);
    ret->report[QE_ATTRIBUTES] = 0x15; /* INIT, MODE64BIT, PROVISION_KEY */
    ret->report[QE_ATTRIBUTES + 8] = 0xe7;
    agent_sim_qe_signer(ret->report + QE_MRSIGNER);
    memcpy(ret->report + QE_MRENCLAVE, ret->report + QE_MRSIGNER, 32);
    ret->report[QE_PROD_ID] = AGENT_SIM_QE_PROD_ID;
    ret->report[QE_SVN] = AGENT_SIM_QE_SVN;
}

void agent_sim_qe_done(agent_sim_qe *qe)
{
    rd_p256_key_free(qe->attestation_key);
    rd_buf_done(&qe->pck_chain);
    *qe = (agent_sim_qe){ 0 };
}

int agent_sim_qe_sign(agent_sim_qe *qe, const rd_p256_key *pck_key, rd_err *err)
{
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_update(&hasher, rd_bytes_of(rd_p256_key_public(qe->attestation_key), RD_P256_PUBLIC_SIZE));
    rd_hasher_update(&hasher, RD_BYTES_ARRAY(qe->auth_data));
    rd_hasher_final(&hasher, qe->report + QE_REPORT_DATA);
    return rd_p256_sign(pck_key, RD_BYTES_ARRAY(qe->report), qe->report_signature, err);
}

/* attestation.md 1.3 */
void agent_sim_td_report(const agent_sim_td *td, const uint8_t report_data[64], uint8_t ret[AGENT_SIM_TD_REPORT_SIZE])
{
    static const uint8_t xfam[8] = { 0xe7, 0x02, 0x06 };
    memset(ret, 0, AGENT_SIM_TD_REPORT_SIZE);
    memcpy(ret, td->tee_tcb_svn, 16);
    rd_sha384(RD_BYTES_LIT("Redoubt simulated TDX module, not confidential"), ret + 16);
    memcpy(ret + 120, td->td_attributes, 8);
    memcpy(ret + 128, xfam, 8);
    memcpy(ret + 136, td->mrtd, 48);
    memcpy(ret + 328, td->rtmr, sizeof td->rtmr);
    memcpy(ret + 520, report_data, 64);
}

int agent_sim_quote_assemble(const agent_sim_qe *qe, const uint8_t td_report[AGENT_SIM_TD_REPORT_SIZE], rd_buf *out,
                             rd_err *err)
{
    uint8_t signature[RD_P256_SIGNATURE_SIZE];
    size_t start = out->size;
    size_t inner = AGENT_SIM_QE_REPORT_SIZE + 64 + 2 + AGENT_SIM_AUTH_SIZE + 6 + qe->pck_chain.size;
    rd_buf_append(out, qe->header, AGENT_SIM_HEADER_SIZE);
    rd_buf_append(out, td_report, AGENT_SIM_TD_REPORT_SIZE);
    if (out->has_failed)
        return rd_err_set(err, RD_E_TOO_LARGE, "no room for the quote");
    if (rd_p256_sign(qe->attestation_key, rd_bytes_of(out->data + start, out->size - start), signature, err) < 0)
        return -1;
    rd_buf_append_u32le(out, (uint32_t)(64 + 64 + 6 + inner));
    rd_buf_append(out, signature, sizeof signature);
    rd_buf_append(out, rd_p256_key_public(qe->attestation_key), RD_P256_PUBLIC_SIZE);
    rd_buf_append_u16le(out, 6);
    rd_buf_append_u32le(out, (uint32_t)inner);
    rd_buf_append(out, qe->report, AGENT_SIM_QE_REPORT_SIZE);
    rd_buf_append(out, qe->report_signature, 64);
    rd_buf_append_u16le(out, AGENT_SIM_AUTH_SIZE);
    rd_buf_append(out, qe->auth_data, AGENT_SIM_AUTH_SIZE);
    rd_buf_append_u16le(out, 5);
    rd_buf_append_u32le(out, (uint32_t)qe->pck_chain.size);
    rd_buf_append_bytes(out, rd_buf_bytes(&qe->pck_chain));
    return out->has_failed ? rd_err_set(err, RD_E_TOO_LARGE, "no room for the quote") : 0;
}
