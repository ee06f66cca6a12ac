#include "attest/snp_report.h"

#include <string.h>

#include "common/base/cursor.h"

#define POLICY_MUST_BE_ONE (UINT64_C(1) << 17)
#define SIGNATURE_PART     72
#define SIGNIFICANT        48

/* attestation.md 5.1: ranges that every version leaves zero. */
static const struct {
    size_t from, to;
    uint32_t version_max; /* reserved up to this version */
} reserved[] = {
    { 0x04c, 0x050, 5 }, { 0x18b, 0x1a0, 5 }, { 0x1eb, 0x1ec, 5 },
    { 0x1ef, 0x1f0, 5 }, { 0x1f8, 0x208, 4 }, { 0x208, 0x2a0, 5 },
};

static int check_zero(rd_bytes bytes, size_t from, size_t to, rd_err *err)
{
    for (size_t i = from; i < to; i++)
        if (bytes.data[i] != 0)
            return rd_err_set(err, RD_E_SNP_FORMAT, "reserved byte 0x%zx is not zero", i);
    return 0;
}

int rd_snp_report_check_reserved(rd_bytes bytes, uint32_t version, rd_err *err)
{
    for (size_t i = 0; i < RD_ARRAY_LEN(reserved); i++)
        if (version <= reserved[i].version_max && check_zero(bytes, reserved[i].from, reserved[i].to, err) < 0)
            return -1;
    return 0;
}

/* r and s stand little-endian in 72 bytes each, of which 48 count; libcrypto wants them big-endian. */
static int read_signature(rd_bytes bytes, rd_snp_report *ret, rd_err *err)
{
    for (size_t part = 0; part < 2; part++) {
        size_t at = RD_SNP_SIGNED_SIZE + part * SIGNATURE_PART;
        if (check_zero(bytes, at + SIGNIFICANT, at + SIGNATURE_PART, err) < 0)
            return rd_err_set(err, RD_E_SNP_SIG, "the signature is longer than its curve");
        for (size_t i = 0; i < SIGNIFICANT; i++)
            ret->signature[part * SIGNIFICANT + i] = bytes.data[at + SIGNIFICANT - 1 - i];
    }
    return check_zero(bytes, RD_SNP_SIGNED_SIZE + 2 * SIGNATURE_PART, RD_SNP_REPORT_SIZE, err);
}

static void read_middle(rd_cursor *in, rd_snp_report *ret)
{
    rd_snp_claims *claims = &ret->claims;
    rd_cursor_copy(in, ret->report_data, 64);
    rd_cursor_copy(in, claims->measurement, 48);
    rd_cursor_copy(in, claims->host_data, 32);
    rd_cursor_copy(in, claims->id_key_digest, 48);
    rd_cursor_copy(in, claims->author_key_digest, 48);
    rd_cursor_copy(in, claims->report_id, 32);
    rd_cursor_copy(in, claims->report_id_ma, 32);
    rd_cursor_copy(in, claims->reported_tcb, 8);
}

/* CPUID family and model, combined with their extensions (attestation.md 5.1). */
static void read_product(rd_snp_report *ret)
{
    uint8_t family = ret->claims.cpuid[0], model = ret->claims.cpuid[1];
    ret->has_product = ret->claims.version >= 3;
    if (!ret->has_product)
        return;
    if (family == 0x19 && model <= 0x0f)
        ret->product = RD_SNP_MILAN;
    else if (family == 0x19 && ((model >= 0x10 && model <= 0x1f) || (model >= 0xa0 && model <= 0xaf)))
        ret->product = RD_SNP_GENOA;
    else if (family == 0x1a && model <= 0x1f)
        ret->product = RD_SNP_TURIN;
}

static uint32_t read_head(rd_cursor *in, rd_snp_report *ret)
{
    rd_snp_claims *claims = &ret->claims;
    claims->version = rd_cursor_u32le(in);
    claims->guest_svn = rd_cursor_u32le(in);
    claims->policy = rd_cursor_u64le(in);
    rd_cursor_copy(in, claims->family_id, 16);
    rd_cursor_copy(in, claims->image_id, 16);
    claims->vmpl = rd_cursor_u32le(in);
    uint32_t algorithm = rd_cursor_u32le(in);
    rd_cursor_copy(in, claims->current_tcb, 8);
    claims->platform_info = rd_cursor_u64le(in);
    claims->key_info = rd_cursor_u32le(in);
    rd_cursor_skip(in, 4);
    ret->is_chip_masked = claims->key_info & 2;
    ret->signing_key = claims->key_info >> 2 & 7;
    claims->is_vlek = ret->signing_key == 1;
    claims->sig_algo = algorithm;
    return algorithm;
}

static int check_head(const rd_snp_claims *claims, uint32_t algorithm, rd_err *err)
{
    if (claims->version < 2 || claims->version > 5)
        return rd_err_set(err, RD_E_SNP_VERSION, "report version %u, expected 2 to 5", claims->version);
    if (algorithm != 1)
        return rd_err_set(err, RD_E_QUOTE_KEYTYPE, "signature algorithm %u, expected 1 (ECDSA P-384)", algorithm);
    if (!(claims->policy & POLICY_MUST_BE_ONE))
        return rd_err_set(err, RD_E_SNP_POLICY, "policy bit 17 is not one");
    return 0;
}

static void read_tail(rd_cursor *in, rd_snp_claims *claims)
{
    rd_cursor_copy(in, claims->cpuid, 3);
    rd_cursor_skip(in, 0x1a0 - 0x18b);
    rd_cursor_copy(in, claims->chip_id, 64);
    rd_cursor_copy(in, claims->committed_tcb, 8);
    rd_cursor_copy(in, claims->current_build, 3);
    rd_cursor_skip(in, 1);
    rd_cursor_copy(in, claims->committed_build, 3);
    rd_cursor_skip(in, 1);
    rd_cursor_copy(in, claims->launch_tcb, 8);
    rd_cursor_copy(in, claims->launch_mit, 8);
    rd_cursor_copy(in, claims->current_mit, 8);
}

int rd_snp_report_parse(rd_bytes bytes, rd_snp_report *ret, rd_err *err)
{
    *ret = (rd_snp_report){ 0 };
    if (bytes.size != RD_SNP_REPORT_SIZE)
        return rd_err_set(err, RD_E_SNP_FORMAT, "report of %zu bytes, expected %d", bytes.size, RD_SNP_REPORT_SIZE);
    rd_cursor in = rd_cursor_of(bytes);
    uint32_t algorithm = read_head(&in, ret);
    read_middle(&in, ret);
    read_tail(&in, &ret->claims);
    read_product(ret);
    if (check_head(&ret->claims, algorithm, err) < 0)
        return -1;
    return read_signature(bytes, ret, err);
}

/* attestation.md 5.2 */
void rd_snp_tcb_read(const uint8_t bytes[8], rd_snp_product product, rd_snp_tcb *ret)
{
    if (product == RD_SNP_TURIN)
        *ret = (rd_snp_tcb){
            .fmc = bytes[0], .boot_loader = bytes[1], .tee = bytes[2], .snp = bytes[3], .microcode = bytes[7]
        };
    else
        *ret = (rd_snp_tcb){ .boot_loader = bytes[0], .tee = bytes[1], .snp = bytes[6], .microcode = bytes[7] };
}
