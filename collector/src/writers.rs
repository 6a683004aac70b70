//! Who holds files open for writing, as far as this machine can tell: one pass over /proc for any number of files.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The name of the machine's first process-id namespace. In any other (a container's) not every process is seen.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// The outcome of one pass.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    /// Inodes that some process holds open for writing.
    held: HashSet<u64>,
    /// Every process was looked at.
    pub(crate) is_complete: bool,
}

impl OpenFiles {
    /// Looks which files of these names are held open for writing.
    ///
    /// Names are compared first, for /proc tells them without touching the file: a file on a dead file server would
    /// block whoever asks for its inode.
    pub(crate) fn find(names: &HashSet<&OsStr>) -> Self {
        Self::find_in(Path::new("/proc"), names)
    }

    fn find_in(proc: &Path, names: &HashSet<&OsStr>) -> Self {
        let mut found = Self { held: HashSet::new(), is_complete: sees_every_process(proc) };
        let Ok(processes) = fs::read_dir(proc) else {
            return Self { is_complete: false, ..found };
        };
        for process in processes.filter_map(Result::ok) {
            if !process.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            match fs::read_dir(process.path().join("fd")) {
                Ok(descriptors) => {
                    descriptors.filter_map(Result::ok).for_each(|fd| found.look_at(&fd.path(), names));
                }
                // It has ended meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(3) => {}
                Err(_) => found.is_complete = false,
            }
        }
        found
    }

    fn look_at(&mut self, descriptor: &Path, names: &HashSet<&OsStr>) {
        let Ok(target) = fs::read_link(descriptor) else { return };
        if !target.file_name().is_some_and(|name| names.contains(without_deleted(name).as_os_str())) {
            return;
        }
        // The link's own permissions say how the file was opened.
        let writes = fs::symlink_metadata(descriptor).map_or(true, |link| link.mode() & 0o200 != 0);
        if !writes {
            return;
        }
        match fs::metadata(descriptor) {
            Ok(metadata) => {
                self.held.insert(metadata.ino());
            }
            // Closed meanwhile: it may have been written to until then, so the next pass decides.
            Err(_) => self.is_complete = false,
        }
    }

    /// Does a process hold the file with this inode open for writing? Devices are not compared: what an overlay or a
    /// container calls the same file may differ in it, and to wait for the wrong file does no harm.
    pub(crate) fn is_held(&self, inode: u64) -> bool {
        self.held.contains(&inode)
    }
}

/// Are all processes of the machine listed, and the first one's files readable? They are not in a container, under
/// hidepid, or without the rights to look.
fn sees_every_process(proc: &Path) -> bool {
    let namespace = fs::read_link(proc.join("self/ns/pid"));
    namespace.is_ok_and(|name| name == Path::new(FIRST_PID_NAMESPACE)) && fs::read_dir(proc.join("1/fd")).is_ok()
}

/// A removed file's link ends in ` (deleted)`.
fn without_deleted(name: &OsStr) -> OsString {
    name.to_str().and_then(|name| name.strip_suffix(" (deleted)")).map_or_else(|| name.to_owned(), OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_held_open_for_writing_is_found_and_one_that_is_only_read_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("held-{}.gsm", std::process::id());
        let path = directory.path().join(&name);
        let writer = fs::File::create(&path).unwrap();
        let inode = writer.metadata().unwrap().ino();
        let names: HashSet<&OsStr> = [OsStr::new(&name)].into();
        assert!(OpenFiles::find(&names).is_held(inode));
        assert!(!OpenFiles::find(&[OsStr::new("another.gsm")].into()).is_held(inode));
        drop(writer);
        let _reader = fs::File::open(&path).unwrap();
        assert!(!OpenFiles::find(&names).is_held(inode));
    }

    #[test]
    fn a_renamed_file_is_still_found() {
        let directory = tempfile::tempdir().unwrap();
        let name = format!("renamed-{}.gsm", std::process::id());
        let writer = fs::File::create(directory.path().join("before")).unwrap();
        fs::rename(directory.path().join("before"), directory.path().join(&name)).unwrap();
        assert!(OpenFiles::find(&[OsStr::new(&name)].into()).is_held(writer.metadata().unwrap().ino()));
    }

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let names = HashSet::new();
        assert!(!OpenFiles::find_in(directory.path(), &names).is_complete);
        assert!(!OpenFiles::find_in(&directory.path().join("nowhere"), &names).is_complete);
    }
}
