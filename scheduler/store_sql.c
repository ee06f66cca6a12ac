#include "scheduler/store_sql.h"

/* clang-format off */

#define HOST_COLUMNS \
    "i.host_id, i.operator_org, i.region, (i.labels || coalesce(l.engines, '{}'))::text, i.tee, i.simulated," \
    " i.retired_at IS NOT NULL, i.revoked_at IS NOT NULL," \
    " h.host_id IS NOT NULL, coalesce(h.state, 1::smallint), coalesce(h.state_gen, 0)," \
    " coalesce(h.granted_cpu_m, 0), coalesce(h.granted_mem, 0), coalesce(h.granted_slots, 0)," \
    " coalesce(h.used_cpu_m, 0), coalesce(h.used_mem, 0), coalesce(h.used_slots, 0)," \
    " coalesce(h.job_seq, 0), coalesce(h.lost_session, 0)," \
    " coalesce(w.cordon, false), w.drain_by IS NOT NULL, coalesce(w.retire, false)," \
    " coalesce(l.state, 2::smallint) = 1, CASE l.down_cause WHEN 'host' THEN 1 WHEN 'replica' THEN 2 ELSE 0 END," \
    " coalesce(l.session, 0), coalesce(l.reconciled_session, 0), l.replica_id," \
    " coalesce(l.reported_cpu_m, 0), coalesce(l.reported_mem, 0), coalesce(l.reported_slots, 0)," \
    /* Only asked of lost hosts: every stop acknowledged, and nothing of what was given away still reported alive. */ \
    " CASE WHEN h.state = 9 THEN l.acked_seq >= h.job_seq AND NOT EXISTS (SELECT 1 FROM leases x JOIN lease_status s" \
    "   USING (instance_id, epoch) WHERE x.host_id = h.host_id AND NOT x.held AND s.phase < 7) ELSE false END," \
    " coalesce(m.mark, 0) > coalesce(w.released, 0)"
#define HOST_TABLES \
    " FROM host_identity i LEFT JOIN hosts h USING (host_id) LEFT JOIN host_wishes w USING (host_id)" \
    " LEFT JOIN host_links l USING (host_id) LEFT JOIN host_marks m USING (host_id)"

