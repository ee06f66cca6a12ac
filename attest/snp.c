#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attest/cache.h"
#include "attest/intel_quote.h"
#include "attest/snp_report.h"
#include "attest/vcek.h"
#include "attest/verifier.h"
#include "common/base/mem.h"
#include "common/crypto/x509_crl.h"

#define POLICY_DEBUG (UINT64_C(1) << 19)
#define CERTS_MAX    6 /* VCEK and VLEK, ASK and ASVK, ARK, and one more */

/* A chain that was verified: VCEK or VLEK, ASK or ASVK, ARK. */
typedef struct snp_chain {
    rd_certs certs;
    rd_chain path; /* borrowed from certs */
    bool is_vlek;
} snp_chain;

typedef struct snp {
    const rd_attest_input *input;
    rd_verdict *verdict;
    rd_snp_report report;
    rd_memo *chain_memo, *list_memo; /* hold what is borrowed below */
    const snp_chain *chain;
    rd_snp_product product;
    char detail[160];
} snp;

#define say(s, ...) (void)snprintf((s)->detail, sizeof(s)->detail, __VA_ARGS__)

/* A report's version has four bytes, of which the upper two are zero; a quote has its key type there. Where they are
 * not, the size decides. What has Intel's vendor id in its place is a quote, whatever its key type says. */
bool rd_snp_recognises(rd_bytes quote)
{
    if (rd_intel_has_vendor(quote))
        return false;
    return quote.size == RD_SNP_REPORT_SIZE || (quote.size >= 4 && quote.data[2] == 0 && quote.data[3] == 0);
}

static int read_format(snp *s, rd_err *err)
{
    rd_claims *claims = &s->verdict->claims;
    int rc = rd_snp_report_parse(s->input->quote, &s->report, err);
    claims->tee = RD_TEE_SNP;
    claims->has_fields = s->input->quote.size == RD_SNP_REPORT_SIZE;
    claims->format_version = (uint16_t)s->report.claims.version;
    claims->snp = s->report.claims;
    claims->is_debug = s->report.claims.policy & POLICY_DEBUG;
    memcpy(claims->report_data, s->report.report_data, 64);
    say(s, "snp report version %u", s->report.claims.version);
    return rc;
}

static const rd_cert *find_kind(const rd_certs *certs, const char *kind)
{
    for (size_t i = 0; i < certs->count; i++)
        if (strstr(rd_cert_subject_cn(certs->items[i]), kind) && !rd_cert_is_ca(certs->items[i]))
            return certs->items[i];
    return NULL;
}

/* A host may offer both: the one of the kind that the report names, else the other, which check_key refuses. */
static const rd_cert *find_leaf(const rd_certs *certs, bool is_vlek)
{
    const rd_cert *leaf = find_kind(certs, is_vlek ? "VLEK" : "VCEK");
    return leaf ? leaf : find_kind(certs, is_vlek ? "VCEK" : "VLEK");
}

static const rd_cert *find_issuer(const rd_certs *certs, const rd_cert *cert)
{
    for (size_t i = 0; i < certs->count; i++)
        if (rd_bytes_equal(rd_cert_subject(certs->items[i]), rd_cert_issuer(cert)))
            return certs->items[i];
    return NULL;
}

/* What nobody gave is said as such, before a search for a path fails on it. */
static int check_complete(snp *s, const rd_certs *certs, const rd_cert *leaf, rd_err *err)
{
    const rd_cert *ask = find_issuer(certs, leaf);
    if (certs->count < 3 && !ask) {
        s->verdict->is_short = true;
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no certificate of %s, which issued the %s",
                          rd_cert_issuer_cn(leaf), rd_cert_subject_cn(leaf));
    }
    if (certs->count < 3 && !find_issuer(certs, ask)) {
        s->verdict->is_short = true;
        return rd_err_set(err, RD_E_CHAIN_ROOT, "no certificate of %s, the root", rd_cert_issuer_cn(ask));
    }
    return 0;
}

