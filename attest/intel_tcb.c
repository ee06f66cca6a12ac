#include <stdio.h>
#include <string.h>

#include "attest/intel.h"
#include "attest/tcb.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/sign.h"

static bool is_zero(const uint8_t *bytes, size_t size)
{
    uint8_t any = 0;
    for (size_t i = 0; i < size; i++)
        any |= bytes[i];
    return any == 0;
}

/* attestation.md 2.7: this collateral is for this platform and TEE. */
int rd_intel_scope(rd_intel *intel, rd_err *err)
{
    const rd_claims *claims = &intel->verdict->claims;
    const rd_tcb_info *info = intel->tcb_info;
    if (info->tee != claims->tee)
        return rd_err_set(err, RD_E_TCB_MISMATCH, "TCB info for %s, the quote is of %s", rd_tee_names[info->tee],
                          rd_tee_names[claims->tee]);
    if (memcmp(info->fmspc, claims->pck.fmspc, sizeof info->fmspc) != 0) {
        char theirs[13], ours[13];
        rd_hex_encode(RD_BYTES_ARRAY(info->fmspc), theirs);
        rd_hex_encode(RD_BYTES_ARRAY(claims->pck.fmspc), ours);
        return rd_err_set(err, RD_E_TCB_MISMATCH, "TCB info for FMSPC %s, the platform's is %s", theirs, ours);
    }
    if (memcmp(info->pce_id, claims->pck.pce_id, sizeof info->pce_id) != 0)
        return rd_err_set(err, RD_E_TCB_MISMATCH, "TCB info for another PCE id");
    const char *id = claims->tee == RD_TEE_TDX ? "TD_QE" : "QE";
    if (strcmp(intel->qe_identity->id, id) != 0)
        return rd_err_set(err, RD_E_QE_IDENTITY_ID, "identity of %s, expected %s", intel->qe_identity->id, id);
    rd_intel_say(intel, "TCB info and identity are for this platform and TEE");
    return 0;
}

/* attestation.md 2.8 */
int rd_intel_module(rd_intel *intel, rd_err *err)
{
    const rd_claims *claims = &intel->verdict->claims;
    if (claims->tee != RD_TEE_TDX) {
        rd_intel_say(intel, "none: not a TD");
        return 0;
    }
    uint8_t major = claims->tdx.tee_tcb_svn[1];
    const rd_tdx_module *module = &intel->tcb_info->module;
    if (major > 0)
        module = intel->module = rd_tcb_module(intel->tcb_info, major);
    if (!module)
        return rd_err_set(err, RD_E_TDX_MODULE, "TDX module of version %u has no identity in the TCB info", major);
    if (memcmp(module->mr_signer, claims->tdx.mr_signer_seam, sizeof module->mr_signer) != 0)
        return rd_err_set(err, RD_E_TDX_MODULE, "MRSIGNERSEAM is not the module's signer");
    if (!is_zero(claims->tdx.seam_attributes, 8))
        return rd_err_set(err, RD_E_TDX_MODULE, "SEAMATTRIBUTES are not zero");
    for (size_t i = 0; i < 8; i++)
        if ((claims->tdx.seam_attributes[i] & module->attributes_mask[i]) != module->attributes[i])
            return rd_err_set(err, RD_E_TDX_MODULE, "SEAMATTRIBUTES are not the module's");
    rd_intel_say(intel, "TDX module version %u, SVN %u", major, claims->tdx.tee_tcb_svn[0]);
    return 0;
}

/* attestation.md 2.9 */
static void free_nothing(void *object)
{
    (void)object;
}

/* A platform's quoting enclave reports once and quotes often: the same report under the same key is the same answer. */
int rd_intel_qe_signature(rd_intel *intel, rd_err *err)
{
    const rd_intel_quote *quote = &intel->quote;
    uint8_t leaf[32];
    rd_cert_fingerprint(intel->pck_chain->items[0], leaf);
    rd_memo_key key = { .kind = RD_MEMO_QE_REPORT,
                        .parts = { quote->qe_report, quote->qe_report_signature, RD_BYTES_ARRAY(leaf) },
                        .count = 3 };
    rd_memo *memo = rd_cache_find(intel->input->cache, &key, intel->input->time_us);
    if (!memo) {
        if (!rd_cert_verify_raw(intel->pck_chain->items[0], quote->qe_report, quote->qe_report_signature.data))
            return rd_err_set(err, RD_E_QE_SIG, "the QE report was not signed by the PCK key");
        memo = rd_memo_new(NULL, free_nothing);
        rd_cache_keep(intel->input->cache, &key, memo);
    }
    rd_intel_hold(intel, memo);
    rd_intel_say(intel, "QE report signed by the PCK key");
    return 0;
}

