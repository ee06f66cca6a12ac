#include "attest/ratls.h"

#include <string.h>

#include "attest/cbor.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/crypto/x509_der.h"

#define TAG_TEE_QUOTE 60000 /* over [quote, claims] */

/* RFC 6920 hash ids, as the interoperable claims name them. */
enum { HASH_SHA256 = 1, HASH_SHA384 = 7, HASH_SHA512 = 8 };

bool rd_ratls_recognises(rd_bytes bytes)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----";
    if (bytes.size > sizeof pem && memcmp(bytes.data, pem, sizeof pem - 1) == 0)
        return true;
    /* A long DER SEQUENCE that fills the bytes; a quote of version 0x8230 does not exist. */
    return bytes.size > 4 && bytes.data[0] == RD_DER_SEQUENCE && bytes.data[1] == 0x82 &&
           ((size_t)bytes.data[2] << 8 | bytes.data[3]) + 4 == bytes.size;
}

static int malformed(const char *what, rd_err *err)
{
    return rd_err_set(err, RD_E_RATLS_EXT, "the evidence extension is malformed: %s", what);
}

/* --- interoperable: 2.23.133.5.4.9 --- */

/* "pubkey-hash": a byte string that holds [hash id, hash] over the SubjectPublicKeyInfo. */
static int check_key_hash(rd_bytes value, const rd_cert *cert, rd_err *err)
{
    rd_cursor in = rd_cursor_of(value);
    rd_bytes spki = rd_cert_spki(cert), hash;
    uint8_t wanted[64];
    uint64_t count = 0, id = 0;
    if (!rd_cbor_head(&in, RD_CBOR_ARRAY, &count) || count != 2 || !rd_cbor_head(&in, RD_CBOR_UINT, &id) ||
        !rd_cbor_string(&in, RD_CBOR_BYTES, &hash) || !rd_cursor_is_done(&in))
        return malformed("pubkey-hash is not [hash id, hash]", err);
    rd_hash_alg alg = id == HASH_SHA384 ? RD_SHA384 : id == HASH_SHA512 ? RD_SHA512 : RD_SHA256;
    size_t size = id == HASH_SHA384 ? 48 : id == HASH_SHA512 ? 64 : 32;
    if (id != HASH_SHA256 && id != HASH_SHA384 && id != HASH_SHA512)
        return malformed("pubkey-hash of an unknown algorithm", err);
    rd_hasher hasher;
    rd_hasher_init(&hasher, alg);
    rd_hasher_update(&hasher, spki);
    rd_hasher_final(&hasher, wanted);
    if (hash.size != size || !rd_equal_ct(hash.data, wanted, size))
        return rd_err_set(err, RD_E_RATLS_KEY, "the claims are about another key than the certificate's");
    return 0;
}

static int read_claims(rd_bytes claims, const rd_cert *cert, rd_err *err)
{
    rd_cursor in = rd_cursor_of(claims);
    uint64_t count = 0;
    bool has_key = false, has_nonce = false;
    if (!rd_cbor_head(&in, RD_CBOR_MAP, &count) || count > 2)
        return malformed("claims are not a map of pubkey-hash and nonce", err);
    for (uint64_t i = 0; i < count; i++) {
        rd_bytes name, value;
        if (!rd_cbor_string(&in, RD_CBOR_TEXT, &name) || !rd_cbor_string(&in, RD_CBOR_BYTES, &value))
            return malformed("a claim is not a name and bytes", err);
        bool is_key = rd_bytes_equal(name, RD_BYTES_LIT("pubkey-hash"));
        /* A claim that nobody here knows could change what the others mean. */
        if (!is_key && !rd_bytes_equal(name, RD_BYTES_LIT("nonce")))
            return malformed("an unknown claim", err);
        bool *seen = is_key ? &has_key : &has_nonce;
        if (*seen)
            return malformed("a claim stands twice", err);
        *seen = true;
        if (is_key && check_key_hash(value, cert, err) < 0)
            return -1;
    }
    if (!rd_cursor_is_done(&in) || !has_key)
        return malformed("claims without pubkey-hash, or bytes behind them", err);
    return 0;
}

static int read_interoperable(rd_bytes value, rd_ratls *ret, rd_err *err)
{
    rd_cursor in = rd_cursor_of(value);
    uint64_t tag = 0, count = 0;
    rd_bytes claims;
    if (!rd_cbor_head(&in, RD_CBOR_TAG, &tag))
        return malformed("no CBOR tag", err);
    if (tag != TAG_TEE_QUOTE)
        return rd_err_set(err, RD_E_RATLS_EXT, "evidence of CBOR tag %llu, expected %d (TEE quote)",
                          (unsigned long long)tag, TAG_TEE_QUOTE);
    if (!rd_cbor_head(&in, RD_CBOR_ARRAY, &count) || count != 2 ||
        !rd_cbor_string(&in, RD_CBOR_BYTES, &ret->evidence) || !rd_cbor_string(&in, RD_CBOR_BYTES, &claims) ||
        !rd_cursor_is_done(&in))
        return malformed("not [quote, claims]", err);
    rd_sha256(claims, ret->report_data);
    return read_claims(claims, ret->cert, err);
}

