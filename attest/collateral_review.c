#include "attest/collateral_review.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "attest/intel.h"
#include "attest/vcek.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define CN_PCK_CA "SGX PCK "

/* --- Intel: one TCB info with the identity of its TEE and one PCK list, as for a quote without a leaf --- */

/* The PCK CA and the root stand in the issuer chain of the PCK list; a leaf is the evidence's affair. */
static int open_chain(rd_intel *intel, rd_err *err)
{
    rd_roots roots;
    rd_roots_of(intel->input->anchors, RD_TEE_TDX, &roots);
    rd_chain_rules rules = { .roots = roots.fingerprints,
                             .root_count = roots.count,
                             .time_us = intel->input->time_us,
                             .depth = 2,
                             .leaf_is_ca = true };
    rd_intel_chain *chain = rd_alloc(sizeof *chain);
    rd_chain path;
    rd_intel_hold(intel, rd_memo_new(chain, rd_intel_chain_free));
    if (intel->input->collateral->pck_crl_chain.size == 0)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "no issuer chain of the PCK list");
    if (rd_certs_parse_pem(intel->input->collateral->pck_crl_chain, 3, &chain->certs, err) < 0)
        return rd_err_wrap(err, "issuer chain of the PCK list");
    const rd_cert *ca = NULL;
    for (size_t i = 0; i < chain->certs.count; i++)
        if (strstr(rd_cert_subject_cn(chain->certs.items[i]), CN_PCK_CA))
            ca = chain->certs.items[i];
    if (!ca)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "issuer chain of the PCK list without a PCK CA");
    if (rd_chain_verify(ca, &chain->certs, &rules, &path, err) < 0)
        return rd_err_wrap(err, "issuer chain of the PCK list");
    intel->is_platform_ca = strstr(rd_cert_subject_cn(ca), "Platform") != NULL;
    intel->verdict->claims.class = intel->input->anchors->items[roots.index[path.root_index]].class;
    /* In the leaf's place the CA itself: it is not on its own list. */
    chain->path = (rd_chain){ .items = { ca, ca, path.items[1] }, .count = 3, .root_index = path.root_index };
    intel->pck_chain = &chain->path;
    return 0;
}

static int check_identity(const rd_intel *intel, rd_err *err)
{
    const char *id = intel->tcb_info->tee == RD_TEE_TDX ? "TD_QE" : "QE";
    if (strcmp(intel->qe_identity->id, id) != 0)
        return rd_err_set(err, RD_E_QE_IDENTITY_ID, "identity of %s beside TCB info for %s", intel->qe_identity->id,
                          rd_tee_names[intel->tcb_info->tee]);
    return 0;
}

static void note_window(int64_t *issued_us, int64_t *expires_us, int64_t from_us, int64_t to_us)
{
    if (from_us != 0 && (*issued_us == 0 || from_us < *issued_us))
        *issued_us = from_us;
    if (to_us != 0 && (*expires_us == 0 || to_us < *expires_us))
        *expires_us = to_us;
}

static void note_facts(const rd_intel *intel, rd_collateral_scope *ret)
{
    const rd_verdict *verdict = intel->verdict;
    ret->class = verdict->claims.class;
    ret->tee = intel->tcb_info->tee;
    ret->evaluation_number = RD_MIN(verdict->tcb.evaluation_number, verdict->tcb.qe_evaluation_number);
    ret->root_crl_number = verdict->root_crl_number;
    *(intel->is_platform_ca ? &ret->has_platform_list : &ret->has_processor_list) = true;
    *(intel->is_platform_ca ? &ret->platform_crl_number : &ret->processor_crl_number) = verdict->pck_crl_number;
    note_window(&ret->issued_us, &ret->expires_us, verdict->collateral_issued_us, verdict->collateral_expires_us);
    memcpy(ret->fmspc, intel->tcb_info->fmspc, sizeof ret->fmspc);
    rd_cert_fingerprint(intel->pck_chain->items[2], ret->root);
}

