#include "api/store.h"

#define HOST_COLUMNS                                                                                                   \
    "i.host_id, i.name, i.region, i.tee, i.simulated, h.state, k.state, k.reported_cpu_m, k.reported_mem,"             \
    " k.reported_slots, h.used_cpu_m, h.used_mem, h.used_slots, i.platform_id, i.verdict::text, i.labels::text, i.at," \
    " i.revoked_at, coalesce(w.gen, 0), coalesce(w.cordon, false), k.agent_version, i.shard, i.zone,"                  \
    " coalesce(m.mark, 0) > coalesce(w.released, 0), m.code, m.detail, m.marked_at,"                                   \
    " CASE WHEN m.since > clock_timestamp() - interval '1 hour' THEN m.faults ELSE 0 END,"                             \
    " coalesce(k.engines ? 'engine.jsc', false)"
#define HOST_JOINS                                                                                                     \
    " FROM host_identity i LEFT JOIN hosts h ON h.host_id = i.host_id LEFT JOIN host_links k ON k.host_id = i.host_id" \
    " LEFT JOIN host_wishes w ON w.host_id = i.host_id LEFT JOIN host_marks m ON m.host_id = i.host_id"

static const rd_pg_stmt stmts[] = {
    { "host_get", "SELECT " HOST_COLUMNS HOST_JOINS " WHERE i.host_id = $1", 1 },
    { "host_list",
      "SELECT " HOST_COLUMNS HOST_JOINS " WHERE i.operator_org = $1 AND (i.revoked_at IS NULL OR $5)"
      " AND ($2::timestamptz IS NULL OR (i.at, i.host_id) < ($2, $3::uuid)) ORDER BY i.at DESC, i.host_id DESC LIMIT "
      "$4",
      5 },
    { "host_lock", "SELECT i.shard, i.revoked_at, i.retired_at FROM host_identity i WHERE i.host_id = $1 FOR UPDATE",
      1 },
    { "host_version", "SELECT gen FROM host_wishes WHERE host_id = $1", 1 },
    { "host_wish",
      "INSERT INTO host_wishes AS w (host_id, operator_org, cordon, drain_by, retire) VALUES ($1, $2, $3, $4, $5)"
      " ON CONFLICT (host_id) DO UPDATE SET cordon = $3, drain_by = $4, retire = w.retire OR $5, gen = w.gen + 1",
      5 },
    /* The mark that stands now: a later one counts again. */
    { "host_release",
      "INSERT INTO host_wishes AS w (host_id, operator_org, released) SELECT $1, $2, m.mark FROM host_marks m"
      " WHERE m.host_id = $1 ON CONFLICT (host_id) DO UPDATE SET released = greatest(w.released, excluded.released),"
      " gen = w.gen + 1",
      2 },
    { "host_revoke",
      "UPDATE host_identity SET revoked_at = clock_timestamp(), retired_at = clock_timestamp() WHERE host_id = $1", 1 },
    { "host_add",
      "INSERT INTO host_identity (host_id, operator_org, name, platform_id, agent_key, cert_floor, region, labels, tee,"
      " simulated, verdict, evidence) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
      12 },
    { "host_of_platform",
      "SELECT host_id, shard FROM host_identity WHERE platform_id = $1 AND retired_at IS NULL FOR UPDATE", 1 },
    { "host_replace",
      "UPDATE host_identity SET agent_key = $2, cert_floor = $3, name = $4, verdict = $5, evidence = $6 WHERE host_id "
      "= $1",
      6 },
    { "enrol_token_add",
      "INSERT INTO enrol_tokens (hash, org_id, region, labels, uses_left, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
      6 },
    { "enrol_take", "SELECT org_id, region, labels::text FROM enrol_take($1)", 1 },
};
const rd_pg_stmts api_store_hosts = { stmts, RD_ARRAY_LEN(stmts) };