/* --- Gramine's older extension: the quote as it is --- */

static int read_gramine(rd_bytes value, rd_ratls *ret, rd_err *err)
{
    (void)err;
    ret->evidence = value;
    rd_sha256(rd_cert_spki(ret->cert), ret->report_data);
    return 0;
}

/* --- dstack: SHA-512("ratls-cert:" ‖ public key) --- */

static int read_dstack(rd_bytes value, rd_ratls *ret, rd_err *err)
{
    rd_hasher hasher;
    rd_bytes log;
    if (!rd_der_take(&value, RD_DER_OCTET_STRING, &ret->evidence) || value.size != 0)
        return malformed("the quote is not one OCTET STRING", err);
    if (rd_cert_extension(ret->cert, "1.3.6.1.4.1.62397.1.2", &log) &&
        (!rd_der_take(&log, RD_DER_OCTET_STRING, &ret->event_log) || log.size != 0))
        return malformed("the event log is not one OCTET STRING", err);
    rd_hasher_init(&hasher, RD_SHA512);
    rd_hasher_update(&hasher, RD_BYTES_LIT("ratls-cert:"));
    rd_hasher_update(&hasher, rd_cert_spki(ret->cert));
    rd_hasher_final(&hasher, ret->report_data);
    return 0;
}

static int read_unknown(rd_bytes value, rd_ratls *ret, rd_err *err)
{
    (void)value;
    (void)ret;
    return rd_err_set(err, RD_E_RATLS_EXT, "dstack's later attestation extension is not known here");
}

static const struct {
    const char *oid;
    const char *convention;
    int (*read)(rd_bytes value, rd_ratls *ret, rd_err *err);
} conventions[] = {
    { "2.23.133.5.4.9", "interoperable", read_interoperable },
    /* The content octets hold a tag and length of their own: 06 09 2a 86 48 86 f8 4d 8a 39 06. */
    { "0.6.9.42.840.113741.1337.6", "gramine", read_gramine },
    { "1.3.6.1.4.1.62397.1.1", "dstack", read_dstack },
    { "1.3.6.1.4.1.62397.1.8", "dstack", read_unknown },
};

static int read_cert(rd_bytes bytes, rd_cert **ret, rd_err *err)
{
    return bytes.size > 0 && bytes.data[0] == '-' ? rd_cert_parse_pem(bytes, ret, err)
                                                  : rd_cert_parse_der(bytes, ret, err);
}

int rd_ratls_read(rd_bytes bytes, rd_ratls *ret, rd_err *err)
{
    *ret = (rd_ratls){ 0 };
    size_t found = RD_ARRAY_LEN(conventions);
    rd_bytes value = RD_BYTES_NULL, this;
    if (read_cert(bytes, &ret->cert, err) < 0)
        return -1;
    for (size_t i = 0; i < RD_ARRAY_LEN(conventions); i++) {
        if (!rd_cert_extension(ret->cert, conventions[i].oid, &this))
            continue;
        if (found < RD_ARRAY_LEN(conventions))
            return rd_err_set(err, RD_E_RATLS_EXT, "two evidence extensions");
        found = i;
        value = this;
    }
    if (found == RD_ARRAY_LEN(conventions))
        return rd_err_set(err, RD_E_RATLS_EXT, "the certificate carries no evidence");
    ret->convention = conventions[found].convention;
    if (conventions[found].read(value, ret, err) < 0)
        return -1;
    if (rd_cert_is_self_issued(ret->cert) && !rd_cert_verifies_itself(ret->cert))
        return rd_err_set(err, RD_E_RATLS_KEY, "the certificate was not signed with its own key");
    return 0;
}

int rd_ratls_check_time(const rd_ratls *ratls, int64_t time_us, rd_err *err)
{
    char bound[RD_TIME_TEXT_SIZE];
    bool is_early = time_us < rd_cert_not_before_us(ratls->cert);
    if (!is_early && time_us < rd_cert_not_after_us(ratls->cert) + 1000000)
        return 0;
    rd_time_format(is_early ? rd_cert_not_before_us(ratls->cert) : rd_cert_not_after_us(ratls->cert), bound);
    return rd_err_set(err, RD_E_RATLS_TIME, "the certificate is valid %s %s", is_early ? "from" : "until", bound);
}

void rd_ratls_done(rd_ratls *ratls)
{
    rd_cert_free_p(&ratls->cert);
}
