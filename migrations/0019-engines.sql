-- owner module: api/agents_attach
-- The engines beside the default one that a host can run, as its agent said in its last hello.
SET LOCAL ROLE rd_owner;

ALTER TABLE host_links ADD COLUMN engines jsonb NOT NULL DEFAULT '{}' CHECK (pg_column_size(engines) <= 1024);
