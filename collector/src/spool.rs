//! A core server's spool as a place on disk. Every file in it is reached from the spool's own directory, one folder at a
//! time and never through a symbolic link, so that whatever a core server (or who broke into it) puts there, nothing
//! outside the spool is ever read, moved or removed.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use archive::Instant;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// What tells one version of a file from another: the catalogue's knowledge of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) size_bytes: u64,
    pub(crate) mtime: Instant,
}

impl Version {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        Self { size_bytes: metadata.len(), mtime: instant(metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// An open spool. Blocks the thread, as files do: use it from blocking tasks.
#[derive(Debug)]
pub(crate) struct Spool {
    root: OwnedFd,
}

impl Spool {
    /// Opens the directory; it may itself be reached through a symbolic link, for the operator has named it.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(directory, flags, Mode::empty())? })
    }

    /// Opens the file for reading.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<File> {
        let (folder, name) = self.folder_of(path)?;
        // Without NONBLOCK, opening a pipe that took the file's place would wait for ever.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&folder, name, flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(file)
    }

    /// Which version of the file is there; `None`: there is no such file.
    pub(crate) fn find_version(&self, path: &Path) -> io::Result<Option<Version>> {
        let stat = match self.folder_of(path) {
            Ok((folder, name)) => rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        match stat {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => Ok(Some(Version {
                size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
                mtime: instant(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            })),
            Ok(_) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Is the folder there that the file is, or was, in?
    pub(crate) fn has_folder_of(&self, path: &Path) -> bool {
        self.folder_of(path).is_ok()
    }

    /// Removes the file.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.folder_of(path)?;
        Ok(rustix::fs::unlinkat(&folder, name, AtFlags::empty())?)
    }

    /// Moves the file to the same path under `to`, making the folders that it needs there. Never over a file that is
    /// there already: then the name gets a number. Both folders are synced.
    pub(crate) fn move_to(&self, path: &Path, to: &Self) -> io::Result<()> {
        let (from_folder, name) = self.folder_of(path)?;
        let to_folder = to.make_folder_of(path)?;
        for attempt in 0..1000 {
            let target = numbered(name, attempt);
            match rustix::fs::renameat_with(&from_folder, name, &to_folder, &target, RenameFlags::NOREPLACE) {
                Ok(()) => {
                    rustix::fs::fsync(&to_folder)?;
                    return Ok(rustix::fs::fsync(&from_folder)?);
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "a thousand files of that name are there already"))
    }

    /// Do only processes of this machine write here, as far as the file system tells? A network's or a cluster's file
    /// system has other writers, and so may one that this machine's kernel serves to others by NFS.
    pub(crate) fn is_local(&self) -> bool {
        // ext2 to ext4, XFS, Btrfs, tmpfs, ramfs, overlayfs, ZFS, F2FS, bcachefs.
        const LOCAL: [u32; 9] = [
            0xef53,
            0x5846_5342,
            0x9123_683e,
            0x0102_1994,
            0x8584_58f6,
            0x794c_7630,
            0x2fc1_2fc1,
            0xf2f5_2010,
            0xca45_1a4e,
        ];
        let served = std::fs::read_to_string("/proc/fs/nfsd/threads").is_ok_and(|threads| threads.trim() != "0");
        // Some machines' magic numbers are signed; the bits are the same.
        !served && rustix::fs::fstatfs(&self.root).is_ok_and(|fs| LOCAL.contains(&(fs.f_type as u32)))
    }

    /// The folder of a relative path, opened step by step, and the file's name in it.
    fn folder_of<'a>(&self, path: &'a Path) -> io::Result<(OwnedFd, &'a OsStr)> {
        let (folders, name) = split(path)?;
        let mut folder = self.root.try_clone()?;
        for part in folders {
            folder = open_folder(&folder, part)?;
        }
        Ok((folder, name))
    }

    fn make_folder_of(&self, path: &Path) -> io::Result<OwnedFd> {
        let (folders, _) = split(path)?;
        let mut folder = self.root.try_clone()?;
        for part in folders {
            match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => rustix::fs::fsync(&folder)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = open_folder(&folder, part)?;
        }
        Ok(folder)
    }
}

fn open_folder(parent: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty())?)
}

/// The folders and the name of a path that goes nowhere but down.
fn split(path: &Path) -> io::Result<(Vec<&OsStr>, &OsStr)> {
    let parts: Option<Vec<&OsStr>> = path
        .components()
        .map(|part| match part {
            Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    let outside = || io::Error::new(io::ErrorKind::InvalidInput, "the path leads out of the spool");
    let mut parts = parts.ok_or_else(outside)?;
    let name = parts.pop().ok_or_else(outside)?;
    Ok((parts, name))
}

/// `call.wav`, then `call-1.wav`, `call-2.wav` …
fn numbered(name: &OsStr, number: u32) -> PathBuf {
    if number == 0 {
        return PathBuf::from(name);
    }
    let name = Path::new(name);
    let mut numbered = name.file_stem().unwrap_or_default().to_owned();
    numbered.push(format!("-{number}"));
    if let Some(extension) = name.extension() {
        numbered.push(".");
        numbered.push(extension);
    }
    PathBuf::from(numbered)
}

fn instant(seconds: i64, nanoseconds: i64) -> Instant {
    Instant::from_millis(seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> (tempfile::TempDir, Spool) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("spool/acme")).unwrap();
        std::fs::write(directory.path().join("spool/acme/a.wav"), b"inside").unwrap();
        std::fs::write(directory.path().join("secret.wav"), b"outside").unwrap();
        let spool = Spool::open(&directory.path().join("spool")).unwrap();
        (directory, spool)
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        let (directory, spool) = spool();
        for path in ["../secret.wav", "acme/../../secret.wav", "/etc/passwd", "", "..", "acme/..", "."] {
            let path = Path::new(path);
            assert!(spool.open_file(path).is_err(), "{path:?}");
            assert!(spool.remove(path).is_err(), "{path:?}");
            assert!(spool.find_version(path).is_err(), "{path:?}");
        }
        assert!(directory.path().join("secret.wav").exists());
        assert!(spool.open_file(Path::new("acme/a.wav")).is_ok());
    }

    #[test]
    fn neither_a_linked_file_nor_a_linked_folder_is_followed() {
        let (directory, spool) = spool();
        let root = directory.path().join("spool");
        std::os::unix::fs::symlink(directory.path().join("secret.wav"), root.join("acme/link.wav")).unwrap();
        std::os::unix::fs::symlink(directory.path(), root.join("outside")).unwrap();
        for path in ["acme/link.wav", "outside/secret.wav"] {
            assert!(spool.open_file(Path::new(path)).is_err(), "{path}");
        }
        assert_eq!(spool.find_version(Path::new("acme/link.wav")).unwrap(), None);
        assert!(spool.find_version(Path::new("outside/secret.wav")).is_err());
        assert!(spool.remove(Path::new("outside/secret.wav")).is_err());
        let attic = Spool::open(&root.join("acme")).unwrap();
        assert!(spool.move_to(Path::new("outside/secret.wav"), &attic).is_err());
        assert!(directory.path().join("secret.wav").exists());
    }

    #[test]
    fn a_moved_file_keeps_its_path_and_never_replaces_another() {
        let (directory, spool) = spool();
        let attic_directory = directory.path().join("attic");
        std::fs::create_dir_all(attic_directory.join("acme")).unwrap();
        std::fs::write(attic_directory.join("acme/a.wav"), b"was here first").unwrap();
        let attic = Spool::open(&attic_directory).unwrap();
        spool.move_to(Path::new("acme/a.wav"), &attic).unwrap();
        assert_eq!(std::fs::read(attic_directory.join("acme/a.wav")).unwrap(), b"was here first");
        assert_eq!(std::fs::read(attic_directory.join("acme/a-1.wav")).unwrap(), b"inside");
        assert_eq!(spool.find_version(Path::new("acme/a.wav")).unwrap(), None);
    }

    #[test]
    fn a_pipe_or_a_folder_is_no_file() {
        let (directory, spool) = spool();
        let pipe = directory.path().join("spool/pipe.wav");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        assert!(spool.open_file(Path::new("pipe.wav")).is_err());
        assert!(spool.open_file(Path::new("acme")).is_err());
        assert_eq!(spool.find_version(Path::new("acme")).unwrap(), None);
    }
}