/* attestation.md 2.10: SHA-256(attestation key ‖ authentication data), then 32 zero bytes. */
int rd_intel_qe_binding(rd_intel *intel, rd_err *err)
{
    uint8_t wanted[64] = { 0 };
    rd_hasher hasher;
    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_update(&hasher, intel->quote.attestation_key);
    rd_hasher_update(&hasher, intel->quote.qe_auth_data);
    rd_hasher_final(&hasher, wanted);
    if (!rd_equal_ct(wanted, intel->qe_report_data, sizeof wanted))
        return rd_err_set(err, RD_E_QE_BINDING, "the QE report is not about this attestation key");
    rd_intel_say(intel, "attestation key bound by the QE report");
    return 0;
}

static bool equals_masked(const uint8_t *value, const uint8_t *mask, const uint8_t *wanted, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if ((value[i] & mask[i]) != wanted[i])
            return false;
    return true;
}

/* attestation.md 2.11. miscselect is the text of a number; every value in the field is zero, as is the mask's effect.
 */
static int check_identity(const rd_sgx_claims *qe, const rd_qe_identity *identity, rd_err *err)
{
    if (qe->attributes[0] & 0x02)
        return rd_err_set(err, RD_E_QE_DEBUG, "a debug quoting enclave");
    if (!equals_masked(qe->misc_select, identity->misc_select_mask, identity->misc_select, 4))
        return rd_err_set(err, RD_E_QE_IDENTITY, "MISCSELECT is not the quoting enclave's");
    if (!equals_masked(qe->attributes, identity->attributes_mask, identity->attributes, 16))
        return rd_err_set(err, RD_E_QE_IDENTITY, "ATTRIBUTES are not the quoting enclave's");
    if (memcmp(qe->mr_signer, identity->mr_signer, 32) != 0)
        return rd_err_set(err, RD_E_QE_IDENTITY, "MRSIGNER is not the quoting enclave's");
    if (qe->isv_prod_id != identity->isv_prod_id)
        return rd_err_set(err, RD_E_QE_IDENTITY, "ISVPRODID is %u, expected %u", qe->isv_prod_id,
                          identity->isv_prod_id);
    return 0;
}

int rd_intel_qe(rd_intel *intel, rd_err *err)
{
    const rd_sgx_claims *qe = &intel->verdict->claims.qe;
    const rd_tcb_levels *levels = &intel->qe_identity->levels;
    if (check_identity(qe, intel->qe_identity, err) < 0)
        return -1;
    const rd_tcb_level *level = intel->qe_level = rd_tcb_match_isv(levels, qe->isv_svn);
    if (!level) {
        rd_tcb_note_isv(levels, NULL, qe->isv_svn, "qe isvsvn", RD_TCB_KIND_QE, &intel->verdict->tcb);
        return rd_err_set(err, RD_E_QE_TCB, "quoting enclave SVN %u is lower than any known", qe->isv_svn);
    }
    intel->verdict->tcb.qe = level->status;
    rd_intel_say(intel, "%s, SVN %u: %s", intel->qe_identity->id, qe->isv_svn, rd_tcb_status_names[level->status]);
    return 0;
}

/* attestation.md 2.12 */
static void free_public(void *key)
{
    rd_p256_public_free(key);
}

static int get_attestation_key(rd_intel *intel, const rd_p256_public **ret, rd_err *err)
{
    rd_memo_key key = { .kind = RD_MEMO_ATTESTATION_KEY, .parts = { intel->quote.attestation_key }, .count = 1 };
    rd_memo *memo = rd_cache_find(intel->input->cache, &key, intel->input->time_us);
    rd_p256_public *public = NULL;
    rd_err why = RD_ERR_INIT;
    if (!memo) {
        if (rd_p256_public_new(intel->quote.attestation_key.data, &public, &why) < 0)
            return rd_err_set(err, RD_E_ATT_KEY, "the attestation key is not a point on P-256");
        memo = rd_memo_new(public, free_public);
        rd_cache_keep(intel->input->cache, &key, memo);
    }
    rd_intel_hold(intel, memo);
    *ret = rd_memo_object(memo);
    return 0;
}

int rd_intel_quote_signature(rd_intel *intel, rd_err *err)
{
    const rd_intel_quote *quote = &intel->quote;
    const rd_p256_public *key;
    rd_err why = RD_ERR_INIT;
    if (get_attestation_key(intel, &key, err) < 0)
        return -1;
    if (rd_p256_public_verify(key, quote->signed_range, quote->signature.data, &why) < 0)
        return rd_err_set(err, RD_E_QUOTE_SIG, "the quote was not signed by its attestation key");
    rd_intel_say(intel, "header and body signed by the attestation key");
    return 0;
}

/* --- attestation.md 2.13 to 2.16 --- */

typedef struct evaluation {
    const rd_tcb_level *platform, *module;
    const rd_tcb_levels *module_levels; /* NULL: the module has no identity of its own */
    rd_tcb_status status;
} evaluation;

