//! The collector itself: a lane for each core server, kept in step with the catalogue.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::{Archive, CoreServer, CoreServerId};
use futures_util::FutureExt;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::landing::Landing;
use crate::lane::{Lane, Server, Shared};
use crate::workers::Workers;
use crate::{Collected, Config, Error};

/// How long another instance that never says that it is at work may leave alone what it has spooled before it counts as
/// gone.
const INSTANCE_GONE: Duration = Duration::from_secs(3600);

/// Brings recordings in. One per process, and one process per instance and landing zone.
#[derive(Debug)]
pub struct Collector {
    shared: Arc<Shared>,
    lanes: Mutex<HashMap<CoreServerId, Arc<Lane>>>,
    begun: OnceCell<()>,
}

impl Collector {
    /// A collector that lands what it fetches in `landing_zone`, which is made if need be and is its own.
    ///
    /// Unfinished files that an earlier process left there are removed now; fetched ones whose source is done when
    /// collecting begins.
    ///
    /// # Errors
    /// A configuration that cannot be worked with; a landing zone that cannot be written to.
    pub fn new(archive: Arc<Archive>, config: Config, landing_zone: PathBuf) -> Result<Self, Error> {
        config.validate().map_err(Error::Config)?;
        let landing = Landing::open(landing_zone.clone())
            .map_err(|failure| Error::LandingZone { directory: landing_zone, failure })?;
        let workers = Workers::new(&config);
        let shared = Arc::new(Shared { archive, config, landing, workers });
        Ok(Self { shared, lanes: Mutex::default(), begun: OnceCell::new() })
    }

    /// Collects from every core server until told to stop, then finishes the recordings that are in work.
    ///
    /// The list of core servers is read anew each scan interval: one that is added, changed or disabled needs no restart.
    pub async fn run(&self, stop: CancellationToken) {
        // Whoever drops this future stops the lanes too.
        let stop = stop.child_token();
        let _stops_lanes = stop.clone().drop_guard();
        let (tracker, mut running) = (TaskTracker::new(), HashMap::<CoreServerId, CancellationToken>::new());
        while !stop.is_cancelled() {
            match self.begin_round().await {
                Ok((lanes, _)) => {
                    let wanted: HashSet<CoreServerId> = lanes.iter().map(|lane| lane.server().core.id).collect();
                    running.retain(|id, stop| {
                        if !wanted.contains(id) {
                            stop.cancel();
                        }
                        wanted.contains(id)
                    });
                    for lane in lanes {
                        running.entry(lane.server().core.id).or_insert_with(|| {
                            let stop = stop.child_token();
                            let (pause, name) = (self.shared.config.scan_interval, lane.server().core.name.clone());
                            let (scan, scan_stop) = (Arc::clone(&lane), stop.clone());
                            let scan = move || scan_until_stopped(Arc::clone(&scan), scan_stop.clone());
                            tracker.spawn(keep_going(format!("scanning {name}"), pause, stop.clone(), scan));
                            let work_stop = stop.clone();
                            let work = move || work_until_stopped(Arc::clone(&lane), work_stop.clone());
                            tracker.spawn(keep_going(format!("work on {name}"), pause, stop.clone(), work));
                            stop
                        });
                    }
                }
                Err(error) => tracing::error!("failed to read the core servers: {error}"),
            }
            pause(self.shared.config.scan_interval, &stop).await;
        }
        tracker.close();
        tracker.wait().await;
    }

