#include "fetch/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509.h"
#include "fetch/headers.h"

#define BODY_MAX  ((size_t)256 << 10) /* TCB info, identity */
#define LIST_MAX  ((size_t)512 << 10) /* as hex it is twice as long */
#define CERTS_MAX ((size_t)64 << 10)

typedef struct run {
    fetch_http *http;
    const char *pcs, *kds, *root_crl;
    const rd_collateral_set *known;
    rd_collateral_set *set;
    bool has_identity[RD_TEE_COUNT];
    bool has_lists;
    bool has_chain[RD_SNP_PRODUCT_COUNT];
} run;

/* Holds what was put to what was asked for: a mirror may mix things up. */
static int check_scope(const run *r, rd_piece_kind kind, rd_bytes body, const char *scope, rd_err *err)
{
    for (size_t i = 0; i < rd_collateral_set_count(r->set); i++) {
        const rd_piece *piece = rd_collateral_set_at(r->set, i);
        if (piece->kind != kind)
            continue;
        if (!piece->is_readable)
            return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "the answer cannot be read");
        if (rd_bytes_equal(piece->body, body) && strcmp(piece->scope, scope) != 0)
            return rd_err_set(err, RD_E_TCB_MISMATCH, "the answer is about %.60s", piece->scope);
    }
    return 0;
}

/* So that the next run does not ask whether it is still this. */
static int unusable(run *r, const char *url, rd_err *err)
{
    fetch_http_forget(r->http, url);
    return rd_err_wrap(err, "%s", url);
}

static int put(run *r, rd_piece_kind kind, rd_bytes body, rd_bytes chain, const char *scope, const char *url,
               rd_err *err)
{
    if (rd_collateral_set_put(r->set, kind, body, chain, err) < 0 || check_scope(r, kind, body, scope, err) < 0)
        return unusable(r, url, err);
    return 0;
}

/* One answer with its issuer chain in a header. */
static int get_signed(run *r, const char *url, rd_piece_kind kind, const char *header, size_t size_max,
                      const char *scope, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf chain = { 0 };
    fetch_answer answer;
    if (fetch_http_get(r->http, url, header, size_max, &answer, err) < 0)
        return -1;
    if (fetch_chain_decode(answer.chain, &chain, err) < 0)
        return unusable(r, url, err);
    return put(r, kind, answer.body, rd_buf_bytes(&chain), scope, url, err);
}

/* --- Intel --- */

static int get_list(run *r, const char *ca, rd_err *err)
{
    RD_CLEANUP(rd_free_p)
    char *url = rd_asprintf("%s/sgx/certification/v4/pckcrl?ca=%s&encoding=der", r->pcs, ca);
    return get_signed(r, url, RD_PIECE_PCK_CRL, "sgx-pck-crl-issuer-chain", LIST_MAX, ca, err);
}

