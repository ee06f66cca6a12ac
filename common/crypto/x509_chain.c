#include <string.h>

#include "common/base/text.h"
#include "common/crypto/x509.h"
#include "common/crypto/x509_priv.h"

#define DEPTH_MAX 4
/* Signature checks in one search: names may repeat, so the paths tried are bounded by work and not by shape alone. */
#define VERIFY_MAX 24

/* --- the search for a path --- */

typedef struct search {
    const rd_certs *others;
    const rd_chain_rules *rules;
    rd_chain *chain;
    unsigned verified;
    bool has_bad_profile, has_bad_signature, is_too_long, has_foreign_root;
} search;

static bool is_pinned(const rd_chain_rules *rules, const rd_cert *cert, size_t *ret_index)
{
    for (size_t i = 0; i < rules->root_count; i++)
        if (memcmp(rules->roots[i], cert->fingerprint, 32) == 0) {
            *ret_index = i;
            return true;
        }
    return false;
}

static bool is_in_path(const rd_chain *chain, const rd_cert *cert)
{
    for (size_t i = 0; i < chain->count; i++)
        if (memcmp(chain->items[i]->fingerprint, cert->fingerprint, 32) == 0)
            return true;
    return false;
}

/* The algorithm is the profile's. */
static bool algorithm_fits(const rd_cert *cert, rd_cert_profile profile)
{
    rd_x509_alg wanted = profile == RD_CERT_P256 ? RD_X509_ECDSA_SHA256 : RD_X509_PSS_SHA384;
    return rd_x509_algorithm_of(cert->object.algorithm) == wanted;
}

/* RFC 5280, 6.1.3 (a)(1): the certificate was signed with the issuer's key. */
static bool is_signed_by(search *s, const rd_cert *cert, const rd_cert *issuer)
{
    rd_cert_profile profile = s->rules->profile;
    if (!rd_x509_key_fits(issuer->key.kind, profile, true) || !algorithm_fits(cert, profile)) {
        s->has_bad_profile = true;
        return false;
    }
    if (s->verified++ >= VERIFY_MAX)
        return false;
    bool is_good = rd_x509_verify(&cert->object, profile, &issuer->key);
    s->has_bad_signature |= !is_good;
    return is_good;
}

static bool extend(search *s)
{
    const rd_cert *last = s->chain->items[s->chain->count - 1];
    for (size_t i = 0; i < s->others->count; i++) {
        const rd_cert *candidate = s->others->items[i];
        if (!rd_bytes_equal(rd_cert_subject(candidate), rd_cert_issuer(last)) || is_in_path(s->chain, candidate))
            continue;
        if (s->chain->count == DEPTH_MAX) {
            s->is_too_long = true;
            continue;
        }
        if (!is_signed_by(s, last, candidate))
            continue;
        s->chain->items[s->chain->count++] = candidate;
        if (is_pinned(s->rules, candidate, &s->chain->root_index) || extend(s))
            return true;
        s->has_foreign_root |= rd_cert_is_self_issued(candidate);
        s->chain->count--;
    }
    return false;
}

static int refuse_path(const search *s, const rd_cert *leaf, rd_err *err)
{
    const char *name = rd_cert_subject_cn(leaf);
    if (s->has_foreign_root)
        return rd_err_set(err, RD_E_CHAIN_ROOT, "%s: the chain ends in a root that is not trusted", name);
    if (s->has_bad_profile)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "%s: a key or signature algorithm that is not allowed", name);
    if (s->has_bad_signature)
        return rd_err_set(err, RD_E_CHAIN_SIG, "%s: a certificate was not signed by the issuer that it names", name);
    if (s->is_too_long)
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "%s: chain longer than %d certificates", name, DEPTH_MAX);
    return rd_err_set(err, RD_E_CHAIN_SHAPE, "%s: an issuer on the way to the root is missing", name);
}

/* --- checks along the path --- */

