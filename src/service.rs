//! Opening, starting and stopping: one archive, the parts around it, and the two signals that end them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use archive::Archive;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::WrongUse;
use crate::cli::Part;
use crate::config::Config;
use crate::instance::{self, InstanceLock};

/// How often reads are written to the audit.
const FLUSH_READS_EVERY: Duration = Duration::from_millis(100);
/// How often the stores are looked after.
const WATCH_STORES_EVERY: Duration = Duration::from_secs(5);
/// How often the audit is sealed.
const SEAL_EVERY: Duration = Duration::from_secs(1);
/// How often old rows of the audit are looked for.
const TRIM_EVERY: Duration = Duration::from_secs(3600);
/// How often an instance says that it is at work.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);
/// How long the doors may take to note the downloads that are cut off.
const CUT_WITHIN: Duration = Duration::from_secs(10);
/// How long the last writing to the catalogue may take.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// The parts of a service, every one of them open: whatever cannot be opened has ended the start by now.
pub(crate) struct Service {
    archive: Arc<Archive>,
    collector: Option<collector::Collector>,
    rotation: Option<rotation::Rotation>,
    keeping: Option<(rotation::Scrub, rotation::Backups)>,
    ftp: Option<ftp::FtpServer>,
    http: Option<api::HttpServer>,
    shutdown_timeout: Duration,
    keep_audit_for: Duration,
    parts: String,
    _lock: InstanceLock,
}

impl Service {
    /// Opens the archive and the parts.
    pub(crate) async fn open(config: &Config, parts: &[Part]) -> anyhow::Result<Self> {
        let lock = instance::lock(&config.data_dir)?;
        // Before anything counts: what is counted earlier is lost.
        let _ = api::metrics_recorder();
        let archive = instance::open_archive(config).await?;
        for note in archive.list_store_notes().await {
            tracing::warn!("{note}");
        }
        let has = |part| parts.contains(&part);
        let collector = match has(Part::Collector) {
            true => Some(open_collector(config, &archive)?),
            false => None,
        };
        let rotation =
            has(Part::Rotation).then(|| rotation::Rotation::new(Arc::clone(&archive), config.rotation.clone()));
        let keeping = has(Part::Rotation).then(|| {
            (
                rotation::Scrub::new(Arc::clone(&archive), config.scrub.clone()),
                rotation::Backups::new(Arc::clone(&archive), config.backup.clone()),
            )
        });
        let ftp = match has(Part::Ftp) {
            true => Some(
                ftp::FtpServer::bind(Arc::clone(&archive), config.ftp.clone(), &config.data_dir)
                    .await
                    .map_err(|error| WrongUse::because(format!("ftp: {error}")))?,
            ),
            false => None,
        };
        let http = match has(Part::Http) {
            true => Some(
                api::HttpServer::bind(Arc::clone(&archive), config.http.clone())
                    .await
                    .map_err(|error| WrongUse::because(format!("http: {error}")))?,
            ),
            false => None,
        };
        let (shutdown_timeout, keep_audit_for) = (config.shutdown_timeout, config.audit.keep);
        let parts = parts.iter().map(|part| part.name()).collect::<Vec<_>>().join(", ");
        Ok(Self {
            archive,
            collector,
            rotation,
            keeping,
            ftp,
            http,
            shutdown_timeout,
            keep_audit_for,
            parts,
            _lock: lock,
        })
    }

    /// The archive.
    pub(crate) fn archive(&self) -> &Arc<Archive> {
        &self.archive
    }

