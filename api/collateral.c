#include "api/collateral.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/io/config.h"
#include "common/model/json.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS "number, digest, source, at, document"

static const rd_pg_stmt stmts[] = {
    { "collateral_lock", "SELECT pg_advisory_xact_lock(hashtextextended('collateral', 0))", 0 },
    { "collateral_adopt", "SELECT collateral_adopt($1, $2, $3, $4, $5, $6, $7)", 7 },
    { "collateral_current", "SELECT " COLUMNS " FROM collateral_sets ORDER BY number DESC LIMIT 1", 0 },
    { "collateral_refresh_get",
      "SELECT tried_at, succeeded_at, next_at, failures::bigint, code, detail, source FROM (SELECT 1) AS one"
      " LEFT JOIN collateral_refresh ON true",
      0 },
    { "collateral_refresh_now", "SELECT collateral_refresh_now()", 0 },
    { "forecast_hosts",
      "SELECT host_id, name, evidence FROM host_identity WHERE operator_org = $1 AND retired_at IS NULL"
      " AND evidence IS NOT NULL AND ($2::uuid IS NULL OR host_id > $2) ORDER BY host_id LIMIT $3",
      3 },
    { "forecast_instances",
      "SELECT l.instance_id, l.epoch, l.app_id, l.host_id, e.bundle, c.head FROM leases l"
      " JOIN lease_evidence e ON e.instance_id = l.instance_id AND e.epoch = l.epoch"
      " JOIN LATERAL (SELECT h.head FROM heads h WHERE h.app_id = l.app_id ORDER BY h.seq DESC LIMIT 1) c ON true"
      " WHERE l.live AND l.org_id = $1 AND ($2::uuid IS NULL OR l.instance_id > $2) ORDER BY l.instance_id LIMIT $3",
      3 },
};
const rd_pg_stmts api_store_collateral = { stmts, RD_ARRAY_LEN(stmts) };

static const rd_pg_stmt follow_stmts[] = {
    { "collateral_follow", "SELECT " COLUMNS " FROM collateral_sets ORDER BY number DESC LIMIT 1", 0 },
};
const rd_pg_stmts api_collateral_follow_stmts = { follow_stmts, RD_ARRAY_LEN(follow_stmts) };

struct api_collateral {
    const api_context *context;
    pthread_mutex_t lock; /* guards what follows */
    api_collateral_state *state;
};

int api_anchors(const api_config *config, rd_anchors *ret, rd_err *err)
{
    uint8_t root[32];
    const char *hex = config->simulation_root; /* main took "sha256:" off */
    rd_anchors_init(ret);
    if (!hex || !hex[0])
        return 0;
    if (rd_hex_decode(hex, strlen(hex), root, sizeof(root)) < 0)
        return rd_err_set(err, RD_E_CONFIG, "simulation-root must be 64 hex digits");
    return rd_anchors_add_simulated(ret, root, err);
}

/* --- a set that is brought --- */

int api_collateral_check(const api_context *context, rd_bytes document, rd_collateral_set **ret,
                         rd_collateral_facts *ret_facts, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    rd_anchors anchors;
    if (api_anchors(context->config, &anchors, err) < 0 || rd_collateral_set_parse(document, &set, err) < 0 ||
        rd_collateral_review(set, &anchors, rd_clock_wall_us(context->clock), ret_facts, err) < 0)
        return -1;
    /* Its number would hold back the genuine one. */
    if (ret_facts->unverified)
        return rd_err_set(err, RD_E_COLLATERAL_MISSING, "nothing in the set verifies its %s", ret_facts->unverified);
    *ret = RD_TAKE(set);
    return 0;
}

int api_collateral_merge(const api_context *context, const rd_collateral_set *base, const rd_collateral_set *brought,
                         bool keeps_newer, rd_collateral_set **ret, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = rd_collateral_set_new();
    if (base && rd_collateral_set_merge(set, base, false, err) < 0)
        return -1;
    rd_collateral_set_expire(set, rd_clock_wall_us(context->clock));
    int left_out = rd_collateral_set_merge(set, brought, keeps_newer, err);
    rd_collateral_set_revoke(set);
    if (left_out >= 0)
        *ret = RD_TAKE(set);
    return left_out;
}

/* "kind/root/scope": [number, issued] of every piece that has a number. */
static json_t *marks_of(const rd_collateral_set *set)
{
    json_t *marks = json_object();
    for (size_t i = 0; i < rd_collateral_set_count(set); i++) {
        const rd_piece *piece = rd_collateral_set_at(set, i);
        char root[65];
        if (!piece->is_readable || piece->issued_us == 0)
            continue;
        rd_hex_encode(RD_BYTES_ARRAY(piece->root), root);
        RD_CLEANUP(rd_free_p) char *mark = rd_asprintf("%s/%s/%s", rd_piece_names[piece->kind], root, piece->scope);
        rd_json_set(marks, mark, json_pack("[I, I]", (json_int_t)piece->number, (json_int_t)piece->issued_us));
    }
    return marks;
}

