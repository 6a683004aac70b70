//! Fetching: a source's bytes come from its core server into the landing zone, hashed while they stream by.
//!
//! What was listed is what is fetched, or nothing is: size and time are compared before and after, on the open file and
//! by its name. The copy has its name only once it is whole and durable.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use archive::{Sha256, Sha256Hasher, Source};
use tokio::sync::Semaphore;
use tokio::time::MissedTickBehavior;

use crate::failure::Failure;
use crate::landing::{Landing, remove_if_there};
use crate::spool::{Spool, Version};

const BLOCK_BYTES: usize = 256 * 1024;
/// How long a fetch may go without a single block.
const STALL: Duration = Duration::from_secs(60);

/// What became of a fetch.
#[derive(Debug, PartialEq, Eq)]
enum Fetched {
    /// The bytes are in the landing zone.
    Whole(Sha256),
    /// The file is no longer what was listed; what it is now, if anything is there.
    Changed(Option<Version>),
    /// The file is gone, from a folder that is still there.
    Gone,
    /// The file is gone, and its folder too.
    FolderGone,
}

/// Where a fetch failed.
#[derive(Debug)]
enum Broken {
    /// The spool as a whole.
    Spool(io::Error),
    /// This one file.
    Source(io::Error),
    /// The landing zone.
    Landing(io::Error),
}

/// Lets the one who waits see that bytes flow, and stop them.
#[derive(Debug, Default)]
struct Flow {
    blocks: AtomicU64,
    stopped: AtomicBool,
}

/// Fetches a source; its bytes then lie at [`Landing::spooled`]. `readers` bounds the threads that a core server can
/// keep waiting.
pub(crate) async fn fetch(
    spool: PathBuf,
    source: &Source,
    landing: &Landing,
    readers: &Arc<Semaphore>,
) -> Result<Sha256, Failure> {
    let stalled = || Failure::later("core-server", format!("no byte for {STALL:?}"));
    let reader = tokio::time::timeout(STALL, Arc::clone(readers).acquire_owned()).await.map_err(|_| stalled())?;
    let flow = Arc::new(Flow::default());
    let (part, target) = (landing.new_part(source.id), landing.spooled(source.id));
    let mut copying = {
        let (flow, listed) = (Arc::clone(&flow), source.listed.clone());
        let version = Version { size_bytes: listed.size_bytes, mtime: listed.mtime };
        tokio::task::spawn_blocking(move || {
            let _reader = reader;
            let fetched = copy(&spool, &listed.path, version, &part, &target, &flow);
            if !matches!(fetched, Ok(Fetched::Whole(_))) {
                remove_if_there(&part);
            }
            fetched
        })
    };
    let mut watch = tokio::time::interval(STALL);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    watch.tick().await;
    let mut seen = 0;
    let fetched = loop {
        tokio::select! {
            fetched = &mut copying => break fetched,
            _ = watch.tick() => {
                let blocks = flow.blocks.load(Ordering::Relaxed);
                if blocks == seen {
                    flow.stopped.store(true, Ordering::Relaxed);
                    return Err(stalled());
                }
                seen = blocks;
            }
        }
    };
    match fetched.map_err(|error| Failure::again("core-server", format!("fetching ended: {error}")))? {
        Ok(Fetched::Whole(hash)) => Ok(hash),
        Ok(Fetched::Changed(now)) => Err(Failure::Changed(now)),
        Ok(Fetched::Gone) => Err(Failure::quarantine("source-gone", "it was listed, but is no longer there")),
        Ok(Fetched::FolderGone) => Err(Failure::again("source-gone", "its folder is no longer there")),
        Err(Broken::Spool(error)) => {
            Err(Failure::later("core-server", format!("the spool cannot be reached: {error}")))
        }
        Err(Broken::Source(error)) => Err(Failure::again("core-server", format!("it cannot be read: {error}"))),
        Err(Broken::Landing(error)) => Err(Failure::later("landing-zone", error.to_string())),
    }
}

