#include "api/store.h"

static const rd_pg_stmt stmts[] = {
    { "record_list",
      "SELECT at, id, record_digest, instance_id, epoch, host_id, accepted, reason, evidence_digest, policy_digest,"
      " collateral_digest, until FROM verdict_log WHERE org_id = $1 AND app_id = $2"
      " AND ($3::timestamptz IS NULL OR (at, id) < ($3, $4::bigint)) AND ($6::uuid IS NULL OR instance_id = $6)"
      " ORDER BY at DESC, id DESC LIMIT $5",
      6 },
    { "grant_list",
      "SELECT at, id, kms_id, replica, number, is_grant, instance_id, epoch, reason, until, certificate, record"
      " FROM grant_log WHERE org_id = $1 AND app_id = $2"
      " AND ($3::timestamptz IS NULL OR (at, id) < ($3, $4::bigint)) AND ($6::uuid IS NULL OR instance_id = $6)"
      " ORDER BY at DESC, id DESC LIMIT $5",
      6 },
    { "record_get", "SELECT record FROM verdict_log WHERE record_digest = $1 AND org_id = $2 LIMIT 1", 2 },
    /* By the bundle's own digest, or by that of the statement in it, which is what receipts name: then only what was
     * accepted, as refused bytes may carry anybody's statement. */
    { "evidence_by_digest",
      "(SELECT bundle FROM evidence_log WHERE digest = $1 AND org_id = $2 LIMIT 1) UNION ALL"
      " (SELECT bundle FROM evidence_log WHERE statement = $1 AND org_id = $2 AND accepted LIMIT 1) UNION ALL"
      " (SELECT bundle FROM lease_evidence WHERE digest = $1 LIMIT 1) LIMIT 1",
      2 },
};
const rd_pg_stmts api_store_records = { stmts, RD_ARRAY_LEN(stmts) };
