-- owner module: api/collateral; writers: rd_api (through collateral_adopt)
-- The plane's collateral: one set at a time, the newest number. Older sets stay, since verdicts name them by digest.
SET LOCAL ROLE rd_owner;

CREATE TABLE collateral_sets (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    ca text NOT NULL CHECK (ca IN ('platform', 'processor')),
    evaluation bigint NOT NULL CHECK (evaluation >= 0),
    pck_crl bigint NOT NULL CHECK (pck_crl >= 0),
    root_crl bigint NOT NULL CHECK (root_crl >= 0),
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > issued_at),
    source text NOT NULL CHECK (char_length(source) <= 256),
    document bytea NOT NULL CHECK (octet_length(document) BETWEEN 2 AND 1048576),
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Nothing goes back under one root, whoever writes: the highest that was ever in use counts, not the last.
CREATE FUNCTION collateral_sets_grow() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    seen record;
BEGIN
    SELECT max(evaluation) AS evaluation, max(root_crl) AS root_crl,
           max(pck_crl) FILTER (WHERE ca = NEW.ca) AS pck_crl
    INTO seen FROM collateral_sets WHERE root = NEW.root;
    IF NEW.evaluation < seen.evaluation OR NEW.root_crl < seen.root_crl OR NEW.pck_crl < seen.pck_crl THEN
        RAISE EXCEPTION 'collateral never goes back' USING ERRCODE = 'RD002', CONSTRAINT = 'collateral_sets_grow';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER grow BEFORE INSERT ON collateral_sets FOR EACH ROW EXECUTE FUNCTION collateral_sets_grow();

-- A set that was in use is never changed: verdicts are replayed by it.
CREATE FUNCTION collateral_sets_keep() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'collateral sets are kept as they were' USING ERRCODE = 'RD002';
END $$;
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON collateral_sets FOR EACH ROW EXECUTE FUNCTION collateral_sets_keep();

-- Takes a set into use: one at a time, and every replica hears of it through the event log. Returns its number; the
-- number it has already when it is the one in use.
CREATE FUNCTION collateral_adopt(p_digest bytea, p_root bytea, p_ca text, p_evaluation bigint, p_pck_crl bigint,
                                 p_root_crl bigint, p_issued timestamptz, p_expires timestamptz, p_source text,
                                 p_document bytea)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    last collateral_sets%ROWTYPE;
    made bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('collateral', 0));
    SELECT * INTO last FROM collateral_sets ORDER BY number DESC LIMIT 1;
    IF last.digest = p_digest THEN
        RETURN last.number;
    END IF;
    IF last.root = p_root AND last.evaluation = p_evaluation AND last.ca = p_ca AND p_issued < last.issued_at THEN
        RAISE EXCEPTION 'collateral never goes back' USING ERRCODE = 'RD002', CONSTRAINT = 'collateral_sets_grow';
    END IF;
    INSERT INTO collateral_sets (digest, root, ca, evaluation, pck_crl, root_crl, issued_at, expires_at, source, document)
    VALUES (p_digest, p_root, p_ca, p_evaluation, p_pck_crl, p_root_crl, p_issued, p_expires, p_source, p_document)
    RETURNING number INTO made;
    INSERT INTO events (kind, subject, body) VALUES ('plane', 'collateral',
        jsonb_build_object('collateral', made, 'evaluation', p_evaluation, 'digest', encode(p_digest, 'hex')));
    RETURN made;
END $$;
ALTER FUNCTION collateral_adopt(bytea, bytea, text, bigint, bigint, bigint, timestamptz, timestamptz, text, bytea)
    OWNER TO rd_definer;
REVOKE ALL ON FUNCTION collateral_adopt(bytea, bytea, text, bigint, bigint, bigint, timestamptz, timestamptz, text, bytea)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collateral_adopt(bytea, bytea, text, bigint, bigint, bigint, timestamptz, timestamptz, text, bytea)
    TO rd_api;
GRANT SELECT ON collateral_sets TO rd_api, rd_ingest, rd_sched;
GRANT SELECT, INSERT ON collateral_sets TO rd_definer;
-- An event of the plane belongs to no organisation.
CREATE POLICY rd_definer_plane ON events FOR INSERT TO rd_definer WITH CHECK (org_id IS NULL);
GRANT INSERT ON events TO rd_definer;
GRANT USAGE ON SEQUENCE log_ids TO rd_definer;
