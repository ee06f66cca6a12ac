#include "api/store.h"

#define DEPLOYMENT_COLUMNS                                                                                             \
    "d.deployment_id, d.app_id, d.gen, r.digest, d.kind, d.min, d.max, d.at, ro.state, ro.reason::text, "              \
    "ro.planned_at,"                                                                                                   \
    " ro.placed_at, ro.healthy_at, a.paused, ro.wanted, idle_s(d.strategy)"
#define DEPLOYMENT_JOINS                                                                                               \
    " FROM deployments d JOIN apps a ON a.app_id = d.app_id LEFT JOIN releases r ON r.release_id = d.release_id"       \
    " LEFT JOIN rollouts ro ON ro.app_id = d.app_id AND ro.gen = d.gen"

static const rd_pg_stmt stmts[] = {
    { "quota_lock", "SELECT 1 FROM org_quota WHERE org_id = $1 FOR NO KEY UPDATE", 1 },
    { "quota_take", "SELECT quota_take($1, $2, $3, $4, $5, $6)", 6 },
    { "deployment_last",
      "SELECT d.gen, d.min, d.max, d.kind, r.digest, (d.strategy->>'idle_s')::numeric::bigint FROM deployments d LEFT "
      "JOIN releases r ON r.release_id = "
      "d.release_id"
      " WHERE d.org_id = $1 AND d.app_id = $2 ORDER BY d.gen DESC LIMIT 1",
      2 },
    { "deployment_release",
      "SELECT release_id, cpu_m, mem FROM releases WHERE org_id = $1 AND app_id = $2 AND digest = $3", 3 },
    { "deployment_add",
      "INSERT INTO deployments (deployment_id, org_id, app_id, gen, release_id, head_seq, min, max, kind, cause, "
      "strategy)"
      " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, jsonb_strip_nulls(jsonb_build_object('idle_s', $11::bigint)))",
      11 },
    { "deployment_get", "SELECT " DEPLOYMENT_COLUMNS DEPLOYMENT_JOINS " WHERE d.deployment_id = $1", 1 },
    { "deployment_list",
      "SELECT " DEPLOYMENT_COLUMNS DEPLOYMENT_JOINS " WHERE d.org_id = $1 AND d.app_id = $2"
      " AND ($3::bigint IS NULL OR d.gen < $3) ORDER BY d.gen DESC LIMIT $4",
      4 },
};
const rd_pg_stmts api_store_deployments = { stmts, RD_ARRAY_LEN(stmts) };
