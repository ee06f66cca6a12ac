-- owner module: api/store_orgs
-- Organisations, people, tokens, dashboard sessions and quota. Roles within an organisation are text:
-- owner, developer, viewer, operator, auditor.
SET LOCAL ROLE rd_owner;

CREATE TABLE orgs (
    org_id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 128),
    kind text NOT NULL DEFAULT 'both' CHECK (kind IN ('customer', 'operator', 'both')),
    state smallint NOT NULL DEFAULT 1 CHECK (state IN (1, 2)), -- 1 live, 2 closed
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CALL rd_tenant('orgs', 'org_id', 'rd_definer', 'rd_sched');
GRANT SELECT, INSERT, UPDATE (name, kind, state) ON orgs TO rd_api;
GRANT SELECT ON orgs TO rd_sched, rd_definer;

CREATE TABLE org_quota (
    org_id uuid PRIMARY KEY REFERENCES orgs,
    inst_limit bigint NOT NULL CHECK (inst_limit >= 0),
    inst_used bigint NOT NULL DEFAULT 0 CHECK (inst_used >= 0),
    cpu_m_limit bigint NOT NULL CHECK (cpu_m_limit >= 0),
    cpu_m_used bigint NOT NULL DEFAULT 0 CHECK (cpu_m_used >= 0),
    mem_limit bigint NOT NULL CHECK (mem_limit >= 0),
    mem_used bigint NOT NULL DEFAULT 0 CHECK (mem_used >= 0)
) WITH (fillfactor = 70);
CALL rd_tenant('org_quota', 'org_id', 'rd_definer');
GRANT SELECT, INSERT, UPDATE ON org_quota TO rd_api;
GRANT SELECT, UPDATE ON org_quota TO rd_definer;

CREATE TABLE users (
    user_id uuid PRIMARY KEY,
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 128),
    state smallint NOT NULL DEFAULT 1 CHECK (state IN (1, 2)),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE members (
    org_id uuid NOT NULL REFERENCES orgs,
    user_id uuid NOT NULL REFERENCES users,
    role text NOT NULL CHECK (role IN ('owner', 'developer', 'viewer', 'operator', 'auditor')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, user_id)
);
CALL rd_tenant('members', 'org_id', 'rd_definer');
GRANT SELECT, INSERT, UPDATE (role), DELETE ON members TO rd_api;
GRANT SELECT ON members TO rd_definer;
-- A user is seen by the organisations that it belongs to (members is filtered by its own policy).
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON users FOR SELECT TO rd_api
    USING (EXISTS (SELECT 1 FROM members m WHERE m.user_id = users.user_id));
CREATE POLICY changed ON users FOR UPDATE TO rd_api
    USING (EXISTS (SELECT 1 FROM members m WHERE m.user_id = users.user_id)) WITH CHECK (true);
CREATE POLICY made ON users FOR INSERT TO rd_api WITH CHECK (true);
CREATE POLICY rd_definer_all ON users TO rd_definer USING (true);
GRANT SELECT, INSERT, UPDATE (name, state) ON users TO rd_api;
GRANT SELECT ON users TO rd_definer;

CREATE TABLE tokens (
    token_id uuid PRIMARY KEY,
    org_id uuid NOT NULL REFERENCES orgs,
    user_id uuid,
    name text NOT NULL DEFAULT '' CHECK (char_length(name) <= 128),
    role text NOT NULL CHECK (role IN ('owner', 'developer', 'viewer', 'operator', 'auditor')),
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    scopes jsonb NOT NULL DEFAULT '{}',
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_day date,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (org_id, token_id),
    FOREIGN KEY (org_id, user_id) REFERENCES members (org_id, user_id)
);
CALL rd_tenant('tokens', 'org_id', 'rd_definer');
GRANT SELECT, INSERT, UPDATE (name, revoked_at, last_used_day), DELETE ON tokens TO rd_api;
GRANT SELECT ON tokens TO rd_definer;

-- Dashboard sessions (kind session) and one-time login codes (kind login), by hash only.
CREATE TABLE sessions (
    hash bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    kind text NOT NULL CHECK (kind IN ('session', 'login')),
    org_id uuid NOT NULL REFERENCES orgs,
    user_id uuid NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'developer', 'viewer', 'operator', 'auditor')),
    csrf_hash bytea CHECK (octet_length(csrf_hash) = 32),
    expires_at timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (org_id, user_id) REFERENCES members (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX sessions_expires ON sessions (expires_at);
CALL rd_tenant('sessions', 'org_id', 'rd_definer', 'rd_sched');
GRANT SELECT, INSERT, DELETE ON sessions TO rd_api;
GRANT SELECT, DELETE ON sessions TO rd_definer;
GRANT SELECT (hash, expires_at), DELETE ON sessions TO rd_sched; -- the sweeper of what has expired

-- What the dashboard prepared for `redoubt approve CODE`.
CREATE TABLE prepared (
    code_hash bytea PRIMARY KEY CHECK (octet_length(code_hash) = 32),
    org_id uuid NOT NULL REFERENCES orgs,
    user_id uuid,
    app_id bytea CHECK (octet_length(app_id) = 32),
    body jsonb NOT NULL,
    bundle bytea CHECK (octet_length(bundle) <= 4194304),
    result jsonb,
    done_at timestamptz,
    expires_at timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX prepared_expires ON prepared (expires_at);
CALL rd_tenant('prepared', 'org_id', 'rd_sched');
GRANT SELECT, INSERT, UPDATE (result, done_at), DELETE ON prepared TO rd_api;
GRANT SELECT (code_hash, expires_at), DELETE ON prepared TO rd_sched;

-- Who a bearer token is, before an organisation is known. No row: unknown, expired, revoked or of a closed organisation.
CREATE FUNCTION token_find(p_hash bytea)
RETURNS TABLE (token_id uuid, org_id uuid, user_id uuid, role text, scopes jsonb, expires_at timestamptz, last_used_day date,
               org_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT t.token_id, t.org_id, t.user_id, t.role, t.scopes, t.expires_at, t.last_used_day, o.name
    FROM tokens t JOIN orgs o USING (org_id)
    WHERE t.hash = p_hash AND t.revoked_at IS NULL AND o.state = 1
      AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
$$;
-- Who a dashboard session is.
CREATE FUNCTION session_find(p_hash bytea)
RETURNS TABLE (org_id uuid, user_id uuid, role text, csrf_hash bytea, expires_at timestamptz, org_name text, user_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.org_id, s.user_id, m.role, s.csrf_hash, s.expires_at, o.name, u.name
    FROM sessions s JOIN orgs o USING (org_id) JOIN users u USING (user_id)
         JOIN members m ON m.org_id = s.org_id AND m.user_id = s.user_id
    WHERE s.hash = p_hash AND s.kind = 'session' AND s.expires_at > clock_timestamp() AND o.state = 1 AND u.state = 1
$$;
-- Uses a one-time login code up.
CREATE FUNCTION login_take(p_hash bytea) RETURNS TABLE (org_id uuid, user_id uuid, role text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM sessions s WHERE s.hash = p_hash AND s.kind = 'login' AND s.expires_at > clock_timestamp()
    RETURNING s.org_id, s.user_id, s.role
$$;
ALTER FUNCTION token_find(bytea) OWNER TO rd_definer;
ALTER FUNCTION session_find(bytea) OWNER TO rd_definer;
ALTER FUNCTION login_take(bytea) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION token_find(bytea), session_find(bytea), login_take(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION token_find(bytea), session_find(bytea), login_take(bytea) TO rd_api;
