-- owner module: common/data/retention
-- rd_maint may detach and drop partitions: as rd_owner, which it becomes for that alone (no inherited rights).
DO $$
BEGIN
    IF (SELECT rolinherit FROM pg_roles WHERE rolname = 'rd_maint') THEN
        ALTER ROLE rd_maint NOINHERIT;
    END IF;
    IF NOT pg_has_role('rd_maint', 'rd_owner', 'MEMBER') THEN
        GRANT rd_owner TO rd_maint;
    END IF;
END $$;
SET LOCAL ROLE rd_owner;

-- Partitions past their time, oldest first. pending: a detach that did not finish; detached: one that did, before the drop.
DROP VIEW partitions_due;
CREATE VIEW partitions_due WITH (security_invoker = true) AS
    SELECT p.parent, c.relname::text AS child, coalesce(i.inhdetachpending, false) AS pending, i.inhrelid IS NULL AS detached
    FROM log_partitions p
    JOIN pg_class c ON c.relname ~ ('^' || p.parent || '_[0-9]{8}$') AND c.relkind = 'r'
                   AND c.relnamespace = 'public'::regnamespace
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    WHERE coalesce(i.inhdetachpending, false) OR i.inhrelid IS NULL
       OR (to_date(right(c.relname, 8), 'YYYYMMDD') + p.step)::timestamptz < clock_timestamp() - p.keep
    ORDER BY right(c.relname, 8), c.relname;
GRANT SELECT ON partitions_due TO rd_maint;