static rd_pg_outcome store(rd_pg *pg, rd_collateral_set *set, api_adoption *a, int64_t last, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    RD_CLEANUP(rd_buf_done) rd_buf document = { 0 }, marks = { 0 };
    RD_CLEANUP(rd_json_free_p) json_t *marks_json = marks_of(set);
    rd_digest digest;
    if (rd_collateral_set_write(set, &document, err) < 0)
        return RD_PG_FAILED;
    if (!rd_json_dump(marks_json, &marks))
        return (void)rd_err_set(err, RD_E_TOO_LARGE, "the marks of the set"), RD_PG_FAILED;
    rd_sha256(rd_buf_bytes(&document), digest.b);
    rd_pg_outcome outcome = rd_pg_call(pg, "collateral_adopt", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(digest.b)),
                                       rd_pg_text(rd_buf_text(&marks)), rd_pg_i64(a->facts.evaluation_number),
                                       rd_pg_time(a->facts.issued_us), rd_pg_time(a->facts.expires_us),
                                       rd_pg_text(a->source), rd_pg_bytes(rd_buf_bytes(&document)));
    if (outcome == RD_PG_SOME) {
        a->number = rd_pg_get_i64(row, 0, 0);
        a->has_changed = a->number != last;
    } else if (outcome == RD_PG_FAILED && strcmp(rd_pg_constraint(pg), "collateral_sets_grow") == 0) {
        (void)rd_err_set(err, RD_E_COLLATERAL_EVALNUM, "a piece of the set is older than one that was in use");
    }
    return outcome;
}

rd_pg_outcome api_collateral_adopt(rd_pg *pg, void *adoption, rd_err *err)
{
    api_adoption *a = adoption;
    const api_context *context = a->context;
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *base = NULL, *merged = NULL;
    rd_anchors anchors;
    rd_err ignored = RD_ERR_INIT;
    rd_pg_outcome outcome = rd_pg_call(pg, "collateral_lock", NULL, err);
    if (outcome == RD_PG_SOME)
        outcome = rd_pg_call(pg, "collateral_current", &row, err);
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return outcome;
    int64_t last = rd_pg_rows(row) > 0 ? rd_pg_get_i64(row, 0, 0) : 0;
    if (last && rd_collateral_set_parse(rd_pg_get_bytes(row, 0, 4), &base, &ignored) < 0)
        rd_log(RD_WARN, "collateral_not_read", RD_ERR(&ignored));
    a->left_out = api_collateral_merge(context, base, a->brought, a->keeps_newer, &merged, err);
    if (a->left_out < 0 || api_anchors(context->config, &anchors, err) < 0)
        return RD_PG_FAILED;
    /* What was there before may hold no longer; what was brought does. */
    (void)!rd_collateral_review(merged, &anchors, rd_clock_wall_us(context->clock), &a->facts, &ignored);
    return store(pg, merged, a, last, err);
}

/* --- what is in use --- */

api_collateral_state *api_collateral_share(api_collateral_state *state)
{
    if (state)
        atomic_fetch_add(&state->holders, 1);
    return state;
}

api_collateral_state *api_collateral_drop(api_collateral_state *state)
{
    if (state && atomic_fetch_sub(&state->holders, 1) == 1) {
        rd_collateral_set_free(state->set);
        rd_buf_done(&state->document);
        free(state);
    }
    return NULL;
}

void api_collateral_drop_p(api_collateral_state **state)
{
    *state = api_collateral_drop(*state);
}

api_collateral_state *api_collateral_hold(api_collateral *collateral)
{
    if (!collateral)
        return NULL;
    pthread_mutex_lock(&collateral->lock);
    api_collateral_state *state = api_collateral_share(collateral->state);
    pthread_mutex_unlock(&collateral->lock);
    return state;
}

static api_collateral_state *state_new(rd_bytes document)
{
    api_collateral_state *state = rd_alloc(sizeof *state);
    state->holders = 1;
    rd_buf_init(&state->document, RD_COLLATERAL_SIZE_MAX);
    (void)rd_buf_append_bytes(&state->document, document);
    return state;
}

/* Takes state over. One that cannot even be read verifies nothing: what was in use before stays. */
static void put(api_collateral *collateral, api_collateral_state *state)
{
    const api_context *context = collateral->context;
    rd_anchors anchors;
    rd_err err = RD_ERR_INIT;
    if (rd_collateral_set_parse(rd_buf_bytes(&state->document), &state->set, &err) < 0 ||
        api_anchors(context->config, &anchors, &err) < 0) {
        rd_log(RD_WARN, "collateral_not_used", RD_ERR(&err));
        api_collateral_drop(state);
        return;
    }
    if (rd_collateral_review(state->set, &anchors, rd_clock_wall_us(context->clock), &state->facts, &err) < 0)
        rd_log(RD_WARN, "collateral_does_not_verify", RD_U64("good", state->facts.good_count), RD_ERR(&err));
    pthread_mutex_lock(&collateral->lock);
    api_collateral_state *old = collateral->state;
    collateral->state = state;
    pthread_mutex_unlock(&collateral->lock);
    api_collateral_drop(old);
}