static int review_pieces(const rd_attest_input *input, rd_collateral_scope *ret, rd_err *err)
{
    RD_CLEANUP(rd_free_p) rd_verdict *verdict = rd_alloc(sizeof *verdict);
    RD_CLEANUP(rd_intel_done) rd_intel intel = { .input = input, .verdict = verdict };
    if (open_chain(&intel, err) < 0 || rd_intel_revocation(&intel, err) < 0 || rd_intel_tcb_info(&intel, err) < 0 ||
        rd_intel_qe_identity(&intel, err) < 0 || check_identity(&intel, err) < 0)
        return -1;
    note_facts(&intel, ret);
    return 0;
}

/* --- a scope of a set --- */

typedef struct review {
    const rd_collateral_set *set;
    const rd_anchors *anchors;
    int64_t time_us;
    rd_collateral_facts *facts;
    rd_err first;
    bool was_used[RD_PIECES_MAX]; /* in a check: by place in the set */
} review;

static const rd_piece *next_of(const rd_collateral_set *set, rd_piece_kind kind, const uint8_t root[32], size_t *at)
{
    for (; *at < rd_collateral_set_count(set); (*at)++) {
        const rd_piece *piece = rd_collateral_set_at(set, *at);
        if (piece->kind == kind && (!root || memcmp(piece->root, root, sizeof piece->root) == 0)) {
            (*at)++;
            return piece;
        }
    }
    return NULL;
}

static const rd_piece *first_of(const rd_collateral_set *set, rd_piece_kind kind, const uint8_t root[32])
{
    size_t at = 0;
    return next_of(set, kind, root, &at);
}

/* Under the same root; where it has none of that kind, any: the check then says what is wrong with it. */
static const rd_piece *near(const rd_collateral_set *set, rd_piece_kind kind, const rd_piece *like, const char *scope)
{
    const rd_piece *piece, *found = NULL;
    for (size_t at = 0; (piece = next_of(set, kind, like->root, &at)) != NULL;)
        if (!found || (scope && strncmp(piece->scope, scope, 3) == 0 && strncmp(found->scope, scope, 3) != 0))
            found = piece;
    return found ? found : first_of(set, kind, NULL);
}

static void note_used(review *r, const rd_piece *piece)
{
    for (size_t i = 0; i < rd_collateral_set_count(r->set); i++)
        r->was_used[i] |= rd_collateral_set_at(r->set, i) == piece;
}

static void put(review *r, const rd_piece *piece, rd_bytes *body, rd_bytes *chain)
{
    note_used(r, piece);
    if (piece) {
        *body = piece->body;
        *chain = piece->chain;
    }
}

static rd_collateral_scope *new_scope(review *r, rd_err *err)
{
    if (r->facts->scope_count == RD_SCOPES_MAX) {
        (void)rd_err_set(err, RD_E_TOO_LARGE, "a set for more than %d kinds of platform", RD_SCOPES_MAX);
        return NULL;
    }
    return &r->facts->scopes[r->facts->scope_count++];
}

static void end_scope(review *r, rd_collateral_scope *scope, int rc, const rd_err *err)
{
    rd_collateral_facts *facts = r->facts;
    if (rc == 0) {
        facts->good_count++;
    } else {
        scope->reason = err->code;
        (void)snprintf(scope->detail, sizeof scope->detail, "%.*s", (int)sizeof scope->detail - 1, err->text);
        if (r->first.code == RD_OK)
            r->first = *err;
    }
    if (scope->class == RD_CLASS_SIMULATED)
        facts->class = RD_CLASS_SIMULATED;
    if (scope->tee != RD_TEE_SNP &&
        (facts->evaluation_number == 0 || scope->evaluation_number < facts->evaluation_number))
        facts->evaluation_number = scope->evaluation_number;
    note_window(&facts->issued_us, &facts->expires_us, scope->issued_us, scope->expires_us);
}

/* What a piece says of itself, for a scope that does not verify. */
static void name_scope(rd_collateral_scope *scope, const rd_piece *info)
{
    scope->tee = strncmp(info->scope, "tdx", 3) == 0 ? RD_TEE_TDX : RD_TEE_SGX;
    memcpy(scope->root, info->root, sizeof scope->root);
    if (strlen(info->scope) == 16)
        (void)!rd_hex_decode(info->scope + 4, 12, scope->fmspc, sizeof scope->fmspc);
    note_window(&scope->issued_us, &scope->expires_us, info->issued_us, info->expires_us);
}

