#include <stdio.h>
#include <string.h>

#include "attest/intel.h"
#include "attest/pck.h"
#include "attest/signed_json.h"
#include "common/base/text.h"

#define CN_LEAF        "SGX PCK Certificate"
#define CN_PLATFORM    "SGX PCK Platform CA"
#define CN_PROCESSOR   "SGX PCK Processor CA"
#define CN_TCB_SIGNING "SGX TCB Signing"

static const rd_cert *find_named(const rd_certs *certs, const char *part)
{
    for (size_t i = 0; i < certs->count; i++)
        if (strstr(rd_cert_subject_cn(certs->items[i]), part))
            return certs->items[i];
    return NULL;
}

static const char *const cert_type_names[] = {
    "none",
    "PPID in clear",
    "PPID encrypted with RSA-2048",
    "PPID encrypted with RSA-3072",
    "PCK leaf",
    "PCK chain",
    "QE report",
    "platform manifest",
};

/* attestation.md 1.4: type 5 brings its chain. Types 1 to 3 name a platform and type 4 holds the leaf alone: then the
 * caller brings the chain, which must be of the same PCE; what is signed with that key proves the rest. */
static int find_pck_certs(rd_intel *intel, rd_err *err)
{
    const rd_intel_quote *quote = &intel->quote;
    rd_bytes given = intel->input->collateral->pck_chain;
    unsigned type = quote->cert_type;
    if (type == RD_CERT_DATA_PCK_CHAIN)
        return rd_certs_parse_pem(quote->cert_data, 3, &intel->pck_certs, err);
    if (type < 1 || type > RD_CERT_DATA_PCK_LEAF)
        return rd_err_set(err, RD_E_CERT_TYPE, "certification data type %u (%s), expected 1 to 5", type,
                          type < RD_ARRAY_LEN(cert_type_names) ? cert_type_names[type] : "unknown");
    if (given.size == 0)
        return rd_err_set(err, RD_E_CERT_TYPE, "certification data type %u (%s) and no PCK chain beside the quote",
                          type, cert_type_names[type]);
    return rd_certs_parse_pem(given, 3, &intel->pck_certs, err);
}

/* The leaf of the quote and that of the caller are one certificate. */
static int check_leaf_given(const rd_intel *intel, const rd_cert *leaf, rd_err *err)
{
    RD_CLEANUP(rd_cert_free_p) rd_cert *theirs = NULL;
    if (intel->quote.cert_type != RD_CERT_DATA_PCK_LEAF)
        return 0;
    if (rd_cert_parse_pem(intel->quote.cert_data, &theirs, err) < 0)
        return -1;
    if (!rd_bytes_equal(rd_cert_der(theirs), rd_cert_der(leaf)))
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "the PCK chain beside the quote has another leaf than the quote");
    return 0;
}

/* attestation.md 2.2 */
int rd_intel_pck_chain(rd_intel *intel, rd_err *err)
{
    rd_roots roots;
    rd_roots_of(intel->input->anchors, RD_TEE_TDX, &roots);
    rd_chain_rules rules = {
        .roots = roots.fingerprints, .root_count = roots.count, .time_us = intel->input->time_us, .depth = 3
    };
    if (find_pck_certs(intel, err) < 0)
        return rd_err_wrap(err, "PCK chain");
    if (intel->pck_certs.count != 3)
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "PCK chain of %zu certificates, expected 3", intel->pck_certs.count);
    const rd_cert *leaf = find_named(&intel->pck_certs, CN_LEAF);
    if (!leaf)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "PCK chain without an \"" CN_LEAF "\"");
    if (check_leaf_given(intel, leaf, err) < 0)
        return -1;
    if (rd_chain_verify(leaf, &intel->pck_certs, &rules, &intel->pck_chain, err) < 0) {
        rd_note_early(intel->verdict, &intel->pck_certs, rules.time_us);
        return rd_err_wrap(err, "PCK chain");
    }
    const char *ca = rd_cert_subject_cn(intel->pck_chain.items[1]);
    intel->is_platform_ca = strstr(ca, CN_PLATFORM) != NULL;
    if (!intel->is_platform_ca && !strstr(ca, CN_PROCESSOR))
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "PCK chain by \"%s\", which is no PCK CA", ca);
    rd_class class = intel->input->anchors->items[roots.index[intel->pck_chain.root_index]].class;
    intel->verdict->claims.class = class;
    rd_intel_say(intel, "issued by %s under %s, class %s", ca, rd_cert_subject_cn(intel->pck_chain.items[2]),
                 rd_class_name(class));
    return 0;
}

