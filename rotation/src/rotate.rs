//! A run: every PBX by its rules, then the purge of what expired long enough ago, then what else piles up.
//!
//! One run at a time works on a catalogue, by a lease. A PBX that fails, or an object whose store does, is in the
//! report and stops nothing else.

use std::sync::Arc;
use std::time::Duration;

use archive::{Actor, Archive, Instant, PurgeRound, Rules, RunEvent, RunId, Scope, SweepRound};
use serde_json::json;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::alarms;
use crate::clock_guard::ClockGuard;
use crate::config::{Config, SHORTEST_GRACE};
use crate::decide::{Act, Decider, Visit, step};
use crate::error::Error;
use crate::figures::{Figures, PbxFigures};
use crate::plan::{PlanSummary, PlannedExpiry};
use crate::pulse::{Halt, Pulse, RunLease};
use crate::report::{Outcome, Report};

/// Runs in the catalogue; the last finished one is what the clock is held against.
const KIND: &str = "rotation";
/// Runs that did not believe the clock.
const KIND_REFUSED: &str = "rotation-refused";
/// Recordings purged between two pulses: each may cost a store a few calls. Tests meet its borders with a few recordings.
const PURGE_BATCH: u32 = if cfg!(test) { 3 } else { 50 };
/// Recordings of each tier and move that begin to move in one transaction. Tests meet its borders with a few recordings.
const MOVE_BATCH: u32 = if cfg!(test) { 3 } else { 500 };
/// Objects swept between two pulses.
const SWEEP_BATCH: u32 = 50;
/// How long events are kept, sent or not.
const KEEP_EVENTS: Duration = Duration::from_secs(30 * 86_400);
/// How often it is told again that the clock is not believed.
const REMIND_AFTER: Duration = Duration::from_secs(86_400);

/// Takes out what is due.
#[derive(Debug)]
pub struct Rotation {
    pub(crate) archive: Arc<Archive>,
    pub(crate) config: Config,
    running: Mutex<()>,
}

impl Rotation {
    /// Rotation of that archive. `config` must be [valid](Config::validate).
    pub fn new(archive: Arc<Archive>, config: Config) -> Self {
        Self { archive, config, running: Mutex::new(()) }
    }

    /// Shows each recording that a run would let expire now, in the order in which it would, and changes nothing.
    ///
    /// # Errors
    /// When the catalogue cannot be asked. What fails of one PBX is in the summary.
    pub async fn plan(&self, visit: &mut (dyn FnMut(&PlannedExpiry) + Send)) -> Result<PlanSummary, Error> {
        self.plan_by(self.archive.list_rules().await?, visit).await
    }

    /// As [`Rotation::plan`], as if those rules held: what a change of them would do.
    ///
    /// # Errors
    /// As [`Rotation::plan`].
    pub async fn plan_by(
        &self,
        rules: Rules,
        visit: &mut (dyn FnMut(&PlannedExpiry) + Send),
    ) -> Result<PlanSummary, Error> {
        let never = CancellationToken::new();
        let mut pulse = Pulse { archive: &self.archive, stop: &never, clock: self.clock_guard().await?, lease: None };
        let mut summary = PlanSummary {
            at: self.archive.clock().now(),
            clock_refused: None,
            pbxs: Vec::new(),
            levels: Vec::new(),
            expiring: Figures::default(),
            purging: Figures::default(),
            moving: 0,
        };
        let mut decider = Decider::new(&self.archive, rules, Act::Show, self.config.min_age);
        let decided = decider.run(&mut pulse, visit).await;
        (summary.pbxs, summary.levels) = decider.finish();
        match decided {
            Ok(()) => {}
            Err(Halt::Run(outcome)) => summary.clock_refused = Some(outcome.to_string()),
            Err(Halt::Catalogue(error) | Halt::Step(error)) => return Err(error.into()),
        }
        if summary.clock_refused.is_none() {
            let purging = self.archive.count_purgeable().await?;
            summary.purging = Figures { recordings: purging.recordings, stored_bytes: purging.stored_bytes };
            summary.moving = self.archive.count_due_moves().await?;
        }
        summary.expiring = total(&summary.pbxs);
        Ok(summary)
    }