/* With each PCK list of its root: whoever issued the leaf, the lists must be there and hold. */
static int review_intel(review *r, const rd_piece *info, rd_err *err)
{
    rd_collateral_scope *scope = new_scope(r, err);
    rd_err why = RD_ERR_INIT;
    int rc = 0;
    if (!scope)
        return -1;
    name_scope(scope, info);
    note_used(r, info);
    rd_collateral pieces = { .tcb_info = info->body, .tcb_info_chain = info->chain };
    const rd_attest_input input = { .collateral = &pieces, .anchors = r->anchors, .time_us = r->time_us };
    put(r, near(r->set, RD_PIECE_ROOT_CRL, info, NULL), &pieces.root_ca_crl, &pieces.root_pem);
    put(r, near(r->set, RD_PIECE_IDENTITY, info, info->scope), &pieces.qe_identity, &pieces.qe_identity_chain);
    const rd_piece *list = near(r->set, RD_PIECE_PCK_CRL, info, NULL);
    put(r, list, &pieces.pck_crl, &pieces.pck_crl_chain);
    rc = review_pieces(&input, scope, &why);
    for (size_t at = 0; rc == 0 && (list = next_of(r->set, RD_PIECE_PCK_CRL, info->root, &at)) != NULL;) {
        put(r, list, &pieces.pck_crl, &pieces.pck_crl_chain);
        rc = review_pieces(&input, scope, &why);
    }
    end_scope(r, scope, rc, &why);
    return 0;
}

/* --- AMD --- */

/* *ret is NULL without a list. */
static int check_amd_list(const rd_piece *piece, const rd_chain *chain, int64_t time_us, rd_collateral_scope *scope,
                          rd_crl **ret, rd_err *err)
{
    if (!piece)
        return 0;
    if (rd_crl_parse(piece->body, ret, err) < 0)
        return rd_err_wrap(err, "revocation list of %s", rd_snp_product_names[scope->product]);
    const rd_crl *crl = *ret;
    if (rd_crl_verify(crl, chain->items[chain->count - 1], RD_CERT_AMD, time_us, err) < 0)
        return rd_err_wrap(err, "revocation list of %s", rd_snp_product_names[scope->product]);
    if (rd_crl_contains(crl, chain->items[0]))
        return rd_err_set(err, RD_E_CA_REVOKED, "%s was revoked", rd_cert_subject_cn(chain->items[0]));
    scope->root_crl_number = rd_crl_number(crl);
    note_window(&scope->issued_us, &scope->expires_us, rd_crl_this_update_us(crl), rd_crl_next_update_us(crl));
    return 0;
}

/* crl may be NULL. */
static int check_vceks(review *r, const rd_collateral_scope *scope, const rd_certs *issuers, rd_chain_rules rules,
                       const rd_crl *crl, rd_err *err)
{
    const rd_piece *piece;
    rules.depth = 3;
    rules.leaf_is_ca = false;
    for (size_t at = 0; (piece = next_of(r->set, RD_PIECE_VCEK, NULL, &at)) != NULL;) {
        RD_CLEANUP(rd_certs_done) rd_certs leaf = { 0 };
        rd_chain chain;
        rd_vcek_id id;
        if (!piece->is_readable || rd_vcek_id_parse(piece->scope, &id, err) < 0 || id.product != scope->product)
            continue;
        if (rd_certs_parse_mixed(piece->body, 1, &leaf, err) < 0 ||
            rd_chain_verify(leaf.items[0], issuers, &rules, &chain, err) < 0)
            return rd_err_wrap(err, "VCEK");
        if (crl && rd_crl_contains(crl, leaf.items[0]))
            return rd_err_set(err, RD_E_CA_REVOKED, "VCEK %.60s… was revoked", piece->scope);
        note_used(r, piece);
        r->facts->vcek_count++;
    }
    return 0;
}

