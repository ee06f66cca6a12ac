/* x509_peer: libcrypto's reading of a certificate or list beside ours. Whatever ours accepts libcrypto must accept with
 * the same fields; it may be the looser one.
 * Used by the unit test and the fuzz target of the reader. */
#ifndef RD_TESTS_X509_PEER_H
#define RD_TESTS_X509_PEER_H

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "common/crypto/x509_crl.h"
#include "common/crypto/x509_priv.h"

static inline bool peer_name_is(X509_NAME *name, rd_bytes ours)
{
    const uint8_t *der = NULL;
    size_t size = 0;
    return X509_NAME_get0_der(name, &der, &size) == 1 && rd_bytes_equal(rd_bytes_of(der, size), ours);
}

static inline bool peer_cn_is(X509_NAME *name, const char *ours)
{
    unsigned char *utf8 = NULL;
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0)
        return ours[0] == 0;
    int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    bool has_nul = size > 0 && memchr(utf8, 0, (size_t)size);
    bool is_same =
        has_nul ? ours[0] == 0 : size >= 0 && strlen(ours) == (size_t)size && memcmp(ours, utf8, (size_t)size) == 0;
    OPENSSL_free(utf8);
    return is_same;
}

static inline bool peer_time_is(const ASN1_TIME *time, int64_t ours_us)
{
    struct tm tm;
    return ASN1_TIME_check(time) == 1 && ASN1_TIME_to_tm(time, &tm) == 1 && (int64_t)timegm(&tm) * 1000000 == ours_us;
}

static inline bool peer_serial_is(const ASN1_INTEGER *integer, rd_bytes ours)
{
    BIGNUM *theirs = ASN1_INTEGER_to_BN(integer, NULL), *mine = BN_bin2bn(ours.data, (int)ours.size, NULL);
    bool is_same = ASN1_STRING_type(integer) != V_ASN1_NEG_INTEGER && BN_cmp(theirs, mine) == 0;
    BN_free(theirs);
    BN_free(mine);
    return is_same;
}

static inline bool peer_extensions_are(X509 *x509, const rd_cert *ours)
{
    char oid[512];
    rd_bytes rest = ours->extensions;
    rd_x509_extension mine;
    for (int i = 0; i < X509_get_ext_count(x509); i++) {
        X509_EXTENSION *theirs = X509_get_ext(x509, i);
        const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(theirs);
        rd_bytes bytes = rd_bytes_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value)), found;
        if (!rd_x509_extension_take(&rest, &mine) || !rd_bytes_equal(mine.value, bytes) ||
            mine.is_critical != (X509_EXTENSION_get_critical(theirs) != 0))
            return false;
        /* A dotted text of arcs beyond 64 bits is none of ours to ask for. */
        int size = OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(theirs), 1);
        if (size < 60 && rd_cert_extension(ours, oid, &found) && !rd_bytes_equal(found, bytes))
            return false;
    }
    return rest.size == 0;
}

static inline bool peer_uris_are(X509 *x509, const rd_cert *ours)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    size_t count = 0;
    bool is_same = true;
    for (int i = 0; is_same && names && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI || count == RD_ARRAY_LEN(ours->san_uris))
            continue;
        rd_bytes uri = rd_bytes_of(ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
                                   (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier));
        if (uri.size && memchr(uri.data, 0, uri.size))
            continue;
        is_same = count < ours->san_uri_count && rd_bytes_equal(rd_bytes_str(ours->san_uris[count]), uri);
        count++;
    }
    GENERAL_NAMES_free(names);
    return is_same && count == ours->san_uri_count;
}

/* Extensions that libcrypto reads and nobody here does: critical they refuse a chain, else they are bytes to us. */
static inline bool peer_reads_more(X509 *x509)
{
    static const int more[] = { NID_name_constraints, NID_netscape_cert_type, NID_proxyCertInfo, NID_sbgp_ipAddrBlock,
                                NID_sbgp_autonomousSysNum };
    for (size_t i = 0; i < RD_ARRAY_LEN(more); i++)
        if (X509_get_ext_by_NID(x509, more[i], -1) >= 0)
            return true;
    return false;
}