static const rd_pg_stmt reads[] = {
    { "sched_hosts_all", "SELECT " HOST_COLUMNS HOST_TABLES " WHERE i.shard = $1 AND (i.retired_at IS NULL OR h.used_slots > 0)", 1 },
    { "sched_hosts_some", "SELECT " HOST_COLUMNS HOST_TABLES " WHERE i.shard = $1 AND i.host_id = ANY($2::uuid[])", 2 },
    { "sched_leases",
      "SELECT instance_id, epoch, app_id, host_id, deployment_gen, slot, release_digest, class, cpu_m, mem, slots, want, org_id,"
      " head_seq, (SELECT a.lease_ttl_us FROM apps a WHERE a.app_id = leases.app_id)"
      " FROM leases WHERE shard = $1 AND held ORDER BY epoch", 1 },
    { "sched_unsettled",
      "SELECT d.app_id FROM (SELECT DISTINCT ON (app_id) app_id, gen FROM deployments ORDER BY app_id, gen DESC) d"
      " JOIN apps a USING (app_id) LEFT JOIN rollouts r USING (app_id, gen)"
      " WHERE a.home_shard = $1 AND (r.state IS NULL OR r.state NOT IN (2, 9))", 1 },
    { "sched_evaluations",
      "SELECT id, kind, subject FROM evaluations WHERE shard = $1 ORDER BY id LIMIT $2", 2 },
    { "sched_wishes",
      "SELECT a.app_id, a.org_id, a.state, a.paused, a.class, a.lease_ttl_us,"
      " d.deployment_id, d.gen, b.gen, d.kind, d.min, d.max,"
      " CASE WHEN jsonb_typeof(d.strategy->'surge') = 'number' THEN least(1000, greatest(0, (d.strategy->>'surge')::numeric))::int ELSE 0 END,"
      " r.digest, r.cpu_m, r.mem, hd.class = 'simulated', array_to_string(hd.tees, ','),"
      " coalesce((d.strategy->'regions')::text, ''),"
      /* An engine beside the default one is a label that its host must have. */
      " CASE WHEN r.engine <> 'quickjs' THEN"
      "   (coalesce(d.strategy->'labels', '{}') || jsonb_build_object('engine.' || r.engine, 'yes'))::text"
      "   ELSE coalesce((d.strategy->'labels')::text, '') END,"
      " coalesce(ro.state, 0::smallint), ro.reason::text,"
      " ah.app_id IS NOT NULL, coalesce(ah.deployment_gen, 0), coalesce(ah.inst, 0), coalesce(ah.cpu_m, 0), coalesce(ah.mem, 0),"
      " EXISTS (SELECT 1 FROM rollouts x WHERE x.app_id = a.app_id AND x.gen BETWEEN b.gen AND d.gen AND x.healthy_at IS NOT NULL),"
      " ro.wanted,"
      " idle_s(d.strategy),"
      " (extract(epoch FROM clock_timestamp() - greatest(au.at, ro.healthy_at, d.at)) * 1000000)::bigint,"
      " coalesce(hd.seq, 0), coalesce(hd.fits_from, 0)"
      " FROM apps a"
      " JOIN LATERAL (SELECT * FROM deployments x WHERE x.org_id = a.org_id AND x.app_id = a.app_id"
      "   ORDER BY x.gen DESC LIMIT 1) d ON true"
      " JOIN LATERAL (SELECT coalesce(max(x.gen), 0) AS gen FROM deployments x"
      "   WHERE x.org_id = a.org_id AND x.app_id = a.app_id AND x.kind <> 3) b ON true"
      " LEFT JOIN releases r ON r.release_id = d.release_id"
      /* The newest head, not the deployment's: under it instances start. */
      " LEFT JOIN LATERAL (SELECT x.seq, x.fits_from, x.class, x.tees FROM heads x WHERE x.app_id = a.app_id"
      "   ORDER BY x.seq DESC LIMIT 1) hd ON true"
      " LEFT JOIN rollouts ro ON ro.app_id = a.app_id AND ro.gen = d.gen"
      " LEFT JOIN app_holds ah ON ah.app_id = a.app_id"
      " LEFT JOIN app_use au ON au.app_id = a.app_id"
      " WHERE a.app_id = ANY($1::bytea[])", 1 },
    { "sched_statuses",
      "SELECT u.instance_id, u.epoch, s.phase, s.reason,"
      " s.phase = 4 AND coalesce(v.result = 1 AND v.valid_until > clock_timestamp(), false)"
      " FROM unnest($1::uuid[], $2::bigint[]) AS u(instance_id, epoch)"
      " JOIN lease_status s USING (instance_id, epoch) LEFT JOIN lease_verdicts v USING (instance_id, epoch)", 2 },
    { "sched_replicas", "SELECT replica_id, beat FROM replicas ORDER BY at DESC LIMIT 4096", 0 },
    { "sched_lagging",
      "SELECT h.host_id, l.replica_id, l.acked_seq FROM hosts h JOIN host_links l USING (host_id)"
      " WHERE h.shard = $1 AND h.job_seq > l.acked_seq AND l.state = 1 AND l.replica_id IS NOT NULL"
      " ORDER BY h.host_id LIMIT 10000", 1 },
};

