//! Scanning: every finished file in a core server's spool becomes a source in the catalogue.
//!
//! A spool may hold a million files that were archived long ago, so what is known is told apart first, by a fingerprint in
//! memory, then by the catalogue; only the rest is looked at closely. For each batch of these: the end of every file is
//! read, then, in one pass, who holds which open, then every file is looked at again. Only one that stayed the same all
//! the while can count as finished.

mod walk;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive::{Instant, NewSource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::lane::{Lane, Server};
use crate::settled::{self, Facts, Sign, Writers};
use crate::sign;
use crate::spool::{Spool, Version};
use crate::writers::OpenFiles;

pub(crate) use walk::Fingerprints;
use walk::{Listed, Walk};

/// Fingerprints kept in memory, of one core server: beyond that, files are looked up in the catalogue each time.
const MAX_KNOWN: usize = 2_000_000;

/// What one scan found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scanned {
    /// Sources that are new in the catalogue.
    pub(crate) discovered: u64,
    /// Files that are not finished yet.
    pub(crate) left_in_progress: u64,
}

/// What a scan remembers for the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    fingerprints: Fingerprints,
    /// Files that the catalogue knows.
    known: Arc<HashSet<u128>>,
    /// How many links and folders of other file systems there were; said again only when there are more.
    not_followed: u64,
    /// Files that were not finished, and since when they have been seen as they are. A file's own time may be wrong.
    unfinished: HashMap<u128, Instant>,
}

impl Lane {
    /// Scans the spool once.
    ///
    /// # Errors
    /// The spool cannot be listed, or the catalogue fails.
    pub(crate) async fn scan(&self, stop: &CancellationToken) -> Result<Scanned, Error> {
        // Two scans at a time would only do the same work twice.
        let mut memory = self.memory.lock().await;
        let server = self.server();
        let (sender, mut batches) = mpsc::channel(1);
        let walk = Walk {
            root: server.core.spool.clone(),
            layout: server.layout.clone(),
            fingerprints: memory.fingerprints.clone(),
            known: Arc::clone(&memory.known),
            stop: stop.clone(),
        };
        let walking = tokio::task::spawn_blocking(move || walk.run(&sender));
        let (mut scanned, mut unfinished) = (Scanned::default(), HashMap::new());
        let mut known = HashSet::new();
        while let Some(batch) = batches.recv().await {
            let sorted = self.sort(&server, batch, &memory, &mut unfinished).await?;
            scanned.discovered += self.discover(&server, &sorted.finished).await?;
            known.extend(sorted.known);
            if scanned.discovered > 0 {
                self.found.notify_one();
            }
        }
        let failed = |failure| Error::Spool { name: server.core.name.clone(), failure };
        let walked = walking.await.map_err(|error| failed(std::io::Error::other(error)))?.map_err(failed)?;
        if walked.unreadable > 0 {
            tracing::warn!(core_server = server.core.name, "cannot list {} folders", walked.unreadable);
        }
        if walked.not_followed > memory.not_followed {
            let count = walked.not_followed;
            tracing::warn!(
                core_server = server.core.name,
                "{count} links and folders of other file systems are not followed: what is behind them is not collected"
            );
        }
        memory.not_followed = walked.not_followed;
        scanned.left_in_progress = unfinished.len() as u64;
        known.extend(walked.known);
        let spare = known.len().saturating_sub(MAX_KNOWN);
        memory.known = Arc::new(known.into_iter().skip(spare).collect());
        memory.unfinished = unfinished;
        Ok(scanned)
    }

