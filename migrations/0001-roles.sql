-- owner module: common/data
-- Roles, the cluster row, and helpers for the files that follow. Roles are created when missing; where the
-- migrating login may not create roles they are made beforehand (docs/data.md).
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT * FROM (VALUES
            ('rd_owner', 'NOLOGIN'), ('rd_definer', 'NOLOGIN'), ('rd_migrate', 'LOGIN'), ('rd_api', 'LOGIN'),
            ('rd_ingest', 'LOGIN'), ('rd_sched', 'LOGIN'), ('rd_maint', 'LOGIN'),
            ('rd_backup', 'LOGIN BYPASSRLS')) AS v(name, opts)
    LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = r.name) THEN
            EXECUTE format('CREATE ROLE %I %s', r.name, r.opts);
        END IF;
    END LOOP;
    IF NOT pg_has_role('rd_migrate', 'rd_owner', 'MEMBER') THEN
        GRANT rd_owner TO rd_migrate;
    END IF;
    IF NOT pg_has_role('rd_owner', 'rd_definer', 'MEMBER') THEN
        GRANT rd_definer TO rd_owner;
    END IF;
    IF NOT pg_has_role(current_user, 'rd_owner', 'MEMBER') THEN
        EXECUTE format('GRANT rd_owner TO %I', current_user);
    END IF;
END $$;

ALTER SCHEMA public OWNER TO rd_owner;
ALTER TABLE schema_migrations OWNER TO rd_owner;
SET LOCAL ROLE rd_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO rd_definer, rd_api, rd_ingest, rd_sched, rd_maint, rd_backup;
GRANT CREATE ON SCHEMA public TO rd_definer;
ALTER DEFAULT PRIVILEGES FOR ROLE rd_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE rd_owner GRANT SELECT ON TABLES TO rd_backup;
GRANT SELECT ON schema_migrations TO rd_api, rd_ingest, rd_sched, rd_maint, rd_backup;

CREATE TABLE cluster (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    era bigint NOT NULL DEFAULT 1 CHECK (era BETWEEN 1 AND 8191),
    format integer NOT NULL DEFAULT 1,
    plane_id uuid NOT NULL DEFAULT gen_random_uuid(),
    floor_note text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO cluster DEFAULT VALUES;
GRANT SELECT ON cluster TO rd_api, rd_ingest, rd_sched, rd_maint;

CREATE FUNCTION cluster_era_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.era < OLD.era THEN
        RAISE EXCEPTION 'the era never falls (% to %)', OLD.era, NEW.era USING ERRCODE = 'RD002';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER era_grows BEFORE UPDATE ON cluster FOR EACH ROW EXECUTE FUNCTION cluster_era_grows();

-- The current era; the default of events.era.
CREATE FUNCTION rd_era() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT era FROM cluster';
GRANT EXECUTE ON FUNCTION rd_era() TO PUBLIC;

-- Rows whose facts never change.
CREATE FUNCTION rd_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME USING ERRCODE = 'RD002';
END $$;

-- Forced row security with the tenant policy of rd_api; full_roles see every row.
CREATE PROCEDURE rd_tenant(tab text, org_column text, VARIADIC full_roles text[]) LANGUAGE plpgsql AS $$
DECLARE
    full_role text;
    mine text := format('%I = nullif(current_setting(''rd.org'', true), '''')::uuid', org_column);
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tab);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tab);
    EXECUTE format('CREATE POLICY tenant ON %I TO rd_api USING (%s) WITH CHECK (%s)', tab, mine, mine);
    FOREACH full_role IN ARRAY full_roles LOOP
        EXECUTE format('CREATE POLICY %I ON %I TO %I USING (true) WITH CHECK (true)', full_role || '_all', tab, full_role);
    END LOOP;
END $$;
