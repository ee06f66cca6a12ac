#include <string.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "fetch/fetch.h"

static int bad(const char *text, rd_err *err)
{
    return rd_err_set(err, RD_E_USAGE, "%.60s is no scope like tdx:90c06f000000, sgx:00906ed50000 or snp:Milan", text);
}

static int read_one(const char *text, fetch_scope *ret, rd_err *err)
{
    static const rd_tee tees[] = { RD_TEE_TDX, RD_TEE_SGX, RD_TEE_SNP };
    size_t name = strcspn(text, ":/");
    const char *rest = text[name] ? text + name + 1 : "";
    bool is_known = false;
    *ret = (fetch_scope){ .has_chip = false };
    for (size_t i = 0; i < RD_ARRAY_LEN(tees); i++)
        if (strlen(rd_tee_names[tees[i]]) == name && memcmp(rd_tee_names[tees[i]], text, name) == 0) {
            ret->tee = tees[i];
            is_known = true;
        }
    if (!is_known)
        return bad(text, err);
    if (ret->tee != RD_TEE_SNP)
        return rd_hex_decode(rest, strlen(rest), ret->fmspc, sizeof ret->fmspc) < 0 ? bad(text, err) : 0;
    ret->has_chip = strchr(rest, '/') != NULL;
    if (ret->has_chip && rd_vcek_id_parse(rest, &ret->chip, err) < 0)
        return -1;
    ret->product = ret->has_chip ? ret->chip.product : rd_snp_product_parse(rd_bytes_str(rest));
    if (!ret->product || (!ret->has_chip && strcmp(rest, rd_snp_product_names[ret->product]) != 0))
        return bad(text, err);
    return 0;
}

/* The padding of a scope is zero: every one starts as a compound literal. */
static bool is_there(const fetch_scopes *scopes, const fetch_scope *scope)
{
    for (size_t i = 0; i < scopes->count; i++) {
        const fetch_scope *it = &scopes->items[i];
        if (it->tee == scope->tee && it->product == scope->product && it->has_chip == scope->has_chip &&
            memcmp(it->fmspc, scope->fmspc, sizeof it->fmspc) == 0 &&
            memcmp(it->chip.chip_id, scope->chip.chip_id, sizeof it->chip.chip_id) == 0 &&
            memcmp(&it->chip.tcb, &scope->chip.tcb, sizeof it->chip.tcb) == 0)
            return true;
    }
    return false;
}

static int add(fetch_scopes *scopes, const char *text, rd_err *err)
{
    fetch_scope scope;
    if (read_one(text, &scope, err) < 0)
        return -1;
    if (is_there(scopes, &scope))
        return 0;
    if (scopes->count == FETCH_SCOPES_MAX)
        return rd_err_set(err, RD_E_USAGE, "more than %d scopes", FETCH_SCOPES_MAX);
    scopes->items[scopes->count++] = scope;
    return 0;
}

int fetch_scopes_add(fetch_scopes *scopes, const char *text, rd_err *err)
{
    while (*text) {
        size_t size = strcspn(text, ",");
        RD_CLEANUP(rd_free_p) char *one = rd_strndup(text, size);
        if (add(scopes, one, err) < 0)
            return -1;
        text += size + (text[size] == ',');
    }
    return 0;
}

void fetch_scopes_add_set(fetch_scopes *scopes, const rd_collateral_set *set)
{
    for (size_t i = 0; i < rd_collateral_set_count(set); i++) {
        const rd_piece *piece = rd_collateral_set_at(set, i);
        RD_CLEANUP(rd_free_p) char *text = NULL;
        rd_err full = RD_ERR_INIT;
        if (piece->kind == RD_PIECE_TCB_INFO && piece->is_readable)
            text = rd_strdup(piece->scope);
        else if (piece->kind == RD_PIECE_AMD_CHAIN && piece->is_readable)
            text = rd_asprintf("snp:%.*s", (int)strcspn(piece->scope, "-"), piece->scope);
        if (text)
            (void)!add(scopes, text, &full); /* past the cap: the first ones */
    }
}
