//! Backups: the whole catalogue as rows that no engine is needed for, in a store.
//!
//! A backup is `catalogue/<catalogue>/backups/<backup>/…`: parts of JSON lines, compressed, one table each, and a manifest
//! beside the directory that is put last: a backup without one never was. The rows are those of one moment (one
//! transaction that only reads), and no more than one part is in memory. A backup holds what the catalogue holds: also
//! the hashes of passwords and tokens.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::Archive;
use crate::clock::Instant;
use crate::crash::crash_point;
use crate::db::params;
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{BackupId, CatalogueId};
use crate::journal::{seal, unseal};
use crate::lease::Lease;
use crate::scope::Actor;
use crate::stores::{CATALOGUE, Store};

mod prune;
mod rows;

pub(crate) use prune::MARGIN;
pub(crate) use rows::{Kind, row_to_json, value_from_json};

/// Compressed bytes of a part, and so the most of a backup that is in memory.
const PART_BYTES: usize = if cfg!(test) { 512 } else { 8 * 1024 * 1024 };
/// How long the lease lasts unless prolonged: longer than any part takes.
const LEASE_LENGTH: Duration = Duration::from_secs(600);
/// The form of backups that this program writes.
const FORMAT: u32 = 1;

/// The tables of the organisation, each after those that it refers to.
pub(crate) const ORGANISATION: [&str; 12] = [
    "resellers",
    "tiers",
    "tenants",
    "pbxs",
    "policies",
    "limits",
    "former_terms",
    "core_servers",
    "pbx_aliases",
    "users",
    "tokens",
    "ftp_accounts",
];

/// The other tables of a backup, each after those that it refers to.
const THE_REST: [&str; 14] = [
    "stores",
    "sources",
    "calls",
    "cdrs",
    "recordings",
    "objects",
    "tombstones",
    "holds",
    "usage",
    "usage_audio",
    "audit",
    "audit_anchor",
    "outbox",
    "runs",
];

/// What no backup has: what is this catalogue's own, or true for a moment only.
#[cfg(test)]
const LEFT_OUT: [&str; 9] = [
    "_sqlx_migrations",
    "catalogue",
    "compatibility",
    "leases",
    "login_attempts",
    "orphans",
    "restores",
    "store_space",
    "upkeep",
];

/// Every table of a backup, in the order in which they are restored.
pub(crate) fn tables() -> impl Iterator<Item = &'static str> {
    ORGANISATION.into_iter().chain(THE_REST)
}

/// A part of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
}

/// What a backup is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    pub(crate) backup: String,
    pub(crate) catalogue: String,
    /// The newest migration of the catalogue.
    pub(crate) schema: i64,
    /// Milliseconds UTC: everything committed before is in it.
    pub(crate) snapshot_at: i64,
    pub(crate) rows: u64,
    pub(crate) parts: Vec<Part>,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// The store that it lies in.
    pub store: String,
    /// Everything committed before is in it.
    pub snapshot_at: Instant,
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes in the store.
    pub size_bytes: u64,
}

impl Archive {
    /// Backs the catalogue up into the named store (the first one, where none is named), then removes all but the newest
    /// `keep` backups, and of the journal what only those needed. `None`: another instance is at it.
    ///
    /// # Errors
    /// When the store or the catalogue fails; then there is no backup, and nothing was removed.
    pub async fn back_up(&self, actor: &Actor, store: Option<&str>, keep: u32) -> Result<Option<Backup>> {
        let store = match store {
            Some(name) => self.store_named(name)?.clone(),
            None => self.stores()[0].clone(),
        };
        let Some(lease) = self.acquire_lease("backup", LEASE_LENGTH).await? else { return Ok(None) };
        let made = self.back_up_leased(actor, &store, keep, &lease).await;
        self.release_lease(&lease).await?;
        made.map(Some)
    }

    async fn back_up_leased(&self, actor: &Actor, store: &Store, keep: u32, lease: &Lease) -> Result<Backup> {
        self.check_store(store).await?;
        let run = self.start_run("backup").await?;
        let id = BackupId::new(self.clock.now());
        let manifest = self.write_backup(store, id, lease).await?;
        crash_point("backup parts put");
        let text = serde_json::to_string(&manifest).expect("a manifest has nothing that JSON cannot say");
        store.put_bytes(&manifest_key(self.catalogue, id), seal(text + "\n")).await?;
        crash_point("backup put");
        let backup = Backup {
            id,
            store: store.name().to_owned(),
            snapshot_at: Instant::from_millis(manifest.snapshot_at),
            rows: manifest.rows,
            size_bytes: manifest.parts.iter().map(|part| part.size_bytes).sum(),
        };
        let report = serde_json::json!({
            "backup": id.to_string(),
            "store": backup.store,
            "rows": backup.rows,
            "size_bytes": backup.size_bytes,
        });
        self.finish_run(actor, run, "backup", &report.to_string(), &[]).await?;
        self.prune_backups(keep).await?;
        Ok(backup)
    }

