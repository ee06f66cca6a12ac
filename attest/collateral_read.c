#include "attest/collateral_read.h"

#include <stdio.h>
#include <string.h>

#include "attest/json_fields.h"
#include "attest/signed_json.h"
#include "attest/vcek.h"
#include "common/base/text.h"
#include "common/crypto/x509_crl.h"

#define say(piece, ...) (void)snprintf((piece)->scope, sizeof(piece)->scope, __VA_ARGS__)

static void read_root(rd_piece *piece, const rd_certs *certs)
{
    for (size_t i = 0; i < certs->count; i++)
        if (rd_cert_is_self_issued(certs->items[i]))
            rd_cert_fingerprint(certs->items[i], piece->root);
}

static bool read_chain(rd_piece *piece, rd_certs *ret)
{
    if (rd_certs_parse_mixed(piece->chain, 4, ret, NULL) < 0)
        return false;
    read_root(piece, ret);
    return true;
}

/* "SEV-Milan", "SEV-VLEK-Genoa", "ARK-Turin": what stands behind the last dash. */
static rd_snp_product product_of(const rd_cert *cert)
{
    const char *cn = rd_cert_subject_cn(cert), *dash = strrchr(cn, '-');
    return dash ? rd_snp_product_parse(rd_bytes_str(dash + 1)) : 0;
}

/* --- lists --- */

static bool read_list(rd_piece *piece, const rd_certs *certs)
{
    RD_CLEANUP(rd_crl_free_p) rd_crl *crl = NULL;
    if (rd_crl_parse(piece->body, &crl, NULL) < 0)
        return false;
    piece->number = rd_crl_number(crl);
    piece->issued_us = rd_crl_this_update_us(crl);
    piece->expires_us = rd_crl_next_update_us(crl);
    if (piece->kind == RD_PIECE_ROOT_CRL)
        return true;
    for (size_t i = 0; i < certs->count; i++) {
        const rd_cert *cert = certs->items[i];
        if (!rd_bytes_equal(rd_cert_subject(cert), rd_crl_issuer(crl)))
            continue;
        if (piece->kind == RD_PIECE_AMD_CRL)
            say(piece, "%s", rd_snp_product_names[product_of(cert)]);
        else
            say(piece, "%s", strstr(rd_cert_subject_cn(cert), "Platform") ? "platform" : "processor");
    }
    return piece->scope[0] != 0;
}

/* --- signed texts --- */

static int read_window(rd_piece *piece, rd_json_view body, rd_err *err)
{
    if (rd_field_int(body, "tcbEvaluationDataNumber", UINT32_MAX, &piece->number, err) < 0 ||
        rd_field_time(body, "issueDate", &piece->issued_us, err) < 0)
        return -1;
    return rd_field_time(body, "nextUpdate", &piece->expires_us, err);
}

/* PCS API v4: TCB info of version 2 has no id and is SGX's. */
static int read_tcb_scope(rd_piece *piece, rd_json_view body, rd_err *err)
{
    uint8_t fmspc[6];
    char hex[13];
    char id[17] = "";
    rd_json_view value;
    if (rd_json_view_get(body, "id", &value) && rd_field_text(body, "id", id, sizeof id, err) < 0)
        return -1;
    if (rd_field_hex(body, "fmspc", fmspc, sizeof fmspc, err) < 0)
        return -1;
    rd_hex_encode(RD_BYTES_ARRAY(fmspc), hex);
    say(piece, "%s/%s", strcmp(id, "TDX") == 0 ? "tdx" : "sgx", hex);
    return 0;
}

static int read_identity_scope(rd_piece *piece, rd_json_view body, rd_err *err)
{
    char id[17];
    if (rd_field_text(body, "id", id, sizeof id, err) < 0)
        return -1;
    say(piece, "%s", strcmp(id, "TD_QE") == 0 ? "tdx" : strcmp(id, "QE") == 0 ? "sgx" : id);
    return 0;
}

static bool read_signed(rd_piece *piece)
{
    RD_CLEANUP(rd_json_doc_done) rd_json_doc doc = { .count = 0 };
    rd_json_view body;
    bool is_tcb = piece->kind == RD_PIECE_TCB_INFO;
    uint8_t signature[64];
    rd_bytes range;
    rd_err err = RD_ERR_INIT;
    if (rd_signed_json_split(piece->body, is_tcb ? "tcbInfo" : "enclaveIdentity", &range, signature, &err) < 0 ||
        rd_field_document(range, &doc, &body, &err) < 0 || read_window(piece, body, &err) < 0)
        return false;
    return (is_tcb ? read_tcb_scope : read_identity_scope)(piece, body, &err) == 0;
}

/* --- AMD --- */

static void note_end(rd_piece *piece, const rd_cert *cert)
{
    int64_t end_us = rd_cert_not_after_us(cert);
    if (piece->expires_us == 0 || end_us < piece->expires_us)
        piece->expires_us = end_us;
}

static bool read_amd_chain(rd_piece *piece, const rd_certs *certs)
{
    for (size_t i = 0; i < certs->count; i++) {
        const rd_cert *cert = certs->items[i];
        rd_snp_product product = product_of(cert);
        note_end(piece, cert);
        if (product && !rd_cert_is_self_issued(cert))
            say(piece, "%s%s", rd_snp_product_names[product], strstr(rd_cert_subject_cn(cert), "VLEK") ? "-VLEK" : "");
    }
    return piece->scope[0] != 0;
}

static bool read_vcek(rd_piece *piece, const rd_certs *certs)
{
    rd_vcek_id id;
    if (certs->count != 1 || rd_vcek_read(certs->items[0], &id, NULL) < 0)
        return false;
    rd_vcek_id_format(&id, piece->scope);
    note_end(piece, certs->items[0]);
    return true;
}

static bool read_certificates(rd_piece *piece)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    if (rd_certs_parse_mixed(piece->body, 3, &certs, NULL) < 0)
        return false;
    if (piece->kind == RD_PIECE_VCEK)
        return read_vcek(piece, &certs);
    read_root(piece, &certs);
    return read_amd_chain(piece, &certs);
}

void rd_piece_read(rd_piece *piece)
{
    if (piece->kind == RD_PIECE_VCEK || piece->kind == RD_PIECE_AMD_CHAIN) {
        piece->is_readable = read_certificates(piece);
        return;
    }
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    bool has_chain = read_chain(piece, &certs);
    bool is_signed = piece->kind == RD_PIECE_TCB_INFO || piece->kind == RD_PIECE_IDENTITY;
    piece->is_readable = (is_signed ? read_signed(piece) : read_list(piece, &certs)) && has_chain;
}
