// link: rd_attest
/* Certificates that carry evidence (rows I9 to I11): each convention accepted, and its bad neighbours refused by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>

#include "attest/ratls.h"
#include "common/crypto/hash.h"

#define NOW_S   1795435200
#define INTEROP "2.23.133.5.4.9"
#define GRAMINE "0.6.9.42.840.113741.1337.6"
#define DSTACK  "1.3.6.1.4.1.62397.1.1"

static EVP_PKEY *key;

static void extend(X509 *x509, const char *oid, const uint8_t *value, size_t size)
{
    ASN1_OBJECT *object = OBJ_txt2obj(oid, 1);
    ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(octets, value, (int)size);
    X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, octets);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(octets);
    ASN1_OBJECT_free(object);
}

/* A certificate by the test's key with one extension, or two. */
static rd_code read_with(const char *oid, const uint8_t *value, size_t size, const char *second, rd_ratls *ret)
{
    X509 *x509 = X509_new();
    rd_err err = RD_ERR_INIT;
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 7);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC, (const uint8_t *)"ratls", -1, -1, 0);
    X509_set_issuer_name(x509, X509_get_subject_name(x509));
    ASN1_TIME_set(X509_getm_notBefore(x509), NOW_S - 60);
    ASN1_TIME_set(X509_getm_notAfter(x509), NOW_S + 60);
    X509_set_pubkey(x509, key);
    if (oid)
        extend(x509, oid, value, size);
    if (second)
        extend(x509, second, value, size);
    X509_sign(x509, key, EVP_sha256());
    uint8_t *der = NULL;
    int der_size = i2d_X509(x509, &der);
    assert_true(rd_ratls_recognises(rd_bytes_of(der, (size_t)der_size)));
    int rc = rd_ratls_read(rd_bytes_of(der, (size_t)der_size), ret, &err);
    OPENSSL_free(der);
    X509_free(x509);
    return rc == 0 ? RD_OK : err.code;
}

static size_t spki_hash(uint8_t out[32])
{
    uint8_t *der = NULL;
    int size = i2d_PUBKEY(key, &der);
    rd_sha256(rd_bytes_of(der, (size_t)size), out);
    OPENSSL_free(der);
    return (size_t)size;
}

/* 60000([h'51515151', claims]); claims = {"pubkey-hash": bytes of [1, hash]}. claims_at says where the claims begin. */
static size_t interoperable(uint8_t *out, size_t *claims_at)
{
    static const uint8_t head[] = { 0xd9, 0xea, 0x60, 0x82, 0x44, 'Q', 'Q', 'Q', 'Q', 0x58, 0x32 };
    static const uint8_t claims[] = { 0xa1, 0x6b, 'p', 'u',  'b',  'k',  'e',  'y',  '-', 'h',
                                      'a',  's',  'h', 0x58, 0x24, 0x82, 0x01, 0x58, 0x20 };
    memcpy(out, head, sizeof head);
    memcpy(out + sizeof head, claims, sizeof claims);
    spki_hash(out + sizeof head + sizeof claims);
    *claims_at = sizeof head;
    out[sizeof head - 1] = (uint8_t)(sizeof claims + 32);
    return sizeof head + sizeof claims + 32;
}

static void interoperable_claims(void **state)
{
    (void)state;
    uint8_t value[128], wanted[64] = { 0 };
    size_t at = 0, size = interoperable(value, &at);
    rd_ratls ratls;
    assert_int_equal(read_with(INTEROP, value, size, NULL, &ratls), RD_OK);
    rd_sha256(rd_bytes_of(value + at, size - at), wanted);
    assert_memory_equal(ratls.report_data, wanted, 64);
    assert_true(rd_bytes_equal(ratls.evidence, RD_BYTES_LIT("QQQQ")));
    rd_ratls_done(&ratls);

    value[size - 1] ^= 1; /* another key's hash */
    assert_int_equal(read_with(INTEROP, value, size, NULL, &ratls), RD_E_RATLS_KEY);
    rd_ratls_done(&ratls);
    value[size - 1] ^= 1;
    value[at + 2] ^= 1; /* a claim of another name */
    assert_int_equal(read_with(INTEROP, value, size, NULL, &ratls), RD_E_RATLS_EXT);
    rd_ratls_done(&ratls);
    value[at + 2] ^= 1;
    value[2] ^= 1; /* tag 60001 */
    assert_int_equal(read_with(INTEROP, value, size, NULL, &ratls), RD_E_RATLS_EXT);
    rd_ratls_done(&ratls);
    value[2] ^= 1;
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(read_with(INTEROP, value, cut, NULL, &ratls), RD_E_RATLS_EXT);
        rd_ratls_done(&ratls);
    }
    for (size_t i = 0; i < size; i++) {
        value[i] ^= 1;
        rd_code code = read_with(INTEROP, value, size, NULL, &ratls);
        /* The quote's own bytes are judged by whoever verifies it. */
        assert_true(code != RD_OK || (i >= 5 && i < 9));
        rd_ratls_done(&ratls);
        value[i] ^= 1;
    }
}

static void older_extensions(void **state)
{
    (void)state;
    static const uint8_t quote[] = "QQQQ", octets[] = { 0x04, 0x04, 'Q', 'Q', 'Q', 'Q' };
    uint8_t wanted[64] = { 0 };
    rd_ratls ratls;
    assert_int_equal(read_with(GRAMINE, quote, 4, NULL, &ratls), RD_OK);
    spki_hash(wanted);
    assert_memory_equal(ratls.report_data, wanted, 64);
    rd_ratls_done(&ratls);
    assert_int_equal(read_with(DSTACK, octets, sizeof octets, NULL, &ratls), RD_OK);
    assert_true(rd_bytes_equal(ratls.evidence, RD_BYTES_LIT("QQQQ")));
    rd_ratls_done(&ratls);
    assert_int_equal(read_with(DSTACK, quote, 4, NULL, &ratls), RD_E_RATLS_EXT);
    rd_ratls_done(&ratls);
}

static void none_two_and_time(void **state)
{
    (void)state;
    static const uint8_t octets[] = { 0x04, 0x04, 'Q', 'Q', 'Q', 'Q' };
    rd_ratls ratls;
    rd_err err = RD_ERR_INIT;
    assert_int_equal(read_with(NULL, NULL, 0, NULL, &ratls), RD_E_RATLS_EXT);
    rd_ratls_done(&ratls);
    assert_int_equal(read_with(DSTACK, octets, sizeof octets, GRAMINE, &ratls), RD_E_RATLS_EXT);
    rd_ratls_done(&ratls);
    assert_int_equal(read_with(DSTACK, octets, sizeof octets, NULL, &ratls), RD_OK);
    assert_int_equal(rd_ratls_check_time(&ratls, INT64_C(1000000) * NOW_S, &err), 0);
    assert_int_equal(rd_ratls_check_time(&ratls, INT64_C(1000000) * (NOW_S + 60), &err), 0);
    assert_int_equal(rd_ratls_check_time(&ratls, INT64_C(1000000) * (NOW_S + 61), &err), -1);
    assert_int_equal(err.code, RD_E_RATLS_TIME);
    assert_int_equal(rd_ratls_check_time(&ratls, INT64_C(1000000) * (NOW_S - 61), &err), -1);
    rd_ratls_done(&ratls);
}

int main(void)
{
    key = EVP_EC_gen("P-256");
    const struct CMUnitTest tests[] = { cmocka_unit_test(interoperable_claims), cmocka_unit_test(older_extensions),
                                        cmocka_unit_test(none_two_and_time) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(key);
    return failed;
}