static inline const char *peer_compare(X509 *x509, const rd_cert *ours)
{
    uint32_t flags = X509_get_extension_flags(x509);
    uint8_t *spki = NULL;
    int spki_size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &spki);
    bool is_spki = spki_size > 0 && rd_bytes_equal(rd_bytes_of(spki, (size_t)spki_size), ours->spki);
    OPENSSL_free(spki);
    if (!is_spki || !X509_get0_pubkey(x509))
        return "public key";
    /* It stops reading where one is malformed. */
    bool is_partial = (flags & EXFLAG_INVALID) && peer_reads_more(x509);
    if ((flags & EXFLAG_INVALID) && !is_partial)
        return "malformed extension";
    if (X509_get_version(x509) != X509_VERSION_3)
        return "version";
    if (!peer_serial_is(X509_get0_serialNumber(x509), ours->serial))
        return "serial number";
    if (!peer_name_is(X509_get_subject_name(x509), ours->subject) ||
        !peer_name_is(X509_get_issuer_name(x509), ours->issuer) ||
        !peer_cn_is(X509_get_subject_name(x509), ours->subject_cn) ||
        !peer_cn_is(X509_get_issuer_name(x509), ours->issuer_cn))
        return "names";
    if (!peer_time_is(X509_get0_notBefore(x509), ours->not_before_us) ||
        !peer_time_is(X509_get0_notAfter(x509), ours->not_after_us))
        return "validity";
    if (is_partial)
        return peer_extensions_are(x509, ours) ? NULL : "extensions";
    if (ours->is_ca != ((flags & EXFLAG_BCONS) && (flags & EXFLAG_CA)) ||
        (ours->has_path_length ? (long)ours->path_length : -1) != X509_get_pathlen(x509))
        return "basic constraints";
    if (ours->has_key_usage != !!(flags & EXFLAG_KUSAGE) ||
        (ours->has_key_usage && ours->key_usage != (X509_get_key_usage(x509) & 0xff)))
        return "key usage";
    if ((flags & EXFLAG_CRITICAL) && !ours->has_unknown_critical)
        return "critical extensions";
    return peer_extensions_are(x509, ours) && peer_uris_are(x509, ours) ? NULL : "extensions";
}

/* What differs; NULL: nothing. */
static inline const char *peer_of_cert(rd_bytes der, const rd_cert *ours)
{
    const uint8_t *at = der.data;
    X509 *x509 = d2i_X509(NULL, &at, (long)der.size);
    const char *what = x509 && at == der.data + der.size ? peer_compare(x509, ours) : "libcrypto refuses it";
    X509_free(x509);
    ERR_clear_error();
    return what;
}

static inline const char *peer_compare_list(X509_CRL *x509, const rd_crl *ours)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(x509);
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(x509);
    if (X509_CRL_get_version(x509) != X509_CRL_VERSION_2 ||
        !peer_name_is(X509_CRL_get_issuer(x509), rd_crl_issuer(ours)))
        return "version or issuer";
    if ((size_t)(entries ? sk_X509_REVOKED_num(entries) : 0) != rd_crl_count(ours))
        return "entries";
    if (!peer_time_is(X509_CRL_get0_lastUpdate(x509), rd_crl_this_update_us(ours)) ||
        (next ? !peer_time_is(next, rd_crl_next_update_us(ours)) : rd_crl_next_update_us(ours) != 0))
        return "times";
    ASN1_INTEGER *integer = X509_CRL_get_ext_d2i(x509, NID_crl_number, NULL, NULL);
    int64_t number = 0;
    if (integer && ASN1_INTEGER_get_int64(&number, integer) != 1)
        number = 0;
    ASN1_INTEGER_free(integer);
    return number == rd_crl_number(ours) ? NULL : "number";
}

static inline const char *peer_of_list(rd_bytes der, const rd_crl *ours)
{
    const uint8_t *at = der.data;
    X509_CRL *x509 = d2i_X509_CRL(NULL, &at, (long)der.size);
    const char *what = x509 && at == der.data + der.size ? peer_compare_list(x509, ours) : "libcrypto refuses it";
    X509_CRL_free(x509);
    ERR_clear_error();
    return what;
}

#endif
