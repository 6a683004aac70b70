-- Integrity and recovery: what is scrubbed next, what no recording owns, what was restored.

-- Read longest ago first, store by store. What was never read since it was put was compared then.
CREATE INDEX objects_to_scrub ON objects (store_id, (COALESCE(verified_at, created_at)), id) WHERE state = 'live';
CREATE INDEX objects_damaged ON objects (store_id, damaged_at) WHERE damaged_at IS NOT NULL;

CREATE TABLE orphans (
    -- Bytes in a store that no row of objects names.
    store_id       BYTEA  NOT NULL REFERENCES stores (id),
    key            TEXT   NOT NULL,
    size_bytes     BIGINT NOT NULL,
    first_seen_at  BIGINT NOT NULL,
    last_seen_at   BIGINT NOT NULL,
    -- When it was moved to lost+found.
    moved_at       BIGINT,
    PRIMARY KEY (store_id, key)
);

CREATE TABLE restores (
    id              BYTEA  NOT NULL PRIMARY KEY,
    -- The catalogue that was lost, whose stores this one has taken over.
    from_catalogue  BYTEA  NOT NULL,
    -- The backup; NULL: rebuilt from the stores alone.
    backup          TEXT,
    -- What is older than this was in the backup.
    since           BIGINT NOT NULL,
    started_at      BIGINT NOT NULL,
    -- NULL: it was cut off and must be run again before anything else.
    finished_at     BIGINT,
    -- NULL: nothing rotates until an operator has looked.
    confirmed_at    BIGINT,
    report          TEXT   NOT NULL
);
CREATE INDEX restores_unconfirmed ON restores (id) WHERE confirmed_at IS NULL;
