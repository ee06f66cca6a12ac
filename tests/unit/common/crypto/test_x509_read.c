/* The strict reader of certificates and lists: what RFC 5280 and DER leave no choice about is refused by name, whatever
 * is accepted libcrypto reads the same way, and no cut or changed bit ever verifies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_issue.h"
#include "tests/support/x509_peer.h"

#define NOW_US (INT64_C(1795435200) * 1000000)
#define DAY_US (INT64_C(86400) * 1000000)

/* --- certificates and lists by hand --- */

#define PART_MAX 600

typedef struct part {
    uint8_t data[PART_MAX];
    size_t size;
} part;

static part bytes_of(const void *data, size_t size)
{
    part ret = { .size = size };
    assert_true(size <= PART_MAX);
    if (size)
        memcpy(ret.data, data, size);
    return ret;
}

#define RAW(...)        bytes_of((const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }))
#define TEXT(tag, text) tlv(tag, bytes_of(text, sizeof(text) - 1))

static part join(part a, part b)
{
    assert_true(a.size + b.size <= PART_MAX);
    memcpy(a.data + a.size, b.data, b.size);
    a.size += b.size;
    return a;
}

static part tlv(uint8_t tag, part content)
{
    part head = RAW(tag, 0x82, (uint8_t)(content.size >> 8), (uint8_t)content.size);
    if (content.size < 0x100)
        head = RAW(tag, 0x81, (uint8_t)content.size);
    if (content.size < 0x80)
        head = RAW(tag, (uint8_t)content.size);
    return join(head, content);
}

/* An extension under id-ce; critical when is_critical. */
static part ce(uint8_t number, bool is_critical, part value)
{
    part head = RAW(0x06, 0x03, 0x55, 0x1d, number);
    if (is_critical)
        head = join(head, RAW(0x01, 0x01, 0xff));
    return tlv(0x30, join(head, tlv(0x04, value)));
}

static part attribute(uint8_t type, part text)
{
    return tlv(0x31, tlv(0x30, join(RAW(0x06, 0x03, 0x55, 0x04, type), text)));
}

/* What a certificate is made of; each of them a whole element. */
typedef struct cert_parts {
    part version, serial, algorithm, issuer, validity, subject, spki, identifiers, extensions;
    part outer_algorithm, signature, behind;
} cert_parts;

static part point_of_p256(void)
{
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = rd_p256_key_new();
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(key, spki);
    return bytes_of(spki, sizeof spki);
}

static cert_parts good_parts(void)
{
    cert_parts p = {
        .version = RAW(0xa0, 0x03, 0x02, 0x01, 0x02),
        .serial = RAW(0x02, 0x01, 0x05),
        .algorithm = tlv(0x30, RAW(0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)),
        .issuer = tlv(0x30, attribute(3, TEXT(0x0c, "issuer"))),
        .validity = tlv(0x30, join(TEXT(0x17, "200101000000Z"), TEXT(0x18, "20510101000000Z"))),
        .subject = tlv(0x30, join(attribute(3, TEXT(0x13, "subject")), attribute(10, TEXT(0x16, "org")))),
        .spki = point_of_p256(),
        .signature = RAW(0x03, 0x03, 0x00, 0x30, 0x00),
    };
    p.outer_algorithm = p.algorithm;
    p.extensions = join(ce(19, true, RAW(0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x03)),
                        ce(15, true, RAW(0x03, 0x02, 0x01, 0x06)));
    return p;
}

static void make(const cert_parts *p, rd_buf *out)
{
    part tbs = join(p->version, join(p->serial, join(p->algorithm, p->issuer)));
    tbs = join(tbs, join(p->validity, join(p->subject, join(p->spki, p->identifiers))));
    if (p->extensions.size)
        tbs = join(tbs, tlv(0xa3, tlv(0x30, p->extensions)));
    part whole = tlv(0x30, join(tlv(0x30, tbs), join(p->outer_algorithm, join(p->signature, p->behind))));
    rd_buf_clear(out);
    rd_buf_append(out, whole.data, whole.size);
}

