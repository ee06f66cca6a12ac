-- owner module: api/store_apps, api/store_deployments, api/request (idempotency)
-- Apps, what may run (releases, heads), what should run (deployments), and evaluations.
SET LOCAL ROLE rd_owner;

CREATE TABLE apps (
    app_id bytea PRIMARY KEY CHECK (octet_length(app_id) = 32),
    org_id uuid NOT NULL REFERENCES orgs,
    name text NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]{0,62}$'),
    genesis bytea NOT NULL CHECK (octet_length(genesis) <= 65536),
    state smallint NOT NULL DEFAULT 1 CHECK (state IN (1, 2, 3)), -- 1 live, 2 deleting, 3 deleted
    policy jsonb NOT NULL DEFAULT '{}',
    class smallint NOT NULL DEFAULT 1 CHECK (class IN (1, 2)), -- 1 replicated, 2 exclusive
    lease_ttl_us bigint NOT NULL DEFAULT 30000000 CHECK (lease_ttl_us BETWEEN 10000000 AND 300000000),
    home_shard integer NOT NULL DEFAULT 0,
    paused boolean NOT NULL DEFAULT false,
    version bigint NOT NULL DEFAULT 1,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (org_id, app_id)
);
CREATE UNIQUE INDEX apps_name ON apps (org_id, name) WHERE state < 3;
CALL rd_tenant('apps', 'org_id', 'rd_ingest', 'rd_sched', 'rd_definer');
GRANT SELECT, INSERT, UPDATE (name, state, policy, paused, version) ON apps TO rd_api;
GRANT SELECT ON apps TO rd_ingest, rd_sched, rd_definer;

CREATE TABLE app_holds (
    app_id bytea PRIMARY KEY,
    org_id uuid NOT NULL,
    inst bigint NOT NULL CHECK (inst >= 0),
    cpu_m bigint NOT NULL CHECK (cpu_m >= 0),
    mem bigint NOT NULL CHECK (mem >= 0),
    deployment_gen bigint NOT NULL,
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id)
) WITH (fillfactor = 70);
CALL rd_tenant('app_holds', 'org_id', 'rd_definer', 'rd_sched');
GRANT SELECT, INSERT, UPDATE, DELETE ON app_holds TO rd_api, rd_definer;
GRANT SELECT ON app_holds TO rd_sched;

-- One reference of an organisation to a blob; the bytes lie in a directory, shared by digest. The key starts with the
-- organisation, or `is it present` would tell of other organisations' blobs.
CREATE TABLE blobs (
    org_id uuid NOT NULL REFERENCES orgs,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    size bigint NOT NULL CHECK (size >= 0),
    state smallint NOT NULL DEFAULT 1 CHECK (state IN (1, 2)), -- 1 present, 2 marked for deletion
    refs_checked_at timestamptz,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, digest)
);
CALL rd_tenant('blobs', 'org_id', 'rd_maint');
GRANT SELECT, INSERT, UPDATE (state, refs_checked_at), DELETE ON blobs TO rd_api, rd_maint;

-- What may run. `envelope` is the signed document as received; the columns after it are read out of the manifest for
-- placement and delivery and carry no trust.
CREATE TABLE releases (
    release_id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    app_id bytea NOT NULL,
    number bigint NOT NULL CHECK (number BETWEEN 1 AND 2147483647),
    manifest bytea NOT NULL CHECK (octet_length(manifest) <= 65536),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    signatures jsonb NOT NULL,
    envelope bytea NOT NULL,
    code_digest bytea NOT NULL CHECK (octet_length(code_digest) = 32),
    cpu_m bigint NOT NULL CHECK (cpu_m BETWEEN 1 AND 1000000),
    mem bigint NOT NULL CHECK (mem BETWEEN 1 AND 1099511627776),
    is_open boolean NOT NULL DEFAULT false,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (org_id, app_id, number),
    UNIQUE (org_id, app_id, digest),
    UNIQUE (org_id, app_id, release_id),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id)
);
CREATE TRIGGER immutable BEFORE UPDATE ON releases FOR EACH ROW EXECUTE FUNCTION rd_immutable();
CALL rd_tenant('releases', 'org_id', 'rd_ingest', 'rd_sched', 'rd_definer');
GRANT SELECT, INSERT ON releases TO rd_api;
GRANT SELECT ON releases TO rd_ingest, rd_sched, rd_definer;

-- What is current. class and tees are read out of the head for placement and carry no trust.
CREATE TABLE heads (
    org_id uuid NOT NULL,
    app_id bytea NOT NULL,
    seq bigint NOT NULL CHECK (seq BETWEEN 1 AND 9007199254740991),
    head bytea NOT NULL CHECK (octet_length(head) <= 65536),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    prev bytea CHECK (octet_length(prev) = 32),
    signatures jsonb NOT NULL,
    envelope bytea NOT NULL,
    class text NOT NULL CHECK (class IN ('simulated', 'hardware')),
    tees text[] NOT NULL DEFAULT '{tdx}',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (app_id, seq),
    UNIQUE NULLS NOT DISTINCT (app_id, prev),
    UNIQUE (org_id, app_id, seq),
    CHECK ((seq = 1) = (prev IS NULL)),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id)
);
CREATE TRIGGER immutable BEFORE UPDATE ON heads FOR EACH ROW EXECUTE FUNCTION rd_immutable();
CALL rd_tenant('heads', 'org_id', 'rd_ingest', 'rd_sched', 'rd_definer');
GRANT SELECT, INSERT ON heads TO rd_api;
GRANT SELECT ON heads TO rd_ingest, rd_sched, rd_definer;

