#include "api/store.h"

#define INSTANCE_COLUMNS                                                                                               \
    "l.instance_id, l.app_id, l.epoch, l.host_id, d.deployment_id, l.release_digest, l.want, l.live, l.granted_at,"    \
    " l.end_reason, s.phase, s.reason, s.detail, s.launching_at, s.attesting_at, s.serving_at, v.result, "             \
    "v.tcb_status,"                                                                                                    \
    " v.simulated, v.verified_at, v.valid_until, v.evidence_digest, v.collateral_eval,"                                \
    " coalesce(l.live AND l.want = 1 AND s.phase = 4 AND v.result = 1 AND v.valid_until > clock_timestamp(), false),"  \
    " v.reason, i.name, l.head_seq"
#define INSTANCE_JOINS                                                                                                 \
    " LEFT JOIN lease_status s ON s.instance_id = l.instance_id AND s.epoch = l.epoch"                                 \
    " LEFT JOIN lease_verdicts v ON v.instance_id = l.instance_id AND v.epoch = l.epoch"                               \
    " LEFT JOIN host_identity i ON i.host_id = l.host_id"

static const rd_pg_stmt stmts[] = {
    { "instances_of_deployment",
      "SELECT DISTINCT ON (l.instance_id) " INSTANCE_COLUMNS " FROM deployments d JOIN leases l"
      " ON l.instance_id BETWEEN instances_from(d.deployment_id) AND instances_to(d.deployment_id)" INSTANCE_JOINS
      " WHERE d.deployment_id = $1 ORDER BY l.instance_id, l.epoch DESC LIMIT 200",
      1 },
    { "instances_of_app",
      "SELECT DISTINCT ON (l.instance_id) " INSTANCE_COLUMNS " FROM (SELECT deployment_id FROM deployments"
      " WHERE org_id = $1 AND app_id = $2 ORDER BY gen DESC LIMIT 20) d JOIN leases l"
      " ON l.instance_id BETWEEN instances_from(d.deployment_id) AND instances_to(d.deployment_id)" INSTANCE_JOINS
      " WHERE (l.live OR l.held OR $5) AND ($3::uuid IS NULL OR l.instance_id < $3)"
      " ORDER BY l.instance_id DESC, l.epoch DESC LIMIT $4",
      5 },
    { "instance_get",
      "SELECT " INSTANCE_COLUMNS " FROM leases l JOIN deployments d ON l.instance_id"
      " BETWEEN instances_from(d.deployment_id) AND instances_to(d.deployment_id) AND d.app_id = "
      "l.app_id" INSTANCE_JOINS " WHERE l.instance_id = $1 ORDER BY l.epoch DESC LIMIT 1",
      1 },
};
const rd_pg_stmts api_store_fleet = { stmts, RD_ARRAY_LEN(stmts) };
