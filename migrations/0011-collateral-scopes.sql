-- owner module: api/collateral; writers: rd_api (through collateral_adopt, collateral_refreshed)
-- One set covers many platforms. What may never go down is kept piece by piece, not as one number for all.
SET LOCAL ROLE rd_owner;

-- "kind/root in hex/scope": number (evaluation number, or that of a list) and date of issue in microseconds, the highest
-- that were ever in use. Arrays compare as they should: the number first.
CREATE TABLE collateral_marks (
    mark text PRIMARY KEY CHECK (char_length(mark) <= 512),
    highest bigint[] NOT NULL CHECK (array_length(highest, 1) = 2)
);
GRANT SELECT ON collateral_marks TO rd_api;
GRANT SELECT, INSERT, UPDATE ON collateral_marks TO rd_definer;

-- What the sets so far say, which had one FMSPC each.
INSERT INTO collateral_marks (mark, highest)
SELECT mark, max(highest) FROM (
    SELECT s.root, s.ca, s.evaluation, s.pck_crl, s.root_crl,
           (convert_from(s.document, 'UTF8')::jsonb ->> 'tcb_info')::jsonb -> 'tcbInfo' AS info
    FROM collateral_sets s
) s CROSS JOIN LATERAL (VALUES
    ('tcb_info/' || encode(s.root, 'hex') || '/' || lower(coalesce(s.info ->> 'id', 'SGX')) || '/' || lower(s.info ->> 'fmspc'),
     ARRAY[s.evaluation, 0]),
    ('qe_identity/' || encode(s.root, 'hex') || '/' || lower(coalesce(s.info ->> 'id', 'SGX')), ARRAY[s.evaluation, 0]),
    ('pck_crl/' || encode(s.root, 'hex') || '/' || s.ca, ARRAY[s.pck_crl, 0]),
    ('root_ca_crl/' || encode(s.root, 'hex') || '/', ARRAY[s.root_crl, 0])
) AS m (mark, highest)
GROUP BY mark;

DROP TRIGGER grow ON collateral_sets;
DROP FUNCTION collateral_adopt(bytea, bytea, text, bigint, bigint, bigint, timestamptz, timestamptz, text, bytea);
ALTER TABLE collateral_sets
    DROP COLUMN root, DROP COLUMN ca, DROP COLUMN pck_crl, DROP COLUMN root_crl,
    ADD COLUMN marks jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(marks) = 'object');

-- Whoever writes: a set with a piece below its mark is refused, and the marks go up with it.
CREATE OR REPLACE FUNCTION collateral_sets_grow() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM jsonb_each(NEW.marks) AS n (mark, value) JOIN collateral_marks m USING (mark)
        WHERE ARRAY[(n.value ->> 0)::bigint, (n.value ->> 1)::bigint] < m.highest
    ) THEN
        RAISE EXCEPTION 'collateral never goes back' USING ERRCODE = 'RD002', CONSTRAINT = 'collateral_sets_grow';
    END IF;
    INSERT INTO collateral_marks AS m (mark, highest)
    SELECT n.mark, ARRAY[(n.value ->> 0)::bigint, (n.value ->> 1)::bigint] FROM jsonb_each(NEW.marks) AS n (mark, value)
    ORDER BY n.mark
    ON CONFLICT (mark) DO UPDATE SET highest = EXCLUDED.highest WHERE m.highest < EXCLUDED.highest;
    RETURN NEW;
END $$;
CREATE TRIGGER grow BEFORE INSERT ON collateral_sets FOR EACH ROW EXECUTE FUNCTION collateral_sets_grow();

-- Takes a set into use; the caller holds the advisory lock 'collateral', under which it made the set out of the last
-- one. Every replica hears of it through the event log. Returns its number, or that of the last when it is the same.
CREATE FUNCTION collateral_adopt(p_digest bytea, p_marks jsonb, p_evaluation bigint, p_issued timestamptz,
                                 p_expires timestamptz, p_source text, p_document bytea)
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
    INSERT INTO collateral_sets (digest, marks, evaluation, issued_at, expires_at, source, document)
    VALUES (p_digest, p_marks, p_evaluation, p_issued, p_expires, p_source, p_document)
    RETURNING number INTO made;
    INSERT INTO events (kind, subject, body) VALUES ('plane', 'collateral',
        jsonb_build_object('collateral', made, 'evaluation', p_evaluation, 'digest', encode(p_digest, 'hex')));
    RETURN made;
END $$;
ALTER FUNCTION collateral_adopt(bytea, jsonb, bigint, timestamptz, timestamptz, text, bytea) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION collateral_adopt(bytea, jsonb, bigint, timestamptz, timestamptz, text, bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION collateral_adopt(bytea, jsonb, bigint, timestamptz, timestamptz, text, bytea) TO rd_api;

-- How the last fetch went: one row. The replica that holds the advisory lock 'collateral_refresh' writes it; all others
-- read when the next is due.
CREATE TABLE collateral_refresh (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    tried_at timestamptz NOT NULL,
    succeeded_at timestamptz,
    next_at timestamptz NOT NULL,
    failures integer NOT NULL CHECK (failures >= 0),
    code text NOT NULL CHECK (char_length(code) <= 64),
    detail text NOT NULL CHECK (char_length(detail) <= 1024),
    source text NOT NULL CHECK (char_length(source) <= 256)
);
GRANT SELECT, INSERT, UPDATE ON collateral_refresh TO rd_api;
