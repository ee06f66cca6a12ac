#include "attest/collateral_set.h"

#include <stdlib.h>
#include <string.h>

#include "attest/collateral_read.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/x509.h"
#include "common/crypto/x509_crl.h"
#include "common/model/json.h"

#define TYPE_V1 "redoubt/collateral/v1"
#define TYPE_V2 "redoubt/collateral/v2"

const char *const rd_piece_names[] = { "root_ca_crl", "pck_crl", "tcb_info", "qe_identity",
                                       "amd_chain",   "amd_crl", "vcek",     NULL };

typedef struct item {
    rd_piece piece; /* borrows from the two */
    rd_buf body, chain;
} item;

struct rd_collateral_set {
    item *items;
    size_t count;
};

static void item_done(item *it)
{
    rd_buf_done(&it->body);
    rd_buf_done(&it->chain);
}

rd_collateral_set *rd_collateral_set_new(void)
{
    return rd_alloc(sizeof(rd_collateral_set));
}

rd_collateral_set *rd_collateral_set_free(rd_collateral_set *set)
{
    for (size_t i = 0; set && i < set->count; i++)
        item_done(&set->items[i]);
    if (set)
        free(set->items);
    free(set);
    return NULL;
}

void rd_collateral_set_free_p(rd_collateral_set **set)
{
    *set = rd_collateral_set_free(*set);
}

size_t rd_collateral_set_count(const rd_collateral_set *set)
{
    return set->count;
}

const rd_piece *rd_collateral_set_at(const rd_collateral_set *set, size_t index)
{
    return &set->items[index].piece;
}

/* --- putting in --- */

static bool is_same(const rd_piece *a, const rd_piece *b)
{
    return a->kind == b->kind && a->is_readable == b->is_readable && memcmp(a->root, b->root, sizeof a->root) == 0 &&
           strcmp(a->scope, b->scope) == 0;
}

static item *find(const rd_collateral_set *set, const rd_piece *like)
{
    for (size_t i = 0; i < set->count; i++)
        if (is_same(&set->items[i].piece, like))
            return &set->items[i];
    return NULL;
}

const rd_piece *rd_collateral_set_find(const rd_collateral_set *set, const rd_piece *like)
{
    const item *found = find(set, like);
    return found ? &found->piece : NULL;
}

bool rd_piece_is_older(const rd_piece *a, const rd_piece *b)
{
    return a->number < b->number || (a->number == b->number && a->issued_us < b->issued_us);
}

static void take_out(rd_collateral_set *set, size_t index)
{
    item_done(&set->items[index]);
    memmove(&set->items[index], &set->items[index + 1], (set->count - index - 1) * sizeof(item));
    set->count--;
}

static size_t count_vceks(const rd_collateral_set *set)
{
    size_t count = 0;
    for (size_t i = 0; i < set->count; i++)
        count += set->items[i].piece.kind == RD_PIECE_VCEK;
    return count;
}

/* False when there is none. */
static bool drop_vcek(rd_collateral_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->items[i].piece.kind == RD_PIECE_VCEK) {
            take_out(set, i);
            return true;
        }
    return false;
}

int rd_collateral_set_put(rd_collateral_set *set, rd_piece_kind kind, rd_bytes body, rd_bytes chain, rd_err *err)
{
    item made = { .piece = { .kind = kind } };
    rd_buf_init(&made.body, RD_COLLATERAL_SIZE_MAX);
    rd_buf_init(&made.chain, RD_COLLATERAL_SIZE_MAX);
    if (!rd_buf_append_bytes(&made.body, body) || !rd_buf_append_bytes(&made.chain, chain)) {
        item_done(&made);
        return rd_err_set(err, RD_E_TOO_LARGE, "%s of %zu bytes", rd_piece_names[kind], body.size);
    }
    made.piece.body = rd_buf_bytes(&made.body);
    made.piece.chain = rd_buf_bytes(&made.chain);
    rd_piece_read(&made.piece);
    item *old = find(set, &made.piece);
    if (old) {
        item_done(old);
        *old = made;
        return 0;
    }
    if (set->count == RD_PIECES_MAX && !drop_vcek(set)) {
        item_done(&made);
        return rd_err_set(err, RD_E_TOO_LARGE, "a set of more than %d pieces", RD_PIECES_MAX);
    }
    set->items = rd_realloc(set->items, (set->count + 1) * sizeof(item));
    set->items[set->count++] = made;
    if (count_vceks(set) > RD_VCEKS_MAX)
        (void)drop_vcek(set);
    return 0;
}

