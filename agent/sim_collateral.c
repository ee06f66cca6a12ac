#include "agent/sim_issue.h"

#include "common/base/text.h"

static int make_crls(const agent_sim_ca *ca, uint64_t number, int64_t now_us, agent_sim_collateral *ret, rd_err *err)
{
    rd_crl_spec spec = { .this_update_us = now_us, .next_update_us = now_us + AGENT_SIM_TERM_US, .number = number };
    if (rd_crl_issue(&spec, ca->platform, ca->platform_key, &ret->pck_crl, err) < 0)
        return -1;
    return rd_crl_issue(&spec, ca->root, ca->root_key, &ret->root_ca_crl, err);
}

static int make_bodies(const agent_sim_ca *ca, const uint8_t fmspc[6], uint32_t evaluation, int64_t now_us,
                       agent_sim_collateral *ret, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf info = { 0 }, identity = { 0 };
    agent_sim_tcb_info_at(fmspc, evaluation, now_us, &info);
    agent_sim_qe_identity_at(evaluation, now_us, &identity);
    if (agent_sim_sign_body(ca->tcb_key, "tcbInfo", rd_buf_bytes(&info), &ret->tcb_info, err) < 0)
        return -1;
    return agent_sim_sign_body(ca->tcb_key, "enclaveIdentity", rd_buf_bytes(&identity), &ret->qe_identity, err);
}

int agent_sim_collateral_make(const agent_sim_ca *ca, const uint8_t fmspc[6], uint64_t crl_number, int64_t now_us,
                              agent_sim_collateral *ret, rd_err *err)
{
    return agent_sim_collateral_make_at(ca, fmspc, crl_number, 1, now_us, ret, err);
}

int agent_sim_collateral_make_at(const agent_sim_ca *ca, const uint8_t fmspc[6], uint64_t crl_number,
                                 uint32_t evaluation, int64_t now_us, agent_sim_collateral *ret, rd_err *err)
{
    *ret = (agent_sim_collateral){ 0 };
    rd_cert_to_pem(ca->root, &ret->root);
    rd_cert_to_pem(ca->platform, &ret->pck_crl_chain);
    rd_cert_to_pem(ca->root, &ret->pck_crl_chain);
    rd_cert_to_pem(ca->tcb, &ret->tcb_info_chain);
    rd_cert_to_pem(ca->root, &ret->tcb_info_chain);
    rd_buf_append_bytes(&ret->qe_identity_chain, rd_buf_bytes(&ret->tcb_info_chain));
    if (make_crls(ca, crl_number, now_us, ret, err) == 0 && make_bodies(ca, fmspc, evaluation, now_us, ret, err) == 0)
        return 0;
    agent_sim_collateral_done(ret);
    return -1;
}

void agent_sim_collateral_done(agent_sim_collateral *collateral)
{
    rd_buf_done(&collateral->root);
    rd_buf_done(&collateral->pck_crl);
    rd_buf_done(&collateral->pck_crl_chain);
    rd_buf_done(&collateral->root_ca_crl);
    rd_buf_done(&collateral->tcb_info);
    rd_buf_done(&collateral->tcb_info_chain);
    rd_buf_done(&collateral->qe_identity);
    rd_buf_done(&collateral->qe_identity_chain);
}

/* Everything here is ASCII without control characters but newlines: PEM, and JSON with quotes. */
static void put_text(rd_buf *out, const char *name, const rd_buf *text)
{
    rd_buf_printf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < text->size; i++) {
        char c = (char)text->data[i];
        if (c == '\n')
            rd_buf_append_str(out, "\\n");
        else if (c == '"' || c == '\\')
            rd_buf_printf(out, "\\%c", c);
        else
            rd_buf_append(out, &c, 1);
    }
    rd_buf_append_str(out, "\"");
}

static void put_base64(rd_buf *out, const char *name, const rd_buf *bytes)
{
    rd_buf_printf(out, ",\"%s\":\"", name);
    rd_buf_append_base64(out, rd_buf_bytes(bytes));
    rd_buf_append_str(out, "\"");
}

void agent_sim_collateral_json(const agent_sim_collateral *collateral, rd_buf *out)
{
    rd_buf_append_str(out, "{\"type\":\"redoubt/collateral/v1\"");
    put_text(out, "root", &collateral->root);
    put_base64(out, "pck_crl", &collateral->pck_crl);
    put_text(out, "pck_crl_chain", &collateral->pck_crl_chain);
    put_base64(out, "root_ca_crl", &collateral->root_ca_crl);
    put_text(out, "tcb_info", &collateral->tcb_info);
    put_text(out, "tcb_info_chain", &collateral->tcb_info_chain);
    put_text(out, "qe_identity", &collateral->qe_identity);
    put_text(out, "qe_identity_chain", &collateral->qe_identity_chain);
    rd_buf_append_str(out, "}\n");
}
