-- owner module: api/store_hosts (host_identity, host_wishes, enrol_tokens), scheduler/store (the rest)
-- Hosts as enrolled and wished for; the fleet as decided: fence, capacity, leases, rollouts. Everything that the
-- scheduler writes stands behind fence_plan().
SET LOCAL ROLE rd_owner;

CREATE TABLE host_identity (
    host_id uuid PRIMARY KEY,
    operator_org uuid NOT NULL REFERENCES orgs,
    name text NOT NULL DEFAULT '' CHECK (char_length(name) <= 128),
    platform_id bytea NOT NULL CHECK (octet_length(platform_id) BETWEEN 1 AND 64),
    agent_key bytea NOT NULL CHECK (octet_length(agent_key) BETWEEN 32 AND 512),
    cert_floor bigint NOT NULL DEFAULT 0,
    shard integer NOT NULL DEFAULT 0,
    region text NOT NULL DEFAULT 'local' CHECK (char_length(region) BETWEEN 1 AND 64),
    zone text NOT NULL DEFAULT '' CHECK (char_length(zone) <= 64),
    labels jsonb NOT NULL DEFAULT '{}',
    tee text NOT NULL CHECK (tee IN ('tdx', 'sgx', 'snp')),
    simulated boolean NOT NULL,
    verdict jsonb NOT NULL DEFAULT '{}',
    evidence bytea CHECK (octet_length(evidence) <= 65536),
    retired_at timestamptz,
    revoked_at timestamptz,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (operator_org, host_id)
);
-- A platform is enrolled once, whoever the operator is; the id is drawn by the hardware.
CREATE UNIQUE INDEX host_identity_platform ON host_identity (platform_id) WHERE retired_at IS NULL;
CALL rd_tenant('host_identity', 'operator_org', 'rd_ingest', 'rd_sched', 'rd_definer');
GRANT SELECT, INSERT, UPDATE (name, agent_key, cert_floor, labels, verdict, evidence, retired_at, revoked_at)
    ON host_identity TO rd_api;
GRANT SELECT ON host_identity TO rd_ingest, rd_sched, rd_definer;

CREATE TABLE host_wishes (
    host_id uuid PRIMARY KEY,
    operator_org uuid NOT NULL,
    cordon boolean NOT NULL DEFAULT false,
    drain_by timestamptz,
    drain_opts jsonb NOT NULL DEFAULT '{}',
    retire boolean NOT NULL DEFAULT false,
    gen bigint NOT NULL DEFAULT 1,
    FOREIGN KEY (operator_org, host_id) REFERENCES host_identity (operator_org, host_id)
);
CALL rd_tenant('host_wishes', 'operator_org', 'rd_ingest', 'rd_sched');
GRANT SELECT, INSERT, UPDATE (cordon, drain_by, drain_opts, retire, gen) ON host_wishes TO rd_api;
GRANT SELECT ON host_wishes TO rd_ingest, rd_sched;

