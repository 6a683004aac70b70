//! Millions of recordings in a catalogue, without their bytes: made by the database itself.

use sqlx::{AssertSqlSafe, Connection};

use archive::{Archive, Pbx, Scope};

use crate::Outcome;
use crate::place::Engine;

/// 2026-01-01T00:00:00Z, in milliseconds; a recording begins every three seconds.
pub(crate) const FIRST_MS: i64 = 1_767_225_600_000;
pub(crate) const EVERY_MS: i64 = 3_000;
/// Rows of one statement.
const BATCH: i64 = 250_000;

/// Recordings `from..to`, each with its object, spread over the PBXs; one PBX in a thousand of them has a tenth.
pub(crate) async fn fill(
    engine: Engine,
    database: &str,
    archive: &Archive,
    pbxs: &[Pbx],
    from: i64,
    to: i64,
) -> Outcome<()> {
    let server = archive.list_core_servers().await?.remove(0).id;
    let store = archive.stores()[0].id();
    let tier = archive.list_tiers(Scope::Platform).await?.remove(0).id;
    let hex = |bytes: [u8; 16]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (server, store, tier) = (hex(server.to_bytes()), hex(store.to_bytes()), hex(tier.to_bytes()));
    // The ids of PBXs and tenants, by number, where the statement can join them.
    let numbered: Vec<String> = pbxs
        .iter()
        .enumerate()
        .map(|(n, pbx)| format!("({n}, '{}', '{}')", hex(pbx.id.to_bytes()), hex(pbx.tenant.to_bytes())))
        .collect();
    let count = pbxs.len();
    for first in (from..to).step_by(BATCH as usize) {
        let last = (first + BATCH).min(to) - 1;
        let numbers = engine.numbers(first, last);
        let id = |kind| engine.id(kind);
        let pbx_number = format!("CASE WHEN n % 10 = 0 THEN 0 ELSE (n * 7919) % {count} END");
        let hash = format!("{} || {}", id(4), id(5));
        let peaks = engine.literal(&"40".repeat(256));
        let sources = format!("{numbers}, pbx_ids (number, pbx, tenant) AS (VALUES {}) ", numbered.join(", "));
        let recordings = format!(
            "{sources}
             INSERT INTO recordings (id, tenant_id, pbx_id, core_server_id, source_id, pbx_token, call_id, call_ref, leg,
                 direction, caller, callee, started_at, duration_ms, file_name, format, content_type, bitrate_bps,
                 sample_rate, channels, source_format, kept_original, size_bytes, source_sha256, audio_sha256, identity,
                 state, tier_id, retain_from, guarded, quality, flags, peaks, archived_at)
             SELECT {id}, {tenant}, {pbx}, {server}, {source}, 'pbx', {call}, '1795246782.' || n, 'mixed',
                 CASE WHEN n % 3 = 0 THEN 'in' ELSE 'out' END, CAST(100 + n % 400 AS TEXT),
                 '+4930' || CAST(1000000 + (n * 7919) % 9000000 AS TEXT), {FIRST_MS} + n * {EVERY_MS},
                 (n * 31) % 600000, 'recording-' || n || '.mp3', 'mp3', 'audio/mpeg', 32000, 8000, 1, 'wav/pcm_s16le', 0,
                 32000, {hash}, {hash}, {hash}, 'archived', {tier}, {FIRST_MS} + n * {EVERY_MS}, 0, '{{}}', '', {peaks},
                 {FIRST_MS} + n * {EVERY_MS}
             FROM numbers
             JOIN pbx_ids ON pbx_ids.number = {pbx_number}",
            id = id(1),
            source = id(2),
            call = id(3),
            tenant = engine.unhex("tenant"),
            pbx = engine.unhex("pbx"),
            server = engine.literal(&server),
            tier = engine.literal(&tier),
        );
        let objects = format!(
            "{numbers}
             INSERT INTO objects (id, recording_id, store_id, key, size_bytes, sha256, encoding, state, created_at,
                 lease_until)
             SELECT {object}, {id}, {store}, 'tenant/pbx/2026/01/01/' || n || '.mp3', 32000, {hash}, 'identity', 'live',
                 {FIRST_MS}, 0
             FROM numbers",
            object = id(6),
            id = id(1),
            store = engine.literal(&store),
        );
        for statement in [recordings, objects] {
            engine.run(database, statement).await?;
        }
    }
    Ok(())
}

impl Engine {
    /// A table of the numbers `first..=last`.
    fn numbers(self, first: i64, last: i64) -> String {
        match self {
            Self::Sqlite => format!(
                "WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})"
            ),
            Self::Postgres => format!("WITH numbers (n) AS (SELECT generate_series({first}::BIGINT, {last}::BIGINT))"),
        }
    }

    /// The id number `n` of a kind: as a ULID's, its first bytes are its time.
    fn id(self, kind: u8) -> String {
        let at = format!("{FIRST_MS} + n * {EVERY_MS}");
        match self {
            Self::Sqlite => format!("unhex(printf('%012x%02x%018x', {at}, {kind}, n))"),
            Self::Postgres => {
                format!("decode(lpad(to_hex({at}), 12, '0') || '{kind:02x}' || lpad(to_hex(n), 18, '0'), 'hex')")
            }
        }
    }

    fn literal(self, hex: &str) -> String {
        match self {
            Self::Sqlite => format!("x'{hex}'"),
            Self::Postgres => format!("'\\x{hex}'::BYTEA"),
        }
    }

    fn unhex(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("unhex({column})"),
            Self::Postgres => format!("decode({column}, 'hex')"),
        }
    }

    async fn run(self, database: &str, statement: String) -> Outcome<()> {
        let statement = AssertSqlSafe(statement);
        match self {
            Self::Sqlite => {
                let mut connection = sqlx::SqliteConnection::connect(database).await?;
                sqlx::raw_sql(statement).execute(&mut connection).await?;
                connection.close().await?;
            }
            Self::Postgres => {
                let mut connection = sqlx::PgConnection::connect(database).await?;
                sqlx::raw_sql(statement).execute(&mut connection).await?;
                connection.close().await?;
            }
        }
        Ok(())
    }
}

/// Statistics, as an autovacuum makes them of a catalogue that grew over months.
pub(crate) async fn analyse(engine: Engine, database: &str) -> Outcome<()> {
    let statement = match engine {
        Engine::Sqlite => "PRAGMA optimize = 0x10002",
        Engine::Postgres => "VACUUM ANALYZE",
    };
    engine.run(database, statement.to_owned()).await
}
