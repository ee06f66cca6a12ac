#include "api/collateral.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/crypto/hash.h"
#include "common/io/config.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS "number, digest, source, at, document"

static const rd_pg_stmt stmts[] = {
    { "collateral_adopt", "SELECT collateral_adopt($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)", 10 },
    { "collateral_current", "SELECT " COLUMNS " FROM collateral_sets ORDER BY number DESC LIMIT 1", 0 },
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
    bool exists;
    api_collateral_state state;
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

int api_collateral_check(const api_context *context, rd_bytes document, rd_collateral_facts *ret, rd_err *err)
{
    RD_CLEANUP(rd_collateral_set_free_p) rd_collateral_set *set = NULL;
    rd_anchors anchors;
    if (api_anchors(context->config, &anchors, err) < 0 || rd_collateral_set_parse(document, &set, err) < 0)
        return -1;
    return rd_collateral_review(rd_collateral_set_pieces(set), &anchors, rd_clock_wall_us(context->clock), ret, err);
}

rd_pg_outcome api_collateral_adopt(rd_pg *pg, rd_bytes document, const rd_collateral_facts *facts, const char *source,
                                   int64_t *ret_number, rd_err *err)
{
    RD_CLEANUP(rd_pg_result_free_p) rd_pg_result *row = NULL;
    rd_digest digest;
    rd_sha256(document, digest.b);
    rd_pg_outcome outcome = rd_pg_call(
        pg, "collateral_adopt", &row, err, rd_pg_bytes(RD_BYTES_ARRAY(digest.b)),
        rd_pg_bytes(RD_BYTES_ARRAY(facts->root)), rd_pg_text(facts->is_platform_ca ? "platform" : "processor"),
        rd_pg_i64(facts->evaluation_number), rd_pg_i64(facts->pck_crl_number), rd_pg_i64(facts->root_crl_number),
        rd_pg_time(facts->issued_us), rd_pg_time(facts->expires_us), rd_pg_text(source), rd_pg_bytes(document));
    if (outcome == RD_PG_SOME)
        *ret_number = rd_pg_get_i64(row, 0, 0);
    else if (outcome == RD_PG_FAILED && strcmp(rd_pg_constraint(pg), "collateral_sets_grow") == 0)
        (void)rd_err_set(err, RD_E_COLLATERAL_EVALNUM, "the set is older than one that was in use");
    return outcome;
}

static void put(api_collateral *collateral, api_collateral_state *state)
{
    rd_err ignored = RD_ERR_INIT;
    state->has_facts =
        api_collateral_check(collateral->context, rd_buf_bytes(&state->document), &state->facts, &ignored) == 0;
    pthread_mutex_lock(&collateral->lock);
    rd_buf_done(&collateral->state.document);
    collateral->state = *state;
    collateral->exists = true;
    pthread_mutex_unlock(&collateral->lock);
    *state = (api_collateral_state){ .number = 0 };
}

bool api_collateral_take_row(api_collateral *collateral, const rd_pg_result *row)
{
    api_collateral_state state = { .number = rd_pg_rows(row) > 0 ? rd_pg_get_i64(row, 0, 0) : 0 };
    if (state.number == 0 || state.number == collateral->state.number)
        return false;
    rd_pg_get_fixed(row, 0, 1, state.digest.b, sizeof(state.digest.b));
    snprintf(state.source, sizeof(state.source), "%s", rd_pg_get_text(row, 0, 2));
    state.at_us = rd_pg_get_time(row, 0, 3);
    rd_buf_init(&state.document, RD_COLLATERAL_SIZE_MAX);
    rd_buf_append_bytes(&state.document, rd_pg_get_bytes(row, 0, 4));
    rd_log(RD_INFO, "collateral_in_use", RD_I64("number", state.number), RD_STR("source", state.source));
    put(collateral, &state);
    return true;
}

/* The quick start's way. A file that is older than what was in use, or does not verify, is said so and left aside. */
static void offer_file(const api_collateral *collateral, rd_pg *pg, rd_bytes file)
{
    rd_collateral_facts facts;
    rd_err err = RD_ERR_INIT;
    int64_t number = 0;
    if (api_collateral_check(collateral->context, file, &facts, &err) < 0 ||
        api_collateral_adopt(pg, file, &facts, "file", &number, &err) != RD_PG_SOME)
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
    api_collateral_state state = { .document = file,
                                   .source = "file",
                                   .at_us = rd_clock_wall_us(collateral->context->clock) };
    rd_sha256(rd_buf_bytes(&file), state.digest.b);
    file = (rd_buf){ 0 };
    put(collateral, &state);
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
    rd_buf_done(&collateral->state.document);
    pthread_mutex_destroy(&collateral->lock);
    free(collateral);
    return NULL;
}

bool api_collateral_get(api_collateral *collateral, api_collateral_state *ret)
{
    *ret = (api_collateral_state){ .number = 0 };
    if (!collateral)
        return false;
    pthread_mutex_lock(&collateral->lock);
    bool exists = collateral->exists;
    if (exists) {
        *ret = collateral->state;
        ret->document = (rd_buf){ 0 };
        rd_buf_append_bytes(&ret->document, rd_buf_bytes(&collateral->state.document));
    }
    pthread_mutex_unlock(&collateral->lock);
    return exists;
}

bool api_collateral_exists(api_collateral *collateral)
{
    if (!collateral)
        return false;
    pthread_mutex_lock(&collateral->lock);
    bool exists = collateral->exists;
    pthread_mutex_unlock(&collateral->lock);
    return exists;
}