static int evaluate_module(rd_intel *intel, const uint8_t *tee_tcb_svn, evaluation *ret, rd_err *err)
{
    if (!tee_tcb_svn || tee_tcb_svn[1] == 0)
        return 0;
    const rd_tdx_module *module = rd_tcb_module(intel->tcb_info, tee_tcb_svn[1]);
    if (!module)
        return rd_err_set(err, RD_E_TDX_MODULE, "TDX module of version %u has no identity in the TCB info",
                          tee_tcb_svn[1]);
    ret->module_levels = &module->levels;
    ret->module = rd_tcb_match_isv(&module->levels, tee_tcb_svn[0]);
    if (ret->module)
        return 0;
    rd_tcb_note_isv(&module->levels, NULL, tee_tcb_svn[0], "tdx_module isvsvn", RD_TCB_KIND_TDX_MODULE,
                    &intel->verdict->tcb);
    return rd_err_set(err, RD_E_TCB_UNSUPPORTED, "TDX module SVN %u is lower than any known", tee_tcb_svn[0]);
}

static rd_platform_svns svns_of(const rd_intel *intel, const uint8_t *tee_tcb_svn)
{
    const rd_pck_claims *pck = &intel->verdict->claims.pck;
    return (rd_platform_svns){ .sgx = pck->sgx_svn, .pce_svn = pck->pce_svn, .tdx = tee_tcb_svn };
}

static int refuse_platform(rd_intel *intel, const rd_platform_svns *svns, rd_err *err)
{
    rd_tcb_verdict *tcb = &intel->verdict->tcb;
    char first[96];
    rd_tcb_note_platform(&intel->tcb_info->levels, NULL, svns, tcb);
    if (tcb->shortfall_count == 0)
        return rd_err_set(err, RD_E_TCB_UNSUPPORTED, "the TCB info has no levels");
    rd_tcb_shortfall_format(&tcb->shortfalls[0], first, sizeof first);
    return rd_err_set(err, RD_E_TCB_UNSUPPORTED, "no TCB level matches; the lowest asks more of %s", first);
}

static int evaluate(rd_intel *intel, const uint8_t *tee_tcb_svn, evaluation *ret, rd_err *err)
{
    rd_platform_svns svns = svns_of(intel, tee_tcb_svn);
    *ret = (evaluation){ 0 };
    ret->platform = rd_tcb_match_platform(&intel->tcb_info->levels, &svns);
    if (!ret->platform)
        return refuse_platform(intel, &svns, err);
    if (evaluate_module(intel, tee_tcb_svn, ret, err) < 0)
        return -1;
    rd_tcb_status module = ret->module ? ret->module->status : RD_TCB_UP_TO_DATE;
    ret->status = rd_tcb_converge(ret->platform->status, intel->verdict->tcb.qe, module);
    return 0;
}

static void note_shortfalls(rd_intel *intel, const evaluation *launch, const uint8_t *tee_tcb_svn)
{
    rd_tcb_verdict *tcb = &intel->verdict->tcb;
    rd_platform_svns svns = svns_of(intel, tee_tcb_svn);
    rd_tcb_note_platform(&intel->tcb_info->levels, launch->platform, &svns, tcb);
    rd_tcb_note_isv(&intel->qe_identity->levels, intel->qe_level, intel->verdict->claims.qe.isv_svn, "qe isvsvn",
                    RD_TCB_KIND_QE, tcb);
    if (launch->module)
        rd_tcb_note_isv(launch->module_levels, launch->module, tee_tcb_svn[0], "tdx_module isvsvn",
                        RD_TCB_KIND_TDX_MODULE, tcb);
}

static int note_levels(rd_intel *intel, const evaluation *launch, rd_err *err)
{
    rd_tcb_verdict *tcb = &intel->verdict->tcb;
    tcb->platform = launch->platform->status;
    tcb->module = launch->module ? launch->module->status : RD_TCB_UNKNOWN;
    if (rd_tcb_add_level(tcb, launch->platform, err) < 0 || rd_tcb_add_level(tcb, intel->qe_level, err) < 0)
        return -1;
    return launch->module ? rd_tcb_add_level(tcb, launch->module, err) : 0;
}

int rd_intel_tcb(rd_intel *intel, rd_err *err)
{
    const rd_claims *claims = &intel->verdict->claims;
    rd_tcb_verdict *tcb = &intel->verdict->tcb;
    const uint8_t *svn = claims->tee == RD_TEE_TDX ? claims->tdx.tee_tcb_svn : NULL;
    char lacking[96] = "";
    evaluation launch, current;
    if (evaluate(intel, svn, &launch, err) < 0)
        return -1;
    tcb->status = launch.status;
    if (note_levels(intel, &launch, err) < 0)
        return -1;
    note_shortfalls(intel, &launch, svn);
    if (svn && claims->tdx.has_15) {
        if (evaluate(intel, claims->tdx.tee_tcb_svn_2, &current, err) < 0)
            return rd_err_wrap(err, "the module that runs now");
        tcb->status = rd_tcb_relaunch(launch.status, current.status);
    }
    if (tcb->shortfall_count)
        rd_tcb_shortfall_format(&tcb->shortfalls[0], lacking, sizeof lacking);
    rd_intel_say(intel, "%s%s%s", rd_tcb_status_names[tcb->status], lacking[0] ? ", for " : "", lacking);
    return 0;
}