static const rd_pg_stmt plans[] = {
    { "sched_fence", "SELECT fence_plan($1, $2, $3, $4)", 4 },
    { "sched_hosts_lock",
      "SELECT host_id, job_seq FROM hosts WHERE host_id = ANY($1::uuid[]) ORDER BY host_id FOR NO KEY UPDATE", 1 },
    { "sched_links", "SELECT host_id, replica_id FROM host_links WHERE host_id = ANY($1::uuid[]) AND state = 1", 1 },
    /* What a host reports below what it carries must not fail the CHECK. */
    { "sched_hosts_set",
      "WITH u AS (SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])"
      "   AS u(host_id, state, cpu_m, mem, slots, lost_session)),"
      " put AS (INSERT INTO hosts AS h (host_id, shard, state, state_gen, granted_cpu_m, granted_mem, granted_slots, lost_session)"
      "   SELECT host_id, $7, state, 1, cpu_m, mem, slots, lost_session FROM u"
      "   ON CONFLICT (host_id) DO UPDATE SET state = excluded.state,"
      "     state_gen = h.state_gen + CASE WHEN h.state <> excluded.state THEN 1 ELSE 0 END,"
      "     granted_cpu_m = greatest(excluded.granted_cpu_m, h.used_cpu_m),"
      "     granted_mem = greatest(excluded.granted_mem, h.used_mem),"
      "     granted_slots = greatest(excluded.granted_slots, h.used_slots),"
      "     lost_session = greatest(h.lost_session, excluded.lost_session)"
      "   RETURNING h.host_id, h.state, h.state_gen),"
      " told AS (INSERT INTO events (org_id, kind, subject, body)"
      "   SELECT i.operator_org, 'host', uuid_send(p.host_id), jsonb_build_object('state', (ARRAY['enrolled','reconciling','ready',"
      "     'cordoned','draining','drained','retired','suspect','lost','quarantined'])[p.state])"
      "   FROM put p JOIN host_identity i USING (host_id))"
      " SELECT host_id, state_gen FROM put", 7 },
    /* $5: first job number of the era. Ending twice gives the capacity back once: WHERE held. */
    { "sched_end",
      "WITH u AS (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::boolean[]) AS u(instance_id, epoch, reason, send)),"
      " locked AS (SELECT l.instance_id, l.epoch, l.host_id, u.reason, u.send FROM leases l JOIN u USING (instance_id, epoch)"
      "   WHERE l.held ORDER BY l.instance_id, l.epoch FOR NO KEY UPDATE OF l),"
      " numbered AS (SELECT k.*, row_number() OVER (PARTITION BY host_id, send ORDER BY instance_id, epoch) AS n FROM locked k),"
      " done AS (UPDATE leases l SET live = false, held = false, ended_at = clock_timestamp(), end_reason = k.reason,"
      "     want = CASE WHEN k.send THEN 3::smallint ELSE l.want END,"
      "     job_seq = CASE WHEN k.send THEN greatest(h.job_seq, $5) + k.n ELSE l.job_seq END"
      "   FROM numbered k JOIN hosts h USING (host_id) WHERE l.instance_id = k.instance_id AND l.epoch = k.epoch"
      "   RETURNING l.instance_id, l.epoch, l.host_id, l.job_seq, k.send, k.reason, l.cpu_m, l.mem, l.slots, l.org_id, l.app_id),"
      " freed AS (UPDATE hosts h SET used_cpu_m = h.used_cpu_m - d.cpu_m, used_mem = h.used_mem - d.mem,"
      "     used_slots = h.used_slots - d.slots, job_seq = greatest(h.job_seq, d.job_seq)"
      "   FROM (SELECT host_id, sum(cpu_m)::bigint AS cpu_m, sum(mem)::bigint AS mem, sum(slots)::bigint AS slots,"
      "           max(job_seq) FILTER (WHERE send) AS job_seq FROM done GROUP BY host_id) d WHERE h.host_id = d.host_id),"
      " told AS (INSERT INTO events (org_id, kind, subject, app_id, body)"
      "   SELECT org_id, 'instance', uuid_send(instance_id), app_id, jsonb_build_object('state', 'ended', 'reason', reason, 'epoch', epoch)"
      "   FROM done)"
      " SELECT instance_id, epoch, job_seq, send FROM done", 5 },
    { "sched_want",
      "WITH u AS (SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::smallint[]) AS u(instance_id, epoch, want)),"
      " locked AS (SELECT l.instance_id, l.epoch, l.host_id, u.want FROM leases l JOIN u USING (instance_id, epoch)"
      "   WHERE l.held AND l.want < u.want ORDER BY l.instance_id, l.epoch FOR NO KEY UPDATE OF l),"
      " numbered AS (SELECT k.*, row_number() OVER (PARTITION BY host_id ORDER BY instance_id, epoch) AS n FROM locked k),"
      " done AS (UPDATE leases l SET want = k.want, job_seq = greatest(h.job_seq, $4) + k.n"
      "   FROM numbered k JOIN hosts h USING (host_id) WHERE l.instance_id = k.instance_id AND l.epoch = k.epoch"
      "   RETURNING l.instance_id, l.epoch, l.host_id, l.job_seq),"
      " bumped AS (UPDATE hosts h SET job_seq = d.job_seq FROM (SELECT host_id, max(job_seq) AS job_seq FROM done GROUP BY host_id) d"
      "   WHERE h.host_id = d.host_id)"
      " SELECT instance_id, epoch, job_seq FROM done", 4 },
    /* Keeps what fits: state, state_gen, and a running sum per host in batch order. What is left out is not a failure. */
    { "sched_place",
      "WITH w AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bigint[], $5::integer[], $6::uuid[], $7::bigint[],"
      "     $8::bytea[], $9::smallint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[]) WITH ORDINALITY"
      "   AS w(instance_id, org_id, app_id, gen, slot, host_id, state_gen, digest, class, cpu_m, mem, slots, head_seq, ord)),"
      " room AS (SELECT w.*, h.job_seq AS base, h.granted_cpu_m - h.used_cpu_m AS free_cpu_m, h.granted_mem - h.used_mem AS free_mem,"
      "     h.granted_slots - h.used_slots AS free_slots,"
      "     sum(w.cpu_m) OVER before AS run_cpu_m, sum(w.mem) OVER before AS run_mem, sum(w.slots) OVER before AS run_slots"
      "   FROM w JOIN hosts h USING (host_id) WHERE h.state = 3 AND h.state_gen = w.state_gen AND h.shard = $14"
      "   WINDOW before AS (PARTITION BY w.host_id ORDER BY w.ord)),"
      " fit AS (SELECT r.*, row_number() OVER (PARTITION BY host_id ORDER BY ord) AS n FROM room r"
      "   WHERE run_cpu_m <= free_cpu_m AND run_mem <= free_mem AND run_slots <= free_slots),"
      " ins AS (INSERT INTO leases (instance_id, epoch, org_id, app_id, deployment_gen, slot, shard, host_id, job_seq, release_digest,"
      "     class, cpu_m, mem, slots, head_seq, plan_no)"
      "   SELECT instance_id, $15, org_id, app_id, gen, slot, $14, host_id, greatest(base, $16) + n, digest, class, cpu_m, mem, slots,"
      "     head_seq, $17"
      "   FROM fit ON CONFLICT DO NOTHING RETURNING instance_id, host_id, job_seq, cpu_m, mem, slots, org_id, app_id, deployment_gen),"
      " taken AS (UPDATE hosts h SET used_cpu_m = h.used_cpu_m + d.cpu_m, used_mem = h.used_mem + d.mem,"
      "     used_slots = h.used_slots + d.slots, job_seq = d.job_seq"
      "   FROM (SELECT host_id, sum(cpu_m)::bigint AS cpu_m, sum(mem)::bigint AS mem, sum(slots)::bigint AS slots,"
      "           max(job_seq) AS job_seq FROM ins GROUP BY host_id) d WHERE h.host_id = d.host_id),"
      " told AS (INSERT INTO events (org_id, kind, subject, app_id, body)"
      "   SELECT org_id, 'instance', uuid_send(instance_id), app_id,"
      "     jsonb_build_object('state', 'placed', 'epoch', $15::bigint, 'generation', deployment_gen) FROM ins)"
      " SELECT instance_id, job_seq FROM ins", 17 },
    { "sched_seen", "DELETE FROM evaluations WHERE id = ANY($1::bigint[])", 1 },
    { "sched_rollouts",
      "WITH u AS (SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::uuid[], $4::uuid[], $5::smallint[], $6::integer[], $7::integer[],"
      "     $8::integer[], $9::text[], $10::boolean[])"
      "   AS u(app_id, gen, org_id, deployment_id, state, wanted, placed, healthy, reason, changed)),"
      " put AS (INSERT INTO rollouts AS r (app_id, gen, org_id, deployment_id, state, wanted, placed, healthy_new, reason, placed_at, healthy_at)"
      "   SELECT app_id, gen, org_id, deployment_id, state, wanted, placed, healthy, reason::jsonb,"
      "     CASE WHEN placed >= wanted THEN clock_timestamp() END, CASE WHEN state = 2 THEN clock_timestamp() END FROM u"
      "   ON CONFLICT (app_id, gen) DO UPDATE SET state = excluded.state, step = r.step + 1, wanted = excluded.wanted,"
      "     placed = excluded.placed, healthy_new = excluded.healthy_new, reason = excluded.reason,"
      "     placed_at = coalesce(r.placed_at, excluded.placed_at), healthy_at = coalesce(r.healthy_at, excluded.healthy_at),"
      "     at = clock_timestamp()),"
      " old AS (UPDATE rollouts r SET state = 7, at = clock_timestamp() FROM u WHERE r.app_id = u.app_id AND r.gen < u.gen"
      "   AND r.state NOT IN (5, 6, 7, 9) RETURNING r.org_id, r.deployment_id, r.app_id, r.gen)"
      " INSERT INTO events (org_id, kind, subject, app_id, body)"
      " SELECT org_id, 'deployment', uuid_send(deployment_id), app_id, jsonb_strip_nulls(jsonb_build_object('state', (ARRAY['progressing',"
      "   'healthy','paused','reverting','reverted','failed','superseded','stopping','ended'])[state], 'generation', gen, 'wanted', wanted,"
      "   'serving', healthy, 'reason', reason::jsonb)) FROM u WHERE changed UNION ALL"
      " SELECT org_id, 'deployment', uuid_send(deployment_id), app_id, jsonb_build_object('state', 'superseded', 'generation', gen)"
      " FROM old", 10 },
    { "sched_quota_give", "SELECT quota_give($1, $2, $3, $4, $5)", 5 },
};