    /// Can the clock be believed? What is decided by it for good asks before.
    ///
    /// # Errors
    /// [`archive::Error::Forbidden`] when it cannot, and why is logged; or when the catalogue cannot be asked.
    pub async fn check_clock(&self) -> Result<(), Error> {
        let mut clock = self.clock_guard().await?;
        clock.check(self.archive.clock().now()).map_err(|why| {
            tracing::error!("{why}");
            Error::from(archive::Error::Forbidden("the clock cannot be believed: nothing is decided by it"))
        })
    }

    /// One run, now. While another one is at it, of this instance or of another, nothing is done and the report says so.
    ///
    /// # Errors
    /// When the catalogue cannot be asked; then the run is not recorded as finished. The next one goes on where this
    /// one ended.
    pub async fn rotate_once(&self) -> Result<Report, Error> {
        self.rotate(&CancellationToken::new(), &mut |_| ()).await
    }

    /// An operator says that the clock is right, though the guard does not believe it: the next run goes by it.
    ///
    /// # Errors
    /// [`archive::Error::Forbidden`] unless the actor is an operator.
    pub async fn accept_clock(&self, actor: &Actor) -> Result<(), Error> {
        let disowned = self.archive.accept_clock(actor, KIND).await?;
        tracing::warn!("the clock was accepted, against {disowned} runs of a later time");
        Ok(())
    }

    /// As [`Rotation::rotate_once`], ending between two batches when asked to stop, and showing what goes.
    pub(crate) async fn rotate(&self, stop: &CancellationToken, visit: Visit<'_>) -> Result<Report, Error> {
        let mut report = Report::new(self.archive.clock().now());
        let Ok(_running) = self.running.try_lock() else {
            report.outcome = Outcome::Busy;
            return Ok(report);
        };
        match self.archive.check_restore_confirmed().await {
            Err(archive::Error::Forbidden(_)) => {
                report.outcome = Outcome::RestoreUnconfirmed;
                return Ok(report);
            }
            checked => checked?,
        }
        let Some(mut lease) = RunLease::take(&self.archive).await? else {
            report.outcome = Outcome::Busy;
            return Ok(report);
        };
        let result = self.rotate_leased(&mut lease, stop, &mut report, visit).await;
        lease.release(&self.archive).await;
        result.map(|()| report)
    }

    async fn rotate_leased(
        &self,
        lease: &mut RunLease,
        stop: &CancellationToken,
        report: &mut Report,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        let clock = self.clock_guard().await?;
        let mut pulse = Pulse { archive: &self.archive, stop, clock, lease: Some(lease) };
        let run = self.archive.start_run(KIND).await?;
        report.run = Some(run);
        let worked = match pulse.check_clock() {
            Ok(()) => self.work(&mut pulse, report, visit).await,
            refused => refused,
        };
        // Looked at once more: a clock that went wrong at the very end must not become evidence.
        report.outcome = match worked.and_then(|()| pulse.check_clock()) {
            Ok(()) => Outcome::Done,
            Err(Halt::Run(outcome)) => outcome,
            Err(Halt::Catalogue(error) | Halt::Step(error)) => return Err(error.into()),
        };
        report.expired = total(&report.pbxs);
        report.finished_at = self.archive.clock().now();
        self.finish(run, report).await
    }

    async fn work(&self, pulse: &mut Pulse<'_>, report: &mut Report, visit: Visit<'_>) -> Result<(), Halt> {
        // The grace period is what makes every mistake before it good: no configuration takes it away.
        let act = Act::Expire { grace: self.config.grace.max(SHORTEST_GRACE) };
        // Before anything goes by them.
        self.archive.settle_audio_counts().await.map_err(Halt::Catalogue)?;
        let rules = self.archive.list_rules().await.map_err(Halt::Catalogue)?;
        let mut decider = Decider::new(&self.archive, rules, act, self.config.min_age);
        let decided = decider.run(pulse, visit).await;
        // Also where the run ends here: what went so far is told.
        (report.pbxs, report.levels) = decider.finish();
        decided?;
        if let Err(error) = step(self.purge(pulse, report).await)? {
            report.failures.push(format!("purge: {error}"));
        }
        if let Err(error) = step(self.sweep(pulse, report).await)? {
            report.failures.push(format!("sweep: {error}"));
        }
        if let Err(error) = step(self.begin_moves(pulse, report).await)? {
            report.failures.push(format!("begin moves: {error}"));
        }
        match self.archive.forget_events(KEEP_EVENTS).await {
            Ok(forgotten) => report.forgotten_events = forgotten,
            Err(error) => report.failures.push(format!("forget events: {error}")),
        }
        if let Err(error) = self.archive.forget_failed_logins().await {
            report.failures.push(format!("forget failed logins: {error}"));
        }
        Ok(())
    }