    /// Which of the files are known, finished, or neither.
    async fn sort(
        &self,
        server: &Arc<Server>,
        batch: Vec<Listed>,
        memory: &Memory,
        unfinished: &mut HashMap<u128, Instant>,
    ) -> Result<Sorted, Error> {
        let paths: Vec<PathBuf> = batch.iter().map(|listed| listed.path.clone()).collect();
        let in_catalogue = self.shared.archive.list_known_sources(server.core.id, &paths).await?;
        let is_known = |listed: &Listed| {
            in_catalogue.contains(&(listed.path.clone(), listed.version.size_bytes, listed.version.mtime))
        };
        let (known, new): (Vec<Listed>, Vec<Listed>) = batch.into_iter().partition(is_known);
        let mut sorted =
            Sorted { known: known.into_iter().map(|listed| listed.fingerprint).collect(), finished: vec![] };
        if new.is_empty() {
            return Ok(sorted);
        }
        let spool = server.core.spool.clone();
        let looked = tokio::task::spawn_blocking(move || look_at(&spool, new))
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(|failure| Error::Spool { name: server.core.name.clone(), failure })?;
        let now = self.shared.archive.clock().now();
        for Seen { listed, end } in looked {
            let since = *memory.unfinished.get(&listed.fingerprint).unwrap_or(&now);
            let still_for = elapsed(listed.version.mtime, now).max(elapsed(since, now));
            let is_settled = end.is_some_and(|(sign, writers)| {
                settled::is_settled(Facts { sign, writers, still_for }, &self.shared.config)
            });
            if is_settled {
                sorted.known.push(listed.fingerprint);
                sorted.finished.push(new_source(server, listed, now));
            } else {
                unfinished.insert(listed.fingerprint, since);
            }
        }
        Ok(sorted)
    }

    /// Enters finished files into the catalogue. If a batch is refused, each is entered by itself, so that one that cannot
    /// be (a path longer than the database can index) does not hold up the others.
    async fn discover(&self, server: &Server, finished: &[NewSource]) -> Result<u64, Error> {
        let archive = &self.shared.archive;
        match archive.discover(server.core.id, finished).await {
            Err(error) if !error.is_transient() && finished.len() > 1 => {
                let mut discovered = 0;
                for source in finished {
                    match archive.discover(server.core.id, std::slice::from_ref(source)).await {
                        Ok(new) => discovered += new,
                        Err(error) if error.is_transient() => return Err(error.into()),
                        Err(error) => {
                            tracing::error!(core_server = server.core.name, "cannot enter a recording: {error}");
                        }
                    }
                }
                Ok(discovered)
            }
            other => Ok(other?),
        }
    }
}

#[derive(Debug)]
struct Sorted {
    known: Vec<u128>,
    finished: Vec<NewSource>,
}

/// A file that was looked at closely.
#[derive(Debug)]
struct Seen {
    listed: Listed,
    /// What it says of its end and who holds it open; `None`: it changed while we looked.
    end: Option<(Sign, Writers)>,
}

fn look_at(spool: &Path, new: Vec<Listed>) -> std::io::Result<Vec<Seen>> {
    let spool = Spool::open(spool)?;
    let is_local = spool.is_local();
    let signs: Vec<Option<Sign>> = new.iter().map(|listed| read_sign(&spool, listed)).collect();
    let open_files = OpenFiles::find(&new.iter().filter_map(|listed| listed.path.file_name()).collect());
    let unseen = if is_local && open_files.is_complete { Writers::None } else { Writers::Unknown };
    let looked = new.into_iter().zip(signs).map(|(listed, sign)| {
        let writers = if open_files.is_held(listed.inode) { Writers::Some } else { unseen };
        let stayed = matches!(spool.find_version(&listed.path), Ok(Some(version)) if version == listed.version);
        Seen { listed, end: sign.filter(|_| stayed).map(|sign| (sign, writers)) }
    });
    Ok(looked.collect())
}

fn read_sign(spool: &Spool, listed: &Listed) -> Option<Sign> {
    match spool.open_file(&listed.path) {
        Ok(file) => {
            let version = Version::of(&file.metadata().ok()?);
            (version == listed.version).then(|| sign::read(&file, version.size_bytes).unwrap_or(Sign::None))
        }
        // It cannot be read: its source will say so, and be quarantined, rather than never be seen.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Some(Sign::None),
        Err(_) => None,
    }
}

fn new_source(server: &Server, listed: Listed, now: Instant) -> NewSource {
    let meaning = server.layout.read(&listed.path, &server.zone, now);
    NewSource {
        path: listed.path,
        size_bytes: listed.version.size_bytes,
        mtime: listed.version.mtime,
        pbx_token: meaning.pbx_token,
        call_ref: meaning.call_ref,
        leg: meaning.leg,
        direction: meaning.direction,
        caller: meaning.caller,
        callee: meaning.callee,
        started_at: meaning.started_at,
    }
}

fn elapsed(since: Instant, now: Instant) -> Duration {
    Duration::from_millis(u64::try_from(now.millis().saturating_sub(since.millis())).unwrap_or(0))
}
