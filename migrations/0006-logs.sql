-- owner module: common/data (partitions); writers: whoever changes state, in the same transaction
-- Append-only tables, partitioned by range on time, without foreign keys in or out and without a default partition.
SET LOCAL ROLE rd_owner;

CREATE SEQUENCE log_ids;
GRANT USAGE ON SEQUENCE log_ids TO rd_api, rd_ingest, rd_sched;

-- Read gap-free by (xid, id) below the snapshot horizon. subject is the raw id of what changed.
CREATE TABLE events (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint NOT NULL DEFAULT nextval('log_ids'),
    era bigint NOT NULL DEFAULT rd_era(),
    org_id uuid,
    kind text NOT NULL CHECK (kind IN ('deployment', 'instance', 'host', 'app', 'plane')),
    subject bytea NOT NULL CHECK (octet_length(subject) <= 64),
    app_id bytea CHECK (octet_length(app_id) = 32),
    body jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(body::text) <= 4096),
    PRIMARY KEY (at, xid, id)
) PARTITION BY RANGE (at);
CREATE INDEX events_order ON events (xid, id);
CREATE INDEX events_org ON events (org_id, xid, id);
CALL rd_tenant('events', 'org_id', 'rd_ingest', 'rd_sched');
GRANT SELECT, INSERT ON events TO rd_api, rd_ingest, rd_sched;

-- Position and chain hash are given by one sealer, after commit (audit_seals).
CREATE TABLE audit (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    id bigint NOT NULL DEFAULT nextval('log_ids'),
    org_id uuid NOT NULL,
    actor text NOT NULL CHECK (char_length(actor) <= 128),
    action text NOT NULL CHECK (char_length(action) <= 64),
    subject text NOT NULL DEFAULT '' CHECK (char_length(subject) <= 128),
    request_id text NOT NULL DEFAULT '' CHECK (char_length(request_id) <= 64),
    detail jsonb NOT NULL DEFAULT '{}' CHECK (octet_length(detail::text) <= 4096),
    PRIMARY KEY (at, xid, id)
) PARTITION BY RANGE (at);
CREATE INDEX audit_org ON audit (org_id, xid, id);
CALL rd_tenant('audit', 'org_id', 'rd_ingest', 'rd_sched');
GRANT SELECT, INSERT ON audit TO rd_api;
GRANT INSERT ON audit TO rd_ingest, rd_sched;

CREATE TABLE evidence_log (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    org_id uuid,
    host_id uuid,
    instance_id uuid,
    epoch bigint,
    accepted boolean NOT NULL,
    reason text NOT NULL DEFAULT '',
    bundle bytea NOT NULL CHECK (octet_length(bundle) <= 65536),
    PRIMARY KEY (at, digest)
) PARTITION BY RANGE (at);
CREATE INDEX evidence_log_instance ON evidence_log (instance_id, epoch, at);
CALL rd_tenant('evidence_log', 'org_id', 'rd_ingest');
GRANT SELECT ON evidence_log TO rd_api;
GRANT SELECT, INSERT ON evidence_log TO rd_ingest;

