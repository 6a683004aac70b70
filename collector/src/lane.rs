//! A lane: everything the collector has to do with one core server. Each has its own budget of claims and of room in the
//! landing zone, so that one that is slow, dead or full of damaged files takes nothing from the others.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use archive::{Archive, CoreServer, Error as ArchiveError, ShutStore, SourceClaim};
use jiff::tz::TimeZone;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::landing::{Landing, WaitingRoom};
use crate::layout::Layout;
use crate::scan::Memory;
use crate::work::Ended;
use crate::workers::Workers;
use crate::{Collected, Config, Error};

/// What all lanes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) archive: Arc<Archive>,
    pub(crate) config: Config,
    pub(crate) landing: Landing,
    pub(crate) workers: Workers,
}

/// A core server, as the catalogue describes it at the moment.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) core: CoreServer,
    pub(crate) layout: Layout,
    pub(crate) zone: TimeZone,
}

impl Server {
    /// Reads the description.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] with what is wrong in it.
    pub(crate) fn new(core: CoreServer) -> Result<Self, Error> {
        let wrong = |what: String| Error::Misconfigured { name: core.name.clone(), what };
        let layout = Layout::new(&core.layout, core.pattern.as_deref()).map_err(wrong)?;
        let zone = TimeZone::get(&core.time_zone).map_err(|error| wrong(format!("time_zone: {error}")))?;
        Ok(Self { core, layout, zone })
    }
}

/// All that is remembered of one core server.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) shared: Arc<Shared>,
    server: Mutex<Arc<Server>>,
    /// Bytes of it that may lie in the landing zone.
    share_bytes: AtomicU64,
    /// Permits to read from the core server. A thread that hangs on a dead file server keeps its own: the threads of the
    /// process must not all end up there.
    pub(crate) readers: Arc<Semaphore>,
    /// Locked by the scan that is running.
    pub(crate) memory: tokio::sync::Mutex<Memory>,
    /// Rings when a scan has found something.
    pub(crate) found: Notify,
}

impl Lane {
    pub(crate) fn new(shared: Arc<Shared>, server: Server, share_bytes: u64) -> Self {
        Self {
            share_bytes: AtomicU64::new(share_bytes),
            readers: Arc::new(Semaphore::new(shared.config.claims_per_core_server as usize)),
            shared,
            server: Mutex::new(Arc::new(server)),
            memory: tokio::sync::Mutex::default(),
            found: Notify::new(),
        }
    }

    /// The core server as it is described now.
    pub(crate) fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server.lock().expect("nobody panics while holding it"))
    }

    /// Takes over a new description, and how much room there is for it in the landing zone.
    pub(crate) fn update(&self, server: Server, share_bytes: u64) {
        *self.server.lock().expect("nobody panics while holding it") = Arc::new(server);
        self.share_bytes.store(share_bytes, Ordering::Relaxed);
    }

    /// How much of this core server may lie in the landing zone and wait for stores that take nothing: at most half of its
    /// share, so that the rest of it goes on.
    pub(crate) fn waiting_room(&self, shut: &[ShutStore]) -> WaitingRoom {
        let (whole, share) = (self.shared.config.spool_budget, self.share_bytes.load(Ordering::Relaxed));
        let part = share as f64 / whole as f64;
        let budget = |store: &ShutStore| (store.spool_budget.unwrap_or(whole / 2) as f64 * part) as u64;
        WaitingRoom { in_all: share / 2, by_store: shut.iter().map(|it| (it.name.clone(), budget(it))).collect() }
    }

    /// Works on sources until none waits, or until told to stop; what is in work by then is finished, but for
    /// what takes too long to wait for.
    ///
    /// # Errors
    /// The catalogue cannot be asked for work.
    pub(crate) async fn work_until_idle(self: &Arc<Self>, stop: &CancellationToken) -> Result<Collected, Error> {
        let (mut in_work, mut collected, mut failed) = (JoinSet::new(), Collected::default(), None);
        loop {
            // What has ended meanwhile makes room too: claims are made at once, not one by one.
            while let Some(ended) = in_work.try_join_next() {
                collected.count(self.ended(ended));
            }
            let room = self.shared.config.claims_per_core_server.saturating_sub(in_work.len() as u32);
            if room > 0 && failed.is_none() && !stop.is_cancelled() {
                match self.claim(room).await {
                    Ok(claims) => claims.into_iter().for_each(|claim| {
                        in_work.spawn(Arc::clone(self).work(claim, stop.clone()));
                    }),
                    Err(error) => failed = Some(error),
                }
            }
            let ended = tokio::select! {
                ended = in_work.join_next() => ended,
                // One recording that takes long must not keep the places beside it empty.
                () = self.found.notified() => continue,
                () = tokio::time::sleep(self.shared.config.scan_interval) => continue,
            };
            match ended {
                Some(ended) => collected.count(self.ended(ended)),
                None => return failed.map_or(Ok(collected), |error| Err(error.into())),
            }
        }
    }

    fn ended(&self, work: Result<Ended, JoinError>) -> Ended {
        work.unwrap_or_else(|error| {
            // Its claim ends with its lease, and it is tried again.
            tracing::error!(core_server = self.server().core.name, "work on a source ended: {error}");
            Ended::Retried
        })
    }

    /// Claims work. While there is no room in the landing zone only what lies there already is worked on.
    async fn claim(&self, limit: u32) -> Result<Vec<SourceClaim>, ArchiveError> {
        let (archive, lease) = (&self.shared.archive, self.shared.config.lease);
        let core_server = self.server().core.id;
        let is_full = self.shared.landing.held_bytes(core_server) >= self.share_bytes.load(Ordering::Relaxed);
        if is_full {
            let claims = archive.claim_spooled_sources(core_server, lease, limit).await?;
            if !claims.is_empty() || !self.make_room().await? {
                return Ok(claims);
            }
        }
        archive.claim_sources(core_server, lease, limit).await
    }

    /// Removes from the landing zone what another instance has taken over and ended meanwhile; says whether there was any.
    async fn make_room(&self) -> Result<bool, ArchiveError> {
        let landing = &self.shared.landing;
        let ended = self.shared.archive.list_ended(&landing.list_held(self.server().core.id)).await?;
        ended.iter().for_each(|source| landing.remove(*source));
        Ok(!ended.is_empty())
    }
}
