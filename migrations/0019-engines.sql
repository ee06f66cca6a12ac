-- owner module: api/agents_attach; the column of releases: api/routes_releases
-- The engines beside the default one that a host can run, as its agent said in its last hello.
SET LOCAL ROLE rd_owner;

ALTER TABLE host_links ADD COLUMN engines jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(engines) <= 1024);

-- Read out of the manifest for placement, and carries no trust: an enclave of another engine refuses the release.
ALTER TABLE releases ADD COLUMN engine text NOT NULL DEFAULT 'quickjs' CHECK (engine IN ('quickjs', 'jsc'));
