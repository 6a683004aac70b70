//! The landing zone: where this instance keeps what it has fetched until it is archived. A file there is named after its
//! source, so after a crash the catalogue says which of them still mean something.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use archive::{CoreServerId, Sha256, Source, SourceId};
use rustix::io::Errno;

use crate::failure::Failure;

/// The landing zone of one instance.
#[derive(Debug)]
pub(crate) struct Landing {
    directory: PathBuf,
    /// Makes the names of unfinished files unique: one that was given up may still be written to by a stuck thread.
    written: AtomicU64,
    held: Mutex<HashMap<SourceId, Held>>,
}

/// What lies here of one source, or is about to.
#[derive(Debug)]
struct Held {
    core_server: CoreServerId,
    bytes: u64,
    /// The names of the stores that it waits for.
    waits_for: Vec<String>,
}

/// How many bytes of a core server may lie here and wait: for any store, and for single ones.
#[derive(Debug)]
pub(crate) struct WaitingRoom {
    pub(crate) in_all: u64,
    pub(crate) by_store: Vec<(String, u64)>,
}

impl Landing {
    /// Makes the directory if need be (nobody else may look into it), sees that it can be written to, and removes the
    /// unfinished files that an earlier process left.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let probe = directory.join("probe.part");
        fs::File::create(&probe)?;
        for name in names_in(&directory)? {
            if name.parse::<SourceId>().is_err() {
                fs::remove_file(directory.join(name))?;
            }
        }
        Ok(Self { directory, written: AtomicU64::default(), held: Mutex::default() })
    }

    /// The sources of which a fetched file lies here.
    pub(crate) fn list_landed(&self) -> io::Result<Vec<SourceId>> {
        Ok(names_in(&self.directory)?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes the fetched files of sources that are done; says how many. Any other one may be the last copy there is, even
    /// where another instance has taken the source over: it stays until that one has archived it.
    pub(crate) fn clear(&self, done: &[SourceId]) -> io::Result<usize> {
        for source in done {
            fs::remove_file(self.spooled(*source))?;
        }
        Ok(done.len())
    }

    /// Where a source's bytes go while they are fetched; another place at each call.
    pub(crate) fn new_part(&self, source: SourceId) -> PathBuf {
        self.directory.join(format!("{source}.{}.part", self.written.fetch_add(1, Ordering::Relaxed)))
    }

    /// Where a source's recording goes while it is encoded; another place at each call.
    pub(crate) fn new_encoded(&self, source: SourceId, extension: &str) -> PathBuf {
        self.directory.join(format!("{source}.{}.out.{extension}", self.written.fetch_add(1, Ordering::Relaxed)))
    }

    /// Where a source's bytes lie once they were fetched whole.
    pub(crate) fn spooled(&self, source: SourceId) -> PathBuf {
        self.directory.join(source.to_string())
    }

    /// Counts a source's bytes as lying here.
    pub(crate) fn hold(&self, source: &Source) {
        let mut held = self.lock();
        let entry = held.entry(source.id).or_insert_with(|| Held::of(source));
        entry.bytes = source.listed.size_bytes;
    }

    /// Counts a source's bytes as waiting for these stores (none: for none any longer).
    pub(crate) fn note_waiting(&self, source: &Source, stores: &[String]) {
        let mut held = self.lock();
        let before = match held.get_mut(&source.id) {
            Some(entry) => std::mem::replace(&mut entry.waits_for, stores.to_vec()),
            None if stores.is_empty() => return,
            None => {
                held.insert(source.id, Held { waits_for: stores.to_vec(), ..Held::of(source) });
                Vec::new()
            }
        };
        tell_waiting(&held, before.iter().chain(stores));
    }

    /// As [`Landing::note_waiting`], for a source that is not here yet: says whether there is room for it to wait here.
    pub(crate) fn may_wait(&self, source: &Source, room: &WaitingRoom) -> bool {
        let bytes = source.listed.size_bytes;
        let held = self.lock();
        let of_server = || held.iter().filter(|(id, it)| it.core_server == source.core_server && **id != source.id);
        let waiting: u64 = of_server().filter(|(_, it)| !it.waits_for.is_empty()).map(|(_, it)| it.bytes).sum();
        let fits = waiting + bytes <= room.in_all
            && room.by_store.iter().all(|(store, most)| {
                let waiting: u64 =
                    of_server().filter(|(_, it)| it.waits_for.contains(store)).map(|(_, it)| it.bytes).sum();
                waiting + bytes <= *most
            });
        drop(held);
        if fits {
            let stores: Vec<String> = room.by_store.iter().map(|(store, _)| store.clone()).collect();
            self.note_waiting(source, &stores);
        }
        fits
    }

    /// The sources of a core server whose bytes lie here.
    pub(crate) fn list_held(&self, core_server: CoreServerId) -> Vec<SourceId> {
        self.lock().iter().filter(|(_, it)| it.core_server == core_server).map(|(source, _)| *source).collect()
    }

    /// How many bytes of a core server lie here.
    pub(crate) fn held_bytes(&self, core_server: CoreServerId) -> u64 {
        self.lock().values().filter(|it| it.core_server == core_server).map(|it| it.bytes).sum()
    }

    /// Removes a source's bytes, and counts them no longer.
    pub(crate) fn remove(&self, source: SourceId) {
        remove_if_there(&self.spooled(source));
        let mut held = self.lock();
        if let Some(gone) = held.remove(&source) {
            tell_waiting(&held, gone.waits_for.iter());
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<SourceId, Held>> {
        self.held.lock().expect("nobody panics while holding it")
    }
}

impl Held {
    fn of(source: &Source) -> Self {
        Self { core_server: source.core_server, bytes: source.listed.size_bytes, waits_for: Vec::new() }
    }
}

fn tell_waiting<'a>(held: &HashMap<SourceId, Held>, stores: impl Iterator<Item = &'a String>) {
    for store in stores {
        let bytes: u64 = held.values().filter(|it| it.waits_for.contains(store)).map(|it| it.bytes).sum();
        metrics::gauge!("fonoteca_spool_waiting_bytes", "store" => store.clone()).set(bytes as f64);
    }
}

/// Removes a file of the landing zone. What cannot be removed now is when the next process starts.
pub(crate) fn remove_if_there(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("failed to remove a file from the landing zone: {error}");
        }
        _ => {}
    }
}

