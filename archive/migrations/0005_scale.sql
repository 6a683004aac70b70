-- What several instances, rolling upgrades and many recordings need. It only adds: the program before it runs on.

-- One row: which programs may work on this catalogue, and whether any still may.
CREATE TABLE compatibility (
    one              BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    -- The migration that a program must know at least. Only a migration that takes something away raises it.
    compatible_from  BIGINT NOT NULL,
    -- When the catalogue was moved to another database: from then on nobody works on this one.
    moved_at         BIGINT
);
INSERT INTO compatibility (one, compatible_from) VALUES (1, 1);

-- Searching: pages are walked in an index's own order. The platform's index begins with a column that a tenant's
-- statement does not name: by one that began with the time, PostgreSQL would look for a tenant's recordings among
-- everybody's, which takes for ever where the tenant has none of late.
CREATE INDEX recordings_newest ON recordings (guarded, started_at, id);
CREATE INDEX recordings_by_caller ON recordings (caller, tenant_id, started_at, id);
CREATE INDEX recordings_by_callee ON recordings (callee, tenant_id, started_at, id);
CREATE INDEX recordings_by_reference ON recordings (call_ref, started_at, id);
-- What a new hold may bring back.
CREATE INDEX recordings_in_grace ON recordings (tenant_id, id) WHERE state = 'expired';

-- Claims in their order; what lies in landing zones; lists by state.
CREATE INDEX sources_due ON sources (core_server_id, next_try_at, id) WHERE state IN ('discovered', 'spooled');
CREATE INDEX sources_spooled ON sources (core_server_id, instance) WHERE state = 'spooled';
CREATE INDEX sources_by_state ON sources (state, id) WHERE state IN ('discovered', 'spooled', 'quarantined');

CREATE INDEX outbox_due ON outbox (next_try_at, id) WHERE sent_at IS NULL;
CREATE INDEX runs_by_kind ON runs (kind, id);

CREATE INDEX audit_newest_of_tenant ON audit (tenant_id, id);

-- Where the audit's chain begins since its oldest rows were trimmed.
CREATE TABLE audit_anchor (
    one          BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    -- The last row that was trimmed: its place in the chain, and its hash.
    seal_number  BIGINT NOT NULL,
    seal_hash    BYTEA  NOT NULL,
    trimmed_at   BIGINT NOT NULL
);

-- Last of all: on PostgreSQL both of these keep readers out until the migration is committed, and the indexes above take
-- up to an hour to build.

-- The PBX that a row concerns, so that its users can read it. It repeats what the row's own text says and the chain
-- covers, so a program that does not know it seals the same chain.
ALTER TABLE audit ADD COLUMN pbx_id BYTEA;
CREATE INDEX audit_newest_of_pbx ON audit (pbx_id, id) WHERE pbx_id IS NOT NULL;
-- Its place was taken by recordings_newest.
DROP INDEX recordings_by_start;