static rd_code read_parts(const cert_parts *p)
{
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    rd_err err = RD_ERR_INIT;
    make(p, &der);
    if (rd_cert_parse_der(rd_buf_bytes(&der), &cert, &err) < 0)
        return err.code;
    assert_null(peer_of_cert(rd_buf_bytes(&der), cert));
    return RD_OK;
}

/* With one part in the place of the good one. */
#define EXPECT(code, member, ...)                                                                                      \
    do {                                                                                                               \
        cert_parts changed = good_parts();                                                                             \
        changed.member = __VA_ARGS__;                                                                                  \
        assert_int_equal(read_parts(&changed), code);                                                                  \
    } while (0)
#define REFUSED(member, ...) EXPECT(RD_E_X509_FORMAT, member, __VA_ARGS__)
#define TAKEN(member, ...)   EXPECT(RD_OK, member, __VA_ARGS__)

/* --- by name --- */

static void fields(void **state)
{
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    rd_err err = RD_ERR_INIT;
    cert_parts good = good_parts();
    (void)state;
    make(&good, &der);
    assert_int_equal(rd_cert_parse_der(rd_buf_bytes(&der), &cert, &err), 0);
    assert_null(peer_of_cert(rd_buf_bytes(&der), cert));
    assert_string_equal(rd_cert_subject_cn(cert), "subject");
    assert_string_equal(rd_cert_issuer_cn(cert), "issuer");
    assert_int_equal(rd_cert_not_before_us(cert), INT64_C(1577836800) * 1000000);
    assert_int_equal(rd_cert_not_after_us(cert), INT64_C(2556144000) * 1000000);
    assert_true(rd_cert_is_ca(cert));
    assert_int_equal(cert->path_length, 3);
    assert_int_equal(cert->key_usage, RD_X509_KEY_CERT_SIGN | RD_X509_CRL_SIGN);
    assert_int_equal(cert->key.kind, RD_X509_P256);
    assert_false(cert->has_unknown_critical);
}

static void versions_and_numbers(void **state)
{
    (void)state;
    EXPECT(RD_E_CHAIN_PROFILE, version, RAW(0xa0, 0x03, 0x02, 0x01, 0x01));
    EXPECT(RD_E_CHAIN_PROFILE, version, bytes_of(NULL, 0));
    REFUSED(version, RAW(0xa0, 0x04, 0x02, 0x02, 0x00, 0x02));
    REFUSED(version, RAW(0xa0, 0x03, 0x02, 0x01, 0x82));
    REFUSED(version, RAW(0xa0, 0x06, 0x02, 0x01, 0x02, 0x02, 0x01, 0x02));
    TAKEN(serial, RAW(0x02, 0x01, 0x00));
    TAKEN(serial, RAW(0x02, 0x02, 0x00, 0x80));
    REFUSED(serial, RAW(0x02, 0x01, 0x80));
    REFUSED(serial, RAW(0x02, 0x02, 0x00, 0x01));
    REFUSED(serial, RAW(0x02, 0x00));
    REFUSED(serial, RAW(0x22, 0x03, 0x02, 0x01, 0x01));
    part longest = { .size = 24 }, too_long = { .size = 25 };
    memset(longest.data, 0x11, sizeof longest.data);
    memset(too_long.data, 0x11, sizeof too_long.data);
    TAKEN(serial, tlv(0x02, longest));
    REFUSED(serial, tlv(0x02, too_long));
}

