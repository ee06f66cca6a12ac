/* Certificates, chains, lists and requests that we issue ourselves, and what the readers refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "common/crypto/x509_crl.h"
#include "common/crypto/x509_der.h"
#include "common/crypto/x509_issue.h"

#define NOW_US (INT64_C(1795435200) * 1000000)
#define DAY_US (INT64_C(86400) * 1000000)

typedef struct fixture {
    rd_p256_key *ca_key, *key;
    rd_cert *ca, *client;
} fixture;

static rd_cert_spec spec_of(rd_cert_kind kind, const char *name)
{
    return (rd_cert_spec){ .kind = kind,
                           .common_name = name,
                           .path_length = 0,
                           .not_before_us = NOW_US - DAY_US,
                           .not_after_us = NOW_US + DAY_US };
}

static rd_cert *issue(const rd_cert_spec *spec, const rd_p256_key *key, const rd_cert *issuer,
                      const rd_p256_key *issuer_key)
{
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_cert *cert = NULL;
    rd_err err = RD_ERR_INIT;
    rd_p256_key_spki(key, spki);
    if (rd_cert_issue(spec, RD_BYTES_ARRAY(spki), issuer, issuer_key, &cert, &err) < 0)
        print_message("%s\n", err.text);
    assert_non_null(cert);
    return cert;
}

static int setup(void **state)
{
    static fixture f;
    f.ca_key = rd_p256_key_new();
    f.key = rd_p256_key_new();
    rd_cert_spec ca = spec_of(RD_CERT_KIND_CA, "plane CA"), client = spec_of(RD_CERT_KIND_CLIENT, "hst_1");
    client.san_uri = "redoubt:host:hst_1";
    f.ca = issue(&ca, f.ca_key, NULL, f.ca_key);
    f.client = issue(&client, f.key, f.ca, f.ca_key);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    rd_p256_key_free(f->ca_key);
    rd_p256_key_free(f->key);
    rd_cert_free(f->ca);
    rd_cert_free(f->client);
    return 0;
}

static void accessors(void **state)
{
    fixture *f = *state;
    uint8_t ours[32], theirs[32];
    assert_string_equal(rd_cert_subject_cn(f->client), "hst_1");
    assert_string_equal(rd_cert_issuer_cn(f->client), "plane CA");
    assert_string_equal(rd_cert_san_uri(f->client, 0), "redoubt:host:hst_1");
    assert_null(rd_cert_san_uri(f->client, 1));
    assert_true(rd_cert_is_ca(f->ca) && !rd_cert_is_ca(f->client));
    assert_true(rd_cert_is_self_issued(f->ca) && !rd_cert_is_self_issued(f->client));
    assert_int_equal(rd_cert_not_before_us(f->client), NOW_US - DAY_US);
    assert_int_equal(rd_cert_not_after_us(f->client), NOW_US + DAY_US);
    rd_p256_key_spki_digest(f->key, ours);
    rd_cert_spki_digest(f->client, theirs);
    assert_memory_equal(ours, theirs, 32);
    rd_bytes value;
    assert_true(rd_cert_extension(f->client, "2.5.29.37", &value));
    assert_false(rd_cert_extension(f->client, "1.2.3.4", &value));
}

static void pem(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    rd_err err = RD_ERR_INIT;
    rd_cert_to_pem(f->client, &text);
    rd_cert_to_pem(f->ca, &text);
    rd_buf_append_u8(&text, 0);
    assert_int_equal(rd_certs_parse_pem(rd_buf_bytes(&text), 2, &certs, &err), 0);
    assert_int_equal(certs.count, 2);
    assert_true(rd_bytes_equal(rd_cert_der(certs.items[0]), rd_cert_der(f->client)));
    rd_certs more = { 0 };
    assert_int_equal(rd_certs_parse_pem(rd_buf_bytes(&text), 1, &more, &err), -1);
    assert_int_equal(rd_certs_parse_pem(RD_BYTES_NULL, 2, &more, &err), -1);
    assert_int_equal(err.code, RD_E_CHAIN_SHAPE);
    text.size--;
    rd_buf_append_str(&text, "garbage");
    assert_int_equal(rd_certs_parse_pem(rd_buf_bytes(&text), 3, &more, &err), -1);
    assert_int_equal(err.code, RD_E_X509_FORMAT);
    static const char encrypted[] =
        "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END CERTIFICATE-----\n";
    assert_int_equal(rd_certs_parse_pem(RD_BYTES_LIT(encrypted), 3, &more, &err), -1);
}

static rd_code chain_code(const rd_cert *leaf, const rd_cert *ca, const rd_cert *root, int64_t time_us)
{
    uint8_t roots[1][32];
    rd_cert_fingerprint(root, roots[0]);
    rd_certs others = { .items = { (rd_cert *)ca, (rd_cert *)leaf }, .count = 2 };
    rd_chain_rules rules = { .roots = roots, .root_count = 1, .time_us = time_us };
    rd_chain chain;
    rd_err err = RD_ERR_INIT;
    return rd_chain_verify(leaf, &others, &rules, &chain, &err) == 0 ? RD_OK : err.code;
}

static void chains(void **state)
{
    fixture *f = *state;
    assert_int_equal(chain_code(f->client, f->ca, f->ca, NOW_US), RD_OK);
    assert_int_equal(chain_code(f->client, f->ca, f->ca, NOW_US + DAY_US), RD_OK);
    assert_int_equal(chain_code(f->client, f->ca, f->ca, NOW_US + DAY_US + 1000000), RD_E_CHAIN_TIME);
    assert_int_equal(chain_code(f->client, f->ca, f->ca, NOW_US - DAY_US - 1), RD_E_CHAIN_TIME);
    assert_int_equal(chain_code(f->client, f->ca, f->client, NOW_US), RD_E_CHAIN_ROOT);
    /* The CA's name with another key: who signed is not who is named. */
    rd_cert_spec spec = spec_of(RD_CERT_KIND_CA, "plane CA");
    RD_CLEANUP(rd_p256_key_free_p) rd_p256_key *key = rd_p256_key_new();
    RD_CLEANUP(rd_cert_free_p) rd_cert *impostor = issue(&spec, key, NULL, key);
    assert_int_equal(chain_code(f->client, impostor, impostor, NOW_US), RD_E_CHAIN_SIG);
    /* A client certificate issues nothing. */
    rd_cert_spec below = spec_of(RD_CERT_KIND_CLIENT, "hst_2");
    RD_CLEANUP(rd_cert_free_p) rd_cert *child = issue(&below, key, f->client, f->key);
    assert_int_equal(chain_code(child, f->client, f->client, NOW_US), RD_E_CHAIN_USAGE);
}

