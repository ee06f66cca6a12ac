-- owner module: api/routes_records (reads); writer: api/agents_grant_log
-- What key services put on record about an app's instances, a grant or a refusal a row: the record as the replica signed it, and
-- the certificate of its key where one is known. The other columns are the plane's reading; who wants to know reads the record.
SET LOCAL ROLE rd_owner;

CREATE TABLE grant_log (
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    id bigint NOT NULL DEFAULT nextval('log_ids'),
    org_id uuid NOT NULL,
    app_id bytea NOT NULL CHECK (octet_length(app_id) = 32),
    instance_id uuid NOT NULL,
    epoch bigint NOT NULL,
    kms_id bytea NOT NULL CHECK (octet_length(kms_id) = 32),
    replica bytea NOT NULL CHECK (octet_length(replica) = 32),
    number bigint NOT NULL CHECK (number > 0),
    is_grant boolean NOT NULL,
    reason text CHECK (char_length(reason) <= 64),
    until timestamptz,
    certificate bytea CHECK (octet_length(certificate) <= 4096),
    record bytea NOT NULL CHECK (octet_length(record) <= 4096),
    PRIMARY KEY (at, id),
    CHECK (is_grant = (reason IS NULL)),
    CHECK (NOT is_grant OR certificate IS NOT NULL)
) PARTITION BY RANGE (at);
CREATE INDEX grant_log_app ON grant_log (app_id, at, id);
CREATE INDEX grant_log_number ON grant_log (replica, number);
CALL rd_tenant('grant_log', 'org_id', 'rd_ingest');
GRANT SELECT ON grant_log TO rd_api;
GRANT SELECT, INSERT ON grant_log TO rd_ingest;

INSERT INTO log_partitions VALUES ('grant_log', '1 month', '24 months', '400 days');
SELECT partitions_make();
