-- owner module: api/host_fault (role rd_ingest)
-- Faults of hosts, counted where agents are heard, and the marks that they lead to. A host is to be quarantined while its
-- newest mark is above the one that its operator released (host_wishes.released): levels, so that no step can be lost.
SET LOCAL ROLE rd_owner;

CREATE TABLE host_marks (
    host_id uuid PRIMARY KEY,
    faults integer NOT NULL DEFAULT 1, -- within an hour of `since`
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    mark bigint NOT NULL DEFAULT 0 CHECK (mark >= 0),
    is_cut boolean NOT NULL DEFAULT false, -- its key may be in use twice: no link until it is released
    code text NOT NULL DEFAULT '' CHECK (char_length(code) <= 64), -- of the newest mark
    detail text NOT NULL DEFAULT '' CHECK (char_length(detail) <= 512),
    marked_at timestamptz
) WITH (fillfactor = 70);
CREATE FUNCTION host_marks_grow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the mark of host % never falls', OLD.host_id USING ERRCODE = 'RD002';
END $$;
CREATE TRIGGER grow BEFORE UPDATE ON host_marks FOR EACH ROW WHEN (NEW.mark < OLD.mark) EXECUTE FUNCTION host_marks_grow();
ALTER TABLE host_marks ENABLE ROW LEVEL SECURITY;
ALTER TABLE host_marks FORCE ROW LEVEL SECURITY;
CREATE POLICY operator ON host_marks FOR SELECT TO rd_api
    USING (EXISTS (SELECT 1 FROM host_identity i WHERE i.host_id = host_marks.host_id));
CREATE POLICY rd_ingest_all ON host_marks TO rd_ingest USING (true);
CREATE POLICY rd_sched_all ON host_marks FOR SELECT TO rd_sched USING (true);
GRANT SELECT ON host_marks TO rd_api, rd_sched;
GRANT SELECT, INSERT, UPDATE ON host_marks TO rd_ingest;

ALTER TABLE host_wishes ADD COLUMN released bigint NOT NULL DEFAULT 0;
GRANT UPDATE (released) ON host_wishes TO rd_api;

-- Whether the newest mark still counts.
CREATE FUNCTION host_is_marked(p_host uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM host_marks m LEFT JOIN host_wishes w USING (host_id)
                   WHERE m.host_id = p_host AND m.mark > coalesce(w.released, 0))
$$;
GRANT EXECUTE ON FUNCTION host_is_marked(uuid) TO rd_api, rd_ingest, rd_sched;

-- Counts one fault; the p_max-th within an hour is a mark, told by an event and an evaluation. True when it was one.
-- Of a host that is marked already nothing is counted: its operator looks at what was the reason.
CREATE FUNCTION host_fault(p_host uuid, p_code text, p_detail text, p_max integer, p_cut boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    host record;
    counted integer;
BEGIN
    SELECT i.operator_org, i.shard INTO host FROM host_identity i WHERE i.host_id = p_host;
    IF NOT FOUND OR host_is_marked(p_host) THEN
        RETURN false;
    END IF;
    INSERT INTO host_marks AS m (host_id) VALUES (p_host)
    ON CONFLICT (host_id) DO UPDATE SET
        faults = CASE WHEN m.since > clock_timestamp() - interval '1 hour' THEN m.faults + 1 ELSE 1 END,
        since = CASE WHEN m.since > clock_timestamp() - interval '1 hour' THEN m.since ELSE clock_timestamp() END
    RETURNING faults INTO counted;
    IF counted < p_max THEN
        RETURN false;
    END IF;
    UPDATE host_marks SET mark = mark + 1, faults = 0, is_cut = p_cut, code = p_code, detail = left(p_detail, 512),
        marked_at = clock_timestamp() WHERE host_id = p_host;
    INSERT INTO events (org_id, kind, subject, body)
    VALUES (host.operator_org, 'host', uuid_send(p_host), jsonb_build_object('quarantined', p_code));
    PERFORM evaluate(host.shard, 2::smallint, uuid_send(p_host), 'fault');
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION host_fault(uuid, text, text, integer, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION host_fault(uuid, text, text, integer, boolean) TO rd_ingest;