static int check_amd(review *r, const rd_piece *piece, rd_collateral_scope *scope, rd_err *err)
{
    RD_CLEANUP(rd_certs_done) rd_certs certs = { 0 };
    RD_CLEANUP(rd_crl_free_p) rd_crl *crl = NULL;
    rd_roots roots;
    rd_chain chain;
    const rd_cert *ca = NULL;
    rd_roots_of(r->anchors, RD_TEE_SNP, &roots);
    rd_chain_rules rules = { .roots = roots.fingerprints,
                             .root_count = roots.count,
                             .time_us = r->time_us,
                             .depth = 2,
                             .profile = RD_CERT_AMD,
                             .leaf_is_ca = true };
    if (rd_certs_parse_mixed(piece->body, 3, &certs, err) < 0)
        return rd_err_wrap(err, "AMD chain");
    for (size_t i = 0; i < certs.count; i++)
        if (!rd_cert_is_self_issued(certs.items[i]))
            ca = certs.items[i];
    if (!ca)
        return rd_err_set(err, RD_E_CHAIN_PROFILE, "AMD chain without an ASK");
    if (rd_chain_verify(ca, &certs, &rules, &chain, err) < 0)
        return rd_err_wrap(err, "AMD chain");
    scope->class = r->anchors->items[roots.index[chain.root_index]].class;
    const rd_piece *list = first_of(r->set, RD_PIECE_AMD_CRL, piece->root);
    note_used(r, piece);
    note_used(r, list);
    if (check_amd_list(list, &chain, r->time_us, scope, &crl, err) < 0)
        return -1;
    return scope->is_vlek ? 0 : check_vceks(r, scope, &certs, rules, crl, err);
}

static int review_amd(review *r, const rd_piece *piece, rd_err *err)
{
    rd_collateral_scope *scope = new_scope(r, err);
    rd_err why = RD_ERR_INIT;
    if (!scope)
        return -1;
    scope->tee = RD_TEE_SNP;
    scope->is_vlek = strstr(piece->scope, "-VLEK") != NULL;
    scope->product = rd_snp_product_parse(rd_bytes_str(piece->scope));
    memcpy(scope->root, piece->root, sizeof scope->root);
    note_window(&scope->issued_us, &scope->expires_us, 0, piece->expires_us);
    end_scope(r, scope, check_amd(r, piece, scope, &why), &why);
    return 0;
}

/* --- the set --- */

/* Pieces that belong to nothing that was looked at are looked at alone, for what is wrong with them. */
static int review_rest(review *r, rd_err *err)
{
    static const rd_piece nothing = { .kind = RD_PIECE_TCB_INFO };
    bool has_intel = first_of(r->set, RD_PIECE_PCK_CRL, NULL) || first_of(r->set, RD_PIECE_ROOT_CRL, NULL) ||
                     first_of(r->set, RD_PIECE_IDENTITY, NULL);
    if (!first_of(r->set, RD_PIECE_TCB_INFO, NULL) && has_intel && review_intel(r, &nothing, err) < 0)
        return -1;
    for (size_t i = 0; r->first.code == RD_OK && i < rd_collateral_set_count(r->set); i++) {
        const rd_piece *piece = rd_collateral_set_at(r->set, i);
        if (!piece->is_readable)
            (void)rd_err_set(&r->first, RD_E_COLLATERAL_FORMAT, "%s cannot be read", rd_piece_names[piece->kind]);
    }
    for (size_t i = 0; !r->facts->unverified && i < rd_collateral_set_count(r->set); i++)
        if (!r->was_used[i])
            r->facts->unverified = rd_piece_names[rd_collateral_set_at(r->set, i)->kind];
    if (r->first.code == RD_OK && r->facts->scope_count == 0)
        (void)rd_err_set(&r->first, RD_E_COLLATERAL_MISSING, "the set covers no platform");
    return 0;
}

