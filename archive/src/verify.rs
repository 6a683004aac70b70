//! Verifying: does the catalogue agree with the stores, and with itself? Operators run it, and every test of the product
//! ends with it.

use futures_util::StreamExt;

use crate::Archive;
use crate::db::params;
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{ObjectId, RecordingId, SourceId};
use crate::stores::Store;

/// Rows looked at in one statement.
const BATCH: u32 = 500;

/// How closely to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Existence and size.
    Fast,
    /// Every byte, against its hash.
    Deep,
}

/// Something that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The catalogue has it, the store does not.
    Missing(RecordingId),
    /// The store has it in another size, or with other bytes.
    Damaged(RecordingId),
    /// The store has it, the catalogue does not.
    Orphan {
        /// The store's name.
        store: String,
        /// The object's key.
        key: String,
    },
    /// A visible or expired recording without a live object.
    WithoutObject(RecordingId),
    /// A done source whose recording is neither there nor purged.
    WithoutRecording(SourceId),
    /// Usage is not the sum of what it counts: how many (PBX, tier, store, class) differ.
    Usage(u64),
    /// The audit's chain is broken.
    Audit(String),
}

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Live objects looked at.
    pub objects: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Everything that does not agree.
    pub findings: Vec<Finding>,
}

impl Archive {
    /// Compares the catalogue with every store, and with itself.
    ///
    /// # Errors
    /// Only when it cannot look: a store or the catalogue fails. What it finds is in the report.
    pub async fn verify(&self, depth: Depth) -> Result<Report> {
        let mut report = Report::default();
        for store in self.stores() {
            self.check_store(store).await?;
            self.verify_objects(store, depth, &mut report).await?;
            self.find_orphans(store, &mut report).await?;
        }
        self.verify_rows(&mut report).await?;
        match self.verify_audit().await {
            Ok(_) => {}
            Err(error @ Error::Integrity { .. }) => report.findings.push(Finding::Audit(error.to_string())),
            Err(error) => return Err(error),
        }
        Ok(report)
    }

    async fn verify_objects(&self, store: &Store, depth: Depth, report: &mut Report) -> Result<()> {
        let mut after = vec![0; 16];
        loop {
            let rows = self
                .db
                .fetch_all(
                    "SELECT id, recording_id, key, size_bytes, sha256
                     FROM objects
                     WHERE store_id = $1 AND id > $2 AND state = 'live'
                     ORDER BY id
                     LIMIT $3",
                    params![store.id(), after, BATCH],
                )
                .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get("id")?;
            for row in &rows {
                let (recording, key): (RecordingId, String) = (row.get("recording_id")?, row.get("key")?);
                let (size, hash): (u64, Sha256) = (row.get("size_bytes")?, row.get("sha256")?);
                report.objects += 1;
                report.stored_bytes += size;
                let finding = match store.size_of(&key).await? {
                    None => Some(Finding::Missing(recording)),
                    Some(found) if found != size => Some(Finding::Damaged(recording)),
                    Some(_) if depth == Depth::Deep && store.hash_of(&key).await?.0 != hash => {
                        Some(Finding::Damaged(recording))
                    }
                    Some(_) => None,
                };
                // It may have been moved or purged while we looked.
                if let Some(finding) = finding
                    && self.is_live(row.get("id")?).await?
                {
                    report.findings.push(finding);
                }
            }
        }
    }

    async fn is_live(&self, object: ObjectId) -> Result<bool> {
        let row = self
            .db
            .fetch_optional("SELECT 1 AS one FROM objects WHERE id = $1 AND state = 'live'", params![object])
            .await?;
        Ok(row.is_some())
    }

    async fn find_orphans(&self, store: &Store, report: &mut Report) -> Result<()> {
        let mut keys = std::pin::pin!(store.list());
        while let Some(listed) = keys.next().await {
            let (key, _) = listed?;
            let known = self
                .db
                .fetch_optional(
                    "SELECT 1 AS one FROM objects WHERE key = $1 AND store_id = $2",
                    params![&key, store.id()],
                )
                .await?
                .is_some();
            // It may have been purged since it was listed.
            if !known && store.size_of(&key).await?.is_some() {
                report.findings.push(Finding::Orphan { store: store.name().to_owned(), key });
            }
        }
        Ok(())
    }

    /// What the catalogue can be asked about itself, each in one statement and so in one snapshot.
    async fn verify_rows(&self, report: &mut Report) -> Result<()> {
        let rows = self
            .db
            .fetch_all(
                "SELECT id
                 FROM recordings
                 WHERE state IN ('archived', 'expired')
                     AND NOT EXISTS (SELECT 1
                                     FROM objects o
                                     JOIN stores s ON s.id = o.store_id
                                     WHERE o.recording_id = recordings.id AND o.state = 'live' AND o.lost_at IS NULL
                                         AND s.lost_at IS NULL)",
                params![],
            )
            .await?;
        for row in &rows {
            report.findings.push(Finding::WithoutObject(row.get("id")?));
        }
        let rows = self
            .db
            .fetch_all(
                "SELECT id
                 FROM sources
                 WHERE state = 'done'
                     AND NOT EXISTS (SELECT 1 FROM recordings r WHERE r.id = sources.recording_id)
                     AND NOT EXISTS (SELECT 1 FROM tombstones t WHERE t.id = sources.recording_id)",
                params![],
            )
            .await?;
        for row in &rows {
            report.findings.push(Finding::WithoutRecording(row.get("id")?));
        }
        let differing: u64 =
            self.db.fetch_one(USAGE_THAT_DIFFERS, params![crate::PbxId::UNASSIGNED]).await?.get("n")?;
        if differing > 0 {
            report.findings.push(Finding::Usage(differing));
        }
        Ok(())
    }
}

/// Every recording adds to its key, every usage row takes off; what is left differs.
const USAGE_THAT_DIFFERS: &str = "
    SELECT count(*) AS n
    FROM (
        SELECT pbx_id, tier_id, store_id, class
        FROM (
            SELECT COALESCE(r.pbx_id, $1) AS pbx_id, COALESCE(r.tier_id, $1) AS tier_id,
                   o.store_id AS store_id,
                   CASE WHEN r.state = 'expired' THEN 'grace' WHEN r.guarded = 1 THEN 'guarded' ELSE 'live' END AS class,
                   1 AS n, r.duration_ms AS audio_ms, o.size_bytes AS stored_bytes
            FROM recordings r
            JOIN objects o ON o.recording_id = r.id AND o.state = 'live'
            WHERE r.state IN ('archived', 'expired')
            UNION ALL
            SELECT pbx_id, tier_id, store_id, class, -recordings, -audio_ms, -stored_bytes
            FROM usage
        ) parts
        GROUP BY pbx_id, tier_id, store_id, class
        HAVING SUM(n) <> 0 OR SUM(audio_ms) <> 0 OR SUM(stored_bytes) <> 0
    ) differing";