static void lists(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    RD_CLEANUP(rd_crl_free_p) rd_crl *crl = NULL;
    rd_bytes serial = rd_cert_serial(f->client);
    rd_crl_spec spec = {
        .this_update_us = NOW_US, .next_update_us = NOW_US + DAY_US, .number = 9, .revoked = &serial, .revoked_count = 1
    };
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_crl_issue(&spec, f->ca, f->ca_key, &der, &err), 0);
    assert_int_equal(rd_crl_parse(rd_buf_bytes(&der), &crl, &err), 0);
    assert_int_equal(rd_crl_verify(crl, f->ca, RD_CERT_P256, NOW_US, &err), 0);
    assert_int_equal(rd_crl_number(crl), 9);
    assert_true(rd_crl_contains(crl, f->client));
    assert_false(rd_crl_contains(crl, f->ca));
    assert_int_equal(rd_crl_verify(crl, f->client, RD_CERT_P256, NOW_US, &err), -1);
    assert_int_equal(err.code, RD_E_CRL_ISSUER);
    assert_int_equal(rd_crl_verify(crl, f->ca, RD_CERT_P256, NOW_US - 1, &err), -1);
    assert_int_equal(err.code, RD_E_CRL_TIME);
}

static void requests(void **state)
{
    fixture *f = *state;
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    RD_CLEANUP(rd_csr_done) rd_csr csr = { 0 };
    uint8_t digest[32];
    rd_err err = RD_ERR_INIT;
    assert_int_equal(rd_csr_create(f->key, "hst_1", &text, &err), 0);
    assert_int_equal(rd_csr_parse(rd_buf_bytes(&text), &csr, &err), 0);
    assert_string_equal(csr.common_name, "hst_1");
    rd_p256_key_spki_digest(f->key, digest);
    assert_memory_equal(digest, csr.spki_digest, 32);
    rd_csr bad;
    for (size_t i = 0; i < text.size; i++) {
        text.data[i] ^= 0x04;
        if (rd_csr_parse(rd_buf_bytes(&text), &bad, &err) == 0) {
            assert_memory_equal(bad.spki_digest, digest, 32);
            rd_csr_done(&bad);
        }
        text.data[i] ^= 0x04;
    }
    static const char encrypted[] =
        "-----BEGIN CERTIFICATE REQUEST-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n"
        "-----END CERTIFICATE REQUEST-----\n";
    assert_int_equal(rd_csr_parse(RD_BYTES_LIT(encrypted), &bad, &err), -1);
}

