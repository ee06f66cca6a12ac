#include "api/store.h"

/* One app as it is shown: row, current head, newest deployment with its rollout, instances that serve. */
#define APP_COLUMNS                                                                                                    \
    "a.app_id, a.name, a.state, a.paused, a.version, a.at, h.seq, h.digest, h.class, d.deployment_id, d.gen, d.kind,"  \
    " d.min, d.max, r.digest, ro.state, coalesce(ro.wanted, d.min, 0), (SELECT count(*) FROM leases l"                 \
    " JOIN lease_status s USING (instance_id, epoch) JOIN lease_verdicts v USING (instance_id, epoch)"                 \
    " WHERE l.instance_id BETWEEN instances_from(d.deployment_id) AND instances_to(d.deployment_id) AND l.live"        \
    " AND l.want = 1 AND s.phase = 4 AND v.result = 1 AND v.valid_until > clock_timestamp()), idle_s(d.strategy),"     \
    " coalesce(r.is_open, false)"
#define APP_JOINS                                                                                                      \
    " FROM apps a LEFT JOIN LATERAL (SELECT seq, digest, class FROM heads WHERE heads.org_id = a.org_id"               \
    " AND heads.app_id = a.app_id ORDER BY seq DESC LIMIT 1) h ON true"                                                \
    " LEFT JOIN LATERAL (SELECT deployment_id, gen, kind, min, max, release_id, strategy FROM deployments"             \
    " WHERE deployments.org_id = a.org_id AND deployments.app_id = a.app_id ORDER BY gen DESC LIMIT 1) d ON true"      \
    " LEFT JOIN releases r ON r.release_id = d.release_id"                                                             \
    " LEFT JOIN rollouts ro ON ro.app_id = a.app_id AND ro.gen = d.gen"

/* One head, and the exact list of secrets that it names. */
#define HEAD_COLUMNS                                                                                                   \
    "h.seq, h.head, h.digest, h.class, h.signatures, h.at, h.kms, (SELECT coalesce(jsonb_agg(jsonb_build_object("      \
    "'name', x.name, 'version', x.version, 'digest', 'sha256:' || encode(x.digest, 'hex')) ORDER BY x.name COLLATE "   \
    "\"C\"), '[]') FROM head_secrets x WHERE x.org_id = h.org_id AND x.app_id = h.app_id AND x.seq = h.seq)"

static const rd_pg_stmt stmts[] = {
    { "app_add", "INSERT INTO apps (app_id, org_id, name, genesis) VALUES ($1, $2, $3, $4)", 4 },
    { "app_get", "SELECT " APP_COLUMNS APP_JOINS " WHERE a.app_id = $1 AND a.state < 3", 1 },
    { "app_list",
      "SELECT " APP_COLUMNS APP_JOINS " WHERE a.org_id = $1 AND a.state < 3 AND ($2::text IS NULL OR a.name = $2)"
      " AND ($3::timestamptz IS NULL OR (a.at, a.app_id) < ($3, $4::bytea)) ORDER BY a.at DESC, a.app_id DESC LIMIT $5",
      5 },
    { "app_genesis", "SELECT genesis, state FROM apps WHERE app_id = $1 AND state < 3", 1 },
    { "app_lock",
      "SELECT genesis, state, version, home_shard FROM apps WHERE app_id = $1 AND state < 3 FOR NO KEY UPDATE", 1 },
    { "app_share", "SELECT home_shard, version FROM apps WHERE app_id = $1 AND state = 1 FOR SHARE", 1 },
    { "app_patch",
      "UPDATE apps SET name = coalesce($2, name), paused = coalesce($3, paused), version = version + 1 WHERE app_id = "
      "$1",
      3 },
    { "app_delete",
      "UPDATE apps SET version = version + 1, state = CASE WHEN EXISTS (SELECT 1 FROM app_holds h"
      " WHERE h.app_id = $1) THEN 2 ELSE 3 END WHERE app_id = $1",
      1 },
    { "release_add",
      "INSERT INTO releases (release_id, org_id, app_id, number, manifest, digest, signatures, envelope, code_digest,"
      " cpu_m, mem, is_open, engine) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
      13 },
    { "release_get",
      "SELECT digest, number, manifest, signatures, at, release_id FROM releases WHERE app_id = $1 AND digest = $2",
      2 },
    { "release_by_number", "SELECT digest FROM releases WHERE app_id = $1 AND number = $2", 2 },
    { "release_list",
      "SELECT digest, number, manifest, signatures, at, release_id FROM releases WHERE org_id = $5 AND app_id = $1"
      " AND ($2::timestamptz IS NULL OR (at, release_id) < ($2, $3::uuid)) ORDER BY at DESC, release_id DESC LIMIT $4",
      5 },
    { "head_last", "SELECT " HEAD_COLUMNS " FROM heads h WHERE h.app_id = $1 ORDER BY h.seq DESC LIMIT 1", 1 },
    { "head_newest", "SELECT envelope FROM heads WHERE app_id = $1 ORDER BY seq DESC LIMIT 1", 1 },
    { "head_get", "SELECT " HEAD_COLUMNS " FROM heads h WHERE h.app_id = $1 AND h.seq = $2", 2 },
    { "head_list",
      "SELECT " HEAD_COLUMNS " FROM heads h WHERE h.app_id = $1 AND ($2::bigint IS NULL OR h.seq < $2)"
      " ORDER BY h.seq DESC LIMIT $3",
      3 },
    { "head_add",
      /* $12, $13: names and versions of its secrets. Two equal lists have each member twice. */
      "INSERT INTO heads (org_id, app_id, seq, head, digest, prev, signatures, envelope, class, tees, kms, fits_from)"
      " SELECT $1, $2, $3::bigint, $4, $5, $6, $7, $8, $9, $10, $11, coalesce((SELECT p.fits_from FROM heads p"
      " WHERE p.org_id = $1 AND p.app_id = $2 AND p.seq = $3::bigint - 1 AND p.kms IS NOT DISTINCT FROM $11"
      " AND NOT EXISTS (SELECT 1 FROM (SELECT name, version FROM unnest($12::text[], $13::bigint[]) AS u(name, version)"
      " UNION ALL SELECT x.name, x.version FROM head_secrets x WHERE x.org_id = $1 AND x.app_id = $2 AND x.seq = p.seq)"
      " both_lists WHERE name NOT LIKE 'redoubt.code.%' GROUP BY name, version HAVING count(*) <> 2)), $3::bigint)"
      " RETURNING fits_from = seq",
      13 },
    { "head_fork_add",
      "INSERT INTO head_forks (org_id, app_id, seq, digest, envelope) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO "
      "NOTHING",
      5 },
    { "blob_get", "SELECT size FROM blobs WHERE org_id = $1 AND digest = $2 AND state = 1", 2 },
    { "blob_add",
      "INSERT INTO blobs (org_id, digest, size) VALUES ($1, $2, $3) ON CONFLICT (org_id, digest) DO UPDATE SET state = "
      "1"
      " RETURNING (xmax = 0)",
      3 },
};
const rd_pg_stmts api_store_apps = { stmts, RD_ARRAY_LEN(stmts) };