static int check_time(const rd_cert *cert, int64_t time_us, rd_err *err)
{
    char at[RD_TIME_TEXT_SIZE], bound[RD_TIME_TEXT_SIZE];
    rd_time_format(time_us, at);
    /* RFC 5280, 4.1.2.5: the validity period includes both of its ends, which are whole seconds. */
    if (time_us < cert->not_before_us) {
        rd_time_format(cert->not_before_us, bound);
        return rd_err_set(err, RD_E_CHAIN_TIME, "%s: valid from %s, the time is %s", rd_cert_subject_cn(cert), bound,
                          at);
    }
    if (time_us >= cert->not_after_us + 1000000) {
        rd_time_format(cert->not_after_us, bound);
        return rd_err_set(err, RD_E_CHAIN_TIME, "%s: valid until %s, the time is %s", rd_cert_subject_cn(cert), bound,
                          at);
    }
    return 0;
}

/* below: CA certificates between this one and the leaf. */
static int check_issuer(const rd_cert *cert, size_t below, rd_err *err)
{
    const char *name = rd_cert_subject_cn(cert);
    /* RFC 5280, 6.1.4 (k): cA is TRUE. */
    if (!rd_cert_is_ca(cert))
        return rd_err_set(err, RD_E_CHAIN_USAGE, "%s: not a CA certificate", name);
    /* RFC 5280, 6.1.4 (n): keyCertSign is set; Intel and AMD certificates always carry keyUsage. */
    if (!cert->has_key_usage || !(cert->key_usage & RD_X509_KEY_CERT_SIGN))
        return rd_err_set(err, RD_E_CHAIN_USAGE, "%s: key usage without certificate signing", name);
    /* RFC 5280, 6.1.4 (l), (m). */
    if (cert->has_path_length && below > cert->path_length)
        return rd_err_set(err, RD_E_CHAIN_USAGE, "%s: path length %u, %zu CA below", name, cert->path_length, below);
    return 0;
}

static int check_leaf(const rd_cert *cert, rd_cert_profile profile, rd_err *err)
{
    const char *name = rd_cert_subject_cn(cert);
    if (rd_cert_is_ca(cert))
        return rd_err_set(err, RD_E_CHAIN_USAGE, "%s: a CA certificate in the place of a leaf", name);
    if (cert->has_key_usage && !(cert->key_usage & RD_X509_DIGITAL_SIGNATURE))
        return rd_err_set(err, RD_E_CHAIN_USAGE, "%s: key usage without digital signature", name);
    if (!rd_x509_key_fits(cert->key.kind, profile, false))
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "%s: a kind of key that is not allowed", name);
    return 0;
}

static int check_path(const rd_chain *chain, const rd_chain_rules *rules, rd_err *err)
{
    if (rules->depth != 0 && chain->count != rules->depth)
        return rd_err_set(err, RD_E_CHAIN_SHAPE, "chain of %zu certificates, expected %zu", chain->count, rules->depth);
    for (size_t i = 0; i < chain->count; i++) {
        const rd_cert *cert = chain->items[i];
        /* RFC 5280, 6.1.4 (o), 6.1.5 (f): an unknown critical extension refuses. */
        if (cert->has_unknown_critical)
            return rd_err_set(err, RD_E_CHAIN_PROFILE, "%s: unknown critical extension", rd_cert_subject_cn(cert));
        bool is_issuer = i > 0 || rules->leaf_is_ca;
        if (!is_issuer && check_leaf(cert, rules->profile, err) < 0)
            return -1;
        if (is_issuer && check_issuer(cert, i - !rules->leaf_is_ca, err) < 0)
            return -1;
        if (check_time(cert, rules->time_us, err) < 0)
            return -1;
    }
    return 0;
}

int rd_chain_verify(const rd_cert *leaf, const rd_certs *others, const rd_chain_rules *rules, rd_chain *ret,
                    rd_err *err)
{
    rd_chain chain = { .items = { leaf }, .count = 1 };
    search s = { .others = others, .rules = rules, .chain = &chain };
    if (!extend(&s))
        return refuse_path(&s, leaf, err);
    if (check_path(&chain, rules, err) < 0)
        return -1;
    *ret = chain;
    return 0;
}
