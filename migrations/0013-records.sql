-- owner module: api/routes_records (reads); writer: api/ingest
-- Decision records and stored evidence are found by their digests: a receipt names the statement of the evidence that its
-- instance began with. Plain columns, as a function in an index is not leakproof and would go unused under row security.
SET LOCAL ROLE rd_owner;

ALTER TABLE verdict_log ADD COLUMN record_digest bytea CHECK (octet_length(record_digest) = 32);
ALTER TABLE verdict_log NO FORCE ROW LEVEL SECURITY; -- the owner sees no row otherwise
UPDATE verdict_log SET record_digest = sha256(record) WHERE record IS NOT NULL;
ALTER TABLE verdict_log FORCE ROW LEVEL SECURITY;
CREATE INDEX verdict_log_record ON verdict_log (record_digest);
CREATE INDEX verdict_log_app ON verdict_log (app_id, at, id);

ALTER TABLE evidence_log ADD COLUMN statement bytea CHECK (octet_length(statement) = 32);
CREATE INDEX evidence_log_digest ON evidence_log (digest);
CREATE INDEX evidence_log_statement ON evidence_log (statement);
CREATE INDEX lease_evidence_digest ON lease_evidence (digest);