static int read_crl(rd_intel *intel, rd_bytes bytes, const rd_cert *issuer, rd_crl **ret, rd_err *err)
{
    int64_t time_us = intel->input->time_us;
    if (rd_crl_parse(bytes, ret, err) == 0 && rd_crl_verify(*ret, issuer, RD_CERT_P256, time_us, err) == 0)
        return 0;
    intel->verdict->is_early = *ret && time_us < rd_crl_this_update_us(*ret);
    return rd_err_wrap(err, "revocation list for %s", rd_cert_subject_cn(issuer));
}

static void note_window(rd_verdict *verdict, int64_t issued_us, int64_t expires_us)
{
    if (verdict->collateral_expires_us == 0 || expires_us < verdict->collateral_expires_us)
        verdict->collateral_expires_us = expires_us;
    if (issued_us != 0 && (verdict->collateral_issued_us == 0 || issued_us < verdict->collateral_issued_us))
        verdict->collateral_issued_us = issued_us;
}

/* attestation.md 2.3 */
int rd_intel_revocation(rd_intel *intel, rd_err *err)
{
    const rd_collateral *collateral = intel->input->collateral;
    const rd_cert *leaf = intel->pck_chain.items[0], *ca = intel->pck_chain.items[1];
    rd_verdict *verdict = intel->verdict;
    if (read_crl(intel, collateral->root_ca_crl, intel->pck_chain.items[2], &intel->root_crl, err) < 0 ||
        read_crl(intel, collateral->pck_crl, ca, &intel->pck_crl, err) < 0)
        return -1;
    if (rd_crl_contains(intel->root_crl, ca))
        return rd_err_set(err, RD_E_CA_REVOKED, "%s was revoked", rd_cert_subject_cn(ca));
    if (rd_crl_contains(intel->pck_crl, leaf))
        return rd_err_set(err, RD_E_PCK_REVOKED, "the PCK certificate was revoked");
    verdict->pck_crl_number = rd_crl_number(intel->pck_crl);
    verdict->root_crl_number = rd_crl_number(intel->root_crl);
    note_window(verdict, rd_crl_this_update_us(intel->pck_crl), rd_crl_next_update_us(intel->pck_crl));
    note_window(verdict, 0, rd_crl_next_update_us(intel->root_crl));
    rd_intel_say(intel, "neither PCK certificate nor CA revoked; %zu entries", rd_crl_count(intel->pck_crl));
    return 0;
}

/* Types 1 to 3 end in CPUSVN, PCESVN and PCEID; type 1 begins with the PPID. The two SVNs are the platform's own, which
 * may lie over those that the certificate was issued for. */
static int check_platform_named(const rd_intel_quote *quote, const rd_pck_claims *pck, rd_err *err)
{
    static const size_t id_sizes[] = { 0, 16, 256, 384 };
    rd_bytes data = quote->cert_data;
    if (quote->cert_type >= RD_ARRAY_LEN(id_sizes))
        return 0;
    if (data.size != id_sizes[quote->cert_type] + 20)
        return rd_err_set(err, RD_E_CERT_TYPE, "certification data of type %u has %zu bytes", quote->cert_type,
                          data.size);
    if (memcmp(data.data + data.size - 2, pck->pce_id, 2) != 0 ||
        (quote->cert_type == 1 && memcmp(data.data, pck->ppid, 16) != 0))
        return rd_err_set(err, RD_E_PCK_EXT, "the PCK certificate is of another platform than the quote names");
    return 0;
}

/* attestation.md 2.4 */
int rd_intel_platform(rd_intel *intel, rd_err *err)
{
    rd_claims *claims = &intel->verdict->claims;
    if (rd_pck_read(intel->pck_chain.items[0], intel->is_platform_ca, &claims->pck, err) < 0 ||
        check_platform_named(&intel->quote, &claims->pck, err) < 0)
        return -1;
    const uint8_t *raw = claims->pck.has_piid ? claims->pck.piid : claims->pck.ppid;
    rd_platform_id(claims->tee, rd_bytes_of(raw, 16), claims->platform_id);
    char fmspc[13];
    rd_hex_encode(RD_BYTES_ARRAY(claims->pck.fmspc), fmspc);
    rd_intel_say(intel, "FMSPC %s, PCE SVN %u", fmspc, claims->pck.pce_svn);
    return 0;
}

/* The signer must be the TCB signing certificate, directly under the very root of the PCK chain: any other certificate
 * of that root, and a signer under another trusted root, must not do. */
