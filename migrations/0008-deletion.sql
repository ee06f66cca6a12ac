-- owner module: scheduler/commit
-- An app that is being deleted is gone when the last of what it holds is: the scheduler gives that back and ends it in
-- one transaction. Nobody else may end one, and nothing waits for somebody to take its name.
SET LOCAL ROLE rd_owner;

GRANT UPDATE (state, version) ON apps TO rd_definer;
GRANT INSERT ON events TO rd_definer;
GRANT USAGE ON SEQUENCE log_ids TO rd_definer;
GRANT SELECT ON cluster TO rd_definer;
CREATE POLICY rd_definer_all ON events FOR INSERT TO rd_definer WITH CHECK (true);

CREATE FUNCTION app_end(p_app bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH gone AS (UPDATE apps a SET state = 3, version = a.version + 1 WHERE a.app_id = p_app AND a.state = 2
                  AND NOT EXISTS (SELECT 1 FROM app_holds h WHERE h.app_id = a.app_id) RETURNING a.org_id, a.app_id)
    INSERT INTO events (org_id, kind, subject, app_id, body)
    SELECT org_id, 'app', app_id, app_id, '{"state":"deleted"}' FROM gone
$$;

-- As before (0003), and an app in deletion ends with its hold. Lock order: apps, org_quota.
CREATE OR REPLACE FUNCTION quota_give(p_app bytea, p_gen bigint, p_inst bigint, p_cpu_m bigint, p_mem bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    org uuid;
    h app_holds%ROWTYPE;
BEGIN
    SELECT org_id INTO org FROM app_holds WHERE app_id = p_app;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM 1 FROM apps WHERE app_id = p_app AND state = 2 FOR NO KEY UPDATE;
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
        PERFORM app_end(p_app);
    ELSE
        UPDATE app_holds SET inst = least(h.inst, p_inst), cpu_m = least(h.cpu_m, p_cpu_m), mem = least(h.mem, p_mem)
         WHERE app_id = p_app;
    END IF;
    RETURN true;
END $$;

ALTER FUNCTION app_end(bytea) OWNER TO rd_definer;
REVOKE ALL ON FUNCTION app_end(bytea) FROM PUBLIC;

UPDATE apps a SET state = 3, version = version + 1 WHERE a.state = 2
   AND NOT EXISTS (SELECT 1 FROM app_holds h WHERE h.app_id = a.app_id);
