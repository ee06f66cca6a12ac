#include "api/store.h"

#define COLUMNS "at, id, app_id, instance_id, epoch, first, count, record"

static const rd_pg_stmt stmts[] = {
    { "receipt_list",
      "SELECT " COLUMNS " FROM receipt_log WHERE org_id = $1 AND app_id = $2"
      " AND ($3::timestamptz IS NULL OR (at, id) < ($3, $4::bigint)) AND ($6::uuid IS NULL OR instance_id = $6)"
      " AND ($7::timestamptz IS NULL OR at >= $7) ORDER BY at DESC, id DESC LIMIT $5",
      7 },
    /* One chain, in its order; a record that two replicas wrote at once counts once. The bound below first lets the
     * index find the record that holds a number. */
    { "receipt_chain",
      "SELECT DISTINCT ON (first) " COLUMNS " FROM receipt_log WHERE org_id = $1 AND instance_id = $2"
      " AND epoch = coalesce($3::bigint, (SELECT max(epoch) FROM receipt_log WHERE org_id = $1 AND instance_id = $2))"
      " AND first > coalesce($4::bigint, 0) AND first > coalesce($5::bigint, 1) - 64"
      " AND first + count > coalesce($5::bigint, 1) ORDER BY first, at LIMIT $6",
      6 },
};
const rd_pg_stmts api_store_receipts = { stmts, RD_ARRAY_LEN(stmts) };
