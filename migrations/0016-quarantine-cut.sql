-- owner module: api/host_fault (role rd_ingest)
-- host_fault of 0012 once more: a key that may be in use twice is cut also where the host is marked already.
SET LOCAL ROLE rd_owner;

-- Counts one fault; the p_max-th within an hour is a mark, told by an event and an evaluation. True when it was one.
-- Of a host that is marked already nothing is counted: its operator looks at what was the reason. But a key that may be in
-- use twice is a mark of its own, and no later one takes the cut away: the row is locked before it is looked at.
CREATE OR REPLACE FUNCTION host_fault(p_host uuid, p_code text, p_detail text, p_max integer, p_cut boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    host record;
    has_cut boolean;
    counted integer;
BEGIN
    SELECT i.operator_org, i.shard INTO host FROM host_identity i WHERE i.host_id = p_host;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO host_marks (host_id, faults) VALUES (p_host, 0) ON CONFLICT DO NOTHING;
    SELECT m.is_cut INTO has_cut FROM host_marks m WHERE m.host_id = p_host FOR NO KEY UPDATE;
    IF host_is_marked(p_host) AND (has_cut OR NOT p_cut) THEN
        RETURN false;
    END IF;
    UPDATE host_marks m SET
        faults = CASE WHEN m.since > clock_timestamp() - interval '1 hour' THEN m.faults + 1 ELSE 1 END,
        since = CASE WHEN m.since > clock_timestamp() - interval '1 hour' THEN m.since ELSE clock_timestamp() END
    WHERE m.host_id = p_host RETURNING faults INTO counted;
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
