#include "cli/evidence_show.h"

#include "attest/snp_report.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

typedef struct bit_name {
    unsigned bit;
    const char *name;
} bit_name;

/* attestation.md 1.2, 1.3, 5.1 */
static const bit_name td_bits[] = { { 0, "DEBUG" }, { 27, "LASS" }, { 28, "SEPT_VE_DISABLE" }, { 29, "MIGRATABLE" },
                                    { 30, "PKS" },  { 31, "KL" },   { 63, "PERFMON" },         { 0, NULL } };
static const bit_name sgx_bits[] = {
    { 0, "INIT" },           { 1, "DEBUG" }, { 2, "MODE64BIT" }, { 4, "PROVISION_KEY" },
    { 5, "EINITTOKEN_KEY" }, { 7, "KSS" },   { 0, NULL }
};
static const bit_name snp_policy_bits[] = { { 16, "SMT" },
                                            { 18, "MIGRATE_MA" },
                                            { 19, "DEBUG" },
                                            { 20, "SINGLE_SOCKET" },
                                            { 21, "CXL_ALLOWED" },
                                            { 22, "AES_256_XTS" },
                                            { 23, "RAPL_DISABLED" },
                                            { 24, "CIPHERTEXT_HIDING" },
                                            { 25, "PAGE_SWAP_DISABLED" },
                                            { 0, NULL } };
static const bit_name snp_platform_bits[] = { { 0, "SMT" },
                                              { 1, "TSME" },
                                              { 2, "ECC" },
                                              { 3, "RAPL_DISABLED" },
                                              { 4, "CIPHERTEXT_HIDING" },
                                              { 5, "ALIAS_CHECK_COMPLETE" },
                                              { 7, "TIO" },
                                              { 0, NULL } };

static void print_bits(const cli_out *out, const char *title, uint64_t value, const bit_name *names)
{
    char text[200] = "";
    for (; names->name; names++)
        if (value >> names->bit & 1)
            (void)snprintf(text + strlen(text), sizeof text - strlen(text), " %s", names->name);
    cli_print(out, "  %-16s%s", title, text[0] ? text : " none");
}

static uint64_t u64le(const uint8_t bytes[8])
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static void print_tcb(const cli_out *out, const char *title, const uint8_t bytes[8], rd_snp_product product)
{
    rd_snp_tcb tcb;
    rd_snp_tcb_read(bytes, product, &tcb);
    if (product == RD_SNP_TURIN)
        cli_print(out, "  %-16s FMC %u, boot loader %u, TEE %u, SNP %u, microcode %u", title, tcb.fmc, tcb.boot_loader,
                  tcb.tee, tcb.snp, tcb.microcode);
    else
        cli_print(out, "  %-16s boot loader %u, TEE %u, SNP %u, microcode %u", title, tcb.boot_loader, tcb.tee, tcb.snp,
                  tcb.microcode);
}

static void print_snp(const cli_out *out, const rd_snp_claims *snp)
{
    rd_snp_product product = snp->product ? snp->product : snp->cpuid[0] == 0x1a ? RD_SNP_TURIN : RD_SNP_MILAN;
    print_bits(out, "guest policy", snp->policy, snp_policy_bits);
    print_bits(out, "platform", snp->platform_info, snp_platform_bits);
    print_tcb(out, "current", snp->current_tcb, product);
    print_tcb(out, "reported", snp->reported_tcb, product);
    print_tcb(out, "committed", snp->committed_tcb, product);
    print_tcb(out, "launch", snp->launch_tcb, product);
    cli_print(out, "  %-16s %u.%u build %u", "firmware", snp->current_build[2], snp->current_build[1],
              snp->current_build[0]);
    cli_print(out, "  %-16s %s", "signing key", snp->is_vlek ? "VLEK" : "VCEK");
}

static void print_pck(const cli_out *out, const rd_pck_claims *pck)
{
    char fmspc[13], svns[80] = "";
    rd_hex_encode(RD_BYTES_ARRAY(pck->fmspc), fmspc);
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(svns + strlen(svns), sizeof svns - strlen(svns), " %u", pck->sgx_svn[i]);
    cli_print(out, "  %-16s FMSPC %s, PCE SVN %u, components%s", "PCK certificate", fmspc, pck->pce_svn, svns);
}

static void print_named(const cli_out *out, const rd_claims *claims)
{
    static const uint8_t zeros[6];
    if (claims->tee == RD_TEE_TDX)
        print_bits(out, "TD attributes", u64le(claims->tdx.td_attributes), td_bits);
    if (claims->tee == RD_TEE_SGX)
        print_bits(out, "attributes", u64le(claims->sgx.attributes), sgx_bits);
    if (claims->tee == RD_TEE_SNP)
        print_snp(out, &claims->snp);
    if (claims->tee != RD_TEE_SNP && memcmp(claims->pck.fmspc, zeros, sizeof zeros) != 0)
        print_pck(out, &claims->pck);
}

static void print_members(const cli_out *out, const json_t *object)
{
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        if (json_is_string(value))
            cli_print(out, "  %-28s %s", name, json_string_value(value));
        else
            cli_print(out, "  %-28s %lld", name, (long long)json_integer_value(value));
    }
}

void cli_evidence_print(const cli_out *out, const rd_judgement *judgement, const json_t *document)
{
    const rd_claims *claims = &judgement->verdict.claims;
    const rd_attest_step *first = judgement->verdict.steps;
    if (judgement->verdict.step_count > 0)
        cli_print(out, "%s", first->detail);
    if (claims->has_fields) {
        cli_print(out, "\nNamed");
        print_named(out, claims);
        cli_print(out, "\nFields");
        print_members(out, json_object_get(document, "fields"));
    }
    if (judgement->has_log) {
        cli_print(out, "\nEvent log: %zu events, replayed", judgement->log.event_count);
        print_members(out, json_object_get(document, "replayed"));
    }
    cli_print(out, "\nAs said by the evidence itself. To judge it: redoubt evidence verify");
}