CREATE TABLE verdict_log (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    id bigint NOT NULL DEFAULT nextval('log_ids'),
    org_id uuid,
    app_id bytea CHECK (octet_length(app_id) = 32),
    host_id uuid,
    instance_id uuid,
    epoch bigint,
    accepted boolean NOT NULL,
    reason text NOT NULL DEFAULT '',
    policy_digest bytea,
    evidence_digest bytea,
    collateral_digest bytea,
    collateral_eval bigint,
    until timestamptz,
    count bigint NOT NULL DEFAULT 1,
    record bytea CHECK (octet_length(record) <= 65536),
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE INDEX verdict_log_instance ON verdict_log (instance_id, epoch, at);
CALL rd_tenant('verdict_log', 'org_id', 'rd_ingest');
GRANT SELECT ON verdict_log TO rd_api;
GRANT SELECT, INSERT ON verdict_log TO rd_ingest;

CREATE TABLE usage (
    period_start timestamptz NOT NULL,
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    org_id uuid NOT NULL,
    app_id bytea NOT NULL CHECK (octet_length(app_id) = 32),
    counters jsonb NOT NULL,
    signature bytea,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (period_start, instance_id, epoch)
) PARTITION BY RANGE (period_start);
CALL rd_tenant('usage', 'org_id', 'rd_ingest');
GRANT SELECT ON usage TO rd_api;
GRANT SELECT, INSERT, UPDATE ON usage TO rd_ingest;

CREATE TABLE lease_history (
    ended_at timestamptz NOT NULL,
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    org_id uuid NOT NULL,
    app_id bytea NOT NULL,
    deployment_gen bigint NOT NULL,
    host_id uuid NOT NULL,
    release_digest bytea NOT NULL,
    cpu_m bigint NOT NULL,
    mem bigint NOT NULL,
    end_reason text,
    phase smallint,
    status_reason text,
    granted_at timestamptz NOT NULL,
    PRIMARY KEY (ended_at, instance_id, epoch)
) PARTITION BY RANGE (ended_at);
CREATE INDEX lease_history_instance ON lease_history (instance_id, epoch);
CALL rd_tenant('lease_history', 'org_id', 'rd_ingest', 'rd_sched');
GRANT SELECT ON lease_history TO rd_api, rd_ingest;
GRANT SELECT, INSERT ON lease_history TO rd_sched;

CREATE TABLE log_partitions (
    parent text PRIMARY KEY,
    step interval NOT NULL,
    ahead interval NOT NULL,
    keep interval NOT NULL
);
INSERT INTO log_partitions VALUES
    ('events', '1 day', '14 days', '14 days'),
    ('evidence_log', '1 day', '14 days', '30 days'),
    ('lease_history', '7 days', '21 days', '90 days'),
    ('audit', '1 month', '24 months', '400 days'),
    ('verdict_log', '1 month', '24 months', '7 years'),
    ('usage', '1 month', '24 months', '25 months');
GRANT SELECT ON log_partitions TO rd_sched, rd_maint, rd_api;

-- Makes the partitions that are due and returns how many were made. A partition is made apart and then attached, so
-- that the parent is locked against nothing but other DDL.
CREATE FUNCTION partitions_make() RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC'
SET lock_timeout = '200ms' AS $$
DECLARE
    p log_partitions%ROWTYPE;
    t timestamptz;
    child text;
    made integer := 0;
BEGIN
    FOR p IN SELECT * FROM log_partitions ORDER BY parent LOOP
        -- Steps are counted from a fixed Monday, or from the first of the month.
        t := CASE WHEN p.step >= interval '1 month' THEN date_trunc('month', clock_timestamp())
                  ELSE timestamptz '2024-01-01 00:00:00+00'
                       + floor(extract(epoch FROM clock_timestamp() - timestamptz '2024-01-01 00:00:00+00')
                               / extract(epoch FROM p.step)) * p.step END - p.step;
        WHILE t < clock_timestamp() + p.ahead LOOP
            child := p.parent || '_' || to_char(t, 'YYYYMMDD');
            IF to_regclass(child) IS NULL THEN
                EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, p.parent);
                EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p.parent, child, t,
                               t + p.step);
                made := made + 1;
            END IF;
            t := t + p.step;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;
REVOKE ALL ON FUNCTION partitions_make() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION partitions_make() TO rd_sched, rd_maint;

-- Partitions past their time, oldest first, with whether their detach was left unfinished.
CREATE VIEW partitions_due WITH (security_invoker = true) AS
    SELECT p.parent, c.relname AS child, i.inhdetachpending AS pending
    FROM log_partitions p
    JOIN pg_class pc ON pc.oid = to_regclass(p.parent)
    JOIN pg_inherits i ON i.inhparent = pc.oid
    JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhdetachpending
       OR to_timestamp(right(c.relname, 8), 'YYYYMMDD') + p.step < clock_timestamp() - p.keep
    ORDER BY c.relname;
GRANT SELECT ON partitions_due TO rd_maint;

-- How far ahead the shortest table reaches, in seconds: readiness turns red below three days.
CREATE FUNCTION partitions_ahead() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
    SELECT coalesce(min(extract(epoch FROM m.last + p.step - clock_timestamp()))::bigint, 0)
    FROM log_partitions p
    LEFT JOIN LATERAL (SELECT max(to_timestamp(right(c.relname, 8), 'YYYYMMDD')) AS last
                       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                       WHERE i.inhparent = to_regclass(p.parent)) m ON true
$$;
REVOKE ALL ON FUNCTION partitions_ahead() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION partitions_ahead() TO rd_api, rd_sched, rd_maint;

SELECT partitions_make();
