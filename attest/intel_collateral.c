/* The two signed pieces of collateral: TCB info and enclave identity. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/intel.h"
#include "attest/signed_json.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define CN_TCB_SIGNING "SGX TCB Signing"

/* A piece with the certificate that signed it, which the current root list may revoke later on. */
typedef struct signed_piece {
    rd_tcb_info tcb_info;
    rd_qe_identity qe_identity;
    rd_certs signer;
} signed_piece;

static void free_piece(void *object)
{
    signed_piece *piece = object;
    rd_tcb_info_done(&piece->tcb_info);
    rd_qe_identity_done(&piece->qe_identity);
    rd_certs_done(&piece->signer);
    free(piece);
}

static int check_revoked(const rd_intel *intel, const rd_cert *signer, rd_err *err)
{
    if (rd_crl_contains(intel->root_crl, signer))
        return rd_err_set(err, RD_E_CA_REVOKED, "%s was revoked", rd_cert_subject_cn(signer));
    return 0;
}

/* The signer must be the TCB signing certificate, directly under the very root of the PCK chain: any other certificate
 * of that root, and a signer under another trusted root, must not do. */
static int check_signer(rd_intel *intel, rd_bytes chain_pem, rd_memo *memo, const rd_cert **ret, rd_err *err)
{
    signed_piece *piece = rd_memo_object(memo);
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    uint8_t root[1][32];
    rd_cert_fingerprint(intel->pck_chain->items[2], root[0]);
    rd_chain_rules rules = { .roots = root, .root_count = 1, .time_us = intel->input->time_us, .depth = 2 };
    rd_chain chain;
    if (chain_pem.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no issuer chain");
    if (rd_certs_parse_pem(chain_pem, 3, &certs, err) < 0)
        return -1;
    const rd_cert *signer = rd_intel_find_named(&certs, CN_TCB_SIGNING);
    if (!signer)
        return rd_err_set(err, RD_E_COLLATERAL_CHAIN, "issuer chain without a \"" CN_TCB_SIGNING "\"");
    if (certs.count < RD_CERT_COUNT_MAX)
        certs.items[certs.count++] = rd_cert_ref((rd_cert *)intel->pck_chain->items[2]);
    if (rd_chain_verify(signer, &certs, &rules, &chain, err) < 0) {
        rd_note_early(intel->verdict, &certs, rules.time_us);
        return -1;
    }
    rd_intel_bound_chain(memo, &chain);
    piece->signer.items[piece->signer.count++] = rd_cert_ref((rd_cert *)signer);
    *ret = signer;
    return check_revoked(intel, signer, err);
}

/* Verifies {"member":BODY,"signature":…} and hands out BODY: attestation.md 2.5. */
static int open_signed(rd_intel *intel, const rd_memo_key *key, const char *member, rd_memo *memo, rd_bytes *ret_body,
                       rd_err *err)
{
    uint8_t signature[64];
    const rd_cert *signer = NULL;
    if (rd_signed_json_split(key->parts[0], member, ret_body, signature, err) < 0)
        return -1;
    if (check_signer(intel, key->parts[1], memo, &signer, err) < 0)
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
    rd_intel_note_window(intel->verdict, issued_us, next_update_us);
    return 0;
}

static int parse_tcb_info(rd_bytes body, signed_piece *piece, rd_memo *memo, rd_err *err)
{
    if (rd_tcb_info_parse(body, &piece->tcb_info, err) < 0)
        return -1;
    rd_memo_bound(memo, piece->tcb_info.issued_us, piece->tcb_info.next_update_us + 1);
    return 0;
}

static int parse_qe_identity(rd_bytes body, signed_piece *piece, rd_memo *memo, rd_err *err)
{
    if (rd_qe_identity_parse(body, &piece->qe_identity, err) < 0)
        return -1;
    rd_memo_bound(memo, piece->qe_identity.issued_us, piece->qe_identity.next_update_us + 1);
    return 0;
}

/* Verified and parsed, or remembered so. An expired piece is kept too, and never found: the window decides. */
static int get_piece(rd_intel *intel, const rd_memo_key *key, const char *member,
                     int (*parse)(rd_bytes body, signed_piece *piece, rd_memo *memo, rd_err *err),
                     const signed_piece **ret, rd_err *err)
{
    rd_bytes body;
    rd_memo *memo = rd_cache_find(intel->input->cache, key, intel->input->time_us);
    bool is_known = memo != NULL;
    if (!is_known)
        memo = rd_memo_new(rd_alloc(sizeof(signed_piece)), free_piece);
    rd_intel_hold(intel, memo);
    signed_piece *piece = rd_memo_object(memo);
    *ret = piece;
    if (is_known)
        return check_revoked(intel, piece->signer.items[0], err);
    if (open_signed(intel, key, member, memo, &body, err) < 0 || parse(body, piece, memo, err) < 0)
        return -1;
    rd_cache_keep(intel->input->cache, key, memo);
    return 0;
}

int rd_intel_tcb_info(rd_intel *intel, rd_err *err)
{
    uint8_t root[32];
    const signed_piece *piece;
    rd_cert_fingerprint(intel->pck_chain->items[2], root);
    rd_memo_key key = { .kind = RD_MEMO_TCB_INFO,
                        .parts = { intel->input->collateral->tcb_info, intel->input->collateral->tcb_info_chain,
                                   RD_BYTES_ARRAY(root) },
                        .count = 3 };
    if (get_piece(intel, &key, "tcbInfo", parse_tcb_info, &piece, err) < 0)
        return -1;
    const rd_tcb_info *info = intel->tcb_info = &piece->tcb_info;
    if (check_window(intel, "TCB info", info->issued_us, info->next_update_us, err) < 0)
        return -1;
    intel->verdict->tcb.evaluation_number = info->evaluation_number;
    rd_intel_say(intel, "signed TCB info, evaluation number %u, %zu levels", info->evaluation_number,
                 info->levels.count);
    return 0;
}

int rd_intel_qe_identity(rd_intel *intel, rd_err *err)
{
    uint8_t root[32];
    const signed_piece *piece;
    rd_cert_fingerprint(intel->pck_chain->items[2], root);
    rd_memo_key key = { .kind = RD_MEMO_QE_IDENTITY,
                        .parts = { intel->input->collateral->qe_identity, intel->input->collateral->qe_identity_chain,
                                   RD_BYTES_ARRAY(root) },
                        .count = 3 };
    if (get_piece(intel, &key, "enclaveIdentity", parse_qe_identity, &piece, err) < 0)
        return -1;
    const rd_qe_identity *identity = intel->qe_identity = &piece->qe_identity;
    if (check_window(intel, "QE identity", identity->issued_us, identity->next_update_us, err) < 0)
        return -1;
    intel->verdict->tcb.qe_evaluation_number = identity->evaluation_number;
    rd_intel_say(intel, "signed identity of %s, evaluation number %u", identity->id, identity->evaluation_number);
    return 0;
}