static void times(void **state)
{
    static const char *const bad[] = { "200101000000",  "2001010000Z",   "200101000000+", "201301000000Z",
                                       "200230000000Z", "200101240000Z", "200101006000Z", "200101000060Z",
                                       "20010100000 Z", "491231235959z", "-00101000000Z", "600101000000Z" };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(bad); i++)
        REFUSED(validity, tlv(0x30, join(tlv(0x17, bytes_of(bad[i], strlen(bad[i]))), TEXT(0x17, "400101000000Z"))));
    REFUSED(validity, tlv(0x30, join(TEXT(0x18, "20200101000000.5Z"), TEXT(0x17, "400101000000Z"))));
    REFUSED(validity, tlv(0x30, join(TEXT(0x18, "200101000000Z"), TEXT(0x17, "400101000000Z"))));
    REFUSED(validity, tlv(0x30, TEXT(0x17, "200101000000Z")));
    REFUSED(validity, tlv(0x30, join(join(TEXT(0x17, "200101000000Z"), TEXT(0x17, "400101000000Z")), RAW(0x05, 0x00))));
    TAKEN(validity, tlv(0x30, join(TEXT(0x17, "700101000000Z"), TEXT(0x18, "99991231235959Z"))));
    TAKEN(validity, tlv(0x30, join(TEXT(0x17, "000229000000Z"), TEXT(0x17, "491231235959Z"))));
}

static void names(void **state)
{
    part cn = tlv(0x30, join(RAW(0x06, 0x03, 0x55, 0x04, 0x03), TEXT(0x0c, "a")));
    part org = tlv(0x30, join(RAW(0x06, 0x03, 0x55, 0x04, 0x0a), TEXT(0x0c, "a")));
    (void)state;
    TAKEN(subject, tlv(0x30, bytes_of(NULL, 0)));
    TAKEN(subject, tlv(0x30, tlv(0x31, join(cn, org))));
    REFUSED(subject, tlv(0x30, tlv(0x31, join(org, cn)))); /* a set in another order */
    REFUSED(subject, tlv(0x30, tlv(0x31, bytes_of(NULL, 0))));
    REFUSED(subject, tlv(0x30, attribute(3, RAW(0x0c, 0x02, 0xc0, 0x80)))); /* no UTF-8 */
    REFUSED(subject, tlv(0x30, attribute(3, RAW(0x13, 0x01, 0xe9))));
    REFUSED(subject, tlv(0x30, attribute(3, RAW(0x1e, 0x02, 0x00, 0x61)))); /* BMPString */
    REFUSED(subject, tlv(0x30, attribute(3, RAW(0x2c, 0x03, 0x0c, 0x01, 0x61))));
    REFUSED(subject, tlv(0x30, tlv(0x31, tlv(0x30, RAW(0x06, 0x03, 0x55, 0x04, 0x80, 0x0c, 0x01, 0x61)))));
    REFUSED(issuer, tlv(0x31, attribute(3, TEXT(0x0c, "a"))));
}

static void common_names(void **state)
{
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
    rd_err err = RD_ERR_INIT;
    cert_parts p = good_parts();
    (void)state;
    /* Two common names are none; one with a NUL is none. */
    p.subject = tlv(0x30, join(attribute(3, TEXT(0x0c, "a")), attribute(3, TEXT(0x0c, "b"))));
    p.issuer = tlv(0x30, attribute(3, TEXT(0x0c, "a\0b")));
    make(&p, &der);
    assert_int_equal(rd_cert_parse_der(rd_buf_bytes(&der), &cert, &err), 0);
    assert_string_equal(rd_cert_subject_cn(cert), "");
    assert_string_equal(rd_cert_issuer_cn(cert), "");
    assert_null(peer_of_cert(rd_buf_bytes(&der), cert));
}

