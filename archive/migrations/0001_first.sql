-- The first schema. One text for SQLite and PostgreSQL: BIGINT for numbers, flags and instants (milliseconds, UTC),
-- BYTEA for 16-byte ids, hashes and paths (SQLite keeps a blob as it is whatever the declared type), TEXT for the rest.

CREATE TABLE catalogue (
    -- One row: two instances that start at the same moment must not make two catalogues of one.
    one         BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    id          BYTEA  NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE leases (
    name    TEXT   NOT NULL PRIMARY KEY,
    holder  TEXT   NOT NULL,
    fence   BIGINT NOT NULL,
    until   BIGINT NOT NULL
);

CREATE TABLE resellers (
    id           BYTEA  NOT NULL PRIMARY KEY,
    code         TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    disabled_at  BIGINT
);

CREATE TABLE stores (
    id          BYTEA  NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL UNIQUE,
    created_at  BIGINT NOT NULL
);

CREATE TABLE tiers (
    id           BYTEA  NOT NULL PRIMARY KEY,
    code         TEXT   NOT NULL UNIQUE,
    reseller_id  BYTEA  REFERENCES resellers (id),
    name         TEXT   NOT NULL,
    days         BIGINT,
    quota_bytes  BIGINT,
    format       TEXT   NOT NULL CHECK (format IN ('mp3', 'opus', 'flac', 'wav', 'original')),
    bitrate_bps  BIGINT NOT NULL,
    stores       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    disabled_at  BIGINT
);

CREATE TABLE tenants (
    id           BYTEA  NOT NULL PRIMARY KEY,
    reseller_id  BYTEA  NOT NULL REFERENCES resellers (id),
    code         TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    time_zone    TEXT   NOT NULL,
    tier_id      BYTEA  NOT NULL REFERENCES tiers (id),
    -- The row that setting a hold and starting a purge serialise on.
    hold_epoch   BIGINT NOT NULL DEFAULT 0,
    created_at   BIGINT NOT NULL,
    disabled_at  BIGINT
);
CREATE INDEX tenants_by_reseller ON tenants (reseller_id);

CREATE TABLE policies (
    id           BYTEA  NOT NULL PRIMARY KEY,
    pbx_id       BYTEA  NOT NULL UNIQUE,
    days         BIGINT,
    quota_bytes  BIGINT,
    updated_at   BIGINT NOT NULL
);

CREATE TABLE pbxs (
    id           BYTEA  NOT NULL PRIMARY KEY,
    tenant_id    BYTEA  NOT NULL REFERENCES tenants (id),
    code         TEXT   NOT NULL UNIQUE,
    name         TEXT   NOT NULL,
    -- NULL: the tenant's.
    tier_id      BYTEA  REFERENCES tiers (id),
    created_at   BIGINT NOT NULL,
    disabled_at  BIGINT
);
CREATE INDEX pbxs_by_tenant ON pbxs (tenant_id);

CREATE TABLE core_servers (
    id            BYTEA  NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL UNIQUE,
    spool         TEXT   NOT NULL,
    layout        TEXT   NOT NULL,
    -- The pattern of a custom layout.
    pattern       TEXT,
    time_zone     TEXT   NOT NULL,
    -- What becomes of a source once archived: JSON, see CoreServer.
    after         TEXT   NOT NULL,
    enrolled_at   BIGINT NOT NULL,
    -- When an operator confirmed the preview of what is older than the enrolment; until then such recordings are guarded.
    confirmed_at  BIGINT,
    disabled_at   BIGINT
);

CREATE TABLE pbx_aliases (
    core_server_id  BYTEA NOT NULL REFERENCES core_servers (id),
    token           TEXT  NOT NULL,
    pbx_id          BYTEA NOT NULL REFERENCES pbxs (id),
    PRIMARY KEY (core_server_id, token)
);

CREATE TABLE sources (
    id              BYTEA  NOT NULL PRIMARY KEY,
    core_server_id  BYTEA  NOT NULL REFERENCES core_servers (id),
    -- Relative to the spool, the bytes as the core server has them (not always UTF-8).
    path            BYTEA  NOT NULL,
    size_bytes      BIGINT NOT NULL,
    mtime_ms        BIGINT NOT NULL,
    pbx_token       TEXT   NOT NULL,
    call_ref        TEXT   NOT NULL,
    leg             TEXT   NOT NULL,
    direction       TEXT   NOT NULL,
    caller          TEXT   NOT NULL,
    callee          TEXT   NOT NULL,
    started_at      BIGINT,
    state           TEXT   NOT NULL CHECK (state IN ('discovered', 'spooled', 'done', 'quarantined')),
    attempts        BIGINT NOT NULL DEFAULT 0,
    next_try_at     BIGINT NOT NULL,
    error_code      TEXT,
    error_detail    TEXT,
    fence           BIGINT NOT NULL DEFAULT 0,
    lease_until     BIGINT NOT NULL DEFAULT 0,
    instance        TEXT,
    sha256          BYTEA,
    recording_id    BYTEA,
    -- How a done source ended: archived, duplicate or refused.
    outcome         TEXT,
    discovered_at   BIGINT NOT NULL,
    done_at         BIGINT,
    -- When the file may go (NULL: it stays) and when it went.
    remove_after    BIGINT,
    removed_at      BIGINT,
    UNIQUE (core_server_id, path, size_bytes, mtime_ms)
);
CREATE INDEX sources_waiting ON sources (core_server_id, next_try_at) WHERE state IN ('discovered', 'spooled');
CREATE INDEX sources_quarantined ON sources (core_server_id, id) WHERE state = 'quarantined';
CREATE INDEX sources_to_remove ON sources (core_server_id, remove_after) WHERE remove_after IS NOT NULL AND removed_at IS NULL;

CREATE TABLE calls (
    id              BYTEA  NOT NULL PRIMARY KEY,
    tenant_id       BYTEA,
    pbx_id          BYTEA,
    core_server_id  BYTEA  NOT NULL,
    call_ref        TEXT   NOT NULL,
    started_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX calls_by_reference ON calls (core_server_id, call_ref, pbx_id);

CREATE TABLE cdrs (
    id              BYTEA  NOT NULL PRIMARY KEY,
    core_server_id  BYTEA  NOT NULL,
    tenant_id       BYTEA,
    pbx_id          BYTEA,
    call_ref        TEXT   NOT NULL,
    caller          TEXT   NOT NULL,
    callee          TEXT   NOT NULL,
    started_at      BIGINT NOT NULL,
    billsec_ms      BIGINT NOT NULL,
    disposition     TEXT   NOT NULL,
    recording_file  TEXT,
    received_at     BIGINT NOT NULL
);
CREATE INDEX cdrs_by_reference ON cdrs (core_server_id, call_ref);

CREATE TABLE recordings (
    -- A ULID whose time is retain_from.
    id              BYTEA  NOT NULL PRIMARY KEY,
    tenant_id       BYTEA  REFERENCES tenants (id),
    pbx_id          BYTEA  REFERENCES pbxs (id),
    core_server_id  BYTEA  NOT NULL REFERENCES core_servers (id),
    source_id       BYTEA  NOT NULL,
    pbx_token       TEXT   NOT NULL,
    call_id         BYTEA  NOT NULL,
    call_ref        TEXT   NOT NULL,
    leg             TEXT   NOT NULL,
    direction       TEXT   NOT NULL,
    caller          TEXT   NOT NULL,
    callee          TEXT   NOT NULL,
    started_at      BIGINT NOT NULL,
    duration_ms     BIGINT NOT NULL,
    -- The name that FTP lists; set once, so that mirrors never fetch twice.
    file_name       TEXT   NOT NULL,
    format          TEXT   NOT NULL,
    content_type    TEXT   NOT NULL,
    bitrate_bps     BIGINT NOT NULL,
    sample_rate     BIGINT NOT NULL,
    channels        BIGINT NOT NULL,
    source_format   TEXT   NOT NULL,
    -- 1: kept as it came, because it could not be decoded whole or its tier keeps originals.
    kept_original   BIGINT NOT NULL,
    size_bytes      BIGINT NOT NULL,
    source_sha256   BYTEA  NOT NULL,
    audio_sha256    BYTEA  NOT NULL,
    -- SHA-256 over PBX, call reference, leg and source hash: what "the same recording" means.
    identity        BYTEA  NOT NULL UNIQUE,
    state           TEXT   NOT NULL CHECK (state IN ('archived', 'expired', 'purging')),
    tier_id         BYTEA,
    policy_id       BYTEA,
    retain_from     BIGINT NOT NULL,
    retain_until    BIGINT,
    lock_mode       TEXT   NOT NULL DEFAULT 'none' CHECK (lock_mode IN ('none', 'governance', 'compliance')),
    -- 1: older than its core server's enrolment and not yet confirmed: outside every rule.
    guarded         BIGINT NOT NULL,
    quality         TEXT   NOT NULL,
    flags           TEXT   NOT NULL,
    peaks           BYTEA  NOT NULL,
    archived_at     BIGINT NOT NULL,
    expired_at      BIGINT,
    expired_by      TEXT,
    purge_after     BIGINT,
    fence           BIGINT NOT NULL DEFAULT 0,
    lease_until     BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX recordings_by_tenant ON recordings (tenant_id, started_at, id);
CREATE INDEX recordings_by_pbx ON recordings (pbx_id, started_at, id);
CREATE INDEX recordings_by_start ON recordings (started_at, id);
CREATE INDEX recordings_by_call ON recordings (tenant_id, call_ref);
CREATE INDEX recordings_by_age ON recordings (pbx_id, retain_from, id) WHERE state = 'archived' AND guarded = 0;
CREATE INDEX recordings_to_purge ON recordings (purge_after, id) WHERE state IN ('expired', 'purging');
CREATE INDEX recordings_unassigned ON recordings (core_server_id, pbx_token) WHERE pbx_id IS NULL;
CREATE INDEX recordings_guarded ON recordings (core_server_id, id) WHERE guarded = 1;

CREATE TABLE objects (
    id            BYTEA  NOT NULL PRIMARY KEY,
    -- No foreign key: the row exists before the recording does, and until its bytes are gone.
    recording_id  BYTEA  NOT NULL,
    store_id      BYTEA  NOT NULL REFERENCES stores (id),
    key           TEXT   NOT NULL UNIQUE,
    size_bytes    BIGINT NOT NULL,
    sha256        BYTEA  NOT NULL,
    encoding      TEXT   NOT NULL,
    state         TEXT   NOT NULL CHECK (state IN ('writing', 'live', 'dropping')),
    created_at    BIGINT NOT NULL,
    lease_until   BIGINT NOT NULL,
    verified_at   BIGINT
);
CREATE INDEX objects_by_recording ON objects (recording_id);
CREATE INDEX objects_unsettled ON objects (state, lease_until) WHERE state IN ('writing', 'dropping');

CREATE TABLE tombstones (
    id              BYTEA  NOT NULL PRIMARY KEY,
    tenant_id       BYTEA,
    pbx_id          BYTEA,
    core_server_id  BYTEA  NOT NULL,
    call_ref        TEXT   NOT NULL,
    leg             TEXT   NOT NULL,
    started_at      BIGINT NOT NULL,
    duration_ms     BIGINT NOT NULL,
    size_bytes      BIGINT NOT NULL,
    source_sha256   BYTEA  NOT NULL,
    audio_sha256    BYTEA  NOT NULL,
    identity        BYTEA  NOT NULL UNIQUE,
    expired_at      BIGINT NOT NULL,
    expired_by      TEXT   NOT NULL,
    purged_at       BIGINT NOT NULL
);
CREATE INDEX tombstones_by_tenant ON tombstones (tenant_id, started_at);

CREATE TABLE holds (
    id            BYTEA  NOT NULL PRIMARY KEY,
    tenant_id     BYTEA  NOT NULL REFERENCES tenants (id),
    matter        TEXT   NOT NULL,
    recording_id  BYTEA,
    pbx_id        BYTEA,
    number        TEXT,
    from_ms       BIGINT,
    until_ms      BIGINT,
    set_at        BIGINT NOT NULL,
    set_by        TEXT   NOT NULL,
    released_at   BIGINT,
    released_by   TEXT
);
CREATE INDEX holds_active ON holds (tenant_id) WHERE released_at IS NULL;

CREATE TABLE usage (
    -- An unassigned recording is counted under the id of sixteen zero bytes.
    pbx_id        BYTEA  NOT NULL,
    tier_id       BYTEA  NOT NULL,
    store_id      BYTEA  NOT NULL,
    -- live counts to a quota; grace is expired but not purged; guarded is older than its core server's enrolment.
    class         TEXT   NOT NULL CHECK (class IN ('live', 'grace', 'guarded')),
    tenant_id     BYTEA  NOT NULL,
    recordings    BIGINT NOT NULL,
    audio_ms      BIGINT NOT NULL,
    stored_bytes  BIGINT NOT NULL,
    PRIMARY KEY (pbx_id, tier_id, store_id, class)
);
CREATE INDEX usage_by_tenant ON usage (tenant_id);

CREATE TABLE users (
    id             BYTEA  NOT NULL PRIMARY KEY,
    login          TEXT   NOT NULL UNIQUE,
    password_hash  TEXT   NOT NULL,
    scope_kind     TEXT   NOT NULL CHECK (scope_kind IN ('platform', 'reseller', 'tenant', 'pbx')),
    scope_id       BYTEA,
    created_at     BIGINT NOT NULL,
    disabled_at    BIGINT
);

CREATE TABLE tokens (
    id            BYTEA  NOT NULL PRIMARY KEY,
    user_id       BYTEA  NOT NULL REFERENCES users (id),
    name          TEXT   NOT NULL,
    secret_hash   BYTEA  NOT NULL UNIQUE,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT,
    last_used_at  BIGINT,
    revoked_at    BIGINT
);

CREATE TABLE ftp_accounts (
    id             BYTEA  NOT NULL PRIMARY KEY,
    login          TEXT   NOT NULL UNIQUE,
    password_hash  TEXT   NOT NULL,
    pbx_id         BYTEA  NOT NULL REFERENCES pbxs (id),
    created_at     BIGINT NOT NULL,
    disabled_at    BIGINT
);

CREATE TABLE login_attempts (
    -- What is counted: an address, a login, or both.
    subject       TEXT   NOT NULL PRIMARY KEY,
    failures      BIGINT NOT NULL,
    first_at      BIGINT NOT NULL,
    banned_until  BIGINT NOT NULL
);

CREATE TABLE audit (
    id           BYTEA  NOT NULL PRIMARY KEY,
    at           BIGINT NOT NULL,
    principal    TEXT   NOT NULL,
    scope_kind   TEXT   NOT NULL,
    scope_id     BYTEA,
    address      TEXT,
    request_id   TEXT,
    action       TEXT   NOT NULL,
    tenant_id    BYTEA,
    target       TEXT,
    detail       TEXT   NOT NULL,
    -- Set by the sealer: the place in the chain, and SHA-256 over the row and the hash before it.
    seal_number  BIGINT,
    seal_hash    BYTEA
);
CREATE UNIQUE INDEX audit_chain ON audit (seal_number) WHERE seal_number IS NOT NULL;
CREATE INDEX audit_unsealed ON audit (id) WHERE seal_number IS NULL;
CREATE INDEX audit_by_tenant ON audit (tenant_id, at);

CREATE TABLE outbox (
    id           BYTEA  NOT NULL PRIMARY KEY,
    event        TEXT   NOT NULL,
    tenant_id    BYTEA,
    payload      TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    next_try_at  BIGINT NOT NULL,
    sent_at      BIGINT
);
CREATE INDEX outbox_waiting ON outbox (next_try_at) WHERE sent_at IS NULL;

CREATE TABLE runs (
    id             BYTEA  NOT NULL PRIMARY KEY,
    kind           TEXT   NOT NULL,
    started_at     BIGINT NOT NULL,
    finished_at    BIGINT,
    report         TEXT   NOT NULL,
    report_sha256  BYTEA
);
