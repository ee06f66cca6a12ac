#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/intel.h"
#include "attest/pck.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define CN_LEAF      "SGX PCK Certificate"
#define CN_PLATFORM  "SGX PCK Platform CA"
#define CN_PROCESSOR "SGX PCK Processor CA"

const rd_cert *rd_intel_find_named(const rd_certs *certs, const char *part)
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
static int find_pck_certs(const rd_intel *intel, rd_certs *ret, rd_err *err)
{
    const rd_intel_quote *quote = &intel->quote;
    rd_bytes given = intel->input->collateral->pck_chain;
    unsigned type = quote->cert_type;
    if (type == RD_CERT_DATA_PCK_CHAIN)
        return rd_certs_parse_pem(quote->cert_data, 3, ret, err);
    if (type < 1 || type > RD_CERT_DATA_PCK_LEAF)
        return rd_err_set(err, RD_E_CERT_TYPE, "certification data type %u (%s), expected 1 to 5", type,
                          type < RD_ARRAY_LEN(cert_type_names) ? cert_type_names[type] : "unknown");
    if (given.size == 0)
        return rd_err_set(err, RD_E_CERT_TYPE, "certification data type %u (%s) and no PCK chain beside the quote",
                          type, cert_type_names[type]);
    return rd_certs_parse_pem(given, 3, ret, err);
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

void rd_intel_chain_free(void *object)
{
    rd_intel_chain *chain = object;
    rd_certs_done(&chain->certs);
    free(chain);
}

void rd_intel_hold(rd_intel *intel, rd_memo *memo)
{
    intel->memos[intel->memo_count++] = memo;
}

void rd_intel_done(rd_intel *intel)
{
    while (intel->memo_count > 0)
        rd_memo_unref(intel->memos[--intel->memo_count]);
}

/* attestation.md 2.2 */
static int verify_pck_chain(rd_intel *intel, const rd_roots *roots, rd_intel_chain *chain, rd_err *err)
{
    rd_chain_rules rules = {
        .roots = roots->fingerprints, .root_count = roots->count, .time_us = intel->input->time_us, .depth = 3
    };
    if (find_pck_certs(intel, &chain->certs, err) < 0)
        return rd_err_wrap(err, "PCK chain");
    if (chain->certs.count != 3)
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "PCK chain of %zu certificates, expected 3", chain->certs.count);
    const rd_cert *leaf = rd_intel_find_named(&chain->certs, CN_LEAF);
    if (!leaf)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "PCK chain without an \"" CN_LEAF "\"");
    if (check_leaf_given(intel, leaf, err) < 0)
        return -1;
    if (rd_chain_verify(leaf, &chain->certs, &rules, &chain->path, err) < 0) {
        rd_note_early(intel->verdict, &chain->certs, rules.time_us);
        return rd_err_wrap(err, "PCK chain");
    }
    return 0;
}

static int get_pck_chain(rd_intel *intel, const rd_roots *roots, rd_err *err)
{
    uint16_t type = intel->quote.cert_type;
    rd_memo_key key = { .kind = RD_MEMO_CHAIN,
                        .parts = { intel->quote.cert_data, intel->input->collateral->pck_chain,
                                   rd_bytes_of(roots->fingerprints, roots->count * sizeof roots->fingerprints[0]),
                                   rd_bytes_of(&type, sizeof type) },
                        .count = 4 };
    rd_memo *memo = rd_cache_find(intel->input->cache, &key, intel->input->time_us);
    if (memo) {
        rd_intel_hold(intel, memo);
        return 0;
    }
    rd_intel_chain *chain = rd_alloc(sizeof *chain);
    rd_intel_hold(intel, memo = rd_memo_new(chain, rd_intel_chain_free));
    if (verify_pck_chain(intel, roots, chain, err) < 0)
        return -1;
    rd_memo_bound_chain(memo, &chain->path);
    rd_cache_keep(intel->input->cache, &key, memo);
    return 0;
}