static void keys(void **state)
{
    (void)state;
    part off = good_parts().spki, compressed = RAW(0x30, 0x39), infinity, cut = off;
    off.data[off.size - 1] ^= 1;
    EXPECT(RD_E_CHAIN_PROFILE, spki, off);
    /* A compressed point is a key for libcrypto, and read by it. */
    compressed = join(compressed, bytes_of(off.data + 2, 21));
    compressed = join(compressed, RAW(0x03, 0x22, 0x00, (uint8_t)(2 | (cut.data[cut.size - 1] & 1))));
    compressed = join(compressed, bytes_of(cut.data + 27, 32));
    TAKEN(spki, compressed);
    infinity = join(join(RAW(0x30, 0x19), bytes_of(off.data + 2, 21)), RAW(0x03, 0x02, 0x00, 0x00));
    EXPECT(RD_E_CHAIN_PROFILE, spki, infinity);
    EXPECT(RD_E_CHAIN_PROFILE, spki, tlv(0x30, bytes_of(NULL, 0)));
    REFUSED(spki, RAW(0x31, 0x00));
}

static void algorithms(void **state)
{
    (void)state;
    REFUSED(algorithm, tlv(0x30, bytes_of(NULL, 0)));
    REFUSED(algorithm, tlv(0x30, RAW(0x06, 0x01, 0x80)));
    REFUSED(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x05, 0x00, 0x05, 0x00)));
    TAKEN(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x05, 0x00))); /* a chain refuses it */
    TAKEN(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x06, 0x01, 0x2a)));
    TAKEN(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x30, 0x00)));
    REFUSED(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x05, 0x01, 0x00)));
    REFUSED(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x06, 0x01, 0x80)));
    REFUSED(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x02, 0x00)));
    REFUSED(outer_algorithm, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x10, 0x00)));
    REFUSED(signature, RAW(0x03, 0x01, 0x08));
    REFUSED(signature, RAW(0x03, 0x02, 0x01, 0x01)); /* an unused bit that is set */
    REFUSED(signature, RAW(0x23, 0x04, 0x03, 0x02, 0x00, 0x01));
    REFUSED(behind, RAW(0x05, 0x00));
    REFUSED(identifiers, RAW(0x81, 0x02, 0x00, 0x01));
}

static void extensions(void **state)
{
    part constraints = ce(19, true, RAW(0x30, 0x00)), many = { 0 };
    (void)state;
    TAKEN(extensions, constraints);
    REFUSED(extensions, join(constraints, constraints));
    REFUSED(extensions, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x01, 0x01, 0x00, 0x04, 0x00))); /* FALSE written out */
    REFUSED(extensions, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x01, 0x01, 0x01, 0x04, 0x00))); /* TRUE that is not FF */
    REFUSED(extensions, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x04, 0x00, 0x05, 0x00)));
    REFUSED(extensions, tlv(0x30, RAW(0x06, 0x02, 0x2a, 0x80, 0x04, 0x00))); /* an OID that does not end */
    REFUSED(extensions, tlv(0x30, RAW(0x04, 0x00)));
    for (uint8_t i = 0; i < 33; i++)
        many = join(many, tlv(0x30, RAW(0x06, 0x02, 0x2a, i, 0x04, 0x00)));
    EXPECT(RD_E_X509_DER_LIMIT, extensions, many);
    many.size -= 8;
    TAKEN(extensions, many);
    TAKEN(extensions, tlv(0x30, RAW(0x06, 0x01, 0x2a, 0x01, 0x01, 0xff, 0x04, 0x01, 0x00))); /* a chain refuses it */
}

static void constraints_and_usage(void **state)
{
    (void)state;
    REFUSED(extensions, ce(19, true, RAW(0x30, 0x03, 0x01, 0x01, 0x00)));
    REFUSED(extensions, ce(19, true, RAW(0x30, 0x03, 0x01, 0x01, 0x7f)));
    REFUSED(extensions, ce(19, true, RAW(0x30, 0x03, 0x02, 0x01, 0x80)));
    REFUSED(extensions, ce(19, true, RAW(0x30, 0x07, 0x02, 0x05, 0x01, 0x00, 0x00, 0x00, 0x00)));
    REFUSED(extensions, ce(19, true, RAW(0x30, 0x00, 0x05, 0x00)));
    TAKEN(extensions, ce(15, true, RAW(0x03, 0x02, 0x07, 0x80)));
    TAKEN(extensions, ce(15, false, RAW(0x03, 0x03, 0x07, 0x00, 0x80)));
    REFUSED(extensions, ce(15, true, RAW(0x03, 0x01, 0x00)));
    REFUSED(extensions, ce(15, true, RAW(0x03, 0x02, 0x00, 0x00)));
    REFUSED(extensions, ce(15, true, RAW(0x03, 0x02, 0x01, 0x07)));
    REFUSED(extensions, ce(15, true, RAW(0x03, 0x04, 0x00, 0x80, 0x00, 0x01)));
    REFUSED(extensions, ce(15, true, RAW(0x04, 0x01, 0x80)));
}