-- Evidence of a fork: second heads of one number, refused but kept.
CREATE TABLE head_forks (
    org_id uuid NOT NULL,
    app_id bytea NOT NULL,
    seq bigint NOT NULL,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    envelope bytea NOT NULL CHECK (octet_length(envelope) <= 131072),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, app_id, seq, digest),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id)
);
CREATE TRIGGER immutable BEFORE UPDATE ON head_forks FOR EACH ROW EXECUTE FUNCTION rd_immutable();
CALL rd_tenant('head_forks', 'org_id', 'rd_definer');
GRANT SELECT, INSERT ON head_forks TO rd_api;

-- Wanted states. kind: 1 deploy, 2 rollback, 3 scale, 4 stop. strategy may carry regions ([text]), labels ({name: value})
-- and surge (instances above max while rolling; default 1). head_seq is the head that allowed it.
CREATE TABLE deployments (
    deployment_id uuid PRIMARY KEY,
    org_id uuid NOT NULL,
    app_id bytea NOT NULL,
    gen bigint NOT NULL CHECK (gen >= 1),
    release_id uuid,
    head_seq bigint,
    min integer NOT NULL CHECK (min >= 0),
    max integer NOT NULL CHECK (max >= min AND max <= 1000000),
    strategy jsonb NOT NULL DEFAULT '{}',
    parts jsonb NOT NULL DEFAULT '{}',
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 4),
    cause text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (org_id, app_id, gen),
    CHECK (kind = 4 OR (release_id IS NOT NULL AND head_seq IS NOT NULL)),
    CHECK (kind <> 4 OR max = 0),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id),
    FOREIGN KEY (org_id, app_id, release_id) REFERENCES releases (org_id, app_id, release_id),
    FOREIGN KEY (org_id, app_id, head_seq) REFERENCES heads (org_id, app_id, seq)
);
CREATE UNIQUE INDEX deployments_prefix ON deployments (substring(uuid_send(deployment_id), 1, 12));
CREATE TRIGGER immutable BEFORE UPDATE ON deployments FOR EACH ROW EXECUTE FUNCTION rd_immutable();
CALL rd_tenant('deployments', 'org_id', 'rd_ingest', 'rd_sched', 'rd_definer');
GRANT SELECT, INSERT ON deployments TO rd_api;
GRANT SELECT ON deployments TO rd_ingest, rd_sched, rd_definer;

-- The work list of the scheduler. kind: 1 app (subject: app id), 2 host (subject: 16 bytes of the host id).
CREATE TABLE evaluations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    shard integer NOT NULL,
    kind smallint NOT NULL CHECK (kind IN (1, 2)),
    subject bytea NOT NULL CHECK (octet_length(subject) IN (16, 32)),
    cause text NOT NULL CHECK (char_length(cause) <= 64),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX evaluations_shard ON evaluations (shard, id);
GRANT SELECT, DELETE ON evaluations TO rd_sched;
GRANT SELECT ON evaluations TO rd_api;

-- Asks the scheduler of a shard to look at an app or a host again, when this transaction commits.
CREATE FUNCTION evaluate(p_shard integer, p_kind smallint, p_subject bytea, p_cause text) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO evaluations (shard, kind, subject, cause) VALUES (p_shard, p_kind, p_subject, p_cause) RETURNING id
$$;
GRANT EXECUTE ON FUNCTION evaluate(integer, smallint, bytea, text) TO rd_api, rd_ingest, rd_sched;

CREATE TABLE idempotency (
    org_id uuid NOT NULL REFERENCES orgs,
    principal text NOT NULL,
    key text NOT NULL CHECK (char_length(key) BETWEEN 1 AND 255),
    op text NOT NULL,
    req_hash bytea NOT NULL CHECK (octet_length(req_hash) = 32),
    status smallint,
    resource text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, principal, key)
);
CREATE INDEX idempotency_at ON idempotency (at);
CALL rd_tenant('idempotency', 'org_id', 'rd_sched');
GRANT SELECT, INSERT, UPDATE (status, resource), DELETE ON idempotency TO rd_api;
GRANT SELECT, DELETE ON idempotency TO rd_sched;

-- Takes greatest(0, need - hold) out of the quota for an app and raises its hold. Returns NULL, or the name of the
-- resource that would pass its limit ('instances', 'cpu_m', 'memory'), with nothing taken. Call with rd.org set, after
-- the app's row is locked (lock order: apps, org_quota).
CREATE FUNCTION quota_take(p_org uuid, p_app bytea, p_inst bigint, p_cpu_m bigint, p_mem bigint, p_gen bigint)
RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    q org_quota%ROWTYPE;
    h app_holds%ROWTYPE;
    d_inst bigint;
    d_cpu bigint;
    d_mem bigint;
