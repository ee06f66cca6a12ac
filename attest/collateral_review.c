#include "attest/collateral_review.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "attest/intel.h"
#include "common/base/mem.h"

#define CN_PCK_CA "SGX PCK "

/* The PCK CA and the root stand in the issuer chain of the PCK list; a leaf is the evidence's affair. */
static int open_chain(rd_intel *intel, rd_err *err)
{
    rd_roots roots;
    rd_roots_of(intel->input->anchors, RD_TEE_TDX, &roots);
    rd_chain_rules rules = { .roots = roots.fingerprints,
                             .root_count = roots.count,
                             .time_us = intel->input->time_us,
                             .depth = 2,
                             .leaf_is_ca = true };
    rd_chain chain;
    if (intel->input->collateral->pck_crl_chain.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no issuer chain of the PCK list");
    if (rd_certs_parse_pem(intel->input->collateral->pck_crl_chain, 3, &intel->pck_certs, err) < 0)
        return rd_err_wrap(err, "issuer chain of the PCK list");
    const rd_cert *ca = NULL;
    for (size_t i = 0; i < intel->pck_certs.count; i++)
        if (strstr(rd_cert_subject_cn(intel->pck_certs.items[i]), CN_PCK_CA))
            ca = intel->pck_certs.items[i];
    if (!ca)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "issuer chain of the PCK list without a PCK CA");
    if (rd_chain_verify(ca, &intel->pck_certs, &rules, &chain, err) < 0)
        return rd_err_wrap(err, "issuer chain of the PCK list");
    intel->is_platform_ca = strstr(rd_cert_subject_cn(ca), "Platform") != NULL;
    intel->verdict->claims.class = intel->input->anchors->items[roots.index[chain.root_index]].class;
    /* In the leaf's place the CA itself: it is not on its own list. */
    intel->pck_chain.items[0] = intel->pck_chain.items[1] = ca;
    intel->pck_chain.items[2] = chain.items[1];
    intel->pck_chain.count = 3;
    return 0;
}

static int check_identity(const rd_intel *intel, rd_err *err)
{
    const char *id = intel->tcb_info.tee == RD_TEE_TDX ? "TD_QE" : "QE";
    if (strcmp(intel->qe_identity.id, id) != 0)
        return rd_err_set(err, RD_E_QE_IDENTITY_ID, "identity of %s beside TCB info for %s", intel->qe_identity.id,
                          rd_tee_names[intel->tcb_info.tee]);
    return 0;
}

static void intel_done(rd_intel *intel)
{
    rd_certs_done(&intel->pck_certs);
    rd_crl_free(intel->pck_crl);
    rd_crl_free(intel->root_crl);
    rd_tcb_info_done(&intel->tcb_info);
    rd_qe_identity_done(&intel->qe_identity);
}

static void read_facts(const rd_intel *intel, rd_collateral_facts *ret)
{
    const rd_verdict *verdict = intel->verdict;
    *ret = (rd_collateral_facts){ .class = verdict->claims.class,
                                  .tee = intel->tcb_info.tee,
                                  .is_platform_ca = intel->is_platform_ca,
                                  .evaluation_number =
                                      RD_MIN(verdict->tcb.evaluation_number, verdict->tcb.qe_evaluation_number),
                                  .pck_crl_number = verdict->pck_crl_number,
                                  .root_crl_number = verdict->root_crl_number,
                                  .issued_us = verdict->collateral_issued_us,
                                  .expires_us = verdict->collateral_expires_us };
    memcpy(ret->fmspc, intel->tcb_info.fmspc, sizeof ret->fmspc);
    rd_cert_fingerprint(intel->pck_chain.items[2], ret->root);
}

int rd_collateral_review(const rd_collateral *collateral, const rd_anchors *anchors, int64_t time_us,
                         rd_collateral_facts *ret, rd_err *err)
{
    rd_attest_input input = { .collateral = collateral, .anchors = anchors, .time_us = time_us };
    RD_CLEANUP(rd_free_p) rd_verdict *verdict = rd_alloc(sizeof *verdict);
    RD_CLEANUP(intel_done) rd_intel intel = { .input = &input, .verdict = verdict };
    if (open_chain(&intel, err) < 0 || rd_intel_revocation(&intel, err) < 0 || rd_intel_tcb_info(&intel, err) < 0 ||
        rd_intel_qe_identity(&intel, err) < 0 || check_identity(&intel, err) < 0)
        return -1;
    read_facts(&intel, ret);
    return 0;
}

int rd_collateral_follows(const rd_collateral_facts *current, const rd_collateral_facts *candidate, rd_err *err)
{
    if (memcmp(current->root, candidate->root, sizeof current->root) != 0)
        return 0; /* another PKI counts for itself */
    if (candidate->evaluation_number < current->evaluation_number)
        return rd_err_set(err, RD_E_COLLATERAL_EVALNUM, "evaluation number %u, %u is in use",
                          candidate->evaluation_number, current->evaluation_number);
    bool is_same_ca = candidate->is_platform_ca == current->is_platform_ca;
    if (candidate->root_crl_number < current->root_crl_number ||
        (is_same_ca && candidate->pck_crl_number < current->pck_crl_number))
        return rd_err_set(err, RD_E_CRL_ROLLBACK, "a revocation list older than the one in use");
    if (is_same_ca && candidate->evaluation_number == current->evaluation_number &&
        candidate->issued_us < current->issued_us)
        return rd_err_set(err, RD_E_COLLATERAL_AGE, "issued before the set in use");
    return 0;
}

json_t *rd_collateral_facts_to_json(const rd_collateral_facts *facts)
{
    json_t *object = json_object();
    rd_json_set_str(object, "class", rd_class_name(facts->class));
    rd_json_set_hex(object, "root", RD_BYTES_ARRAY(facts->root));
    rd_json_set_str(object, "tee", rd_tee_names[facts->tee]);
    rd_json_set_hex(object, "fmspc", RD_BYTES_ARRAY(facts->fmspc));
    rd_json_set_str(object, "ca", facts->is_platform_ca ? "platform" : "processor");
    rd_json_set_int(object, "evaluation_number", facts->evaluation_number);
    rd_json_set_int(object, "pck_crl_number", facts->pck_crl_number);
    rd_json_set_int(object, "root_crl_number", facts->root_crl_number);
    rd_json_set_time(object, "issued", facts->issued_us);
    rd_json_set_time(object, "expires", facts->expires_us);
    return object;
}