    async fn purge(&self, pulse: &mut Pulse<'_>, report: &mut Report) -> Result<(), Halt> {
        let mut round = PurgeRound::default();
        while !round.is_over() {
            pulse.beat().await?;
            let purged = self.archive.purge_batch(&mut round, PURGE_BATCH).await?;
            report.purged.add(Figures { recordings: purged.recordings, stored_bytes: purged.stored_bytes });
            report.purge_failures += purged.failed;
        }
        Ok(())
    }

    /// Has the copier move what is old enough, and look after what was damaged or lost with a store.
    async fn begin_moves(&self, pulse: &mut Pulse<'_>, report: &mut Report) -> Result<(), Halt> {
        loop {
            pulse.beat().await?;
            match self.archive.mark_lost_objects().await? {
                0 => break,
                marked => report.lost_objects += marked,
            }
        }
        loop {
            pulse.beat().await?;
            if self.archive.queue_repairs(MOVE_BATCH).await? == 0 {
                break;
            }
        }
        loop {
            pulse.beat().await?;
            match self.archive.begin_moves(MOVE_BATCH).await? {
                0 => return Ok(()),
                begun => report.moves_begun += begun,
            }
        }
    }

    async fn sweep(&self, pulse: &mut Pulse<'_>, report: &mut Report) -> Result<(), Halt> {
        let mut round = SweepRound::default();
        while !round.is_over() {
            pulse.beat().await?;
            report.swept_objects += self.archive.sweep_batch(&mut round, SWEEP_BATCH).await?;
        }
        Ok(())
    }

    async fn clock_guard(&self) -> Result<ClockGuard, Error> {
        let last = self.archive.find_last_run(KIND).await?;
        Ok(ClockGuard::since(last.and_then(|run| run.finished_at), self.config.max_clock_jump))
    }

    /// Records the run, its events and its row of the audit.
    async fn finish(&self, run: RunId, report: &mut Report) -> Result<(), Error> {
        let (kind, events) = match &report.outcome {
            Outcome::ClockRefused(why) => (KIND_REFUSED, self.refusal_events(why, report.started_at).await?),
            _ => (KIND, self.over_quota_events(report).await?),
        };
        let text = serde_json::to_string(report).expect("a report has nothing that JSON cannot say");
        let actor = Actor::system("rotation");
        report.sha256 = Some(self.archive.finish_run(&actor, run, kind, &text, &events).await?);
        Ok(())
    }

    /// For each that stays over its quota since this run, and did not after the last one.
    async fn over_quota_events(&self, report: &Report) -> Result<Vec<RunEvent>, Error> {
        let last = self.archive.find_last_run(KIND).await?.map(|run| run.report);
        Ok(alarms::over_quota(report, &last.and_then(|report| serde_json::from_str(&report).ok()).unwrap_or_default()))
    }

    /// Once a day while it lasts.
    async fn refusal_events(&self, why: &str, now: Instant) -> Result<Vec<RunEvent>, Error> {
        tracing::error!("rotation refused: {why}");
        let next = RunId::new(Instant::from_millis(now.millis() + 1));
        let refused = self.archive.list_runs(Scope::Platform, KIND_REFUSED, Some(next), 1).await?;
        if refused.iter().any(|run| run.started_at > now.minus(REMIND_AFTER)) {
            return Ok(Vec::new());
        }
        Ok(vec![RunEvent { event: "rotation.refused", tenant: None, payload: json!({ "why": why }) }])
    }
}

fn total(pbxs: &[PbxFigures]) -> Figures {
    let mut sum = Figures::default();
    pbxs.iter().for_each(|pbx| sum.add(pbx.expired()));
    sum
}
