//! Verifying: does the catalogue agree with the stores, and with itself? Operators run it, and every test of the product
//! ends with it.

use futures_util::StreamExt;

use crate::Archive;
use crate::clock::Instant;
use crate::db::params;
use crate::error::{Error, Result};
use crate::id::{ObjectId, RecordingId, SourceId};
use crate::scope::Actor;
use crate::scrub::Condition;
use crate::stores::Store;
use crate::usage::AUDIO_THAT_DIFFERS;

/// Rows looked at in one statement.
const BATCH: u32 = 500;
/// Objects asked for at the same time, where only their size is.
const ASKED_AT_ONCE: usize = 16;
/// Objects read at the same time.
const READ_AT_ONCE: usize = 4;
/// Runs in the catalogue.
const DEEP_RUN: &str = "verify-deep";

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
    /// A store, or the rest of one, could not be looked at.
    NotLookedAt {
        /// The store's name.
        store: String,
        /// Why.
        why: String,
    },
}

/// What verifying found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Live objects looked at.
    pub objects: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// What does not agree, up to [`Report::MOST_FINDINGS`].
    pub findings: Vec<Finding>,
    /// What does not agree beyond those.
    pub more_findings: u64,
}

impl Report {
    /// So many findings are listed; a store that lost everything must not fill the memory.
    pub const MOST_FINDINGS: usize = 10_000;

    /// Does everything agree?
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    fn add(&mut self, finding: Finding) {
        if self.findings.len() < Self::MOST_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more_findings += 1;
        }
    }
}

/// How far verifying has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Objects looked at, or looked at before it was cut off.
    pub objects: u64,
    /// Bytes of them.
    pub stored_bytes: u64,
    /// All live objects.
    pub all_objects: u64,
    /// Their bytes.
    pub all_bytes: u64,
}

/// What verifying does besides looking.
struct Looking<'a> {
    depth: Depth,
    /// Flags what is damaged, and notes what is sound as read.
    marks: bool,
    /// Objects read since then were looked at before.
    done_since: Option<Instant>,
    progress: Progress,
    tell: &'a mut (dyn FnMut(Progress) + Send),
}

impl Archive {
    /// Compares the catalogue with every store, and with itself. It changes nothing.
    ///
    /// # Errors
    /// Only when the catalogue fails. What it finds is in the report, a store that cannot be looked at among it.
    pub async fn verify(&self, depth: Depth) -> Result<Report> {
        self.verify_telling(depth, &mut |_| ()).await
    }

    /// As [`Archive::verify`], telling how far it has come.
    ///
    /// # Errors
    /// As [`Archive::verify`].
    pub async fn verify_telling(&self, depth: Depth, tell: &mut (dyn FnMut(Progress) + Send)) -> Result<Report> {
        let mut looking = Looking { depth, marks: false, done_since: None, progress: Progress::default(), tell };
        self.verify_looking(&mut looking).await
    }

    /// Reads every byte, flags what is damaged as scrubbing does, and can go on where an earlier call was cut off: with
    /// `resume`, what that one has read is not read again.
    ///
    /// # Errors
    /// As [`Archive::verify`].
    pub async fn verify_deep(
        &self,
        actor: &Actor,
        resume: bool,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Report> {
        let sql = "SELECT id, started_at FROM runs WHERE kind = $1 AND finished_at IS NULL ORDER BY id DESC LIMIT 1";
        let cut_off = match resume {
            true => self.db.fetch_optional(sql, params![DEEP_RUN]).await?,
            false => None,
        };
        let (run, done_since) = match cut_off {
            Some(row) => (row.get("id")?, Some(row.get("started_at")?)),
            None => (self.start_run(DEEP_RUN).await?, None),
        };
        let mut looking = Looking { depth: Depth::Deep, marks: true, done_since, progress: Progress::default(), tell };
        let report = self.verify_looking(&mut looking).await?;
        let text = serde_json::json!({
            "objects": report.objects,
            "stored_bytes": report.stored_bytes,
            "findings": report.findings.len() as u64 + report.more_findings,
        });
        self.finish_run(actor, run, DEEP_RUN, &text.to_string(), &[]).await?;
        Ok(report)
    }

    async fn verify_looking(&self, looking: &mut Looking<'_>) -> Result<Report> {
        let mut report = Report::default();
        let row = self
            .db
            .fetch_one(
                "SELECT CAST(COALESCE(SUM(recordings), 0) AS BIGINT) AS objects,
                     CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) AS stored_bytes
                 FROM usage",
                params![],
            )
            .await?;
        looking.progress.all_objects = row.get("objects")?;
        looking.progress.all_bytes = row.get("stored_bytes")?;
        for store in self.stores() {
            match self.verify_store(store, looking, &mut report).await {
                Err(error) if error.is_of_store() => {
                    report.add(Finding::NotLookedAt { store: store.name().to_owned(), why: error.to_string() });
                }
                done => done?,
            }
        }
        self.verify_rows(&mut report).await?;
        match self.verify_audit().await {
            Ok(_) => {}
            Err(error @ Error::Integrity { .. }) => report.add(Finding::Audit(error.to_string())),
            Err(error) => return Err(error),
        }
        Ok(report)
    }

