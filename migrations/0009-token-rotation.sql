-- owner module: api/store_orgs
-- Rotating a token shortens the old one's life to the overlap.
SET LOCAL ROLE rd_owner;
GRANT UPDATE (expires_at) ON tokens TO rd_api;