/* The root's list comes without a chain: its issuer is the root that the PCK lists end in. */
static int get_root_list(run *r, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf root = { 0 };
    fetch_answer answer;
    for (size_t i = 0; i < rd_collateral_set_count(r->set) && certs.count == 0; i++) {
        const rd_piece *piece = rd_collateral_set_at(r->set, i);
        if (piece->kind == RD_PIECE_PCK_CRL && rd_certs_parse_pem(piece->chain, 3, &certs, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < certs.count; i++)
        if (rd_cert_is_self_issued(certs.items[i]))
            rd_cert_to_pem(certs.items[i], &root);
    if (fetch_http_get(r->http, r->root_crl, NULL, LIST_MAX, &answer, err) < 0)
        return -1;
    return put(r, RD_PIECE_ROOT_CRL, answer.body, rd_buf_bytes(&root), "", r->root_crl, err);
}

/* A mirror may serve the list of one CA alone; without any there is nothing to judge by. */
static int get_lists(run *r, rd_err *err)
{
    rd_err why = RD_ERR_INIT;
    bool has_platform = get_list(r, "platform", err) == 0;
    if (!has_platform && err->code != RD_E_NOT_FOUND)
        return -1;
    if (get_list(r, "processor", &why) < 0 && (!has_platform || why.code != RD_E_NOT_FOUND)) {
        *err = why;
        return -1;
    }
    *err = (rd_err)RD_ERR_INIT;
    r->has_lists = true;
    return get_root_list(r, err);
}

static int get_intel(run *r, const fetch_scope *scope, rd_err *err)
{
    const char *tee = rd_tee_names[scope->tee];
    char fmspc[13], name[32];
    rd_hex_encode(RD_BYTES_ARRAY(scope->fmspc), fmspc);
    (void)snprintf(name, sizeof name, "%s/%s", tee, fmspc);
    RD_CLEANUP(rd_free_p) char *info = rd_asprintf("%s/%s/certification/v4/tcb?fmspc=%s", r->pcs, tee, fmspc);
    RD_CLEANUP(rd_free_p) char *identity = rd_asprintf("%s/%s/certification/v4/qe/identity", r->pcs, tee);
    if (!r->has_lists && get_lists(r, err) < 0)
        return -1;
    if (get_signed(r, info, RD_PIECE_TCB_INFO, "tcb-info-issuer-chain", BODY_MAX, name, err) < 0)
        return -1;
    if (!r->has_identity[scope->tee] &&
        get_signed(r, identity, RD_PIECE_IDENTITY, "sgx-enclave-identity-issuer-chain", BODY_MAX, tee, err) < 0)
        return -1;
    r->has_identity[scope->tee] = true;
    return 0;
}

/* --- AMD --- */

static int get_amd_list(run *r, const char *product, rd_bytes chain, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf root = { 0 };
    RD_CLEANUP(rd_free_p) char *url = rd_asprintf("%s/vcek/v1/%s/crl", r->kds, product);
    fetch_answer answer;
    if (rd_certs_parse_mixed(chain, 3, &certs, err) < 0)
        return -1;
    for (size_t i = 0; i < certs.count; i++)
        if (rd_cert_is_self_issued(certs.items[i]))
            rd_cert_to_pem(certs.items[i], &root);
    if (fetch_http_get(r->http, url, NULL, LIST_MAX, &answer, err) < 0)
        return -1;
    return put(r, RD_PIECE_AMD_CRL, answer.body, rd_buf_bytes(&root), product, url, err);
}

static int get_amd_chain(run *r, const char *product, bool is_vlek, rd_err *err)
{
    RD_CLEANUP(rd_free_p)
    char *url = rd_asprintf("%s/%s/v1/%s/cert_chain", r->kds, is_vlek ? "vlek" : "vcek", product);
    RD_CLEANUP(rd_buf_done) rd_buf chain = { 0 };
    char scope[32];
    fetch_answer answer;
    (void)snprintf(scope, sizeof scope, "%s%s", product, is_vlek ? "-VLEK" : "");
    if (fetch_http_get(r->http, url, NULL, CERTS_MAX, &answer, err) < 0)
        return -1;
    rd_buf_append_bytes(&chain, answer.body);
    if (put(r, RD_PIECE_AMD_CHAIN, rd_buf_bytes(&chain), RD_BYTES_NULL, scope, url, err) < 0)
        return -1;
    return is_vlek ? 0 : get_amd_list(r, product, rd_buf_bytes(&chain), err);
}

static int get_vcek(run *r, const rd_vcek_id *id, rd_err *err)
{
    const rd_snp_tcb *tcb = &id->tcb;
    char chip[129], fmc[24] = "", scope[RD_VCEK_TEXT_SIZE];
    fetch_answer answer;
    rd_hex_encode(rd_bytes_of(id->chip_id, rd_chip_id_size(id->product)), chip);
    rd_vcek_id_format(id, scope);
    for (size_t i = 0; r->known && i < rd_collateral_set_count(r->known); i++) {
        const rd_piece *piece = rd_collateral_set_at(r->known, i);
        if (piece->kind == RD_PIECE_VCEK && strcmp(piece->scope, scope) == 0)
            return rd_collateral_set_put(r->set, RD_PIECE_VCEK, piece->body, RD_BYTES_NULL, err);
    }
    if (id->product == RD_SNP_TURIN)
        (void)snprintf(fmc, sizeof fmc, "fmcSPL=%u&", tcb->fmc);
    RD_CLEANUP(rd_free_p)
    char *url =
        rd_asprintf("%s/vcek/v1/%s/%s?%sblSPL=%u&teeSPL=%u&snpSPL=%u&ucodeSPL=%u", r->kds,
                    rd_snp_product_names[id->product], chip, fmc, tcb->boot_loader, tcb->tee, tcb->snp, tcb->microcode);
    if (fetch_http_get(r->http, url, NULL, CERTS_MAX, &answer, err) < 0)
        return -1;
    return put(r, RD_PIECE_VCEK, answer.body, RD_BYTES_NULL, scope, url, err);
}

static int get_amd(run *r, const fetch_scope *scope, rd_err *err)
{
    const char *product = rd_snp_product_names[scope->product];
    rd_err why = RD_ERR_INIT;
    if (!r->has_chain[scope->product]) {
        if (get_amd_chain(r, product, false, err) < 0)
            return -1;
        /* VLEKs are a cloud's: who has none may have no chain for them either. */
        if (get_amd_chain(r, product, true, &why) < 0 && why.code != RD_E_NOT_FOUND) {
            *err = why;
            return -1;
        }
        r->has_chain[scope->product] = true;
    }
    return scope->has_chip ? get_vcek(r, &scope->chip, err) : 0;
}

/* --- all of it --- */

static void run_done(run *r)
{
    rd_collateral_set_free(r->set);
}

int fetch_collateral(fetch_http *http, const fetch_sources *sources, const fetch_scopes *scopes,
                     const rd_collateral_set *known, rd_collateral_set **ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) char *pcs = NULL, *kds = NULL, *root_crl = NULL;
    if (fetch_base_url(sources->pcs ? sources->pcs : FETCH_PCS_STANDARD, &pcs, err) < 0 ||
        fetch_base_url(sources->kds ? sources->kds : FETCH_KDS_STANDARD, &kds, err) < 0)
        return -1;
    if (sources->root_crl && fetch_base_url(sources->root_crl, &root_crl, err) < 0)
        return -1;
    if (!root_crl)
        root_crl = strcmp(pcs, FETCH_PCS_STANDARD) == 0 ? rd_strdup(FETCH_ROOT_CRL_STANDARD)
                                                        : rd_asprintf("%s/sgx/certification/v4/rootcacrl", pcs);
    RD_CLEANUP(run_done)
    run r = { .http = http, .pcs = pcs, .kds = kds, .root_crl = root_crl, .known = known };
    r.set = rd_collateral_set_new();
    for (size_t i = 0; i < scopes->count; i++) {
        const fetch_scope *scope = &scopes->items[i];
        if ((scope->tee == RD_TEE_SNP ? get_amd : get_intel)(&r, scope, err) < 0)
            return -1;
    }
    *ret = RD_TAKE(r.set);
    return 0;
}
