/* What ingest says to PostgreSQL; the parameters stand in the arrays of ingest.c. */
#include "api/ingest.h"

/* Order of locks: leases (read), lease_verdicts, lease_status, host_links, then append-only rows. */
static const rd_pg_stmt stmts[] = {
    /* Raw evidence: the first acceptance of a lease, each refusal, each changed result. Before the verdicts, so that
     * what stood there can be seen. */
    { "ingest_evidence_log",
      "INSERT INTO evidence_log (digest, org_id, host_id, instance_id, epoch, accepted, reason, bundle, statement)"
      " SELECT u.evidence_digest, l.org_id, u.host_id, u.instance_id, u.epoch, u.accepted, u.reason, u.bundle,"
      " u.statement FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[], $5::text[], $6::bytea[],"
      " $7::bytea[], $8::bytea[])"
      " AS u(host_id, instance_id, epoch, accepted, reason, evidence_digest, bundle, statement)"
      " JOIN leases l ON l.instance_id = u.instance_id AND l.epoch = u.epoch AND l.host_id = u.host_id"
      " WHERE NOT u.accepted OR NOT EXISTS (SELECT 1 FROM lease_verdicts v WHERE v.instance_id = u.instance_id"
      " AND v.epoch = u.epoch AND v.result = 1)",
      8 },
    /* Decisions: an unchanged renewal once an hour. */
    { "ingest_verdict_log",
      "INSERT INTO verdict_log (org_id, app_id, host_id, instance_id, epoch, accepted, reason, policy_digest,"
      " evidence_digest, collateral_digest, collateral_eval, until, record, record_digest)"
      " SELECT l.org_id, l.app_id, u.host_id, u.instance_id, u.epoch, u.accepted, u.reason, u.policy_digest,"
      " u.evidence_digest, u.collateral_digest, u.eval, u.until, u.record, sha256(u.record)"
      " FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[], $5::text[], $6::bytea[], $7::bytea[],"
      " $8::bytea[], $9::bigint[], $10::timestamptz[], $11::bytea[]) AS u(host_id, instance_id, epoch, accepted,"
      " reason, policy_digest, evidence_digest, collateral_digest, eval, until, record)"
      " JOIN leases l ON l.instance_id = u.instance_id AND l.epoch = u.epoch AND l.host_id = u.host_id"
      " WHERE NOT u.accepted OR NOT EXISTS (SELECT 1 FROM verdict_log v WHERE v.instance_id = u.instance_id"
      " AND v.epoch = u.epoch AND v.accepted AND v.policy_digest = u.policy_digest"
      " AND v.at > clock_timestamp() - interval '1 hour')",
      11 },
    { "ingest_verdicts",
      "INSERT INTO lease_verdicts AS v (instance_id, epoch, result, reason, tcb_status, simulated, policy_digest,"
      " evidence_digest, collateral_eval, detail, verified_at, valid_until)"
      " SELECT u.instance_id, u.epoch, CASE WHEN u.accepted THEN 1 ELSE 2 END, u.reason, u.tcb_status, u.simulated,"
      " u.policy_digest, u.evidence_digest, u.eval, u.detail::jsonb, u.verified_at, u.valid_until"
      " FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::boolean[],"
      " $8::bytea[], $9::bytea[], $10::bigint[], $11::text[], $12::timestamptz[], $13::timestamptz[])"
      " AS u(host_id, instance_id, epoch, accepted, reason, tcb_status, simulated, policy_digest, evidence_digest,"
      " eval, detail, verified_at, valid_until)"
      " JOIN leases l ON l.instance_id = u.instance_id AND l.epoch = u.epoch AND l.host_id = u.host_id"
      " ORDER BY u.instance_id, u.epoch"
      " ON CONFLICT (instance_id, epoch) DO UPDATE SET result = EXCLUDED.result, reason = EXCLUDED.reason,"
      " tcb_status = EXCLUDED.tcb_status, simulated = EXCLUDED.simulated, policy_digest = EXCLUDED.policy_digest,"
      " evidence_digest = EXCLUDED.evidence_digest, collateral_eval = EXCLUDED.collateral_eval,"
      " detail = EXCLUDED.detail, verified_at = EXCLUDED.verified_at, valid_until = EXCLUDED.valid_until"
      " WHERE v.verified_at < EXCLUDED.verified_at",
      13 },
    { "ingest_evidence",
      "INSERT INTO lease_evidence (instance_id, epoch, digest, bundle)"
      " SELECT u.instance_id, u.epoch, u.digest, u.bundle"
      " FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::timestamptz[])"
      " AS u(host_id, instance_id, epoch, digest, bundle, verified_at)"
      " JOIN lease_verdicts v ON v.instance_id = u.instance_id AND v.epoch = u.epoch AND v.verified_at = u.verified_at"
      " JOIN leases l ON l.instance_id = u.instance_id AND l.epoch = u.epoch AND l.host_id = u.host_id"
      " ORDER BY u.instance_id, u.epoch"
      " ON CONFLICT (instance_id, epoch) DO UPDATE SET digest = EXCLUDED.digest, bundle = EXCLUDED.bundle,"
      " at = clock_timestamp()",
      6 },
    { "ingest_lock",
      "SELECT 1 FROM lease_status s WHERE (s.instance_id, s.epoch) IN (SELECT i, e FROM unnest($1::uuid[],"
      " $2::bigint[]) AS u(i, e)) ORDER BY s.instance_id, s.epoch FOR NO KEY UPDATE",
      2 },
    /* Newest report of each lease, only from the lease's own host, serving only with an accepting verdict; then one
     * event for each changed phase and one evaluation for each app that the scheduler must look at. */
    { "ingest_status",
      "WITH u AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[],"
      " $6::smallint[], $7::text[], $8::text[])"
      " AS t(host_id, instance_id, epoch, incarnation, seq, phase, reason, detail)),"
      " old AS (SELECT s.instance_id, s.epoch, s.phase FROM lease_status s JOIN u USING (instance_id, epoch)),"
      " up AS (INSERT INTO lease_status AS s (instance_id, epoch, incarnation, seq, phase, reason, detail,"
      " verdict_epoch, launching_at, attesting_at, serving_at)"
      " SELECT u.instance_id, u.epoch, u.incarnation, u.seq, u.phase, u.reason, u.detail,"
      " CASE WHEN u.phase = 4 THEN u.epoch END,"
      " CASE WHEN u.phase BETWEEN 2 AND 4 THEN clock_timestamp() END,"
      " CASE WHEN u.phase BETWEEN 3 AND 4 THEN clock_timestamp() END,"
      " CASE WHEN u.phase = 4 THEN clock_timestamp() END"
      " FROM u JOIN leases l ON l.instance_id = u.instance_id AND l.epoch = u.epoch AND l.host_id = u.host_id"
      " LEFT JOIN lease_verdicts v ON v.instance_id = u.instance_id AND v.epoch = u.epoch"
      " WHERE u.phase <> 4 OR (v.result = 1 AND v.valid_until > clock_timestamp())"
      " ORDER BY u.instance_id, u.epoch"
      " ON CONFLICT (instance_id, epoch) DO UPDATE SET incarnation = EXCLUDED.incarnation, seq = EXCLUDED.seq,"
      " phase = EXCLUDED.phase, reason = EXCLUDED.reason, detail = EXCLUDED.detail,"
      " verdict_epoch = coalesce(EXCLUDED.verdict_epoch, s.verdict_epoch),"
      " launching_at = coalesce(s.launching_at, EXCLUDED.launching_at),"
      " attesting_at = coalesce(s.attesting_at, EXCLUDED.attesting_at),"
      " serving_at = coalesce(s.serving_at, EXCLUDED.serving_at), at = clock_timestamp()"
      " WHERE (s.incarnation, s.seq) < (EXCLUDED.incarnation, EXCLUDED.seq)"
      " AND phase_ok(s.phase, EXCLUDED.phase)"
      " RETURNING s.instance_id, s.epoch, s.phase, s.reason),"
      " ch AS (SELECT up.instance_id, up.epoch, up.phase, up.reason, l.org_id, l.app_id, l.shard, l.live"
      " FROM up JOIN leases l USING (instance_id, epoch) LEFT JOIN old USING (instance_id, epoch)"
      " WHERE old.phase IS DISTINCT FROM up.phase),"
      " ev AS (INSERT INTO events (org_id, kind, subject, app_id, body)"
      " SELECT org_id, 'instance', uuid_send(instance_id), app_id, jsonb_build_object('epoch', epoch, 'phase',"
      " (ARRAY['delivered','launching','attesting','serving','unhealthy','stopping','refused','failed','stopped'])"
      "[phase], 'reason', reason) FROM ch RETURNING 1),"
      " ea AS (SELECT evaluate(d.shard, 1::smallint, d.app_id, 'status') AS id"
      " FROM (SELECT DISTINCT shard, app_id FROM ch WHERE phase >= 4 AND phase <> 6) d)"
      " SELECT ch.app_id, ch.shard, ch.phase, ch.instance_id, ch.epoch, (SELECT count(id) FROM ea) AS evaluations,"
      " (SELECT count(*) FROM ev) AS events FROM ch",
      8 },
    /* Refusals that are the host's own fault, of leases that are its own, once a lease. Before the verdicts, too. */
    { "ingest_faults",
      "SELECT host_fault(f.host_id, f.reason, f.text, $1::integer, false) FROM (SELECT DISTINCT ON"
      " (u.host_id, u.instance_id, u.epoch) u.* FROM unnest($2::uuid[],"
      " $3::uuid[], $4::bigint[], $5::text[], $6::text[]) AS u(host_id, instance_id, epoch, reason, text)"
      " JOIN leases l ON l.instance_id = u.instance_id AND l.epoch = u.epoch AND l.host_id = u.host_id"
      " WHERE NOT EXISTS (SELECT 1 FROM lease_verdicts v WHERE v.instance_id = u.instance_id AND v.epoch = u.epoch"
      " AND v.result = 2) ORDER BY u.host_id, u.instance_id, u.epoch) f",
      6 },
    { "ingest_ack",
      "UPDATE host_links h SET acked_seq = greatest(h.acked_seq, u.acked), event_seq = greatest(h.event_seq, u.event)"
      " FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u(host_id, session, acked, event)"
      " WHERE h.host_id = u.host_id AND h.session = u.session"
      " AND (h.acked_seq < u.acked OR h.event_seq < u.event)",
      4 },
};
const rd_pg_stmts api_ingest_stmts = { stmts, RD_ARRAY_LEN(stmts) };