/* ASK or ASVK and ARK of a chain as it lies in a folder; a VCEK of it stands for itself. */
static int put_amd(rd_collateral_set *set, const rd_collateral *pieces, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    RD_CLEANUP(rd_buf_done) rd_buf chain = { 0 }, root = { 0 };
    if (pieces->snp_chain.size == 0)
        return 0;
    if (rd_certs_parse_mixed(pieces->snp_chain, 4, &certs, err) < 0)
        return rd_err_wrap(err, "AMD chain");
    for (size_t i = 0; i < certs.count; i++) {
        const rd_cert *cert = certs.items[i];
        if (rd_cert_is_ca(cert))
            rd_cert_to_pem(cert, &chain);
        if (rd_cert_is_self_issued(cert))
            rd_cert_to_pem(cert, &root);
        /* A VLEK comes with its evidence and lives a year: it is nobody's to keep. */
        if (!rd_cert_is_ca(cert) && strstr(rd_cert_subject_cn(cert), "VCEK") &&
            rd_collateral_set_put(set, RD_PIECE_VCEK, rd_cert_der(cert), RD_BYTES_NULL, err) < 0)
            return -1;
    }
    if (chain.size > 0 && rd_collateral_set_put(set, RD_PIECE_AMD_CHAIN, rd_buf_bytes(&chain), RD_BYTES_NULL, err) < 0)
        return -1;
    if (pieces->snp_crl.size == 0)
        return 0;
    return rd_collateral_set_put(set, RD_PIECE_AMD_CRL, pieces->snp_crl, rd_buf_bytes(&root), err);
}

int rd_collateral_set_put_pieces(rd_collateral_set *set, const rd_collateral *pieces, rd_err *err)
{
    rd_bytes root = pieces->root_pem.size ? pieces->root_pem : pieces->pck_crl_chain;
    const struct {
        rd_piece_kind kind;
        rd_bytes body, chain;
    } rows[] = {
        { RD_PIECE_ROOT_CRL, pieces->root_ca_crl, root },
        { RD_PIECE_PCK_CRL, pieces->pck_crl, pieces->pck_crl_chain },
        { RD_PIECE_TCB_INFO, pieces->tcb_info, pieces->tcb_info_chain },
        { RD_PIECE_IDENTITY, pieces->qe_identity, pieces->qe_identity_chain },
    };
    for (size_t i = 0; i < RD_ARRAY_LEN(rows); i++)
        if (rows[i].body.size > 0 && rd_collateral_set_put(set, rows[i].kind, rows[i].body, rows[i].chain, err) < 0)
            return -1;
    return put_amd(set, pieces, err);
}

int rd_collateral_set_merge(rd_collateral_set *set, const rd_collateral_set *other, bool keeps_newer, rd_err *err)
{
    int left_out = 0;
    for (size_t i = 0; i < other->count; i++) {
        const rd_piece *piece = &other->items[i].piece;
        const rd_piece *mine = rd_collateral_set_find(set, piece);
        if (keeps_newer && mine && rd_piece_is_older(piece, mine)) {
            left_out++;
            continue;
        }
        if (rd_collateral_set_put(set, piece->kind, piece->body, piece->chain, err) < 0)
            return -1;
    }
    return left_out;
}

void rd_collateral_set_expire(rd_collateral_set *set, int64_t time_us)
{
    for (size_t i = set->count; i > 0; i--) {
        const rd_piece *piece = &set->items[i - 1].piece;
        if (piece->expires_us != 0 && piece->expires_us < time_us)
            take_out(set, i - 1);
    }
}

/* AMD's list is that of a product: "Milan" for "Milan/chip id/1.0.8.115". */
static bool is_revoked(const rd_piece *vcek, const rd_piece *list)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    RD_CLEANUP(rd_crl_free_p) rd_crl *crl = NULL;
    size_t size = strlen(list->scope);
    if (strncmp(vcek->scope, list->scope, size) != 0 || vcek->scope[size] != '/')
        return false;
    return rd_certs_parse_mixed(vcek->body, 1, &certs, NULL) == 0 && certs.count == 1 &&
           rd_crl_parse(list->body, &crl, NULL) == 0 && rd_crl_contains(crl, certs.items[0]);
}

void rd_collateral_set_revoke(rd_collateral_set *set)
{
    for (size_t i = set->count; i > 0; i--)
        for (size_t j = 0; set->items[i - 1].piece.kind == RD_PIECE_VCEK && j < set->count; j++)
            if (set->items[j].piece.kind == RD_PIECE_AMD_CRL &&
                is_revoked(&set->items[i - 1].piece, &set->items[j].piece)) {
                take_out(set, i - 1);
                break;
            }
}

/* --- JSON --- */

static bool is_binary(rd_piece_kind kind)
{
    return kind == RD_PIECE_ROOT_CRL || kind == RD_PIECE_PCK_CRL || kind == RD_PIECE_AMD_CRL || kind == RD_PIECE_VCEK;
}

/* What is not there is empty: the check that needs it says so by its own code. */
static int read_text(const json_t *value, bool is_base64, rd_buf *out)
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    if (!value)
        return 0;
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

static int malformed(const char *name, rd_err *err)
{
    return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "collateral set: %s is malformed", name);
}