    /// Scans, works until nothing waits, and removes what is due: of one core server, or of all that are not disabled.
    ///
    /// # Errors
    /// The named core server is not there, is disabled, cannot be worked with or cannot be listed; the catalogue fails.
    /// When all are collected from, one that cannot be is logged and counted, and stops none of the others.
    pub async fn collect_once(&self, core_server: Option<&str>) -> Result<Collected, Error> {
        let (lanes, misconfigured) = self.begin_round().await?;
        let mut collected = Collected::default();
        if let Some(name) = core_server {
            let lane = lanes.into_iter().find(|lane| lane.server().core.name == name);
            let lane = match lane {
                Some(lane) => lane,
                None => return Err(self.explain_absent(name).await?),
            };
            return collect(&lane).await;
        }
        collected.unreachable = misconfigured;
        let mut rounds = JoinSet::new();
        for lane in lanes {
            rounds.spawn(async move { collect(&lane).await });
        }
        let mut failed = None;
        while let Some(round) = rounds.join_next().await {
            match round {
                Ok(Ok(round)) => collected.add(round),
                Ok(Err(error @ Error::Archive(_))) => failed = Some(error),
                Ok(Err(error)) => {
                    tracing::error!("failed to collect: {error}");
                    collected.unreachable += 1;
                }
                Err(error) => {
                    tracing::error!("a round of collecting ended: {error}");
                    collected.unreachable += 1;
                }
            }
        }
        failed.map_or(Ok(collected), Err)
    }

    /// What must be done once before anything is claimed: this process's predecessor may have been killed.
    async fn begin(&self) -> Result<(), Error> {
        self.begun
            .get_or_try_init(|| async {
                let (archive, shared) = (&self.shared.archive, Arc::clone(&self.shared));
                let freed = archive.release_own_claims().await?;
                let spooled = archive.list_spooled_here().await?;
                let waiting = spooled.len();
                spooled.iter().for_each(|source| shared.landing.hold(source));
                let removed = match shared.landing.list_landed() {
                    Ok(landed) => {
                        let done = archive.list_done(&landed).await?;
                        tokio::task::spawn_blocking(move || shared.landing.clear(&done))
                            .await
                            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
                    }
                    Err(error) => Err(error),
                };
                match removed {
                    Ok(0) if freed == 0 && waiting == 0 => {}
                    Ok(removed) => tracing::info!(
                        "taking up {waiting} spooled sources and {freed} claims, removed {removed} leftovers"
                    ),
                    Err(error) => tracing::warn!("failed to clear the landing zone: {error}"),
                }
                Ok(())
            })
            .await
            .copied()
    }

    /// The lanes of all core servers that are collected from, as the catalogue describes them now; and how many cannot be
    /// worked with.
    pub(crate) async fn begin_round(&self) -> Result<(Vec<Arc<Lane>>, u64), Error> {
        self.begin().await?;
        let servers = self.shared.archive.list_core_servers().await?;
        let enabled: Vec<CoreServer> = servers.into_iter().filter(|server| !server.disabled).collect();
        let share = self.shared.config.spool_budget / (enabled.len() as u64).max(1);
        let (mut round, mut misconfigured) = (Vec::new(), 0);
        let mut lanes = self.lanes.lock().expect("nobody panics while holding it");
        for core in enabled {
            let id = core.id;
            match (Server::new(core), lanes.get(&id)) {
                (Ok(server), Some(lane)) => {
                    lane.update(server, share);
                    round.push(Arc::clone(lane));
                }
                (Ok(server), None) => {
                    let lane = Arc::new(Lane::new(Arc::clone(&self.shared), server, share));
                    lanes.insert(id, Arc::clone(&lane));
                    round.push(lane);
                }
                (Err(error), _) => {
                    tracing::error!("{error}");
                    misconfigured += 1;
                }
            }
        }
        Ok((round, misconfigured))
    }

    /// Why there is no lane for the core server of that name.
    async fn explain_absent(&self, name: &str) -> Result<Error, Error> {
        let servers = self.shared.archive.list_core_servers().await?;
        Ok(match servers.into_iter().find(|server| server.name == name) {
            None => Error::UnknownCoreServer(name.to_owned()),
            Some(server) if server.disabled => Error::DisabledCoreServer(name.to_owned()),
            Some(server) => Server::new(server).err().unwrap_or_else(|| Error::UnknownCoreServer(name.to_owned())),
        })
    }
}