static void other_extensions(void **state)
{
    part uri = TEXT(0x86, "redoubt:host:hst_1"), dns = TEXT(0x82, "host");
    part other = RAW(0xa0, 0x07, 0x06, 0x01, 0x2a, 0xa0, 0x02, 0x05, 0x00);
    part directory = tlv(0xa4, tlv(0x30, attribute(3, TEXT(0x0c, "a"))));
    (void)state;
    TAKEN(extensions, ce(17, false, tlv(0x30, join(join(dns, uri), join(other, directory)))));
    TAKEN(extensions, ce(17, true, tlv(0x30, join(RAW(0x87, 0x04, 1, 2, 3, 4), RAW(0x88, 0x01, 0x2a)))));
    REFUSED(extensions, ce(17, false, tlv(0x30, bytes_of(NULL, 0))));
    REFUSED(extensions, ce(17, false, tlv(0x30, RAW(0x86, 0x01, 0xff))));
    REFUSED(extensions, ce(17, false, tlv(0x30, RAW(0xa6, 0x03, 0x16, 0x01, 0x61))));
    REFUSED(extensions, ce(17, false, tlv(0x30, RAW(0x89, 0x00))));
    REFUSED(extensions, ce(17, false, tlv(0x30, RAW(0xa4, 0x02, 0x31, 0x00))));
    TAKEN(extensions, ce(14, false, RAW(0x04, 0x01, 0x07)));
    REFUSED(extensions, ce(14, false, RAW(0x02, 0x01, 0x07)));
    TAKEN(extensions,
          ce(35, false, tlv(0x30, join(RAW(0x80, 0x01, 0x07), join(tlv(0xa1, dns), RAW(0x82, 0x01, 0x01))))));
    REFUSED(extensions, ce(35, false, tlv(0x30, join(RAW(0x82, 0x01, 0x01), RAW(0x80, 0x01, 0x07)))));
    TAKEN(extensions, ce(37, true, RAW(0x30, 0x03, 0x06, 0x01, 0x2a)));
    REFUSED(extensions, ce(37, true, RAW(0x30, 0x00)));
    TAKEN(extensions, ce(31, false, tlv(0x30, tlv(0x30, tlv(0xa0, tlv(0xa0, uri))))));
    REFUSED(extensions, ce(31, false, tlv(0x30, tlv(0x30, tlv(0xa0, uri)))));
    REFUSED(extensions, ce(31, false, tlv(0x30, bytes_of(NULL, 0))));
    TAKEN(extensions, ce(31, false, tlv(0x30, tlv(0x30, join(RAW(0x81, 0x02, 0x06, 0x40), tlv(0xa2, uri))))));
    REFUSED(extensions, ce(31, false, tlv(0x30, tlv(0x30, RAW(0x81, 0x02, 0x06, 0x40)))));
    REFUSED(extensions, ce(31, false, tlv(0x30, RAW(0x30, 0x00))));
    TAKEN(extensions, ce(17, false, tlv(0x30, RAW(0xa0, 0x08, 0x06, 0x01, 0x2a, 0xa0, 0x03, 0x0c, 0x01, 0x61))));
    REFUSED(extensions, ce(17, false, tlv(0x30, RAW(0xa0, 0x08, 0x06, 0x01, 0x2a, 0xa0, 0x03, 0x01, 0x01, 0x07))));
}