BEGIN
    IF p_org IS DISTINCT FROM nullif(current_setting('rd.org', true), '')::uuid THEN
        RAISE EXCEPTION 'quota of another organisation' USING ERRCODE = '42501';
    END IF;
    SELECT * INTO q FROM org_quota WHERE org_id = p_org FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN 'instances';
    END IF;
    SELECT * INTO h FROM app_holds WHERE app_id = p_app AND org_id = p_org FOR NO KEY UPDATE;
    d_inst := greatest(0, p_inst - coalesce(h.inst, 0));
    d_cpu := greatest(0, p_cpu_m - coalesce(h.cpu_m, 0));
    d_mem := greatest(0, p_mem - coalesce(h.mem, 0));
    IF d_inst > 0 AND q.inst_used + d_inst > q.inst_limit THEN
        RETURN 'instances';
    ELSIF d_cpu > 0 AND q.cpu_m_used + d_cpu > q.cpu_m_limit THEN
        RETURN 'cpu_m';
    ELSIF d_mem > 0 AND q.mem_used + d_mem > q.mem_limit THEN
        RETURN 'memory';
    END IF;
    UPDATE org_quota SET inst_used = inst_used + d_inst, cpu_m_used = cpu_m_used + d_cpu, mem_used = mem_used + d_mem
     WHERE org_id = p_org;
    INSERT INTO app_holds AS a (app_id, org_id, inst, cpu_m, mem, deployment_gen)
    VALUES (p_app, p_org, p_inst, p_cpu_m, p_mem, p_gen)
    ON CONFLICT (app_id) DO UPDATE SET inst = a.inst + d_inst, cpu_m = a.cpu_m + d_cpu, mem = a.mem + d_mem,
                                       deployment_gen = p_gen;
    RETURN NULL;
END $$;

-- Lowers an app's hold to what is still needed and gives the difference back; with need 0 the hold goes. Only while the
-- hold is of generation p_gen: a newer accept keeps its own. True when something was given. Run twice it gives once.
CREATE FUNCTION quota_give(p_app bytea, p_gen bigint, p_inst bigint, p_cpu_m bigint, p_mem bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    org uuid;
    h app_holds%ROWTYPE;
BEGIN
    SELECT org_id INTO org FROM app_holds WHERE app_id = p_app;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM org_quota WHERE org_id = org FOR NO KEY UPDATE;
    SELECT * INTO h FROM app_holds WHERE app_id = p_app AND deployment_gen = p_gen FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE org_quota SET inst_used = inst_used - greatest(0, h.inst - p_inst),
                         cpu_m_used = cpu_m_used - greatest(0, h.cpu_m - p_cpu_m),
                         mem_used = mem_used - greatest(0, h.mem - p_mem)
     WHERE org_id = org;
    IF p_inst = 0 AND p_cpu_m = 0 AND p_mem = 0 THEN
        DELETE FROM app_holds WHERE app_id = p_app;
    ELSE
        UPDATE app_holds SET inst = least(h.inst, p_inst), cpu_m = least(h.cpu_m, p_cpu_m), mem = least(h.mem, p_mem)
         WHERE app_id = p_app;
    END IF;
    RETURN true;
END $$;

-- The organisation of a public app id, for public reads and the apps origin.
CREATE FUNCTION app_find(p_app bytea) RETURNS TABLE (org_id uuid, state smallint, paused boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT a.org_id, a.state, a.paused FROM apps a WHERE a.app_id = p_app
$$;
ALTER FUNCTION quota_take(uuid, bytea, bigint, bigint, bigint, bigint) OWNER TO rd_definer;
ALTER FUNCTION quota_give(bytea, bigint, bigint, bigint, bigint) OWNER TO rd_definer;
ALTER FUNCTION app_find(bytea) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION quota_take(uuid, bytea, bigint, bigint, bigint, bigint),
    quota_give(bytea, bigint, bigint, bigint, bigint), app_find(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION quota_take(uuid, bytea, bigint, bigint, bigint, bigint) TO rd_api;
GRANT EXECUTE ON FUNCTION quota_give(bytea, bigint, bigint, bigint, bigint) TO rd_sched;
GRANT EXECUTE ON FUNCTION app_find(bytea) TO rd_api, rd_ingest;

-- Bounds of the instance ids of a deployment: its leases are one range of the primary key.
CREATE FUNCTION instances_from(p_deployment uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    'SELECT encode(substring(uuid_send(p_deployment), 1, 12) || ''\x00000000''::bytea, ''hex'')::uuid';
CREATE FUNCTION instances_to(p_deployment uuid) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    'SELECT encode(substring(uuid_send(p_deployment), 1, 12) || ''\xffffffff''::bytea, ''hex'')::uuid';
GRANT EXECUTE ON FUNCTION instances_from(uuid), instances_to(uuid) TO PUBLIC;
