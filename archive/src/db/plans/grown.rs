//! A catalogue that has grown: rows made by the database itself, of as many recordings as asked for.

use crate::db::{Db, params};
use crate::testing::TestArchive;

/// Tenants, with four PBXs each. The first one has three recordings of ten.
pub(super) const TENANTS: u32 = 200;
/// Resellers: each has as many tenants as the others.
const RESELLERS: u32 = 4;
/// When the first call began; one more begins each second.
pub(super) const BEGINNING: i64 = 1_600_000_000_000;

/// What both engines say differently.
struct Dialect {
    series: fn(u64) -> String,
    /// A 16-byte id of that kind, time and number.
    id: fn(&str, &str) -> String,
    /// 32 bytes that differ for each number.
    hash: fn(&str) -> String,
}

const POSTGRES: Dialect = Dialect {
    series: |count| format!("generate_series(CAST(0 AS BIGINT), {count} - 1) AS s(n)"),
    id: |time, n| format!("decode(lpad(to_hex({time}), 12, '0') || lpad(to_hex({n}), 20, '0'), 'hex')"),
    hash: |n| format!("decode(lpad(to_hex({n}), 64, '0'), 'hex')"),
};
const SQLITE: Dialect = Dialect {
    series: |count| {
        format!(
            "(WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < {count} - 1) SELECT n FROM c) s"
        )
    },
    id: |time, n| format!("unhex(printf('%012x%020x', {time}, {n}))"),
    hash: |n| format!("unhex(printf('%064x', {n}))"),
};

/// The id of the tenant, PBX … of that number, in the parts of a query.
pub(super) fn id_of(n: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    id
}

/// Fills the archive's catalogue.
pub(super) async fn grow(t: &TestArchive, recordings: u64) {
    let db = &t.archive.db;
    let dialect = if db.engine() == "sqlite" { SQLITE } else { POSTGRES };
    let indexes = drop_indexes(db).await;
    let mut tx = db.begin().await.unwrap();
    if db.engine() == "postgres" {
        // The rows are right; asking for each of them whether it is takes longer than writing it.
        tx.execute("SET LOCAL session_replication_role = replica", params![]).await.unwrap();
    }
    for sql in statements(&dialect, recordings) {
        tx.execute(sql, params![]).await.unwrap();
    }
    tx.commit().await.unwrap();
    for sql in indexes {
        db.execute(sql, params![]).await.unwrap();
    }
    // As the autovacuum would; nobody does it for an SQLite catalogue.
    if db.engine() == "postgres" {
        db.execute("VACUUM ANALYZE", params![]).await.unwrap();
    }
}

/// Drops the indexes of the large tables that no constraint needs; gives what makes them anew.
async fn drop_indexes(db: &Db) -> Vec<String> {
    let list = match db {
        Db::Sqlite { .. } => {
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND sql NOT LIKE '%UNIQUE%'"
        }
        Db::Postgres(_) => {
            "SELECT CAST(indexname AS TEXT) AS name, indexdef AS sql
             FROM pg_indexes
             WHERE schemaname = 'public' AND indexdef NOT LIKE '%UNIQUE%'"
        }
    };
    let mut definitions = Vec::new();
    for row in db.fetch_all(list, params![]).await.unwrap() {
        definitions.push(row.get("sql").unwrap());
        db.execute(format!("DROP INDEX {}", row.get::<String>("name").unwrap()), params![]).await.unwrap();
    }
    definitions
}