/* attestation.md 5.3, 2 */
static int verify_chain(snp *s, const rd_roots *roots, snp_chain *chain, rd_err *err)
{
    rd_chain_rules rules = { .roots = roots->fingerprints,
                             .root_count = roots->count,
                             .time_us = s->input->time_us,
                             .depth = 3,
                             .profile = RD_CERT_AMD };
    if (rd_certs_parse_mixed(s->input->collateral->snp_chain, CERTS_MAX, &chain->certs, err) < 0)
        return -1;
    const rd_cert *leaf = find_leaf(&chain->certs, s->report.signing_key == 1);
    if (!leaf)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "neither VCEK nor VLEK among the certificates");
    if (check_complete(s, &chain->certs, leaf, err) < 0)
        return -1;
    if (rd_chain_verify(leaf, &chain->certs, &rules, &chain->path, err) < 0) {
        rd_note_early(s->verdict, &chain->certs, rules.time_us);
        return -1;
    }
    const char *name = rd_cert_subject_cn(leaf), *issuer = rd_cert_subject_cn(chain->path.items[1]);
    chain->is_vlek = strstr(name, "VLEK") != NULL;
    if (chain->is_vlek != (strstr(issuer, "VLEK") != NULL))
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "%s by %s, which signs the other kind of key", name, issuer);
    return 0;
}

static void free_chain(void *object)
{
    snp_chain *chain = object;
    rd_certs_done(&chain->certs);
    free(chain);
}

/* Which leaf is taken depends on the kind of key that the report names. */
static int get_chain(snp *s, const rd_roots *roots, rd_err *err)
{
    uint8_t is_vlek = s->report.signing_key == 1;
    rd_memo_key key = { .kind = RD_MEMO_SNP_CHAIN,
                        .parts = { s->input->collateral->snp_chain,
                                   rd_bytes_of(roots->fingerprints, roots->count * sizeof roots->fingerprints[0]),
                                   rd_bytes_of(&is_vlek, sizeof is_vlek) },
                        .count = 3 };
    s->chain_memo = rd_cache_find(s->input->cache, &key, s->input->time_us);
    if (s->chain_memo)
        return 0;
    snp_chain *chain = rd_alloc(sizeof *chain);
    s->chain_memo = rd_memo_new(chain, free_chain);
    if (verify_chain(s, roots, chain, err) < 0)
        return -1;
    rd_memo_bound_chain(s->chain_memo, &chain->path);
    rd_cache_keep(s->input->cache, &key, s->chain_memo);
    return 0;
}

static int check_chain(snp *s, rd_err *err)
{
    rd_roots roots;
    rd_roots_of(s->input->anchors, RD_TEE_SNP, &roots);
    if (get_chain(s, &roots, err) < 0)
        return -1;
    s->chain = rd_memo_object(s->chain_memo);
    const rd_chain *path = &s->chain->path;
    const rd_anchor *anchor = &s->input->anchors->items[roots.index[path->root_index]];
    s->verdict->claims.class = anchor->class;
    memcpy(s->verdict->root, anchor->fingerprint, sizeof s->verdict->root);
    s->verdict->collateral_expires_us = rd_cert_not_after_us(path->items[0]);
    say(s, "%s by %s under %s", rd_cert_subject_cn(path->items[0]), rd_cert_subject_cn(path->items[1]),
        rd_cert_subject_cn(path->items[2]));
    return 0;
}

static void free_list(void *list)
{
    rd_crl_free(list);
}

