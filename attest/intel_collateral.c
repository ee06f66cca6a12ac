/* The two signed pieces of collateral: TCB info and enclave identity. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/intel.h"
#include "attest/signed_json.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define CN_TCB_SIGNING "SGX TCB Signing"

/* A piece that was verified. Its signer is another memo, as the two pieces have the same one in practice. */
typedef struct signed_piece {
    rd_tcb_info tcb_info;
    rd_qe_identity qe_identity;
} signed_piece;

static void free_piece(void *object)
{
    signed_piece *piece = object;
    rd_tcb_info_done(&piece->tcb_info);
    rd_qe_identity_done(&piece->qe_identity);
    free(piece);
}

/* The signer must be the TCB signing certificate, directly under the very root of the PCK chain: any other certificate
 * of that root, and a signer under another trusted root, must not do. */
static int verify_signer(rd_intel *intel, rd_bytes chain_pem, rd_intel_chain *chain, rd_err *err)
{
    uint8_t root[1][32];
    rd_cert *pinned = (rd_cert *)intel->pck_chain->items[2];
    rd_certs known = { .items = { pinned }, .count = 1 };
    rd_cert_fingerprint(pinned, root[0]);
    rd_chain_rules rules = { .roots = root, .root_count = 1, .time_us = intel->input->time_us, .depth = 2 };
    if (chain_pem.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no issuer chain");
    if (rd_certs_parse_pem_known(chain_pem, 3, &known, &chain->certs, err) < 0)
        return -1;
    const rd_cert *signer = rd_intel_find_named(&chain->certs, CN_TCB_SIGNING);
    if (!signer)
        return rd_err_set(err, RD_E_COLLATERAL_CHAIN, "issuer chain without a \"" CN_TCB_SIGNING "\"");
    chain->certs.items[chain->certs.count++] = rd_cert_ref(pinned);
    if (rd_chain_verify(signer, &chain->certs, &rules, &chain->path, err) < 0) {
        rd_note_early(intel->verdict, &chain->certs, rules.time_us);
        return -1;
    }
    return 0;
}

/* The chain that verified the other piece of this very call, or one that is remembered. */
static rd_memo *find_signer(rd_intel *intel, const rd_memo_key *key)
{
    if (intel->signer && rd_bytes_equal(intel->signer_pem, key->parts[0]))
        return intel->signer;
    rd_memo *memo = rd_cache_find(intel->input->cache, key, intel->input->time_us);
    if (memo)
        rd_intel_hold(intel, memo);
    return memo;
}

static int get_signer(rd_intel *intel, rd_bytes chain_pem, rd_memo **ret, rd_err *err)
{
    uint8_t root[32];
    rd_cert_fingerprint(intel->pck_chain->items[2], root);
    rd_memo_key key = { .kind = RD_MEMO_SIGNER, .parts = { chain_pem, RD_BYTES_ARRAY(root) }, .count = 2 };
    rd_memo *memo = find_signer(intel, &key);
    if (!memo) {
        rd_intel_chain *chain = rd_alloc(sizeof *chain);
        rd_intel_hold(intel, memo = rd_memo_new(chain, rd_intel_chain_free));
        if (verify_signer(intel, chain_pem, chain, err) < 0)
            return -1;
        rd_memo_bound_chain(memo, &chain->path);
        rd_cache_keep(intel->input->cache, &key, memo);
    }
    intel->signer = memo;
    intel->signer_pem = chain_pem;
    *ret = memo;
    const rd_cert *signer = ((const rd_intel_chain *)rd_memo_object(memo))->path.items[0];
    if (rd_crl_contains(intel->root_crl, signer))
        return rd_err_set(err, RD_E_CA_REVOKED, "%s was revoked", rd_cert_subject_cn(signer));
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

typedef int (*piece_parser)(rd_bytes body, signed_piece *piece, rd_memo *memo, rd_err *err);

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

/* Verifies {"member":BODY,"signature":…} and parses BODY: attestation.md 2.5. */
static int open_piece(rd_intel *intel, const rd_memo_key *key, const char *member, piece_parser parse, rd_memo *memo,
                      rd_err *err)
{
    uint8_t signature[64];
    rd_bytes body;
    rd_memo *signer_memo;
    if (rd_signed_json_split(key->parts[0], member, &body, signature, err) < 0)
        return -1;
    if (get_signer(intel, key->parts[1], &signer_memo, err) < 0)
        return rd_err_wrap(err, "issuer chain of %s", member);
    const rd_cert *signer = ((const rd_intel_chain *)rd_memo_object(signer_memo))->path.items[0];
    if (!rd_cert_verify_raw(signer, body, signature))
        return rd_err_set(err, RD_E_COLLATERAL_SIG, "%s was not signed by %s", member, rd_cert_subject_cn(signer));
    return parse(body, rd_memo_object(memo), memo, err);
}

/* Verified and parsed, or remembered so; then its signer is looked up on today's list all the same. */
static int get_piece(rd_intel *intel, const rd_memo_key *key, const char *member, piece_parser parse,
                     const signed_piece **ret, rd_err *err)
{
    rd_memo *signer;
    rd_memo *memo = rd_cache_find(intel->input->cache, key, intel->input->time_us);
    if (memo) {
        rd_intel_hold(intel, memo);
        *ret = rd_memo_object(memo);
        return get_signer(intel, key->parts[1], &signer, err);
    }
    rd_intel_hold(intel, memo = rd_memo_new(rd_alloc(sizeof(signed_piece)), free_piece));
    if (open_piece(intel, key, member, parse, memo, err) < 0)
        return -1;
    rd_cache_keep(intel->input->cache, key, memo);
    *ret = rd_memo_object(memo);
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