static void critical_ones(void **state)
{
    static const struct {
        uint8_t number;
        uint8_t value[4];
        size_t size;
        bool is_unknown;
    } rows[] = {
        { 15, { 0x03, 0x02, 0x07, 0x80 }, 4, false },
        { 19, { 0x30, 0x00 }, 2, false },
        { 14, { 0x04, 0x00 }, 2, true },
        { 35, { 0x30, 0x00 }, 2, true },
        { 30, { 0x30, 0x00 }, 2, true }, /* name constraints bind whoever reads them: nobody here */
        { 36, { 0x30, 0x00 }, 2, true },
        { 32, { 0x30, 0x00 }, 2, true },
    };
    (void)state;
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++) {
        RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
        RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
        rd_err err = RD_ERR_INIT;
        cert_parts p = good_parts();
        p.extensions = ce(rows[i].number, true, bytes_of(rows[i].value, rows[i].size));
        make(&p, &der);
        assert_int_equal(rd_cert_parse_der(rd_buf_bytes(&der), &cert, &err), 0);
        assert_int_equal(cert->has_unknown_critical, rows[i].is_unknown);
    }
}

static void oids(void **state)
{
    static const uint8_t intel[] = { 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01 };
    uint8_t out[16];
    (void)state;
    assert_int_equal(rd_der_oid_of("1.2.840.113741.1.13.1", out, sizeof out), sizeof intel);
    assert_memory_equal(out, intel, sizeof intel);
    assert_int_equal(rd_der_oid_of("2.5.29.19", out, sizeof out), 3);
    assert_int_equal(rd_der_oid_of("2.5.29.19", out, 2), 0);
    assert_int_equal(rd_der_oid_of("2.5.x", out, sizeof out), 0);
    assert_int_equal(rd_der_oid_of("", out, sizeof out), 0);
}

/* --- cuts and changes --- */

typedef struct issued {
    rd_p256_key *ca_key, *key;
    rd_cert *ca, *leaf;
    rd_buf list;
} issued;

static rd_cert *issue(rd_cert_kind kind, const char *name, const rd_p256_key *key, const rd_cert *by,
                      const rd_p256_key *by_key)
{
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_cert *cert = NULL;
    rd_err err = RD_ERR_INIT;
    rd_cert_spec spec = { .kind = kind,
                          .common_name = name,
                          .organization = "tests",
                          .san_uri = kind == RD_CERT_KIND_CA ? NULL : "redoubt:host:hst_1",
                          .path_length = 0,
                          .not_before_us = NOW_US - DAY_US,
                          .not_after_us = NOW_US + DAY_US };
    rd_p256_key_spki(key, spki);
    assert_int_equal(rd_cert_issue(&spec, RD_BYTES_ARRAY(spki), by, by_key, &cert, &err), 0);
    return cert;
}

static int setup(void **state)
{
    static issued all;
    rd_err err = RD_ERR_INIT;
    all = (issued){ .ca_key = rd_p256_key_new(), .key = rd_p256_key_new() };
    all.ca = issue(RD_CERT_KIND_CA, "a CA", all.ca_key, NULL, all.ca_key);
    all.leaf = issue(RD_CERT_KIND_CLIENT, "a client", all.key, all.ca, all.ca_key);
    rd_bytes serial = rd_cert_serial(all.leaf);
    rd_crl_spec spec = {
        .this_update_us = NOW_US, .next_update_us = NOW_US + DAY_US, .number = 9, .revoked = &serial, .revoked_count = 1
    };
    assert_int_equal(rd_crl_issue(&spec, all.ca, all.ca_key, &all.list, &err), 0);
    *state = &all;
    return 0;
}

