-- owner module: api/routes_receipts (reads); writer: api/agents_receipts
-- What instances signed, a burst a row: the signed root and its leaves (receipt_record.h), no plain text and, of sealed
-- answers, no claims. Numbers and chain are the enclave's; a hole in them is a loss and stays one.
SET LOCAL ROLE rd_owner;

CREATE TABLE receipt_log (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    id bigint NOT NULL DEFAULT nextval('log_ids'),
    org_id uuid NOT NULL,
    app_id bytea NOT NULL CHECK (octet_length(app_id) = 32),
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    first bigint NOT NULL CHECK (first > 0),
    count integer NOT NULL CHECK (count BETWEEN 1 AND 64),
    record bytea NOT NULL CHECK (octet_length(record) <= 32768),
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE INDEX receipt_log_app ON receipt_log (app_id, at, id);
CREATE INDEX receipt_log_instance ON receipt_log (instance_id, epoch, first);
CALL rd_tenant('receipt_log', 'org_id', 'rd_ingest');
GRANT SELECT ON receipt_log TO rd_api;
GRANT SELECT, INSERT ON receipt_log TO rd_ingest;

INSERT INTO log_partitions VALUES ('receipt_log', '1 day', '14 days', '30 days');
SELECT partitions_make();
