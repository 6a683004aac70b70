-- Levels: what tenants and resellers may keep beside what each PBX may, and quotas of minutes and of recordings.

CREATE TABLE limits (
    -- A tenant or a reseller: all its PBXs together.
    owner_id          BYTEA  NOT NULL PRIMARY KEY,
    level             TEXT   NOT NULL CHECK (level IN ('tenant', 'reseller')),
    days              BIGINT,
    quota_bytes       BIGINT,
    quota_audio_ms    BIGINT,
    quota_recordings  BIGINT,
    -- 1: a reseller may sell more than its own quota.
    overbook          BIGINT NOT NULL DEFAULT 0,
    updated_at        BIGINT NOT NULL
);

-- Terms that were changed for new recordings only: what the PBX had archived before then is kept as long as it was told.
CREATE TABLE former_terms (
    pbx_id           BYTEA  NOT NULL REFERENCES pbxs (id),
    archived_before  BIGINT NOT NULL,
    -- NULL: for ever.
    days             BIGINT,
    PRIMARY KEY (pbx_id, archived_before)
);

-- What a PBX keeps, each recording once in however many stores it is: minutes and recordings are counted by it. What is
-- unassigned is outside every quota, and not in it.
CREATE TABLE usage_audio (
    pbx_id      BYTEA  NOT NULL,
    tier_id     BYTEA  NOT NULL,
    class       TEXT   NOT NULL CHECK (class IN ('live', 'grace', 'guarded')),
    tenant_id   BYTEA  NOT NULL,
    recordings  BIGINT NOT NULL,
    audio_ms    BIGINT NOT NULL,
    PRIMARY KEY (pbx_id, tier_id, class)
);
CREATE INDEX usage_audio_by_tenant ON usage_audio (tenant_id);

-- What was there before, and what the program before changes while both run, is not in usage_audio: rotation settles it.
CREATE TABLE upkeep (
    name     TEXT   NOT NULL PRIMARY KEY,
    -- Until then it is done again and again.
    until    BIGINT NOT NULL
);

-- As recordings_by_age, and with it can be told which terms a recording is under.
CREATE INDEX recordings_by_terms ON recordings (pbx_id, retain_from, id, archived_at) WHERE state = 'archived' AND guarded = 0;

ALTER TABLE tiers ADD COLUMN quota_audio_ms BIGINT;
ALTER TABLE tiers ADD COLUMN quota_recordings BIGINT;
ALTER TABLE policies ADD COLUMN quota_audio_ms BIGINT;
ALTER TABLE policies ADD COLUMN quota_recordings BIGINT;
-- Its place was taken by recordings_by_terms.
DROP INDEX recordings_by_age;
