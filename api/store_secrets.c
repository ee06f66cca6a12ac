#include "api/store.h"

/* Sealed secrets, the lists of heads, and key services. */
static const rd_pg_stmt stmts[] = {
    { "secret_add",
      "INSERT INTO secrets (org_id, app_id, name, version, sealed, digest) SELECT $1, $2, $3, $4, $5, $6"
      " WHERE (SELECT count(*) FROM secrets WHERE org_id = $1 AND app_id = $2) < $7 ON CONFLICT DO NOTHING RETURNING 1",
      7 },
    { "secret_get",
      "SELECT digest, sealed FROM secrets WHERE org_id = $1 AND app_id = $2 AND name = $3 AND version = $4", 4 },
    { "secret_list",
      "SELECT s.name, s.version, s.digest, octet_length(s.sealed), s.at, x.version IS NOT NULL FROM secrets s"
      " LEFT JOIN LATERAL (SELECT max(seq) AS seq FROM heads WHERE org_id = $1 AND app_id = $2) h ON true"
      " LEFT JOIN head_secrets x ON x.org_id = $1 AND x.app_id = $2 AND x.seq = h.seq AND x.name = s.name"
      " AND x.version = s.version WHERE s.org_id = $1 AND s.app_id = $2"
      " ORDER BY s.name COLLATE \"C\", s.version DESC",
      2 },
    /* Every version of the name that the current head does not list; what it does list comes back as in use. */
    { "secret_delete",
      "WITH h AS (SELECT max(seq) AS seq FROM heads WHERE org_id = $1 AND app_id = $2),"
      " d AS (DELETE FROM secrets s USING h WHERE s.org_id = $1 AND s.app_id = $2 AND s.name = $3"
      " AND ($4::bigint IS NULL OR s.version = $4) AND NOT EXISTS (SELECT 1 FROM head_secrets x WHERE x.org_id = $1"
      " AND x.app_id = $2 AND x.seq = h.seq AND x.name = s.name AND x.version = s.version) RETURNING 1)"
      " SELECT (SELECT count(*) FROM d), EXISTS (SELECT 1 FROM head_secrets x, h WHERE x.org_id = $1 AND x.app_id = $2"
      " AND x.seq = h.seq AND x.name = $3 AND ($4::bigint IS NULL OR x.version = $4))",
      4 },
    { "secrets_drop", "DELETE FROM secrets WHERE app_id = $1", 1 },
    /* $3, $4: names and versions, in any order. */
    { "secrets_of_list",
      "SELECT s.name, s.version, s.digest FROM unnest($3::text[], $4::bigint[]) AS u(name, version)"
      " JOIN secrets s ON s.org_id = $1 AND s.app_id = $2 AND s.name = u.name AND s.version = u.version"
      " ORDER BY s.name COLLATE \"C\"",
      4 },
    { "head_secrets_add",
      "INSERT INTO head_secrets (org_id, app_id, seq, name, version, digest) SELECT $1, $2, $3, s.name, s.version,"
      " s.digest FROM unnest($4::text[], $5::bigint[]) AS u(name, version) JOIN secrets s ON s.org_id = $1"
      " AND s.app_id = $2 AND s.name = u.name AND s.version = u.version",
      5 },
    { "kms_get", "SELECT kms_id, genesis, class, at, hosts, linked FROM kms_list($1)", 1 },
    { "kms_all", "SELECT kms_id, genesis, class, at, hosts, linked FROM kms_list(NULL)", 0 },
};
const rd_pg_stmts api_store_secrets = { stmts, RD_ARRAY_LEN(stmts) };
