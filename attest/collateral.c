#include <stdlib.h>
#include <string.h>

#include "attest/attest.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/model/json.h"

enum { ROOT, PCK_CRL, PCK_CRL_CHAIN, ROOT_CA_CRL, TCB_INFO, TCB_INFO_CHAIN, QE_IDENTITY, QE_IDENTITY_CHAIN, COUNT };

static const struct {
    const char *name;
    bool is_base64;
    size_t offset;
} members[COUNT] = {
    [ROOT] = { "root", false, offsetof(rd_collateral, root_pem) },
    [PCK_CRL] = { "pck_crl", true, offsetof(rd_collateral, pck_crl) },
    [PCK_CRL_CHAIN] = { "pck_crl_chain", false, offsetof(rd_collateral, pck_crl_chain) },
    [ROOT_CA_CRL] = { "root_ca_crl", true, offsetof(rd_collateral, root_ca_crl) },
    [TCB_INFO] = { "tcb_info", false, offsetof(rd_collateral, tcb_info) },
    [TCB_INFO_CHAIN] = { "tcb_info_chain", false, offsetof(rd_collateral, tcb_info_chain) },
    [QE_IDENTITY] = { "qe_identity", false, offsetof(rd_collateral, qe_identity) },
    [QE_IDENTITY_CHAIN] = { "qe_identity_chain", false, offsetof(rd_collateral, qe_identity_chain) },
};

struct rd_collateral_set {
    rd_buf owned[COUNT];
    rd_collateral pieces;
};

rd_collateral_set *rd_collateral_set_free(rd_collateral_set *set)
{
    for (size_t i = 0; set && i < COUNT; i++)
        rd_buf_done(&set->owned[i]);
    free(set);
    return NULL;
}

void rd_collateral_set_free_p(rd_collateral_set **set)
{
    *set = rd_collateral_set_free(*set);
}

static int read_piece(const json_t *value, bool is_base64, rd_buf *out)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (!text)
        return -1;
    if (!is_base64)
        return rd_buf_append(out, text, size) ? 0 : -1;
    uint8_t *room = rd_buf_reserve(out, size + 4);
    ssize_t decoded = room ? rd_base64_decode(text, size, room, size + 4) : -1;
    if (decoded < 0)
        return -1;
    rd_buf_commit(out, (size_t)decoded);
    return 0;
}

static int read_set(const json_t *root, rd_collateral_set *set, rd_err *err)
{
    const char *type = json_string_value(json_object_get(root, "type"));
    if (!type || strcmp(type, "redoubt/collateral/v1") != 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "collateral set: not of type redoubt/collateral/v1");
    for (size_t i = 0; i < COUNT; i++) {
        /* A piece that is not there is empty here; the check that needs it says so by its own code. */
        const json_t *value = json_object_get(root, members[i].name);
        if (value && read_piece(value, members[i].is_base64, &set->owned[i]) < 0)
            return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "collateral set: %s is malformed", members[i].name);
        rd_bytes piece = rd_buf_bytes(&set->owned[i]);
        memcpy((char *)&set->pieces + members[i].offset, &piece, sizeof piece);
    }
    return 0;
}

int rd_collateral_set_parse(rd_bytes json, rd_collateral_set **ret, rd_err *err)
{
    static const rd_json_limits limits = { .size_max = RD_COLLATERAL_SIZE_MAX };
    RD_CLEANUP(rd_json_free_p) json_t *root = NULL;
    rd_err why = RD_ERR_INIT;
    if (json.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no collateral");
    if (rd_json_parse(json, &limits, &root, &why) < 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "collateral set: %s", why.text);
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = rd_alloc(sizeof *set);
    if (read_set(root, set, err) < 0)
        return -1;
    *ret = RD_TAKE(set);
    return 0;
}

const rd_collateral *rd_collateral_set_pieces(const rd_collateral_set *set)
{
    return &set->pieces;
}

static json_t *base64_text(rd_bytes bytes)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    rd_buf_append_base64(&text, bytes);
    return json_string(rd_buf_text(&text));
}

json_t *rd_collateral_to_json(const rd_collateral *collateral)
{
    json_t *object = json_object();
    rd_json_set_str(object, "type", "redoubt/collateral/v1");
    for (size_t i = 0; i < COUNT; i++) {
        rd_bytes piece;
        memcpy(&piece, (const char *)collateral + members[i].offset, sizeof piece);
        if (piece.size == 0)
            continue;
        json_t *text = members[i].is_base64 ? base64_text(piece) : json_stringn((const char *)piece.data, piece.size);
        if (text)
            rd_json_set(object, members[i].name, text);
    }
    return object;
}
