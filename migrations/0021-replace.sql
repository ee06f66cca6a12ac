-- owner module: api/store_apps (heads), scheduler/store (leases)
-- Which instances a newer head leaves behind: those that began with other secrets, or under another key service, than it gives.
SET LOCAL ROLE rd_owner;

-- Every head from this number to this one gives an instance the same: key service and secrets. 0: so it was before this was
-- kept. Keys of sealed code do not count: a release has its own, and what opens another's is nothing to its instances.
ALTER TABLE heads ADD COLUMN fits_from bigint NOT NULL DEFAULT 0 CHECK (fits_from BETWEEN 0 AND seq);

-- The newest head when the lease was placed; its instance starts under that one or a later one. 0: not known.
ALTER TABLE leases ADD COLUMN head_seq bigint NOT NULL DEFAULT 0 CHECK (head_seq >= 0);
