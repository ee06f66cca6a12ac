-- owner module: api/agents_receipts
-- Records are 3 kB and more and are written at the rate of calls: pglz was most of the cost of keeping one. A server that
-- was built without lz4 goes on as it did.
SET LOCAL ROLE rd_owner;

DO $$
DECLARE
    one regclass;
BEGIN
    FOR one IN SELECT relid FROM pg_partition_tree('receipt_log') LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN record SET COMPRESSION lz4', one);
    END LOOP;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'no lz4 here: records of receipts stay with the default compression';
END
$$;
