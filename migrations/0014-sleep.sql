-- owner module: api/sleep (writes); reader: scheduler/store
-- Scale to zero. When an app with min = 0 was last called, or called for while nothing of it ran: the scheduler runs it from
-- then on for its idle time (strategy.idle_s). One row an app; replicas write it together for the calls of some seconds.
SET LOCAL ROLE rd_owner;

CREATE TABLE app_use (
    app_id bytea PRIMARY KEY CHECK (octet_length(app_id) = 32),
    org_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id) ON DELETE CASCADE
) WITH (fillfactor = 70);
CALL rd_tenant('app_use', 'org_id', 'rd_ingest', 'rd_sched');
GRANT SELECT, INSERT, UPDATE (at) ON app_use TO rd_ingest;
GRANT SELECT, DELETE ON app_use TO rd_sched;
GRANT SELECT ON evaluations TO rd_ingest;

-- Which of these apps run only when called: live, not paused, newest deployment with min = 0 that is no stop.
CREATE FUNCTION apps_asleep(p_apps bytea[]) RETURNS TABLE (app_id bytea, org_id uuid, home_shard integer)
LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT a.app_id, a.org_id, a.home_shard FROM apps a
    JOIN LATERAL (SELECT d.min, d.kind FROM deployments d WHERE d.org_id = a.org_id AND d.app_id = a.app_id
                  ORDER BY d.gen DESC LIMIT 1) d ON d.min = 0 AND d.kind <> 4
    WHERE a.app_id = ANY(p_apps) AND a.state = 1 AND NOT a.paused
    ORDER BY a.app_id
$$;
GRANT EXECUTE ON FUNCTION apps_asleep(bytea[]) TO rd_ingest;

-- Seconds that an app with min = 0 runs on without a call.
CREATE FUNCTION idle_s(p_strategy jsonb) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(p_strategy->'idle_s') = 'number' THEN (p_strategy->>'idle_s')::numeric::bigint ELSE 300 END
$$;
GRANT EXECUTE ON FUNCTION idle_s(jsonb) TO rd_api, rd_sched;