    async fn write_backup(&self, store: &Store, id: BackupId, lease: &Lease) -> Result<Manifest> {
        let mut manifest = Manifest {
            format: FORMAT,
            backup: id.to_string(),
            catalogue: self.catalogue.to_string(),
            schema: self.schema_version().await?,
            snapshot_at: self.clock.now().millis(),
            rows: 0,
            parts: Vec::new(),
        };
        let directory = directory(self.catalogue, id);
        let mut snapshot = self.db.begin_snapshot().await?;
        for table in tables() {
            let mut rows = snapshot.stream(format!("SELECT * FROM {table}"));
            let mut part: Option<PartWriter> = None;
            loop {
                let row = rows.next().await.transpose()?;
                if let Some(row) = &row {
                    let part = match &mut part {
                        Some(part) => part,
                        None => part.insert(PartWriter::begin(table, &row.columns())?),
                    };
                    part.add(&row_to_json(row)?)?;
                }
                if row.is_none() || part.as_ref().is_some_and(PartWriter::is_full) {
                    if let Some(part) = part.take() {
                        let (part, bytes) = part.finish(manifest.parts.len())?;
                        store.put_bytes(&format!("{directory}{}", part.name), bytes).await?;
                        manifest.rows += part.rows;
                        manifest.parts.push(part);
                        self.prolong_backup(lease).await?;
                    }
                    if row.is_none() {
                        break;
                    }
                }
            }
        }
        Ok(manifest)
    }

    async fn prolong_backup(&self, lease: &Lease) -> Result<()> {
        match self.acquire_lease(&lease.name, LEASE_LENGTH).await? {
            Some(now) if now.fence == lease.fence => Ok(()),
            _ => Err(Error::Conflict("lease of the backup")),
        }
    }

    /// The newest migration that the catalogue has.
    pub(crate) async fn schema_version(&self) -> Result<i64> {
        self.db.fetch_one("SELECT MAX(version) AS version FROM _sqlx_migrations", params![]).await?.get("version")
    }

    /// Every whole backup of this catalogue in any of the stores, newest first.
    pub async fn list_backups(&self) -> Result<Vec<Backup>> {
        let mut backups = Vec::new();
        for store in self.stores() {
            for (id, manifest) in list_manifests(store, self.catalogue).await? {
                let Some(manifest) = manifest else { continue };
                backups.push(Backup {
                    id,
                    store: store.name().to_owned(),
                    snapshot_at: Instant::from_millis(manifest.snapshot_at),
                    rows: manifest.rows,
                    size_bytes: manifest.parts.iter().map(|part| part.size_bytes).sum(),
                });
            }
        }
        backups.sort_by_key(|backup| std::cmp::Reverse(backup.id));
        Ok(backups)
    }
}

/// Where the backups of a catalogue lie.
pub(crate) fn prefix(catalogue: CatalogueId) -> String {
    format!("{CATALOGUE}/{catalogue}/backups/")
}

/// Where the parts of a backup lie.
pub(crate) fn directory(catalogue: CatalogueId, backup: BackupId) -> String {
    format!("{}{backup}/", prefix(catalogue))
}

pub(crate) fn manifest_key(catalogue: CatalogueId, backup: BackupId) -> String {
    format!("{}{backup}.json", prefix(catalogue))
}

/// Every backup of a catalogue in the store, newest first; `None`: its manifest is damaged.
pub(crate) async fn list_manifests(store: &Store, catalogue: CatalogueId) -> Result<Vec<(BackupId, Option<Manifest>)>> {
    let keys = store.list_keys(&prefix(catalogue)).await?;
    let mut ids: Vec<BackupId> = keys
        .iter()
        .filter_map(|key| key.strip_prefix(&prefix(catalogue))?.strip_suffix(".json")?.parse().ok())
        .collect();
    ids.sort_by_key(|id| std::cmp::Reverse(*id));
    let mut manifests = Vec::new();
    for id in ids {
        let bytes = store.read_bytes(&manifest_key(catalogue, id)).await?;
        let manifest = bytes.as_deref().and_then(unseal).and_then(|text| serde_json::from_str(text).ok());
        manifests.push((id, manifest));
    }
    Ok(manifests)
}

/// A part in the making.
struct PartWriter {
    table: &'static str,
    rows: u64,
    gz: GzEncoder<Vec<u8>>,
}

impl PartWriter {
    fn begin(table: &'static str, columns: &[String]) -> Result<Self> {
        let mut part = Self { table, rows: 0, gz: GzEncoder::new(Vec::new(), Compression::fast()) };
        part.write(&serde_json::json!({ "table": table, "columns": columns }))?;
        Ok(part)
    }

    fn add(&mut self, row: &serde_json::Value) -> Result<()> {
        self.rows += 1;
        self.write(row)
    }

    fn write(&mut self, line: &serde_json::Value) -> Result<()> {
        writeln!(self.gz, "{line}").map_err(Error::io("compress a backup"))
    }

    fn is_full(&self) -> bool {
        self.gz.get_ref().len() >= PART_BYTES
    }

    fn finish(self, number: usize) -> Result<(Part, Vec<u8>)> {
        let bytes = self.gz.finish().map_err(Error::io("compress a backup"))?;
        let part = Part {
            name: format!("{number:06}-{}.jsonl.gz", self.table),
            table: self.table.to_owned(),
            rows: self.rows,
            size_bytes: bytes.len() as u64,
            sha256: Sha256::of(&bytes).to_string(),
        };
        Ok((part, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestArchive;

    #[tokio::test]
    async fn every_table_is_backed_up_or_left_out_on_purpose() {
        let t = TestArchive::start().await;
        let rows =
            t.archive.db.fetch_all("SELECT name FROM sqlite_master WHERE type = 'table'", params![]).await.unwrap();
        let mut found: Vec<String> = rows.iter().map(|row| row.get("name").unwrap()).collect();
        let mut known: Vec<&str> = tables().chain(LEFT_OUT).collect();
        found.sort();
        known.sort_unstable();
        assert_eq!(found, known);
        t.finish().await;
    }
}