    /// Where the doors listen: HTTP, operations, FTP.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, std::net::SocketAddr)> {
        let http = self.http.iter().flat_map(|it| [("http", it.local_addr()), ("operations", it.operations_addr())]);
        http.chain(self.ftp.iter().map(|it| ("ftp", it.local_addr()))).collect()
    }

    /// Runs until SIGTERM or SIGINT (or `stop`), then lets every part finish what it is doing, within the time that the
    /// configuration allows. A second signal ends at once: downloads are cut off, and noted. What is not finished is given back: another instance, or the
    /// next start, does it again, and what this process might still commit is refused.
    ///
    /// # Errors
    /// When a part ends by itself: a service that lacks one must not look like a whole one. When the catalogue was moved
    /// to another database while this process slept.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self {
            archive,
            collector,
            rotation,
            keeping,
            ftp,
            http,
            shutdown_timeout,
            keep_audit_for,
            parts: names,
            _lock,
        } = self;
        // Before anybody is told that it runs: who is told may stop it.
        let mut signals = Signals::new()?;
        let (mut parts, mut doors) = (JoinSet::new(), JoinSet::new());
        // Ends the doors' own time for what is in progress.
        let at_once = CancellationToken::new();
        if let Some(collector) = collector {
            let stop = stop.clone();
            parts.spawn(async move {
                collector.run(stop).await;
                "the collector ended by itself"
            });
        }
        if let Some(rotation) = rotation {
            let stop = stop.clone();
            parts.spawn(async move {
                if let Err(error) = rotation.run(stop).await {
                    tracing::error!("rotation failed: {error}");
                }
                "rotation ended by itself"
            });
        }
        if let Some((scrub, backups)) = keeping {
            let (stop_scrub, stop_backups) = (stop.clone(), stop.clone());
            parts.spawn(async move {
                scrub.run(stop_scrub).await;
                "scrubbing ended by itself"
            });
            parts.spawn(async move {
                if let Err(error) = backups.run(stop_backups).await {
                    tracing::error!("backups failed: {error}");
                }
                "the backups ended by themselves"
            });
        }
        if let Some(ftp) = ftp {
            let (stop, at_once) = (stop.clone(), at_once.clone());
            doors.spawn(async move {
                ftp.run(stop, at_once).await;
                "the FTP door ended by itself"
            });
        }
        if let Some(http) = http {
            let (stop, at_once) = (stop.clone(), at_once.clone());
            doors.spawn(async move {
                http.run(stop, at_once).await;
                "the HTTP door ended by itself"
            });
        }
        // The audit's loop outlives the doors, so that what they noted last is written too.
        let last = CancellationToken::new();
        let audit = TaskTracker::new();
        audit.spawn(keep_audit(Arc::clone(&archive), keep_audit_for, last.clone()));
        let (tell_moved, mut moved) = mpsc::channel(1);
        audit.spawn(announce(Arc::clone(&archive), last.clone(), tell_moved));
        audit.spawn(watch_stores(Arc::clone(&archive), stop.clone()));
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        tracing::info!("at work: {names}");
        let ended_early = tokio::select! {
            () = signals.next() => None,
            () = stop.cancelled() => None,
            Some(moved) = moved.recv() => Some(moved.into()),
            Some(ended) = parts.join_next() => Some(anyhow!(ended.unwrap_or("a part panicked"))),
            Some(ended) = doors.join_next() => Some(anyhow!(ended.unwrap_or("a door panicked"))),
        };
        match &ended_early {
            Some(why) => tracing::error!("stopping: {why}"),
            None => tracing::info!("stopping: every part finishes what it is doing"),
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        stop.cancel();
        tokio::select! {
            () = async { while parts.join_next().await.is_some() || doors.join_next().await.is_some() {} } => {}
            () = tokio::time::sleep(shutdown_timeout) => {
                tracing::warn!("not everything was finished within {shutdown_timeout:?}: giving back the rest");
            }
            () = signals.next() => tracing::warn!("stopping at once"),
        }
        parts.abort_all();
        // What listeners had got of a recording by then is written to the audit all the same.
        at_once.cancel();
        if tokio::time::timeout(CUT_WITHIN, async { while doors.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("what is still being sent is not all in the audit");
        }
        last.cancel();
        audit.close();
        let given_back = async {
            audit.wait().await;
            // What was moved is closed, its claims and leases with it.
            if !ended_early.as_ref().is_some_and(|why| is_moved(why.downcast_ref())) {
                archive.retire_instance().await.context("give back claims and leases")?;
            }
            archive.close().await.context("close the catalogue")
        };
        // A catalogue that does not answer must not keep the process: leases end by themselves.
        tokio::time::timeout(LAST_WORDS, given_back).await.context("close the catalogue")??;
        match ended_early {
            Some(why) => Err(why),
            None => Ok(()),
        }
    }
}

/// The collector, with this instance's landing zone.
pub(crate) fn open_collector(config: &Config, archive: &Arc<Archive>) -> anyhow::Result<collector::Collector> {
    collector::Collector::new(Arc::clone(archive), config.collector.clone(), config.data_dir.join("landing"))
        .map_err(|error| WrongUse::because(format!("collector: {error}")))
}

/// The two signals that end a service.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Says every five seconds that this instance is at work, until told to stop, or until the catalogue turns out to be moved.
async fn announce(archive: Arc<Archive>, stop: CancellationToken, tell_moved: mpsc::Sender<archive::Error>) {
    let mut ticks = tokio::time::interval(ANNOUNCE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        match archive.announce_instance().await {
            Ok(()) => {}
            Err(error) if is_moved(Some(&error)) => {
                // There is room for it, or nobody wants to know any more.
                let _ = tell_moved.try_send(error);
                return;
            }
            Err(error) => tracing::error!("failed to say that this instance is at work: {error}"),
        }
    }
}

fn is_moved(error: Option<&archive::Error>) -> bool {
    matches!(error, Some(archive::Error::Moved(_)))
}

/// Looks after the stores until told to stop.
async fn watch_stores(archive: Arc<Archive>, stop: CancellationToken) {
    let mut watch = tokio::time::interval(WATCH_STORES_EVERY);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = async { watch.tick().await; archive.watch_stores().await } => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Writes noted reads every 100 ms, seals the audit every second and trims it every hour, until told to stop.
async fn keep_audit(archive: Arc<Archive>, keep: Duration, stop: CancellationToken) {
    let [mut flush, mut seal, mut trim] = [FLUSH_READS_EVERY, SEAL_EVERY, TRIM_EVERY].map(|every| {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        ticks
    });
    loop {
        let result = tokio::select! {
            _ = flush.tick() => archive.flush_reads().await,
            _ = seal.tick() => archive.seal_audit().await,
            _ = trim.tick() => match archive.trim_audit(keep).await {
                Ok(trimmed) => {
                    if trimmed.more {
                        trim.reset_immediately();
                    }
                    Ok(trimmed.rows)
                }
                Err(error) => Err(error),
            },
            () = stop.cancelled() => break,
        };
        match result {
            Err(error) if !is_moved(Some(&error)) => tracing::error!("failed to keep the audit: {error}"),
            // Who announces the instance says that the catalogue was moved.
            _ => {}
        }
    }
    for result in [archive.flush_reads().await, archive.seal_audit().await] {
        match result {
            Err(error) if !is_moved(Some(&error)) => tracing::error!("failed to finish the audit: {error}"),
            _ => {}
        }
    }
}