static int get_list(snp *s, rd_bytes bytes, const rd_cert *issuer, rd_err *err)
{
    uint8_t issuer_id[32];
    rd_crl *crl = NULL;
    rd_cert_fingerprint(issuer, issuer_id);
    rd_memo_key key = { .kind = RD_MEMO_SNP_CRL, .parts = { bytes, RD_BYTES_ARRAY(issuer_id) }, .count = 2 };
    s->list_memo = rd_cache_find(s->input->cache, &key, s->input->time_us);
    if (s->list_memo)
        return 0;
    if (rd_crl_parse(bytes, &crl, err) < 0)
        return -1;
    s->list_memo = rd_memo_new(crl, free_list);
    if (rd_crl_verify(crl, issuer, RD_CERT_AMD, s->input->time_us, err) < 0) {
        s->verdict->is_early = s->input->time_us < rd_crl_this_update_us(crl);
        return -1;
    }
    rd_memo_bound(s->list_memo, rd_crl_this_update_us(crl), rd_crl_next_update_us(crl) + 1000000);
    rd_cache_keep(s->input->cache, &key, s->list_memo);
    return 0;
}

/* AMD publishes one list for each ARK; it is checked when it is given. */
static int check_revocation(snp *s, rd_err *err)
{
    rd_bytes bytes = s->input->collateral->snp_crl;
    const rd_chain *path = &s->chain->path;
    if (bytes.size == 0) {
        say(s, "no revocation list was given");
        return 0;
    }
    if (get_list(s, bytes, path->items[2], err) < 0)
        return -1;
    const rd_crl *crl = rd_memo_object(s->list_memo);
    for (size_t i = 0; i < 2; i++)
        if (rd_crl_contains(crl, path->items[i]))
            return rd_err_set(err, RD_E_CA_REVOKED, "%s was revoked", rd_cert_subject_cn(path->items[i]));
    s->verdict->root_crl_number = rd_crl_number(crl);
    s->verdict->collateral_issued_us = rd_crl_this_update_us(crl);
    s->verdict->collateral_expires_us = RD_MIN(s->verdict->collateral_expires_us, rd_crl_next_update_us(crl));
    say(s, "not revoked");
    return 0;
}

/* "Milan-B0", "Genoa", "Turin": compared up to the dash; leaf, issuer and CPU must agree. */
static int check_product(snp *s, rd_err *err)
{
    s->product = rd_vcek_product(s->chain->path.items[0]);
    if (s->product == 0 || !strstr(rd_cert_subject_cn(s->chain->path.items[1]), rd_snp_product_names[s->product]))
        return rd_err_set(err, RD_E_SNP_PRODUCT, "the certificate's product is not its issuer's");
    if (s->report.has_product && s->report.product == 0)
        return rd_err_set(err, RD_E_SNP_PRODUCT, "CPU family 0x%02x model 0x%02x is not known",
                          s->report.claims.cpuid[0], s->report.claims.cpuid[1]);
    if (s->report.has_product && s->report.product != s->product)
        return rd_err_set(err, RD_E_SNP_PRODUCT, "certificate for %s, report of %s", rd_snp_product_names[s->product],
                          rd_snp_product_names[s->report.product]);
    s->verdict->claims.snp.product = s->product;
    say(s, "%s", rd_snp_product_names[s->product]);
    return 0;
}

static int check_key(snp *s, rd_err *err)
{
    if (s->report.signing_key != (s->chain->is_vlek ? 1u : 0u))
        return rd_err_set(err, RD_E_KEY_KIND, "the report names signing key %u, the certificate is a %s",
                          s->report.signing_key, s->chain->is_vlek ? "VLEK" : "VCEK");
    say(s, "%s", s->chain->is_vlek ? "VLEK" : "VCEK");
    return 0;
}

/* attestation.md 5.3, 4: the key was derived for exactly the TCB that the report names. */
static int check_tcb(snp *s, rd_err *err)
{
    rd_snp_tcb reported, certified;
    if (rd_vcek_tcb(s->chain->path.items[0], s->product, &certified, err) < 0)
        return -1;
    rd_snp_tcb_read(s->report.claims.reported_tcb, s->product, &reported);
    if (reported.boot_loader != certified.boot_loader || reported.tee != certified.tee ||
        reported.snp != certified.snp || reported.microcode != certified.microcode ||
        (s->product == RD_SNP_TURIN && reported.fmc != certified.fmc))
        return rd_err_set(err, RD_E_TCB_CERT_MISMATCH, "the certificate is for another TCB than the report names");
    say(s, "boot loader %u, TEE %u, SNP %u, microcode %u", reported.boot_loader, reported.tee, reported.snp,
        reported.microcode);
    return 0;
}