static const rd_pg_stmt leads[] = {
    { "sched_lead_read",
      "SELECT f.epoch, f.plan_no, f.holder IS NULL, b.beat, c.era FROM shard_fence f JOIN shard_beats b USING (shard), cluster c"
      " WHERE f.shard = $1", 1 },
    { "sched_lead_short", "SET LOCAL lock_timeout = '200ms'", 0 },
    { "sched_lead_take",
      "UPDATE shard_fence SET epoch = epoch + 1, holder = $3, backend_pid = pg_backend_pid() WHERE shard = $1 AND epoch = $2"
      " RETURNING epoch, plan_no", 3 },
    { "sched_lead_beats",
      "UPDATE shard_beats b SET epoch = f.epoch, beat = b.beat + 1 FROM shard_fence f WHERE b.shard = $1 AND f.shard = b.shard", 1 },
    { "sched_lead_pid", "UPDATE shard_fence SET backend_pid = pg_backend_pid() WHERE shard = $1 AND epoch = $2", 2 },
    { "sched_lead_resign", "UPDATE shard_fence SET holder = NULL WHERE shard = $1 AND epoch = $2", 2 },
    { "sched_lead_end_other",
      "SELECT pg_terminate_backend(a.pid) FROM shard_fence f JOIN pg_stat_activity a ON a.pid = f.backend_pid"
      " WHERE f.shard = $1 AND f.epoch = $2 AND a.application_name = 'redoubt-scheduler-committer' AND a.usename = current_user", 2 },
    { "sched_lead_beat", "UPDATE shard_beats SET beat = beat + 1 WHERE shard = $1 AND epoch = $2", 2 },
};

