//! Runs: what rotation did and when, each with its report, the report's hash, and one row of the audit.
//!
//! The newest finished run is also what rotation holds its clock against, so a run that did not trust the clock ends
//! under a kind of its own and never becomes such evidence.

use serde_json::{Value as Json, json};

use crate::Archive;
use crate::clock::Instant;
use crate::db::{Row, params};
use crate::error::{Error, Result};
use crate::hash::Sha256;
use crate::id::{RunId, TenantId};
use crate::scope::{Actor, Scope};

/// A run in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id; its time is when it started.
    pub id: RunId,
    /// What kind of work it was: `rotation`, `rotation-refused` …
    pub kind: String,
    /// When it started.
    pub started_at: Instant,
    /// When it finished; `None`: it still runs, or was interrupted.
    pub finished_at: Option<Instant>,
    /// What it did, as JSON: ids and figures, no numbers of callers. Empty until it finished.
    pub report: String,
    /// SHA-256 of the report; the audit's row of the run has the same.
    pub report_sha256: Option<Sha256>,
}

/// An event that a run tells of when it finishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEvent {
    /// Its name: `pbx.over-quota` …
    pub event: &'static str,
    /// The tenant it concerns.
    pub tenant: Option<TenantId>,
    /// Ids and figures, no numbers of callers.
    pub payload: Json,
}

const COLUMNS: &str = "id, kind, started_at, finished_at, report, report_sha256";

impl Archive {
    /// Notes that a run of that kind started.
    pub async fn start_run(&self, kind: &str) -> Result<RunId> {
        let now = self.clock.now();
        let id = RunId::new(now);
        self.db
            .execute("INSERT INTO runs (id, kind, started_at, report) VALUES ($1, $2, $3, '')", params![id, kind, now])
            .await?;
        Ok(id)
    }

    /// Ends a run, as a run of `kind`: keeps its report and the report's hash, writes the audit's row of it and its
    /// events, all in one transaction. Gives back the hash.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was finished before.
    pub async fn finish_run(
        &self,
        actor: &Actor,
        run: RunId,
        kind: &str,
        report: &str,
        events: &[RunEvent],
    ) -> Result<Sha256> {
        let hash = Sha256::of(report.as_bytes());
        let mut tx = self.db.begin().await?;
        tx.change_one(
            "run",
            "UPDATE runs
             SET kind = $1, finished_at = $2, report = $3, report_sha256 = $4
             WHERE id = $5 AND finished_at IS NULL",
            params![kind, self.clock.now(), report, hash, run],
        )
        .await?;
        let detail = json!({ "kind": kind, "report_sha256": hash.to_string() });
        self.audit(&mut tx, actor, "run.finish", None, Some(run.to_string()), &detail).await?;
        for event in events {
            self.emit(&mut tx, event.event, event.tenant, &event.payload).await?;
        }
        tx.commit().await?;
        Ok(hash)
    }

    /// The finished run of that kind that started last.
    pub async fn find_last_run(&self, kind: &str) -> Result<Option<Run>> {
        let sql = format!(
            "SELECT {COLUMNS}
             FROM runs
             WHERE kind = $1 AND finished_at IS NOT NULL
             ORDER BY id DESC
             LIMIT 1"
        );
        self.db.fetch_optional(sql, params![kind]).await?.as_ref().map(run_from_row).transpose()
    }

    /// Runs of that kind, newest first, from before `before` where it is given. Their reports concern every tenant, so
    /// only an operator's scope reaches them.
    pub async fn list_runs(&self, scope: Scope, kind: &str, before: Option<RunId>, limit: u32) -> Result<Vec<Run>> {
        if scope != Scope::Platform {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {COLUMNS}
             FROM runs
             WHERE kind = $1 AND id < $2
             ORDER BY id DESC
             LIMIT $3"
        );
        let before = before.unwrap_or_else(|| RunId::new(Instant::from_millis(LAST_ULID_MILLIS)));
        self.db.fetch_all(sql, params![kind, before, limit]).await?.iter().map(run_from_row).collect()
    }

    /// An operator says that the present time is right: a finished run of `kind` is noted now, and those that
    /// finished later than now no longer count. Says how many those were.
    ///
    /// # Errors
    /// [`Error::Forbidden`] unless the actor is an operator.
    pub async fn accept_clock(&self, actor: &Actor, kind: &str) -> Result<u64> {
        if actor.scope != Scope::Platform {
            return Err(Error::Forbidden("only an operator accepts the clock"));
        }
        let now = self.clock.now();
        let (id, report) = (RunId::new(now), json!({ "clock_accepted": true }).to_string());
        let mut tx = self.db.begin().await?;
        let disowned = tx
            .execute(
                "UPDATE runs SET kind = kind || '-disowned' WHERE kind = $1 AND (started_at > $2 OR finished_at > $2)",
                params![kind, now],
            )
            .await?;
        tx.execute(
            "INSERT INTO runs (id, kind, started_at, finished_at, report, report_sha256)
             VALUES ($1, $2, $3, $3, $4, $5)",
            params![id, kind, now, &report, Sha256::of(report.as_bytes())],
        )
        .await?;
        let detail = json!({ "kind": kind, "disowned": disowned });
        self.audit(&mut tx, actor, "clock.accept", None, Some(id.to_string()), &detail).await?;
        tx.commit().await?;
        Ok(disowned)
    }
}

/// The last millisecond that a ULID can name: its time part is 48 bits wide.
const LAST_ULID_MILLIS: i64 = (1 << 48) - 1;

fn run_from_row(row: &Row) -> Result<Run> {
    Ok(Run {
        id: row.get("id")?,
        kind: row.get("kind")?,
        started_at: row.get("started_at")?,
        finished_at: row.get("finished_at")?,
        report: row.get("report")?,
        report_sha256: row.get("report_sha256")?,
    })
}
