#include <stdio.h>
#include <string.h>

#include "attest/collateral_set.h"
#include "attest/intel_quote.h"
#include "attest/pck.h"
#include "attest/snp_report.h"
#include "attest/vcek.h"
#include "common/base/text.h"

/* What evidence says of itself: only to find pieces by, and every piece is verified against it afterwards. */
typedef struct wanted {
    uint8_t root[32]; /* zeros: the evidence brings none */
    char tee[4], tcb[32], ca[16];
} wanted;

static void read_quote(rd_bytes evidence, wanted *ret)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    rd_intel_quote quote = { .version = 0 };
    rd_pck_claims pck;
    char fmspc[13];
    if (rd_intel_quote_parse(evidence, &quote, NULL) < 0)
        return;
    (void)snprintf(ret->tee, sizeof ret->tee, "%s", quote.tee_type == RD_TEE_TYPE_TDX ? "tdx" : "sgx");
    if (rd_certs_parse_pem(quote.cert_data, 4, &certs, NULL) < 0)
        return;
    for (size_t i = 0; i < certs.count; i++) {
        const rd_cert *cert = certs.items[i];
        if (rd_cert_is_self_issued(cert))
            rd_cert_fingerprint(cert, ret->root);
        bool is_platform = strstr(rd_cert_issuer_cn(cert), "Platform") != NULL;
        rd_bytes unused;
        if (!rd_cert_extension(cert, RD_PCK_EXTENSION_OID, &unused) || rd_pck_read(cert, is_platform, &pck, NULL) < 0)
            continue;
        rd_hex_encode(RD_BYTES_ARRAY(pck.fmspc), fmspc);
        (void)snprintf(ret->tcb, sizeof ret->tcb, "%s/%s", ret->tee, fmspc);
        (void)snprintf(ret->ca, sizeof ret->ca, "%s", is_platform ? "platform" : "processor");
    }
}

/* The root counts most, then the whole scope, then the TEE alone. */
static const rd_piece *best(const rd_collateral_set *set, rd_piece_kind kind, const wanted *want, const char *scope)
{
    const rd_piece *found = NULL;
    int found_score = -1;
    for (size_t i = 0; i < rd_collateral_set_count(set); i++) {
        const rd_piece *piece = rd_collateral_set_at(set, i);
        if (piece->kind != kind)
            continue;
        int score = 4 * (memcmp(piece->root, want->root, sizeof want->root) == 0) +
                    2 * (strcmp(piece->scope, scope) == 0) + (strncmp(piece->scope, want->tee, 3) == 0);
        if (score > found_score) {
            found = piece;
            found_score = score;
        }
    }
    return found;
}

static void fill(const rd_piece *piece, rd_bytes *body, rd_bytes *chain)
{
    if (!piece)
        return;
    *body = piece->body;
    if (chain)
        *chain = piece->chain;
}

static void pick_intel(const rd_collateral_set *set, rd_bytes evidence, rd_collateral *ret)
{
    wanted want = { .tee = "" };
    read_quote(evidence, &want);
    fill(best(set, RD_PIECE_ROOT_CRL, &want, ""), &ret->root_ca_crl, &ret->root_pem);
    fill(best(set, RD_PIECE_PCK_CRL, &want, want.ca), &ret->pck_crl, &ret->pck_crl_chain);
    fill(best(set, RD_PIECE_TCB_INFO, &want, want.tcb), &ret->tcb_info, &ret->tcb_info_chain);
    fill(best(set, RD_PIECE_IDENTITY, &want, want.tee), &ret->qe_identity, &ret->qe_identity_chain);
}

/* --- AMD --- */