static const rd_pg_stmt upkeep[] = {
    { "sched_partitions", "SELECT partitions_make(), partitions_ahead()", 0 },
    /* An ended lease goes 1 h after its final report; one that ended on a lost host stays until it has been back, or is
     * retired, as it carries the stop for it. */
    { "sched_sweep_pick",
      "SELECT l.instance_id, l.epoch FROM leases l LEFT JOIN lease_status s USING (instance_id, epoch)"
      " LEFT JOIN hosts h USING (host_id)"
      " WHERE NOT l.held AND l.ended_at < clock_timestamp() - interval '1 hour' AND l.shard = $1"
      " AND (s.phase >= 7 OR h.state = 7 OR h.host_id IS NULL) LIMIT 1000", 1 },
    { "sched_sweep_history",
      "INSERT INTO lease_history (ended_at, instance_id, epoch, org_id, app_id, deployment_gen, host_id, release_digest, cpu_m, mem,"
      " end_reason, phase, status_reason, granted_at)"
      " SELECT l.ended_at, l.instance_id, l.epoch, l.org_id, l.app_id, l.deployment_gen, l.host_id, l.release_digest, l.cpu_m, l.mem,"
      " l.end_reason, s.phase, s.reason, l.granted_at FROM unnest($1::uuid[], $2::bigint[]) AS u(instance_id, epoch)"
      " JOIN leases l USING (instance_id, epoch) LEFT JOIN lease_status s USING (instance_id, epoch) WHERE NOT l.held"
      " ON CONFLICT DO NOTHING", 2 },
    { "sched_sweep_status",
      "DELETE FROM lease_status t USING unnest($1::uuid[], $2::bigint[]) AS u(instance_id, epoch)"
      " WHERE t.instance_id = u.instance_id AND t.epoch = u.epoch", 2 },
    { "sched_sweep_verdicts",
      "DELETE FROM lease_verdicts t USING unnest($1::uuid[], $2::bigint[]) AS u(instance_id, epoch)"
      " WHERE t.instance_id = u.instance_id AND t.epoch = u.epoch", 2 },
    { "sched_sweep_evidence",
      "DELETE FROM lease_evidence t USING unnest($1::uuid[], $2::bigint[]) AS u(instance_id, epoch)"
      " WHERE t.instance_id = u.instance_id AND t.epoch = u.epoch", 2 },
    { "sched_sweep_leases",
      "DELETE FROM leases t USING unnest($1::uuid[], $2::bigint[]) AS u(instance_id, epoch)"
      " WHERE t.instance_id = u.instance_id AND t.epoch = u.epoch AND NOT t.held", 2 },
    { "sched_sweep_keys",
      "DELETE FROM idempotency WHERE ctid = ANY(ARRAY(SELECT ctid FROM idempotency"
      " WHERE at < clock_timestamp() - interval '24 hours' ORDER BY at LIMIT 1000))", 0 },
    { "sched_sweep_sessions", "DELETE FROM sessions WHERE expires_at < clock_timestamp()", 0 },
    { "sched_sweep_prepared", "DELETE FROM prepared WHERE expires_at < clock_timestamp()", 0 },
    { "sched_sweep_enrol", "DELETE FROM enrol_tokens WHERE expires_at < clock_timestamp() - interval '1 day'", 0 },
    /* Replicas are new at each start. */
    { "sched_sweep_replicas",
      "DELETE FROM replicas r WHERE r.at < clock_timestamp() - interval '1 hour' AND NOT EXISTS (SELECT 1 FROM host_links l"
      " WHERE l.replica_id = r.replica_id AND l.state = 1)", 0 },
};

const rd_pg_stmts sched_store_reads = { reads, RD_ARRAY_LEN(reads) };
const rd_pg_stmts sched_store_plans = { plans, RD_ARRAY_LEN(plans) };
const rd_pg_stmts sched_store_leads = { leads, RD_ARRAY_LEN(leads) };
const rd_pg_stmts sched_store_upkeep = { upkeep, RD_ARRAY_LEN(upkeep) };
