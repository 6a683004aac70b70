//! Walking a spool: its regular files, without following links, without leaving its file system, in batches.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use walkdir::{DirEntry, WalkDir};

use crate::layout::Layout;
use crate::spool::Version;

/// Files handed over at a time, and so in memory.
const BATCH: usize = 5000;
/// `<pbx>/YYYY/MM/DD/<file>` needs five levels.
const MAX_DEPTH: usize = 16;

/// A file that a walk came upon.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Relative to the spool.
    pub(super) path: PathBuf,
    pub(super) version: Version,
    pub(super) inode: u64,
    pub(super) fingerprint: u128,
}

/// What a walk leaves behind.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The fingerprints it came upon that were known.
    pub(super) known: Vec<u128>,
    /// How many folders or files could not be looked at.
    pub(super) unreadable: u64,
    /// How many links, and folders of other file systems: recordings behind them are not collected.
    pub(super) not_followed: u64,
}

/// Makes fingerprints of files: 128 bits under keys of this process, so that no two files of a spool ever share one, by
/// chance or by intent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fingerprints(RandomState, RandomState);

impl Fingerprints {
    pub(super) fn of(&self, path: &Path, version: Version) -> u128 {
        let file = (path.as_os_str(), version.size_bytes, version.mtime);
        u128::from(self.0.hash_one(file)) << 64 | u128::from(self.1.hash_one(file))
    }
}

/// One walk. Blocks the thread.
#[derive(Debug)]
pub(super) struct Walk {
    pub(super) root: PathBuf,
    pub(super) layout: Layout,
    pub(super) fingerprints: Fingerprints,
    pub(super) known: Arc<HashSet<u128>>,
    pub(super) stop: CancellationToken,
}

impl Walk {
    /// Sends every file that is not known to `batches`; ends early when nobody listens any more.
    pub(super) fn run(&self, batches: &mpsc::Sender<Vec<Listed>>) -> io::Result<Walked> {
        // A spool that is not there must not look like an empty one.
        std::fs::read_dir(&self.root)?;
        let device = std::fs::metadata(&self.root)?.dev();
        let (mut walked, mut batch) = (Walked::default(), Vec::new());
        let entries = WalkDir::new(&self.root).follow_links(false).same_file_system(true).max_depth(MAX_DEPTH);
        for entry in entries.into_iter().filter_entry(is_wanted) {
            if self.stop.is_cancelled() {
                break;
            }
            let listed = entry.and_then(|entry| {
                let kind = entry.file_type();
                let is_elsewhere = kind.is_symlink() || (kind.is_dir() && entry.metadata()?.dev() != device);
                walked.not_followed += u64::from(is_elsewhere && entry.depth() > 0);
                self.look_at(&entry)
            });
            match listed {
                Ok(Some(listed)) if self.known.contains(&listed.fingerprint) => walked.known.push(listed.fingerprint),
                Ok(Some(listed)) => batch.push(listed),
                Ok(None) => {}
                // It went away meanwhile.
                Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => {}
                Err(_) => walked.unreadable += 1,
            }
            if batch.len() >= BATCH && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                return Ok(walked);
            }
        }
        if !batch.is_empty() {
            // Nobody listens any more when the catalogue failed: that is said there.
            let _ = batches.blocking_send(batch);
        }
        Ok(walked)
    }

    fn look_at(&self, entry: &DirEntry) -> walkdir::Result<Option<Listed>> {
        if !entry.file_type().is_file() || !self.layout.is_recording(&entry.file_name().to_string_lossy()) {
            return Ok(None);
        }
        let Ok(path) = entry.path().strip_prefix(&self.root).map(Path::to_owned) else { return Ok(None) };
        let metadata = entry.metadata()?;
        let version = Version::of(&metadata);
        let fingerprint = self.fingerprints.of(&path, version);
        Ok(Some(Listed { path, version, inode: metadata.ino(), fingerprint }))
    }
}

/// Hidden folders hold snapshots and other copies; `lost+found` is the file system's own.
fn is_wanted(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_encoded_bytes();
    entry.depth() == 0 || !entry.file_type().is_dir() || !(name.starts_with(b".") || name == b"lost+found")
}

#[cfg(test)]
mod tests {
    use archive::Instant;

    use super::*;

    fn walk(root: &Path, known: HashSet<u128>) -> (Vec<String>, Walked, Walk) {
        let walk = Walk {
            root: root.to_owned(),
            layout: Layout::new("asterisk", None).unwrap(),
            fingerprints: Fingerprints::default(),
            known: Arc::new(known),
            stop: CancellationToken::new(),
        };
        let (sender, mut batches) = mpsc::channel(100);
        let walked = walk.run(&sender).unwrap();
        drop(sender);
        let mut paths = Vec::new();
        while let Ok(batch) = batches.try_recv() {
            paths.extend(batch.into_iter().map(|listed| listed.path.to_str().unwrap().to_owned()));
        }
        paths.sort();
        (paths, walked, walk)
    }

    #[test]
    fn only_regular_files_inside_the_spool_are_listed() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("spool");
        for folder in ["acme/2026/11/21", "acme/.snapshot", "lost+found"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::fs::write(directory.path().join("outside.wav"), b"x").unwrap();
        for file in
            ["acme/2026/11/21/a.wav", "b.gsm", "acme/.snapshot/a.wav", "lost+found/c.wav", "acme/.a.wav", "d.tmp"]
        {
            std::fs::write(root.join(file), b"x").unwrap();
        }
        std::os::unix::fs::symlink(directory.path().join("outside.wav"), root.join("acme/link.wav")).unwrap();
        std::os::unix::fs::symlink(directory.path(), root.join("acme/up")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("acme/loop")).unwrap();
        let (paths, walked, _) = walk(&root, HashSet::new());
        assert_eq!(paths, ["acme/2026/11/21/a.wav", "b.gsm"]);
        assert_eq!((walked.unreadable, walked.not_followed), (0, 3));
    }

    #[test]
    fn a_spool_that_is_not_there_is_an_error_and_no_empty_spool() {
        let directory = tempfile::tempdir().unwrap();
        let (_, _, walk) = walk(directory.path(), HashSet::new());
        let walk = Walk { root: directory.path().join("nowhere"), ..walk };
        assert!(walk.run(&mpsc::channel(1).0).is_err());
    }

    #[test]
    fn a_fingerprint_differs_by_path_size_and_time() {
        let fingerprints = Fingerprints::default();
        let at = |path: &str, size_bytes, millis| {
            fingerprints.of(Path::new(path), Version { size_bytes, mtime: Instant::from_millis(millis) })
        };
        let base = at("a/b.wav", 1, 1);
        assert_eq!(base, at("a/b.wav", 1, 1));
        for other in [at("a/c.wav", 1, 1), at("a/b.wav", 2, 1), at("a/b.wav", 1, 2)] {
            assert_ne!(base, other);
        }
    }
}