static int read_v1(const json_t *root, rd_collateral_set *set, rd_err *err)
{
    static const struct {
        const char *name;
        bool is_base64;
        size_t offset;
    } members[] = {
        { "root", false, offsetof(rd_collateral, root_pem) },
        { "pck_crl", true, offsetof(rd_collateral, pck_crl) },
        { "pck_crl_chain", false, offsetof(rd_collateral, pck_crl_chain) },
        { "root_ca_crl", true, offsetof(rd_collateral, root_ca_crl) },
        { "tcb_info", false, offsetof(rd_collateral, tcb_info) },
        { "tcb_info_chain", false, offsetof(rd_collateral, tcb_info_chain) },
        { "qe_identity", false, offsetof(rd_collateral, qe_identity) },
        { "qe_identity_chain", false, offsetof(rd_collateral, qe_identity_chain) },
    };
    rd_buf owned[RD_ARRAY_LEN(members)] = { 0 };
    rd_collateral pieces = { 0 };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < RD_ARRAY_LEN(members); i++) {
        if (read_text(json_object_get(root, members[i].name), members[i].is_base64, &owned[i]) < 0)
            rc = malformed(members[i].name, err);
        rd_bytes piece = rd_buf_bytes(&owned[i]);
        memcpy((char *)&pieces + members[i].offset, &piece, sizeof piece);
    }
    if (rc == 0)
        rc = rd_collateral_set_put_pieces(set, &pieces, err);
    for (size_t i = 0; i < RD_ARRAY_LEN(members); i++)
        rd_buf_done(&owned[i]);
    return rc;
}

static int read_item(const json_t *value, size_t index RD_UNUSED, void *context, const char *pointer RD_UNUSED,
                     rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf body = { 0 }, chain = { 0 };
    const char *name = json_string_value(json_object_get(value, "kind"));
    int kind = 0;
    while (name && rd_piece_names[kind] && strcmp(rd_piece_names[kind], name) != 0)
        kind++;
    if (!name || !rd_piece_names[kind])
        return malformed("the kind of a piece", err);
    if (read_text(json_object_get(value, "body"), is_binary((rd_piece_kind)kind), &body) < 0 || body.size == 0 ||
        read_text(json_object_get(value, "chain"), false, &chain) < 0)
        return malformed(name, err);
    return rd_collateral_set_put(context, (rd_piece_kind)kind, rd_buf_bytes(&body), rd_buf_bytes(&chain), err);
}

static int read_set(const json_t *root, rd_collateral_set *set, rd_err *err)
{
    const char *type = json_string_value(json_object_get(root, "type"));
    const json_t *pieces = json_object_get(root, "pieces");
    if (type && strcmp(type, TYPE_V1) == 0)
        return read_v1(root, set, err);
    if (!type || strcmp(type, TYPE_V2) != 0)
        return rd_err_set(err, RD_E_COLLATERAL_FORMAT, "collateral set: not of type " TYPE_V2);
    if (!json_is_array(pieces))
        return malformed("pieces", err);
    if (rd_json_each(pieces, 0, RD_PIECES_MAX, "/pieces", read_item, set, err) < 0) {
        err->code = err->code == RD_E_JSON_RANGE ? RD_E_COLLATERAL_FORMAT : err->code;
        return -1;
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
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = rd_collateral_set_new();
    if (read_set(root, set, &why) < 0) {
        if (err)
            *err = why;
        return -1;
    }
    *ret = RD_TAKE(set);
    return 0;
}

static json_t *text_of(rd_bytes bytes, bool is_base64)
{
    RD_CLEANUP(rd_buf_done) rd_buf text = { 0 };
    if (!is_base64)
        return json_stringn((const char *)bytes.data, bytes.size);
    rd_buf_append_base64(&text, bytes);
    return json_string(rd_buf_text(&text));
}

json_t *rd_collateral_set_to_json(const rd_collateral_set *set)
{
    json_t *object = json_object(), *pieces = json_array();
    rd_json_set_str(object, "type", TYPE_V2);
    rd_json_set(object, "pieces", pieces);
    for (size_t i = 0; i < set->count; i++) {
        const rd_piece *piece = &set->items[i].piece;
        json_t *body = text_of(piece->body, is_binary(piece->kind));
        json_t *chain = piece->chain.size ? text_of(piece->chain, false) : NULL;
        json_t *one = json_object();
        rd_json_set_str(one, "kind", rd_piece_names[piece->kind]);
        /* A text that is no UTF-8 is no collateral either. */
        if (body)
            rd_json_set(one, "body", body);
        if (chain)
            rd_json_set(one, "chain", chain);
        (void)json_array_append_new(pieces, one);
    }
    return object;
}

int rd_collateral_set_write(rd_collateral_set *set, rd_buf *ret, rd_err *err)
{
    do {
        RD_CLEANUP(rd_json_free_p) json_t *json = rd_collateral_set_to_json(set);
        rd_buf_done(ret);
        rd_buf_init(ret, RD_COLLATERAL_SIZE_MAX);
        if (rd_json_dump(json, ret))
            return 0;
    } while (drop_vcek(set));
    return rd_err_set(err, RD_E_TOO_LARGE, "the set would be larger than 1 MiB");
}
