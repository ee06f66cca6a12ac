-- owner module: api/agents (role rd_ingest)
-- What agents say, believed only as far as the schema allows: serving needs a verdict of the same lease epoch.
SET LOCAL ROLE rd_owner;

CREATE TABLE replicas (
    replica_id uuid PRIMARY KEY,
    beat bigint NOT NULL DEFAULT 0,
    addr text NOT NULL DEFAULT '',
    state smallint NOT NULL DEFAULT 1 CHECK (state IN (1, 2, 3)), -- 1 ready, 2 degraded, 3 closing
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
GRANT SELECT, INSERT, UPDATE, DELETE ON replicas TO rd_ingest;
GRANT SELECT, DELETE ON replicas TO rd_sched;
GRANT SELECT ON replicas TO rd_api;

-- state: 1 up, 2 down. down_cause: host, replica, closed. reconciled_session is set to `session` by ingest once attach is
-- complete: every job above the floor sent, and no ended lease left in the inventory. A host is ready only while they are equal.
CREATE TABLE host_links (
    host_id uuid PRIMARY KEY,
    session bigint NOT NULL DEFAULT 0,
    reconciled_session bigint NOT NULL DEFAULT 0,
    replica_id uuid,
    journal_id uuid,
    boot_id uuid,
    incarnation bigint NOT NULL DEFAULT 0,
    event_seq bigint NOT NULL DEFAULT 0,
    acked_seq bigint NOT NULL DEFAULT 0,
    reported_cpu_m bigint NOT NULL DEFAULT 0 CHECK (reported_cpu_m BETWEEN 0 AND 1000000000),
    reported_mem bigint NOT NULL DEFAULT 0 CHECK (reported_mem BETWEEN 0 AND 1125899906842624),
    reported_slots bigint NOT NULL DEFAULT 0 CHECK (reported_slots BETWEEN 0 AND 1000000),
    state smallint NOT NULL DEFAULT 2 CHECK (state IN (1, 2)),
    down_cause text CHECK (down_cause IN ('host', 'replica', 'closed')),
    agent_version text NOT NULL DEFAULT '' CHECK (char_length(agent_version) <= 64),
    skew_us bigint NOT NULL DEFAULT 0,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (reconciled_session <= session)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE FUNCTION host_links_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'session and incarnation of host % never fall', OLD.host_id USING ERRCODE = 'RD002';
END $$;
CREATE TRIGGER grow BEFORE UPDATE ON host_links FOR EACH ROW
    WHEN (NEW.session < OLD.session OR NEW.incarnation < OLD.incarnation) EXECUTE FUNCTION host_links_grow();
ALTER TABLE host_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE host_links FORCE ROW LEVEL SECURITY;
CREATE POLICY operator ON host_links FOR SELECT TO rd_api
    USING (EXISTS (SELECT 1 FROM host_identity i WHERE i.host_id = host_links.host_id));
CREATE POLICY rd_ingest_all ON host_links TO rd_ingest USING (true);
CREATE POLICY rd_sched_all ON host_links FOR SELECT TO rd_sched USING (true);
GRANT SELECT ON host_links TO rd_api, rd_sched;
GRANT SELECT, INSERT, UPDATE ON host_links TO rd_ingest;

-- The current verdict of a lease, refreshed in place. result: 1 accepted, 2 refused.
CREATE TABLE lease_verdicts (
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    result smallint NOT NULL CHECK (result IN (1, 2)),
    reason text NOT NULL DEFAULT '' CHECK (char_length(reason) <= 256),
    tcb_status text NOT NULL DEFAULT '' CHECK (char_length(tcb_status) <= 64),
    simulated boolean NOT NULL,
    policy_digest bytea CHECK (octet_length(policy_digest) = 32),
    evidence_digest bytea CHECK (octet_length(evidence_digest) = 32),
    collateral_eval bigint,
    detail jsonb NOT NULL DEFAULT '{}',
    verified_at timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    PRIMARY KEY (instance_id, epoch),
    FOREIGN KEY (instance_id, epoch) REFERENCES leases (instance_id, epoch)
) WITH (fillfactor = 70);

-- The bundle behind the current verdict, for whoever wants to check it again.
CREATE TABLE lease_evidence (
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    bundle bytea NOT NULL CHECK (octet_length(bundle) <= 65536),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (instance_id, epoch),
    FOREIGN KEY (instance_id, epoch) REFERENCES leases (instance_id, epoch)
) WITH (fillfactor = 70);

-- phase: 1 delivered, 2 launching, 3 attesting, 4 serving, 5 unhealthy, 6 stopping, 7 refused, 8 failed, 9 stopped.
CREATE TABLE lease_status (
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    incarnation bigint NOT NULL,
    seq bigint NOT NULL,
    phase smallint NOT NULL CHECK (phase BETWEEN 1 AND 9),
    reason text NOT NULL DEFAULT '' CHECK (char_length(reason) <= 64),
    detail text NOT NULL DEFAULT '' CHECK (char_length(detail) <= 1024),
    verdict_epoch bigint,
    load integer NOT NULL DEFAULT 0,
    launching_at timestamptz,
    attesting_at timestamptz,
    serving_at timestamptz,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (instance_id, epoch),
    FOREIGN KEY (instance_id, epoch) REFERENCES leases (instance_id, epoch),
    FOREIGN KEY (instance_id, verdict_epoch) REFERENCES lease_verdicts (instance_id, epoch),
    CONSTRAINT lease_status_attested CHECK (phase <> 4 OR (verdict_epoch IS NOT NULL AND verdict_epoch = epoch))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['lease_verdicts', 'lease_evidence', 'lease_status'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I FOR SELECT TO rd_api USING (EXISTS (SELECT 1 FROM leases l'
                       ' WHERE l.instance_id = %I.instance_id AND l.epoch = %I.epoch))', t, t, t);
        EXECUTE format('CREATE POLICY rd_ingest_all ON %I TO rd_ingest USING (true)', t);
        EXECUTE format('CREATE POLICY rd_sched_all ON %I TO rd_sched USING (true)', t);
        EXECUTE format('CREATE POLICY rd_definer_all ON %I FOR SELECT TO rd_definer USING (true)', t);
        EXECUTE format('GRANT SELECT ON %I TO rd_api, rd_sched, rd_definer', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO rd_ingest', t);
        EXECUTE format('GRANT DELETE ON %I TO rd_sched', t);
    END LOOP;
END $$;

-- The legal moves of common/model/instance_state, for SQL. Skipping forward is legal (reports fold), going back is not,
-- a final phase is final, and to itself it does not move. NULL is "no row yet".
CREATE FUNCTION phase_ok(p_from smallint, p_to smallint) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE coalesce(p_from, 0)
        WHEN 0 THEN p_to BETWEEN 1 AND 9
        WHEN 1 THEN p_to BETWEEN 2 AND 9
        WHEN 2 THEN p_to IN (3, 4, 5, 6, 8, 9)
        WHEN 3 THEN p_to IN (4, 5, 6, 8, 9)
        WHEN 4 THEN p_to IN (5, 6, 8, 9)
        WHEN 5 THEN p_to IN (4, 6, 8, 9)
        WHEN 6 THEN p_to IN (8, 9)
        ELSE false END
$$;
GRANT EXECUTE ON FUNCTION phase_ok(smallint, smallint) TO PUBLIC;

-- What an operator may see of the leases on its host: no organisation and no app.
CREATE FUNCTION host_leases(p_host uuid)
RETURNS TABLE (cpu_m bigint, mem bigint, slots bigint, want smallint, phase smallint, granted_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT l.cpu_m, l.mem, l.slots, l.want, s.phase, l.granted_at
    FROM host_identity i JOIN leases l USING (host_id) LEFT JOIN lease_status s USING (instance_id, epoch)
    WHERE i.host_id = p_host AND i.operator_org = nullif(current_setting('rd.org', true), '')::uuid AND l.held
$$;
ALTER FUNCTION host_leases(uuid) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION host_leases(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION host_leases(uuid) TO rd_api;