bool api_collateral_take_row(api_collateral *collateral, const rd_pg_result *row)
{
    int64_t number = rd_pg_rows(row) > 0 ? rd_pg_get_i64(row, 0, 0) : 0;
    if (number == 0 || (collateral->state && number == collateral->state->number))
        return false;
    api_collateral_state *state = state_new(rd_pg_get_bytes(row, 0, 4));
    state->number = number;
    rd_pg_get_fixed(row, 0, 1, state->digest.b, sizeof(state->digest.b));
    snprintf(state->source, sizeof(state->source), "%s", rd_pg_get_text(row, 0, 2));
    state->at_us = rd_pg_get_time(row, 0, 3);
    rd_log(RD_INFO, "collateral_in_use", RD_I64("number", number), RD_STR("source", state->source));
    put(collateral, state);
    return true;
}

void api_collateral_metrics(void *arg, rd_buf *out)
{
    RD_CLEANUP(api_collateral_drop_p) api_collateral_state *state = api_collateral_hold(arg);
    if (!state)
        return;
    const rd_collateral_facts *facts = &state->facts;
    rd_buf_printf(out,
                  "# HELP redoubt_collateral_set Number of the collateral set in use at this replica.\n"
                  "# TYPE redoubt_collateral_set gauge\nredoubt_collateral_set %" PRId64 "\n"
                  "# HELP redoubt_collateral_scopes Kinds of platform that it covers, and those of them that verify.\n"
                  "# TYPE redoubt_collateral_scopes gauge\n"
                  "redoubt_collateral_scopes{state=\"all\"} %zu\nredoubt_collateral_scopes{state=\"good\"} %zu\n"
                  "# HELP redoubt_collateral_evaluation_number The lowest evaluation number in it.\n"
                  "# TYPE redoubt_collateral_evaluation_number gauge\nredoubt_collateral_evaluation_number %u\n"
                  "# HELP redoubt_collateral_expires_timestamp_seconds When the first of its pieces ends.\n"
                  "# TYPE redoubt_collateral_expires_timestamp_seconds gauge\n"
                  "redoubt_collateral_expires_timestamp_seconds %" PRId64 "\n",
                  state->number, facts->scope_count, facts->good_count, facts->evaluation_number,
                  facts->expires_us / 1000000);
}

/* --- the start --- */

/* The quick start's way. A file that is older than what was in use, or does not verify, is said so and left aside. */
static void offer_file(const api_collateral *collateral, rd_pg *pg, rd_bytes file)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    RD_CLEANUP(rd_free_p) api_adoption *adoption = rd_alloc(sizeof *adoption);
    rd_err err = RD_ERR_INIT;
    bool is_good = api_collateral_check(collateral->context, file, &set, &adoption->facts, &err) == 0;
    adoption->brought = set;
    adoption->source = "file";
    adoption->context = collateral->context;
    if (!is_good || rd_pg_tx(pg, NULL, api_collateral_adopt, adoption, &err) != RD_PG_SOME)
        rd_log(RD_WARN, "collateral_file_not_taken", RD_ERR(&err));
}

static int start(api_collateral *collateral, rd_pg *pg, rd_err *err)
{
    RD_CLEANUP(rd_buf_done) rd_buf file = { 0 };
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    const char *path = collateral->context->config->collateral;
    bool has_file = path && path[0];
    if (has_file && rd_file_read(path, RD_COLLATERAL_SIZE_MAX, &file, err) < 0)
        return rd_err_wrap(err, "collateral");
    if (has_file)
        offer_file(collateral, pg, rd_buf_bytes(&file));
    rd_pg_outcome outcome = rd_pg_call(pg, "collateral_current", &row, err);
    if (outcome != RD_PG_SOME && outcome != RD_PG_NONE)
        return rd_err_wrap(err, "collateral");
    if (api_collateral_take_row(collateral, row) || !has_file)
        return 0;
    api_collateral_state *state = state_new(rd_buf_bytes(&file));
    (void)snprintf(state->source, sizeof state->source, "file");
    state->at_us = rd_clock_wall_us(collateral->context->clock);
    rd_sha256(rd_buf_bytes(&file), state->digest.b);
    put(collateral, state);
    return 0;
}

int api_collateral_new(const api_context *context, api_collateral **ret, rd_err *err)
{
    const rd_pg_options options = { .conninfo = context->config->database,
                                    .role = "rd_api",
                                    .application_name = "redoubt-api collateral",
                                    .tables = &api_store_collateral,
                                    .table_count = 1 };
    RD_CLEANUP(rd_pg_free_p) rd_pg *pg = rd_pg_new(&options);
    api_collateral *collateral = rd_alloc(sizeof(*collateral));
    collateral->context = context;
    pthread_mutex_init(&collateral->lock, NULL);
    if (start(collateral, pg, err) < 0) {
        api_collateral_free(collateral);
        return -1;
    }
    *ret = collateral;
    return 0;
}

api_collateral *api_collateral_free(api_collateral *collateral)
{
    if (!collateral)
        return NULL;
    api_collateral_drop(collateral->state);
    pthread_mutex_destroy(&collateral->lock);
    free(collateral);
    return NULL;
}
