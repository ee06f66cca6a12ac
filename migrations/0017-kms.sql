-- owner module: api/agents_attach (key services), api/store_secrets (secrets, the lists of heads)
-- Key services that hosts carry, sealed secrets by version, and which of them each head names. All that is stored of a
-- secret is ciphertext under the app's seal key, which no process of the plane has.
SET LOCAL ROLE rd_owner;

-- The genesis certifies itself by the id. host_id: who said it first; what one host may bring in is bounded.
CREATE TABLE kms (
    kms_id bytea PRIMARY KEY CHECK (octet_length(kms_id) = 32),
    genesis bytea NOT NULL CHECK (octet_length(genesis) BETWEEN 1 AND 65536),
    class text NOT NULL CHECK (class IN ('simulated', 'hardware')),
    host_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX kms_host ON kms (host_id);
CREATE TRIGGER immutable BEFORE UPDATE ON kms FOR EACH ROW EXECUTE FUNCTION rd_immutable();
GRANT SELECT, INSERT ON kms TO rd_ingest;

CREATE TABLE kms_hosts (
    host_id uuid PRIMARY KEY,
    kms_id bytea NOT NULL REFERENCES kms,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX kms_hosts_kms ON kms_hosts (kms_id);
GRANT SELECT, INSERT, UPDATE, DELETE ON kms_hosts TO rd_ingest;

-- What a host carries from now on (NULL: none). False when it has brought in too many key services already.
CREATE FUNCTION kms_note(p_host uuid, p_kms bytea, p_genesis bytea, p_class text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = public, pg_temp AS $$
BEGIN
    IF p_kms IS NULL THEN
        DELETE FROM kms_hosts WHERE host_id = p_host;
        RETURN true;
    END IF;
    INSERT INTO kms (kms_id, genesis, class, host_id) SELECT p_kms, p_genesis, p_class, p_host
     WHERE (SELECT count(*) FROM kms WHERE host_id = p_host) < 8 ON CONFLICT (kms_id) DO NOTHING;
    INSERT INTO kms_hosts AS h (host_id, kms_id) SELECT p_host, kms_id FROM kms WHERE kms_id = p_kms
    ON CONFLICT (host_id) DO UPDATE SET kms_id = EXCLUDED.kms_id, at = clock_timestamp()
     WHERE h.kms_id <> EXCLUDED.kms_id;
    RETURN EXISTS (SELECT 1 FROM kms WHERE kms_id = p_kms);
END $$;
REVOKE ALL ON FUNCTION kms_note(uuid, bytea, bytea, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kms_note(uuid, bytea, bytea, text) TO rd_ingest;

-- Key services as anybody may see them: how many hosts carry each, and how many of those are linked; not which.
CREATE FUNCTION kms_list(p_kms bytea)
RETURNS TABLE (kms_id bytea, genesis bytea, class text, at timestamptz, hosts bigint, linked bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.kms_id, k.genesis, k.class, k.at, count(h.host_id), count(l.host_id) FROM kms k
      LEFT JOIN kms_hosts h ON h.kms_id = k.kms_id LEFT JOIN host_links l ON l.host_id = h.host_id AND l.state = 1
     WHERE p_kms IS NULL OR k.kms_id = p_kms GROUP BY k.kms_id ORDER BY k.at DESC, k.kms_id DESC LIMIT 200
$$;
GRANT SELECT ON kms, kms_hosts, host_links TO rd_definer;
CREATE POLICY rd_definer_all ON host_links FOR SELECT TO rd_definer USING (true);
ALTER FUNCTION kms_list(bytea) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION kms_list(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION kms_list(bytea) TO rd_api;

CREATE TABLE secrets (
    org_id uuid NOT NULL,
    app_id bytea NOT NULL,
    name text NOT NULL CHECK (name ~ '^([A-Z_][A-Z0-9_]{0,63}|redoubt\.code\.[0-9a-f]{64})$'),
    version bigint NOT NULL CHECK (version BETWEEN 1 AND 9007199254740991),
    sealed bytea NOT NULL CHECK (octet_length(sealed) BETWEEN 1 AND 33072),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (org_id, app_id, name, version),
    FOREIGN KEY (org_id, app_id) REFERENCES apps (org_id, app_id)
);
CREATE TRIGGER immutable BEFORE UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION rd_immutable();
CALL rd_tenant('secrets', 'org_id', 'rd_ingest');
GRANT SELECT, INSERT, DELETE ON secrets TO rd_api;
GRANT SELECT ON secrets TO rd_ingest;

-- The exact list of each head. It stays when an old version's ciphertext is deleted: the head was signed over it.
CREATE TABLE head_secrets (
    org_id uuid NOT NULL,
    app_id bytea NOT NULL,
    seq bigint NOT NULL,
    name text NOT NULL CHECK (char_length(name) <= 77),
    version bigint NOT NULL CHECK (version >= 1),
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    PRIMARY KEY (org_id, app_id, seq, name),
    FOREIGN KEY (org_id, app_id, seq) REFERENCES heads (org_id, app_id, seq)
);
CREATE TRIGGER immutable BEFORE UPDATE ON head_secrets FOR EACH ROW EXECUTE FUNCTION rd_immutable();
CALL rd_tenant('head_secrets', 'org_id', 'rd_ingest');
GRANT SELECT, INSERT ON head_secrets TO rd_api;
GRANT SELECT ON head_secrets TO rd_ingest;

-- Read out of the head, for placement and delivery; carries no trust.
ALTER TABLE heads ADD COLUMN kms bytea CHECK (octet_length(kms) = 32);