    async fn verify_store(&self, store: &Store, looking: &mut Looking<'_>, report: &mut Report) -> Result<()> {
        self.check_store(store).await?;
        self.verify_objects(store, looking, report).await?;
        let mut listed = std::pin::pin!(store.list().chunks(BATCH as usize));
        while let Some(chunk) = listed.next().await {
            for (key, _) in self.orphans_among(store, chunk).await? {
                report.add(Finding::Orphan { store: store.name().to_owned(), key });
            }
        }
        Ok(())
    }

    async fn verify_objects(&self, store: &Store, looking: &mut Looking<'_>, report: &mut Report) -> Result<()> {
        let at_once = if looking.depth == Depth::Deep { READ_AT_ONCE } else { ASKED_AT_ONCE };
        let mut after = vec![0; 16];
        loop {
            let rows = self
                .db
                .fetch_all(
                    "SELECT id, recording_id, key, size_bytes, sha256, verified_at, damaged_at
                     FROM objects
                     WHERE store_id = $1 AND id > $2 AND state = 'live'
                     ORDER BY id
                     LIMIT $3",
                    params![store.id(), after, BATCH],
                )
                .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get("id")?;
            let (mut looks, mut sound) = (Vec::new(), Vec::new());
            for row in rows {
                looking.progress.objects += 1;
                looking.progress.stored_bytes += row.get::<u64>("size_bytes")?;
                let (read_at, damaged_at): (Option<Instant>, Option<Instant>) =
                    (row.get("verified_at")?, row.get("damaged_at")?);
                // What was found damaged before is found again, and told again.
                let was_sound =
                    damaged_at.is_none() && read_at.zip(looking.done_since).is_some_and(|(at, since)| at >= since);
                if !was_sound {
                    looks.push(self.look_with(store, row, looking.depth));
                }
            }
            let mut looks = std::pin::pin!(futures_util::stream::iter(looks).buffer_unordered(at_once));
            while let Some((row, condition)) = looks.next().await {
                report.objects += 1;
                report.stored_bytes += row.get::<u64>("size_bytes")?;
                let (object, recording): (ObjectId, RecordingId) = (row.get("id")?, row.get("recording_id")?);
                let condition = condition?;
                // It may have been moved or purged while we looked.
                if condition == Condition::Sound || !self.is_live(object).await? {
                    sound.push((object, row.get("damaged_at")?));
                    continue;
                }
                if looking.marks {
                    self.flag_damaged(store, &row, condition).await?;
                }
                report.add(match condition {
                    Condition::Missing => Finding::Missing(recording),
                    _ => Finding::Damaged(recording),
                });
            }
            if looking.marks {
                self.mark_sound(&sound).await?;
            }
            (looking.tell)(looking.progress);
        }
    }

    async fn is_live(&self, object: ObjectId) -> Result<bool> {
        let row = self
            .db
            .fetch_optional("SELECT 1 AS one FROM objects WHERE id = $1 AND state = 'live'", params![object])
            .await?;
        Ok(row.is_some())
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
            report.add(Finding::WithoutObject(row.get("id")?));
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
            report.add(Finding::WithoutRecording(row.get("id")?));
        }
        let in_stores: u64 =
            self.db.fetch_one(USAGE_THAT_DIFFERS, params![crate::PbxId::UNASSIGNED]).await?.get("n")?;
        let sql = format!("SELECT count(*) AS n FROM ({AUDIO_THAT_DIFFERS}) differing");
        let differing = in_stores + self.db.fetch_one(sql, params![]).await?.get::<u64>("n")?;
        if differing > 0 {
            report.add(Finding::Usage(differing));
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