/// One round of one core server.
async fn collect(lane: &Arc<Lane>) -> Result<Collected, Error> {
    let never = CancellationToken::new();
    reclaim(lane).await?;
    let scanned = lane.scan(&never).await;
    // What was discovered before is worked on even where the spool can no longer be listed.
    let mut collected = lane.work_until_idle(&never).await?;
    let scanned = scanned?;
    collected.discovered = scanned.discovered;
    collected.left_in_progress = scanned.left_in_progress;
    loop {
        let batch = lane.remove_sources().await?;
        collected.removed += batch.removed;
        if !batch.more {
            return Ok(collected);
        }
    }
}

/// Takes over what an instance that is gone had spooled of the core server, and what waits for a time that a wrong clock
/// has set.
async fn reclaim(lane: &Lane) -> Result<(), Error> {
    let config = &lane.shared.config;
    let idle = INSTANCE_GONE.max(config.longest_retry.saturating_mul(3));
    let server = lane.server();
    let mended = lane.shared.archive.mend_waiting_times(server.core.id, idle).await?;
    if mended > 0 {
        tracing::warn!(
            core_server = server.core.name,
            "the clock was ahead: {mended} sources need not wait any longer"
        );
    }
    let reclaimed = lane.shared.archive.reclaim_spooled(server.core.id, config.lost_after, idle).await?;
    if reclaimed > 0 {
        tracing::warn!(core_server = server.core.name, "{reclaimed} sources of a lost instance will be fetched again");
    }
    Ok(())
}

async fn scan_until_stopped(lane: Arc<Lane>, stop: CancellationToken) {
    let round = async || {
        reclaim(&lane).await?;
        lane.scan(&stop).await?;
        // A batch at a time: what is new must not wait until a million old sources are removed.
        lane.remove_sources().await
    };
    while !stop.is_cancelled() {
        // A file server that does not answer must not keep us from stopping: nothing is half done by a scan.
        let outcome = tokio::select! {
            outcome = round() => outcome,
            () = stop.cancelled() => return,
        };
        if let Err(error) = outcome {
            tracing::error!(core_server = lane.server().core.name, "failed to scan: {error}");
        }
        pause(lane.shared.config.scan_interval, &stop).await;
    }
}

async fn work_until_stopped(lane: Arc<Lane>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = lane.work_until_idle(&stop).await {
            tracing::error!(core_server = lane.server().core.name, "failed to claim work: {error}");
        }
        // Retries fall due without a sound.
        tokio::select! {
            () = lane.found.notified() => {}
            () = pause(lane.shared.config.scan_interval, &stop) => {}
        }
    }
}

/// Does the work until it ends by itself; one that panics is begun again, after a pause. A damaged file or a fault of ours
/// must not leave a core server uncollected until somebody looks.
async fn keep_going<F: Future<Output = ()>>(
    what: String,
    pause_length: Duration,
    stop: CancellationToken,
    work: impl Fn() -> F,
) {
    while AssertUnwindSafe(work()).catch_unwind().await.is_err() {
        // The panic itself was told by the hook.
        tracing::error!("{what} panicked: it is begun again");
        pause(pause_length, &stop).await;
        if stop.is_cancelled() {
            return;
        }
    }
}

async fn pause(length: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(length) => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_begun_again_until_it_ends_by_itself() {
        let begun = AtomicU32::new(0);
        let work = || async {
            assert!(begun.fetch_add(1, Ordering::Relaxed) == 2, "a fault of ours");
        };
        keep_going("work".to_owned(), Duration::ZERO, CancellationToken::new(), work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn work_that_panics_while_stopping_is_not_begun_again() {
        let (begun, stop) = (AtomicU32::new(0), CancellationToken::new());
        let work = || async {
            begun.fetch_add(1, Ordering::Relaxed);
            stop.cancel();
            panic!("a fault of ours");
        };
        keep_going("work".to_owned(), Duration::from_secs(3600), stop.clone(), work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 1);
    }
}