int rd_collateral_review(const rd_collateral_set *set, const rd_anchors *anchors, int64_t time_us,
                         rd_collateral_facts *ret, rd_err *err)
{
    review r = { .set = set, .anchors = anchors, .time_us = time_us, .facts = ret, .first = RD_ERR_INIT };
    *ret = (rd_collateral_facts){ .class = RD_CLASS_HARDWARE };
    const rd_piece *piece;
    for (size_t at = 0; (piece = next_of(set, RD_PIECE_TCB_INFO, NULL, &at)) != NULL;)
        if (review_intel(&r, piece, err) < 0)
            return -1;
    for (size_t at = 0; (piece = next_of(set, RD_PIECE_AMD_CHAIN, NULL, &at)) != NULL;)
        if (review_amd(&r, piece, err) < 0)
            return -1;
    if (review_rest(&r, err) < 0)
        return -1;
    if (r.first.code == RD_OK)
        return 0;
    if (err)
        *err = r.first;
    return -1;
}

int rd_collateral_follows(const rd_collateral_set *current, const rd_collateral_set *candidate, rd_err *err)
{
    for (size_t i = 0; i < rd_collateral_set_count(candidate); i++) {
        const rd_piece *piece = rd_collateral_set_at(candidate, i);
        const rd_piece *mine = rd_collateral_set_find(current, piece);
        bool is_signed = piece->kind == RD_PIECE_TCB_INFO || piece->kind == RD_PIECE_IDENTITY;
        if (!mine || !rd_piece_is_older(piece, mine))
            continue;
        if (piece->number == mine->number)
            return rd_err_set(err, RD_E_COLLATERAL_AGE, "%s %s was issued before the one in use",
                              rd_piece_names[piece->kind], piece->scope);
        return rd_err_set(err, is_signed ? RD_E_COLLATERAL_EVALNUM : RD_E_CRL_ROLLBACK,
                          "%s %s has number %" PRId64 ", %" PRId64 " is in use", rd_piece_names[piece->kind],
                          piece->scope, piece->number, mine->number);
    }
    return 0;
}

/* --- JSON --- */

static json_t *number_or_null(bool is_there, int64_t number)
{
    return is_there ? json_integer(number) : json_null();
}

static void set_time_or_null(json_t *object, const char *name, int64_t time_us)
{
    if (time_us)
        rd_json_set_time(object, name, time_us);
    else
        rd_json_set_null(object, name);
}

static json_t *scope_to_json(const rd_collateral_scope *scope)
{
    json_t *object = json_object();
    bool is_amd = scope->tee == RD_TEE_SNP;
    rd_json_set_str(object, "tee", rd_tee_names[scope->tee]);
    if (is_amd)
        rd_json_set_null(object, "fmspc");
    else
        rd_json_set_hex(object, "fmspc", RD_BYTES_ARRAY(scope->fmspc));
    rd_json_set_str(object, "product", is_amd ? rd_snp_product_names[scope->product] : NULL);
    rd_json_set_bool(object, "vlek", scope->is_vlek);
    rd_json_set_str(object, "class", rd_class_name(scope->class));
    rd_json_set_hex(object, "root", RD_BYTES_ARRAY(scope->root));
    rd_json_set_str(object, "reason", scope->reason ? rd_code_describe(scope->reason)->name : NULL);
    rd_json_set_str(object, "detail", scope->detail);
    rd_json_set(object, "evaluation_number", number_or_null(!is_amd, scope->evaluation_number));
    rd_json_set(object, "platform_crl_number", number_or_null(scope->has_platform_list, scope->platform_crl_number));
    rd_json_set(object, "processor_crl_number", number_or_null(scope->has_processor_list, scope->processor_crl_number));
    rd_json_set_int(object, "root_crl_number", scope->root_crl_number);
    set_time_or_null(object, "issued", scope->issued_us);
    set_time_or_null(object, "expires", scope->expires_us);
    return object;
}

json_t *rd_collateral_facts_to_json(const rd_collateral_facts *facts)
{
    json_t *object = json_object(), *scopes = json_array();
    rd_json_set_str(object, "class", rd_class_name(facts->class));
    rd_json_set_int(object, "evaluation_number", facts->evaluation_number);
    set_time_or_null(object, "issued", facts->issued_us);
    set_time_or_null(object, "expires", facts->expires_us);
    rd_json_set_int(object, "vceks", (int64_t)facts->vcek_count);
    for (size_t i = 0; i < facts->scope_count; i++)
        (void)json_array_append_new(scopes, scope_to_json(&facts->scopes[i]));
    rd_json_set(object, "scopes", scopes);
    return object;
}