CREATE TABLE enrol_tokens (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    org_id uuid NOT NULL REFERENCES orgs,
    region text NOT NULL DEFAULT 'local' CHECK (char_length(region) BETWEEN 1 AND 64),
    labels jsonb NOT NULL DEFAULT '{}',
    uses_left integer NOT NULL CHECK (uses_left >= 0),
    expires_at timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CALL rd_tenant('enrol_tokens', 'org_id', 'rd_definer', 'rd_sched');
GRANT SELECT, INSERT, DELETE ON enrol_tokens TO rd_api;
GRANT SELECT, UPDATE ON enrol_tokens TO rd_definer;
GRANT SELECT (hash, expires_at), DELETE ON enrol_tokens TO rd_sched;

-- Uses an enrolment token once; no row: unknown, used up or expired. Roll back to give the use back.
CREATE FUNCTION enrol_take(p_hash bytea) RETURNS TABLE (org_id uuid, region text, labels jsonb)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE enrol_tokens t SET uses_left = t.uses_left - 1
     WHERE t.hash = p_hash AND t.uses_left > 0 AND t.expires_at > clock_timestamp()
    RETURNING t.org_id, t.region, t.labels
$$;
ALTER FUNCTION enrol_take(bytea) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION enrol_take(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enrol_take(bytea) TO rd_api;

CREATE TABLE shard_fence (
    shard integer PRIMARY KEY CHECK (shard BETWEEN 0 AND 63),
    epoch bigint NOT NULL DEFAULT 0,
    plan_no bigint NOT NULL DEFAULT 0 CHECK (plan_no BETWEEN 0 AND 1099511627775),
    holder uuid,
    backend_pid integer,
    loss_tokens bigint NOT NULL DEFAULT 50,
    loss_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE TABLE shard_beats (
    shard integer PRIMARY KEY REFERENCES shard_fence,
    epoch bigint NOT NULL DEFAULT 0,
    beat bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO shard_fence (shard) VALUES (0);
INSERT INTO shard_beats (shard) VALUES (0);
GRANT SELECT, UPDATE ON shard_fence, shard_beats TO rd_sched;
GRANT SELECT ON shard_fence, shard_beats TO rd_api, rd_ingest;

CREATE FUNCTION fence_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.epoch < OLD.epoch OR NEW.plan_no < OLD.plan_no THEN
        RAISE EXCEPTION 'epoch and plan number of shard % never fall', OLD.shard USING ERRCODE = 'RD002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grows BEFORE UPDATE ON shard_fence FOR EACH ROW EXECUTE FUNCTION fence_grows();

-- Opens plan p_new of the leader of p_epoch; raises RD001 when it no longer leads or the plan before is not p_old.
-- A fence raises, as later statements of a pipeline would run past an UPDATE that matched nothing.
CREATE FUNCTION fence_plan(p_shard integer, p_epoch bigint, p_old bigint, p_new bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE shard_fence SET plan_no = p_new WHERE shard = p_shard AND epoch = p_epoch AND plan_no = p_old;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'shard %: not the leader of epoch % at plan %', p_shard, p_epoch, p_old USING ERRCODE = 'RD001';
    END IF;
END $$;
GRANT EXECUTE ON FUNCTION fence_plan(integer, bigint, bigint, bigint) TO rd_sched;

-- state: 1 enrolled, 2 reconciling, 3 ready, 4 cordoned, 5 draining, 6 drained, 7 retired, 8 suspect, 9 lost,
-- 10 quarantined. Placement happens in `ready` only.
CREATE TABLE hosts (
    host_id uuid PRIMARY KEY,
    shard integer NOT NULL,
    state smallint NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 10),
    state_gen bigint NOT NULL DEFAULT 1,
    granted_cpu_m bigint NOT NULL DEFAULT 0,
    granted_mem bigint NOT NULL DEFAULT 0,
    granted_slots bigint NOT NULL DEFAULT 0,
    used_cpu_m bigint NOT NULL DEFAULT 0,
    used_mem bigint NOT NULL DEFAULT 0,
    used_slots bigint NOT NULL DEFAULT 0,
    job_seq bigint NOT NULL DEFAULT 0,
    lost_session bigint NOT NULL DEFAULT 0, -- the link session at which its leases were given up; only a later one mends it
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT hosts_cpu_m CHECK (0 <= used_cpu_m AND used_cpu_m <= granted_cpu_m),
    CONSTRAINT hosts_mem CHECK (0 <= used_mem AND used_mem <= granted_mem),
    CONSTRAINT hosts_slots CHECK (0 <= used_slots AND used_slots <= granted_slots)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE FUNCTION hosts_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.job_seq < OLD.job_seq OR NEW.state_gen < OLD.state_gen THEN
        RAISE EXCEPTION 'job and state numbers of host % never fall', OLD.host_id USING ERRCODE = 'RD002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grow BEFORE UPDATE ON hosts FOR EACH ROW
    WHEN (NEW.job_seq < OLD.job_seq OR NEW.state_gen < OLD.state_gen) EXECUTE FUNCTION hosts_grow();
ALTER TABLE hosts ENABLE ROW LEVEL SECURITY;
ALTER TABLE hosts FORCE ROW LEVEL SECURITY;
CREATE POLICY operator ON hosts FOR SELECT TO rd_api
    USING (EXISTS (SELECT 1 FROM host_identity i WHERE i.host_id = hosts.host_id));
CREATE POLICY rd_ingest_all ON hosts FOR SELECT TO rd_ingest USING (true);
CREATE POLICY rd_sched_all ON hosts TO rd_sched USING (true);
GRANT SELECT ON hosts TO rd_api, rd_ingest;
GRANT SELECT, INSERT, UPDATE ON hosts TO rd_sched;

-- Lease, assignment and outbox in one. want: 1 run, 2 drain, 3 stop. class: 1 replicated, 2 exclusive.
-- end_reason: stopped, failed, refused, lost. No foreign keys: the fleet is split by shard, accounts by organisation.
CREATE TABLE leases (
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    org_id uuid NOT NULL,
    app_id bytea NOT NULL CHECK (octet_length(app_id) = 32),
    deployment_gen bigint NOT NULL,
    slot integer NOT NULL,
    shard integer NOT NULL,
    host_id uuid NOT NULL,
    job_seq bigint NOT NULL,
    release_digest bytea NOT NULL CHECK (octet_length(release_digest) = 32),
    class smallint NOT NULL CHECK (class IN (1, 2)),
    cpu_m bigint NOT NULL CHECK (cpu_m > 0),
    mem bigint NOT NULL CHECK (mem > 0),
    slots bigint NOT NULL DEFAULT 1 CHECK (slots > 0),
    want smallint NOT NULL DEFAULT 1 CHECK (want IN (1, 2, 3)),
    live boolean NOT NULL DEFAULT true,
    held boolean NOT NULL DEFAULT true,
    end_reason text CHECK (end_reason IN ('stopped', 'failed', 'refused', 'lost')),
    plan_no bigint NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    PRIMARY KEY (instance_id, epoch),
    UNIQUE (host_id, job_seq),
    CONSTRAINT leases_live_held CHECK (NOT live OR held),
    CONSTRAINT leases_ended CHECK (live OR ended_at IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE UNIQUE INDEX leases_live ON leases (instance_id) WHERE live;
CREATE FUNCTION leases_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'lease %/% moves forward only', OLD.instance_id, OLD.epoch USING ERRCODE = 'RD002';
END $$;
CREATE TRIGGER forward BEFORE UPDATE ON leases FOR EACH ROW
    WHEN ((NEW.live AND NOT OLD.live) OR (NEW.held AND NOT OLD.held) OR NEW.want < OLD.want OR NEW.job_seq < OLD.job_seq
          OR NEW.host_id <> OLD.host_id OR NEW.app_id <> OLD.app_id OR NEW.org_id <> OLD.org_id
          OR NEW.instance_id <> OLD.instance_id OR NEW.epoch <> OLD.epoch OR NEW.release_digest <> OLD.release_digest
          OR NEW.cpu_m <> OLD.cpu_m OR NEW.mem <> OLD.mem OR NEW.slots <> OLD.slots)
    EXECUTE FUNCTION leases_forward();
CALL rd_tenant('leases', 'org_id', 'rd_ingest', 'rd_sched', 'rd_definer');
GRANT SELECT ON leases TO rd_api, rd_ingest, rd_definer;
GRANT SELECT, INSERT, UPDATE, DELETE ON leases TO rd_sched;

-- state: 1 progressing, 2 healthy, 3 paused, 4 reverting, 5 reverted, 6 failed, 7 superseded, 8 stopping, 9 ended.
-- reason: {"code","summary","counts":[{"constraint","hosts"}]} while something keeps it from `healthy`.
CREATE TABLE rollouts (
    app_id bytea NOT NULL CHECK (octet_length(app_id) = 32),
    gen bigint NOT NULL,
    org_id uuid NOT NULL,
    deployment_id uuid NOT NULL,
    strategy jsonb NOT NULL DEFAULT '{}',
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 9),
    step integer NOT NULL DEFAULT 0,
    wanted integer NOT NULL DEFAULT 0,
    placed integer NOT NULL DEFAULT 0,
    healthy_new integer NOT NULL DEFAULT 0,
    reason jsonb,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    placed_at timestamptz,
    healthy_at timestamptz,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, gen)
) WITH (fillfactor = 70);
CALL rd_tenant('rollouts', 'org_id', 'rd_ingest', 'rd_sched');
GRANT SELECT ON rollouts TO rd_api, rd_ingest;
GRANT SELECT, INSERT, UPDATE, DELETE ON rollouts TO rd_sched;

CREATE TABLE parts (
    app_id bytea NOT NULL CHECK (octet_length(app_id) = 32),
    shard integer NOT NULL,
    org_id uuid NOT NULL,
    gen bigint NOT NULL,
    count integer NOT NULL CHECK (count >= 0),
    release_digest bytea CHECK (octet_length(release_digest) = 32),
    home_epoch bigint NOT NULL,
    PRIMARY KEY (app_id, shard)
) WITH (fillfactor = 70);
CREATE FUNCTION parts_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the generation of a part never falls' USING ERRCODE = 'RD002';
END $$;
CREATE TRIGGER grow BEFORE UPDATE ON parts FOR EACH ROW WHEN (NEW.gen < OLD.gen) EXECUTE FUNCTION parts_grow();
CALL rd_tenant('parts', 'org_id', 'rd_sched');
GRANT SELECT ON parts TO rd_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON parts TO rd_sched;

CREATE TABLE scale (
    app_id bytea NOT NULL CHECK (octet_length(app_id) = 32),
    shard integer NOT NULL,
    org_id uuid NOT NULL,
    wanted integer NOT NULL CHECK (wanted >= 0),
    reason text NOT NULL DEFAULT '',
    decided_no bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, shard)
) WITH (fillfactor = 70);
CALL rd_tenant('scale', 'org_id', 'rd_sched');
GRANT SELECT ON scale TO rd_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON scale TO rd_sched;