static bool is_of(const rd_piece *piece, const rd_snp_report *report, rd_vcek_id *ret)
{
    rd_snp_tcb tcb;
    rd_err err = RD_ERR_INIT;
    if (rd_vcek_id_parse(piece->scope, ret, &err) < 0)
        return false;
    rd_snp_tcb_read(report->claims.reported_tcb, ret->product, &tcb);
    if (ret->product != RD_SNP_TURIN)
        tcb.fmc = 0;
    return (!report->has_product || report->product == ret->product) &&
           memcmp(ret->chip_id, report->claims.chip_id, sizeof ret->chip_id) == 0 &&
           memcmp(&tcb, &ret->tcb, sizeof tcb) == 0;
}

static const rd_piece *find_scope(const rd_collateral_set *set, rd_piece_kind kind, const char *scope)
{
    for (size_t i = 0; i < rd_collateral_set_count(set); i++) {
        const rd_piece *piece = rd_collateral_set_at(set, i);
        if (piece->kind == kind && strcmp(piece->scope, scope) == 0)
            return piece;
    }
    return NULL;
}

/* Without a VCEK of that chip and TCB there is no chain: the host's own table may bring one, and the list holds it to
 * the product's. */
static void pick_amd(const rd_collateral_set *set, rd_bytes evidence, rd_collateral_pick *ret)
{
    rd_snp_report report = { .has_product = false };
    rd_vcek_id id = { 0 };
    if (evidence.size < RD_SNP_REPORT_SIZE)
        return;
    (void)!rd_snp_report_parse(rd_bytes_of(evidence.data, RD_SNP_REPORT_SIZE), &report, NULL);
    const rd_piece *vcek = NULL;
    for (size_t i = 0; i < rd_collateral_set_count(set) && !vcek; i++) {
        const rd_piece *piece = rd_collateral_set_at(set, i);
        if (piece->kind == RD_PIECE_VCEK && is_of(piece, &report, &id))
            vcek = piece;
    }
    const char *product = rd_snp_product_names[vcek ? id.product : report.product];
    const rd_piece *chain = find_scope(set, RD_PIECE_AMD_CHAIN, product);
    if (vcek && chain) {
        rd_buf_append_bytes(&ret->snp_chain, vcek->body);
        rd_buf_append_bytes(&ret->snp_chain, chain->body);
        ret->pieces.snp_chain = rd_buf_bytes(&ret->snp_chain);
    }
    fill(find_scope(set, RD_PIECE_AMD_CRL, product), &ret->pieces.snp_crl, NULL);
}

void rd_collateral_set_pick(const rd_collateral_set *set, rd_bytes evidence, rd_collateral_pick *ret)
{
    if (rd_snp_recognises(evidence))
        pick_amd(set, evidence, ret);
    else
        pick_intel(set, evidence, &ret->pieces);
}

void rd_collateral_pick_done(rd_collateral_pick *pick)
{
    rd_buf_done(&pick->snp_chain);
}

/* Reports before version 3 name no product, and without it neither the chip's address nor the TCB can be read. */
static bool scope_of_report(rd_bytes evidence, char *ret, size_t size)
{
    rd_snp_report report = { .has_product = false };
    rd_vcek_id id = { 0 };
    char text[RD_VCEK_TEXT_SIZE];
    if (evidence.size < RD_SNP_REPORT_SIZE ||
        rd_snp_report_parse(rd_bytes_of(evidence.data, RD_SNP_REPORT_SIZE), &report, NULL) < 0 || !report.product)
        return false;
    id.product = report.product;
    memcpy(id.chip_id, report.claims.chip_id, sizeof id.chip_id);
    rd_snp_tcb_read(report.claims.reported_tcb, id.product, &id.tcb);
    rd_vcek_id_format(&id, text);
    (void)snprintf(ret, size, "%s", text);
    return true;
}

bool rd_collateral_scope_of(rd_bytes evidence, char *ret, size_t size)
{
    wanted want = { .tee = "" };
    if (rd_snp_recognises(evidence))
        return scope_of_report(evidence, ret, size);
    read_quote(evidence, &want);
    (void)snprintf(ret, size, "%s", want.tcb);
    return want.tcb[0] != 0;
}