fn copy(
    directory: &Path,
    path: &Path,
    version: Version,
    part: &Path,
    target: &Path,
    flow: &Flow,
) -> Result<Fetched, Broken> {
    let spool = Spool::open(directory).map_err(Broken::Spool)?;
    let mut source = match spool.open_file(path) {
        Ok(source) => source,
        Err(error) => return explain_unopened(&spool, directory, path, error),
    };
    let before = source.metadata().map_err(Broken::Source)?;
    if Version::of(&before) != version {
        return Ok(Fetched::Changed(Some(Version::of(&before))));
    }
    let mut copy = File::create_new(part).map_err(Broken::Landing)?;
    let mut hasher = Sha256Hasher::default();
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let read = match source.read(&mut block) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::Source(error)),
        };
        hasher.update(&block[..read]);
        copy.write_all(&block[..read]).map_err(Broken::Landing)?;
        flow.blocks.fetch_add(1, Ordering::Relaxed);
        if flow.stopped.load(Ordering::Relaxed) {
            return Err(Broken::Spool(io::ErrorKind::TimedOut.into()));
        }
    }
    let (hash, size_bytes) = hasher.finish();
    let after = source.metadata().map_err(Broken::Source)?;
    let by_name = spool.find_version(path).map_err(Broken::Source)?;
    // Finer than the catalogue's milliseconds: the open file must not have been touched at all.
    let untouched = matches!((before.modified(), after.modified()), (Ok(before), Ok(after)) if before == after);
    if size_bytes != version.size_bytes || !untouched || by_name != Some(version) {
        return Ok(Fetched::Changed(by_name));
    }
    copy.sync_all().map_err(Broken::Landing)?;
    // Nobody waits for it any more: the source may have been fetched again since, archived and forgotten.
    if flow.stopped.load(Ordering::Relaxed) {
        return Err(Broken::Spool(io::ErrorKind::TimedOut.into()));
    }
    fs::rename(part, target).map_err(Broken::Landing)?;
    let folder = File::open(target.parent().unwrap_or(Path::new("/"))).map_err(Broken::Landing)?;
    folder.sync_all().map_err(Broken::Landing)?;
    Ok(Fetched::Whole(hash))
}

/// Why a file could not be opened: because it is no longer there, or otherwise. A spool with nothing in it at all is more
/// likely one whose disk is not mounted.
fn explain_unopened(spool: &Spool, directory: &Path, path: &Path, error: io::Error) -> Result<Fetched, Broken> {
    match spool.find_version(path) {
        Ok(None) if spool.has_folder_of(path) => Ok(Fetched::Gone),
        Ok(None) if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none()) => {
            Err(Broken::Spool(error))
        }
        Ok(None) => Ok(Fetched::FolderGone),
        _ => Err(Broken::Source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        directory: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir_all(directory.path().join("spool/acme")).unwrap();
            fs::create_dir(directory.path().join("landing")).unwrap();
            fs::write(directory.path().join("spool/acme/a.wav"), vec![7; 700_000]).unwrap();
            Self { directory }
        }

        fn version(&self) -> Version {
            Spool::open(&self.directory.path().join("spool"))
                .unwrap()
                .find_version(Path::new("acme/a.wav"))
                .unwrap()
                .unwrap()
        }

        fn fetch(&self, path: &str, version: Version) -> Result<Fetched, Broken> {
            let root = self.directory.path();
            let (part, target) = (root.join("landing/x.part"), root.join("landing/x"));
            copy(&root.join("spool"), Path::new(path), version, &part, &target, &Flow::default())
        }
    }

    #[test]
    fn the_copy_is_whole_hashed_and_named_last() {
        let bench = Bench::new();
        assert_eq!(bench.fetch("acme/a.wav", bench.version()).unwrap(), Fetched::Whole(Sha256::of(&[7; 700_000])));
        let names: Vec<_> = fs::read_dir(bench.directory.path().join("landing")).unwrap().collect();
        assert_eq!(names.len(), 1);
        assert_eq!(fs::read(bench.directory.path().join("landing/x")).unwrap().len(), 700_000);
    }

    #[test]
    fn a_file_that_is_not_what_was_listed_is_not_taken() {
        let bench = Bench::new();
        let listed = bench.version();
        let mut file =
            fs::OpenOptions::new().append(true).open(bench.directory.path().join("spool/acme/a.wav")).unwrap();
        file.write_all(b"more").unwrap();
        assert_eq!(bench.fetch("acme/a.wav", listed).unwrap(), Fetched::Changed(Some(bench.version())));
        assert!(!bench.directory.path().join("landing/x").exists());
    }

    #[test]
    fn gone_from_its_folder_gone_with_it_and_not_mounted_are_told_apart() {
        let bench = Bench::new();
        let listed = bench.version();
        assert_eq!(bench.fetch("acme/b.wav", listed).unwrap(), Fetched::Gone);
        assert_eq!(bench.fetch("borealis/b.wav", listed).unwrap(), Fetched::FolderGone);
        fs::remove_dir_all(bench.directory.path().join("spool/acme")).unwrap();
        assert!(matches!(bench.fetch("acme/a.wav", listed), Err(Broken::Spool(_))));
        fs::remove_dir(bench.directory.path().join("spool")).unwrap();
        assert!(matches!(bench.fetch("acme/a.wav", listed), Err(Broken::Spool(_))));
    }

    #[test]
    fn a_link_that_took_the_files_place_is_not_followed() {
        let bench = Bench::new();
        let listed = bench.version();
        let path = bench.directory.path().join("spool/acme/a.wav");
        fs::rename(&path, bench.directory.path().join("elsewhere.wav")).unwrap();
        std::os::unix::fs::symlink(bench.directory.path().join("elsewhere.wav"), &path).unwrap();
        assert_eq!(bench.fetch("acme/a.wav", listed).unwrap(), Fetched::Gone);
    }
}
