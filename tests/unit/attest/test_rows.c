// link: test_evidence
/* One thing spoiled at a time; rows are named after the rows of the bad-input matrix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/evidence_builder.h"

typedef struct row {
    const char *name;
    ev_stage stage;
    ev_spoiler spoil;
    rd_code want;
} row;

/* --- A: container --- */

enum { SIGNATURE_SIZE = 632, SIGNATURE = 636, KEY = 700, OUTER_TYPE = 764, OUTER_SIZE = 766, QE_REPORT = 770 };
enum { QE_SIGNATURE = 1154, AUTH_SIZE = 1218, AUTH = 1220, INNER_TYPE = 1252, INNER_SIZE = 1254 };

#define QUOTE_SPOILER(name, ...)                                                                                       \
    static void name(ev_builder *b)                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }

static void put32(ev_builder *b, size_t offset, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        b->quote.data[offset + (size_t)i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get32(const ev_builder *b, size_t offset)
{
    uint32_t value = 0;
    for (int i = 3; i >= 0; i--)
        value = value << 8 | b->quote.data[offset + (size_t)i];
    return value;
}

QUOTE_SPOILER(header_only, b->quote.size = 48)
QUOTE_SPOILER(one_byte, b->quote.size = 1)
QUOTE_SPOILER(trailing_one, rd_buf_append_u8(&b->quote, 1))
QUOTE_SPOILER(trailing_zeros, rd_buf_append(&b->quote, (uint8_t[64]){ 0 }, 64))
QUOTE_SPOILER(auth_larger, put32(b, SIGNATURE_SIZE, get32(b, SIGNATURE_SIZE) + 1))
QUOTE_SPOILER(auth_smaller, put32(b, SIGNATURE_SIZE, get32(b, SIGNATURE_SIZE) - 1))
QUOTE_SPOILER(auth_zero, put32(b, SIGNATURE_SIZE, 0))
QUOTE_SPOILER(auth_max, put32(b, SIGNATURE_SIZE, UINT32_MAX))
QUOTE_SPOILER(outer_max, put32(b, OUTER_SIZE, UINT32_MAX))
QUOTE_SPOILER(inner_max, put32(b, INNER_SIZE, UINT32_MAX))
QUOTE_SPOILER(inner_one_less, put32(b, INNER_SIZE, get32(b, INNER_SIZE) - 1))
QUOTE_SPOILER(qe_auth_max, b->quote.data[AUTH_SIZE] = 0xff; b->quote.data[AUTH_SIZE + 1] = 0xff)
QUOTE_SPOILER(qe_auth_zero, b->quote.data[AUTH_SIZE] = 0)
QUOTE_SPOILER(version_0, b->quote.data[0] = 0)
QUOTE_SPOILER(version_2, b->quote.data[0] = 2)
QUOTE_SPOILER(version_6, b->quote.data[0] = 6)
QUOTE_SPOILER(version_max, b->quote.data[0] = 0xff; b->quote.data[1] = 0xff)
QUOTE_SPOILER(v3_with_tdx, b->quote.data[0] = 3)
QUOTE_SPOILER(tee_unknown, b->quote.data[4] = 0x82)
QUOTE_SPOILER(key_type_1, b->quote.data[2] = 1)
QUOTE_SPOILER(key_type_3, b->quote.data[2] = 3)
QUOTE_SPOILER(key_type_255, b->quote.data[2] = 255)
QUOTE_SPOILER(vendor, b->quote.data[12] ^= 1)
QUOTE_SPOILER(reserved, b->quote.data[8] = 1)
QUOTE_SPOILER(v5_no_descriptor, b->quote.data[0] = 5)
QUOTE_SPOILER(cert_outer_5, b->quote.data[OUTER_TYPE] = 5)
QUOTE_SPOILER(cert_inner_1, b->quote.data[INNER_TYPE] = 1)
QUOTE_SPOILER(cert_inner_3, b->quote.data[INNER_TYPE] = 3)
QUOTE_SPOILER(cert_inner_4, b->quote.data[INNER_TYPE] = 4)
QUOTE_SPOILER(cert_inner_6, b->quote.data[INNER_TYPE] = 6)
QUOTE_SPOILER(cert_inner_7, b->quote.data[INNER_TYPE] = 7)

/* --- B: signatures and QE --- */

static const uint8_t p256_order[32] = { 0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                        0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51 };

QUOTE_SPOILER(flip_header, ev_flip(&b->quote, 30))
QUOTE_SPOILER(flip_mrtd, ev_flip(&b->quote, 184))
QUOTE_SPOILER(flip_report_data, ev_flip(&b->quote, 631))
QUOTE_SPOILER(flip_r, ev_flip(&b->quote, SIGNATURE))
QUOTE_SPOILER(flip_s, ev_flip(&b->quote, SIGNATURE + 63))
QUOTE_SPOILER(r_s_zero, memset(b->quote.data + SIGNATURE, 0, 64))
QUOTE_SPOILER(r_is_n, memcpy(b->quote.data + SIGNATURE, p256_order, 32))
QUOTE_SPOILER(s_above_n, memset(b->quote.data + SIGNATURE + 32, 0xff, 32))
QUOTE_SPOILER(flip_qe_report, ev_flip(&b->quote, QE_REPORT + 300))
QUOTE_SPOILER(flip_qe_signature, ev_flip(&b->quote, QE_SIGNATURE))
QUOTE_SPOILER(flip_auth_data, ev_flip(&b->quote, AUTH))
QUOTE_SPOILER(flip_key, ev_flip(&b->quote, KEY))

static void r_s_one(ev_builder *b)
{
    memset(b->quote.data + SIGNATURE, 0, 64);
    b->quote.data[SIGNATURE + 31] = b->quote.data[SIGNATURE + 63] = 1;
}

/* The QE report vouches for the bad key, so that the key itself is what refuses. */
static void bind_key(ev_builder *b, const uint8_t key[64])
{
    rd_hasher hasher;
    memcpy(b->quote.data + KEY, key, 64);
    rd_hasher_init(&hasher, RD_SHA256);
    rd_hasher_update(&hasher, rd_bytes_of(key, 64));
    rd_hasher_update(&hasher, rd_bytes_of(b->quote.data + AUTH, 32));
    rd_hasher_final(&hasher, b->quote.data + QE_REPORT + 320);
    assert_int_equal(
        rd_p256_sign(b->pck_key, rd_bytes_of(b->quote.data + QE_REPORT, 384), b->quote.data + QE_SIGNATURE, NULL), 0);
}

QUOTE_SPOILER(key_zero, bind_key(b, (const uint8_t[64]){ 0 }))
QUOTE_SPOILER(key_off_curve, bind_key(b, (const uint8_t[64]){ 1, 2, 3 }))
QUOTE_SPOILER(qe_tail, b->qe.report[352] = 1)
QUOTE_SPOILER(qe_other_key, b->qe.report[320] ^= 1)
QUOTE_SPOILER(qe_signer, b->qe.report[128] ^= 1)
QUOTE_SPOILER(qe_prod_id, b->qe.report[256] = 1)
QUOTE_SPOILER(qe_misc, b->qe.report[16] = 1)
QUOTE_SPOILER(qe_attributes_inside, b->qe.report[48] |= 0x20)
QUOTE_SPOILER(qe_attributes_outside, b->qe.report[56] ^= 0xff)
QUOTE_SPOILER(qe_debug, b->qe.report[48] |= 0x02)
QUOTE_SPOILER(qe_svn_below, b->qe.report[258] = 1)
QUOTE_SPOILER(qe_svn_old, b->qe.report[258] = 3)
QUOTE_SPOILER(qe_revoked, ev_replace(&b->qe_identity_body, "UpToDate", "Revoked"))
QUOTE_SPOILER(qe_id_qe, ev_replace(&b->qe_identity_body, "TD_QE", "QE"))
QUOTE_SPOILER(qe_mask_short,
              ev_replace(&b->qe_identity_body, "\"miscselectMask\":\"FFFFFFFF\"", "\"miscselectMask\":\"FFFFFF\""))
QUOTE_SPOILER(qe_mask_missing, ev_replace(&b->qe_identity_body, "attributesMask", "attributesMusk"))

static void qe_other_pck(ev_builder *b)
{
    rd_p256_key *other = rd_p256_key_new();
    assert_int_equal(
        rd_p256_sign(other, rd_bytes_of(b->quote.data + QE_REPORT, 384), b->quote.data + QE_SIGNATURE, NULL), 0);
    rd_p256_key_free(other);
}

/* --- C: chains and lists --- */

static void chain_of_two(ev_builder *b)
{
    ev_set_chain(b, (const rd_cert *const[]){ b->pck, b->ca.platform }, 2);
}

static void chain_of_one(ev_builder *b)
{
    ev_set_chain(b, (const rd_cert *const[]){ b->pck }, 1);
}

static void chain_of_four(ev_builder *b)
{
    ev_set_chain(b, (const rd_cert *const[]){ b->pck, b->ca.platform, b->ca.root, b->ca.root }, 4);
}

static void chain_other_order(ev_builder *b)
{
    ev_set_chain(b, (const rd_cert *const[]){ b->pck, b->ca.root, b->ca.platform }, 3);
}

static void chain_not_pem(ev_builder *b)
{
    rd_buf_clear(&b->qe.pck_chain);
    rd_buf_append_str(&b->qe.pck_chain, "no certificates here");
}

static void chain_nul_ended(ev_builder *b)
{
    rd_buf_append_u8(&b->qe.pck_chain, 0);
}

/* The names of the real ones, the keys of somebody else. */
static void impostor_root(ev_builder *b)
{
    agent_sim_ca other;
    rd_cert *leaf = NULL;
    uint8_t spki[RD_P256_SPKI_SIZE];
    rd_p256_key_spki(b->pck_key, spki);
    assert_int_equal(agent_sim_ca_make(b->issued_us, &other, NULL), 0);
    assert_int_equal(
        agent_sim_pck_issue(&other, rd_buf_bytes(&b->extension), RD_BYTES_ARRAY(spki), b->issued_us, &leaf, NULL), 0);
    rd_buf_clear(&b->qe.pck_chain);
    agent_sim_pck_chain(&other, leaf, &b->qe.pck_chain);
    rd_cert_free(leaf);
    agent_sim_ca_done(&other);
}

static void flip_signature(ev_builder *b, const rd_cert *victim)
{
    RD_CLEANUP(rd_buf_done) rd_buf der = { 0 };
    RD_CLEANUP(rd_cert_free_p) rd_cert *bad = NULL;
    rd_buf_append_bytes(&der, rd_cert_der(victim));
    der.data[der.size - 1] ^= 1;
    assert_int_equal(rd_cert_parse_der(rd_buf_bytes(&der), &bad, NULL), 0);
    const rd_cert *chain[3] = { b->pck, b->ca.platform, b->ca.root };
    for (size_t i = 0; i < 3; i++)
        if (chain[i] == victim)
            chain[i] = bad;
    ev_set_chain(b, chain, 3);
}

QUOTE_SPOILER(leaf_flipped, flip_signature(b, b->pck))
QUOTE_SPOILER(platform_flipped, flip_signature(b, b->ca.platform))
QUOTE_SPOILER(root_flipped, flip_signature(b, b->ca.root))

static void leaf_between(ev_builder *b, int64_t from_us, int64_t to_us)
{
    rd_cert_spec spec = ev_leaf_spec(b);
    spec.not_before_us = from_us;
    spec.not_after_us = to_us;
    ev_reissue(b, &spec);
}

#define SECOND_US 1000000
QUOTE_SPOILER(leaf_expired, leaf_between(b, b->issued_us, EV_NOW_US - SECOND_US))
QUOTE_SPOILER(leaf_last_second, leaf_between(b, b->issued_us, EV_NOW_US))
QUOTE_SPOILER(leaf_first_second, leaf_between(b, EV_NOW_US, EV_NOW_US + AGENT_SIM_DAY_US))
QUOTE_SPOILER(leaf_early, leaf_between(b, EV_NOW_US + SECOND_US, EV_NOW_US + AGENT_SIM_DAY_US))

/* The platform CA again, as the spoiler wants it, with leaf and chain. */
static void other_platform_ca(ev_builder *b, rd_cert_spec spec)
{
    rd_cert_free(b->ca.platform);
    b->ca.platform = ev_issue(&spec, b->ca.platform_key, b->ca.root, b->ca.root_key);
    rd_cert_spec leaf = ev_leaf_spec(b);
    ev_reissue(b, &leaf);
}

static rd_cert_spec ca_spec(const ev_builder *b, const char *name)
{
    rd_cert_spec spec = ev_leaf_spec(b);
    spec.kind = RD_CERT_KIND_CA;
    spec.path_length = 0;
    spec.common_name = name;
    return spec;
}

#define PLATFORM_NAME "Redoubt Simulation SGX PCK Platform CA"

static void ca_expired(ev_builder *b)
{
    rd_cert_spec spec = ca_spec(b, PLATFORM_NAME);
    spec.not_after_us = EV_NOW_US - SECOND_US;
    other_platform_ca(b, spec);
}

static void ca_not_a_ca(ev_builder *b)
{
    rd_cert_spec spec = ca_spec(b, PLATFORM_NAME);
    spec.kind = RD_CERT_KIND_SIGNER;
    other_platform_ca(b, spec);
}

QUOTE_SPOILER(ca_wrong_name, other_platform_ca(b, ca_spec(b, "Redoubt Simulation Other CA")))
QUOTE_SPOILER(processor_ca_piid, other_platform_ca(b, ca_spec(b, "Redoubt Simulation SGX PCK Processor CA")))

static void leaf_is_ca(ev_builder *b)
{
    rd_cert_spec spec = ca_spec(b, ev_leaf_spec(b).common_name);
    ev_reissue(b, &spec);
}

static void leaf_wrong_name(ev_builder *b)
{
    rd_cert_spec spec = ev_leaf_spec(b);
    spec.common_name = "Redoubt Simulation Something Else";
    ev_reissue(b, &spec);
}

/* One CA more than the root's path length allows, and than the chain may be long. */
static void one_ca_more(ev_builder *b)
{
    rd_cert_spec spec = ca_spec(b, "Redoubt Simulation Extra CA");
    rd_p256_key *key = rd_p256_key_new();
    rd_cert *extra = ev_issue(&spec, key, b->ca.root, b->ca.root_key);
    rd_cert_spec platform = ca_spec(b, PLATFORM_NAME);
    rd_cert_free(b->ca.platform);
    b->ca.platform = ev_issue(&platform, b->ca.platform_key, extra, key);
    rd_cert_spec leaf = ev_leaf_spec(b);
    ev_reissue(b, &leaf);
    ev_set_chain(b, (const rd_cert *const[]){ b->pck, b->ca.platform, extra, b->ca.root }, 4);
    rd_cert_free(extra);
    rd_p256_key_free(key);
}

/* --- the extension --- */

static void without_extension(ev_builder *b)
{
    rd_cert_spec spec = ev_leaf_spec(b);
    rd_cert_free(b->pck);
    b->pck = ev_issue(&spec, b->pck_key, b->ca.platform, b->ca.platform_key);
    ev_set_chain(b, (const rd_cert *const[]){ b->pck, b->ca.platform, b->ca.root }, 3);
}

/* The OID's last arc stands 11 bytes into an entry of the outer SEQUENCE; FMSPC is .4, PPID .1. */
static void rename_entry(ev_builder *b, uint8_t id, uint8_t to)
{
    const uint8_t oid[] = { 0x06, 0x0a, 0x2a, 0x86, 0x48, 0x86, 0xf8, 0x4d, 0x01, 0x0d, 0x01, id };
    uint8_t *at = memmem(b->extension.data, b->extension.size, oid, sizeof oid);
    assert_non_null(at);
    at[sizeof oid - 1] = to;
}

QUOTE_SPOILER(fmspc_doubled, rename_entry(b, 3, 4))
QUOTE_SPOILER(ppid_missing, rename_entry(b, 1, 9))
QUOTE_SPOILER(extension_trailing, rd_buf_append_u8(&b->extension, 0))
QUOTE_SPOILER(extension_cut, b->extension.size -= 1)
QUOTE_SPOILER(extension_empty, b->extension.size = 0)

static void svn_over_127(ev_builder *b)
{
    b->platform.sgx_svn[4] = 213;
    b->platform.pce_svn = 300;
}

/* --- lists --- */

static void pck_revoked(ev_builder *b)
{
    ev_set_crl(b, &b->collateral.pck_crl, b->ca.platform, b->ca.platform_key, b->issued_us,
               EV_NOW_US + AGENT_SIM_DAY_US, b->pck);
}

static void root_crl(ev_builder *b, const rd_cert *revoked)
{
    ev_set_crl(b, &b->collateral.root_ca_crl, b->ca.root, b->ca.root_key, b->issued_us, EV_NOW_US + AGENT_SIM_DAY_US,
               revoked);
}

QUOTE_SPOILER(ca_revoked, root_crl(b, b->ca.platform))
QUOTE_SPOILER(signer_revoked, root_crl(b, b->ca.tcb))

static void crl_between(ev_builder *b, int64_t from_us, int64_t to_us)
{
    ev_set_crl(b, &b->collateral.pck_crl, b->ca.platform, b->ca.platform_key, from_us, to_us, NULL);
}

QUOTE_SPOILER(crl_expired, crl_between(b, b->issued_us, EV_NOW_US - SECOND_US))
QUOTE_SPOILER(crl_last_second, crl_between(b, b->issued_us, EV_NOW_US))
QUOTE_SPOILER(crl_future, crl_between(b, EV_NOW_US + SECOND_US, EV_NOW_US + AGENT_SIM_DAY_US))

static void crl_other_key(ev_builder *b)
{
    ev_set_crl(b, &b->collateral.pck_crl, b->ca.platform, b->ca.root_key, b->issued_us, EV_NOW_US + AGENT_SIM_DAY_US,
               NULL);
}

static void crl_of_root(ev_builder *b)
{
    rd_buf_clear(&b->collateral.pck_crl);
    rd_buf_append_bytes(&b->collateral.pck_crl, rd_buf_bytes(&b->collateral.root_ca_crl));
}

QUOTE_SPOILER(crl_empty, rd_buf_clear(&b->collateral.pck_crl))
QUOTE_SPOILER(root_crl_empty, rd_buf_clear(&b->collateral.root_ca_crl))

static void crl_html(ev_builder *b)
{
    rd_buf_clear(&b->collateral.pck_crl);
    rd_buf_append_str(&b->collateral.pck_crl, "<html><body>404</body></html>");
}

QUOTE_SPOILER(crl_flipped, ev_flip(&b->collateral.pck_crl, 60))
QUOTE_SPOILER(crl_rollback, b->floor.pck_crl_number = 4)

static const row rows[] = {
    { "good", EV_NONE, NULL, RD_OK },
    { "A1 header only", EV_QUOTE, header_only, RD_E_QUOTE_TRUNCATED },
    { "A1 one byte", EV_QUOTE, one_byte, RD_E_QUOTE_TRUNCATED },
    { "A3 one trailing byte", EV_QUOTE, trailing_one, RD_E_QUOTE_TRAILING },
    { "A3 zero padding (ok)", EV_QUOTE, trailing_zeros, RD_OK },
    { "A4 auth data one larger", EV_QUOTE, auth_larger, RD_E_QUOTE_LENGTH },
    { "A4 auth data one smaller", EV_QUOTE, auth_smaller, RD_E_QUOTE_LENGTH },
    { "A4 auth data zero", EV_QUOTE, auth_zero, RD_E_QUOTE_LENGTH },
    { "A4 auth data 4 GiB", EV_QUOTE, auth_max, RD_E_QUOTE_LENGTH },
    { "A5 outer size 4 GiB", EV_QUOTE, outer_max, RD_E_QUOTE_LENGTH },
    { "A5 inner size 4 GiB", EV_QUOTE, inner_max, RD_E_QUOTE_LENGTH },
    { "A5 inner size one less", EV_QUOTE, inner_one_less, RD_E_QUOTE_LENGTH },
    { "A5 QE auth size 65535", EV_QUOTE, qe_auth_max, RD_E_QUOTE_LENGTH },
    { "A5 QE auth size zero", EV_QUOTE, qe_auth_zero, RD_E_QUOTE_LENGTH },
    { "A6 version 0", EV_QUOTE, version_0, RD_E_QUOTE_VERSION },
    { "A6 version 2", EV_QUOTE, version_2, RD_E_QUOTE_VERSION },
    { "A6 version 6", EV_QUOTE, version_6, RD_E_QUOTE_VERSION },
    { "A6 version 65535", EV_QUOTE, version_max, RD_E_QUOTE_VERSION },
    { "A7 v3 with TDX type", EV_QUOTE, v3_with_tdx, RD_E_QUOTE_TYPE_MIX },
    { "A7 unknown TEE type", EV_QUOTE, tee_unknown, RD_E_QUOTE_TYPE_MIX },
    { "A8 key type 1", EV_QUOTE, key_type_1, RD_E_QUOTE_KEYTYPE },
    { "A8 key type 3", EV_QUOTE, key_type_3, RD_E_QUOTE_KEYTYPE },
    { "A8 key type 255", EV_QUOTE, key_type_255, RD_E_QUOTE_KEYTYPE },
    { "A9 vendor", EV_QUOTE, vendor, RD_E_QE_VENDOR },
    { "A10 reserved", EV_QUOTE, reserved, RD_E_QUOTE_RESERVED },
    { "A11 v5 without descriptor", EV_QUOTE, v5_no_descriptor, RD_E_QUOTE_BODY_TYPE },
    { "A13 type 5 at top level", EV_QUOTE, cert_outer_5, RD_E_CERT_TYPE },
    { "A13 type 1", EV_QUOTE, cert_inner_1, RD_E_CERT_TYPE },
    { "A13 type 4", EV_QUOTE, cert_inner_4, RD_E_CERT_TYPE },
    { "A13 type 6 in 6", EV_QUOTE, cert_inner_6, RD_E_CERT_TYPE },
    { "A13 type 7", EV_QUOTE, cert_inner_7, RD_E_CERT_TYPE },
    { "A14 encrypted PPID", EV_QUOTE, cert_inner_3, RD_E_CERT_TYPE },
    { "B1 header", EV_QUOTE, flip_header, RD_E_QUOTE_SIG },
    { "B1 body", EV_QUOTE, flip_mrtd, RD_E_QUOTE_SIG },
    { "B1 report data", EV_QUOTE, flip_report_data, RD_E_QUOTE_SIG },
    { "B1 r", EV_QUOTE, flip_r, RD_E_QUOTE_SIG },
    { "B1 s", EV_QUOTE, flip_s, RD_E_QUOTE_SIG },
    { "B2 r = s = 0", EV_QUOTE, r_s_zero, RD_E_QUOTE_SIG },
    { "B2 r = s = 1", EV_QUOTE, r_s_one, RD_E_QUOTE_SIG },
    { "B2 r = n", EV_QUOTE, r_is_n, RD_E_QUOTE_SIG },
    { "B2 s > n", EV_QUOTE, s_above_n, RD_E_QUOTE_SIG },
    { "B3 key all zeros", EV_QUOTE, key_zero, RD_E_ATT_KEY },
    { "B3 key off the curve", EV_QUOTE, key_off_curve, RD_E_ATT_KEY },
    { "B4 key changed", EV_QUOTE, flip_key, RD_E_QE_BINDING },
    { "B4 auth data changed", EV_QUOTE, flip_auth_data, RD_E_QE_BINDING },
    { "B4 other hash in the QE report", EV_QE, qe_other_key, RD_E_QE_BINDING },
    { "B4 tail not zero", EV_QE, qe_tail, RD_E_QE_BINDING },
    { "B5 QE report changed", EV_QUOTE, flip_qe_report, RD_E_QE_SIG },
    { "B5 QE signature changed", EV_QUOTE, flip_qe_signature, RD_E_QE_SIG },
    { "B5 another PCK", EV_QUOTE, qe_other_pck, RD_E_QE_SIG },
    { "B6 MRSIGNER", EV_QE, qe_signer, RD_E_QE_IDENTITY },
    { "B6 ISVPRODID", EV_QE, qe_prod_id, RD_E_QE_IDENTITY },
    { "B6 MISCSELECT", EV_QE, qe_misc, RD_E_QE_IDENTITY },
    { "B7 attribute inside the mask", EV_QE, qe_attributes_inside, RD_E_QE_IDENTITY },
    { "B7 attribute outside the mask (ok)", EV_QE, qe_attributes_outside, RD_OK },
    { "B8 debug QE", EV_QE, qe_debug, RD_E_QE_DEBUG },
    { "B9 ISVSVN below all levels", EV_QE, qe_svn_below, RD_E_QE_TCB },
    { "B9 ISVSVN out of date", EV_QE, qe_svn_old, RD_E_TCB_STATUS },
    { "B9 level revoked", EV_BODIES, qe_revoked, RD_E_TCB_STATUS },
    { "B10 QE identity for a TD", EV_BODIES, qe_id_qe, RD_E_QE_IDENTITY_ID },
    { "B11 mask too short", EV_BODIES, qe_mask_short, RD_E_COLLATERAL_FORMAT },
    { "B11 mask missing", EV_BODIES, qe_mask_missing, RD_E_COLLATERAL_FORMAT },
    { "C1 two certificates", EV_CHAIN, chain_of_two, RD_E_CHAIN_SHAPE },
    { "C1 one certificate", EV_CHAIN, chain_of_one, RD_E_CHAIN_SHAPE },
    { "C1 four certificates", EV_CHAIN, chain_of_four, RD_E_CHAIN_SHAPE },
    { "C1 not PEM", EV_CHAIN, chain_not_pem, RD_E_X509_FORMAT },
    { "C1 other order (ok)", EV_CHAIN, chain_other_order, RD_OK },
    { "C1 NUL behind the chain (ok)", EV_CHAIN, chain_nul_ended, RD_OK },
    { "C2 impostor root", EV_CHAIN, impostor_root, RD_E_CHAIN_ROOT },
    { "C3 leaf signature", EV_CHAIN, leaf_flipped, RD_E_CHAIN_SIG },
    { "C3 intermediate signature", EV_CHAIN, platform_flipped, RD_E_CHAIN_SIG },
    { "C3 root signature", EV_CHAIN, root_flipped, RD_E_CHAIN_ROOT },
    { "C4 leaf expired", EV_CHAIN, leaf_expired, RD_E_CHAIN_TIME },
    { "C4 last second (ok)", EV_CHAIN, leaf_last_second, RD_OK },
    { "C4 first second (ok)", EV_CHAIN, leaf_first_second, RD_OK },
    { "C4 leaf not yet valid", EV_CHAIN, leaf_early, RD_E_CHAIN_TIME },
    { "C4 intermediate expired", EV_CHAIN, ca_expired, RD_E_CHAIN_TIME },
    { "C5 intermediate without CA", EV_CHAIN, ca_not_a_ca, RD_E_CHAIN_USAGE },
    { "C5 CA as leaf", EV_CHAIN, leaf_is_ca, RD_E_CHAIN_USAGE },
    { "C5 one CA more", EV_CHAIN, one_ca_more, RD_E_CHAIN_SHAPE },
    { "C6 wrong leaf name", EV_CHAIN, leaf_wrong_name, RD_E_CHAIN_PROFILE },
    { "C6 wrong CA name", EV_CHAIN, ca_wrong_name, RD_E_CHAIN_PROFILE },
    { "C7 no extension", EV_CHAIN, without_extension, RD_E_PCK_EXT },
    { "C7 FMSPC doubled", EV_EXTENSION, fmspc_doubled, RD_E_PCK_EXT },
    { "C7 PPID missing", EV_EXTENSION, ppid_missing, RD_E_PCK_EXT },
    { "C7 bytes behind", EV_EXTENSION, extension_trailing, RD_E_PCK_EXT },
    { "C7 cut", EV_EXTENSION, extension_cut, RD_E_PCK_EXT },
    { "C7 empty", EV_EXTENSION, extension_empty, RD_E_PCK_EXT },
    { "C7 SVN over 127 (ok)", EV_PLATFORM, svn_over_127, RD_OK },
    { "C8 processor CA with platform fields", EV_CHAIN, processor_ca_piid, RD_E_PCK_EXT },
    { "C10 PCK revoked", EV_COLLATERAL, pck_revoked, RD_E_PCK_REVOKED },
    { "C11 intermediate revoked", EV_COLLATERAL, ca_revoked, RD_E_CA_REVOKED },
    { "C11 TCB signer revoked", EV_COLLATERAL, signer_revoked, RD_E_CA_REVOKED },
    { "C12 CRL expired", EV_COLLATERAL, crl_expired, RD_E_CRL_TIME },
    { "C12 CRL last second (ok)", EV_COLLATERAL, crl_last_second, RD_OK },
    { "C12 CRL in the future", EV_COLLATERAL, crl_future, RD_E_CRL_TIME },
    { "C13 CRL by another key", EV_COLLATERAL, crl_other_key, RD_E_CRL_ISSUER },
    { "C13 CRL of another CA", EV_COLLATERAL, crl_of_root, RD_E_CRL_ISSUER },
    { "C13 CRL changed", EV_COLLATERAL, crl_flipped, RD_E_CRL_ISSUER },
    { "C14 CRL missing", EV_COLLATERAL, crl_empty, RD_E_CRL_MISSING },
    { "C14 root CRL missing", EV_COLLATERAL, root_crl_empty, RD_E_CRL_MISSING },
    { "C14 CRL is HTML", EV_COLLATERAL, crl_html, RD_E_CRL_MISSING },
    { "C15 CRL older than one seen", EV_CHECK, crl_rollback, RD_E_CRL_ROLLBACK },
};

static void one(void **state)
{
    const row *this = *state;
    ev_builder b;
    rd_attest_report report;
    ev_build(&b, this->stage, this->spoil);
    rd_code code = ev_check(&b, &report);
    ev_done(&b);
    if (code != this->want)
        print_message("%s: %s\n", this->name, report.refusal.text);
    assert_string_equal(code ? rd_code_describe(code)->name : "accepted",
                        this->want ? rd_code_describe(this->want)->name : "accepted");
    assert_int_equal(report.is_accepted, this->want == RD_OK);
}

int main(void)
{
    struct CMUnitTest tests[RD_ARRAY_LEN(rows)];
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        tests[i] =
            (struct CMUnitTest){ .name = rows[i].name, .test_func = one, .initial_state = (void *)(uintptr_t)&rows[i] };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