static int check_chip(snp *s, rd_err *err)
{
    static const uint8_t zeros[64];
    const uint8_t *chip_id = s->report.claims.chip_id;
    uint8_t named[64];
    rd_platform_id(RD_TEE_SNP, rd_bytes_of(chip_id, 64), s->verdict->claims.platform_id);
    if (s->chain->is_vlek) {
        say(s, "a VLEK names no chip");
        return 0;
    }
    if (rd_vcek_chip(s->chain->path.items[0], s->product, named, err) < 0)
        return -1;
    /* The host may hide the chip in its reports. The key that signed is that chip's all the same, by its certificate;
     * whether that will do is the policy's affair. */
    s->verdict->claims.snp.is_chip_masked = s->report.is_chip_masked || memcmp(chip_id, zeros, 64) == 0;
    if (memcmp(chip_id, named, 64) != 0 && !s->verdict->claims.snp.is_chip_masked)
        return rd_err_set(err, RD_E_CHIP_ID, "the certificate is for another chip");
    rd_platform_id(RD_TEE_SNP, RD_BYTES_ARRAY(named), s->verdict->claims.platform_id);
    say(s, "%s",
        s->verdict->claims.snp.is_chip_masked ? "the report hides its chip, the certificate names it"
                                              : "the certificate is for this chip");
    return 0;
}

static int check_signature(snp *s, rd_err *err)
{
    rd_bytes range = rd_bytes_of(s->input->quote.data, RD_SNP_SIGNED_SIZE);
    if (!rd_cert_verify_raw_p384(s->chain->path.items[0], range, s->report.signature))
        return rd_err_set(err, RD_E_SNP_SIG, "the report was not signed by the certificate's key");
    say(s, "signed by the certificate's key");
    return 0;
}

/* Behind the signature: what is not zero there was changed on the way, or says something that nobody here can read. */
static int check_reserved(snp *s, rd_err *err)
{
    if (rd_snp_report_check_reserved(s->input->quote, s->report.claims.version, err) < 0)
        return -1;
    say(s, "reserved ranges are zero");
    return 0;
}

/* attestation.md 5.3, in its order. */
static const struct {
    const char *name;
    int (*run)(snp *s, rd_err *err);
} steps[] = {
    { "format", read_format },
    { "snp_chain", check_chain },
    { "revocation", check_revocation },
    { "product", check_product },
    { "key", check_key },
    { "tcb", check_tcb },
    { "platform", check_chip },
    { "report_signature", check_signature },
    { "reserved", check_reserved },
};

static void done(snp *s)
{
    rd_memo_unref(s->chain_memo);
    rd_memo_unref(s->list_memo);
}

static int verify(const rd_attest_input *input, rd_verdict *verdict, rd_err *err)
{
    RD_CLEANUP(done) snp s = { .input = input, .verdict = verdict };
    bool is_alone = input->collateral->snp_chain.size == 0 && input->collateral->snp_crl.size == 0;
    for (size_t i = 0; i < (is_alone ? 1 : RD_ARRAY_LEN(steps)); i++) {
        s.detail[0] = 0;
        if (steps[i].run(&s, err) < 0)
            return rd_step_failed(verdict, steps[i].name, err);
        rd_step_ok(verdict, steps[i].name, "%s", s.detail);
    }
    verdict->holds_alone = is_alone;
    return is_alone ? rd_step_no_collateral(verdict, err) : 0;
}

const rd_verifier rd_verifier_snp = { .name = "snp", .recognises = rd_snp_recognises, .verify = verify };