fn statements(dialect: &Dialect, recordings: u64) -> Vec<String> {
    let Dialect { series, id, hash } = dialect;
    let plain = |n: &str| id("CAST(0 AS BIGINT)", n);
    let (tenants, resellers, begin) = (u64::from(TENANTS), RESELLERS, BEGINNING);
    let few = recordings / 10;
    // Which tenant and PBX: the first has many, the others share what is left, in no order.
    let tenant = format!("(CASE WHEN n % 10 < 3 THEN 0 ELSE (n * 7919) % 1000003 % {tenants} END)");
    let pbx = format!("({tenant} * 4 + n / 10 % 4)");
    let started = format!("({begin} + n * 1000)");
    let rest = "'', 'mp3', 'audio/mpeg', 32000, 8000, 1, 'wav', 0";
    vec![
        format!(
            "INSERT INTO resellers (id, code, name, created_at) SELECT {}, 'r' || n, 'R', 0 FROM {}",
            plain("n"),
            series(u64::from(resellers))
        ),
        format!(
            "INSERT INTO tenants (id, reseller_id, code, name, time_zone, tier_id, created_at)
             SELECT {}, {}, 't' || n, 'T', 'UTC', (SELECT id FROM tiers WHERE code = 'basic'), 0 FROM {}",
            plain("n"),
            plain(&format!("n % {resellers}")),
            series(tenants)
        ),
        format!(
            "INSERT INTO pbxs (id, tenant_id, code, name, created_at) SELECT {}, {}, 'p' || n, 'P', 0 FROM {}",
            plain("n"),
            plain("n / 4"),
            series(tenants * 4)
        ),
        format!(
            "INSERT INTO core_servers (id, name, spool, layout, time_zone, after, enrolled_at)
             SELECT {}, 'c' || n, '/c' || n, 'asterisk', 'UTC', '{{\"then\":\"keep\"}}', 0 FROM {}",
            plain("n"),
            series(8)
        ),
        format!(
            "INSERT INTO recordings (id, tenant_id, pbx_id, core_server_id, source_id, pbx_token, call_id, call_ref, leg,
                 direction, caller, callee, started_at, duration_ms, file_name, format, content_type, bitrate_bps,
                 sample_rate, channels, source_format, kept_original, size_bytes, source_sha256, audio_sha256, identity,
                 state, retain_from, guarded, quality, flags, peaks, archived_at, purge_after)
             SELECT {rid}, {tid}, {pid}, {cid}, {rid}, 'p', {rid}, 'call-' || n / 2, 'mixed',
                 CASE n % 3 WHEN 0 THEN 'in' WHEN 1 THEN 'out' ELSE 'internal' END,
                 CAST(100 + n / 7 % 50 AS TEXT), '+49' || (n * 104729 % 10000019), {started}, n * 104729 % 600000, {rest},
                 100000, {hash}, {hash}, {hash},
                 CASE WHEN n % 1000 = 999 THEN 'expired' WHEN n % 100000 = 5 THEN 'purging' ELSE 'archived' END,
                 {started}, 0, '{{}}', '', {rid}, {started} + 60000,
                 CASE WHEN n % 1000 = 999 OR n % 100000 = 5 THEN {started} END
             FROM {series}",
            rid = id(&started, "n"),
            tid = plain(&tenant),
            pid = plain(&pbx),
            cid = plain("n % 8"),
            hash = hash("n"),
            series = series(recordings)
        ),
        format!(
            "INSERT INTO objects (id, recording_id, store_id, key, size_bytes, sha256, encoding, state, created_at,
                 lease_until)
             SELECT {rid}, {rid}, (SELECT id FROM stores), 'k' || n, 100000, {hash}, 'identity',
                 CASE WHEN n % 10000 = 7 THEN 'writing' WHEN n % 100000 = 5 THEN 'dropping' ELSE 'live' END,
                 {started}, {started}
             FROM {series}",
            rid = id(&started, "n"),
            hash = hash("n"),
            series = series(few)
        ),
        format!(
            "INSERT INTO sources (id, core_server_id, path, size_bytes, mtime_ms, pbx_token, call_ref, leg, direction,
                 caller, callee, state, next_try_at, recording_id, outcome, discovered_at, remove_after, removed_at,
                 instance)
             SELECT {rid}, {cid}, {hash}, 1, 1, 'p', 'c', 'mixed', 'in', '', '',
                 CASE n % 100 WHEN 1 THEN 'discovered' WHEN 2 THEN 'quarantined'
                     ELSE CASE WHEN n % 1000 = 3 THEN 'spooled' ELSE 'done' END END,
                 {started}, {rid}, 'archived', {started}, {started}, CASE WHEN n % 100 < 90 THEN {started} END,
                 'gone-' || n % 7
             FROM {series}",
            rid = id(&started, "n"),
            cid = plain("n / 100 % 8"),
            hash = hash("n"),
            series = series(few)
        ),
        format!(
            "INSERT INTO outbox (id, event, tenant_id, payload, created_at, next_try_at, sent_at)
             SELECT {}, 'recording.archived', {}, '{{}}', {started}, {started}, CASE WHEN n % 5 > 0 THEN {started} END
             FROM {}",
            id(&started, "n"),
            plain(&tenant),
            series(few)
        ),
        format!(
            "INSERT INTO audit (id, at, principal, scope_kind, action, tenant_id, pbx_id, detail, seal_number, seal_hash)
             SELECT {}, {started}, 'user:x', 'tenant', 'recording.download', {}, {}, '{{}}',
                 CASE WHEN n < {few} - 100 THEN n + 1 END, CASE WHEN n < {few} - 100 THEN {} END
             FROM {}",
            id(&started, "n"),
            plain(&tenant),
            plain(&pbx),
            hash("n"),
            series(few)
        ),
        format!(
            "INSERT INTO usage (pbx_id, tier_id, store_id, class, tenant_id, recordings, audio_ms, stored_bytes)
             SELECT {}, (SELECT id FROM tiers WHERE code = 'basic'), (SELECT id FROM stores), 'live', {}, 1, 1, 1
             FROM {}",
            plain("n"),
            plain("n / 4"),
            series(tenants * 4)
        ),
        format!(
            "INSERT INTO runs (id, kind, started_at, finished_at, report)
             SELECT {}, CASE WHEN n % 1000 = 0 THEN 'rotation-refused' ELSE 'rotation' END, {started}, {started}, '{{}}'
             FROM {}",
            id(&started, "n"),
            series(few / 10)
        ),
    ]
}