/// Sees that a fetched file is still what was fetched, by reading it: blocks the thread.
///
/// # Errors
/// [`Failure::Unspooled`] when it is not, or gone; a landing zone that fails otherwise.
pub(crate) fn check_whole(file: &Path, expected: Sha256) -> Result<(), Failure> {
    match Sha256::of_file(file) {
        Ok((found, _)) if found == expected => Ok(()),
        Err(error) if !is_lost(&error) => Err(Failure::later("landing-zone", error.to_string())),
        _ => Err(Failure::Unspooled),
    }
}

/// Does the error say that the copy in the landing zone is gone or unreadable for good? Any other (too many open files,
/// no memory) passes, and then the copy may be the only one: a core server does not keep its files for ever.
fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::IO.raw_os_error())
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // Nothing but our own files is ours to remove.
        if entry.file_type()?.is_file()
            && let Ok(name) = entry.file_name().into_string()
            && is_ours(&name)
        {
            names.push(name);
        }
    }
    Ok(names)
}

/// `<source id>`, `<source id>.<n>.part`, `<source id>.<n>.out.<ext>`, and the probe.
fn is_ours(name: &str) -> bool {
    let id = name.split('.').next().unwrap_or(name);
    name == "probe.part" || (id.len() == 26 && id.parse::<SourceId>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::Instant;

    #[test]
    fn what_an_earlier_process_left_unfinished_goes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let id = SourceId::new(Instant::from_millis(1_795_262_400_000));
        let other = SourceId::new(Instant::from_millis(1_795_262_400_000));
        for name in [format!("{id}"), format!("{id}.0.part"), format!("{other}.3.out.mp3"), "notes.txt".to_owned()] {
            fs::write(directory.path().join(name), b"x").unwrap();
        }
        let landing = Landing::open(directory.path().to_owned()).unwrap();
        let mut left: Vec<String> =
            fs::read_dir(directory.path()).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [format!("{id}"), "notes.txt".to_owned()]);
        assert_eq!(landing.list_landed().unwrap(), [id]);
        assert_eq!((landing.clear(&[]).unwrap(), landing.spooled(id).exists()), (0, true));
        assert_eq!(landing.clear(&[id]).unwrap(), 1);
        assert!(directory.path().join("notes.txt").exists() && !landing.spooled(id).exists());
    }

    #[test]
    fn a_landing_zone_that_cannot_be_made_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), b"x").unwrap();
        assert!(Landing::open(directory.path().join("file/landing")).is_err());
    }
}