static int teardown(void **state)
{
    issued *all = *state;
    rd_cert_free(all->ca);
    rd_cert_free(all->leaf);
    rd_p256_key_free(all->ca_key);
    rd_p256_key_free(all->key);
    rd_buf_done(&all->list);
    return 0;
}

/* In memory of its own size, so that a read past the end is seen. */
static uint8_t *copy_of(rd_bytes bytes)
{
    uint8_t *copy = rd_alloc(bytes.size ? bytes.size : 1);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

static bool verifies(const rd_cert *leaf, const rd_cert *ca)
{
    uint8_t roots[1][32];
    rd_chain chain;
    rd_certs others = { .items = { (rd_cert *)ca }, .count = 1 };
    rd_chain_rules rules = { .roots = roots, .root_count = 1, .time_us = NOW_US };
    rd_cert_fingerprint(ca, roots[0]);
    return rd_chain_verify(leaf, &others, &rules, &chain, NULL) == 0;
}

static void cut_certificates(void **state)
{
    issued *all = *state;
    rd_bytes der = rd_cert_der(all->leaf);
    for (size_t size = 0; size < der.size; size++) {
        RD_CLEANUP(rd_free_p) uint8_t *copy = copy_of(rd_bytes_of(der.data, size));
        rd_cert *cert = NULL;
        assert_int_equal(rd_cert_parse_der(rd_bytes_of(copy, size), &cert, NULL), -1);
    }
    assert_true(verifies(all->leaf, all->ca));
}

static void changed_certificates(void **state)
{
    issued *all = *state;
    rd_bytes der = rd_cert_der(all->leaf);
    RD_CLEANUP(rd_free_p) uint8_t *copy = copy_of(der);
    for (size_t bit = 0; bit < der.size * 8; bit++) {
        RD_CLEANUP(rd_cert_free_p) rd_cert *cert = NULL;
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (rd_cert_parse_der(rd_bytes_of(copy, der.size), &cert, NULL) == 0) {
            const char *what = peer_of_cert(rd_bytes_of(copy, der.size), cert);
            if (what)
                print_message("bit %zu: %s\n", bit, what);
            assert_null(what);
            assert_false(verifies(cert, all->ca));
        }
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void cut_lists(void **state)
{
    issued *all = *state;
    rd_bytes der = rd_buf_bytes(&all->list);
    for (size_t size = 0; size < der.size; size++) {
        RD_CLEANUP(rd_free_p) uint8_t *copy = copy_of(rd_bytes_of(der.data, size));
        rd_crl *crl = NULL;
        assert_int_equal(rd_crl_parse(rd_bytes_of(copy, size), &crl, NULL), -1);
    }
}

static void changed_lists(void **state)
{
    issued *all = *state;
    rd_bytes der = rd_buf_bytes(&all->list);
    RD_CLEANUP(rd_free_p) uint8_t *copy = copy_of(der);
    for (size_t bit = 0; bit < der.size * 8; bit++) {
        RD_CLEANUP(rd_crl_free_p) rd_crl *crl = NULL;
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (rd_crl_parse(rd_bytes_of(copy, der.size), &crl, NULL) == 0) {
            assert_null(peer_of_list(rd_bytes_of(copy, der.size), crl));
            assert_int_equal(rd_crl_verify(crl, all->ca, RD_CERT_P256, NOW_US, NULL), -1);
        }
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(versions_and_numbers),
        cmocka_unit_test(times),
        cmocka_unit_test(names),
        cmocka_unit_test(common_names),
        cmocka_unit_test(keys),
        cmocka_unit_test(algorithms),
        cmocka_unit_test(extensions),
        cmocka_unit_test(constraints_and_usage),
        cmocka_unit_test(other_extensions),
        cmocka_unit_test(critical_ones),
        cmocka_unit_test(oids),
        cmocka_unit_test(cut_certificates),
        cmocka_unit_test(changed_certificates),
        cmocka_unit_test(cut_lists),
        cmocka_unit_test(changed_lists),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