static int check_signer(rd_intel *intel, rd_bytes chain_pem, rd_certs *certs, const rd_cert **ret, rd_err *err)
{
    uint8_t root[1][32];
    rd_cert_fingerprint(intel->pck_chain.items[2], root[0]);
    rd_chain_rules rules = { .roots = root, .root_count = 1, .time_us = intel->input->time_us, .depth = 2 };
    rd_chain chain;
    if (chain_pem.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no issuer chain");
    if (rd_certs_parse_pem(chain_pem, 3, certs, err) < 0)
        return -1;
    const rd_cert *signer = find_named(certs, CN_TCB_SIGNING);
    if (!signer)
        return rd_err_set(err, RD_E_COLLATERAL_CHAIN, "issuer chain without a \"" CN_TCB_SIGNING "\"");
    if (certs->count < RD_CERT_COUNT_MAX)
        certs->items[certs->count++] = rd_cert_ref((rd_cert *)intel->pck_chain.items[2]);
    if (rd_chain_verify(signer, certs, &rules, &chain, err) < 0) {
        rd_note_early(intel->verdict, certs, rules.time_us);
        return -1;
    }
    if (rd_crl_contains(intel->root_crl, signer))
        return rd_err_set(err, RD_E_CA_REVOKED, "%s was revoked", rd_cert_subject_cn(signer));
    *ret = signer;
    return 0;
}

/* Verifies {"member":BODY,"signature":…} and hands out BODY: attestation.md 2.5. */
static int open_signed(rd_intel *intel, rd_bytes text, const char *member, rd_bytes chain_pem, rd_bytes *ret_body,
                       rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    uint8_t signature[64];
    const rd_cert *signer = NULL;
    if (rd_signed_json_split(text, member, ret_body, signature, err) < 0)
        return -1;
    if (check_signer(intel, chain_pem, &certs, &signer, err) < 0)
        return rd_err_wrap(err, "issuer chain of %s", member);
    if (!rd_cert_verify_raw(signer, *ret_body, signature))
        return rd_err_set(err, RD_E_COLLATERAL_SIG, "%s was not signed by %s", member, rd_cert_subject_cn(signer));
    return 0;
}

/* attestation.md 2.6 */
static int check_window(rd_intel *intel, const char *what, int64_t issued_us, int64_t next_update_us, rd_err *err)
{
    char at[RD_TIME_TEXT_SIZE], bound[RD_TIME_TEXT_SIZE];
    int64_t time_us = intel->input->time_us;
    bool is_early = time_us<issued_us, is_late = time_us> next_update_us;
    if (is_early || is_late) {
        intel->verdict->is_early = is_early;
        rd_time_format(time_us, at);
        rd_time_format(is_early ? issued_us : next_update_us, bound);
        return rd_err_set(err, RD_E_COLLATERAL_TIME, "%s valid %s %s, the time is %s", what,
                          is_early ? "from" : "until", bound, at);
    }
    note_window(intel->verdict, issued_us, next_update_us);
    return 0;
}

int rd_intel_tcb_info(rd_intel *intel, rd_err *err)
{
    const rd_collateral *collateral = intel->input->collateral;
    rd_tcb_info *info = &intel->tcb_info;
    rd_bytes body;
    if (open_signed(intel, collateral->tcb_info, "tcbInfo", collateral->tcb_info_chain, &body, err) < 0 ||
        rd_tcb_info_parse(body, info, err) < 0 ||
        check_window(intel, "TCB info", info->issued_us, info->next_update_us, err) < 0)
        return -1;
    intel->verdict->tcb.evaluation_number = info->evaluation_number;
    rd_intel_say(intel, "signed TCB info, evaluation number %u, %zu levels", info->evaluation_number,
                 info->levels.count);
    return 0;
}

int rd_intel_qe_identity(rd_intel *intel, rd_err *err)
{
    const rd_collateral *collateral = intel->input->collateral;
    rd_qe_identity *identity = &intel->qe_identity;
    rd_bytes body;
    if (open_signed(intel, collateral->qe_identity, "enclaveIdentity", collateral->qe_identity_chain, &body, err) < 0 ||
        rd_qe_identity_parse(body, identity, err) < 0 ||
        check_window(intel, "QE identity", identity->issued_us, identity->next_update_us, err) < 0)
        return -1;
    intel->verdict->tcb.qe_evaluation_number = identity->evaluation_number;
    rd_intel_say(intel, "signed identity of %s, evaluation number %u", identity->id, identity->evaluation_number);
    return 0;
}