int rd_intel_pck_chain(rd_intel *intel, rd_err *err)
{
    rd_roots roots;
    rd_roots_of(intel->input->anchors, RD_TEE_TDX, &roots);
    if (get_pck_chain(intel, &roots, err) < 0)
        return -1;
    const rd_intel_chain *chain = rd_memo_object(intel->memos[intel->memo_count - 1]);
    intel->pck_chain = &chain->path;
    const char *ca = rd_cert_subject_cn(chain->path.items[1]);
    intel->is_platform_ca = strstr(ca, CN_PLATFORM) != NULL;
    if (!intel->is_platform_ca && !strstr(ca, CN_PROCESSOR))
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "PCK chain by \"%s\", which is no PCK CA", ca);
    const rd_anchor *anchor = &intel->input->anchors->items[roots.index[chain->path.root_index]];
    rd_class class = anchor->class;
    intel->verdict->claims.class = class;
    memcpy(intel->verdict->root, anchor->fingerprint, sizeof intel->verdict->root);
    rd_intel_say(intel, "issued by %s under %s, class %s", ca, rd_cert_subject_cn(chain->path.items[2]),
                 rd_class_name(class));
    return 0;
}

static void free_crl(void *crl)
{
    rd_crl_free(crl);
}

static int read_crl(rd_intel *intel, rd_bytes bytes, const rd_cert *issuer, const rd_crl **ret, rd_err *err)
{
    uint8_t issuer_id[32];
    int64_t time_us = intel->input->time_us;
    rd_cert_fingerprint(issuer, issuer_id);
    rd_memo_key key = { .kind = RD_MEMO_CRL, .parts = { bytes, RD_BYTES_ARRAY(issuer_id) }, .count = 2 };
    rd_memo *memo = rd_cache_find(intel->input->cache, &key, time_us);
    rd_crl *crl = NULL;
    if (memo) {
        rd_intel_hold(intel, memo);
        *ret = rd_memo_object(memo);
        return 0;
    }
    if (rd_crl_parse(bytes, &crl, err) < 0)
        return rd_err_wrap(err, "revocation list for %s", rd_cert_subject_cn(issuer));
    rd_intel_hold(intel, memo = rd_memo_new(crl, free_crl));
    if (rd_crl_verify(crl, issuer, RD_CERT_P256, time_us, err) < 0) {
        intel->verdict->is_early = time_us < rd_crl_this_update_us(crl);
        return rd_err_wrap(err, "revocation list for %s", rd_cert_subject_cn(issuer));
    }
    rd_memo_bound(memo, rd_crl_this_update_us(crl), rd_crl_next_update_us(crl) + 1000000);
    rd_cache_keep(intel->input->cache, &key, memo);
    *ret = crl;
    return 0;
}

void rd_intel_note_window(rd_verdict *verdict, int64_t issued_us, int64_t expires_us)
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
    const rd_cert *leaf = intel->pck_chain->items[0], *ca = intel->pck_chain->items[1];
    rd_verdict *verdict = intel->verdict;
    if (read_crl(intel, collateral->root_ca_crl, intel->pck_chain->items[2], &intel->root_crl, err) < 0 ||
        read_crl(intel, collateral->pck_crl, ca, &intel->pck_crl, err) < 0)
        return -1;
    if (rd_crl_contains(intel->root_crl, ca))
        return rd_err_set(err, RD_E_CA_REVOKED, "%s was revoked", rd_cert_subject_cn(ca));
    if (rd_crl_contains(intel->pck_crl, leaf))
        return rd_err_set(err, RD_E_PCK_REVOKED, "the PCK certificate was revoked");
    verdict->pck_crl_number = rd_crl_number(intel->pck_crl);
    verdict->root_crl_number = rd_crl_number(intel->root_crl);
    rd_intel_note_window(verdict, rd_crl_this_update_us(intel->pck_crl), rd_crl_next_update_us(intel->pck_crl));
    rd_intel_note_window(verdict, 0, rd_crl_next_update_us(intel->root_crl));
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
    if (rd_pck_read(intel->pck_chain->items[0], intel->is_platform_ca, &claims->pck, err) < 0 ||
        check_platform_named(&intel->quote, &claims->pck, err) < 0)
        return -1;
    const uint8_t *raw = claims->pck.has_piid ? claims->pck.piid : claims->pck.ppid;
    rd_platform_id(claims->tee, rd_bytes_of(raw, 16), claims->platform_id);
    char fmspc[13];
    rd_hex_encode(RD_BYTES_ARRAY(claims->pck.fmspc), fmspc);
    rd_intel_say(intel, "FMSPC %s, PCE SVN %u", fmspc, claims->pck.pce_svn);
    return 0;
}