static void der_limits(void **state)
{
    fixture *f = *state;
    rd_err err = RD_ERR_INIT;
    uint8_t deep[64];
    for (size_t i = 0; i < sizeof deep; i += 2) {
        deep[i] = 0x30;
        deep[i + 1] = (uint8_t)(sizeof deep - i - 2);
    }
    assert_int_equal(rd_der_check(RD_BYTES_ARRAY(deep), 1000, &err), -1);
    assert_int_equal(err.code, RD_E_X509_DER_LIMIT);
    const uint8_t indefinite[] = { 0x30, 0x80, 0x00, 0x00 };
    assert_int_equal(rd_der_check(RD_BYTES_ARRAY(indefinite), 1000, &err), -1);
    assert_int_equal(err.code, RD_E_X509_FORMAT);
    const uint8_t not_minimal[] = { 0x30, 0x81, 0x02, 0x05, 0x00 };
    assert_int_equal(rd_der_check(RD_BYTES_ARRAY(not_minimal), 1000, &err), -1);
    RD_CLEANUP(rd_buf_done) rd_buf wide = { 0 };
    rd_buf_append(&wide, (const uint8_t[]){ 0x30, 0x82, 0x27, 0x10 }, 4);
    for (int i = 0; i < 5000; i++)
        rd_buf_append(&wide, (const uint8_t[]){ 0x05, 0x00 }, 2);
    rd_cert *cert = NULL;
    assert_int_equal(rd_cert_parse_der(rd_buf_bytes(&wide), &cert, &err), -1);
    assert_int_equal(err.code, RD_E_X509_DER_LIMIT);
    RD_CLEANUP(rd_buf_done) rd_buf longer = { 0 };
    rd_buf_append_bytes(&longer, rd_cert_der(f->ca));
    rd_buf_append_u8(&longer, 0);
    assert_int_equal(rd_cert_parse_der(rd_buf_bytes(&longer), &cert, &err), -1);
    for (size_t size = 0; size < longer.size - 1; size++)
        assert_int_equal(rd_cert_parse_der(rd_bytes_of(longer.data, size), &cert, &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(accessors), cmocka_unit_test(pem),
                                        cmocka_unit_test(chains),    cmocka_unit_test(lists),
                                        cmocka_unit_test(requests),  cmocka_unit_test(der_limits) };
    return cmocka_run_group_tests(tests, setup, teardown);
}
